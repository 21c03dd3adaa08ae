//! The list of a zip's entries: from its central directory, or, where that is lost, from the local headers.

use super::fields::{field, number, owner, times, widen};
use super::{CENTRAL, Entry, LOCAL, LOCAL_BYTES, Place, Trouble};
use crate::evidence::Source;
use crate::open::give_ordinals;
use model::text::escape_bytes;
use model::{Code, FileKind};
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// Signature of the end of the central directory.
const END: &[u8; 4] = b"PK\x05\x06";
/// Bytes of that end before its comment.
const END_BYTES: usize = 22;
/// Longest comment.
const COMMENT_BYTES: usize = 0xffff;
/// Signature and size of the locator that stands before the end of a zip64 archive.
const LOCATOR: &[u8; 4] = b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
/// Signature and least size of the end of a zip64 directory.
const END64: &[u8; 4] = b"PK\x06\x06";
const END64_BYTES: usize = 56;
/// Signature of a data descriptor.
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";

/// What is in the archive.
pub struct List {
    /// Entries in the order of the directory.
    pub entries: Vec<Entry>,
    /// Where they lie.
    pub places: Vec<Place>,
    /// Where offsets in the archive count from (behind what was put before it).
    pub base: u64,
    /// Entries the archive says it has.
    pub told: u64,
    /// What was wrong.
    pub troubles: Vec<Trouble>,
}

/// Where the central directory lies.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Directory {
    start: u64,
    base: u64,
    told: u64,
    zip64: bool,
}

/// Lists an archive, up to a number of entries.
pub fn read(source: &Source, cap_entries: u64) -> Result<List, Trouble> {
    let mut list = List { entries: Vec::new(), places: Vec::new(), base: 0, told: 0, troubles: Vec::new() };
    let capped = match find(source).map_err(|error| Trouble::of(&error))? {
        Some(directory) => list.walk(source, directory, cap_entries),
        None => list.recover(source, cap_entries),
    };
    match capped {
        Ok(false) => {}
        Ok(true) => list.troubles.push(Trouble::new(Code::CapEntries, format!("more than {cap_entries} entries"))),
        Err(error) => {
            list.troubles.push(Trouble::new(Code::ContainerDamaged, format!("central directory: {}", error.kind())));
        }
    }
    if list.entries.is_empty() && list.troubles.iter().any(|trouble| trouble.code != Code::CapEntries) {
        return Err(list.troubles.swap_remove(0));
    }
    give_ordinals(&mut list.entries);
    Ok(list)
}

