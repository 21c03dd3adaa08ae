//! Reads an item once: hash, scan and stage while the bytes pass.

use crate::Error;
use crate::evidence::Source;
use crate::hash::Hashes;
use crate::media_type;
use crate::open::Trouble;
use config::Settings;
use model::observable::Finder;
use model::recognize::{Find, Found, Mode, StreamScan};
use model::{Body, Digest, Id, Item, Secret, Sighting};
use std::io::{self, Read, Seek, SeekFrom};
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
pub fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
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
    let mut scan = wish.scan.then(|| StreamScan::new(mode));
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
        match reader.read(buffer) {
            Ok(0) => break,
            Ok(count) => pass(&buffer[..count], &mut finds)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                trouble = Some(Trouble::of(&error));
                break;
            }
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

/// Whether a parser could want the content.
fn wanted(item: &Item, settings: &Settings) -> bool {
    let Some(media_type) = item.media_type.as_deref() else { return false };
    let large = media_type == media_type::TEXT && item.size_bytes > settings.ingest.stage_text_cap_bytes;
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
        let mut reader = source.reader();
        reader.seek(SeekFrom::Start(start)).map_err(Error::Temporary)?;
        let mut reader = reader.take(end - start);
        let mut shifted = |find: Find| finds.push(Find { offset: find.offset.saturating_add(start), ..find });
        let trouble = loop {
            match reader.read(buffer) {
                Ok(0) => break None,
                Ok(count) => scan.push(&buffer[..count], &mut shifted),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(Trouble::of(&error)),
            }
        };
        scan.finish(&mut shifted);
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
