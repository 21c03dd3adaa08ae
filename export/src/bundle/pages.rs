//! Writes the pages of tables whose rows come in the order of their keys: <https://sqlite.org/fileformat2.html#b_tree_pages>.
//!
//! SQLite makes the empty file, with every table and its root page. Rows that come in order need no tree that is searched and balanced
//! for each: a page is filled, written once, and never read again. The file's bytes depend on the rows alone.

use super::record::write_varint;
use super::schema::PAGE_SIZE;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::mem::take;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Bytes of a page.
const PAGE: usize = PAGE_SIZE as usize;
type Page = [u8; PAGE];

/// The page that holds byte 2^30, on which SQLite puts its locks: no file has anything there.
const LOCK_PAGE: u32 = (1 << 30) / PAGE_SIZE.cast_unsigned() + 1;

/// Where the first page says how many there are.
const COUNT_OFFSET: u64 = 28;

/// First bytes of pages.
const INDEX_INTERIOR: u8 = 0x02;
const TABLE_INTERIOR: u8 = 0x05;
const INDEX_LEAF: u8 = 0x0a;
const TABLE_LEAF: u8 = 0x0d;

/// Bytes of the number of a page.
const NUMBER: usize = 4;
/// Bytes of a record that at least, and of a table's and of an index's that at most, stand on the page itself.
const LEAST_LOCAL: usize = (PAGE - 12) * 32 / 255 - 23;
const MOST_LOCAL_TABLE: usize = PAGE - 35;
const MOST_LOCAL_INDEX: usize = (PAGE - 12) * 64 / 255 - 23;
/// Bytes of a record on one of the pages that hold the rest of it.
const OVERFLOW: usize = PAGE - NUMBER;

/// The file, written from where it ends.
pub struct Pages {
    file: BufWriter<File>,
    /// Number of the page that is written next.
    next: u32,
    /// Pages that stand before it, and are written last.
    roots: Vec<(u32, Box<Page>)>,
    syncing: Syncing,
}

/// Pages after which what is written goes on to the disk.
const SYNCED_PAGES: u32 = 8192;

/// A thread that has the disk written while further pages are made: nothing is left to wait for at the end.
struct Syncing {
    due: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Syncing {
    fn start(file: File) -> Syncing {
        let (due, written) = sync_channel(1);
        let thread = std::thread::spawn(move || written.iter().try_for_each(|()| file.sync_data()));
        Syncing { due, thread }
    }

    /// Something was written. While the disk is behind, it is told of that once only; an error is told at the end.
    fn due(&self) {
        let _behind: Result<(), TrySendError<()>> = self.due.try_send(());
    }

    fn end(self) -> io::Result<()> {
        drop(self.due);
        self.thread.join().map_err(|_| io::Error::other("the thread that writes to the disk has ended"))?
    }
}

impl Pages {
    /// Goes on with a file of so many pages.
    pub fn append_to(path: &Path, pages: u32) -> io::Result<Pages> {
        let file = File::options().write(true).open(path)?;
        let syncing = Syncing::start(file.try_clone()?);
        let mut file = BufWriter::with_capacity(64 * PAGE, file);
        io::Seek::seek(&mut file, io::SeekFrom::Start(u64::from(pages) * PAGE as u64))?;
        Ok(Pages { file, next: following(pages)?, roots: Vec::new(), syncing })
    }

    /// Writes the next page; its number.
    fn append(&mut self, page: &Page) -> io::Result<u32> {
        let number = self.next;
        self.file.write_all(page)?;
        if number.is_multiple_of(SYNCED_PAGES) {
            self.syncing.due();
        }
        self.next = following(number)?;
        if self.next > number + 1 {
            self.file.write_all(&[0; PAGE])?;
        }
        Ok(number)
    }

    /// Writes what of a record does not stand on its own page, in a chain of pages; the number of the first.
    fn overflow(&mut self, rest: &[u8]) -> io::Result<u32> {
        let first = self.next;
        let mut chunks = rest.chunks(OVERFLOW).peekable();
        while let Some(chunk) = chunks.next() {
            let mut page = [0; PAGE];
            let next = if chunks.peek().is_some() { following(self.next)? } else { 0 };
            page[..NUMBER].copy_from_slice(&next.to_be_bytes());
            page[NUMBER..NUMBER + chunk.len()].copy_from_slice(chunk);
            self.append(&page)?;
        }
        Ok(first)
    }

