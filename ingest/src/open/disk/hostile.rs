//! Images cut off and with bytes changed: whatever is in them, reading ends, nothing panics, what is lost is told, and what the change
//! does not touch is read as before.

use super::*;
use crate::evidence::{Beneath, Positioned};
use crate::open::{self, HEAD_BYTES};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Largest image that is tried here, unpacked: a larger one takes too long to be read a thousand times.
const IMAGE_BYTES_MAX: u64 = 12 << 20;
/// Bytes of an entry that are read: its beginning stands for it.
const ENTRY_BYTES_MAX: u64 = 256 << 10;
/// Reads of the image that one variant may cost, for each that the sound image costs and for each 4 KiB of it.
const READS_FACTOR: u64 = 32;
/// Resident memory of the whole test process, bytes: far above what the images take, far below what one bad number could ask for.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// What opens the encrypted ones among the images.
const PASSWORD: &str = "chanthou";

/// Entries that are as long as the image goes: an encrypted volume does not tell how long it should be.
const OPEN_ENDED: [&[u8]; 2] = [b"$volume", b"$decrypted"];

/// A generator of numbers (xorshift64*, S. Vigna), the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

/// An image, cut at a byte or with one byte changed, that counts how often it is read.
struct Variant {
    image: Arc<[u8]>,
    size: usize,
    change: Option<(usize, u8)>,
    reads: AtomicU64,
}

impl Positioned for Variant {
    fn size(&self) -> u64 {
        self.size as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads.fetch_add(1, Relaxed);
        let bytes = fields::slice(&self.image[..self.size], fields::length(offset), buffer.len());
        buffer[..bytes.len()].copy_from_slice(bytes);
        if let Some((at, byte)) = self.change
            && let Some(within) = (at as u64).checked_sub(offset).map(fields::length).filter(|within| *within < bytes.len())
        {
            buffer[within] = byte;
        }
        Ok(bytes.len())
    }
}

/// An entry: path, how many of that path come before it, whether deleted.
type Key = (Vec<u8>, u32, bool);

/// What reading an entry gave.
#[derive(Clone, Debug, PartialEq)]
struct Content {
    sum: model::Digest,
    size: u64,
    trouble: Option<Trouble>,
}

/// A stretch of an image that an entry's content lies in.
#[derive(Debug)]
struct Stretch {
    bytes: std::ops::Range<u64>,
    /// Whether other things can lie in it too, packed together.
    packed: bool,
    key: Key,
}

/// What reading an image gave.
#[derive(Debug, Default)]
struct Outcome {
    entries: BTreeMap<Key, Content>,
    /// The stretches of the image that entries' contents lie in.
    stretches: Vec<Stretch>,
    troubles: Vec<Trouble>,
    /// Entries that are not deleted, folders and all.
    live: usize,
    reads: u64,
    bytes: u64,
}

/// Opens an image and reads the beginning of every entry of it, but not of the disk as a whole.
fn read_all(image: &Arc<[u8]>, size: usize, change: Option<(usize, u8)>, places: bool) -> Outcome {
    let variant = Arc::new(Variant { image: image.clone(), size, change, reads: AtomicU64::new(0) });
    let source = Source::Virtual(variant.clone());
    let head = fields::some(&source, 0, HEAD_BYTES).unwrap();
    let mut seen = Outcome::default();
    let keys = open::Keys { given: &[PASSWORD.to_owned()], found: &[] };
    match open::open(b"image", &head, &source, &Settings::default(), keys) {
        Ok(container) => read_entries(&*container, &source, places, &mut seen),
        Err(trouble) => seen.troubles.push(trouble),
    }
    seen.reads = variant.reads.load(Relaxed);
    seen
}

