//! Free space of pages: what deletion left behind, told apart into values where a record header still shows their borders.
//!
//! Deleted cells lie glued in freeblocks, in the unallocated space before the cell content, and on freed pages. SQLite overwrites
//! only the first four bytes of a freed cell (next freeblock and size; fileformat2.html, section 1.6), so most record headers
//! survive. A false header costs nothing but time: the space is also searched as one run.

use crate::find::pages::{Geometry, Kind, be16};
use crate::find::row::{body_length, is_text, is_value, looks_like_text, varint};
use crate::find::sighted::{Place, SHORTEST, Sighted};

/// Shortest run of letters and digits that can hide a glued address.
const RUN: usize = 25;
/// Longest record header that is looked for at every byte: keeps the work linear in the space.
const HEADER_MAX: usize = 128;
/// Bytes of a text that show whether it is one.
const TEXT_SHOWN: usize = 4096;
/// Most columns of a record whose header lost its start and of whose table nothing is known.
const COLUMNS_TRIED: usize = 64;
/// Longest run of letters and digits that is tried at every border.
const GLUED_MAX: usize = 256;
/// Bytes that the body of the columns can take whose serial types were overwritten.
const LOST_BODIES: [usize; 7] = [0, 1, 2, 3, 4, 6, 8];

/// A stretch of free space.
pub struct Free<'f> {
    /// Its bytes.
    pub bytes: &'f [u8],
    /// Where they lie.
    pub place: Place,
    /// Starts of freeblocks in it.
    pub freeblocks: &'f [usize],
    /// Columns of the rows around it, where known.
    pub columns: Option<usize>,
}

/// Columns of one record: where each text or blob lies, and where the record ends.
struct Remains {
    values: Vec<(usize, usize)>,
    end: usize,
    /// What the columns take whose types were overwritten, where the end of a block says how much that is: they lie glued in it.
    glued: Option<(usize, usize)>,
}

/// Searches free space: as one run, and value by value where remains of cells are recognized.
pub fn search(free: &Free<'_>, geometry: &Geometry, sighted: &mut Sighted<'_, '_>) {
    let Some(first) = free.bytes.iter().position(|byte| *byte != 0) else { return };
    let trimmed = free.bytes.get(first..).unwrap_or_default();
    sighted.segment(trimmed, free.place.plus(first), None);
    if !promising(trimmed) {
        return;
    }
    // Cells with every byte are certain enough to say where others end: they come first.
    let mut from = 0;
    let mut at = 0;
    while at < free.bytes.len() {
        match free.bytes.get(at).filter(|byte| **byte >= 4).and_then(|_| cell(free.bytes, at, geometry)) {
            Some(remains) => {
                broken(free, from, at, geometry, sighted);
                put(&remains, free, sighted);
                at = remains.end.max(at + 1);
                from = at;
            }
            None => at += 1,
        }
    }
    broken(free, from, free.bytes.len(), geometry, sighted);
}

/// Searches what lies between whole cells for records that lost their beginning.
fn broken(free: &Free<'_>, from: usize, to: usize, geometry: &Geometry, sighted: &mut Sighted<'_, '_>) {
    let Some(bytes) = free.bytes.get(..to) else { return };
    let free = Free { bytes, ..*free };
    let mut at = from;
    // Where a cell begins for sure: behind another cell, and where a freeblock starts.
    let mut border = from;
    while at < to {
        let begins = at == border || free.freeblocks.contains(&at);
        if begins || (free.columns.is_some() && could_be_freeblock(bytes, at, geometry)) {
            let found = headless(&free, at, geometry);
            // Where the lost columns' length was made to fit an end, the end confirms nothing.
            let certain = found.iter().find(|remains| remains.glued.is_none() && ends_where_a_block_does(bytes, at, remains.end));
            if begins {
                found.iter().for_each(|remains| put(remains, &free, sighted));
            } else {
                let inferred = found.iter().filter(|remains| remains.glued.is_some());
                certain.into_iter().chain(inferred).for_each(|remains| put(remains, &free, sighted));
            }
            if let Some(remains) = certain {
                at = remains.end;
                border = at;
                continue;
            }
        }
        match record(bytes, at, geometry) {
            Some(remains) => {
                put(&remains, &free, sighted);
                at = remains.end.max(at + 1);
                border = at;
            }
            None => at += 1,
        }
    }
}

