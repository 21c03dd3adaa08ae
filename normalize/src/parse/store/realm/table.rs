//! Tables: names and columns in the group's arrays, rows in trees of clusters (since format 10) or in one tree a column (before).

use super::array::{Array, Element, File};
use std::collections::HashSet;

/// Types of columns that hold text or bytes.
const STRING: i64 = 2;
const BINARY: i64 = 4;
/// Attributes of a column that is a list or set.
const COLLECTION: i64 = 32 | 128;
/// Deepest tree that is followed.
const DEPTH: u32 = 32;

/// Hears a string: table, column, row, its bytes, and their place in the file.
type Visit<'v> = &'v mut dyn FnMut(&str, &str, usize, &[u8], (u64, u64));

/// Visits the strings of every table.
///
/// # Errors
/// What is damaged; what could be read was visited.
pub fn strings(file: &File<'_>, which: usize, visit: Visit<'_>) -> Result<(), Vec<String>> {
    let mut damage = Vec::new();
    let top = file.top(which).and_then(|at| file.array(at));
    let names = top.and_then(|top| file.array(top.place(0)?));
    let tables = top.and_then(|top| file.array(top.place(1)?));
    let (Some(names), Some(tables)) = (names, tables) else {
        return Err(vec!["the top of the database cannot be read".to_owned()]);
    };
    for number in 0..tables.count {
        let name = names.short(number).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
        let name = name.strip_prefix("class_").unwrap_or(&name);
        let Some(table) = tables.place(number).and_then(|at| file.array(at)) else {
            damage.push(format!("table {number} {name:?} cannot be read"));
            continue;
        };
        let mut reading = Reading { file, seen: HashSet::new(), whole: true };
        if reading.table(&table, name, visit).is_none() || !reading.whole {
            damage.push(format!("table {name:?} cannot be read to its end"));
        }
    }
    if damage.is_empty() { Ok(()) } else { Err(damage) }
}

/// A column that is read.
struct Column {
    name: String,
    /// Place among the columns of a cluster or table.
    index: usize,
    collection: bool,
}

struct Reading<'f, 'c> {
    file: &'f File<'c>,
    /// Places that were read: what refers to itself ends.
    seen: HashSet<usize>,
    whole: bool,
}

