//! E01: Expert Witness format, version 1 (EnCase, FTK Imager, ewfacquire), in one segment or many; L01, its logical evidence: files on a
//! disk of their own, with a tree that names them.
//! Format: J. Metz, "Expert Witness Compression Format specification" (libewf).

use super::super::fields::{self, exact, length, slice, u16le, u32le, u64le};
use super::super::pieces::{Disk, Layout, Piece};
use super::super::volume::FileSystem;
use super::ewf_segments::{Naming, Segments};
use super::ewf_table::Table;
use super::tree::{self, Tree};
use super::{Image, Opened, Stored};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use model::Code;
use std::io;

/// This format's line.
pub const IMAGE: Image = Image { name: "ewf", recognize, open };

const SIGNATURES: [&[u8]; 2] = [b"EVF\x09\x0d\x0a\xff\x00", b"LVF\x09\x0d\x0a\xff\x00"];
/// Bytes of a segment's header, of a section's, and of a tree's.
const HEADER_BYTES: u64 = 13;
const SECTION_BYTES: u64 = 76;
const TREE_BYTES: u64 = 48;
/// Largest chunk that is believed: the usual one has 32 KiB, the largest that EnCase writes 16 MiB.
const CHUNK_BYTES_MAX: u64 = 32 << 20;
const SEGMENTS: Naming = Naming { what: "E01", name: segment_name };
/// Sections of a segment that are believed.
const SECTIONS_MAX: usize = 1_000_000;

fn recognize(head: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| head.starts_with(signature))
}

/// What the sections of all segments tell.
#[derive(Default)]
struct Told {
    chunk_bytes: u64,
    size: u64,
    tables: Vec<Table>,
    stored: Stored,
    troubles: Vec<Trouble>,
    /// Chunks that the tables hold so far.
    chunks: u64,
    tree: Option<Tree>,
    done: bool,
}

struct Ewf {
    segments: Vec<Source>,
    tables: Vec<Table>,
    chunk_bytes: u64,
    size: u64,
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let head = exact(source, 0, HEADER_BYTES as usize).map_err(|error| Trouble::of(&error))?;
    let number = u16le(&head, 9);
    if !SEGMENTS.is_first(source, number.into())? {
        return Ok(None);
    }
    let mut told = Told::default();
    let Segments { sources: segments, parts, missing } = SEGMENTS.follow(source, &mut |segment, place| {
        told.segment(segment, place);
        told.done
    });
    told.troubles.extend(missing);
    let Told { chunk_bytes, size, tables, stored, mut troubles, chunks, tree, .. } = told;
    if chunk_bytes == 0 || size == 0 {
        return Err(troubles.into_iter().next().unwrap_or(Trouble::new(Code::ContainerDamaged, "E01 without a volume section")));
    }
    if chunks < size.div_ceil(chunk_bytes) {
        let detail = format!(
            "tables name {chunks} of {} chunks: bytes {} to {size} are lost",
            size.div_ceil(chunk_bytes),
            chunks * chunk_bytes
        );
        troubles.push(Trouble::new(Code::Truncated, detail));
    }
    let disk = Disk::source(Ewf { segments, tables, chunk_bytes, size });
    let tree = tree.map(|tree| Box::new(tree) as Box<dyn FileSystem>);
    Ok(Some(Opened { disk, troubles, stored, parts, tree }))
}

/// The name of a segment: `.E01` to `.E99`, then `.EAA` to `.EZZ`, `.FAA` and on to `.ZZZ` (`.L01` and `.LAA` likewise); letters keep
/// their case.
fn segment_name(name: &[u8], number: usize) -> Option<Vec<u8>> {
    let cut = name.len().checked_sub(3).filter(|cut| *cut > 0 && name[cut - 1] == b'.')?;
    let lower = name[cut].is_ascii_lowercase();
    let logical = name[cut].eq_ignore_ascii_case(&b'l');
    let upper = if number < 100 {
        let first = if name[cut].eq_ignore_ascii_case(&b's') { 'S' } else { 'E' };
        format!("{}{number:02}", if logical { 'L' } else { first })
    } else {
        let at = number - 100;
        let letter = |at: usize| u8::try_from(at).ok().map(|at| char::from(b'A' + at));
        let base = usize::from(if logical { b'L' } else { b'E' } - b'A');
        let first = at.checked_div(676).filter(|first| base + first < 26)?;
        [letter(base + first)?, letter(at / 26 % 26)?, letter(at % 26)?].iter().collect()
    };
    let ending = if lower { upper.to_ascii_lowercase() } else { upper };
    Some([&name[..cut], ending.as_bytes()].concat())
}

