//! The tables that rows can belong to, and whether a record could be a row of one.
//!
//! A record says how many columns it has and of what kind each is; the schema says what SQLite can have stored there
//! (<https://sqlite.org/datatype3.html#type_affinity>). Text never stays a number in a TEXT column, NULL never stands in a
//! NOT NULL column, and the column that is the rowid is always stored as NULL: most chance finds fail on one of these.

use crate::artifact::schema::quoted;
use crate::artifact::shadow::affinity;
use crate::find::row::is_text;
use rusqlite::Connection;

/// What a column does to the values that are stored in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Affinity {
    /// Numbers become integers where that loses nothing.
    Integer,
    /// Numbers become texts.
    Text,
    /// Everything stays.
    Blob,
    /// Numbers become floats (stored as integers where that is exact).
    Real,
    /// As `Integer`, for dates, booleans and decimals.
    Numeric,
}

/// A column as it is stored in a record.
#[derive(Clone, PartialEq, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its affinity.
    pub affinity: Affinity,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Whether it is another name of the rowid: stored as NULL.
    pub is_row_id: bool,
}

/// A rowid table.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its stored columns, in order.
    pub columns: Vec<Column>,
    /// Root page, where the schema names one.
    pub root: u32,
    /// Whether the schema no longer has it.
    pub dropped: bool,
}

impl Table {
    /// The schema table itself: its deleted rows name dropped tables.
    pub fn schema() -> Table {
        let column = |name: &str, affinity, not_null| Column { name: name.to_owned(), affinity, not_null, is_row_id: false };
        let columns = vec![
            column("type", Affinity::Text, true),
            column("name", Affinity::Text, true),
            column("tbl_name", Affinity::Text, true),
            column("rootpage", Affinity::Integer, false),
            column("sql", Affinity::Text, false),
        ];
        Table { name: "sqlite_schema".to_owned(), columns, root: 1, dropped: false }
    }

    /// Every rowid table of a database; tables that SQLite cannot describe are left out.
    ///
    /// # Errors
    /// What SQLite says where the schema cannot be read.
    pub fn all(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
        let mut statement = connection
            .prepare("SELECT name, rootpage FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY rowid")?;
        let names = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))?;
        let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut tables = vec![Table::schema()];
        for (name, root) in names {
            tables.extend(Table::read(connection, &name, root)?);
        }
        Ok(tables)
    }

    /// One table; `None` if it is WITHOUT ROWID, whose rows lie in an index.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn read(connection: &Connection, name: &str, root: u32) -> rusqlite::Result<Option<Table>> {
        let without = "SELECT wr FROM pragma_table_list(?1) WHERE schema = 'main'";
        if connection.query_row(without, [name], |row| row.get::<_, i64>(0))? != 0 {
            return Ok(None);
        }
        let mut statement = connection.prepare(&format!("PRAGMA main.table_xinfo({})", quoted(name)))?;
        let columns = statement.query_map([], |row| {
            let declared: String = row.get(2)?;
            let column = Column {
                name: row.get(1)?,
                affinity: match affinity(Some(&declared)) {
                    "INTEGER" => Affinity::Integer,
                    "TEXT" => Affinity::Text,
                    "BLOB" => Affinity::Blob,
                    "REAL" => Affinity::Real,
                    _ => Affinity::Numeric,
                },
                not_null: row.get::<_, i64>(3)? != 0,
                is_row_id: declared.eq_ignore_ascii_case("integer") && row.get::<_, i64>(5)? == 1,
            };
            // 2: a generated column that is not stored.
            Ok((column, row.get::<_, i64>(5)?, row.get::<_, i64>(6)? == 2))
        })?;
        let columns = columns.collect::<rusqlite::Result<Vec<_>>>()?;
        // A primary key of several columns is no rowid.
        let keys = columns.iter().filter(|(_, key, _)| *key > 0).count();
        let stored = columns.into_iter().filter(|(_, _, absent)| !absent).map(|(column, _, _)| {
            let is_row_id = column.is_row_id && keys == 1;
            Column { is_row_id, not_null: column.not_null && !is_row_id, ..column }
        });
        Ok(Some(Table { name: name.to_owned(), columns: stored.collect(), root, dropped: false }))
    }

    /// Whether a row of these serial types holds bytes in a column that is declared for texts.
    pub fn bytes_for_text(&self, serials: &[u64]) -> bool {
        let bytes = |serial: u64| serial >= 12 && !is_text(serial);
        self.columns.iter().zip(serials).any(|(column, serial)| column.affinity == Affinity::Text && bytes(*serial))
    }

    /// How ill some serial types suit the first columns of this table: 0 is well; `None` if they cannot be a row of it.
    pub fn misfit(&self, serials: &[u64]) -> Option<usize> {
        if serials.is_empty() || serials.len() > self.columns.len() {
            return None;
        }
        // Rows from before a column was added are shorter.
        let mut misfit = 2 * (self.columns.len() - serials.len());
        for (column, serial) in self.columns.iter().zip(serials) {
            misfit += column.misfit(*serial)?;
        }
        Some(misfit)
    }
}

