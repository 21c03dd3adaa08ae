//! Mailboxes: messages one behind another, each behind a line that begins with `From ` (RFC 4155 and the older dialects).
//!
//! No dialect marks every such line in a body, so a dividing line must look like one (a time of day, or nothing but a dash) and a header
//! must follow it.

use std::io::{self, BufRead};

/// Longest line that is looked at whole; longer ones are of a body.
const LINE_MOST: usize = 1 << 16;

/// A message in its mailbox.
#[derive(PartialEq, Debug)]
pub struct Raw {
    /// Its first byte, behind the dividing line.
    pub offset: u64,
    /// Its bytes, up to the cap.
    pub bytes: Vec<u8>,
    /// Bytes past the cap.
    pub dropped: u64,
}

/// Reads messages one at a time.
pub struct Messages<R> {
    reader: R,
    cap: usize,
    /// Bytes taken from the reader.
    taken: u64,
    /// A line that was read and belongs to what follows.
    held: Vec<u8>,
    begun: bool,
}

/// The name of the header that a line begins, if it does: printable characters without spaces, up to a colon (RFC 5322, 3.6.8).
pub fn header_name(line: &[u8]) -> Option<&[u8]> {
    let end = line.iter().position(|byte| !(b'!'..=b'~').contains(byte) || *byte == b':')?;
    (end > 0 && line.get(end) == Some(&b':')).then(|| line.get(..end)).flatten()
}

/// Whether the rest of a line that begins with `From ` is that of a dividing line.
pub fn is_divider(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii();
    let time = |window: &[u8]| matches!(window, [a, b, b':', c, d] if [a, b, c, d].iter().all(|digit| digit.is_ascii_digit() || **digit == b' '));
    rest == b"-" || rest.windows(5).any(time)
}

impl<R: BufRead> Messages<R> {
    /// Begins at the start of a mailbox; `cap` bytes of a message are kept.
    pub fn new(reader: R, cap: usize) -> Messages<R> {
        Messages { reader, cap, taken: 0, held: Vec::new(), begun: false }
    }

    /// The next message.
    pub fn next(&mut self) -> io::Result<Option<Raw>> {
        let mut line = Vec::new();
        if !self.begun {
            self.begun = true;
            self.line(&mut line)?;
        }
        let mut raw = Raw { offset: self.taken.saturating_sub(self.held.len() as u64), bytes: Vec::new(), dropped: 0 };
        let mut any = false;
        let mut starts = true;
        loop {
            if self.held.is_empty() {
                self.line(&mut line)?;
            } else {
                line = std::mem::take(&mut self.held);
            }
            if line.is_empty() {
                return Ok(any.then_some(raw));
            }
            if starts && self.divides(&line)? {
                return Ok(Some(raw));
            }
            any = true;
            // A long line comes in pieces: only its first begins a line.
            starts = line.last() == Some(&b'\n');
            let room = self.cap.saturating_sub(raw.bytes.len()).min(line.len());
            raw.bytes.extend_from_slice(line.get(..room).unwrap_or_default());
            raw.dropped = raw.dropped.saturating_add((line.len() - room) as u64);
        }
    }

    /// Whether a line divides messages: the one behind it, which is held, must be a header.
    fn divides(&mut self, line: &[u8]) -> io::Result<bool> {
        if !line.strip_prefix(b"From ").is_some_and(is_divider) {
            return Ok(false);
        }
        let mut next = Vec::new();
        self.line(&mut next)?;
        let header = header_name(&next).is_some() || next.starts_with(b">From ");
        self.held = next;
        Ok(header)
    }

    /// Reads a line, or a piece of a long one; nothing at the end.
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<()> {
        line.clear();
        while line.len() < LINE_MOST {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let most = buffer.len().min(LINE_MOST - line.len());
            let window = buffer.get(..most).unwrap_or_default();
            let end = memchr::memchr(b'\n', window);
            let taken = end.map_or(window.len(), |at| at + 1);
            line.extend_from_slice(window.get(..taken).unwrap_or_default());
            self.reader.consume(taken);
            self.taken += taken as u64;
            if end.is_some() || taken == 0 {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(mailbox: &[u8], cap: usize) -> Vec<Raw> {
        let mut messages = Messages::new(mailbox, cap);
        std::iter::from_fn(|| messages.next().expect("memory can be read")).collect()
    }

    #[test]
    fn messages_begin_behind_dividing_lines_only() {
        let mailbox =
            b"From a@b Mon Jun  3 12:50:27 1996\nSubject: x\n\nFrom here on\nNote: none\nFrom 12:00 to 13:00\nno header\n\
            From - \nTo: y\n\nFrom c Mon Jun  3 12:50:27 1996\n";
        let messages = split(mailbox, 1000);
        let starts: Vec<_> = messages.iter().map(|raw| (raw.offset, raw.bytes.len())).collect();
        let at = |what: &[u8]| memchr::memmem::find(mailbox, what).unwrap_or_default();
        let (first, second) = (at(b"Subject"), at(b"To: y"));
        let expected = [(first as u64, at(b"From - ") - first), (second as u64, mailbox.len() - second)];
        assert_eq!(starts, expected);
        assert!(messages[1].bytes.starts_with(b"To: y") && messages[0].bytes.ends_with(b"no header\n"));
    }

    #[test]
    fn a_long_message_is_cut_and_the_next_is_whole() {
        let long = [b"From - \nA: b\n\n".as_slice(), &b"x".repeat(LINE_MOST * 2), b"\nFrom - \nC: d\n"].concat();
        let messages = split(&long, 100);
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].bytes.len() as u64 + messages[0].dropped), 6 + LINE_MOST as u64 * 2 + 1);
        assert_eq!(messages[1].bytes, b"C: d\n");
    }

    #[test]
    fn names_of_headers() {
        assert_eq!(header_name(b"Subject: x"), Some(b"Subject".as_slice()));
        assert_eq!(header_name(b"no header: x"), None);
        assert_eq!(header_name(b": x"), None);
        assert_eq!(header_name(b"http"), None);
    }
}
