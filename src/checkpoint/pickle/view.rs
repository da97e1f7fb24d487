//! Reads a tensor's elements from its storage, in which they can have any strides.
//!
//! PyTorch stores memory that several tensors share only once, with the offset and strides of each tensor. A transposed matrix
//! is stored untransposed, and a slice together with the tensor that it was cut from.

use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;

use super::PickledTensor;
use crate::source::Blob;

/// How many bytes are read at once if elements are not in row-major order.
const BUFFER: usize = 256 << 10;

/// Whether each element of a tensor has a place of its own, except for dimensions of stride zero, as in an expanded tensor.
/// Other tensors are not read, because their strides could turn a few bytes of a file into very many.
pub fn is_possible(tensor: &PickledTensor) -> bool {
    let steps = tensor.info.shape.iter().zip(&tensor.strides);
    let mut steps: Vec<_> = steps.filter(|(extent, stride)| **extent > 1 && **stride > 0).collect();
    steps.sort_unstable_by_key(|(_, stride)| **stride);
    let mut reach = Some(0usize);
    let is_apart = steps.into_iter().all(|(extent, stride)| {
        let is_beyond = reach.is_some_and(|reach| *stride > reach);
        reach = reach.and_then(|reach| (extent - 1).checked_mul(*stride)?.checked_add(reach));
        is_beyond
    });
    is_apart && end(tensor).is_some()
}

/// The end of a tensor's last element in its storage, in bytes; `None` if it overflows.
pub fn end(tensor: &PickledTensor) -> Option<u64> {
    let start = tensor.info.bytes.start;
    if tensor.info.shape.contains(&0) {
        return Some(start);
    }
    let mut steps = tensor.info.shape.iter().zip(&tensor.strides);
    let last = steps.try_fold(0usize, |last, (extent, stride)| last.checked_add((extent - 1).checked_mul(*stride)?))?;
    let bytes = (last as u64).checked_add(1)?.checked_mul(element(tensor) as u64)?;
    start.checked_add(bytes)
}

/// Reads the bytes `range` of `tensor` in row-major order. `storage` is the offset of its storage in `file`, which must
/// contain the whole tensor.
pub fn read(file: &Blob, tensor: &PickledTensor, storage: u64, range: Range<u64>) -> std::io::Result<Vec<u8>> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let start = storage + tensor.info.bytes.start;
    let length = (range.end - range.start) as usize;
    if is_row_major(tensor) {
        let bytes = file.read(start + range.start..start + range.end)?;
        return if bytes.len() == length { Ok(bytes.into_owned()) } else { Err(ErrorKind::UnexpectedEof.into()) };
    }
    let row = tensor.info.shape[1..].iter().product::<usize>() * element(tensor);
    let (first, last) = (range.start as usize / row, (range.end as usize).div_ceil(row));
    let mut rows = gather(file, start, tensor, first..last)?;
    rows.drain(..range.start as usize - first * row);
    rows.truncate(length);
    Ok(rows)
}

fn element(tensor: &PickledTensor) -> usize {
    tensor.info.dtype.bitsize() / 8
}

fn is_row_major(tensor: &PickledTensor) -> bool {
    let mut expected = 1;
    tensor.info.shape.iter().zip(&tensor.strides).rev().all(|(extent, stride)| {
        let fits = *extent == 1 || *stride == expected;
        expected *= extent;
        fits
    })
}

/// A dimension of a view. Its neighbours are `stride` elements apart in the file, and `step` elements in row-major order.
#[derive(Clone, Copy)]
struct Dimension {
    extent: usize,
    stride: usize,
    step: usize,
}

/// Reads the rows `rows` of a view that begins at `start` in the order of the file, and returns them in row-major order.
fn gather(file: &Blob, start: u64, tensor: &PickledTensor, rows: Range<usize>) -> std::io::Result<Vec<u8>> {
    let element = element(tensor);
    let mut dimensions = Vec::new();
    let mut elements = 1;
    for (&extent, &stride) in tensor.info.shape.iter().zip(&tensor.strides).rev() {
        let is_first = dimensions.len() + 1 == tensor.strides.len();
        let extent = if is_first { rows.len() } else { extent };
        dimensions.push(Dimension { extent, stride, step: elements });
        elements *= extent;
    }
    dimensions.sort_by_key(|dimension| std::cmp::Reverse(dimension.stride));
    // Elements that are contiguous in both orders are read together.
    let run = match dimensions.last() {
        Some(Dimension { extent, stride: 1, step: 1 }) => {
            let extent = *extent;
            dimensions.pop();
            extent
        }
        _ => 1,
    };
    let mut gathered = vec![0; elements * element];
    let mut reader = BufReader::with_capacity(BUFFER, file.reader());
    reader.seek(SeekFrom::Start(start + (rows.start * tensor.strides[0] * element) as u64))?;
    let mut at = 0;
    each_place(&dimensions, |place, step| {
        // The offsets are within one storage, whose size fits into an i64.
        reader.seek_relative((place as i64 - at) * element as i64)?;
        reader.read_exact(&mut gathered[step * element..][..run * element])?;
        at = (place + run) as i64;
        Ok(())
    })?;
    Ok(gathered)
}

