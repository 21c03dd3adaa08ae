//! The working store: the only writer of a bundle's entries.
//!
//! Each transaction appends what arrived as blocks, sorted by kind and id; nothing that was written moves again. Entries, the counts per
//! item and the positions in the stream are written in one transaction, so a process killed at any moment leaves a store that
//! knows exactly what it holds. What is held already is ignored: a filter knows what is new, the blocks decide about the rest.

mod block;
mod filter;
mod state;
pub(crate) mod store;

pub use state::{ExhibitState, read_states};

use crate::{Error, Sealed};
use block::Builder;
use filter::Filter;
use model::wire::{Batch, from_bytes};
use model::{Body, Digest, Entry, Id, Kind, Stage};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use stream::{Delivery, Position, Topic, crash, embedded};

/// Bytes of bodies that wait for a commit at most, but for the last delivery.
const PENDING_CAP_BYTES: usize = 32 << 20;

/// What one transaction adds to an item.
#[derive(Default)]
struct ItemChange {
    stored: i64,
    announced: Option<(i64, &'static str)>,
}

/// What one transaction adds to an exhibit.
#[derive(Default)]
struct ExhibitChange {
    entries: i64,
    items: i64,
    directories: i64,
    ingest_problems: i64,
    present: bool,
}

/// An entry of an exhibit of that number, with what its body is: where it stands, or its bytes.
struct Arrived<B> {
    number: i64,
    kind: Kind,
    id: Id,
    item: Option<Id>,
    body: B,
}

/// One working store, held exclusively.
pub struct Sink {
    connection: Connection,
    path: PathBuf,
    /// Released when the store is dropped.
    _lock: File,
    commit_entries: usize,
    exhibits: HashMap<Id, i64>,
    /// What may be held.
    filter: Filter,
    items: HashMap<(i64, Id), ItemChange>,
    changes: HashMap<i64, ExhibitChange>,
    positions: BTreeMap<(Topic, i32), i64>,
    /// Entries since the last commit.
    pending: Vec<Arrived<Range<usize>>>,
    /// Their bodies, one behind the other: in pieces of their own they would take twice the room.
    bodies: Vec<u8>,
    in_transaction: bool,
}

impl Sink {
    /// Opens a working store, or makes it. Fails with [`Error::Locked`] while another process has it open.
    pub fn open(path: &Path, settings: &config::Export) -> Result<Sink, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
        }
        let lock = store::lock(path)?;
        let error = |source| Error::Store { path: path.to_owned(), source };
        let connection = store::connect(path, settings.cache_bytes)?;
        let exhibits = read_exhibits(&connection).map_err(error)?;
        let mut filter = Filter::new(settings.cache_bytes / 2);
        store::each_id(&connection, |id| _ = filter.note(id)).map_err(error)?;
        Ok(Sink {
            connection,
            path: path.to_owned(),
            _lock: lock,
            commit_entries: settings.commit_entries.max(1),
            exhibits,
            filter,
            items: HashMap::new(),
            changes: HashMap::new(),
            positions: BTreeMap::new(),
            pending: Vec::new(),
            bodies: Vec::new(),
            in_transaction: false,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn error(&self, source: rusqlite::Error) -> Error {
        Error::Store { path: self.path.clone(), source }
    }

    /// The number that stands for an exhibit in this store.
    pub(crate) fn number_of(&self, exhibit: Id) -> Option<i64> {
        self.exhibits.get(&exhibit).copied()
    }

    /// Takes one delivery for the next transaction; true if it is time to [`Sink::commit`].
    pub fn apply(&mut self, delivery: Delivery<Batch>) -> Result<bool, Error> {
        self.begin()?;
        let position = delivery.position;
        match delivery.payload {
            Ok(batch) => batch.entries.into_iter().try_for_each(|entry| self.take(entry))?,
            Err(invalid) => {
                let exhibit = delivery.exhibit.unwrap_or_default();
                let problem = embedded::invalid_problem(exhibit, Stage::Export, position, &invalid);
                self.take(Entry::new(&Body::Problem(problem)))?;
            }
        }
        let next = self.positions.entry((position.topic, position.partition)).or_insert(0);
        *next = (*next).max(position.offset.saturating_add(1));
        crash::point("sink.applied");
        Ok(self.pending.len() >= self.commit_entries || self.bodies.len() >= PENDING_CAP_BYTES)
    }

    fn take(&mut self, entry: Entry) -> Result<(), Error> {
        let number = self.exhibit_number(entry.exhibit)?;
        let begin = self.bodies.len();
        self.bodies.extend_from_slice(&entry.body);
        let Entry { kind, id, item, .. } = entry;
        self.pending.push(Arrived { number, kind, id, item, body: begin..self.bodies.len() });
        Ok(())
    }

    /// Stores what is pending, kind by kind in the order of ids.
    fn store(&mut self) -> Result<(), Error> {
        let (mut pending, mut bodies) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.bodies));
        let with_body = |Arrived { number, kind, id, item, body }| Arrived { number, kind, id, item, body: &bodies[body] };
        let mut entries: Vec<Arrived<&[u8]>> = pending.drain(..).map(with_body).collect();
        entries.sort_unstable_by_key(|entry| (entry.number, entry.kind as u8, entry.id));
        for alike in entries.chunk_by(|one, other| (one.number, one.kind) == (other.number, other.kind)) {
            self.store_kind(alike)?;
        }
        // The room is used again.
        bodies.clear();
        (self.pending, self.bodies) = (pending, bodies);
        Ok(())
    }

