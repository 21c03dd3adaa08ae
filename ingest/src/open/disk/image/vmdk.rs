//! VMDK: one sparse file, stream-optimized, or a descriptor with extents beside it.
//! Format: VMware, "Virtual Disk Format 5.0".

use super::super::fields::{self, exact, length, u16le, u32le, u64le};
use super::super::pieces::{Disk, Joined, Layout, Piece, Window};
use super::{Image, Opened};
use crate::evidence::{Positioned, Source};
use crate::open::{Damage, Trouble};
use model::Code;
use std::io;
use std::sync::Arc;

/// This format's line.
pub const IMAGE: Image = Image { name: "vmdk", recognize, open };

const MAGIC: &[u8] = b"KDMV";
const DESCRIPTOR: &[u8] = b"# Disk DescriptorFile";
const SECTOR: u64 = 512;
/// The directory lies at the end of the file, as the footer tells (stream-optimized).
const AT_END: u64 = u64::MAX;
const PACKED: u32 = 1 << 16;
const ZERO_GRAINS: u32 = 1 << 2;
/// Bytes of a descriptor that are read.
const DESCRIPTOR_BYTES_MAX: u64 = 1 << 20;

fn recognize(head: &[u8]) -> bool {
    head.starts_with(MAGIC) || head.starts_with(DESCRIPTOR)
}

struct Sparse {
    source: Source,
    directory: u64,
    /// Bytes of a grain, entries of a grain table, bytes of the disk.
    grain: u64,
    per_table: u64,
    size: u64,
    packed: bool,
    zero_grains: bool,
    /// Whether what is not here lies in a parent that is not there.
    missing: bool,
}

/// Zeros: an extent that is nowhere stored.
struct Zeros(u64);

impl Positioned for Zeros {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let most = length(self.0.saturating_sub(offset)).min(buffer.len());
        buffer[..most].fill(0);
        Ok(most)
    }
}

/// An extent whose file is not there.
struct Absent(u64, String);

impl Layout for Absent {
    fn size(&self) -> u64 {
        self.0
    }

    fn piece(&self, _: u64) -> io::Result<Piece> {
        Ok(Piece::Bad(Damage::error(Code::Missing, &format!("extent {} is not there", self.1))))
    }
}

fn open(source: &Source) -> Result<Option<Opened>, Trouble> {
    let head = fields::some(source, 0, 512).map_err(|error| Trouble::of(&error))?;
    if head.starts_with(DESCRIPTOR) {
        let bytes = fields::some(source, 0, length(DESCRIPTOR_BYTES_MAX)).map_err(|error| Trouble::of(&error))?;
        return described(source, &String::from_utf8_lossy(&bytes)).map(Some);
    }
    let (at, sectors) = (u64le(&head, 28), u64le(&head, 36));
    if extent_of(source) {
        return Ok(None);
    }
    if at == 0 {
        return sparse(source, false).map(|disk| Some(Opened::new(disk)));
    }
    let bytes = fields::some(source, at.saturating_mul(SECTOR), length(sectors.saturating_mul(SECTOR).min(DESCRIPTOR_BYTES_MAX)));
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let missing = has_parent(&text);
    let mut opened = Opened::new(sparse(source, missing)?);
    if missing {
        opened.troubles.push(parent_missing());
    }
    Ok(Some(opened))
}

fn parent_missing() -> Trouble {
    Trouble::new(Code::Missing, "the VMDK is a snapshot over a parent disk: what only that holds cannot be read")
}

/// Whether a descriptor names a parent.
fn has_parent(text: &str) -> bool {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("parentCID="));
    line.is_some_and(|value| !value.trim().eq_ignore_ascii_case("ffffffff"))
}

/// Whether a descriptor beside an extent names it: its own name is that of the extent without `-s001` and the like.
fn extent_of(source: &Source) -> bool {
    let Some(beside) = source.neighbours() else { return false };
    let name = beside.name();
    let Some(cut) = name.iter().rposition(|byte| *byte == b'-') else { return false };
    let Ok(file) = beside.open(&[&name[..cut], b".vmdk"].concat()) else { return false };
    let text = fields::some(&file, 0, length(DESCRIPTOR_BYTES_MAX)).unwrap_or_default();
    let quoted = [b"\"", name, b"\""].concat();
    text.starts_with(DESCRIPTOR) && text.windows(quoted.len()).any(|window| window == quoted)
}

/// A disk whose descriptor names its extents: `RW 8192 SPARSE "name-s001.vmdk"`, `RW 8192 FLAT "name-flat.vmdk" 0`, `RW 8 ZERO`.
fn described(source: &Source, text: &str) -> Result<Opened, Trouble> {
    let missing = has_parent(text);
    let (mut extents, mut parts, mut troubles) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines().filter(|line| ["RW ", "RDONLY ", "NOACCESS "].iter().any(|access| line.starts_with(access))) {
        let mut words = line.split_ascii_whitespace().skip(1);
        let bytes = words.next().and_then(|count| count.parse::<u64>().ok()).and_then(|count| count.checked_mul(SECTOR));
        let Some(bytes) = bytes.filter(|bytes| *bytes < 1 << 60) else { continue };
        let kind = words.next().unwrap_or_default();
        if kind == "ZERO" {
            extents.push(Source::Virtual(Arc::new(Zeros(bytes))));
            continue;
        }
        let name = line.split('"').nth(1).unwrap_or_default();
        let start = line.rsplit('"').next().and_then(|rest| rest.trim().parse::<u64>().ok()).unwrap_or(0);
        let file = super::beside(source, name.as_bytes());
        let disk = file.clone().map(|file| match kind {
            "SPARSE" => sparse(&file, missing),
            "FLAT" | "VMFS" => Ok(Window::source(&file, start.saturating_mul(SECTOR), bytes)),
            _ => Err(Trouble::new(Code::Unsupported, format!("extent of kind {}", model::text::escape(kind)))),
        });
        let shown = model::text::escape(name);
        let disk = disk.unwrap_or_else(|| Err(Trouble::new(Code::Missing, format!("extent {shown} is not there"))));
        parts.extend(file.map(|file| (name.as_bytes().to_vec(), file)));
        extents.push(disk.map(|disk| Window::source(&disk, 0, bytes)).unwrap_or_else(|trouble| {
            troubles.push(trouble);
            Disk::source(Absent(bytes, shown))
        }));
    }
    if extents.is_empty() {
        return Err(Trouble::new(Code::ContainerDamaged, "descriptor without extents"));
    }
    if missing {
        troubles.push(parent_missing());
    }
    Ok(Opened { troubles, parts, ..Opened::new(Disk::source(Joined::new(extents))) })
}

