//! Rows in bytes that no live cell claims: whole cells, and freed cells whose first four bytes are overwritten.
//!
//! SQLite writes offset and size of a freeblock over the first four bytes of a freed cell
//! (<https://www.sqlite.org/fileformat2.html>, section 1.6). What stood there were the payload length, the rowid, often the
//! length of the record header, and of short rows the serial type of the first column. The rest of the record header survives;
//! together with the table's columns and the place where the cell ends it says what every value is.

mod headless;

use super::shape::Table;
use super::value::Value;
use crate::find::pages::{Geometry, Kind};
use crate::find::payload;
use crate::find::row::{body_length, is_text, looks_like_text, varint};
use std::fmt;

/// Bytes of a text that show whether it is one.
const TEXT_SHOWN: usize = 4096;
/// Columns that the header of a cut cell must have where nothing else says that a cell begins there.
const CUT_COLUMNS: usize = 3;
/// What must be left of the values of a cut cell: bytes of texts, or numbers.
const CUT_LEFT: usize = 3;
/// Fewest bytes of a text that was cut short by which a row is looked up.
pub const START_LEAST: usize = 4;
/// Most columns of a table of SQLite.
const COLUMNS_MAX: usize = 32_767;

/// What had to be reconstructed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Doubts(u8);

impl Doubts {
    /// The rowid was overwritten.
    pub const ROW_ID: Doubts = Doubts(1);
    /// The type of the first column was overwritten and follows from the length of the cell.
    pub const FIRST: Doubts = Doubts(2);
    /// The end of the row was overwritten: values behind it are missing or cut short.
    pub const CUT: Doubts = Doubts(4);
    /// Several tables have rows of this shape.
    pub const TABLE: Doubts = Doubts(8);
    /// Where the cell ends is not confirmed by what follows.
    pub const END: Doubts = Doubts(16);
    /// The row has fewer columns than the table has now.
    pub const SHORT: Doubts = Doubts(32);

    /// The live rows could not all be read, so that it may be one of them.
    pub const UNSIFTED: Doubts = Doubts(64);

    /// It lies on a page that neither a tree nor the free list has: damage or tampering, so that it may never have been deleted.
    pub const LOST: Doubts = Doubts(128);

    const WORDS: [(Doubts, &'static str); 8] = [
        (Doubts::ROW_ID, "rowid lost"),
        (Doubts::FIRST, "type of the first column inferred from the length"),
        (Doubts::CUT, "end of the row overwritten"),
        (Doubts::TABLE, "table guessed among those of the same columns"),
        (Doubts::END, "end of the cell not confirmed"),
        (Doubts::SHORT, "fewer columns than the table"),
        (Doubts::UNSIFTED, "not compared with every live row, may not be deleted"),
        (Doubts::LOST, "on a page that is in no tree and not free, may not be deleted"),
    ];

    /// Whether the row may never have been deleted, because damage hides what is live.
    pub fn may_live(self) -> bool {
        self.has(Doubts::UNSIFTED) || self.has(Doubts::LOST)
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Doubts) -> Doubts {
        Doubts(self.0 | other.0)
    }

    /// Whether it is among them.
    pub fn has(self, other: Doubts) -> bool {
        self.0 & other.0 == other.0
    }

    /// 2: every byte was there; 1: something followed from the schema; 0: something is missing or guessed.
    pub fn level(self) -> u8 {
        match self.0 {
            0 => 2,
            bits if bits & LOW.0 != 0 => 0,
            _ => 1,
        }
    }
}

impl fmt::Display for Doubts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["low", "medium", "high"].get(usize::from(self.level())).copied().unwrap_or_default())?;
        let mut separator = ": ";
        for (doubt, word) in Doubts::WORDS {
            if self.has(doubt) {
                write!(f, "{separator}{word}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Something is missing or guessed.
const LOW: Doubts = Doubts(4 | 8 | 16 | 64 | 128);

/// A row that was found in some bytes.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// Its table, by place in the list.
    pub table: usize,
    /// Its rowid, where it survived.
    pub row_id: Option<i64>,
    /// Its values; `None` where one is lost.
    pub values: Vec<Option<Value>>,
    /// Column of the text of which only the start is left.
    pub cut: Option<usize>,
    /// First byte of the cell and first byte behind it.
    pub range: (usize, usize),
    /// What was reconstructed.
    pub doubts: Doubts,
}

impl Found {
    /// Whether it can be told from live rows: by a whole value, or enough of a text that was cut short.
    fn tells(&self) -> bool {
        self.values.iter().enumerate().any(|(index, value)| match value {
            Some(Value::Text(bytes)) if self.cut == Some(index) => bytes.len() >= START_LEAST,
            value => value.is_some(),
        })
    }
}

/// Gives the content of an overflow chain: first page, bytes wanted. Fewer come back where the chain is broken.
pub type Chain<'c> = dyn FnMut(u32, u64) -> Vec<u8> + 'c;

/// Carves the pages of one database.
pub struct Carver<'c> {
    /// Tables that rows can belong to.
    pub tables: &'c [Table],
    /// Geometry of the pages.
    pub geometry: Geometry,
}

/// A stretch of a page that is carved.
#[derive(Clone, Copy)]
pub struct Space<'s> {
    /// The page.
    pub page: &'s [u8],
    /// First byte and first byte behind.
    pub range: (usize, usize),
    /// Starts of the freeblocks of the page.
    pub freeblocks: &'s [usize],
    /// Whether a cell can begin at its first byte.
    pub begins: bool,
    /// The table that the page belongs to.
    pub owner: Option<usize>,
    /// Serial type that the first column of its live rows has, as a rule.
    pub first: Option<u64>,
}

