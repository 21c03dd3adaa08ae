//! Earlier states of databases that SQLite itself made: what it gave before and does not give now, by its own answer, is found in the
//! files as they lay there while the writer still had them open (what a killed process leaves).

use model::State;
use normalize::recover::{Doubts, Recovered, Row, Source, Value};
use normalize::scratch::Evidence;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A writer and the folder of its database.
struct Writer {
    folder: tempfile::TempDir,
    connection: Connection,
}

impl Writer {
    fn new(pragmas: &str) -> Writer {
        let folder = tempfile::tempdir().unwrap();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = Connection::open_with_flags(folder.path().join("main"), flags).unwrap();
        connection.execute_batch(&format!("PRAGMA secure_delete = OFF; {pragmas}")).unwrap();
        connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, n INTEGER)").unwrap();
        Writer { folder, connection }
    }

    fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// Puts rows in one transaction.
    fn fill(&self, from: i64, to: i64, word: &str) {
        self.run("BEGIN");
        for number in from..to {
            let body = format!("{word} {number}: {}", "to the wallet. ".repeat(1 + (number % 5) as usize));
            self.connection.execute("INSERT INTO t VALUES (?1, ?2, ?3)", (number, body, number * 7919)).unwrap();
        }
        self.run("COMMIT");
    }

    /// What SQLite gives.
    fn bodies(&self) -> BTreeSet<String> {
        bodies(&self.connection)
    }

    /// The files as a crash would leave them now.
    fn seize(&self) -> tempfile::TempDir {
        let seized = tempfile::tempdir().unwrap();
        for suffix in ["", "-wal", "-journal"] {
            let from = self.folder.path().join(format!("main{suffix}"));
            if from.exists() {
                fs::copy(from, seized.path().join(format!("main{suffix}"))).unwrap();
            }
        }
        seized
    }
}

