//! The tables of a database, and which variant of a definition they fit.

use super::{Artifact, Query, Skip, Tables, Variant};
use rusqlite::Connection;
use std::borrow::Cow;
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
    Variant(Cow<'a, Variant>),
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

    /// Tables and their columns, in lower case, in the order of their names.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.tables.iter().map(|(name, columns)| (name.as_str(), columns.as_slice()))
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
            return Fit::Variant(self.expand(variant));
        }
        let nearest = variants
            .iter()
            .filter(|variant| variant.require.keys().any(|table| self.has(table)))
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
            if table.ends_with('*') {
                if self.matching(table, columns).is_empty() {
                    missing.push(table.clone());
                }
                continue;
            }
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

impl Schema {
    /// Whether there is a table of that name or pattern.
    fn has(&self, table: &str) -> bool {
        if table.ends_with('*') { !self.matching(table, &[]).is_empty() } else { self.columns(table).is_some() }
    }

    /// Names of the tables that a pattern (`Chat_*`) stands for: those that begin so, go on with letters, digits and underscores only,
    /// and have the columns.
    fn matching(&self, pattern: &str, columns: &[String]) -> Vec<&str> {
        let start = pattern.trim_end_matches('*').to_ascii_lowercase();
        let fits = |name: &str, existing: &[String]| {
            let plain = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            name.strip_prefix(start.as_str()).is_some_and(plain)
                && columns.iter().all(|column| existing.contains(&column.to_ascii_lowercase()))
        };
        self.tables.iter().filter(|(name, existing)| fits(name, existing)).map(|(name, _)| name.as_str()).collect()
    }

    /// The variant with every pattern replaced by the tables of this schema: each query of a pattern becomes one for each table,
    /// in the order of their names, and the pattern in its SQL becomes that table's name.
    fn expand<'a>(&self, variant: &'a Variant) -> Cow<'a, Variant> {
        let pattern = variant.require.keys().find(|table| table.ends_with('*'));
        let Some(pattern) = pattern else { return Cow::Borrowed(variant) };
        let mut whole = Variant { require: variant.require.clone(), optional: variant.optional.clone(), query: Vec::new() };
        let columns = whole.require.remove(pattern).unwrap_or_default();
        let more = whole.optional.remove(pattern);
        let tables = self.matching(pattern, &columns);
        for table in &tables {
            whole.require.insert((*table).to_owned(), columns.clone());
            if let Some(more) = &more {
                whole.optional.insert((*table).to_owned(), more.clone());
            }
        }
        for query in &variant.query {
            if query.row_table != *pattern {
                whole.query.push(query.clone());
                continue;
            }
            whole.query.extend(tables.iter().map(|table| query.of_table(pattern, table)));
        }
        Cow::Owned(whole)
    }
}

impl Query {
    /// This query for one table of a pattern.
    fn of_table(&self, pattern: &str, table: &str) -> Query {
        let name = |text: &str| text.replace(pattern, table);
        let skip = |skip: &Skip| Skip { r#where: name(&skip.r#where), reason: skip.reason.clone() };
        Query {
            record: self.record.clone(),
            row_table: table.to_owned(),
            sql: name(&self.sql),
            skip: self.skip.iter().map(skip).collect(),
            contact_table: self.contact_table.as_deref().map(name),
            message_table: self.message_table.as_deref().map(name),
        }
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
    fn a_pattern_stands_for_every_table_that_fits() {
        let connection = Connection::open_in_memory().unwrap();
        let sql = "CREATE TABLE Chat_b1 (a); CREATE TABLE Chat_a2 (a, b); CREATE TABLE Chat_c3 (z); CREATE TABLE Chat_ (a); \
                   CREATE TABLE \"Chat_x'y\" (a); CREATE TABLE ChatExt_d4 (a)";
        connection.execute_batch(sql).unwrap();
        let schema = Schema::read(&connection).unwrap();
        let query = Query {
            record: "message".into(),
            row_table: "Chat_*".into(),
            sql: "SELECT chat.rowid AS row_id, 'Chat_*' AS thread FROM \"Chat_*\" AS chat".into(),
            skip: Vec::new(),
            contact_table: None,
            message_table: None,
        };
        let require = Tables::from([("Chat_*".to_owned(), vec!["A".to_owned()])]);
        let variant = Variant { require, optional: Tables::new(), query: vec![query] };
        assert!(schema.missing(&variant.require).is_empty());
        let whole = schema.expand(&variant);
        let names: Vec<_> = whole.query.iter().map(|query| query.row_table.as_str()).collect();
        assert_eq!(names, ["chat_a2", "chat_b1"]);
        assert_eq!(whole.query[0].sql, "SELECT chat.rowid AS row_id, 'chat_a2' AS thread FROM \"chat_a2\" AS chat");
        assert_eq!(schema.missing(&Tables::from([("Room_*".to_owned(), vec![])])), ["Room_*"]);
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
