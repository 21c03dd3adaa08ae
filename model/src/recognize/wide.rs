//! UTF-16 in bytes of any kind: finding where it stands, and reading it one byte a unit.

use super::Find;
use super::context::Reading;
use super::stream::Mode;
use crate::observable::Encoding;

/// Bytes that one mark covers.
const CHUNK: usize = 1024;
/// Bytes read before and behind marked chunks, so that borders and context are seen.
const BEFORE: usize = 2560;
const BEHIND: usize = 6144;
/// Characters in a row that make a mark: the shortest thing worth finding (`a@b.cc`).
const SHORTEST: usize = 6;
/// Stands in [`Wide::ascii`] for every unit that is not ASCII: no letter, no continuation.
const OTHER: u8 = 0xff;

/// Which chunks of a window hold ASCII characters as UTF-16, by the parity of the character's byte.
#[derive(Default)]
pub struct Marks([Vec<bool>; 2]);

impl Marks {
    /// Looks at a place that could be the middle of such characters and marks its chunk if it is.
    #[inline(never)]
    pub fn look(&mut self, bytes: &[u8], at: usize) {
        let parity = at & 1;
        let marked = |marks: &Vec<bool>, at: usize| marks.get(at / CHUNK).copied().unwrap_or(false);
        let Some(marks) = self.0.get_mut(parity) else { return };
        if marked(marks, at) && marked(marks, at.saturating_sub(2 * SHORTEST)) {
            return;
        }
        let is_wide = |at: usize| {
            let character = bytes.get(at).is_some_and(|byte| (1..0x80).contains(byte));
            character && (bytes.get(at.wrapping_sub(1)) == Some(&0) || bytes.get(at.wrapping_add(1)) == Some(&0))
        };
        let joined = |at: usize| is_wide(at) && bytes.get(at.wrapping_add(1)) == Some(&0);
        let mut first = at;
        while first >= 2 && at - first < 2 * SHORTEST && joined(first - 2) {
            first -= 2;
        }
        let mut count = (at - first) / 2 + 1;
        let mut last = at;
        while count < SHORTEST && joined(last) && is_wide(last + 2) {
            last += 2;
            count += 1;
        }
        if count < SHORTEST {
            return;
        }
        let chunk = at / CHUNK;
        if marks.len() <= chunk {
            marks.resize(chunk + 1, false);
        }
        for chunk in [first / CHUNK, chunk] {
            if let Some(mark) = marks.get_mut(chunk) {
                *mark = true;
            }
        }
    }

    /// Whether the chunks of the block at `base` and of the row before it are marked, for characters of the parity of `at`.
    pub fn covers(&self, base: usize, at: usize) -> bool {
        let marked = |marks: &Vec<bool>, at: usize| marks.get(at / CHUNK).copied().unwrap_or(false);
        self.0.get(at & 1).is_some_and(|marks| marked(marks, base) && marked(marks, base.saturating_sub(2 * SHORTEST)))
    }

    /// The stretches to read as UTF-16: byte ranges with room on both sides, and in which byte order.
    pub fn stretches(&self, length: usize) -> Vec<(usize, usize, Encoding)> {
        let mut stretches: Vec<(usize, usize, Encoding)> = Vec::new();
        for (parity, marks) in self.0.iter().enumerate() {
            let mut chunks = marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(chunk, _)| chunk).peekable();
            while let Some(first) = chunks.next() {
                let mut last = first;
                // Nearby stretches are read as one: their margins would overlap.
                while let Some(next) = chunks.next_if(|next| (next - last) * CHUNK <= BEFORE + BEHIND) {
                    last = next;
                }
                let from = (first * CHUNK).saturating_sub(BEFORE);
                let to = ((last + 1) * CHUNK + BEHIND).min(length);
                // A character's byte at an even place is the low byte of a little-endian unit, or the second byte of a
                // big-endian unit that stands at an odd place: both are read, the window decides.
                let even = from + ((from ^ parity) & 1);
                stretches.push((even, to, Encoding::Utf16le));
                stretches.push((even.checked_sub(1).unwrap_or(even + 1), to, Encoding::Utf16be));
            }
        }
        stretches
    }
}

