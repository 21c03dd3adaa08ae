//! Where the packed pieces of a file on EROFS lie. A file is cut into logical clusters; the index says for each whether a piece begins in it, and
//! at which byte. Format: Linux, `fs/erofs/erofs_fs.h` and `zmap.c`.

use super::super::fields::{byte, damaged, exact, length, slice, u16le, u32le};
use super::super::pieces::{Disk, Layout, Piece};
use crate::evidence::Source;
use crate::open::Damage;
use model::Code;
use std::io;
use std::sync::Arc;

/// Bytes of the header of an index, and of what stands behind it in a full one.
const HEADER: u64 = 8;
/// In its advice: entries of two bytes, pieces of several blocks, a packed tail beside the index, pieces that begin within their block, fragments.
const SHORT: u16 = 1;
const LARGE: u16 = 2 | 4;
const INLINE_TAIL: u16 = 8;
const INTERLACED: u16 = 0x10;
const FRAGMENTS: u16 = 0x20;
/// Kinds of clusters: one with plain data, one in which a piece begins, one in which none does.
const PLAIN: u8 = 0;
const HEAD: u8 = 1;
const NONE: u8 = 2;
/// In the distance of a cluster without a piece: it tells of how many blocks the piece has.
const BLOCKS: u32 = 1 << 11;
/// Most clusters of a file: a terabyte of memory pages.
const CLUSTERS_MAX: u64 = 1 << 26;
/// Most bytes that one piece unpacks to.
const PIECE_BYTES_MAX: u64 = 16 << 20;

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// First byte in the file, and how many.
    pub start: u64,
    pub bytes: u64,
    /// First byte on the volume, and how many.
    pub at: u64,
    pub stored: u64,
    /// Whether it is packed.
    pub packed: bool,
}

/// What the index tells of one cluster.
#[derive(Clone, Copy)]
struct Cluster {
    kind: u8,
    /// Where in it a piece begins.
    within: u64,
    /// Its block; of a cluster without a piece, of how many blocks the piece before has, where that is told.
    block: u32,
}

fn unsupported(what: &str) -> io::Error {
    Damage::error(Code::Unsupported, &format!("a file of EROFS with {what}"))
}

/// The pieces of a file of that size whose inode ends at a byte.
pub fn read(volume: &Source, end: u64, size: u64, block: u64, compact: bool, padded: bool) -> io::Result<Vec<Extent>> {
    let at = end.next_multiple_of(8);
    let header = exact(volume, at, length(HEADER))?;
    let (advice, algorithms, bits) = (u16le(&header, 4), byte(&header, 6), byte(&header, 7));
    if bits & 0x80 != 0 || advice & (FRAGMENTS | INLINE_TAIL | INTERLACED) != 0 {
        return Err(unsupported("fragments, or its tail packed beside its index"));
    }
    if algorithms & 0xf != 0 || !padded {
        return Err(unsupported(
            ["LZ4 of before 2020", "LZMA", "DEFLATE", "Zstandard"]
                .get(usize::from(algorithms & 0xf))
                .unwrap_or(&"an unknown packing"),
        ));
    }
    let cluster = block.checked_shl(u32::from(bits & 7)).unwrap_or(block);
    let count = size.div_ceil(cluster);
    if count > CLUSTERS_MAX {
        return Err(damaged("more clusters than a file has"));
    }
    let clusters =
        if compact { compacted(volume, at + HEADER, count, cluster, advice)? } else { full(volume, at + 2 * HEADER, count)? };
    extents(&clusters, size, block, cluster)
}

/// A full index: eight bytes a cluster.
fn full(volume: &Source, at: u64, count: u64) -> io::Result<Vec<Cluster>> {
    let bytes = exact(volume, at, length(count * 8))?;
    let cluster = |entry: &[u8]| {
        let kind = u16le(entry, 0) as u8 & 3;
        let told = u32::from(u16le(entry, 4));
        let block = match kind {
            NONE if told & BLOCKS != 0 => told & !BLOCKS,
            NONE => 0,
            _ => u32le(entry, 4),
        };
        Cluster { kind, within: u16le(entry, 2).into(), block }
    };
    Ok(bytes.chunks_exact(8).map(cluster).collect())
}

/// A compact index: packs of two entries in eight bytes up to a multiple of 32, then packs of 16 in 32 bytes where advised, then of two
/// again. Each pack ends with the block of the piece before it.
fn compacted(volume: &Source, base: u64, count: u64, cluster: u64, advice: u16) -> io::Result<Vec<Cluster>> {
    let initial = ((32 - base % 32) / 4 % 8).min(count);
    let short = if advice & SHORT != 0 { (count - initial) / 16 * 16 } else { 0 };
    if short > 0 && cluster != 4096 {
        return Err(damaged("an index of two bytes a cluster, with clusters of another size than 4096"));
    }
    let mut clusters = Vec::new();
    let mut at = base;
    for (entries, each, bytes) in [(initial, 2, 8u64), (short, 16, 32), (count - initial - short, 2, 8)] {
        let packs = entries.div_ceil(each);
        let all = exact(volume, at, length(packs * bytes))?;
        for (pack, number) in all.chunks_exact(length(bytes)).zip(0..) {
            let left = (entries - number * each).min(each);
            pack_of(pack, length(each), cluster, advice & LARGE != 0, &mut clusters, length(left))?;
        }
        at = at.saturating_add(packs * bytes);
    }
    Ok(clusters)
}

