//! Logs: records in blocks of 32 KiB, cut at their borders; each record is a batch of writes.

use super::{Found, Write, masked_crc, prefixed};

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
/// A record that is whole, the first, a middle and the last part of one.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Whether the first bytes are those of a log: a header, and a batch whose first write is whole or goes on behind them.
pub fn is_log(head: &[u8]) -> bool {
    let Some((header, rest)) = head.split_at_checked(HEADER) else { return false };
    let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
    let (kind, whole) = (header[6], header[6] == FULL);
    if !(FULL..=FIRST).contains(&kind) || !(13..=BLOCK - HEADER).contains(&length) || (!whole && length != BLOCK - HEADER) {
        return false;
    }
    let Some(part) = rest.get(..length) else { return false };
    u32::from_le_bytes([header[0], header[1], header[2], header[3]]) == checksum(kind, part) && !is_manifest(part)
}

/// Whether the first record is that of a manifest, which lists the store's files in a log of its own and holds no values: it names how
/// keys are compared (`db/version_edit.cc`). As the number that a batch begins with, the name would be astronomical.
fn is_manifest(record: &[u8]) -> bool {
    let name = record.strip_prefix(&[1]).and_then(prefixed).map(|(name, _)| name);
    name.is_some_and(|name| name.len() >= 8 && name.iter().all(|byte| byte.is_ascii_graphic()))
}

fn checksum(kind: u8, part: &[u8]) -> u32 {
    masked_crc(&[&[kind], part].concat())
}

/// Reads every batch. A damaged record is told and left out; what follows it is read on from the next one.
pub fn read(content: &[u8]) -> Found {
    let mut found = Found::default();
    // The record that is being put together: its bytes, and where its first part begins.
    let mut open: Option<(Vec<u8>, usize)> = None;
    for (number, block) in content.chunks(BLOCK).enumerate() {
        let base = number * BLOCK;
        let mut at = 0;
        while let Some(header) = block.get(at..at + HEADER) {
            let place = base + at;
            let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
            let kind = header[6];
            // Space that was set aside for records and not written.
            if kind == 0 && length == 0 {
                break;
            }
            let Some(part) = block.get(at + HEADER..at + HEADER + length) else {
                found.damage.push(format!("the record at {place} is cut short"));
                open = None;
                break;
            };
            at += HEADER + length;
            if u32::from_le_bytes([header[0], header[1], header[2], header[3]]) != checksum(kind, part) {
                found.damage.push(format!("the checksum of the record at {place} does not agree"));
                open = None;
                continue;
            }
            match (kind, open.take()) {
                (FULL, _) => batch(part, (place, base + at), &mut found),
                (FIRST, _) => open = Some((part.to_vec(), place)),
                (MIDDLE, Some((mut bytes, from))) => {
                    bytes.extend_from_slice(part);
                    open = Some((bytes, from));
                }
                (LAST, Some((mut bytes, from))) => {
                    bytes.extend_from_slice(part);
                    batch(&bytes, (from, base + at), &mut found);
                }
                (MIDDLE | LAST, None) => found.damage.push(format!("the record at {place} has no beginning")),
                _ => found.damage.push(format!("the record at {place} is of no known kind")),
            }
        }
    }
    if let Some((_, from)) = open {
        found.damage.push(format!("the record at {from} has no end"));
    }
    found
}

/// Reads a batch: sequence number, how many writes, and these.
fn batch(bytes: &[u8], (from, to): (usize, usize), found: &mut Found) {
    let range = (from as u64, (to - from) as u64);
    let head = bytes.first_chunk::<8>().map(|number| u64::from_le_bytes(*number)).zip(bytes.get(12..));
    let Some((mut sequence, mut rest)) = head else {
        found.damage.push(format!("the batch at {from} is too short"));
        return;
    };
    while let Some((kind, after)) = rest.split_first() {
        let write = match kind {
            0 => prefixed(after).map(|(key, after)| (key, None, after)),
            1 => prefixed(after).and_then(|(key, after)| prefixed(after).map(|(value, after)| (key, Some(value), after))),
            _ => None,
        };
        let Some((key, value, after)) = write else {
            found.damage.push(format!("a write of the batch at {from} is damaged"));
            return;
        };
        found.writes.push(Write { key: key.to_vec(), value: value.map(<[u8]>::to_vec), sequence, range });
        sequence = sequence.wrapping_add(1);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: &[u8]) -> Vec<u8> {
        let mut record = checksum(FULL, payload).to_le_bytes().to_vec();
        record.extend((payload.len() as u16).to_le_bytes());
        record.push(FULL);
        record.extend(payload);
        record
    }

    #[test]
    fn a_manifest_is_no_log_of_writes() {
        for comparator in ["leveldb.BytewiseComparator", "idb_cmp1"] {
            let mut edit = vec![1, comparator.len() as u8];
            edit.extend(comparator.as_bytes());
            edit.extend([2, 0, 9, 0, 3, 2, 4, 0]);
            assert!(!is_log(&record(&edit)), "{comparator}");
        }
        // Sequence 1, one write: the key `a`, deleted.
        let batch = [&1u64.to_le_bytes()[..], &1u32.to_le_bytes(), &[0, 1, b'a']].concat();
        assert!(is_log(&record(&batch)));
        assert_eq!(read(&record(&batch)).writes.len(), 1);
    }
}
