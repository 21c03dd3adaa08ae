//! ext2, ext3, ext4. Format: the kernel's Documentation/filesystems/ext4. The journal is not replayed.
//!
//! **Deleted entries.** A name that is deleted stays behind the entry before it until something else is written there. ext2 keeps what
//! the inode pointed to; ext3 and ext4 clear it, so that only the name and the times are left.

use super::super::fields::{byte, exact, length, slice, u16le, u32le};
use super::super::sink::{Found, Sink};
use super::super::stream::{Content, Run};
use super::ext_directory::{self, Name};
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::Trouble;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use std::collections::HashSet;
use std::io;

/// This kind's line.
pub const KIND: Kind = Kind { name: "ext", recognize, open };

const SUPERBLOCK: usize = 1024;
const ROOT: u32 = 2;
/// Features that change how a volume is read (`s_feature_incompat`).
const META_BG: u32 = 0x10;
const WIDE: u32 = 0x80;
const JOURNAL_DEVICE: u32 = 8;
/// Flags of an inode.
const COMPRESSED: u32 = 0x4;
const ENCRYPTED: u32 = 0x800;
const EXTENTS: u32 = 0x8_0000;
const INLINE: u32 = 0x1000_0000;
/// Largest folder that is listed, and blocks of a file that are followed.
const DIRECTORY_BYTES_MAX: u64 = 1 << 30;
/// Deepest tree of extents (the format's limit), and most runs of one file.
const DEPTH_MAX: u16 = 5;
const RUNS_MAX: usize = 4 << 20;

fn recognize(head: &[u8]) -> bool {
    let own = slice(head, SUPERBLOCK, 1024);
    u16le(own, 56) == 0xef53
        && u32le(own, 24) <= 6
        && u32le(own, 76) <= 1
        && u32le(own, 0) > 0
        && u32le(own, 40) > 0
        && u32le(own, 32) > 0
}

pub(super) struct Ext {
    volume: Source,
    block: u64,
    inode_bytes: u64,
    inodes: u32,
    inodes_per_group: u32,
    blocks_per_group: u64,
    first_block: u64,
    descriptor_bytes: u64,
    meta_group: Option<u64>,
    wide: bool,
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let own = exact(volume, SUPERBLOCK as u64, 1024).map_err(|error| Trouble::of(&error))?;
    let features = u32le(&own, 96);
    if features & JOURNAL_DEVICE != 0 {
        return Err(Trouble::new(Code::Unsupported, "the journal of another volume"));
    }
    let dynamic = u32le(&own, 76) >= 1;
    let inode_bytes = if dynamic { u64::from(u16le(&own, 88)) } else { 128 };
    let told = u64::from(u16le(&own, 254));
    let wide = features & WIDE != 0 && told >= 64;
    if !(128..=4096).contains(&inode_bytes) {
        return Err(Trouble::new(Code::ContainerDamaged, format!("inodes of {inode_bytes} bytes")));
    }
    Ok(Box::new(Ext {
        volume: volume.clone(),
        block: 1024 << u32le(&own, 24),
        inode_bytes,
        inodes: u32le(&own, 0),
        inodes_per_group: u32le(&own, 40),
        blocks_per_group: u64::from(u32le(&own, 32)),
        first_block: u64::from(u32le(&own, 20)),
        descriptor_bytes: if wide { told } else { 32 },
        meta_group: (features & META_BG != 0).then(|| u64::from(u32le(&own, 260))),
        wide,
    }))
}

/// An inode as it is stored.
pub(super) struct Inode(Vec<u8>);

impl Inode {
    fn mode(&self) -> u16 {
        u16le(&self.0, 0)
    }

    /// Kind by mode; `None` for a folder.
    fn kind(&self) -> Option<FileKind> {
        match self.mode() >> 12 {
            4 => None,
            10 => Some(FileKind::Symlink),
            1 => Some(FileKind::Fifo),
            12 => Some(FileKind::Socket),
            2 => Some(FileKind::CharDevice),
            6 => Some(FileKind::BlockDevice),
            _ => Some(FileKind::File),
        }
    }

