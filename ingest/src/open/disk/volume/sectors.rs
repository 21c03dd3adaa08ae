//! Volumes encrypted sector by sector with AES: XTS (IEEE 1619) and CBC, with the vectors that dm-crypt names `plain`, `plain64` and
//! `essiv`. Format: the kernel's documentation of dm-crypt.

use super::super::fields::{length, some};
use crate::evidence::{Beneath, Positioned, Source};
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};
use pbkdf2::sha2::Sha256;
use sha1_next::Digest;
use std::io;

/// Bytes of a sector, which is what a vector counts, and of a block.
pub const SECTOR: usize = 512;
const BLOCK: usize = 16;
/// Sectors decrypted at a time.
const STEP: usize = 128;

/// AES with a key of any length.
enum Aes {
    Short(Box<Aes128>),
    Middle(Box<Aes192>),
    Long(Box<Aes256>),
}

impl Aes {
    fn new(key: &[u8]) -> Option<Aes> {
        Some(match key.len() {
            16 => Aes::Short(Box::new(Aes128::new_from_slice(key).ok()?)),
            24 => Aes::Middle(Box::new(Aes192::new_from_slice(key).ok()?)),
            32 => Aes::Long(Box::new(Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        })
    }

    fn encrypt(&self, block: &mut [u8; BLOCK]) {
        match self {
            Aes::Short(aes) => aes.encrypt_block(block.into()),
            Aes::Middle(aes) => aes.encrypt_block(block.into()),
            Aes::Long(aes) => aes.encrypt_block(block.into()),
        }
    }

    /// Blocks side by side: the processor does several at once.
    fn decrypt(&self, blocks: &mut [Block]) {
        match self {
            Aes::Short(aes) => aes.decrypt_blocks(blocks),
            Aes::Middle(aes) => aes.decrypt_blocks(blocks),
            Aes::Long(aes) => aes.decrypt_blocks(blocks),
        }
    }
}

/// How a sector's number becomes the vector of CBC.
enum Vector {
    /// The lowest 32 bits.
    Plain,
    /// 64 bits.
    Plain64,
    /// Encrypted with the key's hash.
    Essiv(Aes),
}

/// A cipher of whole sectors.
pub struct Cipher {
    data: Aes,
    mode: Mode,
}

enum Mode {
    /// With the second half of the key, which encrypts the number; of 32 bits or 64.
    Xts(Aes, bool),
    Cbc(Vector),
}

impl Cipher {
    /// A cipher as dm-crypt names it (`aes`, `xts-plain64`); `None` if there is none of that name, or the key does not fit.
    pub fn new(name: &str, mode: &str, key: &[u8]) -> Option<Cipher> {
        if name != "aes" {
            return None;
        }
        let (data, mode) = match mode {
            "xts-plain" | "xts-plain64" => {
                let (data, tweak) = key.split_at(key.len() / 2);
                (Aes::new(data)?, Mode::Xts(Aes::new(tweak)?, mode == "xts-plain"))
            }
            "cbc-plain" => (Aes::new(key)?, Mode::Cbc(Vector::Plain)),
            "cbc-plain64" => (Aes::new(key)?, Mode::Cbc(Vector::Plain64)),
            "cbc-essiv:sha256" => (Aes::new(key)?, Mode::Cbc(Vector::Essiv(Aes::new(&Sha256::digest(key))?))),
            _ => return None,
        };
        Some(Cipher { data, mode })
    }

    /// Decrypts whole sectors, the first of which has that number.
    pub fn decrypt(&self, bytes: &mut [u8], first: u64) {
        for (sector, number) in bytes.as_chunks_mut::<SECTOR>().0.iter_mut().zip(first..) {
            let mut vector = number_of(number, matches!(self.mode, Mode::Xts(_, true) | Mode::Cbc(Vector::Plain)));
            match &self.mode {
                Mode::Xts(tweak, _) => {
                    tweak.encrypt(&mut vector);
                    self.xts(sector, vector);
                }
                Mode::Cbc(Vector::Essiv(salted)) => {
                    salted.encrypt(&mut vector);
                    self.cbc(sector, vector);
                }
                Mode::Cbc(_) => self.cbc(sector, vector),
            }
        }
    }

    fn xts(&self, sector: &mut [u8; SECTOR], first: [u8; BLOCK]) {
        let mut tweak = u128::from_le_bytes(first);
        let mut tweaks = [0u128; SECTOR / BLOCK];
        for place in &mut tweaks {
            *place = tweak;
            // Times x in GF(2^128), whose polynomial has the low bits 0x87.
            tweak = tweak << 1 ^ if tweak >> 127 == 1 { 0x87 } else { 0 };
        }
        let mut blocks = [Block::default(); SECTOR / BLOCK];
        for ((block, packed), tweak) in blocks.iter_mut().zip(sector.as_chunks::<BLOCK>().0).zip(&tweaks) {
            *block = (u128::from_le_bytes(*packed) ^ tweak).to_le_bytes().into();
        }
        self.data.decrypt(&mut blocks);
        for ((block, plain), tweak) in blocks.iter().zip(sector.as_chunks_mut::<BLOCK>().0).zip(&tweaks) {
            *plain = (u128::from_le_bytes((*block).into()) ^ tweak).to_le_bytes();
        }
    }

    fn cbc(&self, sector: &mut [u8; SECTOR], vector: [u8; BLOCK]) {
        let mut blocks = [Block::default(); SECTOR / BLOCK];
        for (block, packed) in blocks.iter_mut().zip(sector.as_chunks::<BLOCK>().0) {
            *block = (*packed).into();
        }
        self.data.decrypt(&mut blocks);
        let mut before = vector;
        for (block, place) in blocks.iter().zip(sector.as_chunks_mut::<BLOCK>().0) {
            let plain = u128::from_le_bytes((*block).into()) ^ u128::from_le_bytes(before);
            before = *place;
            *place = plain.to_le_bytes();
        }
    }
}

fn number_of(number: u64, short: bool) -> [u8; BLOCK] {
    u128::from(if short { number & 0xffff_ffff } else { number }).to_le_bytes()
}

/// A volume, decrypted as it is read.
pub struct Plain {
    /// Where its encrypted sectors lie, and the byte they begin at.
    pub volume: Source,
    /// First byte of them.
    pub start: u64,
    /// What decrypts them; they are counted from 0.
    pub cipher: Cipher,
}

impl Positioned for Plain {
    fn size(&self) -> u64 {
        self.volume.size().saturating_sub(self.start) / SECTOR as u64 * SECTOR as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = length(self.size().saturating_sub(offset)).min(buffer.len());
        let (first, within) = (offset / SECTOR as u64, length(offset % SECTOR as u64));
        let sectors = (within + left).div_ceil(SECTOR).min(STEP);
        let at = self.start.saturating_add(first.saturating_mul(SECTOR as u64));
        let mut bytes = some(&self.volume, at, sectors * SECTOR)?;
        self.cipher.decrypt(&mut bytes, first);
        // A torn last sector is not decrypted: it is left out.
        let whole = bytes.len() / SECTOR * SECTOR;
        let ready = bytes.get(within.min(whole)..whole).unwrap_or_default();
        let count = ready.len().min(left);
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn beneath(&self, offset: u64) -> Option<Beneath> {
        let sector = offset / SECTOR as u64 * SECTOR as u64;
        Some(Beneath { source: self.volume.clone(), start: self.start.checked_add(sector)?, length: SECTOR as u64, packed: true })
    }

    fn label(&self) -> Option<&'static str> {
        Some("volume")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect()
    }

    /// IEEE 1619-2007, vectors 1 and 2: 32 bytes each, of which a sector here has more.
    #[test]
    fn xts_of_the_standard() {
        for (keys, number, packed, plain) in [
            ([0, 0], 0, "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e", 0),
            ([0x11, 0x22], 0x33_3333_3333, "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0", 0x44),
        ] {
            let key = [[keys[0]; 16], [keys[1]; 16]].concat();
            let mut sector = [0; SECTOR];
            sector[..32].copy_from_slice(&unhex(packed));
            Cipher::new("aes", "xts-plain64", &key).unwrap().decrypt(&mut sector, number);
            assert_eq!(sector[..32], [plain; 32]);
        }
    }

    /// NIST SP 800-38A, F.2.2: CBC-AES128; its vector is no sector's number, so it is laid over the first block.
    #[test]
    fn cbc_of_the_standard() {
        let key = unhex("2b7e151628aed2a6abf7158809cf4f3c");
        let packed = unhex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2");
        let mut sector = [0; SECTOR];
        sector[..32].copy_from_slice(&packed);
        Cipher::new("aes", "cbc-plain64", &key).unwrap().decrypt(&mut sector, 0);
        let vector = unhex("000102030405060708090a0b0c0d0e0f");
        let first: Vec<u8> = sector[..16].iter().zip(&vector).map(|(byte, other)| byte ^ other).collect();
        assert_eq!(first, unhex("6bc1bee22e409f96e93d7e117393172a"));
        assert_eq!(sector[16..32], unhex("ae2d8a571e03ac9c9eb76fac45af8e51"));
    }

    #[test]
    fn names_and_keys_that_do_not_fit() {
        assert!(Cipher::new("serpent", "xts-plain64", &[0; 64]).is_none());
        assert!(Cipher::new("aes", "xts-plain64", &[0; 40]).is_none());
        assert!(Cipher::new("aes", "cbc-essiv:sha1", &[0; 32]).is_none());
    }

    #[test]
    fn it_is_read_from_anywhere() {
        let cipher = || Cipher::new("aes", "xts-plain64", &[7; 64]).unwrap();
        let mut whole: Vec<u8> = (0..200 * SECTOR + 100).map(|at| (at % 251) as u8).collect();
        let plain = Plain { volume: Source::Memory(whole.clone().into()), start: SECTOR as u64, cipher: cipher() };
        cipher().decrypt(&mut whole[SECTOR..], 0);
        let expected = &whole[SECTOR..200 * SECTOR];
        assert_eq!(plain.size(), expected.len() as u64);
        for (at, bytes) in [(0, 10), (511, 2), (1000, 100_000), (expected.len() - 5, 50), (expected.len(), 10)] {
            let mut buffer = vec![0; bytes];
            let count = plain.read_at(&mut buffer, at as u64).unwrap();
            assert!(count > 0 || at == expected.len());
            assert_eq!(buffer[..count], expected[at..][..count]);
        }
    }
}
