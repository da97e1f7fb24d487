//! Transposed convolutions.
//!
//! Their weights are `[in, out, …]`, where those of convolutions are `[out, in, …]`. A matrix of inputs by outputs and positions
//! is none that the model multiplies with, and PEFT has no adapter for them. So they are not measured.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::name::module_name;
use crate::checkpoint::Weight;

/// The names of transposed convolutions, as their biases tell: a bias has one element for each output.
pub fn by_bias(weights: &[Arc<Weight>]) -> HashSet<&str> {
    let bias = |weight: &'_ Arc<Weight>| match weight.shape[..] {
        [outputs] => Some((weight.name.strip_suffix(".bias")?.to_owned(), outputs)),
        _ => None,
    };
    let outputs: HashMap<String, usize> = weights.iter().filter_map(bias).collect();
    let is_transposed = |weight: &&Arc<Weight>| match weight.shape[..] {
        [first, second, _, ..] => outputs.get(module_name(&weight.name)).is_some_and(|outputs| {
            // Of several groups, each has its own outputs.
            *outputs != first && second > 0 && outputs.is_multiple_of(second)
        }),
        _ => false,
    };
    weights.iter().filter(is_transposed).map(|weight| module_name(&weight.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Dtype, Part, TensorInfo};

    fn weight(name: &str, shape: &[usize]) -> Arc<Weight> {
        let tensor = TensorInfo { name: name.into(), dtype: Dtype::F32, shape: shape.into(), bytes: 0..0 };
        Arc::new(Weight::plain(Part::new(0, tensor)))
    }

    #[test]
    fn a_bias_tells_how_many_outputs_there_are() {
        let of = |shape: &[usize], bias: usize| {
            let weights = [weight("up.weight", shape), weight("up.bias", &[bias]), weight("other.bias", &[7])];
            by_bias(&weights).contains("up")
        };
        assert!(of(&[8, 4, 3], 4) && of(&[8, 4, 2, 2], 4) && of(&[8, 2, 2, 2, 2], 4));
        assert!(
            !of(&[4, 8, 3], 4) && !of(&[4, 4, 3], 4) && !of(&[8, 4], 4) && !of(&[8, 0, 3], 4) && !of(&[8, 3, 3], 4)
        );
        assert!(by_bias(&[weight("up.weight", &[8, 4, 3])]).is_empty());
    }
}
