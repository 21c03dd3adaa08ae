//! The form in which texts and what is looked for are compared, and numbers as people write them.
//!
//! Whoever looks for a word does not know how a phone's owner typed it: with the tone marks of Vietnamese or without, with the vowel signs
//! of Arabic, in full-width letters, in Khmer digits, in traditional characters or in
//! simplified ones, with zero-width spaces between words. All of these are one here. What
//! tells words apart stays: vowels and tones of Thai, Khmer, Burmese and the rest of South Asia, й and ї of Cyrillic.

use super::han::simplified;
use model::text::is_deceptive;
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// The form in which texts are compared.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() };
    }
    if text.chars().all(is_folded) {
        return text.into();
    }
    let mut base = None;
    let mut folded = String::with_capacity(text.len());
    for character in text.nfkd().flat_map(char::to_lowercase).filter(|character| !is_ignored(*character)) {
        if canonical_combining_class(character) == 0 {
            base = Some(character);
        } else if is_optional(base, character) {
            continue;
        }
        match character {
            'ß' => folded.push_str("ss"),
            _ => folded.push(one_of_alike(character)),
        }
    }
    folded.nfc().collect::<String>().into()
}

/// Whether a character is in that form whatever stands beside it: what most texts consist of.
fn is_folded(character: char) -> bool {
    matches!(character,
        '\0'..='@' | '['..='\u{7f}' | 'а'..='и' | 'к'..='я' | '\u{e01}'..='\u{e30}' | '\u{e40}'..='\u{e46}' | '\u{1780}'..='\u{17b3}')
        || matches!(character, '\u{4e00}'..='\u{9fff}' if simplified(character) == character)
}

/// Characters that are not seen: zero-width, bidirectional and formatting ones, variation selectors, the stroke that stretches Arabic.
fn is_ignored(character: char) -> bool {
    let hidden = matches!(character, '\u{34f}' | '\u{640}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}');
    hidden || is_deceptive(character)
}

/// Whether a mark may be left out where people type quickly: accents and tones of Latin and Greek letters, stress and the dots of ё in
/// Cyrillic, vowel signs and hamzas of Arabic, points of Hebrew.
fn is_optional(base: Option<char>, mark: char) -> bool {
    match mark {
        '\u{300}'..='\u{36f}' => match base {
            None | Some('a'..='z' | '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{3ff}' | '\u{1e00}'..='\u{1fff}') => true,
            Some('е') => matches!(mark, '\u{300}' | '\u{301}' | '\u{308}'),
            Some('\u{400}'..='\u{4ff}') => matches!(mark, '\u{300}' | '\u{301}'),
            Some(_) => false,
        },
        '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6ed}' | '\u{591}'..='\u{5bd}' | '\u{5bf}'..='\u{5c7}' => true,
        _ => false,
    }
}

/// Digits of every script that scam centres write, and letters that stand for each other.
fn one_of_alike(character: char) -> char {
    const ZEROS: [u32; 9] = [0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xed0, 0x1040, 0x1090, 0x17e0];
    let code = character as u32;
    if let Some(digit) = ZEROS.iter().find_map(|zero| code.checked_sub(*zero).filter(|digit| *digit < 10)) {
        return char::from_digit(digit, 10).unwrap_or(character);
    }
    match character {
        'đ' => 'd',
        'ł' => 'l',
        'ø' => 'o',
        'ı' => 'i',
        'ς' => 'σ',
        // Alef, yeh, kaf and heh, as Lucene's normalization of Arabic and Persian has them.
        'ٱ' => 'ا',
        'ى' | 'ی' => 'ي',
        'ک' => 'ك',
        'ة' => 'ه',
        // Rows of the Ethiopic syllabary that Amharic no longer tells apart by sound: ሐ ኀ as ሀ, ሠ as ሰ, ዐ as አ, ፀ as ጸ.
        '\u{1210}'..='\u{1216}' => moved(code, 0x1210, 0x1200),
        '\u{1280}'..='\u{1286}' => moved(code, 0x1280, 0x1200),
        '\u{1220}'..='\u{1226}' => moved(code, 0x1220, 0x1230),
        '\u{12d0}'..='\u{12d6}' => moved(code, 0x12d0, 0x12a0),
        '\u{1340}'..='\u{1346}' => moved(code, 0x1340, 0x1338),
        _ => simplified(character),
    }
}

fn moved(code: u32, from: u32, to: u32) -> char {
    char::from_u32(code - from + to).unwrap_or('\u{fffd}')
}

/// Digits of a phone number, ITU-T E.164: at most 15; fewer than 7 are no number worth looking for apart from its spelling.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// What people put between the digits of one number.
fn is_between(character: char) -> bool {
    matches!(character, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}')
}