/// Reads exactly that many bytes at a place; fewer at the end of the source.
fn bytes_at(source: &Source, at: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut reader = source.reader();
    reader.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    reader.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes at the end of a file in which the end of a directory is looked for where the file begins with something else.
const TAIL_BYTES: usize = 1 << 10;

/// Whether a directory is found from the end of content that begins otherwise.
pub fn stands_behind(head: &[u8], source: &Source) -> bool {
    ends_like_one(head, source) && find(source).is_ok_and(|found| found.is_some())
}

/// Whether the last bytes hold the end of a directory with entries; of a file that was read whole no more is read.
fn ends_like_one(head: &[u8], source: &Source) -> bool {
    let size = source.size();
    let start = size.saturating_sub(TAIL_BYTES as u64);
    let read;
    let tail = if size == head.len() as u64 {
        head.get(start as usize..).unwrap_or_default()
    } else {
        read = bytes_at(source, start, TAIL_BYTES).unwrap_or_default();
        &read
    };
    memchr::memmem::find_iter(tail, END).any(|at| {
        let whole = tail.len() == at + END_BYTES + number(tail, at + 20, 2) as usize;
        whole && number(tail, at + 10, 2) > 0
    })
}

/// Finds the central directory through the end record, the last one whose directory is where it says.
fn find(source: &Source) -> io::Result<Option<Directory>> {
    let tail_start = source.size().saturating_sub((END_BYTES + COMMENT_BYTES + LOCATOR_BYTES) as u64);
    let tail = bytes_at(source, tail_start, END_BYTES + COMMENT_BYTES + LOCATOR_BYTES)?;
    for at in memchr::memmem::rfind_iter(&tail, END) {
        let Some(end) = tail.get(at..at + END_BYTES) else { continue };
        let position = tail_start + at as u64;
        let locator =
            at.checked_sub(LOCATOR_BYTES).and_then(|start| tail.get(start..at)).filter(|bytes| bytes.starts_with(LOCATOR));
        if let Some(locator) = locator
            && let Some(directory) = zip64_directory(source, locator, position)?
        {
            return Ok(Some(directory));
        }
        let (told, size, offset) = (number(end, 10, 2), number(end, 12, 4), number(end, 16, 4));
        if let Some((start, base)) = place(source, position, size, offset, told)? {
            return Ok(Some(Directory { start, base, told, zip64: false }));
        }
    }
    Ok(None)
}

fn zip64_directory(source: &Source, locator: &[u8], end: u64) -> io::Result<Option<Directory>> {
    // What was put before the archive makes the locator's offset too small: the record right before the locator is tried too.
    let before = end.saturating_sub((LOCATOR_BYTES + END64_BYTES) as u64);
    for at in [number(locator, 8, 8), before] {
        let record = bytes_at(source, at, END64_BYTES)?;
        if record.len() < END64_BYTES || !record.starts_with(END64) {
            continue;
        }
        let (told, size, offset) = (number(&record, 32, 8), number(&record, 40, 8), number(&record, 48, 8));
        if let Some((start, base)) = place(source, at, size, offset, told)? {
            return Ok(Some(Directory { start, base, told, zip64: true }));
        }
    }
    Ok(None)
}

/// Where a directory begins and where its offsets count from: right before its end, or where the end says.
fn place(source: &Source, end: u64, size: u64, offset: u64, told: u64) -> io::Result<Option<(u64, u64)>> {
    for start in [end.checked_sub(size), Some(offset)].into_iter().flatten() {
        let found = bytes_at(source, start, CENTRAL.len())? == CENTRAL;
        if found || told == 0 && start == end {
            return Ok(Some((start, start.saturating_sub(offset))));
        }
    }
    Ok(None)
}

impl List {
    /// Walks the central directory to the first bytes that are no header; true if the cap stopped it.
    fn walk(&mut self, source: &Source, directory: Directory, cap_entries: u64) -> io::Result<bool> {
        (self.base, self.told) = (directory.base, directory.told);
        let mut reader = BufReader::with_capacity(256 << 10, source.reader());
        reader.seek(SeekFrom::Start(directory.start))?;
        let mut at = directory.start;
        let mut header = [0u8; 46];
        let mut tail = Vec::new();
        loop {
            match reader.read_exact(&mut header) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                other => other?,
            }
            if !header.starts_with(CENTRAL) {
                break;
            }
            if self.entries.len() as u64 >= cap_entries {
                self.told = self.told.max(cap_entries.saturating_add(1));
                return Ok(true);
            }
            let lengths = [28, 30, 32].map(|field| number(&header, field, 2) as usize);
            tail.resize(lengths.iter().sum(), 0);
            if let Err(error) = reader.read_exact(&mut tail) {
                self.told = self.told.max(self.entries.len() as u64 + 1);
                return Err(error);
            }
            let (name, rest) = tail.split_at(lengths[0]);
            let (entry, mut place) = central(&header, name, &rest[..lengths[1]]);
            place.local = place.local.saturating_add(directory.base);
            place.central = (at, (header.len() + tail.len()) as u32);
            at += u64::from(place.central.1);
            self.entries.push(entry);
            self.places.push(place);
        }
        let found = self.entries.len() as u64;
        // Writers without zip64 let the 16-bit count of many entries run over.
        let wrapped = !directory.zip64 && found & 0xffff == directory.told;
        if found != directory.told && !wrapped {
            let detail = format!("its end tells of {} entries, the central directory has {found}", directory.told);
            self.troubles.push(Trouble::new(Code::HeaderMismatch, detail));
        }
        self.told = if wrapped { found } else { self.told.max(found) };
        Ok(false)
    }

    /// Looks for local headers from the first byte to the last; true if the cap stopped it.
    fn recover(&mut self, source: &Source, cap_entries: u64) -> io::Result<bool> {
        let detail = "no central directory: entries are those with a local header";
        self.troubles.push(Trouble::new(Code::Truncated, detail));
        let mut at = 0;
        while let Some(local) = search(source, at, LOCAL)? {
            let Ok(header) = local_header(source, local) else {
                at = local + 4;
                continue;
            };
            if self.entries.len() as u64 >= cap_entries {
                self.told = cap_entries.saturating_add(1);
                return Ok(true);
            }
            let (entry, place) = header.entry(source, local)?;
            at = header.data_start.saturating_add(entry.packed.unwrap_or(0));
            self.entries.push(entry);
            self.places.push(place);
        }
        self.told = self.entries.len() as u64;
        Ok(false)
    }
}