    /// Writes the roots and how many pages there are; all of it is on the disk when it returns.
    pub fn finish(self) -> io::Result<()> {
        let count = self.next - 1;
        self.syncing.end()?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        for (number, page) in self.roots {
            file.write_all_at(page.as_slice(), u64::from(number - 1) * PAGE as u64)?;
        }
        file.write_all_at(&count.to_be_bytes(), COUNT_OFFSET)?;
        file.sync_all()
    }
}

/// The number of the page behind one.
fn following(page: u32) -> io::Result<u32> {
    let next = page.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
    Ok(if next == LOCK_PAGE { next + 1 } else { next })
}

/// One table while it is written: a tree from its leaves up.
pub struct BTree {
    root: u32,
    /// Whether its rows have numbers (a table), or are found by their first column (an index, WITHOUT ROWID).
    numbered: bool,
    levels: Vec<Level>,
    cell: Vec<u8>,
    last_row: i64,
}

/// The page of a level that is being filled.
#[derive(Default)]
struct Level {
    node: Node,
    /// A full page, and the cell behind it: that leads to the page from the level above, once another cell has come.
    waiting: Option<(Node, Vec<u8>)>,
}

impl BTree {
    /// A table whose root page has that number.
    pub fn new(root: u32, numbered: bool) -> BTree {
        BTree { root, numbered, levels: Vec::new(), cell: Vec::new(), last_row: 0 }
    }

    /// Appends a row; `row_id` counts in a table only.
    pub fn push(&mut self, pages: &mut Pages, row_id: i64, record: &[u8]) -> io::Result<()> {
        let most = if self.numbered { MOST_LOCAL_TABLE } else { MOST_LOCAL_INDEX };
        let mut cell = take(&mut self.cell);
        cell.clear();
        write_varint(record.len() as u64, &mut cell);
        if self.numbered {
            write_varint(row_id.cast_unsigned(), &mut cell);
        }
        let (local, rest) = record.split_at(local_bytes(record.len(), most));
        cell.extend_from_slice(local);
        if !rest.is_empty() {
            cell.extend_from_slice(&pages.overflow(rest)?.to_be_bytes());
        }
        self.add(pages, 0, &cell)?;
        (self.cell, self.last_row) = (cell, row_id);
        Ok(())
    }

    fn add(&mut self, pages: &mut Pages, height: usize, cell: &[u8]) -> io::Result<()> {
        if self.levels.len() == height {
            self.levels.push(Level::default());
        }
        if let Some((full, behind)) = self.levels[height].waiting.take() {
            self.lead_to(pages, height, &full, &behind)?;
        }
        let level = &mut self.levels[height];
        if level.node.has_room(height, cell.len()) {
            level.node.push(cell);
            return Ok(());
        }
        let full = take(&mut level.node);
        if self.numbered && height == 0 {
            // A table's leaves keep all rows; the level above has the number of the last.
            level.node.push(cell);
            let mut above = pages.append(&full.page(TABLE_LEAF, None))?.to_be_bytes().to_vec();
            write_varint(self.last_row.cast_unsigned(), &mut above);
            return self.add(pages, 1, &above);
        }
        level.waiting = Some((full, cell.to_vec()));
        Ok(())
    }

    /// Writes a full page. The cell behind it goes to the level above and leads to it; the page that the cell led to is its last child.
    fn lead_to(&mut self, pages: &mut Pages, height: usize, full: &Node, behind: &[u8]) -> io::Result<()> {
        let (last, cell) = behind.split_at(if height == 0 { 0 } else { NUMBER });
        let number = pages.append(&full.page(self.kind(height), last.try_into().ok()))?;
        self.add(pages, height + 1, &[&number.to_be_bytes(), cell].concat())
    }

    fn kind(&self, height: usize) -> u8 {
        match (self.numbered, height) {
            (true, 0) => TABLE_LEAF,
            (true, _) => TABLE_INTERIOR,
            (false, 0) => INDEX_LEAF,
            (false, _) => INDEX_INTERIOR,
        }
    }

    /// Writes what is left of every level, the highest in the table's root.
    pub fn finish(mut self, pages: &mut Pages) -> io::Result<()> {
        let (mut height, mut last) = (0, None);
        while height < self.levels.len() {
            if let Some((mut full, behind)) = self.levels[height].waiting.take() {
                // No cell has come behind it that could fill a page: the last of the full page leads to that instead.
                let own = full.pop();
                self.lead_to(pages, height, &full, &own)?;
                self.levels[height].node.push(&behind);
            }
            let page = self.levels[height].node.page(self.kind(height), last);
            height += 1;
            if height == self.levels.len() {
                pages.roots.push((self.root, Box::new(page)));
            } else {
                last = Some(pages.append(&page)?.to_be_bytes());
            }
        }
        Ok(())
    }
}

/// How much of a record stands on its own page.
fn local_bytes(length: usize, most: usize) -> usize {
    if length <= most {
        return length;
    }
    let local = LEAST_LOCAL + (length - LEAST_LOCAL) % OVERFLOW;
    if local <= most { local } else { LEAST_LOCAL }
}

/// The cells of one page.
#[derive(Default)]
struct Node {
    cells: Vec<u8>,
    begins: Vec<usize>,
}

/// Bytes before the cells: four more where a page has a last child.
const HEADER: usize = 8;

impl Node {
    fn has_room(&self, height: usize, cell: usize) -> bool {
        let header = HEADER + if height == 0 { 0 } else { NUMBER };
        header + 2 * (self.begins.len() + 1) + self.cells.len() + cell <= PAGE
    }

    fn push(&mut self, cell: &[u8]) {
        self.begins.push(self.cells.len());
        self.cells.extend_from_slice(cell);
    }

