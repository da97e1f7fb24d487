//! The model's own names, without what training tools have left in those of stored tensors.
//!
//! `torch.compile`, FSDP, DataParallel, PEFT and trl put a module into another one, whose name stands in every name below it
//! if the state is saved as it is. transformers and trainers know the model without it. What is left of a wrapper is known
//! from the names alone: from a segment that no model has, or from a beginning that all names share.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;

use super::adapter;
use super::header::TensorInfo;
use super::part::Part;

/// Wrappers around any module: those of `torch.compile`, of FSDP and of activation checkpointing.
const ANYWHERE: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// DataParallel's wrapper around the whole model.
const MODULE: &str = "module";

/// Wrappers around the whole model, with which all names begin: DataParallel's, trl's and PEFT's.
const LEADING: [&str; 3] = [MODULE, "pretrained_model", "base_model.model"];

/// The head that trl puts beside the model.
const VALUE_HEAD: &str = "v_head";

/// The beginning of the diffusion model's names in a file that holds a whole pipeline. The other parts keep theirs.
const DIFFUSION_MODEL: &str = "model.diffusion_model";

/// PEFT's name for the module that an adapter changes.
const BASE_LAYER: &str = "base_layer";

/// PEFT's names for a module that is trained whole, before that of the adapter, and for what it was before.
const MODULES_TO_SAVE: &str = "modules_to_save";
const ORIGINAL_MODULE: &str = "original_module";

/// Why the model's own names are not clear, as the predicate of a sentence about the model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapperError {
    #[error(
        "holds the tensors '{first}' and '{second}', which are both '{own}' without what training tools leave in names: it is \
         not clear which counts; save the model again without wrappers"
    )]
    Twice { own: String, first: String, second: String },
    #[error(
        "holds the module '{module}' as it was trained with several adapters ('{first}', '{second}'): it is not clear which \
         counts; merge one of them into the model and save it again"
    )]
    SeveralAdapters { module: String, first: String, second: String },
}

/// What training tools have left in the names of a model's tensors.
#[derive(Debug, Default)]
pub struct Wrappers {
    /// The wrappers around the whole model, the outermost first.
    leading: Vec<&'static str>,
    /// The modules that were trained whole, with the adapter's name.
    trained: BTreeMap<String, String>,
    /// Whether none of the names of the model's tensors has anything to take off.
    are_all_bare: bool,
    /// What is taken off.
    pub found: Vec<&'static str>,
}

impl Wrappers {
    /// Finds what is left in `names`, which are those of all tensors of a model. Fails if two tensors have the same name
    /// without it.
    pub fn of(names: &[&str]) -> Result<Self, WrapperError> {
        let mut wrappers = Self { leading: leading(names), ..Self::default() };
        let touched: Vec<&str> = names.par_iter().copied().filter(|name| wrappers.may_touch(name)).collect();
        wrappers.are_all_bare = touched.is_empty();
        for name in touched {
            wrappers.note_trained(&wrappers.without_tuners(name))?;
        }
        let mut found = BTreeSet::new();
        let mut stored: HashMap<Cow<'_, str>, &str> = HashMap::new();
        let markers = ANYWHERE.into_iter().chain(LEADING).chain([DIFFUSION_MODEL, BASE_LAYER, MODULES_TO_SAVE]);
        let markers: Vec<&'static str> = markers.chain([ORIGINAL_MODULE]).collect();
        let own: Vec<Cow<'_, str>> = names.par_iter().map(|name| wrappers.own_of_model(name)).collect();
        for (name, own) in names.iter().zip(own) {
            if let Cow::Owned(own) = &own {
                let is_off = |at: &usize| count(name, markers[*at]) > count(own, markers[*at]);
                found.extend((0..markers.len()).filter(is_off));
            }
            if let Some(first) = stored.insert(own, name) {
                let [own, first, second] = [&*wrappers.own(name), first, name].map(str::to_owned);
                return Err(WrapperError::Twice { own, first, second });
            }
        }
        wrappers.found = found.into_iter().map(|at| markers[at]).collect();
        Ok(wrappers)
    }

