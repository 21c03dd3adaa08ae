//! Back to the bytes of one item, through every container: what `haul explain` reads.

use crate::evidence::{self, Folder, Source};
use crate::open::{self, Container, Entry, HEAD_BYTES, backup};
use crate::read::fill;
use crate::spool::Spool;
use crate::{Error, Job};
use config::Settings;
use model::{Exhibit, Id, Item};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

/// One item on the way.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its id.
    pub item: Id,
    /// Its path from the root of the exhibit, byte for byte.
    pub path: Vec<u8>,
    /// How many of its bytes were read, where that is known: a cap may have stopped it there.
    pub size_bytes: Option<u64>,
}

/// The content of the last item of a chain that begins with the outermost one.
pub fn reopen(job: &Job, settings: &Settings, chain: &[Step]) -> Result<Box<dyn Read>, Error> {
    let Some((first, inner)) = chain.split_first() else { return Err(Error::NoItem("an empty chain".to_owned())) };
    let failed = |source| Error::Evidence { path: job.evidence.clone(), source };
    let root = evidence::resolve(&job.evidence).map_err(failed)?;
    let folder = evidence::facts(&root).map_err(failed)?.kind.is_none();
    let (above, path) = match (folder, root.parent(), root.file_name()) {
        (false, Some(above), Some(name)) => (above, name.as_bytes()),
        _ => (&*root, &first.path[..]),
    };
    let mut source = Folder::root(above).and_then(|above| Source::below(&above, path, folder)).map_err(failed)?;
    let exhibit = Exhibit::id_of(&job.case_label, &job.number);
    let (mut parent, mut inner) = (first, inner);
    if folder
        && let (Some((step, rest)), Some(prefix)) = (inner.split_first(), backup::folder_of(&first.path))
        && let Some(backup) = backup::reopen(&Folder::root(&root).map_err(failed)?, prefix, settings, &job.passwords)
    {
        let wanted = |entry: &Entry| {
            let path = [prefix, &entry.path[..]].concat();
            Item::id_of(exhibit, Some(first.item), &path, entry.ordinal, entry.deleted) == step.item
        };
        source = entry_of(&*backup, &wanted, step.size_bytes)?;
        (parent, inner) = (step, rest);
    }
    for (depth, step) in inner.iter().enumerate() {
        let own = !folder && depth == 0;
        let prefix = if own { Vec::new() } else { [&parent.path[..], b"/"].concat() };
        let wanted = |entry: &Entry| {
            let path = [&prefix[..], &entry.path[..]].concat();
            Item::id_of(exhibit, Some(parent.item), &path, entry.ordinal, entry.deleted) == step.item
        };
        source = member(&source, settings, &job.passwords, &wanted, step.size_bytes)?;
        parent = step;
    }
    Ok(Box::new(source.reader()))
}

/// The content of the entry that `wanted` knows, as far as it was read then.
fn member(
    source: &Source,
    settings: &Settings,
    passwords: &[String],
    wanted: &dyn Fn(&Entry) -> bool,
    size_bytes: Option<u64>,
) -> Result<Source, Error> {
    let mut head = vec![0; HEAD_BYTES];
    let (filled, _) = fill(&mut source.reader(), &mut head);
    let head = &head[..filled];
    let opened = if open::is_container(head) || open::ends_as_image(source) {
        open::open(head, source, settings, passwords)
    } else {
        open::open_appended(source, settings, passwords)
    };
    let container = opened.map_err(|trouble| Error::NoItem(trouble.detail))?;
    entry_of(&*container, wanted, size_bytes)
}

fn entry_of(container: &dyn Container, wanted: &dyn Fn(&Entry) -> bool, size_bytes: Option<u64>) -> Result<Source, Error> {
    let mut found = None;
    let mut take = |stream: &mut dyn Read| -> Result<(), Error> {
        let mut stream = stream.take(size_bytes.unwrap_or(u64::MAX));
        let mut spool = Spool::new(&[], &mut stream);
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
