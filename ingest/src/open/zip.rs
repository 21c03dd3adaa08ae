//! zip: directory and contents are read by us (every entry, duplicates and all, names byte for byte); the `zip` crate decrypts.
//! Format: PKWARE APPNOTE 6.3.10.

mod content;
mod directory;
mod fields;
mod locked;

use super::{Container, Entry, Format, Trouble};
use crate::evidence::Source;
use config::Settings;
pub(super) use directory::stands_behind;
use model::Code;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// Signature of a local header.
const LOCAL: &[u8; 4] = b"PK\x03\x04";
/// Signature of a header in the central directory.
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
/// Bytes of a local header before its name.
const LOCAL_BYTES: u64 = 30;

/// Signatures of a local header, of an empty archive's end, and of a spanned archive.
fn recognize(head: &[u8]) -> bool {
    head.starts_with(LOCAL) || head.starts_with(b"PK\x05\x06") || head.starts_with(b"PK\x07\x08PK")
}

/// Where an entry lies and how it is packed.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its local header, from the first byte of the source.
    local: u64,
    /// Its header in the central directory: offset and length; length 0 where there is no directory.
    central: (u64, u32),
    /// Checksum of the content.
    crc: u32,
    /// Compression method (APPNOTE 4.4.5).
    method: u16,
    /// General purpose flags (APPNOTE 4.4.4).
    flags: u16,
}

impl Place {
    fn encrypted(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Sizes and checksum stand behind the data, not in the local header.
    fn described_later(&self) -> bool {
        self.flags & 8 != 0
    }
}

struct Zip {
    source: Source,
    entries: Vec<Entry>,
    places: Vec<Place>,
    /// Local headers in order, each with the index of its entry: what overlaps is seen by its neighbours.
    layout: Vec<(u64, u32)>,
    /// Where offsets in the archive count from.
    base: u64,
    /// Entries the archive says it has.
    told: u64,
    troubles: Vec<Trouble>,
    passwords: Vec<String>,
    /// Index of the password that fitted last.
    fitting: AtomicUsize,
    /// Bytes that trying a password may read.
    cap_bytes: u64,
}

fn open(source: &Source, settings: &Settings, passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    let list = directory::read(source, settings.ingest.cap_entries)?;
    let mut layout: Vec<(u64, u32)> = list.places.iter().zip(0u32..).map(|(place, at)| (place.local, at)).collect();
    layout.sort_unstable();
    Ok(Box::new(Zip {
        source: source.clone(),
        entries: list.entries,
        places: list.places,
        layout,
        base: list.base,
        told: list.told,
        troubles: list.troubles,
        passwords: passwords.to_vec(),
        fitting: AtomicUsize::new(0),
        cap_bytes: settings.ingest.cap_entry_bytes,
    }))
}

impl Zip {
    /// Where the data of an entry begin; a trouble if they run into the next entry (Fifield, "A better zip bomb", 2019) or if
    /// another entry has the same.
    fn data_start(&self, index: usize, entry: &Entry, place: &Place) -> Result<u64, Trouble> {
        let local = directory::local_header(&self.source, place.local)?;
        let start = local.data_start;
        let end = start.saturating_add(entry.packed.unwrap_or(0));
        let first = self.layout.partition_point(|(offset, _)| *offset < place.local);
        let owner = self.layout.get(first).map_or(index, |(_, at)| *at as usize);
        if owner != index {
            let detail = format!("shares its data at byte {} with an entry before it: not read again", place.local);
            return Err(Trouble::new(Code::ContainerDamaged, detail));
        }
        let next = self.layout.partition_point(|(offset, _)| *offset <= place.local);
        match self.layout.get(next) {
            Some((next, _)) if end > *next => {
                let detail = format!("data at bytes {start} to {end} overlap the entry at byte {next}: not read");
                Err(Trouble::new(Code::ContainerDamaged, detail))
            }
            _ => Ok(start),
        }
    }
}

impl Container for Zip {
    fn name(&self) -> &'static str {
        "zip"
    }

    fn list(&self) -> Option<&[Entry]> {
        Some(&self.entries)
    }

    fn told(&self) -> Option<u64> {
        Some(self.told)
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn notes(&self, index: usize) -> Vec<Trouble> {
        match (self.entries.get(index), self.places.get(index)) {
            (Some(entry), Some(place)) if place.central.1 > 0 => directory::contradictions(&self.source, entry, place),
            _ => Vec::new(),
        }
    }

    fn stored(&self, index: usize) -> Option<(u64, u64, bool)> {
        let (entry, place) = (self.entries.get(index)?, self.places.get(index)?);
        let start = self.data_start(index, entry, place).ok()?;
        Some((start, entry.packed?, place.method != 0 || place.encrypted()))
    }

    fn read(
        &self,
        index: usize,
        read: &mut dyn FnMut(&mut dyn Read) -> Result<(), crate::Error>,
    ) -> Result<Option<Trouble>, crate::Error> {
        let (Some(entry), Some(place)) = (self.entries.get(index), self.places.get(index)) else {
            return Ok(Some(Trouble::new(Code::ContainerDamaged, "no such entry")));
        };
        let start = match self.data_start(index, entry, place) {
            Ok(start) => start,
            Err(trouble) => return Ok(Some(trouble)),
        };
        if place.encrypted() {
            return self.read_locked(entry, place, read);
        }
        match content::reader(&self.source, start, entry, place) {
            Ok(mut content) => read(&mut content).map(|()| None),
            Err(trouble) => Ok(Some(trouble)),
        }
    }
}

impl Zip {
    /// Reads with the first password that fits. A wrong one may be told only by the checksum at the end, so a password must be
    /// known to be good before anything is passed on.
    fn read_locked(
        &self,
        entry: &Entry,
        place: &Place,
        read: &mut dyn FnMut(&mut dyn Read) -> Result<(), crate::Error>,
    ) -> Result<Option<Trouble>, crate::Error> {
        let locked = || Trouble::new(Code::Encrypted, "zip password");
        let count = self.passwords.len();
        let last = self.fitting.load(Relaxed);
        for at in (0..count).map(|at| (at + last) % count) {
            let Some(password) = self.passwords.get(at) else { continue };
            let mut archive = match locked::single(&self.source, self.base, place) {
                Ok(archive) => archive,
                Err(trouble) => return Ok(Some(trouble)),
            };
            if !locked::fits(&mut archive, password, entry.size.min(self.cap_bytes)) {
                continue;
            }
            self.fitting.store(at, Relaxed);
            return match archive.by_index_decrypt(0, password.as_bytes()) {
                Ok(mut file) => read(&mut super::Guarded(&mut file)).map(|()| None),
                Err(error) => Ok(Some(locked::trouble(&error))),
            };
        }
        Ok(Some(locked()))
    }
}
