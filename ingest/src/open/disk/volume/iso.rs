//! ISO 9660 with Rock Ridge or Joliet. Formats: ECMA-119; IEEE P1281 and P1282 drafts; Microsoft, "Joliet Specification".

use super::super::fields::{byte, days, exact, length, slice, some, u16le, u32le};
use super::super::sink::{Found, Sink};
use super::super::stream::{Content, Run};
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::Trouble;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use std::collections::HashSet;

/// This kind's line.
pub const KIND: Kind = Kind { name: "iso9660", recognize: |head| slice(head, 0x8001, 5) == b"CD001", open };

const SECTOR: u64 = 2048;
/// Volume descriptors that are read, parts of one file, continuations of one entry, bytes of a folder.
const DESCRIPTORS_MAX: u64 = 64;
const PARTS_MAX: usize = 1024;
const CONTINUATIONS_MAX: usize = 32;
const DIRECTORY_BYTES_MAX: u64 = 256 << 20;
/// Flags of an entry.
const FOLDER: u8 = 2;
const MORE: u8 = 0x80;

struct Iso {
    volume: Source,
    block: u64,
    /// The record of the root folder.
    root: Vec<u8>,
    joliet: bool,
    rock_ridge: bool,
    /// Bytes of system use to pass by (SUSP).
    skip: usize,
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let (mut primary, mut joliet) = (None, None);
    for at in 16..16 + DESCRIPTORS_MAX {
        let Ok(descriptor) = exact(volume, at * SECTOR, SECTOR as usize) else { break };
        if slice(&descriptor, 1, 5) != b"CD001" || byte(&descriptor, 0) == 255 {
            break;
        }
        match byte(&descriptor, 0) {
            1 => primary = primary.or(Some(descriptor)),
            2 if matches!(slice(&descriptor, 88, 3), b"%/@" | b"%/C" | b"%/E") => joliet = joliet.or(Some(descriptor)),
            _ => {}
        }
    }
    let Some(primary) = primary.or_else(|| joliet.clone()) else {
        return Err(Trouble::new(Code::ContainerDamaged, "no volume descriptor"));
    };
    let mut iso = Iso {
        volume: volume.clone(),
        block: u64::from(u16le(&primary, 128)).max(512),
        root: slice(&primary, 156, 34).to_vec(),
        joliet: false,
        rock_ridge: false,
        skip: 0,
    };
    // Rock Ridge has more than Joliet: it is asked for first, in the first entry of the root.
    if let Ok(first) = some(volume, u64::from(u32le(&iso.root, 2)) * iso.block, 255) {
        let system = system_use(slice(&first, 0, usize::from(byte(&first, 0))));
        if slice(system, 0, 2) == b"SP" && slice(system, 4, 2) == [0xbe, 0xef] {
            (iso.rock_ridge, iso.skip) = (true, usize::from(byte(system, 6)));
        } else if matches!(slice(system, 0, 2), b"RR" | b"PX") {
            iso.rock_ridge = true;
        }
    }
    if let Some(joliet) = joliet.filter(|_| !iso.rock_ridge) {
        (iso.root, iso.joliet) = (slice(&joliet, 156, 34).to_vec(), true);
    }
    Ok(Box::new(iso))
}

/// What follows an entry's name.
fn system_use(entry: &[u8]) -> &[u8] {
    let name = 33 + usize::from(byte(entry, 32));
    slice(entry, name + (name & 1), entry.len())
}

/// What Rock Ridge tells of an entry.
#[derive(Default)]
struct Rock {
    name: Vec<u8>,
    mode: Option<u32>,
    owner: Option<(u32, u32)>,
    times: FileTimes,
    link: Option<Vec<u8>>,
    /// Where a folder that was moved out of too deep a tree lies.
    moved_to: Option<u32>,
    /// A folder that stands elsewhere by `moved_to`.
    moved: bool,
}

/// A time of a directory record: years since 1900 to seconds, quarters of an hour from UTC.
fn time(bytes: &[u8]) -> Option<FileTime> {
    let (month, day) = (byte(bytes, 1), byte(bytes, 2));
    if bytes.len() < 7 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let clock = i64::from(byte(bytes, 3)) * 3600 + i64::from(byte(bytes, 4)) * 60 + i64::from(byte(bytes, 5));
    let zone = i64::from(byte(bytes, 6).cast_signed()) * 900;
    Some(FileTime {
        seconds: days(1900 + i64::from(byte(bytes, 0)), i64::from(month), i64::from(day)) * 86_400 + clock - zone,
        nanos: 0,
    })
}

