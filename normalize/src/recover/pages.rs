//! Carves every page image: which parts of it are live, and which are not.

use super::Source;
use super::carve::{Carver, Doubts, Found, Space};
use super::images::Images;
use crate::find::pages::{Kind, Node, node_into};
use crate::find::payload::cell;
use crate::find::row::varint;
use crate::find::tree::{Pages as _, start};
use std::collections::HashMap;
use std::io;

/// Where an image lies.
#[derive(Clone, Copy)]
pub struct Place {
    /// The file.
    pub source: Source,
    /// The page's number.
    pub page: u32,
    /// First byte of the image in the file.
    pub offset: u64,
    /// Place of the log and of the image in it; `None` for the database.
    image: Option<(usize, usize)>,
}

/// How far a walk has come: files that are done (the database, then its logs), and images of the next.
#[derive(Clone, Copy, Default)]
pub struct Position {
    files: usize,
    images: usize,
}

/// Most bytes of overflow chains that the rows of one image may take: cells can name one chain many times.
const CHAINS_BYTES: u64 = 64 << 20;

/// Takes what is found; false where that is enough for now.
pub type Take<'t> = dyn FnMut(Place, Found) -> bool + 't;

/// What carving a database needs.
pub struct Walk<'w> {
    /// The files.
    pub images: &'w Images,
    /// The carver.
    pub carver: Carver<'w>,
    /// Place in the list of tables by lower-case name.
    pub names: HashMap<String, usize>,
    /// Pages of dropped tables.
    pub dropped: &'w HashMap<u32, usize>,
}

