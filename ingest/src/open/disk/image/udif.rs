//! DMG (UDIF) of macOS: its trailer names a property list, that a table of packed pieces for each partition.
//! Format: J. Newbigin and others, "Apple disk image"; libmodi documentation.

use super::super::fields::{self, byte, exact, length, slice, u32be, u64be};
use super::super::pieces::{Disk, Layout, Piece};
use super::{Image, Opened};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use model::Code;
use std::io::{self, Read};

/// This format's line.
pub const IMAGE: Image = Image { name: "udif", recognize: |_| true, open };

const TRAILER_BYTES: u64 = 512;
const SECTOR: u64 = 512;
/// Largest property list that is read, and largest packed piece.
const LIST_BYTES_MAX: u64 = 64 << 20;
const PIECE_BYTES_MAX: u64 = 64 << 20;
/// Kinds of pieces.
const RAW: u32 = 1;
const ADC: u32 = 0x8000_0004;
const ZLIB: u32 = 0x8000_0005;
const BZIP2: u32 = 0x8000_0006;
const LZFSE: u32 = 0x8000_0007;
const LZMA: u32 = 0x8000_0008;
const COMMENT: u32 = 0x7fff_fffe;
const END: u32 = 0xffff_ffff;

/// A piece: kind, first byte and bytes on the disk, first byte and bytes in the file.
struct Packed {
    kind: u32,
    start: u64,
    bytes: u64,
    at: u64,
    stored: u64,
}

struct Udif {
    source: Source,
    pieces: Vec<Packed>,
    size: u64,
}

fn trailer(source: &Source) -> Option<Vec<u8>> {
    let at = source.size().checked_sub(TRAILER_BYTES)?;
    exact(source, at, TRAILER_BYTES as usize).ok().filter(|trailer| trailer.starts_with(b"koly\0\0\0\x04\0\0\x02\0"))
}

/// Whether a file ends as a UDIF image.
pub fn is_udif(source: &Source) -> bool {
    trailer(source).is_some()
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let trailer = trailer(source).ok_or_else(|| Trouble::new(Code::Missing, "no trailer of a DMG"))?;
    let (at, bytes) = (u64be(&trailer, 216), u64be(&trailer, 224));
    if bytes > LIST_BYTES_MAX {
        return Err(Trouble::new(Code::CapValue, format!("property list of {bytes} bytes")));
    }
    let list = exact(source, at, length(bytes)).map_err(|error| fields::at_place("property list of the DMG", &error))?;
    let mut pieces = Vec::new();
    for table in tables(&String::from_utf8_lossy(&list)) {
        take(&table, u64be(&trailer, 24), &mut pieces);
    }
    pieces.sort_by_key(|piece| piece.start);
    let end = pieces.iter().map(|piece| piece.start.saturating_add(piece.bytes)).max().unwrap_or(0);
    let size = u64be(&trailer, 492).saturating_mul(SECTOR).max(end);
    if pieces.is_empty() || size > 1 << 60 {
        return Err(Trouble::new(Code::ContainerDamaged, format!("DMG of {size} bytes in {} pieces", pieces.len())));
    }
    Ok(Some(Opened::new(Disk::source(Udif { source: source.clone(), pieces, size }))))
}

/// The tables in the property list: each `data` below the key `blkx`, base64.
fn tables(list: &str) -> Vec<Vec<u8>> {
    let Some(from) = list.find("<key>blkx</key>") else { return Vec::new() };
    let array = list[from..].split("</array>").next().unwrap_or_default();
    array.split("<data>").skip(1).filter_map(|data| data.split("</data>").next()).map(base64).collect()
}

