//! Suggests an existing path in place of one that does not exist.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// One spelling mistake is tolerated for each so many letters of a name.
const LETTERS_PER_MISTAKE: usize = 4;

/// The existing path that is closest to `path`, if exactly one component of `path` is misspelled.
pub fn nearest(path: &Path) -> Option<String> {
    let mut before = PathBuf::new();
    let mut parts = path.components();
    let wrong = loop {
        let part = parts.next()?;
        let next = before.join(part);
        if matches!(part, Component::Normal(_)) && !next.exists() {
            break part.as_os_str().to_str()?;
        }
        before = next;
    };
    let after = parts.as_path();
    let entries = fs::read_dir(if before.as_os_str().is_empty() { Path::new(".") } else { &before }).ok()?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let near = names.filter_map(|name| Some((distance(wrong, &name)?, name)));
    let mut near: Vec<(usize, String)> = near.filter(|(_, name)| before.join(name).join(after).exists()).collect();
    near.sort_unstable();
    let (_, name) = near.into_iter().next()?;
    let found = if after.as_os_str().is_empty() { before.join(name) } else { before.join(name).join(after) };
    Some(found.display().to_string())
}

/// The edit distance regardless of case; `None` if it is too large for a spelling mistake.
fn distance(wrong: &str, name: &str) -> Option<usize> {
    let distance = strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase());
    let tolerated = (wrong.chars().count() / LETTERS_PER_MISTAKE).max(1);
    // A name all of whose letters differ is another name.
    (distance <= tolerated && distance < wrong.chars().count()).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_may_be_misspelled_at_any_depth() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let there = folder.path().join("models/Mistral-7B/checkpoint-500");
        fs::create_dir_all(&there).expect("created");
        let meant = |path: &str| nearest(&folder.path().join(path));
        let found = Some(there.display().to_string());
        assert_eq!(meant("models/Mistral-7B/chekpoint-500"), found);
        assert_eq!(meant("models/mistral_7b/checkpoint-500"), found);
        assert_eq!(meant("modles/Mistral-7B/checkpoint-500"), found);
        assert_eq!(meant("modles/Mistral-7B/chekpoint-500"), None);
        assert_eq!(meant("models/Llama-3-8B"), None);
        assert_eq!(meant("models/Mistral-7B/checkpoint-500"), None);
    }
}
