//! Times: `unix_s(x)`, `unix_ms(x)`, `unix_us(x)`, `unix_ns(x)`, `cocoa_s(x)`, `cocoa_ns(x)`, `webkit_us(x)`, and
//! `written_time(x)` for a date in RFC 3339 (with its zone, else only the raw text is kept).
//!
//! They convert nothing: they pack the raw value with its unit into a small BLOB, which the engine unpacks into a
//! [`Stamp`], so that the raw value stays beside what is derived from it.

use super::FLAGS;
use model::{RawTime, Stamp, TimeUnit};
use rusqlite::Connection;
use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};

const UNITS: [TimeUnit; 8] = [
    TimeUnit::UnixS,
    TimeUnit::UnixMs,
    TimeUnit::UnixUs,
    TimeUnit::UnixNs,
    TimeUnit::CocoaS,
    TimeUnit::CocoaNs,
    TimeUnit::WebkitUs,
    TimeUnit::Text,
];
/// First byte of a packed time: no UTF-8 begins so.
const MARK: u8 = 0xf5;
const INTEGER: u8 = b'i';
const REAL: u8 = b'r';
const TEXT: u8 = b't';

/// A packed time: mark, ordinal of the unit, type, and the value (8 bytes little endian for numbers).
enum Packed {
    Null,
    Number([u8; 11]),
    Long(Vec<u8>),
}

impl ToSql for Packed {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Packed::Null => ToSqlOutput::Owned(Value::Null),
            Packed::Number(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Packed::Long(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// Registers the functions.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    for (ordinal, unit) in (0_u8..).zip(UNITS) {
        let name = if unit == TimeUnit::Text { "written_time" } else { unit.name() };
        connection.create_scalar_function(name, 1, FLAGS, move |context| Ok(pack(ordinal, context.get_raw(0))))?;
    }
    Ok(())
}

fn pack(ordinal: u8, value: ValueRef<'_>) -> Packed {
    let number = |kind: u8, value: [u8; 8]| {
        let [a, b, c, d, e, f, g, h] = value;
        Packed::Number([MARK, ordinal, kind, a, b, c, d, e, f, g, h])
    };
    match value {
        ValueRef::Null => Packed::Null,
        ValueRef::Integer(raw) => number(INTEGER, raw.to_le_bytes()),
        ValueRef::Real(raw) => number(REAL, raw.to_le_bytes()),
        ValueRef::Text(bytes) => Packed::Long([&[MARK, ordinal, TEXT], String::from_utf8_lossy(bytes).as_bytes()].concat()),
        ValueRef::Blob(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Packed::Long([&[MARK, ordinal, TEXT], format!("x'{hex}'").as_bytes()].concat())
        }
    }
}

/// Unpacks what a time function gave; `None` for anything else. A stamp without UTC value holds what is no number, or lies
/// beyond the range of i64.
pub fn unpack(bytes: &[u8]) -> Option<Stamp> {
    let (&[mark, ordinal, kind], value) = bytes.split_first_chunk::<3>()?;
    let unit = *UNITS.get(usize::from(ordinal))?;
    if mark != MARK {
        return None;
    }
    match kind {
        INTEGER => Some(Stamp::integer(i64::from_le_bytes(value.try_into().ok()?), unit)),
        REAL => Some(real(f64::from_le_bytes(value.try_into().ok()?), unit)),
        TEXT => {
            let raw = std::str::from_utf8(value).ok()?;
            if unit == TimeUnit::Text {
                let instant = raw.trim().parse::<jiff::Timestamp>().ok();
                return Some(Stamp::text(raw, instant.map(jiff::Timestamp::as_microsecond)));
            }
            let utc_us = match raw.trim().parse::<i64>() {
                Ok(whole) => unit.micros(whole),
                Err(_) => raw.trim().parse::<f64>().ok().and_then(|number| real_micros(number, unit)),
            };
            Some(Stamp { utc_us, raw: RawTime::Text(raw.to_owned()), unit })
        }
        _ => None,
    }
}

/// A stamp of a real number of units; the raw value keeps all its digits.
pub fn real(raw: f64, unit: TimeUnit) -> Stamp {
    Stamp { utc_us: real_micros(raw, unit), raw: RawTime::Text(format!("{raw:?}")), unit }
}

/// A real number of units as microseconds since 1970, rounded to the nearest.
fn real_micros(raw: f64, unit: TimeUnit) -> Option<i64> {
    // Whole units are exact; the fraction is far below a second, so a float holds its microseconds.
    if !raw.is_finite() || raw.abs() >= 9e18 {
        return None;
    }
    let whole = unit.micros(raw.floor() as i64)?;
    let one = unit.micros(1)?.saturating_sub(unit.micros(0)?);
    let fraction = ((raw - raw.floor()) * one as f64).round() as i64;
    whole.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(sql: &str) -> Option<Stamp> {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let packed: Option<Vec<u8>> = connection.query_row(&format!("SELECT {sql}"), [], |row| row.get(0)).unwrap();
        packed.map(|packed| unpack(&packed).unwrap())
    }

    #[test]
    fn raw_values_keep_their_unit() {
        assert_eq!(stamp("unix_ms(1700000000123)"), Some(Stamp::integer(1_700_000_000_123, TimeUnit::UnixMs)));
        assert_eq!(stamp("unix_ms(NULL)"), None);
        let cocoa = stamp("cocoa_s(645402966.25)").unwrap();
        // 2021-06-14T21:36:06.25Z, as `date -d @$((645402966 + 978307200))` says of the whole seconds.
        assert_eq!(cocoa.utc_us, Some(1_623_710_166_250_000));
        assert_eq!(cocoa.raw, RawTime::Text("645402966.25".to_owned()));
    }

    #[test]
    fn what_is_no_number_keeps_its_text() {
        let text = stamp("unix_s('10')").unwrap();
        assert_eq!((text.utc_us, text.raw), (Some(10_000_000), RawTime::Text("10".to_owned())));
        let word = stamp("unix_s('yesterday')").unwrap();
        assert_eq!((word.utc_us, word.raw), (None, RawTime::Text("yesterday".to_owned())));
        assert_eq!(stamp("unix_s(x'ff00')").unwrap().raw, RawTime::Text("x'ff00'".to_owned()));
        assert_eq!(stamp("unix_s(9223372036854775807)").unwrap().utc_us, None);
        assert_eq!(stamp("unix_s(9e300)").unwrap().utc_us, None);
    }

    #[test]
    fn other_blobs_are_no_times() {
        for bytes in [&b""[..], b"\xf5", b"\xf5\x09i12345678", b"\xf5\x00i123", b"\xf5\x00t\xff", b"abc12345678"] {
            assert_eq!(unpack(bytes), None);
        }
    }
}