fn put(remains: &Remains, free: &Free<'_>, sighted: &mut Sighted<'_, '_>) {
    for (from, to) in &remains.values {
        sighted.segment(free.bytes.get(*from..*to).unwrap_or_default(), free.place.plus(*from), None);
    }
    if let Some((from, to)) = remains.glued {
        let bytes = free.bytes.get(from..to).unwrap_or_default();
        sighted.segment(bytes, free.place.plus(from), None);
        for run in runs(bytes) {
            sighted.glued(bytes.get(run.clone()).unwrap_or_default(), free.place.plus(from + run.start));
        }
    }
}

/// The runs of letters and digits in which a glued address can hide.
fn runs(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut at = 0;
    let runs = bytes.split(|byte| !byte.is_ascii_alphanumeric()).map(|run| {
        let from = at;
        at += run.len() + 1;
        from..from + run.len()
    });
    runs.filter(|run| (RUN..=GLUED_MAX).contains(&run.len())).collect()
}

/// Whether telling values apart could show more than searching the space as one run did.
fn promising(bytes: &[u8]) -> bool {
    let mut run = 0;
    bytes.iter().any(|byte| {
        run = if byte.is_ascii_alphanumeric() { run + 1 } else { 0 };
        run >= RUN || matches!(byte, b'@' | b':' | b'+')
    })
}

/// A cell whose every byte survived: payload length, rowid (in tables), record that fills the payload.
fn cell(bytes: &[u8], at: usize, geometry: &Geometry) -> Option<Remains> {
    let (payload, length) = varint(bytes.get(at..)?)?;
    let behind = at + length;
    let (_, rowid) = varint(bytes.get(behind..)?)?;
    let table = record_of(bytes, behind + rowid, payload, Kind::TableLeaf, geometry);
    table.or_else(|| record_of(bytes, behind, payload, Kind::IndexLeaf, geometry))
}

/// A record of a known length; what spills over is cut.
fn record_of(bytes: &[u8], at: usize, payload: u64, kind: Kind, geometry: &Geometry) -> Option<Remains> {
    let local = geometry.local(kind, payload);
    let limit = at.checked_add(local)?;
    let (header, first) = varint(bytes.get(at..limit)?)?;
    let header = usize::try_from(header).ok().filter(|header| *header > first && *header <= local.min(HEADER_MAX))?;
    let serials = bytes.get(at + first..at + header)?;
    let mut remains = Remains { values: Vec::new(), end: at + header, glued: None };
    let total = columns(serials, &mut remains)?;
    if (header as u64).checked_add(total)? != payload {
        return None;
    }
    remains.end = if payload > local as u64 { limit.checked_add(4)? } else { limit };
    for value in &mut remains.values {
        *value = (value.0.min(limit), value.1.min(limit));
    }
    plausible(bytes, serials, &remains, geometry).then_some(remains)
}

/// A record header that survived, though what came before it did not.
fn record(bytes: &[u8], at: usize, geometry: &Geometry) -> Option<Remains> {
    let header = usize::from(*bytes.get(at)?);
    let first = 1;
    if !(3..HEADER_MAX).contains(&header) {
        return None;
    }
    let serials = bytes.get(at + first..at + header)?;
    // Printable bytes throughout are a text, not a header.
    if serials.iter().all(|byte| *byte >= 0x20) {
        return None;
    }
    let mut remains = Remains { values: Vec::new(), end: at + header, glued: None };
    columns(serials, &mut remains)?;
    plausible(bytes, serials, &remains, geometry).then_some(remains)
}

