//! `Manifest.mbdb`, the manifest of backups before iOS 10: records one behind the other, from which the name of each blob follows.
//!
//! Format, as the tools that read it agree (iphone-dataprotection, pyiosbackup, iphonels): `mbdb` 5 0, then records of domain, path, target of a
//! link, digest and wrapped key (each a length in two bytes, ffff for none, and so many bytes), mode, inode, user, group, three times,
//! size, protection class, and pairs of names and values. The second time is the access time to some, that of the status
//! to others: it is kept as the latter, as the manifests since iOS 10 have it in that place. A blob lies in the manifest's folder,
//! named by the SHA-1 of domain, hyphen and path.

use super::manifest::{Beside, Manifest, Place, damaged, small, unlock};
use crate::evidence::Source;
use crate::open::{Entry, Trouble};
use config::Settings;
use model::item::{FileTime, FileTimes};
use model::plist::{Plist, Value};
use model::{Code, FileKind};
use sha1_next::{Digest, Sha1};
use std::io::{self, BufReader, Read};

const MAGIC: &[u8] = b"mbdb\x05\x00";
/// Stands for a text that is not there.
const NONE: u16 = 0xffff;
/// Bits of the mode that tell the kind, and the kinds that are no files.
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
/// Bytes of a record behind its texts.
const FIXED_BYTES: usize = 40;

/// Reads a manifest of this kind; `None` where the folder only looks like a backup.
pub fn read(
    source: &Source,
    beside: &dyn Beside,
    settings: &Settings,
    passwords: &[String],
) -> Result<Option<Manifest>, Trouble> {
    let mut reader = BufReader::with_capacity(128 << 10, source.reader());
    let mut magic = [0; MAGIC.len()];
    let known = reader.read_exact(&mut magic).is_ok() && magic == *MAGIC;
    let list = small(beside, b"Manifest.plist");
    let list = list.as_deref().and_then(Plist::open);
    if !known {
        return if list.is_some() { Err(damaged("manifest of the backup is no list of records")) } else { Ok(None) };
    }
    let encrypted = list.as_ref().and_then(|list| list.get(&["IsEncrypted"])).and_then(Value::truth) == Some(true);
    let keys = match &list {
        Some(list) if encrypted => Some(unlock(list, passwords)?),
        _ => None,
    };
    let mut manifest = Manifest { entries: Vec::new(), places: Vec::new(), keys, troubles: Vec::new(), rows: 0 };
    let mut at = MAGIC.len() as u64;
    loop {
        let begun = at;
        match record(&mut reader, &mut at) {
            Ok(None) => break,
            Ok(Some(_)) if manifest.rows >= settings.ingest.cap_entries => {
                let detail = format!("more than {} entries", settings.ingest.cap_entries);
                manifest.troubles.push(Trouble::new(Code::CapEntries, detail));
                break;
            }
            Ok(Some(record)) => {
                manifest.rows += 1;
                let (entry, place) = record.entry(beside, manifest.keys.is_some());
                manifest.entries.push(entry);
                manifest.places.push(place);
            }
            Err(error) => {
                let detail = format!("record {} of the manifest, at byte {begun}: {}", manifest.rows, error.kind());
                let cut = error.kind() == io::ErrorKind::UnexpectedEof;
                manifest.troubles.push(Trouble::new(if cut { Code::Truncated } else { Code::Unreadable }, detail));
                break;
            }
        }
    }
    manifest.order();
    Ok(Some(manifest))
}

/// A record.
struct Record {
    domain: Vec<u8>,
    path: Vec<u8>,
    target: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    fixed: [u8; FIXED_BYTES],
}

/// The next record, and where it ends; `None` at the end of the list.
fn record(reader: &mut impl Read, at: &mut u64) -> io::Result<Option<Record>> {
    let mut first = [0; 1];
    if reader.read(&mut first)? == 0 {
        return Ok(None);
    }
    let mut second = [0; 1];
    reader.read_exact(&mut second)?;
    *at += 2;
    let domain = bytes(reader, u16::from_be_bytes([first[0], second[0]]), at)?.unwrap_or_default();
    let path = text(reader, at)?.unwrap_or_default();
    let (target, _digest, key) = (text(reader, at)?, text(reader, at)?, text(reader, at)?);
    let mut fixed = [0; FIXED_BYTES];
    reader.read_exact(&mut fixed)?;
    *at += FIXED_BYTES as u64;
    // Names and values: extended attributes.
    for _ in 0..u16::from(fixed[FIXED_BYTES - 1]) * 2 {
        text(reader, at)?;
    }
    Ok(Some(Record { domain, path, target, key, fixed }))
}

fn text(reader: &mut impl Read, at: &mut u64) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    reader.read_exact(&mut length)?;
    *at += 2;
    bytes(reader, u16::from_be_bytes(length), at)
}

fn bytes(reader: &mut impl Read, length: u16, at: &mut u64) -> io::Result<Option<Vec<u8>>> {
    if length == NONE {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::from(length)];
    reader.read_exact(&mut bytes)?;
    *at += u64::from(length);
    Ok(Some(bytes))
}

impl Record {
    /// A number of the fixed part, big endian.
    fn number(&self, at: usize, width: usize) -> u64 {
        let bytes = self.fixed.get(at..at.saturating_add(width)).unwrap_or_default();
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn small(&self, at: usize) -> u32 {
        u32::try_from(self.number(at, 4)).unwrap_or(u32::MAX)
    }

    fn entry(self, beside: &dyn Beside, encrypted: bool) -> (Entry, Place) {
        let mode = u32::try_from(self.number(0, 2)).unwrap_or(0);
        let kind = match mode & KIND {
            FOLDER => None,
            LINK => Some(FileKind::Symlink),
            _ => Some(FileKind::File),
        };
        let name = Sha1::digest([&self.domain[..], b"-", &self.path].concat());
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let blob = (kind == Some(FileKind::File)).then(|| name.into_bytes());
        let told = self.number(30, 8);
        let key = self.key.as_ref().filter(|key| encrypted && !key.is_empty()).map(|key| key.clone().into_boxed_slice());
        let lies = blob.as_ref().and_then(|blob| beside.size(blob));
        let size = lies.map_or(told, |lies| if key.is_some() { lies.min(told) } else { lies });
        let time = |at: usize| {
            let seconds = self.number(at, 4).cast_signed();
            (seconds != 0).then_some(FileTime { seconds, nanos: 0 })
        };
        let path = if self.path.is_empty() { self.domain.clone() } else { [&self.domain[..], b"/", &self.path].concat() };
        let entry = Entry {
            path,
            ordinal: 0,
            kind,
            size: if kind == Some(FileKind::File) { size } else { 0 },
            packed: None,
            mode: Some(mode),
            owner: Some((self.small(10), self.small(14))),
            times: FileTimes { modified: time(18), accessed: None, changed: time(22), created: time(26), local: false },
            link_target: self.target.filter(|_| kind == Some(FileKind::Symlink)),
            deleted: false,
        };
        (entry, Place { blob, key, told })
    }
}
