//! FAT12, FAT16, FAT32. Format: Microsoft, "FAT: General Overview of On-Disk Format" 1.03.
//!
//! **Deleted entries.** Deleting marks the entry and frees its clusters; which those were is lost but for the first. As every undelete
//! does, a file is taken to have had the next clusters that are free now; if its first one is in use, nothing of it is read.

use super::super::fields::{byte, exact, length, slice, some, u16le, u32le};
use super::super::sink::Sink;
use super::super::stream::{Content, Run};
use super::fat_names::{Name, Names};
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::Trouble;
use model::{Code, FileKind};
use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};

/// This kind's line.
pub const KIND: Kind = Kind { name: "fat", recognize, open };

/// Bytes of a directory entry, and of the largest directory (65,536 of them, with room for a damaged one).
const ENTRY: usize = 32;
const DIRECTORY_BYTES_MAX: u64 = 4 << 20;
/// Bytes of the table that are read at a time.
const WINDOW: u64 = 64 << 10;
/// Attributes of an entry.
const DIRECTORY: u8 = 0x10;
const LABEL: u8 = 0x08;
const ARCHIVE: u8 = 0x20;
/// First byte of a deleted entry.
pub const DELETED: u8 = 0xe5;

/// A boot sector whose fields fit each other; a partition table ends with the same two bytes.
fn recognize(head: &[u8]) -> bool {
    let (sector, cluster) = (u16le(head, 11), byte(head, 13));
    let jump = matches!(byte(head, 0), 0xeb | 0xe9) || slice(head, 0, 3) == [0, 0, 0];
    jump && matches!(sector, 512 | 1024 | 2048 | 4096)
        && cluster.is_power_of_two()
        && u16le(head, 14) > 0
        && matches!(byte(head, 16), 1 | 2)
        && byte(head, 21) >= 0xf0
        && (u16le(head, 19) > 0) != (u32le(head, 32) > 0)
        && (u16le(head, 22) > 0 || u32le(head, 36) > 0)
}

/// What the boot sector tells.
pub struct Fat {
    volume: Source,
    /// Bits of a table entry: 12, 16 or 32.
    bits: u32,
    cluster: u64,
    /// First byte of the table, of the root directory of FAT12 and FAT16 (with its length), and of cluster 2.
    table: u64,
    root: (u64, u64),
    data: u64,
    /// First cluster of the root directory of FAT32.
    root_cluster: u32,
    /// One past the last cluster.
    end: u32,
    /// Whether the two tables begin differently: one of them is not where the boot sector says.
    apart: bool,
    /// The window of the table that was read last.
    window: Mutex<(u64, Vec<u8>)>,
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let boot = exact(volume, 0, 512).map_err(|error| Trouble::of(&error))?;
    let sector = u64::from(u16le(&boot, 11));
    let cluster = sector * u64::from(byte(&boot, 13));
    let sectors = u64::from(u16le(&boot, 19)).max(u64::from(u32le(&boot, 32)));
    let table_sectors = if u16le(&boot, 22) > 0 { u64::from(u16le(&boot, 22)) } else { u64::from(u32le(&boot, 36)) };
    let table = u64::from(u16le(&boot, 14)) * sector;
    let root_bytes = (u64::from(u16le(&boot, 17)) * ENTRY as u64).next_multiple_of(sector);
    let root = table + table_sectors * sector * u64::from(byte(&boot, 16));
    let data = root + root_bytes;
    let Some(clusters) = (sectors * sector).checked_sub(data).map(|bytes| bytes / cluster) else {
        return Err(Trouble::new(Code::ContainerDamaged, format!("volume of {sectors} sectors ends before its data")));
    };
    let bits = match clusters {
        0..4085 => 12,
        4085..65_525 => 16,
        _ => 32,
    };
    // FAT32 by its fields, whatever its size: small ones are made by some tools.
    let bits = if u16le(&boot, 22) == 0 { 32 } else { bits };
    // What the table has no entry for does not exist.
    let end = (clusters + 2).min(table_sectors * sector * 8 / u64::from(bits)).min(0x0fff_fff0) as u32;
    let first_of = |copy: u64| some(volume, table + copy * table_sectors * sector, 4);
    let apart = byte(&boot, 16) == 2 && first_of(0).ok() != first_of(1).ok();
    Ok(Box::new(Fat {
        volume: volume.clone(),
        apart,
        bits,
        cluster,
        table,
        root: (root, root_bytes),
        data,
        root_cluster: if bits == 32 { u32le(&boot, 44) } else { 0 },
        end,
        window: Mutex::new((u64::MAX, Vec::new())),
    }))
}

