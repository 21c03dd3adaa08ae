//! Ex01: Expert Witness format, version 2 (EnCase 7 and later), in one segment or many; Lx01, its logical evidence. A section's descriptor stands behind its data
//! and points at the one before it, so a segment is read from its end.
//! Format: J. Metz, "Expert Witness Compression Format version 2 specification" (libewf).

use super::super::fields::{self, byte, exact, length, slice, some, u32le, u64le};
use super::super::pieces::{Disk, Layout, Piece};
use super::super::volume::FileSystem;
use super::ewf::adler;
use super::ewf_segments::{Naming, Segments};
use super::tree::{self, Tree};
use super::{Image, Opened, Stored, ewf2_text};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use model::Code;
use std::io;

/// This format's line.
pub const IMAGE: Image = Image { name: "ewf2", recognize, open };

const SIGNATURES: [&[u8]; 2] = [b"EVF2\x0d\x0a\x81\x00", b"LEF2\x0d\x0a\x81\x00"];
/// Bytes of a segment's header, of a section's descriptor, of a table's header with its padding, and of an entry.
const HEADER_BYTES: u64 = 32;
const DESCRIPTOR_BYTES: u64 = 64;
const TABLE_BYTES: u64 = 32;
const ENTRY_BYTES: u64 = 16;
/// Largest chunk that is believed, as in version 1.
const CHUNK_BYTES_MAX: u64 = 32 << 20;
const SEGMENTS: Naming = Naming { what: "Ex01", name: segment_name };
/// Sections of a segment that are believed.
const SECTIONS_MAX: usize = 1_000_000;
/// Bytes that a section of text or errors may have.
const TEXT_BYTES_MAX: u64 = 16 << 20;
/// How far back from a torn end a descriptor is looked for: more than EnCase writes between two tables.
const SEARCH_BYTES: u64 = 256 << 20;
/// Flags of a section's data, and of a chunk.
const SUMMED_DATA: u32 = 1;
const ENCRYPTED: u32 = 2;
const PACKED: u32 = 1;
const SUMMED: u32 = 2;
const PATTERN: u32 = 4;

fn recognize(head: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| head.starts_with(signature))
}

/// A section: its type, flags, and where its data begin and how many bytes they have without padding.
struct Section {
    kind: u32,
    flags: u32,
    at: u64,
    bytes: u64,
    /// MD5 of the data with their padding, zeros without one; and how many those are.
    sum: [u8; 16],
    told: u64,
}

/// A table: which chunks it names and where its entries lie.
struct Table {
    segment: usize,
    first: u64,
    count: u64,
    entries: u64,
}

/// What the sections of all segments tell.
#[derive(Default)]
struct Told {
    sector_bytes: u64,
    sectors: u64,
    sectors_per_chunk: u64,
    tables: Vec<Table>,
    stored: Stored,
    troubles: Vec<Trouble>,
    tree: Option<Tree>,
    encrypted: bool,
    done: bool,
}

struct Ewf2 {
    segments: Vec<Source>,
    tables: Vec<Table>,
    chunk_bytes: u64,
    size: u64,
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let head = exact(source, 0, length(HEADER_BYTES)).map_err(|error| Trouble::of(&error))?;
    let number = u32le(&head, 12);
    if !SEGMENTS.is_first(source, number.into())? {
        return Ok(None);
    }
    let mut told = Told::default();
    let Segments { sources: segments, parts, missing } = SEGMENTS.follow(source, &mut |segment, place| {
        told.segment(segment, place);
        told.done
    });
    told.troubles.extend(missing);
    if told.encrypted {
        return Err(Trouble::new(Code::Encrypted, "the password or key file of an encrypted Ex01 image, and a reader of it"));
    }
    let (chunk_bytes, size) = told.geometry()?;
    told.tables.sort_by_key(|table| table.first);
    told.gaps(chunk_bytes, size);
    let Told { tables, stored, troubles, tree, .. } = told;
    let disk = Disk::source(Ewf2 { segments, tables, chunk_bytes, size });
    let tree = tree.map(|tree| Box::new(tree) as Box<dyn FileSystem>);
    Ok(Some(Opened { disk, troubles, stored, parts, tree }))
}

