//! The one door through which requests go out, and the rule for where the access token may go.
//!
//! The token goes to the Hub's own origin: its scheme, host and port. reqwest cannot be left to follow redirects: it puts
//! a request's first headers back at every hop, and strips the token only where the host differs from that of the hop
//! before, so that the second hop within a foreign host carries it again. Here no client follows any redirect by itself;
//! each hop is a request of its own, made with the token or without.

use std::ops::Range;

use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, Url};

use super::HubOptions;
use crate::source::SourceError;

/// How many addresses in a row a request is sent on to.
const MAX_HOPS: usize = 10;

/// Makes requests of the Hub, and of the places that it points to.
pub struct Client {
    http: reqwest::Client,
    home: Url,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client for the Hub of `options`; nothing is asked of it yet.
    pub fn new(options: &HubOptions) -> Result<Self, SourceError> {
        let (home, authorization) = (options.home()?, options.authorization()?);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("laser-scan/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none());
        if let Some(authorities) = options.authorities()? {
            builder = builder.tls_certs_only(authorities);
        }
        let http = builder.build().map_err(|error| SourceError::NoCertificates { reason: root_cause(&error) })?;
        Ok(Self { http, home, authorization })
    }

    /// The client that makes the requests, which follows no redirect.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Whether there is a token to send.
    pub fn has_token(&self) -> bool {
        self.authorization.is_some()
    }

    /// The address of what the Hub has under these names, each of which is one part of the path.
    pub fn address<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.home.clone();
        // Only addresses that cannot be a base have no path, and the Hub's is none of them.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    /// Whether `url` is at the Hub's own origin.
    pub fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.home.origin()
    }

    /// Asks for the bytes `range` of what is at `url`, or for all of it.
    pub async fn get(&self, url: &Url, range: Option<Range<u64>>) -> Result<Response, SourceError> {
        self.send(Method::GET, url, range, |_| false).await
    }

    /// Asks what is at `url`: what the Hub says of it, and not the store that the Hub leads to, which repeats nothing.
    pub async fn head(&self, url: &Url) -> Result<Response, SourceError> {
        let response = self.send(Method::HEAD, url, None, speaks_of_a_file).await?;
        let is_answer = !response.status().is_success() || self.is_home(response.url()) || speaks_of_a_file(&response);
        if is_answer {
            return Ok(response);
        }
        let reason = format!("it leads to '{}', which does not answer as a Hub does", shown(response.url()));
        Err(SourceError::NotFollowed { from: shown(url), reason })
    }

    /// Makes a request, and goes where it is sent on to until there is an answer. A redirect out of an origin that is
    /// `settled` is an answer itself.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        range: Option<Range<u64>>,
        settled: impl Fn(&Response) -> bool,
    ) -> Result<Response, SourceError> {
        let mut next = url.clone();
        // Who has left the Hub comes back as a stranger: what leads there is not the Hub's word.
        let mut is_home = true;
        for _ in 0..=MAX_HOPS {
            is_home &= self.is_home(&next);
            let mut request = self.http.request(method.clone(), next.clone());
            if let Some(range) = &range {
                request = request.header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
            }
            if let Some(authorization) = self.authorization.as_ref().filter(|_| is_home) {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = request.send().await.map_err(|error| unreachable(&error))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let led_to = led_to(&response)?;
            if led_to.origin() != response.url().origin() && settled(&response) {
                return Ok(response);
            }
            next = led_to;
        }
        Err(SourceError::NotFollowed { from: shown(url), reason: format!("it leads on more than {MAX_HOPS} times") })
    }
}

/// Whether an answer says what only a Hub says of a file.
fn speaks_of_a_file(response: &Response) -> bool {
    ["x-linked-etag", "x-repo-commit"].iter().any(|header| response.headers().contains_key(*header))
}

/// Where a redirect leads, if that may be gone to.
fn led_to(response: &Response) -> Result<Url, SourceError> {
    let from = response.url();
    let refused = |reason: String| Err(SourceError::NotFollowed { from: shown(from), reason });
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let Some(next) = location.and_then(|location| from.join(location).ok()) else {
        return refused(format!("it answers {} and names no address to go on to", response.status()));
    };
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(next),
        (_, "http") => refused(format!("it leads to '{}', which is not encrypted", shown(&next))),
        _ => refused(format!("it leads to '{}', which is no address of the web", shown(&next))),
    }
}

/// An address for messages: without what may be secret in it.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // An address that can have neither has nothing to hide.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.into()
}

/// Why there is no answer.
pub fn unreachable(error: &reqwest::Error) -> SourceError {
    let reason = root_cause(error);
    if reason.contains("invalid peer certificate") {
        let host = error.url().and_then(Url::host_str).unwrap_or("the Hub").to_owned();
        return SourceError::Untrusted { host, reason };
    }
    SourceError::Network { reason }
}

/// The innermost reason of a transport error, which says more than its outer layers.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
