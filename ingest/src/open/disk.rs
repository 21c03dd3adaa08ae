//! Disks: images, partition tables, file systems, in one list of entries.
//!
//! **Paths.** A partition's entries stand below `p` and its number (`p1/Users/…`: place in the GPT or the map from 1; in the MBR 1 to 4,
//! logical ones from 5); those of a file system without a table have no prefix. An alternate stream is `name:stream`. Names of
//! ours begin with `$`: `$media` is the disk that an image holds, `$volume` a volume that is not read, `$part/…` the other files of
//! an image that is the whole exhibit, `$orphan/…` what no folder leads to, `$decrypted` what an encrypted volume holds: a disk of its own.
//!
//! **Nothing is left out.** What no entry covers (free space, slack, gaps between partitions, the file system's own tables) is scanned in
//! place: of `$media`, or of the item itself where the image is raw. Byte offsets of what is found there are offsets on the disk.
//!
//! **Hostile images.** Readers hold no table whose size an image chooses: tables are read by position, entry by entry; loops
//! end at what was seen before or at what the volume can hold; entries and paths have caps; each volume is listed behind
//! [`guard`].

mod fields;
#[cfg(test)]
mod hostile;
mod image;
mod lzfse;
mod pieces;
mod sink;
mod stream;
mod table;
mod volume;

use super::{Container, Entry, Format, Ranges, Special, Trouble, guard};
use crate::evidence::Source;
use config::Settings;
use image::{ENDINGS, IMAGES, Opened, Stored};
use model::item::FileTimes;
use model::{Code, FileKind, ItemStatus};
use pieces::Window;
use sink::{At, Sink};
use std::io::Read;
use std::sync::Arc;
use stream::Patient;
use volume::FileSystem;

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// Shorter content is a copy of a boot sector, not a disk.
const SMALLEST_BYTES: usize = 16 << 10;
/// Bytes of a disk that are always hashed, however small its image.
const MEDIA_FLOOR_BYTES: u64 = 16 << 30;

fn recognize(head: &[u8]) -> bool {
    IMAGES.iter().any(|image| (image.recognize)(head)) || begins_disk(head)
}

/// Whether content that begins so is a disk or a volume as it is.
fn begins_disk(head: &[u8]) -> bool {
    head.len() >= SMALLEST_BYTES && (volume::recognize(head) || table::recognize(head))
}

/// Whether a file is a later part of an image: it is read through the first.
pub fn is_later_part(source: &Source) -> bool {
    image::is_part(source, &|first| fields::some(first, 0, volume::PROBE_BYTES).is_ok_and(|head| recognize(&head)))
}

/// Whether a file ends as a disk image of a kind that its beginning does not tell.
pub fn ends_as_image(source: &Source) -> bool {
    image::is_udif(source) || image::is_fixed(source)
}

/// A volume of a disk.
struct Volume {
    source: Source,
    system: Option<Box<dyn FileSystem>>,
    /// Why nothing is read from it.
    ends: Option<(ItemStatus, Trouble)>,
    /// What it is, where it is known and not read.
    known: Option<&'static str>,
    /// Whether what it holds is an entry of its own.
    unlocked: bool,
}

/// Settings and passwords.
type With<'a> = (&'a Settings, &'a [String]);

struct Disk {
    name: &'static str,
    media: Source,
    stored: Stored,
    parts: Vec<(Vec<u8>, Source)>,
    volumes: Vec<Volume>,
    entries: Vec<Entry>,
    places: Vec<At>,
    /// Where each begins on the disk.
    begins: Vec<u32>,
    troubles: Vec<Trouble>,
    /// What no entry covers.
    uncovered: Ranges,
    /// Whether the source is the disk itself.
    raw: bool,
    /// Whether the disk is an image itself.
    nested: bool,
    /// Bytes that may come out.
    volume_bytes: u64,
}

