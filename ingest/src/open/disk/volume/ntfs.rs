//! NTFS. Format: libfsntfs documentation; the Linux-NTFS project's. Shadow copies are not gone into; `$LogFile` is not replayed.
//!
//! **Deleted entries.** A deleted file's record stays until another file takes it: name, times and runs are all there. Its content is
//! read where every cluster of it is free in `$Bitmap`.

use super::super::fields::{self, byte, exact, length, slice, some, u16le, u32le, u64le};
use super::super::sink::{Found, Sink};
use super::super::stream::{Coding, Content, Run};
use super::ntfs_record::{self as record, FileName, Record};
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::Trouble;
use model::{Code, FileKind};
use std::collections::{BTreeMap, HashMap};
use std::io;

/// This kind's line.
pub const KIND: Kind = Kind { name: "ntfs", recognize: |head| slice(head, 3, 8) == b"NTFS    ", open };

/// Records of system files.
const BITMAP: u64 = 6;
const ROOT: u64 = 5;
/// The records below this one are kept for the file system's own use, some without a name.
const RESERVED: u64 = 24;
/// Bytes of the master file table that are read at a time.
const BLOCK_BYTES: u64 = 1 << 20;
/// Bytes of a list of attributes, and records that it may name.
const LIST_BYTES_MAX: u64 = 1 << 20;
const LIST_RECORDS_MAX: usize = 4096;
/// Deepest folder.
const DEPTH_MAX: usize = 1024;
/// Content that the driver for compact system files unpacks (WOF).
const WOF: u32 = 0x8000_0017;
/// Where the number of a stream stands in a key.
const STREAM_SHIFT: u32 = 48;
/// The key of a file that has no content, only other streams.
const NO_CONTENT: u64 = u64::MAX;

struct Ntfs {
    volume: Source,
    cluster: u64,
    record_bytes: u64,
    table: Source,
    bitmap: Option<Source>,
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let failed = |error: io::Error| Trouble::of(&error);
    let boot = exact(volume, 0, 512).map_err(failed)?;
    let sector = u64::from(u16le(&boot, 11));
    let per_cluster = byte(&boot, 13);
    // More than 128 sectors are told as a negative power of two; so are records smaller than a cluster.
    let power = |value: u8, unit: u64| match value.cast_signed() {
        value @ 1.. => u64::from(value.unsigned_abs()).checked_mul(unit),
        value => 1u64.checked_shl(u32::from(value.unsigned_abs())),
    };
    let cluster = if per_cluster > 0x80 {
        power(per_cluster, 1).and_then(|count| count.checked_mul(sector))
    } else {
        Some(sector * u64::from(per_cluster))
    };
    let cluster = cluster.filter(|bytes| (256..=2 << 20).contains(bytes) && bytes.is_power_of_two());
    let record_bytes =
        cluster.and_then(|cluster| power(byte(&boot, 64), cluster)).filter(|bytes| (512..=64 << 10).contains(bytes));
    let (Some(cluster), Some(record_bytes)) = (cluster, record_bytes) else {
        return Err(Trouble::new(Code::ContainerDamaged, "sizes in its boot sector make no sense"));
    };
    let mut ntfs = Ntfs { volume: volume.clone(), cluster, record_bytes, table: Source::Memory([].into()), bitmap: None };
    let first = |at: usize| {
        let bytes = exact(volume, u64le(&boot, at).saturating_mul(cluster), length(record_bytes))?;
        Record::new(bytes)
    };
    // The mirror of the first records lies in the middle of the volume.
    let own = first(48).or_else(|_| first(56)).map_err(|error| fields::at_place("first record of the MFT", &error))?;
    let data = own.attributes().find(|found| found.kind == record::DATA && found.name().is_empty());
    let data = data.ok_or_else(|| Trouble::new(Code::ContainerDamaged, "the MFT has no content"))?;
    let (size, _) = data.size();
    let mut runs = Vec::new();
    data.runs(cluster, &mut runs).map_err(failed)?;
    ntfs.table = Content::plain(runs, size).source(volume);
    // A table in many pieces: the later ones are told by records that the first pieces hold.
    if let Ok(content) = ntfs.stream(0, 0, &mut Vec::new()) {
        ntfs.table = content.source(volume);
    }
    ntfs.bitmap = ntfs.stream(BITMAP, 0, &mut Vec::new()).ok().map(|content| content.source(volume));
    Ok(Box::new(ntfs))
}

