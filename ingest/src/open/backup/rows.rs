//! Rows of one table of a SQLite database, read from its pages (<https://sqlite.org/fileformat2.html>).
//!
//! A backup's `Manifest.db` says where everything else lies, so ingest must read it; but a database from evidence is not given to
//! SQLite outside of the sandbox, and opening one in place would change it. This reader knows ordinary tables and the log
//! beside the file, goes to each page once, and keeps what it can where pages are damaged.

use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;
use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek, SeekFrom};

/// First bytes of every database.
pub const MAGIC: &[u8] = b"SQLite format 3\0";
/// Largest row that is read.
const ROW_BYTES_MAX: usize = 1 << 20;

/// A value of a row; a number with a fraction is none that a manifest has.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// NULL, or a number with a fraction.
    Null,
    /// An integer.
    Integer(i64),
    /// A text or a BLOB.
    Bytes(Vec<u8>),
}

/// Takes the wanted columns of a row.
pub type Visit<'v> = dyn FnMut(Vec<Cell>) + 'v;

/// An opened database.
pub struct Database {
    source: Source,
    log: Option<(Source, HashMap<u32, u64>)>,
    page_bytes: usize,
    usable: usize,
    pages: u32,
    read: HashSet<u32>,
    troubles: Vec<Trouble>,
}

impl Database {
    /// Opens a database and the write-ahead log beside it.
    pub fn open(source: &Source, log: Option<Source>) -> Result<Database, Trouble> {
        let damaged = |detail: &str| Trouble::new(Code::ContainerDamaged, detail);
        let mut head = [0; 100];
        source.reader().read_exact(&mut head).map_err(|_| damaged("manifest is shorter than a database's header"))?;
        if !head.starts_with(MAGIC) {
            return Err(damaged("manifest is no SQLite database"));
        }
        let page_bytes = match be(&head[16..18]) {
            1 => 65_536,
            size @ 512..=32_768 if size & (size - 1) == 0 => size,
            _ => return Err(damaged("manifest has no valid page size")),
        };
        let page_bytes = usize::try_from(page_bytes).unwrap_or(usize::MAX);
        let usable = page_bytes.saturating_sub(usize::from(head[20]));
        if usable < 480 || be(&head[56..60]) > 1 {
            return Err(Trouble::new(Code::Unsupported, "manifest is a database that is not in UTF-8"));
        }
        let pages = source.size().div_ceil(page_bytes as u64);
        let mut pages = u32::try_from(pages).unwrap_or(u32::MAX);
        let frames = log.as_ref().and_then(|log| frames(log, page_bytes));
        if let Some((_, size)) = &frames {
            pages = *size;
        }
        let log = log.zip(frames.map(|(frames, _)| frames));
        Ok(Database { source: source.clone(), log, page_bytes, usable, pages, read: HashSet::new(), troubles: Vec::new() })
    }

    /// Reads a table: `visit` gets the named columns of each row. What is damaged is left out and told of.
    pub fn table(mut self, name: &str, columns: &[&str], visit: &mut Visit<'_>) -> Result<Vec<Trouble>, Trouble> {
        let mut found = None;
        self.walk(1, &mut |cells| {
            let text = |at: usize| if let Some(Cell::Bytes(text)) = cells.get(at) { text.as_slice() } else { b"" };
            if text(0) == b"table" && text(1) == name.as_bytes() {
                found = Some((cells.get(3).cloned(), text(4).to_vec()));
            }
        });
        let none = |detail: String| Trouble::new(Code::ContainerDamaged, detail);
        let Some((Some(Cell::Integer(root)), sql)) = found else { return Err(none(format!("manifest has no table {name}"))) };
        let known = names(&String::from_utf8_lossy(&sql));
        let place = |column: &&str| known.iter().position(|name| name.eq_ignore_ascii_case(column));
        let Some(places) = columns.iter().map(place).collect::<Option<Vec<usize>>>() else {
            return Err(none(format!("table {name} of the manifest lacks columns")));
        };
        self.read.clear();
        self.walk(u32::try_from(root).unwrap_or(0), &mut |mut cells| {
            let wanted =
                places.iter().map(|at| cells.get_mut(*at).map_or(Cell::Null, |cell| std::mem::replace(cell, Cell::Null)));
            let wanted = wanted.collect();
            visit(wanted);
        });
        Ok(self.troubles)
    }

