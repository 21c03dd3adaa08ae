//! How far exhibits are, for `haul status`.

use super::store;
use crate::Error;
use model::wire::from_bytes;
use model::{Body, Id, Kind};
use rusqlite::{Connection, OpenFlags};
use std::fmt;
use std::path::Path;

/// How far one exhibit of a working store is.
#[derive(Clone, PartialEq, Debug)]
pub struct ExhibitState {
    /// The exhibit.
    pub id: Id,
    /// Its number, once it is known.
    pub number: Option<String>,
    /// Items that are known, final or not.
    pub walked: i64,
    /// Items the exhibit has in all, once ingest has said so.
    pub items: Option<i64>,
    /// Items that are final but not all of whose entries are here, or that have entries here but are not final.
    pub pending: i64,
    /// Final items by status, in the order of the words.
    pub statuses: Vec<(String, i64)>,
    /// Entries that are held.
    pub entries: i64,
    /// Problems that are held.
    pub problems: i64,
    /// Whether a bundle was sealed from what is held.
    pub sealed: bool,
}

impl fmt::Display for ExhibitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.number {
            Some(number) => write!(f, "{}: ", model::text::escape(number))?,
            None if self.id == Id::default() => write!(f, "unknown exhibit: ")?,
            None => write!(f, "exhibit {}: ", self.id)?,
        }
        write!(f, "{}walked {}", if self.sealed { "sealed, " } else { "" }, self.walked)?;
        if let Some(items) = self.items {
            write!(f, " of {items}")?;
        }
        for (status, count) in &self.statuses {
            write!(f, ", {status} {count}")?;
        }
        write!(f, ", pending {}, entries {}, problems {}", self.pending, self.entries, self.problems)
    }
}

/// How far each exhibit of a working store is, while a worker may be writing to it.
pub fn read_states(path: &Path) -> Result<Vec<ExhibitState>, Error> {
    let error = |source| Error::Store { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(error)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(error)?;
    store::check_form(&connection, path)?;
    states(&connection).map_err(error)
}

pub(super) fn states(connection: &Connection) -> rusqlite::Result<Vec<ExhibitState>> {
    let sql = "SELECT number, id, end_items, entries, sealed_entries IS entries,
               (SELECT count(*) FROM item WHERE exhibit = number),
               (SELECT count(*) FROM item WHERE exhibit = number AND stored IS NOT announced)
               FROM exhibit ORDER BY id";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let exhibit: i64 = row.get(0)?;
        let id = Id(row.get(1)?);
        found.push(ExhibitState {
            id,
            number: exhibit_number(connection, exhibit, id)?,
            walked: row.get(5)?,
            items: row.get(2)?,
            pending: row.get(6)?,
            statuses: statuses(connection, exhibit)?,
            entries: row.get(3)?,
            problems: store::count(connection, exhibit, Kind::Problem)?,
            sealed: row.get(4)?,
        });
    }
    Ok(found)
}

fn exhibit_number(connection: &Connection, exhibit: i64, id: Id) -> rusqlite::Result<Option<String>> {
    let held = store::held(connection, exhibit, Kind::Exhibit, id)?;
    Ok(held.and_then(|(_, _, body)| match from_bytes::<Body>(&body) {
        Ok(Body::Exhibit(exhibit)) => Some(exhibit.number),
        _ => None,
    }))
}

fn statuses(connection: &Connection, exhibit: i64) -> rusqlite::Result<Vec<(String, i64)>> {
    let sql = "SELECT status, count(*) FROM item WHERE exhibit = ?1 AND status IS NOT NULL GROUP BY status ORDER BY status";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([exhibit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Items that are named when an exhibit is not complete.
const NAMED_ITEMS: usize = 3;

/// What keeps exhibits from being complete, in words.
pub(super) fn missing(connection: &Connection) -> rusqlite::Result<String> {
    let sql =
        "SELECT number, id, present, end_items, items, end_directories, directories, end_problems, ingest_problems FROM exhibit";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut words = Vec::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let mut lacks = Vec::new();
        if !row.get::<_, bool>(2)? {
            lacks.push("its description".to_owned());
        }
        if row.get::<_, Option<i64>>(3)?.is_none() {
            lacks.push("its end".to_owned());
        }
        for (place, name) in [(3, "items"), (5, "directories"), (7, "problems")] {
            let (announced, held): (Option<i64>, i64) = (row.get(place)?, row.get(place + 1)?);
            if announced.is_some_and(|announced| announced != held) {
                lacks.push(format!("{held} of {} {name}", announced.unwrap_or(0)));
            }
        }
        lacks.extend(open_items(connection, number)?);
        words.push(format!("exhibit {}: {}", Id(row.get(1)?), lacks.join(", ")));
    }
    Ok(if words.is_empty() { "nothing has arrived".to_owned() } else { words.join("; ") })
}

/// Names the first items that do not hold what they announce, and counts the others.
fn open_items(connection: &Connection, exhibit: i64) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT id, stored, announced FROM item WHERE exhibit = ?1 AND stored IS NOT announced ORDER BY id";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([exhibit])?;
    let (mut words, mut more) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (id, stored, announced): ([u8; 16], i64, Option<i64>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        match announced {
            _ if words.len() >= NAMED_ITEMS => more += 1,
            Some(announced) => words.push(format!("item {} holds {stored} of {announced} entries", Id(id))),
            None => words.push(format!("item {} is not final", Id(id))),
        }
    }
    if more > 0 {
        words.push(format!("{more} items more"));
    }
    Ok(words)
}
