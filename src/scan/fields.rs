//! The fields of a module's record in JSON -> what they say.

use std::collections::HashSet;

use super::{Numbers, ReadError, Record, Unmeasured};
use crate::modules::{InMemory, Info, KnownBy, Role};
use crate::output::json::Json;
use crate::statistic::{Delta, MpEdge, Statistic, Statistics, Undefined};

/// The fields of a module's record.
pub struct Fields<'a> {
    name: &'a str,
    fields: &'a Json,
}

impl<'a> Fields<'a> {
    /// The fields of the module called `name`. Fails if a key occurs twice.
    pub fn new(name: &'a str, fields: &'a Json) -> Result<Self, ReadError> {
        match repeated(fields.pairs().iter().map(|(key, _)| key.as_str())) {
            Some(key) => Err(ReadError::KeyTwice { name: name.to_owned(), key: key.to_owned() }),
            None => Ok(Self { name, fields }),
        }
    }

    /// The record, as this program writes it.
    pub fn record(&self) -> Result<Record, ReadError> {
        let snr = match self.fields.get("snr") {
            // JSON has no infinity.
            Some(Json::Null) if self.has("snr_doubt") => Some(None),
            Some(Json::Null) => Some(Some(f64::INFINITY)),
            _ => self.ratio()?.map(Some),
        };
        let doubt = self.field("snr_doubt", "a sentence", text)?;
        let statistics = self.field("statistics", "an object of statistics", |value| self.statistics(value))?;
        let delta = self.field("delta", "the norms of a change", delta)?;
        let numbers = |snr| Numbers { snr, doubt: doubt.clone(), statistic: self.statistic(), statistics, delta };
        Ok(Record { info: self.info()?, result: snr.map(numbers).ok_or(Unmeasured::NoRatio) })
    }

    pub fn info(&self) -> Result<Info, ReadError> {
        let name = self.name;
        let names = self.field("target", "a name or a list of names", names)?.unwrap_or_else(|| vec![name.to_owned()]);
        let is_parameter = self.flag("target_is_parameter")?;
        let memory = match (names, self.flag("target_is_matrix")?) {
            (names, _) if !is_parameter => InMemory::Modules(names),
            (names, is_matrix) => match <[String; 1]>::try_from(names) {
                Ok([name]) if is_matrix => InMemory::RowsOf(name),
                Ok([name]) => InMemory::Parameter(name),
                Err(names) if !is_matrix => InMemory::Parameters(names),
                Err(_) => return Err(self.malformed("target", "one name, as that of a parameter is")),
            },
        };
        let layer = self.field("layer", "a layer's number", Json::whole)?;
        let plain = Info::of_name(name, self.kind()?);
        Ok(Info {
            // `null` means that the module is known to be outside the layers.
            layer: if self.has("layer") { layer } else { plain.layer },
            role: self.field("class", "a class of modules", role)?.unwrap_or(plain.role),
            shape: self.field("shape", "rows and columns", shape)?,
            dtype: self.field("dtype", "a name", text)?,
            part_of: self.field("part_of", "a name", text)?,
            known_by: self
                .field("target_known_by", "by what the name in memory is known", known_by)?
                .unwrap_or_default(),
            memory,
            ..plain
        })
    }

    /// The statistic, if the file has all of it.
    fn statistic(&self) -> Option<Statistic> {
        let (number, count) = (|key| number(self.fields, key), |key| count(self.fields, key));
        Some(Statistic {
            sigma_max: number("sigma_max")?,
            sigma: number("sigma")?,
            threshold: number("threshold")?,
            signal: number("signal")?,
            noise: number("noise")?,
            signal_count: count("signal_count")?,
            noise_count: count("noise_count")?,
        })
    }

    /// The other statistics of a spectrum.
    fn statistics(&self, value: &Json) -> Option<Box<Statistics>> {
        let defined = |key: &str| {
            let told = value.get("reason").and_then(|reasons| reasons.get(key)?.text());
            match value.get(key)? {
                Json::Null => Some(Err(Undefined::Told(told?.to_owned()))),
                value => Some(Ok(value)),
            }
        };
        let plain = |key| match defined(key)? {
            Ok(_) => Some(Ok(number(value, key)?)),
            Err(why) => Some(Err(why)),
        };
        let mp = match defined("mp")? {
            Ok(value) => Ok(mp_edge(value)?),
            Err(why) => Err(why),
        };
        // JSON has no infinity.
        let margin = value.get("margin").map(|_| number(value, "margin").unwrap_or(f64::INFINITY));
        Some(Box::new(Statistics { mp, effective_rank: plain("effective_rank")?, alpha: plain("alpha")?, margin }))
    }

