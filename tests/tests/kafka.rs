//! The Kafka transport against a real broker: order, repetition, poison, crashes, rebalances, large messages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

use config::Kafka;
use model::record::Message;
use model::wire::Batch;
use model::{
    Body, Code, Digest, Entry, FileKind, Id, Item, ItemStatus, Locator, Problem, Provenance, Record, Stage, StagedItem, State,
};
use model::{Kind, WorkUnit};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use stream::kafka::{self, PART_BYTES, Publisher, Receiver};
use stream::{Delivery, Error, Event, Position, Publish, Receive, Topic};
use tests::broker::Broker;

const TICK: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(120);

/// A broker and the folder it works in, which goes last.
struct Node {
    broker: Broker,
    _folder: tempfile::TempDir,
}

fn node() -> Node {
    let folder = tempfile::tempdir().unwrap();
    Node { broker: Broker::start(folder.path()), _folder: folder }
}

/// The broker that the tests of this process share; it ends with the last of them.
fn shared() -> Arc<Node> {
    static SHARED: Mutex<Weak<Node>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let node = Arc::new(node());
        *shared = Arc::downgrade(&node);
        node
    })
}

/// Settings with topics and groups of their own, created.
fn settings(broker: &Broker, partitions: i32) -> Kafka {
    let settings = named(broker, partitions);
    assert_eq!(kafka::create_topics(&settings).unwrap().len(), 3);
    settings
}

/// Settings with topics and groups of their own; nobody has created them.
fn named(broker: &Broker, partitions: i32) -> Kafka {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut settings = Kafka { brokers: broker.address.clone(), group: name.clone(), ..Kafka::default() };
    for (topic, word) in
        [(&mut settings.items, "items"), (&mut settings.records, "records"), (&mut settings.problems, "problems")]
    {
        topic.name = format!("{name}-{word}");
        topic.partitions = partitions;
    }
    // A worker that is gone is noticed soon; a foreign broker may not allow that.
    if broker.ours() {
        settings.properties.insert("session.timeout.ms".into(), "2000".into());
    }
    settings
}

fn exhibit(number: u32) -> Id {
    Id::derive("test exhibit", &[&number.to_le_bytes()])
}

fn message(exhibit: Id, row_id: i64, text: &str) -> Entry {
    let locator = Locator::Row { table: "message".into(), row_id };
    let (item, definition) = (Id([3; 16]), Id([4; 16]));
    let provenance = Provenance { exhibit, item, locator, state: State::Live, definition, part: None };
    let message = Message {
        provenance,
        app: "Test".into(),
        thread_key: Some("thread".into()),
        sender: None,
        recipient: None,
        outgoing: Some(true),
        sent: None,
        received: None,
        edited: None,
        text: Some(text.to_owned()),
        subject: None,
        message_type: None,
        message_key: None,
        quoted_key: None,
        quoted_text: None,
        quoted_sender: None,
        forwarded: None,
        status: None,
        extra: None,
    };
    Entry::new(&Body::Record(Record::Message(Box::new(message))))
}

fn problem(exhibit: Id, detail: &str) -> Entry {
    let (stage, code) = (Stage::Normalize, Code::RowRejected);
    Entry::new(&Body::Problem(Problem { exhibit, item: None, stage, code, detail: detail.to_owned() }))
}

fn unit(exhibit: Id, number: u32) -> WorkUnit {
    let path = format!("databases/{number}.db");
    let item = Item {
        id: Id::derive("test item", &[exhibit.bytes(), &number.to_le_bytes()]),
        exhibit,
        parent: None,
        path: path.clone(),
        path_raw: None,
        file_kind: FileKind::File,
        link_target: None,
        size_bytes: 1,
        sha256: Some(Digest([7; 32])),
        sha1: None,
        md5: None,
        media_type: None,
        mode: None,
        owner: None,
        times: model::item::FileTimes::default(),
        deleted: false,
        status: ItemStatus::Plain,
        reason: None,
        definition: None,
        announced: 0,
    };
    WorkUnit { primary: StagedItem { item, content: Digest([7; 32]), name: path.into_bytes() }, companions: vec![], region: None }
}

