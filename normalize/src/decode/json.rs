//! `json_at(x, 'a.b.0')`: a value in JSON text, by keys and indexes. Unlike SQLite's own `json_extract`, what is no JSON gives NULL, as any
//! decoder does: one damaged cell must not end the reading of its table. `json_list(x, 'a.b')`: the list there as JSON text, for `json_each`;
//! NULL where it is none or empty.

use super::{FLAGS, bytes, text};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// Cells that are kept read: a query asks many values of the few JSON columns of one row.
const KEPT: usize = 4;

/// Cells and what they hold (nothing where they are no JSON), the latest first.
type Kept = Vec<(Vec<u8>, Option<Value>)>;

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    let functions: [(&str, fn(&Value, &str) -> Option<Cell>); 2] = [("json_at", at), ("json_list", list)];
    for (name, value) in functions {
        let kept = Mutex::new(Kept::new());
        connection.create_scalar_function(name, 2, FLAGS, move |context| {
            let Some((json, path)) = bytes(context, 0).zip(text(context, 1)) else { return Ok(Cell::Null) };
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(read(&mut kept, json).and_then(|root| value(root, path)).unwrap_or(Cell::Null))
        })?;
    }
    Ok(())
}

/// What a cell holds, read once as long as it is among the latest.
fn read<'k>(kept: &'k mut Kept, json: &[u8]) -> Option<&'k Value> {
    match kept.iter().position(|(cell, _)| cell == json) {
        Some(place) => kept.swap(0, place),
        None => {
            kept.truncate(KEPT - 1);
            // serde_json stops at 128 levels, so hostile nesting costs nothing.
            kept.insert(0, (json.to_owned(), serde_json::from_slice(json).ok()));
        }
    }
    kept.first()?.1.as_ref()
}

/// The value at a path (steps apart by dots, or by slashes where it begins with one, because keys may have dots); an empty path is the
/// whole. True and false are 1 and 0, lists and objects their JSON text. `None` for null and where nothing stands.
fn at(root: &Value, path: &str) -> Option<Cell> {
    let value = walk(root, path)?;
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

/// The list at a path as JSON text, if it is one and holds anything.
fn list(root: &Value, path: &str) -> Option<Cell> {
    walk(root, path)
        .filter(|value| value.as_array().is_some_and(|list| !list.is_empty()))
        .map(|value| Cell::Text(value.to_string()))
}

fn walk<'v>(root: &'v Value, path: &str) -> Option<&'v Value> {
    let separator = if path.starts_with('/') { '/' } else { '.' };
    path.split(separator).filter(|step| !step.is_empty()).try_fold(root, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(values) => values.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(json: &[u8], path: &str) -> Option<Cell> {
        super::at(read(&mut Kept::new(), json)?, path)
    }

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
    fn lists_are_lists_that_hold_something() {
        let list = |json: &[u8], path| super::list(read(&mut Kept::new(), json)?, path);
        assert_eq!(list(b"{\"a\":[1, 2]}", "a"), Some(Cell::Text("[1,2]".to_owned())));
        for nothing in [&b"{\"a\":[]}"[..], b"{\"a\":{\"0\":1}}", b"{\"a\":\"[1]\"}", b"{", b"{}"] {
            assert_eq!(list(nothing, "a"), None);
        }
    }

    #[test]
    fn what_is_no_json_is_null() {
        for wrong in [&b""[..], b"{", b"\x00{}", b"{'a':1}", b"\xff"] {
            assert_eq!(at(wrong, "a"), None);
        }
        assert_eq!(at("[".repeat(100_000).as_bytes(), ""), None);
    }

    #[test]
    fn cells_in_turn_are_not_taken_for_each_other() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let mut statement = connection
            .prepare("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
                      SELECT i, json_at('{\"a\":' || i || '}', 'a'), json_at(CASE i % 3 WHEN 0 THEN '{' ELSE '{\"b\":' || (i * 2) || '}' END, 'b'), json_at('{\"a\":' || i || '}', 'b') FROM n")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        for row in rows {
            let (number, same, double, nothing): (i64, i64, Option<i64>, Option<i64>) = row.unwrap();
            assert_eq!((same, double, nothing), (number, (number % 3 != 0).then_some(number * 2), None));
        }
    }
}
