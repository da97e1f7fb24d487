//! A model's name -> files on disk.
//!
//! A [`Source`] is a folder or a file here ([`local`]) or a repository of the Hugging Face Hub ([`hub`]). It answers what
//! files there are, gives a range of bytes of one without fetching the rest, and brings a whole one to disk.

pub mod hub;
pub mod local;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use hub::HubOptions;

/// The pause after the first failure of a request; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause, also where the Hub asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Where a model's files come from.
pub trait Source: Sync {
    /// What the model is called.
    fn model(&self) -> &Model;

    /// The one file that was asked for, weights or an index of weights, where that was a file and not a whole model.
    fn single_file(&self) -> Option<&str>;

    /// The names of all files, relative to the model's folder, with `/` between folders.
    fn files(&self) -> Vec<String>;

    /// The size of `file` in bytes; `None` if there is no such file.
    fn size(&self, file: &str) -> Option<u64>;

    /// Whether [`Source::fetch`] would find `file` on disk.
    fn is_on_disk(&self, file: &str) -> bool;

    /// The bytes `range` of `file`, or as many of them as there are.
    ///
    /// # Errors
    ///
    /// Fails if the file is missing or cannot be read.
    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError>;

    /// A string that changes when the content of `file` does.
    ///
    /// # Errors
    ///
    /// Fails if the file is missing or cannot be looked up.
    fn identity(&self, file: &str) -> Result<String, SourceError>;

    /// Brings `file` to disk whole and says where it lies; `progress` hears of a download.
    ///
    /// # Errors
    ///
    /// Fails if the file is missing, or if a download fails for good. What has arrived by then is kept.
    fn fetch(&self, file: &str, progress: &dyn Fn(Transfer)) -> Result<PathBuf, SourceError>;
}

/// What a model is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// As the user spells it.
    pub spelling: String,
    /// The last part of its name, of which the names of output files are made.
    pub name: String,
    /// The commit that every file is read at, for a model of the Hub.
    pub commit: Option<String>,
}

/// News of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Another process is downloading the same file; this one waits for it.
    Waiting,
    /// Bytes begin to come.
    Started {
        /// The file's size.
        size: u64,
        /// Bytes that an earlier download had brought.
        resumed_at: u64,
    },
    /// So many bytes of the file are on disk.
    Received(u64),
    /// The connection failed; the download goes on after a pause.
    Retrying {
        /// What happened.
        reason: String,
        /// The pause.
        pause: Duration,
    },
}