/// The serial types of a record.
struct Header {
    serials: Vec<u64>,
    /// Bytes of the header, its length included.
    length: usize,
    /// Bytes of all bodies.
    bodies: u64,
}

impl Header {
    /// Reads the header at the start of a payload of so many bytes, which header and bodies must fill. Nearly every byte that is tried begins
    /// none: nothing is kept before the lengths agree.
    fn read(payload: &[u8], total: u64) -> Option<Header> {
        let (length, at) = varint(payload)?;
        let length = usize::try_from(length).ok().filter(|length| *length > at && *length <= payload.len())?;
        let (serials, mut left) = (payload.get(at..length)?, total.checked_sub(length as u64)?);
        let (mut rest, mut count) = (serials, 0);
        while !rest.is_empty() {
            let (serial, width) = varint(rest)?;
            left = left.checked_sub(body_length(serial)?)?;
            rest = rest.get(width..)?;
            count += 1;
        }
        if left > 0 || count > COLUMNS_MAX {
            return None;
        }
        let mut header = Header { serials: Vec::with_capacity(count), length, bodies: 0 };
        header.fill(serials)?;
        Some(header)
    }

    /// Adds serial types that fill some bytes exactly.
    fn fill(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let (serial, length) = varint(bytes)?;
            self.add(serial)?;
            bytes = bytes.get(length..)?;
        }
        Some(())
    }

    fn add(&mut self, serial: u64) -> Option<()> {
        self.bodies = self.bodies.checked_add(body_length(serial)?)?;
        self.serials.push(serial);
        Some(())
    }
}

