//! The requests that are made of the Hub for one model, and what its refusals mean.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use futures::StreamExt;
use hf_hub::repository::{HFRepository, RepoTreeEntry, RepoTypeModel};
use hf_hub::{HFClient, HFError};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, ETAG, HeaderMap, RETRY_AFTER};

use super::HubOptions;
use super::cache::is_commit;
use super::download::Download;
use crate::source::{SourceError, Transfer};

/// How long an answer that is no file may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a small request is made, at most.
const ATTEMPTS: u32 = 4;

/// The requests that are made for one model.
pub struct Connection {
    runtime: tokio::runtime::Runtime,
    repository: HFRepository<RepoTypeModel>,
    /// For what hf-hub does not tell: the headers of a file's first answer.
    head: reqwest::Client,
    id: String,
    endpoint: String,
    token: Option<String>,
}

impl Connection {
    /// What is needed to make requests for the model `id`; none is made yet.
    pub fn new(id: &str, options: &HubOptions) -> Result<Self, SourceError> {
        let unusable = |reason: String| SourceError::Protocol { what: options.endpoint.clone(), reason };
        let mut builder = HFClient::builder()
            .endpoint(&options.endpoint)
            .cache_dir(&options.cache)
            .user_agent(concat!("laser-scan/", env!("CARGO_PKG_VERSION")))
            .retry_max_attempts(3);
        if let Some(token) = &options.token {
            builder = builder.token(token);
        }
        let client = builder.build().map_err(|error| unusable(error.to_string()))?;
        let (owner, name) = hf_hub::split_id(id);
        // The first answer for a large file points to a store elsewhere, which does not repeat the Hub's headers. A
        // renamed model's answer points to the Hub itself.
        let stay = reqwest::redirect::Policy::custom(|attempt| {
            let elsewhere = attempt.previous().first().is_none_or(|first| first.origin() != attempt.url().origin());
            if elsewhere || attempt.previous().len() > 5 { attempt.stop() } else { attempt.follow() }
        });
        Ok(Self {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .map_err(|error| unusable(error.to_string()))?,
            repository: client.model(owner, name),
            head: reqwest::Client::builder()
                .redirect(stay)
                .timeout(PATIENCE)
                .build()
                .map_err(|error| unusable(error.to_string()))?,
            id: id.to_owned(),
            endpoint: options.endpoint.trim_end_matches('/').to_owned(),
            token: options.token.clone(),
        })
    }

