//! Seed phrases: BIP-39 in its ten languages, Electrum.

mod words;

use super::Hit;
use crate::observable::SecretKind;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use words::Lists;

/// Words of a phrase; more in a row is a word list or prose.
const MOST: usize = 24;
/// Longest row of bytes between two words: `",\n  12) "`.
const GAP: usize = 12;
/// Bytes of the longest word in any list (Japanese, decomposed) and some.
const WORD: usize = 48;

/// One word of a row.
struct Word {
    start: usize,
    end: usize,
    /// Its places in the lists.
    lists: Lists,
}

/// Looks at the word that begins at `at` and, if it is of a list, at the row it stands in. Says up to where it has looked.
pub fn at(bytes: &[u8], at: usize, hits: &mut Vec<Hit>) -> usize {
    let at = at + escape(bytes, at);
    let Some(first) = word(bytes, at) else { return at + 1 };
    // Prose has words of the lists too, but seldom three in a row: the neighbour on the right is looked at before the rest.
    let Some((gap, second)) = right(bytes, &first) else { return at + 1 };
    let mut row = vec![first, second];
    while row.len() <= MOST {
        let Some((next_gap, next)) = row.last().and_then(|last| right(bytes, last)) else { break };
        if next_gap != gap {
            break;
        }
        row.push(next);
    }
    while row.len() <= MOST {
        let Some((next_gap, next)) = row.first().and_then(|first| left(bytes, first)) else { break };
        if next_gap != gap {
            break;
        }
        row.insert(0, next);
    }
    let end = row.last().map_or(at + 1, |last| last.end);
    if let (12 | 13 | 15 | 18 | 21 | 24, Some(first)) = (row.len(), row.first()) {
        if let Some((value, detail)) = phrase(&row) {
            hits.push(Hit::secret((first.start, end), SecretKind::SeedPhrase, value, detail));
        }
        return end;
    }
    at + 1
}

/// A letter of an escape (`\nability`) that is not part of the word.
fn escape(bytes: &[u8], at: usize) -> usize {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    usize::from(before == Some(&b'\\') && matches!(bytes.get(at), Some(b'n' | b'r' | b't')))
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

/// The ideographic space, between the words of Japanese phrases.
const IDEOGRAPHIC_SPACE: &[u8] = "\u{3000}".as_bytes();

/// The word that begins at `at`.
fn word(bytes: &[u8], at: usize) -> Option<Word> {
    let rest = bytes.get(at..bytes.len().min(at + WORD))?;
    let length = rest.iter().take_while(|byte| is_letter(**byte)).count();
    let mut text = rest.get(..length)?;
    if let Some(space) = memchr::memmem::find(text, IDEOGRAPHIC_SPACE) {
        text = text.get(..space)?;
    }
    let lists = words::look_up(text)?;
    Some(Word { start: at, end: at + text.len(), lists })
}

/// What stands between two words, without the digits that count them.
fn gap(between: &[u8]) -> Vec<u8> {
    between.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect()
}

/// Bytes that can stand between words.
fn gap_length<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take(GAP + 1).take_while(|byte| !is_letter(**byte) && **byte != 0).count()
}

fn right(bytes: &[u8], word_before: &Word) -> Option<(Vec<u8>, Word)> {
    let rest = bytes.get(word_before.end..)?;
    let mut length = gap_length(rest.iter());
    if length == 0 && rest.starts_with(IDEOGRAPHIC_SPACE) {
        length = IDEOGRAPHIC_SPACE.len();
    }
    if length == 0 || length > GAP {
        return None;
    }
    let start = word_before.end + length;
    let start = start + escape(bytes, start);
    let next = word(bytes, start)?;
    Some((gap(bytes.get(word_before.end..start)?), next))
}

