//! One thread's work: takes tasks, reads their entries, says what it found.

use crate::evidence::{self, Source};
use crate::open::{self, Container, Entry, HEAD_BYTES, Trouble};
use crate::read::{self, Cap, Capped, Reading, Wish};
use crate::spool::Spool;
use crate::tasks::{Group, Place, Task, cut, database_of, groups};
use crate::tell::Teller;
use crate::{Error, Exhibited, media_type};
use model::{Body, Code, Directory, FileKind, Id, Item, ItemStatus, LedgerRow, Problem, Stage, StagedItem, WorkUnit};
use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A file so much larger than its blocks on disk is all hole: over the entry cap it is not read.
const SPARSE_RATIO: u64 = 1_000;

/// One thread.
pub struct Worker<'a> {
    exhibited: &'a Exhibited<'a>,
    teller: Teller<'a>,
    buffer: Vec<u8>,
    head: Vec<u8>,
    /// The sink holds what is being read in full: it is counted and not sent again.
    skip: bool,
}

/// Content of an item: where it comes from.
enum Content<'a> {
    Disk(Source),
    Stream(&'a mut dyn Read, Cap),
}

impl<'a> Worker<'a> {
    /// A worker on an exhibit.
    pub fn new(exhibited: &'a Exhibited<'a>) -> Worker<'a> {
        let teller = Teller::new(exhibited.exhibit, exhibited.out);
        let buffer = vec![0; exhibited.settings.ingest.read_buffer_bytes];
        Worker { exhibited, teller, buffer, head: vec![0; HEAD_BYTES], skip: false }
    }

    /// Works until nothing is left.
    pub fn work(mut self) -> Result<(), Error> {
        while let Some(task) = self.exhibited.tasks.next() {
            let result = self.task(task);
            self.exhibited.tasks.done(result.is_err());
            result?;
        }
        self.teller.flush()
    }

    fn task(&mut self, task: Task) -> Result<(), Error> {
        match task {
            Task::Disk(groups) => {
                let exhibited = self.exhibited;
                let place = &exhibited.place;
                groups.iter().try_for_each(|group| {
                    self.group(place, &exhibited.entries, group, &mut |worker, entry| worker.file(place, entry))
                })
            }
            Task::Members(container, place, groups) => self.members(&*container, &place, &groups),
        }
    }

    fn members(&mut self, container: &dyn Container, place: &Place, groups: &[Group]) -> Result<(), Error> {
        let Some(entries) = container.list() else { return Ok(()) };
        for group in groups {
            let index = |entry: &Entry| {
                group.companions.iter().chain([&group.primary]).copied().find(|at| std::ptr::eq(&entries[*at], entry))
            };
            self.group(place, entries, group, &mut |worker, entry| {
                let at = index(entry).unwrap_or(group.primary);
                let mut staged = None;
                let trouble = container.read(at, &mut |stream| {
                    staged = worker.member(place, entry.clone(), stream)?;
                    Ok(())
                })?;
                match trouble {
                    Some(trouble) => worker.refused(place, entry, trouble).map(|()| None),
                    None => Ok(staged),
                }
            })?;
        }
        Ok(())
    }

    /// Reads a file and its companions, and sends them as one unit if the file is staged.
    fn group(
        &mut self,
        place: &Place,
        entries: &[Entry],
        group: &Group,
        read: &mut dyn FnMut(&mut Self, &Entry) -> Result<Option<StagedItem>, Error>,
    ) -> Result<(), Error> {
        let all = || group.companions.iter().chain([&group.primary]).map(|at| self.id(place, &entries[*at]));
        // A container is opened again all the same, because what is in it may not be done.
        let skip = !self.exhibited.single && all().all(|id| self.exhibited.watch.done(id));
        let outer = std::mem::replace(&mut self.skip, skip);
        let result = self.group_members(entries, group, read);
        self.skip = outer;
        result
    }

    fn group_members(
        &mut self,
        entries: &[Entry],
        group: &Group,
        read: &mut dyn FnMut(&mut Self, &Entry) -> Result<Option<StagedItem>, Error>,
    ) -> Result<(), Error> {
        let mut companions = Vec::new();
        for at in &group.companions {
            companions.extend(read(self, &entries[*at])?);
        }
        match read(self, &entries[group.primary])? {
            Some(primary) => self.unit(primary, companions),
            None => companions.into_iter().try_for_each(|orphan| self.unit(orphan, Vec::new())),
        }
    }

    fn unit(&mut self, primary: StagedItem, companions: Vec<StagedItem>) -> Result<(), Error> {
        let region = Some(self.exhibited.settings.region.clone()).filter(|region| !region.is_empty());
        if primary.item.media_type.as_deref() == Some(media_type::SQLITE_DATABASE) {
            return self.teller.unit(&WorkUnit { primary, companions, region });
        }
        // Only a database has companions: beside anything else they are items of their own.
        for single in [primary].into_iter().chain(companions) {
            self.teller.unit(&WorkUnit { primary: single, companions: Vec::new(), region: region.clone() })?;
        }
        Ok(())
    }

    fn id(&self, place: &Place, entry: &Entry) -> Id {
        Item::id_of(self.exhibited.exhibit, place.parent, &place.path(entry), entry.ordinal, entry.deleted)
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

    /// An entry whose content could not be opened.
    fn refused(&mut self, place: &Place, entry: &Entry, trouble: Trouble) -> Result<(), Error> {
        let mut item = self.begin(place, entry);
        let status = if trouble.code == Code::Encrypted { ItemStatus::Locked } else { ItemStatus::Failed };
        self.problem(&mut item, status, trouble)?;
        self.end(item)
    }

    /// A file of the exhibit's folder.
    fn file(&mut self, place: &Place, entry: &Entry) -> Result<Option<StagedItem>, Error> {
        let mut item = self.begin(place, entry);
        if entry.kind != Some(FileKind::File) {
            item.status = ItemStatus::Skipped;
            let unread = entry.kind == Some(FileKind::Symlink) && entry.link_target.is_none();
            let words = if unread { "; target not read: on this mount that would set its access time" } else { "" };
            item.reason = Some(format!("{}{words}", item.file_kind.name()));
            return self.end(item).map(|()| None);
        }
        let path = self.exhibited.root.join(Path::new(OsStr::from_bytes(&entry.path)));
        let source = match evidence::open(&path).and_then(Source::file) {
            Ok(source) => source,
            Err(error) => {
                let code = if error.kind() == std::io::ErrorKind::NotFound { Code::ChangedDuringRead } else { Code::Unreadable };
                self.problem(&mut item, ItemStatus::Failed, Trouble::new(code, format!("cannot be opened: {}", error.kind())))?;
                return self.end(item).map(|()| None);
            }
        };
        let cap = self.exhibited.settings.ingest.cap_entry_bytes;
        if source.size() > cap && source.blocks_bytes() < source.size() / SPARSE_RATIO {
            let detail = format!("{} bytes with {} bytes of data: not read", source.size(), source.blocks_bytes());
            self.problem(&mut item, ItemStatus::Skipped, Trouble::new(Code::CapBytes, detail))?;
            return self.end(item).map(|()| None);
        }
        self.content(place, item, Some(entry), Content::Disk(source))
    }

    /// An entry of a container, as a stream.
    fn member(&mut self, place: &Place, mut entry: Entry, stream: &mut dyn Read) -> Result<Option<StagedItem>, Error> {
        if entry.kind == Some(FileKind::Symlink) && entry.link_target.is_none() {
            let mut target = Vec::new();
            // A zip keeps a link's target as its content; PATH_MAX bounds it. A target that cannot be read stays unknown.
            if stream.take(4096).read_to_end(&mut target).is_ok() {
                entry.link_target = Some(target);
            }
        }
        let mut item = self.begin(place, &entry);
        if entry.kind != Some(FileKind::File) {
            item.status = ItemStatus::Skipped;
            item.reason = Some(item.file_kind.name().to_owned());
            return self.end(item).map(|()| None);
        }
        let cap = Cap::of(self.exhibited.settings, entry.packed, place.budget.load(Relaxed));
        self.content(place, item, None, Content::Stream(stream, cap))
    }

    /// Reads the head, tells what it is, and goes on as container or as plain content.
    fn content(
        &mut self,
        place: &Place,
        mut item: Item,
        listed: Option<&Entry>,
        content: Content<'_>,
    ) -> Result<Option<StagedItem>, Error> {
        let mut head = std::mem::take(&mut self.head);
        let result = match content {
            Content::Disk(source) => {
                let mut reader = source.reader();
                let (filled, error) = read::fill(&mut reader, &mut head);
                item.media_type = media_type::of(&head[..filled]).map(str::to_owned);
                if self.opens(place, &mut item, &head[..filled])? {
                    self.container(place, item, &head[..filled], source, None)
                } else if self.skip {
                    self.exhibited.watch.read(1, item.size_bytes);
                    Ok(None)
                } else {
                    let read = self.plain(item, &head[..filled], &mut reader, error);
                    read.and_then(|(item, reading)| self.finish_file(item, reading, listed, &source))
                }
            }
            Content::Stream(stream, cap) => self.stream(place, item, &mut head, stream, cap),
        };
        self.head = head;
        result
    }

    fn stream(
        &mut self,
        place: &Place,
        mut item: Item,
        head: &mut [u8],
        stream: &mut dyn Read,
        cap: Cap,
    ) -> Result<Option<StagedItem>, Error> {
        let mut capped = Capped::new(stream, cap);
        let (filled, error) = read::fill(&mut capped, head);
        item.media_type = media_type::of(&head[..filled]).map(str::to_owned);
        if error.is_none() && self.opens(place, &mut item, &head[..filled])? {
            let mut spool = Spool::new(&head[..filled], &mut capped);
            let reading = self.hash(&item, &head[..filled], &mut spool)?;
            let source = spool.finish()?;
            self.spend(place, reading.size);
            if capped.stopped || reading.trouble.is_some() {
                let trouble = reading.trouble.as_ref().map(|trouble| Trouble::new(trouble.code, trouble.detail.clone()));
                self.problem(&mut item, ItemStatus::Partial, trouble.unwrap_or_else(|| capped_trouble(cap)))?;
            }
            return self.container(place, item, &head[..filled], source, Some(reading));
        }
        if self.skip {
            self.exhibited.watch.read(1, item.size_bytes);
            return Ok(None);
        }
        let (mut item, reading) = self.plain(item, &head[..filled], &mut capped, error)?;
        self.spend(place, reading.size);
        if capped.stopped {
            self.problem(&mut item, ItemStatus::Partial, capped_trouble(cap))?;
        }
        self.finish(item, reading)
    }

    fn spend(&self, place: &Place, bytes: u64) {
        // Several threads may spend at once; the budget bounds the whole, not each byte.
        let spent = place.budget.load(Relaxed).saturating_sub(bytes);
        place.budget.store(spent, Relaxed);
    }

    /// Whether content is opened as a container; a cap on nesting is a problem.
    fn opens(&mut self, place: &Place, item: &mut Item, head: &[u8]) -> Result<bool, Error> {
        if !open::is_container(head) {
            return Ok(false);
        }
        let cap = self.exhibited.settings.ingest.cap_depth;
        if place.depth < cap {
            return Ok(true);
        }
        let trouble = Trouble::new(Code::CapDepth, format!("inside {cap} containers: not opened"));
        self.problem(item, ItemStatus::Partial, trouble)?;
        Ok(false)
    }

    /// Hashes, scans and stages; nothing is sent of an item that the sink already holds in full.
    fn plain(
        &mut self,
        mut item: Item,
        head: &[u8],
        reader: &mut dyn Read,
        early: Option<std::io::Error>,
    ) -> Result<(Item, Reading), Error> {
        let wish = Wish { settings: self.exhibited.settings, stage: self.exhibited.stage, scan: true, keep: true };
        let teller = &mut self.teller;
        let mut announced = 0;
        let mut found = |body: Body| {
            announced += 1;
            teller.tell(&body)
        };
        let mut nothing = std::io::empty();
        let reader: &mut dyn Read = if early.is_some() { &mut nothing } else { reader };
        let mut reading = read::read(&item, head, reader, &mut self.buffer, &wish, &mut found)?;
        item.announced += announced;
        reading.trouble = reading.trouble.or(early.as_ref().map(Trouble::of));
        Ok((item, reading))
    }

    fn hash(&mut self, item: &Item, head: &[u8], reader: &mut dyn Read) -> Result<Reading, Error> {
        let wish = Wish { settings: self.exhibited.settings, stage: self.exhibited.stage, scan: false, keep: false };
        read::read(item, head, reader, &mut self.buffer, &wish, &mut |_| Ok(()))
    }

    /// Compares a file with what the listing said, then ends it.
    fn finish_file(
        &mut self,
        mut item: Item,
        reading: Reading,
        listed: Option<&Entry>,
        source: &Source,
    ) -> Result<Option<StagedItem>, Error> {
        if let Some(listed) = listed {
            // What cannot be asked any more has changed.
            let same = source.facts().is_ok_and(|now| now.is_none_or(|now| now.times.modified == listed.times.modified));
            let changed = reading.size != listed.size || !same;
            if changed && reading.trouble.is_none() {
                let detail = format!("listed with {} bytes, read {}", listed.size, reading.size);
                self.problem(&mut item, ItemStatus::Partial, Trouble::new(Code::ChangedDuringRead, detail))?;
            }
        }
        self.finish(item, reading)
    }

    /// Takes the result of a reading into the item; a staged item goes on to normalize, any other ends here.
    fn finish(&mut self, mut item: Item, reading: Reading) -> Result<Option<StagedItem>, Error> {
        let staged = reading.staged;
        let content = reading.hashes.0;
        take(&mut item, &reading);
        if let Some(trouble) = reading.trouble {
            let status = if reading.size == 0 { ItemStatus::Failed } else { ItemStatus::Partial };
            let code =
                if trouble.code == Code::ContainerDamaged && item.parent.is_none() { Code::Unreadable } else { trouble.code };
            self.problem(&mut item, status, Trouble::new(code, trouble.detail))?;
        }
        self.exhibited.root_read(&item, None);
        if !staged {
            return self.end(item).map(|()| None);
        }
        self.exhibited.watch.read(1, item.size_bytes);
        let raw = item.path_raw.as_deref().unwrap_or(item.path.as_bytes());
        let name = raw.rsplit(|byte| *byte == b'/').next().unwrap_or(raw).to_vec();
        Ok(Some(StagedItem { item, content, name }))
    }

    /// Opens a container and reads what is in it. `hashed` is its reading, if its bytes have passed already.
    fn container(
        &mut self,
        place: &Place,
        mut item: Item,
        head: &[u8],
        source: Source,
        hashed: Option<Reading>,
    ) -> Result<Option<StagedItem>, Error> {
        let on_disk = hashed.is_none();
        let reading = match hashed {
            Some(reading) => reading,
            None => self.hash(&item, &[], &mut source.reader())?,
        };
        take(&mut item, &reading);
        match open::open(head, &source, self.exhibited.settings, &self.exhibited.passwords) {
            Err(trouble) => self.unopened(item, source, trouble),
            Ok(container) => {
                let container: Arc<dyn Container> = Arc::from(container);
                self.exhibited.root_read(&item, Some(container.name()));
                self.contents(place, item, container, on_disk)?;
                Ok(None)
            }
        }
    }

    /// A container that does not open: its raw bytes are scanned instead.
    fn unopened(&mut self, mut item: Item, source: Source, trouble: Trouble) -> Result<Option<StagedItem>, Error> {
        let status = if trouble.code == Code::Encrypted { ItemStatus::Locked } else { ItemStatus::Partial };
        self.problem(&mut item, status, trouble)?;
        let (status, reason) = (item.status, item.reason.clone());
        let mut reader = source.reader();
        reader.rewind().map_err(Error::Temporary)?;
        let (mut item, reading) = self.plain(item, &[], &mut reader, None)?;
        take(&mut item, &reading);
        (item.status, item.reason) = (status, reason);
        self.exhibited.root_read(&item, None);
        self.end(item).map(|()| None)
    }

    /// Lists a container, ends its item, and reads its entries: those of a file on disk are shared with the other threads.
    fn contents(&mut self, place: &Place, mut item: Item, container: Arc<dyn Container>, on_disk: bool) -> Result<(), Error> {
        let own = self.exhibited.single && place.depth == 0 && place.parent.is_none();
        let raw = item.path_raw.clone().unwrap_or_else(|| item.path.clone().into_bytes());
        let budget = if place.depth == 0 {
            Arc::new(AtomicU64::new(self.exhibited.settings.ingest.cap_bytes))
        } else {
            place.budget.clone()
        };
        let prefix = if own { Vec::new() } else { [&raw[..], b"/"].concat() };
        let inner = Arc::new(Place { parent: Some(item.id), prefix, depth: place.depth + 1, budget });
        if item.status == ItemStatus::Plain {
            item.status = ItemStatus::Parsed;
        }
        item.definition = Some(container.name().to_owned());
        for trouble in container.troubles() {
            self.problem(&mut item, ItemStatus::Partial, Trouble::new(trouble.code, trouble.detail.clone()))?;
        }
        let Some(entries) = container.list() else { return self.visit(&inner, item, &*container) };
        let (folders, files): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.kind.is_none());
        self.exhibited.watch.listed(files.len() as u64, files.iter().map(|entry| entry.size).sum());
        folders.into_iter().try_for_each(|folder| self.directory(&inner, folder))?;
        self.count(&mut item, files.len() as u64)?;
        self.end(item)?;
        let groups = groups(entries);
        if on_disk && place.depth == 0 {
            let tasks = cut(entries, groups).into_iter().map(|groups| Task::Members(container.clone(), inner.clone(), groups));
            self.exhibited.tasks.add(tasks);
            return Ok(());
        }
        let members = std::mem::replace(&mut self.head, vec![0; HEAD_BYTES]);
        let result = self.members(&*container, &inner, &groups);
        self.head = members;
        result
    }

    /// Reads a container without a directory from end to end.
    fn visit(&mut self, place: &Place, mut item: Item, container: &dyn Container) -> Result<(), Error> {
        let (mut files, mut databases) = (0u64, Vec::new());
        // A database and its companion may lie far apart: they are read again together.
        let outer = std::mem::replace(&mut self.skip, false);
        let head = std::mem::replace(&mut self.head, vec![0; HEAD_BYTES]);
        let trouble = container.visit(&mut |entry, stream| {
            if entry.kind.is_none() {
                return self.directory(place, &entry);
            }
            files += 1;
            self.exhibited.watch.listed(1, entry.size);
            match self.member(place, entry, stream)? {
                // A companion can come before its database or after it.
                Some(staged) if media_type::is_sqlite(staged.item.media_type.as_deref()) => databases.push(staged),
                Some(staged) => self.unit(staged, Vec::new())?,
                None => {}
            }
            Ok(())
        })?;
        self.head = head;
        self.skip = outer;
        self.join(databases)?;
        if let Some(trouble) = trouble {
            self.problem(&mut item, ItemStatus::Partial, trouble)?;
        }
        self.count(&mut item, files)?;
        self.end(item)
    }

    /// Joins databases with their companions by name.
    fn join(&mut self, staged: Vec<StagedItem>) -> Result<(), Error> {
        let raw = |staged: &StagedItem| staged.item.path_raw.clone().unwrap_or_else(|| staged.item.path.clone().into_bytes());
        let is_database = |staged: &StagedItem| staged.item.media_type.as_deref() == Some(media_type::SQLITE_DATABASE);
        let (databases, mut companions): (Vec<_>, Vec<_>) = staged.into_iter().partition(is_database);
        for database in databases {
            let path = raw(&database);
            let own = companions.extract_if(.., |companion| database_of(&raw(companion)) == Some(&path[..])).collect();
            self.unit(database, own)?;
        }
        companions.into_iter().try_for_each(|orphan| self.unit(orphan, Vec::new()))
    }

    fn directory(&mut self, place: &Place, entry: &Entry) -> Result<(), Error> {
        let path = place.path(entry);
        let directory = directory(self.exhibited.exhibit, place.parent, &path, entry);
        self.exhibited.directories.fetch_add(1, Relaxed);
        self.teller.tell(&Body::Directory(Box::new(directory)))
    }

    /// The ledger row of a container: its entries are items.
    fn count(&mut self, item: &mut Item, entries: u64) -> Result<(), Error> {
        let row = LedgerRow {
            exhibit: item.exhibit,
            item: item.id,
            source: "entries".to_owned(),
            record_kind: "item".to_owned(),
            row_table: None,
            rows_seen: entries,
            records: entries,
            rejected: 0,
            reason: None,
        };
        self.announce(item, &Body::Ledger(row))
    }
}

/// A directory's row.
pub fn directory(exhibit: Id, parent: Option<Id>, path: &[u8], entry: &Entry) -> Directory {
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

fn take(item: &mut Item, reading: &Reading) {
    item.size_bytes = reading.size;
    item.sha256 = Some(reading.hashes.0);
    item.sha1.clone_from(&reading.hashes.1);
    item.md5.clone_from(&reading.hashes.2);
}

fn capped_trouble(cap: Cap) -> Trouble {
    Trouble::new(cap.code, format!("stopped after {} bytes", cap.bytes))
}
