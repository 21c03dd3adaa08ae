//! Extra fields of a zip header and the times in them.

use model::item::{FileTime, FileTimes};

/// Zip64 sizes and offset (APPNOTE 4.5.3).
pub const ZIP64: u16 = 0x0001;
/// Times of NTFS (APPNOTE 4.5.5).
const NTFS: u16 = 0x000a;
/// Info-ZIP's extended timestamp.
const TIMESTAMP: u16 = 0x5455;
/// Info-ZIP's owner and group, third generation.
const OWNER: u16 = 0x7875;
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
    if let Some(times) = field(extra, TIMESTAMP).and_then(extended) {
        return times;
    }
    FileTimes { modified: dos(dos_time, dos_date), local: true, ..FileTimes::default() }
}

/// Info-ZIP's extended timestamp: flags, then a time for each of the lowest three that are set, as far as there are bytes (a central
/// header may keep the first alone): modified, accessed, created. Archives of GrayKey have four in both headers: modified, accessed, changed,
/// created (as `gkls` reads them). 0 stands for none there.
fn extended(data: &[u8]) -> Option<FileTimes> {
    let (flags, rest) = data.split_first()?;
    let seconds = |at: usize| {
        let bytes = rest.get(at * 4..at * 4 + 4)?;
        Some(FileTime { seconds: i64::from(number(bytes, 0, 4) as u32 as i32), nanos: 0 })
    };
    if rest.len() >= 16 {
        let time = |at| seconds(at).filter(|time| time.seconds != 0);
        return Some(FileTimes { modified: time(0), accessed: time(1), changed: time(2), created: time(3), local: false });
    }
    let mut next = 0;
    let mut told = |bit: u8| {
        let time = (flags & bit != 0).then(|| seconds(next)).flatten();
        next += usize::from(flags & bit != 0);
        time
    };
    let (modified, accessed, created) = (told(1), told(2), told(4));
    // Without the first the time of the header itself is better.
    modified.map(|modified| FileTimes { modified: Some(modified), accessed, created, ..FileTimes::default() })
}

/// Owner and group: version 1, then each with its length before it.
pub fn owner(extra: &[u8]) -> Option<(u32, u32)> {
    let [1, rest @ ..] = field(extra, OWNER)? else { return None };
    let (length, rest) = rest.split_first()?;
    let (user, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, rest) = rest.split_first()?;
    let group = rest.get(..usize::from(*length))?;
    let id = |bytes: &[u8]| u32::try_from(number(bytes, 0, bytes.len().min(8))).ok();
    Some((id(user)?, id(group)?))
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
    fn as_many_times_as_there_are() {
        let times = |flags: u8, seconds: &[u32]| {
            let data: Vec<u8> = [flags].into_iter().chain(seconds.iter().flat_map(|time| time.to_le_bytes())).collect();
            super::times(&[&b"UT"[..], &(data.len() as u16).to_le_bytes(), &data].concat(), 0, 0)
        };
        let at = |seconds| Some(FileTime { seconds, nanos: 0 });
        assert_eq!(times(7, &[5]), FileTimes { modified: at(5), ..FileTimes::default() }, "a central header of Info-ZIP");
        let three = FileTimes { modified: at(5), accessed: at(6), created: at(7), ..FileTimes::default() };
        assert_eq!(times(7, &[5, 6, 7]), three);
        assert_eq!(times(5, &[5, 7]), FileTimes { accessed: None, ..three });
        // The layout that gkls unpacks: `<2sHB4I`.
        let four = times(15, &[5, 6, 0, 8]);
        assert_eq!(four, FileTimes { modified: at(5), accessed: at(6), changed: None, created: at(8), local: false });
        assert!(times(2, &[6]).local, "the header's own time");
    }

    #[test]
    fn owners_of_any_width() {
        assert_eq!(owner(b"ux\x0b\0\x01\x04\xf5\x01\0\0\x04\x14\0\0\0"), Some((501, 20)));
        assert_eq!(owner(b"ux\x05\0\x01\x01\x07\x01\x09"), Some((7, 9)));
        assert_eq!((owner(b"ux\x03\0\x01\x04\xf5"), owner(b"ux\x03\0\x02\x00\x00")), (None, None));
    }

    #[test]
    fn only_values_that_ask_for_it_are_widened() {
        let (mut size, mut packed) = (7, u64::from(u32::MAX));
        widen(b"\x01\x00\x08\x00\x00\x00\x00\x00\x01\x00\x00\x00", &mut [&mut size, &mut packed]);
        assert_eq!((size, packed), (7, 1 << 32));
    }
}
