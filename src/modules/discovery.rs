//! The components of a checkpoint -> their linear modules.

use std::collections::HashSet;
use std::sync::Arc;

use rayon::prelude::*;

use super::architectures::{self, Architecture};
use super::left_out::LeftOut;
use super::loading::Loader;
use super::missing::Missing;
use super::model::{Matrix, Model};
use super::name::{Place, Several, module_name};
use super::places::Places;
use super::siblings::Gap;
use super::sorted::{Left, Sorted};
use super::tied::{Alike, Ties};
use super::{Discovery, Info, Line, Module, Role, Wanted, convolution, gaps, transposed};
use crate::checkpoint::{Component, Weight};
use crate::source::SourceError;

/// Finds the linear modules of a checkpoint's components. `is_alike` recognises a head that is a copy of the embedding.
/// Fails if weights that are to be compared cannot be read.
pub fn discover(components: &[Component], wanted: Wanted, is_alike: &Alike<'_>) -> Result<Discovery, SourceError> {
    let mut discovery = Discovery::default();
    for component in components {
        let architecture = Architecture::of(&component.config);
        let config = &architectures::completed(&component.config);
        let names = component.tensor_names();
        let places = || Places::of_tensors(component.weights.iter().map(|weight| weight.name.as_str()));
        let (loader, places) = rayon::join(|| Loader::new(config, names.clone(), wanted.line), places);
        let classes = (wanted.line != Line::Five).then(|| Loader::new(config, names.clone(), Line::Five));
        let known = classes.as_ref().unwrap_or(&loader);
        let place = |weight: &Arc<Weight>| {
            let place = places.place(module_name(&weight.name));
            let kind = known.kind_of_stored(&weight.name);
            let role = Role::of(&place, kind, weight.shape.first().copied(), architecture, config);
            (place, role)
        };
        let (placed, roles): (Vec<Place>, Vec<Role>) = component.weights.par_iter().map(place).unzip();
        let ties = Ties::find(component, config, &roles, wanted.line, is_alike)?;
        let one_channel = convolution::of_one_channel(&component.weights, &places);
        let transposed = transposed::by_bias(&component.weights);
        let model =
            Model { component, config, architecture, places, one_channel, wanted, loader, classes, ties, transposed };
        discover_component(&model, placed, &roles, &mut discovery);
    }
    Ok(discovery)
}

/// Finds the modules of a `model` whose weights belong to modules in these places, with these roles.
fn discover_component(model: &Model<'_>, places: Vec<Place>, roles: &[Role], discovery: &mut Discovery) {
    let component = model.component;
    if let (false, Some(name)) = (model.is_known(), &model.config.model_type) {
        discovery.unknown.push(name.clone());
    }
    discovery.ties_embeddings |= model.ties.any;
    let Sorted { mut found, others, mut left } = Sorted::new(model, places, roles);
    let mut gaps = gaps::find(model, &found, &left);
    let naming = Naming::new(model, &found);
    for gap in &mut gaps {
        if let (Some(left), Some(reason)) = (gap.left.map(|at| &mut left[at]), gap.cause.reason()) {
            left.reason = reason;
        }
    }
    // The names that trainers see of missing modules are listed with those modules.
    let told: HashSet<usize> = gaps.iter().filter_map(|gap| gap.left).collect();
    for (at, Left { name, stored, weight, reason }) in left.into_iter().enumerate() {
        if weight.is_some() && !reason.is_linear() && !told.contains(&at) {
            let parameters = model.loader.parameters(name);
            discovery.names.extend(parameters.iter().map(|parameter| component.full_name(parameter)));
        }
        let own = component.full_name(name);
        discovery.left_out.push(LeftOut::new(own, stored.map(|stored| component.full_name(stored)), reason));
    }
    discovery.missing.extend(gaps.into_iter().map(|gap| naming.missing(gap)));
    found.par_sort_by_cached_key(|matrix| matrix.place.model_order());
    discovery.modules.par_extend(found.into_par_iter().flat_map_iter(|matrix| naming.modules(matrix)));
    discovery.others.par_extend(others.into_par_iter().flat_map_iter(|matrix| naming.modules(matrix)));
}

