//! One raw row of a database: what `haul explain` shows.

use crate::find::pages::{Geometry, Kind, PageFile, node};
use crate::find::payload;
use crate::find::tree::{Owners, start};
use crate::scratch::Evidence;
use model::text::{escape, escape_bytes};
use rusqlite::types::ValueRef;
use std::io::Read as _;
use std::path::Path;

/// Bytes of one value that are shown at most.
const SHOWN_BYTES: usize = 4096;

/// The columns of a row of the database in a scratch folder (`main`, `main-wal`, `main-journal`), values as SQL literals, escaped
/// for a terminal.
///
/// # Errors
/// What SQLite says; `QueryReturnedNoRows` if there is no such row.
pub fn row(folder: &Path, table: &str, row_id: i64) -> rusqlite::Result<Vec<(String, String)>> {
    let mut evidence = Evidence::open(folder, &config::Normalize::default(), None, crate::scratch::has_companions(folder))?;
    let table = table.to_owned();
    evidence.confine([&table].into_iter())?;
    let sql = format!("SELECT * FROM \"{}\" WHERE rowid = ?1", table.replace('"', "\"\""));
    let mut statement = evidence.connection.prepare(&sql)?;
    let names: Vec<String> = statement.column_names().map(escape).collect();
    statement.query_row([row_id], |row| {
        let values = (0..names.len()).map(|at| row.get_ref(at).map(literal));
        names.iter().cloned().zip(values).map(|(name, value)| Ok((name, value?))).collect()
    })
}

/// The properties of a node of a mail store in a scratch folder, where the pointer of a record leads to one: names and values, escaped.
///
/// # Errors
/// The world's: the file cannot be read.
pub fn properties(folder: &Path, pointer: &str) -> std::io::Result<Vec<(String, String)>> {
    crate::parse::mail::pst::shown::properties(&folder.join("main"), pointer)
}

/// Where the cell of a row lies in the database of a scratch folder: first byte and how many, overflow pages not counted. `None` where
/// the row is not in a leaf of that table, or a log or journal beside the database may hold a later page.
///
/// # Errors
/// The world's: the file cannot be read.
pub fn cell(folder: &Path, table: &str, row_id: i64) -> std::io::Result<Option<(u64, u64)>> {
    if crate::scratch::has_companions(folder) {
        return Ok(None);
    }
    let path = folder.join("main");
    let mut head = Vec::new();
    std::fs::File::open(&path)?.take(100).read_to_end(&mut head)?;
    let Some(geometry) = Geometry::of(&head) else { return Ok(None) };
    let file = PageFile::open(&path, geometry)?;
    let owners = Owners::walk(&file)?;
    let mut page = Vec::new();
    for number in 1..=u32::try_from(file.pages()).unwrap_or(u32::MAX) {
        if owners.table(number) != Some(table) || !file.page(number, &mut page)? {
            continue;
        }
        let Some((Kind::TableLeaf, node)) = node(&page, start(number), geometry.usable) else { continue };
        for at in node.cells {
            let cell = payload::cell(&page, at, geometry.usable, Kind::TableLeaf, &geometry);
            if let Some(cell) = cell.filter(|cell| cell.rowid == Some(row_id)) {
                return Ok(Some((file.offset(number) + at as u64, cell.end.saturating_sub(at) as u64)));
            }
        }
    }
    Ok(None)
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => format!("{value:?}"),
        ValueRef::Text(bytes) => shown(bytes, |bytes| format!("'{}'", escape_bytes(bytes))),
        ValueRef::Blob(bytes) => {
            shown(bytes, |bytes| format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        }
    }
}

fn shown(bytes: &[u8], print: impl Fn(&[u8]) -> String) -> String {
    match bytes.get(..SHOWN_BYTES) {
        Some(start) if bytes.len() > SHOWN_BYTES => format!("{} … {} more bytes", print(start), bytes.len() - SHOWN_BYTES),
        _ => print(bytes),
    }
}
