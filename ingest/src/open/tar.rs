//! tar: ustar, GNU and PAX (POSIX.1-2001), plain or inside a compressed stream. Read from the first byte to the last: a tar has no
//! directory.

use super::{Container, Entry, Format, Ordinals, Trouble, Visitor};
use crate::evidence::Source;
use config::Settings;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use std::io::{self, Read};

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// Makes a fresh stream over the tar's bytes.
type Reopen = Box<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

struct Tar {
    name: &'static str,
    reopen: Reopen,
    cap_entries: u64,
}

/// A header with the magic word, or an old (v7) one whose checksum is right.
pub(super) fn recognize(head: &[u8]) -> bool {
    let Some(header) = head.get(..512) else { return false };
    if header[257..262] == *b"ustar" {
        return true;
    }
    let stored = std::str::from_utf8(&header[148..156]).ok().map(|text| text.trim_matches(['\0', ' ']));
    let stored = stored.and_then(|text| u32::from_str_radix(text, 8).ok());
    let sum: u32 = header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    header[0] != 0 && stored == Some(sum)
}

fn open(source: &Source, settings: &Settings, _passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    let source = source.clone();
    let reopen =
        move || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(io::BufReader::with_capacity(128 << 10, source.reader()))) };
    Ok(open_stream("tar", Box::new(reopen), settings))
}

/// A tar whose bytes come from a stream that can be opened again.
pub(super) fn open_stream(name: &'static str, reopen: Reopen, settings: &Settings) -> Box<dyn Container> {
    Box::new(Tar { name, reopen, cap_entries: settings.ingest.cap_entries })
}

impl Container for Tar {
    fn name(&self) -> &'static str {
        self.name
    }

    fn list(&self) -> Option<&[Entry]> {
        None
    }

    fn troubles(&self) -> &[Trouble] {
        &[]
    }

    fn read(
        &self,
        _index: usize,
        _read: &mut dyn FnMut(&mut dyn Read) -> Result<(), crate::Error>,
    ) -> Result<Option<Trouble>, crate::Error> {
        Ok(Some(Trouble::new(Code::Unsupported, "a tar has no directory")))
    }

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        let stream = match (self.reopen)() {
            Ok(stream) => stream,
            Err(error) => return Ok(Some(Trouble::of(&error))),
        };
        let mut archive = tar::Archive::new(stream);
        let entries = match archive.entries() {
            Ok(entries) => entries,
            Err(error) => return Ok(Some(Trouble::of(&error))),
        };
        let mut ordinals = Ordinals::default();
        let mut count = 0;
        for next in entries {
            let mut stream = match next {
                Ok(stream) => stream,
                Err(error) => return Ok(Some(Trouble::of(&error))),
            };
            count += 1;
            if count > self.cap_entries {
                return Ok(Some(Trouble::new(Code::CapEntries, format!("more than {} entries", self.cap_entries))));
            }
            let mut entry = match entry_of(&mut stream) {
                Ok(entry) => entry,
                Err(error) => return Ok(Some(Trouble::of(&error))),
            };
            entry.ordinal = ordinals.next(&entry.path);
            visitor(entry, &mut stream)?;
        }
        Ok(None)
    }
}

fn entry_of<R: Read>(stream: &mut tar::Entry<'_, R>) -> io::Result<Entry> {
    let modified = pax_time(stream, "mtime")?;
    let accessed = pax_time(stream, "atime")?;
    let changed = pax_time(stream, "ctime")?;
    let header = stream.header();
    let kind = kind(header.entry_type());
    let plain = header.mtime()?;
    let whole = || i64::try_from(plain).map_or(None, |seconds| Some(FileTime { seconds, nanos: 0 }));
    // A number that is no number in a header is left out; the item itself stays.
    let owner = header.uid().ok().zip(header.gid().ok());
    let owner = owner.and_then(|(user, group)| u32::try_from(user).ok().zip(u32::try_from(group).ok()));
    let mut path = stream.path_bytes().into_owned();
    if kind.is_none() && path.last() == Some(&b'/') {
        path.pop();
    }
    Ok(Entry {
        path,
        ordinal: 0,
        kind,
        size: stream.size(),
        packed: None,
        mode: header.mode().ok(),
        owner,
        times: FileTimes { modified: modified.or_else(whole), accessed, changed, created: None, local: false },
        link_target: stream.link_name_bytes().map(|name| name.into_owned()),
        deleted: false,
    })
}

fn kind(entry_type: tar::EntryType) -> Option<FileKind> {
    use tar::EntryType;
    match entry_type {
        EntryType::Directory => None,
        EntryType::Symlink => Some(FileKind::Symlink),
        EntryType::Link => Some(FileKind::Hardlink),
        EntryType::Char => Some(FileKind::CharDevice),
        EntryType::Block => Some(FileKind::BlockDevice),
        EntryType::Fifo => Some(FileKind::Fifo),
        _ => Some(FileKind::File),
    }
}

/// A PAX time: decimal seconds with a fraction.
fn pax_time<R: Read>(stream: &mut tar::Entry<'_, R>, key: &str) -> io::Result<Option<FileTime>> {
    let Some(extensions) = stream.pax_extensions()? else { return Ok(None) };
    for extension in extensions {
        let extension = extension?;
        if extension.key_bytes() == key.as_bytes() {
            return Ok(std::str::from_utf8(extension.value_bytes()).ok().and_then(decimal_time));
        }
    }
    Ok(None)
}

fn decimal_time(text: &str) -> Option<FileTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    if text.starts_with('-') && nanos > 0 {
        return Some(FileTime { seconds: seconds.checked_sub(1)?, nanos: 1_000_000_000 - nanos });
    }
    Some(FileTime { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_times_keep_their_fraction() {
        assert_eq!(decimal_time("1700000000.25"), Some(FileTime { seconds: 1_700_000_000, nanos: 250_000_000 }));
        assert_eq!(decimal_time("-1.5"), Some(FileTime { seconds: -2, nanos: 500_000_000 }));
        assert_eq!(decimal_time("x"), None);
    }
}