/// What decides how the modules of a model are named.
struct Naming<'m, 'a> {
    model: &'m Model<'a>,
    /// Whether there are several stacks of layers, so that types include the stack's name.
    several: Several,
}

impl<'m, 'a> Naming<'m, 'a> {
    fn new(model: &'m Model<'a>, found: &[Matrix<'a>]) -> Self {
        Self { model, several: Several::among(found.iter().map(|matrix| &matrix.place)) }
    }

    /// The module that a matrix is, with its parts if they are wanted.
    fn modules(&self, matrix: Matrix<'a>) -> Vec<Module> {
        self.model.modules(matrix, self.several)
    }

    fn missing(&self, gap: Gap<'a>) -> Missing {
        let Gap { name, matrices, is_shaped, cause, .. } = gap;
        let module = |matrix| {
            let module = self.model.module(matrix, self.several);
            if is_shaped { module } else { Module { info: Info { shape: None, ..module.info }, ..module } }
        };
        let modules = matrices.into_iter().map(module).collect();
        Missing { name: self.model.component.full_name(&name), modules, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Config, Dtype, Look, Part, TensorInfo, Weight};
    use crate::modules::{InMemory, Line};

    fn tensor(name: &str, shape: &[usize], dtype: Dtype) -> Weight {
        let tensor = TensorInfo { name: name.into(), dtype, shape: shape.into(), bytes: 0..0 };
        Weight::plain(Part::new(0, tensor))
    }

    fn found(weights: &[Weight], config: &Config, wanted: Wanted) -> Discovery {
        let component = Component {
            name: None,
            config: config.clone(),
            quantization: None,
            weights: weights.iter().cloned().map(Arc::new).collect(),
            others: Vec::new(),
            wrappers: Vec::new(),
            is_part: false,
        };
        let is_alike = |one: &Weight, other: &Weight, look: Look| {
            let both = |start: &str| one.name.starts_with(start) && other.name.starts_with(start);
            Ok(Some(both("one.") || (look == Look::Bytes && both("same."))))
        };
        discover(&[component], wanted, &is_alike).expect("nothing is read")
    }

    fn names(weights: &[Weight], config: &Config, all_linear: bool) -> Vec<String> {
        let discovery = found(weights, config, Wanted { all_linear, ..Wanted::default() });
        discovery.modules.into_iter().map(|module| module.info.name).collect()
    }

    #[test]
    fn modules_come_in_model_order_whatever_the_order_on_disk() {
        let leaves = [
            "mlp.down_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "self_attn.k_proj",
            "self_attn.o_proj",
            "self_attn.q_proj",
            "self_attn.v_proj",
        ];
        let tensors: Vec<Weight> = [10, 0, 2]
            .iter()
            .flat_map(|layer| {
                leaves.map(|leaf| tensor(&format!("model.layers.{layer}.{leaf}.weight"), &[8, 8], Dtype::BF16))
            })
            .collect();
        let order = [
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        ];
        let expected: Vec<String> =
            [0, 2, 10].iter().flat_map(|layer| order.map(|leaf| format!("model.layers.{layer}.{leaf}"))).collect();
        assert_eq!(names(&tensors, &Config::default(), false), expected);
    }

    #[test]
    fn what_is_no_linear_module_is_left_out_with_its_reason() {
        let tensors = [
            tensor("model.embed_tokens.weight", &[100, 8], Dtype::F32),
            tensor("model.layers.0.input_layernorm.weight", &[8], Dtype::F32),
            tensor("model.layers.0.self_attn.q_proj.weight", &[8, 8], Dtype::F32),
            tensor("model.layers.0.self_attn.q_proj.bias", &[8], Dtype::F32),
            tensor("model.layers.0.mlp.gate.weight", &[4, 8], Dtype::F32),
            tensor("model.layers.0.mlp.shared_expert_gate.weight", &[1, 8], Dtype::F32),
            tensor("model.layers.0.mlp.experts.down_proj_bias", &[4, 8, 8], Dtype::F32),
            tensor("model.layers.0.mlp.nothing.weight", &[0, 8], Dtype::F32),
            tensor("model.layers.0.mixer.conv1d.weight", &[8, 1, 4], Dtype::F32),
            tensor("model.layers.0.mlp.codes.weight", &[8, 8], Dtype::I16),
            tensor("model.layers.1.self_attn.q_proj.weight", &[8, 8], Dtype::F32),
            tensor("model.layers.0.position_ids", &[1, 8], Dtype::I64),
            tensor("visual.patch_embed.proj.weight", &[8, 3, 2, 2], Dtype::F32),
            tensor("lm_head.weight", &[100, 8], Dtype::F32),
        ];
        let config = Config { layer_count: Some(1), ..Config::default() };
        let discovery = found(&tensors, &config, Wanted::default());
        let modules: Vec<&str> = discovery.modules.iter().map(|module| module.info.name.as_str()).collect();
        assert_eq!(modules, ["model.layers.0.self_attn.q_proj"]);
        let reason = |name: &str| {
            let left_out = discovery.left_out.iter().find(|left_out| left_out.tensor == name);
            left_out.map_or_else(
                || panic!("{name} is neither measured nor left out"),
                |left_out| left_out.reason.to_string(),
            )
        };
        assert_eq!(reason("model.embed_tokens.weight"), "an embedding");
        assert_eq!(reason("lm_head.weight"), "a head");
        assert_eq!(reason("model.layers.0.mlp.gate.weight"), "a router");
        assert_eq!(reason("model.layers.0.input_layernorm.weight"), "a vector, not a matrix");
        assert_eq!(reason("visual.patch_embed.proj.weight"), "a convolution");
        assert_eq!(reason("model.layers.0.mixer.conv1d.weight"), "a depthwise convolution");
        assert_eq!(reason("model.layers.0.mlp.nothing.weight"), "no elements");
        assert_eq!(reason("model.layers.0.mlp.codes.weight"), "dtype I16 is not supported");
        assert_eq!(
            reason("model.layers.1.self_attn.q_proj.weight"),
            "a layer beyond those of the model: predicts further tokens"
        );
        assert_eq!(discovery.left_out.len(), tensors.len() - 1);
        assert_eq!(
            names(&tensors, &config, true),
            ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.gate", "lm_head"]
        );
    }

    #[test]
    fn decoders_of_many_families_are_understood() {
        let cases: [(&str, &[usize], &str, Option<usize>); 12] = [
            ("model.layers.31.self_attn.q_proj", &[8, 8], "self_attn.q_proj", Some(31)),
            ("model.layers.3.self_attn.qkv_proj", &[24, 8], "self_attn.qkv_proj", Some(3)),
            ("model.layers.3.mlp.gate_up_proj", &[32, 8], "mlp.gate_up_proj", Some(3)),
            ("h.11.attn.c_attn", &[8, 24], "attn.c_attn", Some(11)),
            ("transformer.h.0.mlp.c_fc", &[8, 32], "mlp.c_fc", Some(0)),
            ("gpt_neox.layers.5.attention.query_key_value", &[24, 8], "attention.query_key_value", Some(5)),
            ("transformer.h.7.self_attention.dense", &[8, 8], "self_attention.dense", Some(7)),
            ("model.decoder.layers.2.fc1", &[32, 8], "fc1", Some(2)),
            ("model.decoder.layers.2.self_attn.out_proj", &[8, 8], "self_attn.out_proj", Some(2)),
            ("backbone.layers.9.mixer.in_proj", &[32, 8], "mixer.in_proj", Some(9)),
            ("model.layers.4.mlp.experts.17.down_proj", &[8, 8], "mlp.experts.*.down_proj", Some(4)),
            ("transformer.blocks.1.ffn.up_proj", &[8, 8], "ffn.up_proj", Some(1)),
        ];
        for (name, shape, kind, layer) in cases {
            let tensors = [tensor(&format!("{name}.weight"), shape, Dtype::F16)];
            let modules = found(&tensors, &Config::default(), Wanted::default()).modules;
            assert_eq!(modules.len(), 1, "{name}");
            assert_eq!((modules[0].info.kind.as_str(), modules[0].info.layer), (kind, layer), "{name}");
        }
    }

    #[test]
    fn two_stacks_are_not_ranked_together() {
        let tensors = [
            tensor("encoder.block.0.layer.0.SelfAttention.q.weight", &[8, 8], Dtype::F32),
            tensor("decoder.block.0.layer.0.SelfAttention.q.weight", &[8, 8], Dtype::F32),
        ];
        let modules = found(&tensors, &Config::default(), Wanted::default()).modules;
        let kinds: Vec<&str> = modules.iter().map(|module| module.info.kind.as_str()).collect();
        assert_eq!(kinds, ["decoder.layer.*.SelfAttention.q", "encoder.layer.*.SelfAttention.q"]);
    }

    #[test]
    fn a_stack_of_experts_is_as_many_modules() {
        let weights = [tensor("model.layers.4.mlp.experts.gate_up_proj", &[2, 16, 8], Dtype::BF16)];
        let config = Config::parse(br#"{"model_type":"qwen3_moe","hidden_size":8}"#).expect("JSON");
        let modules = found(&weights, &config, Wanted { parts: true, ..Wanted::default() }).modules;
        let seen: Vec<_> =
            modules.iter().map(|module| (module.info.name.as_str(), module.info.kind.as_str())).collect();
        assert_eq!(seen[0], ("model.layers.4.mlp.experts.0.gate_up_proj", "mlp.experts.*.gate_up_proj"));
        assert_eq!(seen[1], ("model.layers.4.mlp.experts.0.gate_up_proj.gate", "mlp.experts.*.gate_up_proj.gate"));
        assert_eq!(seen.len(), 6);
        let info = |place: usize| &modules[place].info;
        assert_eq!(info(3).memory, InMemory::Parameter("model.layers.4.mlp.experts.gate_up_proj".to_owned()));
        assert_eq!(info(4).part_of.as_deref(), Some("model.layers.4.mlp.experts.1.gate_up_proj"));
        assert_eq!(info(4).shape, Some([8, 8]));
    }

    #[test]
    fn a_stack_beneath_a_mixture_is_no_convolution() {
        let weights = [
            tensor("model.layers.4.moe.gate_proj.weight", &[2, 16, 8], Dtype::BF16),
            tensor("model.layers.4.moe.conv.weight", &[8, 1, 4], Dtype::BF16),
        ];
        let modules = found(&weights, &Config::default(), Wanted::default()).modules;
        let names: Vec<&str> = modules.iter().map(|module| module.info.name.as_str()).collect();
        assert_eq!(names, ["model.layers.4.moe.0.gate_proj", "model.layers.4.moe.1.gate_proj"]);
        assert_eq!(modules[0].info.kind, "moe.*.gate_proj");
        assert_eq!(modules[0].info.memory, InMemory::Parameter("model.layers.4.moe.gate_proj.weight".to_owned()));
    }

    #[test]
    fn the_input_of_an_attention_of_torch_is_a_parameter_of_three_parts() {
        let weights = [
            tensor("resblocks.0.attn.in_proj_weight", &[24, 8], Dtype::F32),
            tensor("resblocks.0.attn.out_proj.weight", &[8, 8], Dtype::F32),
            tensor("resblocks.0.other.in_proj_weight", &[24, 8], Dtype::F32),
        ];
        let modules = found(&weights, &Config::default(), Wanted { parts: true, ..Wanted::default() }).modules;
        let mut names: Vec<&str> = modules.iter().map(|module| module.info.name.as_str()).collect();
        names.sort_unstable();
        let name = "resblocks.0.attn.in_proj_weight";
        let parts = ["q", "k", "v"].map(|part| format!("{name}.{part}"));
        assert_eq!(names, [name, &parts[1], &parts[0], &parts[2], "resblocks.0.attn.out_proj"]);
        for module in modules.iter().filter(|module| module.info.name.starts_with(name)) {
            assert_eq!(module.info.memory, InMemory::Parameter(name.to_owned()));
            assert_eq!((module.info.layer, module.info.pool()), (Some(0), None));
        }
    }

    #[test]
    fn a_head_of_several_layers_is_a_head() {
        let names =
            ["decode_head.linear_c.0.proj", "decode_head.linear_c.1.proj", "stages.0.mlp.gate", "stages.1.mlp.gate"];
        let weights = names.map(|name| tensor(&format!("{name}.weight"), &[8, 8], Dtype::F32));
        let left_out = found(&weights, &Config::default(), Wanted::default()).left_out;
        let reasons: Vec<String> = left_out.iter().map(|left_out| left_out.reason.to_string()).collect();
        assert_eq!(reasons, ["a head", "a head", "a router", "a router"]);
    }

    #[test]
    fn a_head_that_shares_the_embedding_is_no_module() {
        let weights = [tensor("lm_head.weight", &[9, 8], Dtype::BF16), tensor("h.0.mlp.weight", &[8, 8], Dtype::BF16)];
        let ties = |is_tied: Option<bool>| Config { ties_embeddings: is_tied, ..Config::default() };
        assert_eq!(names(&weights, &ties(Some(true)), true), ["h.0.mlp"]);
        assert_eq!(names(&weights, &ties(Some(false)), true), ["h.0.mlp", "lm_head"]);
        assert_eq!(names(&weights, &ties(None), true), ["h.0.mlp", "lm_head"]);
    }

    #[test]
    fn weights_that_are_there_tell_more_than_the_configuration() {
        let ties = |is_tied: Option<bool>| Config { ties_embeddings: is_tied, ..Config::default() };
        let found = |embedding: &str, head: &str, config: &Config, line: Line| {
            let weights = [embedding, head].map(|name| tensor(name, &[9, 8], Dtype::BF16));
            let discovery = found(&weights, config, Wanted { all_linear: true, line, ..Wanted::default() });
            (discovery.modules.is_empty(), discovery.ties_embeddings)
        };
        for line in [Line::Four, Line::Five] {
            for is_tied in [Some(true), Some(false), None] {
                let one = found("one.embed_tokens.weight", "one.lm_head.weight", &ties(is_tied), line);
                assert_eq!(one, (true, true), "{is_tied:?} {line:?}");
                // What is said to be two is two when it is loaded.
                let is_one = is_tied != Some(false);
                let same = found("same.embed_tokens.weight", "same.lm_head.weight", &ties(is_tied), line);
                assert_eq!(same, (is_one, is_one), "{is_tied:?} {line:?}");
                // Version 4 overwrites the head, version 5 warns and keeps it.
                let is_lost = is_tied == Some(true) && line == Line::Four;
                let apart = found("model.embed_tokens.weight", "lm_head.weight", &ties(is_tied), line);
                assert_eq!(apart, (is_lost, is_lost), "{is_tied:?} {line:?}");
            }
        }
    }

    #[test]
    fn a_model_of_an_unknown_architecture_without_a_head_has_the_embedding_for_one() {
        let weights = [tensor("model.embed_tokens.weight", &[9, 8], Dtype::BF16)];
        let ties = |text: &str| {
            found(&weights, &Config::parse(text.as_bytes()).expect("JSON"), Wanted::default()).ties_embeddings
        };
        assert!(ties(r#"{"model_type": "brand_new", "architectures": ["BrandNewForCausalLM"]}"#));
        assert!(!ties(r#"{"model_type": "brand_new", "architectures": ["BrandNewModel"]}"#));
        assert!(!ties(r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}"#));
        assert!(ties(r#"{"model_type": "gpt2"}"#));
        assert!(!ties("{}"));
    }
}
