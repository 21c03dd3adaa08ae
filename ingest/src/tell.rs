//! What ingest says: entries gathered into batches, counted for the item that announces them.

use crate::Error;
use model::wire::Batch;
use model::{Body, Entry, Id};
use stream::Publish;

/// Bytes of entries that make a batch.
const BATCH_BYTES: usize = 128 << 10;
/// Entries that make a batch.
const BATCH_ENTRIES: usize = 500;

/// One thread's way to the stream.
pub struct Teller<'a> {
    exhibit: Id,
    out: &'a dyn Publish,
    entries: Vec<Entry>,
    bytes: usize,
}

impl<'a> Teller<'a> {
    /// A teller for an exhibit.
    pub fn new(exhibit: Id, out: &'a dyn Publish) -> Teller<'a> {
        Teller { exhibit, out, entries: Vec::new(), bytes: 0 }
    }

    /// Says something.
    pub fn tell(&mut self, body: &Body) -> Result<(), Error> {
        let entry = Entry::new(body);
        self.bytes += entry.body.len() + 64;
        self.entries.push(entry);
        if self.bytes >= BATCH_BYTES || self.entries.len() >= BATCH_ENTRIES { self.flush() } else { Ok(()) }
    }

    /// Sends what was said.
    pub fn flush(&mut self) -> Result<(), Error> {
        if !self.entries.is_empty() {
            self.bytes = 0;
            let entries = std::mem::take(&mut self.entries);
            self.out.batch(self.exhibit, Batch { entries })?;
        }
        Ok(())
    }

    /// Sends a unit of work, after all that was said before.
    pub fn unit(&mut self, unit: &model::WorkUnit) -> Result<(), Error> {
        self.flush()?;
        self.out.unit(unit)?;
        stream::crash::point("ingest.unit.sent");
        Ok(())
    }
}
