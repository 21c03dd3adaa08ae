//! Folders of ext: live names, and deleted ones in the room behind them.

use super::super::fields::{self, byte, exact, length, slice, some, u16le, u32le};
use crate::evidence::Source;
use crate::open::Trouble;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A name in a folder.
pub struct Name {
    /// Its inode.
    pub inode: u32,
    /// The name.
    pub bytes: Vec<u8>,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Whether the entry says that it is a folder.
    pub folder: bool,
}

/// The names of one folder: the live ones are told at once, the deleted ones when all live ones are known, for a name that was moved within
/// its folder is not deleted.
struct Names<'a> {
    /// Hashes of inode and name.
    known: HashSet<u64>,
    deleted: Vec<Name>,
    inodes: u32,
    found: &'a mut dyn FnMut(Name),
}

impl Names<'_> {
    fn hash(inode: u32, name: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (inode, name).hash(&mut hasher);
        hasher.finish()
    }

    fn end(self) {
        let (mut known, found) = (self.known, self.found);
        for name in self.deleted {
            if known.insert(Names::hash(name.inode, &name.bytes)) {
                found(name);
            }
        }
    }
}

/// Bytes of an entry before its name, and the kinds it can tell.
const HEADER: usize = 8;
const KINDS: u8 = 7;
const FOLDER: u8 = 2;

/// Reads the names of a folder whose content is given.
pub fn read(
    content: &Source,
    size: u64,
    block: u64,
    inodes: u32,
    inline: bool,
    found: &mut dyn FnMut(Name),
) -> Result<(), Trouble> {
    let mut names = Names { known: HashSet::new(), deleted: Vec::new(), inodes, found };
    if inline {
        // The parent's inode comes first, without a name.
        let bytes = some(content, 0, length(size)).map_err(|error| Trouble::of(&error))?;
        let odd = names.block(slice(&bytes, 4, bytes.len()));
        names.end();
        return odd.map_or(Ok(()), |why| Err(Trouble::of(&fields::damaged(&why))));
    }
    let mut first = None;
    for at in (0..size).step_by(length(block)) {
        match exact(content, at, length(block.min(size - at))) {
            Ok(bytes) => {
                if let Some(why) = names.block(&bytes) {
                    first.get_or_insert_with(|| fields::at_place(&format!("block at byte {at}"), &fields::damaged(&why)));
                }
            }
            // The other blocks may be whole.
            Err(error) => {
                first.get_or_insert_with(|| fields::at_place(&format!("block at byte {at}"), &error));
            }
        }
    }
    names.end();
    first.map_or(Ok(()), Err)
}

impl Names<'_> {
    /// The names in one block; what is wrong with it.
    fn block(&mut self, block: &[u8]) -> Option<String> {
        let (mut at, mut odd) = (0, None);
        while at + HEADER <= block.len() {
            let (inode, entry_bytes) = (u32le(block, at), usize::from(u16le(block, at + 4)));
            // 65,536 does not fit: blocks of that size say 0 or 65,535.
            let entry_bytes = if matches!(entry_bytes, 0 | 65_535) && block.len() == 65_536 { 65_536 - at } else { entry_bytes };
            let name_bytes = usize::from(byte(block, at + 6));
            if entry_bytes < HEADER || entry_bytes % 4 != 0 || at + entry_bytes > block.len() {
                self.room(block, at, block.len());
                return Some(format!("an entry at byte {at} of {entry_bytes} bytes: names may be missing"));
            }
            let name = slice(block, at + HEADER, name_bytes.min(entry_bytes - HEADER));
            let live = inode != 0 && !name.is_empty();
            // A folder's own name comes first, its parent's second; an inode without a name is none of either.
            if inode != 0 && (name.is_empty() || name == b"." && at > 0 || name == b".." && at == 0) {
                odd = Some(format!("the entry at byte {at} has no name of its own"));
            }
            if live && name != b"." && name != b".." {
                self.known.insert(Names::hash(inode, name));
                (self.found)(Name { inode, bytes: name.to_vec(), deleted: false, folder: byte(block, at + 7) == FOLDER });
            }
            let used = if live || inode != 0 { (HEADER + name_bytes).next_multiple_of(4) } else { 0 };
            self.room(block, at + used, at + entry_bytes);
            at += entry_bytes;
        }
        odd
    }

    /// Deleted names in the room that a live entry covers.
    fn room(&mut self, block: &[u8], mut at: usize, end: usize) {
        while at + HEADER < end {
            let (inode, entry_bytes) = (u32le(block, at), usize::from(u16le(block, at + 4)));
            let (name_bytes, kind) = (usize::from(byte(block, at + 6)), byte(block, at + 7));
            let used = (HEADER + name_bytes).next_multiple_of(4);
            let name = slice(block, at + HEADER, name_bytes);
            // ext2 clears the number of the inode where a block's first name is deleted.
            let possible = inode <= self.inodes
                && entry_bytes >= used
                && entry_bytes % 4 == 0
                && name_bytes > 0
                && at + HEADER + name_bytes <= end
                && kind <= KINDS
                && !name.iter().any(|byte| matches!(byte, 0 | b'/') || inode == 0 && *byte < b' ');
            if !possible {
                at += 4;
                continue;
            }
            if name != b"." && name != b".." {
                self.deleted.push(Name { inode, bytes: name.to_vec(), deleted: true, folder: kind == FOLDER });
            }
            at += used;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(inode: u32, entry_bytes: u16, name: &[u8]) -> Vec<u8> {
        let mut bytes = [&inode.to_le_bytes()[..], &entry_bytes.to_le_bytes(), &[name.len() as u8, 1], name].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_deleted_name_lies_behind_a_live_one() {
        let mut block = entry(12, 64, b"live");
        block.extend(entry(13, 52, b"gone.txt"));
        block.extend(entry(12, 32, b"live"));
        block.resize(64, 0);
        let mut seen = Vec::new();
        read(&Source::Memory(block.into()), 64, 64, 100, false, &mut |name| seen.push((name.inode, name.bytes, name.deleted)))
            .unwrap();
        assert_eq!(seen, [(12, b"live".to_vec(), false), (13, b"gone.txt".to_vec(), true)]);
    }

    #[test]
    fn a_length_that_leads_nowhere_ends_the_block() {
        let mut seen = 0;
        let trouble = read(&Source::Memory(entry(12, 3, b"x").into()), 12, 12, 100, false, &mut |_| seen += 1).unwrap_err();
        assert_eq!((seen, trouble.code), (0, model::Code::ContainerDamaged));
    }
}
