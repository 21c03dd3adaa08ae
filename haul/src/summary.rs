//! What is in a bundle, in words: what a technician sees when a run ends.

use anyhow::Result;
use model::text::escape;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Tables of records and what their live rows are called, in the order they are printed; rows of the others are told only if they are
/// deleted or older.
const RECORDS: [(&str, Option<&str>); 11] = [
    ("message", Some("messages")),
    ("thread", Some("threads")),
    ("contact", Some("contacts")),
    ("call", Some("calls")),
    ("device", Some("device facts")),
    ("attachment", Some("attachments")),
    ("visit", Some("visits")),
    ("location", Some("locations")),
    ("account", None),
    ("contact_point", None),
    ("participant", None),
];

/// Prints what is in a bundle to stdout and its problems to stderr; false if part of the exhibit could not be read to its end.
pub fn print(bundle: &Path) -> Result<bool> {
    let connection = export::open_read_only(bundle)?;
    let mut out = std::io::stdout().lock();
    let meta = |key: &str| -> Result<Option<String>> {
        let mut statement = connection.prepare("SELECT value FROM meta WHERE key = ?1")?;
        let mut rows = statement.query([key])?;
        Ok(rows.next()?.map(|row| row.get::<_, String>(0)).transpose()?)
    };
    writeln!(out, "{}", bundle.display())?;
    let (number, container): (String, String) =
        connection.query_row("SELECT number, container FROM exhibit", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    writeln!(out, "  exhibit {} ({})", escape(&number), escape(&container))?;
    grouped(&connection, &mut out, "items", "SELECT status, count(*) FROM item GROUP BY 1 ORDER BY 1")?;
    let (mut apps, mut not_live) = (BTreeMap::<String, i64>::new(), BTreeMap::<String, i64>::new());
    for (table, name) in RECORDS {
        let mut live = 0;
        for ((app, state), count) in counted(&connection, table)? {
            match state.as_str() {
                "live" => {
                    live += count;
                    if table == "message" {
                        *apps.entry(app).or_default() += count;
                    }
                }
                state => *not_live.entry(format!("{table} {state}")).or_default() += count,
            }
        }
        if let Some(name) = name.filter(|_| live > 0) {
            writeln!(out, "  {name}: {live}")?;
        }
    }
    for (name, table) in [("secrets", "secret"), ("problems", "problem")] {
        let count: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        if count > 0 {
            writeln!(out, "  {name}: {count}")?;
        }
    }
    list(&mut out, "messages by app", &apps)?;
    list(&mut out, "deleted and older", &not_live)?;
    grouped(&connection, &mut out, "observables", "SELECT kind, count(*) FROM observable GROUP BY 1 ORDER BY 1")?;
    let wallets = "SELECT chain, count(*) FROM observable WHERE kind = 'wallet_address' GROUP BY 1 ORDER BY 1";
    grouped(&connection, &mut out, "wallet addresses", wallets)?;
    let signer: String = connection.query_row("SELECT signer FROM seal", [], |row| row.get(0))?;
    writeln!(out, "  signed by: {}", escape(&signer))?;
    let mut words = Vec::new();
    grouped(&connection, &mut words, "problems", "SELECT code, count(*) FROM problem GROUP BY 1 ORDER BY 1")?;
    std::io::stderr().write_all(&words)?;
    Ok(meta("complete")?.as_deref() != Some("false"))
}

/// Rows of a table by app and state. A phone has hundreds of thousands of messages of few apps: SQLite would sort them all to count them.
fn counted(connection: &Connection, table: &str) -> Result<Vec<((String, String), i64)>> {
    let app = if table == "message" { "app" } else { "''" };
    let mut statement = connection.prepare(&format!("SELECT {app}, state FROM {table}"))?;
    let mut rows = statement.query([])?;
    let mut counts: Vec<((String, String), i64)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (app, state) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
        match counts.iter_mut().find(|((known, of), _)| known == app && of == state) {
            Some((_, count)) => *count += 1,
            None => counts.push(((app.to_owned(), state.to_owned()), 1)),
        }
    }
    Ok(counts)
}

fn grouped(connection: &Connection, out: &mut dyn Write, name: &str, sql: &str) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        let word: Option<String> = row.get(0)?;
        parts.push((word.unwrap_or_else(|| "?".to_owned()), row.get(1)?));
    }
    list(out, name, parts.iter().map(|(word, count)| (word, count)))
}

/// A line of words with their counts; none if there are none.
fn list<'l>(out: &mut dyn Write, name: &str, counts: impl IntoIterator<Item = (&'l String, &'l i64)>) -> Result<()> {
    let parts: Vec<_> = counts.into_iter().map(|(word, count)| format!("{} {count}", escape(word))).collect();
    if !parts.is_empty() {
        writeln!(out, "  {name}: {}", parts.join(", "))?;
    }
    Ok(())
}
