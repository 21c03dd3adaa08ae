//! Android's `super` partition: dynamic partitions, each a file of its name whose content is read as the volume it is.
//!
//! Format: `liblp/include/liblp/metadata_format.h` of Android. The geometry stands at 4096 and again at 8192, the metadata of every slot behind it and
//! again behind the last slot; each part has its SHA-256. Slots are written when the other one is updated: partitions of a
//! slot that are not those of the first stand below `slot1/`.

use super::super::fields::{at_place, damaged, exact, length, slice, u16le, u32le, u64le};
use super::super::sink::{Found, Sink};
use super::super::stream::{Content, Run};
use super::{FileSystem, Kind};
use crate::evidence::Source;
use crate::open::Trouble;
use model::{Code, FileKind};
use sha2::{Digest, Sha256};
use std::io;

/// This kind's line.
pub const KIND: Kind = Kind { name: "Android super", recognize, open };

const GEOMETRY: u32 = 0x616c_4467;
const HEADER: u32 = 0x414c_5030;
/// Where the two geometries stand, and where metadata begin.
const GEOMETRIES: [u64; 2] = [4096, 8192];
const METADATA: u64 = 12_288;
const SECTOR: u64 = 512;
/// Bytes of the metadata of a slot, slots, and bytes of names.
const METADATA_MAX: u64 = 16 << 20;
const SLOTS_MAX: u32 = 8;
const NAME_BYTES: usize = 36;
/// A stretch that is stored, and one of zeros.
const LINEAR: u32 = 0;
const ZERO: u32 = 1;

fn recognize(head: &[u8]) -> bool {
    GEOMETRIES.iter().any(|at| u32le(head, length(*at)) == GEOMETRY)
}

/// A dynamic partition.
#[derive(PartialEq)]
struct Partition {
    name: Vec<u8>,
    runs: Vec<Run>,
    /// Why not all of it can be read.
    trouble: Option<Trouble>,
}

struct Super {
    /// Path and partition.
    partitions: Vec<(Vec<u8>, Partition)>,
    troubles: Vec<Trouble>,
}

/// Whether bytes with their SHA-256 at a place inside them are whole.
fn is_whole(bytes: &[u8], at: usize) -> bool {
    let mut blank = bytes.to_vec();
    match blank.get_mut(at..at.saturating_add(32)) {
        Some(sum) => sum.fill(0),
        None => return false,
    }
    Sha256::digest(&blank).as_slice() == slice(bytes, at, 32)
}

/// Size of the metadata of a slot, and how many slots there are.
fn geometry(volume: &Source, at: u64) -> io::Result<(u64, u32)> {
    let block = exact(volume, at, 4096)?;
    let bytes = length(u32le(&block, 4)).clamp(52, 4096);
    if u32le(&block, 0) != GEOMETRY || !is_whole(slice(&block, 0, bytes), 8) {
        return Err(damaged("geometry of dynamic partitions"));
    }
    let (size, slots) = (u64::from(u32le(&block, 40)), u32le(&block, 44));
    if !(256..=METADATA_MAX).contains(&size) || !(1..=SLOTS_MAX).contains(&slots) {
        return Err(damaged("geometry of dynamic partitions tells sizes that none has"));
    }
    Ok((size, slots))
}

/// The partitions of metadata at a place that are whole.
fn metadata(volume: &Source, at: u64, room: u64) -> io::Result<Vec<Partition>> {
    let none = || damaged("metadata of dynamic partitions are not whole");
    let start = exact(volume, at, 256)?;
    let (head, tables) = (u64::from(u32le(&start, 8)), u64::from(u32le(&start, 44)));
    if u32le(&start, 0) != HEADER || u16le(&start, 4) != 10 || !(128..=4096).contains(&head) || head + tables > room {
        return Err(none());
    }
    let head = exact(volume, at, length(head))?;
    let tables = exact(volume, at.saturating_add(head.len() as u64), length(tables))?;
    if !is_whole(&head, 12) || Sha256::digest(&tables).as_slice() != slice(&head, 48, 32) {
        return Err(none());
    }
    let rows = |descriptor: usize, least: usize| -> Vec<&[u8]> {
        let (from, count, size) = (u32le(&head, descriptor), u32le(&head, descriptor + 4), u32le(&head, descriptor + 8));
        let size = length(size);
        let table = slice(&tables, length(from), size.saturating_mul(length(count)));
        if size < least { Vec::new() } else { table.chunks_exact(size).collect() }
    };
    let (partitions, extents) = (rows(80, 52), rows(92, 24));
    Ok(partitions.into_iter().map(|row| partition(row, &extents)).collect())
}

