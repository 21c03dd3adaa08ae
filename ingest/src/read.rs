//! Reads an item once: hash, scan and stage while the bytes pass.

use crate::Error;
use crate::hash::Hashes;
use crate::media_type;
use crate::open::Trouble;
use config::Settings;
use model::observable::Finder;
use model::recognize::{Find, Found, Mode, StreamScan};
use model::{Body, Code, Digest, Id, Item, Secret, Sighting};
use std::io::{self, Read};
use stream::stage::{Stage, Upload};

/// Content up to this size is staged in one piece.
const SMALL_BYTES: usize = 1 << 20;
/// What a ratio cap always lets through.
const RATIO_FLOOR_BYTES: u64 = 1 << 20;

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

/// How far an entry of a container may grow.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// Bytes.
    pub bytes: u64,
    /// The code of the cap that would stop it.
    pub code: Code,
}

impl Cap {
    /// The tightest of the configured caps for an entry of that compressed size, with so many bytes left for its container.
    pub fn of(settings: &Settings, packed: Option<u64>, left: u64) -> Cap {
        let ratio = packed.map(|packed| packed.saturating_mul(settings.ingest.cap_ratio).max(RATIO_FLOOR_BYTES));
        let caps = [
            (Code::CapBytes, settings.ingest.cap_entry_bytes),
            (Code::CapBytes, left),
            (Code::CapRatio, ratio.unwrap_or(u64::MAX)),
        ];
        let (code, bytes) = caps.into_iter().min_by_key(|(_, bytes)| *bytes).unwrap_or((Code::CapBytes, left));
        Cap { bytes, code }
    }
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
    pub fn new(inner: &'a mut dyn Read, cap: Cap) -> Capped<'a> {
        Capped { inner, left: cap.bytes, stopped: false }
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
