//! APFS: every volume of a container, at its newest checkpoint; entries stand below the volume's name.
//! Format: Apple, "Apple File System Reference" (2020). What snapshots hold besides stands below `$snapshot/`; encrypted volumes are
//! locked; deleted entries leave nothing behind that could be told from free space.

mod snapshot;

use super::super::fields::{byte, exact, length, slice, u16le, u32le, u64le};
use super::super::sink::{Found, Sink};
use super::super::stream::{Content, Run};
use super::apfs_tree::{Blocks, Map, Tree, order};
use super::hfs_packed;
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::Trouble;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use snapshot::Newer;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io;

/// This kind's line.
pub const KIND: Kind = Kind { name: "apfs", recognize, open };

/// Types of records.
const INODE: u64 = 3;
const ATTRIBUTE: u64 = 4;
const SIBLING: u64 = 5;
const EXTENT: u64 = 8;
const NAME: u64 = 9;
/// The root folder.
const ROOT: u64 = 2;
/// Volumes of a container; blocks of checkpoints that are looked at; deepest folder; runs of one file.
const VOLUMES_MAX: usize = 100;
const CHECKPOINT_BLOCKS_MAX: u32 = 100_000;
const DEPTH_MAX: usize = 1024;
const RUNS_MAX: usize = 4 << 20;
/// Bytes of an attribute that is read.
const ATTRIBUTE_BYTES_MAX: u64 = 64 << 10;
/// In a volume's flags: it is not encrypted. In its features: names are hashed.
const UNENCRYPTED: u64 = 1;
const HASHED: u64 = 1 | 8;
/// In a file's flags: packed.
const PACKED: u32 = 0x20;
/// Extended fields of a file: its name, its size.
const FIELD_NAME: u8 = 4;
const FIELD_SIZE: u8 = 8;
/// The key of an encrypted volume, and where the number of the state stands in keys: object ids count up from 1 and never get so far.
const LOCKED: u64 = u64::MAX;
const VIEW_SHIFT: u32 = 48;
const VIEWS_MAX: usize = 1 << 15;

fn recognize(head: &[u8]) -> bool {
    let block = u32le(head, 36);
    slice(head, 32, 4) == b"NXSB" && (4096..=65_536).contains(&block) && block.is_power_of_two()
}

struct Apfs {
    volume: Source,
    blocks: Blocks,
    volumes: Vec<Volume>,
    views: Vec<View>,
    troubles: Vec<Trouble>,
}

struct Volume {
    name: Vec<u8>,
    /// `None` for an encrypted one.
    map: Option<Map>,
    root: u64,
    hashed: bool,
    /// The block of the tree of its snapshots, and how many it tells of.
    snapshots: (u64, u64),
}

/// A state of a volume: the live one, or a snapshot.
struct View {
    volume: usize,
    /// The newest transaction that it holds.
    newest: u64,
    root: u64,
    /// The folder that its entries stand in.
    folder: Vec<u8>,
    /// When it was taken, nanoseconds since 1970; 0 for the live one.
    taken: u64,
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let failed = |error: io::Error| Trouble::of(&error);
    let first = exact(volume, 0, 4096).map_err(failed)?;
    let mut apfs = Apfs {
        volume: volume.clone(),
        blocks: Blocks::new(volume.clone(), u64::from(u32le(&first, 36))),
        volumes: Vec::new(),
        views: Vec::new(),
        troubles: Vec::new(),
    };
    let newest = apfs.newest(&first);
    let map =
        Map::open(&apfs.blocks, u64le(&newest, 160)).map_err(|error| super::super::fields::at_place("object map", &error))?;
    let count = length(u32le(&newest, 180)).min(VOLUMES_MAX);
    for object in (0..count).map(|index| u64le(&newest, 184 + index * 8)).filter(|object| *object != 0) {
        match map
            .find(&apfs.blocks, object, u64::MAX)
            .and_then(|at| apfs.blocks.object(at))
            .and_then(|own| apfs.open_volume(&own))
        {
            Ok(found) => apfs.take(found),
            Err(error) => apfs.troubles.push(super::super::fields::at_place(&format!("volume {object}"), &error)),
        }
    }
    Ok(Box::new(apfs))
}