    fn size(&self) -> u64 {
        // The upper half means something else in folders of old volumes, where it is 0.
        u64::from(u32le(&self.0, 4)) | u64::from(u32le(&self.0, 108)) << 32
    }

    fn flags(&self) -> u32 {
        u32le(&self.0, 32)
    }

    fn links(&self) -> u16 {
        u16le(&self.0, 26)
    }

    fn deleted_time(&self) -> u32 {
        u32le(&self.0, 20)
    }

    /// Bytes behind the first 128 that are in use.
    fn extra(&self) -> usize {
        if self.0.len() > 128 { usize::from(u16le(&self.0, 128)) } else { 0 }
    }

    fn time(&self, at: usize, extra: usize) -> Option<FileTime> {
        let low = i64::from(u32le(&self.0, at).cast_signed());
        let more = if self.extra() + 128 >= extra + 4 { u32le(&self.0, extra) } else { 0 };
        (low != 0 || more != 0)
            .then_some(FileTime { seconds: low + (i64::from(more & 3) << 32), nanos: (more >> 2).min(999_999_999) })
    }

    fn times(&self) -> FileTimes {
        let born = self.extra() >= 24;
        FileTimes {
            modified: self.time(16, 136),
            accessed: self.time(8, 140),
            changed: self.time(12, 132),
            created: self.time(144, 148).filter(|_| born),
            local: false,
        }
    }

    fn owner(&self) -> (u32, u32) {
        let id = |low: usize, high: usize| u32::from(u16le(&self.0, low)) | u32::from(u16le(&self.0, high)) << 16;
        (id(2, 120), id(24, 122))
    }
}

impl Ext {
    fn groups(&self) -> u32 {
        self.inodes.div_ceil(self.inodes_per_group)
    }

    /// The descriptor of a group.
    fn descriptor(&self, group: u32) -> io::Result<Vec<u8>> {
        let (group, size) = (u64::from(group), self.descriptor_bytes);
        let per_block = self.block / size;
        let meta = group / per_block;
        let at = match self.meta_group {
            // Descriptors of a meta group lie in its own first group, behind the superblock if that has one.
            Some(first) if meta >= first => {
                let start = meta * per_block * self.blocks_per_group + self.first_block;
                let shift = u64::from(has_superblock(meta * per_block));
                start.saturating_add(shift).saturating_mul(self.block).saturating_add(group % per_block * size)
            }
            _ => (self.first_block + 1) * self.block + group * size,
        };
        exact(&self.volume, at, length(size))
    }

    /// A block number of a descriptor: its upper half lies far behind.
    fn block_of(&self, descriptor: &[u8], at: usize) -> u64 {
        let high = if self.wide { u64::from(u32le(descriptor, at + 32)) } else { 0 };
        u64::from(u32le(descriptor, at)) | high << 32
    }

    pub(super) fn inode(&self, number: u32) -> io::Result<Inode> {
        if number == 0 || number > self.inodes {
            return Err(super::super::fields::damaged(&format!("inode {number} does not exist")));
        }
        let (group, index) = ((number - 1) / self.inodes_per_group, (number - 1) % self.inodes_per_group);
        let table = self.block_of(&self.descriptor(group)?, 8);
        let at = table.saturating_mul(self.block).saturating_add(u64::from(index) * self.inode_bytes);
        exact(&self.volume, at, length(self.inode_bytes)).map(Inode)
    }

    /// Whether a block is in use.
    fn in_use(&self, block: u64) -> io::Result<bool> {
        let Some(from) = block.checked_sub(self.first_block) else { return Ok(true) };
        let group = u32::try_from(from / self.blocks_per_group).unwrap_or(u32::MAX);
        if group >= self.groups() {
            return Ok(true);
        }
        let descriptor = self.descriptor(group)?;
        // A group whose bitmap was never written holds nothing but tables (BLOCK_UNINIT).
        if u16le(&descriptor, 18) & 2 != 0 {
            return Ok(false);
        }
        let bit = from % self.blocks_per_group;
        let at = self.block_of(&descriptor, 0).saturating_mul(self.block).saturating_add(bit / 8);
        Ok(byte(&exact(&self.volume, at, 1)?, 0) >> (bit % 8) & 1 == 1)
    }

