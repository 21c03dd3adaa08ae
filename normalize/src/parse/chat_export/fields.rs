//! The fields of an element that are still to be told.

pub(super) use crate::parse::json_stream::told::scalar;
use model::{Stamp, TimeUnit};
use serde_json::{Map, Value};

/// Fields, each of which is taken once; what nobody takes is kept as it is.
pub(super) struct Fields(pub Map<String, Value>);

impl Fields {
    /// Takes a string, number or boolean; empty strings and null stay.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let text = scalar(self.0.get(key)?)?;
        self.0.shift_remove(key);
        Some(text)
    }

    /// Takes a whole number.
    pub fn integer(&mut self, key: &str) -> Option<i64> {
        let number = self.0.get(key)?.as_i64()?;
        self.0.shift_remove(key);
        Some(number)
    }

    /// Takes an object.
    pub fn object(&mut self, key: &str) -> Option<Fields> {
        match self.0.shift_remove(key)? {
            Value::Object(fields) => Some(Fields(fields)),
            other => {
                self.0.insert(key.to_owned(), other);
                None
            }
        }
    }

    /// Takes the objects of an array. One that holds anything else stays.
    pub fn objects(&mut self, key: &str) -> Vec<Fields> {
        let whole = self.0.get(key).and_then(Value::as_array).is_some_and(|list| list.iter().all(Value::is_object));
        let Some(Value::Array(list)) = whole.then(|| self.0.shift_remove(key)).flatten() else { return Vec::new() };
        let objects = list.into_iter().map(|value| match value {
            Value::Object(fields) => Fields(fields),
            other => Fields(Map::from_iter([("value".to_owned(), other)])),
        });
        objects.collect()
    }

    /// Takes a time in a unit.
    pub fn time(&mut self, key: &str, unit: TimeUnit) -> Option<Stamp> {
        self.integer(key).map(|raw| Stamp::integer(raw, unit))
    }

    /// Takes a written time; UTC is known where it carries a zone.
    pub fn written(&mut self, key: &str) -> Option<Stamp> {
        self.text(key).map(written)
    }

    /// What is left, without what says nothing (null, empty strings, lists and objects), as one JSON object.
    pub fn rest(mut self) -> Option<String> {
        self.0.retain(|_, value| !says_nothing(value));
        (!self.0.is_empty()).then(|| Value::Object(self.0).to_string())
    }
}

/// A written time; UTC is known where it carries a zone.
pub(super) fn written(raw: String) -> Stamp {
    let instant = raw.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_microsecond);
    Stamp::text(raw, instant.ok())
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