fn open(source: &Source, settings: &Settings, passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    let (name, opened) = match unwrap(source)? {
        Some((format, None)) => return Ok(Box::new(Disk::part(format, source))),
        Some((format, Some(opened))) => (format, opened),
        None => ("", Opened::new(source.clone())),
    };
    let raw = name.is_empty();
    // An image in an image is a container of its own, as one in a file system would be.
    let nested = !raw && opened.tree.is_none() && unwrap(&opened.disk).is_ok_and(|inner| inner.is_some());
    let listed = source.neighbours().is_none_or(|beside| beside.listed());
    let mut disk = Disk {
        name,
        media: opened.disk,
        stored: opened.stored,
        parts: if listed { Vec::new() } else { opened.parts },
        volumes: Vec::new(),
        entries: Vec::new(),
        places: Vec::new(),
        begins: Vec::new(),
        troubles: opened.troubles,
        uncovered: Arc::new([]),
        raw,
        nested,
        volume_bytes: 0,
    };
    disk.find((settings, passwords), source.size(), opened.tree);
    Ok(Box::new(disk))
}

/// What an image holds, if a source is one: the format's name, and the disk unless the source is a later part.
fn unwrap(source: &Source) -> Result<Option<(&'static str, Option<Opened>)>, Trouble> {
    let head = fields::some(source, 0, volume::PROBE_BYTES).map_err(|error| Trouble::of(&error))?;
    if let Some(image) = IMAGES.iter().find(|image| (image.recognize)(&head)) {
        return (image.open)(source).map(|opened| Some((image.name, opened)));
    }
    let ending = ENDINGS.iter().find_map(|image| (image.open)(source).ok().map(|opened| (image.name, opened)));
    Ok(ending)
}

impl Disk {
    /// A later part of an image: nothing is listed here.
    fn part(name: &'static str, source: &Source) -> Disk {
        Disk {
            name,
            media: source.clone(),
            stored: Stored::default(),
            parts: Vec::new(),
            volumes: Vec::new(),
            entries: Vec::new(),
            places: Vec::new(),
            begins: Vec::new(),
            troubles: Vec::new(),
            uncovered: Arc::new([]),
            raw: false,
            nested: false,
            volume_bytes: 0,
        }
    }

    /// Lists the disk: its partitions, their file systems, and what stands for the disk itself.
    fn find(&mut self, with: With<'_>, stored_bytes: u64, tree: Option<Box<dyn FileSystem>>) {
        let (settings, media) = (with.0, self.media.clone());
        let size = media.size();
        let allowed = stored_bytes.saturating_mul(settings.ingest.cap_ratio).max(MEDIA_FLOOR_BYTES);
        // As much as could come out of the disk if it were given raw.
        let bytes = size.min(allowed);
        self.volume_bytes =
            bytes.saturating_mul(settings.ingest.cap_ratio).min(settings.ingest.cap_bytes).max(bytes.saturating_mul(4));
        let mut covered = Vec::new();
        if let Some(tree) = tree {
            self.list(&*tree, "", b"", 0, settings, &mut covered);
            self.volumes.push(Volume { source: media, system: Some(tree), ends: None, known: None, unlocked: false });
        } else if !self.nested {
            self.volumes(with, &mut covered);
        }
        self.uncovered = gaps(covered, size);
        if !self.raw {
            let entry =
                plain(b"$media".to_vec(), size, Some(stored_bytes.max(MEDIA_FLOOR_BYTES / settings.ingest.cap_ratio.max(1))));
            self.take(entry, At::Media, 0);
        }
        for at in 0..self.parts.len().min(usize::from(u16::MAX)) {
            let (name, source) = &self.parts[at];
            let entry = plain([b"$part/", &name[..]].concat(), source.size(), Some(source.size()));
            self.take(entry, At::Part(at as u16), 0);
        }
        super::give_ordinals(&mut self.entries);
    }

