//! Content of an archive inside an archive: held in memory when small, else in a temporary file without a name, so that nothing
//! is left behind.

use crate::Error;
use crate::evidence::Source;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Largest content that is held in memory.
const MEMORY_BYTES: usize = 8 << 20;

/// Takes a stream in while somebody else reads it.
pub struct Spool<'a> {
    inner: &'a mut dyn Read,
    held: Vec<u8>,
    file: Option<File>,
}

impl<'a> Spool<'a> {
    /// A spool that begins with bytes already read.
    pub fn new(head: &[u8], inner: &'a mut dyn Read) -> Spool<'a> {
        Spool { inner, held: head.to_vec(), file: None }
    }

    fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() > MEMORY_BYTES {
            let mut file = tempfile::tempfile()?;
            file.write_all(&self.held)?;
            self.held = Vec::new();
            self.file = Some(file);
        }
        Ok(())
    }

    /// What was taken in.
    pub fn finish(self) -> Result<Source, Error> {
        match self.file {
            Some(file) => Source::file(file).map_err(Error::Temporary),
            None => Ok(Source::Memory(Arc::from(self.held))),
        }
    }
}

impl Read for Spool<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.keep(&buffer[..count])?;
        Ok(count)
    }
}
