//! File systems: one file each, and one line in [`KINDS`]; what is recognized but not read is a line in [`UNREAD`].

mod apfs;
mod apfs_tree;
mod apple_image;
mod bitlocker;
mod bitlocker_keys;
mod erofs;
mod erofs_index;
mod exfat;
mod ext;
mod ext_directory;
mod fat;
mod fat_names;
mod hfs;
mod hfs_packed;
mod hfs_tree;
mod iso;
mod luks;
mod luks2;
mod lvm;
mod ntfs;
mod ntfs_packed;
mod ntfs_record;
mod sectors;
mod super_partition;

use super::fields::{slice, u16be, u16le, u32be, u32le};
use super::image::Stored;
use super::sink::Sink;
use super::stream::Content;
use crate::evidence::Source;
use crate::open::Trouble;

pub use erofs_index::{Extent, source as erofs};
pub use hfs_packed::{Packing, source as decmpfs};
pub use ntfs_packed::source as ntfs_packed;

/// Bytes of the beginning that tell what a volume is: btrfs keeps its superblock at 64 KiB.
pub const PROBE_BYTES: usize = 68 << 10;

/// An opened file system.
pub trait FileSystem: Send + Sync {
    /// Lists every entry, live and deleted.
    fn list(&self, sink: &mut Sink<'_>);

    /// The content of an entry, by the key that its listing gave.
    fn content(&self, key: u64) -> Result<Content, Trouble>;

    /// Hashes that are stored of an entry's content.
    fn stored(&self, _key: u64) -> Stored {
        Stored::default()
    }
}

/// A kind of file system that is read.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Whether a volume that begins so is one.
    pub recognize: fn(&[u8]) -> bool,
    /// Opens it.
    pub open: fn(&Source) -> Result<Box<dyn FileSystem>, Trouble>,
}

/// Every kind that is read.
pub const KINDS: &[Kind] = &[
    super_partition::KIND,
    lvm::KIND,
    apfs::KIND,
    ntfs::KIND,
    exfat::KIND,
    iso::KIND,
    erofs::KIND,
    ext::KIND,
    hfs::KIND,
    fat::KIND,
];

/// A kind of volume that is known and not read: hashed as a whole, scanned as it is.
pub struct Unread {
    /// Its name.
    pub name: &'static str,
    /// Whether a volume that begins so is one.
    pub recognize: fn(&[u8]) -> bool,
    /// What it needs; `None` where nothing in it is wanted.
    pub needs: Option<&'static str>,
}

/// Opens an encrypted volume of a kind that is opened; `None` for the others. A trouble says which key is wanted.
pub fn unlock(kind: &Unread, volume: &Source, passwords: &[String]) -> Option<Result<Source, Trouble>> {
    match kind.name {
        "LUKS" => Some(luks::unlock(volume, passwords)),
        "encrypted disk image" => Some(apple_image::unlock(volume, passwords)),
        "BitLocker" | "BitLocker To Go" => Some(bitlocker::unlock(volume, passwords)),
        _ => None,
    }
}

/// How the names of Windows' shadow copies end, in small letters (J. Metz, "Volume Shadow Snapshot (VSS) format").
pub const SHADOW_COPY: &[u8] = b"{3808876b-c176-4e48-b7ae-04046e6cc752}";

/// Whether bytes stand at a place.
fn has(head: &[u8], at: usize, bytes: &[u8]) -> bool {
    slice(head, at, bytes.len()) == bytes
}

/// Every kind that is known and not read. Signatures: libbde, cryptsetup, the kernel's headers, Microsoft and Apple documentation.
pub const UNREAD: &[Unread] = &[
    Unread { name: "BitLocker", recognize: |head| has(head, 3, b"-FVE-FS-"), needs: Some("BitLocker recovery key or password") },
    Unread { name: "BitLocker To Go", recognize: is_bitlocker_to_go, needs: Some("BitLocker recovery key or password") },
    Unread { name: "LUKS", recognize: |head| has(head, 0, b"LUKS\xba\xbe"), needs: Some("LUKS passphrase") },
    Unread {
        name: "encrypted disk image",
        recognize: |head| head.starts_with(apple_image::MAGIC),
        needs: Some(apple_image::NEEDS),
    },
    Unread {
        name: "Core Storage",
        recognize: |head| has(head, 88, b"CS"),
        needs: Some("FileVault password, or a reader of Core Storage"),
    },
    Unread { name: "HFS", recognize: is_hfs, needs: Some("a reader of HFS (not HFS+)") },
    Unread { name: "F2FS", recognize: |head| u32le(head, 1024) == 0xf2f5_2010, needs: Some("a reader of F2FS") },
    Unread { name: "XFS", recognize: |head| has(head, 0, b"XFSB"), needs: Some("a reader of XFS") },
    Unread { name: "btrfs", recognize: |head| has(head, 65_600, b"_BHRfS_M"), needs: Some("a reader of btrfs") },
    Unread { name: "ReFS", recognize: |head| has(head, 3, b"ReFS\0"), needs: Some("a reader of ReFS") },
    Unread { name: "Linux RAID", recognize: |head| u32le(head, 4096) == 0xa92b_4efc, needs: Some("a reader of Linux RAID") },
    Unread { name: "squashfs", recognize: is_squashfs, needs: Some("a reader of squashfs") },
    Unread { name: "swap", recognize: |head| has(head, 4086, b"SWAPSPACE2"), needs: None },
];

/// BitLocker To Go hides behind a FAT boot sector; its GUID stands at one of two places.
fn is_bitlocker_to_go(head: &[u8]) -> bool {
    const GUID: &[u8] = b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01";
    has(head, 3, b"MSWIN4.1") && (has(head, 424, GUID) || has(head, 160, GUID))
}

/// HFS of before 1998, without HFS+ inside.
fn is_hfs(head: &[u8]) -> bool {
    has(head, 1024, b"BD")
        && !has(head, 1024 + 124, b"H+")
        && u16be(head, 1024 + 18) > 0
        && u32be(head, 1024 + 20).is_multiple_of(512)
}

fn is_squashfs(head: &[u8]) -> bool {
    has(head, 0, b"hsqs") && u16le(head, 28) == 4
}

/// Whether content that begins so is a volume of any kind.
pub fn recognize(head: &[u8]) -> bool {
    unread(head).is_some() || kind(head).is_some()
}

/// The kind that a volume is not read as. Encrypted volumes can look like others: they are asked for first.
pub fn unread(head: &[u8]) -> Option<&'static Unread> {
    UNREAD.iter().find(|unread| (unread.recognize)(head))
}

/// The kind that a volume is read as.
pub fn kind(head: &[u8]) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| (kind.recognize)(head))
}
