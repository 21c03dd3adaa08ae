//! V8's `ValueSerializer` (`v8/src/objects/value-serializer.cc`), in the envelope that Blink puts around it in IndexedDB.

use super::{DEPTH, VALUES_MAX, name, number, object};
use serde_json::Value;

/// Byte that a version follows.
const VERSION: u8 = 0xff;

/// Reads a value. `None` where the bytes are not V8's; what comes before damage is given up with it.
pub fn decode(bytes: &[u8]) -> Option<Value> {
    // IndexedDB writes the version of its schema first, Blink and V8 their own behind it.
    let start = (0..bytes.len().min(12)).rev().find(|at| {
        let version = bytes.get(at + 1).copied().unwrap_or_default();
        bytes.get(*at) == Some(&VERSION) && (9..=20).contains(&version)
    })?;
    let mut reader = Reader { rest: bytes.get(start + 2..)?, left: VALUES_MAX };
    reader.value(0)
}

struct Reader<'b> {
    rest: &'b [u8],
    left: u32,
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn varint(&mut self) -> Option<u64> {
        let mut read = 0_u64;
        for place in 0..10_u32 {
            let byte = self.byte()?;
            read |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
            if byte & 0x80 == 0 {
                return Some(read);
            }
        }
        None
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok().filter(|length| *length <= self.rest.len())
    }

    fn real(&mut self) -> Option<f64> {
        self.take(8)?.first_chunk().map(|bytes| f64::from_le_bytes(*bytes))
    }

    /// The tag of the next value, without filler.
    fn tag(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                0 => {}
                tag => return Some(tag),
            }
        }
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        let tag = self.tag()?;
        self.of(tag, depth)
    }

    fn of(&mut self, tag: u8, depth: u32) -> Option<Value> {
        self.left = self.left.checked_sub(1).filter(|_| depth < DEPTH)?;
        Some(match tag {
            b'_' | b'0' | b'-' => Value::Null,
            b'T' | b'y' => Value::Bool(true),
            b'F' | b'x' => Value::Bool(false),
            b'I' => {
                let zigzag = self.varint()?;
                Value::from(i64::try_from(zigzag >> 1).ok()? ^ -i64::from(zigzag & 1 == 1))
            }
            b'U' => Value::from(self.varint()?),
            b'N' | b'D' | b'n' => number(self.real()?),
            b'"' | b's' => self.narrow()?,
            b'c' => self.wide()?,
            b'S' => {
                let length = self.length()?;
                Value::String(String::from_utf8_lossy(self.take(length)?).into_owned())
            }
            // A value that was told before.
            b'^' => {
                self.varint()?;
                Value::Null
            }
            b'o' => object(self.members(b'{', 1, depth)?),
            b';' => object(self.members(b':', 1, depth)?),
            b'\'' => Value::Array(self.elements(b',', depth)?),
            b'A' => self.dense(depth)?,
            b'a' => {
                self.varint()?;
                object(self.members(b'@', 2, depth)?)
            }
            _ => return None,
        })
    }

    /// Latin-1.
    fn narrow(&mut self) -> Option<Value> {
        let length = self.length()?;
        Some(Value::String(self.take(length)?.iter().map(|byte| char::from(*byte)).collect()))
    }

    /// UTF-16.
    fn wide(&mut self) -> Option<Value> {
        let length = self.length()?;
        let units = self.take(length)?.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
        Some(Value::String(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()))
    }

    /// Keys and values up to a tag, behind which so many numbers stand.
    fn members(&mut self, end: u8, numbers: u32, depth: u32) -> Option<Vec<(String, Value)>> {
        let mut members = Vec::new();
        loop {
            let tag = self.tag()?;
            if tag == end {
                for _ in 0..numbers {
                    self.varint()?;
                }
                return Some(members);
            }
            let key = self.of(tag, depth + 1)?;
            let value = self.value(depth + 1)?;
            members.push((name(&key), value));
        }
    }

    fn elements(&mut self, end: u8, depth: u32) -> Option<Vec<Value>> {
        let mut elements = Vec::new();
        loop {
            let tag = self.tag()?;
            if tag == end {
                self.varint()?;
                return Some(elements);
            }
            elements.push(self.of(tag, depth + 1)?);
        }
    }

    /// An array without holes; members with names follow its elements.
    fn dense(&mut self, depth: u32) -> Option<Value> {
        let count = self.length()?;
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(self.value(depth + 1)?);
        }
        self.members(b'$', 2, depth)?;
        Some(Value::Array(elements))
    }
}
