//! The stage: bulk content under its SHA-256, so that topics carry references only.
//!
//! Ingest writes it and normalize reads it, on one machine through a folder and in a fleet through a shared folder or S3, all by
//! `object_store`. What lies under a digest is never changed; writing it twice is writing it once.
//!
//! Where both are threads of one process, small contents stay in memory ([`Stage::with_memory`]): after a crash they are read from the
//! evidence again.

mod memory;

use crate::Error;
use bytes::Bytes;
use memory::Memory;
pub use memory::SMALL_BYTES;
use model::{Digest, Id};
use object_store::path::Path as Key;
use object_store::{GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Bytes of an upload that travel together.
const PART_BYTES: usize = 8 << 20;

/// A place for staged content. Cheap to clone; shared by threads.
#[derive(Clone)]
pub struct Stage {
    store: Arc<dyn ObjectStore>,
    /// Only network stores need a runtime; a local one runs in the calling thread, which saves two thread switches an object.
    runtime: Option<Arc<tokio::runtime::Runtime>>,
    memory: Option<Arc<Memory>>,
}

impl Stage {
    /// Opens the stage at a plain path, `file:///path` or `s3://bucket/prefix`. A folder is created.
    pub fn open(url: &str, options: &BTreeMap<String, String>) -> Result<Stage, Error> {
        if let Some((scheme, _)) = url.split_once("://")
            && scheme != "file"
        {
            return Stage::open_remote(url, options);
        }
        let folder = url.strip_prefix("file://").unwrap_or(url);
        std::fs::create_dir_all(folder).map_err(|error| Error::Stage(format!("{folder}: {error}")))?;
        let store = object_store::local::LocalFileSystem::new_with_prefix(folder).map_err(failed)?;
        Ok(Stage { store: Arc::new(store), runtime: None, memory: None })
    }

    fn open_remote(url: &str, options: &BTreeMap<String, String>) -> Result<Stage, Error> {
        let parsed = url::Url::parse(url).map_err(|error| Error::Stage(format!("{url}: {error}")))?;
        // Keys belong in the environment; the settings win.
        let environment =
            std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).map(|(name, value)| (name.to_lowercase(), value));
        let options: BTreeMap<String, String> = environment.chain(options.clone()).collect();
        let (store, prefix) = object_store::parse_url_opts(&parsed, options).map_err(failed)?;
        let store = object_store::prefix::PrefixStore::new(store, prefix);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Error::Stage(error.to_string()))?;
        Ok(Stage { store: Arc::new(store), runtime: Some(Arc::new(runtime)), memory: None })
    }

    /// The same stage, with up to `cap_bytes` of small contents in memory. Only for a process that both writes and reads it, and
    /// calls [`Stage::release`] once for each content put.
    #[must_use]
    pub fn with_memory(self, cap_bytes: usize) -> Stage {
        Stage { memory: Some(Arc::new(Memory::new(cap_bytes))), ..self }
    }

    /// Says that a content that was put is not wanted any more, by one of those who wanted it.
    pub fn release(&self, digest: Digest) {
        if let Some(memory) = &self.memory {
            memory.release(digest);
        }
    }

    fn held(&self, digest: Digest) -> Option<Bytes> {
        self.memory.as_ref().and_then(|memory| memory.get(digest))
    }

    /// Stages content that is in memory.
    pub fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        if !self.memory.as_ref().is_some_and(|memory| memory.put(digest, bytes)) {
            let payload = object_store::PutPayload::from(bytes.to_vec());
            self.wait(self.store.put(&key(digest), payload)).map_err(failed)?;
        }
        crate::crash::point("stage.written");
        Ok(())
    }

    /// Begins content whose digest is known only at its end. `hint` names it until then; two uploads of one hint at the same time
    /// are not allowed.
    pub fn upload(&self, hint: Id) -> Result<Upload, Error> {
        let incoming = Key::from(format!("incoming/{hint}"));
        let parts = self.wait(self.store.put_multipart(&incoming)).map_err(failed)?;
        Ok(Upload { stage: self.clone(), incoming, parts, buffer: Vec::new() })
    }

    /// Reads content that is known to be small.
    pub fn read(&self, digest: Digest) -> Result<Bytes, Error> {
        match self.held(digest) {
            Some(content) => Ok(content),
            None => self.wait(async { self.store.get(&key(digest)).await?.bytes().await }).map_err(failed),
        }
    }

    /// Copies content into a scratch file; how many bytes.
    pub fn fetch(&self, digest: Digest, to: &Path) -> Result<u64, Error> {
        let scratch = |error: std::io::Error| Error::Stage(format!("scratch file: {error}"));
        if let Some(content) = self.held(digest) {
            std::fs::write(to, &content).map_err(scratch)?;
            return Ok(content.len() as u64);
        }
        let result = self.wait(self.store.get(&key(digest))).map_err(failed)?;
        let expected = result.meta.size;
        let mut out = File::create(to).map_err(scratch)?;
        let copied = match result.payload {
            // The kernel copies from file to file.
            GetResultPayload::File(mut file, _) => std::io::copy(&mut file, &mut out).map_err(scratch)?,
            GetResultPayload::Stream(stream) => self.wait(copy(stream, &mut out))?,
        };
        if copied != expected {
            return Err(Error::Stage(format!("{digest}: {copied} bytes instead of {expected}")));
        }
        Ok(copied)
    }

    /// Whether content is staged.
    pub fn contains(&self, digest: Digest) -> Result<bool, Error> {
        if self.held(digest).is_some() {
            return Ok(true);
        }
        match self.wait(self.store.head(&key(digest))) {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => futures::executor::block_on(future),
        }
    }
}

