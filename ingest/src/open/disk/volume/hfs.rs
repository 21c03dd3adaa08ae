//! HFS+ and HFSX, also inside an HFS wrapper. Format: Apple, Technical Note TN1150. The journal is not replayed; deleted entries leave
//! nothing behind that could be told from free space.

use super::super::fields::{byte, damaged, exact, length, slice, u16be, u32be, u64be};
use super::super::pieces::Window;
use super::super::sink::{Found, Sink};
use super::super::stream::{Content, Run};
use super::hfs_packed;
use super::hfs_tree::{Tree, utf16be};
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::Trouble;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use std::collections::HashMap;
use std::io;

/// This kind's line.
pub const KIND: Kind = Kind { name: "hfsplus", recognize, open };

const HEADER: u64 = 1024;
/// Seconds between 1904 and 1970.
const EPOCH: i64 = 2_082_844_800;
/// The root folder, and its parent.
const ROOT: u32 = 2;
/// Types of catalog records.
const FOLDER: u16 = 1;
const FILE: u16 = 2;
/// Deepest folder; extents beyond the first eight of a fork that are known.
const DEPTH_MAX: usize = 1024;
const EXTENTS_MAX: usize = 4 << 20;
/// Set in a file's flags: its content is packed (`decmpfs`).
const PACKED: u8 = 0x20;
/// The forks of a file.
const RESOURCE: u8 = 0xff;

fn recognize(head: &[u8]) -> bool {
    let own = slice(head, HEADER as usize, 512);
    let plain = own.starts_with(b"H+\0\x04") || own.starts_with(b"HX\0\x05");
    plain && u32be(own, 40) >= 512 && u32be(own, 40).is_power_of_two() || own.starts_with(b"BD") && slice(own, 124, 2) == b"H+"
}

struct Hfs {
    volume: Source,
    block: u64,
    catalog: Source,
    /// Files and folders that the volume header counts.
    told: (u32, u32),
    attributes: Option<Source>,
    /// Extents that do not fit into a catalog record, by file and fork: first block of the file, then start and count.
    overflow: HashMap<(u32, u8), Vec<(u32, u32, u32)>>,
    /// Where the attribute that tells of packed content stands in the attributes file.
    packed: HashMap<u32, u64>,
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let failed = |error: io::Error| Trouble::of(&error);
    let mut volume = volume.clone();
    let mut own = exact(&volume, HEADER, 512).map_err(failed)?;
    if own.starts_with(b"BD") {
        // An HFS volume around one of HFS+.
        let start = u64::from(u16be(&own, 28)) * 512 + u64::from(u16be(&own, 126)) * u64::from(u32be(&own, 20));
        volume = Window::source(&volume, start, u64::from(u16be(&own, 128)) * u64::from(u32be(&own, 20)));
        own = exact(&volume, HEADER, 512).map_err(failed)?;
    }
    let block = u64::from(u32be(&own, 40));
    if !recognize(&[&[0; HEADER as usize], &own[..]].concat()) || block > 1 << 30 {
        return Err(Trouble::new(Code::ContainerDamaged, format!("blocks of {block} bytes")));
    }
    let mut hfs = Hfs {
        volume,
        block,
        catalog: Source::Memory([].into()),
        told: (u32be(&own, 32), u32be(&own, 36)),
        attributes: None,
        overflow: HashMap::new(),
        packed: HashMap::new(),
    };
    let extents = hfs.fork(slice(&own, 192, 80), 3, 0).source(&hfs.volume);
    if extents.size() > 0 {
        hfs.overflow = overflow(&extents).map_err(failed)?;
    }
    hfs.catalog = hfs.fork(slice(&own, 272, 80), 4, 0).source(&hfs.volume);
    let attributes = hfs.fork(slice(&own, 352, 80), 8, 0);
    if attributes.size > 0 {
        let source = attributes.source(&hfs.volume);
        // Without attributes packed files cannot be read; all others can.
        hfs.packed = packed(&source).unwrap_or_default();
        hfs.attributes = Some(source);
    }
    Ok(Box::new(hfs))
}

