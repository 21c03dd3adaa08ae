//! Freed cells that lost their first four bytes.
//!
//! With one byte for the payload length and `r` for the rowid (1 to 9), the record header begins `1 + r` bytes into the cell, or
//! `2 + r` for payloads of 128 bytes and more. So the four bytes took the header's length and the first serial type (`r` = 1),
//! only its length, or neither.

use super::{Carver, Chain, Doubts, Found, Header, Space};
use crate::find::pages::{Kind, be16, be32};
use crate::find::row::{body_length, is_text, is_value, varint};
use crate::recover::shape::{Affinity, Column, Table};
use crate::recover::value::Value;

/// Bytes of a freed cell that a freeblock's header takes.
const TAKEN: usize = 4;
/// Most tables that a page without owner is tried with.
const TABLES_TRIED: usize = 12;
/// So many freed cells in a row are no chance, whatever follows.
const LEADS_ENOUGH: usize = 64;
/// Largest start of a record header in a cell: nine bytes of rowid behind three of length.
const STARTS: std::ops::RangeInclusive<usize> = 4..=12;

/// One reading of what survived.
struct Reading {
    serials: Vec<u64>,
    /// First byte of the payload and of the bodies in the page.
    payload_at: usize,
    bodies_at: usize,
    payload: u64,
    doubts: Doubts,
}

/// Where a cell may end.
struct Ends {
    /// End of the freeblock, by its own size.
    block: Option<usize>,
    /// Whether the block is one of the page's chain, so that its size can be trusted.
    chained: bool,
    /// End of a block that reaches into cells which were written since: it was merged with what lay behind it.
    stale: Option<usize>,
}

