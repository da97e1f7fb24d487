//! Which modules a trainer's patterns hit: the matching rules of the trainers, run over all names of a model.
//!
//! A list that silently matches nothing, or too much, is what people who fine-tune complain of most. No name is written before
//! the trainer's own rule has found exactly what was chosen with it.

use std::collections::{HashMap, HashSet};

use aho_corasick::AhoCorasick;
use fancy_regex::Regex;

use super::ExportError;
use super::targets::Targets;

/// How many names a message lists at most.
const NAMED: usize = 3;

/// The names that a trainer's patterns are matched against.
pub struct Universe {
    /// All modules with a weight, each with its target if it is one.
    modules: Vec<(String, Option<usize>)>,
    /// All parameters, sorted, each with the target that it belongs to, if any.
    parameters: Vec<(String, Option<usize>)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Rule<'a> {
    /// PEFT, `target_modules`: a module's whole name, or its end after a dot.
    ModuleSuffix,
    /// PEFT, `target_modules` that is no list, and OneTrainer with anchors: an expression for whole names of modules.
    ModuleExpression,
    /// PEFT, `target_parameters`: the same as [`Rule::ModuleSuffix`], over parameters.
    ParameterSuffix,
    /// LLaMA-Factory on multimodal models: anywhere in a module's name, unless one of the `forbidden` texts is in it too.
    Substring {
        forbidden: &'a [&'a str],
    },
    /// Axolotl, `unfrozen_parameters`: `re.match` over parameters, which is anchored at the beginning, and at the end only if
    /// the expression ends with `$`. Axolotl escapes dots, so that a name between `^` and `$` is literal.
    ParameterMatch,
    /// mlx-lm, NeMo Automodel and LyCORIS: a module's whole name.
    ModuleName,
    /// ai-toolkit: anywhere in a module's name behind the `prefix`, or in a parameter's.
    PrefixedSubstring {
        prefix: &'a str,
    },
    PrefixedParameterSubstring {
        prefix: &'a str,
    },
    /// ms-swift, `trainable_parameters_regex`, and OneTrainer: the same over parameters, as the expressions have anchors.
    ParameterExpression,
    /// LLaMA-Factory, `freeze`: anywhere in a parameter's name, unless one of the `forbidden` texts is in it too.
    ParameterSubstring {
        forbidden: &'a [&'a str],
    },
}

/// A name that a pattern hits.
struct Hit<'a> {
    pattern: usize,
    name: &'a str,
    target: Option<usize>,
}

impl Universe {
    pub fn new(targets: &Targets) -> Self {
        let mut modules: Vec<(String, Option<usize>)> = Vec::new();
        let mut parameters: Vec<(String, Option<usize>)> = Vec::new();
        let mut owners: HashMap<&str, usize> = HashMap::new();
        for (at, target) in targets.all.iter().enumerate() {
            parameters.push((target.parameter(), Some(at)));
            if !target.is_parameter {
                modules.push((target.name.clone(), Some(at)));
                owners.insert(&target.name, at);
            }
        }
        for name in &targets.others {
            let module = name.rsplit_once('.').map_or("", |(module, _)| module);
            let owner = owners.get(module).copied();
            parameters.push((name.clone(), owner));
            if owner.is_none() && !module.is_empty() {
                modules.push((module.to_owned(), None));
            }
        }
        parameters.sort_unstable();
        Self { modules, parameters }
    }

