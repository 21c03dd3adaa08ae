//! What is worked out before rows are written: folded sightings, distinct observables, files of attachments, links, conflicts.
//!
//! It lies in files beside the working store, not in memory, and is made anew by every seal.

use super::entries::Entries;
use super::keys::Keys;
use super::source::{RECORDS, Source, decode, table_of};
use super::{fold, link, people};
use crate::Error;
use crate::bundle::schema::{self, Table};
use crate::sink::{Sink, store};
use model::{Body, Code, Digest, Id, Kind, Problem, Record, Stage};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const SCHEMA: &str = "
CREATE TABLE place (
  kind INTEGER, item BLOB, what BLOB, id BLOB, finder INTEGER, record BLOB, field TEXT, field_offset INTEGER,
  byte_offset INTEGER, row_table TEXT, row_id INTEGER, range_first INTEGER, range_end INTEGER, PRIMARY KEY (kind, item, what, id)
) WITHOUT ROWID;
CREATE TABLE folded (
  kind INTEGER, id BLOB, finders INTEGER, record BLOB, field TEXT, field_offset INTEGER, row_table TEXT,
  row_id INTEGER, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE observable (id BLOB PRIMARY KEY, kind TEXT, value TEXT, chain TEXT, validity INTEGER) WITHOUT ROWID;
CREATE TABLE problem (id BLOB PRIMARY KEY, body BLOB) WITHOUT ROWID;
CREATE TABLE conflict (id BLOB PRIMARY KEY, records INTEGER) WITHOUT ROWID;";

/// Files of attachments, and accounts of one person, are found by a thread of their own, in a file of their own.
const LINKS_SCHEMA: &str = "
CREATE TABLE linked (id BLOB PRIMARY KEY, item BLOB) WITHOUT ROWID;
CREATE TABLE file (reversed BLOB, id BLOB, PRIMARY KEY (reversed, id)) WITHOUT ROWID;
CREATE TABLE digest (sha256 TEXT, id BLOB, PRIMARY KEY (sha256, id)) WITHOUT ROWID;";

/// The scratch of one seal.
pub struct Scratch {
    path: PathBuf,
    links: PathBuf,
    store: PathBuf,
    keys: Keys,
    exhibit: i64,
    exhibit_id: Id,
}

impl Scratch {
    /// Works everything out for an exhibit.
    pub fn make(sink: &Sink, exhibit: Id) -> Result<Scratch, Error> {
        let number = sink.number_of(exhibit).ok_or_else(|| Error::Incomplete(format!("exhibit {exhibit} is unknown")))?;
        let beside = |ending: &str| sink.path().with_extension(ending);
        let (path, links) = (beside("scratch"), beside("links"));
        remove([&path, &links])?;
        let keys = Keys::make(&beside("keys"), sink.connection(), number)?;
        let scratch = Scratch { path, links, store: sink.path().to_owned(), keys, exhibit: number, exhibit_id: exhibit };
        std::thread::scope(|scope| {
            let links = scope.spawn(|| {
                scratch.fill(&scratch.links, &[LINKS_SCHEMA, people::SCHEMA].concat(), |work| {
                    link::link_all(work)?;
                    people::link_all(work)
                })
            });
            scratch.fill(&scratch.path, SCHEMA, |work| {
                work.conflicts(sink.connection())?;
                fold::fold_all(work)
            })?;
            links.join().map_err(|_| Error::Thread)?
        })?;
        Ok(scratch)
    }

    /// Makes one of the files.
    fn fill(&self, path: &Path, schema: &str, fill: impl FnOnce(&Work<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let error = |source| self.error(source);
        let connection = self.connect(path).map_err(error)?;
        connection.execute_batch("BEGIN").map_err(error)?;
        connection.execute_batch(schema).map_err(error)?;
        fill(&Work { connection: &connection, entries: self.entries()?, scratch: self })?;
        connection.execute_batch("COMMIT").map_err(error)
    }

    #[allow(clippy::disallowed_methods, reason = "a scratch of our own, not evidence")]
    fn connect(&self, path: &Path) -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "OFF")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        connection.set_prepared_statement_cache_capacity(32);
        // Plans that do not depend on bound values: otherwise a statement is prepared anew for each.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(connection)
    }

    /// A connection that reads what was worked out: the folded as `main`, the links as `links`.
    pub fn read(&self) -> rusqlite::Result<Connection> {
        let connection = self.connect(&self.path)?;
        connection.execute("ATTACH ?1 AS links", [self.links.to_string_lossy()])?;
        // One transaction for all that is read: each of its own would look for journals again.
        connection.execute_batch("BEGIN")?;
        Ok(connection)
    }

    /// A way to the entries of the exhibit.
    pub fn entries(&self) -> Result<Entries<'_>, Error> {
        Entries::open(&self.store, &self.keys)
    }

    /// The keys of its entries.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The exhibit.
    pub fn exhibit(&self) -> Id {
        self.exhibit_id
    }

    /// Removes its files.
    pub fn remove(&self) -> Result<(), Error> {
        remove([&self.path, &self.links])?;
        self.keys.remove()
    }

    /// How many rows each table but `meta` will have.
    pub fn row_counts(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        let connection = self.read().map_err(|source| self.error(source))?;
        let ask = |sql: &str| {
            let rows = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            rows.map(i64::unsigned_abs).map_err(|source| self.error(source))
        };
        let count = |table: &Table| {
            let rows = match Source::of(table.name) {
                Some(Source::Entries(kind)) => self.keys.count(kind),
                Some(Source::Problems) => self.keys.count(Kind::Problem) + ask("SELECT count(*) FROM problem")?,
                Some(Source::Folded(kind)) => ask(&format!("SELECT count(*) FROM folded WHERE kind = {}", kind as u8))?,
                Some(Source::Links) => ask("SELECT count(*) FROM links.link")?,
                Some(Source::Observables) => ask("SELECT count(*) FROM observable")?,
                _ => u64::from(table.name == "exhibit"),
            };
            Ok((table.name, rows))
        };
        schema::tables().iter().filter(|table| table.sealed() && table.name != "meta").map(count).collect()
    }

    /// An error of its files.
    pub fn error(&self, source: rusqlite::Error) -> Error {
        Error::Store { path: self.path.clone(), source }
    }
}

