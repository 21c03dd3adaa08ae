//! Android sparse images (`fastboot`, factory images, `super.img`): chunks of blocks as they are, of four bytes repeated, or left out.
//! Format: AOSP, `system/core/libsparse/sparse_format.h`. The checksum over the whole, where one is told, is that of few tools and is not held
//! against it.

use super::super::fields::{damaged, exact, length, u16le, u32le};
use super::super::pieces::{Disk, Layout, Piece};
use super::{Image, Opened};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use model::Code;
use std::io;

/// This format's line.
pub const IMAGE: Image = Image { name: "Android sparse", recognize: |head| u32le(head, 0) == MAGIC && u16le(head, 4) == 1, open };

const MAGIC: u32 = 0xed26_ff3a;
/// Bytes of the file's header and of a chunk's, at least.
const HEADER_BYTES: u16 = 28;
const CHUNK_BYTES: u16 = 12;
/// Kinds of chunks.
const RAW: u16 = 0xcac1;
const FILL: u16 = 0xcac2;
const SKIP: u16 = 0xcac3;
const CHECKSUM: u16 = 0xcac4;
/// Chunks that are believed: 32 bytes of memory each.
const CHUNKS_MAX: u32 = 4 << 20;

/// Where a chunk's bytes lie in the image.
#[derive(Clone, Copy)]
enum Lies {
    At(u64),
    Filled(u64),
    Nowhere,
}

struct Chunk {
    /// First byte on the disk, and one past its last.
    start: u64,
    end: u64,
    lies: Lies,
}

struct Sparse {
    source: Source,
    chunks: Vec<Chunk>,
    block: u64,
    size: u64,
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let header = exact(source, 0, usize::from(HEADER_BYTES)).map_err(|error| Trouble::of(&error))?;
    let (header_bytes, chunk_bytes) = (u16le(&header, 8), u16le(&header, 10));
    let (block, blocks, count) = (u32le(&header, 12), u32le(&header, 16), u32le(&header, 20));
    if header_bytes < HEADER_BYTES || chunk_bytes < CHUNK_BYTES || block < 1024 || block % 4 != 0 || block > 1 << 24 {
        let detail = format!("sparse image with blocks of {block} bytes, headers of {header_bytes} and {chunk_bytes}");
        return Err(Trouble::new(Code::ContainerDamaged, detail));
    }
    let size = u64::from(block) * u64::from(blocks);
    let mut sparse = Sparse { source: source.clone(), chunks: Vec::new(), block: block.into(), size };
    let read = sparse.read(header_bytes.into(), chunk_bytes.into(), count);
    let mut opened = Opened::new(Disk::source(sparse));
    opened.troubles.extend(read.err().map(|error| Trouble::of(&error)));
    Ok(Some(opened))
}

impl Sparse {
    /// Reads the list of chunks; what is behind one that cannot be read is lost.
    fn read(&mut self, mut at: u64, header: u64, count: u32) -> io::Result<()> {
        let mut start = 0u64;
        for number in 0..count.min(CHUNKS_MAX) {
            let lost = |what: &str| format!("{what} chunk {number} of {count}: bytes {start} to {} are lost", self.size);
            let chunk = exact(&self.source, at, usize::from(CHUNK_BYTES))
                .map_err(|_| Damage::error(Code::Truncated, &lost("the image ends before")))?;
            let (kind, blocks, bytes) = (u16le(&chunk, 0), u64::from(u32le(&chunk, 4)), u64::from(u32le(&chunk, 8)));
            let (body, covers) = (at.saturating_add(header), blocks * self.block);
            let (lies, stored) = match kind {
                RAW => (Some(Lies::At(body)), covers),
                FILL => (Some(Lies::Filled(body)), 4),
                SKIP => (Some(Lies::Nowhere), 0),
                CHECKSUM => (None, 4),
                _ => return Err(damaged(&lost("no kind is that of"))),
            };
            if bytes != header.saturating_add(stored) || covers > self.size - start {
                return Err(damaged(&lost("sizes do not agree in")));
            }
            if let Some(lies) = lies {
                self.chunks.push(Chunk { start, end: start + covers, lies });
                start += covers;
            }
            at = at.saturating_add(bytes);
        }
        match start == self.size && count <= CHUNKS_MAX {
            true => Ok(()),
            false => Err(damaged(&format!("its {count} chunks cover {start} of {} bytes: the rest is lost", self.size))),
        }
    }

