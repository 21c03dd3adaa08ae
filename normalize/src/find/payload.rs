//! Cells of b-tree pages and the values in their payloads, overflow pages followed.
//!
//! Format: <https://www.sqlite.org/fileformat2.html>, sections 1.6 (cells), 1.7 (overflow pages) and 2.1 (records).

use crate::find::pages::{Geometry, Kind, be32};
use crate::find::row::{body_length, is_value, varint};
use crate::find::sighted::{Place, Row, SHORTEST, Sighted};
use std::collections::HashSet;
use std::io;
use std::ops::Range;

/// Bytes of a value that are searched at once; longer values pass in windows.
const WINDOW: u64 = 1 << 20;
/// Bytes that two windows share: twice the longest thing that is found whole.
const OVERLAP: u64 = 8 << 10;
/// Largest record header read: more than SQLite's 32,767 columns of two bytes each.
const HEADER_MAX: u64 = 128 << 10;

/// One cell of a b-tree page.
#[derive(Clone, PartialEq, Debug)]
pub struct Cell {
    /// The left child, on interior pages.
    pub child: Option<u32>,
    /// The rowid, in tables.
    pub rowid: Option<i64>,
    /// Bytes of its payload.
    pub payload: u64,
    /// The part of the payload in the page; cut short where the page ends.
    pub local: Range<usize>,
    /// First overflow page, where there is one.
    pub overflow: Option<u32>,
    /// First byte behind it.
    pub end: usize,
    /// Whether it ends within the bytes it may take.
    pub whole: bool,
}

/// Reads the cell at `at`, which may not go beyond `limit`.
pub fn cell(page: &[u8], at: usize, limit: usize, kind: Kind, geometry: &Geometry) -> Option<Cell> {
    let limit = limit.min(page.len());
    let mut position = at;
    let mut child = None;
    if kind.interior() {
        child = Some(be32(page, at)?);
        position += 4;
    }
    let mut next = || {
        let (value, length) = varint(page.get(position..limit)?)?;
        position += length;
        Some(value)
    };
    if kind == Kind::TableInterior {
        let rowid = Some(next()? as i64);
        return Some(Cell { child, rowid, payload: 0, local: position..position, overflow: None, end: position, whole: true });
    }
    let payload = next()?;
    let rowid = if kind == Kind::TableLeaf { Some(next()? as i64) } else { None };
    let local = geometry.local(kind, payload);
    let spills = payload > local as u64;
    let end = position.checked_add(local)?;
    let whole = end.checked_add(if spills { 4 } else { 0 })? <= limit;
    let overflow = if spills && whole { be32(page, end) } else { None };
    let last = if spills && whole { end + 4 } else { end.min(limit) };
    Some(Cell { child, rowid, payload, local: position..end.min(limit), overflow, end: last, whole })
}

/// Where overflow pages come from.
pub trait Overflow {
    /// Reads the page of that number; `None` where there is none, it is used up or of no use.
    fn page(&mut self, number: u32, buffer: &mut Vec<u8>) -> io::Result<Option<Place>>;
    /// Bytes of a page that are used.
    fn usable(&self) -> usize;
}

/// How a record was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// How many columns its header names.
    pub columns: usize,
    /// Whether header and bodies fill the payload.
    pub whole: bool,
}

/// Searches every text and blob of a record that lies in one piece. `None` where it has no header.
pub fn values(payload: &[u8], place: Place, row: Row<'_>, sighted: &mut Sighted<'_, '_>) -> Option<Read> {
    let (header, mut at) = varint(payload)?;
    let header = usize::try_from(header).ok().filter(|header| *header >= at && *header <= payload.len())?;
    let mut body = header as u64;
    let mut columns = 0;
    while at < header {
        let (serial, length) = varint(payload.get(at..header)?)?;
        at += length;
        columns += 1;
        let end = body.checked_add(body_length(serial)?)?;
        if is_value(serial) && end - body >= SHORTEST as u64 {
            let from = (body as usize).min(payload.len());
            let bytes = payload.get(from..(end.min(payload.len() as u64)) as usize).unwrap_or_default();
            sighted.segment(bytes, place.plus(from), row);
        }
        body = end;
    }
    // What no column claims is searched too.
    if let Some(rest) = usize::try_from(body).ok().and_then(|body| payload.get(body..)) {
        sighted.segment(rest, place.plus(body as usize), row);
    }
    Some(Read { columns, whole: body == payload.len() as u64 })
}

/// A piece of a payload: position in it, place, bytes.
struct Piece {
    at: u64,
    place: Place,
    length: u64,
}

/// A payload that goes on in overflow pages, read as it is needed.
struct Spilled<'o> {
    overflow: &'o mut dyn Overflow,
    next: u32,
    /// Bytes of the payload not yet read.
    remaining: u64,
    buffer: Vec<u8>,
    /// Position of the buffer's first byte in the payload.
    start: u64,
    pieces: Vec<Piece>,
    page: Vec<u8>,
    chain: HashSet<u32>,
}

