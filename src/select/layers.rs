//! Ranges of layers.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Layers, such as `0-7,24-`: both ends belong to a range, and one without an end goes on to the last layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    spelling: String,
    ranges: Vec<RangeInclusive<usize>>,
}

impl Layers {
    /// The first range that contains none of `layers`, as it was written.
    pub fn unmatched(&self, layers: &[usize]) -> Option<&str> {
        let is_idle = |range: &RangeInclusive<usize>| !layers.iter().any(|layer| range.contains(layer));
        let mut spelled = self.spelling.split(',').zip(&self.ranges);
        spelled.find(|(_, range)| is_idle(range)).map(|(spelling, _)| spelling.trim())
    }

    pub fn contains(&self, layer: usize) -> bool {
        self.ranges.iter().any(|range| range.contains(&layer))
    }
}

impl FromStr for Layers {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "it takes layers such as 3, 0-7, 24- or 0-7,24-";
        let range = |part: &str| {
            let number = |text: &str| text.trim().parse::<usize>().map_err(|_| FORM);
            let range = match part.split_once('-') {
                None => number(part)?..=number(part)?,
                Some((first, last)) if last.trim().is_empty() => number(first)?..=usize::MAX,
                Some((first, last)) => number(first)?..=number(last)?,
            };
            if range.is_empty() { Err("a range of layers begins with the lower number") } else { Ok(range) }
        };
        Ok(Self { spelling: text.to_owned(), ranges: text.split(',').map(range).collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.spelling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let layers = |text: &str| text.parse::<Layers>();
        let some = layers("0-2, 5,30-").expect("layers");
        assert_eq!(
            [0, 2, 3, 5, 29, 30, 4000].map(|layer| some.contains(layer)),
            [true, true, false, true, false, true, true]
        );
        for wrong in ["", "a", "1-2-3", "-3", "5-3", "1,,2", "1.5"] {
            assert!(layers(wrong).is_err(), "{wrong}");
        }
    }
}
