//! Rows that are not live, read by the queries of a definition.
//!
//! They stand in a TEMP table that takes their table's unqualified name ([`shadow`]): the same SQL reads them, joined with
//! the live rows of the other tables. Versions of one row have the same key, so a row stands there alone, unless the query is
//! known to tell rows of different keys apart ([`together`]): a query that first works something out of a whole table would do so for
//! every deleted row.

use super::columns::{Cells, Columns, EMPTY, Reject};
use super::ledger::{Rejects, count_skipped};
use super::schema::quoted;
use super::{Artifact, Query, query, shadow};
use crate::emit::Emit;
use crate::recover::shape::Table;
use crate::recover::{Recovered, Row, Source};
use crate::scratch;
use model::provenance::Carved;
use model::{Code, Locator, Record, State};
use rusqlite::{Connection, Statement};
use std::collections::{BTreeMap, HashMap, HashSet};
use together::Batches;

mod together;

/// Stands for a rowid that was overwritten: SQLite would give the next free number, which another row may have.
const LOST: i64 = i64::MIN;

/// Reads the recovered rows of one table, by its place among [`Recovered::tables`], with every query given. True if each query
/// came to its end with each row.
///
/// # Errors
/// What SQLite says of the TEMP table.
pub fn read(
    connection: &Connection,
    artifact: &Artifact,
    queries: &[&Query],
    recovered: &Recovered,
    place: usize,
    emit: &mut Emit<'_>,
) -> rusqlite::Result<bool> {
    let Some(table) = recovered.tables.get(place) else { return Ok(true) };
    shadow::empty(connection, &table.name)?;
    let mut readings = Vec::new();
    let mut complete = true;
    for query in queries {
        match Reading::prepare(connection, artifact, query, table) {
            Ok(reading) => readings.push(reading),
            Err(reason) => {
                complete = false;
                let detail = format!("table {}: query for {} failed: {reason}", query.row_table, query.record);
                emit.problem(Code::QueryFailed, detail);
            }
        }
    }
    let mut swap = Swap::prepare(connection, table)?;
    let mut places = HashSet::new();
    for batch in Batches(recovered.of(place)) {
        // What was gathered of one batch must not be taken for another's.
        readings.iter_mut().for_each(|reading| reading.gathered = None);
        if batch.len() > 1 && readings.iter().any(|reading| reading.together.is_some()) {
            swap.put(batch.iter().zip(1..))?;
            readings.iter_mut().for_each(|reading| reading.gather(batch, emit));
        }
        for (row, number) in batch.iter().zip(1..) {
            if !places.insert(row.place()) {
                // A second reading of the same bytes: an id derives from the place.
                readings.iter_mut().for_each(|reading| reading.reject(row, "its place was told of before"));
                continue;
            }
            for reading in &mut readings {
                if !reading.has(number) {
                    swap.put([(row, row.row_id.unwrap_or(LOST))].into_iter())?;
                }
                complete &= reading.take(row, number, recovered, emit);
            }
        }
    }
    readings.into_iter().for_each(|reading| reading.close(recovered.parts_before, emit));
    drop(swap);
    shadow::drop_shadow(connection, &table.name)?;
    Ok(complete)
}

/// Puts rows into the TEMP table.
struct Swap<'c> {
    clear: Statement<'c>,
    insert: Statement<'c>,
    columns: usize,
}

impl<'c> Swap<'c> {
    fn prepare(connection: &'c Connection, table: &Table) -> rusqlite::Result<Swap<'c>> {
        let name = quoted(&table.name);
        let row_id = together::place_name(table);
        let columns = row_id.map(str::to_owned).into_iter().chain(table.columns.iter().map(|column| quoted(&column.name)));
        let columns: Vec<_> = columns.collect();
        let first = usize::from(row_id.is_none()) + 1;
        let marks: Vec<_> = (first..first + columns.len()).map(|number| format!("?{number}")).collect();
        Ok(Swap {
            clear: connection.prepare(&format!("DELETE FROM temp.{name}"))?,
            insert: connection.prepare(&format!(
                "INSERT INTO temp.{name} ({}) VALUES ({})",
                columns.join(", "),
                marks.join(", ")
            ))?,
            columns: table.columns.len(),
        })
    }

    /// Puts rows into the table at their places, and nothing else is there.
    fn put<'r>(&mut self, rows: impl Iterator<Item = (&'r Row, i64)>) -> rusqlite::Result<()> {
        self.clear.execute([])?;
        for (row, row_id) in rows {
            self.insert.raw_bind_parameter(1, row_id)?;
            for column in 0..self.columns {
                // What is lost is NULL here; the row's confidence says that it is lost.
                let value = row.values.get(column).and_then(Option::as_ref);
                self.insert.raw_bind_parameter(column + 2, value)?;
            }
            self.insert.raw_execute()?;
        }
        Ok(())
    }
}

/// Rows of one state, and what became of them.
#[derive(Default)]
struct Tally {
    rows: u64,
    records: u64,
    rejects: Rejects,
}