/// Base64 (RFC 4648) between white space; what is no digit is passed by.
fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for value in text.bytes().filter_map(digit) {
        (held, bits) = (held << 6 & 0xffff | u32::from(value), bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    bytes
}

/// Takes the pieces of a table.
fn take(table: &[u8], data: u64, pieces: &mut Vec<Packed>) {
    if !table.starts_with(b"mish") {
        return;
    }
    let (first, base) = (u64be(table, 8), u64be(table, 24).saturating_add(data));
    for at in 0..u32be(table, 200) as usize {
        let entry = slice(table, 204 + at.saturating_mul(40), 40);
        let kind = u32be(entry, 0);
        if entry.len() < 40 || kind == END {
            return;
        }
        let bytes = u64be(entry, 16).saturating_mul(SECTOR);
        if kind == COMMENT || bytes == 0 {
            continue;
        }
        let start = first.saturating_add(u64be(entry, 8)).saturating_mul(SECTOR);
        pieces.push(Packed { kind, start, bytes, at: base.saturating_add(u64be(entry, 24)), stored: u64be(entry, 32) });
    }
}

/// ADC, Apple's oldest packing: literals, and copies of what came before.
fn adc(packed: &[u8], room: usize) -> io::Result<Vec<u8>> {
    let mut data: Vec<u8> = Vec::with_capacity(room);
    let mut at = 0;
    while at < packed.len() && data.len() < room {
        let first = byte(packed, at);
        let (count, back, used) = match first {
            0x80.. => {
                let count = usize::from(first & 0x7f) + 1;
                data.extend_from_slice(slice(packed, at + 1, count));
                at += 1 + count;
                continue;
            }
            0x40.. => {
                (usize::from(first - 0x40) + 4, usize::from(byte(packed, at + 1)) << 8 | usize::from(byte(packed, at + 2)), 3)
            }
            _ => (usize::from(first >> 2) + 3, usize::from(first & 3) << 8 | usize::from(byte(packed, at + 1)), 2),
        };
        for _ in 0..count {
            let from = data.len().checked_sub(back + 1).ok_or_else(|| fields::damaged("ADC copies what is not there"))?;
            data.push(data[from]);
        }
        at += used;
    }
    Ok(data)
}

impl Layout for Udif {
    fn size(&self) -> u64 {
        self.size
    }

    fn unpacked_bytes(&self) -> usize {
        1 << 20
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let index = self.pieces.partition_point(|piece| piece.start <= offset);
        let found = index.checked_sub(1).and_then(|at| self.pieces.get(at).map(|piece| (at, piece)));
        let Some((at, piece)) = found.filter(|(_, piece)| offset - piece.start < piece.bytes) else {
            let next = self.pieces.get(index).map_or(self.size, |next| next.start);
            return Ok(Piece::Zero(next.max(offset + 1) - offset));
        };
        let within = offset - piece.start;
        let left = piece.bytes - within;
        Ok(match piece.kind {
            RAW => Piece::Stored(self.source.clone(), piece.at.saturating_add(within), left),
            ADC | ZLIB | BZIP2 | LZFSE | LZMA => Piece::Packed(at as u64, within, left),
            0 | 2 => Piece::Zero(left),
            kind => Piece::Bad(Damage::error(Code::Unsupported, &format!("packing {kind:#x} of a DMG"))),
        })
    }

    fn packed(&self, key: u64) -> Option<(Source, u64, u64)> {
        let piece = self.pieces.get(length(key))?;
        Some((self.source.clone(), piece.at, piece.stored))
    }

    fn unpack(&self, key: u64) -> io::Result<Vec<u8>> {
        let piece = self.pieces.get(length(key)).ok_or_else(|| fields::damaged("no such piece"))?;
        if piece.bytes > PIECE_BYTES_MAX || piece.stored > PIECE_BYTES_MAX {
            return Err(Damage::error(Code::CapValue, &format!("a piece of {} bytes", piece.bytes)));
        }
        let packed = exact(&self.source, piece.at, length(piece.stored))?;
        let mut data = vec![0; length(piece.bytes)];
        match piece.kind {
            ADC => data = adc(&packed, data.len())?,
            LZFSE => data = super::super::lzfse::lzfse(&packed, data.len())?,
            BZIP2 => bzip2::read::BzDecoder::new(&packed[..]).read_exact(&mut data)?,
            LZMA => liblzma::read::XzDecoder::new(&packed[..]).read_exact(&mut data)?,
            _ => data = fields::inflate(&packed, data.len())?,
        }
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        assert_eq!(base64(" Zm9v\n YmE= "), b"fooba");
        assert_eq!(base64("Zm9vYmFy"), b"foobar");
    }

    #[test]
    fn adc_literals_and_copies() {
        // Three literals, then four of the byte before last but one: abc + bcbc.
        assert_eq!(adc(&[0x82, b'a', b'b', b'c', 0x04, 0x01], 99).unwrap(), b"abcbcbc");
        assert!(adc(&[0x04, 0x01], 9).is_err());
    }
}
