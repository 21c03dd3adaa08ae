//! Images cut off and with bytes changed: whatever is in them, reading ends, and nothing panics.

use super::*;
use crate::open::{self, HEAD_BYTES};
use std::path::Path;

/// Bytes that are read of one variant: what a changed size claims is not read to its end.
const READ_BYTES_MAX: u64 = 64 << 20;

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

/// What reading an image gave.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    entries: usize,
    whole: usize,
    troubles: Vec<Trouble>,
}

/// Opens an image and reads all entries of it.
fn read_all(bytes: Vec<u8>) -> Outcome {
    let source = Source::Memory(bytes.into());
    let head = fields::some(&source, 0, HEAD_BYTES).unwrap();
    let settings = Settings { ..Settings::default() };
    let container = match open::open(&head, &source, &settings, &[]) {
        Ok(container) => container,
        Err(trouble) => return Outcome { troubles: vec![trouble], ..Outcome::default() },
    };
    let mut seen = Outcome { troubles: container.troubles().to_vec(), ..Outcome::default() };
    let (mut left, mut buffer) = (READ_BYTES_MAX, vec![0; 64 << 10]);
    for index in 0..container.list().map_or(0, <[Entry]>::len) {
        seen.entries += 1;
        let mut error = None;
        let trouble = container.read(index, &mut |stream| {
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) if left < count as u64 => return Ok(()),
                    Ok(count) => left -= count as u64,
                    Err(found) => {
                        error = Some(Trouble::of(&found));
                        return Ok(());
                    }
                }
            }
        });
        match trouble.unwrap().or(error) {
            Some(trouble) => seen.troubles.push(trouble),
            None => seen.whole += 1,
        }
    }
    seen
}

/// A panic is caught where it happens; here it must not happen at all.
fn assert_sound(name: &str, what: &str, read: &Outcome) {
    let gave_up = read.troubles.iter().find(|trouble| trouble.detail.contains("gave up"));
    assert!(gave_up.is_none(), "{name} {what}: {gave_up:?}");
}

fn torment(name: &str, image: &[u8], flips: usize) {
    let clean = read_all(image.to_vec());
    assert!(clean.whole > 0, "{name}: {clean:?}");
    let mut lost = 0;
    for part in 0..20 {
        let read = read_all(image[..image.len() * part / 20].to_vec());
        assert_sound(name, &format!("cut at {part}/20"), &read);
        lost += usize::from(read.troubles.len() > clean.troubles.len() || read.entries < clean.entries);
    }
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let used: Vec<usize> = (0..image.len()).filter(|at| image[*at] != 0).collect();
    for flip in 0..flips {
        let mut bytes = image.to_vec();
        // Where nothing stands, changes are seldom seen: three of four go where something does.
        let at = if flip % 4 == 0 { numbers.below(bytes.len()) } else { used[numbers.below(used.len())] };
        bytes[at] = if flip % 8 == 1 { 0xff } else { bytes[at] ^ (1 << numbers.below(8)) };
        assert_sound(name, &format!("byte {at} set to {:#x}", bytes[at]), &read_all(bytes));
    }
    eprintln!("{name}: {} entries, {lost} of 20 cuts told, {flips} changes", clean.entries);
}

#[test]
fn a_small_image_cut_and_changed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/ext2.E01");
    torment("ext2.E01", &std::fs::read(path).unwrap(), 500);
}

/// One image a format of the corpus beside the repository; packed ones are unpacked.
const IMAGES: &[&str] = &[
    "dfvfs/ext2.qcow2",
    "dfvfs/image.vhd",
    "dfvfs/hfsplus.raw",
    "dfvfs/apfs.raw",
    "dfvfs/iso9660.raw",
    "fatfs/fat12.img",
    "plaso/image.vmdk",
    "plaso/spotlight.10.13.dmg",
    "velociraptor/partition_image.E01",
    "own/evidence_cd.iso",
    "own/usb_stick.vmdk",
    "own/windows_user.qcow2",
    "own/android_data.E01",
    "dfir_ntfs/exfat_win.raw.gz",
    "dfir_ntfs/gpt-512-3p.raw.gz",
    "dftt/8-jpeg-search.zip",
];

/// Changes for each: `HAUL_FLIPS` sets another number.
fn flips() -> usize {
    std::env::var("HAUL_FLIPS").ok().and_then(|flips| flips.parse().ok()).unwrap_or(25)
}

#[test]
fn images_of_every_format_cut_and_changed() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/images");
    if !corpus.is_dir() {
        return;
    }
    for name in IMAGES {
        let mut image = std::fs::read(corpus.join(name)).unwrap();
        if name.ends_with(".gz") {
            let packed = std::mem::take(&mut image);
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut image).unwrap();
        } else if name.ends_with(".zip") {
            let mut archive = ::zip::ZipArchive::new(std::io::Cursor::new(std::mem::take(&mut image))).unwrap();
            let largest = (0..archive.len()).max_by_key(|at| archive.by_index(*at).unwrap().size()).unwrap();
            archive.by_index(largest).unwrap().read_to_end(&mut image).unwrap();
        }
        torment(name, &image, flips());
    }
}