impl Images {
    /// Marks the overflow pages of every live cell.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn take_live_chains(&mut self) -> io::Result<()> {
        let geometry = self.main.geometry;
        let (mut page, mut node) = (Vec::new(), Node::default());
        for number in 1..=self.view().count().min(u64::from(u32::MAX - 1)) as u32 {
            if !self.owners.reached(number) || !self.view().read(number, &mut page)? {
                continue;
            }
            let Some(kind) = node_into(&page, start(number), geometry.usable, &mut node) else { continue };
            if kind == Kind::TableInterior {
                continue;
            }
            let cells = node.cells.iter().filter_map(|at| cell(&page, *at, geometry.usable, kind, &geometry));
            for first in cells.filter_map(|cell| cell.overflow).collect::<Vec<_>>() {
                self.take_chain(first)?;
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// Carves the database and its logs from a position on; only pages of the schema's tree where `schema` says so. Where it is to
    /// go on if the taker had enough; an image is always carved to its end.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn run(&self, schema: bool, from: Position, take: &mut Take<'_>) -> io::Result<Option<Position>> {
        let main = &self.images.main;
        let mut page = Vec::new();
        let mut at = from;
        if at.files == 0 {
            let count = main.pages().min(u64::from(u32::MAX - 1)) as u32;
            let first = u32::try_from(at.images).unwrap_or(u32::MAX).saturating_add(1);
            for number in first..=count {
                let wanted = !schema || self.owner(number) == Some(0);
                if !wanted || self.images.is_taken(number) || !main.page(number, &mut page)? {
                    continue;
                }
                let place = Place { source: Source::Database, page: number, offset: main.offset(number), image: None };
                if !self.page(place, &page, take)? {
                    return Ok(Some(Position { files: 0, images: number as usize }));
                }
            }
            at = Position { files: 1, images: 0 };
        }
        for (log_place, log) in self.images.logs.iter().enumerate().skip(at.files - 1) {
            for (index, (number, offset)) in log.pages.iter().enumerate().skip(at.images) {
                if schema && self.owner(*number) != Some(0) {
                    continue;
                }
                log.file.read_at(*offset, &mut page, main.geometry.page_size)?;
                let place = Place { source: log.source, page: *number, offset: *offset, image: Some((log_place, index)) };
                if !self.page(place, &page, take)? {
                    return Ok(Some(Position { files: log_place + 1, images: index + 1 }));
                }
            }
            at.images = 0;
        }
        Ok(None)
    }

    /// The table that a page belongs, or belonged, to.
    fn owner(&self, number: u32) -> Option<usize> {
        match self.images.table(number) {
            Some("sqlite_master") => Some(0),
            Some(name) => self.names.get(&name.to_ascii_lowercase()).copied(),
            None => self.dropped.get(&number).copied(),
        }
    }

    /// Carves one image. False where the taker has enough then.
    fn page(&self, place: Place, page: &[u8], take: &mut Take<'_>) -> io::Result<bool> {
        let geometry = self.carver.geometry;
        let usable = geometry.usable.min(page.len());
        let mut error = None;
        let mut left = CHAINS_BYTES;
        let mut chain = |first: u32, wanted: u64| {
            let content = self.images.chain(first, wanted.min(left), place.image).unwrap_or_else(|reason| {
                error = Some(reason);
                Vec::new()
            });
            left = left.saturating_sub(content.len() as u64);
            content
        };
        let live = place.image.is_none() && self.images.owners.reached(place.page) && !self.images.is_over(place.page);
        let mut owner = self.owner(place.page);
        let mut node = Node::default();
        let begin = start(place.page);
        let kind = node_into(page, begin, usable, &mut node);
        let mut rows = Vec::new();
        let mut gaps = Vec::new();
        match kind {
            // The rows of other tables lie in indexes, which have no rowids.
            Some(Kind::IndexLeaf | Kind::IndexInterior) if live => return Ok(true),
            Some(kind) => {
                let mut covered = node.content;
                for (index, at) in node.cells.iter().enumerate() {
                    let limit = node.cells.get(index + 1).copied().unwrap_or(usable);
                    let Some(cell) = cell(page, *at, limit, kind, &geometry) else { continue };
                    gaps.push((covered, *at));
                    covered = cell.end.max(*at + 4).min(limit);
                    if !live && kind == Kind::TableLeaf {
                        let space = Space { page, range: (*at, limit), freeblocks: &[], begins: true, owner, first: None };
                        rows.extend(self.carver.whole(&space, *at, true, &mut chain));
                    }
                }
                gaps.push((covered, usable));
            }
            None if live => {}
            None if place.image.is_none() => gaps.push((self.images.taken_by_list(place.page, page).min(usable), usable)),
            None => gaps.push((0, usable)),
        }
        gaps.retain(|(from, to)| page.get(*from..*to).is_some_and(|gap| gap.len() >= 4 && gap.iter().any(|byte| *byte != 0)));
        if owner.is_none() && !gaps.is_empty() {
            owner = most(&rows).or_else(|| {
                let space =
                    |range| Space { page, range, freeblocks: &node.freeblocks, begins: kind.is_some(), owner: None, first: None };
                let first: Vec<_> = gaps.iter().flat_map(|range| self.carver.space(&space(*range), &mut chain)).collect();
                most(&first)
            });
        }
        let first =
            owner.and_then(|_| kind.filter(|kind| *kind == Kind::TableLeaf)).and_then(|_| typical(page, &node, &geometry));
        for range in gaps {
            let space = Space { page, range, freeblocks: &node.freeblocks, begins: kind.is_some(), owner, first };
            rows.extend(self.carver.space(&space, &mut chain));
        }
        if let Some(error) = error {
            return Err(error);
        }
        rows.sort_by_key(|row| row.range);
        // SQLite leaves no page out: one that is nowhere was cut off by damage, not by deletion.
        let nowhere =
            !self.images.owners.reached(place.page) && !self.images.is_free(place.page) && !self.images.is_over(place.page);
        if place.image.is_none() && nowhere {
            rows.iter_mut().for_each(|row| row.doubts = row.doubts.and(Doubts::LOST));
        }
        Ok(rows.into_iter().fold(true, |_, row| take(place, row)))
    }
}

/// The table that most rows belong to; of several the first.
fn most(rows: &[Found]) -> Option<usize> {
    let mut counts: HashMap<usize, usize> = HashMap::new();
    for row in rows {
        *counts.entry(row.table).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(table, count)| (*count, std::cmp::Reverse(*table))).map(|(table, _)| table)
}

/// The first serial type of most cells of a leaf.
fn typical(page: &[u8], node: &Node, geometry: &crate::find::pages::Geometry) -> Option<u64> {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for at in &node.cells {
        let first = cell(page, *at, geometry.usable, Kind::TableLeaf, geometry).and_then(|cell| {
            let payload = page.get(cell.local)?;
            let (_, width) = varint(payload)?;
            varint(payload.get(width..)?)
        });
        if let Some((serial, _)) = first {
            *counts.entry(serial).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|(serial, count)| (*count, std::cmp::Reverse(*serial))).map(|(serial, _)| serial)
}
