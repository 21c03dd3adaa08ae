//! The database file, decrypted page by page where it is read.

use super::codec::{Codec, Page};
use crate::evidence::{Beneath, Positioned, Source};
use crate::open::Trouble;
use model::Code;
use std::io;
use std::sync::Arc;

/// Stretches of bad pages that are told one by one.
const STRETCHES_MAX: usize = 64;

/// Bad pages on the way to being told: stretches of numbers that follow each other.
#[derive(Default)]
pub struct BadPages {
    bits: Vec<u64>,
    stretches: Vec<(u64, u64)>,
    count: u64,
    last: Option<u64>,
}

impl BadPages {
    /// Marks a page or frame, by its number from 0; numbers grow.
    pub fn mark(&mut self, number: u64) {
        let word = usize::try_from(number / 64).unwrap_or(usize::MAX);
        if self.bits.len() <= word {
            self.bits.resize(word.saturating_add(1), 0);
        }
        if let Some(bits) = self.bits.get_mut(word) {
            *bits |= 1 << (number % 64);
        }
        self.count += 1;
        let follows = self.last.is_some_and(|last| last + 1 == number);
        self.last = Some(number);
        if let Some((_, last)) = self.stretches.last_mut().filter(|(_, last)| follows && *last + 1 == number) {
            *last = number;
        } else if self.stretches.len() < STRETCHES_MAX {
            self.stretches.push((number, number));
        }
    }

    /// Whether one is marked.
    pub fn has(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|bits| (bits >> (number % 64)) & 1 == 1)
    }

    /// The troubles: `what` with first and last number from 1, and the bytes that `range` gives of them.
    pub fn troubles(&self, what: &str, range: impl Fn(u64, u64) -> (u64, u64)) -> Vec<Trouble> {
        let told: u64 = self.stretches.iter().map(|(first, last)| last - first + 1).sum();
        let each = self.stretches.iter().map(|(first, last)| {
            let (start, end) = range(*first, *last);
            let (first, last) = (first + 1, last + 1);
            let detail = format!("{what} {first} to {last}, bytes {start} to {end}, fail their check: read as blank");
            Trouble::new(Code::ChecksumMismatch, detail)
        });
        let rest = (told < self.count).then(|| {
            let detail = format!("{} more of {what} fail their check: read as blank", self.count - told);
            Trouble::new(Code::Flood, detail)
        });
        each.chain(rest).collect()
    }
}

/// Reads so many bytes; fewer only at the end.
pub fn read_full(source: &Source, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The decrypted database.
pub struct Pages {
    source: Source,
    codec: Arc<Codec>,
    bad: BadPages,
    size: u64,
}

impl Pages {
    /// Checks every page; what fails, and what the end cuts off, is told.
    pub fn check(source: &Source, codec: Arc<Codec>) -> io::Result<(Pages, Vec<Trouble>)> {
        let page = codec.page as u64;
        let (whole, rest) = (source.size() / page, source.size() % page);
        let (mut bad, mut buffer) = (BadPages::default(), vec![0; codec.page]);
        for index in 0..whole {
            let filled = read_full(source, index * page, &mut buffer)?;
            // A page that SQLite never wrote is blank as it lies there.
            let blank = buffer.iter().all(|byte| *byte == 0);
            let verdict = u32::try_from(index + 1).map(|number| codec.check(number, &buffer));
            if filled < buffer.len() || !blank && verdict != Ok(Page::Good) {
                bad.mark(index);
            }
        }
        let mut troubles = bad.troubles("pages", |first, last| (first * page, (last + 1) * page));
        if rest > 0 {
            let detail = format!("ends {rest} bytes into page {}, which cannot be decrypted", whole + 1);
            troubles.push(Trouble::new(Code::Truncated, detail));
        }
        Ok((Pages { source: source.clone(), codec, bad, size: whole * page }, troubles))
    }
}

impl Positioned for Pages {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let (index, within) = (offset / self.codec.page as u64, (offset % self.codec.page as u64) as usize);
        let mut page = vec![0; self.codec.page];
        if !self.bad.has(index) {
            read_full(&self.source, index * self.codec.page as u64, &mut page)?;
            if let Ok(number) = u32::try_from(index + 1)
                && page.iter().any(|byte| *byte != 0)
            {
                self.codec.decrypt(number, &mut page);
            }
        }
        let ready = &page[within..];
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        Ok(count)
    }

    fn beneath(&self, offset: u64) -> Option<Beneath> {
        let page = self.codec.page as u64;
        // The whole page is needed to decrypt a byte of it.
        (offset < self.size).then(|| Beneath {
            source: self.source.clone(),
            start: offset / page * page,
            length: page,
            packed: true,
        })
    }
}
