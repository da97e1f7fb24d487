//! `pytorch_model.bin`: a ZIP archive of a pickled dictionary and the bytes of its tensors.
//!
//! candle's interpreter reads the pickle. It builds values and calls nothing, so that no code in the file runs. What is
//! taken from the result is checked here: a name, a type, extents, strides and the archive's member that holds the bytes.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::pickle::{Object, Stack};
use safetensors::Dtype;
use zip::ZipArchive;

use super::header::TensorInfo;

/// How much of a file is read first; a list of a few hundred tensors takes less.
pub const FIRST_READ: u64 = 128 << 10;

/// The most of a file that is read for the list of its tensors.
pub const MAX_LIST: u64 = 256 << 20;

/// The length of the fixed part of a member's header in a ZIP archive (APPNOTE 6.3.10, section 4.3.7).
const LOCAL_HEADER: usize = 30;

/// What is wrong with a pickled file.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// It is not an archive.
    #[error(
        "it is no ZIP archive, as PyTorch writes them since version 1.6: load it in PyTorch and save it anew, in safetensors form"
    )]
    NoArchive,
    /// The archive does not begin with the list of tensors.
    #[error("its archive does not begin with an uncompressed data.pkl: it is not as PyTorch writes it")]
    NoPickle,
    /// The pickle breaks off, or has something in it that is no state dictionary.
    #[error("its data.pkl cannot be read ({0}): load it in PyTorch and save it anew, in safetensors form")]
    Unreadable(String),
    /// There is something else than a dictionary of tensors.
    #[error("its data.pkl is no dictionary of tensors: it is no model's weights")]
    NoTensors,
}

impl PickleError {
    /// Whether more of the file might help.
    pub fn may_be_cut_short(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }
}

/// A tensor of a pickled file.
#[derive(Clone, Debug, PartialEq)]
pub struct PickledTensor {
    /// Its name, type and extents; its bytes are counted from the start of its storage.
    pub info: TensorInfo,
    /// The elements between neighbours along each dimension.
    pub strides: Vec<usize>,
    /// The archive's member that holds the storage, within the archive's folder.
    pub storage: String,
}

/// The tensors that the file beginning with `start` lists.
///
/// # Errors
///
/// Fails if the file is not as PyTorch writes it, or if `start` does not hold the list in full.
pub fn list(start: &[u8]) -> Result<Vec<PickledTensor>, PickleError> {
    let pickle = first_member(start)?;
    let mut stack = Stack::empty();
    let unreadable = |error: candle_core::Error| PickleError::Unreadable(error.to_string());
    stack.read_loop(&mut std::io::Cursor::new(pickle)).map_err(unreadable)?;
    let object = stack.finalize().map_err(unreadable)?;
    let mut tensors = Vec::new();
    collect(&object, &mut tensors);
    if tensors.is_empty() { Err(PickleError::NoTensors) } else { Ok(tensors) }
}

/// The tensors that the file at `path` lists.
///
/// # Errors
///
/// Fails if the file cannot be read; the inner result, if it is not as PyTorch writes it.
pub fn list_file(path: &Path) -> std::io::Result<Result<Vec<PickledTensor>, PickleError>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut start = Vec::new();
    loop {
        let missing = if start.is_empty() { FIRST_READ } else { start.len() as u64 };
        let read = file.by_ref().take(missing).read_to_end(&mut start)?;
        match list(&start) {
            Err(error) if error.may_be_cut_short() && read > 0 && (start.len() as u64) < MAX_LIST => {}
            listed => return Ok(listed),
        }
    }
}

/// The bytes from the start of the archive's first member, which is the pickle.
fn first_member(start: &[u8]) -> Result<&[u8], PickleError> {
    let number = |at: usize| start.get(at..at + 2).map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    if !start.starts_with(b"PK\x03\x04") {
        return Err(PickleError::NoArchive);
    }
    let (Some(method), Some(name), Some(extra)) = (number(8), number(26), number(28)) else {
        return Err(PickleError::NoPickle);
    };
    let is_pickle =
        start.get(LOCAL_HEADER..LOCAL_HEADER + name).is_some_and(|name| name.ends_with(b"/data.pkl")) && method == 0;
    start.get(LOCAL_HEADER + name + extra..).filter(|_| is_pickle).ok_or(PickleError::NoPickle)
}

/// The tensors of a dictionary, and of those that training scripts put one into.
fn collect(object: &Object, tensors: &mut Vec<PickledTensor>) {
    let Object::Dict(entries) = object else { return };
    for (key, value) in entries {
        let Object::Unicode(name) = key else { continue };
        match value {
            Object::Dict(_) if matches!(name.as_str(), "state_dict" | "model" | "module") => collect(value, tensors),
            _ => tensors.extend(tensor(name, value)),
        }
    }
}

