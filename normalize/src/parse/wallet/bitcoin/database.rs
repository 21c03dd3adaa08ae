//! Wallets in SQLite: table `main(key, value)` of BLOBs; the application id is the magic number of the chain (`wallet/sqlite.cpp`).

use super::{Entry, record, tell};
use crate::artifact::schema::Schema;
use crate::emit::Emit;
use crate::recover::{Recovered, Row, Source, Value};
use crate::scratch;
use model::provenance::Carved;
use model::{Digest, Locator, State};
use rusqlite::Connection;
use std::path::Path;

/// Name and version in the definition of its records.
const NAME: &str = "bitcoin_core";
const VERSION: &str = "bitcoin_core\n1\n";
const TABLE: &str = "main";

/// A row with the place it stands at.
struct Pair {
    key: Vec<u8>,
    value: Vec<u8>,
    place: Locator,
    state: State,
}

/// Reads the database if it is such a wallet; `None` if it is not, else whether all of it was read.
pub fn read_database(
    connection: &Connection,
    folder: &Path,
    recover: bool,
    schema: &Schema,
    emit: &mut Emit<'_>,
) -> Option<bool> {
    let columns = schema.columns(TABLE)?;
    if columns != ["key", "value"] {
        return None;
    }
    let mut complete = true;
    let mut pairs = match live(connection) {
        Ok(pairs) => pairs,
        Err(error) => {
            emit.problem(scratch::code(&error), format!("table {TABLE}: {}", scratch::reason(&error)));
            return Some(false);
        }
    };
    if !pairs.iter().any(|pair| record::is_known(&pair.key)) {
        return None;
    }
    emit.define(NAME, Digest::of(VERSION.as_bytes()));
    if recover {
        complete = recovered(connection, folder, &mut pairs, emit);
    }
    let magic = connection.query_row("PRAGMA main.application_id", [], |row| row.get::<_, i32>(0)).map(i32::cast_unsigned);
    let entries: Vec<Entry<'_>> = pairs
        .iter()
        .map(|pair| Entry { key: &pair.key, value: &pair.value, place: pair.place.clone(), state: pair.state })
        .collect();
    let path = emit.unit().primary.item.path.clone();
    tell::wallet(&entries, &path, magic.ok(), emit);
    Some(complete)
}

fn live(connection: &Connection) -> rusqlite::Result<Vec<Pair>> {
    let mut statement = connection.prepare("SELECT rowid, key, value FROM main.main ORDER BY rowid")?;
    let rows = statement.query_map([], |row| {
        let bytes = |column: usize| row.get_ref(column).map(|value| value.as_bytes().unwrap_or_default().to_vec());
        let place = Locator::Row { table: TABLE.to_owned(), row_id: row.get(0)? };
        Ok(Pair { key: bytes(1)?, value: bytes(2)?, place, state: State::Live })
    })?;
    rows.collect()
}

/// Adds rows that are not live, whose key and value are whole.
fn recovered(connection: &Connection, folder: &Path, pairs: &mut Vec<Pair>, emit: &mut Emit<'_>) -> bool {
    let mut found = match Recovered::read(connection, folder) {
        Ok(found) => found,
        Err(error) => {
            emit.problem(scratch::code(&error), format!("deleted rows: {}", scratch::reason(&error)));
            return false;
        }
    };
    loop {
        for obstacle in &found.problems {
            emit.problem(obstacle.code, obstacle.detail.as_str());
        }
        let table = found.tables.iter().position(|table| !table.dropped && table.name.eq_ignore_ascii_case(TABLE));
        for row in table.map(|table| found.of(table)).unwrap_or_default() {
            if let [Some(Value::Blob(key)), Some(Value::Blob(value))] = row.values.as_slice()
                && row.cut.is_none()
                && record::is_known(key)
            {
                pairs.push(Pair { key: key.clone(), value: value.clone(), place: carved(row), state: row.state });
            }
        }
        if !found.read_on(connection) {
            return true;
        }
    }
}

fn carved(row: &Row) -> Locator {
    let companion = (row.source != Source::Database).then(|| row.source.name().to_owned());
    Locator::Carved(Box::new(Carved {
        table: TABLE.to_owned(),
        row_id: row.row_id,
        companion,
        page: row.page,
        offset: row.offset,
        length: row.length,
        confidence: row.doubts.to_string(),
        version: false,
    }))
}
