//! Reads the header of a safetensors file, which may be malicious.
//!
//! A file consists of eight bytes with the header's length, the header as a JSON object, and the tensors' bytes without gaps.
//! Everything in the header is checked before it is used: lengths against the file's size, products for overflow, ranges
//! against each other. The `safetensors` crate accepts the same files; it is not used because its errors do not name the
//! tensor, and because it cannot read a header without the tensors' bytes.

use std::collections::BTreeSet;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::StrDeserializer;

use super::entries::{Entries, Entry};
use super::excerpt::excerpt;

/// The longest header in bytes that the format allows.
pub const MAX_HEADER: u64 = 100_000_000;

/// The beginning of a Git LFS pointer file, which stands in for a file that has not been fetched.
pub const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// The number of bytes before the header, which give its length.
pub const PREFIX: u64 = 8;

/// A tensor as the header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
    pub dtype: Dtype,
    /// The extents, the slowest dimension first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The range of its bytes, counted from the end of the header.
    pub bytes: Range<u64>,
}

impl TensorInfo {
    pub fn size(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }
}

#[derive(Debug)]
pub struct Header {
    /// The tensors in the order of their data.
    pub tensors: Vec<TensorInfo>,
    /// Pairs of an additional name and the tensor that it refers to. `safetensors.torch.save_model` writes them to
    /// `__metadata__` if several modules share a tensor.
    pub aliases: Vec<(String, String)>,
    /// The names of tensors of unsupported types, which only a pickled file can contain.
    pub others: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error(
        "it ends after {actual} of the {expected} bytes that its header takes: it is no safetensors file, or is cut short"
    )]
    TooShort { expected: u64, actual: u64 },
    #[error("it is a pointer of Git LFS, not the weights: run 'git lfs pull' in the model's folder")]
    LfsPointer,
    #[error(
        "it claims a header of {0} bytes, more than the {MAX_HEADER} that the format allows: it is no safetensors file"
    )]
    TooLong(u64),
    #[error("its header is not valid: {}", excerpt(.0))]
    Invalid(#[from] serde_json::Error),
    #[error("its header lists tensor '{0}' twice")]
    Duplicate(String),
    #[error("tensor '{name}' has the unknown dtype '{}'", excerpt(.dtype))]
    UnknownDtype { name: String, dtype: String },
    #[error("tensor '{name}' has the impossible shape {shape:?}")]
    ImpossibleShape { name: String, shape: Vec<u64> },
    #[error("tensor '{name}' claims bytes {start} to {end}, but its dtype and shape make {size} bytes")]
    WrongSize { name: String, start: u64, end: u64, size: u64 },
    #[error("tensor '{name}' starts at byte {start} of the data, where byte {expected} is next")]
    NotContiguous { name: String, start: u64, expected: u64 },
    #[error(
        "tensor '{name}' ends at byte {end} of the file, which has only {actual}: the file is cut short; download or copy it again"
    )]
    Truncated { name: String, end: u64, actual: u64 },
    #[error("{0} bytes follow its last tensor: the file is not what its header says")]
    Trailing(u64),
}

/// The length of the header including the [`PREFIX`], from the first bytes of a file.
pub fn length(start: &[u8], file_size: u64) -> Result<u64, HeaderError> {
    if start.starts_with(LFS_POINTER) {
        return Err(HeaderError::LfsPointer);
    }
    let Some((length, _)) = start.split_first_chunk::<{ PREFIX as usize }>() else {
        return Err(HeaderError::TooShort { expected: PREFIX, actual: start.len() as u64 });
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(HeaderError::TooLong(length));
    }
    let expected = PREFIX + length;
    if expected > file_size {
        return Err(HeaderError::TooShort { expected, actual: file_size });
    }
    Ok(expected)
}

/// Parses and checks the header of a file of `file_size` bytes. `header` includes the prefix.
pub fn parse(header: &[u8], file_size: u64) -> Result<Header, HeaderError> {
    let data_start = header.len() as u64;
    let entries: Entries = serde_json::from_slice(&header[PREFIX as usize..])?;
    let mut names = BTreeSet::new();
    let mut tensors = Vec::with_capacity(entries.tensors.len());
    for (name, entry) in entries.tensors {
        if !names.insert(name.clone()) {
            return Err(HeaderError::Duplicate(name));
        }
        tensors.push(entry.check(name)?);
    }
    tensors.sort_by_key(|tensor| (tensor.bytes.start, tensor.bytes.end));
    let mut expected = 0;
    for tensor in &tensors {
        if tensor.bytes.start != expected {
            let (name, start) = (tensor.name.clone(), tensor.bytes.start);
            return Err(HeaderError::NotContiguous { name, start, expected });
        }
        expected = tensor.bytes.end;
        let end = data_start.saturating_add(expected);
        if end > file_size {
            return Err(HeaderError::Truncated { name: tensor.name.clone(), end, actual: file_size });
        }
    }
    let aliases = entries.metadata.into_iter().filter(|(alias, name)| !names.contains(alias) && names.contains(name));
    match file_size - data_start - expected {
        0 => Ok(Header { tensors, aliases: aliases.collect(), others: Vec::new() }),
        trailing => Err(HeaderError::Trailing(trailing)),
    }
}

