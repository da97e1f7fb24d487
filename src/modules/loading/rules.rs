//! The rules by which transformers turns names on disk into names in memory.
//!
//! They are applied as `transformers/core_model_loading.py` does it in version 5: first all that rename, one after the other,
//! then at most one that makes parameters of tensors. A rule of a model within another is applied to names below its path
//! only, which may lack the name of the base model at the beginning.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::name::number;
use super::search::Search;
use super::tables::{Action, Rule};

/// A rule, ready to be applied to names.
pub struct Applied {
    rule: Rule,
    /// One group for each pattern.
    search: Search,
    /// The numbers of those groups.
    groups: Vec<usize>,
    /// For each pattern, a text that a name must contain to match it.
    needles: Vec<String>,
    scope: Option<Scope>,
}

/// Where in a model's names a rule applies.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The path of the model within, without the base model's name. Numbers in it are stars.
    pub path: String,
    pub base: String,
}

/// The names that have to be known to apply some rules.
#[derive(Debug, Default)]
pub struct Surveyed {
    /// How many experts there are beside an expert, by the path of all of them.
    experts: HashMap<String, usize>,
    /// Whether the first pattern of a group of rules occurs.
    active: Vec<bool>,
}

impl Applied {
    /// `None` if a pattern is none that can be searched for.
    pub fn new(rule: Rule, scope: Option<Scope>) -> Option<Self> {
        // The longest pattern first, so that `weight` does not take what `weight_scale` is for.
        let mut order: Vec<usize> = (0..rule.from.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(rule.from[*at].len()));
        let branches: Vec<String> = order.into_iter().map(|at| branch(at, &rule.from[at])).collect();
        let search = Search::new(&branches.join("|"))?;
        let groups = (0..rule.from.len()).map(|at| search.group(&group(at))).collect::<Option<Vec<usize>>>()?;
        let needles = rule.from.iter().map(|pattern| needle(pattern)).collect();
        Some(Self { rule, search, groups, needles, scope })
    }

    /// Whether the rule makes one layer of two blocks.
    pub fn pairs(&self) -> bool {
        self.rule.action == Action::Pair
    }

    pub fn converts(&self) -> bool {
        self.rule.action.converts()
    }

    /// The names that the tensor has by this rule; `None` if it says nothing about it. `name` is what it is called after the
    /// rules before, `stored` what it is called on disk, and `at` the rule's own place among the rules.
    pub fn apply(&self, name: &str, stored: &str, at: usize, surveyed: &Surveyed) -> Option<Vec<String>> {
        if self.rule.action == Action::Pair {
            return Some(vec![as_half_of_layer(name)?]);
        }
        let (prefix, key) = self.within(name)?;
        if !self.needles.iter().any(|needle| key.contains(needle.as_str())) {
            return None;
        }
        let captures = self.search.find(key)?;
        let pattern = self.groups.iter().position(|own| captures[*own].is_some())?;
        if self.rule.action == Action::Group && pattern > 0 && !surveyed.active.get(at).is_some_and(|active| *active) {
            return None;
        }
        let found = captures[0]?;
        let renamed =
            |to: &str| format!("{prefix}{}", key.replacen(found, &self.replacement(to, pattern, &captures), 1));
        Some(match self.rule.action {
            Action::Group => vec![renamed(self.rule.to.get(pattern)?)],
            Action::Divide => self.rule.to.iter().map(|to| renamed(to)).collect(),
            Action::Halve => {
                let half = half_of(stored, self.rule.to.len(), surveyed).unwrap_or(0);
                vec![renamed(self.rule.to.get(half)?)]
            }
            _ => vec![renamed(self.rule.to.first()?)],
        })
    }

    /// The part of `name` before the scope's end, and the rest, if the name is within the scope.
    fn within<'n>(&self, name: &'n str) -> Option<(&'n str, &'n str)> {
        let Some(Scope { path, base }) = &self.scope else { return Some(("", name)) };
        let within = |name: &'n str| below(name, path);
        let rest = below(name, base).and_then(within).or_else(|| within(name))?;
        Some(name.split_at(name.len() - rest.len()))
    }

    /// What is put in the place of what the pattern at `pattern` has found.
    fn replacement(&self, to: &str, pattern: usize, captures: &[Option<&str>]) -> String {
        let own = self.groups[pattern];
        let mut text = to.to_owned();
        for back in 1..captures.len() - own {
            let mark = format!("\\{back}");
            if text.contains(&mark) {
                let captured = captures[own + back].unwrap_or_default();
                text = text.replace(&mark, &self.shifted(captured));
            }
        }
        text
    }

    /// What a group has found, with what the rule adds if it is a number that the rule shifts.
    fn shifted<'t>(&self, captured: &'t str) -> Cow<'t, str> {
        let number = captured.parse::<i64>().ok().filter(|_| self.rule.action == Action::Offset);
        let shifted = number.and_then(|number| number.checked_add(self.rule.by));
        shifted.map_or(Cow::Borrowed(captured), |number| Cow::Owned(number.to_string()))
    }
}

