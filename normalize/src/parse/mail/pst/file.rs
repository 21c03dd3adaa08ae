//! The file below everything (MS-PST, 2.2): its header, the pages of its two b-trees, and blocks.
//!
//! Three layouts: 32-bit (ANSI, until Outlook 2002), 64-bit (Unicode), and 64-bit with pages of 4096 bytes, whose blocks may be packed
//! (OST since Outlook 2013; described by libpff's documentation, not by Microsoft's). A page or block that is damaged is told and passed over; what
//! of the trees is lost with a page is looked for in the rest of the file ([`super::lost`]).

use super::crypt::Crypt;
use crc_fast::CrcParams;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use model::Code;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// First bytes of a store (2.2.2.6): `dwMagic`, a checksum, and `wMagicClient` at byte 8.
const MAGIC: &[u8] = b"!BDN";
/// Most entries of one b-tree that are kept.
const ENTRIES_MOST: usize = 4 << 20;
/// Levels of a b-tree.
const LEVELS_MOST: u8 = 8;
/// Damage that is kept until it is told.
const DAMAGE_MOST: usize = 1024;

/// How the file is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Whether ids and offsets have 64 bits.
    pub wide: bool,
    /// Bytes of a page.
    pub page: usize,
    /// Bytes behind the data of a block.
    pub trailer: usize,
    /// Blocks begin and end at multiples of this.
    pub align: u64,
    /// Most bytes of a block, its trailer among them.
    pub block: usize,
}

/// A node: what messages and folders are kept in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its id; the low five bits are its kind.
    pub nid: u32,
    /// The node it belongs to.
    pub parent: u32,
    /// Block of its data.
    pub data: u64,
    /// Block of its subnodes; 0: none.
    pub sub: u64,
}

/// Where a block lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Block {
    /// Its id.
    pub bid: u64,
    /// First byte in the file.
    pub at: u64,
    /// Bytes of data.
    pub size: u16,
}

/// Which b-tree (`ptype`, 2.2.2.7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tree {
    /// Blocks, by their id.
    Blocks = 0x80,
    /// Nodes, by their id.
    Nodes = 0x81,
}

/// The entries of a page.
pub struct Page {
    /// Its own id: a later one is a newer one.
    pub id: u64,
    /// 0 for a leaf.
    pub level: u8,
    /// Bytes of an entry.
    pub entry: usize,
    /// The entries.
    pub entries: Vec<u8>,
    /// Whether its checksum is right.
    pub sound: bool,
}

/// The store.
pub struct Store {
    file: File,
    /// Bytes of the file.
    pub size: u64,
    /// How it is laid out.
    pub layout: Layout,
    /// How its data are hidden.
    pub crypt: Crypt,
    /// Its nodes, by id.
    pub nodes: Vec<Node>,
    /// Its blocks, by id.
    pub blocks: Vec<Block>,
    /// For each block: whether it was read.
    pub touched: Vec<bool>,
    /// Places of the pages of both trees.
    pub pages: BTreeSet<u64>,
    /// Blocks that no tree knows any more.
    pub lost: Vec<Block>,
    /// Whether pages of a tree could not be read.
    pub broken: bool,
    damage: Vec<(Code, String)>,
    untold: u64,
    crc: CrcParams,
}

/// Whether content is a store.
pub fn is_store(head: &[u8]) -> bool {
    head.starts_with(MAGIC) && head.get(8..10) == Some(b"SM")
}

/// Why a store is not opened.
pub enum Refused {
    /// The file cannot be read.
    Io(io::Error),
    /// Its version is unknown.
    Version(u16),
    /// It is encrypted with a key (number of the method).
    Encrypted(u8),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        Refused::Io(error)
    }
}

impl Layout {
    fn of(version: u16) -> Option<Layout> {
        match version {
            14 | 15 => Some(Layout { wide: false, page: 512, trailer: 12, align: 64, block: 8192 }),
            21 | 23 => Some(Layout { wide: true, page: 512, trailer: 16, align: 64, block: 8192 }),
            36..=38 => Some(Layout { wide: true, page: 4096, trailer: 24, align: 512, block: 65536 }),
            _ => None,
        }
    }