/// Reads deliveries until `done` says so; begins every partition where `stored` says, as a sink does.
fn read<T>(
    receiver: &mut impl Receive<T>,
    stored: &BTreeMap<(Topic, i32), i64>,
    mut done: impl FnMut(Delivery<T>) -> bool,
) -> Vec<i32> {
    let begin = Instant::now();
    let mut ours = Vec::new();
    while begin.elapsed() < LIMIT {
        match receiver.next(TICK).unwrap() {
            Event::Delivery(delivery) => {
                if done(delivery) {
                    return ours;
                }
            }
            Event::Idle => {}
            Event::Assigned(partitions) => {
                for partition in &partitions {
                    let of = |topic| stored.get(&(topic, *partition)).map(|next| position(topic, *partition, *next));
                    let positions: Vec<_> = [Topic::Records, Topic::Problems].into_iter().filter_map(of).collect();
                    receiver.start_at(*partition, &positions).unwrap();
                }
                ours = partitions;
            }
            Event::Revoked(_) => ours.clear(),
            Event::Closed => panic!("Kafka has no end"),
        }
    }
    panic!("not everything came within {LIMIT:?}");
}

fn position(topic: Topic, partition: i32, offset: i64) -> Position {
    Position { topic, partition, offset }
}

/// Reads until nothing has come for a while: what is there beyond what is expected.
fn rest<T>(receiver: &mut impl Receive<T>) -> usize {
    let mut count = 0;
    let mut quiet = 0;
    while quiet < 8 {
        match receiver.next(TICK).unwrap() {
            Event::Delivery(_) => (quiet, count) = (0, count + 1),
            _ => quiet += 1,
        }
    }
    count
}

/// Sends bytes as they are.
fn send_raw(settings: &Kafka, topic: &str, partition: i32, key: Option<&[u8]>, payload: &[u8]) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &settings.brokers).create().unwrap();
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(payload);
    if let Some(key) = key {
        record = record.key(key);
    }
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
}

fn ids(batch: &Batch) -> impl Iterator<Item = Id> {
    batch.entries.iter().map(|entry| entry.id)
}

#[test]
fn everything_arrives_in_order_keyed_and_on_one_partition_of_both_topics() {
    let node = shared();
    let mut settings = settings(&node.broker, 5);
    settings.message_bytes = 4 << 10;
    let publisher = Publisher::connect(&settings).unwrap();
    let mut sent: BTreeMap<(Id, bool), Vec<Id>> = BTreeMap::new();
    for row_id in 0..1000 {
        for number in 0..4 {
            let exhibit = exhibit(number);
            let entries = vec![message(exhibit, row_id, "text"), problem(exhibit, &row_id.to_string())];
            for entry in &entries {
                sent.entry((exhibit, entry.kind == Kind::Problem)).or_default().push(entry.id);
            }
            publisher.batch(exhibit, Batch { entries }).unwrap();
        }
    }
    publisher.flush().unwrap();
    let total: usize = sent.values().map(Vec::len).sum();
    let mut came: BTreeMap<(Id, bool), Vec<Id>> = BTreeMap::new();
    let mut places: BTreeMap<Id, BTreeSet<i32>> = BTreeMap::new();
    let (mut count, mut messages) = (0, 0);
    read(&mut kafka::batches(&settings).unwrap(), &BTreeMap::new(), |delivery: Delivery<Batch>| {
        let (exhibit, batch) = (delivery.exhibit.unwrap(), delivery.payload.unwrap());
        assert!(batch.entries.iter().all(|entry| entry.exhibit == exhibit));
        let problems = delivery.position.topic == Topic::Problems;
        assert!(batch.entries.iter().all(|entry| (entry.kind == Kind::Problem) == problems));
        places.entry(exhibit).or_default().insert(delivery.position.partition);
        count += batch.entries.len();
        messages += 1;
        came.entry((exhibit, problems)).or_default().extend(ids(&batch));
        count == total
    });
    assert_eq!(came, sent);
    assert!(places.values().all(|partitions| partitions.len() == 1), "{places:?}");
    assert!(messages * 4 < total, "{messages} messages for {total} entries: they were not gathered");
}