async fn copy(
    mut stream: futures::stream::BoxStream<'static, object_store::Result<Bytes>>,
    out: &mut File,
) -> Result<u64, Error> {
    use futures::TryStreamExt;
    let mut copied = 0;
    while let Some(bytes) = stream.try_next().await.map_err(failed)? {
        out.write_all(&bytes).map_err(|error| Error::Stage(format!("scratch file: {error}")))?;
        copied += bytes.len() as u64;
    }
    Ok(copied)
}

/// Content on its way to the stage. Dropped without [`Upload::finish`] it is given up.
pub struct Upload {
    stage: Stage,
    incoming: Key,
    parts: Box<dyn MultipartUpload>,
    buffer: Vec<u8>,
}

impl Upload {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.buffer);
        let sent = self.parts.put_part(part.into());
        self.stage.wait(sent).map_err(failed)
    }

    /// Ends the content: it now lies under its digest.
    pub fn finish(mut self, digest: Digest) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        self.stage.wait(self.parts.complete()).map_err(failed)?;
        self.stage.wait(self.stage.store.rename(&self.incoming, &key(digest))).map_err(failed)?;
        crate::crash::point("stage.written");
        Ok(())
    }

    /// Gives the content up and removes what was written.
    pub fn abandon(mut self) -> Result<(), Error> {
        self.stage.wait(self.parts.abort()).map_err(failed)
    }
}

/// Two hexadecimal digits a folder keep folders small.
fn key(digest: Digest) -> Key {
    let hex = digest.to_string();
    Key::from(format!("sha256/{}/{hex}", &hex[..2]))
}

fn failed(error: object_store::Error) -> Error {
    Error::Stage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_comes_back_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::open(folder.path().join("stage").to_str().unwrap(), &BTreeMap::new()).unwrap();
        let content = vec![7u8; PART_BYTES + 5];
        let digest = Digest::of(&content);
        assert!(!stage.contains(digest).unwrap());
        for _ in 0..2 {
            let mut upload = stage.upload(Id([1; 16])).unwrap();
            content.chunks(1 << 20).for_each(|chunk| upload.write(chunk).unwrap());
            upload.finish(digest).unwrap();
        }
        let copy = folder.path().join("copy");
        assert_eq!(stage.fetch(digest, &copy).unwrap(), content.len() as u64);
        assert!(std::fs::read(&copy).unwrap() == content);
        stage.put(Digest::of(b"x"), b"x").unwrap();
        assert!(stage.contains(Digest::of(b"x")).unwrap());
        assert!(stage.fetch(Digest::of(b"y"), &copy).is_err());
    }

    #[test]
    fn small_contents_stay_in_memory_and_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::open(folder.path().join("stage").to_str().unwrap(), &BTreeMap::new()).unwrap();
        let digest = Digest::of(b"small");
        let copy = folder.path().join("copy");
        for stage in [stage.clone(), stage.with_memory(100)] {
            assert!(stage.read(Digest::of(b"nothing")).is_err());
            stage.put(digest, b"small").unwrap();
            assert!(stage.contains(digest).unwrap());
            assert_eq!(stage.read(digest).unwrap().as_ref(), b"small");
            assert_eq!((stage.fetch(digest, &copy).unwrap(), std::fs::read(&copy).unwrap()), (5, b"small".to_vec()));
            std::fs::remove_dir_all(folder.path().join("stage/sha256")).unwrap_or_else(|_| assert!(stage.memory.is_some()));
            assert_eq!(stage.contains(digest).unwrap(), stage.memory.is_some());
            stage.release(digest);
            assert!(!stage.contains(digest).unwrap());
        }
    }

    #[test]
    fn what_is_given_up_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::open(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
        let mut upload = stage.upload(Id([2; 16])).unwrap();
        upload.write(b"half").unwrap();
        upload.abandon().unwrap();
        assert!(!stage.contains(Digest::of(b"half")).unwrap());
    }
}
