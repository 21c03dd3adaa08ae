//! Lists a directory tree: every entry with its metadata, nothing opened but directories.

use crate::evidence;
use crate::open::Entry;
use model::item::FileTimes;
use model::{Code, FileKind, Problem, Stage};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a walk found.
pub struct Listing {
    /// Everything but directories, in path order.
    pub entries: Vec<Entry>,
    /// Directories, the root left out, in path order.
    pub directories: Vec<Entry>,
    /// Folders and entries that could not be listed.
    pub problems: Vec<Problem>,
}

/// Walks the tree below `root`. Links are listed, never followed; file systems mounted below are walked too.
pub fn walk(root: &Path, exhibit: model::Id) -> Listing {
    let mut listing = Listing { entries: Vec::new(), directories: Vec::new(), problems: Vec::new() };
    let mut waiting = vec![Vec::new()];
    while let Some(folder) = waiting.pop() {
        let below = listing.directories.len();
        if let Err(error) = listing.list(root, &folder, exhibit) {
            listing.problems.push(unreadable(exhibit, &folder, "cannot be listed", &error));
        }
        waiting.extend(listing.directories[below..].iter().map(|directory| directory.path.clone()));
    }
    // The order of a listing is the file system's whim.
    listing.entries.sort_by(|a, b| a.path.cmp(&b.path));
    listing.directories.sort_by(|a, b| a.path.cmp(&b.path));
    listing.problems.sort_by(|a, b| a.detail.cmp(&b.detail));
    listing
}

impl Listing {
    /// Lists one folder; an error ends the folder, what was listed before it stays.
    fn list(&mut self, root: &Path, folder: &[u8], exhibit: model::Id) -> io::Result<()> {
        let mut opened = evidence::open_directory(root, folder)?;
        let mut names = Vec::new();
        let mut ended = Ok(());
        for next in opened.iter() {
            match next {
                Ok(entry) if [b".".as_slice(), b".."].contains(&entry.file_name().to_bytes()) => {}
                Ok(entry) => names.push(entry.file_name().to_bytes().to_vec()),
                Err(error) => ended = Err(error.into()),
            }
        }
        for name in names {
            let name = OsStr::from_bytes(&name);
            let path = if folder.is_empty() { name.as_bytes().to_vec() } else { [folder, b"/", name.as_bytes()].concat() };
            let facts = match evidence::facts_in(&opened, Path::new(name)) {
                Ok(facts) => facts,
                Err(error) => {
                    self.problems.push(unreadable(exhibit, &path, "was listed, but nothing can be told of it", &error));
                    continue;
                }
            };
            let link = facts.kind == Some(FileKind::Symlink);
            // The link itself is recorded even where its target cannot be read.
            let target = link.then(|| evidence::link_target(&opened, Path::new(name))).transpose().unwrap_or(None).flatten();
            let entry = entry(path, &facts, target);
            if entry.kind.is_some() { self.entries.push(entry) } else { self.directories.push(entry) }
        }
        ended
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
pub fn entry(path: Vec<u8>, facts: &evidence::Facts, link_target: Option<Vec<u8>>) -> Entry {
    Entry {
        path,
        ordinal: 0,
        kind: facts.kind,
        size: facts.size,
        packed: None,
        mode: Some(facts.mode),
        owner: Some(facts.owner),
        times: FileTimes { ..facts.times },
        link_target,
        deleted: false,
    }
}
