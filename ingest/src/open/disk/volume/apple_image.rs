//! Encrypted disk images of Apple (`hdiutil create -encryption`, FileVault before Mac OS X 10.7): AES in CBC, block by block, each block's
//! vector made from its number with a second key; both keys lie in the header, encrypted with what a password becomes. Version 2.
//! Format: J. Appelbaum, R.-P. Weinmann, "Unlocking FileVault" (23C3, 2006); J. Metz, "Mac OS disk image types" (libmodi).

use super::super::fields::{length, slice, some, u32be, u64be};
use super::luks::check_rounds;
use super::sectors::Aes;
use crate::evidence::{Beneath, Positioned, Source};
use crate::open::{Damage, Trouble};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use hmac::{Hmac, Mac};
use model::Code;
use pbkdf2::pbkdf2_hmac;
use std::io;
use std::sync::Arc;

/// What an image of version 2 begins with.
pub const MAGIC: &[u8] = b"encrcdsa";
/// What a password has to open.
pub const NEEDS: &str = "password of an encrypted disk image";

/// Bytes of the header that is read; keys that lie beyond it are none.
const HEADER_BYTES: usize = 64 << 10;
/// A key's entry in the list: kind, place, size.
const ENTRY_BYTES: usize = 20;
/// Keys that are tried.
const KEYS_MAX: u32 = 32;
/// The kind of a key that a password opens; others are opened by a certificate or a key chain.
const BY_PASSWORD: u32 = 1;
/// What encrypts the keys, as CSSM numbers it.
const TRIPLE_DES: u32 = 17;
const AES: u32 = 0x8000_0001;
/// Bytes of the key that makes the vectors.
const VECTOR_KEY_BYTES: usize = 20;
const CIPHER_BLOCK: usize = 16;
/// Bytes decrypted at a time, and a block at least.
const STEP: usize = 64 << 10;
/// Blocks that an image may have.
const BLOCK_BYTES: std::ops::RangeInclusive<u32> = 512..=1 << 20;

/// The decrypted image; a trouble says which key is wanted, or what about it is not known.
pub fn unlock(volume: &Source, passwords: &[String]) -> Result<Source, Trouble> {
    let header = some(volume, 0, HEADER_BYTES).map_err(|error| Trouble::of(&error))?;
    let (version, block, key_bits) = (u32be(&header, 8), u32be(&header, 52), u32be(&header, 24));
    let known = version == 2 && u32be(&header, 20) == AES && [128, 256].contains(&key_bits) && BLOCK_BYTES.contains(&block);
    if !known || !length(block).is_multiple_of(CIPHER_BLOCK) {
        let detail = format!("{NEEDS}, and a reader of its version {version}, AES of {key_bits} bits in blocks of {block} bytes");
        return Err(Trouble::new(Code::Encrypted, detail));
    }
    let (size, start) = (u64be(&header, 56), u64be(&header, 64));
    let mut failed = None;
    for entry in (0..u32be(&header, 72).min(KEYS_MAX)).map(|at| slice(&header, 76 + at as usize * ENTRY_BYTES, ENTRY_BYTES)) {
        let wrapped = slice(&header, length(u64be(entry, 4)), length(u64be(entry, 12)));
        for password in passwords.iter().filter(|_| u32be(entry, 0) == BY_PASSWORD) {
            match open(wrapped, password, key_bits as usize / 8) {
                Ok(Some((data, vector))) => {
                    let plain = Plain { volume: volume.clone(), start, size, block: block.into(), data, vector };
                    return Ok(Source::Virtual(Arc::new(plain)));
                }
                Ok(None) => {}
                Err(error) => failed = Some(Trouble::of(&error)),
            }
        }
    }
    let tried = if passwords.is_empty() { "" } else { "; none of those given fits" };
    Err(failed.unwrap_or_else(|| Trouble::new(Code::Encrypted, format!("{NEEDS}{tried}"))))
}

