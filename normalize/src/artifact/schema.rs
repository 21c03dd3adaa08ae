//! The tables of a database, and which variant of a definition they fit.

use super::{Artifact, Tables, Variant};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// Real tables (with pages of their own: no views, no virtual tables) and their columns, all in lower case as SQLite
/// compares them.
#[derive(Debug, Default)]
pub struct Schema {
    tables: BTreeMap<String, Vec<String>>,
}

/// What a definition makes of a schema.
pub enum Fit<'a> {
    /// This variant reads it.
    Variant(&'a Variant),
    /// It has tables of this app, but no variant fits: what the nearest variant misses.
    Drift(String),
    /// Not this app.
    None,
}

impl Schema {
    /// Reads the schema.
    ///
    /// # Errors
    /// What SQLite says where the schema cannot be read: the database is then damaged as a whole.
    pub fn read(connection: &Connection) -> rusqlite::Result<Schema> {
        // A view that is named like a table must not run: only roots of type `table` count.
        let mut statement =
            connection.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY rowid")?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut tables = BTreeMap::new();
        for name in names {
            let mut statement = connection.prepare(&format!("PRAGMA main.table_xinfo({})", quoted(&name)))?;
            let columns = statement.query_map([], |row| Ok(row.get::<_, String>(1)?.to_ascii_lowercase()))?;
            tables.insert(name.to_ascii_lowercase(), columns.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        Ok(Schema { tables })
    }

    /// Whether there is any table.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The columns of a table.
    pub fn columns(&self, table: &str) -> Option<&[String]> {
        self.tables.get(&table.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// What a definition makes of this schema; `expected` where the item's path says it should be this app's.
    pub fn fit<'a>(&self, artifact: &'a Artifact, expected: bool) -> Fit<'a> {
        let variants = &artifact.text.variant;
        if let Some(variant) = variants.iter().find(|variant| self.missing(&variant.require).is_empty()) {
            return Fit::Variant(variant);
        }
        let nearest = variants
            .iter()
            .filter(|variant| variant.require.keys().any(|table| self.columns(table).is_some()))
            .map(|variant| self.missing(&variant.require))
            .min_by_key(Vec::len);
        match nearest {
            Some(missing) if expected => Fit::Drift(missing.join(", ")),
            _ => Fit::None,
        }
    }

    /// What of some tables and columns is not there: `table` or `table.column`.
    pub fn missing(&self, tables: &Tables) -> Vec<String> {
        let mut missing = Vec::new();
        for (table, columns) in tables {
            match self.columns(table) {
                None => missing.push(table.clone()),
                Some(existing) => missing.extend(
                    columns
                        .iter()
                        .filter(|column| !existing.contains(&column.to_ascii_lowercase()))
                        .map(|column| format!("{table}.{column}")),
                ),
            }
        }
        missing
    }
}

/// A name as SQL writes it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_and_virtual_tables_are_not_tables() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE A (x, Y AS (x + 1)); CREATE VIEW b AS SELECT 1 AS x; CREATE VIRTUAL TABLE c USING fts5(x);",
            )
            .unwrap();
        let schema = Schema::read(&connection).unwrap();
        assert_eq!(schema.columns("a"), Some(["x".to_owned(), "y".to_owned()].as_slice()));
        assert_eq!(schema.columns("b"), None);
        assert_eq!(schema.columns("c"), None);
        let wanted = Tables::from([("a".into(), vec!["X".into(), "z".into()]), ("b".into(), vec![])]);
        assert_eq!(schema.missing(&wanted), ["a.z", "b"]);
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
