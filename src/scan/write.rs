//! A scan -> the file of all numbers.
//!
//! It keeps the form of the laser-QLoRA notebook, Python's `json.dump(…, indent=4)`. Numbers have as many digits as
//! float64 needs to be read back exactly.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::others::{spectrum, spectrum_sorted};
use super::{Format, Pool, Pooling, Record, Scan};
use crate::modules::{InMemory, Info, KnownBy};
use crate::output::python_json;
use crate::statistic::{Delta, Statistic, Statistics};

/// A module's description in JSON. The laser-QLoRA notebook uses the key `module`, and Spectrum uses `type`.
pub(crate) struct Described<'a>(pub &'a Info);

/// What the file says about a module or a pool. The laser-QLoRA notebook uses the key `snr`, too.
#[derive(Serialize)]
struct Entry<'a> {
    /// `null` for an infinite ratio, because JSON has no infinity.
    snr: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snr_doubt: Option<&'a str>,
    #[serde(flatten)]
    info: Described<'a>,
    #[serde(flatten)]
    statistic: Option<&'a Statistic>,
    #[serde(flatten)]
    pooled: Option<Pooled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<&'a Statistics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Delta>,
}

#[derive(Serialize)]
struct Pooled {
    pool: Pooling,
    experts: usize,
}

/// A scan as an object with a key for each measured module and pool.
struct All<'a>(&'a Scan);

impl Scan {
    /// The file of all numbers: every measured module in model order, then the pools of experts, with their names as
    /// keys. What was read from results of Spectrum is written in that form again.
    pub fn full_json(&self) -> Vec<u8> {
        match self.format {
            Format::Spectrum => spectrum(&self.rated()).into_bytes(),
            Format::SpectrumSorted => spectrum_sorted(&self.rated()).into_bytes(),
            Format::LaserScan | Format::LaserRmt => python_json(&All(self)),
        }
    }

    /// The description of a pool: what its experts have in common, with the pool's name and type.
    fn info_of(&self, pool: &Pool) -> Info {
        let members = || pool.members.iter().map(|place| &self.records[*place].info);
        let first = &self.records[pool.members[0]].info;
        let memory = match &first.memory {
            InMemory::Modules(_) => {
                let mut names: Vec<String> = members().flat_map(|member| member.memory.names().to_vec()).collect();
                names.dedup();
                InMemory::Modules(names)
            }
            parameter => parameter.clone(),
        };
        Info { name: pool.name.clone(), kind: pool.kind.clone(), memory, ..first.clone() }
    }
}

impl Serialize for All<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(scan) = self;
        let mut map = serializer.serialize_map(None)?;
        for Record { info, result } in &scan.records {
            let Ok(numbers) = result else { continue };
            let (snr, statistic) = (numbers.snr.and_then(finite), numbers.statistic.as_ref());
            let (info, statistics) = (Described(info), numbers.statistics.as_deref());
            let (snr_doubt, delta) = (numbers.doubt.as_deref(), numbers.delta);
            let entry = Entry { snr, snr_doubt, info, statistic, pooled: None, statistics, delta };
            map.serialize_entry(&entry.info.0.name, &entry)?;
        }
        for pool in &scan.pools {
            let Some(snr) = pool.snr else { continue };
            let pooled = Some(Pooled { pool: scan.pooling, experts: pool.experts });
            let info = &scan.info_of(pool);
            let entry = Entry {
                snr: finite(snr),
                snr_doubt: None,
                info: Described(info),
                statistic: None,
                pooled,
                statistics: None,
                delta: None,
            };
            map.serialize_entry(&pool.name, &entry)?;
        }
        map.end()
    }
}

impl Serialize for Described<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Info { name, kind, layer, shape, dtype, memory, known_by, part_of, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("module", name)?;
        map.serialize_entry("type", kind)?;
        map.serialize_entry("layer", layer)?;
        map.serialize_entry("shape", shape)?;
        map.serialize_entry("dtype", dtype)?;
        match memory.names() {
            [target] if target == name => {}
            [target] => map.serialize_entry("target", target)?,
            targets => map.serialize_entry("target", targets)?,
        }
        if memory.parameter().is_some() {
            map.serialize_entry("target_is_parameter", &true)?;
        }
        if matches!(memory, InMemory::RowsOf(_)) {
            map.serialize_entry("target_is_matrix", &true)?;
        }
        if *known_by != KnownBy::Unsaid {
            map.serialize_entry("target_known_by", known_by)?;
        }
        if let Some(whole) = part_of {
            map.serialize_entry("part_of", whole)?;
        }
        map.end()
    }
}

/// The number, if JSON can represent it.
fn finite(number: f64) -> Option<f64> {
    Some(number).filter(|number| number.is_finite())
}
