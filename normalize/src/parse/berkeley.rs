//! Berkeley DB files of the btree access method: keys and values, those of deleted and older entries too.
//!
//! Format: `dbinc/db_page.h` of Berkeley DB 4.8 and 5.3. A page has a header of 26 bytes, behind it the places of its items, which
//! fill it from its end: first a key, below it its value. What deletion leaves lies between the places and the items, in pages that
//! were given back, and in pages that no tree reaches; such a pair is taken if the caller knows its key and it is whole.

use model::State;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Magic number of a btree, at byte 12 of the first page.
const MAGIC: u32 = 0x0005_3162;
/// Bytes before the places of a page's items.
const HEADER: usize = 26;
/// Bytes of the fields of a meta page up to its root.
const ROOT_AT: usize = 88;
/// Types of pages: given back, inner and leaf pages of a tree, parts of a long item.
const FREE: u8 = 0;
const INNER: u8 = 3;
const LEAF: u8 = 5;
const OVERFLOW: u8 = 7;
/// Types of items: one that lies on its page, and one whose bytes lie on pages of their own.
const ON_PAGE: u8 = 1;
const OFF_PAGE: u8 = 3;
/// Bit of a deleted item's type.
const DELETED: u8 = 0x80;
/// Flag of a meta page whose tree holds the databases of the file by name.
const HAS_DATABASES: u32 = 0x20;

/// A key and its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Pair<'c> {
    /// The key.
    pub key: Cow<'c, [u8]>,
    /// The value.
    pub value: Cow<'c, [u8]>,
    /// First byte and bytes in the file of the item that holds the value.
    pub range: (u64, u64),
    /// Live, or superseded or recovered from what deletion left.
    pub state: State,
}

/// What was read of a file.
#[derive(Default)]
pub struct Found<'c> {
    /// Live pairs in the order of their keys, then the others in the order of the file.
    pub pairs: Vec<Pair<'c>>,
    /// What is damaged.
    pub damage: Vec<String>,
    /// Bytes that hold no item any more, with the place of the first: deletion moves items over each other, so that a value can be whole
    /// whose key is not.
    pub slack: Vec<(u64, &'c [u8])>,
}

/// Whether the first bytes are those of a btree.
pub fn is_btree(head: &[u8]) -> bool {
    big_endian(head).is_some()
}

fn big_endian(head: &[u8]) -> Option<bool> {
    let magic: [u8; 4] = head.get(12..16)?.first_chunk().copied()?;
    let size: [u8; 4] = head.get(20..24)?.first_chunk().copied()?;
    let sound = |size: u32| (512..=65536).contains(&size) && size.is_power_of_two();
    match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
        (MAGIC, _) if sound(u32::from_le_bytes(size)) => Some(false),
        (_, MAGIC) if sound(u32::from_be_bytes(size)) => Some(true),
        _ => None,
    }
}

/// Reads a file: every database in it. `known` says whether bytes are a key that the caller knows: only such are looked for in what
/// deletion left.
pub fn read<'c>(content: &'c [u8], known: &dyn Fn(&[u8]) -> bool) -> Found<'c> {
    let Some(big) = big_endian(content) else { return Found::default() };
    let mut file = File { content, size: 512, big, damage: Vec::new(), reached: HashSet::new(), slack: Vec::new() };
    file.size = file.number(content, 20).and_then(|size| usize::try_from(size).ok()).unwrap_or(512);
    let mut pairs = Vec::new();
    let flags = file.number(content, 48).unwrap_or_default();
    let mut roots = Vec::new();
    if flags & HAS_DATABASES == 0 {
        roots.push(0);
    } else {
        for database in file.tree(0) {
            // The number of the database's meta page, in network order whatever the machine's.
            roots.extend(database.value.first_chunk().map(|number| u32::from_be_bytes(*number)));
        }
    }
    for root in roots {
        pairs.extend(file.tree(root));
    }
    file.left(&mut pairs, known);
    Found { pairs, damage: file.damage, slack: file.slack }
}

/// An opened file.
struct File<'c> {
    content: &'c [u8],
    size: usize,
    big: bool,
    damage: Vec<String>,
    /// Pages that a tree or a long item reaches.
    reached: HashSet<u32>,
    slack: Vec<(u64, &'c [u8])>,
}