impl Carver<'_> {
    /// The row of a cell that begins at a byte, every byte of it there. `named` where a cell pointer says that it begins there:
    /// what SQLite once pointed at need not look likely.
    pub fn whole(&self, space: &Space<'_>, at: usize, named: bool, chain: &mut Chain<'_>) -> Option<Found> {
        let cell = payload::cell(space.page, at, space.range.1, Kind::TableLeaf, &self.geometry)?;
        if !cell.whole || cell.payload < 2 || (!named && cell.rowid.is_none_or(i64::is_negative)) {
            return None;
        }
        let local = space.page.get(cell.local.clone())?;
        let header = Header::read(local, cell.payload)?;
        if !named && header.bodies == 0 {
            return None;
        }
        let (table, doubts) = self.table_of(&header.serials, space.owner, named)?;
        let mut payload = std::borrow::Cow::Borrowed(local);
        if let Some(first) = cell.overflow {
            payload.to_mut().extend(chain(first, cell.payload - local.len() as u64));
        }
        let mut found = self.row(table, &header.serials, payload.get(header.length..)?, named)?;
        found.row_id = cell.rowid;
        found.range = (at, cell.end);
        found.doubts = found.doubts.and(doubts);
        Some(found)
    }

    /// The row of a freed cell whose end a newer cell has taken. What is left of its header must name every column of its table.
    fn cut(&self, space: &Space<'_>, at: usize, begins: bool) -> Option<Found> {
        if space.range.1 >= self.geometry.usable || space.freeblocks.contains(&at) {
            return None;
        }
        let cell = payload::cell(space.page, at, space.range.1, Kind::TableLeaf, &self.geometry)?;
        if cell.whole || cell.rowid.is_none_or(i64::is_negative) {
            return None;
        }
        let local = space.page.get(cell.local.clone())?;
        let header = Header::read(local, cell.payload)?;
        if header.serials.len() < CUT_COLUMNS && !begins {
            return None;
        }
        let (table, doubts) = self.table_of(&header.serials, space.owner, false)?;
        let mut found = self.row(table, &header.serials, local.get(header.length..)?, false)?;
        let weight = |value: &Value| if matches!(value, Value::Null) { 0 } else { value.size().max(1) };
        let left: usize = found.values.iter().flatten().map(weight).sum();
        if doubts.has(Doubts::SHORT) || left < CUT_LEFT || !found.tells() {
            return None;
        }
        found.row_id = cell.rowid;
        found.range = (at, space.range.1);
        found.doubts = found.doubts.and(doubts).and(Doubts::CUT);
        Some(found)
    }

    /// The table whose row the serial types suit best: the page's own, or that of least misfit.
    fn table_of(&self, serials: &[u64], owner: Option<usize>, named: bool) -> Option<(usize, Doubts)> {
        let misfit = |table: usize| self.tables.get(table).and_then(|table| table.misfit(serials));
        let short = |table: usize| {
            let columns = self.tables.get(table).map_or(0, |table| table.columns.len());
            if serials.len() < columns { Doubts::SHORT } else { Doubts::default() }
        };
        if let Some(table) = owner
            && misfit(table).is_some_and(|misfit| named || misfit <= serials.len())
        {
            return Some((table, short(table)));
        }
        // One column of one byte is everywhere.
        if serials.len() < 2 && !named {
            return None;
        }
        let fitting = (0..self.tables.len()).filter_map(|table| Some((misfit(table)?, table)));
        let fitting: Vec<_> = fitting.filter(|(misfit, _)| *misfit <= serials.len() / 2).collect();
        let best = fitting.iter().min()?;
        let guessed = fitting.iter().filter(|other| other.0 == best.0).count() > 1;
        Some((best.1, short(best.1).and(if guessed { Doubts::TABLE } else { Doubts::default() })))
    }

    /// Lays values out. `None` where a text is none.
    fn row(&self, table: usize, serials: &[u64], body: &[u8], named: bool) -> Option<Found> {
        let columns = &self.tables.get(table)?.columns;
        let mut found = Found { table, row_id: None, values: Vec::new(), cut: None, range: (0, 0), doubts: Doubts::default() };
        let mut at = 0usize;
        for (serial, column) in serials.iter().zip(columns) {
            let end = at.saturating_add(usize::try_from(body_length(*serial)?).ok()?);
            let mut bytes = body.get(at.min(body.len())..end.min(body.len())).unwrap_or_default();
            let cut = end > body.len();
            at = end;
            if cut {
                found.doubts = found.doubts.and(Doubts::CUT);
                // The start of a text says something, that of a number does not.
                if !is_text(*serial) || bytes.is_empty() {
                    found.values.push(None);
                    continue;
                }
                found.cut = Some(found.values.len());
                if let Err(error) = std::str::from_utf8(bytes)
                    && error.error_len().is_none()
                {
                    bytes = bytes.get(..error.valid_up_to()).unwrap_or_default();
                }
            }
            let shown = bytes.get(..bytes.len().min(TEXT_SHOWN)).unwrap_or_default();
            if is_text(*serial) && !named && !looks_like_text(shown, self.geometry.encoding) {
                return None;
            }
            found.values.push(Some(Value::of(*serial, bytes, column, self.geometry.encoding)));
        }
        Some(found)
    }

    /// All rows in a stretch of free space, in the order of their places, none overlapping.
    pub fn space(&self, space: &Space<'_>, chain: &mut Chain<'_>) -> Vec<Found> {
        let (mut at, to) = space.range;
        let mut rows = Vec::new();
        // Where a cell begins for sure: at the start, behind another cell, and where a freeblock starts.
        let mut border = if space.begins { at } else { to };
        while at < to {
            let rest = space.page.get(at..to).unwrap_or_default();
            let Some(zeros) = rest.iter().position(|byte| *byte != 0) else { break };
            // An overwritten start can have three zeros: next block 0, size below 256.
            if zeros > 3 {
                at += zeros - 3;
            }
            let rest = space.page.get(at..to).unwrap_or_default();
            let begins = at == border || space.freeblocks.contains(&at);
            // Three zeros before a cell that is whole are no freeblock's.
            let later = rest.get(..4).is_some_and(|four| four.starts_with(&[0; 3]) && !begins).then_some(at + 3);
            let found = self
                .whole(space, at, false, chain)
                .or_else(|| self.whole(space, later?, false, chain))
                .or_else(|| self.cut(space, at, begins))
                .or_else(|| self.headless(space, at, begins, chain));
            match found {
                Some(found) => {
                    at = found.range.1.max(at + 1);
                    border = at;
                    rows.push(found);
                }
                None => at += 1,
            }
        }
        rows
    }
}