/// The cipher of the data and the key of the vectors that a password opens; `None` if it does not fit.
fn open(wrapped: &[u8], password: &str, key_bytes: usize) -> io::Result<Option<(Aes, Hmac<sha1::Sha1>)>> {
    let rounds = u32be(wrapped, 8);
    check_rounds(rounds)?;
    let salt = slice(wrapped, 16, length(u32be(wrapped, 12)).min(32));
    let (bits, algorithm) = (u32be(wrapped, 84), u32be(wrapped, 88));
    let secret = slice(wrapped, 104, length(u32be(wrapped, 100)));
    let mut key = [0; 24];
    pbkdf2_hmac::<sha1_next::Sha1>(password.as_bytes(), salt, rounds, &mut key);
    if (algorithm, bits) != (TRIPLE_DES, 192) {
        let detail = format!("{NEEDS}, and a reader of keys encrypted by algorithm {algorithm} with {bits} bits");
        return Err(Damage::error(Code::Encrypted, &detail));
    }
    let keys = opened(&key, slice(wrapped, 52, 8), secret);
    // The padding of a wrong key fits once in 256 times, these letters do not besides.
    let Some(keys) = keys.filter(|keys| slice(keys, key_bytes + VECTOR_KEY_BYTES, 4) == b"CKIE") else { return Ok(None) };
    let vector = Hmac::new_from_slice(slice(&keys, key_bytes, VECTOR_KEY_BYTES)).map_err(io::Error::other)?;
    Ok(Aes::new(slice(&keys, 0, key_bytes)).map(|data| (data, vector)))
}

/// Takes encryption and padding away; `None` where the padding is none.
fn opened(key: &[u8; 24], vector: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = secret.to_vec();
    let cipher = cbc::Decryptor::<des::TdesEde3>::new_from_slices(key, vector).ok()?;
    Some(cipher.decrypt_padded::<Pkcs7>(&mut bytes).ok()?.to_vec())
}

/// An image, decrypted as it is read.
struct Plain {
    volume: Source,
    /// First encrypted byte, and how many bytes the disk has.
    start: u64,
    size: u64,
    /// Bytes of a block.
    block: u64,
    data: Aes,
    vector: Hmac<sha1::Sha1>,
}

impl Positioned for Plain {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = length(self.size.saturating_sub(offset)).min(buffer.len());
        if left == 0 {
            return Ok(0);
        }
        let (first, within) = (offset / self.block, length(offset % self.block));
        let wanted = (within + left).next_multiple_of(length(self.block)).min(length(self.block).max(STEP));
        let mut bytes = some(&self.volume, self.start.saturating_add(first * self.block), wanted)?;
        // A torn last block is not decrypted: it is told as missing when it is read.
        let whole = bytes.len() / length(self.block) * length(self.block);
        if whole == 0 {
            let detail = format!("the image ends before block {first} of its disk");
            return Err(Damage::error(Code::Truncated, &detail));
        }
        bytes.truncate(whole);
        for (block, number) in bytes.chunks_exact_mut(length(self.block)).zip(first..) {
            // Numbers of blocks are 32 bits wide in the format, too.
            let made = self.vector.clone().chain_update((number as u32).to_be_bytes()).finalize().into_bytes();
            let mut vector = [0; CIPHER_BLOCK];
            vector.copy_from_slice(&made[..CIPHER_BLOCK]);
            self.data.decrypt_cbc(block, vector);
        }
        let ready = bytes.get(within..).unwrap_or_default();
        let count = ready.len().min(left);
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn beneath(&self, offset: u64) -> Option<Beneath> {
        let start = self.start.checked_add(offset / self.block * self.block)?;
        Some(Beneath { source: self.volume.clone(), start, length: self.block, packed: true })
    }

    fn label(&self) -> Option<&'static str> {
        Some("image")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(header: Vec<u8>) -> (Code, String) {
        let trouble = unlock(&Source::Memory(header.into()), &["x".to_owned()]).err().unwrap();
        (trouble.code, trouble.detail)
    }

    fn header(rounds: u32, algorithm: u32) -> Vec<u8> {
        let mut header = vec![0; 1024];
        header[..8].copy_from_slice(MAGIC);
        let numbers: [(usize, u32); 12] = [
            (8, 2),
            (20, AES),
            (24, 128),
            (52, 4096),
            (72, 1),
            (76, BY_PASSWORD),
            (84, 96),
            (92, 616),
            (96 + 8, rounds),
            (96 + 84, 192),
            (96 + 88, algorithm),
            (96 + 100, 48),
        ];
        for (at, number) in numbers {
            header[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        header
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert_eq!(told(header(1, TRIPLE_DES)), (Code::Encrypted, format!("{NEEDS}; none of those given fits")));
        assert!(told(header(1, 99)).1.contains("algorithm 99"));
        assert_eq!(told(header(u32::MAX, TRIPLE_DES)).0, Code::Unsupported);
        let mut old = header(1, TRIPLE_DES);
        old[11] = 3;
        assert!(told(old).1.contains("version 3"));
        let mut odd = header(1, TRIPLE_DES);
        odd[52..56].copy_from_slice(&1000u32.to_be_bytes());
        assert!(told(odd).1.contains("1000 bytes"));
        assert!(told(MAGIC.to_vec()).1.contains("version 0"));
    }
}
