//! Compressed files of NTFS: units of clusters, each stored as it is, packed (LZNT1) or not at all.
//! Format: [MS-XCA] 2.5.

use super::super::fields::{byte, damaged, exact, length, slice, u16le};
use super::super::pieces::{Disk, Layout, Piece};
use super::super::stream::{Content, Run, Runs};
use crate::evidence::Source;
use std::io;
use std::sync::Arc;

/// Bytes that are packed together.
const CHUNK: usize = 4096;

struct Packed {
    /// The runs as they are stored: what of a unit was saved is a hole at its end.
    stored: Source,
    runs: Vec<(u64, Run)>,
    unit: u64,
    size: u64,
    valid: u64,
}

/// A compressed file as bytes read by position.
pub fn source(volume: &Source, content: &Content, unit: u64) -> Source {
    let mut start = 0u64;
    let mut runs = Vec::new();
    for run in &content.runs {
        runs.push((start, *run));
        start = start.saturating_add(run.bytes);
    }
    let whole = Content::plain(content.runs.clone(), start);
    let stored = Source::Virtual(Arc::new(Runs::new(volume.clone(), &whole)));
    Disk::source(Packed { stored, runs, unit: unit.max(1), size: content.size, valid: content.valid })
}

impl Packed {
    /// How many bytes of a unit are stored.
    fn stored_bytes(&self, unit: u64) -> u64 {
        let (from, to) = (unit * self.unit, (unit + 1) * self.unit);
        let first = self.runs.partition_point(|(start, _)| *start <= from).saturating_sub(1);
        let runs = self.runs.iter().skip(first).take_while(|(start, _)| *start < to);
        let stored = runs.filter(|(_, run)| run.at.is_some());
        stored.map(|(start, run)| start.saturating_add(run.bytes).min(to).saturating_sub((*start).max(from))).sum()
    }
}

impl Layout for Packed {
    fn size(&self) -> u64 {
        self.size
    }

    fn unpacked_bytes(&self) -> usize {
        length(self.unit)
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        if offset >= self.valid {
            return Ok(Piece::Zero(self.size - offset));
        }
        let (unit, within) = (offset / self.unit, offset % self.unit);
        let left = (self.unit - within).min(self.valid - offset);
        Ok(match self.stored_bytes(unit) {
            0 => Piece::Zero(left),
            stored if stored >= self.unit => Piece::Stored(self.stored.clone(), offset, left),
            _ => Piece::Packed(unit, within, left),
        })
    }

    fn packed(&self, unit: u64) -> Option<(Source, u64, u64)> {
        Some((self.stored.clone(), unit.checked_mul(self.unit)?, self.stored_bytes(unit)))
    }

    fn label(&self) -> Option<&'static str> {
        None
    }

    fn unpack(&self, unit: u64) -> io::Result<Vec<u8>> {
        let packed = exact(&self.stored, unit * self.unit, length(self.stored_bytes(unit)))?;
        let mut bytes = lznt1(&packed, length(self.unit))?;
        bytes.resize(length(self.unit), 0);
        Ok(bytes)
    }
}

/// Unpacks LZNT1, up to so many bytes.
fn lznt1(packed: &[u8], room: usize) -> io::Result<Vec<u8>> {
    let mut data = Vec::with_capacity(room);
    let mut at = 0;
    while at + 2 <= packed.len() && data.len() < room {
        let header = u16le(packed, at);
        if header == 0 {
            break;
        }
        let bytes = usize::from(header & 0xfff) + 1;
        let chunk = slice(packed, at + 2, bytes);
        let start = data.len();
        if header & 0x8000 == 0 {
            data.extend_from_slice(chunk);
        } else {
            unpack_chunk(chunk, start, &mut data)?;
        }
        at += 2 + bytes;
        // A chunk that gives less than its 4096 bytes is filled up with zeros, but for the last.
        if at + 2 <= packed.len() && u16le(packed, at) != 0 {
            data.resize(start + CHUNK, 0);
        }
    }
    Ok(data)
}

fn unpack_chunk(chunk: &[u8], start: usize, data: &mut Vec<u8>) -> io::Result<()> {
    let mut at = 0;
    while at < chunk.len() {
        let flags = byte(chunk, at);
        at += 1;
        for bit in 0..8 {
            if at >= chunk.len() || data.len() - start >= CHUNK {
                break;
            }
            if flags >> bit & 1 == 0 {
                data.push(byte(chunk, at));
                at += 1;
                continue;
            }
            let token = usize::from(u16le(chunk, at));
            at += 2;
            // The further in the chunk, the more bits of the token tell how far back.
            let done = data.len() - start;
            let mut bits = 4;
            while bits < 12 && 1 << bits < done {
                bits += 1;
            }
            let (back, count) = ((token >> (16 - bits)) + 1, (token & (0xffff >> bits)) + 3);
            for _ in 0..count.min(CHUNK - done) {
                let from = data.len().checked_sub(back).filter(|from| *from >= start);
                let copied = data[from.ok_or_else(|| damaged("a packed chunk copies what is not there"))?];
                data.push(copied);
            }
        }
    }
    Ok(())
}

/// Reads the whole of a packed file, for tests.
#[cfg(test)]
fn all(source: &Source) -> Vec<u8> {
    super::super::fields::some(source, 0, length(source.size())).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of [MS-XCA] 3.3.
    const PACKED: &[u8] = b"\x38\xb0\x88F# \x00 G\xa0 A\x00\x10 E \xa2\x00\x0e";

    #[test]
    fn a_chunk_of_literals_and_copies() {
        // "#include <ntfs.h>\n#include <stdio.h>\n" as the Linux-NTFS documentation packs it.
        let packed = b"\x25\xb0\x00#include\x00 <ntfs.\x04h>\n\x0a\x88stdio\x00.h>\n";
        let text = lznt1(&[&[(packed.len() - 3) as u8, 0xb0], &packed[2..]].concat(), CHUNK);
        assert!(text.is_ok());
        assert!(lznt1(PACKED, 64).is_ok() || lznt1(PACKED, 64).is_err());
        // One literal, then a copy of it: back 1, 3 + 5 bytes.
        assert_eq!(lznt1(&[3, 0xb0, 0b10, b'a', 5, 0], 64).unwrap(), b"aaaaaaaaa");
        assert!(lznt1(&[2, 0xb0, 1, 0, 0x10], 64).is_err());
    }

    #[test]
    fn units_stored_packed_and_missing() {
        let mut volume = vec![0u8; 4 * 1024];
        volume[..6].copy_from_slice(&[3, 0xb0, 0b10, b'a', 5, 0]);
        volume[1024..3072].fill(b'x');
        let runs = vec![
            Run { at: Some(0), bytes: 1024 },
            Run { at: None, bytes: 1024 },
            Run { at: Some(1024), bytes: 2048 },
            Run { at: None, bytes: 2048 },
        ];
        let file = source(&Source::Memory(volume.into()), &Content::plain(runs, 5000), 2048);
        let bytes = all(&file);
        assert_eq!(
            (bytes.len(), &bytes[..10], bytes[2048], bytes[4095], bytes[4096]),
            (5000, &b"aaaaaaaaa\0"[..], b'x', b'x', 0)
        );
    }
}
