//! The reading end over Kafka.

use super::client::{SPREAD, client_config, log, log_error, partition_counts, topic_settings};
use super::part::{self, Parts};
use crate::{Delivery, Error, Event, Invalid, Position, Receive, Topic};
use config::Kafka;
use model::wire::{self, Batch, WireError};
use model::{Digest, Id, WorkUnit};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often acknowledged offsets are committed to the group.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// Longest single poll: changes of assignment are looked at in between.
const POLL: Duration = Duration::from_millis(100);

/// What a message can hold.
pub trait Payload: Sized + Send {
    /// Decodes a message.
    fn decode(bytes: &[u8]) -> Result<Self, WireError>;
}

impl Payload for WorkUnit {
    fn decode(bytes: &[u8]) -> Result<WorkUnit, WireError> {
        wire::decode_unit(bytes)
    }
}

impl Payload for Batch {
    fn decode(bytes: &[u8]) -> Result<Batch, WireError> {
        wire::decode_batch(bytes)
    }
}

/// Group of the workers that read a topic.
pub(super) fn group_of(settings: &Kafka, topic: Topic) -> String {
    match topic {
        Topic::Items => format!("{}-normalize", settings.group),
        Topic::Records | Topic::Problems => format!("{}-export", settings.group),
    }
}

/// Reads `items` as a member of the group of normalize workers. It begins where the group's committed offsets say;
/// [`Receive::start_at`] need not be called.
pub fn units(settings: &Kafka) -> Result<Receiver<WorkUnit>, Error> {
    Receiver::join(settings, &[Topic::Items], false)
}

/// Reads `records` and `problems` as a member of the group of export workers: always the same partitions of both, and nothing
/// before [`Receive::start_at`] was called for each of them.
pub fn batches(settings: &Kafka) -> Result<Receiver<Batch>, Error> {
    Receiver::join(settings, &[Topic::Records, Topic::Problems], true)
}

/// A member of a consumer group. Dropping it commits what was acknowledged and leaves the group.
pub struct Receiver<T> {
    consumer: BaseConsumer<Rebalances>,
    topics: Vec<(Topic, String)>,
    /// Whether the reader has positions of its own.
    positioned: bool,
    assignment: Assignment,
    acknowledged: BTreeMap<(Topic, i32), i64>,
    committed: BTreeMap<(Topic, i32), i64>,
    committed_at: Instant,
    parts: Parts,
    stop: Arc<AtomicBool>,
    payload: PhantomData<fn() -> T>,
}

/// Where a receiver stands in its group. Assignment is eager: all partitions come and go together.
enum Assignment {
    /// Nothing is ours.
    None,
    /// Told to the reader, who still has to say where some begin.
    Waiting { partitions: BTreeSet<i32>, starts: HashMap<i32, Vec<Position>> },
    /// Read.
    Reading(BTreeSet<i32>),
    /// The reader was told that they go; they go when it asks for the next event.
    Leaving,
}

