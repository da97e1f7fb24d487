//! The journal of an interrupted scan.
#![no_main]

use std::fs;

use laser_scan::measure::Journal;
use laser_scan_fuzz::folder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|journal: &[u8]| {
    let folder = folder();
    let path = folder.path().join("journal");
    fs::write(&path, journal).expect("written");
    match Journal::open(&path, false) {
        // What was understood is understood again.
        Ok(opened) => {
            drop(opened);
            let first = fs::read(&path).ok();
            drop(Journal::open(&path, false));
            assert_eq!(first, fs::read(&path).ok(), "opening a journal twice changes it twice");
        }
        Err(_) => assert_eq!(fs::read(&path).expect("readable"), journal, "a file that is refused is changed"),
    }
});
