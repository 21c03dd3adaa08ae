//! Tells whether ids were all distinct, in bounded memory.
//!
//! A sink counts distinct bodies against what an item announces; a body sent twice would leave its exhibit waiting for ever.
//! Ids are gathered in memory, sorted and written out as runs, and merged at the end (external merge sort).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Ids kept in memory: 8 MiB.
pub const HELD_IDS: usize = 1 << 19;

/// Bytes of an id.
const ID_BYTES: usize = 16;

/// Bytes read at a time of each run.
const RUN_BUFFER_BYTES: usize = 16 << 10;

/// The ids of one unit.
pub struct Distinct {
    path: PathBuf,
    cap: usize,
    held: Vec<u128>,
    /// Ids in each run of the file.
    runs: Vec<u64>,
    file: Option<BufWriter<File>>,
}

impl Distinct {
    /// No ids yet; those beyond `cap` wait in the file at `path`.
    pub fn new(path: PathBuf, cap: usize) -> Distinct {
        Distinct { path, cap, held: Vec::new(), runs: Vec::new(), file: None }
    }

    /// Takes an id.
    pub fn push(&mut self, id: model::Id) -> io::Result<()> {
        self.held.push(u128::from_le_bytes(id.0));
        if self.held.len() >= self.cap { self.write_run() } else { Ok(()) }
    }

    fn write_run(&mut self) -> io::Result<()> {
        self.held.sort_unstable();
        let file = match self.file.take() {
            Some(file) => file,
            None => BufWriter::new(File::create(&self.path)?),
        };
        let file = self.file.insert(file);
        for id in &self.held {
            file.write_all(&id.to_le_bytes())?;
        }
        self.runs.push(self.held.len() as u64);
        self.held.clear();
        Ok(())
    }

    /// Whether no id was taken twice; then forgets all.
    pub fn close(&mut self) -> io::Result<bool> {
        let distinct = if self.runs.is_empty() {
            self.held.sort_unstable();
            self.held.is_sorted_by(|one, next| one < next)
        } else {
            self.write_run()?;
            if let Some(file) = &mut self.file {
                file.flush()?;
            }
            self.merge()?
        };
        self.clear()?;
        Ok(distinct)
    }

    fn merge(&self) -> io::Result<bool> {
        let mut runs = Vec::new();
        let mut first = 0u64;
        for count in &self.runs {
            runs.push(Run::open(&self.path, first, *count)?);
            first = first.saturating_add(*count);
        }
        let mut heads = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next()?.map(|id| Reverse((id, number))));
        }
        let mut last = None;
        while let Some(Reverse((id, number))) = heads.pop() {
            if last.replace(id) == Some(id) {
                return Ok(false);
            }
            if let Some(run) = runs.get_mut(number) {
                heads.extend(run.next()?.map(|id| Reverse((id, number))));
            }
        }
        Ok(true)
    }

    /// Forgets all.
    pub fn clear(&mut self) -> io::Result<()> {
        self.held.clear();
        self.runs.clear();
        match self.file.take() {
            Some(file) => {
                drop(file.into_parts());
                std::fs::remove_file(&self.path)
            }
            None => Ok(()),
        }
    }
}

/// A sorted part of the file.
struct Run {
    reader: BufReader<File>,
    left: u64,
}

impl Run {
    fn open(path: &Path, first: u64, count: u64) -> io::Result<Run> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(first.saturating_mul(ID_BYTES as u64)))?;
        Ok(Run { reader: BufReader::with_capacity(RUN_BUFFER_BYTES, file), left: count })
    }

    fn next(&mut self) -> io::Result<Option<u128>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let mut id = [0u8; ID_BYTES];
        self.reader.read_exact(&mut id)?;
        Ok(Some(u128::from_le_bytes(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;

    fn id(number: u64) -> Id {
        Id::derive("test", &[&number.to_le_bytes()])
    }

    #[test]
    fn a_repeat_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        for cap in [1, 2, 7, 100, 1_000] {
            let mut ids = Distinct::new(path.clone(), cap);
            for repeat in [None, Some(0), Some(50), Some(99)] {
                (0..100).chain(repeat).try_for_each(|number| ids.push(id(number))).unwrap();
                assert_eq!(ids.close().unwrap(), repeat.is_none(), "cap {cap}, repeat {repeat:?}");
                assert!(!path.exists(), "nothing is left");
            }
        }
    }

    #[test]
    fn what_was_cleared_is_no_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = Distinct::new(folder.path().join("ids"), 3);
        for _ in 0..3 {
            (0..10).try_for_each(|number| ids.push(id(number))).unwrap();
            ids.clear().unwrap();
        }
        assert!(ids.close().unwrap());
    }
}
