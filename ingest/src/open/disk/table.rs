//! Partition tables: GPT (its backup where the first is damaged), MBR with extended partitions, Apple's map, BSD's not.
//! Formats: UEFI 2.10 chapter 5; "Master boot record" as every system writes it; Apple, Inside Macintosh: Devices, chapter 3.

use super::fields::{byte, exact, length, slice, some, u16be, u16le, u32be, u32le, u64le, utf16le};
use crate::evidence::Source;
use crate::open::Trouble;
use model::Code;

/// A stretch of a disk that a table names.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// Its number: place in the GPT or the map from 1; 1 to 4 in the MBR, 5 and on for logical ones.
    pub number: u32,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Its name in the table, or its type.
    pub name: String,
}

/// What a table tells.
#[derive(Default)]
pub struct Table {
    /// `gpt`, `mbr` or `apm`.
    pub kind: &'static str,
    /// Its partitions, in the order of the table.
    pub partitions: Vec<Partition>,
    /// What is wrong with it.
    pub troubles: Vec<Trouble>,
}

/// Entries of a table that are read, and logical partitions.
const ENTRIES_MAX: u32 = 1024;
const LOGICAL_MAX: u32 = 128;
const GPT: &[u8] = b"EFI PART";
/// Types of MBR entries: extended, and the one that protects a GPT.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
const PROTECTIVE: u8 = 0xee;

/// Whether a disk that begins so has a partition table.
pub fn recognize(head: &[u8]) -> bool {
    is_mbr(head) || gpt_sector(head).is_some() || (head.starts_with(b"ER") && slice(head, 512, 2) == b"PM")
}

/// Sector size of a GPT that the beginning tells.
fn gpt_sector(head: &[u8]) -> Option<u64> {
    [512, 4096].into_iter().find(|sector| slice(head, length(*sector), 8) == GPT)
}

/// A boot record whose four entries make sense: a boot sector of FAT or NTFS ends with the same two bytes.
fn is_mbr(head: &[u8]) -> bool {
    let entries: Vec<&[u8]> = (0..4).map(|at| slice(head, 446 + at * 16, 16)).collect();
    let sane = |entry: &&[u8]| byte(entry, 0) & 0x7f == 0 && (byte(entry, 4) == 0 || u32le(entry, 8) > 0 && u32le(entry, 12) > 0);
    slice(head, 510, 2) == [0x55, 0xaa] && entries.iter().all(sane) && entries.iter().any(|entry| byte(entry, 4) != 0)
}

/// Reads the table of a disk; `None` where it has none.
pub fn read(disk: &Source) -> Option<Table> {
    let head = some(disk, 0, 8192).ok()?;
    let entries: Vec<&[u8]> = (0..4).map(|at| slice(&head, 446 + at * 16, 16)).collect();
    let protected = is_mbr(&head) && entries.iter().any(|entry| byte(entry, 4) == PROTECTIVE);
    if protected || gpt_sector(&head).is_some() {
        return Some(gpt(disk, gpt_sector(&head)));
    }
    if head.starts_with(b"ER") && slice(&head, 512, 2) == b"PM" {
        return Some(apm(disk));
    }
    is_mbr(&head).then(|| mbr(disk, &head))
}

/// CRC-32 (IEEE 802.3).
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A GPT: the one at the beginning, or the backup at the end.
fn gpt(disk: &Source, sector: Option<u64>) -> Table {
    let mut table = Table { kind: "gpt", ..Table::default() };
    let sectors = sector.map_or(vec![512, 4096], |sector| vec![sector]);
    let primary = sectors.iter().map(|sector| gpt_at(disk, *sector, *sector)).find_map(Result::ok);
    if let Some(partitions) = primary {
        table.partitions = partitions;
        return table;
    }
    let backup = sectors.iter().find_map(|sector| gpt_at(disk, disk.size().checked_sub(*sector)?, *sector).ok());
    let (detail, found) = match backup {
        Some(partitions) => ("the GPT at the beginning is damaged: its backup is read", partitions),
        None => ("neither GPT nor its backup is whole", Vec::new()),
    };
    table.troubles.push(Trouble::new(Code::ContainerDamaged, detail));
    table.partitions = found;
    table
}

/// The GPT whose header lies at a byte.
fn gpt_at(disk: &Source, at: u64, sector: u64) -> Result<Vec<Partition>, ()> {
    let header = exact(disk, at, 512).map_err(|_| ())?;
    let bytes = length(u32le(&header, 12)).clamp(92, 512);
    let mut summed = slice(&header, 0, bytes).to_vec();
    summed[16..20].fill(0);
    if !header.starts_with(GPT) || crc32(&summed) != u32le(&header, 16) {
        return Err(());
    }
    let (first, count, size) = (u64le(&header, 72), u32le(&header, 80).min(ENTRIES_MAX), length(u32le(&header, 84)));
    if !(128..=4096).contains(&size) {
        return Err(());
    }
    let entries = exact(disk, first.saturating_mul(sector), size.saturating_mul(length(count))).map_err(|_| ())?;
    if crc32(&entries) != u32le(&header, 88) {
        return Err(());
    }
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(entries.chunks_exact(size)) {
        let (from, to) = (u64le(entry, 32), u64le(entry, 40));
        if slice(entry, 0, 16).iter().all(|byte| *byte == 0) || to < from {
            continue;
        }
        let name = utf16le(slice(entry, 56, 72));
        let name = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
        let size = (to - from).saturating_add(1).saturating_mul(sector);
        partitions.push(Partition { number, start: from.saturating_mul(sector), size, name });
    }
    Ok(partitions)
}

