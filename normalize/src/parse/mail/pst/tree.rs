//! What is larger than a block (MS-PST, 2.2.2.8.3): lists of blocks, and the subnodes of a node.

use super::file::{Store, long, number, short};
use model::Code;
use std::collections::{BTreeMap, BTreeSet};

/// Most blocks of one value: 64 MiB and more.
const BLOCKS_MOST: usize = 64 << 10;
/// Most subnodes of one node.
const SUBNODES_MOST: usize = 256 << 10;
/// First byte of a list of blocks.
const LIST: u8 = 1;
/// First byte of a list of subnodes.
const SUBNODES: u8 = 2;
/// Bytes before the entries.
const HEAD: usize = 8;

/// Subnodes by id: the block of the data, and that of subnodes of their own.
pub type Subnodes = BTreeMap<u32, (u64, u64)>;

impl Store {
    /// The blocks that hold a value, in order.
    pub fn leaves(&mut self, bid: u64) -> Vec<u64> {
        let (mut leaves, mut waiting) = (Vec::new(), vec![(bid, 3u8)]);
        while let Some((bid, above)) = waiting.pop() {
            if bid & 2 == 0 {
                leaves.push(bid);
                if leaves.len() >= BLOCKS_MOST {
                    self.tell(Code::CapEntries, format!("block {bid:#x}: a value of more than {BLOCKS_MOST} blocks"));
                    break;
                }
                continue;
            }
            let word = self.layout.word();
            let Some(list) = self.block(bid) else { continue };
            let level = list.get(1).copied().unwrap_or_default();
            if list.first() != Some(&LIST) || level >= above {
                self.tell(Code::ContainerDamaged, format!("block {bid:#x}: no list of blocks"));
                continue;
            }
            let count = short(&list, 2).unwrap_or_default();
            let ids: Vec<u64> = list
                .get(HEAD..)
                .unwrap_or_default()
                .chunks_exact(word)
                .take(count)
                .filter_map(|id| number(id, 0, word))
                .collect();
            if ids.len() < count {
                self.tell(Code::ContainerDamaged, format!("block {bid:#x}: a list of {count} blocks holds {}", ids.len()));
            }
            waiting.extend(ids.into_iter().rev().map(|id| (id, level)));
        }
        leaves
    }

    /// A value, up to that many bytes of it; false where it is not whole.
    pub fn data(&mut self, bid: u64, most: usize) -> (Vec<u8>, bool) {
        let (mut data, mut whole) = (Vec::new(), true);
        if bid == 0 {
            return (data, whole);
        }
        for leaf in self.leaves(bid) {
            if data.len() >= most {
                self.tell(Code::CapValue, format!("block {bid:#x}: a value of more than {most} bytes, read up to there"));
                return (data, false);
            }
            match self.block(leaf) {
                Some(bytes) => data.extend(bytes),
                None => whole = false,
            }
        }
        (data, whole)
    }

    /// The subnodes of a node.
    pub fn subnodes(&mut self, bid: u64) -> Subnodes {
        let (mut found, mut seen, mut waiting) = (Subnodes::new(), BTreeSet::new(), vec![(bid, 2u8)]);
        while let Some((bid, above)) = waiting.pop() {
            if bid == 0 || !seen.insert(bid) {
                continue;
            }
            let word = self.layout.word();
            let Some(list) = self.block(bid) else { continue };
            let level = list.get(1).copied().unwrap_or_default();
            if list.first() != Some(&SUBNODES) || level >= above {
                self.tell(Code::ContainerDamaged, format!("block {bid:#x}: no list of subnodes"));
                continue;
            }
            // Narrow lists have no padding behind their count.
            let (head, entry) = (if self.layout.wide { HEAD } else { 4 }, if level == 0 { 3 * word } else { 2 * word });
            let count = short(&list, 2).unwrap_or_default();
            let entries = list.get(head..).unwrap_or_default().chunks_exact(entry).take(count);
            if entries.len() < count {
                self.tell(Code::ContainerDamaged, format!("block {bid:#x}: a list of {count} subnodes holds {}", entries.len()));
            }
            for entry in list.get(head..).unwrap_or_default().chunks_exact(entry).take(count) {
                let (Some(nid), Some(data)) = (long(entry, 0), number(entry, word, word)) else { continue };
                match number(entry, 2 * word, word).filter(|_| level == 0) {
                    Some(sub) => {
                        found.insert(nid, (data, sub));
                    }
                    None => waiting.push((data, level)),
                }
            }
            if found.len() > SUBNODES_MOST {
                self.tell(Code::CapEntries, format!("block {bid:#x}: more than {SUBNODES_MOST} subnodes"));
                break;
            }
        }
        found
    }
}