    /// The model's own name for the tensor called `stored` in a file, borrowed if it is the same.
    pub fn own<'a>(&self, stored: &'a str) -> Cow<'a, str> {
        if !self.may_touch(stored) {
            return Cow::Borrowed(stored);
        }
        let name = self.without_tuners(stored);
        let whole = trained(&name).map(|(module, leaf, _)| (module, leaf));
        let unchanged = || original(&name).filter(|(module, _)| !self.trained.contains_key(*module));
        match whole.or_else(unchanged) {
            Some((module, leaf)) => Cow::Owned(format!("{module}.{leaf}")),
            None => borrowed_if_same(stored, name),
        }
    }

    /// As [`Self::own`], for one of the names that this was found in.
    fn own_of_model<'a>(&self, stored: &'a str) -> Cow<'a, str> {
        if self.are_all_bare { Cow::Borrowed(stored) } else { self.own(stored) }
    }

    /// A stored tensor under the model's own name.
    pub fn part(&self, shard: usize, tensor: &TensorInfo) -> Part {
        match self.own_of_model(&tensor.name) {
            Cow::Borrowed(_) => Part::new(shard, tensor.clone()),
            Cow::Owned(name) => {
                Part { shard, tensor: TensorInfo { name, ..tensor.clone() }, stored: Some(tensor.name.clone()) }
            }
        }
    }

    /// Whether a tensor, by its [`Self::own`] name, was replaced by one that is stored beside it.
    pub fn is_replaced(&self, own: &str) -> bool {
        !self.trained.is_empty() && original(own).is_some_and(|(module, _)| self.trained.contains_key(module))
    }

    fn note_trained(&mut self, name: &str) -> Result<(), WrapperError> {
        let Some((module, _, adapter)) = trained(name) else { return Ok(()) };
        match self.trained.insert(module.to_owned(), adapter.to_owned()) {
            Some(first) if first != adapter => {
                let (module, second) = (module.to_owned(), adapter.to_owned());
                Err(WrapperError::SeveralAdapters { module, first, second })
            }
            _ => Ok(()),
        }
    }

    /// Whether there may be something to take off. Most models have no such name, and the largest have 100,000 others.
    fn may_touch(&self, stored: &str) -> bool {
        let is_mark =
            |segment| is_anywhere(segment) || [BASE_LAYER, MODULES_TO_SAVE, ORIGINAL_MODULE].contains(&segment);
        !self.leading.is_empty() || stored.starts_with(DIFFUSION_MODEL) || stored.split('.').any(is_mark)
    }

    /// The name without all wrappers but PEFT's around modules that are trained whole.
    fn without_tuners(&self, stored: &str) -> String {
        let bare = without_anywhere(stored);
        let inner = self.leading.iter().fold(&*bare, |name, wrapper| within(name, wrapper).unwrap_or(name));
        let inner = within(inner, DIFFUSION_MODEL).unwrap_or(inner);
        let segments: Vec<&str> = inner.split('.').collect();
        let is_own = |(at, segment): &(usize, &&str)| **segment != BASE_LAYER || !is_base_layer(&segments, *at);
        segments.iter().enumerate().filter(is_own).map(|(_, segment)| *segment).collect::<Vec<_>>().join(".")
    }
}

/// The wrappers with which all `names` begin, the outermost first. What PEFT and trl put beside the model may lack theirs.
fn leading(names: &[&str]) -> Vec<&'static str> {
    let bare: Vec<Cow<'_, str>> = names.par_iter().map(|name| without_anywhere(name)).collect();
    let mut rest: Vec<&str> = bare.iter().map(AsRef::as_ref).collect();
    let mut leading = Vec::new();
    let is_beside = |name: &str| name.split('.').next() == Some(VALUE_HEAD) || adapter::is_factor(name);
    let is_around = |names: &[&str], wrapper: &str| {
        names.iter().any(|name| within(name, wrapper).is_some())
            && names.iter().all(|name| within(name, wrapper).is_some() || (wrapper != MODULE && is_beside(name)))
    };
    while let Some(wrapper) = LEADING.into_iter().find(|wrapper| is_around(&rest, wrapper)) {
        rest = rest.into_iter().map(|name| within(name, wrapper).unwrap_or(name)).collect();
        leading.push(wrapper);
    }
    leading
}

/// The rest of a name that begins with the segments of `wrapper`.
fn within<'a>(name: &'a str, wrapper: &str) -> Option<&'a str> {
    name.strip_prefix(wrapper)?.strip_prefix('.').filter(|rest| !rest.is_empty())
}