#[test]
fn work_of_one_exhibit_is_spread_and_what_was_not_acknowledged_comes_again() {
    let node = shared();
    let settings = settings(&node.broker, 4);
    let publisher = Publisher::connect(&settings).unwrap();
    let exhibit = exhibit(1);
    let all: BTreeSet<Id> = (0..400)
        .map(|number| {
            let unit = unit(exhibit, number);
            publisher.unit(&unit).unwrap();
            unit.primary.item.id
        })
        .collect();
    publisher.flush().unwrap();
    let (mut acknowledged, mut partitions) = (BTreeSet::new(), BTreeSet::new());
    let mut positions: Vec<Position> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut first: Receiver<WorkUnit> = kafka::units(&settings).unwrap();
    read(&mut first, &BTreeMap::new(), |delivery| {
        assert_eq!(delivery.exhibit, Some(exhibit));
        partitions.insert(delivery.position.partition);
        let id = delivery.payload.unwrap().primary.item.id;
        seen.insert(id);
        // Partition 0 is dealt with in full, of the others nothing.
        if delivery.position.partition == 0 {
            acknowledged.insert(id);
            positions.push(delivery.position);
        }
        seen.len() == all.len()
    });
    assert_eq!((seen, partitions.len()), (all.clone(), 4));
    positions.iter().for_each(|position| first.acknowledge(*position).unwrap());
    drop(first);
    let mut again = BTreeSet::new();
    let wanted: BTreeSet<Id> = all.difference(&acknowledged).copied().collect();
    let mut second = kafka::units(&settings).unwrap();
    read(&mut second, &BTreeMap::new(), |delivery: Delivery<WorkUnit>| {
        again.insert(delivery.payload.unwrap().primary.item.id);
        again.len() == wanted.len()
    });
    assert_eq!(again, wanted);
    assert_eq!(rest(&mut second), 0);
    let behind: i64 = kafka::lag(&settings).unwrap().iter().map(|lag| lag.messages).sum();
    assert_eq!(behind, wanted.len() as i64, "lag counts what is not acknowledged");
}

#[test]
fn a_sink_goes_on_at_its_own_positions_whatever_the_group_says() {
    let node = shared();
    let mut settings = settings(&node.broker, 2);
    settings.message_bytes = 1;
    let publisher = Publisher::connect(&settings).unwrap();
    for row_id in 0..50 {
        let entries =
            vec![message(exhibit(1), row_id, "a"), message(exhibit(2), row_id, "b"), problem(exhibit(2), &row_id.to_string())];
        for entry in entries {
            publisher.batch(entry.exhibit, Batch { entries: vec![entry] }).unwrap();
        }
    }
    publisher.flush().unwrap();
    let mut stored: BTreeMap<(Topic, i32), i64> = BTreeMap::new();
    let mut all = Vec::new();
    let mut first: Receiver<Batch> = kafka::batches(&settings).unwrap();
    read(&mut first, &stored.clone(), |delivery| {
        // The group hears of everything, the sink has stored only what came first.
        first_half(&mut stored, delivery.position, all.len());
        all.push((delivery.position, ids(&delivery.payload.unwrap()).collect::<Vec<_>>()));
        all.len() == 150
    });
    all.iter().for_each(|(position, _)| first.acknowledge(*position).unwrap());
    drop(first);
    let mut wanted: Vec<_> = all
        .into_iter()
        .filter(|(position, _)| position.offset >= stored.get(&(position.topic, position.partition)).copied().unwrap_or(0))
        .collect();
    let mut again = Vec::new();
    let mut second: Receiver<Batch> = kafka::batches(&settings).unwrap();
    read(&mut second, &stored, |delivery| {
        again.push((delivery.position, ids(&delivery.payload.unwrap()).collect::<Vec<_>>()));
        again.len() == wanted.len()
    });
    wanted.sort();
    again.sort();
    assert_eq!(again, wanted);
    assert_eq!(rest(&mut second), 0);
}

