//! Which deleted rows a query may read together.
//!
//! Only where what it gives for a row cannot depend on the others, and where it says by the rowid itself which row it gives: hostile
//! evidence must not get one row's content under another row's place.

use crate::recover::Row;
use crate::recover::shape::Table;
use crate::recover::value::Value;
use std::collections::HashSet;

/// Rows that are read together at most.
const BATCH_ROWS: usize = 256;

/// Words that make one row of several, or number them, where they stand in the query itself.
const ACROSS_ROWS: [&str; 8] = ["group", "having", "distinct", "limit", "union", "except", "intersect", "over"];

/// Whether a query tells the rows of its table apart: its first column is the table's rowid by its own name, and it reads the table once.
pub fn tells_apart(sql: &str, table: &Table) -> bool {
    let Some(key) = table.columns.iter().find(|column| column.is_row_id) else { return false };
    let words = words(sql);
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found.text.eq_ignore_ascii_case(word));
    let begins = is(0, "select") && is(2, &key.name) && is(3, "as") && is(4, "row_id");
    let Some(name) = words.get(1).filter(|name| begins && name.names_column) else { return false };
    let mut reads = words.iter().enumerate().filter(|(_, word)| {
        let qualifies = word.names_column && !word.is_column;
        word.text.eq_ignore_ascii_case(&table.name) && !qualifies
    });
    let (Some((at, _)), None) = (reads.next(), reads.next()) else { return false };
    let named_so = if is(at + 1, "as") { is(at + 2, name.text) } else { name.text.eq_ignore_ascii_case(&table.name) };
    let whole =
        words.iter().all(|word| word.depth > 0 || !ACROSS_ROWS.iter().any(|across| word.text.eq_ignore_ascii_case(across)));
    at > 0 && is(at - 1, "from") && words.get(at).is_some_and(|word| word.depth == 0 && !word.is_column) && named_so && whole
}

/// A word of SQL; words in quotes are words as well: more of them only make the answer no.
struct Word<'s> {
    text: &'s str,
    /// Open parentheses around it.
    depth: usize,
    /// Whether a dot follows: it names a table whose column is meant.
    names_column: bool,
    /// Whether a dot stands before it.
    is_column: bool,
}

fn words(sql: &str) -> Vec<Word<'_>> {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let (mut words, mut depth, mut rest, mut before) = (Vec::new(), 0usize, sql, ' ');
    while let Some(character) = rest.chars().next() {
        if !is_part(character) {
            match character {
                '(' => depth = depth.saturating_add(1),
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            before = character;
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
            continue;
        }
        let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        let (text, behind) = rest.split_at(end);
        words.push(Word { text, depth, names_column: behind.starts_with('.'), is_column: before == '.' });
        (rest, before) = (behind, ' ');
    }
    words
}

/// Rows cut into runs: in each the rowids differ and stand in their own columns, or it is one row.
pub struct Batches<'r> {
    rows: &'r [Row],
    /// Which column is the rowid.
    key: Option<usize>,
}

impl<'r> Batches<'r> {
    /// The runs of a table's rows.
    pub fn of(table: &Table, rows: &'r [Row]) -> Batches<'r> {
        Batches { rows, key: table.columns.iter().position(|column| column.is_row_id) }
    }

    fn sure(&self, row: &Row) -> Option<i64> {
        let row_id = row.row_id?;
        match row.values.get(self.key?)? {
            Some(Value::Integer(value)) if *value == row_id => Some(row_id),
            _ => None,
        }
    }
}

impl<'r> Iterator for Batches<'r> {
    type Item = &'r [Row];

    fn next(&mut self) -> Option<&'r [Row]> {
        let mut seen = HashSet::new();
        let fits = |row: &&Row| self.sure(row).is_some_and(|row_id| seen.insert(row_id));
        let run = self.rows.iter().take(BATCH_ROWS).take_while(fits).count();
        let (batch, rest) = self.rows.split_at_checked(run.max(1))?;
        self.rows = rest;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::shape::{Affinity, Column};

    fn table(name: &str) -> Table {
        let column =
            |name: &str, is_row_id| Column { name: name.to_owned(), affinity: Affinity::Integer, not_null: false, is_row_id };
        Table { name: name.to_owned(), columns: vec![column("_id", true), column("b", false)], root: 2, dropped: false }
    }

    #[test]
    fn only_a_query_that_names_its_rows_by_their_keys_reads_them_together() {
        for (sql, expected) in [
            ("SELECT t._id AS row_id, b FROM t LEFT JOIN u ON u.x = t.b", true),
            ("SELECT seat._id AS row_id FROM t AS seat", true),
            ("SELECT t._id AS row_id FROM t LEFT JOIN (SELECT a, count(*) FROM v GROUP BY 1) AS w ON w.a = t._id", true),
            ("SELECT t.b AS row_id FROM t", false),
            ("SELECT u._id AS row_id FROM t JOIN u ON u.x = t.b", false),
            ("SELECT _id AS row_id FROM t", false),
            ("SELECT t._id AS row_id FROM t JOIN t AS other ON other.b = t._id", false),
            ("SELECT t._id AS row_id, (SELECT count(*) FROM t) FROM t", false),
            ("SELECT t._id AS row_id, 't' AS message_table FROM t", false),
            ("SELECT t._id AS row_id FROM main.t", false),
            ("SELECT t._id AS row_id, row_number() OVER (ORDER BY b) FROM t", false),
            ("SELECT t._id AS row_id, max(b) FROM t GROUP BY b", false),
            ("SELECT DISTINCT t._id AS row_id FROM t", false),
        ] {
            assert_eq!(tells_apart(sql, &table("t")), expected, "{sql}");
        }
    }
}