/// One query over one row after another.
struct Reading<'c> {
    artifact: &'c Artifact,
    query: &'c Query,
    statement: Statement<'c>,
    skipped: Statement<'c>,
    columns: Columns,
    tallies: BTreeMap<&'static str, Tally>,
    /// The query for many rows, where it tells them apart.
    together: Option<Statement<'c>>,
    /// What it gave for the rows of a batch, by their numbers; `None` where each is read alone.
    gathered: Option<HashMap<i64, Built>>,
}

/// A record, or why there is none, and what was wrong with its cells.
type Built = (Result<Record, Reject>, Vec<(Code, &'static str, String)>);

impl<'c> Reading<'c> {
    fn prepare(
        connection: &'c Connection,
        artifact: &'c Artifact,
        query: &'c Query,
        table: &Table,
    ) -> Result<Reading<'c>, String> {
        let prepare = |sql: &str| connection.prepare(sql).map_err(|error| scratch::reason(&error));
        let sql = query::compose(query);
        let statement = prepare(&sql)?;
        let columns = Columns::of(query, &statement)?;
        let skipped = prepare(&count_skipped(query))?;
        let by_place = together::by_place(&sql, table).filter(|_| columns.part.is_none());
        let together = by_place.map(|sql| prepare(&sql)).transpose()?;
        let (tallies, gathered) = Default::default();
        Ok(Reading { artifact, query, statement, skipped, columns, tallies, together, gathered })
    }

    /// Reads the rows that the TEMP table holds together. Where anything is not as it should be, each will be read alone.
    fn gather(&mut self, rows: &[Row], emit: &Emit<'_>) {
        self.gathered = self.read_together(rows, emit).ok().flatten();
    }

    /// `None` where a row is given twice.
    fn read_together(&mut self, rows: &[Row], emit: &Emit<'_>) -> rusqlite::Result<Option<HashMap<i64, Built>>> {
        let Reading { artifact, query, together: Some(statement), columns, .. } = self else { return Ok(None) };
        let mut gathered = HashMap::new();
        let mut found = statement.query([])?;
        while let Some(cells) = found.next()? {
            let number = cells.get::<_, i64>(columns.row_id)?;
            let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            let Some(row) = place.and_then(|place| rows.get(place)) else { return Ok(None) };
            if gathered.insert(number, build(artifact, query, columns, row, cells, emit)).is_some() {
                return Ok(None);
            }
        }
        Ok(Some(gathered))
    }

    /// Whether the batch that was read together gave something for the row of that number.
    fn has(&self, number: i64) -> bool {
        self.gathered.as_ref().is_some_and(|gathered| gathered.contains_key(&number))
    }

    /// Counts a row that is not read.
    fn reject(&mut self, row: &Row, reason: &str) {
        let tally = self.tallies.entry(row.state.name()).or_default();
        tally.rows += 1;
        tally.rejects.add(reason, 1);
    }

    /// Reads a row: it was gathered, or the TEMP table holds it and no other.
    fn take(&mut self, row: &Row, number: i64, recovered: &Recovered, emit: &mut Emit<'_>) -> bool {
        let found = match self.records(row, number, recovered, emit) {
            Ok(found) if found.is_empty() => vec![Err((self.skip(), true))],
            Ok(found) => found.into_iter().map(|record| record.map_err(|reason| (reason.to_owned(), true))).collect(),
            Err(refused) => vec![Err(refused)],
        };
        let mut complete = true;
        for found in found {
            let told =
                found.and_then(|record| tell(record, emit).then_some(()).ok_or(("its key was told of before".to_owned(), true)));
            let tally = self.tallies.entry(row.state.name()).or_default();
            tally.rows += 1;
            match told {
                Ok(()) => tally.records += 1,
                Err((reason, whole)) => {
                    tally.rejects.add(&reason, 1);
                    complete &= whole;
                }
            }
        }
        complete
    }

    /// The records of the row, several where it holds a list, or why there is none; nothing where a skip leaves it out. The reason where the
    /// query fails, and whether that is the row's fault.
    fn records(
        &mut self,
        row: &Row,
        number: i64,
        recovered: &Recovered,
        emit: &mut Emit<'_>,
    ) -> Result<Vec<Result<Record, Reject>>, (String, bool)> {
        let query = self.query;
        let failed = |error: rusqlite::Error| (format!("query failed: {}", scratch::reason(&error)), false);
        let place = locator(row, &query.row_table);
        let at = || format!("table {} page {} byte {} ({})", query.row_table, row.page, row.offset, row.state.name());
        let mut records: Vec<Built> = Vec::new();
        if let Some(gathered) = &mut self.gathered {
            records.extend(gathered.remove(&number));
        } else {
            let (mut rows, mut last) = (self.statement.query([]).map_err(failed)?, None);
            while let Some(found) = rows.next().map_err(failed)? {
                match self.columns.part(found) {
                    Ok(part) if !records.is_empty() && part <= last => {
                        emit.problem(Code::RowCountMismatch, format!("{}: given more than once", at()));
                        break;
                    }
                    Ok(part) => last = part,
                    Err(EMPTY) => {}
                    // An element without a number: those behind it have theirs.
                    Err(reason) => emit.problem(Code::RowRejected, format!("{}: {reason}", at())),
                }
                records.push(build(self.artifact, query, &self.columns, row, found, emit));
            }
        }
        let mut all = Vec::new();
        for (mut record, wrong) in records {
            for (code, field, reason) in wrong {
                emit.problem(code, format!("{} field {field}: {reason}", at()));
            }
            let parent = match &mut record {
                Ok(Record::Attachment(attachment)) => Some(&mut attachment.message),
                Ok(Record::ContactPoint(point)) => Some(&mut point.contact),
                _ => None,
            };
            if let Some(parent) = parent {
                *parent = resolve(parent, row, &place, recovered);
            }
            all.push(record);
        }
        Ok(all)
    }

    /// Why the query leaves the row out.
    fn skip(&mut self) -> String {
        let width = self.query.skip.len();
        let counts = self.skipped.query_row([], |row| {
            (0..width).map(|ordinal| row.get::<_, Option<i64>>(ordinal)).collect::<rusqlite::Result<Vec<_>>>()
        });
        let counts = match counts {
            Ok(counts) => counts,
            Err(error) => return format!("not given by the query: {}", scratch::reason(&error)),
        };
        let at = counts.iter().position(|count| count.is_some_and(|count| count > 0));
        at.and_then(|at| self.query.skip.get(at)).map_or_else(|| "not given by the query".to_owned(), |skip| skip.reason.clone())
    }

    fn close(self, parts_before: u32, emit: &mut Emit<'_>) {
        // A database with very many deleted rows is read in parts, each with a line of its own in the ledger.
        let part = if parts_before > 0 { format!(", part {}", parts_before + 1) } else { String::new() };
        for (state, tally) in self.tallies {
            let source = format!("{}→{} ({state}{part})", self.query.row_table, self.query.record);
            let table = Some(self.query.row_table.as_str());
            emit.ledger(&source, &self.query.record, table, tally.rows, tally.records, tally.rejects.reason());
        }
    }
}

/// Makes the record of a row from what a query gives for it.
fn build(artifact: &Artifact, query: &Query, columns: &Columns, row: &Row, found: &rusqlite::Row<'_>, emit: &Emit<'_>) -> Built {
    let mut provenance = emit.provenance(locator(row, &query.row_table));
    provenance.state = row.state;
    let mut wrong = Vec::new();
    let parent_table = columns.parent_table(query, found);
    let mut cells = Cells { row: found, parent_table, wrong: &mut wrong };
    let record = columns.part(found).and_then(|part| {
        provenance.part = part;
        columns.build(&mut cells, provenance, &artifact.text.app)
    });
    (record, wrong)
}

/// Puts a record; as a further version where its key was told of before.
fn tell(record: Record, emit: &mut Emit<'_>) -> bool {
    if !matches!(record, Record::Thread(_) | Record::Account(_)) {
        return emit.record(record);
    }
    let mut further = record.clone();
    emit.record(record) || {
        if let Record::Thread(model::record::Thread { provenance, .. })
        | Record::Account(model::record::Account { provenance, .. }) = &mut further
            && let Locator::Carved(carved) = &mut provenance.locator
        {
            carved.version = true;
        }
        emit.record(further)
    }
}

/// Where a row stands, under the name that the definition has for its table.
fn locator(row: &Row, table: &str) -> Locator {
    let companion = match row.source {
        Source::Database => None,
        source => Some(source.name().to_owned()),
    };
    Locator::Carved(Box::new(Carved {
        table: table.to_owned(),
        row_id: row.row_id,
        companion,
        page: row.page,
        offset: row.offset,
        length: row.length,
        confidence: row.doubts.to_string(),
        version: false,
    }))
}

/// The row that a row belongs to: itself, one that is deleted as well, or a live one.
fn resolve(parent: &Locator, row: &Row, place: &Locator, recovered: &Recovered) -> Locator {
    let Locator::Row { table, row_id } = parent else { return parent.clone() };
    if place.table() == Some(table) && row.row_id == Some(*row_id) {
        return place.clone();
    }
    recovered.deleted(table, *row_id).map_or_else(|| parent.clone(), |row| locator(row, table))
}

/// Every live row as if it had been recovered, for tests that hold that both ways read alike.
///
/// # Errors
/// What SQLite says.
pub fn live_as_recovered(connection: &Connection) -> rusqlite::Result<Recovered> {
    let mut recovered = Recovered::among(Table::all(connection)?);
    let mut rows = Vec::new();
    for (table, shape) in recovered.tables.iter().enumerate().skip(1) {
        let mut offset = 0;
        crate::recover::sift::scan(connection, shape, &mut |row_id, values| {
            let values = values.iter().map(|value| Some((*value).into())).collect();
            offset += 1;
            rows.push(Row {
                table,
                row_id: Some(row_id),
                values,
                cut: None,
                source: Source::Database,
                page: 1,
                offset,
                length: 1,
                state: State::Recovered,
                doubts: crate::recover::Doubts::default(),
            });
        })?;
    }
    recovered.take(rows);
    Ok(recovered)
}
