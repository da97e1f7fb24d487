//! The rank of LoRA.
//!
//! LoRA adds to a weight of n x m the product of an n x r and an r x m matrix, which have r (n + m) parameters. If fewer modules
//! are trained, a higher rank trains as many parameters. That is the rule of the original notebook, "to get the same trainable
//! parameters then for a qlora training … you need to adjust the lora_r depending on the amount of filtered layers".

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::adapter::{Adapter, Alpha, Rank};
use super::document::Remark;
use super::ranks::{self, Adaptable};
use super::remedy::Remedy;
use super::targets::{Target, Targets};
use super::{ExportError, Profile};
use crate::output::{counted, grouped};
use crate::select::Cost;

/// How far alpha over rank may fall below that of plain LoRA before it is warned of.
const MOST_DAMPING: f64 = 4.0;

/// The numbers with which LoRA is trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lora {
    pub rank: u64,
    pub alpha: f64,
    pub rslora: bool,
    /// Whether the trainer scales by alpha; otherwise it takes the rank for it.
    pub is_scaled: bool,
    /// The rank of the head, if it differs.
    pub head_rank: Option<u64>,
    /// The places of the targets that cannot use the rank, with the rank that each has instead.
    pub lower: BTreeMap<usize, u64>,
}

impl Lora {
    /// The numbers for the targets that are `trained` by a `trainer` that scales by alpha if it `is_scaled`. Heads are not counted where
    /// a rank is computed.
    pub fn new(
        adapter: Adapter,
        trainer: &Profile,
        is_scaled: bool,
        targets: &Targets,
        trained: &[usize],
    ) -> Result<Self, ExportError> {
        let (heads, chosen) = split_heads(targets, trained);
        let (rank, lower) = match adapter.rank {
            Rank::Fixed(rank) => (rank, BTreeMap::new()),
            Rank::Matching(plain) => {
                let known = targets.plain().zip(adaptable(targets, &chosen));
                let ((all, _), some) = known.ok_or(ExportError::NoShapes)?;
                if all.sides == 0 || ranks::used(&some, 1) == 0 {
                    return Err(ExportError::Incomparable);
                }
                let budget = plain.saturating_mul(all.sides);
                let heads = if adapter.head_rank.is_some() { &[] } else { &heads[..] };
                let limit = |place: &usize| Some((*place, targets.all[*place].limit?));
                if trainer.has_rank_pattern {
                    let rank = ranks::matching(&some, budget, true);
                    let limits = chosen.iter().chain(heads).filter_map(limit);
                    (rank, limits.filter(|(_, limit)| *limit < rank).collect())
                } else {
                    // The head takes nothing of the budget, but must be able to use the rank.
                    let heads = heads.iter().filter_map(limit).map(|(_, limit)| Adaptable { sides: 0, limit });
                    let all: Vec<Adaptable> = some.into_iter().chain(heads).collect();
                    (ranks::matching(&all, budget, false), BTreeMap::new())
                }
            }
        };
        let alpha = match (adapter.alpha, adapter.rank) {
            _ if !is_scaled => rank as f64,
            (Alpha::Follows(alpha), Rank::Matching(plain)) => {
                let alpha = alpha * rank as f64 / plain as f64;
                if trainer.has_whole_alpha { alpha.round().max(1.0) } else { alpha }
            }
            (Alpha::Follows(alpha) | Alpha::Stays(alpha), _) => alpha,
        };
        let head_rank = adapter.head_rank.filter(|head| *head != rank);
        if trainer.has_whole_alpha && alpha.fract() != 0.0 {
            let what = format!("takes only a whole number for alpha, and it is {alpha}");
            return Err(ExportError::Unsupported { trainer: trainer.name, what, remedy: Some(Remedy::GiveAlpha) });
        }
        Ok(Self { rank, alpha, rslora: adapter.rslora, is_scaled, head_rank, lower })
    }

    /// The alpha with which an adapter of another `rank` is scaled as the others are.
    pub fn alpha_at(&self, rank: u64) -> f64 {
        self.alpha * damping(rank, self.rslora) / damping(self.rank, self.rslora)
    }

    /// What the adapters' products are multiplied with.
    pub fn factor(&self) -> f64 {
        self.alpha / damping(self.rank, self.rslora)
    }

    /// The alpha as a number in JSON, without a decimal point if it is whole.
    pub fn alpha_in_json(&self) -> Value {
        in_json(self.alpha)
    }

