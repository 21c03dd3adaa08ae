//! A header block: numbers, names, kinds. Offsets are those of POSIX ustar, and of GNU tar where the magic word is GNU's.

use model::FileKind;
use model::item::{FileTime, FileTimes};

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 512;
/// Extents in the header of an old GNU sparse entry, and in each block behind it.
const EXTENTS: usize = 4;
const EXTENTS_MORE: usize = 21;
/// Bytes of an extent: two numbers.
const EXTENT_BYTES: usize = 24;

/// A block that may be a header.
pub struct Block(pub [u8; BLOCK_BYTES]);

impl Block {
    fn field(&self, at: usize, length: usize) -> &[u8] {
        self.0.get(at..at + length).unwrap_or_default()
    }

    /// Whether it has the magic word of ustar or GNU.
    pub fn has_magic(&self) -> bool {
        self.field(257, 5) == b"ustar"
    }

    fn is_gnu(&self) -> bool {
        self.field(257, 8) == b"ustar  \0"
    }

    fn is_posix(&self) -> bool {
        self.field(257, 6) == b"ustar\0"
    }

    /// Whether its checksum is right: the sum of its bytes, the checksum itself taken as blanks; old writers summed signed bytes.
    pub fn is_sound(&self) -> bool {
        let Some(stored) = number(self.field(148, 8)) else { return false };
        let at = |at: usize, byte: u8| if (148..156).contains(&at) { b' ' } else { byte };
        let unsigned: u64 = self.0.iter().enumerate().map(|(place, byte)| u64::from(at(place, *byte))).sum();
        let signed: i64 = self.0.iter().enumerate().map(|(place, byte)| i64::from(at(place, *byte).cast_signed())).sum();
        stored == unsigned || i64::try_from(stored) == Ok(signed)
    }

    /// The letter that tells the kind of entry.
    pub fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// Bytes of data, if the field is a number.
    pub fn size(&self) -> Option<u64> {
        number(self.field(124, 12))
    }

    /// The path: with the prefix that POSIX headers have room for.
    pub fn path(&self) -> Vec<u8> {
        let name = until_zero(self.field(0, 100).to_vec());
        let prefix = if self.is_posix() { until_zero(self.field(345, 155).to_vec()) } else { Vec::new() };
        if prefix.is_empty() { name } else { [&prefix[..], b"/", &name].concat() }
    }

    /// Where a link points.
    pub fn link(&self) -> Option<Vec<u8>> {
        let target = until_zero(self.field(157, 100).to_vec());
        (!target.is_empty() && matches!(self.type_flag(), b'1' | b'2')).then_some(target)
    }

    /// The kind; `None` for a directory. Before ustar a directory was a file whose name ends with a slash.
    pub fn kind(&self, path: &[u8]) -> Option<FileKind> {
        match self.type_flag() {
            b'5' => None,
            0 | b'0' if path.last() == Some(&b'/') => None,
            b'1' => Some(FileKind::Hardlink),
            b'2' => Some(FileKind::Symlink),
            b'3' => Some(FileKind::CharDevice),
            b'4' => Some(FileKind::BlockDevice),
            b'6' => Some(FileKind::Fifo),
            _ => Some(FileKind::File),
        }
    }

    /// Mode bits, if the field is a number.
    pub fn mode(&self) -> Option<u32> {
        number(self.field(100, 8)).and_then(|mode| u32::try_from(mode).ok())
    }

    /// Owner and group, each if its field is a number.
    pub fn owner(&self) -> (Option<u64>, Option<u64>) {
        (number(self.field(108, 8)), number(self.field(116, 8)))
    }

    /// The times of the header: GNU's may tell of access and change too, in whole seconds, 0 for none.
    pub fn times(&self) -> FileTimes {
        let time = |at: usize| signed_number(self.field(at, 12)).map(|seconds| FileTime { seconds, nanos: 0 });
        let gnu = |at: usize| time(at).filter(|time| self.is_gnu() && time.seconds != 0);
        FileTimes { modified: time(136), accessed: gnu(345), changed: gnu(357), created: None, local: false }
    }

    /// The first extents of an old GNU sparse entry.
    pub fn extents(&self) -> Vec<(u64, u64)> {
        self.extents_at(386, EXTENTS)
    }

    /// Whether more extents stand in the next block.
    pub fn has_more_extents(&self) -> bool {
        self.0[482] != 0
    }

    /// The extents of a block behind the header.
    pub fn more_extents(&self) -> Vec<(u64, u64)> {
        self.extents_at(0, EXTENTS_MORE)
    }

    fn extents_at(&self, at: usize, count: usize) -> Vec<(u64, u64)> {
        let fields = (0..count).map(|index| at + index * EXTENT_BYTES);
        let extents = fields.map(|at| number(self.field(at, 12)).zip(number(self.field(at + 12, 12))));
        // A list shorter than its room ends with an empty field.
        extents.map_while(|extent| extent).collect()
    }

    /// The size of an old GNU sparse file with its holes.
    pub fn real_size(&self) -> Option<u64> {
        number(self.field(483, 12))
    }
}

/// A number: octal digits between blanks and zeros, or base 256 where the first bit is set. `None` for anything else, negative ones too.
fn number(field: &[u8]) -> Option<u64> {
    signed_number(field).and_then(|number| u64::try_from(number).ok())
}

/// A number that can be negative in base 256 (two's complement in the field's width).
fn signed_number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let start = if first & 0x40 == 0 { i128::from(first & 0x3f) } else { i128::from(first & 0x3f) - 64 };
        let number = rest.iter().try_fold(start, |number, byte| number.checked_mul(256)?.checked_add(i128::from(*byte)));
        return number.and_then(|number| i64::try_from(number).ok());
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let (digits, behind) = digits.split_at(end);
    if digits.is_empty() || behind.first() == Some(&b' ') && behind.iter().any(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0i64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// What stands before the first zero byte.
pub fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// The path of a directory without the slash at its end.
pub fn without_slash(mut path: Vec<u8>) -> Vec<u8> {
    if path.last() == Some(&b'/') {
        path.pop();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        // Values as tar(5) works them out.
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"77777777777\0"), Some(0o77_777_777_777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(8 << 30));
        assert_eq!(signed_number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Some(-1));
        for wrong in [&b"\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"9999", b"12x4\0", b"", b"\0\0\0", b"        ", &[0xbf; 12]] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn checksums_may_be_signed() {
        let mut block = Block([0; BLOCK_BYTES]);
        block.0[..3].copy_from_slice(b"\xe9ab");
        let unsigned = 0xe9 + 97 + 98 + 8 * 32;
        for sum in [unsigned, unsigned - 256] {
            block.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            assert!(block.is_sound());
        }
        block.0[0] = b'a';
        assert!(!block.is_sound() && !Block([0; BLOCK_BYTES]).is_sound());
    }
}
