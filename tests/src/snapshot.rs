//! The state of an evidence tree, to its last timestamp: what a run must not change.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everything the file system tells of one entry, and its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Inode, mode, links, owner, group, size, then modified, changed and accessed time (seconds and nanoseconds each).
    pub facts: [i128; 12],
    /// SHA-256 of a file's content.
    pub content: Option<Vec<u8>>,
}

/// Takes the state of a tree. Access times are taken before the contents are read.
pub fn take(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut state = BTreeMap::new();
    facts(root, &mut state);
    for (path, entry) in &mut state {
        if entry.facts[1] & 0o170_000 == 0o100_000 {
            entry.content = Some(content(path));
        }
    }
    state
}

fn facts(path: &Path, state: &mut BTreeMap<PathBuf, Entry>) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    let told = [
        meta.ino().into(),
        meta.mode().into(),
        meta.nlink().into(),
        meta.uid().into(),
        meta.gid().into(),
        meta.size().into(),
        meta.mtime().into(),
        meta.mtime_nsec().into(),
        meta.ctime().into(),
        meta.ctime_nsec().into(),
        meta.atime().into(),
        meta.atime_nsec().into(),
    ];
    state.insert(path.to_owned(), Entry { facts: told, content: None });
    if meta.is_dir() {
        for name in names(path) {
            facts(&path.join(name), state);
        }
    }
}

/// The names in a folder, listed without touching its access time where that is allowed.
fn names(path: &Path) -> Vec<std::ffi::OsString> {
    use rustix::fs::{Mode, OFlags};
    use std::os::unix::ffi::OsStrExt;
    let open = |flags| rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | flags, Mode::empty());
    let folder = open(OFlags::NOATIME).or_else(|_| open(OFlags::empty())).unwrap();
    let names = rustix::fs::Dir::new(folder).unwrap().map(|entry| entry.unwrap().file_name().to_bytes().to_vec());
    let names = names.filter(|name| ![b".".as_slice(), b".."].contains(&&name[..]));
    names.map(|name| std::ffi::OsStr::from_bytes(&name).to_owned()).collect()
}

/// Digest of a file, read without touching its access time where that is allowed.
fn content(path: &Path) -> Vec<u8> {
    use rustix::fs::{Mode, OFlags};
    use sha2::Digest;
    let open = |flags| rustix::fs::open(path, OFlags::RDONLY | flags, Mode::empty());
    let file = open(OFlags::NOATIME).or_else(|_| open(OFlags::empty())).unwrap();
    let mut hasher = sha2::Sha256::new();
    std::io::copy(&mut std::fs::File::from(file), &mut hasher).unwrap();
    hasher.finalize().to_vec()
}

/// What differs between two states: first path and why; `None` if nothing.
pub fn difference(before: &BTreeMap<PathBuf, Entry>, after: &BTreeMap<PathBuf, Entry>) -> Option<String> {
    for (path, entry) in before {
        match after.get(path) {
            None => return Some(format!("{} is gone", path.display())),
            Some(now) if now != entry => return Some(format!("{}: {entry:?} became {now:?}", path.display())),
            Some(_) => {}
        }
    }
    let new = after.keys().find(|path| !before.contains_key(*path));
    new.map(|path| format!("{} is new", path.display()))
}