/// A stretch of a window read as UTF-16.
pub struct Wide<'a> {
    /// Its bytes, from the first unit on.
    bytes: &'a [u8],
    /// Byte order.
    pub encoding: Encoding,
    /// One byte a unit: ASCII, or [`OTHER`].
    pub ascii: Vec<u8>,
}

impl<'a> Wide<'a> {
    /// Reads units from the first byte on.
    pub fn read(bytes: &'a [u8], encoding: Encoding) -> Wide<'a> {
        let units = bytes.as_chunks::<2>().0;
        let narrow = |low: u8, high: u8| if high == 0 && low < 0x80 { low } else { OTHER };
        let ascii = match encoding {
            Encoding::Utf16be => units.iter().map(|unit| narrow(unit[1], unit[0])).collect(),
            Encoding::Utf16le | Encoding::Utf8 => units.iter().map(|unit| narrow(unit[0], unit[1])).collect(),
        };
        Wide { bytes, encoding, ascii }
    }

    /// The text between two units; a lone surrogate becomes U+FFFD.
    pub fn text(&self, from: usize, to: usize) -> String {
        let units = self.bytes.as_chunks::<2>().0.get(from..to).unwrap_or(&[]);
        let values = units.iter().map(|unit| match self.encoding {
            Encoding::Utf16be => u16::from_be_bytes(*unit),
            Encoding::Utf16le | Encoding::Utf8 => u16::from_le_bytes(*unit),
        });
        char::decode_utf16(values).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }
}

/// Whether the high byte of every unit is zero, but for those at the ends.
fn is_ascii(stretch: &[u8], encoding: Encoding) -> bool {
    let units = stretch.as_chunks::<2>().0;
    let inner = units.get(1..units.len().saturating_sub(1)).unwrap_or(&[]);
    let high = usize::from(encoding != Encoding::Utf16be);
    inner.iter().fold(0, |all, unit| all | unit[high]) == 0
}

/// Finds in every stretch of UTF-16 of a window.
pub fn find(bytes: &[u8], marks: &Marks, mode: Mode, base: u64, finds: &mut Vec<Find>) {
    let before = finds.len();
    for (from, to, encoding) in marks.stretches(bytes.len()) {
        let stretch = bytes.get(from..to).unwrap_or(&[]);
        // Where every character is ASCII both byte orders read the same text: the one with units at even places is enough.
        if (base ^ from as u64) & 1 == 1 && is_ascii(stretch, encoding) {
            continue;
        }
        let wide = Wide::read(stretch, encoding);
        let mut hits = Vec::new();
        super::scan::scan(&wide.ascii, mode, &mut hits, None);
        super::sort(&mut hits);
        super::finish(Reading::Wide(&wide), hits, base.saturating_add(from as u64), finds);
    }
    if finds.len() == before {
        return;
    }
    let mut found = finds.split_off(before);
    // Text is stored at even places; where both byte orders read something there, the reading with even units is right.
    let aligned: Vec<(u64, u64)> =
        found.iter().filter(|find| find.offset % 2 == 0).map(|find| (find.offset, find.length)).collect();
    let covered = |find: &Find| {
        let end = find.offset.saturating_add(find.length);
        let upto = aligned.partition_point(|(start, _)| *start <= end);
        aligned.iter().take(upto).rev().take(64).any(|(start, length)| start.saturating_add(*length) > find.offset)
    };
    found.retain(|find| find.offset % 2 == 0 || !covered(find));
    finds.append(&mut found);
    finds.sort_by(|left, right| {
        let key = |find: &Find| (find.offset, find.length, find.encoding as u8);
        key(left).cmp(&key(right))
    });
    finds.dedup();
}
