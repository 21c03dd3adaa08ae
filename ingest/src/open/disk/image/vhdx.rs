//! VHDX of Hyper-V. Format: Microsoft, [MS-VHDX] 8.0. A pending log is told, not replayed.

use super::super::fields::{self, exact, slice, u16le, u32le, u64le};
use super::super::pieces::{Disk, Layout, Piece};
use super::{Image, Opened};
use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;
use std::io;

/// This format's line.
pub const IMAGE: Image = Image { name: "vhdx", recognize: |head| head.starts_with(b"vhdxfile"), open };

/// Where headers and region tables lie: each twice.
const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
const REGIONS: [u64; 2] = [192 << 10, 256 << 10];
/// GUIDs as they are stored.
const BAT: [u8; 16] = *b"\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08";
const METADATA: [u8; 16] = *b"\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e";
const PARAMETERS: [u8; 16] = *b"\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b";
const DISK_SIZE: [u8; 16] = *b"\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8";
const SECTOR_SIZE: [u8; 16] = *b"\x1d\xbf\x41\x81\x6f\xa9\x09\x47\xba\x47\xf2\x33\xa8\xfa\xab\x5f";
/// States of a block (MS-VHDX 2.5.1.1).
const FULLY_PRESENT: u64 = 6;
const PARTIALLY_PRESENT: u64 = 7;

struct Vhdx {
    source: Source,
    bat: u64,
    entries: u64,
    block: u64,
    /// Blocks between two entries for bitmaps of sectors.
    ratio: u64,
    size: u64,
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let failed = |error: io::Error| Trouble::of(&error);
    let mut troubles = Vec::new();
    let header =
        newest_header(source).ok_or_else(|| Trouble::new(Code::ContainerDamaged, "neither header of the VHDX is whole"))?;
    if slice(&header, 48, 16).iter().any(|byte| *byte != 0) {
        let detail = "the VHDX has a log that was never replayed: what it holds is not read";
        troubles.push(Trouble::new(Code::Unsupported, detail));
    }
    let (bat, metadata) = regions(source)?;
    let table = exact(source, metadata.0, 64 << 10).map_err(failed)?;
    if !table.starts_with(b"metadata") {
        return Err(Trouble::new(Code::ContainerDamaged, "no metadata table"));
    }
    let item = |guid: &[u8; 16], length: usize| -> Result<Vec<u8>, Trouble> {
        let entries = (0..usize::from(u16le(&table, 10)).min(2047)).map(|at| slice(&table, 32 + at * 32, 32));
        let entry = entries.into_iter().find(|entry| entry.starts_with(guid));
        let entry = entry.ok_or_else(|| Trouble::new(Code::ContainerDamaged, "metadata of the VHDX is incomplete"))?;
        exact(source, metadata.0.saturating_add(u64::from(u32le(entry, 16))), length).map_err(failed)
    };
    let parameters = item(&PARAMETERS, 8)?;
    let (block, size) = (u64::from(u32le(&parameters, 0)), u64le(&item(&DISK_SIZE, 8)?, 0));
    let sector = u64::from(u32le(&item(&SECTOR_SIZE, 4)?, 0));
    if u32le(&parameters, 4) & 2 != 0 {
        return Err(Trouble::new(Code::Unsupported, "a differencing VHDX: needs its parent"));
    }
    if !(1 << 20..=256 << 20).contains(&block) || !block.is_power_of_two() || ![512, 4096].contains(&sector) || size > 64 << 40 {
        return Err(Trouble::new(Code::ContainerDamaged, format!("disk of {size} bytes in blocks of {block}")));
    }
    let ratio = (sector << 23) / block;
    let vhdx = Vhdx { source: source.clone(), bat: bat.0, entries: bat.1 / 8, block, ratio, size };
    Ok(Some(Opened { troubles, ..Opened::new(Disk::source(vhdx)) }))
}

/// CRC-32C (Castagnoli), bit by bit: it is asked for a few kilobytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// A structure whose checksum, at byte 4, holds.
fn whole(source: &Source, at: u64, length: usize, signature: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = exact(source, at, length).ok().filter(|bytes| bytes.starts_with(signature))?;
    let told = u32le(&bytes, 4);
    bytes[4..8].fill(0);
    (crc32c(&bytes) == told).then_some(bytes)
}

fn newest_header(source: &Source) -> Option<Vec<u8>> {
    let headers = HEADERS.iter().filter_map(|at| whole(source, *at, 4096, b"head"));
    headers.max_by_key(|header| u64le(header, 8))
}

/// Offset and length of the block table and of the metadata.
fn regions(source: &Source) -> Result<((u64, u64), (u64, u64)), Trouble> {
    let broken = || Trouble::new(Code::ContainerDamaged, "neither region table of the VHDX is whole");
    let table = REGIONS.iter().find_map(|at| whole(source, *at, 64 << 10, b"regi")).ok_or_else(broken)?;
    let find = |guid: &[u8; 16]| {
        let entries = (0..(u32le(&table, 8) as usize).min(2047)).map(|at| slice(&table, 16 + at * 32, 32));
        entries.into_iter().find(|entry| entry.starts_with(guid)).map(|entry| (u64le(entry, 16), u64::from(u32le(entry, 24))))
    };
    find(&BAT).zip(find(&METADATA)).ok_or_else(broken)
}

impl Layout for Vhdx {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let (index, within) = (offset / self.block, offset % self.block);
        let left = self.block - within;
        let entry = index + index / self.ratio;
        if entry >= self.entries {
            return Err(fields::damaged(&format!("block {index} is not in the table")));
        }
        let entry = u64le(&exact(&self.source, self.bat.saturating_add(entry * 8), 8)?, 0);
        let at = (entry >> 20) << 20;
        match entry & 7 {
            FULLY_PRESENT => Ok(Piece::Stored(self.source.clone(), at.saturating_add(within), left)),
            PARTIALLY_PRESENT => Err(fields::damaged(&format!("block {index} is partly in a parent"))),
            _ => Ok(Piece::Zero(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn castagnoli() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
