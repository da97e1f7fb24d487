//! `pytorch_model.bin`: a ZIP archive of a pickled dictionary and the bytes of its tensors.
//!
//! The pickle is read by an interpreter that calls nothing, so that no code in the file runs, and that holds little, so
//! that no file fills the memory. What is taken from it is a name, a type, extents, strides and the archive's member that
//! holds the bytes, each checked against the file's true size before anything is made of it.

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

/// How much of a file is read first; a list of a few hundred tensors takes less.
const FIRST_READ: u64 = 128 << 10;

/// The most of a file that is read for the list of its tensors: as much as safetensors allows for it.
const MAX_LIST: u64 = super::header::MAX_HEADER;

/// What is wrong with a pickled file.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// It is not an archive.
    #[error(
        "it is no ZIP archive, as PyTorch writes them since version 1.6: if it is an older file, load it in PyTorch and save it anew, in safetensors form"
    )]
    NoArchive,
    /// The file is not the one that it stands for.
    #[error("it is a pointer of Git LFS, not the weights: run 'git lfs pull' in the model's folder")]
    LfsPointer,
    /// The archive's directory at its end does not fit to the list of tensors at its start.
    #[error("its archive is not whole ({0}): the file is cut short; download or copy it again")]
    NotWhole(String),
    /// The archive does not begin with the list of tensors.
    #[error("its archive does not begin with an uncompressed data.pkl: it is not as PyTorch writes it")]
    NoPickle,
    /// The pickle breaks off.
    #[error("its data.pkl breaks off: the file is cut short; download or copy it again")]
    CutShort,
    /// The pickle has something in it that no state dictionary has.
    #[error("its data.pkl cannot be read ({0}): load it in PyTorch and save it anew, in safetensors form")]
    Unreadable(String),
    /// The pickle would take more memory than any model's list of tensors does.
    #[error("its data.pkl is nested or repeated beyond measure: it is no model's weights, and may be meant to do harm")]
    Excessive,
    /// A name stands twice.
    #[error("its data.pkl lists tensor '{0}' twice")]
    Duplicate(String),
    /// A name is longer than any model's.
    #[error("its data.pkl has a tensor's name of {length} bytes, more than {MAX_NAME}: '{name}'")]
    LongName {
        /// How the name begins.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A tensor claims more bytes than the file has.
    #[error(
        "tensor '{0}' takes more bytes than the file has: load it in PyTorch and save it anew, in safetensors form"
    )]
    TooLarge(String),
    /// A tensor's strides lead to no memory that there can be, or to the same element again and again.
    #[error(
        "tensor '{0}' cannot be read, as its strides are impossible: load it in PyTorch and save it anew, in safetensors form"
    )]
    Strides(String),
    /// A tensor's elements, or all of its storage, are not in the archive.
    #[error("tensor '{0}' reaches beyond its storage: load it in PyTorch and save it anew, in safetensors form")]
    BeyondStorage(String),
    /// There is something else than a dictionary of tensors.
    #[error("its data.pkl is no dictionary of tensors: it is no model's weights")]
    NoTensors,
}

/// A tensor of a pickled file.
#[derive(Clone, Debug, PartialEq)]
pub struct PickledTensor {
    /// Its name, type and extents; its bytes are counted from the start of its storage.
    pub info: TensorInfo,
    /// The elements between neighbours along each dimension.
    pub strides: Vec<usize>,
    /// The key of its storage, which is the name of the archive's member that holds it.
    pub storage: Arc<str>,
    /// The bytes that the storage is said to have.
    pub bytes_in_storage: u64,
}

/// What a pickled file lists.
#[derive(Debug, Default)]
pub struct Listing {
    /// Its tensors.
    pub tensors: Vec<PickledTensor>,
    /// Tensors of a kind that is not read.
    pub others: Vec<String>,
    /// The archive's folder, in which its members are.
    pub archive: String,
}

/// What the file of `size` bytes lists of which `read` brings a range, or as much of it as there is.
///
/// # Errors
///
/// Fails if the file cannot be read; the inner result, if it is not as PyTorch writes it.
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
        // A file that has become shorter meanwhile ends earlier than it should.
        let is_whole = known < wanted || known >= size;
        match list_start(&start, size) {
            Err(PickleError::CutShort) if is_whole => return Ok(Err(PickleError::CutShort)),
            Err(PickleError::CutShort) if known >= MAX_LIST => return Ok(Err(PickleError::Excessive)),
            Err(PickleError::CutShort) => wanted = (4 * known).min(MAX_LIST),
            listed => return Ok(listed),
        }
    }
}

/// What the file of `size` bytes that begins with `start` lists; that it is cut short, if `start` does not hold it all.
fn list_start(start: &[u8], size: u64) -> Result<Listing, PickleError> {
    let (archive, pickle) = archive::first_member(start)?;
    dictionary::list(&interpreter::read(pickle)?, archive, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file that torch.save wrote.
    fn saved() -> Vec<u8> {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogue/pickle/whole/pytorch_model.bin");
        std::fs::read(path).expect("readable")
    }

    /// The beginning of an archive whose pickle is a text of so many bytes.
    fn text(length: u32) -> Vec<u8> {
        let header = [&b"PK\x03\x04"[..], &[0; 22], &[10, 0, 0, 0], b"a/data.pkl", b"\x80\x02X", &length.to_le_bytes()];
        let mut bytes = header.concat();
        bytes.resize(bytes.len() + length as usize, b'a');
        bytes.push(b'.');
        bytes
    }

    /// What `bytes` list, and the ranges that are read of them.
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
