//! The Merkle tree of RFC 9162 §2.1.1 over leaf hashes, built as they come.

use super::lanes::{INITIAL, Messages};
use model::Digest;
use std::collections::BTreeMap;

/// A tree that grows at its right end: keeps one hash for each power of two in its size.
#[derive(Clone, Default, Debug)]
pub struct Tree {
    /// For each height, the complete subtree that waits for another beside it.
    peaks: Vec<Option<[u8; 32]>>,
    size: u64,
}

impl Tree {
    /// Appends a leaf hash (its 0x00 prefix is already inside).
    pub fn push(&mut self, leaf: [u8; 32]) {
        self.extend(vec![leaf]);
    }

    /// Appends leaf hashes: the nodes of one height are hashed together.
    pub fn extend(&mut self, mut hashes: Vec<[u8; 32]>) {
        self.size += hashes.len() as u64;
        let mut height = 0;
        while !hashes.is_empty() {
            if self.peaks.len() == height {
                self.peaks.push(None);
            }
            let waiting = &mut self.peaks[height];
            if let Some(left) = waiting.take() {
                hashes.insert(0, left);
            }
            if hashes.len() % 2 == 1 {
                *waiting = hashes.pop();
            }
            hashes = nodes(&hashes);
            height += 1;
        }
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its root; for no leaves the SHA-256 of nothing.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().flatten();
        let Some(last) = peaks.next() else { return Digest::of(b"") };
        Digest(peaks.fold(*last, |right, left| node(left, &right)))
    }
}

/// A subtree that holds no leaf of interest: its first leaf, how many leaves it has, its hash.
pub type Node = (u64, u64, [u8; 32]);

/// How a range of leaves is cut in two (RFC 9162 §2.1.1): the largest power of two that is smaller.
fn split(leaves: u64) -> u64 {
    1 << (leaves.saturating_sub(1).max(1)).ilog2()
}

/// The subtrees that give the root together with the leaves at some places (ascending): inclusion proofs of all of them, no hash
/// twice.
pub fn complement(leaves: &[[u8; 32]], places: &[u64]) -> Vec<Node> {
    let mut nodes = Vec::new();
    cover(leaves, 0, places, &mut nodes);
    nodes
}

fn cover(leaves: &[[u8; 32]], first: u64, places: &[u64], nodes: &mut Vec<Node>) {
    let size = leaves.len() as u64;
    if places.is_empty() && size > 0 {
        let mut tree = Tree::default();
        tree.extend(leaves.to_vec());
        return nodes.push((first, size, tree.root().0));
    }
    if size <= 1 {
        return;
    }
    let half = split(size);
    let (left, right) = leaves.split_at(half as usize);
    let (before, behind) = places.split_at(places.partition_point(|place| *place < first + half));
    cover(left, first, before, nodes);
    cover(right, first + half, behind, nodes);
}

/// The root that leaves at some places and the subtrees between them give; `None` where something is missing or left over.
pub fn root_of(size: u64, leaves: &BTreeMap<u64, [u8; 32]>, nodes: &BTreeMap<(u64, u64), [u8; 32]>) -> Option<Digest> {
    let mut used = 0;
    let root = join(0, size, leaves, nodes, &mut used)?;
    let complete = used == leaves.len() + nodes.len();
    complete.then_some(Digest(root))
}

fn join(
    first: u64,
    size: u64,
    leaves: &BTreeMap<u64, [u8; 32]>,
    nodes: &BTreeMap<(u64, u64), [u8; 32]>,
    used: &mut usize,
) -> Option<[u8; 32]> {
    if let Some(hash) = nodes.get(&(first, size)) {
        *used += 1;
        return Some(*hash);
    }
    if size <= 1 {
        *used += 1;
        return leaves.get(&first).filter(|_| size == 1).copied();
    }
    // Nothing below: do not walk a tree that a forger calls as large as he likes.
    if leaves.range(first..first.checked_add(size)?).next().is_none()
        && nodes.range((first, 0)..(first + size, 0)).next().is_none()
    {
        return None;
    }
    let half = split(size);
    let left = join(first, half, leaves, nodes, used)?;
    let right = join(first + half, size - half, leaves, nodes, used)?;
    Some(node(&left, &right))
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    nodes(&[*left, *right]).pop().unwrap_or_default()
}

/// The nodes above pairs of hashes.
fn nodes(hashes: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut messages = Messages::default();
    for pair in hashes.as_chunks::<2>().0 {
        messages.add(&[1]);
        messages.add(pair.as_flattened());
        messages.end(INITIAL, 0);
    }
    messages.hash();
    messages.digests().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves and roots of the test vectors of Google's certificate-transparency (`merkle_tree_test`), the tree of RFC 6962 and 9162.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|place| u8::from_str_radix(&hex[place * 2..place * 2 + 2], 16).unwrap()).collect()
    }

    #[test]
    fn roots_of_the_published_vectors() {
        let mut tree = Tree::default();
        assert_eq!(tree.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (leaf, root) in LEAVES.iter().zip(ROOTS) {
            tree.push(Digest::of(&[vec![0], bytes(leaf)].concat()).0);
            assert_eq!(tree.root().to_string(), root);
        }
        assert_eq!(tree.size(), 8);
    }

    #[test]
    fn leaves_that_come_together_are_as_one_by_one() {
        let leaves: Vec<[u8; 32]> = (0..200u8).map(|number| Digest::of(&[0, number]).0).collect();
        for cut in [1, 2, 3, 7, 64, 150] {
            let (mut together, mut alone) = (Tree::default(), Tree::default());
            for part in leaves.chunks(cut) {
                together.extend(part.to_vec());
                part.iter().for_each(|leaf| alone.push(*leaf));
                assert_eq!((together.root(), together.size()), (alone.root(), alone.size()), "{cut}");
            }
        }
    }

    #[test]
    fn any_leaves_and_their_complement_give_the_root() {
        for size in 1..40u64 {
            let leaves: Vec<[u8; 32]> = (0..size).map(|place| Digest::of(&[0, place as u8]).0).collect();
            let mut tree = Tree::default();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            for step in 1..=size {
                let places: Vec<u64> = (0..size).filter(|place| place % step == 0).collect();
                let nodes: BTreeMap<_, _> =
                    complement(&leaves, &places).into_iter().map(|(first, size, hash)| ((first, size), hash)).collect();
                let shown: BTreeMap<u64, _> = places.iter().map(|place| (*place, leaves[*place as usize])).collect();
                assert_eq!(root_of(size, &shown, &nodes), Some(tree.root()), "{size} {step}");
                // The proof of one leaf alone is RFC 9162's: one hash a level.
                if places.len() == 1 {
                    assert!(nodes.len() as u32 <= 64 - (size - 1).leading_zeros(), "{size}");
                }
                let mut less = nodes.clone();
                if less.pop_last().is_some() {
                    assert_eq!(root_of(size, &shown, &less), None);
                }
                assert_ne!(root_of(size + 1, &shown, &nodes), Some(tree.root()));
            }
        }
    }
}
