//! `laser-scan export --into`.

use anyhow::{Context, Result};
use laser_scan::config::Config;
use laser_scan::trainers::Export;

use super::way_out::WayOut;
use super::{STANDARD_OUTPUT, place};
use crate::terminal::Terminal;

/// Sets the keys of `export` in a person's configuration, or shows what that would change.
pub fn edit(config: &Config, export: &Export, dry_run: bool, terminal: &Terminal) -> Result<()> {
    let edited = config.edit(export).map_err(WayOut::with_way_out)?;
    let warnings = config.warnings(&edited, export)?;
    place::tell(export, &[], terminal);
    warnings.iter().for_each(|warning| terminal.warn(warning));
    let kept = if dry_run { None } else { config.write(&edited)? };
    if edited.changed.is_empty() {
        terminal.note(&format!("'{}' says all that already", config.path().display()));
    } else if let Some(kept) = kept {
        terminal.edited(config.path(), &kept, &edited.changed);
    } else {
        let difference = config.difference(&edited);
        let shown = difference.strip_suffix('\n').unwrap_or(&difference);
        terminal.output(shown.as_bytes()).context(STANDARD_OUTPUT)?;
    }
    Ok(())
}
