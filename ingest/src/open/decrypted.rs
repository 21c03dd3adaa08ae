//! AES-256-CBC streams, as phone backups have them.

use super::Damage;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use model::Code;
use std::io::{self, Read};

/// Bytes of an AES-256 key.
pub type Key = [u8; 32];
/// Bytes of an AES block.
pub const BLOCK: usize = 16;
/// Bytes decrypted at a time.
const CHUNK: usize = 64 << 10;

/// Decrypts AES-256-CBC as it is read. The last block is cut to the size that the manifest tells, where that
/// lies in it, else by its padding (PKCS #7), else not at all.
pub struct Decrypted<R> {
    inner: R,
    cipher: cbc::Decryptor<aes::Aes256>,
    told: Option<u64>,
    /// Decrypted bytes; those from `start` to `ready` may go out, a last block waits behind them.
    buffer: Vec<u8>,
    start: usize,
    ready: usize,
    passed: u64,
    ended: bool,
}

impl<R: Read> Decrypted<R> {
    /// A reader over encrypted bytes.
    pub fn new(inner: R, key: &Key, vector: &[u8; BLOCK], told: Option<u64>) -> Decrypted<R> {
        let cipher = cbc::Decryptor::<aes::Aes256>::new(key.into(), vector.into());
        Decrypted { inner, cipher, told, buffer: Vec::new(), start: 0, ready: 0, passed: 0, ended: false }
    }

    /// Decrypts the next stretch behind the block that waits.
    fn refill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.ready);
        (self.start, self.ready) = (0, 0);
        let waiting = self.buffer.len();
        let read = self.inner.by_ref().take(CHUNK as u64).read_to_end(&mut self.buffer)?;
        let (blocks, odd) = self.buffer.get_mut(waiting..).unwrap_or_default().as_chunks_mut::<BLOCK>();
        let odd = odd.len();
        for block in blocks {
            self.cipher.decrypt_block(block.into());
        }
        if odd > 0 {
            self.ended = true;
            self.buffer.truncate(self.buffer.len() - odd);
            self.ready = self.buffer.len();
            // What came before passes; the next read tells of the loss.
            self.told = Some(u64::MAX);
        } else if read < CHUNK {
            self.ended = true;
            self.ready = self.end();
            self.buffer.truncate(self.ready);
            self.told = None;
        } else {
            self.ready = self.buffer.len().saturating_sub(BLOCK);
        }
        Ok(())
    }

    /// Where the content ends in the buffer.
    fn end(&self) -> usize {
        let all = self.buffer.len();
        let last = self.passed.saturating_add(all as u64);
        let cut = self.told.and_then(|told| last.checked_sub(told)).filter(|cut| *cut <= BLOCK as u64 && *cut <= all as u64);
        if let Some(cut) = cut {
            return all - usize::try_from(cut).unwrap_or(0);
        }
        let padding = usize::from(self.buffer.last().copied().unwrap_or(0));
        let padded = (1..=BLOCK).contains(&padding) && all >= padding;
        let kept = if padded { all - padding } else { all };
        let valid = self.buffer.get(kept..).is_some_and(|tail| tail.iter().all(|byte| usize::from(*byte) == padding));
        if valid { kept } else { all }
    }
}

impl<R: Read> Read for Decrypted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.ready && !self.ended {
            self.refill()?;
        }
        let ready = self.buffer.get(self.start..self.ready).unwrap_or_default();
        if ready.is_empty() && self.told == Some(u64::MAX) && self.ended {
            return Err(Damage::error(Code::Truncated, "encrypted content ends inside a block"));
        }
        let count = ready.len().min(buffer.len());
        let (Some(from), Some(to)) = (ready.get(..count), buffer.get_mut(..count)) else { return Ok(0) };
        to.copy_from_slice(from);
        self.start += count;
        self.passed += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::BlockModeEncrypt;

    const KEY: Key = [7; 32];

    fn encrypted(content: &[u8]) -> Vec<u8> {
        let mut content = content.to_vec();
        let mut cipher = cbc::Encryptor::<aes::Aes256>::new(&KEY.into(), &[0; BLOCK].into());
        content.as_chunks_mut::<BLOCK>().0.iter_mut().for_each(|block| cipher.encrypt_block(block.into()));
        content
    }

    fn decrypted(content: &[u8], told: Option<u64>) -> (Vec<u8>, bool) {
        let mut plain = Vec::new();
        let error = Decrypted::new(content, &KEY, &[0; BLOCK], told).read_to_end(&mut plain);
        (plain, error.is_err())
    }

    /// NIST SP 800-38A, F.2.6: CBC-AES256.Decrypt, the first block.
    #[test]
    fn the_published_vector() {
        let unhex = |hex: &str| -> Vec<u8> {
            (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect()
        };
        let key: Key = unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").try_into().unwrap();
        let vector: [u8; BLOCK] = unhex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let content = unhex("f58c4c04d6e5f1ba779eabfb5f7bfbd6");
        let mut plain = Vec::new();
        Decrypted::new(content.as_slice(), &key, &vector, Some(16)).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, unhex("6bc1bee22e409f96e93d7e117393172a"));
    }

    #[test]
    fn the_end_is_told_or_padded_or_neither() {
        let padded = encrypted(&[&[1; 20][..], &[12; 12]].concat());
        assert_eq!(decrypted(&padded, None), (vec![1; 20], false));
        assert_eq!(decrypted(&padded, Some(25)).0.len(), 25);
        assert_eq!(decrypted(&padded, Some(5)).0.len(), 20, "a size that is not in the last block says nothing");
        assert_eq!(decrypted(&encrypted(&[1; 32]), Some(32)).0.len(), 32);
        assert_eq!(decrypted(&encrypted(&[0; 32]), None).0.len(), 32, "no padding at all");
        assert_eq!(decrypted(b"", None), (Vec::new(), false));
    }

    #[test]
    fn a_torn_block_is_an_error_behind_what_is_whole() {
        let content = encrypted(&[3; 64]);
        assert_eq!(decrypted(&content[..50], Some(64)), (vec![3; 48], true));
        assert_eq!(decrypted(&content[..5], None), (Vec::new(), true));
    }
}
