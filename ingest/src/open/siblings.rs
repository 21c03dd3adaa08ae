//! What lies beside an entry of a container: the other parts of an image, the log that an encrypted database is decrypted with.

use super::Container;
use crate::evidence::{Neighbours, Source, above};
use crate::spool::Spool;
use std::io::{self, Read};
use std::sync::Arc;

/// The other entries in the folder of one.
pub struct Siblings {
    container: Arc<dyn Container>,
    /// Path of the folder in the container: empty, or with a slash at its end.
    folder: Vec<u8>,
    name: Vec<u8>,
}

impl Siblings {
    /// The source of the entry at a path, which knows what lies beside it.
    pub fn among(source: Source, container: &Arc<dyn Container>, path: &[u8]) -> Source {
        let cut = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (folder, name) = path.split_at_checked(cut).unwrap_or((&[], path));
        let siblings = Siblings { container: container.clone(), folder: folder.to_vec(), name: name.to_vec() };
        Source::Among(Arc::new(source), Arc::new(siblings))
    }
}

impl Neighbours for Siblings {
    fn name(&self) -> &[u8] {
        &self.name
    }

    fn open(&self, name: &[u8]) -> io::Result<Source> {
        self.at([&self.folder[..], name].concat(), u64::MAX)
    }

    fn begin(&self, name: &[u8], bytes: u64) -> io::Result<Source> {
        self.at([&self.folder[..], name].concat(), bytes)
    }

    fn above(&self, folder: &[u8], name: &[u8]) -> io::Result<Source> {
        let above = above(&self.folder, folder).ok_or(io::ErrorKind::NotFound)?;
        self.at([above, name].concat(), u64::MAX)
    }

    fn listed(&self) -> bool {
        true
    }
}

impl Siblings {
    /// Opens the entry at a path of the container; of one that has to be unpacked so many bytes at most.
    fn at(&self, path: Vec<u8>, bytes: u64) -> io::Result<Source> {
        let entries = self.container.list().unwrap_or_default();
        let index = entries.iter().position(|entry| entry.path == path && entry.ordinal == 0).ok_or(io::ErrorKind::NotFound)?;
        if let Some(source) = self.container.source(index) {
            return Ok(source);
        }
        let mut found = None;
        let trouble = self.container.read(index, &mut |stream| {
            let mut stream = stream.take(bytes);
            let mut spool = Spool::new(&[], &mut stream);
            // Damage inside is told of where the entry itself is read; what is there may do.
            drop(io::copy(&mut spool, &mut io::sink()));
            found = Some(spool.finish()?);
            Ok(())
        });
        match (trouble, found) {
            (Ok(None), Some(source)) => Ok(source),
            (Ok(Some(trouble)), _) => Err(io::Error::other(trouble.detail)),
            (Err(error), _) => Err(io::Error::other(error)),
            (Ok(None), None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
