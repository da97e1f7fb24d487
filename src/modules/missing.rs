//! Linear modules of a model that cannot be measured because no matrix is stored for them, and the messages about them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use globset::Glob;

use super::left_out::Reason;
use super::name::module_name;
use super::{Module, name, pattern};

/// How many patterns a message gives at most.
const PATTERNS: usize = 3;

/// One thing that is missing in a model: a weight, a module or a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing {
    /// The tensor that is no matrix; without a tensor, the module or the layer.
    pub name: String,
    /// The missing modules, as far as their names are known. Their shape is known only from other layers.
    pub modules: Vec<Module>,
    pub cause: Cause,
}

/// What is in the place of a module's matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Elements of this type, which are no numbers by themselves.
    Dtype(String),
    /// Codes of this type, quantised by MLX.
    Mlx(String),
    /// Experts' codes of this type, in an unknown form.
    Experts(String),
    /// A tensor that is stored in an unknown way.
    Unreadable,
    /// A tensor without elements.
    Placeholder,
    /// A vector with the elements of the matrix, of a part of it, or of several matrices.
    Flat,
    /// A tensor of this many dimensions.
    Dimensions(usize),
    /// An unknown number of experts in one matrix.
    Uncounted,
    /// A tensor that is not in the index.
    Unlisted,
    /// Nothing, although something else of the module, or of its counterparts, is stored.
    Nothing,
    /// Nothing at all of the layer. The configuration may give the number of layers.
    Layer(Option<usize>),
}

/// Weights of linear modules are stored in a form that is not read.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "'{model}' holds weights of linear modules that cannot be read: the tensor '{tensor}' {cause}{}; {}",
    and_others(*.others),
    .cause.remedy()
)]
pub struct UnreadableError {
    pub model: String,
    pub tensor: String,
    pub cause: Cause,
    /// How many other tensors cannot be read.
    pub others: usize,
    /// A few patterns that match all of these modules, but no module that can be measured; none if many would be
    /// needed.
    pub patterns: Vec<String>,
}

fn and_others(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => ", and 1 other cannot be read either".to_owned(),
        count => format!(", and {count} others cannot be read either"),
    }
}

impl Missing {
    /// How many modules are missing, as far as is known.
    pub fn count(&self) -> usize {
        self.modules.len().max(1)
    }

    /// The name of the module or layer.
    pub fn module(&self) -> &str {
        module_name(&self.name)
    }

    /// The name for a pattern that leaves it out: the module's name, which may differ from the name of its codes.
    fn pattern_name(&self) -> &str {
        match self.modules.as_slice() {
            [module] => &module.info.name,
            _ => self.module(),
        }
    }
}

impl Cause {
    /// Whether weights are stored but cannot be read, so that a scan would be of another model than the stored one.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Dtype(_) | Self::Mlx(_) | Self::Experts(_) | Self::Unreadable)
    }

    /// Why the tensor is left out, if this is known better than by its form.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Dtype(dtype) | Self::Mlx(dtype) | Self::Experts(dtype) => Some(Reason::Dtype(dtype.clone())),
            Self::Placeholder => Some(Reason::Empty),
            Self::Flat => Some(Reason::Vector),
            Self::Dimensions(count) => Some(Reason::Dimensions(*count)),
            Self::Unreadable | Self::Uncounted | Self::Unlisted | Self::Nothing | Self::Layer(_) => None,
        }
    }

    /// What the user can do about it.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Mlx(_) => "scan the model that it was made from, or save it without MLX's quantisation",
            Self::Unreadable => {
                "save it anew with transformers' save_pretrained, or scan the model that it was made from"
            }
            Self::Dtype(_) | Self::Experts(_) => "scan the model that it was made from",
            Self::Placeholder => {
                "gather the weights before they are saved, or rebuild them with DeepSpeed's zero_to_fp32.py"
            }
            Self::Flat => "save FSDP's full state dict, or join its shards with 'accelerate merge-weights'",
            Self::Dimensions(_) => "save each matrix under a name of its own",
            Self::Uncounted => "put the model's own config.json beside them and name the folder",
            Self::Unlisted => "write the index anew, as save_pretrained does",
            Self::Nothing => "download or copy the model again",
            Self::Layer(_) => "download or copy the model again, or correct config.json if the layers were cut out",
        }
    }

    /// The message about `count` modules or layers that are missing for this cause.
    fn of_several(&self, count: usize) -> String {
        let modules = if count == 1 { "1 linear module".to_owned() } else { format!("{count} linear modules") };
        let (is, has) = if count == 1 { ("is", "has") } else { ("are", "have") };
        match self {
            Self::Placeholder => format!(
                "{modules} {is} stored without elements, as DeepSpeed's ZeRO-3 does where weights are not gathered"
            ),
            Self::Flat => format!("{modules} {is} stored as flat vectors, as FSDP does where weights are sharded"),
            Self::Dimensions(dimensions) => {
                format!("{modules} {is} stored in {dimensions} dimensions, which is not understood")
            }
            Self::Uncounted => format!("{modules} {is} experts in one matrix, whose number is not known"),
            Self::Unlisted => format!("{modules} {is} in a shard, but not in the index, by which weights are loaded"),
            Self::Nothing => format!("{modules} {has} no weight, although others of the kind have one"),
            Self::Layer(Some(promised)) => {
                format!("config.json promises {promised} layers, of which {count} {is} not stored")
            }
            Self::Layer(None) => {
                format!("nothing is stored of {count} {} between others", if count == 1 { "layer" } else { "layers" })
            }
            Self::Dtype(_) | Self::Mlx(_) | Self::Experts(_) | Self::Unreadable => format!("{modules} cannot be read"),
        }
    }
}

