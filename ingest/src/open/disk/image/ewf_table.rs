//! The chunk tables of an E01: read by position, so that a terabyte image takes no memory for them.

use super::super::fields::{self, exact, length, u32le, u64le};
use super::ewf::adler;
use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;
use std::io;

/// Bytes of a table's header and of its entries.
const HEADER_BYTES: u64 = 24;
const ENTRY_BYTES: u64 = 4;
/// Set in an entry whose chunk is packed.
const PACKED: u32 = 1 << 31;
/// Entries read at a time.
const BLOCK_ENTRIES: u64 = 16 << 10;

/// One table: which chunks it names and where its entries lie.
pub struct Table {
    /// Index of its segment.
    pub segment: usize,
    /// First chunk.
    pub first: u64,
    /// How many chunks.
    pub count: u64,
    /// What is wrong with it.
    pub trouble: Option<Trouble>,
    /// Where its entries begin.
    entries: u64,
    /// What its offsets count from.
    base: u64,
    /// Where the data of its last chunk end.
    data_end: u64,
    /// From this entry on offsets have 32 bits and no chunk is packed: EnCase 6.7 and later write segments over 2 GiB so.
    overflow: u64,
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stored {
    /// First byte in the segment.
    pub at: u64,
    /// Bytes, checksum included.
    pub bytes: u64,
    /// Whether it is deflated.
    pub packed: bool,
}

impl Table {
    /// Reads a table section: `body` is where its data begin and how many bytes it has.
    pub fn read(source: &Source, segment: usize, body: (u64, u64), first: u64, data_end: u64) -> io::Result<Table> {
        let (at, bytes) = body;
        let header = exact(source, at, HEADER_BYTES as usize)?;
        let told = u64::from(u32le(&header, 0));
        let room = bytes.saturating_sub(HEADER_BYTES) / ENTRY_BYTES;
        let count = told.min(room);
        let mut table = Table {
            segment,
            first,
            count,
            trouble: None,
            entries: at + HEADER_BYTES,
            base: u64le(&header, 8),
            data_end,
            overflow: u64::MAX,
        };
        let place = format!("chunk table at byte {at} of segment {}", segment + 1);
        if adler(&header[..20]) != u32le(&header, 20) {
            table.trouble = Some(Trouble::new(Code::ChecksumMismatch, format!("{place}: header")));
        } else if told > room {
            table.trouble = Some(Trouble::new(Code::Truncated, format!("{place}: {told} entries told, room for {room}")));
        }
        table.find_overflow(source)?;
        Ok(table)
    }

    /// Goes through the entries once: they never step back, but where their highest bit has become part of the offset.
    fn find_overflow(&mut self, source: &Source) -> io::Result<()> {
        let (mut at, mut before) = (0u64, 0u32);
        while at < self.count {
            let block =
                exact(source, self.entries + at * ENTRY_BYTES, length((self.count - at).min(BLOCK_ENTRIES) * ENTRY_BYTES))?;
            for raw in block.chunks_exact(4).map(|entry| u32le(entry, 0)) {
                if raw & !PACKED < before {
                    self.overflow = at;
                    return Ok(());
                }
                (before, at) = (raw & !PACKED, at + 1);
            }
        }
        Ok(())
    }

    fn offset(&self, entry: u64, raw: u32) -> u64 {
        self.base.saturating_add(u64::from(if entry >= self.overflow { raw } else { raw & !PACKED }))
    }

    /// Where a chunk lies, counted from the table's first.
    pub fn chunk(&self, source: &Source, entry: u64) -> io::Result<Stored> {
        let last = entry + 1 >= self.count;
        let raw = exact(source, self.entries + entry * ENTRY_BYTES, if last { 4 } else { 8 })?;
        let at = self.offset(entry, u32le(&raw, 0));
        let end = if last { self.data_end } else { self.offset(entry + 1, u32le(&raw, 4)) };
        match end.checked_sub(at) {
            Some(bytes) if bytes > 0 => Ok(Stored { at, bytes, packed: entry < self.overflow && u32le(&raw, 0) & PACKED != 0 }),
            _ => Err(fields::damaged(&format!("chunk {} lies at bytes {at} to {end}", self.first + entry))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[u32]) -> Source {
        let mut bytes = Vec::new();
        bytes.extend((entries.len() as u32).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(100u64.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(adler(&bytes).to_le_bytes());
        entries.iter().for_each(|entry| bytes.extend(entry.to_le_bytes()));
        Source::Memory(bytes.into())
    }

    #[test]
    fn chunks_end_where_the_next_begin() {
        let source = table(&[PACKED | 10, 30]);
        let read = Table::read(&source, 0, (0, source.size()), 7, 200).unwrap();
        assert_eq!((read.first, read.count, read.trouble.is_none()), (7, 2, true));
        assert_eq!(read.chunk(&source, 0).unwrap(), Stored { at: 110, bytes: 20, packed: true });
        assert_eq!(read.chunk(&source, 1).unwrap(), Stored { at: 130, bytes: 70, packed: false });
    }

    #[test]
    fn offsets_beyond_two_gibibytes() {
        let source = table(&[0x7fff_0000, 0x8000_8000, 0x8001_0000]);
        let read = Table::read(&source, 0, (0, source.size()), 0, 0x8002_0000).unwrap();
        assert_eq!(read.chunk(&source, 1).unwrap(), Stored { at: 0x8000_8064, bytes: 0x8000, packed: false });
        assert_eq!(read.chunk(&source, 0).unwrap().bytes, 0x1_8000);
    }

    #[test]
    fn more_entries_told_than_there_is_room_for() {
        let source = table(&[5, 6]);
        let read = Table::read(&source, 0, (0, 24 + 4), 0, 50).unwrap();
        assert_eq!((read.count, read.trouble.unwrap().code), (1, Code::Truncated));
    }
}