    /// The parameters of adapters beside the targets in these places; `None` if a shape is not known.
    fn parameters(&self, targets: &Targets, places: &[usize]) -> Option<u64> {
        let rank = |place: &usize| self.lower.get(place).copied().unwrap_or(self.rank);
        let of = |place: &usize| Some(rank(place).saturating_mul(targets.all[*place].cost?.sides));
        places.iter().map(of).try_fold(0_u64, |sum, parameters| Some(sum.saturating_add(parameters?)))
    }

    /// The parameters of the adapters of heads among these places; `None` without heads, or if a shape is not known.
    pub fn of_heads(&self, targets: &Targets, trained: &[usize]) -> Option<u64> {
        let (heads, _) = split_heads(targets, trained);
        let sides = || cost(targets, &heads).map(|cost| cost.sides);
        let parameters = match self.head_rank {
            Some(rank) => sides().map(|sides| rank.saturating_mul(sides)),
            None => self.parameters(targets, &heads),
        };
        parameters.filter(|_| !heads.is_empty())
    }

    /// The note on how many parameters are trained, and how the rank was computed, if all shapes are known.
    pub fn note(&self, adapter: Adapter, targets: &Targets, trained: &[usize]) -> Option<String> {
        let (_, chosen) = split_heads(targets, trained);
        let parameters = self.parameters(targets, &chosen)?;
        let mut text = format!(
            "rank {}: {} trainable parameters in {}",
            self.rank,
            grouped(parameters),
            counted(chosen.len(), "module")
        );
        if let (Rank::Matching(plain), Some((all, count))) = (adapter.rank, targets.plain()) {
            let budget = plain.saturating_mul(all.sides);
            text += &format!(
                ", where plain LoRA of rank {plain} has {} in all {count} ({:.1} %)",
                grouped(budget),
                100.0 * parameters as f64 / budget as f64,
            );
        }
        if let Some((place, rank)) = self.lower.iter().min_by_key(|(_, rank)| *rank) {
            let name = &targets.all[*place].name;
            let others = match self.lower.len() - 1 {
                0 => String::new(),
                others => format!(", and {} too", counted(others, "other")),
            };
            text += &format!("; '{name}' can hold no more than rank {rank} and has that{others}");
        }
        text += &format!("; {}", self.scaling(adapter));
        Some(text)
    }

    /// What the adapters' products are multiplied with, beside what it is in plain LoRA if the rank is made to match that.
    fn scaling(&self, adapter: Adapter) -> String {
        if !self.is_scaled {
            return "the trainer takes the rank for alpha, so that what adapters add is not scaled".to_owned();
        }
        let root = if self.rslora { "√" } else { "" };
        let (alpha, rank, factor) = (self.alpha, self.rank, self.factor());
        let own = format!("alpha / {root}rank is {alpha} / {root}{rank} = {}", short(factor));
        match adapter.rank {
            Rank::Matching(plain) => format!("{own}, in plain LoRA {}", short(self.plain_factor(adapter, plain))),
            Rank::Fixed(_) => own,
        }
    }

    fn plain_factor(&self, adapter: Adapter, plain: u64) -> f64 {
        let (Alpha::Stays(alpha) | Alpha::Follows(alpha)) = adapter.alpha;
        if self.is_scaled { alpha / damping(plain, self.rslora) } else { 1.0 }
    }

    /// What may surprise whoever trains with these numbers.
    pub fn warnings(&self, adapter: Adapter, trainer: &Profile, targets: &Targets, trained: &[usize]) -> Vec<Remark> {
        let (_, chosen) = split_heads(targets, trained);
        let mut warnings: Vec<Remark> = Vec::new();
        let Rank::Matching(plain) = adapter.rank else {
            warnings.extend(self.above_limits(targets, &chosen).map(Remark::from));
            return warnings;
        };
        warnings.extend(self.missed(plain, trainer, targets, trained).map(Remark::from));
        let factor = self.factor();
        let fall = self.plain_factor(adapter, plain) / factor;
        if fall > MOST_DAMPING {
            let text = format!(
                "what the adapters add is scaled by {}, {} times less than in plain LoRA, because alpha stays where the rank grows",
                short(factor),
                short(fall)
            );
            let remedy = if trainer.rslora.is_some() { Remedy::ScaleAlpha } else { Remedy::LetAlphaGrow };
            warnings.push(Remark::new(text, remedy));
        }
        warnings
    }

