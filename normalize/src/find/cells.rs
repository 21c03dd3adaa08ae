//! The cell scan: every text and blob of a SQLite file is a segment of its own, and so is what deletion left.
//!
//! Values of a row lie in the file without anything between them, so a byte scan sees an address glued to its neighbour. Here the
//! pages are read raw, never through SQLite: it would show live rows only, and refuse what is damaged. Live b-trees come
//! first, so that overflow pages are read with the cell they belong to; then freed b-tree pages; then all other pages (free list,
//! pointer maps, lost overflow pages). Every byte that is not structure is searched.

use crate::emit::Emit;
use crate::find::free::{self, Free};
use crate::find::journal::{Images, JOURNAL_MAGIC, journal_geometry, wal_geometry};
use crate::find::pages::{Geometry, Kind, Node, PageFile, be32, node_into};
use crate::find::payload::{Overflow, cell, spilled_values, values};
use crate::find::sighted::{Place, Recognize, Row, Sighted};
use crate::find::tree::{Owners, start};
use crate::parse::Input;
use model::observable::Encoding;
use model::recognize::find_in_segment;
use model::{Code, Id};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Page size assumed where a file has no readable header.
const PAGE_SIZE_ASSUMED: usize = 4096;

/// Scans the database `main` and its companions for observables and secrets. Damage becomes problems.
pub fn scan(input: &Input<'_>, emit: &mut Emit<'_>) {
    scan_with(input, emit, find_in_segment);
}

/// As [`scan`], with any recognizer.
fn scan_with(input: &Input<'_>, emit: &mut Emit<'_>, recognize: Recognize) {
    let main = input.folder.join("main");
    let item = input.unit.primary.item.id;
    let mut sighted = Sighted::new(emit, recognize);
    let geometry = match head(&main, 100) {
        Ok(head) => Geometry::of(&head),
        Err(error) => return unreadable(&mut sighted, "main", &error),
    };
    if geometry.is_none() {
        sighted.damaged("no database header: pages are searched without their structure".to_owned());
    }
    let geometry_assumed =
        geometry.unwrap_or(Geometry { page_size: PAGE_SIZE_ASSUMED, usable: PAGE_SIZE_ASSUMED, encoding: Encoding::Utf8 });
    let database = match PageFile::open(&main, geometry_assumed).and_then(|file| Database::new(file, item)) {
        Ok(database) => database,
        Err(error) => return unreadable(&mut sighted, "main", &error),
    };
    let mut scan = Scan { sighted, geometry: geometry_assumed, columns: HashMap::new(), node: Node::default() };
    let database = match database.scan(&mut scan) {
        Ok(database) => database,
        Err(error) => return unreadable(&mut scan.sighted, "main", &error),
    };
    for (suffix, wal) in [("-wal", true), ("-journal", false)] {
        let ends = |name: &[u8]| name.ends_with(suffix.as_bytes());
        let Some(companion) = input.unit.companions.iter().find(|companion| ends(&companion.name)) else { continue };
        let path = input.folder.join(format!("main{suffix}"));
        if let Err(error) = companion_scan(&path, companion.item.id, wal, geometry, &database, &mut scan) {
            unreadable(&mut scan.sighted, suffix, &error);
        }
    }
}

/// Scans a write-ahead log or a rollback journal whose database is not there: each page image in it by itself.
pub fn scan_orphan(input: &Input<'_>, emit: &mut Emit<'_>) {
    scan_orphan_with(input, emit, find_in_segment);
}

fn scan_orphan_with(input: &Input<'_>, emit: &mut Emit<'_>, recognize: Recognize) {
    let main = input.folder.join("main");
    let item = input.unit.primary.item.id;
    let wal = !input.head.starts_with(&JOURNAL_MAGIC);
    let stated = if wal { wal_geometry(input.head, None) } else { journal_geometry(input.head) };
    let assumed = Geometry { page_size: PAGE_SIZE_ASSUMED, usable: PAGE_SIZE_ASSUMED, encoding: Encoding::Utf8 };
    let geometry = stated.unwrap_or(assumed);
    let mut scan = Scan { sighted: Sighted::new(emit, recognize), geometry, columns: HashMap::new(), node: Node::default() };
    // A database without pages stands for the one that is not there.
    let scanned = PageFile::open(&main, geometry).and_then(|mut file| {
        file.length = 0;
        Database::new(file, item)
    });
    let scanned = scanned.and_then(|nothing| companion_scan(&main, item, wal, Some(geometry), &nothing, &mut scan));
    if let Err(error) = scanned {
        unreadable(&mut scan.sighted, "main", &error);
    }
}

