//! The bytes of a scan's file -> its results.
//!
//! Four kinds of file are read: that of this program, the two of Spectrum, and that of laserRMT, which the seed's
//! notebook writes too. Which one it is shows in its records, not in its name.

use std::collections::HashSet;
use std::fmt;

use super::Entry;
use super::read_error::ReadError;
use crate::modules::name::Place;
use crate::output::json::{self, Json};
use crate::select::Pooling;

/// Keys of a `config.json`, of which every one has at least one.
const CONFIG_KEYS: [&str; 3] = ["model_type", "architectures", "_class_name"];

/// What a file of results holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// Who wrote it.
    pub format: Format,
    /// Its modules, in the file's order; at least one.
    pub entries: Vec<Entry>,
    /// How experts were pooled. The pools themselves are no entries.
    pub pooling: Pooling,
}

/// Who wrote a file of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// This program.
    LaserScan,
    /// Spectrum: a record for each module.
    Spectrum,
    /// Spectrum: the ratios alone, sorted within each type.
    SpectrumSorted,
    /// laserRMT, or the seed's notebook.
    LaserRmt,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LaserScan => "laser-scan",
            Self::Spectrum => "Spectrum",
            Self::SpectrumSorted => "Spectrum, sorted",
            Self::LaserRmt => "laserRMT",
        })
    }
}

/// Reads results from the bytes of a file.
///
/// # Errors
///
/// Fails if the file is no scan, or if what it says of a module is unclear.
pub fn read(bytes: &[u8]) -> Result<Results, ReadError> {
    if json::without_mark(bytes).iter().all(u8::is_ascii_whitespace) {
        return Err(ReadError::Empty);
    }
    let file = Json::parse(bytes)?;
    let format = format(&file)?;
    if let Some(name) = repeated(file.pairs().iter().map(|(name, _)| name.as_str())) {
        return Err(ReadError::Twice(name.to_owned()));
    }
    let (entries, pooling) = match format {
        Format::SpectrumSorted => (sorted(&file)?, Pooling::None),
        _ => (records(&file, format)?, pooling(&file)?),
    };
    match repeated(entries.iter().map(|entry| entry.name.as_str())) {
        Some(name) => Err(ReadError::Twice(name.to_owned())),
        None if entries.is_empty() => Err(ReadError::Empty),
        None => Ok(Results { format, entries, pooling }),
    }
}

/// Who wrote the file, if it is a scan.
fn format(file: &Json) -> Result<Format, ReadError> {
    let Json::Object(pairs) = file else { return Err(ReadError::NoObject(file.what())) };
    let any_has = |key: &str| pairs.iter().any(|(_, value)| value.get(key).is_some());
    let all = |is: fn(&Json) -> bool| pairs.iter().all(|(_, value)| is(value));
    if pairs.is_empty() {
        Err(ReadError::Empty)
    } else if let Some(error) = another_file(file) {
        Err(error)
    } else if any_has("snr") || (all(is_object) && (any_has("type") || any_has("module"))) {
        Ok(format_of_records(pairs))
    } else if all(is_object) && pairs.iter().flat_map(|(_, ratios)| ratios.pairs()).any(|(_, ratio)| is_ratio(ratio)) {
        Ok(Format::SpectrumSorted)
    } else {
        Err(ReadError::NoScan)
    }
}

/// What is wrong with the file if it is one of those that lie beside a scan or a model.
fn another_file(file: &Json) -> Option<ReadError> {
    let is_names = |value: &Json| matches!(value, Json::List(items) if items.iter().all(|item| item.text().is_some()));
    if file.get("tool").and_then(Json::text) == Some("laser-scan") {
        Some(ReadError::Manifest)
    } else if file.get("weight_map").is_some() {
        Some(ReadError::Index)
    } else if CONFIG_KEYS.iter().any(|key| file.get(key).is_some_and(|value| !is_object(value))) {
        Some(ReadError::Config)
    } else if file.pairs().iter().all(|(_, value)| is_names(value)) {
        Some(ReadError::TopOnly)
    } else {
        None
    }
}

