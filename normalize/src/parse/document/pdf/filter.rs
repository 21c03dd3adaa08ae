//! The bytes of a stream behind its filters, up to a cap, with what is readable of a damaged one (PDF 32000-1, 7.4).

use flate2::read::{DeflateDecoder, ZlibDecoder};
use hayro_syntax::Filter;
use hayro_syntax::object::{Dict, Object, Stream};
use std::borrow::Cow;
use std::io::Read;

/// What came out of a stream.
pub struct Decoded<'a> {
    /// The bytes; for a picture, those of its own format.
    pub bytes: Cow<'a, [u8]>,
    /// What went wrong, if anything.
    pub trouble: Option<&'static str>,
    /// Whether more than the cap was in it.
    pub capped: bool,
    /// The picture format that the bytes are still in.
    pub picture: Option<Filter>,
}

/// Takes the filters off.
pub fn decoded<'a>(stream: &Stream<'a>, cap: usize) -> Decoded<'a> {
    let mut out = Decoded { bytes: stream.raw_data(), trouble: None, capped: false, picture: None };
    let (parameters, sound) = parameters(stream.dict());
    let number = |key: &str| parameters.iter().find_map(|parameters| parameters.get::<i32>(key));
    if !sound {
        out.trouble = Some("parameters of its filters cannot be read");
    }
    if number("Predictor").is_some_and(|predictor| predictor > 1) {
        // Rows that say how they differ from the row before: the library knows how to add them up.
        match stream.decoded_data() {
            Ok(bytes) => out.bytes = bytes,
            Err(_) => out.trouble = Some("cannot be unpacked"),
        }
        return out;
    }
    for filter in stream.filters() {
        match filter {
            Filter::Crypt => {}
            Filter::FlateDecode => out.step(|bytes| inflated(bytes, cap)),
            Filter::LzwDecode => {
                let early = number("EarlyChange") != Some(0);
                out.step(|bytes| lzw(bytes, cap, early));
            }
            Filter::Ascii85Decode => out.step(|bytes| (ascii85(bytes), None, false)),
            Filter::AsciiHexDecode => out.step(|bytes| (ascii_hex(bytes), None, false)),
            Filter::RunLengthDecode => out.step(|bytes| run_length(bytes, cap)),
            Filter::CcittFaxDecode | Filter::Jbig2Decode | Filter::DctDecode | Filter::JpxDecode => {
                out.picture = Some(filter);
                break;
            }
        }
    }
    out
}

/// Bytes, trouble, and whether the cap cut them.
type Step = (Vec<u8>, Option<&'static str>, bool);

impl Decoded<'_> {
    fn step(&mut self, filter: impl FnOnce(&[u8]) -> Step) {
        let (bytes, trouble, capped) = filter(&self.bytes);
        self.bytes = Cow::Owned(bytes);
        self.trouble = self.trouble.or(trouble);
        self.capped |= capped;
    }
}

/// The parameters of a stream's filters; false where some that are there cannot be read.
fn parameters<'a>(dict: &Dict<'a>) -> (Vec<Dict<'a>>, bool) {
    let (mut found, mut sound) = (Vec::new(), true);
    for key in ["DecodeParms", "DP"].into_iter().filter(|key| dict.contains_key(key)) {
        let objects = match dict.get::<Object<'_>>(key) {
            Some(Object::Array(all)) => {
                let objects: Vec<_> = all.iter::<Object<'_>>().collect();
                sound &= objects.len() == all.raw_iter().count();
                objects
            }
            one => {
                sound &= one.is_some();
                one.into_iter().collect()
            }
        };
        for object in objects {
            match object {
                Object::Dict(parameters) => found.push(parameters),
                // A filter of several that has none.
                Object::Null(_) => {}
                _ => sound = false,
            }
        }
    }
    (found, sound)
}

/// Unpacks zlib data, up to a cap, as far as they are whole.
pub fn inflated(bytes: &[u8], cap: usize) -> Step {
    let zlib = unpacked(ZlibDecoder::new(bytes), cap);
    if !zlib.0.is_empty() || zlib.1.is_none() {
        return zlib;
    }
    let bare = unpacked(DeflateDecoder::new(bytes), cap);
    if bare.0.is_empty() { zlib } else { bare }
}

fn unpacked(reader: impl Read, cap: usize) -> Step {
    let mut bytes = Vec::new();
    let read = reader.take((cap as u64).saturating_add(1)).read_to_end(&mut bytes);
    let capped = bytes.len() > cap;
    bytes.truncate(cap);
    (bytes, read.is_err().then_some("its packed data are damaged"), capped)
}

