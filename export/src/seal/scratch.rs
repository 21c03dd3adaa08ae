//! What is worked out before rows are written: folded sightings, distinct observables, files of attachments, links, conflicts.
//!
//! It lies in files beside the working store, not in memory, and is made anew by every seal.

use super::source::{RECORDS, Source, decode, table_of};
use super::{fold, link, people};
use crate::Error;
use crate::bundle::schema;
use crate::sink::Sink;
use model::{Body, Code, Digest, Id, Kind, Problem, Record, Stage};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const SCHEMA: &str = "
CREATE TABLE place (
  kind INTEGER, item BLOB, what BLOB, id BLOB, seq INTEGER, finder INTEGER, record BLOB, field TEXT, field_offset INTEGER,
  byte_offset INTEGER, row_table TEXT, row_id INTEGER, range_first INTEGER, range_end INTEGER, PRIMARY KEY (kind, item, what, id)
) WITHOUT ROWID;
CREATE TABLE folded (
  kind INTEGER, id BLOB, seq INTEGER, finders INTEGER, record BLOB, field TEXT, field_offset INTEGER, row_table TEXT,
  row_id INTEGER, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE observable (id BLOB PRIMARY KEY, kind TEXT, value TEXT, chain TEXT, validity INTEGER) WITHOUT ROWID;
CREATE TABLE problem (id BLOB PRIMARY KEY, body BLOB) WITHOUT ROWID;
CREATE TABLE conflict (id BLOB PRIMARY KEY, records INTEGER) WITHOUT ROWID;";

/// Files of attachments, and accounts of one person, are found by a thread of their own, in a file of their own.
const LINKS_SCHEMA: &str = "
CREATE TABLE linked (id BLOB PRIMARY KEY, item BLOB) WITHOUT ROWID;
CREATE TABLE file (reversed BLOB, id BLOB, PRIMARY KEY (reversed, id)) WITHOUT ROWID;
CREATE TABLE digest (sha256 TEXT, id BLOB, PRIMARY KEY (sha256, id)) WITHOUT ROWID;
CREATE TABLE suffix (path BLOB PRIMARY KEY, item BLOB) WITHOUT ROWID;";

/// The scratch of one seal.
pub struct Scratch {
    path: PathBuf,
    links: PathBuf,
    store: PathBuf,
    exhibit: i64,
    exhibit_id: Id,
}

impl Scratch {
    /// Works everything out for an exhibit.
    pub fn make(sink: &Sink, exhibit: Id) -> Result<Scratch, Error> {
        let number = sink.number_of(exhibit).ok_or_else(|| Error::Incomplete(format!("exhibit {exhibit} is unknown")))?;
        let (path, links) = (sink.path().with_extension("scratch"), sink.path().with_extension("links"));
        let scratch = Scratch { path, links, store: sink.path().to_owned(), exhibit: number, exhibit_id: exhibit };
        scratch.remove()?;
        std::thread::scope(|scope| {
            let links = scope.spawn(|| {
                let schema = [LINKS_SCHEMA, people::SCHEMA].concat();
                scratch.fill(&scratch.links, &schema, exhibit, |work| {
                    link::link_all(work)?;
                    people::link_all(work)
                })
            });
            scratch.fill(&scratch.path, SCHEMA, exhibit, |work| {
                work.conflicts()?;
                fold::fold_all(work)
            })?;
            links.join().map_err(|_| Error::Thread)?
        })?;
        Ok(scratch)
    }

    /// Makes one of the files.
    fn fill(&self, path: &Path, schema: &str, exhibit: Id, fill: impl Fn(&Work<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let error = |source| self.error(source);
        let connection = self.connect(path).map_err(error)?;
        connection.execute_batch("BEGIN").map_err(error)?;
        connection.execute_batch(schema).map_err(error)?;
        fill(&Work { connection: &connection, scratch: self, exhibit })?;
        connection.execute_batch("COMMIT").map_err(error)
    }

    #[allow(clippy::disallowed_methods, reason = "a scratch of our own, not evidence")]
    fn connect(&self, path: &Path) -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "OFF")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        connection.execute("ATTACH ?1 AS store", [self.store.to_string_lossy()])?;
        connection.pragma_update(Some("store"), "cache_size", -16_384)?;
        connection.set_prepared_statement_cache_capacity(32);
        // Plans that do not depend on bound values: otherwise a statement is prepared anew for each.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(connection)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the files of attachments and the links are told.
    pub fn links(&self) -> &Path {
        &self.links
    }

    /// The working store.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// The exhibit.
    pub fn exhibit_id(&self) -> Id {
        self.exhibit_id
    }

    /// The exhibit's number in the working store.
    pub fn exhibit(&self) -> i64 {
        self.exhibit
    }

    /// Removes both files.
    pub fn remove(&self) -> Result<(), Error> {
        [&self.path, &self.links].into_iter().try_for_each(|path| match fs::remove_file(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::Io { path: path.clone(), source }),
            _ => Ok(()),
        })
    }

    /// How many rows each table but `meta` will have.
    pub fn row_counts(&self) -> Result<Vec<(&'static str, i64)>, Error> {
        let count = |connection: &Connection, name: &'static str| {
            let of_kind = "SELECT count(*) FROM store.entry WHERE exhibit = ?1 AND kind = ?2";
            let ask = |sql: &str, kind: Kind| connection.query_row(sql, params![self.exhibit, kind as u8], |row| row.get(0));
            Ok((
                name,
                match Source::of(name) {
                    Some(Source::Entries(kind)) => ask(of_kind, kind)?,
                    Some(Source::Problems) => {
                        ask(of_kind, Kind::Problem)?
                            + connection.query_row("SELECT count(*) FROM main.problem", [], |row| row.get::<_, i64>(0))?
                    }
                    Some(Source::Folded(kind)) => {
                        connection
                            .query_row("SELECT count(*) FROM main.folded WHERE kind = ?1", [kind as u8], |row| row.get(0))?
                    }
                    Some(Source::Links) => connection.query_row("SELECT count(*) FROM links.link", [], |row| row.get(0))?,
                    Some(Source::Observables) => {
                        connection.query_row("SELECT count(*) FROM main.observable", [], |row| row.get(0))?
                    }
                    _ => i64::from(name == "exhibit"),
                },
            ))
        };
        let read = || -> rusqlite::Result<Vec<_>> {
            let connection = self.connect(&self.path)?;
            connection.execute("ATTACH ?1 AS links", [self.links.to_string_lossy()])?;
            let sealed = schema::tables().iter().filter(|table| table.sealed() && table.name != "meta");
            sealed.map(|table| count(&connection, table.name)).collect()
        };
        read().map_err(|source| self.error(source))
    }

    fn error(&self, source: rusqlite::Error) -> Error {
        Error::Store { path: self.path.clone(), source }
    }
}

