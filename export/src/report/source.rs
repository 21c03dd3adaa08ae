//! A bundle as the report reads it: whole, or with tables and columns left out by whoever shared it.

use crate::Error;
use crate::bundle::schema::{APPLICATION_ID, merged_tables};
use crate::custody::{self, Custody};
use crate::exchange::hex;
use crate::share::{PartialReport, open_readable};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Page cache of all bundles of a report, KiB: what one section read, the next finds there.
const CACHE_KIB: usize = 64 << 10;
/// The least that one of them gets.
const LEAST_CACHE_KIB: usize = 1 << 10;

/// A bundle, opened.
pub struct Source {
    path: PathBuf,
    connection: Connection,
    /// Common table expressions that stand in for what the bundle lacks, each ended by a comma.
    stand_ins: String,
    absent: BTreeSet<&'static str>,
    /// Of a partial bundle, what it says of itself.
    pub partial: Option<PartialReport>,
}

/// One row of a query. A stranger's file may hold any type anywhere, so nothing here fails on a type.
pub struct Cells<'r, 's>(&'r Row<'s>);

impl Cells<'_, '_> {
    /// A text, lossy where it is not UTF-8; numbers as digits, bytes as hexadecimal; `None` for NULL.
    pub fn text(&self, place: usize) -> Option<String> {
        match self.0.get_ref(place) {
            Ok(ValueRef::Text(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Ok(ValueRef::Integer(integer)) => Some(integer.to_string()),
            Ok(ValueRef::Real(real)) => Some(real.to_string()),
            Ok(ValueRef::Blob(bytes)) => Some(hex(bytes)),
            Ok(ValueRef::Null) | Err(_) => None,
        }
    }

    /// A text that is not empty.
    pub fn words(&self, place: usize) -> Option<String> {
        self.text(place).filter(|text| !text.is_empty())
    }

    /// An integer; `None` for anything else.
    pub fn integer(&self, place: usize) -> Option<i64> {
        match self.0.get_ref(place) {
            Ok(ValueRef::Integer(integer)) => Some(integer),
            _ => None,
        }
    }
}

impl Source {
    /// Opens a bundle; tables and columns of the format that it does not have read as empty and NULL.
    ///
    /// `beside`: how many are open at once. All of them share [`CACHE_KIB`].
    pub fn open(path: &Path, beside: usize) -> Result<Source, Error> {
        let readable = open_readable(path)?;
        let connection = readable.connection;
        let not_a_bundle = |reason: String| Error::NotABundle { path: path.to_owned(), reason };
        let found: i32 = connection
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(|source| not_a_bundle(source.to_string()))?;
        if found != APPLICATION_ID && readable.partial.is_none() {
            return Err(not_a_bundle(format!("application_id is {found}, not {APPLICATION_ID}")));
        }
        // Sections read the same tables one after the other.
        let share = i64::try_from((CACHE_KIB / beside.max(1)).max(LEAST_CACHE_KIB)).unwrap_or(i64::MAX);
        let cache = connection.pragma_update(None, "cache_size", -share);
        cache.map_err(|source| Error::Store { path: path.to_owned(), source })?;
        let (mut partial, mut absent) = (None, BTreeSet::new());
        if let Some((report, given)) = readable.partial {
            absent.extend(merged_tables().iter().map(|table| table.name).filter(|name| !given.contains(name)));
            partial = Some(report);
        }
        let mut source = Source { path: path.to_owned(), connection, stand_ins: String::new(), absent, partial };
        let prepare = |source: &mut Source| {
            source.stand_in()?;
            super::names::gather(&source.connection, &source.with(""))
        };
        prepare(&mut source).map_err(|error| Error::Store { path: path.to_owned(), source: error })?;
        Ok(source)
    }

    fn stand_in(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        for table in merged_tables() {
            let has: BTreeSet<String> = statement.query_map([table.name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            if table.columns.iter().all(|column| has.contains(column.name)) {
                continue;
            }
            let columns: Vec<String> = table
                .columns
                .iter()
                .map(|column| if has.contains(column.name) { column.name.to_owned() } else { format!("NULL AS {}", column.name) })
                .collect();
            let from = if has.is_empty() {
                self.absent.insert(table.name);
                "WHERE 0".to_owned()
            } else {
                // The schema's name says that the table itself is meant, not its stand-in.
                format!("FROM main.{}", table.name)
            };
            self.stand_ins.push_str(&format!("{} AS (SELECT {} {from}),\n", table.name, columns.join(", ")));
        }
        Ok(())
    }

    /// Whether the bundle has a table of that name at all.
    pub fn has(&self, table: &str) -> bool {
        !self.absent.contains(table)
    }

    /// The clause with what stands in for tables, and more, if there is any.
    fn with(&self, more: &str) -> String {
        let all = format!("{}{more}", self.stand_ins);
        let all = all.trim_end_matches(",\n");
        if all.is_empty() { String::new() } else { format!("WITH {all}\n") }
    }

    /// Gives every row of a query to `take`. `with`: common table expressions of its own, without the word WITH.
    pub fn each(&self, with: &str, sql: &str, take: &mut dyn FnMut(&Cells<'_, '_>) -> Result<(), Error>) -> Result<(), Error> {
        let error = |source| Error::Store { path: self.path.clone(), source };
        let sql = format!("{}{sql}", self.with(with));
        let mut statement = self.connection.prepare(&sql).map_err(error)?;
        let mut rows = statement.query([]).map_err(error)?;
        while let Some(row) = rows.next().map_err(error)? {
            take(&Cells(row))?;
        }
        Ok(())
    }

    /// The file's name.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What was done with it, from the file beside it, checked.
    pub fn custody(&self) -> Result<Custody, Error> {
        custody::check(&self.path, None)
    }

    /// How many rows a table has.
    pub fn count(&self, table: &str) -> Result<u64, Error> {
        let mut count = 0;
        self.each("", &format!("SELECT count(*) FROM {table}"), &mut |cells| {
            count = cells.integer(0).and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
            Ok(())
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bundle_lacks_reads_as_null_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.sqlite");
        let connection = Connection::open_with_flags(&path, rusqlite::OpenFlags::default()).unwrap();
        connection.execute_batch("CREATE TABLE message (id BLOB, text TEXT); INSERT INTO message VALUES (x'01', 'x')").unwrap();
        assert!(matches!(Source::open(&path, 1), Err(Error::NotABundle { .. })));
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        let source = Source::open(&path, 1).unwrap();
        let mut seen = Vec::new();
        let sql = "SELECT message.id, text, sender, thread.name FROM message LEFT JOIN thread ON thread.id = thread_id";
        source
            .each("", sql, &mut |cells| {
                seen.push((cells.text(0), cells.text(1), cells.text(2), cells.text(3)));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(Some("01".to_owned()), Some("x".to_owned()), None, None)]);
        assert!(source.has("message") && !source.has("thread") && !source.has("part"));
        assert_eq!((source.count("message").unwrap(), source.count("call").unwrap()), (1, 0));
    }
}
