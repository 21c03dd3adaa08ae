//! Keeps what a child says of one unit until the unit is at its end: nothing of a unit that dies is published.
//!
//! Memory is bounded: what exceeds it goes to a file in the supervisor's own folder, which no child can reach.

use super::distinct::{Distinct, HELD_IDS};
use super::frame;
use model::wire::Body;
use model::{Entry, Id, Kind};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Bytes of bodies kept in memory.
pub const MEMORY_BYTES: usize = 8 << 20;

/// The entries of one unit, in the order in which they came.
pub struct Spool {
    path: PathBuf,
    memory_bytes: usize,
    entries: Vec<Entry>,
    held_bytes: usize,
    file: Option<BufWriter<File>>,
    /// Bytes of bodies in all.
    total_bytes: u64,
    /// Ids of the bodies that an item announces.
    ids: Distinct,
}

/// Makes an entry of a decoded body and its encoding.
pub fn entry(body: &Body, bytes: &[u8]) -> Entry {
    Entry { kind: body.kind(), id: body.id(), exhibit: body.exhibit(), item: body.item(), body: bytes.to_vec() }
}

impl Spool {
    /// An empty spool that overflows into `path` beyond `memory_bytes`.
    pub fn new(path: PathBuf, memory_bytes: usize) -> Spool {
        let ids = Distinct::new(path.with_extension("ids"), HELD_IDS);
        Spool { path, memory_bytes, entries: Vec::new(), held_bytes: 0, file: None, total_bytes: 0, ids }
    }

    /// Bytes of bodies taken.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Whether no body that an item announces came twice. Asked once, at the end of a unit.
    pub fn distinct(&mut self) -> io::Result<bool> {
        self.ids.close()
    }

    /// Takes an entry.
    pub fn push(&mut self, entry: Entry) -> io::Result<()> {
        if entry.item.is_some() {
            self.ids.push(entry.id)?;
        }
        let size = entry.body.len();
        self.total_bytes = self.total_bytes.saturating_add(size as u64);
        if self.file.is_none() && self.held_bytes.saturating_add(size) <= self.memory_bytes {
            self.held_bytes = self.held_bytes.saturating_add(size);
            self.entries.push(entry);
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => BufWriter::with_capacity(frame::CHUNK_BYTES, create(&self.path)?),
        };
        let file = self.file.insert(file);
        // The header is kept: making it anew would decode and digest the body once more.
        write(file, &entry)
    }

    /// Forgets everything; the file is emptied.
    pub fn clear(&mut self) -> io::Result<()> {
        self.entries.clear();
        self.held_bytes = 0;
        self.total_bytes = 0;
        self.ids.clear()?;
        if let Some(file) = self.file.take() {
            drop(file.into_parts());
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    /// Gives every entry in order, then is empty.
    pub fn drain<E: From<io::Error>>(&mut self, mut each: impl FnMut(Entry) -> Result<(), E>) -> Result<(), E> {
        for entry in self.entries.drain(..) {
            each(entry)?;
        }
        self.held_bytes = 0;
        if let Some(writer) = self.file.take() {
            let mut file = writer.into_inner().map_err(|error| E::from(error.into_error()))?;
            file.rewind()?;
            let mut reader = BufReader::with_capacity(frame::CHUNK_BYTES, file);
            while let Some(entry) = next(&mut reader)? {
                each(entry)?;
            }
            std::fs::remove_file(&self.path)?;
        }
        self.total_bytes = 0;
        self.ids.clear().map_err(E::from)
    }
}

fn create(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(true).open(path)
}

/// An entry but for its body.
type Header = (Kind, Id, Id, Option<Id>);

/// Bytes of two lengths: of header and body.
const LENGTHS_BYTES: usize = 1 + frame::LENGTH_BYTES;

fn write(file: &mut impl Write, entry: &Entry) -> io::Result<()> {
    let header = model::wire::to_bytes::<Header>(&(entry.kind, entry.id, entry.exhibit, entry.item));
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let [a, b, c, d] = u32::try_from(entry.body.len()).map_err(too_large)?.to_le_bytes();
    file.write_all(&[u8::try_from(header.len()).map_err(too_large)?, a, b, c, d])?;
    file.write_all(&header)?;
    file.write_all(&entry.body)
}

/// The next entry of the file; `None` at its end.
fn next(reader: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut lengths = [0u8; LENGTHS_BYTES];
    match reader.read_exact(&mut lengths) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let [header_bytes, a, b, c, d] = lengths;
    let mut header = vec![0; usize::from(header_bytes)];
    reader.read_exact(&mut header)?;
    let (kind, id, exhibit, item) = model::wire::from_bytes::<Header>(&header).map_err(io::Error::other)?;
    let mut body = vec![0; u32::from_le_bytes([a, b, c, d]) as usize];
    reader.read_exact(&mut body)?;
    Ok(Some(Entry { kind, id, exhibit, item, body }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Code, Id, Problem, Stage};

    fn made(number: usize) -> Entry {
        let detail = format!("{number:0>width$}", width = 1 + number % 50);
        let problem =
            Problem { exhibit: Id([1; 16]), item: Some(Id([2; 16])), stage: Stage::Normalize, code: Code::Truncated, detail };
        Entry::new(&Body::Problem(problem))
    }

    fn drained(spool: &mut Spool) -> Vec<Entry> {
        let mut all = Vec::new();
        spool
            .drain::<io::Error>(|entry| {
                all.push(entry);
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn order_and_content_are_the_same_in_memory_and_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let entries: Vec<_> = (0..200).map(made).collect();
        for memory in [0, 100, 5_000, usize::MAX] {
            let path = folder.path().join("spool");
            let mut spool = Spool::new(path.clone(), memory);
            for round in 0..2 {
                entries.iter().for_each(|entry| spool.push(entry.clone()).unwrap());
                assert_eq!(spool.total_bytes(), entries.iter().map(|entry| entry.body.len() as u64).sum::<u64>());
                assert_eq!(path.exists(), memory != usize::MAX);
                assert_eq!(drained(&mut spool), entries, "memory {memory}, round {round}");
                assert!(!path.exists() && spool.total_bytes() == 0);
            }
        }
    }

    #[test]
    fn a_cleared_spool_gives_nothing_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::new(path.clone(), 10);
        (0..20).for_each(|number| spool.push(made(number)).unwrap());
        assert!(path.exists());
        spool.clear().unwrap();
        assert!(!path.exists());
        assert_eq!(drained(&mut spool), []);
        spool.push(made(3)).unwrap();
        assert_eq!(drained(&mut spool), [made(3)]);
    }
}
