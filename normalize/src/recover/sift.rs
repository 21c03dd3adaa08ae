//! Sifts out what is live: rows that SQLite itself gives, and rows that were found twice.
//!
//! SQLite's answer counts, because only it knows which frames of a log are in force. Each table that has candidates is read
//! through once; a candidate is live if every value that it still has equals that of one live row.

use super::carve::{Doubts, START_LEAST};
use super::shape::Table;
use super::value::{Value, hash_live};
use super::{Obstacle, Row, Source};
use crate::artifact::schema::quoted;
use crate::scratch;
use model::{Code, State};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Most candidates that share the value that they are looked up by; more are told as a problem.
const ALIKE_MAX: usize = 256;

/// What a row is looked up by: a column, how many first bytes of its text (0: the whole value), and the hash of that.
type Telling = (usize, usize, u64);

/// The candidates of one table, found by their values.
#[derive(Default)]
struct Index {
    /// Rows with every column: by the hash of all.
    full: HashMap<u64, Vec<usize>>,
    /// Rows that lack something: by what tells them best.
    part: HashMap<Telling, Vec<usize>>,
    /// Columns and lengths in `part`, ascending.
    kinds: Vec<(usize, usize)>,
    by_row_id: HashMap<i64, Vec<usize>>,
}

/// Sorts candidates into what is live (gone), superseded and recovered. Order: by table, then place.
pub fn sift(connection: &Connection, tables: &[Table], rows: Vec<Row>, problems: &mut Vec<Obstacle>) -> Vec<Row> {
    let mut by_table: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
    for row in rows {
        by_table.entry(row.table).or_default().push(row);
    }
    let mut kept = Vec::new();
    for (place, mut rows) in by_table {
        let Some(table) = tables.get(place) else { continue };
        if !table.dropped {
            rows = not_live(connection, table, rows, problems);
        }
        kept.extend(distinct(table, rows, problems));
    }
    kept
}

fn hash_of(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.feed(&mut hasher);
    hasher.finish()
}

fn hash_all<'v>(values: impl Iterator<Item = &'v Value>) -> u64 {
    let mut hasher = DefaultHasher::new();
    values.for_each(|value| value.feed(&mut hasher));
    hasher.finish()
}

/// Bytes that say something, more or less.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Integer(number) => 1 + (64 - number.unsigned_abs().leading_zeros() as usize) / 8,
        Value::Real(_) => 9,
        Value::Text(bytes) | Value::Blob(bytes) => 2 + bytes.len(),
    }
}

/// What tells a row best: its longest whole value, or the start of a text that was cut short.
fn telling(row: &Row) -> Option<Telling> {
    let cut = row.cut;
    let values = row.values.iter().enumerate().filter_map(|(index, value)| Some((index, value.as_ref()?)));
    let whole = values.filter(|(index, _)| Some(*index) != cut);
    let best = whole.max_by_key(|(index, value)| (weight(value), std::cmp::Reverse(*index)));
    if let Some(column) = cut
        && let Some(Some(Value::Text(bytes))) = row.values.get(column)
        && bytes.len() >= START_LEAST.max(best.map_or(0, |(_, value)| weight(value)))
    {
        // Lengths are few, so that a live row is looked up few times.
        let length = 1 << bytes.len().ilog2();
        return start_of(ValueRef::Text(bytes), length).map(|hash| (column, length, hash));
    }
    best.map(|(column, value)| (column, 0, hash_of(value)))
}

/// The hash of so many first bytes of a text.
fn start_of(value: ValueRef<'_>, length: usize) -> Option<u64> {
    let ValueRef::Text(bytes) = value else { return None };
    let mut hasher = DefaultHasher::new();
    bytes.get(..length)?.hash(&mut hasher);
    Some(hasher.finish())
}

