//! All names of a model -> the place of each module in it.
//!
//! A number in a name may be a layer's, may count modules that are alike, or may tell modules apart that are not. What
//! follows the numbers of one container decides: layers repeat the same modules, and the modules of an
//! `nn.Sequential` differ. So the names are put into a tree in which all numbers of a container are one node, `*`, and
//! the node counts what its numbers have in common.

use std::collections::{HashMap, HashSet};

use super::name::{Place, SIDES, has_layers, is_layers, number};

/// How many segments of a name are put into the tree. Models have fewer; a malicious file could otherwise have as many
/// nodes as bytes.
const MAX_DEPTH: usize = 24;

/// The segment that stands for any number.
const ANY: &str = "*";

/// The segment that is followed by an expert's number, which never tells modules apart.
const EXPERTS: &str = "experts";

/// Segments with which a module's own tensors begin, whatever follows them.
const PARAMETERS: [&str; 3] = ["weight", "bias", "parametrizations"];

/// What is known of a model's numbers from all its names. The empty one judges each name by itself.
#[derive(Default)]
pub struct Places<'a> {
    children: HashMap<(usize, &'a str), usize>,
    nodes: Vec<Node>,
}

/// What follows a beginning that names have in common.
#[derive(Clone, Default)]
struct Node {
    /// Of a `*`: how many numbers there are, and which is the first and the last.
    count: usize,
    first: usize,
    last: usize,
    /// Of a `*`: how many numbers the most common module beneath it has, or 0 if there are only parameters.
    common: usize,
    /// Of a `*`: how many parameters its numbers have by themselves, and how many different ones.
    parameters: usize,
    parameter_names: usize,
    /// Of a child of a `*`: how many numbers have it.
    shared: usize,
    /// How many containers, of those whose names say that they hold layers, are beneath it.
    containers: usize,
}

impl Node {
    /// Whether the numbers repeat the same modules.
    fn repeats(&self) -> bool {
        self.count > 1 && self.common * 2 > self.count
    }

    /// Whether the numbers are modules without others beneath them, all with the same parameters and none left out. The
    /// activations of an `nn.Sequential` leave gaps.
    fn is_list(&self) -> bool {
        let is_alike = self.parameters == self.parameter_names * self.count;
        self.count > 1 && self.common == 0 && is_alike && self.last - self.first == self.count - 1
    }
}

/// The nodes and numbers that were already counted.
#[derive(Default)]
struct Counted {
    numbers: HashSet<(usize, usize)>,
    children: HashSet<(usize, usize)>,
}

/// The place of a module, judged by its name alone.
pub fn by_name(name: &str) -> Place {
    Places::default().place(name)
}

impl<'a> Places<'a> {
    /// The places in a model with tensors of these names.
    pub fn of_tensors(names: impl Iterator<Item = &'a str>) -> Self {
        Self::new(names.map(|name| {
            let segments: Vec<&str> = name.split('.').collect();
            let parameter = segments.iter().position(|segment| PARAMETERS.contains(segment));
            let depth = parameter.unwrap_or(segments.len() - 1);
            (segments, depth)
        }))
    }

    /// The places in a model of which only the names of modules are known.
    pub fn of_modules(names: impl Iterator<Item = &'a str>) -> Self {
        Self::new(names.map(|name| {
            let segments: Vec<&str> = name.split('.').collect();
            let depth = segments.len();
            (segments, depth)
        }))
    }

