//! The content of one item: what it is, read once, held against what was listed.

use super::container::How;
use super::{Skip, Worker};
use crate::budget::Budget;
use crate::evidence::Source;
use crate::open::{self, Entry, Siblings, Special, Trouble};
use crate::read::{self, Capped, Reading, Wish};
use crate::spool::Spool;
use crate::tasks::Place;
use crate::{Error, media_type};
use model::{Body, Code, Item, ItemStatus, StagedItem};
use std::io::Read;
use std::sync::Arc;

impl Worker<'_> {
    /// Reads the head of a file on disk, tells what it is, and goes on as container or as plain content.
    pub(super) fn content(
        &mut self,
        place: &Place,
        item: Item,
        listed: &Entry,
        source: Source,
    ) -> Result<Option<StagedItem>, Error> {
        let mut head = std::mem::take(&mut self.head);
        let result = self.disk(place, item, listed, source, &mut head);
        self.head = head;
        result
    }

    fn disk(
        &mut self,
        place: &Place,
        mut item: Item,
        listed: &Entry,
        source: Source,
        head: &mut [u8],
    ) -> Result<Option<StagedItem>, Error> {
        let mut reader = source.reader();
        let (filled, error) = read::fill(&mut reader, head);
        let head = &head[..filled];
        item.media_type = media_type::of_item(head, &item.path).map(str::to_owned);
        if let Some(backup) = self.exhibited.backups.get(&listed.path) {
            let reading = self.hash(&item, &[], &mut source.reader())?;
            let item = self.compare(item, &reading, listed, &source)?;
            return self.backup(place, item, &source, &reading, backup).map(|()| None);
        }
        let image = open::ends_as_image(&source);
        if !image && error.is_none() && open::is_later_part(&source) {
            return self.later_part(item, listed, &source).map(|()| None);
        }
        if error.is_none() && self.opens(place, &mut item, image || open::is_container(&listed.path, head))? {
            let reading = self.hash(&item, &[], &mut source.reader())?;
            let item = self.compare(item, &reading, listed, &source)?;
            return self.container(place, item, source, &reading, How::Disk(head)).map(|()| None);
        }
        let appended = error.is_none()
            && open::has_archive_behind(head, &source)
            && (item.media_type.as_deref().is_some_and(media_type::hides_archives)
                || !read::wanted(&item, self.exhibited.settings))
            && place.depth < self.exhibited.settings.ingest.cap_depth;
        if appended {
            // A program that unpacks itself, a picture with an archive behind it: what stands before is scanned like any file.
            let (item, reading) = self.plain(item, head, &mut reader, None, false)?;
            let item = self.compare(item, &reading, listed, &source)?;
            return self.container(place, item, source, &reading, How::Appended).map(|()| None);
        }
        let report = self.exhibited.reports.get(&listed.path);
        if let Some(report) = report {
            self.restored(place, &mut item, report)?;
        }
        if self.skip == Skip::Group {
            self.exhibited.watch.read(1, item.size_bytes);
            return Ok(None);
        }
        let log = self.sealed_log(&item);
        let (item, reading) = self.plain(item, head, &mut reader, error, log.is_none())?;
        let item = self.compare(item, &reading, listed, &source)?;
        self.finish_log(item, reading, log)
    }

    /// Whether an item is the log or journal of an encrypted database, and if so whether that could be opened.
    fn sealed_log(&mut self, item: &Item) -> Option<bool> {
        self.sealed.take().filter(|_| media_type::is_companion(item.media_type.as_deref()))
    }

    /// Ends the log of an encrypted database: what it holds is read, or not, with the database.
    fn finish_log(&mut self, mut item: Item, reading: Reading, log: Option<bool>) -> Result<Option<StagedItem>, Error> {
        let is_log = item.media_type.as_deref() == Some(media_type::SQLITE_WAL);
        match log {
            None => {}
            Some(true) if is_log => {
                (item.status, item.definition) = (ItemStatus::Parsed, Some("log of an encrypted database".to_owned()));
            }
            Some(opened) => {
                let needs =
                    if opened { "a reader of journals of encrypted databases" } else { "the key of the database it belongs to" };
                let trouble = Trouble::new(Code::Encrypted, format!("needs {needs}"));
                self.problem(&mut item, ItemStatus::Locked, trouble)?;
            }
        }
        self.finish(item, reading)
    }

    /// A later part of a split image: what it holds is read through the first.
    fn later_part(&mut self, item: Item, listed: &Entry, source: &Source) -> Result<(), Error> {
        let reading = self.hash(&item, &[], &mut source.reader())?;
        let item = self.compare(item, &reading, listed, source)?;
        self.part_read(item, &reading)
    }

    /// Ends a later part of an image.
    fn part_read(&mut self, mut item: Item, reading: &Reading) -> Result<(), Error> {
        take(&mut item, reading);
        if item.status == ItemStatus::Plain {
            (item.status, item.definition) = (ItemStatus::Parsed, Some("part of a split image".to_owned()));
        }
        if let Some(trouble) = &reading.trouble {
            let code = if trouble.code == Code::ContainerDamaged { Code::Unreadable } else { trouble.code };
            self.problem(&mut item, ItemStatus::Partial, Trouble::new(code, trouble.detail.clone()))?;
        }
        self.end(item)
    }

    /// The content of an entry of a container, as it comes.
    pub(super) fn stream(
        &mut self,
        place: &Place,
        item: Item,
        stream: &mut dyn Read,
        cap: Budget,
    ) -> Result<Option<StagedItem>, Error> {
        let mut head = std::mem::take(&mut self.head);
        let result = self.capped(place, item, &mut head, Capped::new(stream, cap.bytes), cap);
        self.head = head;
        result
    }

    fn capped(
        &mut self,
        place: &Place,
        mut item: Item,
        head: &mut [u8],
        mut capped: Capped<'_>,
        cap: Budget,
    ) -> Result<Option<StagedItem>, Error> {
        let told = item.size_bytes;
        let (filled, error) = read::fill(&mut capped, head);
        let head = &head[..filled];
        item.media_type = media_type::of_item(head, &item.path).map(str::to_owned);
        let stop = |stopped: bool, reading: &Reading| early_end(cap, told, stopped, reading);
        let (special, positioned, beside) = (self.special.take(), self.positioned.take(), self.beside.take());
        let path = item.path_raw.clone().unwrap_or_else(|| item.path.clone().into_bytes());
        self.take_key(place, &path, head);
        let among = |source: Source| match &beside {
            Some((container, path)) => Siblings::among(source, container, path),
            None => source,
        };
        // Which part of an image it is, its name and what lies beside it tell.
        if error.is_none() && special.is_none() && open::is_later_part(&among(Source::Memory(Arc::from([])))) {
            let mut reading = self.hash(&item, head, &mut capped)?;
            self.budget = self.budget.less(reading.size);
            reading.trouble = stop(capped.stopped, &reading).or_else(|| reading.trouble.clone());
            return self.part_read(item, &reading).map(|()| None);
        }
        let image = || open::is_container(&path, head) || positioned.as_ref().is_some_and(open::ends_as_image);
        if error.is_none() && special.is_none() && self.opens(place, &mut item, image())? {
            let (reading, source) = self.spooled(&item, head, &mut capped, positioned)?;
            self.budget = self.budget.less(reading.size);
            let trouble = stop(capped.stopped, &reading).or_else(|| reading.trouble.clone());
            if let Some(trouble) = trouble {
                self.problem(&mut item, ItemStatus::Partial, trouble)?;
            }
            let (mut source, mut reading) = (among(source), reading);
            if open::is_sealed(&path, head)
                && let Some(late) = self.late.as_mut().filter(|_| place.in_order)
            {
                match late.wait(item, source, reading) {
                    None => return Ok(None),
                    Some(back) => (item, source, reading) = back,
                }
            }
            return self.container(place, item, source, &reading, How::Spooled(head)).map(|()| None);
        }
        let database = media_type::is_sqlite(item.media_type.as_deref());
        if self.skip == Skip::Group || self.skip == Skip::Lone && !database {
            if place.in_order {
                // What comes after it must find the budget that it left the first time.
                self.budget = self.budget.less(filled as u64 + drain(&mut capped, &mut self.buffer));
            }
            self.exhibited.watch.read(1, item.size_bytes);
            return Ok(None);
        }
        self.only = special.as_ref().and_then(|special| special.scan.clone());
        let log = self.sealed_log(&item);
        let keep = special.is_none() && log.is_none();
        let (mut item, mut reading) = self.plain(item, head, &mut capped, error, keep)?;
        self.budget = self.budget.less(reading.size);
        if let Some(trouble) = stop(capped.stopped, &reading) {
            reading.trouble = None;
            self.problem(&mut item, ItemStatus::Partial, trouble)?;
        }
        match special {
            Some(special) => self.whole(item, reading, special).map(|()| None),
            None => self.finish_log(item, reading, log),
        }
    }

    /// Hashes a container that is an entry, and keeps its bytes where they cannot be read by position.
    fn spooled(
        &mut self,
        item: &Item,
        head: &[u8],
        stream: &mut Capped<'_>,
        positioned: Option<Source>,
    ) -> Result<(Reading, Source), Error> {
        if let Some(source) = positioned {
            return Ok((self.hash(item, head, stream)?, source));
        }
        let mut spool = Spool::new(head, stream);
        Ok((self.hash(item, head, &mut spool)?, spool.finish()?))
    }

    /// Ends an entry that stands for a whole disk or volume.
    fn whole(&mut self, mut item: Item, reading: Reading, special: Special) -> Result<(), Error> {
        if let Some((status, trouble)) = special.ends {
            self.problem(&mut item, status, trouble)?;
        } else if item.status == ItemStatus::Plain {
            item.status = ItemStatus::Parsed;
            item.definition = special.definition.filter(|_| reading.trouble.is_none());
        }
        self.finish(item, reading).map(|_| ())
    }

    /// Whether content is opened as a container; a cap on nesting is a problem.
    fn opens(&mut self, place: &Place, item: &mut Item, is_container: bool) -> Result<bool, Error> {
        if !is_container {
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

    /// Hashes, scans and, if wanted, stages what follows the head.
    pub(super) fn plain(
        &mut self,
        mut item: Item,
        head: &[u8],
        reader: &mut dyn Read,
        early: Option<std::io::Error>,
        keep: bool,
    ) -> Result<(Item, Reading), Error> {
        let only = self.only.take();
        let wish = Wish { settings: self.exhibited.settings, stage: self.exhibited.stage, scan: true, only, keep };
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
        let wish = Wish { settings: self.exhibited.settings, stage: self.exhibited.stage, scan: false, only: None, keep: false };
        read::read(item, head, reader, &mut self.buffer, &wish, &mut |_| Ok(()))
    }

    /// Holds a file against what the listing said.
    fn compare(&mut self, mut item: Item, reading: &Reading, listed: &Entry, source: &Source) -> Result<Item, Error> {
        // What cannot be asked any more has changed.
        let same = source.facts().is_ok_and(|now| now.is_none_or(|now| now.times.modified == listed.times.modified));
        if (reading.size != listed.size || !same) && reading.trouble.is_none() {
            let detail = format!("listed with {} bytes, read {}", listed.size, reading.size);
            self.problem(&mut item, ItemStatus::Partial, Trouble::new(Code::ChangedDuringRead, detail))?;
        }
        Ok(item)
    }

    /// Takes the result of a reading into the item; a staged item goes on to normalize, any other ends here.
    fn finish(&mut self, mut item: Item, reading: Reading) -> Result<Option<StagedItem>, Error> {
        take(&mut item, &reading);
        if let Some(trouble) = reading.trouble {
            let status = match reading.size {
                0 if trouble.code == Code::Encrypted => ItemStatus::Locked,
                0 => ItemStatus::Failed,
                _ => ItemStatus::Partial,
            };
            let on_disk = item.parent.is_none();
            let code = if trouble.code == Code::ContainerDamaged && on_disk { Code::Unreadable } else { trouble.code };
            self.problem(&mut item, status, Trouble::new(code, trouble.detail))?;
        }
        self.exhibited.root_read(&item, None);
        if !reading.staged {
            return self.end(item).map(|()| None);
        }
        self.exhibited.watch.read(1, item.size_bytes);
        let raw = item.path_raw.as_deref().unwrap_or(item.path.as_bytes());
        let name = raw.rsplit(|byte| *byte == b'/').next().unwrap_or(raw).to_vec();
        let content = reading.hashes.0;
        Ok(Some(StagedItem { item, content, name }))
    }

    /// A file over the cap that is nearly all hole: its data are scanned, it is not hashed.
    pub(super) fn holes(&mut self, mut item: Item, source: &Source) -> Result<(), Error> {
        // The sink has it with all that it announces: said with less it would be another item.
        if self.skip == Skip::Group {
            self.exhibited.watch.read(1, item.size_bytes);
            return Ok(());
        }
        let detail = format!("{} bytes with {} bytes of data: data scanned, not hashed", source.size(), source.blocks_bytes());
        self.problem(&mut item, ItemStatus::Skipped, Trouble::new(Code::CapBytes, detail))?;
        let mut announced = 0;
        let teller = &mut self.teller;
        let trouble = read::scan_extents(&item, source, &mut self.buffer, &mut |body| {
            announced += 1;
            teller.tell(&body)
        })?;
        item.announced += announced;
        if let Some(trouble) = trouble {
            self.note(&mut item, Trouble::new(Code::Unreadable, trouble.detail))?;
        }
        self.end(item)
    }
}

/// What ended an entry before its time: a cap, or less content than was told.
fn early_end(cap: Budget, told: u64, stopped: bool, reading: &Reading) -> Option<Trouble> {
    if stopped {
        Some(Trouble::new(cap.code, format!("stopped after {} bytes", cap.bytes)))
    } else if reading.trouble.is_none() && reading.size < told {
        Some(Trouble::new(Code::Truncated, format!("ends after {} of {told} bytes", reading.size)))
    } else {
        None
    }
}

/// Reads to the end or the first error; how many bytes.
fn drain(reader: &mut impl Read, buffer: &mut [u8]) -> u64 {
    let mut all = 0;
    loop {
        let (filled, error) = read::fill(reader, buffer);
        all += filled as u64;
        if filled < buffer.len() || error.is_some() {
            return all;
        }
    }
}

/// Takes sizes and hashes into an item.
pub(super) fn take(item: &mut Item, reading: &Reading) {
    item.size_bytes = reading.size;
    item.sha256 = Some(reading.hashes.0);
    item.sha1.clone_from(&reading.hashes.1);
    item.md5.clone_from(&reading.hashes.2);
}
