//! The options of the choice.

use std::num::NonZeroUsize;

use clap::Args;
use laser_scan::select::{Budget, Count, Counted, Layers, Rules, Types};
use laser_scan::statistic::{Criterion, Ranking, Ties};
use laser_scan::trainers::quoted;

use super::{UsageError, at_least_one, one_of};

/// How many modules of each type are chosen by default.
const DEFAULT_TOP: usize = 16;

#[derive(Debug, Args)]
#[command(next_help_heading = "What to choose")]
pub struct ChoiceArgs {
    /// How many modules to choose of each type [default: 16; with --budget, all]
    #[arg(short = 'n', long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub top_n: Option<NonZeroUsize>,

    /// How many of a hundred to choose of each type, rounded up, at least one
    #[arg(long, value_name = "P", value_parser = percentage, conflicts_with = "top_n", allow_negative_numbers = true)]
    pub top_percent: Option<f64>,

    /// Count all types together: the best N or P percent of the whole model
    #[arg(long)]
    pub global: bool,

    /// Choose only of types that match, such as 'mlp.*'; repeatable
    #[arg(long, value_name = "GLOB")]
    pub types: Vec<String>,

    /// Choose only of these layers, such as 0-7 or 0-7,24-; both ends belong to a range
    #[arg(long, value_name = "LAYERS", allow_hyphen_values = true)]
    pub layers: Option<Layers>,

    #[command(flatten)]
    pub ranking: RankingArgs,
}

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "What to choose")]
pub struct RankingArgs {
    /// What modules are ranked by, highest first: laser, the ratio of laser-QLoRA; mp, signal over noise at the edge of
    /// Marchenko and Pastur; effective-rank, over how many singular values the weight spreads; alpha, how light the tail is;
    /// relative-norm, how large a change is, of 'delta' alone [default: laser, or as in the scan; of 'delta' relative-norm]
    #[arg(long, value_name = "STATISTIC", value_parser = one_of(&CRITERIA), hide_possible_values = true)]
    pub statistic: Option<Criterion>,

    /// How infinite ratios of laser-QLoRA are ranked: model, in the order of the model; margin, by how far the smallest singular
    /// value is above the threshold [default: model]
    #[arg(long, value_name = "HOW", value_parser = one_of(&TIES), hide_possible_values = true)]
    pub ties: Option<Ties>,
}

const CRITERIA: [(&str, &str, Criterion); 5] = [
    ("laser", "The ratio of laser-QLoRA", Criterion::Laser),
    ("mp", "Signal over noise at the edge of Marchenko and Pastur", Criterion::Mp),
    ("effective-rank", "The exponential of the spectrum's entropy", Criterion::EffectiveRank),
    ("alpha", "The exponent of the spectrum's tail", Criterion::Alpha),
    ("relative-norm", "The norm of a change over that of what was changed", Criterion::RelativeNorm),
];

const TIES: [(&str, &str, Ties); 2] = [
    ("model", "In the order of the model", Ties::Model),
    ("margin", "By the smallest singular value over the threshold", Ties::Margin),
];

impl RankingArgs {
    /// The ranking, if an option says something about it.
    pub fn given(self) -> Result<Option<Ranking>, UsageError> {
        let is_given = self.statistic.is_some() || self.ties.is_some();
        is_given.then(|| self.ranking()).transpose()
    }

    pub fn ranking(self) -> Result<Ranking, UsageError> {
        let criterion = self.statistic.unwrap_or_default();
        let ties = self.ties.unwrap_or_default();
        if criterion != Criterion::Laser && ties != Ties::Model {
            let text = format!("--ties is about infinite ratios of laser-QLoRA, and --statistic {criterion} has none");
            return Err(UsageError::conflict(text));
        }
        Ok(Ranking { criterion, ties })
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What to choose")]
pub struct SelectionArgs {
    #[command(flatten)]
    pub choice: ChoiceArgs,

    /// Choose no more than can be trained with so many parameters, such as 40M, beside the head; filled highest ratio first over
    /// all types, and what does not fit is passed over. LoRA of --rank counts, or the weights themselves for spectrum and
    /// for trainers that end in -full
    #[arg(long, value_name = "PARAMETERS", value_parser = parameters, allow_negative_numbers = true)]
    pub budget: Option<u64>,
}

impl ChoiceArgs {
    pub fn rules(&self, budget: Option<Budget>) -> Result<Rules, UsageError> {
        let count = match (self.top_n, self.top_percent) {
            (Some(count), _) => Count::Top(count.get()),
            (None, Some(percent)) => Count::Percent(percent),
            (None, None) if budget.is_some() => Count::All,
            (None, None) => Count::Top(DEFAULT_TOP),
        };
        let types = Types::new(&self.types).map_err(UsageError::value)?;
        Ok(Rules { count, global: self.global, budget, types, layers: self.layers.clone() })
    }
}

impl SelectionArgs {
    pub fn rules(&self, counted: Counted) -> Result<Rules, UsageError> {
        self.choice.rules(self.budget.map(|parameters| Budget { parameters, counted }))
    }
}

impl SelectionArgs {
    /// The options that were given, as they are written on a command line. What is in the scan's files is left out.
    pub fn options(&self) -> Vec<String> {
        let ChoiceArgs { top_n, top_percent, global, types, layers, ranking: _ } = &self.choice;
        let mut options = Vec::new();
        let mut add = |option: &str, value: String| options.extend([option.to_owned(), value]);
        top_n.iter().for_each(|count| add("--top-n", count.to_string()));
        top_percent.iter().for_each(|percent| add("--top-percent", percent.to_string()));
        types.iter().for_each(|glob| add("--types", quoted(glob)));
        layers.iter().for_each(|layers| add("--layers", layers.to_string()));
        self.budget.iter().for_each(|budget| add("--budget", budget.to_string()));
        options.extend(global.then(|| "--global".to_owned()));
        options
    }
}

fn percentage(text: &str) -> Result<f64, &'static str> {
    let percent = text.trim_end_matches('%').parse().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0);
    percent.ok_or("it takes a number above 0 and up to 100")
}

/// Reads a number of parameters, which may be given in thousands, millions or billions.
fn parameters(text: &str) -> Result<u64, &'static str> {
    let units = [('k', 1e3), ('m', 1e6), ('b', 1e9), ('g', 1e9)];
    let last = text.chars().next_back().map(|last| last.to_ascii_lowercase());
    let (number, unit) = match units.iter().find(|(letter, _)| Some(*letter) == last) {
        Some((_, unit)) => (&text[..text.len() - 1], *unit),
        None => (text, 1.0),
    };
    let number = number.replace('_', "").parse::<f64>().ok().map(|number| number * unit);
    let number = number.filter(|number| (1.0..1e18).contains(number));
    number.map(|number| number as u64).ok_or("it takes a number of parameters such as 40M, 1.5B or 40000000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_parameters_have_units() {
        let read = ["40M", "1.5b", "250k", "12345", "40_000_000", "2G"].map(|text| parameters(text).ok());
        let expected = [40_000_000, 1_500_000_000, 250_000, 12_345, 40_000_000, 2_000_000_000].map(Some);
        assert_eq!(read, expected);
        assert!(["", "M", "-1", "0", "nan", "inf", "1e30", "4 0", "ä"].iter().all(|text| parameters(text).is_err()));
    }

    #[test]
    fn percentages_are_within_bounds() {
        assert_eq!(["50", "12.5%", "100"].map(|text| percentage(text).ok()), [Some(50.0), Some(12.5), Some(100.0)]);
        assert!(["0", "-1", "101", "nan", ""].iter().all(|text| percentage(text).is_err()));
    }
}