    /// The content of an inode.
    fn content_of(&self, inode: &Inode) -> Result<Content, Trouble> {
        if inode.flags() & ENCRYPTED != 0 {
            return Err(Trouble::new(Code::Encrypted, "key of file-based encryption"));
        }
        self.stored(inode)
    }

    /// What is stored of an inode: of an encrypted folder, its names as they are.
    fn stored(&self, inode: &Inode) -> Result<Content, Trouble> {
        let size = inode.size();
        if inode.flags() & COMPRESSED != 0 {
            return Err(Trouble::new(Code::Unsupported, "a compressed file of ext2"));
        }
        if inode.flags() & INLINE != 0 {
            let mut bytes = slice(&inode.0, 40, length(size.min(60))).to_vec();
            bytes.extend(self.inline_rest(inode, size));
            return Ok(Content { size, valid: bytes.len() as u64, ..Content::inline(bytes) });
        }
        let mut runs = Vec::new();
        if inode.flags() & EXTENTS != 0 {
            self.extents(slice(&inode.0, 40, 60), DEPTH_MAX, &mut runs).map_err(|error| Trouble::of(&error))?;
        } else {
            self.pointers(inode, size, &mut runs).map_err(|error| Trouble::of(&error))?;
        }
        Ok(Content::plain(runs, size))
    }

    /// What of an inline file does not fit into its block pointers: the attribute `system.data` behind the inode's fields.
    fn inline_rest(&self, inode: &Inode, size: u64) -> Vec<u8> {
        let start = 128 + inode.extra();
        if size <= 60 || u32le(&inode.0, start) != 0xea02_0000 {
            return Vec::new();
        }
        let mut at = start + 4;
        while byte(&inode.0, at) != 0 && at + 16 <= inode.0.len() {
            let name_bytes = usize::from(byte(&inode.0, at));
            // Index 7 is `system.`.
            if byte(&inode.0, at + 1) == 7 && slice(&inode.0, at + 16, name_bytes) == b"data" {
                let (offset, bytes) = (usize::from(u16le(&inode.0, at + 2)), length(u32le(&inode.0, at + 8)));
                return slice(&inode.0, start + 4 + offset, bytes.min(length(size - 60))).to_vec();
            }
            at += (16 + name_bytes).next_multiple_of(4);
        }
        Vec::new()
    }

    /// Adds blocks at a place of the file; holes before them too.
    fn add(&self, runs: &mut Vec<Run>, logical: u64, block: Option<u64>, count: u64) -> io::Result<()> {
        let have: u64 = runs.iter().map(|run| run.bytes).fold(0, u64::saturating_add);
        let at = logical.saturating_mul(self.block);
        if at < have || runs.len() > RUNS_MAX {
            return Err(super::super::fields::damaged(&format!("blocks from {logical} on are told twice")));
        }
        if at > have {
            runs.push(Run { at: None, bytes: at - have });
        }
        let (place, bytes) = (block.map(|block| block.saturating_mul(self.block)), count * self.block);
        match (runs.last_mut(), place) {
            (Some(last), Some(place)) if last.at.is_some_and(|start| start.saturating_add(last.bytes) == place) => {
                last.bytes += bytes
            }
            (Some(last), None) if last.at.is_none() => last.bytes += bytes,
            _ => runs.push(Run { at: place, bytes }),
        }
        Ok(())
    }

    /// The extents below a node of the tree.
    fn extents(&self, node: &[u8], deepest: u16, runs: &mut Vec<Run>) -> io::Result<()> {
        let (entries, depth) = (usize::from(u16le(node, 2)), u16le(node, 6));
        if u16le(node, 0) != 0xf30a || depth > deepest || entries.saturating_mul(12) + 12 > node.len() {
            return Err(super::super::fields::damaged("a node of the extent tree is none"));
        }
        for entry in slice(node, 12, entries * 12).chunks_exact(12) {
            if depth == 0 {
                let count = u64::from(u16le(entry, 4));
                let block = u64::from(u16le(entry, 6)) << 32 | u64::from(u32le(entry, 8));
                // More than 32768 stand for blocks that are reserved and were never written.
                let (count, block) = if count > 32_768 { (count - 32_768, None) } else { (count, Some(block)) };
                self.add(runs, u64::from(u32le(entry, 0)), block, count)?;
            } else {
                let block = u64::from(u16le(entry, 8)) << 32 | u64::from(u32le(entry, 4));
                let below = exact(&self.volume, block.saturating_mul(self.block), length(self.block))?;
                if u16le(&below, 6) >= depth {
                    return Err(super::super::fields::damaged("the extent tree does not end"));
                }
                self.extents(&below, depth - 1, runs)?;
            }
        }
        Ok(())
    }

