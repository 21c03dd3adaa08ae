//! What every client of Kafka shares: its settings, its words in the log, and finding the topics.

use crate::{Error, Topic};
use config::{Kafka, TopicSettings};
use rdkafka::ClientConfig;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use std::time::{Duration, Instant};

/// How long a broker may be silent when a client starts. Later losses are waited out without limit.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long word of a new topic may take to reach every broker.
pub(super) const SPREAD: Duration = Duration::from_secs(5);

/// How long one request for metadata or offsets may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest message that clients and topics accept, bytes: a part with its key and headers, or a batch of small messages.
pub(super) const MESSAGE_CAP_BYTES: usize = 16 << 20;

/// Properties that guarantees rest on; `kafka.properties` cannot set them.
const RESERVED: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "message.timeout.ms",
    "partition.assignment.strategy",
    "request.required.acks",
    "transactional.id",
];

/// Settings of a client: the defaults of its kind, then the user's properties.
pub(super) fn client_config(settings: &Kafka, defaults: &[(&str, &str)]) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::new();
    let cap = MESSAGE_CAP_BYTES.to_string();
    let shared: &[(&str, &str)] = &[
        ("bootstrap.servers", &settings.brokers),
        ("client.id", "haul"),
        ("message.max.bytes", &cap),
        ("socket.keepalive.enable", "true"),
        // A broker that comes back is found within a second.
        ("reconnect.backoff.ms", "50"),
        ("reconnect.backoff.max.ms", "1000"),
        ("allow.auto.create.topics", "false"),
    ];
    for (key, value) in shared.iter().chain(defaults) {
        config.set(*key, *value);
    }
    for (key, value) in &settings.properties {
        if RESERVED.contains(&key.as_str()) {
            return Err(Error::Settings(format!("kafka.properties cannot set {key}: Haul's guarantees rest on it")));
        }
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Warning);
    Ok(config)
}

/// Settings of a topic.
pub(super) fn topic_settings(settings: &Kafka, topic: Topic) -> &TopicSettings {
    match topic {
        Topic::Items => &settings.items,
        Topic::Records => &settings.records,
        Topic::Problems => &settings.problems,
    }
}

/// Passes librdkafka's words on to the log: they name brokers, topics and partitions, never content.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, text: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(facility, "{text}");
        }
        _ => tracing::debug!(facility, "{text}"),
    }
}

/// Passes a client's error on to the log; what cannot heal comes back from the call that it breaks.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    tracing::warn!("{error}: {reason}");
}

/// How many partitions each topic has, by the brokers' word. Waits for a broker; a topic that is missing is an error, after a
/// time in which word of a new topic can reach every broker.
pub(super) fn partition_counts<C: ClientContext>(
    client: &Client<C>,
    settings: &Kafka,
    topics: &[Topic],
    spread: Duration,
) -> Result<Vec<i32>, Error> {
    let begin = Instant::now();
    loop {
        // All topics are asked for: asking for one by name would create it where brokers allow that.
        let metadata = patiently(|| client.fetch_metadata(None, REQUEST_TIMEOUT))?;
        let names = topics.iter().map(|topic| &topic_settings(settings, *topic).name);
        let counts: Result<Vec<i32>, Error> = names.map(|name| partition_count(&metadata, name)).collect();
        if counts.is_ok() || begin.elapsed() > spread {
            return counts;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn partition_count(metadata: &Metadata, name: &str) -> Result<i32, Error> {
    let found = metadata.topics().iter().find(|found| found.name() == name);
    match found.map(|found| found.partitions().len()) {
        None | Some(0) => Err(Error::Settings(format!("there is no topic {name}: `haul topics` creates it"))),
        Some(count) => i32::try_from(count).map_err(|error| Error::Kafka(error.to_string())),
    }
}

/// Asks again while no broker answers, up to [`PATIENCE`].
pub(super) fn patiently<T>(mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, Error> {
    let begin = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if begin.elapsed() > PATIENCE => return Err(error.into()),
            Err(error) => tracing::warn!("no answer from Kafka yet: {error}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::consumer::BaseConsumer;

    fn with(properties: &[(&str, &str)]) -> Kafka {
        let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Kafka { properties, ..Kafka::default() }
    }

    /// Builds a client: librdkafka refuses unknown keys, and features it was built without.
    fn build(settings: &Kafka) -> Result<BaseConsumer, Error> {
        Ok(client_config(settings, &[])?.create()?)
    }

    #[test]
    fn tls_and_sasl_are_passed_through() {
        let settings = with(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "unit"),
            ("sasl.password", "secret"),
            ("ssl.endpoint.identification.algorithm", "https"),
        ]);
        assert_eq!(client_config(&settings, &[]).unwrap().get("sasl.username"), Some("unit"));
        build(&settings).unwrap();
        build(&with(&[("security.protocol", "SSL"), ("enable.ssl.certificate.verification", "true")])).unwrap();
        build(&with(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "a"),
            ("sasl.password", "b"),
        ]))
        .unwrap();
    }

    #[test]
    fn a_certificate_that_is_not_there_is_told() {
        let error = build(&with(&[("security.protocol", "SSL"), ("ssl.ca.location", "/nonexistent/ca.pem")])).err().unwrap();
        assert!(error.to_string().contains("ca"), "{error}");
    }

    #[test]
    fn unknown_properties_are_errors() {
        assert!(build(&with(&[("no.such.property", "1")])).is_err());
    }

    #[test]
    fn guarantees_cannot_be_configured_away() {
        for key in RESERVED {
            let error = client_config(&with(&[(key, "0")]), &[]).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn the_user_wins_over_defaults() {
        let config = client_config(&with(&[("linger.ms", "7")]), &[("linger.ms", "1")]).unwrap();
        assert_eq!(config.get("linger.ms"), Some("7"));
    }
}
