//! The keys of a BitLocker volume: entries of its metadata, what a password or a recovery key becomes, and AES-CCM.
//! Format: J. Metz, "BitLocker Drive Encryption (BDE) format specification"; NIST SP 800-38C.

use super::super::fields::{slice, u16le, u32le};
use super::sectors::Aes;
use sha2::{Digest, Sha256};

/// Rounds that a password is hashed.
const ROUNDS: u64 = 0x10_0000;
/// Kinds of values.
const KEY: u16 = 1;
const STRETCHED: u16 = 3;
const SEALED: u16 = 5;
/// How a key is protected.
const OPEN: u16 = 0;
const RECOVERY: u16 = 0x800;
const PASSWORD: u16 = 0x2000;
/// Bytes of a block of AES, and of the header of a value.
const BLOCK: usize = 16;
const VALUE: usize = 8;

/// An entry of the metadata.
pub struct Entry<'a> {
    /// What it is of.
    pub kind: u16,
    /// What its data are.
    pub value: u16,
    /// Its data.
    pub data: &'a [u8],
}

/// The entries in some bytes, up to the first that does not fit.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let size = usize::from(u16le(bytes, at));
        let found = bytes.get(at..at.checked_add(size)?).filter(|_| size >= VALUE)?;
        at += size;
        Some(Entry { kind: u16le(found, 2), value: u16le(found, 4), data: slice(found, VALUE, size - VALUE) })
    })
}

/// A key in a key: AES-CCM.
pub struct Sealed {
    nonce: [u8; 12],
    /// The tag and the sealed bytes behind it.
    bytes: Vec<u8>,
}

impl Sealed {
    /// The value of an entry.
    pub fn read(data: &[u8]) -> Sealed {
        let nonce = slice(data, 0, 12).try_into().unwrap_or_default();
        Sealed { nonce, bytes: slice(data, 12, data.len()).to_vec() }
    }

    /// The key inside; `None` if the key given is not its.
    pub fn open(&self, key: &[u8]) -> Option<Vec<u8>> {
        let plain = open_ccm(&Aes::new(key)?, &self.nonce, &self.bytes)?;
        // An entry of its own: its header, the method, the key.
        plain.get(VALUE + 4..usize::from(u16le(&plain, 0)).min(plain.len())).map(<[u8]>::to_vec)
    }
}

/// Decrypts and checks what has its tag of 16 bytes in front; `None` if the tag is another.
fn open_ccm(aes: &Aes, nonce: &[u8; 12], bytes: &[u8]) -> Option<Vec<u8>> {
    let (tag, sealed) = bytes.split_at_checked(BLOCK)?;
    let block = |flags: u8, number: usize| {
        let mut block = [0; BLOCK];
        block[0] = flags;
        block[1..13].copy_from_slice(nonce);
        block[13..].copy_from_slice(&(number as u32).to_be_bytes()[1..]);
        block
    };
    let stream = |number: usize| {
        let mut block = block(2, number);
        aes.encrypt(&mut block);
        block
    };
    let mut plain = sealed.to_vec();
    for (part, number) in plain.chunks_mut(BLOCK).zip(1..) {
        part.iter_mut().zip(stream(number)).for_each(|(byte, other)| *byte ^= other);
    }
    let mut sum = block(0x3a, plain.len());
    aes.encrypt(&mut sum);
    for part in plain.chunks(BLOCK) {
        sum.iter_mut().zip(part).for_each(|(byte, other)| *byte ^= other);
        aes.encrypt(&mut sum);
    }
    sum.iter_mut().zip(stream(0)).for_each(|(byte, other)| *byte ^= other);
    (sum == tag).then_some(plain)
}

/// A way to the volume's master key.
pub struct Protector {
    id: Vec<u8>,
    kind: u16,
    salt: Vec<u8>,
    sealed: Option<Sealed>,
    /// A key that lies open.
    key: Option<Vec<u8>>,
}

impl Protector {
    /// The value of an entry.
    pub fn read(data: &[u8]) -> Protector {
        let mut protector =
            Protector { id: slice(data, 0, 16).to_vec(), kind: u16le(data, 26), salt: Vec::new(), sealed: None, key: None };
        for entry in entries(slice(data, 28, data.len())) {
            match entry.value {
                KEY => protector.key = Some(slice(entry.data, 4, 32).to_vec()),
                STRETCHED => protector.salt = slice(entry.data, 4, 16).to_vec(),
                SEALED => protector.sealed = Some(Sealed::read(entry.data)),
                _ => {}
            }
        }
        protector
    }

    /// The master key; `None` if nothing given opens it.
    pub fn open(&self, passwords: &[String]) -> Option<Vec<u8>> {
        let sealed = self.sealed.as_ref()?;
        let salt: [u8; 16] = self.salt.as_slice().try_into().unwrap_or_default();
        match self.kind {
            OPEN => sealed.open(self.key.as_ref()?),
            RECOVERY => passwords.iter().filter_map(|text| recovery_key(text)).find_map(|key| sealed.open(&stretch(&key, &salt))),
            PASSWORD => passwords.iter().find_map(|text| sealed.open(&stretch(&password_hash(text), &salt))),
            _ => None,
        }
    }