    /// Bytes that a block takes with its trailer.
    pub fn room(&self, size: u16) -> u64 {
        (u64::from(size) + self.trailer as u64).next_multiple_of(self.align)
    }

    /// Bytes of an id or offset.
    pub fn word(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }
}

/// A number of that many bytes, little endian.
pub fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// As [`number`], of 32 bits.
pub fn long(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at, 4).and_then(|number| u32::try_from(number).ok())
}

/// As [`number`], of 16 bits.
pub fn short(bytes: &[u8], at: usize) -> Option<usize> {
    number(bytes, at, 2).and_then(|number| usize::try_from(number).ok())
}

impl Store {
    /// Opens a store and reads both of its trees.
    ///
    /// # Errors
    /// Why nothing of it can be read.
    pub fn open(file: File) -> Result<Store, Refused> {
        let size = file.metadata()?.len();
        let mut head = [0; 564];
        let filled = read_at(&file, 0, &mut head)?;
        let head = head.get(..filled).unwrap_or_default();
        let version = number(head, 10, 2).and_then(|version| u16::try_from(version).ok()).unwrap_or_default();
        let layout = Layout::of(version).ok_or(Refused::Version(version))?;
        let (method, nodes, blocks) = if layout.wide { (513, 224, 240) } else { (461, 188, 196) };
        let method = head.get(method).copied().unwrap_or_default();
        let crypt = Crypt::of(method).ok_or(Refused::Encrypted(method))?;
        // The checksum of MS-PST, 5.3: the usual polynomial that begins and ends with 0.
        let crc = CrcParams::new("CRC-32/PST", 32, 0x04c1_1db7, 0, true, 0, 0x2dfd_2d88);
        let mut store = Store {
            file,
            size,
            layout,
            crypt,
            nodes: Vec::new(),
            blocks: Vec::new(),
            touched: Vec::new(),
            pages: BTreeSet::new(),
            lost: Vec::new(),
            broken: false,
            damage: Vec::new(),
            untold: 0,
            crc,
        };
        if head.get(8..479).map(|head| store.sum(head)) != long(head, 4) {
            store.tell(Code::ChecksumMismatch, "header: its checksum is another".to_owned());
        }
        for (tree, root) in [(Tree::Blocks, blocks), (Tree::Nodes, nodes)] {
            store.walk(tree, number(head, root, layout.word()).unwrap_or_default());
        }
        store.settle();
        Ok(store)
    }

    /// Sorts what was found of the trees.
    pub fn settle(&mut self) {
        self.nodes.sort_by_key(|node| node.nid);
        self.nodes.dedup_by_key(|node| node.nid);
        self.blocks.sort_unstable();
        self.blocks.dedup_by_key(|block| block.bid);
        self.touched.resize(self.blocks.len(), false);
    }

    /// Remembers damage until it is told.
    pub fn tell(&mut self, code: Code, detail: String) {
        if self.damage.len() < DAMAGE_MOST {
            self.damage.push((code, detail));
        } else {
            self.untold += 1;
        }
    }

    /// What is damaged and not told yet.
    pub fn damage(&mut self) -> Vec<(Code, String)> {
        let mut damage = std::mem::take(&mut self.damage);
        if self.untold > 0 {
            damage.push((Code::Flood, format!("{} more places of the store are damaged", std::mem::take(&mut self.untold))));
        }
        damage
    }

    /// The checksum of the format.
    pub fn sum(&self, bytes: &[u8]) -> u32 {
        u32::try_from(crc_fast::checksum_with_params(self.crc, bytes) & 0xffff_ffff).unwrap_or_default()
    }

