//! The settings for access to the Hub, and their validation.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;
use reqwest::{Certificate, Url};

use crate::source::SourceError;

/// How to reach the Hub. The library itself reads no environment variables. Only its dependencies do: they look for the
/// system's certificates in `SSL_CERT_FILE` and `SSL_CERT_DIR`, and for proxies in `HTTPS_PROXY`.
#[derive(Clone, Debug)]
pub struct HubOptions {
    pub endpoint: String,
    /// The access token, which is sent only to the origin of `endpoint`.
    pub token: Option<Token>,
    /// The cache's root, which contains folders such as `models--org--name`.
    pub cache: PathBuf,
    /// A PEM file or a folder of PEM files with certificates to trust instead of the system's.
    pub certificates: Option<PathBuf>,
    pub offline: bool,
}

#[derive(Clone)]
pub struct Token {
    pub text: String,
    /// The environment variable or the file that it comes from, for messages.
    pub origin: String,
}

impl fmt::Debug for Token {
    /// Omits the token, so that it cannot appear in logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl HubOptions {
    pub(super) fn home(&self) -> Result<Url, SourceError> {
        let endpoint = self.endpoint.trim();
        let is_usable = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        Url::parse(endpoint).ok().filter(is_usable).ok_or_else(|| SourceError::BadEndpoint {
            endpoint: endpoint.to_owned(),
            advice: if endpoint.contains("://") {
                "write it as https://, a host and at most a path, as in https://huggingface.co"
            } else {
                "put https:// before it, as in https://huggingface.co"
            },
        })
    }

    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, SourceError> {
        let Some(Token { text, origin }) = &self.token else { return Ok(None) };
        let found = match text.bytes().find(|byte| !byte.is_ascii_graphic()) {
            Some(b'\n' | b'\r') => "a line break",
            Some(b' ' | b'\t') => "a space",
            _ => "a character that no request can carry",
        };
        let value = text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| format!("Bearer {text}"));
        let value = value.and_then(|value| HeaderValue::from_str(&value).ok());
        let mut value = value.ok_or_else(|| SourceError::BadToken { origin: origin.clone(), found })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    pub(super) fn authorities(&self) -> Result<Option<Vec<Certificate>>, SourceError> {
        let Some(path) = &self.certificates else { return Ok(None) };
        let bad = |reason: String| SourceError::BadCertificates { path: path.clone(), reason };
        let mut found = Vec::new();
        for file in files_at(path).map_err(|error| bad(error.to_string()))? {
            let pem = fs::read(&file).map_err(|error| bad(error.to_string()))?;
            match Certificate::from_pem_bundle(&pem) {
                Ok(certificates) => found.extend(certificates),
                // A folder of certificates may hold other files too.
                Err(_) if path.is_dir() => {}
                Err(_) => return Err(bad("it is no PEM file of certificates".to_owned())),
            }
        }
        if found.is_empty() { Err(bad("there is no certificate in PEM form".to_owned())) } else { Ok(Some(found)) }
    }
}

/// `path` itself if it is a file, or the files in the folder.
fn files_at(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown_among_the_options() {
        let token = Token { text: "hf_secret".to_owned(), origin: "HF_TOKEN".to_owned() };
        assert!(!format!("{token:?}").contains("hf_secret"));
    }
}
