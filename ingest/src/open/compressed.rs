//! One compressed stream: gzip (RFC 1952), zlib (RFC 1950), bzip2, xz, Zstandard (RFC 8878). A tar inside is opened at once, as `tar.gz` and so on.

use super::{Container, Entry, Format, Guarded, Trouble, Visitor, tar};
use crate::evidence::Source;
use config::Settings;
use model::FileKind;
use model::item::{FileTime, FileTimes};
use std::io::{self, BufRead, BufReader, Read};

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize: |head| Method::of(head).is_some(), open };

/// Largest window that a Zstandard stream may ask for, as a power of two: 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Memory an xz stream may ask for.
const XZ_MEMORY_MAX: u64 = 256 << 20;

/// A compression method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Gzip,
    Zlib,
    Bzip2,
    Xz,
    Zstd,
}

impl Method {
    fn of(head: &[u8]) -> Option<Method> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Method::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some(Method::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Method::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Method::Zstd),
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] if inflates(head) => Some(Method::Zlib),
            _ => None,
        }
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Method::Gzip => ("gzip", "tar.gz"),
            Method::Zlib => ("zlib", "tar.zlib"),
            Method::Bzip2 => ("bzip2", "tar.bz2"),
            Method::Xz => ("xz", "tar.xz"),
            Method::Zstd => ("zstd", "tar.zst"),
        }
    }

    fn open(self, source: &Source) -> io::Result<Box<dyn Read + Send>> {
        decoder(self, BufReader::with_capacity(128 << 10, source.reader()))
    }
}

/// Whether a beginning is that of a zlib stream. Its two bytes say little: what follows must inflate to more than chance gives, as far as
/// the beginning goes, or end with the right checksum and nothing behind it (an image of many such streams is none).
fn inflates(head: &[u8]) -> bool {
    let (mut decoder, mut start) = (flate2::bufread::ZlibDecoder::new(head), Vec::new());
    let read = decoder.by_ref().take(INFLATED_BYTES).read_to_end(&mut start);
    let ended = read.is_ok() && (start.len() as u64) < INFLATED_BYTES;
    if ended { !start.is_empty() && decoder.get_ref().is_empty() } else { start.len() >= ENOUGH_BYTES }
}

/// Bytes that a beginning is inflated to, at most, to see whether it is a zlib stream.
const INFLATED_BYTES: u64 = 2 << 20;
/// Bytes that chance does not inflate to.
const ENOUGH_BYTES: usize = 1024;

/// Decompresses every member, frame or stream that follows the first.
pub(super) fn decoder(method: Method, reader: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    Ok(match method {
        Method::Gzip => steady(flate2::bufread::MultiGzDecoder::new(reader)),
        Method::Zlib => steady(Alone(flate2::bufread::ZlibDecoder::new(reader))),
        Method::Bzip2 => steady(bzip2::bufread::MultiBzDecoder::new(reader)),
        Method::Xz => {
            let stream = liblzma::stream::Stream::new_auto_decoder(XZ_MEMORY_MAX, liblzma::stream::CONCATENATED)?;
            steady(liblzma::bufread::XzDecoder::new_stream(reader, stream))
        }
        Method::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            steady(decoder)
        }
    })
}

/// A zlib stream that is all there is: what stands behind its end is told. A torn image of many such streams is none.
struct Alone<R>(flate2::bufread::ZlibDecoder<R>);

impl<R: BufRead> Read for Alone<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        if count == 0 && !buffer.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() {
            return Err(super::Damage::error(model::Code::ContainerDamaged, "bytes behind the end of the stream"));
        }
        Ok(count)
    }
}

/// Inflates a stream without a header, as zip has it.
pub(super) fn inflate(reader: impl BufRead + Send + 'static) -> Box<dyn Read + Send> {
    steady(flate2::bufread::DeflateDecoder::new(reader))
}

/// Asks a decoder for the same pieces whoever reads it: what a decoder gives before an error depends on how much it was asked for, and
/// what is in the evidence must not depend on the size of a buffer. Small pieces lose less to the error.
struct Steady<R> {
    inner: R,
    piece: Vec<u8>,
    at: usize,
    /// What ended it: told once, when all before it was read.
    ended: Option<io::Error>,
    done: bool,
}

/// Bytes of a piece.
const PIECE_BYTES: usize = 16 << 10;

fn steady(inner: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(Steady { inner, piece: Vec::new(), at: 0, ended: None, done: false })
}

