//! tar: v7, ustar, GNU and PAX (POSIX.1-2001), plain or inside a compressed stream. Read from the first byte to the last: a tar has no
//! directory. Formats: POSIX.1-2017 "pax", tar(5) of libarchive, the manual of GNU tar.
//!
//! What is damaged is passed over up to the next sound header; nothing an archive says is allocated before it is there.

mod header;
mod pax;
mod sparse;

use super::{Container, Damage, Entry, Format, Guarded, Ordinals, Trouble, Visitor, guard};
use crate::evidence::Source;
use config::Settings;
use header::{BLOCK_BYTES, Block};
use model::item::FileTimes;
use model::{Code, FileKind};
use pax::Extensions;
use sparse::Sparse;
use std::io::{self, Read};

/// This format's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// Largest extended header, long name or long link that is read.
const EXTENSION_BYTES_MAX: u64 = 256 << 10;

/// Makes a fresh stream over the tar's bytes.
type Reopen = Box<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

struct Tar {
    name: &'static str,
    reopen: Reopen,
    cap_entries: u64,
}

/// A header with the magic word, or an old (v7) one whose checksum is right.
pub(super) fn recognize(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk().copied().map(Block) else { return false };
    block.has_magic() || block.0[0] != 0 && block.is_sound()
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

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        let stream = match (self.reopen)() {
            Ok(stream) => stream,
            Err(error) => return Ok(Some(Trouble::of(&error))),
        };
        let mut blocks = Blocks { inner: Guarded(stream), position: 0, peeked: None, ended: false, odd: None };
        let mut ordinals = Ordinals::default();
        let mut count = 0;
        loop {
            let member = match guard(|| blocks.next_member()) {
                Some(Ok(Some(member))) => member,
                Some(Ok(None)) => return Ok(blocks.odd),
                Some(Err(error)) => return Ok(Some(at_entry(count, Trouble::of(&error)))),
                None => return Ok(Some(at_entry(count, Trouble::new(Code::ContainerDamaged, "decoder gave up")))),
            };
            if count >= self.cap_entries {
                return Ok(Some(Trouble::new(Code::CapEntries, format!("more than {} entries", self.cap_entries))));
            }
            count += 1;
            let Member { mut entry, stored, sparse } = member;
            entry.ordinal = ordinals.next(&entry.path);
            if entry.kind.is_none() && stored > 0 {
                blocks.note(Code::ContainerDamaged, format!("directory {count} has {stored} bytes of data"));
            }
            let mut data = Data { blocks: &mut blocks, left: stored };
            match sparse {
                Some(map) => visitor(entry, &mut Sparse::new(&mut data, map))?,
                None => visitor(entry, &mut data)?,
            }
            let left = data.left;
            if let Err(error) = blocks.skip(left, stored) {
                return Ok(Some(at_entry(count, Trouble::of(&error))));
            }
        }
    }
}

/// Where in the archive a trouble ended the reading.
fn at_entry(count: u64, trouble: Trouble) -> Trouble {
    Trouble::new(trouble.code, format!("after {count} entries: {}", trouble.detail))
}

/// One entry and what of it is stored.
struct Member {
    entry: Entry,
    /// Bytes of data in the archive.
    stored: u64,
    /// Where they lie in the file, if it has holes.
    sparse: Option<sparse::Map>,
}

/// The archive, block by block.
struct Blocks {
    inner: Guarded<Box<dyn Read + Send>>,
    /// Bytes read.
    position: u64,
    /// A block that was looked at and belongs to what comes next, and how much of it was read as data.
    peeked: Option<(Block, usize)>,
    /// Whether an empty block, as archives end with, came after the last entry.
    ended: bool,
    /// The first thing that was wrong and did not end the reading.
    odd: Option<Trouble>,
}

impl Blocks {
    fn note(&mut self, code: Code, detail: String) {
        self.odd.get_or_insert(Trouble::new(code, detail));
    }

