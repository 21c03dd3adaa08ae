//! One walked file or stream of an exhibit.

use crate::id::{Digest, Id};
use serde::{Deserialize, Serialize};

/// How an item ended. Every item ends with exactly one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ItemStatus {
    /// A definition, a parser or a container reader read it to its end.
    Parsed,
    /// Hashed and scanned; nothing in Haul reads more from this type.
    Plain,
    /// Read in part; a problem says where it stopped.
    Partial,
    /// Not read as content; the reason says why (a symlink, a device, over a cap, …).
    Skipped,
    /// Encrypted; the reason says which key is wanted.
    Locked,
    /// Could not be read; a problem says why.
    Failed,
}

impl ItemStatus {
    /// The word in `item.status`.
    pub fn name(self) -> &'static str {
        match self {
            ItemStatus::Parsed => "parsed",
            ItemStatus::Plain => "plain",
            ItemStatus::Partial => "partial",
            ItemStatus::Skipped => "skipped",
            ItemStatus::Locked => "locked",
            ItemStatus::Failed => "failed",
        }
    }
}

/// What kind of directory entry an item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FileKind {
    /// An ordinary file or stream.
    File,
    /// A symbolic link; recorded, never followed.
    Symlink,
    /// A second name of a file in the same archive.
    Hardlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileKind {
    /// The word in `item.file_kind`.
    pub fn name(self) -> &'static str {
        match self {
            FileKind::File => "file",
            FileKind::Symlink => "symlink",
            FileKind::Hardlink => "hardlink",
            FileKind::Fifo => "fifo",
            FileKind::Socket => "socket",
            FileKind::CharDevice => "char_device",
            FileKind::BlockDevice => "block_device",
        }
    }
}

/// One time of a file system or archive: nanoseconds where the source has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileTime {
    /// Seconds since 1970-01-01 UTC (or local wall time, see [`FileTimes::local`]).
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

impl FileTime {
    /// Microseconds since 1970, saturating at the ends of i64.
    pub fn micros(self) -> i64 {
        self.seconds.saturating_mul(1_000_000).saturating_add(i64::from(self.nanos / 1_000))
    }
}

/// The times of an entry, in the full resolution of their source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FileTimes {
    /// Content modified.
    pub modified: Option<FileTime>,
    /// Last read.
    pub accessed: Option<FileTime>,
    /// Inode changed.
    pub changed: Option<FileTime>,
    /// Created (birth).
    pub created: Option<FileTime>,
    /// True where the source keeps wall-clock time without a zone (zip's DOS times): `modified` is then that wall time
    /// read as if it were UTC, and a bundle leaves `modified_time` empty and keeps the raw text.
    pub local: bool,
}

/// One walked file or stream of an exhibit (`observable:File`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Derived by [`Item::id_of`].
    pub id: Id,
    /// Its exhibit.
    pub exhibit: Id,
    /// The item it lies in, if that is an archive or image.
    pub parent: Option<Id>,
    /// Its path from the root of the exhibit, through every container, `/` between components; lossy where the raw name is
    /// not UTF-8. Children of the exhibit's own container file are not prefixed with its name.
    pub path: String,
    /// The same path byte for byte, where it is not UTF-8.
    pub path_raw: Option<Vec<u8>>,
    /// What kind of entry it is.
    pub file_kind: FileKind,
    /// Where a symbolic or hard link points, lossy.
    pub link_target: Option<String>,
    /// Bytes read and hashed; for entries that were not read, the size the directory tells.
    pub size_bytes: u64,
    /// SHA-256 of the content; `None` only where the content was not read (skipped, locked, failed).
    pub sha256: Option<Digest>,
    /// SHA-1, lower-case hex, if configured.
    pub sha1: Option<String>,
    /// MD5, lower-case hex, if configured.
    pub md5: Option<String>,
    /// Media type by content.
    pub media_type: Option<String>,
    /// File mode bits where the source has them.
    pub mode: Option<u32>,
    /// Owner and group ids where the source has them.
    pub owner: Option<(u32, u32)>,
    /// All its times.
    pub times: FileTimes,
    /// True for a deleted entry.
    pub deleted: bool,
    /// How it ended.
    pub status: ItemStatus,
    /// Why it is skipped, locked, partial or failed.
    pub reason: Option<String>,
    /// Name of the definition or parser that read it.
    pub definition: Option<String>,
    /// How many entries (records, sightings, secrets, problems, ledger rows) were sent that name this item: the sink is
    /// complete when it holds as many.
    pub announced: u64,
}

impl Item {
    /// The id of the item at a path. `ordinal` tells apart entries of one archive that share a path (0 for the first).
    pub fn id_of(exhibit: Id, parent: Option<Id>, path: &[u8], ordinal: u32, deleted: bool) -> Id {
        let parent = parent.unwrap_or_default();
        Id::derive("item", &[exhibit.bytes(), parent.bytes(), path, &ordinal.to_le_bytes(), &[u8::from(deleted)]])
    }
}

/// One listed directory.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Directory {
    /// Derived like an item's id, in its own domain.
    pub id: Id,
    /// Its exhibit.
    pub exhibit: Id,
    /// The item (archive, image) it lies in.
    pub parent: Option<Id>,
    /// Its path, as [`Item::path`].
    pub path: String,
    /// Its path byte for byte, where it is not UTF-8.
    pub path_raw: Option<Vec<u8>>,
    /// Mode bits.
    pub mode: Option<u32>,
    /// Owner and group ids.
    pub owner: Option<(u32, u32)>,
    /// All its times.
    pub times: FileTimes,
}

impl Directory {
    /// The id of the directory at a path.
    pub fn id_of(exhibit: Id, parent: Option<Id>, path: &[u8], ordinal: u32) -> Id {
        let parent = parent.unwrap_or_default();
        Id::derive("directory", &[exhibit.bytes(), parent.bytes(), path, &ordinal.to_le_bytes()])
    }
}
