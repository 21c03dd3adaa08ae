//! A partial bundle: chosen rows of a sealed one, some of their fields hidden, with the proof that each stands under the original seal.
//!
//! Reads a sealed bundle that holds. Writes one SQLite file (`docs/bundle-format.md` §10): each row's shown fields with their salts,
//! the digests of its hidden ones, the subtrees between the rows, the original seal, and a statement of what was given to whom and why,
//! signed by whoever shares. Guarantees: nothing that is hidden is in the file in any form that can be tested by guessing; what is
//! hidden is decided by lists of what may be shown. Limits: the leaf hashes of the whole bundle are in memory (32 bytes a row).

mod choose;
mod envelope;
mod open;
mod policy;
mod report;
mod unfold;
mod write;

pub use envelope::{Recipients, decrypt};
pub use open::{PartialReport, check, is_partial};
pub use report::Minimisation;
pub use unfold::{Readable, open_readable};

use crate::bundle::digest::{RowHasher, leaf_of};
use crate::bundle::schema::{self, Table};
use crate::bundle::tree;
use crate::bundle::value::Value;
use crate::search::Query;
use crate::{Error, UnitKey, open_read_only, verify};
use choose::Chosen;
use config::share::Profile;
use model::Digest;
use policy::{Policy, REFERENCES};
use rusqlite::Connection;
use std::path::Path;

/// `application_id` of a partial bundle: `HAUP` in ASCII.
pub const APPLICATION_ID: i32 = 0x4841_5550;
/// `user_version` of a partial bundle.
pub const FORMAT_VERSION: i32 = 1;
/// Namespace of the statement's signature.
pub const NAMESPACE: &str = "haul-share";
/// What is said of the owner of a device unless someone says otherwise under their own name.
pub const UNKNOWN_OWNER: &str = "unknown, possible victim";

/// What is asked for.
pub struct Request<'a> {
    /// A sealed bundle, merged or not.
    pub bundle: &'a Path,
    /// What may leave, and what of it is shown.
    pub profile: &'a Profile,
    /// What is looked for; what the profile takes if nothing is.
    pub query: Option<&'a Query>,
    /// Rows of this app only.
    pub app: Option<&'a str>,
    /// Fields that are hidden besides: `table.column`, or a column of every table.
    pub hide: &'a [String],
    /// What the receiver may use it for.
    pub purpose: &'a str,
    /// Why it is given.
    pub reason: &'a str,
    /// Handling code: `TLP:RED`, `TLP:AMBER+STRICT`, `TLP:AMBER`, `TLP:GREEN`, `TLP:CLEAR`.
    pub handling: &'a str,
    /// Until when it may be kept: a date, `2027-01-31`.
    pub retain_until: &'a str,
    /// Who it is for, in words or as public keys.
    pub recipients: &'a [String],
    /// Who the devices' owners are, if someone says so under their own name.
    pub owners: Option<&'a str>,
}

/// One row that leaves.
struct Shown {
    leaf: u64,
    table: &'static str,
    /// `{"column":["salt",value],…}`, columns in order, `table` among them.
    shown: Vec<u8>,
    /// Digests of the hidden fields, ascending.
    hidden: Vec<u8>,
}

/// A share that is worked out and not written yet.
pub struct Draft {
    rows: Vec<Shown>,
    nodes: Vec<tree::Node>,
    seal: [String; 3],
    statement: String,
    /// What would leave.
    pub report: Minimisation,
}

/// Works out what leaves. Nothing is written.
///
/// # Errors
/// A bundle that does not hold or is unsigned; a request that cannot be met.
pub fn draft(request: &Request<'_>, key: &UnitKey) -> Result<Draft, Error> {
    let found = verify(request.bundle)?;
    if !found.holds() {
        return Err(Error::DoesNotHold { path: request.bundle.to_owned(), words: found.to_string() });
    }
    let connection = open_read_only(request.bundle)?;
    let store = |source| Error::Store { path: request.bundle.to_owned(), source };
    let merged: bool = connection
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'part')", [], |row| row.get(0))
        .map_err(store)?;
    let tables = if merged { schema::merged_tables() } else { schema::tables() };
    let (seal, seed) = seal(&connection).map_err(store)?;
    // Salts of an unsigned bundle come from its name: they hide nothing.
    let [Some(checkpoint), Some(signature), Some(signer)] = seal else {
        return Err(Error::Share("an unsigned bundle hides nothing and cannot be shared in part".to_owned()));
    };
    let Some(seed) = seed.and_then(|hex| Digest::parse(&hex)) else {
        return Err(Error::Share("the bundle has no seed".to_owned()));
    };
    check_request(request)?;
    let policy = Policy::of(request.profile, request.hide, tables)?;
    let chosen = choose::choose(&connection, request, tables, &policy)?;
    let (places, size) = choose::places(&connection, tables, &chosen).map_err(store)?;
    let leaves = leaves(&connection).map_err(store)?;
    if places.is_empty() || leaves.len() as u64 != size {
        return Err(Error::Share("nothing in the bundle is what was asked for".to_owned()));
    }
    let mut hasher = RowHasher::new(&seed.0);
    let mut report = Minimisation::begin(size, &chosen.left_out);
    let mut rows = Vec::with_capacity(places.len());
    for (leaf, table, id) in &places {
        let values = row(&connection, table, id).map_err(store)?;
        let sealed = leaves.get(*leaf as usize);
        let shown = show(&mut hasher, table, &values, &policy, &chosen, &mut report);
        let (row, digest) = (Shown { leaf: *leaf, table: table.name, shown: shown.0, hidden: shown.1 }, shown.2);
        if sealed != Some(&digest) {
            return Err(Error::Share(format!("table {} row {}: its leaf is not where it should be", table.name, model::Id(*id))));
        }
        rows.push(row);
    }
    let indices: Vec<u64> = places.iter().map(|(leaf, ..)| *leaf).collect();
    let nodes = tree::complement(&leaves, &indices);
    let statement = write::statement(request, key, &checkpoint, &rows, &policy, tables);
    Ok(Draft { rows, nodes, seal: [checkpoint, signature, signer], statement, report })
}

