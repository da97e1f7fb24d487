//! `--include` and `--exclude`: which modules a user wants.

use globset::{Glob, GlobMatcher};

use super::missing::warnings;
use super::{Discovery, LeftOut, Missing, Reason, WEIGHT, pattern};
use crate::checkpoint::Selection;

/// Patterns for module names, on disk, with or without what training tools have left in them, or in memory. `*` matches any
/// run of characters, including dots.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Vec<GlobMatcher>,
    exclude: Vec<GlobMatcher>,
}

/// Why a filter cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("'{pattern}' is no pattern: {reason}")]
    Malformed { pattern: String, reason: String },
    #[error("'{pattern}' matches no linear module{hint}")]
    NoMatch {
        pattern: String,
        hint: String,
        /// Why the tensors that the pattern matches are left out, if it matches some.
        left_out: Option<Reason>,
    },
    #[error("'{pattern}' matches nothing in the model{hint}")]
    NothingExcluded { pattern: String, hint: String },
    #[error("every linear module is excluded")]
    NothingLeft,
}

impl Filter {
    /// A filter that keeps what matches one of `include`, or everything if that is empty, unless it matches one of
    /// `exclude`. Fails if a pattern is malformed.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, FilterError> {
        Ok(Self { include: compile(include)?, exclude: compile(exclude)? })
    }

    /// Moves the modules that are not wanted to those that are left out. Fails if a pattern matches nothing, or if
    /// nothing is left.
    pub(crate) fn apply(&self, discovery: &mut Discovery) -> Result<(), FilterError> {
        if self.include.is_empty() && self.exclude.is_empty() {
            return Ok(());
        }
        for pattern in &self.include {
            if !discovery.modules.iter().any(|module| pattern::matches(pattern, module)) {
                let (hint, left_out) = hint(pattern, discovery);
                return Err(FilterError::NoMatch { pattern: pattern.glob().to_string(), hint, left_out });
            }
        }
        if let Some(pattern) = self.exclude.iter().find(|pattern| !is_of_model(pattern, discovery)) {
            let hint = meant(pattern, discovery);
            return Err(FilterError::NothingExcluded { pattern: pattern.glob().to_string(), hint });
        }
        discovery.missing.retain_mut(|missing| self.keep(missing));
        let had_modules = !discovery.modules.is_empty();
        let modules = std::mem::take(&mut discovery.modules);
        for module in modules {
            let matches = |patterns: &[GlobMatcher]| patterns.iter().any(|pattern| pattern::matches(pattern, &module));
            let reason = if !self.include.is_empty() && !matches(&self.include) {
                Reason::NotIncluded
            } else if matches(&self.exclude) {
                Reason::Excluded
            } else {
                discovery.modules.push(module);
                continue;
            };
            // If a weight holds several matrices, only some of them may be unwanted.
            let tensor = if module.selection == Selection::default() { &module.tensor } else { &module.info.name };
            discovery.left_out.push(LeftOut::new(tensor.clone(), module.stored_as(tensor), reason));
            discovery.others.push(module);
        }
        if had_modules && discovery.modules.is_empty() { Err(FilterError::NothingLeft) } else { Ok(()) }
    }

    /// Removes the modules that are not wanted from what is missing, and returns whether any are left. Something
    /// without known modules is matched by its own name.
    fn keep(&self, missing: &mut Missing) -> bool {
        let wants = |matches: &dyn Fn(&GlobMatcher) -> bool| {
            (self.include.is_empty() || self.include.iter().any(matches)) && !self.exclude.iter().any(matches)
        };
        if missing.modules.is_empty() {
            return wants(&|pattern| is_place(pattern, missing));
        }
        missing.modules.retain(|module| wants(&|pattern| pattern::matches(pattern, module)));
        !missing.modules.is_empty() && !self.exclude.iter().any(|pattern| pattern.is_match(missing.module()))
    }
}

pub(crate) fn compile(patterns: &[String]) -> Result<Vec<GlobMatcher>, FilterError> {
    let compile = |pattern: &String| match Glob::new(pattern) {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(FilterError::Malformed { pattern: pattern.clone(), reason: error.kind().to_string() }),
    };
    patterns.iter().map(compile).collect()
}

/// Whether a pattern matches what is missing by its own name. A pattern for modules within a layer also matches a layer
/// whose modules are not known.
fn is_place(pattern: &GlobMatcher, missing: &Missing) -> bool {
    pattern.is_match(missing.module()) || pattern.is_match(format!("{}.", missing.module()))
}

/// Whether a pattern matches what is missing by any of its names.
fn is_missing(pattern: &GlobMatcher, missing: &Missing) -> bool {
    is_place(pattern, missing) || missing.modules.iter().any(|module| pattern::matches(pattern, module))
}

/// Whether a pattern matches anything in the model: measured, left out or missing.
fn is_of_model(pattern: &GlobMatcher, discovery: &Discovery) -> bool {
    discovery.modules.iter().chain(&discovery.others).any(|module| pattern::matches(pattern, module))
        || discovery.missing.iter().any(|missing| is_missing(pattern, missing))
        || discovery
            .left_out
            .iter()
            .flat_map(|left_out| [&left_out.tensor, left_out.own_name()])
            .any(|tensor| pattern.is_match(tensor) || pattern.is_match(tensor.strip_suffix(WEIGHT).unwrap_or(tensor)))
}

/// A hint at what a pattern that matches nothing may have meant.
fn meant(pattern: &GlobMatcher, discovery: &Discovery) -> String {
    let names = discovery.modules.iter().map(|module| module.info.name.as_str());
    match (pattern::meant(pattern.glob().glob(), names), discovery.modules.first()) {
        (Some(meant), _) => format!(": did you mean '{meant}'?"),
        (None, Some(first)) => format!(": the names look like '{}'", first.info.name),
        (None, None) => String::new(),
    }
}

/// A hint at what a pattern that matches no linear module matches instead, and why that is left out if it is.
fn hint(pattern: &GlobMatcher, discovery: &Discovery) -> (String, Option<Reason>) {
    let missing: Vec<Missing> =
        discovery.missing.iter().filter(|missing| is_missing(pattern, missing)).cloned().collect();
    if !missing.is_empty() {
        return (format!(" that can be measured: {}", warnings(&missing).join("; ")), None);
    }
    let module = |tensor: &str| tensor.strip_suffix(WEIGHT).unwrap_or(tensor).to_owned();
    let matches = |left_out: &&LeftOut| {
        [&left_out.tensor, left_out.own_name()].into_iter().any(|name| pattern.is_match(module(name)))
    };
    match discovery.left_out.iter().find(matches) {
        Some(left_out) => {
            let hint = format!(": '{}' is left out ({})", module(&left_out.tensor), left_out.reason);
            (hint, Some(left_out.reason.clone()))
        }
        None => (meant(pattern, discovery), None),
    }
}
