//! `protobuf(x, '1.2')`: the value of a field of a Protocol Buffers message, by the path of its field numbers.
//!
//! Wire format: <https://protobuf.dev/programming-guides/encoding/>. The last value of a field wins, as it does there. A varint or
//! fixed value is an integer (two's complement), a length-delimited one is text if it is UTF-8, else a BLOB.

use super::{FLAGS, bytes, text};
use rusqlite::Connection;
use rusqlite::types::Value;

/// Deepest path that is followed.
const DEPTH: usize = 32;

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("protobuf", 2, FLAGS, |context| {
        let value = bytes(context, 0).zip(text(context, 1)).and_then(|(message, path)| field(message, path));
        Ok(value.unwrap_or(Value::Null))
    })
}

/// A value on the wire.
enum Wire<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

/// The value at a path; `None` where it is not there or the message is no message.
pub fn field(mut message: &[u8], path: &str) -> Option<Value> {
    let mut steps = path.split('.').take(DEPTH).peekable();
    while let Some(step) = steps.next() {
        let found = last(message, step.parse().ok()?)?;
        match (found, steps.peek()) {
            (Wire::Bytes(inner), Some(_)) => message = inner,
            (Wire::Bytes(inner), None) => {
                return Some(match std::str::from_utf8(inner) {
                    Ok(text) => Value::Text(text.to_owned()),
                    Err(_) => Value::Blob(inner.to_owned()),
                });
            }
            (Wire::Number(number), None) => return Some(Value::Integer(number.cast_signed())),
            (Wire::Number(_), Some(_)) => return None,
        }
    }
    None
}

/// Visits every value of a length-delimited field: its bytes, and where they begin in the message.
///
/// # Errors
/// Where the message is none any more; what stands before was visited.
pub fn each(message: &[u8], wanted: u64, visit: &mut dyn FnMut(&[u8], usize)) -> Result<(), usize> {
    let mut rest = message;
    while !rest.is_empty() {
        let at = message.len() - rest.len();
        let (tag, value) = next(&mut rest).ok_or(at)?;
        if let (Wire::Bytes(value), true) = (value, tag == wanted) {
            visit(value, message.len() - rest.len() - value.len());
        }
    }
    Ok(())
}

/// The last value of a field in a message that is whole.
fn last(mut rest: &[u8], wanted: u64) -> Option<Wire<'_>> {
    let mut found = None;
    while !rest.is_empty() {
        let (tag, value) = next(&mut rest)?;
        if tag == wanted {
            found = Some(value);
        }
    }
    found
}

/// The next field: its number and value.
fn next<'m>(rest: &mut &'m [u8]) -> Option<(u64, Wire<'m>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Wire::Number(varint(rest)?),
        1 => Wire::Number(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Wire::Bytes(take(rest, length)?)
        }
        5 => Wire::Number(u64::from(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))),
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn take<'m>(rest: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_documentation() {
        assert_eq!(field(b"\x08\x96\x01", "1"), Some(Value::Integer(150)));
        assert_eq!(field(b"\x12\x07testing", "2"), Some(Value::Text("testing".to_owned())));
        assert_eq!(field(b"\x1a\x03\x08\x96\x01", "3.1"), Some(Value::Integer(150)));
        assert_eq!(field(b"\x08\x01\x08\x02", "1"), Some(Value::Integer(2)), "the last wins");
        assert_eq!(field(b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "1"), Some(Value::Integer(-2)));
        assert_eq!(field(b"\x0a\x01\xff", "1"), Some(Value::Blob(vec![0xff])));
        assert_eq!(field(b"\x0d\x01\x00\x00\x00", "1"), Some(Value::Integer(1)));
    }

    #[test]
    fn what_is_no_message_is_null() {
        for wrong in [
            &b"\x08"[..],
            b"\x12\x07test",
            b"\x0b",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(field(wrong, "1"), None, "{wrong:?}");
        }
        assert_eq!(field(b"\x08\x01", "1.1"), None);
        assert_eq!(field(b"\x08\x01", ""), None);
        assert_eq!(field(b"", "1"), None);
    }
}