/// Who wrote the records: `module` is the key of the notebook, `type` that of Spectrum, and this program writes both.
fn format_of_records(pairs: &[(String, Json)]) -> Format {
    let has = |record: &Json, key: &str| record.get(key).is_some();
    if pairs.iter().any(|(_, record)| has(record, "type") && has(record, "module")) {
        Format::LaserScan
    } else if pairs.iter().any(|(_, record)| has(record, "type")) {
        Format::Spectrum
    } else {
        Format::LaserRmt
    }
}

fn is_object(value: &Json) -> bool {
    matches!(value, Json::Object(_))
}

fn is_ratio(value: &Json) -> bool {
    matches!(value, Json::Number(_) | Json::Null)
}

/// The first of `names` that came before.
fn repeated<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name))
}

/// The entries of `{type: {name: snr}}`.
fn sorted(file: &Json) -> Result<Vec<Entry>, ReadError> {
    let ratios = file.pairs().iter().flat_map(|(kind, ratios)| ratios.pairs().iter().map(move |pair| (kind, pair)));
    ratios.map(|(kind, (name, value))| Ok(plain(name, kind.clone(), ratio(name, value, None)?))).collect()
}

/// The entries of `{name: {"snr": snr, …}}`.
fn records(file: &Json, format: Format) -> Result<Vec<Entry>, ReadError> {
    let several_stacks = has_several_stacks(file.pairs().iter().map(|(name, _)| name.as_str()));
    let modules = file.pairs().iter().filter(|(_, record)| record.get("pool").is_none());
    let entry = |(name, record): &(String, Json)| {
        let record = Record::new(name, record)?;
        match format {
            Format::LaserScan => record.own(),
            Format::Spectrum | Format::SpectrumSorted => Ok(plain(name, record.kind()?, record.ratio(None)?)),
            Format::LaserRmt => {
                let kind = Place::of(without_weight(name)).kind(several_stacks);
                Ok(plain(name, kind, record.ratio(None)?))
            }
        }
    };
    modules.map(entry).collect()
}

/// Whether the modules within layers are those of several stacks, as an encoder's and a decoder's are.
fn has_several_stacks<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut stacks = names.map(Place::of).filter(|place| place.layer.is_some()).map(|place| place.stack);
    let first = stacks.next();
    stacks.any(|stack| Some(stack) != first)
}

/// How the experts were pooled.
fn pooling(file: &Json) -> Result<Pooling, ReadError> {
    let pool = file.pairs().iter().find_map(|(name, record)| Some((name, record.get("pool")?)));
    match pool {
        None => Ok(Pooling::None),
        Some((name, how)) => match how.text() {
            Some("mean") => Ok(Pooling::Mean),
            Some("max") => Ok(Pooling::Max),
            _ => Err(ReadError::Malformed { name: name.clone(), key: "pool", expected: "'mean' or 'max'" }),
        },
    }
}

/// An entry of which nothing is known but this.
fn plain(name: &str, kind: String, snr: Option<f64>) -> Entry {
    let name = without_weight(name);
    Entry {
        name: name.to_owned(),
        kind,
        layer: Place::of(name).layer,
        snr,
        shape: None,
        targets: vec![name.to_owned()],
        is_parameter: false,
        is_matrix: false,
        part_of: None,
    }
}

/// The name of the module that a weight is of.
fn without_weight(name: &str) -> &str {
    name.strip_suffix(".weight").unwrap_or(name)
}