/// Where a file's content lies, as its inode tells.
struct Inode {
    private: u64,
    /// The folder of its first name, and that name.
    parent: u64,
    name: Vec<u8>,
    size: u64,
    flags: u32,
    found: Found,
}

/// What the attributes of a file tell.
#[derive(Default)]
struct Attributes {
    link: Option<Vec<u8>>,
    packed: Option<Vec<u8>>,
    /// The resource fork: its object and its size.
    fork: Option<(u64, u64)>,
    /// A resource fork in the attribute itself.
    small_fork: Option<Vec<u8>>,
    /// The names of a file that has several: folder and name of each.
    names: Vec<(u64, Box<[u8]>)>,
}

fn time(nanos: u64) -> Option<FileTime> {
    let nanos = nanos.cast_signed();
    (nanos != 0).then(|| FileTime { seconds: nanos.div_euclid(1_000_000_000), nanos: nanos.rem_euclid(1_000_000_000) as u32 })
}

impl Apfs {
    /// The newest superblock whose checksum holds: that at the beginning is a copy of some age.
    fn newest(&self, first: &[u8]) -> Vec<u8> {
        let (count, base) = (u32le(first, 104), u64le(first, 112));
        let mut newest = (u64le(first, 16), first.to_vec());
        // The highest bit says that the area is a tree: then the copy is what there is.
        for at in (0..count.min(CHECKPOINT_BLOCKS_MAX)).filter(|_| count >> 31 == 0) {
            let Ok(found) = self.blocks.object(base.saturating_add(u64::from(at))) else { continue };
            if slice(&found, 32, 4) == b"NXSB" && u64le(&found, 16) >= newest.0 {
                newest = (u64le(&found, 16), found.to_vec());
            }
        }
        newest.1
    }

    /// Takes a volume with its states: the live one, and its snapshots, the newest first.
    fn take(&mut self, volume: Volume) {
        let at = self.volumes.len();
        let live = View { volume: at, newest: u64::MAX, root: volume.root, folder: volume.name.clone(), taken: 0 };
        self.views.push(live);
        let (root, told) = volume.snapshots;
        if volume.map.is_some() && root != 0 {
            let place = format!("volume {}: ", model::text::escape_bytes(&volume.name));
            let (found, trouble) = snapshot::snapshots(&self.blocks, root, told);
            self.troubles.extend(trouble.map(|trouble| Trouble::new(trouble.code, format!("{place}{}", trouble.detail))));
            for snapshot in found {
                let folder = [&volume.name[..], b"/$snapshot/", &snapshot.name].concat();
                match snapshot.root(&self.blocks) {
                    Ok(root) if self.views.len() < VIEWS_MAX => {
                        let (newest, taken) = (snapshot.transaction, snapshot.taken);
                        self.views.push(View { volume: at, newest, root, folder, taken });
                    }
                    Ok(_) => {
                        self.troubles.push(Trouble::new(Code::CapEntries, format!("{place}more than {VIEWS_MAX} snapshots")))
                    }
                    Err(error) => {
                        let name = model::text::escape_bytes(&snapshot.name);
                        self.troubles.push(super::super::fields::at_place(&format!("{place}snapshot {name}"), &error));
                    }
                }
            }
        }
        self.volumes.push(volume);
    }

    fn open_volume(&self, own: &[u8]) -> io::Result<Volume> {
        let name = slice(own, 704, 256).split(|byte| *byte == 0).next().unwrap_or_default();
        let mut name = if name.is_empty() { format!("volume-{}", u32le(own, 36)).into_bytes() } else { name.to_vec() };
        name = shown(&name).into_owned();
        let map = if u64le(own, 264) & UNENCRYPTED != 0 { Some(Map::open(&self.blocks, u64le(own, 128))?) } else { None };
        let (hashed, snapshots) = (u64le(own, 56) & HASHED != 0, (u64le(own, 152), u64le(own, 216)));
        Ok(Volume { name, map, root: u64le(own, 136), hashed, snapshots })
    }