/// Calls `visit` with the place of each element in the file and in row-major order.
fn each_place(
    dimensions: &[Dimension],
    mut visit: impl FnMut(usize, usize) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut counters = vec![0; dimensions.len()];
    let (mut place, mut step) = (0, 0);
    'elements: loop {
        visit(place, step)?;
        for (counter, dimension) in counters.iter_mut().zip(dimensions).rev() {
            *counter += 1;
            if *counter < dimension.extent {
                place += dimension.stride;
                step += dimension.step;
                continue 'elements;
            }
            *counter = 0;
            place -= (dimension.extent - 1) * dimension.stride;
            step -= (dimension.extent - 1) * dimension.step;
        }
        return Ok(());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use safetensors::Dtype;

    use super::*;
    use crate::checkpoint::header::TensorInfo;

    fn view(shape: &[usize], strides: &[usize], offset: u64) -> PickledTensor {
        let bytes = offset..offset + 2 * shape.iter().product::<usize>() as u64;
        PickledTensor {
            info: TensorInfo { name: "m.weight".into(), dtype: Dtype::I16, shape: shape.to_vec(), bytes },
            strides: strides.to_vec(),
            storage: "0".into(),
            bytes_in_storage: u64::MAX,
        }
    }

    /// The bytes of a view in a storage whose elements are 0, 1, 2, and so on.
    fn numbers(tensor: &PickledTensor) -> Vec<u8> {
        let mut numbers = vec![tensor.info.bytes.start as usize / 2];
        for (extent, stride) in tensor.info.shape.iter().zip(&tensor.strides) {
            numbers = numbers.iter().flat_map(|first| (0..*extent).map(move |at| first + at * stride)).collect();
        }
        numbers.into_iter().flat_map(|number| (number as i16).to_le_bytes()).collect()
    }

    fn blob(file: &tempfile::NamedTempFile) -> Blob {
        let blob = Blob::new("pytorch_model.bin");
        blob.complete(file.path()).expect("opened");
        blob
    }

    fn counting(elements: i16) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        let numbers: Vec<u8> = (0..elements).flat_map(i16::to_le_bytes).collect();
        file.write_all(&[&[0xff; 7][..], &numbers].concat()).expect("written");
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn any_view_is_read_in_row_major_order(
            // The extent of each dimension, and the gap between two neighbours in the storage.
            dimensions in proptest::collection::vec((1usize..6, 0usize..3), 1..5),
            order in any::<[u8; 4]>(),
            expanded in 0usize..9,
            offset in 0u64..5,
            range in any::<[prop::sample::Index; 2]>(),
        ) {
            let mut places: Vec<usize> = (0..dimensions.len()).collect();
            places.sort_by_key(|place| order[*place]);
            let mut strides = vec![0; dimensions.len()];
            let mut next = 1;
            for place in places {
                strides[place] = next + dimensions[place].1;
                next = strides[place] * dimensions[place].0;
            }
            if let Some(stride) = strides.get_mut(expanded) {
                *stride = 0;
            }
            let shape: Vec<usize> = dimensions.iter().map(|(extent, _)| *extent).collect();
            let tensor = view(&shape, &strides, 2 * offset);
            prop_assert!(is_possible(&tensor));
            let expected = numbers(&tensor);
            let file = counting(i16::MAX);
            prop_assume!(end(&tensor).is_some_and(|end| end <= 2 * i16::MAX as u64));
            let [first, last] = range.map(|index| 2 * index.index(expected.len() / 2 + 1));
            let range = first.min(last)..first.max(last);
            let read = read(&blob(&file), &tensor, 7, range.start as u64..range.end as u64).expect("readable");
            prop_assert_eq!(read, &expected[range]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn rows_that_lie_far_apart_are_read_without_what_lies_between() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        // Holes take no space on disk, but reading them would take 64 GB of memory.
        file.as_file().set_len(1 << 37).expect("a file with a hole");
        let tensor = view(&[4, 3], &[1 << 34, 1], 0);
        assert_eq!(end(&tensor), Some(((3 << 34) + 3) * 2));
        assert_eq!(read(&blob(&file), &tensor, 0, 0..24).expect("readable"), [0; 24]);
    }

    #[test]
    fn strides_that_lead_to_one_element_twice_are_impossible() {
        for (shape, strides, is) in [
            (&[4, 4][..], &[4, 1][..], true),
            (&[4, 4], &[1, 4], true),
            (&[4, 4], &[0, 1], true),
            (&[1, 4], &[9, 1], true),
            (&[0, 4], &[1, 1], true),
            (&[4, 4], &[3, 1], false),
            (&[4, 4], &[1, 1], false),
            (&[3, 2], &[usize::MAX / 2, 1], false),
            (&[3, 3], &[usize::MAX, 1], false),
        ] {
            assert_eq!(is_possible(&view(shape, strides, 0)), is, "{shape:?} {strides:?}");
        }
    }
}
