//! The worker's sentence: sink what comes, seal what is complete.
//!
//! Over the embedded transport there is one store and one exhibit, sealed when every writer has gone. Over Kafka there is one store
//! for each partition of `records` and `problems`; it holds whole exhibits, and each is sealed when its ledger adds up. What comes
//! after the seal and is new (a late invalid message, say) makes the exhibit sealed anew, under the same name.

use crate::seal::{Manner, Sealed, seal};
use crate::sink::{self, Sink};
use crate::{Error, UnitKey};
use model::Id;
use model::wire::Batch;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stream::{Delivery, Event, Receive};

/// A pause in the stream after which what is held is committed and what is complete is sealed.
const IDLE: Duration = Duration::from_millis(200);
/// How long a partition's store may stay locked by the worker that has just given it up.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);
/// Name of the embedded transport's store; the fleet's are `partition-<n>.working.sqlite`.
const EMBEDDED_STORE: &str = "working.sqlite";
/// Longest stem of a bundle's name, bytes: leaves room for endings within the 255 that file systems allow.
const STEM_BYTES: usize = 160;

/// What a sink needs.
#[derive(Clone, Debug)]
pub struct Context {
    /// The settings.
    pub settings: config::Settings,
    /// Folder of the sealed bundles.
    pub out: PathBuf,
    /// Folder of the working stores.
    pub work: PathBuf,
    /// The unit's key; `None` for unsigned bundles.
    pub key: Option<UnitKey>,
}

/// What the worker tells while it runs, and what it asks.
pub trait Watch: Sync {
    /// So many entries more are committed.
    fn sunk(&self, _entries: u64) {}

    /// An exhibit is being sealed.
    fn sealing(&self, _exhibit: Id) {}

    /// An exhibit is sealed: now, or before a store of a fleet was opened here.
    fn sealed(&self, _sealed: &Sealed) {}

    /// Whether to commit and end.
    fn stop(&self) -> bool {
        false
    }
}

/// Sinks a stream until it is closed or `watch` says stop, and seals every exhibit that is complete.
///
/// Fails with [`Error::Incomplete`] if the embedded stream closes and the exhibit does not add up. After any error the same
/// call goes on where the last commit was.
pub fn run(context: &Context, batches: &mut dyn Receive<Batch>, watch: &dyn Watch) -> Result<Vec<Sealed>, Error> {
    let mut worker = Worker { context, watch, stores: BTreeMap::new(), uncommitted: 0, sealed: Vec::new() };
    while !watch.stop() {
        match batches.next(IDLE)? {
            Event::Delivery(delivery) => worker.sink(batches, delivery)?,
            Event::Idle => worker.idle(batches)?,
            Event::Assigned(partitions) => worker.open(batches, &partitions)?,
            Event::Revoked(partitions) => worker.close(batches, &partitions)?,
            Event::Closed => return worker.end(batches),
        }
    }
    worker.commit(batches)?;
    Ok(worker.sealed)
}

/// Items of an exhibit that the embedded transport's store holds in full: ingest need not send them again.
pub fn done_items(context: &Context, exhibit: Id) -> Result<HashSet<Id>, Error> {
    sink::stored_items(&context.work.join(EMBEDDED_STORE), exhibit)
}

/// The stem of a bundle's file name: the exhibit number where it is a plain name; else what is not a letter, digit, `-`, `_`
/// or `.` becomes `_`, and a digest keeps two numbers from sharing a name.
pub fn file_stem(number: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    let mut stem: String = number.chars().map(|character| if plain(character) { character } else { '_' }).collect();
    let mut end = STEM_BYTES.min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    stem.truncate(end);
    if stem == number && !stem.starts_with('.') && !stem.is_empty() {
        return stem;
    }
    let digest = model::Digest::of(number.as_bytes()).to_string();
    format!("{}-{}", stem.trim_start_matches('.'), &digest[..12])
}

/// The open store of a partition; `None` stands for the embedded transport's.
type Partition = Option<i32>;

struct Worker<'a> {
    context: &'a Context,
    watch: &'a dyn Watch,
    stores: BTreeMap<Partition, Sink>,
    uncommitted: u64,
    sealed: Vec<Sealed>,
}

