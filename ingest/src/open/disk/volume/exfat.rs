//! exFAT. Format: Microsoft, "exFAT file system specification" 1.00.

use super::super::fields::{byte, dos_time, exact, length, slice, some, u16le, u32le, u64le, utf16le};
use super::super::sink::{Found, Sink};
use super::super::stream::{Content, Run};
use super::fat::{complete, extend, place_of};
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::Trouble;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};

/// This kind's line.
pub const KIND: Kind = Kind { name: "exfat", recognize: |head| slice(head, 3, 8) == b"EXFAT   ", open };

const ENTRY: usize = 32;
/// Largest directory that the format allows.
const DIRECTORY_BYTES_MAX: u64 = 256 << 20;
/// Kinds of entries; without the highest bit they are deleted.
const LIVE: u8 = 0x80;
const BITMAP: u8 = 0x81;
const FILE: u8 = 0x05;
const STREAM: u8 = 0x40;
const NAME: u8 = 0x41;
const DIRECTORY: u16 = 0x10;
/// In a stream's flags: its clusters follow each other, the table says nothing of them.
const NO_CHAIN: u8 = 2;
/// Bytes of the table and of the bitmap that are read at a time.
const WINDOW: u64 = 64 << 10;

struct Exfat {
    volume: Source,
    cluster: u64,
    table: u64,
    data: u64,
    root: u32,
    end: u32,
    /// Where the bitmap of clusters lies.
    bitmap: Mutex<Vec<Run>>,
    window: Mutex<(u64, Vec<u8>)>,
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let boot = exact(volume, 0, 512).map_err(|error| Trouble::of(&error))?;
    let (sector_bits, cluster_bits) = (byte(&boot, 108), byte(&boot, 109));
    if !(9..=12).contains(&sector_bits) || u32::from(sector_bits) + u32::from(cluster_bits) > 25 {
        let detail = format!("sectors of 2^{sector_bits} bytes, clusters of 2^{cluster_bits} sectors");
        return Err(Trouble::new(Code::ContainerDamaged, detail));
    }
    let place = |at| u64::from(u32le(&boot, at)) << sector_bits;
    Ok(Box::new(Exfat {
        volume: volume.clone(),
        cluster: 1 << (sector_bits + cluster_bits),
        table: place(80),
        data: place(88),
        root: u32le(&boot, 96),
        end: u32le(&boot, 92).min(0xffff_fff0).saturating_add(2),
        bitmap: Mutex::new(Vec::new()),
        window: Mutex::new((u64::MAX, Vec::new())),
    }))
}

/// A folder to be listed.
struct Folder {
    path: Vec<u8>,
    content: Content,
    deleted: bool,
}

impl Exfat {
    fn is_cluster(&self, cluster: u32) -> bool {
        (2..self.end).contains(&cluster)
    }

    fn place(&self, cluster: u32) -> u64 {
        self.data.saturating_add(u64::from(cluster.saturating_sub(2)) * self.cluster)
    }

    fn next(&self, cluster: u32) -> io::Result<u32> {
        let at = u64::from(cluster) * 4;
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0 != at / WINDOW {
            *window = (at / WINDOW, some(&self.volume, self.table + at / WINDOW * WINDOW, WINDOW as usize)?);
        }
        Ok(u32le(&window.1, length(at % WINDOW)))
    }

    fn chain(&self, first: u32, bytes: u64) -> Vec<Run> {
        let (mut runs, mut cluster) = (Vec::new(), first);
        for _ in 0..bytes.div_ceil(self.cluster).min(u64::from(self.end)) {
            if !self.is_cluster(cluster) {
                break;
            }
            extend(&mut runs, self.place(cluster), self.cluster);
            // What cannot be read of the table ends the chain: the size that is told then says that something is missing.
            cluster = self.next(cluster).unwrap_or(0);
        }
        runs
    }

