//! Layers, and modules of layers, that a model must have but that are not among its tensors.
//!
//! Architectures differ, and so may the layers of one. Something counts as missing only if there is no other
//! explanation: if the configuration counts the layers of the stack in question, or if all other layers have it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use rayon::prelude::*;
use serde_json::Value;

use super::missing::Cause;
use super::model::{Matrix, Model, is_of_experts};
use super::name::{Place, is_called_linear, module_name, number};
use super::role::{is_decoder, is_tower};
use super::siblings::{Gap, MOST_MODULES, Siblings, in_layer, without_anything};
use super::sorted::Left;
use crate::checkpoint::{Config, MAX_LAYERS, Other};

/// Groups of modules of which a layer has all if it has one.
const TOGETHER: [&[&str]; 3] =
    [&["q_proj", "k_proj", "v_proj", "o_proj"], &["gate_proj", "up_proj", "down_proj"], &["w1", "w2", "w3"]];

/// The layers of each stack of which something is stored, and the place of one module in it.
type Stacks = BTreeMap<String, (BTreeSet<usize>, Place)>;

/// The layers that the model must have, but of which nothing is stored.
pub fn without_tensors<'a>(model: &Model<'a>, found: &[Matrix<'a>], left: &[Left<'a>]) -> Vec<Gap<'a>> {
    let stacks = stacks(model, found, left);
    let mut gaps = Vec::new();
    // Architectures found by neural architecture search describe each layer separately, and some layers have no
    // tensors.
    // EfficientNet counts steps within its blocks.
    if ["block_configs", "num_block_repeats"].iter().any(|key| model.config.text.get(key).is_some()) {
        return gaps;
    }
    for (stack, (layers, example)) in &stacks {
        let promised = promised(model, stack, &stacks).map(|count| of_halves(model, layers, count));
        let is_plain = is_only_decoder(stack, &stacks) && model.config.text.is_object();
        let between = layers.last().and_then(|last| last.checked_add(1)).filter(|_| is_plain);
        let Some(count) = promised.or(between).filter(|count| *count <= MAX_LAYERS) else { continue };
        let missing: Vec<usize> = (0..count).filter(|layer| !layers.contains(layer)).collect();
        if missing.is_empty() {
            continue;
        }
        let (common, is_shaped) = common(stack, found);
        let common = if common.len() > MOST_MODULES / missing.len() { Vec::new() } else { common };
        gaps.extend(missing.into_iter().filter_map(|layer| {
            let name = example.layer_path(&layer.to_string())?;
            let matrices = common.iter().filter_map(|matrix| in_layer(matrix, layer)).collect();
            Some(Gap { name, left: None, matrices, is_shaped, cause: Cause::Layer(promised) })
        }));
    }
    gaps
}

/// The stacks of layers that the component's tensors are in. Those whose containers do not have a layer container's
/// name are not counted by a configuration.
fn stacks(model: &Model<'_>, found: &[Matrix<'_>], left: &[Left<'_>]) -> Stacks {
    let mut stacks = Stacks::new();
    let mut add = |place: &Place| {
        let Some(layer) = place.layer.filter(|_| place.is_named) else { return };
        match stacks.get_mut(place.stack()) {
            Some((layers, _)) => {
                layers.insert(layer);
            }
            None => {
                stacks.insert(place.stack().to_owned(), (BTreeSet::from([layer]), place.clone()));
            }
        }
    };
    found.iter().for_each(|matrix| add(&matrix.place));
    for Left { name, .. } in left {
        // A number that is followed only by a parameter's name belongs to a module, not to a layer.
        add(&model.places.place(name.rsplit_once('.').map_or(name, |(module, _)| module)));
    }
    stacks
}

/// How many layers the `stack` has by the configuration, if it is clear that the configuration means this stack.
fn promised(model: &Model<'_>, stack: &str, stacks: &Stacks) -> Option<usize> {
    let config = model.config;
    if is_tower(stack) {
        return None;
    }
    let decoders = config.number(&["decoder_layers", "num_decoder_layers"]);
    match stack.rsplit('.').next() {
        _ if is_only_decoder(stack, stacks) => config.layer_count,
        // It is not known what the counts in an unknown architecture's configuration mean.
        _ if !model.is_known() => None,
        Some("encoder") if decoders.is_some() => config.number(&["encoder_layers", "num_layers"]),
        Some("decoder") if decoders.is_some() => decoders,
        _ if stacks.len() == 1 => config.layer_count,
        _ => None,
    }
}

/// How many layers there are if the configuration promises `count`. Where it counts attention and MLP as layers of their own, a
/// checkpoint may have each pair of them as one layer, as in memory.
fn of_halves(model: &Model<'_>, layers: &BTreeSet<usize>, count: usize) -> usize {
    let are_whole = model.known().pairs_layers() && layers.last().is_some_and(|last| *last < count / 2);
    if are_whole { count / 2 } else { count }
}

/// Whether a stack is by its name the language model's, and no other is.
fn is_only_decoder(stack: &str, stacks: &Stacks) -> bool {
    is_decoder(stack) && stacks.keys().filter(|stack| is_decoder(stack)).count() == 1
}

