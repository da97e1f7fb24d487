//! How the Hub is reached, by the variables that Python's huggingface_hub reads.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use laser_scan::source::HubOptions;

/// Which of a Hub model's files are read, and how.
#[derive(Debug, Args)]
pub struct HubArgs {
    /// Ask nothing of the network: read Hub models from the cache
    #[arg(
        long,
        env = "HF_HUB_OFFLINE",
        hide_env = true,
        action = ArgAction::SetTrue,
        value_parser = clap::builder::FalseyValueParser::new(),
        help_heading = "Running"
    )]
    pub offline: bool,

    /// The folder of the Hugging Face cache [default: as Python's]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub cache_dir: Option<PathBuf>,
}

impl HubArgs {
    /// How the Hub is reached.
    pub fn options(&self) -> HubOptions {
        let home = huggingface_home();
        let cache = self.cache_dir.clone();
        let cache = cache.or_else(|| path("HF_HUB_CACHE")).or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        HubOptions {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            token: token(&home),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            offline: self.offline,
        }
    }
}

/// The folder of all that Hugging Face's tools keep.
fn huggingface_home() -> PathBuf {
    let cache = || path("XDG_CACHE_HOME").or_else(|| env::home_dir().map(|home| home.join(".cache")));
    path("HF_HOME").unwrap_or_else(|| cache().unwrap_or_default().join("huggingface"))
}

/// The access token that is set, or the one that a login has left, unless that is not to be used.
fn token(home: &Path) -> Option<String> {
    let trimmed = |token: String| Some(token.trim().to_owned()).filter(|token| !token.is_empty());
    let implicit = !text("HF_HUB_DISABLE_IMPLICIT_TOKEN")
        .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str()));
    let from_file = || fs::read_to_string(path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"))).ok();
    let set = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
    set.and_then(trimmed).or_else(from_file).and_then(trimmed).filter(|_| implicit)
}

/// The variable's text, if it is set and not empty.
fn text(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// The variable's path, if it is set and not empty. A leading `~` is the home folder, as in Python.
fn path(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)?;
    match (path.strip_prefix("~"), env::home_dir()) {
        (Ok(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(path),
    }
}
