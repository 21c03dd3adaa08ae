//! What lies beside an entry of a container: an encrypted database needs its log to be decrypted with it.

use super::Container;
use crate::evidence::{Neighbours, Source};
use crate::spool::Spool;
use std::io;
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
        let path = [&self.folder[..], name].concat();
        let entries = self.container.list().unwrap_or_default();
        let index = entries.iter().position(|entry| entry.path == path && entry.ordinal == 0).ok_or(io::ErrorKind::NotFound)?;
        if let Some(source) = self.container.source(index) {
            return Ok(source);
        }
        let mut found = None;
        let trouble = self.container.read(index, &mut |stream| {
            let mut spool = Spool::new(&[], stream);
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

    fn listed(&self) -> bool {
        true
    }
}
