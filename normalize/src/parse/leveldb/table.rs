//! Tables: blocks of sorted keys, an index of them, and a footer that says where the index lies.

use super::{Found, Write, masked_crc, varint};
use std::borrow::Cow;

const FOOTER: usize = 48;
const MAGIC: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();
/// Largest decoded block, bytes: a value can be as large as the file it was stored in.
const BLOCK_BYTES_MAX: usize = 128 << 20;

/// Whether the bytes are a whole table.
pub fn is_table(content: &[u8]) -> bool {
    content.len() > FOOTER && content.ends_with(&MAGIC)
}

/// Reads every block that the index names; gives each that was compressed, decoded, with its range.
pub fn read(content: &[u8], decoded: &mut dyn FnMut((u64, u64), &[u8])) -> Found {
    let mut found = Found::default();
    let footer = content.get(content.len().saturating_sub(FOOTER)..).unwrap_or_default();
    let index = handle(footer).and_then(|(_, rest)| handle(rest)).map(|(index, _)| index);
    let Some((index, _, _)) = index.and_then(|index| block(content, index, "the index", &mut found)) else {
        found.damage.push("its index cannot be read".to_owned());
        return found;
    };
    for (_, value) in entries(&index, "the index", &mut found) {
        let Some((place, _)) = handle(&value) else {
            found.damage.push("an entry of the index names no block".to_owned());
            continue;
        };
        let name = format!("the block at {}", place.0);
        let Some((bytes, range, packed)) = block(content, place, &name, &mut found) else { continue };
        if packed {
            decoded(range, &bytes);
        }
        for (key, value) in entries(&bytes, &name, &mut found) {
            // Behind each key stand its sequence number and the kind of the write.
            let Some((key, tag)) = key.split_last_chunk::<8>() else {
                found.damage.push(format!("a key of {name} is too short"));
                continue;
            };
            let tag = u64::from_le_bytes(*tag);
            let value = (tag & 0xff == 1).then_some(value);
            found.writes.push(Write { key: key.to_vec(), value, sequence: tag >> 8, range });
        }
    }
    found
}

/// Place and size of a block; and what follows.
fn handle(bytes: &[u8]) -> Option<((u64, u64), &[u8])> {
    let (offset, rest) = varint(bytes)?;
    let (size, rest) = varint(rest)?;
    Some(((offset, size), rest))
}

type Block<'c> = (Cow<'c, [u8]>, (u64, u64), bool);

/// A block's bytes, its range in the file, and whether it was compressed. Behind it stand its compression and its checksum.
fn block<'c>(content: &'c [u8], (offset, size): (u64, u64), name: &str, found: &mut Found) -> Option<Block<'c>> {
    let from = usize::try_from(offset).ok()?;
    let to = from.checked_add(usize::try_from(size).ok()?)?;
    let (Some(bytes), Some(trailer)) = (content.get(from..to), content.get(to..to.checked_add(5)?)) else {
        found.damage.push(format!("{name} lies outside the file"));
        return None;
    };
    if content.get(from..to + 1).map(masked_crc) != trailer.last_chunk::<4>().map(|crc| u32::from_le_bytes(*crc)) {
        found.damage.push(format!("the checksum of {name} does not agree"));
    }
    let range = (offset, size);
    match trailer.first() {
        Some(0) => Some((Cow::Borrowed(bytes), range, false)),
        Some(1) => {
            let fits = snap::raw::decompress_len(bytes).is_ok_and(|length| length <= BLOCK_BYTES_MAX);
            match fits.then(|| snap::raw::Decoder::new().decompress_vec(bytes)) {
                Some(Ok(decoded)) => Some((Cow::Owned(decoded), range, true)),
                _ => {
                    found.damage.push(format!("{name} cannot be decompressed"));
                    None
                }
            }
        }
        _ => {
            found.damage.push(format!("{name} is compressed in a way that is not read"));
            None
        }
    }
}

/// Keys and values of a block: each key has the first bytes of the one before it.
fn entries(block: &[u8], name: &str, found: &mut Found) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    // At its end stand the places where a key is written whole, and how many they are.
    let count = block.last_chunk::<4>().map_or(0, |count| u32::from_le_bytes(*count) as usize);
    let end = count.checked_mul(4).and_then(|bytes| block.len().checked_sub(bytes.checked_add(4)?));
    let Some(mut rest) = end.and_then(|end| block.get(..end)) else {
        found.damage.push(format!("{name} has no end"));
        return entries;
    };
    let mut key: Vec<u8> = Vec::new();
    while !rest.is_empty() {
        let Some((shared, fresh, value, after)) = entry(rest).filter(|(shared, ..)| *shared <= key.len()) else {
            found.damage.push(format!("an entry of {name} is damaged"));
            break;
        };
        key.truncate(shared);
        key.extend_from_slice(fresh);
        entries.push((key.clone(), value.to_vec()));
        rest = after;
    }
    entries
}

/// Shared bytes, fresh bytes of the key, the value, and what follows.
fn entry(bytes: &[u8]) -> Option<(usize, &[u8], &[u8], &[u8])> {
    let (shared, rest) = varint(bytes)?;
    let (fresh, rest) = varint(rest)?;
    let (length, rest) = varint(rest)?;
    let (fresh, rest) = rest.split_at_checked(usize::try_from(fresh).ok()?)?;
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((usize::try_from(shared).ok()?, fresh, value, rest))
}
