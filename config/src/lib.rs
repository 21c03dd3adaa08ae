//! Typed settings of the pipeline.
//!
//! `pipeline.toml` beside this crate holds every key with its default and a comment; a test keeps it equal to
//! [`Settings::default`]. Reads: one TOML file. Writes: nothing.

pub mod share;

use model::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The commented file with every default.
pub const DEFAULTS: &str = include_str!("../pipeline.toml");

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the right keys and types.
    #[error("{path}: {source}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// A value that cannot work.
    #[error("{0}")]
    Value(String),
}

/// A hash algorithm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashName {
    /// SHA-256: always computed.
    Sha256,
    /// SHA-1.
    Sha1,
    /// MD5.
    Md5,
}

/// All settings.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Hashes of every item.
    pub hashes: Vec<HashName>,
    /// Region that national phone numbers are read as of; empty for none.
    pub region: String,
    /// Threads and parser processes; 0 for one per core.
    pub workers: usize,
    /// Exhibits at once on one machine.
    pub run: Run,
    /// Walking, opening and reading.
    pub ingest: Ingest,
    /// Where staged content lies.
    pub stage: StageStore,
    /// Limits of parser processes.
    pub sandbox: Sandbox,
    /// Limits of what is read.
    pub normalize: Normalize,
    /// The sink.
    pub export: Export,
    /// The fleet's transport.
    pub kafka: Kafka,
}

/// Exhibits at once on one machine.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Exhibits in work at once; 0 for as many as memory and workers allow.
    pub exhibits: usize,
    /// Memory that all of them may take together, bytes; 0 for half of what the machine has.
    pub memory_bytes: u64,
}

/// Walking, opening and reading.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// Bytes read at a time.
    pub read_buffer_bytes: usize,
    /// Deepest nesting of archives that is opened.
    pub cap_depth: u32,
    /// Largest growth of an archive entry.
    pub cap_ratio: u64,
    /// Most entries in one container.
    pub cap_entries: u64,
    /// Most bytes out of one top-level container.
    pub cap_bytes: u64,
    /// Most bytes of one archive entry.
    pub cap_entry_bytes: u64,
    /// Media types that are staged.
    pub stage_types: Vec<String>,
    /// Largest plain text that is staged.
    pub stage_text_cap_bytes: u64,
    /// Largest picture that is staged.
    pub stage_picture_cap_bytes: u64,
}

/// Where staged content lies.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageStore {
    /// `file:///path`, a plain path, or `s3://bucket/prefix`; empty for a folder below the output.
    pub url: String,
    /// Options of the object store.
    pub options: BTreeMap<String, String>,
}

/// Limits of parser processes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Address space, bytes.
    pub memory_bytes: u64,
    /// Processor seconds for each started 256 MiB of an item.
    pub cpu_s: u64,
    /// Wall-clock seconds for each started 256 MiB of an item.
    pub wall_s: u64,
    /// Output bytes for each byte of the item.
    pub output_ratio: u64,
    /// Items before a process is replaced.
    pub batch_items: u32,
}

/// Limits of what is read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Normalize {
    /// Largest value read whole, bytes.
    pub cap_value_bytes: u64,
    /// Problems of one code on one item that get a row each.
    pub cap_problems: u64,
    /// Whether deleted and older rows of databases are looked for.
    pub recover_rows: bool,
    /// Most pixels of a picture that is searched for QR codes.
    pub qr_pixels_most: u64,
}

/// The sink.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Export {
    /// Entries in one transaction.
    pub commit_entries: usize,
    /// Page cache, bytes.
    pub cache_bytes: u64,
}

/// The fleet's transport.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Prefix of the consumer groups.
    pub group: String,
    /// Milliseconds a batch waits for company.
    pub linger_ms: u64,
    /// Bytes of entries gathered into one message.
    pub message_bytes: usize,
    /// Anything else for librdkafka.
    pub properties: BTreeMap<String, String>,
    /// Topic `items`.
    pub items: TopicSettings,
    /// Topic `records`.
    pub records: TopicSettings,
    /// Topic `problems`.
    pub problems: TopicSettings,
}

/// One topic.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSettings {
    /// Its name.
    pub name: String,
    /// Partitions; the same number for `records` and `problems`.
    pub partitions: i32,
    /// Replicas.
    pub replication: i32,
    /// Milliseconds a message is kept; -1 for ever.
    pub retention_ms: i64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            hashes: vec![HashName::Sha256],
            region: String::new(),
            workers: 0,
            run: Run::default(),
            ingest: Ingest::default(),
            stage: StageStore::default(),
            sandbox: Sandbox::default(),
            normalize: Normalize::default(),
            export: Export::default(),
            kafka: Kafka::default(),
        }
    }
}

