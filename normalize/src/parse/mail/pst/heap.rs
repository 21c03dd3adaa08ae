//! A heap on a node (MS-PST, 2.3.1) and a b-tree on a heap (2.3.2): short values, by number.

use super::file::{Store, long, number, short};
use model::Code;

/// The third byte of a heap.
const HEAP: u8 = 0xec;
/// The first byte of a b-tree on a heap.
const TREE: u8 = 0xb5;
/// Bytes of a heap's pages that are kept.
const KEPT_MOST: usize = 32 << 20;
/// Most entries of a b-tree on a heap.
const ENTRIES_MOST: usize = 1 << 20;
/// Levels of it.
const LEVELS_MOST: u8 = 8;

/// A heap.
pub struct Heap {
    /// Its blocks.
    blocks: Vec<u64>,
    pages: Vec<Option<Vec<u8>>>,
    kept: usize,
    /// What it holds: `bClientSig`.
    pub kind: u8,
    /// The value that all begins with.
    pub root: u32,
    /// Bits of a value's number in its page.
    bits: u32,
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

impl Heap {
    /// The heap that the data of a node are.
    pub fn open(store: &mut Store, bid: u64) -> Option<Heap> {
        let blocks = store.leaves(bid);
        let bits = if store.layout.page > 512 { 14 } else { 11 };
        let mut heap = Heap { pages: vec![None; blocks.len()], blocks, kept: 0, kind: 0, root: 0, bits };
        let head = heap.page(store, 0)?;
        let (kind, root) = (head.get(3).copied(), long(head, 4));
        if head.get(2) != Some(&HEAP) {
            store.tell(Code::ContainerDamaged, format!("block {bid:#x}: no heap"));
            return None;
        }
        heap.kind = kind?;
        heap.root = root?;
        Some(heap)
    }

    fn page(&mut self, store: &mut Store, number: usize) -> Option<&[u8]> {
        let bid = *self.blocks.get(number)?;
        if self.pages.get(number)?.is_none() {
            if self.kept > KEPT_MOST {
                self.pages.iter_mut().for_each(|page| *page = None);
                self.kept = 0;
            }
            let page = store.block(bid).unwrap_or_default();
            self.kept = self.kept.saturating_add(page.len());
            *self.pages.get_mut(number)? = Some(page);
        }
        self.pages.get(number)?.as_deref()
    }

    /// The value with that number. 0 is none.
    pub fn value(&mut self, store: &mut Store, id: u32) -> Option<Vec<u8>> {
        if id == 0 {
            return Some(Vec::new());
        }
        let shift = 5 + self.bits;
        let (page, index) = (usize::try_from(id >> shift).ok()?, usize::try_from(id >> 5 & ((1 << self.bits) - 1)).ok()?);
        let value = self.page(store, page).and_then(|bytes| {
            let map = short(bytes, 0)?;
            let count = short(bytes, map)?;
            let at = map.checked_add(2)?.checked_add(index.checked_mul(2)?)?;
            let (from, to) = (short(bytes, at)?, short(bytes, at + 2)?);
            bytes.get(from..to).filter(|_| (1..=count).contains(&index)).map(<[u8]>::to_vec)
        });
        if value.is_none() {
            let bid = self.blocks.first().copied().unwrap_or_default();
            store.tell(Code::ContainerDamaged, format!("heap of block {bid:#x}: no value {id:#x}"));
        }
        value
    }

    /// The entries of the b-tree that begins at a value, in order.
    pub fn entries(&mut self, store: &mut Store, root: u32) -> Vec<Entry> {
        let Some(head) = self.value(store, root) else { return Vec::new() };
        let (Some(key), Some(value), Some(levels), Some(first)) =
            (number(&head, 1, 1), number(&head, 2, 1), head.get(3), long(&head, 4))
        else {
            return Vec::new();
        };
        if head.first() != Some(&TREE) || key == 0 || *levels > LEVELS_MOST {
            store.tell(Code::ContainerDamaged, format!("value {root:#x} of a heap: no tree"));
            return Vec::new();
        }
        let (key, value) = (usize::try_from(key).unwrap_or(usize::MAX), usize::try_from(value).unwrap_or(usize::MAX));
        let (mut entries, mut waiting) = (Vec::new(), vec![(first, *levels)]);
        while let Some((id, level)) = waiting.pop() {
            let Some(bytes) = self.value(store, id) else { continue };
            if level > 0 {
                let children: Vec<u32> = bytes.chunks_exact(key.saturating_add(4)).filter_map(|entry| long(entry, key)).collect();
                waiting.extend(children.into_iter().rev().map(|id| (id, level - 1)));
            } else {
                entries.extend(bytes.chunks_exact(key.saturating_add(value)).map(|entry| {
                    let (key, value) = entry.split_at_checked(key).unwrap_or_default();
                    (key.to_vec(), value.to_vec())
                }));
            }
            if entries.len() > ENTRIES_MOST || waiting.len() > ENTRIES_MOST {
                store.tell(Code::CapEntries, format!("value {root:#x} of a heap: more than {ENTRIES_MOST} entries"));
                break;
            }
        }
        entries
    }
}