impl Carver<'_> {
    /// The row of a freed cell at a byte. Where nothing says that a cell begins there (`begins`), its end must be confirmed.
    pub(super) fn headless(&self, space: &Space<'_>, at: usize, begins: bool, chain: &mut Chain<'_>) -> Option<Found> {
        let size = be16(space.page, at + 2).map(usize::from)?;
        let next = be16(space.page, at).map(usize::from)?;
        let linked = next < self.geometry.usable;
        let fits = linked && (TAKEN..=space.range.1.saturating_sub(at)).contains(&size);
        let stale =
            (linked && !fits && space.owner.is_some() && size > TAKEN && at + size <= self.geometry.usable).then_some(at + size);
        if !fits && stale.is_none() && !begins || at + TAKEN >= space.range.1 {
            return None;
        }
        let ends = Ends { block: fits.then_some(at + size), chained: space.freeblocks.contains(&at), stale };
        let tables = match space.owner {
            Some(owner) => owner..owner + 1,
            None => 1..self.tables.len().min(TABLES_TRIED + 1),
        };
        let mut best: Option<((bool, bool, usize, usize), Found)> = None;
        for table in tables {
            let Some(shape) = self.tables.get(table) else { continue };
            for reading in readings(space, at, shape, &ends) {
                let Some(misfit) = shape.misfit(&reading.serials).filter(|misfit| *misfit <= reading.serials.len()) else {
                    continue;
                };
                // Where no chain says that a cell begins, bytes in a column of texts are chance: SQLite keeps them, apps do not.
                if !ends.chained && shape.bytes_for_text(&reading.serials) {
                    continue;
                }
                let Some(found) = self.read(space, at, table, &reading, &ends, chain) else { continue };
                // Rather up to the end of the block than short of it.
                let slack = ends.block.map_or(0, |block| block.saturating_sub(found.range.1)).min(TAKEN) % TAKEN;
                let score = (found.doubts.has(Doubts::END), found.doubts.has(Doubts::CUT), slack, misfit);
                let taken = best.as_ref().is_some_and(|(other, _)| *other <= score);
                // What is not confirmed needs a freeblock that says that a cell begins here.
                if !taken && (ends.chained || !found.doubts.has(Doubts::END) && !found.doubts.has(Doubts::CUT)) {
                    best = Some((score, found));
                }
            }
        }
        best.map(|(_, found)| found)
    }

    /// The row of one reading, if it holds together.
    fn read(
        &self,
        space: &Space<'_>,
        at: usize,
        table: usize,
        reading: &Reading,
        ends: &Ends,
        chain: &mut Chain<'_>,
    ) -> Option<Found> {
        let local = self.geometry.local(Kind::TableLeaf, reading.payload);
        let spills = reading.payload > local as u64;
        let end = reading.payload_at.checked_add(local)?.checked_add(if spills { 4 } else { 0 })?;
        let limit = ends.block.filter(|_| ends.chained).unwrap_or(space.range.1);
        let mut doubts = reading.doubts.and(Doubts::ROW_ID);
        let mut body = space.page.get(reading.bodies_at..end.min(limit))?.to_vec();
        if end > limit {
            // The end of a freeblock is given to new cells first.
            if !ends.chained {
                return None;
            }
            doubts = doubts.and(Doubts::CUT);
        } else {
            if !self.confirmed(space, end, ends, chain) && !self.borders(space, end, table, ends) {
                doubts = doubts.and(Doubts::END);
            }
            if spills {
                body.truncate(body.len().saturating_sub(4));
                let first = be32(space.page, end - 4)?;
                body.extend(chain(first, reading.payload - local as u64));
            }
        }
        // A block that was given out in part and freed again holds the start of one row and the end of another.
        let border = self.overwritten(space, (reading.bodies_at, end.min(limit)), table, chain);
        if let Some(border) = border {
            body.truncate(border - reading.bodies_at);
            doubts = doubts.and(Doubts::CUT);
        }
        // How long a text of a lost type was is known from the end of its cell only: without that, its letters would be made up.
        let open = doubts.has(Doubts::CUT) || doubts.has(Doubts::END);
        if open && doubts.has(Doubts::FIRST) && reading.serials.first().is_some_and(|serial| is_value(*serial)) {
            return None;
        }
        let mut found = self.row(table, &reading.serials, &body, false)?;
        // A row of which no byte is left but of the column that was inferred is chance; 0 and 1 take none.
        let inferred = usize::from(doubts.has(Doubts::FIRST));
        let says = |value: &Value| {
            value.size() > 0 || !matches!(value, Value::Null | Value::Integer(0 | 1) | Value::Text(_) | Value::Blob(_))
        };
        if !found.values.iter().skip(inferred).flatten().any(says) {
            return None;
        }
        if doubts.has(Doubts::FIRST) && reading.serials.first().is_some_and(|serial| body_length(*serial) == Some(0)) {
            // NULL, 0 and 1 take no bytes: which it was is lost.
            if let Some(first) = found.values.first_mut() {
                *first = None;
            }
        }
        if !found.tells() {
            return None;
        }
        found.range = (at, border.unwrap_or(end.min(limit)));
        found.doubts = found.doubts.and(doubts);
        Some(found)
    }

    /// Where another cell of the table begins among the values of one that was freed: whole, or freed itself and ending where a block of its size
    /// does. Chance would have to hit every column and the length.
    fn overwritten(&self, space: &Space<'_>, (from, end): (usize, usize), table: usize, chain: &mut Chain<'_>) -> Option<usize> {
        let shape = self.tables.get(table).filter(|shape| shape.columns.len() > 2)?;
        (from..end.saturating_sub(2 * TAKEN)).find(|at| {
            let whole = self.whole(space, *at, false, chain).filter(|found| found.table == table && found.range.1 <= end);
            whole.is_some_and(|found| found.values.len() == shape.columns.len()) || self.freed(space, *at, end, shape)
        })
    }

    /// Whether a freed cell of the table begins there: its size leads to an end at most, and one reading of it ends there, too.
    fn freed(&self, space: &Space<'_>, at: usize, end: usize, shape: &Table) -> bool {
        let (Some(next), Some(size)) = (be16(space.page, at).map(usize::from), be16(space.page, at + 2).map(usize::from)) else {
            return false;
        };
        if next >= self.geometry.usable || size <= 2 * TAKEN || at + size > end {
            return false;
        }
        let ends = Ends { block: Some(at + size), chained: false, stale: None };
        readings(space, at, shape, &ends).iter().any(|reading| {
            let local = self.geometry.local(Kind::TableLeaf, reading.payload);
            let spills = if reading.payload > local as u64 { 4 } else { 0 };
            let misfit = shape.misfit(&reading.serials).is_some_and(|misfit| misfit <= 1);
            misfit && !reading.doubts.has(Doubts::FIRST) && reading.payload_at + local + spills == at + size
        })
    }

    /// Whether a cell could well end there: where its block ends (up to three bytes of fragment lie between), where the block
    /// that it was merged with begins, or where a whole cell follows.
    fn confirmed(&self, space: &Space<'_>, end: usize, ends: &Ends, chain: &mut Chain<'_>) -> bool {
        let Some(block) = ends.block else { return end == space.range.1 };
        if end <= block && block - end < TAKEN {
            return true;
        }
        end < block && (self.leads(space, end, block, chain) || self.whole(space, end, false, chain).is_some())
    }

    /// Whether the next freed cell of the same table begins there, in a block that ended no later than this one: of blocks that
    /// were merged, the outer ones hold the ends of the inner ones.
    fn borders(&self, space: &Space<'_>, end: usize, table: usize, ends: &Ends) -> bool {
        let Some(own) = ends.stale else { return false };
        let Some(shape) = self.tables.get(table).filter(|shape| shape.columns.len() > 2) else { return false };
        let Some(size) = be16(space.page, end + 2).map(usize::from).filter(|size| *size > TAKEN) else { return false };
        let next = be16(space.page, end).map(usize::from).unwrap_or(usize::MAX);
        let inner = Ends { block: None, chained: false, stale: Some(end + size) };
        let reads = |reading: &Reading| {
            reading.doubts.has(Doubts::FIRST) && shape.misfit(&reading.serials).is_some_and(|misfit| misfit <= 1)
        };
        end + size <= own
            && next < self.geometry.usable
            && (end + size == own || readings(space, end, shape, &inner).iter().any(reads))
    }

    /// Whether freed cells lead from a place to an end: blocks that were merged keep their sizes, and a cell that was merged with
    /// the block before it keeps its first bytes.
    fn leads(&self, space: &Space<'_>, mut at: usize, block: usize, chain: &mut Chain<'_>) -> bool {
        for _ in 0..LEADS_ENOUGH {
            if at >= block {
                return at == block;
            }
            at = match (self.whole(space, at, false, chain), be16(space.page, at), be16(space.page, at + 2).map(usize::from)) {
                (Some(found), ..) => found.range.1,
                (None, Some(next), Some(size)) if size >= TAKEN && usize::from(next) < self.geometry.usable => at + size,
                _ => return false,
            };
        }
        true
    }
}

