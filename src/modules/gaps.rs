//! Tensors that are no matrices -> the linear modules that are missing because of them.
//!
//! Most tensors that are left out belong to no linear module: norms, biases, buffers. A tensor is at a linear module's
//! place if the tensor of the same name in another layer is a matrix that is measured, or if only linear modules have
//! such a name. Codes in a tensor of two dimensions or more that is called `.weight` or is a stack of experts need no
//! other evidence.

use std::collections::HashSet;

use super::layers::{self, Stored};
use super::left_out::Reason;
use super::missing::Cause;
use super::model::{Matrix, Model, is_companion, is_of_experts};
use super::name::{is_called_linear, module_name};
use super::siblings::{Gap, Siblings, without_anything};
use super::sorted::Left;
use super::{WEIGHT, is_head};
use crate::checkpoint::Weight;

/// Endings of the names of packed codes, which belong to the module before them.
const CODES: [&str; 3] = [".qweight", ".weight_packed", "_blocks"];

/// Last segments of the names of experts. Other tensors of three dimensions may be convolutions.
const EXPERTS: [&str; 7] = ["gate_proj", "up_proj", "down_proj", "gate_up_proj", "w1", "w2", "w3"];

/// Types of elements that usually count or mark something, and are not taken for codes without other evidence.
const COUNTS: [&str; 3] = ["I64", "U64", "BOOL"];

/// Names of the vectors into which FSDP flattens all parameters of a module.
const FLAT: [&str; 2] = ["flat_param", "_flat_param"];

/// All places of linear modules where there is no matrix. `found` are the component's matrices, `left` its other
/// tensors.
pub fn find<'a>(model: &Model<'a>, found: &[Matrix<'a>], left: &[Left<'a>]) -> Vec<Gap<'a>> {
    let (siblings, stored) = rayon::join(|| Siblings::new(found, &model.places), || Stored::new(model, found));
    let mut gaps = of_tensors(model, &siblings, left);
    // What is not in a single shard may be in another one.
    if model.component.is_part {
        return gaps;
    }
    gaps.extend(layers::without_tensors(model, found, left));
    let mut nothing = without_weight(model, &siblings, &stored);
    nothing.extend(layers::without_modules(model, &siblings, &stored));
    // A module may be found missing both by its bias and by its counterparts.
    let mut seen = HashSet::new();
    nothing.retain(|gap| seen.insert(gap.name.clone()));
    gaps.extend(nothing);
    gaps
}

/// The linear modules that are missing because a tensor at their place is no matrix.
fn of_tensors<'a>(model: &Model<'a>, siblings: &Siblings<'a, '_>, left: &[Left<'a>]) -> Vec<Gap<'a>> {
    let names = model.component.weights.iter().map(|weight| weight.name.as_str()).collect();
    let evidence = Evidence { siblings, names };
    let gap = |(at, left): (usize, &Left<'a>)| {
        let module = module_of(left.name)?;
        let cause = evidence.cause(left, module)?;
        let is_vector =
            || left.weight.is_some_and(|weight| weight.shape.len() < 2) && model.loader.is_vector(left.name);
        if model.reason_against(module, None).is_some() || is_vector() {
            return None;
        }
        let place = |weight: &Weight| model.places.place(module_name(&weight.name));
        let own = || left.weight.and_then(|weight| model.matrices(weight, place(weight)).ok());
        let whole =
            || left.weight.map(|weight| Matrix::whole(model.places.place(module), weight)).into_iter().collect();
        let like = siblings.like(module).filter(|_| !cause.is_unreadable());
        let (matrices, is_shaped) = like.unwrap_or_else(|| (own().unwrap_or_else(whole), false));
        Some(Gap { name: left.name.to_owned(), left: Some(at), matrices, is_shaped, cause })
    };
    left.iter().enumerate().filter_map(gap).collect()
}

/// The evidence that a tensor is at a linear module's place.
struct Evidence<'s, 'a, 'b> {
    siblings: &'s Siblings<'a, 'b>,
    /// The names of the component's weights.
    names: HashSet<&'a str>,
}

