//! Backups in an archive without a directory (a tar, packed or not): what is read first names what comes later, so the archive is passed through
//! twice. The first time for its manifests and the sizes of its blobs; that is done only where its beginning has files named as a backup has them.
//!
//! A blob of a plain backup is given under the phone's path only, one of an encrypted backup as it lies there too, as anywhere else.

use super::manifest::{Beside, Manifest};
use super::{MANIFESTS, OTHERS, split};
use crate::Error;
use crate::evidence::Source;
use crate::open::{Container, Damage, Entry, Ordinals, Trouble, Visitor, guard};
use crate::spool::Spool;
use config::Settings;
use model::{Code, FileKind};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

/// Entries and bytes of an archive's beginning that decide whether it is passed through twice.
const PEEK_ENTRIES: u32 = 256;
const PEEK_BYTES: u64 = 64 << 20;
/// Largest file that says where everything lies.
const CONTROL_BYTES_MAX: u64 = 4 << 30;
/// Length of the name of a blob.
const BLOB_NAME: usize = 40;
const LOG: &[u8] = b"Manifest.db-wal";

/// A backup of the archive.
struct Backup {
    folder: Vec<u8>,
    manifest: Manifest,
    /// Entries of the manifest by the path of their blob in the archive.
    wanted: HashMap<Vec<u8>, Vec<usize>>,
}

struct Streamed {
    inner: Box<dyn Container>,
    backups: Vec<Backup>,
    troubles: Vec<Trouble>,
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

fn is_blob(path: &[u8]) -> bool {
    let name = name_of(path);
    name.len() == BLOB_NAME && name.iter().all(u8::is_ascii_hexdigit)
}

fn is_control(path: &[u8]) -> bool {
    let name = name_of(path);
    MANIFESTS.contains(&name) || OTHERS.contains(&name) || name == LOG
}

/// A path without the `./` that archives of a folder's content begin with.
fn plain(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"./").unwrap_or(path)
}

/// Whether the beginning of an archive has files named as a backup has them.
fn looks_like_one(inner: &dyn Container) -> bool {
    let (mut count, mut bytes, mut found) = (0, 0u64, false);
    // What ends the visit is that enough was seen; damage is told when the archive is read.
    drop(inner.visit(&mut |entry, _| {
        found |= entry.kind == Some(FileKind::File) && (is_blob(&entry.path) || is_control(&entry.path));
        count += 1;
        bytes = bytes.saturating_add(entry.size);
        if found || count >= PEEK_ENTRIES || bytes > PEEK_BYTES {
            return Err(Error::Temporary(io::Error::other("enough was seen")));
        }
        Ok(())
    }));
    found
}

/// What the first passage through an archive gives, by path.
#[derive(Default)]
struct Survey {
    sizes: HashMap<Vec<u8>, u64>,
    controls: HashMap<Vec<u8>, Source>,
}

fn survey(inner: &dyn Container) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    inner.visit(&mut |entry, stream| {
        if entry.kind != Some(FileKind::File) || entry.ordinal > 0 {
            return Ok(());
        }
        let path = plain(&entry.path).to_vec();
        if is_blob(&path) {
            survey.sizes.insert(path, entry.size);
        } else if is_control(&path) && entry.size <= CONTROL_BYTES_MAX {
            let mut stream = stream.take(CONTROL_BYTES_MAX);
            let mut spool = Spool::new(&[], &mut stream);
            // Damage inside is told of when the file itself is read; what is there may do.
            drop(io::copy(&mut spool, &mut io::sink()));
            survey.controls.insert(path, spool.finish()?);
        }
        Ok(())
    })?;
    Ok(survey)
}

/// A folder of the archive.
struct InStream<'s> {
    survey: &'s Survey,
    folder: &'s [u8],
}

impl Beside for InStream<'_> {
    fn source(&self, path: &[u8]) -> Result<Source, Trouble> {
        let found = self.survey.controls.get(&[self.folder, path].concat()).cloned();
        found.ok_or_else(|| Trouble::new(Code::Missing, "the manifest names it, but it is not in the backup"))
    }

    fn size(&self, path: &[u8]) -> Option<u64> {
        self.survey.sizes.get(&[self.folder, path].concat()).copied()
    }
}

/// The container itself, or with the backups in it restored.
pub fn restore(inner: Box<dyn Container>, settings: &Settings, passwords: &[String]) -> Box<dyn Container> {
    if !inner.name().starts_with("tar") || !looks_like_one(&*inner) {
        return inner;
    }
    let (mut backups, mut troubles) = (Vec::new(), inner.troubles().to_vec());
    let survey = survey(&*inner).unwrap_or_else(|error| {
        let detail = format!("a backup in it is not restored: {error}");
        troubles.push(Trouble::new(Code::Unreadable, detail));
        Survey::default()
    });
    let mut manifests: Vec<&Vec<u8>> = survey.controls.keys().filter(|path| split(path).is_some()).collect();
    manifests.sort();
    for path in manifests {
        let Some((folder, name)) = split(path) else { continue };
        if !OTHERS.iter().any(|other| survey.controls.contains_key(&[folder, other].concat())) {
            continue;
        }
        let beside = InStream { survey: &survey, folder };
        match guard(|| super::manifest::read(&beside, name, settings, passwords)) {
            Some(Ok(Some(manifest))) => backups.push(Backup::new(folder, manifest)),
            Some(Ok(None)) => {}
            Some(Err(trouble)) => {
                let detail = format!("backup in {}: {}", model::text::escape_bytes(folder), trouble.detail);
                troubles.push(Trouble::new(trouble.code, detail));
            }
            None => troubles.push(Trouble::new(Code::ContainerDamaged, "decoder gave up")),
        }
    }
    if backups.is_empty() && troubles.len() == inner.troubles().len() {
        return inner;
    }
    backups.iter().for_each(|backup| troubles.extend_from_slice(&backup.manifest.troubles));
    Box::new(Streamed { inner, backups, troubles })
}