/// The connection that fills a scratch: the scratch itself, with the working store attached.
pub struct Work<'w> {
    pub(super) connection: &'w Connection,
    scratch: &'w Scratch,
    pub(super) exhibit: Id,
}

impl Work<'_> {
    pub(super) fn error(&self, source: rusqlite::Error) -> Error {
        self.scratch.error(source)
    }

    /// Calls `take` with every entry of a kind in the order of ids, decoded.
    pub(super) fn each(&self, kind: Kind, take: impl FnMut(i64, Id, Body) -> Result<(), Error>) -> Result<(), Error> {
        self.each_of("SELECT seq, id, body FROM store.entry WHERE exhibit = ?1 AND kind = ?2 ORDER BY id", kind, take)
    }

    /// The same in the order of their arrival, for callers that do not depend on it: entries of a kind lie side by side in what one
    /// transaction stored, so each page is read once, and none that holds other kinds alone.
    pub(super) fn each_as_it_came(&self, kind: Kind, take: impl FnMut(i64, Id, Body) -> Result<(), Error>) -> Result<(), Error> {
        let sql = "SELECT entry.seq, entry.id, entry.body FROM (SELECT seq FROM store.entry INDEXED BY entry_key
                   WHERE exhibit = ?1 AND kind = ?2 ORDER BY seq) AS listed CROSS JOIN store.entry ON entry.seq = listed.seq";
        self.each_of(sql, kind, take)
    }

    fn each_of(&self, sql: &str, kind: Kind, mut take: impl FnMut(i64, Id, Body) -> Result<(), Error>) -> Result<(), Error> {
        let mut statement = self.connection.prepare(sql).map_err(|source| self.error(source))?;
        let mut rows = statement.query(params![self.scratch.exhibit, kind as u8]).map_err(|source| self.error(source))?;
        while let Some(row) = rows.next().map_err(|source| self.error(source))? {
            let read = || Ok((row.get(0)?, Id(row.get(1)?), row.get_ref(2)?.as_blob()?));
            let (seq, id, body) = read().map_err(|source| self.error(source))?;
            take(seq, id, decode(id, body)?)?;
        }
        Ok(())
    }

    /// Whether the exhibit has entries of a kind.
    pub(super) fn any(&self, kind: Kind) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM store.entry WHERE exhibit = ?1 AND kind = ?2)";
        let any = self.connection.query_row(sql, params![self.scratch.exhibit, kind as u8], |row| row.get(0));
        any.map_err(|source| self.error(source))
    }

    /// Whether the exhibit holds a record of the first kind, else of any: where its body lies in the store, and its kind.
    pub(super) fn record(&self, id: Id, first: Kind) -> Result<Option<(i64, Kind)>, Error> {
        // The index knows it: no body is read.
        let sql = "SELECT seq FROM store.entry WHERE exhibit = ?1 AND kind = ?2 AND id = ?3";
        let mut statement = self.connection.prepare_cached(sql).map_err(|source| self.error(source))?;
        let others = RECORDS.iter().map(|(_, kind)| *kind).filter(|kind| *kind != first);
        for kind in std::iter::once(first).chain(others) {
            let parameters = params![self.scratch.exhibit, kind as u8, id.bytes()];
            let found = statement.query_row(parameters, |row| row.get(0)).optional();
            if let Some(seq) = found.map_err(|source| self.error(source))? {
                return Ok(Some((seq, kind)));
            }
        }
        Ok(None)
    }

    /// First byte of a record and the byte after its last, where its locator has them.
    pub(super) fn range(&self, seq: i64, id: Id) -> Result<Option<(u64, u64)>, Error> {
        let read = || {
            let mut statement = self.connection.prepare_cached("SELECT body FROM store.entry WHERE seq = ?1")?;
            statement.query_row([seq], |row| row.get::<_, Vec<u8>>(0))
        };
        let body = decode(id, &read().map_err(|source| self.error(source))?)?;
        Ok(if let Body::Record(record) = body { record.provenance().locator.range() } else { None })
    }

    /// The path of an item of the exhibit; empty if there is no such item.
    pub(super) fn item_path(&self, id: Id) -> Result<String, Error> {
        let sql = "SELECT body FROM store.entry WHERE exhibit = ?1 AND kind = ?2 AND id = ?3";
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let parameters = params![self.scratch.exhibit, Kind::Item as u8, id.bytes()];
            statement.query_row(parameters, |row| row.get::<_, Vec<u8>>(0)).optional()
        };
        match read().map_err(|source| self.error(source))?.map(|body| decode(id, &body)).transpose()? {
            Some(Body::Item(item)) => Ok(item.path),
            _ => Ok(String::new()),
        }
    }

    /// Adds a problem that sealing met.
    pub(super) fn problem(&self, item: Option<Id>, code: Code, detail: String) -> Result<(), Error> {
        let body = Body::Problem(Problem { exhibit: self.exhibit, item, stage: Stage::Export, code, detail });
        let sql = "INSERT INTO main.problem VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let insert = self.connection.execute(sql, params![body.id().bytes(), model::wire::to_bytes(&body)]);
        insert.map(drop).map_err(|source| self.error(source))
    }

    /// Says of every body that shares its id with the one that counts that it was dropped, and how that changes the ledger.
    fn conflicts(&self) -> Result<(), Error> {
        let mut dropped: BTreeMap<(Id, &'static str, Option<String>), i64> = BTreeMap::new();
        let sql =
            "SELECT version.kind, version.id, version.sha256, version.body, entry.body FROM store.version LEFT JOIN store.entry
                   ON entry.exhibit = version.exhibit AND entry.kind = version.kind AND entry.id = version.id
                   WHERE version.exhibit = ?1 ORDER BY version.kind, version.id, version.sha256";
        let mut statement = self.connection.prepare(sql).map_err(|source| self.error(source))?;
        let mut rows = statement.query([self.scratch.exhibit]).map_err(|source| self.error(source))?;
        while let Some(row) = rows.next().map_err(|source| self.error(source))? {
            let read = || Ok((Id(row.get(1)?), Digest(row.get(2)?), row.get::<_, Vec<u8>>(3)?, row.get::<_, Vec<u8>>(4)?));
            let (id, sha256, body, kept) = read().map_err(|source| self.error(source))?;
            let (body, kept_body) = (decode(id, &body)?, decode(id, &kept)?);
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
        self.each(Kind::Ledger, |_, id, body| {
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