    /// Runs a request to its end, if it ends within [`PATIENCE`].
    fn wait<T>(&self, request: impl Future<Output = Result<T, SourceError>>) -> Result<T, SourceError> {
        let late = |_| SourceError::Network { reason: format!("no answer within {} seconds", PATIENCE.as_secs()) };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, request).await.map_err(late)? })
    }

    /// Makes a request again, after a pause, if it fails for a reason that may pass.
    fn insist<T>(&self, request: impl AsyncFn() -> Result<T, SourceError>) -> Result<T, SourceError> {
        self.insist_while(SourceError::is_transient, request)
    }

    /// Makes a request again, after a pause, if it fails for a reason that is `passing`.
    fn insist_while<T>(
        &self,
        passing: impl Fn(&SourceError) -> bool,
        request: impl AsyncFn() -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        for failures in 1..ATTEMPTS {
            match self.wait(request()) {
                Err(error) if passing(&error) => std::thread::sleep(error.pause(failures)),
                other => return other,
            }
        }
        self.wait(request())
    }

    /// The commit that `revision` stands for now.
    pub fn commit(&self, revision: &str) -> Result<String, SourceError> {
        // hf-hub has tried to connect a few times already; without a network, the cache may serve.
        let is_rate_limit = |error: &SourceError| matches!(error, SourceError::RateLimited { .. });
        let info = self.insist_while(is_rate_limit, async || {
            let info = self.repository.info().revision(revision).send().await;
            info.map_err(|error| self.explain(error, revision))
        })?;
        let commit = info.sha.filter(|sha| is_commit(sha));
        commit.ok_or_else(|| SourceError::Protocol { what: self.id.clone(), reason: "it names no commit".into() })
    }

    /// Name -> size of every file of a commit.
    pub fn files(&self, commit: &str) -> Result<BTreeMap<String, u64>, SourceError> {
        self.insist(async || {
            let explain = |error| self.explain(error, commit);
            let entries = self.repository.list_tree().revision(commit).recursive(true).send().map_err(explain)?;
            let mut entries = std::pin::pin!(entries);
            let mut files = BTreeMap::new();
            while let Some(entry) = entries.next().await {
                if let RepoTreeEntry::File { path, size, .. } = entry.map_err(explain)? {
                    files.insert(path, size);
                }
            }
            Ok(files)
        })
    }

    /// The bytes `range` of a file, which has them all.
    pub fn read(&self, commit: &str, file: &str, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let length = range.end - range.start;
        self.insist(async || {
            let request = self.repository.download_file_stream().filename(file).revision(commit).range(range.clone());
            let (announced, mut stream) = request.send().await.map_err(|error| self.explain(error, file))?;
            // A server that ignores the range sends the whole file.
            let mut unwanted = if announced.is_some_and(|announced| announced > length) { range.start } else { 0 };
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(|error| self.explain(error, file))?;
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

    /// The hash under which the cache stores a file. hf-hub does not tell it: its listing leaves out the hash of large
    /// files, and its own request for it follows the redirect, behind which the Hub's headers are gone.
    pub fn etag(&self, commit: &str, file: &str) -> Result<String, SourceError> {
        let protocol = |reason: &str| SourceError::Protocol { what: file.to_owned(), reason: reason.to_owned() };
        let mut url = reqwest::Url::parse(&self.endpoint).map_err(|error| protocol(&error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| protocol("the endpoint is no address"))?
            .pop_if_empty()
            .extend(self.id.split('/'))
            .extend(["resolve", commit])
            .extend(file.split('/'));
        let headers = self.insist(async || self.head(&url, file).await)?;
        let etag = headers.get("x-linked-etag").or_else(|| headers.get(ETAG)).and_then(|value| value.to_str().ok());
        let etag = etag.ok_or_else(|| protocol("it has no ETag"))?;
        let etag = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
        // It becomes a file's name.
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if etag.is_empty() || !etag.bytes().all(harmless) {
            return Err(protocol("its ETag is no hash"));
        }
        Ok(etag.to_owned())
    }

    async fn head(&self, url: &reqwest::Url, file: &str) -> Result<HeaderMap, SourceError> {
        let mut request = self.head.head(url.clone());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let network = |error: reqwest::Error| SourceError::Network { reason: root_cause(&error) };
        let response = request.send().await.map_err(network)?;
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(response.headers().clone());
        }
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = text(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        Err(self.refusal(status, text("x-error-code"), retry_after, file))
    }

    /// Brings a file to disk, over as many connections as it takes.
    pub fn download(
        &self,
        commit: &str,
        download: &Download<'_>,
        progress: &dyn Fn(Transfer),
    ) -> Result<(), SourceError> {
        let file = download.file;
        let open = async |start: u64| {
            let range = (start > 0).then_some(start..download.size);
            let request = self.repository.download_file_stream().filename(file).revision(commit).maybe_range(range);
            let (_, stream) = request.send().await.map_err(|error| self.explain(error, file))?;
            Ok(stream.map(|piece| piece.map_err(|error| self.explain(error, file))))
        };
        self.runtime.block_on(download.run(open, progress))
    }

    /// What hf-hub's error means for the person who asked for `what`, a file or a revision.
    fn explain(&self, error: HFError, what: &str) -> SourceError {
        match error {
            HFError::AuthRequired { context } => {
                self.refusal(StatusCode::UNAUTHORIZED, context.error_code.as_deref(), None, what)
            }
            HFError::Forbidden { context } => {
                self.refusal(StatusCode::FORBIDDEN, context.error_code.as_deref(), None, what)
            }
            // hf-hub answers so for everything that is not found at a revision.
            HFError::RevisionNotFound { context, .. } => {
                let code = context.and_then(|context| context.error_code);
                self.refusal(StatusCode::NOT_FOUND, Some(code.as_deref().unwrap_or("RepoNotFound")), None, what)
            }
            HFError::RepoNotFound { .. } => self.refusal(StatusCode::NOT_FOUND, Some("RepoNotFound"), None, what),
            HFError::EntryNotFound { .. } => self.refusal(StatusCode::NOT_FOUND, Some("EntryNotFound"), None, what),
            HFError::RateLimited { retry_after, .. } => SourceError::RateLimited { retry_after },
            HFError::Http { context } => self.refusal(context.status, context.error_code.as_deref(), None, what),
            HFError::Request { source, .. } if !source.is_builder() => {
                SourceError::Network { reason: root_cause(&source) }
            }
            HFError::Xet { source, .. } => SourceError::Network { reason: root_cause(&*source) },
            other => SourceError::Protocol { what: what.to_owned(), reason: other.to_string() },
        }
    }

    /// What an answer other than success means.
    fn refusal(
        &self,
        status: StatusCode,
        code: Option<&str>,
        retry_after: Option<Duration>,
        what: &str,
    ) -> SourceError {
        let (id, had_token) = (self.id.clone(), self.token.is_some());
        match (status.as_u16(), code) {
            (401 | 403, Some("GatedRepo")) => {
                SourceError::Gated { url: format!("{}/{id}", self.endpoint), id, had_token }
            }
            // To those without access, the Hub answers for a private model as for one that does not exist.
            (401, _) | (404, Some("RepoNotFound")) => SourceError::NoSuchModel { id, had_token },
            (404, Some("RevisionNotFound")) => SourceError::NoSuchRevision { id, revision: what.to_owned() },
            (403, _) => SourceError::NoAccess { id, had_token },
            (404, _) => SourceError::NoSuchFile { model: id, file: what.to_owned() },
            (408 | 500..=599, _) => SourceError::Network { reason: format!("the Hub answers {status}") },
            (429, _) => SourceError::RateLimited { retry_after },
            _ => SourceError::Protocol { what: what.to_owned(), reason: format!("it is {status}") },
        }
    }
}

/// The innermost reason of a transport error, which says more than its outer layers.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
