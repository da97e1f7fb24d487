//! Bytes of a file, which can be had in memory, or be read into memory that someone else has.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Deref;

use super::positional;

/// Bytes of a file: a mapping of it, or a copy.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    memory: Cow<'a, [u8]>,
    /// The file that is mapped, and the place in it.
    file: Option<(&'a File, u64)>,
}

impl<'a> Bytes<'a> {
    /// Bytes that are mapped from this place in `file` on.
    pub(super) fn mapped(memory: &'a [u8], file: &'a File, start: u64) -> Self {
        Self { memory: Cow::Borrowed(memory), file: Some((file, start)) }
    }

    pub fn into_owned(self) -> Vec<u8> {
        self.memory.into_owned()
    }

    /// Copies the bytes from `start` on to `target`, straight from the file where that can be: the system then copies them once,
    /// and reads them from the disk in larger pieces than those of a mapping.
    pub fn copy(&self, start: usize, target: &mut [u8]) {
        let is_read =
            self.file.is_some_and(|(file, first)| positional::fill(file, first + start as u64, target).is_ok());
        if !is_read {
            // If the file cannot be read any more, the mapping notices.
            target.copy_from_slice(&self.memory[start..start + target.len()]);
        }
    }
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory
    }
}

impl<'a, T: Into<Cow<'a, [u8]>>> From<T> for Bytes<'a> {
    fn from(memory: T) -> Self {
        Self { memory: memory.into(), file: None }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn bytes_are_copied_from_the_file_or_from_memory() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(b"0123456789").expect("written");
        // Those in memory differ, which shows where the copy comes from.
        let bytes = Bytes::mapped(b"CDEFGHIJKLM", file.as_file(), 2);
        let copied = |bytes: &Bytes<'_>, start: usize, length: usize| {
            let mut target = vec![0; length];
            bytes.copy(start, &mut target);
            target
        };
        assert_eq!(copied(&bytes, 1, 3), b"345");
        // The file is too short.
        assert_eq!(copied(&bytes, 6, 4), b"IJKL");
        assert_eq!(copied(&Bytes::from(&b"abc"[..]), 1, 2), b"bc");
        assert_eq!((bytes.len(), bytes.into_owned()), (11, b"CDEFGHIJKLM".to_vec()));
    }
}
