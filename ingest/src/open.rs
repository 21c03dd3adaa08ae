//! Containers: one file a format behind [`Container`], and one line in [`FORMATS`].

mod android_backup;
pub mod backup;
mod compressed;
mod decrypted;
mod disk;
mod keyring;
mod sealed;
mod seven_zip;
mod siblings;
mod sqlcipher;
mod tar;
mod telegram_desktop;
pub mod ufdr;
mod unread;
mod whatsapp_backup;
mod zip;

pub use keyring::{Keyring, Keys, keys_in, keys_on_disk, words_of_file};
pub use siblings::Siblings;

use crate::evidence::Source;
use config::Settings;
use model::item::FileTimes;
use model::{Code, FileKind};
use std::io::{self, Read};

/// Bytes of the beginning that decide whether content is a container.
pub const HEAD_BYTES: usize = 64 << 10;

/// One entry of a container, as its directory tells of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path in the container, byte for byte.
    pub path: Vec<u8>,
    /// Counts entries of the same path: 0 for the first.
    pub ordinal: u32,
    /// Kind; `None` for a directory.
    pub kind: Option<FileKind>,
    /// Size the directory tells, bytes.
    pub size: u64,
    /// Compressed size where the container knows it.
    pub packed: Option<u64>,
    /// Mode bits.
    pub mode: Option<u32>,
    /// Owner and group.
    pub owner: Option<(u32, u32)>,
    /// Times in the resolution of the container.
    pub times: FileTimes,
    /// Where a link points.
    pub link_target: Option<Vec<u8>>,
    /// True for a deleted entry.
    pub deleted: bool,
}

/// What went wrong with a container or an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The problem's code.
    pub code: Code,
    /// Place and reason.
    pub detail: String,
}

impl Trouble {
    /// A trouble.
    pub fn new(code: Code, detail: impl Into<String>) -> Trouble {
        Trouble { code, detail: detail.into() }
    }

    /// What an error while reading from a container means.
    pub fn of(error: &io::Error) -> Trouble {
        if let Some(damage) = error.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
            return Trouble::new(damage.code, damage.detail.clone());
        }
        let text = model::text::escape(&error.to_string());
        let code = match error.kind() {
            io::ErrorKind::UnexpectedEof => Code::Truncated,
            // The words of zstd and liblzma for a window or dictionary over what they may take.
            _ if text.contains("requires too much memory") || text.contains("memory limit") => Code::CapMemory,
            _ if text.contains("checksum") || text.contains("CRC") || text.contains("crc") => Code::ChecksumMismatch,
            _ => Code::ContainerDamaged,
        };
        Trouble::new(code, text)
    }
}

/// Damage that a reader of ours found in what passes through it, as an I/O error carries it.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Damage {
    code: Code,
    detail: String,
}

impl Damage {
    /// The I/O error for some damage.
    pub fn error(code: Code, detail: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Damage { code, detail: detail.to_owned() })
    }
}

/// A reader of somebody else's making over hostile bytes: should it panic, its entry is damaged and nothing else.
pub struct Guarded<R>(pub R);

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        guard(|| self.0.read(buffer)).unwrap_or_else(|| Err(Damage::error(Code::ContainerDamaged, "decoder gave up")))
    }
}

/// Runs a foreign decoder; `None` if it panics. Its state is not used again: whoever reads stops at the first error.
pub fn guard<T>(run: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).ok()
}

