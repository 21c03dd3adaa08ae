//! Exhibits: what they are, what was read of them, and the ledger that adds up.

use super::Report;
use super::markup::{Markup, thousands};
use super::pages::{Pages, rendered};
use super::source::Source;
use crate::Error;
use crate::share::PartialReport;
use askama::Template;
use std::collections::{BTreeMap, BTreeSet};

/// Tables whose rows are counted on an exhibit's card.
const COUNTED: &[&str] = &[
    "message",
    "thread",
    "account",
    "contact",
    "call",
    "attachment",
    "visit",
    "location",
    "device",
    "sighting",
    "secret",
    "problem",
];

/// How exhibits are called: by number, with the case where there are several.
pub fn names(sources: &[Source]) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    for source in sources {
        source.each("", "SELECT id, case_label, number FROM exhibit", &mut |cells| {
            let id = cells.text(0).unwrap_or_default();
            found.insert(id, (cells.text(1).unwrap_or_default(), cells.text(2).unwrap_or_default()));
            Ok(())
        })?;
    }
    let mut cases: Vec<&String> = found.values().map(|(case, _)| case).collect();
    cases.sort();
    cases.dedup();
    let one_case = cases.len() == 1;
    let name = |case: &str, number: &str| if one_case { number.to_owned() } else { format!("{case}/{number}") };
    Ok(found.iter().map(|(id, (case, number))| (id.clone(), name(case, number))).collect())
}

/// Exhibits that are named on every page; how many more there are is said.
const NAMED: usize = 6;

/// Cases and exhibits in one line.
pub fn subject(report: &Report) -> Result<Markup, Error> {
    let mut cases = BTreeSet::new();
    for source in &report.sources {
        source.each("", "SELECT DISTINCT case_label FROM exhibit", &mut |cells| {
            cases.extend(cells.words(0));
            Ok(())
        })?;
    }
    let word = if report.names.len() == 1 { "Exhibit" } else { "Exhibits" };
    let mut names: Vec<&String> = report.names.values().collect();
    names.sort();
    let more = names.len().saturating_sub(NAMED);
    let text = |text: &String| Markup::text(text, &report.mask);
    let names = Markup::joined(&names.into_iter().take(NAMED).map(text).collect::<Vec<_>>(), ", ");
    let cases = Markup::joined(&cases.iter().map(text).collect::<Vec<_>>(), ", ");
    let more = if more > 0 { Markup::word(&format!("and {more} more")) } else { Markup::nothing() };
    let part = |word: &str, parts: &[Markup]| match parts.iter().all(Markup::is_nothing) {
        true => Markup::nothing(),
        false => Markup::joined(&[&[Markup::word(word)][..], parts].concat(), " "),
    };
    Ok(Markup::joined(&[part("Case", &[cases]), part(word, &[names, more])], " · "))
}

