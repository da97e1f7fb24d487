//! The adapter that a user asks for.

/// The adapter that a user asks for.
#[derive(Clone, Copy, Debug)]
pub struct Adapter {
    pub rank: Rank,
    pub alpha: Alpha,
    /// Whether what the matrices add is scaled by alpha over the rank's root instead of the rank (Kalajdzievski, "A Rank
    /// Stabilization Scaling Factor for Fine-Tuning with LoRA", 2023).
    pub rslora: bool,
    /// Whether the projection onto the vocabulary is trained too.
    pub head: bool,
    /// The rank of the head, if it differs.
    pub head_rank: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    Fixed(u64),
    /// The rank with which as many parameters are trained as by plain LoRA of this rank over all linear modules.
    Matching(u64),
}

impl Rank {
    /// The rank, or plain LoRA's rank if it is still to be computed.
    pub fn fixed(self) -> u64 {
        match self {
            Self::Fixed(rank) | Self::Matching(rank) => rank,
        }
    }
}

/// LoRA's alpha: what the two matrices add is multiplied by alpha / rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alpha {
    Stays(f64),
    /// This one at plain LoRA's rank, and in proportion at any other rank.
    Follows(f64),
}
