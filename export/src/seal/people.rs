//! Which accounts of the exhibit are of one person, by evidence: rows of table `link`.
//!
//! What names a person (`crate::people`) is listed with the rows that have it. Of the rows that have a value alike, each is linked with one
//! account, the first: live before not, then by id. So n rows make n - 1 links, each with the value and the columns that it stands in, and
//! whoever follows them sees why. Rows stay as they are.

use super::scratch::Work;
use crate::Error;
use crate::bundle::row::Row;
use crate::bundle::value::Value;
use crate::people::{self, Identity, SAME_DEVICE_OWNER, Space, reason, state_rank};
use model::{Body, Id, Kind, Record};
use rusqlite::{Connection, OptionalExtension, params};

/// What lies in the scratch.
pub const SCHEMA: &str = "
CREATE TABLE identity (
  space TEXT, value TEXT, role INTEGER, rank INTEGER, id BLOB, field TEXT, PRIMARY KEY (space, value, role, rank, id, field)
) WITHOUT ROWID;
CREATE TABLE owner (item BLOB, app TEXT, rank INTEGER, id BLOB, key TEXT, PRIMARY KEY (item, app, rank, id)) WITHOUT ROWID;
CREATE TABLE link (
  id BLOB PRIMARY KEY, account BLOB, account_field TEXT, record BLOB, record_kind TEXT, record_field TEXT, reason TEXT, value TEXT
) WITHOUT ROWID;";

/// Roles of a row that has a value, those that can be the first of its group before the others.
const ROLES: [&str; 4] = ["account", "account", "contact_point", "device"];
const ACCOUNT: usize = 0;
/// An account that the evidence maps to the value.
const MAPPED: usize = 1;
const CONTACT_POINT: usize = 2;
const DEVICE: usize = 3;

/// Makes every link of the exhibit.
pub fn link_all(work: &Work<'_>) -> Result<(), Error> {
    list(work)?;
    alike(work)?;
    owners(work)
}