    /// Appends the entries of one exhibit and kind that are new as blocks, and counts them.
    fn store_kind(&mut self, entries: &[Arrived<&[u8]>]) -> Result<(), Error> {
        let held = self.held_of(entries)?;
        let mut block = Builder::default();
        for same in entries.chunk_by(|one, other| one.id == other.id) {
            let mut same = same.iter();
            // Of several bodies that are new together any may be stored first: the smallest takes its place.
            if let Some(entry) = same.as_slice().first().filter(|entry| !held.contains(&entry.id)) {
                same.next();
                if !block.has_room(entry.body.len()) {
                    self.append(entry.number, entry.kind, &mut block)?;
                }
                block.push(entry.id, entry.body);
                self.count(entry, true)?;
                if !same.as_slice().is_empty() {
                    self.append(entry.number, entry.kind, &mut block)?;
                }
            }
            for entry in same {
                if self.other_version(entry)? {
                    self.count(entry, false)?;
                }
            }
        }
        entries.first().map_or(Ok(()), |entry| self.append(entry.number, entry.kind, &mut block))
    }

    /// The ids of entries of one exhibit and kind, in the order of ids, that are held already.
    fn held_of(&mut self, entries: &[Arrived<&[u8]>]) -> Result<HashSet<Id>, Error> {
        let maybe: Vec<Id> = entries.iter().map(|entry| entry.id).filter(|id| self.filter.note(*id)).collect();
        let (Some(entry), Some(first), Some(last)) = (entries.first(), maybe.first(), maybe.last()) else {
            return Ok(HashSet::new());
        };
        let look = || -> rusqlite::Result<HashSet<Id>> {
            let mut held = HashSet::new();
            for block in store::bounds(&self.connection, entry.number, entry.kind, (*first, *last))? {
                let begin = maybe.partition_point(|id| *id < block.first);
                let inside = maybe[begin..].iter().take_while(|id| **id <= block.last);
                if inside.clone().next().is_some() {
                    let find = |block: block::Block<'_>| Some(inside.filter(|id| block.find(**id).is_some()).copied().collect());
                    held.extend(store::look::<Vec<Id>>(&self.connection, block.seq, find)?);
                }
            }
            Ok(held)
        };
        look().map_err(|source| self.error(source))
    }

