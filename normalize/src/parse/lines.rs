//! Lines of a text file of any size, in UTF-8 or UTF-16, with their byte ranges.

use model::observable::Encoding;
use std::io::{self, BufRead};

/// One line.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    /// Its first byte in the file.
    pub offset: u64,
    /// Its bytes, the line's end included.
    pub length: u64,
    /// Its text without the line's end; what is not valid is U+FFFD.
    pub text: String,
    /// Whether all of it was valid in its encoding.
    pub valid: bool,
    /// Whether it was longer than the cap and cut.
    pub cut: bool,
}

/// The encoding that the first bytes show, and the length of the byte-order mark.
pub fn encoding(head: &[u8]) -> (Encoding, usize) {
    match head {
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
        [0xff, 0xfe, ..] => (Encoding::Utf16le, 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16be, 2),
        [byte, 0, ..] if byte.is_ascii() && *byte != 0 => (Encoding::Utf16le, 0),
        [0, byte, ..] if byte.is_ascii() && *byte != 0 => (Encoding::Utf16be, 0),
        _ => (Encoding::Utf8, 0),
    }
}

/// Reads lines; a line's end is `\n`, `\r\n`, or the end of the file.
pub struct Lines<R> {
    reader: R,
    encoding: Encoding,
    cap: usize,
    offset: u64,
    number: u64,
    raw: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Begins at the start of a file; `cap` bytes of a line are kept.
    pub fn new(mut reader: R, cap: usize) -> io::Result<Lines<R>> {
        let (encoding, mark) = encoding(reader.fill_buf()?);
        reader.consume(mark);
        Ok(Lines { reader, encoding, cap, offset: mark as u64, number: 0, raw: Vec::new() })
    }

    /// The next line.
    pub fn next(&mut self) -> io::Result<Option<Line>> {
        let (offset, mut length) = (self.offset, 0u64);
        self.raw.clear();
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            let found = memchr::memchr(b'\n', buffer);
            let taken = found.map_or(buffer.len(), |at| at + 1);
            let room = self.cap.saturating_sub(self.raw.len()).min(taken);
            self.raw.extend_from_slice(buffer.get(..room).unwrap_or_default());
            let before = self.raw.len().checked_sub(2).and_then(|at| self.raw.get(at)).copied();
            self.reader.consume(taken);
            length += taken as u64;
            // In UTF-16 a 0x0a is a line's end only as a whole unit.
            let ends = found.is_some()
                && match self.encoding {
                    Encoding::Utf8 => true,
                    Encoding::Utf16le => length % 2 == 1 && self.take_zero(&mut length)?,
                    Encoding::Utf16be => length % 2 == 0 && before == Some(0),
                };
            if ends {
                break;
            }
        }
        if length == 0 {
            return Ok(None);
        }
        self.offset += length;
        self.number += 1;
        let cut = length > self.raw.len() as u64;
        let (text, valid) = self.decode();
        Ok(Some(Line { number: self.number, offset, length, text, valid, cut }))
    }

    /// The bytes of the line that was read last, as far as they were kept.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Whether the file is in UTF-16.
    pub fn is_wide(&self) -> bool {
        self.encoding != Encoding::Utf8
    }

    /// Takes the zero byte that ends a little endian line feed; any other byte stays.
    fn take_zero(&mut self, length: &mut u64) -> io::Result<bool> {
        if self.reader.fill_buf()?.first() != Some(&0) {
            return Ok(false);
        }
        self.reader.consume(1);
        *length += 1;
        if self.raw.len() < self.cap {
            self.raw.push(0);
        }
        Ok(true)
    }

    fn decode(&self) -> (String, bool) {
        let (mut text, valid) = match self.encoding {
            Encoding::Utf8 => match std::str::from_utf8(&self.raw) {
                Ok(text) => (text.to_owned(), true),
                Err(_) => (String::from_utf8_lossy(&self.raw).into_owned(), false),
            },
            encoding => {
                let text = crate::find::row::text(&self.raw, encoding);
                let valid = !text.contains('\u{fffd}');
                (text, valid)
            }
        };
        if text.ends_with('\n') {
            text.pop();
        }
        if text.ends_with('\r') {
            text.pop();
        }
        (text, valid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn all(bytes: &[u8], cap: usize) -> Vec<Line> {
        // A buffer of two bytes, so that every border is met.
        let mut lines = Lines::new(BufReader::with_capacity(4, bytes), cap).unwrap();
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn ends_and_offsets() {
        let lines = all("\u{feff}a\r\n\nlast".as_bytes(), 99);
        let seen: Vec<_> = lines.iter().map(|line| (line.number, line.offset, line.length, line.text.as_str())).collect();
        assert_eq!(seen, [(1, 3, 3, "a"), (2, 6, 1, ""), (3, 7, 4, "last")]);
    }

    #[test]
    fn utf_16_in_both_orders() {
        // U+0A0A and U+0A41 have the byte of a line feed in them.
        let text = "a\u{a0a}b\u{a41}\r\nc\n";
        let little: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
        for bytes in [little, big] {
            let lines = all(&bytes, 99);
            let seen: Vec<_> = lines.iter().map(|line| (line.offset, line.length, line.text.as_str(), line.valid)).collect();
            assert_eq!(seen, [(2, 12, "a\u{a0a}b\u{a41}", true), (14, 4, "c", true)]);
        }
    }

    #[test]
    fn long_and_invalid_lines_are_told() {
        let lines = all(b"0123456789\nx\xff\n", 4);
        assert_eq!((lines[0].text.as_str(), lines[0].cut, lines[0].length), ("0123", true, 11));
        assert_eq!((lines[1].text.as_str(), lines[1].valid), ("x\u{fffd}", false));
    }
}