    /// Makes sure that `patterns` hit all `wanted` targets and nothing else, and that each hits something.
    pub fn check(
        &self,
        trainer: &'static str,
        rule: Rule<'_>,
        patterns: &[String],
        wanted: &HashSet<usize>,
        targets: &Targets,
    ) -> Result<(), ExportError> {
        let hits = self.hits(rule, patterns);
        let hitting: HashSet<usize> = hits.iter().map(|hit| hit.pattern).collect();
        if let Some(idle) = (0..patterns.len()).find(|pattern| !hitting.contains(pattern)) {
            return Err(ExportError::HitsNothing { trainer, name: patterns[idle].clone() });
        }
        let is_stray = |hit: &&Hit<'_>| hit.target.is_none_or(|target| !wanted.contains(&target));
        if let Some(stray) = hits.iter().find(is_stray) {
            let of_pattern = hits.iter().filter(|hit| hit.pattern == stray.pattern);
            let strays: Vec<&str> = of_pattern.filter(is_stray).map(|hit| hit.name).collect();
            let name = patterns[stray.pattern].clone();
            return Err(ExportError::HitsMore { trainer, name, what: listed(&strays) });
        }
        let hit: HashSet<usize> = hits.iter().filter_map(|hit| hit.target).collect();
        match wanted.iter().filter(|target| !hit.contains(target)).min() {
            Some(missed) => Err(ExportError::Missed { trainer, name: targets.all[*missed].name.clone() }),
            None => Ok(()),
        }
    }

    /// The targets that `patterns` hit.
    pub fn targets(&self, rule: Rule<'_>, patterns: &[String]) -> Vec<usize> {
        let hits: HashSet<usize> = self.hits(rule, patterns).iter().filter_map(|hit| hit.target).collect();
        let mut targets: Vec<usize> = hits.into_iter().collect();
        targets.sort_unstable();
        targets
    }

    /// The names of the modules that `patterns` hit beside the `wanted` ones.
    pub fn strays(&self, rule: Rule<'_>, patterns: &[String], wanted: &HashSet<usize>) -> Vec<&str> {
        let is_stray = |hit: &Hit<'_>| hit.target.is_none_or(|target| !wanted.contains(&target));
        let mut strays: Vec<&str> =
            self.hits(rule, patterns).into_iter().filter(is_stray).map(|hit| hit.name).collect();
        strays.sort_unstable();
        strays.dedup();
        strays
    }

    /// What Axolotl finds with a pattern: the whole name, or all names that begin so if there is no `$`.
    fn matching(&self, place: usize, pattern: &str) -> impl Iterator<Item = Hit<'_>> {
        let begins = pattern.strip_prefix('^').unwrap_or(pattern);
        let (begins, is_whole) = begins.strip_suffix('$').map_or((begins, false), |whole| (whole, true));
        let begins = begins.to_owned();
        // The names are sorted, so that those that begin alike are neighbours.
        let from = self.parameters.partition_point(|(name, _)| *name < begins);
        let length = begins.len();
        let alike = self.parameters[from..].iter().take_while(move |(name, _)| name.starts_with(&begins));
        let hits = alike.filter(move |(name, _)| !is_whole || name.len() == length);
        hits.map(move |(name, target)| Hit { pattern: place, name, target: *target })
    }

    fn hits<'a>(&'a self, rule: Rule<'_>, patterns: &[String]) -> Vec<Hit<'a>> {
        let by = |names: &'a [(String, Option<usize>)], matching: &dyn Fn(&str) -> Vec<usize>| {
            let hits = names.iter().flat_map(|(name, target)| {
                matching(name).into_iter().map(move |pattern| Hit { pattern, name, target: *target })
            });
            hits.collect()
        };
        match rule {
            Rule::ModuleSuffix => by(&self.modules, &suffixes(patterns)),
            Rule::ModuleExpression => by(&self.modules, &full_matches(patterns)),
            Rule::ParameterSuffix => by(&self.parameters, &suffixes(patterns)),
            Rule::ModuleName => by(&self.modules, &equals(patterns)),
            Rule::ParameterExpression => by(&self.parameters, &full_matches(patterns)),
            Rule::PrefixedSubstring { prefix } => {
                let within = substrings(patterns, &[]);
                by(&self.modules, &|name| within(&format!("{prefix}{name}")))
            }
            Rule::PrefixedParameterSubstring { prefix } => {
                let within = substrings(patterns, &[]);
                by(&self.parameters, &|name| within(&format!("{prefix}{name}")))
            }
            Rule::Substring { forbidden } => by(&self.modules, &substrings(patterns, forbidden)),
            Rule::ParameterSubstring { forbidden } => by(&self.parameters, &substrings(patterns, forbidden)),
            Rule::ParameterMatch => {
                patterns.iter().enumerate().flat_map(|(at, pattern)| self.matching(at, pattern)).collect()
            }
        }
    }
}