/// The tensor that a pickled value rebuilds, if it is one of a type that is known here.
fn tensor(name: &str, value: &Object) -> Option<PickledTensor> {
    let Object::Reduce { callable, args } = value else { return None };
    let Object::Class { module_name, class_name } = &**callable else { return None };
    let Object::Tuple(args) = &**args else { return None };
    match (module_name.as_str(), class_name.as_str()) {
        ("torch._utils", "_rebuild_parameter") => return tensor(name, args.first()?),
        ("torch._utils", "_rebuild_tensor_v2") => {}
        _ => return None,
    }
    let [Object::PersistentLoad(storage), offset, Object::Tuple(shape), Object::Tuple(strides), ..] = &args[..] else {
        return None;
    };
    let Object::Tuple(storage) = &**storage else { return None };
    let [_, Object::Class { class_name, .. }, Object::Unicode(key), ..] = &storage[..] else { return None };
    let dtype = match class_name.as_str() {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        _ => return None,
    };
    let shape: Vec<usize> = shape.iter().map(size).collect::<Option<_>>()?;
    let strides: Vec<usize> = strides.iter().map(size).collect::<Option<_>>()?;
    if shape.len() != strides.len() {
        return None;
    }
    let element = dtype.bitsize() / 8;
    let elements = shape.iter().try_fold(1usize, |product, extent| product.checked_mul(*extent))?;
    let start = size(offset)?.checked_mul(element)? as u64;
    let end = start.checked_add(elements.checked_mul(element)? as u64)?;
    let info = TensorInfo { name: name.to_owned(), dtype, shape, bytes: start..end };
    Some(PickledTensor { info, strides, storage: key.clone() })
}

fn size(object: &Object) -> Option<usize> {
    match object {
        Object::Int(number) => usize::try_from(*number).ok(),
        Object::Long(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

/// The bytes of `tensor` in the archive at `path`, element after element in row-major order.
///
/// # Errors
///
/// Fails if the archive cannot be read, or does not hold as many bytes as the tensor needs.
pub fn read(path: &Path, tensor: &PickledTensor) -> std::io::Result<Vec<u8>> {
    let invalid = |reason: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, reason.to_owned());
    let mut archive = ZipArchive::new(File::open(path)?).map_err(|error| invalid(&error.to_string()))?;
    let ending = format!("/data/{}", tensor.storage);
    let names = archive.file_names().map(|name| name.map(|name| name.into_owned()));
    let names: Vec<String> = names.collect::<Result<_, _>>().map_err(|error| invalid(&error.to_string()))?;
    let name =
        names.iter().find(|name| name.ends_with(&ending)).ok_or_else(|| invalid("its archive lacks a storage"))?;
    let member = archive.by_name(name).map_err(|error| invalid(&error.to_string()))?;
    if member.compression() != zip::CompressionMethod::Stored {
        return Err(invalid("its archive is compressed"));
    }
    let (start, available) =
        (member.data_start().ok_or_else(|| invalid("its archive lacks a storage"))?, member.size());
    drop(member);
    let element = tensor.info.dtype.bitsize() / 8;
    let elements: usize = tensor.info.shape.iter().product();
    if elements == 0 {
        return Ok(Vec::new());
    }
    // The elements from the tensor's first to its last, which are more than its own if it is a view.
    let last = tensor
        .info
        .shape
        .iter()
        .zip(&tensor.strides)
        .try_fold(0usize, |last, (extent, stride)| last.checked_add((extent - 1).checked_mul(*stride)?));
    let span = last.and_then(|last| (last + 1).checked_mul(element)).ok_or_else(|| invalid("impossible strides"))?;
    let end = tensor.info.bytes.start.checked_add(span as u64);
    if end.is_none_or(|end| end > available) {
        return Err(invalid("a tensor reaches beyond its storage"));
    }
    let mut bytes = vec![0; span];
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start + tensor.info.bytes.start))?;
    file.read_exact(&mut bytes)?;
    Ok(if span == elements * element && is_row_major(tensor) { bytes } else { gather(tensor, &bytes, element) })
}

fn is_row_major(tensor: &PickledTensor) -> bool {
    let mut expected = 1;
    tensor.info.shape.iter().zip(&tensor.strides).rev().all(|(extent, stride)| {
        let fits = *extent == 1 || *stride == expected;
        expected *= extent;
        fits
    })
}

/// The elements of a view in row-major order.
fn gather(tensor: &PickledTensor, bytes: &[u8], element: usize) -> Vec<u8> {
    let shape = &tensor.info.shape;
    let elements: usize = shape.iter().product();
    let mut gathered = Vec::with_capacity(elements * element);
    for at in 0..elements {
        let mut rest = at;
        let mut place = 0;
        for (extent, stride) in shape.iter().zip(&tensor.strides).rev() {
            place += rest % extent * stride;
            rest /= extent;
        }
        gathered.extend_from_slice(&bytes[place * element..][..element]);
    }
    gathered
}
