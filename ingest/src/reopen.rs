//! Back to the bytes of one item, through every container: what `haul explain` reads.

use crate::evidence::{self, Source};
use crate::open::{self, Container, Entry, HEAD_BYTES, backup};
use crate::read::fill;
use crate::spool::Spool;
use crate::{Error, Job};
use config::Settings;
use model::{Exhibit, Id, Item};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One item on the way.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its id.
    pub item: Id,
    /// Its path from the root of the exhibit, byte for byte.
    pub path: Vec<u8>,
}

/// The content of the last item of a chain that begins with the outermost one.
pub fn reopen(job: &Job, settings: &Settings, chain: &[Step]) -> Result<Box<dyn Read>, Error> {
    let Some((first, inner)) = chain.split_first() else { return Err(Error::NoItem("an empty chain".to_owned())) };
    let failed = |source| Error::Evidence { path: job.evidence.clone(), source };
    let folder = evidence::facts(&job.evidence).map_err(failed)?.kind.is_none();
    let mut source = if folder {
        Source::below(&job.evidence, &first.path, true)
    } else {
        let name = job.evidence.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        Source::below(job.evidence.parent().unwrap_or(Path::new("")), &name, false)
    }
    .map_err(failed)?;
    let exhibit = Exhibit::id_of(&job.case_label, &job.number);
    let (mut parent, mut inner) = (first, inner);
    if folder
        && let (Some((step, rest)), Some(prefix)) = (inner.split_first(), backup::folder_of(&first.path))
        && let Some(backup) = backup::reopen(&job.evidence, prefix, settings, &job.passwords)
    {
        source = entry_of(&*backup, &|entry| {
            let path = [prefix, &entry.path[..]].concat();
            Item::id_of(exhibit, Some(first.item), &path, entry.ordinal, entry.deleted) == step.item
        })?;
        (parent, inner) = (step, rest);
    }
    for (depth, step) in inner.iter().enumerate() {
        let own = !folder && depth == 0;
        let prefix = if own { Vec::new() } else { [&parent.path[..], b"/"].concat() };
        source = member(&source, settings, &job.passwords, &|entry| {
            let path = [&prefix[..], &entry.path[..]].concat();
            Item::id_of(exhibit, Some(parent.item), &path, entry.ordinal, entry.deleted) == step.item
        })?;
        parent = step;
    }
    Ok(Box::new(source.reader()))
}

/// The content of the entry that `wanted` knows.
fn member(source: &Source, settings: &Settings, passwords: &[String], wanted: &dyn Fn(&Entry) -> bool) -> Result<Source, Error> {
    let mut head = vec![0; HEAD_BYTES];
    let (filled, _) = fill(&mut source.reader(), &mut head);
    let container = open::open(&head[..filled], source, settings, passwords).map_err(|trouble| Error::NoItem(trouble.detail))?;
    entry_of(&*container, wanted)
}

fn entry_of(container: &dyn Container, wanted: &dyn Fn(&Entry) -> bool) -> Result<Source, Error> {
    let mut found = None;
    let mut take = |stream: &mut dyn Read| -> Result<(), Error> {
        let mut spool = Spool::new(&[], stream);
        // Damage inside is no surprise: what can be read is compared with the bundle's digest by the caller.
        drop(std::io::copy(&mut spool, &mut std::io::sink()));
        found = Some(spool.finish()?);
        Ok(())
    };
    match container.list() {
        Some(entries) => {
            let Some(index) = entries.iter().position(wanted) else {
                return Err(Error::NoItem("not in its container".to_owned()));
            };
            if let Some(source) = container.source(index) {
                return Ok(source);
            }
            if let Some(trouble) = container.read(index, &mut take)? {
                return Err(Error::NoItem(trouble.detail));
            }
        }
        None => {
            container.visit(&mut |entry, stream| if wanted(&entry) { take(stream) } else { Ok(()) })?;
        }
    }
    found.ok_or_else(|| Error::NoItem("not in its container".to_owned()))
}
