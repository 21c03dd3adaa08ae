//! What the trees have given up: blocks and leaves of older trees that still stand, whole, in space that is free.
//!
//! Only what proves itself counts: a block whose checksum, size and id fit, a page whose checksum fits. Ids of blocks are never given
//! twice (MS-PST, 2.2.2.2), so a node of an older tree whose blocks stand is the message as it was.

use super::file::{Block, Node, Store, Tree, block, long, node, number, short};
use super::{KIND, MESSAGE};
use std::collections::BTreeMap;

/// Bytes of free space that are looked through in one go.
const SPAN: u64 = 1 << 20;
/// Most lost blocks and nodes that are kept.
const LOST_MOST: usize = 1 << 20;
/// First byte that is not the header's (2.2.2.7.2: the first map).
const FIRST: u64 = 0x4400;

/// Looks for what is lost; messages that no tree knows any more, by id. What is lost of trees that are broken is put back into them.
pub fn find(store: &mut Store) -> Vec<Node> {
    let (mut nodes, mut lost) = (BTreeMap::new(), Vec::new());
    for (from, to) in free(store) {
        let mut at = from;
        while at < to {
            let most = to.min(at.saturating_add(SPAN));
            // A block may begin in this span and end in the next.
            let reach = to.min(most.saturating_add(store.layout.block as u64));
            let bytes = store.bytes(at, usize::try_from(reach - at).unwrap_or(0));
            span(store, at, most, &bytes, &mut nodes, &mut lost);
            at = most;
        }
    }
    lost.sort_unstable();
    lost.dedup_by_key(|block: &mut Block| block.bid);
    store.lost = lost;
    let unknown = nodes.into_values().map(|(_, node)| node).filter(|node| store.node(node.nid).is_none());
    let unknown: Vec<Node> = unknown.collect();
    if store.broken {
        store.nodes.extend(unknown);
        store.settle();
        return Vec::new();
    }
    unknown.into_iter().filter(|node| node.nid & KIND == MESSAGE && node.data != 0).collect()
}

/// The ranges of the file that no page and no block takes, in order.
pub fn free(store: &Store) -> Vec<(u64, u64)> {
    let mut taken: Vec<(u64, u64)> =
        store.blocks.iter().map(|block| (block.at, block.at.saturating_add(store.layout.room(block.size)))).collect();
    taken.extend(store.pages.iter().map(|at| (*at, at.saturating_add(store.layout.page as u64))));
    taken.sort_unstable();
    let (mut free, mut at) = (Vec::new(), FIRST);
    for (from, to) in taken {
        if from > at {
            free.push((at, from.min(store.size)));
        }
        at = at.max(to);
    }
    if at < store.size {
        free.push((at, store.size));
    }
    free.retain(|(from, to)| from < to);
    free
}

/// Looks for what ends or begins in a span of free space.
fn span(store: &Store, from: u64, to: u64, bytes: &[u8], nodes: &mut BTreeMap<u32, (u64, Node)>, lost: &mut Vec<Block>) {
    let step = store.layout.align;
    let mut at = from.next_multiple_of(step);
    while at < to && lost.len() < LOST_MOST && nodes.len() < LOST_MOST {
        let rest = usize::try_from(at - from).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
        if let Some(page) = rest.get(..store.layout.page).filter(|_| at.is_multiple_of(512)) {
            leaf(store, page, Tree::Nodes, |entry, id| {
                let Some(node) = node(entry, &store.layout) else { return };
                let newest = nodes.get(&node.nid).is_none_or(|(known, _)| *known <= id);
                if newest {
                    nodes.insert(node.nid, (id, node));
                }
            });
            leaf(store, page, Tree::Blocks, |entry, _| {
                lost.extend(block(entry, &store.layout).filter(|known| stands(store, *known, from, bytes)))
            });
        }
        lost.extend(ending(store, at, rest));
        at += step;
    }
}

fn leaf(store: &Store, bytes: &[u8], tree: Tree, mut take: impl FnMut(&[u8], u64)) {
    if let Some(page) = store.page(bytes, tree).filter(|page| page.sound && page.level == 0) {
        page.entries.chunks_exact(page.entry).for_each(|entry| take(entry, page.id));
    }
}

/// Whether an entry's block stands in these bytes.
fn stands(store: &Store, known: Block, from: u64, bytes: &[u8]) -> bool {
    let rest = known.at.checked_sub(from).and_then(|start| usize::try_from(start).ok()).and_then(|start| bytes.get(start..));
    rest.and_then(|rest| at(store, known.at, rest, usize::try_from(store.layout.room(known.size)).ok()?))
        .is_some_and(|found| found.bid == known.bid)
}

/// The block that begins here, if one does: the first trailer behind whose size leads back here.
fn ending(store: &Store, place: u64, rest: &[u8]) -> Option<Block> {
    let step = usize::try_from(store.layout.align).ok()?;
    (1..=store.layout.block / step).find_map(|steps| at(store, place, rest, steps * step))
}

/// The block of that room that begins here: its trailer's size fits the room, and its checksum the data.
fn at(store: &Store, place: u64, rest: &[u8], room: usize) -> Option<Block> {
    let trailer = rest.get(room.checked_sub(store.layout.trailer)?..room)?;
    let size = short(trailer, 0)?;
    let narrow = u16::try_from(size).ok().filter(|size| *size > 0)?;
    if store.layout.room(narrow) != room as u64 {
        return None;
    }
    let (sum, bid) =
        if store.layout.wide { (long(trailer, 4)?, number(trailer, 8, 8)?) } else { (long(trailer, 8)?, number(trailer, 4, 4)?) };
    (bid != 0 && store.sum(rest.get(..size)?) == sum).then_some(Block { bid: bid & !1, at: place, size: narrow })
}
