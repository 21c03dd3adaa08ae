//! Files that appear whole: written under another name, renamed when everything is there.

use crate::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What an export writes.
pub struct Output {
    path: PathBuf,
    files: Vec<(PathBuf, PathBuf)>,
    folder: bool,
}

/// One file on its way.
pub struct Sheet {
    writer: BufWriter<File>,
    path: PathBuf,
}

impl Sheet {
    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.writer.write_all(bytes).map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Appends a value as JSON, keys in the order they were put.
    pub fn json(&mut self, value: &serde_json::Value) -> Result<(), Error> {
        let error = |source: serde_json::Error| Error::Io { path: self.path.clone(), source: source.into() };
        serde_json::to_writer(&mut self.writer, value).map_err(error)
    }

    /// Ends the file: on the disk, still under its other name.
    pub fn end(mut self) -> Result<(), Error> {
        let error = |source| Error::Io { path: self.path.clone(), source };
        self.writer.flush().map_err(error)?;
        self.writer.get_ref().sync_data().map_err(error)
    }
}

impl Output {
    /// Output to a path.
    pub fn new(path: &Path) -> Output {
        Output { path: path.to_owned(), files: Vec::new(), folder: false }
    }

    /// The one file of the format.
    pub fn single(&mut self) -> Result<Sheet, Error> {
        let path = self.path.clone();
        self.begin(path)
    }

    /// The same name with another ending, beside the one file.
    pub fn beside(&mut self, ending: &str) -> Result<Sheet, Error> {
        let path = self.path.with_extension(ending);
        self.begin(path)
    }

    /// A file in the folder of a format that has several.
    pub fn member(&mut self, name: &str) -> Result<Sheet, Error> {
        if !self.folder {
            std::fs::create_dir_all(&self.path).map_err(|source| Error::Io { path: self.path.clone(), source })?;
            self.folder = true;
        }
        let path = self.path.join(name);
        self.begin(path)
    }

    fn begin(&mut self, path: PathBuf) -> Result<Sheet, Error> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let file = File::create(&part).map_err(|source| Error::Io { path: part.clone(), source })?;
        self.files.push((part.clone(), path));
        Ok(Sheet { writer: BufWriter::with_capacity(1 << 18, file), path: part })
    }

    /// Gives every file its name; what they are.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, Error> {
        let mut written = Vec::new();
        for (part, path) in std::mem::take(&mut self.files) {
            std::fs::rename(&part, &path).map_err(|source| Error::Io { path: path.clone(), source })?;
            written.push(path);
        }
        Ok(written)
    }
}

impl Drop for Output {
    /// An export that failed leaves nothing half-made.
    fn drop(&mut self) {
        for (part, _) in &self.files {
            let _gone_or_never_made = std::fs::remove_file(part);
        }
    }
}
