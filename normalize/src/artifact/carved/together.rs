//! Which deleted rows a query may read together.
//!
//! Only where what it gives for a row cannot depend on the others, and where it says which row it gives by a number that is ours, the row's
//! place in the TEMP table: hostile evidence must not get one row's content under another row's place.

use crate::recover::Row;
use crate::recover::shape::Table;
use crate::recover::value::Value;

/// Rows that are read together at most, and bytes of their values: a query that works something out of a whole table does so once for them.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 4 << 20;

/// Names that SQLite has for the place of a row, where no column is called so.
pub const ROW_IDS: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// Words that make one row of several, or number them, where they stand in the query itself.
const ACROSS_ROWS: [&str; 8] = ["group", "having", "distinct", "limit", "union", "except", "intersect", "over"];

/// A query that gives the place of each row in the TEMP table as `row_id`, if it tells the rows of its table apart: its first column is the
/// table's rowid by its own name, which it names so nowhere else, and it reads the table once.
pub fn by_place(sql: &str, table: &Table) -> Option<String> {
    let words = words(sql);
    let key = words.get(2).filter(|_| tells_apart(&words, table))?;
    let place = place_name(table)?;
    let (before, rest) = sql.split_at_checked(key.at)?;
    Some(format!("{before}{place}{}", rest.get(key.text.len()..)?))
}

/// What the place of a row is called: none of the table's columns has that name.
pub fn place_name(table: &Table) -> Option<&'static str> {
    ROW_IDS.into_iter().find(|name| !is_column(table, name))
}

fn is_column(table: &Table, name: &str) -> bool {
    table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
}

fn tells_apart(words: &[Word<'_>], table: &Table) -> bool {
    let Some(key) = table.columns.iter().find(|column| column.is_row_id) else { return false };
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found.text.eq_ignore_ascii_case(word));
    let begins = is(0, "select") && is(2, &key.name) && is(3, "as") && is(4, "row_id");
    let Some(name) = words.get(1).filter(|name| begins && name.names_column) else { return false };
    let own = |at: usize, word: &Word<'_>| !word.is_column || at.checked_sub(1).is_some_and(|before| is(before, name.text));
    let places = ROW_IDS.into_iter().filter(|id| !is_column(table, id));
    let placed = |id: &str| words.iter().enumerate().any(|(at, word)| word.text.eq_ignore_ascii_case(id) && own(at, word));
    if places.into_iter().any(placed) {
        return false;
    }
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
    /// Its first byte in the query.
    at: usize,
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
        words.push(Word {
            text,
            at: sql.len() - rest.len(),
            depth,
            names_column: behind.starts_with('.'),
            is_column: before == '.',
        });
        (rest, before) = (behind, ' ');
    }
    words
}

/// Rows cut into runs that are read together.
pub struct Batches<'r>(pub &'r [Row]);

impl<'r> Iterator for Batches<'r> {
    type Item = &'r [Row];

    fn next(&mut self) -> Option<&'r [Row]> {
        let mut left = BATCH_BYTES;
        let size = |row: &Row| row.values.iter().flatten().map(Value::size).sum::<usize>();
        let fits = |row: &&Row| left.checked_sub(size(row)).is_some_and(|rest| (left = rest, true).1);
        let run = self.0.iter().take(BATCH_ROWS).take_while(fits).count();
        let (batch, rest) = self.0.split_at_checked(run.max(1))?;
        self.0 = rest;
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
    fn rows_are_named_by_a_place_that_is_no_column() {
        let mut own = table("t");
        assert_eq!(by_place("SELECT t._id AS row_id FROM t", &own).as_deref(), Some("SELECT t.rowid AS row_id FROM t"));
        own.columns.push(Column { name: "RowId".to_owned(), affinity: Affinity::Integer, not_null: false, is_row_id: false });
        assert_eq!(
            by_place("SELECT t._ID AS row_id, rowid FROM t", &own).as_deref(),
            Some("SELECT t._rowid_ AS row_id, rowid FROM t")
        );
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
            ("SELECT t._id AS row_id FROM t LEFT JOIN u ON u.x = t.rowid", false),
            ("SELECT t._id AS row_id FROM t LEFT JOIN u ON u.x = oid", false),
            ("SELECT t._id AS row_id, u.rowid FROM t LEFT JOIN u ON u.x = t._id", true),
        ] {
            assert_eq!(by_place(sql, &table("t")).is_some(), expected, "{sql}");
        }
    }
}