impl Spilled<'_> {
    /// Position in the payload behind the last byte that was read.
    fn end(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }

    /// Reads on to that position of the payload, or as far as the chain goes.
    fn ensure(&mut self, position: u64) -> io::Result<()> {
        while self.end() < position && self.remaining > 0 && self.next != 0 {
            // A chain that comes back to a page would repeat its content.
            let place = if self.chain.insert(self.next) { self.overflow.page(self.next, &mut self.page)? } else { None };
            let Some(place) = place else {
                self.next = 0;
                break;
            };
            let usable = self.overflow.usable().min(self.page.len());
            let content = self.page.get(4..usable).unwrap_or_default();
            let take = (content.len() as u64).min(self.remaining);
            self.pieces.push(Piece { at: self.end(), place: place.plus(4), length: take });
            self.buffer.extend_from_slice(content.get(..take as usize).unwrap_or_default());
            self.remaining -= take;
            self.next = be32(&self.page, 0).unwrap_or(0);
        }
        Ok(())
    }

    /// The bytes from position `from` up to `to`, as far as they were read.
    fn slice(&self, from: u64, to: u64) -> &[u8] {
        let index = |position: u64| (position.max(self.start) - self.start).min(self.buffer.len() as u64) as usize;
        self.buffer.get(index(from)..index(to)).unwrap_or_default()
    }

    /// Forgets what lies before a position, now and then.
    fn discard(&mut self, position: u64) {
        let surplus = position.saturating_sub(self.start).min(self.buffer.len() as u64);
        if surplus >= WINDOW {
            self.buffer.drain(..surplus as usize);
            self.start += surplus;
            let start = self.start;
            self.pieces.retain(|piece| piece.at + piece.length > start);
        }
    }

    /// Place of a position, and the bytes from there on that lie together.
    fn place(&self, position: u64) -> Option<(Place, u64)> {
        let index = self.pieces.partition_point(|piece| piece.at <= position).checked_sub(1)?;
        let piece = self.pieces.get(index)?;
        let inside = position - piece.at;
        Some((piece.place.plus(inside as usize), piece.length.saturating_sub(inside)))
    }

    /// Searches the value that takes the payload from `from` to `to`.
    fn value(&mut self, from: u64, to: u64, row: Row<'_>, sighted: &mut Sighted<'_, '_>) -> io::Result<()> {
        let mut window = from;
        let mut accept = from;
        loop {
            let mut until = to.min(window.saturating_add(WINDOW));
            self.ensure(until)?;
            let last = until == to || self.end() < until;
            until = until.min(self.end());
            let accept_to = if last { u64::MAX } else { until - OVERLAP / 2 };
            for find in sighted.recognize(self.slice(window, until)) {
                let position = window + find.offset;
                if (accept..accept_to).contains(&position)
                    && let Some((place, together)) = self.place(position)
                {
                    let length = Some(find.length).filter(|length| *length <= together);
                    sighted.put(find, place, length, row);
                }
            }
            if last {
                return Ok(());
            }
            accept = accept_to;
            window = until - OVERLAP;
            self.discard(window);
        }
    }
}

/// Searches every text and blob of a record whose payload goes on in overflow pages. `None` where it has no header.
pub fn spilled_values(
    page: &[u8],
    cell: &Cell,
    place: Place,
    overflow: &mut dyn Overflow,
    row: Row<'_>,
    sighted: &mut Sighted<'_, '_>,
) -> io::Result<Option<Read>> {
    let local = page.get(cell.local.clone()).unwrap_or_default();
    let mut spilled = Spilled {
        overflow,
        next: cell.overflow.unwrap_or(0),
        remaining: cell.payload.saturating_sub(local.len() as u64),
        buffer: local.to_vec(),
        start: 0,
        pieces: vec![Piece { at: 0, place, length: local.len() as u64 }],
        page: Vec::new(),
        chain: HashSet::new(),
    };
    let Some((header, first)) = varint(local) else { return Ok(None) };
    if header < first as u64 || header > HEADER_MAX.min(cell.payload) {
        return Ok(None);
    }
    spilled.ensure(header)?;
    let serials = spilled.slice(first as u64, header).to_vec();
    let (mut at, mut body, mut columns) = (0, header, 0);
    while let Some((serial, length)) = serials.get(at..).and_then(varint) {
        at += length;
        columns += 1;
        let Some(end) = body_length(serial).and_then(|length| body.checked_add(length)) else { return Ok(None) };
        let end_here = end.min(cell.payload);
        if is_value(serial) && end_here > body {
            spilled.value(body, end_here, row, sighted)?;
        }
        body = end;
    }
    // What no column claims is searched too, so that every page of the chain is read.
    if body < cell.payload {
        spilled.value(body, cell.payload, row, sighted)?;
    }
    let whole = body == cell.payload && spilled.remaining == 0;
    Ok(Some(Read { columns, whole }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::observable::Encoding;

    const GEOMETRY: Geometry = Geometry { page_size: 512, usable: 512, encoding: Encoding::Utf8 };

    #[test]
    fn table_leaf_cell() {
        let page = [5, 0x81, 0x00, 2, 23, b'h', b'e', b'y', 0, 0, 0, 0];
        let cell = cell(&page, 0, page.len(), Kind::TableLeaf, &GEOMETRY).unwrap();
        assert_eq!((cell.rowid, cell.payload, cell.local, cell.end, cell.whole), (Some(128), 5, 3..8, 8, true));
    }

    #[test]
    fn cell_that_claims_more_than_there_is_is_cut() {
        let page = [100, 1, 2, 23];
        let cell = cell(&page, 0, page.len(), Kind::TableLeaf, &GEOMETRY).unwrap();
        assert_eq!((cell.local, cell.whole, cell.overflow), (2..4, false, None));
        assert_eq!(super::cell(&[0x80, 0x80], 0, 2, Kind::TableLeaf, &GEOMETRY), None);
    }

    #[test]
    fn interior_cells_have_a_child() {
        let cell = cell(&[0, 0, 0, 9, 7], 0, 5, Kind::TableInterior, &GEOMETRY).unwrap();
        assert_eq!((cell.child, cell.rowid, cell.payload), (Some(9), Some(7), 0));
    }
}
