//! Says where rows and sealed leaf hashes part ways.

use super::rows::key_words;
use crate::Error;
use crate::bundle::schema::Table;
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
    table: &'static Table,
    key: Vec<u8>,
    leaf: [u8; 32],
}

/// The hashes of the next tile; none after the last.
type NextTile<'t> = Box<dyn FnMut() -> Result<Option<Vec<[u8; 32]>>, Error> + 't>;

/// Compares rows with hashes as they come; holds one tile of them.
pub struct Locator<'t> {
    next_tile: NextTile<'t>,
    /// Hashes from the place of comparison on.
    ahead: VecDeque<[u8; 32]>,
    /// Rows that were compared.
    place: usize,
    /// The last row that was as sealed.
    before: Option<(&'static Table, Vec<u8>)>,
    /// The first row that was not, and those after it.
    after: VecDeque<Row>,
}

impl<'t> Locator<'t> {
    /// Begins with the first tile.
    pub fn new(next_tile: NextTile<'t>) -> Locator<'t> {
        Locator { next_tile, ahead: VecDeque::new(), place: 0, before: None, after: VecDeque::new() }
    }

    /// Takes the next row.
    pub fn row(&mut self, table: &'static Table, key: Vec<u8>, leaf: [u8; 32]) -> Result<(), Error> {
        if self.after.is_empty() {
            self.look_ahead(1)?;
            if self.ahead.front() == Some(&leaf) {
                self.ahead.pop_front();
                self.place += 1;
                // The key of the row before the first difference: kept for every row, because no one knows which is the last.
                self.before = Some((table, key));
                return Ok(());
            }
        }
        if self.after.len() < WINDOW {
            self.after.push_back(Row { table, key, leaf });
        }
        Ok(())
    }

    /// Reads tiles until so many hashes are at hand or there are no more.
    fn look_ahead(&mut self, hashes: usize) -> Result<(), Error> {
        while self.ahead.len() < hashes
            && let Some(tile) = (self.next_tile)()?
        {
            self.ahead.extend(tile);
        }
        Ok(())
    }

    /// Where rows and hashes part ways; `None` if nowhere.
    pub fn finish(mut self) -> Result<Option<Alignment>, Error> {
        self.look_ahead(2 * WINDOW + 1)?;
        let left: Vec<_> = std::mem::take(&mut self.ahead).into();
        Ok(if self.after.is_empty() && left.is_empty() { None } else { Some(self.part(&left)) })
    }

    fn part(&self, left: &[[u8; 32]]) -> Alignment {
        let (extra, lost) = self.together(left);
        let before = self
            .before
            .as_ref()
            .map_or("the beginning".to_owned(), |(table, key)| format!("{} {}", table.name, key_words(table, key)));
        let named = |row: &Row, words: String| Alignment {
            table: Some(row.table.name.to_owned()),
            key: Some(key_words(row.table, &row.key)),
            words,
            tile: self.place,
        };
        match self.after.front() {
            Some(row) if extra > 0 && lost > 0 => named(row, "is not as it was sealed".to_owned()),
            Some(row) if extra > 0 => named(row, "was not there when the bundle was sealed".to_owned()),
            Some(row) => named(row, format!("{lost} rows are missing before it, after {before}")),
            None => {
                let (table, key) =
                    self.before.as_ref().map(|(table, key)| (table.name.to_owned(), key_words(table, key))).unzip();
                Alignment { table, key, words: format!("{lost} rows are missing after it"), tile: self.place }
            }
        }
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
        let mut tiles = sealed.chunks(2).map(|tile| tile.iter().map(|number| [*number; 32]).collect());
        let mut locator = Locator::new(Box::new(|| Ok(tiles.next())));
        for number in rows {
            let table = crate::bundle::schema::table("meta").unwrap();
            locator.row(table, number.to_string().into_bytes(), [*number; 32]).unwrap();
        }
        locator.finish().unwrap().map(|alignment| (alignment.key, alignment.words))
    }

    #[test]
    fn names_the_row_and_what_happened_to_it() {
        assert_eq!(locate(&[1, 2, 3], &[1, 2, 3]), None);
        let words =
            |sealed: &[u8], rows: &[u8]| locate(sealed, rows).map(|(key, words)| (key.unwrap_or_default(), words)).unwrap();
        assert_eq!(words(&[1, 2, 3], &[1, 9, 3]), ("9".into(), "is not as it was sealed".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 3]), ("3".into(), "1 rows are missing before it, after meta 1".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 2, 9, 3]), ("9".into(), "was not there when the bundle was sealed".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 2]), ("2".into(), "1 rows are missing after it".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 2, 9]), ("9".into(), "is not as it was sealed".into()));
        assert_eq!(words(&[1, 2, 3], &[1, 2, 3, 9]), ("9".into(), "was not there when the bundle was sealed".into()));
        assert_eq!(words(&[1, 2], &[2]).1, "1 rows are missing before it, after the beginning");
    }
}
