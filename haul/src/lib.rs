//! The one command of a workbench.
//!
//! Reads: evidence (through `ingest` alone), settings, bundles. Writes: bundles and run records in the output folder, the
//! unit's key on first use, words to stderr, data to stdout. Guarantees: `haul run` typed again goes on where it stopped and
//! ends in the same bundle; an exhibit that fails holds up no other. Limits: as many exhibits at once as
//! memory and workers allow ([`several`]).

pub mod cli;
pub mod exchange;
pub mod explain;
pub mod inventory;
pub mod journal;
pub mod keys;
pub mod matching;
pub mod merge;
pub mod progress;
pub mod raid;
pub mod run;
pub mod search;
pub mod several;
pub mod status;
pub mod summary;
pub mod verify;

use anyhow::Result;
use cli::Command;
use std::io::Write;

/// Exit code for usage and configuration errors.
pub const EXIT_USAGE: u8 = 2;
/// Exit code for a run that stopped and can be resumed.
pub const EXIT_STOPPED: u8 = 75;

/// Does what was typed; the exit code.
pub fn dispatch(command: Command) -> Result<u8> {
    match command {
        Command::Run(arguments) => run::run(arguments),
        Command::Inventory(arguments) => inventory::inventory(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Verify(arguments) => verify::verify(&arguments),
        Command::Merge(arguments) => merge::merge(&arguments),
        Command::Match(arguments) => matching::matching(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Search(arguments) => search::search(&arguments.settle()),
        Command::Export(arguments) => exchange::export(&arguments),
        Command::Keygen(arguments) => keys::keygen(&arguments),
        Command::Topics(arguments) => topics(&arguments),
        Command::Artifacts(arguments) => artifacts(&arguments),
    }
}

/// `haul topics`: creates what is missing.
fn topics(arguments: &cli::Topics) -> Result<u8> {
    let settings = match &arguments.config {
        Some(path) => config::Settings::read(path)?,
        None => config::Settings::default(),
    };
    let mut out = std::io::stdout().lock();
    for line in stream::kafka::create_topics(&settings.kafka)? {
        writeln!(out, "{line}")?;
    }
    Ok(0)
}

/// `haul artifacts`: every definition and parser.
fn artifacts(arguments: &cli::Artifacts) -> Result<u8> {
    let set = normalize::artifact::Set::load(arguments.artifacts.as_deref())?;
    let mut out = std::io::stdout().lock();
    for line in set.list() {
        writeln!(out, "{line}")?;
    }
    for parser in normalize::parse::PARSERS {
        writeln!(out, "{} · parser · version {}", parser.name(), parser.version())?;
    }
    Ok(0)
}

/// Whether an error means that the run can be typed again as it is: the world was bad (disk full, broker gone), not the words.
pub fn resumable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<ingest::Error>()
            || cause.is::<normalize::Error>()
            || cause.is::<export::Error>()
            || cause.is::<stream::Error>()
    })
}
