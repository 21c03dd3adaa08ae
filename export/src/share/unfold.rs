//! A partial bundle as the tables of a whole one, for whoever only reads: the report, the search, exports and matches.

use super::open::{PartialReport, check, is_partial};
use crate::bundle::schema::{self, Column, Table, Type};
use crate::bundle::value::Value;
use crate::{Error, open_read_only};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::path::Path;

/// A bundle to read from.
pub struct Readable {
    /// The tables of a bundle. Of a partial one: rows that were given, NULL where a field is hidden, in a temporary file of SQLite's.
    pub connection: Connection,
    /// What a partial bundle says of itself, and the tables of which it has rows.
    pub partial: Option<(PartialReport, BTreeSet<&'static str>)>,
}

/// Opens a bundle, whole or partial, to read it.
///
/// # Errors
/// A file that is no bundle; a partial bundle that does not hold: what was shared must not be read without what was said of it.
pub fn open_readable(path: &Path) -> Result<Readable, Error> {
    if !is_partial(path)? {
        return Ok(Readable { connection: open_read_only(path)?, partial: None });
    }
    let report = check(path)?;
    if report.wrong.is_some() {
        return Err(Error::DoesNotHold { path: path.to_owned(), words: report.to_string() });
    }
    let from = open_read_only(path)?;
    let (connection, given) = unfold(&from).map_err(|source| Error::Store { path: path.to_owned(), source })?;
    Ok(Readable { connection, partial: Some((report, given)) })
}

fn unfold(from: &Connection) -> rusqlite::Result<(Connection, BTreeSet<&'static str>)> {
    // The empty name is a file of SQLite's own, without a name once it is open.
    let to = Connection::open_with_flags("", OpenFlags::default())?;
    to.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")?;
    for table in schema::merged_tables() {
        to.execute_batch(&create(table))?;
    }
    let mut given = BTreeSet::new();
    let mut statement = from.prepare("SELECT name, shown FROM row ORDER BY leaf")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, shown): (String, String) = (row.get(0)?, row.get(1)?);
        let table = schema::merged_tables().iter().find(|table| table.name == name);
        let (Some(table), Ok(fields)) = (table, serde_json::from_str::<Map<String, Json>>(&shown)) else { continue };
        given.insert(table.name);
        let values = table.columns.iter().map(|column| value(column, fields.get(column.name).and_then(|field| field.get(1))));
        to.prepare_cached(&table.insert())?.execute(params_from_iter(values))?;
    }
    from.query_row("SELECT checkpoint, signature, signer FROM seal", [], |row| {
        let seal: [String; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
        to.execute("INSERT INTO seal (checkpoint, signature, signer) VALUES (?1, ?2, ?3)", seal)
    })?;
    to.execute_batch("COMMIT; PRAGMA query_only = ON")?;
    Ok((to, given))
}

/// The table, without what a row with hidden fields would not meet.
fn create(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| format!("{} {}", column.name, word(column.kind))).collect();
    let key = table.columns.first().map_or("", |column| column.name);
    format!("CREATE TABLE {0} ({1}); CREATE INDEX {0}_key ON {0} ({key});", table.name, columns.join(", "))
}

fn word(kind: Type) -> &'static str {
    match kind {
        Type::Blob | Type::Any => "",
        Type::Text => "TEXT",
        Type::Integer => "INTEGER",
    }
}

/// What a field's JSON stands for: the way back from [`Value::write_json`].
fn value(column: &Column, json: Option<&Json>) -> Value {
    match (json, column.kind) {
        (Some(Json::Number(number)), _) => number.as_i64().map_or(Value::Null, Value::Integer),
        (Some(Json::String(text)), Type::Blob) => bytes(text).map_or(Value::Null, Value::Blob),
        (Some(Json::String(text)), Type::Integer) => text.parse().map_or(Value::Null, Value::Integer),
        (Some(Json::String(text)), _) => Value::Text(text.clone()),
        _ => Value::Null,
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_as_it_was() {
        let column = |kind| Column { name: "a", kind, required: false, field: Vec::new(), salt: None };
        for (kind, was) in [
            (Type::Blob, Value::Blob(vec![0, 0xff])),
            (Type::Text, Value::Text("007".to_owned())),
            (Type::Integer, Value::Integer(i64::MIN)),
            (Type::Integer, Value::Integer(-7)),
            (Type::Any, Value::Integer(7)),
            (Type::Any, Value::Text("+7".to_owned())),
        ] {
            let mut json = Vec::new();
            was.write_json(&mut json);
            assert_eq!(value(&column(kind), serde_json::from_slice(&json).ok().as_ref()), was);
        }
        assert_eq!(value(&column(Type::Text), None), Value::Null);
        assert_eq!((bytes("0"), bytes("zz"), bytes("+1")), (None, None, None));
    }

    #[test]
    fn every_table_can_be_made() {
        let connection = Connection::open_in_memory().unwrap();
        for table in schema::merged_tables() {
            connection.execute_batch(&create(table)).unwrap();
        }
    }
}