/// The name of a segment: `.Ex01` to `.Ex99`, then `.ExAA` to `.ExZZ`, `.EyAA` and on to `.EzZZ`.
fn segment_name(name: &[u8], number: usize) -> Option<Vec<u8>> {
    let cut = name.len().checked_sub(4).filter(|cut| *cut > 0 && name.get(cut - 1) == Some(&b'.'))?;
    let (kept, lower) = (name.get(..=cut)?, name.get(cut)?.is_ascii_lowercase());
    let second = *name.get(cut + 1)?;
    let ending = if number < 100 {
        format!("{}{number:02}", if second.is_ascii_uppercase() { 'X' } else { 'x' })
    } else {
        let at = number - 100;
        let letter = |base: u8, at: usize| u8::try_from(at).ok().and_then(|at| base.checked_add(at)).map(char::from);
        let block = at.checked_div(676).filter(|block| *block < 3)?;
        let first = letter(if second.is_ascii_uppercase() { b'X' } else { b'x' }, block)?;
        let base = if lower { b'a' } else { b'A' };
        [first, letter(base, at / 26 % 26)?, letter(base, at % 26)?].iter().collect()
    };
    Some([kept, ending.as_bytes()].concat())
}

impl Told {
    /// Reads the sections of a segment; what is wrong with one of them is told.
    fn segment(&mut self, source: &Source, index: usize) {
        let place = |error: &io::Error| fields::at_place(&format!("segment {}", index + 1), error);
        let head = exact(source, 0, length(HEADER_BYTES)).and_then(|head| {
            let own = recognize(&head) && u32le(&head, 12) as usize == index + 1;
            if own { Ok(()) } else { Err(fields::damaged("its header is that of another segment")) }
        });
        let sections = head.and_then(|()| self.sections(source));
        match sections {
            Ok(sections) => {
                for section in sections {
                    if let Err(error) = self.section(source, index, &section) {
                        self.troubles.push(place(&error));
                    }
                }
            }
            Err(error) => self.troubles.push(place(&error)),
        }
    }

    /// The sections of a segment, first to last.
    fn sections(&mut self, source: &Source) -> io::Result<Vec<Section>> {
        let mut at = source.size().saturating_sub(DESCRIPTOR_BYTES);
        if descriptor(source, at)?.is_none() {
            let found = search(source)?;
            at = found.ok_or_else(|| Damage::error(Code::Truncated, "no section's descriptor at its end"))?;
            let lost = source.size() - at - DESCRIPTOR_BYTES;
            let detail = format!("its last {lost} bytes, from byte {}, end in no section", at + DESCRIPTOR_BYTES);
            self.troubles.push(Trouble::new(Code::Truncated, detail));
        }
        let mut sections = Vec::new();
        while sections.len() < SECTIONS_MAX {
            let Some(raw) = descriptor(source, at)? else {
                self.troubles.push(Trouble::new(Code::ChecksumMismatch, format!("section descriptor at byte {at}")));
                break;
            };
            let (before, told, padding) = (u64le(&raw, 8), u64le(&raw, 16), u64::from(u32le(&raw, 28)));
            let begin = at.saturating_sub(told);
            let sum =
                slice(&raw, 32, 16).first_chunk().copied().filter(|_| u32le(&raw, 4) & SUMMED_DATA != 0).unwrap_or_default();
            let bytes = told.saturating_sub(padding);
            sections.push(Section { kind: u32le(&raw, 0), flags: u32le(&raw, 4), at: begin, bytes, sum, told });
            if before == 0 || before >= at {
                break;
            }
            at = before;
        }
        sections.reverse();
        Ok(sections)
    }

