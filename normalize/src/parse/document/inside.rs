//! Files that stand inside of others: attachments, members of archives, files inside of documents, in any nesting.

use super::{Pieces, html, pdf, rtf};
use crate::emit::Emit;
use model::Code;

/// Files inside of files inside of files that are opened.
const DEPTH_MOST: u32 = 8;

/// What may still be unpacked of one item.
pub struct Budget {
    depth: u32,
    left: usize,
}

impl Budget {
    /// For an item that nothing was unpacked of.
    pub fn of(limits: &config::Normalize) -> Budget {
        // A few times the largest value: an item is a whole, not one of its values.
        Budget { depth: 0, left: usize::try_from(limits.cap_value_bytes.saturating_mul(16)).unwrap_or(usize::MAX) }
    }

    /// Bytes that may still be unpacked.
    pub fn left(&self) -> usize {
        self.left
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
    } else {
        if let Some(what) = packed(bytes) {
            emit.problem(Code::Unsupported, format!("{name} at byte {}: {what} is not opened", place.0));
        }
        return false;
    }
    true
}

/// What holds further files that are packed.
fn packed(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [b'P', b'K', 3, 4, ..] => "a zip or new Office document",
        [0x1f, 0x8b, 8, ..] => "a gzip file",
        [b'7', b'z', 0xbc, 0xaf, ..] => "a 7z archive",
        [b'R', b'a', b'r', b'!', ..] => "a RAR archive",
        _ => return None,
    })
}
