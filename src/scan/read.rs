//! The bytes of a scan's file -> the scan.
//!
//! Four kinds of file are read: this program's, the two of Spectrum, and that of laserRMT, which the laser-QLoRA
//! notebook writes too. `format.rs` tells them apart.

use std::path::Path;
use std::{fs, io};

use super::fields::{Fields, ratio, repeated};
use super::{Format, Numbers, OpenError, Pooling, ReadError, Record, Scan, Unmeasured};
use crate::modules::name::{Place, Several};
use crate::modules::places::Places;
use crate::modules::{Info, WEIGHT};
use crate::output::json::{self, Json};

fn bytes_of(path: &Path) -> Result<Vec<u8>, OpenError> {
    fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => OpenError::NoScan { path: path.to_owned(), error: ReadError::Folder },
        _ => OpenError::Unreadable { path: path.to_owned(), error },
    })
}

impl Scan {
    /// Reads a scan's file of all numbers.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be read, or is no scan.
    pub fn read(path: &Path) -> Result<Self, OpenError> {
        let bytes = bytes_of(path)?;
        Self::from_bytes(&bytes).map_err(|error| OpenError::NoScan { path: path.to_owned(), error })
    }

    /// As [`Scan::read`], for a part of a scan, which may have no modules.
    pub(super) fn read_part(path: &Path) -> Result<Self, OpenError> {
        let bytes = bytes_of(path)?;
        if bytes.trim_ascii() == b"{}" {
            return Ok(Self::new(Vec::new(), Format::LaserScan));
        }
        Self::from_bytes(&bytes).map_err(|error| OpenError::NoScan { path: path.to_owned(), error })
    }

    /// Reads a scan from the bytes of a file of all numbers. It has at least one module.
    ///
    /// # Errors
    ///
    /// Fails if the file is no scan, or if what it says about a module is unclear.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        if json::without_mark(bytes).iter().all(u8::is_ascii_whitespace) {
            return Err(ReadError::Empty);
        }
        let file = Json::parse(bytes)?;
        let format = Format::of(&file)?;
        if let Some(name) = repeated(file.pairs().iter().map(|(name, _)| name.as_str())) {
            return Err(ReadError::Twice(name.to_owned()));
        }
        let (records, how) = match format {
            Format::SpectrumSorted => (sorted(&file)?, Pooling::None),
            _ => (records(&file, format)?, pooling(&file)?),
        };
        match repeated(records.iter().map(|record| record.info.name.as_str())) {
            Some(name) => Err(ReadError::Twice(name.to_owned())),
            None if records.is_empty() => Err(ReadError::Empty),
            None => Ok(Self::new(records, format).pooled(how)),
        }
    }
}

/// The records of `{type: {name: snr}}`.
fn sorted(file: &Json) -> Result<Vec<Record>, ReadError> {
    let ratios = || file.pairs().iter().flat_map(|(kind, ratios)| ratios.pairs().iter().map(move |pair| (kind, pair)));
    let places = Places::of_modules(ratios().map(|(_, (name, _))| without_weight(name)));
    let record = |(kind, (name, value)): (&String, &(String, Json))| {
        Ok(plain(&places.place(without_weight(name)), kind.clone(), ratio(name, value)?))
    };
    ratios().map(record).collect()
}

/// The records of `{name: {"snr": snr, …}}`.
fn records(file: &Json, format: Format) -> Result<Vec<Record>, ReadError> {
    let modules = || file.pairs().iter().filter(|(_, fields)| fields.get("pool").is_none());
    if format == Format::LaserScan {
        return modules().map(|(name, fields)| Fields::new(name, fields)?.record()).collect();
    }
    let names = || modules().map(|(name, _)| without_weight(name));
    let places = Places::of_modules(names());
    let all: Vec<Place> = names().map(|name| places.place(name)).collect();
    let several = Several::among(all.iter());
    let record = |((name, fields), place): (&(String, Json), &Place)| {
        let fields = Fields::new(name, fields)?;
        let kind = if format == Format::LaserRmt { place.kind(several) } else { fields.kind()? };
        Ok(plain(place, kind, fields.ratio()?))
    };
    modules().zip(&all).map(record).collect()
}

/// How the experts were pooled.
fn pooling(file: &Json) -> Result<Pooling, ReadError> {
    let pool = file.pairs().iter().find_map(|(name, record)| Some((name, record.get("pool")?)));
    match pool.map(|(name, how)| (name, how.text())) {
        None => Ok(Pooling::None),
        Some((_, Some("mean"))) => Ok(Pooling::Mean),
        Some((_, Some("max"))) => Ok(Pooling::Max),
        Some((name, _)) => Err(ReadError::Malformed { name: name.clone(), key: "pool", expected: "'mean' or 'max'" }),
    }
}

/// A record of which nothing else is known.
fn plain(place: &Place, kind: String, snr: Option<f64>) -> Record {
    let result = snr.map(Numbers::ratio).ok_or(Unmeasured::NoRatio);
    Record { info: Info::at(place, kind), result }
}

