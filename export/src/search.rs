//! Search: every text of the searched tables, row by row, in any script.
//!
//! Without an [`Index`] all texts are read each time (about a million rows a second); with one, the rows that can have what is looked
//! for. Texts and words are compared as [`fold`] makes them, as substrings, so that scripts without spaces (Chinese, Thai, Khmer,
//! Burmese) are searched like any other; a number also as people write numbers, with spaces, dashes and brackets.

mod fold;
mod han;
mod index;
mod matcher;

pub use fold::{fold, number};
pub use index::{Index, name};

use crate::Error;
use crate::bundle::schema::{Table, table};
use crate::share::open_readable;
use matcher::Matcher;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Rows, Statement};
use std::path::Path;

/// A table that is searched: its name, the columns with text, the column with its time.
struct Searched {
    table: &'static str,
    texts: &'static [&'static str],
    time: Option<&'static str>,
}

/// What is searched, in this order. Secrets are not.
const SEARCHED: &[Searched] = &[
    Searched {
        table: "message",
        texts: &["text", "subject", "quoted_text", "sender", "recipient", "extra"],
        time: Some("sent_time"),
    },
    Searched { table: "contact", texts: &["display_name", "organization", "note", "extra"], time: None },
    Searched { table: "contact_point", texts: &["value", "raw"], time: None },
    Searched { table: "call", texts: &["remote", "remote_phone", "remote_name"], time: Some("start_time") },
    Searched { table: "account", texts: &["account_key", "display_name", "phone", "phone_raw", "about", "extra"], time: None },
    Searched { table: "thread", texts: &["thread_key", "name"], time: Some("created_time") },
    Searched { table: "attachment", texts: &["path", "name", "url"], time: None },
    Searched { table: "visit", texts: &["url", "title", "referrer", "extra"], time: Some("visit_time") },
    Searched { table: "location", texts: &["label", "extra"], time: Some("located_time") },
    Searched { table: "device", texts: &["value", "raw", "label"], time: None },
    Searched { table: "observable", texts: &["value"], time: None },
    Searched { table: "item", texts: &["path", "sha256", "sha1", "md5"], time: Some("modified_time") },
];

/// Every kind that a search can be limited to: the searched tables, then the kinds of observables.
pub const KINDS: &[&str] = &[
    "message",
    "contact",
    "contact_point",
    "call",
    "account",
    "thread",
    "attachment",
    "visit",
    "location",
    "device",
    "observable",
    "item",
    "wallet_address",
    "payment_uri",
    "email_address",
    "phone_number",
    "url",
    "iban",
    "extended_public_key",
];

/// What is looked for.
#[derive(Debug, Default)]
pub struct Query {
    /// Words that a row must all have, anywhere in its texts.
    pub words: Vec<String>,
    /// A watch list: a row must have one of these, if there are any.
    pub selectors: Vec<String>,
    /// Only these kinds ([`KINDS`]); all if empty.
    pub kinds: Vec<String>,
    /// Only rows at or after this time, microseconds since 1970 UTC; rows without a time are left out.
    pub since_us: Option<i64>,
    /// Only rows before this time.
    pub until_us: Option<i64>,
    /// Only this exhibit number.
    pub exhibit: Option<String>,
}

/// A row that has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit {
    /// The table.
    pub table: &'static str,
    /// The row's id, hexadecimal.
    pub id: String,
    /// Its time, microseconds since 1970 UTC.
    pub time_us: Option<i64>,
    /// The column that has the (first) word.
    pub column: &'static str,
    /// That column's text, whole.
    pub text: String,
    /// The selector that it has, if a watch list was given.
    pub selector: Option<String>,
    /// `live`, `superseded` or `recovered`, for records.
    pub state: Option<String>,
}

/// Gives every row of a bundle that the query fits, table by table, in the order of ids: the same with an index of it and without.
pub fn search<E: From<Error>>(
    bundle: &Path,
    query: &Query,
    index: Option<&Index>,
    take: &mut dyn FnMut(Hit) -> Result<(), E>,
) -> Result<(), E> {
    let connection = open_readable(bundle)?.connection;
    let matcher = Matcher::new(query)?;
    // An index that fails on the way is as good as none: the rows are scanned.
    let numbers = index.and_then(|index| index.rows(&matcher).unwrap_or(None));
    for (place, searched) in SEARCHED.iter().enumerate() {
        let Some(table) = table(searched.table) else { continue };
        if !query.kinds.is_empty() && !query.kinds.iter().any(|kind| kind_is_of(kind, searched.table)) {
            continue;
        }
        let error = |source| Error::Store { path: bundle.to_owned(), source };
        // Of which exhibit a value is, is not in its row: asked a value at a time, that would be slower than a scan.
        let costly = query.exhibit.is_some() && searched.table == "observable";
        let candidates = index.filter(|_| !costly).and_then(|index| index.candidates(place, numbers.as_deref()).unwrap_or(None));
        let asked = Asked { searched, query, matcher: &matcher, candidates };
        rows(&connection, table, &asked, take).map_err(|failure| match failure {
            Failure::Read(source) => error(source).into(),
            Failure::Taken(error) => error,
        })?;
    }
    Ok(())
}

