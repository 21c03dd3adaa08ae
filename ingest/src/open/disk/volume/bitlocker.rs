//! BitLocker of Windows 7 and later, fixed and To Go, with a password, a recovery key, or the key that lies open on a volume whose
//! protection is suspended. Format: J. Metz, "BitLocker Drive Encryption (BDE) format specification"; the parts of a volume:
//! cryptsetup's documentation of `bitlk`. Windows Vista's, volumes encrypted on write, and those of a TPM or a startup key alone, stay locked.

use super::super::fields::{exact, length, slice, u16le, u32le, u64le};
use super::super::pieces::{Disk, Layout, Piece};
use super::bitlocker_keys::{Protector, Sealed, entries};
use super::sectors::{Cipher, Plain};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use model::Code;
use std::io;
use std::sync::Arc;

/// Bytes of a metadata block that are read, and that no file of the volume lies in.
const BLOCK_BYTES: u64 = 64 << 10;
/// Headers of a metadata block: the block's and that of its entries.
const HEADER: usize = 64;
const ENTRIES: usize = HEADER + 48;
/// Kinds of entries.
const PROTECTOR: u16 = 2;
const VOLUME_KEY: u16 = 3;
const FIRST_SECTORS: u16 = 15;
/// Kinds of values.
const SEALED: u16 = 5;
const PLACE: u16 = 15;
/// Most bytes of a volume's first sectors that are stored elsewhere.
const FIRST_BYTES_MAX: u64 = 256 << 20;
/// What the boot sector of a volume says that encrypts only what is written.
const ON_WRITE: &[u8] = b"\x3b\x4d\xa8\x92\x80\xdd\x0e\x4d\x9e\x4e\xb1\xe3\x28\x4e\xae\xd8";
/// States of a volume that is being encrypted or decrypted: only its beginning is encrypted.
const UNDER_WAY: [u16; 2] = [2, 5];

/// What a metadata block tells.
struct Metadata {
    /// Bytes of a sector.
    sector: usize,
    /// Bytes from the first on that are encrypted.
    encrypted: u64,
    /// Where the first sectors lie in truth, and how many bytes they are.
    first: (u64, u64),
    /// Where metadata lies.
    blocks: [u64; 3],
    method: u16,
    protectors: Vec<Protector>,
    key: Option<Sealed>,
}

/// The decrypted volume; a trouble says which key is wanted, or what about it is not known.
pub fn unlock(volume: &Source, passwords: &[String]) -> Result<Source, Trouble> {
    let mut failed = None;
    for metadata in Metadata::find(volume)? {
        match metadata.unlock(volume, passwords) {
            Ok(plain) => return Ok(plain),
            Err(trouble) => failed = failed.or(Some(trouble)),
        }
    }
    Err(failed.unwrap_or_else(|| Trouble::new(Code::Encrypted, "BitLocker recovery key or password")))
}

/// The mode of a method, and the bytes of a key of it.
fn mode_of(method: u16) -> Option<(&'static str, usize)> {
    Some(match method {
        0x8000 => ("cbc-elephant", 16),
        0x8001 => ("cbc-elephant", 32),
        0x8002 => ("cbc-eboiv", 16),
        0x8003 => ("cbc-eboiv", 32),
        0x8004 => ("xts-plain64", 32),
        0x8005 => ("xts-plain64", 64),
        _ => return None,
    })
}

/// The cipher of a volume's key: the diffuser's key stands in the second half of it, however short the first is.
fn cipher_of(mode: &str, key: &[u8], bytes: usize) -> Option<Cipher> {
    if mode == "cbc-elephant" {
        return Cipher::new("aes", mode, &[key.get(..bytes)?, key.get(32..32 + bytes)?].concat());
    }
    Cipher::new("aes", mode, key.get(..bytes)?)
}

/// Whether the checksum behind a block's entries is that of the bytes before it.
fn sum_holds(block: &[u8]) -> bool {
    let bytes = usize::from(u16le(block, 8)) * 16;
    let mut sum = flate2::Crc::new();
    sum.update(slice(block, 0, bytes));
    bytes > 0 && u32le(block, bytes + 4) == sum.sum()
}

