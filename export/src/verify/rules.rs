//! What must hold between rows: the ledger adds up, every item has a status, references lead somewhere.

use super::Report;
use crate::Error;
use crate::bundle::open::open_read_only;
use crate::bundle::schema::Table;
use crate::ordered::ordered;
use crate::seal::RECORD_TABLES;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::path::Path;

/// References from any table that has the column: to which table.
const REFERENCES: [(&str, &str); 14] = [
    ("exhibit_id", "exhibit"),
    ("item_id", "item"),
    ("parent_id", "item"),
    ("file_item_id", "item"),
    ("definition_id", "definition"),
    ("thread_id", "thread"),
    ("account_id", "account"),
    ("sender_account_id", "account"),
    ("recipient_account_id", "account"),
    ("remote_account_id", "account"),
    ("contact_id", "contact"),
    ("message_id", "message"),
    ("observable_id", "observable"),
    ("record_id", ""),
];

/// Rules of one statement each: check, table, the statement that gives keys of rows that break it, and words.
const RULES: [(&str, &str, &str, &str); 9] = [
    (
        "status",
        "item",
        "SELECT id FROM item WHERE status NOT IN ('parsed', 'plain', 'partial', 'skipped', 'locked', 'failed')",
        "its status is not of the closed list",
    ),
    (
        "status",
        "item",
        "SELECT id FROM item WHERE status IN ('partial', 'skipped', 'locked', 'failed') AND coalesce(reason, '') = ''",
        "its status needs a reason and has none",
    ),
    (
        "status",
        "item",
        "SELECT id FROM item WHERE status IN ('parsed', 'plain') AND file_kind = 'file' AND sha256 IS NULL",
        "it was not hashed",
    ),
    (
        "count",
        "exhibit",
        "SELECT exhibit.id FROM exhibit LEFT JOIN (SELECT exhibit_id, count(*) AS n FROM item GROUP BY exhibit_id) AS held
         ON held.exhibit_id = exhibit.id WHERE items <> coalesce(n, 0)",
        "it has not as many items as it says",
    ),
    (
        "count",
        "exhibit",
        "SELECT exhibit.id FROM exhibit LEFT JOIN (SELECT exhibit_id, count(*) AS n FROM directory GROUP BY exhibit_id) AS held
         ON held.exhibit_id = exhibit.id WHERE directories <> coalesce(n, 0)",
        "it has not as many directories as it says",
    ),
    (
        "ledger",
        "ledger",
        "SELECT id FROM ledger WHERE rows_seen <> records + rejected OR rows_seen < 0 OR records < 0 OR rejected < 0
         OR conflicts < 0 OR conflicts > records",
        "rows seen are not records and rejected",
    ),
    (
        "ledger",
        "ledger",
        "SELECT id FROM ledger WHERE rejected > 0 AND coalesce(reason, '') = ''",
        "rows were rejected without a reason",
    ),
    (
        "sighting",
        "sighting",
        "SELECT id FROM sighting WHERE byte_offset IS NULL AND record_id IS NULL AND row_id IS NULL",
        "it has no place",
    ),
    (
        "sighting",
        "observable",
        "SELECT id FROM observable WHERE id NOT IN (SELECT observable_id FROM sighting)",
        "nothing tells where it was seen",
    ),
];

