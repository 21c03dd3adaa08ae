//! Digests every row again and finds the first that is not as it was sealed.

use super::Report;
use super::locate::{Alignment, Locator};
use super::parts::{PartHashers, Parts, strength};
use crate::Error;
use crate::bundle::checkpoint;
use crate::bundle::digest::{RowDigests, RowHasher};
use crate::bundle::open::open_read_only;
use crate::bundle::schema::{Table, Type};
use crate::bundle::tree::Tree;
use crate::bundle::value::Value;
use crate::ordered::ordered;
use crate::seal::{TILE_LEAVES, cut};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::path::Path;

/// Bytes of a tile that is full.
const FULL_TILE: i64 = TILE_LEAVES as i64 * 32;

/// A range of one table.
struct Job {
    table: &'static Table,
    /// Smallest key and the key after the last, for tables keyed by id.
    range: Option<(Vec<u8>, Vec<u8>)>,
}

/// Keys and digests of the rows of a range, values that no sealed bundle has, and the leaves of the parts of a merged bundle.
#[derive(Default)]
struct Chunk {
    rows: Vec<(Vec<u8>, RowDigests)>,
    odd: Vec<(Vec<u8>, String)>,
    parts: Vec<(usize, [u8; 32])>,
}

/// What is checked.
pub struct Checked<'c> {
    /// The tables that the bundle has.
    pub tables: &'static [Table],
    /// The seed of its salts.
    pub seed: &'c [u8; 32],
}

/// What one thread works with.
struct Worker {
    connection: Connection,
    hasher: RowHasher,
    parts: Option<PartHashers>,
}

/// Checks every row, the counts in `meta` and the tiles; gives the parts of a merged bundle their leaves.
pub fn check(
    path: &Path,
    connection: &Connection,
    checked: &Checked<'_>,
    mut parts: Option<&mut Parts>,
    report: &mut Report,
) -> Result<(), Error> {
    let error = |source| Error::Store { path: path.to_owned(), source };
    check_tiles(connection, report).map_err(error)?;
    let jobs = jobs(connection, checked.tables, report).map_err(error)?;
    let (mut tree, mut content) = (Tree::default(), Tree::default());
    let mut seq = -1;
    let mut locator = Locator::new(Box::new(|| tile_after(connection, &mut seq).map_err(error)));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let hashers: Vec<_> = parts.as_ref().map(|parts| parts.hashers()).into_iter().collect();
    let start = || {
        let (connection, hasher) = (open_read_only(path)?, RowHasher::new(checked.seed));
        Ok(Worker { connection, hasher, parts: hashers.first().cloned() })
    };
    let work = |worker: &mut Worker, job: &Job| chunk(worker, job).map_err(error);
    ordered(threads, &jobs, start, work, |job, chunk| {
        for (key, detail) in chunk.odd {
            report.wrong("row", Some(job.table.name), Some(key_words(job.table, &key)), detail);
        }
        tree.extend(chunk.rows.iter().map(|(_, digests)| digests.leaf).collect());
        content.extend(chunk.rows.iter().map(|(_, digests)| digests.content).collect());
        for (key, digests) in chunk.rows {
            locator.row(job.table, key, digests.leaf)?;
        }
        if let Some(parts) = &mut parts {
            parts.push(job.table.name, &chunk.parts);
            if job.table.name == "meta" {
                parts.push_meta();
            }
        }
        Ok(())
    })?;
    (report.rows, report.root, report.content_root) = (tree.size(), tree.root(), content.root());
    let Some(Alignment { table, key, words, tile }) = locator.finish()? else { return Ok(()) };
    // Rows and tiles part ways: whichever gives what was signed is as it was.
    if signed(connection, report).map_err(error)? {
        let row = (tile / TILE_LEAVES).to_string();
        report.wrong("tile", Some("seal_tile"), Some(row), "its hashes are not those of the rows, which are as they were sealed");
    } else {
        report.wrong("row", table.as_deref(), key, format!("{words} (leaf {tile} of the tree)"));
    }
    Ok(())
}

