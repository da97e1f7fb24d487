//! `pytorch_model.bin`: a ZIP archive of a pickled dictionary and the bytes of its tensors.
//!
//! candle's interpreter reads the pickle. It builds values and calls nothing, so that no code in the file runs. What is
//! taken from the result is checked here: a name, a type, extents, strides and the archive's member that holds the bytes.

mod limits;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
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
    /// A tensor claims more bytes than the file has.
    #[error(
        "tensor '{0}' takes more bytes than the file has: load it in PyTorch and save it anew, in safetensors form"
    )]
    TooLarge(String),
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
    /// The archive's member that holds the storage.
    pub storage: String,
}

/// What a pickled file lists.
#[derive(Debug, Default)]
pub struct Listing {
    /// Its tensors.
    pub tensors: Vec<PickledTensor>,
    /// Tensors of a kind that is not read.
    pub others: Vec<String>,
}

/// What the file of `size` bytes that begins with `start` lists.
///
/// # Errors
///
/// Fails if the file is not as PyTorch writes it; with [`PickleError::CutShort`] if `start` does not hold the list in full.
pub fn list(start: &[u8], size: u64) -> Result<Listing, PickleError> {
    let (archive, pickle) = first_member(start)?;
    let pickle = &pickle[..limits::check(pickle)?];
    let mut stack = Stack::empty();
    let unreadable = |error: candle_core::Error| PickleError::Unreadable(error.to_string());
    stack.read_loop(&mut std::io::Cursor::new(pickle)).map_err(unreadable)?;
    let object = stack.finalize().map_err(unreadable)?;
    let mut listing = Listing::default();
    collect(&object, archive, &mut listing);
    let mut names = HashSet::new();
    for PickledTensor { info, .. } in &listing.tensors {
        if !names.insert(&info.name) {
            return Err(PickleError::Duplicate(info.name.clone()));
        }
        if info.bytes.end > size {
            return Err(PickleError::TooLarge(info.name.clone()));
        }
    }
    if listing.tensors.is_empty() { Err(PickleError::NoTensors) } else { Ok(listing) }
}

/// What the file at `path` lists.
///
/// # Errors
///
/// Fails if the file cannot be read; the inner result, if it is not as PyTorch writes it.
pub fn list_file(path: &Path) -> std::io::Result<Result<Listing, PickleError>> {
    let size = std::fs::metadata(path)?.len();
    let mut file = BufReader::new(File::open(path)?);
    let mut start = Vec::new();
    loop {
        let missing = if start.is_empty() { FIRST_READ } else { start.len() as u64 };
        let read = file.by_ref().take(missing).read_to_end(&mut start)?;
        match list(&start, size) {
            Err(PickleError::CutShort) if read > 0 && (start.len() as u64) < MAX_LIST => {}
            listed => return Ok(listed),
        }
    }
}

/// The archive's folder, and the bytes from the start of its first member, which is the pickle.
fn first_member(start: &[u8]) -> Result<(&str, &[u8]), PickleError> {
    let number = |at: usize| start.get(at..at + 2).map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    if start.starts_with(b"version https://git-lfs") {
        return Err(PickleError::LfsPointer);
    }
    if !start.starts_with(b"PK\x03\x04") {
        return Err(PickleError::NoArchive);
    }
    let (Some(method), Some(name), Some(extra)) = (number(8), number(26), number(28)) else {
        return Err(PickleError::NoPickle);
    };
    let folder = start.get(LOCAL_HEADER..LOCAL_HEADER + name).and_then(|name| name.strip_suffix(b"/data.pkl"));
    let folder = folder.filter(|_| method == 0).and_then(|folder| std::str::from_utf8(folder).ok());
    folder.zip(start.get(LOCAL_HEADER + name + extra..)).ok_or(PickleError::NoPickle)
}

/// The tensors of a dictionary, and of those that training scripts put one into.
fn collect(object: &Object, archive: &str, listing: &mut Listing) {
    let Object::Dict(entries) = object else { return };
    for (key, value) in entries {
        let Object::Unicode(name) = key else { continue };
        match value {
            Object::Dict(_) if matches!(name.as_str(), "state_dict" | "model" | "module") => {
                collect(value, archive, listing);
            }
            Object::Reduce { .. } => match tensor(name, archive, value) {
                Some(tensor) => listing.tensors.push(tensor),
                None => listing.others.push(name.clone()),
            },
            _ => {}
        }
    }
}

