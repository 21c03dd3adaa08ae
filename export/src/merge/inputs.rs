//! The rows of many bundles, range by range, as one.

use super::Bundle;
use crate::Error;
use crate::bundle::open::open_read_only;
use crate::bundle::schema::Table;
use crate::bundle::value::Value;
use crate::seal::write::Gather;
use crate::verify::parts::strength;
use rusqlite::Connection;
use std::collections::HashMap;
use std::path::PathBuf;

/// Page cache of all open bundles of one thread, KiB: split among them, so that memory does not grow with their number.
const CACHE_KIB: usize = 16 << 10;
/// The least that one of them gets.
const LEAST_CACHE_KIB: usize = 32;

/// One range of one table.
pub struct Job {
    /// The table.
    pub table: &'static Table,
    /// Where its rows are.
    pub source: Source,
}

/// Where rows are.
pub enum Source {
    /// Here.
    Rows(Vec<Value>),
    /// In the bundles: the smallest id and what is larger than the last.
    Range((Vec<u8>, Vec<u8>)),
}

/// One bundle, open.
struct Input {
    connection: Connection,
    path: PathBuf,
    /// The exhibit of a bundle that is not merged.
    exhibit: Option<Vec<u8>>,
}

/// A row of one input.
struct Found {
    input: usize,
    values: Vec<Value>,
}

impl Found {
    fn id(&self) -> &[u8] {
        match self.values.first() {
            Some(Value::Blob(id)) => id,
            _ => &[],
        }
    }
}

/// Every bundle, open; one for each thread.
pub struct Inputs {
    inputs: Vec<Input>,
    /// The inputs that hold an exhibit.
    holders: HashMap<Vec<u8>, Vec<usize>>,
}

impl Inputs {
    /// Opens every bundle.
    pub fn open(bundles: &[Bundle], holders: HashMap<Vec<u8>, Vec<usize>>) -> Result<Inputs, Error> {
        let cache = i64::try_from((CACHE_KIB / bundles.len().max(1)).max(LEAST_CACHE_KIB)).unwrap_or(i64::MAX);
        let open = |bundle: &Bundle| {
            let connection = open_read_only(&bundle.path)?;
            let error = |source| Error::Store { path: bundle.path.clone(), source };
            connection.pragma_update(None, "cache_size", -cache).map_err(error)?;
            connection.set_prepared_statement_cache_capacity(4);
            let exhibit = bundle.parts.first().filter(|_| !bundle.merged).map(|part| part.exhibit.clone());
            Ok(Input { connection, path: bundle.path.clone(), exhibit })
        };
        Ok(Inputs { inputs: bundles.iter().map(open).collect::<Result<_, Error>>()?, holders })
    }

    /// How many distinct rows a job has.
    pub fn count(&mut self, job: &Job) -> Result<u64, Error> {
        let mut values = Vec::new();
        self.rows(job, &mut values)?;
        Ok((values.len() / job.table.columns.len()) as u64)
    }

