//! What a reader must know to trust the rest: secrets, problems, custody, and how to check the bundle.

use super::Report;
use super::markup::Markup;
use super::pages::{Pages, Section, rendered};
use crate::Error;
use askama::Template;

/// Secrets by kind and place; their values only when asked for.
pub fn secrets(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let note = if report.show_secrets { "" } else { "Values are masked here and wherever else in this report they stand." };
    let mut section = pages.section("secrets", note)?;
    section.table(&["Exhibit", "Kind", "Of", "Value", "File", "Place", "Id"])?;
    for source in &report.sources {
        let sql = "SELECT secret.exhibit_id, kind, detail, value, item.path, row_table, row_id, byte_offset, secret.id
            FROM secret LEFT JOIN item ON item.id = secret.item_id ORDER BY 1, kind, item.path, secret.id";
        source.each("", sql, &mut |cells| {
            let text = |place: usize| Markup::maybe(cells.words(place).as_deref(), &report.mask);
            let value = if report.show_secrets { text(3) } else { Markup::text("•••••••• masked", &report.mask) };
            let place = spot(cells.text(5).as_deref(), cells.integer(6), cells.integer(7));
            section.cells(&[
                Markup::text(report.exhibit(cells.text(0).as_deref()), &report.mask),
                text(1),
                text(2),
                value,
                text(4),
                Markup::text(&place, &report.mask),
                Markup::code(&cells.text(8).unwrap_or_default()),
            ])
        })?;
    }
    section.finish("None were found.")
}

/// Where in its file something stands.
pub fn spot(row_table: Option<&str>, row_id: Option<i64>, byte_offset: Option<i64>) -> String {
    match (row_table, row_id, byte_offset) {
        (Some(table), Some(row), _) => format!("{table}, row {row}"),
        (_, _, Some(offset)) => format!("byte {offset}"),
        _ => String::new(),
    }
}

/// Problems, then the items that were not read to their end.
pub fn problems(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let mut section =
        pages.section("problems", "What could not be read, where and why; then every item that was not read to its end.")?;
    section.table(&["Exhibit", "Problem", "Stage", "File", "Detail"])?;
    for source in &report.sources {
        let sql = "SELECT problem.exhibit_id, code, stage, item.path, detail FROM problem
            LEFT JOIN item ON item.id = problem.item_id ORDER BY 1, code, item.path, problem.id";
        source.each("", sql, &mut |cells| {
            let [code, stage, path, detail] =
                [1, 2, 3, 4].map(|place| Markup::maybe(cells.words(place).as_deref(), &report.mask));
            section.cells(&[Markup::text(report.exhibit(cells.text(0).as_deref()), &report.mask), code, stage, path, detail])
        })?;
    }
    section.table_of("Items not read to their end", &["Exhibit", "Status", "Why", "File", "#Bytes", "SHA-256"])?;
    for source in &report.sources {
        let sql = "SELECT exhibit_id, status, reason, path, size_bytes, sha256 FROM item WHERE status NOT IN ('parsed', 'plain')
            ORDER BY 1, status, path, id";
        source.each("", sql, &mut |cells| {
            let [status, reason, path] = [1, 2, 3].map(|place| Markup::maybe(cells.words(place).as_deref(), &report.mask));
            section.cells(&[
                Markup::text(report.exhibit(cells.text(0).as_deref()), &report.mask),
                status,
                reason,
                path,
                cells.integer(4).map(Markup::number).unwrap_or_default(),
                cells.words(5).map(|digest| Markup::code(&digest)).unwrap_or_default(),
            ])
        })?;
    }
    section.finish("None: every item was read to its end.")
}

/// Who did what: the chain beside each bundle, checked, and what a bundle itself has (nothing when it is sealed: times are no sealed
/// content).
pub fn custody(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let note = "What was done with each bundle, from the file that lies beside it: each entry is signed and follows from the one before. \
        Entries cut off from its end do not show: compare the head with the one that was handed over on paper.";
    let mut section = pages.section("custody", note)?;
    for source in &report.sources {
        let custody = source.custody()?;
        if custody.chain.entries.is_empty() && custody.wrong.is_none() {
            continue;
        }
        let name = Markup::text(&source.name(), &report.mask);
        let title = Markup::joined(&[Markup::word("Beside"), name], " ");
        section.table_of(&title.to_string(), &["#No.", "Time", "Action", "Who", "Reason", "Detail", "Signed by"])?;
        for entry in &custody.chain.entries {
            let text = |text: &str| Markup::text(text, &report.mask);
            let details: Vec<Markup> = entry.detail.iter().map(|(name, value)| text(&format!("{name}: {value}"))).collect();
            section.cells(&[
                Markup::number(i64::try_from(entry.seq).unwrap_or(i64::MAX)),
                Markup::time(Some(entry.time), None),
                text(&entry.action),
                text(&entry.actor),
                text(&entry.reason),
                Markup::joined(&details, "; "),
                Markup::code(&entry.fingerprint().unwrap_or_default()),
            ])?;
        }
        section.open(String::new(), "")?;
        section.row(&match &custody.wrong {
            Some(wrong) => format!("<p class=\"warn\">It does not hold: {}</p>\n", Markup::text(wrong, &report.mask)),
            None => format!("<p>It holds. Head: {}</p>\n", Markup::code(custody.chain.head())),
        })?;
    }
    stored(report, &mut section)?;
    section.finish("There is no custody file beside the bundles: what was done with them since they were sealed is not told.")
}

/// Entries in the bundle itself.
fn stored(report: &Report, section: &mut Section<'_>) -> Result<(), Error> {
    section.table_of("In the bundle", &["#No.", "Time", "Action", "Who", "Detail", "Signed"])?;
    for source in &report.sources {
        let sql = "SELECT seq, time, action, actor, detail, signature IS NOT NULL FROM custody ORDER BY seq";
        source.each("", sql, &mut |cells| {
            let [action, actor, detail] = [2, 3, 4].map(|place| Markup::maybe(cells.words(place).as_deref(), &report.mask));
            section.cells(&[
                cells.integer(0).map(Markup::number).unwrap_or_default(),
                Markup::time(cells.integer(1), None),
                action,
                actor,
                detail,
                Markup::word(if cells.integer(5) == Some(1) { "yes" } else { "no" }),
            ])
        })?;
    }
    Ok(())
}

#[derive(Template)]
#[template(path = "report/seal.html")]
struct Seal {
    title: &'static str,
    checkpoint: Markup,
    signer: Markup,
    signature: Markup,
}

#[derive(Template)]
#[template(path = "report/verify.html")]
struct How;

/// The seals, and what to type.
pub fn verify(report: &Report, pages: &mut Pages) -> Result<(), Error> {
    let mut section = pages.section("verify", "")?;
    section.put(&rendered(&How)?)?;
    for source in &report.sources {
        for (title, sql) in [
            ("Seal", "SELECT checkpoint, signer, signature FROM seal"),
            ("Seal of a part", "SELECT checkpoint, signer, signature FROM part ORDER BY id"),
        ] {
            source.each("", sql, &mut |cells| {
                let text = |place: usize| Markup::maybe(cells.words(place).as_deref(), &report.mask);
                section.row(&rendered(&Seal { title, checkpoint: text(0), signer: text(1), signature: text(2) })?)
            })?;
        }
    }
    section.finish("A bundle without a seal cannot be checked.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_names_the_row_before_the_byte() {
        assert_eq!(spot(Some("message"), Some(7), Some(9)), "message, row 7");
        assert_eq!((spot(None, None, Some(9)), spot(Some("m"), None, None)), ("byte 9".to_owned(), String::new()));
    }
}
