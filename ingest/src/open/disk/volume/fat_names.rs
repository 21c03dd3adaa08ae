//! Names of FAT: a short one, and the parts of a long one before it.

use super::super::fields::{byte, dos_time, slice, u16le, u32le, utf16le};
use super::super::sink::Found;
use super::fat::DELETED;
use model::item::FileTimes;

/// Attributes of an entry that holds a part of a long name.
const LONG: u8 = 0x0f;
/// Parts of the longest name: 255 characters, 13 in each.
const PARTS_MAX: usize = 20;
/// Set in the number of the last part, which comes first.
const LAST: u8 = 0x40;

/// The parts of a long name so far.
#[derive(Default)]
pub struct Names {
    parts: Vec<Vec<u8>>,
    checksum: u8,
    deleted: bool,
}

/// A name.
pub struct Name {
    /// As UTF-8.
    pub bytes: Vec<u8>,
}

/// The checksum of a short name that the parts of its long one hold.
fn checksum(short: &[u8]) -> u8 {
    short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// A byte of a short name: code page 437 beyond ASCII is what most cameras and sticks have used, but nothing tells; such a byte stays
/// as it is.
fn short_name(entry: &[u8], deleted: bool) -> Vec<u8> {
    let mut base = slice(entry, 0, 8).trim_ascii_end().to_vec();
    let mut extension = slice(entry, 8, 3).trim_ascii_end().to_vec();
    // Lower case is kept in two bits by Windows NT.
    let case = byte(entry, 12);
    match base.first_mut() {
        Some(first) if deleted => *first = b'_',
        Some(first) if *first == 0x05 => *first = DELETED,
        _ => {}
    }
    if case & 0x08 != 0 {
        base.make_ascii_lowercase();
    }
    if case & 0x10 != 0 {
        extension.make_ascii_lowercase();
    }
    if extension.is_empty() { base } else { [&base[..], b".", &extension[..]].concat() }
}

impl Names {
    /// Takes an entry: a part of a long name is kept, any other gives its name.
    pub fn take(&mut self, entry: &[u8]) -> Option<Name> {
        let deleted = byte(entry, 0) == DELETED;
        if byte(entry, 11) & 0x3f == LONG {
            let number = byte(entry, 0);
            let begins = if deleted { !self.deleted || self.checksum != byte(entry, 13) } else { number & LAST != 0 };
            if begins || self.checksum != byte(entry, 13) || self.deleted != deleted || self.parts.len() >= PARTS_MAX {
                self.parts.clear();
            }
            (self.checksum, self.deleted) = (byte(entry, 13), deleted);
            self.parts.push([slice(entry, 1, 10), slice(entry, 14, 12), slice(entry, 28, 4)].concat());
            return None;
        }
        let parts = std::mem::take(&mut self.parts);
        let own = if deleted { self.restored(entry, &parts) } else { checksum(slice(entry, 0, 11)) == self.checksum };
        let bytes = if own && !parts.is_empty() && self.deleted == deleted {
            let units: Vec<u8> = parts.into_iter().rev().flatten().collect();
            let end =
                units.chunks_exact(2).position(|unit| unit == [0, 0] || unit == [0xff, 0xff]).map_or(units.len(), |at| at * 2);
            utf16le(&units[..end])
        } else {
            short_name(entry, deleted)
        };
        Some(Name { bytes })
    }

    /// Whether the long name of a deleted entry is its own: some first character that was lost gives its checksum.
    fn restored(&self, entry: &[u8], parts: &[Vec<u8>]) -> bool {
        let first = parts.last().map(|part| byte(part, 0).to_ascii_uppercase());
        let fits = |first: u8| checksum(&[&[first], slice(entry, 1, 10)].concat()) == self.checksum;
        first.is_some_and(fits) || (0x20..=0xff).any(fits)
    }
}

impl Name {
    /// What an entry tells beside its name. Its times are wall clock, nobody knows where.
    pub fn found(self, entry: &[u8], path: Vec<u8>, deleted: bool) -> Found {
        let times = FileTimes {
            modified: dos_time(u16le(entry, 24), u16le(entry, 22), 0),
            accessed: dos_time(u16le(entry, 18), 0, 0),
            changed: None,
            created: dos_time(u16le(entry, 16), u16le(entry, 14), byte(entry, 13)),
            local: true,
        };
        Found { path, size: u64::from(u32le(entry, 28)), times, deleted, ..Found::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8; 11]) -> Vec<u8> {
        [&name[..], &[0x20], &[0; 20]].concat()
    }

    #[test]
    fn short_names() {
        let mut names = Names::default();
        assert_eq!(names.take(&entry(b"README  TXT")).unwrap().bytes, b"README.TXT");
        assert_eq!(names.take(&entry(b"\xe5ELETED TXT")).unwrap().bytes, b"_ELETED.TXT");
        assert_eq!(names.take(&entry(b"\x05BC        ")).unwrap().bytes, b"\xe5BC");
    }

    #[test]
    fn long_names_and_those_of_deleted_entries() {
        let short = b"LONGNA~1TXT";
        let mut part = vec![0x41];
        let units: Vec<u8> = "Long name.tx".encode_utf16().flat_map(u16::to_le_bytes).chain([b't', 0]).collect();
        part.extend(&units[..10]);
        part.extend([LONG, 0, checksum(short)]);
        part.extend(&units[10..22]);
        part.extend([0, 0]);
        part.extend(&units[22..26]);
        let mut names = Names::default();
        assert!(names.take(&part).is_none());
        assert_eq!(names.take(&entry(short)).unwrap().bytes, b"Long name.txt");
        part[0] = DELETED;
        assert!(names.take(&part).is_none());
        assert_eq!(names.take(&entry(b"\xe5ONGNA~1TXT")).unwrap().bytes, b"Long name.txt");
        // Parts of another entry are not taken.
        assert!(names.take(&part).is_none());
        assert_eq!(names.take(&entry(b"OTHER   TXT")).unwrap().bytes, b"OTHER.TXT");
    }
}