fn bodies(connection: &Connection) -> BTreeSet<String> {
    let mut statement = connection.prepare("SELECT body FROM t").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// What is live by SQLite's answer over the seized files, and the rows found beside it.
fn read(folder: &Path) -> (BTreeSet<String>, Vec<Row>) {
    let limits = config::Settings::default().normalize;
    let evidence = Evidence::open(folder, &limits, None, true).unwrap();
    let recovered = Recovered::read(&evidence.connection, folder).unwrap();
    // Of some rows only a letter or two is left.
    assert!(recovered.problems.iter().all(|problem| problem.detail.contains("say too little")), "{:?}", recovered.problems);
    let table = recovered.tables.iter().position(|table| table.name == "t").unwrap();
    (bodies(&evidence.connection), recovered.of(table).to_vec())
}

fn body(row: &Row) -> Option<String> {
    match row.values.get(1) {
        Some(Some(Value::Text(bytes))) => Some(String::from_utf8(bytes.clone()).unwrap()),
        _ => None,
    }
}

/// Texts of rows of which nothing was overwritten.
fn texts(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().filter(|row| !row.doubts.has(Doubts::CUT)).filter_map(body).collect()
}

/// Holds that what is left of a text that was cut short is the start of one that is gone.
#[track_caller]
fn cuts_are_starts(rows: &[Row], gone: &BTreeSet<String>) {
    for cut in rows.iter().filter(|row| row.doubts.has(Doubts::CUT)).filter_map(body) {
        assert!(gone.iter().any(|text| text.starts_with(&cut)), "{cut}");
    }
}

/// Holds that everything of `gone` is found, nothing else, and nothing live.
#[track_caller]
fn holds(seized: &Path, live: &BTreeSet<String>, gone: &BTreeSet<String>) -> Vec<Row> {
    let (given, rows) = read(seized);
    assert_eq!(given.len(), live.len());
    assert_eq!(&given, live);
    let found = texts(&rows);
    assert!(found.is_disjoint(live));
    let missing: Vec<_> = gone.difference(&found).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {:?}", missing.len(), gone.len(), missing.first());
    let beyond: Vec<_> = found.difference(gone).collect();
    assert!(beyond.is_empty(), "{} that never were: {:?}", beyond.len(), beyond.first());
    cuts_are_starts(&rows, gone);
    rows
}

const WAL: &str = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0";

#[test]
fn every_commit_of_a_write_ahead_log_is_a_state() {
    let writer = Writer::new(WAL);
    writer.fill(0, 600, "first");
    let first = writer.bodies();
    writer.run("UPDATE t SET body = 'second ' || id WHERE id % 10 = 0");
    let second = writer.bodies();
    writer.run("DELETE FROM t WHERE id % 3 = 0");
    let live = writer.bodies();
    let gone = &(&first | &second) - &live;
    let rows = holds(writer.seize().path(), &live, &gone);
    assert!(rows.iter().any(|row| row.state == State::Superseded) && rows.iter().any(|row| row.state == State::Recovered));
}

#[test]
fn pages_that_a_log_frees_without_writing_them_are_read_in_the_database() {
    let writer = Writer::new(WAL);
    writer.fill(0, 2_000, "first");
    writer.run("PRAGMA wal_checkpoint(TRUNCATE)");
    let before = writer.bodies();
    // Freed leaves are not written to the log: they lie in the database, whose own tree still has them.
    writer.run("DELETE FROM t");
    writer.fill(5_000, 5_010, "later");
    let live = writer.bodies();
    holds(writer.seize().path(), &live, &before);
    writer.run("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, n INTEGER)");
    let (_, rows) = read(writer.seize().path());
    let found = texts(&rows);
    assert!(before.difference(&found).next().is_none(), "{}", before.difference(&found).count());
}

#[test]
fn frames_of_an_older_log_and_of_what_was_never_committed_are_read() {
    let writer = Writer::new(&format!("{WAL}; PRAGMA cache_size = 10"));
    writer.fill(0, 800, "first");
    let first = writer.bodies();
    writer.run("UPDATE t SET body = 'second ' || id WHERE id % 2 = 0");
    let second = writer.bodies();
    // A checkpoint lets the log begin anew, over the start of the old one.
    writer.run("PRAGMA wal_checkpoint(RESTART); UPDATE t SET n = -1 WHERE id = 1");
    let live = writer.bodies();
    assert_eq!(live, second);
    let (given, rows) = read(writer.seize().path());
    assert_eq!(given, live);
    let found = texts(&rows);
    let gone = &first - &live;
    let missing = gone.difference(&found).count();
    // The new frame lies over one old page.
    assert!(missing < 80, "{missing} of {}", gone.len());
    // Of row 1 another column was changed.
    assert!(found.difference(&gone).all(|text| text.starts_with("first 1:")));
    cuts_are_starts(&rows, &gone);
    // What a transaction that was never ended has written to the log.
    writer.run("BEGIN");
    for number in 9_000..12_000 {
        writer.connection.execute("INSERT INTO t VALUES (?1, ?2, 0)", (number, format!("never {number}"))).unwrap();
    }
    let seized = writer.seize();
    writer.run("ROLLBACK");
    let (given, rows) = read(seized.path());
    assert_eq!(given, live);
    let never = texts(&rows).into_iter().filter(|text| text.starts_with("never ")).count();
    assert!(never > 1_000, "{never}");
    assert!(rows.iter().filter(|row| row.source == Source::Wal).count() >= never);
}

#[test]
fn journals_that_are_kept_emptied_or_hot() {
    for mode in ["PERSIST", "TRUNCATE", "DELETE"] {
        let writer = Writer::new(&format!("PRAGMA journal_mode = {mode}"));
        writer.fill(0, 600, "first");
        let before = writer.bodies();
        writer.run("UPDATE t SET body = 'second ' || id || ' instead of what it said, and longer than that was, as these are' WHERE id < 300");
        let live = writer.bodies();
        let seized = writer.seize();
        let (given, rows) = read(seized.path());
        assert_eq!(given, live, "{mode}");
        let (found, gone) = (texts(&rows), &before - &live);
        assert!(found.is_subset(&gone), "{mode}");
        cuts_are_starts(&rows, &gone);
        if mode == "PERSIST" {
            // Its header is zeros, its records are all there.
            assert_eq!(fs::read(seized.path().join("main-journal")).unwrap()[..8], [0; 8]);
            assert_eq!(gone.difference(&found).count(), 0, "{mode}");
            assert!(rows.iter().any(|row| row.source == Source::Journal && row.state == State::Superseded));
        }
    }
}

#[test]
fn a_transaction_that_was_killed_leaves_both_its_states() {
    let writer = Writer::new("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 10; PRAGMA synchronous = FULL");
    writer.fill(0, 2_000, "first");
    let before = writer.bodies();
    writer.run("BEGIN; DELETE FROM t WHERE id < 1000");
    for number in 9_000..13_000 {
        writer.connection.execute("INSERT INTO t VALUES (?1, ?2, 0)", (number, format!("never {number}"))).unwrap();
    }
    let during = writer.bodies();
    let seized = writer.seize();
    assert!(seized.path().join("main-journal").exists());
    let (given, rows) = read(seized.path());
    // Rolled back by SQLite: the delete never was, nor were the new rows.
    assert_eq!(given, before);
    let found = texts(&rows);
    assert!(found.is_disjoint(&before));
    let never = &during - &before;
    let (spilled, missing) = (found.intersection(&never).count(), never.difference(&found).count());
    assert!(found.is_subset(&never) && spilled > 3_000, "{spilled} found, {missing} missing");
}

/// Copies that the balancing of a tree leaves behind, whole or cut, are no earlier state of anything.
#[test]
fn what_balancing_leaves_behind_is_live() {
    for size in [512, 1024] {
        let writer = Writer::new(&format!("PRAGMA page_size = {size}"));
        writer.run("CREATE TABLE m (key TEXT NOT NULL, chat TEXT, body BLOB, class TEXT NOT NULL, id INTEGER PRIMARY KEY)");
        for number in (0..300).rev() {
            let values =
                (format!("key {number}"), "34000", vec![7u8; number % 200], format!("a class of number {number}"), number as i64);
            writer.connection.execute("INSERT INTO m VALUES (?1, ?2, ?3, ?4, ?5)", values).unwrap();
        }
        let seized = writer.seize();
        let limits = config::Settings::default().normalize;
        let evidence = Evidence::open(seized.path(), &limits, None, true).unwrap();
        let recovered = Recovered::read(&evidence.connection, seized.path()).unwrap();
        assert_eq!(recovered.rows, [], "{size}");
    }
}
