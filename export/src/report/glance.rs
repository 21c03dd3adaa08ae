//! What there is, in numbers that lead to it: the first thing that a reader sees.

use super::Report;
use super::markup::Markup;
use super::pages::{Pages, rendered};
use crate::Error;
use askama::Template;

/// Words, where they lead to, and what is counted.
const COUNTED: [(&str, &str, &str); 10] = [
    ("exhibits", "exhibits", "exhibit"),
    ("messages", "conversations", "message"),
    ("of them deleted or older", "conversations", "(SELECT 1 FROM message WHERE state IN ('recovered', 'superseded'))"),
    ("chats", "chats", "tally"),
    ("calls", "calls", "call"),
    ("contacts", "contacts", "contact"),
    ("wallet addresses", "wallets", "(SELECT 1 FROM observable WHERE kind = 'wallet_address')"),
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
    let mut tiles = Vec::new();
    for (words, key, from) in COUNTED {
        let mut count = 0u64;
        for source in &report.sources {
            count += source.count(from)?;
        }
        let count = Markup::number(i64::try_from(count).unwrap_or(i64::MAX));
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
