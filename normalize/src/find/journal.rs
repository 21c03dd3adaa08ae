//! Page images in the companions of a database: frames of a write-ahead log, records of a rollback journal.
//!
//! Format: <https://www.sqlite.org/fileformat2.html>, sections 3 (rollback journal) and 4.1 (WAL). Salts and checksums are not
//! asked: a frame that a checkpoint made stale still holds what it held.

use crate::find::pages::{Geometry, PageFile, be32};
use std::io;
use std::ops::Range;

/// Bytes before the first frame of a WAL, and before the page of a frame.
const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// First bytes of a journal header; a persisted journal that is done has zeros there.
pub const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// Sector size where the header has none: what SQLite takes on storage with safe overwrite.
const SECTOR: u64 = 512;

/// Where the page images of a companion lie.
#[derive(Debug, Default)]
pub struct Images {
    /// Page number and first byte of each image, in the order of the file; every image is as long as a page.
    pub pages: Vec<(u32, u64)>,
    /// Everything else: headers, padding, a cut last image.
    pub rest: Vec<Range<u64>>,
}

impl Images {
    /// The frames of a write-ahead log.
    pub fn of_wal(file: &PageFile) -> io::Result<Images> {
        let mut images = Images::default();
        let size = file.geometry.page_size as u64;
        let mut at = WAL_HEADER.min(file.length);
        let mut header = Vec::new();
        while at + FRAME_HEADER + size <= file.length {
            file.read_at(at, &mut header, FRAME_HEADER as usize)?;
            images.pages.push((be32(&header, 0).unwrap_or(0), at + FRAME_HEADER));
            at += FRAME_HEADER + size;
        }
        images.rest.push(at..file.length);
        Ok(images)
    }

    /// The records of a rollback journal: after each header as many as it says, after the last as many as there are.
    pub fn of_journal(file: &PageFile) -> io::Result<Images> {
        let mut images = Images::default();
        let record = file.geometry.page_size as u64 + 8;
        let (mut at, mut head) = (0, Vec::new());
        let mut sector = SECTOR;
        while at < file.length {
            file.read_at(at, &mut head, 28)?;
            let is_header = head.starts_with(&JOURNAL_MAGIC);
            if is_header || at == 0 {
                if is_header {
                    let stated = be32(&head, 20).map_or(0, u64::from);
                    sector = if stated.is_power_of_two() && (32..=65_536).contains(&stated) { stated } else { SECTOR };
                }
                let end = at.saturating_add(sector).min(file.length);
                images.rest.push(at..end);
                at = end;
            } else if at + record <= file.length {
                images.pages.push((be32(&head, 0).unwrap_or(0), at + 4));
                at += record;
                // The next header begins on a sector.
                let aligned = at.next_multiple_of(sector);
                file.read_at(aligned, &mut head, 8)?;
                if aligned > at && head.starts_with(&JOURNAL_MAGIC) {
                    images.rest.push(at..aligned);
                    at = aligned;
                }
            } else {
                images.rest.push(at..file.length);
                at = file.length;
            }
        }
        Ok(images)
    }
}

/// The page size that a journal's header states.
pub fn journal_geometry(head: &[u8]) -> Option<Geometry> {
    let size = be32(head, 24)? as usize;
    let sound = (512..=65_536).contains(&size) && size.is_power_of_two();
    sound.then_some(Geometry { page_size: size, usable: size, encoding: model::observable::Encoding::Utf8 })
}

/// The page size that a WAL's header states, in the geometry of its database.
pub fn wal_geometry(head: &[u8], database: Option<Geometry>) -> Option<Geometry> {
    let magic = be32(head, 0)?;
    let size = match be32(head, 8)? {
        1 => 65_536,
        size => size as usize,
    };
    if magic & !1 != 0x377f_0682 || !(512..=65_536).contains(&size) || !size.is_power_of_two() {
        return database;
    }
    let encoding = database.map_or(model::observable::Encoding::Utf8, |geometry| geometry.encoding);
    let reserved = database.map_or(0, |geometry| geometry.page_size - geometry.usable);
    Some(Geometry { page_size: size, usable: size.saturating_sub(reserved).max(480), encoding })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::observable::Encoding;

    const GEOMETRY: Geometry = Geometry { page_size: 512, usable: 512, encoding: Encoding::Utf8 };

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PageFile) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x"), bytes).unwrap();
        let file = PageFile::open(&folder.path().join("x"), GEOMETRY).unwrap();
        (folder, file)
    }

    #[test]
    fn wal_frames_and_a_cut_one() {
        let mut bytes = vec![0; 32 + 2 * (24 + 512) + 100];
        bytes[35] = 7;
        let (_folder, file) = file(&bytes);
        let images = Images::of_wal(&file).unwrap();
        assert_eq!(images.pages, [(7, 56), (0, 32 + 536 + 24)]);
        assert_eq!(images.rest.len(), 1);
        assert_eq!(images.rest[0], 32 + 2 * 536..bytes.len() as u64);
    }

    #[test]
    fn journal_of_two_headers() {
        let mut bytes = vec![0; 512 + 520];
        bytes[..8].copy_from_slice(&JOURNAL_MAGIC);
        bytes[22] = 2;
        bytes[515] = 3;
        bytes.resize(1536, 0);
        let second = bytes[..512].to_vec();
        bytes.extend(second);
        bytes.extend([0, 0, 0, 9]);
        bytes.extend([0; 516]);
        let (_folder, file) = file(&bytes);
        let images = Images::of_journal(&file).unwrap();
        assert_eq!(images.pages, [(3, 516), (9, 2052)]);
        assert_eq!(images.rest, [0..512, 1032..1536, 1536..2048]);
    }

    #[test]
    fn every_byte_is_in_an_image_or_the_rest() {
        for length in [0, 1, 511, 512, 513, 1040, 5000] {
            let (_folder, file) = file(&vec![0xd9; length]);
            let images = Images::of_journal(&file).unwrap();
            let rest: u64 = images.rest.iter().map(|range| range.end - range.start).sum();
            assert_eq!(rest + images.pages.len() as u64 * 520, length as u64, "{length}");
        }
    }

    #[test]
    fn the_page_size_of_a_wal_goes_before_the_database() {
        let mut head = vec![0; 32];
        head[..4].copy_from_slice(&0x377f_0683u32.to_be_bytes());
        head[8..12].copy_from_slice(&4096u32.to_be_bytes());
        assert_eq!(wal_geometry(&head, Some(GEOMETRY)).unwrap().page_size, 4096);
        head[0] = 0;
        assert_eq!(wal_geometry(&head, Some(GEOMETRY)), Some(GEOMETRY));
        assert_eq!(wal_geometry(&head[..4], None), None);
    }
}
