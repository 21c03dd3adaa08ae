//! Runs of letters and digits: addresses, keys, account numbers.

use super::{Hit, Mode, account, base58, bech32, iban, support, uri, url};
use crate::observable::{ObservableKind, SecretKind, Validity};

/// Shortest run that can be anything (a Norwegian IBAN).
pub const SHORTEST: usize = 15;
/// Longest run that can be anything (an extended key has 111 characters, a Cardano address 104; room for escapes in front).
const LONGEST: usize = 140;

/// Looks at a whole run of letters, digits, `-` and `_`.
pub fn token(bytes: &[u8], start: usize, end: usize, mode: Mode, hits: &mut Vec<Hit>) {
    let run = bytes.get(start..end).unwrap_or(&[]);
    // Only TON has `-` and `_` inside an address.
    if (48..=54).contains(&run.len()) && ton(bytes, start, end, mode, hits) {
        return;
    }
    if memchr::memchr2(b'-', b'_', run).is_none() {
        return part(bytes, start, end, mode, hits);
    }
    let mut from = start;
    for piece in run.split(|byte| matches!(byte, b'-' | b'_')) {
        let to = from + piece.len();
        part(bytes, from, to, mode, hits);
        from = to + 1;
    }
}

/// Looks at a run of letters and digits, if its length and its first characters fit anything.
fn part(bytes: &[u8], start: usize, end: usize, mode: Mode, hits: &mut Vec<Hit>) {
    let run = bytes.get(start..end).unwrap_or(&[]);
    if !(SHORTEST..=LONGEST).contains(&run.len()) {
        return;
    }
    // Behind an escape the run can begin later than its first byte.
    let before = start.checked_sub(1).and_then(|before| bytes.get(before));
    if matches!(before, Some(b'\\' | b'%' | b'=')) || could_be(run) {
        alphanumeric(bytes, start, end, mode, hits);
    }
}

/// Whether anything has this length and these first characters: a few comparisons that spare most runs of Base64 the rest.
fn could_be(run: &[u8]) -> bool {
    let [first, second, third, fourth, ..] = run else { return false };
    let account_number =
        first.is_ascii_uppercase() && second.is_ascii_uppercase() && third.is_ascii_digit() && fourth.is_ascii_digit();
    // The separator of Bech32 stands behind two to thirteen letters, and all letters have one case.
    let same_case = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() == first.is_ascii_lowercase();
    let bech32 =
        || run.len() >= 42 && run.get(2..14).is_some_and(|part| part.contains(&b'1')) && run.iter().rev().take(8).all(same_case);
    let is_base32 = |byte: &u8| byte.is_ascii_alphabetic() || (b'2'..=b'7').contains(byte);
    let by_length = match run.len() {
        42 if b"0qpQP4".contains(first) => true,
        25..=35 if b"13LMDA9X7Tr".contains(first) => base58::is_alphabet(run),
        // 42 characters hold less than 31 bytes and a half: a key of 32 is longer, or begins with zeros, which are written `1`.
        32..=42 => *first == b'1' && base58::is_alphabet(run),
        43 | 44 => base58::is_alphabet(run),
        46..=48 => matches!(first, b'1' | b'5' | b'X' | b'C'..=b'J') && base58::is_alphabet(run),
        51 | 52 => b"5KL6TQ7X9c".contains(first) && base58::is_alphabet(run),
        56 | 58 => run.iter().all(is_base32),
        64 => run.iter().all(u8::is_ascii_hexdigit),
        69 => *first == b'M',
        59 | 104 => matches!(first, b'A' | b'D') && base58::is_alphabet(run),
        95 | 106 => matches!(first, b'4' | b'8') && base58::is_alphabet(run),
        111 | 112 => base58::is_alphabet(run),
        _ => false,
    };
    by_length || account_number || bech32()
}

fn ton(bytes: &[u8], start: usize, end: usize, mode: Mode, hits: &mut Vec<Hit>) -> bool {
    for first in firsts(bytes, start, end) {
        let Some(text) = ascii(bytes, first, end) else { continue };
        if account::is_ton(text.as_bytes()) {
            wallet(bytes, (first, end), text.to_owned(), "ton", mode, hits);
            return true;
        }
    }
    false
}