/// A time of 17 digits, as Rock Ridge can hold it.
fn long_time(bytes: &[u8]) -> Option<FileTime> {
    let number = |from: usize, to: usize| std::str::from_utf8(bytes.get(from..to)?).ok()?.parse::<i64>().ok();
    let date = days(number(0, 4)?, number(4, 6)?, number(6, 8)?) * 86_400;
    let clock = number(8, 10)? * 3600 + number(10, 12)? * 60 + number(12, 14)?;
    let zone = i64::from(byte(bytes, 16).cast_signed()) * 900;
    Some(FileTime { seconds: date + clock - zone, nanos: number(14, 16)?.unsigned_abs() as u32 * 10_000_000 })
}

impl Iso {
    fn rock(&self, entry: &[u8]) -> Rock {
        let mut rock = Rock::default();
        let mut area = slice(system_use(entry), self.skip, entry.len()).to_vec();
        for _ in 0..CONTINUATIONS_MAX {
            let (mut at, mut next) = (0, None);
            while usize::from(byte(&area, at + 2)) >= 4 {
                let field = slice(&area, at, usize::from(byte(&area, at + 2)));
                if slice(field, 0, 2) == b"CE" {
                    let place = u64::from(u32le(field, 4)).saturating_mul(self.block).saturating_add(u64::from(u32le(field, 12)));
                    next = Some((place, length(u32le(field, 20)).min(SECTOR as usize)));
                }
                rock.take(field);
                at += field.len();
            }
            match next.map(|(place, bytes)| some(&self.volume, place, bytes)) {
                Some(Ok(more)) => area = more,
                _ => break,
            }
        }
        rock
    }

    fn name(&self, entry: &[u8], rock: &Rock) -> Vec<u8> {
        let raw = slice(entry, 33, usize::from(byte(entry, 32)));
        if !rock.name.is_empty() {
            return rock.name.clone();
        }
        if self.joliet {
            let units: Vec<u8> = raw.chunks_exact(2).flat_map(|pair| [pair[1], pair[0]]).collect();
            let name = super::super::fields::utf16le(&units);
            return strip_version(&name).to_vec();
        }
        let name = strip_version(raw);
        name.strip_suffix(b".").unwrap_or(name).to_vec()
    }

    /// The content of the file whose first record lies at a byte: one that is larger than 4 GiB has several records.
    fn of_record(&self, at: u64) -> Result<Content, Trouble> {
        let (mut runs, mut size, mut at) = (Vec::new(), 0u64, at);
        for _ in 0..PARTS_MAX {
            let entry = exact(&self.volume, at, 33).map_err(|error| Trouble::of(&error))?;
            let bytes = u64::from(u32le(&entry, 10));
            let start = (u64::from(u32le(&entry, 2)) + u64::from(byte(&entry, 1))) * self.block;
            if byte(&entry, 26) != 0 {
                return Err(Trouble::new(Code::Unsupported, "an interleaved file"));
            }
            if bytes > 0 {
                runs.push(Run { at: Some(start), bytes });
            }
            size += bytes;
            if byte(&entry, 25) & MORE == 0 {
                break;
            }
            at += u64::from(byte(&entry, 0)).max(1);
            // Records do not cross sectors: the next one may begin at the next.
            if exact(&self.volume, at, 1).is_ok_and(|next| next == [0]) {
                at = at.next_multiple_of(SECTOR);
            }
        }
        Ok(Content::plain(runs, size))
    }

    fn folder(&self, record: &[u8], path: &[u8], sink: &mut Sink<'_>, waiting: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let start = u64::from(u32le(record, 2)) * self.block;
        let size = u64::from(u32le(record, 10)).min(DIRECTORY_BYTES_MAX);
        let bytes = match exact(&self.volume, start, length(size)) {
            Ok(bytes) => bytes,
            Err(error) => {
                let shown = model::text::escape_bytes(path);
                return sink.trouble(super::super::fields::at_place(&format!("folder {shown}"), &error));
            }
        };
        // A folder's first entry is itself.
        if u32le(&bytes, 2) != u32le(record, 2) || byte(&bytes, 33) != 0 {
            let detail = format!("folder {} does not begin with itself: it lies elsewhere", model::text::escape_bytes(path));
            sink.trouble(Trouble::new(Code::ContainerDamaged, detail));
        }
        let (mut at, mut continues) = (0usize, false);
        while at < bytes.len() && !sink.is_full() {
            let entry = slice(&bytes, at, usize::from(byte(&bytes, at)));
            if entry.len() < 34 {
                // The rest of a sector is empty.
                at = (at + 1).next_multiple_of(SECTOR as usize);
                continue;
            }
            let own = start + at as u64;
            at += entry.len();
            // "." and ".." have names of one byte, 0 and 1; later parts of a file have been taken with its first.
            let dot = byte(entry, 32) == 1 && byte(entry, 33) < 2;
            let later = std::mem::replace(&mut continues, byte(entry, 25) & MORE != 0);
            if !dot && !later {
                self.entry(entry, own, path, sink, waiting);
            }
        }
    }

