//! Records of the master file table, and the attributes in them. Format: libfsntfs documentation; the Linux-NTFS project's.

use super::super::fields::{byte, damaged, filetime, length, slice, u16le, u32le, u64le, utf16le};
use super::super::stream::Run;
use model::item::FileTimes;
use std::io;

/// Types of attributes.
pub const STANDARD: u32 = 0x10;
/// A list of attributes in other records.
pub const LIST: u32 = 0x20;
/// A name.
pub const FILE_NAME: u32 = 0x30;
/// Content.
pub const DATA: u32 = 0x80;
/// A junction, a link, or what another driver packs.
pub const REPARSE: u32 = 0xc0;
/// End of the attributes.
const END: u32 = 0xffff_ffff;
/// Flags of an attribute.
pub const COMPRESSED: u16 = 0x00ff;
/// Encrypted by EFS.
pub const ENCRYPTED: u16 = 0x4000;
/// A file reference's record number.
pub const RECORD: u64 = 0xffff_ffff_ffff;
/// Runs of one attribute.
const RUNS_MAX: usize = 4 << 20;
/// The namespace of names that only DOS sees.
const DOS: u8 = 2;

/// A record whose fixups are undone.
pub struct Record(Vec<u8>);

/// An attribute of a record.
#[derive(Clone, Copy)]
pub struct Attribute<'a> {
    /// Its bytes.
    bytes: &'a [u8],
    /// Its type.
    pub kind: u32,
}

/// A name of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileName {
    /// Reference of the folder: record and, in the upper 16 bits, sequence.
    pub parent: u64,
    /// The name.
    pub name: Vec<u8>,
}

impl Record {
    /// Undoes the fixups: the last two bytes of each sector are kept elsewhere, so that torn writes are seen.
    pub fn new(mut bytes: Vec<u8>) -> io::Result<Record> {
        if !bytes.starts_with(b"FILE") {
            return Err(damaged("a record of the MFT is none"));
        }
        let (at, count) = (usize::from(u16le(&bytes, 4)), usize::from(u16le(&bytes, 6)));
        let check = u16le(&bytes, at);
        for sector in 1..count {
            let end = sector * 512;
            if end > bytes.len() {
                break;
            }
            if u16le(&bytes, end - 2) != check {
                return Err(damaged("a record of the MFT was not written whole"));
            }
            let kept = [byte(&bytes, at + sector * 2), byte(&bytes, at + sector * 2 + 1)];
            bytes[end - 2..end].copy_from_slice(&kept);
        }
        Ok(Record(bytes))
    }

    /// Whether a file uses it.
    pub fn in_use(&self) -> bool {
        u16le(&self.0, 22) & 1 != 0
    }

    /// Whether it is a folder's.
    pub fn is_folder(&self) -> bool {
        u16le(&self.0, 22) & 2 != 0
    }

    /// How often it has been used.
    pub fn sequence(&self) -> u16 {
        u16le(&self.0, 16)
    }

    /// The record that it continues; 0 for none.
    pub fn base(&self) -> u64 {
        u64le(&self.0, 32) & RECORD
    }

    /// Its attributes, in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        let mut at = usize::from(u16le(&self.0, 20));
        std::iter::from_fn(move || {
            let (kind, bytes) = (u32le(&self.0, at), length(u32le(&self.0, at + 4)));
            if kind == END || kind == 0 || bytes < 24 || at + bytes > self.0.len() {
                return None;
            }
            let attribute = Attribute { bytes: &self.0[at..at + bytes], kind };
            at += bytes;
            Some(attribute)
        })
    }

    /// Times of `$STANDARD_INFORMATION`.
    pub fn times(&self) -> FileTimes {
        let Some(value) = self.attributes().find(|attribute| attribute.kind == STANDARD).and_then(|found| found.resident())
        else {
            return FileTimes::default();
        };
        let time = |at| filetime(u64le(value, at));
        FileTimes { created: time(0), modified: time(8), changed: time(16), accessed: time(24), local: false }
    }

    /// Its names, without those that only DOS sees unless there is no other.
    pub fn names(&self) -> Vec<FileName> {
        let values = self.attributes().filter(|attribute| attribute.kind == FILE_NAME).filter_map(|found| found.resident());
        let all: Vec<(u8, FileName)> = values.map(name_of).collect();
        let long = all.iter().any(|(space, _)| *space != DOS);
        all.into_iter().filter(|(space, _)| *space != DOS || !long).map(|(_, name)| name).collect()
    }
}

fn name_of(value: &[u8]) -> (u8, FileName) {
    let name = utf16le(slice(value, 66, usize::from(byte(value, 64)) * 2));
    (byte(value, 65), FileName { parent: u64le(value, 0), name })
}

