//! EROFS, as Android's system partitions and containers have it: files as they are, with their last block beside their inode, in chunks, or packed
//! with LZ4 (compact and full indexes). Format: Linux, `fs/erofs/erofs_fs.h` and `Documentation/filesystems/erofs.rst`. Nothing is ever deleted in
//! one. Files packed otherwise (LZMA, DEFLATE, Zstandard, fragments, tails packed inline) are told, one by one, when they are read.

use super::super::fields::{byte, damaged, exact, length, slice, u16le, u32le, u64le};
use super::super::sink::{Found, Sink};
use super::super::stream::{Coding, Content, Run};
use super::erofs_index;
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::Trouble;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use std::collections::HashSet;
use std::io;

/// This kind's line.
pub const KIND: Kind = Kind { name: "EROFS", recognize: |head| u32le(head, 1024) == MAGIC, open };

const MAGIC: u32 = 0xe0f5_e1e2;
/// Bytes of an inode's slot, and of an entry of a folder.
const SLOT: u64 = 32;
const ENTRY: usize = 12;
/// How an inode's content lies.
const PLAIN: u16 = 0;
const FULL: u16 = 1;
const INLINE: u16 = 2;
const COMPACT: u16 = 3;
const CHUNKED: u16 = 4;
/// In a chunked file's format: bits of the chunk's size beyond a block, and that its entries have eight bytes.
const CHUNK_BITS: u32 = 0x1f;
const CHUNK_INDEXES: u32 = 0x20;
/// A chunk that is a hole.
const HOLE: u32 = u32::MAX;
/// Deepest folder, and most bytes of one.
const DEPTH_MAX: usize = 1024;
const FOLDER_BYTES_MAX: u64 = 256 << 20;
/// Most runs of a file.
const RUNS_MAX: u64 = 16 << 20;
/// Longest target of a link.
const LINK_BYTES_MAX: u64 = 4096;

/// An opened volume.
struct Erofs {
    volume: Source,
    /// Bytes of a block.
    block: u64,
    /// First byte of the inodes.
    inodes: u64,
    root: u64,
    built: FileTime,
    /// Whether packed data stand at the end of their blocks.
    padded: bool,
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let head = exact(volume, 1024, 128).map_err(|error| Trouble::of(&error))?;
    let bits = byte(&head, 12);
    if !(9..=16).contains(&bits) {
        return Err(Trouble::new(Code::ContainerDamaged, format!("blocks of 2^{bits} bytes")));
    }
    let incompatible = u32le(&head, 80);
    if u16le(&head, 86) > 0 {
        return Err(Trouble::new(Code::Unsupported, "an EROFS volume whose files lie on other devices"));
    }
    Ok(Box::new(Erofs {
        volume: volume.clone(),
        block: 1 << bits,
        inodes: u64::from(u32le(&head, 40)) << bits,
        root: u16le(&head, 14).into(),
        built: FileTime { seconds: u64le(&head, 24).cast_signed(), nanos: u32le(&head, 32) % 1_000_000_000 },
        padded: incompatible & 1 != 0,
    }))
}

/// An inode.
struct Inode {
    layout: u16,
    /// What stands for the place of its content: a block, a format.
    place: u32,
    /// First byte behind it and its attributes.
    end: u64,
    size: u64,
    found: Found,
}

/// The kind that a mode tells.
fn kind_of(mode: u32) -> Option<FileKind> {
    match mode >> 12 {
        4 => None,
        10 => Some(FileKind::Symlink),
        1 => Some(FileKind::Fifo),
        12 => Some(FileKind::Socket),
        2 => Some(FileKind::CharDevice),
        6 => Some(FileKind::BlockDevice),
        _ => Some(FileKind::File),
    }
}

impl Erofs {
    fn inode(&self, number: u64) -> io::Result<Inode> {
        let at = number.checked_mul(SLOT).and_then(|at| at.checked_add(self.inodes)).ok_or_else(|| damaged("no such inode"))?;
        let head = exact(&self.volume, at, 32)?;
        let format = u16le(&head, 0);
        let extended = format & 1 != 0;
        let head = if extended { exact(&self.volume, at, 64)? } else { head };
        let mode = u32::from(u16le(&head, 4));
        let attributes = match u64::from(u16le(&head, 2)) {
            0 => 0,
            count => 12 + (count - 1) * 4,
        };
        let (size, owner, modified) = if extended {
            let time = FileTime { seconds: u64le(&head, 32).cast_signed(), nanos: u32le(&head, 40) % 1_000_000_000 };
            (u64le(&head, 8), (u32le(&head, 24), u32le(&head, 28)), time)
        } else {
            // A short inode has no time of its own: the system shows when the volume was made.
            (u32le(&head, 8).into(), (u16le(&head, 24).into(), u16le(&head, 26).into()), self.built)
        };
        let times = FileTimes { modified: Some(modified), ..FileTimes::default() };
        let found = Found { kind: kind_of(mode), size, mode: Some(mode), owner: Some(owner), times, ..Found::default() };
        let end = at.saturating_add(if extended { 64 } else { 32 }).saturating_add(attributes);
        Ok(Inode { layout: format >> 1 & 7, place: u32le(&head, 16), end, size, found })
    }

