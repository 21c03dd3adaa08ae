//! What a report sorts by on its way, in a temporary SQLite file that SQLite itself removes: memory stays that of its cache.

use crate::Error;
use rusqlite::{Connection, OpenFlags, Params};
use std::path::PathBuf;

const SCHEMA: &str = "
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -32768;
CREATE TABLE chat (
  number INTEGER PRIMARY KEY, exhibit TEXT, app TEXT, title TEXT, thread_type TEXT, participants INTEGER,
  messages INTEGER, first INTEGER, last INTEGER, page INTEGER
);
CREATE TABLE chat_of (message TEXT PRIMARY KEY, page INTEGER) WITHOUT ROWID;
CREATE TABLE observable (id TEXT PRIMARY KEY, kind TEXT, value TEXT, chain TEXT, validity TEXT) WITHOUT ROWID;
CREATE TABLE seen (observable TEXT, exhibit TEXT, sightings INTEGER, PRIMARY KEY (observable, exhibit)) WITHOUT ROWID;
CREATE TABLE place (
  wallet TEXT, time INTEGER, sighting TEXT, exhibit TEXT, path TEXT, spot TEXT, message TEXT, app TEXT, sender TEXT, name TEXT,
  outgoing INTEGER, PRIMARY KEY (wallet, sighting)
) WITHOUT ROWID;
CREATE TABLE owner (app TEXT, account_key TEXT, exhibit TEXT, PRIMARY KEY (app, account_key)) WITHOUT ROWID;
CREATE TABLE person_row (
  number INTEGER PRIMARY KEY, id TEXT UNIQUE, exhibit TEXT, kind TEXT, app TEXT, key TEXT, name TEXT, state TEXT, own INTEGER, root INTEGER
);
CREATE TABLE person_value (space TEXT, value TEXT, number INTEGER, PRIMARY KEY (space, value, number)) WITHOUT ROWID;
CREATE TABLE person_link (number INTEGER, value TEXT, PRIMARY KEY (number, value)) WITHOUT ROWID;
CREATE TABLE node (id TEXT PRIMARY KEY, label TEXT, kind TEXT) WITHOUT ROWID;
CREATE TABLE edge (a TEXT, b TEXT, kind TEXT, messages INTEGER, PRIMARY KEY (a, b, kind)) WITHOUT ROWID;
BEGIN;
";

/// The temporary file.
pub struct Scratch(pub Connection);

/// An error of the temporary file.
pub fn failed(source: rusqlite::Error) -> Error {
    Error::Store { path: PathBuf::from("temporary file of the report"), source }
}

impl Scratch {
    /// An empty one.
    pub fn new() -> Result<Scratch, Error> {
        // The empty name is a file of SQLite's own, without a name once it is open.
        let connection = Connection::open_with_flags("", OpenFlags::default()).map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Scratch(connection))
    }

    /// Runs one statement.
    pub fn put(&self, sql: &str, values: impl Params) -> Result<(), Error> {
        let run = || self.0.prepare_cached(sql)?.execute(values);
        run().map_err(failed).map(|_rows| ())
    }

    /// Gives every row of a query to `take`.
    pub fn each(
        &self,
        sql: &str,
        values: impl Params,
        take: &mut dyn FnMut(&rusqlite::Row<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(values).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            take(row)?;
        }
        Ok(())
    }

    /// One number.
    pub fn number(&self, sql: &str, values: impl Params) -> Result<i64, Error> {
        let mut number = 0;
        self.each(sql, values, &mut |row| {
            number = row.get(0).map_err(failed)?;
            Ok(())
        })?;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_back_in_order() {
        let scratch = Scratch::new().unwrap();
        for value in ["b", "a", "c"] {
            scratch.put("INSERT INTO node VALUES (?1, ?1, 'person')", [value]).unwrap();
        }
        let mut seen = String::new();
        scratch
            .each("SELECT id FROM node ORDER BY id", [], &mut |row| {
                seen.push_str(&row.get::<_, String>(0).map_err(failed)?);
                Ok(())
            })
            .unwrap();
        assert_eq!((seen.as_str(), scratch.number("SELECT count(*) FROM node", []).unwrap()), ("abc", 3));
        assert!(scratch.put("INSERT INTO node VALUES (?1, '', '')", ["a"]).is_err());
    }
}
