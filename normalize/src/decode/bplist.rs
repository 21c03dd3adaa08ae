//! `bplist(x, 'path.0.name')`: a value in a binary property list, by keys and indexes; NSKeyedArchiver's references are followed.
//!
//! What a list is and how it is read: [`model::plist`].

use super::{FLAGS, bytes, text};
use model::plist::{self, Plist};
use rusqlite::Connection;
use rusqlite::types::Value;

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
    let separator = if path.starts_with('/') { '/' } else { '.' };
    let steps: Vec<&str> = path.split(separator).filter(|step| !step.is_empty()).collect();
    Some(match Plist::open(list)?.get(&steps)? {
        plist::Value::Integer(number) => Value::Integer(number),
        plist::Value::Bool(truth) => Value::Integer(i64::from(truth)),
        plist::Value::Real(number) | plist::Value::Cocoa(number) => Value::Real(number),
        plist::Value::Data(data) => Value::Blob(data),
        plist::Value::Text(text) | plist::Value::Iso(text) => Value::Text(text),
    })
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
}
