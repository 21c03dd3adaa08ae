//! The writing end over Kafka.

use super::client::{SPREAD, client_config, log, log_error, partition_counts, topic_settings};
use super::part::{self, Part, cut};
use crate::embedded::invalid_problem;
use crate::{Error, Invalid, Position, Publish, Topic};
use config::Kafka;
use model::wire::{self, Batch, Body, Entry, Kind};
use model::{Id, Stage, WorkUnit};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of an encoded entry beside its body: kind, two ids, optional item, lengths.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// Bytes of entries that may be gathered over all exhibits before everything is sent.
const GATHERED_CAP_BYTES: usize = 16 << 20;

/// How often a blocked writer looks whether it was told to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Writes work units and batches. Shared by threads; dropping it drops what was not flushed.
pub struct Publisher {
    producer: ThreadedProducer<Reports>,
    names: HashMap<Topic, String>,
    partitions: HashMap<Topic, i32>,
    message_bytes: usize,
    gathered: Mutex<Gathered>,
}

impl Publisher {
    /// Connects: waits up to a minute for a broker, and checks that the topics are there.
    pub fn connect(settings: &Kafka) -> Result<Publisher, Error> {
        let linger = settings.linger_ms.to_string();
        let config = client_config(
            settings,
            &[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                // A broker that does not hold a new partition yet refuses a request and, a moment later, may take the next as the
                // first it sees of this producer; librdkafka then counts both as confirmed. So none is sent before the last is answered.
                ("max.in.flight.requests.per.connection", "1"),
                // Never: a broker that is away is waited for, and `close` is the way out.
                ("message.timeout.ms", "0"),
                ("compression.type", "zstd"),
                ("compression.level", "1"),
                ("linger.ms", &linger),
                ("batch.size", "1048576"),
                ("queue.buffering.max.messages", "100000"),
                ("queue.buffering.max.kbytes", "32768"),
            ],
        )?;
        let producer: ThreadedProducer<Reports> = config.create_with_context(Reports::default())?;
        let topics = [Topic::Items, Topic::Records, Topic::Problems];
        let counts = partition_counts(producer.client(), settings, &topics, SPREAD)?;
        let partitions: HashMap<_, _> = topics.into_iter().zip(counts).collect();
        if partitions[&Topic::Records] != partitions[&Topic::Problems] {
            let (records, problems) = (&settings.records.name, &settings.problems.name);
            return Err(Error::Settings(format!("topics {records} and {problems} must have the same number of partitions")));
        }
        let names = topics.into_iter().map(|topic| (topic, topic_settings(settings, topic).name.clone())).collect();
        Ok(Publisher { producer, names, partitions, message_bytes: settings.message_bytes, gathered: Mutex::default() })
    }

    /// Makes every call that waits, now or later, return [`Error::Closed`]: the way to stop while no broker answers.
    pub fn close(&self) {
        let reports = self.producer.context();
        reports.lock().closed = true;
        reports.changed.notify_all();
    }

    fn send(&self, topic: Topic, spread: Id, exhibit: Id, payload: &[u8]) -> Result<(), Error> {
        let partition = partition_of(spread, self.partitions[&topic]);
        for (part, bytes) in cut(payload) {
            self.send_part(&self.names[&topic], partition, exhibit, bytes, part)?;
        }
        Ok(())
    }

    /// Hands one message to librdkafka; waits while its queue is full.
    fn send_part(&self, topic: &str, partition: i32, exhibit: Id, bytes: &[u8], part: Option<Part>) -> Result<(), Error> {
        let reports = self.producer.context();
        let number = reports.begin()?;
        let key = exhibit.bytes();
        let mut record = BaseRecord::with_opaque_to(topic, number).partition(partition).key(key).payload(bytes);
        if let Some(part) = part {
            let value = wire::to_bytes(&part);
            record = record.headers(OwnedHeaders::new().insert(Header { key: part::HEADER, value: Some(&value) }));
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
                Err((error, _)) => {
                    reports.end(number, None);
                    return Err(error.into());
                }
            }
            if let Err(error) = reports.wait_for_room() {
                reports.end(number, None);
                return Err(error);
            }
        }
    }

    /// Takes messages out of what is gathered. Each is counted as pending before the lock is let go: entries of one thread may
    /// fill a message that another thread takes, and a flush of the first must wait for it.
    fn take(&self, take: impl FnOnce(&mut Gathered) -> Vec<Message>) -> Result<Vec<(usize, Message)>, Error> {
        let mut gathered = lock(&self.gathered);
        let reports = self.producer.context();
        take(&mut gathered).into_iter().map(|message| Ok((reports.begin()?, message))).collect()
    }

    /// Sends what was taken; what cannot be sent fails every later flush.
    fn send_taken(&self, taken: Vec<(usize, Message)>) -> Result<(), Error> {
        for (number, ((exhibit, topic), entries)) in taken {
            let sent = self.send(topic, exhibit, exhibit, &wire::encode_batch(&Batch { entries }));
            self.producer.context().end(number, sent.as_ref().err().map(ToString::to_string));
            sent?;
        }
        Ok(())
    }
}

