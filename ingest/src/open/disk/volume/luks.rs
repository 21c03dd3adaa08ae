//! LUKS 1 with a passphrase: the key of the volume lies in up to eight slots, spread over many stripes and encrypted with what a
//! passphrase becomes. Format: C. Fruhwirth, "LUKS On-Disk Format Specification" 1.2.3. LUKS 2 is in `luks2.rs`.

use super::super::fields::{exact, length, slice, u16be, u32be};
use super::sectors::{Cipher, Plain, SECTOR};
use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;
use pbkdf2::pbkdf2_hmac;
use pbkdf2::sha2::{Sha256, Sha512};
use sha1_next::{Digest, Sha1};
use std::io;
use std::sync::Arc;

/// Bytes of the header.
const HEADER_BYTES: usize = 592;
/// Where the first of eight slots stands, and the bytes of one.
const SLOTS: usize = 208;
const SLOT_BYTES: usize = 48;
/// What a slot in use begins with.
const IN_USE: u32 = 0x00ac_71f3;
/// Rounds that a header may ask for: ten times what cryptsetup's two seconds are on a fast machine.
const ROUNDS_MAX: u32 = 50_000_000;
/// Stripes and bytes of a key that are believed.
pub const STRIPES_MAX: u32 = 16_000;
pub const KEY_BYTES_MAX: u32 = 64;

/// What a header tells.
struct Header {
    cipher: String,
    mode: String,
    hash: Hash,
    payload: u64,
    key_bytes: usize,
    /// What the right key becomes, with its salt and rounds.
    digest: Vec<u8>,
    salt: Vec<u8>,
    rounds: u32,
}

/// A hash that a header names.
#[derive(Clone, Copy)]
pub enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    /// The hash of a name; `None` for one that is not known.
    pub fn named(name: &str) -> Option<Hash> {
        Some(match name {
            "sha1" => Hash::Sha1,
            "sha256" => Hash::Sha256,
            "sha512" => Hash::Sha512,
            _ => return None,
        })
    }

    /// PBKDF2 with it.
    pub fn derive(self, password: &[u8], salt: &[u8], rounds: u32, bytes: usize) -> Vec<u8> {
        let mut key = vec![0; bytes];
        match self {
            Hash::Sha1 => pbkdf2_hmac::<Sha1>(password, salt, rounds, &mut key),
            Hash::Sha256 => pbkdf2_hmac::<Sha256>(password, salt, rounds, &mut key),
            Hash::Sha512 => pbkdf2_hmac::<Sha512>(password, salt, rounds, &mut key),
        }
        key
    }

    /// Each block of a digest's length becomes the hash of its number and itself.
    fn diffuse(self, bytes: &[u8]) -> Vec<u8> {
        fn all<D: Digest>(bytes: &[u8]) -> Vec<u8> {
            let block = <D as Digest>::output_size();
            let hashed = bytes.chunks(block).zip(0u32..).flat_map(|(part, number)| {
                let hash = D::new().chain_update(number.to_be_bytes()).chain_update(part).finalize();
                hash.as_slice().iter().copied().take(part.len()).collect::<Vec<u8>>()
            });
            hashed.collect()
        }
        match self {
            Hash::Sha1 => all::<Sha1>(bytes),
            Hash::Sha256 => all::<Sha256>(bytes),
            Hash::Sha512 => all::<Sha512>(bytes),
        }
    }

    /// The key out of its stripes: all of them are needed, so that few overwritten bytes destroy it.
    pub fn merge(self, stripes: &[u8], key_bytes: usize) -> Vec<u8> {
        let mut key = vec![0u8; key_bytes];
        let mut left = stripes.chunks_exact(key_bytes.max(1)).peekable();
        while let Some(stripe) = left.next() {
            key.iter_mut().zip(stripe).for_each(|(byte, other)| *byte ^= other);
            if left.peek().is_some() {
                key = self.diffuse(&key);
            }
        }
        key
    }
}

/// The decrypted volume; a trouble says which key is wanted, or what about it is not known.
pub fn unlock(volume: &Source, passwords: &[String]) -> Result<Source, Trouble> {
    let raw = exact(volume, 0, HEADER_BYTES).map_err(|error| Trouble::of(&error))?;
    if u16be(&raw, 6) == 2 {
        return super::luks2::unlock(volume, passwords);
    }
    let header = Header::read(&raw)?;
    let mut failed = None;
    for slot in (0..8).map(|slot| slice(&raw, SLOTS + slot * SLOT_BYTES, SLOT_BYTES)).filter(|slot| u32be(slot, 0) == IN_USE) {
        for password in passwords {
            match header.open(volume, slot, password) {
                Ok(Some(cipher)) => {
                    return Ok(Source::Virtual(Arc::new(Plain {
                        volume: volume.clone(),
                        start: header.payload,
                        bytes: u64::MAX,
                        counted: 0,
                        cipher: Arc::new(cipher),
                    })));
                }
                Ok(None) => {}
                Err(error) => failed = Some(Trouble::of(&error)),
            }
        }
    }
    let tried = if passwords.is_empty() { "" } else { "; none of those given fits" };
    Err(failed.unwrap_or_else(|| Trouble::new(Code::Encrypted, format!("LUKS passphrase{tried}"))))
}

