//! Whether a TOML file holds nothing but what an export writes.

/// Whether these bytes are a table of TOML whose keys are all among `keys`.
pub fn are_all(bytes: &[u8], keys: &[&str]) -> bool {
    let table = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<toml::Table>().ok());
    table.is_some_and(|table| !table.is_empty() && table.keys().all(|key| keys.contains(&key.as_str())))
}