impl Draft {
    /// Writes the partial bundle under a name that must not exist; it appears whole or not at all.
    ///
    /// # Errors
    /// A file that is there already or cannot be written.
    pub fn write(&self, out: &Path, key: &UnitKey) -> Result<(), Error> {
        write::write(self, out, key)
    }

    /// How many rows leave.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }
}

fn check_request(request: &Request<'_>) -> Result<(), Error> {
    let refuse = |words: &str| Err(Error::Share(words.to_owned()));
    if request.profile.query && request.query.is_none() {
        return refuse("this profile takes nothing without a query (--only)");
    }
    if request.profile.app && request.app.is_none() {
        return refuse("this profile needs the app whose rows are taken (--app)");
    }
    if request.purpose.trim().is_empty() || request.reason.trim().is_empty() {
        return refuse("a share needs a purpose and a reason");
    }
    const CODES: [&str; 5] = ["TLP:RED", "TLP:AMBER+STRICT", "TLP:AMBER", "TLP:GREEN", "TLP:CLEAR"];
    if !CODES.contains(&request.handling) {
        return Err(Error::Share(format!("{} is no handling code: {}", request.handling, CODES.join(", "))));
    }
    match request.retain_until.parse::<jiff::civil::Date>() {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Share(format!("{} is no date: {error}", request.retain_until))),
    }
}

type Sealing = ([Option<String>; 3], Option<String>);

fn seal(connection: &Connection) -> rusqlite::Result<Sealing> {
    let sql = "SELECT checkpoint, signature, signer FROM seal";
    let seal = connection.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
    let seed = connection.query_row("SELECT value FROM meta WHERE key = 'bundle_seed'", [], |row| row.get(0))?;
    Ok((seal, seed))
}

/// Every leaf hash, in order.
fn leaves(connection: &Connection) -> rusqlite::Result<Vec<[u8; 32]>> {
    let mut statement = connection.prepare("SELECT hashes FROM seal_tile ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut leaves = Vec::new();
    while let Some(row) = rows.next()? {
        let (whole, _) = row.get_ref(0)?.as_blob()?.as_chunks::<32>();
        leaves.extend_from_slice(whole);
    }
    Ok(leaves)
}

fn row(connection: &Connection, table: &Table, id: &[u8; 16]) -> rusqlite::Result<Vec<Value>> {
    let sql = format!("SELECT {} FROM {} WHERE id = ?1", table.column_list(), table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row([id], |row| {
        let read = |(place, column): (usize, &schema::Column)| Ok(Value::read(row.get_ref(place)?, column.kind).0);
        table.columns.iter().enumerate().map(read).collect()
    })
}

/// The shown fields in JSON, the digests of the hidden ones, and the leaf that both give.
fn show(
    hasher: &mut RowHasher,
    table: &'static Table,
    values: &[Value],
    policy: &Policy,
    chosen: &Chosen,
    report: &mut Minimisation,
) -> (Vec<u8>, Vec<u8>, [u8; 32]) {
    let (mut shown, mut hidden, mut all) = (vec![b'{'], Vec::new(), Vec::new());
    for field in hasher.fields(table, values) {
        all.push(field.digest);
        let value = table.column(field.name).and_then(|place| values.get(place));
        if !is_shown(table, field.name, value, policy, chosen) {
            hidden.push(field.digest);
            continue;
        }
        report.shown(table.name, field.name, value);
        if shown.len() > 1 {
            shown.push(b',');
        }
        let salt = Digest(field.salt);
        shown.extend_from_slice(format!("\"{}\":[\"{salt}\",", field.name).as_bytes());
        shown.extend_from_slice(&field.json);
        shown.push(b']');
    }
    shown.push(b'}');
    report.row(table.name, hidden.len());
    hidden.sort_unstable();
    (shown, hidden.concat(), leaf_of(all))
}

fn is_shown(table: &Table, name: &str, value: Option<&Value>, policy: &Policy, chosen: &Chosen) -> bool {
    if name == "table" || name == "id" {
        return true;
    }
    match REFERENCES.iter().find(|(column, _)| *column == name) {
        Some((_, targets)) => match value {
            Some(Value::Blob(id)) => chosen.has(targets, id),
            Some(Value::Id(id)) => chosen.has(targets, id),
            _ => false,
        },
        None => policy.shows(table.name, name),
    }
}
