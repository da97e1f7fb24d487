//! What the README says of formats, row by row, is what the catalogue holds.

use super::{entries, formats};
use crate::support::program::in_project;

#[test]
fn every_row_of_the_catalogue_stands_in_the_readme() {
    let readme = std::fs::read_to_string(in_project("README.md")).expect("a README");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with('|') && line.contains("<!--")).collect();
    let listed: Vec<&str> = rows
        .iter()
        .filter_map(|row| row.split_once("<!--").and_then(|(_, rest)| rest.split_once("-->")))
        .flat_map(|(names, _)| names.split_whitespace())
        .collect();
    for name in formats().iter().chain(&entries("quantized/refused")) {
        assert!(listed.contains(&name.as_str()), "{name} is in the catalogue, but not in the README");
    }
    for name in &listed {
        let is_there = ["quantized", "quantized/refused", "pickle"]
            .iter()
            .any(|folder| entries(folder).iter().any(|entry| entry == name));
        assert!(is_there, "{name} is in the README, but not in the catalogue");
    }
}