fn left(bytes: &[u8], word_behind: &Word) -> Option<(Vec<u8>, Word)> {
    let mut end = word_behind.start - escape_before(bytes, word_behind.start);
    let front = bytes.get(..end)?;
    let mut length = gap_length(front.iter().rev());
    if length == 0 && front.ends_with(IDEOGRAPHIC_SPACE) {
        length = IDEOGRAPHIC_SPACE.len();
    }
    if length == 0 || length > GAP {
        return None;
    }
    end -= length;
    let front = bytes.get(end.saturating_sub(WORD)..end)?;
    let count = front.iter().rev().take_while(|byte| is_letter(**byte)).count();
    let text = front.get(front.len() - count..)?;
    let skipped = memchr::memmem::rfind(text, IDEOGRAPHIC_SPACE).map_or(0, |space| space + IDEOGRAPHIC_SPACE.len());
    let start = end - count + skipped;
    let before = word(bytes, start + escape(bytes, start)).filter(|before| before.end == end)?;
    Some((gap(bytes.get(end..word_behind.start)?), before))
}

/// One byte if the word at `at` follows the letter of an escape.
fn escape_before(bytes: &[u8], at: usize) -> usize {
    at.checked_sub(1).map_or(0, |before| escape(bytes, before))
}

/// The phrase and what it is for, if it is one.
fn phrase(row: &[Word]) -> Option<(String, String)> {
    let mut found: Option<(String, Vec<String>)> = None;
    let mut put = |value: String, detail: String| match &mut found {
        Some((_, details)) => details.push(detail),
        None => found = Some((value, vec![detail])),
    };
    for (list, name) in words::NAMES.iter().enumerate() {
        let Some(indices) = row.iter().map(|word| word.lists.get(list).copied().flatten()).collect::<Option<Vec<u16>>>() else {
            continue;
        };
        // A word repeated over and over is a test vector or a drum.
        let text = words::join(list, &indices);
        if row.len() != 13 && checksum(&indices) {
            put(text, format!("bip39:{name}"));
        } else if let Some(kind) = electrum(&text).filter(|_| matches!(row.len(), 12 | 13 | 24)) {
            put(text, format!("electrum:{kind}"));
        }
    }
    found.map(|(value, mut details)| {
        details.dedup();
        (value, details.join(","))
    })
}

/// BIP-39: of 11 bits a word, one in 33 is the beginning of the SHA-256 of the rest.
fn checksum(indices: &[u16]) -> bool {
    let mut bytes = Vec::with_capacity(34);
    let (mut word, mut bits) = (0u32, 0);
    for index in indices {
        word = (word << 11 | u32::from(*index)) & 0x7_ffff;
        bits += 11;
        while bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    let entropy = indices.len() * 11 * 32 / 33 / 8;
    let sum_bits = indices.len() / 3;
    // What is left over in `word` is the end of the checksum where it is no whole byte.
    let stored = bytes.get(entropy).copied().unwrap_or((word << (8 - bits)) as u8);
    let Some(first) = bytes.get(..entropy).map(|entropy| Sha256::digest(entropy)[0]) else { return false };
    let shift = 8 - sum_bits.min(8);
    stored >> shift == first >> shift
}

/// Electrum from 2.0 on: HMAC-SHA512 of the phrase under `Seed version` begins with the kind. electrum/version.py.
fn electrum(phrase: &str) -> Option<&'static str> {
    // Accents are dropped, and the spaces between ideographs: electrum/mnemonic.py, normalize_text.
    let plain = words::without_accents(phrase);
    let mut mac = Hmac::<Sha512>::new_from_slice(b"Seed version").ok()?;
    mac.update(plain.as_bytes());
    let digest = mac.finalize().into_bytes();
    match (digest.first()?, digest.get(1)? >> 4) {
        (0x01, _) => Some("standard"),
        (0x10, 0) => Some("segwit"),
        (0x10, 1) => Some("2fa"),
        (0x10, 2) => Some("2fa_segwit"),
        _ => None,
    }
}
