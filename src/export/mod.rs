//! The choice -> a trainer's configuration.
//!
//! Each trainer's file says how the choice is written for it; what they share is here: which targets are chosen
//! (`targets.rs`), the rank (`lora.rs`), and the proof that the names hit what was chosen and nothing else (`resolve.rs`).

mod args;
mod axolotl;
pub mod edit;
mod llama_factory;
mod lora;
mod ms_swift;
mod peft;
mod resolve;
mod spectrum;
mod targets;
mod unsloth;
pub mod yaml;

use std::collections::HashSet;
use std::fmt;

use lora::Lora;
pub use lora::{Adapter, Alpha, Rank};
use resolve::{Rule, Universe};
use targets::{Target, Targets, belongs};
use yaml::Value;

use crate::results::{Entry, Surroundings};
use crate::select::{Candidate, Chosen, Counted};

/// Who is to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trainer {
    /// Axolotl, LoRA and QLoRA.
    Axolotl,
    /// Axolotl, the weights themselves.
    AxolotlFull,
    /// LLaMA-Factory.
    LlamaFactory,
    /// PEFT.
    Peft,
    /// ms-swift.
    MsSwift,
    /// Unsloth.
    Unsloth,
    /// Spectrum, and Axolotl's plugin for it.
    Spectrum,
}

/// A form that a configuration can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// JSON, sorted.
    SortedJson,
    /// Options for a command line.
    Args,
}

impl Format {
    /// What it is called on a command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::SortedJson => "sorted-json",
            Self::Args => "args",
        }
    }
}

/// What is to be exported.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// All modules of the scan.
    pub entries: &'a [Entry],
    /// What is ranked of them.
    pub candidates: &'a [Candidate<'a>],
    /// What is chosen of that.
    pub chosen: &'a [Chosen<'a>],
    /// The model around the scan, if it is known.
    pub around: Option<&'a Surroundings>,
    /// What adapter is trained.
    pub adapter: Adapter,
}

/// A trainer's configuration.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// The configuration in its forms, the main one first.
    pub documents: Vec<Document>,
    /// The keys of a YAML configuration, to be set in one that there is.
    pub settings: Vec<(&'static str, Value)>,
    /// Keys that must not stay in such a configuration if they are in it, with what they are set to.
    pub resets: Vec<(&'static str, Value)>,
    /// Keys that change what is trained, of which a person should know if they are set.
    pub conflicts: &'static [&'static str],
    /// A key that such a configuration has to have, and why.
    pub needs: Option<(&'static str, &'static str)>,
    /// Keys of another trainer's configuration, for which it could be taken.
    pub foreign: &'static [&'static str],
    /// What a person should know.
    pub notes: Vec<String>,
    /// What a person must know.
    pub warnings: Vec<String>,
}

/// A file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Where it belongs: its name, in a folder if the trainer looks for it there.
    pub file: String,
    /// Its form.
    pub format: Format,
    /// What is in it, with a line's end.
    pub text: String,
}

/// Why a choice cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A parameter holds several modules, of which some are chosen.
    #[error(
        "'{name}' is one parameter in memory for {held} modules, of which the choice has {chosen}: rank them as one with \
         --pool-experts mean (or max)"
    )]
    Together {
        /// The parameter.
        name: String,
        /// How many are chosen.
        chosen: usize,
        /// How many there are.
        held: usize,
    },
    /// The same, where all ranks are handed out.
    #[error(
        "'{name}' is one parameter in memory for {held} modules, and {trainer} ranks what is in memory: rank them as one with \
         --pool-experts mean (or max)"
    )]
    Apart {
        /// The trainer.
        trainer: Trainer,
        /// The parameter.
        name: String,
        /// How many modules there are.
        held: usize,
    },
    /// Modules of several components are chosen.
    #[error(
        "the choice has modules of '{0}' and of '{1}', which are models of their own: choose one with --types '{0}.*'"
    )]
    Components(String, String),
    /// A name hits nothing.
    #[error("{trainer} would find nothing under the name '{name}': leave it out with --types or --layers")]
    HitsNothing {
        /// The trainer.
        trainer: Trainer,
        /// The name.
        name: String,
    },
    /// A name hits what is not chosen.
    #[error(
        "{trainer} would find under the name '{name}' also {what}, which is not chosen: leave it out with --types or --layers"
    )]
    HitsMore {
        /// The trainer.
        trainer: Trainer,
        /// The name.
        name: String,
        /// What it hits.
        what: String,
    },
    /// A chosen module is not hit.
    #[error("{trainer} would not train '{name}', which is chosen: leave it out with --types or --layers")]
    Missed {
        /// The trainer.
        trainer: Trainer,
        /// The module.
        name: String,
    },
    /// A shape is needed that is not known.
    #[error(
        "--match-rank needs the shape of every module, and this scan does not give them all: give the model with --model"
    )]
    NoShapes,
    /// The trainer cannot do it.
    #[error("{trainer} {what}")]
    Unsupported {
        /// The trainer.
        trainer: Trainer,
        /// What it cannot do, and the way out.
        what: String,
    },
    /// Nothing is chosen.
    #[error("nothing is chosen: the scan has no linear module with a ratio that may be trained")]
    Nothing,
}

