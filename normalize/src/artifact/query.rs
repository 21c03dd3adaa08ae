//! Runs one query of a definition: rows in, records out, and the count of both.

use super::columns::{Cells, Columns, EMPTY, Reject};
use super::ledger::{Expected, Rejects, Seen};
use super::{Artifact, Query};
use crate::emit::Emit;
use crate::scratch;
use model::{Code, Locator, State};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// The query's SQL with its skips.
pub fn compose(query: &Query) -> String {
    let mut sql = query.sql.trim_end().trim_end_matches(';').to_owned();
    for (number, skip) in query.skip.iter().enumerate() {
        let word = if number == 0 { "WHERE" } else { "AND" };
        sql.push_str(&format!("\n{word} NOT coalesce(({}), 0)", skip.r#where));
    }
    sql
}

/// Runs a query over the table that its name means now (the evidence's own, or a shadow of recovered rows). Rows that
/// cannot be read, or give no record, are counted with their reason. False where the table could not be read to its end.
pub fn run(connection: &Connection, artifact: &Artifact, query: &Query, state: State, emit: &mut Emit<'_>) -> bool {
    let mut run = Run { artifact, query, state, emit, records: 0, rejects: Rejects::default(), complete: true, more: 0 };
    let expected = Expected::count(connection, query).unwrap_or_else(|error| {
        run.damaged("counting its rows", &error);
        Expected::default()
    });
    for (skip, rows) in query.skip.iter().zip(&expected.skipped) {
        run.rejects.add(&skip.reason, *rows);
    }
    run.read(connection);
    run.close(&expected)
}

/// The elements of a row's list, which come one after another, in their order.
#[derive(Default)]
struct Elements {
    /// The row before, and its element's number.
    last: Option<(i64, Option<u32>)>,
}

impl Elements {
    /// Whether a row is a further element of the row before. One whose number is none is an element as well.
    fn goes_on(&mut self, row_id: i64, part: Result<Option<u32>, Reject>) -> bool {
        let same = self.last.filter(|(id, _)| *id == row_id).map(|(_, before)| before);
        let is_wrong = part.is_err_and(|reason| reason != EMPTY);
        let number = part.ok().flatten();
        self.last = Some((row_id, if is_wrong { same.flatten() } else { number }));
        same.is_some_and(|before| is_wrong || number > before)
    }
}

struct Run<'r, 'e> {
    artifact: &'r Artifact,
    query: &'r Query,
    state: State,
    emit: &'r mut Emit<'e>,
    records: u64,
    rejects: Rejects,
    complete: bool,
    /// Elements of lists behind the first of each row.
    more: u64,
}

impl Run<'_, '_> {
    fn read(&mut self, connection: &Connection) {
        let table = &self.query.row_table;
        let mut statement = match connection.prepare(&compose(self.query)) {
            Ok(statement) => statement,
            Err(error) => {
                self.complete = false;
                let detail = format!("table {table}: query for {} failed: {}", self.query.record, scratch::reason(&error));
                return self.emit.problem(Code::QueryFailed, detail);
            }
        };
        let columns = match Columns::of(self.query, &statement) {
            Ok(columns) => columns,
            Err(reason) => {
                self.complete = false;
                return self.emit.problem(Code::QueryFailed, format!("table {table}: {reason}"));
            }
        };
        let (mut seen, mut wrong, mut elements) = (Seen::default(), Vec::new(), Elements::default());
        let mut rows = match statement.query([]) {
            Ok(rows) => rows,
            Err(error) => return self.damaged("reading it", &error),
        };
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return,
                Err(error) => return self.damaged("reading it", &error),
            };
            let Ok(ValueRef::Integer(row_id)) = row.get_ref(columns.row_id) else {
                self.reject("no rowid", "unknown");
                continue;
            };
            let part = columns.part(row);
            let goes_on = elements.goes_on(row_id, part);
            self.more = self.more.saturating_add(u64::from(goes_on));
            if !goes_on && !seen.add(row_id) {
                self.emit.problem(Code::RowCountMismatch, format!("table {table} row {row_id}: given more than once"));
                continue;
            }
            let locator = Locator::Row { table: table.clone(), row_id };
            let part = match part {
                Ok(part) => part,
                Err(EMPTY) => {
                    self.rejects.add(EMPTY, 1);
                    continue;
                }
                Err(reason) => {
                    self.reject(reason, &row_id.to_string());
                    continue;
                }
            };
            let mut provenance = self.emit.provenance(locator);
            (provenance.state, provenance.part) = (self.state, part);
            let parent_table = columns.parent_table(self.query, row);
            let mut cells = Cells { row, parent_table, wrong: &mut wrong };
            match columns.build(&mut cells, provenance, &self.artifact.text.app) {
                Ok(record) => match self.emit.record(record) {
                    true => self.records = self.records.saturating_add(1),
                    false => self.rejects.add("its key was told of before", 1),
                },
                Err(reason) => self.reject(reason, &row_id.to_string()),
            }
            for (code, field, reason) in wrong.drain(..) {
                self.emit.problem(code, format!("table {table} row {row_id} field {field}: {reason}"));
            }
        }
    }

    fn reject(&mut self, reason: &str, row_id: &str) {
        self.rejects.add(reason, 1);
        self.emit.problem(Code::RowRejected, format!("table {} row {row_id}: {reason}", self.query.row_table));
    }

    fn damaged(&mut self, doing: &str, error: &rusqlite::Error) {
        self.complete = false;
        let detail = format!("table {} for {}: {doing}: {}", self.query.row_table, self.query.record, scratch::reason(error));
        self.emit.problem(scratch::code(error), detail);
    }

    /// Writes the ledger row. What the count had and the query did not give is rejected, so that the row adds up.
    fn close(mut self, expected: &Expected) -> bool {
        let told = self.records.saturating_add(self.rejects.total());
        let rows = expected.rows.map(|rows| rows.saturating_add(self.more));
        let seen = rows.unwrap_or(told).max(told);
        if let Some(rows) = rows
            && rows != told
            && (self.complete || rows < told)
        {
            let detail = format!("table {} for {}: {rows} rows counted, {told} read", self.query.row_table, self.query.record);
            self.emit.problem(Code::RowCountMismatch, detail);
            self.complete = false;
        }
        self.rejects.add("not reached", seen.saturating_sub(told));
        let source = match self.state {
            State::Live => format!("{}→{}", self.query.row_table, self.query.record),
            state => format!("{}→{} ({})", self.query.row_table, self.query.record, state.name()),
        };
        let (table, reason) = (Some(self.query.row_table.as_str()), self.rejects.reason());
        self.emit.ledger(&source, &self.query.record, table, seen, self.records, reason);
        self.complete
    }
}
