//! Reads an item once: hash, scan and stage while the bytes pass.

use crate::Error;
use crate::evidence::Source;
use crate::hash::Hashes;
use crate::media_type;
use crate::open::{Ranges, Trouble};
use config::Settings;
use model::observable::Finder;
use model::recognize::{Find, Found, Mode, StreamScan};
use model::{Body, Digest, Id, Item, Secret, Sighting};
use std::io::{self, Read};
use stream::stage::{Stage, Upload};

/// Content up to this size is staged in one piece.
const SMALL_BYTES: usize = 1 << 20;

/// What one reading gave.
pub struct Reading {
    /// Bytes read.
    pub size: u64,
    /// Hashes: SHA-256, SHA-1, MD5.
    pub hashes: (Digest, Option<String>, Option<String>),
    /// Whether the content is staged.
    pub staged: bool,
    /// What stopped it early.
    pub trouble: Option<Trouble>,
}

/// A reader that stops at a cap.
pub struct Capped<'a> {
    inner: &'a mut dyn Read,
    left: u64,
    /// Whether the cap stopped it while there was more.
    pub stopped: bool,
}

impl<'a> Capped<'a> {
    /// Caps a reader.
    pub fn new(inner: &'a mut dyn Read, cap_bytes: u64) -> Capped<'a> {
        Capped { inner, left: cap_bytes, stopped: false }
    }
}

impl Read for Capped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            let mut one = [0u8; 1];
            self.stopped = self.stopped || self.inner.read(&mut one)? > 0;
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Fills a buffer as far as the reader goes.
pub fn fill(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

/// Content on its way to the stage.
enum Staging<'a> {
    Not,
    Small(&'a Stage, Vec<u8>),
    Large(Upload),
}

impl Staging<'_> {
    fn write(&mut self, bytes: &[u8], hint: Id) -> Result<(), Error> {
        match self {
            Staging::Not => {}
            Staging::Small(stage, held) if held.len() + bytes.len() > SMALL_BYTES => {
                let mut upload = stage.upload(hint)?;
                upload.write(held)?;
                upload.write(bytes)?;
                *self = Staging::Large(upload);
            }
            Staging::Small(_, held) => held.extend_from_slice(bytes),
            Staging::Large(upload) => upload.write(bytes)?,
        }
        Ok(())
    }

    fn finish(self, digest: Digest) -> Result<bool, Error> {
        match self {
            Staging::Not => return Ok(false),
            Staging::Small(stage, held) => stage.put(digest, &held)?,
            Staging::Large(upload) => upload.finish(digest)?,
        }
        Ok(true)
    }
}

/// What is done with the bytes of an item besides hashing.
pub struct Wish<'a> {
    /// All settings.
    pub settings: &'a Settings,
    /// Where content is staged.
    pub stage: &'a Stage,
    /// Scan the bytes for observables.
    pub scan: bool,
    /// Scan these stretches only.
    pub only: Option<Ranges>,
    /// Stage the content if its media type is wanted.
    pub keep: bool,
}

/// Reads what follows `head` (already read from `reader`), hashing all of it. `found` gets every sighting and secret.
pub fn read(
    item: &Item,
    head: &[u8],
    reader: &mut dyn Read,
    buffer: &mut [u8],
    wish: &Wish<'_>,
    found: &mut dyn FnMut(Body) -> Result<(), Error>,
) -> Result<Reading, Error> {
    let media_type = item.media_type.as_deref();
    let mut hashes = Hashes::new(&wish.settings.hashes);
    let mode = if media_type::is_sqlite(media_type) { Mode::ChecksumOnly } else { Mode::All };
    let mut scan = wish.scan.then(|| Scan::new(mode, wish.only.clone()));
    let mut staging =
        if wish.keep && wanted(item, wish.settings) { Staging::Small(wish.stage, Vec::new()) } else { Staging::Not };
    let (mut size, mut trouble) = (0u64, None);
    let mut finds = Vec::new();
    let mut pass = |bytes: &[u8], finds: &mut Vec<Find>| -> Result<(), Error> {
        hashes.update(bytes);
        if let Some(scan) = &mut scan {
            scan.push(bytes, &mut |find| finds.push(find));
        }
        size += bytes.len() as u64;
        staging.write(bytes, item.id)
    };
    pass(head, &mut finds)?;
    loop {
        tell(item, &mut finds, found)?;
        // Full buffers: a decoder gives small pieces, and each costs the scan a seam.
        let (filled, error) = fill(reader, buffer);
        pass(&buffer[..filled], &mut finds)?;
        if let Some(error) = error {
            trouble = Some(Trouble::of(&error));
            break;
        }
        if filled < buffer.len() {
            break;
        }
    }
    if let Some(scan) = &mut scan {
        scan.finish(&mut |find| finds.push(find));
    }
    tell(item, &mut finds, found)?;
    let hashes = hashes.finish();
    let staged = staging.finish(hashes.0)?;
    Ok(Reading { size, hashes, staged, trouble })
}

/// A scan of a stream, or of some stretches of it.
struct Scan {
    scan: StreamScan,
    mode: Mode,
    only: Option<Ranges>,
    /// Index of the stretch that is being scanned or comes next.
    range: usize,
    /// Where in the stream the scanned stretch begins.
    begun: u64,
    /// Bytes of the stream so far.
    position: u64,
}

