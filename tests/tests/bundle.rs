//! Sealed bundles: any change shows and is named, by our verifier and by a stranger's; delivery, order and crashes do not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(clippy::disallowed_methods, reason = "bundles of our own, and the clock only to wait")]

use export::bundle::schema::{self, Type};
use export::{Context, Error, Sealed, UnitKey, Watch};
use model::item::{FileTime, FileTimes};
use model::observable::{Encoding, Finder};
use model::record::*;
use model::wire::Batch;
use model::*;
use rusqlite::Connection;
use rusqlite::types::Value;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use stream::{Delivery, Event, Invalid, Position, Receive, Topic};
use tempfile::TempDir;

const CASE: &str = "CASE 7/α";
const NUMBER: &str = "A-1";

struct Quiet;
impl Watch for Quiet {}

/// A folder with a key and a place for bundles.
struct Bench {
    folder: TempDir,
    key: UnitKey,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let key = UnitKey::generate(&folder.path().join("key")).unwrap();
        Bench { folder, key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn context(&self, name: &str) -> Context {
        let settings = config::Settings { workers: 2, ..config::Settings::default() };
        Context { settings, out: self.path(name), work: self.path(name).join(".haul"), key: Some(self.key.clone()) }
    }

    /// Seals bodies that arrive in batches of seven.
    fn seal(&self, name: &str, bodies: &[Body]) -> Sealed {
        try_seal(&self.context(name), bodies).unwrap()
    }
}

fn try_seal(context: &Context, bodies: &[Body]) -> Result<Sealed, Error> {
    let mut events: VecDeque<_> = deliveries(bodies).into_iter().map(Event::Delivery).collect();
    events.push_back(Event::Closed);
    export::run(context, &mut Script::new(events), &Quiet).map(|mut sealed| sealed.pop().unwrap())
}

fn deliveries(bodies: &[Body]) -> Vec<Delivery<Batch>> {
    let batch = |bodies: &[Body]| Batch { entries: bodies.iter().map(Entry::new).collect() };
    bodies.chunks(7).zip(0..).map(|(bodies, offset)| delivery(Topic::Records, offset, Ok(batch(bodies)))).collect()
}

fn delivery(topic: Topic, offset: i64, payload: Result<Batch, Invalid>) -> Delivery<Batch> {
    Delivery { position: Position { topic, partition: 0, offset }, exhibit: Some(exhibit()), payload }
}

/// A receiver that tells what it was given and remembers what it was told.
struct Script {
    events: VecDeque<Event<Batch>>,
    acknowledged: Vec<Position>,
    started: Vec<Vec<Position>>,
}

impl Script {
    fn new(events: VecDeque<Event<Batch>>) -> Script {
        Script { events, acknowledged: Vec::new(), started: Vec::new() }
    }
}

impl Receive<Batch> for Script {
    fn next(&mut self, _timeout: Duration) -> Result<Event<Batch>, stream::Error> {
        self.events.pop_front().ok_or(stream::Error::Closed)
    }

    fn start_at(&mut self, _partition: i32, positions: &[Position]) -> Result<(), stream::Error> {
        self.started.push(positions.to_vec());
        Ok(())
    }

