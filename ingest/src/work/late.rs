//! Encrypted files in a container that is read from its first byte to its last: the key may lie behind them, so they wait for its end.

use super::Worker;
use super::container::How;
use crate::Error;
use crate::evidence::Source;
use crate::open::{HEAD_BYTES, Keyring};
use crate::read::{Reading, fill};
use crate::tasks::Place;
use model::Item;
use std::sync::Arc;

/// Files that wait at most: beyond that they are opened with the keys met so far.
const WAITING_MAX: usize = 256;

/// What waits, and the keys met so far.
#[derive(Default)]
pub struct Late {
    /// The keys.
    pub ring: Keyring,
    waiting: Vec<(Item, Source, Reading)>,
}

impl Late {
    /// Lets a hashed file wait; gives it back where too many do.
    pub fn wait(&mut self, item: Item, source: Source, reading: Reading) -> Option<(Item, Source, Reading)> {
        if self.waiting.len() == WAITING_MAX {
            return Some((item, source, reading));
        }
        self.waiting.push((item, source, reading));
        None
    }
}

impl Worker<'_> {
    /// Takes the key that a file holds, in a container that is read in order.
    pub(super) fn take_key(&mut self, place: &Place, path: &[u8], head: &[u8]) {
        if let Some(late) = &mut self.late
            && place.in_order
            && head.len() < HEAD_BYTES
            && Keyring::wants(path, head.len() as u64)
        {
            late.ring.take(path, head);
        }
    }

    /// Opens what waited, with all keys that were met.
    pub(super) fn open_late(&mut self, place: &Place, late: Late) -> Result<(), Error> {
        let keys: Vec<String> = place.keys.iter().cloned().chain(late.ring.keys(&self.exhibited.passwords)).collect();
        let Place { parent, ref prefix, depth, in_order, .. } = *place;
        let place = Place { parent, prefix: prefix.clone(), depth, in_order, keys: Arc::from(keys) };
        for (item, source, reading) in late.waiting {
            let mut head = vec![0; HEAD_BYTES];
            let (filled, _) = fill(&mut source.reader(), &mut head);
            self.container(&place, item, source, &reading, How::Spooled(&head[..filled]))?;
        }
        Ok(())
    }
}
