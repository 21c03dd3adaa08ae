//! LevelDB: the stores of browser extensions and of pages. Every value, old ones too, goes through the sweep of [`super::store`], which knows
//! wallets by their content; compressed blocks are scanned decoded.
//!
//! Logs hold batches of writes in order, old values too, until they are compacted into tables
//! (<https://github.com/google/leveldb/blob/main/doc/log_format.md>, `table_format.md`). Of one key the write with the highest sequence
//! number counts; others are older. A file is read for itself: what another file of the store has overwritten cannot be told from it.

mod log;
mod table;

use super::store::{Place, Sweep, clone};
use crate::emit::{Emit, Part};
use crate::parse::{Input, Outcome, Parser};
use model::{Code, State};
use std::collections::HashMap;

/// Largest file that is read, bytes: LevelDB begins a new one at 4 MiB, and at 64 MiB in the largest settings met.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// One write.
struct Write {
    key: Vec<u8>,
    /// `None` for a deletion.
    value: Option<Vec<u8>>,
    sequence: u64,
    /// First byte and bytes in the file of what it was decoded from.
    range: (u64, u64),
}

/// What was read of a file.
#[derive(Default)]
struct Found {
    writes: Vec<Write>,
    /// What is damaged, in the order of the file.
    damage: Vec<String>,
}

/// The parser.
pub struct LevelDb;

impl Parser for LevelDb {
    fn name(&self) -> &'static str {
        "leveldb"
    }

    fn version(&self) -> u32 {
        2
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        // The magic number of a table stands at its end, which only a small file's head shows: the name decides of larger ones.
        let name = String::from_utf8_lossy(&input.unit.primary.name).to_lowercase();
        log::is_log(input.head) || table::is_table(input.head) || name.ends_with(".ldb")
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(FILE_BYTES_MAX, "LevelDB file", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let found = if table::is_table(&content) {
            table::read(&content, &mut |range, block| {
                let name = format!("block at {}", range.0);
                emit.decoded(Part { name: &name, offset: range.0, length: range.1 }, block);
            })
        } else if log::is_log(&content) {
            log::read(&content)
        } else {
            return Outcome::plain();
        };
        sweep(&found, emit);
        for detail in &found.damage {
            emit.problem(Code::DocumentDamaged, detail.as_str());
        }
        if found.damage.is_empty() { Outcome::parsed() } else { Outcome::partial("see its problems") }
    }
}

/// Sweeps the values, the newest first: what an older one repeats is told once.
fn sweep(found: &Found, emit: &mut Emit<'_>) {
    let mut order: Vec<&Write> = found.writes.iter().collect();
    order.sort_by_key(|write| std::cmp::Reverse((write.sequence, write.range.0)));
    // Of each key, whether its newest write was a deletion.
    let mut newest: HashMap<&[u8], bool> = HashMap::new();
    let mut sweep = Sweep::new("LevelDB", emit);
    for write in order {
        let first = !newest.contains_key(write.key.as_slice());
        let deleted = *newest.entry(&write.key).or_insert(write.value.is_none());
        let Some(value) = write.value.as_deref() else { continue };
        sweep.state(match (first, deleted) {
            (true, false) => State::Live,
            (false, false) => State::Superseded,
            (_, true) => State::Recovered,
        });
        // A page's local storage has its origin before the key, and a zero and a byte for the encoding between them.
        let parts: Vec<String> = write.key.split(|byte| *byte == 0).map(name).filter(|part| !part.is_empty()).collect();
        let keys: Vec<&str> = parts.iter().map(String::as_str).collect();
        let place = Place { keys: &keys, range: write.range, verbatim: false };
        // What pages and extensions put into IndexedDB is neither text nor JSON.
        match (text(value), clone::v8(value)) {
            (_, Some(cloned)) => sweep.cloned(place, cloned),
            (Some(text), None) => sweep.text(place, &text),
            (None, None) => sweep.bytes(place, value),
        }
    }
    sweep.finish();
}

/// A part of a key as text.
fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|character| !character.is_control()).collect()
}

/// A value as text: JSON as extensions store it, or a string of a page's local storage, with a byte before it for its encoding.
fn text(value: &[u8]) -> Option<String> {
    let utf8 = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).ok();
    match value.split_first() {
        Some((0, rest)) => {
            let units: Vec<u16> =
                rest.chunks_exact(2).map(|pair| pair.iter().rev().fold(0, |unit, byte| unit << 8 | u16::from(*byte))).collect();
            Some(String::from_utf16_lossy(&units))
        }
        // Latin-1.
        Some((1, rest)) => Some(rest.iter().map(|byte| char::from(*byte)).collect()),
        _ => utf8(value),
    }
}

/// A number of LevelDB: seven bits a byte, the lowest first; and what follows.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f).checked_shl(7 * place as u32)?;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    None
}

/// Bytes with their length before them; and what follows.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// The checksum that LevelDB stores: CRC-32C, turned and offset, because it stands in data that is checked again.
fn masked_crc(bytes: &[u8]) -> u32 {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
