//! The number of parameters that training a module takes, and budgets of them.

use super::{Candidate, SelectError, best_first};
use crate::modules::{InMemory, Info};

/// The size of modules, from which the number of parameters that training them takes follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The sum of inputs and outputs over all matrices that get an adapter: LoRA of rank r has r times as many parameters.
    pub sides: u64,
    pub elements: u64,
}

/// A number of parameters that may be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub parameters: u64,
    pub counted: Counted,
}

/// What is trained of a module, and therefore counted: the two matrices of LoRA, or the weight itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Lora { rank: u64 },
    Weights,
}

impl Cost {
    /// The cost of modules that are trained together; `None` if a shape is not known. A weight that transformers divides has an
    /// adapter for each part, with inputs of its own. Gate and up projections that are one parameter share their inputs. Sums
    /// saturate, because shapes come from files that others wrote.
    pub fn of<'a>(infos: impl Iterator<Item = &'a Info>) -> Option<Self> {
        let mut cost = Self::default();
        let mut fused: Vec<&str> = Vec::new();
        let mut shared = 0;
        for info in infos {
            let [rows, columns] = info.shape?.map(|extent| extent as u64);
            cost.elements = cost.elements.saturating_add(rows.saturating_mul(columns));
            cost.sides = cost.sides.saturating_add(rows);
            match &info.memory {
                InMemory::Modules(names) => {
                    cost.sides = cost.sides.saturating_add(columns.saturating_mul(names.len() as u64));
                    continue;
                }
                InMemory::Parameter(_) => shared = columns.saturating_add(shared),
                InMemory::Parameters(names) => {
                    shared = columns.saturating_mul(names.len() as u64).saturating_add(shared);
                }
                // All experts in one matrix share its inputs.
                InMemory::RowsOf(_) => shared = columns,
            }
            if !fused.contains(&info.kind.as_str()) {
                fused.push(&info.kind);
            }
        }
        cost.sides = cost.sides.saturating_add(shared / fused.len().max(1) as u64);
        Some(cost)
    }

    pub fn parameters(self, counted: Counted) -> u64 {
        match counted {
            Counted::Lora { rank } => rank.saturating_mul(self.sides),
            Counted::Weights => self.elements,
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            sides: sum.sides.saturating_add(cost.sides),
            elements: sum.elements.saturating_add(cost.elements),
        })
    }
}

impl Budget {
    /// The `candidates` that fit, taken from the highest ratio downwards; one that no longer fits is passed over.
    pub fn fill<'a>(&self, mut candidates: Vec<Candidate<'a>>) -> Result<Vec<Candidate<'a>>, SelectError> {
        candidates.sort_by_key(|candidate| candidate.place);
        candidates.sort_by(best_first);
        let mut left = self.parameters;
        let mut smallest: Option<(u64, &str)> = None;
        let mut chosen = Vec::new();
        for candidate in candidates {
            let cost = candidate.cost.ok_or_else(|| SelectError::NoShape(candidate.name().to_owned()))?;
            let cost = cost.parameters(self.counted);
            if smallest.is_none_or(|(least, _)| cost < least) {
                smallest = Some((cost, candidate.name()));
            }
            if cost <= left {
                left -= cost;
                chosen.push(candidate);
            }
        }
        match smallest {
            Some((cost, name)) if chosen.is_empty() => {
                Err(SelectError::TooSmall { budget: self.parameters, name: name.to_owned(), cost })
            }
            _ => Ok(chosen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(kind: &str, shape: [usize; 2], memory: InMemory) -> Info {
        Info { shape: Some(shape), memory, ..Info::of_name("m", kind.to_owned()) }
    }

    fn modules(names: &[&str]) -> InMemory {
        InMemory::Modules(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn costs_are_those_of_the_adapters_that_peft_makes() {
        let cost = |infos: &[Info]| Cost::of(infos.iter()).expect("shapes");
        assert_eq!(cost(&[info("q", [8, 4], modules(&["q"]))]), Cost { sides: 12, elements: 32 });
        // Three equal parts, each with the inputs for itself.
        assert_eq!(cost(&[info("qkv", [24, 4], modules(&["q", "k", "v"]))]).sides, 24 + 3 * 4);
        // Two experts, whose gates and ups are one parameter of [2, 6 + 6, 4].
        let expert = |kind| info(kind, [6, 4], InMemory::Parameter("gate_up".into()));
        let experts = ["gate", "up", "gate", "up"].map(expert);
        assert_eq!(cost(&experts), Cost { sides: 2 * (12 + 4), elements: 2 * 12 * 4 });
        // Three experts in one matrix of [3 * 20, 32].
        let rows = info("w1", [20, 32], InMemory::RowsOf("w1".into()));
        assert_eq!(cost(&[rows.clone(), rows.clone(), rows]), Cost { sides: 60 + 32, elements: 60 * 32 });
        assert_eq!(Cost::of([Info { shape: None, ..expert("q") }].iter()), None);
        let huge = cost(&[info("q", [usize::MAX, usize::MAX], modules(&["q"]))]);
        assert_eq!(huge.parameters(Counted::Lora { rank: 9 }), u64::MAX);
    }
}
