//! The documentation: its links lead somewhere, its commands run and print what it says, it knows all that the program has, and what
//! the program writes is as its schemas have it.

mod blocks;
mod completeness;
mod links;
mod schemas;

use std::fs;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::support::program::in_project;

/// A page in Markdown.
struct Page {
    /// The path from the project's folder.
    path: String,
    text: String,
}

/// A block of code.
#[derive(Debug, PartialEq)]
struct Block {
    /// What stands after the backquotes: the language, and how the block is marked.
    info: String,
    code: String,
}

impl Page {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(in_project(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    fn events(&self) -> impl Iterator<Item = Event<'_>> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES)
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_inside = false;
        for event in self.events() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    blocks.push(Block { info: info.into_string(), code: String::new() });
                    is_inside = true;
                }
                Event::End(TagEnd::CodeBlock) => is_inside = false,
                Event::Text(text) if is_inside => blocks.last_mut().expect("it has begun").code += &text,
                _ => {}
            }
        }
        blocks
    }

    /// Where its links and pictures lead.
    fn links(&self) -> Vec<String> {
        let target = |event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
            _ => None,
        };
        self.events().filter_map(target).collect()
    }

    /// What stands in backquotes within sentences and tables.
    fn code(&self) -> Vec<String> {
        let code = |event| match event {
            Event::Code(code) => Some(code.into_string()),
            _ => None,
        };
        self.events().filter_map(code).collect()
    }

    /// The anchors of its headings, made as GitHub and mdBook make them.
    fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        let mut heading: Option<String> = None;
        for event in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => heading.iter_mut().for_each(|heading| *heading += &text),
                Event::End(TagEnd::Heading(_)) => {
                    let base = anchor(&heading.take().unwrap_or_default());
                    let twin = |count: usize| if count == 0 { base.clone() } else { format!("{base}-{count}") };
                    let free = (0..).map(twin).find(|name| !anchors.contains(name));
                    anchors.extend(free);
                }
                _ => {}
            }
        }
        anchors
    }
}

fn anchor(heading: &str) -> String {
    let kept = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter => letter.is_alphanumeric().then_some(letter),
    };
    heading.to_lowercase().chars().filter_map(kept).collect()
}

/// All pages: the README, the part on contributing, and those of the book, in a fixed order.
fn pages() -> Vec<Page> {
    let names = fs::read_dir(in_project("docs")).expect("readable").flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.ends_with(".md"));
    let mut paths: Vec<String> = names.map(|name| format!("docs/{name}")).collect();
    paths.sort();
    ["README.md", "CONTRIBUTING.md"].into_iter().chain(paths.iter().map(String::as_str)).map(Page::read).collect()
}
