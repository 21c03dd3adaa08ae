//! One content line of a vCard: group, name, parameters, value; folding, quoted-printable, escapes.
//!
//! Formats: vCard 2.1 (versit 1996), RFC 2426 (3.0), RFC 6350 (4.0).

/// A content line, its parts not yet decoded.
#[derive(Clone, PartialEq, Debug)]
pub struct Property {
    /// `item1` of `item1.TEL`, lower case.
    pub group: Option<String>,
    /// Name in upper case.
    pub name: String,
    /// Values of TYPE, and the bare words of 2.1, in lower case, without encodings.
    pub types: Vec<String>,
    /// Character set, upper case, where it is named.
    pub charset: Option<String>,
    /// How the value is encoded.
    pub encoding: Encoding,
    /// The value as written, unfolded.
    pub value: Vec<u8>,
}

/// How a value is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Quoted-printable (RFC 2045).
    QuotedPrintable,
    /// Base64: pictures, sounds, keys.
    Base64,
}

impl Property {
    /// Reads an unfolded line; `None` where it has no name and colon.
    pub fn of(line: &[u8]) -> Option<Property> {
        let colon = colon(line)?;
        let head = String::from_utf8_lossy(line.get(..colon)?).into_owned();
        let mut parts = split_quoted(&head).into_iter();
        let full = parts.next()?;
        let (group, name) = match full.rsplit_once('.') {
            Some((group, name)) => (Some(group.trim().to_lowercase()), name),
            None => (None, full.as_str()),
        };
        let name = name.trim().to_uppercase();
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !is_name {
            return None;
        }
        let value = line.get(colon + 1..)?.to_vec();
        let mut property = Property { group, name, types: Vec::new(), charset: None, encoding: Encoding::Plain, value };
        for part in parts {
            property.parameter(&part);
        }
        Some(property)
    }

    fn parameter(&mut self, part: &str) {
        let (name, value) = part.split_once('=').map_or(("", part), |(name, value)| (name.trim(), value));
        let value = value.trim().trim_matches('"');
        match name.to_uppercase().as_str() {
            "CHARSET" => self.charset = Some(value.to_uppercase()),
            "ENCODING" => {
                self.encode(value);
            }
            "TYPE" => self.types.extend(value.split(',').map(|word| word.trim().trim_matches('"').to_lowercase())),
            "" if !self.encode(value) => self.types.push(value.to_lowercase()),
            _ => {}
        }
    }

    /// Takes the word of an encoding; false for any other.
    fn encode(&mut self, word: &str) -> bool {
        self.encoding = match word.to_uppercase().as_str() {
            "QUOTED-PRINTABLE" => Encoding::QuotedPrintable,
            "BASE64" | "B" => Encoding::Base64,
            "8BIT" | "7BIT" => return true,
            _ => return false,
        };
        true
    }

    /// The value as text, escapes left; false where it is not valid in its character set or the set is not known.
    pub fn text(&self) -> (String, bool) {
        let decoded;
        let bytes = match self.encoding {
            Encoding::QuotedPrintable => {
                decoded = quoted_printable(&self.value);
                &decoded
            }
            _ => &self.value,
        };
        match self.charset.as_deref() {
            Some("ISO-8859-1" | "LATIN1" | "WINDOWS-1252" | "US-ASCII") if std::str::from_utf8(bytes).is_err() => {
                (bytes.iter().map(|byte| char::from(*byte)).collect(), true)
            }
            _ => match std::str::from_utf8(bytes) {
                Ok(text) => (text.to_owned(), true),
                Err(_) => (String::from_utf8_lossy(bytes).into_owned(), false),
            },
        }
    }
}

/// The colon that ends name and parameters: the first outside quotation marks.
fn colon(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let found = line.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b':' && !quoted
    });
    // A quotation mark that is never closed quotes nothing.
    found.or_else(|| memchr::memchr(b':', line))
}

/// Splits at semicolons outside quotation marks.
fn split_quoted(head: &str) -> Vec<String> {
    let mut quoted = false;
    head.split(|character| {
        quoted ^= character == '"';
        character == ';' && !quoted
    })
    .map(str::to_owned)
    .collect()
}

/// Decodes quoted-printable; what is no code stays as it is.
fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'=', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

/// Resolves the escapes of 3.0 and 4.0 (`\n`, `\,`, `\;`, `\\`), which 2.1 programs use as well.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, characters.clone().next()) {
            ('\\', Some('n' | 'N')) => out.push('\n'),
            ('\\', Some(next @ (',' | ';' | ':' | '\\'))) => out.push(next),
            _ => {
                out.push(character);
                continue;
            }
        }
        characters.next();
    }
    out
}

/// The components of a structured value, unescaped.
pub fn components(text: &str) -> Vec<String> {
    let mut escaped = false;
    let parts = text.split(|character| {
        let splits = character == ';' && !escaped;
        escaped = character == '\\' && !escaped;
        splits
    });
    parts.map(|part| unescape(part).trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Property {
        Property::of(line.as_bytes()).unwrap()
    }

    #[test]
    fn parameters_of_every_version() {
        let old = read("TEL;CELL;PREF:123");
        assert_eq!((old.name.as_str(), old.types), ("TEL", vec!["cell".to_owned(), "pref".to_owned()]));
        let new = read("item1.tel;type=\"work,voice\";X-A=\"a:b;c\":tel:+1");
        assert_eq!(
            (new.group.as_deref(), new.types, new.value),
            (Some("item1"), vec!["work".to_owned(), "voice".to_owned()], b"tel:+1".to_vec())
        );
        assert_eq!(read("PHOTO;ENCODING=b:xx").encoding, Encoding::Base64);
        assert_eq!(read("PHOTO;BASE64:xx").encoding, Encoding::Base64);
        assert_eq!(Property::of(b"no colon"), None);
        assert_eq!(Property::of(b"a b: c"), None);
        assert_eq!(Property::of(b":x"), None);
    }

    #[test]
    fn values_are_decoded_once() {
        assert_eq!(read("FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=C3=91=20=zz").text(), ("Ñ =zz".to_owned(), true));
        let latin = Property::of(b"FN;CHARSET=ISO-8859-1:caf\xe9").unwrap();
        assert_eq!(latin.text(), ("café".to_owned(), true));
        assert!(!Property::of(b"FN:caf\xe9").unwrap().text().1);
        assert_eq!(unescape("a\\, b\\nc\\\\n\\x"), "a, b\nc\\n\\x");
        assert_eq!(components("Doe;John;R\\;J;;"), ["Doe", "John", "R;J", "", ""]);
    }
}