/// Removes files, of which some may not be there.
fn remove<const N: usize>(paths: [&PathBuf; N]) -> Result<(), Error> {
    paths.into_iter().try_for_each(|path| match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Io { path: path.clone(), source }),
        _ => Ok(()),
    })
}

/// What fills a scratch: its connection, and a way to the entries.
pub struct Work<'w> {
    pub(super) connection: &'w Connection,
    pub(super) entries: Entries<'w>,
    scratch: &'w Scratch,
}

impl Work<'_> {
    pub(super) fn error(&self, source: rusqlite::Error) -> Error {
        self.scratch.error(source)
    }

    /// The kind of the record with that id: the first one, if it may be, else any.
    pub(super) fn record(&self, id: Id, first: Kind) -> Result<Option<Kind>, Error> {
        let others = RECORDS.iter().map(|(_, kind)| *kind).filter(|kind| *kind != first);
        for kind in std::iter::once(first).chain(others) {
            if self.entries.has(kind, id)? {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    /// First byte of a record and the byte after its last, where its locator has them.
    pub(super) fn range(&self, kind: Kind, id: Id) -> Result<Option<(u64, u64)>, Error> {
        match self.entries.body(kind, id)? {
            Some(Body::Record(record)) => Ok(record.provenance().locator.range()),
            _ => Ok(None),
        }
    }

    /// The path of an item of the exhibit; empty if there is no such item.
    pub(super) fn item_path(&self, id: Id) -> Result<String, Error> {
        match self.entries.body(Kind::Item, id)? {
            Some(Body::Item(item)) => Ok(item.path),
            _ => Ok(String::new()),
        }
    }

    /// Adds a problem that sealing met.
    pub(super) fn problem(&self, item: Option<Id>, code: Code, detail: String) -> Result<(), Error> {
        let body = Body::Problem(Problem { exhibit: self.scratch.exhibit_id, item, stage: Stage::Export, code, detail });
        let sql = "INSERT INTO main.problem VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let insert = self.connection.execute(sql, params![body.id().bytes(), model::wire::to_bytes(&body)]);
        insert.map(drop).map_err(|source| self.error(source))
    }

    /// Says of every body that shares its id with the one that counts that it was dropped, and how that changes the ledger.
    fn conflicts(&self, store: &Connection) -> Result<(), Error> {
        let mut dropped: BTreeMap<(Id, &'static str, Option<String>), i64> = BTreeMap::new();
        let sql = "SELECT kind, id, sha256, body FROM version WHERE exhibit = ?1 ORDER BY kind, id, sha256";
        let mut statement = store.prepare(sql).map_err(|source| self.error(source))?;
        let mut rows = statement.query([self.scratch.exhibit]).map_err(|source| self.error(source))?;
        while let Some(row) = rows.next().map_err(|source| self.error(source))? {
            let read = || Ok((row.get::<_, u8>(0)?, Id(row.get(1)?), Digest(row.get(2)?), row.get::<_, Vec<u8>>(3)?));
            let (_, id, sha256, body) = read().map_err(|source| self.error(source))?;
            let body = decode(id, &body)?;
            let kept = store::held(store, self.scratch.exhibit, body.kind(), id).map_err(|source| self.error(source))?;
            let (_, _, kept) = kept.ok_or_else(|| self.error(rusqlite::Error::QueryReturnedNoRows))?;
            let kept_body = decode(id, &kept)?;
            let table = table_of(kept_body.kind());
            let kept = Digest::of(&kept);
            let detail = format!("{table} {id}: an entry with sha256 {sha256} was dropped for one with sha256 {kept}");
            self.problem(kept_body.item(), Code::Conflict, detail)?;
            if let Body::Record(record) = &body
                && !matches!(record, Record::Thread(thread) if thread.implied)
            {
                let provenance = record.provenance();
                let row_table = provenance.locator.table().map(str::to_owned);
                *dropped.entry((provenance.item, record.kind(), row_table)).or_default() += 1;
            }
        }
        if dropped.is_empty() { Ok(()) } else { self.charge(dropped) }
    }

    /// Writes dropped records to the account of the first ledger row that counted them.
    fn charge(&self, mut dropped: BTreeMap<(Id, &'static str, Option<String>), i64>) -> Result<(), Error> {
        self.entries.each(Kind::Ledger, |id, body| {
            let Body::Ledger(row) = body else { return Ok(()) };
            let group =
                RECORDS.iter().find(|(name, _)| *name == row.record_kind).map(|(name, _)| (row.item, *name, row.row_table));
            if let Some(records) = group.and_then(|group| dropped.remove(&group)) {
                let insert = self.connection.execute("INSERT INTO main.conflict VALUES (?1, ?2)", params![id.bytes(), records]);
                insert.map_err(|source| self.error(source))?;
            }
            Ok(())
        })
    }
}
