//! A row in the form in which SQLite keeps it: <https://sqlite.org/fileformat2.html#record_format>.

use crate::bundle::value::Value;

/// Serial types of the integers that need no bytes, and of texts and BLOBs of no length.
const ZERO: u64 = 8;
const ONE: u64 = 9;
const BLOB: u64 = 12;
const TEXT: u64 = 13;

/// Appends the record of a row.
pub fn write(values: &[Value], out: &mut Vec<u8>) {
    let types = values.iter().map(|value| varint_length(serial_type(value))).sum::<usize>();
    // The header's length counts itself.
    let header = types + if types < 0x7f { 1 } else { 2 };
    write_varint(header as u64, out);
    values.iter().for_each(|value| write_varint(serial_type(value), out));
    for value in values {
        match value {
            Value::Null => {}
            Value::Integer(number) => {
                let bytes = number.to_be_bytes();
                out.extend_from_slice(&bytes[bytes.len() - integer_length(*number)..]);
            }
            Value::Text(text) => out.extend_from_slice(text.as_bytes()),
            Value::Word(word) => out.extend_from_slice(word.as_bytes()),
            Value::Blob(bytes) => out.extend_from_slice(bytes),
            Value::Id(id) => out.extend_from_slice(id),
        }
    }
}

fn serial_type(value: &Value) -> u64 {
    let sized = |first: u64, length: usize| first + 2 * length as u64;
    match value {
        Value::Null => 0,
        Value::Integer(0) => ZERO,
        Value::Integer(1) => ONE,
        Value::Integer(number) => match integer_length(*number) {
            6 => 5,
            8 => 6,
            length => length as u64,
        },
        Value::Text(text) => sized(TEXT, text.len()),
        Value::Word(word) => sized(TEXT, word.len()),
        Value::Blob(bytes) => sized(BLOB, bytes.len()),
        Value::Id(id) => sized(BLOB, id.len()),
    }
}

/// Bytes of an integer: the fewest of 0, 1, 2, 3, 4, 6 and 8 that hold it.
fn integer_length(number: i64) -> usize {
    let bits = 65 - number.abs_diff(number >> 63).leading_zeros();
    match bits {
        _ if number == 0 || number == 1 => 0,
        1..=8 => 1,
        9..=16 => 2,
        17..=24 => 3,
        25..=32 => 4,
        33..=48 => 6,
        _ => 8,
    }
}

/// Appends a number of up to 63 bits, seven bits a byte from the highest, the top bit of all but the last byte set (nine bytes, the last of
/// eight bits, are only used for larger numbers).
pub fn write_varint(number: u64, out: &mut Vec<u8>) {
    for place in (1..varint_length(number)).rev() {
        out.push((number >> (7 * place)) as u8 | 0x80);
    }
    out.push(number as u8 & 0x7f);
}

fn varint_length(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}
