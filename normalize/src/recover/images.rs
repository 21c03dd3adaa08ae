//! Every image of every page: the database, each frame of its write-ahead log, each record of its rollback journal.
//!
//! Which frames SQLite itself takes follows from salts, checksums and commit marks
//! (<https://www.sqlite.org/fileformat2.html>, section 4); all others hold earlier states, uncommitted ones, or what a
//! checkpoint left of an earlier log. Nothing here decides what is live: that is SQLite's own answer ([`super::sift`]).

use super::Source;
use super::current::{Current, View};
use crate::find::journal::{self, Images as Companion};
use crate::find::pages::{Geometry, PageFile, be32};
use crate::find::tree::{Owners, Pages};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Page images in a file beside the database.
pub struct Log {
    /// The file.
    pub file: PageFile,
    /// Which it is.
    pub source: Source,
    /// Page number and first byte of each image.
    pub pages: Vec<(u32, u64)>,
    /// Places in `pages` of each page number, ascending.
    by_page: HashMap<u32, Vec<usize>>,
}

impl Log {
    fn open(folder: &Path, source: Source, geometry: Geometry) -> io::Result<Option<Log>> {
        let path = folder.join(format!("main{}", source.name()));
        if !path.exists() {
            return Ok(None);
        }
        let mut file = PageFile::open(&path, geometry)?;
        if file.length == 0 {
            return Ok(None);
        }
        let images = match source {
            Source::Wal => {
                let mut head = Vec::new();
                File::open(&path)?.take(32).read_to_end(&mut head)?;
                // A log of another page size is not this database's.
                let stated = journal::wal_geometry(&head, Some(geometry));
                if stated.is_none_or(|stated| stated.page_size != geometry.page_size) {
                    return Ok(None);
                }
                Companion::of_wal(&file)?
            }
            _ => Companion::of_journal(&file)?,
        };
        file.geometry = geometry;
        let mut by_page: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, (page, _)) in images.pages.iter().enumerate() {
            by_page.entry(*page).or_default().push(index);
        }
        Ok(Some(Log { file, source, pages: images.pages, by_page }))
    }

    /// First byte of the last image of a page, up to and with image `until`.
    fn as_of(&self, page: u32, until: usize) -> Option<u64> {
        let places = self.by_page.get(&page)?;
        let place = places.partition_point(|place| *place <= until).checked_sub(1)?;
        self.pages.get(*places.get(place)?).map(|(_, offset)| *offset)
    }
}

/// The files of a database.
pub struct Images {
    /// The database.
    pub main: PageFile,
    /// Its logs: `-wal`, then `-journal`.
    pub logs: Vec<Log>,
    /// Which of their images are in force.
    current: Current,
    /// Which b-tree each page belongs to as SQLite gives the database.
    pub owners: Owners,
    /// The same in the database's file alone, where that is an earlier state.
    former: Option<Owners>,
    /// Overflow pages of live cells.
    taken: HashSet<u32>,
    /// Trunk pages of the free list: their first bytes are overwritten.
    trunks: HashSet<u32>,
    /// Pages that the free list names.
    free: HashSet<u32>,
}

