//! Lists a directory tree: every entry with its metadata, nothing opened but directories.

use crate::Error;
use crate::evidence::{Facts, Folder};
use crate::open::Entry;
use crate::tasks::List;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind, Problem, Stage};
use std::collections::HashMap;
use std::io;

/// Folders that stay open while what is below them is walked: deeper ones are then opened by name, not by a path from the root.
const OPEN_FOLDERS: usize = 16;
/// Stands for a time that the file system does not have.
const NO_TIME: u32 = u32::MAX;

/// Everything of a tree but its directories, in path order. An entry takes some 100 bytes and its path.
#[derive(Default)]
pub struct Listing {
    rows: Vec<Row>,
    /// Paths, one after the other.
    paths: Vec<u8>,
    /// Targets of links, by the place of the link's path.
    targets: HashMap<usize, Vec<u8>>,
    /// Folders and entries that could not be listed.
    pub problems: Vec<Problem>,
    /// Directories, the root left out.
    pub directories: u64,
}

/// One entry, packed: a million of them lie in memory together.
struct Row {
    path_start: usize,
    path_bytes: u32,
    kind: FileKind,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    /// Modified, accessed, changed, created.
    seconds: [i64; 4],
    nanos: [u32; 4],
}

impl Listing {
    /// The listing of an exhibit that is one file.
    pub fn single(name: &[u8], facts: &Facts) -> Listing {
        let mut listing = Listing::default();
        listing.add(name, facts, None);
        listing
    }

    /// Bytes of all entries, as the file system tells.
    pub fn bytes(&self) -> u64 {
        self.rows.iter().map(|row| row.size).fold(0, u64::saturating_add)
    }

    /// One entry.
    pub fn entry(&self, at: usize) -> Entry {
        let row = &self.rows[at];
        let time = |which: usize| {
            let time = FileTime { seconds: row.seconds[which], nanos: row.nanos[which] };
            (time.nanos != NO_TIME).then_some(time)
        };
        let times = FileTimes { modified: time(0), accessed: time(1), changed: time(2), created: time(3), local: false };
        let facts = Facts { kind: Some(row.kind), size: row.size, mode: row.mode, owner: row.owner, times };
        entry(self.path(at), &facts, self.targets.get(&row.path_start).cloned())
    }

    /// Leaves out entries whose path is not wanted.
    pub fn retain(&mut self, wanted: &mut dyn FnMut(&[u8]) -> bool) {
        let Listing { rows, paths, .. } = self;
        rows.retain(|row| wanted(&paths[row.path_start..row.path_start + row.path_bytes as usize]));
    }

    fn add(&mut self, path: &[u8], facts: &Facts, target: Option<Vec<u8>>) {
        let path_start = self.paths.len();
        self.paths.extend_from_slice(path);
        if let Some(target) = target {
            self.targets.insert(path_start, target);
        }
        let FileTimes { modified, accessed, changed, created, .. } = facts.times;
        let times = [modified, accessed, changed, created];
        self.rows.push(Row {
            path_start,
            path_bytes: path.len() as u32,
            kind: facts.kind.unwrap_or(FileKind::File),
            mode: facts.mode,
            owner: facts.owner,
            size: facts.size,
            seconds: times.map(|time| time.map_or(0, |time| time.seconds)),
            nanos: times.map(|time| time.map_or(NO_TIME, |time| time.nanos)),
        });
    }
}

impl List for Listing {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn path(&self, at: usize) -> &[u8] {
        let row = &self.rows[at];
        &self.paths[row.path_start..row.path_start + row.path_bytes as usize]
    }

    fn kind(&self, at: usize) -> Option<FileKind> {
        Some(self.rows[at].kind)
    }

    fn size(&self, at: usize) -> u64 {
        self.rows[at].size
    }

    fn ordinal(&self, _at: usize) -> u32 {
        0
    }

    fn deleted(&self, _at: usize) -> bool {
        false
    }
}

