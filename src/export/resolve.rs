//! Which modules a trainer's pattern hits: the rules of the trainers themselves, run over all that a model has.
//!
//! A list that matches nothing, or too much, and says nothing is what people who fine-tune complain of most. No name is
//! handed out before the trainer's own rule has found with it exactly what was chosen.

use std::collections::{HashMap, HashSet};

use regex::Regex;

use super::targets::Targets;
use super::{ExportError, Trainer};

/// How many names a message gives at most.
const NAMED: usize = 3;

/// What a trainer's patterns are tried on.
pub struct Universe {
    /// The names of all modules with a weight, with the targets that they are.
    modules: Vec<(String, Option<usize>)>,
    /// The names of all parameters, with the targets that they belong to.
    parameters: Vec<(String, Option<usize>)>,
}

/// How a trainer's patterns are matched.
#[derive(Clone, Copy, Debug)]
pub enum Rule<'a> {
    /// PEFT, `target_modules`: a module's whole name, or its end after a dot.
    ModuleSuffix,
    /// PEFT, `target_parameters`: the same, over parameters.
    ParameterSuffix,
    /// LLaMA-Factory on multimodal models: anywhere in a module's name, unless one of these is in it too.
    Substring {
        /// What a name must not contain.
        forbidden: &'a [&'a str],
    },
    /// Axolotl, `unfrozen_parameters`: `re.match` over parameters, which is anchored at the beginning only. Dots are
    /// literal but for `.+`: Axolotl puts a backslash before them.
    ParameterMatch,
    /// PEFT's rule for `layers_to_transform`: a module's last segments, in these layers.
    InLayers {
        /// The layers.
        layers: &'a [usize],
    },
}

/// A pattern that hits something.
struct Hit<'a> {
    pattern: usize,
    name: &'a str,
    target: Option<usize>,
}

impl Universe {
    /// All that is known of a model.
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
        Self { modules, parameters }
    }

    /// Makes sure that `patterns` hit the `wanted` targets, all of them and nothing else, and that each hits something.
    ///
    /// # Errors
    ///
    /// Fails with the pattern, and what it hits.
    pub fn check(
        &self,
        trainer: Trainer,
        rule: Rule<'_>,
        patterns: &[String],
        wanted: &HashSet<usize>,
        targets: &Targets,
    ) -> Result<(), ExportError> {
        let hits = self.hits(rule, patterns);
        for (at, pattern) in patterns.iter().enumerate() {
            let of_pattern = || hits.iter().filter(|hit| hit.pattern == at);
            if of_pattern().next().is_none() {
                return Err(ExportError::HitsNothing { trainer, name: pattern.clone() });
            }
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

    /// The names of the modules that `patterns` hit beside the `wanted` ones.
    pub fn strays(&self, rule: Rule<'_>, patterns: &[String], wanted: &HashSet<usize>) -> Vec<&str> {
        let is_stray = |hit: &Hit<'_>| hit.target.is_none_or(|target| !wanted.contains(&target));
        let mut strays: Vec<&str> =
            self.hits(rule, patterns).into_iter().filter(is_stray).map(|hit| hit.name).collect();
        strays.sort_unstable();
        strays.dedup();
        strays
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
            Rule::ParameterSuffix => by(&self.parameters, &suffixes(patterns)),
            Rule::Substring { forbidden } => by(&self.modules, &|name| {
                let is_forbidden = forbidden.iter().any(|forbidden| name.contains(forbidden));
                let within = patterns.iter().enumerate().filter(|(_, pattern)| name.contains(pattern.as_str()));
                within.filter(|_| !is_forbidden).map(|(at, _)| at).collect()
            }),
            Rule::ParameterMatch => {
                let regexes: Vec<Option<Regex>> = patterns.iter().map(|pattern| axolotl_regex(pattern)).collect();
                by(&self.parameters, &|name| {
                    let is_match = |regex: &Option<Regex>| regex.as_ref().is_some_and(|regex| regex.is_match(name));
                    regexes.iter().enumerate().filter(|(_, regex)| is_match(regex)).map(|(at, _)| at).collect()
                })
            }
            Rule::InLayers { layers } => {
                let suffixes = suffixes(patterns);
                by(&self.modules, &|name| {
                    let is_in = first_number(name).is_some_and(|layer| layers.contains(&layer));
                    if is_in { suffixes(name) } else { Vec::new() }
                })
            }
        }
    }
}

/// The patterns that are a name, or its end after a dot.
fn suffixes(patterns: &[String]) -> impl Fn(&str) -> Vec<usize> {
    let places: HashMap<&str, usize> =
        patterns.iter().enumerate().map(|(at, pattern)| (pattern.as_str(), at)).collect();
    move |name| {
        let ends = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
        ends.filter_map(|at| places.get(&name[at..]).copied()).collect()
    }
}

/// The number that PEFT takes for a layer's: the first segment after two others that is one.
fn first_number(name: &str) -> Option<usize> {
    name.split('.').skip(2).find_map(|segment| segment.parse().ok())
}

/// The expression that Axolotl makes of a pattern, as `re.match` takes it: anchored at the beginning. `None` if it is none.
fn axolotl_regex(pattern: &str) -> Option<Regex> {
    let mut expression = String::from("^(?:");
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '.' && characters.peek() != Some(&'+') {
            expression.push('\\');
        }
        expression.push(character);
    }
    expression.push(')');
    Regex::new(&expression).ok()
}

/// Some names, and how many more there are.
pub fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("'{name}'")).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