impl Metadata {
    /// The first of the volume's three copies whose checksum holds; if there is none, those that can be read all the same.
    fn find(volume: &Source) -> Result<Vec<Metadata>, Trouble> {
        let boot = exact(volume, 0, 512).map_err(|error| Trouble::of(&error))?;
        // To Go keeps its places behind what makes the volume look like FAT.
        let table = if slice(&boot, 3, 8) == b"MSWIN4.1" { 440 } else { 176 };
        if slice(&boot, 0, 3) == b"\xeb\x52\x90" {
            let detail = "BitLocker recovery key or password, and a reader of Windows Vista's BitLocker";
            return Err(Trouble::new(Code::Encrypted, detail));
        }
        if slice(&boot, 160, 16) == ON_WRITE {
            let detail = "BitLocker recovery key or password, and a reader of volumes encrypted on write";
            return Err(Trouble::new(Code::Encrypted, detail));
        }
        let (mut failed, mut doubted) = (None, Vec::new());
        for at in [0, 8, 16].map(|copy| u64le(&boot, table + copy)) {
            let block = exact(volume, at, length(BLOCK_BYTES));
            match block.and_then(|block| Ok((sum_holds(&block), Metadata::read(&boot, &block)?))) {
                Ok((true, found)) => return Ok(vec![found]),
                Ok((false, found)) => doubted.push(found),
                Err(error) => failed = Some(error),
            }
        }
        if doubted.is_empty() {
            let detail = failed.map(|error| Trouble::of(&error).detail).unwrap_or_default();
            let told = format!("BitLocker recovery key or password, and metadata that is not damaged: {detail}");
            return Err(Trouble::new(Code::ContainerDamaged, told));
        }
        Ok(doubted)
    }

    /// Opens the volume's key by any protector.
    fn unlock(&self, volume: &Source, passwords: &[String]) -> Result<Source, Trouble> {
        let locked = |detail: String| Trouble::new(Code::Encrypted, detail);
        let damaged =
            |detail: &str| Trouble::new(Code::ContainerDamaged, format!("BitLocker metadata that is not damaged: {detail}"));
        let Some((mode, key_bytes)) = mode_of(self.method) else {
            return Err(locked(format!("BitLocker key, and a reader of method {:#06x}", self.method)));
        };
        let sealed = self.key.as_ref().ok_or_else(|| damaged("the volume's key is not in it"))?;
        if let Some(key) = self.protectors.iter().find_map(|protector| protector.open(passwords)) {
            let cipher = sealed.open(&key).and_then(|key| cipher_of(mode, &key, key_bytes));
            let cipher = cipher.and_then(|cipher| cipher.with_sectors(self.sector, true));
            return cipher.map(|cipher| self.plain(volume, cipher)).ok_or_else(|| damaged("the volume's key does not open"));
        }
        let wanted: Vec<String> = self.protectors.iter().map(Protector::words).collect();
        let wanted = if wanted.is_empty() { "key, to which no protector is left".to_owned() } else { wanted.join(", or ") };
        let tried = if passwords.is_empty() { "" } else { "; none of those given fits" };
        Err(locked(format!("BitLocker {wanted}{tried}")))
    }

    fn read(boot: &[u8], block: &[u8]) -> io::Result<Metadata> {
        let bytes = length(u32le(block, HEADER));
        if slice(block, 0, 8) != b"-FVE-FS-" || u16le(block, 10) != 2 || !(48..block.len() - HEADER).contains(&bytes) {
            return Err(super::super::fields::damaged("no metadata block"));
        }
        let sector = usize::from(u16le(boot, 11));
        let mut metadata = Metadata {
            sector,
            encrypted: if UNDER_WAY.contains(&u16le(block, 12)) { u64le(block, 16) } else { u64::MAX },
            first: (u64le(block, 56), u64::from(u32le(block, 28)).saturating_mul(sector as u64)),
            blocks: [32, 40, 48].map(|at| u64le(block, at)),
            method: u16le(block, HEADER + 36),
            protectors: Vec::new(),
            key: None,
        };
        for entry in entries(slice(block, ENTRIES, bytes - 48)) {
            match (entry.kind, entry.value) {
                (PROTECTOR, _) => metadata.protectors.push(Protector::read(entry.data)),
                (VOLUME_KEY, SEALED) => metadata.key = Some(Sealed::read(entry.data)),
                (FIRST_SECTORS, PLACE) => metadata.first = (u64le(entry.data, 0), u64le(entry.data, 8)),
                _ => {}
            }
        }
        if metadata.first.1 > FIRST_BYTES_MAX || !metadata.first.1.is_multiple_of(sector.max(1) as u64) {
            return Err(super::super::fields::damaged("first sectors of a size that no volume has"));
        }
        Ok(metadata)
    }

