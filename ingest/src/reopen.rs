//! Back to the bytes of one item, through every container: what `haul explain` reads.

use crate::evidence::{self, Beneath, Folder, Positioned, Source};
use crate::open::ufdr::unpacked;
use crate::open::{self, Container, Entry, HEAD_BYTES, Keys, Siblings, backup};
use crate::read::fill;
use crate::spool::Spool;
use crate::{Error, Job};
use config::Settings;
use model::{Exhibit, Id, Item};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Layers between a byte and the evidence that are followed: a container has up to four, and they nest to the cap of the settings.
const LAYERS_MAX: usize = 256;

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

/// A stretch of bytes on the way from an item down to the evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Path of the item that holds it, byte for byte; for a layer inside an item, the item's.
    pub path: Vec<u8>,
    /// `disk` or `volume` where it lies in a layer that the item's bytes are made into.
    pub layer: Option<&'static str>,
    /// First byte.
    pub start: u64,
    /// How many bytes.
    pub length: u64,
    /// Whether what was looked for comes out of all of them together, unpacked or decrypted.
    pub packed: bool,
}

/// The content of the last item of a chain that begins with the outermost one.
pub fn reopen(job: &Job, settings: &Settings, chain: &[Step]) -> Result<Box<dyn Read>, Error> {
    match sources(job, settings, chain)?.pop() {
        Some(source) => Ok(Box::new(source.reader())),
        None => Err(Error::NoItem("an empty chain".to_owned())),
    }
}

/// Where `length` bytes at an offset of the last item of a chain lie: in that item first, then in all that is around it, down to
/// a file of the evidence. Where several stretches hold them, the first is followed.
pub fn locate(job: &Job, settings: &Settings, chain: &[Step], offset: u64, length: u64) -> Result<Vec<Stretch>, Error> {
    let sources = sources(job, settings, chain)?;
    let (Some(source), Some(mut at)) = (sources.last(), sources.len().checked_sub(1)) else { return Ok(Vec::new()) };
    let path = |at: usize| chain.get(at).map(|step| step.path.clone()).unwrap_or_default();
    let mut stretches = vec![Stretch { path: path(at), layer: None, start: offset, length, packed: false }];
    let (mut here, mut start, mut length) = (source.clone(), offset, length);
    for _ in 0..LAYERS_MAX {
        let Some(Beneath { source, start: first, length: count, packed }) = here.beneath(start) else { break };
        (start, length) = (first, if packed { count } else { length.min(count) });
        let outer = (0..at).rev().find(|outer| sources.get(*outer).is_some_and(|other| other.is(&source)));
        at = outer.unwrap_or(at);
        let layer = source.label().filter(|_| outer.is_none());
        let beside = source.neighbours().filter(|_| outer.is_none()).map(|beside| beside.name().to_vec());
        // Inside of an item every layer is of the item around it.
        let path = beside.clone().unwrap_or_else(|| path(if outer.is_some() { at } else { at.saturating_sub(1) }));
        if outer.is_some() || layer.is_some() || beside.is_some() {
            stretches.push(Stretch { path, layer, start, length, packed });
        } else if packed {
            // A layer without a name: what it packs is said where it is told next.
            stretches.push(Stretch { path, layer: Some("stored content"), start, length, packed });
        }
        here = source;
    }
    Ok(stretches)
}

/// The content of each item of a chain.
fn sources(job: &Job, settings: &Settings, chain: &[Step]) -> Result<Vec<Source>, Error> {
    let Some((first, inner)) = chain.split_first() else { return Ok(Vec::new()) };
    let failed = |source| Error::Evidence { path: job.evidence.clone(), source };
    let root = evidence::resolve(&job.evidence).map_err(failed)?;
    let folder = evidence::facts(&root).map_err(failed)?.kind.is_none();
    let (above, path) = match (folder, root.parent(), root.file_name()) {
        (false, Some(above), Some(name)) => (above, name.as_bytes()),
        _ => (&*root, &first.path[..]),
    };
    let source = Folder::root(above).and_then(|above| Source::below(&above, path, folder)).map_err(failed)?;
    let mut sources = vec![source.clone()];
    let mut source = source;
    let exhibit = Exhibit::id_of(&job.case_label, &job.number);
    let (mut parent, mut inner) = (first, inner);
    let whole = if folder { Some(Folder::root(&root).map_err(failed)?) } else { None };
    let mut around = Around { job, folder: whole, containers: Vec::new() };
    if folder
        && let Some((step, rest)) = inner.split_first()
        && let Some((prefix, backup)) = beside(&Folder::root(&root).map_err(failed)?, &first.path, settings, &job.passwords)
    {
        let wanted = |entry: &Entry| {
            let path = [prefix, &entry.path[..]].concat();
            Item::id_of(exhibit, Some(first.item), &path, entry.ordinal, entry.deleted) == step.item
        };
        source = entry_of(&backup, None, &wanted, step.size_bytes)?;
        around.containers.push(backup);
        sources.push(source.clone());
        (parent, inner) = (step, rest);
    }
    for (depth, step) in inner.iter().enumerate() {
        let own = !folder && depth == 0;
        let prefix = if own { Vec::new() } else { [&parent.path[..], b"/"].concat() };
        let wanted = |entry: &Entry| {
            let path = [&prefix[..], &entry.path[..]].concat();
            Item::id_of(exhibit, Some(parent.item), &path, entry.ordinal, entry.deleted) == step.item
        };
        let found = around.keys(&parent.path, &source)?;
        let keys = Keys { given: &job.passwords, found: &found };
        let container = container_of(&source, &parent.path, settings, keys)?;
        let outer = source;
        source = entry_of(&container, Some(&outer), &wanted, step.size_bytes)?;
        around.containers.push(container);
        sources.push(source.clone());
        parent = step;
    }
    Ok(sources)
}

