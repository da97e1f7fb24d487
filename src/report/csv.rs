//! A selection -> a table with one row for each measured module, for other programs.

use std::collections::HashMap;

use csv::Writer;

use crate::scan::Record;
use crate::select::Selection;
use crate::statistic::{Statistic, Statistics};

/// The columns. `rank` is the place within the type, from 1, and `chosen` says whether the rules chose the module.
#[rustfmt::skip]
const COLUMNS: [&str; 32] = [
    "module", "type", "layer", "rows", "columns", "dtype", "target", "target_is_parameter", "rank", "chosen",
    "snr", "sigma_max", "sigma", "threshold", "signal", "noise", "signal_count", "noise_count",
    "mp", "mp_sigma", "mp_threshold", "mp_signal", "mp_noise", "mp_signal_count", "mp_noise_count", "mp_share",
    "effective_rank", "alpha", "margin",
    "delta_norm", "base_norm", "relative_norm",
];

/// The measured modules in model order, with every number that is known. Infinite numbers are `inf`, which pandas and polars read
/// as such; what is not known or not defined is empty. Of pooled experts, each has the rank of its pool.
pub fn csv(selection: &Selection<'_>) -> Vec<u8> {
    let ranks = selection.ranks();
    let by_place: HashMap<usize, usize> = selection
        .ranked
        .iter()
        .zip(&ranks)
        .flat_map(|(candidate, rank)| candidate.members().iter().map(move |place| (*place, *rank)))
        .collect();
    let chosen: std::collections::HashSet<usize> =
        selection.chosen().flat_map(|candidate| candidate.members()).copied().collect();
    let mut table = Writer::from_writer(Vec::new());
    let records = selection.scan.records().iter().enumerate().filter(|(_, record)| record.result.is_ok());
    let rows = records.map(|(place, record)| row(record, by_place.get(&place).copied(), chosen.contains(&place)));
    for row in std::iter::once(COLUMNS.map(str::to_owned)).chain(rows) {
        // Writing to memory does not fail, and all rows have the same length.
        let _ = table.write_record(row);
    }
    table.into_inner().unwrap_or_default()
}

fn row(record: &Record, rank: Option<usize>, is_chosen: bool) -> [String; 32] {
    let info = &record.info;
    let numbers = record.result.as_ref().ok();
    let laser = numbers.and_then(|numbers| numbers.statistic.as_ref());
    let others = numbers.and_then(|numbers| numbers.statistics.as_deref());
    let of_laser = |number: fn(&Statistic) -> f64| text(laser.map(number));
    let of_others = |number: fn(&Statistics) -> Option<f64>| text(others.and_then(number));
    let delta = numbers.and_then(|numbers| numbers.delta);
    let mp = others.and_then(|others| others.mp.as_ref().ok());
    let extent = |axis: usize| text(info.shape.map(|shape| shape[axis]));
    [
        info.name.clone(),
        info.kind.clone(),
        text(info.layer),
        extent(0),
        extent(1),
        info.dtype.clone().unwrap_or_default(),
        info.memory.names().join(" "),
        info.memory.parameter().is_some().to_string(),
        text(rank),
        is_chosen.to_string(),
        text(record.snr()),
        of_laser(|laser| laser.sigma_max),
        of_laser(|laser| laser.sigma),
        of_laser(|laser| laser.threshold),
        of_laser(|laser| laser.signal),
        of_laser(|laser| laser.noise),
        text(laser.map(|laser| laser.signal_count)),
        text(laser.map(|laser| laser.noise_count)),
        text(mp.map(|mp| mp.value)),
        text(mp.map(|mp| mp.sigma)),
        text(mp.map(|mp| mp.threshold)),
        text(mp.map(|mp| mp.signal)),
        text(mp.map(|mp| mp.noise)),
        text(mp.map(|mp| mp.signal_count)),
        text(mp.map(|mp| mp.noise_count)),
        text(mp.map(|mp| mp.share)),
        of_others(|others| others.effective_rank.as_ref().ok().copied()),
        of_others(|others| others.alpha.as_ref().ok().copied()),
        of_others(|others| others.margin),
        text(delta.map(|delta| delta.norm)),
        text(delta.map(|delta| delta.base_norm)),
        text(delta.map(|delta| delta.relative_norm())),
    ]
}

/// A value as text, with as many digits as are needed to read it back exactly; empty without one.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Scan;
    use crate::select::{Count, Rules, Types};

    #[test]
    fn numbers_come_back_exactly_and_infinite_ones_are_inf() {
        let text = r#"{
            "a.0.q": {"snr": null, "module": "a.0.q", "type": "q", "layer": 0, "shape": [4, 8], "dtype": "F32", "noise": 0},
            "a.1.q": {"snr": 0.30000000000000004, "module": "a.1.q", "type": "q", "layer": 1, "shape": [4, 8], "dtype": "F32"},
            "b,\"c": {"snr": 0.5, "module": "b,\"c", "type": "c", "layer": null, "shape": [4, 8], "dtype": "F32"}
        }"#;
        let scan = Scan::from_bytes(text.as_bytes()).expect("a scan");
        let rules = Rules { count: Count::Top(1), global: false, budget: None, types: Types::default(), layers: None };
        let table = csv(&Selection::new(&scan, &rules).expect("chosen"));
        let mut reader = csv::Reader::from_reader(&table[..]);
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
        let of = |row: usize, column: &str| {
            let at = COLUMNS.iter().position(|known| *known == column).expect("a column");
            rows[row][at].to_owned()
        };
        assert_eq!((of(0, "snr"), of(1, "snr")), ("inf".into(), "0.30000000000000004".into()));
        assert_eq!((of(0, "rank"), of(1, "rank"), of(0, "chosen")), ("1".into(), "2".into(), "true".into()));
        assert_eq!((of(2, "module"), of(2, "layer"), of(2, "mp")), ("b,\"c".into(), String::new(), String::new()));
    }
}
