//! Properties of a node (MS-PST, 2.3.3) and tables (2.3.4), as bags of properties.

use super::file::{Store, long, number, short};
use super::heap::Heap;
use super::tree::Subnodes;
use crate::parse::mail::mapi::Bag;
use model::Code;
use std::borrow::Cow;

/// The kind of heap that holds properties.
const PROPERTIES: u8 = 0xbc;
/// The kind of heap that holds a table.
const TABLE: u8 = 0x7c;
/// Bytes of a column's description.
const COLUMN: usize = 8;

/// Bytes of a value that stands in its place, by kind; `None`: elsewhere (2.3.3.3).
fn fixed(kind: u16) -> Option<usize> {
    Some(match kind {
        0x02 => 2,
        0x0b => 1,
        0x03 | 0x04 | 0x0a => 4,
        0x05 | 0x06 | 0x07 | 0x14 | 0x40 => 8,
        _ => return None,
    })
}

/// What is needed to read the values of a node.
pub struct Values {
    heap: Heap,
    /// Its subnodes: large values among them.
    pub subnodes: Subnodes,
    /// Bytes of a value that are read.
    most: usize,
}

impl Values {
    /// Those of the node with these blocks, if it has a heap.
    pub fn open(store: &mut Store, data: u64, sub: u64, most: usize) -> Option<Values> {
        let subnodes = store.subnodes(sub);
        Values::with(store, data, subnodes, most)
    }

    fn with(store: &mut Store, data: u64, subnodes: Subnodes, most: usize) -> Option<Values> {
        Some(Values { heap: Heap::open(store, data)?, subnodes, most })
    }

    /// The value that a number leads to: in the heap, or a subnode.
    fn value(&mut self, store: &mut Store, id: u32) -> Option<Vec<u8>> {
        if id & 0x1f == 0 {
            return self.heap.value(store, id);
        }
        match self.subnodes.get(&id).copied() {
            Some((data, _)) => Some(store.data(data, self.most).0),
            None => {
                store.tell(Code::Missing, format!("subnode {id:#x}: a value stands there that is gone"));
                None
            }
        }
    }

