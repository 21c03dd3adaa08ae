//! LVM2: the logical volumes of a volume group, each a file of its name whose content is read as the volume it is.
//!
//! Format: `lib/format_text/layout.h` and `lvm.conf`'s text of LVM2. A label stands in one of the first four sectors; it leads to the
//! metadata area, whose header leads to a text that says of every logical volume in which extents of which physical volumes it lies.
//! Read are linear and striped segments, which everything else is built of: what is not (thin volumes, snapshots, caches) is told, and the volumes
//! that it is built of are there. A volume group over several disks is read as far as it lies on this one.

mod text;

use super::super::fields::{at_place, damaged, exact, length, slice, u32le, u64le};
use super::super::sink::{Found, Sink};
use super::super::stream::{Content, Run};
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use model::{Code, FileKind};
use std::io;
use text::Node;

/// This kind's line.
pub const KIND: Kind = Kind { name: "LVM", recognize, open };

const SECTOR: u64 = 512;
/// Sectors that may hold the label.
const LABEL_SECTORS: usize = 4;
const LABEL: &[u8] = b"LABELONE";
const TYPE: &[u8] = b"LVM2 001";
const AREA: &[u8] = b" LVM2 x[5A%r0N*>";
/// Bytes of the text, and metadata areas of a physical volume.
const TEXT_MAX: u64 = 16 << 20;
const AREAS_MAX: usize = 16;
/// Runs of a logical volume.
const RUNS_MAX: u64 = 1 << 20;

fn label(head: &[u8]) -> Option<usize> {
    (0..LABEL_SECTORS).map(|sector| sector * 512).find(|at| slice(head, *at, 8) == LABEL && slice(head, at + 24, 8) == TYPE)
}

fn recognize(head: &[u8]) -> bool {
    label(head).is_some()
}

/// LVM's CRC-32: that of IEEE 802.3 with its own beginning, and no last step.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = 0xf597_a6cf_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    crc
}

/// A logical volume.
struct Logical {
    name: Vec<u8>,
    runs: Vec<Run>,
    bytes: u64,
    trouble: Option<Trouble>,
}

struct Group {
    volumes: Vec<Logical>,
    troubles: Vec<Trouble>,
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let found = physical(volume).map_err(|error| Trouble::of(&error))?;
    let mut group = Group { volumes: Vec::new(), troubles: Vec::new() };
    for area in &found.areas {
        match text_of(volume, *area).and_then(|text| group.read(&text, &found.id)) {
            Ok(()) => return Ok(Box::new(group)),
            Err(error) => group.troubles.push(at_place(&format!("metadata area at byte {}", area.0), &error)),
        }
    }
    let none = Trouble::new(Code::Missing, "a physical volume without metadata: another disk of its group has them");
    Err(group.troubles.into_iter().next().unwrap_or(none))
}

/// What the label tells of the physical volume.
struct Physical {
    id: Vec<u8>,
    /// First byte and size of each metadata area.
    areas: Vec<(u64, u64)>,
}

fn physical(volume: &Source) -> io::Result<Physical> {
    let head = exact(volume, 0, LABEL_SECTORS * 512)?;
    let at = label(&head).ok_or_else(|| damaged("no label of a physical volume"))?;
    let sector = slice(&head, at, 512);
    if crc(slice(sector, 20, 492)) != u32le(sector, 16) {
        return Err(Damage::error(Code::ChecksumMismatch, "label of the physical volume"));
    }
    let start = length(u32le(sector, 20));
    let mut rows = slice(sector, start + 40, 512).as_chunks::<16>().0.iter();
    let mut row = || rows.next().map(|row| (u64le(row, 0), u64le(row, 8))).filter(|(offset, _)| *offset > 0);
    // Data areas first, then those of metadata; a row of zeros ends each.
    while row().is_some() {}
    let areas = std::iter::from_fn(row).take(AREAS_MAX).collect();
    Ok(Physical { id: slice(sector, start, 32).to_vec(), areas })
}

/// The newest text of a metadata area: it is written round a ring.
fn text_of(volume: &Source, (start, size): (u64, u64)) -> io::Result<String> {
    let header = exact(volume, start, 512)?;
    if slice(&header, 4, 16) != AREA || crc(slice(&header, 4, 508)) != u32le(&header, 0) {
        return Err(Damage::error(Code::ChecksumMismatch, "header of the metadata area"));
    }
    let (offset, bytes, sum) = (u64le(&header, 40), u64le(&header, 48), u32le(&header, 56));
    if offset < SECTOR || offset >= size || bytes == 0 || bytes > TEXT_MAX.min(size) {
        return Err(damaged("no text"));
    }
    let here = bytes.min(size - offset);
    let mut text = exact(volume, start.saturating_add(offset), length(here))?;
    text.extend(exact(volume, start.saturating_add(SECTOR), length(bytes - here))?);
    if crc(&text) != sum {
        return Err(Damage::error(Code::ChecksumMismatch, "text of the metadata"));
    }
    String::from_utf8(text).map_err(|_| damaged("text of the metadata is not UTF-8"))
}

