//! A part of a scan that several machines make together.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most parts, far more than clusters have machines.
const MOST: usize = 100_000;

/// Which part of how many, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    pub number: usize,
    pub of: usize,
}

/// A text is no part.
#[derive(Debug, thiserror::Error)]
#[error("it takes K/N, such as 2/8, with K from 1 to N and N up to {MOST}")]
pub struct NoPart;

/// The modules of a part among those of the whole scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portion {
    #[serde(flatten)]
    pub part: Part,
    /// What the output files of the whole scan are called after.
    pub name: String,
    /// How many modules the whole scan measures.
    pub total: usize,
    /// The place of each module of the part in the whole scan, counted from 0, by the module's name.
    pub places: BTreeMap<String, usize>,
}

impl FromStr for Part {
    type Err = NoPart;

    fn from_str(text: &str) -> Result<Self, NoPart> {
        let (number, of) = text.split_once('/').ok_or(NoPart)?;
        let (number, of) = (number.parse().map_err(|_| NoPart)?, of.parse().map_err(|_| NoPart)?);
        if (1..=MOST).contains(&of) && (1..=of).contains(&number) { Ok(Self { number, of }) } else { Err(NoPart) }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_one() {
        for (text, number, of) in [("1/1", 1, 1), ("2/8", 2, 8), ("1000/1000", 1000, 1000)] {
            assert_eq!(text.parse::<Part>().ok(), Some(Part { number, of }));
            assert_eq!(Part { number, of }.to_string(), text);
        }
        for wrong in ["0/4", "5/4", "1/0", "x", "1", "1/", "/4", "1/4/2", "-1/4", "1.0/4", "1/100001", ""] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