/// The hash that a value is looked up by.
fn hash_live_of(value: ValueRef<'_>, length: usize) -> Option<u64> {
    if length > 0 {
        return start_of(value, length);
    }
    let mut hasher = DefaultHasher::new();
    hash_live(value, &mut hasher);
    Some(hasher.finish())
}

impl Index {
    fn add(&mut self, place: usize, row: &Row, width: usize) -> bool {
        if let Some(row_id) = row.row_id {
            self.by_row_id.entry(row_id).or_default().push(place);
        }
        let list = match row.values.len() == width && row.values.iter().all(Option::is_some) && !row.doubts.has(Doubts::CUT) {
            true => self.full.entry(hash_all(row.values.iter().flatten())).or_default(),
            false => {
                let Some((column, length, hash)) = telling(row) else { return false };
                if let Err(at) = self.kinds.binary_search(&(column, length)) {
                    self.kinds.insert(at, (column, length));
                }
                self.part.entry((column, length, hash)).or_default()
            }
        };
        list.push(place);
        list.len() <= ALIKE_MAX
    }
}

/// Whether every value that a row has equals that of a live one; a text that was cut short may go on.
fn same(row: &Row, live: &[ValueRef<'_>]) -> bool {
    row.values.iter().zip(live).enumerate().all(|(index, (own, live))| match (own, live) {
        (None, _) => true,
        (Some(Value::Text(own)), ValueRef::Text(live)) if Some(index) == row.cut => live.starts_with(own),
        (Some(own), live) => own.equals(*live),
    })
}

/// Leaves out what is live, and says which rows are versions of a live one.
fn not_live(connection: &Connection, table: &Table, rows: Vec<Row>, problems: &mut Vec<Obstacle>) -> Vec<Row> {
    let mut index = Index::default();
    let mut dropped = HashSet::new();
    for (place, row) in rows.iter().enumerate() {
        if !index.add(place, row, table.columns.len()) {
            dropped.insert(place);
        }
    }
    if !dropped.is_empty() {
        let detail = format!(
            "table {}: {} candidates of deleted rows say too little to be told from live ones",
            table.name,
            dropped.len()
        );
        problems.push(Obstacle::of(table, Code::CapEntries, detail));
    }
    let mut live = HashSet::new();
    let mut lives = HashSet::new();
    let read = scan(connection, table, &mut |row_id, values| {
        lives.extend(index.by_row_id.get(&row_id).into_iter().flatten().copied());
        let all = (!index.full.is_empty()).then(|| {
            let mut hasher = DefaultHasher::new();
            values.iter().for_each(|value| hash_live(*value, &mut hasher));
            hasher.finish()
        });
        let full = all.and_then(|all| index.full.get(&all)).into_iter().flatten();
        let part = index.kinds.iter().filter_map(|(column, length)| {
            let hash = hash_live_of(*values.get(*column)?, *length)?;
            index.part.get(&(*column, *length, hash))
        });
        let candidates = full.chain(part.flatten());
        live.extend(candidates.filter(|place| rows.get(**place).is_some_and(|row| same(row, values))).copied());
    });
    let unread = match read {
        Ok(()) => false,
        Err(error) => {
            let detail = format!("table {}: deleted rows compared with part of it only: {}", table.name, scratch::reason(&error));
            problems.push(Obstacle::of(table, scratch::code(&error), detail));
            true
        }
    };
    let rows = rows.into_iter().enumerate().filter(|(place, _)| !live.contains(place) && !dropped.contains(place));
    rows.map(|(place, mut row)| {
        if lives.contains(&place) {
            row.state = State::Superseded;
        }
        if unread {
            row.doubts = row.doubts.and(Doubts::UNSIFTED);
        }
        row
    })
    .collect()
}

/// Reads the live rows of a table: rowid, and the values of its stored columns.
///
/// # Errors
/// What SQLite says.
pub fn scan(connection: &Connection, table: &Table, take: &mut dyn FnMut(i64, &[ValueRef<'_>])) -> rusqlite::Result<()> {
    let taken = |name: &&str| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let row_id = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name)).unwrap_or("NULL");
    let columns: Vec<_> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let sql = format!("SELECT {row_id}, {} FROM main.{}", columns.join(", "), quoted(&table.name));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let values = (1..=table.columns.len()).map(|column| row.get_ref(column)).collect::<rusqlite::Result<Vec<_>>>()?;
        take(row.get::<_, Option<i64>>(0)?.unwrap_or(i64::MIN), &values);
    }
    Ok(())
}

