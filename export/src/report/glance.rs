//! What there is, in numbers that lead to it: the first thing that a reader sees.

use super::markup::Markup;
use super::pages::{Pages, rendered};
use super::{Report, exhibits};
use crate::Error;
use askama::Template;

/// Words, where they lead to, and what is counted: rows of the bundles; wallets are counted once however many bundles have them.
const COUNTED: [(&str, &str, &str); 10] = [
    ("exhibits", "exhibits", "exhibit"),
    ("messages", "conversations", "message"),
    ("of them deleted or older", "conversations", "(SELECT 1 FROM message WHERE state IN ('recovered', 'superseded'))"),
    ("chats", "chats", "tally"),
    ("calls", "calls", "call"),
    ("contacts", "contacts", "contact"),
    ("wallet addresses", "wallets", ""),
    ("secrets", "secrets", "secret"),
    ("problems", "problems", "problem"),
    ("items not read to their end", "problems", "(SELECT 1 FROM item WHERE status NOT IN ('parsed', 'plain'))"),
];

#[derive(Template)]
#[template(path = "report/glance.html")]
struct Glance {
    tiles: Vec<Tile>,
    first: Markup,
    last: Markup,
}

struct Tile {
    target: String,
    count: Markup,
    words: &'static str,
}

/// Writes the numbers.
pub fn glance(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let mut section = pages.section("glance", "")?;
    for partial in report.sources.iter().filter_map(|source| source.partial.as_ref()) {
        section.put(&exhibits::part(report, partial)?)?;
    }
    let mut tiles = Vec::new();
    let wallets = wallets(report)?;
    for (words, key, from) in COUNTED {
        let mut count = 0u64;
        for source in report.sources.iter().filter(|_| !from.is_empty()) {
            count += source.count(from)?;
        }
        let count = if from.is_empty() { wallets } else { i64::try_from(count).unwrap_or(i64::MAX) };
        let count = Markup::number(count);
        tiles.push(Tile { target: section.target(key, 1, key), count, words });
    }
    let (mut first, mut last) = (None, None);
    for source in &report.sources {
        source.each("", "SELECT min(first), max(last) FROM tally", &mut |cells| {
            first = [first, cells.integer(0)].into_iter().flatten().min();
            last = [last, cells.integer(1)].into_iter().flatten().max();
            Ok(())
        })?;
    }
    let [first, last] = [first, last].map(|time| Markup::time(time, None));
    section.row(&rendered(&Glance { tiles, first, last })?)?;
    section.finish("")
}

/// How many different wallet addresses the bundles have.
fn wallets(report: &Report) -> Result<i64, Error> {
    for source in &report.sources {
        let sql = "SELECT id, value, chain, validity FROM observable WHERE kind = 'wallet_address' ORDER BY id";
        source.each("", sql, &mut |cells| {
            let values = rusqlite::params![cells.text(0), cells.text(1), cells.text(2), cells.text(3)];
            report.scratch.put("INSERT OR IGNORE INTO observable VALUES (?1, 'wallet_address', ?2, ?3, ?4)", values)
        })?;
    }
    report.scratch.number("SELECT count(*) FROM observable", [])
}
