//! Small checkpoints, sound and unsound.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A tensor that is to be written.
pub struct Tensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// A matrix of pseudo-random F32 numbers that depend on its name.
pub fn matrix(name: &str, rows: usize, columns: usize) -> Tensor {
    let mut state = name.bytes().fold(7u64, |state, byte| state.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    of_numbers(name, rows, columns, (0..rows * columns).map(|_| number()).collect())
}

/// A matrix of these F32 numbers.
pub fn of_numbers(name: &str, rows: usize, columns: usize, numbers: Vec<f32>) -> Tensor {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Tensor { name: name.into(), dtype: Dtype::F32, shape: vec![rows, columns], bytes }
}

/// A convolution of eight channels from four, three by three.
pub fn conv(name: &str) -> Tensor {
    Tensor { shape: vec![8, 4, 3, 3], ..matrix(name, 8, 36) }
}

/// A tensor of zeros, of this type and shape.
pub fn zeros(name: &str, dtype: Dtype, shape: &[usize]) -> Tensor {
    let bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
    Tensor { name: name.into(), dtype, shape: shape.into(), bytes }
}

/// A vector of zeros, in F32.
pub fn vector(name: &str, length: usize) -> Tensor {
    zeros(name, Dtype::F32, &[length])
}

/// The bytes of a safetensors file with these tensors.
pub fn file(tensors: &[Tensor]) -> Vec<u8> {
    file_with_metadata(tensors, None)
}

/// The bytes of a safetensors file with these tensors and this metadata.
pub fn file_with_metadata(tensors: &[Tensor], metadata: Option<HashMap<String, String>>) -> Vec<u8> {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (tensor.name.clone(), view.expect("a sound tensor"))
    });
    safetensors::serialize(views, metadata).expect("a sound file")
}

/// The bytes of a file with this header, whatever it says, and as many bytes of data.
pub fn raw_file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// Writes a model of one file into `folder`: three layers of two square modules each.
pub fn write_model(folder: &Path, size: usize) {
    write_shards(folder, &[("model.safetensors", layers(3, size))]);
}

/// The tensors of some layers.
pub fn layers(count: usize, size: usize) -> Vec<Tensor> {
    (0..count)
        .flat_map(|layer| {
            ["self_attn.q_proj", "mlp.up_proj"]
                .map(|leaf| matrix(&format!("model.layers.{layer}.{leaf}.weight"), size, size))
        })
        .collect()
}

/// Writes files into `folder`, with an index if there are several.
pub fn write_shards(folder: &Path, shards: &[(&str, Vec<Tensor>)]) {
    fs::create_dir_all(folder).expect("created");
    let mut weight_map = serde_json::Map::new();
    for (name, tensors) in shards {
        fs::write(folder.join(name), file(tensors)).expect("written");
        weight_map.extend(tensors.iter().map(|tensor| (tensor.name.clone(), (*name).into())));
    }
    if shards.len() > 1 {
        let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map });
        fs::write(folder.join("model.safetensors.index.json"), index.to_string()).expect("written");
    }
}
