//! Rows seen = records + rejected: the counts of one query.

use super::Query;
use super::schema::quoted;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashSet};

/// The rows of a row table, counted by SQLite apart from the query that reads them.
#[derive(Debug, Default)]
pub struct Expected {
    /// All rows; `None` where they could not be counted.
    pub rows: Option<u64>,
    /// Rows that each `skip` leaves out, in the order of the definition.
    pub skipped: Vec<u64>,
}

impl Expected {
    /// Counts.
    ///
    /// # Errors
    /// What SQLite says where the table is damaged.
    pub fn count(connection: &Connection, query: &Query) -> rusqlite::Result<Expected> {
        let sql = format!("SELECT count(*) FROM {}", quoted(&query.row_table));
        let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        let mut skipped = Vec::new();
        if !query.skip.is_empty() {
            let width = query.skip.len();
            skipped = connection.query_row(&count_skipped(query), [], |row| {
                (0..width).map(|ordinal| row.get::<_, Option<i64>>(ordinal).map(|count| natural(count.unwrap_or(0)))).collect()
            })?;
        }
        Ok(Expected { rows: Some(natural(rows)), skipped })
    }
}

fn natural(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// SQL that counts the rows of every skip; a row that two skips leave out counts for the first.
pub fn count_skipped(query: &Query) -> String {
    let mut sums = Vec::new();
    let mut earlier = String::from("1");
    for skip in &query.skip {
        let condition = format!("coalesce(({}), 0)", skip.r#where);
        sums.push(format!("sum({earlier} AND {condition})"));
        earlier = format!("{earlier} AND NOT {condition}");
    }
    if sums.is_empty() {
        sums.push("0".to_owned());
    }
    format!("SELECT {} FROM {}", sums.join(", "), quoted(&query.row_table))
}

/// Rejected rows by reason.
#[derive(Debug, Default)]
pub struct Rejects {
    reasons: BTreeMap<String, u64>,
}

impl Rejects {
    /// Adds rows that gave no record.
    pub fn add(&mut self, reason: &str, rows: u64) {
        if rows > 0 {
            match self.reasons.get_mut(reason) {
                Some(count) => *count = count.saturating_add(rows),
                None => drop(self.reasons.insert(reason.to_owned(), rows)),
            }
        }
    }

    /// How many.
    pub fn total(&self) -> u64 {
        self.reasons.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The reasons with their counts, for the ledger.
    pub fn reason(&self) -> Option<String> {
        let parts: Vec<_> = self.reasons.iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Remembers which rowids were read. Rows come in rowid order as a rule: then only runs are remembered.
#[derive(Debug, Default)]
pub struct Seen {
    /// Ascending runs without gaps, first and last.
    runs: Vec<(i64, i64)>,
    /// What came out of order.
    others: HashSet<i64>,
}

impl Seen {
    /// Adds a rowid; false if it was there already.
    pub fn add(&mut self, row_id: i64) -> bool {
        match self.runs.last_mut() {
            None => self.runs.push((row_id, row_id)),
            Some((_, last)) if last.checked_add(1) == Some(row_id) => *last = row_id,
            Some((_, last)) if *last < row_id => self.runs.push((row_id, row_id)),
            Some(_) => return !self.in_runs(row_id) && self.others.insert(row_id),
        }
        // A later run may reach what had come out of order before it: it was smaller than the last, so it cannot.
        true
    }

    fn in_runs(&self, row_id: i64) -> bool {
        let after = self.runs.partition_point(|(first, _)| *first <= row_id);
        after.checked_sub(1).and_then(|before| self.runs.get(before)).is_some_and(|(_, last)| row_id <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Skip;

    #[test]
    fn rows_are_counted_once_for_the_first_skip() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (-1), (-1), (-2), (NULL), (5)").unwrap();
        let skip = |text: &str| Skip { r#where: text.to_owned(), reason: text.to_owned() };
        let query = Query {
            record: "message".to_owned(),
            row_table: "t".to_owned(),
            sql: String::new(),
            skip: vec![skip("t.a = -1"), skip("t.a < 0")],
            contact_table: None,
            message_table: None,
        };
        let expected = Expected::count(&connection, &query).unwrap();
        assert_eq!((expected.rows, expected.skipped), (Some(5), vec![2, 1]));
        connection.execute_batch("DELETE FROM t").unwrap();
        assert_eq!(Expected::count(&connection, &query).unwrap().skipped, [0, 0]);
    }

    #[test]
    fn a_row_is_seen_once_in_any_order() {
        for order in [[1, 2, 3, 7, 9], [9, 7, 1, 3, 2], [3, 1, 2, 9, 7]] {
            let mut seen = Seen::default();
            assert!(order.iter().all(|row_id| seen.add(*row_id)), "{order:?}");
            assert!(order.iter().all(|row_id| !seen.add(*row_id)), "{order:?}");
            assert!(seen.add(i64::MAX) && !seen.add(i64::MAX) && seen.add(i64::MIN) && !seen.add(i64::MIN));
        }
    }

    #[test]
    fn reasons_are_told_in_order() {
        let mut rejects = Rejects::default();
        rejects.add("z", 1);
        rejects.add("a", 2);
        rejects.add("z", 1);
        rejects.add("b", 0);
        assert_eq!((rejects.total(), rejects.reason().as_deref()), (4, Some("2: a; 2: z")));
    }
}
