//! Objects, object maps and B-trees of APFS. Format: Apple, "Apple File System Reference" (2020).

use super::super::fields::{damaged, exact, length, slice, u16le, u32le, u64le};
use crate::evidence::Source;
use crate::open::Damage;
use model::Code;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of an object's header, and where a node's table of records begins.
const NODE: usize = 56;
/// Bytes at the end of a root node that tell of the tree.
const INFO: usize = 40;
/// Flags of a node.
const ROOT: u16 = 1;
const LEAF: u16 = 2;
const FIXED: u16 = 4;
/// Deepest tree, and nodes kept for the next read.
const DEPTH_MAX: u32 = 16;
const CACHE_NODES: usize = 512;

/// The blocks of a container.
pub struct Blocks {
    volume: Source,
    /// Bytes of a block.
    pub block: u64,
    cache: Mutex<HashMap<u64, Arc<[u8]>>>,
}

/// Fletcher's checksum over an object, as its first eight bytes hold it.
fn checksum(object: &[u8]) -> u64 {
    let (mut low, mut high) = (0u64, 0u64);
    for word in object.get(8..).unwrap_or_default().chunks_exact(4) {
        low = (low + u64::from(u32le(word, 0))) % 0xffff_ffff;
        high = (high + low) % 0xffff_ffff;
    }
    let first = 0xffff_ffff - (low + high) % 0xffff_ffff;
    let second = 0xffff_ffff - (low + first) % 0xffff_ffff;
    second << 32 | first
}

impl Blocks {
    /// The blocks of a volume.
    pub fn new(volume: Source, block: u64) -> Blocks {
        Blocks { volume, block, cache: Mutex::new(HashMap::new()) }
    }

    /// The object at a block, whose checksum holds.
    pub fn object(&self, at: u64) -> io::Result<Arc<[u8]>> {
        if let Some(held) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&at) {
            return Ok(held.clone());
        }
        let bytes = exact(&self.volume, at.saturating_mul(self.block), length(self.block))?;
        if checksum(&bytes) != u64le(&bytes, 0) {
            return Err(Damage::error(Code::ChecksumMismatch, &format!("object at block {at}")));
        }
        let bytes: Arc<[u8]> = Arc::from(bytes);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_NODES {
            cache.clear();
        }
        cache.insert(at, bytes.clone());
        Ok(bytes)
    }
}

/// A record of a node: its key and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The records of a node. `sizes`: bytes of keys and values where the node does not tell (those of an object map).
fn pairs<'a>(node: &'a [u8], sizes: (usize, usize)) -> impl Iterator<Item = Pair<'a>> {
    let flags = u16le(node, 32);
    let table = NODE + usize::from(u16le(node, 40));
    let keys = table + usize::from(u16le(node, 42));
    let values = node.len() - if flags & ROOT != 0 { INFO } else { 0 };
    let (fixed, leaf) = (flags & FIXED != 0, flags & LEAF != 0);
    let count = length(u32le(node, 36)).min(node.len() / 4);
    (0..count).map(move |index| {
        let (key, value) = if fixed {
            let at = table + index * 4;
            let value_bytes = if leaf { sizes.1 } else { 8 };
            ((u16le(node, at), sizes.0), (u16le(node, at + 2), value_bytes))
        } else {
            let at = table + index * 8;
            ((u16le(node, at), usize::from(u16le(node, at + 2))), (u16le(node, at + 4), usize::from(u16le(node, at + 6))))
        };
        let value_at = values.saturating_sub(usize::from(value.0));
        (slice(node, keys + usize::from(key.0), key.1), slice(node, value_at, value.1))
    })
}

/// An object map: virtual object ids to blocks.
pub struct Map {
    root: u64,
}

impl Map {
    /// The map at a block.
    pub fn open(blocks: &Blocks, at: u64) -> io::Result<Map> {
        Ok(Map { root: u64le(&blocks.object(at)?, 48) })
    }

    /// The block of the newest version of an object that is no newer than a transaction.
    pub fn find(&self, blocks: &Blocks, object: u64, newest: u64) -> io::Result<u64> {
        let mut at = self.root;
        for _ in 0..DEPTH_MAX {
            let node = blocks.object(at)?;
            let wanted = (object, newest);
            let last = pairs(&node, (16, 16)).take_while(|(key, _)| (u64le(key, 0), u64le(key, 8)) <= wanted).last();
            let Some((key, value)) = last else { break };
            if u16le(&node, 32) & LEAF != 0 {
                if u64le(key, 0) == object {
                    return Ok(u64le(value, 8));
                }
                break;
            }
            at = u64le(value, 0);
        }
        Err(damaged(&format!("object {object} is not in its map")))
    }
}