    /// The properties, without those that the caller reads itself.
    pub fn bag(&mut self, store: &mut Store, without: &[u16]) -> Bag<'static> {
        let mut bag = Bag::default();
        if self.heap.kind != PROPERTIES {
            store.tell(Code::ContainerDamaged, format!("heap of kind {:#x} where properties were expected", self.heap.kind));
            return bag;
        }
        for (key, entry) in self.heap.entries(store, self.heap.root) {
            let (Some(id), Some(kind), Some(raw)) = (number(&key, 0, 2), number(&entry, 0, 2), entry.get(2..6)) else { continue };
            let (Ok(id), Ok(kind), Some(place)) = (u16::try_from(id), u16::try_from(kind), long(raw, 0)) else { continue };
            if without.contains(&id) {
                continue;
            }
            let value = match fixed(kind) {
                Some(size) if size <= 4 => raw.get(..size).map(<[u8]>::to_vec),
                _ => self.value(store, place),
            };
            if let Some(value) = value {
                bag.put(id, kind, Cow::Owned(value));
            }
        }
        bag
    }

    /// The block of the value of a property, where it is a subnode: the caller reads it itself.
    pub fn object(&mut self, store: &mut Store, wanted: u16) -> Option<(u64, u64)> {
        let entries = self.heap.entries(store, self.heap.root);
        let entry = entries.into_iter().find(|(key, _)| number(key, 0, 2) == Some(u64::from(wanted)))?.1;
        let (kind, id) = (short(&entry, 0)?, long(&entry, 2)?);
        // An object's value is the id of its subnode and its size (2.3.3.5).
        let id = if kind == 0x0d { long(&self.heap.value(store, id)?, 0)? } else { id };
        self.subnodes.get(&id).copied()
    }

    /// The bytes of a property.
    pub fn bytes(&mut self, store: &mut Store, wanted: u16) -> Option<Vec<u8>> {
        let entries = self.heap.entries(store, self.heap.root);
        let entry = entries.into_iter().find(|(key, _)| number(key, 0, 2) == Some(u64::from(wanted)))?.1;
        let id = long(&entry, 2)?;
        self.value(store, id)
    }

    /// The numbers of a table's rows, in order: nodes, where the rows are of nodes. Second: whether all could be read.
    pub fn rows(&mut self, store: &mut Store) -> (Vec<u32>, bool) {
        let Some(head) = self.table(store) else { return (Vec::new(), false) };
        let Some(index) = long(&head, 10) else { return (Vec::new(), false) };
        let rows = self.heap.entries(store, index);
        (rows.iter().filter_map(|(key, _)| long(key, 0)).collect(), true)
    }

    fn table(&mut self, store: &mut Store) -> Option<Vec<u8>> {
        let head = self.heap.value(store, self.heap.root)?;
        if self.heap.kind != TABLE || head.first() != Some(&TABLE) {
            store.tell(Code::ContainerDamaged, format!("heap of kind {:#x} where a table was expected", self.heap.kind));
            return None;
        }
        Some(head)
    }

    /// The rows of a table as bags, up to that many.
    pub fn bags(&mut self, store: &mut Store, most: usize) -> Vec<(u32, Bag<'static>)> {
        let Some(head) = self.table(store) else { return Vec::new() };
        let (Some(row_size), Some(bits), Some(index), Some(rows)) =
            (short(&head, 8), short(&head, 6), long(&head, 10), long(&head, 14))
        else {
            return Vec::new();
        };
        let columns: Vec<[u8; COLUMN]> =
            head.get(22..).unwrap_or_default().chunks_exact(COLUMN).filter_map(|column| column.try_into().ok()).collect();
        let mut matrix = Matrix::open(self, store, rows, row_size);
        let order = self.heap.entries(store, index);
        if order.len() > most {
            store.tell(Code::CapEntries, format!("a table of {} rows, of which {most} are read", order.len()));
        }
        let mut bags = Vec::new();
        for (key, place) in order.into_iter().take(most) {
            let (Some(id), Some(number)) = (long(&key, 0), number(&place, 0, place.len().min(4))) else { continue };
            let Some(row) = usize::try_from(number).ok().and_then(|number| matrix.row(store, number)) else {
                store.tell(Code::ContainerDamaged, format!("row {number} of a table is not there"));
                continue;
            };
            let mut bag = Bag::default();
            for column in &columns {
                self.cell(store, column, &row, bits, &mut bag);
            }
            bags.push((id, bag));
        }
        bags
    }

    fn cell(&mut self, store: &mut Store, column: &[u8], row: &[u8], bits: usize, bag: &mut Bag<'static>) {
        let (Some(kind), Some(id), Some(at), Some(size), Some(bit)) =
            (number(column, 0, 2), number(column, 2, 2), short(column, 4), number(column, 6, 1), number(column, 7, 1))
        else {
            return;
        };
        let (Ok(kind), Ok(id), Ok(size), Ok(bit)) =
            (u16::try_from(kind), u16::try_from(id), usize::try_from(size), usize::try_from(bit))
        else {
            return;
        };
        let there = row.get(bits + bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0);
        let Some(raw) = row.get(at..at + size).filter(|_| there) else { return };
        let value = match fixed(kind) {
            Some(_) => Some(raw.to_vec()),
            None => long(raw, 0).and_then(|place| self.value(store, place)),
        };
        if let Some(value) = value {
            bag.put(id, kind, Cow::Owned(value));
        }
    }
}

/// The rows of a table (2.3.4.4): in one value of the heap, or in blocks that hold whole rows each.
struct Matrix {
    blocks: Vec<u64>,
    loaded: Option<(usize, Vec<u8>)>,
    row: usize,
    each: usize,
}

impl Matrix {
    fn open(values: &mut Values, store: &mut Store, rows: u32, row: usize) -> Matrix {
        let row = row.max(1);
        if rows & 0x1f == 0 {
            let bytes = values.heap.value(store, rows).unwrap_or_default();
            return Matrix { blocks: Vec::new(), loaded: Some((0, bytes)), row, each: usize::MAX };
        }
        let blocks = match values.subnodes.get(&rows).copied() {
            Some((data, _)) => store.leaves(data),
            None => Vec::new(),
        };
        let each = (store.layout.block - store.layout.trailer) / row;
        Matrix { blocks, loaded: None, row, each: each.max(1) }
    }

    fn row(&mut self, store: &mut Store, number: usize) -> Option<Vec<u8>> {
        let (block, within) = (number / self.each, number % self.each);
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != block) {
            self.loaded = Some((block, store.block(*self.blocks.get(block)?)?));
        }
        let from = within.checked_mul(self.row)?;
        self.loaded.as_ref()?.1.get(from..from.checked_add(self.row)?).map(<[u8]>::to_vec)
    }
}
