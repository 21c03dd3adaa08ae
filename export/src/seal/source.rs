//! Where the rows of a bundle come from: ranges of ids in the working store and in the scratch beside it.

use super::entries::Entries;
use super::people;
use super::scratch::Scratch;
use super::write::Gather;
use crate::Error;
use crate::bundle::row::{self, Known, Row};
use crate::bundle::schema::Table;
use crate::bundle::value::Value;
use model::observable::{SecretKind, Validity};
use model::wire::from_bytes;
use model::{Body, Id, Kind, Secret, Sighting};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

/// Answers about references that a thread remembers.
const REMEMBERED: usize = 1 << 16;

/// One range of one table.
pub struct Job {
    /// The table.
    pub table: &'static Table,
    /// Where its rows are.
    pub source: Source,
    /// The smallest id and what is larger than the last.
    pub range: (Vec<u8>, Vec<u8>),
}

/// Where rows are.
#[derive(Clone, Debug)]
pub enum Source {
    /// Here.
    Rows(Vec<Value>),
    /// Entries of that kind.
    Entries(Kind),
    /// Entries that are problems, and the problems that sealing itself met.
    Problems,
    /// Folded sightings or secrets.
    Folded(Kind),
    /// Distinct observables.
    Observables,
    /// Links between accounts of one person.
    Links,
}

impl Source {
    /// Where the rows of a table are; `None` for tables whose rows are not in the working store.
    pub fn of(table: &str) -> Option<Source> {
        match table {
            "observable" => Some(Source::Observables),
            "link" => Some(Source::Links),
            "problem" => Some(Source::Problems),
            "sighting" => Some(Source::Folded(Kind::Sighting)),
            "secret" => Some(Source::Folded(Kind::Secret)),
            name => RECORDS.iter().chain(&OTHERS).find(|(known, _)| *known == name).map(|(_, kind)| Source::Entries(*kind)),
        }
    }
}

/// The table that entries of that kind become rows of.
pub fn table_of(kind: Kind) -> &'static str {
    let table = RECORDS.iter().chain(&OTHERS).find(|(_, known)| *known == kind);
    table.map_or("exhibit", |(name, _)| name)
}

/// Tables of records, those that most sightings name first.
pub const RECORDS: [(&str, Kind); 11] = [
    ("message", Kind::Message),
    ("contact_point", Kind::ContactPoint),
    ("contact", Kind::Contact),
    ("account", Kind::Account),
    ("thread", Kind::Thread),
    ("call", Kind::Call),
    ("attachment", Kind::Attachment),
    ("participant", Kind::Participant),
    ("device", Kind::Device),
    ("visit", Kind::Visit),
    ("location", Kind::Location),
];

/// The names of [`RECORDS`].
pub const fn record_tables() -> [&'static str; 11] {
    let mut names = [""; 11];
    let mut place = 0;
    while place < names.len() {
        names[place] = RECORDS[place].0;
        place += 1;
    }
    names
}

const OTHERS: [(&str, Kind); 7] = [
    ("item", Kind::Item),
    ("directory", Kind::Directory),
    ("definition", Kind::Definition),
    ("ledger", Kind::Ledger),
    ("problem", Kind::Problem),
    ("sighting", Kind::Sighting),
    ("secret", Kind::Secret),
];

/// Reads ranges; one for each thread.
pub struct Reader<'s> {
    entries: Entries<'s>,
    references: References<'s>,
}

impl<'s> Reader<'s> {
    /// Opens the store and the scratch beside it to read.
    pub fn open(scratch: &'s Scratch) -> Result<Reader<'s>, Error> {
        Ok(Reader { entries: scratch.entries()?, references: References::open(scratch)? })
    }

    /// Problems that sealing itself met.
    fn problems(&self, first: &[u8], end: &[u8]) -> rusqlite::Result<Vec<(Id, Vec<u8>)>> {
        let sql = "SELECT id, body FROM problem WHERE id >= ?1 AND id < ?2 ORDER BY id";
        let mut statement = self.references.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![first, end], |row| Ok((Id(row.get(0)?), row.get(1)?)))?;
        rows.collect()
    }

