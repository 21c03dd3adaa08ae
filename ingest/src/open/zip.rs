//! zip: the directory is read by us (every entry, duplicates and all, names and extra fields byte for byte); contents are
//! decompressed and decrypted by the `zip` crate. Format: PKWARE APPNOTE 6.3.10.

use super::{Container, Entry, Format, Ordinals, Trouble, Visitor};
use crate::evidence::{Source, SourceReader};
use config::Settings;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use std::io::{Read, Seek, SeekFrom};
use zip::ZipArchive;
use zip::result::ZipError;

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// Signatures of a local header, of an empty archive's end, and of a spanned archive.
fn recognize(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") || head.starts_with(b"PK\x07\x08PK")
}

struct Zip {
    source: Source,
    archive: ZipArchive<SourceReader>,
    entries: Vec<Entry>,
    /// For each entry: offset of its local header, and whether it is encrypted.
    places: Vec<(u64, bool)>,
    troubles: Vec<Trouble>,
    passwords: Vec<String>,
}

fn open(source: &Source, settings: &Settings, passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    let archive = ZipArchive::new(source.reader()).map_err(|error| trouble(&error))?;
    let mut zip = Zip {
        source: source.clone(),
        archive,
        entries: Vec::new(),
        places: Vec::new(),
        troubles: Vec::new(),
        passwords: passwords.to_vec(),
    };
    if let Err(error) = zip.read_directory(settings.ingest.cap_entries) {
        zip.troubles.push(Trouble::new(Code::ContainerDamaged, format!("central directory: {}", error.kind())));
    }
    let known = zip.archive.len();
    if zip.entries.len() < known && zip.troubles.is_empty() {
        let detail = format!("central directory ends after {} of {known} entries", zip.entries.len());
        zip.troubles.push(Trouble::new(Code::HeaderMismatch, detail));
    }
    Ok(Box::new(zip))
}

fn trouble(error: &ZipError) -> Trouble {
    let detail = model::text::escape(&error.to_string());
    match error {
        ZipError::InvalidPassword => Trouble::new(Code::Encrypted, "zip password"),
        ZipError::UnsupportedArchive(text) if *text == ZipError::PASSWORD_REQUIRED => {
            Trouble::new(Code::Encrypted, "zip password")
        }
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => Trouble::new(Code::Unsupported, detail),
        ZipError::Io(error) => Trouble::of(error),
        _ => Trouble::new(Code::ContainerDamaged, detail),
    }
}

impl Zip {
    /// Walks the central directory from its first header to the first bytes that are no header.
    fn read_directory(&mut self, cap_entries: u64) -> std::io::Result<()> {
        let mut reader = std::io::BufReader::with_capacity(256 << 10, self.source.reader());
        reader.seek(SeekFrom::Start(self.archive.central_directory_start()))?;
        let shift = self.archive.offset();
        let mut ordinals = Ordinals::default();
        let mut header = [0u8; 46];
        loop {
            match reader.read_exact(&mut header) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                other => other?,
            }
            if header[..4] != *b"PK\x01\x02" {
                return Ok(());
            }
            if self.entries.len() as u64 >= cap_entries {
                self.troubles.push(Trouble::new(Code::CapEntries, format!("more than {cap_entries} entries")));
                return Ok(());
            }
            let lengths = [28, 30, 32].map(|at| usize::from(u16::from_le_bytes([header[at], header[at + 1]])));
            let mut tail = vec![0; lengths.iter().sum()];
            reader.read_exact(&mut tail)?;
            let (name, rest) = tail.split_at(lengths[0]);
            let (mut entry, offset) = entry_of(&header, name, &rest[..lengths[1]]);
            entry.ordinal = ordinals.next(&entry.path);
            let encrypted = header[8] & 1 != 0;
            self.entries.push(entry);
            self.places.push((offset.saturating_add(shift), encrypted));
        }
    }

    /// Reads with each password in turn: a wrong one is told by the archive or by the checksum at the end, so it must be known
    /// good before anything is passed on.
    fn password(&self, archive: &mut ZipArchive<SourceReader>, index: usize) -> Option<String> {
        self.passwords
            .iter()
            .find(|password| {
                let Ok(mut file) = archive.by_index_decrypt(index, password.as_bytes()) else { return false };
                std::io::copy(&mut file, &mut std::io::sink()).is_ok()
            })
            .cloned()
    }
}

/// The entry of a central header, and the offset of its local header.
fn entry_of(header: &[u8; 46], name: &[u8], extra: &[u8]) -> (Entry, u64) {
    let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let long = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (mut size, mut packed, mut offset) = (u64::from(long(24)), u64::from(long(20)), u64::from(long(42)));
    if let Some(field) = field(extra, 0x0001) {
        let mut values =
            field.chunks_exact(8).filter_map(|chunk| chunk.first_chunk::<8>()).map(|chunk| u64::from_le_bytes(*chunk));
        for value in [&mut size, &mut packed, &mut offset] {
            if *value == u64::from(u32::MAX)
                && let Some(long) = values.next()
            {
                *value = long;
            }
        }
    }
    let mode = (header[5] == 3 || header[5] == 19).then(|| long(38) >> 16).filter(|mode| *mode != 0);
    let folder = name.last() == Some(&b'/') || mode.is_some_and(|mode| mode & 0o170_000 == 0o040_000);
    let link = mode.is_some_and(|mode| mode & 0o170_000 == 0o120_000);
    let kind = if folder {
        None
    } else if link {
        Some(FileKind::Symlink)
    } else {
        Some(FileKind::File)
    };
    let path = if folder { name.strip_suffix(b"/").unwrap_or(name) } else { name };
    let entry = Entry {
        path: path.to_vec(),
        ordinal: 0,
        kind,
        size,
        packed: Some(packed),
        mode,
        owner: None,
        times: times(extra, word(12), word(14)),
        link_target: None,
        deleted: false,
    };
    (entry, offset)
}

