//! Two models whose files are read in one run: a base and what was made of it.

use std::ops::Range;
use std::path::PathBuf;

use super::{Blob, Model, Source, SourceError, Transfer};

/// What stands before the names of the files of each model.
const BASE: &str = "base/";
const FINETUNED: &str = "finetuned/";

/// A base model and one that was made of it. The files of each have its role before their names, as if it were a folder.
pub struct Pair<'a> {
    pub base: Box<dyn Source + 'a>,
    pub finetuned: Box<dyn Source + 'a>,
    /// The names of what is found out about both.
    model: Model,
}

impl<'a> Pair<'a> {
    pub fn new(base: Box<dyn Source + 'a>, finetuned: Box<dyn Source + 'a>) -> Self {
        let model = finetuned.model();
        let model = Model { name: format!("{}_delta", model.name), ..model.clone() };
        Self { base, finetuned, model }
    }

    /// The name of a file of the base among those of both.
    pub fn of_base(file: &str) -> String {
        format!("{BASE}{file}")
    }

    /// The name of a file of the fine-tuned model among those of both.
    pub fn of_finetuned(file: &str) -> String {
        format!("{FINETUNED}{file}")
    }

    /// The model that a file belongs to, and the file's name there.
    fn of<'f>(&self, file: &'f str) -> Option<(&dyn Source, &'f str)> {
        let base = || Some((&*self.base, file.strip_prefix(BASE)?));
        file.strip_prefix(FINETUNED).map(|file| (&*self.finetuned, file)).or_else(base)
    }

    fn expected<'f>(&self, file: &'f str) -> Result<(&dyn Source, &'f str), SourceError> {
        let missing = || SourceError::NoSuchFile { model: self.model.spelling.clone(), file: file.to_owned() };
        self.of(file).ok_or_else(missing)
    }
}

impl Source for Pair<'_> {
    fn model(&self) -> &Model {
        &self.model
    }

    fn files(&self) -> Vec<String> {
        let base = self.base.files().into_iter().map(|file| Self::of_base(&file));
        base.chain(self.finetuned.files().into_iter().map(|file| Self::of_finetuned(&file))).collect()
    }

    fn size(&self, file: &str) -> Option<u64> {
        self.of(file).and_then(|(source, file)| source.size(file))
    }

    fn path(&self, file: &str) -> Option<PathBuf> {
        self.of(file).and_then(|(source, file)| source.path(file))
    }

    fn cached(&self, file: &str) -> Option<PathBuf> {
        self.of(file).and_then(|(source, file)| source.cached(file))
    }

    fn whole(&self, file: &str, limit: u64) -> Result<Vec<u8>, SourceError> {
        let (source, file) = self.expected(file)?;
        source.whole(file, limit)
    }

    fn is_streamed_only(&self) -> bool {
        self.base.is_streamed_only() || self.finetuned.is_streamed_only()
    }

    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        let (source, file) = self.expected(file)?;
        source.read(file, range)
    }

    fn identity(&self, file: &str) -> Result<String, SourceError> {
        let (source, file) = self.expected(file)?;
        source.identity(file)
    }

    fn fetch(&self, file: &str, blob: &Blob, progress: &dyn Fn(Transfer)) -> Result<(), SourceError> {
        let (source, file) = self.expected(file)?;
        source.fetch(file, blob, progress)
    }
}
