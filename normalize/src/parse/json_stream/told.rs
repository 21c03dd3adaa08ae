//! What every reader of JSON documents says alike: a plain value as text, where a value stands, and why a document ended early.

use super::{Span, Stop};
use crate::emit::Emit;
use crate::parse::Outcome;
use model::{Code, Locator};
use serde_json::Value;

/// A string, number or boolean as text; `None` for null, empty strings and containers.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// The place of a value.
pub fn locator(pointer: String, span: Span) -> Locator {
    Locator::Pointer { pointer, offset: span.offset, length: span.length }
}

/// Tells why a document ended early.
pub fn stopped(stop: Stop, emit: &mut Emit<'_>) -> Outcome {
    let (code, detail) = match stop {
        Stop::End(offset) => (Code::Truncated, format!("the document ends inside a value at byte {offset}")),
        Stop::Syntax(offset) => (Code::DocumentDamaged, format!("not JSON at byte {offset}")),
        Stop::Unreadable(error) => (Code::Unreadable, format!("reading failed: {}", error.kind())),
    };
    emit.problem(code, detail.clone());
    Outcome::partial(detail)
}
