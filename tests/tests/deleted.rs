//! Deleted and older rows of an app's database become records of their own state: what they say is what was deleted, by SQLite's
//! own answer before and after; nothing live is among them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use model::record::Message;
use model::{Body, Code, Locator, Record, State};
use normalize::artifact::Set;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tests::unit::Unit;

/// Messages that the database holds before anything is deleted, beside those of the fixture.
const MESSAGES: i64 = 300;

/// A database of Android's messages in a folder, with the fixture's rows and [`MESSAGES`] more.
fn messages(path: &Path, mode: &str) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags(path, flags).unwrap();
    connection.execute_batch(&format!("PRAGMA secure_delete = OFF; PRAGMA journal_mode = {mode}")).unwrap();
    let sql = tests::root().join("tests/fixtures/sms_android/sms_and_mms/input.sql");
    connection.execute_batch(&fs::read_to_string(sql).unwrap()).unwrap();
    for number in 0..MESSAGES {
        let body = format!("number {number}: the money goes to wallet {}", number * 7919);
        let values = (1000 + number, body, 1_700_000_000_000 + number);
        connection
            .execute(
                "INSERT INTO sms (_id, thread_id, address, body, date, type) VALUES (?1, 1, '+85512345678', ?2, ?3, 1)",
                values,
            )
            .unwrap();
    }
    connection
}

/// The bodies that SQLite gives.
fn bodies(connection: &Connection) -> BTreeSet<String> {
    let mut statement = connection.prepare("SELECT body FROM sms WHERE _id >= 1000").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// What is read from the files as they lie there now.
fn read(path: &Path) -> Vec<Body> {
    Unit::of(path).read(&Set::load(None).unwrap())
}

fn of_state(read: &[Body], state: State) -> Vec<&Message> {
    let message = |body: &'_ Body| matches!(body, Body::Record(Record::Message(message)) if message.provenance.state == state);
    read.iter()
        .filter(|body| message(body))
        .map(|body| if let Body::Record(Record::Message(message)) = body { &**message } else { unreachable!() })
        .filter(|message| message.text.as_deref().is_some_and(|text| text.starts_with("number ")))
        .collect()
}

fn texts(messages: &[&Message]) -> BTreeSet<String> {
    messages.iter().map(|message| message.text.clone().unwrap()).collect()
}

/// The ledger adds up for each source, and each record that is not live says where it lies and how sure it is.
fn agree(read: &[Body]) {
    for body in read {
        match body {
            Body::Ledger(row) => assert!(row.adds_up(), "{row:?}"),
            Body::Record(record) if record.provenance().state != State::Live => {
                let Locator::Carved(carved) = &record.provenance().locator else { panic!("{record:?}") };
                assert!(carved.page > 0 && carved.length > 0 && !carved.confidence.is_empty(), "{carved:?}");
            }
            _ => {}
        }
    }
}

#[test]
fn deleted_messages_are_read_with_their_sender_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mmssms.db");
    let connection = messages(&path, "DELETE");
    let before = bodies(&connection);
    connection.execute_batch("DELETE FROM sms WHERE _id >= 1000 AND _id % 3 = 0").unwrap();
    let after = bodies(&connection);
    connection.close().unwrap();
    let read = read(&path);
    agree(&read);
    assert_eq!(texts(&of_state(&read, State::Live)), after);
    let found = of_state(&read, State::Recovered);
    let (gone, told) = (&before - &after, texts(&found));
    assert!(told.is_subset(&gone), "{:?}", &told - &gone);
    assert!(told.len() * 10 > gone.len() * 9, "{} of {}", told.len(), gone.len());
    for message in &found {
        let number: i64 = message.text.as_ref().unwrap()["number ".len()..].split(':').next().unwrap().parse().unwrap();
        assert_eq!(message.sender.as_deref(), Some("+85512345678"));
        assert_eq!(message.received.as_ref().unwrap().utc_us, Some((1_700_000_000_000 + number) * 1000));
    }
}

/// What cannot be decoded is told of a deleted row as it is of a live one.
#[test]
fn a_time_of_a_deleted_row_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mmssms.db");
    let connection = messages(&path, "DELETE");
    connection
        .execute_batch("UPDATE sms SET date = 9223372036854775807 WHERE _id = 1009; DELETE FROM sms WHERE _id = 1009")
        .unwrap();
    connection.close().unwrap();
    let read = read(&path);
    agree(&read);
    assert!(texts(&of_state(&read, State::Recovered)).iter().any(|text| text.starts_with("number 9:")));
    let told = |body: &Body| {
        matches!(body, Body::Problem(problem)
            if problem.code == Code::ValueUndecodable && problem.detail.contains("(recovered) field received_time"))
    };
    assert!(read.iter().any(told));
}

#[test]
fn older_versions_in_a_write_ahead_log_are_superseded_and_deleted_rows_recovered() {
    let (folder, seized) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("mmssms.db");
    let connection = messages(&path, "WAL");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_autocheckpoint = 0").unwrap();
    let before = bodies(&connection);
    connection.execute_batch("UPDATE sms SET body = 'number -1: nothing' WHERE _id = 1005").unwrap();
    connection.execute_batch("DELETE FROM sms WHERE _id = 1006").unwrap();
    let after = bodies(&connection);
    for suffix in ["", "-wal"] {
        let name = format!("mmssms.db{suffix}");
        fs::copy(folder.path().join(&name), seized.path().join(&name)).unwrap();
    }
    let read = read(&seized.path().join("mmssms.db"));
    agree(&read);
    assert_eq!(texts(&of_state(&read, State::Live)), after);
    let (superseded, recovered) = (of_state(&read, State::Superseded), of_state(&read, State::Recovered));
    let gone = &before - &after;
    assert_eq!(gone.len(), 2);
    assert!(texts(&superseded).iter().all(|text| text.starts_with("number 5:")) && !superseded.is_empty());
    assert!(texts(&recovered).iter().all(|text| text.starts_with("number 6:")) && !recovered.is_empty());
}

#[test]
fn a_rollback_journal_that_was_kept_holds_older_versions() {
    let (folder, seized) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("mmssms.db");
    let connection = messages(&path, "PERSIST");
    let before = bodies(&connection);
    connection.execute_batch("UPDATE sms SET body = 'number -1: nothing at all to be seen here' WHERE _id = 1005").unwrap();
    let after = bodies(&connection);
    connection.close().unwrap();
    for suffix in ["", "-journal"] {
        let name = format!("mmssms.db{suffix}");
        fs::copy(folder.path().join(&name), seized.path().join(&name)).unwrap();
    }
    let read = read(&seized.path().join("mmssms.db"));
    agree(&read);
    assert_eq!(texts(&of_state(&read, State::Live)), after);
    let superseded = texts(&of_state(&read, State::Superseded));
    assert_eq!(superseded, &before - &after);
}

#[test]
fn nothing_is_recovered_from_what_was_vacuumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mmssms.db");
    let connection = messages(&path, "DELETE");
    connection.execute_batch("DELETE FROM sms WHERE _id % 2 = 0; VACUUM").unwrap();
    let after = bodies(&connection);
    connection.close().unwrap();
    let read = read(&path);
    assert_eq!(texts(&of_state(&read, State::Live)), after);
    assert!(of_state(&read, State::Recovered).is_empty() && of_state(&read, State::Superseded).is_empty());
}
