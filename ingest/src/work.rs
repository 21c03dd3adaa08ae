//! One thread's work: takes tasks, reads their entries, says what it found.

mod container;
mod content;
mod late;

use crate::budget::Budget;
use crate::evidence::Source;
use crate::open::{Container, Entry, HEAD_BYTES, Ranges, Special, Trouble};
use crate::tasks::{Group, List, Place, Task};
use crate::tell::Teller;
use crate::{Error, Exhibited, media_type};
use late::Late;
use model::{Body, Code, Directory, FileKind, Id, Item, ItemStatus, Problem, Stage, StagedItem, WorkUnit};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A file so much larger than its blocks on disk is all hole: over the entry cap only its data are read.
const SPARSE_RATIO: u64 = 1_000;

/// Whether the sink holds what is being read in full: then it is counted and not sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Skip {
    /// It does not.
    No,
    /// It does, and what belongs to it too.
    Group,
    /// It does; what belongs to it is not known.
    Lone,
}

/// One thread.
pub struct Worker<'a> {
    exhibited: &'a Exhibited<'a>,
    teller: Teller<'a>,
    buffer: Vec<u8>,
    head: Vec<u8>,
    skip: Skip,
    /// What may still come out of the outermost container.
    budget: Budget,
    /// How the entry that is opened next is read, if it is not just a file.
    special: Option<Special>,
    /// The entry that is opened next as bytes read by position.
    positioned: Option<Source>,
    /// The container of the entry that is opened next, and the entry's path in it.
    beside: Option<(Arc<dyn Container>, Vec<u8>)>,
    /// Whether the database that is read last is encrypted, and if so whether it could be opened.
    sealed: Option<bool>,
    /// Keys that are met in a container that is read from its first byte to its last, and what waits for them.
    late: Option<Late>,
    /// What is scanned of what is read next.
    only: Option<Ranges>,
}

