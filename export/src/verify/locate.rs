//! Says where rows and sealed leaf hashes part ways.

use std::collections::VecDeque;

/// Rows and hashes after the first difference among which the two are brought together again.
const WINDOW: usize = 64;

/// Where rows and hashes part ways.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alignment {
    /// Table of the row.
    pub table: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// What happened to it.
    pub words: String,
    /// Which leaf of the tree it is, from 0.
    pub tile: usize,
}

struct Row {
    table: &'static str,
    key: String,
    leaf: [u8; 32],
}

/// Compares rows with hashes as they come.
pub struct Locator {
    hashes: Vec<[u8; 32]>,
    /// Rows that were compared.
    place: usize,
    /// The last row that was as sealed.
    before: Option<(&'static str, String)>,
    /// The first row that was not, and those after it.
    after: VecDeque<Row>,
}

impl Locator {
    /// Begins with the hashes of the tiles.
    pub fn new(hashes: Vec<[u8; 32]>) -> Locator {
        Locator { hashes, place: 0, before: None, after: VecDeque::new() }
    }

    /// Takes the next row. Its key is asked for only when it may be needed in words.
    pub fn row(&mut self, table: &'static str, key: impl FnOnce() -> String, leaf: [u8; 32]) {
        if self.after.is_empty() && self.hashes.get(self.place) == Some(&leaf) {
            self.place += 1;
            // The key of the row before the first difference: kept for every row, because no one knows which is the last.
            self.before = Some((table, key()));
        } else if self.after.len() < WINDOW {
            self.after.push_back(Row { table, key: key(), leaf });
        }
    }

    /// Where rows and hashes part ways; `None` if nowhere.
    pub fn finish(self) -> Option<Alignment> {
        let left = self.hashes.get(self.place..).unwrap_or(&[]);
        if self.after.is_empty() && left.is_empty() {
            return None;
        }
        let (extra, lost) = self.together(left);
        let before = self.before.as_ref().map_or("the beginning".to_owned(), |(table, key)| format!("{table} {key}"));
        let named = |row: &Row, words: String| Alignment {
            table: Some(row.table.to_owned()),
            key: Some(row.key.clone()),
            words,
            tile: self.place,
        };
        Some(match self.after.front() {
            Some(row) if extra > 0 && lost > 0 => named(row, "is not as it was sealed".to_owned()),
            Some(row) if extra > 0 => named(row, "was not there when the bundle was sealed".to_owned()),
            Some(row) => named(row, format!("{lost} rows are missing before it, after {before}")),
            None => {
                let (table, key) = self.before.as_ref().map(|(table, key)| ((*table).to_owned(), key.clone())).unzip();
                Alignment { table, key, words: format!("{lost} rows are missing after it"), tile: self.place }
            }
        })
    }

    /// How many rows and how many hashes to leave out, as few as possible, until both go on alike.
    fn together(&self, left: &[[u8; 32]]) -> (usize, usize) {
        for sum in 0..2 * WINDOW {
            for extra in 0..=sum.min(self.after.len()) {
                let lost = sum - extra;
                let (row, hash) = (self.after.get(extra), left.get(lost));
                let ends = row.is_none() && hash.is_none() && self.after.len() < WINDOW;
                if ends || row.is_some_and(|row| hash == Some(&row.leaf)) {
                    return (extra, lost);
                }
            }
        }
        (usize::from(!self.after.is_empty()), usize::from(!left.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate(sealed: &[u8], rows: &[u8]) -> Option<(Option<String>, String)> {
        let mut locator = Locator::new(sealed.iter().map(|number| [*number; 32]).collect());
        for number in rows {
            locator.row("t", || number.to_string(), [*number; 32]);
        }
        locator.finish().map(|alignment| (alignment.key, alignment.words))
    }

    #[test]
    fn names_the_row_and_what_happened_to_it() {
        assert_eq!(locate(&[1, 2, 3], &[1, 2, 3]), None);
        let words =
            |sealed: &[u8], rows: &[u8]| locate(sealed, rows).map(|(key, words)| (key.unwrap_or_default(), words)).unwrap();
        assert_eq!(words(&[1, 2, 3], &[1, 9, 3]), ("9".into(), "is not as it was sealed".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 3]), ("3".into(), "1 rows are missing before it, after t 1".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 2, 9, 3]), ("9".into(), "was not there when the bundle was sealed".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 2]), ("2".into(), "1 rows are missing after it".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 2, 9]), ("9".into(), "is not as it was sealed".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 2, 3, 9]), ("9".into(), "was not there when the bundle was sealed".into()));
        assert_eq!(words(&[1, 2], &[2]).1, "1 rows are missing before it, after the beginning");
    }
}
