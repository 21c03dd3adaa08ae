//! What comes out of a block, held to what the directory tells of it.

use crate::open::{Damage, Trouble};
use model::Code;
use model::item::FileTime;
use sevenz_rust2::{Archive, Block, EncoderMethod, Error, NtTime};
use std::io::{self, Read};

/// KiB that the directory, or one decoder, may take: 7-Zip's largest preset has a dictionary of 256 MiB.
pub const MEMORY_KB_MAX: usize = 288 << 10;
/// Decoders of a block that may take as much.
const LARGE_DECODERS: usize = 2;
/// Bytes that are asked for at once.
const PIECE_BYTES: usize = 16 << 10;

/// KiB that each decoder of a block may take, so that many of them take no more than two.
pub fn memory_kb(archive: &Archive, block: usize) -> usize {
    let coders = archive.blocks.get(block).map_or(0, |block| block.coders.len());
    MEMORY_KB_MAX * LARGE_DECODERS / coders.max(LARGE_DECODERS)
}

/// Takes the checksums of files out of a directory, as far as they are known, so that the crate does not stop at the first that fails.
pub fn take_sums(archive: &mut Archive) -> Vec<Option<u32>> {
    archive.blocks.iter_mut().for_each(|block| block.has_crc = false);
    let sum = |file: &mut sevenz_rust2::ArchiveEntry| {
        let known = std::mem::take(&mut file.has_crc);
        u32::try_from(file.crc).ok().filter(|_| known)
    };
    archive.files.iter_mut().map(sum).collect()
}

/// Whether a password opens the block.
pub fn is_encrypted(block: &Block) -> bool {
    block.coders.iter().any(|coder| coder.encoder_method_id() == EncoderMethod::ID_AES256_SHA256)
}

/// Which key is wanted.
pub fn wanted() -> Trouble {
    Trouble::new(Code::Encrypted, "7z password")
}

/// What an error of the crate means.
pub fn trouble(error: Error) -> Trouble {
    let damaged = |detail: String| Trouble::new(Code::ContainerDamaged, model::text::escape(&detail));
    match error {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => wanted(),
        Error::Io(error, _) | Error::FileOpen(error, _) => of_io(&error),
        Error::ChecksumVerificationFailed => Trouble::new(Code::ChecksumMismatch, "checksum of a block or of the directory"),
        Error::NextHeaderCrcMismatch => Trouble::new(Code::ChecksumMismatch, "checksum of the directory"),
        Error::MaxMemLimited { actaul_kb, .. } => {
            Trouble::new(Code::CapMemory, format!("a dictionary or directory of {actaul_kb} KiB"))
        }
        Error::UnsupportedCompressionMethod(name) => {
            Trouble::new(Code::Unsupported, format!("7z method {}", model::text::escape(&name)))
        }
        Error::Unsupported(what) => Trouble::new(Code::Unsupported, what.into_owned()),
        Error::UnsupportedVersion { major, minor } => Trouble::new(Code::Unsupported, format!("7z version {major}.{minor}")),
        Error::ExternalUnsupported => Trouble::new(Code::Unsupported, "a directory in a stream of its own"),
        Error::Other(what) => damaged(what.into_owned()),
        other => damaged(format!("directory: {other}")),
    }
}

/// The same of an error while reading: the crate puts its own into some.
fn of_io(error: &io::Error) -> Trouble {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::ChecksumVerificationFailed) => Trouble::new(Code::ChecksumMismatch, "checksum of a block"),
        _ => Trouble::of(error),
    }
}

/// A Windows file time: 100 ns since 1601.
pub fn time(time: NtTime) -> FileTime {
    const SECOND: u64 = 10_000_000;
    /// Seconds from 1601 to 1970.
    const EPOCH: i64 = 11_644_473_600;
    let ticks = u64::from(time);
    let seconds = i64::try_from(ticks / SECOND).unwrap_or(i64::MAX).saturating_sub(EPOCH);
    FileTime { seconds, nanos: u32::try_from(ticks % SECOND * 100).unwrap_or(0) }
}

/// A stream that cannot be read, and why.
pub struct Refused<'a>(pub &'a Trouble);