impl Told {
    /// Reads the sections of a segment; what is wrong with one ends the segment.
    fn segment(&mut self, source: &Source, index: usize) {
        if let Err(error) = self.sections(source, index) {
            self.troubles.push(fields::at_place(&format!("segment {}", index + 1), &error));
        }
    }

    fn sections(&mut self, source: &Source, index: usize) -> io::Result<()> {
        let head = exact(source, 0, HEADER_BYTES as usize)?;
        if !recognize(&head) || usize::from(u16le(&head, 9)) != (index + 1) & 0xffff {
            return Err(fields::damaged("its header is that of another segment"));
        }
        let (mut at, mut data_end) = (HEADER_BYTES, 0);
        for _ in 0..SECTIONS_MAX {
            let header = exact(source, at, SECTION_BYTES as usize)?;
            let (next, size) = (u64le(&header, 16), u64le(&header, 24));
            if adler(&header[..72]) != u32le(&header, 72) {
                return Err(Damage::error(Code::ChecksumMismatch, &format!("section header at byte {at}")));
            }
            let (body, bytes) = (at + SECTION_BYTES, size.saturating_sub(SECTION_BYTES).min(source.size().saturating_sub(at)));
            let name = slice(&header, 0, 16).split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
            match &name[..] {
                b"volume" | b"disk" | b"data" if self.chunk_bytes == 0 => {
                    self.volume(&exact(source, body, length(bytes.min(1052)))?)?
                }
                b"sectors" => data_end = at.saturating_add(size),
                b"table" => self.table(source, index, (body, bytes), if data_end == 0 { at } else { data_end })?,
                b"hash" | b"digest" => self.hashes(&exact(source, body, length(bytes.min(80)))?, name == b"digest"),
                b"error2" => self.errors(&exact(source, body, length(bytes.min(1 << 20)))?),
                b"ltree" => self.tree(source, body, bytes)?,
                b"done" => {
                    self.done = true;
                    return Ok(());
                }
                b"next" => return Ok(()),
                _ => {}
            }
            // The last section of a segment points at itself.
            if next <= at {
                return Ok(());
            }
            at = next;
        }
        Err(fields::damaged("more sections than a segment has"))
    }

    fn volume(&mut self, data: &[u8]) -> io::Result<()> {
        let (sectors_per_chunk, sector) = (u64::from(u32le(data, 8)), u64::from(u32le(data, 12)));
        let sectors = if data.len() < 200 { u64::from(u32le(data, 16)) } else { u64le(data, 16) };
        let chunk = sectors_per_chunk.saturating_mul(sector);
        let size = sectors.checked_mul(sector).filter(|size| *size < 1 << 60);
        match size {
            Some(size) if (1..=CHUNK_BYTES_MAX).contains(&chunk) => {
                (self.chunk_bytes, self.size) = (chunk, size);
                Ok(())
            }
            _ => Err(fields::damaged(&format!("volume of {sectors} sectors of {sector} bytes, {sectors_per_chunk} a chunk"))),
        }
    }

    fn tree(&mut self, source: &Source, body: u64, bytes: u64) -> io::Result<()> {
        let header = exact(source, body, TREE_BYTES as usize)?;
        let room = bytes.saturating_sub(TREE_BYTES);
        let told = Some(u64::from(u32le(&header, 16))).filter(|told| (1..=room).contains(told)).unwrap_or(room);
        self.tree = Some(tree::open(source, body + TREE_BYTES, told)?);
        if let Err(error) = tree::check(source, body + TREE_BYTES, told, slice(&header, 0, 16)) {
            self.troubles.push(Trouble::of(&error));
        }
        Ok(())
    }

    fn table(&mut self, source: &Source, segment: usize, body: (u64, u64), data_end: u64) -> io::Result<()> {
        let table = Table::read(source, segment, body, self.chunks, data_end)?;
        if let Some(trouble) = &table.trouble {
            self.troubles.push(trouble.clone());
        }
        self.chunks = self.chunks.saturating_add(table.count);
        self.tables.push(table);
        Ok(())
    }

