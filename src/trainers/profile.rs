//! What is fixed about a trainer.

use super::document::Format;
use crate::select::Counted;

/// What is fixed about a trainer.
#[derive(Debug)]
pub struct Profile {
    /// Its name on the command line and in file names.
    pub key: &'static str,
    /// Its name in messages.
    pub name: &'static str,
    /// The forms of its configuration, the default first.
    pub formats: &'static [Format],
    /// All keys that its configuration can have. A file with other keys is one that a person keeps, and is not replaced.
    pub keys: &'static [&'static str],
    /// The keys of sections in YAML, each with all that the export writes within it. People have sections of these names too, which
    /// hold more.
    pub sections: &'static [(&'static str, &'static [&'static str])],
    /// Whether it trains LoRA adapters; otherwise it trains the weights themselves.
    pub has_adapters: bool,
    /// Whether it trains diffusion models.
    pub takes_diffusion: bool,
    /// Whether modules can have different ranks.
    pub has_rank_pattern: bool,
    /// Whether it takes only whole numbers for alpha.
    pub has_whole_alpha: bool,
    /// The key that makes its adapters rsLoRA's, if it has them.
    pub rslora: Option<&'static str>,
    /// Whether it can train the head along with the chosen modules.
    pub takes_head: bool,
    /// What matters in the YAML configurations that people write for it, if they do.
    pub user_config: Option<UserConfig>,
}

impl Profile {
    /// The values of most trainers, without the names, forms and keys that each has for itself.
    pub(super) const USUAL: Self = Self {
        key: "",
        name: "",
        formats: &[],
        keys: &[],
        sections: &[],
        has_adapters: true,
        takes_diffusion: false,
        has_rank_pattern: false,
        has_whole_alpha: false,
        rslora: None,
        takes_head: true,
        user_config: None,
    };

    /// What the trainer trains of a module, where adapters have this rank.
    pub fn counted(&self, rank: u64) -> Counted {
        if self.has_adapters { Counted::Lora { rank } } else { Counted::Weights }
    }
}

/// What matters in a YAML configuration that a person wrote for a trainer, beside the keys that an export sets.
#[derive(Debug)]
pub struct UserConfig {
    pub adapter: Option<AdapterKeys>,
    /// Keys that change what is trained: a warning names those that are set.
    pub conflicts: &'static [&'static str],
    /// Keys, each with a word, that change what is trained if their value contains the word: a warning names those too.
    pub naming: &'static [(&'static str, &'static str)],
    /// A key that such a configuration must have, and why.
    pub needs: Option<(&'static str, &'static str)>,
    /// Keys by which the configuration of another trainer is recognised.
    pub foreign: &'static [&'static str],
}

/// The keys that set an adapter's rank and alpha, and by what alpha is divided.
#[derive(Clone, Copy, Debug)]
pub struct AdapterKeys {
    pub rank: &'static str,
    pub alpha: &'static str,
    pub rslora: &'static str,
}