impl<'a> Attribute<'a> {
    /// Its value, if that lies in the record.
    pub fn resident(&self) -> Option<&'a [u8]> {
        (byte(self.bytes, 8) == 0).then(|| slice(self.bytes, usize::from(u16le(self.bytes, 20)), length(u32le(self.bytes, 16))))
    }

    /// Its name: empty for a file's content.
    pub fn name(&self) -> Vec<u8> {
        utf16le(slice(self.bytes, usize::from(u16le(self.bytes, 10)), usize::from(byte(self.bytes, 9)) * 2))
    }

    /// Its flags.
    pub fn flags(&self) -> u16 {
        u16le(self.bytes, 12)
    }

    /// First cluster of the file that it tells of: a later part of an attribute that is cut into several.
    pub fn first_cluster(&self) -> u64 {
        if byte(self.bytes, 8) == 0 { 0 } else { u64le(self.bytes, 16) }
    }

    /// Its size and how much of it was written, bytes.
    pub fn size(&self) -> (u64, u64) {
        match self.resident() {
            Some(value) => (value.len() as u64, value.len() as u64),
            None => (u64le(self.bytes, 48), u64le(self.bytes, 56)),
        }
    }

    /// Clusters that are compressed together; 0 where none are.
    pub fn unit(&self) -> u64 {
        let bits = u16le(self.bytes, 34);
        if byte(self.bytes, 8) == 0 || self.flags() & COMPRESSED == 0 || !(1..=8).contains(&bits) { 0 } else { 1 << bits }
    }

    /// Adds its runs: each a length and, unless it is a hole, a step from the run before.
    pub fn runs(&self, cluster: u64, runs: &mut Vec<Run>) -> io::Result<()> {
        let list = slice(self.bytes, usize::from(u16le(self.bytes, 32)), self.bytes.len());
        let (mut at, mut place) = (0, 0i64);
        while byte(list, at) != 0 {
            let (size, step) = (usize::from(byte(list, at) & 15), usize::from(byte(list, at) >> 4));
            if size == 0 || size > 8 || step > 8 || at + 1 + size + step > list.len() || runs.len() > RUNS_MAX {
                return Err(damaged("a list of runs is none"));
            }
            let bytes = number(slice(list, at + 1, size)).checked_mul(cluster).filter(|bytes| *bytes < 1 << 62);
            let bytes = bytes.ok_or_else(|| damaged("a run is longer than any volume"))?;
            let mut start = None;
            if step > 0 {
                place = place.wrapping_add(signed(slice(list, at + 1 + size, step)));
                let first =
                    u64::try_from(place).ok().and_then(|first| first.checked_mul(cluster)).filter(|first| *first < 1 << 61);
                start = Some(first.ok_or_else(|| damaged("a run begins before the volume"))?);
            }
            runs.push(Run { at: start, bytes });
            at += 1 + size + step;
        }
        Ok(())
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn signed(bytes: &[u8]) -> i64 {
    let shift = 64 - 8 * bytes.len().clamp(1, 8) as u32;
    (number(bytes) << shift).cast_signed() >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(list: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[32] = 64;
        bytes.extend(list);
        bytes
    }

    #[test]
    fn runs_step_both_ways_and_have_holes() {
        // The example of the Linux-NTFS documentation: 0x38 clusters at 0x342573, 0x114 after, 0x42 at 0x0211E5 before.
        let bytes = attribute(&[
            0x31, 0x38, 0x73, 0x25, 0x34, 0x32, 0x14, 0x01, 0xe5, 0x11, 0x02, 0x31, 0x42, 0xaa, 0x00, 0x03, 0x01, 0x10, 0,
        ]);
        let mut runs = Vec::new();
        Attribute { bytes: &bytes, kind: DATA }.runs(1, &mut runs).unwrap();
        let at: Vec<_> = runs.iter().map(|run| (run.at, run.bytes)).collect();
        assert_eq!(at, [(Some(0x34_2573), 0x38), (Some(0x36_3758), 0x114), (Some(0x39_3802), 0x42), (None, 0x10)]);
    }

    #[test]
    fn runs_that_lead_out_of_the_volume() {
        for list in [&[0x11, 1, 0x80, 0][..], &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0], &[0x41, 1, 1]] {
            assert!(Attribute { bytes: &attribute(list), kind: DATA }.runs(4096, &mut Vec::new()).is_err(), "{list:?}");
        }
    }

    #[test]
    fn fixups() {
        let mut bytes = vec![0; 1024];
        bytes[..4].copy_from_slice(b"FILE");
        bytes[4..8].copy_from_slice(&[48, 0, 3, 0]);
        bytes[48..54].copy_from_slice(&[7, 7, 1, 2, 3, 4]);
        bytes[510..512].copy_from_slice(&[7, 7]);
        assert!(Record::new(bytes.clone()).is_err());
        bytes[1022..].copy_from_slice(&[7, 7]);
        let record = Record::new(bytes).unwrap();
        assert_eq!((&record.0[510..512], &record.0[1022..]), (&[1, 2][..], &[3, 4][..]));
    }
}