    /// The tree of names, each with the number of its segments that are modules.
    fn new(names: impl Iterator<Item = (Vec<&'a str>, usize)>) -> Self {
        let mut places = Self { nodes: vec![Node::default()], ..Self::default() };
        let mut counted = Counted::default();
        names.for_each(|(segments, depth)| places.insert(&segments, depth, &mut counted));
        places
    }

    fn insert(&mut self, segments: &[&'a str], depth: usize, counted: &mut Counted) {
        let mut path = vec![0];
        let mut above = None;
        for (at, segment) in segments.iter().take(MAX_DEPTH.min(depth + 1)).enumerate() {
            let is_module = at < depth;
            let own = number(segment).filter(|_| is_module);
            let parent = path[at];
            let node = self.child(parent, own.map_or(segment, |_| ANY));
            if above.is_some_and(|above| counted.children.insert((node, above))) {
                let is_first = self.count_child(parent, node, is_module);
                if is_first && at > 1 && is_layers(segments[at - 2]) {
                    self.nodes[path[at - 2]].containers += 1;
                }
            }
            if let Some(own) = own.filter(|own| counted.numbers.insert((node, *own))) {
                self.nodes[node].count_number(own);
            }
            path.push(node);
            above = own;
        }
    }

    fn child(&mut self, parent: usize, segment: &'a str) -> usize {
        *self.children.entry((parent, segment)).or_insert_with(|| {
            self.nodes.push(Node::default());
            self.nodes.len() - 1
        })
    }

    /// Counts a number of `parent` that has the child `node`, and returns whether it is the first that has a module.
    fn count_child(&mut self, parent: usize, node: usize, is_module: bool) -> bool {
        self.nodes[node].shared += 1;
        let shared = self.nodes[node].shared;
        let parent = &mut self.nodes[parent];
        if is_module {
            let is_first = parent.common == 0;
            parent.common = parent.common.max(shared);
            return is_first;
        }
        parent.parameters += 1;
        parent.parameter_names += usize::from(shared == 1);
        false
    }

    /// Whether a module or parameter of this name, with any numbers in place of its own, is in the model.
    pub fn has(&self, name: &str) -> bool {
        let child = |node: usize, segment: &str| {
            let any = number(segment).and_then(|_| self.children.get(&(node, ANY)));
            any.or_else(|| self.children.get(&(node, segment))).copied()
        };
        !self.nodes.is_empty() && name.split('.').try_fold(0, child).is_some()
    }

    /// The place of the module called `name`. The layer's number is the first number, if it is one of a layer.
    /// If it is not, as in a UNet's blocks, the numbers do not identify layers, and there is none.
    pub fn place(&self, name: &str) -> Place {
        let segments: Vec<&str> = name.split('.').collect();
        let nodes = self.nodes_of(&segments);
        let first = segments.iter().position(|segment| number(segment).is_some());
        let layer = first.filter(|at| self.is_layer(&segments, &nodes, *at));
        let start = layer.map_or(0, |at| at + 1);
        let is_any = |at: &usize| number(segments[*at]).is_some() && self.is_any(&segments, &nodes, *at);
        let pattern = (start..segments.len()).any(|at| is_any(&at)).then(|| {
            let starred = |at: usize| if is_any(&at) { ANY } else { segments[at] };
            (start..segments.len()).map(starred).collect::<Vec<_>>().join(".")
        });
        // How many bytes of the name are these segments, each with a dot after it.
        let length = |count: usize| segments[..count].iter().map(|segment| segment.len() + 1).sum::<usize>();
        Place {
            name: name.to_owned(),
            stack_end: layer.map_or(0, |at| length(self.stack_end(&segments, &nodes, at)).saturating_sub(1)),
            layer: layer.and_then(|at| number(segments[at])),
            is_named: layer.is_some_and(|at| at > 0 && is_layers(segments[at - 1])),
            within_start: length(start),
            pattern,
        }
    }

    /// The nodes before each segment of a name, as far as they are in the tree.
    fn nodes_of(&self, segments: &[&str]) -> Vec<Option<usize>> {
        let mut nodes = vec![(!self.nodes.is_empty()).then_some(0)];
        for (at, segment) in segments.iter().enumerate() {
            let key = number(segment).map_or(*segment, |_| ANY);
            nodes.push(nodes[at].and_then(|node| self.children.get(&(node, key)).copied()));
        }
        nodes
    }

    /// Whether the number at `at`, the first of its name, is a layer's. The modules of a UNet's sides are not layers.
    fn is_layer(&self, segments: &[&str], nodes: &[Option<usize>], at: usize) -> bool {
        let is_followed = at + 1 < segments.len();
        let is_of_side = segments[..at].iter().any(|segment| SIDES.contains(segment));
        let container = at.checked_sub(1).map(|before| segments[before]);
        is_followed
            && !is_of_side
            && container != Some(EXPERTS)
            && (container.is_some_and(has_layers) || nodes[at + 1].is_some_and(|node| self.nodes[node].repeats()))
    }

    /// Whether modules that differ only in the number at `at` are of one type.
    fn is_any(&self, segments: &[&str], nodes: &[Option<usize>], at: usize) -> bool {
        let is_last = at + 1 == segments.len();
        let container = at.checked_sub(1).map_or("", |before| segments[before]);
        let node = nodes[at + 1].map(|node| &self.nodes[node]);
        if is_last {
            return container == EXPERTS || node.is_some_and(Node::is_list);
        }
        container == EXPERTS || is_layers(container) || node.is_none_or(|node| node.count < 2 || node.repeats())
    }

    /// How many segments name the stack of the layer whose number is at `at`: the container's too, if it is not the
    /// only one there.
    fn stack_end(&self, segments: &[&str], nodes: &[Option<usize>], at: usize) -> usize {
        let Some(container) = at.checked_sub(1).filter(|container| *container > 0) else { return at };
        let is_alone = nodes[container].is_none_or(|node| self.nodes[node].containers < 2);
        if is_layers(segments[container]) && is_alone { container } else { at }
    }
}

impl Node {
    /// Counts a number that is new here.
    fn count_number(&mut self, number: usize) {
        self.first = if self.count == 0 { number } else { self.first.min(number) };
        self.last = self.last.max(number);
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::name::Several;

    /// The type and the layer of each module that has a weight in a model with tensors of these names.
    fn kinds(names: &[String]) -> Vec<(String, Option<usize>)> {
        let places = Places::of_tensors(names.iter().map(String::as_str));
        let found: Vec<Place> = names.iter().map(|name| places.place(name.trim_end_matches(".weight"))).collect();
        let several = Several::among(found.iter());
        found.iter().map(|place| (place.kind(several), place.layer)).collect()
    }

    /// The names of a model: for each number of `layers`, each of `modules` with the number in place of `#`.
    fn model(layers: &[usize], modules: &[&str]) -> Vec<String> {
        let of = |layer: &usize| {
            let layer = layer.to_string();
            modules.iter().map(move |module| format!("{}.weight", module.replace('#', &layer)))
        };
        layers.iter().flat_map(of).collect()
    }

    const DIFFUSION: [&str; 9] = [
        "double_blocks.#.img_attn.qkv",
        "double_blocks.#.img_mlp.0",
        "double_blocks.#.img_mlp.2",
        "double_blocks.#.attn.to_out.0",
        "double_blocks.#.ff.net.0.proj",
        "double_blocks.#.ff.net.2",
        "noise_refiner.#.attention.qkv",
        "refiner.stages.#.blocks.#.ffn.0",
        "refiner.stages.#.blocks.#.ffn.2",
    ];

    #[test]
    fn a_number_is_a_layer_where_siblings_repeat_the_same_modules() {
        let names = model(&[0, 1], &DIFFUSION);
        let kinds = kinds(&names);
        let expected = [
            "double_blocks.img_attn.qkv",
            "double_blocks.img_mlp.0",
            "double_blocks.img_mlp.2",
            "double_blocks.attn.to_out.0",
            "double_blocks.ff.net.0.proj",
            "double_blocks.ff.net.2",
            "noise_refiner.attention.qkv",
            "refiner.stages.blocks.*.ffn.0",
            "refiner.stages.blocks.*.ffn.2",
        ];
        for layer in 0..2 {
            let of_layer = &kinds[layer * expected.len()..][..expected.len()];
            assert_eq!(of_layer.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), expected);
            assert!(of_layer.iter().all(|(_, number)| *number == Some(layer)), "{of_layer:?}");
        }
    }

    #[test]
    fn types_depend_on_neither_numbers_nor_their_count_nor_the_order_of_names() {
        let types = |names: &[String]| {
            let kinds: Vec<String> = kinds(names).into_iter().map(|(kind, _)| kind).collect();
            kinds.into_iter().collect::<std::collections::BTreeSet<String>>()
        };
        let expected = types(&model(&[0, 1], &DIFFUSION));
        assert_eq!(expected.len(), DIFFUSION.len());
        for layers in [&[5, 3][..], &[1, 0], &[0, 1, 2, 3, 4, 5, 6], &[7, 1_000_000]] {
            let mut names = model(layers, &DIFFUSION);
            assert_eq!(types(&names), expected, "{layers:?}");
            names.reverse();
            assert_eq!(types(&names), expected, "{layers:?}");
        }
    }

    #[test]
    fn numbers_of_different_modules_stay_in_types() {
        let cases: [(&[&str], &[&str]); 7] = [
            // An nn.Sequential of linear modules and activations, and one with a norm, which has a bias besides.
            (&["merger.mlp.0.weight", "merger.mlp.2.weight"], &["merger.mlp.0", "merger.mlp.2"]),
            (
                &["neck.0.weight", "neck.1.weight", "neck.1.bias", "neck.2.weight"],
                &["neck.0", "neck.1", "neck.1.bias", "neck.2"],
            ),
            // An nn.ModuleList of modules that are alike.
            (&["altup.0.weight", "altup.1.weight", "altup.2.weight"], &["altup.*", "altup.*", "altup.*"]),
            // Blocks of an nn.Sequential that differ.
            (&["net.0.proj.weight", "net.1.norm.weight", "net.2.weight"], &["net.0.proj", "net.1.norm", "net.2"]),
            // Known names count repeated modules even where those differ, and even where there is one.
            (&["h.0.layer.0.attn.q.weight", "h.0.layer.1.mlp.wi.weight"], &["layer.*.attn.q", "layer.*.mlp.wi"]),
            (&["decoder.decoder_layers.0.fc1.weight"], &["fc1"]),
            // What a quantised weight has beside itself makes no layers.
            (
                &["mlp.0.weight", "mlp.0.weight.absmax", "mlp.2.weight", "mlp.2.weight.absmax"],
                &["mlp.0", "", "mlp.2", ""],
            ),
        ];
        for (names, expected) in cases {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            for ((kind, _), expected) in kinds(&names).into_iter().zip(expected) {
                assert!(expected.is_empty() || kind == *expected, "{names:?}: {kind}");
            }
        }
    }

    #[test]
    fn experts_and_the_blocks_of_a_unet_are_not_layers() {
        let experts = model(&[0, 1, 2], &["experts.#.w1", "experts.#.w2"]);
        assert!(kinds(&experts).iter().all(|(kind, layer)| kind.starts_with("experts.*.w") && layer.is_none()));
        let unet = model(&[0, 1], &["down_blocks.#.attentions.#.proj_in", "mid_block.resnets.#.conv1"]);
        let kinds = kinds(&unet);
        assert_eq!(kinds[..2], [("attentions.*.proj_in".into(), None), ("resnets.*.conv1".into(), None)]);
    }

    #[test]
    fn stacks_with_the_same_parent_are_told_apart() {
        let alone = model(&[0, 1], &["model.transformer_blocks.#.attn.to_q"]);
        assert_eq!(kinds(&alone)[0].0, "attn.to_q");
        let both = ["model.transformer_blocks.#.attn.to_q", "model.single_transformer_blocks.#.attn.to_q"];
        let kinds = kinds(&model(&[0, 1], &both));
        assert_eq!(kinds[0].0, "model.transformer_blocks.attn.to_q");
        assert_eq!(kinds[1].0, "model.single_transformer_blocks.attn.to_q");
    }

    #[test]
    fn a_stack_without_a_known_name_does_not_change_the_types_of_others() {
        let names = model(&[0, 1], &["model.layers.#.mlp.up_proj", "visual.mergers.#.fc1"]);
        let kinds = kinds(&names);
        assert_eq!(kinds[..2], [("mlp.up_proj".into(), Some(0)), ("visual.mergers.fc1".into(), Some(0))]);
    }

    #[test]
    fn files_with_names_of_modules_only_are_understood_alike() {
        let tensors = model(&[0, 1], &DIFFUSION);
        let modules: Vec<&str> = tensors.iter().map(|name| name.trim_end_matches(".weight")).collect();
        let (of_tensors, of_modules) =
            (Places::of_tensors(tensors.iter().map(String::as_str)), Places::of_modules(modules.iter().copied()));
        for module in modules {
            assert_eq!(of_tensors.place(module), of_modules.place(module));
        }
    }

    #[test]
    fn hostile_names_have_places_too() {
        let deep = vec!["0"; 100_000].join(".");
        let names = [
            "",
            ".",
            "0",
            "0.0",
            "*.0.*",
            "..0..",
            "18446744073709551616.a.weight",
            "a.18446744073709551615.b",
            "weight",
            &deep,
        ];
        let places = Places::of_tensors(names.into_iter());
        for name in names {
            assert_eq!(places.place(name).name, name);
        }
        let many: Vec<String> = (0..100_000).map(|at| format!("a.{at}.b.{}.c{at}.weight", at % 7)).collect();
        let places = Places::of_tensors(many.iter().map(String::as_str));
        assert_eq!(places.place("a.5.b.5.c5").layer, Some(5));
    }
}