/// The disk in a sparse file.
fn sparse(source: &Source, missing: bool) -> Result<Source, Trouble> {
    let failed = |error: io::Error| Trouble::of(&error);
    let mut header = exact(source, 0, 512).map_err(failed)?;
    if u64le(&header, 56) == AT_END {
        // A footer, then a last marker: 512 bytes each.
        let at = source.size().saturating_sub(1024);
        let footer = exact(source, at, 512).map_err(failed)?;
        if !footer.starts_with(MAGIC) {
            return Err(Trouble::new(Code::Truncated, "stream-optimized VMDK without its footer"));
        }
        header = footer;
    }
    let version = u32le(&header, 4);
    let (capacity, grain) = (u64le(&header, 12), u64le(&header, 20));
    let (per_table, directory) = (u64::from(u32le(&header, 44)), u64le(&header, 56));
    if !header.starts_with(MAGIC) || version > 3 {
        return Err(Trouble::new(Code::Unsupported, format!("sparse extent of version {version}")));
    }
    if !(1..=1 << 16).contains(&grain) || !(1..=1 << 16).contains(&per_table) || capacity > 1 << 50 {
        let detail = format!("disk of {capacity} sectors in grains of {grain}, {per_table} a table");
        return Err(Trouble::new(Code::ContainerDamaged, detail));
    }
    let flags = u32le(&header, 8);
    Ok(Disk::source(Sparse {
        source: source.clone(),
        directory: directory.saturating_mul(SECTOR),
        grain: grain * SECTOR,
        per_table,
        size: capacity * SECTOR,
        packed: flags & PACKED != 0 && u16le(&header, 77) == 1,
        zero_grains: flags & ZERO_GRAINS != 0,
        missing,
    }))
}

impl Sparse {
    fn none(&self, left: u64) -> Piece {
        match self.missing {
            true => Piece::Bad(Damage::error(Code::Missing, "lies in the parent of the VMDK")),
            false => Piece::Zero(left),
        }
    }
}

impl Layout for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn unpacked_bytes(&self) -> usize {
        length(self.grain)
    }

    fn piece(&self, offset: u64) -> io::Result<Piece> {
        let (index, within) = (offset / self.grain, offset % self.grain);
        let (table, entry) = (index / self.per_table, index % self.per_table);
        let left = self.grain - within;
        let at = u64::from(u32le(&exact(&self.source, self.directory.saturating_add(table * 4), 4)?, 0));
        if at == 0 {
            return Ok(self.none((self.per_table - entry) * self.grain - within));
        }
        let place = u64::from(u32le(&exact(&self.source, at * SECTOR + entry * 4, 4)?, 0));
        Ok(match place {
            0 => self.none(left),
            1 if self.zero_grains => Piece::Zero(left),
            _ if self.packed => Piece::Packed(place, within, left),
            _ => Piece::Stored(self.source.clone(), place * SECTOR + within, left),
        })
    }

    fn packed(&self, place: u64) -> Option<(Source, u64, u64)> {
        let at = place.checked_mul(SECTOR)?;
        let marker = exact(&self.source, at, 12).ok()?;
        Some((self.source.clone(), at.checked_add(12)?, u64::from(u32le(&marker, 8))))
    }

    fn unpack(&self, place: u64) -> io::Result<Vec<u8>> {
        let at = place.saturating_mul(SECTOR);
        let bytes = u64::from(u32le(&exact(&self.source, at, 12)?, 8)).min(self.grain.saturating_mul(2).saturating_add(1024));
        let packed = exact(&self.source, at.saturating_add(12), length(bytes))?;
        // The last grain of a disk may be short: the rest is zero.
        let mut data = fields::inflate(&packed, length(self.grain))?;
        data.resize(length(self.grain), 0);
        Ok(data)
    }
}

/// Whether a flat extent is one that a descriptor beside it names.
pub fn is_flat_extent(source: &Source) -> bool {
    let Some(beside) = source.neighbours() else { return false };
    let flat = beside.name().strip_suffix(b"-flat.vmdk").or_else(|| beside.name().strip_suffix(b"-delta.vmdk"));
    flat.is_some_and(|_| extent_of(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors() {
        assert!(!has_parent("CID=1\nparentCID=ffffffff\n"));
        assert!(has_parent("CID=1\nparentCID=fffffffe\n"));
        let source = Source::Memory(Arc::from(&b""[..]));
        let opened = described(&source, "RW 4 ZERO\nRW 8 FLAT \"x-flat.vmdk\" 0\n").unwrap();
        assert_eq!((opened.disk.size(), opened.troubles[0].code), (12 * SECTOR, Code::Missing));
        assert_eq!(fields::some(&opened.disk, 0, 2048).unwrap(), [0; 2048]);
        assert!(fields::some(&opened.disk, 2048, 1).is_err());
    }
}
