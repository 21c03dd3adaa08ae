//! One worker's half of the sandbox: puts a unit's contents before its child, retries once, quarantines.

use super::child::Setup;
use super::death::Death;
use super::process::{Limits, Process};
use super::spool::{self, MEMORY_BYTES, Spool};
use crate::Context;
use model::{Entry, WorkUnit};
use std::fs;
use std::path::{Path, PathBuf};

/// Reads units, one at a time, each in a child that cannot do harm.
pub struct Supervisor<'a> {
    context: &'a Context,
    setup: &'a Setup,
    /// The child's folder; the child may write here and nowhere else.
    folder: PathBuf,
    process: Option<Process>,
    spool: Spool,
    /// Whether the folder may hold more than `main`.
    dirty: bool,
}

/// Attempts at a unit: the second is alone in a fresh child, so that nothing an earlier unit left behind is blamed on it.
const ATTEMPTS: usize = 2;

/// Ends of a child by a signal from outside that are not counted as attempts.
const OUTSIDE: usize = 8;

impl<'a> Supervisor<'a> {
    /// The supervisor of worker `number`; starts its first child.
    pub fn new(context: &'a Context, setup: &'a Setup, number: usize) -> Result<Supervisor<'a>, super::Error> {
        let folder = context.scratch.join(format!("child-{number}"));
        let spool = context.scratch.join(format!("spool-{number}"));
        super::create_private(&folder)?;
        let spool = Spool::new(spool, MEMORY_BYTES);
        let mut supervisor = Supervisor { context, setup, folder, process: None, spool, dirty: true };
        let process = supervisor.start()?;
        supervisor.process = Some(process);
        Ok(supervisor)
    }

    /// Starts a child. One that is ended from outside while it comes up is started again.
    fn start(&self) -> Result<Process, super::Error> {
        let start = || Process::start(&self.context.child, &self.folder, self.setup);
        let mut started = start();
        for _ in 0..OUTSIDE {
            if !matches!(started, Err(super::Error::Start { .. })) {
                break;
            }
            started = start();
        }
        let process = started?;
        if !process.support.full() && !self.setup.weak {
            return Err(super::Error::Unsupported(process.support));
        }
        Ok(process)
    }

    /// Reads a unit and gives every entry of it, in order: what the parser said, or, where its child was lost twice, why.
    /// Nothing is given before the unit is at its end.
    pub fn read<E>(&mut self, unit: &WorkUnit, each: impl FnMut(Entry) -> Result<(), E>) -> Result<(), E>
    where
        E: From<super::Error> + From<std::io::Error>,
    {
        if let Err(death) = self.attempt(unit)? {
            for body in death.quarantine(unit) {
                let bytes = model::wire::to_bytes(&body);
                self.spool.push(spool::entry(&body, &bytes))?;
            }
        }
        self.spool.drain(each)
    }

    /// Fills the spool with what the unit's parser says.
    fn attempt(&mut self, unit: &WorkUnit) -> Result<Result<(), Death>, super::Error> {
        let limits = Limits::of(&self.context.settings.sandbox, unit);
        let (mut attempts, mut outside) = (0, 0);
        loop {
            self.place(unit)?;
            let mut process = match self.process.take() {
                Some(process) if process.units < self.context.settings.sandbox.batch_items => process,
                _ => self.start()?,
            };
            let loss = match process.read(unit, limits, &mut self.spool)? {
                Ok(()) => {
                    self.process = Some(process);
                    return Ok(Ok(()));
                }
                Err(loss) => loss,
            };
            self.dirty = true;
            let death = process.bury(loss)?;
            self.spool.clear().map_err(super::Error::Scratch)?;
            tracing::debug!(item = %unit.primary.item.id, attempts, outside, ?death, "a parser child was lost");
            if death.is_from_outside() && outside < OUTSIDE {
                outside += 1;
            } else {
                attempts += 1;
            }
            if attempts == ATTEMPTS {
                empty(&self.folder)?;
                return Ok(Err(death));
            }
        }
    }

    /// Makes the child's folder hold the unit's contents and nothing else.
    fn place(&mut self, unit: &WorkUnit) -> Result<(), super::Error> {
        // Only SQLite leaves files beside `main`; after others, and if nothing died, writing over `main` is enough.
        if self.dirty {
            empty(&self.folder)?;
        }
        self.dirty = !leaves_nothing(unit);
        for (name, staged) in super::names(unit) {
            let copied = self.context.stage.fetch(staged.content, &self.folder.join(name)).map_err(super::Error::Stage)?;
            if copied != staged.item.size_bytes {
                return Err(super::Error::Content { content: staged.content, copied, expected: staged.item.size_bytes });
            }
        }
        stream::crash::point("normalize.fetched");
        Ok(())
    }
}

/// Whether reading the unit is known to leave no file but `main`: it has no companions, and ingest saw that it is no database.
fn leaves_nothing(unit: &WorkUnit) -> bool {
    let known = unit.primary.item.media_type.as_deref();
    unit.companions.is_empty() && known.is_some_and(|media_type| !media_type.contains("sqlite"))
}

/// Removes everything in a child's folder. A child can make plain files only; a folder is removed all the same, and nothing
/// is followed out of it.
fn empty(folder: &Path) -> Result<(), super::Error> {
    let remove = || -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        }
        Ok(())
    };
    remove().map_err(super::Error::Scratch)
}
