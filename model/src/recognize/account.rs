//! Addresses that are neither Base58 with a checksum nor Bech32.

use sha2::{Digest, Sha512_256};
use sha3::{Keccak256, Sha3_256};

/// What EIP-55 says about `0x` and 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Case {
    /// The case of its letters is the checksum.
    Checksum,
    /// One case: nothing to check.
    Lower,
    /// One case: nothing to check.
    Upper,
}

/// Reads `0x` and 40 digits; `None` if it is something else or its case is a wrong checksum.
pub fn evm(text: &[u8]) -> Option<Case> {
    let digits = text.strip_prefix(b"0x")?;
    if digits.len() != 40 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    // All one digit and the like: fillers and the zero address.
    if digits.iter().skip(1).all(|digit| Some(digit) == digits.get(1)) {
        return None;
    }
    if !digits.iter().any(u8::is_ascii_uppercase) {
        return Some(Case::Lower);
    }
    let hash = Keccak256::digest(digits.to_ascii_lowercase());
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let right =
        digits.iter().zip(nibbles).all(|(digit, nibble)| digit.is_ascii_digit() || digit.is_ascii_uppercase() == (nibble >= 8));
    match right {
        true => Some(Case::Checksum),
        // Letters that all happen to be capitals by the checksum are it: EIP-55 has such test vectors.
        false if !digits.iter().any(u8::is_ascii_lowercase) => Some(Case::Upper),
        false => None,
    }
}

/// TRON in hexadecimal: `41` and 40 digits of one case.
pub fn is_tron_hex(text: &[u8]) -> bool {
    let lower = text.iter().any(|byte| byte.is_ascii_lowercase());
    let upper = text.iter().any(|byte| byte.is_ascii_uppercase());
    text.len() == 42 && text.starts_with(b"41") && text.iter().all(u8::is_ascii_hexdigit) && lower != upper
}

/// TON in its friendly form: 48 characters of base64url; tag, workchain, 32 bytes, CRC-16. Tags 0x11 and 0x51 (0x80 more: test network).
/// Source: TEP-2.
pub fn is_ton(text: &[u8]) -> bool {
    if text.len() != 48 || !matches!(text.get(..2), Some(b"EQ" | b"UQ" | b"Ef" | b"Uf" | b"kQ" | b"0Q" | b"kf" | b"0f")) {
        return false;
    }
    let Some(bytes) = base64url(text) else { return false };
    let Some((body, checksum)) = bytes.split_last_chunk::<2>() else { return false };
    let workchain = body.get(1).copied().unwrap_or(1);
    matches!(workchain, 0 | 0xff) && crc16(body).to_be_bytes() == *checksum
}

fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.as_chunks::<4>().0 {
        let mut word = 0u32;
        for byte in four {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            word = word << 6 | u32::from(value);
        }
        let [_, bytes_of_word @ ..] = word.to_be_bytes();
        bytes.extend_from_slice(&bytes_of_word);
    }
    Some(bytes)
}

/// CRC-16/XMODEM, bit by bit: it runs on 34 bytes of rare candidates.
fn crc16(bytes: &[u8]) -> u16 {
    let step = |crc: u16, _| if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
    bytes.iter().fold(0u16, |crc, byte| (0..8).fold(crc ^ u16::from(*byte) << 8, step))
}

/// Stellar public key (`G`) or muxed account (`M`): base32, version byte, CRC-16 in little endian. SEP-23.
pub fn is_stellar(text: &[u8]) -> bool {
    let version = match (text.len(), text.first()) {
        (56, Some(b'G')) => 6 << 3,
        (69, Some(b'M')) => 12 << 3,
        _ => return false,
    };
    let Some(bytes) = base32(text) else { return false };
    let Some((body, checksum)) = bytes.split_last_chunk::<2>() else { return false };
    body.first() == Some(&version) && crc16(body).to_le_bytes() == *checksum
}

/// Algorand: base32 of 32 bytes and the last four of their SHA-512/256.
pub fn is_algorand(text: &[u8]) -> bool {
    if text.len() != 58 {
        return false;
    }
    let Some(bytes) = base32(text) else { return false };
    let Some((key, checksum)) = bytes.split_last_chunk::<4>() else { return false };
    Sha512_256::digest(key).get(28..) == Some(checksum)
}

/// RFC 4648 base32 without padding, upper case; bits left over must be zero.
fn base32(text: &[u8]) -> Option<Vec<u8>> {
    let (mut word, mut bits, mut bytes) = (0u32, 0u32, Vec::with_capacity(text.len() * 5 / 8));
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        word = (word << 5 | u32::from(value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    (word & ((1 << bits) - 1) == 0).then_some(bytes)
}

/// The host of a version 3 onion service without `.onion`: key, two bytes of SHA3-256, version. rend-spec-v3.
pub fn is_onion(label: &[u8]) -> bool {
    if label.len() != 56 {
        return false;
    }
    let Some(bytes) = base32(&label.to_ascii_uppercase()) else { return false };
    let Some((key, [first, second, version])) = bytes.split_last_chunk::<3>() else { return false };
    let digest = Sha3_256::new().chain_update(b".onion checksum").chain_update(key).chain_update([*version]).finalize();
    *version == 3 && digest.get(..2) == Some(&[*first, *second])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_eip_55() {
        for (address, case) in [
            ("0x52908400098527886E0F7030069857D2E4169EE7", Case::Checksum),
            ("0x8617E340B3D01FA5F11F306F4090FD50E238070D", Case::Checksum),
            ("0xde709f2102306220921060314715629080e2fb77", Case::Lower),
            ("0x27b1fdb04752bbc536007a920d24acb045561c26", Case::Lower),
            ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Case::Checksum),
            ("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", Case::Checksum),
            ("0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", Case::Checksum),
            ("0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb", Case::Checksum),
        ] {
            assert_eq!(evm(address.as_bytes()), Some(case), "{address}");
        }
        assert_eq!(evm(b"0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"), None);
        assert_eq!(evm(b"0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED"), Some(Case::Upper));
    }
}