impl Surveyed {
    /// What the rules have to know of all stored tensors.
    pub fn new<'n>(rules: &[Applied], names: impl Iterator<Item = &'n str>) -> Self {
        let halves = rules.iter().any(|rule| rule.rule.action == Action::Halve);
        let guards: Vec<usize> =
            rules.iter().enumerate().filter(|(_, rule)| rule.rule.action == Action::Group).map(|(at, _)| at).collect();
        let mut surveyed = Self { active: vec![false; rules.len()], ..Self::default() };
        if !halves && guards.is_empty() {
            return surveyed;
        }
        for name in names {
            if let Some((path, expert)) = expert(name).filter(|_| halves) {
                let count = surveyed.experts.entry(path.to_owned()).or_default();
                *count = (*count).max(expert + 1);
            }
            for at in &guards {
                let rule = &rules[*at];
                let is_first =
                    |found: Vec<Option<&str>>| rule.groups.first().is_some_and(|first| found[*first].is_some());
                let guard = |key: &str| rule.search.find(key).is_some_and(is_first);
                surveyed.active[*at] |= rule.within(name).is_some_and(|(_, key)| guard(key));
            }
        }
        surveyed
    }
}

fn group(at: usize) -> String {
    format!("g{at}")
}

/// A pattern as a group. One that ends in a letter or a digit ends with a segment, or before a dot or the like.
fn branch(at: usize, pattern: &str) -> String {
    let is_within = |last: char| last.is_ascii_alphanumeric();
    let end = match pattern.strip_suffix(is_within) {
        // What follows is no more of a word. After a letter, the end of a word says the same, and is found much faster.
        Some(rest) if !rest.ends_with('\\') => r"\b",
        Some(_) => r"(?!\w)",
        None => "",
    };
    let pattern = pattern.replace("*.", r".*\.");
    format!("(?P<{}>{pattern}{end})", group(at))
}

/// The longest text that everything matching `pattern` contains: to search for it first saves most of the time.
fn needle(pattern: &str) -> String {
    let mut longest = String::new();
    let mut run = String::new();
    let mut depth = 0;
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        let literal = match character {
            '(' | '[' => {
                depth += 1;
                None
            }
            ')' | ']' => {
                depth -= 1;
                None
            }
            '\\' => characters.next().filter(|escaped| !escaped.is_ascii_alphanumeric()),
            '.' | '^' | '$' | '*' | '+' | '?' | '|' => None,
            character => Some(character),
        };
        let is_certain = !matches!(characters.peek(), Some('*' | '?'));
        match literal.filter(|_| depth == 0 && is_certain) {
            Some(literal) => run.push(literal),
            None => run.clear(),
        }
        if run.len() > longest.len() {
            longest.clone_from(&run);
        }
    }
    if pattern.contains('|') && !pattern.contains('(') {
        return String::new();
    }
    longest
}

/// What follows the path in `name`.
fn below<'n>(name: &'n str, path: &str) -> Option<&'n str> {
    if path.is_empty() {
        return Some(name);
    }
    let mut rest = name;
    for wanted in path.split('.') {
        let (segment, after) = rest.split_once('.')?;
        if segment != wanted && !(wanted == "*" && number(segment).is_some()) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// The name of a block in a model that stores attention and gated unit as two layers.
fn as_half_of_layer(name: &str) -> Option<String> {
    let segments: Vec<&str> = name.split('.').collect();
    let at = segments.windows(3).position(|run| {
        run[0] == "layers" && number(run[1]).is_some() && matches!(run[2], "mixer" | "attn_alpha" | "mlp_alpha")
    })?;
    let block = number(segments[at + 1])?;
    let within = match segments[at + 2] {
        "attn_alpha" => "lambda_1",
        "mlp_alpha" => "lambda_2",
        _ if block % 2 == 0 => "self_attn",
        _ => "mlp",
    };
    let layer = (block / 2).to_string();
    let before = segments[..=at].iter().copied();
    let renamed: Vec<&str> = before.chain([layer.as_str(), within]).chain(segments[at + 3..].iter().copied()).collect();
    Some(renamed.join("."))
}

/// The path of all experts and the number of this one, if the name is an expert's.
fn expert(name: &str) -> Option<(&str, usize)> {
    let (path, rest) = name.split_once(".experts.")?;
    let (expert, _) = rest.split_once('.')?;
    Some((path, number(expert)?))
}

/// In which of `parts` equal runs of experts this one is.
fn half_of(name: &str, parts: usize, surveyed: &Surveyed) -> Option<usize> {
    let (path, expert) = expert(name)?;
    let each = surveyed.experts.get(path)?.div_ceil(parts);
    Some(expert / each.max(1))
}
