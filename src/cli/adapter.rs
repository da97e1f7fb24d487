//! What adapter is trained.

use clap::Args;
use laser_scan::config::Asked;
use laser_scan::trainers::{Adapter, Alpha, Profile, Rank, Trainer};

/// The rank and alpha of the seed's plain QLoRA.
const DEFAULT_RANK: u64 = 32;
const DEFAULT_ALPHA: f64 = 16.0;

/// What adapter is trained.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to train")]
pub struct AdapterArgs {
    /// The rank of LoRA [default: 32; with --into, the one that is set]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub rank: Option<u32>,

    /// Set the rank so that as many parameters are trained as by plain LoRA of rank R over all linear modules, rounded to a
    /// multiple of 8
    #[arg(
        long,
        value_name = "R",
        conflicts_with_all = ["rank", "budget"],
        value_parser = clap::value_parser!(u32).range(1..=65536)
    )]
    pub match_rank: Option<u32>,

    /// LoRA's alpha, whatever the rank [default: 16; with --into, the one that is set]
    #[arg(long, value_name = "ALPHA", value_parser = alpha)]
    pub alpha: Option<f64>,

    /// Let alpha grow with the rank: --alpha is that of the rank given to --match-rank
    #[arg(long, requires = "match_rank", conflicts_with = "rank")]
    pub scale_alpha: bool,

    /// Leave out the head, which is trained with whatever is chosen unless it shares the embedding's weight
    #[arg(long)]
    pub no_head: bool,

    /// Another rank for the head
    #[arg(long, value_name = "R", conflicts_with = "no_head", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub head_rank: Option<u32>,
}

impl AdapterArgs {
    /// The rank, unless it is computed.
    pub fn rank(&self) -> u64 {
        self.rank.map_or(DEFAULT_RANK, u64::from)
    }

    /// The adapter.
    pub fn adapter(&self) -> Adapter {
        let alpha = self.alpha.unwrap_or(DEFAULT_ALPHA);
        Adapter {
            rank: match self.match_rank {
                Some(plain) => Rank::Matching(plain.into()),
                None => Rank::Fixed(self.rank()),
            },
            alpha: if self.scale_alpha { Alpha::Follows(alpha) } else { Alpha::Stays(alpha) },
            head: !self.no_head,
            head_rank: self.head_rank.map(u64::from),
        }
    }

    /// What of the adapter is not as a configuration has it that there is.
    pub fn asked(&self) -> Asked {
        Asked { rank: self.rank.is_some() || self.match_rank.is_some(), alpha: self.alpha.is_some() }
    }

    /// Whether anything is said of the adapter, beside its rank.
    pub fn is_given(&self) -> bool {
        self.match_rank.is_some() || self.head_rank.is_some() || self.alpha.is_some()
    }

    /// What a trainer cannot do that is asked of it.
    pub fn contradiction(&self, trainer: &dyn Trainer) -> Option<String> {
        let Profile { key, has_adapters, has_rank_pattern, .. } = trainer.profile();
        if !has_adapters && (self.is_given() || self.rank.is_some()) {
            Some(format!("{key} trains the weights themselves, without adapters: leave out ranks and alphas"))
        } else if self.head_rank.is_some() && !has_rank_pattern {
            Some(format!("{key} knows one rank for all modules: leave out --head-rank"))
        } else {
            None
        }
    }
}

fn alpha(text: &str) -> Result<f64, &'static str> {
    let alpha = text.parse().ok().filter(|alpha| *alpha > 0.0 && *alpha <= 1e9);
    alpha.ok_or("it takes a number above 0")
}
