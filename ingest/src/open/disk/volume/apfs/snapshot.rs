//! Snapshots of a volume: below `$snapshot/` and the snapshot's name stands what of it is in no newer state, neither in the live one nor in a
//! newer snapshot. Format: Apple, "Apple File System Reference" (2020), "Snapshot Metadata".
//!
//! **Cost.** Nodes of trees are never changed in place: those that a newer state has too are passed by, so that a snapshot costs what
//! was changed since. A file whose bytes lie where a newer state's do is an entry without content that names that one.

use super::super::super::fields::{at_place, damaged, slice, u16le, u64le};
use super::super::super::sink::{Found, Sink};
use super::super::super::stream::{Coding, Content};
use super::super::apfs_tree::{Blocks, Tree, order};
use super::{ATTRIBUTE, Apfs, Attributes, DEPTH_MAX, INODE, Inode, NAME, ROOT, View, shown, time};
use crate::open::Trouble;
use model::item::FileTimes;
use model::{Code, FileKind, Id};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;

/// The type of a snapshot's record.
const METADATA: u64 = 1;
/// Snapshots of a volume that are listed.
const SNAPSHOTS_MAX: usize = 4096;

/// A snapshot as its volume tells of it.
pub(super) struct Snapshot {
    /// Its name.
    pub name: Vec<u8>,
    /// When it was taken, nanoseconds since 1970.
    pub taken: u64,
    /// The last transaction that it holds.
    pub transaction: u64,
    /// The block of its superblock.
    superblock: u64,
}

impl Snapshot {
    fn of(key: &[u8], value: &[u8]) -> Snapshot {
        let name = slice(value, 50, usize::from(u16le(value, 48)));
        let name = shown(name.strip_suffix(b"\0").unwrap_or(name)).to_vec();
        Snapshot { name, taken: u64le(value, 16), transaction: order(key).0, superblock: u64le(value, 8) }
    }

    /// The root of its tree.
    pub(super) fn root(&self, blocks: &Blocks) -> io::Result<u64> {
        let own = blocks.object(self.superblock)?;
        if slice(&own, 32, 4) != b"APSB" {
            return Err(damaged(&format!("block {} is no superblock of a volume", self.superblock)));
        }
        Ok(u64le(&own, 136))
    }
}

/// The snapshots of a volume by the block of its metadata tree, the newest first; and what is wrong with the list.
pub(super) fn snapshots(blocks: &Blocks, root: u64, told: u64) -> (Vec<Snapshot>, Option<Trouble>) {
    let mut found = Vec::new();
    let tree = Tree { blocks, map: None, newest: u64::MAX, root };
    let error = tree.each((0, 0), &mut |key, value| {
        if order(key).1 == METADATA {
            found.push(Snapshot::of(key, value));
        }
        found.len() < SNAPSHOTS_MAX
    });
    found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.transaction));
    let trouble = match error {
        Some(error) => Some(at_place("snapshots", &error)),
        None if found.len() as u64 != told => {
            let detail = format!("the volume tells of {told} snapshots, {} are listed", found.len());
            Some(Trouble::new(Code::ContainerDamaged, detail))
        }
        None => None,
    };
    (found, trouble)
}

/// What newer states hold.
pub(super) struct Newer {
    /// Nodes of trees, by their block.
    pub nodes: HashSet<u64>,
    /// States of files of snapshots.
    states: HashSet<Id>,
    /// Where bytes stand under a path already.
    contents: HashMap<Id, Vec<u8>>,
}

impl Newer {
    /// Nothing but nodes.
    pub(super) fn new(nodes: HashSet<u64>) -> Newer {
        Newer { nodes, states: HashSet::new(), contents: HashMap::new() }
    }
}

/// Paths of folders of one state.
type Paths = HashMap<u64, Option<Vec<u8>>>;

/// A file or folder in one state.
struct Object {
    inode: Inode,
    attributes: Attributes,
    content: Result<Content, Trouble>,
}

impl Object {
    /// Its names: the folder and the name in it.
    fn names(&self) -> Vec<(u64, Box<[u8]>)> {
        let own = (self.inode.parent, Box::from(&*self.inode.name));
        if self.attributes.names.is_empty() { vec![own] } else { self.attributes.names.clone() }
    }

    /// What tells its bytes; `None` for what has none.
    fn bytes(&self) -> Option<Id> {
        let content = self.content.as_ref().ok().filter(|content| content.size > 0)?;
        let (coding, inline) = match &content.coding {
            Coding::Plain => (0, &[][..]),
            Coding::Inline(bytes) => (1, &bytes[..]),
            Coding::Lznt1(_) => (2, &[][..]),
            Coding::Decmpfs(..) => (3, &[][..]),
            Coding::Erofs(_) => (4, &[][..]),
        };
        let runs = content.runs.iter().flat_map(|run| [run.at.unwrap_or(u64::MAX), run.bytes]);
        let numbers: Vec<u8> = [coding, content.size].into_iter().chain(runs).flat_map(u64::to_le_bytes).collect();
        Some(Id::derive("content", &[inline, &numbers]))
    }

