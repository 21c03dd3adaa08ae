//! Messages that are too large for a broker travel in parts.
//!
//! Brokers refuse requests above 100 MiB and most are set far lower, while one cell of a database may be larger. A large
//! message is cut into parts of [`PART_BYTES`]; each carries a [`Part`] in the header [`HEADER`]. Parts of several writers may
//! be mixed in one partition, and a writer may die between two parts: then the work is done again somewhere else, and because
//! a set of parts is named by the digest of the whole, the new parts complete the old set.

use crate::{Position, Topic};
use model::{Digest, wire};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Largest payload of one Kafka message, bytes.
pub const PART_BYTES: usize = 8 << 20;

/// Name of the header that marks a part.
pub(super) const HEADER: &str = "haul-part";

/// Which part of what a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    /// SHA-256 of the whole.
    pub whole: Digest,
    /// Its place, from 0.
    pub index: u32,
    /// How many parts there are.
    pub count: u32,
}

/// Cuts a payload; one that fits is not cut and has no [`Part`].
pub(super) fn cut(payload: &[u8]) -> Vec<(Option<Part>, &[u8])> {
    if payload.len() <= PART_BYTES {
        return vec![(None, payload)];
    }
    let whole = Digest::of(payload);
    // A payload lies in memory: 2^32 parts of 8 MiB do not.
    let count = u32::try_from(payload.len().div_ceil(PART_BYTES)).unwrap_or(u32::MAX);
    (0..count).zip(payload.chunks(PART_BYTES)).map(|(index, bytes)| (Some(Part { whole, index, count }), bytes)).collect()
}

/// A message of which parts are missing.
struct Open {
    first_offset: i64,
    count: u32,
    parts: BTreeMap<u32, Vec<u8>>,
}

/// The unfinished messages of a receiver.
#[derive(Default)]
pub(super) struct Parts {
    open: HashMap<(Topic, i32), BTreeMap<Digest, Open>>,
}

impl Parts {
    /// Takes a part; the whole when it was the last one missing; why not, if it fits nothing.
    pub fn accept(&mut self, position: Position, header: &[u8], payload: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let part: Part = wire::from_bytes(header).map_err(|error| format!("part header: {error}"))?;
        if part.index >= part.count {
            return Err(format!("part {} of {}", part.index, part.count));
        }
        let sets = self.open.entry((position.topic, position.partition)).or_default();
        let open = sets.entry(part.whole).or_insert_with(|| Open {
            first_offset: position.offset,
            count: part.count,
            parts: BTreeMap::new(),
        });
        if open.count != part.count {
            return Err(format!("part of {} where others are of {}", part.count, open.count));
        }
        open.parts.insert(part.index, payload.to_vec());
        if open.parts.len() < open.count as usize {
            return Ok(None);
        }
        let parts = sets.remove(&part.whole).map(|open| open.parts).unwrap_or_default();
        let whole = parts.into_values().collect::<Vec<_>>().concat();
        if Digest::of(&whole) == part.whole { Ok(Some(whole)) } else { Err("parts do not add up to their digest".to_owned()) }
    }

    /// The position up to which everything of the partition was delivered, once this delivery is: it stays before the first
    /// part of any unfinished message, so that a reader who starts again there gets that message whole.
    pub fn clamp(&self, position: Position) -> Position {
        let sets = self.open.get(&(position.topic, position.partition));
        let first = sets.into_iter().flat_map(BTreeMap::values).map(|open| open.first_offset).min();
        let offset = first.map_or(position.offset, |first| position.offset.min(first.saturating_sub(1)));
        Position { offset, ..position }
    }

    /// Forgets all partitions: they begin anew when they are assigned again.
    pub fn forget(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Position {
        Position { topic: Topic::Records, partition: 3, offset }
    }

    fn big(seed: u8) -> Vec<u8> {
        (0..PART_BYTES * 2 + 5).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect()
    }

    fn encoded(payload: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        cut(payload).into_iter().map(|(part, bytes)| (wire::to_bytes(&part.unwrap()), bytes.to_vec())).collect()
    }

    #[test]
    fn what_fits_is_not_cut() {
        let payload = vec![7; PART_BYTES];
        assert_eq!(cut(&payload), vec![(None, &payload[..])]);
        assert_eq!(cut(&[]).len(), 1);
    }

    #[test]
    fn parts_make_the_whole_again_in_any_order_and_twice() {
        let payload = big(1);
        let parts = encoded(&payload);
        assert_eq!(parts.len(), 3);
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut open = Parts::default();
            let mut done = None;
            for (offset, index) in (0..).zip(order) {
                assert_eq!(done, None);
                let (header, bytes) = &parts[index];
                done = open.accept(at(offset), header, bytes).unwrap();
                if done.is_none() {
                    assert_eq!(open.accept(at(offset + 100), header, bytes).unwrap(), None);
                }
            }
            assert_eq!(done.as_deref(), Some(&payload[..]));
        }
    }

    #[test]
    fn positions_stay_before_what_is_unfinished() {
        let (one, two) = (encoded(&big(1)), encoded(&big(2)));
        let mut open = Parts::default();
        assert_eq!(open.clamp(at(9)), at(9));
        open.accept(at(10), &one[0].0, &one[0].1).unwrap();
        open.accept(at(11), &two[0].0, &two[0].1).unwrap();
        assert_eq!(open.clamp(at(12)), at(9));
        assert_eq!(open.clamp(Position { partition: 4, ..at(12) }).offset, 12);
        open.accept(at(13), &one[1].0, &one[1].1).unwrap();
        assert!(open.accept(at(14), &one[2].0, &one[2].1).unwrap().is_some());
        assert_eq!(open.clamp(at(14)), at(10));
        open.forget();
        assert_eq!(open.clamp(at(15)), at(15));
    }

    #[test]
    fn the_first_message_of_a_partition_can_be_unfinished() {
        let mut open = Parts::default();
        let (header, bytes) = &encoded(&big(1))[0];
        open.accept(at(0), header, bytes).unwrap();
        assert_eq!(open.clamp(at(1)).offset, -1);
    }

    #[test]
    fn parts_that_lie_are_refused() {
        let mut open = Parts::default();
        let whole = Digest::of(b"something else");
        let header = |index, count| wire::to_bytes(&Part { whole, index, count });
        assert!(open.accept(at(0), b"", b"x").is_err());
        assert!(open.accept(at(0), &[0xff; 80], b"x").is_err());
        assert!(open.accept(at(0), &header(0, 0), b"x").is_err());
        assert!(open.accept(at(0), &header(5, 5), b"x").is_err());
        assert_eq!(open.accept(at(0), &header(0, 2), b"x"), Ok(None));
        assert!(open.accept(at(1), &header(1, 3), b"x").unwrap_err().contains("of 3"));
        assert!(open.accept(at(2), &header(1, 2), b"y").unwrap_err().contains("digest"));
        assert_eq!(open.clamp(at(3)), at(3), "a set that failed is closed");
    }
}