impl<T: Payload> Receiver<T> {
    fn join(settings: &Kafka, topics: &[Topic], positioned: bool) -> Result<Receiver<T>, Error> {
        let group = group_of(settings, topics[0]);
        let config = client_config(
            settings,
            &[
                ("group.id", &group),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"),
                // Range gives a member the same partition numbers of all topics it reads, if they have as many.
                ("partition.assignment.strategy", "range"),
                ("session.timeout.ms", "10000"),
                ("heartbeat.interval.ms", "500"),
                // A reader that works long on one delivery is not dead: that is what heartbeats tell.
                ("max.poll.interval.ms", "86400000"),
                ("queued.max.messages.kbytes", "32768"),
                ("queued.min.messages", "1000"),
                ("fetch.message.max.bytes", "2097152"),
                ("fetch.max.bytes", "16777216"),
                ("fetch.wait.max.ms", "100"),
            ],
        )?;
        let consumer: BaseConsumer<Rebalances> = config.create_with_context(Rebalances::default())?;
        let counts = partition_counts(consumer.client(), settings, topics, SPREAD)?;
        if counts.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Error::Settings("topics that are read together must have the same number of partitions".to_owned()));
        }
        let topics: Vec<_> = topics.iter().map(|topic| (*topic, topic_settings(settings, *topic).name.clone())).collect();
        let names: Vec<_> = topics.iter().map(|(_, name)| name.as_str()).collect();
        consumer.subscribe(&names)?;
        Ok(Receiver {
            consumer,
            topics,
            positioned,
            assignment: Assignment::None,
            acknowledged: BTreeMap::new(),
            committed: BTreeMap::new(),
            committed_at: Instant::now(),
            parts: Parts::default(),
            stop: Arc::default(),
            payload: PhantomData,
        })
    }

    /// The same receiver, which says [`Event::Closed`] as soon as the flag is set.
    pub fn until(self, stop: Arc<AtomicBool>) -> Receiver<T> {
        let mut receiver = self;
        receiver.stop = stop;
        receiver
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        self.topics.iter().find(|(_, known)| known == name).map(|(topic, _)| *topic)
    }

    /// Handles one change that the group told.
    fn change(&mut self, change: Change) -> Result<Option<Event<T>>, Error> {
        match change {
            Change::Assigned(list) => self.assigned(&list),
            Change::Revoked => {
                let partitions = match std::mem::replace(&mut self.assignment, Assignment::Leaving) {
                    Assignment::Waiting { partitions, .. } | Assignment::Reading(partitions) => partitions,
                    Assignment::None | Assignment::Leaving => BTreeSet::new(),
                };
                if partitions.is_empty() {
                    self.leave()?;
                    return Ok(None);
                }
                Ok(Some(Event::Revoked(partitions.into_iter().collect())))
            }
        }
    }

    /// Takes an assignment: tells the reader, and begins at once or when the reader has said where.
    fn assigned(&mut self, list: &[(String, i32)]) -> Result<Option<Event<T>>, Error> {
        let of = |name: &str| list.iter().filter(|(topic, _)| topic == name).map(|(_, partition)| *partition).collect();
        let sets: Vec<BTreeSet<i32>> = self.topics.iter().map(|(_, name)| of(name)).collect();
        if sets.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Error::Settings(
                "records and problems were not assigned alike: have they as many partitions?".to_owned(),
            ));
        }
        let partitions = sets.into_iter().next().unwrap_or_default();
        let told: Vec<i32> = partitions.iter().copied().collect();
        if self.positioned && !partitions.is_empty() {
            self.assignment = Assignment::Waiting { partitions, starts: HashMap::new() };
        } else {
            let mut list = TopicPartitionList::new();
            for ((_, name), partition) in
                self.topics.iter().flat_map(|topic| told.iter().map(move |partition| (topic, partition)))
            {
                // Without an offset a partition begins where the group's committed offset says.
                list.add_partition(name, *partition);
            }
            self.consumer.assign(&list)?;
            self.assignment = Assignment::Reading(partitions);
        }
        Ok(if told.is_empty() { None } else { Some(Event::Assigned(told)) })
    }

    /// Begins to read when every partition has its start.
    fn begin(&mut self) -> Result<(), Error> {
        let Assignment::Waiting { partitions, starts } = &self.assignment else { return Ok(()) };
        if starts.len() < partitions.len() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, positions) in starts {
            for (topic, name) in &self.topics {
                list.add_partition_offset(name, *partition, offset_of(*topic, positions))?;
            }
        }
        self.consumer.assign(&list)?;
        self.assignment = Assignment::Reading(partitions.clone());
        Ok(())
    }

    /// Gives the partitions back: commits first, librdkafka keeps that order.
    fn leave(&mut self) -> Result<(), Error> {
        self.commit();
        self.acknowledged.clear();
        self.committed.clear();
        self.parts.forget();
        self.assignment = Assignment::None;
        Ok(self.consumer.unassign()?)
    }

    fn commit_when_due(&mut self) {
        if self.committed_at.elapsed() >= COMMIT_EVERY {
            self.commit();
        }
    }
}