impl<'a> Worker<'a> {
    /// A worker on an exhibit.
    pub fn new(exhibited: &'a Exhibited<'a>) -> Worker<'a> {
        let teller = Teller::new(exhibited.exhibit, exhibited.out);
        let buffer = vec![0; exhibited.settings.ingest.read_buffer_bytes];
        let head = vec![0; HEAD_BYTES];
        let (skip, budget) = (Skip::No, Budget::NONE);
        Worker {
            exhibited,
            teller,
            buffer,
            head,
            skip,
            budget,
            special: None,
            positioned: None,
            beside: None,
            sealed: None,
            late: None,
            only: None,
        }
    }

    /// Works until nothing is left.
    pub fn work(mut self) -> Result<(), Error> {
        while let Some((task, mut running)) = self.exhibited.tasks.next() {
            let result = self.task(task);
            running.failed = result.is_err();
            drop(running);
            result?;
        }
        self.teller.flush()
    }

    fn task(&mut self, task: Task) -> Result<(), Error> {
        match task {
            Task::Disk(part) => {
                let exhibited = self.exhibited;
                let (place, listing) = (&exhibited.place, &exhibited.listing);
                exhibited.order.groups(part).try_for_each(|group| {
                    self.group(place, listing, &group, &mut |worker, at| worker.file(place, &listing.entry(at)))
                })
            }
            Task::Members(members, part) => self.members(&members, part),
        }
    }

    /// Reads a file and its companions, and sends them as one unit if the file is staged.
    fn group(
        &mut self,
        place: &Place,
        list: &(impl List + ?Sized),
        group: &Group,
        read: &mut dyn FnMut(&mut Self, usize) -> Result<Option<StagedItem>, Error>,
    ) -> Result<(), Error> {
        let id = |at: &usize| self.id_of(place, list.path(*at), list.ordinal(*at), list.deleted(*at));
        let all = || group.companions.iter().chain([&group.primary]).map(id);
        // The exhibit's own file is read again all the same: its row tells the hash.
        let own = self.exhibited.single && place.parent.is_none();
        let done = !own && all().all(|id| self.exhibited.watch.done(id));
        let outer = std::mem::replace(&mut self.skip, if done { Skip::Group } else { Skip::No });
        let result = self.group_members(group, read);
        self.skip = outer;
        result
    }

    fn group_members(
        &mut self,
        group: &Group,
        read: &mut dyn FnMut(&mut Self, usize) -> Result<Option<StagedItem>, Error>,
    ) -> Result<(), Error> {
        self.sealed = None;
        let primary = read(self, group.primary)?;
        let sealed = self.sealed;
        let mut companions = Vec::new();
        for at in &group.companions {
            self.sealed = sealed;
            companions.extend(read(self, *at)?);
        }
        self.sealed = None;
        match primary {
            Some(primary) => self.unit(primary, companions),
            None => companions.into_iter().try_for_each(|orphan| self.unit(orphan, Vec::new())),
        }
    }

    fn unit(&mut self, primary: StagedItem, companions: Vec<StagedItem>) -> Result<(), Error> {
        let region = Some(self.exhibited.settings.region.clone()).filter(|region| !region.is_empty());
        let is_database = primary.item.media_type.as_deref() == Some(media_type::SQLITE_DATABASE);
        // Only a database has companions, and only logs and journals are such: anything else is a unit of its own.
        let belongs = |staged: &StagedItem| is_database && media_type::is_companion(staged.item.media_type.as_deref());
        let (companions, others): (Vec<_>, Vec<_>) = companions.into_iter().partition(belongs);
        self.teller.unit(&WorkUnit { primary, companions, region: region.clone() })?;
        for primary in others {
            self.teller.unit(&WorkUnit { primary, companions: Vec::new(), region: region.clone() })?;
        }
        Ok(())
    }

    fn id(&self, place: &Place, entry: &Entry) -> Id {
        self.id_of(place, &entry.path, entry.ordinal, entry.deleted)
    }

    fn id_of(&self, place: &Place, path: &[u8], ordinal: u32, deleted: bool) -> Id {
        let path = [&place.prefix[..], path].concat();
        Item::id_of(self.exhibited.exhibit, place.parent, &path, ordinal, deleted)
    }

    /// Begins an item; it counts from now on.
    fn begin(&mut self, place: &Place, entry: &Entry) -> Item {
        let path = place.path(entry);
        self.exhibited.items.fetch_add(1, Relaxed);
        let text = String::from_utf8_lossy(&path).into_owned();
        self.exhibited.watch.reading(&text);
        Item {
            id: self.id(place, entry),
            exhibit: self.exhibited.exhibit,
            parent: place.parent,
            path_raw: (text.as_bytes() != path).then_some(path),
            path: text,
            file_kind: entry.kind.unwrap_or(FileKind::File),
            link_target: entry.link_target.as_deref().map(|target| String::from_utf8_lossy(target).into_owned()),
            size_bytes: entry.size,
            sha256: None,
            sha1: None,
            md5: None,
            media_type: None,
            mode: entry.mode,
            owner: entry.owner,
            times: entry.times,
            deleted: entry.deleted,
            status: ItemStatus::Plain,
            reason: None,
            definition: None,
            announced: 0,
        }
    }

    /// Says something that the item announces.
    fn announce(&mut self, item: &mut Item, body: &Body) -> Result<(), Error> {
        item.announced += 1;
        self.teller.tell(body)
    }

    /// Says a problem of an item and sets its status.
    fn problem(&mut self, item: &mut Item, status: ItemStatus, trouble: Trouble) -> Result<(), Error> {
        item.status = status;
        item.reason.get_or_insert_with(|| {
            if status == ItemStatus::Locked { trouble.detail.clone() } else { trouble.code.name().to_owned() }
        });
        self.note(item, trouble)
    }

    /// Says a problem of an item that was read all the same.
    fn note(&mut self, item: &mut Item, trouble: Trouble) -> Result<(), Error> {
        let Trouble { code, detail } = trouble;
        let problem = Problem { exhibit: item.exhibit, item: Some(item.id), stage: Stage::Ingest, code, detail };
        self.announce(item, &Body::Problem(problem))
    }

    /// Ends an item that goes no further.
    fn end(&mut self, item: Item) -> Result<(), Error> {
        self.exhibited.watch.read(1, item.size_bytes);
        self.teller.tell(&Body::Item(Box::new(item)))?;
        stream::crash::point("ingest.item.sent");
        Ok(())
    }

    /// Something that is not a file: recorded, never opened.
    fn unopened_kind(&mut self, mut item: Item, words: &str) -> Result<(), Error> {
        item.status = ItemStatus::Skipped;
        item.reason = Some(format!("{}{words}", item.file_kind.name()));
        self.end(item)
    }

    /// A file of the exhibit's folder.
    fn file(&mut self, place: &Place, entry: &Entry) -> Result<Option<StagedItem>, Error> {
        let mut item = self.begin(place, entry);
        if entry.kind != Some(FileKind::File) {
            let unread = entry.kind == Some(FileKind::Symlink) && entry.link_target.is_none();
            let words = if unread { "; target not read: on this mount that would set its access time" } else { "" };
            return self.unopened_kind(item, words).map(|()| None);
        }
        let source = match Source::below(&self.exhibited.root, &entry.path, !self.exhibited.single) {
            Ok(source) => source,
            Err(error) => {
                // A link or a folder where a file was listed, or nothing at all.
                let code = match error.kind() {
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => Code::ChangedDuringRead,
                    // ELOOP, for which there is no stable kind: opening refuses to follow a link.
                    _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Code::ChangedDuringRead,
                    _ => Code::Unreadable,
                };
                self.problem(&mut item, ItemStatus::Failed, Trouble::new(code, format!("cannot be opened: {}", error.kind())))?;
                return self.end(item).map(|()| None);
            }
        };
        let cap = self.exhibited.settings.ingest.cap_entry_bytes;
        if source.size() > cap && source.blocks_bytes() < source.size() / SPARSE_RATIO {
            return self.holes(item, &source).map(|()| None);
        }
        self.budget = Budget::NONE;
        self.content(place, item, entry, source)
    }
}

/// A directory's row.
pub fn directory(exhibit: Id, parent: Option<&Place>, entry: &Entry) -> Directory {
    let path = &parent.map_or_else(|| entry.path.clone(), |place| place.path(entry));
    let parent = parent.and_then(|place| place.parent);
    let text = String::from_utf8_lossy(path).into_owned();
    Directory {
        id: Directory::id_of(exhibit, parent, path, entry.ordinal),
        exhibit,
        parent,
        path_raw: (text.as_bytes() != path).then(|| path.to_vec()),
        path: text,
        mode: entry.mode,
        owner: entry.owner,
        times: entry.times,
    }
}
