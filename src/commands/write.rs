//! Writes a configuration to files or to standard output.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use laser_scan::output;
use laser_scan::trainers::{self, Export, Format};

use super::STANDARD_OUTPUT;
use super::protected::Protected;
use super::remedy::in_words;
use crate::terminal::Terminal;

/// Writes a configuration in all its forms into `folder`.
pub fn all_forms(export: &Export, folder: &Path, protected: &Protected<'_>, terminal: &Terminal) -> Result<()> {
    let paths: Vec<PathBuf> = export.documents.iter().map(|document| folder.join(&document.file)).collect();
    paths.iter().try_for_each(|path| protected.check(path, trainers::is_export))?;
    let contents = export.documents.iter().map(|document| document.text.as_bytes());
    let files: Vec<(&Path, &[u8])> = paths.iter().map(PathBuf::as_path).zip(contents).collect();
    output::write_all(&files)?;
    remark(export, &paths, terminal);
    let forms = export
        .absent
        .iter()
        .flat_map(|(format, why)| paths.first().map(|path| (path.with_extension(format.ending()), why)));
    for (path, why) in forms.filter(|(path, _)| path.exists()) {
        terminal.warn(&format!("'{}' is of an earlier choice: {why}", path.display()));
    }
    Ok(())
}

/// Prints the remarks on a configuration, and where it is.
pub fn remark(export: &Export, paths: &[PathBuf], terminal: &Terminal) {
    export.warnings.iter().for_each(|warning| terminal.warn(&in_words(warning)));
    export.notes.iter().for_each(|note| terminal.note(&in_words(note)));
    let paths: Vec<String> = paths.iter().map(|path| format!("'{}'", path.display())).collect();
    if !paths.is_empty() {
        terminal.note(&format!("wrote {}", paths.join(" and ")));
    }
}

/// Writes a configuration in one form, the default if `format` is `None`, to a file or to standard output.
pub fn one_form(
    export: &Export,
    format: Option<Format>,
    path: Option<&Path>,
    protected: &Protected<'_>,
    terminal: &Terminal,
) -> Result<()> {
    if let Some((_, why)) = export.absent.iter().find(|(absent, _)| format == Some(*absent)) {
        bail!("{why}: give it in another form");
    }
    let document = export.documents.iter().find(|document| format.is_none_or(|format| document.format == format));
    let text = document.map_or("", |document| &document.text);
    if let Some(path) = path {
        protected.check(path, trainers::is_export)?;
        output::write_all(&[(path, text.as_bytes())])?;
    } else {
        terminal.output(text.trim_end().as_bytes()).context(STANDARD_OUTPUT)?;
    }
    remark(export, path.map(Path::to_owned).as_slice(), terminal);
    Ok(())
}
