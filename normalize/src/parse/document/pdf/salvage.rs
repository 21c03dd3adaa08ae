//! A file without a table of objects that could be made: its streams, one by one, by the words around them (PDF 32000-1, 7.3.8).

use super::super::Pieces;
use super::super::inside::Budget;
use super::filter;
use super::reading::{STREAM_MOST, shows_text, text_budget};
use super::text::Known;
use crate::emit::Part;
use hayro_syntax::object::Dict;
use memchr::memmem;
use model::Code;

/// Bytes before a stream that are looked at for its filters.
const DICTIONARY_MOST: usize = 1024;

/// Reads what streams hold.
pub fn read(content: &[u8], pieces: &mut Pieces<'_, '_>, budget: &mut Budget) {
    let mut known = Known::new(text_budget());
    let mut from = 0usize;
    while let Some(at) = content.get(from..).and_then(|rest| memmem::find(rest, b"stream")) {
        let word = from.saturating_add(at);
        let mut start = word.saturating_add(b"stream".len());
        from = start;
        if content.get(..word).is_some_and(|before| before.ends_with(b"end")) {
            continue;
        }
        start += match content.get(start..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([b'\n' | b'\r', ..]) => 1,
            _ => continue,
        };
        let rest = content.get(start..).unwrap_or_default();
        let length = memmem::find(rest, b"endstream").unwrap_or(rest.len());
        let packed = rest.get(..length).unwrap_or_default();
        from = start.saturating_add(length);
        let before = content.get(word.saturating_sub(DICTIONARY_MOST)..word).unwrap_or_default();
        let dictionary = memmem::rfind(before, b" obj").and_then(|at| before.get(at..)).unwrap_or(before);
        let text = memmem::find(dictionary, b"ASCII85Decode").or_else(|| memmem::find(dictionary, b"/A85"));
        if text.is_some() {
            stream(&filter::ascii85(packed), (start as u64, packed.len() as u64), pieces, &mut known, budget);
        } else {
            stream(packed, (start as u64, packed.len() as u64), pieces, &mut known, budget);
        }
    }
}

fn stream(packed: &[u8], place: (u64, u64), pieces: &mut Pieces<'_, '_>, known: &mut Known<'_>, budget: &mut Budget) {
    let start = place.0;
    let (bytes, _, capped) = filter::inflated(packed, STREAM_MOST.min(budget.left()));
    let bytes = if bytes.is_empty() { packed } else { &bytes };
    if capped {
        pieces.problem(Code::CapBytes, &format!("stream at byte {start}: unpacks to more than is read of it"));
    }
    budget.spend(bytes.len());
    if shows_text(bytes) {
        let text = known.text(bytes, &Dict::empty());
        pieces.put(&format!("stream at byte {start}"), place.0, place.1, &text);
    } else {
        let (name, place) = (pieces.full_name(&format!("stream at byte {start}")), pieces.full_place(place));
        pieces.emit.decoded(Part { name: &name, offset: place.0, length: place.1 }, bytes);
    }
}