/// All records of the extents file.
fn overflow(extents: &Source) -> io::Result<HashMap<(u32, u8), Vec<(u32, u32, u32)>>> {
    let mut found: HashMap<(u32, u8), Vec<(u32, u32, u32)>> = HashMap::new();
    let mut count = 0;
    let trouble = Tree::open(extents)?.each(&mut |key, data, _| {
        let (file, fork, mut first) = (u32be(key, 4), byte(key, 2), u32be(key, 8));
        for extent in data.chunks_exact(8).take(8).filter(|extent| u32be(extent, 4) > 0) {
            count += 1;
            if count < EXTENTS_MAX {
                found.entry((file, fork)).or_default().push((first, u32be(extent, 0), u32be(extent, 4)));
            }
            first = first.wrapping_add(u32be(extent, 4));
        }
    });
    found.values_mut().for_each(|extents| extents.sort_unstable());
    trouble.map_or(Ok(found), Err)
}

/// Where the attribute `com.apple.decmpfs` of each file stands.
fn packed(attributes: &Source) -> io::Result<HashMap<u32, u64>> {
    let mut found = HashMap::new();
    let trouble = Tree::open(attributes)?.each(&mut |key, data, at| {
        let name = utf16be(slice(key, 14, usize::from(u16be(key, 12)) * 2));
        if name == b"com.apple.decmpfs" && u32be(data, 0) == 0x10 {
            found.insert(u32be(key, 4), at);
        }
    });
    trouble.map_or(Ok(found), Err)
}

fn time(seconds: u32) -> Option<FileTime> {
    (seconds != 0).then(|| FileTime { seconds: i64::from(seconds) - EPOCH, nanos: 0 })
}

/// A folder's place in the tree.
struct Folder {
    parent: u32,
    name: Vec<u8>,
}

impl Hfs {
    /// The content of a fork.
    fn fork(&self, fork: &[u8], file: u32, kind: u8) -> Content {
        let size = u64be(fork, 0);
        let own = slice(fork, 16, 64).chunks_exact(8).map(|extent| (u32be(extent, 0), u32be(extent, 4)));
        let own = own.take_while(|(_, count)| *count > 0);
        let (mut runs, mut blocks) = (Vec::new(), 0u64);
        let mut add = |start: u32, count: u32| {
            runs.push(Run { at: Some(u64::from(start) * self.block), bytes: u64::from(count) * self.block });
            blocks += u64::from(count);
        };
        own.for_each(|(start, count)| add(start, count));
        for (_, start, count) in self.overflow.get(&(file, kind)).into_iter().flatten() {
            add(*start, *count);
        }
        if blocks.saturating_mul(self.block) < size {
            runs.push(Run::lost(size - blocks * self.block));
        }
        Content::plain(runs, size)
    }

    /// The content of a file by its catalog record; `resource`: its other fork.
    fn of_record(&self, data: &[u8], resource: bool) -> Result<Content, Trouble> {
        let file = u32be(data, 8);
        if resource {
            return Ok(self.fork(slice(data, 168, 80), file, RESOURCE));
        }
        if byte(data, 41) & PACKED == 0 {
            return Ok(self.fork(slice(data, 88, 80), file, 0));
        }
        let gone = || Trouble::new(Code::ContainerDamaged, "marked as packed, but nothing tells how");
        let (at, attributes) = self.packed.get(&file).copied().zip(self.attributes.as_ref()).ok_or_else(gone)?;
        let header = exact(attributes, at, 16).map_err(|error| Trouble::of(&error))?;
        let bytes = length(u32be(&header, 12)).min(hfs_packed::INLINE_MAX);
        let value = exact(attributes, at + 16, bytes).map_err(|error| Trouble::of(&error))?;
        hfs_packed::content(&value, self.fork(slice(data, 168, 80), file, RESOURCE), &self.volume)
    }

    fn found(data: &[u8], path: Vec<u8>) -> Found {
        let times = FileTimes {
            created: time(u32be(data, 12)),
            modified: time(u32be(data, 16)),
            changed: time(u32be(data, 20)),
            accessed: time(u32be(data, 24)),
            local: false,
        };
        let mode = u32::from(u16be(data, 42));
        let owner = (u32be(data, 32), u32be(data, 36));
        Found { path, times, mode: (mode != 0).then_some(mode), owner: (mode != 0).then_some(owner), ..Found::default() }
    }

