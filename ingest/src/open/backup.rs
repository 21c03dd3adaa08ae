//! iTunes and Finder backups: a folder of files named by SHA-1, and `Manifest.db` (before iOS 10 `Manifest.mbdb`) that says which file of the
//! phone each is. Restored are domain and path (`HomeDomain/Library/SMS/sms.db`), mode, owner and times.
//!
//! In a folder of the evidence the restored files are children of the manifest, and the blobs of a plain backup are items under
//! their restored names only. In an archive they are children of the archive. The blobs of an encrypted backup are items
//! of their own too: they are what lies in the evidence, and a hash of what was decrypted does not vouch for them.

mod keys;
mod manifest;
mod mbdb;
mod rows;
mod streamed;

use super::decrypted::{BLOCK, Decrypted};
use super::{Container, Entry, Ranges, Special, Trouble, Visitor};
use crate::evidence::{Folder, Source};
use crate::spool::Spool;
use crate::tasks::List;
use crate::walk::Listing;
use config::Settings;
use manifest::{Beside, Manifest};
use model::{Code, FileKind};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

/// Name of the format.
pub const NAME: &str = "itunes_backup";
/// Since iOS 10 a database, before a list of records.
const DATABASE: &[u8] = b"Manifest.db";
const LIST: &[u8] = b"Manifest.mbdb";
/// The files that make a folder a backup, with one of the others beside it.
pub const MANIFESTS: [&[u8]; 2] = [DATABASE, LIST];
const OTHERS: [&[u8]; 3] = [b"Manifest.plist", b"Status.plist", b"Info.plist"];

type Take<'a> = dyn FnMut(&mut dyn Read) -> Result<(), crate::Error> + 'a;

/// Folders (empty, or with a slash at the end) that hold a backup, by what lies in them, with the name of the manifest.
fn folders<L: List + ?Sized>(list: &L) -> Vec<(Vec<u8>, &'static [u8])> {
    let manifests = (0..list.count()).filter(|at| list.kind(*at) == Some(FileKind::File) && list.ordinal(*at) == 0);
    let manifests = manifests.filter_map(|at| split(list.path(at))).map(|(folder, name)| (folder.to_vec(), name));
    let manifests: Vec<(Vec<u8>, &'static [u8])> = manifests.collect();
    if manifests.is_empty() {
        return manifests;
    }
    let paths: HashSet<&[u8]> = (0..list.count()).map(|at| list.path(at)).collect();
    let holds = |folder: &[u8]| OTHERS.iter().any(|name| paths.contains([folder, name].concat().as_slice()));
    manifests.into_iter().filter(|(folder, _)| holds(folder)).collect()
}

/// The folder of a path that ends with a manifest's name.
pub fn folder_of(path: &[u8]) -> Option<&[u8]> {
    split(path).map(|(folder, _)| folder)
}

/// Folder and manifest of a path that ends with a manifest's name.
fn split(path: &[u8]) -> Option<(&[u8], &'static [u8])> {
    let folder = |name: &[u8]| path.strip_suffix(name).filter(|folder| folder.is_empty() || folder.ends_with(b"/"));
    MANIFESTS.into_iter().find_map(|name| Some((folder(name)?, name)))
}

/// Backups in a folder of the evidence, by the path of their manifest.
pub type Backups = HashMap<Vec<u8>, Result<Arc<dyn Container>, Trouble>>;

/// Finds the backups among the files of a folder and takes the blobs that a plain one names out of the list.
pub fn take_out(root: &Folder, listing: &mut Listing, settings: &Settings, passwords: &[String]) -> Backups {
    let mut backups = Backups::new();
    for (folder, name) in folders(listing) {
        let manifest = [&folder[..], name].concat();
        let on_disk = OnDisk { root: root.clone(), folder: folder.clone() };
        match super::guard(|| open(on_disk, name, settings, passwords)) {
            Some(Ok(None)) => {}
            Some(Ok(Some(backup))) => {
                if backup.manifest.keys.is_none() {
                    let named: HashSet<&[u8]> = backup.manifest.places.iter().filter_map(|place| place.blob.as_deref()).collect();
                    listing.retain(&mut |path| !path.strip_prefix(&folder[..]).is_some_and(|path| named.contains(path)));
                }
                backups.insert(manifest, Ok(Arc::new(backup)));
            }
            Some(Err(trouble)) => drop(backups.insert(manifest, Err(trouble))),
            None => drop(backups.insert(manifest, Err(Trouble::new(Code::ContainerDamaged, "decoder gave up")))),
        }
    }
    backups
}

/// The backup of a manifest, for going back to one of its files.
pub fn reopen(root: &Folder, manifest: &[u8], settings: &Settings, passwords: &[String]) -> Option<Arc<dyn Container>> {
    let (folder, name) = split(manifest)?;
    let on_disk = OnDisk { root: root.clone(), folder: folder.to_vec() };
    open(on_disk, name, settings, passwords).ok().flatten().map(|backup| Arc::new(backup) as Arc<dyn Container>)
}

fn open(on_disk: OnDisk, name: &[u8], settings: &Settings, passwords: &[String]) -> Result<Option<Backup>, Trouble> {
    let manifest = manifest::read(&on_disk, name, settings, passwords)?;
    Ok(manifest.map(|manifest| Backup { manifest, on_disk }))
}

/// A folder of the evidence.
struct OnDisk {
    root: Folder,
    folder: Vec<u8>,
}

impl Beside for OnDisk {
    fn source(&self, path: &[u8]) -> Result<Source, Trouble> {
        let opened = self.root.open_file(&[&self.folder[..], path].concat()).and_then(Source::file);
        opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Trouble::new(Code::Missing, "the manifest names it, but it is not in the backup"),
            kind => Trouble::new(Code::Unreadable, format!("cannot be opened: {kind}")),
        })
    }

    fn size(&self, path: &[u8]) -> Option<u64> {
        self.source(path).ok().map(|source| source.size())
    }
}

