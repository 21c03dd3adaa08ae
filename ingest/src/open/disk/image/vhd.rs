//! VHD of Virtual PC and Hyper-V: fixed, dynamic, differencing. Format: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0.

use super::super::fields::{self, byte, exact, slice, u32be, u64be};
use super::super::pieces::{Disk, Layout, Piece, Window};
use super::{Image, Opened};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use model::Code;
use std::io;

/// Dynamic and differencing disks begin with a copy of their footer.
pub const IMAGE: Image = Image { name: "vhd", recognize: |head| head.starts_with(COOKIE), open };
/// A fixed disk is the disk itself with a footer behind it.
pub const FIXED: Image = Image { name: "vhd", recognize: |_| true, open: open_fixed };

const COOKIE: &[u8] = b"conectix";
const FOOTER_BYTES: u64 = 512;
const SECTOR: u64 = 512;
const FIXED_TYPE: u32 = 2;
const DIFFERENCING: u32 = 4;

struct Vhd {
    source: Source,
    parent: Option<Source>,
    /// Whether sectors that are not here lie in a parent.
    differencing: bool,
    table: u64,
    blocks: u64,
    block: u64,
    size: u64,
}

/// Ones' complement of the sum of all bytes but the checksum itself.
fn checksum(bytes: &[u8], at: usize) -> bool {
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = slice(bytes, at, 4).iter().map(|byte| u32::from(*byte)).sum();
    !sum.wrapping_sub(own) == u32be(bytes, at)
}

fn open_fixed(source: &Source) -> Result<Option<Opened>, Trouble> {
    let none = || Trouble::new(Code::Missing, "no footer of a fixed disk");
    let end = source.size().checked_sub(FOOTER_BYTES).ok_or_else(none)?;
    let footer = exact(source, end, FOOTER_BYTES as usize).map_err(|error| Trouble::of(&error))?;
    if !footer.starts_with(COOKIE) || u32be(&footer, 60) != FIXED_TYPE {
        return Err(none());
    }
    Ok(Some(Opened { troubles: footer_troubles(&footer), ..Opened::new(Window::source(source, 0, end)) }))
}

fn footer_troubles(footer: &[u8]) -> Vec<Trouble> {
    let wrong = !checksum(footer, 64);
    wrong.then(|| Trouble::new(Code::ChecksumMismatch, "footer of the VHD")).into_iter().collect()
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let failed = |error: io::Error| Trouble::of(&error);
    let footer = exact(source, 0, FOOTER_BYTES as usize).map_err(failed)?;
    let mut troubles = footer_troubles(&footer);
    let header = exact(source, u64be(&footer, 16), 1024).map_err(failed)?;
    if !header.starts_with(b"cxsparse") {
        return Err(Trouble::new(Code::ContainerDamaged, "no header of a dynamic disk"));
    }
    if !checksum(&header, 36) {
        troubles.push(Trouble::new(Code::ChecksumMismatch, "header of the dynamic disk"));
    }
    let (blocks, block) = (u64::from(u32be(&header, 28)), u64::from(u32be(&header, 32)));
    let size = u64be(&footer, 48);
    if !(SECTOR..=1 << 30).contains(&block) || block % SECTOR != 0 || size > 1 << 60 {
        return Err(Trouble::new(Code::ContainerDamaged, format!("disk of {size} bytes in {blocks} blocks of {block}")));
    }
    let differencing = u32be(&footer, 60) == DIFFERENCING;
    let mut parent = None;
    if differencing {
        parent = find_parent(source, &header, &mut troubles);
    }
    let vhd = Vhd { source: source.clone(), parent, differencing, table: u64be(&header, 16), blocks, block, size };
    Ok(Some(Opened { troubles, ..Opened::new(Disk::source(vhd)) }))
}

/// The parent of a differencing disk, by the last part of the name that the header tells.
fn find_parent(source: &Source, header: &[u8], troubles: &mut Vec<Trouble>) -> Option<Source> {
    let units = slice(header, 64, 512).chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    let name = String::from_utf16_lossy(&units);
    let last = name.rsplit(['\\', '/']).next().unwrap_or_default();
    let parent = super::beside(source, last.as_bytes());
    let opened = parent.and_then(|parent| open_any(&parent).ok());
    if opened.is_none() {
        let shown = model::text::escape(&name);
        troubles.push(Trouble::new(Code::Missing, format!("parent {shown} is not there: what only it holds cannot be read")));
    }
    opened
}

/// A parent is dynamic, fixed or differencing itself. It has no neighbours, so a chain ends at its second link.
fn open_any(source: &Source) -> Result<Source, Trouble> {
    let opened = if exact(source, 0, 8).is_ok_and(|head| head == COOKIE) { open(source)? } else { open_fixed(source)? };
    opened.map(|opened| opened.disk).ok_or_else(|| Trouble::new(Code::Missing, "no parent"))
}

impl Vhd {
    fn below(&self, offset: u64, left: u64) -> Piece {
        match &self.parent {
            Some(parent) if offset < parent.size() => Piece::Stored(parent.clone(), offset, left.min(parent.size() - offset)),
            None if self.differencing => Piece::Bad(Damage::error(Code::Missing, "lies in the parent of the VHD")),
            _ => Piece::Zero(left),
        }
    }
}

impl Layout for Vhd {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let (index, within) = (offset / self.block, offset % self.block);
        let left = self.block - within;
        if index >= self.blocks {
            return Err(fields::damaged(&format!("block {index} is not in the table")));
        }
        let entry = u32be(&exact(&self.source, self.table.saturating_add(index * 4), 4)?, 0);
        if entry == u32::MAX {
            return Ok(self.below(offset, left));
        }
        let start = u64::from(entry) * SECTOR;
        let bitmap = (self.block / SECTOR).div_ceil(8).next_multiple_of(SECTOR);
        let at = start + bitmap + within;
        if !self.differencing {
            return Ok(Piece::Stored(self.source.clone(), at, left));
        }
        let sector = within / SECTOR;
        let bits = exact(&self.source, start + sector / 8, 1)?;
        let left = SECTOR - within % SECTOR;
        let here = byte(&bits, 0) & (0x80 >> (sector % 8)) != 0;
        Ok(if here { Piece::Stored(self.source.clone(), at, left) } else { self.below(offset, left) })
    }
}

/// Whether a file ends with the footer of a fixed disk.
pub fn is_fixed(source: &Source) -> bool {
    let Some(end) = source.size().checked_sub(FOOTER_BYTES) else { return false };
    exact(source, end, 64).is_ok_and(|footer| footer.starts_with(COOKIE) && u32be(&footer, 60) == FIXED_TYPE)
}