    /// What is wanted to open it: of a recovery key the identifier that Windows shows.
    pub fn words(&self) -> String {
        match self.kind {
            RECOVERY => format!("recovery key {}", guid(&self.id)),
            PASSWORD => "password".to_owned(),
            OPEN => "the key that should lie open".to_owned(),
            0x100 | 0x500 => "its computer's TPM".to_owned(),
            0x200 => format!("startup key {}", guid(&self.id)),
            other => format!("protector {other:#06x}"),
        }
    }
}

/// A GUID as Windows writes it.
fn guid(id: &[u8]) -> String {
    let tail: String = slice(id, 10, 6).iter().map(|byte| format!("{byte:02X}")).collect();
    let fourth = u16::from_be_bytes(slice(id, 8, 2).try_into().unwrap_or_default());
    format!("{:08X}-{:04X}-{:04X}-{fourth:04X}-{tail}", u32le(id, 0), u16le(id, 4), u16le(id, 6))
}

/// A password's hash: twice that of its UTF-16.
fn password_hash(text: &str) -> [u8; 32] {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    Sha256::digest(Sha256::digest(units)).into()
}

/// The hash of a recovery key: eight groups of digits, each of which is eleven times a number of 16 bits. `None` for other text.
fn recovery_key(text: &str) -> Option<[u8; 32]> {
    let groups: Vec<&str> = text.trim().split('-').map(str::trim).collect();
    let numbers: Option<Vec<u8>> = groups
        .iter()
        .map(|group| {
            let digits = group.len() == 6 && group.bytes().all(|byte| byte.is_ascii_digit());
            let number: u32 = group.parse().ok().filter(|number: &u32| digits && number.is_multiple_of(11))?;
            u16::try_from(number / 11).ok().map(u16::to_le_bytes)
        })
        .collect::<Option<Vec<_>>>()
        .map(|pairs| pairs.concat());
    numbers.filter(|bytes| bytes.len() == 16).map(|bytes| Sha256::digest(bytes).into())
}

/// What such a hash becomes: a chain of a million hashes, each over the last, the first, the salt and its number.
fn stretch(hash: &[u8; 32], salt: &[u8; 16]) -> [u8; 32] {
    let mut chained = [0; 88];
    chained[32..64].copy_from_slice(hash);
    chained[64..80].copy_from_slice(salt);
    for number in 0..ROUNDS {
        chained[80..].copy_from_slice(&number.to_le_bytes());
        let next: [u8; 32] = Sha256::digest(chained).into();
        chained[..32].copy_from_slice(&next);
    }
    slice(&chained, 0, 32).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect()
    }

    /// Made by OpenSSL 3 (`AES-256-CCM`, nonce of 12 bytes, tag of 16): key 00 to 1f, nonce 20 to 2b, 20 bytes 40 to 53.
    #[test]
    fn ccm_as_openssl_makes_it() {
        let key: Vec<u8> = (0..32).collect();
        let nonce: [u8; 12] = std::array::from_fn(|at| at as u8 + 0x20);
        let sealed = unhex("63d1ea8fe65fa07ac240288a454396b3bc33a6a82ef83a171e9aca5e9d54d1b968d9cada");
        let plain: Vec<u8> = (0x40..0x54).collect();
        assert_eq!(open_ccm(&Aes::new(&key).unwrap(), &nonce, &sealed), Some(plain));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open_ccm(&Aes::new(&key).unwrap(), &nonce, &changed), None, "byte {at}");
        }
        assert_eq!(open_ccm(&Aes::new(&key).unwrap(), &nonce, &sealed[..15]), None);
    }

    #[test]
    fn recovery_keys_are_eight_numbers_of_eleven() {
        assert!(recovery_key("013574-597531-000077-720885-000000-440000-010989-353100").is_some());
        for wrong in [
            "013575-597531-000077-720885-000000-440000-010989-353100",
            "013574-597531-000077-720896-000000-440000-010989-353100",
            "013574-597531-000077-720885-000000-440000-010989",
            "13574-597531-000077-720885-000000-440000-010989-353100",
            "+13574-597531-000077-720885-000000-440000-010989-353100",
            "chanthou",
        ] {
            assert!(recovery_key(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn entries_end_where_they_do_not_fit() {
        let kinds = |bytes: &[u8]| entries(bytes).map(|entry| (entry.kind, entry.data.len())).collect::<Vec<_>>();
        assert_eq!(kinds(b"\x0a\0\x02\0\x08\0\x01\0ab\x08\0\x03\0\x05\0\x01\0"), [(2, 2), (3, 0)]);
        assert_eq!(kinds(b"\x07\0\x02\0\x08\0\x01\0"), []);
        assert_eq!(kinds(b"\xff\xff\x02\0"), []);
    }
}
