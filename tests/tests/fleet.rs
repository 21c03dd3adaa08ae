//! What a broker may do to a fleet without changing its bundle: deliver twice, out of order, and poison.

#![allow(clippy::unwrap_used, clippy::panic)]

use model::Exhibit;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;
use tests::broker::Broker;
use tests::command::sha256;
use tests::crash::{Fleet, Report, Trials};
use tests::evidence::Size;
use tests::random::Random;

const SIZE: Size = Size { sms: 1_500, telegram: 700, pictures: 30 };

#[test]
fn everything_delivered_twice_and_interleaved_gives_one_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let trials = Trials::prepare(folder.path(), SIZE, 5);
    let broker = Broker::start(&folder.path().join("broker"));
    let place = folder.path().join("fleet");
    let mut fleet = Fleet::prepare(&trials, &place, &broker.address, 900, 3, 2);
    fleet.double_ingest();
    fleet.launch();
    fleet.run(&broker, 0, &mut Random(1), &mut Report::default()).unwrap();
    assert_eq!(sha256(&place.join("out/1.sqlite")), trials.expected());
    // The worker that sealed it said so beside it, once, with the fleet's key.
    let custody = export::custody::check(&place.join("out/1.sqlite"), None).unwrap();
    let [entry] = &custody.chain.entries[..] else { panic!("one entry: {:?}", custody.chain.entries) };
    assert_eq!((custody.wrong, entry.action.as_str(), entry.reason.as_str()), (None, "seal", "sealed by a fleet"));
    let key = export::UnitKey::read(trials.key()).unwrap();
    assert_eq!(entry.signer, key.public_line());
}

#[test]
fn poison_on_every_topic_ends_in_the_bundle_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let trials = Trials::prepare(folder.path(), SIZE, 6);
    let broker = Broker::start(&folder.path().join("broker"));
    let place = folder.path().join("fleet");
    let mut fleet = Fleet::prepare(&trials, &place, &broker.address, 901, 1, 2);
    let kafka = fleet.settings().kafka.clone();
    let exhibit = Exhibit::id_of("TEST", "1");
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &kafka.brokers).create().unwrap();
    for topic in [&kafka.items.name, &kafka.records.name, &kafka.problems.name] {
        let record = BaseRecord::to(topic).key(exhibit.bytes()).payload(b"\x01poison".as_slice());
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    fleet.launch();
    fleet.run(&broker, 0, &mut Random(1), &mut Report::default()).unwrap();
    let open = |path: &std::path::Path| export::open_read_only(path).unwrap();
    let (poisoned, clean) = (open(&place.join("out/1.sqlite")), open(&folder.path().join("expected/1.sqlite")));
    let count = |bundle: &rusqlite::Connection, sql: &str| -> i64 { bundle.query_row(sql, [], |row| row.get(0)).unwrap() };
    // The digest is coreutils' of the same seven bytes: printf '\001poison' | sha256sum.
    let invalid = "SELECT count(*) FROM problem WHERE code = 'invalid_message' AND detail LIKE '%offset 0%sha256 POISON%'";
    let digest = poison_digest();
    assert_eq!(count(&poisoned, &invalid.replace("POISON", &digest)), 3);
    for table in ["item", "message", "thread", "contact", "contact_point", "sighting", "ledger", "attachment", "call"] {
        let rows = format!("SELECT count(*) FROM {table}");
        assert_eq!(count(&poisoned, &rows), count(&clean, &rows), "{table}");
    }
    let report = export::verify(&place.join("out/1.sqlite")).unwrap();
    assert!(report.holds(), "{report}");
}

fn poison_digest() -> String {
    let command = "printf '\\001poison' | sha256sum | cut -d' ' -f1";
    let output = std::process::Command::new("sh").arg("-c").arg(command).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
