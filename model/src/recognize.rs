//! Recognizing observables and secrets in bytes and text: pure functions, no I/O.
//!
//! A window of bytes is sorted into classes 64 bytes at a time ([`masks`]); where a class pattern says that something could stand
//! ([`scan`]), the recognizer of that kind looks closer. Every decision depends only on what lies within a few KiB of a find, so
//! that [`StreamScan`] can cut a stream anywhere and find the same.

mod account;
mod base58;
mod bech32;
mod context;
mod email;
mod iban;
mod masks;
pub mod phone;
mod run;
mod scan;
mod seed;
mod stream;
mod support;
mod uri;
mod url;
mod wide;

use crate::observable::{Encoding, Observable, ObservableKind, SecretKind, Validity};
use context::Reading;
pub use stream::{Mode, StreamScan};

/// What was found.
#[derive(Clone, PartialEq, Debug)]
pub enum Found {
    /// An observable.
    Observable(Observable),
    /// A secret: kind, value (words separated by one space), and what it is for (`bip39:english`, …).
    Secret {
        /// Its kind.
        kind: SecretKind,
        /// The secret.
        value: String,
        /// What it is for.
        detail: String,
    },
}

/// One find in a buffer.
#[derive(Clone, PartialEq, Debug)]
pub struct Find {
    /// What was found.
    pub found: Found,
    /// First byte: in the text, or in the whole stream.
    pub offset: u64,
    /// Bytes as stored.
    pub length: u64,
    /// How its characters are stored.
    pub encoding: Encoding,
    /// What holds up a weak value.
    pub support: Option<String>,
    /// Escaped text around it, secrets masked.
    pub context: String,
}

/// Finds observables and secrets in one text (a field of a record). Offsets are bytes of the text; both its ends are borders.
pub fn find_in_text(text: &str) -> Vec<Find> {
    let mut hits = Vec::new();
    scan::scan(text.as_bytes(), Mode::All, &mut hits, None);
    if hits.is_empty() {
        return Vec::new();
    }
    sort(&mut hits);
    let mut finds = Vec::with_capacity(hits.len());
    finish(Reading::Bytes(text.as_bytes()), hits, 0, &mut finds);
    finds
}

/// Finds in the bytes of one SQLite cell or value: UTF-8, UTF-16 or anything. Offsets are bytes; both ends are borders.
pub fn find_in_segment(bytes: &[u8]) -> Vec<Find> {
    find_in_window(bytes, Mode::All, 0)
}

/// Finds in a window of a stream; `base` is the place of its first byte in the stream.
fn find_in_window(bytes: &[u8], mode: Mode, base: u64) -> Vec<Find> {
    let mut hits = Vec::new();
    let mut marks = wide::Marks::default();
    scan::scan(bytes, mode, &mut hits, Some(&mut marks));
    sort(&mut hits);
    let mut finds = Vec::with_capacity(hits.len());
    finish(Reading::Bytes(bytes), hits, base, &mut finds);
    wide::find(bytes, &marks, mode, base, &mut finds);
    finds
}

/// A find in a window, before its surroundings are written down.
#[derive(Clone, PartialEq, Debug)]
struct Hit {
    start: usize,
    end: usize,
    found: Found,
    support: Option<String>,
}

impl Hit {
    fn observable(span: (usize, usize), kind: ObservableKind, value: String, chain: Option<&str>, validity: Validity) -> Hit {
        let observable = Observable { kind, value, chain: chain.map(str::to_owned), validity };
        Hit { start: span.0, end: span.1, found: Found::Observable(observable), support: None }
    }

    fn secret(span: (usize, usize), kind: SecretKind, value: String, detail: String) -> Hit {
        Hit { start: span.0, end: span.1, found: Found::Secret { kind, value, detail }, support: None }
    }

    fn is_secret(&self) -> bool {
        matches!(self.found, Found::Secret { .. })
    }

    /// Place first, then what was found: one order whatever order the searches ran in.
    fn key(&self) -> (usize, usize, u8, &str) {
        match &self.found {
            Found::Observable(observable) => (self.start, self.end, observable.kind as u8, &observable.value),
            Found::Secret { kind, value, .. } => (self.start, self.end, 0x80 | *kind as u8, value),
        }
    }
}

fn sort(hits: &mut Vec<Hit>) {
    hits.sort_by(|left, right| left.key().cmp(&right.key()));
    hits.dedup_by(|right, left| left.key() == right.key());
}

/// Writes down the surroundings of sorted hits.
fn finish(reading: Reading<'_>, hits: Vec<Hit>, base: u64, finds: &mut Vec<Find>) {
    let secrets: Vec<&Hit> = hits.iter().filter(|hit| hit.is_secret()).collect();
    let (encoding, width) = match reading {
        Reading::Bytes(_) => (Encoding::Utf8, 1),
        Reading::Wide(wide) => (wide.encoding, 2),
    };
    for hit in &hits {
        finds.push(Find {
            found: hit.found.clone(),
            offset: base.saturating_add((hit.start * width) as u64),
            length: ((hit.end - hit.start) * width) as u64,
            encoding,
            support: hit.support.clone(),
            context: context::around(reading, hit.start, hit.end, &secrets),
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