    fn entry(&self, entry: &[u8], own: u64, folder: &[u8], sink: &mut Sink<'_>, waiting: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let rock = if self.rock_ridge { self.rock(entry) } else { Rock::default() };
        if rock.moved {
            return;
        }
        let Some(path) = sink.path(folder, &self.name(entry, &rock)) else { return };
        let mut times = rock.times;
        times.modified = times.modified.or(time(slice(entry, 18, 7)));
        let mut found =
            Found { path: path.clone(), mode: rock.mode, owner: rock.owner, times, link_target: rock.link, ..Found::default() };
        if byte(entry, 25) & FOLDER != 0 || rock.moved_to.is_some() {
            let mut record = entry.to_vec();
            if let Some(block) = rock.moved_to {
                // The length stands in the folder's own first entry.
                let first = some(&self.volume, u64::from(block) * self.block, 34).unwrap_or_default();
                record[2..6].copy_from_slice(&block.to_le_bytes());
                record[10..14].copy_from_slice(&u32le(&first, 10).to_le_bytes());
            }
            sink.push(found, 0, None);
            waiting.push((record, path));
            return;
        }
        found.kind = Some(match rock.mode.unwrap_or(0) >> 12 {
            10 => FileKind::Symlink,
            1 => FileKind::Fifo,
            12 => FileKind::Socket,
            2 => FileKind::CharDevice,
            6 => FileKind::BlockDevice,
            _ => FileKind::File,
        });
        found.size = u64::from(u32le(entry, 10));
        let content = self.of_record(own);
        sink.push(found, own, content.as_ref().ok());
    }
}

/// A name without `;1`.
fn strip_version(name: &[u8]) -> &[u8] {
    match name.iter().rposition(|byte| *byte == b';') {
        Some(at) if name[at + 1..].iter().all(u8::is_ascii_digit) => &name[..at],
        _ => name,
    }
}

impl Rock {
    fn take(&mut self, field: &[u8]) {
        match slice(field, 0, 2) {
            b"NM" if byte(field, 4) & 6 == 0 => self.name.extend_from_slice(slice(field, 5, field.len())),
            b"PX" => {
                self.mode = Some(u32le(field, 4));
                self.owner = Some((u32le(field, 20), u32le(field, 28)));
            }
            b"TF" => self.take_times(field),
            b"SL" => self.take_link(field),
            b"CL" => self.moved_to = Some(u32le(field, 4)),
            b"RE" => self.moved = true,
            _ => {}
        }
    }

    fn take_times(&mut self, field: &[u8]) {
        let flags = byte(field, 4);
        let bytes = if flags & 0x80 != 0 { 17 } else { 7 };
        let mut at = 5;
        for bit in 0..4 {
            if flags >> bit & 1 == 1 {
                let raw = slice(field, at, bytes);
                let value = if bytes == 17 { long_time(raw) } else { time(raw) };
                match bit {
                    0 => self.times.created = value,
                    1 => self.times.modified = value,
                    2 => self.times.accessed = value,
                    _ => self.times.changed = value,
                }
                at += bytes;
            }
        }
    }

    fn take_link(&mut self, field: &[u8]) {
        let link = self.link.get_or_insert_default();
        let mut at = 5;
        while at + 2 <= field.len() {
            let (flags, bytes) = (byte(field, at), usize::from(byte(field, at + 1)));
            if !link.is_empty() && !link.ends_with(b"/") {
                link.push(b'/');
            }
            match flags & 0x0e {
                2 => link.push(b'.'),
                4 => link.extend_from_slice(b".."),
                8 => link.push(b'/'),
                _ => link.extend_from_slice(slice(field, at + 2, bytes)),
            }
            at += 2 + bytes;
        }
    }
}

impl FileSystem for Iso {
    fn list(&self, sink: &mut Sink<'_>) {
        let mut seen = HashSet::new();
        let mut waiting = vec![(self.root.clone(), Vec::new())];
        while let Some((record, path)) = waiting.pop() {
            if seen.insert(u32le(&record, 2)) {
                self.folder(&record, &path, sink, &mut waiting);
            } else {
                let shown = model::text::escape_bytes(&path);
                sink.trouble(Trouble::new(Code::ContainerDamaged, format!("folder {shown} is one that was listed before")));
            }
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        self.of_record(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_names() {
        let noon = time(&[100, 2, 29, 13, 0, 0, 4]).unwrap();
        assert_eq!(noon.seconds, 951_782_400 + 12 * 3600);
        assert_eq!(long_time(b"2000022913000050\x04").unwrap(), FileTime { nanos: 500_000_000, ..noon });
        assert_eq!(time(&[0; 7]), None);
        assert_eq!((strip_version(b"A.TXT;1"), strip_version(b"a;b")), (&b"A.TXT"[..], &b"a;b"[..]));
    }

    #[test]
    fn links_are_put_together() {
        let mut rock = Rock::default();
        rock.take(b"SL\x11\x01\x00\x08\x00\x00\x03etc\x04\x00");
        assert_eq!(rock.link.unwrap(), b"/etc/..");
    }
}
