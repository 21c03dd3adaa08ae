//! `extra('name', value, 'other:json', value, …)`: a JSON object for a record's `extra` field.
//!
//! NULL values are left out, and nothing but NULLs gives NULL. A name that ends in `:json` takes JSON text in as it is; where
//! that is no JSON it stays a string.

use super::FLAGS;
use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::ValueRef;
use serde_json::{Map, Number, Value};

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("extra", -1, FLAGS, |context| Ok(object(context)))
}

fn object(context: &Context<'_>) -> Option<String> {
    let mut object = Map::new();
    for name in (0..context.len()).step_by(2) {
        let key = super::text(context, name)?;
        if name + 1 >= context.len() {
            return None;
        }
        let value = value(context.get_raw(name + 1));
        let (key, value) = match (key.strip_suffix(":json"), value) {
            (_, Value::Null) => continue,
            // serde_json stops at 128 levels, so hostile nesting costs nothing.
            (Some(bare), Value::String(text)) => (bare, serde_json::from_str(&text).unwrap_or(Value::String(text))),
            (bare, value) => (bare.unwrap_or(key), value),
        };
        object.insert(key.to_owned(), value);
    }
    (!object.is_empty()).then(|| Value::Object(object).to_string())
}

/// A cell as JSON: bytes as hexadecimal digits, numbers that JSON has no word for as text.
fn value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::from(number),
        ValueRef::Real(number) => Number::from_f64(number).map_or_else(|| Value::from(number.to_string()), Value::Number),
        ValueRef::Text(bytes) => Value::from(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::from(super::base64::hex(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(sql: &str) -> Option<String> {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn nulls_are_left_out() {
        assert_eq!(one("SELECT extra('a', 1, 'b', NULL, 'c', 'x', 'd', x'0a')").as_deref(), Some(r#"{"a":1,"c":"x","d":"0a"}"#));
        assert_eq!(one("SELECT extra('a', NULL)"), None);
        assert_eq!(one("SELECT extra()"), None);
        assert_eq!(one("SELECT extra('a')"), None);
    }

    #[test]
    fn json_goes_in_as_it_is() {
        assert_eq!(one("SELECT extra('a:json', '[1,{}]', 'b:json', '[1')").as_deref(), Some(r#"{"a":[1,{}],"b":"[1"}"#));
        let deep = one("SELECT extra('a:json', replace(hex(zeroblob(5000)), '00', '['))").unwrap();
        assert!(deep.starts_with(r#"{"a":"[["#));
    }
}
