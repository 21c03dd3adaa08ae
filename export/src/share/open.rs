//! Whether a partial bundle holds: its rows stand under the seal that it names, and they are those of its statement.

use super::write::{SQL, add_row, view};
use super::{APPLICATION_ID, FORMAT_VERSION, NAMESPACE};
use crate::bundle::checkpoint;
use crate::bundle::digest::{field_digest, leaf_of};
use crate::bundle::schema;
use crate::bundle::tree::root_of;
use crate::bundle::value::write_string;
use crate::verify::seal::is_signed;
use crate::{Error, open_read_only};
use model::Digest;
use rusqlite::Connection;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use ssh_key::{HashAlg, PublicKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// What checking a partial bundle came to.
#[derive(Debug, Default)]
pub struct PartialReport {
    /// What is wrong first; `None` if it holds.
    pub wrong: Option<String>,
    /// Rows in it.
    pub rows: u64,
    /// Rows of the whole bundle.
    pub size: u64,
    /// Fingerprint and key of who sealed the whole bundle.
    pub sealer: Option<(String, String)>,
    /// Fingerprint and key of who shared this part.
    pub sharer: Option<(String, String)>,
    /// The statement's members.
    pub statement: BTreeMap<String, String>,
}

impl fmt::Display for PartialReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(wrong) = &self.wrong {
            return write!(f, "does not hold: {}", model::text::escape(wrong));
        }
        let member = |name: &str| model::text::escape(self.statement.get(name).map_or("", String::as_str));
        let fingerprint = |key: &Option<(String, String)>| key.as_ref().map(|(print, _)| print.clone()).unwrap_or_default();
        write!(
            f,
            "holds, {} of {} rows, sealed by {}, shared by {}: {}, {}, keep until {}, purpose: {}",
            self.rows,
            self.size,
            fingerprint(&self.sealer),
            fingerprint(&self.sharer),
            member("profile"),
            member("handling"),
            member("retain_until"),
            member("purpose")
        )
    }
}

/// Whether a file calls itself a partial bundle.
///
/// # Errors
/// A file that is no database.
pub fn is_partial(path: &Path) -> Result<bool, Error> {
    let connection = open_read_only(path)?;
    let id: rusqlite::Result<i32> = connection.pragma_query_value(None, "application_id", |row| row.get(0));
    Ok(id.map_err(|source| Error::Store { path: path.to_owned(), source })? == APPLICATION_ID)
}

/// Checks a partial bundle. What is wrong is in the report; an error means that the file cannot be read as a database at all.
///
/// # Errors
/// A file that is no database.
pub fn check(path: &Path) -> Result<PartialReport, Error> {
    let connection = open_read_only(path)?;
    let mut report = PartialReport::default();
    match look(&connection, &mut report) {
        Ok(()) => {}
        Err(Trouble::Wrong(words)) => report.wrong = Some(words),
        Err(Trouble::Read(source)) => return Err(Error::Store { path: path.to_owned(), source }),
    }
    Ok(report)
}

enum Trouble {
    Wrong(String),
    Read(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(source: rusqlite::Error) -> Trouble {
        Trouble::Read(source)
    }
}

fn wrong<T>(words: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Wrong(words.into()))
}

fn look(connection: &Connection, report: &mut PartialReport) -> Result<(), Trouble> {
    let (mut leaves, mut names, mut digest) = (BTreeMap::new(), BTreeSet::new(), Sha256::new());
    numbers(connection)?;
    let given = form(connection)?;
    let mut statement = connection.prepare("SELECT leaf, name, shown, hidden FROM row ORDER BY leaf")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (leaf, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let (shown, hidden): (String, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let Ok(place) = u64::try_from(leaf) else { return wrong(format!("row {leaf}: has no place in a tree")) };
        let hash = row_leaf(&name, &shown, &hidden).map_err(|words| Trouble::Wrong(format!("row {leaf}: {words}")))?;
        add_row(&mut digest, place, &name, shown.as_bytes(), &hidden);
        leaves.insert(place, hash);
        names.insert(name);
    }
    report.rows = leaves.len() as u64;
    if names != given {
        return wrong("form: its views are not those of its rows");
    }
    let nodes = nodes(connection)?;
    let [checkpoint, signature, signer] = one(connection, "SELECT checkpoint, signature, signer FROM seal")?;
    report.sealer = Some(signed("seal", checkpoint::NAMESPACE, &checkpoint, &signature, &signer)?);
    let lines: Vec<&str> = checkpoint.split('\n').collect();
    let [origin, size, root, ""] = lines[..] else { return wrong("seal: its checkpoint does not have three lines") };
    let unit = report.sealer.as_ref().map(|(print, _)| print.replace('+', "%2B").replace('/', "%2F")).unwrap_or_default();
    if !origin.starts_with(&format!("haul/{unit}/")) {
        return wrong("seal: its checkpoint names another signer");
    }
    report.size = match size.parse() {
        Ok(count) if size == format!("{count}") => count,
        _ => return wrong("seal: its checkpoint has no size"),
    };
    let found = root_of(report.size, &leaves, &nodes).map(|root| checkpoint::base64(&root.0));
    if found.as_deref() != Some(root) {
        return wrong("row: the rows and subtrees do not give the root that was sealed");
    }
    let [text, signature, signer] = one(connection, "SELECT text, signature, signer FROM statement")?;
    let sharer = signed("statement", NAMESPACE, &text, &signature, &signer)?;
    report.statement = members(&text)?;
    let expected = [
        ("checkpoint_sha256", Digest::of(checkpoint.as_bytes()).to_string()),
        ("format", "haul partial bundle 1".to_owned()),
        ("rows", leaves.len().to_string()),
        ("rows_sha256", Digest(digest.finalize().into()).to_string()),
        ("sharer", sharer.0.clone()),
    ];
    report.sharer = Some(sharer);
    match expected.iter().find(|(name, value)| report.statement.get(*name) != Some(value)) {
        Some((name, _)) => wrong(format!("statement: its {name} is not that of the rows here")),
        None => Ok(()),
    }
}

fn numbers(connection: &Connection) -> Result<(), Trouble> {
    let expected =
        [("application_id", i64::from(APPLICATION_ID)), ("user_version", i64::from(FORMAT_VERSION)), ("freelist_count", 0)];
    for (name, expected) in expected {
        let found: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
        if found != expected {
            return wrong(format!("form: {name} is {found}, not {expected}"));
        }
    }
    Ok(())
}

/// The schema word for word: the four tables, and views of tables that a bundle has. The names of the views.
fn form(connection: &Connection) -> Result<BTreeSet<String>, Trouble> {
    let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
    for sql in SQL.split_terminator(";\n") {
        wanted.insert(sql.split_whitespace().nth(2).unwrap_or_default(), sql);
    }
    let mut views = BTreeSet::new();
    let mut statement = connection.prepare("SELECT name, CASE WHEN tbl_name = name THEN sql END FROM sqlite_schema")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, sql): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let sql = sql.unwrap_or_default();
        if wanted.remove(name.as_str()) == Some(sql.as_str()) {
            continue;
        }
        match schema::merged_tables().iter().find(|table| table.name == name) {
            Some(table) if view(table) == sql => drop(views.insert(name)),
            _ => return wrong(format!("form: {name} does not belong in a partial bundle")),
        }
    }
    match wanted.keys().next() {
        Some(name) => wrong(format!("form: table {name} is missing")),
        None => Ok(views),
    }
}

