//! Recognizing observables and secrets in bytes and text.

use crate::observable::{Encoding, Observable, SecretKind};

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
    /// First byte in the buffer.
    pub offset: usize,
    /// Bytes as stored.
    pub length: usize,
    /// How its characters are stored.
    pub encoding: Encoding,
    /// What holds up a weak value.
    pub support: Option<String>,
    /// Escaped text around it, secrets masked.
    pub context: String,
}