    /// The rows of a range from every input, by id.
    fn found(&self, table: &Table, (first, end): &(Vec<u8>, Vec<u8>)) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for (place, input) in self.inputs.iter().enumerate() {
            let mut keep = |values| found.push(Found { input: place, values });
            let read = match &input.exhibit {
                Some(exhibit) if table.name == "part_observable" => holdings(&input.connection, exhibit, (first, end), &mut keep),
                _ => rows(&input.connection, table, (first, end), &mut keep),
            };
            read.map_err(|source| Error::Store { path: input.path.clone(), source })?;
        }
        // Stable: of equal ids the inputs stay in order.
        found.sort_by(|a, b| a.id().cmp(b.id()));
        Ok(found)
    }

    /// The one row that rows of equal id come to.
    fn unite(&self, table: &'static Table, mut first: Found, others: &[Found]) -> Result<Vec<Value>, Error> {
        let validity = if table.name == "observable" { table.column("validity") } else { None };
        for other in others {
            for (place, column) in table.columns.iter().enumerate() {
                let (Some(kept), Some(value)) = (first.values.get_mut(place), other.values.get(place)) else { continue };
                if Some(place) == validity {
                    // Weak where one exhibit holds it up, strong where another does: the strongest counts, each part's own is kept.
                    if rank(value) < rank(kept) {
                        *kept = value.clone();
                    }
                } else if kept != value {
                    return Err(self.conflict(table, &first, other.input, format!("another {}", column.name)));
                }
            }
        }
        self.whole(table, &first, others)?;
        Ok(first.values)
    }

    /// An exhibit that several inputs hold is the same in each: a row that one has they all have.
    fn whole(&self, table: &'static Table, first: &Found, others: &[Found]) -> Result<(), Error> {
        let exhibit = table.column(if table.name == "exhibit" { "id" } else { "exhibit_id" });
        let Some(Value::Blob(exhibit)) = exhibit.and_then(|place| first.values.get(place)) else { return Ok(()) };
        let holders = self.holders.get(exhibit).map_or(&[][..], Vec::as_slice);
        if holders.len() <= 1 + others.len() {
            return Ok(());
        }
        let holds = |holder: &&usize| first.input == **holder || others.iter().any(|found| found.input == **holder);
        match holders.iter().find(|holder| !holds(holder)) {
            Some(holder) => Err(self.conflict(table, first, *holder, "the second holds the exhibit without this row".to_owned())),
            None => Ok(()),
        }
    }

    fn conflict(&self, table: &'static Table, first: &Found, second: usize, words: String) -> Error {
        let path = |place: usize| self.inputs.get(place).map(|input| input.path.clone()).unwrap_or_default();
        let key = first.id().iter().map(|byte| format!("{byte:02x}")).collect();
        Error::Conflict { first: path(first.input), second: path(second), table: table.name, key, words }
    }
}

/// The rows of a range of a table.
fn rows(connection: &Connection, table: &Table, range: (&[u8], &[u8]), keep: &mut dyn FnMut(Vec<Value>)) -> rusqlite::Result<()> {
    let sql = format!("SELECT {} FROM {} WHERE id >= ?1 AND id < ?2 ORDER BY id", table.column_list(), table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(range)?;
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(table.columns.len());
        for (place, column) in table.columns.iter().enumerate() {
            // That a value is of its column's type was checked.
            values.push(Value::read(row.get_ref(place)?, column.kind).0);
        }
        keep(values);
    }
    Ok(())
}

/// The rows of `part_observable` that a bundle that is not merged stands for.
fn holdings(
    connection: &Connection,
    exhibit: &[u8],
    range: (&[u8], &[u8]),
    keep: &mut dyn FnMut(Vec<Value>),
) -> rusqlite::Result<()> {
    let sql = "SELECT id, validity FROM observable WHERE id >= ?1 AND id < ?2 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(range)?;
    while let Some(row) = rows.next()? {
        let observable: Vec<u8> = row.get(0)?;
        let id = [observable.as_slice(), exhibit].concat();
        keep(vec![Value::Blob(id), Value::Blob(observable), Value::Blob(exhibit.to_vec()), Value::Text(row.get(1)?)]);
    }
    Ok(())
}

fn rank(validity: &Value) -> Option<usize> {
    match validity {
        Value::Text(word) => strength(word),
        _ => None,
    }
}

impl Gather for Inputs {
    type Job = Job;

    fn table(job: &Job) -> &'static Table {
        job.table
    }

    fn rows(&mut self, job: &Job, values: &mut Vec<Value>) -> Result<(), Error> {
        let range = match &job.source {
            Source::Rows(rows) => {
                values.extend_from_slice(rows);
                return Ok(());
            }
            Source::Range(range) => range,
        };
        let mut found = self.found(job.table, range)?.into_iter().peekable();
        while let Some(first) = found.next() {
            let mut others = Vec::new();
            while let Some(other) = found.next_if(|other| other.id() == first.id()) {
                others.push(other);
            }
            values.extend(self.unite(job.table, first, &others)?);
        }
        Ok(())
    }
}
