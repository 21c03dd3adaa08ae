//! What is in a bundle, in words: what a technician sees when a run ends.

use anyhow::Result;
use model::text::escape;
use rusqlite::Connection;
use std::io::Write;
use std::path::Path;

/// Counts of one bundle, in the order they are printed.
const COUNTS: &[(&str, &str)] = &[
    ("messages", "SELECT count(*) FROM message WHERE state = 'live'"),
    ("threads", "SELECT count(*) FROM thread WHERE state = 'live'"),
    ("contacts", "SELECT count(*) FROM contact WHERE state = 'live'"),
    ("calls", "SELECT count(*) FROM call WHERE state = 'live'"),
    ("device facts", "SELECT count(*) FROM device WHERE state = 'live'"),
    ("attachments", "SELECT count(*) FROM attachment WHERE state = 'live'"),
    ("visits", "SELECT count(*) FROM visit WHERE state = 'live'"),
    ("locations", "SELECT count(*) FROM location WHERE state = 'live'"),
    ("secrets", "SELECT count(*) FROM secret"),
    ("problems", "SELECT count(*) FROM problem"),
];

/// Records that are deleted, or older versions of live ones, by kind.
const NOT_LIVE: &str = "SELECT kind || ' ' || state, count(*) FROM (
  SELECT 'message' AS kind, state FROM message UNION ALL SELECT 'thread', state FROM thread UNION ALL SELECT 'account', state FROM account
  UNION ALL SELECT 'contact', state FROM contact UNION ALL SELECT 'contact_point', state FROM contact_point
  UNION ALL SELECT 'call', state FROM call UNION ALL SELECT 'attachment', state FROM attachment
  UNION ALL SELECT 'participant', state FROM participant UNION ALL SELECT 'device', state FROM device
  UNION ALL SELECT 'visit', state FROM visit UNION ALL SELECT 'location', state FROM location)
  WHERE state <> 'live' GROUP BY 1 ORDER BY 1";

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
    for (name, sql) in COUNTS {
        let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        if count > 0 {
            writeln!(out, "  {name}: {count}")?;
        }
    }
    grouped(
        &connection,
        &mut out,
        "messages by app",
        "SELECT app, count(*) FROM message WHERE state = 'live' GROUP BY 1 ORDER BY 1",
    )?;
    grouped(&connection, &mut out, "deleted and older", NOT_LIVE)?;
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

fn grouped(connection: &Connection, out: &mut dyn Write, name: &str, sql: &str) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        let word: Option<String> = row.get(0)?;
        let count: i64 = row.get(1)?;
        parts.push(format!("{} {count}", escape(word.as_deref().unwrap_or("?"))));
    }
    if !parts.is_empty() {
        writeln!(out, "  {name}: {}", parts.join(", "))?;
    }
    Ok(())
}