fn first_half(stored: &mut BTreeMap<(Topic, i32), i64>, position: Position, count: usize) {
    if count < 75 {
        stored.insert((position.topic, position.partition), position.offset + 1);
    }
}

#[test]
fn poison_on_any_topic_costs_itself_only() {
    let node = shared();
    let settings = settings(&node.broker, 1);
    let publisher = Publisher::connect(&settings).unwrap();
    let exhibit = exhibit(1);
    let poison: [&[u8]; 4] = [b"", b"\x01\xff\xff\xff\xff\x0f", b"\x09later version", &[0xff; 300]];
    let good = |row_id: i64| {
        publisher.unit(&unit(exhibit, row_id as u32)).unwrap();
        let entries = vec![message(exhibit, row_id, "good"), problem(exhibit, &row_id.to_string())];
        publisher.batch(exhibit, Batch { entries }).unwrap();
        publisher.flush().unwrap();
    };
    good(0);
    for (row_id, bytes) in (1..).zip(poison) {
        for topic in [&settings.items, &settings.records, &settings.problems] {
            send_raw(&settings, &topic.name, 0, Some(exhibit.bytes()), bytes);
            send_raw(&settings, &topic.name, 0, Some(b"short"), bytes);
        }
        good(row_id);
    }
    let mut invalids = Vec::new();
    let mut check = |position, key, invalid: stream::Invalid| {
        let bytes = poison.iter().find(|bytes| Digest::of(bytes) == invalid.sha256).unwrap();
        assert_eq!(invalid.size_bytes, bytes.len() as u64);
        assert!(!invalid.reason.is_empty());
        invalids.push((key, position, invalid));
    };
    let mut units = BTreeSet::new();
    let mut count = 0;
    read(&mut kafka::units(&settings).unwrap(), &BTreeMap::new(), |delivery: Delivery<WorkUnit>| {
        match delivery.payload {
            Ok(unit) => drop(units.insert(unit.primary.item.path)),
            Err(invalid) => check(delivery.position, delivery.exhibit, invalid),
        }
        count += 1;
        count == 5 + 8
    });
    let mut entries = 0;
    count = 0;
    read(&mut kafka::batches(&settings).unwrap(), &BTreeMap::new(), |delivery: Delivery<Batch>| {
        match delivery.payload {
            Ok(batch) => entries += batch.entries.len(),
            Err(invalid) => check(delivery.position, delivery.exhibit, invalid),
        }
        count += 1;
        count == 10 + 16
    });
    assert_eq!((units.len(), entries, invalids.len()), (5, 10, 24));
    assert_eq!(invalids.iter().filter(|(key, ..)| *key == Some(exhibit)).count(), 12, "a key of 16 bytes names the exhibit");
    // What a worker does with them: they end as problems of their exhibit.
    for (key, position, invalid) in &invalids {
        publisher.invalid(*key, *position, invalid).unwrap();
    }
    publisher.flush().unwrap();
    let mut told = 0;
    read(&mut kafka::batches(&settings).unwrap(), &BTreeMap::new(), |delivery: Delivery<Batch>| {
        let entries = delivery.payload.map(|batch| batch.entries).unwrap_or_default();
        let bodies = entries.iter().map(|entry| entry.open().unwrap());
        told += bodies.filter(|body| matches!(body, Body::Problem(problem) if problem.code == Code::InvalidMessage)).count();
        told == 24
    });
}