impl Evidence<'_, '_, '_> {
    fn is_linear(&self, module: &str) -> bool {
        is_called_linear(module) || self.siblings.has(module)
    }

    /// What is at the place of `module` instead of a matrix; `None` if it is no linear module.
    fn cause(&self, left: &Left<'_>, module: &str) -> Option<Cause> {
        match (left.weight, &left.reason) {
            (_, Reason::Role(_) | Reason::TiedHead | Reason::Companion | Reason::Factor | Reason::Replaced) => None,
            // Loaders take the tensor that the index names in another shard.
            (None, Reason::Unlisted) if self.names.contains(left.name) => None,
            // A head may be missing too, if heads are asked for.
            (None, Reason::Unlisted) => (self.is_linear(module) || is_head(module)).then_some(Cause::Unlisted),
            (None, _) => self.is_linear(module).then_some(Cause::Unreadable),
            (Some(weight), _) if is_companion(&weight.name) => None,
            (Some(weight), reason) => self.cause_of_weight(weight, reason, module),
        }
    }

    /// As [`Self::cause`], for a tensor whose shape is known.
    fn cause_of_weight(&self, weight: &Weight, reason: &Reason, module: &str) -> Option<Cause> {
        let is_linear = || self.is_linear(module);
        let is_parameter = matches!(reason, Reason::NoWeight);
        match weight.shape[..] {
            _ if weight.shape.contains(&0) => (is_linear() || is_flat(module)).then_some(Cause::Placeholder),
            [] | [_] => (is_linear() || is_flat(module)).then_some(Cause::Flat),
            _ if !weight.is_floating() => {
                let is_code = is_parameter && !COUNTS.contains(&weight.dtype().as_str());
                (matches!(reason, Reason::Dtype(_)) || is_code || is_linear()).then(|| self.codes(weight, module))
            }
            // There is nothing to measure in a single row or column.
            [rows, columns] if is_parameter && rows > 1 && columns > 1 => is_linear().then_some(Cause::Uncounted),
            [_, _] if matches!(reason, Reason::ExpertsUncounted(_)) => Some(Cause::Uncounted),
            [_, rows, columns] if rows > 1 && columns > 1 => {
                let leaf = module.rsplit('.').next().unwrap_or(module);
                (EXPERTS.contains(&leaf) || self.siblings.has(module)).then_some(Cause::Dimensions(3))
            }
            _ => None,
        }
    }

    /// Which codes a tensor holds, as far as this is known.
    fn codes(&self, weight: &Weight, module: &str) -> Cause {
        let dtype = weight.dtype();
        let has = |ending: &str| self.names.contains(format!("{module}.{ending}").as_str());
        if has("scales") && has("biases") {
            Cause::Mlx(dtype)
        } else if weight.shape.len() > 2 && is_of_experts(module) {
            Cause::Experts(dtype)
        } else {
            Cause::Dtype(dtype)
        }
    }
}

fn is_flat(parameter: &str) -> bool {
    FLAT.contains(&parameter.rsplit('.').next().unwrap_or(parameter))
}

/// The module whose weight a tensor is by its name: what stands before `.weight` or before the ending of codes. For
/// experts and for vectors of FSDP it is the name itself.
fn module_of(tensor: &str) -> Option<&str> {
    let module = module_name(tensor);
    let packed = CODES.iter().find_map(|ending| tensor.strip_suffix(ending));
    packed.or_else(|| (module != tensor || is_of_experts(tensor) || is_flat(tensor)).then_some(module))
}

