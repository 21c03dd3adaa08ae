//! What the whole-pipeline tests, the crash trials and the benchmarks share.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

pub mod broker;
pub mod command;
pub mod crash;
pub mod evidence;
pub mod pages;
pub mod random;
pub mod snapshot;
pub mod unit;

use std::path::PathBuf;

/// The checkout.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A folder of the shared corpus; `None` where it is not mounted (a user's machine).
pub fn corpus() -> Option<PathBuf> {
    let path = root().parent()?.join("shared/corpus");
    path.exists().then_some(path)
}