/// An item of a leaf page.
struct Item<'c> {
    bytes: Cow<'c, [u8]>,
    range: (u64, u64),
    deleted: bool,
}

impl<'c> File<'c> {
    fn number(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let number = *bytes.get(at..)?.first_chunk()?;
        Some(if self.big { u32::from_be_bytes(number) } else { u32::from_le_bytes(number) })
    }

    fn short(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let number = *bytes.get(at..)?.first_chunk()?;
        Some(usize::from(if self.big { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) }))
    }

    /// A page that lies whole in the file.
    fn page(&self, number: u32) -> Option<&'c [u8]> {
        let start = usize::try_from(number).ok()?.checked_mul(self.size)?;
        self.content.get(start..start.checked_add(self.size)?)
    }

    /// First byte of a place of a page in the file.
    fn place(&self, page: u32, at: usize) -> u64 {
        (u64::from(page)).saturating_mul(self.size as u64).saturating_add(at as u64)
    }

    /// Every pair of the tree whose meta page is given.
    fn tree(&mut self, meta: u32) -> Vec<Pair<'c>> {
        let mut pairs = Vec::new();
        self.reached.insert(meta);
        let Some(root) = self.page(meta).and_then(|page| self.number(page, ROOT_AT)) else {
            self.damage.push(format!("page {meta}: the root of a tree cannot be read"));
            return pairs;
        };
        // Pages that are still to be read, the next one last; each is read once, so a circle ends.
        let mut open = vec![root];
        while let Some(number) = open.pop() {
            if !self.reached.insert(number) {
                self.damage.push(format!("page {number} is reached twice"));
                continue;
            }
            let Some(page) = self.page(number) else {
                self.damage.push(format!("page {number} lies outside the file"));
                continue;
            };
            match page.get(25) {
                Some(&INNER) => {
                    let children = self.children(page);
                    open.extend(children.into_iter().rev());
                }
                Some(&LEAF) => self.leaf(number, page, &mut pairs),
                _ => self.damage.push(format!("page {number} is of no type of a tree")),
            }
        }
        pairs
    }

    /// Places of a page's items.
    fn places(&self, page: &[u8]) -> Vec<usize> {
        let count = self.short(page, 20).unwrap_or_default().min(self.size / 2);
        (0..count).filter_map(|index| self.short(page, HEADER + 2 * index)).collect()
    }

    fn children(&self, page: &[u8]) -> Vec<u32> {
        self.places(page).into_iter().filter_map(|at| self.number(page, at.checked_add(4)?)).collect()
    }

    /// Pairs of a leaf page: each key stands before its value. One that is marked as deleted is recovered.
    fn leaf(&mut self, number: u32, page: &'c [u8], pairs: &mut Vec<Pair<'c>>) {
        for pair in self.places(page).chunks(2) {
            let (key, value) = match pair {
                [key, value] => (self.item(number, page, *key), self.item(number, page, *value)),
                _ => (None, None),
            };
            let (Some(key), Some(value)) = (key, value) else {
                self.damage.push(format!("page {number}: an entry cannot be read"));
                continue;
            };
            let state = if key.deleted || value.deleted { State::Recovered } else { State::Live };
            pairs.push(Pair { key: key.bytes, value: value.bytes, range: value.range, state });
        }
    }

    /// The item at a place of a page.
    fn item(&mut self, number: u32, page: &'c [u8], at: usize) -> Option<Item<'c>> {
        let kind = *page.get(at.checked_add(2)?)?;
        let deleted = kind & DELETED != 0;
        match kind & !DELETED {
            ON_PAGE => {
                let length = self.short(page, at)?;
                let from = at.checked_add(3)?;
                let bytes = page.get(from..from.checked_add(length)?)?;
                Some(Item { bytes: Cow::Borrowed(bytes), range: (self.place(number, from), length as u64), deleted })
            }
            OFF_PAGE => {
                let (first, length) = (self.number(page, at.checked_add(4)?)?, self.number(page, at.checked_add(8)?)?);
                let bytes = self.long(first, length)?;
                let range = (self.place(first, HEADER), u64::from(length));
                Some(Item { bytes: Cow::Owned(bytes), range, deleted })
            }
            _ => None,
        }
    }

    /// A long item: its parts lie on pages that name the next.
    fn long(&mut self, first: u32, length: u32) -> Option<Vec<u8>> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.content.len())?;
        let (mut bytes, mut next) = (Vec::with_capacity(length), first);
        let mut pages = HashSet::new();
        while bytes.len() < length {
            let page = self.page(next).filter(|page| page.get(25) == Some(&OVERFLOW))?;
            if !pages.insert(next) {
                return None;
            }
            let part = self.short(page, 22)?;
            bytes.extend_from_slice(page.get(HEADER..HEADER.checked_add(part)?)?);
            next = self.number(page, 16)?;
        }
        self.reached.extend(pages);
        (bytes.len() == length).then_some(bytes)
    }

    /// Adds what deletion left: pairs that are not the same as a live one, each once.
    fn left(&mut self, pairs: &mut Vec<Pair<'c>>, known: &dyn Fn(&[u8]) -> bool) {
        let mut left = Vec::new();
        let count = u32::try_from(self.content.len() / self.size.max(1)).unwrap_or(u32::MAX);
        for number in 0..count {
            let Some(page) = self.page(number) else { continue };
            let reached = self.reached.contains(&number);
            let (kind, entries) = (page.get(25).copied(), self.short(page, 20).unwrap_or_default());
            let behind = HEADER.saturating_add(entries.saturating_mul(2));
            match kind {
                Some(LEAF) => {
                    if !reached {
                        let mut orphans = Vec::new();
                        let before = self.damage.len();
                        self.leaf(number, page, &mut orphans);
                        // What a tree has given up need not be whole.
                        self.damage.truncate(before);
                        left.extend(orphans.into_iter().filter(|pair| known(&pair.key)));
                    }
                    let end = self.short(page, 22).unwrap_or_default();
                    self.carve(number, page, (behind, end), known, &mut left);
                }
                Some(FREE) => self.carve(number, page, (HEADER, self.size), known, &mut left),
                _ => {}
            }
        }
        let live: HashMap<&[u8], &[u8]> =
            pairs.iter().filter(|pair| pair.state == State::Live).map(|pair| (pair.key.as_ref(), pair.value.as_ref())).collect();
        let mut told = HashSet::new();
        let mut fresh = Vec::new();
        for mut pair in left {
            let current = live.get(pair.key.as_ref());
            if current.is_some_and(|value| **value == *pair.value) || !told.insert((pair.key.to_vec(), pair.value.to_vec())) {
                continue;
            }
            pair.state = if current.is_some() { State::Superseded } else { State::Recovered };
            fresh.push(pair);
        }
        pairs.extend(fresh);
    }

    /// Looks through bytes that hold no item any more: a key that is known, and the value that ends where it begins.
    fn carve(
        &mut self,
        number: u32,
        page: &'c [u8],
        (from, to): (usize, usize),
        known: &dyn Fn(&[u8]) -> bool,
        left: &mut Vec<Pair<'c>>,
    ) {
        if let Some(bytes) = page.get(from..to.min(self.size)) {
            self.slack.push((self.place(number, from), bytes));
        }
        // Items begin at a multiple of four.
        let mut at = from.div_ceil(4) * 4;
        let first = at;
        while at < to.min(self.size) {
            let key = self.item(number, page, at).filter(|key| matches!(key.bytes, Cow::Borrowed(_)) && known(&key.bytes));
            if let Some(key) = key
                && let Some(value) = self.below(number, page, first, at)
            {
                left.push(Pair { key: key.bytes, value: value.bytes, range: value.range, state: State::Recovered });
            }
            at += 4;
        }
    }

    /// The item that ends where another begins.
    fn below(&mut self, number: u32, page: &'c [u8], first: usize, end: usize) -> Option<Item<'c>> {
        let mut at = end.checked_sub(4)?;
        while at >= first {
            let kind = page.get(at.checked_add(2)?).map(|kind| kind & !DELETED);
            let length = match kind {
                Some(ON_PAGE) => self.short(page, at)?.saturating_add(3).div_ceil(4).saturating_mul(4),
                Some(OFF_PAGE) => 12,
                _ => 0,
            };
            if length > 0 && at.checked_add(length) == Some(end) {
                return self.item(number, page, at);
            }
            at = at.checked_sub(4)?;
        }
        None
    }
}

#[cfg(test)]
mod tests;
