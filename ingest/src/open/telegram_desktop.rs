//! Files of Telegram Desktop's folder `tdata` and its forks': `TDF$`, a version, arrays of bytes, an MD5 of all. The local key encrypts them;
//! it lies in `key_datas`, encrypted in turn with the local passcode, which is empty unless one was set. So the folder of most accounts opens
//! without any key. What comes out are the arrays as they are: accounts, drafts, settings, lists of stickers; messages are not among them.
//!
//! Format: `Telegram/SourceFiles/storage/details/storage_file_utilities.cpp` of tdesktop, as tdesktop-decrypter (ntqbit) and opentele (MIT) read it.

use super::keyring::{hex, unhex};
use super::sealed::{Format, Named, wanted};
use super::{Container, Entry, Keys, Trouble, Visitor};
use crate::evidence::Source;
use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt, KeyInit};
use md5::{Digest as _, Md5};
use model::item::FileTimes;
use model::{Code, FileKind};
use pbkdf2::pbkdf2_hmac;
use pbkdf2::sha2::Sha512;
use sha1_next::{Digest as _, Sha1};
use std::io::Read;

/// This kind's line.
pub(super) const FORMAT: Format = Format { recognize, open };

const MAGIC: &[u8] = b"TDF$";
/// Bytes before the arrays, and of the checksum behind them.
const HEAD: usize = 8;
const CHECKSUM: usize = 16;
/// Bytes of a key and of what a key is checked by.
const KEY: usize = 256;
const CHECK: usize = 16;
const BLOCK: usize = 16;
/// Rounds that a passcode is stretched with, by tdesktop since 2020 and before.
const ROUNDS: u32 = 100_000;
const ROUNDS_BEFORE: u32 = 400;
/// Rounds without a passcode.
const ROUNDS_EMPTY: u32 = 1;
const ROUNDS_EMPTY_BEFORE: u32 = 4;
/// Largest file that is opened: those of stickers have some megabytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
const NEEDS: &str = "the local passcode of Telegram Desktop, and key_datas of the same folder";

/// A key of this kind.
type LocalKey = [u8; KEY];

fn recognize(named: &Named<'_>) -> bool {
    named.head.starts_with(MAGIC)
}

/// Names, in small letters, of files that hold the local key.
pub const KEY_FILES: &[&str] = &["key_data", "key_datas", "key_data0", "key_data1", "map0", "map1"];

/// A file's arrays, and what is wrong with them.
fn arrays(content: &[u8]) -> (Vec<&[u8]>, Option<Trouble>) {
    let end = content.len().saturating_sub(CHECKSUM);
    let (Some(body), Some(version)) = (content.get(HEAD..end), content.get(MAGIC.len()..HEAD)) else {
        return (Vec::new(), Some(Trouble::new(Code::Truncated, "a file of Telegram Desktop that ends in its head")));
    };
    let mut hash = Md5::new();
    hash.update(body);
    hash.update(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    hash.update(version);
    hash.update(MAGIC);
    let sound = content.get(end..) == Some(hash.finalize().as_slice());
    let mut trouble =
        (!sound).then(|| Trouble::new(Code::ChecksumMismatch, "the file of Telegram Desktop was changed, or is cut off"));
    let (mut rest, mut arrays) = (body, Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length);
        // An array that is none has no bytes.
        let length = if length == u32::MAX { 0 } else { length as usize };
        let Some((array, behind)) = behind.split_at_checked(length) else {
            let at = content.len() - CHECKSUM - rest.len();
            trouble = trouble.or_else(|| Some(Trouble::new(Code::Truncated, format!("the array at byte {at} ends early"))));
            break;
        };
        arrays.push(array);
        rest = behind;
    }
    (arrays, trouble)
}

/// The key that a passcode makes.
fn passcode_key(passcode: &[u8], salt: &[u8]) -> LocalKey {
    let mut key = [0; KEY];
    let password = Sha512::digest([salt, passcode, salt].concat());
    pbkdf2_hmac::<Sha512>(&password, salt, if passcode.is_empty() { ROUNDS_EMPTY } else { ROUNDS }, &mut key);
    key
}

/// The same before 2020, and of settings today.
fn passcode_key_before(passcode: &[u8], salt: &[u8]) -> LocalKey {
    let mut key = [0; KEY];
    let rounds = if passcode.is_empty() { ROUNDS_EMPTY_BEFORE } else { ROUNDS_BEFORE };
    pbkdf2_hmac::<Sha1>(passcode, salt, rounds, &mut key);
    key
}

