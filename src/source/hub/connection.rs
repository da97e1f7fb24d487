//! The requests to the Hub for one model, and the meaning of its error responses.
//!
//! hf-hub downloads the files that the Hub serves itself. All other requests are made here, because hf-hub would send the
//! token to storage servers, its listing follows any URL, and it does not report how long the Hub asks to wait.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use hf_hub::repository::{HFRepository, RepoTypeModel};
use hf_hub::{HFClient, HFError};
use reqwest::header::ETAG;
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::cache::is_commit;
use super::client::{Client, root_cause, shown, unreachable};
use super::download::Download;
use super::listing::{self, MAX_PAGES};
use super::retry;
use super::{DEFAULT_REVISION, HubOptions};
use crate::source::{SourceError, Transfer};

/// The longest time for a response, except for downloads.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The most bytes in a JSON response: a page of the file list has a thousand entries of a few hundred bytes.
const MAX_RESPONSE: usize = 16 << 20;

/// How often a request is sent at most if there is no response.
const ATTEMPTS: u32 = 4;

/// How often a request is sent at most if the Hub asks to send it later.
const ATTEMPTS_LATER: u32 = 8;

pub struct Connection<'a> {
    runtime: tokio::runtime::Runtime,
    client: Client,
    /// hf-hub's client, for files that the Hub serves itself; `None` if it could not be created.
    repository: Option<HFRepository<RepoTypeModel>>,
    id: String,
    /// Is told of pauses.
    notify: &'a (dyn Fn(String) + Sync),
}

/// The Hub's headers for a file.
pub struct Remote {
    /// The hash that names the blob in the cache.
    pub etag: String,
    /// Whether the Hub serves the content itself and does not redirect to a storage server.
    is_direct: bool,
}

#[derive(Deserialize)]
struct Description {
    sha: Option<String>,
}

impl<'a> Connection<'a> {
    pub fn new(id: &str, options: &HubOptions, notify: &'a (dyn Fn(String) + Sync)) -> Result<Self, SourceError> {
        let unusable = |error: std::io::Error| SourceError::NoCertificates { reason: error.to_string() };
        let client = Client::new(options)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(unusable)?;
        let repository = repository(&client, id, options);
        Ok(Self { runtime, client, repository, id: id.to_owned(), notify })
    }

    fn wait<T>(&self, request: impl Future<Output = Result<T, SourceError>>) -> Result<T, SourceError> {
        let late = |_| SourceError::Network { reason: format!("no answer within {} seconds", TIMEOUT.as_secs()) };
        self.runtime.block_on(async { tokio::time::timeout(TIMEOUT, request).await.map_err(late)? })
    }

    /// Sends a request, and repeats it after a pause if it fails for a transient reason.
    fn with_retries<T>(&self, request: impl AsyncFn() -> Result<T, SourceError>) -> Result<T, SourceError> {
        let mut failures = 0;
        loop {
            let error = match self.wait(request()) {
                Err(error) if error.is_transient() => error,
                other => return other,
            };
            failures += 1;
            let (what, attempts) = match &error {
                SourceError::Network { reason } => (format!("the Hub cannot be reached ({reason})"), ATTEMPTS),
                asking => (asking.reason(), ATTEMPTS_LATER),
            };
            let Some(pause) = error.pause(failures).filter(|_| failures < attempts) else { return Err(error) };
            (self.notify)(format!("{what}: trying again in {:.0} s", pause.as_secs_f64().ceil()));
            std::thread::sleep(pause);
        }
    }

    /// Asks for the current commit of `revision`.
    pub fn commit(&self, revision: &str) -> Result<String, SourceError> {
        let url = self.api_url(["revision", revision]);
        let description: Result<Description, SourceError> = self.with_retries(async || {
            let response = self.accepted(self.client.get(&url, None).await?, revision)?;
            let bytes = self.body(response).await?;
            let unusable = |error: serde_json::Error| {
                self.unusable(&self.id, &format!("{error}; if HF_ENDPOINT is set, it may not be the address of a Hub"))
            };
            serde_json::from_slice(&bytes).map_err(unusable)
        });
        let description = description.map_err(|error| match error {
            // Every model has a main branch, so a mirror that only answers 404 does not have the model.
            SourceError::NoSuchFile { model: id, .. } if revision == DEFAULT_REVISION => {
                SourceError::NoSuchModel { id, had_token: self.client.has_token(), nearest: None }
            }
            SourceError::NoSuchFile { model: id, .. } => {
                SourceError::NoSuchRevision { id, revision: revision.to_owned() }
            }
            error => error,
        })?;
        description.sha.filter(|sha| is_commit(sha)).ok_or_else(|| self.unusable(&self.id, "it names no commit"))
    }

