//! Every entry of an exhibit by kind and id: a sorted list that says in which block of the working store its body lies.
//!
//! The store keeps blocks as they came. One pass over their ids merges them into this list, a file of records of one size; every so many
//! ids one is kept in memory, so that an id is found with one short read.

use crate::Error;
use crate::sink::store::{self, Bounds};
use model::{Id, Kind};
use rusqlite::Connection;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Keys of which one is kept in memory.
const STEP: u64 = 64;
/// Keys of a [`Stretch`].
const STRETCH: u64 = 512;

const ID: usize = size_of::<Id>();
/// Bytes of a key: id, number of the block, place in it.
const KEY: usize = ID + 16;

/// Where an entry lies.
#[derive(Clone, Copy)]
pub struct Key {
    /// Its id.
    pub id: Id,
    /// Number of its block.
    pub seq: i64,
    /// Its place in the block.
    pub place: usize,
}

/// The sorted keys of one exhibit.
pub struct Keys {
    path: PathBuf,
    file: File,
    /// Of each kind that has entries, which keys are its own.
    kinds: Vec<(Kind, Range<u64>)>,
    /// Each [`STEP`]th id.
    samples: Vec<Id>,
}

impl Keys {
    /// Lists the entries of an exhibit in a file.
    pub fn make(path: &Path, store: &Connection, exhibit: i64) -> Result<Keys, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).map_err(io)?;
        let mut list = List { file: BufWriter::with_capacity(1 << 16, file), written: 0, samples: Vec::new() };
        let mut kinds = Vec::new();
        for kind in Kind::ALL {
            let begin = list.written;
            let error = |source| Error::Store { path: path.to_owned(), source };
            merge(store, exhibit, kind, |key| list.push(key).map_err(io), error)?;
            if list.written > begin {
                kinds.push((kind, begin..list.written));
            }
        }
        let file = list.file.into_inner().map_err(|error| io(error.into_error()))?;
        let samples = list.samples;
        Ok(Keys { path: path.to_owned(), kinds, samples, file })
    }

    /// How many entries of a kind there are.
    pub fn count(&self, kind: Kind) -> u64 {
        let of_kind = self.of(kind);
        of_kind.end - of_kind.start
    }

    /// Places in the list of the keys of a kind.
    pub fn of(&self, kind: Kind) -> Range<u64> {
        self.kinds.iter().find(|(known, _)| *known == kind).map_or(0..0, |(_, range)| range.clone())
    }

    /// Places of the keys of a kind from the first id to before the end.
    pub fn between(&self, kind: Kind, first: &[u8], end: &[u8]) -> Result<Range<u64>, Error> {
        Ok(self.bound(kind, first)?..self.bound(kind, end)?)
    }

    /// The key of an entry.
    pub fn find(&self, kind: Kind, id: Id) -> Result<Option<Key>, Error> {
        let place = self.bound(kind, id.bytes())?;
        if place == self.of(kind).end {
            return Ok(None);
        }
        Ok(self.read(place..place + 1)?.into_iter().next().filter(|key| key.id == id))
    }

    /// The keys at some places.
    pub fn read(&self, places: Range<u64>) -> Result<Vec<Key>, Error> {
        let bytes = self.bytes(places)?;
        Ok(bytes.as_chunks::<KEY>().0.iter().map(Key::read).collect())
    }

    /// Removes the file.
    pub fn remove(&self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    fn bytes(&self, places: Range<u64>) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; (places.end.saturating_sub(places.start)) as usize * KEY];
        let read = self.file.read_exact_at(&mut bytes, places.start * KEY as u64);
        read.map_err(|source| Error::Io { path: self.path.clone(), source })?;
        Ok(bytes)
    }

    /// Between which keys of a kind the first that is not smaller stands.
    fn around(&self, kind: Kind, id: &[u8]) -> Range<u64> {
        let Range { start, end } = self.of(kind);
        // The samples of this kind: the first is at or behind its start.
        let (first, last) = (start.div_ceil(STEP), end.div_ceil(STEP));
        let samples = self.samples.get(first as usize..last as usize).unwrap_or_default();
        let behind = first + samples.partition_point(|sample| sample.bytes() < id) as u64;
        (behind.saturating_sub(1) * STEP).max(start)..(behind * STEP).min(end)
    }

    /// The place of the first key of a kind that is not smaller.
    fn bound(&self, kind: Kind, id: &[u8]) -> Result<u64, Error> {
        let places = self.around(kind, id);
        let keys = self.bytes(places.clone())?;
        let keys = keys.as_chunks::<KEY>().0;
        Ok(places.start + keys.partition_point(|key| &key[..ID] < id) as u64)
    }
}

impl Key {
    fn read(bytes: &[u8; KEY]) -> Key {
        let (id, rest) = bytes.split_at(ID);
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        let (seq, place) = (number(&rest[..8]).cast_signed(), number(&rest[8..]) as usize);
        Key { id: Id(id.try_into().unwrap_or_default()), seq, place }
    }
}

/// Keys of a kind that stand side by side, with the last that is smaller than any id looked for among them.
#[derive(Default)]
pub struct Stretch {
    kind: Option<Kind>,
    keys: Vec<u8>,
}

impl Stretch {
    /// The key of an entry; reads on where these keys do not tell.
    pub fn find(&mut self, keys: &Keys, kind: Kind, id: Id) -> Result<Option<Key>, Error> {
        if self.kind != Some(kind) || !self.tells(id) {
            let places = keys.around(kind, id.bytes());
            let end = (places.start + STRETCH).min(keys.of(kind).end);
            self.keys = keys.bytes(places.start..end.max(places.end))?;
            self.kind = Some(kind);
        }
        let known = self.keys.as_chunks::<KEY>().0;
        let found = known.binary_search_by(|key| key[..ID].cmp(id.bytes()));
        Ok(found.ok().and_then(|place| known.get(place)).map(Key::read))
    }