    fn acknowledge(&mut self, position: Position) -> Result<(), stream::Error> {
        self.acknowledged.push(position);
        Ok(())
    }
}

fn exhibit() -> Id {
    Exhibit::id_of(CASE, NUMBER)
}

fn item_id(path: &str) -> Id {
    Item::id_of(exhibit(), None, path.as_bytes(), 0, false)
}

fn definition() -> Definition {
    Definition::new(exhibit(), "test", Digest::of(b"definition"))
}

fn at(table: &str, row_id: i64) -> Provenance {
    let locator = Locator::Row { table: table.to_owned(), row_id };
    Provenance { exhibit: exhibit(), item: item_id("db"), locator, state: State::Live, definition: definition().id, part: None }
}

fn words(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn item(path: &str, status: ItemStatus, announced: u64) -> Body {
    let time = Some(FileTime { seconds: 1_714_521_600, nanos: 123_456_789 });
    let reason = (status == ItemStatus::Skipped).then(|| "a socket".to_owned());
    let read = status != ItemStatus::Skipped;
    Body::Item(Box::new(Item {
        id: item_id(path),
        exhibit: exhibit(),
        parent: None,
        path: path.to_owned(),
        path_raw: (path == "photos/a.jpg").then(|| b"photos/\xff.jpg".to_vec()),
        file_kind: if read { FileKind::File } else { FileKind::Socket },
        link_target: None,
        size_bytes: 4096,
        sha256: read.then(|| Digest::of(path.as_bytes())),
        sha1: None,
        md5: words("d41d8cd98f00b204e9800998ecf8427e"),
        media_type: words("application/vnd.sqlite3"),
        mode: Some(0o644),
        owner: Some((1000, 1000)),
        times: FileTimes { modified: time, accessed: time, changed: time, created: time, local: path == "db" },
        deleted: false,
        status,
        reason,
        definition: words("test"),
        announced,
    }))
}

fn message(row_id: i64, text: &str) -> Message {
    Message {
        provenance: at("message", row_id),
        app: "Test".into(),
        thread_key: words("room"),
        sender: words("Dara"),
        recipient: None,
        outgoing: Some(false),
        sent: Some(Stamp::integer(1_714_521_600_123_456_789 + row_id, TimeUnit::UnixNs)),
        received: Some(Stamp::text("1.5.2024", None)),
        edited: Some(Stamp { utc_us: Some(5), raw: RawTime::Text("0.000005".into()), unit: TimeUnit::UnixS }),
        text: words(text),
        subject: None,
        message_type: words("text"),
        message_key: Some(format!("key{row_id}")),
        quoted_key: None,
        quoted_text: words("\"\\\u{8}\t\n\u{1}\u{7f}\u{2028}ខ្មែរ 🙂"),
        quoted_sender: None,
        forwarded: Some(true),
        status: None,
        extra: words("{}"),
    }
}

fn sighting(finder: Finder, record: Option<Id>, byte_offset: Option<u64>, row: Option<(String, i64)>) -> Body {
    Body::Sighting(Box::new(Sighting {
        observable: Observable {
            kind: ObservableKind::WalletAddress,
            value: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".into(),
            chain: words("bitcoin"),
            validity: Validity::Checksum,
        },
        exhibit: exhibit(),
        item: item_id("db"),
        finder,
        record,
        field: record.map(|_| "text".to_owned()),
        field_offset: record.map(|_| 3),
        byte_offset,
        byte_length: byte_offset.map(|_| 42),
        encoding: Encoding::Utf8,
        row,
        support: None,
        context: "to bc1q".into(),
    }))
}

/// Everything of one exhibit that items announce: records of every kind, sightings of one place by three finders, a secret.
fn records() -> Vec<Body> {
    let row = |id| Some(("message".to_owned(), id));
    let contact = Locator::Row { table: "contact".into(), row_id: 1 };
    let mut bodies: Vec<Body> = vec![
        Body::Record(Record::Thread(Thread {
            provenance: at("chat", 1),
            app: "Test".into(),
            thread_key: "room".into(),
            name: words("Room"),
            thread_type: words("group"),
            created: Some(Stamp::integer(1_714_521_600, TimeUnit::UnixS)),
            implied: false,
        })),
        Body::Record(Record::Account(Account {
            provenance: at("account", 1),
            app: "Test".into(),
            account_key: "dara".into(),
            display_name: words("Dara"),
            is_owner: Some(false),
            same_as: None,
            phone: words("+85512345678"),
            phone_raw: words("012 345 678"),
            about: None,
            chain: words("tron"),
            extra: words(r#"{"path":"m"}"#),
        })),
        Body::Record(Record::Account(Account {
            provenance: at("account", 2),
            app: "WhatsApp".into(),
            account_key: "85512345678@s.whatsapp.net".into(),
            display_name: None,
            is_owner: Some(true),
            same_as: None,
            phone: words("+85512345678"),
            phone_raw: None,
            about: None,
            chain: None,
            extra: None,
        })),
        Body::Record(Record::Participant(Participant {
            provenance: at("member", 1),
            app: "Test".into(),
            thread_key: "room".into(),
            account_key: "dara".into(),
            role: words("admin"),
        })),
        Body::Record(Record::Contact(Contact {
            provenance: at("contact", 1),
            app: "Test".into(),
            display_name: words("Dara"),
            organization: None,
            note: words("boss"),
            extra: None,
        })),
        Body::Record(Record::ContactPoint(ContactPoint {
            provenance: at("data", 1),
            contact: contact.clone(),
            kind: "phone".into(),
            value: words("+85512345678"),
            raw: "012 345 678".into(),
            label: words("home"),
        })),
        Body::Record(Record::ContactPoint(ContactPoint {
            provenance: at("data", 2),
            contact: Locator::Row { table: "contact".into(), row_id: 99 },
            kind: "email".into(),
            value: words("a@example.org"),
            raw: "a@example.org".into(),
            label: None,
        })),
        Body::Record(Record::Call(Box::new(Call {
            provenance: at("call", 1),
            app: "Test".into(),
            remote: words("012345678"),
            remote_phone: None,
            remote_name: None,
            thread_key: words("lost room"),
            outgoing: Some(true),
            start: Some(Stamp::integer(700_000_000, TimeUnit::CocoaS)),
            duration_s: Some(60),
            outcome: words("answered"),
            video: Some(false),
            call_key: None,
        }))),
        Body::Record(Record::Attachment(Attachment {
            provenance: at("media", 1),
            message: Locator::Row { table: "message".into(), row_id: 1 },
            path: words("photos/a.jpg"),
            media_type: words("image/jpeg"),
            sha256: None,
            size_bytes: Some(4096),
            name: None,
            url: None,
        })),
        Body::Record(Record::Device(DeviceFact {
            provenance: at("sim", 1),
            kind: "iccid".into(),
            value: None,
            raw: "8901410000000000001".into(),
            label: words("first card"),
        })),
        Body::Record(Record::Visit(Box::new(Visit {
            provenance: at("visits", 1),
            app: "Test".into(),
            url: words("https://example.org/"),
            title: words("Example"),
            visited: Some(Stamp::integer(13_300_000_000_000_000, TimeUnit::WebkitUs)),
            transition: words("typed"),
            typed: Some(true),
            referrer: None,
            extra: None,
        }))),
        Body::Record(Record::Location(Box::new(Location {
            provenance: at("places", 1),
            app: "Test".into(),
            latitude: words("11.562149999999998"),
            longitude: words("104.92"),
            accuracy_m: words("65"),
            located: Some(Stamp::integer(700_000_000, TimeUnit::CocoaS)),
            source: words("wifi"),
            label: None,
            extra: None,
        }))),
        sighting(Finder::Scan, None, Some(500), None),
        sighting(Finder::Cell, None, Some(500), row(1)),
        sighting(Finder::Record, Some(message(1, "").provenance.record_id("message")), None, row(1)),
        sighting(Finder::Scan, None, Some(900), None),
        Body::Secret(Box::new(Secret {
            exhibit: exhibit(),
            item: item_id("db"),
            finder: Finder::Cell,
            kind: SecretKind::SeedPhrase,
            value: "abandon abandon about".into(),
            detail: "bip39:english".into(),
            record: None,
            field: None,
            field_offset: None,
            byte_offset: Some(700),
            byte_length: Some(21),
            row: row(2),
        })),
        Body::Problem(Problem {
            exhibit: exhibit(),
            item: Some(item_id("db")),
            stage: Stage::Normalize,
            code: Code::RowRejected,
            detail: "table message row 9: no text".into(),
        }),
    ];
    bodies.extend((1..=4).map(|row| Body::Record(Record::Message(Box::new(message(row, &format!("to me {row}")))))));
    let counts = [
        ("thread", "chat", 1),
        ("account", "account", 2),
        ("participant", "member", 1),
        ("contact", "contact", 1),
        ("contact_point", "data", 2),
        ("call", "call", 1),
        ("attachment", "media", 1),
        ("device", "sim", 1),
        ("visit", "visits", 1),
        ("location", "places", 1),
        ("message", "message", 4),
    ];
    bodies.extend(counts.map(|(kind, table, records)| {
        let rejected = u64::from(kind == "message");
        Body::Ledger(LedgerRow {
            exhibit: exhibit(),
            item: item_id("db"),
            source: format!("{table}→{kind}"),
            record_kind: kind.into(),
            row_table: words(table),
            rows_seen: records + rejected,
            records,
            rejected,
            reason: (rejected > 0).then(|| "no text 1".to_owned()),
        })
    }));
    bodies
}

/// A whole exhibit.
fn bodies() -> Vec<Body> {
    whole(records())
}

/// An exhibit with these records of item `db`.
fn whole(records: Vec<Body>) -> Vec<Body> {
    let announced = records.len() as u64;
    let mut bodies = vec![
        Body::Exhibit(Exhibit {
            id: exhibit(),
            case_label: CASE.into(),
            number: NUMBER.into(),
            kind: "phone".into(),
            container: "directory".into(),
            size_bytes: 12_288,
            sha256: None,
        }),
        Body::Definition(definition()),
        Body::Problem(Problem {
            exhibit: exhibit(),
            item: None,
            stage: Stage::Ingest,
            code: Code::Unreadable,
            detail: "folder private: permission denied".into(),
        }),
    ];
    bodies.extend(["", "photos"].map(|path| {
        Body::Directory(Box::new(Directory {
            id: Directory::id_of(exhibit(), None, path.as_bytes(), 0),
            exhibit: exhibit(),
            parent: None,
            path: path.into(),
            path_raw: None,
            mode: Some(0o755),
            owner: None,
            times: FileTimes::default(),
        }))
    }));
    bodies.extend(records);
    bodies.push(item("db", ItemStatus::Parsed, announced));
    bodies.push(item("photos/a.jpg", ItemStatus::Plain, 0));
    bodies.push(item("socket", ItemStatus::Skipped, 0));
    bodies.push(Body::End(ExhibitEnd { exhibit: exhibit(), items: 3, directories: 2, problems: 1, complete: true }));
    bodies
}

fn open(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

fn one<T: rusqlite::types::FromSql>(bundle: &Path, sql: &str) -> T {
    export::open_read_only(bundle).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// What the stranger's verifier says of each bundle.
fn python(bundles: &[PathBuf]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/verify.py");
    let output = Command::new("python3").arg("-B").arg(script).args(bundles).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect();
    assert_eq!(lines.len(), bundles.len(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.success(), lines.iter().all(|line| line.starts_with("holds")));
    lines
}

#[test]
fn a_sealed_bundle_holds_for_us_and_for_a_stranger() {
    let bench = Bench::new();
    let sealed = bench.seal("out", &bodies());
    let report = export::verify(&sealed.path).unwrap();
    assert!(report.holds(), "{report}");
    assert_eq!((report.root, report.content_root, report.rows), (sealed.root, sealed.content_root, sealed.rows));
    let line = &python(std::slice::from_ref(&sealed.path))[0];
    assert_eq!(*line, format!("holds, {} rows, signed by {}", sealed.rows, bench.key.fingerprint()));
    for table in schema::tables().iter().filter(|table| table.name != "custody") {
        assert!(one::<i64>(&sealed.path, &format!("SELECT count(*) FROM {}", table.name)) > 0, "{}", table.name);
    }
    let integrity: String = one(&sealed.path, "PRAGMA integrity_check");
    assert_eq!(integrity, "ok");
}

#[test]
fn an_unsigned_bundle_says_so_and_a_stripped_signature_shows() {
    let bench = Bench::new();
    let sealed = try_seal(&Context { key: None, ..bench.context("out") }, &bodies()).unwrap();
    let report = export::verify(&sealed.path).unwrap();
    assert!(report.holds() && report.to_string().contains("unsigned"), "{report}");
    assert!(python(&[sealed.path])[0].ends_with("unsigned"));
    let signed = bench.seal("signed", &bodies()).path;
    open(&signed).execute("UPDATE seal SET signature = NULL, signer = 'unsigned'", []).unwrap();
    assert!(!export::verify(&signed).unwrap().holds());
    assert!(python(&[signed])[0].starts_with("does not hold"));
}

#[test]
fn ssh_keygen_checks_the_signature() {
    let bench = Bench::new();
    let path = bench.seal("out", &bodies()).path;
    let (checkpoint, signature): (String, String) =
        (one(&path, "SELECT checkpoint FROM seal"), one(&path, "SELECT signature FROM seal"));
    std::fs::write(bench.path("sig"), signature).unwrap();
    std::fs::write(bench.path("allowed"), format!("unit {}\n", bench.key.public_line())).unwrap();
    let check = |text: &str| {
        std::fs::write(bench.path("text"), text).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-I", "unit", "-n", "haul-bundle", "-f"]).arg(bench.path("allowed"));
        command.arg("-s").arg(bench.path("sig")).stdin(std::fs::File::open(bench.path("text")).unwrap());
        command.output().unwrap().status.success()
    };
    assert!(check(&checkpoint));
    assert!(!check(&checkpoint.replacen("haul", "hawl", 1)));
}

/// A value of the column that is not the one it has.
fn other(value: &Value, kind: Type) -> Value {
    match (value, kind) {
        (Value::Integer(0), _) => Value::Integer(1),
        (Value::Integer(value), _) => Value::Integer(value - 1),
        (Value::Text(text), _) => Value::Text(format!("{text}x")),
        (Value::Blob(bytes), _) => {
            let mut bytes = bytes.clone();
            *bytes.last_mut().unwrap() ^= 1;
            Value::Blob(bytes)
        }
        (_, Type::Integer) => Value::Integer(0),
        (_, Type::Blob) => Value::Blob(vec![1; 16]),
        _ => Value::Text(String::new()),
    }
}

struct Change {
    path: PathBuf,
    table: &'static str,
    /// The key of the row, where it can be named: a lost row is named by its table and its neighbour.
    key: Option<String>,
}

fn words_of(key: &Value) -> String {
    match key {
        Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Value::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Every row of every table lost, every row twice, and every column of every row changed, each in a bundle of its own.
fn changes(bench: &Bench, bundle: &Path) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut change = |table: &'static str, key: Option<&Value>, sql: &str, values: &[Value]| {
        let path = bench.path(&format!("changed-{}.sqlite", changes.len()));
        std::fs::copy(bundle, &path).unwrap();
        let connection = open(&path);
        connection.pragma_update(None, "journal_mode", "OFF").unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        assert_eq!(connection.execute(sql, rusqlite::params_from_iter(values)).unwrap(), 1, "{sql}");
        changes.push(Change { path, table, key: key.map(words_of) });
    };
    let connection = export::open_read_only(bundle).unwrap();
    for table in schema::tables() {
        let sealed = table.sealed();
        let key = if table.name == "seal" { "rowid" } else { table.columns[0].name };
        let mut statement = connection.prepare(&format!("SELECT {key}, {} FROM {}", table.column_list(), table.name)).unwrap();
        let count = table.columns.len() + 1;
        let rows =
            statement.query_map([], |row| (0..count).map(|place| row.get(place)).collect::<rusqlite::Result<Vec<Value>>>());
        for row in rows.unwrap().collect::<Result<Vec<_>, _>>().unwrap() {
            let id = &row[0];
            change(table.name, None, &format!("DELETE FROM {} WHERE {key} = ?1", table.name), &row[..1]);
            for (column, value) in table.columns.iter().zip(&row[1..]) {
                let sql = format!("UPDATE {} SET {} = ?2 WHERE {key} = ?1", table.name, column.name);
                let value = other(value, column.kind);
                // The seed and the format are what all rows are read by: changed, they leave no row to name.
                let plain = sealed && table.name != "meta" && column.name != key;
                change(table.name, plain.then_some(id), &sql, &[id.clone(), value]);
            }
            if matches!(id, Value::Blob(_)) {
                let marks: Vec<_> = (1..count).map(|mark| format!("?{mark}")).collect();
                let mut copy = row[1..].to_vec();
                copy[0] = other(id, Type::Blob);
                let new = copy[0].clone();
                change(table.name, Some(&new), &format!("INSERT INTO {} VALUES ({})", table.name, marks.join(", ")), &copy);
            }
        }
    }
    change("custody", None, "INSERT INTO custody (seq, action) VALUES (1, 'seal')", &[]);
    change("seal_tile", None, "INSERT INTO seal_tile VALUES (1, x'00')", &[]);
    change("seal", None, "INSERT INTO seal SELECT * FROM seal", &[]);
    changes
}

#[test]
fn any_change_of_any_row_is_found_and_named() {
    let bench = Bench::new();
    let bundle = bench.seal("out", &bodies()).path;
    let changes = changes(&bench, &bundle);
    assert!(changes.len() > 500, "{}", changes.len());
    let paths: Vec<_> = changes.iter().map(|change| change.path.clone()).collect();
    let strangers = python(&paths);
    for (change, stranger) in changes.iter().zip(&strangers) {
        let ours = export::verify(&change.path).unwrap().to_string();
        for said in [&ours, stranger] {
            assert!(said.starts_with("does not hold"), "{}: {said}", change.path.display());
            assert!(said.contains(&format!("table {}", change.table)), "{} {:?}: {said}", change.table, change.key);
            assert!(change.key.as_ref().is_none_or(|key| said.contains(key)), "{} {:?}: {said}", change.table, change.key);
        }
    }
}

#[test]
fn code_in_a_bundle_is_refused() {
    let bench = Bench::new();
    let bundle = bench.seal("out", &bodies()).path;
    for sql in [
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON meta BEGIN SELECT 1; END",
        "CREATE INDEX i ON message (text)",
        "CREATE TABLE extra (a)",
        "DROP TABLE custody",
        "ALTER TABLE seal ADD COLUMN note TEXT",
        "PRAGMA user_version = 2",
    ] {
        let path = bench.path("changed.sqlite");
        std::fs::copy(&bundle, &path).unwrap();
        open(&path).execute_batch(sql).unwrap();
        assert!(!export::verify(&path).unwrap().holds(), "{sql}");
        assert!(python(&[path])[0].starts_with("does not hold"), "{sql}");
    }
}

#[test]
fn an_integer_and_the_text_of_its_digits_are_not_exchanged_unseen() {
    let bench = Bench::new();
    let path = bench.seal("out", &bodies()).path;
    open(&path).execute("UPDATE message SET sent_time_raw = CAST(sent_time_raw AS TEXT) WHERE row_id = 1", []).unwrap();
    let report = export::verify(&path).unwrap().to_string();
    assert!(report.contains("sent_time_raw is not of the type"), "{report}");
    assert!(python(&[path])[0].contains("sent_time_raw is not of the type"));
}

#[test]
fn repeated_reordered_and_recut_delivery_gives_the_same_bytes() {
    let bench = Bench::new();
    let bodies = bodies();
    let first = std::fs::read(bench.seal("out", &bodies).path).unwrap();
    assert_eq!(std::fs::read(bench.seal("again", &bodies).path).unwrap(), first);
    for turn in 1..6 {
        let mut turned: Vec<Body> = bodies.iter().chain(&bodies).chain(&bodies[turn..turn * 3]).cloned().collect();
        turned.rotate_left(turn * 11);
        turned.reverse();
        assert_eq!(std::fs::read(bench.seal(&format!("turned-{turn}"), &turned).path).unwrap(), first);
    }
    let mut context = bench.context("cut");
    context.settings.export = config::Export { commit_entries: 1, cache_bytes: 1 << 16 };
    context.settings.workers = 5;
    assert_eq!(std::fs::read(try_seal(&context, &bodies).unwrap().path).unwrap(), first);
}

#[test]
fn two_bodies_with_one_id_keep_the_smaller_and_tell() {
    let bench = Bench::new();
    let mut all = records();
    all.push(Body::Record(Record::Message(Box::new(message(1, "another text of row 1")))));
    let bodies = whole(all);
    let sealed = bench.seal("out", &bodies);
    let report = export::verify(&sealed.path).unwrap();
    // The ledger counts four messages and holds four: the fifth was announced but is nowhere in the ledger.
    assert_eq!(one::<i64>(&sealed.path, "SELECT count(*) FROM problem WHERE code = 'conflict'"), 1);
    assert_eq!(one::<i64>(&sealed.path, "SELECT conflicts FROM ledger WHERE record_kind = 'message'"), 1);
    assert!(report.to_string().contains("the ledger counts 3 message rows of table message, the bundle has 4"), "{report}");
    let mut turned = bodies.clone();
    turned.reverse();
    assert_eq!(std::fs::read(bench.seal("turned", &turned).path).unwrap(), std::fs::read(&sealed.path).unwrap());
}

#[test]
fn places_are_folded_and_references_are_found() {
    let bench = Bench::new();
    let path = bench.seal("out", &bodies()).path;
    let folded =
        "SELECT group_concat(finder || ' ' || byte_offset || ' ' || coalesce(field, '-') || ' ' || coalesce(row_id, '-'), ', ')
                  FROM (SELECT * FROM sighting ORDER BY byte_offset)";
    assert_eq!(one::<String>(&path, folded), "cell+record+scan 500 text 1, scan 900 - -");
    let file = "SELECT item.path FROM item JOIN attachment ON item.id = file_item_id";
    assert_eq!(one::<String>(&path, file), "photos/a.jpg");
    assert_eq!(
        one::<i64>(&path, "SELECT count(*) FROM message JOIN thread ON thread.id = thread_id WHERE thread.thread_key = 'room'"),
        4
    );
    assert_eq!(one::<String>(&path, "SELECT contact_place FROM contact_point WHERE contact_id IS NULL"), "table contact row 99");
    assert_eq!(one::<String>(&path, "SELECT thread_key FROM call WHERE thread_id IS NULL"), "lost room");
}

#[test]
fn what_is_missing_is_said_and_nothing_is_sealed() {
    let bench = Bench::new();
    let bodies = bodies();
    for lost in 0..bodies.len() {
        // No item or count tells of a definition: what it says is only who read a record.
        if matches!(bodies[lost], Body::Definition(_)) {
            continue;
        }
        let mut some = bodies.clone();
        some.remove(lost);
        let name = format!("lost-{lost}");
        match try_seal(&bench.context(&name), &some) {
            Err(Error::Incomplete(words)) => assert!(!words.is_empty()),
            other => panic!("without {:?}: {other:?}", bodies[lost]),
        }
        assert!(!bench.path(&name).join("A-1.sqlite").exists());
        // The rest comes: the store goes on.
        try_seal(&bench.context(&name), &bodies[lost..=lost]).unwrap();
    }
}

/// Not a test of its own: seals in a process that another test kills.
#[test]
#[ignore = "run by a_crash_leaves_a_store_that_goes_on"]
fn sealing_child() {
    let Some(folder) = std::env::var_os("HAUL_TEST_FOLDER").map(PathBuf::from) else { return };
    let key = Some(UnitKey::read(&folder.join("key")).unwrap());
    let mut settings = config::Settings::default();
    settings.export.commit_entries = 10;
    let context = Context { settings, out: folder.join("out"), work: folder.join("out/.haul"), key };
    try_seal(&context, &bodies()).unwrap();
}

#[test]
fn a_crash_leaves_a_store_that_goes_on() {
    let bench = Bench::new();
    let expected = std::fs::read(bench.seal("expected", &bodies()).path).unwrap();
    let bundle = bench.path("out/A-1.sqlite");
    let points = [("sink.applied", 1), ("sink.applied", 4), ("sink.committed", 1), ("sink.committed", 3)];
    for (point, pass) in points.into_iter().chain([("seal.begun", 1), ("seal.written", 1), ("seal.renamed", 1)]) {
        std::fs::remove_dir_all(bench.path("out")).ok();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--ignored", "--exact", "sealing_child"]).env("HAUL_TEST_FOLDER", bench.folder.path());
        let output = child.env("HAUL_CRASH_AT", format!("{point}:{pass}")).output().unwrap();
        assert!(!output.status.success(), "{point}: {output:?}");
        assert_eq!(bundle.exists(), point == "seal.renamed", "{point}");
        let sealed = bench.seal("out", &bodies());
        assert_eq!(std::fs::read(&sealed.path).unwrap(), expected, "{point}");
    }
}

/// What a watch was told of seals.
#[derive(Default)]
struct Told(Mutex<Vec<Sealed>>);

impl Watch for Told {
    fn sealed(&self, sealed: &Sealed) {
        self.0.lock().unwrap().push(sealed.clone());
    }
}

#[test]
fn a_fleet_seals_when_it_adds_up_and_again_when_more_comes() {
    let bench = Bench::new();
    let context = bench.context("out");
    let told = Told::default();
    let mut script = Script::new(VecDeque::from([Event::Assigned(vec![0])]));
    script.events.extend(deliveries(&bodies()).into_iter().map(Event::Delivery));
    script.events.extend([Event::Idle, Event::Revoked(vec![0])]);
    // The script ends like a broker that has gone.
    assert!(matches!(export::run(&context, &mut script, &told), Err(Error::Stream(_))));
    let sealed = told.0.lock().unwrap().pop().unwrap();
    let expected = std::fs::read(bench.seal("expected", &bodies()).path).unwrap();
    assert_eq!(std::fs::read(&sealed.path).unwrap(), expected);
    let last = deliveries(&bodies()).len() as i64 - 1;
    assert_eq!(script.acknowledged, [Position { topic: Topic::Records, partition: 0, offset: last }]);

    // Another worker takes the partition: it begins after what is stored, knows the seal, and seals anew for a poison message.
    let invalid = Invalid { sha256: Digest::of(b"poison"), size_bytes: 6, reason: "unknown wire version".into() };
    let mut script = Script::new(VecDeque::from([Event::Assigned(vec![0])]));
    script.events.push_back(Event::Delivery(deliveries(&bodies()).remove(0)));
    script.events.push_back(Event::Delivery(delivery(Topic::Problems, 7, Err(invalid))));
    script.events.extend([Event::Idle, Event::Idle]);
    assert!(matches!(export::run(&context, &mut script, &told), Err(Error::Stream(_))));
    assert_eq!(script.started, [[Position { topic: Topic::Records, partition: 0, offset: last + 1 }]]);
    let told = told.0.into_inner().unwrap();
    assert_eq!(told.len(), 2, "known, then sealed anew once");
    assert_eq!(told[0], sealed);
    let detail: String = one(&sealed.path, "SELECT detail FROM problem WHERE code = 'invalid_message'");
    assert!(detail.contains("offset 7") && detail.contains(&Digest::of(b"poison").to_string()), "{detail}");
    assert!(export::verify(&sealed.path).unwrap().holds());
    let states = export::progress(&context.work.join("partition-0.working.sqlite")).unwrap();
    assert!(states[0].to_string().starts_with("A-1: sealed, walked 3 of 3, parsed 1, plain 1, skipped 1"), "{}", states[0]);
}