/// Everything that the bytes behind the overwritten ones could be, if the row has all columns of the table.
fn readings(space: &Space<'_>, at: usize, table: &Table, ends: &Ends) -> Vec<Reading> {
    let mut readings = Vec::new();
    let columns = table.columns.as_slice();
    // Only the length of the header is lost.
    if let Some((header, bodies_at)) = serials(space, at + TAKEN, columns) {
        let payload = (header.length as u64 + 1).saturating_add(header.bodies);
        let doubts = Doubts::default();
        readings.push(Reading { serials: header.serials, payload_at: at + 3, bodies_at, payload, doubts });
    }
    // Nothing of the header is lost.
    for start in STARTS {
        let begin = at + start;
        // What is left of the rowid ends with a byte below 0x80.
        let rest = space.page.get(at + TAKEN..begin).unwrap_or_default();
        if rest.split_last().is_some_and(|(last, others)| *last >= 0x80 || others.iter().any(|byte| *byte < 0x80)) {
            continue;
        }
        let Some((length, width)) = space.page.get(begin..space.range.1).and_then(varint) else { continue };
        let Some((header, bodies_at)) = serials(space, begin + width, columns) else { continue };
        if (header.length + width) as u64 == length {
            let payload = length.saturating_add(header.bodies);
            readings.push(Reading { serials: header.serials, payload_at: begin, bodies_at, payload, doubts: Doubts::default() });
        }
    }
    // The first type is lost too.
    if let [_, others @ ..] = columns
        && !others.is_empty()
        && let Some((header, bodies_at)) = serials(space, at + TAKEN, others)
    {
        for first in firsts(space, table, ends, bodies_at.saturating_add(header.bodies as usize)) {
            let Some(body) = body_length(first) else { continue };
            let payload = (header.length as u64 + 2).saturating_add(header.bodies).saturating_add(body);
            // A longer payload has two bytes of length, and then the first type survives.
            if payload < 0x80 {
                let serials = std::iter::once(first).chain(header.serials.iter().copied()).collect();
                let row_id = table.columns.first().is_some_and(|column| column.is_row_id);
                let doubts = if row_id { Doubts::default() } else { Doubts::FIRST };
                readings.push(Reading { serials, payload_at: at + 2, bodies_at, payload, doubts });
            }
        }
    }
    readings
}

/// The serial types of these columns from a byte on, and the byte behind them. Nothing is kept before each column can have its type: at nearly
/// every byte that is tried one of the first cannot.
fn serials(space: &Space<'_>, from: usize, columns: &[Column]) -> Option<(Header, usize)> {
    let bytes = space.page.get(from..space.range.1)?;
    let (mut length, mut bodies) = (0, 0u64);
    for column in columns {
        let (serial, width) = varint(bytes.get(length..)?)?;
        column.misfit(serial)?;
        bodies = bodies.checked_add(body_length(serial)?)?;
        length += width;
    }
    if bodies > u64::from(u32::MAX) {
        return None;
    }
    let mut header = Header { serials: Vec::with_capacity(columns.len()), length, bodies: 0 };
    header.fill(bytes.get(..length)?)?;
    Some((header, from + length))
}

/// What the first serial type can have been: what the column takes, and what makes the cell end with its block.
fn firsts(space: &Space<'_>, table: &Table, ends: &Ends, end_without: usize) -> Vec<u64> {
    let Some(column) = table.columns.first() else { return Vec::new() };
    let mut firsts: Vec<u64> = space.first.into_iter().filter(|serial| *serial < 0x80).collect();
    if column.is_row_id {
        return vec![0];
    }
    match column.affinity {
        Affinity::Integer | Affinity::Numeric => firsts.extend([1, 2, 3, 4, 5, 6, 9, 7, 0]),
        Affinity::Real => firsts.extend([7, 1, 2, 3, 4, 5, 6, 9, 0]),
        Affinity::Text | Affinity::Blob => firsts.push(0),
    }
    if !matches!(column.affinity, Affinity::Integer | Affinity::Real)
        && let Some(length) = ends.block.and_then(|block| block.checked_sub(end_without))
    {
        let text = 13 + 2 * length as u64;
        firsts.extend([text].into_iter().filter(|serial| *serial < 0x80 && is_text(*serial)));
    }
    firsts
}