fn unreadable(sighted: &mut Sighted<'_, '_>, name: &str, error: &io::Error) {
    sighted.problem(Code::Unreadable, format!("cell scan of {name}: {}", error.kind()));
}

/// The first bytes of a file.
fn head(path: &Path, length: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(length).read_to_end(&mut head)?;
    Ok(head)
}

/// What all pages of a unit share.
struct Scan<'s, 'e> {
    sighted: Sighted<'s, 'e>,
    geometry: Geometry,
    /// Columns of the last row seen of each b-tree (by owner).
    columns: HashMap<usize, usize>,
    node: Node,
}

/// A page to search.
#[derive(Clone, Copy)]
struct Page<'p> {
    number: u32,
    bytes: &'p [u8],
    place: Place,
    /// Its b-tree (see [`Owners::owner`]); 0 for pages that no tree of the database reaches.
    owner: usize,
    table: Option<&'p str>,
}

impl Scan<'_, '_> {
    /// Searches a b-tree page: cells, then what lies between. False where it cannot be a b-tree page.
    fn b_tree(&mut self, page: Page<'_>, overflow: &mut dyn Overflow) -> io::Result<bool> {
        let usable = self.geometry.usable.min(page.bytes.len());
        let begin = start(page.number);
        let mut node = std::mem::take(&mut self.node);
        let kind = node_into(page.bytes, begin, usable, &mut node);
        let Some(kind) = kind else {
            self.node = node;
            return Ok(false);
        };
        let mut damage = node.wrong;
        let mut gaps = vec![(0, begin), (usable, page.bytes.len())];
        let mut covered = node.content;
        for (index, at) in node.cells.iter().enumerate() {
            let limit = node.cells.get(index + 1).copied().unwrap_or(usable);
            match self.cell(page, *at, limit, kind, overflow)? {
                Some((end, clean)) => {
                    gaps.push((covered, *at));
                    // A cell takes four bytes at least, so that it can become a freeblock.
                    covered = end.max(*at + 4).min(limit);
                    damage += usize::from(!clean);
                }
                None => damage += 1,
            }
        }
        gaps.push((covered, usable));
        if damage > 0 {
            gaps.push((0, page.bytes.len()));
            if page.owner > 0 {
                self.sighted.damaged(format!("page {}: {damage} cells that cannot be read or not in whole", page.number));
            }
        }
        for (from, to) in gaps {
            self.gap(page, from, to, &node.freeblocks);
        }
        self.node = node;
        Ok(true)
    }

    /// Searches one cell: where it ends, and whether it was read in whole.
    fn cell(
        &mut self,
        page: Page<'_>,
        at: usize,
        limit: usize,
        kind: Kind,
        overflow: &mut dyn Overflow,
    ) -> io::Result<Option<(usize, bool)>> {
        let Some(cell) = cell(page.bytes, at, limit, kind, &self.geometry) else { return Ok(None) };
        if kind == Kind::TableInterior {
            return Ok(Some((cell.end, true)));
        }
        let row: Row<'_> = page.table.filter(|_| kind == Kind::TableLeaf).zip(cell.rowid);
        let place = page.place.plus(cell.local.start);
        let read = if cell.overflow.is_some() {
            spilled_values(page.bytes, &cell, place, overflow, row, &mut self.sighted)?
        } else {
            values(page.bytes.get(cell.local.clone()).unwrap_or_default(), place, row, &mut self.sighted)
        };
        let Some(read) = read else { return Ok(None) };
        if page.owner > 0 {
            self.columns.insert(page.owner, read.columns);
        }
        Ok(Some((cell.end, cell.whole && read.whole)))
    }

