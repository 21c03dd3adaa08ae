//! Reads the entries of an exhibit in the order of their ids.

use super::keys::{Key, Keys, Stretch};
use super::source::decode;
use crate::Error;
use crate::sink::store;
use model::{Body, Id, Kind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::cell::Cell;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Entries that are read together: each block that holds some of them is looked into once.
const TOGETHER: u64 = 2048;

/// One thread's way to the entries.
pub struct Entries<'k> {
    store: Connection,
    path: PathBuf,
    keys: &'k Keys,
    /// Keys around the last that was looked for: whoever looks for many in order finds most of them here.
    stretch: Cell<Stretch>,
    /// Bodies that were read together, and where each is; the room is used again.
    room: Cell<(Vec<u8>, Vec<Range<usize>>)>,
}

impl<'k> Entries<'k> {
    /// Opens the working store to read.
    pub fn open(path: &Path, keys: &'k Keys) -> Result<Entries<'k>, Error> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let store = Connection::open_with_flags(path, flags)?;
            store.pragma_update(None, "cache_size", -8192)?;
            // Plans that do not depend on bound values: otherwise a statement is prepared anew for each.
            store.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            // One transaction for all that is read: each of its own would look for journals again.
            store.execute_batch("BEGIN")?;
            Ok(store)
        };
        let store = open().map_err(|source| Error::Store { path: path.to_owned(), source })?;
        let (stretch, room) = Default::default();
        Ok(Entries { store, path: path.to_owned(), keys, stretch, room })
    }

    /// Whether there is an entry of that kind and id.
    pub fn has(&self, kind: Kind, id: Id) -> Result<bool, Error> {
        Ok(self.key(kind, id)?.is_some())
    }

    fn key(&self, kind: Kind, id: Id) -> Result<Option<Key>, Error> {
        let mut stretch = self.stretch.take();
        let found = stretch.find(self.keys, kind, id);
        self.stretch.set(stretch);
        found
    }

    /// Whether there are entries of a kind.
    pub fn any(&self, kind: Kind) -> bool {
        self.keys.count(kind) > 0
    }

    /// The body of the entry of that kind and id.
    pub fn body(&self, kind: Kind, id: Id) -> Result<Option<Body>, Error> {
        let Some(key) = self.key(kind, id)? else { return Ok(None) };
        let mut body = None;
        self.bodies(&[key], |id, bytes| decode(id, bytes).map(|read| body = Some(read)))?;
        Ok(body)
    }

    /// Calls `take` with every entry of a kind.
    pub fn each(&self, kind: Kind, mut take: impl FnMut(Id, Body) -> Result<(), Error>) -> Result<(), Error> {
        self.slices(self.keys.of(kind), |id, bytes| take(id, decode(id, bytes)?))
    }

    /// Calls `take` with the encoded entries of a kind from the first id to before the end.
    pub fn between(
        &self,
        kind: Kind,
        (first, end): (&[u8], &[u8]),
        take: impl FnMut(Id, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.slices(self.keys.between(kind, first, end)?, take)
    }

    fn slices(&self, places: Range<u64>, mut take: impl FnMut(Id, &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        for first in places.clone().step_by(TOGETHER as usize) {
            let keys = self.keys.read(first..places.end.min(first + TOGETHER))?;
            self.bodies(&keys, &mut take)?;
        }
        Ok(())
    }

    /// Calls `take` with the bodies of keys, in their order.
    fn bodies(&self, keys: &[Key], mut take: impl FnMut(Id, &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by_key(|at| keys[*at].seq);
        let (mut bodies, mut ranges) = self.room.take();
        bodies.clear();
        ranges.clear();
        ranges.resize(keys.len(), 0..0);
        for of_block in order.chunk_by(|one, other| keys[*one].seq == keys[*other].seq) {
            let Some(seq) = of_block.first().map(|at| keys[*at].seq) else { continue };
            let copied = store::look(&self.store, seq, |block| {
                for at in of_block {
                    let begin = bodies.len();
                    bodies.extend_from_slice(block.body(keys[*at].place)?);
                    ranges[*at] = begin..bodies.len();
                }
                Some(())
            });
            copied.map_err(|source| Error::Store { path: self.path.clone(), source })?;
        }
        keys.iter().zip(&ranges).try_for_each(|(key, range)| take(key.id, &bodies[range.clone()]))?;
        self.room.set((bodies, ranges));
        Ok(())
    }
}
