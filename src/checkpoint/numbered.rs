//! Finds sets of shards by numbered names such as `model-00001-of-00003.safetensors`.

use std::collections::BTreeMap;

/// A set of shards whose names differ only in their numbers.
#[derive(Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The part before the number, such as `model`.
    pub stem: String,
    /// The part after the total, such as `.safetensors` or `.fp16.safetensors`.
    pub ending: String,
    /// How many shards there should be.
    pub total: u64,
    /// The total as it is written in the names.
    written: String,
    /// The names of the existing shards by their numbers.
    files: BTreeMap<u64, String>,
}

struct Name<'a> {
    stem: &'a str,
    number: &'a str,
    total: &'a str,
    ending: &'a str,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (before, after) = name.rsplit_once("-of-")?;
        let (stem, number) = before.rsplit_once('-')?;
        let (total, ending) = after.split_at(after.find(|letter: char| !letter.is_ascii_digit())?);
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_shard = is_number && number.parse::<u64>().ok()? <= total.parse().ok()?;
        is_shard.then_some(Self { stem, number, total, ending })
    }
}

pub fn is_shard(name: &str) -> bool {
    Name::parse(name).is_some()
}

/// The sets of shards among those `names` that end in `ending`.
pub fn sets(names: &[String], ending: &str) -> Vec<Numbered> {
    let mut sets: Vec<Numbered> = Vec::new();
    for file in names.iter().filter(|name| name.ends_with(ending)) {
        let Some(name) = Name::parse(file) else { continue };
        let (Ok(number), Ok(total)) = (name.number.parse(), name.total.parse()) else { continue };
        let is_own =
            |set: &&mut Numbered| (&*set.stem, &*set.written, &*set.ending) == (name.stem, name.total, name.ending);
        let set = match sets.iter_mut().find(is_own) {
            Some(set) => set,
            None => {
                let [stem, written, ending] = [name.stem, name.total, name.ending].map(str::to_owned);
                sets.push_mut(Numbered { stem, ending, total, written, files: BTreeMap::new() })
            }
        };
        set.files.insert(number, file.clone());
    }
    sets
}

impl Numbered {
    /// The existing shards in the order of their numbers.
    pub fn files(&self) -> impl Iterator<Item = &String> {
        self.files.values()
    }

    pub fn missing_count(&self) -> u64 {
        self.total.saturating_sub(self.files.len() as u64)
    }

    /// The names of the missing shards. Most sets are numbered from one, some from zero.
    pub fn missing(&self) -> impl Iterator<Item = String> {
        let first = u64::from(!self.files.contains_key(&0));
        let width = self.files.values().next().and_then(|file| Name::parse(file)).map_or(0, |name| name.number.len());
        let numbers = (0..self.total).map(move |place| first + place).filter(|number| !self.files.contains_key(number));
        numbers.map(move |number| format!("{}-{number:0width$}-of-{}{}", self.stem, self.written, self.ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_told_by_their_names() {
        for name in
            ["model-00001-of-00003.safetensors", "a.fp16-00002-of-00002.safetensors", "a-1-of-2.fp16.safetensors"]
        {
            assert!(is_shard(name), "{name}");
        }
        for name in [
            "model.safetensors",
            "best-of-both.safetensors",
            "x-3-of-a.safetensors",
            "x-3-of-2.safetensors",
            "x--of-2.safetensors",
            "x-1-of-99999999999999999999.safetensors",
        ] {
            assert!(!is_shard(name), "{name}");
        }
    }

    #[test]
    fn sets_are_told_apart_and_know_what_they_lack() {
        let names = ["m-00003-of-00003.x", "m-00001-of-00003.x", "n-0-of-2.x", "n-1-of-2.x", "m-1-of-1.y"];
        let sets = sets(&names.map(str::to_owned), ".x");
        assert_eq!(sets.len(), 2);
        assert_eq!(sets[0].files().collect::<Vec<_>>(), ["m-00001-of-00003.x", "m-00003-of-00003.x"]);
        assert_eq!(sets[0].missing().collect::<Vec<_>>(), ["m-00002-of-00003.x"]);
        assert_eq!(sets[1].missing().count(), 0);
    }

    #[test]
    fn a_huge_total_takes_no_time() {
        let sets = sets(&["m-1-of-18446744073709551615.x".to_owned()], ".x");
        assert_eq!(sets[0].missing().next().as_deref(), Some("m-2-of-18446744073709551615.x"));
    }
}