    pub fn ratio(&self) -> Result<Option<f64>, ReadError> {
        let value = self.fields.get("snr").ok_or_else(|| ReadError::NoRatio(self.name.to_owned()))?;
        ratio(self.name, value)
    }

    pub fn kind(&self) -> Result<String, ReadError> {
        self.required("type", "given as a string", text)
    }

    pub fn has(&self, key: &str) -> bool {
        self.fields.get(key).is_some()
    }

    /// The value of `key`, which must be there.
    pub fn required<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        parse: impl Fn(&Json) -> Option<T>,
    ) -> Result<T, ReadError> {
        self.field(key, expected, parse)?.ok_or_else(|| self.malformed(key, expected))
    }

    /// Whether `key` is true; false if it is not there.
    pub fn flag(&self, key: &'static str) -> Result<bool, ReadError> {
        let flag = |value: &Json| if let Json::Bool(is_set) = value { Some(*is_set) } else { None };
        Ok(self.field(key, "true or false", flag)?.unwrap_or(false))
    }

    /// The value of `key`, if there is one, as `parse` reads it.
    pub fn field<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        parse: impl Fn(&Json) -> Option<T>,
    ) -> Result<Option<T>, ReadError> {
        let value = self.fields.get(key).filter(|value| !matches!(value, Json::Null));
        value.map(|value| parse(value).ok_or_else(|| self.malformed(key, expected))).transpose()
    }

    fn malformed(&self, key: &'static str, expected: &'static str) -> ReadError {
        ReadError::Malformed { name: self.name.to_owned(), key, expected }
    }
}

fn delta(value: &Json) -> Option<Delta> {
    let number = |key| number(value, key);
    Some(Delta { norm: number("norm")?, base_norm: number("base_norm")?, scale: number("scale") })
}

fn mp_edge(value: &Json) -> Option<MpEdge> {
    let (number, count) = (|key| number(value, key), |key| count(value, key));
    Some(MpEdge {
        value: number("value")?,
        sigma: number("sigma")?,
        threshold: number("threshold")?,
        signal: number("signal")?,
        noise: number("noise")?,
        signal_count: count("signal_count")?,
        noise_count: count("noise_count")?,
        share: number("share")?,
    })
}

/// The number under `key` of an object.
fn number(object: &Json, key: &str) -> Option<f64> {
    match object.get(key)? {
        Json::Number(number) => Some(*number),
        _ => None,
    }
}

/// The whole number under `key` of an object.
fn count(object: &Json, key: &str) -> Option<usize> {
    object.get(key)?.whole()
}

fn role(value: &Json) -> Option<Role> {
    serde_json::from_value(value.text()?.into()).ok()
}

fn known_by(value: &Json) -> Option<KnownBy> {
    serde_json::from_value(value.text()?.into()).ok()
}

fn text(value: &Json) -> Option<String> {
    value.text().map(str::to_owned)
}

/// A name by itself, or a list of several.
fn names(value: &Json) -> Option<Vec<String>> {
    match value {
        Json::List(items) if !items.is_empty() => items.iter().map(text).collect(),
        value => Some(vec![text(value)?]),
    }
}

fn shape(value: &Json) -> Option<[usize; 2]> {
    match value.list()? {
        [rows, columns] => Some([rows.whole()?, columns.whole()?]),
        _ => None,
    }
}

/// The first name that occurs a second time.
pub fn repeated<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name))
}

/// A ratio in another program's file. NaN and negative infinity, which computing a ratio may give, count as not
/// measured.
pub fn ratio(name: &str, value: &Json) -> Result<Option<f64>, ReadError> {
    match *value {
        Json::Null => Ok(None),
        Json::Number(snr) if snr.is_nan() || snr == f64::NEG_INFINITY => Ok(None),
        Json::Number(snr) if snr < 0.0 => Err(ReadError::Negative { name: name.to_owned(), snr }),
        // -0 loses its sign, because it would be ranked below 0.
        Json::Number(snr) => Ok(Some(snr.abs())),
        _ => Err(ReadError::Malformed { name: name.to_owned(), key: "snr", expected: "a number" }),
    }
}