/// The leaf that a row's shown and hidden fields give. Their JSON must be in the one form that the digests are made of.
fn row_leaf(name: &str, shown: &str, hidden: &[u8]) -> Result<[u8; 32], String> {
    let Ok(Json::Object(fields)) = serde_json::from_str(shown) else { return Err("its fields are no JSON object".to_owned()) };
    let (whole, rest) = hidden.as_chunks::<32>();
    if !rest.is_empty() || !whole.is_sorted() {
        return Err("its hidden digests are not whole or not in order".to_owned());
    }
    let (mut digests, mut again, mut before) = (whole.to_vec(), vec![b'{'], "");
    for (column, field) in &fields {
        let (Some(Json::String(salt)), Some(value), 2) = (field.get(0), field.get(1), field.as_array().map_or(0, Vec::len))
        else {
            return Err(format!("field {column} is not a salt and a value"));
        };
        let Some(bytes) = Digest::parse(salt) else { return Err(format!("field {column} has no salt")) };
        let mut json = Vec::new();
        match value {
            Json::String(text) => write_string(text, &mut json),
            Json::Number(number) if number.is_i64() => json.extend_from_slice(number.to_string().as_bytes()),
            _ => return Err(format!("field {column} is neither text nor an integer")),
        }
        digests.push(field_digest(&bytes.0, column, &json));
        if before >= column.as_str() && !before.is_empty() {
            return Err("its fields are not in order".to_owned());
        }
        if again.len() > 1 {
            again.push(b',');
        }
        write_string(column, &mut again);
        again.extend_from_slice(format!(":[\"{bytes}\",", bytes = Digest(bytes.0)).as_bytes());
        again.extend_from_slice(&json);
        again.push(b']');
        before = column;
    }
    again.push(b'}');
    if again != shown.as_bytes() {
        return Err("its fields are written in another form".to_owned());
    }
    if fields.get("table").and_then(|field| field.get(1)).and_then(Json::as_str) != Some(name) {
        return Err(format!("it does not say that it is of table {name}"));
    }
    Ok(leaf_of(digests))
}

fn nodes(connection: &Connection) -> Result<BTreeMap<(u64, u64), [u8; 32]>, Trouble> {
    let mut nodes = BTreeMap::new();
    let mut statement = connection.prepare("SELECT first, leaves, hash FROM node")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (first, leaves, hash): (i64, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        match (u64::try_from(first), u64::try_from(leaves), <[u8; 32]>::try_from(hash)) {
            (Ok(first), Ok(leaves), Ok(hash)) => drop(nodes.insert((first, leaves), hash)),
            _ => return wrong(format!("node {first} {leaves}: is no subtree")),
        }
    }
    Ok(nodes)
}

/// The only row of a table of three texts.
fn one(connection: &Connection, sql: &str) -> Result<[String; 3], Trouble> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
    let mut rows: Vec<[String; 3]> = rows.collect::<rusqlite::Result<_>>()?;
    match (rows.pop(), rows.len()) {
        (Some(row), 0) => Ok(row),
        _ => wrong(format!("{sql}: not one row")),
    }
}

/// Fingerprint and line of the key that signed.
fn signed(what: &str, space: &str, text: &str, armored: &str, signer: &str) -> Result<(String, String), Trouble> {
    let key = PublicKey::from_openssh(signer).ok().filter(|key| key.to_openssh().is_ok_and(|line| line.trim_end() == signer));
    let Some(key) = key else { return wrong(format!("{what}: its signer is no public key")) };
    let holds = is_signed(&key, space, text, armored);
    if !holds {
        return wrong(format!("{what}: its signature is not the signer's"));
    }
    Ok((key.fingerprint(HashAlg::Sha256).to_string(), signer.to_owned()))
}

fn members(text: &str) -> Result<BTreeMap<String, String>, Trouble> {
    match serde_json::from_str(text) {
        Ok(members) => Ok(members),
        Err(_) => wrong("statement: is no JSON object of texts"),
    }
}
