//! The file, and the statement that goes with it.

use super::policy::Policy;
use super::{APPLICATION_ID, Draft, FORMAT_VERSION, NAMESPACE, Request, Shown, UNKNOWN_OWNER};
use crate::bundle::schema::{PAGE_SIZE, Table};
use crate::bundle::value::write_string;
use crate::seal::put_in_place;
use crate::{Error, UnitKey};
use model::Digest;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The tables of a partial bundle, word for word.
pub const SQL: &str = include_str!("partial.sql");

/// A view that shows the rows of a table as a bundle has them: what is hidden is NULL.
pub fn view(table: &Table) -> String {
    let columns: Vec<_> = table.columns.iter().map(|column| format!("shown->>'$.{0}[1]' AS {0}", column.name)).collect();
    format!("CREATE VIEW {0} AS SELECT leaf, {1} FROM row WHERE name = '{0}'", table.name, columns.join(", "))
}

/// Adds one row to the digest of all: place, table, shown fields, hidden digests in hexadecimal, a line each.
pub fn add_row(digest: &mut Sha256, leaf: u64, table: &str, shown: &[u8], hidden: &[u8]) {
    digest.update(format!("{leaf}\n{table}\n"));
    digest.update(shown);
    let hex: String = hidden.iter().map(|byte| format!("{byte:02x}")).collect();
    digest.update(format!("\n{hex}\n"));
}

/// What is given to whom and why: a JSON object of texts, members in order (RFC 8785).
pub(super) fn statement(
    request: &Request<'_>,
    key: &UnitKey,
    checkpoint: &str,
    rows: &[Shown],
    policy: &Policy,
    tables: &'static [Table],
) -> String {
    let mut digest = Sha256::new();
    rows.iter().for_each(|row| add_row(&mut digest, row.leaf, row.table, &row.shown, &row.hidden));
    let given: BTreeSet<&str> = rows.iter().map(|row| row.table).collect();
    let given = tables.iter().filter(|table| given.contains(table.name));
    let hidden: Vec<_> = given.flat_map(|table| policy.hidden(table).map(|column| format!("{}.{column}", table.name))).collect();
    let members: BTreeMap<&str, String> = [
        ("checkpoint_sha256", Digest::of(checkpoint.as_bytes()).to_string()),
        ("format", "haul partial bundle 1".to_owned()),
        ("handling", request.handling.to_owned()),
        ("hidden", hidden.join(" ")),
        ("owners", request.owners.unwrap_or(UNKNOWN_OWNER).to_owned()),
        ("profile", request.profile.name.clone()),
        ("purpose", request.purpose.to_owned()),
        ("reason", request.reason.to_owned()),
        ("recipients", request.recipients.join("\n")),
        ("retain_until", request.retain_until.to_owned()),
        ("rows", rows.len().to_string()),
        ("rows_sha256", Digest(digest.finalize().into()).to_string()),
        ("sharer", key.fingerprint()),
    ]
    .into();
    let mut text = vec![b'{'];
    for (name, value) in &members {
        if text.len() > 1 {
            text.push(b',');
        }
        write_string(name, &mut text);
        text.push(b':');
        write_string(value, &mut text);
    }
    text.push(b'}');
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes the file beside its name, then renames it.
pub(super) fn write(draft: &Draft, out: &Path, key: &UnitKey) -> Result<(), Error> {
    if out.exists() {
        return Err(Error::Share(format!("{} is there already", out.display())));
    }
    let mut unfinished = out.as_os_str().to_owned();
    unfinished.push(".writing");
    let unfinished = Path::new(&unfinished);
    match std::fs::remove_file(unfinished) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::Io { path: unfinished.to_owned(), source });
        }
        _ => {}
    }
    let signature = key.sign_as(NAMESPACE, draft.statement.as_bytes())?;
    fill(draft, unfinished, &signature, &key.public_line())
        .map_err(|source| Error::Store { path: unfinished.to_owned(), source })?;
    std::fs::File::open(unfinished)
        .and_then(|file| file.sync_all())
        .map_err(|source| Error::Io { path: unfinished.to_owned(), source })?;
    put_in_place(unfinished, out)
}

/// A new file that holds what leaves and has never held anything else.
#[allow(clippy::disallowed_methods, reason = "a file of our own")]
fn fill(draft: &Draft, path: &Path, signature: &str, signer: &str) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "encoding", "UTF-8")?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT_VERSION)?;
    connection.execute_batch("BEGIN")?;
    for sql in SQL.split_terminator(";\n") {
        connection.execute_batch(sql)?;
    }
    let [checkpoint, sealed, sealer] = &draft.seal;
    connection.execute("INSERT INTO seal VALUES (?1, ?2, ?3)", [checkpoint, sealed, sealer])?;
    connection.execute("INSERT INTO statement VALUES (?1, ?2, ?3)", [&draft.statement, signature, signer])?;
    let mut insert = connection.prepare("INSERT INTO row VALUES (?1, ?2, ?3, ?4)")?;
    let mut given = BTreeSet::new();
    for Shown { leaf, table, shown, hidden } in &draft.rows {
        given.insert(*table);
        insert.execute(params![*leaf as i64, table, String::from_utf8_lossy(shown), hidden])?;
    }
    drop(insert);
    let mut insert = connection.prepare("INSERT INTO node VALUES (?1, ?2, ?3)")?;
    for (first, leaves, hash) in &draft.nodes {
        insert.execute(params![*first as i64, *leaves as i64, hash])?;
    }
    drop(insert);
    for table in crate::bundle::schema::merged_tables().iter().filter(|table| given.contains(table.name)) {
        connection.execute_batch(&view(table))?;
    }
    connection.execute_batch("COMMIT")?;
    connection.close().map_err(|(_, error)| error)
}
