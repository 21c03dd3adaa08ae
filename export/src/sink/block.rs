//! Entries of one exhibit and kind, in the order of their ids: one row of the working store.
//!
//! Form, all numbers little endian: how many (u64); their ids; of each where its body ends, counted from the first body (u64); the bodies.

use model::Id;

/// Bytes after which a block is full: with its row's other columns it fills one page of the store ([`super::store::PAGE_BYTES`]).
const FULL_BYTES: usize = 60_000;

const ID: usize = size_of::<Id>();
const NUMBER: usize = size_of::<u64>();

/// A block that is being made.
#[derive(Default)]
pub struct Builder {
    ids: Vec<Id>,
    ends: Vec<u64>,
    bodies: Vec<u8>,
}

impl Builder {
    /// Whether an entry with a body of so many bytes has room; an empty block has room for any.
    pub fn has_room(&self, body: usize) -> bool {
        let size = NUMBER + self.ids.len().saturating_add(1) * (ID + NUMBER) + self.bodies.len() + body;
        self.ids.is_empty() || size <= FULL_BYTES
    }

    /// Appends an entry; its id is larger than the last.
    pub fn push(&mut self, id: Id, body: &[u8]) {
        debug_assert!(self.ids.last().is_none_or(|last| *last < id));
        self.bodies.extend_from_slice(body);
        self.ids.push(id);
        self.ends.push(self.bodies.len() as u64);
    }

    /// The smallest and the largest id.
    pub fn bounds(&self) -> Option<(Id, Id)> {
        Some((*self.ids.first()?, *self.ids.last()?))
    }

    /// How many entries it has.
    pub fn entries(&self) -> usize {
        self.ids.len()
    }

    /// The block's bytes; the next one begins.
    pub fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(NUMBER + self.ids.len() * (ID + NUMBER) + self.bodies.len());
        bytes.extend_from_slice(&(self.ids.len() as u64).to_le_bytes());
        self.ids.drain(..).for_each(|id| bytes.extend_from_slice(id.bytes()));
        self.ends.drain(..).for_each(|end| bytes.extend_from_slice(&end.to_le_bytes()));
        bytes.append(&mut self.bodies);
        bytes
    }
}

/// A block as it is stored.
pub struct Block<'b> {
    ids: &'b [[u8; ID]],
    ends: &'b [[u8; NUMBER]],
    bodies: &'b [u8],
}

impl<'b> Block<'b> {
    /// Reads a block; `None` if the bytes are none.
    pub fn read(bytes: &'b [u8]) -> Option<Block<'b>> {
        let (entries, rest) = bytes.split_first_chunk()?;
        let entries = usize::try_from(u64::from_le_bytes(*entries)).ok()?;
        let (ids, rest) = rest.split_at_checked(entries.checked_mul(ID)?)?;
        let (ends, bodies) = rest.split_at_checked(entries.checked_mul(NUMBER)?)?;
        Some(Block { ids: ids.as_chunks().0, ends: ends.as_chunks().0, bodies })
    }

    /// Its ids, in order.
    pub fn ids(&self) -> &'b [[u8; ID]] {
        self.ids
    }

    /// The body of the entry at a place.
    pub fn body(&self, place: usize) -> Option<&'b [u8]> {
        let end = |place: usize| usize::try_from(u64::from_le_bytes(*self.ends.get(place)?)).ok();
        let begin = place.checked_sub(1).map_or(Some(0), end)?;
        self.bodies.get(begin..end(place)?)
    }

    /// Where the entry with that id stands.
    pub fn find(&self, id: Id) -> Option<usize> {
        self.ids.binary_search(&id.0).ok()
    }

    /// The same block with another body at a place.
    pub fn with(&self, place: usize, body: &[u8]) -> Option<Vec<u8>> {
        let mut changed = Builder::default();
        for (at, id) in self.ids.iter().enumerate() {
            changed.push(Id(*id), if at == place { body } else { self.body(at)? });
        }
        Some(changed.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_read() {
        let mut builder = Builder::default();
        let bodies: [&[u8]; 3] = [b"one", b"", b"three"];
        bodies.iter().zip(1..).for_each(|(body, number)| builder.push(Id([number; 16]), body));
        assert_eq!((builder.entries(), builder.bounds()), (3, Some((Id([1; 16]), Id([3; 16])))));
        let bytes = builder.take();
        assert_eq!((builder.entries(), builder.bounds()), (0, None));
        let block = Block::read(&bytes).unwrap();
        for (place, body) in bodies.iter().enumerate() {
            assert_eq!(block.find(Id([place as u8 + 1; 16])), Some(place));
            assert_eq!(block.body(place), Some(*body));
        }
        assert_eq!((block.find(Id([4; 16])), block.body(3)), (None, None));
        let changed = block.with(1, b"two").unwrap();
        let changed = Block::read(&changed).unwrap();
        assert_eq!([0, 1, 2].map(|place| changed.body(place).unwrap()), [b"one".as_slice(), b"two", b"three"]);
    }

    #[test]
    fn a_block_that_was_cut_is_none() {
        let mut builder = Builder::default();
        builder.push(Id([1; 16]), b"body");
        let bytes = builder.take();
        let whole = |bytes: &[u8]| Block::read(bytes).is_some_and(|block| block.body(0).is_some());
        assert!(whole(&bytes));
        assert!((0..bytes.len()).all(|length| !whole(&bytes[..length])));
    }

    #[test]
    fn a_large_body_has_a_block_of_its_own() {
        let mut builder = Builder::default();
        assert!(builder.has_room(1 << 30));
        builder.push(Id([1; 16]), &[0; FULL_BYTES]);
        assert!(!builder.has_room(0));
    }
}