/// A stream of a file as its attributes tell of it: name, and the attributes in order, each with the record it lies in.
type Streams<'a> = BTreeMap<Vec<u8>, Vec<(u64, record::Attribute<'a>)>>;

/// The folder that a record is.
struct Folder {
    name: Option<FileName>,
    sequence: u16,
    in_use: bool,
}

impl Ntfs {
    fn count(&self) -> u64 {
        self.table.size() / self.record_bytes
    }

    fn record(&self, number: u64) -> io::Result<Record> {
        exact(&self.table, number.saturating_mul(self.record_bytes), length(self.record_bytes)).and_then(Record::new)
    }

    /// The records that hold attributes of one file: itself, and those its list names.
    fn records(&self, number: u64, own: Record) -> Vec<(u64, Record)> {
        let list = own.attributes().find(|found| found.kind == record::LIST);
        let bytes = list.and_then(|list| match list.resident() {
            Some(value) => Some(value.to_vec()),
            None => {
                let mut runs = Vec::new();
                list.runs(self.cluster, &mut runs).ok()?;
                let size = list.size().0.min(LIST_BYTES_MAX);
                some(&Content::plain(runs, size).source(&self.volume), 0, length(size)).ok()
            }
        });
        let mut records = vec![(number, own)];
        let (list, mut at) = (bytes.unwrap_or_default(), 0);
        while u16le(&list, at + 4) >= 26 && records.len() < LIST_RECORDS_MAX {
            let other = u64le(&list, at + 16) & record::RECORD;
            at += usize::from(u16le(&list, at + 4));
            if records.iter().any(|(known, _)| *known == other) {
                continue;
            }
            if let Ok(found) =
                self.record(other).map_err(|_| ()).and_then(|found| (found.base() == number).then_some(found).ok_or(()))
            {
                records.push((other, found));
            }
        }
        records
    }

