//! The one place that opens SQLite evidence: a private scratch copy, hardened.
//!
//! Never in place: a plain open rewrites evidence (WAL checkpoint, hot journal), and `immutable=1` loses the rows of the
//! `-wal`. On the copy: untrusted schema, defensive mode, cell size checks, no memory mapping, limits, a budget of
//! instructions instead of a clock (so that the same evidence stops at the same row), and an authorizer that lets a
//! definition read its own tables and write TEMP tables only. See "Defense Against The Dark Arts" in SQLite's documentation.

use model::Code;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Instructions of SQLite's virtual machine between two looks at the budget.
const STRIDE: i32 = 100_000;
/// Instructions that any database may use: a few seconds.
const BUDGET_BASE: u64 = 200_000_000;
/// Instructions for each byte of the database on top of that; reading a row takes about one for each byte.
const BUDGET_PER_BYTE: u64 = 200;
/// Name of the second copy.
const APART: &str = "apart";
/// Most memory that SQLite may take in this process, bytes.
const HEAP_BYTES: i64 = 256 << 20;

/// An open scratch copy.
pub struct Evidence {
    /// The hardened connection.
    pub connection: Connection,
    /// Folder of a second copy, where opening the first would have changed it.
    apart: Option<PathBuf>,
}

impl Evidence {
    /// Opens `main` of a scratch folder, with `main-wal` and `main-journal` or as if they were not there.
    ///
    /// # Errors
    /// What SQLite says, or that a copy could not be made (as SQLite's `CANTOPEN`).
    pub fn open(folder: &Path, limits: &config::Normalize, region: Option<&str>, companions: bool) -> rusqlite::Result<Evidence> {
        let journal = companions && size(&folder.join("main-journal")) > 0;
        let mut evidence = Evidence { connection: Connection::open_in_memory()?, apart: None };
        let mut path = folder.join("main");
        if journal || !companions && has_companions(folder) {
            // Rolling a hot journal back changes the database, and the cell scan wants the bytes as they were seized.
            path = folder.join(APART);
            evidence.apart = Some(folder.to_owned());
            copy_apart(folder, journal)
                .map_err(|_| rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), None))?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        evidence.connection = Connection::open_with_flags(&path, flags)?;
        harden(&mut evidence.connection, limits, size(&path))?;
        crate::decode::register(&evidence.connection, region)?;
        Ok(evidence)
    }

    /// Confines SQLite to reading these tables of the evidence and to TEMP tables.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn confine<'t>(&mut self, tables: impl Iterator<Item = &'t String>) -> rusqlite::Result<()> {
        let tables: BTreeSet<String> = tables.map(|table| table.to_ascii_lowercase()).collect();
        self.connection.authorizer(Some(move |context: AuthContext<'_>| authorize(&tables, &context)))
    }

    /// Takes the confinement back.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn release(&mut self) -> rusqlite::Result<()> {
        self.connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
    }
}

impl Drop for Evidence {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal"] {
            if let Some(folder) = &self.apart {
                // The folder is scratch: whoever made it removes what is left.
                let _left = std::fs::remove_file(folder.join(format!("{APART}{suffix}")));
            }
        }
    }
}

/// Whether the scratch folder holds a `-wal` or `-journal` with anything in it.
pub fn has_companions(folder: &Path) -> bool {
    size(&folder.join("main-wal")) > 0 || size(&folder.join("main-journal")) > 0
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Copies into files beside `main`: the sandbox lets a parser make files in its folder, but no folders, and change no modes.
fn copy_apart(folder: &Path, journal: bool) -> std::io::Result<()> {
    let companions: &[&str] = if journal { &["", "-journal", "-wal"] } else { &[""] };
    for suffix in companions {
        let from = folder.join(format!("main{suffix}"));
        if suffix.is_empty() || size(&from) > 0 {
            let mut to = File::create(folder.join(format!("{APART}{suffix}")))?;
            std::io::copy(&mut File::open(from)?, &mut to)?;
        }
    }
    Ok(())
}

/// Everything that can be switched off is, before the schema is read for the first time.
fn harden(connection: &mut Connection, limits: &config::Normalize, size_bytes: u64) -> rusqlite::Result<()> {
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
    ] {
        connection.set_db_config(option, on)?;
    }
    let longest = i32::try_from(limits.cap_value_bytes).unwrap_or(i32::MAX);
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, longest),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
        (Limit::SQLITE_LIMIT_COLUMN, 2_000),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 20),
        (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
        // A recovered row is put back with one variable a column and one for its rowid; Core Data has tables of hundreds.
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 2_001),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    let stride = STRIDE.unsigned_abs().into();
    let mut left = BUDGET_BASE.saturating_add(size_bytes.saturating_mul(BUDGET_PER_BYTE));
    connection.progress_handler(
        STRIDE,
        Some(move || {
            left = left.saturating_sub(stride);
            left == 0
        }),
    )?;
    // An exclusive lock keeps the index of the -wal in memory: no -shm file is made.
    connection.execute_batch(&format!(
        "PRAGMA hard_heap_limit = {HEAP_BYTES}; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON; \
         PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA foreign_keys = OFF; \
         PRAGMA recursive_triggers = OFF; PRAGMA synchronous = OFF"
    ))
}

