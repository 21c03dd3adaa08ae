//! `typedstream(x)`: the text of an `NSString` or `NSAttributedString` archived by Apple's `NSArchiver` (iMessage's `attributedBody`).
//!
//! A typedstream begins with a version and `streamtyped`. Objects name their class (0x84 starts something new), then each value its
//! type; a string is of type `+`: a length (one byte, or 0x81 with two, 0x82 with four, little endian) and UTF-8. The first
//! such string after the class name is the text; everything else is attributes. Streams that were shortened by hand or by a tool keep
//! the old length, which then leads past their end: such a text goes to the mark that ends its object (0x86), if that is there.

use super::{FLAGS, bytes};
use rusqlite::Connection;

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("typedstream", 1, FLAGS, |context| Ok(bytes(context, 0).and_then(string)))
}

/// Ends an object. After a whole character no UTF-8 text has this byte.
const END_OF_OBJECT: u8 = 0x86;

/// The text; `None` where there is none or the stream is cut.
pub fn string(stream: &[u8]) -> Option<String> {
    let stream = stream.strip_prefix(b"\x04\x0bstreamtyped")?;
    let class = memchr::memmem::find(stream, b"\x08NSString")?;
    let stream = stream.get(class..)?;
    let kind = memchr::memmem::find(stream, b"\x84\x01+")?;
    let (length, rest) = length(stream.get(kind.checked_add(3)?..)?)?;
    let text = match rest.get(..length) {
        Some(text) => std::str::from_utf8(text).ok()?,
        None => before_end(rest)?,
    };
    Some(text.to_owned())
}

/// The text before the end of its object; `None` where anything else comes first.
fn before_end(rest: &[u8]) -> Option<&str> {
    let end = std::str::from_utf8(rest).err()?.valid_up_to();
    if rest.get(end) != Some(&END_OF_OBJECT) {
        return None;
    }
    std::str::from_utf8(rest.get(..end)?).ok()
}

fn length(stream: &[u8]) -> Option<(usize, &[u8])> {
    match stream {
        [0x81, low, high, rest @ ..] => Some((usize::from(u16::from_le_bytes([*low, *high])), rest)),
        [0x82, a, b, c, d, rest @ ..] => Some((usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?, rest)),
        [short @ 0..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn samples_have_the_text_that_their_authors_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/ios/imessage-exporter/streamtyped");
        if !folder.exists() {
            return;
        }
        let read = |name: &str| string(&std::fs::read(folder.join(name)).unwrap());
        assert_eq!(read("AttributedBodyTextOnly").as_deref(), Some("Noter test"));
        assert_eq!(read("URL").as_deref(), Some("https://github.com/ReagentX/Logria"));
        assert_eq!(read("WeirdText").as_deref(), Some("𝖍𝖊𝖑𝖑𝖔 𝖜𝖔𝖗𝖑𝖉"));
        assert!(read("ExtraData").unwrap().starts_with("This is parsing"));
        // Its string is there and has no characters.
        assert_eq!(read("Blank").as_deref(), Some(""));
    }

    #[test]
    fn lengths_of_one_two_and_four_bytes() {
        let stream = |length: &[u8], text: &str| {
            [b"\x04\x0bstreamtyped\x81\xe8\x03\x84\x01@\x84\x84\x84\x08NSString\x01\x95\x84\x01+", length, text.as_bytes()]
                .concat()
        };
        let long = "x".repeat(300);
        assert_eq!(string(&stream(&[2], "hi")).as_deref(), Some("hi"));
        assert_eq!(string(&stream(&[0x81, 0x2c, 0x01], &long)).as_deref(), Some(long.as_str()));
        assert_eq!(string(&stream(&[0x82, 0x2c, 0x01, 0, 0], &long)).as_deref(), Some(long.as_str()));
        assert_eq!(string(&stream(&[0x82, 0xff, 0xff, 0xff, 0xff], &long)), None);
        assert_eq!(string(&stream(&[], "")), None);
    }

    #[test]
    fn a_length_beyond_the_end_gives_way_to_the_end_of_the_object() {
        let stream = |rest: &[u8]| [b"\x04\x0bstreamtyped\x08NSString\x01\x95\x84\x01+\x81\x9d\x00", rest].concat();
        // The mark is also the last byte of a character that is part of the text.
        assert_eq!(string(&stream("two \u{5186}\u{6}".as_bytes())), None, "cut: no mark");
        let marked = ["two \u{5186}".as_bytes(), b"\x86\x84\x02iI"].concat();
        assert_eq!(string(&stream(&marked)).as_deref(), Some("two \u{5186}"));
        assert_eq!(string(&stream(b"two \xff\x86")), None, "no UTF-8");
        assert_eq!(string(&stream(b"\x86")).as_deref(), Some(""));
        assert_eq!(string(b"plain text"), None);
    }
}
