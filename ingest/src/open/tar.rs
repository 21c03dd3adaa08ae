//! tar: ustar, GNU and PAX (POSIX.1-2001), plain or inside a compressed stream. Read from the first byte to the last: a tar has no
//! directory.

mod sparse;

use super::{Container, Entry, Format, Guarded, Ordinals, Trouble, Visitor, guard};
use crate::evidence::Source;
use config::Settings;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use sparse::{Sparse, sparse_map};
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
        // What was appended behind the end mark is part of the evidence too.
        archive.set_ignore_zeros(true);
        let mut entries = match archive.entries() {
            Ok(entries) => entries,
            Err(error) => return Ok(Some(Trouble::of(&error))),
        };
        let mut ordinals = Ordinals::default();
        let (mut count, mut odd) = (0, None);
        loop {
            let mut stream = match guard(|| entries.next()) {
                Some(Some(Ok(stream))) => stream,
                Some(Some(Err(error))) => return Ok(Some(at_entry(count, Trouble::of(&error)))),
                Some(None) => return Ok(odd),
                None => return Ok(Some(at_entry(count, Trouble::new(Code::ContainerDamaged, "decoder gave up")))),
            };
            // Global extended headers describe the archive (`git archive` puts its commit there): no entry of it.
            if stream.header().entry_type().is_pax_global_extensions() {
                continue;
            }
            if count >= self.cap_entries {
                return Ok(Some(Trouble::new(Code::CapEntries, format!("more than {} entries", self.cap_entries))));
            }
            count += 1;
            let mut entry = entry_of(&mut stream);
            entry.ordinal = ordinals.next(&entry.path);
            if entry.kind.is_none() && entry.size > 0 {
                // Some old writers put a size there and no data: then the next header is taken for them.
                let detail = format!("directory {count} tells of {} bytes: an entry after it may be missing", entry.size);
                odd.get_or_insert(Trouble::new(Code::ContainerDamaged, detail));
            }
            let sparse = sparse_map(&mut stream, &mut entry);
            let mut stream = Guarded(stream);
            match sparse {
                Some(real_size) => visitor(entry, &mut Sparse::new(&mut stream, real_size))?,
                None => visitor(entry, &mut stream)?,
            }
        }
    }
}

/// Where in the archive a trouble ended the reading.
fn at_entry(count: u64, trouble: Trouble) -> Trouble {
    Trouble::new(trouble.code, format!("after {count} entries: {}", trouble.detail))
}

/// The entry of a header. A field that is no number is left out; the entry stays.
fn entry_of<R: Read>(stream: &mut tar::Entry<'_, R>) -> Entry {
    let pax_times = ["mtime", "atime", "ctime"].map(|key| extension(stream, key).as_deref().and_then(decimal_time));
    let [modified, accessed, changed] = pax_times;
    let header = stream.header();
    let kind = kind(header.entry_type());
    let whole = header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
    let modified = modified.or(whole.map(|seconds| FileTime { seconds, nanos: 0 }));
    let owner = header.uid().ok().zip(header.gid().ok());
    let owner = owner.and_then(|(user, group)| u32::try_from(user).ok().zip(u32::try_from(group).ok()));
    let mut path = stream.path_bytes().into_owned();
    if kind.is_none() && path.last() == Some(&b'/') {
        path.pop();
    }
    Entry {
        path,
        ordinal: 0,
        kind,
        size: stream.size(),
        packed: None,
        mode: header.mode().ok(),
        owner,
        times: FileTimes { modified, accessed, changed, created: None, local: false },
        link_target: stream.link_name_bytes().map(|name| name.into_owned()),
        deleted: false,
    }
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

/// The value of a PAX extension of that name; `None` also where the extensions cannot be read.
fn extension<R: Read>(stream: &mut tar::Entry<'_, R>, key: &str) -> Option<String> {
    let extensions = stream.pax_extensions().ok()??;
    let mut found = extensions.flatten().filter(|extension| extension.key_bytes() == key.as_bytes());
    found.next().and_then(|extension| std::str::from_utf8(extension.value_bytes()).ok().map(str::to_owned))
}

/// Decimal seconds with a fraction (POSIX.1-2001 pax, "mtime").
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