    /// Lists the volumes of the disk.
    fn volumes(&mut self, with: With<'_>, covered: &mut Vec<(u64, u64)>) {
        let media = self.media.clone();
        let size = media.size();
        let head = self.beginning(&media, "");
        let table = if volume::recognize(&head) { None } else { table::read(&media) };
        match table {
            None => self.volume(media.clone(), 0, Vec::new(), with, covered),
            Some(table) => {
                self.name = if self.name.is_empty() { table.kind } else { self.name };
                self.troubles.extend(table.troubles);
                for partition in table.partitions {
                    let (start, end) = (partition.start, partition.start.saturating_add(partition.size));
                    let place = format!("partition {} ({})", partition.number, model::text::escape(&partition.name));
                    if end > size {
                        let detail = format!("{place}: bytes {start} to {end} reach beyond the end of the disk at {size}");
                        self.troubles.push(Trouble::new(Code::Truncated, detail));
                    }
                    if start < size && partition.size > 0 {
                        // A file system is read as far as the disk goes, but knows the size it should have.
                        let volume = Window::source(&media, start, partition.size);
                        self.volume(volume, start, format!("p{}/", partition.number).into_bytes(), with, covered);
                    }
                }
            }
        }
    }

    /// The first bytes of the disk or a volume; where they cannot be read, nobody knows what it is, and that is said.
    fn beginning(&mut self, source: &Source, place: &str) -> Vec<u8> {
        fields::some(source, 0, volume::PROBE_BYTES).unwrap_or_else(|error| {
            let Trouble { code, detail } = Trouble::of(&error);
            let trouble = Trouble::new(code, format!("{place}the beginning cannot be read: {detail}"));
            if !self.troubles.contains(&trouble) {
                self.troubles.push(trouble);
            }
            Vec::new()
        })
    }

    fn take(&mut self, entry: Entry, place: At, start: u64) {
        self.entries.push(entry);
        self.places.push(place);
        self.begins.push(sink::place(start));
    }

    /// Lists one volume.
    fn volume(&mut self, source: Source, start: u64, prefix: Vec<u8>, with: With<'_>, covered: &mut Vec<(u64, u64)>) {
        let index = u16::try_from(self.volumes.len()).unwrap_or(u16::MAX);
        let place =
            if prefix.is_empty() { String::new() } else { format!("{}: ", String::from_utf8_lossy(&prefix[..prefix.len() - 1])) };
        let head = self.beginning(&source, &place);
        let (mut ends, mut known, mut system, mut unlocked) = (None, None, None, None);
        match (volume::unread(&head), volume::kind(&head)) {
            (Some(unread), _) => {
                self.name = if self.name.is_empty() { unread.name } else { self.name };
                ends = unread.needs.map(|needs| (ItemStatus::Locked, Trouble::new(code_of(unread), needs)));
                known = Some(unread.name);
                let opened = guard(|| volume::unlock(unread, &source, with.1)).flatten();
                match opened {
                    Some(Ok(plain)) => (ends, unlocked) = (None, Some(plain)),
                    Some(Err(trouble)) => ends = Some((ItemStatus::Locked, trouble)),
                    None => {}
                }
            }
            (None, Some(kind)) => {
                self.name = if self.name.is_empty() { kind.name } else { self.name };
                let opened = guard(|| (kind.open)(&source));
                match opened.unwrap_or_else(|| Err(Trouble::new(Code::ContainerDamaged, "reader gave up"))) {
                    Ok(opened) => system = Some(opened),
                    Err(trouble) => {
                        let detail = format!("{place}{}: {}", kind.name, trouble.detail);
                        ends = Some((ItemStatus::Partial, Trouble::new(trouble.code, detail)));
                    }
                }
            }
            (None, None) => {
                let detail = "no file system is known here: free, damaged, or encrypted without a sign";
                ends = Some((ItemStatus::Partial, Trouble::new(Code::Unsupported, detail)));
            }
        }
        if let Some(system) = &system {
            self.list(&**system, &place, &prefix, start, with.0, covered);
        } else {
            let size = source.size();
            covered.push((start, start.saturating_add(size)));
            self.take(plain([&prefix[..], b"$volume"].concat(), size, Some(size)), At::Volume(index), start);
        }
        self.volumes.push(Volume { source, system, ends, known, unlocked: unlocked.is_some() });
        if let Some(source) = unlocked {
            let (index, size) = (u16::try_from(self.volumes.len()).unwrap_or(u16::MAX), source.size());
            self.take(plain([&prefix[..], b"$decrypted"].concat(), size, Some(size)), At::Plain(index), start);
            self.volumes.push(Volume { source, system: None, ends: None, known: None, unlocked: false });
        }
    }