impl Scan {
    fn new(mode: Mode, only: Option<Ranges>) -> Scan {
        Scan { scan: StreamScan::new(mode), mode, only, range: 0, begun: 0, position: 0 }
    }

    fn push(&mut self, bytes: &[u8], found: &mut dyn FnMut(Find)) {
        let Some(only) = self.only.clone() else { return self.scan.push(bytes, found) };
        let end = self.position.saturating_add(bytes.len() as u64);
        while let Some((start, stop)) = only.get(self.range).copied().filter(|(start, _)| *start < end) {
            let from = start.max(self.position);
            self.begun = start;
            let cut = |at: u64| usize::try_from(at.saturating_sub(self.position)).unwrap_or(usize::MAX).min(bytes.len());
            self.scan.push(&bytes[cut(from)..cut(stop).max(cut(from))], &mut shifted(start, found));
            if stop > end {
                break;
            }
            self.finish(found);
            self.range += 1;
        }
        self.position = end;
    }

    /// Ends the stretch that is being scanned.
    fn finish(&mut self, found: &mut dyn FnMut(Find)) {
        self.scan.finish(&mut shifted(self.begun, found));
        self.scan = StreamScan::new(self.mode);
    }
}

/// Puts finds of a stretch where they lie in the whole.
fn shifted(by: u64, found: &mut dyn FnMut(Find)) -> impl FnMut(Find) {
    move |find| found(Find { offset: find.offset.saturating_add(by), ..find })
}

/// Scans stretches of a source, without hashing them; the trouble that ended it early.
pub fn scan_ranges(
    item: &Item,
    source: &Source,
    ranges: &Ranges,
    buffer: &mut [u8],
    found: &mut dyn FnMut(Body) -> Result<(), Error>,
) -> Result<Option<Trouble>, Error> {
    let mut finds = Vec::new();
    for (start, end) in ranges.iter().copied() {
        let mut scan = StreamScan::new(Mode::All);
        let mut take = |find: Find| finds.push(find);
        let trouble = scan_stretch(source, (start, end), buffer, &mut scan, &mut shifted(start, &mut take));
        scan.finish(&mut shifted(start, &mut take));
        tell(item, &mut finds, found)?;
        if trouble.is_some() {
            return Ok(trouble);
        }
    }
    Ok(None)
}

fn scan_stretch(
    source: &Source,
    (start, end): (u64, u64),
    buffer: &mut [u8],
    scan: &mut StreamScan,
    found: &mut dyn FnMut(Find),
) -> Option<Trouble> {
    let mut at = start;
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        match source.read_at(&mut buffer[..most], at) {
            Ok(0) => return None,
            Ok(count) => {
                scan.push(&buffer[..count], found);
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(Trouble::of(&error)),
        }
    }
    None
}

/// Whether a parser could want the content.
pub fn wanted(item: &Item, settings: &Settings) -> bool {
    let Some(media_type) = item.media_type.as_deref() else { return false };
    let large = media_type == media_type::TEXT && item.size_bytes > settings.ingest.stage_text_cap_bytes
        || media_type::is_picture(media_type) && item.size_bytes > settings.ingest.stage_picture_cap_bytes;
    !large && settings.ingest.stage_types.iter().any(|wanted| wanted == media_type)
}

/// Scans what is stored of a file with holes, without hashing it; the trouble that ended it early.
pub fn scan_extents(
    item: &Item,
    source: &Source,
    buffer: &mut [u8],
    found: &mut dyn FnMut(Body) -> Result<(), Error>,
) -> Result<Option<Trouble>, Error> {
    let (mut finds, mut from) = (Vec::new(), 0);
    loop {
        let (start, end) = match source.extent(from) {
            Ok(Some(extent)) => extent,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(Trouble::of(&error))),
        };
        let mut scan = StreamScan::new(Mode::All);
        let mut take = |find: Find| finds.push(find);
        let trouble = scan_stretch(source, (start, end), buffer, &mut scan, &mut shifted(start, &mut take));
        scan.finish(&mut shifted(start, &mut take));
        tell(item, &mut finds, found)?;
        if trouble.is_some() {
            return Ok(trouble);
        }
        from = end;
    }
}

fn tell(item: &Item, finds: &mut Vec<Find>, found: &mut dyn FnMut(Body) -> Result<(), Error>) -> Result<(), Error> {
    finds.drain(..).try_for_each(|find| found(body(item, find)))
}

fn body(item: &Item, find: Find) -> Body {
    let (exhibit, item) = (item.exhibit, item.id);
    let (byte_offset, byte_length) = (Some(find.offset), Some(find.length));
    match find.found {
        Found::Observable(observable) => Body::Sighting(Box::new(Sighting {
            observable,
            exhibit,
            item,
            finder: Finder::Scan,
            record: None,
            field: None,
            field_offset: None,
            byte_offset,
            byte_length,
            encoding: find.encoding,
            row: None,
            support: find.support,
            context: find.context,
        })),
        Found::Secret { kind, value, detail } => Body::Secret(Box::new(Secret {
            exhibit,
            item,
            finder: Finder::Scan,
            kind,
            value,
            detail,
            record: None,
            field: None,
            field_offset: None,
            byte_offset,
            byte_length,
            row: None,
        })),
    }
}
