//! 7z archives: the `sevenz-rust2` crate reads their directory and unpacks their blocks. A block packs many files one behind the
//! other, so an archive is read from its first block to its last. Format: 7zFormat.txt of the LZMA SDK (public domain).
//!
//! Checksums are held here and not by the crate: a file that fails its own must not cost those that come after it in its block.

mod block;

use super::{Container, Entry, Format, Guarded, Ordinals, Trouble, Visitor, guard};
use crate::evidence::Source;
use block::{Checked, MEMORY_KB_MAX, time};
use config::Settings;
use model::item::FileTimes;
use model::{Code, FileKind};
use sevenz_rust2::{Archive, ArchiveEntry, BlockDecoder, Password};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize: |head| head.starts_with(b"7z\xbc\xaf\x27\x1c"), open };

/// Bits of an attribute word: the upper half is a Unix mode (p7zip and 7-Zip since 2021).
const HAS_MODE: u32 = 0x8000;
/// Bits of a mode that say what kind of file it is, and the kind that is a symbolic link.
const KIND_OF_FILE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

struct SevenZip {
    source: Source,
    archive: Archive,
    /// The checksum of each file's content that has one.
    sums: Vec<Option<u32>>,
    /// No password first, then those that were given.
    passwords: Vec<Password>,
    /// Index of the one that fitted last.
    fitting: AtomicUsize,
    troubles: Vec<Trouble>,
    settings: Settings,
}

fn open(source: &Source, settings: &Settings, passwords: &[String]) -> Result<Box<dyn Container>, Trouble> {
    let passwords: Vec<Password> =
        [Password::empty()].into_iter().chain(passwords.iter().map(|word| Password::new(word))).collect();
    let mut locked = None;
    for (at, password) in passwords.iter().enumerate() {
        match Archive::read_with_memory_limit(&mut source.reader(), password, MEMORY_KB_MAX) {
            Ok(mut archive) => {
                let sums = block::take_sums(&mut archive);
                let cap = settings.ingest.cap_entries;
                let files = archive.files.len() as u64;
                let more = (files > cap).then(|| Trouble::new(Code::CapEntries, format!("more than {cap} entries")));
                return Ok(Box::new(SevenZip {
                    source: source.clone(),
                    archive,
                    sums,
                    fitting: AtomicUsize::new(at),
                    passwords,
                    troubles: more.into_iter().collect(),
                    settings: settings.clone(),
                }));
            }
            Err(error) => {
                let trouble = block::trouble(error);
                // Another password can mend only what the first one found to be encrypted.
                if at == 0 && trouble.code != Code::Encrypted {
                    return Err(trouble);
                }
                locked.get_or_insert(trouble);
            }
        }
    }
    Err(locked.unwrap_or_else(block::wanted))
}

impl SevenZip {
    fn entry(&self, file: &ArchiveEntry, packed: Option<u64>, ordinals: &mut Ordinals) -> Entry {
        let path = file.name.clone().into_bytes();
        let has_mode = file.has_windows_attributes && file.windows_attributes & HAS_MODE != 0;
        let mode = has_mode.then_some(file.windows_attributes >> 16);
        let kind = match mode {
            _ if file.is_directory => None,
            Some(mode) if mode & KIND_OF_FILE == LINK => Some(FileKind::Symlink),
            _ => Some(FileKind::File),
        };
        Entry {
            ordinal: ordinals.next(&path),
            path,
            kind,
            size: if file.has_stream { file.size } else { 0 },
            packed,
            mode,
            owner: None,
            times: FileTimes {
                modified: file.has_last_modified_date.then(|| time(file.last_modified_date)),
                accessed: file.has_access_date.then(|| time(file.access_date)),
                created: file.has_creation_date.then(|| time(file.creation_date)),
                ..FileTimes::default()
            },
            link_target: None,
            deleted: false,
        }
    }

    /// The files of a block, those without content between them too.
    fn files_of(&self, block: usize) -> Range<usize> {
        let (password, mut reader) = (Password::empty(), self.source.reader());
        let count = BlockDecoder::new(1, block, &self.archive, &password, &mut reader).entry_count();
        let first = self.archive.stream_map.block_first_file_index.get(block).copied().unwrap_or(0);
        first..first.saturating_add(count)
    }

    /// Bytes a block takes in the archive.
    fn packed(&self, block: usize) -> Option<u64> {
        let firsts = self.archive.stream_map.block_first_pack_stream_index();
        let sizes = self.archive.pack_sizes();
        let end = firsts.get(block + 1).copied().unwrap_or(sizes.len());
        Some(sizes.get(*firsts.get(block)?..end)?.iter().fold(0u64, |sum, size| sum.saturating_add(*size)))
    }