/// Reads of the evidence's named tables, TEMP tables, and functions; nothing else.
fn authorize(tables: &BTreeSet<String>, context: &AuthContext<'_>) -> Authorization {
    let temp = context.database_name == Some("temp");
    let allowed = match context.action {
        AuthAction::Select => true,
        AuthAction::Read { table_name, .. } => {
            // A table-valued function is read like a table; one of that name in the evidence cannot be called.
            let own = temp || table_name.starts_with("sqlite_temp_") || table_name == "json_each";
            own || tables.contains(&table_name.to_ascii_lowercase())
        }
        AuthAction::Function { function_name } => {
            !["load_extension", "fts3_tokenizer"].iter().any(|name| function_name.eq_ignore_ascii_case(name))
        }
        AuthAction::CreateTempTable { .. } | AuthAction::DropTempTable { .. } | AuthAction::DropTempView { .. } => true,
        AuthAction::Insert { table_name } | AuthAction::Update { table_name, .. } | AuthAction::Delete { table_name } => {
            // What CREATE TEMP TABLE writes into the schema of TEMP is named like that as well.
            temp || table_name.starts_with("sqlite_temp_")
        }
        AuthAction::AlterTable { database_name, .. } => database_name == "temp",
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

/// The problem code of what SQLite says.
pub fn code(error: &rusqlite::Error) -> Code {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Code::Timeout,
        Some(ErrorCode::OutOfMemory) => Code::CapMemory,
        Some(ErrorCode::TooBig) => Code::CapValue,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure)
        | None => Code::DatabaseDamaged,
        Some(_) => Code::QueryFailed,
    }
}