    /// What a rank that was asked for is too high for.
    fn above_limits(&self, targets: &Targets, chosen: &[usize]) -> Option<String> {
        let above = |place: &&usize| targets.all[**place].limit.is_some_and(|limit| limit < self.rank);
        let mut above = chosen.iter().filter(above);
        let first = &targets.all[*above.next()?];
        let others = match above.count() {
            0 => String::new(),
            others => format!(" and {}", counted(others, "other module")),
        };
        let (rank, name, limit) = (self.rank, &first.name, first.limit?);
        Some(format!("rank {rank} is more than '{name}' ({limit}){others} can hold: a lower one trains as much"))
    }

    /// Why the budget is missed, if it is.
    fn missed(&self, plain: u64, trainer: &Profile, targets: &Targets, trained: &[usize]) -> Option<String> {
        let (_, chosen) = split_heads(targets, trained);
        let chosen = chosen.as_slice();
        let budget = plain.saturating_mul(targets.plain()?.0.sides);
        let some = adaptable(targets, chosen)?;
        let part = self.parameters(targets, chosen)? as f64 / budget as f64;
        if (part - 1.0).abs() <= ranks::TOLERANCE {
            return None;
        }
        let percent = format!("{:.0} % of the budget", 100.0 * part);
        let wanted = budget as f64 / ranks::used(&some, 1) as f64;
        // A rank for all is also the head's.
        let limits = trained.iter().filter_map(|place| Some((targets.all[*place].limit?, *place)));
        let (limit, place) = limits.min()?;
        let is_full = if trainer.has_rank_pattern {
            some.iter().all(|adapter| adapter.limit <= self.rank)
        } else {
            limit <= self.rank
        };
        Some(if part >= 1.0 || !is_full {
            format!("a rank is a whole number, and {} comes nearest: {percent} is used", self.rank)
        } else if trainer.has_rank_pattern {
            format!(
                "no chosen module can hold more than the rank that it has: {percent} is used, and more modules would use it"
            )
        } else {
            format!(
                "rank {wanted:.0} exceeds what '{}' can hold, {}, and {} has one rank for all: {percent} is used",
                targets.all[place].name, limit, trainer.name
            )
        })
    }
}

/// What alpha is divided by.
fn damping(rank: u64, rslora: bool) -> f64 {
    if rslora { (rank as f64).sqrt() } else { rank as f64 }
}

/// A number in JSON, without a decimal point if it is whole.
pub fn in_json(number: f64) -> Value {
    let is_whole = number.fract() == 0.0 && number.abs() < 1e15;
    if is_whole { json!(number as i64) } else { json!(number) }
}

/// A number with three significant digits at most.
fn short(number: f64) -> String {
    crate::output::digits(number, 3)
}

/// The note on how many parameters are trained without adapters, if all shapes are known.
pub fn weights(targets: &Targets, trained: &[usize]) -> Option<String> {
    let (_, chosen) = split_heads(targets, trained);
    let elements = cost(targets, &chosen)?.elements;
    Some(format!("{} weights are trained in {}", grouped(elements), counted(chosen.len(), "module")))
}

/// The weights of heads among these places; `None` without heads, or if a shape is not known.
pub fn weights_of_heads(targets: &Targets, trained: &[usize]) -> Option<u64> {
    let (heads, _) = split_heads(targets, trained);
    cost(targets, &heads).filter(|_| !heads.is_empty()).map(|cost| cost.elements)
}

/// The heads in these `places`, and the others.
fn split_heads(targets: &Targets, places: &[usize]) -> (Vec<usize>, Vec<usize>) {
    places.iter().partition(|place| targets.all[**place].is_head)
}

/// What training the targets in these `places` takes; `None` if a shape is not known.
fn cost(targets: &Targets, places: &[usize]) -> Option<Cost> {
    places.iter().map(|place| targets.all[*place].cost).sum()
}

