//! The options that help with an error of the library, wherever it was raised.

use std::error::Error as StdError;

use anyhow::{Error, anyhow};
use laser_scan::checkpoint::CheckpointError;
use laser_scan::measure::JournalError;
use laser_scan::modules::{FilterError, NoModuleError, Reason};
use laser_scan::scan::SpectraError;
use laser_scan::source::SourceError;
use laser_scan::spectrum::DeviceError;

/// The error in the words of the command line: with the option that it is about before it, or options that help after it.
pub fn with_options(error: Error) -> Error {
    let (before, after) = error.chain().find_map(options).unwrap_or_default();
    if (before, after) == ("", "") { error } else { anyhow!("{before}{error:#}{after}") }
}

/// What stands before and after an error, if its `cause` is one that options help with.
fn options(cause: &(dyn StdError + 'static)) -> Option<(&'static str, &'static str)> {
    if let Some(CheckpointError::Source(error)) = cause.downcast_ref() {
        Some(("", source_options(error)))
    } else if let Some(error) = cause.downcast_ref() {
        Some(("", source_options(error)))
    } else if let Some(error) = cause.downcast_ref() {
        Some(filter_options(error))
    } else if let Some(NoModuleError { left_out, .. }) = cause.downcast_ref() {
        Some(("", left_out.as_ref().map_or("", scanning)))
    } else if cause.is::<SpectraError>() {
        Some(("", "; scan again, or use --statistic laser"))
    } else if let Some(JournalError::InUse(_)) = cause.downcast_ref() {
        Some(("", ", or choose another --output-dir"))
    } else {
        match cause.downcast_ref()? {
            DeviceError::NoCuda | DeviceError::NoGpu(_) => Some(("", ", or use --device cpu")),
            DeviceError::Unusable { .. } => Some(("", "; or use --device cpu")),
            DeviceError::Unknown(_) | DeviceError::NoSuchGpu { .. } => None,
        }
    }
}

fn source_options(error: &SourceError) -> &'static str {
    match error {
        SourceError::NoRevisions(_) => ": leave out --revision, or spell the name so that no such path exists",
        SourceError::Network { .. } | SourceError::Unreachable { .. } => {
            ", or use --offline with a model that is in the cache"
        }
        SourceError::NotCached { .. } => ": run the same line with a network, and without --offline and HF_HUB_OFFLINE",
        SourceError::CacheUnwritable { .. } => "; name another with --cache-dir or HF_HUB_CACHE",
        _ => "",
    }
}

fn filter_options(error: &FilterError) -> (&'static str, &'static str) {
    match error {
        FilterError::Malformed { .. } => ("", ""),
        FilterError::NoMatch { left_out: Some(reason), .. } => ("--include ", scanning(reason)),
        FilterError::NoMatch { .. } => ("--include ", ""),
        FilterError::NothingExcluded { .. } => ("--exclude ", ""),
        FilterError::NothingLeft => ("--exclude leaves no module to scan: ", ""),
    }
}

/// The option with which modules are scanned that were left out for this `reason`.
fn scanning(reason: &Reason) -> &'static str {
    match reason {
        Reason::Role(role) if role.is_linear() => "; --all-linear scans those too",
        Reason::Convolution => "; --include-conv scans those too",
        _ => "",
    }
}