/// Records whose header begins in the four bytes that were overwritten. The number of columns is that of the rows around,
/// or whatever makes the record end where the freeblock does.
fn headless(free: &Free<'_>, at: usize, geometry: &Geometry) -> Vec<Remains> {
    let mut found = Vec::new();
    let Some(rest) = free.bytes.get(at + 4..) else { return found };
    let tried = free.columns.unwrap_or(COLUMNS_TRIED);
    let mut length = 0;
    let mut lengths = Vec::new();
    while lengths.len() < tried
        && let Some((_, next)) = rest.get(length..).and_then(varint)
    {
        length += next;
        lengths.push(length);
    }
    // A freed cell loses three columns at most: one byte each of payload length and rowid or header length comes before.
    let fewest = free.columns.map_or(1, |columns| columns.saturating_sub(3).max(1));
    let ends = ends(free.bytes, at);
    for header in lengths.iter().skip(fewest - 1).rev() {
        let serials = rest.get(..*header).unwrap_or_default();
        let mut without = Remains { values: Vec::new(), end: at + 4 + header, glued: None };
        // A text or key whose type was overwritten may take any length: the block's end says which.
        let inferred = ends.iter().filter_map(|end| end.checked_sub(columns(serials, &mut without).map(|_| without.end)?));
        let inferred: Vec<usize> = inferred.filter(|lost| !LOST_BODIES.contains(lost)).collect();
        for (lost, glued) in LOST_BODIES.iter().map(|lost| (*lost, false)).chain(inferred.into_iter().map(|lost| (lost, true))) {
            let start = at + 4 + header;
            let glued = glued.then_some((start, start + lost));
            let mut remains = Remains { values: Vec::new(), end: start + lost, glued };
            let laid_out = columns(serials, &mut remains).is_some();
            // The end of a freed cell may be overwritten by a newer one: its first values are still whole.
            if free.columns.is_some() && lost == 0 && remains.end > free.bytes.len() {
                remains.values.retain(|(_, to)| *to <= free.bytes.len());
                remains.end = free.bytes.len();
            }
            let fits = laid_out
                && (free.columns.is_some() || remains.glued.is_some() || ends_where_a_block_does(free.bytes, at, remains.end))
                && plausible(free.bytes, serials, &remains, geometry);
            if fits {
                found.push(remains);
            }
        }
    }
    found
}