    /// The streams of a file, by name.
    fn streams(records: &[(u64, Record)]) -> Streams<'_> {
        let mut streams = Streams::new();
        for (number, found) in records {
            for attribute in found.attributes().filter(|found| found.kind == record::DATA) {
                streams.entry(attribute.name()).or_default().push((*number, attribute));
            }
        }
        streams.values_mut().for_each(|parts| parts.sort_by_key(|(_, part)| part.first_cluster()));
        streams
    }

    /// The content of a stream of a file: the first is that without a name, if there is one. `name` gets the stream's name.
    fn stream(&self, number: u64, index: usize, name: &mut Vec<u8>) -> Result<Content, Trouble> {
        let own = self.record(number).map_err(|error| fields::at_place(&format!("record {number}"), &error))?;
        let in_use = own.in_use();
        let records = self.records(number, own);
        let streams = Ntfs::streams(&records);
        let Some((found, parts)) = streams.iter().nth(index) else {
            return Err(Trouble::new(Code::ContainerDamaged, format!("record {number} has no such content")));
        };
        name.clone_from(found);
        let packed = is_wof(&records) && found.is_empty();
        let content = self.assemble(parts, packed)?;
        if in_use { Ok(content) } else { self.if_free(content) }
    }

    fn assemble(&self, parts: &[(u64, record::Attribute<'_>)], wof: bool) -> Result<Content, Trouble> {
        let Some((_, first)) = parts.first() else {
            return Err(Trouble::new(Code::ContainerDamaged, "a stream without attributes"));
        };
        if first.flags() & record::ENCRYPTED != 0 {
            return Err(Trouble::new(Code::Encrypted, "EFS key of its owner"));
        }
        if wof {
            return Err(Trouble::new(
                Code::Unsupported,
                "a compact system file (WOF): packed content is in its stream WofCompressedData",
            ));
        }
        if let Some(value) = first.resident() {
            return Ok(Content::inline(value.to_vec()));
        }
        let (size, valid) = first.size();
        let (unit, mut runs) = (first.unit() * self.cluster, Vec::new());
        for (_, part) in parts {
            let have = runs.iter().map(|run: &Run| run.bytes).fold(0, u64::saturating_add);
            // A part that is missing, with its record, is a hole that was none.
            let expected = part.first_cluster().saturating_mul(self.cluster);
            if expected > have {
                runs.push(Run::lost(expected - have));
            }
            part.runs(self.cluster, &mut runs).map_err(|error| Trouble::of(&error))?;
        }
        if size > 1 << 60 {
            return Err(Trouble::new(Code::ContainerDamaged, format!("a stream of {size} bytes")));
        }
        let coding = if unit > 0 { Coding::Lznt1(unit) } else { Coding::Plain };
        Ok(Content { runs, size, valid: valid.min(size), coding })
    }

    /// The content of a deleted file, if all its clusters are free.
    fn if_free(&self, content: Content) -> Result<Content, Trouble> {
        let Some(bitmap) = &self.bitmap else {
            return Err(Trouble::new(Code::Overwritten, "no bitmap tells whether its clusters are free"));
        };
        for run in content.runs.iter().filter_map(|run| Some((run.at?, run.bytes))) {
            let (first, end) = (run.0 / self.cluster, run.0.saturating_add(run.1).div_ceil(self.cluster));
            let mut at = first;
            while at < end {
                let bits =
                    some(bitmap, at / 8, length(((end - at) / 8 + 2).min(BLOCK_BYTES))).map_err(|error| Trouble::of(&error))?;
                let base = at / 8 * 8;
                let stop = end.min(base.saturating_add(bits.len() as u64 * 8));
                let used = (at..stop).any(|bit| byte(&bits, length((bit - base) / 8)) >> (bit % 8) & 1 == 1);
                if used || stop <= at {
                    return Err(Trouble::new(Code::Overwritten, "its clusters belong to another file now"));
                }
                at = stop;
            }
        }
        Ok(content)
    }

    /// Goes through the master file table: `take` gets every record that holds something.
    fn each(&self, take: &mut dyn FnMut(u64, io::Result<Record>)) {
        let per_block = (BLOCK_BYTES / self.record_bytes).max(1);
        for first in (0..self.count()).step_by(length(per_block)) {
            let count = per_block.min(self.count() - first);
            let block = some(&self.table, first * self.record_bytes, length(count * self.record_bytes));
            match block {
                Ok(block) => {
                    for (number, bytes) in (first..).zip(block.chunks_exact(length(self.record_bytes))) {
                        if bytes.starts_with(b"FILE") {
                            take(number, Record::new(bytes.to_vec()));
                        } else if bytes.iter().any(|byte| *byte != 0) {
                            take(number, Err(fields::damaged("none, or marked as bad")));
                        }
                    }
                }
                // One by one: what can be read of the block is.
                Err(_) => (first..first + count).for_each(|number| take(number, self.record(number))),
            }
        }
    }

    /// All folders, by record.
    fn folders(&self) -> HashMap<u64, Folder> {
        let mut folders = HashMap::new();
        self.each(&mut |number, found| {
            if let Ok(found) = found
                && found.is_folder()
                && found.base() == 0
            {
                let name = found.names().into_iter().next();
                folders.insert(number, Folder { name, sequence: found.sequence(), in_use: found.in_use() });
            }
        });
        folders
    }
}

/// Whether another driver unpacks the content.
fn is_wof(records: &[(u64, Record)]) -> bool {
    let points = records.iter().flat_map(|(_, found)| found.attributes()).filter(|found| found.kind == record::REPARSE);
    points.filter_map(|found| found.resident()).any(|value| u32le(value, 0) == WOF)
}

/// Paths of folders, kept: most files share theirs.
struct Paths<'a> {
    folders: &'a HashMap<u64, Folder>,
    known: HashMap<u64, Option<Vec<u8>>>,
}