/// A tree of a volume's records.
pub struct Tree<'a> {
    /// Blocks of the container.
    pub blocks: &'a Blocks,
    /// Where its nodes lie; `None` where they name each other by their blocks.
    pub map: Option<&'a Map>,
    /// The newest transaction that counts: a snapshot's own, or none.
    pub newest: u64,
    /// The root's object id.
    pub root: u64,
}

/// How keys sort: by object id, then by type. The upper four bits of the first number are the type.
pub fn order(key: &[u8]) -> (u64, u64) {
    let first = u64le(key, 0);
    (first & (u64::MAX >> 4), first >> 60)
}

impl Tree<'_> {
    /// Takes every record from a key on, in order, as long as `take` says so. Nodes that cannot be read are left out; the first error is
    /// returned.
    pub fn each(&self, from: (u64, u64), take: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Option<io::Error> {
        let mut error = None;
        self.below(self.root, DEPTH_MAX, from, &mut Walk { enter: &mut |_| true, take, error: &mut error });
        error
    }

    /// Takes every record of the nodes whose blocks `enter` lets in: nodes are never changed in place, so that a block that was seen holds
    /// what it held.
    pub fn each_in(&self, enter: &mut dyn FnMut(u64) -> bool, take: &mut dyn FnMut(&[u8], &[u8])) -> Option<io::Error> {
        let mut error = None;
        let take = &mut |key: &[u8], value: &[u8]| {
            take(key, value);
            true
        };
        self.below(self.root, DEPTH_MAX, (0, 0), &mut Walk { enter, take, error: &mut error });
        error
    }

    fn node(&self, object: u64, enter: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<Arc<[u8]>>> {
        let at = self.map.map_or(Ok(object), |map| map.find(self.blocks, object, self.newest))?;
        enter(at).then(|| self.blocks.object(at)).transpose()
    }

    fn below(&self, object: u64, depth: u32, from: (u64, u64), walk: &mut Walk<'_>) -> bool {
        let node = match self.node(object, walk.enter) {
            Ok(Some(node)) if depth > 0 => node,
            Ok(None) => return true,
            Ok(Some(_)) => {
                walk.error.get_or_insert_with(|| damaged("the tree is too deep"));
                return true;
            }
            Err(found) => {
                walk.error.get_or_insert(found);
                return true;
            }
        };
        if u16le(&node, 32) & LEAF != 0 {
            return pairs(&node, (0, 0)).filter(|(key, _)| order(key) >= from).all(|(key, value)| (walk.take)(key, value));
        }
        // A child is left out where the next one begins before what is wanted. A child lies one level below its parent: a loop ends.
        let children: Vec<((u64, u64), u64)> = pairs(&node, (0, 0)).map(|(key, value)| (order(key), u64le(value, 0))).collect();
        let level = u32::from(u16le(&node, 34)).min(depth - 1);
        for (index, (_, child)) in children.iter().enumerate() {
            let passed = children.get(index + 1).is_some_and(|(next, _)| *next < from);
            if !passed && !self.below(*child, level, from, walk) {
                return false;
            }
        }
        true
    }
}

/// A walk through a tree: which nodes are entered, by their block, what is done with records, and the first error.
struct Walk<'a> {
    enter: &'a mut dyn FnMut(u64) -> bool,
    take: &'a mut dyn FnMut(&[u8], &[u8]) -> bool,
    error: &'a mut Option<io::Error>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_its_checksum_sums_to_zero() {
        // The reference: with the checksum in place, both sums over the whole object are zero modulo 2^32 - 1.
        let mut object: Vec<u8> = (0..4096u32).map(|at| (at * 7) as u8).collect();
        let sum = checksum(&object);
        object[..8].copy_from_slice(&sum.to_le_bytes());
        let words: Vec<u64> =
            object[8..].chunks_exact(4).chain(object[..8].chunks_exact(4)).map(|word| u64::from(u32le(word, 0))).collect();
        let (low, high) = words.iter().fold((0, 0), |(low, high), word| {
            let low = (low + word) % 0xffff_ffff;
            (low, (high + low) % 0xffff_ffff)
        });
        assert_eq!((low, high), (0, 0));
    }

    #[test]
    fn keys_sort_by_object_then_type() {
        let key = |object: u64, kind: u64| order(&(object | kind << 60).to_le_bytes());
        assert!(key(2, 9) < key(3, 3) && key(3, 3) < key(3, 8));
    }
}