    /// The chunk that a byte of the disk lies in, and its number.
    fn chunk(&self, offset: u64) -> Option<(usize, &Chunk)> {
        // Chunks without blocks are passed by.
        let at = self.chunks.partition_point(|chunk| chunk.end <= offset);
        self.chunks.get(at).map(|chunk| (at, chunk))
    }
}

impl Layout for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let Some((at, chunk)) = self.chunk(offset) else {
            return Ok(Piece::Bad(Damage::error(Code::Truncated, &format!("no chunk holds byte {offset}"))));
        };
        let (within, left) = (offset - chunk.start, chunk.end - offset);
        Ok(match chunk.lies {
            Lies::At(body) => Piece::Stored(self.source.clone(), body.saturating_add(within), left),
            Lies::Nowhere => Piece::Zero(left),
            Lies::Filled(_) => {
                let within = within % self.block;
                Piece::Packed(at as u64, within, left.min(self.block - within))
            }
        })
    }

    fn unpack(&self, key: u64) -> io::Result<Vec<u8>> {
        let Some(Lies::Filled(body)) = self.chunks.get(length(key)).map(|chunk| chunk.lies) else {
            return Err(damaged("no such chunk"));
        };
        Ok(exact(&self.source, body, 4)?.repeat(length(self.block / 4)))
    }

    fn packed(&self, key: u64) -> Option<(Source, u64, u64)> {
        match self.chunks.get(length(key))?.lies {
            Lies::Filled(body) => Some((self.source.clone(), body, 4)),
            _ => None,
        }
    }

    fn unpacked_bytes(&self) -> usize {
        length(self.block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::disk::fields::some;

    fn image(chunks: &[(u16, u32, &[u8])], blocks: u32) -> Source {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend([1u16, 0, HEADER_BYTES, CHUNK_BYTES].iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend([1024, blocks, chunks.len() as u32, 0].iter().flat_map(|number: &u32| number.to_le_bytes()));
        for (kind, blocks, body) in chunks {
            bytes.extend([*kind, 0].iter().flat_map(|number| number.to_le_bytes()));
            bytes.extend([*blocks, 12 + body.len() as u32].iter().flat_map(|number| number.to_le_bytes()));
            bytes.extend_from_slice(body);
        }
        Source::Memory(bytes.into())
    }

    #[test]
    fn chunks_of_every_kind() {
        let raw = [7; 2048];
        let chunks: &[(u16, u32, &[u8])] = &[(RAW, 2, &raw), (FILL, 2, b"abcd"), (CHECKSUM, 0, b"1234"), (SKIP, 1, b"")];
        let opened = open(&image(chunks, 5)).unwrap().unwrap();
        assert_eq!(opened.troubles, []);
        let bytes = some(&opened.disk, 0, 9999).unwrap();
        assert_eq!(bytes, [&raw[..], &b"abcd".repeat(512), &[0; 1024]].concat());
        assert_eq!(some(&opened.disk, 2047, 6).unwrap(), b"\x07abcda");
    }

    #[test]
    fn what_chunks_do_not_cover_is_lost_and_told() {
        let opened = open(&image(&[(RAW, 1, &[7; 1024])], 3)).unwrap().unwrap();
        assert_eq!(opened.troubles[0].detail, "its 1 chunks cover 1024 of 3072 bytes: the rest is lost");
        for chunks in [&[(RAW, 9, &[7; 1024][..])][..], &[(RAW, 1, &[7; 9])], &[(1, 1, b"")]] {
            let opened = open(&image(chunks, 3)).unwrap().unwrap();
            assert_eq!(opened.troubles[0].code, Code::ContainerDamaged);
            assert!(some(&opened.disk, 0, 1).is_err());
        }
    }
}