impl Header {
    fn read(raw: &[u8]) -> Result<Header, Trouble> {
        let locked = |detail: String| Trouble::new(Code::Encrypted, detail);
        if u16be(raw, 6) != 1 {
            return Err(locked(format!("LUKS passphrase, and a reader of LUKS {}", u16be(raw, 6))));
        }
        let text = |at| {
            let bytes = slice(raw, at, 32).split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let (cipher, mode, hash) = (text(8), text(40), text(72));
        let key_bytes = u32be(raw, 108);
        let known = Hash::named(&hash).filter(|_| (16..=KEY_BYTES_MAX).contains(&key_bytes));
        let known = known.filter(|_| Cipher::new(&cipher, &mode, &vec![0; length(key_bytes)]).is_some());
        let Some(known) = known else {
            let named = model::text::escape(&format!("{cipher}, {mode}, {hash}"));
            return Err(locked(format!("LUKS passphrase, and a reader of {named}, key of {key_bytes} bytes")));
        };
        let rounds = u32be(raw, 164);
        let payload = u64::from(u32be(raw, 104)) * SECTOR as u64;
        let (digest, salt) = (slice(raw, 112, 20).to_vec(), slice(raw, 132, 32).to_vec());
        check_rounds(rounds).map_err(|error| Trouble::of(&error))?;
        Ok(Header { cipher, mode, hash: known, payload, key_bytes: length(key_bytes), digest, salt, rounds })
    }

    /// What a password in a slot opens; `None` if it does not fit.
    fn open(&self, volume: &Source, slot: &[u8], password: &str) -> io::Result<Option<Cipher>> {
        let (rounds, salt, at, stripes) = (u32be(slot, 4), slice(slot, 8, 32), u32be(slot, 40), u32be(slot, 44));
        check_rounds(rounds)?;
        if !(1..=STRIPES_MAX).contains(&stripes) {
            return Err(super::super::fields::damaged(&format!("key slot of {stripes} stripes")));
        }
        let bytes = length(stripes).saturating_mul(self.key_bytes);
        let mut material = exact(volume, u64::from(at) * SECTOR as u64, bytes.next_multiple_of(SECTOR))?;
        let key = self.hash.derive(password.as_bytes(), salt, rounds, self.key_bytes);
        let Some(cipher) = Cipher::new(&self.cipher, &self.mode, &key) else { return Ok(None) };
        cipher.decrypt(&mut material, 0);
        let key = self.hash.merge(material.get(..bytes).unwrap_or_default(), self.key_bytes);
        let fits = self.hash.derive(&key, &self.salt, self.rounds, self.digest.len()) == self.digest;
        Ok(Cipher::new(&self.cipher, &self.mode, &key).filter(|_| fits))
    }
}

/// An error if nobody would ask for that many rounds.
pub fn check_rounds(rounds: u32) -> io::Result<()> {
    if (1..=ROUNDS_MAX).contains(&rounds) {
        return Ok(());
    }
    let detail = format!("the volume asks for {rounds} rounds to derive its key");
    Err(crate::open::Damage::error(Code::Unsupported, &detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cipher: &str, mode: &str, hash: &str, key_bytes: u32, rounds: u32) -> Vec<u8> {
        let mut raw = vec![0; HEADER_BYTES];
        raw[..8].copy_from_slice(b"LUKS\xba\xbe\0\x01");
        for (at, text) in [(8, cipher), (40, mode), (72, hash)] {
            raw[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        raw[104..108].copy_from_slice(&8u32.to_be_bytes());
        raw[108..112].copy_from_slice(&key_bytes.to_be_bytes());
        raw[164..168].copy_from_slice(&rounds.to_be_bytes());
        raw
    }

    fn told(raw: Vec<u8>) -> (Code, String) {
        let trouble = unlock(&Source::Memory(raw.into()), &["x".to_owned()]).err().unwrap();
        (trouble.code, trouble.detail)
    }

    #[test]
    fn what_is_not_known_is_named() {
        let serpent = told(header("serpent", "xts-plain64", "sha256", 64, 1000));
        let expected = "LUKS passphrase, and a reader of serpent, xts-plain64, sha256, key of 64 bytes";
        assert_eq!(serpent, (Code::Encrypted, expected.to_owned()));
        assert!(told(header("aes", "xts-plain64", "whirlpool", 64, 1000)).1.contains("whirlpool"));
        assert!(told(header("aes", "xts-plain64", "sha1", u32::MAX, 1000)).1.contains("4294967295"));
        assert_eq!(told(header("aes", "xts-plain64", "sha1", 64, u32::MAX)).0, Code::Unsupported);
        assert_eq!(told(header("aes", "xts-plain64", "sha1", 64, 1000)).1, "LUKS passphrase; none of those given fits");
        assert_eq!(told(vec![0; 100]).0, Code::Truncated);
    }

    #[test]
    fn slots_that_lie_open_nothing() {
        for (at, stripes) in [(u32::MAX, 4000u32), (1, u32::MAX), (1, 0), (100, 4000)] {
            let mut raw = header("aes", "xts-plain64", "sha256", 64, 1);
            raw[SLOTS..SLOTS + 4].copy_from_slice(&IN_USE.to_be_bytes());
            raw[SLOTS + 4..SLOTS + 8].copy_from_slice(&1u32.to_be_bytes());
            raw[SLOTS + 40..SLOTS + 44].copy_from_slice(&at.to_be_bytes());
            raw[SLOTS + 44..SLOTS + 48].copy_from_slice(&stripes.to_be_bytes());
            raw.resize(200_000, 7);
            assert!([Code::Truncated, Code::ContainerDamaged].contains(&told(raw).0), "{at} {stripes}");
        }
    }
}
