//! Walking through a JSON document of any size: containers are entered, values skipped or captured with their byte range.
//!
//! Reads RFC 8259 loosely: what is skipped is only matched for brackets and strings, so that a damaged value costs itself and
//! not what follows. Memory is one buffer and one captured value.

pub mod told;

use std::io::{self, Read};

/// Bytes read at once.
const BUFFER: u64 = 256 << 10;
/// Deepest nesting that a value may have; serde_json's own limit when it decodes.
pub const DEPTH_MAX: u32 = 128;

/// Why the walk ended early.
#[derive(Debug)]
pub enum Stop {
    /// The document ends inside a value; offset of its last byte.
    End(u64),
    /// A byte that JSON has no use for at that offset.
    Syntax(u64),
    /// The file could not be read.
    Unreadable(io::Error),
}

/// A value's place, and how many keys its object names (0 for anything else).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Keys of the outermost object, repeated ones counted.
    pub keys: u64,
    /// Deepest nesting.
    pub depth: u32,
}

/// The walk.
pub struct JsonStream<R> {
    reader: R,
    /// Bytes read at once.
    step: u64,
    buffer: Vec<u8>,
    at: usize,
    /// Offset of the buffer's first byte.
    base: u64,
}

impl<R: Read> JsonStream<R> {
    /// Begins at the reader's start; a byte-order mark is passed over.
    pub fn new(reader: R) -> Result<JsonStream<R>, Stop> {
        JsonStream::in_steps(reader, BUFFER)
    }

    fn in_steps(reader: R, step: u64) -> Result<JsonStream<R>, Stop> {
        let mut stream = JsonStream { reader, step, buffer: Vec::new(), at: 0, base: 0 };
        stream.fill()?;
        if stream.buffer.starts_with(b"\xef\xbb\xbf") {
            stream.at = 3;
        }
        Ok(stream)
    }

    /// Offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Replaces a used-up buffer; false at the end.
    fn fill(&mut self) -> Result<bool, Stop> {
        self.base += self.buffer.len() as u64;
        self.at = 0;
        self.buffer.clear();
        match (&mut self.reader).take(self.step).read_to_end(&mut self.buffer) {
            // What came before the error is read first; the next step meets it again.
            Err(error) if self.buffer.is_empty() => Err(Stop::Unreadable(error)),
            _ => Ok(!self.buffer.is_empty()),
        }
    }