    /// Bytes of the file; fewer at its end.
    pub fn bytes(&mut self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        match read_at(&self.file, at, &mut bytes) {
            Ok(filled) => bytes.truncate(filled),
            Err(error) => {
                self.tell(Code::Unreadable, format!("byte {at}: {}", error.kind()));
                bytes.clear();
            }
        }
        bytes
    }

    /// Takes the entries of a tree, page by page.
    fn walk(&mut self, tree: Tree, root: u64) {
        let mut waiting = vec![(root, LEVELS_MOST)];
        while let Some((at, below)) = waiting.pop() {
            if !self.pages.insert(at) {
                self.tell(Code::ContainerDamaged, format!("page at byte {at}: two places of a tree lead to it"));
                continue;
            }
            let bytes = self.bytes(at, self.layout.page);
            let Some(page) = self.page(&bytes, tree).filter(|page| page.level < below) else {
                self.broken = true;
                self.tell(Code::ContainerDamaged, format!("page at byte {at}: no page of the tree of {tree:?}"));
                continue;
            };
            if !page.sound {
                self.broken = true;
                self.tell(Code::ChecksumMismatch, format!("page at byte {at}: its checksum is another"));
            }
            if page.level == 0 {
                self.leaf(tree, &page);
                continue;
            }
            let word = self.layout.word();
            let children = page.entries.chunks_exact(page.entry).filter_map(|entry| number(entry, 2 * word, word));
            waiting.extend(children.map(|at| (at, page.level)));
        }
    }

    /// The page in these bytes, if it is one of that tree.
    pub fn page(&self, bytes: &[u8], tree: Tree) -> Option<Page> {
        let trailer = bytes.len().checked_sub(if self.layout.wide { self.layout.trailer } else { 12 })?;
        let kind = tree as u8;
        if bytes.len() != self.layout.page || bytes.get(trailer..trailer + 2) != Some(&[kind, kind]) {
            return None;
        }
        // Counts have two bytes where pages are large; the id and the checksum change places where they are narrow.
        let (counts, width) =
            if self.layout.page > 512 { (trailer - 16, 2) } else { (trailer - if self.layout.wide { 8 } else { 4 }, 1) };
        let count = usize::try_from(number(bytes, counts, width)?).ok()?;
        let entry = usize::from(*bytes.get(counts + 2 * width)?);
        let level = *bytes.get(counts + 2 * width + 1)?;
        let least = match (tree, level) {
            (Tree::Nodes, 0) => 4 * self.layout.word(),
            _ => 3 * self.layout.word(),
        };
        let entries = bytes.get(..count.checked_mul(entry)?).filter(|_| entry >= least && count * entry <= counts)?.to_vec();
        let (id, sum) = match self.layout.wide {
            true => (number(bytes, trailer + 8, 8)?, long(bytes, trailer + 4)?),
            false => (number(bytes, trailer + 4, 4)?, long(bytes, trailer + 8)?),
        };
        let sound = self.sum(bytes.get(..trailer)?) == sum;
        Some(Page { id, level, entry, entries, sound })
    }

    /// Takes the entries of a leaf.
    fn leaf(&mut self, tree: Tree, page: &Page) {
        for entry in page.entries.chunks_exact(page.entry) {
            match tree {
                Tree::Nodes if self.nodes.len() < ENTRIES_MOST => self.nodes.extend(node(entry, &self.layout)),
                Tree::Blocks if self.blocks.len() < ENTRIES_MOST => self.blocks.extend(block(entry, &self.layout)),
                _ => return self.tell(Code::CapEntries, format!("more than {ENTRIES_MOST} entries of the tree of {tree:?}")),
            }
        }
    }

    /// The node with that id.
    pub fn node(&self, nid: u32) -> Option<Node> {
        self.nodes.binary_search_by_key(&nid, |node| node.nid).ok().and_then(|at| self.nodes.get(at)).copied()
    }

