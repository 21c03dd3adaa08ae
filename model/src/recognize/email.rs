//! E-mail addresses.

use super::Hit;
use crate::observable::{ObservableKind, Validity};

/// Longest local part and domain (RFC 5321).
const LOCAL: usize = 64;
const DOMAIN: usize = 253;
/// Shortest address where something that is no text stands beside it: in random bytes shorter ones happen by chance.
const SHORTEST_IN_BINARY: usize = 12;
/// Last labels that are file names or versions, not domains.
const NOT_DOMAINS: &[&str] =
    &["png", "jpg", "jpeg", "gif", "webp", "svg", "js", "ts", "css", "json", "html", "xml", "so", "dll", "exe", "mp4"];
/// Domains that WhatsApp writes its ids with: no mail goes there.
const CHAT_IDS: &[&str] = &["s.whatsapp.net", "g.us", "c.us", "broadcast", "newsletter", "lid", "call", "status", "temp", "bot"];

/// Looks at `@`.
pub fn at(bytes: &[u8], sign: usize, hits: &mut Vec<Hit>) {
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'%');
    let is_domain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let domain = bytes.get(sign + 1..).unwrap_or(&[]);
    let length = domain.iter().take(DOMAIN + 1).take_while(|byte| is_domain(byte)).count();
    let domain = trim_domain(domain.get(..length).unwrap_or(&[]));
    let Some(domain) = domain.filter(|domain| is_host(domain)) else { return };
    let before = bytes.get(sign.saturating_sub(LOCAL + 8)..sign).unwrap_or(&[]);
    let length = before.iter().rev().take_while(|byte| is_local(**byte)).count();
    let mut start = sign - length;
    start += escape(bytes, start);
    // `mailto:`, dots and signs in front do not belong to it.
    while bytes.get(start).is_some_and(|byte| matches!(byte, b'.' | b'-' | b'+' | b'%')) {
        start += 1;
    }
    let local = bytes.get(start..sign).unwrap_or(&[]);
    let dotted = local.last() == Some(&b'.') || local.windows(2).any(|pair| pair == b"..");
    if local.is_empty() || local.len() > LOCAL || dotted || start.checked_sub(1).and_then(|at| bytes.get(at)) == Some(&b'@') {
        return;
    }
    let end = sign + 1 + domain.len();
    if end - start < SHORTEST_IN_BINARY && !(is_text(bytes, start.checked_sub(1)) && is_text(bytes, Some(end))) {
        return;
    }
    let texts = (std::str::from_utf8(local), std::str::from_utf8(domain));
    let (Ok(local), Ok(domain)) = texts else { return };
    let value = format!("{local}@{}", domain.to_ascii_lowercase());
    hits.push(Hit::observable((start, end), ObservableKind::EmailAddress, value, None, Validity::Format));
}

/// Whether the byte there can stand beside text; the ends can.
fn is_text(bytes: &[u8], at: Option<usize>) -> bool {
    let Some(byte) = at.and_then(|at| bytes.get(at)) else { return true };
    matches!(byte, 0x20..=0x7e | b'\n' | b'\r' | b'\t')
}

/// Letters of an escape right before (`\n`, `%20`).
fn escape(bytes: &[u8], start: usize) -> usize {
    let before = start.checked_sub(1).and_then(|at| bytes.get(at));
    match (before, bytes.get(start)) {
        (Some(b'\\'), Some(b'n' | b'r' | b't')) => 1,
        (_, Some(b'%')) if bytes.get(start + 1..start + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) => 3,
        _ => 0,
    }
}

/// Drops dots and hyphens at the end of a sentence.
fn trim_domain(domain: &[u8]) -> Option<&[u8]> {
    let length = domain.iter().rposition(u8::is_ascii_alphanumeric)? + 1;
    domain.get(..length).filter(|domain| domain.len() <= DOMAIN)
}

/// At least two labels, the last one of letters only and no file name's.
fn is_host(domain: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(domain) else { return false };
    let lower = text.to_ascii_lowercase();
    let labels: Vec<&str> = lower.split('.').collect();
    let fits = |label: &&str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    let Some(last) = labels.last() else { return false };
    labels.len() >= 2
        && labels.iter().all(fits)
        && (last.starts_with("xn--") || (2..=24).contains(&last.len()) && last.bytes().all(|byte| byte.is_ascii_lowercase()))
        && !NOT_DOMAINS.contains(last)
        && !CHAT_IDS.contains(&lower.as_str())
}
