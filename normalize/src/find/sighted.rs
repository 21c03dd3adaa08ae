//! From finds in a segment to sightings and secrets, each place once.

use crate::emit::Emit;
use model::observable::{Finder, Validity};
use model::recognize::{Find, Found};
use model::{Body, Code, Id, Secret, Sighting};
use std::collections::HashSet;

/// Shortest segment in which anything could stand (`a@b.cc`).
pub const SHORTEST: usize = 6;

/// Shortest value that is a run of letters and digits alone: an IBAN. Anything shorter has a byte that tells.
const SHORTEST_RUN: usize = 15;

/// Whether a byte is part of every short value: e-mail address, URL, phone number; also what may be one in other scripts.
fn is_telling(byte: u8) -> bool {
    matches!(byte, b'@' | b':' | b'+' | b'.') || byte >= 0x80
}

/// Whether a find proves itself.
fn held_up(found: &Found) -> bool {
    matches!(found, Found::Observable(observable) if observable.validity == Validity::Checksum)
}

/// The recognizer: finds in one segment whose ends are borders.
pub type Recognize = fn(&[u8]) -> Vec<Find>;

/// A place in the unit: which of its items, and the first byte there.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Place {
    /// The item: the database or one of its companions.
    pub item: Id,
    /// First byte in that item.
    pub offset: u64,
}

impl Place {
    /// The place so many bytes further.
    pub fn plus(self, bytes: usize) -> Place {
        Place { item: self.item, offset: self.offset.saturating_add(bytes as u64) }
    }
}

/// Table and rowid of a live cell.
pub type Row<'r> = Option<(&'r str, i64)>;

/// Puts what is found in segments; the same thing at the same place only once.
pub struct Sighted<'s, 'e> {
    emit: &'s mut Emit<'e>,
    exhibit: Id,
    seen: HashSet<Id>,
    recognize: Recognize,
}

impl<'s, 'e> Sighted<'s, 'e> {
    /// Begins a scan.
    pub fn new(emit: &'s mut Emit<'e>, recognize: Recognize) -> Sighted<'s, 'e> {
        let exhibit = emit.unit().primary.item.exhibit;
        Sighted { emit, exhibit, seen: HashSet::new(), recognize }
    }

    /// Finds in bytes that lie together in an item.
    #[inline]
    pub fn segment(&mut self, bytes: &[u8], place: Place, row: Row<'_>) {
        if bytes.len() < SHORTEST || (bytes.len() < SHORTEST_RUN && !bytes.iter().any(|byte| is_telling(*byte))) {
            return;
        }
        for find in (self.recognize)(bytes) {
            let (place, length) = (Place { offset: place.offset.saturating_add(find.offset), ..place }, Some(find.length));
            self.put(find, place, length, row);
        }
    }

    /// Finds in a run of letters in which values of several columns touch, nobody knows where: only what a checksum holds up counts,
    /// because a piece of a longer value could look like anything else.
    pub fn glued(&mut self, run: &[u8], place: Place) {
        for border in 1..run.len() {
            let (before, behind) = run.split_at(border);
            for (piece, start, end) in [(before, 0, border), (behind, border, run.len())] {
                let finds = self.recognize(piece).into_iter().filter(|find| held_up(&find.found));
                // What does not touch the border was found in the run as well.
                let touching =
                    finds.filter(|find| if start == 0 { find.offset + find.length == end as u64 } else { find.offset == 0 });
                for find in touching.collect::<Vec<_>>() {
                    let (place, length) = (place.plus(start).plus(usize::try_from(find.offset).unwrap_or(0)), Some(find.length));
                    self.put(find, place, length, None);
                }
            }
        }
    }

    /// Finds in bytes that were gathered from several places; the caller says where each lies.
    pub fn recognize(&self, bytes: &[u8]) -> Vec<Find> {
        if bytes.len() < SHORTEST { Vec::new() } else { (self.recognize)(bytes) }
    }

    /// Puts one find. `length` is `None` where its bytes do not lie together.
    pub fn put(&mut self, find: Find, place: Place, length: Option<u64>, row: Row<'_>) {
        let row = row.map(|(table, row_id)| (table.to_owned(), row_id));
        let (exhibit, item, byte_offset) = (self.exhibit, place.item, Some(place.offset));
        let body = match find.found {
            Found::Observable(observable) => Body::Sighting(Box::new(Sighting {
                observable,
                exhibit,
                item,
                finder: Finder::Cell,
                record: None,
                field: None,
                field_offset: None,
                byte_offset,
                byte_length: length,
                encoding: find.encoding,
                row,
                support: find.support,
                context: find.context,
            })),
            Found::Secret { kind, value, detail } => Body::Secret(Box::new(Secret {
                exhibit,
                item,
                finder: Finder::Cell,
                kind,
                value,
                detail,
                record: None,
                field: None,
                field_offset: None,
                byte_offset,
                byte_length: length,
                row,
            })),
        };
        if self.seen.insert(body.id()) {
            self.emit.sighting(body);
        }
    }

    /// Tells of damage.
    pub fn damaged(&mut self, detail: String) {
        self.problem(Code::DatabaseDamaged, detail);
    }

    /// Tells of anything else that went wrong.
    pub fn problem(&mut self, code: Code, detail: String) {
        self.emit.problem(code, detail);
    }
}