    /// Where a block lies: in the tree, or where none leads any more.
    pub fn place(&mut self, bid: u64) -> Option<Block> {
        let bid = bid & !1;
        if let Ok(at) = self.blocks.binary_search_by_key(&bid, |block| block.bid) {
            if let Some(touched) = self.touched.get_mut(at) {
                *touched = true;
            }
            return self.blocks.get(at).copied();
        }
        self.lost.iter().find(|block| block.bid == bid).copied()
    }

    /// The data of a block, plain. What is wrong with it is told.
    pub fn block(&mut self, bid: u64) -> Option<Vec<u8>> {
        let bid = bid & !1;
        let Some(block) = self.place(bid) else {
            self.tell(Code::Missing, format!("block {bid:#x}: the tree does not know it"));
            return None;
        };
        self.read(block)
    }

    /// As [`Store::block`], for a block whose place is known.
    pub fn read(&mut self, block: Block) -> Option<Vec<u8>> {
        let Block { bid, at, size } = block;
        let room = usize::try_from(self.layout.room(size)).ok()?;
        let mut bytes = self.bytes(at, room);
        if bytes.len() < room {
            self.tell(Code::Truncated, format!("block {bid:#x} at byte {at}: the file ends inside of it"));
            return None;
        }
        let trailer = bytes.split_off(room - self.layout.trailer);
        bytes.truncate(usize::from(size));
        let (sum, id) = if self.layout.wide {
            (long(&trailer, 4)?, number(&trailer, 8, 8)?)
        } else {
            (long(&trailer, 8)?, number(&trailer, 4, 4)?)
        };
        if id & !1 != bid {
            self.tell(Code::ContainerDamaged, format!("block {bid:#x} at byte {at}: another stands there"));
            return None;
        }
        if self.sum(&bytes) != sum {
            self.tell(Code::ChecksumMismatch, format!("block {bid:#x} at byte {at}: its checksum is another"));
        }
        let bytes = self.unpacked(bytes, &trailer, block);
        Some(bytes)
    }

    /// Makes data plain: in files of large pages they may be packed, which is known by their size before.
    fn unpacked(&mut self, mut bytes: Vec<u8>, trailer: &[u8], block: Block) -> Vec<u8> {
        let before = if self.layout.page > 512 { short(trailer, 18).unwrap_or_default() } else { 0 };
        if before > bytes.len() {
            let mut out = Vec::new();
            let most = self.layout.block as u64;
            let zlib = bytes.first_chunk::<2>().is_some_and(|head| head[0] & 0xf == 8 && u16::from_be_bytes(*head) % 31 == 0);
            let read = match zlib {
                true => ZlibDecoder::new(bytes.as_slice()).take(most).read_to_end(&mut out),
                false => DeflateDecoder::new(bytes.as_slice()).take(most).read_to_end(&mut out),
            };
            if read.is_err() || out.len() != before {
                let detail = format!("block {:#x} at byte {}: unpacks to {} bytes of {before}", block.bid, block.at, out.len());
                self.tell(Code::ContainerDamaged, detail);
            }
            bytes = out;
        }
        // Blocks of the format itself are not hidden: their ids have the second bit set (2.2.2.2).
        if block.bid & 2 == 0 {
            self.crypt.uncover(&mut bytes, block.bid);
        }
        bytes
    }
}

/// An entry of a leaf of the tree of nodes (2.2.2.7.7.4).
pub fn node(entry: &[u8], layout: &Layout) -> Option<Node> {
    let word = layout.word();
    Some(Node {
        nid: long(entry, 0)?,
        data: number(entry, word, word)?,
        sub: number(entry, 2 * word, word)?,
        parent: long(entry, 3 * word)?,
    })
}

/// An entry of a leaf of the tree of blocks (2.2.2.7.7.3).
pub fn block(entry: &[u8], layout: &Layout) -> Option<Block> {
    let word = layout.word();
    let size = u16::try_from(number(entry, 2 * word, 2)?).ok()?;
    Some(Block { bid: number(entry, 0, word)? & !1, at: number(entry, word, word)?, size })
}

fn read_at(file: &File, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
