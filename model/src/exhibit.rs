//! A seized thing or its image.

use crate::id::Id;
use serde::{Deserialize, Serialize};

/// A seized thing or its image, with its exhibit number (`investigation:exhibitNumber`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Exhibit {
    /// Derived from case label and number.
    pub id: Id,
    /// The case it belongs to.
    pub case_label: String,
    /// Its number in that case.
    pub number: String,
    /// `phone`, `computer` or `unknown`: what the technician said, never guessed.
    pub kind: String,
    /// How the evidence came: `directory`, `file`, `zip`, `tar`, …
    pub container: String,
    /// Bytes of the container file; of all its items for a directory.
    pub size_bytes: u64,
    /// SHA-256 of the container file, lower-case hex; `None` for a directory, which has no bytes of its own.
    pub sha256: Option<String>,
}

impl Exhibit {
    /// The id of the exhibit with that number in that case.
    pub fn id_of(case_label: &str, number: &str) -> Id {
        Id::derive("exhibit", &[case_label.as_bytes(), number.as_bytes()])
    }
}

/// What ingest says when it has walked an exhibit to its end: the sink counts against it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ExhibitEnd {
    /// The exhibit.
    pub exhibit: Id,
    /// How many [`crate::Item`]s it has, items inside items included.
    pub items: u64,
    /// How many directories were listed.
    pub directories: u64,
    /// How many problems ingest has told of that belong to no item (an unreadable folder, say).
    pub problems: u64,
    /// False if part of the exhibit could not be listed or read: `haul run` then ends with exit code 1.
    pub complete: bool,
}
