//! One worker's half of the sandbox: puts a unit's contents before its child, retries once, quarantines.

use super::child::Setup;
use super::death::Death;
use super::process::{Limits, Process};
use super::spool::{self, MEMORY_BYTES, Spool};
use crate::Context;
use model::{Entry, StagedItem, WorkUnit};
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use stream::stage::SMALL_BYTES;

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
        let outcome = self.attempt(unit)?;
        for staged in std::iter::once(&unit.primary).chain(&unit.companions) {
            self.context.stage.release(staged.content);
        }
        if let Err(death) = outcome {
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
        let content = self.small(unit)?;
        loop {
            self.place(unit, content.is_some())?;
            let mut process = match self.process.take() {
                Some(process) if process.units < self.context.settings.sandbox.batch_items => process,
                _ => self.start()?,
            };
            let loss = match process.read(unit, content.as_deref(), limits, &mut self.spool)? {
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

    /// The content of a unit that is small and stands alone: it goes to the child through its pipe, which makes a file of it only if
    /// something reads it.
    fn small(&self, unit: &WorkUnit) -> Result<Option<impl Deref<Target = [u8]> + use<>>, super::Error> {
        let StagedItem { item, content, .. } = &unit.primary;
        if item.size_bytes > SMALL_BYTES as u64 || !unit.companions.is_empty() {
            return Ok(None);
        }
        let small = self.context.stage.read(*content).map_err(super::Error::Stage)?;
        check_size(&unit.primary, small.len() as u64)?;
        Ok(Some(small))
    }

    /// Makes the child's folder hold the unit's contents, unless they go through its pipe, and nothing else.
    fn place(&mut self, unit: &WorkUnit, through_pipe: bool) -> Result<(), super::Error> {
        // Only SQLite leaves files beside `main`; after others, and if nothing died, writing over `main` is enough.
        if self.dirty {
            empty(&self.folder)?;
        }
        self.dirty = !leaves_nothing(unit);
        let files = if through_pipe { Vec::new() } else { super::names(unit) };
        for (name, staged) in files {
            let copied = self.context.stage.fetch(staged.content, &self.folder.join(name)).map_err(super::Error::Stage)?;
            check_size(staged, copied)?;
        }
        stream::crash::point("normalize.fetched");
        Ok(())
    }
}

fn check_size(staged: &StagedItem, copied: u64) -> Result<(), super::Error> {
    let (content, expected) = (staged.content, staged.item.size_bytes);
    if copied == expected { Ok(()) } else { Err(super::Error::Content { content, copied, expected }) }
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