/// Modules without a stored weight that have something else stored, while their counterparts in other layers have a
/// weight.
fn without_weight<'a>(model: &Model<'a>, siblings: &Siblings<'a, '_>, stored: &Stored<'a>) -> Vec<Gap<'a>> {
    let mut seen = HashSet::new();
    let owner = |name: &'a str| {
        let (module, leaf) = name.rsplit_once('.')?;
        let belongs =
            leaf == "bias" || (is_companion(leaf) && !leaf.starts_with("input") && !leaf.starts_with("output"));
        Some(module).filter(|module| belongs && !module.ends_with(WEIGHT) && !stored.contains(module))
    };
    let gap = |module: &'a str| {
        (siblings.has(module) && model.reason_against(module, None).is_none() && seen.insert(module))
            .then(|| without_anything(module, siblings))
    };
    model.component.tensor_names().filter_map(owner).filter_map(gap).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::checkpoint::{Component, Config, Dtype, Other, OtherTensor, Part, TensorInfo, Weight};
    use crate::modules::{Wanted, discover};

    /// What is missing in a model with this `config`, these stored tensors and these others.
    fn missing(config: &str, tensors: &[(&str, &[usize])], others: &[(&str, Other)]) -> Vec<String> {
        let weight = |(name, shape): &(&str, &[usize])| {
            let tensor = TensorInfo { name: (*name).into(), dtype: Dtype::F32, shape: shape.to_vec(), bytes: 0..0 };
            Arc::new(Weight::plain(Part::new(0, tensor)))
        };
        let component = Component {
            name: None,
            config: Config::parse(config.as_bytes()).expect("JSON"),
            quantization: None,
            weights: tensors.iter().map(weight).collect(),
            others: others.iter().map(|(name, why)| OtherTensor::new(name, *why)).collect(),
            wrappers: Vec::new(),
            is_part: false,
        };
        let discovery = discover(&[component], Wanted::default(), &|_, _, _| Ok(None)).expect("nothing is read");
        discovery.missing.into_iter().map(|missing| missing.name).collect()
    }

    #[test]
    fn what_is_stored_in_a_way_that_is_not_read_is_missed_at_a_linear_modules_place() {
        let tensors: [(&str, &[usize]); 1] = [("model.layers.0.custom.weight", &[8, 8])];
        let others = [
            ("model.layers.1.custom.weight", Other::Unreadable),
            ("model.layers.1.mlp.up_proj.weight", Other::Unreadable),
            ("model.layers.1.input_layernorm.weight", Other::Unreadable),
            ("model.layers.1.mlp.gate.weight", Other::Unreadable),
            ("model.embed_tokens.weight", Other::Unreadable),
        ];
        assert_eq!(
            missing("{}", &tensors, &others),
            ["model.layers.1.custom.weight", "model.layers.1.mlp.up_proj.weight"]
        );
    }

    #[test]
    fn a_stack_is_missed_with_all_its_experts() {
        let config = r#"{"model_type": "qwen3_moe"}"#;
        let tensors: [(&str, &[usize]); 3] = [
            ("model.layers.0.mlp.experts.down_proj", &[4, 8, 8]),
            ("model.layers.1.mlp.experts.down_proj", &[0]),
            ("model.layers.1.mlp.experts.down_proj_bias", &[0]),
        ];
        assert_eq!(missing(config, &tensors, &[]), ["model.layers.1.mlp.experts.down_proj"]);
    }

    #[test]
    fn layers_are_counted_only_where_it_is_plain_which() {
        let query = |name: &str| format!("{name}.0.self_attn.q_proj.weight");
        let missed = |config: &str, stacks: &[&str]| {
            let names: Vec<String> = stacks.iter().map(|stack| query(stack)).collect();
            let tensors: Vec<(&str, &[usize])> = names.iter().map(|name| (name.as_str(), &[8, 8][..])).collect();
            missing(config, &tensors, &[])
        };
        let two = r#"{"model_type": "llama", "num_hidden_layers": 2}"#;
        assert_eq!(missed(two, &["model.layers"]), ["model.layers.1"]);
        assert_eq!(missed(two, &["layers"]), ["layers.1"]);
        assert_eq!(missed(two, &["model.layers", "visual.blocks"]), ["model.layers.1"]);
        // Two language models, of which the configuration describes one.
        assert_eq!(missed(two, &["thinker.model.layers", "talker.model.layers"]), [""; 0]);
        assert_eq!(missed(r#"{"model_type": "new", "num_hidden_layers": 2}"#, &["model.layers"]), ["model.layers.1"]);
        assert_eq!(missed(r#"{"model_type": "new", "num_hidden_layers": 2}"#, &["net.blocks"]), [""; 0]);
        let searched = r#"{"model_type": "nemotron-nas", "num_hidden_layers": 2, "block_configs": []}"#;
        assert_eq!(missed(searched, &["model.layers"]), [""; 0]);
    }
}
