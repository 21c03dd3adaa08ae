//! `gunzip(x)`: the text of a gzip or zlib stream (JSON as a rule, for `json_extract`), up to 16 MiB; `inflate(x)`: its bytes (for
//! `protobuf`).

use super::{FLAGS, bytes};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use rusqlite::Connection;
use std::io::Read;

/// Most bytes of text: a bomb ends there, and gives NULL.
const CAP_BYTES: u64 = 16 << 20;

/// Registers the function.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("inflate", 1, FLAGS, |context| Ok(bytes(context, 0).and_then(inflate_bytes)))?;
    connection.create_scalar_function("gunzip", 1, FLAGS, |context| Ok(bytes(context, 0).and_then(inflate)))
}

/// Inflates a text; `None` also for what is not UTF-8.
pub fn inflate(compressed: &[u8]) -> Option<String> {
    String::from_utf8(inflate_bytes(compressed)?).ok()
}

/// Inflates; `None` for another format, a damaged or cut stream, or more than the cap.
pub fn inflate_bytes(compressed: &[u8]) -> Option<Vec<u8>> {
    match compressed {
        [0x1f, 0x8b, ..] => whole(MultiGzDecoder::new(compressed)),
        // RFC 1950: deflate, and the two bytes are a multiple of 31.
        [first, second, ..] if first & 15 == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0 => {
            whole(ZlibDecoder::new(compressed))
        }
        _ => None,
    }
}

fn whole(stream: impl Read) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let read = stream.take(CAP_BYTES + 1).read_to_end(&mut content).ok()? as u64;
    (read <= CAP_BYTES).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_made_by_python() {
        // gzip.compress(b'{"a":1}', mtime=0) and zlib.compress(b'{"a":1}').
        let gzip =
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\x54\xb2\x32\xac\x05\x00\xaf\xac\x1b\x56\x07\x00\x00\x00";
        let zlib = b"\x78\x9c\xab\x56\x4a\x54\xb2\x32\xac\x05\x00\x08\x2a\x02\x09";
        for (name, stream) in [("gzip", &gzip[..]), ("zlib", &zlib[..])] {
            assert_eq!(inflate(stream).as_deref(), Some(r#"{"a":1}"#), "{name}");
            assert_eq!(inflate(&stream[..stream.len() - 5]), None, "{name} cut");
        }
        assert_eq!(inflate(b"plain"), None);
        assert_eq!(inflate(b""), None);
    }

    #[test]
    fn bombs_end() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![b'0'; 1 << 20];
        for _ in 0..17 {
            std::io::Write::write_all(&mut encoder, &zeros).unwrap();
        }
        assert_eq!(inflate(&encoder.finish().unwrap()), None);
    }
}
