//! Which convolutions of one input channel are depthwise, and which are the first of a model for sound or grey images.
//!
//! Both are stored as `[out, 1, …]`. What is not known to be the first is taken for depthwise.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::name::{module_name, number};
use super::places::Places;
use crate::checkpoint::Weight;

/// Last segments of the names of a model's first convolution, if it is in no stack of layers.
const FIRST: [&str; 3] = ["conv1", "conv2d1", "conv_in"];

/// How a segment of the name of an embedding of image patches begins.
const PATCHES: &str = "patch_embed";

/// The convolutions at one place within their layers.
struct Alike<'a> {
    first_layer: usize,
    /// The name of the tensor in that layer, if it has one channel.
    of_one_channel: Option<&'a str>,
    /// How many in all layers have one channel.
    count: usize,
    /// How many have more.
    others: usize,
}

/// The names of the tensors of convolutions that have one input channel and are not depthwise.
pub fn of_one_channel<'a>(weights: &'a [Arc<Weight>], places: &Places<'_>) -> HashSet<&'a str> {
    let mut first = HashSet::new();
    let mut alike: HashMap<String, Alike<'a>> = HashMap::new();
    for weight in weights.iter().filter(|weight| matches!(weight.shape.len(), 3..=5)) {
        let has_one = weight.shape[1] == 1;
        let name = module_name(&weight.name);
        let place = places.place(name);
        let key = place.in_layer("*");
        if let Some((key, layer)) = key.zip(place.layer) {
            let of_one_channel = has_one.then_some(weight.name.as_str());
            let new = || Alike { first_layer: layer, of_one_channel, count: 0, others: 0 };
            let alike = alike.entry(key).or_insert_with(new);
            if layer < alike.first_layer {
                (alike.first_layer, alike.of_one_channel) = (layer, of_one_channel);
            }
            alike.count += usize::from(has_one);
            alike.others += usize::from(!has_one);
        } else if has_one && is_first(name) {
            first.insert(weight.name.as_str());
        }
    }
    // Where the same module of all other layers mixes channels, that of the first layer would, if it had several.
    let of_layers = alike.into_values().filter(|alike| alike.count == 1 && alike.others > 0);
    first.extend(of_layers.filter_map(|alike| alike.of_one_channel));
    first
}

/// Whether a convolution outside the layers is by its name the model's first.
fn is_first(name: &str) -> bool {
    let mut segments = name.rsplit('.');
    let leaf = segments.next().unwrap_or(name);
    let is_patches = |segment: &str| segment.starts_with(PATCHES);
    let is_called_first = FIRST.contains(&leaf) || is_patches(leaf) || segments.next().is_some_and(is_patches);
    is_called_first && name.split('.').all(|segment| number(segment).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Dtype, Part, TensorInfo};

    #[test]
    fn the_first_convolution_is_told_from_depthwise_ones() {
        let tensor = |(name, shape): &(&str, &[usize])| {
            let tensor = TensorInfo { name: (*name).into(), dtype: Dtype::F32, shape: shape.to_vec(), bytes: 0..0 };
            Arc::new(Weight::plain(Part::new(0, tensor)))
        };
        let tensors: [(&str, &[usize]); 10] = [
            ("audio_tower.conv2d1.weight", &[48, 1, 3, 3]),
            ("embeddings.patch_embeddings.projection.weight", &[64, 1, 16, 16]),
            // The first layer of a feature extractor.
            ("extractor.conv_layers.0.conv.weight", &[32, 1, 10]),
            ("extractor.conv_layers.1.conv.weight", &[32, 32, 3]),
            ("extractor.conv_layers.2.conv.weight", &[32, 32, 3]),
            // Depthwise, or not known.
            ("model.layers.0.mixer.conv1d.weight", &[64, 1, 4]),
            ("stages.0.dwconv.weight", &[64, 1, 7, 7]),
            ("stages.1.dwconv.weight", &[64, 1, 7, 7]),
            ("subsampling.layers.0.weight", &[64, 1, 3, 3]),
            ("subsampling.layers.2.weight", &[64, 1, 3, 3]),
        ];
        let weights: Vec<Arc<Weight>> = tensors.iter().map(tensor).collect();
        let places = Places::of_tensors(tensors.iter().map(|(name, _)| *name));
        let mut first: Vec<&str> = of_one_channel(&weights, &places).into_iter().collect();
        first.sort_unstable();
        assert_eq!(
            first,
            [
                "audio_tower.conv2d1.weight",
                "embeddings.patch_embeddings.projection.weight",
                "extractor.conv_layers.0.conv.weight"
            ]
        );
    }
}