fn read_entries(container: &dyn Container, image: &Source, places: bool, seen: &mut Outcome) {
    seen.troubles = container.troubles().to_vec();
    let mut buffer = vec![0; 64 << 10];
    seen.live = container.list().unwrap_or_default().iter().filter(|entry| !entry.deleted).count();
    for (index, entry) in container.list().unwrap_or_default().iter().enumerate() {
        if entry.kind != Some(FileKind::File) || entry.path == b"$media" {
            continue;
        }
        let key = (entry.path.clone(), entry.ordinal, entry.deleted);
        // As whoever takes it in would say it.
        seen.troubles.extend(container.special(index).and_then(|special| special.ends).map(|(_, trouble)| trouble));
        let (mut content, mut error, mut stopped) = (Vec::new(), None, false);
        let trouble = container.read(index, &mut |stream| {
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => content.extend_from_slice(&buffer[..count]),
                    Err(found) => {
                        error = Some(Trouble::of(&found));
                        return Ok(());
                    }
                }
                if content.len() as u64 >= ENTRY_BYTES_MAX {
                    stopped = true;
                    return Ok(());
                }
            }
        });
        if places && let Some(source) = container.source(index) {
            stretches(&source, image, content.len() as u64, &key, &mut seen.stretches);
        }
        let (sum, size) = (model::Digest::of(&content), content.len() as u64);
        let short = size < entry.size && !stopped;
        let short = short.then(|| Trouble::new(Code::Truncated, format!("ends after {size} of {} bytes", entry.size)));
        let trouble = trouble.unwrap().or(error).or(short);
        seen.bytes += size;
        seen.entries.insert(key, Content { sum, size, trouble });
    }
}

/// The stretches of the image that the first `size` bytes of a source lie in.
fn stretches(source: &Source, image: &Source, size: u64, key: &Key, found: &mut Vec<Stretch>) {
    let mut at = 0;
    while at < size {
        let (mut here, mut start, mut run, mut packed) = (source.clone(), at, u64::MAX, false);
        let bottom = loop {
            let Some(Beneath { source, start: first, length, packed: all }) = here.beneath(start) else { break None };
            (start, run) = (first, if all && !packed { length } else { run.min(length) });
            packed |= all;
            if source.is(image) {
                break Some(());
            }
            here = source;
        };
        // Holes, and what lies in a table, have no stretch: the smallest block is passed over.
        let next = if packed || bottom.is_none() { 512 } else { run };
        if bottom.is_some() {
            let end = start.saturating_add(run.min(if packed { u64::MAX } else { size - at }));
            found.push(Stretch { bytes: start..end, packed, key: key.clone() });
        }
        at = at.saturating_add(next.max(1));
    }
}

/// What must hold of any variant.
fn assert_sound(what: &str, clean: &Outcome, read: &Outcome) {
    let troubles = read.troubles.iter().chain(read.entries.values().filter_map(|read| read.trouble.as_ref()));
    let gave_up = troubles.into_iter().find(|trouble| trouble.detail.contains("gave up"));
    assert!(gave_up.is_none(), "{what}: {gave_up:?}");
    let most = READS_FACTOR * (clean.reads + clean.bytes / 4096 + 10_000);
    assert!(read.reads < most, "{what}: {} reads of the image, {} of the sound one", read.reads, clean.reads);
}

/// Whether a loss is told of somewhere.
fn is_told(clean: &Outcome, read: &Outcome) -> bool {
    let told = |outcome: &Outcome| {
        let troubles = outcome.entries.values().filter_map(|read| read.trouble.as_ref());
        troubles.chain(&outcome.troubles).map(|trouble| format!("{trouble:?}")).collect::<BTreeSet<_>>()
    };
    !told(read).is_subset(&told(clean))
}

/// What came of all variants of an image.
#[derive(Debug, Default)]
struct Toll {
    /// Cuts and changes after which fewer entries were found, and nothing said so.
    silent: Vec<String>,
    told: usize,
}