/// Whether the checkpoint has the size and root of the rows.
fn signed(connection: &Connection, report: &Report) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare("SELECT checkpoint FROM seal")?;
    let mut rows = statement.query([])?;
    let checkpoint: String = rows.next()?.map(|row| row.get(0)).transpose()?.unwrap_or_default();
    Ok(checkpoint.ends_with(&checkpoint::text("", report.rows, report.root)))
}

pub(super) fn key_words(table: &Table, key: &[u8]) -> String {
    match table.columns.first().map(|column| column.kind) {
        Some(Type::Blob) => key.iter().map(|byte| format!("{byte:02x}")).collect(),
        _ => String::from_utf8_lossy(key).into_owned(),
    }
}

/// Checks that every tile is where and as long as it should be.
fn check_tiles(connection: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT seq, length(hashes) FROM seal_tile ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let (mut expected, mut full) = (0, true);
    while let Some(row) = rows.next()? {
        let (seq, length): (i64, i64) = (row.get(0)?, row.get(1)?);
        let mut odd = |detail: &str| report.wrong("tile", Some("seal_tile"), Some(seq.to_string()), detail);
        if seq != expected {
            odd("does not follow the tile before it");
        }
        if !full {
            odd("follows a tile that is not full");
        }
        if length == 0 || length % 32 != 0 || length > FULL_TILE {
            odd("is not 1 to 256 hashes long");
        }
        full = length == FULL_TILE;
        expected = seq.saturating_add(1);
    }
    Ok(())
}

/// The hashes of the first tile after one.
fn tile_after(connection: &Connection, seq: &mut i64) -> rusqlite::Result<Option<Vec<[u8; 32]>>> {
    let sql = "SELECT seq, hashes FROM seal_tile WHERE seq > ?1 ORDER BY seq LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([*seq])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    *seq = row.get(0)?;
    Ok(Some(row.get_ref(1)?.as_blob()?.as_chunks().0.to_vec()))
}

/// Cuts the tables into ranges, and compares their counts with what `meta` says.
fn jobs(connection: &Connection, tables: &'static [Table], report: &mut Report) -> rusqlite::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for table in tables.iter().filter(|table| table.sealed()) {
        let count: i64 = connection.query_row(&format!("SELECT count(*) FROM {}", table.name), [], |row| row.get(0))?;
        let told = super::meta(connection, &format!("rows_{}", table.name))?;
        if told.as_deref() != Some(count.to_string().as_str()) {
            let told = told.unwrap_or_else(|| "nothing".to_owned());
            report.wrong("count", Some(table.name), None, format!("has {count} rows, meta says {told}"));
        }
        if table.columns.first().is_some_and(|column| column.name == "id") {
            jobs.extend(cut(count.unsigned_abs()).map(|range| Job { table, range: Some(range) }));
        } else {
            jobs.push(Job { table, range: None });
        }
    }
    Ok(jobs)
}