impl Default for Ingest {
    fn default() -> Ingest {
        let stage_types = [
            "application/vnd.sqlite3",
            "application/x-sqlite3-wal",
            "application/x-sqlite3-journal",
            "application/json",
            "text/vcard",
            "text/plain",
            "application/x-plist",
            "text/xml",
            "application/x-android-binary-xml",
            "message/rfc822",
            "application/mbox",
            "text/html",
            "application/rtf",
            "application/pdf",
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/x-ole-storage",
            "application/vnd.ms-outlook-pst",
            "application/x-outlook-express-dbx",
            "application/x-leveldb",
            "application/x-mmkv",
            "application/x-realm",
            "application/x-berkeley-db",
            "application/x-bitcoinj-wallet",
            "application/x-seco",
            "application/x-telegram-account",
            "image/jpeg",
            "image/png",
            "image/gif",
            "image/webp",
            "image/bmp",
            "image/heif",
            "image/tiff",
        ];
        Ingest {
            read_buffer_bytes: 512 << 10,
            cap_depth: 8,
            cap_ratio: 1_000,
            cap_entries: 4_000_000,
            cap_bytes: 1 << 40,
            cap_entry_bytes: 64 << 30,
            stage_types: stage_types.map(str::to_owned).to_vec(),
            stage_text_cap_bytes: 256 << 20,
            stage_picture_cap_bytes: 16 << 20,
        }
    }
}

/// What stands for [`Sandbox::batch_items`] in the digest of the settings, whatever it is set to: the content does not depend on it.
const DIGESTED_BATCH_ITEMS: u32 = 256;

impl Default for Sandbox {
    fn default() -> Sandbox {
        Sandbox { memory_bytes: 512 << 20, cpu_s: 120, wall_s: 300, output_ratio: 64, batch_items: 4096 }
    }
}

impl Default for Normalize {
    fn default() -> Normalize {
        Normalize { cap_value_bytes: 64 << 20, cap_problems: 1_000, recover_rows: true, qr_pixels_most: 5_000_000 }
    }
}

impl Default for Export {
    fn default() -> Export {
        Export { commit_entries: 50_000, cache_bytes: 32 << 20 }
    }
}

impl Default for Kafka {
    fn default() -> Kafka {
        let topic = |name: &str| TopicSettings { name: name.to_owned(), partitions: 12, replication: 1, retention_ms: -1 };
        Kafka {
            brokers: "127.0.0.1:9092".to_owned(),
            group: "haul".to_owned(),
            linger_ms: 20,
            message_bytes: 256 << 10,
            properties: BTreeMap::new(),
            items: topic("haul-items"),
            records: topic("haul-records"),
            problems: topic("haul-problems"),
        }
    }
}

impl Settings {
    /// Reads a file; keys it leaves out have their defaults, keys it misspells are errors.
    pub fn read(path: &Path) -> Result<Settings, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let settings: Settings =
            toml::from_str(&text).map_err(|source| Error::Toml { path: path.to_owned(), source: Box::new(source) })?;
        settings.check()?;
        Ok(settings)
    }

    /// Refuses values that cannot work.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::Value(text.to_owned()));
        if !self.hashes.contains(&HashName::Sha256) {
            return refuse("hashes must contain \"sha256\"");
        }
        if !(self.region.is_empty() || self.region.len() == 2 && self.region.bytes().all(|byte| byte.is_ascii_uppercase())) {
            return refuse("region must be empty or two capital letters");
        }
        if self.ingest.read_buffer_bytes < 4096 {
            return refuse("ingest.read_buffer_bytes must be at least 4096");
        }
        if self.sandbox.memory_bytes < 64 << 20 || self.sandbox.batch_items == 0 {
            return refuse("sandbox.memory_bytes must be at least 67108864 and sandbox.batch_items at least 1");
        }
        if self.kafka.records.partitions != self.kafka.problems.partitions {
            return refuse("kafka.records and kafka.problems must have the same number of partitions");
        }
        Ok(())
    }

    /// Threads to use.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
    }

    /// Digest of the settings that can change what is in a bundle: it stands in the bundle's `meta` table.
    ///
    /// Left out is what must not matter: workers, buffers, caches, transport, where the stage lies.
    pub fn content_digest(&self) -> Digest {
        let mut content =
            Settings { kafka: Kafka::default(), stage: StageStore::default(), run: Run::default(), workers: 0, ..self.clone() };
        content.export = Export::default();
        content.ingest.read_buffer_bytes = Ingest::default().read_buffer_bytes;
        content.sandbox.batch_items = DIGESTED_BATCH_ITEMS;
        content.hashes.sort();
        content.hashes.dedup();
        Digest::of(format!("{content:?}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commented_file_is_the_default() {
        assert_eq!(toml::from_str::<Settings>(DEFAULTS).unwrap(), Settings::default());
    }

    #[test]
    fn misspelt_keys_are_errors() {
        assert!(toml::from_str::<Settings>("hashs = []").is_err());
        assert!(toml::from_str::<Settings>("[ingest]\ncap_dept = 1").is_err());
    }

    #[test]
    fn sha256_cannot_be_left_out() {
        let settings = Settings { hashes: vec![HashName::Md5], ..Settings::default() };
        assert!(settings.check().is_err());
    }

    #[test]
    fn the_number_of_workers_does_not_count_as_content() {
        let one = Settings { workers: 1, ..Settings::default() };
        let md5 = Settings { hashes: vec![HashName::Sha256, HashName::Md5], ..Settings::default() };
        assert_eq!(one.content_digest(), Settings::default().content_digest());
        assert_ne!(md5.content_digest(), Settings::default().content_digest());
    }
}
