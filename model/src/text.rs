//! Text from evidence, made safe to print.

use std::fmt::Write as _;

/// Escapes text for terminals, logs and context columns: control characters, bidirectional overrides, zero-width and tag
/// characters become `\x1b`, `\u{202e}`, …; backslash becomes `\\`; newline, return and tab `\n`, `\r`, `\t`. All other
/// characters stay as they are.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text);
    out
}

/// Escapes bytes: valid UTF-8 as [`escape`], every other byte as `\x` and two digits.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        push_escaped(&mut out, chunk.valid());
        for byte in chunk.invalid() {
            push_byte(&mut out, *byte);
        }
    }
    out
}

fn push_escaped(out: &mut String, mut text: &str) {
    // What stays as it is goes over in one piece, as far as it is ASCII: most text is.
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'\\';
    while !text.is_empty() {
        let plain = text.as_bytes().iter().position(|byte| !is_plain(byte)).unwrap_or(text.len());
        let (piece, rest) = text.split_at(plain);
        out.push_str(piece);
        let mut rest = rest.chars();
        if let Some(character) = rest.next() {
            push_character(out, character);
        }
        text = rest.as_str();
    }
}

fn push_character(out: &mut String, character: char) {
    match character {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ if (character as u32) < 0x20 || character as u32 == 0x7f => push_byte(out, character as u8),
        _ if is_deceptive(character) => out.extend(character.escape_unicode()),
        _ => out.push(character),
    }
}

fn push_byte(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _infallible = write!(out, "\\x{byte:02x}");
}

/// C1 controls, zero-width and bidirectional format characters, line separators, tags, and byte-order marks: what can
/// change how the text around it is read (CVE-2021-42574).
pub fn is_deceptive(character: char) -> bool {
    matches!(character as u32,
        0x80..=0x9f | 0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff
        | 0xfff9..=0xfffb | 0xe0000..=0xe007f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_are_printed_not_obeyed() {
        assert_eq!(escape("a\x1b[31mb\u{202e}c\\"), "a\\x1b[31mb\\u{202e}c\\\\");
        assert_eq!(escape("中文 ไทย"), "中文 ไทย");
        assert_eq!(escape_bytes(b"a\xff\nb"), "a\\xff\\nb");
    }
}