    /// The password that a block opens with; a trouble if none does, or if it cannot be unpacked at all. A wrong password is known
    /// by what comes out, so the first file of an encrypted block is unpacked twice.
    fn password(&self, block: usize, files: &Range<usize>) -> Result<&Password, Trouble> {
        let encrypted = self.archive.blocks.get(block).is_some_and(block::is_encrypted);
        let count = self.passwords.len();
        let first = if encrypted { self.fitting.load(Relaxed) } else { 0 };
        let tries = if encrypted { count } else { 1 };
        for at in (0..tries).map(|at| (at + first) % count.max(1)) {
            let Some(password) = self.passwords.get(at) else { continue };
            if encrypted && password.is_empty() {
                continue;
            }
            let tried = guard(|| self.try_block(block, files, password, encrypted));
            match tried.unwrap_or_else(|| Err(Trouble::new(Code::ContainerDamaged, "decoder gave up"))) {
                Ok(()) => {
                    self.fitting.store(at, Relaxed);
                    return Ok(password);
                }
                Err(trouble) if !encrypted => return Err(trouble),
                Err(_) => {}
            }
        }
        Err(block::wanted())
    }

    /// Whether a block can be unpacked; with `whole`, whether its first file passes its checksum.
    fn try_block(&self, block: usize, files: &Range<usize>, password: &Password, whole: bool) -> Result<(), Trouble> {
        let mut reader = self.source.reader();
        let limit = block::memory_kb(&self.archive, block);
        let decoder = BlockDecoder::new_with_memory_limit(1, limit, block, &self.archive, password, &mut reader);
        let (mut at, mut result) = (files.start, Ok(()));
        let ended = decoder.for_each_entries(&mut |file, stream| {
            let sum = self.sums.get(at).copied().flatten();
            at += 1;
            if !whole || !file.has_stream {
                return Ok(whole);
            }
            let most = self.settings.ingest.cap_entry_bytes;
            let read = io::copy(&mut Checked::new(stream, file.size, sum).take(most), &mut io::sink());
            result = read.map(drop).map_err(|error| Trouble::of(&error));
            Ok(false)
        });
        ended.map_err(block::trouble).and(result)
    }

    /// Visits the files of a block; what could not be reached is told with the reason.
    fn visit_block(&self, block: usize, files: Range<usize>, visit: &mut Visit<'_, '_>) -> Result<(), crate::Error> {
        let packed = self.packed(block);
        let mut next = files.start;
        let mut failed = None;
        let reason = match self.password(block, &files) {
            Ok(password) => {
                let mut reader = self.source.reader();
                let limit = block::memory_kb(&self.archive, block);
                let decoder = BlockDecoder::new_with_memory_limit(1, limit, block, &self.archive, password, &mut reader);
                let ended = decoder.for_each_entries(&mut |file, stream| {
                    let sum = self.sums.get(next).copied().flatten();
                    next += 1;
                    let mut stream = Guarded(stream);
                    let entry = self.entry(file, packed, &mut visit.ordinals);
                    let mut content = Checked::new(&mut stream, entry.size, sum);
                    if let Err(error) = visit.tell(entry, &mut content) {
                        failed = Some(error);
                        return Ok(false);
                    }
                    // What comes after it in the block lies behind what was not read of it.
                    Ok(visit.left > 0 && content.pass_over(self.settings.ingest.cap_entry_bytes))
                });
                match ended {
                    Err(error) => block::trouble(error),
                    Ok(_) => Trouble::new(Code::ContainerDamaged, "an entry before it in its block cannot be unpacked"),
                }
            }
            Err(trouble) => trouble,
        };
        if let Some(error) = failed {
            return Err(error);
        }
        for file in self.archive.files.get(next..files.end).unwrap_or_default() {
            let entry = self.entry(file, packed, &mut visit.ordinals);
            if file.has_stream {
                visit.tell(entry, &mut block::Refused(&reason))?;
            } else {
                visit.tell(entry, &mut io::empty())?;
            }
        }
        Ok(())
    }
}

/// A visit of the whole archive.
struct Visit<'a, 'v> {
    visitor: &'a mut Visitor<'v>,
    ordinals: Ordinals,
    /// Entries that may still be told.
    left: u64,
}

impl Visit<'_, '_> {
    fn tell(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), crate::Error> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        (self.visitor)(entry, content)
    }
}

impl Container for SevenZip {
    fn name(&self) -> &'static str {
        "7z"
    }

    fn told(&self) -> Option<u64> {
        Some(self.archive.files.len() as u64)
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        let left = self.settings.ingest.cap_entries;
        let mut visit = Visit { visitor, ordinals: Ordinals::default(), left };
        let mut visited = 0;
        for block in 0..self.archive.blocks.len() {
            let files = self.files_of(block);
            // Files without content stand before the first block, between two, and behind the last.
            self.visit_empty(visited..files.start, &mut visit)?;
            if visit.left == 0 {
                return Ok(None);
            }
            visited = visited.max(files.end);
            self.visit_block(block, files, &mut visit)?;
        }
        self.visit_empty(visited..self.archive.files.len(), &mut visit)?;
        Ok(None)
    }
}

impl SevenZip {
    fn visit_empty(&self, files: Range<usize>, visit: &mut Visit<'_, '_>) -> Result<(), crate::Error> {
        for file in self.archive.files.get(files).unwrap_or_default() {
            let entry = self.entry(file, None, &mut visit.ordinals);
            let missing = Trouble::new(Code::ContainerDamaged, "no block of the archive has its content");
            if file.has_stream && file.size > 0 {
                visit.tell(entry, &mut block::Refused(&missing))?;
            } else {
                visit.tell(entry, &mut io::empty())?;
            }
        }
        Ok(())
    }
}
