//! From records to sealed bundles.
//!
//! Reads: batches of entries from a stream; bundles, to verify them. Writes: a working store (resumable at any moment), one sealed
//! SQLite bundle for each exhibit whose ledger adds up. Guarantees: delivery may repeat, reorder or be cut by a crash, the bundle's
//! bytes are the same; a bundle appears under its name whole or not at all. Limits: memory is bounded by settings and by the
//! sightings of one observable in one item (about 150 bytes each); the sink is the only writer of its store.

pub mod bundle;
pub mod chain;
pub mod custody;
pub mod error;
pub mod exchange;
pub mod key;
pub mod keyring;
pub mod matching;
pub mod merge;
mod ordered;
mod people;
pub mod report;
pub mod seal;
pub mod search;
pub mod share;
pub mod sink;
pub mod stages;
pub mod verify;

pub use bundle::open::open_read_only;
pub use error::Error;
pub use key::UnitKey;
pub use matching::matching;
pub use merge::{Joining, MergeWatch, Merged, merge};
pub use seal::{Sealed, seal};
pub use sink::{ExhibitState, Sink};
pub use stages::{Context, Watch, done_items, file_stem, run};
pub use verify::{Report, verify};

use std::path::Path;

/// How far each exhibit of a working store is; its words are a line of `haul status`.
pub fn progress(store: &Path) -> Result<Vec<ExhibitState>, Error> {
    sink::read_states(store)
}