/// Why a model or one of its files cannot be had. The message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The name is neither a path that exists nor a Hub id.
    #[error("there is no file or folder '{0}', and it is no Hub id of the form org/name either: {advice}", advice = spelling_advice(.0))]
    NoSuchPath(String),
    /// A revision of something that has none.
    #[error(
        "'{0}' is on this machine and has no revisions: leave out --revision, or spell the name so that no such path exists"
    )]
    NoRevisions(String),
    /// A file of another kind.
    #[error("'{0}' is no .safetensors or .bin file: name a model's folder, one such file, or a Hub id")]
    NotWeights(String),
    /// A GGUF file.
    #[error(
        "'{0}' is a GGUF file, whose weights are quantised for inference: name the model in safetensors form that it was made from"
    )]
    Gguf(String),
    /// A local file or folder cannot be read.
    #[error("cannot read '{path}': {error}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A model has no such file.
    #[error("the model '{model}' has no file '{file}'")]
    NoSuchFile {
        /// The model.
        model: String,
        /// The file.
        file: String,
    },
    /// The Hub knows no such model, or hides it.
    #[error("there is no folder '{id}' here, and the Hub has no model '{id}', or it is private: check the spelling{}", token_advice(.had_token))]
    NoSuchModel {
        /// The Hub id.
        id: String,
        /// Whether a token was sent.
        had_token: bool,
    },
    /// The model's authors grant access one by one.
    #[error("the model '{id}' is gated: accept its terms at {url}, then set HF_TOKEN to a token of that account{}", .had_token.then_some(" (the token that is set has no access)").unwrap_or_default())]
    Gated {
        /// The Hub id.
        id: String,
        /// The model's page.
        url: String,
        /// Whether a token was sent.
        had_token: bool,
    },
    /// The Hub refuses the token.
    #[error("the Hub refuses access to the model '{id}'{}", token_advice(.had_token))]
    NoAccess {
        /// The Hub id.
        id: String,
        /// Whether a token was sent.
        had_token: bool,
    },
    /// The model has no such branch, tag or commit.
    #[error("the model '{id}' has no revision '{revision}': name a branch, a tag or a full commit hash")]
    NoSuchRevision {
        /// The Hub id.
        id: String,
        /// The revision asked for.
        revision: String,
    },
    /// The revision cannot be part of a path.
    #[error("'{0}' is no revision: name a branch, a tag or a full commit hash")]
    BadRevision(String),
    /// Too many requests.
    #[error("the Hub limits the rate of requests: wait a few minutes, or set HF_TOKEN, and run the same line again")]
    RateLimited {
        /// How long the Hub asks to wait.
        retry_after: Option<Duration>,
    },
    /// The Hub cannot be reached.
    #[error(
        "the Hub cannot be reached ({reason}): check the network, or use --offline with a model that is in the cache"
    )]
    Network {
        /// The transport's reason.
        reason: String,
    },
    /// The Hub answered, but with nonsense or an error of its own.
    #[error("the Hub's answer about '{what}' is not usable: {reason}")]
    Protocol {
        /// The file or model asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A download failed for good.
    #[error(
        "the download of '{file}' broke off {attempts} times without getting on ({reason}): run the same line again to go on from byte {received}"
    )]
    BrokenOff {
        /// The file.
        file: String,
        /// How often it was tried.
        attempts: u32,
        /// The last reason.
        reason: String,
        /// What is on disk.
        received: u64,
    },
    /// A download does not have the hash that the Hub gives.
    #[error(
        "the download of '{file}' does not have the SHA-256 that the Hub gives for it and was discarded: run the same line again"
    )]
    Corrupt {
        /// The file.
        file: String,
    },
    /// Offline, and not in the cache.
    #[error(
        "'{what}' is not in the cache at '{cache}', and laser-scan is offline: run once without --offline and HF_HUB_OFFLINE"
    )]
    NotCached {
        /// The model or its file.
        what: String,
        /// The cache's folder.
        cache: PathBuf,
    },
    /// The cache cannot be written.
    #[error("cannot write to the cache at '{path}': {error}; name another with --cache-dir or HF_HUB_CACHE")]
    CacheUnwritable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
}

fn token_advice(had_token: &bool) -> &'static str {
    if *had_token { "; the token that is set may lack access to it" } else { ", and set HF_TOKEN if it is private" }
}

fn spelling_advice(spelling: &str) -> &'static str {
    if spelling.contains("://") {
        "give the model's name without the address before it"
    } else if spelling.contains('@') {
        "name a revision with --revision"
    } else {
        "check the spelling"
    }
}

impl SourceError {
    /// Whether the same request may succeed a little later.
    fn is_transient(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::RateLimited { .. })
    }

    /// How long to wait before the request is made again after so many failures in a row: as long as the Hub asks, or
    /// twice as long as the last time.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = FIRST_PAUSE * 2u32.saturating_pow(failures.saturating_sub(1).min(10));
        let asked = match self {
            Self::RateLimited { retry_after } => *retry_after,
            _ => None,
        };
        asked.map_or(doubled, |asked| asked.max(doubled)).min(LONGEST_PAUSE)
    }
}

/// The bytes `range` of the file at `path`, or as many of them as there are.
fn read_range(path: &Path, range: Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens `model`, a path or a Hub id; a path that exists wins.
///
/// `news` hears of what a person should know, in whole sentences.
///
/// # Errors
///
/// [`SourceError`] says why there is no such model.
pub fn open(
    model: &str,
    revision: Option<&str>,
    options: &HubOptions,
    news: &dyn Fn(String),
) -> Result<Box<dyn Source>, SourceError> {
    let path = Path::new(model);
    if path.exists() {
        if revision.is_some() {
            return Err(SourceError::NoRevisions(model.to_owned()));
        }
        return Ok(Box::new(local::Local::open(path)?));
    }
    if !hub::is_id(model) {
        return Err(SourceError::NoSuchPath(model.to_owned()));
    }
    Ok(Box::new(hub::Hub::open(model, revision, options, news)?))
}
