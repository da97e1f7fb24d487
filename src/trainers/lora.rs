//! The rank of LoRA.
//!
//! LoRA adds to a weight of n x m the product of an n x r and an r x m matrix, which have r (n + m) parameters. If fewer modules
//! are trained, a higher rank trains as many parameters. That is the rule of the original notebook, "to get the same trainable parameters then for a qlora
//! training … you need to adjust the lora_r depending on the amount of filtered layers".

use serde_json::{Value, json};

use super::ExportError;
use super::targets::Targets;
use crate::output::{counted, grouped};
use crate::select::Cost;

/// What a rank is rounded to.
pub const STEP: u64 = 8;

/// The adapter that a user asks for.
#[derive(Clone, Copy, Debug)]
pub struct Adapter {
    pub rank: Rank,
    pub alpha: Alpha,
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

/// The numbers with which LoRA is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lora {
    pub rank: u64,
    pub alpha: f64,
    /// The rank of the head, if it differs.
    pub head_rank: Option<u64>,
}

impl Lora {
    /// The numbers for the targets that are `trained`. Heads are not counted where a rank is computed.
    pub fn new(adapter: Adapter, targets: &Targets, trained: &[usize]) -> Result<Self, ExportError> {
        let (_, chosen) = split_heads(targets, trained);
        let rank = match adapter.rank {
            Rank::Fixed(rank) => rank,
            Rank::Matching(plain) => {
                let known = targets.plain().zip(cost(targets, &chosen));
                let ((all, _), some) = known.ok_or(ExportError::NoShapes)?;
                if all.sides == 0 || some.sides == 0 {
                    return Err(ExportError::Incomparable);
                }
                matching(plain, all.sides, some.sides)
            }
        };
        let alpha = match (adapter.alpha, adapter.rank) {
            (Alpha::Follows(alpha), Rank::Matching(plain)) => alpha * rank as f64 / plain as f64,
            (Alpha::Follows(alpha) | Alpha::Stays(alpha), _) => alpha,
        };
        Ok(Self { rank, alpha, head_rank: adapter.head_rank.filter(|head| *head != rank) })
    }

    /// The alpha as a number in JSON, without a decimal point if it is whole.
    pub fn alpha_in_json(&self) -> Value {
        let is_whole = self.alpha.fract() == 0.0 && self.alpha.abs() < 1e15;
        if is_whole { json!(self.alpha as i64) } else { json!(self.alpha) }
    }

    /// The note on how many parameters are trained, and how the rank was computed, if all shapes are known.
    pub fn note(&self, adapter: Adapter, targets: &Targets, trained: &[usize]) -> Option<String> {
        let (heads, chosen) = split_heads(targets, trained);
        let some = cost(targets, &chosen)?;
        let trained = self.rank.saturating_mul(some.sides);
        let mut text = format!(
            "rank {}: {} trainable parameters in {}",
            self.rank,
            grouped(trained),
            counted(chosen.len(), "module")
        );
        if let (Rank::Matching(plain), Some((all, count))) = (adapter.rank, targets.plain()) {
            let budget = plain.saturating_mul(all.sides);
            text += &format!(
                ", where plain LoRA of rank {plain} has {} in all {count} ({:.1} %): {plain} · {} / {} = {:.2}, rounded to a \
                 multiple of {STEP}",
                grouped(budget),
                100.0 * trained as f64 / budget as f64,
                grouped(all.sides),
                grouped(some.sides),
                plain as f64 * all.sides as f64 / some.sides as f64,
            );
        }
        if let Some(head) = cost(targets, &heads).filter(|head| head.sides > 0) {
            let rank = self.head_rank.unwrap_or(self.rank);
            text += &format!("; the head adds {}", grouped(rank.saturating_mul(head.sides)));
        }
        Some(text)
    }
}

/// The note on how many parameters are trained without adapters, if all shapes are known.
pub fn weights(targets: &Targets, trained: &[usize]) -> Option<String> {
    let (heads, chosen) = split_heads(targets, trained);
    let elements = cost(targets, &chosen)?.elements;
    let head = cost(targets, &heads).filter(|head| head.elements > 0);
    let head = head.map_or_else(String::new, |head| format!("; the head adds {}", grouped(head.elements)));
    Some(format!("{} weights are trained in {}{head}", grouped(elements), counted(chosen.len(), "module")))
}

/// The rank at which modules with `some` inputs and outputs have as many parameters as those with `all` at rank `plain`.
fn matching(plain: u64, all: u64, some: u64) -> u64 {
    let exact = plain as f64 * all as f64 / some as f64;
    ((exact / STEP as f64).round() as u64).max(1).saturating_mul(STEP)
}

/// The heads in these `places`, and the others.
fn split_heads(targets: &Targets, places: &[usize]) -> (Vec<usize>, Vec<usize>) {
    places.iter().partition(|place| targets.all[**place].is_head)
}

/// What training the targets in these `places` takes; `None` if a shape is not known.
fn cost(targets: &Targets, places: &[usize]) -> Option<Cost> {
    places.iter().map(|place| targets.all[*place].cost).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_seed() {
        // Inputs and outputs of the seven modules of a layer of Mistral-7B, of 32 layers.
        let layer = 2 * 8192 + 2 * 5120 + 3 * 18432;
        let rank = |layers: u64| matching(32, 32 * layer, layers * layer);
        assert_eq!([rank(32), rank(16), rank(4), rank(3), rank(31)], [32, 64, 256, 344, 32]);
        assert_eq!(matching(1, 8, 8), 8, "never less than a step");
    }
}