    /// Visits every row below a page.
    fn walk(&mut self, root: u32, row: &mut Visit<'_>) {
        let mut waiting = vec![root];
        while let Some(number) = waiting.pop() {
            if let Err(detail) = self.page(number).and_then(|page| self.rows(number, &page, &mut waiting, row)) {
                self.troubles.push(Trouble::new(Code::ContainerDamaged, format!("page {number} of the manifest: {detail}")));
            }
        }
    }

    fn rows(&mut self, number: u32, page: &[u8], waiting: &mut Vec<u32>, row: &mut Visit<'_>) -> Result<(), String> {
        const CUT: &str = "cut off";
        let head = if number == 1 { 100 } else { 0 };
        let kind = *page.get(head).ok_or(CUT)?;
        let count = be(page.get(head + 3..head + 5).ok_or(CUT)?) as usize;
        let first = match kind {
            0x05 => head + 12,
            0x0d => head + 8,
            _ => return Err("no page of a table".to_owned()),
        };
        let pointers = page.get(first..first + count * 2).ok_or(CUT)?;
        if kind == 0x05 {
            waiting.push(narrow(be(page.get(head + 8..head + 12).ok_or(CUT)?)));
        }
        let mut lost = 0;
        // Children wait in reverse, so that they are visited in order.
        for pointer in pointers.as_chunks::<2>().0.iter().rev() {
            let at = usize::from(u16::from_be_bytes(*pointer));
            if kind == 0x05 {
                waiting.push(page.get(at..at + 4).map_or(0, |child| narrow(be(child))));
            }
        }
        for pointer in pointers.as_chunks::<2>().0.iter().take(if kind == 0x0d { count } else { 0 }) {
            let cell = page.get(usize::from(u16::from_be_bytes(*pointer))..);
            match cell.and_then(|cell| self.payload(cell)).as_deref().and_then(record) {
                Some(cells) => row(cells),
                None => lost += 1,
            }
        }
        if lost > 0 { Err(format!("{lost} of {count} rows cannot be read")) } else { Ok(()) }
    }

