//! Extra fields of a zip header and the times in them.

use model::item::{FileTime, FileTimes};

/// Zip64 sizes and offset (APPNOTE 4.5.3).
pub const ZIP64: u16 = 0x0001;
/// Times of NTFS (APPNOTE 4.5.5).
const NTFS: u16 = 0x000a;
/// Info-ZIP's extended timestamp.
const TIMESTAMP: u16 = 0x5455;
/// Seconds between 1601 and 1970.
const FILETIME_EPOCH: i64 = 11_644_473_600;

/// The data of the extra field with that id.
pub fn field(mut extra: &[u8], id: u16) -> Option<&[u8]> {
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let data = rest.get(..length)?;
        if u16::from_le_bytes([head[0], head[1]]) == id {
            return Some(data);
        }
        extra = &rest[length..];
    }
    None
}

/// A number of 2, 4 or 8 bytes, little endian; 0 where the bytes end too early.
pub fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let end = at.saturating_add(width);
    let bytes = bytes.get(at..end).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Replaces the 32-bit values that stand for "see zip64", in the order the field keeps them.
pub fn widen(extra: &[u8], values: &mut [&mut u64]) {
    let Some(data) = field(extra, ZIP64) else { return };
    let mut wide = data.chunks_exact(8).map(|chunk| number(chunk, 0, 8));
    for value in values {
        if **value == u64::from(u32::MAX)
            && let Some(next) = wide.next()
        {
            **value = next;
        }
    }
}

/// Times in the best resolution there is: NTFS (100 ns since 1601 UTC), extended (seconds UTC), else DOS wall time (two seconds, no
/// zone).
pub fn times(extra: &[u8], dos_time: u16, dos_date: u16) -> FileTimes {
    // Four reserved bytes, then attribute 1 with 24 bytes: modified, accessed, created.
    if let Some(ntfs) = field(extra, NTFS).and_then(|data| data.get(8..32)) {
        let time = |at: usize| {
            let ticks = number(ntfs, at, 8);
            let seconds = i64::try_from(ticks / 10_000_000).ok()?.checked_sub(FILETIME_EPOCH)?;
            (ticks != 0).then_some(FileTime { seconds, nanos: (ticks % 10_000_000) as u32 * 100 })
        };
        return FileTimes { modified: time(0), accessed: time(8), created: time(16), changed: None, local: false };
    }
    if let Some(data) = field(extra, TIMESTAMP)
        && data.first().is_some_and(|flags| flags & 1 != 0)
        && data.len() >= 5
    {
        let seconds = i64::from(number(data, 1, 4) as u32 as i32);
        return FileTimes { modified: Some(FileTime { seconds, nanos: 0 }), ..FileTimes::default() };
    }
    FileTimes { modified: dos(dos_time, dos_date), local: true, ..FileTimes::default() }
}

/// A DOS date and time read as if it were UTC; `None` for the zero date and impossible ones.
fn dos(time: u16, date: u16) -> Option<FileTime> {
    let (year, month, day) = (i64::from(date >> 9) + 1980, i64::from(date >> 5 & 15), i64::from(date & 31));
    if !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let (hour, minute, second) = (i64::from(time >> 11), i64::from(time >> 5 & 63), i64::from(time & 31) * 2);
    // Days from civil (Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(FileTime { seconds: days * 86_400 + hour * 3_600 + minute * 60 + second, nanos: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times_are_wall_times() {
        // 2023-01-02 03:04:06, as `date -u -d '2023-01-02 03:04:06' +%s` counts it.
        let (time, date) = (3 << 11 | 4 << 5 | 3, 43 << 9 | 1 << 5 | 2);
        assert_eq!(dos(time, date).unwrap().seconds, 1_672_628_646);
        assert_eq!(dos(0, 0), None);
        assert!(times(b"", time, date).local);
    }

    #[test]
    fn extra_fields_are_found_by_id() {
        assert_eq!(field(b"\x01\x00\x02\x00ab\x55\x54\x01\x00c", TIMESTAMP), Some(b"c".as_slice()));
        assert_eq!(field(b"\x01\x00\xff\x00ab", ZIP64), None);
    }

    #[test]
    fn better_times_win() {
        // -1 is the last second of 1969; 116444736000000000 + 1 ticks is 100 ns after the beginning of 1970.
        let extended = times(b"\x55\x54\x05\x00\x01\xff\xff\xff\xff", 0, 0);
        assert_eq!((extended.modified, extended.local), (Some(FileTime { seconds: -1, nanos: 0 }), false));
        let ticks = 116_444_736_000_000_001u64.to_le_bytes();
        let ntfs = [b"\x0a\x00\x20\x00\0\0\0\0\x01\x00\x18\x00".as_slice(), &ticks, &ticks, &ticks].concat();
        assert_eq!(times(&ntfs, 0, 0).created, Some(FileTime { seconds: 0, nanos: 100 }));
    }

    #[test]
    fn only_values_that_ask_for_it_are_widened() {
        let (mut size, mut packed) = (7, u64::from(u32::MAX));
        widen(b"\x01\x00\x08\x00\x00\x00\x00\x00\x01\x00\x00\x00", &mut [&mut size, &mut packed]);
        assert_eq!((size, packed), (7, 1 << 32));
    }
}
