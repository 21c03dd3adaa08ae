//! How a page is encrypted, and which key and form fit a database.

use super::MAGIC;
use crate::open::keyring::{unhex, wechat_key};
use aes::Aes256;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use hmac::{Hmac, Mac};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// Smallest and largest page.
const PAGE_MIN: usize = 512;
pub const PAGE_MAX: usize = 65_536;
/// Sizes of pages, those in use first.
const PAGES: [usize; 8] = [4096, 1024, 8192, 2048, PAGE_MIN, 16_384, 32_768, PAGE_MAX];
/// Bytes of a key, of a salt, of a vector and a block.
const KEY: usize = 32;
const SALT: usize = 16;
const BLOCK: usize = 16;
/// Bytes in clear at the beginning of databases of iOS.
const CLEAR_HEADER: usize = 32;
/// What the salt is changed with for the key of the HMAC, and the rounds of that derivation.
const MAC_SALT: u8 = 0x3a;
const MAC_ROUNDS: u32 = 2;

/// A hash function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    const ALL: [Hash; 3] = [Hash::Sha512, Hash::Sha1, Hash::Sha256];

    fn derive(self, phrase: &[u8], salt: &[u8], rounds: u32) -> [u8; KEY] {
        let mut key = [0; KEY];
        match self {
            Hash::Sha1 => pbkdf2_hmac::<sha1_next::Sha1>(phrase, salt, rounds, &mut key),
            Hash::Sha256 => pbkdf2_hmac::<pbkdf2::sha2::Sha256>(phrase, salt, rounds, &mut key),
            Hash::Sha512 => pbkdf2_hmac::<pbkdf2::sha2::Sha512>(phrase, salt, rounds, &mut key),
        }
        key
    }

    fn bytes(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            Hash::Sha512 => 64,
        }
    }

    /// Bytes at the end of a page: the vector and the HMAC, in whole blocks.
    fn reserve(self) -> usize {
        (BLOCK + self.bytes()).next_multiple_of(BLOCK)
    }

    /// Whether the HMAC of content and page number is the one that is stored.
    fn verifies(self, key: &[u8; KEY], content: &[u8], number: u32, stored: &[u8]) -> bool {
        fn run<M: Mac + hmac::digest::KeyInit>(key: &[u8; KEY], content: &[u8], number: u32, stored: &[u8]) -> bool {
            let Ok(mut mac) = <M as Mac>::new_from_slice(key) else { return false };
            mac.update(content);
            mac.update(&number.to_le_bytes());
            mac.verify_slice(stored).is_ok()
        }
        match self {
            Hash::Sha1 => run::<Hmac<Sha1>>(key, content, number, stored),
            Hash::Sha256 => run::<Hmac<Sha256>>(key, content, number, stored),
            Hash::Sha512 => run::<Hmac<Sha512>>(key, content, number, stored),
        }
    }
}

/// What may open a database.
#[derive(Clone, PartialEq, Debug)]
pub enum Secret {
    /// A key as it is, and the salt if it is known apart from the file.
    Raw([u8; KEY], Option<[u8; SALT]>),
    /// What a key is derived from, in the ways of the versions of SQLCipher, or in the cheap ones only.
    Phrase(Vec<u8>, &'static [(Hash, u32)]),
}

/// Hashes and rounds of SQLCipher 4, 3, 2 and 1.
const ROUNDS: &[(Hash, u32)] = &[(Hash::Sha512, 256_000), (Hash::Sha1, 64_000), (Hash::Sha1, 4_000)];
/// Of a phrase that is a key already: Signal on Android derives with one round.
const ROUNDS_SIGNAL: &[(Hash, u32)] = &[(Hash::Sha1, 1), (Hash::Sha512, 1)];
/// WeChat on Android; its key on computers is the phrase of the later versions.
const ROUNDS_WECHAT: &[(Hash, u32)] = &[(Hash::Sha1, 4_000)];

impl Secret {
    /// What a word that was given may stand for.
    pub fn given(word: &str) -> Vec<Secret> {
        let mut secrets = Secret::found(word);
        let bare = bare(word);
        if let Some(key) = unhex(bare).filter(|key| key.len() == KEY) {
            secrets.push(Secret::Phrase(key, ROUNDS));
        }
        // IMEI and uin as one word, with a plus sign between them or without.
        let joined = word.replacen('+', "", 1);
        secrets.push(Secret::Phrase(wechat_key(&joined).into_bytes(), ROUNDS_WECHAT));
        secrets.push(Secret::Phrase(word.as_bytes().to_vec(), ROUNDS));
        secrets
    }

    /// What a word that was found may stand for: nothing that takes long.
    pub fn found(word: &str) -> Vec<Secret> {
        let bare = bare(word);
        let mut secrets = Vec::new();
        if let Some((key, salt)) = unhex(bare).as_deref().and_then(|bytes| bytes.split_first_chunk::<KEY>()) {
            match salt {
                [] => secrets.push(Secret::Raw(*key, None)),
                salt => secrets.extend(salt.try_into().ok().map(|salt| Secret::Raw(*key, Some(salt)))),
            }
            secrets.push(Secret::Phrase(bare.as_bytes().to_vec(), ROUNDS_SIGNAL));
        }
        if bare.len() == 7 && unhex(&format!("{bare}0")).is_some() {
            secrets.push(Secret::Phrase(bare.as_bytes().to_vec(), ROUNDS_WECHAT));
        }
        secrets
    }
}

/// The digits of a key, without the `x'…'` that SQLCipher wants around them.
fn bare(word: &str) -> &str {
    let word = word.trim();
    word.strip_prefix("x'").and_then(|word| word.strip_suffix('\'')).unwrap_or(word)
}

/// What became of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// It passed its check, or has none.
    Good,
    /// It failed it.
    Bad,
}