/// Where a run can begin: behind an escape whose letters belong to it (`\n`, `\u0041`, `%3A`, `=3D`), or at its first byte. What stands
/// behind the likelier one comes first.
pub fn firsts(bytes: &[u8], start: usize, end: usize) -> impl Iterator<Item = usize> {
    let run = bytes.get(start..end).unwrap_or(&[]);
    let digits =
        |from: usize, count: usize| run.get(from..from + count).is_some_and(|part| part.iter().all(u8::is_ascii_hexdigit));
    let escape = match (start.checked_sub(1).and_then(|before| bytes.get(before)), run.first()) {
        (Some(b'\\'), Some(b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'0' | b'a' | b'e')) => 1,
        (Some(b'\\'), Some(b'u')) if digits(1, 4) => 5,
        (Some(b'\\'), Some(b'x')) if digits(1, 2) => 3,
        (Some(b'%' | b'='), _) if digits(0, 2) => 2,
        _ => 0,
    };
    [start + escape, start].into_iter().take(if escape == 0 { 1 } else { 2 })
}

fn ascii(bytes: &[u8], start: usize, end: usize) -> Option<&str> {
    bytes.get(start..end).and_then(|text| std::str::from_utf8(text).ok())
}

fn alphanumeric(bytes: &[u8], start: usize, end: usize, mode: Mode, hits: &mut Vec<Hit>) {
    for (index, first) in firsts(bytes, start, end).enumerate() {
        let Some(text) = ascii(bytes, first, end) else { return };
        if checked(bytes, (first, end), text, mode, hits) {
            return;
        }
        // Without a checksum only the likelier beginning counts.
        if index == 0 && mode == Mode::All && weak(bytes, (first, end), text, hits) {
            return;
        }
    }
}

/// Everything with a checksum.
fn checked(bytes: &[u8], span: (usize, usize), text: &str, mode: Mode, hits: &mut Vec<Hit>) -> bool {
    let raw = text.as_bytes();
    let Some(first) = raw.first().copied() else { return false };
    let base58 = || base58::is_alphabet(raw);
    let chain = match raw.len() {
        25..=35 if first == b'r' && base58() && base58::is_xrp(raw) => Some("xrp"),
        26..=34 if b"13LMDA9X7T".contains(&first) && base58() => base58::hash_address(raw),
        42 if first == b'0' => {
            let mixed = account::evm(raw) == Some(account::Case::Checksum);
            mixed.then_some("ethereum")
        }
        46..=48 if first == b'X' && base58() && base58::is_xrp(raw) => Some("xrp"),
        46..=48 if matches!(first, b'1' | b'5' | b'C'..=b'J') && base58() => base58::ss58(raw),
        56 | 69 if account::is_stellar(raw) => Some("stellar"),
        58 if account::is_algorand(raw) => Some("algorand"),
        59 | 104 if matches!(first, b'A' | b'D') && base58() && base58::is_byron(raw) => Some("cardano"),
        95 | 106 if matches!(first, b'4' | b'8') && base58::is_monero(raw) => Some("monero"),
        _ => None,
    };
    if let Some(chain) = chain {
        wallet(bytes, span, text.to_owned(), chain, mode, hits);
        return true;
    }
    // The separator of Bech32 stands behind two to thirteen letters.
    let separated = raw.len() >= 42 && raw.get(2..14).is_some_and(|part| part.contains(&b'1'));
    if let Some(chain) = separated.then(|| bech32::chain(text)).flatten() {
        wallet(bytes, span, text.to_ascii_lowercase(), chain, mode, hits);
        return true;
    }
    if raw.len() == 42 && matches!(first | 0x20, b'q' | b'p') && bech32::is_cash(text) {
        cash(bytes, span, text, mode, hits);
        return true;
    }
    key(span, text, hits) || iban::in_run(span, text, hits) || url::bare_onion(bytes, span, text, hits)
}

/// A Bitcoin Cash address; its prefix belongs to it where it is written.
fn cash(bytes: &[u8], span: (usize, usize), text: &str, mode: Mode, hits: &mut Vec<Hit>) {
    const PREFIX: &str = "bitcoincash:";
    let value = format!("{PREFIX}{}", text.to_ascii_lowercase());
    let start = span
        .0
        .checked_sub(PREFIX.len())
        .filter(|start| bytes.get(*start..span.0).is_some_and(|before| before.eq_ignore_ascii_case(PREFIX.as_bytes())));
    wallet(bytes, (start.unwrap_or(span.0), span.1), value, "bitcoin_cash", mode, hits);
}

