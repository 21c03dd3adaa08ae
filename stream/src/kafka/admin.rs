//! Making the topics of a fleet, and seeing how far its workers are behind.

use super::client::{
    MESSAGE_CAP_BYTES, PATIENCE, REQUEST_TIMEOUT, SPREAD, client_config, partition_counts, patiently, topic_settings,
};
use super::receive::group_of;
use crate::{Error, Topic};
use config::{Kafka, TopicSettings};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::fmt;

const TOPICS: [Topic; 3] = [Topic::Items, Topic::Records, Topic::Problems];

/// How far a group is behind in one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lag {
    /// The consumer group.
    pub group: String,
    /// The topic, by its name on the brokers.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Messages that are there and not acknowledged.
    pub messages: i64,
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} · {} partition {}: {} messages behind", self.group, self.topic, self.partition, self.messages)
    }
}

/// Creates the topics that are missing and returns their names. A topic that is there with another number of partitions is an
/// error: the same exhibit would go to another partition.
pub fn create_topics(settings: &Kafka) -> Result<Vec<String>, Error> {
    let admin: AdminClient<DefaultClientContext> = client_config(settings, &[])?.create()?;
    patiently(|| admin.inner().fetch_metadata(None, REQUEST_TIMEOUT))?;
    let cap = MESSAGE_CAP_BYTES.to_string();
    let wanted: Vec<&TopicSettings> = TOPICS.iter().map(|topic| topic_settings(settings, *topic)).collect();
    let retention: Vec<String> = wanted.iter().map(|topic| topic.retention_ms.to_string()).collect();
    let topics: Vec<NewTopic<'_>> = wanted
        .iter()
        .zip(&retention)
        .map(|(topic, retention)| {
            NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(topic.replication))
                .set("cleanup.policy", "delete")
                .set("retention.ms", retention)
                // Size must not delete what time keeps.
                .set("retention.bytes", "-1")
                .set("max.message.bytes", &cap)
                // With three replicas one broker may be away, and what is confirmed still lies on two.
                .set("min.insync.replicas", if topic.replication >= 3 { "2" } else { "1" })
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT)).request_timeout(Some(REQUEST_TIMEOUT * 3));
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| Error::Kafka(error.to_string()))?;
    let results = runtime.block_on(admin.create_topics(&topics, &options))?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(Error::Kafka(format!("cannot create topic {name}: {code}"))),
        }
    }
    check_partitions(&admin, settings, &wanted)?;
    Ok(created)
}

/// Waits until the topics are seen, and compares their partitions with those wanted: some were there before.
fn check_partitions(admin: &AdminClient<DefaultClientContext>, settings: &Kafka, wanted: &[&TopicSettings]) -> Result<(), Error> {
    for (found, wanted) in partition_counts(admin.inner(), settings, &TOPICS, PATIENCE)?.into_iter().zip(wanted) {
        if found != wanted.partitions {
            let TopicSettings { name, partitions, .. } = wanted;
            return Err(Error::Settings(format!("topic {name} has {found} partitions where {partitions} are configured")));
        }
    }
    Ok(())
}

/// How far the groups of normalize and export are behind, partition by partition. What a group has not begun counts whole.
///
/// Export workers go by the positions stored in their bundles; what they commit to the group, and what is shown here, can be
/// half a second older.
pub fn lag(settings: &Kafka) -> Result<Vec<Lag>, Error> {
    let mut lags = Vec::new();
    for topic in TOPICS {
        let group = group_of(settings, topic);
        let consumer: BaseConsumer = client_config(settings, &[("group.id", &group)])?.create()?;
        let name = &topic_settings(settings, topic).name;
        let mut asked = TopicPartitionList::new();
        for count in partition_counts(consumer.client(), settings, &[topic], SPREAD)? {
            asked.add_partition_range(name, 0, count - 1);
        }
        let committed = patiently(|| consumer.committed_offsets(asked.clone(), REQUEST_TIMEOUT))?;
        for place in committed.elements() {
            let partition = place.partition();
            let (low, high) = patiently(|| consumer.fetch_watermarks(name, partition, REQUEST_TIMEOUT))?;
            let next = if let Offset::Offset(next) = place.offset() { next.max(low) } else { low };
            lags.push(Lag { group: group.clone(), topic: name.clone(), partition, messages: (high - next).max(0) });
        }
    }
    Ok(lags)
}
