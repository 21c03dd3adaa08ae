//! The text that is signed: a C2SP tlog-checkpoint (origin, size, root), <https://c2sp.org/tlog-checkpoint>.

use model::Digest;

/// Namespace of the signature (`ssh-keygen -Y verify -n haul-bundle`).
pub const NAMESPACE: &str = "haul-bundle";

/// The name of a bundle's tree: who sealed it, of which case and exhibit. A C2SP origin has no spaces and no plus signs.
pub fn origin(fingerprint: Option<&str>, case_label: &str, number: &str) -> String {
    let unit = fingerprint.map_or_else(|| "unsigned".to_owned(), escape);
    format!("haul/{unit}/{}/{}", escape(case_label), escape(number))
}

/// The name of a merged bundle's tree: who joined it, of how many parts and which (SHA-256 over their sorted ids). Five components,
/// so that it is never the name of an exhibit's tree.
pub fn merged_origin(fingerprint: Option<&str>, parts: usize, of: Digest) -> String {
    let unit = fingerprint.map_or_else(|| "unsigned".to_owned(), escape);
    format!("haul/{unit}/merged/{parts}/{of}")
}

/// Percent-encodes all but letters, digits, `-`, `.`, `_`, `~` and `:`: two names never become one.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The checkpoint's three lines.
pub fn text(origin: &str, size: u64, root: Digest) -> String {
    format!("{origin}\n{size}\n{}\n", base64(&root.0))
}

/// Standard base64 with padding (RFC 4648 §4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 §10.
    #[test]
    fn base64_vectors() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn names_never_meet() {
        assert_eq!(origin(None, "a/b", "1 +"), "haul/unsigned/a%2Fb/1%20%2B");
        assert_ne!(origin(None, "a", "b/c"), origin(None, "a/b", "c"));
    }
}