    fn tree<'a>(&'a self, view: &View) -> Result<Tree<'a>, Trouble> {
        let map = self.volumes.get(view.volume).and_then(|volume| volume.map.as_ref());
        let map = map.ok_or_else(|| Trouble::new(Code::Encrypted, "FileVault password or recovery key"))?;
        Ok(Tree { blocks: &self.blocks, map: Some(map), newest: view.newest, root: view.root })
    }

    /// The runs of a stream.
    fn runs(&self, tree: &Tree<'_>, object: u64, size: u64) -> Result<Vec<Run>, Trouble> {
        let (mut runs, mut have, mut wrong): (Vec<Run>, u64, bool) = (Vec::new(), 0, false);
        let error = tree.each((object, EXTENT), &mut |key, value| {
            if order(key) != (object, EXTENT) {
                return false;
            }
            let (at, bytes, block) = (u64le(key, 8), u64le(value, 0) & (u64::MAX >> 8), u64le(value, 8));
            wrong = wrong || at < have || bytes > 1 << 61 || runs.len() > RUNS_MAX;
            if at > have {
                runs.push(Run { at: None, bytes: at - have });
            }
            have = at.saturating_add(bytes);
            runs.push(Run { at: (block != 0).then(|| block.saturating_mul(self.blocks.block)), bytes });
            !wrong && have < size
        });
        match error {
            Some(error) => Err(Trouble::of(&error)),
            None if wrong => Err(Trouble::new(Code::ContainerDamaged, "extents of a file overlap")),
            None => Ok(runs),
        }
    }

    /// The inode and the attributes of a file.
    fn inode(&self, tree: &Tree<'_>, object: u64) -> Result<(Inode, Attributes), Trouble> {
        let (mut inode, mut attributes) = (None, Attributes::default());
        let error = tree.each((object, INODE), &mut |key, value| {
            let (id, kind) = order(key);
            match kind {
                _ if id != object || kind > SIBLING => return false,
                INODE => inode = Some(inode_of(value)),
                ATTRIBUTE => attributes.take(key, value),
                SIBLING => {
                    let name = slice(value, 10, usize::from(u16le(value, 8)));
                    attributes.names.push((u64le(value, 0), shown(name.strip_suffix(b"\0").unwrap_or(name)).into()));
                }
                _ => {}
            }
            true
        });
        match (inode, error) {
            (Some(inode), _) => Ok((inode, attributes)),
            (None, Some(error)) => Err(Trouble::of(&error)),
            (None, None) => Err(Trouble::new(Code::ContainerDamaged, format!("inode {object} does not exist"))),
        }
    }

    fn content_of(&self, tree: &Tree<'_>, inode: &Inode, attributes: &Attributes) -> Result<Content, Trouble> {
        let Some(value) = attributes.packed.as_ref().filter(|_| inode.flags & PACKED != 0) else {
            return Ok(Content::plain(self.runs(tree, inode.private, inode.size)?, inode.size));
        };
        let fork = match (&attributes.small_fork, attributes.fork) {
            (Some(bytes), _) => Content::inline(bytes.clone()),
            (None, Some((object, size))) => Content::plain(self.runs(tree, object, size)?, size),
            (None, None) => Content::inline(Vec::new()),
        };
        hfs_packed::content(value, fork, &self.volume)
    }
}

