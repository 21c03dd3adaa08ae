//! CSV (RFC 4180): a folder with one file a table, and `origin.json`.
//!
//! Two profiles. Raw: a NULL is nothing, an empty text is `""`, every other value as it is, so that a program reads back what
//! was there. Spreadsheet-safe: a byte order mark, and an apostrophe before what a spreadsheet would run as a formula or round.
//! Written here and not by a library, which would not tell NULL from the empty text.

use super::{Bundle, Carried, Format, Order, Output};
use crate::Error;
use crate::bundle::value::Value;
use crate::exchange::read::hex;

/// `--to csv`.
pub struct Csv;

/// Digits that a spreadsheet keeps; longer numbers are rounded.
const SPREADSHEET_DIGITS: usize = 15;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn about(&self) -> &'static str {
        "A folder with one file a table and `origin.json`. Raw by default; `--profile spreadsheet` for people, who lose nothing but may see an apostrophe before `+`, `-`, `=`, `@` and long numbers."
    }

    fn carries(&self, table: &str) -> Carried {
        if table == "secret" { Carried::Nothing } else { Carried::All }
    }

    fn write(&self, bundle: &Bundle, order: &Order, out: &mut Output) -> Result<(), Error> {
        let mut origin = out.member("origin.json")?;
        origin.json(&bundle.origin(order))?;
        origin.end()?;
        let mut line = Vec::new();
        for table in bundle.tables() {
            let mut sheet = out.member(&format!("{}.csv", table.name))?;
            if order.spreadsheet_safe {
                sheet.put("\u{feff}".as_bytes())?;
            }
            let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
            sheet.put(format!("{}\r\n", names.join(",")).as_bytes())?;
            bundle.each_row(table, &mut |values| {
                line.clear();
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        line.push(b',');
                    }
                    cell(value, order.spreadsheet_safe, &mut line);
                }
                line.extend_from_slice(b"\r\n");
                sheet.put(&line)
            })?;
            sheet.end()?;
        }
        Ok(())
    }
}

fn cell(value: &Value, safe: bool, line: &mut Vec<u8>) {
    let text = match value {
        Value::Null => return,
        Value::Integer(integer) => integer.to_string(),
        Value::Text(text) => text.clone(),
        Value::Word(word) => (*word).to_owned(),
        Value::Blob(bytes) => hex(bytes),
        Value::Id(id) => hex(id),
    };
    let text = if safe && is_dangerous(&text) { format!("'{text}") } else { text };
    if text.is_empty() || text.contains([',', '"', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ') {
        line.push(b'"');
        line.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        line.push(b'"');
    } else {
        line.extend_from_slice(text.as_bytes());
    }
}

/// Whether a spreadsheet would do something with a cell but show it (OWASP, CSV injection), or show something else: long
/// numbers are rounded, `1e5` and hexadecimal ids of digits and one `e` become powers of ten, an apostrophe is swallowed.
fn is_dangerous(text: &str) -> bool {
    let begins = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠']);
    let is_long = text.len() > SPREADSHEET_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_power = text.starts_with(|first: char| first.is_ascii_digit())
        && text.contains(['e', 'E'])
        && text.bytes().all(|byte| byte.is_ascii_digit() || b".eE".contains(&byte));
    let leading_zero = text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    begins || is_long || is_power || leading_zero
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: impl Into<Value>, safe: bool) -> String {
        let mut line = Vec::new();
        cell(&value.into(), safe, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn raw_cells_come_back_as_they_were() {
        assert_eq!(written(Value::Null, false), "");
        assert_eq!(written(String::new(), false), "\"\"");
        assert_eq!(written("=1+1", false), "=1+1");
        assert_eq!(written("a \"b\", c\nd", false), "\"a \"\"b\"\", c\nd\"");
        assert_eq!(written(vec![0u8, 255], false), "00ff");
        assert_eq!(written(i64::MIN, false), "-9223372036854775808");
    }

    #[test]
    fn spreadsheets_run_and_round_nothing() {
        for text in ["=1+1", "+66812345678", "-5", "@SUM(A1)", "\tx", "'x", "12e5", "0812345678", "1234567890123456"] {
            let shown = written(text.to_owned(), true);
            assert!(shown.trim_matches('"').starts_with('\''), "{shown}");
        }
        for text in ["plain", "12.5", "12345", "e", "0", "2024-05-01", "a=b"] {
            assert!(!written(text.to_owned(), true).starts_with('\''), "{text}");
        }
    }
}
