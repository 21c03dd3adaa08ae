//! The content of a zip entry that is not encrypted, checked against the directory's size and checksum while it passes.

use super::{Entry, Place, Trouble};
use crate::evidence::Source;
use crate::open::compressed::{self, Method};
use crate::open::{Damage, Guarded};
use model::Code;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// A reader over the content of an entry whose data begin at `start`.
pub fn reader(source: &Source, start: u64, entry: &Entry, place: &Place) -> Result<Guarded<Checked>, Trouble> {
    let mut raw = source.reader();
    raw.seek(SeekFrom::Start(start)).map_err(|error| Trouble::of(&error))?;
    let packed = BufReader::with_capacity(64 << 10, raw.take(entry.packed.unwrap_or(0)));
    let inner: io::Result<Box<dyn Read + Send>> = match place.method {
        0 => Ok(Box::new(packed)),
        8 => Ok(compressed::inflate(packed)),
        // What Windows itself packs files of more than 2 GiB with.
        9 => Ok(Box::new(deflate64::Deflate64Decoder::with_buffer(packed))),
        12 => compressed::decoder(Method::Bzip2, packed),
        14 => lzma(packed, entry.size, place.flags),
        // 20 was Zstandard's first number.
        20 | 93 => compressed::decoder(Method::Zstd, packed),
        95 => compressed::decoder(Method::Xz, packed),
        other => return Err(Trouble::new(Code::Unsupported, format!("compression method {other}"))),
    };
    let inner = inner.map_err(|error| Trouble::of(&error))?;
    // An entry without a directory whose descriptor is lost has no size to hold it to.
    let known = place.central.1 > 0 || entry.size > 0 || place.crc != 0;
    Ok(Guarded(Checked { inner, crc: flate2::Crc::new(), expected: place.crc, left: entry.size, known }))
}

/// LZMA as APPNOTE 5.8.8 has it: two bytes of version, two of length, then the properties, which an `.lzma` file has first.
fn lzma(mut packed: impl io::BufRead + Send + 'static, size: u64, flags: u16) -> io::Result<Box<dyn Read + Send>> {
    let mut head = [0u8; 9];
    packed.read_exact(&mut head)?;
    if head[2..4] != [5, 0] {
        return Err(Damage::error(Code::ContainerDamaged, "lzma properties of another size than 5 bytes"));
    }
    // Flag 1: an end marker says where it ends.
    let size = if flags & 2 == 0 { size } else { u64::MAX };
    let header = [&head[4..], &size.to_le_bytes()].concat();
    compressed::lzma_alone(BufReader::new(io::Cursor::new(header).chain(packed)))
}

/// Counts and sums content, and holds it to what the directory says.
pub struct Checked {
    inner: Box<dyn Read + Send>,
    crc: flate2::Crc,
    expected: u32,
    left: u64,
    known: bool,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.crc.update(&buffer[..count]);
        if !self.known || buffer.is_empty() {
            return Ok(count);
        }
        if count as u64 > self.left {
            return Err(Damage::error(Code::HeaderMismatch, "more content than the directory tells"));
        }
        self.left -= count as u64;
        if count == 0 && self.left > 0 {
            let detail = format!("{} bytes fewer than the directory tells", self.left);
            return Err(Damage::error(Code::Truncated, &detail));
        }
        if count == 0 && self.crc.sum() != self.expected {
            let detail = format!("crc-32 {:08x}, in the directory {:08x}", self.crc.sum(), self.expected);
            return Err(Damage::error(Code::ChecksumMismatch, &detail));
        }
        Ok(count)
    }
}
