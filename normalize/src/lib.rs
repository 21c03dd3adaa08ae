//! From staged items to records, in a sandbox.
//!
//! **Reads** topic `items` ([`model::WorkUnit`]s) and the staged contents they name. **Writes** topics `records` and
//! `problems`: every record, sighting, secret, count and problem of a unit, then its items with their final status.
//!
//! **Guarantees.** Evidence is parsed in child processes only, which reach nothing but their own scratch folder ([`sandbox`]).
//! Whatever a unit does to its parser costs that unit and no other. The entries of a unit depend on the unit, the settings
//! and the definitions, not on workers, order or earlier deaths. A delivery is acknowledged when all it led to is safe in
//! the stream; it may be repeated, with the same entries.
//!
//! **Limits.** Memory: one unit's output up to 8 MiB for each worker (the rest waits in a file), one message of output, and
//! `sandbox.memory_bytes` for each child. Time, output and values: `[sandbox]` and `[normalize]` of the settings.

pub mod artifact;
pub mod decode;
pub mod emit;
#[cfg(test)]
mod evidence;
pub mod find;
pub mod parse;
pub mod raw;
pub mod read;
pub mod recover;
pub mod sandbox;
pub mod scratch;

use model::WorkUnit;
use std::path::PathBuf;
use stream::stage::Stage;
use stream::{Publish, Receive};

/// What a normalize worker needs.
pub struct Context {
    /// All settings.
    pub settings: config::Settings,
    /// Where staged contents lie.
    pub stage: Stage,
    /// A folder of its own: emptied at the start, private to this user.
    pub scratch: PathBuf,
    /// A folder with definitions beside the embedded ones.
    pub artifacts: Option<PathBuf>,
    /// Parse even if the kernel cannot confine parsers.
    pub weak_sandbox: bool,
    /// The program that is run as parser child: it must call [`sandbox::child::enter_if_asked`] first thing.
    pub child: PathBuf,
}

/// Hears how far normalize has come.
pub trait Watch: Send + Sync {
    /// So many more units are parsed and published.
    fn parsed(&self, units: u64);
}

/// Why normalize cannot go on. The world is bad, not the evidence: stop, and resume later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream.
    #[error(transparent)]
    Stream(#[from] stream::Error),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// Scratch files.
    #[error("scratch folder: {0}")]
    Scratch(#[from] std::io::Error),
    /// Workers ended without saying why.
    #[error("the parser workers have stopped")]
    Stopped,
}

/// Fetches every unit's contents, has them identified, parsed and searched in the sandbox, publishes what came out, and
/// acknowledges. Returns when the stream of units is closed.
pub fn run(context: &Context, units: &mut dyn Receive<WorkUnit>, out: &dyn Publish, watch: &dyn Watch) -> Result<(), Error> {
    sandbox::require(context)?;
    sandbox::prepare_scratch(&context.scratch)?;
    let setup = sandbox::setup(context)?;
    sandbox::work(context, &setup, units, out, watch)
}