impl Publish for Publisher {
    fn unit(&self, unit: &WorkUnit) -> Result<(), Error> {
        let item = &unit.primary.item;
        self.send(Topic::Items, item.id, item.exhibit, &wire::encode_unit(unit))
    }

    fn batch(&self, exhibit: Id, batch: Batch) -> Result<(), Error> {
        self.send_taken(self.take(|gathered| gathered.add(exhibit, batch, self.message_bytes))?)
    }

    fn invalid(&self, exhibit: Option<Id>, position: Position, invalid: &Invalid) -> Result<(), Error> {
        let exhibit = exhibit.unwrap_or_default();
        let stage = if position.topic == Topic::Items { Stage::Normalize } else { Stage::Export };
        let problem = invalid_problem(exhibit, stage, position, invalid);
        self.batch(exhibit, Batch { entries: vec![Entry::new(&Body::Problem(problem))] })
    }

    fn flush(&self) -> Result<(), Error> {
        self.send_taken(self.take(Gathered::take_all)?)?;
        self.producer.context().wait_for_all()
    }
}

/// The partition of an exhibit or item. Ids are uniform (SHA-256), so their first bytes are hash enough, and they are the same
/// for every writer and in every topic with that many partitions.
fn partition_of(id: Id, partitions: i32) -> i32 {
    let [a, b, c, d, ..] = id.0;
    let spread = u32::from_be_bytes([a, b, c, d]) % u32::try_from(partitions).unwrap_or(1).max(1);
    i32::try_from(spread).unwrap_or(0)
}

/// A lock that a panicking thread left is still good: every change below is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Entries that wait for company, by exhibit and topic.
#[derive(Default)]
struct Gathered {
    waiting: HashMap<(Id, Topic), (usize, Vec<Entry>)>,
    bytes: usize,
}

/// Entries of one exhibit that go to one topic as one message.
type Message = ((Id, Topic), Vec<Entry>);

impl Gathered {
    /// Adds entries; what fills a message of `message_bytes` comes back. No entry is split: a larger one goes alone.
    fn add(&mut self, exhibit: Id, batch: Batch, message_bytes: usize) -> Vec<Message> {
        let mut full = Vec::new();
        for entry in batch.entries {
            let topic = if entry.kind == Kind::Problem { Topic::Problems } else { Topic::Records };
            let key = (exhibit, topic);
            let size = entry.body.len() + ENTRY_OVERHEAD_BYTES;
            let (bytes, entries) = self.waiting.entry(key).or_default();
            if *bytes > 0 && *bytes + size > message_bytes {
                self.bytes -= std::mem::take(bytes);
                full.push((key, std::mem::take(entries)));
            }
            *bytes += size;
            self.bytes += size;
            entries.push(entry);
        }
        if self.bytes > GATHERED_CAP_BYTES {
            full.extend(self.take_all());
        }
        full
    }

    fn take_all(&mut self) -> Vec<Message> {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting.filter(|(_, (_, entries))| !entries.is_empty()).map(|(key, (_, entries))| (key, entries)).collect()
    }
}

/// What became of the messages.
#[derive(Default)]
struct Reports {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: usize,
    /// Messages without a report.
    pending: BTreeSet<usize>,
    /// The first delivery that failed; it stays, since what was lost can only be made again by a restart.
    failure: Option<String>,
    closed: bool,
}

impl State {
    fn check(&self) -> Result<(), Error> {
        match &self.failure {
            _ if self.closed => Err(Error::Closed),
            Some(reason) => Err(Error::Kafka(reason.clone())),
            None => Ok(()),
        }
    }
}

impl Reports {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Numbers a message that is about to be sent.
    fn begin(&self) -> Result<usize, Error> {
        let mut state = self.lock();
        state.check()?;
        let number = state.next;
        state.next += 1;
        state.pending.insert(number);
        Ok(number)
    }

    /// Notes the report of a message.
    fn end(&self, number: usize, failure: Option<String>) {
        let mut state = self.lock();
        state.pending.remove(&number);
        if state.failure.is_none() {
            state.failure = failure;
        }
        self.changed.notify_all();
    }

    /// Waits until a report has come, or a moment.
    fn wait_for_room(&self) -> Result<(), Error> {
        self.wait(self.lock()).check()
    }

