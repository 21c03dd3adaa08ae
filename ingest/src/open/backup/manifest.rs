//! What a backup's manifest tells: which file of the phone each blob is.

use super::keys::{ClassKeys, Keybag, file_key};
use super::rows::{Cell, Database, MAGIC};
use crate::evidence::Source;
use crate::open::decrypted::{BLOCK, Decrypted, Key};
use crate::open::{Entry, Trouble, give_ordinals};
use crate::spool::Spool;
use config::Settings;
use model::item::{FileTime, FileTimes};
use model::plist::{Plist, Value};
use model::{Code, FileKind};
use std::io::{self, Read};

/// Largest property list that is read.
const PLIST_BYTES_MAX: u64 = 64 << 20;
/// Length of the name of a blob, SHA-1 in hexadecimal.
const ID_LENGTH: usize = 40;
/// Damage of single rows that is told one by one.
const TROUBLES_MAX: usize = 100;

/// Opens files beside the manifest by their path from its folder.
pub trait Beside: Send + Sync {
    /// A file; an error says why not.
    fn source(&self, path: &[u8]) -> Result<Source, Trouble>;
    /// Size of a file, bytes; `None` if it is not there.
    fn size(&self, path: &[u8]) -> Option<u64>;
}

/// A manifest: the phone's files as entries, and where each lies.
pub struct Manifest {
    /// Everything the manifest lists, under `domain/path`.
    pub entries: Vec<Entry>,
    /// For each entry its blob.
    pub places: Vec<Place>,
    /// The class keys of an encrypted backup.
    pub keys: Option<ClassKeys>,
    /// What could not be read of it.
    pub troubles: Vec<Trouble>,
    /// How many rows it has, as far as it could be read.
    pub rows: u64,
}

/// Where the content of an entry lies.
pub struct Place {
    /// Path of the blob from the manifest's folder, `3d/3d0d…`; `None` for what has no content or no valid name.
    pub blob: Option<Vec<u8>>,
    /// Number of the class and wrapped key.
    pub key: Option<Box<[u8]>>,
    /// Size that the manifest tells.
    pub told: u64,
}

/// Reads the manifest of a backup, by its name; `None` where a folder only looks like one.
pub fn read(beside: &dyn Beside, name: &[u8], settings: &Settings, passwords: &[String]) -> Result<Option<Manifest>, Trouble> {
    let mut source = beside.source(name)?;
    if name == super::LIST {
        return super::mbdb::read(&source, beside, settings, passwords);
    }
    let list = small(beside, b"Manifest.plist");
    let has_list = list.is_some();
    let list = list.as_deref().and_then(Plist::open);
    let at = |key: &str| list.as_ref().and_then(|list| list.get(&[key]));
    let plain = head(&source).as_deref() == Some(MAGIC);
    let manifest_key = at("ManifestKey").and_then(Value::data);
    // A manifest in clear with a key to it was decrypted by some tool, together with its blobs. Without one (iOS 10.0 and
    // 10.1) only the blobs are encrypted.
    let encrypted = at("IsEncrypted").and_then(Value::truth) == Some(true) && !(plain && manifest_key.is_some());
    let mut keys = None;
    if encrypted {
        // `encrypted` was told by the list.
        let unlocked = list.as_ref().map_or_else(|| Err(wanted(passwords)), |list| unlock(list, passwords))?;
        if !plain {
            let key = file_key(&unlocked, manifest_key.as_deref().unwrap_or_default())?;
            source = decrypt(&source, &key)?;
        }
        keys = Some(unlocked);
    } else if !plain {
        return match (list.is_some(), has_list) {
            (true, _) => Err(damaged("manifest of the backup is no database")),
            // Both stand there and neither can be read: an encrypted backup whose keybag is lost.
            (false, true) => Err(damaged("Manifest.plist of the backup cannot be read, and its manifest is no database")),
            (false, false) => Ok(None),
        };
    }
    let log = if plain { beside.source(b"Manifest.db-wal").ok() } else { None };
    let mut manifest = Manifest { entries: Vec::new(), places: Vec::new(), keys, troubles: Vec::new(), rows: 0 };
    match manifest.fill(Database::open(&source, log)?, beside, settings.ingest.cap_entries) {
        Err(trouble) if list.is_none() && trouble.code == Code::ContainerDamaged => Ok(None),
        filled => filled.map(|()| Some(manifest)),
    }
}

/// The class keys that one of the passwords gives.
pub fn unlock(list: &Plist<'_>, passwords: &[String]) -> Result<ClassKeys, Trouble> {
    let keybag = list.get(&["BackupKeyBag"]).and_then(Value::data);
    let keybag = keybag.ok_or_else(|| Trouble::new(Code::ContainerDamaged, "the encrypted backup has no keybag"))?;
    let keybag = Keybag::read(&keybag)?;
    passwords.iter().find_map(|password| keybag.unlock(password)).ok_or_else(|| wanted(passwords))
}

/// Which key is wanted. The same words as an item's reason.
fn wanted(passwords: &[String]) -> Trouble {
    let tried = if passwords.is_empty() { "" } else { "; none of those given fits" };
    Trouble::new(Code::Encrypted, format!("needs the backup password{tried}"))
}

pub fn damaged(detail: &str) -> Trouble {
    Trouble::new(Code::ContainerDamaged, detail)
}

fn head(source: &Source) -> Option<Vec<u8>> {
    let mut head = vec![0; MAGIC.len()];
    source.reader().read_exact(&mut head).is_ok().then_some(head)
}