/// A folder to be listed.
struct Folder {
    path: Vec<u8>,
    content: Content,
    deleted: bool,
}

impl Fat {
    /// The table's entry of a cluster: the next one of its chain; 0 where it is free.
    fn next(&self, cluster: u32) -> io::Result<u32> {
        let bit = u64::from(cluster) * u64::from(self.bits);
        let at = bit / 8;
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        // An entry of FAT12 can lie across the end of a window: windows overlap by a few bytes.
        if window.0 != at / WINDOW {
            let bytes = some(&self.volume, self.table + at / WINDOW * WINDOW, WINDOW as usize + 4)?;
            *window = (at / WINDOW, bytes);
        }
        let within = length(at % WINDOW);
        Ok(match self.bits {
            12 => u32::from(u16le(&window.1, within) >> (bit % 8) & 0xfff),
            16 => u32::from(u16le(&window.1, within)),
            _ => u32le(&window.1, within) & 0x0fff_ffff,
        })
    }

    fn is_cluster(&self, cluster: u32) -> bool {
        (2..self.end).contains(&cluster)
    }

    fn place(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster - 2) * self.cluster
    }

    /// The clusters of a chain, up to so many bytes; what is wrong with it ends it.
    fn chain(&self, first: u32, bytes: u64) -> (Vec<Run>, Option<Trouble>) {
        let (mut runs, mut cluster) = (Vec::new(), first);
        let wanted = bytes.div_ceil(self.cluster).min(u64::from(self.end));
        for taken in 0..wanted {
            if !self.is_cluster(cluster) {
                let detail = format!("chain of cluster {first} ends after {taken} of {wanted} clusters");
                return (runs, Some(Trouble::new(Code::ContainerDamaged, detail)));
            }
            extend(&mut runs, self.place(cluster), self.cluster);
            cluster = match self.next(cluster) {
                Ok(next) => next,
                Err(error) => return (runs, Some(Trouble::of(&error))),
            };
        }
        (runs, None)
    }

    /// The clusters of a directory: its entry tells no size. A chain that leads back is as long as the largest directory.
    fn directory(&self, first: u32) -> Content {
        let (runs, _) = self.chain(first, DIRECTORY_BYTES_MAX);
        let size = runs.iter().map(|run| run.bytes).fold(0, u64::saturating_add);
        Content::plain(runs, size)
    }

    /// The free clusters from a cluster on, for so many bytes.
    fn free(&self, first: u32, bytes: u64) -> Result<Vec<Run>, Trouble> {
        let overwritten = || Trouble::new(Code::Overwritten, format!("cluster {first} belongs to another file now"));
        let mut wanted = bytes.div_ceil(self.cluster);
        let (mut runs, mut cluster) = (Vec::new(), first);
        while wanted > 0 {
            if !self.is_cluster(cluster) {
                return Err(Trouble::new(Code::Overwritten, format!("too few clusters are free behind cluster {first}")));
            }
            if self.next(cluster).map_err(|error| Trouble::of(&error))? == 0 {
                extend(&mut runs, self.place(cluster), self.cluster);
                wanted -= 1;
            } else if cluster == first {
                return Err(overwritten());
            }
            cluster += 1;
        }
        Ok(runs)
    }

    /// The content that an entry of a directory tells of.
    fn of_entry(&self, entry: &[u8], deleted: bool) -> Result<Content, Trouble> {
        let size = u64::from(u32le(entry, 28));
        let high = if self.bits == 32 { u32::from(u16le(entry, 20)) << 16 } else { 0 };
        let first = high | u32::from(u16le(entry, 26));
        if size == 0 || first == 0 {
            return Ok(Content::plain(Vec::new(), if first == 0 { 0 } else { size }));
        }
        if deleted {
            return self.free(first, size).map(|runs| Content::plain(runs, size));
        }
        let (runs, trouble) = self.chain(first, size);
        match trouble {
            None => Ok(Content::plain(runs, size)),
            Some(trouble) if runs.is_empty() => Err(trouble),
            Some(_) => Ok(Content::plain(complete(runs, size), size)),
        }
    }

    /// Lists a folder; the folders in it are put on the list of those to come.
    fn folder(&self, folder: &Folder, sink: &mut Sink<'_>, waiting: &mut Vec<Folder>, seen: &mut HashSet<u32>) {
        let bytes = match some(&folder.content.clone().source(&self.volume), 0, length(folder.content.size)) {
            Ok(bytes) => bytes,
            Err(error) => {
                let shown = model::text::escape_bytes(&folder.path);
                return sink.trouble(super::super::fields::at_place(&format!("folder {shown}"), &error));
            }
        };
        // What was a folder once begins with its own name.
        if folder.deleted && !bytes.starts_with(b".          ") {
            return;
        }
        if !folder.deleted && !folder.path.is_empty() && !bytes.starts_with(b".          ") {
            odd(&folder.path, "does not begin with its own name: it lies elsewhere, or is overwritten", sink);
        }
        let mut names = Names::default();
        for (at, entry) in (0u64..).step_by(ENTRY).zip(bytes.chunks_exact(ENTRY)) {
            if byte(entry, 0) == 0 {
                if !folder.deleted && bytes.chunks_exact(ENTRY).skip(length(at) / ENTRY).any(is_entry) {
                    odd(&folder.path, "has entries behind its end mark: not listed", sink);
                }
                break;
            }
            let Some(name) = names.take(entry) else { continue };
            if sink.is_full() {
                return;
            }
            let key = place_of(&folder.content.runs, at);
            self.entry(folder, entry, name, key, sink, waiting, seen);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn entry(
        &self,
        folder: &Folder,
        entry: &[u8],
        name: Name,
        key: u64,
        sink: &mut Sink<'_>,
        waiting: &mut Vec<Folder>,
        seen: &mut HashSet<u32>,
    ) {
        let deleted = folder.deleted || byte(entry, 0) == DELETED;
        let attributes = byte(entry, 11);
        if attributes & LABEL != 0 || matches!(&name.bytes[..], b"." | b"..") {
            // A label lies in the root, and is nothing but that (perhaps to be archived).
            let label = attributes & !ARCHIVE == LABEL && folder.path.is_empty();
            if attributes & LABEL != 0 && !label && !deleted {
                let why = format!("has an entry {} that is a label and more", model::text::escape_bytes(&name.bytes));
                odd(&folder.path, &why, sink);
            }
            return;
        }
        let Some(path) = sink.path(&folder.path, &name.bytes) else { return };
        let mut found = name.found(entry, path.clone(), deleted);
        if attributes & DIRECTORY == 0 {
            found.kind = Some(FileKind::File);
            if !deleted && u32le(entry, 28) == 0 && u16le(entry, 26) != 0 {
                odd(
                    &folder.path,
                    &format!("has a file {} without size but with clusters", model::text::escape_bytes(&path)),
                    sink,
                );
            }
            let content = self.of_entry(entry, deleted);
            // The key's lowest bit tells of an entry that lies in a deleted folder: entries lie at multiples of 32.
            return sink.push(found, key | u64::from(deleted), content.as_ref().ok());
        }
        sink.push(found, 0, None);
        let high = if self.bits == 32 { u32::from(u16le(entry, 20)) << 16 } else { 0 };
        let first = high | u32::from(u16le(entry, 26));
        if !self.is_cluster(first) {
            if !deleted {
                odd(&path, &format!("lies at cluster {first}, which does not exist"), sink);
            }
            return;
        }
        let free = deleted && self.next(first).is_ok_and(|next| next == 0);
        if deleted && !free {
            return;
        }
        if !seen.insert(first) {
            if !deleted {
                let shown = model::text::escape_bytes(&path);
                sink.trouble(Trouble::new(Code::ContainerDamaged, format!("folder {shown} is one that was listed before")));
            }
            return;
        }
        let content = if deleted {
            Content::plain(vec![Run { at: Some(self.place(first)), bytes: self.cluster }], self.cluster)
        } else {
            self.directory(first)
        };
        waiting.push(Folder { path, content, deleted });
    }
}

/// Says what is odd about a folder.
fn odd(path: &[u8], why: &str, sink: &mut Sink<'_>) {
    let shown = if path.is_empty() { "the root".to_owned() } else { format!("folder {}", model::text::escape_bytes(path)) };
    sink.trouble(Trouble::new(Code::ContainerDamaged, format!("{shown} {why}")));
}

/// Whether bytes could be an entry in use: a short name in capitals as FAT has it, and attributes that exist.
fn is_entry(entry: &[u8]) -> bool {
    let name = slice(entry, 0, 11);
    let letter = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" _-~!#$%&'()@^`{}".contains(byte);
    name.len() == 11 && !name.starts_with(b" ") && name.iter().all(letter) && byte(entry, 11) & 0xc8 == 0 && u16le(entry, 24) != 0
}

/// Adds a cluster to runs.
pub fn extend(runs: &mut Vec<Run>, at: u64, bytes: u64) {
    match runs.last_mut() {
        Some(last) if last.at.is_some_and(|start| start.saturating_add(last.bytes) == at) => last.bytes += bytes,
        _ => runs.push(Run { at: Some(at), bytes }),
    }
}

/// Runs of a file whose chain ends before the file does: what is missing is lost.
pub fn complete(mut runs: Vec<Run>, size: u64) -> Vec<Run> {
    let bytes = runs.iter().map(|run| run.bytes).fold(0, u64::saturating_add);
    if bytes < size {
        runs.push(Run::lost(size - bytes));
    }
    runs
}

/// Where on the volume a byte of runs lies.
pub fn place_of(runs: &[Run], mut offset: u64) -> u64 {
    for run in runs {
        if offset < run.bytes {
            return run.at.unwrap_or(0).saturating_add(offset);
        }
        offset -= run.bytes;
    }
    0
}

impl FileSystem for Fat {
    fn list(&self, sink: &mut Sink<'_>) {
        let root = match self.bits {
            32 => self.directory(self.root_cluster),
            _ => Content::plain(vec![Run { at: Some(self.root.0), bytes: self.root.1 }], self.root.1),
        };
        if self.apart {
            let detail = "the two tables begin differently: the boot sector does not tell where they are, or one is damaged";
            sink.trouble(Trouble::new(Code::ContainerDamaged, detail));
        }
        let mut seen = HashSet::from([self.root_cluster]);
        let mut waiting = vec![Folder { path: Vec::new(), content: root, deleted: false }];
        // Live folders come first, so that a deleted one never takes theirs.
        while let Some(at) = waiting.iter().rposition(|folder| !folder.deleted).or(waiting.len().checked_sub(1)) {
            let folder = waiting.remove(at);
            self.folder(&folder, sink, &mut waiting, &mut seen);
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        let entry = exact(&self.volume, key & !1, ENTRY).map_err(|error| Trouble::of(&error))?;
        self.of_entry(&entry, key & 1 == 1)
    }
}
