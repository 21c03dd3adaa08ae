//! Records of the SQLite format: varints, serial types, the columns of a record.
//!
//! Format: <https://www.sqlite.org/fileformat2.html>, section 2.1.

use model::observable::Encoding;

/// Reads a varint (1 to 9 bytes, big endian, seven bits a byte): its value and length.
#[inline]
pub fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((u64::from(first), 1));
    }
    let mut value = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Bytes of the body of a column with that serial type; `None` for the two reserved types.
#[inline]
pub fn body_length(serial: u64) -> Option<u64> {
    match serial {
        0 | 8 | 9 => Some(0),
        1..=4 => Some(serial),
        5 => Some(6),
        6 | 7 => Some(8),
        10 | 11 => None,
        _ => Some((serial - 12) / 2),
    }
}

/// Whether a serial type is a text (odd) or blob (even): what is searched.
#[inline]
pub fn is_value(serial: u64) -> bool {
    serial >= 12
}

/// Whether a serial type is a text.
#[inline]
pub fn is_text(serial: u64) -> bool {
    serial >= 13 && serial % 2 == 1
}

/// A text as the database's encoding has it; invalid parts become U+FFFD.
pub fn text(bytes: &[u8], encoding: Encoding) -> String {
    let unit = |pair: &[u8]| match (pair, encoding) {
        ([low, high], Encoding::Utf16le) => u16::from_le_bytes([*low, *high]),
        ([high, low], _) => u16::from_be_bytes([*high, *low]),
        _ => 0xfffd,
    };
    match encoding {
        // Nearly all are valid, and a check alone is several times as fast.
        Encoding::Utf8 => std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned),
        _ => char::decode_utf16(bytes.chunks(2).map(unit)).map(|unit| unit.unwrap_or('\u{fffd}')).collect(),
    }
}

/// Whether bytes look like (the start of) a text that a program wrote: valid, no control characters but tab, newline, return.
pub fn looks_like_text(bytes: &[u8], encoding: Encoding) -> bool {
    let control = |unit: u16| unit < 0x20 && !matches!(unit, 0x09 | 0x0a | 0x0d);
    let valid = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // Only the last character is cut.
        Err(error) => error.error_len().is_none(),
    };
    match encoding {
        Encoding::Utf8 => valid && !bytes.iter().any(|byte| control(u16::from(*byte))),
        _ => bytes.len().is_multiple_of(2) && !text(bytes, encoding).chars().any(|c| u16::try_from(c as u32).is_ok_and(control)),
    }
}

/// One small integer column (types 0 to 6, 8, 9), sign extended.
pub fn integer(serial: u64, body: &[u8]) -> Option<i64> {
    match serial {
        8 => Some(0),
        9 => Some(1),
        1..=6 => {
            let negative = body.first().is_some_and(|byte| byte & 0x80 != 0);
            let start = if negative { -1i64 } else { 0 };
            Some(body.iter().fold(start, |value, byte| value << 8 | i64::from(*byte)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_length() {
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!(varint(&[0x80; 8]), None);
        assert_eq!(varint(&[]), None);
    }

    #[test]
    fn serial_types_have_the_lengths_of_the_format() {
        let lengths: Vec<_> = (0..=15).map(body_length).collect();
        let some = |n| Some(n);
        assert_eq!(
            lengths,
            [some(0), some(1), some(2), some(3), some(4), some(6), some(8), some(8), some(0), some(0), None, None]
                .into_iter()
                .chain([some(0), some(0), some(1), some(1)])
                .collect::<Vec<_>>()
        );
        assert!(is_text(13) && !is_text(12) && is_value(12) && !is_value(9));
    }

    #[test]
    fn integers_are_sign_extended() {
        assert_eq!(integer(1, &[0xff]), Some(-1));
        assert_eq!(integer(3, &[1, 0, 0]), Some(65_536));
        assert_eq!(integer(6, &[0x80, 0, 0, 0, 0, 0, 0, 0]), Some(i64::MIN));
    }

    #[test]
    fn texts_in_three_encodings() {
        assert_eq!(text(b"a\0b\0", Encoding::Utf16le), "ab");
        assert_eq!(text(b"\0a\0b", Encoding::Utf16be), "ab");
        assert!(looks_like_text("สวัสดี\n".as_bytes(), Encoding::Utf8));
        assert!(!looks_like_text(b"a\x01", Encoding::Utf8));
        assert!(!looks_like_text(b"abc", Encoding::Utf16le));
    }
}
