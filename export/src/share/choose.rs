//! Which rows leave, and where they stand in the tree.

use super::Request;
use super::policy::Policy;
use crate::Error;
use crate::bundle::schema::Table;
use crate::search::{Hit, search};
use model::Id;
use rusqlite::{Connection, params_from_iter};
use std::collections::{BTreeMap, BTreeSet};

/// Keys of the rows that leave, table by table.
#[derive(Default)]
pub struct Chosen {
    keys: BTreeMap<&'static str, BTreeSet<[u8; 16]>>,
    /// Rows that the query found and of which the profile shows nothing.
    pub left_out: BTreeMap<String, u64>,
}

impl Chosen {
    /// Whether a row of one of some tables leaves.
    pub fn has(&self, tables: &[&str], key: &[u8]) -> bool {
        let key: Option<[u8; 16]> = key.try_into().ok();
        key.is_some_and(|key| tables.iter().any(|table| self.keys.get(table).is_some_and(|keys| keys.contains(&key))))
    }

    /// The keys of a table, ascending.
    pub fn of(&self, table: &str) -> impl Iterator<Item = &[u8; 16]> {
        self.keys.get(table).into_iter().flatten()
    }

    /// Whether nothing leaves.
    pub fn is_empty(&self) -> bool {
        self.keys.values().all(BTreeSet::is_empty)
    }

    fn add(&mut self, table: &'static str, key: [u8; 16]) {
        self.keys.entry(table).or_default().insert(key);
    }
}

/// Chooses: what the query finds, or else what the profile takes; the sightings of what was found; the exhibits.
pub fn choose(
    connection: &Connection,
    request: &Request<'_>,
    tables: &'static [Table],
    policy: &Policy,
) -> Result<Chosen, Error> {
    let store = |source| Error::Store { path: request.bundle.to_owned(), source };
    let mut chosen = Chosen::default();
    match request.query {
        Some(query) if query.words.is_empty() && query.selectors.is_empty() => {
            of_kinds(connection, &query.kinds, tables, policy, &mut chosen).map_err(store)?;
        }
        Some(query) => search(request.bundle, query, None, &mut |hit: Hit| {
            match Id::parse(&hit.id).filter(|_| policy.leaves(hit.table)) {
                Some(id) => chosen.add(hit.table, id.0),
                None => *chosen.left_out.entry(hit.table.to_owned()).or_default() += 1,
            }
            Ok::<(), Error>(())
        })?,
        None => take(connection, request, tables, &mut chosen).map_err(store)?,
    }
    if !request.profile.kinds.is_empty() {
        only_kinds(connection, &request.profile.kinds, &mut chosen).map_err(store)?;
    }
    if let Some(app) = request.app {
        only_app(connection, app, tables, &mut chosen).map_err(store)?;
    }
    if policy.leaves("sighting") {
        let observables: Vec<[u8; 16]> = chosen.of("observable").copied().collect();
        let mut statement = connection.prepare("SELECT id FROM sighting WHERE observable_id = ?1").map_err(store)?;
        if observables.len() < FEW {
            for observable in observables {
                let rows = statement.query_map([observable], |row| row.get(0)).map_err(store)?;
                rows.collect::<rusqlite::Result<Vec<_>>>().map_err(store)?.into_iter().for_each(|id| chosen.add("sighting", id));
            }
        } else {
            let mut all = connection.prepare("SELECT id, observable_id FROM sighting").map_err(store)?;
            let mut rows = all.query([]).map_err(store)?;
            while let Some(row) = rows.next().map_err(store)? {
                let (id, of): ([u8; 16], [u8; 16]) = (row.get(0).map_err(store)?, row.get(1).map_err(store)?);
                if chosen.has(&["observable"], &of) {
                    chosen.add("sighting", id);
                }
            }
        }
    }
    if policy.leaves("exhibit") && !chosen.is_empty() {
        ids(connection, "SELECT id FROM exhibit", &[]).map_err(store)?.into_iter().for_each(|id| chosen.add("exhibit", id));
    }
    Ok(chosen)
}

/// So few observables are looked up one by one, each a pass over the sightings.
const FEW: usize = 4;

