//! `haul-ingest`: a worker of a fleet that walks, hashes, scans and stages exhibits and writes to all three topics. It keeps
//! nothing: started again it walks and publishes again, and the same content has the same ids.

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use config::Settings;
use ingest::Job;
use model::text::escape;
use model::{Exhibit, Id};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use stream::Publish;
use stream::kafka::Publisher;
use stream::stage::Stage;
use stream::worker::{EXIT_BUG, EXIT_STOPPED, EXIT_USAGE, exit_on_signal};

/// Walks, hashes, scans and stages exhibits for a fleet.
#[derive(Parser, Debug)]
#[command(name = "haul-ingest", version, max_term_width = 110)]
struct Arguments {
    /// Settings file of the fleet
    #[arg(long)]
    config: PathBuf,
    /// Label of the case
    #[arg(long = "case")]
    case_label: String,
    /// Exhibit number; the name of EVIDENCE unless given (one EVIDENCE only)
    #[arg(long)]
    exhibit: Option<String>,
    /// What the exhibit is
    #[arg(long, default_value = "unknown", value_parser = ["phone", "computer", "unknown"])]
    kind: String,
    /// Password to try on encrypted archives (can be repeated)
    #[arg(long = "password")]
    passwords: Vec<String>,
    /// Folders, files, archives: one exhibit each
    #[arg(required = true)]
    evidence: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stream::worker::log_to_stderr();
    let code = match catch_unwind(AssertUnwindSafe(|| run(&arguments))) {
        Ok(Ok(true)) => 0,
        Ok(Ok(false)) => 1,
        Ok(Err(error)) => {
            eprintln!("haul-ingest: {}", escape(&format!("{error:#}")));
            if resumable(&error) { EXIT_STOPPED } else { EXIT_USAGE }
        }
        Err(_) => EXIT_BUG,
    };
    ExitCode::from(code)
}

/// Publishes every exhibit; false if part of one could not be read to its end.
fn run(arguments: &Arguments) -> Result<bool> {
    let settings = Settings::read(&arguments.config)?;
    let jobs = jobs(arguments)?;
    if settings.stage.url.is_empty() {
        bail!("stage.url is not set: a fleet needs a stage that every worker reaches (a shared folder, or s3://bucket/prefix)");
    }
    let stage = Stage::open(&settings.stage.url, &settings.stage.options)?;
    exit_on_signal()?;
    let publisher = Publisher::connect(&settings.kafka)?;
    let mut complete = true;
    for job in &jobs {
        let exhibit = Exhibit::id_of(&job.case_label, &job.number);
        tracing::info!(%exhibit, "walking");
        let count = Count::default();
        let end = ingest::run(job, &settings, &stage, &publisher, &count)?;
        publisher.flush()?;
        tracing::info!(%exhibit, items = end.items, complete = end.complete, "published");
        complete &= end.complete;
    }
    Ok(complete)
}

/// The jobs of the arguments; two exhibits of one number are refused.
fn jobs(arguments: &Arguments) -> Result<Vec<Job>> {
    if arguments.exhibit.is_some() && arguments.evidence.len() > 1 {
        bail!("--exhibit names one exhibit, but {} were given", arguments.evidence.len());
    }
    let jobs: Vec<Job> = arguments.evidence.iter().map(|evidence| job(evidence, arguments)).collect::<Result<_>>()?;
    let mut numbers = BTreeSet::new();
    if let Some(job) = jobs.iter().find(|job| !numbers.insert(job.number.clone())) {
        bail!("exhibit number {} stands for two exhibits: ingest one of them with --exhibit", job.number);
    }
    Ok(jobs)
}

fn job(evidence: &Path, arguments: &Arguments) -> Result<Job> {
    let evidence = std::fs::canonicalize(evidence).with_context(|| format!("cannot open {}", evidence.display()))?;
    let name = evidence.file_name().map(|name| name.to_string_lossy().into_owned());
    let Some(number) = arguments.exhibit.clone().or(name).filter(|number| !number.is_empty()) else {
        bail!("{} has no name: give its number with --exhibit", evidence.display());
    };
    let (case_label, kind) = (arguments.case_label.clone(), arguments.kind.clone());
    Ok(Job { evidence, case_label, number, kind, passwords: arguments.passwords.clone() })
}

/// Whether starting the worker again can help: the world was bad, not the words.
fn resumable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<stream::Error>() {
        Some(error) => stream::worker::is_resumable(error),
        None => cause.is::<ingest::Error>(),
    })
}

/// Tells the log now and then how much was read: numbers, no names.
#[derive(Default)]
struct Count {
    items: AtomicU64,
    bytes: AtomicU64,
}

impl ingest::Watch for Count {
    fn done(&self, _item: Id) -> bool {
        false
    }

    fn listed(&self, items: u64, bytes: u64) {
        tracing::debug!(items, bytes, "listed");
    }

    fn reading(&self, _path: &str) {}

    fn read(&self, items: u64, bytes: u64) {
        let before = self.items.fetch_add(items, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let after = before.saturating_add(items);
        if before / 10_000 != after / 10_000 {
            tracing::info!(items = after, bytes, "read");
        }
    }
}