impl Column {
    /// How ill a serial type suits the column; `None` if SQLite cannot have stored it there.
    pub fn misfit(&self, serial: u64) -> Option<usize> {
        use Affinity::{Blob, Integer, Numeric, Real, Text};
        match (serial, self.affinity) {
            (10 | 11, _) => None,
            (0, _) => (!self.not_null).then_some(0),
            _ if self.is_row_id => None,
            (1..=9, Text) => None,
            (1..=6 | 8 | 9, _) | (7, Real | Numeric | Blob) => Some(0),
            (7, Integer) => Some(2),
            (_, Blob) => Some(0),
            (serial, Text) => Some(if is_text(serial) { 0 } else { 2 }),
            (serial, Numeric) => Some(if is_text(serial) { 1 } else { 2 }),
            _ => Some(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(sql: &str) -> Vec<Table> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        Table::all(&connection).unwrap()
    }

    #[test]
    fn columns_are_those_that_are_stored() {
        let tables = tables(
            "CREATE TABLE a (_id INTEGER PRIMARY KEY NOT NULL, t VARCHAR NOT NULL, g AS (t || 'x'), s AS (1) STORED, r FLOAT);
             CREATE TABLE b (x INTEGER, y INTEGER, PRIMARY KEY (x, y));
             CREATE TABLE c (x PRIMARY KEY) WITHOUT ROWID; CREATE VIEW d AS SELECT 1",
        );
        let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["sqlite_schema", "a", "b"]);
        let columns: Vec<_> = tables[1].columns.iter().map(|column| (column.name.as_str(), column.affinity)).collect();
        use Affinity::*;
        assert_eq!(columns, [("_id", Integer), ("t", Text), ("s", Blob), ("r", Real)]);
        assert!(tables[1].columns[0].is_row_id && !tables[1].columns[0].not_null && tables[1].columns[1].not_null);
        assert!(!tables[2].columns[0].is_row_id);
    }

    #[test]
    fn records_that_sqlite_cannot_have_stored_do_not_fit() {
        let tables = tables("CREATE TABLE a (_id INTEGER PRIMARY KEY, t TEXT NOT NULL, n INTEGER, r REAL)");
        let misfit = |serials: &[u64]| tables[1].misfit(serials);
        assert_eq!(misfit(&[0, 21, 1, 7]), Some(0));
        assert_eq!(misfit(&[0, 21, 0, 4]), Some(0));
        assert_eq!(misfit(&[1, 21, 1, 7]), None, "the rowid is stored as NULL");
        assert_eq!(misfit(&[0, 4, 1, 7]), None, "a number in a TEXT column");
        assert_eq!(misfit(&[0, 0, 1, 7]), None, "NULL in a NOT NULL column");
        assert_eq!(misfit(&[0, 21, 1, 7, 1]), None, "more columns than the table has");
        assert!(misfit(&[0, 21, 21, 7]) > misfit(&[0, 21, 1]));
    }
}
