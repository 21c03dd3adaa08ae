//! `bplist(x, 'path.0.name')`: a value in a binary property list, by keys and indexes; NSKeyedArchiver's references are followed.
//!
//! Format: header `bplist00`, objects, offset table, trailer of 32 bytes (CoreFoundation's `CFBinaryPList.c`). Objects are
//! visited one at a time along the path and never built as a tree: shared references make trees of any size out of 148 bytes.

use super::{FLAGS, bytes, text};
use rusqlite::Connection;
use rusqlite::types::Value;

/// Deepest path that is followed, references counted.
const DEPTH: usize = 64;

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("bplist", 2, FLAGS, |context| {
        let value = bytes(context, 0).zip(text(context, 1)).and_then(|(list, path)| value(list, path));
        Ok(value.unwrap_or(Value::Null))
    })
}

/// The value at a path (steps apart by dots, or by slashes where it begins with one, because keys such as `NS.time` have dots): numbers, texts, data as BLOB, dates as seconds since 2001 (for `cocoa_s`), true and false as 1 and 0.
/// `None` where nothing or a container stands there, or the list is damaged.
pub fn value(list: &[u8], path: &str) -> Option<Value> {
    let list = List::open(list)?;
    let mut at = list.follow(list.top)?;
    let separator = if path.starts_with('/') { '/' } else { '.' };
    for step in path.split(separator).filter(|step| !step.is_empty()).take(DEPTH) {
        at = list.follow(list.child(at, step)?)?;
    }
    list.scalar(at)
}

struct List<'l> {
    content: &'l [u8],
    table: &'l [u8],
    offset_size: usize,
    reference_size: usize,
    top: u64,
}

/// An object: type nibble, count or size, and what follows its head.
struct Object<'l> {
    kind: u8,
    count: usize,
    body: &'l [u8],
}

impl<'l> List<'l> {
    fn open(content: &'l [u8]) -> Option<List<'l>> {
        content.strip_prefix(b"bplist0")?;
        let trailer = content.last_chunk::<32>()?;
        let (offset_size, reference_size) = (usize::from(*trailer.get(6)?), usize::from(*trailer.get(7)?));
        if !(1..=8).contains(&offset_size) || !(1..=8).contains(&reference_size) {
            return None;
        }
        let count = usize::try_from(number(trailer.get(8..16)?)).ok()?;
        let table = usize::try_from(number(trailer.get(24..32)?)).ok()?;
        let table = content.get(table..)?.get(..count.checked_mul(offset_size)?)?;
        Some(List { content, table, offset_size, reference_size, top: number(trailer.get(16..24)?) })
    }

    fn object(&self, index: u64) -> Option<Object<'l>> {
        let start = usize::try_from(index).ok()?.checked_mul(self.offset_size)?;
        let offset = number(self.table.get(start..start.checked_add(self.offset_size)?)?);
        let (&marker, body) = self.content.get(usize::try_from(offset).ok()?..)?.split_first()?;
        let (kind, small) = (marker >> 4, usize::from(marker & 15));
        // Sizes of 15 and more follow as an integer object.
        let sized = matches!(kind, 4..=6 | 10..=13);
        if !sized || small < 15 {
            return Some(Object { kind, count: small, body });
        }
        let (&marker, body) = body.split_first()?;
        let width = 1_usize.checked_shl(u32::from(marker & 15)).filter(|width| marker >> 4 == 1 && *width <= 8)?;
        let (count, body) = body.split_at_checked(width)?;
        Some(Object { kind, count: usize::try_from(number(count)).ok()?, body })
    }

    /// The index itself, or what a keyed archive's reference leads to.
    fn follow(&self, mut index: u64) -> Option<u64> {
        for _ in 0..DEPTH {
            let object = self.object(index)?;
            if object.kind != 8 {
                return Some(index);
            }
            let target = number(object.body.get(..object.count.checked_add(1)?)?);
            let objects = self.child(self.top, "$objects")?;
            index = self.element(&self.object(objects)?, usize::try_from(target).ok()?)?;
        }
        None
    }

    /// A reference of an array, set or dictionary (keys first, then values).
    fn element(&self, object: &Object<'_>, number_of: usize) -> Option<u64> {
        let start = number_of.checked_mul(self.reference_size)?;
        Some(number(object.body.get(start..start.checked_add(self.reference_size)?)?))
    }

    fn child(&self, index: u64, step: &str) -> Option<u64> {
        let object = self.object(index)?;
        match object.kind {
            10..=12 => {
                let wanted: usize = step.parse().ok()?;
                (wanted < object.count).then(|| self.element(&object, wanted)).flatten()
            }
            13 => {
                // The references must all lie in the file: a count that lies ends here.
                let all = object.count.checked_mul(self.reference_size)?.checked_mul(2)?;
                object.body.get(..all)?;
                let key = (0..object.count).find(|&key| {
                    let name = self.element(&object, key).and_then(|name| self.scalar(name));
                    matches!(name, Some(Value::Text(name)) if name == step)
                })?;
                self.element(&object, object.count.checked_add(key)?)
            }
            _ => None,
        }
    }

