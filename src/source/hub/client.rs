//! Sends all requests, and decides which of them carry the access token.
//!
//! The token goes only to the Hub's own origin: its scheme, host and port. reqwest must not follow redirects itself: at every
//! hop it restores the first request's headers and removes the token only if the host differs from that of the hop before,
//! so a second redirect within a foreign host would carry the token again. Here each hop is a separate request.

use std::ops::Range;

use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, Url};

use super::HubOptions;
use crate::source::SourceError;

const MAX_REDIRECTS: usize = 10;

/// Sends requests to the Hub and to the servers that it redirects to.
pub struct Client {
    http: reqwest::Client,
    home: Url,
    authorization: Option<HeaderValue>,
}

impl Client {
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

    /// The underlying client, which follows no redirects.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub fn has_token(&self) -> bool {
        self.authorization.is_some()
    }

    /// The URL on the Hub with these path segments.
    pub fn address<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.home.clone();
        // Only URLs that cannot be a base have no path segments, and `HubOptions::home` accepts none of those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    pub fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.home.origin()
    }

    /// Requests the bytes `range` of the resource at `url`, or all of it.
    pub async fn get(&self, url: &Url, range: Option<Range<u64>>) -> Result<Response, SourceError> {
        self.send(Method::GET, url, range, |_| false).await
    }

    /// Requests the Hub's headers for `url`. The storage server to which the Hub redirects does not repeat them.
    pub async fn head(&self, url: &Url) -> Result<Response, SourceError> {
        let response = self.send(Method::HEAD, url, None, has_file_headers).await?;
        if !response.status().is_success() || self.is_home(response.url()) || has_file_headers(&response) {
            return Ok(response);
        }
        let reason = format!("it leads to '{}', which does not answer as a Hub does", shown(response.url()));
        Err(SourceError::NotFollowed { from: shown(url), reason })
    }

    /// Sends a request and follows its redirects. A redirect to another origin that is `final_redirect` is returned itself.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        range: Option<Range<u64>>,
        final_redirect: impl Fn(&Response) -> bool,
    ) -> Result<Response, SourceError> {
        let mut next = url.clone();
        // Once a foreign server has redirected the request, the token is not sent again, not even to the Hub.
        let mut is_home = true;
        for _ in 0..=MAX_REDIRECTS {
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
            next = redirect_target(&response)?;
            if next.origin() != response.url().origin() && final_redirect(&response) {
                return Ok(response);
            }
        }
        Err(SourceError::NotFollowed {
            from: shown(url),
            reason: format!("it leads on more than {MAX_REDIRECTS} times"),
        })
    }
}

/// Whether a response has one of the headers that only the Hub sends with a file.
fn has_file_headers(response: &Response) -> bool {
    ["x-linked-etag", "x-repo-commit"].iter().any(|header| response.headers().contains_key(*header))
}

/// The target of a redirect. Targets that are not encrypted are refused, unless the redirect itself was not encrypted.
fn redirect_target(response: &Response) -> Result<Url, SourceError> {
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

/// A URL without parts that may be secret, for messages.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // This fails only for URLs that cannot have a user name or a password.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.into()
}

/// The error for a request that got no response.
pub fn unreachable(error: &reqwest::Error) -> SourceError {
    let reason = root_cause(error);
    if reason.contains("invalid peer certificate") {
        let host = error.url().and_then(Url::host_str).unwrap_or("the Hub").to_owned();
        return SourceError::Untrusted { host, reason };
    }
    SourceError::Network { reason }
}

/// The innermost cause of an error, which is more specific than the outer ones.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
