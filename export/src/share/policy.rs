//! Which columns can be shown, and which must be.
//!
//! Ids are hashes of what a thing is. Whoever can list all phone numbers of a country can hash them all, so an id is as good as the
//! value that it comes from, and so is, to some bits, the place of its row in a tree that is sorted by ids. That leaves one safe rule: a row
//! whose id comes from its content is shown with that content or does not leave, and a reference is shown only to a row that leaves.

use crate::Error;
use crate::bundle::schema::Table;
use config::share::Profile;
use std::collections::{BTreeMap, BTreeSet};

/// Tables whose ids come from their content, and that content.
const NAMED_BY: &[(&str, &[&str])] = &[
    ("account", &["account_key", "app", "state"]),
    ("definition", &["name", "sha256"]),
    ("directory", &["path"]),
    ("exhibit", &["case_label", "number"]),
    ("item", &["path"]),
    ("observable", &["chain", "kind", "value"]),
    ("thread", &["app", "state", "thread_key"]),
];

/// Tables of which nothing ever leaves: secrets, seeds, words about anything in the evidence, and who is who.
const NEVER: &[&str] =
    &["custody", "ledger", "link", "meta", "part", "part_observable", "problem", "secret", "seal", "seal_tile"];

/// References: the column, and the tables that it leads to.
pub const REFERENCES: &[(&str, &[&str])] = &[
    ("account_id", &["account"]),
    ("sender_account_id", &["account"]),
    ("recipient_account_id", &["account"]),
    ("remote_account_id", &["account"]),
    ("contact_id", &["contact"]),
    ("definition_id", &["definition"]),
    ("exhibit_id", &["exhibit"]),
    ("file_item_id", &["item"]),
    ("item_id", &["item"]),
    ("message_id", &["message"]),
    ("observable_id", &["observable"]),
    ("parent_id", &["item"]),
    ("record_id", &["account", "attachment", "call", "contact", "contact_point", "message", "thread", "visit", "location"]),
    ("thread_id", &["thread"]),
];

/// The columns that are shown of each table whose rows may leave.
pub struct Policy {
    shown: BTreeMap<String, BTreeSet<String>>,
}

impl Policy {
    /// What a profile shows, less what is hidden besides (`table.column`, or a column of every table).
    ///
    /// # Errors
    /// Tables and columns that are not there; tables that never leave; content that cannot be hidden because the row's id comes from it.
    pub fn of(profile: &Profile, hide: &[String], tables: &[Table]) -> Result<Policy, Error> {
        let refuse = |words: String| Err(Error::Share(words));
        let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, columns) in &profile.show {
            let Some(table) = tables.iter().find(|table| table.name == name) else {
                return refuse(format!("profile {}: there is no table {name}", profile.name));
            };
            if NEVER.contains(&name.as_str()) {
                return refuse(format!("profile {}: table {name} never leaves", profile.name));
            }
            if let Some(column) = columns.iter().find(|column| table.column(column).is_none()) {
                return refuse(format!("profile {}: table {name} has no column {column}", profile.name));
            }
            let mut all: BTreeSet<String> = columns.iter().cloned().collect();
            all.extend(named_by(name).iter().map(|column| (*column).to_owned()));
            shown.insert(name.clone(), all);
        }
        for field in hide {
            let (wanted, column) = field.split_once('.').map_or((None, field.as_str()), |(table, column)| (Some(table), column));
            let mut hidden = false;
            for (name, columns) in shown.iter_mut().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name)) {
                if !columns.contains(column) {
                    continue;
                }
                if named_by(name).contains(&column) {
                    return refuse(format!(
                        "{name}.{column} cannot be hidden, because the row's id is a hash of it and can be guessed: leave the rows of {name} out"
                    ));
                }
                hidden |= columns.remove(column);
            }
            let known = |table: &Table| wanted.is_none_or(|wanted| wanted == table.name) && table.column(column).is_some();
            if !hidden && !tables.iter().any(known) {
                return refuse(format!("there is no field {field}"));
            }
        }
        Ok(Policy { shown })
    }

    /// Whether rows of a table may leave.
    pub fn leaves(&self, table: &str) -> bool {
        self.shown.contains_key(table)
    }

    /// Whether a column's own content is shown; ids and references are not content.
    pub fn shows(&self, table: &str, column: &str) -> bool {
        self.shown.get(table).is_some_and(|columns| columns.contains(column))
    }

    /// The columns of a table with content that are not shown.
    pub fn hidden<'t>(&self, table: &'t Table) -> impl Iterator<Item = &'t str> {
        let is_reference = |column: &str| REFERENCES.iter().any(|(name, _)| *name == column);
        let of = move |column: &str| column != "id" && !is_reference(column) && !self.shows(table.name, column);
        table.columns.iter().map(|column| column.name).filter(move |column| of(column))
    }
}

fn named_by(table: &str) -> &'static [&'static str] {
    NAMED_BY.iter().find(|(name, _)| *name == table).map_or(&[], |(_, columns)| columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::schema;

    #[test]
    fn content_that_an_id_comes_from_cannot_be_hidden() {
        let profile = Profile::named("unit").unwrap();
        let policy = |hide: &str| Policy::of(&profile, &[hide.to_owned()], schema::tables());
        assert!(policy("observable.value").err().unwrap().to_string().contains("can be guessed"));
        assert!(policy("account_key").is_err());
        assert!(policy("no_such").is_err());
        let policy = policy("text").unwrap();
        assert!(!policy.shows("message", "text") && policy.shows("message", "sent_time"));
    }

    #[test]
    fn secrets_never_leave_whatever_a_profile_says() {
        for table in NEVER.iter().filter(|table| schema::table(table).is_some()) {
            let mut profile = Profile::named("unit").unwrap();
            profile.show.insert((*table).to_owned(), Vec::new());
            assert!(Policy::of(&profile, &[], schema::tables()).is_err(), "{table}");
        }
    }

    #[test]
    fn every_reference_of_a_table_that_may_leave_is_known() {
        for table in schema::tables().iter().filter(|table| !NEVER.contains(&table.name)) {
            for column in table.columns.iter().filter(|column| column.name.ends_with("_id") && column.name != "row_id") {
                assert!(REFERENCES.iter().any(|(name, _)| *name == column.name), "{}.{}", table.name, column.name);
            }
        }
    }
}
