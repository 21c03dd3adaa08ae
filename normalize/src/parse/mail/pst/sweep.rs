//! What no message led to: blocks of the format's own tables, of folders and forms, and blocks that are free but stand whole. All of them
//! are searched, because the bytes of the file itself are hidden from a scan.

use super::file::{Block, Store};
use crate::emit::{Emit, Part};

/// Has the blocks searched that nothing was read from.
pub fn rest(store: &mut Store, emit: &mut Emit<'_>) {
    let untouched = store.blocks.iter().zip(&store.touched).filter(|(block, touched)| block.bid & 2 == 0 && !**touched);
    let untouched: Vec<Block> = untouched.map(|(block, _)| *block).collect();
    let lost: Vec<Block> = store.lost.iter().filter(|block| block.bid & 2 == 0).copied().collect();
    for (what, blocks) in [("block", untouched), ("free block", lost)] {
        for block in blocks {
            if let Some(bytes) = store.read(block) {
                let name = format!("{what} {:#x}", block.bid);
                emit.decoded(Part { name: &name, offset: block.at, length: u64::from(block.size) }, &bytes);
            }
        }
    }
}
