//! What could not be read, where, why, with a stable code.

use crate::id::Id;
use serde::{Deserialize, Serialize};

/// The stage that met a problem.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Stage {
    /// Opening, walking, hashing, scanning, staging.
    Ingest,
    /// Identifying, decoding, parsing, finding.
    Normalize,
    /// Sinking and sealing.
    Export,
}

impl Stage {
    /// The word in `problem.stage`.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Ingest => "ingest",
            Stage::Normalize => "normalize",
            Stage::Export => "export",
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// The closed list of problem codes; their words are stable.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code, in the order of their definition.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The word in `problem.code`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => $word,)+ }
            }
        }
    };
}

codes! {
    /// The file or folder could not be opened or read (permission, I/O error).
    Unreadable = "unreadable",
    /// The file had another size at its end than at its start, or vanished between listing and reading.
    ChangedDuringRead = "changed_during_read",
    /// A container is damaged; what could be read was read.
    ContainerDamaged = "container_damaged",
    /// A container's data ends too early.
    Truncated = "truncated",
    /// Stored checksum and content differ.
    ChecksumMismatch = "checksum_mismatch",
    /// A container names one thing in two ways that contradict each other.
    HeaderMismatch = "header_mismatch",
    /// Content of a deleted entry that another has overwritten, or may have: listed, not read.
    Overwritten = "overwritten",
    /// Content is encrypted and no password fits.
    Encrypted = "encrypted",
    /// A compression or container variant that Haul does not read.
    Unsupported = "unsupported",
    /// Archives nested deeper than configured.
    CapDepth = "cap_depth",
    /// An entry grew beyond the configured ratio to its compressed size.
    CapRatio = "cap_ratio",
    /// More entries in a container than configured.
    CapEntries = "cap_entries",
    /// More bytes out of a container than configured.
    CapBytes = "cap_bytes",
    /// A value, cell or line is larger than configured.
    CapValue = "cap_value",
    /// A parser used up its memory.
    CapMemory = "cap_memory",
    /// A parser used up its output quota.
    CapOutput = "cap_output",
    /// A parser used up its time.
    Timeout = "timeout",
    /// A parser died on this item, alone, twice.
    ParserDied = "parser_died",
    /// A parser sent something that is not a valid frame for its item.
    ParserLied = "parser_lied",
    /// A database that looks like a known app's, but no variant of its definition fits.
    SchemaDrift = "schema_drift",
    /// A database that holds what looks like messages, and that no definition reads; the detail gives its tables.
    Unrecognized = "unrecognized",
    /// A database that SQLite refuses, in whole or in part.
    DatabaseDamaged = "database_damaged",
    /// A query of a definition failed on this database.
    QueryFailed = "query_failed",
    /// A row of the source gave no record; the reason says why.
    RowRejected = "row_rejected",
    /// Rows out differ from rows in.
    RowCountMismatch = "row_count_mismatch",
    /// Two sources of one item claim the same key.
    DuplicateKey = "duplicate_key",
    /// A value could not be decoded; it is kept raw.
    ValueUndecodable = "value_undecodable",
    /// Text that is not valid in its encoding; it is kept raw.
    TextInvalid = "text_invalid",
    /// A date whose order of day and month, or whose zone, the text does not tell.
    DateAmbiguous = "date_ambiguous",
    /// A document that does not follow its own format.
    DocumentDamaged = "document_damaged",
    /// A companion file (`-wal`, `-journal`) that belongs to no database or does not fit it.
    CompanionOrphan = "companion_orphan",
    /// Something the evidence names was not in it.
    Missing = "missing",
    /// More problems of one kind on one item than are worth a row each; the detail counts the rest.
    Flood = "flood",
    /// A message on a topic that could not be decoded or is not valid.
    InvalidMessage = "invalid_message",
    /// Two entries share an id but differ.
    Conflict = "conflict",
}

/// What could not be read, where, why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// The exhibit.
    pub exhibit: Id,
    /// The item, where there is one.
    pub item: Option<Id>,
    /// The stage that met it.
    pub stage: Stage,
    /// Its stable code.
    pub code: Code,
    /// Place and reason: lower case, no full stop, names table and row or byte offset; evidence text only escaped.
    pub detail: String,
}

impl Problem {
    /// Its id.
    pub fn id(&self) -> Id {
        let item = self.item.unwrap_or_default();
        let parts = [
            self.exhibit.bytes(),
            item.bytes(),
            self.stage.name().as_bytes(),
            self.code.name().as_bytes(),
            self.detail.as_bytes(),
        ];
        Id::derive("problem", &parts)
    }
}
