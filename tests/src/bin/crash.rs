//! Crash trials: SIGKILL at seeded random moments and at named points, then the same command again, until the exhibit is
//! sealed. Every trial must end in the bundle of the uninterrupted run, byte for byte, with the evidence unchanged to its
//! last timestamp.
//!
//! `cargo run --release -p tests --bin crash -- --trials 200 --seed 1` runs half over the embedded transport and half over a
//! real broker, broker kills included, and prints a histogram of what was killed where.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a trial that cannot go on stops")]

use clap::Parser;
use std::path::{Path, PathBuf};
use tests::crash::{self, Report, Trials};
use tests::evidence::Size;

/// Crash trials.
#[derive(Parser)]
struct Arguments {
    /// How many trials in all
    #[arg(long, default_value_t = 200)]
    trials: u32,
    /// Seed of the random moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of trials over Kafka, percent
    #[arg(long, default_value_t = 40)]
    kafka_percent: u32,
    /// Messages in the evidence: more of them make longer runs
    #[arg(long, default_value_t = 6_000)]
    messages: u32,
    /// Folder for evidence, output and the broker [default: a temporary one]
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.folder.as_deref().unwrap_or(temporary.path());
    let report = all(&arguments, folder);
    println!("{report}");
    assert!(report.failures.is_empty(), "{} trials failed", report.failures.len());
}

fn all(arguments: &Arguments, folder: &Path) -> Report {
    let size = Size { sms: arguments.messages, telegram: arguments.messages / 2, pictures: 150 };
    let trials = Trials::prepare(folder, size, arguments.seed);
    let over_kafka = arguments.trials * arguments.kafka_percent / 100;
    let mut report = Report::default();
    crash::embedded(&trials, arguments.trials - over_kafka, &mut report);
    if over_kafka > 0 {
        crash::kafka(&trials, over_kafka, &mut report);
    }
    report
}