    /// Sightings or secrets: the body of the place that counts, with what the places folded into it know more.
    fn folded(&self, kind: Kind, range: (&[u8], &[u8]), values: &mut Vec<Value>) -> Result<(), Error> {
        let mut folds =
            self.folds(kind, range.0, range.1).map_err(|source| self.references.error(source))?.into_iter().peekable();
        self.entries.between(kind, range, |id, body| {
            let Some((_, fold)) = folds.next_if(|(folded, _)| *folded == id) else { return Ok(()) };
            match decode(id, body)? {
                Body::Sighting(sighting) => sighting_row(id, *sighting, fold, values),
                Body::Secret(secret) => secret_row(id, *secret, fold, values),
                _ => {}
            }
            Ok(())
        })
    }

    fn folds(&self, kind: Kind, first: &[u8], end: &[u8]) -> rusqlite::Result<Vec<(Id, Fold)>> {
        let sql = "SELECT id, finders, record, field, field_offset, row_table, row_id FROM folded
                   WHERE kind = ?1 AND id >= ?2 AND id < ?3 ORDER BY id";
        let mut statement = self.references.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![kind as u8, first, end], |row| {
            let table: Option<String> = row.get(5)?;
            let row_id: Option<i64> = row.get(6)?;
            let fold = Fold {
                finders: super::fold::finder_words(row.get(1)?),
                record: row.get::<_, Option<[u8; 16]>>(2)?.map(Id),
                field: row.get(3)?,
                field_offset: row.get(4)?,
                row: table.zip(row_id),
            };
            Ok((Id(row.get(0)?), fold))
        })?;
        rows.collect()
    }

    fn observables(&self, first: &[u8], end: &[u8], values: &mut Vec<Value>) -> rusqlite::Result<()> {
        let sql = "SELECT id, kind, value, chain, validity FROM observable WHERE id >= ?1 AND id < ?2 ORDER BY id";
        let mut statement = self.references.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![first, end])?;
        while let Some(found) = rows.next()? {
            let validity = match found.get::<_, u8>(4)? {
                0 => Validity::Checksum,
                1 => Validity::Format,
                _ => Validity::Context,
            };
            let (kind, value, chain): (String, String, Option<String>) = (found.get(1)?, found.get(2)?, found.get(3)?);
            let mut row = Row::new("observable", values);
            row.put("id", Id(found.get(0)?)).put("kind", kind).put("value", value).put("chain", chain);
            row.put("validity", validity.name());
        }
        Ok(())
    }
}

impl Gather for Reader<'_> {
    type Job = Job;

    fn table(job: &Job) -> &'static Table {
        job.table
    }

    fn rows(&mut self, job: &Job, values: &mut Vec<Value>) -> Result<(), Error> {
        let range = (job.range.0.as_slice(), job.range.1.as_slice());
        match &job.source {
            Source::Rows(rows) => values.extend_from_slice(rows),
            Source::Entries(kind) => {
                let Reader { entries, references } = self;
                entries.between(*kind, range, |id, body| row::push(decode(id, body)?, values, references))?;
            }
            Source::Problems => {
                let mut bodies = self.problems(range.0, range.1).map_err(|source| self.references.error(source))?;
                self.entries.between(Kind::Problem, range, |id, body| {
                    bodies.push((id, body.to_vec()));
                    Ok(())
                })?;
                bodies.sort_unstable();
                for (id, body) in bodies {
                    row::push(decode(id, &body)?, values, &mut self.references)?;
                }
            }
            Source::Folded(kind) => self.folded(*kind, range, values)?,
            Source::Observables => self.observables(range.0, range.1, values).map_err(|source| self.references.error(source))?,
            Source::Links => {
                let rows = people::rows(&self.references.connection, self.references.scratch.exhibit(), range, values);
                rows.map_err(|source| self.references.error(source))?;
            }
        }
        Ok(())
    }
}

/// What folding says of a sighting or secret.
struct Fold {
    finders: &'static str,
    record: Option<Id>,
    field: Option<String>,
    field_offset: Option<i64>,
    row: Option<(String, i64)>,
}

