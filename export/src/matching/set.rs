//! What is matched: a unit's values in their normal form, each told by its kind.

use crate::verify::require_form;
use crate::{Error, open_read_only};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What can be matched, sorted. Names of persons cannot: two spellings would not meet.
pub const KINDS: [&str; 5] = ["email", "file", "handle", "phone", "wallet"];
/// The normal forms that values are compared in: those of `observable.value`, of an app's account keys, and lower-case SHA-256.
pub const NORMAL: &str = "haul-values-1";
/// Fewest elements of a padded set.
pub const LEAST: u64 = 64;
/// Most elements of a padded set.
pub const MOST: u64 = 1 << 20;

/// What stands for a value in the protocol: SHA-256 over kind and value. It never leaves the unit as it is.
pub type Input = [u8; 32];

/// A value of this unit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Value {
    /// Of [`KINDS`].
    pub kind: &'static str,
    /// The app, for a handle.
    pub app: Option<String>,
    /// The value.
    pub value: String,
}

impl Value {
    /// The value as the protocol takes it.
    pub fn input(&self) -> Input {
        let mut hash = Sha256::new_with_prefix("haul match v1");
        for part in [self.kind, self.app.as_deref().unwrap_or(""), &self.value] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// A unit's values by what stands for them.
pub type Set = BTreeMap<Input, Value>;

/// The set of values, each once.
pub fn set(values: impl IntoIterator<Item = Value>) -> Set {
    values.into_iter().map(|value| (value.input(), value)).collect()
}

/// Reads the values of those kinds from bundles. Empty files are not values: every unit has them.
pub fn read(bundles: &[PathBuf], kinds: &[String]) -> Result<Set, Error> {
    let mut found = Set::new();
    for path in bundles {
        let connection = open_read_only(path)?;
        require_form(path, &connection)?;
        for kind in KINDS.into_iter().filter(|kind| kinds.iter().any(|wanted| wanted == kind)) {
            take(path, &connection, kind, &mut found)?;
        }
    }
    Ok(found)
}

fn sql(kind: &str) -> &'static str {
    match kind {
        "email" => "SELECT NULL, value FROM observable WHERE kind = 'email_address'",
        "phone" => "SELECT NULL, value FROM observable WHERE kind = 'phone_number'",
        "wallet" => "SELECT NULL, value FROM observable WHERE kind = 'wallet_address'",
        "handle" => {
            "SELECT app, account_key FROM account WHERE chain IS NULL UNION SELECT app, sender FROM message WHERE sender IS NOT NULL"
        }
        _ => "SELECT NULL, sha256 FROM item WHERE sha256 IS NOT NULL AND size_bytes > 0",
    }
}

fn take(path: &Path, connection: &Connection, kind: &'static str, found: &mut Set) -> Result<(), Error> {
    let error = |source| Error::Store { path: path.to_owned(), source };
    let mut statement = connection.prepare(sql(kind)).map_err(error)?;
    let values = statement
        .query_map([], |row| {
            let (app, value): (Option<String>, String) = (row.get(0)?, row.get(1)?);
            Ok(Value { kind, app, value })
        })
        .map_err(error)?;
    for value in values {
        let value = value.map_err(error)?;
        found.insert(value.input(), value);
    }
    Ok(())
}

/// How many elements a set of that size is padded to: the next power of two, so that sizes are told by bucket only; `None` if it is
/// too large.
pub fn bucket(size: usize) -> Option<u64> {
    let bucket = (size as u64).checked_next_power_of_two()?.max(LEAST);
    (bucket <= MOST).then_some(bucket)
}

/// Whether a size is one that [`bucket`] gives.
pub fn is_bucket(size: u64) -> bool {
    (LEAST..=MOST).contains(&size) && size.is_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_apps_are_part_of_a_value() {
        let value = |kind, app: Option<&str>, value: &str| Value { kind, app: app.map(str::to_owned), value: value.to_owned() };
        let values = [
            value("phone", None, "+85512345678"),
            value("handle", None, "+85512345678"),
            value("handle", Some("Viber"), "+85512345678"),
            value("handle", Some("Viber+"), "85512345678"),
            value("handle", Some(""), "Viber+85512345678"),
        ];
        assert_eq!(set(values.clone()).len(), values.len());
        // An empty app and none are one: no app has an empty name.
        assert_eq!(value("handle", Some(""), "x").input(), value("handle", None, "x").input());
        assert!(KINDS.is_sorted());
    }

    #[test]
    fn sizes_show_by_bucket_only() {
        assert_eq!([0, 1, 64, 65, 100_000].map(bucket), [64, 64, 64, 128, 131_072].map(Some));
        assert_eq!(bucket(1 << 20), Some(1 << 20));
        assert_eq!(bucket((1 << 20) + 1), None);
        assert_eq!(bucket(usize::MAX), None);
        assert!(is_bucket(64) && is_bucket(MOST) && ![0, 1, 32, 65, MOST * 2].into_iter().any(is_bucket));
    }
}