impl<'c> Reading<'_, 'c> {
    fn array(&mut self, at: usize) -> Option<Array<'c>> {
        if !self.seen.insert(at) {
            self.whole = false;
            return None;
        }
        let array = self.file.array(at);
        self.whole &= array.is_some();
        array
    }

    fn table(&mut self, table: &Array<'c>, name: &str, visit: Visit<'_>) -> Option<()> {
        let spec = self.array(table.place(0)?)?;
        let columns = self.columns(&spec)?;
        match table.place(2) {
            // Clusters; the second element held the columns before.
            Some(clusters) => self.cluster(clusters, &columns, name, &mut 0, 0, visit),
            None => {
                let Some(roots) = table.place(1).and_then(|at| self.array(at)) else { return Some(()) };
                for column in &columns {
                    if let Some(at) = roots.place(column.index) {
                        let mut row = 0;
                        self.column(at, column, name, &mut row, 0, visit);
                    }
                }
                Some(())
            }
        }
    }

    /// Columns of text: types, names and attributes stand in arrays side by side, and since format 10 a key whose lower half is the
    /// column's place in a cluster.
    fn columns(&mut self, spec: &Array<'c>) -> Option<Vec<Column>> {
        let types = self.array(spec.place(0)?)?;
        let names = self.array(spec.place(1)?)?;
        let attributes = spec.place(2).and_then(|at| self.array(at));
        let keys =
            spec.place(5).or_else(|| spec.place(4)).and_then(|at| self.file.array(at)).filter(|keys| keys.count == types.count);
        let mut columns = Vec::new();
        for index in 0..types.count {
            if !matches!(types.number(index), Some(STRING | BINARY)) {
                continue;
            }
            let name = names.short(index).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
            let attribute = attributes.and_then(|attributes| attributes.number(index)).unwrap_or_default();
            let key = keys.and_then(|keys| keys.number(index)).map(|key| (key & 0xffff) as usize);
            columns.push(Column { name, index: key.unwrap_or(index), collection: attribute & COLLECTION != 0 });
        }
        Some(columns)
    }

    /// A node of a tree of clusters; `row` counts the rows before it.
    fn cluster(
        &mut self,
        at: usize,
        columns: &[Column],
        table: &str,
        row: &mut usize,
        depth: u32,
        visit: Visit<'_>,
    ) -> Option<()> {
        let node = self.array(at).filter(|_| depth < DEPTH)?;
        if node.inner {
            // Keys, depth and size stand before the children.
            for index in 3..node.count {
                if let Some(child) = node.place(index) {
                    self.cluster(child, columns, table, row, depth + 1, visit)?;
                }
            }
            return Some(());
        }
        let rows = match node.element(0)? {
            Element::Number(rows) => usize::try_from(rows).ok()?,
            Element::Place(keys) => self.array(keys)?.count,
            Element::None => 0,
        };
        for column in columns {
            if let Some(at) = node.place(column.index.checked_add(1)?) {
                let mut first = *row;
                self.column(at, column, table, &mut first, 0, visit);
            }
        }
        *row = row.checked_add(rows)?;
        Some(())
    }

    /// The strings of a column, or of a part of it.
    fn column(&mut self, at: usize, column: &Column, table: &str, row: &mut usize, depth: u32, visit: Visit<'_>) {
        let Some(array) = self.array(at).filter(|_| depth < DEPTH) else {
            self.whole = false;
            return;
        };
        if array.inner || (column.collection && depth == 0 && array.refers) {
            let flat = Column { name: column.name.clone(), index: column.index, collection: false };
            // Of an inner node the first and last element are no children: a number or a list of numbers, and a count.
            let children = if array.inner { 1..array.count.saturating_sub(1) } else { 0..array.count };
            for index in children {
                if let Some(child) = array.place(index) {
                    if array.inner {
                        self.column(child, column, table, row, depth + 1, visit);
                    } else {
                        // All strings of a list belong to the row of the list.
                        self.column(child, &flat, table, &mut { *row + index }, depth + 1, visit);
                    }
                }
            }
            return;
        }
        let mut tell = |row: usize, text: &[u8], at: usize| {
            let text = text.strip_suffix(&[0]).unwrap_or(text);
            if !text.is_empty() {
                visit(table, &column.name, row, text, (at as u64, text.len() as u64));
            }
        };
        let first = *row;
        *row = row.saturating_add(self.leaf(&array, first, &mut tell));
    }

    /// The strings of a leaf: short ones side by side, longer ones in one array of bytes with their ends, the longest in one each. How
    /// many elements it has.
    fn leaf(&mut self, array: &Array<'c>, first: usize, tell: &mut dyn FnMut(usize, &[u8], usize)) -> usize {
        if !array.refers {
            for index in 0..array.count {
                if let Some((text, at)) = array.short(index) {
                    tell(first.saturating_add(index), text, at);
                }
            }
            return array.count;
        }
        if array.context {
            for index in 0..array.count {
                let blob = array.place(index).and_then(|at| self.array(at)).and_then(|array| array.blob());
                if let Some((text, at)) = blob {
                    tell(first.saturating_add(index), text, at);
                }
            }
            return array.count;
        }
        let ends = array.place(0).and_then(|at| self.array(at));
        let bytes = array.place(1).and_then(|at| self.array(at)).and_then(|array| array.blob());
        let (Some(ends), Some((bytes, at))) = (ends, bytes) else { return 0 };
        let mut from = 0;
        for index in 0..ends.count {
            let Some(to) = ends.number(index).and_then(|end| usize::try_from(end).ok()) else { break };
            let Some(text) = bytes.get(from..to) else {
                self.whole = false;
                break;
            };
            tell(first.saturating_add(index), text, at.saturating_add(from));
            from = to;
        }
        ends.count
    }
}