fn adaptable(targets: &Targets, places: &[usize]) -> Option<Vec<Adaptable>> {
    let of = |target: &Target| Some(Adaptable { sides: target.cost?.sides, limit: target.limit? });
    places.iter().map(|place| of(&targets.all[*place])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::modules::Info;
    use crate::scan::{Format, Numbers, Record, Scan};
    use crate::trainers::AsLoaded;

    const EACH: Profile = Profile { has_rank_pattern: true, ..Profile::USUAL };

    fn targets(shapes: &[[usize; 2]]) -> Targets {
        let record = |(at, shape): (usize, &[usize; 2])| {
            let info = Info { shape: Some(*shape), ..Info::of_name(&format!("layers.{at}.up"), "up".to_owned()) };
            Record { info, result: Ok(Numbers::ratio(1.0)) }
        };
        let records = shapes.iter().enumerate().map(record).collect();
        Targets::new(&Scan::new(records, Format::LaserScan), None, &AsLoaded)
    }

    fn adapter(rank: Rank, alpha: Alpha) -> Adapter {
        Adapter { rank, alpha, rslora: false, head: true, head_rank: None }
    }

    fn said(adapter: Adapter, trainer: &Profile, targets: &Targets, chosen: &[usize]) -> Vec<String> {
        let lora = Lora::new(adapter, trainer, true, targets, chosen).expect("shapes");
        lora.warnings(adapter, trainer, targets, chosen).into_iter().map(|remark| remark.text).collect()
    }

    proptest! {
        #[test]
        fn a_budget_is_kept_or_a_sentence_says_why_not(
            shapes in prop::collection::vec(prop::array::uniform2(1_usize..700), 1..30),
            picks in prop::collection::vec(any::<bool>(), 30),
            plain in 1_u64..100,
            each in any::<bool>(),
        ) {
            let chosen: Vec<usize> = (0..shapes.len()).filter(|place| picks[*place]).collect();
            prop_assume!(!chosen.is_empty());
            let (targets, trainer) = (targets(&shapes), if each { &EACH } else { &Profile::USUAL });
            let adapter = adapter(Rank::Matching(plain), Alpha::Stays(16.0));
            let lora = Lora::new(adapter, trainer, true, &targets, &chosen).expect("shapes");
            let rank = |place: usize| lora.lower.get(&place).copied().unwrap_or(lora.rank);
            let mut used = 0;
            for place in &chosen {
                let [rows, columns] = shapes[*place].map(|extent| extent as u64);
                prop_assert!(rank(*place) >= 1 && rank(*place) <= rows.min(columns));
                used += rank(*place) * (rows + columns);
            }
            prop_assert!(each || lora.lower.is_empty());
            let budget = plain * shapes.iter().flatten().sum::<usize>() as u64;
            let is_kept = (used as f64 / budget as f64 - 1.0).abs() <= ranks::TOLERANCE;
            let explains = |text: &String| text.contains(&format!("{:.0} % of the budget is used", 100.0 * used as f64 / budget as f64));
            let warnings = said(adapter, trainer, &targets, &chosen);
            let is_full = chosen.iter().all(|place| rank(*place) == *shapes[*place].iter().min().expect("two") as u64);
            prop_assert!(is_full || !said(adapter, trainer, &targets, &chosen).iter().any(|text| text.starts_with("no chosen")));
            prop_assert_eq!(!is_kept, warnings.iter().any(explains), "{:?}", warnings);
        }
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let narrow = targets(&[[192, 576], [576, 576], [576, 1536]]);
        let matching = adapter(Rank::Matching(480), Alpha::Stays(960.0));
        let one = said(matching, &Profile { name: "T", ..Profile::USUAL }, &narrow, &[0]);
        let text =
            "rank 2520 exceeds what 'layers.0.up' can hold, 192, and T has one rank for all: 8 % of the budget is used";
        assert_eq!(one, [text]);
        let text = "no chosen module can hold more than the rank that it has: 8 % of the budget is used, and more modules would use it";
        assert_eq!(said(matching, &EACH, &narrow, &[0]), [text]);
        let whole = said(adapter(Rank::Matching(1), Alpha::Stays(1.0)), &EACH, &narrow, &[1, 2]);
        assert_eq!(whole, ["a rank is a whole number, and 1 comes nearest: 81 % of the budget is used"]);
        let high = said(adapter(Rank::Fixed(200), Alpha::Stays(1.0)), &EACH, &narrow, &[0, 1]);
        assert_eq!(high, ["rank 200 is more than 'layers.0.up' (192) can hold: a lower one trains as much"]);
    }

    #[test]
    fn what_adapters_add_keeps_its_size_or_it_is_said() {
        let alike = targets(&[[512, 512]; 16]);
        let few = |alpha| said(adapter(Rank::Matching(16), alpha), &EACH, &alike, &[0, 1]);
        let text = "what the adapters add is scaled by 0.125, 8.00 times less than in plain LoRA, because alpha stays where the rank grows";
        assert_eq!(few(Alpha::Stays(16.0)), [text]);
        assert!(few(Alpha::Follows(16.0)).is_empty());
        let mut rslora = Adapter { rslora: true, ..adapter(Rank::Matching(16), Alpha::Stays(16.0)) };
        assert!(said(rslora, &EACH, &alike, &[0, 1]).is_empty());
        rslora.rank = Rank::Fixed(16);
        let lora = Lora::new(rslora, &EACH, true, &alike, &[0]).expect("shapes");
        assert_eq!((lora.factor(), lora.alpha_at(4)), (4.0, 8.0));
    }
}
