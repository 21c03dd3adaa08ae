//! `haul-export`: a worker of a fleet that reads `records` and `problems` and writes sealed bundles. Several share the partitions
//! if they share the output folder; each can be killed at any moment and goes on where its stores are.

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use config::Settings;
use export::chain::Hand;
use export::{Context, Sealed, UnitKey};
use model::Id;
use model::text::escape;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use stream::kafka;
use stream::worker::{EXIT_BUG, EXIT_STOPPED, EXIT_USAGE, stop_on_signal};

/// Writes and seals the bundles of a fleet.
#[derive(Parser, Debug)]
#[command(name = "haul-export", version, max_term_width = 110)]
struct Arguments {
    /// Settings file of the fleet
    #[arg(long)]
    config: PathBuf,
    /// Folder for the bundles; what is unfinished lies in .haul below it
    #[arg(long)]
    out: PathBuf,
    /// The unit's signing key, the same for every worker [default: haul/unit_ed25519 in the configuration folder]
    #[arg(long, env = "HAUL_KEY", conflicts_with = "unsigned")]
    key: Option<PathBuf>,
    /// Do not sign bundles; they say so
    #[arg(long)]
    unsigned: bool,
    /// Who runs the fleet, for custody entries [default: who is logged in]
    #[arg(long, env = "HAUL_ACTOR")]
    actor: Option<String>,
    /// End when so many exhibits are sealed; without, the worker runs until it is stopped
    #[arg(long, value_name = "N")]
    exit_when_sealed: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stream::worker::log_to_stderr();
    let code = match catch_unwind(AssertUnwindSafe(|| run(&arguments))) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            eprintln!("haul-export: {}", escape(&format!("{error:#}")));
            if resumable(&error) { EXIT_STOPPED } else { EXIT_USAGE }
        }
        Err(_) => EXIT_BUG,
    };
    ExitCode::from(code)
}

fn run(arguments: &Arguments) -> Result<()> {
    let settings = Settings::read(&arguments.config)?;
    let key = if arguments.unsigned { None } else { Some(unit_key(arguments.key.as_deref())?) };
    std::fs::create_dir_all(&arguments.out).with_context(|| format!("cannot create {}", arguments.out.display()))?;
    let out = std::fs::canonicalize(&arguments.out)?;
    let watch = Watch {
        stop: stop_on_signal(None)?,
        wanted: arguments.exit_when_sealed,
        sealed: Mutex::default(),
        key: key.clone(),
        actor: arguments.actor.clone(),
        sunk: AtomicU64::new(0),
    };
    let mut batches = kafka::batches(&settings.kafka)?;
    let context = Context { settings, work: out.join(".haul"), out, key: key.map(|(key, _)| key) };
    export::run(&context, &mut batches, &watch)?;
    Ok(())
}

/// The unit's key. A worker makes none: several that each made one would sign for different units.
fn unit_key(path: Option<&Path>) -> Result<(UnitKey, PathBuf)> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => {
            let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            let folder = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
            folder.context("--key is not given and there is no home folder")?.join("haul").join("unit_ed25519")
        }
    };
    if !path.exists() {
        bail!("there is no key {}: `haul keygen` makes one, or say --unsigned", path.display());
    }
    let key = UnitKey::read(&path).with_context(|| format!("cannot use the key {}", path.display()))?;
    Ok((key, path))
}

/// Whether starting the worker again can help: the world was bad, not the words.
fn resumable(error: &anyhow::Error) -> bool {
    use export::Error;
    error.chain().any(|cause| match (cause.downcast_ref::<Error>(), cause.downcast_ref::<stream::Error>()) {
        (Some(Error::Stream(error)), _) | (None, Some(error)) => stream::worker::is_resumable(error),
        (Some(error), _) => !matches!(error, Error::Key(_)),
        (None, None) => false,
    })
}

/// Counts, tells the log, and says when to end.
struct Watch {
    stop: Arc<AtomicBool>,
    wanted: Option<usize>,
    sealed: Mutex<HashSet<Id>>,
    /// The unit's key and where it lies.
    key: Option<(UnitKey, PathBuf)>,
    actor: Option<String>,
    sunk: AtomicU64,
}

impl Watch {
    fn sealed_count(&self) -> usize {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl export::Watch for Watch {
    fn sunk(&self, entries: u64) {
        let before = self.sunk.fetch_add(entries, Ordering::Relaxed);
        let after = before.saturating_add(entries);
        if before / 1_000_000 != after / 1_000_000 {
            tracing::info!(entries = after, "sunk");
        }
    }

    fn sealing(&self, exhibit: Id) {
        tracing::info!(%exhibit, "sealing");
    }

    fn sealed(&self, sealed: &Sealed) {
        tracing::info!(exhibit = %sealed.exhibit, content_root = %sealed.content_root, "sealed");
        if let Some((key, path)) = &self.key {
            let hand = Hand::at(key.clone(), path, self.actor.clone(), "sealed by a fleet".to_owned());
            // The bundle is sealed whether or not that can be written beside it; starting the worker again tries again.
            if let Err(error) = export::custody::sealed(&hand, &sealed.path) {
                tracing::error!(exhibit = %sealed.exhibit, "custody: {error}");
            }
        }
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).insert(sealed.exhibit);
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.wanted.is_some_and(|wanted| self.sealed_count() >= wanted)
    }
}