/// What names a person, with its row: the columns of table `identity`.
type Named = (String, String, usize, i64, Id, &'static str);

/// How much of it waits in memory: what is inserted in order costs a table little.
const HELD: usize = 1 << 15;

/// Lists what names a person.
fn list(work: &Work<'_>) -> Result<(), Error> {
    let mut held = Vec::new();
    for kind in [Kind::Account, Kind::ContactPoint, Kind::Device] {
        work.entries.each(kind, |id, body| {
            let Body::Record(record) = body else { return Ok(()) };
            let rank = state_rank(record.provenance().state);
            let mut put = |Identity { space, value, field }: Identity, role| {
                held.push((space.word(), value, role, rank, id, field));
                if held.len() >= HELD { write(work, &mut held) } else { Ok(()) }
            };
            match &record {
                Record::Account(account) => {
                    for identity in of_account(account) {
                        // The first of a group is found by what it is itself, not by what something is mapped to.
                        let mapped = identity.field == "same_as" && matches!(identity.space, Space::App(_));
                        put(identity, if mapped { MAPPED } else { ACCOUNT })?;
                    }
                    if account.is_owner == Some(true) {
                        let sql = "INSERT OR IGNORE INTO main.owner VALUES (?1, ?2, ?3, ?4, ?5)";
                        let item = account.provenance.item;
                        execute(work, sql, params![item.bytes(), account.app, rank, id.bytes(), account.account_key])?;
                    }
                }
                Record::ContactPoint(point) => {
                    if let Some(identity) = people::of_contact_point(&point.kind, point.value.as_deref(), &point.raw) {
                        put(identity, CONTACT_POINT)?;
                    }
                }
                Record::Device(fact) => {
                    if let Some(identity) = people::of_device(&fact.kind, fact.value.as_deref(), &fact.raw) {
                        put(identity, DEVICE)?;
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    write(work, &mut held)
}

fn of_account(account: &model::record::Account) -> Vec<Identity> {
    people::of_account(&people::Account {
        app: &account.app,
        key: &account.account_key,
        same_as: account.same_as.as_deref(),
        phone: account.phone.as_deref(),
        chain: account.chain.as_deref(),
    })
}

/// Inserts what is held, sorted; nothing is left.
fn write(work: &Work<'_>, held: &mut Vec<Named>) -> Result<(), Error> {
    held.sort_unstable();
    held.drain(..).try_for_each(|(space, value, role, rank, id, field)| {
        let sql = "INSERT OR IGNORE INTO main.identity VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        execute(work, sql, params![space, value, role as i64, rank, id.bytes(), field])
    })
}

fn execute(work: &Work<'_>, sql: &str, parameters: impl rusqlite::Params) -> Result<(), Error> {
    let run = || work.connection.prepare_cached(sql)?.execute(parameters);
    run().map(drop).map_err(|source| work.error(source))
}

/// One end of a link.
struct End {
    id: Id,
    role: usize,
    field: String,
}

/// Links the rows that have a value alike with the first of them.
fn alike(work: &Work<'_>) -> Result<(), Error> {
    let error = |source| work.error(source);
    let sql = "SELECT space, value, id, role, field FROM main.identity ORDER BY space, value, role, rank, id, field";
    let mut statement = work.connection.prepare(sql).map_err(error)?;
    let mut rows = statement.query([]).map_err(error)?;
    let mut group: Option<(String, String)> = None;
    let mut first: Option<End> = None;
    while let Some(row) = rows.next().map_err(error)? {
        let read = || -> rusqlite::Result<_> {
            let role = usize::try_from(row.get::<_, i64>(3)?).unwrap_or(DEVICE);
            Ok(((row.get(0)?, row.get(1)?), End { id: Id(row.get(2)?), role, field: row.get(4)? }))
        };
        let (key, end) = read().map_err(error)?;
        if group.as_ref() != Some(&key) {
            group = Some(key);
            first = (end.role == ACCOUNT).then_some(end);
            continue;
        }
        if let (Some(first), Some((space, value))) = (&first, &group)
            && first.id != end.id
        {
            let space = match space.as_str() {
                "phone" => Space::Phone,
                "email" => Space::Email,
                app => Space::App(app.to_owned()),
            };
            link(work, first, &end, reason(&space, &end.field), Some(value))?;
        }
    }
    Ok(())
}

/// Links the accounts that apps of the device hold for their user's own.
fn owners(work: &Work<'_>) -> Result<(), Error> {
    let error = |source| work.error(source);
    let mut statement = work.connection.prepare("SELECT id FROM main.owner ORDER BY rank, id").map_err(error)?;
    let mut rows = statement.query([]).map_err(error)?;
    let mut first: Option<End> = None;
    while let Some(row) = rows.next().map_err(error)? {
        let end = End { id: Id(row.get(0).map_err(error)?), role: ACCOUNT, field: "is_owner".to_owned() };
        match &first {
            None => first = Some(end),
            Some(first) => link(work, first, &end, SAME_DEVICE_OWNER, None)?,
        }
    }
    Ok(())
}

fn link(work: &Work<'_>, first: &End, other: &End, reason: &str, value: Option<&str>) -> Result<(), Error> {
    let parts = [first.id.bytes(), other.id.bytes(), reason.as_bytes(), value.unwrap_or("").as_bytes()];
    let id = Id::derive("link", &parts);
    let kind = ROLES.get(other.role).copied().unwrap_or("device");
    // A row that has the value in two columns is linked once.
    let sql = "INSERT OR IGNORE INTO main.link VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (account, record) = (first.id.bytes(), other.id.bytes());
    execute(work, sql, params![id.bytes(), account, first.field, record, kind, other.field, reason, value])
}

/// Appends the rows of table `link` with ids from the first to before the end; `links` is the schema that the scratch is attached as.
pub fn rows(links: &Connection, exhibit: Id, range: (&[u8], &[u8]), values: &mut Vec<Value>) -> rusqlite::Result<()> {
    let sql = "SELECT id, account, account_field, record, record_kind, record_field, reason, value FROM links.link
               WHERE id >= ?1 AND id < ?2 ORDER BY id";
    let mut statement = links.prepare_cached(sql)?;
    let mut rows = statement.query(range)?;
    while let Some(found) = rows.next()? {
        let text = |place: usize| found.get::<_, Option<String>>(place);
        let mut row = Row::new("link", values);
        row.put("id", Id(found.get(0)?)).put("exhibit_id", exhibit);
        row.put("account_id", Id(found.get(1)?)).put("account_field", text(2)?);
        row.put("record_id", Id(found.get(3)?)).put("record_kind", text(4)?).put("record_field", text(5)?);
        row.put("reason", text(6)?).put("value", text(7)?);
    }
    Ok(())
}

/// The account of an app's id in any file of the exhibit, where such ids are the same in every file: live before not, then by id.
pub fn account(links: &Connection, app: &str, key: &str) -> rusqlite::Result<Option<Id>> {
    let Some((space, value)) = people::of_key(app, key) else { return Ok(None) };
    let sql = "SELECT id FROM links.identity WHERE space = ?1 AND value = ?2 AND role = ?3 ORDER BY rank, id LIMIT 1";
    let mut statement = links.prepare_cached(sql)?;
    let found = statement.query_row(params![space.word(), value, ACCOUNT as i64], |row| row.get(0)).optional()?;
    Ok(found.map(Id))
}

/// The one live account that an app holds for its user's own in a file; `None` where it holds none, or several.
pub fn owner(links: &Connection, item: Id, app: &str) -> rusqlite::Result<Option<Id>> {
    let sql = "SELECT min(id), count(*) FROM links.owner WHERE item = ?1 AND app = ?2 AND rank = 0";
    let mut statement = links.prepare_cached(sql)?;
    let (id, count): (Option<[u8; 16]>, i64) =
        statement.query_row(params![item.bytes(), app], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(id.filter(|_| count == 1).map(Id))
}
