//! The word lists, looked up by a word's bytes as evidence may hold them.

use bip39::Language;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The lists in the order of [`Language::ALL`], as `secret.detail` names them.
pub const NAMES: [&str; 10] = [
    "english",
    "chinese_simplified",
    "chinese_traditional",
    "czech",
    "french",
    "italian",
    "japanese",
    "korean",
    "portuguese",
    "spanish",
];

/// A word's place in each list.
pub type Lists = [Option<u16>; 10];

/// Bits of the filter that words of ASCII letters pass first.
const FILTER_BITS: u32 = 17;

static FILTER: LazyLock<Box<[u64]>> = LazyLock::new(|| {
    let mut filter = vec![0u64; 1 << (FILTER_BITS - 6)].into_boxed_slice();
    for word in Language::ALL.iter().flat_map(|language| language.word_list()) {
        if let Some(bit) = packed(word.as_bytes()).map(slot)
            && let Some(cell) = filter.get_mut(bit / 64)
        {
            *cell |= 1 << (bit % 64);
        }
    }
    filter
});

static WORDS: LazyLock<HashMap<String, Lists>> = LazyLock::new(|| {
    let mut words: HashMap<String, Lists> = HashMap::new();
    for (list, language) in Language::ALL.iter().enumerate() {
        for (index, word) in language.word_list().iter().enumerate() {
            // The lists are decomposed (NFKD); text that people type is composed.
            for spelling in [(*word).to_owned(), composed(word)] {
                if let Some(place) = words.entry(spelling).or_default().get_mut(list) {
                    *place = Some(index as u16);
                }
            }
        }
    }
    words
});

/// Letters of the longest words of ASCII letters (Italian: `rilassato`).
const LONGEST: usize = 9;

/// ASCII letters in one number, case dropped; the first is the lowest byte, the ninth is mixed in.
fn packed(word: &[u8]) -> Option<u64> {
    if !(3..=LONGEST).contains(&word.len()) || !word.is_ascii() {
        return None;
    }
    let number = |letters: &[u8]| letters.iter().rev().fold(0u64, |packed, byte| packed << 8 | u64::from(byte | 0x20));
    let (first, rest) = word.split_at_checked(8).unwrap_or((word, &[]));
    Some(number(first) ^ number(rest).wrapping_mul(0x0101_0000_0001))
}

fn slot(packed: u64) -> usize {
    (packed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS)) as usize
}

/// Whether a word could be of a list: no for most, without touching the table.
pub fn could_be(word: &[u8]) -> bool {
    if let Some(first) = word.iter().find(|byte| !byte.is_ascii()) {
        // Accented Latin, combining marks, Hangul jamo, kana, Hangul syllables; an ideograph is a word by itself.
        return match first {
            0xc3..=0xc5 | 0xcc | 0xcd | 0xe1 | 0xe3 | 0xea..=0xed => true,
            0xe4..=0xe9 => word.len() == 3,
            _ => false,
        };
    }
    packed(word).is_some_and(is_in_filter)
}

fn is_in_filter(packed: u64) -> bool {
    let slot = slot(packed);
    FILTER.get(slot / 64).is_some_and(|cell| cell >> (slot % 64) & 1 == 1)
}

/// [`could_be`] of the first `length` (1 to 8) of eight bytes, in a few instructions; `None` if they are not all ASCII.
#[inline(always)]
pub fn letters_could_be(eight: [u8; 8], length: usize) -> Option<bool> {
    let kept = u64::MAX.checked_shr(64u32.saturating_sub(8 * length as u32)).unwrap_or(0);
    let word = u64::from_le_bytes(eight) & kept;
    if word & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    Some(length >= 3 && is_in_filter(word | 0x2020_2020_2020_2020 & kept))
}

