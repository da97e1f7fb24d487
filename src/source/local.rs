//! A model in a folder or a single file on this machine.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use super::{Blob, BrokenLink, Form, Model, Source, SourceError, Stamp, Transfer, name};
use crate::output::SPECTRA_ENDING;

#[derive(Debug)]
pub struct Local {
    model: Model,
    folder: PathBuf,
    single_file: Option<String>,
}

impl Local {
    /// Opens a folder, an index of shards, one `.safetensors` file, or one `.bin` file of PyTorch.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let unreadable = |error| SourceError::Unreadable { path: path.to_owned(), error };
        let spelling = path.to_string_lossy().into_owned();
        let absolute = absolute(path).map_err(unreadable)?;
        if fs::metadata(path).map_err(unreadable)?.is_dir() {
            // A folder that cannot be listed would look like an empty one.
            fs::read_dir(path).map_err(unreadable)?;
            refuse_cache(path, &absolute)?;
            let model = Model { spelling, name: name::of_folder(&absolute), commit: None, origin: origin(&absolute) };
            return Ok(Self { model, folder: absolute, single_file: None });
        }
        // An index represents the whole model, which is named after its folder.
        let is_index = spelling.ends_with(".json")
            && [".safetensors.index.", ".bin.index."].iter().any(|part| spelling.contains(part));
        if let (true, Some(folder), Some(file)) = (is_index, absolute.parent(), absolute.file_name()) {
            let whole = Self::open(folder)?;
            let single_file = Some(file.to_string_lossy().into_owned());
            return Ok(Self { model: Model { spelling, ..whole.model }, single_file, ..whole });
        }
        if !path.extension().is_some_and(|extension| extension == "safetensors" || extension == "bin") {
            let form = absolute.file_name().and_then(|name| Form::of(&name.to_string_lossy()));
            return Err(match form {
                Some(form) => SourceError::OtherForm { path: spelling, form },
                None => SourceError::NotWeights(spelling),
            });
        }
        let (Some(folder), Some(file)) = (absolute.parent(), absolute.file_name().and_then(OsStr::to_str)) else {
            return Err(SourceError::NotWeights(spelling));
        };
        Ok(Self {
            model: Model { spelling, name: name::of_file(&absolute), commit: None, origin: origin(&absolute) },
            folder: folder.to_owned(),
            single_file: Some(file.to_owned()),
        })
    }

    /// The wanted entries of the model's folder and of its subfolders.
    fn entries(&self, is_wanted: fn(&Path) -> bool) -> Vec<String> {
        let mut files = entries_of(&self.folder, is_wanted);
        // A pipeline has a subfolder for each component. Nothing of a model lies deeper.
        for name in entries_of(&self.folder, Path::is_dir) {
            let within = entries_of(&self.folder.join(&name), is_wanted);
            files.extend(within.into_iter().map(|file| format!("{name}/{file}")));
        }
        files.sort_unstable();
        files
    }

    fn unreadable(&self, file: &str) -> impl FnOnce(io::Error) -> SourceError {
        let path = self.folder.join(file);
        move |error| SourceError::Unreadable { path, error }
    }
}

impl Source for Local {
    fn model(&self) -> &Model {
        &self.model
    }

    fn single_file(&self) -> Option<&str> {
        self.single_file.as_deref()
    }

    fn files(&self) -> Vec<String> {
        self.entries(is_of_model)
    }

    fn broken_links(&self) -> Vec<BrokenLink> {
        let links = self.entries(|path| path.is_symlink() && !path.exists()).into_iter();
        let broken = links.map(|file| Some(BrokenLink { target: self.folder.join(&file).read_link().ok()?, file }));
        broken.flatten().collect()
    }

    fn size(&self, file: &str) -> Option<u64> {
        fs::metadata(self.folder.join(file)).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
    }

    fn path(&self, file: &str) -> Option<PathBuf> {
        Some(self.folder.join(file)).filter(|path| path.is_file())
    }

    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        self.blob(file)?.read(range).map(Cow::into_owned).map_err(self.unreadable(file))
    }

    /// The file's canonical path and its `Stamp`.
    fn identity(&self, file: &str) -> Result<String, SourceError> {
        let path = self.folder.join(file).canonicalize().map_err(self.unreadable(file))?;
        let stamp = Stamp::of(&path).map_err(self.unreadable(file))?;
        Ok(format!("{}|{stamp}", path.display()))
    }

    fn fetch(&self, file: &str, blob: &Blob, _progress: &dyn Fn(Transfer)) -> Result<(), SourceError> {
        let missing = || SourceError::NoSuchFile { model: self.model.spelling.clone(), file: file.to_owned() };
        blob.complete(&self.path(file).ok_or_else(missing)?)
    }
}

