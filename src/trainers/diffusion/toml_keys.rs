//! Whether a TOML file holds nothing but what an export writes.

/// Whether these bytes are a table of TOML whose keys are all among `keys`.
pub fn are_all(bytes: &[u8], keys: &[&str]) -> bool {
    table(bytes).is_some_and(|table| is_of(&table, keys))
}

/// Whether these bytes are one table of TOML, called `section`, whose keys are all among `keys`.
pub fn are_of_section(bytes: &[u8], section: &str, keys: &[&str]) -> bool {
    let Some(table) = table(bytes) else { return false };
    is_of(&table, &[section]) && table[section].as_table().is_some_and(|within| is_of(within, keys))
}

fn table(bytes: &[u8]) -> Option<toml::Table> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn is_of(table: &toml::Table, keys: &[&str]) -> bool {
    !table.is_empty() && table.keys().all(|key| keys.contains(&key.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_with_more_in_it_is_a_persons() {
        let is_own = |text: &str| are_of_section(text.as_bytes(), "adapter", &["type", "rank"]);
        assert!(is_own("[adapter]\ntype = 'lora'\nrank = 8\n"));
        for text in [
            "",
            "adapter = 1\n",
            "[adapter]\n",
            "[adapter]\nrank = 8\ndtype = 'x'\n",
            "a = 1\n[adapter]\nrank = 8\n",
            "[",
        ] {
            assert!(!is_own(text), "{text}");
        }
    }
}