fn lzw(bytes: &[u8], cap: usize, early: bool) -> Step {
    let order = weezl::BitOrder::Msb;
    let mut decoder =
        if early { weezl::decode::Decoder::with_tiff_size_switch(order, 8) } else { weezl::decode::Decoder::new(order, 8) };
    let (mut out, mut rest, mut buffer) = (Vec::new(), bytes, vec![0; 64 << 10]);
    loop {
        let result = decoder.decode_bytes(rest, &mut buffer);
        out.extend_from_slice(buffer.get(..result.consumed_out).unwrap_or_default());
        rest = rest.get(result.consumed_in..).unwrap_or_default();
        if out.len() > cap {
            out.truncate(cap);
            return (out, None, true);
        }
        match result.status {
            Ok(weezl::LzwStatus::Ok) => {}
            Ok(weezl::LzwStatus::Done) => return (out, None, false),
            // Many writers leave the end mark out.
            Ok(weezl::LzwStatus::NoProgress) => return (out, None, false),
            Err(_) => return (out, Some("its packed data are damaged"), false),
        }
    }
}

/// Takes the letters off that ASCII base-85 packs bytes in.
pub fn ascii85(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 5 * 4);
    let mut group: Vec<u8> = Vec::with_capacity(5);
    for byte in bytes {
        match byte {
            b'~' => break,
            b'z' if group.is_empty() => out.extend_from_slice(&[0; 4]),
            b'!'..=b'u' => group.push(byte - b'!'),
            _ => {}
        }
        if group.len() == 5 {
            out.extend_from_slice(&quad(&group));
            group.clear();
        }
    }
    if group.len() > 1 {
        let keep = group.len() - 1;
        group.resize(5, 84);
        out.extend_from_slice(quad(&group).get(..keep).unwrap_or_default());
    }
    out
}

fn quad(group: &[u8]) -> [u8; 4] {
    group.iter().fold(0u32, |value, digit| value.wrapping_mul(85).wrapping_add(u32::from(*digit))).to_be_bytes()
}

fn ascii_hex(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u32> =
        bytes.iter().take_while(|byte| **byte != b'>').filter_map(|byte| char::from(*byte).to_digit(16)).collect();
    let digit = |pair: &[u32], at: usize| pair.get(at).copied().unwrap_or(0);
    digits.chunks(2).map(|pair| u8::try_from(digit(pair, 0) * 16 + digit(pair, 1)).unwrap_or(0)).collect()
}

fn run_length(bytes: &[u8], cap: usize) -> Step {
    let (mut out, mut at) = (Vec::new(), 0usize);
    while let Some(length) = bytes.get(at) {
        at += 1;
        match length {
            128 => break,
            0..=127 => {
                let end = at + usize::from(*length) + 1;
                out.extend_from_slice(bytes.get(at..end.min(bytes.len())).unwrap_or_default());
                at = end;
            }
            _ => {
                let Some(byte) = bytes.get(at) else { break };
                out.resize(out.len() + 257 - usize::from(*length), *byte);
                at += 1;
            }
        }
        if out.len() > cap {
            out.truncate(cap);
            return (out, None, true);
        }
    }
    (out, None, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_filters() {
        // The examples of other people's encoders (Python's base64.a85encode, binascii).
        assert_eq!(ascii85(b"87cURD]i,\"Ebo80~>"), b"Hello World!");
        assert_eq!(ascii85(b"87cUR D]i,\"\nEbo7~>"), b"Hello World");
        assert_eq!(ascii_hex(b"48 65 6c6C 6f7>"), b"Hellop");
        assert_eq!(run_length(&[2, b'a', b'b', b'c', 254, b'x', 128, b'?'], 99).0, b"abcxxx");
        assert_eq!(run_length(&[129, b'x'], 99), (vec![b'x'; 99], None, true));
    }

    #[test]
    fn a_cut_stream_gives_what_is_there() {
        let packed = [0x78, 0x9c, 0x4b, 0x4c, 0x4a, 0x4e, 0x49, 0x4d];
        let (bytes, trouble, capped) = inflated(&packed, 99);
        assert_eq!((bytes.as_slice(), trouble.is_some(), capped), (b"abcde".as_slice(), true, false));
        assert_eq!(inflated(&packed, 3).0, b"abc");
    }
}
