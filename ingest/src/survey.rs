//! A look at what lies in a folder, before any of it is an exhibit: what `haul inventory` reads.

use crate::evidence::{Folder, Source};
use crate::open::{self, HEAD_BYTES, Keys};
use crate::read::fill;
use crate::tasks::List;
use crate::walk;
use config::Settings;
use model::{Code, FileKind, Id};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Something in a folder.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Path from the root, byte for byte.
    pub path: Vec<u8>,
    /// Size of a file, bytes; `None` for what is neither file nor folder.
    pub size: Option<u64>,
    /// Whether it is a folder.
    pub folder: bool,
}

/// Everything below a folder, in path order. What cannot be listed is left out: the run of its exhibit tells of it.
///
/// # Errors
/// The folder itself cannot be opened.
pub fn survey(root: &Path) -> io::Result<Vec<Listed>> {
    let root = Folder::root(root)?;
    root.open_folder(b"")?;
    let mut listed = Vec::new();
    let walked = walk::walk(&root, Id::default(), &mut |entry| {
        listed.push(Listed { path: entry.path.clone(), size: None, folder: true });
        Ok(())
    });
    let listing = walked.map_err(io::Error::other)?;
    listed.extend((0..listing.count()).map(|at| {
        let size = (listing.kind(at) == Some(FileKind::File)).then(|| listing.size(at));
        Listed { path: listing.path(at).to_vec(), size, folder: false }
    }));
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(listed)
}

/// What a file is.
#[derive(Clone, Debug)]
pub struct Guess {
    /// Name of the container that it opens as.
    pub container: Option<String>,
    /// Why it does not open, although it begins as a container.
    pub note: Option<String>,
    /// Its first bytes.
    pub head: Vec<u8>,
}

/// What a file is, by its content.
///
/// # Errors
/// It cannot be read.
pub fn container_of(path: &Path) -> io::Result<Guess> {
    let (folder, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    let source = Folder::root(folder)?.open_file(name.as_bytes()).and_then(Source::file)?;
    let mut head = vec![0; HEAD_BYTES];
    let (filled, error) = fill(&mut source.reader(), &mut head);
    if let Some(error) = error {
        return Err(error);
    }
    head.truncate(filled);
    if !open::is_container(name.as_bytes(), &head) {
        return Ok(Guess { container: None, note: None, head });
    }
    Ok(match open::open(name.as_bytes(), &head, &source, &Settings::default(), Keys::default()) {
        Ok(container) => Guess { container: Some(container.name().to_owned()), note: None, head },
        Err(trouble) => {
            let container = if trouble.code == Code::Encrypted { "encrypted" } else { "damaged" };
            Guess { container: Some(container.to_owned()), note: Some(trouble.detail), head }
        }
    })
}