    /// Waits until everything that was begun before is reported. Others may go on sending meanwhile.
    fn wait_for_all(&self) -> Result<(), Error> {
        let mut state = self.lock();
        let mark = state.next;
        loop {
            state.check()?;
            if state.pending.first().is_none_or(|oldest| *oldest >= mark) {
                return Ok(());
            }
            state = self.wait(state);
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        self.end(number, result.as_ref().err().map(|(error, _)| format!("delivery failed: {error}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Code, Problem};
    use std::sync::Arc;

    fn entry(kind: Kind, size: usize) -> Entry {
        Entry { kind, id: Id([1; 16]), exhibit: Id([2; 16]), item: None, body: vec![0; size] }
    }

    fn batch(kinds: &[(Kind, usize)]) -> Batch {
        Batch { entries: kinds.iter().map(|(kind, size)| entry(*kind, *size)).collect() }
    }

    #[test]
    fn entries_are_gathered_by_exhibit_and_topic() {
        let (one, two) = (Id([1; 16]), Id([2; 16]));
        let mut gathered = Gathered::default();
        let small = batch(&[(Kind::Message, 10), (Kind::Problem, 10), (Kind::Item, 10)]);
        assert!(gathered.add(one, small.clone(), 1000).is_empty());
        assert!(gathered.add(two, small, 1000).is_empty());
        let mut all = gathered.take_all();
        all.sort_by_key(|(key, _)| *key);
        let sizes: Vec<_> = all.iter().map(|(key, entries)| (*key, entries.len())).collect();
        assert_eq!(
            sizes,
            [((one, Topic::Records), 2), ((one, Topic::Problems), 1), ((two, Topic::Records), 2), ((two, Topic::Problems), 1)]
        );
        assert_eq!(gathered.bytes, 0);
        assert!(gathered.take_all().is_empty());
    }

    #[test]
    fn a_full_message_is_sent_and_no_entry_is_split() {
        let exhibit = Id([1; 16]);
        let mut gathered = Gathered::default();
        let full = gathered.add(exhibit, batch(&[(Kind::Message, 400), (Kind::Message, 400), (Kind::Message, 400)]), 1000);
        assert_eq!(full.iter().map(|(_, entries)| entries.len()).collect::<Vec<_>>(), [2]);
        let full = gathered.add(exhibit, batch(&[(Kind::Message, 5000), (Kind::Message, 1)]), 1000);
        assert_eq!(full.iter().map(|(_, entries)| entries.len()).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(gathered.take_all().len(), 1);
    }

    #[test]
    fn many_exhibits_do_not_gather_without_bound() {
        let mut gathered = Gathered::default();
        let mut sent = 0;
        for number in 0..200u8 {
            sent += gathered.add(Id([number; 16]), batch(&[(Kind::Message, 200_000)]), 1 << 20).len();
            assert!(gathered.bytes <= GATHERED_CAP_BYTES);
        }
        assert!(sent > 100);
    }

    #[test]
    fn partitions_are_even_and_the_same_everywhere() {
        let mut counts = [0u32; 12];
        for number in 0..12_000u32 {
            let id = Id::derive("test", &[&number.to_le_bytes()]);
            counts[usize::try_from(partition_of(id, 12)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        assert_eq!(partition_of(Id([0xff; 16]), 1), 0);
    }

    #[test]
    fn a_failed_delivery_stays_failed() {
        let reports = Reports::default();
        let (first, second) = (reports.begin().unwrap(), reports.begin().unwrap());
        reports.end(first, Some("refused".into()));
        reports.end(second, None);
        assert!(matches!(reports.wait_for_all(), Err(Error::Kafka(reason)) if reason == "refused"));
        assert!(reports.wait_for_all().is_err() && reports.begin().is_err());
    }

    #[test]
    fn flush_waits_for_what_was_sent_before_it_only() {
        let reports = Arc::new(Reports::default());
        let first = reports.begin().unwrap();
        let waiting = std::thread::spawn({
            let reports = reports.clone();
            move || reports.wait_for_all()
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        let later = reports.begin().unwrap();
        reports.end(first, None);
        waiting.join().unwrap().unwrap();
        reports.end(later, None);
    }

    #[test]
    fn closing_frees_who_waits() {
        let reports = Arc::new(Reports::default());
        reports.begin().unwrap();
        let waiting = std::thread::spawn({
            let reports = reports.clone();
            move || reports.wait_for_all()
        });
        reports.lock().closed = true;
        assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
    }

    #[test]
    fn invalid_messages_become_problems() {
        let invalid = Invalid { sha256: model::Digest::of(b"x"), size_bytes: 1, reason: "unknown wire version".into() };
        let position = Position { topic: Topic::Items, partition: 2, offset: 7 };
        let Problem { code, detail, .. } = invalid_problem(Id::default(), Stage::Normalize, position, &invalid);
        assert_eq!(code, Code::InvalidMessage);
        assert!(detail.contains("items partition 2 offset 7") && detail.contains(&invalid.sha256.to_string()), "{detail}");
    }
}