    /// Appends a block, if there is anything in it; the next one begins.
    fn append(&self, number: i64, kind: Kind, block: &mut Builder) -> Result<(), Error> {
        let Some((first, last)) = block.bounds() else { return Ok(()) };
        let mut append = || {
            let sql = "INSERT INTO block (exhibit, kind, first, last, entries, content) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let entries = i64::try_from(block.entries()).unwrap_or(i64::MAX);
            let values = params![number, kind as u8, first.bytes(), last.bytes(), entries, block.take()];
            self.connection.prepare_cached(sql)?.execute(values)
        };
        append().map(drop).map_err(|source| self.error(source))
    }

    fn begin(&mut self) -> Result<(), Error> {
        if !self.in_transaction {
            self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|source| self.error(source))?;
            self.in_transaction = true;
        }
        Ok(())
    }

    /// Counts an entry: the first with its id, or another version of one.
    fn count(&mut self, entry: &Arrived<&[u8]>, first: bool) -> Result<(), Error> {
        let number = entry.number;
        let change = self.changes.entry(number).or_default();
        change.entries += 1;
        if let Some(item) = entry.item {
            self.items.entry((number, item)).or_default().stored += 1;
        }
        match entry.kind {
            Kind::Item => change.items += i64::from(first),
            Kind::Directory => change.directories += i64::from(first),
            Kind::Exhibit => change.present = true,
            _ => {}
        }
        match entry.kind {
            Kind::Item | Kind::End if first => self.note(number, entry.id, entry.body),
            Kind::Problem if entry.item.is_none() => self.note_problem(entry),
            _ => Ok(()),
        }
    }

    /// Another body under an id that is held: both are kept, the smaller one counts. False if this very body is held.
    fn other_version(&mut self, entry: &Arrived<&[u8]>) -> Result<bool, Error> {
        let Arrived { number, kind, id, .. } = *entry;
        let exchange = || -> rusqlite::Result<Option<bool>> {
            let held = store::held(&self.connection, number, kind, id)?;
            let (seq, place, body) = held.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            if body == entry.body {
                return Ok(None);
            }
            let smaller = entry.body < body.as_slice();
            let other = if smaller { body.as_slice() } else { entry.body };
            let sql = "INSERT INTO version VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
            let mut insert = self.connection.prepare_cached(sql)?;
            let inserted = insert.execute(params![number, kind as u8, id.bytes(), Digest::of(other).0, other])?;
            if smaller {
                let changed = store::look(&self.connection, seq, |block| block.with(place, entry.body))?;
                self.connection.execute("UPDATE block SET content = ?2 WHERE seq = ?1", params![seq, changed])?;
            }
            Ok((inserted == 1).then_some(smaller))
        };
        let counts = exchange().map_err(|source| self.error(source))?;
        if counts == Some(true) && matches!(kind, Kind::Item | Kind::End) {
            self.note(number, id, entry.body)?;
        }
        Ok(counts.is_some())
    }

    /// Notes what the item or end of exhibit says that counts.
    fn note(&mut self, number: i64, id: Id, body: &[u8]) -> Result<(), Error> {
        match from_bytes::<Body>(body).map_err(|source| Error::Entry { id, source })? {
            Body::Item(item) => {
                let announced = i64::try_from(item.announced).unwrap_or(i64::MAX);
                self.items.entry((number, id)).or_default().announced = Some((announced, item.status.name()));
                Ok(())
            }
            Body::End(end) => {
                let sql = "UPDATE exhibit SET end_items = ?2, end_directories = ?3, end_problems = ?4 WHERE number = ?1";
                let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
                let values = params![number, count(end.items), count(end.directories), count(end.problems)];
                self.connection.execute(sql, values).map(drop).map_err(|source| self.error(source))
            }
            _ => Ok(()),
        }
    }

    /// Counts the problems that ingest has told of outside items.
    fn note_problem(&mut self, entry: &Arrived<&[u8]>) -> Result<(), Error> {
        let body = from_bytes::<Body>(entry.body).map_err(|source| Error::Entry { id: entry.id, source })?;
        if let Body::Problem(problem) = body
            && problem.stage == Stage::Ingest
        {
            self.changes.entry(entry.number).or_default().ingest_problems += 1;
        }
        Ok(())
    }

    fn exhibit_number(&mut self, exhibit: Id) -> Result<i64, Error> {
        if let Some(number) = self.exhibits.get(&exhibit) {
            return Ok(*number);
        }
        let insert = self.connection.execute("INSERT INTO exhibit (id) VALUES (?1)", [exhibit.bytes()]);
        insert.map_err(|source| self.error(source))?;
        let number = self.connection.last_insert_rowid();
        self.exhibits.insert(exhibit, number);
        Ok(number)
    }

    /// Commits entries, counts and positions together; the positions to acknowledge, one for each topic and partition.
    pub fn commit(&mut self) -> Result<Vec<Position>, Error> {
        if !self.in_transaction {
            return Ok(Vec::new());
        }
        self.store()?;
        self.write_counts().map_err(|source| self.error(source))?;
        self.connection.execute_batch("COMMIT").map_err(|source| self.error(source))?;
        self.in_transaction = false;
        crash::point("sink.committed");
        let last = |((topic, partition), next): ((Topic, i32), i64)| Position { topic, partition, offset: next - 1 };
        // An offset of -1 says that nothing is dealt with yet: there is nothing to acknowledge.
        Ok(std::mem::take(&mut self.positions).into_iter().filter(|(_, next)| *next > 0).map(last).collect())
    }

    fn write_counts(&mut self) -> rusqlite::Result<()> {
        let sql = "INSERT INTO item VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET stored = stored + excluded.stored,
                   announced = coalesce(excluded.announced, announced), status = coalesce(excluded.status, status)";
        let mut items = self.connection.prepare_cached(sql)?;
        let mut changed: Vec<_> = self.items.drain().collect();
        changed.sort_unstable_by_key(|(key, _)| *key);
        for ((number, id), change) in changed {
            let (announced, status) = change.announced.unzip();
            items.execute(params![number, id.bytes(), change.stored, announced, status])?;
        }
        let sql = "UPDATE exhibit SET entries = entries + ?2, items = items + ?3, directories = directories + ?4,
                   ingest_problems = ingest_problems + ?5, present = max(present, ?6) WHERE number = ?1";
        let mut exhibits = self.connection.prepare_cached(sql)?;
        for (number, change) in self.changes.drain() {
            let ExhibitChange { entries, items, directories, ingest_problems, present } = change;
            exhibits.execute(params![number, entries, items, directories, ingest_problems, present])?;
        }
        let sql = "INSERT INTO position VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)";
        let mut positions = self.connection.prepare_cached(sql)?;
        for ((topic, partition), next) in &self.positions {
            positions.execute(params![topic.name(), partition, next])?;
        }
        Ok(())
    }

    /// For each topic of a partition, the offset of the first message that is not stored yet.
    pub fn positions(&self, partition: i32) -> Result<Vec<Position>, Error> {
        let mut found = Vec::new();
        for topic in [Topic::Records, Topic::Problems] {
            let sql = "SELECT next_offset FROM position WHERE topic = ?1 AND partition = ?2";
            let offset = self.connection.query_row(sql, params![topic.name(), partition], |row| row.get(0)).optional();
            if let Some(offset) = offset.map_err(|source| self.error(source))? {
                found.push(Position { topic, partition, offset });
            }
        }
        Ok(found)
    }

    /// Items of an exhibit of which all that was announced is committed.
    pub fn done_items(&self, exhibit: Id) -> Result<HashSet<Id>, Error> {
        done_items(&self.connection, exhibit).map_err(|source| self.error(source))
    }

    /// Exhibits whose ledger adds up and that are not sealed, or hold more than when they were sealed.
    pub fn complete_exhibits(&self) -> Result<Vec<Id>, Error> {
        self.ids(&format!("SELECT id FROM exhibit WHERE {COMPLETE} AND sealed_entries IS NOT entries ORDER BY id"))
    }

    /// Exhibits that are sealed, whether or not more has come since.
    pub fn sealed_exhibits(&self) -> Result<Vec<Id>, Error> {
        self.ids("SELECT id FROM exhibit WHERE sealed_entries IS NOT NULL ORDER BY id")
    }

    fn ids(&self, sql: &str) -> Result<Vec<Id>, Error> {
        let read = || -> rusqlite::Result<Vec<Id>> {
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get(0).map(Id))?;
            rows.collect()
        };
        read().map_err(|source| self.error(source))
    }

    /// Says that the exhibit is sealed as the store holds it now, and remembers the seal.
    pub(crate) fn mark_sealed(&self, sealed: &Sealed) -> Result<(), Error> {
        let sql = "UPDATE exhibit SET sealed_entries = entries, sealed = ?2 WHERE id = ?1";
        let words = serde_json::to_string(sealed).unwrap_or_default();
        let update = self.connection.execute(sql, params![sealed.exhibit.bytes(), words]);
        update.map(drop).map_err(|source| self.error(source))
    }

    /// The seals of this store's exhibits whose bundles are in their places; the others are to be sealed anew.
    pub fn seals(&self) -> Result<Vec<Sealed>, Error> {
        let read = || -> rusqlite::Result<Vec<(Vec<u8>, Option<String>)>> {
            let mut statement =
                self.connection.prepare("SELECT id, sealed FROM exhibit WHERE sealed_entries IS NOT NULL ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        let mut found = Vec::new();
        for (id, words) in read().map_err(|source| self.error(source))? {
            match words.and_then(|words| serde_json::from_str::<Sealed>(&words).ok()) {
                Some(sealed) if sealed.path.exists() => found.push(sealed),
                _ => {
                    let forget = self.connection.execute("UPDATE exhibit SET sealed_entries = NULL WHERE id = ?1", [id]);
                    forget.map_err(|source| self.error(source))?;
                }
            }
        }
        Ok(found)
    }

    /// Words for what keeps exhibits from being complete.
    pub fn missing(&self) -> Result<String, Error> {
        state::missing(&self.connection).map_err(|source| self.error(source))
    }

    /// How far each exhibit of this store is.
    pub fn states(&self) -> Result<Vec<ExhibitState>, Error> {
        state::states(&self.connection).map_err(|source| self.error(source))
    }
}

/// When an exhibit is complete: it and its end are here, as many items, directories and problems outside items as the end says, and every
/// item holds as many entries as it announces.
const COMPLETE: &str = "present = 1 AND end_items = items AND end_directories = directories AND end_problems = ingest_problems
    AND NOT EXISTS (SELECT 1 FROM item WHERE item.exhibit = exhibit.number AND item.stored IS NOT item.announced)";

/// Items of an exhibit that a closed store holds in full; none if there is no store yet.
pub fn stored_items(path: &Path, exhibit: Id) -> Result<HashSet<Id>, Error> {
    if !path.exists() {
        return Ok(HashSet::new());
    }
    let _lock = store::lock(path)?;
    let connection = store::connect(path, 4 << 20)?;
    done_items(&connection, exhibit).map_err(|source| Error::Store { path: path.to_owned(), source })
}

fn done_items(connection: &Connection, exhibit: Id) -> rusqlite::Result<HashSet<Id>> {
    let sql =
        "SELECT item.id FROM exhibit JOIN item ON item.exhibit = exhibit.number WHERE exhibit.id = ?1 AND stored IS announced";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([exhibit.bytes()], |row| row.get(0).map(Id))?;
    rows.collect()
}

fn read_exhibits(connection: &Connection) -> rusqlite::Result<HashMap<Id, i64>> {
    let mut statement = connection.prepare("SELECT id, number FROM exhibit")?;
    let rows = statement.query_map([], |row| Ok((Id(row.get(0)?), row.get(1)?)))?;
    rows.collect()
}
