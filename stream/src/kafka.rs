//! Kafka: the transport of a fleet.
//!
//! [`Publisher`] writes, [`Receiver`] reads, [`create_topics`] and [`lag`] look after the topics. What holds:
//!
//! - **Nothing confirmed is lost.** The producer is idempotent, waits for all in-sync replicas and never gives a message up by
//!   time; [`crate::Publish::flush`] is `Ok` only if every delivery so far was confirmed.
//! - **One exhibit, one partition.** An exhibit's records and problems go to the partition with the same number in both topics,
//!   so one sink gets all of it; work units of one exhibit spread over all partitions of `items`. The number of partitions must
//!   not change while a raid is in the topics.
//! - **At least once.** Offsets are committed by hand after [`crate::Receive::acknowledge`]; the sink's own stored positions win
//!   over the group's. Kafka transactions are not used.
//! - **Bounded memory.** Queues of librdkafka are bounded in bytes, a full one blocks its writer. A message larger than
//!   [`PART_BYTES`] travels in parts and is put together again by the receiver.
//!
//! Settings in `kafka.properties` go to every client (TLS, SASL, timeouts), except those that the above rests on.

use crate::Error;
use rdkafka::error::KafkaError;

mod admin;
mod client;
mod part;
mod publish;
mod receive;

pub use admin::{Lag, create_topics, lag};
pub use part::PART_BYTES;
pub use publish::Publisher;
pub use receive::{Receiver, batches, units};

impl From<KafkaError> for Error {
    fn from(error: KafkaError) -> Error {
        match error {
            // Unknown keys, files that are not there, features that librdkafka was built without.
            KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => Error::Settings(error.to_string()),
            error => Error::Kafka(error.to_string()),
        }
    }
}