/// The first place at or after `from` with that signature.
fn search(source: &Source, from: u64, signature: &[u8; 4]) -> io::Result<Option<u64>> {
    let mut reader = source.reader();
    reader.seek(SeekFrom::Start(from))?;
    let finder = memchr::memmem::Finder::new(signature);
    let (mut window, mut start) = (Vec::with_capacity(64 << 10), from);
    loop {
        let read = reader.by_ref().take(64 << 10).read_to_end(&mut window)?;
        if let Some(at) = finder.find(&window) {
            return Ok(Some(start + at as u64));
        }
        if read == 0 {
            return Ok(None);
        }
        // A signature may lie across the border.
        let keep = window.len().saturating_sub(signature.len() - 1);
        window.drain(..keep);
        start += keep as u64;
    }
}

/// The entry of a central header, with its local header's offset as the archive counts.
fn central(header: &[u8; 46], name: &[u8], extra: &[u8]) -> (Entry, Place) {
    let (mut size, mut packed, mut local) = (number(header, 24, 4), number(header, 20, 4), number(header, 42, 4));
    widen(extra, &mut [&mut size, &mut packed, &mut local]);
    // Hosts 3 and 19 (Unix, macOS) keep a mode in the upper half of the external attributes.
    let mode = matches!(header[5], 3 | 19).then(|| number(header, 40, 2) as u32).filter(|mode| *mode != 0);
    let place = Place {
        local,
        central: (0, 0),
        crc: number(header, 16, 4) as u32,
        method: number(header, 10, 2) as u16,
        flags: number(header, 8, 2) as u16,
    };
    let times = times(extra, number(header, 12, 2) as u16, number(header, 14, 2) as u16);
    (Entry { owner: owner(extra), ..entry(name, mode, size, packed, times) }, place)
}

fn entry(name: &[u8], mode: Option<u32>, size: u64, packed: u64, times: model::item::FileTimes) -> Entry {
    let format = mode.map(|mode| mode & 0o170_000);
    let kind = match format {
        _ if name.last() == Some(&b'/') => None,
        Some(0o040_000) => None,
        Some(0o120_000) => Some(FileKind::Symlink),
        Some(0o010_000) => Some(FileKind::Fifo),
        Some(0o020_000) => Some(FileKind::CharDevice),
        Some(0o060_000) => Some(FileKind::BlockDevice),
        Some(0o140_000) => Some(FileKind::Socket),
        _ => Some(FileKind::File),
    };
    let path = if kind.is_none() { name.strip_suffix(b"/").unwrap_or(name) } else { name };
    Entry {
        path: path.to_vec(),
        ordinal: 0,
        kind,
        size,
        packed: Some(packed),
        mode,
        owner: None,
        times,
        link_target: None,
        deleted: false,
    }
}

/// A local header.
pub struct Local {
    fixed: Vec<u8>,
    name: Vec<u8>,
    extra: Vec<u8>,
    /// Where the data begin.
    pub data_start: u64,
}

