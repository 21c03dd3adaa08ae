//! Records of real Android databases against what `MANIFEST.tsv` and stock `sqlite3` say is in them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use model::record::{Call, Message};
use model::{Body, ItemStatus, Record};
use normalize::artifact::Set;
use std::path::{Path, PathBuf};
use tests::unit::Unit;

/// What one database gave.
struct Read {
    records: Vec<Record>,
    problems: Vec<String>,
    ledger: Vec<model::LedgerRow>,
    status: ItemStatus,
}

impl Read {
    fn of(path: &Path) -> Read {
        Read::from(Unit::of(path).read(&Set::load(None).unwrap()))
    }

    fn from(bodies: Vec<Body>) -> Read {
        let mut read = Read { records: Vec::new(), problems: Vec::new(), ledger: Vec::new(), status: ItemStatus::Plain };
        for body in bodies {
            match body {
                Body::Record(record) => read.records.push(record),
                Body::Problem(problem) => read.problems.push(format!("{}: {}", problem.code.name(), problem.detail)),
                Body::Ledger(row) => read.ledger.push(row),
                Body::Item(item) => read.status = item.status,
                _ => {}
            }
        }
        assert!(read.ledger.iter().all(model::LedgerRow::adds_up));
        read
    }

    fn count(&self, kind: &str) -> usize {
        self.records.iter().filter(|record| record.kind() == kind).count()
    }

    fn messages(&self) -> Vec<&Message> {
        self.records
            .iter()
            .filter_map(|record| if let Record::Message(message) = record { Some(&**message) } else { None })
            .collect()
    }

    fn calls(&self) -> Vec<&Call> {
        self.records.iter().filter_map(|record| if let Record::Call(call) = record { Some(&**call) } else { None }).collect()
    }

    fn row(&self, source: &str) -> (u64, u64) {
        let row = self.ledger.iter().find(|row| row.source == source).unwrap();
        (row.rows_seen, row.records)
    }

    fn clean(self) -> Read {
        assert_eq!(self.problems, Vec::<String>::new());
        assert_eq!(self.status, ItemStatus::Parsed);
        self
    }
}

fn corpus(path: &str) -> Option<PathBuf> {
    Some(tests::corpus()?.join("android").join(path))
}

/// The bench phone, where it is made (`HAUL_BENCH`, or beside the checkout).
fn bench(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HAUL_BENCH").map_or_else(|| tests::root().join("../bench1"), Into::into);
    Some(root.join("phone/data/data").join(path)).filter(|path| path.exists())
}

#[test]
fn whatsapp_of_the_bench_phone_is_complete_and_its_rate_is_told() {
    let Some(path) = bench("com.whatsapp/databases/msgstore.db") else { return };
    let unit = Unit::of(&path);
    let set = Set::load(None).unwrap();
    let start = std::time::Instant::now();
    let count = unit.count(&set);
    let took = start.elapsed();
    eprintln!("whatsapp: {count} bodies in {took:?}, {:.0} a second", count as f64 / took.as_secs_f64());
    let bodies = unit.read_database(&set);
    assert_eq!(bodies.len() as u64, count);
    let read = Read::from(bodies).clean();
    // sqlite3: select count(*) from message, message_media, call_log, chat.
    assert_eq!((read.count("message"), read.count("attachment"), read.count("call")), (199_959, 31_819, 3_000));
    assert_eq!(read.count("thread"), 250);
}

#[test]
fn the_other_databases_of_the_bench_phone_are_complete() {
    let providers = |name: &str| bench(&format!("com.android.providers.{name}"));
    let Some(contacts) = providers("contacts/databases/contacts2.db") else { return };
    // Counts by sqlite3.
    let read = Read::of(&contacts).clean();
    assert_eq!((read.count("contact"), read.count("contact_point")), (5_000, 6_992));
    assert_eq!(read.row("data→contact_point"), (12_053, 6_992));
    let read = Read::of(&providers("contacts/databases/calllog.db").unwrap()).clean();
    assert_eq!(read.count("call"), 4_000);
    let outcome = |word: &str| read.calls().iter().filter(|call| call.outcome.as_deref() == Some(word)).count();
    assert_eq!((outcome("missed"), outcome("refused")), (978, 958));
    assert_eq!(read.calls().iter().filter(|call| call.outgoing == Some(true)).count(), 1_057);
    let read = Read::of(&providers("telephony/databases/mmssms.db").unwrap()).clean();
    assert_eq!((read.row("sms→message"), read.row("pdu→message")), ((15_000, 15_000), (300, 300)));
    assert_eq!(read.messages().iter().filter(|message| message.outgoing == Some(false)).count(), 7_431 + 300);
    assert_eq!(read.row("part→attachment"), (300, 0));
    let read = Read::of(&bench("com.whatsapp/databases/wa.db").unwrap()).clean();
    assert_eq!((read.row("wa_contacts→account").1, read.row("wa_contacts→thread").1), (5_000, 60));
}

