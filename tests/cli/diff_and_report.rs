//! What moved between two scans, and the page of one.

use std::fs;

use serde_json::{Value, json};

use crate::support::program::{Workplace, tiny_mistral};
use crate::support::scans::write;

/// Writes `a.json` and `b.json`, in whose type `up` the first and the last of four modules change places.
fn write_two(place: &Workplace) {
    let scan = |ratios: [f64; 4]| {
        let record = |layer: usize| json!({ "snr": ratios[layer], "type": "mlp.up_proj" });
        let name = |layer: usize| format!("model.layers.{layer}.mlp.up_proj");
        let records = (0..4).map(|layer| (name(layer), record(layer)));
        Value::Object(
            records
                .chain([("model.layers.8.mlp.down_proj".to_owned(), json!({"snr": 1, "type": "mlp.down_proj"}))])
                .collect(),
        )
    };
    write(place, "a.json", &scan([4.0, 3.0, 2.0, 1.0]));
    let mut b = scan([1.0, 3.0, 2.0, 4.0]);
    b.as_object_mut().expect("an object").remove("model.layers.8.mlp.down_proj");
    b["model.layers.9.mlp.up_proj"] = json!({ "snr": 1, "type": "mlp.up_proj" });
    write(place, "b.json", &b);
}

#[test]
fn moves_are_counted_by_type() {
    let place = Workplace::new();
    write_two(&place);
    let run = place.run(&["diff", "a.json", "b.json", "--json", "--top-n", "2"]);
    let diff: Value = serde_json::from_str(&run.succeeded().stdout).expect("JSON");
    let r#type = &diff["types"][0];
    // scipy.stats.spearmanr([4, 3, 2, 1], [1, 3, 2, 4]) is -0.8.
    assert!((r#type["spearman"].as_f64().expect("a number") + 0.8).abs() < 1e-12, "{diff}");
    assert_eq!((&r#type["pairs"], &r#type["top"], &r#type["common"]), (&json!(4), &json!(2), &json!(1)));
    assert_eq!((&r#type["moves"][3]["rank_a"], &r#type["moves"][3]["rank_b"]), (&json!(4), &json!(1)));
    assert_eq!(
        (&diff["only_in_a"], &diff["only_in_b"]),
        (&json!(["model.layers.8.mlp.down_proj"]), &json!(["model.layers.9.mlp.up_proj"]))
    );

    let table = place.run(&["diff", "a.json", "b.json", "--moves", "1"]);
    for part in [
        "mlp.up_proj        4  -0.8000",
        "model.layers.3.mlp.up_proj",
        "4 -> 1",
        "+300.000 %",
        "1 module only in the first: model.layers.8.mlp.down_proj",
    ] {
        assert!(table.succeeded().stdout.contains(part), "{part}: {}", table.stdout);
    }
    assert!(!table.stdout.contains("model.layers.0.mlp.up_proj"), "one move is shown: {}", table.stdout);
    assert_eq!(place.run(&["diff", "a.json", "b.json", "-q"]).succeeded().stdout, "");
}

#[test]
fn scans_without_a_common_module_are_refused() {
    let place = Workplace::new();
    write_two(&place);
    fs::write(place.path("c.json"), r#"{"x": {"snr": 1, "type": "t"}}"#).expect("written");
    place.run(&["diff", "a.json", "c.json"]).refused(1, &["'a.json' and 'c.json'", "one architecture"]);
    place.run(&["diff", "a.json", "none.json"]).refused(1, &["cannot read 'none.json'"]);
    place.run(&["diff", "a.json"]).refused(2, &["<B.json>"]);
}

#[test]
fn a_scan_becomes_a_page() {
    let place = Workplace::new();
    place.run(&["--model", &tiny_mistral(), "-q"]).succeeded();
    place.run(&["report", "laser_scan_tiny-mistral.json", "--top-n", "1"]).succeeded();
    let page = String::from_utf8(place.bytes("laser_scan_tiny-mistral.html")).expect("UTF-8");
    assert!(
        page.contains("<h1>tiny-mistral</h1>") && page.contains("28 modules, <span data-chosen='all'>7</span> chosen"),
        "{}",
        &page[..2000]
    );
    assert_eq!(page.matches("<th scope='row'><button type='button'>model.<wbr>layers.").count(), 28);
    write_two(&place);
    place.run(&["report", "a.json", "-o", "sub/page.html"]).succeeded();
    assert!(place.path("sub/page.html").exists());
    place.run(&["report", "a.json", "-o", "a.json"]).refused(1, &["'a.json' belongs to the scan itself"]);
    fs::create_dir(place.path("folder")).expect("created");
    place.run(&["report", "a.json", "-o", "folder"]).refused(1, &["folder"]);
}