impl<R: Read> Read for Steady<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && !self.done {
            self.piece.resize(PIECE_BYTES, 0);
            let (filled, error) = crate::read::fill(&mut self.inner, &mut self.piece);
            self.piece.truncate(filled);
            self.at = 0;
            self.done = error.is_some() || filled < PIECE_BYTES;
            self.ended = error;
        }
        let ready = self.piece.get(self.at..).unwrap_or_default();
        if ready.is_empty() {
            return self.ended.take().map_or(Ok(0), Err);
        }
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.at += count;
        Ok(count)
    }
}

/// Decompresses what an `.lzma` file has: properties, size, one stream.
pub(super) fn lzma_alone(reader: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let stream = liblzma::stream::Stream::new_lzma_decoder(XZ_MEMORY_MAX)?;
    Ok(steady(liblzma::bufread::XzDecoder::new_stream(reader, stream)))
}

/// One compressed stream.
struct Compressed {
    source: Source,
    method: Method,
    entry: Entry,
}

fn open(source: &Source, settings: &Settings, _passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    let mut head = Vec::new();
    source.reader().take(4096).read_to_end(&mut head).map_err(|error| Trouble::of(&error))?;
    let method = Method::of(&head).ok_or_else(|| Trouble::new(model::Code::ContainerDamaged, "no compressed stream"))?;
    let mut inner = Vec::new();
    let mut decoder = method.open(source).map_err(|error| Trouble::of(&error))?;
    // An error this early is met again, and told of, by whoever reads the stream.
    drop(decoder.by_ref().take(512).read_to_end(&mut inner));
    if tar::recognize(&inner) {
        let source = source.clone();
        let open = move || method.open(&source);
        return Ok(tar::open_stream(method.names().1, Box::new(open), settings));
    }
    let entry = Entry {
        path: gzip_name(&head).unwrap_or_else(|| b"data".to_vec()),
        ordinal: 0,
        kind: Some(FileKind::File),
        size: 0,
        packed: Some(source.size()),
        mode: None,
        owner: None,
        times: FileTimes { modified: gzip_time(&head), ..FileTimes::default() },
        link_target: None,
        deleted: false,
    };
    Ok(Box::new(Compressed { source: source.clone(), method, entry }))
}

/// The name in a gzip header, if it has one.
fn gzip_name(head: &[u8]) -> Option<Vec<u8>> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    if Method::of(head) != Some(Method::Gzip) || head.get(3)? & NAME == 0 {
        return None;
    }
    let mut start = 10;
    if head.get(3)? & EXTRA != 0 {
        start += 2 + usize::from(u16::from_le_bytes([*head.get(10)?, *head.get(11)?]));
    }
    let name = head.get(start..)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    (end > 0).then(|| name[..end].to_vec())
}

/// The time in a gzip header: seconds since 1970, 0 for none.
fn gzip_time(head: &[u8]) -> Option<FileTime> {
    if Method::of(head) != Some(Method::Gzip) {
        return None;
    }
    let bytes = head.get(4..8)?.first_chunk::<4>()?;
    let seconds = i64::from(u32::from_le_bytes(*bytes));
    (seconds != 0).then_some(FileTime { seconds, nanos: 0 })
}

impl Container for Compressed {
    fn name(&self) -> &'static str {
        self.method.names().0
    }

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        match self.method.open(&self.source) {
            Ok(decoder) => visitor(self.entry.clone(), &mut Guarded(decoder)).map(|()| None),
            Err(error) => Ok(Some(Trouble::of(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_before_an_error_does_not_depend_on_the_reader() {
        // Fails behind 50,000 bytes, and gives what it was asked for only before.
        struct Failing(usize);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += buffer.len();
                if self.0 > 50_000 { Err(io::ErrorKind::InvalidData.into()) } else { Ok(buffer.len()) }
            }
        }
        let lengths: Vec<usize> = [1, 1000, 16 << 10, 1 << 20]
            .map(|size| {
                let (mut reader, mut buffer, mut all) = (steady(Failing(0)), vec![0; size], 0);
                loop {
                    match reader.read(&mut buffer) {
                        Ok(count) => all += count,
                        Err(_) => return all,
                    }
                }
            })
            .to_vec();
        assert_eq!(lengths, [3 * PIECE_BYTES; 4]);
    }

    #[test]
    fn gzip_headers_tell_name_and_time() {
        let head = b"\x1f\x8b\x08\x0c\x01\x00\x00\x00\x00\x03\x02\x00xxname.txt\0rest";
        assert_eq!(gzip_name(head).unwrap(), b"name.txt");
        assert_eq!(gzip_time(head).unwrap().seconds, 1);
        assert_eq!(gzip_name(b"\x1f\x8b\x08\x08"), None);
    }
}