/// What SQLite says, without anything that differs between two runs (it can name paths).
pub fn reason(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            let text = match (failure.code, message) {
                (ErrorCode::OperationInterrupted, _) => "used up its budget of instructions".to_owned(),
                (ErrorCode::CannotOpen, _) | (_, None) => ffi::code_to_str(failure.extended_code).to_lowercase(),
                (_, Some(message)) => model::text::escape(message),
            };
            format!("{text} (SQLite {})", failure.extended_code)
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            format!("{} (SQLite {})", model::text::escape(msg), error.extended_code)
        }
        rusqlite::Error::Utf8Error(..) => "a name in its schema is not UTF-8".to_owned(),
        _ => "a value in its schema has the wrong type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> config::Normalize {
        config::Settings::default().normalize
    }

    /// A scratch folder with a database made by some SQL, left as SQLite leaves it while it is still open.
    fn scratch(sql: &str) -> tempfile::TempDir {
        let (made, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = made.path().join("made");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = Connection::open_with_flags(&path, flags).unwrap();
        connection.execute_batch(sql).unwrap();
        for suffix in ["", "-wal", "-journal"] {
            let from = made.path().join(format!("made{suffix}"));
            if from.exists() {
                std::fs::copy(from, folder.path().join(format!("main{suffix}"))).unwrap();
            }
        }
        folder
    }

    fn open(folder: &Path) -> Evidence {
        Evidence::open(folder, &limits(), None, true).unwrap()
    }

    fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<_> =
            entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect();
        files.sort();
        files
    }

    #[test]
    fn rows_of_the_wal_are_seen_and_no_file_changes() {
        let folder = scratch("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)");
        assert!(has_companions(folder.path()));
        let before = listing(folder.path());
        let evidence = open(folder.path());
        let count: i64 = evidence.connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 2);
        assert_eq!(listing(folder.path()), before, "no -shm, no checkpoint");
        drop(evidence);
        assert_eq!(listing(folder.path()), before);
    }

    #[test]
    fn a_row_of_the_widest_table_can_be_put_back() {
        let folder = scratch("CREATE TABLE t (a)");
        let marks: Vec<_> = (1..=2_000).map(|number| format!("?{number}")).collect();
        let values = format!("SELECT ?2001 FROM (VALUES ({}))", marks.join(", "));
        assert_eq!(open(folder.path()).connection.prepare(&values).unwrap().parameter_count(), 2_001);
    }

    #[test]
    fn a_hot_journal_is_rolled_back_on_a_copy() {
        // A cache of few pages spills an open transaction into the database: its journal is then hot.
        let folder = scratch(
            "CREATE TABLE t (a); INSERT INTO t VALUES ('before'); PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN;
             UPDATE t SET a = 'during'; INSERT INTO t SELECT randomblob(3000) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL
             SELECT i + 1 FROM n WHERE i < 2000) SELECT i FROM n)",
        );
        assert!(size(&folder.path().join("main-journal")) > 0);
        let before = listing(folder.path());
        let evidence = open(folder.path());
        let all: Vec<String> = {
            let mut statement = evidence.connection.prepare("SELECT a FROM t").unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        assert_eq!(all, ["before"]);
        drop(evidence);
        assert_eq!(listing(folder.path()), before);
    }

    #[test]
    fn only_named_tables_are_read_and_only_temp_is_written() {
        let folder =
            scratch("CREATE TABLE t (a); CREATE TABLE other (a); CREATE VIEW v AS SELECT * FROM t; INSERT INTO t VALUES (1)");
        let mut evidence = open(folder.path());
        evidence.confine([&"T".to_owned()].into_iter()).unwrap();
        let connection = &evidence.connection;
        connection
            .execute_batch("SELECT a FROM t; CREATE TEMP TABLE x (a); INSERT INTO x SELECT a FROM t; DROP TABLE temp.x")
            .unwrap();
        for sql in [
            "SELECT a FROM other",
            "SELECT a FROM v",
            "SELECT * FROM sqlite_schema",
            "SELECT load_extension('x')",
            "INSERT INTO t VALUES (2)",
            "DELETE FROM t",
            "CREATE TABLE y (a)",
            "DROP TABLE t",
            "ATTACH ':memory:' AS z",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA trusted_schema = ON",
            "VACUUM INTO '/tmp/x'",
        ] {
            assert!(connection.execute_batch(sql).is_err(), "{sql}");
        }
        evidence.release().unwrap();
        assert!(evidence.connection.execute_batch("ATTACH ':memory:' AS z").is_err(), "the limit stands without authorizer");
    }

    #[test]
    fn endless_work_ends() {
        let folder = scratch("CREATE TABLE t (a)");
        let evidence = open(folder.path());
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let error = evidence.connection.query_row(endless, [], |row| row.get::<_, i64>(0)).unwrap_err();
        assert_eq!((code(&error), reason(&error).as_str()), (Code::Timeout, "used up its budget of instructions (SQLite 9)"));
    }

    #[test]
    fn functions_of_ours_cannot_be_called_by_the_evidence() {
        let folder = scratch(
            "CREATE TABLE t (a, b AS (abs(a))); INSERT INTO t VALUES (-1); CREATE VIEW v AS SELECT whatsapp_id('1@lid') AS x",
        );
        let evidence = open(folder.path());
        assert_eq!(evidence.connection.query_row("SELECT b FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        assert!(evidence.connection.query_row("SELECT x FROM v", [], |row| row.get::<_, String>(0)).is_err());
    }

    #[test]
    fn what_is_no_database_is_told_without_paths() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("main"), [b"SQLite format 3\0".as_slice(), &[0xff; 5000]].concat()).unwrap();
        let error = match Evidence::open(folder.path(), &limits(), None, true) {
            Err(error) => error,
            Ok(evidence) => {
                evidence.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).unwrap_err()
            }
        };
        assert_eq!(code(&error), Code::DatabaseDamaged);
        assert!(!reason(&error).contains('/'), "{}", reason(&error));
    }
}