/// The entries of a boot record: number, type, first sector, sectors.
fn entries(record: &[u8]) -> impl Iterator<Item = (u32, u8, u64, u64)> + '_ {
    (0u32..4).map(|at| {
        let entry = slice(record, 446 + at as usize * 16, 16);
        (at + 1, byte(entry, 4), u64::from(u32le(entry, 8)), u64::from(u32le(entry, 12)))
    })
}

/// Disks of 4096-byte sectors count in those: told by where the first partition's file system begins.
fn sector_bytes(disk: &Source, head: &[u8]) -> u64 {
    let first = entries(head).find(|(_, kind, start, _)| *kind != 0 && *start > 0);
    let begins = |sector: u64| {
        let at = first.map_or(0, |(_, _, start, _)| start * sector);
        some(disk, at, super::volume::PROBE_BYTES).is_ok_and(|head| super::volume::recognize(&head))
    };
    if !begins(512) && begins(4096) { 4096 } else { 512 }
}

fn mbr(disk: &Source, head: &[u8]) -> Table {
    let mut table = Table { kind: "mbr", ..Table::default() };
    let sector = sector_bytes(disk, head);
    let place = |number, kind: u8, start: u64, count: u64| Partition {
        number,
        start: start.saturating_mul(sector),
        size: count.saturating_mul(sector),
        name: format!("type {kind:#04x}"),
    };
    let mut logical = 5;
    for (number, kind, start, count) in entries(head).filter(|(_, kind, _, count)| *kind != 0 && *count > 0) {
        if EXTENDED.contains(&kind) {
            extended(disk, sector, start, &mut logical, &mut table, &place);
        } else {
            table.partitions.push(place(number, kind, start, count));
        }
    }
    table
}

/// The chain of boot records in an extended partition: each names one partition and the next record.
fn extended(
    disk: &Source,
    sector: u64,
    first: u64,
    logical: &mut u32,
    table: &mut Table,
    place: &dyn Fn(u32, u8, u64, u64) -> Partition,
) {
    let (mut at, mut seen) = (first, std::collections::HashSet::new());
    while seen.insert(at) && *logical < 5 + LOGICAL_MAX {
        let Ok(record) = exact(disk, at.saturating_mul(sector), 512) else {
            let detail =
                format!("the boot record at sector {at} lies beyond the end: logical partitions behind it are not known");
            return table.troubles.push(Trouble::new(Code::Truncated, detail));
        };
        if u16le(&record, 510) != 0xaa55 {
            let detail = format!("no boot record at sector {at}: logical partitions behind it are not known");
            return table.troubles.push(Trouble::new(Code::ContainerDamaged, detail));
        }
        let mut next = None;
        for (_, kind, start, count) in entries(&record).filter(|(_, kind, _, count)| *kind != 0 && *count > 0) {
            if EXTENDED.contains(&kind) {
                next = next.or(Some(first.saturating_add(start)));
            } else {
                table.partitions.push(place(*logical, kind, at.saturating_add(start), count));
                *logical += 1;
            }
        }
        match next {
            Some(next) => at = next,
            None => return,
        }
    }
    let detail = format!("boot records of the extended partition lead back to sector {at}");
    table.troubles.push(Trouble::new(Code::ContainerDamaged, detail));
}

fn apm(disk: &Source) -> Table {
    let mut table = Table { kind: "apm", ..Table::default() };
    let sector = some(disk, 0, 512).map_or(512, |head| u64::from(u16be(&head, 2)));
    // CDs have maps in blocks of 2048 bytes and of 512; the first entry tells which this is.
    let sector = [sector, 512].into_iter().find(|sector| some(disk, *sector, 2).is_ok_and(|head| head == b"PM")).unwrap_or(512);
    let count = exact(disk, sector, 512).map_or(0, |entry| u32be(&entry, 4)).min(ENTRIES_MAX);
    for number in 1..=count {
        let Ok(entry) = exact(disk, u64::from(number).saturating_mul(sector), 512) else {
            table
                .troubles
                .push(Trouble::new(Code::Truncated, format!("entry {number} of the partition map lies beyond the end")));
            break;
        };
        if !entry.starts_with(b"PM") {
            table.troubles.push(Trouble::new(Code::ContainerDamaged, format!("entry {number} of the partition map is none")));
            break;
        }
        let text =
            |at| String::from_utf8_lossy(slice(&entry, at, 32).split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
        // The map itself, free space and drivers hold no files.
        if ["Apple_partition_map", "Apple_Free", "Apple_Driver"].iter().any(|kind| text(48).starts_with(kind)) {
            continue;
        }
        let (start, size) = (u64::from(u32be(&entry, 8)) * sector, u64::from(u32be(&entry, 12)) * sector);
        table.partitions.push(Partition { number, start, size, name: text(48) });
    }
    table
}
