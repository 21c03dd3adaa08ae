//! The database as SQLite gives it: its pages, and those of its log or journal that are in force, laid over them.
//!
//! A log's frames count up to its last commit, as long as salts and checksums hold; a journal whose header stands is rolled
//! back (<https://www.sqlite.org/fileformat2.html>, sections 3 and 4). This only says where live rows are not looked for: what is
//! live is SQLite's own answer ([`super::sift`]).

use super::Source;
use super::images::Log;
use crate::find::journal::JOURNAL_MAGIC;
use crate::find::pages::{Geometry, PageFile, be32};
use crate::find::tree::Pages;
use std::collections::HashMap;
use std::io;

/// Which images are in force.
#[derive(Default)]
pub struct Current {
    /// Log and first byte of the image of each page that is not the database's own.
    over: HashMap<u32, (usize, u64)>,
    /// Pages of the database, where they are not as many as its file has.
    count: Option<u64>,
}

impl Current {
    /// Finds the images in force.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(logs: &[Log]) -> io::Result<Current> {
        let mut current = Current::default();
        for (place, log) in logs.iter().enumerate() {
            match log.source {
                Source::Wal => current.wal(place, log)?,
                _ => current.journal(place, log)?,
            }
        }
        Ok(current)
    }

    /// Whether the database's own image of a page is an earlier one.
    pub fn is_over(&self, page: u32) -> bool {
        self.over.contains_key(&page) || self.count.is_some_and(|count| u64::from(page) > count)
    }

    /// Whether nothing is laid over the database.
    pub fn is_plain(&self) -> bool {
        self.over.is_empty() && self.count.is_none()
    }

    fn wal(&mut self, place: usize, log: &Log) -> io::Result<()> {
        let (mut head, mut page) = (Vec::new(), Vec::new());
        log.file.read_at(0, &mut head, 32)?;
        let big = be32(&head, 0).is_some_and(|magic| magic & 1 == 1);
        let mut sum = (0, 0);
        add(&mut sum, head.get(..24).unwrap_or_default(), big);
        if !is(&head, 24, sum) {
            return Ok(());
        }
        let salts = head.get(16..24).unwrap_or_default().to_vec();
        let mut open = HashMap::new();
        for (number, offset) in &log.pages {
            log.file.read_at(offset.saturating_sub(24), &mut head, 24)?;
            log.file.read_at(*offset, &mut page, log.file.geometry.page_size)?;
            add(&mut sum, head.get(..8).unwrap_or_default(), big);
            add(&mut sum, &page, big);
            if head.get(8..16) != Some(salts.as_slice()) || !is(&head, 16, sum) {
                break;
            }
            open.insert(*number, (place, *offset));
            if let Some(count) = be32(&head, 4).filter(|count| *count > 0) {
                self.over.extend(open.drain());
                self.count = Some(u64::from(count));
            }
        }
        Ok(())
    }

    fn journal(&mut self, place: usize, log: &Log) -> io::Result<()> {
        let mut head = Vec::new();
        log.file.read_at(0, &mut head, 28)?;
        if head.starts_with(&JOURNAL_MAGIC) {
            for (number, offset) in &log.pages {
                self.over.entry(*number).or_insert((place, *offset));
            }
            self.count = be32(&head, 16).map(u64::from);
        }
        Ok(())
    }
}

/// Adds bytes to a log's checksum (section 4.2 of the format).
fn add(sum: &mut (u32, u32), bytes: &[u8], big: bool) {
    let word = |bytes: [u8; 4]| if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    for eight in bytes.chunks_exact(8) {
        if let [a, b, c, d, e, f, g, h] = *eight {
            sum.0 = sum.0.wrapping_add(word([a, b, c, d])).wrapping_add(sum.1);
            sum.1 = sum.1.wrapping_add(word([e, f, g, h])).wrapping_add(sum.0);
        }
    }
}

/// Whether a checksum stands there.
fn is(bytes: &[u8], at: usize, sum: (u32, u32)) -> bool {
    (be32(bytes, at), be32(bytes, at + 4)) == (Some(sum.0), Some(sum.1))
}

/// The pages in force.
pub struct View<'v> {
    /// The database.
    pub main: &'v PageFile,
    /// Its logs.
    pub logs: &'v [Log],
    /// Which of their images are in force.
    pub current: &'v Current,
}

impl Pages for View<'_> {
    fn count(&self) -> u64 {
        self.current.count.unwrap_or_else(|| self.main.pages())
    }

    fn geometry(&self) -> Geometry {
        self.main.geometry
    }

    fn read(&self, number: u32, page: &mut Vec<u8>) -> io::Result<bool> {
        let over = self.current.over.get(&number).and_then(|(log, offset)| Some((self.logs.get(*log)?, *offset)));
        match over {
            Some((log, offset)) => {
                log.file.read_at(offset, page, self.main.geometry.page_size)?;
                Ok(page.len() == self.main.geometry.page_size)
            }
            None => self.main.page(number, page),
        }
    }
}