fn partition(row: &[u8], extents: &[&[u8]]) -> Partition {
    let name: Vec<u8> = slice(row, 0, NAME_BYTES).iter().copied().take_while(|byte| *byte != 0).collect();
    let (first, count) = (length(u32le(row, 40)), length(u32le(row, 44)));
    let (mut runs, mut trouble) = (Vec::new(), None);
    let own = extents.get(first..first.saturating_add(count)).unwrap_or_else(|| {
        trouble = Some(Trouble::new(Code::ContainerDamaged, "names stretches that are not there"));
        &[]
    });
    for extent in own {
        let bytes = u64le(extent, 0).saturating_mul(SECTOR);
        let (kind, at, device) = (u32le(extent, 8), u64le(extent, 12).saturating_mul(SECTOR), u32le(extent, 20));
        runs.push(match kind {
            LINEAR if device == 0 => Run { at: Some(at), bytes },
            ZERO => Run { at: None, bytes },
            _ => {
                trouble = Some(Trouble::new(Code::Missing, "a stretch of it lies on another partition"));
                Run::lost(bytes)
            }
        });
    }
    Partition { name, runs, trouble }
}

fn open(volume: &Source) -> Result<Box<dyn FileSystem>, Trouble> {
    let found = GEOMETRIES.iter().find_map(|at| geometry(volume, *at).ok());
    let (size, slots) = found.ok_or_else(|| Trouble::new(Code::ContainerDamaged, "neither geometry is whole"))?;
    let mut opened = Super { partitions: Vec::new(), troubles: Vec::new() };
    for slot in 0..slots {
        let at = |copy: u32| METADATA.saturating_add(u64::from(copy * slots + slot).saturating_mul(size));
        match (metadata(volume, at(0), size), metadata(volume, at(1), size)) {
            (Ok(partitions), _) => opened.take(slot, partitions),
            (Err(_), Ok(partitions)) => {
                let detail = format!("slot {slot}: its metadata are damaged, the copy of them is read");
                opened.troubles.push(Trouble::new(Code::ContainerDamaged, detail));
                opened.take(slot, partitions);
            }
            // A slot that was never written is empty.
            (Err(_), Err(_)) if is_empty(volume, at(0)) => {}
            (Err(error), Err(_)) => opened.troubles.push(at_place(&format!("slot {slot}"), &error)),
        }
    }
    Ok(Box::new(opened))
}

fn is_empty(volume: &Source, at: u64) -> bool {
    exact(volume, at, 256).is_ok_and(|head| head.iter().all(|byte| *byte == 0))
}

impl Super {
    fn take(&mut self, slot: u32, partitions: Vec<Partition>) {
        for partition in partitions {
            if self.partitions.iter().any(|(_, known)| *known == partition) {
                continue;
            }
            let known = self.partitions.iter().any(|(_, known)| known.name == partition.name);
            // A slash would make a folder of it; none has one.
            let name: Vec<u8> = partition.name.iter().map(|byte| if *byte == b'/' { b'_' } else { *byte }).collect();
            let path = if known { [format!("slot{slot}/").as_bytes(), &name].concat() } else { name };
            self.partitions.push((path, partition));
        }
    }
}

fn content_of(partition: &Partition) -> Content {
    let bytes = partition.runs.iter().map(|run| run.bytes).fold(0, u64::saturating_add);
    Content::plain(partition.runs.clone(), bytes)
}

