//! A configuration that is edited in place. Whatever the edit leaves behind has to be what it says to another parser too.
#![no_main]

use laser_scan::config::edit;
use laser_scan::trainers::yaml::Value;
use libfuzzer_sys::fuzz_target;
use yaml_serde::Value as Yaml;

fuzz_target!(|text: &str| {
    let targets = vec!["model.layers.0.self_attn.q_proj".to_owned(), "- it's \"odd\": #1".to_owned()];
    let settings = [
        ("adapter", Value::Text("lora".into())),
        ("lora_r", Value::Number(64)),
        ("lora_alpha", Value::Decimal(0.5)),
        ("lora_target_linear", Value::Flag(false)),
        ("lora_target_modules", Value::List(targets)),
        ("rank_pattern", Value::Map(vec![("lm_head".into(), 8)])),
    ];
    let Ok(edited) = edit(text, &settings) else { return };
    // What the other parser cannot read before the edit it need not read after it.
    let Ok(before) = parse(text) else { return };
    let after = parse(&edited.text).expect("an edited configuration can be read");
    let mut expected = match before {
        Yaml::Null => yaml_serde::Mapping::new(),
        Yaml::Mapping(mapping) => mapping,
        other => panic!("{other:?} is no mapping, and was edited"),
    };
    for (key, value) in &settings {
        expected.insert((*key).into(), yaml(value));
    }
    assert_eq!(Yaml::Mapping(expected), after, "an edit changed something else");
});

/// What the other parser reads. It is told the encoding, and so counts a byte order mark as a column, which PyYAML passes over.
fn parse(text: &str) -> yaml_serde::Result<Yaml> {
    yaml_serde::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// A value as the other parser reads it.
fn yaml(value: &Value) -> Yaml {
    match value {
        Value::Flag(flag) => (*flag).into(),
        Value::Number(number) => (*number).into(),
        Value::Decimal(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => Yaml::Sequence(items.iter().map(|item| item.as_str().into()).collect()),
        Value::Map(pairs) => {
            Yaml::Mapping(pairs.iter().map(|(key, number)| (key.as_str().into(), (*number).into())).collect())
        }
    }
}
