//! Text from evidence, made safe to print.

use std::fmt::Write as _;

/// Escapes text for terminals, logs and context columns: control characters, bidirectional overrides, zero-width and tag
/// characters become `\x1b`, `\u{202e}`, …; backslash becomes `\\`; newline, return and tab `\n`, `\r`, `\t`. All other
/// characters stay as they are.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        push_escaped(&mut out, character);
    }
    out
}

/// Escapes bytes: valid UTF-8 as [`escape`], every other byte as `\x` and two digits.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut out, character);
        }
        for byte in chunk.invalid() {
            push_byte(&mut out, *byte);
        }
    }
    out
}

fn push_escaped(out: &mut String, character: char) {
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
fn is_deceptive(character: char) -> bool {
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