/// A small file beside the manifest; `None` if it is not there: the backup is then read without it.
pub fn small(beside: &dyn Beside, path: &[u8]) -> Option<Vec<u8>> {
    let source = beside.source(path).ok()?;
    let mut content = Vec::new();
    source.reader().take(PLIST_BYTES_MAX).read_to_end(&mut content).is_ok().then_some(content)
}

fn decrypt(source: &Source, key: &Key) -> Result<Source, Trouble> {
    let mut reader = source.reader();
    let mut plain = Decrypted::new(&mut reader, key, &[0; BLOCK], None);
    let mut spool = Spool::new(&[], &mut plain);
    io::copy(&mut spool, &mut io::sink()).map_err(|error| Trouble::of(&error))?;
    let source = spool.finish().map_err(|error| Trouble::new(Code::Unreadable, error.to_string()))?;
    // The key unwrapped, so the password is right: what is no database now is damage.
    if head(&source).as_deref() == Some(MAGIC) { Ok(source) } else { Err(damaged("decrypted manifest is no database")) }
}

impl Manifest {
    fn fill(&mut self, database: Database, beside: &dyn Beside, cap: u64) -> Result<(), Trouble> {
        let (mut rows, mut invalid) = (0u64, 0u64);
        let troubles = database.table("Files", &["fileID", "domain", "relativePath", "flags", "file"], &mut |cells| {
            rows += 1;
            if rows > cap {
                return;
            }
            match self.entry(&cells, beside) {
                Some((entry, place)) => {
                    self.entries.push(entry);
                    self.places.push(place);
                }
                None => invalid += 1,
            }
        })?;
        let more = troubles.len().saturating_sub(TROUBLES_MAX);
        self.troubles = troubles.into_iter().take(TROUBLES_MAX).collect();
        if more > 0 {
            self.troubles.push(damaged(&format!("{more} more pages of the manifest cannot be read")));
        }
        if invalid > 0 {
            self.troubles.push(damaged(&format!("{invalid} rows of the manifest name no file")));
        }
        if rows > cap {
            self.troubles.push(Trouble::new(Code::CapEntries, format!("more than {cap} entries")));
        }
        self.rows = rows;
        self.order();
        Ok(())
    }

    /// Path order, which does not depend on how the database lies in its file.
    pub fn order(&mut self) {
        let mut both: Vec<(Entry, Place)> = self.entries.drain(..).zip(self.places.drain(..)).collect();
        both.sort_by(|(a, at), (b, bt)| (&a.path, &at.blob).cmp(&(&b.path, &bt.blob)));
        (self.entries, self.places) = both.into_iter().unzip();
        give_ordinals(&mut self.entries);
    }

    fn entry(&self, cells: &[Cell], beside: &dyn Beside) -> Option<(Entry, Place)> {
        let [Cell::Bytes(id), Cell::Bytes(domain), path, flags, file] = cells else { return None };
        let mut full = domain.clone();
        if let Cell::Bytes(path) = path
            && !path.is_empty()
        {
            full.push(b'/');
            full.extend_from_slice(path);
        }
        let kind = match flags {
            Cell::Integer(2) => None,
            Cell::Integer(4) => Some(FileKind::Symlink),
            _ => Some(FileKind::File),
        };
        let file = if let Cell::Bytes(file) = file { file.as_slice() } else { b"" };
        let list = Plist::open(file);
        let at = |path: &[&str]| list.as_ref().and_then(|list| list.get(&[&["$top", "root"], path].concat()));
        let number = |key: &str| at(&[key]).and_then(Value::integer);
        let time = |key: &str| number(key).filter(|seconds| *seconds != 0).map(|seconds| FileTime { seconds, nanos: 0 });
        let small = |key: &str| number(key).and_then(|number| u32::try_from(number).ok());
        let told = number("Size").and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let valid = id.len() == ID_LENGTH && id.iter().all(u8::is_ascii_hexdigit) && kind == Some(FileKind::File);
        let blob = valid.then(|| [id.get(..2).unwrap_or_default(), b"/", id.as_slice()].concat());
        let key = self.keys.as_ref().and_then(|_| at(&["EncryptionKey", "NS.data"])).or_else(|| at(&["EncryptionKey"]));
        let key = key.and_then(Value::data).map(Vec::into_boxed_slice).filter(|_| self.keys.is_some());
        // What the directory tells is held against what is there, so that an entry claims no more than can come out of it.
        let lies = blob.as_ref().and_then(|blob| beside.size(blob));
        let size = lies.map_or(told, |lies| if key.is_some() { lies.min(told) } else { lies });
        let entry = Entry {
            path: full,
            ordinal: 0,
            kind,
            size,
            packed: None,
            mode: small("Mode"),
            owner: small("UserID").zip(small("GroupID")),
            times: FileTimes {
                modified: time("LastModified"),
                accessed: None,
                changed: time("LastStatusChange"),
                created: time("Birth"),
                local: false,
            },
            link_target: at(&["Target"]).and_then(Value::text).map(String::into_bytes),
            deleted: false,
        };
        Some((entry, Place { blob, key, told }))
    }

    /// What speaks against an entry: its blob is not as large as the manifest tells.
    pub fn note(&self, index: usize, lies: Option<u64>) -> Option<Trouble> {
        let place = self.places.get(index)?;
        let lies = lies.filter(|_| place.blob.is_some())?;
        let (code, words) = match place.key {
            // Padding fills the last block.
            Some(_) if lies < place.told => (Code::Truncated, "encrypted bytes"),
            None if lies < place.told => (Code::Truncated, "bytes"),
            None if lies > place.told => (Code::HeaderMismatch, "bytes"),
            _ => return None,
        };
        Some(Trouble::new(code, format!("manifest tells of {} bytes, its file has {lies} {words}", place.told)))
    }
}
