//! What adapter is trained.

use clap::Args;
use laser_scan::export::{Adapter, Alpha, Rank};

/// What adapter is trained.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to train")]
pub struct AdapterArgs {
    /// The rank of LoRA
    #[arg(long, value_name = "R", default_value = "32", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub rank: u32,

    /// Set the rank so that as many parameters are trained as by plain LoRA of rank R over all linear modules, rounded to a
    /// multiple of 8
    #[arg(
        long,
        value_name = "R",
        conflicts_with_all = ["rank", "budget"],
        value_parser = clap::value_parser!(u32).range(1..=65536)
    )]
    pub match_rank: Option<u32>,

    /// LoRA's alpha, whatever the rank
    #[arg(long, value_name = "ALPHA", default_value = "16", value_parser = alpha)]
    pub alpha: f64,

    /// Let alpha grow with the rank: --alpha is that of the rank given to --match-rank
    #[arg(long, requires = "match_rank")]
    pub scale_alpha: bool,

    /// Leave out the head, which is trained with whatever is chosen unless it shares the embedding's weight
    #[arg(long)]
    pub no_head: bool,

    /// Another rank for the head
    #[arg(long, value_name = "R", conflicts_with = "no_head", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub head_rank: Option<u32>,
}

impl AdapterArgs {
    /// The adapter.
    pub fn adapter(&self) -> Adapter {
        Adapter {
            rank: match self.match_rank {
                Some(plain) => Rank::Matching(plain.into()),
                None => Rank::Fixed(self.rank.into()),
            },
            alpha: if self.scale_alpha { Alpha::Follows(self.alpha) } else { Alpha::Stays(self.alpha) },
            head: !self.no_head,
            head_rank: self.head_rank.map(u64::from),
        }
    }
}

fn alpha(text: &str) -> Result<f64, &'static str> {
    let alpha = text.parse().ok().filter(|alpha| *alpha > 0.0 && *alpha <= 1e9);
    alpha.ok_or("it takes a number above 0")
}