/// A key and the form of pages that fit a database.
pub struct Codec {
    key: [u8; KEY],
    /// Hash and key of the HMAC, if pages have one.
    mac: Option<(Hash, [u8; KEY])>,
    /// Bytes of a page.
    pub page: usize,
    /// Bytes at the end of each page that hold vector and HMAC.
    reserve: usize,
    /// Bytes at the beginning of the first page that are not encrypted: the salt, or a header.
    lead: usize,
    /// Whether those are the salt, in the place of SQLite's first bytes.
    salted: bool,
}

impl Codec {
    /// The form in which a secret opens the first page; `None` if it does not.
    pub fn fitting(secret: &Secret, first: &[u8], clear: bool) -> Option<Codec> {
        let (salt, lead) = match (secret, clear) {
            (Secret::Raw(_, Some(salt)), true) => (*salt, CLEAR_HEADER),
            // Without the salt a header in clear leaves nothing to derive from.
            (_, true) => return None,
            (Secret::Raw(_, Some(salt)), false) if first.first_chunk::<SALT>() != Some(salt) => return None,
            (_, false) => (*first.first_chunk::<SALT>()?, SALT),
        };
        let fits = |key: [u8; KEY]| Codec::with_key(key, salt, lead, !clear, first);
        match secret {
            Secret::Raw(key, _) => fits(*key),
            Secret::Phrase(phrase, ways) => ways.iter().find_map(|(hash, rounds)| fits(hash.derive(phrase, &salt, *rounds))),
        }
    }

    fn with_key(key: [u8; KEY], salt: [u8; SALT], lead: usize, salted: bool, first: &[u8]) -> Option<Codec> {
        let mac_salt = salt.map(|byte| byte ^ MAC_SALT);
        for hash in Hash::ALL {
            let mac_key = hash.derive(&key, &mac_salt, MAC_ROUNDS);
            for page in PAGES.into_iter().filter(|page| *page <= first.len()) {
                let codec = Codec { key, mac: Some((hash, mac_key)), page, reserve: hash.reserve(), lead, salted };
                if codec.fits(first) {
                    return Some(codec);
                }
            }
        }
        // A header in clear proves nothing: only an HMAC tells whether the key is right.
        let plain = PAGES.into_iter().filter(|page| salted && *page <= first.len());
        let mut plain = plain.map(|page| Codec { key, mac: None, page, reserve: BLOCK, lead, salted });
        plain.find(|codec| codec.fits(first))
    }

    /// Whether the first page decrypts to that of a database whose header tells the same form.
    fn fits(&self, first: &[u8]) -> bool {
        let Some(raw) = first.get(..self.page) else { return false };
        if self.mac.is_some() && self.check(1, raw) == Page::Bad {
            return false;
        }
        let mut page = raw.to_vec();
        self.decrypt(1, &mut page);
        let size = page.get(16..18).map(|size| usize::from(u16::from_be_bytes([size[0], size[1]])));
        let size_fits = size.is_some_and(|size| size == self.page || size == 1 && self.page == PAGE_MAX);
        let versions = page.get(18..20).is_some_and(|versions| versions.iter().all(|version| (1..=2).contains(version)));
        size_fits
            && versions
            // A newer SQLCipher leaves more room than an older form takes.
            && page.get(20).is_some_and(|reserve| usize::from(*reserve) >= self.reserve)
            && page.get(21..24) == Some(&[64, 32, 32])
    }

    /// Where the encrypted part of a page begins.
    fn begin(&self, number: u32) -> usize {
        if number == 1 { self.lead } else { 0 }
    }

    /// Checks a page as it is stored.
    pub fn check(&self, number: u32, raw: &[u8]) -> Page {
        let Some((hash, key)) = &self.mac else { return Page::Good };
        let tail = self.page - self.reserve;
        let content = raw.get(self.begin(number)..tail + BLOCK);
        let stored = raw.get(tail + BLOCK..tail + BLOCK + hash.bytes());
        let good = content.zip(stored).is_some_and(|(content, stored)| hash.verifies(key, content, number, stored));
        if good { Page::Good } else { Page::Bad }
    }

    /// Decrypts a page in its place.
    pub fn decrypt(&self, number: u32, page: &mut [u8]) {
        let (begin, tail) = (self.begin(number), self.page - self.reserve);
        let vector = page.get(tail..tail + BLOCK).and_then(|vector| <[u8; BLOCK]>::try_from(vector).ok());
        let (Some(vector), Some(content)) = (vector, page.get_mut(begin..tail)) else { return };
        let mut cipher = cbc::Decryptor::<Aes256>::new(&self.key.into(), &vector.into());
        for block in content.as_chunks_mut::<BLOCK>().0 {
            cipher.decrypt_block(block.into());
        }
        if let Some(magic) = page.first_chunk_mut::<SALT>().filter(|_| number == 1 && self.salted) {
            *magic = *MAGIC;
        }
    }
}