#[test]
fn a_message_larger_than_any_topic_takes_arrives_whole() {
    let node = shared();
    let settings = settings(&node.broker, 1);
    let big: Vec<String> =
        ["x", "я"].map(|word| (0..PART_BYTES * 2).map(|at| if at % 977 == 0 { "\n" } else { word }).collect()).to_vec();
    // Two writers whose parts may mix in the one partition, and a third with small messages in between.
    std::thread::scope(|scope| {
        for (number, text) in (1..).zip(&big) {
            let settings = &settings;
            scope.spawn(move || {
                let publisher = Publisher::connect(settings).unwrap();
                publisher.batch(exhibit(number), Batch { entries: vec![message(exhibit(number), 1, text)] }).unwrap();
                publisher.flush().unwrap();
            });
        }
        scope.spawn(|| {
            let publisher = Publisher::connect(&settings).unwrap();
            for row_id in 0..200 {
                publisher.batch(exhibit(3), Batch { entries: vec![message(exhibit(3), row_id, "small")] }).unwrap();
                publisher.flush().unwrap();
            }
        });
    });
    let mut count = BTreeMap::<Id, usize>::new();
    read(&mut kafka::batches(&settings).unwrap(), &BTreeMap::new(), |delivery: Delivery<Batch>| {
        for entry in delivery.payload.unwrap().entries {
            if let Some(text) = [1, 2].iter().position(|number| exhibit(*number) == entry.exhibit) {
                assert!(entry == message(entry.exhibit, 1, &big[text]), "a large message came changed");
            }
            *count.entry(entry.exhibit).or_default() += 1;
        }
        count.values().sum::<usize>() == 202
    });
    assert_eq!(count.len(), 3);
}

#[test]
fn a_half_sent_large_message_holds_positions_back_until_it_is_sent_again() {
    let node = shared();
    let settings = settings(&node.broker, 1);
    let text: String = "0123456789abcdef".repeat(PART_BYTES / 8);
    let entry = message(exhibit(1), 1, &text);
    let publisher = Publisher::connect(&settings).unwrap();
    publisher.batch(exhibit(1), Batch { entries: vec![message(exhibit(1), 0, "before")] }).unwrap();
    publisher.flush().unwrap();
    // A writer that died after the first part.
    let whole = model::wire::encode_batch(&Batch { entries: vec![entry.clone()] });
    let header = model::wire::to_bytes(&(Digest::of(&whole), 0u32, whole.len().div_ceil(PART_BYTES) as u32));
    let mut config = ClientConfig::new();
    let producer: BaseProducer =
        config.set("bootstrap.servers", &settings.brokers).set("message.max.bytes", "16777216").create().unwrap();
    let headers = rdkafka::message::OwnedHeaders::new();
    let headers = headers.insert(rdkafka::message::Header { key: "haul-part", value: Some(&header) });
    let key = exhibit(1);
    let record =
        BaseRecord::to(&settings.records.name).partition(0).key(key.bytes()).payload(&whole[..PART_BYTES]).headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    publisher.batch(exhibit(1), Batch { entries: vec![message(exhibit(1), 2, "after")] }).unwrap();
    publisher.flush().unwrap();
    let mut stored = BTreeMap::new();
    let mut count = 0;
    read(&mut kafka::batches(&settings).unwrap(), &BTreeMap::new(), |delivery: Delivery<Batch>| {
        stored.insert((Topic::Records, 0), delivery.position.offset + 1);
        count += 1;
        count == 2
    });
    assert_eq!(stored[&(Topic::Records, 0)], 1, "the position stays before the unfinished message");
    publisher.batch(exhibit(1), Batch { entries: vec![entry.clone()] }).unwrap();
    publisher.flush().unwrap();
    let mut came = Vec::new();
    let mut last = None;
    read(&mut kafka::batches(&settings).unwrap(), &stored, |delivery: Delivery<Batch>| {
        last = Some(delivery.position.offset);
        came.extend(delivery.payload.unwrap().entries);
        came.len() == 2
    });
    assert!(came[1] == entry && came[0].id == message(exhibit(1), 2, "after").id);
    assert!(last > Some(2), "finished, positions go on");
}

