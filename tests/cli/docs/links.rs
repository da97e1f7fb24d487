//! Every link of the documentation leads somewhere.

use std::path::{Component, Path, PathBuf};

use super::{Page, pages};
use crate::support::program::in_project;

/// The folder of the book. A link out of it would be dead in the book.
const BOOK: &str = "docs";

/// What is wrong with the links of `pages`, in one sentence each.
fn complaints(pages: &[Page]) -> Vec<String> {
    let wrong = |page: &Page, link: &str| Some(format!("{}: '{link}' {}", page.path, complaint(page, link, pages)?));
    pages.iter().flat_map(|page| page.links().into_iter().filter_map(move |link| wrong(page, &link))).collect()
}

fn complaint(page: &Page, link: &str, pages: &[Page]) -> Option<&'static str> {
    if link.starts_with("https://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() { PathBuf::from(&page.path) } else { beside(&page.path, file) };
    if Path::new(&page.path).starts_with(BOOK) && !target.starts_with(BOOK) {
        return Some("leads out of the book");
    }
    let target = target.to_str().expect("UTF-8");
    if !Path::new(&in_project(target)).exists() && !pages.iter().any(|page| page.path == target) {
        return Some("leads to no file");
    }
    let anchor = anchor?;
    let has_anchor = pages.iter().any(|page| page.path == target && page.anchors().iter().any(|own| own == anchor));
    (!has_anchor).then_some("leads to no heading")
}

/// The path of `link` from the project's folder, where it is in the file at `page`.
fn beside(page: &str, link: &str) -> PathBuf {
    let mut path = Path::new(page).parent().expect("a file").to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir if path.pop() => {}
            part => path.push(part),
        }
    }
    path
}

#[test]
fn every_link_leads_somewhere() {
    let complaints = complaints(&pages());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn dead_links_are_found() {
    let page = |path: &str, text: &str| Page { path: path.to_owned(), text: text.to_owned() };
    let pages = [
        page("README.md", "# A\n[1](docs/made-up.md) [2](#b) [3](#a) [4](docs/made-up.md#two-words) ![5](docs/no.png)"),
        page("docs/made-up.md", "## Two *words*!\n[1](#two-words) [2](../README.md) [3](made-up.md#one) [4](gone.md)"),
    ];
    assert_eq!(
        complaints(&pages),
        [
            "README.md: '#b' leads to no heading",
            "README.md: 'docs/no.png' leads to no file",
            "docs/made-up.md: '../README.md' leads out of the book",
            "docs/made-up.md: 'made-up.md#one' leads to no heading",
            "docs/made-up.md: 'gone.md' leads to no file",
        ]
    );
}

#[test]
fn the_book_has_every_page() {
    let contents = Page::read("docs/SUMMARY.md").links();
    for page in pages().iter().filter_map(|page| page.path.strip_prefix("docs/")).filter(|page| *page != "SUMMARY.md") {
        assert_eq!(contents.iter().filter(|link| *link == page).count(), 1, "docs/SUMMARY.md and {page}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = Page::read("README.md").text.lines().count();
    assert!(lines <= 120, "{lines} lines: what is not for everybody belongs into docs/");
}
