//! Numbers in blocks of a disk. What lies beyond the end of a block reads as 0: blocks are read in full before they are parsed, and
//! a truncated one is told as such where it was read.

use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use model::Code;
use model::item::FileTime;
use std::io;

/// Seconds between 1601 and 1970.
const FILETIME_EPOCH: i64 = 11_644_473_600;

fn little(bytes: &[u8], at: usize, width: usize) -> u64 {
    let bytes = bytes.get(at..at.saturating_add(width)).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn big(bytes: &[u8], at: usize, width: usize) -> u64 {
    let bytes = bytes.get(at..at.saturating_add(width)).unwrap_or_default();
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

macro_rules! readers {
    ($($name:ident, $from:ident, $type:ty, $width:literal, $doc:literal;)+) => {
        $(#[doc = $doc] pub fn $name(bytes: &[u8], at: usize) -> $type { $from(bytes, at, $width) as $type })+
    };
}

readers! {
    u16le, little, u16, 2, "Two bytes, little endian.";
    u32le, little, u32, 4, "Four bytes, little endian.";
    u64le, little, u64, 8, "Eight bytes, little endian.";
    u16be, big, u16, 2, "Two bytes, big endian.";
    u32be, big, u32, 4, "Four bytes, big endian.";
    u64be, big, u64, 8, "Eight bytes, big endian.";
}

/// One byte.
pub fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Bytes from a place on; what is missing is left out.
pub fn slice(bytes: &[u8], at: usize, length: usize) -> &[u8] {
    let start = at.min(bytes.len());
    &bytes[start..at.saturating_add(length).clamp(start, bytes.len())]
}

/// A number of bytes or blocks as a length in memory.
pub fn length(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or(usize::MAX)
}

/// Reads as many bytes as there are, up to a length.
pub fn some(source: &Source, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match source.read_at(&mut bytes[filled..], at.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Reads exactly so many bytes.
pub fn exact(source: &Source, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let bytes = some(source, at, length)?;
    if bytes.len() < length {
        return Err(Damage::error(Code::Truncated, &format!("{length} bytes at byte {at} reach beyond the end")));
    }
    Ok(bytes)
}

/// An I/O error of a parser that met something impossible.
pub fn damaged(detail: &str) -> io::Error {
    Damage::error(Code::ContainerDamaged, detail)
}

/// Inflates a zlib stream that gives at most so many bytes, and holds it against its checksum: that stands behind the data, so that room
/// for one byte more is needed to reach it.
pub fn inflate(packed: &[u8], room: usize) -> io::Result<Vec<u8>> {
    let mut data = vec![0; room + 1];
    let mut inflate = flate2::Decompress::new(true);
    let status = inflate.decompress(packed, &mut data, flate2::FlushDecompress::Finish);
    let bytes = length(inflate.total_out());
    match status {
        Ok(flate2::Status::StreamEnd) if bytes <= room => {
            data.truncate(bytes);
            Ok(data)
        }
        Ok(_) => Err(damaged(&format!("packed data do not end after {bytes} bytes"))),
        Err(error) => Err(Damage::error(Code::ChecksumMismatch, &format!("packed data: {error}"))),
    }
}

/// A trouble with the place in front.
pub fn at_place(place: &str, error: &io::Error) -> Trouble {
    let Trouble { code, detail } = Trouble::of(error);
    Trouble::new(code, format!("{place}: {detail}"))
}

/// Windows FILETIME: 100 ns since 1601 UTC; `None` for 0, which stands for "never set".
pub fn filetime(ticks: u64) -> Option<FileTime> {
    let seconds = i64::try_from(ticks / 10_000_000).ok()?.checked_sub(FILETIME_EPOCH)?;
    (ticks != 0).then_some(FileTime { seconds, nanos: (ticks % 10_000_000) as u32 * 100 })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// DOS date and time, wall clock; `None` where the fields are no date.
pub fn dos_time(date: u16, time: u16, hundredths: u8) -> Option<FileTime> {
    let (year, month, day) = (1980 + i64::from(date >> 9), i64::from(date >> 5 & 15), i64::from(date & 31));
    let (hour, minute, second) = (i64::from(time >> 11), i64::from(time >> 5 & 63), i64::from(time & 31) * 2);
    if !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second + i64::from(hundredths.min(199) / 100);
    Some(FileTime { seconds, nanos: u32::from(hundredths.min(199) % 100) * 10_000_000 })
}

/// UTF-16, little endian, as UTF-8; what is no character becomes U+FFFD.
pub fn utf16le(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_what_lies_beyond() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!((u16le(&bytes, 0), u32le(&bytes, 0), u64le(&bytes, 0)), (0x0201, 0x0403_0201, 0x0807_0605_0403_0201));
        assert_eq!((u16be(&bytes, 6), u32be(&bytes, 4), u64be(&bytes, 0)), (0x0708, 0x0506_0708, 0x0102_0304_0506_0708));
        assert_eq!((u32le(&bytes, 6), byte(&bytes, 8), slice(&bytes, 6, 9).len(), slice(&bytes, 99, 9).len()), (0, 0, 2, 0));
    }

    #[test]
    fn clocks() {
        // Known pairs: Microsoft documents 116444736000000000 as 1970-01-01; `date -ud @951782400` is 2000-02-29.
        assert_eq!(filetime(116_444_736_000_000_000), Some(FileTime { seconds: 0, nanos: 0 }));
        assert_eq!(filetime(0), None);
        assert_eq!(days(2000, 2, 29), 951_782_400 / 86_400);
        assert_eq!(days(1969, 12, 31), -1);
        let noon = dos_time(20 << 9 | 2 << 5 | 29, 12 << 11 | 30 << 5 | 5, 150).unwrap();
        assert_eq!((noon.seconds, noon.nanos), (951_782_400 + 12 * 3600 + 30 * 60 + 11, 500_000_000));
        assert_eq!(dos_time(0, 0, 0), None);
    }

    #[test]
    fn names() {
        assert_eq!(utf16le(&[0x14, 0x04, 0x3d, 0xd8, 0x00, 0xde]), "Д😀".as_bytes());
        assert_eq!(utf16le(&[0x3d, 0xd8]), "\u{fffd}".as_bytes());
    }

    #[test]
    fn inflated_data_are_held_against_their_checksum() {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(b"hello").unwrap();
        let mut packed = encoder.finish().unwrap();
        assert_eq!(inflate(&packed, 5).unwrap(), b"hello");
        assert!(inflate(&packed, 4).is_err());
        let at = packed.windows(5).position(|window| window == b"hello").unwrap();
        packed[at] = b'H';
        assert_eq!(Trouble::of(&inflate(&packed, 5).unwrap_err()).code, Code::ChecksumMismatch);
    }

    #[test]
    fn reads_tell_what_is_missing() {
        let source = Source::Memory([1u8, 2, 3].into());
        assert_eq!(some(&source, 1, 9).unwrap(), [2, 3]);
        assert_eq!(Trouble::of(&exact(&source, 1, 9).unwrap_err()).code, Code::Truncated);
    }
}