#[test]
fn two_members_share_partitions_and_a_leaving_one_gives_them_back() {
    let node = shared();
    let settings = settings(&node.broker, 6);
    let publisher = Publisher::connect(&settings).unwrap();
    let exhibits: Vec<Id> = (0..40).map(exhibit).collect();
    let send = |row_id: i64| {
        for exhibit in &exhibits {
            let entries = vec![message(*exhibit, row_id, "x"), problem(*exhibit, &row_id.to_string())];
            publisher.batch(*exhibit, Batch { entries }).unwrap();
        }
        publisher.flush().unwrap();
    };
    /// A member with a sink of its own; what it holds is given up before its partitions go.
    struct Member {
        receiver: Receiver<Batch>,
        ours: BTreeSet<i32>,
        stored: Arc<Mutex<BTreeMap<(Topic, i32), i64>>>,
    }
    impl Member {
        fn turn(&mut self, came: &mut BTreeSet<Id>) {
            match self.receiver.next(TICK).unwrap() {
                Event::Assigned(partitions) => {
                    assert!(self.ours.is_empty());
                    self.ours = partitions.iter().copied().collect();
                    for partition in partitions {
                        let stored = self.stored.lock().unwrap().clone();
                        let of = |topic| stored.get(&(topic, partition)).map(|next| position(topic, partition, *next));
                        let positions: Vec<_> = [Topic::Records, Topic::Problems].into_iter().filter_map(of).collect();
                        self.receiver.start_at(partition, &positions).unwrap();
                    }
                }
                Event::Revoked(partitions) => {
                    assert_eq!(self.ours, partitions.into_iter().collect());
                    self.ours.clear();
                }
                Event::Delivery(delivery) => {
                    let Position { topic, partition, offset } = delivery.position;
                    assert!(self.ours.contains(&partition), "delivered although not ours");
                    let before = self.stored.lock().unwrap().insert((topic, partition), offset + 1);
                    assert_eq!(before.unwrap_or(0), offset, "nothing twice, nothing left out");
                    came.extend(ids(&delivery.payload.unwrap()));
                    self.receiver.acknowledge(delivery.position).unwrap();
                }
                Event::Idle => {}
                Event::Closed => panic!("Kafka has no end"),
            }
        }
    }
    let stored = Arc::new(Mutex::new(BTreeMap::new()));
    let member = || Member { receiver: kafka::batches(&settings).unwrap(), ours: BTreeSet::new(), stored: stored.clone() };
    let mut came = BTreeSet::new();
    let begin = Instant::now();
    send(0);
    let mut one = member();
    while came.len() < 80 {
        one.turn(&mut came);
        assert!(begin.elapsed() < LIMIT);
    }
    assert_eq!(one.ours.len(), 6);
    let mut two = member();
    send(1);
    while came.len() < 160 || two.ours.is_empty() {
        one.turn(&mut came);
        two.turn(&mut came);
        assert!(begin.elapsed() < LIMIT);
    }
    assert_eq!((one.ours.len(), two.ours.len()), (3, 3));
    assert!(one.ours.is_disjoint(&two.ours));
    drop(one);
    send(2);
    while came.len() < 240 || two.ours.len() < 6 {
        two.turn(&mut came);
        assert!(begin.elapsed() < LIMIT);
    }
    assert_eq!(two.ours.len(), 6);
}