impl Images {
    /// Opens the files of a scratch folder. `None` where `main` has no header to read pages by.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(folder: &Path) -> io::Result<Option<Images>> {
        let path = folder.join("main");
        let mut head = Vec::new();
        File::open(&path)?.take(100).read_to_end(&mut head)?;
        let Some(geometry) = Geometry::of(&head) else { return Ok(None) };
        let main = PageFile::open(&path, geometry)?;
        let mut logs = Vec::new();
        for source in [Source::Wal, Source::Journal] {
            logs.extend(Log::open(folder, source, geometry)?);
        }
        let current = Current::of(&logs)?;
        let view = View { main: &main, logs: &logs, current: &current };
        let owners = Owners::walk(&view)?;
        let former = if current.is_plain() { None } else { Some(Owners::walk(&main)?) };
        let (trunks, mut free) = free_list(&main)?;
        free.extend(free_list(&view)?.1);
        Ok(Some(Images { main, logs, current, owners, former, taken: HashSet::new(), trunks, free }))
    }

    /// The database as SQLite gives it.
    pub fn view(&self) -> View<'_> {
        View { main: &self.main, logs: &self.logs, current: &self.current }
    }

    /// The table that a page belongs to, or belonged to in the database's file.
    pub fn table(&self, page: u32) -> Option<&str> {
        self.owners.table(page).or_else(|| self.former.as_ref()?.table(page))
    }

    /// Whether the database's own image of a page is an earlier one.
    pub fn is_over(&self, page: u32) -> bool {
        self.current.is_over(page)
    }

    /// Whether the database's own image of a page is in a tree, or is an overflow page of a live cell.
    fn is_used(&self, page: u32) -> bool {
        (self.owners.reached(page) || self.taken.contains(&page)) && !self.is_over(page)
    }

    /// Marks the overflow pages of a live cell. A chain ends where it meets one that is marked.
    pub fn take_chain(&mut self, mut page: u32) -> io::Result<()> {
        let mut start = Vec::new();
        while page != 0 && !self.owners.reached(page) && self.view().read(page, &mut start)? && self.taken.insert(page) {
            page = be32(&start, 0).unwrap_or(0);
        }
        Ok(())
    }

    /// Whether the free list has a page.
    pub fn is_free(&self, page: u32) -> bool {
        self.free.contains(&page)
    }

    /// First bytes of a page of the database that its free list has overwritten: of a trunk page, its header and the pages it names.
    pub fn taken_by_list(&self, number: u32, page: &[u8]) -> usize {
        let named = be32(page, 4).filter(|_| self.trunks.contains(&number)).map(|count| count as usize);
        named.map_or(0, |count| count.saturating_mul(4).saturating_add(8))
    }

    /// Whether the database's own image of a page is an overflow page of a live cell.
    pub fn is_taken(&self, page: u32) -> bool {
        self.taken.contains(&page) && !self.is_over(page)
    }

    /// The content of an overflow chain as of an image of a log (or of the database): up to `wanted` bytes, fewer where it is
    /// broken, used by something live, or comes back to itself.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn chain(&self, first: u32, wanted: u64, image: Option<(usize, usize)>) -> io::Result<Vec<u8>> {
        let usable = self.main.geometry.usable;
        let (mut content, mut page, mut next) = (Vec::new(), Vec::new(), first);
        let mut seen = HashSet::new();
        while next != 0 && (content.len() as u64) < wanted && seen.insert(next) {
            let logged = image.and_then(|(log, until)| Some((self.logs.get(log)?, self.logs.get(log)?.as_of(next, until)?)));
            match logged {
                Some((log, offset)) => log.file.read_at(offset, &mut page, self.main.geometry.page_size)?,
                // What is live now was something else when the row was.
                None if self.is_used(next) || self.trunks.contains(&next) => break,
                None if !self.main.page(next, &mut page)? => break,
                None => {}
            }
            let Some(body) = page.get(4..usable) else { break };
            let take = (wanted - content.len() as u64).min(body.len() as u64) as usize;
            content.extend_from_slice(body.get(..take).unwrap_or_default());
            next = be32(&page, 0).unwrap_or(0);
        }
        Ok(content)
    }
}

/// Trunk pages of a free list, and all pages that it names; a list that comes back ends.
fn free_list(pages: &dyn Pages) -> io::Result<(HashSet<u32>, HashSet<u32>)> {
    let (mut trunks, mut free, mut page) = (HashSet::new(), HashSet::new(), Vec::new());
    let mut trunk = if pages.read(1, &mut page)? { be32(&page, 32).unwrap_or(0) } else { 0 };
    while pages.read(trunk, &mut page)? && trunks.insert(trunk) {
        let count = be32(&page, 4).unwrap_or(0) as usize;
        let leaves = page.chunks_exact(4).skip(2).take(count);
        free.extend(leaves.filter_map(|number| be32(number, 0)));
        trunk = be32(&page, 0).unwrap_or(0);
    }
    free.extend(&trunks);
    Ok((trunks, free))
}