    /// The name and size of every file of a commit.
    pub fn files(&self, commit: &str) -> Result<BTreeMap<String, u64>, SourceError> {
        let mut url = self.api_url(["tree", commit]);
        url.set_query(Some("recursive=true"));
        let mut files = BTreeMap::new();
        for _ in 0..MAX_PAGES {
            let (page, next) = self.with_retries(async || {
                let response = self.accepted(self.client.get(&url, None).await?, commit)?;
                let next = listing::next_page(&response)?;
                Ok((self.body(response).await?, next))
            })?;
            listing::add(&page, &self.id, &mut files)?;
            match next {
                Some(next) => url = next,
                None => return Ok(files),
            }
        }
        Err(SourceError::EndlessList { id: self.id.clone(), pages: MAX_PAGES })
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, SourceError> {
        let mut stream = response.bytes_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| unreachable(&error))?);
            if bytes.len() > MAX_RESPONSE {
                return Err(self.unusable(&self.id, &format!("it has more than {MAX_RESPONSE} bytes")));
            }
        }
        Ok(bytes)
    }

    /// Reads the bytes `range` of a file, which must not reach beyond its end.
    pub fn read(&self, commit: &str, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (url, length) = (self.file_url(commit, file), range.end - range.start);
        self.with_retries(async || {
            let response = self.accepted(self.client.get(&url, Some(range.clone())).await?, file)?;
            // A server that does not support ranges sends the whole file.
            let is_whole = response.status() != StatusCode::PARTIAL_CONTENT;
            let mut unwanted = if is_whole { range.start } else { 0 };
            let mut stream = response.bytes_stream();
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(|error| unreachable(&error))?;
                let skipped = unwanted.min(piece.len() as u64);
                unwanted -= skipped;
                bytes.extend_from_slice(&piece[skipped as usize..]);
                if bytes.len() as u64 >= length {
                    bytes.truncate(length as usize);
                    break;
                }
            }
            Ok(bytes)
        })
    }

    /// Requests a file's headers. hf-hub cannot do it: its listing omits the hash of large files, and its own request follows
    /// the redirect, after which the Hub's headers are lost.
    pub fn look_up(&self, commit: &str, file: &str) -> Result<Remote, SourceError> {
        let url = self.file_url(commit, file);
        let response = self.with_retries(async || {
            let response = self.client.head(&url).await?;
            if response.status().is_redirection() { Ok(response) } else { self.accepted(response, file) }
        })?;
        let headers = response.headers();
        let etag = headers.get("x-linked-etag").or_else(|| headers.get(ETAG)).and_then(|value| value.to_str().ok());
        let etag = etag.ok_or_else(|| self.unusable(file, "it has no ETag"))?;
        let etag = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
        // The ETag becomes a file name.
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if etag.is_empty() || !etag.bytes().all(harmless) {
            return Err(self.unusable(file, "its ETag is no hash"));
        }
        // hf-hub downloads files with these headers through Xet clients that do not follow the rules of `Client`.
        let is_direct = response.status() == StatusCode::OK
            && *response.url() == url
            && !["x-xet-hash", "x-linked-etag"].iter().any(|header| headers.contains_key(*header));
        Ok(Remote { etag: etag.to_owned(), is_direct })
    }

    pub fn download(
        &self,
        commit: &str,
        remote: &Remote,
        download: &Download<'_>,
        progress: &dyn Fn(Transfer),
    ) -> Result<(), SourceError> {
        let (file, url) = (download.file, self.file_url(commit, download.file));
        let repository = Cell::new(self.repository.as_ref().filter(|_| remote.is_direct));
        let open = async |start: u64| {
            let range = (start > 0).then_some(start..download.size);
            // hf-hub gets one attempt, because most of its errors do not say enough to decide about another.
            if let Some(repository) = repository.take() {
                let request = repository.download_file_stream().filename(file).revision(commit);
                match request.maybe_range(range.clone()).send().await {
                    Ok((_, stream)) => {
                        let broken = |error| SourceError::Network { reason: root_cause(&error) };
                        return Ok(stream.map(move |piece| piece.map_err(broken)).left_stream());
                    }
                    Err(HFError::RateLimited { retry_after, .. }) => {
                        return Err(SourceError::RateLimited { retry_after });
                    }
                    Err(HFError::Http { context }) if context.status == StatusCode::SERVICE_UNAVAILABLE => {
                        return Err(SourceError::Network { reason: format!("the Hub answers {}", context.status) });
                    }
                    Err(_) => {}
                }
            }
            let response = self.accepted(self.client.get(&url, range).await?, file)?;
            let stream = response.bytes_stream().map(|piece| piece.map_err(|error| unreachable(&error)));
            Ok(Box::pin(stream).right_stream())
        };
        self.runtime.block_on(download.run(open, progress))
    }

    fn api_url(&self, parts: [&str; 2]) -> Url {
        self.client.address(["api", "models"].into_iter().chain(self.id.split('/')).chain(parts))
    }

    fn file_url(&self, commit: &str, file: &str) -> Url {
        self.client.address(self.id.split('/').chain(["resolve", commit]).chain(file.split('/')))
    }

    /// The response if it is a success, or else an error about `what`, a file or a revision.
    fn accepted(&self, response: Response, what: &str) -> Result<Response, SourceError> {
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(&response, what)) }
    }

    fn refusal(&self, response: &Response, what: &str) -> SourceError {
        let (status, headers, url) = (response.status(), response.headers(), response.url());
        let code = headers.get("x-error-code").and_then(|value| value.to_str().ok());
        let (id, had_token, is_home) = (self.id.clone(), self.client.has_token(), self.client.is_home(url));
        let asked = retry::requested_pause(headers, SystemTime::now());
        match (status.as_u16(), code) {
            (429, _) => SourceError::RateLimited { retry_after: asked },
            (503, _) if let Some(retry_after) = asked => SourceError::Unavailable { retry_after },
            (401 | 403, Some(_)) if !is_home && had_token => SourceError::NotFollowed {
                from: shown(&self.client.address([])),
                reason: format!(
                    "it leads to '{}', which asks for an access token, and the token is sent to no address but the one in HF_ENDPOINT",
                    shown(url)
                ),
            },
            // A storage server's URL has expired; the next attempt gets a new one from the Hub.
            (400..=499, None) if !is_home => {
                SourceError::Network { reason: format!("'{}' answers {status}", url.host_str().unwrap_or_default()) }
            }
            (401 | 403, Some("GatedRepo")) => {
                SourceError::Gated { url: self.client.address(id.split('/')).into(), id, had_token }
            }
            // Without access, the Hub answers for a private model as if it did not exist.
            (401, _) | (404, Some("RepoNotFound")) => SourceError::NoSuchModel { id, had_token, nearest: None },
            (404, Some("RevisionNotFound")) => SourceError::NoSuchRevision { id, revision: what.to_owned() },
            (403, _) => SourceError::NoAccess { id, had_token },
            (404, _) => SourceError::NoSuchFile { model: id, file: what.to_owned() },
            (408 | 500..=599, _) => SourceError::Network { reason: format!("the Hub answers {status}") },
            _ => self.unusable(what, &format!("it is {status}")),
        }
    }

    fn unusable(&self, what: &str, reason: &str) -> SourceError {
        SourceError::Protocol { what: what.to_owned(), reason: reason.to_owned() }
    }
}

/// hf-hub's client for the model `id`, without retries of its own, which the user would not be told of.
fn repository(client: &Client, id: &str, options: &HubOptions) -> Option<HFRepository<RepoTypeModel>> {
    // Without a token, hf-hub would look for one as Python does. A token that is not valid in a header is never sent.
    let token = options.token.as_ref().map_or("\n", |token| &token.text);
    let hub = HFClient::builder()
        .client(client.http().clone())
        .endpoint(client.address([]))
        .cache_dir(&options.cache)
        .token(token)
        .retry_max_attempts(0);
    let (owner, name) = hf_hub::split_id(id);
    // hf-hub also creates a client of its own, which fails if the system has no certificates.
    Some(hub.build().ok()?.model(owner, name))
}