fn sighting_row(id: Id, sighting: Sighting, fold: Fold, values: &mut Vec<Value>) {
    let (table, row_id) = fold.row.unzip();
    let mut row = Row::new("sighting", values);
    row.put("id", id).put("observable_id", sighting.observable.id());
    row.put("exhibit_id", sighting.exhibit).put("item_id", sighting.item).put("record_id", fold.record);
    row.put("field", fold.field).put("field_offset", fold.field_offset);
    row.put("byte_offset", sighting.byte_offset).put("byte_length", sighting.byte_length);
    row.put("encoding", sighting.encoding.name()).put("row_table", table).put("row_id", row_id);
    row.put("support", sighting.support).put("finder", fold.finders).put("context", sighting.context);
}

fn secret_row(id: Id, secret: Secret, fold: Fold, values: &mut Vec<Value>) {
    let (table, row_id) = fold.row.unzip();
    let mut row = Row::new("secret", values);
    row.put("id", id).put("exhibit_id", secret.exhibit).put("item_id", secret.item);
    row.put("kind", SecretKind::name(secret.kind)).put("value", secret.value).put("detail", secret.detail);
    row.put("record_id", fold.record).put("field", fold.field).put("field_offset", fold.field_offset);
    row.put("byte_offset", secret.byte_offset).put("byte_length", secret.byte_length);
    row.put("row_table", table).put("row_id", row_id).put("finder", fold.finders);
}

/// Answers about what rows refer to.
struct References<'s> {
    scratch: &'s Scratch,
    /// What was worked out.
    connection: Connection,
    known: HashMap<(u8, Id), bool>,
    /// Accounts that ids stand for, by the id that an account of the same file would have.
    accounts: HashMap<Id, Option<Id>>,
    /// Owners' accounts, by file and app.
    owners: HashMap<(Id, String), Option<Id>>,
}

impl<'s> References<'s> {
    fn open(scratch: &'s Scratch) -> Result<References<'s>, Error> {
        let connection = scratch.read().map_err(|source| scratch.error(source))?;
        let (known, accounts, owners) = Default::default();
        Ok(References { scratch, connection, known, accounts, owners })
    }

    fn error(&self, source: rusqlite::Error) -> Error {
        self.scratch.error(source)
    }
}

impl Known for References<'_> {
    fn known(&mut self, kind: Kind, id: Id) -> Result<bool, Error> {
        if let Some(known) = self.known.get(&(kind as u8, id)) {
            return Ok(*known);
        }
        let known = self.scratch.keys().find(kind, id)?.is_some();
        // Messages name few threads and definitions, again and again; attachments name each message once.
        if matches!(kind, Kind::Thread | Kind::Account | Kind::Definition) {
            if self.known.len() >= REMEMBERED {
                self.known.clear();
            }
            self.known.insert((kind as u8, id), known);
        }
        Ok(known)
    }

    fn file_of(&mut self, attachment: Id) -> Result<Option<Id>, Error> {
        let sql = "SELECT item FROM links.linked WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(|source| self.error(source))?;
        let item: Option<[u8; 16]> =
            statement.query_row([attachment.bytes()], |row| row.get(0)).optional().map_err(|source| self.error(source))?;
        Ok(item.map(Id))
    }

    fn account_of(&mut self, own: Id, app: &str, key: &str) -> Result<Option<Id>, Error> {
        if let Some(known) = self.accounts.get(&own) {
            return Ok(*known);
        }
        let found = people::account(&self.connection, app, key).map_err(|source| self.error(source))?;
        if self.accounts.len() >= REMEMBERED {
            self.accounts.clear();
        }
        self.accounts.insert(own, found);
        Ok(found)
    }

    fn owner_of(&mut self, item: Id, app: &str) -> Result<Option<Id>, Error> {
        let key = (item, app.to_owned());
        if let Some(known) = self.owners.get(&key) {
            return Ok(*known);
        }
        let found = people::owner(&self.connection, item, app).map_err(|source| self.error(source))?;
        if self.owners.len() >= REMEMBERED {
            self.owners.clear();
        }
        self.owners.insert(key, found);
        Ok(found)
    }

    fn conflicts(&mut self, ledger: Id) -> Result<i64, Error> {
        let sql = "SELECT records FROM conflict WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(|source| self.error(source))?;
        let records = statement.query_row([ledger.bytes()], |row| row.get(0)).optional();
        Ok(records.map_err(|source| self.error(source))?.unwrap_or(0))
    }
}

pub(super) fn decode(id: Id, body: &[u8]) -> Result<Body, Error> {
    from_bytes(body).map_err(|source| Error::Entry { id, source })
}