/// The container whose entries lie beside the file at a path, not in it, and the folder of both.
fn beside<'p>(
    root: &Folder,
    path: &'p [u8],
    settings: &Settings,
    passwords: &[String],
) -> Option<(&'p [u8], Arc<dyn Container>)> {
    if let Some(folder) = backup::folder_of(path) {
        return Some((folder, backup::reopen(root, path, settings, passwords)?));
    }
    let folder = unpacked::folder_of(path)?;
    let listing = crate::walk::walk(root, Id::default(), &mut |_| Ok(())).ok()?;
    Some((folder, unpacked::reopen(root, path, &listing, settings)?))
}

/// What is around an item: keys may lie in it.
struct Around<'j> {
    job: &'j Job,
    folder: Option<Folder>,
    containers: Vec<Arc<dyn Container>>,
}

impl Around<'_> {
    /// The keys for a file that an app encrypts as a whole; none are looked for otherwise.
    fn keys(&self, path: &[u8], source: &Source) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        if !open::is_sealed(path, &head_of(source)) {
            return Ok(found);
        }
        if let Some(root) = &self.folder {
            let listing = crate::walk::walk(root, Id::default(), &mut |_| Ok(()))?;
            found.extend(open::keys_on_disk(root, &listing, &self.job.passwords));
        }
        for container in &self.containers {
            found.extend(open::keys_in(&**container, &self.job.passwords)?);
        }
        Ok(found)
    }
}

/// The first bytes.
fn head_of(source: &Source) -> Vec<u8> {
    let mut head = vec![0; HEAD_BYTES];
    let (filled, _) = fill(&mut source.reader(), &mut head);
    head.truncate(filled);
    head
}

/// The container that an item is.
fn container_of(source: &Source, path: &[u8], settings: &Settings, keys: Keys<'_>) -> Result<Arc<dyn Container>, Error> {
    let head = head_of(source);
    let opened = if open::is_container(path, &head) || open::ends_as_image(source) {
        open::open(path, &head, source, settings, keys)
    } else {
        open::open_appended(source, settings, keys.given)
    };
    opened.map(Arc::from).map_err(|trouble| Error::NoItem(trouble.detail))
}

/// An entry's content; `outer` is what its container lies in.
fn entry_of(
    container: &Arc<dyn Container>,
    outer: Option<&Source>,
    wanted: &dyn Fn(&Entry) -> bool,
    size_bytes: Option<u64>,
) -> Result<Source, Error> {
    let mut found = None;
    let mut take = |stream: &mut dyn Read| -> Result<(), Error> {
        let mut stream = stream.take(size_bytes.unwrap_or(u64::MAX));
        let mut spool = Spool::new(&[], &mut stream);
        // Damage inside is no surprise: what can be read is compared with the bundle's digest by the caller.
        drop(std::io::copy(&mut spool, &mut std::io::sink()));
        found = Some(spool.finish()?);
        Ok(())
    };
    let (mut stored, mut path) = (None, Vec::new());
    match container.list() {
        Some(entries) => {
            let Some(index) = entries.iter().position(wanted) else {
                return Err(Error::NoItem("not in its container".to_owned()));
            };
            path.clone_from(&entries[index].path);
            if let Some(source) = container.source(index) {
                return Ok(Siblings::among(source, container, &path));
            }
            stored = container.stored(index);
            if let Some(trouble) = container.read(index, &mut take)? {
                return Err(Error::NoItem(trouble.detail));
            }
        }
        None => {
            container.visit(&mut |entry, stream| if wanted(&entry) { take(stream) } else { Ok(()) })?;
        }
    }
    let content = found.ok_or_else(|| Error::NoItem("not in its container".to_owned()))?;
    let Some(outer) = outer.cloned() else { return Ok(Siblings::among(content, container, &path)) };
    // Of a container that is one stream no more is known than that its bytes lie somewhere in it.
    let (start, length, packed) = stored.unwrap_or((0, outer.size(), true));
    let taken = Source::Virtual(Arc::new(Taken { content, outer, start, length, packed }));
    Ok(if path.is_empty() { taken } else { Siblings::among(taken, container, &path) })
}

/// What was taken out of a container, with the place where it lies there.
struct Taken {
    content: Source,
    outer: Source,
    start: u64,
    length: u64,
    packed: bool,
}

impl Positioned for Taken {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.content.read_at(buffer, offset)
    }

    fn beneath(&self, offset: u64) -> Option<Beneath> {
        let within = if self.packed { 0 } else { offset };
        let (start, length) = (self.start.checked_add(within)?, self.length.checked_sub(within)?);
        Some(Beneath { source: self.outer.clone(), start, length, packed: self.packed })
    }
}