    /// The next block; `None` at the end. An incomplete last one is the end too, and a trouble unless it is empty.
    fn block(&mut self) -> io::Result<Option<Block>> {
        if let Some((block, _)) = self.peeked.take() {
            return Ok(Some(block));
        }
        let mut block = [0; BLOCK_BYTES];
        let (filled, error) = crate::read::fill(&mut self.inner, &mut block);
        self.position = self.position.saturating_add(filled as u64);
        match error {
            Some(error) => Err(error),
            None if filled == BLOCK_BYTES => Ok(Some(Block(block))),
            None if block.iter().all(|byte| *byte == 0) => Ok(None),
            None => {
                let at = self.position - filled as u64;
                Err(Damage::error(Code::Truncated, &format!("block at byte {at} ends after {filled} bytes")))
            }
        }
    }

    /// The next sound header, behind the zeros that end an archive: what was appended is part of the evidence too.
    fn header(&mut self) -> io::Result<Option<Block>> {
        let mut passed = 0u64;
        let mut began = 0;
        while let Some(block) = self.block()? {
            let zeros = block.0.iter().all(|byte| *byte == 0);
            self.ended |= zeros;
            if !zeros && block.is_sound() && block.size().is_some() {
                if passed > 0 {
                    self.note(Code::ContainerDamaged, format!("{passed} blocks from byte {began} are no header: passed over"));
                }
                self.ended = false;
                return Ok(Some(block));
            }
            if passed == 0 {
                began = self.position - BLOCK_BYTES as u64;
            }
            passed += u64::from(!zeros);
        }
        if passed > 0 {
            self.note(Code::ContainerDamaged, format!("{passed} blocks from byte {began} to the end are no header"));
        }
        Ok(None)
    }

    /// The next entry: its header, with the extended headers before it.
    fn next_member(&mut self) -> io::Result<Option<Member>> {
        let (mut extensions, mut name, mut link) = (Extensions::default(), None, None);
        let mut described = false;
        while let Some(block) = self.header()? {
            let size = block.size().unwrap_or(0);
            match block.type_flag() {
                // Global headers describe the archive (`git archive` puts its commit there): no entry of it.
                b'g' => self.skip(size, size)?,
                b'x' | b'X' => extensions = self.extension(size)?.map_or(extensions, |bytes| Extensions::parse(&bytes)),
                b'L' => name = self.extension(size)?.or(name),
                b'K' => link = self.extension(size)?.or(link),
                _ => return self.member(&block, &extensions, name, link).map(Some),
            }
            described |= block.type_flag() != b'g';
        }
        if !self.ended {
            self.note(Code::Truncated, "no empty block at its end: entries may be missing".to_owned());
        }
        if described {
            return Err(Damage::error(Code::Truncated, "an extended header describes an entry that is not there"));
        }
        Ok(None)
    }

    /// The data of an extended header; `None` if there is more than is read.
    fn extension(&mut self, size: u64) -> io::Result<Option<Vec<u8>>> {
        if size > EXTENSION_BYTES_MAX {
            self.note(Code::CapValue, format!("extended header of {size} bytes at byte {}: not read", self.position));
            return self.skip(size, size).map(|()| None);
        }
        let mut bytes = Vec::new();
        let mut data = Data { blocks: self, left: size };
        data.read_to_end(&mut bytes)?;
        let left = data.left;
        self.skip(left, size)?;
        Ok(Some(bytes))
    }