/// A ratio, which is `null_is` where the file has `null`. What is no ratio but came of computing one is not measured.
fn ratio(name: &str, value: &Json, null_is: Option<f64>) -> Result<Option<f64>, ReadError> {
    match *value {
        Json::Null => Ok(null_is),
        Json::Number(snr) if snr.is_nan() || snr == f64::NEG_INFINITY => Ok(None),
        Json::Number(snr) if snr < 0.0 => Err(ReadError::Negative { name: name.to_owned(), snr }),
        // Without the sign of -0, which would be ranked below 0.
        Json::Number(snr) => Ok(Some(snr.abs())),
        _ => Err(ReadError::Malformed { name: name.to_owned(), key: "snr", expected: "a number" }),
    }
}

/// What a file says of a module.
struct Record<'a> {
    name: &'a str,
    fields: &'a Json,
}

impl<'a> Record<'a> {
    fn new(name: &'a str, fields: &'a Json) -> Result<Self, ReadError> {
        match repeated(fields.pairs().iter().map(|(key, _)| key.as_str())) {
            Some(key) => Err(ReadError::KeyTwice { name: name.to_owned(), key: key.to_owned() }),
            None => Ok(Self { name, fields }),
        }
    }

    /// The entry that this program wrote.
    fn own(&self) -> Result<Entry, ReadError> {
        let layer = self.field("layer", "a layer's number", Json::whole)?;
        let flag = |value: &Json| if let Json::Bool(is_set) = value { Some(*is_set) } else { None };
        Ok(Entry {
            name: self.name.to_owned(),
            kind: self.kind()?,
            // A layer that is `null` is known to be none.
            layer: if self.fields.get("layer").is_some() { layer } else { Place::of(self.name).layer },
            snr: self.ratio(Some(f64::INFINITY))?,
            shape: self.field("shape", "rows and columns", shape)?,
            targets: self.field("target", "a name or a list of names", names)?.unwrap_or(vec![self.name.to_owned()]),
            is_parameter: self.field("target_is_parameter", "true or false", flag)?.unwrap_or(false),
            is_matrix: self.field("target_is_matrix", "true or false", flag)?.unwrap_or(false),
            part_of: self.field("part_of", "a name", text)?,
        })
    }

    fn ratio(&self, null_is: Option<f64>) -> Result<Option<f64>, ReadError> {
        let value = self.fields.get("snr").ok_or_else(|| ReadError::NoRatio(self.name.to_owned()))?;
        ratio(self.name, value, null_is)
    }

    fn kind(&self) -> Result<String, ReadError> {
        let expected = "given as a string";
        let kind = self.field("type", expected, text)?;
        kind.ok_or_else(|| ReadError::Malformed { name: self.name.to_owned(), key: "type", expected })
    }