impl Trainer {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Axolotl,
        Self::AxolotlFull,
        Self::LlamaFactory,
        Self::Peft,
        Self::MsSwift,
        Self::Unsloth,
        Self::Spectrum,
    ];

    /// What it is called on a command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Axolotl => "axolotl",
            Self::AxolotlFull => "axolotl-full",
            Self::LlamaFactory => "llama-factory",
            Self::Peft => "peft",
            Self::MsSwift => "ms-swift",
            Self::Unsloth => "unsloth",
            Self::Spectrum => "spectrum",
        }
    }

    /// The forms of its configuration, the main one first.
    pub fn formats(self) -> &'static [Format] {
        match self {
            Self::Axolotl | Self::AxolotlFull => &[Format::Yaml],
            Self::LlamaFactory | Self::MsSwift => &[Format::Yaml, Format::Args],
            Self::Peft | Self::Unsloth => &[Format::Json],
            Self::Spectrum => &[Format::Yaml, Format::Json, Format::SortedJson],
        }
    }

    /// Whether its configuration is a YAML file that people write.
    pub fn has_config(self) -> bool {
        matches!(self, Self::Axolotl | Self::AxolotlFull | Self::LlamaFactory)
    }

    /// Whether modules can have ranks of their own.
    pub fn has_rank_pattern(self) -> bool {
        matches!(self, Self::Axolotl | Self::Peft)
    }

    /// What it trains of a module.
    pub fn counted(self, rank: u64) -> Counted {
        match self {
            Self::AxolotlFull | Self::Spectrum => Counted::Weights,
            _ => Counted::Lora { rank },
        }
    }
}

impl fmt::Display for Trainer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Axolotl | Self::AxolotlFull => "Axolotl",
            Self::LlamaFactory => "LLaMA-Factory",
            Self::Peft => "PEFT",
            Self::MsSwift => "ms-swift",
            Self::Unsloth => "Unsloth",
            Self::Spectrum => "Spectrum",
        })
    }
}

/// Writes the choice for `trainer`.
///
/// # Errors
///
/// Fails if the trainer cannot train exactly what is chosen.
pub fn export(trainer: Trainer, request: &Request<'_>) -> Result<Export, ExportError> {
    let choice = Choice::new(trainer, request)?;
    let mut export = match trainer {
        Trainer::Axolotl => axolotl::adapter(&choice),
        Trainer::AxolotlFull => axolotl::full(&choice),
        Trainer::LlamaFactory => llama_factory::export(&choice),
        Trainer::Peft => peft::export(&choice),
        Trainer::MsSwift => ms_swift::export(&choice),
        Trainer::Unsloth => unsloth::export(&choice),
        Trainer::Spectrum => spectrum::export(&choice, request.candidates),
    }?;
    export.notes.splice(0..0, choice.notes());
    export.warnings.extend(choice.warnings());
    Ok(export)
}

/// The component of a pipeline that everything chosen is in; `None` if the model is no pipeline.
fn component<'a>(request: &Request<'a>) -> Result<Option<&'a str>, ExportError> {
    let components = request.around.map_or(&[][..], |around| &around.components);
    let chosen = request.chosen.iter().flat_map(|chosen| &chosen.modules);
    let mut found = chosen.filter_map(|module| components.iter().find(|component| belongs(module.name, component)));
    let Some(first) = found.next() else { return Ok(None) };
    match found.find(|other| *other != first) {
        Some(other) => Err(ExportError::Components(first.clone(), other.clone())),
        None => Ok(Some(first)),
    }
}

/// What is chosen, as a trainer sees it.
struct Choice<'a> {
    trainer: Trainer,
    targets: Targets,
    universe: Universe,
    /// The places of the chosen targets, in the order of the choice.
    chosen: Vec<usize>,
    /// Those of the heads that come with them.
    heads: Vec<usize>,
    /// All that the trainer will train.
    adapted: Vec<usize>,
    lora: Lora,
    adapter: Adapter,
    entries: &'a [Entry],
    groups: &'a [Chosen<'a>],
    around: Option<&'a Surroundings>,
}

