//! The write-ahead log beside an encrypted database: its frames hold encrypted pages. Decrypted, the log has the checksums that
//! SQLite would have written, as far as the stored ones were right; a frame that was not part of the log before is none after.
//!
//! Format: <https://sqlite.org/fileformat2.html#walformat>.

use super::codec::{Codec, Page};
use super::pages::{BadPages, read_full};
use crate::evidence::{Beneath, Positioned, Source};
use crate::open::Trouble;
use model::Code;
use std::io;
use std::sync::Arc;

/// Bytes of the log's header and of a frame's.
const HEADER: usize = 32;
const FRAME: usize = 24;

/// A running checksum.
type Sum = (u32, u32);

/// The decrypted log.
pub struct Log {
    source: Source,
    codec: Arc<Codec>,
    bad: BadPages,
    /// The checksum of each frame that belongs to the log: the frames behind keep theirs.
    sums: Vec<Sum>,
    frames: u64,
}

/// Adds bytes to a checksum, in the order of bytes that the log's first word tells.
fn add(sum: Sum, bytes: &[u8], big: bool) -> Sum {
    let word = |bytes: &[u8; 4]| if big { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
    bytes.as_chunks::<4>().0.as_chunks::<2>().0.iter().fold(sum, |(a, b), [first, second]| {
        let a = a.wrapping_add(word(first)).wrapping_add(b);
        (a, b.wrapping_add(word(second)).wrapping_add(a))
    })
}

fn stored(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

impl Log {
    /// Checks every frame; `None` if the log is not one of this database.
    pub fn check(source: &Source, codec: Arc<Codec>) -> io::Result<Option<(Log, Vec<Trouble>)>> {
        let mut header = [0; HEADER];
        let filled = read_full(source, 0, &mut header)?;
        let magic = stored(&header, 0);
        if filled < HEADER || magic & !1 != 0x377f_0682 || stored(&header, 8) as usize != codec.page {
            return Ok(None);
        }
        let big = magic & 1 == 1;
        let step = FRAME + codec.page;
        let (content, mut bad, mut sums) = (source.size().saturating_sub(HEADER as u64), BadPages::default(), Vec::new());
        let (frames, rest) = (content / step as u64, content % step as u64);
        let begun = add((0, 0), &header[..24], big);
        let (mut old, mut new) = (begun, begun);
        let mut valid = begun == (stored(&header, 24), stored(&header, 28));
        let mut frame = vec![0; step];
        for index in 0..frames {
            read_full(source, HEADER as u64 + index * step as u64, &mut frame)?;
            let (head, page) = frame.split_at_mut(FRAME);
            old = add(add(old, &head[..8], big), page, big);
            valid &= head[8..16] == header[16..24] && old == (stored(head, 16), stored(head, 20));
            let number = stored(head, 0);
            if codec.check(number, page) == Page::Bad {
                bad.mark(index);
                page.fill(0);
            } else {
                codec.decrypt(number, page);
            }
            if valid {
                new = add(add(new, &head[..8], big), page, big);
                sums.push(new);
            }
        }
        let bytes = |first: u64, last: u64| (HEADER as u64 + first * step as u64, HEADER as u64 + (last + 1) * step as u64);
        let mut troubles = bad.troubles("frames of the -wal", bytes);
        if rest > 0 {
            let detail = format!("the -wal ends {rest} bytes into frame {}, which cannot be decrypted", frames + 1);
            troubles.push(Trouble::new(Code::Truncated, detail));
        }
        Ok(Some((Log { source: source.clone(), codec, bad, sums, frames }, troubles)))
    }

    fn step(&self) -> u64 {
        (FRAME + self.codec.page) as u64
    }
}

impl Positioned for Log {
    fn size(&self) -> u64 {
        HEADER as u64 + self.frames * self.step()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.size() || buffer.is_empty() {
            return Ok(0);
        }
        let Some(behind) = offset.checked_sub(HEADER as u64) else {
            let most = buffer.len().min(HEADER - offset as usize);
            return self.source.read_at(&mut buffer[..most], offset);
        };
        let (index, within) = (behind / self.step(), (behind % self.step()) as usize);
        let mut frame = vec![0; FRAME + self.codec.page];
        read_full(&self.source, HEADER as u64 + index * self.step(), &mut frame)?;
        let (head, page) = frame.split_at_mut(FRAME);
        if self.bad.has(index) {
            page.fill(0);
        } else {
            self.codec.decrypt(stored(head, 0), page);
        }
        if let Some((a, b)) = usize::try_from(index).ok().and_then(|index| self.sums.get(index)) {
            head[16..20].copy_from_slice(&a.to_be_bytes());
            head[20..24].copy_from_slice(&b.to_be_bytes());
        }
        let ready = &frame[within..];
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        Ok(count)
    }

    fn beneath(&self, offset: u64) -> Option<Beneath> {
        let behind = offset.checked_sub(HEADER as u64)?;
        let start = HEADER as u64 + behind / self.step() * self.step();
        (offset < self.size()).then(|| Beneath { source: self.source.clone(), start, length: self.step(), packed: true })
    }
}
