//! Stores of Firefox' extensions and pages: IndexedDB in SQLite, table `object_data`, whose values are cloned and packed
//! (`dom/indexedDB/SchemaUpgrades.cpp`).

use super::{Place, Sweep, clone};
use crate::artifact::schema::Schema;
use crate::emit::Emit;
use crate::scratch;
use model::{Code, Digest};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Name and version in the definition of its records: they are a sweep's, as those of LevelDB are.
const NAME: &str = "indexeddb_firefox";
const VERSION: &str = "indexeddb_firefox\n1\n";
const TABLE: &str = "object_data";

/// Sweeps the database if it is such a store; whether it is.
pub fn read_database(connection: &Connection, schema: &Schema, emit: &mut Emit<'_>) -> bool {
    let is_store = schema.columns(TABLE).is_some_and(|columns| {
        ["object_store_id", "key", "data"].iter().all(|column| columns.iter().any(|known| known == column))
    });
    if !is_store || schema.columns("object_store").is_none() {
        return false;
    }
    emit.define(NAME, Digest::of(VERSION.as_bytes()));
    let size = emit.unit().primary.item.size_bytes;
    let mut sweep = Sweep::new("Firefox storage", emit);
    let swept = rows(connection, size, &mut sweep);
    sweep.finish();
    if let Err(error) = swept {
        emit.problem(scratch::code(&error), format!("table {TABLE}: {}", scratch::reason(&error)));
    }
    true
}

/// The table has no rowids: a value is found by its key, its place is the whole database.
fn rows(connection: &Connection, size: u64, sweep: &mut Sweep<'_, '_>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT object_store_id, key, data FROM main.object_data ORDER BY 1, 2")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let store = match row.get_ref(0)? {
            ValueRef::Integer(store) => store.to_string(),
            other => format!("of type {}", other.data_type()),
        };
        let name = match row.get_ref(1)? {
            ValueRef::Blob(key) | ValueRef::Text(key) => {
                clone::firefox_key(key).unwrap_or_else(|| crate::decode::base64::hex(key))
            }
            other => format!("of type {}", other.data_type()),
        };
        // Large values are numbers of files beside the database.
        let ValueRef::Blob(data) = row.get_ref(2)? else {
            let detail = format!("{TABLE} {store}/{name}: a value that lies in a file beside the database");
            sweep.emit().problem(Code::Unsupported, detail);
            continue;
        };
        let place = Place { keys: &[TABLE, &store, &name], range: (0, size), verbatim: false };
        match clone::firefox(data) {
            Some(value) => sweep.cloned(place, value),
            None => {
                sweep.emit().problem(Code::ValueUndecodable, format!("{TABLE} {store}/{name}: a value that cannot be unpacked"))
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Scratch, records};
    use crate::parse::Outcome;
    use model::Record;

    #[test]
    fn accounts_in_packed_values() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE object_store (id INTEGER PRIMARY KEY, name TEXT);
                 CREATE TABLE object_data (object_store_id INTEGER NOT NULL, key BLOB NOT NULL, index_data_values BLOB, file_ids TEXT,
                   data BLOB NOT NULL, PRIMARY KEY (object_store_id, key)) WITHOUT ROWID",
            )
            .unwrap();
        let word = |tag: u32, data: u32| (u64::from(tag) << 32 | u64::from(data)).to_le_bytes().to_vec();
        let text = "{\"accounts\":{\"0x66f9c09118b1c726bc24811a611baf60af42070a\":{\"name\":\"till\"}}}";
        let mut plain = [word(0xfff1_0000, 2), word(0xffff_0004, 1 << 31 | text.len() as u32), text.as_bytes().to_vec()].concat();
        plain.resize(plain.len().div_ceil(8) * 8, 0);
        let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        connection.execute("INSERT INTO object_data VALUES (1, x'306562756200', NULL, NULL, ?1)", [packed]).unwrap();
        connection.execute("INSERT INTO object_data VALUES (1, x'3063', NULL, NULL, x'ff')", []).unwrap();
        connection.execute("INSERT INTO object_data VALUES (1, x'3064', NULL, NULL, 1)", []).unwrap();
        let schema = Schema::read(&connection).unwrap();
        let bodies = Scratch::new("moz-extension+++u/idb/1.sqlite", b"x").run(|_, emit| {
            assert!(read_database(&connection, &schema, emit));
            Outcome::parsed()
        });
        assert!(matches!(records(&bodies)[..], [Record::Account(account)] if account.display_name.as_deref() == Some("till")));
        let codes: Vec<_> = crate::evidence::problems(&bodies).iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, ["value_undecodable", "unsupported"]);
    }
}
