//! Row recovery for SQLite: what deletion, updates and checkpoints left behind, as rows of their tables.
//!
//! Looked through are the pages that no b-tree reaches (free list, dropped tables), freeblocks and unallocated space of the
//! pages in use, every page image of a write-ahead log, and those of a rollback journal. A record is matched to a table by the
//! schema ([`shape`]), cells whose start was overwritten are rebuilt ([`carve`]), and what SQLite still gives as a live row
//! is sifted out by content ([`sift`]): a recovered row is never a live one. How much of what was deleted is found depends
//! on what was written since: see `docs/error-rates.md`.

pub mod carve;
mod current;
mod dropped;
pub mod images;
pub mod pages;
pub mod shape;
pub mod sift;
pub mod value;

pub use carve::Doubts;
use model::{Code, State};
use rusqlite::Connection;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
pub use value::Value;

/// Bytes of candidates that are held at once: a database with more is read in parts.
const HELD_BYTES: usize = 64 << 20;
/// Most versions that are remembered over all parts, so that each is told once; beyond that one may be told again.
const REMEMBERED: usize = 2_000_000;
/// What a candidate takes beside its texts and blobs, bytes.
const ROW_BYTES: usize = 160;

/// Which file a row was found in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// The database.
    Database,
    /// Its write-ahead log.
    Wal,
    /// Its rollback journal.
    Journal,
}

impl Source {
    /// The word in locators; of a companion its suffix.
    pub fn name(self) -> &'static str {
        match self {
            Source::Database => "database",
            Source::Wal => "-wal",
            Source::Journal => "-journal",
        }
    }
}

/// A row that is not live.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Its table, by place in [`Recovered::tables`].
    pub table: usize,
    /// Its rowid, where that survived.
    pub row_id: Option<i64>,
    /// Values of the first columns; `None` where one is lost.
    pub values: Vec<Option<Value>>,
    /// Column of the text of which only the start is left.
    pub cut: Option<usize>,
    /// The file it lies in.
    pub source: Source,
    /// Number of the page it lies on.
    pub page: u32,
    /// First byte of its cell in the file.
    pub offset: u64,
    /// Bytes of its cell there, overflow pages not counted.
    pub length: u64,
    /// Another version of a live row, or none.
    pub state: State,
    /// What was reconstructed.
    pub doubts: Doubts,
}

/// What stood in the way.
#[derive(Clone, PartialEq, Debug)]
pub struct Obstacle {
    /// The table concerned; all of them where there is none.
    pub table: Option<String>,
    /// The problem's code.
    pub code: Code,
    /// Its words.
    pub detail: String,
}

impl Obstacle {
    fn of(table: &shape::Table, code: Code, detail: String) -> Obstacle {
        Obstacle { table: Some(table.name.clone()), code, detail }
    }
}

/// What was found in a database, or in one part of it.
#[derive(Default)]
pub struct Recovered {
    /// The tables: the schema table first, then those of the schema, then dropped ones.
    pub tables: Vec<shape::Table>,
    /// The rows, by table, then place.
    pub rows: Vec<Row>,
    /// The best of the deleted rows of each table and rowid, by place in `rows`.
    deleted: HashMap<(usize, i64), usize>,
    /// What stood in the way: detail of problems.
    pub problems: Vec<Obstacle>,
    /// Parts before this one.
    pub parts_before: u32,
    rest: Option<Rest>,
}

/// What reading on needs.
struct Rest {
    images: images::Images,
    dropped: HashMap<u32, usize>,
    seen: HashSet<(u64, u64)>,
    /// Where the next part begins; `None` behind the last.
    next: Option<pages::Position>,
}

impl Recovered {
    /// Looks through the database in a scratch folder, and its companions: the first part. The connection is to the same
    /// database, as SQLite reads it with them.
    ///
    /// # Errors
    /// What SQLite says of the schema; what cannot be read otherwise is told among the problems.
    pub fn read(connection: &Connection, folder: &Path) -> rusqlite::Result<Recovered> {
        let mut recovered = Recovered::among(shape::Table::all(connection)?);
        let looked = recovered.look(connection, folder);
        recovered.tell(looked);
        Ok(recovered)
    }

    /// Goes on to the next part, whose rows and problems take the place of those before; false where there is none.
    pub fn read_on(&mut self, connection: &Connection) -> bool {
        let Some(mut rest) = self.rest.take().filter(|rest| rest.next.is_some()) else { return false };
        self.problems.clear();
        self.parts_before += 1;
        let looked = self.part(connection, &mut rest);
        self.rest = looked.is_ok().then_some(rest);
        self.tell(looked);
        true
    }

    fn tell(&mut self, looked: io::Result<()>) {
        if let Err(error) = looked {
            let detail = format!("deleted rows: {}", error.kind());
            self.problems.push(Obstacle { table: None, code: Code::Unreadable, detail });
        }
    }

