//! Tables that were dropped: their deleted rows of the schema say what columns they had and where their trees began.

use super::images::Images;
use super::shape::Table;
use super::{Row, Value};
use crate::find::pages::{be32, node};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use std::collections::HashMap;
use std::io;

/// Longest statement that is read.
const SQL_BYTES: i32 = 64 << 10;
/// Most dropped tables.
const TABLES_MAX: usize = 256;

/// Adds the dropped tables to the list, and says which pages their trees had.
pub fn tables(schema: &[Row], tables: &mut Vec<Table>, images: &Images) -> io::Result<HashMap<u32, usize>> {
    let mut pages = HashMap::new();
    for row in schema.iter().take(TABLES_MAX) {
        let text = |column: usize| match row.values.get(column) {
            Some(Some(Value::Text(bytes))) => std::str::from_utf8(bytes).unwrap_or_default(),
            _ => "",
        };
        if text(0) != "table" {
            continue;
        }
        let root = match row.values.get(3) {
            Some(Some(Value::Integer(root))) => u32::try_from(*root).unwrap_or(0),
            _ => 0,
        };
        let Some(table) = created(text(1), text(4), root) else { continue };
        // A table that was made again is that table.
        let place = tables.iter().position(|other| other.name == table.name && other.columns == table.columns);
        let place = place.unwrap_or_else(|| {
            tables.push(table);
            tables.len() - 1
        });
        claim(root, place, images, &mut pages)?;
    }
    Ok(pages)
}

/// The table that a statement makes. It is the evidence's text: it runs in an empty database where it can make a table only.
fn created(name: &str, sql: &str, root: u32) -> Option<Table> {
    if !sql.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("create table")) {
        return None;
    }
    let read = || {
        let mut connection = Connection::open_in_memory()?;
        connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES)?;
        connection.set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, 100)?;
        connection.authorizer(Some(|context: AuthContext<'_>| match context.action {
            AuthAction::Select | AuthAction::Attach { .. } | AuthAction::Pragma { .. } => Authorization::Deny,
            _ => Authorization::Allow,
        }))?;
        connection.prepare(sql)?.execute([])?;
        connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
        Table::read(&connection, name, root)
    };
    // A statement that SQLite does not read tells of no columns.
    let table: rusqlite::Result<Option<Table>> = read();
    let table = match table {
        Ok(table) => table?,
        Err(_) => return None,
    };
    (!table.columns.is_empty()).then_some(Table { dropped: true, ..table })
}

/// Walks a former tree over pages that no tree reaches now.
fn claim(root: u32, table: usize, images: &Images, pages: &mut HashMap<u32, usize>) -> io::Result<()> {
    let mut stack = vec![root];
    let mut page = Vec::new();
    while let Some(number) = stack.pop() {
        if images.owners.reached(number) || pages.contains_key(&number) || !images.main.page(number, &mut page)? {
            continue;
        }
        pages.insert(number, table);
        if let Some((kind, node)) = node(&page, 0, images.main.geometry.usable)
            && kind.interior()
        {
            stack.extend(node.cells.iter().filter_map(|at| be32(&page, *at)).chain(node.right));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_makes_a_table_and_nothing_else() {
        let table = created("t", "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL)", 7).unwrap();
        assert!(table.dropped && table.root == 7 && table.columns.len() == 2 && table.columns[0].is_row_id);
        for sql in ["DROP TABLE x", "CREATE TABLE t AS SELECT 1 AS a", "CREATE TABLE t (", "", "CREATE VIEW t AS SELECT 1"] {
            assert_eq!(created("t", sql, 1), None, "{sql}");
        }
    }
}