    /// The entries of a file: its content, and its resource fork where it has one.
    fn file(&self, data: &[u8], path: Vec<u8>, at: u64, sink: &mut Sink<'_>) {
        let mut found = Hfs::found(data, path.clone());
        // A second name of a file that lies in a folder of the system's own.
        if slice(data, 48, 8) == b"hlnkhfs+" {
            found.kind = Some(FileKind::Hardlink);
            found.link_target = Some([HARD_LINKS, format!("/iNode{}", u32be(data, 44)).as_bytes()].concat());
            return sink.push(found, 0, None);
        }
        found.kind = Some(match found.mode.unwrap_or(0) >> 12 {
            10 => FileKind::Symlink,
            1 => FileKind::Fifo,
            12 => FileKind::Socket,
            2 => FileKind::CharDevice,
            6 => FileKind::BlockDevice,
            _ => FileKind::File,
        });
        let content = self.of_record(data, false);
        if found.kind == Some(FileKind::Symlink) {
            let target = content.as_ref().ok().map(|content| content.clone().source(&self.volume));
            found.link_target = target.and_then(|target| exact(&target, 0, length(target.size().min(4096))).ok());
        }
        found.size = u64be(data, 88);
        sink.push(found.clone(), at << 1, content.as_ref().ok());
        let packed = byte(data, 41) & PACKED != 0;
        if u64be(data, 168) > 0 && !packed {
            let content = self.fork(slice(data, 168, 80), u32be(data, 8), RESOURCE);
            let path = [&path[..], b":rsrc"].concat();
            sink.push(Found { path, kind: Some(FileKind::File), link_target: None, ..found }, at << 1 | 1, Some(&content));
        }
    }
}

/// The folder that holds files with several names.
const HARD_LINKS: &[u8] = b"\0\0\0\0HFS+ Private Data";

/// Paths of folders, kept.
struct Paths {
    folders: HashMap<u32, Folder>,
    known: HashMap<u32, Option<Vec<u8>>>,
}

impl Paths {
    /// The path of a folder; `None` where nothing leads to it.
    fn of(&mut self, folder: u32, sink: &mut Sink<'_>) -> Option<Vec<u8>> {
        let (mut chain, mut next) = (Vec::new(), folder);
        let mut base = loop {
            if next == ROOT {
                break Some(Vec::new());
            }
            if let Some(known) = self.known.get(&next) {
                break known.clone();
            }
            let Some(found) = self.folders.get(&next).filter(|_| chain.len() < DEPTH_MAX) else { break None };
            chain.push((next, found));
            next = found.parent;
        };
        let mut known = Vec::new();
        for (number, found) in chain.into_iter().rev() {
            base = base.and_then(|base| sink.path(&base, &found.name));
            known.push((number, base.clone()));
        }
        self.known.extend(known);
        base
    }
}

/// A name: a slash in it is shown as a colon, as the system does.
fn name_of(key: &[u8]) -> Vec<u8> {
    let mut name = utf16be(slice(key, 8, usize::from(u16be(key, 6)) * 2));
    name.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b':');
    name
}

impl FileSystem for Hfs {
    fn list(&self, sink: &mut Sink<'_>) {
        let tree = match Tree::open(&self.catalog) {
            Ok(tree) => tree,
            Err(error) => return sink.trouble(super::super::fields::at_place("catalog", &error)),
        };
        let mut paths = Paths { folders: HashMap::new(), known: HashMap::new() };
        tree.each(&mut |key, data, _| {
            if u16be(data, 0) == FOLDER && u32be(data, 8) != ROOT {
                paths.folders.insert(u32be(data, 8), Folder { parent: u32be(key, 2), name: name_of(key) });
            }
        });
        let (mut files, mut folders) = (0, 0);
        let trouble = tree.each(&mut |key, data, at| {
            let kind = u16be(data, 0);
            files += u32::from(kind == FILE);
            folders += u32::from(kind == FOLDER && u32be(data, 8) != ROOT);
            if !matches!(kind, FOLDER | FILE) || kind == FOLDER && u32be(data, 8) == ROOT || sink.is_full() {
                return;
            }
            let folder = paths.of(u32be(key, 2), sink).unwrap_or_else(|| b"$orphan".to_vec());
            let Some(path) = sink.path(&folder, &name_of(key)) else { return };
            match kind {
                FOLDER => sink.push(Hfs::found(data, path), 0, None),
                _ => self.file(data, path, at, sink),
            }
        });
        if let Some(error) = trouble {
            sink.trouble(super::super::fields::at_place("catalog", &error));
        }
        if files < self.told.0 || folders < self.told.1 {
            let (more, most) = self.told;
            let detail = format!("the volume counts {more} files and {most} folders, its catalog tells of {files} and {folders}");
            sink.trouble(Trouble::new(Code::ContainerDamaged, detail));
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        let data = exact(&self.catalog, key >> 1, 248).map_err(|error| Trouble::of(&error))?;
        if u16be(&data, 0) != FILE {
            return Err(Trouble::of(&damaged("no record of a file")));
        }
        self.of_record(&data, key & 1 == 1)
    }
}