    /// Nothing found yet, in those tables.
    pub fn among(tables: Vec<shape::Table>) -> Recovered {
        Recovered { tables, ..Recovered::default() }
    }

    /// Takes the rows, which lie in any order.
    pub fn take(&mut self, mut rows: Vec<Row>) {
        rows.sort_by_key(|row| (row.table, row.place()));
        self.deleted.clear();
        for (place, row) in rows.iter().enumerate().filter(|(_, row)| row.state == State::Recovered) {
            if let Some(row_id) = row.row_id {
                let best = self.deleted.entry((row.table, row_id)).or_insert(place);
                if rows.get(*best).is_some_and(|best| best.doubts.level() < row.doubts.level()) {
                    *best = place;
                }
            }
        }
        self.rows = rows;
    }

    /// The rows of a table, by its place in `tables`.
    pub fn of(&self, table: usize) -> &[Row] {
        let from = self.rows.partition_point(|row| row.table < table);
        let to = self.rows.partition_point(|row| row.table <= table);
        self.rows.get(from..to).unwrap_or_default()
    }

    /// The row of that table and rowid that was deleted; of several versions the surest, of equals the first.
    pub fn deleted(&self, table: &str, row_id: i64) -> Option<&Row> {
        let place = self.tables.iter().position(|known| !known.dropped && known.name.eq_ignore_ascii_case(table))?;
        self.rows.get(*self.deleted.get(&(place, row_id))?)
    }

    fn look(&mut self, connection: &Connection, folder: &Path) -> io::Result<()> {
        let Some(mut images) = images::Images::open(folder)? else { return Ok(()) };
        images.take_live_chains()?;
        let mut rest = Rest { images, dropped: HashMap::new(), seen: HashSet::new(), next: Some(pages::Position::default()) };
        let schema = self.carve(&mut rest, true)?;
        if rest.next.take().is_some() {
            let detail = format!("dropped tables: more than {HELD_BYTES} bytes of candidates, the rest is not looked through");
            self.problems.push(Obstacle { table: None, code: Code::CapMemory, detail });
        }
        let schema = sift::sift(connection, &self.tables, schema, &mut self.problems);
        rest.dropped = dropped::tables(&schema, &mut self.tables, &rest.images)?;
        rest.seen.clear();
        rest.next = Some(pages::Position::default());
        self.part(connection, &mut rest)?;
        self.rest = Some(rest);
        Ok(())
    }

    /// Reads one part.
    fn part(&mut self, connection: &Connection, rest: &mut Rest) -> io::Result<()> {
        let rows = self.carve(rest, false)?;
        let rows = sift::sift(connection, &self.tables, rows, &mut self.problems);
        self.take(rows);
        Ok(())
    }

    /// Candidates from where the rest begins, each version once, until enough are held.
    fn carve(&self, rest: &mut Rest, schema: bool) -> io::Result<Vec<Row>> {
        let Some(from) = rest.next else { return Ok(Vec::new()) };
        let names = self.tables.iter().enumerate().filter(|(_, table)| !table.dropped);
        let names = names.map(|(place, table)| (table.name.to_ascii_lowercase(), place)).collect();
        let carver = carve::Carver { tables: &self.tables, geometry: rest.images.main.geometry };
        let walk = pages::Walk { images: &rest.images, carver, names, dropped: &rest.dropped };
        let (mut rows, mut held) = (Vec::new(), 0);
        if rest.seen.len() > REMEMBERED {
            rest.seen.clear();
        }
        let seen = &mut rest.seen;
        rest.next = walk.run(schema, from, &mut |place, found| {
            let row = row(&self.tables, place, found);
            if seen.insert(key(&row)) {
                held += ROW_BYTES + row.values.iter().flatten().map(|value| 40 + value.size()).sum::<usize>();
                rows.push(row);
            }
            held < HELD_BYTES
        })?;
        Ok(rows)
    }
}

/// Tells versions of rows apart: 128 bits.
fn key(row: &Row) -> (u64, u64) {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, row.table, row.row_id, row.doubts).hash(&mut hasher);
        row.values.iter().for_each(|value| match value {
            None => 9u8.hash(&mut hasher),
            Some(value) => value.feed(&mut hasher),
        });
        hasher.finish()
    };
    (hash(0), hash(1))
}

/// The row of what was found, the rowid in the column that is another name of it.
fn row(tables: &[shape::Table], place: pages::Place, found: carve::Found) -> Row {
    let mut values = found.values;
    if let Some(table) = tables.get(found.table) {
        for (column, value) in table.columns.iter().zip(&mut values) {
            if column.is_row_id {
                *value = found.row_id.map(Value::Integer);
            }
        }
    }
    let (from, to) = found.range;
    Row {
        table: found.table,
        row_id: found.row_id,
        values,
        cut: found.cut,
        source: place.source,
        page: place.page,
        offset: place.offset.saturating_add(from as u64),
        length: (to - from) as u64,
        state: State::Recovered,
        doubts: found.doubts,
    }
}