fn cut(name: &str, image: &Arc<[u8]>, clean: &Outcome, toll: &mut Toll) {
    for part in 0..20 {
        let size = image.len() * part / 20;
        let read = read_all(image, size, None, false);
        let what = format!("{name} cut at byte {size}");
        assert_sound(&what, clean, &read);
        let told = is_told(clean, &read);
        toll.told += usize::from(told);
        let lost = clean.entries.keys().filter(|key| !read.entries.contains_key(*key)).count();
        // A file that is there and says nothing has the bytes it had.
        let wrong = read.entries.iter().filter(|(key, read)| {
            read.trouble.is_none()
                && !OPEN_ENDED.contains(&&key.0[..])
                && clean.entries.get(*key).is_some_and(|clean| clean.trouble.is_none() && clean.sum != read.sum)
        });
        let wrong: Vec<_> = wrong.map(|(key, _)| String::from_utf8_lossy(&key.0).into_owned()).collect();
        if !wrong.is_empty() {
            toll.silent.push(format!("{what}: other bytes without a word: {wrong:?}"));
        }
        if lost > 0 && !told {
            toll.silent.push(format!("{what}: {lost} lost"));
        }
    }
}

fn change(name: &str, image: &Arc<[u8]>, clean: &Outcome, flips: usize, toll: &mut Toll) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ image.len() as u64);
    let used: Vec<usize> = (0..image.len()).filter(|at| image[*at] != 0).collect();
    for flip in 0..flips {
        // Where nothing stands, changes are seldom seen: three of four go where something does.
        let at = if flip % 4 == 0 { numbers.below(image.len()) } else { used[numbers.below(used.len())] };
        let byte = if flip % 8 == 1 && image[at] != 0xff { 0xff } else { image[at] ^ (1 << numbers.below(8)) };
        let what = format!("{name} byte {at} set to {byte:#04x}");
        let read = read_all(image, image.len(), Some((at, byte)), false);
        assert_sound(&what, clean, &read);
        let told = is_told(clean, &read);
        toll.told += usize::from(told);
        let hit: Vec<&Stretch> = clean.stretches.iter().filter(|stretch| stretch.bytes.contains(&(at as u64))).collect();
        let gone = |key: &&Key| !read.entries.contains_key(*key);
        let lost: Vec<_> = clean.entries.keys().filter(gone).map(|key| String::from_utf8_lossy(&key.0)).collect();
        // Seldom has a table a checksum: an entry may have got another name, but none may vanish unsaid.
        let table = hit.is_empty() || hit.iter().any(|stretch| stretch.packed || stretch.key.0.contains(&b'$'));
        if table && read.live < clean.live && !told {
            let new: Vec<_> = read.entries.keys().filter(|key| !clean.entries.contains_key(*key)).collect();
            let new: Vec<_> = new.into_iter().map(|key| String::from_utf8_lossy(&key.0)).collect();
            toll.silent.push(format!("{what} was {:#04x}: lost {lost:?}, new {new:?}", image[at]));
        }
        let others = clean.entries.iter().filter(|(key, _)| !hit.iter().any(|stretch| stretch.key == **key));
        let touched: Vec<_> = others.filter(|(key, clean)| read.entries.get(*key) != Some(*clean)).map(|(key, _)| key).collect();
        if !table && (!lost.is_empty() || !touched.is_empty()) {
            let names: Vec<_> = touched.iter().map(|key| String::from_utf8_lossy(&key.0)).collect();
            toll.silent.push(format!("{what}: lost {lost:?}, others changed: {names:?}"));
        }
    }
}

/// Peak of the resident memory of this process, bytes, as Linux tells it.
fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn torment(name: &str, image: Vec<u8>, flips: usize) -> Toll {
    let image: Arc<[u8]> = image.into();
    let clean = read_all(&image, image.len(), None, true);
    let mut toll = Toll::default();
    cut(name, &image, &clean, &mut toll);
    change(name, &image, &clean, flips, &mut toll);
    assert!(memory_bytes() < MEMORY_BYTES_MAX, "{name}: {} bytes of memory", memory_bytes());
    eprintln!(
        "{name:<44} {:>5} files {:>5} stretches {:>9} bytes, {:>4} of {} losses told, {} not",
        clean.entries.len(),
        clean.stretches.len(),
        clean.bytes,
        toll.told,
        20 + flips,
        toll.silent.len()
    );
    toll
}