#[derive(Template)]
#[template(path = "report/exhibit.html")]
struct Card {
    id: String,
    number: Markup,
    incomplete: bool,
    facts: Vec<(&'static str, Markup)>,
}

#[derive(Template)]
#[template(path = "report/part.html")]
struct Part {
    handling: Markup,
    rows: String,
    size: String,
    facts: Vec<(&'static str, Markup)>,
}

/// What was said when a part of a bundle was given: it binds whoever reads on.
pub fn part(report: &Report, partial: &PartialReport) -> Result<String, Error> {
    let said = |name: &str| partial.statement.get(name).cloned().unwrap_or_default();
    let text = |name: &str| Markup::text(&said(name), &report.mask);
    let key = |key: &Option<(String, String)>| key.as_ref().map(|(print, _)| Markup::code(print)).unwrap_or_default();
    let facts = vec![
        ("Purpose", text("purpose")),
        ("Reason", text("reason")),
        ("Keep until", text("retain_until")),
        ("Owners", text("owners")),
        ("Profile", text("profile")),
        ("Sealed by", key(&partial.sealer)),
        ("Shared by", key(&partial.sharer)),
        ("Hidden", Markup::text(&said("hidden").replace(' ', ", "), &report.mask)),
    ];
    let count = |rows: u64| thousands(i64::try_from(rows).unwrap_or(i64::MAX));
    rendered(&Part { handling: text("handling"), rows: count(partial.rows), size: count(partial.size), facts })
}

/// Counts by exhibit, one list a query.
type Counts = BTreeMap<String, Vec<(String, i64)>>;

/// A card for each exhibit.
pub fn overview(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let mut section = pages.section("exhibits", "")?;
    section.open("<div class=\"cards\">\n".to_owned(), "</div>\n")?;
    for source in &report.sources {
        let statuses = counts(source, "SELECT exhibit_id, status, count(*) FROM item GROUP BY 1, 2 ORDER BY 1, 2")?;
        let mut records = Counts::new();
        for table in COUNTED.iter().filter(|table| source.has(table)) {
            let sql = format!("SELECT exhibit_id, '{table}', count(*) FROM {table} GROUP BY 1 ORDER BY 1");
            for (exhibit, mut counted) in counts(source, &sql)? {
                records.entry(exhibit).or_default().append(&mut counted);
            }
        }
        let sql = "SELECT id, number, case_label, kind, container, size_bytes, sha256, items, directories, complete FROM exhibit ORDER BY number, id";
        source.each("", sql, &mut |cells| {
            let id = cells.text(0).unwrap_or_default();
            let text = |place: usize| Markup::maybe(cells.words(place).as_deref(), &report.mask);
            let number = |place: usize| cells.integer(place).map(Markup::number).unwrap_or_default();
            let facts = vec![
                ("Case", text(2)),
                ("Kind", Markup::joined(&[text(3), text(4)], ", ")),
                ("Size", cells.integer(5).map(size).unwrap_or_default()),
                ("SHA-256", cells.words(6).map(|digest| Markup::code(&digest)).unwrap_or_default()),
                ("Items", Markup::joined(&[number(7), listed(statuses.get(&id))], ": ")),
                ("Directories", number(8)),
                ("Records", listed(records.get(&id))),
            ];
            let incomplete = cells.integer(9) == Some(0);
            section.row(&rendered(&Card {
                number: text(1),
                incomplete,
                facts: facts.into_iter().filter(|(_, fact)| !fact.is_nothing()).collect(),
                id,
            })?)
        })?;
    }
    section.finish("The bundle names no exhibit.")
}

fn counts(source: &Source, sql: &str) -> Result<Counts, Error> {
    let mut counts = Counts::new();
    source.each("", sql, &mut |cells| {
        let word = (cells.text(1).unwrap_or_else(|| "?".to_owned()), cells.integer(2).unwrap_or(0));
        counts.entry(cells.text(0).unwrap_or_default()).or_default().push(word);
        Ok(())
    })?;
    Ok(counts)
}

fn listed(counts: Option<&Vec<(String, i64)>>) -> Markup {
    let words: Vec<String> = counts.into_iter().flatten().map(|(word, count)| format!("{word} {}", thousands(*count))).collect();
    Markup::word(&words.join(", "))
}

/// Bytes, exact and in a unit that a person reads.
pub fn size(bytes: i64) -> Markup {
    let units = [(1i64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let exact = format!("{} bytes", thousands(bytes));
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        // Tenths by whole numbers: no picture of a float can differ from machine to machine.
        Some((unit, name)) => {
            let tenths = i128::from(bytes) * 10 / i128::from(*unit);
            Markup::word(&format!("{}.{} {name} ({exact})", tenths / 10, tenths % 10))
        }
        None => Markup::word(&exact),
    }
}

/// Rows seen are records and rejected rows, source by source.
pub fn ledger(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let note =
        "Every row of every source that was read: rows seen = records + rejected. <code>haul verify</code> adds it up again.";
    let mut section = pages.section("ledger", note)?;
    section.table(&["Exhibit", "Source", "Records of", "#Rows seen", "#Records", "#Rejected", "Why rejected"])?;
    for source in &report.sources {
        let sql = "SELECT exhibit_id, source, record_kind, sum(rows_seen), sum(records), sum(rejected), reason
            FROM ledger GROUP BY exhibit_id, source, record_kind, reason ORDER BY 1, 2, 3, 7";
        source.each("", sql, &mut |cells| {
            let number = |place: usize| cells.integer(place).map(Markup::number).unwrap_or_default();
            section.cells(&[
                Markup::text(report.exhibit(cells.text(0).as_deref()), &report.mask),
                Markup::maybe(cells.words(1).as_deref(), &report.mask),
                Markup::maybe(cells.words(2).as_deref(), &report.mask),
                number(3),
                number(4),
                number(5),
                Markup::maybe(cells.words(6).as_deref(), &report.mask),
            ])
        })?;
    }
    section.finish("No source of rows was read.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_and_readable() {
        assert_eq!(size(0).to_string(), "0 bytes");
        assert_eq!(size(1536).to_string(), "1.5 KiB (1,536 bytes)");
        assert_eq!(size(i64::MAX).to_string(), "8388607.9 TiB (9,223,372,036,854,775,807 bytes)");
    }
}
