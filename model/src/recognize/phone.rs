//! Phone numbers.

use super::Hit;
use crate::observable::{ObservableKind, Validity};
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};
use std::cell::RefCell;

/// Longest number as written, with spaces and parentheses.
const LONGEST: usize = 40;
/// Digits of an E.164 number, country code included: the shortest that any plan has, and the most (ITU-T E.164).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A number in E.164, if its country is known: from `+`, or from `region` (ISO 3166 alpha-2), whose international prefix counts then too.
/// `None` if no country's plan has such a number.
pub fn normalize(raw: &str, region: Option<&str>) -> Option<String> {
    let raw = raw.trim();
    if !raw.bytes().any(|byte| byte.is_ascii_digit()) && raw.is_ascii() {
        return None;
    }
    let region = region.and_then(parse_region);
    if region.is_none() && !raw.contains(['+', '＋']) {
        return None;
    }
    let number = PHONE_NUMBER_UTIL.parse(raw, region).ok()?;
    if !PHONE_NUMBER_UTIL.is_valid_number(&number) {
        return None;
    }
    Some(PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned())
}

/// The country of a number in E.164 (ISO 3166 alpha-2), where its calling code and first digits tell one.
pub fn country(e164: &str) -> Option<String> {
    let number = PHONE_NUMBER_UTIL.parse(e164, None).ok()?;
    number.get_region_code().map(|region| format!("{region:?}").to_uppercase())
}

fn parse_region(region: &str) -> Option<Region> {
    region.to_ascii_uppercase().parse().ok()
}

/// Looks at `+`.
pub(super) fn at(bytes: &[u8], plus: usize, hits: &mut Vec<Hit>) {
    if !bytes.get(plus + 1).is_some_and(|byte| (b'1'..=b'9').contains(byte)) {
        return;
    }
    // Base64 and arithmetic have digits on both sides.
    let before = plus.checked_sub(1).and_then(|at| bytes.get(at));
    let escaped = plus >= 2 && bytes.get(plus - 2) == Some(&b'\\') && matches!(before, Some(b'n' | b'r' | b't'));
    if !escaped && before.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'.')) {
        return;
    }
    let Some((end, digits)) = extent(bytes, plus) else { return };
    let Some(value) = recent(&digits) else { return };
    hits.push(Hit::observable((plus, end), ObservableKind::PhoneNumber, value, None, Validity::Format));
}

/// Numbers that a thread remembers: a chat or an address book has few that come again and again.
const REMEMBERED: usize = 4096;

thread_local! {
    /// What was asked last at each place, and what [`normalize`] said.
    static RECENT: RefCell<Vec<(String, Option<String>)>> = const { RefCell::new(Vec::new()) };
}

/// [`normalize`] of `+` and digits, remembered: a pure function, so that nobody sees a difference but the clock.
fn recent(digits: &str) -> Option<String> {
    let hash = digits.bytes().fold(0u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    RECENT.with_borrow_mut(|recent| {
        if recent.is_empty() {
            recent.resize(REMEMBERED, (String::new(), None));
        }
        let Some(place) = recent.get_mut((hash >> 40) as usize % REMEMBERED) else { return normalize(digits, None) };
        if place.0 != digits {
            *place = (digits.to_owned(), normalize(digits, None));
        }
        place.1.clone()
    })
}

/// Where a number ends, and `+` with its digits.
fn extent(bytes: &[u8], plus: usize) -> Option<(usize, String)> {
    let rest = bytes.get(plus + 1..bytes.len().min(plus + LONGEST))?;
    let mut digits = String::with_capacity(16);
    digits.push('+');
    let mut end = plus + 1;
    let mut gap = 0;
    for (index, byte) in rest.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits.push(char::from(*byte));
                end = plus + 2 + index;
                gap = 0;
            }
            // One separator, or two such as `) `.
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if gap < 2 => gap += 1,
            _ => break,
        }
        if digits.len() > 1 + DIGITS.end() {
            return None;
        }
    }
    let glued = bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'=');
    (DIGITS.contains(&(digits.len() - 1)) && !glued).then_some((end, digits))
}