/// Where a freed cell at `at` may end, by the sizes that are written over it and over what follows; and where the space does.
fn ends(bytes: &[u8], at: usize) -> Vec<usize> {
    let mut ends = vec![bytes.len()];
    if let Some(own) = block_end(bytes, at).filter(|own| *own <= bytes.len()) {
        ends.push(own);
        // Of blocks that were merged the inner ones keep their sizes, and end where the outer one does.
        ends.extend((at + 4..own).filter(|inner| block_end(bytes, *inner) == Some(own)));
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// Where the block ends that begins there, by its own size.
fn block_end(bytes: &[u8], at: usize) -> Option<usize> {
    be16(bytes, at + 2).map(usize::from).filter(|size| *size >= 4).map(|size| at + size)
}

/// Whether a freed cell at `at` that ends at `end` fits the block sizes written over it and over what follows. A freed cell's
/// third and fourth byte give the size of its block; one that was freed before its lower neighbour keeps its own, stale, size,
/// and both blocks end at the same byte.
fn ends_where_a_block_does(bytes: &[u8], at: usize, end: usize) -> bool {
    // What follows a stretch of free space, a whole cell or the border, ends it as well.
    end == bytes.len() || block_end(bytes, at).is_some_and(|own| own == end || block_end(bytes, end) == Some(own))
}

/// Whether four bytes can be what SQLite writes over a freed cell: offset of the next freeblock or zero, size.
fn could_be_freeblock(bytes: &[u8], at: usize, geometry: &Geometry) -> bool {
    let field = |at| be16(bytes, at).map(usize::from);
    matches!((field(at), field(at + 2)), (Some(next), Some(size)) if next < geometry.usable && (8..geometry.usable).contains(&size))
}

/// Lays the columns of some serial types out behind `remains.end`, which moves on; the bytes they take. `None` where a type is
/// reserved.
fn columns(serials: &[u8], remains: &mut Remains) -> Option<u64> {
    let (mut at, mut total) = (0, 0u64);
    while at < serials.len() {
        let (serial, length) = varint(serials.get(at..)?)?;
        at += length;
        let body = body_length(serial)?;
        total = total.checked_add(body)?;
        let end = remains.end.checked_add(usize::try_from(body).ok()?)?;
        if is_value(serial) && body >= SHORTEST as u64 {
            remains.values.push((remains.end, end));
        }
        remains.end = end;
    }
    Some(total)
}

/// Whether a record lies in the space and every text in it looks like one.
fn plausible(bytes: &[u8], serials: &[u8], remains: &Remains, geometry: &Geometry) -> bool {
    if remains.end > bytes.len() || (remains.values.is_empty() && remains.glued.is_none()) {
        return false;
    }
    let mut values = remains.values.iter();
    let mut at = 0;
    while let Some((serial, length)) = serials.get(at..).and_then(varint) {
        at += length;
        if !is_value(serial) || body_length(serial).is_none_or(|length| length < SHORTEST as u64) {
            continue;
        }
        // Values that were cut off are not judged.
        let Some((from, to)) = values.next() else { break };
        let shown = (*to).min(from.saturating_add(TEXT_SHOWN));
        if is_text(serial) && !bytes.get(*from..shown).is_some_and(|text| looks_like_text(text, geometry.encoding)) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::observable::Encoding;

    const GEOMETRY: Geometry = Geometry { page_size: 4096, usable: 4096, encoding: Encoding::Utf8 };

    /// A table leaf cell of rowid 1: NULL, two texts, an integer.
    fn cell_of(first: &str, second: &str) -> Vec<u8> {
        let mut cell = vec![0, 1, 5, 0, (first.len() * 2 + 13) as u8, (second.len() * 2 + 13) as u8, 1];
        cell.extend_from_slice(first.as_bytes());
        cell.extend_from_slice(second.as_bytes());
        cell.push(b'7');
        cell[0] = (cell.len() - 2) as u8;
        cell
    }

    fn texts(remains: &Remains, bytes: &[u8]) -> Vec<String> {
        remains.values.iter().map(|(from, to)| String::from_utf8_lossy(&bytes[*from..*to]).into_owned()).collect()
    }

    #[test]
    fn an_intact_cell_gives_its_values() {
        let bytes = cell_of("first value", "second value");
        let remains = cell(&bytes, 0, &GEOMETRY).unwrap();
        assert_eq!(texts(&remains, &bytes), ["first value", "second value"]);
        assert_eq!(remains.end, bytes.len());
    }

    #[test]
    fn a_freed_cell_without_its_first_four_bytes_gives_its_values() {
        let mut bytes = cell_of("first value", "second value");
        let size = bytes.len() as u16;
        bytes[..2].fill(0);
        bytes[2..4].copy_from_slice(&size.to_be_bytes());
        assert!(cell(&bytes, 0, &GEOMETRY).is_none());
        for columns in [None, Some(4)] {
            let place = Place { item: model::Id::default(), offset: 0 };
            let free = Free { bytes: &bytes, place, freeblocks: &[0], columns };
            let found: Vec<_> = headless(&free, 0, &GEOMETRY).iter().map(|remains| texts(remains, &bytes)).collect();
            assert!(found.contains(&vec!["first value".to_owned(), "second value".to_owned()]), "{columns:?}: {found:?}");
        }
    }

    #[test]
    fn a_header_of_printable_bytes_is_a_text() {
        let bytes = "the quick brown fox jumps over the lazy dog, and again ".repeat(200);
        for at in 0..bytes.len() {
            assert!(record(bytes.as_bytes(), at, &GEOMETRY).is_none());
        }
    }

    #[test]
    fn nothing_in_random_bytes_goes_out_of_bounds() {
        let mut state = 1u64;
        for _ in 0..200 {
            let bytes: Vec<u8> = (0..300)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            let place = Place { item: model::Id::default(), offset: 0 };
            for at in 0..bytes.len() {
                let free = Free { bytes: &bytes, place, freeblocks: &[at], columns: Some(5) };
                for remains in headless(&free, at, &GEOMETRY).iter().chain(&record(&bytes, at, &GEOMETRY)) {
                    assert!(remains.end <= bytes.len());
                }
            }
        }
    }
}
