//! What would leave: the minimisation report that a person reads before anything is given away.

use crate::bundle::value::Value;
use model::Digest;
use model::observable::ObservableKind;
use model::recognize::{Found, find_in_text, phone};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Columns that tell who someone is.
const PERSONS: &[(&str, &str)] = &[
    ("account", "account_key"),
    ("account", "about"),
    ("account", "display_name"),
    ("account", "phone"),
    ("account", "phone_raw"),
    ("account", "same_as"),
    ("call", "remote"),
    ("call", "remote_name"),
    ("call", "remote_phone"),
    ("contact", "display_name"),
    ("contact_point", "raw"),
    ("contact_point", "value"),
    ("device", "raw"),
    ("device", "value"),
    ("message", "recipient"),
    ("message", "sender"),
    ("thread", "name"),
];

/// What would leave, counted while rows are gathered.
pub struct Minimisation {
    /// Rows of the whole bundle.
    size: u64,
    left_out: BTreeMap<String, u64>,
    /// Rows and hidden fields, table by table.
    tables: BTreeMap<&'static str, (u64, u64)>,
    fields: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// Distinct values of [`PERSONS`], as digests: a list of everyone is what this is to prevent.
    persons: BTreeMap<(&'static str, &'static str), BTreeSet<Digest>>,
    /// Phone numbers in shown fields, by country.
    countries: BTreeMap<String, BTreeSet<Digest>>,
}

impl Minimisation {
    pub(super) fn begin(size: u64, left_out: &BTreeMap<String, u64>) -> Minimisation {
        let (tables, fields, persons, countries) = Default::default();
        Minimisation { size, left_out: left_out.clone(), tables, fields, persons, countries }
    }

    pub(super) fn row(&mut self, table: &'static str, hidden: usize) {
        let (rows, fields) = self.tables.entry(table).or_default();
        *rows += 1;
        *fields += hidden as u64;
    }

    pub(super) fn shown(&mut self, table: &'static str, column: &'static str, value: Option<&Value>) {
        self.fields.entry(table).or_default().insert(column);
        let text = match value {
            Some(Value::Text(text)) => text.as_str(),
            _ => return,
        };
        if let Some(person) = PERSONS.iter().find(|person| **person == (table, column)) {
            self.persons.entry(*person).or_default().insert(Digest::of(text.as_bytes()));
        }
        for find in find_in_text(text) {
            if let Found::Observable(found) = find.found
                && found.kind == ObservableKind::PhoneNumber
            {
                let country = phone::country(&found.value).unwrap_or_else(|| "no country".to_owned());
                self.countries.entry(country).or_default().insert(Digest::of(found.value.as_bytes()));
            }
        }
    }
}

impl fmt::Display for Minimisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "what would leave:")?;
        for (table, (rows, hidden)) in &self.tables {
            let fields: Vec<_> =
                self.fields.get(table).into_iter().flatten().filter(|field| **field != "table").copied().collect();
            writeln!(f, "  {table}: {rows} rows, {hidden} of their fields hidden; shown: {}", fields.join(", "))?;
        }
        writeln!(f, "whose:")?;
        for ((table, column), values) in &self.persons {
            writeln!(f, "  {} different values of {table}.{column}", values.len())?;
        }
        for (country, numbers) in &self.countries {
            writeln!(f, "  {} phone numbers of {country}", numbers.len())?;
        }
        if self.persons.is_empty() && self.countries.is_empty() {
            writeln!(f, "  nobody is named, and there is no phone number")?;
        }
        for (table, rows) in &self.left_out {
            writeln!(f, "left out: {rows} rows of {table} that the query found, of which this profile shows nothing")?;
        }
        writeln!(f, "what the receiver learns besides:")?;
        writeln!(f, "  case and number of the exhibit, and who sealed it: they stand in the seal")?;
        writeln!(f, "  that the whole bundle has {} rows, and about where among them these stand", self.size)?;
        writeln!(f, "  how many fields of each row are hidden, not which and not what: their salts do not leave")?;
        write!(f, "  that two rows here come from one bundle")
    }
}
