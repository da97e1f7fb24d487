//! Who is to train, and what their configurations look like.

use std::fmt;

use crate::output::in_file_name;
use crate::select::Counted;

/// The folder in which Spectrum and Axolotl's plugin look for results.
pub const SPECTRUM_FOLDER: &str = "model_snr_results";

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

    /// Where its configuration for the model called `model` belongs in one of its forms: a file's name, in a folder if the trainer
    /// looks for it there.
    pub fn file(self, model: &str, format: Format) -> String {
        if self == Self::Spectrum {
            let ending = match format {
                Format::SortedJson => "_sorted.json",
                Format::Json => ".json",
                Format::Yaml | Format::Args => "_unfrozenparameters.yaml",
            };
            let slug = in_file_name(&model.replace(['/', '_'], "-"));
            return format!("{SPECTRUM_FOLDER}/snr_results_{slug}{ending}");
        }
        let ending = match format {
            Format::Yaml => "yml",
            Format::Json | Format::SortedJson => "json",
            Format::Args => "args",
        };
        let model = in_file_name(model.rsplit('/').next().unwrap_or(model));
        format!("laser_scan_{model}_{}.{ending}", self.key())
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
