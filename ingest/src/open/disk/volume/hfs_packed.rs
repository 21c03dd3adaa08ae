//! Packed files of macOS (`decmpfs`), on HFS+ and on APFS. Format: libfsapfs documentation; what marks
//! a block that is not packed, and how blocks of LZVN and LZFSE are told apart, as afsctool has it.

use super::super::fields::{byte, damaged, exact, inflate, length, slice, u32be, u32le, u64le};
use super::super::lzfse::{lzfse, lzvn};
use super::super::pieces::{Disk, Layout, Piece};
use super::super::stream::{Coding, Content};
use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;
use std::io;

/// Bytes of an attribute that holds a whole file.
pub const INLINE_MAX: usize = 64 << 10;
/// Bytes that are packed together in a resource fork.
const BLOCK: u64 = 64 << 10;
/// Ways of packing.
const PACKINGS: [(Packing, u32, u32); 3] = [(Packing::Zlib, 3, 4), (Packing::Lzvn, 7, 8), (Packing::Lzfse, 11, 12)];
/// Largest file in an attribute.
const INLINE_SIZE_MAX: u64 = 16 << 20;

/// How blocks are packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Packing {
    /// zlib, since macOS 10.6.
    Zlib,
    /// LZVN, since 10.9.
    Lzvn,
    /// LZFSE, since 10.11.
    Lzfse,
}

impl Packing {
    /// Unpacks a block; one that packing made no smaller stands as it is behind a mark.
    fn unpack(self, packed: &[u8], room: usize) -> io::Result<Vec<u8>> {
        let first = byte(packed, 0);
        match self {
            Packing::Zlib if first & 15 == 15 => Ok(slice(packed, 1, packed.len()).to_vec()),
            Packing::Lzvn if first == 6 => Ok(slice(packed, 1, packed.len()).to_vec()),
            Packing::Lzfse if first == 0xff => Ok(slice(packed, 1, packed.len()).to_vec()),
            Packing::Zlib => inflate(packed, room),
            Packing::Lzvn => lzvn(packed, room),
            Packing::Lzfse => lzfse(packed, room),
        }
    }
}

/// The content that the attribute `com.apple.decmpfs` tells of.
pub fn content(value: &[u8], fork: Content, _volume: &Source) -> Result<Content, Trouble> {
    let (kind, size) = (u32le(value, 4), u64le(value, 8));
    if !value.starts_with(b"fpmc") {
        return Err(Trouble::of(&damaged("an attribute of packed content is none")));
    }
    let packed = slice(value, 16, value.len());
    let packing = PACKINGS.iter().find(|(_, inline, fork)| kind == *inline && size <= INLINE_SIZE_MAX || kind == *fork);
    match packing {
        _ if kind == 1 => Ok(Content::inline(packed.to_vec())),
        Some((packing, inline, _)) if kind == *inline => {
            packing.unpack(packed, length(size)).map(Content::inline).map_err(|error| Trouble::of(&error))
        }
        Some((packing, ..)) => Ok(Content { size, valid: size, coding: Coding::Decmpfs(fork.size, *packing), ..fork }),
        None => Err(Trouble::new(Code::Unsupported, format!("packed in the way {kind}"))),
    }
}

struct Packed {
    fork: Source,
    size: u64,
    packing: Packing,
}

impl Packed {
    /// Where a block lies in the fork: first byte and how many.
    fn place(&self, block: u64) -> io::Result<(u64, u64)> {
        let none = |count: u64| damaged(&format!("block {block} of {count} of a packed file"));
        if self.packing != Packing::Zlib {
            // A table of where blocks begin, and where the last one ends; it ends where the first begins.
            let count = (u64::from(u32le(&exact(&self.fork, 0, 4)?, 0)) / 4).saturating_sub(1);
            if block >= count {
                return Err(none(count));
            }
            let entry = exact(&self.fork, block * 4, 8)?;
            let (at, end) = (u64::from(u32le(&entry, 0)), u64::from(u32le(&entry, 4)));
            return Ok((at, end.saturating_sub(at)));
        }
        // A resource fork: where its data begin, how long they are (big endian), then a table of blocks (little endian).
        let data = u64::from(u32be(&exact(&self.fork, 0, 4)?, 0)).saturating_add(4);
        let count = u64::from(u32le(&exact(&self.fork, data, 4)?, 0));
        if block >= count {
            return Err(none(count));
        }
        let entry = exact(&self.fork, data.saturating_add(4 + block * 8), 8)?;
        Ok((data.saturating_add(u64::from(u32le(&entry, 0))), u64::from(u32le(&entry, 4))))
    }
}

