//! The keys of an encrypted backup: the keybag that a password opens, class keys and file keys.
//!
//! Format: Apple Platform Security, "Keybags"; the tags as Bédrune and Sigwald described them ("iPhone data protection in depth",
//! HITB 2011). Since iOS 10.2 the password goes through PBKDF2 with SHA-256 before the one with SHA-1.

use crate::open::Trouble;
use crate::open::decrypted::Key;
use aes::cipher::KeyInit;
use aes_kw::KwAes256;
use model::Code;
use pbkdf2::pbkdf2_hmac;
use pbkdf2::sha2::Sha256;
use sha1_next::Sha1;
use std::collections::HashMap;

/// Rounds that a keybag may ask for: twice what iOS does.
const ROUNDS_MAX: u32 = 20_000_000;
/// Bit of `WRAP`: the class key is wrapped under the password.
const WRAPPED_BY_PASSWORD: u32 = 2;

/// The keybag of a backup, as `BackupKeyBag` in `Manifest.plist` has it.
#[derive(Default, Debug)]
pub struct Keybag {
    salt: Vec<u8>,
    rounds: u32,
    /// Salt and rounds of the first derivation, since iOS 10.2.
    first: Option<(Vec<u8>, u32)>,
    classes: Vec<Class>,
}

/// A class key, wrapped.
#[derive(Default, Debug)]
struct Class {
    number: u32,
    wrap: u32,
    wrapped: Vec<u8>,
}

/// Class keys by the number of their class.
pub type ClassKeys = HashMap<u32, Key>;

impl Keybag {
    /// Reads the tags: four letters, a length (u32 big endian) and so many bytes each.
    pub fn read(mut bytes: &[u8]) -> Result<Keybag, Trouble> {
        let damaged = |detail: &str| Trouble::new(Code::ContainerDamaged, format!("keybag of the backup: {detail}"));
        let mut keybag = Keybag::default();
        let (mut first_salt, mut first_rounds, mut uuids) = (Vec::new(), 0, 0);
        while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
            let (tag, length) = head.split_at(4);
            let length = length.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length));
            let value = rest.get(..length as usize).ok_or_else(|| damaged("cut off"))?;
            bytes = rest.get(length as usize..).unwrap_or_default();
            let number = value.first_chunk::<4>().map(|number| u32::from_be_bytes(*number));
            let class = keybag.classes.last_mut();
            match (tag, class) {
                // The first is the keybag's own, every other begins a class.
                (b"UUID", _) => {
                    uuids += 1;
                    if uuids > 1 {
                        keybag.classes.push(Class::default());
                    }
                }
                (b"SALT", None) => keybag.salt = value.to_vec(),
                (b"ITER", None) => keybag.rounds = number.unwrap_or(0),
                (b"DPSL", None) => first_salt = value.to_vec(),
                (b"DPIC", None) => first_rounds = number.unwrap_or(0),
                (b"CLAS", Some(class)) => class.number = number.unwrap_or(0),
                (b"WRAP", Some(class)) => class.wrap = number.unwrap_or(0),
                (b"WPKY", Some(class)) => class.wrapped = value.to_vec(),
                _ => {}
            }
        }
        if keybag.rounds == 0 || keybag.salt.is_empty() || keybag.classes.is_empty() {
            return Err(damaged("no salt, rounds or class keys"));
        }
        keybag.first = (first_rounds > 0 && !first_salt.is_empty()).then_some((first_salt, first_rounds));
        let rounds = keybag.rounds.max(first_rounds);
        if rounds > ROUNDS_MAX {
            return Err(Trouble::new(Code::Unsupported, format!("the backup asks for {rounds} rounds to derive its key")));
        }
        Ok(keybag)
    }

    /// The class keys that a password opens; `None` if it opens none. Key unwrapping (RFC 3394) has a check of 64 bits, so a
    /// wrong password is always known.
    pub fn unlock(&self, password: &str) -> Option<ClassKeys> {
        let mut derived: Key = [0; 32];
        match &self.first {
            Some((salt, rounds)) => {
                let mut first: Key = [0; 32];
                pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, *rounds, &mut first);
                pbkdf2_hmac::<Sha1>(&first, &self.salt, self.rounds, &mut derived);
            }
            None => pbkdf2_hmac::<Sha1>(password.as_bytes(), &self.salt, self.rounds, &mut derived),
        }
        let ours = self.classes.iter().filter(|class| class.wrap & WRAPPED_BY_PASSWORD != 0);
        let keys: ClassKeys = ours.filter_map(|class| Some((class.number, unwrap(&derived, &class.wrapped)?))).collect();
        (!keys.is_empty()).then_some(keys)
    }
}

/// A key out of its wrapping under another.
fn unwrap(key: &Key, wrapped: &[u8]) -> Option<Key> {
    let mut plain: Key = [0; 32];
    let length = KwAes256::new(key.into()).unwrap_key(wrapped, &mut plain).ok()?.len();
    (length == plain.len()).then_some(plain)
}

/// The key behind a class number (u32 little endian) and a wrapped key, as `ManifestKey` and `EncryptionKey` have them.
pub fn file_key(keys: &ClassKeys, described: &[u8]) -> Result<Key, Trouble> {
    let locked = |detail: String| Trouble::new(Code::Encrypted, detail);
    let Some((class, wrapped)) = described.split_first_chunk::<4>() else { return Err(locked("no file key".to_owned())) };
    let class = u32::from_le_bytes(*class);
    let key = keys.get(&class).ok_or_else(|| locked(format!("class key {class}, which the keybag does not give")))?;
    unwrap(key, wrapped).ok_or_else(|| locked(format!("file key, which class key {class} does not unwrap")))
}