#[test]
fn a_killed_broker_loses_nothing_that_flush_confirmed() {
    let node = node();
    if !node.broker.ours() {
        return;
    }
    let settings = settings(&node.broker, 3);
    let stop = AtomicBool::new(false);
    let (records, units) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    // A writer of records and units that ends with a last record in the partition of all others.
    let write = &|worker| {
        let publisher = Publisher::connect(&settings).unwrap();
        let mut row_id = 0;
        while !stop.load(Ordering::Relaxed) {
            let (mut sent_records, mut sent_units) = (Vec::new(), Vec::new());
            for _ in 0..50 {
                row_id += 1;
                let (entry, unit) = (message(exhibit(worker), row_id, "mid-stream"), unit(exhibit(worker), row_id as u32));
                sent_records.push(entry.id);
                sent_units.push(unit.primary.item.id);
                publisher.batch(exhibit(worker), Batch { entries: vec![entry] }).unwrap();
                publisher.unit(&unit).unwrap();
            }
            publisher.flush().unwrap();
            records.lock().unwrap().extend(sent_records);
            units.lock().unwrap().extend(sent_units);
        }
        publisher.batch(exhibit(worker), Batch { entries: vec![message(exhibit(worker), -1, "last")] }).unwrap();
        publisher.flush().unwrap();
    };
    let mut came = BTreeSet::new();
    std::thread::scope(|scope| {
        let writers = [0, 1].map(|worker| scope.spawn(move || write(worker)));
        let reader = scope.spawn(|| {
            let last = [0, 1].map(|worker| message(exhibit(worker), -1, "last").id);
            let mut came = BTreeSet::new();
            read(&mut kafka::batches(&settings).unwrap(), &BTreeMap::new(), |delivery: Delivery<Batch>| {
                came.extend(ids(&delivery.payload.unwrap()));
                last.iter().all(|id| came.contains(id))
            });
            came
        });
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(1500));
            node.broker.kill_and_restart();
        }
        std::thread::sleep(Duration::from_millis(1500));
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        came = reader.join().unwrap();
    });
    let (records, mut units) = (records.into_inner().unwrap(), units.into_inner().unwrap());
    assert!(records.len() > 200, "only {} confirmed: that proves little", records.len());
    assert_eq!(records.difference(&came).count(), 0, "confirmed and lost");
    read(&mut kafka::units(&settings).unwrap(), &BTreeMap::new(), |delivery: Delivery<WorkUnit>| {
        units.remove(&delivery.payload.unwrap().primary.item.id);
        units.is_empty()
    });
}

#[test]
fn who_waits_for_a_broker_that_is_gone_can_be_stopped() {
    let node = node();
    if !node.broker.ours() {
        return;
    }
    let settings = settings(&node.broker, 1);
    let publisher = Publisher::connect(&settings).unwrap();
    publisher.batch(exhibit(1), Batch { entries: vec![message(exhibit(1), 1, "safe")] }).unwrap();
    publisher.flush().unwrap();
    let mut receiver: Receiver<Batch> = kafka::batches(&settings).unwrap();
    let mut last = None;
    read(&mut receiver, &BTreeMap::new(), |delivery| {
        last = Some(delivery.position);
        true
    });
    drop(node);
    publisher.batch(exhibit(1), Batch { entries: vec![message(exhibit(1), 2, "never sent")] }).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| publisher.flush());
        std::thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "flush waits for the broker");
        publisher.close();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
    });
    assert!(matches!(receiver.next(TICK).unwrap(), Event::Idle), "a reader waits too");
    receiver.acknowledge(last.unwrap()).unwrap();
    let begin = Instant::now();
    drop((receiver, publisher));
    assert!(begin.elapsed() < Duration::from_secs(20), "closing took {:?}", begin.elapsed());
}

#[test]
fn topics_are_made_once_and_missing_or_different_ones_are_told() {
    let node = shared();
    let settings = settings(&node.broker, 2);
    assert!(kafka::create_topics(&settings).unwrap().is_empty());
    let mut other = settings.clone();
    other.records.partitions = 3;
    assert!(kafka::create_topics(&other).unwrap_err().to_string().contains("partitions"));
    other.records.name = "test-nowhere".into();
    assert!(Publisher::connect(&other).err().unwrap().to_string().contains("haul topics"));
    assert!(kafka::batches(&other).err().unwrap().to_string().contains("test-nowhere"));
    let lag = kafka::lag(&settings).unwrap();
    assert_eq!((lag.len(), lag.iter().map(|lag| lag.messages).sum::<i64>()), (6, 0));
}