    fn member(
        &mut self,
        block: &Block,
        extensions: &Extensions,
        name: Option<Vec<u8>>,
        link: Option<Vec<u8>>,
    ) -> io::Result<Member> {
        if let Some(wrong) = &extensions.wrong {
            let at = self.position;
            self.note(Code::ContainerDamaged, format!("extended header before byte {at}: {wrong}"));
        }
        let told = extensions.size.or(block.size()).unwrap_or(0);
        let path = extensions.path.clone().or(name.map(header::until_zero)).unwrap_or_else(|| block.path());
        let mut kind = block.kind(&path);
        // A size in the header of a folder, link or device can be a hint without data (POSIX): what follows tells.
        let stored = if kind == Some(FileKind::File) || told == 0 || !self.header_follows()? { told } else { 0 };
        if kind == Some(FileKind::Hardlink) && stored > 0 {
            kind = Some(FileKind::File);
        }
        let link_target = extensions.link_path.clone().or(link.map(header::until_zero)).or_else(|| block.link());
        let times = block.times();
        let mut entry = Entry {
            path: if kind.is_none() { header::without_slash(path) } else { path },
            ordinal: 0,
            kind,
            size: stored,
            packed: None,
            mode: block.mode(),
            owner: extensions.owner(block.owner()),
            times: FileTimes {
                modified: extensions.modified.or(times.modified),
                accessed: extensions.accessed.or(times.accessed),
                changed: extensions.changed.or(times.changed),
                created: extensions.created,
                local: false,
            },
            link_target,
            deleted: false,
        };
        let sparse = if block.type_flag() == b'S' { Some(self.old_sparse(block)?) } else { extensions.sparse() };
        if let Some(map) = &sparse {
            entry.size = map.real_size;
        }
        Ok(Member { entry, stored, sparse })
    }

    /// Whether the next block is a header or zeros, or there is none.
    fn header_follows(&mut self) -> io::Result<bool> {
        let block = self.block()?;
        let follows = block.as_ref().is_none_or(|block| block.is_sound() || block.0.iter().all(|byte| *byte == 0));
        self.peeked = block.map(|block| (block, 0));
        Ok(follows)
    }

    /// The map of an old GNU sparse entry: four extents in the header, more in the blocks behind it.
    fn old_sparse(&mut self, block: &Block) -> io::Result<sparse::Map> {
        let mut extents = block.extents();
        let mut more = block.has_more_extents();
        while more {
            let Some(next) = self.block()? else {
                return Err(Damage::error(Code::Truncated, "sparse map ends too early"));
            };
            extents.extend(next.more_extents());
            more = next.0[504] != 0;
            if extents.len() > sparse::EXTENTS_MAX {
                return Err(Damage::error(Code::ContainerDamaged, "sparse map with too many extents"));
            }
        }
        Ok(sparse::Map::known(block.real_size().unwrap_or(0), extents))
    }

    /// Passes over what is left of `size` bytes of data, and the padding behind them.
    fn skip(&mut self, left: u64, size: u64) -> io::Result<()> {
        let padding = (BLOCK_BYTES as u64 - size % BLOCK_BYTES as u64) % BLOCK_BYTES as u64;
        let mut data = Data { blocks: self, left };
        let mut buffer = [0; 16 << 10];
        while data.left > 0 {
            if data.read(&mut buffer)? == 0 {
                return Err(Damage::error(Code::Truncated, "archive ends in the data of an entry"));
            }
        }
        // The padding of the last entry may be missing.
        data.left = padding;
        while data.left > 0 && data.read(&mut buffer)? > 0 {}
        Ok(())
    }
}

/// The data of one entry.
struct Data<'a> {
    blocks: &'a mut Blocks,
    left: u64,
}

impl Read for Data<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(wanted) = buffer.get_mut(..most).filter(|wanted| !wanted.is_empty()) else { return Ok(0) };
        let count = match self.blocks.peeked.take() {
            // A block that was looked at was data after all.
            Some((block, at)) => {
                let count = wanted.len().min(BLOCK_BYTES - at);
                wanted[..count].copy_from_slice(&block.0[at..at + count]);
                if at + count < BLOCK_BYTES {
                    self.blocks.peeked = Some((block, at + count));
                }
                count
            }
            None => {
                let count = self.blocks.inner.read(wanted)?;
                self.blocks.position = self.blocks.position.saturating_add(count as u64);
                count
            }
        };
        self.left -= count as u64;
        Ok(count)
    }
}
