//! Content-derived ids and digests.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A 16-byte id: the first half of a SHA-256 over what the thing *is*, never over when or where it was seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// Derives an id from a domain word and the parts that identify the thing, in order.
    ///
    /// Each part is preceded by its length (u64, little endian), so `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn derive(domain: &str, parts: &[&[u8]]) -> Id {
        let mut hasher = Sha256::new();
        for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut id = [0u8; 16];
        id.copy_from_slice(&hasher.finalize()[..16]);
        Id(id)
    }

    /// Reads an id written as 32 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Id> {
        let mut id = [0u8; 16];
        unhex(hex, &mut id).then_some(Id(id))
    }

    /// The bytes of the id.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A SHA-256 digest; shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Reads a digest written as 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Digest> {
        let mut digest = [0u8; 32];
        unhex(hex, &mut digest).then_some(Digest(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Fills `out` from hexadecimal digits; false unless `hex` has exactly the digits that `out` needs.
fn unhex(hex: &str, out: &mut [u8]) -> bool {
    let hex = hex.as_bytes();
    if hex.len() != out.len() * 2 {
        return false;
    }
    let digit = |byte: u8| (byte as char).to_digit(16);
    for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => *byte = (high << 4 | low) as u8,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_borders_matter() {
        assert_ne!(Id::derive("x", &[b"ab", b"c"]), Id::derive("x", &[b"a", b"bc"]));
        assert_ne!(Id::derive("x", &[b"a"]), Id::derive("y", &[b"a"]));
    }

    #[test]
    fn hex_round_trip() {
        let id = Id::derive("x", &[b"1"]);
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        assert_eq!(Id::parse("zz"), None);
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
    }
}
