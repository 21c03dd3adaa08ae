//! What two bundles of one unit have in common: observables with the same id, which is the same kind, value and chain.
//!
//! Both bundles are read whole by whoever matches: this is for a unit's own. It says where a value was seen, not that two persons
//! are one.

//!
//! Units that must not see each other's values learn the same by two files, `request` and `answer`: a verifiable oblivious
//! pseudorandom function (RFC 9497, ristretto255 and SHA-512), docs/matching.md.

pub mod answer;
mod chunks;
pub mod file;
pub mod finish;
pub mod refusal;
pub mod request;
pub mod set;

use crate::Error;
use crate::share::open_readable;
use crate::verify::require_form;
use rusqlite::{Connection, Statement};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// The unit that a public key line belongs to, if it may be used for that (`match`, `supervise`); else why not.
pub type Vouch<'a> = dyn Fn(&str, &str) -> Result<String, String> + 'a;

/// How one bundle has an observable.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Side {
    /// `checksum`, `format` or `context`.
    pub validity: String,
    /// Places where it was seen.
    pub sightings: u64,
    /// Exhibits on which it was seen: case label and number.
    pub exhibits: BTreeSet<(String, String)>,
}

/// An observable of both bundles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Common {
    /// Its id.
    pub id: Vec<u8>,
    /// Its kind (`wallet_address`, `phone_number`, …).
    pub kind: String,
    /// Its chain, if it is of one.
    pub chain: Option<String>,
    /// Its value.
    pub value: String,
    /// How each bundle has it.
    pub sides: [Side; 2],
}

/// The observables that both bundles have, by kind, chain and value. Time is linear in both; memory is that of what is common.
pub fn matching(first: &Path, second: &Path) -> Result<Vec<Common>, Error> {
    let open = |path: &Path| {
        let readable = open_readable(path)?;
        if readable.partial.is_none() {
            require_form(path, &readable.connection)?;
        }
        Ok::<Connection, Error>(readable.connection)
    };
    let connections = [open(first)?, open(second)?];
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Store { path, source }
    };
    let [a, b] = &connections;
    let mut common = join(a, b).map_err(error(first))?;
    let places: HashMap<Vec<u8>, usize> = common.iter().enumerate().map(|(place, common)| (common.id.clone(), place)).collect();
    for (side, (connection, path)) in connections.iter().zip([first, second]).enumerate() {
        count(connection, side, &places, &mut common).map_err(error(path))?;
    }
    common.sort_by(|a, b| (&a.kind, &a.chain, &a.value, &a.id).cmp(&(&b.kind, &b.chain, &b.value, &b.id)));
    Ok(common)
}

struct Seen {
    id: Vec<u8>,
    kind: String,
    chain: Option<String>,
    value: String,
    validity: String,
}

fn observables(connection: &Connection) -> rusqlite::Result<Statement<'_>> {
    connection.prepare("SELECT id, kind, chain, value, coalesce(validity, '') FROM observable ORDER BY id")
}

/// Walks both tables in the order of ids.
fn join(first: &Connection, second: &Connection) -> rusqlite::Result<Vec<Common>> {
    let (mut a, mut b) = (observables(first)?, observables(second)?);
    let (mut a, mut b) = (a.query([])?, b.query([])?);
    let (mut left, mut right) = (next(&mut a)?, next(&mut b)?);
    let mut common = Vec::new();
    while let (Some(one), Some(other)) = (&left, &right) {
        match one.id.cmp(&other.id) {
            std::cmp::Ordering::Less => left = next(&mut a)?,
            std::cmp::Ordering::Greater => right = next(&mut b)?,
            std::cmp::Ordering::Equal => {
                let side = |seen: &Seen| Side { validity: seen.validity.clone(), ..Side::default() };
                let sides = [side(one), side(other)];
                let (kind, chain, value) = (one.kind.clone(), one.chain.clone(), one.value.clone());
                common.push(Common { id: one.id.clone(), kind, chain, value, sides });
                (left, right) = (next(&mut a)?, next(&mut b)?);
            }
        }
    }
    Ok(common)
}

fn next(rows: &mut rusqlite::Rows<'_>) -> rusqlite::Result<Option<Seen>> {
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Seen { id: row.get(0)?, kind: row.get(1)?, chain: row.get(2)?, value: row.get(3)?, validity: row.get(4)? }))
}

/// Counts sightings and exhibits in one pass.
fn count(connection: &Connection, side: usize, places: &HashMap<Vec<u8>, usize>, common: &mut [Common]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT id, case_label, number FROM exhibit")?;
    let named = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    let exhibits: HashMap<Vec<u8>, (String, String)> = named.collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare("SELECT observable_id, exhibit_id FROM sighting")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let place = places.get(row.get_ref(0)?.as_blob()?);
        let Some(side) = place.and_then(|place| common.get_mut(*place)).and_then(|common| common.sides.get_mut(side)) else {
            continue;
        };
        side.sightings += 1;
        if let Some(name) = row.get_ref(1)?.as_blob_or_null()?.and_then(|id| exhibits.get(id))
            && !side.exhibits.contains(name)
        {
            side.exhibits.insert(name.clone());
        }
    }
    Ok(())
}
