//! Containers: opened, listed, their entries read.

use super::content::take;
use super::late::Late;
use super::{Skip, Worker, directory};
use crate::budget::{Budget, Shares};
use crate::evidence::Source;
use crate::open::{self, Container, Entry, HEAD_BYTES, Keys, Ranges, Trouble};
use crate::read::{self, Reading};
use crate::tasks::{Members, Order, Place, Task, database_of};
use crate::{Error, media_type};
use model::{Body, Code, FileKind, Item, ItemStatus, LedgerRow, StagedItem};
use std::io::{Read, Seek};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// How the content of a container came here.
#[derive(Clone, Copy)]
pub(super) enum How<'h> {
    /// It lies on disk and begins so.
    Disk(&'h [u8]),
    /// It was taken out of another container and begins so.
    Spooled(&'h [u8]),
    /// It stands behind something else, and all bytes were scanned.
    Appended,
}

impl Worker<'_> {
    /// Opens a container whose bytes were hashed, and reads what is in it.
    pub(super) fn container(
        &mut self,
        place: &Place,
        mut item: Item,
        source: Source,
        reading: &Reading,
        how: How<'_>,
    ) -> Result<(), Error> {
        take(&mut item, reading);
        let (settings, passwords) = (self.exhibited.settings, &self.exhibited.passwords);
        let keys = Keys { given: passwords, found: &place.keys };
        let path = item.path_raw.as_deref().unwrap_or(item.path.as_bytes());
        let (opened, sealed) = match how {
            How::Appended => (open::open_appended(&source, settings, passwords), false),
            How::Disk(head) | How::Spooled(head) => {
                (open::open(path, head, &source, settings, keys), open::is_sealed(path, head))
            }
        };
        let unlocked = opened.is_ok();
        let result = self.opened(place, item, source, opened, how);
        // Said last: what lies inside may have companions of its own.
        self.sealed = sealed.then_some(unlocked);
        result
    }

    fn opened(
        &mut self,
        place: &Place,
        mut item: Item,
        source: Source,
        opened: Result<Box<dyn Container>, Trouble>,
        how: How<'_>,
    ) -> Result<(), Error> {
        if place.depth == 0 {
            self.budget = Budget::of_container(self.exhibited.settings, source.size());
        }
        match opened {
            Err(trouble) => {
                // What nobody reads here is named, hashed as a whole and searched, like what lacks its key.
                let locked = matches!(trouble.code, Code::Encrypted | Code::Unsupported);
                let status = if locked { ItemStatus::Locked } else { ItemStatus::Partial };
                self.broken(place, &mut item, status, trouble)?;
                let item = self.scan_raw(item, &source, how)?;
                self.exhibited.root_read(&item, None);
                self.end(item)
            }
            Ok(container) => {
                let container: Arc<dyn Container> = Arc::from(container);
                if place.depth == 0 {
                    self.budget.bytes = self.budget.bytes.max(container.volume_bytes());
                }
                self.exhibited.root_read(&item, Some(container.name()));
                self.contents(place, item, container, &source, how)
            }
        }
    }

    /// Reads a phone backup in the exhibit's folder, whose manifest is the item.
    pub(super) fn backup(
        &mut self,
        place: &Place,
        mut item: Item,
        source: &Source,
        reading: &Reading,
        backup: &Result<Arc<dyn Container>, Trouble>,
    ) -> Result<(), Error> {
        take(&mut item, reading);
        let how = How::Disk(&[]);
        let mut item = self.scan_raw(item, source, how)?;
        match backup {
            Ok(backup) => {
                // Its files lie in the folder like any other: none comes out of less than it has.
                self.budget = Budget::NONE;
                self.contents(place, item, backup.clone(), source, how)
            }
            Err(trouble) => {
                let status = if trouble.code == Code::Encrypted { ItemStatus::Locked } else { ItemStatus::Partial };
                if open::backup::MANIFESTS.contains(&item.path.as_bytes()) {
                    self.exhibited.incomplete.store(true, Relaxed);
                }
                self.problem(&mut item, status, trouble.clone())?;
                self.end(item)
            }
        }
    }

    /// Lists the files that a report beside them names, and has them read; the report goes on as any other file.
    pub(super) fn restored(&mut self, place: &Place, item: &mut Item, report: &Arc<dyn Container>) -> Result<(), Error> {
        let Some(entries) = report.list() else { return Ok(()) };
        let raw = item.path_raw.clone().unwrap_or_else(|| item.path.clone().into_bytes());
        let prefix = open::ufdr::unpacked::folder_of(&raw).unwrap_or_default().to_vec();
        let depth = place.depth.saturating_add(1);
        let (in_order, keys) = (place.in_order, place.keys.clone());
        let inner = Arc::new(Place { parent: Some(item.id), prefix, depth, in_order, keys });
        report.troubles().iter().try_for_each(|trouble| self.note(item, trouble.clone()))?;
        let bytes = entries.iter().map(|entry| entry.size).fold(0u64, u64::saturating_add);
        self.exhibited.watch.listed(entries.len() as u64, bytes);
        self.count(item, None, entries.len() as u64, 0)?;
        // They lie in the folder like any other file: none comes out of less than it has.
        let (order, shares) = (Order::of(entries), Shares::of(self.exhibited.settings, entries, Budget::NONE));
        let parts = order.cut(entries);
        let members = Arc::new(Members { container: report.clone(), place: inner, shares, order });
        self.exhibited.tasks.add(parts.into_iter().map(|part| Task::Members(members.clone(), part)));
        Ok(())
    }

    /// Says what is wrong with a container. Where it is the exhibit itself, the exhibit could not be read to its end.
    fn broken(&mut self, place: &Place, item: &mut Item, status: ItemStatus, trouble: Trouble) -> Result<(), Error> {
        if self.exhibited.single && place.parent.is_none() {
            self.exhibited.incomplete.store(true, Relaxed);
        }
        self.problem(item, status, trouble)
    }

    /// Scans the bytes of a container that could not be read whole.
    fn scan_raw(&mut self, item: Item, source: &Source, how: How<'_>) -> Result<Item, Error> {
        if matches!(how, How::Appended) {
            return Ok(item);
        }
        let mut reader = source.reader();
        reader.rewind().map_err(Error::Temporary)?;
        self.plain(item, &[], &mut reader, None, false).map(|(item, _)| item)
    }

    /// Scans the bytes of a container that none of its entries covers.
    fn scan_ranges(&mut self, mut item: Item, source: &Source, ranges: Ranges) -> Result<Item, Error> {
        let mut announced = 0;
        let teller = &mut self.teller;
        let trouble = read::scan_ranges(&item, source, &ranges, &mut self.buffer, &mut |body| {
            announced += 1;
            teller.tell(&body)
        })?;
        item.announced += announced;
        if let Some(trouble) = trouble {
            self.problem(&mut item, ItemStatus::Partial, trouble)?;
        }
        Ok(item)
    }

    /// Lists a container, ends its item, and reads its entries: those of a file on disk are shared with the other threads.
    fn contents(
        &mut self,
        place: &Place,
        mut item: Item,
        container: Arc<dyn Container>,
        source: &Source,
        how: How<'_>,
    ) -> Result<(), Error> {
        let own = self.exhibited.single && place.parent.is_none();
        let raw = item.path_raw.clone().unwrap_or_else(|| item.path.clone().into_bytes());
        let prefix = match open::backup::folder_of(&raw).filter(|_| container.beside()) {
            Some(folder) => folder.to_vec(),
            None if own => Vec::new(),
            None => [&raw[..], b"/"].concat(),
        };
        let (depth, in_order) = (place.depth.saturating_add(1), place.in_order || container.list().is_none());
        // What is read in order gives its keys as it is read.
        let found = if container.list().is_some() { open::keys_in(&*container, &self.exhibited.passwords)? } else { Vec::new() };
        let keys = if found.is_empty() { place.keys.clone() } else { place.keys.iter().cloned().chain(found).collect() };
        let inner = Arc::new(Place { parent: Some(item.id), prefix, depth, in_order, keys });
        if item.status == ItemStatus::Plain {
            item.status = ItemStatus::Parsed;
        }
        item.definition = Some(container.name().to_owned());
        for trouble in container.troubles() {
            self.broken(place, &mut item, ItemStatus::Partial, trouble.clone())?;
        }
        let Some(entries) = container.list() else { return self.visit(place, &inner, item, &*container, (source, how)) };
        let (folders, files): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.kind.is_none());
        let bytes = files.iter().map(|entry| entry.size).fold(0u64, u64::saturating_add);
        self.exhibited.watch.listed(files.len() as u64, bytes);
        folders.iter().try_for_each(|folder| self.directory(&inner, folder))?;
        self.count(&mut item, container.told(), files.len() as u64, folders.len() as u64)?;
        let item = match container.uncovered() {
            Some(ranges) => self.scan_ranges(item, source, ranges)?,
            None if container.troubles().iter().any(damages) => self.scan_raw(item, source, how)?,
            None => item,
        };
        self.end(item)?;
        drop((folders, files));
        let order = Order::placed(entries, &|at| container.place(at));
        let shares = Shares::of(self.exhibited.settings, entries, self.budget);
        let parts = order.cut(entries);
        let members = Members { container: container.clone(), place: inner, shares, order };
        if place.depth == 0 {
            let members = Arc::new(members);
            self.exhibited.tasks.add(parts.into_iter().map(|part| Task::Members(members.clone(), part)));
            return Ok(());
        }
        let head = std::mem::replace(&mut self.head, vec![0; HEAD_BYTES]);
        let result = self.members(&members, members.order.whole());
        self.head = head;
        result
    }

    /// Reads entries of a listed container.
    pub(super) fn members(&mut self, members: &Members, part: Range<usize>) -> Result<(), Error> {
        let Members { container, place, shares, order } = members;
        let Some(entries) = container.list() else { return Ok(()) };
        let outer = self.budget;
        let mut spent = 0u64;
        for group in order.groups(part) {
            self.group(place, entries, &group, &mut |worker, at| {
                let share = match shares.share(worker.exhibited.settings, at, &entries[at]) {
                    Ok(share) => share,
                    Err(code) => {
                        let detail = format!("{} bytes are more than may come out of its container: not read", entries[at].size);
                        return worker.refused(place, &entries[at], Vec::new(), Trouble::new(code, detail)).map(|()| None);
                    }
                };
                worker.budget = share;
                let staged = worker.listed(container, place, &entries[at], at);
                spent = spent.saturating_add(share.bytes - worker.budget.bytes.min(share.bytes));
                staged
            })?;
        }
        self.budget = outer.less(spent);
        Ok(())
    }

    /// One entry of a listed container.
    fn listed(
        &mut self,
        container: &Arc<dyn Container>,
        place: &Place,
        entry: &Entry,
        at: usize,
    ) -> Result<Option<StagedItem>, Error> {
        let notes = container.notes(at);
        let mut staged = None;
        self.special = container.special(at);
        self.positioned = container.source(at);
        self.beside = Some((container.clone(), entry.path.clone()));
        let trouble = container.read(at, &mut |stream| {
            staged = self.member(place, entry.clone(), notes.clone(), stream)?;
            Ok(())
        })?;
        (self.special, self.positioned, self.beside) = (None, None, None);
        match trouble {
            Some(trouble) => self.refused(place, entry, notes, trouble).map(|()| None),
            None => Ok(staged),
        }
    }

    /// An entry of a container, as a stream.
    fn member(
        &mut self,
        place: &Place,
        mut entry: Entry,
        notes: Vec<Trouble>,
        stream: &mut dyn Read,
    ) -> Result<Option<StagedItem>, Error> {
        if entry.kind == Some(FileKind::Symlink) && entry.link_target.is_none() {
            let mut target = Vec::new();
            // A zip keeps a link's target as its content; PATH_MAX bounds it. A target that cannot be read stays unknown.
            if stream.take(4096).read_to_end(&mut target).is_ok() {
                entry.link_target = Some(target);
            }
        }
        let mut item = self.begin(place, &entry);
        notes.into_iter().try_for_each(|note| self.note(&mut item, note))?;
        if entry.kind != Some(FileKind::File) {
            return self.unopened_kind(item, "").map(|()| None);
        }
        let cap = self.budget.of_entry(self.exhibited.settings, entry.packed);
        self.stream(place, item, stream, cap)
    }

    /// An entry whose content could not be opened.
    fn refused(&mut self, place: &Place, entry: &Entry, notes: Vec<Trouble>, trouble: Trouble) -> Result<(), Error> {
        let mut item = self.begin(place, entry);
        notes.into_iter().try_for_each(|note| self.note(&mut item, note))?;
        let status = match trouble.code {
            Code::Encrypted => ItemStatus::Locked,
            Code::CapBytes | Code::CapRatio | Code::Overwritten => ItemStatus::Skipped,
            _ => ItemStatus::Failed,
        };
        self.problem(&mut item, status, trouble)?;
        self.end(item)
    }

    /// Reads a container without a directory from end to end.
    fn visit(
        &mut self,
        place: &Place,
        inner: &Place,
        mut item: Item,
        container: &dyn Container,
        (source, how): (&Source, How<'_>),
    ) -> Result<(), Error> {
        let (mut files, mut folders, mut databases) = (0u64, 0u64, Vec::new());
        let outer = self.skip;
        let head = std::mem::replace(&mut self.head, vec![0; HEAD_BYTES]);
        let late = self.late.replace(Late::default());
        let trouble = container.visit(&mut |entry, stream| {
            if entry.kind.is_none() {
                folders += 1;
                return self.directory(inner, &entry);
            }
            files += 1;
            self.exhibited.watch.listed(1, entry.size);
            let done = self.exhibited.watch.done(self.id(inner, &entry));
            self.skip = if done { Skip::Lone } else { Skip::No };
            match self.member(inner, entry, Vec::new(), stream)? {
                // A companion can come before its database or after it, far away.
                Some(staged) if media_type::is_sqlite(staged.item.media_type.as_deref()) => databases.push(staged),
                Some(staged) => self.unit(staged, Vec::new())?,
                None => {}
            }
            Ok(())
        })?;
        let waited = std::mem::replace(&mut self.late, late);
        waited.map_or(Ok(()), |waited| self.open_late(inner, waited))?;
        self.head = head;
        self.skip = outer;
        self.join(databases)?;
        if let Some(trouble) = trouble {
            let damaged = damages(&trouble);
            self.broken(place, &mut item, ItemStatus::Partial, trouble)?;
            if damaged {
                item = self.scan_raw(item, source, how)?;
            }
        }
        self.count(&mut item, None, files, folders)?;
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
        let directory = directory(self.exhibited.exhibit, Some(place), entry);
        self.exhibited.directories.fetch_add(1, Relaxed);
        self.teller.tell(&Body::Directory(Box::new(directory)))
    }

    /// The ledger row of a container: of the entries it tells of, those that became items, folders, and those never reached.
    fn count(&mut self, item: &mut Item, told: Option<u64>, files: u64, folders: u64) -> Result<(), Error> {
        let listed = files.saturating_add(folders);
        let rows_seen = told.unwrap_or(listed).max(listed);
        let missing = rows_seen - listed;
        let mut reasons = Vec::new();
        if folders > 0 {
            reasons.push(format!("{folders} directories"));
        }
        if missing > 0 {
            reasons.push(format!("{missing} not listed"));
        }
        let row = LedgerRow {
            exhibit: item.exhibit,
            item: item.id,
            source: "entries".to_owned(),
            record_kind: "item".to_owned(),
            row_table: None,
            rows_seen,
            records: files,
            rejected: rows_seen - files,
            reason: (!reasons.is_empty()).then(|| reasons.join(", ")),
        };
        self.announce(item, &Body::Ledger(row))
    }
}

/// Whether a trouble leaves bytes of a container unread.
fn damages(trouble: &Trouble) -> bool {
    matches!(trouble.code, Code::Truncated | Code::ContainerDamaged | Code::ChecksumMismatch | Code::Unreadable)
}
