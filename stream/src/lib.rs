//! Topics and acknowledgement.
//!
//! Three topics join the stages: `items` ([`model::WorkUnit`]s from ingest to normalize), `records` and `problems`
//! ([`model::wire::Batch`]es from ingest and normalize to export). Two transports carry them: [`embedded`] (bounded queues
//! in one process) and [`kafka`]. Nothing else in Haul names Kafka.
//!
//! Guarantees: what was published before a [`Publish::flush`] that returned `Ok` is not lost; a delivery is repeated until it
//! was acknowledged, so it can arrive twice or out of order; every queue is bounded and a full one blocks its writer.

pub mod crash;
pub mod embedded;
pub mod kafka;
pub mod stage;
pub mod worker;

use model::wire::Batch;
use model::{Digest, Id, WorkUnit};
use std::time::Duration;

/// Why a transport cannot go on. The world is bad, not the evidence: stop, and resume later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side has gone.
    #[error("the other end of the stream is closed")]
    Closed,
    /// The stage says no.
    #[error("stage: {0}")]
    Stage(String),
    /// Kafka says no.
    #[error("kafka: {0}")]
    Kafka(String),
    /// The settings cannot work, or the topics are not as they say: waiting does not help.
    #[error("kafka settings: {0}")]
    Settings(String),
    /// The operating system does not let us hear when to stop.
    #[error("cannot catch signals: {0}")]
    Signals(String),
}

/// A topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// Work units.
    Items,
    /// Batches of entries.
    Records,
    /// Batches of problems.
    Problems,
}

impl Topic {
    /// The word under which a sink stores positions of this topic.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Items => "items",
            Topic::Records => "records",
            Topic::Problems => "problems",
        }
    }
}

/// The place of a delivery in its stream: everything of the partition up to it was delivered once this delivery is.
///
/// A later delivery can have the same position as an earlier one (over Kafka, while a message in parts is unfinished; the offset
/// is -1 if that message is the first): a sink stores positions, it does not recognise deliveries by them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// Topic.
    pub topic: Topic,
    /// Partition.
    pub partition: i32,
    /// Offset of the delivery itself (not of the next one).
    pub offset: i64,
}

/// A message that could not be decoded: what is known of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Invalid {
    /// SHA-256 of its raw bytes.
    pub sha256: Digest,
    /// Its size.
    pub size_bytes: u64,
    /// Why it is invalid.
    pub reason: String,
}

/// One message.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery<T> {
    /// Where it stands.
    pub position: Position,
    /// Its key, if that is an exhibit's id.
    pub exhibit: Option<Id>,
    /// Its content, or why it has none.
    pub payload: Result<T, Invalid>,
}

/// What a receiver tells.
#[derive(Clone, PartialEq, Debug)]
pub enum Event<T> {
    /// A message.
    Delivery(Delivery<T>),
    /// Nothing within the time asked for.
    Idle,
    /// These partitions are ours now. Of `records` and `problems` nothing is delivered before [`Receive::start_at`] was called for
    /// each, so that the receiver's own stored positions count; `items` goes on where the group acknowledged last.
    Assigned(Vec<i32>),
    /// These partitions go: commit, close, acknowledge and forget them before asking for the next event, which gives them away.
    Revoked(Vec<i32>),
    /// There will be no more: every writer has gone and everything was delivered (embedded), or the worker was told to stop
    /// (Kafka; more is there, and whoever reads next gets it). What was delivered can still be acknowledged.
    Closed,
}

/// The writing end. Shared by threads.
pub trait Publish: Send + Sync {
    /// Sends a unit of work to `items`, keyed by its exhibit but spread over partitions, so that one exhibit's work is shared.
    /// Blocks while the queue is full.
    fn unit(&self, unit: &WorkUnit) -> Result<(), Error>;

    /// Sends entries of one exhibit: problems to `problems`, all others to `records`, keyed by exhibit. Blocks while full.
    fn batch(&self, exhibit: Id, batch: Batch) -> Result<(), Error>;

    /// Sends on a message that could not be decoded: its hash, place and reason go to `problems`.
    fn invalid(&self, exhibit: Option<Id>, position: Position, invalid: &Invalid) -> Result<(), Error>;

    /// Returns when everything sent before is safe (acknowledged by all in-sync replicas, or queued in memory).
    fn flush(&self) -> Result<(), Error>;
}

/// The reading end. Owned by one thread.
pub trait Receive<T>: Send {
    /// The next event, or [`Event::Idle`] after `timeout`.
    fn next(&mut self, timeout: Duration) -> Result<Event<T>, Error>;

    /// Begins an assigned partition: for each topic the offset of the first message wanted; a topic that is not named begins at
    /// its first message.
    fn start_at(&mut self, partition: i32, positions: &[Position]) -> Result<(), Error>;

    /// Says that this delivery and all before it in its partition are dealt with.
    fn acknowledge(&mut self, position: Position) -> Result<(), Error>;
}
