//! Packed files of macOS (`decmpfs`), on HFS+ and on APFS. Format: libfsapfs documentation. zlib is read; LZVN and LZFSE are not.

use super::super::fields::{byte, damaged, exact, inflate, length, slice, u32be, u32le, u64le};
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
const INLINE_ZLIB: u32 = 3;
const FORK_ZLIB: u32 = 4;

/// The content that the attribute `com.apple.decmpfs` tells of.
pub fn content(value: &[u8], fork: Content, _volume: &Source) -> Result<Content, Trouble> {
    let (kind, size) = (u32le(value, 4), u64le(value, 8));
    if !value.starts_with(b"fpmc") {
        return Err(Trouble::of(&damaged("an attribute of packed content is none")));
    }
    let packed = slice(value, 16, value.len());
    match kind {
        1 => Ok(Content::inline(packed.to_vec())),
        INLINE_ZLIB if size <= 16 << 20 => match byte(packed, 0) & 15 {
            15 => Ok(Content::inline(slice(packed, 1, packed.len()).to_vec())),
            _ => inflate(packed, length(size)).map(Content::inline).map_err(|error| Trouble::of(&error)),
        },
        FORK_ZLIB => Ok(Content { size, valid: size, coding: Coding::Decmpfs(fork.size), ..fork }),
        7 | 8 => Err(Trouble::new(Code::Unsupported, "packed with LZVN")),
        11 | 12 => Err(Trouble::new(Code::Unsupported, "packed with LZFSE")),
        _ => Err(Trouble::new(Code::Unsupported, format!("packed in the way {kind}"))),
    }
}

struct Packed {
    fork: Source,
    size: u64,
}

/// A packed file as bytes read by position: `fork` is its resource fork.
pub fn source(fork: Source, size: u64) -> Source {
    Disk::source(Packed { fork, size })
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
        // A resource fork: where its data begin, how long they are (big endian), then a table of blocks (little endian).
        let data = u64::from(u32be(&exact(&self.fork, 0, 4)?, 0)).saturating_add(4);
        let count = u64::from(u32le(&exact(&self.fork, data, 4)?, 0));
        if block >= count {
            return Err(damaged(&format!("block {block} of {count} of a packed file")));
        }
        let entry = exact(&self.fork, data.saturating_add(4 + block * 8), 8)?;
        let (at, bytes) = (data.saturating_add(u64::from(u32le(&entry, 0))), u64::from(u32le(&entry, 4)).min(2 * BLOCK));
        let packed = exact(&self.fork, at, length(bytes))?;
        match byte(&packed, 0) & 15 {
            15 => Ok(slice(&packed, 1, packed.len()).to_vec()),
            _ => inflate(&packed, BLOCK as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fields::some;
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
        let value = b"fpmc\x08\0\0\0\x05\0\0\0\0\0\0\0";
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
        let file = source(Source::Memory(fork.into()), plain.len() as u64);
        assert!(some(&file, 0, plain.len()).unwrap() == plain);
    }
}