    fn scalar(&self, index: u64) -> Option<Value> {
        let object = self.object(index)?;
        let wide = || object.body.get(..1_usize.checked_shl(u32::try_from(object.count).ok()?)?);
        Some(match object.kind {
            0 if object.count == 8 || object.count == 9 => Value::Integer(i64::from(object.count == 9)),
            // Eight bytes are signed, fewer are not; sixteen hold a 64-bit value in their second half.
            1 => match wide()? {
                bytes @ ([_] | [_, _] | [_, _, _, _] | [_, _, _, _, _, _, _, _]) => Value::Integer(number(bytes).cast_signed()),
                _ => return None,
            },
            2 | 3 => match wide()? {
                [a, b, c, d] => Value::Real(f64::from(f32::from_be_bytes([*a, *b, *c, *d]))),
                bytes @ [_, _, _, _, _, _, _, _] => Value::Real(f64::from_bits(number(bytes))),
                _ => return None,
            },
            4 => Value::Blob(object.body.get(..object.count)?.to_owned()),
            5 => Value::Text(String::from_utf8_lossy(object.body.get(..object.count)?).into_owned()),
            6 => {
                let units = object.body.get(..object.count.checked_mul(2)?)?;
                let units = units.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair));
                Value::Text(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
            }
            _ => return None,
        })
    }
}

/// Up to eight bytes, big endian.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(hex: &str) -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Python's plistlib, of {'a': {'b': [1, 'zwei', '日本', b'\x01\x02', 2.5, True, 2001-01-01T00:00:10]}, 'n': -5}.
    const PLAIN: &str = "62706c6973743030d20102030d5161516ed104055162a7060708090a0b0c1001547a7765696265e5672c42010223400400000000000009\
        33402400000000000013fffffffffffffffb080d0f1114161e20252a2d3637400000000000000101000000000000000e00000000000000\
        000000000000000049";
    /// The same of a keyed archive whose root object has the name 'Dara' and a reference to itself.
    const KEYED: &str = "62706c6973743030d40102030405060e115924617263686976657258246f626a656374735424746f70582476657273696f6e5f100f4e53\
        4b657965644172636869766572a307080d55246e756c6cd2090a0b0c546e616d65546e657874800280015444617261d10f1054726f6f74\
        800112000186a008111b24293244484e53585d5f6166696e70000000000000010100000000000000120000000000000000000000000000\
        0075";

    #[test]
    fn values_by_path() {
        let list = unhex(PLAIN);
        let at = |path: &str| value(&list, path);
        assert_eq!(at("n"), Some(Value::Integer(-5)));
        assert_eq!(at("a.b.0"), Some(Value::Integer(1)));
        assert_eq!(at("a.b.1"), Some(Value::Text("zwei".to_owned())));
        assert_eq!(at("a.b.2"), Some(Value::Text("日本".to_owned())));
        assert_eq!(at("a.b.3"), Some(Value::Blob(vec![1, 2])));
        assert_eq!(at("a.b.4"), Some(Value::Real(2.5)));
        assert_eq!(at("a.b.5"), Some(Value::Integer(1)));
        assert_eq!(at("a.b.6"), Some(Value::Real(10.0)));
        for nothing in ["", "a", "a.b", "a.b.7", "a.c", "a.b.-1"] {
            assert_eq!(at(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn references_of_an_archive_are_followed() {
        let list = unhex(KEYED);
        assert_eq!(value(&list, "$top.root.name"), Some(Value::Text("Dara".to_owned())));
        let circle = format!("$top.root{}.name", ".next".repeat(40));
        assert_eq!(value(&list, &circle), Some(Value::Text("Dara".to_owned())));
    }

    #[test]
    fn slashes_reach_keys_that_have_dots() {
        // plistlib.dumps({'NS.time': 2.5}, fmt=FMT_BINARY)
        let list = unhex(
            "62706c6973743030d10102574e532e74696d65234004000000000000080b13000000000000010100000000000000030000000000000000\
                          000000000000001c",
        );
        assert_eq!(value(&list, "/NS.time"), Some(Value::Real(2.5)));
        assert_eq!(value(&list, "NS.time"), None);
    }

    #[test]
    fn damage_is_null_and_never_more() {
        let list = unhex(PLAIN);
        for cut in 0..list.len() {
            value(&list[..cut], "a.b.1");
        }
        for place in 0..list.len() {
            for byte in [0, 0x0f, 0x5f, 0x80, 0xdf, 0xff] {
                let mut list = list.clone();
                list[place] = byte;
                value(&list, "a.b.6");
                value(&list, "n");
            }
        }
    }
}
