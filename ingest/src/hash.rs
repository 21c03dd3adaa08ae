//! The hashes of an item, computed while its bytes pass.

use config::HashName;
use model::Digest;
use sha2::Digest as _;

/// SHA-256 always; SHA-1 and MD5 if configured.
pub struct Hashes {
    sha256: sha2::Sha256,
    sha1: Option<sha1::Sha1>,
    md5: Option<md5::Md5>,
}

impl Hashes {
    /// Begins an item.
    pub fn new(names: &[HashName]) -> Hashes {
        Hashes {
            sha256: sha2::Sha256::new(),
            sha1: names.contains(&HashName::Sha1).then(sha1::Sha1::new),
            md5: names.contains(&HashName::Md5).then(md5::Md5::new),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// Ends the item: SHA-256, then SHA-1 and MD5 as lower-case hex.
    pub fn finish(self) -> (Digest, Option<String>, Option<String>) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sha1 = self.sha1.map(|hasher| hex(&hasher.finalize()));
        let md5 = self.md5.map(|hasher| hex(&hasher.finalize()));
        (Digest(self.sha256.finalize().into()), sha1, md5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_of_abc() {
        // FIPS 180-4 and RFC 1321 examples.
        let mut hashes = Hashes::new(&[HashName::Sha256, HashName::Sha1, HashName::Md5]);
        hashes.update(b"a");
        hashes.update(b"bc");
        let (sha256, sha1, md5) = hashes.finish();
        assert_eq!(sha256.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha1.unwrap(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(md5.unwrap(), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(Hashes::new(&[HashName::Sha256]).finish().1, None);
    }
}
