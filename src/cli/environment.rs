//! The options of the Hub, and environment variables: those that Python's huggingface_hub reads, and this program's own.

use std::env;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{ArgAction, Args};
use laser_scan::source::{HubOptions, SourceOptions, StoreOptions, Token};

use super::UsageError;

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
    pub fn options(&self) -> SourceOptions {
        SourceOptions { hub: self.hub(), stores: stores() }
    }

    fn hub(&self) -> HubOptions {
        let home = huggingface_home();
        let cache = self.cache_dir.clone();
        let cache = cache.or_else(|| path("HF_HUB_CACHE")).or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        HubOptions {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            token: token(&home),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            // Python's requests looks at them in this order, and expands nothing in them.
            certificates: text("REQUESTS_CA_BUNDLE").or_else(|| text("CURL_CA_BUNDLE")).map(PathBuf::from),
            offline: self.offline,
        }
    }
}

/// The variables that the tools of the object stores' owners read, too.
pub fn stores() -> StoreOptions {
    let is_of_store = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start));
    let all = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    StoreOptions { variables: all.filter(|(name, _)| is_of_store(name)).collect() }
}

/// The folder in which Hugging Face's tools keep their files.
fn huggingface_home() -> PathBuf {
    let cache = || path("XDG_CACHE_HOME").or_else(|| env::home_dir().map(|home| home.join(".cache")));
    path("HF_HOME").unwrap_or_else(|| cache().unwrap_or_default().join("huggingface"))
}

/// The access token from a variable, or else from the file of a login; none if implicit tokens are disabled.
fn token(home: &Path) -> Option<Token> {
    let implicit = !text("HF_HUB_DISABLE_IMPLICIT_TOKEN")
        .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str()));
    let set = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].map(|variable| Some((text(variable)?, variable.to_owned())));
    let from_file = || {
        let path = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let text = String::from_utf8_lossy(&fs::read(&path).ok()?).into_owned();
        Some((text, format!("the file '{}'", path.display())))
    };
    let usable = |(text, origin): (String, String)| {
        Some(Token { text: text.trim().to_owned(), origin }).filter(|token| !token.text.is_empty())
    };
    let set = set.into_iter().flatten().next().and_then(usable);
    set.or_else(|| from_file().and_then(usable)).filter(|_| implicit)
}

/// The variable's text as a value of an option, if it is set and not empty.
pub fn value<T: FromStr<Err: Display>>(variable: &str) -> Result<Option<T>, UsageError> {
    let read = |text: String| text.parse().map_err(|error| UsageError::value(format!("{variable}: {error}")));
    text(variable).map(read).transpose()
}

/// The variable's text, if it is set and not empty. Invalid Unicode becomes replacement characters.
fn text(variable: &str) -> Option<String> {
    env::var_os(variable).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// The variable's path, if it is set and not empty. As in Python, a leading `~` is the home folder, and `$NAME` and
/// `${NAME}` are other variables; one that is not set stays as it is written.
pub fn path(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|value| !value.is_empty())?;
    let Some(text) = path.to_str() else { return Some(path.into()) };
    let home = || env::home_dir().and_then(|home| home.into_os_string().into_string().ok());
    let expanded = shellexpand::full_with_context_no_errors(text, home, |name| env::var(name).ok());
    Some(PathBuf::from(expanded.into_owned()))
}
