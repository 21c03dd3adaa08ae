//! Parsers run in child processes that can reach one folder and nothing else.
//!
//! A supervisor (this process; it never parses) gives each child one unit at a time: it copies the unit's contents into the child's
//! folder, sends a job over a pipe, checks every body that comes back and publishes them when the unit is at its end. A
//! child that dies, is late, says too much or lies is replaced and its unit tried once more, alone in a fresh child; then
//! exactly that unit is quarantined. So a unit's entries are the same however often a child died, and none is ever half published.
//!
//! A child has an empty environment, no privileges, no descriptors but three pipes, limits on memory, time, files and output
//! ([`confine`]), Landlock that leaves it plain files in its own folder, and a filter that leaves it the system calls for reading them
//! ([`filter`]). What that does not prevent, and is accepted: it can ask whether a path exists (`stat`), fill its own
//! folder until its time is up, and, once taken over, speak for the later units of its batch in their own name.

mod account;
pub mod child;
pub mod confine;
mod crew;
mod death;
mod distinct;
mod filter;
mod frame;
mod process;
mod spool;
mod supervisor;

pub use confine::{Support, support};
pub use crew::work;

use crate::{Context, artifact};
use model::{Digest, StagedItem, WorkUnit};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Why parsers cannot be run. The world is bad, not the evidence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel offers too little.
    #[error("this kernel cannot confine parsers ({0}); --weak-sandbox parses all the same")]
    Unsupported(Support),
    /// The definitions.
    #[error(transparent)]
    Artifacts(#[from] artifact::Error),
    /// The child could not be started.
    #[error("cannot start a parser process: {source}")]
    Start {
        /// Why.
        source: io::Error,
    },
    /// The child could not lock itself in or begin.
    #[error("a parser process cannot begin: {0}")]
    Refused(String),
    /// A pipe to a child broke in a way that is not the child's end.
    #[error("cannot speak with a parser process: {0}")]
    Pipe(io::Error),
    /// The scratch folder.
    #[error("scratch folder: {0}")]
    Scratch(io::Error),
    /// The stage.
    #[error("cannot fetch staged content: {0}")]
    Stage(stream::Error),
    /// The stage holds something else than was staged.
    #[error("staged content {content} has {copied} bytes instead of {expected}")]
    Content {
        /// Its key.
        content: Digest,
        /// Bytes in the stage.
        copied: u64,
        /// Bytes that were staged.
        expected: u64,
    },
}

/// Refuses a kernel that cannot confine parsers, unless that is wanted.
pub fn require(context: &Context) -> Result<Support, Error> {
    let support = support();
    if support.full() || context.weak_sandbox { Ok(support) } else { Err(Error::Unsupported(support)) }
}

/// What every child of this run is told: limits, and the definitions, which are read once so that all children have the same.
pub fn setup(context: &Context) -> Result<child::Setup, Error> {
    let mut definitions = match &context.artifacts {
        Some(folder) => artifact::read_folder(folder)?,
        None => Vec::new(),
    };
    definitions.sort();
    let settings = &context.settings;
    // A body holds a value and its normalized form, and little else.
    let body_cap_bytes = settings.normalize.cap_value_bytes.saturating_mul(2).saturating_add(1 << 20);
    Ok(child::Setup {
        memory_bytes: settings.sandbox.memory_bytes,
        body_cap_bytes,
        weak: context.weak_sandbox,
        limits: settings.normalize.clone(),
        definitions,
    })
}

/// Makes the scratch folder, private to this user, and empties it of what an earlier run left.
pub fn prepare_scratch(scratch: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::Scratch(error)),
        _ => {}
    }
    create_private(scratch)
}

fn create_private(folder: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::Scratch)
}

/// The files of a unit in a child's folder: `main`, `main-wal`, `main-journal`; other companions are numbered.
fn names(unit: &WorkUnit) -> Vec<(String, &StagedItem)> {
    let mut names = vec![("main".to_owned(), &unit.primary)];
    for (number, companion) in unit.companions.iter().enumerate() {
        let known = ["main-wal", "main-journal"].into_iter().find(|known| {
            known.strip_prefix("main").is_some_and(|suffix| companion.name.ends_with(suffix.as_bytes()))
                && names.iter().all(|(taken, _)| taken != known)
        });
        names.push((known.map_or_else(|| format!("companion-{number}"), str::to_owned), companion));
    }
    names
}
