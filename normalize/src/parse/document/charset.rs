//! Text of any character set that documents and mails name.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use std::borrow::Cow;

/// Bytes as text: by their byte-order mark, else as the label says, else as UTF-8 where they are, else as Windows-1252, which is what
/// the HTML standard falls back to. False: some of it was not valid and became U+FFFD.
pub fn decode<'b>(bytes: &'b [u8], label: Option<&[u8]>) -> (Cow<'b, str>, bool) {
    let named = label.and_then(Encoding::for_label);
    if let (None, Ok(text)) = (named, std::str::from_utf8(bytes)) {
        return (Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)), true);
    }
    let (text, _, replaced) = named.unwrap_or(WINDOWS_1252).decode(bytes);
    (text, !replaced)
}

/// Whether offsets in the decoded text are offsets in the bytes.
pub fn keeps_offsets(bytes: &[u8], text: &str) -> bool {
    bytes.len() == text.len() && bytes == text.as_bytes()
}

/// The character set of a Windows code page, as RTF and the old Office formats number them.
pub fn code_page(number: u32) -> Option<&'static Encoding> {
    let label = match number {
        65001 => return Some(UTF_8),
        932 => "shift_jis",
        936 => "gbk",
        949 => "euc-kr",
        950 => "big5",
        874 => "windows-874",
        10000 => "macintosh",
        1250..=1258 => return Encoding::for_label(format!("windows-{number}").as_bytes()),
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_what_they_are() {
        assert_eq!(decode("สวัสดี".as_bytes(), None), ("สวัสดี".into(), true));
        assert_eq!(decode(b"\xef\xbb\xbfa", None), ("a".into(), true));
        assert_eq!(decode(b"caf\xe9", None), ("caf\u{e9}".into(), true));
        assert_eq!(decode(b"\xc4\xe3\xba\xc3", Some(b"GB2312")), ("\u{4f60}\u{597d}".into(), true));
        assert_eq!(decode(b"a\xff", Some(b"utf-8")), ("a\u{fffd}".into(), false));
        assert_eq!(decode(b"\xff\xfea\0", Some(b"no such set")), ("a".into(), true));
    }

    #[test]
    fn code_pages() {
        assert_eq!(code_page(1251).map(Encoding::name), Some("windows-1251"));
        assert_eq!(code_page(936).map(Encoding::name), Some("GBK"));
        assert_eq!(code_page(437), None);
    }
}
