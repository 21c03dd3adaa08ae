//! PDF: what pages show, the strings of every object (links, form fields, notes, titles), streams of other kinds, files inside, and
//! what earlier states of the file hold.
//!
//! Syntax, filters' parameters and encryption are the `hayro-syntax` library's, which mends a broken table of objects; unpacking is
//! bounded here ([`filter`]). A file of which the library makes nothing still gives the streams that stand in it.

mod filter;
mod font;
mod reading;
mod salvage;
#[cfg(test)]
mod tests;
mod text;
mod widths;

use super::Pieces;
use super::inside::Budget;
use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use hayro_syntax::{DecryptionError, LoadPdfError, Pdf};
use model::Code;
use std::sync::Arc;

/// Largest document that is read: it is held in memory, with what is unpacked of it.
const DOCUMENT_MOST: u64 = 192 << 20;
/// The parser of PDF.
pub struct PdfDocument;

/// How a document ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Read whole.
    Whole,
    /// Read in part.
    Partial,
    /// It wants a password.
    Locked,
}

impl Parser for PdfDocument {
    fn name(&self) -> &'static str {
        "pdf"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        is_pdf(input.head)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(DOCUMENT_MOST, "document", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let mut pieces = Pieces::new(emit);
        match read(content, &mut pieces, &mut Budget::of(input.limits)) {
            End::Whole => Outcome::parsed(),
            End::Partial => Outcome::partial("a document that could not be read whole"),
            End::Locked => Outcome::locked("needs the document's password"),
        }
    }
}

/// Whether content is PDF: its mark stands within the first kilobyte.
pub fn is_pdf(head: &[u8]) -> bool {
    let start = head.get(..1024).unwrap_or(head);
    memchr::memmem::find(start, b"%PDF-").is_some_and(|at| {
        // A page or script that speaks of the mark is none.
        at == 0 || start.get(..at).is_some_and(|before| before.iter().all(|byte| byte.is_ascii_whitespace() || !byte.is_ascii()))
    })
}

/// Reads a document.
pub fn read(content: Vec<u8>, pieces: &mut Pieces<'_, '_>, budget: &mut Budget) -> End {
    let content = Arc::new(content);
    let result = match Pdf::new(Arc::clone(&content)) {
        Ok(pdf) => reading::read(&pdf, &content, pieces, budget),
        Err(LoadPdfError::Decryption(DecryptionError::PasswordProtected)) => {
            pieces.problem(Code::Encrypted, "needs the document's password");
            End::Locked
        }
        Err(LoadPdfError::Decryption(error)) => {
            pieces.problem(Code::Unsupported, &format!("encrypted in a way that is not read ({error:?})"));
            End::Locked
        }
        Err(LoadPdfError::Invalid) => {
            pieces.problem(Code::DocumentDamaged, "no table of objects: its streams are read one by one");
            salvage::read(&content, pieces, budget);
            End::Partial
        }
    };
    pieces.finish();
    result
}