    /// The volume as it is when it is open.
    fn plain(&self, volume: &Source, cipher: Cipher) -> Source {
        let cipher = Arc::new(cipher);
        let window = |start: u64, bytes: u64| {
            let cipher = cipher.clone();
            Source::Virtual(Arc::new(Plain { volume: volume.clone(), start, bytes, counted: start, cipher }))
        };
        let covered = self.blocks.map(|at| (at, BLOCK_BYTES)).into_iter().chain([self.first]);
        let mut hidden: Vec<(u64, u64)> = covered.map(|(at, bytes)| (at, at.saturating_add(bytes))).collect();
        hidden.sort_unstable();
        Disk::source(Open {
            size: volume.size() / self.sector.max(1) as u64 * self.sector as u64,
            first: window(self.first.0, self.first.1),
            rest: window(0, u64::MAX),
            raw: volume.clone(),
            encrypted: self.encrypted,
            hidden,
        })
    }
}

/// An open volume.
struct Open {
    size: u64,
    /// The sectors that stand for the first ones.
    first: Source,
    rest: Source,
    raw: Source,
    /// Bytes from the first on that are encrypted.
    encrypted: u64,
    /// Where metadata and the first sectors lie: zeros, as Windows shows them. In order.
    hidden: Vec<(u64, u64)>,
}

impl Layout for Open {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        if offset < self.first.size() {
            return Ok(Piece::Stored(self.first.clone(), offset, self.first.size() - offset));
        }
        let mut end = self.size;
        for (start, stop) in &self.hidden {
            if (*start..*stop).contains(&offset) {
                return Ok(Piece::Zero(stop - offset));
            }
            if *start > offset {
                end = end.min(*start);
            }
        }
        if offset >= end {
            return Err(Damage::error(Code::Truncated, "the volume ends before this byte"));
        }
        if offset >= self.encrypted {
            return Ok(Piece::Stored(self.raw.clone(), offset, end - offset));
        }
        Ok(Piece::Stored(self.rest.clone(), offset, end.min(self.encrypted) - offset))
    }

    fn label(&self) -> Option<&'static str> {
        Some("volume")
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fields::some;
    use super::*;

    /// A volume whose protection is suspended; its origin is told beside it.
    fn suspended() -> Vec<u8> {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/bitlocker-clear.img")).unwrap()
    }

    fn opened(image: Vec<u8>) -> Result<model::Digest, String> {
        let size = image.len();
        let plain = unlock(&Source::Memory(image.into()), &[]).map_err(|trouble| trouble.detail)?;
        Ok(model::Digest::of(&some(&plain, 0, size).unwrap()))
    }

    #[test]
    fn one_sound_copy_is_enough() {
        let (sound, image) = (opened(suspended()).unwrap(), suspended());
        let copies = [0, 8, 16].map(|at| length(u64le(&image, 176 + at)));
        for kept in copies {
            let mut image = image.clone();
            for other in copies.into_iter().filter(|at| *at != kept) {
                image[other + 200] ^= 0xff;
            }
            assert_eq!(opened(image), Ok(sound));
        }
        let mut image = image;
        copies.into_iter().for_each(|at| image[at] = 0);
        assert!(opened(image).unwrap_err().contains("no metadata block"));
    }

    #[test]
    fn what_is_not_known_is_named() {
        let mut vista = suspended();
        vista[1] = 0x52;
        assert!(opened(vista).unwrap_err().contains("Vista"));
        let mut written = suspended();
        written[160..176].copy_from_slice(ON_WRITE);
        assert!(opened(written).unwrap_err().contains("on write"));
        let mut other = suspended();
        for at in [0, 8, 16].map(|at| length(u64le(&other, 176 + at))) {
            other[at + HEADER + 36] = 0x77;
        }
        assert_eq!(opened(other).unwrap_err(), "BitLocker key, and a reader of method 0x8077");
    }

    #[test]
    fn a_volume_that_is_half_encrypted_ends_in_what_it_was() {
        let (mut image, limit) = (suspended(), 50 * 512usize);
        for at in [0, 8, 16].map(|at| length(u64le(&image, 176 + at))) {
            image[at + 12] = UNDER_WAY[0] as u8;
            image[at + 16..at + 24].copy_from_slice(&(limit as u64).to_le_bytes());
        }
        let whole = unlock(&Source::Memory(suspended().into()), &[]).map_err(|trouble| trouble.detail).unwrap();
        let half = unlock(&Source::Memory(image.clone().into()), &[]).map_err(|trouble| trouble.detail).unwrap();
        assert_eq!(some(&half, 0, limit).unwrap(), some(&whole, 0, limit).unwrap());
        assert_eq!(some(&half, limit as u64, 4096).unwrap(), image[limit..limit + 4096]);
    }
}
