//! `haul-normalize`: a worker of a fleet that reads `items` and writes `records` and `problems`. Any number of them share the
//! work; each can be killed at any moment, and what it had not acknowledged goes to another.

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use config::Settings;
use model::text::escape;
use normalize::{Context, sandbox};
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use stream::kafka::{self, Publisher};
use stream::stage::Stage;
use stream::worker::{EXIT_BUG, EXIT_STOPPED, EXIT_USAGE, stop_on_signal};

/// Parses staged items, as one of any number of workers.
#[derive(Parser, Debug)]
#[command(name = "haul-normalize", version, max_term_width = 110)]
struct Arguments {
    /// Settings file of the fleet
    #[arg(long)]
    config: PathBuf,
    /// Folder with artifact definitions of your own, the same for every worker
    #[arg(long)]
    artifacts: Option<PathBuf>,
    /// Parse although the kernel cannot confine the parsers
    #[arg(long)]
    weak_sandbox: bool,
    /// Folder for copies of what is being parsed, one for each worker [default: a temporary folder]
    #[arg(long)]
    scratch: Option<PathBuf>,
}

fn main() -> ExitCode {
    // Parser processes are this same program: nothing may happen before they lock themselves in.
    sandbox::child::enter_if_asked();
    let arguments = Arguments::parse();
    stream::worker::log_to_stderr();
    let code = match catch_unwind(AssertUnwindSafe(|| run(&arguments))) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            eprintln!("haul-normalize: {}", escape(&format!("{error:#}")));
            if resumable(&error) { EXIT_STOPPED } else { EXIT_USAGE }
        }
        Err(_) => EXIT_BUG,
    };
    ExitCode::from(code)
}

fn run(arguments: &Arguments) -> Result<()> {
    let settings = Settings::read(&arguments.config)?;
    let support = sandbox::support();
    if !support.full() && !arguments.weak_sandbox {
        bail!("this kernel cannot confine parsers ({support}); --weak-sandbox parses all the same");
    }
    if settings.stage.url.is_empty() {
        bail!("stage.url is not set: a fleet needs a stage that every worker reaches (a shared folder, or s3://bucket/prefix)");
    }
    let stage = Stage::open(&settings.stage.url, &settings.stage.options)?;
    let scratch = Scratch::claim(arguments.scratch.as_deref())?;
    let publisher = Arc::new(Publisher::connect(&settings.kafka)?);
    let stop = stop_on_signal(Some(publisher.clone()))?;
    let mut units = kafka::units(&settings.kafka)?.until(stop);
    let context = Context {
        settings,
        stage,
        scratch: scratch.folder.clone(),
        artifacts: arguments.artifacts.clone(),
        weak_sandbox: arguments.weak_sandbox,
        child: std::env::current_exe().context("cannot find this program")?,
    };
    normalize::run(&context, &mut units, publisher.as_ref(), &Count::default())?;
    Ok(())
}

/// Whether starting the worker again can help: the world was bad, not the words.
fn resumable(error: &anyhow::Error) -> bool {
    use normalize::Error;
    error.chain().any(|cause| match (cause.downcast_ref::<Error>(), cause.downcast_ref::<stream::Error>()) {
        (Some(Error::Stream(error)), _) | (None, Some(error)) => stream::worker::is_resumable(error),
        (Some(error), _) => !matches!(error, Error::Sandbox(sandbox::Error::Artifacts(_) | sandbox::Error::Unsupported(_))),
        (None, None) => false,
    })
}

/// The worker's scratch folder, which nobody else uses.
struct Scratch {
    folder: PathBuf,
    _lock: File,
    /// Removes the folder at the end, if it is a temporary one.
    _temporary: Option<tempfile::TempDir>,
}

impl Scratch {
    /// Takes a folder below `parent` for this worker alone; it is emptied.
    fn claim(parent: Option<&Path>) -> Result<Scratch> {
        let temporary =
            if parent.is_none() { Some(tempfile::tempdir().context("cannot make a temporary folder")?) } else { None };
        let Some(parent) = parent.or(temporary.as_ref().map(|folder| folder.path())) else { bail!("no scratch folder") };
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        let lock = File::options().create(true).truncate(false).write(true).open(parent.join("haul-normalize.lock"))?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("another worker uses {}: give each its own --scratch", parent.display());
        }
        Ok(Scratch { folder: parent.join("haul-normalize"), _lock: lock, _temporary: temporary })
    }
}

/// Tells the log now and then how much was done.
#[derive(Default)]
struct Count {
    units: AtomicU64,
}

impl normalize::Watch for Count {
    fn parsed(&self, units: u64) {
        let before = self.units.fetch_add(units, Ordering::Relaxed);
        let after = before.saturating_add(units);
        if before / 1000 != after / 1000 {
            tracing::info!(units = after, "parsed");
        }
    }
}
