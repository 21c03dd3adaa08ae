//! Payment URIs: an address with a scheme in front, perhaps an amount behind.

use super::{Hit, url};
use crate::observable::{ObservableKind, Validity};

/// What stands between the beginning of a URI and its address. BIP-21, EIP-681, SEP-7, CIP-13, `ton://transfer` of TON wallets, and the schemes
/// that wallets of the other chains register.
const SCHEMES: &[&str] = &[
    "bitcoin:",
    "ethereum:pay-",
    "ethereum:",
    "tron:",
    "litecoin:",
    "dogecoin:",
    "dash:",
    "monero:",
    "ripple:",
    "xrpl:",
    "xrp:",
    "solana:",
    "ton://transfer/",
    "ton:",
    "web+cardano:",
    "cardano:",
    "algorand://",
    "web+stellar:pay?destination=",
    "stellar:",
    "cosmos:",
    "bnb:",
    "binance:",
    "polkadot:",
    "substrate:",
];

/// Where a URI with this scheme begins, if it stands right before `at`.
pub fn scheme(bytes: &[u8], at: usize, name: &str) -> Option<usize> {
    let starts = SCHEMES.iter().filter(|scheme| scheme.contains(name)).filter_map(|scheme| begins(bytes, at, scheme));
    starts.min()
}

fn begins(bytes: &[u8], at: usize, scheme: &str) -> Option<usize> {
    let start = at.checked_sub(scheme.len())?;
    let same = bytes.get(start..at)?.eq_ignore_ascii_case(scheme.as_bytes());
    let before = start.checked_sub(1).and_then(|before| bytes.get(before));
    (same && !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.'))).then_some(start)
}

/// Puts the payment URI around an address, if there is one.
pub fn payment(bytes: &[u8], span: (usize, usize), chain: &str, hits: &mut Vec<Hit>) -> bool {
    let cash = chain == "bitcoin_cash" && bytes.get(span.0) == Some(&b'b');
    let start = if cash { Some(span.0) } else { SCHEMES.iter().find_map(|scheme| begins(bytes, span.0, scheme)) };
    let Some(start) = start else { return false };
    let end = match bytes.get(span.1) {
        Some(b'?' | b'@' | b'/' | b'&') => url::end(bytes, span.1),
        _ => span.1,
    };
    if cash && end == span.1 {
        return false;
    }
    let Some(value) = bytes.get(start..end).and_then(|value| std::str::from_utf8(value).ok()) else { return false };
    hits.push(Hit::observable((start, end), ObservableKind::PaymentUri, value.to_owned(), Some(chain), Validity::Checksum));
    true
}
