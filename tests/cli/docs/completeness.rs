//! The documentation knows every option, command and trainer that the program has, and the program every option that it names.

use std::collections::BTreeSet;

use laser_scan::trainers;

use super::{Page, pages};
use crate::support::program::Workplace;

/// What every command has, and needs no words.
const PLAIN: [&str; 2] = ["--help", "--version"];

fn help(arguments: &[&str]) -> String {
    Workplace::new().run(&[arguments, &["--help"]].concat()).succeeded().stdout.clone()
}

/// The commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = help(&[]);
    let (_, list) = help.split_once("Commands:\n").expect("a list");
    let names = list.lines().take_while(|line| !line.is_empty());
    let names = names.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The long options of all commands.
fn options() -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    for command in [String::new()].into_iter().chain(commands()) {
        let arguments: Vec<&str> = [command.as_str()].into_iter().filter(|command| !command.is_empty()).collect();
        for line in help(&arguments).lines() {
            let line = line.trim_start();
            // Short options stand before long ones.
            let line = if line.starts_with("--") { line } else { line.split_once(", ").map_or("", |(_, long)| long) };
            options.extend(line.split_whitespace().next().filter(|word| is_option(word)).map(str::to_owned));
        }
    }
    options
}

fn is_option(word: &str) -> bool {
    let letters = |name: &str| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
    word.strip_prefix("--").is_some_and(|name| !name.is_empty() && letters(name))
}

/// The words in backquotes on a page.
fn words(page: &Page) -> BTreeSet<String> {
    let words = |code: String| code.split([' ', ',']).map(str::to_owned).collect::<Vec<_>>();
    page.code().into_iter().flat_map(words).collect()
}

#[test]
fn every_option_and_command_is_described() {
    let described = words(&Page::read("docs/options.md"));
    let (options, commands) = (options(), commands());
    assert!(options.len() > 40 && commands.len() > 4, "the help is not understood: {options:?} {commands:?}");
    for name in options.iter().filter(|option| !PLAIN.contains(&option.as_str())).chain(&commands) {
        assert!(described.contains(name), "docs/options.md lacks {name}");
    }
}

#[test]
fn every_option_that_is_described_is_there() {
    let options = options();
    // What is for contributors names options of cargo. Elsewhere, options of other programs stand behind the names of these.
    for page in pages().into_iter().filter(|page| page.path != "CONTRIBUTING.md") {
        let named = page.code().into_iter().filter(|code| code.starts_with("--"));
        let words = named.flat_map(|code| code.split([' ', ',']).map(str::to_owned).collect::<Vec<_>>());
        for word in words.filter(|word| is_option(word)) {
            assert!(options.contains(&word), "{} names {word}, which no command has", page.path);
        }
    }
}

#[test]
fn every_trainer_is_described() {
    let described = words(&Page::read("docs/trainers.md"));
    for trainer in trainers::ALL {
        assert!(described.contains(trainer.profile().key), "docs/trainers.md lacks {}", trainer.profile().key);
    }
}
