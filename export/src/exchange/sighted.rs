//! Observables with where they were seen: what STIX, MISP and the stop-payment packet are made of.

use super::Bundle;
use super::read::{Failure, hex};
use crate::Error;
use crate::seal::RECORD_TABLES;
use rusqlite::Row;
use std::collections::{BTreeMap, BTreeSet};

/// One observable and its sightings.
#[derive(Debug, Default)]
pub struct Sighted {
    /// Its id, hexadecimal.
    pub id: String,
    /// Its kind, as in the bundle.
    pub kind: String,
    /// The normalized value.
    pub value: String,
    /// Chains it validates on, comma-separated.
    pub chain: Option<String>,
    /// `checksum`, `format`, `context`.
    pub validity: String,
    /// Where it was seen, in the order of the sightings' ids.
    pub places: Vec<Place>,
}

/// One sighting.
#[derive(Debug)]
pub struct Place {
    /// The sighting's id.
    pub sighting: String,
    /// The exhibit's id.
    pub exhibit: String,
    /// The item's id.
    pub item: String,
    /// Path of the item.
    pub path: String,
    /// Its SHA-256.
    pub item_sha256: Option<String>,
    /// Its size, bytes.
    pub size_bytes: i64,
    /// First byte in the item.
    pub byte_offset: Option<i64>,
    /// How many bytes.
    pub byte_length: Option<i64>,
    /// Table and row.
    pub row: Option<(String, i64)>,
    /// The text around it, escaped.
    pub context: String,
    /// The message whose text has it.
    pub message: Option<Mention>,
    /// `live`, `superseded` or `recovered`: of the record that has it, if one has.
    pub state: Option<String>,
    /// Whether the file had been deleted.
    pub file_deleted: bool,
}

/// The message of a sighting.
#[derive(Debug)]
pub struct Mention {
    /// The message's id.
    pub id: String,
    /// The app.
    pub app: String,
    /// Key of the sender's account.
    pub sender: Option<String>,
    /// Whether the device's owner sent it.
    pub outgoing: Option<bool>,
    /// When, microseconds since 1970 UTC.
    pub sent_time: Option<i64>,
    /// What it says.
    pub text: Option<String>,
    /// `live`, `superseded` or `recovered`.
    pub state: String,
}

/// What a part of a bundle hides is empty.
const SQL: &str = "SELECT observable.id, observable.kind, observable.value, observable.chain, coalesce(observable.validity, ''),
       sighting.id AS sighting_id, sighting.exhibit_id, item.path, item.sha256, item.size_bytes, sighting.byte_offset,
       sighting.row_table, sighting.row_id, coalesce(sighting.context, ''),
       message.id, coalesce(message.app, ''), message.sender, message.outgoing, message.sent_time, message.text,
       sighting.item_id, sighting.byte_length, coalesce(message.state, ''), item.deleted, sighting.record_id,
       sighting.record_id IS NOT NULL AND message.id IS NULL AS elsewhere
FROM observable LEFT JOIN sighting ON sighting.observable_id = observable.id
                LEFT JOIN item ON item.id = sighting.item_id
                LEFT JOIN message ON message.id = sighting.record_id";

/// Gives every observable (of a kind, if one is named) with all its sightings, in the order of ids.
pub fn each(bundle: &Bundle, kind: Option<&str>, take: &mut dyn FnMut(&Sighted) -> Result<(), Error>) -> Result<(), Error> {
    // Kinds come from this crate alone.
    let filter = kind.map_or_else(String::new, |kind| format!(" WHERE observable.kind = '{kind}'"));
    let mut current: Option<Sighted> = None;
    let states = RECORD_TABLES.map(|table| format!("(SELECT state FROM {table} WHERE id = found.record_id)")).join(", ");
    let sql = format!(
        "SELECT found.*, CASE WHEN elsewhere THEN coalesce({states}) END FROM ({SQL}{filter}) AS found ORDER BY 1, sighting_id"
    );
    bundle.each(&sql, &mut |row| {
        let id = hex(row.get_ref(0)?.as_blob().map_err(|error| Failure::Read(error.into()))?);
        if current.as_ref().is_none_or(|sighted| sighted.id != id) {
            if let Some(done) = current.take() {
                take(&done)?;
            }
            let (kind, value, chain, validity) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            current = Some(Sighted { id, kind, value, chain, validity, places: Vec::new() });
        }
        if let (Some(sighted), Some(place)) = (&mut current, place(row)?) {
            sighted.places.push(place);
        }
        Ok(())
    })?;
    match current {
        Some(done) => take(&done),
        None => Ok(()),
    }
}

fn place(row: &Row<'_>) -> rusqlite::Result<Option<Place>> {
    let blob = |place: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<Vec<u8>>>(place)?.map(|bytes| hex(&bytes)));
    let Some(sighting) = blob(5)? else { return Ok(None) };
    let message = match blob(14)? {
        None => None,
        Some(id) => Some(Mention {
            id,
            app: row.get(15)?,
            sender: row.get(16)?,
            outgoing: row.get(17)?,
            sent_time: row.get(18)?,
            text: row.get(19)?,
            state: row.get(22)?,
        }),
    };
    let table: Option<String> = row.get(11)?;
    let row_id: Option<i64> = row.get(12)?;
    Ok(Some(Place {
        sighting,
        exhibit: blob(6)?.unwrap_or_default(),
        item: blob(20)?.unwrap_or_default(),
        path: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
        item_sha256: row.get(8)?,
        size_bytes: row.get::<_, Option<i64>>(9)?.unwrap_or_default(),
        byte_offset: row.get(10)?,
        byte_length: row.get(21)?,
        row: table.zip(row_id),
        context: row.get(13)?,
        state: message.as_ref().map_or_else(|| row.get(26), |mention| Ok(Some(mention.state.clone())))?,
        file_deleted: row.get::<_, Option<bool>>(23)?.unwrap_or_default(),
        message,
    }))
}

impl Sighted {
    /// The chains it validates on.
    pub fn chains(&self) -> Vec<&str> {
        self.chain.as_deref().map(|chains| chains.split(',').collect()).unwrap_or_default()
    }

    /// First and last time of the messages that have it.
    pub fn seen(&self) -> Option<(i64, i64)> {
        let times = || self.places.iter().filter_map(|place| place.message.as_ref()?.sent_time);
        times().min().zip(times().max())
    }

    /// How many places are in records of each state, and in deleted files (`deleted_file`).
    pub fn states(&self) -> BTreeMap<&str, u64> {
        let mut states = BTreeMap::new();
        for place in &self.places {
            if let Some(state) = &place.state {
                *states.entry(state.as_str()).or_default() += 1;
            }
            if place.file_deleted {
                *states.entry("deleted_file").or_default() += 1;
            }
        }
        states
    }

    /// How many exhibits have it.
    pub fn exhibits(&self) -> usize {
        self.places.iter().map(|place| place.exhibit.as_str()).collect::<BTreeSet<_>>().len()
    }
}
