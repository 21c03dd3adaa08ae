//! B-trees of HFS+: leaves are a chain, so that all records are read without going down the tree.

use super::super::fields::{byte, damaged, exact, length, slice, u16be, u32be};
use crate::evidence::Source;
use std::io;

/// Kinds of nodes.
const LEAF: u8 = 0xff;
/// Bytes of a node's descriptor.
const DESCRIPTOR: usize = 14;

/// A tree.
pub struct Tree<'a> {
    file: &'a Source,
    node_bytes: u64,
    first_leaf: u32,
}

impl<'a> Tree<'a> {
    /// The tree in a file.
    pub fn open(file: &'a Source) -> io::Result<Tree<'a>> {
        let header = exact(file, 0, 512)?;
        let (node_bytes, first_leaf) = (u64::from(u16be(&header, DESCRIPTOR + 18)), u32be(&header, DESCRIPTOR + 10));
        if byte(&header, 8) != 1 || !(512..=32_768).contains(&node_bytes) || !node_bytes.is_power_of_two() {
            return Err(damaged("a tree without its header"));
        }
        Ok(Tree { file, node_bytes, first_leaf })
    }

    /// Takes every record of the leaves: its key, its data, and where in the file the data begin. A node that cannot be read ends the
    /// chain; then all other nodes are looked at, for a leaf says that it is one.
    pub fn each(&self, take: &mut dyn FnMut(&[u8], &[u8], u64)) -> Option<io::Error> {
        let nodes = self.file.size() / self.node_bytes;
        let mut seen = vec![0u8; length(nodes.div_ceil(8)).min(1 << 28)];
        let mut visit = |node: u64| {
            let bit = 1 << (node % 8);
            seen.get_mut(length(node / 8)).is_some_and(|byte| std::mem::replace(byte, *byte | bit) & bit == 0)
        };
        let mut next = u64::from(self.first_leaf);
        while next != 0 {
            if next >= nodes || !visit(next) {
                return Some(self.others(nodes, &mut visit, take, damaged("the chain of leaves leads astray")));
            }
            match self.node(next, take) {
                Ok(link) => next = link,
                Err(error) => return Some(self.others(nodes, &mut visit, take, error)),
            }
        }
        None
    }

    fn others(
        &self,
        nodes: u64,
        visit: &mut dyn FnMut(u64) -> bool,
        take: &mut dyn FnMut(&[u8], &[u8], u64),
        error: io::Error,
    ) -> io::Error {
        for node in (1..nodes).filter(|node| visit(*node)) {
            // What is no leaf, or cannot be read, has no records: the first error is told.
            drop(self.node(node, take));
        }
        error
    }

    fn node(&self, number: u64, take: &mut dyn FnMut(&[u8], &[u8], u64)) -> io::Result<u64> {
        let start = number * self.node_bytes;
        let node = exact(self.file, start, length(self.node_bytes))?;
        if byte(&node, 8) != LEAF || byte(&node, 9) != 1 {
            return Err(damaged(&format!("node {number} is no leaf")));
        }
        for record in 0..usize::from(u16be(&node, 10)) {
            let Some(end) = node.len().checked_sub(2 * (record + 1)) else { break };
            let at = usize::from(u16be(&node, end));
            let key_bytes = usize::from(u16be(&node, at)) + 2;
            // Data begin at an even byte.
            let data = at + key_bytes.next_multiple_of(2);
            let stop = usize::from(u16be(&node, end.saturating_sub(2)));
            if at < DESCRIPTOR || data >= node.len() || stop < data {
                return Err(damaged(&format!("record {record} of node {number}")));
            }
            take(slice(&node, at, key_bytes), slice(&node, data, stop - data), start + data as u64);
        }
        Ok(u64::from(u32be(&node, 0)))
    }
}

/// UTF-16, big endian, as UTF-8.
pub fn utf16be(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of a header and two leaves, the second of which says whatever is asked.
    fn tree(link: u32) -> Source {
        let mut bytes = vec![0u8; 3 * 512];
        bytes[8] = 1;
        bytes[24..28].copy_from_slice(&1u32.to_be_bytes());
        bytes[32..34].copy_from_slice(&512u16.to_be_bytes());
        for (node, value) in [(1, b'a'), (2, b'b')] {
            let at = node * 512;
            bytes[at..at + 4].copy_from_slice(&(if node == 1 { 2 } else { link }).to_be_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&[LEAF, 1, 0, 1]);
            bytes[at + 14..at + 20].copy_from_slice(&[0, 2, 9, 9, value, value]);
            bytes[at + 508..at + 512].copy_from_slice(&[0, 20, 0, 14]);
        }
        Source::Memory(bytes.into())
    }

    fn read(source: &Source) -> (Vec<u8>, bool) {
        let mut found = Vec::new();
        let error = Tree::open(source).unwrap().each(&mut |_, data, at| found.extend([data[0], at as u8]));
        (found, error.is_some())
    }

    #[test]
    fn leaves_are_read_along_their_chain_and_a_loop_ends() {
        assert_eq!(read(&tree(0)), (vec![b'a', 18, b'b', 18], false));
        assert_eq!(read(&tree(1)), (vec![b'a', 18, b'b', 18], true));
        assert_eq!(read(&tree(99)), (vec![b'a', 18, b'b', 18], true));
    }
}