fn inode_of(value: &[u8]) -> Inode {
    let mode = u32::from(u16le(value, 80));
    let times = FileTimes {
        created: time(u64le(value, 16)),
        modified: time(u64le(value, 24)),
        changed: time(u64le(value, 32)),
        accessed: time(u64le(value, 40)),
        local: false,
    };
    let kind = match mode >> 12 {
        4 => None,
        10 => Some(FileKind::Symlink),
        1 => Some(FileKind::Fifo),
        12 => Some(FileKind::Socket),
        2 => Some(FileKind::CharDevice),
        6 => Some(FileKind::BlockDevice),
        _ => Some(FileKind::File),
    };
    // Extended fields: types and lengths first, then the values, each at a multiple of eight.
    let fields = slice(value, 92, value.len());
    let count = usize::from(u16le(fields, 0));
    let (mut at, mut size, mut name) = (4 + count * 4, 0, Vec::new());
    for field in (0..count).map(|index| slice(fields, 4 + index * 4, 4)) {
        let bytes = usize::from(u16le(field, 2));
        match byte(field, 0) {
            FIELD_SIZE => size = u64le(fields, at),
            FIELD_NAME => {
                name = slice(fields, at, bytes)
                    .split(|byte| *byte == 0)
                    .next()
                    .map(|name| shown(name).into_owned())
                    .unwrap_or_default()
            }
            _ => {}
        }
        at += bytes.next_multiple_of(8);
    }
    let owner = Some((u32le(value, 72), u32le(value, 76)));
    let found = Found { kind, size, mode: Some(mode), owner, times, ..Found::default() };
    Inode { private: u64le(value, 8), parent: u64le(value, 0), name, size, flags: u32le(value, 68), found }
}

/// A name as the system shows it: a slash in it is a colon.
fn shown(name: &[u8]) -> Cow<'_, [u8]> {
    match name.contains(&b'/') {
        true => name.iter().map(|byte| if *byte == b'/' { b':' } else { *byte }).collect(),
        false => Cow::Borrowed(name),
    }
}

/// The key of an object in a state.
fn key(view: usize, object: u64) -> u64 {
    object | (view as u64) << VIEW_SHIFT
}

impl Attributes {
    fn take(&mut self, key: &[u8], value: &[u8]) {
        let name = slice(key, 10, usize::from(u16le(key, 8)).saturating_sub(1));
        let (streamed, bytes) = (u16le(value, 0) & 1 != 0, slice(value, 4, usize::from(u16le(value, 2))));
        match name {
            b"com.apple.fs.symlink" => self.link = Some(bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
            b"com.apple.decmpfs" if !streamed && bytes.len() as u64 <= ATTRIBUTE_BYTES_MAX => self.packed = Some(bytes.to_vec()),
            b"com.apple.ResourceFork" if streamed => self.fork = Some((u64le(bytes, 0), u64le(bytes, 8))),
            b"com.apple.ResourceFork" => self.small_fork = Some(bytes.to_vec()),
            _ => {}
        }
    }
}

/// Names by the object they lead to: folder and name of each.
type Names = HashMap<u64, Vec<(u64, Box<[u8]>)>>;

/// The path of a folder; `None` where nothing leads to it. `above`: the folder that an object's name stands in, and the name.
fn path_of(
    folder: u64,
    above: &mut dyn FnMut(u64) -> Option<(u64, Box<[u8]>)>,
    known: &mut HashMap<u64, Option<Vec<u8>>>,
    sink: &mut Sink<'_>,
    depth: usize,
) -> Option<Vec<u8>> {
    let (mut chain, mut next) = (Vec::new(), folder);
    let mut base = loop {
        if let Some(known) = known.get(&next) {
            break known.clone();
        }
        let Some((parent, name)) = Some(next).filter(|_| chain.len() < depth).and_then(&mut *above) else { break None };
        chain.push((next, name));
        next = parent;
    };
    for (object, name) in chain.into_iter().rev() {
        base = base.and_then(|base| sink.path(&base, &name));
        known.insert(object, base.clone());
    }
    base
}

impl Apfs {
    fn list_volume(&self, at: usize, view: &View, sink: &mut Sink<'_>) -> Result<(), Trouble> {
        let (tree, mut names, mut nodes) = (self.tree(view)?, Names::new(), HashSet::new());
        let hashed = self.volumes.get(view.volume).is_some_and(|volume| volume.hashed);
        let has_snapshots = self.views.iter().filter(|other| other.volume == view.volume).count() > 1;
        let mut enter = |block| {
            if has_snapshots {
                nodes.insert(block);
            }
            true
        };
        let first = tree.each_in(&mut enter, &mut |key, value| {
            if order(key).1 == NAME {
                let name = if hashed {
                    slice(key, 12, length(u32le(key, 8) & 0x3ff))
                } else {
                    slice(key, 10, usize::from(u16le(key, 8)))
                };
                let name = shown(name.strip_suffix(b"\0").unwrap_or(name)).into();
                names.entry(u64le(value, 0)).or_default().push((order(key).0, name));
            }
        });
        let mut known = HashMap::from([(ROOT, Some(view.folder.clone()))]);
        let second = tree.each((0, 0), &mut |key, _| {
            let (object, kind) = order(key);
            if kind == INODE && object > ROOT {
                self.entry((at, object), &tree, &names, &mut known, sink);
            }
            !sink.is_full()
        });
        drop((names, known));
        if has_snapshots {
            self.list_snapshots(view.volume, &mut Newer::new(nodes), sink);
        }
        first.or(second).map_or(Ok(()), |error| Err(Trouble::of(&error)))
    }

