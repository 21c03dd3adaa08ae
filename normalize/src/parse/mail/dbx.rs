//! Folders of Outlook Express (`.dbx`): each message in segments of 512 bytes that name the next.
//!
//! A segment begins with its own place in the file, which finds it without the folder's lists: messages that the lists no longer name are
//! read, too, as long as their segments are not written over. Layout: as the libraries
//! `libdbx` and `undbx` describe it.

use super::message::{Reading, Source};
use model::Code;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// First bytes: a folder of messages, not the list of folders.
const MAGIC: &[u8] = &[0xcf, 0xad, 0x12, 0xfe, 0xc5, 0xfd, 0x74, 0x6f];
/// Where the folder says how many messages it lists.
const COUNT_AT: u64 = 0xc4;
/// Bytes of a segment's head: its place, its room, its bytes, the place of the next.
const HEAD: usize = 16;
/// Room of every segment.
const ROOM: u32 = 512;
/// Segments start at multiples of this.
const STEP: usize = 4;

/// Whether content is a folder of messages.
pub fn is_dbx(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// A segment: its bytes, and the place of the next.
type Segments = BTreeMap<u32, (u32, u32)>;

/// Reads the messages of a folder.
pub fn read(mut file: File, cap: usize, reading: &mut Reading<'_, '_>) -> io::Result<()> {
    let mut listed = [0u8; 4];
    file.seek(SeekFrom::Start(COUNT_AT))?;
    file.read_exact(&mut listed)?;
    let listed = u64::from(u32::from_le_bytes(listed));
    let segments = segments(&mut file)?;
    let later: BTreeSet<u32> = segments.values().map(|(_, next)| *next).collect();
    let mut messages = 0u64;
    for first in segments.keys().filter(|place| !later.contains(place)) {
        let (bytes, whole) = chain(&mut file, *first, &segments, cap)?;
        if !whole {
            reading.whole = false;
            reading
                .emit
                .problem(Code::Truncated, format!("message at byte {first}: its later segments are not there or not read"));
        }
        let place = (u64::from(*first), bytes.len() as u64);
        reading.message(&bytes, Source { encoded: Some(place), ..Source::default() });
        messages += 1;
    }
    if messages < listed {
        reading.whole = false;
        reading.emit.problem(Code::Missing, format!("the folder lists {listed} messages, {messages} are there"));
    }
    Ok(())
}

/// Every segment of the file.
fn segments(file: &mut File) -> io::Result<Segments> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut segments, mut place) = (Segments::new(), 0u32);
    let mut window = [0u8; HEAD];
    if reader.read_exact(&mut window).is_err() {
        return Ok(segments);
    }
    loop {
        let number = |at: usize| window.get(at..at + STEP).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        if place > 0 && number(0) == place && number(4) == ROOM && number(8) <= ROOM {
            segments.insert(place, (number(8), number(12)));
        }
        window.rotate_left(STEP);
        let mut next = [0u8; STEP];
        match reader.read_exact(&mut next) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(segments),
            Err(error) => return Err(error),
        }
        for (to, from) in window.iter_mut().skip(HEAD - STEP).zip(next) {
            *to = from;
        }
        // Places are of four bytes: nothing behind them can be named.
        let Some(further) = place.checked_add(STEP as u32) else { return Ok(segments) };
        place = further;
    }
}

/// The bytes of a message from its first segment on; whether all of them were read.
fn chain(file: &mut File, first: u32, segments: &Segments, cap: usize) -> io::Result<(Vec<u8>, bool)> {
    let (mut bytes, mut at, mut steps) = (Vec::new(), first, 0usize);
    while let Some((length, next)) = segments.get(&at) {
        steps += 1;
        if steps > segments.len() || bytes.len() > cap {
            return Ok((bytes, false));
        }
        file.seek(SeekFrom::Start(u64::from(at).saturating_add(HEAD as u64)))?;
        (&mut *file).take(u64::from(*length)).read_to_end(&mut bytes)?;
        if *next == 0 {
            return Ok((bytes, true));
        }
        at = *next;
    }
    Ok((bytes, false))
}
