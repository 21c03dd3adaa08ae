//! Pages of a SQLite file read raw: header, geometry, b-tree page headers and cell pointers.
//!
//! Format: <https://www.sqlite.org/fileformat2.html>, sections 1.3 (database header) and 1.6 (b-tree pages). Offsets are bytes,
//! big endian integers. Nothing here trusts a number: what does not fit gives `None` or an empty list.

use model::observable::Encoding;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// First bytes of every SQLite database.
pub const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Bytes read at once while passing through a file.
const BLOCK: usize = 1 << 20;

/// Kinds of b-tree pages (their first byte).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// 2: interior page of an index.
    IndexInterior,
    /// 5: interior page of a table.
    TableInterior,
    /// 10: leaf of an index or WITHOUT ROWID table.
    IndexLeaf,
    /// 13: leaf of a table.
    TableLeaf,
}

impl Kind {
    /// The kind with that byte.
    pub fn of(byte: u8) -> Option<Kind> {
        match byte {
            2 => Some(Kind::IndexInterior),
            5 => Some(Kind::TableInterior),
            10 => Some(Kind::IndexLeaf),
            13 => Some(Kind::TableLeaf),
            _ => None,
        }
    }

    /// Whether cells begin with a child page number.
    pub fn interior(self) -> bool {
        matches!(self, Kind::IndexInterior | Kind::TableInterior)
    }
}

/// What the database header says that reading pages needs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Geometry {
    /// Bytes of a page: a power of two, 512 to 65,536.
    pub page_size: usize,
    /// Bytes of a page less the reserved space at its end; at least 480.
    pub usable: usize,
    /// How texts are stored.
    pub encoding: Encoding,
}

impl Geometry {
    /// Reads the header (at least 100 bytes); `None` where it is not a SQLite database's.
    pub fn of(head: &[u8]) -> Option<Geometry> {
        if head.len() < 100 || !head.starts_with(MAGIC) {
            return None;
        }
        let page_size = match be16(head, 16)? {
            1 => 65_536,
            size => usize::from(size),
        };
        if page_size < 512 || !page_size.is_power_of_two() {
            return None;
        }
        let usable = page_size.checked_sub(usize::from(*head.get(20)?)).filter(|usable| *usable >= 480)?;
        let encoding = match be32(head, 56)? {
            2 => Encoding::Utf16le,
            3 => Encoding::Utf16be,
            _ => Encoding::Utf8,
        };
        Some(Geometry { page_size, usable, encoding })
    }

    /// Bytes of a payload that are stored in its cell; the rest is in overflow pages (section 1.6, "cell payload overflow").
    pub fn local(&self, kind: Kind, payload: u64) -> usize {
        let usable = self.usable as u64;
        let most = match kind {
            Kind::TableLeaf => usable.saturating_sub(35),
            _ => (usable.saturating_sub(12) * 64 / 255).saturating_sub(23),
        };
        if payload <= most {
            return payload as usize;
        }
        let least = (usable.saturating_sub(12) * 32 / 255).saturating_sub(23);
        let wanted = least + (payload - least.min(payload)) % usable.saturating_sub(4).max(1);
        (if wanted <= most { wanted } else { least }) as usize
    }
}

/// A file of pages: the database, or pages out of a companion.
pub struct PageFile {
    file: File,
    /// Bytes of the file.
    pub length: u64,
    /// Its geometry.
    pub geometry: Geometry,
}

impl PageFile {
    /// Opens a file for reading; the geometry is the caller's.
    pub fn open(path: &Path, geometry: Geometry) -> io::Result<PageFile> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(PageFile { file, length, geometry })
    }

    /// How many pages, a cut last one counted.
    pub fn pages(&self) -> u64 {
        self.length.div_ceil(self.geometry.page_size as u64)
    }

    /// First byte of page `number` (counted from 1).
    pub fn offset(&self, number: u32) -> u64 {
        u64::from(number).saturating_sub(1) * self.geometry.page_size as u64
    }

    /// Reads bytes at an offset, fewer only at the end of the file.
    pub fn read_at(&self, offset: u64, buffer: &mut Vec<u8>, length: usize) -> io::Result<()> {
        let length = (self.length.saturating_sub(offset)).min(length as u64) as usize;
        buffer.resize(length, 0);
        self.file.read_exact_at(buffer, offset)
    }

    /// Reads a page into the buffer; false where the file has no such whole page.
    pub fn page(&self, number: u32, buffer: &mut Vec<u8>) -> io::Result<bool> {
        let offset = self.offset(number);
        let size = self.geometry.page_size;
        if number == 0 || offset + size as u64 > self.length {
            return Ok(false);
        }
        self.read_at(offset, buffer, size)?;
        Ok(true)
    }

    /// How many pages a block holds (see [`PageFile::block`]).
    pub fn block_pages(&self) -> u32 {
        (BLOCK / self.geometry.page_size) as u32
    }

    /// Reads the pages from `first` on that make one block; the last page of the file may be cut short.
    pub fn block(&self, first: u32, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.read_at(self.offset(first), buffer, BLOCK)
    }
}