/// Reads the local header at a place.
pub fn local_header(source: &Source, at: u64) -> Result<Local, Trouble> {
    let missing = || Trouble::new(Code::HeaderMismatch, format!("no local header at byte {at}"));
    let mut fixed = bytes_at(source, at, LOCAL_BYTES as usize + 256).map_err(|error| Trouble::of(&error))?;
    if !fixed.starts_with(LOCAL) || (fixed.len() as u64) < LOCAL_BYTES {
        return Err(missing());
    }
    let (name, extra) = (number(&fixed, 26, 2) as usize, number(&fixed, 28, 2) as usize);
    let mut rest = fixed.split_off(LOCAL_BYTES as usize);
    if rest.len() < name + extra {
        rest = bytes_at(source, at.saturating_add(LOCAL_BYTES), name + extra).map_err(|error| Trouble::of(&error))?;
    }
    if rest.len() < name + extra {
        return Err(Trouble::new(Code::Truncated, format!("local header at byte {at} ends too early")));
    }
    let extra_bytes = rest[name..name + extra].to_vec();
    rest.truncate(name);
    let data_start = at.saturating_add(LOCAL_BYTES + (name + extra) as u64);
    Ok(Local { fixed, name: rest, extra: extra_bytes, data_start })
}

impl Local {
    fn sizes(&self) -> (u64, u64) {
        let (mut size, mut packed) = (number(&self.fixed, 22, 4), number(&self.fixed, 18, 4));
        widen(&self.extra, &mut [&mut size, &mut packed]);
        (size, packed)
    }

    /// The entry of a header that no directory tells of. Its sizes may stand behind its data: then the descriptor is looked for whose
    /// packed size is its own distance.
    fn entry(&self, source: &Source, at: u64) -> io::Result<(Entry, Place)> {
        let (mut size, mut packed) = self.sizes();
        let mut crc = number(&self.fixed, 14, 4) as u32;
        let flags = number(&self.fixed, 6, 2) as u16;
        if flags & 8 != 0 && packed == 0 {
            let mut from = self.data_start;
            (size, packed) = (0, source.size().saturating_sub(self.data_start));
            while let Some(found) = search(source, from, DESCRIPTOR)? {
                let descriptor = bytes_at(source, found, 24)?;
                let distance = found - self.data_start;
                let wide = field(&self.extra, super::fields::ZIP64).is_some();
                let width = if wide { 8 } else { 4 };
                if number(&descriptor, 8, width) == distance {
                    (size, packed) = (number(&descriptor, 8 + width, width), distance);
                    crc = number(&descriptor, 4, 4) as u32;
                    break;
                }
                from = found + 4;
            }
        }
        let times = times(&self.extra, number(&self.fixed, 10, 2) as u16, number(&self.fixed, 12, 2) as u16);
        let place = Place { local: at, central: (0, 0), crc, method: number(&self.fixed, 8, 2) as u16, flags };
        Ok((Entry { owner: owner(&self.extra), ..entry(&self.name, None, size, packed, times) }, place))
    }
}

/// How an entry's local header contradicts the directory.
pub fn contradictions(source: &Source, entry: &Entry, place: &Place) -> Vec<Trouble> {
    // A header that is not there is told of when the entry is read.
    let Ok(local) = local_header(source, place.local) else { return Vec::new() };
    let mut found = Vec::new();
    let mut tell = |what: &str, here: String, there: String| {
        let detail = format!("local header at byte {}: {what} {here}, in the directory {there}", place.local);
        found.push(Trouble::new(Code::HeaderMismatch, detail));
    };
    let name = if entry.kind.is_none() { local.name.strip_suffix(b"/").unwrap_or(&local.name) } else { &local.name };
    if name != entry.path {
        tell("name", format!("\"{}\"", escape_bytes(name)), format!("\"{}\"", escape_bytes(&entry.path)));
    }
    let method = number(&local.fixed, 8, 2) as u16;
    if method != place.method {
        tell("method", method.to_string(), place.method.to_string());
    }
    let (size, packed) = local.sizes();
    // Sizes of 0 with a descriptor are told behind the data.
    if !place.described_later() {
        if size != entry.size {
            tell("size", size.to_string(), entry.size.to_string());
        }
        if Some(packed) != entry.packed {
            tell("packed size", packed.to_string(), entry.packed.unwrap_or(0).to_string());
        }
    }
    found
}
