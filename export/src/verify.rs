//! Whether a bundle holds: its rows give the root that was signed, and its ledger adds up.
//!
//! A bundle may come from a stranger: it is opened hardened, its schema is compared word for word before a row is read, and what its values
//! are is checked before they are used.

mod locate;
mod report;
mod rows;
mod rules;

pub use report::{Report, Signer, Wrong};

use crate::Error;
use crate::bundle::checkpoint::{self, NAMESPACE};
use crate::bundle::open::open_read_only;
use crate::bundle::schema;
use model::Digest;
use rusqlite::{Connection, OptionalExtension};
use ssh_key::{HashAlg, PublicKey, SshSig};
use std::path::Path;

/// Checks a bundle. What is wrong with it is in the report; an error means that the file cannot be read as a database at all.
pub fn verify(path: &Path) -> Result<Report, Error> {
    let connection = open_read_only(path)?;
    let error = |source| Error::Store { path: path.to_owned(), source };
    let mut report = Report::default();
    check_form(&connection, &mut report).map_err(error)?;
    if !report.holds() {
        return Ok(report);
    }
    let Some(seed) = seed(&connection).map_err(error)? else {
        report.wrong("seed", Some("meta"), Some("bundle_seed".to_owned()), "is missing or not 64 hexadecimal digits");
        return Ok(report);
    };
    rows::check(path, &connection, &seed, &mut report)?;
    check_seal(&connection, &mut report).map_err(error)?;
    rules::check(&connection, &mut report).map_err(error)?;
    Ok(report)
}

/// The header, and the schema word for word: no table, view, trigger or index that this version does not know.
fn check_form(connection: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let numbers = [
        ("application_id", i64::from(schema::APPLICATION_ID)),
        ("user_version", i64::from(schema::FORMAT_VERSION)),
        ("freelist_count", 0),
    ];
    for (name, expected) in numbers {
        let found: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
        if found != expected {
            report.wrong("form", None, None, format!("{name} is {found}, not {expected}"));
        }
    }
    let sql = "SELECT type, name, sql FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found: Vec<(String, String, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?.unwrap_or_default()));
    }
    for table in schema::tables() {
        match found.iter().find(|(_, name, _)| name == table.name) {
            None => report.wrong("form", Some(table.name), None, "the table is missing"),
            Some((_, _, sql)) if sql != table.create => report.wrong("form", Some(table.name), None, "has other columns"),
            Some(_) => {}
        }
    }
    for (kind, name, _) in &found {
        if kind != "table" || schema::table(name).is_none() {
            report.wrong("form", None, Some(name.clone()), format!("is a {kind} that does not belong in a bundle"));
        }
    }
    Ok(())
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

fn seed(connection: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    Ok(meta(connection, "bundle_seed")?.and_then(|hex| Digest::parse(&hex)).map(|digest| digest.0))
}

/// The checkpoint must be the one that rows, case and exhibit give, and its signature must be the signer's.
fn check_seal(connection: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT checkpoint, signature, signer FROM seal")?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let seals: Vec<(String, Option<String>, String)> = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    let [(found, signature, signer)] = &seals[..] else {
        report.wrong("seal", Some("seal"), None, format!("has {} rows, not one", seals.len()));
        return Ok(());
    };
    let key = match (signature, signer.as_str()) {
        (None, "unsigned") => None,
        _ => match PublicKey::from_openssh(signer) {
            Ok(key) => Some(key),
            Err(_) => {
                report.wrong("seal", Some("seal"), None, "its signer is neither a public key nor `unsigned`");
                return Ok(());
            }
        },
    };
    let fingerprint = key.as_ref().map(|key| key.fingerprint(HashAlg::Sha256).to_string());
    let names: Option<(String, String)> = connection
        .query_row("SELECT case_label, number FROM exhibit ORDER BY id LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (case_label, number) = names.unwrap_or_default();
    let origin = checkpoint::origin(fingerprint.as_deref(), &case_label, &number);
    let expected = checkpoint::text(&origin, report.rows, report.root);
    if *found != expected {
        report.wrong("seal", Some("seal"), None, difference(found, &expected));
    }
    if let Some(key) = &key {
        let verified = signature.as_deref().map(|armored| {
            SshSig::from_pem(armored).is_ok_and(|signature| key.verify(NAMESPACE, found.as_bytes(), &signature).is_ok())
        });
        match verified {
            Some(true) => {}
            Some(false) => report.wrong("seal", Some("seal"), None, "its signature is not the signer's over its checkpoint"),
            None => report.wrong("seal", Some("seal"), None, "it names a signer and has no signature"),
        }
    }
    report.checkpoint.clone_from(found);
    report.signer = fingerprint.map_or(Signer::Unsigned, |fingerprint| Signer::Key { fingerprint, line: signer.clone() });
    Ok(())
}

/// Which line of a checkpoint is not as the rows say.
fn difference(found: &str, expected: &str) -> String {
    let names = ["origin", "size", "root"];
    for (name, (found, expected)) in names.iter().zip(found.split('\n').zip(expected.split('\n'))) {
        if found != expected {
            return format!("the checkpoint's {name} is {found}, the rows give {expected}");
        }
    }
    "the checkpoint has more or fewer lines than three".to_owned()
}