    /// The next byte behind white space, not taken; `None` at the end.
    pub fn peek(&mut self) -> Result<Option<u8>, Stop> {
        loop {
            while let Some(byte) = self.buffer.get(self.at) {
                if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                    return Ok(Some(*byte));
                }
                self.at += 1;
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Takes a byte that must come next.
    fn take(&mut self, wanted: u8) -> Result<(), Stop> {
        match self.peek()? {
            Some(byte) if byte == wanted => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(Stop::Syntax(self.offset())),
            None => Err(Stop::End(self.offset())),
        }
    }

    /// Enters an object (`{`) or array (`[`) if one begins here.
    pub fn enter(&mut self, open: u8) -> Result<bool, Stop> {
        let opens = self.peek()? == Some(open);
        self.at += usize::from(opens);
        Ok(opens)
    }

    /// Goes to the next member of the container that ends with `close`: false at its end, which is taken. `first` is true
    /// before the first and becomes false.
    pub fn next(&mut self, close: u8, first: &mut bool) -> Result<bool, Stop> {
        match self.peek()? {
            Some(byte) if byte == close => {
                self.at += 1;
                return Ok(false);
            }
            Some(b',') if !*first => self.at += 1,
            Some(_) if *first => {}
            Some(_) => return Err(Stop::Syntax(self.offset())),
            None => return Err(Stop::End(self.offset())),
        }
        *first = false;
        // A comma before the end is forgiven.
        if self.peek()? == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes a key and its colon; keys longer than `cap` come out cut.
    pub fn key(&mut self, cap: usize) -> Result<String, Stop> {
        if self.peek()? != Some(b'"') {
            let offset = self.offset();
            return Err(if self.peek()?.is_none() { Stop::End(offset) } else { Stop::Syntax(offset) });
        }
        let mut raw = Vec::new();
        self.value(cap, Some(&mut raw))?;
        self.take(b':')?;
        Ok(serde_json::from_slice(&raw).unwrap_or_else(|_| String::from_utf8_lossy(&raw).trim_matches('"').to_owned()))
    }

    /// Passes a value of any kind.
    pub fn skip(&mut self) -> Result<Span, Stop> {
        self.value(0, None)
    }

    /// Passes a value and keeps its bytes, at most `cap` of them: a longer value leaves more length in the span than bytes.
    pub fn capture(&mut self, cap: usize, bytes: &mut Vec<u8>) -> Result<Span, Stop> {
        bytes.clear();
        self.value(cap, Some(bytes))
    }

    fn value(&mut self, cap: usize, mut keep: Option<&mut Vec<u8>>) -> Result<Span, Stop> {
        let first = self.peek()?.ok_or(Stop::End(self.offset()))?;
        let mut state =
            Scan { string: false, escaped: false, depth: 0, scalar: !matches!(first, b'"' | b'{' | b'['), span: Span::default() };
        state.span.offset = self.offset();
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let (taken, done) = state.pass(rest);
            if let Some(bytes) = keep.as_deref_mut() {
                let room = cap.saturating_sub(bytes.len()).min(taken);
                bytes.extend_from_slice(rest.get(..room).unwrap_or_default());
            }
            self.at += taken;
            state.span.length += taken as u64;
            if done {
                // A scalar without a byte is no value.
                return if state.span.length == 0 { Err(Stop::Syntax(self.offset())) } else { Ok(state.span) };
            }
            if !self.fill()? {
                return if state.scalar { Ok(state.span) } else { Err(Stop::End(self.offset())) };
            }
        }
    }
}

/// Where in a value the walk is.
struct Scan {
    string: bool,
    escaped: bool,
    depth: u32,
    /// A number or word: ends before the next structural byte.
    scalar: bool,
    span: Span,
}

impl Scan {
    /// Passes through bytes: how many belong to the value, and whether it ended.
    fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.scalar {
            let end = bytes
                .iter()
                .position(|byte| matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'[' | b'{'));
            return (end.unwrap_or(bytes.len()), end.is_some());
        }
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.string {
                if self.escaped {
                    self.escaped = false;
                    at += 1;
                    continue;
                }
                let Some(next) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) else {
                    return (bytes.len(), false);
                };
                at += next + 1;
                if bytes.get(at - 1) == Some(&b'\\') {
                    self.escaped = true;
                    continue;
                }
                self.string = false;
                if self.depth == 0 {
                    return (at, true);
                }
                continue;
            }
            at += 1;
            match byte {
                b'"' => self.string = true,
                b'{' | b'[' => {
                    self.depth = self.depth.saturating_add(1);
                    self.span.depth = self.span.depth.max(self.depth);
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (at, true);
                    }
                }
                b':' if self.depth == 1 => self.span.keys += 1,
                _ => {}
            }
        }
        (bytes.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_places_across_buffers() {
        let text = " {\"a\\\"]\": [1, \"}\\\\\", {}], \"b\" : -1.5e3 , \"c\":null}".as_bytes();
        // One byte at a time, so that every border is a buffer's border.
        let mut stream = JsonStream::in_steps(text, 1).unwrap();
        assert!(stream.enter(b'{').unwrap());
        let (mut first, mut seen, mut bytes) = (true, Vec::new(), Vec::new());
        while stream.next(b'}', &mut first).unwrap() {
            let key = stream.key(64).unwrap();
            let span = stream.capture(64, &mut bytes).unwrap();
            assert_eq!(&text[span.offset as usize..][..span.length as usize], bytes);
            seen.push((key, String::from_utf8(bytes.clone()).unwrap()));
        }
        let expected = [("a\"]", "[1, \"}\\\\\", {}]"), ("b", "-1.5e3"), ("c", "null")];
        assert_eq!(seen, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(stream.peek().unwrap(), None);
    }

    #[test]
    fn a_mark_is_passed_over_and_a_capture_is_capped() {
        let mut stream = JsonStream::new("\u{feff}\"0123456789\"".as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let span = stream.capture(4, &mut bytes).unwrap();
        assert_eq!((span.offset, span.length, bytes.as_slice()), (3, 12, b"\"012".as_slice()));
    }

    #[test]
    fn ends_and_nonsense_are_told_with_their_place() {
        let mut stream = JsonStream::new(b"[1, [2".as_slice()).unwrap();
        assert!(stream.enter(b'[').unwrap());
        let mut first = true;
        assert!(stream.next(b']', &mut first).unwrap());
        stream.skip().unwrap();
        assert!(stream.next(b']', &mut first).unwrap());
        assert!(matches!(stream.skip(), Err(Stop::End(6))));
        let mut stream = JsonStream::new(b"[1 2]".as_slice()).unwrap();
        stream.enter(b'[').unwrap();
        stream.skip().unwrap();
        assert!(matches!(stream.next(b']', &mut false), Err(Stop::Syntax(3))));
    }

    #[test]
    fn a_million_brackets_cost_no_stack() {
        let bomb = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        let span = JsonStream::new(bomb.as_bytes()).unwrap().skip().unwrap();
        assert_eq!((span.length, span.depth), (2_000_000, 1_000_000));
    }
}