/// The own name, without memory of its own if it is the stored one, as most are.
fn borrowed_if_same(stored: &str, own: String) -> Cow<'_, str> {
    if own == stored { Cow::Borrowed(stored) } else { Cow::Owned(own) }
}

fn is_anywhere(segment: &str) -> bool {
    ANYWHERE.contains(&segment)
}

fn without_anywhere(name: &str) -> Cow<'_, str> {
    let (path, leaf) = name.rsplit_once('.').map_or((None, name), |(path, leaf)| (Some(path), leaf));
    let path = || path.into_iter().flat_map(|path| path.split('.'));
    if !path().any(is_anywhere) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(path().filter(|segment| !is_anywhere(segment)).chain([leaf]).collect::<Vec<_>>().join("."))
}

/// Whether the segment at this place is PEFT's and not the model's own: it stands directly before what is stored of the
/// module, such as `weight` or `weight.absmax`, or before the part of an attention that PEFT wraps once more.
fn is_base_layer(segments: &[&str], at: usize) -> bool {
    let is_stored = |after: &[&str]| match after {
        [] => false,
        [_] => true,
        [first, ..] => matches!(*first, "weight" | "out_proj"),
    };
    // One module may have been wrapped several times.
    let after =
        segments[at..].iter().position(|segment| *segment != BASE_LAYER).map_or(segments.len(), |next| at + next);
    at > 0 && is_stored(&segments[after..])
}

/// The module, what is stored of it, and the adapter, for a name of a module that was trained whole. The adapter's name may
/// have been taken off.
fn trained(name: &str) -> Option<(&str, &str, &str)> {
    let (module, rest) = split_at(name, MODULES_TO_SAVE)?;
    let (adapter, leaf) = rest.split_once('.').unwrap_or(("", rest));
    Some((module, leaf, adapter))
}

/// The module and what is stored of it, for a name of a module as it was before it was trained whole.
fn original(name: &str) -> Option<(&str, &str)> {
    split_at(name, ORIGINAL_MODULE)
}

/// What stands before and after `segment` within a name.
fn split_at<'a>(name: &'a str, segment: &str) -> Option<(&'a str, &'a str)> {
    name.split_once(&format!(".{segment}."))
}

