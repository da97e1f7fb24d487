//! Whether anything vouches for the names in memory of what is chosen.

use super::ExportError;
use super::diffusion::{self, Form};
use super::document::Remark;
use super::resolve::listed;
use crate::modules::{Info, KnownBy, is_renamed_elsewhere};
use crate::select::Selection;

/// The warning that names are guessed, if those of some chosen modules are. Fails if the guess must be wrong: if a library
/// has the architecture, but none of these modules, or if it is known to rename such modules of other architectures.
pub fn vouched(selection: &Selection<'_>) -> Result<Option<Remark>, ExportError> {
    // The tables of diffusion models have the names of single files in their original form, which no library's class has.
    if diffusion::family(selection.scan).is_some_and(|(_, form)| form == Form::Original) {
        return Ok(None);
    }
    let records = selection.scan.records();
    let fits = |info: &Info| info.known_by != KnownBy::NoFit;
    if let Some(first) = records.first().filter(|_| !records.iter().any(|record| fits(&record.info))) {
        return Err(ExportError::NoFit(first.info.name.clone()));
    }
    let chosen = selection.chosen().flat_map(|candidate| candidate.members()).map(|place| &records[*place].info);
    let guessed: Vec<&Info> =
        chosen.filter(|info| matches!(info.known_by, KnownBy::Nothing | KnownBy::NoFit)).collect();
    if let Some(renamed) = guessed.iter().find(|info| is_renamed_elsewhere(&info.name)) {
        return Err(ExportError::Renamed(renamed.name.clone()));
    }
    let names: Vec<&str> = guessed.iter().flat_map(|info| info.memory.names()).map(String::as_str).collect();
    let text = |names| {
        format!(
            "nothing vouches for the names in memory of {names}, as no library's class is known to have them: compare them \
             with the loaded model's, which `model.named_parameters()` gives, before you train"
        )
    };
    Ok((!names.is_empty()).then(|| text(listed(&names)).into()))
}