/// What the profile takes.
fn take(connection: &Connection, request: &Request<'_>, tables: &'static [Table], chosen: &mut Chosen) -> rusqlite::Result<()> {
    for take in request.profile.take.iter().filter(|take| take.table != "sighting") {
        let Some(table) = tables.iter().find(|table| table.name == take.table) else { continue };
        let mut conditions = vec!["1".to_owned()];
        if !take.kinds.is_empty() {
            conditions.push(format!("kind IN ({})", vec!["?"; take.kinds.len()].join(", ")));
        }
        if take.owner {
            conditions.push("is_owner = 1".to_owned());
        }
        let sql = format!("SELECT id FROM {} WHERE {}", table.name, conditions.join(" AND "));
        ids(connection, &sql, &take.kinds)?.into_iter().for_each(|id| chosen.add(table.name, id));
    }
    Ok(())
}

/// All rows of some kinds: tables, or kinds of observables.
fn of_kinds(
    connection: &Connection,
    kinds: &[String],
    tables: &'static [Table],
    policy: &Policy,
    chosen: &mut Chosen,
) -> rusqlite::Result<()> {
    for kind in kinds {
        let table = tables.iter().find(|table| table.name == kind);
        let (name, found) = match table {
            Some(table) => (table.name, ids(connection, &format!("SELECT id FROM {}", table.name), &[])?),
            None => ("observable", ids(connection, "SELECT id FROM observable WHERE kind = ?", std::slice::from_ref(kind))?),
        };
        match policy.leaves(name) {
            true => found.into_iter().for_each(|id| chosen.add(name, id)),
            false => *chosen.left_out.entry(name.to_owned()).or_default() += found.len() as u64,
        }
    }
    Ok(())
}

fn ids(connection: &Connection, sql: &str, parameters: &[String]) -> rusqlite::Result<Vec<[u8; 16]>> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(params_from_iter(parameters), |row| row.get(0))?;
    rows.collect()
}

/// Keeps the observables of some kinds; those of others were asked for and are left out.
fn only_kinds(connection: &Connection, kinds: &[String], chosen: &mut Chosen) -> rusqlite::Result<()> {
    let Some(keys) = chosen.keys.get_mut("observable") else { return Ok(()) };
    let marks = vec!["?"; kinds.len()].join(", ");
    let of_kinds: BTreeSet<[u8; 16]> =
        ids(connection, &format!("SELECT id FROM observable WHERE kind IN ({marks})"), kinds)?.into_iter().collect();
    let before = keys.len();
    keys.retain(|key| of_kinds.contains(key));
    let left = (before - keys.len()) as u64;
    if left > 0 {
        *chosen.left_out.entry("observable".to_owned()).or_default() += left;
    }
    Ok(())
}

/// Keeps the rows of one app, and drops tables that have none.
fn only_app(connection: &Connection, app: &str, tables: &'static [Table], chosen: &mut Chosen) -> rusqlite::Result<()> {
    for (name, keys) in &mut chosen.keys {
        let has_app = tables.iter().any(|table| table.name == *name && table.column("app").is_some());
        let of_app: BTreeSet<[u8; 16]> = match has_app {
            true => ids(connection, &format!("SELECT id FROM {name} WHERE app = ?"), &[app.to_owned()])?.into_iter().collect(),
            false => BTreeSet::new(),
        };
        keys.retain(|key| of_app.contains(key));
    }
    Ok(())
}

/// The places of the chosen rows in the tree, with table and key, ascending; and how many rows the tree has by the tables' counts.
pub fn places(
    connection: &Connection,
    tables: &'static [Table],
    chosen: &Chosen,
) -> rusqlite::Result<(Vec<(u64, &'static Table, [u8; 16])>, u64)> {
    let (mut places, mut offset) = (Vec::new(), 0u64);
    for table in tables.iter().filter(|table| table.sealed()) {
        let count: i64 = connection.query_row(&format!("SELECT count(*) FROM {}", table.name), [], |row| row.get(0))?;
        if chosen.of(table.name).next().is_some() {
            let mut statement = connection.prepare(&format!("SELECT id FROM {0} ORDER BY id", table.name))?;
            let mut rows = statement.query([])?;
            let mut place = offset;
            while let Some(row) = rows.next()? {
                let key: [u8; 16] = row.get(0)?;
                if chosen.has(&[table.name], &key) {
                    places.push((place, table, key));
                }
                place += 1;
            }
        }
        offset += count.unsigned_abs();
    }
    Ok((places, offset))
}
