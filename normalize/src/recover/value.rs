//! Values of recovered rows.

use super::shape::{Affinity, Column};
use crate::find::row::{integer, is_text, text};
use model::observable::Encoding;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use std::hash::{Hash, Hasher};

/// One value, as SQLite would give it.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A float; kept as bits, so that NaN equals itself.
    Real(u64),
    /// A text in UTF-8, its bytes as they are if they are not.
    Text(Vec<u8>),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// The value of a serial type with its body, as the column gives it; a body that is cut short gives what is there.
    pub fn of(serial: u64, body: &[u8], column: &Column, encoding: Encoding) -> Value {
        let value = match serial {
            0 => Value::Null,
            7 => body.first_chunk().map_or(Value::Null, |bytes| Value::Real(u64::from_be_bytes(*bytes))),
            serial if is_text(serial) => Value::Text(match encoding {
                Encoding::Utf8 => body.to_vec(),
                _ => text(body, encoding).into_bytes(),
            }),
            serial if serial >= 12 => Value::Blob(body.to_vec()),
            serial => integer(serial, body).map_or(Value::Null, Value::Integer),
        };
        match value {
            // Floats without a fraction are stored as integers to save space.
            Value::Integer(number) if column.affinity == Affinity::Real => Value::Real((number as f64).to_bits()),
            value => value,
        }
    }

    /// Whether SQLite gives the same.
    pub fn equals(&self, live: ValueRef<'_>) -> bool {
        match (self, live) {
            (Value::Null, ValueRef::Null) => true,
            (Value::Integer(own), ValueRef::Integer(live)) => *own == live,
            (Value::Real(own), ValueRef::Real(live)) => *own == live.to_bits(),
            (Value::Text(own), ValueRef::Text(live)) | (Value::Blob(own), ValueRef::Blob(live)) => own == live,
            _ => false,
        }
    }

    /// Feeds a hasher as [`hash_live`] does for an equal value.
    pub fn feed(&self, hasher: &mut impl Hasher) {
        match self {
            Value::Null => 0u8.hash(hasher),
            Value::Integer(number) => (1u8, number).hash(hasher),
            Value::Real(bits) => (2u8, bits).hash(hasher),
            Value::Text(bytes) => (3u8, bytes.as_slice()).hash(hasher),
            Value::Blob(bytes) => (4u8, bytes.as_slice()).hash(hasher),
        }
    }

    /// Bytes of memory beyond the value itself.
    pub fn size(&self) -> usize {
        match self {
            Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(live: ValueRef<'_>) -> Value {
        match live {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number.to_bits()),
            ValueRef::Text(bytes) => Value::Text(bytes.to_vec()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        }
    }
}

/// Feeds a hasher with what SQLite gives.
pub fn hash_live(live: ValueRef<'_>, hasher: &mut impl Hasher) {
    match live {
        ValueRef::Null => 0u8.hash(hasher),
        ValueRef::Integer(number) => (1u8, number).hash(hasher),
        ValueRef::Real(number) => (2u8, number.to_bits()).hash(hasher),
        ValueRef::Text(bytes) => (3u8, bytes).hash(hasher),
        ValueRef::Blob(bytes) => (4u8, bytes).hash(hasher),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(bits) => ValueRef::Real(f64::from_bits(*bits)),
            Value::Text(bytes) => ValueRef::Text(bytes),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::DefaultHasher;

    #[test]
    fn values_equal_what_sqlite_gives_and_hash_alike() {
        let column = |affinity| Column { name: String::new(), affinity, not_null: false, is_row_id: false };
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let pairs = [
            ("5", Value::of(1, &[5], &column(Affinity::Integer), Encoding::Utf8)),
            ("5.0", Value::of(1, &[5], &column(Affinity::Real), Encoding::Utf8)),
            ("1", Value::of(9, &[], &column(Affinity::Integer), Encoding::Utf8)),
            ("'ab'", Value::of(17, b"ab", &column(Affinity::Text), Encoding::Utf8)),
            ("'ab'", Value::of(21, b"a\0b\0", &column(Affinity::Text), Encoding::Utf16le)),
            ("x'00ff'", Value::of(16, &[0, 255], &column(Affinity::Blob), Encoding::Utf8)),
            ("NULL", Value::of(0, &[], &column(Affinity::Text), Encoding::Utf8)),
            ("0.5", Value::of(7, &0.5f64.to_be_bytes(), &column(Affinity::Real), Encoding::Utf8)),
        ];
        for (sql, value) in pairs {
            connection
                .query_row(&format!("SELECT {sql}, ?1"), [&value], |row| {
                    let (mut own, mut live) = (DefaultHasher::new(), DefaultHasher::new());
                    value.feed(&mut own);
                    hash_live(row.get_ref(0)?, &mut live);
                    assert_eq!(own.finish(), live.finish(), "{sql}");
                    assert!(value.equals(row.get_ref(0)?) && value.equals(row.get_ref(1)?), "{sql}");
                    Ok(())
                })
                .unwrap();
        }
    }
}