    fn pop(&mut self) -> Vec<u8> {
        self.cells.split_off(self.begins.pop().unwrap_or(0))
    }

    /// The page: header, where each cell begins, and, from the end, the cells.
    fn page(&self, kind: u8, last: Option<[u8; NUMBER]>) -> Page {
        let mut page = [0; PAGE];
        let mut content = PAGE;
        let mut pointer = HEADER + if last.is_some() { NUMBER } else { 0 };
        let ends = self.begins.iter().skip(1).copied().chain([self.cells.len()]);
        for (begin, end) in self.begins.iter().zip(ends) {
            content -= end - begin;
            page[content..content + end - begin].copy_from_slice(&self.cells[*begin..end]);
            page[pointer..pointer + 2].copy_from_slice(&(content as u16).to_be_bytes());
            pointer += 2;
        }
        page[0] = kind;
        page[3..5].copy_from_slice(&(self.begins.len() as u16).to_be_bytes());
        page[5..7].copy_from_slice(&(content as u16).to_be_bytes());
        if let Some(last) = last {
            page[HEADER..HEADER + NUMBER].copy_from_slice(&last);
        }
        page
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a file of our own")]
mod tests {
    use super::super::record;
    use super::super::value::Value;
    use super::*;
    use rusqlite::Connection;

    /// Writes so many rows of a key and a text of some length into a table of each kind, and has SQLite read and check them.
    fn read_back(rows: u64, length: impl Fn(u64) -> usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "page_size", PAGE_SIZE).unwrap();
        let tables = "CREATE TABLE keyed (id BLOB PRIMARY KEY NOT NULL, number INTEGER, words TEXT) STRICT, WITHOUT ROWID;
                      CREATE TABLE numbered (seq INTEGER PRIMARY KEY NOT NULL, number INTEGER, words TEXT) STRICT;";
        connection.execute_batch(tables).unwrap();
        let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
        let (keyed, numbered) =
            ("rootpage FROM sqlite_schema WHERE name = 'keyed'", "rootpage FROM sqlite_schema WHERE name = 'numbered'");
        let mut keyed = BTree::new(ask(&format!("SELECT {keyed}")), false);
        let mut numbered = BTree::new(ask(&format!("SELECT {numbered}")), true);
        let mut pages = Pages::append_to(&path, ask("PRAGMA page_count")).unwrap();
        connection.close().unwrap();
        let number = |row: u64| (row as i64).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()) >> (row % 64);
        let words = |row: u64| char::from(b'a' + (row % 26) as u8).to_string().repeat(length(row));
        let mut bytes = Vec::new();
        for row in 0..rows {
            for (tree, key) in [(&mut keyed, Value::Blob(row.to_be_bytes().to_vec())), (&mut numbered, Value::Null)] {
                bytes.clear();
                record::write(&[key, Value::Integer(number(row)), Value::Text(words(row))], &mut bytes);
                tree.push(&mut pages, row as i64, &bytes).unwrap();
            }
        }
        keyed.finish(&mut pages).unwrap();
        numbered.finish(&mut pages).unwrap();
        pages.finish().unwrap();
        let connection = Connection::open(&path).unwrap();
        let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(found, "ok", "{rows} rows");
        for sql in ["SELECT number, words FROM keyed ORDER BY id", "SELECT number, words FROM numbered ORDER BY seq"] {
            let mut statement = connection.prepare(sql).unwrap();
            let read = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let read: Vec<(i64, String)> = read.map(Result::unwrap).collect();
            assert!(
                read.iter().map(|(number, words)| (*number, words.as_str())).eq((0..rows)
                    .map(|row| (number(row), words(row)))
                    .collect::<Vec<_>>()
                    .iter()
                    .map(|(number, words)| (*number, words.as_str()))),
                "{sql}: {rows} rows"
            );
        }
    }

    /// Every count up to some pages: each way in which the last pages can end.
    #[test]
    fn sqlite_finds_every_row_whatever_their_number() {
        (0..120).for_each(|rows| read_back(rows, |_| 500));
    }

    #[test]
    fn trees_grow_as_high_as_they_must() {
        read_back(40_000, |row| (row % 40) as usize);
        (2_000..2_020).for_each(|rows| read_back(rows, |_| 950));
    }

    /// Around every border between what stands on a page and what does not.
    #[test]
    fn long_rows_go_over_many_pages() {
        let borders = [
            LEAST_LOCAL,
            MOST_LOCAL_INDEX,
            MOST_LOCAL_TABLE,
            PAGE,
            LEAST_LOCAL + OVERFLOW,
            MOST_LOCAL_INDEX + OVERFLOW,
            3 * OVERFLOW,
        ];
        read_back(borders.len() as u64 * 60, |row| borders[row as usize % borders.len()] + row as usize / borders.len() - 45);
    }

    #[test]
    fn nothing_is_put_where_sqlite_locks() {
        assert_eq!(LOCK_PAGE, 262_145);
        assert_eq!(following(LOCK_PAGE - 1).unwrap(), LOCK_PAGE + 1);
        assert!(following(u32::MAX).is_err());
    }
}
