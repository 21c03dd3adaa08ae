//! Why ingest cannot go on.

use std::path::PathBuf;

/// The world is bad, not the evidence: stop cleanly, and resume later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The evidence itself cannot be opened.
    #[error("cannot open the evidence {path}: {source}")]
    Evidence {
        /// Where it should lie.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The stream or the stage.
    #[error(transparent)]
    Stream(#[from] stream::Error),
    /// A temporary file for an archive inside an archive.
    #[error("temporary file: {0}")]
    Temporary(std::io::Error),
    /// `explain` asked for an item that is not there.
    #[error("the evidence has no such item: {0}")]
    NoItem(String),
}
