//! Moves several written files to their final places, all or none.

use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::OutputError;
use super::temporary::{Former, folder_of};

/// Renames temporary files to their final paths, in this order. The former files are kept until all are in place, and are put
/// back if one cannot be renamed; the error tells of any that could not be put back. If the machine stops midway, some paths
/// hold the new file and some the former one, each whole.
pub fn take_places(written: Vec<(PathBuf, NamedTempFile)>) -> Result<(), OutputError> {
    let keep = |(path, _): &(PathBuf, NamedTempFile)| {
        Former::of(path, folder_of(path)).map_err(|error| OutputError::Unwritable { path: path.clone(), error })
    };
    let formers = written.iter().map(keep).collect::<Result<Vec<_>, _>>()?;
    let mut taken = Vec::new();
    for ((path, temporary), former) in written.into_iter().zip(formers) {
        if let Err(error) = temporary.persist(&path) {
            let refused = OutputError::Unwritable { path, error: error.error };
            return Err(put_back(taken, refused));
        }
        taken.push((path, former));
    }
    taken.iter().for_each(|(path, _)| sync(folder_of(path)));
    Ok(())
}

/// Puts back what the `taken` paths held. Returns the error `refused`, with those paths that could not be restored.
fn put_back(taken: Vec<(PathBuf, Option<Former>)>, refused: OutputError) -> OutputError {
    let mut result = refused;
    for (path, former) in taken.into_iter().rev() {
        let kept = match former {
            None if std::fs::remove_file(&path).is_ok() => continue,
            None => None,
            Some(former) => match former.put_back(&path) {
                Ok(()) => continue,
                Err(former) => former.leave(),
            },
        };
        result = OutputError::NotPutBack { refused: Box::new(result), path, kept };
    }
    result
}

/// Makes the new names in `folder` survive a power failure. Errors are ignored: the files are in place anyway, and some file
/// systems do not support it.
#[cfg(unix)]
fn sync(folder: &Path) {
    let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
}

/// Other systems do it themselves or do not support it.
#[cfg(not(unix))]
fn sync(_folder: &Path) {}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::output::temporary::temporary;

    /// Temporary files for `a` and `c`, which exist already, and for `b`, which does not.
    fn written(folder: &Path) -> Vec<(PathBuf, NamedTempFile)> {
        for name in ["a", "c"] {
            fs::write(folder.join(name), format!("old {name}")).expect("written");
        }
        let written = ["a", "b", "c"].map(|name| {
            let mut file = temporary(folder).expect("created");
            write!(file, "new {name}").expect("written");
            (folder.join(name), file)
        });
        written.into()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("readable").flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_there_is_put_back_if_one_place_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).expect("readable");
        for refused in ["b", "c"] {
            let written = written(folder.path());
            // A folder with something in it cannot be replaced by a file.
            let _ = fs::remove_file(folder.path().join(refused));
            fs::create_dir_all(folder.path().join(refused).join("full")).expect("created");
            let error = take_places(written).expect_err(refused).to_string();
            assert!(error.contains(&format!("{refused}'")), "{error}");
            assert_eq!(text("a"), "old a", "{refused}");
            let expected: &[&str] = if refused == "b" { &["a", "b", "c"] } else { &["a", "c"] };
            assert_eq!(names(folder.path()), expected, "neither a new file nor a temporary one is left");
            fs::remove_dir_all(folder.path().join(refused)).expect("removed");
        }
        take_places(written(folder.path())).expect("free again");
        assert_eq!(["a", "b", "c"].map(text), ["new a", "new b", "new c"]);
        assert_eq!(names(folder.path()), ["a", "b", "c"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_put_back_is_the_very_file() {
        use std::os::unix::fs::{MetadataExt, symlink};

        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut written = written(folder.path());
        let inode = |name: &str| fs::symlink_metadata(folder.path().join(name)).expect("there").ino();
        symlink("a", folder.path().join("b")).expect("linked");
        fs::remove_file(folder.path().join("c")).expect("removed");
        fs::create_dir_all(folder.path().join("c/full")).expect("created");
        let before = ["a", "b"].map(inode);
        written.swap(0, 1);
        take_places(written).expect_err("a folder is in the way");
        assert_eq!(["a", "b"].map(inode), before);
    }

    #[test]
    fn what_cannot_be_put_back_is_kept_and_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a");
        fs::write(&path, "old").expect("written");
        let former = Former::of(&path, folder.path()).expect("kept");
        fs::remove_file(&path).expect("removed");
        fs::create_dir_all(path.join("full")).expect("created");
        let refused = OutputError::Unwritable { path: "b".into(), error: std::io::ErrorKind::StorageFull.into() };
        let OutputError::NotPutBack { kept: Some(kept), .. } = put_back(vec![(path.clone(), former)], refused) else {
            panic!("the former file is lost");
        };
        // A later run does not take it for a leftover of a killed process.
        crate::output::sweep(&path);
        assert_eq!(fs::read_to_string(kept).expect("readable"), "old");
    }
}
