//! Why a model or one of its files cannot be had.

use std::path::PathBuf;
use std::time::Duration;

use super::Form;

/// Why a model or one of its files cannot be had. The message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The name is neither a path that exists nor a Hub id.
    #[error(
        "there is no file or folder '{spelling}', and it is no Hub id of the form org/name either: {}",
        .nearest.as_ref().map_or_else(|| spelling_advice(.spelling).to_owned(), |path| format!("did you mean '{path}'?"))
    )]
    NoSuchPath {
        /// What was asked for.
        spelling: String,
        /// What exists and is spelled much like it.
        nearest: Option<String>,
    },
    /// A link that leads to nothing.
    #[error(
        "'{path}' is a link to '{target}', which does not exist: copy what it leads to, too, as 'cp -rL' does, or download \
         the model again"
    )]
    BrokenLink {
        /// The link.
        path: String,
        /// What it should lead to, as the link says.
        target: PathBuf,
    },
    /// A model's folder in the Hub's cache, which holds all its commits.
    #[error(
        "'{path}' is where the Hub's cache keeps the model '{id}': name the model by that id{}",
        .snapshot.as_ref().map(|path| format!(", or one of its commits, such as '{}'", path.display())).unwrap_or_default()
    )]
    CachedRepository {
        /// The folder.
        path: String,
        /// The model.
        id: String,
        /// The folder of a commit.
        snapshot: Option<PathBuf>,
    },
    /// The Hub's cache.
    #[error("'{path}' is a cache of the Hub's models: name one of them by its id, such as '{id}'")]
    HubCache {
        /// The folder.
        path: String,
        /// A model in it.
        id: String,
    },
    /// A revision of something that has none.
    #[error(
        "'{0}' is on this machine and has no revisions: leave out --revision, or spell the name so that no such path exists"
    )]
    NoRevisions(String),
    /// A file of another kind.
    #[error("'{0}' is no .safetensors or .bin file: name a model's folder, one such file, or a Hub id")]
    NotWeights(String),
    /// A file of weights in a form that is not read.
    #[error("'{path}' is {}: {}", .form.what, .form.way_out)]
    OtherForm {
        /// The file.
        path: String,
        /// Its form.
        form: &'static Form,
    },
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
    /// A file is not what it was when the scan was planned.
    #[error("'{file}' has changed since the scan began, in its content or its attributes: run the same line again")]
    Changed {
        /// The file.
        file: String,
    },
    /// A file is not there any more.
    #[error("'{file}' was removed while it was scanned: put it back, and run the same line again")]
    Removed {
        /// The file.
        file: String,
    },
    /// Some of a file's bytes could not be had when they were needed.
    #[error(
        "'{file}' could not be read to its end: it was cut short or the disk failed while it was read; see that it is whole, and run the same line again"
    )]
    Unread {
        /// The file.
        file: String,
    },
    /// A file cannot be mapped.
    #[error("cannot map '{file}' into memory: {reason}")]
    Unmappable {
        /// The file.
        file: String,
        /// The reason.
        reason: String,
    },
    /// The Hub knows no such model, or hides it.
    #[error(
        "there is no folder '{id}' here, and the Hub has no model '{id}', or it is private: {}check the spelling{}",
        .nearest.as_ref().map(|path| format!("did you mean '{path}', which is here? If not, ")).unwrap_or_default(),
        token_advice(.had_token)
    )]
    NoSuchModel {
        /// The Hub id.
        id: String,
        /// Whether a token was sent.
        had_token: bool,
        /// What exists on this machine and is spelled much like the id.
        nearest: Option<String>,
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
    /// The access token cannot be sent.
    #[error(
        "{origin} holds {found}, which no access token has: copy the token anew, on one line, from https://huggingface.co/settings/tokens"
    )]
    BadToken {
        /// Where the token comes from, such as `HF_TOKEN`.
        origin: String,
        /// What is in it that cannot be sent.
        found: &'static str,
    },
    /// The Hub's address is none.
    #[error("HF_ENDPOINT is '{endpoint}', which is not the address of a Hub: {advice}")]
    BadEndpoint {
        /// The address as it was given.
        endpoint: String,
        /// How to write it.
        advice: &'static str,
    },
    /// The certificates to trust cannot be read.
    #[error("cannot use the certificates at '{path}', which REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names: {reason}")]
    BadCertificates {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There are no certificates to trust.
    #[error(
        "no connection can be made ({reason}): if this system has no certificates, set SSL_CERT_FILE to a PEM file of them"
    )]
    NoCertificates {
        /// The transport's reason.
        reason: String,
    },
    /// The Hub's certificate is not one to trust.
    #[error(
        "the certificate of '{host}' is not trusted ({reason}): if your network puts its own in place of the Hub's, set SSL_CERT_FILE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE to the PEM file of the authority that issues it"
    )]
    Untrusted {
        /// Who showed the certificate.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An answer points to a place that is not gone to.
    #[error("cannot go on from '{from}': {reason}; if HF_ENDPOINT names a mirror, try another, or leave it out")]
    NotFollowed {
        /// The address that answered.
        from: String,
        /// Why its pointer is not followed.
        reason: String,
    },
    /// A list of files that goes on and on.
    #[error(
        "the list of the files of '{id}' does not end within {pages} pages; if HF_ENDPOINT names a mirror, try another, or leave it out"
    )]
    EndlessList {
        /// The Hub id.
        id: String,
        /// The pages that were read.
        pages: usize,
    },
    /// Too many requests.
    #[error("the Hub limits the rate of requests{}, or set HF_TOKEN, and run the same line again", waiting_advice(.retry_after))]
    RateLimited {
        /// How long the Hub asks to wait.
        retry_after: Option<Duration>,
    },
    /// The Hub has no time.
    #[error("the Hub is not available now{}, and run the same line again", waiting_advice(&Some(*.retry_after)))]
    Unavailable {
        /// How long the Hub asks to wait.
        retry_after: Duration,
    },
    /// The Hub cannot be reached.
    #[error(
        "the Hub cannot be reached ({reason}): check the network, or use --offline with a model that is in the cache"
    )]
    Network {
        /// The transport's reason.
        reason: String,
    },
    /// The Hub cannot be reached to ask whether it has a model at all.
    #[error(
        "there is no folder '{id}' here, and the Hub cannot be reached ({reason}): check the spelling and the network, or use --offline with a model that is in the cache"
    )]
    Unreachable {
        /// The Hub id.
        id: String,
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
        "'{what}' is not in the cache at '{cache}', and the Hub cannot be asked for it: run the same line with a network, and without --offline and HF_HUB_OFFLINE"
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

fn waiting_advice(asked: &Option<Duration>) -> String {
    match asked {
        Some(asked) => format!(" and asks to wait {} s: wait as long", asked.as_secs()),
        None => ": wait a few minutes".to_owned(),
    }
}

fn spelling_advice(spelling: &str) -> &'static str {
    if spelling.contains("://") {
        "give the model's name without the address before it"
    } else if spelling.starts_with('~') {
        "the shell puts the home folder in place of '~' only where it stands unquoted at the beginning of a word"
    } else if spelling.contains('@') {
        "name a revision with --revision"
    } else {
        "check the spelling"
    }
}
