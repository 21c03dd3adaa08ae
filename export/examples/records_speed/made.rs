//! The exhibit that the benchmarks of this folder seal.

use export::{Context, Watch};
use model::item::FileTimes;
use model::record::{Message, Thread};
use model::wire::Batch;
use model::*;
use std::time::{Duration, Instant};
use stream::{Publish, embedded};

const THREADS: u64 = 300;
const BATCH: usize = 400;

struct Quiet;
impl Watch for Quiet {}

/// An exhibit with one database of messages, as normalize would send it.
pub fn batches(number: &str, messages: u64) -> Vec<Batch> {
    let exhibit = Exhibit::id_of("BENCH", number);
    let item = Item::id_of(exhibit, None, b"msgstore.db", 0, false);
    let definition = Definition::new(exhibit, "bench", Digest::of(b"bench"));
    let provenance = |table: &str, row_id| Provenance {
        exhibit,
        item,
        locator: Locator::Row { table: table.to_owned(), row_id },
        state: State::Live,
        definition: definition.id,
        part: None,
    };
    let mut bodies = vec![Body::Definition(definition.clone())];
    for thread in 0..THREADS {
        bodies.push(Body::Record(Record::Thread(Thread {
            provenance: provenance("chat", thread as i64),
            app: "WhatsApp".into(),
            thread_key: format!("85512{thread:06}@s.whatsapp.net"),
            name: None,
            thread_type: Some("direct".into()),
            created: None,
            implied: false,
        })));
    }
    let mut state = 1u64;
    for place in 0..messages {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let peer = format!("85512{:06}@s.whatsapp.net", (state >> 40) % THREADS);
        bodies.push(Body::Record(Record::Message(Box::new(Message {
            provenance: provenance("message", place as i64),
            app: "WhatsApp".into(),
            thread_key: Some(peer.clone()),
            sender: Some(peer),
            recipient: None,
            outgoing: Some(place % 2 == 0),
            sent: Some(Stamp::integer(1_714_521_600_000 + place as i64, TimeUnit::UnixMs)),
            received: Some(Stamp::integer(1_714_521_601_000 + place as i64, TimeUnit::UnixMs)),
            edited: None,
            text: Some(format!("message {place} about {:016x} and some words that a chat has", state)),
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
        number: number.into(),
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

/// Sinks and seals: seconds of both, seconds until all was handed over, the bundle.
pub fn seal(context: &Context, batches: &[Batch]) -> (f64, f64, std::path::PathBuf) {
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