/// A backup in a folder of the evidence.
struct Backup {
    manifest: Manifest,
    on_disk: OnDisk,
}

impl Container for Backup {
    fn name(&self) -> &'static str {
        NAME
    }

    fn list(&self) -> Option<&[Entry]> {
        Some(&self.manifest.entries)
    }

    fn told(&self) -> Option<u64> {
        Some(self.manifest.rows)
    }

    fn beside(&self) -> bool {
        true
    }

    fn notes(&self, index: usize) -> Vec<Trouble> {
        let blob = self.manifest.places.get(index).and_then(|place| place.blob.as_ref());
        let lies = blob.and_then(|blob| self.on_disk.size(blob));
        self.manifest.note(index, lies).into_iter().collect()
    }

    fn troubles(&self) -> &[Trouble] {
        &self.manifest.troubles
    }

    fn read(&self, index: usize, take: &mut Take<'_>) -> Result<Option<Trouble>, crate::Error> {
        self.manifest.read(index, take, &mut |blob, take| match self.on_disk.source(blob) {
            Ok(source) => take(&mut source.reader()).map(|()| None),
            Err(trouble) => Ok(Some(trouble)),
        })
    }
}

impl Manifest {
    /// Reads the content of an entry, decrypted where it is encrypted; `blob` reads a blob.
    fn read(
        &self,
        index: usize,
        take: &mut Take<'_>,
        blob: &mut dyn FnMut(&[u8], &mut Take<'_>) -> Result<Option<Trouble>, crate::Error>,
    ) -> Result<Option<Trouble>, crate::Error> {
        let (Some(entry), Some(place)) = (self.entries.get(index), self.places.get(index)) else {
            return Ok(Some(Trouble::new(Code::ContainerDamaged, "no such entry")));
        };
        if entry.kind != Some(FileKind::File) {
            return take(&mut io::empty()).map(|()| None);
        }
        let Some(path) = &place.blob else {
            return Ok(Some(Trouble::new(Code::ContainerDamaged, "manifest gives no valid name of its file")));
        };
        let (Some(keys), Some(described)) = (&self.keys, &place.key) else { return blob(path, take) };
        match keys::file_key(keys, described) {
            Ok(key) => blob(path, &mut |stream| take(&mut Decrypted::new(stream, &key, &[0; BLOCK], Some(place.told)))),
            Err(trouble) => Ok(Some(trouble)),
        }
    }
}

/// An archive with backups in it: what they restore stands in its list.
struct Restored {
    inner: Box<dyn Container>,
    entries: Vec<Entry>,
    /// For each entry: the entry of the archive, or a backup and its entry.
    places: Vec<Inner>,
    backups: Vec<(Files, Manifest)>,
    troubles: Vec<Trouble>,
}

/// Where an entry comes from.
#[derive(Clone, Copy)]
enum Inner {
    Archive(usize),
    Backup(usize, usize),
}

/// Files of one folder of an archive, by their path from it: index and size.
type Files = HashMap<Vec<u8>, (usize, u64)>;

/// A folder of an archive.
struct InArchive<'a> {
    container: &'a dyn Container,
    files: &'a Files,
}

impl Beside for InArchive<'_> {
    fn source(&self, path: &[u8]) -> Result<Source, Trouble> {
        let missing = || Trouble::new(Code::Missing, "the manifest names it, but it is not in the backup");
        let (index, _) = self.files.get(path).ok_or_else(missing)?;
        let mut found = None;
        let trouble = self.container.read(*index, &mut |stream| {
            let mut spool = Spool::new(&[], stream);
            // Damage inside is told of when the file itself is read; what is there may do.
            drop(io::copy(&mut spool, &mut io::sink()));
            found = Some(spool.finish()?);
            Ok(())
        });
        match (trouble, found) {
            (Ok(None), Some(source)) => Ok(source),
            (Ok(Some(trouble)), _) => Err(trouble),
            (Err(error), _) => Err(Trouble::new(Code::Unreadable, error.to_string())),
            (Ok(None), None) => Err(missing()),
        }
    }

    fn size(&self, path: &[u8]) -> Option<u64> {
        self.files.get(path).map(|(_, size)| *size)
    }
}

