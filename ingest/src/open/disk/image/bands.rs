//! Apple's sparse images: a disk in bands, of which only those are stored that were ever written. In one file (`.sparseimage`, index nodes with
//! the numbers of the bands behind them), or in a folder (`.sparsebundle`, one file a band). Format: J. Metz, "Mac OS disk image types"
//! (libmodi); S. Gander, apfs-fuse's fsdump.

use super::super::fields::{damaged, exact, slice, some, u32be, u64be};
use super::super::pieces::{Disk, Layout, Piece};
use super::{Image, Opened};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use model::Code;
use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

/// A disk in bands in one file.
pub const IMAGE: Image = Image { name: "sparse image", recognize: |head| head.starts_with(MAGIC), open: open_file };
/// A disk in bands in a folder, by the list of its properties.
pub const BUNDLE: Image = Image { name: "sparse bundle", recognize: is_list, open: open_folder };

const MAGIC: &[u8] = b"sprs";
const SECTOR: u64 = 512;
/// Bytes of an index node; where its list begins, in the first and in later ones.
const NODE_BYTES: usize = 4096;
const FIRST_LIST: usize = 64;
const LATER_LIST: usize = 56;
/// Bands that are believed: of 1 MiB each as `hdiutil` makes them, a disk of 16 TiB.
const BANDS_MAX: u64 = 16 << 20;
/// Bytes of a bundle's list that are looked at: it has five values.
const LIST_BYTES: usize = 64 << 10;

/// The bands of one file, by number from 0: where each begins.
struct Bands {
    source: Source,
    places: HashMap<u32, u64>,
    band: u64,
    size: u64,
}

fn open_file(source: &Source) -> Result<Option<Opened>, Trouble> {
    let header = exact(source, 0, NODE_BYTES).map_err(|error| Trouble::of(&error))?;
    let (version, band) = (u32be(&header, 4), u64::from(u32be(&header, 8)) * SECTOR);
    let (low, size) = (u64::from(u32be(&header, 16)), u64be(&header, 28));
    let size = if size == 0 { low } else { size }.saturating_mul(SECTOR);
    if version != 3 || band == 0 || size.div_ceil(band.max(1)) > BANDS_MAX {
        let detail = format!("sparse image of version {version}: {size} bytes in bands of {band}");
        return Err(Trouble::new(Code::ContainerDamaged, detail));
    }
    let mut bands = Bands { source: source.clone(), places: HashMap::new(), band, size };
    let read = bands.read(header);
    let mut opened = Opened::new(Disk::source(bands));
    opened.troubles.extend(read.err().map(|error| Trouble::of(&error)));
    Ok(Some(opened))
}

impl Bands {
    /// Reads every index node; what only those behind one that cannot be read tell is lost.
    fn read(&mut self, header: Vec<u8>) -> io::Result<()> {
        let (mut node, mut at, mut list, mut next_at) = (header, 0u64, FIRST_LIST, 20);
        loop {
            let numbers = slice(&node, list, NODE_BYTES - list).chunks_exact(4).map(|number| u32be(number, 0));
            for (place, number) in (0u64..).zip(numbers).filter(|(_, number)| *number > 0) {
                let begins = at + NODE_BYTES as u64 + place * self.band;
                let number = number - 1;
                if u64::from(number) * self.band >= self.size {
                    return Err(damaged(&format!("band {number} lies behind the end of the disk at {}", self.size)));
                }
                if self.places.insert(number, begins).is_some() {
                    return Err(damaged(&format!("band {number} is stored twice")));
                }
            }
            let next = u64be(&node, next_at);
            if next == 0 {
                return Ok(());
            }
            if next <= at {
                return Err(damaged(&format!("index node at {at} leads back to {next}")));
            }
            node = exact(&self.source, next, NODE_BYTES)?;
            if !node.starts_with(MAGIC) {
                return Err(damaged(&format!("no index node at {next}: the bands it tells of are lost")));
            }
            (at, list, next_at) = (next, LATER_LIST, 12);
        }
    }
}

impl Layout for Bands {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let (number, within) = (offset / self.band, offset % self.band);
        let left = (self.band - within).min(self.size - offset);
        let place = u32::try_from(number).ok().and_then(|number| self.places.get(&number));
        Ok(match place {
            Some(begins) => Piece::Stored(self.source.clone(), begins.saturating_add(within), left),
            None => Piece::Zero(left),
        })
    }

    fn label(&self) -> Option<&'static str> {
        Some("disk")
    }
}

