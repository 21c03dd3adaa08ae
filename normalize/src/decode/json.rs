//! `json_at(x, 'a.b.0')`: a value in JSON text, by keys and indexes. Unlike SQLite's own `json_extract`, what is no JSON gives NULL, as any
//! decoder does: one damaged cell must not end the reading of its table.

use super::{FLAGS, bytes, text};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::Value;

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("json_at", 2, FLAGS, |context| {
        let value = bytes(context, 0).zip(text(context, 1)).and_then(|(json, path)| at(json, path));
        Ok(value.unwrap_or(Cell::Null))
    })
}

/// The value at a path (steps apart by dots, or by slashes where it begins with one, because keys may have dots); an empty path is the
/// whole. True and false are 1 and 0, lists and objects their JSON text. `None` for null and where nothing stands. serde_json stops at
/// 128 levels, so hostile nesting costs nothing.
fn at(json: &[u8], path: &str) -> Option<Cell> {
    let root: Value = serde_json::from_slice(json).ok()?;
    let separator = if path.starts_with('/') { '/' } else { '.' };
    let value = path.split(separator).filter(|step| !step.is_empty()).try_fold(&root, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(values) => values.get(step.parse::<usize>().ok()?),
        _ => None,
    })?;
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => Cell::Integer(i64::from(*truth)),
        Value::String(text) => Cell::Text(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => Cell::Integer(whole),
            // Beyond 64 bits with sign a text keeps every digit.
            (None, Some(whole), _) => Cell::Text(whole.to_string()),
            (None, None, real) => Cell::Real(real?),
        },
        Value::Array(_) | Value::Object(_) => Cell::Text(value.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_path() {
        let json = br#" {"a":{"b":[1,"two",null,true,2.5,18446744073709551615,{"c":"d"}]},"x.y":{"z":-9}}"#;
        assert_eq!(at(json, "a.b.0"), Some(Cell::Integer(1)));
        assert_eq!(at(json, "a.b.1"), Some(Cell::Text("two".to_owned())));
        assert_eq!(at(json, "a.b.2"), None);
        assert_eq!(at(json, "a.b.3"), Some(Cell::Integer(1)));
        assert_eq!(at(json, "a.b.4"), Some(Cell::Real(2.5)));
        assert_eq!(at(json, "a.b.5"), Some(Cell::Text("18446744073709551615".to_owned())));
        assert_eq!(at(json, "a.b.6"), Some(Cell::Text(r#"{"c":"d"}"#.to_owned())));
        assert_eq!(at(json, "/x.y/z"), Some(Cell::Integer(-9)));
        for nothing in ["a.b.7", "a.b.-1", "a.c", "a.b.0.c", "x.y"] {
            assert_eq!(at(json, nothing), None, "{nothing}");
        }
        assert_eq!(at(b"[7]", ""), Some(Cell::Text("[7]".to_owned())));
    }

    #[test]
    fn what_is_no_json_is_null() {
        for wrong in [&b""[..], b"{", b"\x00{}", b"{'a':1}", b"\xff"] {
            assert_eq!(at(wrong, "a"), None);
        }
        assert_eq!(at("[".repeat(100_000).as_bytes(), ""), None);
    }
}
