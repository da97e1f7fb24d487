//! Python's regular expressions, as the rules of transformers have them.

/// A regular expression. The engine that is sure to take time linear in the text cannot look around, which few rules do.
pub enum Search {
    Linear(regex::Regex),
    LookingAround(fancy_regex::Regex),
}

impl Search {
    /// `None` if the pattern is none that can be searched for.
    pub fn new(pattern: &str) -> Option<Self> {
        match regex::Regex::new(pattern) {
            Ok(linear) => Some(Self::Linear(linear)),
            Err(_) => fancy_regex::Regex::new(pattern).ok().map(Self::LookingAround),
        }
    }

    /// The number of the group called `name`.
    pub fn group(&self, name: &str) -> Option<usize> {
        match self {
            Self::Linear(regex) => regex.capture_names().position(|group| group == Some(name)),
            Self::LookingAround(regex) => regex.capture_names().position(|group| group == Some(name)),
        }
    }

    /// What the first match in `text` has in each group; the first group is the whole match.
    pub fn find<'t>(&self, text: &'t str) -> Option<Vec<Option<&'t str>>> {
        match self {
            Self::Linear(regex) => {
                let captures = regex.captures(text)?;
                Some(captures.iter().map(|group| group.map(|group| group.as_str())).collect())
            }
            Self::LookingAround(regex) => {
                let captures = regex.captures(text).ok().flatten()?;
                Some(captures.iter().map(|group| group.map(|group| group.as_str())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_find_the_same() {
        let pattern = r"(?P<g1>layers\.(\d+)\.mlp)|(?P<g0>head)";
        let [linear, around] =
            [pattern, &format!("(?!x)(?:{pattern})")].map(|pattern| Search::new(pattern).expect("valid"));
        assert!(matches!((&linear, &around), (Search::Linear(_), Search::LookingAround(_))));
        for search in [linear, around] {
            assert_eq!((search.group("g0"), search.group("g1"), search.group("g2")), (Some(3), Some(1), None));
            assert_eq!(
                search.find("m.layers.7.mlp.up"),
                Some(vec![Some("layers.7.mlp"), Some("layers.7.mlp"), Some("7"), None])
            );
            assert_eq!(search.find("norm"), None);
        }
        assert!(Search::new("(").is_none());
    }
}
