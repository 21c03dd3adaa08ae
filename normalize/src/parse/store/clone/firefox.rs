//! SpiderMonkey's structured clone (`js/src/vm/StructuredClone.cpp`): words of eight bytes, a tag above and its data below; strings fill
//! whole words. Firefox packs it with Snappy (`dom/indexedDB`).

use super::{DEPTH, VALUES_MAX, name, number, object};
use serde_json::Value;

/// Words above this are tags, those below are numbers themselves.
const FIRST_TAG: u32 = 0xfff0_0000;
const HEADER: u32 = 0xfff1_0000;
const NULL: u32 = 0xffff_0000;
const UNDEFINED: u32 = 0xffff_0001;
const BOOLEAN: u32 = 0xffff_0002;
const INT32: u32 = 0xffff_0003;
const STRING: u32 = 0xffff_0004;
const DATE: u32 = 0xffff_0005;
const ARRAY: u32 = 0xffff_0007;
const OBJECT: u32 = 0xffff_0008;
const BACK_REFERENCE: u32 = 0xffff_000d;
const END_OF_KEYS: u32 = 0xffff_0013;
/// Bit of a string's length: one byte a character.
const NARROW: u32 = 1 << 31;
/// Largest value that is unpacked, bytes.
const UNPACKED_MAX: usize = 64 << 20;

/// Reads a packed value. `None` where the bytes are no such value.
pub fn decode(packed: &[u8]) -> Option<Value> {
    snap::raw::decompress_len(packed).ok().filter(|length| *length <= UNPACKED_MAX)?;
    let bytes = snap::raw::Decoder::new().decompress_vec(packed).ok()?;
    let mut reader = Reader { rest: &bytes, left: VALUES_MAX };
    let (tag, data) = reader.word()?;
    let first = if tag == HEADER { reader.word()? } else { (tag, data) };
    reader.of(first, 0)
}

/// The text of an encoded key: type `0`, then each character one higher (`dom/indexedDB/Key.cpp`).
pub fn key(bytes: &[u8]) -> Option<String> {
    let rest = bytes.strip_prefix(b"0")?;
    let plain: Vec<u8> = rest.iter().take_while(|byte| **byte != 0).map(|byte| byte.wrapping_sub(1)).collect();
    std::str::from_utf8(&plain).is_ok_and(|text| text.is_ascii()).then(|| String::from_utf8_lossy(&plain).into_owned())
}

struct Reader<'b> {
    rest: &'b [u8],
    left: u32,
}

impl<'b> Reader<'b> {
    /// The next word: what is above and below.
    fn word(&mut self) -> Option<(u32, u32)> {
        let (word, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        let word = u64::from_le_bytes(*word);
        Some(((word >> 32) as u32, word as u32))
    }

    fn of(&mut self, (tag, data): (u32, u32), depth: u32) -> Option<Value> {
        self.left = self.left.checked_sub(1).filter(|_| depth < DEPTH)?;
        Some(match tag {
            NULL | UNDEFINED | BACK_REFERENCE => Value::Null,
            BOOLEAN => Value::Bool(data != 0),
            INT32 => Value::from(data.cast_signed()),
            STRING => self.string(data)?,
            DATE => {
                let (above, below) = self.word()?;
                real(above, below)
            }
            ARRAY => {
                let members = self.members(depth)?;
                Value::Array(members.into_iter().map(|(_, value)| value).collect())
            }
            OBJECT => object(self.members(depth)?),
            number if number < FIRST_TAG => real(tag, data),
            _ => return None,
        })
    }

    fn string(&mut self, data: u32) -> Option<Value> {
        let count = usize::try_from(data & !NARROW).ok()?;
        let narrow = data & NARROW != 0;
        let length = if narrow { count } else { count.checked_mul(2)? };
        let (bytes, rest) = self.rest.split_at_checked(length.div_ceil(8).checked_mul(8)?)?;
        self.rest = rest;
        let bytes = bytes.get(..length)?;
        Some(Value::String(if narrow {
            bytes.iter().map(|byte| char::from(*byte)).collect()
        } else {
            let units = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }))
    }

    fn members(&mut self, depth: u32) -> Option<Vec<(String, Value)>> {
        let mut members = Vec::new();
        loop {
            let word = self.word()?;
            if word.0 == END_OF_KEYS {
                return Some(members);
            }
            let key = self.of(word, depth + 1)?;
            let word = self.word()?;
            members.push((name(&key), self.of(word, depth + 1)?));
        }
    }
}

fn real(above: u32, below: u32) -> Value {
    number(f64::from_bits(u64::from(above) << 32 | u64::from(below)))
}