/// One thing to look for.
enum Job {
    /// Rows that a statement finds: check, table, statement, words.
    Rows(&'static str, &'static str, &'static str, &'static str),
    /// References of a table that lead nowhere.
    References(&'static Table),
    /// A ledger that does not add up.
    Ledger,
}

/// What is wrong: check, table, key, words.
type Found = (&'static str, &'static str, String, String);

/// Checks every rule, each on some thread; the first row that breaks each is named, in the order of the rules.
pub fn check(path: &Path, tables: &'static [Table], report: &mut Report) -> Result<(), Error> {
    let mut jobs: Vec<Job> = RULES.iter().map(|(check, table, sql, words)| Job::Rows(check, table, sql, words)).collect();
    jobs.extend(tables.iter().map(Job::References));
    jobs.push(Job::Ledger);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = |connection: &mut Connection, job: &Job| {
        let found = match job {
            Job::Rows(check, table, sql, words) => first(connection, &format!("{sql} ORDER BY id LIMIT 1"))
                .map(|keys| keys.into_iter().map(|key| (*check, *table, key, (*words).to_owned())).collect()),
            Job::References(table) => references(connection, table),
            Job::Ledger => ledger(connection),
        };
        found.map_err(|source| Error::Store { path: path.to_owned(), source })
    };
    ordered(
        threads,
        &jobs,
        || open_read_only(path),
        work,
        |_, found: Vec<Found>| {
            for (check, table, key, words) in found {
                report.wrong(check, Some(table), Some(key), words);
            }
            Ok(())
        },
    )
}

/// References of a table that name no row, the first of each column. One pass asks for all columns; only if it finds any is every
/// column asked for itself.
fn references(connection: &Connection, table: &'static Table) -> rusqlite::Result<Vec<Found>> {
    let mut conditions = Vec::new();
    for (column, target) in REFERENCES.iter().filter(|(column, _)| table.column(column).is_some()) {
        let targets = if target.is_empty() { &RECORD_TABLES[..] } else { std::slice::from_ref(target) };
        let absent = |target: &&str| format!("NOT EXISTS (SELECT 1 FROM {target} AS t WHERE t.id = s.{column})");
        let absent: Vec<_> = targets.iter().map(absent).collect();
        conditions.push((column, format!("(s.{column} IS NOT NULL AND {})", absent.join(" AND "))));
    }
    let mut found = Vec::new();
    let any: Vec<&str> = conditions.iter().map(|(_, condition)| condition.as_str()).collect();
    if any.is_empty() || first(connection, &select(table, &any.join(" OR ")))?.is_empty() {
        return Ok(found);
    }
    for (column, condition) in &conditions {
        for key in first(connection, &select(table, condition))? {
            found.push(("reference", table.name, key, format!("its {column} names no row")));
        }
    }
    Ok(found)
}

fn select(table: &Table, condition: &str) -> String {
    format!("SELECT s.id FROM {} AS s WHERE {condition} ORDER BY s.id LIMIT 1", table.name)
}

fn first(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(key(row.get_ref(0)?));
    }
    Ok(keys)
}

fn key(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        other => format!("{other:?}"),
    }
}

/// Re-adds the ledger: for every item, kind of record and source table, the rows in the bundle are the records that the ledger
/// counts, less those that another record with the same id displaced. Implied threads have no row of their own in the evidence.
fn ledger(connection: &Connection) -> rusqlite::Result<Vec<Found>> {
    let count = |table: &&str| {
        let own = if *table == "thread" { "WHERE implied = 0" } else { "" };
        format!("SELECT item_id, '{table}' AS kind, row_table, count(*) AS n FROM {table} {own} GROUP BY item_id, row_table")
    };
    let counted = RECORD_TABLES.iter().map(count).collect::<Vec<_>>().join(" UNION ALL ");
    let kinds = RECORD_TABLES.map(|table| format!("'{table}'")).join(", ");
    let told = format!(
        "SELECT item_id, record_kind AS kind, row_table, sum(records - conflicts) AS n FROM ledger WHERE record_kind IN ({kinds})
         GROUP BY item_id, record_kind, row_table"
    );
    let same = "told.item_id = counted.item_id AND told.kind = counted.kind AND told.row_table IS counted.row_table";
    // What a parser that died had sent may lack its ledger row: its item says partial or failed.
    let sql = format!(
        "WITH counted AS MATERIALIZED ({counted}), told AS MATERIALIZED ({told})
         SELECT item_id, kind, row_table, n, m FROM (
           SELECT told.item_id, told.kind, told.row_table, told.n AS n, coalesce(counted.n, 0) AS m FROM told LEFT JOIN counted ON {same}
           UNION ALL
           SELECT counted.item_id, counted.kind, counted.row_table, 0, counted.n FROM counted LEFT JOIN told ON {same}
           LEFT JOIN item ON item.id = counted.item_id
           WHERE told.item_id IS NULL AND coalesce(item.status, '') NOT IN ('partial', 'failed')
         ) WHERE n <> m ORDER BY 1, 2, 3 LIMIT 1"
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, table): (String, Option<String>) = (row.get(1)?, row.get(2)?);
        let (told, counted): (i64, i64) = (row.get(3)?, row.get(4)?);
        let table = table.map(|table| format!(" of table {table}")).unwrap_or_default();
        let detail = format!("the ledger counts {told} {kind} rows{table}, the bundle has {counted}");
        found.push(("ledger", "item", key(row.get_ref(0)?), detail));
    }
    Ok(found)
}
