//! Patterns for names: the pattern for exactly one name, and suggestions for a pattern that matches nothing.

use globset::{Glob, GlobMatcher};

use super::Module;

/// Characters that have a meaning in patterns.
const WILDCARDS: [char; 7] = ['*', '?', '[', ']', '{', '}', '!'];

/// The pattern that matches exactly this text.
pub fn exact(text: &str) -> String {
    // globset does not escape a backslash, which has a meaning in patterns where it does not separate folders.
    globset::escape(text).replace('\\', r"[\]")
}

/// Whether a pattern matches one of a module's names.
pub fn matches(pattern: &GlobMatcher, module: &Module) -> bool {
    let names = std::iter::once(&module.info.name).chain(module.info.memory.names());
    names
        .into_iter()
        .any(|name| pattern.is_match(name) || module.stored_as(name).is_some_and(|stored| pattern.is_match(stored)))
}

/// What a pattern that matches none of `names` was probably meant to be: the same with stars around it, or the name
/// that is spelled most similarly; `None` if nothing is similar.
pub fn meant<'a>(pattern: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    let matches = |wider: &String| {
        let glob = Glob::new(wider).map(|glob| glob.compile_matcher());
        glob.is_ok_and(|glob| names.clone().any(|name| glob.is_match(name)))
    };
    let core = pattern.trim_matches('*');
    let wider = [format!("*{core}"), format!("{core}*"), format!("*{core}*")];
    if let Some(wider) = wider.into_iter().find(|wider| !core.is_empty() && matches(wider)) {
        return Some(wider);
    }
    let core = core.trim_matches('.');
    if core.contains(WILDCARDS) {
        return None;
    }
    let count = core.split('.').count();
    let distance = |name: &str| strsim::osa_distance(core, ending(name, count));
    let nearest = names.min_by_key(|name| distance(name))?;
    let ending = ending(nearest, count);
    let is_near = distance(nearest) <= core.chars().count() / 3;
    is_near.then(|| if ending == nearest { nearest.to_owned() } else { format!("*{ending}") })
}

/// The last `count` segments of a name.
fn ending(name: &str, count: usize) -> &str {
    let start = name.rmatch_indices('.').nth(count.saturating_sub(1)).map_or(0, |(at, _)| at + 1);
    &name[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_signs_is_matched_as_it_is() {
        let names =
            ["layers.0.up", "a*", "a?", "[a]", "]", "{a,b}", "{", "!a", r"a\b", r"\", "a**/b", "[!a]", "-", "a,b", "^"];
        for name in names {
            let glob = Glob::new(&exact(name)).expect(name).compile_matcher();
            let matched: Vec<&str> = names.into_iter().filter(|other| glob.is_match(other)).collect();
            assert_eq!(matched, [name]);
        }
    }

    #[test]
    fn what_was_meant_is_wider_or_nearly_spelled_so() {
        let names = ["self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj", "mlp.experts.*.down_proj"];
        let meant = |pattern: &str| meant(pattern, names.iter().copied());
        let cases = [
            ("q_proj", "*q_proj"),
            ("self_attn", "self_attn*"),
            ("experts", "*experts*"),
            ("*up", "*up*"),
            ("q_prj", "*q_proj"),
            ("self_atn.q_proj", "self_attn.q_proj"),
            ("mlp.upproj", "mlp.up_proj"),
            ("*.upp_roj", "*up_proj"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(meant(pattern).as_deref(), Some(expected), "{pattern}");
        }
        for pattern in ["", "*", "fc1", "[0-9]", "lm_head", "attention.dense"] {
            assert_eq!(meant(pattern), None, "{pattern}");
        }
    }
}