/// Whether a kind is the table or, for observables, one of their kinds.
fn kind_is_of(kind: &str, table: &str) -> bool {
    kind == table || (table == "observable" && !SEARCHED.iter().any(|searched| searched.table == kind))
}

enum Failure<E> {
    Read(rusqlite::Error),
    Taken(E),
}

impl<E> From<rusqlite::Error> for Failure<E> {
    fn from(error: rusqlite::Error) -> Failure<E> {
        Failure::Read(error)
    }
}

/// What is asked of one table.
struct Asked<'a> {
    searched: &'a Searched,
    query: &'a Query,
    matcher: &'a Matcher,
    /// Ids of the only rows to look at, in order; all rows if there are none.
    candidates: Option<Vec<Vec<u8>>>,
}

fn statement(table: &Table, asked: &Asked<'_>) -> String {
    let Asked { searched, query, .. } = asked;
    let has_exhibit = table.column("exhibit_id").is_some();
    let mut conditions = Vec::new();
    if asked.candidates.is_some() {
        conditions.push("id = :id".to_owned());
    }
    if query.exhibit.is_some() {
        let of = "(SELECT id FROM exhibit WHERE number = :exhibit)";
        conditions.push(if has_exhibit {
            format!("exhibit_id IN {of}")
        } else {
            format!("id IN (SELECT observable_id FROM sighting WHERE exhibit_id IN {of})")
        });
    }
    let time = searched.time.unwrap_or("NULL");
    if query.since_us.is_some() {
        conditions.push(format!("{time} >= :since"));
    }
    if query.until_us.is_some() {
        conditions.push(format!("{time} < :until"));
    }
    let kind = if searched.table == "observable" { "kind" } else { "NULL" };
    let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let state = if table.column("state").is_some() { "state" } else { "NULL" };
    format!("SELECT id, {time}, {kind}, {state}, {} FROM {}{filter} ORDER BY id", searched.texts.join(", "), searched.table)
}

fn rows<E>(
    connection: &Connection,
    table: &Table,
    asked: &Asked<'_>,
    take: &mut dyn FnMut(Hit) -> Result<(), E>,
) -> Result<(), Failure<E>> {
    let mut statement = connection.prepare(&statement(table, asked))?;
    bind(&mut statement, ":exhibit", &asked.query.exhibit)?;
    bind(&mut statement, ":since", &asked.query.since_us)?;
    bind(&mut statement, ":until", &asked.query.until_us)?;
    let Some(ids) = &asked.candidates else { return hits(statement.raw_query(), asked, take) };
    for id in ids {
        bind(&mut statement, ":id", id)?;
        hits(statement.raw_query(), asked, take)?;
    }
    Ok(())
}

fn bind(statement: &mut Statement<'_>, name: &str, value: &dyn rusqlite::ToSql) -> rusqlite::Result<()> {
    match statement.parameter_index(name)? {
        Some(place) => statement.raw_bind_parameter(place, value),
        None => Ok(()),
    }
}

fn hits<E>(mut rows: Rows<'_>, asked: &Asked<'_>, take: &mut dyn FnMut(Hit) -> Result<(), E>) -> Result<(), Failure<E>> {
    let Asked { searched, query, matcher, .. } = asked;
    let mut texts = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: Option<String> = row.get(2)?;
        let wanted = |wanted: &String| wanted == searched.table || kind.as_ref() == Some(wanted);
        if !query.kinds.is_empty() && !query.kinds.iter().any(wanted) {
            continue;
        }
        texts.clear();
        for place in 0..searched.texts.len() {
            texts.push(match row.get_ref(4 + place)? {
                ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
                _ => None,
            });
        }
        if let Some((place, selector)) = matcher.matches(&texts) {
            let id: Vec<u8> = row.get(0)?;
            let hit = Hit {
                table: searched.table,
                id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
                time_us: row.get(1)?,
                column: searched.texts[place],
                text: texts[place].clone().unwrap_or_default(),
                selector,
                state: row.get(3)?,
            };
            take(hit).map_err(Failure::Taken)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_searched_column_exists_and_secrets_are_not_searched() {
        for searched in SEARCHED {
            let table = table(searched.table).unwrap();
            for column in searched.texts.iter().chain(&searched.time) {
                assert!(table.column(column).is_some(), "{}.{column}", searched.table);
            }
            assert!(KINDS.contains(&searched.table));
            assert_ne!(searched.table, "secret");
        }
    }
}
