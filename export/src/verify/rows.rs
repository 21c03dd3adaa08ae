//! Digests every row again and finds the first that is not as it was sealed.

use super::Report;
use super::locate::{Alignment, Locator};
use crate::Error;
use crate::bundle::checkpoint;
use crate::bundle::digest::{RowDigests, RowHasher};
use crate::bundle::open::open_read_only;
use crate::bundle::schema::{self, Table, Type};
use crate::bundle::tree::Tree;
use crate::bundle::value::Value;
use crate::ordered::ordered;
use crate::seal::{TILE_LEAVES, cut};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::path::Path;

/// A range of one table.
struct Job {
    table: &'static Table,
    /// Smallest key and the key after the last, for tables keyed by id.
    range: Option<(Vec<u8>, Vec<u8>)>,
}

/// Keys and digests of the rows of a range, and values that no sealed bundle has.
struct Chunk {
    rows: Vec<(Vec<u8>, RowDigests)>,
    odd: Vec<(Vec<u8>, String)>,
}

/// Checks every row, the counts in `meta` and the tiles.
pub fn check(path: &Path, connection: &Connection, seed: &[u8; 32], report: &mut Report) -> Result<(), Error> {
    let error = |source| Error::Store { path: path.to_owned(), source };
    let mut tiles = read_tiles(connection).map_err(error)?;
    tiles.tell(report);
    let jobs = jobs(connection, report).map_err(error)?;
    let (mut tree, mut content) = (Tree::default(), Tree::default());
    let mut locator = Locator::new(tiles.leaves);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let start = || Ok((open_read_only(path)?, RowHasher::new(seed)));
    let work = |(connection, hasher): &mut (Connection, RowHasher), job: &Job| chunk(connection, hasher, job).map_err(error);
    ordered(threads, &jobs, start, work, |job, chunk| {
        for (key, detail) in chunk.odd {
            report.wrong("row", Some(job.table.name), Some(key_words(job.table, &key)), detail);
        }
        for (key, digests) in chunk.rows {
            tree.push(digests.leaf);
            content.push(digests.content);
            locator.row(job.table.name, || key_words(job.table, &key), digests.leaf);
        }
        Ok(())
    })?;
    (report.rows, report.root, report.content_root) = (tree.size(), tree.root(), content.root());
    let Some(Alignment { table, key, words, tile }) = locator.finish() else { return Ok(()) };
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

fn key_words(table: &Table, key: &[u8]) -> String {
    match table.columns.first().map(|column| column.kind) {
        Some(Type::Blob) => key.iter().map(|byte| format!("{byte:02x}")).collect(),
        _ => String::from_utf8_lossy(key).into_owned(),
    }
}

struct Tiles {
    leaves: Vec<[u8; 32]>,
    /// Rows of `seal_tile` that no sealed bundle has.
    odd: Vec<(i64, &'static str)>,
}

impl Tiles {
    fn tell(&mut self, report: &mut Report) {
        for (seq, detail) in self.odd.drain(..) {
            report.wrong("tile", Some("seal_tile"), Some(seq.to_string()), detail);
        }
    }
}

/// Reads the leaf hashes: 32 bytes a row of the bundle, the one list that a verification holds in memory.
fn read_tiles(connection: &Connection) -> rusqlite::Result<Tiles> {
    let mut statement = connection.prepare("SELECT seq, hashes FROM seal_tile ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut tiles = Tiles { leaves: Vec::new(), odd: Vec::new() };
    let mut expected = 0;
    while let Some(row) = rows.next()? {
        let (seq, hashes): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        if seq != expected {
            tiles.odd.push((seq, "does not follow the tile before it"));
        }
        if !tiles.leaves.len().is_multiple_of(TILE_LEAVES) {
            tiles.odd.push((seq, "follows a tile that is not full"));
        }
        if hashes.is_empty() || hashes.len() % 32 != 0 || hashes.len() > TILE_LEAVES * 32 {
            tiles.odd.push((seq, "is not 1 to 256 hashes long"));
        }
        expected = seq.saturating_add(1);
        for hash in hashes.chunks_exact(32) {
            let mut leaf = [0; 32];
            leaf.copy_from_slice(hash);
            tiles.leaves.push(leaf);
        }
    }
    Ok(tiles)
}

/// Cuts the tables into ranges, and compares their counts with what `meta` says.
fn jobs(connection: &Connection, report: &mut Report) -> rusqlite::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for table in schema::tables().iter().filter(|table| table.sealed()) {
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

fn chunk(connection: &Connection, hasher: &mut RowHasher, job: &Job) -> rusqlite::Result<Chunk> {
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
    let mut chunk = Chunk { rows: Vec::new(), odd: Vec::new() };
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.clear();
        let mut odd = None;
        for (place, column) in table.columns.iter().enumerate() {
            let (value, fits) = value(row.get_ref(place)?, column.kind);
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
        chunk.rows.push((key, hasher.row(table, &values)));
    }
    Ok(chunk)
}

/// A value as read, and whether the column may hold it: a file made by other means than SQL can hold anything.
fn value(found: ValueRef<'_>, kind: Type) -> (Value, bool) {
    match found {
        ValueRef::Null => (Value::Null, true),
        ValueRef::Integer(value) => (Value::Integer(value), matches!(kind, Type::Integer | Type::Any)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => (Value::Text(text.to_owned()), matches!(kind, Type::Text | Type::Any)),
            Err(_) => (Value::Blob(text.to_vec()), false),
        },
        ValueRef::Blob(bytes) => (Value::Blob(bytes.to_vec()), kind == Type::Blob),
        ValueRef::Real(_) => (Value::Null, false),
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