/// Whether a path is that of a file which may belong to a model. The spectra of a scan are no weights, although they may lie in the
/// model's folder.
fn is_of_model(path: &Path) -> bool {
    let is_spectra = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SPECTRA_ENDING));
    path.is_file() && !is_spectra
}

/// The names of the wanted entries of a folder.
fn entries_of(folder: &Path, is_wanted: fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| is_wanted(&entry.path())).filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Refuses the root of Hugging Face's cache, and a folder in it that contains the commits of a model.
fn refuse_cache(path: &Path, absolute: &Path) -> Result<(), SourceError> {
    let is_of_model = |name: &String| [".json", ".safetensors", ".bin"].iter().any(|ending| name.ends_with(ending));
    if entries_of(path, Path::is_file).iter().any(is_of_model) {
        return Ok(());
    }
    let spelling = path.display().to_string();
    if let Some(id) = cached_repository(absolute) {
        return Err(SourceError::CachedRepository { path: spelling, id, snapshot: some_snapshot(path) });
    }
    match entries_of(path, Path::is_dir).iter().find_map(|name| cached_repository(&path.join(name))) {
        Some(id) => Err(SourceError::HubCache { path: spelling, id }),
        None => Ok(()),
    }
}

/// The Hub id of a model if `folder` contains its commits in Hugging Face's cache.
fn cached_repository(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?.strip_prefix("models--")?;
    folder.join("snapshots").is_dir().then(|| name.replacen("--", "/", 1))
}

/// The folder of one commit of a cached model, preferably that of the main branch.
fn some_snapshot(repository: &Path) -> Option<PathBuf> {
    let snapshots = repository.join("snapshots");
    let main = fs::read_to_string(repository.join("refs/main")).ok().map(|commit| commit.trim().to_owned());
    let mut commits = entries_of(&snapshots, Path::is_dir);
    commits.sort_unstable();
    let commit = commits.iter().find(|commit| Some(*commit) == main.as_ref()).or(commits.first())?;
    Some(snapshots.join(commit))
}

/// The absolute path, with the last component as the user wrote it even if it is a link. Paths such as '.' and 'models/..'
/// have no name of their own and are resolved.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if folder.components().any(|part| part == Component::ParentDir) => {
            Ok(folder.canonicalize()?.join(name))
        }
        (Some(_), Some(_)) => Ok(path),
        _ => path.canonicalize(),
    }
}

/// The [`Model::origin`] of an absolute path: within Hugging Face's cache, the Hub id and the path within the model.
pub fn origin(path: &Path) -> String {
    name::cached_part(path).unwrap_or_else(|| path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_after_its_folder_or_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let model = folder.path().join("my.model-7B");
        fs::create_dir_all(model.join("sub")).expect("created");
        fs::write(model.join("part.safetensors"), b"x").expect("written");
        let name = |path: &Path| Local::open(path).expect("opens").model.name;
        assert_eq!(name(&model), "my.model-7B");
        assert_eq!(name(&model.join(".")), "my.model-7B");
        assert_eq!(name(&model.join("sub/..")), "my.model-7B");
        assert_eq!(name(&model.join("part.safetensors")), "part");
        let snapshot = folder.path().join("models--org--Tiny-1B/snapshots/26bca36bde83");
        fs::create_dir_all(&snapshot).expect("created");
        assert_eq!(name(&snapshot), "Tiny-1B");
        let checkpoint = model.join("checkpoint-500");
        fs::create_dir_all(checkpoint.join("sub")).expect("created");
        assert_eq!(name(&checkpoint.join("sub/..")), "my.model-7B-checkpoint-500");
    }

    #[test]
    fn a_model_is_the_same_however_it_is_spelled() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path().canonicalize().expect("there");
        let snapshot = folder.join("models--org--Tiny-1B/snapshots/26bca36bde83");
        fs::create_dir_all(&snapshot).expect("created");
        // A folder that contains only models would be taken for the root of the Hub's cache.
        fs::write(folder.join("model.safetensors.index.json"), b"{}").expect("written");
        let origin = |path: &Path| Local::open(path).expect("opens").model.origin;
        assert_eq!(origin(&snapshot), "org/Tiny-1B");
        assert_eq!(origin(&folder), folder.to_str().expect("UTF-8"));
        assert_eq!(origin(&folder.join("models--org--Tiny-1B/..")), folder.to_str().expect("UTF-8"));
        assert_eq!(origin(&folder.join("model.safetensors.index.json")), folder.to_str().expect("UTF-8"));
    }

    #[test]
    fn identity_changes_with_the_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("a"), b"one").expect("written");
        let local = Local::open(folder.path()).expect("opens");
        let before = local.identity("a").expect("known");
        assert_eq!(before, local.identity("a").expect("known"));
        fs::write(folder.path().join("b"), b"two").expect("written");
        fs::rename(folder.path().join("b"), folder.path().join("a")).expect("renamed");
        assert_ne!(before, local.identity("a").expect("known"));
    }
}