    /// Whether clusters from one on are free in the bitmap.
    fn are_free(&self, first: u32, bytes: u64) -> io::Result<bool> {
        let runs = self.bitmap.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut at, end) = (u64::from(first) - 2, u64::from(first) - 2 + bytes.div_ceil(self.cluster));
        let size = runs.iter().map(|run| run.bytes).sum();
        let bitmap = Content::plain(runs, size).source(&self.volume);
        while at < end {
            let bits =
                exact(&bitmap, at / 8, length((end - at).div_ceil(8).min(WINDOW) + 1).min(length(size.saturating_sub(at / 8))))?;
            if bits.is_empty() {
                return Ok(false);
            }
            let stop = end.min((at / 8 + bits.len() as u64) * 8);
            let base = at / 8 * 8;
            if (at..stop).any(|bit| byte(&bits, length((bit - base) / 8)) >> (bit % 8) & 1 == 1) {
                return Ok(false);
            }
            at = stop;
        }
        Ok(true)
    }

    /// What a stream entry tells of.
    fn of_stream(&self, stream: &[u8], deleted: bool) -> Result<Content, Trouble> {
        let (first, size, valid) = (u32le(stream, 20), u64le(stream, 24), u64le(stream, 8));
        if size == 0 {
            return Ok(Content::plain(Vec::new(), 0));
        }
        if !self.is_cluster(first) {
            let code = if deleted { Code::Overwritten } else { Code::ContainerDamaged };
            return Err(Trouble::new(code, format!("begins at cluster {first}, which the volume does not have")));
        }
        let room = u64::from(self.end - first) * self.cluster;
        let follows = byte(stream, 1) & NO_CHAIN != 0;
        let runs = if follows || deleted {
            vec![Run { at: Some(self.place(first)), bytes: size.min(room) }]
        } else {
            self.chain(first, size)
        };
        if deleted {
            let free = size <= room && self.are_free(first, size).map_err(|error| Trouble::of(&error))?;
            if !free {
                return Err(Trouble::new(Code::Overwritten, format!("clusters from {first} on belong to another file now")));
            }
        }
        Ok(Content { valid: valid.min(size), ..Content::plain(complete(runs, size), size) })
    }

    fn folder(&self, folder: &Folder, sink: &mut Sink<'_>, waiting: &mut Vec<Folder>, seen: &mut HashSet<u32>) {
        let bytes = match some(&folder.content.clone().source(&self.volume), 0, length(folder.content.size)) {
            Ok(bytes) => bytes,
            Err(error) => {
                let shown = model::text::escape_bytes(&folder.path);
                return sink.trouble(super::super::fields::at_place(&format!("folder {shown}"), &error));
            }
        };
        let entries: Vec<&[u8]> = bytes.chunks_exact(ENTRY).collect();
        let mut at = 0;
        while let Some(entry) = entries.get(at).filter(|entry| byte(entry, 0) != 0) {
            let kind = byte(entry, 0);
            if kind == BITMAP && folder.path.is_empty() {
                let runs = self.chain(u32le(entry, 20), u64le(entry, 24));
                *self.bitmap.lock().unwrap_or_else(PoisonError::into_inner) = runs;
            }
            at += 1;
            if kind & !LIVE != FILE || sink.is_full() {
                continue;
            }
            let live = kind & LIVE;
            let Some(stream) = entries.get(at).filter(|next| byte(next, 0) == STREAM | live) else { continue };
            let parts = usize::from(byte(stream, 3)).div_ceil(15);
            let named: Vec<&[u8]> =
                entries.iter().skip(at + 1).take(parts).copied().take_while(|next| byte(next, 0) == NAME | live).collect();
            let units: Vec<u8> = named.iter().flat_map(|next| slice(next, 2, 30)).copied().collect();
            let name = utf16le(slice(&units, 0, usize::from(byte(stream, 3)) * 2));
            let key = place_of(&folder.content.runs, at as u64 * ENTRY as u64);
            at += 1 + named.len();
            self.entry(folder, (entry, stream), &name, key, live == 0, sink, waiting, seen);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn entry(
        &self,
        folder: &Folder,
        (entry, stream): (&[u8], &[u8]),
        name: &[u8],
        key: u64,
        deleted: bool,
        sink: &mut Sink<'_>,
        waiting: &mut Vec<Folder>,
        seen: &mut HashSet<u32>,
    ) {
        let deleted = folder.deleted || deleted;
        let Some(path) = sink.path(&folder.path, name) else { return };
        let mut found = Found { path: path.clone(), size: u64le(stream, 24), times: times(entry), deleted, ..Found::default() };
        let content = self.of_stream(stream, deleted);
        if u16le(entry, 4) & DIRECTORY == 0 {
            found.kind = Some(FileKind::File);
            return sink.push(found, key | u64::from(deleted), content.as_ref().ok());
        }
        sink.push(found, 0, None);
        let first = u32le(stream, 20);
        match content {
            Ok(content) if content.size > 0 && content.size <= DIRECTORY_BYTES_MAX && seen.insert(first) => {
                waiting.push(Folder { path, content, deleted });
            }
            Ok(content) if content.size > 0 && !deleted => {
                let shown = model::text::escape_bytes(&path);
                let detail =
                    format!("folder {shown} of {} bytes at cluster {first} is too large, or was listed before", content.size);
                sink.trouble(Trouble::new(Code::ContainerDamaged, detail));
            }
            Ok(_) => {}
            Err(trouble) if !deleted => {
                let shown = model::text::escape_bytes(&path);
                sink.trouble(Trouble::new(trouble.code, format!("folder {shown}: {}", trouble.detail)));
            }
            Err(_) => {}
        }
    }
}

/// The times of a file entry: with the zone they were written in, each of its own.
fn times(entry: &[u8]) -> FileTimes {
    let time = |at: usize, hundredths: Option<usize>, zone: usize| {
        let stamp = u32le(entry, at);
        let time = dos_time((stamp >> 16) as u16, (stamp & 0xffff) as u16, hundredths.map_or(0, |at| byte(entry, at)))?;
        let zone = byte(entry, zone);
        // Seven bits, signed, quarters of an hour.
        let offset = i64::from((zone << 1).cast_signed() >> 1) * 900;
        Some((FileTime { seconds: time.seconds - if zone & 0x80 != 0 { offset } else { 0 }, ..time }, zone & 0x80 == 0))
    };
    let (created, modified, accessed) = (time(8, Some(20), 22), time(12, Some(21), 23), time(16, None, 24));
    let local = [created, modified, accessed].iter().flatten().any(|(_, local)| *local);
    let plain = |time: Option<(FileTime, bool)>| time.filter(|(_, own)| *own == local).map(|(time, _)| time);
    FileTimes { created: plain(created), modified: plain(modified), accessed: plain(accessed), changed: None, local }
}

impl FileSystem for Exfat {
    fn list(&self, sink: &mut Sink<'_>) {
        let runs = self.chain(self.root, DIRECTORY_BYTES_MAX);
        let size = runs.iter().map(|run| run.bytes).fold(0, u64::saturating_add);
        let mut seen = HashSet::from([self.root]);
        let mut waiting = vec![Folder { path: Vec::new(), content: Content::plain(runs, size), deleted: false }];
        while let Some(at) = waiting.iter().rposition(|folder| !folder.deleted).or(waiting.len().checked_sub(1)) {
            let folder = waiting.remove(at);
            self.folder(&folder, sink, &mut waiting, &mut seen);
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        let stream = exact(&self.volume, key & !1, ENTRY).map_err(|error| Trouble::of(&error))?;
        self.of_stream(&stream, key & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_their_zone() {
        let mut entry = vec![0u8; 32];
        let stamp = |hour: u32| (44 << 25 | 3 << 21 | 5 << 16) | hour << 11;
        entry[8..12].copy_from_slice(&stamp(10).to_le_bytes());
        entry[12..16].copy_from_slice(&stamp(10).to_le_bytes());
        // +01:00, and -02:00: 4 and -8 quarters.
        entry[22] = 0x80 | 4;
        entry[23] = 0x80 | (-8i8 as u8 & 0x7f);
        let times = times(&entry);
        let seconds = |time: Option<FileTime>| time.unwrap().seconds;
        assert_eq!(seconds(times.modified) - seconds(times.created), 3 * 3600);
        assert_eq!((times.local, times.accessed), (false, None));
    }
}
