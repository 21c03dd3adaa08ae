//! The content of a file: runs of its volume, some of them holes, perhaps packed. What cannot be read is zeros with a problem that
//! names the range; what lies behind the last readable byte is left out.

use super::fields;
use crate::evidence::{Beneath, Positioned, Source};
use crate::open::{Damage, Trouble};
use model::Code;
use std::io::{self, Read};
use std::sync::Arc;

/// Bytes that are given up together where something cannot be read, and how many must be lost in a row before that is the step:
/// what is cut off a large image is passed by quickly.
const BAD_STEPS: [(u64, u64); 4] = [(0, 4 << 10), (4 << 20, 64 << 10), (256 << 20, 4 << 20), (16 << 30, 1 << 30)];
/// Ranges that a problem names; more are counted.
const RANGES_TOLD: usize = 16;

/// No volume has a byte so far out: runs that begin here are lost.
const LOST: u64 = 1 << 62;

/// Bytes that follow each other on the volume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// First byte on the volume; `None` for a hole.
    pub at: Option<u64>,
    /// How many bytes.
    pub bytes: u64,
}

impl Run {
    /// Bytes that the file should have and nothing leads to.
    pub fn lost(bytes: u64) -> Run {
        Run { at: Some(LOST), bytes }
    }
}

/// How runs become content.
#[derive(Clone, Debug, PartialEq)]
pub enum Coding {
    /// As they are.
    Plain,
    /// Nothing lies in runs: this is the content.
    Inline(Vec<u8>),
    /// NTFS compression in units of so many bytes.
    Lznt1(u64),
    /// macOS's packing: the runs are a resource fork of so many bytes, packed in that way.
    Decmpfs(u64, super::volume::Packing),
    /// EROFS's packing: its pieces.
    Erofs(Arc<[super::volume::Extent]>),
}

/// The content of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Its runs, in the order of the file.
    pub runs: Vec<Run>,
    /// Its size, bytes.
    pub size: u64,
    /// Bytes that were ever written; the rest is zero (NTFS, exFAT).
    pub valid: u64,
    /// How runs become content.
    pub coding: Coding,
}

impl Content {
    /// Runs as they are.
    pub fn plain(runs: Vec<Run>, size: u64) -> Content {
        Content { runs, size, valid: size, coding: Coding::Plain }
    }

    /// Content that does not lie in runs.
    pub fn inline(bytes: Vec<u8>) -> Content {
        let size = bytes.len() as u64;
        Content { runs: Vec::new(), size, valid: size, coding: Coding::Inline(bytes) }
    }

    /// Bytes that it takes on the volume.
    pub fn stored_bytes(&self) -> u64 {
        match &self.coding {
            Coding::Inline(bytes) => bytes.len() as u64,
            _ => self.runs.iter().filter(|run| run.at.is_some()).map(|run| run.bytes).fold(0, u64::saturating_add),
        }
    }

    /// The ranges of the volume that are read for it.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        let mut left = if self.coding == Coding::Plain { self.size } else { u64::MAX };
        let mut ranges = Vec::new();
        for run in &self.runs {
            let bytes = run.bytes.min(left);
            left -= bytes;
            if let Some(at) = run.at.filter(|at| bytes > 0 && *at < LOST) {
                ranges.push((at, at.saturating_add(bytes)));
            }
        }
        ranges
    }

    /// The content as bytes read by position.
    pub fn source(self, volume: &Source) -> Source {
        match self.coding {
            Coding::Inline(bytes) => Source::Memory(Arc::from(bytes)),
            Coding::Plain => Source::Virtual(Arc::new(Runs::new(volume.clone(), &self))),
            Coding::Decmpfs(bytes, packing) => {
                let fork = Content::plain(self.runs, bytes);
                super::volume::decmpfs(Source::Virtual(Arc::new(Runs::new(volume.clone(), &fork))), self.size, packing)
            }
            Coding::Erofs(extents) => super::volume::erofs(volume, extents, self.size),
            Coding::Lznt1(unit) => super::volume::ntfs_packed(volume, &self, unit),
        }
    }
}

/// Runs read by position.
pub struct Runs {
    volume: Source,
    /// Where in the file each run begins, and the run.
    runs: Vec<(u64, Run)>,
    size: u64,
    valid: u64,
}

impl Runs {
    /// The runs of a content.
    pub fn new(volume: Source, content: &Content) -> Runs {
        let mut start = 0u64;
        let mut runs = Vec::with_capacity(content.runs.len());
        for run in &content.runs {
            runs.push((start, *run));
            start = start.saturating_add(run.bytes);
        }
        Runs { volume, runs, size: content.size, valid: content.valid.min(content.size) }
    }
}