    /// Lists the entries of a volume that comes next and begins at a byte of the disk.
    fn list(
        &mut self,
        system: &dyn FileSystem,
        place: &str,
        prefix: &[u8],
        start: u64,
        settings: &Settings,
        covered: &mut Vec<(u64, u64)>,
    ) {
        let index = u16::try_from(self.volumes.len()).unwrap_or(u16::MAX);
        let mut sink = Sink {
            entries: &mut self.entries,
            places: &mut self.places,
            begins: &mut self.begins,
            covered,
            troubles: Vec::new(),
            untold: 0,
            prefix: prefix.to_vec(),
            volume: (index, start),
            cap_entries: settings.ingest.cap_entries,
        };
        let listed = guard(|| system.list(&mut sink));
        let (mut troubles, untold) = (std::mem::take(&mut sink.troubles), sink.untold);
        if listed.is_none() {
            troubles.push(Trouble::new(Code::ContainerDamaged, "reader gave up: entries may be missing"));
        }
        if untold > 0 {
            troubles.push(Trouble::new(Code::Flood, format!("{untold} more troubles in this volume")));
        }
        let told = troubles.into_iter().map(|trouble| Trouble::new(trouble.code, format!("{place}{}", trouble.detail)));
        self.troubles.extend(told);
    }
}

/// What a volume that is not read has as its problem.
fn code_of(unread: &volume::Unread) -> Code {
    if unread.needs.is_some_and(|needs| needs.contains("key") || needs.contains("pass")) {
        Code::Encrypted
    } else {
        Code::Unsupported
    }
}

/// An entry of ours.
fn plain(path: Vec<u8>, size: u64, packed: Option<u64>) -> Entry {
    Entry {
        path,
        ordinal: 0,
        kind: Some(FileKind::File),
        size,
        packed,
        mode: None,
        owner: None,
        times: FileTimes::default(),
        link_target: None,
        deleted: false,
    }
}

/// What ranges leave over of so many bytes.
fn gaps(mut covered: Vec<(u64, u64)>, size: u64) -> Ranges {
    covered.sort_unstable();
    let (mut gaps, mut at) = (Vec::new(), 0);
    for (start, end) in covered {
        if start > at {
            gaps.push((at, start.min(size)));
        }
        at = at.max(end);
        if at >= size {
            break;
        }
    }
    if at < size {
        gaps.push((at, size));
    }
    gaps.retain(|(start, end)| start < end);
    Arc::from(gaps)
}