/// The physical volume that is read, by its name in the text, and where its extents begin.
struct Own<'t> {
    name: &'t str,
    first: u64,
    extent: u64,
}

impl Group {
    fn read(&mut self, text: &str, id: &[u8]) -> io::Result<()> {
        let root = text::parse(text)?;
        let (_, group) =
            root.sections().find(|(_, node)| node.get("extent_size").is_some()).ok_or_else(|| damaged("no volume group"))?;
        let extent = group.number("extent_size").saturating_mul(SECTOR);
        if extent == 0 {
            return Err(damaged("a volume group with extents of no size"));
        }
        let disks = group.get("physical_volumes");
        let mut disks = disks.into_iter().flat_map(Node::sections);
        let own = disks.find(|(_, disk)| disk.text("id").bytes().filter(|byte| *byte != b'-').eq(id.iter().copied()));
        let (name, disk) = own.ok_or_else(|| damaged("the volume group does not name this physical volume"))?;
        let own = Own { name, first: disk.number("pe_start").saturating_mul(SECTOR), extent };
        for (name, volume) in group.get("logical_volumes").into_iter().flat_map(Node::sections) {
            self.volumes.push(logical(name, volume, &own));
        }
        Ok(())
    }
}

fn logical(name: &str, volume: &Node, own: &Own<'_>) -> Logical {
    let mut made = Logical { name: name.as_bytes().to_vec(), runs: Vec::new(), bytes: 0, trouble: None };
    let mut segments: Vec<&Node> =
        volume.sections().map(|(_, segment)| segment).filter(|node| node.get("extent_count").is_some()).collect();
    segments.sort_by_key(|segment| segment.number("start_extent"));
    for segment in segments {
        let start = segment.number("start_extent").saturating_mul(own.extent);
        let bytes = segment.number("extent_count").saturating_mul(own.extent);
        if start != made.bytes {
            made.trouble = Some(Trouble::new(Code::ContainerDamaged, "its segments do not follow each other"));
        }
        made.bytes = made.bytes.saturating_add(bytes);
        match (segment.text("type"), stripes(segment, own)) {
            ("striped", Some(stripes)) => made.stripe(segment, bytes, &stripes),
            (kind, _) => {
                let detail = format!("a segment of type {} is not read", model::text::escape(kind));
                made.trouble = Some(Trouble::new(Code::Unsupported, detail));
                made.runs.push(Run::lost(bytes));
            }
        }
    }
    made
}

/// Where each stripe begins on this disk; `None` inside for one on another.
fn stripes(segment: &Node, own: &Own<'_>) -> Option<Vec<Option<u64>>> {
    let list = segment.list("stripes");
    let stripes: Vec<Option<u64>> = list
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[disk, extent]| {
            let extent: u64 = extent.parse().ok()?;
            (disk.as_str() == own.name).then(|| own.first.saturating_add(extent.saturating_mul(own.extent)))
        })
        .collect();
    (!stripes.is_empty() && stripes.len() as u64 == segment.number("stripe_count").max(1)).then_some(stripes)
}

impl Logical {
    /// Adds a segment that goes round its stripes.
    fn stripe(&mut self, segment: &Node, bytes: u64, stripes: &[Option<u64>]) {
        if stripes.iter().any(Option::is_none) {
            self.trouble = Some(Trouble::new(Code::Missing, "part of it lies on another disk of the volume group"));
        }
        let run = |at: Option<u64>, bytes| at.map_or(Run::lost(bytes), |at| Run { at: Some(at), bytes });
        if let [only] = stripes {
            return self.runs.push(run(*only, bytes));
        }
        let size = segment.number("stripe_size").saturating_mul(SECTOR);
        if size == 0 || bytes.div_ceil(size) > RUNS_MAX {
            self.trouble = Some(Trouble::new(Code::Unsupported, "stripes of a size that is not read"));
            return self.runs.push(Run::lost(bytes));
        }
        let count = stripes.len() as u64;
        for at in 0..bytes.div_ceil(size) {
            let stripe = stripes.get(length(at % count)).copied().flatten();
            let within = (at / count).saturating_mul(size);
            self.runs.push(run(stripe.map(|stripe| stripe.saturating_add(within)), size.min(bytes - at * size)));
        }
    }
}

impl FileSystem for Group {
    fn list(&self, sink: &mut Sink<'_>) {
        self.troubles.iter().for_each(|trouble| sink.trouble(trouble.clone()));
        for (key, volume) in (0u64..).zip(&self.volumes) {
            if let Some(Trouble { code, detail }) = &volume.trouble {
                sink.trouble(Trouble::new(*code, format!("{}: {detail}", model::text::escape_bytes(&volume.name))));
            }
            let content = Content::plain(volume.runs.clone(), volume.bytes);
            let found = Found { path: volume.name.clone(), kind: Some(FileKind::File), size: volume.bytes, ..Found::default() };
            sink.push(found, key, Some(&content));
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        let found = self.volumes.get(length(key));
        let content = found.map(|volume| Content::plain(volume.runs.clone(), volume.bytes));
        content.ok_or_else(|| Trouble::new(Code::ContainerDamaged, "no such logical volume"))
    }
}
