//! TEMP tables and views that take a table's unqualified name: stand-ins for what a generation of the schema lacks, and
//! rows that were recovered, read by the same SQL as the live ones.

use super::schema::{Schema, quoted};
use super::{Artifact, Variant, query};
use crate::emit::Emit;
use model::State;
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
                format!("CREATE TEMP VIEW {name} AS SELECT *{} FROM main.{name}", absent.concat())
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

/// Swaps recovered rows into a row table and reads them with every query of the variant that reads that table; other
/// tables stay the evidence's own.
///
/// `fill` puts rows into the new TEMP table, whose quoted name it gets; it has the columns of the live one and those that
/// stand in for absent ones. True if every query came to its end.
///
/// # Errors
/// What SQLite says of the TEMP table.
pub fn rows_from_temp(
    connection: &Connection,
    (artifact, variant): (&Artifact, &Variant),
    table: &str,
    state: State,
    fill: &mut dyn FnMut(&Connection, &str) -> rusqlite::Result<()>,
    emit: &mut Emit<'_>,
) -> rusqlite::Result<bool> {
    let name = quoted(table);
    let columns = connection.prepare(&format!("SELECT * FROM {name} LIMIT 0"))?;
    let columns: Vec<_> = columns.column_names().into_iter().map(quoted).collect();
    drop_shadow(connection, table)?;
    connection.execute_batch(&format!("CREATE TEMP TABLE {name} ({})", columns.join(", ")))?;
    fill(connection, &format!("temp.{name}"))?;
    let mut complete = true;
    for query in variant.query.iter().filter(|query| query.row_table.eq_ignore_ascii_case(table)) {
        complete &= query::run(connection, artifact, query, state, emit);
    }
    drop_shadow(connection, table)?;
    Ok(complete)
}

/// Gives a table's name back to the evidence.
fn drop_shadow(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT type FROM temp.sqlite_schema WHERE lower(name) = lower(?1)")?;
    let kinds = statement.query_map([table], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    for kind in kinds {
        let word = if kind == "view" { "VIEW" } else { "TABLE" };
        connection.execute_batch(&format!("DROP {word} temp.{}", quoted(table)))?;
    }
    Ok(())
}
