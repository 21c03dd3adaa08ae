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
        self.records.iter().filter_map(|record| if let Record::Message(message) = record { Some(&**message) } else { None }).collect()
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
    let bodies = unit.read_database(&set);
    let took = start.elapsed();
    eprintln!("whatsapp: {} bodies in {took:?}, {:.0} a second", bodies.len(), bodies.len() as f64 / took.as_secs_f64());
    let read = Read::from(bodies).clean();
    // sqlite3: select count(*) from message, message_media, call_log, chat.
    assert_eq!((read.count("message"), read.count("attachment"), read.count("call")), (199_959, 31_819, 3_000));
    assert_eq!(read.count("thread"), 250);
}