/// The tensor that a pickled value rebuilds, if it is one of a type that is known here.
fn tensor(name: &str, archive: &str, value: &Object) -> Option<PickledTensor> {
    let Object::Reduce { callable, args } = value else { return None };
    let Object::Class { module_name, class_name } = &**callable else { return None };
    let Object::Tuple(args) = &**args else { return None };
    match (module_name.as_str(), class_name.as_str()) {
        ("torch._utils", "_rebuild_parameter") => return tensor(name, archive, args.first()?),
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
    Some(PickledTensor { info, strides, storage: format!("{archive}/data/{key}") })
}

fn size(object: &Object) -> Option<usize> {
    match object {
        Object::Int(number) => usize::try_from(*number).ok(),
        Object::Long(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

/// Where in the archive at `path` the storages of `tensors` begin, and how many bytes each has.
///
/// # Errors
///
/// Fails if the archive cannot be read, or does not hold a storage as it is.
pub fn storages(path: &Path, tensors: &[PickledTensor]) -> Result<HashMap<String, (u64, u64)>, PickleError> {
    let broken = |error: &dyn std::fmt::Display| PickleError::NotWhole(error.to_string());
    let file = File::open(path).map_err(|error| broken(&error))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| broken(&error))?;
    let folder = tensors.first().and_then(|tensor| tensor.storage.split_once("/data/"));
    let folder = folder.map_or("", |(folder, _)| folder);
    if let Ok(mut member) = archive.by_name(&format!("{folder}/byteorder")) {
        let mut order = String::new();
        member.by_ref().take(16).read_to_string(&mut order).map_err(|error| broken(&error))?;
        if order != "little" {
            return Err(PickleError::Unreadable("its numbers are stored with the high byte first".into()));
        }
    }
    let mut storages = HashMap::new();
    for tensor in tensors {
        if storages.contains_key(&tensor.storage) {
            continue;
        }
        let member = archive.by_name(&tensor.storage).map_err(|error| broken(&error))?;
        let start = member.data_start().filter(|_| member.compression() == zip::CompressionMethod::Stored);
        let start = start.ok_or_else(|| PickleError::Unreadable("its archive is compressed".into()))?;
        storages.insert(tensor.storage.clone(), (start, member.size()));
    }
    Ok(storages)
}

fn invalid(reason: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, reason.to_owned())
}

/// The bytes `range` of `tensor`, element after element in row-major order, from the file at `path`, in which its storage
/// begins at `start` and has `available` bytes.
///
/// # Errors
///
/// Fails if the file cannot be read, or if the tensor reaches beyond its storage.
pub fn read(
    path: &Path,
    tensor: &PickledTensor,
    (start, available): (u64, u64),
    range: Range<u64>,
) -> std::io::Result<Vec<u8>> {
    let element = tensor.info.dtype.bitsize() / 8;
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let is_row_major = is_row_major(tensor);
    let within = if is_row_major { range.clone() } else { 0..span(tensor, element)? };
    let from = tensor.info.bytes.start + within.start;
    let end = tensor.info.bytes.start.checked_add(within.end).filter(|end| *end <= available);
    if end.is_none() {
        return Err(invalid("it reaches beyond its storage"));
    }
    let mut bytes = vec![0; (within.end - within.start) as usize];
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start + from))?;
    file.read_exact(&mut bytes)?;
    if is_row_major {
        return Ok(bytes);
    }
    Ok(gather(tensor, &bytes, element)[range.start as usize..range.end as usize].to_vec())
}

/// The bytes from a view's first element to its last, which are more than its own.
fn span(tensor: &PickledTensor, element: usize) -> std::io::Result<u64> {
    let steps = tensor.info.shape.iter().zip(&tensor.strides);
    let last = steps
        .into_iter()
        .try_fold(0usize, |last, (extent, stride)| last.checked_add(extent.saturating_sub(1).checked_mul(*stride)?));
    let bytes = last.and_then(|last| last.checked_add(1)?.checked_mul(element));
    bytes.map(|bytes| bytes as u64).ok_or_else(|| invalid("its strides are impossible"))
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