/// For a name, the places of the patterns that are the whole name, or its end after a dot.
fn suffixes(patterns: &[String]) -> impl Fn(&str) -> Vec<usize> {
    let places: HashMap<&str, usize> =
        patterns.iter().enumerate().map(|(at, pattern)| (pattern.as_str(), at)).collect();
    move |name| {
        let ends = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
        ends.filter_map(|at| places.get(&name[at..]).copied()).collect()
    }
}

/// For a name, the place of the pattern that equals it.
fn equals(patterns: &[String]) -> impl Fn(&str) -> Vec<usize> {
    let places: HashMap<&str, usize> =
        patterns.iter().enumerate().map(|(at, pattern)| (pattern.as_str(), at)).collect();
    move |name| places.get(name).copied().into_iter().collect()
}

/// For a name, the places of the patterns that occur in it, unless something `forbidden` does too.
fn substrings(patterns: &[String], forbidden: &[&str]) -> impl Fn(&str) -> Vec<usize> {
    let automaton = AhoCorasick::new(patterns).ok();
    move |name| {
        if forbidden.iter().any(|forbidden| name.contains(forbidden)) {
            return Vec::new();
        }
        let found = automaton.iter().flat_map(|automaton| automaton.find_overlapping_iter(name));
        let mut places: Vec<usize> = found.map(|found| found.pattern().as_usize()).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// For a name, the places of the patterns that match it from its beginning to its end. One that is no expression, or too long
/// for one, matches nothing.
fn full_matches(patterns: &[String]) -> impl Fn(&str) -> Vec<usize> {
    let expression = |pattern: &String| Regex::new(&format!("^(?:{pattern})$")).ok();
    let expressions: Vec<Option<Regex>> = patterns.iter().map(expression).collect();
    move |name| {
        let matches =
            |at: &usize| expressions[*at].as_ref().is_some_and(|expression| expression.is_match(name).unwrap_or(false));
        (0..expressions.len()).filter(matches).collect()
    }
}

/// Whether a name matches itself as a regular expression after Axolotl has escaped its dots.
pub fn is_literal(name: &str) -> bool {
    name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-'))
}

/// The first names, and how many more there are.
pub fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("'{name}'")).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::Info;
    use crate::scan::{Format, Numbers, Record, Scan, Surroundings};

    fn universe() -> (Universe, Targets) {
        let scanned = ["model.layers.1.mlp.gate_proj", "model.layers.11.mlp.gate_proj", "model.layers.1.mlp.gate"];
        let info = |name| Info { shape: Some([8, 8]), ..Info::of_name(name, "a type".to_owned()) };
        let record = |name| Record { info: info(name), result: Ok(Numbers::ratio(1.0)) };
        let names = ["model.layers.1.mlp.gate_proj.bias", "model.layers.1.norm.weight"].map(str::to_owned).to_vec();
        let modules = vec![info("vision.model.layers.1.mlp.gate_proj")];
        let mut scan = Scan::new(scanned.map(record).to_vec(), Format::LaserScan);
        scan.surroundings = Some(Surroundings { modules, names, ..Surroundings::default() });
        let targets = Targets::new(&scan, None, &super::super::targets::AsLoaded);
        (Universe::new(&targets), targets)
    }

    fn hit(rule: Rule<'_>, pattern: &str) -> Vec<String> {
        let (universe, _) = universe();
        let mut names: Vec<String> =
            universe.hits(rule, &[pattern.to_owned()]).into_iter().map(|hit| hit.name.to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn modules_are_found_by_their_end_after_a_dot() {
        let both = ["model.layers.1.mlp.gate_proj", "vision.model.layers.1.mlp.gate_proj"];
        assert_eq!(hit(Rule::ModuleSuffix, "model.layers.1.mlp.gate_proj"), both);
        assert_eq!(hit(Rule::ModuleSuffix, "layers.1.mlp.gate_proj"), both);
        assert_eq!(hit(Rule::ModuleSuffix, "layers.1.mlp.gate"), ["model.layers.1.mlp.gate"]);
        assert_eq!(hit(Rule::ModuleSuffix, "proj"), [""; 0]);
        assert_eq!(hit(Rule::ParameterSuffix, "norm.weight"), ["model.layers.1.norm.weight"]);
    }

    #[test]
    fn an_expression_matches_whole_names() {
        let found = hit(Rule::ModuleExpression, r"^model\.layers\.(1|7)\.(mlp\.gate|norm)$");
        assert_eq!(found, ["model.layers.1.mlp.gate", "model.layers.1.norm"]);
        assert_eq!(hit(Rule::ModuleExpression, "model.layers.1.mlp.gate_proj"), ["model.layers.1.mlp.gate_proj"]);
        assert_eq!(hit(Rule::ModuleExpression, "gate|model.layers"), [""; 0]);
        assert_eq!(hit(Rule::ModuleExpression, "(model"), [""; 0]);
    }

    #[test]
    fn substrings_are_found_anywhere_but_where_they_are_forbidden() {
        let found = hit(Rule::Substring { forbidden: &["vision"] }, "1.mlp.gate");
        assert_eq!(found, ["model.layers.1.mlp.gate", "model.layers.1.mlp.gate_proj", "model.layers.11.mlp.gate_proj"]);
    }

    #[test]
    fn parameters_are_matched_from_the_beginning() {
        let all = hit(Rule::ParameterMatch, "model.layers.1.mlp.gate");
        let own = [
            "model.layers.1.mlp.gate.weight",
            "model.layers.1.mlp.gate_proj.bias",
            "model.layers.1.mlp.gate_proj.weight",
        ];
        assert_eq!(all, own);
        assert_eq!(hit(Rule::ParameterMatch, "^model.layers.1.mlp.gate.weight$"), own[..1]);
        assert_eq!(hit(Rule::ParameterMatch, "layers.1.mlp.gate"), [""; 0]);
    }

    #[test]
    fn whole_names_are_compared_whole() {
        assert_eq!(hit(Rule::ModuleName, "model.layers.1.mlp.gate_proj"), ["model.layers.1.mlp.gate_proj"]);
        assert_eq!(hit(Rule::ModuleName, "mlp.gate_proj"), [""; 0]);
        let expression = r"^model\.layers\.(1|11)\.mlp\.gate_proj\.weight$";
        let both = ["model.layers.1.mlp.gate_proj.weight", "model.layers.11.mlp.gate_proj.weight"];
        assert_eq!(hit(Rule::ParameterExpression, expression), both);
    }

    #[test]
    fn blocks_are_found_anywhere_in_parameters() {
        let rule = Rule::ParameterSubstring { forbidden: &["vision"] };
        assert_eq!(hit(rule, ".11.mlp"), ["model.layers.11.mlp.gate_proj.weight"]);
        assert_eq!(hit(rule, ".1.norm"), ["model.layers.1.norm.weight"]);
    }

    #[test]
    fn what_hits_nothing_or_too_much_is_an_error() {
        let (universe, targets) = universe();
        let check = |pattern: &str| {
            let patterns = [pattern.to_owned()];
            let checked = universe.check("PEFT", Rule::ModuleSuffix, &patterns, &HashSet::from([0]), &targets);
            checked.expect_err("not exactly what is wanted").to_string()
        };
        assert_eq!(check("layers.7.mlp"), "PEFT would find nothing under the name 'layers.7.mlp'");
        let name = "model.layers.1.mlp.gate_proj";
        let more = format!("PEFT would find under the name '{name}' also 'vision.{name}', which is not chosen");
        assert_eq!(check(name), more);
    }
}