/// Leaves out what is told by a better row: all that it has is in the other. Of equals the first stays.
fn distinct(table: &Table, mut rows: Vec<Row>, problems: &mut Vec<Obstacle>) -> Vec<Row> {
    let order = |row: &Row| (row.source, row.offset);
    let known = |row: &Row| row.values.iter().flatten().count();
    rows.sort_by_key(|row| (std::cmp::Reverse(row.doubts.level()), std::cmp::Reverse(known(row)), order(row)));
    // Only of a row that lacks something can another one say more.
    let lacks = |row: &Row| {
        let cut = row.doubts.has(Doubts::CUT) || row.doubts.has(Doubts::SHORT);
        cut || row.row_id.is_none() || row.values.iter().any(Option::is_none)
    };
    let wanted: HashSet<Telling> = rows.iter().filter(|row| lacks(row)).filter_map(telling).collect();
    let kinds: BTreeSet<(usize, usize)> = wanted.iter().map(|(column, length, _)| (*column, *length)).collect();
    let mut by_value: HashMap<Telling, Vec<usize>> = HashMap::new();
    let mut exact = HashSet::new();
    let mut kept: Vec<Row> = Vec::new();
    let mut skipped = 0u64;
    for row in rows {
        let mut hasher = DefaultHasher::new();
        (row.row_id, row.values.len()).hash(&mut hasher);
        row.values.iter().for_each(|value| match value {
            None => 5u8.hash(&mut hasher),
            Some(value) => value.feed(&mut hasher),
        });
        if !exact.insert(hasher.finish()) {
            continue;
        }
        let Some(own) = telling(&row) else {
            skipped += 1;
            continue;
        };
        let better = by_value.get(&own).filter(|_| lacks(&row));
        if better.is_some_and(|better| {
            better.iter().take(ALIKE_MAX).any(|place| kept.get(*place).is_some_and(|kept| covers(kept, &row)))
        }) {
            continue;
        }
        for (column, length) in &kinds {
            let value = row.values.get(*column).and_then(Option::as_ref);
            let hash = value.and_then(|value| match (length, value) {
                (0, value) => Some(hash_of(value)),
                (length, Value::Text(bytes)) => start_of(ValueRef::Text(bytes), *length),
                _ => None,
            });
            if let Some(key) = hash.map(|hash| (*column, *length, hash)).filter(|key| wanted.contains(key)) {
                by_value.entry(key).or_default().push(kept.len());
            }
        }
        kept.push(row);
    }
    if skipped > 0 {
        let detail = format!("table {}: {skipped} remains of rows without any value", table.name);
        problems.push(Obstacle::of(table, Code::RowRejected, detail));
    }
    kept.sort_by_key(order);
    kept
}

/// Whether a row says all that another does.
fn covers(better: &Row, other: &Row) -> bool {
    (other.row_id.is_none() || other.row_id == better.row_id)
        && other.values.iter().enumerate().all(|(index, own)| match (own, better.values.get(index)) {
            (None, _) => true,
            (Some(Value::Text(own)), Some(Some(Value::Text(whole)))) if Some(index) == other.cut => whole.starts_with(own),
            (Some(own), Some(Some(whole))) => own == whole,
            _ => false,
        })
}

impl Row {
    /// Where it lies, for an order.
    pub fn place(&self) -> (Source, u64) {
        (self.source, self.offset)
    }
}
