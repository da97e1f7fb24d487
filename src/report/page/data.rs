//! The numbers for the script, as JSON: one list for each thing that is known of the modules, which is short and is read fast.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::Page;
use super::content::{Content, Module};
use super::experts;
use super::histogram::{Histogram, curve};
use super::number::rounded;
use crate::output::digits;
use crate::trainers::{AsLoaded, STEP, TOLERANCE, Targets};

/// As many digits of a number are shown.
const DIGITS: usize = 5;

/// The data as text within a script element.
pub fn data(page: &Page<'_>, content: &Content<'_>) -> String {
    let mut modules = modules(content);
    let mut data = Map::new();
    let targets = targets(page, content, &mut modules);
    if content.has_spectra {
        let (shapes, histograms) = histograms(content);
        data.insert("curves".into(), shapes);
        modules.insert("spectrum".into(), histograms);
    }
    data.insert("file".into(), json!(page.file));
    data.insert("value".into(), json!(content.value_name()));
    data.insert("step".into(), json!(STEP));
    data.insert("tolerance".into(), json!(TOLERANCE));
    data.insert("types".into(), content.types.iter().map(|row| row.kind).collect());
    data.insert("modules".into(), Value::Object(modules));
    data.insert("targets".into(), targets);
    super::escape::json(&Value::Object(data))
}

/// What is known of each module. An infinite value is `null`; a module that is not ranked has the rank 0.
fn modules(content: &Content<'_>) -> Map<String, Value> {
    let list = |of: &dyn Fn(&Module<'_>) -> Value| content.modules.iter().map(of).collect::<Value>();
    let number = |value: Option<f64>| value.map_or(Value::Null, |value| rounded(value, DIGITS));
    let mut lists = Map::new();
    let mut insert = |key: &str, of: &dyn Fn(&Module<'_>) -> Value| lists.insert(key.into(), list(of));
    insert("name", &|module| json!(module.name));
    insert("type", &|module| json!(module.kind));
    insert("layer", &|module| json!(module.info.layer));
    insert("shape", &|module| json!(module.info.shape));
    insert("value", &|module| number(module.value));
    // Numbers are shown as the static table has them.
    insert("text", &|module| json!(module.value.map(|value| digits(value, DIGITS))));
    insert("rank", &|module| json!(module.rank));
    insert("above", &|module| json!(module.above));
    insert("below", &|module| json!(module.below));
    insert("chosen", &|module| json!(u8::from(module.is_chosen)));
    insert("eligible", &|module| json!(u8::from(module.is_eligible)));
    insert("threshold", &|module| number(module.laser.map(|laser| laser.threshold)));
    insert("largest", &|module| number(module.laser.map(|laser| laser.sigma_max)));
    insert("mp", &|module| match module.mp {
        None => Value::Null,
        Some(Err(reason)) => json!(reason.to_string()),
        Some(Ok(mp)) => json!([number(Some(mp.threshold)), number(Some(mp.sigma)), mp.signal_count]),
    });
    if content.has_moves {
        insert("ranks", &|module| module.moved.map_or(Value::Null, |moved| json!([moved.rank_a, moved.rank_b])));
    }
    lists.insert("column".into(), json!(experts::columns(content)));
    lists
}

/// The curves of noise of each shape, and each module's histogram: where its axis begins and ends, the count of its highest bar,
/// and the bars.
fn histograms(content: &Content<'_>) -> (Value, Value) {
    let mut curves = Map::new();
    let histogram = |module: &Module<'_>| {
        let spectrum = module.spectrum?;
        let edge = module.mp.and_then(|mp| mp.as_ref().ok()).map_or(0.0, |mp| mp.threshold);
        let threshold = module.laser.map_or(0.0, |laser| laser.threshold);
        let Histogram { low, high, peak, bars } = Histogram::new(&spectrum.values, &[threshold, edge])?;
        Some(json!([rounded(low, DIGITS), rounded(high, DIGITS), peak, bars]))
    };
    for spectrum in content.modules.iter().filter_map(|module| module.spectrum) {
        let [rows, columns] = spectrum.shape;
        let key = format!("{rows},{columns}");
        curves.entry(key).or_insert_with(|| curve(spectrum.shape));
    }
    (Value::Object(curves), content.modules.iter().map(histogram).collect())
}

/// What trainers see of the modules: the names in memory, what each costs, and which belong to a module.
///
/// A target can be trained only if all modules that it holds are chosen, so that it is said how many they are.
fn targets(page: &Page<'_>, content: &Content<'_>, modules: &mut Map<String, Value>) -> Value {
    let targets = Targets::new(page.selection.scan, None, &AsLoaded);
    let mut owner: HashMap<usize, usize> = HashMap::new();
    for (place, module) in content.modules.iter().enumerate() {
        owner.extend(module.members.iter().map(|member| (*member, place)));
    }
    let mut of = vec![Vec::new(); content.modules.len()];
    let mut lists: [Vec<Value>; 6] = Default::default();
    for target in &targets.all {
        let mut holders: Vec<Option<usize>> = target.members.iter().map(|member| owner.get(member).copied()).collect();
        holders.sort_unstable();
        holders.dedup();
        let Some(first) = holders.iter().flatten().next() else { continue };
        let name = if content.modules[*first].name == target.name { Value::Null } else { json!(target.name) };
        holders.iter().flatten().for_each(|module| of[*module].push(lists[0].len()));
        let values = [
            name,
            json!(holders.len()),
            json!(target.cost.map(|cost| cost.sides)),
            json!(target.limit),
            json!(u8::from(target.is_parameter)),
            json!(u8::from(target.is_head)),
        ];
        lists.iter_mut().zip(values).for_each(|(list, value)| list.push(value));
    }
    modules.insert("targets".into(), json!(of));
    let plain = targets.plain().map(|(cost, count)| json!({"sides": cost.sides, "count": count}));
    let [name, held, sides, limit, parameter, head] = lists;
    json!({
        "name": name, "held": held, "sides": sides, "limit": limit, "parameter": parameter, "head": head, "plain": plain,
    })
}