/// How often `segments` stand in a name.
fn count(name: &str, segments: &str) -> usize {
    format!(".{}.", name.replace('.', "..")).matches(&format!(".{}.", segments.replace('.', ".."))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The own names of these tensors of one model.
    #[track_caller]
    fn own(names: &[&str]) -> Vec<String> {
        let wrappers = Wrappers::of(names).expect("clear names");
        names.iter().map(|name| wrappers.own(name).into_owned()).collect()
    }

    fn found(names: &[&str]) -> Vec<&'static str> {
        Wrappers::of(names).expect("clear names").found
    }

    #[test]
    fn a_models_own_names_stay_as_they_are() {
        for names in [
            &["model.layers.0.mlp.up_proj.weight", "lm_head.weight"][..],
            // timm's DLA, by itself and within transformers.
            &["base_layer.0.weight", "level0.0.weight"],
            &["timm_model.base_layer.0.weight", "timm_model.level0.0.weight"],
            &["module.layers.0.up.weight", "head.weight"],
            &["base_model.model.layers.0.up.weight", "base_model.lm_head.weight"],
            &["pretrained_model.layers.0.up.weight", "classifier.weight"],
            &["modules.0.module.weight", "model.diffusion_model_2.weight", "module", "base_layer"],
        ] {
            assert_eq!((own(names).iter().map(String::as_str).collect(), found(names)), (names.to_vec(), vec![]));
        }
    }

    #[test]
    fn each_wrapper_is_taken_off_at_its_place() {
        for (stored, expected, taken) in [
            ("_orig_mod.model.layers.0.up.weight", "model.layers.0.up.weight", "_orig_mod"),
            ("model.layers.0._orig_mod.up.weight", "model.layers.0.up.weight", "_orig_mod"),
            ("_fsdp_wrapped_module.layers.0.up.weight", "layers.0.up.weight", "_fsdp_wrapped_module"),
            ("layers.0._checkpoint_wrapped_module.up.weight", "layers.0.up.weight", "_checkpoint_wrapped_module"),
            ("module.layers.0.module.weight", "layers.0.module.weight", "module"),
            ("base_model.model.model.layers.0.up.weight", "model.layers.0.up.weight", "base_model.model"),
            ("pretrained_model.model.layers.0.up.weight", "model.layers.0.up.weight", "pretrained_model"),
            ("layers.0.up.base_layer.weight", "layers.0.up.weight", "base_layer"),
            ("layers.0.up.base_layer.base_layer.bias", "layers.0.up.bias", "base_layer"),
            ("layers.0.up.base_layer.weight.absmax", "layers.0.up.weight.absmax", "base_layer"),
            ("layers.0.attn.base_layer.out_proj.base_layer.weight", "layers.0.attn.out_proj.weight", "base_layer"),
            ("layers.0.experts.base_layer.gate_up_proj", "layers.0.experts.gate_up_proj", "base_layer"),
            ("score.modules_to_save.default.weight", "score.weight", "modules_to_save"),
            ("score.modules_to_save.weight", "score.weight", "modules_to_save"),
            ("score.modules_to_save.mine.0.weight", "score.0.weight", "modules_to_save"),
            ("score.original_module.weight", "score.weight", "original_module"),
            ("model.diffusion_model.blocks.0.up.weight", "blocks.0.up.weight", "model.diffusion_model"),
        ] {
            assert_eq!((own(&[stored]), found(&[stored])), (vec![expected.to_owned()], vec![taken]), "{stored}");
        }
    }

    #[test]
    fn wrappers_around_each_other_are_all_taken_off() {
        let names = [
            "module._orig_mod.model.layers.0._checkpoint_wrapped_module.mlp.up_proj.weight",
            "module._orig_mod.model._fsdp_wrapped_module.norm.weight",
        ];
        assert_eq!(own(&names), ["model.layers.0.mlp.up_proj.weight", "model.norm.weight"]);
        let all = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module"];
        assert_eq!(found(&names), all);
        let names = [
            "module.module.pretrained_model.base_model.model.model.layers.0.up.base_layer.weight",
            "module.module.pretrained_model.base_model.model.model.layers.0.up.lora_A.default.weight",
            "module.module.v_head.summary.weight",
        ];
        let expected = ["model.layers.0.up.weight", "model.layers.0.up.lora_A.default.weight", "v_head.summary.weight"];
        assert_eq!(own(&names), expected);
        // VeRA's factors belong to all modules.
        let names = ["base_model.model.layers.0.up.base_layer.weight", "base_model.vera_A.default"];
        assert_eq!(own(&names), ["layers.0.up.weight", "base_model.vera_A.default"]);
    }

    #[test]
    fn the_parts_beside_a_diffusion_model_keep_their_names() {
        let names =
            ["model.diffusion_model.out.2.weight", "first_stage_model.out.2.weight", "cond_stage_model.x.weight"];
        assert_eq!(own(&names), ["out.2.weight", names[1], names[2]]);
    }

    #[test]
    fn a_module_that_was_trained_whole_takes_the_place_of_its_original() {
        let names = [
            "base_model.model.score.original_module.weight",
            "base_model.model.score.modules_to_save.default.weight",
            "base_model.model.embed.original_module.weight",
        ];
        assert_eq!(own(&names), ["score.original_module.weight", "score.weight", "embed.weight"]);
        let wrappers = Wrappers::of(&names).expect("clear names");
        let replaced = names.map(|name| wrappers.is_replaced(&wrappers.own(name)));
        assert_eq!(replaced, [true, false, false]);
    }

    #[test]
    fn what_is_not_clear_is_an_error() {
        let twice = Wrappers::of(&["_orig_mod.up.weight", "up.weight"]).expect_err("two of one name");
        let [own, first, second] = ["up.weight", "_orig_mod.up.weight", "up.weight"].map(str::to_owned);
        assert_eq!(twice, WrapperError::Twice { own, first, second });
        let names = ["head.modules_to_save.a.weight", "head.modules_to_save.a.bias", "head.modules_to_save.b.weight"];
        let several = Wrappers::of(&names).expect_err("two adapters");
        let [module, first, second] = ["head", "a", "b"].map(str::to_owned);
        assert_eq!(several, WrapperError::SeveralAdapters { module, first, second });
    }
}
