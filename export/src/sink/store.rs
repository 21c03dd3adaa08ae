//! The file of a working store: a SQLite database of blocks of entries, with what is counted and how far the stream was read.

use super::block::Block;
use crate::Error;
use model::{Id, Kind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Bytes of a page: one block each.
pub const PAGE_BYTES: i64 = 65_536;

/// `user_version` of a store: the version of its form.
const FORM: i32 = 2;

/// Pages of the write-ahead log before it is folded back: larger than several transactions, so that a page that changes
/// in each of them is copied, and synced, once.
const LOG_PAGES: i64 = 4096;

const SCHEMA: &str = "
CREATE TABLE exhibit (
  number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, entries INTEGER NOT NULL DEFAULT 0, items INTEGER NOT NULL DEFAULT 0,
  directories INTEGER NOT NULL DEFAULT 0, ingest_problems INTEGER NOT NULL DEFAULT 0, present INTEGER NOT NULL DEFAULT 0,
  end_items INTEGER, end_directories INTEGER, end_problems INTEGER, sealed_entries INTEGER,
  sealed TEXT
) STRICT;
CREATE TABLE block (
  seq INTEGER PRIMARY KEY, exhibit INTEGER NOT NULL, kind INTEGER NOT NULL, first BLOB NOT NULL, last BLOB NOT NULL,
  entries INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE INDEX block_bounds ON block (exhibit, kind, first, last, entries);
CREATE TABLE version (
  exhibit INTEGER NOT NULL, kind INTEGER NOT NULL, id BLOB NOT NULL, sha256 BLOB NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (exhibit, kind, id, sha256)
) STRICT, WITHOUT ROWID;
CREATE TABLE item (
  exhibit INTEGER NOT NULL, id BLOB NOT NULL, stored INTEGER NOT NULL, announced INTEGER, status TEXT,
  PRIMARY KEY (exhibit, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_open ON item (exhibit) WHERE stored IS NOT announced;
CREATE TABLE position (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;";

/// Opens a working store, or makes it: ours alone, so the schema may be trusted, but the process may die at any moment.
#[allow(clippy::disallowed_methods, reason = "the working store is our own, not evidence")]
pub fn connect(path: &Path, cache_bytes: u64) -> Result<Connection, Error> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // In WAL mode NORMAL keeps the store consistent through a crash; what a power cut loses is delivered or walked again.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        // Folding the log back at the end would copy a store that is about to be removed; whoever opens it again reads its log.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let kibibytes = i64::try_from(cache_bytes >> 10).unwrap_or(i64::MAX);
        connection.pragma_update(None, "cache_size", -kibibytes)?;
        connection.set_prepared_statement_cache_capacity(64);
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            // One transaction: a store has its form and its tables, or neither.
            connection.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {FORM}; COMMIT"))?;
        }
        Ok(connection)
    };
    let connection = open().map_err(|source| Error::Store { path: path.to_owned(), source })?;
    check_form(&connection, path)?;
    Ok(connection)
}

/// Refuses a store of another form: what it holds would be misread.
pub fn check_form(connection: &Connection, path: &Path) -> Result<(), Error> {
    let form = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i32>(0));
    match form.map_err(|source| Error::Store { path: path.to_owned(), source })? {
        FORM => Ok(()),
        _ => Err(Error::OtherForm(path.to_owned())),
    }
}

/// Takes the lock that keeps two processes out of one store.
pub fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| Error::Io { path: path.clone(), source })?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked(path)),
        Err(errno) => Err(Error::Io { path, source: errno.into() }),
    }
}

/// A block of a kind, without its content.
pub struct Bounds {
    /// Its number in the store.
    pub seq: i64,
    /// Its smallest id.
    pub first: Id,
    /// Its largest id.
    pub last: Id,
}

/// The blocks of a kind that may hold ids from the first to the last, in the order of their own first ids.
pub fn bounds(connection: &Connection, exhibit: i64, kind: Kind, (first, last): (Id, Id)) -> rusqlite::Result<Vec<Bounds>> {
    let sql =
        "SELECT seq, first, last FROM block WHERE exhibit = ?1 AND kind = ?2 AND first <= ?4 AND last >= ?3 ORDER BY first, seq";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![exhibit, kind as u8, first.bytes(), last.bytes()], |row| {
        Ok(Bounds { seq: row.get(0)?, first: Id(row.get(1)?), last: Id(row.get(2)?) })
    })?;
    rows.collect()
}

/// Looks into a block.
pub fn look<T>(connection: &Connection, seq: i64, look: impl FnOnce(Block<'_>) -> Option<T>) -> rusqlite::Result<T> {
    let mut statement = connection.prepare_cached("SELECT content FROM block WHERE seq = ?1")?;
    statement.query_row([seq], |row| {
        let content = row.get_ref(0)?.as_blob()?;
        // A block of ours that is none: the file was changed by something else.
        Block::read(content).and_then(look).ok_or(rusqlite::Error::InvalidQuery)
    })
}

/// Where an entry is held: its block, its place there, its body.
pub type Held = (i64, usize, Vec<u8>);

/// The entry of that kind and id, if it is held.
pub fn held(connection: &Connection, exhibit: i64, kind: Kind, id: Id) -> rusqlite::Result<Option<Held>> {
    for Bounds { seq, .. } in bounds(connection, exhibit, kind, (id, id))? {
        let find = |block: Block<'_>| match block.find(id) {
            Some(place) => Some(Some((seq, place, block.body(place)?.to_vec()))),
            None => Some(None),
        };
        if let Some(found) = look(connection, seq, find)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// How many entries of a kind are held.
pub fn count(connection: &Connection, exhibit: i64, kind: Kind) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce(sum(entries), 0) FROM block WHERE exhibit = ?1 AND kind = ?2";
    connection.prepare_cached(sql)?.query_row(params![exhibit, kind as u8], |row| row.get(0))
}

/// Calls `take` with every id that is held.
pub fn each_id(connection: &Connection, mut take: impl FnMut(Id)) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT content FROM block")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let block = Block::read(row.get_ref(0)?.as_blob()?).ok_or(rusqlite::Error::InvalidQuery)?;
        block.ids().iter().for_each(|id| take(Id(*id)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a store of our own")]
    fn a_store_of_another_form_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("working.sqlite");
        // As the first form began.
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE entry (seq INTEGER PRIMARY KEY, body BLOB)").unwrap();
        let refused = |found: Result<Connection, Error>| match found {
            Err(error @ Error::OtherForm(_)) => error.to_string().contains("remove the folder"),
            _ => false,
        };
        assert!(refused(connect(&path, 1 << 20)));
        let settings = config::Export::default();
        assert!(matches!(crate::Sink::open(&path, &settings), Err(Error::OtherForm(_))));
        assert!(matches!(crate::progress(&path), Err(Error::OtherForm(_))));
        let tables: i64 =
            Connection::open(&path).unwrap().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }
}