    /// The payload of a leaf cell, with what lies on overflow pages.
    fn payload(&mut self, cell: &[u8]) -> Option<Vec<u8>> {
        let (size, rest) = varint(cell)?;
        let (_, rest) = varint(rest)?;
        let size = usize::try_from(size).ok().filter(|size| *size <= ROW_BYTES_MAX)?;
        let (usable, most) = (self.usable, self.usable.checked_sub(35)?);
        if size <= most {
            return rest.get(..size).map(<[u8]>::to_vec);
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let here = least + (size - least) % (usable - 4);
        let here = if here <= most { here } else { least };
        let mut payload = rest.get(..here)?.to_vec();
        let mut next = narrow(be(rest.get(here..here + 4)?));
        while payload.len() < size {
            let page = self.page(next).ok()?;
            next = narrow(be(page.get(..4)?));
            payload.extend_from_slice(page.get(4..)?.get(..(usable - 4).min(size - payload.len()))?);
        }
        Some(payload)
    }

    /// A page, once: no page belongs to two places.
    fn page(&mut self, number: u32) -> Result<Vec<u8>, String> {
        if number == 0 || number > self.pages || !self.read.insert(number) {
            return Err("named where it cannot be".to_owned());
        }
        let logged = self.log.as_ref().and_then(|(log, frames)| frames.get(&number).map(|at| (log, *at)));
        let (source, at) = logged.unwrap_or((&self.source, u64::from(number - 1) * self.page_bytes as u64));
        let mut page = vec![0; self.page_bytes];
        let mut reader = source.reader();
        let read = reader.seek(SeekFrom::Start(at)).and_then(|_| reader.read_exact(&mut page));
        read.map_err(|error| error.kind().to_string())?;
        page.truncate(self.usable);
        Ok(page)
    }
}

/// Where the log has pages, up to its last commit, and how many pages the database has after it; `None` for a log that is not
/// in force.
fn frames(log: &Source, page_bytes: usize) -> Option<(HashMap<u32, u64>, u32)> {
    let mut reader = std::io::BufReader::with_capacity(128 << 10, log.reader());
    let mut head = [0; 32];
    reader.read_exact(&mut head).ok()?;
    let big = match be(&head[..4]) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return None,
    };
    let mut sum = checksum(big, (0, 0), &head[..24]);
    if be(&head[8..12]) != page_bytes as u64 || (sum.0, sum.1) != (narrow(be(&head[24..28])), narrow(be(&head[28..32]))) {
        return None;
    }
    let (mut committed, mut pending, mut size) = (HashMap::new(), Vec::new(), 0);
    let (mut frame, mut at) = (vec![0; 24 + page_bytes], 32u64);
    while reader.read_exact(&mut frame).is_ok() {
        sum = checksum(big, checksum(big, sum, &frame[..8]), &frame[24..]);
        let valid = frame[8..16] == head[16..24] && be(&frame[16..24]) == u64::from(sum.0) << 32 | u64::from(sum.1);
        if !valid {
            break;
        }
        pending.push((narrow(be(&frame[..4])), at + 24));
        at += frame.len() as u64;
        let commit = narrow(be(&frame[4..8]));
        if commit > 0 {
            committed.extend(pending.drain(..));
            size = commit;
        }
    }
    (size > 0).then_some((committed, size))
}

/// The checksum of a log (§4.2 of the format).
fn checksum(big: bool, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    for pair in bytes.as_chunks::<8>().0 {
        let word = |at: usize| {
            let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        first = first.wrapping_add(word(0)).wrapping_add(second);
        second = second.wrapping_add(word(4)).wrapping_add(first);
    }
    (first, second)
}

/// The values of a record.
fn record(payload: &[u8]) -> Option<Vec<Cell>> {
    let (head_bytes, rest) = varint(payload)?;
    let head_bytes = usize::try_from(head_bytes).ok()?;
    let mut types = payload.get(payload.len() - rest.len()..head_bytes)?;
    let mut body = payload.get(head_bytes..)?;
    let mut cells = Vec::new();
    while !types.is_empty() {
        let (kind, rest) = varint(types)?;
        types = rest;
        let width = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        let (value, rest) = body.split_at_checked(width)?;
        body = rest;
        cells.push(match kind {
            0 | 7 => Cell::Null,
            8 => Cell::Integer(0),
            9 => Cell::Integer(1),
            1..=6 => {
                let shift = 64 - 8 * u32::try_from(width).ok()?;
                Cell::Integer((be(value) << shift).cast_signed() >> shift)
            }
            _ => Cell::Bytes(value.to_vec()),
        });
    }
    Some(cells)
}

/// The names of the columns in a CREATE TABLE as SQLite keeps it.
fn names(sql: &str) -> Vec<String> {
    let inner = sql.split_once('(').map_or("", |(_, inner)| inner);
    let (mut depth, mut definitions) = (0, vec![String::new()]);
    for character in inner.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => definitions.push(String::new()),
            _ => {}
        }
        if depth < 0 {
            break;
        }
        if let Some(definition) = definitions.last_mut().filter(|_| character != ',') {
            definition.push(character);
        }
    }
    let name =
        |definition: &String| definition.split_whitespace().next().unwrap_or("").trim_matches(['"', '`', '[', ']']).to_owned();
    definitions.iter().map(name).collect()
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        if at == 8 {
            return Some((number << 8 | u64::from(*byte), &bytes[9..]));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

/// Up to eight bytes, big endian.
fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