    /// Whether an id would stand between the first and the last.
    fn tells(&self, id: Id) -> bool {
        let keys = self.keys.as_chunks::<KEY>().0;
        let ends = keys.first().zip(keys.last());
        ends.is_some_and(|(first, last)| first[..ID] <= *id.bytes() && *id.bytes() <= last[..ID])
    }
}

/// The list while it is written.
struct List {
    file: BufWriter<File>,
    written: u64,
    samples: Vec<Id>,
}

impl List {
    fn push(&mut self, Key { id, seq, place }: Key) -> std::io::Result<()> {
        if self.written.is_multiple_of(STEP) {
            self.samples.push(id);
        }
        self.written += 1;
        self.file.write_all(id.bytes())?;
        self.file.write_all(&seq.to_le_bytes())?;
        self.file.write_all(&(place as u64).to_le_bytes())
    }
}

/// Gives the keys of a kind in the order of their ids: a block's ids are read when its first is due.
fn merge(
    store: &Connection,
    exhibit: i64,
    kind: Kind,
    mut push: impl FnMut(Key) -> Result<(), Error>,
    error: impl Fn(rusqlite::Error) -> Error,
) -> Result<(), Error> {
    let all = (Id([0; ID]), Id([0xff; ID]));
    let mut waiting = store::bounds(store, exhibit, kind, all).map_err(&error)?.into_iter().peekable();
    let mut open = BinaryHeap::new();
    loop {
        let next = open.peek().map(|Reverse((id, ..)): &Reverse<(Id, i64, usize, Vec<[u8; ID]>)>| *id);
        if let Some(Bounds { seq, first, .. }) = waiting.next_if(|block| next.is_none_or(|next| block.first < next)) {
            let ids = store::look(store, seq, |block| Some(block.ids().to_vec())).map_err(&error)?;
            open.push(Reverse((first, seq, 0, ids)));
            continue;
        }
        let Some(mut top) = open.peek_mut() else { return Ok(()) };
        let Reverse((id, seq, place, ids)) = &mut *top;
        push(Key { id: *id, seq: *seq, place: *place })?;
        *place += 1;
        match ids.get(*place) {
            Some(next) => *id = Id(*next),
            None => drop(std::collections::binary_heap::PeekMut::pop(top)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::Entries;
    use super::*;
    use crate::Sink;
    use model::wire::Batch;
    use model::{Body, Code, Entry, Problem, Stage};
    use stream::{Delivery, Position, Topic};

    const EXHIBIT: Id = Id([1; 16]);

    fn problem(number: u32) -> Entry {
        let (stage, code, detail) = (Stage::Normalize, Code::Unreadable, number.to_string());
        Entry::new(&Body::Problem(Problem { exhibit: EXHIBIT, item: None, stage, code, detail }))
    }

    #[test]
    fn every_entry_is_listed_in_order_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("working.sqlite");
        let mut sink = Sink::open(&path, &config::Export::default()).unwrap();
        // Transactions of many sizes: their blocks lie across each other. Some of the last is held already.
        let mut ids = Vec::new();
        for (offset, (first, size)) in [(0, 1), (1, 700), (701, 3), (704, 3_000), (3_704, 64), (3_000, 800)].iter().enumerate() {
            let entries: Vec<Entry> = (*first..first + size).map(problem).collect();
            ids.extend(entries.iter().map(|entry| entry.id));
            let position = Position { topic: Topic::Records, partition: 0, offset: offset as i64 };
            sink.apply(Delivery { position, exhibit: Some(EXHIBIT), payload: Ok(Batch { entries }) }).unwrap();
            sink.commit().unwrap();
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 3_800);
        let number = sink.number_of(EXHIBIT).unwrap();
        let keys = Keys::make(&folder.path().join("working.keys"), sink.connection(), number).unwrap();
        assert_eq!((keys.count(Kind::Problem), keys.count(Kind::Message)), (3_800, 0));
        let listed: Vec<Id> = keys.read(keys.of(Kind::Problem)).unwrap().iter().map(|key| key.id).collect();
        assert_eq!(listed, ids);
        for (place, id) in ids.iter().enumerate() {
            let key = keys.find(Kind::Problem, *id).unwrap().unwrap();
            let held = store::held(sink.connection(), number, Kind::Problem, *id).unwrap().unwrap();
            assert_eq!((key.id, key.seq, key.place), (*id, held.0, held.1));
            assert!(keys.find(Kind::Message, *id).unwrap().is_none());
            let mut other = *id;
            other.0[15] ^= 1;
            assert!(keys.find(Kind::Problem, other).unwrap().is_none());
            let between = keys.between(Kind::Problem, id.bytes(), &[0xff; 64]).unwrap();
            assert_eq!(between, place as u64..3_800);
        }
        let mut read = Vec::new();
        let entries = Entries::open(&path, &keys).unwrap();
        // In order, and to and fro: what lies close together is read once.
        for place in (0..ids.len()).chain((0..ids.len()).map(|place| place * 1_789 % ids.len())) {
            assert!(entries.has(Kind::Problem, ids[place]).unwrap() && !entries.has(Kind::Message, ids[place]).unwrap());
            let mut other = ids[place];
            other.0[15] ^= 1;
            assert!(!entries.has(Kind::Problem, other).unwrap());
        }
        let take = |id, body| {
            read.push((id, body));
            Ok(())
        };
        entries.each(Kind::Problem, take).unwrap();
        assert!(read.iter().all(|(id, body)| body.id() == *id) && read.iter().map(|(id, _)| *id).eq(ids));
    }
}
