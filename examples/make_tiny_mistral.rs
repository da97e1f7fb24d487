//! Writes `examples/tiny-mistral`: a checkpoint with Mistral's names and shapes in small, two shards and an index, whose
//! weights have planted spectra under a little noise.
//!
//! ```text
//! cargo run --example make_tiny_mistral -- examples/tiny-mistral
//! ```
//!
//! The bytes are the same on every machine: the only arithmetic is addition, multiplication, division and square
//! root, which IEEE 754 defines to the last bit, and the random numbers come from a generator that is written out here.

use std::collections::BTreeMap;
use std::path::Path;

use half::bf16;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

const LAYERS: usize = 4;
const HIDDEN: usize = 128;
const KEYS: usize = 32;
const INTERMEDIATE: usize = 352;
const VOCABULARY: usize = 256;

/// The standard deviation of the noise.
const NOISE: f64 = 0.002;

/// Name, rows and columns of a layer's linear modules, and the decay of the spectrum that is planted in each layer: its
/// k-th singular value is 1 / (1 + (k - 1) / decay). A small decay is a steep one, as of a layer that has learnt much.
const MODULES: [(&str, usize, usize, [f64; LAYERS]); 7] = [
    ("self_attn.q_proj", HIDDEN, HIDDEN, [4.0, 1.0, 3.0, 2.0]),
    ("self_attn.k_proj", KEYS, HIDDEN, [2.0, 4.0, 1.0, 3.0]),
    ("self_attn.v_proj", KEYS, HIDDEN, [1.0, 2.0, 3.0, 4.0]),
    ("self_attn.o_proj", HIDDEN, HIDDEN, [3.0, 4.0, 2.0, 1.0]),
    ("mlp.gate_proj", INTERMEDIATE, HIDDEN, [2.0, 3.0, 4.0, 1.0]),
    ("mlp.up_proj", INTERMEDIATE, HIDDEN, [1.0, 2.0, 3.0, 4.0]),
    ("mlp.down_proj", HIDDEN, INTERMEDIATE, [3.0, 1.0, 4.0, 2.0]),
];

/// The SplitMix64 generator (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Nearly normal with variance 1: the sum of twelve uniform numbers, less its mean.
    fn normal(&mut self) -> f64 {
        let uniform = |bits: u64| (bits >> 11) as f64 / (1u64 << 53) as f64;
        (0..12).map(|_| uniform(self.bits())).sum::<f64>() - 6.0
    }
}

/// Noise plus directions whose singular values fall off with `decay`, as the bytes of BF16 numbers.
///
/// Row k of a Hadamard matrix has the sign of the parity of k & column, so different k are orthogonal on a power of two
/// of columns; longer vectors have zeros in the rest.
fn weight(random: &mut Random, rows: usize, columns: usize, decay: f64) -> Vec<u8> {
    let (height, width) = (power_of_two_below(rows), power_of_two_below(columns));
    let sign = |k: usize, at: usize| if (k & at).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    // The vectors have ±1 in each place, so their lengths are the roots of their dimensions.
    let length = ((height * width) as f64).sqrt();
    let planted: Vec<f64> = (0..height.min(width)).map(|k| 1.0 / (1.0 + k as f64 / decay) / length).collect();
    let mut bytes = Vec::with_capacity(2 * rows * columns);
    for row in 0..rows {
        for column in 0..columns {
            let mut value = NOISE * random.normal();
            if row < height && column < width {
                value += planted.iter().enumerate().map(|(k, s)| s * sign(k, row) * sign(k, column)).sum::<f64>();
            }
            bytes.extend_from_slice(&bf16::from_f64(value).to_le_bytes());
        }
    }
    bytes
}

fn power_of_two_below(number: usize) -> usize {
    1 << number.ilog2()
}

type Shard = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: make_tiny_mistral FOLDER")?;
    write_model(Path::new(&folder))
}

/// Writes the model's four files into `folder`, which is made if it is not there.
fn write_model(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;

    let mut random = Random(7);
    let mut shards = [Shard::new(), Shard::new()];
    let embedding = || vec![VOCABULARY, HIDDEN];
    let ones = || (vec![HIDDEN], [bf16::ONE.to_le_bytes(); HIDDEN].concat());
    shards[0].insert("model.embed_tokens.weight".into(), (embedding(), weight(&mut random, VOCABULARY, HIDDEN, 16.0)));
    for layer in 0..LAYERS {
        let shard = &mut shards[usize::from(layer >= LAYERS / 2)];
        for (module, rows, columns, decay) in MODULES {
            let bytes = weight(&mut random, rows, columns, decay[layer]);
            shard.insert(format!("model.layers.{layer}.{module}.weight"), (vec![rows, columns], bytes));
        }
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            shard.insert(format!("model.layers.{layer}.{norm}.weight"), ones());
        }
    }
    shards[1].insert("model.norm.weight".into(), ones());
    shards[1].insert("lm_head.weight".into(), (embedding(), weight(&mut random, VOCABULARY, HIDDEN, 4.0)));

    let mut weight_map = BTreeMap::new();
    let mut total_size = 0;
    for (place, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-00002.safetensors", place + 1);
        let mut views = Vec::new();
        for (name, (shape, bytes)) in shard {
            views.push((name, TensorView::new(Dtype::BF16, shape.clone(), bytes)?));
            weight_map.insert(name, file.clone());
            total_size += bytes.len();
        }
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        safetensors::serialize_to_file(views, Some(metadata), &folder.join(&file))?;
    }
    let index = json!({ "metadata": { "total_size": total_size }, "weight_map": weight_map });
    let config = json!({
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HIDDEN / KEYS,
        "num_key_value_heads": 1,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": false,
        "torch_dtype": "bfloat16",
    });
    for (file, value) in [("model.safetensors.index.json", index), ("config.json", config)] {
        std::fs::write(folder.join(file), serde_json::to_string_pretty(&value)? + "\n")?;
    }
    Ok(())
}

#[test]
fn the_model_beside_this_is_the_one_that_is_written() {
    let again = tempfile::tempdir().expect("a temporary folder");
    write_model(again.path()).expect("written");
    let shipped = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tiny-mistral")).expect("readable");
    for file in shipped.flatten() {
        let name = file.file_name();
        let again = std::fs::read(again.path().join(&name)).expect("written too");
        assert!(std::fs::read(file.path()).expect("readable") == again, "{name:?} differs");
    }
}
