//! Databases of SQLCipher 1 to 4, page by page: opened with a passphrase or a raw key, each page checked against its HMAC where it has one.
//! What comes out is the database and its write-ahead log as SQLite would have written them without encryption, byte for byte in their
//! places; a page that fails its check is left blank and told.
//!
//! Format: Zetetic's SQLCipher design page and API documentation. WeChat (Android), Signal, Session and others build on it.

mod codec;
mod pages;
mod wal;

use super::sealed::{self, Format, Named, wanted};
use super::{Container, Entry, Keys, Trouble};
use crate::evidence::Source;
use codec::{Codec, Secret};
use model::item::FileTimes;
use model::{Code, FileKind};
use pages::Pages;
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use wal::Log;

/// This kind's line.
pub(super) const FORMAT: Format = Format { recognize, open };

/// What a database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Secrets that are tried on one database.
const SECRETS_MAX: usize = 512;

fn recognize(named: &Named<'_>) -> bool {
    sealed::is_encrypted_database(named) || has_clear_header(named.head)
}

/// Whether the beginning is that of a database, and nothing behind it: apps of iOS leave 32 bytes in clear so that the system knows
/// the file. Bytes 72 to 92 of a database are always zero, and its first page is a leaf or a node.
fn has_clear_header(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(MAGIC) else { return false };
    let bytes = |from: usize, to: usize| rest.get(from - MAGIC.len()..to - MAGIC.len());
    let Some(fractions) = bytes(21, 24) else { return false };
    let (Some(zeros), Some(kind)) = (bytes(72, 92), bytes(100, 101)) else { return false };
    fractions == [64, 32, 32] && zeros.iter().any(|byte| *byte != 0) && !matches!(kind, [2 | 5 | 10 | 13 | 0])
}

fn open(named: &Named<'_>, source: &Source, keys: Keys<'_>) -> Result<Box<dyn Container>, Trouble> {
    let clear = has_clear_header(named.head);
    let page = first_page(source)?;
    let given: BTreeSet<&str> = keys.given.iter().map(String::as_str).collect();
    let found: BTreeSet<&str> = keys.found.iter().map(String::as_str).collect();
    let secrets = given.iter().flat_map(|word| Secret::given(word)).chain(found.iter().flat_map(|word| Secret::found(word)));
    let mut tried = false;
    for secret in secrets.take(SECRETS_MAX) {
        tried = true;
        if let Some(codec) = Codec::fitting(&secret, &page, clear) {
            return database(named, source, Arc::new(codec)).map(|database| Box::new(database) as Box<dyn Container>);
        }
    }
    let needs = sealed::needs(named).unwrap_or("the key of an encrypted database, or is none");
    let tried = if tried { "; none of those at hand fits" } else { "" };
    Err(wanted(&format!("{needs}{tried}")))
}

/// The first bytes, as many as the largest page has.
fn first_page(source: &Source) -> Result<Vec<u8>, Trouble> {
    let mut page = Vec::new();
    source.reader().take(codec::PAGE_MAX as u64).read_to_end(&mut page).map_err(|error| Trouble::of(&error))?;
    Ok(page)
}

/// A decrypted database, and its log if one lies beside it.
struct Database {
    entries: Vec<Entry>,
    contents: Vec<Source>,
    troubles: Vec<Trouble>,
}

fn database(named: &Named<'_>, source: &Source, codec: Arc<Codec>) -> Result<Database, Trouble> {
    let failed = |error: std::io::Error| Trouble::of(&error);
    let name = named.name().to_vec();
    let (pages, mut troubles) = Pages::check(source, codec.clone()).map_err(failed)?;
    let pages = Source::Virtual(Arc::new(pages));
    let (mut entries, mut contents) = (vec![entry(&name, pages.size())], vec![pages]);
    let log_name = [&name[..], b"-wal"].concat();
    match source.neighbours().map(|beside| beside.open(&log_name)) {
        Some(Ok(log)) if log.size() > 0 => {
            if let Some((log, more)) = Log::check(&log, codec).map_err(failed)? {
                troubles.extend(more);
                let log = Source::Virtual(Arc::new(log));
                entries.push(entry(&log_name, log.size()));
                contents.push(log);
            } else {
                troubles.push(Trouble::new(Code::CompanionOrphan, "the -wal beside it does not fit the database"));
            }
        }
        Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            troubles.push(Trouble::new(Code::Unreadable, format!("the -wal beside it cannot be opened: {}", error.kind())));
        }
        _ => {}
    }
    Ok(Database { entries, contents, troubles })
}

fn entry(path: &[u8], size: u64) -> Entry {
    Entry {
        path: path.to_vec(),
        ordinal: 0,
        kind: Some(FileKind::File),
        size,
        packed: Some(size),
        mode: None,
        owner: None,
        times: FileTimes::default(),
        link_target: None,
        deleted: false,
    }
}

impl Container for Database {
    fn name(&self) -> &'static str {
        "sqlcipher"
    }

    fn list(&self) -> Option<&[Entry]> {
        Some(&self.entries)
    }

    fn source(&self, index: usize) -> Option<Source> {
        self.contents.get(index).cloned()
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn read(
        &self,
        index: usize,
        read: &mut dyn FnMut(&mut dyn Read) -> Result<(), crate::Error>,
    ) -> Result<Option<Trouble>, crate::Error> {
        match self.contents.get(index) {
            Some(content) => read(&mut content.reader()).map(|()| None),
            None => Ok(Some(Trouble::new(Code::ContainerDamaged, "no such entry"))),
        }
    }
}