    /// Searches free space of a page.
    fn gap(&mut self, page: Page<'_>, from: usize, to: usize, freeblocks: &[usize]) {
        let Some(bytes) = page.bytes.get(from..to).filter(|bytes| bytes.len() >= 4) else { return };
        let inside = |block: &&usize| (from..to).contains(*block);
        let freeblocks: Vec<_> = freeblocks.iter().filter(inside).map(|block| block - from).collect();
        let columns = self.columns.get(&page.owner).copied();
        let free = Free { bytes, place: page.place.plus(from), freeblocks: &freeblocks, columns };
        free::search(&free, &self.geometry, &mut self.sighted);
    }

    /// Searches a page of which only the bytes are known. One that was in an overflow chain begins with a page number, which
    /// must not look like the first letters of its text.
    fn bytes_only(&mut self, page: Page<'_>, pages: u64) {
        self.gap(page, 0, page.bytes.len(), &[]);
        if be32(page.bytes, 0).is_some_and(|next| u64::from(next) <= pages) {
            self.gap(page, 4, page.bytes.len(), &[]);
        }
    }
}

/// The database file and how far its pages were searched.
struct Database {
    pages: Pages,
    owners: Owners,
}

/// The pages of the database as overflow chains see them.
struct Pages {
    file: PageFile,
    item: Id,
    /// Pages that were searched, by number less one.
    done: Vec<bool>,
    /// Pages that belong to b-trees cannot be in an overflow chain.
    reached: Vec<bool>,
}

impl Overflow for Pages {
    fn page(&mut self, number: u32, buffer: &mut Vec<u8>) -> io::Result<Option<Place>> {
        let Some(index) = (number as usize).checked_sub(1) else { return Ok(None) };
        // A page serves once: no chain that others share can make the scan read a file many times.
        if self.reached.get(index) != Some(&false) || self.done.get(index) != Some(&false) || !self.file.page(number, buffer)? {
            return Ok(None);
        }
        if let Some(done) = self.done.get_mut(index) {
            *done = true;
        }
        Ok(Some(Place { item: self.item, offset: self.file.offset(number) }))
    }

    fn usable(&self) -> usize {
        self.file.geometry.usable
    }
}

impl Database {
    fn new(file: PageFile, item: Id) -> io::Result<Database> {
        let owners = Owners::walk(&file)?;
        let count = u32::try_from(file.pages()).unwrap_or(u32::MAX - 1);
        let reached: Vec<_> = (1..=count).map(|number| owners.reached(number)).collect();
        let pages = Pages { item, done: vec![false; reached.len()], reached, file };
        Ok(Database { pages, owners })
    }

    /// Searches every page once.
    fn scan(mut self, scan: &mut Scan<'_, '_>) -> io::Result<Database> {
        for problem in std::mem::take(&mut self.owners.problems) {
            scan.sighted.damaged(problem);
        }
        for pass in [Pass::Live, Pass::Freed, Pass::Rest] {
            self.pass(pass, scan)?;
        }
        Ok(self)
    }

    fn wanted(&self, pass: Pass, number: u32) -> bool {
        let index = number as usize - 1;
        self.pages.done.get(index) == Some(&false) && (pass != Pass::Live || self.owners.reached(number))
    }

    fn pass(&mut self, pass: Pass, scan: &mut Scan<'_, '_>) -> io::Result<()> {
        let size = self.pages.file.geometry.page_size;
        let count = self.pages.done.len() as u32;
        let block_pages = self.pages.file.block_pages();
        let mut block = Vec::new();
        let mut first = 1;
        while first <= count {
            let last = count.min(first.saturating_add(block_pages - 1));
            if (first..=last).any(|number| self.wanted(pass, number)) {
                self.pages.file.block(first, &mut block)?;
                for (number, bytes) in (first..=last).zip(block.chunks(size)) {
                    if self.wanted(pass, number) {
                        self.page(pass, number, bytes, scan)?;
                    }
                }
            }
            first = last.saturating_add(1);
        }
        Ok(())
    }

    fn page(&mut self, pass: Pass, number: u32, bytes: &[u8], scan: &mut Scan<'_, '_>) -> io::Result<()> {
        let place = Place { item: self.pages.item, offset: self.pages.file.offset(number) };
        let owner = self.owners.owner(number);
        let page = Page { number, bytes, place, owner, table: self.owners.table(number) };
        let total = self.pages.file.pages();
        let done = match pass {
            Pass::Live | Pass::Freed => scan.b_tree(page, &mut self.pages)?,
            Pass::Rest => {
                scan.bytes_only(page, total);
                true
            }
        };
        if pass == Pass::Live && !done {
            scan.sighted.damaged(format!("page {number}: not a page of the b-tree that it is in"));
        }
        if done && let Some(mark) = self.pages.done.get_mut(number as usize - 1) {
            *mark = true;
        }
        Ok(())
    }
}

