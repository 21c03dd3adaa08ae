//! International bank account numbers.

use super::Hit;
use crate::observable::{ObservableKind, Validity};

/// Lengths by country: the SWIFT IBAN registry.
const LENGTHS: &[(&[u8; 2], u8)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// A number without spaces that is a whole run.
pub fn in_run(span: (usize, usize), text: &str, hits: &mut Vec<Hit>) -> bool {
    let fits = is_valid(text.as_bytes());
    if fits {
        hits.push(Hit::observable(span, ObservableKind::Iban, text.to_owned(), None, Validity::Checksum));
    }
    fits
}

/// A number in groups of four (the last may be shorter) with one space, no-break space or hyphen between; `start` is its first letter.
pub fn in_groups(bytes: &[u8], start: usize, hits: &mut Vec<Hit>) {
    let Some(country) = bytes.get(start..start + 2) else { return };
    let Some(length) = length(country) else { return };
    let mut value = Vec::with_capacity(length);
    let mut at = start;
    while value.len() < length {
        if !value.is_empty() && value.len() % 4 == 0 {
            at += match bytes.get(at..at + 2) {
                Some([b' ' | b'-', _]) => 1,
                Some([0xc2, 0xa0]) => 2,
                _ => return,
            };
        }
        match bytes.get(at) {
            Some(byte) if byte.is_ascii_alphanumeric() => value.push(*byte),
            _ => return,
        }
        at += 1;
    }
    if bytes.get(at).is_some_and(u8::is_ascii_alphanumeric) || !is_valid(&value) {
        return;
    }
    let Ok(value) = String::from_utf8(value) else { return };
    hits.push(Hit::observable((start, at), ObservableKind::Iban, value, None, Validity::Checksum));
}

fn length(country: &[u8]) -> Option<usize> {
    let index = LENGTHS.binary_search_by(|(known, _)| known.as_slice().cmp(country)).ok()?;
    LENGTHS.get(index).map(|(_, length)| usize::from(*length))
}

/// ISO 13616: length of its country, capitals and digits, remainder 1 modulo 97 with the first four at the end. Check digits run from 02 to 98.
fn is_valid(text: &[u8]) -> bool {
    let Some((head, body)) = text.split_at_checked(4) else { return false };
    let [first, second, tens, units] = head else { return false };
    if !first.is_ascii_uppercase() || !second.is_ascii_uppercase() || !tens.is_ascii_digit() || !units.is_ascii_digit() {
        return false;
    }
    let shaped = text.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !shaped || length(&[*first, *second]) != Some(text.len()) {
        return false;
    }
    // An account of one repeated digit is a specimen (or a filler that happens to fit).
    if body.iter().all(|byte| Some(byte) == body.first()) {
        return false;
    }
    let remainder = body.iter().chain(head).fold(0u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    let check = u32::from(tens - b'0') * 10 + u32::from(units - b'0');
    remainder == 1 && (2..=98).contains(&check)
}
