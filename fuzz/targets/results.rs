//! A scan's file of all numbers, ours or another program's, and a manifest beside it.
#![no_main]

use std::fs;

use laser_scan::scan::{Scan, manifest_of};
use laser_scan_fuzz::folder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    if let Ok(scan) = Scan::from_bytes(file) {
        assert!(!scan.records().is_empty(), "a scan without a module");
        let names = |record: &laser_scan::scan::Record| record.info.memory.names().len();
        assert!(scan.records().iter().all(|record| names(record) > 0), "a module that no trainer can see");
        assert!(
            scan.records().iter().all(|record| record.snr().is_none_or(|snr| !snr.is_nan())),
            "a ratio that is none"
        );
        // What is written is read as the same, if anything is: a file that somebody made may call a pool as a module.
        let is_named = |name: &str| scan.records().iter().any(|record| record.info.name == name);
        let is_measured = scan.records().iter().any(|record| record.snr().is_some());
        if is_measured && !scan.pools().iter().any(|pool| is_named(&pool.name)) {
            let written = scan.full_json();
            let again = Scan::from_bytes(&written).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(String::from_utf8(again.full_json()), String::from_utf8(written));
        }
    }
    let folder = folder();
    let path = folder.path().join("scan.json");
    fs::write(&path, br#"{"a": {"snr": 1, "type": "t"}}"#).expect("written");
    fs::write(manifest_of(&path), file).expect("written");
    let _ = Scan::read(&path).expect("a scan").read_manifest(&path);
});