/// Walks the tree below `root`. Links are listed, never followed; file systems mounted below are walked too. Each directory is told of
/// as it is met.
pub fn walk(root: &Folder, exhibit: model::Id, directory: &mut dyn FnMut(&Entry) -> Result<(), Error>) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    let mut waiting = vec![Vec::new()];
    let mut open: Vec<(Vec<u8>, Folder)> = Vec::new();
    while let Some(path) = waiting.pop() {
        let mut below = Vec::new();
        let opened = descend(root, &mut open, &path);
        let listed = opened.and_then(|folder| {
            let listed = listing.list(&folder, &path, exhibit, &mut below);
            if open.len() == OPEN_FOLDERS {
                open.remove(0);
            }
            open.push((path.clone(), folder));
            listed
        });
        if let Err(error) = listed {
            listing.problems.push(unreadable(exhibit, &path, "cannot be listed", &error));
        }
        listing.directories += below.len() as u64;
        for folder in below {
            directory(&folder)?;
            waiting.push(folder.path);
        }
    }
    // The order of a listing is the file system's whim.
    let paths = &listing.paths;
    let path = |row: &Row| &paths[row.path_start..row.path_start + row.path_bytes as usize];
    listing.rows.sort_unstable_by(|a, b| path(a).cmp(path(b)));
    listing.problems.sort_by(|a, b| a.detail.cmp(&b.detail));
    Ok(listing)
}

/// Opens a folder from the nearest open one above it.
fn descend(root: &Folder, open: &mut Vec<(Vec<u8>, Folder)>, path: &[u8]) -> io::Result<Folder> {
    let below = |outer: &[u8]| match path.strip_prefix(outer) {
        Some(rest) if outer.is_empty() => Some(rest),
        Some(rest) => rest.strip_prefix(b"/"),
        None => None,
    };
    while open.last().is_some_and(|(outer, _)| below(outer).is_none()) {
        open.pop();
    }
    match open.last() {
        Some((outer, folder)) => folder.open_folder(below(outer).unwrap_or(path)),
        None => root.open_folder(path),
    }
}

impl Listing {
    /// Lists one folder; an error ends the folder, what was listed before it stays.
    fn list(&mut self, opened: &Folder, folder: &[u8], exhibit: model::Id, below: &mut Vec<Entry>) -> io::Result<()> {
        opened.entries(&mut |name| {
            let path = if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() };
            match opened.facts_in(name) {
                Ok(facts) if facts.kind.is_none() => below.push(entry(&path, &facts, None)),
                Ok(facts) => {
                    let link = facts.kind == Some(FileKind::Symlink);
                    // The link itself is recorded even where its target cannot be read.
                    let target = link.then(|| opened.link_target(name)).transpose().unwrap_or(None).flatten();
                    self.add(&path, &facts, target);
                }
                Err(error) => {
                    let what = "was listed, but nothing can be told of it";
                    self.problems.push(unreadable(exhibit, &path, what, &error));
                }
            }
        })
    }
}

fn unreadable(exhibit: model::Id, path: &[u8], what: &str, error: &io::Error) -> Problem {
    let shown = if path.is_empty() { b"." } else { path };
    let detail = format!("{}: {what}: {}", model::text::escape_bytes(shown), error.kind());
    let gone = error.kind() == io::ErrorKind::NotFound;
    let code = if gone { Code::ChangedDuringRead } else { Code::Unreadable };
    Problem { exhibit, item: None, stage: Stage::Ingest, code, detail }
}

/// An entry from its facts.
fn entry(path: &[u8], facts: &Facts, link_target: Option<Vec<u8>>) -> Entry {
    Entry {
        path: path.to_vec(),
        ordinal: 0,
        kind: facts.kind,
        size: facts.size,
        packed: None,
        mode: Some(facts.mode),
        owner: Some(facts.owner),
        times: facts.times,
        link_target,
        deleted: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn rows_give_back_what_was_listed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/c")).unwrap();
        fs::write(folder.path().join("b/c/late"), "12345").unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        fs::write(folder.path().join("b.txt"), "1").unwrap();
        let root = Folder::root(folder.path()).unwrap();
        let mut directories = Vec::new();
        let listing = walk(&root, model::Id::default(), &mut |directory| {
            directories.push(directory.path.clone());
            Ok(())
        });
        let listing = listing.unwrap();
        assert_eq!(directories, [b"b".to_vec(), b"b/c".to_vec()]);
        let paths: Vec<_> = (0..listing.count()).map(|at| listing.path(at)).collect();
        assert_eq!(paths, [b"a".as_slice(), b"b.txt", b"b/c/late"]);
        let entry = listing.entry(2);
        let facts = crate::evidence::facts(&folder.path().join("b/c/late")).unwrap();
        assert_eq!((entry.size, entry.mode, entry.owner), (5, Some(facts.mode), Some(facts.owner)));
        assert_eq!((entry.times, listing.bytes()), (facts.times, 6));
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Row>() <= 96, "{} bytes", size_of::<Row>());
    }
}
