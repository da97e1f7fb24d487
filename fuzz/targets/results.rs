//! A scan's file of all numbers, ours or another program's, and a manifest beside it.
#![no_main]

use std::fs;

use laser_scan::scan;
use laser_scan::scan::manifest_of;
use laser_scan_fuzz::folder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    if let Ok(scan) = scan::read(file) {
        assert!(!scan.entries.is_empty(), "a scan without a module");
        assert!(scan.entries.iter().all(|entry| !entry.targets.is_empty()), "a module that no trainer can see");
        assert!(scan.entries.iter().all(|entry| entry.snr.is_none_or(|snr| !snr.is_nan())), "a ratio that is none");
    }
    let folder = folder();
    let path = folder.path().join("scan.json");
    fs::write(&path, b"{}").expect("written");
    fs::write(manifest_of(&path), file).expect("written");
    let _ = scan::surroundings(&path, &manifest_of(&path));
});
