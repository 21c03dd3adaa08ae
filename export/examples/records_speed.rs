//! Messages from a stream into a sealed bundle, against one prepared-statement transaction that inserts the same rows into the same
//! tables: `cargo run --release -p export --example records_speed [MESSAGES]` prints both rates and their ratio.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![allow(clippy::disallowed_methods, reason = "databases of our own")]

use export::bundle::schema;
use export::{Context, UnitKey, Watch};
use model::item::FileTimes;
use model::record::{Message, Thread};
use model::wire::Batch;
use model::*;
use rusqlite::Connection;
use rusqlite::types::Value;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use stream::{Publish, embedded};

const THREADS: u64 = 300;
const BATCH: usize = 400;

struct Quiet;
impl Watch for Quiet {}

fn main() {
    let messages: u64 = std::env::args().nth(1).map_or(200_000, |word| word.parse().unwrap());
    let folder = std::env::temp_dir().join(format!("haul-records-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let batches = batches(messages);
    let key = UnitKey::open_or_make(&folder.join("key")).unwrap();
    let settings = config::Settings::default();
    let context = Context { settings, out: folder.join("out"), work: folder.join("work"), key: Some(key) };
    let (seconds, sink_seconds, path) = seal(&context, &batches);
    let rows = rows(&path);
    let arrival = insert(&folder.join("arrival.sqlite"), &rows, |row| match (&row[0], &row[30]) {
        (_, Value::Integer(row_id)) => row_id.to_be_bytes().to_vec(),
        _ => Vec::new(),
    });
    let in_order = insert(&folder.join("order.sqlite"), &rows, |row| match &row[0] {
        Value::Blob(id) => id.clone(),
        _ => Vec::new(),
    });
    let rate = |seconds: f64| messages as f64 / seconds;
    let mut out = std::io::stdout().lock();
    writeln!(out, "sink {sink_seconds:.2} s, sink and seal {seconds:.2} s: {:.0} messages/s", rate(seconds)).unwrap();
    writeln!(out, "one transaction as they came {arrival:.2} s: {:.0} messages/s, ratio {:.2}", rate(arrival), arrival / seconds)
        .unwrap();
    writeln!(
        out,
        "one transaction in id order {in_order:.2} s: {:.0} messages/s, ratio {:.2}",
        rate(in_order),
        in_order / seconds
    )
    .unwrap();
    let begin = Instant::now();
    let report = export::verify(&path).unwrap();
    writeln!(out, "verify {:.2} s: {report}", begin.elapsed().as_secs_f64()).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

/// An exhibit with one database of messages, as normalize would send it.
fn batches(messages: u64) -> Vec<Batch> {
    let exhibit = Exhibit::id_of("BENCH", "1");
    let item = Item::id_of(exhibit, None, b"msgstore.db", 0, false);
    let definition = Definition::new(exhibit, "bench", Digest::of(b"bench"));
    let provenance = |table: &str, row_id| Provenance {
        exhibit,
        item,
        locator: Locator::Row { table: table.to_owned(), row_id },
        state: State::Live,
        definition: definition.id,
    };
    let mut bodies = vec![Body::Definition(definition.clone())];
    for number in 0..THREADS {
        bodies.push(Body::Record(Record::Thread(Thread {
            provenance: provenance("chat", number as i64),
            app: "WhatsApp".into(),
            thread_key: format!("85512{number:06}@s.whatsapp.net"),
            name: None,
            thread_type: Some("direct".into()),
            created: None,
            implied: false,
        })));
    }
    let mut state = 1u64;
    for number in 0..messages {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let peer = format!("85512{:06}@s.whatsapp.net", (state >> 40) % THREADS);
        bodies.push(Body::Record(Record::Message(Box::new(Message {
            provenance: provenance("message", number as i64),
            app: "WhatsApp".into(),
            thread_key: Some(peer.clone()),
            sender: Some(peer),
            recipient: None,
            outgoing: Some(number % 2 == 0),
            sent: Some(Stamp::integer(1_714_521_600_000 + number as i64, TimeUnit::UnixMs)),
            received: Some(Stamp::integer(1_714_521_601_000 + number as i64, TimeUnit::UnixMs)),
            edited: None,
            text: Some(format!("message {number} about {:016x} and some words that a chat has", state)),
            subject: None,
            message_type: Some("text".into()),
            message_key: Some(format!("{:032X}", u128::from(state) << 32)),
            quoted_key: None,
            quoted_text: None,
            quoted_sender: None,
            forwarded: None,
            status: Some("13".into()),
            extra: None,
        }))));
    }
    let ledger = |kind: &str, table: &str, rows| {
        let row = LedgerRow {
            exhibit,
            item,
            source: format!("{table}→{kind}"),
            record_kind: kind.into(),
            row_table: Some(table.into()),
            rows_seen: rows,
            records: rows,
            rejected: 0,
            reason: None,
        };
        Body::Ledger(row)
    };
    bodies.push(ledger("thread", "chat", THREADS));
    bodies.push(ledger("message", "message", messages));
    bodies.push(Body::Item(Box::new(described(item, exhibit, THREADS + messages + 2))));
    bodies.push(Body::Exhibit(Exhibit {
        id: exhibit,
        case_label: "BENCH".into(),
        number: "1".into(),
        kind: "phone".into(),
        container: "directory".into(),
        size_bytes: 1,
        sha256: None,
    }));
    bodies.push(Body::End(ExhibitEnd { exhibit, items: 1, directories: 0, problems: 0, complete: true }));
    bodies.chunks(BATCH).map(|bodies| Batch { entries: bodies.iter().map(Entry::new).collect() }).collect()
}

fn described(id: Id, exhibit: Id, announced: u64) -> Item {
    let (path_raw, link_target, sha1, md5, mode, owner, reason) = Default::default();
    Item {
        id,
        exhibit,
        parent: None,
        path: "msgstore.db".into(),
        path_raw,
        file_kind: FileKind::File,
        link_target,
        size_bytes: 1,
        sha256: Some(Digest([7; 32])),
        sha1,
        md5,
        media_type: Some("application/vnd.sqlite3".into()),
        mode,
        owner,
        times: FileTimes::default(),
        deleted: false,
        status: ItemStatus::Parsed,
        reason,
        definition: Some("bench".into()),
        announced,
    }
}

fn seal(context: &Context, batches: &[Batch]) -> (f64, f64, std::path::PathBuf) {
    let exhibit = batches[0].entries[0].exhibit;
    let (queues, _units, mut queue) = embedded::queues(1, 32);
    let begin = Instant::now();
    let mut sunk = Duration::ZERO;
    let sealed = std::thread::scope(|scope| {
        let worker = scope.spawn(|| export::run(context, &mut queue, &Quiet).unwrap());
        for batch in batches {
            queues.batch(exhibit, batch.clone()).unwrap();
        }
        drop(queues);
        sunk += begin.elapsed();
        worker.join().unwrap()
    });
    (begin.elapsed().as_secs_f64(), sunk.as_secs_f64(), sealed[0].path.clone())
}

fn rows(path: &Path) -> Vec<Vec<Value>> {
    let connection = export::open_read_only(path).unwrap();
    let table = schema::table("message").unwrap();
    let mut statement = connection.prepare(&format!("SELECT {} FROM message", table.column_list())).unwrap();
    let rows = statement.query_map([], |row| (0..table.columns.len()).map(|place| row.get(place)).collect());
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

fn insert(path: &Path, rows: &[Vec<Value>], order: impl Fn(&[Value]) -> Vec<u8>) -> f64 {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_cached_key(|row| order(row));
    let table = schema::table("message").unwrap();
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(table.create).unwrap();
    let begin = Instant::now();
    connection.execute_batch("BEGIN").unwrap();
    let mut statement = connection.prepare(&table.insert()).unwrap();
    for row in rows {
        statement.execute(rusqlite::params_from_iter(row)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    begin.elapsed().as_secs_f64()
}