impl Container for Disk {
    fn name(&self) -> &'static str {
        if self.name.is_empty() { "disk" } else { self.name }
    }

    fn list(&self) -> Option<&[Entry]> {
        Some(&self.entries)
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn uncovered(&self) -> Option<Ranges> {
        Some(if self.raw { self.uncovered.clone() } else { Arc::new([]) })
    }

    fn volume_bytes(&self) -> u64 {
        self.volume_bytes
    }

    fn notes(&self, index: usize) -> Vec<Trouble> {
        let shadow = self.entries.get(index).is_some_and(|entry| {
            entry.kind == Some(FileKind::File) && entry.path.to_ascii_lowercase().ends_with(volume::SHADOW_COPY)
        });
        let detail = "a shadow copy of the volume, or their catalog: hashed and scanned, the files in it are not listed";
        shadow.then(|| Trouble::new(Code::Unsupported, detail)).into_iter().collect()
    }

    fn special(&self, index: usize) -> Option<Special> {
        match self.places.get(index)? {
            At::Media if self.nested => None,
            At::Media => {
                let words = [Some(self.name().to_owned()), self.stored.words()].into_iter().flatten().collect::<Vec<_>>();
                Some(Special { scan: Some(self.uncovered.clone()), ends: None, definition: Some(words.join(": ")) })
            }
            At::Volume(volume) => {
                let volume = self.volumes.get(usize::from(*volume))?;
                let scan: Option<Ranges> = volume.unlocked.then(|| Arc::from([]));
                Some(Special { scan, ends: volume.ends.clone(), definition: volume.known.map(str::to_owned) })
            }
            // What it holds is read as the disk.
            At::Part(_) => {
                Some(Special { scan: Some(Arc::new([])), ends: None, definition: Some("part of a split image".to_owned()) })
            }
            At::File(..) | At::Plain(_) | At::Nowhere => None,
        }
    }

    fn source(&self, index: usize) -> Option<Source> {
        self.content(index).ok()
    }

    fn place(&self, index: usize) -> Option<u64> {
        self.begins.get(index).map(|begins| u64::from(*begins))
    }

    fn read(
        &self,
        index: usize,
        read: &mut dyn FnMut(&mut dyn Read) -> Result<(), crate::Error>,
    ) -> Result<Option<Trouble>, crate::Error> {
        let content = guard(|| self.content(index));
        let source = match content.unwrap_or_else(|| Err(Trouble::new(Code::ContainerDamaged, "reader gave up"))) {
            Ok(source) => source,
            Err(trouble) => return Ok(Some(trouble)),
        };
        let mut patient = Patient::new(&source);
        let stored = match self.places.get(index) {
            Some(At::Media) => self.stored.clone(),
            Some(At::File(volume, key)) => {
                let system = self.volumes.get(usize::from(*volume)).and_then(|volume| volume.system.as_ref());
                system.map(|system| system.stored(*key)).unwrap_or_default()
            }
            _ => Stored::default(),
        };
        if stored != Stored::default() {
            let mut verified = image::Verified::new(patient, &stored);
            return read(&mut super::Guarded(&mut verified)).map(|()| None);
        }
        read(&mut super::Guarded(&mut patient)).map(|()| None)
    }
}

impl Disk {
    /// The bytes of an entry.
    fn content(&self, index: usize) -> Result<Source, Trouble> {
        let none = || Trouble::new(Code::ContainerDamaged, "no such entry");
        match self.places.get(index).ok_or_else(none)? {
            At::Media => Ok(self.media.clone()),
            At::Volume(volume) | At::Plain(volume) => {
                self.volumes.get(usize::from(*volume)).map(|volume| volume.source.clone()).ok_or_else(none)
            }
            At::Part(part) => self.parts.get(usize::from(*part)).map(|(_, source)| source.clone()).ok_or_else(none),
            At::Nowhere => Ok(Source::Memory(Arc::new([]))),
            At::File(volume, key) => {
                let volume = self.volumes.get(usize::from(*volume)).ok_or_else(none)?;
                let system = volume.system.as_ref().ok_or_else(none)?;
                system.content(*key).map(|content| content.source(&volume.source))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_entries_leave_over() {
        let ranges = vec![(10, 20), (15, 30), (40, 50), (95, 200)];
        assert_eq!(&*gaps(ranges, 100), [(0, 10), (30, 40), (50, 95)]);
        assert_eq!(&*gaps(vec![(0, 100)], 100), []);
        assert_eq!(&*gaps(vec![(150, 160)], 100), [(0, 100)]);
    }
}