    fn content_of(&self, inode: &Inode) -> io::Result<Content> {
        if inode.size == 0 {
            return Ok(Content::inline(Vec::new()));
        }
        let start = u64::from(inode.place).saturating_mul(self.block);
        match inode.layout {
            PLAIN => Ok(Content::plain(vec![Run { at: Some(start), bytes: inode.size }], inode.size)),
            INLINE => {
                let tail = (inode.size - 1) % self.block + 1;
                let before = inode.size - tail;
                if inode.end % self.block + tail > self.block {
                    return Err(damaged("the last block of a file does not fit beside its inode"));
                }
                let runs = [Run { at: Some(start), bytes: before }, Run { at: Some(inode.end), bytes: tail }];
                Ok(Content::plain(runs.into_iter().filter(|run| run.bytes > 0).collect(), inode.size))
            }
            CHUNKED => self.chunks(inode),
            FULL | COMPACT => {
                let extents =
                    erofs_index::read(&self.volume, inode.end, inode.size, self.block, inode.layout == COMPACT, self.padded)?;
                let runs = extents.iter().map(|extent| Run { at: Some(extent.at), bytes: extent.stored }).collect();
                Ok(Content { runs, size: inode.size, valid: inode.size, coding: Coding::Erofs(extents.into()) })
            }
            other => Err(damaged(&format!("content laid out in way {other}"))),
        }
    }

    fn chunks(&self, inode: &Inode) -> io::Result<Content> {
        let width = if inode.place & CHUNK_INDEXES != 0 { 8 } else { 4 };
        let chunk = self.block.checked_shl(inode.place & CHUNK_BITS).filter(|chunk| *chunk > 0);
        let chunk = chunk.ok_or_else(|| damaged("chunks of no size"))?;
        let count = inode.size.div_ceil(chunk);
        if count > RUNS_MAX {
            return Err(damaged("more chunks than a file has"));
        }
        let map = exact(&self.volume, inode.end.next_multiple_of(width), length(count * width))?;
        let runs = map.chunks_exact(length(width)).map(|entry| {
            let block = u32le(entry, if width == 8 { 4 } else { 0 });
            Run { at: (block != HOLE).then(|| u64::from(block).saturating_mul(self.block)), bytes: chunk }
        });
        Ok(Content::plain(runs.collect(), inode.size))
    }

    /// The names of a folder: number of the inode and name.
    fn names(&self, inode: &Inode) -> io::Result<Vec<(u64, Vec<u8>)>> {
        if inode.size > FOLDER_BYTES_MAX {
            return Err(damaged(&format!("a folder of {} bytes", inode.size)));
        }
        let content = self.content_of(inode)?.source(&self.volume);
        let bytes = exact(&content, 0, length(inode.size))?;
        let mut names = Vec::new();
        for block in bytes.chunks(length(self.block)) {
            let first = usize::from(u16le(block, 8));
            let count = first / ENTRY;
            if first % ENTRY != 0 || count == 0 || first > block.len() {
                return Err(damaged("a block of a folder begins with no entry"));
            }
            let begins = |at: usize| usize::from(u16le(block, at * ENTRY + 8));
            for at in 0..count {
                let end = if at + 1 < count { begins(at + 1) } else { block.len() };
                let name = slice(block, begins(at), end.saturating_sub(begins(at))).split(|byte| *byte == 0).next();
                let name = name.unwrap_or_default();
                if name != b"." && name != b".." {
                    names.push((u64le(block, at * ENTRY), name.to_vec()));
                }
            }
        }
        Ok(names)
    }

    /// Takes the entries of a folder; those that are folders themselves are given back.
    fn folder(&self, number: u64, path: &[u8], sink: &mut Sink<'_>) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let mut below = Vec::new();
        for (inner, name) in self.names(&self.inode(number)?)? {
            let Some(path) = sink.path(path, &name) else { continue };
            let inode = match self.inode(inner) {
                Ok(inode) => inode,
                Err(error) => {
                    sink.trouble(at(&path, &error));
                    continue;
                }
            };
            let mut found = Found { path: path.clone(), ..inode.found.clone() };
            let content = self.content_of(&inode);
            match (found.kind, content) {
                (Some(FileKind::File), content) => sink.push(found, inner, content.as_ref().ok()),
                (Some(FileKind::Symlink), Ok(content)) if content.size <= LINK_BYTES_MAX => {
                    found.link_target = exact(&content.source(&self.volume), 0, length(inode.size)).ok();
                    sink.push(found, inner, None);
                }
                (kind, _) => {
                    sink.push(found, inner, None);
                    if kind.is_none() {
                        below.push((inner, path));
                    }
                }
            }
        }
        Ok(below)
    }
}

/// A trouble with the path in front.
fn at(path: &[u8], error: &io::Error) -> Trouble {
    super::super::fields::at_place(&model::text::escape_bytes(path), error)
}

impl FileSystem for Erofs {
    fn list(&self, sink: &mut Sink<'_>) {
        let (mut open, mut seen) = (vec![(self.root, Vec::new(), 0)], HashSet::from([self.root]));
        while let Some((number, path, depth)) = open.pop() {
            if sink.is_full() {
                return;
            }
            match self.folder(number, &path, sink) {
                Ok(below) => {
                    // A folder has one name: what leads to one again is a loop.
                    let below = below.into_iter().filter(|(inner, _)| seen.insert(*inner) && depth < DEPTH_MAX);
                    open.extend(below.map(|(inner, path)| (inner, path, depth + 1)));
                }
                Err(error) => sink.trouble(at(&path, &error)),
            }
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        let inode = self.inode(key).map_err(|error| Trouble::of(&error))?;
        self.content_of(&inode).map_err(|error| Trouble::of(&error))
    }
}