/// The matrices of the first layer of `stack` that all its layers with matrices have, and whether their shapes are
/// equal in all layers.
fn common<'a>(stack: &str, found: &[Matrix<'a>]) -> (Vec<Matrix<'a>>, bool) {
    let of_stack = || found.iter().filter(|matrix| matrix.place.layer.is_some() && matrix.place.stack() == stack);
    let mut shapes: HashMap<String, Vec<[usize; 2]>> = HashMap::new();
    for matrix in of_stack() {
        if let Some(name) = matrix.place.in_layer("*") {
            shapes.entry(name).or_default().push(matrix.shape());
        }
    }
    let layers: HashSet<usize> = of_stack().filter_map(|matrix| matrix.place.layer).collect();
    let first = layers.iter().min().copied();
    shapes.retain(|_, shapes| shapes.len() == layers.len());
    let is_common = |matrix: &&Matrix<'a>| matrix.place.in_layer("*").is_some_and(|name| shapes.contains_key(&name));
    let of_first = of_stack().filter(|matrix| matrix.place.layer == first);
    let is_shaped = shapes.values().all(|shapes| shapes.iter().all(|shape| *shape == shapes[0]));
    (of_first.filter(is_common).cloned().collect(), is_shaped)
}

/// Modules of which nothing is stored although their counterparts are: for example a layer's keys if its queries are
/// stored and other layers have both, or the projection of one expert.
pub fn without_modules<'a>(model: &Model<'a>, siblings: &Siblings<'a, '_>, stored: &Stored<'a>) -> Vec<Gap<'a>> {
    let differs = has_attentions(model.config);
    let mut members: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    let mut beside: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    let others = stored.others.par_iter().filter(|name| model.reason_against(name, None).is_none());
    let member = |name: &&'a str| {
        let of_group = group(name).filter(|(_, member)| !differs || !TOGETHER[0].contains(member));
        let own = || name.rsplit_once('.').filter(|_| is_called_linear(name) || siblings.has(name));
        of_group.map(|(path, member)| (true, path, member)).or_else(|| own().map(|(path, leaf)| (false, path, leaf)))
    };
    let all: Vec<(bool, &str, &str)> = stored.measured.par_iter().chain(others).filter_map(member).collect();
    for (is_of_group, path, name) in all {
        if is_of_group { &mut members } else { &mut beside }.entry(path).or_default().insert(name);
    }
    let mut groups: BTreeMap<String, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for (path, members) in members {
        if let Some(starred) = model.places.place(&format!("{path}.*")).in_layer("*") {
            groups.entry(starred).or_default().insert(path, members);
        }
    }
    let missing = groups.values().flat_map(|groups| lacking(groups, &beside));
    missing.filter(|module| siblings.has(module)).map(|module| without_anything(&module, siblings)).collect()
}

/// Whether the configuration says that layers differ in their attention: some architectures share keys and values
/// between layers, use keys as values in some layers, or have layers of several kinds.
fn has_attentions(config: &Config) -> bool {
    let shares = ["num_kv_shared_layers", "cla_share_factor"].iter().any(|key| config.number(&[key]) > Some(0));
    let kinds = config.text.get("layer_types").and_then(Value::as_array);
    shares || config.flag("attention_k_eq_v") || kinds.is_some_and(|kinds| kinds.iter().any(|kind| *kind != kinds[0]))
}

/// The path of the group of modules that always come together with `name`, and which member of the group it is.
fn group(name: &str) -> Option<(&str, &str)> {
    if is_of_experts(name) {
        let (path, member) = name.split_once(".experts.")?;
        let (expert, leaf) = member.split_once('.')?;
        number(expert).filter(|_| !leaf.contains('.'))?;
        return Some((&name[..path.len() + ".experts".len()], member));
    }
    let (path, leaf) = name.rsplit_once('.')?;
    TOGETHER.iter().any(|group| group.contains(&leaf)).then_some((path, leaf))
}

/// The modules that most groups have and a few lack. If many groups lack something, that is intended, and likewise if
/// other linear modules are `beside` a group than beside most.
fn lacking(groups: &BTreeMap<&str, BTreeSet<&str>>, beside: &HashMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut counts: HashMap<&BTreeSet<&str>, usize> = HashMap::new();
    for members in groups.values() {
        *counts.entry(members).or_default() += 1;
    }
    let Some((most, count)) = counts.into_iter().max_by_key(|(_, count)| *count) else { return Vec::new() };
    let few = groups.len() - count;
    if few == 0 || few > (groups.len() / 16).max(1) || count < 2 {
        return Vec::new();
    }
    let beside = |path: &str| beside.get(path).into_iter().flatten();
    let usual: HashSet<&str> =
        groups.iter().filter(|(_, members)| *members == most).flat_map(|(path, _)| beside(path)).copied().collect();
    let lacks = |(path, members): (&&str, &BTreeSet<&str>)| -> Vec<String> {
        let is_part = members.is_subset(most) && beside(path).all(|leaf| usual.contains(leaf));
        most.difference(members).filter(|_| is_part).map(|member| format!("{path}.{member}")).collect()
    };
    groups.iter().flat_map(lacks).collect()
}

/// The names of all modules and parameters of which a weight is stored, in whatever form. Scales and the like belong to one that is
/// listed itself.
pub struct Stored<'a> {
    /// Those that are measured. Nothing speaks against them.
    measured: HashSet<&'a str>,
    others: HashSet<&'a str>,
}

impl<'a> Stored<'a> {
    pub fn new(model: &Model<'a>, found: &[Matrix<'a>]) -> Self {
        let measured: HashSet<&str> = found.iter().map(|matrix| module_name(&matrix.weight.name)).collect();
        let weights = model.component.weights.iter().map(|weight| weight.name.as_str());
        let others = model.component.others.iter().filter(|other| other.why != Other::Companion);
        let names = weights.chain(others.map(|other| other.name.as_str())).map(module_name);
        let others = names.filter(|name| !measured.contains(name)).collect();
        Self { measured, others }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.measured.contains(name) || self.others.contains(name)
    }
}