/// The container itself, or with the backups in it restored.
pub fn restore(inner: Box<dyn Container>, settings: &Settings, passwords: &[String]) -> Box<dyn Container> {
    if inner.list().is_none() {
        return streamed::restore(inner, settings, passwords);
    }
    let Some(entries) = inner.list() else { return inner };
    let folders = folders(entries);
    if folders.is_empty() {
        return inner;
    }
    let (mut backups, mut troubles, mut taken) = (Vec::new(), inner.troubles().to_vec(), HashSet::new());
    let mut prefixes = Vec::new();
    for (folder, name) in folders {
        let own = entries.iter().enumerate().filter(|(_, entry)| entry.kind == Some(FileKind::File) && entry.ordinal == 0);
        let own = own.filter_map(|(at, entry)| Some((entry.path.strip_prefix(&folder[..])?.to_vec(), (at, entry.size))));
        let files: Files = own.collect();
        let beside = InArchive { container: &*inner, files: &files };
        match super::guard(|| manifest::read(&beside, name, settings, passwords)) {
            Some(Ok(Some(manifest))) => {
                if manifest.keys.is_none() {
                    let named = manifest.places.iter().filter_map(|place| files.get(place.blob.as_ref()?));
                    taken.extend(named.map(|(at, _)| *at));
                }
                backups.push((files, manifest));
                prefixes.push(folder);
            }
            Some(Ok(None)) => {}
            Some(Err(trouble)) => {
                let detail = format!("backup in {}: {}", model::text::escape_bytes(&folder), trouble.detail);
                troubles.push(Trouble::new(trouble.code, detail));
            }
            None => troubles.push(Trouble::new(Code::ContainerDamaged, "decoder gave up")),
        }
    }
    let rest = entries.iter().enumerate().filter(|(at, _)| !taken.contains(at));
    let (mut list, mut places): (Vec<Entry>, Vec<Inner>) = rest.map(|(at, entry)| (entry.clone(), Inner::Archive(at))).unzip();
    for ((number, (files, manifest)), folder) in backups.iter().enumerate().zip(&prefixes) {
        for (at, (entry, place)) in manifest.entries.iter().zip(&manifest.places).enumerate() {
            let source = place.blob.as_ref().and_then(|blob| files.get(blob)).and_then(|(at, _)| entries.get(*at));
            let path = [&folder[..], &entry.path].concat();
            list.push(Entry { path, packed: source.and_then(|source| source.packed), ..entry.clone() });
            places.push(Inner::Backup(number, at));
        }
        troubles.extend_from_slice(&manifest.troubles);
    }
    super::give_ordinals(&mut list);
    Box::new(Restored { inner, entries: list, places, backups, troubles })
}

impl Container for Restored {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn list(&self) -> Option<&[Entry]> {
        Some(&self.entries)
    }

    fn told(&self) -> Option<u64> {
        let listed = self.inner.list().map_or(0, <[Entry]>::len) as u64;
        self.inner.told().map(|told| told.saturating_sub(listed).saturating_add(self.entries.len() as u64))
    }

    fn notes(&self, index: usize) -> Vec<Trouble> {
        match self.places.get(index) {
            Some(Inner::Archive(at)) => self.inner.notes(*at),
            Some(Inner::Backup(number, at)) => {
                let Some((files, manifest)) = self.backups.get(*number) else { return Vec::new() };
                let found = manifest.places.get(*at).and_then(|place| files.get(place.blob.as_ref()?));
                let notes = found.map(|(inner, _)| self.inner.notes(*inner)).unwrap_or_default();
                notes.into_iter().chain(manifest.note(*at, found.map(|(_, size)| *size))).collect()
            }
            None => Vec::new(),
        }
    }

    fn special(&self, index: usize) -> Option<Special> {
        match self.places.get(index) {
            Some(Inner::Archive(at)) => self.inner.special(*at),
            _ => None,
        }
    }

    fn source(&self, index: usize) -> Option<Source> {
        match self.places.get(index) {
            Some(Inner::Archive(at)) => self.inner.source(*at),
            _ => None,
        }
    }

    fn stored(&self, index: usize) -> Option<(u64, u64, bool)> {
        match self.places.get(index) {
            Some(Inner::Archive(at)) => self.inner.stored(*at),
            _ => None,
        }
    }

    fn uncovered(&self) -> Option<Ranges> {
        self.inner.uncovered()
    }

    fn volume_bytes(&self) -> u64 {
        self.inner.volume_bytes()
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn read(&self, index: usize, take: &mut Take<'_>) -> Result<Option<Trouble>, crate::Error> {
        match self.places.get(index) {
            Some(Inner::Archive(at)) => self.inner.read(*at, take),
            Some(Inner::Backup(number, at)) => {
                let Some((files, manifest)) = self.backups.get(*number) else { return Ok(None) };
                manifest.read(*at, take, &mut |blob, take| match files.get(blob) {
                    Some((inner, _)) => self.inner.read(*inner, take),
                    None => Ok(Some(Trouble::new(Code::Missing, "the manifest names it, but it is not in the backup"))),
                })
            }
            None => Ok(Some(Trouble::new(Code::ContainerDamaged, "no such entry"))),
        }
    }

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        self.inner.visit(visitor)
    }
}
