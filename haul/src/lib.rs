//! The one command of a workbench.
//!
//! Reads: evidence (through `ingest` alone), settings, bundles. Writes: bundles and run records in the output folder, the
//! unit's key on first use, words to stderr, data to stdout. Guarantees: `haul run` typed again goes on where it stopped and
//! ends in the same bundle; an exhibit that fails holds up no other. Limits: as many exhibits at once as
//! memory and workers allow ([`several`]).

pub mod artifacts;
pub mod cli;
pub mod custody;
pub mod exchange;
pub mod explain;
pub mod inventory;
pub mod journal;
pub mod keys;
pub mod matching;
pub mod merge;
pub mod progress;
pub mod raid;
pub mod report;
pub mod run;
pub mod search;
pub mod several;
pub mod share;
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
        Command::Report(arguments) => report::report(&arguments),
        Command::Share(arguments) => share::share(&arguments),
        Command::Open(arguments) => share::open(&arguments),
        Command::Keygen(arguments) => keys::keygen(&arguments),
        Command::Keys(arguments) => keys::keys(&arguments),
        Command::Custody(arguments) => custody::command(&arguments),
        Command::Topics(arguments) => topics(&arguments),
        Command::Artifacts(arguments) => artifacts::artifacts(&arguments),
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

/// Whether an error means that the run can be typed again as it is: the world was bad (disk full, broker gone), not the words.
pub fn resumable(error: &anyhow::Error) -> bool {
    // What was asked for cannot be shared: asking again is no help.
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(export::Error::Share(_)))) {
        return false;
    }
    error.chain().any(|cause| {
        let of_a_stage = cause.is::<ingest::Error>() || cause.is::<normalize::Error>() || cause.is::<export::Error>();
        stream_error(cause).map_or(of_a_stage, stream::worker::is_resumable)
    })
}

/// The stream's error that a stage passes on: its own words are the stage's, so it is no link of the chain.
fn stream_error<'e>(cause: &'e (dyn std::error::Error + 'static)) -> Option<&'e stream::Error> {
    if let Some(ingest::Error::Stream(error)) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(normalize::Error::Stream(error)) = cause.downcast_ref() {
        return Some(error);
    }
    match cause.downcast_ref() {
        Some(export::Error::Stream(error)) => Some(error),
        _ => cause.downcast_ref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_settings_say_wrongly_is_not_typed_again() {
        let settings = || stream::Error::Settings("no such topic".to_owned());
        let wrong: [anyhow::Error; 4] = [
            settings().into(),
            ingest::Error::Stream(settings()).into(),
            normalize::Error::Stream(settings()).into(),
            anyhow::Error::from(export::Error::Stream(settings())).context("while sealing"),
        ];
        assert!(wrong.iter().all(|error| !resumable(error)));
        let bad = [stream::Error::Closed.into(), ingest::Error::Stream(stream::Error::Closed).into()];
        assert!(bad.iter().all(resumable));
        assert!(!resumable(&anyhow::anyhow!("no such file")));
    }
}
