//! Names -> one regular expression of Python that matches exactly them, from beginning to end.
//!
//! PEFT takes a list of names, each of which also hits whatever ends with it after a dot, or one expression, which must match a
//! whole name. So only an expression can name a `proj_out` at the root of a model whose blocks have a `proj_out` too.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::name::number;

/// A name around its first number, which usually is that of the layer.
#[derive(Clone, Copy)]
struct Around<'a> {
    before: &'a str,
    /// The number and what follows it behind a dot; `None` if the name has no number.
    number: Option<(&'a str, Option<&'a str>)>,
}

/// Numbers as they are written, the shorter first.
type Numbers<'a> = BTreeSet<(usize, &'a str)>;

/// For what precedes a number: what follows it, and all the numbers between the two, by their length and digits.
type Stacks<'a> = BTreeMap<&'a str, BTreeMap<Option<&'a str>, Numbers<'a>>>;

/// The expression that matches these names and nothing else. Names that differ only in their first number share a branch, and
/// so do those that have the same numbers.
pub fn exactly(names: &[String]) -> String {
    let mut plain = BTreeSet::new();
    let mut stacks = Stacks::new();
    for Around { before, number } in names.iter().map(|name| Around::of(name)) {
        match number {
            Some((number, after)) => {
                let numbers = stacks.entry(before).or_default().entry(after).or_default();
                numbers.insert((number.len(), number));
            }
            None => _ = plain.insert(before),
        }
    }
    let plain = plain.into_iter().map(literally);
    let stacks = stacks.iter().map(|(before, modules)| literally(before) + &any_of(&branches(modules)));
    format!("^{}$", any_of(&plain.chain(stacks).collect::<Vec<_>>()))
}

/// The expression of Python that matches this text and nothing else.
pub fn literally(text: &str) -> String {
    const MARKS: &str = r"\.^$*+?{}[]|()";
    let escaped = |character: char| MARKS.contains(character).then_some('\\').into_iter().chain([character]);
    text.chars().flat_map(escaped).collect()
}

impl<'a> Around<'a> {
    fn of(name: &'a str) -> Self {
        let mut start = 0;
        for segment in name.split('.') {
            let end = start + segment.len();
            if number(segment).is_some() {
                let after = name[end..].strip_prefix('.');
                return Self { before: &name[..start], number: Some((segment, after)) };
            }
            start = end + 1;
        }
        Self { before: name, number: None }
    }
}

/// For the modules of one stack of layers, the expressions for their layers and for what follows these.
fn branches<'a>(modules: &BTreeMap<Option<&'a str>, Numbers<'a>>) -> Vec<String> {
    let mut alike: BTreeMap<(&Numbers<'_>, bool), Vec<String>> = BTreeMap::new();
    for (after, numbers) in modules {
        alike.entry((numbers, after.is_some())).or_default().extend(after.map(literally));
    }
    let branch = |((numbers, goes_on), after): (&(&Numbers<'_>, bool), &Vec<String>)| {
        let numbers: Vec<String> = numbers.iter().map(|(_, number)| (*number).to_owned()).collect();
        let after = if *goes_on { format!(r"\.{}", any_of(after)) } else { String::new() };
        any_of(&numbers) + &after
    };
    alike.iter().map(branch).collect()
}

fn any_of(branches: &[String]) -> String {
    match branches {
        [only] => only.clone(),
        several => format!("({})", several.join("|")),
    }
}

#[cfg(test)]
mod tests {
    use fancy_regex::Regex;

    use super::*;

    fn of(names: &[&str]) -> String {
        exactly(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_text_is_matched_literally() {
        // python3 -c 'import re; print(re.fullmatch(…, …))' finds each in its own expression.
        assert_eq!(literally("model.lm_head-1"), r"model\.lm_head-1");
        assert_eq!(literally(r"a\b^c$(d|e)[f]*{g}+?.ä"), r"a\\b\^c\$\(d\|e\)\[f\]\*\{g\}\+\?\.ä");
    }

    #[test]
    fn layers_and_modules_that_go_together_share_a_branch() {
        assert_eq!(of(&["proj_out"]), "^proj_out$");
        assert_eq!(of(&["h.2.q", "h.10.q", "h.0.q"]), r"^h\.(0|2|10)\.q$");
        assert_eq!(of(&["h.0.q", "h.0.net.2", "h.1.q", "h.1.net.2"]), r"^h\.(0|1)\.(net\.2|q)$");
        assert_eq!(of(&["out", "h.0.q", "h.1.q", "h.1.k"]), r"^(out|h\.((0|1)\.q|1\.k))$");
        assert_eq!(of(&["h.0", "h.1", "h.0.q", "h.1.q"]), r"^h\.((0|1)|(0|1)\.q)$");
    }

    #[test]
    fn exactly_the_names_are_matched() {
        let names =
            ["", "a.", "a.0", "a.0.", "a.00", "a.1.b.2", "a.1.b.3", "0.a", "1", "x(.*)", "x\n", "ä.7.[b]", "a..0"];
        let others =
            ["a", "a.1", "0", "00.a", "a.0.b.2", "xy", "x", "x(.*)\n", "a.0.1", "b.a.0", ".0", "aä.7.[b]", "A.0"];
        // As Python's `re.fullmatch` does it.
        let expression = Regex::new(&format!("^(?:{})$", of(&names))).expect("an expression");
        assert!(names.into_iter().all(|name| expression.is_match(name).expect("matched")), "{expression}");
        assert!(!others.into_iter().any(|name| expression.is_match(name).expect("matched")), "{expression}");
    }
}
