//! URLs and onion hosts.

use super::{Hit, Mode, account};
use crate::observable::{ObservableKind, Validity};

/// Longest URL that is taken whole; what is longer is cut there.
const LONGEST: usize = 2048;
/// Schemes that name a place. (Payment schemes are found by their address.)
const SCHEMES: &[&str] = &[
    "http",
    "https",
    "ftp",
    "ftps",
    "sftp",
    "ws",
    "wss",
    "tg",
    "rtmp",
    "rtmps",
    "rtsp",
    "mms",
    "smb",
    "ssh",
    "git",
    "svn",
    "irc",
    "ircs",
    "ipfs",
    "ipns",
    "gopher",
    "gemini",
    "telnet",
    "ldap",
    "ldaps",
    "vnc",
    "rdp",
    "nfs",
    "afp",
    "imap",
    "smtp",
    "pop3",
    "mqtt",
    "socks4",
    "socks5",
    "ss",
    "vmess",
    "vless",
    "trojan",
    "mongodb",
    "mysql",
    "postgres",
    "postgresql",
    "redis",
    "amqp",
    "jdbc",
];

/// Looks at `://`.
pub fn at(bytes: &[u8], colon: usize, mode: Mode, hits: &mut Vec<Hit>) {
    let Some(start) = scheme_start(bytes, colon) else { return };
    let end = end(bytes, colon + 3).min(start + LONGEST);
    let Some(url) = bytes.get(start..end).and_then(|url| std::str::from_utf8(url).ok()) else { return };
    let Some(host) = host(url.get(colon + 3 - start..).unwrap_or("")) else { return };
    let onion = host.len() > 6 && host.get(host.len() - 6..).is_some_and(|end| end.eq_ignore_ascii_case(".onion"));
    let validity = match host.get(..host.len().saturating_sub(6)) {
        Some(label) if onion && account::is_onion(label.rsplit('.').next().unwrap_or("").as_bytes()) => Validity::Checksum,
        // A version 2 host has 16 characters and nothing to check; any other length is no onion host.
        Some(label) if onion && label.rsplit('.').next().is_none_or(|label| label.len() != 16) => return,
        _ => Validity::Format,
    };
    if mode == Mode::All || validity == Validity::Checksum {
        hits.push(Hit::observable((start, end), ObservableKind::Url, url.to_owned(), None, validity));
    }
}

/// The longest known scheme that ends at the colon: letters before it may belong to an escape or to the text before.
fn scheme_start(bytes: &[u8], colon: usize) -> Option<usize> {
    let fits = |scheme: &&'static str| {
        let start = colon.checked_sub(scheme.len())?;
        let before = start.checked_sub(1).and_then(|before| bytes.get(before));
        let escaped = start >= 2 && bytes.get(start - 2) == Some(&b'\\') && matches!(before, Some(b'n' | b'r' | b't'));
        let border = escaped || !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+'));
        (border && bytes.get(start..colon)?.eq_ignore_ascii_case(scheme.as_bytes())).then_some(start)
    };
    SCHEMES.iter().filter_map(fits).min()
}

/// The host of what stands behind `://`, if it is one.
fn host(rest: &str) -> Option<&str> {
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.split(']').next()?;
        return (literal.len() >= 2 && literal.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')))
            .then_some(literal);
    }
    let mut parts = host.split(':');
    let (host, port) = (parts.next()?, parts.next());
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'%'))
    };
    let fits = host.trim_end_matches('.').split('.').all(is_label)
        && port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (fits && host.len() >= 2 && host.len() <= 253).then_some(host)
}

/// Where a URL ends that goes on at `from`: at the first byte that a URL cannot hold, less closing punctuation.
pub fn end(bytes: &[u8], from: usize) -> usize {
    let is_part = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b':'
                    | b'/'
                    | b'?'
                    | b'#'
                    | b'['
                    | b']'
                    | b'@'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b'%'
            )
    };
    let rest = bytes.get(from..).unwrap_or(&[]);
    let length = rest.iter().take(LONGEST).take_while(|byte| is_part(byte)).count();
    let mut url = rest.get(..length).unwrap_or(&[]);
    while let [front @ .., last] = url {
        let count = |byte: u8| url.iter().filter(|other| **other == byte).count();
        let closes = match last {
            b'.' | b',' | b';' | b':' | b'!' | b'?' | b'*' | b'&' => true,
            b')' => count(b')') > count(b'('),
            b']' => count(b']') > count(b'['),
            _ => false,
        };
        if !closes {
            break;
        }
        url = front;
    }
    from + url.len()
}

/// A version 3 onion host without a scheme; `text` is the run of 56 before `.onion`.
pub fn bare_onion(bytes: &[u8], span: (usize, usize), text: &str, hits: &mut Vec<Hit>) -> bool {
    let end = span.1 + 6;
    if text.len() != 56 {
        return false;
    }
    let named = bytes.get(span.1..end).is_some_and(|suffix| suffix.eq_ignore_ascii_case(b".onion"));
    let ended = !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    if !named || !ended || !account::is_onion(text.as_bytes()) {
        return false;
    }
    // With a scheme before it (and perhaps labels and a user) it is part of a URL that is found there.
    let line = bytes.get(span.0.saturating_sub(300)..span.0).unwrap_or(&[]);
    let word =
        line.rsplit(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | 0)).next().unwrap_or(&[]);
    if memchr::memmem::find(word, b"://").is_some_and(|at| !word.get(at + 3..).unwrap_or(&[]).contains(&b'/')) {
        return true;
    }
    let value = format!("{}.onion", text.to_ascii_lowercase());
    hits.push(Hit::observable((span.0, end), ObservableKind::Url, value, None, Validity::Checksum));
    true
}