/// Decrypts an array; nothing where the key does not fit.
fn decrypted(array: &[u8], key: &LocalKey) -> Option<Vec<u8>> {
    let (check, packed) = array.split_at_checked(CHECK)?;
    if packed.is_empty() || !packed.len().is_multiple_of(BLOCK) {
        return None;
    }
    let part = |from: usize, length: usize| key.get(8 + from..8 + from + length).unwrap_or_default();
    let [a, b, c, d] = [
        [check, part(0, 32)].concat(),
        [part(32, 16), check, part(48, 16)].concat(),
        [part(64, 32), check].concat(),
        [check, part(96, 32)].concat(),
    ]
    .map(Sha1::digest);
    let secret: [u8; 32] = [&a[..8], &b[8..20], &c[4..16]].concat().try_into().ok()?;
    let vector: [u8; 32] = [&a[8..20], &b[..8], &c[16..20], &d[..8]].concat().try_into().ok()?;
    let plain = ige(packed, &secret, &vector);
    if !Sha1::digest(&plain).starts_with(check) {
        return None;
    }
    // The length counts itself; what is behind it fills the last block.
    let length = u32::from_le_bytes(*plain.first_chunk::<4>()?) as usize;
    Some(plain.get(4..length)?.to_vec())
}

/// AES-256 in infinite garble extension: each block is also mixed with the one before, plain and encrypted.
fn ige(packed: &[u8], key: &[u8; 32], vector: &[u8; 32]) -> Vec<u8> {
    let cipher = Aes256::new(key.into());
    let (mut before, mut plain_before) = ([0; BLOCK], [0; BLOCK]);
    before.copy_from_slice(&vector[..BLOCK]);
    plain_before.copy_from_slice(&vector[BLOCK..]);
    let mut out = Vec::with_capacity(packed.len());
    for block in packed.as_chunks::<BLOCK>().0 {
        let mut mixed = *block;
        mixed.iter_mut().zip(plain_before).for_each(|(byte, other)| *byte ^= other);
        cipher.decrypt_block((&mut mixed).into());
        mixed.iter_mut().zip(before).for_each(|(byte, other)| *byte ^= other);
        out.extend_from_slice(&mixed);
        (before, plain_before) = (*block, mixed);
    }
    out
}

/// The key that a passcode makes, the empty one first, and the local key that it opens in a file of keys.
fn local_key(arrays: &[&[u8]], passcodes: &[&str]) -> Option<(LocalKey, LocalKey)> {
    let [salt, encrypted, ..] = arrays else { return None };
    if salt.is_empty() || encrypted.is_empty() {
        return None;
    }
    let empty = [""];
    let mut keys = empty.iter().chain(passcodes).flat_map(|passcode| {
        let passcode = passcode.as_bytes();
        [passcode_key as fn(&[u8], &[u8]) -> LocalKey, passcode_key_before].map(|make| (make, passcode))
    });
    keys.find_map(|(make, passcode)| {
        let key = make(passcode, salt);
        Some((key, decrypted(encrypted, &key)?.try_into().ok()?))
    })
}

/// The local key in a file's content, as the digits by which a ring of keys holds it.
pub fn key_in(content: &[u8], passcodes: &[String]) -> Option<String> {
    let (arrays, _) = content.starts_with(MAGIC).then(|| arrays(content))?;
    let passcodes: Vec<&str> = passcodes.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    local_key(&arrays, &passcodes).map(|(_, key)| hex(&key))
}

/// Keys among words.
fn keys_among(keys: Keys<'_>) -> Vec<LocalKey> {
    let words = keys.given.iter().chain(keys.found).filter(|word| word.len() == 2 * KEY);
    words.filter_map(|word| unhex(word)?.try_into().ok()).collect()
}

fn open(named: &Named<'_>, source: &Source, keys: Keys<'_>) -> Result<Box<dyn Container>, Trouble> {
    if source.size() > FILE_BYTES_MAX {
        return Err(Trouble::new(Code::CapValue, format!("a file of Telegram Desktop of {} bytes", source.size())));
    }
    let mut content = Vec::new();
    source.reader().read_to_end(&mut content).map_err(|error| Trouble::of(&error))?;
    let (arrays, trouble) = arrays(&content);
    let mut candidates = keys_among(keys);
    let name = named.name().to_ascii_lowercase();
    if KEY_FILES.iter().any(|known| known.as_bytes() == name) {
        let passcodes: Vec<&str> = keys.given.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        candidates.extend(local_key(&arrays, &passcodes).into_iter().flat_map(|(outer, inner)| [outer, inner]));
    }
    // Settings are needed before any passcode is typed: their key comes from the salt alone.
    if let [salt, _, ..] = arrays.as_slice() {
        candidates.extend([passcode_key(b"", salt), passcode_key_before(b"", salt)]);
    }
    let (mut opened, mut closed) = (Vec::new(), 0u32);
    for (number, array) in (1u32..).zip(&arrays).filter(|(_, array)| array.len() >= CHECK + BLOCK) {
        match candidates.iter().find_map(|key| decrypted(array, key)) {
            Some(plain) => opened.push((entry(number, plain.len() as u64), plain)),
            // A salt has as many bytes as the shortest array.
            None if array.len() == CHECK + BLOCK => {}
            None => closed += 1,
        }
    }
    let mut troubles: Vec<Trouble> = trouble.into_iter().collect();
    match (opened.is_empty(), closed) {
        (true, 0) if arrays.iter().all(|array| array.is_empty()) => {
            return Err(troubles.pop().unwrap_or_else(|| Trouble::new(Code::ContainerDamaged, "nothing is in it")));
        }
        (true, _) => return Err(troubles.pop().unwrap_or_else(|| wanted(NEEDS))),
        (false, 0) => {}
        (false, count) => troubles.push(Trouble::new(Code::Encrypted, format!("{count} more arrays, which no key opens"))),
    }
    Ok(Box::new(Opened { opened, troubles }))
}