    /// Blocks of ext2 and ext3: twelve, then those in a block, in blocks of blocks, in blocks of those.
    fn pointers(&self, inode: &Inode, size: u64, runs: &mut Vec<Run>) -> io::Result<()> {
        let blocks = size.div_ceil(self.block);
        let mut logical = 0;
        for index in 0..12 {
            self.pointer(u32le(&inode.0, 40 + index * 4), 0, &mut logical, blocks, runs)?;
        }
        for level in 1..=3u32 {
            self.pointer(u32le(&inode.0, 84 + level as usize * 4), level, &mut logical, blocks, runs)?;
        }
        Ok(())
    }

    fn pointer(&self, block: u32, level: u32, logical: &mut u64, blocks: u64, runs: &mut Vec<Run>) -> io::Result<()> {
        let per_block = self.block / 4;
        if *logical >= blocks {
            return Ok(());
        }
        if block == 0 {
            *logical = logical.saturating_add(per_block.pow(level));
            return Ok(());
        }
        if level == 0 {
            self.add(runs, *logical, Some(u64::from(block)), 1)?;
            *logical += 1;
            return Ok(());
        }
        let table = exact(&self.volume, u64::from(block) * self.block, length(self.block))?;
        table.chunks_exact(4).try_for_each(|entry| self.pointer(u32le(entry, 0), level - 1, logical, blocks, runs))
    }

    /// The content of a deleted file: only if every block it points to is free.
    fn deleted_content(&self, inode: &Inode) -> Result<Content, Trouble> {
        let gone = |detail: &str| Trouble::new(Code::Overwritten, detail);
        if inode.links() > 0 && inode.deleted_time() == 0 {
            return Err(gone("its inode belongs to another file now"));
        }
        let content = self.content_of(inode)?;
        if content.size == 0 || content.runs.is_empty() && inode.flags() & INLINE == 0 {
            return Err(gone("its inode no longer tells where it was"));
        }
        for (start, end) in content.ranges() {
            for block in start / self.block..end.div_ceil(self.block) {
                if self.in_use(block).map_err(|error| Trouble::of(&error))? {
                    return Err(gone("its blocks belong to another file now"));
                }
            }
        }
        Ok(content)
    }

    /// Takes a name of a folder; a live folder is put on the list of those to come.
    fn name(&self, folder: &[u8], name: &Name, sink: &mut Sink<'_>, seen: &mut HashSet<u32>, waiting: &mut Vec<(u32, Vec<u8>)>) {
        let Some(path) = sink.path(folder, &name.bytes) else { return };
        let mut found = Found { path: path.clone(), deleted: name.deleted, kind: Some(FileKind::File), ..Found::default() };
        // The key of a deleted entry has a bit that no inode number has.
        let key = u64::from(name.inode) | u64::from(name.deleted) << 32;
        let inode = match self.inode(name.inode) {
            Ok(inode) => inode,
            // The entry stays; what is wrong with its inode is told when its content is asked for.
            Err(_) => return sink.push(found, key, None),
        };
        if name.deleted {
            let reused = inode.links() > 0 && inode.deleted_time() == 0;
            if !reused {
                (found.kind, found.times, found.size) = (inode.kind(), inode.times(), inode.size());
                (found.mode, found.owner) = (Some(u32::from(inode.mode())), Some(inode.owner()));
            }
            found.kind = if name.folder { None } else { found.kind.or(Some(FileKind::File)) };
            let content = self.deleted_content(&inode);
            return sink.push(found, key, content.as_ref().ok());
        }
        (found.kind, found.times, found.size) = (inode.kind(), inode.times(), inode.size());
        (found.mode, found.owner) = (Some(u32::from(inode.mode())), Some(inode.owner()));
        if found.kind == Some(FileKind::Symlink) {
            found.link_target = self.link(&inode);
        }
        let content = (found.kind == Some(FileKind::File)).then(|| self.content_of(&inode).ok()).flatten();
        let is_folder = found.kind.is_none();
        sink.push(found, key, content.as_ref());
        if name.folder && !is_folder {
            let shown = model::text::escape_bytes(&path);
            let detail = format!("{shown} is a folder by its name's entry and none by inode {}: not gone into", name.inode);
            sink.trouble(Trouble::new(Code::ContainerDamaged, detail));
        }
        if is_folder && !seen.insert(name.inode) {
            let shown = model::text::escape_bytes(&path);
            sink.trouble(Trouble::new(Code::ContainerDamaged, format!("folder {shown} is one that was listed before")));
        } else if is_folder {
            waiting.push((name.inode, path));
        }
    }

