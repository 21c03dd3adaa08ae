//! Android binary XML (`ABX`), as the system writes its settings since Android 12: tokens of one byte, the command in the lower half,
//! the type of what follows in the upper. Format: AOSP, `com.android.internal.util.BinaryXmlSerializer` and `BinaryXmlPullParser`.

/// First bytes.
pub const MAGIC: &[u8] = b"ABX\0";

/// Commands (lower half of a token): those that end or open elements, hold text, or an attribute of the element opened last.
const END_DOCUMENT: u8 = 1;
const START_TAG: u8 = 2;
const TEXT: u8 = 4;
const ATTRIBUTE: u8 = 15;
/// Types (upper half): nothing, a string, a string of the pool, bytes to be shown as hex or base64, numbers, truth.
const NULL: u8 = 1;
const STRING: u8 = 2;
const POOLED: u8 = 3;
const BYTES_HEX: u8 = 4;
const BYTES_BASE64: u8 = 5;
const INT: u8 = 6;
const INT_HEX: u8 = 7;
const LONG: u8 = 8;
const LONG_HEX: u8 = 9;
const FLOAT: u8 = 10;
const DOUBLE: u8 = 11;
const TRUE: u8 = 12;
const FALSE: u8 = 13;
/// In place of a number in the pool: the string follows, and joins the pool.
const NEW: u16 = 0xffff;

/// An element with its attributes and the text right behind its start.
#[derive(Debug, Default, PartialEq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Names and values, in order; numbers and truths as text.
    pub attributes: Vec<(String, String)>,
    /// The text before any element in it.
    pub text: String,
    /// First byte of it, and how many with its attributes.
    pub range: (u64, u64),
}

impl Element {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a document.
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    pool: Vec<String>,
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    /// Length and bytes.
    fn string(&mut self) -> Option<String> {
        let length = u16::from_be_bytes(self.number()?);
        Some(text_of(self.take(usize::from(length))?))
    }

    fn pooled(&mut self) -> Option<String> {
        match u16::from_be_bytes(self.number()?) {
            NEW => {
                let text = self.string()?;
                self.pool.push(text.clone());
                Some(text)
            }
            index => self.pool.get(usize::from(index)).cloned(),
        }
    }

