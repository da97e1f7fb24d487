//! The options of the adapter.

use clap::Args;
use laser_scan::config::Given;
use laser_scan::trainers::{Adapter, Alpha, Profile, Rank, Trainer};

/// The rank and alpha of the plain QLoRA in the original notebook.
const DEFAULT_RANK: u64 = 32;
const DEFAULT_ALPHA: f64 = 16.0;

/// No weight has a higher rank.
const HIGHEST_RANK: u32 = 65536;

#[derive(Debug, Args)]
#[command(next_help_heading = "What to train")]
pub struct AdapterArgs {
    /// The rank of LoRA [default: 32; with --into, the one that is set]
    #[arg(long, value_name = "R", value_parser = rank, allow_negative_numbers = true)]
    pub rank: Option<u32>,

    /// Set the rank so that as many parameters are trained as by plain LoRA of rank R over all linear modules, by a multiple of 8
    /// where one comes within 2 %. No module gets a rank above its smaller side; what that leaves over goes to the others where the
    /// trainer takes a rank for each module
    #[arg(
        long,
        value_name = "R",
        conflicts_with_all = ["rank", "budget"],
        value_parser = rank,
        allow_negative_numbers = true
    )]
    pub match_rank: Option<u32>,

    /// LoRA's alpha, whatever the rank [default: 16; with --into, the one that is set]
    #[arg(long, value_name = "ALPHA", value_parser = alpha, allow_negative_numbers = true)]
    pub alpha: Option<f64>,

    /// Let alpha grow with the rank: --alpha is that of the rank given to --match-rank
    #[arg(long, requires = "match_rank", conflicts_with = "rank")]
    pub scale_alpha: bool,

    /// Scale adapters by alpha over the rank's root, as rsLoRA does, which keeps them effective at high ranks
    #[arg(long)]
    pub use_rslora: bool,

    /// Leave out the head, which is trained with whatever is chosen unless it shares the embedding's weight
    #[arg(long)]
    pub no_head: bool,

    /// Another rank for the head
    #[arg(long, value_name = "R", conflicts_with = "no_head", value_parser = rank, allow_negative_numbers = true)]
    pub head_rank: Option<u32>,
}

impl AdapterArgs {
    /// The rank that is given, or the default. `--match-rank` computes another.
    pub fn rank(&self) -> u64 {
        self.rank.map_or(DEFAULT_RANK, u64::from)
    }

    pub fn adapter(&self) -> Adapter {
        let alpha = self.alpha.unwrap_or(DEFAULT_ALPHA);
        Adapter {
            rank: match self.match_rank {
                Some(plain) => Rank::Matching(plain.into()),
                None => Rank::Fixed(self.rank()),
            },
            alpha: if self.scale_alpha { Alpha::Follows(alpha) } else { Alpha::Stays(alpha) },
            rslora: self.use_rslora,
            head: !self.no_head,
            head_rank: self.head_rank.map(u64::from),
        }
    }

    pub fn given(&self) -> Given {
        Given { rank: self.rank.is_some() || self.match_rank.is_some(), alpha: self.alpha.is_some() }
    }

    /// Whether an option of the adapter is given that makes sense only for a configuration.
    pub fn is_given(&self) -> bool {
        self.match_rank.is_some() || self.head_rank.is_some() || self.alpha.is_some() || self.use_rslora
    }

    /// What is wrong if the trainer does not support an option that is given.
    pub fn contradiction(&self, trainer: &dyn Trainer) -> Option<String> {
        let Profile { key, has_adapters, has_rank_pattern, rslora, .. } = trainer.profile();
        if !has_adapters && (self.is_given() || self.rank.is_some()) {
            Some(format!("{key} trains the weights themselves, without adapters: leave out ranks and alphas"))
        } else if self.head_rank.is_some() && !has_rank_pattern {
            Some(format!("{key} knows one rank for all modules: leave out --head-rank"))
        } else if self.use_rslora && rslora.is_none() {
            Some(format!("{key} has no rsLoRA: leave out --use-rslora"))
        } else {
            None
        }
    }
}

fn rank(text: &str) -> Result<u32, String> {
    let rank = text.parse().ok().filter(|rank| (1..=HIGHEST_RANK).contains(rank));
    rank.ok_or_else(|| format!("it takes a whole number from 1 to {HIGHEST_RANK}"))
}

fn alpha(text: &str) -> Result<f64, &'static str> {
    let alpha = text.parse().ok().filter(|alpha| *alpha > 0.0 && *alpha <= 1e9);
    alpha.ok_or("it takes a number above 0")
}
