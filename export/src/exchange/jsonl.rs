//! JSON Lines: one object a row, the JSON of the row's leaf (`docs/bundle-format.md`) with its table before it.

use super::{Bundle, Carried, Format, Order, Output};
use crate::Error;
use crate::bundle::value::{Value, write_string};

/// `--to jsonl`.
pub struct JsonLines;

impl Format for JsonLines {
    fn name(&self) -> &'static str {
        "jsonl"
    }

    fn about(&self) -> &'static str {
        "One JSON object a line: first the origin, then every row of every table but `secret`. Identifiers are hexadecimal, NULLs left out, integers from 2^53 on are strings."
    }

    fn carries(&self, table: &str) -> Carried {
        if table == "secret" { Carried::Nothing } else { Carried::All }
    }

    fn write(&self, bundle: &Bundle, order: &Order, out: &mut Output) -> Result<(), Error> {
        let mut sheet = out.single()?;
        sheet.json(&serde_json::json!({ "origin": bundle.origin(order) }))?;
        sheet.put(b"\n")?;
        let mut line = Vec::new();
        for table in bundle.tables() {
            bundle.each_row(table, &mut |values| {
                line.clear();
                line.extend_from_slice(b"{\"table\":");
                write_string(table.name, &mut line);
                for (column, value) in table.columns.iter().zip(values) {
                    if *value != Value::Null {
                        line.push(b',');
                        write_string(column.name, &mut line);
                        line.push(b':');
                        value.write_json(&mut line);
                    }
                }
                line.extend_from_slice(b"}\n");
                sheet.put(&line)
            })?;
        }
        sheet.end()
    }
}