/// See `max.in.flight.requests.per.connection` in `stream/src/kafka/publish.rs`.
#[test]
fn what_is_sent_to_topics_as_they_are_made_is_not_lost() {
    let node = shared();
    for round in 0..5 {
        let mut wanted = named(&node.broker, 7);
        wanted.linger_ms = 1;
        std::thread::scope(|scope| {
            scope.spawn(|| kafka::create_topics(&wanted).unwrap());
            let publisher = Publisher::connect(&wanted).unwrap();
            for number in 0..200 {
                publisher.unit(&unit(exhibit(1), number)).unwrap();
            }
            publisher.flush().unwrap();
        });
        let behind = kafka::lag(&wanted).unwrap();
        let items = behind.iter().filter(|lag| lag.topic == wanted.items.name).map(|lag| lag.messages).sum::<i64>();
        assert_eq!(items, 200, "round {round}: {behind:?}");
    }
}

#[test]
fn a_full_queue_blocks_its_writer_and_loses_nothing() {
    let node = shared();
    let mut settings = settings(&node.broker, 1);
    settings.properties.insert("queue.buffering.max.messages".into(), "5".into());
    let publisher = Publisher::connect(&settings).unwrap();
    for number in 0..300 {
        publisher.unit(&unit(exhibit(1), number)).unwrap();
    }
    publisher.flush().unwrap();
    let mut units = BTreeSet::new();
    read(&mut kafka::units(&settings).unwrap(), &BTreeMap::new(), |delivery: Delivery<WorkUnit>| {
        units.insert(delivery.payload.unwrap().primary.item.id);
        units.len() == 300
    });
}

/// The script itself: it says what is missing instead of failing somewhere.
#[test]
fn the_broker_script_refuses_what_it_does_not_know() {
    let script: PathBuf = tests::root().join("scripts/kafka-test-broker");
    let output = std::process::Command::new(script).arg("restart").arg("/nonexistent").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// `docker compose config` where there is one; else the file is at least YAML whose references all lead somewhere.
#[test]
fn the_compose_file_is_consistent() {
    let compose = tests::root().join("docker-compose.yml");
    let docker = std::process::Command::new("docker").args(["compose", "version"]).output();
    let output = if docker.is_ok_and(|output| output.status.success()) {
        std::process::Command::new("docker").args(["compose", "-f"]).arg(&compose).args(["config", "--quiet"]).output()
    } else {
        std::process::Command::new("python3").arg("-c").arg(CHECK_COMPOSE).arg(&compose).output()
    };
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const CHECK_COMPOSE: &str = r#"
import sys, yaml
compose = yaml.safe_load(open(sys.argv[1]))
services = compose["services"]
for worker in ["ingest", "normalize", "export"]:
    assert f"haul-{worker} " in " ".join(services[worker]["command"]) + " ", worker
assert services["kafka"]["image"].startswith("apache/kafka:4.1")
for name, service in services.items():
    assert set(service) <= {
        "build", "cap_drop", "command", "configs", "depends_on", "environment", "healthcheck", "image", "networks", "read_only",
        "restart", "secrets", "security_opt", "stop_grace_period", "tmpfs", "user", "volumes"}, name
    assert set(service.get("depends_on", {})) <= set(services), name
    assert set(service["networks"]) <= set(compose["networks"]), name
    assert {config["source"] for config in service.get("configs", [])} <= set(compose["configs"]), name
    assert set(service.get("secrets", [])) <= set(compose["secrets"]), name
    for volume in service.get("volumes", []):
        source = volume.rsplit(":/", 1)[0] if ":/" in volume else None
        assert source is None or source.startswith("${") or source in compose["volumes"], volume
"#;