/// The digits of what is nothing but one number, however it is written (folded): `+855 (0)12-345 678` is `85512345678`.
pub fn number(folded: &str) -> Option<String> {
    let text = folded.trim_start_matches(['(', ' ']);
    let body = text.strip_prefix('+').unwrap_or(text).replace("(0)", "");
    if !body.chars().all(|character| character.is_ascii_digit() || is_between(character)) {
        return None;
    }
    let digits: String = body.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.strip_prefix("00").unwrap_or(&digits);
    DIGITS.contains(&digits.len()).then(|| digits.to_owned())
}

/// Every run of digits in a folded text: its groups, with nothing but the signs of [`is_between`] between them, three at most.
pub fn runs<'t>(folded: &'t str, mut take: impl FnMut(&[&'t str])) {
    let mut groups: Vec<&str> = Vec::new();
    let mut rest = folded;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let zero = groups.last() == Some(&"0") && before.starts_with(')');
        let together = before.chars().count() <= 3 && before.chars().all(is_between);
        if !groups.is_empty() && !together {
            take(&groups);
            groups.clear();
        }
        if zero && groups.len() > 1 {
            // The zero of `+44 (0)20` is not dialled from abroad.
            groups.pop();
        }
        let end = from.find(|character: char| !character.is_ascii_digit()).unwrap_or(from.len());
        let (group, after) = from.split_at(end);
        groups.push(group);
        rest = after;
    }
    if !groups.is_empty() {
        take(&groups);
    }
}

/// Every number that a folded text can be read to have: groups of a run that stand together, from the beginning of one to the end of one.
pub fn numbers(folded: &str, take: &mut dyn FnMut(&str)) {
    let mut digits = String::new();
    runs(folded, |groups| {
        for first in 0..groups.len() {
            digits.clear();
            for group in groups.iter().skip(first) {
                if digits.len() + group.len() > DIGITS.end() + 2 {
                    break;
                }
                digits.push_str(group);
                if digits.len() >= *DIGITS.start() {
                    take(&digits);
                    digits.strip_prefix("00").into_iter().for_each(&mut *take);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of the first is looked for as, and a text that has it.
    #[test]
    fn a_word_is_found_however_it_was_typed() {
        for (word, text) in [
            ("chuyển tiền", "CHUYEN TIEN ngay"),
            ("chuyen tien", "Chuyê\u{309}n tiê\u{300}n"),
            ("dia chi", "ĐỊA CHỈ ví"),
            ("ＵＳＤＴ", "usdt"),
            ("usdt", "U\u{200b}S\u{ad}DT"),
            ("кошелек", "КОШЕЛЁК"),
            ("Παράδοση", "παραδοσησ"),
            ("strasse", "Straße"),
            ("istanbul", "İSTANBUL"),
            ("تحويل", "تَحْوِيـل"),
            ("احمد", "أحمد"),
            ("شركه", "شركة"),
            ("كريم", "کریم"),
            ("ፀሐይ", "ጸሀይ"),
            ("12500", "١٢٥٠٠ ៛"),
            ("12500", "១២៥០០"),
            ("12500", "၁၂၅၀၀"),
            ("12500", "๑๒๕๐๐"),
            ("ផ្ទេរប្រាក់", "សូម\u{200b}ផ្ទេរ\u{200b}ប្រាក់\u{200b}មក"),
            ("โอนเงิน", "กรุณาโอน\u{200b}เงินด่วน"),
            ("转账", "请转\u{fe00}账"),
            ("转账", "請轉帳到"),
            ("詐騙園區", "诈骗园区"),
            ("錢包", "冷钱包地址"),
            ("護照", "收护照"),
        ] {
            assert!(fold(text).contains(&*fold(word)), "{word} in {text}: {} in {}", fold(word), fold(text));
        }
    }

    #[test]
    fn what_tells_words_apart_stays() {
        for (one, other) in [("ไหม", "ใหม่"), ("កា", "កិ"), ("мой", "мои"), ("ငွေ", "ငွ"), ("が", "か"), ("転", "转")]
        {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
        for text in ["転账", "กขค", "кг", "កខ"] {
            assert_eq!(fold(text), text.nfkc().collect::<String>());
        }
    }

    #[test]
    fn numbers_are_found_however_they_are_written() {
        for (written, digits) in [
            ("+855 12 345-678", Some("85512345678")),
            ("0085512345678", Some("85512345678")),
            ("(+855) 12345678", Some("85512345678")),
            ("+44 (0)20 7946 0958", Some("442079460958")),
            ("012.345.678", Some("012345678")),
            ("12 34", None),
            ("call 85512345678", None),
            ("1234567890123456", None),
        ] {
            assert_eq!(number(written).as_deref(), digits, "{written}");
        }
        let found = |text: &str, digits: &str| {
            let mut found = false;
            numbers(text, &mut |number| found |= number == digits);
            found
        };
        for text in ["+855 12 345 678", "call 00855-12-345-678 now", "7: 85512345678", "8551234 5678, 1", "+855 (0)12 345678"] {
            assert!(found(text, "85512345678"), "{text}");
        }
        for text in ["985512345678", "855123456789", "855x12345678", "855 - - 12345678", "8551234567"] {
            assert!(!found(text, "85512345678"), "{text}");
        }
    }
}