impl Read for Refused<'_> {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(Damage::error(self.0.code, &self.0.detail))
    }
}

/// The content of one file in a block. It is asked for in the same pieces whoever reads it, because what a decoder gives before an
/// error depends on how much it was asked for.
pub struct Checked<R> {
    inner: R,
    left: u64,
    sum: flate2::Crc,
    expected: Option<u32>,
    piece: Vec<u8>,
    at: usize,
    /// The first error, told when all before it was read.
    ended: Option<io::Error>,
    done: bool,
    broken: bool,
}

impl<R: Read> Checked<R> {
    /// Content of so many bytes with that checksum.
    pub fn new(inner: R, size: u64, expected: Option<u32>) -> Checked<R> {
        let sum = flate2::Crc::new();
        Checked { inner, left: size, sum, expected, piece: Vec::new(), at: 0, ended: None, done: false, broken: false }
    }

    fn refill(&mut self) {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        self.piece.resize(wanted, 0);
        let (filled, error) = crate::read::fill(&mut self.inner, &mut self.piece);
        self.piece.truncate(filled);
        self.at = 0;
        self.sum.update(&self.piece);
        self.left -= filled as u64;
        self.broken = error.is_some() || filled < wanted;
        self.done = self.broken || self.left == 0;
        if let Some(error) = error {
            let trouble = of_io(&error);
            self.ended = Some(Damage::error(trouble.code, &trouble.detail));
        } else if let Some(expected) = self.expected.filter(|expected| self.done && !self.broken && self.sum.sum() != *expected) {
            let detail = format!("crc-32 {:08x}, in the directory {expected:08x}", self.sum.sum());
            self.ended = Some(Damage::error(Code::ChecksumMismatch, &detail));
        }
    }

    /// Unpacks what was not read; false if that cannot be done, or is more than may come out.
    pub fn pass_over(&mut self, most: u64) -> bool {
        if self.left > most {
            return false;
        }
        while !self.done {
            self.refill();
        }
        !self.broken
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && !self.done {
            self.refill();
        }
        let ready = self.piece.get(self.at..).unwrap_or_default();
        if ready.is_empty() {
            return self.ended.take().map_or(Ok(0), Err);
        }
        let count = ready.len().min(buffer.len());
        if let (Some(from), Some(to)) = (ready.get(..count), buffer.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 123456789 | gzip -c | tail -c8 | head -c4 | xxd`: the check value of CRC-32.
    const SUM: u32 = 0xcbf4_3926;

    #[test]
    fn content_is_held_to_its_size_and_checksum() {
        let read = |content: &[u8], size, sum| {
            let mut all = Vec::new();
            let error = Checked::new(content, size, sum).read_to_end(&mut all).err();
            (all.len(), error.map(|error| Trouble::of(&error).code))
        };
        assert_eq!(read(b"123456789", 9, Some(SUM)), (9, None));
        assert_eq!(read(b"123456788", 9, Some(SUM)), (9, Some(Code::ChecksumMismatch)));
        assert_eq!(read(b"123456788", 9, None), (9, None));
        assert_eq!(read(b"", 0, None), (0, None));
        // What is missing is seen by whoever knows the size.
        assert_eq!(read(b"12345", 9, Some(SUM)), (5, None));
    }

    #[test]
    fn what_is_not_read_is_passed_over() {
        let mut stream = &b"123456789next"[..];
        let mut content = Checked::new(&mut stream, 9, Some(SUM));
        content.read_exact(&mut [0; 4]).unwrap();
        assert!(content.pass_over(9));
        assert_eq!(stream, b"next");
        assert!(!Checked::new(&b"1234"[..], 9, None).pass_over(9), "it ends too early");
        assert!(!Checked::new(&b"123456789"[..], 9, None).pass_over(8), "more than may come out");
    }

    #[test]
    fn times_count_from_1601() {
        // Microsoft documents 116444736000000000 as 1970-01-01.
        assert_eq!(time(NtTime::new(116_444_736_000_000_001)), FileTime { seconds: 0, nanos: 100 });
        assert_eq!(time(NtTime::new(0)).seconds, -11_644_473_600);
    }
}