    /// A value of a type, as text.
    fn value(&mut self, kind: u8) -> Option<String> {
        Some(match kind {
            0 | NULL => String::new(),
            STRING => self.string()?,
            POOLED => self.pooled()?,
            BYTES_HEX | BYTES_BASE64 => {
                let length = u16::from_be_bytes(self.number()?);
                self.take(usize::from(length))?.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            INT => i32::from_be_bytes(self.number()?).to_string(),
            INT_HEX => format!("{:x}", u32::from_be_bytes(self.number()?)),
            LONG => i64::from_be_bytes(self.number()?).to_string(),
            LONG_HEX => format!("{:x}", u64::from_be_bytes(self.number()?)),
            FLOAT => f32::from_be_bytes(self.number()?).to_string(),
            DOUBLE => f64::from_be_bytes(self.number()?).to_string(),
            TRUE => "true".to_owned(),
            FALSE => "false".to_owned(),
            _ => return None,
        })
    }
}

/// UTF-8, or what Java calls by that name: NUL in two bytes, and two surrogates of three bytes each beyond the basic plane.
fn text_of(bytes: &[u8]) -> String {
    let half = |bytes: &[u8; 3], from: u8| match bytes {
        [0xed, middle, last] if middle & 0xf0 == from => Some(u32::from(middle & 0x0f) << 6 | u32::from(last & 0x3f)),
        _ => None,
    };
    let (mut text, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some((byte, after)) = rest.split_first() {
        let pair = rest.first_chunk::<6>().and_then(|six| {
            let (high, low) = (half(six.first_chunk()?, 0xa0)?, half(six.last_chunk()?, 0xb0)?);
            char::from_u32(0x1_0000 + (high << 10 | low))
        });
        if let Some(character) = pair {
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = rest.get(6..).unwrap_or_default();
        } else if let Some(after) = rest.strip_prefix(b"\xc0\x80") {
            text.push(0);
            rest = after;
        } else {
            text.push(*byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Tells every element of a document in the order of their beginnings. What cannot be read ends it, as the byte where that was.
pub fn elements(bytes: &[u8], told: &mut dyn FnMut(&Element)) -> Result<(), u64> {
    let mut reader = Reader { bytes, at: MAGIC.len(), pool: Vec::new() };
    if !bytes.starts_with(MAGIC) {
        return Err(0);
    }
    let mut open: Option<Element> = None;
    while reader.at < bytes.len() {
        let start = reader.at;
        let Some([token]) = reader.number() else { break };
        let (command, kind) = (token & 15, token >> 4);
        if command != ATTRIBUTE
            && command != TEXT
            && let Some(element) = open.take()
        {
            told(&element);
        }
        let name = if command == ATTRIBUTE { reader.pooled() } else { Some(String::new()) };
        let value = reader.value(kind);
        let (Some(name), Some(value)) = (name, value) else {
            // What was whole of the element is told.
            if let Some(element) = open.take() {
                told(&element);
            }
            return Err(start as u64);
        };
        match (command, &mut open) {
            (START_TAG, _) => open = Some(Element { name: value, range: (start as u64, 0), ..Element::default() }),
            (ATTRIBUTE, Some(element)) => element.attributes.push((name, value)),
            (TEXT, Some(element)) => element.text.push_str(&value),
            (END_DOCUMENT, _) => return Ok(()),
            _ => {}
        }
        if let Some(element) = &mut open {
            element.range.1 = (reader.at as u64).saturating_sub(element.range.0);
        }
    }
    // The last token should have been the document's end.
    if let Some(element) = open.take() {
        told(&element);
    }
    Err(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<Element>, Result<(), u64>) {
        let mut elements = Vec::new();
        let ended = super::elements(bytes, &mut |element| {
            elements.push(Element {
                name: element.name.clone(),
                attributes: element.attributes.clone(),
                text: element.text.clone(),
                range: element.range,
            })
        });
        (elements, ended)
    }

    /// A tag, an attribute of every type, a second tag of the pool, text between.
    fn document() -> Vec<u8> {
        let mut bytes = b"ABX\0\x10\x32\xff\xff\x00\x01a".to_vec();
        for (token, name, value) in [
            (0x2f, b'b', &b"\x00\x02hi"[..]),
            (0x3f, b'c', b"\x00\x01"),
            (0x4f, b'd', b"\x00\x02\xde\xad"),
            (0x6f, b'e', b"\xff\xff\xff\xfe"),
            (0x7f, b'f', b"\x00\x00\x01\x00"),
            (0x8f, b'g', b"\x00\x00\x00\x00\x00\x00\x00\x07"),
            (0xaf, b'h', b"\x3f\xc0\x00\x00"),
            (0xcf, b'i', b""),
            (0xdf, b'j', b""),
        ] {
            bytes.extend([token, 0xff, 0xff, 0, 1, name]);
            bytes.extend_from_slice(value);
        }
        bytes.extend(b"\x24\x00\x04text\x32\x00\x00\x33\x00\x00\x33\x00\x00\x11");
        bytes
    }

    #[test]
    fn every_type_and_the_pool() {
        let (elements, ended) = read(&document());
        assert_eq!(ended, Ok(()));
        let values: Vec<&str> = elements[0].attributes.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["hi", "b", "dead", "-2", "100", "7", "1.5", "true", "false"]);
        assert_eq!((elements[0].attribute("g"), elements[0].attribute("z")), (Some("7"), None));
        assert_eq!((elements.len(), elements[1].name.as_str(), elements[1].range.1), (2, "a", 3));
        assert_eq!((elements[0].range.0, elements[0].text.as_str()), (5, "text"));
    }

    /// U+1F600 as Java's `DataOutputStream.writeUTF` has it (JVMS 4.4.7), and in plain UTF-8.
    #[test]
    fn text_in_both_forms_of_utf_8() {
        assert_eq!(text_of(b"a\xed\xa0\xbd\xed\xb8\x80\xc0\x80"), "a\u{1f600}\0");
        assert_eq!(text_of("ភាសា \u{1f600}".as_bytes()), "ភាសា \u{1f600}");
        assert_eq!(text_of(b"\xed\xa0\xbdx\xff"), String::from_utf8_lossy(b"\xed\xa0\xbdx\xff"));
    }

    #[test]
    fn cut_anywhere_it_tells_what_is_whole_and_where_it_ended() {
        let whole = document();
        for cut in 0..whole.len() {
            let (elements, ended) = read(&whole[..cut]);
            assert!(ended.is_err_and(|at| at <= cut as u64) && elements.len() <= 2, "{cut}");
        }
        assert_eq!(read(b"ABX\0\x10\x32\x00\x09").1, Err(5));
        assert_eq!(read(b"<xml/>").1, Err(0));
    }
}
