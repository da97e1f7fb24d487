//! Messages on standard error, for machines.

use serde_json::Value;

use crate::support::program::{Run, Workplace, tiny_mistral};

/// The events on standard error, each of which has a time.
fn events(run: &Run) -> Vec<Value> {
    let event = |line: &str| -> Value { serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")) };
    let events: Vec<Value> = run.stderr.lines().map(event).collect();
    assert!(
        events.iter().all(|event| event["time"].as_str().is_some_and(|time| time.ends_with('Z'))),
        "{}",
        run.stderr
    );
    events
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn a_run_in_json_has_an_event_for_each_module_and_for_its_ends() {
    let place = Workplace::new();
    let run = place.run(&["--model", &tiny_mistral(), "--log-format", "json", "--device", "cpu"]);
    let events = events(run.succeeded());
    let modules = named(&events, "module");
    let full = place.json("laser_scan_tiny-mistral.json");
    assert_eq!(modules.len(), full.as_object().map_or(0, serde_json::Map::len));
    for event in modules {
        assert_eq!(event["snr"], full[event["module"].as_str().expect("a name")]["snr"]);
        assert!(event["seconds"].as_f64() > Some(0.0));
    }
    let begin = named(&events, "begin");
    assert_eq!((begin.len(), begin[0]["modules"].as_u64(), &begin[0]["part"]), (1, Some(28), &Value::Null));
    let done = named(&events, "done");
    assert_eq!((done.len(), done[0]["files"].as_array().map(Vec::len)), (1, Some(4)));
    assert!(
        named(&events, "note")
            .iter()
            .any(|note| note["message"].as_str().is_some_and(|text| text.starts_with("wrote ")))
    );
}

#[test]
fn errors_and_quiet_runs_are_json_too() {
    let place = Workplace::new();
    let run = place.run(&["--model", "./nowhere", "--log-format", "json"]);
    assert_eq!(run.status, 1);
    let errors = events(&run);
    assert_eq!((errors.len(), &errors[0]["event"]), (1, &Value::from("error")));
    assert!(errors[0]["message"].as_str().is_some_and(|text| text.contains("./nowhere")));
    let quiet = place.run(&["--model", &tiny_mistral(), "--log-format", "json", "-q"]);
    assert_eq!(quiet.succeeded().stderr, "");
}
