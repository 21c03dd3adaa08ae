//! Text of Ex01 and of logical evidence: UTF-16 with a byte-order mark, lines, values between tabs.

/// Decodes it; without a mark it is little endian.
pub fn decode(bytes: &[u8]) -> String {
    let (big, bytes) = match bytes {
        [0xfe, 0xff, rest @ ..] => (true, rest),
        [0xff, 0xfe, rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    decode_as(big, bytes)
}

/// Decodes what has no mark.
pub fn decode_as(big: bool, bytes: &[u8]) -> String {
    let units =
        bytes.as_chunks::<2>().0.iter().map(|pair| if big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// Values by the line of tags that names them: a number behind a tag, of the only object of a text.
pub fn number(text: &str, tag: &str) -> Option<u64> {
    let mut lines = text.lines().skip(2);
    let (tags, values) = (lines.next()?.split('\t'), lines.next()?.split('\t'));
    tags.zip(values).find(|(known, _)| *known == tag).and_then(|(_, value)| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_under_their_tags() {
        let text = "1\nmain\nsn\tmd\tts\tbp\n\tdisk\t391\t512\n\n";
        let units: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let decoded = decode(&units);
        assert_eq!((number(&decoded, "ts"), number(&decoded, "bp"), number(&decoded, "md")), (Some(391), Some(512), None));
        assert_eq!((number(&decoded, "xx"), number("", "ts")), (None, None));
        assert_eq!(decode(b"\xfe\xff\x00a"), "a");
    }
}
