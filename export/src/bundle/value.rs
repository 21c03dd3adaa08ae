//! One value of a row, and its JSON form: RFC 8785 on the narrow subset that DESIGN §6 names.

use crate::bundle::schema::Type;
use model::{Digest, Id};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

/// First magnitude that is written as a decimal string, because not every JSON reader holds it (RFC 7493 §2.2).
const UNSAFE_INTEGER: u64 = 1 << 53;

/// One value of a row.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing: left out of a row's JSON.
    Null,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(String),
    /// A word of a closed list.
    Word(&'static str),
    /// Bytes.
    Blob(Vec<u8>),
    /// An id.
    Id([u8; 16]),
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Word(word) => ValueRef::Text(word.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
            Value::Id(id) => ValueRef::Blob(id),
        }))
    }
}

impl Value {
    /// A value as read, and whether the column may hold it: a file made by other means than SQL can hold anything.
    pub fn read(found: ValueRef<'_>, kind: Type) -> (Value, bool) {
        match found {
            ValueRef::Null => (Value::Null, true),
            ValueRef::Integer(value) => (Value::Integer(value), matches!(kind, Type::Integer | Type::Any)),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => (Value::Text(text.to_owned()), matches!(kind, Type::Text | Type::Any)),
                Err(_) => (Value::Blob(text.to_vec()), false),
            },
            ValueRef::Blob(bytes) => (Value::Blob(bytes.to_vec()), kind == Type::Blob),
            ValueRef::Real(_) => (Value::Null, false),
        }
    }

    /// Appends the JSON form; nothing for [`Value::Null`], which has none.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Integer(value) => write_integer(*value, out),
            Value::Text(text) => write_string(text, out),
            Value::Word(word) => write_string(word, out),
            Value::Blob(bytes) => write_hex(bytes, out),
            Value::Id(id) => write_hex(id, out),
        }
    }

    /// The bytes that stand for a key in a salt: a BLOB's own, a text's UTF-8, an integer's decimal digits.
    pub fn key_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Value::Text(text) => out.extend_from_slice(text.as_bytes()),
            Value::Word(word) => out.extend_from_slice(word.as_bytes()),
            Value::Blob(bytes) => out.extend_from_slice(bytes),
            Value::Id(id) => out.extend_from_slice(id),
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Integer(value)
    }
}

impl From<u64> for Value {
    /// Sizes and offsets beyond 2^63 stand as the largest integer: no medium has them, only a liar.
    fn from(value: u64) -> Value {
        Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Value {
        Value::Integer(i64::from(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Integer(i64::from(value))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Value {
        Value::Word(word)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Blob(bytes)
    }
}

impl From<Id> for Value {
    fn from(id: Id) -> Value {
        Value::Id(id.0)
    }
}

impl From<Digest> for Value {
    fn from(digest: Digest) -> Value {
        Value::Text(digest.to_string())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

fn write_integer(value: i64, out: &mut Vec<u8>) {
    let quoted = value.unsigned_abs() >= UNSAFE_INTEGER;
    if quoted {
        out.push(b'"');
    }
    // Digits from the last to the first, in place: no allocation for each of a million numbers.
    let mut digits = [0u8; 20];
    let mut place = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        place -= 1;
        digits[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[place..]);
    if quoted {
        out.push(b'"');
    }
}

/// Appends a JSON string as RFC 8785 §3.2.2.2 writes it: two-letter escapes where JSON has them, `\u00xx` for the other control
/// characters, everything else as it is.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    // Most texts have nothing to escape; a look at all bytes without a branch is many bytes at a time.
    if !bytes.iter().fold(false, |any, byte| any | escaped(*byte)) {
        out.extend_from_slice(bytes);
        return out.push(b'"');
    }
    let mut copied = 0;
    for (place, byte) in bytes.iter().enumerate() {
        if !escaped(*byte) {
            continue;
        }
        out.extend_from_slice(&bytes[copied..place]);
        copied = place + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex(*byte));
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for part in bytes.chunks(16) {
        // In place: no look at the room for each digit.
        let mut digits = [[0u8; 2]; 16];
        digits.iter_mut().zip(part).for_each(|(digits, byte)| *digits = hex(*byte));
        out.extend_from_slice(digits[..part.len()].as_flattened());
    }
    out.push(b'"');
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: Value) -> String {
        let mut out = Vec::new();
        value.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// The string of RFC 8785 §3.2.2, and the control characters of §3.2.2.2.
    #[test]
    fn strings_as_rfc_8785_writes_them() {
        let input = "\u{20ac}$\u{000F}\u{000a}A'\u{0042}\u{0022}\u{005c}\\\"/";
        assert_eq!(json(Value::Text(input.into())), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"");
        assert_eq!(json(Value::Text("\u{8}\t\u{c}\r\u{7f}\u{2028}".into())), "\"\\b\\t\\f\\r\u{7f}\u{2028}\"");
    }

    #[test]
    fn integers_up_to_2_to_the_53_are_numbers() {
        assert_eq!(json(Value::Integer(0)), "0");
        assert_eq!(json(Value::Integer(-9_007_199_254_740_991)), "-9007199254740991");
        assert_eq!(json(Value::Integer(9_007_199_254_740_992)), "\"9007199254740992\"");
        assert_eq!(json(Value::Integer(i64::MIN)), "\"-9223372036854775808\"");
    }

    #[test]
    fn bytes_are_lower_case_hex() {
        assert_eq!(json(Value::Blob(vec![0, 0xab, 0xff])), "\"00abff\"");
    }
}
