//! VDI of VirtualBox, version 1.1. Format: VirtualBox, Storage/VDICore.h, and forum text "VDI file structure".

use super::super::fields::{exact, u32le, u64le};
use super::super::pieces::{Disk, Layout, Piece};
use super::{Image, Opened};
use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;
use std::io;

/// This format's line.
pub const IMAGE: Image = Image { name: "vdi", recognize: |head| u32le(head, 0x40) == 0xbeda_107f, open };

/// Entries of the block map from here on have no block: never written, or zero.
const NO_BLOCK: u32 = 0xffff_fffe;
/// Type of an image whose missing blocks lie in a parent.
const DIFFERENCING: u32 = 4;

struct Vdi {
    source: Source,
    map: u64,
    data: u64,
    block: u64,
    blocks: u64,
    size: u64,
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let header = exact(source, 0, 0x190).map_err(|error| Trouble::of(&error))?;
    let (block, size) = (u64::from(u32le(&header, 0x178)), u64le(&header, 0x170));
    if u32le(&header, 0x44) >> 16 != 1 || u32le(&header, 0x4c) == DIFFERENCING {
        let detail = format!("VDI version {:#x}, type {}", u32le(&header, 0x44), u32le(&header, 0x4c));
        return Err(Trouble::new(Code::Unsupported, detail));
    }
    let blocks = u64::from(u32le(&header, 0x180));
    if !(4096..=1 << 30).contains(&block) || size > 1 << 60 || blocks.saturating_mul(block) < size {
        return Err(Trouble::new(Code::ContainerDamaged, format!("disk of {size} bytes in {blocks} blocks of {block}")));
    }
    let (map, data) = (u64::from(u32le(&header, 0x154)), u64::from(u32le(&header, 0x158)));
    Ok(Some(Opened::new(Disk::source(Vdi { source: source.clone(), map, data, block, blocks, size }))))
}

impl Layout for Vdi {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let (index, within) = (offset / self.block, offset % self.block);
        if index >= self.blocks {
            return Ok(Piece::Zero(self.size - offset));
        }
        let entry = u32le(&exact(&self.source, self.map.saturating_add(index * 4), 4)?, 0);
        if entry >= NO_BLOCK {
            return Ok(Piece::Zero(self.block - within));
        }
        let at = self.data.saturating_add(u64::from(entry) * self.block).saturating_add(within);
        Ok(Piece::Stored(self.source.clone(), at, self.block - within))
    }
}