    fn link(&self, inode: &Inode) -> Option<Vec<u8>> {
        let size = inode.size();
        if size < 60 && inode.flags() & (EXTENTS | ENCRYPTED) == 0 {
            return Some(slice(&inode.0, 40, length(size)).to_vec());
        }
        let content = self.content_of(inode).ok()?.source(&self.volume);
        exact(&content, 0, length(size.min(4096))).ok()
    }
}

/// Groups with a copy of the superblock: 0, 1, and powers of 3, 5 and 7 (sparse_super).
fn has_superblock(group: u64) -> bool {
    let power = |base: u64| {
        std::iter::successors(Some(base), |value| value.checked_mul(base))
            .take_while(|value| *value <= group)
            .any(|value| value == group)
    };
    group <= 1 || power(3) || power(5) || power(7)
}

impl FileSystem for Ext {
    fn list(&self, sink: &mut Sink<'_>) {
        let mut seen = HashSet::from([ROOT]);
        let mut waiting = vec![(ROOT, Vec::new())];
        while let Some((number, folder)) = waiting.pop() {
            let listed = self.inode(number).map_err(|error| Trouble::of(&error)).and_then(|inode| {
                if number == ROOT && inode.kind().is_some() {
                    sink.trouble(Trouble::new(Code::ContainerDamaged, "the root is no folder by its inode"));
                }
                let content = self.stored(&inode)?;
                let size = content.size.min(DIRECTORY_BYTES_MAX);
                ext_directory::read(
                    &content.source(&self.volume),
                    size,
                    self.block,
                    self.inodes,
                    inode.flags() & INLINE != 0,
                    &mut |name| {
                        if !sink.is_full() {
                            self.name(&folder, &name, sink, &mut seen, &mut waiting);
                        }
                    },
                )
            });
            if let Err(trouble) = listed {
                let shown = model::text::escape_bytes(&folder);
                sink.trouble(Trouble::new(trouble.code, format!("folder {shown} (inode {number}): {}", trouble.detail)));
            }
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        let number = (key & 0xffff_ffff) as u32;
        if number == 0 {
            return Err(Trouble::new(Code::Overwritten, "its name no longer leads to an inode"));
        }
        let inode = self.inode(number).map_err(|error| super::super::fields::at_place(&format!("inode {number}"), &error))?;
        if key >> 32 == 1 { self.deleted_content(&inode) } else { self.content_of(&inode) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_the_superblock() {
        let groups: Vec<u64> = (0..130).filter(|group| has_superblock(*group)).collect();
        assert_eq!(groups, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn times_before_1970_and_after_2038() {
        let mut bytes = vec![0; 256];
        bytes[128] = 32;
        bytes[16..20].copy_from_slice(&(-1i32).to_le_bytes());
        bytes[136..140].copy_from_slice(&(1u32 | 5 << 2).to_le_bytes());
        let time = Inode(bytes).times().modified.unwrap();
        // The kernel's table: extra bits 01 move a negative 32-bit value to 2038 and on.
        assert_eq!((time.seconds, time.nanos), ((1 << 32) - 1, 5));
    }
}
