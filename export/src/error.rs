//! What can stop the worker: the world is bad. Evidence never does.

use model::{Id, wire::WireError};
use std::path::PathBuf;

/// Why a sink, a seal or a verification cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A database cannot be read or written.
    #[error("{path}: {source}")]
    Store {
        /// The working store or bundle.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The transport cannot go on.
    #[error(transparent)]
    Stream(#[from] stream::Error),
    /// The unit's key cannot be used.
    #[error("key: {0}")]
    Key(#[from] ssh_key::Error),
    /// An entry in a working store cannot be decoded.
    #[error("entry {id}: {source}")]
    Entry {
        /// The entry.
        id: Id,
        /// Why.
        source: WireError,
    },
    /// A part of a report cannot be made.
    #[error("report: {0}")]
    Template(#[source] askama::Error),
    /// The working store is of another version's form.
    #[error("{0} was begun by another version of Haul; remove the folder that it lies in to begin anew")]
    OtherForm(PathBuf),
    /// Another process holds the working store.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// The stream ended and the exhibit is not complete.
    #[error("the stream ended but the exhibit is not complete: {0}")]
    Incomplete(String),
    /// A row has a value that its column may not hold: the program is wrong, not the evidence.
    #[error("table {table}: a row with a {column} that it may not have")]
    Misfit {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The file is no bundle of this format.
    #[error("{path}: {reason}")]
    NotABundle {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What is looked for cannot be looked for.
    #[error("{0}")]
    Query(String),
    /// A bundle to be joined does not hold.
    #[error("{path} {words}")]
    DoesNotHold {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        words: String,
    },
    /// Two bundles to be joined say different things of one row.
    #[error("{first} and {second} differ in table {table} row {key}: {words}")]
    Conflict {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// The table.
        table: &'static str,
        /// The key of the row.
        key: String,
        /// How they differ.
        words: String,
    },
    /// A chain of signed entries does not hold, or cannot be gone on with.
    #[error("{0}")]
    Chain(String),
    /// What was asked for cannot be shared, or not so.
    #[error("{0}")]
    Share(String),
    /// A file of a private match is not taken.
    #[error("refused: {0}")]
    Refused(#[from] crate::matching::refusal::Refusal),
    /// A thread of the seal or the verification has gone without a result.
    #[error("a worker thread ended without a result")]
    Thread,
}