/// The data of the extra field with that id.
fn field(mut extra: &[u8], id: u16) -> Option<&[u8]> {
    while extra.len() >= 4 {
        let (head, rest) = extra.split_at(4);
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let data = rest.get(..length)?;
        if u16::from_le_bytes([head[0], head[1]]) == id {
            return Some(data);
        }
        extra = &rest[length..];
    }
    None
}

/// Times in the best resolution there is: NTFS (0x000a, 100 ns since 1601 UTC), extended (0x5455, seconds UTC), else DOS wall time
/// (two seconds, no zone).
fn times(extra: &[u8], dos_time: u16, dos_date: u16) -> FileTimes {
    if let Some(ntfs) = field(extra, 0x000a).and_then(|data| data.get(8..32)) {
        let time = |at: usize| {
            let ticks = u64::from_le_bytes(*ntfs.get(at..at + 8)?.first_chunk::<8>()?);
            let seconds = i64::try_from(ticks / 10_000_000).ok()? - 11_644_473_600;
            Some(FileTime { seconds, nanos: (ticks % 10_000_000) as u32 * 100 })
        };
        return FileTimes { modified: time(0), accessed: time(8), created: time(16), changed: None, local: false };
    }
    if let Some(data) = field(extra, 0x5455)
        && data.first().is_some_and(|flags| flags & 1 != 0)
        && let Some(seconds) = data.get(1..5).and_then(|bytes| bytes.first_chunk::<4>())
    {
        let modified = FileTime { seconds: i64::from(i32::from_le_bytes(*seconds)), nanos: 0 };
        return FileTimes { modified: Some(modified), ..FileTimes::default() };
    }
    FileTimes { modified: dos(dos_time, dos_date), local: true, ..FileTimes::default() }
}

/// A DOS date and time read as if it were UTC; `None` for the zero date and impossible ones.
fn dos(time: u16, date: u16) -> Option<FileTime> {
    let (year, month, day) = (i64::from(date >> 9) + 1980, i64::from(date >> 5 & 15), i64::from(date & 31));
    if !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let (hour, minute, second) = (i64::from(time >> 11), i64::from(time >> 5 & 63), i64::from(time & 31) * 2);
    // Days from civil (Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(FileTime { seconds: days * 86_400 + hour * 3_600 + minute * 60 + second, nanos: 0 })
}

impl Container for Zip {
    fn name(&self) -> &'static str {
        "zip"
    }

    fn list(&self) -> Option<&[Entry]> {
        Some(&self.entries)
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn read(
        &self,
        index: usize,
        read: &mut dyn FnMut(&mut dyn Read) -> Result<(), crate::Error>,
    ) -> Result<Option<Trouble>, crate::Error> {
        let (Some(entry), Some((offset, encrypted))) = (self.entries.get(index), self.places.get(index)) else {
            return Ok(Some(Trouble::new(Code::ContainerDamaged, "no such entry")));
        };
        let mut archive = self.archive.clone();
        // The crate keeps one entry a name; any other is read from its local header.
        let name = if entry.kind.is_none() { [&entry.path[..], b"/"].concat() } else { entry.path.clone() };
        let known = archive.index_for_name_raw(&name);
        let known = known.filter(|known| archive.by_index_data(*known).is_ok_and(|found| found.header_start() == *offset));
        let Some(known) = known else { return self.read_at(*offset, read) };
        let opened = if *encrypted {
            match self.password(&mut archive, known) {
                Some(password) => archive.by_index_decrypt(known, password.as_bytes()),
                None => return Ok(Some(Trouble::new(Code::Encrypted, "zip password"))),
            }
        } else {
            archive.by_index(known)
        };
        match opened {
            Ok(mut file) => read(&mut file).map(|()| None),
            Err(error) => Ok(Some(trouble(&error))),
        }
    }

    fn visit(&self, _visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        Ok(None)
    }
}

impl Zip {
    fn read_at(
        &self,
        offset: u64,
        read: &mut dyn FnMut(&mut dyn Read) -> Result<(), crate::Error>,
    ) -> Result<Option<Trouble>, crate::Error> {
        let mut reader = self.source.reader();
        if let Err(error) = reader.seek(SeekFrom::Start(offset)) {
            return Ok(Some(Trouble::of(&error)));
        }
        match zip::read::read_zipfile_from_stream(&mut reader) {
            Ok(Some(mut file)) => read(&mut file).map(|()| None),
            Ok(None) => Ok(Some(Trouble::new(Code::HeaderMismatch, format!("no local header at byte {offset}")))),
            Err(error) => Ok(Some(trouble(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times_are_wall_times() {
        // 2023-01-02 03:04:06, as `date -u -d '2023-01-02 03:04:06' +%s` counts it.
        let (time, date) = (3 << 11 | 4 << 5 | 3, 43 << 9 | 1 << 5 | 2);
        assert_eq!(dos(time, date).unwrap().seconds, 1_672_628_646);
        assert_eq!(dos(0, 0), None);
    }

    #[test]
    fn extra_fields_are_found_by_id() {
        assert_eq!(field(b"\x01\x00\x02\x00ab\x55\x54\x01\x00c", 0x5455), Some(b"c".as_slice()));
        assert_eq!(field(b"\x01\x00\xff\x00ab", 0x0001), None);
    }
}
