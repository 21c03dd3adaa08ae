//! Lists a directory tree: every entry with its metadata, nothing opened but directories.

use crate::evidence;
use crate::open::Entry;
use model::item::FileTimes;
use model::{Code, Problem, Stage};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
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
    for next in walkdir::WalkDir::new(root).follow_links(false).follow_root_links(false).min_depth(1) {
        let found = next.map_err(|error| (relative(root, error.path().unwrap_or(root)), reason(&error)));
        let found = found.and_then(|entry| {
            let path = relative(root, entry.path());
            let link = entry.path_is_symlink().then(|| std::fs::read_link(entry.path()));
            let facts = evidence::facts(entry.path()).map_err(|error| (path.clone(), error.kind().to_string()))?;
            Ok((path, facts, link))
        });
        match found {
            Ok((path, facts, link)) => listing.add(path, facts, link),
            Err((path, reason)) => {
                let detail = format!("{}: {reason}", model::text::escape_bytes(&path));
                listing.problems.push(Problem { exhibit, item: None, stage: Stage::Ingest, code: Code::Unreadable, detail });
            }
        }
    }
    // The order of a listing is the file system's whim.
    listing.entries.sort_by(|a, b| a.path.cmp(&b.path));
    listing.directories.sort_by(|a, b| a.path.cmp(&b.path));
    listing.problems.sort_by(|a, b| a.detail.cmp(&b.detail));
    listing
}

impl Listing {
    fn add(&mut self, path: Vec<u8>, facts: evidence::Facts, link: Option<std::io::Result<std::path::PathBuf>>) {
        let link_target = match link {
            Some(Ok(target)) => Some(target.into_os_string().into_vec()),
            // The link itself is recorded all the same; its target stays unknown.
            Some(Err(_)) | None => None,
        };
        let entry = entry(path, &facts, link_target);
        if entry.kind.is_some() { self.entries.push(entry) } else { self.directories.push(entry) }
    }
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

fn relative(root: &Path, path: &Path) -> Vec<u8> {
    path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes().to_vec()
}

/// The reason without the machine's path in it.
fn reason(error: &walkdir::Error) -> String {
    error.io_error().map_or_else(|| "listed in a circle".to_owned(), |error| error.kind().to_string())
}
