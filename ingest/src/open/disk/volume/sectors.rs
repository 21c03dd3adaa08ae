//! Volumes encrypted sector by sector with AES: XTS (IEEE 1619) and CBC, with the vectors that dm-crypt names `plain`, `plain64`,
//! `essiv` and `eboiv`, the last with BitLocker's diffuser too. Format: the kernel's documentation of dm-crypt; N. Ferguson, "AES-CBC +
//! Elephant diffuser" (2006).

use super::super::fields::{length, some};
use crate::evidence::{Beneath, Positioned, Source};
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256, Block};
use pbkdf2::sha2::Sha256;
use sha1_next::Digest;
use std::io;
use std::sync::Arc;

/// Bytes of a sector where nothing else is told, which is what a vector counts, and of a block.
pub const SECTOR: usize = 512;
/// Largest sector.
pub const SECTOR_MAX: usize = 4096;
const BLOCK: usize = 16;
/// Bytes decrypted at a time.
const STEP: usize = 64 << 10;

/// AES with a key of any length.
pub enum Aes {
    Short(Box<Aes128>),
    Middle(Box<Aes192>),
    Long(Box<Aes256>),
}

impl Aes {
    /// The cipher of a key of 16, 24 or 32 bytes.
    pub fn new(key: &[u8]) -> Option<Aes> {
        Some(match key.len() {
            16 => Aes::Short(Box::new(Aes128::new_from_slice(key).ok()?)),
            24 => Aes::Middle(Box::new(Aes192::new_from_slice(key).ok()?)),
            32 => Aes::Long(Box::new(Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        })
    }

    /// Encrypts one block.
    pub fn encrypt(&self, block: &mut [u8; BLOCK]) {
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

    /// Decrypts whole blocks that were chained (CBC) from a vector on.
    pub fn decrypt_cbc(&self, bytes: &mut [u8], vector: [u8; BLOCK]) {
        let mut before = vector;
        for group in bytes.chunks_mut(SECTOR) {
            let mut blocks = [Block::default(); SECTOR / BLOCK];
            for (block, packed) in blocks.iter_mut().zip(group.as_chunks::<BLOCK>().0) {
                *block = (*packed).into();
            }
            self.decrypt(&mut blocks);
            for (block, place) in blocks.iter().zip(group.as_chunks_mut::<BLOCK>().0) {
                let plain = u128::from_le_bytes((*block).into()) ^ u128::from_le_bytes(before);
                before = *place;
                *place = plain.to_le_bytes();
            }
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
    /// Bytes of a sector.
    sector: usize,
    /// Bytes that the numbers of sectors count.
    unit: u64,
}

enum Mode {
    /// With the second half of the key, which encrypts the number; of 32 bits or 64.
    Xts(Aes, bool),
    Cbc(Vector),
    /// The vector is the encrypted place in bytes; with the second key, the diffuser comes before it.
    Place(Option<Aes>),
}

impl Cipher {
    /// A cipher as dm-crypt names it (`aes`, `xts-plain64`); `None` if there is none of that name, or the key does not fit.
    pub fn new(name: &str, mode: &str, key: &[u8]) -> Option<Cipher> {
        if name != "aes" {
            return None;
        }
        let (first, second) = key.split_at(key.len() / 2);
        let (data, mode) = match mode {
            "xts-plain" | "xts-plain64" => (Aes::new(first)?, Mode::Xts(Aes::new(second)?, mode == "xts-plain")),
            "cbc-plain" => (Aes::new(key)?, Mode::Cbc(Vector::Plain)),
            "cbc-plain64" => (Aes::new(key)?, Mode::Cbc(Vector::Plain64)),
            "cbc-essiv:sha256" => (Aes::new(key)?, Mode::Cbc(Vector::Essiv(Aes::new(&Sha256::digest(key))?))),
            "cbc-eboiv" => (Aes::new(key)?, Mode::Place(None)),
            "cbc-elephant" => (Aes::new(first)?, Mode::Place(Some(Aes::new(second)?))),
            _ => return None,
        };
        Some(Cipher { data, mode, sector: SECTOR, unit: SECTOR as u64 })
    }

    /// With sectors of another size; `counted`: their numbers count them, not 512 bytes. `None` for a size that no sector has.
    pub fn with_sectors(self, bytes: usize, counted: bool) -> Option<Cipher> {
        let fits = (SECTOR..=SECTOR_MAX).contains(&bytes) && bytes.is_power_of_two();
        let unit = if counted { bytes as u64 } else { SECTOR as u64 };
        fits.then_some(Cipher { sector: bytes, unit, ..self })
    }

    /// Decrypts whole sectors, the first of which stands at that byte of what is encrypted.
    pub fn decrypt(&self, bytes: &mut [u8], at: u64) {
        for (sector, at) in bytes.chunks_exact_mut(self.sector).zip((at..).step_by(self.sector)) {
            let mut vector = number_of(at / self.unit, matches!(self.mode, Mode::Xts(_, true) | Mode::Cbc(Vector::Plain)));
            match &self.mode {
                Mode::Xts(tweak, _) => {
                    tweak.encrypt(&mut vector);
                    self.xts(sector, vector);
                }
                Mode::Cbc(Vector::Essiv(salted)) => {
                    salted.encrypt(&mut vector);
                    self.data.decrypt_cbc(sector, vector);
                }
                Mode::Cbc(_) => self.data.decrypt_cbc(sector, vector),
                Mode::Place(diffuser) => {
                    let mut vector = number_of(at, false);
                    self.data.encrypt(&mut vector);
                    self.data.decrypt_cbc(sector, vector);
                    diffuser.iter().for_each(|key| undiffuse(sector, key, at));
                }
            }
        }
    }

    fn xts(&self, sector: &mut [u8], first: [u8; BLOCK]) {
        let mut tweak = u128::from_le_bytes(first);
        for group in sector.chunks_mut(SECTOR) {
            let mut tweaks = [0u128; SECTOR / BLOCK];
            for place in &mut tweaks {
                *place = tweak;
                // Times x in GF(2^128), whose polynomial has the low bits 0x87.
                tweak = tweak << 1 ^ if tweak >> 127 == 1 { 0x87 } else { 0 };
            }
            let mut blocks = [Block::default(); SECTOR / BLOCK];
            for ((block, packed), tweak) in blocks.iter_mut().zip(group.as_chunks::<BLOCK>().0).zip(&tweaks) {
                *block = (u128::from_le_bytes(*packed) ^ tweak).to_le_bytes().into();
            }
            self.data.decrypt(&mut blocks);
            for ((block, plain), tweak) in blocks.iter().zip(group.as_chunks_mut::<BLOCK>().0).zip(&tweaks) {
                *plain = (u128::from_le_bytes((*block).into()) ^ tweak).to_le_bytes();
            }
        }
    }
}

/// Takes the diffuser B, then A, then the sector's own key away, in the notation of the paper.
fn undiffuse(sector: &mut [u8], tweak: &Aes, at: u64) {
    let mut words: Vec<u32> = sector.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let count = words.len();
    let mut pass = |cycles: usize, turns: [u32; 4], first: usize, second: usize| {
        for at in (0..cycles).flat_map(|_| 0..count) {
            let mixed = words[(at + first) % count] ^ words[(at + second) % count].rotate_left(turns[at % 4]);
            words[at] = words[at].wrapping_add(mixed);
        }
    };
    pass(3, [0, 10, 0, 25], 2, 5);
    pass(5, [9, 0, 13, 0], count.saturating_sub(2), count.saturating_sub(5));
    let (mut low, mut high) = (number_of(at, false), number_of(at, false));
    high[BLOCK - 1] = 0x80;
    tweak.encrypt(&mut low);
    tweak.encrypt(&mut high);
    let key = [low, high].concat();
    let plain = words.iter().flat_map(|word| word.to_le_bytes());
    for ((place, byte), own) in sector.iter_mut().zip(plain).zip(key.iter().cycle()) {
        *place = byte ^ own;
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
    /// How many bytes they are at most.
    pub bytes: u64,
    /// The byte that the first of them counts as.
    pub counted: u64,
    /// What decrypts them.
    pub cipher: Arc<Cipher>,
}

impl Positioned for Plain {
    fn size(&self) -> u64 {
        let sector = self.cipher.sector as u64;
        self.volume.size().saturating_sub(self.start).min(self.bytes) / sector * sector
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let sector = self.cipher.sector;
        let left = length(self.size().saturating_sub(offset)).min(buffer.len());
        let (first, within) = (offset / sector as u64 * sector as u64, length(offset % sector as u64));
        let wanted = (within + left).next_multiple_of(sector).min(STEP);
        let mut bytes = some(&self.volume, self.start.saturating_add(first), wanted)?;
        self.cipher.decrypt(&mut bytes, self.counted.saturating_add(first));
        // A torn last sector is not decrypted: it is left out.
        let whole = bytes.len() / sector * sector;
        let ready = bytes.get(within.min(whole)..whole).unwrap_or_default();
        let count = ready.len().min(left);
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), ready.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn beneath(&self, offset: u64) -> Option<Beneath> {
        let bytes = self.cipher.sector as u64;
        let sector = offset / bytes * bytes;
        Some(Beneath { source: self.volume.clone(), start: self.start.checked_add(sector)?, length: bytes, packed: true })
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
            Cipher::new("aes", "xts-plain64", &key).unwrap().decrypt(&mut sector, number * SECTOR as u64);
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
        for bytes in [0, 256, 513, 8192] {
            assert!(Cipher::new("aes", "xts-plain64", &[0; 64]).unwrap().with_sectors(bytes, false).is_none());
        }
    }

    #[test]
    fn it_is_read_from_anywhere() {
        let cipher = || Cipher::new("aes", "xts-plain64", &[7; 64]).unwrap();
        let mut whole: Vec<u8> = (0..200 * SECTOR + 100).map(|at| (at % 251) as u8).collect();
        let plain = Plain {
            volume: Source::Memory(whole.clone().into()),
            start: SECTOR as u64,
            bytes: u64::MAX,
            counted: 0,
            cipher: Arc::new(cipher()),
        };
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
