//! What supervisor and child say to each other over the child's stdin and stdout.
//!
//! A frame is a length (u32, little endian, of all that follows), a tag byte and a payload. The supervisor trusts nothing of
//! it: a length above the cap, an unknown tag or a payload that does not decode is a lie, and costs the child its life.
//! Bodies travel as the bytes of [`model::wire::to_bytes`], each after its own length; the header of an [`model::Entry`] is made
//! by the supervisor from the decoded body, so it cannot be forged.

use std::io::{self, Read, Write};

/// Bytes of bodies that a child gathers into one frame.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Room made at once for a frame that is read: most are smaller.
const CONTENT_BYTES: usize = 1 << 20;

/// Bytes of the length in front of a frame or a body.
pub const LENGTH_BYTES: usize = 4;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Tag {
    /// To the child: [`super::child::Setup`], once.
    Setup = b'S',
    /// To the child: [`super::child::Job`].
    Job = b'J',
    /// To the child: the content of the job before it, where that is small and stands alone.
    Content = b'C',
    /// From the child: it is locked in; payload is [`super::confine::Support`].
    Ready = b'R',
    /// From the child: it cannot lock itself in or begin; payload is a text that says why.
    Refused = b'X',
    /// From the child: bodies of the unit.
    Bodies = b'B',
    /// From the child: the unit is at its end.
    End = b'E',
    /// From the child: the unit would say more than it may.
    Over = b'O',
}

impl Tag {
    fn of(byte: u8) -> Option<Tag> {
        let all = [Tag::Setup, Tag::Job, Tag::Content, Tag::Ready, Tag::Refused, Tag::Bodies, Tag::End, Tag::Over];
        all.into_iter().find(|tag| *tag as u8 == byte)
    }
}

/// Bytes that are no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Garbled;

/// Appends a frame to a buffer.
pub fn put(buffer: &mut Vec<u8>, tag: Tag, payload: &[u8]) {
    put_length(buffer, payload.len().saturating_add(1));
    buffer.push(tag as u8);
    buffer.extend_from_slice(payload);
}

/// Appends one body, after its length.
pub fn put_body(buffer: &mut Vec<u8>, body: &[u8]) {
    put_length(buffer, body.len());
    buffer.extend_from_slice(body);
}

fn put_length(buffer: &mut Vec<u8>, length: usize) {
    // Callers cap what they frame far below 4 GiB; a length that does not fit is written as one that every reader refuses.
    buffer.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// Takes the first frame of a buffer, if it is there in full: its tag, its payload and how many bytes it took.
pub fn take(buffer: &[u8], cap: usize) -> Result<Option<(Tag, &[u8], usize)>, Garbled> {
    let Some((length, rest)) = split_length(buffer) else { return Ok(None) };
    if length == 0 || length > cap {
        return Err(Garbled);
    }
    let Some(frame) = rest.get(..length) else { return Ok(None) };
    let (tag, payload) = frame.split_first().ok_or(Garbled)?;
    let tag = Tag::of(*tag).ok_or(Garbled)?;
    Ok(Some((tag, payload, LENGTH_BYTES + length)))
}

/// The encoded bodies in the payload of a [`Tag::Bodies`] frame.
pub fn bodies(payload: &[u8]) -> impl Iterator<Item = Result<&[u8], Garbled>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let whole = split_length(rest).and_then(|(length, after)| after.split_at_checked(length));
        let Some((body, after)) = whole else {
            rest = &[];
            return Some(Err(Garbled));
        };
        rest = after;
        Some(Ok(body))
    })
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    Some((u32::from_le_bytes(*length) as usize, rest))
}

/// Reads the next frame, in the child: the supervisor is trusted, so only the end of the stream is expected trouble.
/// `None` where the stream ends between frames.
pub fn read(input: &mut impl Read) -> io::Result<Option<(Tag, Vec<u8>)>> {
    let mut length = [0u8; LENGTH_BYTES];
    match input.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "no frame");
    let mut tag = [0u8; 1];
    input.read_exact(&mut tag)?;
    let [tag] = tag;
    let tag = Tag::of(tag).ok_or_else(invalid)?;
    let length = u32::from_le_bytes(length).checked_sub(1).ok_or_else(invalid)?;
    let mut payload = Vec::with_capacity((length as usize).min(CONTENT_BYTES));
    input.take(u64::from(length)).read_to_end(&mut payload)?;
    if payload.len() == length as usize { Ok(Some((tag, payload))) } else { Err(invalid()) }
}

/// Writes one frame.
pub fn write(output: &mut impl Write, tag: Tag, payload: &[u8]) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(payload.len().saturating_add(LENGTH_BYTES + 1));
    put(&mut buffer, tag, payload);
    output.write_all(&buffer)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_out_as_it_went_in() {
        let mut buffer = Vec::new();
        put(&mut buffer, Tag::Job, b"abc");
        put(&mut buffer, Tag::End, b"");
        let (tag, payload, taken) = take(&buffer, 100).unwrap().unwrap();
        assert_eq!((tag, payload), (Tag::Job, b"abc".as_slice()));
        let (tag, payload, more) = take(&buffer[taken..], 100).unwrap().unwrap();
        assert_eq!((tag, payload, taken + more), (Tag::End, b"".as_slice(), buffer.len()));
        let mut stream = buffer.as_slice();
        assert_eq!(read(&mut stream).unwrap(), Some((Tag::Job, b"abc".to_vec())));
        assert_eq!(read(&mut stream).unwrap(), Some((Tag::End, Vec::new())));
        assert_eq!(read(&mut stream).unwrap(), None);
    }

    #[test]
    fn every_cut_of_a_frame_waits_for_more() {
        let mut buffer = Vec::new();
        put(&mut buffer, Tag::Bodies, b"0123456789");
        for cut in 0..buffer.len() {
            assert_eq!(take(&buffer[..cut], 100), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn claims_above_the_cap_are_refused_before_anything_is_read() {
        assert_eq!(take(&u32::MAX.to_le_bytes(), 1 << 20), Err(Garbled));
        assert_eq!(take(&101u32.to_le_bytes(), 100), Err(Garbled));
        assert_eq!(take(&0u32.to_le_bytes(), 100), Err(Garbled));
        assert_eq!(take(&[2, 0, 0, 0, b'?', 0], 100), Err(Garbled));
    }

    #[test]
    fn bodies_of_a_payload_are_told_apart() {
        let mut payload = Vec::new();
        put_body(&mut payload, b"one");
        put_body(&mut payload, b"");
        put_body(&mut payload, b"three");
        let all: Vec<_> = bodies(&payload).collect();
        assert_eq!(all, [Ok(b"one".as_slice()), Ok(b"".as_slice()), Ok(b"three".as_slice())]);
        payload.pop();
        assert_eq!(bodies(&payload).last(), Some(Err(Garbled)));
        payload.extend_from_slice(&[1, 2, 3]);
        assert_eq!(bodies(&payload).filter(Result::is_err).count(), 1, "garbage ends the walk");
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_an_error() {
        assert!(read(&mut [9u8, 0, 0, 0, b'J', 1].as_slice()).is_err());
        assert!(read(&mut [1u8, 0, 0, 0, b'?'].as_slice()).is_err());
    }
}