fn entry(number: u32, bytes: u64) -> Entry {
    Entry {
        path: format!("array {number}").into_bytes(),
        ordinal: 0,
        kind: Some(FileKind::File),
        size: bytes,
        packed: Some(bytes),
        mode: None,
        owner: None,
        times: FileTimes::default(),
        link_target: None,
        deleted: false,
    }
}

/// What was decrypted.
struct Opened {
    opened: Vec<(Entry, Vec<u8>)>,
    troubles: Vec<Trouble>,
}

impl Container for Opened {
    fn name(&self) -> &'static str {
        "telegram_desktop"
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        for (entry, plain) in &self.opened {
            visitor(entry.clone(), &mut plain.as_slice())?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by opentele 1.15.1 for accounts that do not exist: without a passcode, and with the passcode 2580. tdesktop-decrypter reads user
    /// 7000000001 and data centre 2 out of the first.
    const KEYS: &[u8] = include_bytes!("telegram_desktop/key_datas");
    const KEYS_2580: &[u8] = include_bytes!("telegram_desktop/key_datas_2580");
    const ACCOUNT: &[u8] = include_bytes!("telegram_desktop/account");

    type Arrays = Vec<(String, Vec<u8>)>;

    fn opened(path: &str, content: &[u8], given: &[&str], found: &[String]) -> Result<(Arrays, Vec<Code>), Trouble> {
        let named = Named { path: path.as_bytes(), head: content };
        assert!(recognize(&named));
        let given: Vec<String> = given.iter().map(|word| (*word).to_owned()).collect();
        let container = open(&named, &Source::Memory(content.into()), Keys { given: &given, found })?;
        let mut arrays = Vec::new();
        container
            .visit(&mut |entry, stream| {
                let mut plain = Vec::new();
                stream.read_to_end(&mut plain).unwrap();
                arrays.push((String::from_utf8(entry.path).unwrap(), plain));
                Ok(())
            })
            .unwrap();
        Ok((arrays, container.troubles().iter().map(|trouble| trouble.code).collect()))
    }

    #[test]
    fn a_folder_without_a_passcode_opens_by_itself() {
        let (keys, troubles) = opened("tdata/key_datas", KEYS, &[], &[]).unwrap();
        assert_eq!(
            keys.iter().map(|(name, plain)| (name.as_str(), plain.len())).collect::<Vec<_>>(),
            [("array 2", 256), ("array 3", 16)]
        );
        assert!(troubles.is_empty());
        // Two accounts, 0 and 1; opentele names none that is shown.
        assert_eq!(keys[1].1, [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255]);
        let key = key_in(KEYS, &[]).unwrap();
        assert_eq!(key, hex(&keys[0].1));
        let (account, _) = opened("tdata/D877F783D5D3EF8Cs", ACCOUNT, &[], &[key]).unwrap();
        let user = [&[0xff; 8][..], &7_000_000_001u64.to_be_bytes(), &[0, 0, 0, 2]].concat();
        assert_eq!(account[0].1.get(8..28), Some(user.as_slice()));
    }

    #[test]
    fn a_passcode_is_wanted_where_one_was_set() {
        let closed = opened("tdata/key_datas", KEYS_2580, &["1234"], &[]).unwrap_err();
        assert_eq!((closed.code, closed.detail.contains("local passcode")), (Code::Encrypted, true));
        assert_eq!(opened("tdata/D877F783D5D3EF8Cs", ACCOUNT, &[], &[]).unwrap_err().code, Code::Encrypted);
        assert_eq!(opened("tdata/key_datas", KEYS_2580, &["2580"], &[]).unwrap().0.len(), 2);
        assert!(key_in(KEYS_2580, &[]).is_none() && key_in(KEYS_2580, &["2580".to_owned()]).is_some());
    }

    #[test]
    fn damage_is_told() {
        let told =
            |content: &[u8]| opened("tdata/key_datas", content, &[], &[]).map_or(true, |(_, troubles)| !troubles.is_empty());
        let mut changed = KEYS.to_vec();
        changed[20] ^= 1;
        assert_eq!(opened("tdata/key_datas", &changed, &[], &[]).unwrap_err().code, Code::ChecksumMismatch);
        for (at, bit) in (MAGIC.len()..KEYS.len()).flat_map(|at| [(at, 0), (at, 7)]) {
            let mut changed = KEYS.to_vec();
            changed[at] ^= 1 << bit;
            assert!(told(&changed), "byte {at}");
        }
        for cut in MAGIC.len()..KEYS.len() {
            assert!(told(&KEYS[..cut]), "{cut}");
        }
    }
}
