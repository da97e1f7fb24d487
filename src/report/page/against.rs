//! How the rankings differ from those of a second scan.

use super::Against;
use super::escape::{escape, join};
use crate::output::counted;
use crate::report::{Move, TypeDiff};

/// So many of the modules that moved most are listed for each type.
const LISTED: usize = 5;

/// The most names that are listed of modules that only one scan has.
const NAMED: usize = 12;

pub fn section(against: &Against<'_>) -> String {
    let Against { file, diff } = against;
    let rows = join(&diff.types, row);
    let alone = [("this scan", &diff.only_in_a), ("the other", &diff.only_in_b)];
    let alone = join(alone, |(where_, names)| only(&format!("only in {where_}"), names));
    let unmeasured = only("not measured in one of the scans", &diff.unmeasured);
    format!(
        "<section id='against'>\n<h2>Compared with {}</h2>\n<p class='sub'>Ranks are those among the modules that both scans have \
         measured. Spearman's correlation is 1 where the order is the same, 0 where it has nothing in common, and −1 where it is \
         reversed.</p>\n<div class='scroll' tabindex='0' role='region' aria-label='comparison by type'>\n<table class='list'>\n\
         <thead><tr><th scope='col'>type</th><th scope='col'>modules</th><th scope='col'>Spearman</th><th scope='col'>moved \
         most</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n{alone}{unmeasured}</section>\n",
        escape(file)
    )
}

fn row(diff: &TypeDiff) -> String {
    let spearman = diff.spearman.map_or("–".to_owned(), |spearman| format!("{spearman:.4}").replace('-', "−"));
    let mut moves: Vec<&Move> = diff.moves.iter().filter(|one| one.rank_a != one.rank_b).collect();
    moves.sort_by_key(|one| std::cmp::Reverse(one.rank_a.abs_diff(one.rank_b)));
    let listed = join(moves.iter().take(LISTED), |one| {
        format!("<li>{} <span class='sub'>{} → {}</span></li>", escape(&one.name), one.rank_a, one.rank_b)
    });
    let moves = if listed.is_empty() { "none".to_owned() } else { format!("<ol class='moves'>{listed}</ol>") };
    let kind = escape(&diff.kind);
    format!("<tr><th scope='row'>{kind}</th><td>{}</td><td>{spearman}</td><td>{moves}</td></tr>\n", diff.pairs)
}

/// Modules that have no partner.
fn only(where_: &str, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let named: Vec<String> = names.iter().take(NAMED).map(|name| escape(name)).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    format!("<p class='sub'>{} {where_}: {}{more}</p>\n", counted(names.len(), "module"), named.join(", "))
}