impl Backup {
    fn new(folder: &[u8], manifest: Manifest) -> Backup {
        let mut wanted: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for (at, place) in manifest.places.iter().enumerate() {
            if let Some(blob) = &place.blob {
                wanted.entry([folder, blob].concat()).or_default().push(at);
            }
        }
        Backup { folder: folder.to_vec(), manifest, wanted }
    }

    fn entry(&self, at: usize, ordinals: &mut Ordinals) -> Option<Entry> {
        let entry = self.manifest.entries.get(at)?;
        let path = [&self.folder[..], &entry.path].concat();
        Some(Entry { ordinal: ordinals.next(&path), path, ..entry.clone() })
    }

    /// Gives an entry, with its blob's bytes.
    fn give(
        &self,
        at: usize,
        blob: &mut dyn Read,
        lies: u64,
        ordinals: &mut Ordinals,
        visitor: &mut Visitor<'_>,
    ) -> Result<(), Error> {
        let Some(entry) = self.entry(at, ordinals) else { return Ok(()) };
        let mut ends = self.manifest.note(at, Some(lies));
        let mut take = |stream: &mut dyn Read| visitor(entry.clone(), &mut Ended { inner: stream, ends: ends.take() });
        let trouble = self.manifest.read(at, &mut take, &mut |_, take| take(blob).map(|()| None))?;
        match trouble {
            Some(trouble) => visitor(entry.clone(), &mut Ended { inner: &mut io::empty(), ends: Some(trouble) }),
            None => Ok(()),
        }
    }
}

/// A stream that ends with what is wrong with it.
struct Ended<'s> {
    inner: &'s mut dyn Read,
    ends: Option<Trouble>,
}

impl Read for Ended<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer)? {
            0 if !buffer.is_empty() => match self.ends.take() {
                Some(trouble) => Err(Damage::error(trouble.code, &trouble.detail)),
                None => Ok(0),
            },
            count => Ok(count),
        }
    }
}

impl Streamed {
    /// Which backup wants a blob, and for which of its entries.
    fn wanting(&self, entry: &Entry) -> Option<(usize, &Backup, &[usize])> {
        if entry.kind != Some(FileKind::File) || entry.ordinal > 0 {
            return None;
        }
        self.backups.iter().enumerate().find_map(|(number, backup)| {
            let wanted = backup.wanted.get(plain(&entry.path))?;
            Some((number, backup, wanted.as_slice()))
        })
    }

    /// What a manifest names and the archive did not have, and what has no content.
    fn rest(&self, given: &HashSet<(usize, usize)>, ordinals: &mut Ordinals, visitor: &mut Visitor<'_>) -> Result<(), Error> {
        for (number, backup) in self.backups.iter().enumerate() {
            for (at, place) in backup.manifest.places.iter().enumerate().filter(|(at, _)| !given.contains(&(number, *at))) {
                let Some(entry) = backup.entry(at, ordinals) else { continue };
                let (code, detail) = match place.blob {
                    Some(_) => (Code::Missing, "the manifest names it, but it is not in the backup"),
                    None => (Code::ContainerDamaged, "manifest gives no valid name of its file"),
                };
                let ends = (entry.kind == Some(FileKind::File)).then(|| Trouble::new(code, detail));
                visitor(entry, &mut Ended { inner: &mut io::empty(), ends })?;
            }
        }
        Ok(())
    }
}

impl Container for Streamed {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn read(&self, index: usize, read: &mut dyn FnMut(&mut dyn Read) -> Result<(), Error>) -> Result<Option<Trouble>, Error> {
        self.inner.read(index, read)
    }

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, Error> {
        let (mut given, mut ordinals) = (HashSet::new(), Ordinals::default());
        let trouble = self.inner.visit(&mut |mut entry, stream| {
            let Some((number, backup, wanted)) = self.wanting(&entry) else {
                entry.ordinal = ordinals.next(&entry.path);
                return visitor(entry, stream);
            };
            given.extend(wanted.iter().map(|at| (number, *at)));
            let lies = entry.size;
            let encrypted = backup.manifest.keys.is_some();
            if let ([at], false) = (wanted, encrypted) {
                return backup.give(*at, stream, lies, &mut ordinals, visitor);
            }
            let mut spool = Spool::new(&[], stream);
            if encrypted {
                entry.ordinal = ordinals.next(&entry.path);
                visitor(entry, &mut spool)?;
            }
            // What nobody read yet. Damage was told at the blob, or is seen by its size.
            drop(io::copy(&mut spool, &mut io::sink()));
            let blob = spool.finish()?;
            wanted.iter().try_for_each(|at| backup.give(*at, &mut blob.reader(), blob.size(), &mut ordinals, visitor))
        })?;
        self.rest(&given, &mut ordinals, visitor)?;
        Ok(trouble)
    }
}