impl Entry {
    fn check(self, name: String) -> Result<TensorInfo, HeaderError> {
        let deserializer = StrDeserializer::<serde::de::value::Error>::new(&self.dtype);
        let Ok(dtype) = Dtype::deserialize(deserializer) else {
            return Err(HeaderError::UnknownDtype { name, dtype: self.dtype });
        };
        let elements = self.shape.iter().try_fold(1u64, |product, &extent| product.checked_mul(extent));
        let bits = elements.and_then(|count| count.checked_mul(dtype.bitsize() as u64));
        let size = bits.filter(|bits| bits.is_multiple_of(8)).map(|bits| bits / 8);
        let shape: Option<Vec<usize>> = self.shape.iter().map(|&extent| extent.try_into().ok()).collect();
        let (Some(size), Some(shape)) = (size, shape) else {
            return Err(HeaderError::ImpossibleShape { name, shape: self.shape });
        };
        let (start, end) = self.data_offsets;
        if end.checked_sub(start) != Some(size) {
            return Err(HeaderError::WrongSize { name, start, end, size });
        }
        Ok(TensorInfo { name, dtype, shape, bytes: start..end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes up to the end of the header of a file with `data` bytes of tensors, and the file's size.
    fn file(text: &str, data: u64) -> (Vec<u8>, u64) {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        let size = bytes.len() as u64 + data;
        (bytes, size)
    }

    fn error(text: &str, data: u64) -> HeaderError {
        let (bytes, size) = file(text, data);
        parse(&bytes, size).expect_err("the header lies")
    }

    #[test]
    fn tensors_come_in_the_order_of_their_data() {
        let text = r#"{"__metadata__":{"format":"pt","head":"b","a":"b"},
            "b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},
            "none":{"dtype":"BF16","shape":[0,5],"data_offsets":[4,4]},
            "a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}}"#;
        let (bytes, size) = file(text, 28);
        assert_eq!(length(&bytes, size).expect("a whole header"), bytes.len() as u64);
        let Header { tensors, aliases, .. } = parse(&bytes, size).expect("a valid header");
        assert_eq!(aliases, [("head".to_owned(), "b".to_owned())]);
        let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["a", "none", "b"]);
        assert_eq!(
            (tensors[2].dtype, tensors[2].shape.as_slice(), tensors[2].bytes.clone()),
            (Dtype::F32, &[2, 3][..], 4..28)
        );
    }

    #[test]
    fn every_way_to_lie_has_its_error() {
        let one = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        assert!(matches!(error("[]", 0), HeaderError::Invalid(_)));
        assert!(matches!(error("{\"t\":", 0), HeaderError::Invalid(_)));
        assert!(matches!(error(r#"{"__metadata__":{"a":1}}"#, 0), HeaderError::Invalid(_)));
        assert!(matches!(error(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), HeaderError::Invalid(_)));
        assert!(matches!(error(&one("F32", "[-1]", "[0,4]"), 4), HeaderError::Invalid(_)));
        assert!(matches!(error(&one("F33", "[1]", "[0,4]"), 4), HeaderError::UnknownDtype { .. }));
        assert!(matches!(error(&one("F32", "[1]", "[0,8]"), 8), HeaderError::WrongSize { size: 4, .. }));
        assert!(matches!(error(&one("F32", "[1]", "[8,4]"), 8), HeaderError::WrongSize { .. }));
        assert!(matches!(error(&one("F32", "[1]", "[4,8]"), 8), HeaderError::NotContiguous { .. }));
        assert!(matches!(error(&one("F32", "[2]", "[0,8]"), 7), HeaderError::Truncated { .. }));
        assert!(matches!(error(&one("F32", "[2]", "[0,8]"), 9), HeaderError::Trailing(1)));
        let huge = one("F32", "[4294967296,4294967296]", "[0,0]");
        assert!(matches!(error(&huge, 0), HeaderError::ImpossibleShape { .. }));
        let huge = one("F64", "[2305843009213693952]", "[0,18446744073709551615]");
        assert!(matches!(error(&huge, 0), HeaderError::ImpossibleShape { .. }));
        let huge = one("U8", "[18446744073709551615]", "[0,18446744073709551615]");
        assert!(matches!(error(&huge, 0), HeaderError::ImpossibleShape { .. } | HeaderError::Truncated { .. }));
        let twice = r#"{"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
        assert!(matches!(error(twice, 0), HeaderError::Duplicate(_)));
        let overlap = r#"{"s":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"t":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
        assert!(matches!(error(overlap, 3), HeaderError::NotContiguous { expected: 2, .. }));
    }

    #[test]
    fn the_length_is_checked_before_it_is_used() {
        assert!(matches!(length(b"short", 5), Err(HeaderError::TooShort { .. })));
        assert!(matches!(length(&u64::MAX.to_le_bytes(), 8), Err(HeaderError::TooLong(u64::MAX))));
        assert!(matches!(length(&64u64.to_le_bytes(), 71), Err(HeaderError::TooShort { expected: 72, actual: 71 })));
        assert!(matches!(length(&64u64.to_le_bytes(), 72), Ok(72)));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let text = format!("{{\"t\":{}", "[".repeat(200_000));
        assert!(matches!(error(&text, 0), HeaderError::Invalid(_)));
    }
}