/// The clusters of a pack, as far as the file goes. The block of each piece is that of the pack's end plus the blocks of the pieces before it
/// in the pack: a piece that began before the pack counts where the number of its blocks is told in it.
fn pack_of(pack: &[u8], each: usize, cluster: u64, large: bool, clusters: &mut Vec<Cluster>, left: usize) -> io::Result<()> {
    let low = cluster.trailing_zeros().max(12);
    let bits = (pack.len() - 4) * 8 / each;
    let (base, mut before) = (u32le(pack, pack.len() - 4), u32::from(!large));
    // Whether the piece that began last has told its blocks, or has one.
    let mut counted = true;
    for at in 0..left {
        let value = u32le(slice(pack, bits * at / 8, 4), 0) >> (bits * at % 8);
        let (told, kind) = (value & ((1 << low) - 1), (value >> low & 3) as u8);
        let blocks = if kind == NONE && large && told & BLOCKS != 0 { told & !BLOCKS } else { 0 };
        if kind == NONE {
            // It takes the place of the one block that was counted when the piece began, if that was here.
            before = before.saturating_add(blocks).saturating_sub(u32::from(blocks > 0 && !counted));
            counted |= blocks > 0;
            clusters.push(Cluster { kind, within: 0, block: blocks });
        } else {
            let block = base.checked_add(before).ok_or_else(|| damaged("a block beyond the volume"))?;
            clusters.push(Cluster { kind, within: told.into(), block });
            before = before.saturating_add(1);
            counted = false;
        }
    }
    Ok(())
}

/// The pieces that clusters tell of.
fn extents(clusters: &[Cluster], size: u64, block: u64, cluster: u64) -> io::Result<Vec<Extent>> {
    let mut extents: Vec<Extent> = Vec::new();
    for (number, found) in (0u64..).zip(clusters) {
        match found.kind {
            NONE => {
                if let Some(last) = extents.last_mut().filter(|_| found.block > 1) {
                    last.stored = u64::from(found.block) * block;
                }
            }
            PLAIN | HEAD => {
                let start = number * cluster + found.within;
                if found.within >= cluster || start > size || extents.last().is_some_and(|last| last.start >= start) {
                    return Err(damaged("pieces of a file are out of order"));
                }
                // The end of the file can stand as a piece without bytes.
                if start == size {
                    continue;
                }
                if let Some(last) = extents.last_mut() {
                    last.bytes = start - last.start;
                }
                let at = u64::from(found.block).saturating_mul(block);
                extents.push(Extent { start, bytes: size - start, at, stored: block, packed: found.kind == HEAD });
            }
            _ => return Err(unsupported("two kinds of packing")),
        }
    }
    let whole = extents.first().is_some_and(|first| first.start == 0);
    let fits = |extent: &Extent| if extent.packed { extent.bytes <= PIECE_BYTES_MAX } else { extent.bytes <= extent.stored };
    if !whole || !extents.iter().all(fits) {
        return Err(damaged("pieces of a file do not cover it"));
    }
    Ok(extents)
}

struct Packed {
    volume: Source,
    extents: Arc<[Extent]>,
    size: u64,
}

/// The content of a file in pieces.
pub fn source(volume: &Source, extents: Arc<[Extent]>, size: u64) -> Source {
    Disk::source(Packed { volume: volume.clone(), extents, size })
}

impl Packed {
    fn extent(&self, key: u64) -> io::Result<Extent> {
        self.extents.get(length(key)).copied().ok_or_else(|| damaged("no such piece"))
    }
}

impl Layout for Packed {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let key = self.extents.partition_point(|extent| extent.start <= offset).saturating_sub(1) as u64;
        let extent = self.extent(key)?;
        let (within, left) = (offset - extent.start, extent.bytes.saturating_sub(offset - extent.start));
        Ok(match extent.packed {
            true => Piece::Packed(key, within, left),
            false => Piece::Stored(self.volume.clone(), extent.at.saturating_add(within), left),
        })
    }

    fn unpack(&self, key: u64) -> io::Result<Vec<u8>> {
        let extent = self.extent(key)?;
        let stored = exact(&self.volume, extent.at, length(extent.stored))?;
        // Zeros stand before packed data, which never begin with one.
        let begins = stored.iter().position(|byte| *byte != 0).unwrap_or(stored.len());
        let mut data = vec![0; length(extent.bytes)];
        let unpacked = lz4_flex::block::decompress_into(slice(&stored, begins, stored.len()), &mut data);
        match unpacked {
            Ok(bytes) if bytes == data.len() => Ok(data),
            Ok(bytes) => Err(damaged(&format!("a piece of {} bytes unpacks to {bytes}", data.len()))),
            Err(error) => Err(damaged(&format!("a piece at byte {}: {error}", extent.at))),
        }
    }

    fn packed(&self, key: u64) -> Option<(Source, u64, u64)> {
        let extent = self.extents.get(length(key))?;
        Some((self.volume.clone(), extent.at, extent.stored))
    }

    fn label(&self) -> Option<&'static str> {
        None
    }

    fn unpacked_bytes(&self) -> usize {
        self.extents.iter().filter(|extent| extent.packed).map(|extent| length(extent.bytes)).max().unwrap_or(0)
    }
}