/// Takes the content of one entry; returns an error to stop.
pub type Taker<'a> = &'a mut (dyn FnMut(&mut dyn Read) -> Result<(), crate::Error> + 'a);

/// Takes entries one after the other; returns an error to stop.
pub type Visitor<'a> = dyn FnMut(Entry, &mut dyn Read) -> Result<(), crate::Error> + 'a;

/// Stretches of bytes: first and one past the last, in order, apart from each other.
pub type Ranges = std::sync::Arc<[(u64, u64)]>;

/// An entry that is hashed as a whole and never opened as a container of its own.
#[derive(Clone, Debug, Default)]
pub struct Special {
    /// What of it is scanned; all of it if `None`.
    pub scan: Option<Ranges>,
    /// Why nothing more is read from it, and which status that gives.
    pub ends: Option<(model::ItemStatus, Trouble)>,
    /// What read it, and what was found to hold.
    pub definition: Option<String>,
}

/// An opened container.
pub trait Container: Send + Sync {
    /// `zip`, `tar`, `tar.gz`, `gzip`, …
    fn name(&self) -> &'static str;

    /// The directory, for containers that have one; others are visited from their first byte to their last.
    fn list(&self) -> Option<&[Entry]> {
        None
    }

    /// How many entries the container says it has, directories among them, where it says so.
    fn told(&self) -> Option<u64> {
        None
    }

    /// What speaks against an entry of the list though it can be read.
    fn notes(&self, _index: usize) -> Vec<Trouble> {
        Vec::new()
    }

    /// How an entry of the list is read that is not just a file: a whole disk, a volume that nobody reads.
    fn special(&self, _index: usize) -> Option<Special> {
        None
    }

    /// An entry of the list as bytes read by position, for containers that can: an image in it needs no copy then.
    fn source(&self, _index: usize) -> Option<Source> {
        None
    }

    /// Where on a disk an entry begins: those of a disk are best read in that order.
    fn place(&self, _index: usize) -> Option<u64> {
        None
    }

    /// Where an entry's stored bytes lie in the container's own source, for containers that know and do not give a source: first
    /// byte, how many, whether they are packed.
    fn stored(&self, _index: usize) -> Option<(u64, u64, bool)> {
        None
    }

    /// Bytes of the container's own source that no entry covers, where entries are stretches of it: they are scanned as they are.
    fn uncovered(&self) -> Option<Ranges> {
        None
    }

    /// Bytes that may come out of it at least, whatever the caps say: a disk has the size it has.
    fn volume_bytes(&self) -> u64 {
        0
    }

    /// Whether its entries lie beside the container's file, not in it: then their paths begin with its folder, not with its name.
    fn beside(&self) -> bool {
        false
    }

    /// Troubles met while listing.
    fn troubles(&self) -> &[Trouble] {
        &[]
    }

    /// Reads the content of an entry of the list: `read` gets its stream. A trouble instead of a stream, if it cannot be opened.
    fn read(&self, _index: usize, _read: Taker<'_>) -> Result<Option<Trouble>, crate::Error> {
        Ok(Some(Trouble::new(Code::Unsupported, "it has no directory: it is read in order")))
    }

    /// Visits every entry in order, for containers without a directory; the trouble that ended it early.
    fn visit(&self, _visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        Ok(None)
    }
}

/// How a format is recognized and opened.
struct Format {
    /// Whether content that begins so is this format.
    recognize: fn(&[u8]) -> bool,
    /// Opens it.
    open: fn(&Source, &Settings, &[String]) -> Result<Box<dyn Container>, Trouble>,
}

/// Every format.
const FORMATS: &[Format] =
    &[zip::FORMAT, android_backup::FORMAT, disk::FORMAT, tar::FORMAT, compressed::FORMAT, seven_zip::FORMAT, unread::FORMAT];

/// Whether a file is a later part of a split image: it is hashed here and read through the first part.
pub fn is_later_part(source: &Source) -> bool {
    disk::is_later_part(source)
}

/// Whether a file ends as a disk image of a kind that its beginning does not tell.
pub fn ends_as_image(source: &Source) -> bool {
    disk::ends_as_image(source)
}

/// Whether a file of that name that begins so is a container.
pub fn is_container(path: &[u8], head: &[u8]) -> bool {
    FORMATS.iter().any(|format| (format.recognize)(head)) || is_sealed(path, head)
}

/// Whether a file is one that an app encrypts as a whole.
pub fn is_sealed(path: &[u8], head: &[u8]) -> bool {
    sealed::format(&sealed::Named { path, head }).is_some()
}

/// Opens a container.
pub fn open(
    path: &[u8],
    head: &[u8],
    source: &Source,
    settings: &Settings,
    keys: Keys<'_>,
) -> Result<Box<dyn Container>, Trouble> {
    // What an image's end tells comes first: its beginning may be the packed data of anything.
    let image = disk::ends_as_image(source).then_some(&disk::FORMAT);
    let named = sealed::Named { path, head };
    let opened = match image.or_else(|| FORMATS.iter().find(|format| (format.recognize)(head))) {
        Some(format) => guard(|| (format.open)(source, settings, keys.given)),
        None => match sealed::format(&named) {
            Some(format) => guard(|| (format.open)(&named, source, keys)),
            None => Some(Err(Trouble::new(Code::Unsupported, "no container"))),
        },
    };
    opened
        .unwrap_or_else(|| Err(Trouble::new(Code::ContainerDamaged, "decoder gave up")))
        .map(|container| ufdr::restore(backup::restore(container, settings, keys.given), settings))
}

/// Whether a zip stands behind other content: its directory is found from the end, so any reader of zips would open it.
pub fn has_archive_behind(head: &[u8], source: &Source) -> bool {
    zip::stands_behind(head, source)
}

/// Opens what [`has_archive_behind`] found.
pub fn open_appended(source: &Source, settings: &Settings, passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    guard(|| (zip::FORMAT.open)(source, settings, passwords))
        .unwrap_or_else(|| Err(Trouble::new(Code::ContainerDamaged, "decoder gave up")))
}

/// Gives the entries of a list that share a path their ordinals.
fn give_ordinals(entries: &mut [Entry]) {
    let mut order: Vec<u32> = (0u32..).take(entries.len()).collect();
    order.sort_by(|a, b| entries[*a as usize].path.cmp(&entries[*b as usize].path));
    for pair in order.windows(2) {
        let (before, after) = (pair[0] as usize, pair[1] as usize);
        if entries[before].path == entries[after].path {
            entries[after].ordinal = entries[before].ordinal + 1;
        }
    }
}

/// Gives entries that come one after the other their ordinals; a path takes 20 bytes, however long it is.
#[derive(Default)]
struct Ordinals(std::collections::HashMap<model::Id, u32>);

impl Ordinals {
    fn next(&mut self, path: &[u8]) -> u32 {
        let count = self.0.entry(model::Id::derive("path", &[path])).or_insert(0);
        *count += 1;
        *count - 1
    }
}