impl Worker<'_> {
    fn sink(&mut self, batches: &mut dyn Receive<Batch>, delivery: Delivery<Batch>) -> Result<(), Error> {
        let assigned = Some(delivery.position.partition);
        let partition = if self.stores.contains_key(&assigned) { assigned } else { None };
        let entries = delivery.payload.as_ref().map_or(1, |batch| batch.entries.len() as u64);
        let due = self.store(partition)?.apply(delivery)?;
        self.uncommitted += entries;
        if due {
            self.commit(batches)?;
            // New exhibits at once; those that only grew after their seal wait for a pause.
            if partition.is_some() {
                self.seal_complete(partition, false)?;
            }
        }
        Ok(())
    }

    /// The store of a partition, opened if it is not yet.
    fn store(&mut self, partition: Partition) -> Result<&mut Sink, Error> {
        if !self.stores.contains_key(&partition) {
            let store = self.open_store(partition)?;
            self.stores.insert(partition, store);
        }
        self.stores.get_mut(&partition).ok_or(Error::Thread)
    }

    fn open_store(&self, partition: Partition) -> Result<Sink, Error> {
        let name = match partition {
            Some(partition) => format!("partition-{partition}.working.sqlite"),
            None => EMBEDDED_STORE.to_owned(),
        };
        let path = self.context.work.join(name);
        let begin = Instant::now();
        loop {
            match Sink::open(&path, &self.context.settings.export) {
                Err(Error::Locked(_)) if partition.is_some() && begin.elapsed() < LOCK_PATIENCE => std::thread::sleep(IDLE),
                opened => return opened,
            }
        }
    }

    fn open(&mut self, batches: &mut dyn Receive<Batch>, partitions: &[i32]) -> Result<(), Error> {
        for partition in partitions {
            let store = self.store(Some(*partition))?;
            let (positions, seals) = (store.positions(*partition)?, store.seals()?);
            seals.iter().for_each(|sealed| self.watch.sealed(sealed));
            batches.start_at(*partition, &positions)?;
        }
        Ok(())
    }

    fn close(&mut self, batches: &mut dyn Receive<Batch>, partitions: &[i32]) -> Result<(), Error> {
        self.commit(batches)?;
        for partition in partitions {
            self.stores.remove(&Some(*partition));
        }
        Ok(())
    }

    fn idle(&mut self, batches: &mut dyn Receive<Batch>) -> Result<(), Error> {
        self.commit(batches)?;
        let partitions: Vec<Partition> = self.stores.keys().copied().filter(Option::is_some).collect();
        partitions.into_iter().try_for_each(|partition| self.seal_complete(partition, true))
    }

    /// Commits every store, then acknowledges what it holds.
    fn commit(&mut self, batches: &mut dyn Receive<Batch>) -> Result<(), Error> {
        for store in self.stores.values_mut() {
            for position in store.commit()? {
                batches.acknowledge(position)?;
            }
        }
        self.watch.sunk(std::mem::take(&mut self.uncommitted));
        Ok(())
    }

    /// Seals what is complete in a store; with `again` also what grew since it was sealed.
    fn seal_complete(&mut self, partition: Partition, again: bool) -> Result<(), Error> {
        let Some(store) = self.stores.get(&partition) else { return Ok(()) };
        let known: HashSet<Id> = if again { HashSet::new() } else { store.sealed_exhibits()?.into_iter().collect() };
        let manner = Manner {
            out: &self.context.out,
            key: self.context.key.as_ref(),
            settings: self.context.settings.content_digest(),
            threads: self.context.settings.worker_count().max(2),
        };
        for exhibit in store.complete_exhibits()?.into_iter().filter(|exhibit| !known.contains(exhibit)) {
            self.watch.sealing(exhibit);
            let sealed = seal(store, exhibit, &manner)?;
            self.watch.sealed(&sealed);
            self.sealed.retain(|before| before.exhibit != exhibit);
            self.sealed.push(sealed);
        }
        Ok(())
    }

    /// The embedded stream has ended: its exhibit is complete, or something is missing.
    fn end(mut self, batches: &mut dyn Receive<Batch>) -> Result<Vec<Sealed>, Error> {
        self.commit(batches)?;
        self.sealed = self.store(None)?.seals()?;
        self.seal_complete(None, true)?;
        if self.sealed.is_empty() {
            return Err(Error::Incomplete(self.store(None)?.missing()?));
        }
        Ok(self.sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_names_and_never_meet() {
        assert_eq!(file_stem("A-12.3"), "A-12.3");
        assert_eq!(file_stem("电话1"), "电话1");
        for number in ["a/b", "a_b", "..", "", ".haul", "a b", &"x".repeat(300), "../../etc"] {
            let stem = file_stem(number);
            assert!(!stem.is_empty() && !stem.contains('/') && !stem.starts_with('.') && stem.len() < 200, "{stem}");
        }
        assert_ne!(file_stem("a/b"), file_stem("a_b"));
        assert_ne!(file_stem("a/b"), file_stem("a b"));
    }
}
