//! The page's head: what it is, what a browser may do with it, how it looks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The first lines of every page.
const HEAD: &str = "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n\
    <meta name='viewport' content='width=device-width, initial-scale=1'>\n";

/// The line by which a page of laser-scan is recognised.
const GENERATOR: &str = "<meta name='generator' content='laser-scan'>";

/// That line is within this many bytes of a page's beginning.
const LONGEST_HEAD: usize = 1000;

const STYLE: &str = concat!(include_str!("page.css"), include_str!("live.css"));

/// The script. Its parts share one scope, and the last starts them.
pub const SCRIPT: &str = concat!(
    include_str!("script/data.js"),
    include_str!("script/spectrum.js"),
    include_str!("script/panel.js"),
    include_str!("script/map.js"),
    include_str!("script/export.js"),
    include_str!("script/choice.js"),
    include_str!("script/table.js"),
    include_str!("script/start.js"),
);

/// Everything before the page's body. The title is escaped.
///
/// The policy names the style sheet and the script by their hashes, so that nothing that a scan's file smuggled into the page
/// would run, and nothing could be requested.
pub fn head(title: &str) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!(
        "{HEAD}{GENERATOR}\n<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; \
         style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n"
    )
}

/// Whether a file is a page that laser-scan wrote.
pub fn is_page(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(LONGEST_HEAD)];
    head.windows(GENERATOR.len()).any(|part| part == GENERATOR.as_bytes()) || is_early(bytes)
}

/// Whether a file is a page of the first version, which is recognised by its subtitle.
fn is_early(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(HEAD.as_bytes()).and_then(|rest| std::str::from_utf8(rest).ok());
    let body =
        rest.filter(|rest| rest.starts_with("<title>")).and_then(|rest| rest.split_once("</h1>\n<p class='sub'>"));
    let subtitle = body.and_then(|(_, body)| body.lines().next());
    subtitle.is_some_and(|subtitle| subtitle.contains(" chosen; from a file of "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_every_version_are_recognised() {
        let page = |head: &str| {
            format!(
                "{HEAD}{head}<title>a</title>\n<h1>a</h1>\n<p class='sub'>7 modules, 1 chosen; from a file of X</p>"
            )
        };
        assert!(is_page(page("").as_bytes()) && is_page(page(&format!("{GENERATOR}\n")).as_bytes()));
        assert!(is_page(head("a").as_bytes()));
        assert!(!is_page(b"<!DOCTYPE html>") && !is_page(&page("").as_bytes()[1..]));
    }
}
