use std::path::PathBuf;
use std::time::Duration;

use super::Form;

/// Why a model or one of its files cannot be read. Each message also says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(
        "there is no file or folder '{spelling}', and it is no Hub id of the form org/name either: {}",
        .nearest.as_ref().map_or_else(|| spelling_advice(.spelling).to_owned(), |path| format!("did you mean '{path}'?"))
    )]
    NoSuchPath {
        spelling: String,
        /// A path that exists and is spelled almost the same.
        nearest: Option<String>,
    },
    #[error(
        "'{path}' is a link to '{target}', which does not exist: copy what it leads to, too, as 'cp -rL' does, or download \
         the model again"
    )]
    BrokenLink { path: String, target: PathBuf },
    #[error(
        "'{path}' is where the Hub's cache keeps the model '{id}': name the model by that id{}",
        .snapshot.as_ref().map(|path| format!(", or one of its commits, such as '{}'", path.display())).unwrap_or_default()
    )]
    CachedRepository {
        path: String,
        id: String,
        /// The folder of one commit in the cache.
        snapshot: Option<PathBuf>,
    },
    #[error("'{path}' is a cache of the Hub's models: name one of them by its id, such as '{id}'")]
    HubCache { path: String, id: String },
    #[error("'{0}' is no model of the Hub and has no revisions")]
    NoRevisions(String),
    #[error("'{0}' is no .safetensors or .bin file: name a model's folder, one such file, or a Hub id")]
    NotWeights(String),
    #[error("'{path}' is {}: {}", .form.what, .form.way_out)]
    OtherForm { path: String, form: &'static Form },
    #[error("cannot read '{path}': {error}")]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("the model '{model}' has no file '{file}'")]
    NoSuchFile { model: String, file: String },
    #[error("'{file}' has changed since the scan began, in its content or its attributes: run the same line again")]
    Changed { file: String },
    #[error("'{file}' was removed while it was scanned: put it back, and run the same line again")]
    Removed { file: String },
    #[error(
        "'{file}' could not be read to its end: it was cut short or the disk failed while it was read; see that it is whole, and run the same line again"
    )]
    Unread { file: String },
    #[error("cannot map '{file}' into memory: {reason}")]
    Unmappable { file: String, reason: String },
    #[error(
        "there is no folder '{id}' here, and the Hub has no model '{id}', or it is private: {}check the spelling{}",
        .nearest.as_ref().map(|path| format!("did you mean '{path}', which is here? If not, ")).unwrap_or_default(),
        token_advice(.had_token)
    )]
    NoSuchModel {
        id: String,
        had_token: bool,
        /// A path on this machine that is spelled almost like the id.
        nearest: Option<String>,
    },
    #[error("the model '{id}' is gated: accept its terms at {url}, then set HF_TOKEN to a token of that account{}", .had_token.then_some(" (the token that is set has no access)").unwrap_or_default())]
    Gated { id: String, url: String, had_token: bool },
    #[error("the Hub refuses access to the model '{id}'{}", token_advice(.had_token))]
    NoAccess { id: String, had_token: bool },
    #[error("the model '{id}' has no revision '{revision}': name a branch, a tag or a full commit hash")]
    NoSuchRevision { id: String, revision: String },
    #[error("'{0}' is no revision: name a branch, a tag or a full commit hash")]
    BadRevision(String),
    #[error(
        "{origin} holds {found}, which no access token has: copy the token anew, on one line, from https://huggingface.co/settings/tokens"
    )]
    BadToken { origin: String, found: &'static str },
    #[error("HF_ENDPOINT is '{endpoint}', which is not the address of a Hub: {advice}")]
    BadEndpoint { endpoint: String, advice: &'static str },
    #[error("cannot use the certificates at '{path}', which REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names: {reason}")]
    BadCertificates { path: PathBuf, reason: String },
    #[error(
        "no connection can be made ({reason}): if this system has no certificates, set SSL_CERT_FILE to a PEM file of them"
    )]
    NoCertificates { reason: String },
    #[error(
        "the certificate of '{host}' is not trusted ({reason}): if your network puts its own in place of the Hub's, set SSL_CERT_FILE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE to the PEM file of the authority that issues it"
    )]
    Untrusted { host: String, reason: String },
    #[error("cannot go on from '{from}': {reason}; if HF_ENDPOINT names a mirror, try another, or leave it out")]
    NotFollowed { from: String, reason: String },
    #[error(
        "the list of the files of '{id}' does not end within {pages} pages; if HF_ENDPOINT names a mirror, try another, or leave it out"
    )]
    EndlessList { id: String, pages: usize },
    #[error("the Hub limits the rate of requests{}, or set HF_TOKEN, and run the same line again", waiting_advice(.retry_after))]
    RateLimited { retry_after: Option<Duration> },
    #[error("the Hub is not available now{}, and run the same line again", waiting_advice(&Some(*.retry_after)))]
    Unavailable { retry_after: Duration },
    #[error("cannot use the address '{address}': {reason}")]
    StoreAddress { address: String, reason: String },
    #[error(
        "'{address}' holds no file of a model: check the address; a web server must have the files under their usual names"
    )]
    StoreEmpty { address: String },
    #[error("'{address}' refuses access ({reason}): check the bucket's name and the credentials in the environment")]
    StoreAccess { address: String, reason: String },
    #[error("'{address}' cannot be read ({reason}): check the network, and run the same line again")]
    Store { address: String, reason: String },
    #[error("the Hub cannot be reached ({reason}): check the network")]
    Network { reason: String },
    #[error(
        "there is no folder '{id}' here, and the Hub cannot be reached ({reason}): check the spelling and the network"
    )]
    Unreachable { id: String, reason: String },
    #[error("the Hub's answer about '{what}' is not usable: {reason}")]
    Protocol { what: String, reason: String },
    #[error(
        "the download of '{file}' broke off {attempts} times without getting on ({reason}): run the same line again to go on from byte {received}"
    )]
    BrokenOff {
        file: String,
        attempts: u32,
        reason: String,
        /// How many bytes are on disk.
        received: u64,
    },
    #[error(
        "the download of '{file}' does not have the SHA-256 that the Hub gives for it and was discarded: run the same line again"
    )]
    Corrupt { file: String },
    #[error("'{what}' is not in the cache at '{cache}', and the Hub cannot be asked for it")]
    NotCached { what: String, cache: PathBuf },
    #[error("cannot write to the cache at '{path}': {error}")]
    CacheUnwritable { path: PathBuf, error: std::io::Error },
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
