//! The header of a safetensors file, read as if its author meant harm.
//!
//! A file is eight bytes that give the header's length, the header as a JSON object, then the tensors' bytes without
//! gaps. Nothing in it is believed before it is checked: lengths against the file's size, products with overflow in
//! mind, ranges against each other. What passes here is what the `safetensors` crate accepts; the checks are made in this
//! room because its errors do not name the tensor, and because it reads a header only together with the tensors' bytes.

use std::collections::BTreeSet;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;

use super::entries::{Entries, Entry};
use super::excerpt::excerpt;

/// The longest header that the format allows, in bytes.
pub const MAX_HEADER: u64 = 100_000_000;

/// How a pointer of Git LFS begins, which stands for a file that has not been fetched.
pub const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// The bytes before the header, which give its length.
pub const PREFIX: u64 = 8;

/// One tensor as the header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The tensor's name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its extents, slowest first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its bytes, counted from the end of the header.
    pub bytes: Range<u64>,
}

/// What a header says.
#[derive(Debug)]
pub struct Header {
    /// The file's tensors, in the order of their data.
    pub tensors: Vec<TensorInfo>,
    /// Names that `__metadata__` gives to tensors beside their own, as `safetensors.torch.save_model` does where several
    /// modules share a tensor: `(alias, tensor)`.
    pub aliases: Vec<(String, String)>,
    /// Tensors of a kind that is not read; a safetensors file has none.
    pub others: Vec<String>,
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file ends before the header does.
    #[error(
        "it ends after {actual} of the {expected} bytes that its header takes: it is no safetensors file, or is cut short"
    )]
    TooShort {
        /// Bytes that there should be, at least.
        expected: u64,
        /// Bytes that there are.
        actual: u64,
    },
    /// The file is not the one that it stands for.
    #[error("it is a pointer of Git LFS, not the weights: run 'git lfs pull' in the model's folder")]
    LfsPointer,
    /// The length in front of the header is beyond what the format allows.
    #[error(
        "it claims a header of {0} bytes, more than the {MAX_HEADER} that the format allows: it is no safetensors file"
    )]
    TooLong(u64),
    /// The header is not the JSON object that it should be.
    #[error("its header is not valid: {}", excerpt(.0))]
    Invalid(#[from] serde_json::Error),
    /// A name stands twice.
    #[error("its header lists tensor '{0}' twice")]
    Duplicate(String),
    /// A type of element that the format does not know.
    #[error("tensor '{name}' has the unknown dtype '{}'", excerpt(.dtype))]
    UnknownDtype {
        /// The tensor.
        name: String,
        /// Its dtype, as written.
        dtype: String,
    },
    /// The shape times the element's size is no whole number of bytes, or more than can be counted.
    #[error("tensor '{name}' has the impossible shape {shape:?}")]
    ImpossibleShape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// Offsets and shape disagree.
    #[error("tensor '{name}' claims bytes {start} to {end}, but its dtype and shape make {size} bytes")]
    WrongSize {
        /// The tensor.
        name: String,
        /// The first byte it claims.
        start: u64,
        /// The byte after the last it claims.
        end: u64,
        /// Bytes by its dtype and shape.
        size: u64,
    },
    /// Tensors overlap, or leave a gap.
    #[error("tensor '{name}' starts at byte {start} of the data, where byte {expected} is next")]
    NotContiguous {
        /// The tensor.
        name: String,
        /// The first byte it claims.
        start: u64,
        /// The end of the tensor before it.
        expected: u64,
    },
    /// The data ends early.
    #[error(
        "tensor '{name}' ends at byte {end} of the file, which has only {actual}: the file is cut short; download or copy it again"
    )]
    Truncated {
        /// The first tensor that is not there in full.
        name: String,
        /// Where it should end, counted from the start of the file.
        end: u64,
        /// The file's size.
        actual: u64,
    },
    /// Something follows the last tensor.
    #[error("{0} bytes follow its last tensor: the file is not what its header says")]
    Trailing(u64),
}

/// The number of bytes that the header takes, the [`PREFIX`] with it, from a file's first bytes.
///
/// # Errors
///
/// Fails if `start` is shorter than the prefix, or gives a length beyond the file's size or the format's limit.
pub fn extent(start: &[u8], file_size: u64) -> Result<u64, HeaderError> {
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

/// What a file of `file_size` bytes holds that starts with `header` ([`extent`] bytes).
///
/// # Errors
///
/// [`HeaderError`] has a variant for every way in which a header can lie.
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
        let Ok(dtype) =
            Dtype::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(&self.dtype))
        else {
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

    /// A file with this header text and as many data bytes: its first bytes, and its size.
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
        assert_eq!(extent(&bytes, size).expect("a whole header"), bytes.len() as u64);
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
        assert!(matches!(extent(b"short", 5), Err(HeaderError::TooShort { .. })));
        assert!(matches!(extent(&u64::MAX.to_le_bytes(), 8), Err(HeaderError::TooLong(u64::MAX))));
        assert!(matches!(extent(&64u64.to_le_bytes(), 71), Err(HeaderError::TooShort { expected: 72, actual: 71 })));
        assert!(matches!(extent(&64u64.to_le_bytes(), 72), Ok(72)));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let text = format!("{{\"t\":{}", "[".repeat(200_000));
        assert!(matches!(error(&text, 0), HeaderError::Invalid(_)));
    }
}
