//! How many records a second go from a writer through a broker to a reader: the transport alone, without parser and sink.
//!
//! `cargo run --release -p tests --example kafka_throughput -- [RECORDS]`: records of about 300 bytes, encoded as entries in
//! batches as normalize makes them, read and decoded as export does, all on this machine with the broker beside it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot go on stops; it prints its result")]

use config::Kafka;
use model::record::Message;
use model::wire::Batch;
use model::{Body, Entry, Id, Locator, Provenance, Record, State};
use std::time::{Duration, Instant};
use stream::kafka::{self, Publisher};
use stream::{Event, Publish, Receive};

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
    let broker = tests::broker::Broker::start(folder.path());
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
