//! Files that stand inside of others: attachments, members of archives, files inside of documents, in any nesting.

mod archive;

use super::{Pieces, html, ole, pdf, rtf};
use crate::emit::Emit;
use crate::parse::picture;
use model::Code;

/// Files inside of files inside of files that are opened.
const DEPTH_MOST: u32 = 8;

/// What may still be unpacked of one item.
pub struct Budget {
    depth: u32,
    left: usize,
    /// Bytes that may come out of one packed file.
    most: usize,
    /// Most pixels of a picture that is searched for QR codes.
    qr_pixels_most: u64,
}

impl Budget {
    /// For an item that nothing was unpacked of.
    pub fn of(limits: &config::Normalize) -> Budget {
        let most = usize::try_from(limits.cap_value_bytes).unwrap_or(usize::MAX);
        // A few times the largest value: an item is a whole, not one of its values.
        Budget { depth: 0, left: most.saturating_mul(16), most, qr_pixels_most: limits.qr_pixels_most }
    }

    /// Bytes that may still be unpacked.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Bytes that the next packed file may give.
    pub fn room(&self) -> usize {
        self.left.min(self.most)
    }

    /// Takes from what may be unpacked.
    pub fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

/// Reads a file that stands encoded in the item, by its content. False: nothing here knows it, and its bytes are the caller's to have
/// searched. `place` is where it is encoded: first byte and bytes.
pub fn read(bytes: &[u8], name: &str, place: (u64, u64), emit: &mut Emit<'_>, budget: &mut Budget) -> bool {
    if budget.depth >= DEPTH_MOST {
        emit.problem(Code::CapDepth, format!("{name}: inside {DEPTH_MOST} files, not opened"));
        return false;
    }
    budget.depth += 1;
    let known = open(bytes, name, place, emit, budget);
    budget.depth -= 1;
    known
}

fn open(bytes: &[u8], name: &str, place: (u64, u64), emit: &mut Emit<'_>, budget: &mut Budget) -> bool {
    if html::is_html(bytes) {
        let mut pieces = Pieces::within(emit, name, place);
        html::read(bytes, None, &mut pieces);
        pieces.finish();
    } else if rtf::is_rtf(bytes) {
        let mut pieces = Pieces::within(emit, name, place);
        rtf::read(bytes, &mut pieces);
        pieces.finish();
    } else if pdf::is_pdf(bytes) {
        pdf::read(bytes.to_vec(), &mut Pieces::within(emit, name, place), budget);
    } else if ole::is_ole(bytes) {
        // What cannot be read of it is told by its reader.
        let _whole = ole::read(bytes, name, place, emit, budget);
    } else if picture::is_picture(bytes) {
        if let Err(reason) = picture::codes(bytes, name, place, budget.qr_pixels_most, emit) {
            emit.problem(Code::Unsupported, format!("{name}: {reason}"));
        }
        // Its bytes may hold texts, too.
        return false;
    } else if !archive::open(bytes, name, place, emit, budget) {
        if let Some(what) = unopened(bytes) {
            emit.problem(Code::Unsupported, format!("{name} at byte {}: {what} is not opened", place.0));
        }
        return false;
    }
    true
}

/// What holds further files that are packed, and is not opened here.
fn unopened(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [b'7', b'z', 0xbc, 0xaf, ..] => "a 7z archive",
        [b'R', b'a', b'r', b'!', ..] => "a RAR archive",
        [b'B', b'Z', b'h', ..] => "a bzip2 file",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "an xz file",
        _ => return None,
    })
}