impl<'a> Choice<'a> {
    fn new(trainer: Trainer, request: &Request<'a>) -> Result<Self, ExportError> {
        let Request { entries, chosen: groups, around, adapter, .. } = *request;
        let component = component(request)?;
        let targets = Targets::new(entries, around, component);
        let mut chosen = targets.chosen(groups)?;
        chosen.retain(|place| adapter.head || !targets.all[*place].is_head);
        if chosen.is_empty() {
            return Err(ExportError::Nothing);
        }
        let takes_head = adapter.head && trainer != Trainer::Unsloth;
        let heads = if takes_head { targets.heads() } else { Vec::new() };
        let heads: Vec<usize> = heads.into_iter().filter(|head| !chosen.contains(head)).collect();
        let universe = Universe::new(&targets);
        let adapted = if trainer == Trainer::Unsloth {
            unsloth::adapted(&universe, &targets, &chosen)
        } else {
            chosen.iter().chain(&heads).copied().collect()
        };
        let lora = match trainer.counted(0) {
            Counted::Lora { .. } => Lora::new(adapter, &targets, &adapted)?,
            Counted::Weights => Lora::default(),
        };
        Ok(Self { trainer, targets, universe, chosen, heads, adapted, lora, adapter, entries, groups, around })
    }

    /// What is trained: the chosen targets, then the heads.
    fn trained(&self) -> impl Iterator<Item = usize> {
        self.chosen.iter().chain(&self.heads).copied()
    }

    fn target(&self, place: usize) -> &Target {
        &self.targets.all[place]
    }

    /// The same as a set.
    fn wanted(&self) -> HashSet<usize> {
        self.trained().collect()
    }

    /// What the model's architectures are called.
    fn model_types(&self) -> impl Iterator<Item = &str> {
        self.around.iter().flat_map(|around| around.model_types.iter().map(String::as_str))
    }

    /// The model's name for files, if it is known.
    fn model(&self) -> &str {
        self.around.map_or("model", |around| &around.model)
    }

    /// Makes sure that `patterns` hit the targets in `wanted` and nothing else.
    fn check(&self, rule: Rule<'_>, patterns: &[String], wanted: &HashSet<usize>) -> Result<(), ExportError> {
        self.universe.check(self.trainer, rule, patterns, wanted, &self.targets)
    }

    /// An error about what the trainer cannot do.
    fn unsupported(&self, what: impl Into<String>) -> ExportError {
        ExportError::Unsupported { trainer: self.trainer, what: what.into() }
    }

    /// What a person should know of the choice, whoever trains.
    fn notes(&self) -> Vec<String> {
        let mut notes = match self.trainer.counted(0) {
            Counted::Lora { .. } => self.lora.notes(self.adapter, &self.targets, &self.adapted),
            Counted::Weights => lora::weights(&self.targets, &self.adapted).into_iter().collect(),
        };
        let heads: Vec<&str> = self.heads.iter().map(|head| self.target(*head).name.as_str()).collect();
        if self.adapter.head && self.is_tied() {
            notes.push("the head is left out: it shares the embedding's weight".to_owned());
        } else if !heads.is_empty() {
            notes.push(format!("the head is trained too: {}; --no-head leaves it out", resolve::listed(&heads)));
        }
        notes
    }

    /// Whether the model's head is its embedding.
    fn is_tied(&self) -> bool {
        self.around.is_some_and(|around| around.ties_embeddings) && self.targets.heads().is_empty()
    }

    /// What a person must know of the choice, whoever trains.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.around.is_none() {
            warnings.push(
            "nothing but the scan's own modules is known of the model, so that its head is not added and names are not tried \
             on the rest of it: give the model with --model"
                .to_owned());
        }
        if matches!(self.trainer.counted(0), Counted::Lora { .. }) {
            warnings.extend(peft::bypassed(self));
        }
        warnings
    }

    /// A file's name after what it is for.
    fn file(&self, ending: &str) -> String {
        let model = self.model().rsplit('/').next().unwrap_or("model");
        format!("laser_scan_{model}_{}.{ending}", self.trainer.key())
    }

    fn document(&self, format: Format, text: String) -> Document {
        let ending = match format {
            Format::Yaml => "yml",
            Format::Json | Format::SortedJson => "json",
            Format::Args => "args",
        };
        Document { file: self.file(ending), format, text }
    }
}
