//! The share of the crash trials that fits into a test run; `--bin crash` runs as many as wanted.

#![allow(clippy::unwrap_used)]

use tests::crash::{self, Report, Trials};
use tests::evidence::Size;

/// So many trials, unless `HAUL_CRASH_TRIALS` says otherwise.
fn trials(default: u32) -> u32 {
    std::env::var("HAUL_CRASH_TRIALS").map_or(default, |count| count.parse().unwrap())
}

#[test]
fn killed_runs_end_in_the_same_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size { sms: 4_000, telegram: 2_000, pictures: 100 };
    let prepared = Trials::prepare(folder.path(), size, 2);
    let mut report = Report::default();
    crash::embedded(&prepared, trials(30), &mut report);
    crash::kafka(&prepared, trials(30) / 5, &mut report);
    eprintln!("{report}");
    assert!(report.failures.is_empty(), "{report}");
    assert!(!report.kills.is_empty());
}
