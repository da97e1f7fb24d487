//! Reads the pages of the Hub's list of a commit's files.
//!
//! hf-hub's own listing is not used: it sends the token to any URL that a response names as the next page, and has no limit.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use hf_hub::repository::RepoTreeEntry;
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Response, Url};

use super::client::shown;
use crate::source::SourceError;

/// The most pages of a list. A page has a thousand files, and the Hub recommends at most a hundred thousand in a repository
/// (<https://huggingface.co/docs/hub/storage-limits>).
pub const MAX_PAGES: usize = 500;

/// Adds the names and sizes of the files on one page to `files`.
pub fn add(page: &[u8], id: &str, files: &mut BTreeMap<String, u64>) -> Result<(), SourceError> {
    let unusable = |reason: String| SourceError::Protocol { what: id.to_owned(), reason };
    let entries: Vec<RepoTreeEntry> = serde_json::from_slice(page).map_err(|error| unusable(error.to_string()))?;
    for entry in entries {
        if let RepoTreeEntry::File { path, size, .. } = entry {
            // The name becomes a path in the cache.
            if path.contains('\\') || !Path::new(&path).components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(unusable(format!("it lists '{path}', which leads out of the model's folder")));
            }
            files.insert(path, size);
        }
    }
    Ok(())
}

/// The URL of the page after `response`, which must have the same origin.
pub fn next_page(response: &Response) -> Result<Option<Url>, SourceError> {
    let Some(address) = next(response.headers()) else { return Ok(None) };
    let from = response.url();
    match from.join(&address) {
        Ok(url) if url.origin() == from.origin() => Ok(Some(url)),
        Ok(url) => {
            let reason = format!("its next page is at '{}', which is not the same Hub", shown(&url));
            Err(SourceError::NotFollowed { from: shown(from), reason })
        }
        Err(_) => Err(SourceError::NotFollowed { from: shown(from), reason: "its next page has no address".into() }),
    }
}

/// The next page's URL in the `Link` header, such as `<https://…?cursor=…>; rel="next"`.
fn next(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|links| links.split('<').skip(1)).find_map(|link| {
        let (address, parameters) = link.split_once('>')?;
        let mut parameters = parameters.split([';', ',']).map(|parameter| parameter.trim().replace('"', ""));
        parameters.any(|parameter| parameter == "rel=next").then(|| address.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        let of = |link: &'static str| next(&HeaderMap::from_iter([(LINK, HeaderValue::from_static(link))]));
        assert_eq!(of(r#"<https://hub/api?p=1>; rel="next""#).as_deref(), Some("https://hub/api?p=1"));
        assert_eq!(of(r#"</a?b=1,2>; rel="prev", </a?b=3,4>; rel=next; x=y"#).as_deref(), Some("/a?b=3,4"));
        assert_eq!(of(r#"<https://hub/api>; rel="last""#), None);
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        let mut files = BTreeMap::new();
        let page = |path: &str| format!(r#"[{{"type":"file","oid":"0","size":1,"path":"{path}"}}]"#);
        add(page("a/b.json").as_bytes(), "org/name", &mut files).expect("a usual name");
        for path in ["../a", "/a", "a/../../b", "a\\\\b"] {
            assert!(add(page(path).as_bytes(), "org/name", &mut files).is_err(), "{path}");
        }
        assert_eq!(files, BTreeMap::from([("a/b.json".to_owned(), 1)]));
    }
}
