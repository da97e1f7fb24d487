//! Reads `pytorch_model.bin`, a ZIP archive with a pickled dictionary and the bytes of its tensors.
//!
//! The pickle interpreter calls no functions, so that no code in the file runs, and limits its memory. For each tensor it
//! yields the name, type, extents, strides and the archive member with the bytes, all checked against the file's size.

mod archive;
mod dictionary;
mod interpreter;
mod values;
mod view;

use std::ops::Range;
use std::sync::Arc;

use super::entries::MAX_NAME;
use super::header::TensorInfo;
pub use archive::storages;
pub use view::read;

/// How many bytes of a file are read first. A list of a few hundred tensors is shorter.
const FIRST_READ: u64 = 128 << 10;

/// The most bytes that are read for the list of tensors: as much as safetensors allows.
const MAX_LIST: u64 = super::header::MAX_HEADER;

#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    #[error(
        "it is no ZIP archive, as PyTorch writes them since version 1.6: if it is an older file, load it in PyTorch and save it anew, in safetensors form"
    )]
    NoArchive,
    #[error("it is a pointer of Git LFS, not the weights: run 'git lfs pull' in the model's folder")]
    LfsPointer,
    #[error("its archive is not whole ({0}): the file is cut short; download or copy it again")]
    NotWhole(String),
    #[error("its archive does not begin with an uncompressed data.pkl: it is not as PyTorch writes it")]
    NoPickle,
    #[error("its data.pkl breaks off: the file is cut short; download or copy it again")]
    CutShort,
    #[error("its data.pkl cannot be read ({0}): load it in PyTorch and save it anew, in safetensors form")]
    Unreadable(String),
    #[error("its data.pkl is nested or repeated beyond measure: it is no model's weights, and may be meant to do harm")]
    Excessive,
    #[error("its data.pkl lists tensor '{0}' twice")]
    Duplicate(String),
    #[error("its data.pkl has a tensor's name of {length} bytes, more than {MAX_NAME}: '{name}'")]
    LongName { name: String, length: usize },
    #[error(
        "tensor '{0}' takes more bytes than the file has: load it in PyTorch and save it anew, in safetensors form"
    )]
    TooLarge(String),
    #[error(
        "tensor '{0}' cannot be read, as its strides are impossible: load it in PyTorch and save it anew, in safetensors form"
    )]
    Strides(String),
    #[error("tensor '{0}' reaches beyond its storage: load it in PyTorch and save it anew, in safetensors form")]
    BeyondStorage(String),
    #[error("its data.pkl is no dictionary of tensors: it is no model's weights")]
    NoTensors,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PickledTensor {
    /// Its bytes are counted from the start of the storage.
    pub info: TensorInfo,
    /// The distance in elements between neighbours along each dimension.
    pub strides: Vec<usize>,
    /// The key of the storage, which is also the name of the archive member with its bytes.
    pub storage: Arc<str>,
    /// The size of the storage according to the pickle.
    pub bytes_in_storage: u64,
}

#[derive(Debug, Default)]
pub struct Listing {
    pub tensors: Vec<PickledTensor>,
    /// The names of tensors of unsupported types.
    pub others: Vec<String>,
    /// The folder in the archive that contains all members.
    pub archive: String,
}

/// Lists the tensors of a file of `size` bytes. `read` returns a range of its bytes, fewer at the end of the file. The outer
/// result is the error of `read`, the inner one that of the content.
pub fn list<E>(
    size: u64,
    mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, E>,
) -> Result<Result<Listing, PickleError>, E> {
    let mut start = Vec::new();
    let mut wanted = FIRST_READ;
    loop {
        let known = start.len() as u64;
        start.append(&mut read(known..wanted)?);
        let known = start.len() as u64;
        // The file may have become shorter meanwhile.
        let is_whole = known < wanted || known >= size;
        match list_start(&start, size) {
            Err(PickleError::CutShort) if is_whole => return Ok(Err(PickleError::CutShort)),
            Err(PickleError::CutShort) if known >= MAX_LIST => return Ok(Err(PickleError::Excessive)),
            Err(PickleError::CutShort) => wanted = (4 * known).min(MAX_LIST),
            listed => return Ok(listed),
        }
    }
}

/// Lists the tensors of a file of `size` bytes; [`PickleError::CutShort`] if `start` does not contain the whole list.
fn list_start(start: &[u8], size: u64) -> Result<Listing, PickleError> {
    let (archive, pickle) = archive::first_member(start)?;
    dictionary::list(&interpreter::read(pickle)?, archive, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file written by torch.save.
    fn saved() -> Vec<u8> {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogue/pickle/whole/pytorch_model.bin");
        std::fs::read(path).expect("readable")
    }

    /// The beginning of an archive whose pickle is one string.
    fn text(length: u32) -> Vec<u8> {
        let header = [&b"PK\x03\x04"[..], &[0; 22], &[10, 0, 0, 0], b"a/data.pkl", b"\x80\x02X", &length.to_le_bytes()];
        let mut bytes = header.concat();
        bytes.resize(bytes.len() + length as usize, b'a');
        bytes.push(b'.');
        bytes
    }

    /// The result of `list` for a file that contains only `bytes`, and the ranges that were read.
    fn listed(bytes: &[u8], size: u64) -> (Result<Listing, PickleError>, Vec<Range<u64>>) {
        let mut ranges = Vec::new();
        let listed = list(size, |range| {
            ranges.push(range.clone());
            let place = |at: u64| bytes.len().min(at as usize);
            Ok::<_, ()>(bytes[place(range.start)..place(range.end)].to_vec())
        });
        (listed.expect("readable"), ranges)
    }

    #[test]
    fn a_long_list_is_read_once() {
        let bytes = text(2 << 20);
        let (listing, ranges) = listed(&bytes, bytes.len() as u64);
        assert!(matches!(listing, Err(PickleError::NoTensors)), "{listing:?}");
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
        assert_eq!((ranges[0].clone(), ranges.len()), (0..FIRST_READ, 4));
    }

    #[test]
    fn a_file_that_becomes_shorter_ends_the_reading() {
        let bytes = text(2 << 20);
        for length in [0, 100, FIRST_READ as usize, 200_000, 1 << 20] {
            let (listing, ranges) = listed(&bytes[..length], bytes.len() as u64);
            let expected = if length == 0 { "no ZIP archive" } else { "cut short" };
            assert!(listing.expect_err("cut short").to_string().contains(expected), "{length}");
            assert!(ranges.len() <= 4, "{ranges:?}");
        }
    }

    #[test]
    fn a_list_that_is_far_too_long_is_not_read_whole() {
        let (listing, ranges) = listed(&text(MAX_LIST as u32), MAX_LIST + 1000);
        assert!(matches!(listing, Err(PickleError::Excessive)), "{listing:?}");
        assert_eq!(ranges.last().map(|range| range.end), Some(MAX_LIST));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_damaged_list_is_an_error_or_a_list(
            changes in proptest::collection::vec((0usize..2500, any::<u8>()), 1..6),
            inserted in proptest::collection::vec(any::<u8>(), 0..4),
            at in 60usize..2500,
        ) {
            let mut bytes = saved();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            bytes.splice(at..at, inserted);
            let (listing, _) = listed(&bytes, bytes.len() as u64);
            for tensor in listing.map(|listing| listing.tensors).unwrap_or_default() {
                prop_assert!(tensor.info.bytes.end <= bytes.len() as u64);
            }
        }
    }
}
