//! qcow2, versions 2 and 3. Format: QEMU, docs/interop/qcow2.txt.

use super::super::fields::{self, byte, exact, length, u32be, u64be};
use super::super::pieces::{Disk, Layout, Piece};
use super::{Image, Opened};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use flate2::{Decompress, FlushDecompress};
use model::Code;
use std::io::{self, Read};

/// This format's line.
pub const IMAGE: Image = Image { name: "qcow2", recognize: |head| head.starts_with(b"QFI\xfb"), open };

/// Bits of an entry that hold an offset.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// Set in an entry whose cluster is packed, and in one whose cluster is zero (version 3).
const PACKED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// Features that a reader must know: dirty and corrupt bits are told, the compression type is known; others are not.
const DIRTY: u64 = 1;
const CORRUPT: u64 = 2;
const COMPRESSION: u64 = 8;
/// Packed clusters are those whose key has this bit: the rest of the key is the L2 entry.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;

struct Qcow2 {
    source: Source,
    backing: Option<Source>,
    /// Name of a backing file that is not there.
    missing: Option<String>,
    cluster_bits: u32,
    size: u64,
    l1_offset: u64,
    l1_size: u64,
    zstd: bool,
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let header = exact(source, 0, 72).map_err(|error| Trouble::of(&error))?;
    // Fields of version 3 lie behind those of version 2.
    let more = fields::some(source, 72, 40).map_err(|error| Trouble::of(&error))?;
    let version = u32be(&header, 4);
    let (cluster_bits, size) = (u32be(&header, 20), u64be(&header, 24));
    let features = if version >= 3 { u64be(&more, 0) } else { 0 };
    if !(2..=3).contains(&version) || features & !(DIRTY | CORRUPT | COMPRESSION) != 0 {
        return Err(Trouble::new(Code::Unsupported, format!("qcow version {version} with features {features:#x}")));
    }
    if u32be(&header, 32) != 0 {
        return Err(Trouble::new(Code::Encrypted, "qcow2 passphrase"));
    }
    if !CLUSTER_BITS.contains(&cluster_bits) || size > 1 << 60 {
        return Err(Trouble::new(Code::ContainerDamaged, format!("disk of {size} bytes in clusters of 2^{cluster_bits}")));
    }
    let mut troubles = Vec::new();
    if features & CORRUPT != 0 {
        troubles.push(Trouble::new(Code::ContainerDamaged, "the image is marked as corrupt"));
    }
    if u32be(&header, 60) > 0 {
        let detail = format!("{} snapshots inside the image are not read", u32be(&header, 60));
        troubles.push(Trouble::new(Code::Unsupported, detail));
    }
    let (backing, missing) = backing(source, u64be(&header, 8), u32be(&header, 16), &mut troubles);
    let qcow2 = Qcow2 {
        source: source.clone(),
        backing,
        missing,
        cluster_bits,
        size,
        l1_offset: u64be(&header, 40),
        l1_size: u64::from(u32be(&header, 36)),
        zstd: features & COMPRESSION != 0 && byte(&more, 32) == 1,
    };
    let (at, length) = (qcow2.l1_offset, qcow2.l1_size.saturating_mul(8));
    if at.saturating_add(length) > source.size() {
        troubles.push(Trouble::new(Code::Truncated, format!("the table at byte {at} ({length} bytes) reaches beyond the end")));
    }
    Ok(Some(Opened { troubles, ..Opened::new(Disk::source(qcow2)) }))
}

/// The file that holds what this one does not, and its name if it is not there.
fn backing(source: &Source, at: u64, size: u32, troubles: &mut Vec<Trouble>) -> (Option<Source>, Option<String>) {
    if at == 0 || size == 0 {
        return (None, None);
    }
    let name = fields::some(source, at, length(size.min(1024))).unwrap_or_default();
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if let Some(found) = super::beside(source, last) {
        return (Some(found), None);
    }
    let shown = model::text::escape_bytes(&name);
    troubles.push(Trouble::new(Code::Missing, format!("backing file {shown} is not there: what only it holds cannot be read")));
    (None, Some(shown))
}

impl Qcow2 {
    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// What the file below this one holds.
    fn below(&self, offset: u64, left: u64) -> Piece {
        match (&self.backing, &self.missing) {
            (Some(backing), _) if offset < backing.size() => {
                Piece::Stored(backing.clone(), offset, left.min(backing.size() - offset))
            }
            (None, Some(name)) => Piece::Bad(Damage::error(Code::Missing, &format!("backing file {name}"))),
            _ => Piece::Zero(left),
        }
    }
}

impl Layout for Qcow2 {
    fn size(&self) -> u64 {
        self.size
    }

    fn unpacked_bytes(&self) -> usize {
        length(self.cluster())
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let per_table = self.cluster() / 8;
        let (index, within) = (offset >> self.cluster_bits, offset % self.cluster());
        let left = self.cluster() - within;
        let (l1, l2) = (index / per_table, index % per_table);
        if l1 >= self.l1_size {
            return Ok(self.below(offset, left));
        }
        let table = u64be(&exact(&self.source, self.l1_offset.saturating_add(l1 * 8), 8)?, 0) & OFFSET;
        if table == 0 {
            // Nothing of what one table covers is stored.
            return Ok(self.below(offset, (per_table - l2) * self.cluster() - within));
        }
        let entry = u64be(&exact(&self.source, table.saturating_add(l2 * 8), 8)?, 0);
        Ok(match entry {
            _ if entry & PACKED != 0 => Piece::Packed(entry, within, left),
            _ if entry & ZERO != 0 => Piece::Zero(left),
            _ if entry & OFFSET == 0 => self.below(offset, left),
            _ => Piece::Stored(self.source.clone(), (entry & OFFSET).saturating_add(within), left),
        })
    }

    fn packed(&self, entry: u64) -> Option<(Source, u64, u64)> {
        let bits = 62 - (self.cluster_bits - 8);
        let (at, sectors) = (entry & ((1 << bits) - 1), (entry & (PACKED - 1)) >> bits);
        Some((self.source.clone(), at, (sectors + 1) * 512 - at % 512))
    }

    fn unpack(&self, entry: u64) -> io::Result<Vec<u8>> {
        let Some((source, at, bytes)) = self.packed(entry) else { return Err(fields::damaged("no such cluster")) };
        let packed = fields::some(&source, at, length(bytes))?;
        let mut data = vec![0; length(self.cluster())];
        if self.zstd {
            zstd::stream::read::Decoder::with_buffer(&packed[..])?.read_exact(&mut data)?;
            return Ok(data);
        }
        let mut inflate = Decompress::new(false);
        let inflated = inflate.decompress(&packed, &mut data, FlushDecompress::Finish);
        // The stored length counts whole sectors: what follows the stream is not of it.
        if inflate.total_out() < self.cluster() {
            let why = inflated.err().map_or("it ends too early".to_owned(), |error| error.to_string());
            return Err(fields::damaged(&format!("packed cluster at byte {at}: {why}")));
        }
        Ok(data)
    }
}