fn chunk(worker: &mut Worker, job: &Job) -> rusqlite::Result<Chunk> {
    let Worker { connection, hasher, parts } = worker;
    let table = job.table;
    let key = table.columns.first().map_or("rowid", |column| column.name);
    // An id is 16 bytes; a longer or shorter one falls into some range all the same, so that no row escapes.
    let bounds = if job.range.is_some() { "WHERE id >= ?1 AND id < ?2" } else { "" };
    let sql = format!("SELECT {} FROM {} {bounds} ORDER BY {key}", table.column_list(), table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = match &job.range {
        Some((first, end)) => statement.query((first, end))?,
        None => statement.query([])?,
    };
    let mut chunk = Chunk::default();
    let mut held = match (&parts, &job.range) {
        (Some(_), Some(range)) if table.name == "observable" => Held::read(connection, range)?,
        _ => Held::default(),
    };
    let exhibit = table.column(if table.name == "exhibit" { "id" } else { "exhibit_id" });
    let own = ["part", "part_observable"].contains(&table.name);
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.clear();
        let mut odd = None;
        for (place, column) in table.columns.iter().enumerate() {
            let (value, fits) = Value::read(row.get_ref(place)?, column.kind);
            if !fits {
                odd = Some(format!("its {} is not of the column's type", column.name));
            }
            values.push(value);
        }
        let mut key = Vec::new();
        values.first().unwrap_or(&Value::Null).key_bytes(&mut key);
        if let Some(detail) = odd.or_else(|| raw_time(table, &values)) {
            chunk.odd.push((key.clone(), detail));
        }
        let digests = hasher.row(table, &values);
        match parts {
            Some(parts) if table.name == "observable" => held.observable(&key, table, &mut values, parts, &mut chunk),
            Some(parts) if !own => {
                if let Some(Value::Blob(exhibit)) = exhibit.and_then(|place| values.get(place)) {
                    parts.leaves(exhibit, table, &values, &mut chunk.parts);
                }
            }
            _ => {}
        }
        chunk.rows.push((key, digests));
    }
    Ok(chunk)
}

/// Which parts hold the observables of a range, and how valid each says they are.
#[derive(Default)]
struct Held {
    rows: VecDeque<(Vec<u8>, Vec<u8>, Vec<u8>, String)>,
}

impl Held {
    /// An id of `part_observable` begins with that of the observable: one range of ids holds both.
    fn read(connection: &Connection, (first, end): &(Vec<u8>, Vec<u8>)) -> rusqlite::Result<Held> {
        let sql = "SELECT id, observable_id, exhibit_id, validity FROM part_observable WHERE id >= ?1 AND id < ?2 ORDER BY id";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map((first, end), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        Ok(Held { rows: rows.collect::<rusqlite::Result<_>>()? })
    }

    /// The next row, if it is of that observable or one before it.
    fn next(&mut self, key: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>, String)> {
        self.rows.front().filter(|row| row.1.as_slice() <= key)?;
        self.rows.pop_front()
    }

    /// The leaves of an observable in the parts that hold it. Rows that name none are left behind: the reference check names them.
    fn observable(
        &mut self,
        key: &[u8],
        table: &'static Table,
        values: &mut [Value],
        parts: &mut PartHashers,
        chunk: &mut Chunk,
    ) {
        let Some(place) = table.column("validity") else { return };
        let own = values.get(place).cloned();
        let mut strongest = None;
        while let Some((id, observable, exhibit, validity)) = self.next(key) {
            if id != [observable.as_slice(), &exhibit].concat() {
                chunk
                    .odd
                    .push((key.to_vec(), "a part_observable has an id that is not its observable's and exhibit's".to_owned()));
            }
            if observable == key {
                strongest = strength(&validity).into_iter().chain(strongest).min();
                if let Some(value) = values.get_mut(place) {
                    *value = Value::Text(validity);
                }
                parts.leaves(&exhibit, table, values, &mut chunk.parts);
            }
        }
        let told = match &own {
            Some(Value::Text(word)) => strength(word),
            _ => None,
        };
        if told.is_none() || told != strongest {
            chunk.odd.push((key.to_vec(), "its validity is not the strongest of its parts'".to_owned()));
        }
    }
}

/// A raw time is TEXT exactly where its unit says so: JSON alone does not tell a large integer from the text of its digits.
fn raw_time(table: &Table, values: &[Value]) -> Option<String> {
    let raws = table.columns.iter().enumerate().filter(|(_, column)| column.kind == Type::Any);
    raws.filter_map(|(place, column)| {
        let unit = match values.get(place + 1) {
            Some(Value::Text(unit)) => Some(unit == "text" || unit.ends_with(":text")),
            _ => None,
        };
        let fits = match values.get(place) {
            Some(Value::Null) | None => unit.is_none(),
            Some(Value::Text(_)) => unit == Some(true),
            Some(_) => unit == Some(false),
        };
        (!fits).then(|| format!("its {} is not of the type that its unit says", column.name))
    })
    .next()
}
