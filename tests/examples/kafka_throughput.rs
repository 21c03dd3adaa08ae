//! How many records a second go through a broker: the transport alone, and from normalize into the committed store.
//!
//! `cargo run --release -p tests --example kafka_throughput -- [RECORDS]`, all on this machine with the broker beside it.
//! Transport: records of about 300 bytes, encoded as entries in batches as normalize makes them, read and decoded as export does.
//! Whole: databases and exports with so many messages are parsed, searched, published, read, checked and committed by the workers' own
//! programs; the clock runs from their start to the last commit, units already waiting. Everything that is committed counts as a record.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot go on stops; it prints its result")]

use config::Kafka;
use model::record::Message;
use model::wire::Batch;
use model::{Body, Entry, Id, Locator, Provenance, Record, State};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use stream::kafka::{self, Publisher};
use stream::{Event, Publish, Receive};
use tests::broker::Broker;
use tests::command::{binary, expect_code};
use tests::evidence::Size;

/// Entries that a parser hands over at a time.
const BATCH: u64 = 1000;

fn message(exhibit: Id, row_id: u64) -> Body {
    let locator = Locator::Row { table: "message".into(), row_id: row_id as i64 };
    let provenance = Provenance { exhibit, item: Id([3; 16]), locator, state: State::Live, definition: Id([4; 16]), part: None };
    // Text that compresses as chats do: words, and a number that differs.
    let text =
        format!("send it to the same wallet as yesterday, number {row_id}, and tell {} when it is there", row_id * 7919 % 9973);
    let sender = format!("{}@s.whatsapp.net", 855_000_000_000 + row_id * 104_729 % 1_000_000);
    Body::Record(Record::Message(Box::new(Message {
        provenance,
        app: "WhatsApp".into(),
        thread_key: Some(format!("120363{}@g.us", row_id % 97)),
        sender: Some(sender),
        recipient: None,
        outgoing: Some(row_id.is_multiple_of(3)),
        sent: None,
        received: None,
        edited: None,
        text: Some(text),
        subject: None,
        message_type: Some("text".into()),
        message_key: Some(format!("3EB0{:016X}", row_id.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        quoted_key: None,
        quoted_text: None,
        quoted_sender: None,
        forwarded: None,
        status: None,
        extra: None,
    })))
}

fn main() {
    let records: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&folder.path().join("broker"));
    transport(records, &broker);
    whole(records, &broker, folder.path());
}

/// Parses evidence that ingest has read, and commits what comes of it.
fn whole(records: u64, broker: &Broker, folder: &Path) {
    let messages = u32::try_from(records / 4).unwrap();
    let evidence = folder.join("evidence");
    tests::evidence::make(&evidence, Size { sms: messages, telegram: messages, pictures: 0 }, 1);
    let mut settings = config::Settings { workers: 2, ..config::Settings::default() };
    settings.stage.url = folder.join("stage").to_str().unwrap().to_owned();
    settings.kafka.brokers = broker.address.clone();
    settings.kafka.group = format!("whole-{}", std::process::id());
    for topic in [&mut settings.kafka.items, &mut settings.kafka.records, &mut settings.kafka.problems] {
        topic.name = format!("{}-whole-{}", topic.name, std::process::id());
        topic.partitions = 2;
    }
    let config = folder.join("pipeline.toml");
    std::fs::write(&config, toml::to_string(&settings).unwrap()).unwrap();
    let worker = |name: &str| {
        let mut command = Command::new(binary(name));
        command.arg(if name == "haul" { "topics" } else { "--config" });
        if name == "haul" {
            command.arg("--config").arg(&config)
        } else {
            command.arg(&config)
        };
        command.env_remove("HAUL_KEY").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    expect_code(&mut worker("haul"), 0);
    expect_code(worker("haul-ingest").args(["--case", "TEST", "--exhibit", "1"]).arg(&evidence), 0);
    let out = folder.join("out");
    let begin = Instant::now();
    let mut normalize = worker("haul-normalize").arg("--scratch").arg(folder.join("scratch")).spawn().unwrap();
    let mut export = worker("haul-export").args(["--unsigned", "--exit-when-sealed", "1", "--out"]).arg(&out).spawn().unwrap();
    let (mut committed, mut came) = (0, Duration::ZERO);
    while export.try_wait().unwrap().is_none() {
        let now = entries(&out.join(".haul"));
        if now > committed {
            (committed, came) = (now, begin.elapsed());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let sealed = begin.elapsed();
    normalize.kill().unwrap();
    normalize.wait().unwrap();
    println!("{committed} records from normalize into the committed store in {came:.2?}, sealed after {sealed:.2?}");
    println!("from normalize into the store: {:.0} records/s (target 60000)", committed as f64 / came.as_secs_f64());
}

/// What the stores of a fleet hold.
fn entries(folder: &Path) -> i64 {
    let stores = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let stores = stores.filter(|path| path.extension().is_some_and(|extension| extension == "sqlite"));
    // A store that is just being made has nothing yet.
    stores.flat_map(|path| export::progress(&path).unwrap_or_default()).map(|state| state.entries).sum()
}

fn transport(records: u64, broker: &Broker) {
    let mut settings =
        Kafka { brokers: broker.address.clone(), group: format!("speed-{}", std::process::id()), ..Kafka::default() };
    for topic in [&mut settings.items, &mut settings.records, &mut settings.problems] {
        topic.name = format!("{}-{}", topic.name, std::process::id());
    }
    kafka::create_topics(&settings).unwrap();
    let mut receiver = kafka::batches(&settings).unwrap();
    let exhibits: Vec<Id> = (0..4u8).map(|number| Id::derive("speed", &[&[number]])).collect();
    let size = Entry::new(&message(exhibits[0], 1)).body.len() + 50;
    let begin = Instant::now();
    let sent = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let publisher = Publisher::connect(&settings).unwrap();
            for first in (0..records).step_by(BATCH as usize) {
                let exhibit = exhibits[(first / BATCH) as usize % exhibits.len()];
                let numbers = first..(first + BATCH).min(records);
                let entries = numbers.map(|row_id| Entry::new(&message(exhibit, row_id))).collect();
                publisher.batch(exhibit, Batch { entries }).unwrap();
            }
            publisher.flush().unwrap();
            begin.elapsed()
        });
        let mut count = 0;
        while count < records {
            match receiver.next(Duration::from_secs(1)).unwrap() {
                Event::Delivery(delivery) => {
                    count += delivery.payload.unwrap().entries.len() as u64;
                    receiver.acknowledge(delivery.position).unwrap();
                }
                Event::Assigned(partitions) => {
                    partitions.into_iter().for_each(|partition| receiver.start_at(partition, &[]).unwrap());
                }
                _ => {}
            }
        }
        writer.join().unwrap()
    });
    let came = begin.elapsed();
    let rate = |time: Duration| records as f64 / time.as_secs_f64();
    println!("{records} records of about {size} bytes");
    println!("confirmed by the broker: {:.0} records/s", rate(sent));
    println!("decoded by the reader:   {:.0} records/s", rate(came));
}
