//! Named points where a test may kill the process: `HAUL_CRASH_AT=<point>:<n>` sends SIGKILL at the n-th pass of that point.
//!
//! This is how crash equivalence is tested at the moments that matter most (between a publish and its acknowledgement, between
//! two writes of a seal). Without the variable a pass costs one atomic load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every point that the pipeline passes.
pub const POINTS: &[&str] = &[
    "ingest.unit.sent",
    "ingest.item.sent",
    "ingest.end.sent",
    "stage.written",
    "normalize.fetched",
    "normalize.published",
    "normalize.acknowledged",
    "sink.applied",
    "sink.committed",
    "seal.begun",
    "seal.written",
    "seal.renamed",
];

/// The variable that arms a point.
const VARIABLE: &str = "HAUL_CRASH_AT";

static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();

/// Passes a point; kills the process if the test asked for it here.
pub fn point(name: &str) {
    debug_assert!(POINTS.contains(&name), "{name} is not in the list of points");
    let Some((armed, passes)) = ARMED.get_or_init(armed) else { return };
    if armed == name && passes.fetch_sub(1, Ordering::Relaxed) == 1 {
        let outcome = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        unreachable!("killing ourselves at {name} failed: {outcome:?}");
    }
}

fn armed() -> Option<(String, AtomicU64)> {
    let value = std::env::var(VARIABLE).ok()?;
    let (name, passes) = value.split_once(':')?;
    Some((name.to_owned(), AtomicU64::new(passes.parse().ok()?)))
}
