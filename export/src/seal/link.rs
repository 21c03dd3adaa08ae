//! Which item of the exhibit is the file of an attachment.
//!
//! By the SHA-256 the app claims, else by path: relative to the folder of the item the record comes from (exports), else as the
//! end of an item's path at a component border (`Media/…` of an app whose root is deep in the exhibit). Of several items the
//! smallest id counts.

use super::scratch::Work;
use crate::Error;
use model::record::Attachment;
use model::{Body, Id, Kind, Record};
use rusqlite::{OptionalExtension, params};
use std::collections::HashMap;

/// The items whose paths end with some paths, as they were found: many attachments with one path cost one search.
type Endings = HashMap<String, Option<[u8; 16]>>;

/// How many are remembered.
const REMEMBERED: usize = 1 << 14;

/// Links every attachment of the exhibit whose file is found.
pub fn link_all(work: &Work<'_>) -> Result<(), Error> {
    if !work.entries.any(Kind::Attachment) {
        return Ok(());
    }
    work.entries.each(Kind::Item, |id, body| match body {
        Body::Item(item) => {
            let reversed: Vec<u8> = item.path.bytes().rev().collect();
            let sha256 = item.sha256.map(|digest| digest.to_string());
            let insert = || -> rusqlite::Result<()> {
                work.connection
                    .prepare_cached("INSERT INTO main.file VALUES (?1, ?2)")?
                    .execute(params![reversed, id.bytes()])?;
                if let Some(sha256) = sha256 {
                    let mut digest = work.connection.prepare_cached("INSERT INTO main.digest VALUES (?1, ?2)")?;
                    digest.execute(params![sha256, id.bytes()])?;
                }
                Ok(())
            };
            insert().map_err(|source| work.error(source))
        }
        _ => Ok(()),
    })?;
    // Most attachments come from a few items.
    let mut parent = (Id::default(), String::new());
    let mut endings = Endings::new();
    work.entries.each(Kind::Attachment, |id, body| match body {
        Body::Record(Record::Attachment(attachment)) => {
            let item = attachment.provenance.item;
            if parent.0 != item {
                parent = (item, work.item_path(item)?);
            }
            link(work, id, &parent.1, &attachment, &mut endings).map_err(|source| work.error(source))
        }
        _ => Ok(()),
    })
}

fn link(work: &Work<'_>, id: Id, parent: &str, attachment: &Attachment, endings: &mut Endings) -> rusqlite::Result<()> {
    let mut item = None;
    if let Some(sha256) = &attachment.sha256 {
        item = first(work, "SELECT id FROM main.digest WHERE sha256 = ?1 ORDER BY id LIMIT 1", sha256)?;
    }
    let path = attachment.path.as_deref().map(|path| path.strip_prefix("./").unwrap_or(path).trim_start_matches('/'));
    if let Some(path) = path.filter(|path| !path.is_empty())
        && item.is_none()
    {
        item = match beside(work, parent, path)? {
            Some(item) => Some(item),
            None => ending(work, path, endings)?,
        };
    }
    if let Some(item) = item {
        work.connection.prepare_cached("INSERT INTO main.linked VALUES (?1, ?2)")?.execute(params![id.bytes(), item])?;
    }
    Ok(())
}

fn first(work: &Work<'_>, sql: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<Option<[u8; 16]>> {
    work.connection.prepare_cached(sql)?.query_row([value], |row| row.get(0)).optional()
}

/// The item at that path from the folder of the record's item.
fn beside(work: &Work<'_>, parent: &str, path: &str) -> rusqlite::Result<Option<[u8; 16]>> {
    let folder = parent.rfind('/').and_then(|border| parent.get(..=border)).unwrap_or("");
    let wanted: Vec<u8> = path.bytes().rev().chain(folder.bytes().rev()).collect();
    first(work, "SELECT id FROM main.file WHERE reversed = ?1 ORDER BY id LIMIT 1", wanted)
}

/// The item whose path ends with that path, whole components only.
fn ending(work: &Work<'_>, path: &str, endings: &mut Endings) -> rusqlite::Result<Option<[u8; 16]>> {
    if let Some(answer) = endings.get(path) {
        return Ok(*answer);
    }
    let whole: Vec<u8> = path.bytes().rev().collect();
    let (first, end) = ([whole.as_slice(), b"/"].concat(), [whole.as_slice(), b"0"].concat());
    let sql = "SELECT min(id) FROM main.file WHERE reversed = ?1 OR (reversed >= ?2 AND reversed < ?3)";
    let item: Option<[u8; 16]> = work.connection.prepare_cached(sql)?.query_row(params![whole, first, end], |row| row.get(0))?;
    if endings.len() >= REMEMBERED {
        endings.clear();
    }
    endings.insert(path.to_owned(), item);
    Ok(item)
}