/// The passes over the pages of a database, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Pages that b-trees reach.
    Live,
    /// Pages that look like b-tree pages but are out of use.
    Freed,
    /// Everything else.
    Rest,
}

/// Overflow pages as a page image in a companion sees them: the nearest image before it or in its transaction, else the database's.
struct Frames<'f> {
    file: &'f PageFile,
    item: Id,
    database: &'f Database,
    /// First byte of the images of each page, ascending.
    images: &'f HashMap<u32, Vec<u64>>,
    /// First byte of the image whose chain is followed.
    at: u64,
    used: Vec<u64>,
    /// Bytes that may still be read: chains that images repeat must not multiply the work.
    budget: u64,
}

impl Overflow for Frames<'_> {
    fn page(&mut self, number: u32, buffer: &mut Vec<u8>) -> io::Result<Option<Place>> {
        let size = self.file.geometry.page_size;
        let Some(budget) = self.budget.checked_sub(size as u64) else { return Ok(None) };
        self.budget = budget;
        // Pages of one transaction are written in page order, so an overflow page can stand before or behind its cell.
        let near = self.images.get(&number).and_then(|images| images.iter().min_by_key(|image| image.abs_diff(self.at)));
        if let Some(offset) = near {
            self.file.read_at(*offset, buffer, size)?;
            self.used.push(*offset);
            return Ok(Some(Place { item: self.item, offset: *offset }));
        }
        let main = &self.database.pages;
        if self.database.owners.reached(number) || main.file.geometry.page_size != size || !main.file.page(number, buffer)? {
            return Ok(None);
        }
        Ok(Some(Place { item: main.item, offset: main.file.offset(number) }))
    }

    fn usable(&self) -> usize {
        self.file.geometry.usable
    }
}

/// Searches the page images of a companion, and the rest of its bytes.
fn companion_scan(
    path: &Path,
    item: Id,
    wal: bool,
    geometry: Option<Geometry>,
    database: &Database,
    scan: &mut Scan<'_, '_>,
) -> io::Result<()> {
    let stated = if wal { wal_geometry(&head(path, 32)?, geometry) } else { geometry };
    scan.geometry = stated.unwrap_or(scan.geometry);
    let file = PageFile::open(path, scan.geometry)?;
    let images = if wal { Images::of_wal(&file)? } else { Images::of_journal(&file)? };
    let mut by_page: HashMap<u32, Vec<u64>> = HashMap::new();
    for (number, offset) in &images.pages {
        by_page.entry(*number).or_default().push(*offset);
    }
    let budget = (file.length + database.pages.file.length).saturating_mul(2);
    let mut frames = Frames { file: &file, item, database, images: &by_page, at: 0, used: Vec::new(), budget };
    let mut bytes = Vec::new();
    let mut others = Vec::new();
    for (number, offset) in &images.pages {
        file.read_at(*offset, &mut bytes, file.geometry.page_size)?;
        frames.at = *offset;
        // Rows of an image may be older or newer than the database's: only the place is told, not table and row.
        let page = Page { number: *number, bytes: &bytes, place: Place { item, offset: *offset }, owner: 0, table: None };
        if !scan.b_tree(page, &mut frames)? {
            others.push((*number, *offset));
        }
    }
    let mut used = std::mem::take(&mut frames.used);
    used.sort_unstable();
    for (number, offset) in others {
        if used.binary_search(&offset).is_err() {
            file.read_at(offset, &mut bytes, file.geometry.page_size)?;
            let page = Page { number, bytes: &bytes, place: Place { item, offset }, owner: 0, table: None };
            scan.bytes_only(page, u64::from(u32::MAX));
        }
    }
    for range in images.rest {
        let mut at = range.start;
        while at < range.end {
            file.read_at(at, &mut bytes, (range.end - at).min(1 << 20) as usize)?;
            scan.sighted.segment(&bytes, Place { item, offset: at }, None);
            at += bytes.len().max(1) as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