    fn hashes(&mut self, data: &[u8], digest: bool) {
        let hex = |bytes: &[u8]| {
            let set = bytes.iter().any(|byte| *byte != 0);
            set.then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        self.stored.md5 = hex(slice(data, 0, 16)).or(self.stored.md5.take());
        if digest {
            self.stored.sha1 = hex(slice(data, 16, 20));
        }
    }

    /// Sectors that could not be read when the image was made.
    fn errors(&mut self, data: &[u8]) {
        let count = u32le(data, 0) as usize;
        let shown = (0..count.min(16)).map(|at| (u32le(data, 520 + at * 8), u32le(data, 524 + at * 8)));
        let shown: Vec<String> = shown.map(|(first, count)| format!("{first} ({count})")).collect();
        if count > 0 {
            let detail = format!("{count} ranges were unreadable when the image was made: sectors {}", shown.join(", "));
            self.troubles.push(Trouble::new(Code::Unreadable, detail));
        }
    }
}

/// Adler-32 (RFC 1950).
pub fn adler(bytes: &[u8]) -> u32 {
    simd_adler32::adler32(&bytes)
}

impl Layout for Ewf {
    fn size(&self) -> u64 {
        self.size
    }

    fn unpacked_bytes(&self) -> usize {
        length(self.chunk_bytes)
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let within = offset % self.chunk_bytes;
        Ok(Piece::Packed(offset / self.chunk_bytes, within, self.chunk_bytes - within))
    }

    fn packed(&self, chunk: u64) -> Option<(Source, u64, u64)> {
        let table = self.tables.get(self.tables.partition_point(|table| table.first.saturating_add(table.count) <= chunk))?;
        let segment = self.segments.get(table.segment)?;
        let stored = table.chunk(segment, chunk.checked_sub(table.first)?).ok()?;
        Some((segment.clone(), stored.at, stored.bytes))
    }

    fn unpack(&self, chunk: u64) -> io::Result<Vec<u8>> {
        let expected = length(self.chunk_bytes.min(self.size - chunk.saturating_mul(self.chunk_bytes).min(self.size)));
        let index = self.tables.partition_point(|table| table.first.saturating_add(table.count) <= chunk);
        let Some(table) = self.tables.get(index) else {
            return Err(Damage::error(Code::Truncated, &format!("no table names chunk {chunk}")));
        };
        let Some(segment) = self.segments.get(table.segment) else { return Err(fields::damaged("no such segment")) };
        let stored = table.chunk(segment, chunk - table.first)?;
        // A packed chunk is never much larger than what comes out.
        let bytes = stored.bytes.min(self.chunk_bytes.saturating_mul(2).saturating_add(1024));
        let packed = exact(segment, stored.at, length(bytes))?;
        if !stored.packed {
            let data = slice(&packed, 0, expected);
            if data.len() < expected {
                return Err(Damage::error(Code::ContainerDamaged, &format!("chunk {chunk} holds {} bytes", data.len())));
            }
            return match adler(data) == u32le(&packed, expected) {
                true => Ok(data.to_vec()),
                false => Err(Damage::error(Code::ChecksumMismatch, &format!("chunk {chunk} of the E01 image"))),
            };
        }
        // Some tools fill the last chunk up.
        let mut data = fields::inflate(&packed, length(self.chunk_bytes)).map_err(|error| at_chunk(chunk, &error))?;
        match data.len() >= expected {
            true => {
                data.truncate(expected);
                Ok(data)
            }
            false => Err(Damage::error(Code::ContainerDamaged, &format!("chunk {chunk} unpacks to {} bytes", data.len()))),
        }
    }
}

/// An error with the chunk in front.
fn at_chunk(chunk: u64, error: &io::Error) -> io::Error {
    let Trouble { code, detail } = fields::at_place(&format!("chunk {chunk} of the E01 image"), error);
    Damage::error(code, &detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments() {
        let name = |number| String::from_utf8(segment_name(b"disk.e01", number).unwrap()).unwrap();
        assert_eq!([name(2), name(99), name(100), name(101)], ["disk.e02", "disk.e99", "disk.eaa", "disk.eab"]);
        assert_eq!(segment_name(b"x.E01", 100 + 676).unwrap(), b"x.FAA");
        assert_eq!(segment_name(b"x.E01", 100 + 676 * 22), None);
        assert_eq!(segment_name(b"E01", 2), None);
        assert_eq!(
            (segment_name(b"a.L01", 2).unwrap(), segment_name(b"a.l01", 100).unwrap()),
            (b"a.L02".to_vec(), b"a.laa".to_vec())
        );
    }

    #[test]
    fn adler_of_wikipedia() {
        // The example of RFC 1950's checksum that every text uses.
        assert_eq!(adler(b"Wikipedia"), 0x11e6_0398);
    }
}