impl FileSystem for Super {
    fn list(&self, sink: &mut Sink<'_>) {
        self.troubles.iter().for_each(|trouble| sink.trouble(trouble.clone()));
        for (key, (path, partition)) in (0u64..).zip(&self.partitions) {
            if let Some(Trouble { code, detail }) = &partition.trouble {
                let name = model::text::escape_bytes(path);
                sink.trouble(Trouble::new(*code, format!("{name}: {detail}")));
            }
            let content = content_of(partition);
            let found = Found { path: path.clone(), kind: Some(FileKind::File), size: content.size, ..Found::default() };
            sink.push(found, key, Some(&content));
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        let found = self.partitions.get(length(key));
        found.map(|(_, partition)| content_of(partition)).ok_or_else(|| Trouble::new(Code::ContainerDamaged, "no such partition"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fields::some;
    use super::super::super::sink::tests::Taken;
    use super::*;
    use std::sync::Arc;

    /// A super partition as the header describes it: `system_a` in two stretches with zeros between, `vendor_a` empty.
    pub fn image() -> Vec<u8> {
        let mut image = vec![0u8; 64 << 10];
        let mut geometry = [&GEOMETRY.to_le_bytes()[..], &52u32.to_le_bytes(), &[0; 32]].concat();
        [4096u32, 2, 4096].iter().for_each(|number| geometry.extend(number.to_le_bytes()));
        let sum = Sha256::digest(&geometry);
        geometry[8..40].copy_from_slice(&sum);
        image[4096..4148].copy_from_slice(&geometry);
        image[8192..8244].copy_from_slice(&geometry);
        let partition = |name: &str, first: u32, count: u32| {
            let mut row = name.as_bytes().to_vec();
            row.resize(NAME_BYTES, 0);
            [1, first, count, 0].iter().for_each(|number: &u32| row.extend(number.to_le_bytes()));
            row
        };
        let extent = |sectors: u64, kind: u32, at: u64| {
            [&sectors.to_le_bytes()[..], &kind.to_le_bytes(), &at.to_le_bytes(), &0u32.to_le_bytes()].concat()
        };
        let partitions = [partition("system_a", 0, 3), partition("vendor_a", 3, 0)].concat();
        let tables = [partitions, extent(2, LINEAR, 100), extent(1, ZERO, 0), extent(1, LINEAR, 90)].concat();
        let mut header = [&HEADER.to_le_bytes()[..], &10u16.to_le_bytes(), &0u16.to_le_bytes(), &128u32.to_le_bytes()].concat();
        header.extend([0; 32]);
        header.extend((tables.len() as u32).to_le_bytes());
        header.extend(Sha256::digest(&tables));
        for (from, count, size) in [(0u32, 2u32, 52u32), (104, 3, 24), (176, 0, 48), (176, 0, 64)] {
            [from, count, size].iter().for_each(|number| header.extend(number.to_le_bytes()));
        }
        let sum = Sha256::digest(&header);
        header[12..44].copy_from_slice(&sum);
        for copy in [0, 2] {
            let at = 12_288 + copy * 4096;
            image[at..at + 128].copy_from_slice(&header);
            image[at + 128..at + 128 + tables.len()].copy_from_slice(&tables);
        }
        image[100 * 512..102 * 512].fill(b'a');
        image[90 * 512..91 * 512].fill(b'b');
        image
    }

    fn read(image: Vec<u8>) -> Option<(Vec<String>, Vec<u8>)> {
        let volume = Source::Memory(Arc::from(image));
        let opened = open(&volume).ok()?;
        let mut taken = Taken::default();
        opened.list(&mut taken.sink());
        let names = taken.entries.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect();
        let content = opened.content(0).ok()?.source(&volume);
        Some((names, some(&content, 0, 1 << 20).unwrap()))
    }

    #[test]
    fn partitions_are_put_together_from_their_stretches() {
        assert!(recognize(&image()[..16 << 10]));
        let (names, content) = read(image()).unwrap();
        assert_eq!(names, ["p1/system_a", "p1/vendor_a"]);
        assert_eq!(content, [vec![b'a'; 1024], vec![0; 512], vec![b'b'; 512]].concat());
    }

    #[test]
    fn the_second_copies_serve_where_the_first_are_damaged() {
        for at in [4100, 12_300, 12_288 + 140] {
            let mut image = image();
            image[at] ^= 1;
            assert_eq!(read(image).unwrap().0.len(), 2, "{at}");
        }
        let mut both = image();
        for at in [4100, 8200] {
            both[at] ^= 1;
        }
        assert!(read(both).is_none());
    }

    #[test]
    fn a_changed_slot_is_told_beside_the_first() {
        let mut image = image();
        // The second slot: as the first, but with another stretch.
        let mut slot = image[12_288..16_384].to_vec();
        slot[128 + 104 + 12] = 91;
        let tables = Sha256::digest(&slot[128..128 + 176]);
        slot[48..80].copy_from_slice(&tables);
        slot[12..44].fill(0);
        let head = Sha256::digest(&slot[..128]);
        slot[12..44].copy_from_slice(&head);
        image[16_384..20_480].copy_from_slice(&slot);
        let volume = Source::Memory(Arc::from(image));
        let Ok(opened) = open(&volume) else { panic!("opens") };
        let mut taken = Taken::default();
        let mut sink = taken.sink();
        sink.cap_entries = 10;
        opened.list(&mut sink);
        let paths: Vec<&[u8]> = taken.entries.iter().map(|entry| &entry.path[..]).collect();
        assert_eq!(paths, [&b"p1/system_a"[..], b"p1/vendor_a", b"p1/slot1/system_a"]);
    }
}
