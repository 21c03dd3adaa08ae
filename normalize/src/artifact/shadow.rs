//! TEMP tables and views that take a table's unqualified name: stand-ins for what a generation of the schema lacks, and
//! rows that were recovered, read by the same SQL as the live ones.

use super::Variant;
use super::schema::{Schema, quoted};
use rusqlite::Connection;

/// Makes stand-ins for what is optional and absent: an empty table, or a view with NULL for each absent column.
///
/// # Errors
/// What SQLite says.
pub fn stand_in(connection: &Connection, schema: &Schema, variant: &Variant) -> rusqlite::Result<()> {
    for (table, columns) in &variant.optional {
        let name = quoted(table);
        let sql = match schema.columns(table) {
            // A view or virtual table of that name in the evidence is hidden by this as well.
            None => {
                let mut all: Vec<&String> = columns.iter().collect();
                all.extend(variant.require.get(table).into_iter().flatten());
                let all: Vec<_> = all.into_iter().map(|column| quoted(column)).collect();
                format!("CREATE TEMP TABLE {name} ({})", all.join(", "))
            }
            Some(existing) => {
                let absent = columns.iter().filter(|column| !existing.contains(&column.to_ascii_lowercase()));
                let absent: Vec<_> = absent.map(|column| format!(", NULL AS {}", quoted(column))).collect();
                if absent.is_empty() {
                    continue;
                }
                // A view has no rowid of its own, and queries name their rows by it. A table WITHOUT ROWID has none to give.
                let own = existing.iter().any(|column| column == "rowid");
                let given = !own && connection.prepare(&format!("SELECT rowid FROM main.{name}")).is_ok();
                let row_id = if given { "rowid AS rowid, " } else { "" };
                format!("CREATE TEMP VIEW {name} AS SELECT {row_id}*{} FROM main.{name}", absent.concat())
            }
        };
        connection.execute_batch(&sql)?;
    }
    Ok(())
}

/// Takes all stand-ins away.
///
/// # Errors
/// What SQLite says.
pub fn clear(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT type, name FROM temp.sqlite_schema WHERE type IN ('table', 'view')")?;
    let names = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    for pair in names.collect::<rusqlite::Result<Vec<_>>>()? {
        let word = if pair.0 == "view" { "VIEW" } else { "TABLE" };
        connection.execute_batch(&format!("DROP {word} temp.{}", quoted(&pair.1)))?;
    }
    Ok(())
}

/// Gives a table's unqualified name to an empty TEMP table with the columns of the live one and those that stand in for absent
/// ones: what is put there is read by every query that names the table.
///
/// # Errors
/// What SQLite says.
pub fn empty(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let name = quoted(table);
    // Comparisons depend on the affinity of columns: `data2 = 2` is true of a TEXT column that holds '2'.
    let live = connection.prepare(&format!("SELECT * FROM {name} LIMIT 0"))?;
    let columns = live.columns().map(|column| format!("{} {}", quoted(column.name()), affinity(column.decl_type())));
    let columns: Vec<_> = columns.collect();
    drop(live);
    drop_shadow(connection, table)?;
    connection.execute_batch(&format!("CREATE TEMP TABLE {name} ({})", columns.join(", ")))
}

/// The affinity of a declared type (<https://sqlite.org/datatype3.html#determination_of_column_affinity>): the declaration
/// itself is text of the evidence and goes into no SQL of ours.
pub fn affinity(declared: Option<&str>) -> &'static str {
    let declared = declared.unwrap_or_default().to_ascii_uppercase();
    let says = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match () {
        () if says(&["INT"]) => "INTEGER",
        () if says(&["CHAR", "CLOB", "TEXT"]) => "TEXT",
        () if declared.is_empty() || says(&["BLOB"]) => "BLOB",
        () if says(&["REAL", "FLOA", "DOUB"]) => "REAL",
        () => "NUMERIC",
    }
}

/// Gives a table's name back to the evidence.
///
/// # Errors
/// What SQLite says.
pub fn drop_shadow(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT type FROM temp.sqlite_schema WHERE lower(name) = lower(?1)")?;
    let kinds = statement.query_map([table], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    for kind in kinds {
        let word = if kind == "view" { "VIEW" } else { "TABLE" };
        connection.execute_batch(&format!("DROP {word} temp.{}", quoted(table)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Tables;

    #[test]
    fn affinities_follow_the_rules_of_sqlite() {
        let wanted = [("INTEGER", "INTEGER"), ("VARCHAR(20)", "TEXT"), ("", "BLOB"), ("double", "REAL"), ("BOOLEAN", "NUMERIC")];
        for (declared, word) in wanted.into_iter().chain([("FLOATING POINT", "INTEGER"), ("x); DROP TABLE t", "NUMERIC")]) {
            assert_eq!(affinity(Some(declared)), word, "{declared}");
        }
        assert_eq!(affinity(None), "BLOB");
    }

    #[test]
    fn what_is_absent_has_a_stand_in_and_what_is_there_stays() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('x'); CREATE VIEW u AS SELECT 1 AS c").unwrap();
        let table = |name: &str, columns: &[&str]| (name.to_owned(), columns.iter().map(|&column| column.to_owned()).collect());
        connection.execute_batch("CREATE TABLE w (a PRIMARY KEY) WITHOUT ROWID; CREATE TABLE o (rowid TEXT)").unwrap();
        connection.execute_batch("INSERT INTO w VALUES ('y'); INSERT INTO o VALUES ('own'); UPDATE t SET rowid = 7").unwrap();
        let optional = Tables::from([table("t", &["A", "b"]), table("u", &["c"]), table("w", &["b"]), table("o", &["b"])]);
        let variant = Variant { require: Tables::from([table("t", &["a"])]), optional, query: Vec::new() };
        let schema = Schema::read(&connection).unwrap();
        stand_in(&connection, &schema, &variant).unwrap();
        let row = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<String>>(0));
        assert_eq!(row("SELECT a FROM t").unwrap().as_deref(), Some("x"));
        assert_eq!(row("SELECT b FROM t").unwrap(), None);
        assert_eq!(row("SELECT CAST(t.rowid AS TEXT) FROM t").unwrap().as_deref(), Some("7"), "queries name rows by it");
        assert_eq!(row("SELECT a FROM w WHERE b IS NULL").unwrap().as_deref(), Some("y"));
        assert_eq!(row("SELECT o.rowid FROM o").unwrap().as_deref(), Some("own"));
        assert_eq!(row("SELECT c FROM u"), Err(rusqlite::Error::QueryReturnedNoRows), "a view of the evidence is hidden");
        clear(&connection).unwrap();
        assert!(row("SELECT b FROM t").is_err());
    }
}