    /// The entries of a file or folder: one for each of its names.
    fn entry(
        &self,
        (view, object): (usize, u64),
        tree: &Tree<'_>,
        names: &Names,
        known: &mut HashMap<u64, Option<Vec<u8>>>,
        sink: &mut Sink<'_>,
    ) {
        // The system's own folder for files that are deleted while open has no name.
        let Some(own) = names.get(&object) else { return };
        let (inode, attributes) = match self.inode(tree, object) {
            Ok(found) => found,
            Err(trouble) => return sink.trouble(trouble),
        };
        let is_file = inode.found.kind == Some(FileKind::File);
        let content = is_file.then(|| self.content_of(tree, &inode, &attributes).ok()).flatten();
        let mut above = |object| names.get(&object).and_then(|names| names.first()).cloned();
        for (folder, name) in own {
            let folder = path_of(*folder, &mut above, known, sink, DEPTH_MAX).unwrap_or_else(|| b"$orphan".to_vec());
            let Some(path) = sink.path(&folder, name) else { continue };
            let found = Found { path: path.clone(), link_target: attributes.link.clone(), ..inode.found.clone() };
            sink.push(found, key(view, object), content.as_ref());
        }
    }
}

impl FileSystem for Apfs {
    fn list(&self, sink: &mut Sink<'_>) {
        self.troubles.iter().for_each(|trouble| sink.trouble(trouble.clone()));
        for (at, view) in self.views.iter().enumerate().filter(|(_, view)| view.newest == u64::MAX) {
            if self.volumes.get(view.volume).is_none_or(|volume| volume.map.is_none()) {
                let path = [&view.folder[..], b"/$volume"].concat();
                sink.push(Found { path, kind: Some(FileKind::File), ..Found::default() }, LOCKED, None);
            } else if let Err(trouble) = self.list_volume(at, view, sink) {
                let shown = model::text::escape_bytes(&view.folder);
                sink.trouble(Trouble::new(trouble.code, format!("volume {shown}: {}", trouble.detail)));
            }
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        if key == LOCKED {
            return Err(Trouble::new(Code::Encrypted, "FileVault password or recovery key"));
        }
        let view = self.views.get(length(key >> VIEW_SHIFT));
        let view = view.ok_or_else(|| Trouble::new(Code::ContainerDamaged, "no such volume"))?;
        let tree = self.tree(view)?;
        let (inode, attributes) = self.inode(&tree, key & (u64::MAX >> (64 - VIEW_SHIFT)))?;
        self.content_of(&tree, &inode, &attributes)
    }
}