/// A packed file as bytes read by position: `fork` is its resource fork.
pub fn source(fork: Source, size: u64, packing: Packing) -> Source {
    Disk::source(Packed { fork, size, packing })
}

impl Layout for Packed {
    fn size(&self) -> u64 {
        self.size
    }

    fn unpacked_bytes(&self) -> usize {
        BLOCK as usize
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let within = offset % BLOCK;
        Ok(Piece::Packed(offset / BLOCK, within, (BLOCK - within).min(self.size - offset)))
    }

    fn packed(&self, _block: u64) -> Option<(Source, u64, u64)> {
        Some((self.fork.clone(), 0, self.fork.size()))
    }

    fn label(&self) -> Option<&'static str> {
        None
    }

    fn unpack(&self, block: u64) -> io::Result<Vec<u8>> {
        let (at, bytes) = self.place(block)?;
        let packed = exact(&self.fork, at, length(bytes.min(2 * BLOCK)))?;
        let left = self.size.saturating_sub(block.saturating_mul(BLOCK));
        let room = if self.packing == Packing::Zlib { BLOCK } else { left.min(BLOCK) };
        self.packing.unpack(&packed, length(room))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fields::some;
    use super::super::super::lzfse::tests as packed;
    use super::*;
    use std::io::Write;

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn content_in_the_attribute() {
        let none = Source::Memory([].into());
        let value = [b"fpmc\x03\0\0\0\x05\0\0\0\0\0\0\0", &zlib(b"hello")[..]].concat();
        assert_eq!(content(&value, Content::inline(Vec::new()), &none).unwrap(), Content::inline(b"hello".to_vec()));
        let plain = packed::plain();
        let size = (plain.len() as u64).to_le_bytes();
        let stored = |mark: u8| [&[mark], &plain[..]].concat();
        for (kind, bytes) in [(7u8, packed::LZVN_STREAM.to_vec()), (7, stored(6)), (11, stored(0xff))] {
            let value = [&b"fpmc"[..], &[kind, 0, 0, 0], &size, &bytes].concat();
            assert_eq!(content(&value, Content::inline(Vec::new()), &none).unwrap(), Content::inline(plain.clone()));
        }
        let value = b"fpmc\x0e\0\0\0\x05\0\0\0\0\0\0\0";
        assert_eq!(content(value, Content::inline(Vec::new()), &none).unwrap_err().code, Code::Unsupported);
    }

    #[test]
    fn content_in_the_resource_fork() {
        let plain: Vec<u8> = (0..BLOCK + 10).map(|at| (at / 7) as u8).collect();
        let blocks = [zlib(&plain[..BLOCK as usize]), [&[0xff], &plain[BLOCK as usize..]].concat()];
        let mut fork = vec![0, 0, 0, 16];
        fork.resize(20, 0);
        fork.extend(2u32.to_le_bytes());
        let mut at = 20;
        for block in &blocks {
            fork.extend((at as u32).to_le_bytes());
            fork.extend((block.len() as u32).to_le_bytes());
            at += block.len();
        }
        blocks.iter().for_each(|block| fork.extend(block));
        let file = source(Source::Memory(fork.into()), plain.len() as u64, Packing::Zlib);
        assert!(some(&file, 0, plain.len()).unwrap() == plain);
    }

    #[test]
    fn blocks_of_lzvn_and_lzfse_in_the_resource_fork() {
        // One whole block as it is, then what Apple's encoder packed.
        let whole: Vec<u8> = (0..BLOCK).map(|at| (at / 7) as u8).collect();
        let cases = [
            (Packing::Lzvn, 6u8, packed::LZVN_STREAM, packed::plain()),
            (Packing::Lzfse, 0xff, packed::LZFSE_STREAM, packed::plain().repeat(40)),
        ];
        for (packing, mark, stream, end) in cases {
            let blocks = [[&[mark], &whole[..]].concat(), stream.to_vec()];
            let mut at = 12u32;
            let mut fork = at.to_le_bytes().to_vec();
            for block in &blocks {
                at += block.len() as u32;
                fork.extend(at.to_le_bytes());
            }
            fork.extend(blocks.concat());
            let plain = [whole.clone(), end].concat();
            let file = source(Source::Memory(fork.into()), plain.len() as u64, packing);
            assert!(some(&file, 0, plain.len()).unwrap() == plain, "{packing:?}");
            let more = source(Source::Memory(vec![12, 0, 0, 0].into()), plain.len() as u64, packing);
            assert!(some(&more, 0, plain.len()).is_err(), "a table without its end");
        }
    }
}
