//! `laser-scan export --into`.

use anyhow::{Context, Result};
use laser_scan::config::Config;
use laser_scan::trainers::Export;

use super::advice::Advise;
use super::{STANDARD_OUTPUT, write};
use crate::terminal::Terminal;

/// Sets the keys of `export` in a person's configuration, or shows what would change.
pub fn edit(config: &Config, export: &Export, dry_run: bool, terminal: &Terminal) -> Result<()> {
    let edited = config.edit(export).map_err(Advise::with_advice)?;
    let warnings = config.warnings(&edited, export)?;
    write::remark(export, &[], terminal);
    warnings.iter().for_each(|warning| terminal.warn(warning));
    let backup = if dry_run { None } else { config.write(&edited)? };
    if edited.changed.is_empty() {
        terminal.note(&format!("'{}' says all that already", config.path().display()));
    } else if let Some(backup) = backup {
        terminal.edited(config.path(), &backup, &edited.changed);
    } else {
        let difference = config.difference(&edited);
        let shown = difference.strip_suffix('\n').unwrap_or(&difference);
        terminal.output(shown.as_bytes()).context(STANDARD_OUTPUT)?;
    }
    Ok(())
}
