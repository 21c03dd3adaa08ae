//! LUKS 2 with a passphrase: two copies of a header in JSON, keys in slots as in LUKS 1, what a passphrase becomes by Argon2 or PBKDF2.
//! Format: M. Brož, "LUKS2 On-Disk Format Specification" 1.1.1. Volumes of several segments (an encryption that was under way), with
//! integrity tags or a token's key alone stay locked.

use super::super::fields::{exact, length, slice, u16be, u64be};
use super::luks::{Hash, KEY_BYTES_MAX, STRIPES_MAX, check_rounds};
use super::sectors::{Cipher, Plain, SECTOR};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64ct::{Base64, Encoding};
use model::Code;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the binary part of a header, and the largest of both parts.
const BINARY_BYTES: usize = 4096;
const HEADER_BYTES_MAX: u64 = 4 << 20;
/// Where the second copy may stand, if the first does not tell its size.
const SECOND: [u64; 9] = [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
/// Bytes of the stored checksum, and where it stands.
const SUM: (usize, usize) = (448, 64);
/// Memory that a header may ask for to derive a key, KiB: the most that cryptsetup takes unasked. Passes over it.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 64;

/// Keys are derived one at a time in the whole process: each takes much memory.
static DERIVING: Mutex<()> = Mutex::new(());

/// The decrypted volume; a trouble says which key is wanted, or what about it is not known.
pub fn unlock(volume: &Source, passwords: &[String]) -> Result<Source, Trouble> {
    let header = header(volume)?;
    let segment = Segment::of(&header)?;
    let slots = header.get("keyslots").and_then(Value::as_object).into_iter().flatten();
    let (mut failed, mut slots_read) = (None, 0);
    for (name, slot) in slots.filter(|(_, slot)| text(slot, "type") == "luks2") {
        let digest = digest_of(&header, name);
        for password in passwords {
            let key = open(volume, slot, digest, password);
            match key.map(|key| key.and_then(|key| segment.cipher(&key))) {
                Ok(Some(cipher)) => return Ok(segment.plain(volume, cipher)),
                Ok(None) => {}
                Err(error) => failed = Some(Trouble::of(&error)),
            }
        }
        slots_read += 1;
    }
    let (what, tried) = match (slots_read, passwords.is_empty()) {
        (0, _) => ("LUKS token or key file: no slot holds a passphrase", ""),
        (_, true) => ("LUKS passphrase", ""),
        _ => ("LUKS passphrase", "; none of those given fits"),
    };
    Err(failed.unwrap_or_else(|| Trouble::new(Code::Encrypted, format!("{what}{tried}"))))
}

/// The newest of the two headers whose checksum holds.
fn header(volume: &Source) -> Result<Value, Trouble> {
    let mut newest: Option<(u64, Value)> = None;
    for at in [0].into_iter().chain(SECOND) {
        let Ok(binary) = exact(volume, at, BINARY_BYTES) else { break };
        let magic: &[u8] = if at == 0 { b"LUKS\xba\xbe" } else { b"SKUL\xba\xbe" };
        let size = u64be(&binary, 8);
        let fits = slice(&binary, 0, 6) == magic && u16be(&binary, 6) == 2 && u64be(&binary, 256) == at;
        if !fits || !(BINARY_BYTES as u64..=HEADER_BYTES_MAX).contains(&size) {
            continue;
        }
        let Ok(mut whole) = exact(volume, at, length(size)) else { continue };
        if !sum_holds(&mut whole) {
            continue;
        }
        let json = slice(&whole, BINARY_BYTES, whole.len() - BINARY_BYTES).split(|byte| *byte == 0).next().unwrap_or_default();
        let number = u64be(&binary, 16);
        if let Ok(found) = serde_json::from_slice(json)
            && newest.as_ref().is_none_or(|(held, _)| *held < number)
        {
            newest = Some((number, found));
        }
    }
    let none = || Trouble::new(Code::ChecksumMismatch, "LUKS passphrase, and a header that is not damaged: both copies are");
    newest.map(|(_, found)| found).ok_or_else(none)
}

/// Whether a header's checksum is that of its bytes with zeros in the place of the checksum.
fn sum_holds(whole: &mut [u8]) -> bool {
    let name = slice(whole, 72, 32).split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let stored = slice(whole, SUM.0, SUM.1).to_vec();
    whole.iter_mut().skip(SUM.0).take(SUM.1).for_each(|byte| *byte = 0);
    match &name[..] {
        b"sha256" => stored.starts_with(&Sha256::digest(&*whole)),
        b"sha512" => stored.starts_with(&Sha512::digest(&*whole)),
        _ => false,
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A number, which stands in quotes where it may be large.
fn number(value: &Value, key: &str) -> u64 {
    let value = value.get(key);
    let quoted = value.and_then(Value::as_str).and_then(|text| text.parse().ok());
    quoted.or_else(|| value.and_then(Value::as_u64)).unwrap_or(0)
}

fn small(value: &Value, key: &str) -> u32 {
    u32::try_from(number(value, key)).unwrap_or(u32::MAX)
}

fn bytes(value: &Value, key: &str) -> io::Result<Vec<u8>> {
    Base64::decode_vec(text(value, key)).map_err(|_| super::super::fields::damaged(&format!("{key} of a key slot is not base64")))
}

/// What is encrypted, and how.
struct Segment {
    start: u64,
    bytes: u64,
    counted: u64,
    name: String,
    mode: String,
    sector: usize,
}

impl Segment {
    /// The one segment of a volume.
    fn of(header: &Value) -> Result<Segment, Trouble> {
        let locked = |detail: &str| Trouble::new(Code::Encrypted, format!("LUKS passphrase, and a reader of {detail}"));
        let segments = header.get("segments").and_then(Value::as_object);
        let only = segments.filter(|segments| segments.len() == 1).and_then(|segments| segments.values().next());
        let only = only.ok_or_else(|| locked("volumes that are partly encrypted anew"))?;
        if text(only, "type") != "crypt" || only.get("integrity").is_some() {
            return Err(locked(&format!("segments of type {} with integrity tags", model::text::escape(text(only, "type")))));
        }
        let encryption = text(only, "encryption");
        let (name, mode) = encryption.split_once('-').unwrap_or((encryption, ""));
        let bytes = if text(only, "size") == "dynamic" { u64::MAX } else { number(only, "size") };
        let sector = length(number(only, "sector_size"));
        let counted = number(only, "iv_tweak").saturating_mul(SECTOR as u64);
        let segment =
            Segment { start: number(only, "offset"), bytes, counted, name: name.to_owned(), mode: mode.to_owned(), sector };
        let known = [16, 32, 64].iter().any(|size| segment.cipher(&vec![0; *size]).is_some());
        if known { Ok(segment) } else { Err(locked(&format!("{}, sectors of {sector}", model::text::escape(encryption)))) }
    }

    fn cipher(&self, key: &[u8]) -> Option<Cipher> {
        Cipher::new(&self.name, &self.mode, key)?.with_sectors(self.sector, false)
    }

    fn plain(&self, volume: &Source, cipher: Cipher) -> Source {
        let (start, bytes, counted, cipher) = (self.start, self.bytes, self.counted, Arc::new(cipher));
        Source::Virtual(Arc::new(Plain { volume: volume.clone(), start, bytes, counted, cipher }))
    }
}

/// The digest that a slot's key is checked against.
fn digest_of<'a>(header: &'a Value, slot: &str) -> Option<&'a Value> {
    let names = |digest: &Value| {
        digest.get("keyslots").and_then(Value::as_array).is_some_and(|slots| slots.iter().any(|name| name.as_str() == Some(slot)))
    };
    header.get("digests").and_then(Value::as_object).into_iter().flatten().map(|(_, digest)| digest).find(|digest| names(digest))
}

/// The volume's key out of a slot; `None` if the password does not fit.
fn open(volume: &Source, slot: &Value, digest: Option<&Value>, password: &str) -> io::Result<Option<Vec<u8>>> {
    let none = Value::Null;
    let part = |key| slot.get(key).unwrap_or(&none);
    let (spread, area, kdf) = (part("af"), part("area"), part("kdf"));
    let unsupported = |what: &str| Damage::error(Code::Unsupported, &format!("LUKS passphrase, and a reader of {what}"));
    let Some(digest) = digest.filter(|digest| text(digest, "type") == "pbkdf2") else { return Err(unsupported("its digest")) };
    let (hash, check) = (Hash::named(text(spread, "hash")), Hash::named(text(digest, "hash")));
    let (Some(hash), Some(check)) = (hash, check) else { return Err(unsupported("the slot's hash")) };
    let (stripes, key_bytes) = (small(spread, "stripes"), small(slot, "key_size"));
    if !(1..=STRIPES_MAX).contains(&stripes) || !(1..=KEY_BYTES_MAX).contains(&key_bytes) {
        return Err(super::super::fields::damaged(&format!("key slot of {stripes} stripes of {key_bytes} bytes")));
    }
    check_rounds(small(digest, "iterations"))?;
    let size = length(stripes).saturating_mul(length(key_bytes));
    let mut material = exact(volume, number(area, "offset"), size.next_multiple_of(SECTOR))?;
    let encryption = text(area, "encryption").split_once('-').unwrap_or_default();
    let area_bytes = small(area, "key_size").min(KEY_BYTES_MAX);
    let key = derive(kdf, password, length(area_bytes))?;
    let Some(cipher) = Cipher::new(encryption.0, encryption.1, &key) else { return Err(unsupported("the slot's cipher")) };
    cipher.decrypt(&mut material, 0);
    let key = hash.merge(material.get(..size).unwrap_or_default(), length(key_bytes));
    let expected = bytes(digest, "digest")?;
    let found = check.derive(&key, &bytes(digest, "salt")?, small(digest, "iterations"), expected.len().min(64));
    Ok((found == expected && !expected.is_empty()).then_some(key))
}

/// What a password becomes.
fn derive(kdf: &Value, password: &str, size: usize) -> io::Result<Vec<u8>> {
    let salt = bytes(kdf, "salt")?;
    let unsupported = |detail: &str| Damage::error(Code::Unsupported, detail);
    let algorithm = match text(kdf, "type") {
        "pbkdf2" => {
            let hash = Hash::named(text(kdf, "hash")).ok_or_else(|| unsupported("LUKS passphrase, and a reader of its hash"))?;
            check_rounds(small(kdf, "iterations"))?;
            return Ok(hash.derive(password.as_bytes(), &salt, small(kdf, "iterations"), size));
        }
        "argon2i" => Algorithm::Argon2i,
        "argon2id" => Algorithm::Argon2id,
        _ => return Err(unsupported("LUKS passphrase, and a reader of its key derivation")),
    };
    let (memory, passes) = (small(kdf, "memory"), small(kdf, "time"));
    if memory > MEMORY_KIB_MAX || passes > PASSES_MAX {
        return Err(unsupported(&format!("the volume asks for {memory} KiB and {passes} passes to derive its key")));
    }
    let params = Params::new(memory, passes, small(kdf, "cpus"), Some(size));
    let params = params.map_err(|_| super::super::fields::damaged("key slot with numbers that Argon2 does not take"))?;
    let _one = DERIVING.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut blocks, mut key) = (Vec::new(), vec![0; size]);
    if blocks.try_reserve_exact(params.block_count()).is_err() {
        return Err(Damage::error(Code::CapMemory, &format!("the volume asks for {memory} KiB to derive its key")));
    }
    blocks.resize(params.block_count(), Block::new());
    let argon = Argon2::new(algorithm, Version::V0x13, params);
    let done = argon.hash_password_into_with_memory(password.as_bytes(), &salt, &mut key, &mut blocks[..]);
    done.map(|()| key).map_err(|_| super::super::fields::damaged("key slot with a salt that Argon2 does not take"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/luks2-pbkdf2.img")).unwrap()
    }

    fn opened(image: Vec<u8>) -> Result<model::Digest, Trouble> {
        let plain = unlock(&Source::Memory(image.into()), &["chanthou".to_owned()])?;
        Ok(model::Digest::of(&exact(&plain, 0, length(plain.size())).unwrap()))
    }

    #[test]
    fn one_sound_header_is_enough() {
        let sound = opened(image()).map_err(|trouble| trouble.detail).unwrap();
        let mut damaged = image();
        damaged[5000] ^= 1;
        assert_eq!(opened(damaged.clone()).ok(), Some(sound));
        damaged[0x4000 + 5000] ^= 1;
        assert_eq!(opened(damaged).unwrap_err().code, Code::ChecksumMismatch);
    }

    #[test]
    fn numbers_that_nobody_asks_for_are_refused() {
        let told = |kdf: &str| Trouble::of(&derive(&serde_json::from_str(kdf).unwrap(), "x", 32).unwrap_err());
        for (kdf, code) in [
            (r#"{"type":"argon2id","time":4,"memory":4294967295,"cpus":1,"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}"#, Code::Unsupported),
            (r#"{"type":"argon2i","time":4000000000,"memory":64,"cpus":1,"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}"#, Code::Unsupported),
            (r#"{"type":"argon2id","time":0,"memory":64,"cpus":1,"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}"#, Code::ContainerDamaged),
            (r#"{"type":"argon2id","time":4,"memory":64,"cpus":1,"salt":""}"#, Code::ContainerDamaged),
            (r#"{"type":"pbkdf2","hash":"sha256","iterations":4000000000,"salt":"AAAA"}"#, Code::Unsupported),
            (r#"{"type":"scrypt","salt":"AAAA"}"#, Code::Unsupported),
            (r#"{"type":"pbkdf2","salt":"*"}"#, Code::ContainerDamaged),
        ] {
            assert_eq!(told(kdf).code, code, "{kdf}");
        }
    }

    /// RFC 9106, 5.3, has a secret and associated data, which LUKS does not use: this is the vector of the reference implementation's own tests
    /// (`argon2id`, version 0x13, t=2, m=2^8 KiB, p=1, "password", "somesalt").
    #[test]
    fn argon2id_of_the_reference() {
        let kdf = r#"{"type":"argon2id","time":2,"memory":256,"cpus":1,"salt":"c29tZXNhbHQ="}"#;
        let key = derive(&serde_json::from_str(kdf).unwrap(), "password", 32).unwrap();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
    }

    #[test]
    fn segments_that_are_not_read_are_named() {
        let told = |json: &str| Segment::of(&serde_json::from_str(json).unwrap()).err().unwrap().detail;
        assert!(told(r#"{"segments":{}}"#).contains("partly encrypted"));
        assert!(told(r#"{"segments":{"0":{"type":"crypt","integrity":{}}}}"#).contains("integrity"));
        let serpent = r#"{"segments":{"0":{"type":"crypt","encryption":"serpent-xts-plain64","sector_size":512}}}"#;
        assert_eq!(told(serpent), "LUKS passphrase, and a reader of serpent-xts-plain64, sectors of 512");
        let sectors = r#"{"segments":{"0":{"type":"crypt","encryption":"aes-xts-plain64","sector_size":3}}}"#;
        assert!(told(sectors).contains("sectors of 3"));
    }
}