/// The message about one tensor, module or layer, which follows its name.
impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dtype(dtype) => write!(formatter, "is {dtype} of no known quantisation"),
            Self::Mlx(dtype) => write!(formatter, "is {dtype}, codes of MLX's quantisation"),
            Self::Experts(dtype) => write!(formatter, "holds codes of experts ({dtype}) in a form that is not known"),
            Self::Unreadable => formatter.write_str("is stored in a way that is not read"),
            Self::Placeholder => formatter.write_str("is stored without elements"),
            Self::Flat => formatter.write_str("is stored as a flat vector"),
            Self::Dimensions(count) => write!(formatter, "is stored in {count} dimensions"),
            Self::Uncounted => formatter.write_str("holds experts in one matrix, whose number is not known"),
            Self::Unlisted => formatter.write_str("is in a shard, but not in the index"),
            Self::Nothing => formatter.write_str("has no weight"),
            Self::Layer(Some(promised)) => write!(
                formatter,
                "is one of the {promised} layers that config.json promises, but nothing is stored of it"
            ),
            Self::Layer(None) => formatter.write_str("is a layer between others, but nothing is stored of it"),
        }
    }
}

/// Fails if some of what is `missing` in `model` is stored but cannot be read. `measured` are the modules that can be
/// measured. The error names the first tensor that cannot be read, and how many others there are.
pub fn check(model: &str, missing: &[Missing], measured: &[Module]) -> Result<(), UnreadableError> {
    let mut unreadable = missing.iter().filter(|missing| missing.cause.is_unreadable());
    let Some(first) = unreadable.next() else { return Ok(()) };
    let all: Vec<&Missing> = std::iter::once(first).chain(unreadable).collect();
    Err(UnreadableError {
        model: model.to_owned(),
        tensor: first.name.clone(),
        cause: first.cause.clone(),
        others: all.len() - 1,
        patterns: patterns(&all, measured),
    })
}

/// Patterns that match these `missing` modules, but none of the `measured` ones: the modules' names or, if these are
/// many, names with `*` in place of numbers; none if even those are many.
fn patterns(missing: &[&Missing], measured: &[Module]) -> Vec<String> {
    let mut alike: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in missing.iter().map(|missing| missing.pattern_name()) {
        alike.entry(starred(name)).or_default().insert(pattern::exact(name));
    }
    let is_free = |starred: &str| {
        let glob = Glob::new(starred).map(|glob| glob.compile_matcher());
        glob.is_ok_and(|glob| !measured.iter().any(|module| pattern::matches(&glob, module)))
    };
    let few = |(starred, names): (String, BTreeSet<String>)| {
        let is_of_many = missing.len() > PATTERNS && names.len() > 1;
        if is_of_many && is_free(&starred) { BTreeSet::from([starred]) } else { names }
    };
    let patterns: Vec<String> = alike.into_iter().flat_map(few).collect();
    if patterns.len() > PATTERNS { Vec::new() } else { patterns }
}

/// A pattern that matches the name with any other numbers, too.
fn starred(name: &str) -> String {
    let star = |segment| if name::number(segment).is_some() { "*".to_owned() } else { pattern::exact(segment) };
    name.split('.').map(star).collect::<Vec<_>>().join(".")
}

/// The warnings about what is missing: a sentence for each cause, with an example.
pub fn warnings(missing: &[Missing]) -> Vec<String> {
    let mut causes: Vec<&Cause> = Vec::new();
    for Missing { cause, .. } in missing {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    let warning = |cause: &Cause| {
        let of_cause: Vec<&Missing> = missing.iter().filter(|missing| missing.cause == *cause).collect();
        let count = match cause {
            Cause::Layer(_) => of_cause.len(),
            _ => of_cause.iter().map(|missing| missing.count()).sum(),
        };
        format!("{} ('{}'): {}", cause.of_several(count), of_cause[0].module(), cause.remedy())
    };
    causes.into_iter().map(warning).collect()
}
