//! What a file system's listing goes into.

use super::stream::Content;
use crate::open::{Entry, Trouble};
use model::item::FileTimes;
use model::{Code, FileKind};

/// Troubles of one volume that are told one by one; more are counted.
const TROUBLES_MAX: usize = 100;
/// Longest path: folders nested deeper than that are not gone into.
const PATH_BYTES_MAX: usize = 32 << 10;

/// What a file counts as at least when its size is held against what is stored of it: holes are cheap, up to a thousand times this.
const SPARSE_FLOOR_BYTES: u64 = 1 << 20;

/// Bytes of a place on the disk: four bytes for each of a million entries count.
pub const PLACE_BYTES: u64 = 4096;

/// A byte of the disk as a place.
pub fn place(byte: u64) -> u32 {
    u32::try_from(byte / PLACE_BYTES).unwrap_or(u32::MAX)
}

/// Where an entry's content lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// A directory, or what has no content.
    Nowhere,
    /// A file: volume, and its key there.
    File(u16, u64),
    /// The disk.
    Media,
    /// A volume as a whole.
    Volume(u16),
    /// What an encrypted volume holds.
    Plain(u16),
    /// Another file of the image.
    Part(u16),
}

/// Takes the entries of the volumes of a disk.
pub struct Sink<'a> {
    /// The entries so far.
    pub entries: &'a mut Vec<Entry>,
    /// Where the content of each lies.
    pub places: &'a mut Vec<At>,
    /// Where each begins on the disk, in units of [`PLACE_BYTES`].
    pub begins: &'a mut Vec<u32>,
    /// Ranges of the disk that entries cover.
    pub covered: &'a mut Vec<(u64, u64)>,
    /// Troubles of this volume.
    pub troubles: Vec<Trouble>,
    /// Troubles beyond those that are told.
    pub untold: usize,
    /// What stands before every path: empty, or `p1/`.
    pub prefix: Vec<u8>,
    /// Index of the volume, and its first byte on the disk.
    pub volume: (u16, u64),
    /// How many entries the disk may have.
    pub cap_entries: u64,
}

/// A folder or file as its file system tells of it; see [`Entry`].
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Path in the volume.
    pub path: Vec<u8>,
    /// Kind; `None` for a directory.
    pub kind: Option<FileKind>,
    /// Size that the file system tells, bytes.
    pub size: u64,
    /// Mode bits.
    pub mode: Option<u32>,
    /// Owner and group.
    pub owner: Option<(u32, u32)>,
    /// Times.
    pub times: FileTimes,
    /// Where a link points.
    pub link_target: Option<Vec<u8>>,
    /// Whether it is deleted.
    pub deleted: bool,
}

impl Sink<'_> {
    /// Whether no more entries are taken; says so once.
    pub fn is_full(&mut self) -> bool {
        let full = self.entries.len() as u64 >= self.cap_entries;
        if full && !self.troubles.iter().any(|trouble| trouble.code == Code::CapEntries) {
            let detail = format!("more than {} entries: the rest is not listed", self.cap_entries);
            self.troubles.insert(0, Trouble::new(Code::CapEntries, detail));
        }
        full
    }

    /// Says what is wrong with the volume.
    pub fn trouble(&mut self, trouble: Trouble) {
        if self.troubles.len() < TROUBLES_MAX { self.troubles.push(trouble) } else { self.untold += 1 }
    }

    /// The path of a name in a folder; `None`, and a trouble, where it is too long to be gone into.
    pub fn path(&mut self, folder: &[u8], name: &[u8]) -> Option<Vec<u8>> {
        if folder.len() + name.len() > PATH_BYTES_MAX {
            self.trouble(Trouble::new(Code::CapDepth, format!("paths of more than {PATH_BYTES_MAX} bytes: not listed")));
            return None;
        }
        Some(if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() })
    }

    /// Takes an entry. `content`: what is read for it, where that is known; none for what cannot be read.
    pub fn push(&mut self, found: Found, key: u64, content: Option<&Content>) {
        if self.is_full() {
            return;
        }
        let (volume, start) = self.volume;
        let size = content.map_or(found.size, |content| content.size);
        let mut begins = 0;
        if let Some(content) = content {
            let ranges = content.ranges();
            begins = ranges.first().map_or(0, |(from, _)| place(start.saturating_add(*from)));
            self.covered.extend(ranges.iter().map(|(from, to)| (start.saturating_add(*from), start.saturating_add(*to))));
        }
        let is_file = found.kind == Some(FileKind::File);
        self.begins.push(begins);
        self.places.push(if is_file { At::File(volume, key) } else { At::Nowhere });
        self.entries.push(Entry {
            path: if self.prefix.is_empty() { found.path } else { [&self.prefix[..], &found.path].concat() },
            ordinal: 0,
            kind: found.kind,
            size: if is_file { size } else { 0 },
            packed: content.map(|content| content.stored_bytes().max(SPARSE_FLOOR_BYTES)),
            mode: found.mode,
            owner: found.owner,
            times: found.times,
            link_target: found.link_target,
            deleted: found.deleted,
        });
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What a sink takes, in the tests of file systems.
    #[derive(Default)]
    pub struct Taken {
        /// Entries.
        pub entries: Vec<Entry>,
        /// Their places.
        pub places: Vec<At>,
        /// Where they begin.
        pub begins: Vec<u32>,
        /// Ranges they cover.
        pub covered: Vec<(u64, u64)>,
    }

    impl Taken {
        /// A sink into it.
        pub fn sink(&mut self) -> Sink<'_> {
            Sink {
                entries: &mut self.entries,
                places: &mut self.places,
                begins: &mut self.begins,
                covered: &mut self.covered,
                troubles: Vec::new(),
                untold: 0,
                prefix: b"p1/".to_vec(),
                volume: (0, 1000),
                cap_entries: 2,
            }
        }
    }

    #[test]
    fn entries_are_prefixed_covered_and_capped() {
        let mut taken = Taken::default();
        let mut sink = taken.sink();
        let content = Content::plain(vec![super::super::stream::Run { at: Some(50), bytes: 10 }], 7);
        for name in ["a", "b", "c"] {
            let found = Found { path: name.into(), kind: Some(FileKind::File), ..Found::default() };
            sink.push(found, 5, Some(&content));
        }
        assert_eq!(sink.troubles[0].code, Code::CapEntries);
        assert_eq!((taken.entries.len(), &taken.entries[1].path[..], taken.entries[1].size), (2, &b"p1/b"[..], 7));
        assert_eq!((taken.covered[0], taken.places[0]), ((1050, 1057), At::File(0, 5)));
    }
}