#[test]
fn a_small_image_cut_and_changed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/ext2.E01");
    let toll = torment("ext2.E01", std::fs::read(path).unwrap(), 500);
    assert!(toll.silent.is_empty(), "{:?}", toll.silent);
}

#[test]
fn encrypted_volumes_cut_and_changed() {
    for name in ["luks2-pbkdf2.img", "bitlocker-clear.img", "apple-encrypted.dmg"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name);
        let toll = torment(name, std::fs::read(path).unwrap(), 500);
        assert!(toll.silent.is_empty(), "{:?}", toll.silent);
    }
}

#[test]
fn volume_groups_dynamic_partitions_and_snapshots_cut_and_changed() {
    for name in
        ["lvm2.img.gz", "super.img.gz", "apfs-snapshots.img.gz", "erofs-lz4.img.gz", "erofs-plain.img.gz", "erofs-full.img.gz"]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name);
        let toll = torment(name, unpacked(name, &path).unwrap(), 500);
        assert!(toll.silent.is_empty(), "{:?}", toll.silent);
    }
}

/// Every image of the corpus beside the repository that is small enough; packed ones are unpacked.
fn images() -> Vec<(String, PathBuf)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/images");
    let mut images = Vec::new();
    for folder in std::fs::read_dir(&corpus).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.strip_prefix(&corpus).unwrap().to_string_lossy().into_owned();
            let ends =
                [".txt", ".json", ".mft", ".fls", ".tsv", ".E02", ".splitraw.001"].iter().any(|ending| name.ends_with(ending));
            if !ends {
                images.push((name, file));
            }
        }
    }
    images.sort();
    images
}

/// The bytes of an image; `None` for one that is too large.
fn unpacked(name: &str, path: &Path) -> Option<Vec<u8>> {
    let packed = std::fs::read(path).unwrap();
    let mut image = Vec::new();
    let limit = IMAGE_BYTES_MAX + 1;
    if name.ends_with(".gz") {
        flate2::read::GzDecoder::new(&packed[..]).take(limit).read_to_end(&mut image).unwrap();
    } else if name.ends_with(".zst") {
        zstd::stream::read::Decoder::new(&packed[..]).unwrap().take(limit).read_to_end(&mut image).unwrap();
    } else if name.ends_with(".zip") {
        let mut archive = ::zip::ZipArchive::new(io::Cursor::new(packed)).unwrap();
        let largest = (0..archive.len()).max_by_key(|at| archive.by_index(*at).unwrap().size()).unwrap();
        archive.by_index(largest).unwrap().take(limit).read_to_end(&mut image).unwrap();
    } else {
        image = packed;
    }
    (image.len() as u64 <= IMAGE_BYTES_MAX).then_some(image)
}

/// Images that take long to be read, packed as they are in large pieces: fewer changes are tried of them where no number is set.
const SLOW: [&str; 2] = ["plaso/spotlight.10.13.dmg", "velociraptor/partition_image.E01"];

/// Changes for each: `HAUL_FLIPS` sets another number, `HAUL_IMAGE` a part of the name.
fn flips(name: &str) -> usize {
    let set = std::env::var("HAUL_FLIPS").ok().and_then(|flips| flips.parse().ok());
    set.unwrap_or(if SLOW.contains(&name) { 60 } else { 500 })
}

#[test]
fn images_of_every_format_cut_and_changed() {
    let part = std::env::var("HAUL_IMAGE").unwrap_or_default();
    let images: Vec<_> = images().into_iter().filter(|(name, _)| name.contains(&part)).collect();
    let next = AtomicUsize::new(0);
    let silent = std::sync::Mutex::new(Vec::new());
    let work = || {
        while let Some((name, path)) = images.get(next.fetch_add(1, Relaxed)) {
            let Some(image) = unpacked(name, path) else { continue };
            silent.lock().unwrap().extend(torment(name, image, flips(name)).silent);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    let silent = silent.into_inner().unwrap();
    assert!(silent.is_empty(), "{} losses that nothing tells of:\n{}", silent.len(), silent.join("\n"));
}