impl Paths<'_> {
    /// The path of a folder that a reference names; `None` where no folder leads to it.
    fn of(&mut self, reference: u64, sink: &mut Sink<'_>) -> Option<Vec<u8>> {
        let (mut chain, mut next) = (Vec::new(), reference);
        let mut base = loop {
            let number = next & record::RECORD;
            if number == ROOT {
                break Some(Vec::new());
            }
            if let Some(known) = self.known.get(&next) {
                break known.clone();
            }
            let folder = self.folders.get(&number).filter(|folder| fits(folder, (next >> 48) as u16));
            let Some(name) = folder.and_then(|folder| folder.name.as_ref()).filter(|_| chain.len() < DEPTH_MAX) else {
                break None;
            };
            chain.push((next, name));
            next = name.parent;
        };
        for (reference, name) in chain.into_iter().rev() {
            base = base.and_then(|base| sink.path(&base, &name.name));
            self.known.insert(reference, base.clone());
        }
        base
    }
}

/// Whether a folder is the one that a reference meant: deleting it counts its sequence up.
fn fits(folder: &Folder, sequence: u16) -> bool {
    folder.sequence == sequence || !folder.in_use && folder.sequence == sequence.wrapping_add(1)
}

impl FileSystem for Ntfs {
    fn list(&self, sink: &mut Sink<'_>) {
        let folders = self.folders();
        let mut paths = Paths { folders: &folders, known: HashMap::new() };
        self.each(&mut |number, found| match found {
            Ok(found) if found.base() == 0 => self.file(number, found, &mut paths, sink),
            Ok(_) => {}
            Err(error) => sink.trouble(fields::at_place(&format!("record {number} of the MFT"), &error)),
        });
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        if key == NO_CONTENT {
            return Ok(Content::inline(Vec::new()));
        }
        self.stream(key & record::RECORD, length(key >> STREAM_SHIFT), &mut Vec::new())
    }
}

impl Ntfs {
    /// The entries of one file: for every name of it, its content and its other streams.
    fn file(&self, number: u64, own: Record, paths: &mut Paths<'_>, sink: &mut Sink<'_>) {
        let (times, deleted, is_folder) = (own.times(), !own.in_use(), own.is_folder());
        let records = self.records(number, own);
        let mut names: Vec<FileName> = records.iter().flat_map(|(_, found)| found.names()).collect();
        names.dedup();
        let streams = Ntfs::streams(&records);
        // A record that was set up and never used.
        if names.is_empty() && (streams.is_empty() || deleted) || sink.is_full() {
            return;
        }
        if names.is_empty() {
            names.push(FileName { parent: u64::MAX, name: format!("record-{number}").into_bytes() });
        }
        let wof = is_wof(&records);
        let root = number == ROOT;
        for name in names {
            let folder = if root { Some(Vec::new()) } else { paths.of(name.parent, sink) };
            if folder.is_none() && !deleted && number >= RESERVED {
                let detail = format!("record {number} is in use, and no folder leads to it");
                sink.trouble(Trouble::new(Code::ContainerDamaged, detail));
            }
            let folder = folder.unwrap_or_else(|| b"$orphan".to_vec());
            let path = if root { Some(Vec::new()) } else { sink.path(&folder, &name.name) };
            let Some(path) = path else { continue };
            let found = Found { times, deleted, ..Found::default() };
            if is_folder && !root {
                sink.push(Found { path: path.clone(), ..found.clone() }, 0, None);
            }
            for (index, (stream, parts)) in streams.iter().enumerate() {
                let content = self.assemble(parts, wof && stream.is_empty());
                let content = content.and_then(|content| if deleted { self.if_free(content) } else { Ok(content) });
                let size = parts.first().map_or(0, |(_, part)| part.size().0);
                // The list of bad clusters is as large as the volume, and empty unless some are bad.
                let empty = content.as_ref().is_ok_and(|content| content.stored_bytes() == 0 && content.coding == Coding::Plain);
                if number == 8 && empty && size > 0 {
                    continue;
                }
                let path = if stream.is_empty() { path.clone() } else { [&path[..], b":", stream].concat() };
                let key = number | (index as u64) << STREAM_SHIFT;
                sink.push(Found { path, size, kind: Some(FileKind::File), ..found.clone() }, key, content.as_ref().ok());
            }
            if !is_folder && !streams.contains_key(&Vec::new()) {
                sink.push(Found { path, kind: Some(FileKind::File), ..found }, NO_CONTENT, None);
            }
        }
    }
}
