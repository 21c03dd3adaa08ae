//! Which table a page belongs to: the schema on page 1, and the b-trees from their roots down.
//!
//! Format: <https://www.sqlite.org/fileformat2.html>, sections 1.6 and 2.6 (`sqlite_schema`: type, name, tbl_name, rootpage, sql).

use crate::find::pages::{Geometry, Kind, Node, PageFile, be32, node, node_into};
use crate::find::payload::cell;
use crate::find::row::{body_length, integer, text, varint};
use std::io;

/// Deepest tree that is walked: with the least fan-out of two, more pages than a file can have.
const DEPTH_MAX: usize = 40;

/// Name of the schema table, as every version of SQLite knows it.
const SCHEMA: &str = "sqlite_master";

/// Where the pages of a database come from.
pub trait Pages {
    /// How many there are.
    fn count(&self) -> u64;
    /// Their geometry.
    fn geometry(&self) -> Geometry;
    /// Reads a page; false where there is no such whole page.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn read(&self, number: u32, page: &mut Vec<u8>) -> io::Result<bool>;
}

impl Pages for PageFile {
    fn count(&self) -> u64 {
        self.pages()
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&self, number: u32, page: &mut Vec<u8>) -> io::Result<bool> {
        self.page(number, page)
    }
}

/// Which b-tree each page belongs to.
pub struct Owners {
    /// Names of the trees; `None` for indexes.
    names: Vec<Option<String>>,
    /// Page number less one to place in `names` plus one; 0 for pages that no tree reaches.
    pages: Vec<u32>,
    /// What was wrong on the way.
    pub problems: Vec<String>,
}

impl Owners {
    /// Walks every tree of the file.
    pub fn walk(file: &dyn Pages) -> io::Result<Owners> {
        let count = usize::try_from(file.count().min(u64::from(u32::MAX - 1))).unwrap_or(usize::MAX);
        let mut owners = Owners { names: vec![Some(SCHEMA.to_owned())], pages: vec![0; count], problems: Vec::new() };
        owners.tree(file, 1, 1)?;
        let mut roots = Vec::new();
        let mut page = Vec::new();
        for number in 1..=count as u32 {
            if owners.pages.get(number as usize - 1) == Some(&1) && file.read(number, &mut page)? {
                schema_rows(file, number, &page, &mut roots);
            }
        }
        for (name, root) in roots {
            owners.names.push(name);
            let owner = owners.names.len() as u32;
            owners.tree(file, root, owner)?;
        }
        Ok(owners)
    }

    /// Whether a tree reaches that page.
    pub fn reached(&self, number: u32) -> bool {
        self.owner(number) != 0
    }

    /// Place of the page's tree among all trees, from 1; 0 for none.
    pub fn owner(&self, number: u32) -> usize {
        (number as usize).checked_sub(1).and_then(|index| self.pages.get(index)).map_or(0, |owner| *owner as usize)
    }

    /// The table that a page belongs to.
    pub fn table(&self, number: u32) -> Option<&str> {
        self.names.get(self.owner(number).checked_sub(1)?)?.as_deref()
    }

    /// Marks a page; false where it is outside the file or belongs to a tree already.
    fn claim(&mut self, number: u32, owner: u32) -> bool {
        match (number as usize).checked_sub(1).and_then(|index| self.pages.get_mut(index)) {
            Some(mark) if *mark == 0 => {
                *mark = owner;
                true
            }
            _ => {
                self.problems.push(format!("page {number} is outside the file or in two b-trees"));
                false
            }
        }
    }

    /// Marks the pages of one tree. All its leaves lie at one depth, so that they need not be read.
    fn tree(&mut self, file: &dyn Pages, root: u32, owner: u32) -> io::Result<()> {
        let depth = depth(file, root)?;
        let mut stack = vec![(root, depth)];
        let (mut page, mut node) = (Vec::new(), Node::default());
        while let Some((number, below)) = stack.pop() {
            if !self.claim(number, owner) || below == 0 || !file.read(number, &mut page)? {
                continue;
            }
            if let Some(kind) = node_into(&page, start(number), file.geometry().usable, &mut node)
                && kind.interior()
            {
                let children = node.cells.iter().filter_map(|at| be32(&page, *at)).chain(node.right);
                stack.extend(children.map(|child| (child, below - 1)));
            }
        }
        Ok(())
    }
}

/// Where the b-tree header of a page begins.
pub fn start(number: u32) -> usize {
    if number == 1 { 100 } else { 0 }
}

/// Levels below the root, along the rightmost children.
fn depth(file: &dyn Pages, root: u32) -> io::Result<usize> {
    let mut page = Vec::new();
    let mut number = root;
    for depth in 0..DEPTH_MAX {
        if !file.read(number, &mut page)? {
            return Ok(depth);
        }
        match node(&page, start(number), file.geometry().usable) {
            Some((kind, Node { right: Some(right), .. })) if kind.interior() => number = right,
            _ => return Ok(depth),
        }
    }
    Ok(DEPTH_MAX)
}

/// Reads name and root page of the tables and indexes on a leaf of the schema. Rows that spill over keep their first columns
/// in the page, and those are all that is wanted.
fn schema_rows(file: &dyn Pages, number: u32, page: &[u8], roots: &mut Vec<(Option<String>, u32)>) {
    let usable = file.geometry().usable;
    let Some((Kind::TableLeaf, node)) = node(page, start(number), usable) else { return };
    for at in node.cells {
        let row = cell(page, at, usable, Kind::TableLeaf, &file.geometry())
            .and_then(|cell| schema_row(page.get(cell.local)?, file.geometry().encoding));
        roots.extend(row);
    }
}

/// Name (of a table; `None` for an index) and root page of one row of the schema; `None` for views, triggers, virtual tables.
fn schema_row(payload: &[u8], encoding: model::observable::Encoding) -> Option<(Option<String>, u32)> {
    let (header, mut at) = varint(payload)?;
    let mut body = usize::try_from(header).ok()?;
    let mut columns = [(0, [].as_slice()); 4];
    for column in &mut columns {
        let (serial, length) = varint(payload.get(at..)?)?;
        at += length;
        let end = body.checked_add(usize::try_from(body_length(serial)?).ok()?)?;
        *column = (serial, payload.get(body..end)?);
        body = end;
    }
    let [kind, name, _, root] = columns;
    let root = u32::try_from(integer(root.0, root.1)?).ok().filter(|root| *root > 0)?;
    let is_table = text(kind.1, encoding) == "table";
    Some((is_table.then(|| text(name.1, encoding)), root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::observable::Encoding;

    #[test]
    fn schema_row_of_a_table_and_of_a_view() {
        // Header of 6 bytes: texts of 5, 1, 1 bytes, one-byte integer, text of 2.
        let row = b"\x06\x17\x0f\x0f\x01\x11tabletT\x07hi";
        assert_eq!(schema_row(row, Encoding::Utf8), Some((Some("t".to_owned()), 7)));
        let view = b"\x06\x15\x0f\x0f\x08\x11viewvvhi";
        assert_eq!(schema_row(view, Encoding::Utf8), None);
        assert_eq!(schema_row(&row[..9], Encoding::Utf8), None);
    }
}
