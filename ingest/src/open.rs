//! Containers: one file a format behind [`Container`], and one line in [`FORMATS`].

mod compressed;
mod tar;
mod zip;

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
#[derive(Debug)]
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
        let text = model::text::escape(&error.to_string());
        let code = match error.kind() {
            io::ErrorKind::UnexpectedEof => Code::Truncated,
            _ if text.contains("checksum") || text.contains("CRC") || text.contains("crc") => Code::ChecksumMismatch,
            _ => Code::ContainerDamaged,
        };
        Trouble::new(code, text)
    }
}

/// Takes entries one after the other; returns an error to stop.
pub type Visitor<'a> = dyn FnMut(Entry, &mut dyn Read) -> Result<(), crate::Error> + 'a;

/// An opened container.
pub trait Container: Send + Sync {
    /// `zip`, `tar`, `tar.gz`, `gzip`, …
    fn name(&self) -> &'static str;

    /// The directory, for containers that have one; others are visited from their first byte to their last.
    fn list(&self) -> Option<&[Entry]>;

    /// Troubles met while listing.
    fn troubles(&self) -> &[Trouble];

    /// Reads the content of an entry of the list: `read` gets its stream. A trouble instead of a stream, if it cannot be opened.
    fn read(
        &self,
        index: usize,
        read: &mut dyn FnMut(&mut dyn Read) -> Result<(), crate::Error>,
    ) -> Result<Option<Trouble>, crate::Error>;

    /// Visits every entry in order, for containers without a directory; the trouble that ended it early.
    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error>;
}

/// How a format is recognized and opened.
struct Format {
    /// Whether content that begins so is this format.
    recognize: fn(&[u8]) -> bool,
    /// Opens it.
    open: fn(&Source, &Settings, &[String]) -> Result<Box<dyn Container>, Trouble>,
}

/// Every format.
const FORMATS: &[Format] = &[zip::FORMAT, tar::FORMAT, compressed::FORMAT];

/// Whether content that begins so is a container.
pub fn is_container(head: &[u8]) -> bool {
    FORMATS.iter().any(|format| (format.recognize)(head))
}

/// Opens a container.
pub fn open(head: &[u8], source: &Source, settings: &Settings, passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    match FORMATS.iter().find(|format| (format.recognize)(head)) {
        Some(format) => (format.open)(source, settings, passwords),
        None => Err(Trouble::new(Code::Unsupported, "no container")),
    }
}

/// Gives entries of one path their ordinals.
#[derive(Default)]
struct Ordinals(std::collections::HashMap<Vec<u8>, u32>);

impl Ordinals {
    fn next(&mut self, path: &[u8]) -> u32 {
        match self.0.get_mut(path) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => {
                self.0.insert(path.to_vec(), 0);
                0
            }
        }
    }
}
