//! Scanning a stream buffer by buffer.

use super::{Find, find_in_window};

/// Which finds are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// All of them.
    All,
    /// Only those whose checksum was verified: for raw bytes of SQLite files, whose cells are scanned apart.
    ChecksumOnly,
}

/// How far before a find lies what decides about it (in bytes): its context, a secret in it, the words before a seed phrase.
const BEFORE: usize = 3 * 1024;
/// How far behind the start of a find lies what decides about it: the longest URL in UTF-16, its context.
const BEHIND: usize = 7 * 1024;
/// Bytes gathered before anything is scanned: small buffers are joined.
const GATHER: usize = 4 * (BEFORE + BEHIND);

/// A scan of one stream. Only the ends of buffers are copied; finds come out in the order of their offsets, the same for every way
/// the stream is cut.
pub struct StreamScan {
    mode: Mode,
    /// The last bytes before `position`.
    carry: Vec<u8>,
    /// Bytes pushed so far.
    position: u64,
    /// Finds that begin before this place are out.
    reported: u64,
}

impl StreamScan {
    /// Begins.
    pub fn new(mode: Mode) -> StreamScan {
        StreamScan { mode, carry: Vec::new(), position: 0, reported: 0 }
    }

    /// Takes the next bytes. Offsets of finds are of the whole stream.
    pub fn push(&mut self, bytes: &[u8], found: &mut dyn FnMut(Find)) {
        if self.carry.len().saturating_add(bytes.len()) < GATHER {
            self.carry.extend_from_slice(bytes);
            self.position = self.position.saturating_add(bytes.len() as u64);
            return;
        }
        let start = self.position;
        // The seam: what was carried, and as much of the buffer as finds that begin before it and their margins need.
        let head = bytes.len().min(BEFORE + BEHIND);
        let seam_start = start.saturating_sub(self.carry.len() as u64);
        self.carry.extend_from_slice(bytes.get(..head).unwrap_or(bytes));
        self.position = start.saturating_add(bytes.len() as u64);
        let seam_end = start.saturating_add(head as u64);
        if !self.carry.is_empty() {
            let carry = std::mem::take(&mut self.carry);
            self.report(&carry, seam_start, seam_end.saturating_sub(BEHIND as u64), found);
            self.carry = carry;
        }
        if head < bytes.len() {
            self.report(bytes, start, self.position.saturating_sub(BEHIND as u64), found);
            self.carry.clear();
            self.carry.extend_from_slice(bytes.get(bytes.len().saturating_sub(BEFORE + BEHIND)..).unwrap_or(bytes));
        } else {
            let surplus = self.carry.len().saturating_sub(BEFORE + BEHIND);
            self.carry.drain(..surplus);
        }
    }

    /// Ends the stream: its end is a border.
    pub fn finish(&mut self, found: &mut dyn FnMut(Find)) {
        let carry = std::mem::take(&mut self.carry);
        let start = self.position.saturating_sub(carry.len() as u64);
        self.report(&carry, start, u64::MAX, found);
    }

    /// Scans a window and reports finds that begin from `reported` to before `upto`.
    fn report(&mut self, window: &[u8], start: u64, upto: u64, found: &mut dyn FnMut(Find)) {
        for find in find_in_window(window, self.mode, start) {
            if (self.reported..upto).contains(&find.offset) {
                found(find);
            }
        }
        self.reported = self.reported.max(upto);
    }
}