impl Positioned for Runs {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let index = self.runs.partition_point(|(start, _)| *start <= offset);
        let found = index.checked_sub(1).and_then(|index| self.runs.get(index));
        let (at, left) = match found {
            Some((start, run)) if offset - start < run.bytes => {
                (run.at.map(|at| at.saturating_add(offset - start)), run.bytes - (offset - start))
            }
            // Runs that end before the file does: a hole at its end.
            _ => (None, u64::MAX),
        };
        let end = if offset < self.valid { self.valid } else { self.size };
        let most = fields::length(left.min(end - offset)).min(buffer.len());
        let Some(at) = at.filter(|_| offset < self.valid) else {
            buffer[..most].fill(0);
            return Ok(most);
        };
        if at >= LOST {
            return Err(fields::damaged("nothing leads to the clusters that follow"));
        }
        match self.volume.read_at(&mut buffer[..most], at)? {
            0 => Err(Damage::error(Code::Truncated, &format!("byte {at} of the volume lies beyond its end"))),
            count => Ok(count),
        }
    }

    fn beneath(&self, offset: u64) -> Option<Beneath> {
        let index = self.runs.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        let (start, run) = self.runs.get(index)?;
        let within = offset - start;
        let length = run.bytes.checked_sub(within).filter(|left| *left > 0)?;
        let at = run.at.filter(|at| *at < LOST && offset < self.valid)?;
        Some(Beneath { source: self.volume.clone(), start: at.checked_add(within)?, length, packed: false })
    }
}

/// Reads a source from its first byte to its last, past what cannot be read.
pub struct Patient<'a> {
    source: &'a Source,
    position: u64,
    /// Zeros to be given before the next bytes: they are owed only if readable bytes follow.
    owed: u64,
    /// Ranges that could not be read.
    bad: Vec<(u64, u64)>,
    first: Option<Trouble>,
    ended: bool,
}

impl<'a> Patient<'a> {
    /// A reader at the beginning.
    pub fn new(source: &'a Source) -> Patient<'a> {
        Patient { source, position: 0, owed: 0, bad: Vec::new(), first: None, ended: false }
    }

    /// What could not be read, as the error that ends the stream.
    fn end(&mut self) -> io::Result<usize> {
        self.ended = true;
        let Some(Trouble { code, detail }) = self.first.take() else { return Ok(0) };
        let shown: Vec<String> = self.bad.iter().take(RANGES_TOLD).map(|(start, end)| format!("{start} to {end}")).collect();
        let more = self.bad.len().saturating_sub(RANGES_TOLD);
        let more = if more > 0 { format!(" and {more} ranges more") } else { String::new() };
        Err(Damage::error(code, &format!("bytes {}{more} cannot be read: {detail}", shown.join(", "))))
    }

    /// Gives up the step at the position.
    fn give_up(&mut self, error: &io::Error) {
        let lost = self.bad.last().filter(|(_, end)| *end == self.position).map_or(0, |(start, end)| end - start);
        let step = BAD_STEPS.iter().rev().find(|(from, _)| lost >= *from).map_or(4096, |(_, step)| *step);
        let next = (self.position / step).saturating_add(1).saturating_mul(step).min(self.source.size());
        self.first.get_or_insert_with(|| Trouble::of(error));
        match self.bad.last_mut() {
            Some((_, end)) if *end == self.position => *end = next,
            _ => self.bad.push((self.position, next)),
        }
        self.owed += next - self.position;
        self.position = next;
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.position >= self.source.size() {
                return self.end();
            }
            // One byte tells whether owed zeros are due; the bytes themselves are read after them.
            let due = self.owed > 0;
            let most = if due { 1 } else { buffer.len() };
            match self.source.read_at(&mut buffer[..most], self.position) {
                Ok(0) => return self.end(),
                Ok(_) if due => {
                    let count = fields::length(self.owed).min(buffer.len());
                    buffer[..count].fill(0);
                    self.owed -= count as u64;
                    return Ok(count);
                }
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.give_up(&error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(at: Option<u64>, bytes: u64) -> Run {
        Run { at, bytes }
    }

    fn read(source: &Source) -> (Vec<u8>, Option<Trouble>) {
        let mut bytes = Vec::new();
        let result = Patient::new(source).read_to_end(&mut bytes);
        (bytes, result.err().map(|error| Trouble::of(&error)))
    }

    #[test]
    fn runs_holes_and_what_was_never_written() {
        let volume = Source::Memory(Arc::from(&b"0123456789"[..]));
        let content = Content { valid: 9, ..Content::plain(vec![run(Some(7), 3), run(None, 2), run(Some(0), 5)], 11) };
        assert_eq!(content.ranges(), [(7, 10), (0, 5)]);
        assert_eq!(content.stored_bytes(), 8);
        assert_eq!(read(&content.source(&volume)), (b"789\0\x000123\0\0".to_vec(), None));
        let short = Content::plain(vec![run(Some(8), 2)], 4);
        assert_eq!(read(&short.source(&volume)), (b"89\0\0".to_vec(), None));
    }

    #[test]
    fn what_is_missing_is_zeros_in_the_middle_and_nothing_at_the_end() {
        let volume = Source::Memory(Arc::from(vec![7u8; 8192]));
        let content =
            Content::plain(vec![run(Some(0), 4096), run(Some(9000), 4096), run(Some(4096), 4096), run(Some(9999), 5000)], 17_000);
        let (bytes, trouble) = read(&content.source(&volume));
        assert_eq!(bytes.len(), 12_288);
        assert!(bytes[4096..8192].iter().all(|byte| *byte == 0));
        let trouble = trouble.unwrap();
        assert_eq!(trouble.code, Code::Truncated);
        assert!(trouble.detail.starts_with("bytes 4096 to 8192, 12288 to 17000 cannot be read"), "{}", trouble.detail);
    }
}
