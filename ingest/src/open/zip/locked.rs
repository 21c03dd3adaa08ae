//! Encrypted zip entries (ZipCrypto, AES), decrypted by the `zip` crate.

use super::{Place, Trouble};
use crate::evidence::{Source, SourceReader};
use model::Code;
use std::io::{self, Read, Seek, SeekFrom};
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

/// An archive and behind it a directory of our own.
pub struct View {
    source: SourceReader,
    size: u64,
    tail: Vec<u8>,
    position: u64,
}

/// The archive as if it had one entry only: the crate keeps one entry a name, and one damaged header would cost it all others.
pub fn single(source: &Source, base: u64, place: &Place) -> Result<ZipArchive<View>, Trouble> {
    let (at, length) = place.central;
    let mut reader = source.reader();
    reader.seek(SeekFrom::Start(at)).map_err(|error| Trouble::of(&error))?;
    let mut tail = Vec::new();
    reader.take(u64::from(length)).read_to_end(&mut tail).map_err(|error| Trouble::of(&error))?;
    if tail.is_empty() {
        return Err(Trouble::new(Code::Encrypted, "zip password; there is no directory to read it with"));
    }
    let (start, size) = (source.size().saturating_sub(base), tail.len() as u64);
    let end64 = start.saturating_add(size);
    // APPNOTE 4.3.14: end of a zip64 directory with one entry; 4.3.15: its locator; 4.3.16: the end itself, all values moved.
    tail.extend(b"PK\x06\x06");
    tail.extend(44u64.to_le_bytes());
    tail.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    [1, 1, size, start].iter().for_each(|value| tail.extend(value.to_le_bytes()));
    tail.extend(b"PK\x06\x07\0\0\0\0");
    tail.extend(end64.to_le_bytes());
    tail.extend([1, 0, 0, 0]);
    tail.extend(b"PK\x05\x06\0\0\0\0");
    tail.extend([0xff; 12]);
    tail.extend([0, 0]);
    let view = View { source: source.reader(), size: source.size(), tail, position: 0 };
    let config = Config { archive_offset: ArchiveOffset::Known(base) };
    ZipArchive::with_config(config, view).map_err(|error| trouble(&error))
}

/// Whether a password opens the entry: it must pass its checksum, after at most so many bytes.
pub fn fits(archive: &mut ZipArchive<View>, password: &str, cap_bytes: u64) -> bool {
    let Ok(file) = archive.by_index_decrypt(0, password.as_bytes()) else { return false };
    let mut content = super::super::Guarded(file).take(cap_bytes.saturating_add(1));
    io::copy(&mut content, &mut io::sink()).is_ok()
}

/// What an error of the crate means.
pub fn trouble(error: &ZipError) -> Trouble {
    let detail = model::text::escape(&error.to_string());
    match error {
        ZipError::InvalidPassword => Trouble::new(Code::Encrypted, "zip password"),
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => Trouble::new(Code::Encrypted, "zip password"),
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => Trouble::new(Code::Unsupported, detail),
        ZipError::Io(error) => Trouble::of(error),
        _ => Trouble::new(Code::ContainerDamaged, detail),
    }
}

impl Read for View {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = if self.position < self.size {
            let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX).min(buffer.len());
            self.source.seek(SeekFrom::Start(self.position))?;
            self.source.read(&mut buffer[..left])?
        } else {
            let start = usize::try_from(self.position - self.size).unwrap_or(usize::MAX).min(self.tail.len());
            let count = buffer.len().min(self.tail.len() - start);
            buffer[..count].copy_from_slice(&self.tail[start..start + count]);
            count
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for View {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => i128::from(position),
            SeekFrom::Current(by) => i128::from(self.position) + i128::from(by),
            SeekFrom::End(by) => i128::from(self.size) + self.tail.len() as i128 + i128::from(by),
        };
        let refused = |_| io::Error::new(io::ErrorKind::InvalidInput, "seek outside of the container");
        self.position = u64::try_from(target).map_err(refused)?;
        Ok(self.position)
    }
}
