//! Seed phrases: BIP-39 in its ten languages, Electrum.

mod words;
#[cfg(test)]
pub(super) use words::NAMES;

use super::Hit;
use crate::observable::SecretKind;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use std::collections::VecDeque;

/// Words of a phrase; more in a row is a word list or prose.
const MOST: usize = 24;
/// Longest row of bytes between two words: `",\n  12) "`.
pub const GAP: usize = 12;
/// Bytes of the longest word in any list (Japanese, decomposed) and some.
const WORD: usize = 48;

/// Fewest words side by side that are worth looking up: any word of a phrase has eleven or more around it.
const FEWEST: usize = 6;

/// A word's first byte and the byte behind its last.
type Span = (usize, usize);

/// Looks at the first word that begins behind `from` and, if it is of a list, at the row it stands in. Says up to where it has looked.
pub fn probe(bytes: &[u8], from: usize, hits: &mut Vec<Hit>) -> usize {
    let Some(middle) = next_word(bytes, from) else { return from + 1 };
    if !words::could_be(text(bytes, middle)) {
        return from + 1;
    }
    // Prose has words of the lists too, but seldom two side by side.
    let could_be = |next: &Span| words::could_be(text(bytes, *next));
    let behind = right(bytes, middle).filter(could_be).map(|next| (middle.1, next.0));
    let before = left(bytes, middle).filter(could_be).map(|next| (next.1, middle.0));
    let mut end = from + 1;
    // The word may end one row and begin another.
    let other = before.filter(|before| behind.is_none_or(|behind| !same_gap(bytes, *before, behind)));
    for gap in [behind, other].into_iter().flatten() {
        if !is_among_words(bytes, middle, gap) {
            continue;
        }
        let row = row(bytes, middle, gap, MOST + 1, |word| words::look_up(word).is_some());
        if let (12 | 13 | 15 | 18 | 21 | 24, Some(first), Some(last)) = (row.len(), row.front(), row.back()) {
            end = end.max(last.1);
            if let Some((value, detail)) = phrase(bytes, &row) {
                hits.push(Hit::secret((first.0, last.1), SecretKind::SeedPhrase, value, detail));
            }
        }
    }
    end
}

/// Letters and bytes above ASCII around a place, one bit a byte, as far as 64 to each side.
pub struct Surroundings {
    /// From the place on; bit 0 is the place.
    pub behind: u64,
    /// Before the place; bit 63 is the byte before it.
    pub before: u64,
}

/// Whether [`probe`] would turn away for sure: the word that it would look at first is of no list, or stands in a row of less than
/// [`FEWEST`] that are. Only what is easy is decided: words of ASCII letters, no escapes, gaps of any kind.
#[inline]
pub fn is_hopeless(bytes: &[u8], from: usize, letters: &Surroundings) -> bool {
    let inside = letters.behind & letters.before >> 63 & 1 == 1;
    let mut at = if inside { letters.behind.trailing_ones() } else { 0 };
    // Words between ideographic spaces look like one.
    if !bytes.get(from..from + at as usize).is_some_and(<[u8]>::is_ascii) {
        return false;
    }
    let mut count = 0;
    // To the right, from the word in question on, until a word is of no list.
    let mut first = None;
    loop {
        let rest = letters.behind.checked_shr(at).unwrap_or(0);
        at += rest.trailing_zeros();
        let length = letters.behind.checked_shr(at).unwrap_or(0).trailing_ones();
        if at + length >= 64 {
            return false;
        }
        let start = from + at as usize;
        match easy_word(bytes, start, length as usize) {
            None => return false,
            Some(false) => break,
            Some(true) => count += 1,
        }
        first = first.or(Some(at));
        if count >= FEWEST {
            return false;
        }
        at += length;
    }
    let Some(first) = first else { return true };
    // And to the left.
    let before = if first == 0 { letters.before } else { letters.before >> first | letters.behind << (64 - first) };
    let mut gone = 0;
    while count < FEWEST {
        gone += before.checked_shl(gone).unwrap_or(0).leading_zeros();
        let length = before.checked_shl(gone).unwrap_or(0).leading_ones();
        let start = (from + first as usize).checked_sub((gone + length) as usize);
        match start.filter(|_| gone + length < 64).map(|start| easy_word(bytes, start, length as usize)) {
            None | Some(None) => return false,
            Some(Some(false)) => return true,
            Some(Some(true)) => count += 1,
        }
        gone += length;
    }
    false
}

/// Whether a word could be of a list; `None` if that is not easy to say: behind a backslash, or not of ASCII.
#[inline(always)]
fn easy_word(bytes: &[u8], start: usize, length: usize) -> Option<bool> {
    let escaped = start.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\\');
    if escaped {
        return None;
    }
    match bytes.get(start..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(eight) if length <= 8 => words::letters_could_be(*eight, length),
        _ => bytes.get(start..start + length).filter(|word| word.is_ascii()).map(words::could_be),
    }
}

/// Whether a word stands among enough that could be of a list, with the same gap between.
fn is_among_words(bytes: &[u8], middle: Span, gap: Span) -> bool {
    let fits = |gap_here: Span, next: Span| words::could_be(text(bytes, next)) && same_gap(bytes, gap_here, gap);
    let (mut count, mut last, mut first) = (1, middle, middle);
    while count < FEWEST {
        match right(bytes, last) {
            Some(next) if fits((last.1, next.0), next) => last = next,
            _ => break,
        }
        count += 1;
    }
    while count < FEWEST {
        match left(bytes, first) {
            Some(next) if fits((next.1, first.0), next) => first = next,
            _ => return false,
        }
        count += 1;
    }
    true
}