    /// The value of `key`, if there is one, as `parse` reads it.
    fn field<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        parse: impl Fn(&Json) -> Option<T>,
    ) -> Result<Option<T>, ReadError> {
        let value = self.fields.get(key).filter(|value| !matches!(value, Json::Null));
        let malformed = || ReadError::Malformed { name: self.name.to_owned(), key, expected };
        value.map(|value| parse(value).ok_or_else(malformed)).transpose()
    }
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
    match value {
        Json::List(sides) => match sides.as_slice() {
            [rows, columns] => Some([rows.whole()?, columns.whole()?]),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = r#"{
        "model.layers.3.self_attn.q_proj": {"snr": 1.5, "module": "model.layers.3.self_attn.q_proj",
            "type": "self_attn.q_proj", "layer": 3, "shape": [8, 16], "dtype": "BF16", "target": "q"},
        "visual.merger": {"snr": null, "module": "visual.merger", "type": "merger", "layer": null, "shape": [8, 8],
            "dtype": "F32", "noise": 0, "target": ["a", "b"], "target_is_parameter": true, "part_of": "visual"},
        "model.layers.3.experts.w1": {"snr": 2.5, "module": "x", "type": "experts.w1", "layer": 3, "shape": [8, 8],
            "dtype": "F32", "pool": "mean", "experts": 4}
    }"#;

    fn entry(name: &str, kind: &str, layer: Option<usize>, snr: Option<f64>) -> Entry {
        Entry { layer, kind: kind.into(), ..plain(name, String::new(), snr) }
    }

    fn entries(text: &str, format: Format) -> Vec<Entry> {
        let results = read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((results.format, results.pooling), (format, Pooling::None), "{text}");
        results.entries
    }

    fn error(text: &str) -> String {
        read(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn the_own_file_is_read() {
        let results = read(OWN.as_bytes()).expect("a scan");
        assert_eq!((results.format, results.pooling), (Format::LaserScan, Pooling::Mean));
        let first = Entry {
            shape: Some([8, 16]),
            targets: vec!["q".into()],
            ..entry("model.layers.3.self_attn.q_proj", "self_attn.q_proj", Some(3), Some(1.5))
        };
        let second = Entry {
            shape: Some([8, 8]),
            targets: vec!["a".into(), "b".into()],
            is_parameter: true,
            part_of: Some("visual".into()),
            ..entry("visual.merger", "merger", None, Some(f64::INFINITY))
        };
        assert_eq!(results.entries, [first, second]);
    }

    #[test]
    fn files_of_spectrum_are_read() {
        let flat = r#"{"model.layers.0.mlp.down_proj": {"snr": 10.1, "type": "mlp.down_proj"},
            "model.layers.1.mlp.down_proj": {"snr": Infinity, "type": "mlp.down_proj"},
            "model.norm": {"snr": NaN, "type": "model.norm"}, "lm_head": {"snr": null, "type": "lm_head"}}"#;
        let sorted = r#"{"mlp.down_proj": {"model.layers.0.mlp.down_proj": 10.1, "model.layers.1.mlp.down_proj": Infinity},
            "model.norm": {"model.norm": -Infinity}, "lm_head": {"lm_head.weight": null}}"#;
        let expected = [
            entry("model.layers.0.mlp.down_proj", "mlp.down_proj", Some(0), Some(10.1)),
            entry("model.layers.1.mlp.down_proj", "mlp.down_proj", Some(1), Some(f64::INFINITY)),
            entry("model.norm", "model.norm", None, None),
            entry("lm_head", "lm_head", None, None),
        ];
        assert_eq!(entries(flat, Format::Spectrum), expected);
        assert_eq!(entries(sorted, Format::SpectrumSorted), expected);
    }

    #[test]
    fn types_that_a_file_does_not_give_are_those_of_a_scan() {
        let one =
            r#"{"h.0.attn.c_attn.weight": {"snr": 1, "module": "h.0.attn.c_attn"}, "h.1.attn.c_attn": {"snr": -0.0}}"#;
        let expected = [
            entry("h.0.attn.c_attn", "attn.c_attn", Some(0), Some(1.0)),
            entry("h.1.attn.c_attn", "attn.c_attn", Some(1), Some(0.0)),
        ];
        assert_eq!(entries(one, Format::LaserRmt), expected);
        let two = r#"{"encoder.layers.0.fc1": {"snr": 1}, "decoder.layers.0.fc1": {"snr": 2}, "head": {"snr": 3}}"#;
        let kinds: Vec<String> = entries(two, Format::LaserRmt).into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, ["encoder.fc1", "decoder.fc1", "head"]);
    }

    #[test]
    fn line_ends_and_marks_do_not_matter() {
        let text = "\u{feff} \r\n{\"é\\\"NaN\": {\"snr\": 2.5e-07,\r\n \"type\": \"x\\\\\"}, \"b\": {\"snr\": NaN, \"type\": \"\"}}\r\n\t ";
        let expected = [entry("é\"NaN", "x\\", None, Some(2.5e-7)), entry("b", "", None, None)];
        assert_eq!(entries(text, Format::Spectrum), expected);
    }

    #[test]
    fn other_files_are_refused() {
        let cases = [
            ("", "it holds no module"),
            ("\u{feff} \r\n", "it holds no module"),
            (" {} ", "it holds no module"),
            (r#"{"x": {"snr": 1, "pool": "max"}}"#, "it holds no module"),
            ("[1]", "it is a list, no scan"),
            ("NaN", "it is a number, no scan"),
            (r#"{"mlp.up_proj": ["a", "b"], "x": []}"#, "it has only the names of the best"),
            (r#"{"tool": "laser-scan", "version": "1", "files": []}"#, "it is the manifest"),
            (r#"{"metadata": {"total_size": 1}, "weight_map": {"a": "b"}}"#, "it is the index"),
            (r#"{"architectures": ["X"], "model_type": "x"}"#, "it is a model's configuration"),
            (r#"{"a": 1.5}"#, "it is JSON, but no scan"),
            (r#"{"a": {"b": "c"}}"#, "it is JSON, but no scan"),
            (r#"{"a": {"b": 1}, "c": 1}"#, "it is JSON, but no scan"),
        ];
        for (text, start) in cases {
            assert!(error(text).starts_with(start), "{text}: {}", error(text));
        }
        assert!(error("{\"a\": NaN,\n  1}").contains("at line 2 column 3"), "{}", error("{\"a\": NaN,\n  1}"));
    }

    #[test]
    fn unclear_records_are_refused_by_name() {
        let own = |field: &str| format!(r#"{{"a": {{"snr": 1, "module": "a", "type": "t", {field}}}}}"#);
        let cases = [
            (r#"{"a": {"snr": 1, "type": "t"}, "a": {"snr": 2, "type": "t"}}"#.into(), "it has 'a' twice"),
            (r#"{"a": {"snr": 1}, "a.weight": {"snr": 2}}"#.into(), "it has 'a' twice"),
            (r#"{"t": {"a": 1}, "u": {"a": 1}}"#.into(), "it has 'a' twice"),
            (r#"{"t": {"a": 1}, "t": {"b": 1}}"#.into(), "it has 't' twice"),
            (r#"{"a": {"snr": 1, "snr": 2}}"#.into(), "its record of 'a' has 'snr' twice"),
            (r#"{"a": {"type": "t"}}"#.into(), "its record of 'a' has no 'snr'"),
            (r#"{"a": {"snr": 1}, "b": 2}"#.into(), "its record of 'b' has no 'snr'"),
            (r#"{"a": {"snr": "1"}}"#.into(), "the 'snr' of 'a' is not a number"),
            (r#"{"t": {"a": 1, "b": "NaN"}}"#.into(), "the 'snr' of 'b' is not a number"),
            (r#"{"t": {"a": -0.5}}"#.into(), "the 'snr' of 'a' is -0.5"),
            (r#"{"a": {"snr": 1, "type": "t"}, "b": {"snr": 1}}"#.into(), "the 'type' of 'b' is not given as a string"),
            (own(r#""layer": -1"#), "the 'layer' of 'a' is not"),
            (own(r#""layer": 1.5"#), "the 'layer' of 'a' is not"),
            (own(r#""shape": [1]"#), "the 'shape' of 'a' is not"),
            (own(r#""shape": [1, NaN]"#), "the 'shape' of 'a' is not"),
            (own(r#""target": []"#), "the 'target' of 'a' is not"),
            (own(r#""target_is_parameter": 1"#), "the 'target_is_parameter' of 'a' is not"),
            (own(r#""part_of": {}"#), "the 'part_of' of 'a' is not"),
            (own(r#""pool": "min""#), "the 'pool' of 'a' is not"),
        ];
        for (text, start) in cases {
            assert!(error(&text).starts_with(start), "{text}: {}", error(&text));
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        for end in 0..OWN.len() {
            assert!(read(&OWN.as_bytes()[..end]).is_err(), "{end}");
            let mut bytes = OWN.as_bytes().to_vec();
            bytes[end] = 0xff;
            assert!(read(&bytes).is_err(), "{end}");
        }
    }
}
