//! A bundle as the exports read it.

use crate::Error;
use crate::bundle::schema::{Table, tables};
use crate::bundle::value::Value;
use crate::share::{PartialReport, open_readable};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::path::{Path, PathBuf};

/// Namespace of the UUIDs (version 5) that stand for ids of a bundle: the same row has the same UUID in every export.
pub const NAMESPACE: uuid::Uuid = uuid::uuid!("8d1f9f0e-6f0c-5d5c-9a57-6a2f3d6c7b10");

/// One exhibit.
#[derive(Clone, Debug)]
pub struct ExhibitFacts {
    /// Its id, hexadecimal.
    pub id: String,
    /// Label of the case.
    pub case_label: String,
    /// Exhibit number.
    pub number: String,
    /// `phone`, `computer`, `unknown`.
    pub kind: String,
}

/// An opened bundle.
pub struct Bundle {
    path: PathBuf,
    connection: Connection,
    /// Its exhibits.
    pub exhibits: Vec<ExhibitFacts>,
    /// The signed text; empty for a bundle without a seal.
    pub checkpoint: String,
    /// The signature over it.
    pub signature: Option<String>,
    /// Who signed, as the bundle says.
    pub signer: String,
    /// Of a partial bundle, what it says of itself.
    pub partial: Option<PartialReport>,
}

impl Bundle {
    /// Opens a bundle.
    pub fn open(path: &Path) -> Result<Bundle, Error> {
        let readable = open_readable(path)?;
        let (connection, partial) = (readable.connection, readable.partial.map(|(report, _)| report));
        let error = |source| Error::Store { path: path.to_owned(), source };
        let not_a_bundle = |source: rusqlite::Error| Error::NotABundle { path: path.to_owned(), reason: source.to_string() };
        let facts = |row: &Row<'_>| {
            let id: Vec<u8> = row.get(0)?;
            // A part may hide its exhibit's kind.
            let text = |place| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(place)?.unwrap_or_default());
            Ok(ExhibitFacts { id: hex(&id), case_label: text(1)?, number: text(2)?, kind: text(3)? })
        };
        let exhibits = connection
            .prepare("SELECT id, case_label, number, kind FROM exhibit ORDER BY id")
            .map_err(not_a_bundle)?
            .query_map([], facts)
            .and_then(Iterator::collect)
            .map_err(error)?;
        let seal = connection
            .query_row("SELECT checkpoint, signature, signer FROM seal", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let (checkpoint, signature, signer) = seal.map_err(not_a_bundle)?;
        Ok(Bundle { path: path.to_owned(), connection, exhibits, checkpoint, signature, signer, partial })
    }

    /// Gives every row of a query to `take`.
    pub fn each(&self, sql: &str, take: &mut dyn FnMut(&Row<'_>) -> Result<(), Failure>) -> Result<(), Error> {
        let error = |source| Error::Store { path: self.path.clone(), source };
        let mut statement = self.connection.prepare(sql).map_err(error)?;
        let mut rows = statement.query([]).map_err(error)?;
        while let Some(row) = rows.next().map_err(error)? {
            match take(row) {
                Ok(()) => {}
                Err(Failure::Read(source)) => return Err(error(source)),
                Err(Failure::Write(failure)) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Gives every row of a table in the order of its key, all columns.
    pub fn each_row(&self, table: &Table, take: &mut dyn FnMut(&[Value]) -> Result<(), Error>) -> Result<(), Error> {
        let sql = format!("SELECT {} FROM {} ORDER BY 1", table.column_list(), table.name);
        let mut values = Vec::new();
        self.each(&sql, &mut |row| {
            values.clear();
            for place in 0..table.columns.len() {
                values.push(value(row.get_ref(place)?));
            }
            Ok(take(&values)?)
        })
    }

    /// The tables that an export may carry: what is sealed, without secrets.
    pub fn tables(&self) -> impl Iterator<Item = &'static Table> {
        tables().iter().filter(|table| table.sealed() && table.name != "secret")
    }

    /// What every export says of where it comes from.
    pub fn origin(&self, order: &super::Order) -> serde_json::Value {
        let mut origin = serde_json::json!({
            "unit": self.signer,
            "officer": order.officer,
            "exhibits": self.exhibits.iter().map(|exhibit| serde_json::json!({
                "id": exhibit.id, "case": exhibit.case_label, "number": exhibit.number, "kind": exhibit.kind,
            })).collect::<Vec<_>>(),
            "checkpoint": self.checkpoint,
            "signature": self.signature,
            "created": rfc3339(order.created_us),
            "purpose": order.purpose,
            "recipient": order.recipient,
            "handling": format!("TLP:{}", order.handling.name().to_uppercase()),
            "retain_until": order.retain_until,
            "persons": "unknown, possible victims",
            "nature": "intelligence lead, not evidence: the sealed bundle is the evidence",
        });
        if let (Some(partial), Some(origin)) = (&self.partial, origin.as_object_mut()) {
            // What was said when the part was given binds whoever passes it on.
            let said = ["purpose", "handling", "retain_until", "owners", "profile", "sharer"];
            let said = said.iter().filter_map(|name| Some(((*name).to_owned(), partial.statement.get(*name)?.as_str().into())));
            origin.insert("shared_under".to_owned(), serde_json::Value::Object(said.collect()));
        }
        origin
    }
}

/// Why an export cannot go on in the middle of a query.
pub enum Failure {
    /// The bundle cannot be read.
    Read(rusqlite::Error),
    /// The export cannot be written.
    Write(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Read(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Write(error)
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        // No column of a bundle holds a real; a stranger's file may.
        ValueRef::Real(real) => Value::Text(real.to_string()),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Microseconds since 1970 as RFC 3339 UTC with milliseconds, as STIX and MISP want them; `None` beyond the years 0 to 9999.
pub fn rfc3339(micros: i64) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(micros)
        .ok()
        .filter(|time| (0..=9999).contains(&time.to_zoned(jiff::tz::TimeZone::UTC).year()))?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

/// The UUID that stands for something of a bundle.
pub fn uuid(kind: &str, name: &str) -> uuid::Uuid {
    uuid::Uuid::new_v5(&NAMESPACE, format!("{kind}:{name}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(rfc3339(951_782_400_123_456).as_deref(), Some("2000-02-29T00:00:00.123Z"));
        assert_eq!(rfc3339(i64::MAX), None);
    }

    /// RFC 9562 gives the algorithm; Python's `uuid.uuid5` gave this one.
    #[test]
    fn uuids_are_version_5() {
        assert_eq!(uuid("item", "00").get_version_num(), 5);
        assert_eq!(uuid("item", "00"), uuid("item", "00"));
        assert_ne!(uuid("item", "00"), uuid("message", "00"));
    }
}
