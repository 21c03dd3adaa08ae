//! Whether a bundle holds: its rows give the root that was signed, and its ledger adds up.
//!
//! A bundle may come from a stranger: it is opened hardened, its schema is compared word for word before a row is read, and what its values
//! are is checked before they are used.

mod locate;
pub(crate) mod parts;
mod report;
mod rows;
mod rules;
pub(crate) mod seal;

pub use report::{PartSeal, Report, Signer, Wrong};

use crate::Error;
use crate::bundle::open::open_read_only;
use crate::bundle::schema::{self, Table};
use model::Digest;
use parts::{Part, Parts};
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;

/// Checks a bundle, merged or not. What is wrong with it is in the report; an error means that the file cannot be read as a database
/// at all.
pub fn verify(path: &Path) -> Result<Report, Error> {
    check(path).map(|(report, _)| report)
}

/// Checks a bundle; the parts of a merged one besides.
pub(crate) fn check(path: &Path) -> Result<(Report, Option<Vec<Part>>), Error> {
    let connection = open_read_only(path)?;
    let error = |source| Error::Store { path: path.to_owned(), source };
    let mut report = Report::default();
    let tables = check_form(&connection, &mut report).map_err(error)?;
    if !report.holds() {
        return Ok((report, None));
    }
    let Some(seed) = seed(&connection).map_err(error)? else {
        report.wrong("seed", Some("meta"), Some("bundle_seed".to_owned()), "is missing or not 64 hexadecimal digits");
        return Ok((report, None));
    };
    let mut parts = match is_merged(tables) {
        true => Some(Parts::read(&connection, &mut report).map_err(error)?),
        false => None,
    };
    rows::check(path, &connection, &rows::Checked { tables, seed: &seed }, parts.as_mut(), &mut report)?;
    seal::check(&connection, parts.as_ref().map(Parts::name), &mut report).map_err(error)?;
    if let Some(parts) = &parts {
        parts.check(&connection, &mut report).map_err(error)?;
    }
    rules::check(path, tables, &mut report)?;
    Ok((report, parts.map(Parts::into_parts)))
}

/// Refuses a file whose header or tables are not those of a bundle, merged or not.
pub(crate) fn require_form(path: &Path, connection: &Connection) -> Result<(), Error> {
    let mut report = Report::default();
    check_form(connection, &mut report).map_err(|source| Error::Store { path: path.to_owned(), source })?;
    match report.holds() {
        true => Ok(()),
        false => Err(Error::NotABundle { path: path.to_owned(), reason: report.to_string() }),
    }
}

/// Whether the tables are those of a merged bundle.
pub(crate) fn is_merged(tables: &[Table]) -> bool {
    tables.iter().any(|table| table.name == "part")
}

/// The header, and the schema word for word: no table, view, trigger or index that this version does not know. A bundle that has a
/// table `part` must have the tables of a merged one.
fn check_form(connection: &Connection, report: &mut Report) -> rusqlite::Result<&'static [Table]> {
    let numbers = [
        ("application_id", i64::from(schema::APPLICATION_ID)),
        ("user_version", i64::from(schema::FORMAT_VERSION)),
        ("freelist_count", 0),
    ];
    for (name, expected) in numbers {
        let found: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
        if found != expected {
            report.wrong("form", None, None, format!("{name} is {found}, not {expected}"));
        }
    }
    // A table's name stands twice, and SQLite reads it here only: both count.
    let sql = "SELECT type, name, CASE WHEN tbl_name = name THEN sql END FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found: Vec<(String, String, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?.unwrap_or_default()));
    }
    let merged = found.iter().any(|(_, name, _)| name == "part");
    let tables = if merged { schema::merged_tables() } else { schema::tables() };
    for table in tables {
        match found.iter().find(|(_, name, _)| name == table.name) {
            None => report.wrong("form", Some(table.name), None, "the table is missing"),
            Some((_, _, sql)) if sql != table.create => report.wrong("form", Some(table.name), None, "has other columns"),
            Some(_) => {}
        }
    }
    for (kind, name, _) in &found {
        if kind != "table" || !tables.iter().any(|table| table.name == name) {
            report.wrong("form", None, Some(name.clone()), format!("is a {kind} that does not belong in a bundle"));
        }
    }
    Ok(tables)
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

fn seed(connection: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    Ok(meta(connection, "bundle_seed")?.and_then(|hex| Digest::parse(&hex)).map(|digest| digest.0))
}