/// Private keys and extended keys.
fn key(span: (usize, usize), text: &str, hits: &mut Vec<Hit>) -> bool {
    let raw = text.as_bytes();
    match raw.len() {
        51 | 52 if base58::is_alphabet(raw) => {
            let Some(detail) = base58::private_key(raw) else { return false };
            hits.push(Hit::secret(span, SecretKind::PrivateKeyWif, text.to_owned(), detail.to_owned()));
        }
        111 | 112 if base58::is_alphabet(raw) => match base58::extended_key(raw) {
            Some((true, detail)) => {
                hits.push(Hit::secret(span, SecretKind::ExtendedPrivateKey, text.to_owned(), detail.to_owned()));
            }
            Some((false, chain)) => {
                let kind = ObservableKind::ExtendedPublicKey;
                hits.push(Hit::observable(span, kind, text.to_owned(), Some(chain), Validity::Checksum));
            }
            None => return false,
        },
        _ => return false,
    }
    true
}

fn wallet(bytes: &[u8], span: (usize, usize), value: String, chain: &str, mode: Mode, hits: &mut Vec<Hit>) {
    hits.push(Hit::observable(span, ObservableKind::WalletAddress, value, Some(chain), Validity::Checksum));
    if mode == Mode::All {
        uri::payment(bytes, span, chain, hits);
    }
}

/// Addresses that nothing in them proves: what is around must hold them up.
fn weak(bytes: &[u8], span: (usize, usize), text: &str, hits: &mut Vec<Hit>) -> bool {
    let raw = text.as_bytes();
    let (chain, value, validity) = match raw.len() {
        42 if raw.starts_with(b"0x") => match account::evm(raw) {
            // Fingerprints of keys are written in capitals too.
            Some(account::Case::Upper) if support::near(bytes, span, support::FINGERPRINT).is_some() => return false,
            Some(account::Case::Lower | account::Case::Upper) => {
                ("ethereum", format!("0x{}", text.get(2..).unwrap_or("").to_ascii_lowercase()), Validity::Format)
            }
            _ => return false,
        },
        42 if account::is_tron_hex(raw) => ("tron", text.to_ascii_lowercase(), Validity::Context),
        64 if raw_ton(bytes, span, raw) => {
            let span = (span.0 - 2, span.1);
            return supported(bytes, span, "ton", format!("0:{}", text.to_ascii_lowercase()), Validity::Format, hits);
        }
        32..=44 if base58::is_alphabet(raw) && is_mixed(raw) => {
            if support::near(bytes, span, support::SOLANA).is_none() && uri::scheme(bytes, span.0, "solana").is_none() {
                return false;
            }
            if base58::decode(raw, bs58::Alphabet::BITCOIN).is_none_or(|payload| payload.bytes().len() != 32) {
                return false;
            }
            ("solana", text.to_owned(), Validity::Context)
        }
        _ => return false,
    };
    supported(bytes, span, chain, value, validity, hits)
}

/// TON's raw form: workchain 0, colon, 64 digits.
fn raw_ton(bytes: &[u8], span: (usize, usize), raw: &[u8]) -> bool {
    let Some(start) = span.0.checked_sub(2) else { return false };
    let before = start.checked_sub(1).and_then(|at| bytes.get(at));
    bytes.get(start..span.0) == Some(b"0:")
        && !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b':')
        && raw.iter().all(u8::is_ascii_hexdigit)
}

/// Capitals, small letters and digits: what 32 random bytes in Base58 have.
fn is_mixed(raw: &[u8]) -> bool {
    raw.iter().any(u8::is_ascii_uppercase) && raw.iter().any(u8::is_ascii_lowercase) && raw.iter().any(u8::is_ascii_digit)
}

fn supported(bytes: &[u8], span: (usize, usize), chain: &str, value: String, validity: Validity, hits: &mut Vec<Hit>) -> bool {
    let by = uri::payment(bytes, span, chain, hits).then(|| "uri".to_owned());
    let Some(by) = by.or_else(|| support::near(bytes, span, support::words(chain)).map(|word| format!("word:{word}"))) else {
        return false;
    };
    let mut hit = Hit::observable(span, ObservableKind::WalletAddress, value, Some(chain), validity);
    hit.support = Some(by);
    hits.push(hit);
    true
}
