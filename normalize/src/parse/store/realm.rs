//! Realm databases: the strings of their tables, with table and column names. Format: `realm-core` (`alloc_slab.hpp`, `node_header.hpp`,
//! `group.cpp`, `cluster.cpp`, Apache-2.0), file formats 9 to 23. Numbers, links and lists of anything but strings are not read; a file of
//! another format is told as unrecognized, and one that is encrypted as locked.

mod array;
mod table;

use super::{Place, Sweep};
use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use array::File;
use model::Code;

/// Largest database that is read, bytes.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// The word at byte 16.
const MAGIC: &[u8] = b"T-DB";
/// File formats whose tables are read.
const FORMATS: std::ops::RangeInclusive<u8> = 9..=23;

/// The parser.
pub struct Realm;

impl Parser for Realm {
    fn name(&self) -> &'static str {
        "realm"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        input.head.get(16..20) == Some(MAGIC) || is_encrypted(input)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        if input.head.get(16..20) != Some(MAGIC) {
            const KEY: &str = "needs the app's key of this Realm database";
            emit.problem(Code::Encrypted, format!("encrypted Realm database: {KEY}"));
            return Outcome::locked(KEY);
        }
        let content = match input.content(FILE_BYTES_MAX, "Realm database", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        // Two tops, of which one bit says which counts; each has a format of its own.
        let which = usize::from(content.get(23).copied().unwrap_or_default() & 1);
        let format = content.get(20 + which).copied().unwrap_or_default();
        if !FORMATS.contains(&format) {
            emit.problem(
                Code::Unrecognized,
                format!("a Realm database of format {format}: its bytes are scanned, its tables are not read"),
            );
            return Outcome::partial(format!("a Realm database of format {format}"));
        }
        let file = File::new(&content);
        let mut sweep = Sweep::new("Realm", emit);
        let told = table::strings(&file, which, &mut |table, column, row, text, range| {
            let row = row.to_string();
            sweep.bytes(Place { keys: &[table, &row, column], range, verbatim: true }, text);
        });
        sweep.finish();
        match told {
            Ok(()) => Outcome::parsed(),
            Err(damage) => {
                for detail in &damage {
                    emit.problem(Code::DatabaseDamaged, detail.as_str());
                }
                Outcome::partial("see its problems")
            }
        }
    }
}

/// An encrypted database is whole pages of cipher text: only its name tells it.
fn is_encrypted(input: &Input<'_>) -> bool {
    let item = &input.unit.primary.item;
    let named = item.path.to_ascii_lowercase().ends_with(".realm");
    // All byte values stand in a page of cipher text, in hardly any other.
    let distinct = || input.head.iter().take(4096).collect::<std::collections::HashSet<&u8>>().len();
    named && item.size_bytes >= 4096 && item.size_bytes.is_multiple_of(4096) && distinct() > 240
}

#[cfg(test)]
mod tests;