/// Looks a word up.
pub fn look_up(word: &[u8]) -> Option<Lists> {
    if !could_be(word) {
        return None;
    }
    let text = std::str::from_utf8(word).ok()?;
    match WORDS.get(text) {
        Some(lists) => Some(*lists),
        None => WORDS.get(text.to_lowercase().as_str()).copied(),
    }
}

/// The phrase in the list's own spelling, words separated by one space.
pub fn join(list: usize, indices: &[u16]) -> String {
    let Some(words) = Language::ALL.get(list).map(|language| language.word_list()) else { return String::new() };
    let words: Vec<&str> = indices.iter().filter_map(|index| words.get(usize::from(*index)).copied()).collect();
    words.join(" ")
}

/// Combining marks dropped, and spaces between ideographs or kana.
pub fn without_accents(phrase: &str) -> String {
    let is_mark = |character: char| matches!(character as u32, 0x300..=0x36f | 0x3099 | 0x309a);
    let is_wide =
        |character: char| matches!(character as u32, 0x3040..=0x30ff | 0x3400..=0x9fff | 0x1100..=0x11ff | 0xac00..=0xd7af);
    let kept: Vec<char> = phrase.chars().filter(|character| !is_mark(*character)).collect();
    let between = |at: usize| {
        let wide = |at: Option<usize>| at.and_then(|at| kept.get(at)).is_some_and(|character| is_wide(*character));
        wide(at.checked_sub(1)) && wide(at.checked_add(1))
    };
    kept.iter()
        .enumerate()
        .filter(|(at, character)| **character != ' ' || !between(*at))
        .map(|(_, character)| *character)
        .collect()
}

/// NFC of the few compositions that the lists have: Latin accents, kana with (han)dakuten, Hangul.
pub fn composed(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for character in word.chars() {
        match out.chars().next_back().and_then(|last| compose(last, character)) {
            Some(joined) => {
                out.pop();
                out.push(joined);
            }
            None => out.push(character),
        }
    }
    out
}

fn compose(first: char, second: char) -> Option<char> {
    let (a, b) = (first as u32, second as u32);
    let code = match (a, b) {
        // Leading consonant and vowel, then syllable and trailing consonant: the Unicode standard, 3.12.
        (0x1100..=0x1112, 0x1161..=0x1175) => 0xac00 + ((a - 0x1100) * 21 + (b - 0x1161)) * 28,
        (0xac00..=0xd7a3, 0x11a8..=0x11c2) if (a - 0xac00) % 28 == 0 => a + (b - 0x11a7),
        // Voiced kana stand one after the plain ones, half-voiced two after.
        (0x304b..=0x307b, 0x3099) => a + 1,
        (0x306f..=0x307b, 0x309a) => a + 2,
        _ => return latin(first, second),
    };
    char::from_u32(code)
}

fn latin(base: char, mark: char) -> Option<char> {
    let pairs = match mark {
        '\u{300}' => "aàeèiìoòuù",
        '\u{301}' => "aáeéiíoóuú",
        '\u{302}' => "aâeêiîoôuû",
        '\u{303}' => "nñaãoõ",
        '\u{308}' => "eëiïuüoöaä",
        '\u{327}' => "cç",
        _ => return None,
    };
    let mut characters = pairs.chars();
    while let (Some(plain), Some(accented)) = (characters.next(), characters.next()) {
        if plain == base {
            return Some(accented);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_every_list_passes_the_filter_and_is_found_in_its_list() {
        for (list, language) in Language::ALL.iter().enumerate() {
            for (index, word) in language.word_list().iter().enumerate() {
                for spelling in [(*word).to_owned(), composed(word), word.to_uppercase()] {
                    assert!(could_be(spelling.as_bytes()), "{} {spelling}", NAMES[list]);
                    let found = look_up(spelling.as_bytes()).unwrap_or_else(|| panic!("{} {spelling}", NAMES[list]));
                    assert_eq!(found[list], Some(index as u16), "{} {spelling}", NAMES[list]);
                }
            }
        }
    }
}