fn without_weight(name: &str) -> &str {
    name.strip_suffix(WEIGHT).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::{InMemory, places};

    const OWN: &str = r#"{
        "model.layers.3.self_attn.q_proj": {"snr": 1.5, "module": "model.layers.3.self_attn.q_proj",
            "type": "self_attn.q_proj", "layer": 3, "shape": [8, 16], "dtype": "BF16", "target": "q"},
        "visual.merger": {"snr": null, "module": "visual.merger", "type": "merger", "layer": null, "shape": [8, 8],
            "dtype": "F32", "noise": 0, "target": ["a"], "target_is_parameter": true, "part_of": "visual"},
        "model.layers.3.experts.w1": {"snr": 2.5, "module": "x", "type": "experts.w1", "layer": 3, "shape": [8, 8],
            "dtype": "F32", "pool": "mean", "experts": 4}
    }"#;

    fn record(name: &str, kind: &str, layer: Option<usize>, snr: Option<f64>) -> Record {
        let record = plain(&places::by_name(name), kind.to_owned(), snr);
        Record { info: Info { layer, ..record.info }, ..record }
    }

    fn records(text: &str, format: Format) -> Vec<Record> {
        let scan = Scan::from_bytes(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((scan.format, scan.pooling), (format, Pooling::None), "{text}");
        scan.records
    }

    fn error(text: &str) -> String {
        Scan::from_bytes(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn the_own_file_is_read() {
        let scan = Scan::from_bytes(OWN.as_bytes()).expect("a scan");
        assert_eq!((scan.format, scan.pooling), (Format::LaserScan, Pooling::Mean));
        let known = |record: Record, memory, part_of: Option<&str>, shape, dtype: &str| {
            let (part_of, dtype) = (part_of.map(str::to_owned), Some(dtype.to_owned()));
            Record { info: Info { shape: Some(shape), dtype, memory, part_of, ..record.info }, ..record }
        };
        let first = record("model.layers.3.self_attn.q_proj", "self_attn.q_proj", Some(3), Some(1.5));
        let first = known(first, InMemory::Modules(vec!["q".into()]), None, [8, 16], "BF16");
        let second = record("visual.merger", "merger", None, Some(f64::INFINITY));
        let second = known(second, InMemory::Parameter("a".into()), Some("visual"), [8, 8], "F32");
        assert_eq!(scan.records, [first, second]);
    }

    #[test]
    fn files_of_spectrum_are_read() {
        let flat = r#"{"model.layers.0.mlp.down_proj": {"snr": 10.1, "type": "mlp.down_proj"},
            "model.layers.1.mlp.down_proj": {"snr": Infinity, "type": "mlp.down_proj"},
            "model.norm": {"snr": NaN, "type": "model.norm"}, "lm_head": {"snr": null, "type": "lm_head"}}"#;
        let sorted = r#"{"mlp.down_proj": {"model.layers.0.mlp.down_proj": 10.1, "model.layers.1.mlp.down_proj": Infinity},
            "model.norm": {"model.norm": -Infinity}, "lm_head": {"lm_head.weight": null}}"#;
        let expected = [
            record("model.layers.0.mlp.down_proj", "mlp.down_proj", Some(0), Some(10.1)),
            record("model.layers.1.mlp.down_proj", "mlp.down_proj", Some(1), Some(f64::INFINITY)),
            record("model.norm", "model.norm", None, None),
            record("lm_head", "lm_head", None, None),
        ];
        assert_eq!(records(flat, Format::Spectrum), expected);
        assert_eq!(records(sorted, Format::SpectrumSorted), expected);
    }

    #[test]
    fn types_that_a_file_does_not_give_are_those_of_a_scan() {
        let one =
            r#"{"h.0.attn.c_attn.weight": {"snr": 1, "module": "h.0.attn.c_attn"}, "h.1.attn.c_attn": {"snr": -0.0}}"#;
        let expected = [
            record("h.0.attn.c_attn", "attn.c_attn", Some(0), Some(1.0)),
            record("h.1.attn.c_attn", "attn.c_attn", Some(1), Some(0.0)),
        ];
        assert_eq!(records(one, Format::LaserRmt), expected);
        let two = r#"{"encoder.layers.0.fc1": {"snr": 1}, "decoder.layers.0.fc1": {"snr": 2}, "head": {"snr": 3}}"#;
        let kinds: Vec<String> = records(two, Format::LaserRmt).into_iter().map(|record| record.info.kind).collect();
        assert_eq!(kinds, ["encoder.fc1", "decoder.fc1", "head"]);
    }

    #[test]
    fn line_ends_and_marks_do_not_matter() {
        let text = "\u{feff} \r\n{\"é\\\"NaN\": {\"snr\": 2.5e-07,\r\n \"type\": \"x\\\\\"}, \"b\": {\"snr\": NaN, \"type\": \"\"}}\r\n\t ";
        let expected = [record("é\"NaN", "x\\", None, Some(2.5e-7)), record("b", "", None, None)];
        assert_eq!(records(text, Format::Spectrum), expected);
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
            (
                own(r#""target": ["a", "b"], "target_is_parameter": true, "target_is_matrix": true"#),
                "the 'target' of 'a' is not one name",
            ),
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
            assert!(Scan::from_bytes(&OWN.as_bytes()[..end]).is_err(), "{end}");
            let mut bytes = OWN.as_bytes().to_vec();
            bytes[end] = 0xff;
            assert!(Scan::from_bytes(&bytes).is_err(), "{end}");
        }
    }
}