impl<T> Receiver<T> {
    fn name(&self, topic: Topic) -> Result<&str, Error> {
        let found = self.topics.iter().find(|(known, _)| *known == topic);
        found.map(|(_, name)| name.as_str()).ok_or_else(|| Error::Kafka(format!("topic {} is not read here", topic.name())))
    }

    /// Commits what was acknowledged since. A commit that fails only means that more is delivered again.
    fn commit(&mut self) {
        self.committed_at = Instant::now();
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in &self.acknowledged {
            if self.committed.get(&(*topic, *partition)) == Some(next) {
                continue;
            }
            let added = self.name(*topic).map(|name| list.add_partition_offset(name, *partition, Offset::Offset(*next)));
            if let Err(error) | Ok(Err(error)) = added.map(|added| added.map_err(Error::from)) {
                tracing::warn!("cannot commit: {error}");
            }
        }
        if list.count() == 0 {
            return;
        }
        match self.consumer.commit(&list, CommitMode::Async) {
            Ok(()) => self.committed = self.acknowledged.clone(),
            Err(error) => tracing::debug!("not committed yet: {error}"),
        }
    }
}

/// Makes a delivery of a message; `None` while parts of it are missing.
fn delivery<T: Payload>(topic: Topic, message: &BorrowedMessage<'_>, parts: &mut Parts) -> Option<Delivery<T>> {
    let position = Position { topic, partition: message.partition(), offset: message.offset() };
    let bytes = message.payload().unwrap_or_default();
    let header = message.headers().and_then(|headers| headers.iter().find(|header| header.key == part::HEADER));
    let payload = match header {
        None => T::decode(bytes).map_err(|error| error.to_string()),
        Some(header) => match parts.accept(position, header.value.unwrap_or_default(), bytes) {
            Ok(None) => return None,
            Ok(Some(whole)) => T::decode(&whole).map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        },
    };
    let invalid = |reason| Invalid { sha256: Digest::of(bytes), size_bytes: bytes.len() as u64, reason };
    let exhibit = message.key().and_then(|key| key.try_into().ok()).map(Id);
    Some(Delivery { position: parts.clamp(position), exhibit, payload: payload.map_err(invalid) })
}

/// The offset where a topic begins: the position named for it, else its first message.
fn offset_of(topic: Topic, positions: &[Position]) -> Offset {
    let position = positions.iter().find(|position| position.topic == topic);
    position.map_or(Offset::Beginning, |position| Offset::Offset(position.offset.max(0)))
}

/// Whether an error of a consumer cannot heal by waiting.
fn is_final(error: &KafkaError) -> bool {
    match error {
        KafkaError::MessageConsumptionFatal(_) => true,
        KafkaError::MessageConsumption(code) => matches!(
            code,
            RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
        ),
        _ => false,
    }
}