#[test]
fn iped_whatsapp_of_the_old_generation() {
    let Some(path) = corpus("iped/test_whatsAppMsgStore.db") else { return };
    let read = Read::of(&path).clean();
    // MANIFEST: 75 rows in messages, 74 real, 73 from_me; 22 with text; 30 chats; 671 jids.
    assert_eq!(read.row("messages→message"), (75, 74));
    let messages = read.messages();
    assert_eq!(messages.len(), 74);
    assert_eq!(messages.iter().filter(|message| message.outgoing == Some(true)).count(), 73);
    assert_eq!(messages.iter().filter(|message| message.text.is_some()).count(), 22);
    assert!(messages.iter().all(|message| message.thread_key.is_some()));
    // 2021-06-14T18:55:54Z, as IPED's own test has it.
    let first = messages.iter().find(|message| message.text.as_deref() == Some("This is a test for the IPED Whatsapp Parser."));
    assert_eq!(first.unwrap().sent.as_ref().unwrap().utc_us.map(|us| us / 1_000_000), Some(1_623_696_954));
    assert_eq!(read.count("thread"), 30);
    assert_eq!(read.row("jid→account").0, 671);
    assert_eq!(read.row("group_participant_user→participant"), (156, 156));
}

#[test]
fn wa_crypt_whatsapp_of_the_old_generation() {
    let Some(path) = corpus("wa-crypt/msgstore.db") else { return };
    let read = Read::of(&path);
    // MANIFEST: messages=10, chat=8, message_media=2, jid=2; one of the messages has status -1.
    assert_eq!(read.row("messages→message"), (10, 9));
    assert_eq!(read.row("message_media→attachment"), (2, 2));
    // Seven of the chats point at rows of jid that are gone: told, one by one.
    assert_eq!(read.row("chat→thread"), (8, 1));
    assert_eq!((read.problems.len(), read.status), (7, ItemStatus::Parsed));
    assert!(read.problems.iter().all(|problem| problem.ends_with("no thread key")));
    assert_eq!(read.row("jid→account").0, 2);
    // Every attachment names a message that is there, whichever table it stands in.
    for record in &read.records {
        if let Record::Attachment(attachment) = record {
            assert!(read.messages().iter().any(|message| message.provenance.locator == attachment.message));
            assert_eq!(attachment.sha256.as_ref().map(String::len), Some(64));
        }
    }
}

#[test]
fn plaso_sms_and_calls() {
    let (Some(sms), Some(calls)) = (corpus("plaso/mmssms.db"), corpus("plaso/contacts2.db")) else { return };
    let read = Read::of(&sms).clean();
    // MANIFEST: 9 sms, 4 received, 5 sent, in two spellings of one number; its one thread.
    let messages = read.messages();
    assert_eq!(messages.len(), 9);
    assert_eq!(messages.iter().filter(|message| message.outgoing == Some(false)).count(), 4);
    assert!(messages.iter().all(|message| message.thread_key.as_deref() == Some("1")));
    let peers: std::collections::BTreeSet<_> =
        messages.iter().filter_map(|message| message.sender.as_deref().or(message.recipient.as_deref())).collect();
    assert_eq!(peers.into_iter().collect::<Vec<_>>(), ["1 555-521-5554", "15555215554"]);
    let received = messages.iter().find(|message| message.provenance.locator.row() == Some(("sms", 3))).unwrap();
    assert_eq!(received.sent.as_ref().unwrap().utc_us, Some(1_383_066_340_000_000));
    assert_eq!(received.received.as_ref().unwrap().utc_us, Some(1_383_066_341_303_000));

    // The sample has lost its table raw_contacts: that is told, and the calls are read all the same.
    let read = Read::of(&calls);
    assert_eq!(read.problems, ["schema_drift: definition contacts_android: missing raw_contacts"]);
    let mut told: Vec<_> = read
        .calls()
        .iter()
        .map(|call| (call.outcome.clone().unwrap(), call.duration_s.unwrap(), call.outgoing.unwrap()))
        .collect();
    told.sort();
    // MANIFEST: type 3 missed 0 s, type 2 outgoing 126 s, type 1 incoming 639 s, with 5404561685.
    let wanted = [("answered", 126, true), ("answered", 639, false), ("missed", 0, false)];
    assert_eq!(told, wanted.map(|(outcome, seconds, outgoing)| (outcome.to_owned(), seconds, outgoing)));
    assert!(read.calls().iter().all(|call| call.remote.as_deref() == Some("5404561685")));
    assert!(read.calls().iter().all(|call| call.remote_phone.as_deref() == Some("+15404561685")));
}

#[test]
fn other_databases_are_plain() {
    for name in ["SimpleStorage", "files_master_database", "webviewCache.db"] {
        let Some(path) = corpus(&format!("plaso/{name}")) else { return };
        let read = Read::of(&path);
        assert_eq!((read.records.len(), read.status), (0, ItemStatus::Plain), "{name}");
    }
}
