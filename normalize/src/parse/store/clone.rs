//! Values as browsers clone them into IndexedDB: V8's serialization (Chromium) and SpiderMonkey's structured clone (Firefox), as JSON.

mod firefox;
mod v8;

pub use firefox::{decode as firefox, key as firefox_key};
pub use v8::decode as v8;

use serde_json::{Map, Number, Value};

/// Deepest nesting that is read: what is built is dropped by recursion.
const DEPTH: u32 = 64;
/// Most values of one document.
const VALUES_MAX: u32 = 4_000_000;

/// A number as JSON has it: whole where it is whole.
fn number(real: f64) -> Value {
    if real.fract() == 0.0 && real.abs() < 9e15 {
        return Value::Number((real as i64).into());
    }
    Number::from_f64(real).map_or(Value::Null, Value::Number)
}

/// The name of a member, from a value that stands for one.
fn name(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An object of members in their order.
fn object(members: Vec<(String, Value)>) -> Value {
    Value::Object(Map::from_iter(members))
}

#[cfg(test)]
mod tests;