impl<T: Payload> Receive<T> for Receiver<T> {
    fn next(&mut self, timeout: Duration) -> Result<Event<T>, Error> {
        if matches!(self.assignment, Assignment::Leaving) {
            self.leave()?;
        }
        self.commit_when_due();
        let deadline = Instant::now() + timeout;
        loop {
            if self.stop.load(Ordering::Acquire) {
                return Ok(Event::Closed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let delivered = match self.consumer.poll(left.min(POLL)) {
                None => None,
                Some(Ok(message)) => self.topic(message.topic()).and_then(|topic| delivery(topic, &message, &mut self.parts)),
                Some(Err(error)) if is_final(&error) => return Err(error.into()),
                Some(Err(error)) => {
                    tracing::warn!("waiting for Kafka: {error}");
                    None
                }
            };
            if let Some(delivery) = delivered {
                return Ok(Event::Delivery(delivery));
            }
            if let Some(change) = self.consumer.context().take()
                && let Some(event) = self.change(change)?
            {
                return Ok(event);
            }
            if Instant::now() >= deadline {
                return Ok(Event::Idle);
            }
        }
    }

    fn start_at(&mut self, partition: i32, positions: &[Position]) -> Result<(), Error> {
        match &mut self.assignment {
            Assignment::Waiting { partitions, starts } if partitions.contains(&partition) => {
                starts.insert(partition, positions.to_vec());
                self.begin()
            }
            Assignment::Reading(partitions) if partitions.contains(&partition) => {
                for position in positions {
                    let name = self.name(position.topic)?;
                    self.consumer.seek(
                        name,
                        partition,
                        Offset::Offset(position.offset.max(0)),
                        super::client::REQUEST_TIMEOUT,
                    )?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn acknowledge(&mut self, position: Position) -> Result<(), Error> {
        let ours = match &self.assignment {
            Assignment::Reading(partitions) => partitions.contains(&position.partition),
            // Between `Revoked` and the next event they are still ours to commit.
            Assignment::Leaving => true,
            Assignment::None | Assignment::Waiting { .. } => false,
        };
        if ours {
            let next = self.acknowledged.entry((position.topic, position.partition)).or_default();
            *next = position.offset.saturating_add(1).max(*next);
            self.commit_when_due();
        }
        Ok(())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // The consumer's own drop closes it: that revokes what is assigned, after the commits that are under way.
        self.consumer.context().closing.store(true, Ordering::Release);
        self.commit();
        if let Err(error) = self.consumer.unassign() {
            tracing::debug!("not unassigned: {error}");
        }
    }
}

/// A change of assignment.
enum Change {
    Assigned(Vec<(String, i32)>),
    Revoked,
}

/// Keeps changes until the receiver handles them: librdkafka waits for `assign`, so a revoked partition stays ours until the
/// reader has closed what it holds.
#[derive(Default)]
struct Rebalances {
    changes: Mutex<VecDeque<Change>>,
    closing: AtomicBool,
}

impl Rebalances {
    fn take(&self) -> Option<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Rebalances>, change: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Acquire) {
            if let Err(error) = consumer.unassign() {
                tracing::warn!("cannot give partitions back: {error}");
            }
            return;
        }
        let change = match change {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                Change::Assigned(list.elements().iter().map(|place| (place.topic().to_owned(), place.partition())).collect())
            }
            _ => Change::Revoked,
        };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!("commit refused, it will be delivered again: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_without_position_begins_at_its_first_message() {
        let position = Position { topic: Topic::Records, partition: 1, offset: 17 };
        assert_eq!(offset_of(Topic::Records, &[position]), Offset::Offset(17));
        assert_eq!(offset_of(Topic::Problems, &[position]), Offset::Beginning);
        assert_eq!(offset_of(Topic::Records, &[Position { offset: -1, ..position }]), Offset::Offset(0));
    }

    #[test]
    fn a_lost_broker_is_waited_for_and_a_refused_login_is_not() {
        let waited =
            [RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::RebalanceInProgress];
        assert!(waited.iter().all(|code| !is_final(&KafkaError::MessageConsumption(*code))));
        assert!(is_final(&KafkaError::MessageConsumption(RDKafkaErrorCode::SaslAuthenticationFailed)));
        assert!(is_final(&KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::Fatal)));
    }

    #[test]
    fn workers_of_a_kind_are_one_group() {
        let settings = Kafka { group: "raid".into(), ..Kafka::default() };
        assert_eq!(group_of(&settings, Topic::Items), "raid-normalize");
        assert_eq!(group_of(&settings, Topic::Records), "raid-export");
        assert_eq!(group_of(&settings, Topic::Problems), "raid-export");
    }
}