/// Whether content that begins so is the property list of a bundle: an XML one, as `hdiutil` writes it.
fn is_list(head: &[u8]) -> bool {
    head.starts_with(b"<?xml") && memchr::memmem::find(head, b"com.apple.diskimage.sparsebundle").is_some()
}

/// The bands of a folder, each a file that is named by its number from 0, in hexadecimal.
struct Folder {
    /// The property list, beside which the bands lie.
    list: Source,
    band: u64,
    size: u64,
    /// The band that was read last: one in an archive is unpacked whole.
    last: Mutex<Option<(u64, Option<Source>)>>,
}

fn open_folder(source: &Source) -> Result<Option<Opened>, Trouble> {
    let list = some(source, 0, LIST_BYTES).map_err(|error| Trouble::of(&error))?;
    let text = String::from_utf8_lossy(&list);
    let (Some(band), Some(size)) = (number_of(&text, "band-size"), number_of(&text, "size")) else {
        return Err(Trouble::new(Code::ContainerDamaged, "a sparse bundle whose list does not tell sizes"));
    };
    let beside = source.neighbours();
    // The list has a copy that reads alike.
    if beside.is_some_and(|beside| beside.name() != b"Info.plist" && beside.open(b"Info.plist").is_ok()) {
        return Ok(None);
    }
    let Some(beside) = beside.filter(|_| band > 0 && size.div_ceil(band.max(1)) <= BANDS_MAX) else {
        let detail = format!("sparse bundle of {size} bytes in bands of {band}: they are not here");
        return Err(Trouble::new(Code::Missing, detail));
    };
    if ["token", "bands/0"].iter().all(|name| beside.open(name.as_bytes()).is_err()) {
        return Err(Trouble::new(Code::Missing, "a sparse bundle's list without its bands"));
    }
    // An encrypted bundle keeps the header of what its bands hold in a file of its own, which has the header's length.
    let token = match beside.open(b"token") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let detail = format!("token of a sparse bundle cannot be opened: {}", error.kind());
            return Err(Trouble::new(Code::Unreadable, detail));
        }
        token => token.ok().filter(|token| token.size() > 0),
    };
    let bands = Disk::source(Folder { list: source.clone(), band, size, last: Mutex::new(None) });
    let disk = match token {
        Some(token) => Disk::source(super::super::pieces::Joined::new(vec![token, bands])),
        None => bands,
    };
    Ok(Some(Opened::new(disk)))
}

/// Whether a file is a band of a bundle whose list is there: it is read through the list.
pub fn is_band(source: &Source) -> bool {
    let Some(beside) = source.neighbours().filter(|beside| beside.name().iter().all(u8::is_ascii_hexdigit)) else { return false };
    let list = beside.above(b"bands", b"Info.plist").and_then(|list| some(&list, 0, LIST_BYTES));
    list.is_ok_and(|list| is_list(&list))
}

/// The whole number behind a key of an XML property list.
fn number_of(text: &str, key: &str) -> Option<u64> {
    let (_, behind) = text.split_once(&format!("<key>{key}</key>"))?;
    let (number, _) = behind.trim_start().strip_prefix("<integer>")?.split_once('<')?;
    number.trim().parse().ok()
}

impl Folder {
    /// The file of a band; `None` for one that was never written.
    fn open(&self, number: u64) -> io::Result<Option<Source>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, band)) = last.as_ref().filter(|(held, _)| *held == number) {
            return Ok(band.clone());
        }
        let opened = match self.list.neighbours().map(|beside| beside.open(format!("bands/{number:x}").as_bytes())) {
            Some(Ok(band)) => Some(band),
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Damage::error(Code::Unreadable, &format!("band {number:x} cannot be opened: {}", error.kind())));
            }
            _ => None,
        };
        *last = Some((number, opened.clone()));
        Ok(opened)
    }
}

impl Layout for Folder {
    fn size(&self) -> u64 {
        self.size
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let (number, within) = (offset / self.band, offset % self.band);
        let left = (self.band - within).min(self.size - offset);
        Ok(match self.open(number)? {
            // What a band's file does not reach to was never written.
            Some(band) if within < band.size() => {
                let stored = left.min(band.size() - within);
                Piece::Stored(band, within, stored)
            }
            _ => Piece::Zero(left),
        })
    }

    fn label(&self) -> Option<&'static str> {
        Some("disk")
    }
}