/// Up to `most` words around one that are of a list and have the same gap between them.
fn row(bytes: &[u8], middle: Span, gap: Span, most: usize, is_word: impl Fn(&[u8]) -> bool) -> VecDeque<Span> {
    let mut row = VecDeque::with_capacity(most);
    if !is_word(text(bytes, middle)) {
        return row;
    }
    row.push_back(middle);
    while row.len() < most {
        let Some(last) = row.back().copied() else { break };
        match right(bytes, last) {
            Some(next) if same_gap(bytes, (last.1, next.0), gap) && is_word(text(bytes, next)) => row.push_back(next),
            _ => break,
        }
    }
    while row.len() < most {
        let Some(first) = row.front().copied() else { break };
        match left(bytes, first) {
            Some(next) if same_gap(bytes, (next.1, first.0), gap) && is_word(text(bytes, next)) => row.push_front(next),
            _ => break,
        }
    }
    row
}

fn text(bytes: &[u8], span: Span) -> &[u8] {
    bytes.get(span.0..span.1).unwrap_or(&[])
}

/// Whether two gaps are the same but for the digits that count the words.
fn same_gap(bytes: &[u8], one: Span, other: Span) -> bool {
    let kept = |span: Span| text(bytes, span).iter().filter(|byte| !byte.is_ascii_digit());
    kept(one).eq(kept(other))
}

/// The word behind the one that `from` stands in.
fn next_word(bytes: &[u8], from: usize) -> Option<Span> {
    let is_part = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|byte| is_letter(*byte));
    if is_part(from.checked_sub(1)) && is_part(Some(from)) {
        let rest = bytes.get(from..bytes.len().min(from + 2 * WORD))?;
        let length = rest.iter().take_while(|byte| is_letter(**byte)).count();
        // Words between ideographic spaces look like one.
        let space = if *rest.first()? < 0xe1 { None } else { memchr::memmem::find(rest.get(..length)?, IDEOGRAPHIC_SPACE) };
        let end = from + space.unwrap_or(length);
        return right(bytes, (from, end));
    }
    let rest = bytes.get(from..bytes.len().min(from + WORD))?;
    let start = from + rest.iter().position(|byte| is_letter(*byte))?;
    word(bytes, start + escape(bytes, start))
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
fn word(bytes: &[u8], at: usize) -> Option<Span> {
    let rest = bytes.get(at..bytes.len().min(at + WORD))?;
    let length = rest.iter().take_while(|byte| is_letter(**byte)).count();
    let text = rest.get(..length)?;
    let space = if *text.first()? < 0xe1 { None } else { memchr::memmem::find(text, IDEOGRAPHIC_SPACE) };
    Some((at, at + space.unwrap_or(length)))
}

/// How many bytes can stand between words here.
fn gap_length<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take(GAP + 1).take_while(|byte| !is_letter(**byte) && **byte != 0).count()
}

/// The word to the right.
fn right(bytes: &[u8], (_, end): Span) -> Option<Span> {
    let rest = bytes.get(end..)?;
    let mut length = gap_length(rest.iter());
    if length == 0 && rest.starts_with(IDEOGRAPHIC_SPACE) {
        length = IDEOGRAPHIC_SPACE.len();
    }
    if length == 0 || length > GAP {
        return None;
    }
    let start = end + length;
    // `\n2. ability`: the letter of the escape stands alone, the gap goes on behind it.
    let escaped = escape(bytes, start);
    let further = if escaped == 1 { gap_length(bytes.get(start + 1..)?.iter()) } else { 0 };
    let start = start + escaped + further;
    (length + further <= GAP).then(|| word(bytes, start)).flatten()
}

/// The word to the left.
fn left(bytes: &[u8], (start, _): Span) -> Option<Span> {
    // The letter of an escape right before belongs to the gap.
    let end = start - start.checked_sub(1).map_or(0, |before| escape(bytes, before));
    let front = bytes.get(..end)?;
    let mut length = gap_length(front.iter().rev());
    if length == 0 && front.ends_with(IDEOGRAPHIC_SPACE) {
        length = IDEOGRAPHIC_SPACE.len();
    }
    if length == 0 || length > GAP {
        return None;
    }
    let mut end = end - length;
    if end >= 2 && escape(bytes, end - 1) == 1 {
        end -= 1;
        let further = gap_length(bytes.get(..end)?.iter().rev());
        end -= further;
        if length + further > GAP {
            return None;
        }
    }
    let front = bytes.get(end.saturating_sub(WORD)..end)?;
    let count = front.iter().rev().take_while(|byte| is_letter(**byte)).count();
    let text = front.get(front.len() - count..)?;
    let skipped = memchr::memmem::rfind(text, IDEOGRAPHIC_SPACE).map_or(0, |space| space + IDEOGRAPHIC_SPACE.len());
    let start = end - count + skipped;
    word(bytes, start + escape(bytes, start)).filter(|before| before.1 == end)
}

/// The phrase and what it is for, if it is one.
fn phrase(bytes: &[u8], row: &VecDeque<Span>) -> Option<(String, String)> {
    let looked_up: Vec<words::Lists> = row.iter().filter_map(|span| words::look_up(text(bytes, *span))).collect();
    let mut found: Option<(String, Vec<String>)> = None;
    let mut put = |value: String, detail: String| match &mut found {
        Some((_, details)) => details.push(detail),
        None => found = Some((value, vec![detail])),
    };
    for (list, name) in words::NAMES.iter().enumerate() {
        let Some(indices) = looked_up.iter().map(|lists| lists.get(list).copied().flatten()).collect::<Option<Vec<u16>>>() else {
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
