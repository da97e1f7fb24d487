//! What the fuzz targets share: a model that lies in memory, and a file for what is read from a path.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use laser_scan::source::{Blob, Model, Source, SourceError, Transfer};
use tempfile::TempDir;

/// A model's files, held in memory.
pub struct InMemory {
    model: Model,
    files: BTreeMap<String, Vec<u8>>,
    /// Where files are put that are wanted on disk.
    disk: TempDir,
}

impl InMemory {
    /// A model of these files.
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
        let model = Model { spelling: "model".into(), name: "model".into(), commit: None, origin: "model".into() };
        Self { model, files, disk: folder() }
    }

    fn content(&self, file: &str) -> Result<&[u8], SourceError> {
        let missing = || SourceError::NoSuchFile { model: self.model.spelling.clone(), file: file.to_owned() };
        self.files.get(file).map(Vec::as_slice).ok_or_else(missing)
    }
}

impl Source for InMemory {
    fn model(&self) -> &Model {
        &self.model
    }

    fn files(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    fn size(&self, file: &str) -> Option<u64> {
        self.files.get(file).map(|content| content.len() as u64)
    }

    fn path(&self, file: &str) -> Option<PathBuf> {
        self.files.contains_key(file).then(|| self.disk.path().join(file))
    }

    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        let content = self.content(file)?;
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        Ok(content[within(range.start)..within(range.end).max(within(range.start))].to_vec())
    }

    fn identity(&self, file: &str) -> Result<String, SourceError> {
        self.content(file).map(|content| content.len().to_string())
    }

    fn fetch(&self, file: &str, blob: &Blob, _progress: &dyn Fn(Transfer)) -> Result<(), SourceError> {
        let path = self.disk.path().join(file);
        let unwritable = |error| SourceError::CacheUnwritable { path: path.clone(), error };
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(unwritable)?;
        fs::write(&path, self.content(file)?).map_err(unwritable)?;
        blob.complete(&path)
    }
}

/// A folder for one input's files, in memory where the system has such a place.
pub fn folder() -> TempDir {
    let in_memory = PathBuf::from("/dev/shm");
    let folder = if in_memory.is_dir() { TempDir::new_in(in_memory) } else { TempDir::new() };
    folder.expect("a temporary folder can be made")
}

/// A safetensors file that begins with `header`, and has as many bytes as that can want.
pub fn safetensors(header: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, &[0; 64]].concat()
}