/// The header and cell pointers of a b-tree page.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Cell offsets in the page that lie behind the pointer array and inside the usable space, ascending, each once.
    pub cells: Vec<usize>,
    /// First byte behind the cell pointer array.
    pub content: usize,
    /// Starts of freeblocks, as their chain has them.
    pub freeblocks: Vec<usize>,
    /// The rightmost child of an interior page.
    pub right: Option<u32>,
    /// Cell pointers that lead nowhere or twice to one place.
    pub wrong: usize,
}

/// Reads the header of a b-tree page. `start` is 100 on page 1, else 0. `None` where the page cannot be one.
pub fn node(page: &[u8], start: usize, usable: usize) -> Option<(Kind, Node)> {
    let mut node = Node::default();
    let kind = node_into(page, start, usable, &mut node)?;
    Some((kind, node))
}

/// As [`node`], into a node whose lists are used again.
pub fn node_into(page: &[u8], start: usize, usable: usize, node: &mut Node) -> Option<Kind> {
    let kind = Kind::of(*page.get(start)?)?;
    let usable = usable.min(page.len());
    let header = if kind.interior() { 12 } else { 8 };
    let array = start + header;
    let count = usize::from(be16(page, start + 3)?);
    let content = array + 2 * count;
    // A b-tree cell takes four bytes at least, two more for its pointer.
    if content > usable || count > usable / 6 {
        return None;
    }
    node.cells.clear();
    node.freeblocks.clear();
    node.content = content;
    node.right = if kind.interior() { be32(page, start + 8) } else { None };
    node.cells.extend(page.get(array..content)?.chunks_exact(2).map(|pair| match *pair {
        [high, low] => usize::from(high) << 8 | usize::from(low),
        _ => 0,
    }));
    node.cells.retain(|cell| (content..usable.saturating_sub(3)).contains(cell));
    node.cells.sort_unstable();
    node.cells.dedup();
    node.wrong = count - node.cells.len();
    let mut next = usize::from(be16(page, start + 1)?);
    // Freeblocks are chained in ascending order, so that the chain ends.
    while next >= content && next + 4 <= usable && node.freeblocks.last().is_none_or(|last| *last < next) {
        node.freeblocks.push(next);
        next = usize::from(be16(page, next)?);
    }
    Some(kind)
}

/// A big endian u16.
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// A big endian u32.
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(page_size: u16, reserved: u8, encoding: u32) -> Vec<u8> {
        let mut head = vec![0; 100];
        head[..16].copy_from_slice(MAGIC);
        head[16..18].copy_from_slice(&page_size.to_be_bytes());
        head[20] = reserved;
        head[56..60].copy_from_slice(&encoding.to_be_bytes());
        head
    }

    #[test]
    fn geometry_reads_sizes_and_refuses_nonsense() {
        let geometry = Geometry::of(&header(1, 32, 2)).unwrap();
        assert_eq!((geometry.page_size, geometry.usable, geometry.encoding), (65_536, 65_504, Encoding::Utf16le));
        assert_eq!(Geometry::of(&header(513, 0, 1)), None);
        assert_eq!(Geometry::of(&header(256, 0, 1)), None);
        assert_eq!(Geometry::of(&header(512, 200, 1)), None);
        assert_eq!(Geometry::of(&header(512, 0, 1)[..99]), None);
    }

    #[test]
    fn local_payload_follows_the_formula_of_the_format() {
        // Worked by hand from section 1.6 with U = 4096: X = 4061 (table), 1002 (index), M = 489.
        let geometry = Geometry { page_size: 4096, usable: 4096, encoding: Encoding::Utf8 };
        assert_eq!(geometry.local(Kind::TableLeaf, 4061), 4061);
        // K = M + (P - M) mod 4092, kept if it is at most X.
        assert_eq!(geometry.local(Kind::TableLeaf, 4062), 489);
        assert_eq!(geometry.local(Kind::TableLeaf, 4581), 489);
        assert_eq!(geometry.local(Kind::TableLeaf, 5000), 489 + 419);
        assert_eq!(geometry.local(Kind::IndexLeaf, 1002), 1002);
        assert_eq!(geometry.local(Kind::IndexLeaf, 1003), 489);
        assert_eq!(geometry.local(Kind::IndexLeaf, 5000), 489 + 419);
        assert_eq!(geometry.local(Kind::IndexLeaf, u64::MAX), 489);
    }

    #[test]
    fn node_drops_pointers_that_lead_nowhere() {
        let mut page = vec![0u8; 512];
        page[0] = 13;
        page[4] = 3;
        page[8..14].copy_from_slice(&[1, 0, 1, 0, 0xff, 0xff]);
        let (kind, node) = node(&page, 0, 512).unwrap();
        assert_eq!((kind, node.cells.clone(), node.wrong), (Kind::TableLeaf, vec![256], 2));
        page[3] = 0xff;
        assert!(super::node(&page, 0, 512).is_none());
    }

    #[test]
    fn freeblock_chain_that_turns_back_ends() {
        let mut page = vec![0u8; 512];
        page[0] = 13;
        page[1..3].copy_from_slice(&[1, 0]);
        page[256..260].copy_from_slice(&[1, 64, 0, 10]);
        page[320..324].copy_from_slice(&[1, 0, 0, 10]);
        assert_eq!(node(&page, 0, 512).unwrap().1.freeblocks, vec![256, 320]);
    }
}