    /// What tells one state of an object from another. Times of reading are left out: they change with every look at it.
    fn state(&self, object: u64) -> Id {
        let Found { mode, owner, times, size, .. } = &self.inode.found;
        let told = format!("{object} {mode:?} {owner:?} {:?} {:?} {size} {}", times.created, times.modified, self.inode.flags);
        let mut bytes = told.into_bytes();
        for (folder, name) in self.names() {
            bytes.extend(folder.to_le_bytes());
            bytes.extend_from_slice(&name);
            bytes.push(0);
        }
        let link = self.attributes.link.as_deref().unwrap_or_default();
        let content = self.bytes().map(|id| id.to_string()).unwrap_or_default();
        Id::derive("state", &[&bytes, link, content.as_bytes()])
    }
}

impl Apfs {
    /// Lists the snapshots of a volume, the newest first.
    pub(super) fn list_snapshots(&self, volume: usize, newer: &mut Newer, sink: &mut Sink<'_>) {
        let live = self.views.iter().position(|view| view.volume == volume);
        let Some((live, base)) = live.and_then(|live| Some((live, self.views.get(live)?))) else { return };
        for (at, view) in self.views.iter().enumerate().filter(|(at, view)| view.volume == volume && *at != live) {
            let times = FileTimes { created: time(view.taken), ..FileTimes::default() };
            sink.push(Found { path: view.folder.clone(), times, ..Found::default() }, 0, None);
            if let Err(trouble) = self.list_snapshot((at, view), base, newer, sink) {
                let place = model::text::escape_bytes(&view.folder);
                sink.trouble(Trouble::new(trouble.code, format!("{place}: {}", trouble.detail)));
            }
        }
    }

    fn list_snapshot(&self, own: (usize, &View), base: &View, newer: &mut Newer, sink: &mut Sink<'_>) -> Result<(), Trouble> {
        let (tree, live) = (self.tree(own.1)?, self.tree(base)?);
        let mut changed = BTreeSet::new();
        let nodes = &mut newer.nodes;
        let error = tree.each_in(&mut |block| nodes.insert(block), &mut |key, value| {
            let (object, kind) = order(key);
            match kind {
                INODE | ATTRIBUTE => changed.insert(object),
                NAME => changed.insert(u64le(value, 0)),
                _ => false,
            };
        });
        let mut paths = Paths::from([(ROOT, Some(own.1.folder.clone()))]);
        let mut base_paths = Paths::from([(ROOT, Some(base.folder.clone()))]);
        for object in changed.into_iter().filter(|object| *object > ROOT) {
            if sink.is_full() {
                break;
            }
            match self.object(&tree, object) {
                Ok(found) => {
                    let before = self.object(&live, object).ok().map(|found| (found, &live, &mut base_paths));
                    self.list_changed((own.0, object), (found, &tree, &mut paths), before, newer, sink);
                }
                Err(trouble) => sink.trouble(trouble),
            }
        }
        error.map_or(Ok(()), |error| Err(Trouble::of(&error)))
    }

    fn object(&self, tree: &Tree<'_>, object: u64) -> Result<Object, Trouble> {
        let (inode, attributes) = self.inode(tree, object)?;
        let content = self.content_of(tree, &inode, &attributes);
        Ok(Object { inode, attributes, content })
    }

    /// An object of a snapshot, unless a newer state has it as it is.
    fn list_changed(
        &self,
        (view, object): (usize, u64),
        (found, tree, paths): (Object, &Tree<'_>, &mut Paths),
        live: Option<(Object, &Tree<'_>, &mut Paths)>,
        newer: &mut Newer,
        sink: &mut Sink<'_>,
    ) {
        let state = found.state(object);
        if live.as_ref().is_some_and(|(live, ..)| live.state(object) == state) || !newer.states.insert(state) {
            return;
        }
        let is_file = found.inode.found.kind == Some(FileKind::File);
        let bytes = found.bytes().filter(|_| is_file);
        let mut same = bytes.and_then(|bytes| newer.contents.get(&bytes).cloned());
        if let Some((live, tree, paths)) = live.filter(|(live, ..)| same.is_none() && bytes.is_some() && live.bytes() == bytes) {
            same = live.names().first().and_then(|(folder, name)| self.path_in(tree, *folder, name, paths, sink));
        }
        for (folder, name) in found.names() {
            let Some(path) = self.path_in(tree, folder, &name, paths, sink) else { continue };
            let content = found.content.as_ref().ok().filter(|_| is_file);
            let entry = Found { path: path.clone(), link_target: found.attributes.link.clone(), ..found.inode.found.clone() };
            match &same {
                // Nothing is read twice: the entry says where its bytes are.
                Some(same) => {
                    let link_target = Some(same.clone());
                    sink.push(Found { kind: Some(FileKind::Hardlink), link_target, ..entry }, 0, None);
                }
                None => sink.push(entry, super::key(view, object), content),
            }
            if let (Some(bytes), None) = (bytes, &same) {
                newer.contents.entry(bytes).or_insert(path);
            }
        }
    }

    /// The path of a name in a folder, by the names that inodes keep.
    fn path_in(&self, tree: &Tree<'_>, folder: u64, name: &[u8], paths: &mut Paths, sink: &mut Sink<'_>) -> Option<Vec<u8>> {
        let mut above = |object: u64| {
            let (inode, _) = self.inode(tree, object).ok()?;
            (!inode.name.is_empty()).then(|| (inode.parent, Box::from(&*inode.name)))
        };
        let folder = super::path_of(folder, &mut above, paths, sink, DEPTH_MAX);
        let root = paths.get(&ROOT).cloned().flatten().unwrap_or_default();
        sink.path(&folder.unwrap_or_else(|| [&root[..], b"/$orphan"].concat()), name)
    }
}