    fn section(&mut self, source: &Source, segment: usize, section: &Section) -> io::Result<()> {
        // Types by their number in the specification.
        match section.kind {
            0x0b => self.encrypted = true,
            _ if section.flags & ENCRYPTED != 0 => self.encrypted = true,
            0x01 if self.sectors == 0 => {
                let text = text(source, section)?;
                let number = |tag| ewf2_text::number(&text, tag);
                (self.sectors, self.sector_bytes) = (number("ts").unwrap_or(0), number("bp").unwrap_or(0));
            }
            0x02 if self.sectors_per_chunk == 0 => {
                self.sectors_per_chunk = ewf2_text::number(&text(source, section)?, "sb").unwrap_or(0);
            }
            0x04 => self.table(source, segment, section)?,
            0x05 => self.errors(&exact(source, section.at, length(section.bytes.min(TEXT_BYTES_MAX)))?),
            0x08 => self.stored.md5 = hash(&exact(source, section.at, 20)?, 16),
            0x09 => self.stored.sha1 = hash(&exact(source, section.at, 24)?, 20),
            0x0f => self.done = true,
            0x20 => {
                self.tree = Some(tree::open(source, section.at, section.bytes)?);
                tree::check(source, section.at, section.told, &section.sum)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn table(&mut self, source: &Source, segment: usize, section: &Section) -> io::Result<()> {
        let header = exact(source, section.at, 20)?;
        let (first, told) = (u64le(&header, 0), u64::from(u32le(&header, 8)));
        let count = told.min(section.bytes.saturating_sub(TABLE_BYTES) / ENTRY_BYTES);
        let place = format!("chunk table at byte {} of segment {}", section.at, segment + 1);
        let entries = section.at.saturating_add(TABLE_BYTES);
        let footer = entries.saturating_add(count.saturating_mul(ENTRY_BYTES));
        if adler(slice(&header, 0, 16)) != u32le(&header, 16) {
            self.troubles.push(Trouble::new(Code::ChecksumMismatch, format!("{place}: header")));
        } else if told > count {
            self.troubles.push(Trouble::new(Code::Truncated, format!("{place}: {told} entries told, room for {count}")));
        } else if count.saturating_mul(ENTRY_BYTES) <= TEXT_BYTES_MAX {
            let all = exact(source, entries, length(count * ENTRY_BYTES))?;
            if adler(&all) != u32le(&exact(source, footer, 4)?, 0) {
                self.troubles.push(Trouble::new(Code::ChecksumMismatch, format!("{place}: entries")));
            }
        }
        self.tables.push(Table { segment, first, count, entries });
        Ok(())
    }

    /// Sectors that could not be read when the image was made.
    fn errors(&mut self, data: &[u8]) {
        let count = u32le(data, 0) as usize;
        let shown = (0..count.min(16)).map(|at| (u64le(data, 32 + at * 16), u32le(data, 40 + at * 16)));
        let shown: Vec<String> = shown.map(|(first, count)| format!("{first} ({count})")).collect();
        if count > 0 {
            let detail = format!("{count} ranges were unreadable when the image was made: sectors {}", shown.join(", "));
            self.troubles.push(Trouble::new(Code::Unreadable, detail));
        }
    }

    /// Bytes of a chunk and of the disk.
    fn geometry(&mut self) -> Result<(u64, u64), Trouble> {
        let chunk = self.sectors_per_chunk.saturating_mul(self.sector_bytes);
        let size = self.sectors.checked_mul(self.sector_bytes).filter(|size| (1..1 << 60).contains(size));
        match size {
            Some(size) if (1..=CHUNK_BYTES_MAX).contains(&chunk) => Ok((chunk, size)),
            _ => Err(self.troubles.first().cloned().unwrap_or_else(|| {
                let Told { sectors, sector_bytes, sectors_per_chunk, .. } = self;
                let detail = format!("a disk of {sectors} sectors of {sector_bytes} bytes, {sectors_per_chunk} a chunk");
                Trouble::new(Code::ContainerDamaged, detail)
            })),
        }
    }

    /// Tells which bytes no table names.
    fn gaps(&mut self, chunk_bytes: u64, size: u64) {
        let mut reach = 0u64;
        let ends = self.tables.iter().map(|table| (table.first, table.first.saturating_add(table.count)));
        let ends = ends.chain([(size.div_ceil(chunk_bytes), u64::MAX)]);
        let mut lost = Vec::new();
        for (first, end) in ends {
            if first > reach {
                lost.push(format!("{} to {}", reach.saturating_mul(chunk_bytes), first.saturating_mul(chunk_bytes).min(size)));
            }
            reach = reach.max(end);
        }
        if !lost.is_empty() {
            let more = if lost.len() > 16 { " and more" } else { "" };
            lost.truncate(16);
            let detail = format!("no table names the chunks of bytes {}{more}", lost.join(", "));
            self.troubles.push(Trouble::new(Code::Truncated, detail));
        }
    }
}

/// The descriptor at a place, if one stands there.
fn descriptor(source: &Source, at: u64) -> io::Result<Option<Vec<u8>>> {
    let raw = some(source, at, length(DESCRIPTOR_BYTES))?;
    Ok(is_descriptor(&raw).then_some(raw))
}

fn is_descriptor(raw: &[u8]) -> bool {
    raw.len() as u64 == DESCRIPTOR_BYTES
        && u64::from(u32le(raw, 24)) == DESCRIPTOR_BYTES
        && adler(slice(raw, 0, 60)) == u32le(raw, 60)
}

/// The last descriptor of a segment whose end is torn off.
fn search(source: &Source) -> io::Result<Option<u64>> {
    const STEP: u64 = 1 << 20;
    let (mut end, least) = (source.size(), source.size().saturating_sub(SEARCH_BYTES).max(HEADER_BYTES));
    while end > least {
        let start = end.saturating_sub(STEP).max(least);
        let block = some(source, start, length(end - start + DESCRIPTOR_BYTES))?;
        let last = (0..length(end - start)).rev().find(|at| is_descriptor(slice(&block, *at, length(DESCRIPTOR_BYTES))));
        if let Some(last) = last {
            return Ok(Some(start + last as u64));
        }
        end = start;
    }
    Ok(None)
}

/// The text of a section. The method of packing stands in the segment's header.
fn text(source: &Source, section: &Section) -> io::Result<String> {
    let method = u32le(&exact(source, 8, 4)?, 0) >> 16;
    let data = exact(source, section.at, length(section.bytes.min(TEXT_BYTES_MAX)))?;
    match method {
        0 => Ok(ewf2_text::decode(&data)),
        1 => Ok(ewf2_text::decode(&fields::inflate(&data, length(TEXT_BYTES_MAX))?)),
        _ => Err(Damage::error(Code::Unsupported, &format!("Ex01 packed by method {method}"))),
    }
}

/// A hash with its checksum behind it, in hexadecimal.
fn hash(data: &[u8], bytes: usize) -> Option<String> {
    let hash = slice(data, 0, bytes);
    let sound = adler(hash) == u32le(data, bytes) && hash.iter().any(|byte| *byte != 0);
    sound.then(|| hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Ewf2 {
    /// The segment and the entry of a chunk.
    fn entry(&self, chunk: u64) -> io::Result<(&Source, Vec<u8>)> {
        let after = self.tables.partition_point(|table| table.first <= chunk);
        let holds = |table: &&Table| chunk < table.first.saturating_add(table.count);
        // Tables of a restarted acquisition name chunks again: the last one that begins before it counts.
        let table = self.tables.get(..after).unwrap_or_default().iter().rev().take(8).find(holds);
        let table = table.ok_or_else(|| Damage::error(Code::Truncated, &format!("no table names chunk {chunk}")))?;
        let segment = self.segments.get(table.segment).ok_or_else(|| fields::damaged("no such segment"))?;
        let at = (chunk - table.first).saturating_mul(ENTRY_BYTES).saturating_add(table.entries);
        Ok((segment, exact(segment, at, length(ENTRY_BYTES))?))
    }
}

impl Layout for Ewf2 {
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
        let (segment, entry) = self.entry(chunk).ok()?;
        let pattern = u32le(&entry, 12) & (PACKED | PATTERN) == PACKED | PATTERN;
        (!pattern).then(|| (segment.clone(), u64le(&entry, 0), u64::from(u32le(&entry, 8))))
    }

    fn unpack(&self, chunk: u64) -> io::Result<Vec<u8>> {
        let expected = length(self.chunk_bytes.min(self.size - chunk.saturating_mul(self.chunk_bytes).min(self.size)));
        let (segment, entry) = self.entry(chunk)?;
        let (at, bytes, flags) = (u64le(&entry, 0), u64::from(u32le(&entry, 8)), u32le(&entry, 12));
        if flags & (PACKED | PATTERN) == PACKED | PATTERN {
            return Ok((0..expected).map(|at| byte(&entry, at % 8)).collect());
        }
        let bad = |code, words: &str| Damage::error(code, &format!("chunk {chunk} of the Ex01 image: {words}"));
        // A packed chunk is never much larger than what comes out.
        let packed = exact(segment, at, length(bytes.min(self.chunk_bytes.saturating_mul(2).saturating_add(1024))))?;
        let data = if flags & PACKED == 0 {
            if flags & SUMMED != 0 && adler(slice(&packed, 0, expected)) != u32le(&packed, expected) {
                return Err(bad(Code::ChecksumMismatch, "checksum"));
            }
            packed
        } else {
            let unpacked = fields::inflate(&packed, length(self.chunk_bytes));
            unpacked.map_err(|error| {
                let trouble = Trouble::of(&error);
                bad(trouble.code, &trouble.detail)
            })?
        };
        match slice(&data, 0, expected) {
            data if data.len() == expected => Ok(data.to_vec()),
            data => Err(bad(Code::ContainerDamaged, &format!("it holds {} bytes", data.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments() {
        let name = |number| String::from_utf8(segment_name(b"disk.Ex01", number).unwrap()).unwrap();
        assert_eq!([name(2), name(99), name(100), name(101)], ["disk.Ex02", "disk.Ex99", "disk.ExAA", "disk.ExAB"]);
        assert_eq!([name(100 + 676), name(100 + 676 * 3 - 1)], ["disk.EyAA", "disk.EzZZ"]);
        assert_eq!((segment_name(b"disk.Ex01", 100 + 676 * 3), segment_name(b"Ex01", 2)), (None, None));
        assert_eq!(segment_name(b"a.ex01", 100).unwrap(), b"a.exaa");
    }

    #[test]
    fn a_descriptor_is_found_before_a_torn_end() {
        let mut bytes = vec![7; 3 << 20];
        let at = 1_500_003;
        bytes[at..at + 60].fill(0);
        bytes[at + 24] = 64;
        let sum = adler(&bytes[at..at + 60]);
        bytes[at + 60..at + 64].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(search(&Source::Memory(bytes.clone().into())).unwrap(), Some(at as u64));
        bytes[at] = 1;
        assert_eq!(search(&Source::Memory(bytes.into())).unwrap(), None);
    }

    #[test]
    fn gaps_between_tables_are_told_by_their_bytes() {
        let table = |first, count| Table { segment: 0, first, count, entries: 0 };
        let mut told = Told { tables: vec![table(0, 2), table(1, 3), table(6, 1)], ..Told::default() };
        told.gaps(10, 95);
        assert_eq!(told.troubles[0].detail, "no table names the chunks of bytes 40 to 60, 70 to 95");
    }
}
