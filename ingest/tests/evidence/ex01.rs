//! Ex01: disks written by another implementation, whole, in segments and damaged.

use crate::world::{Told, World};
use model::{Code, ItemStatus};
use std::fs;
use std::path::{Path, PathBuf};

/// SHA-256 of the disk in `ext2.E01` and of a file on it, as the corpus tells; of the disk in `parts.Ex01` by `sha256sum`.
const DISK: &str = "a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80";
const PASSWORDS: &str = "02a2a6af2f1ecf4720d7d49d640f0d0a269a7ec733e41973bdd34f09dad0e252";
const PARTS: &str = "443da946a057d12d487bdd095cd671e9566d51f10b5817a8b1f94216b14a60f7";

/// What is said of a disk of noise.
const NOISE: &str = "no file system is known here: free, damaged, or encrypted without a sign";

fn image(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name)
}

#[test]
fn a_disk_comes_out_and_its_stored_hashes_hold() {
    let world = World::new();
    let told = world.take(&image("ext2.Ex01"));
    assert_eq!(told.problems().count(), 0, "{:?}", told.problems().collect::<Vec<_>>());
    assert_eq!((told.sha256("$media").as_str(), told.sha256("passwords.txt").as_str()), (DISK, PASSWORDS));
    assert_eq!(told.item("ext2.Ex01").definition.as_deref(), Some("ewf2"));
    let words = told.item("$media").definition.clone().unwrap_or_default();
    assert!(words.contains("stored MD5 196066add11fb71c4c49cf1bb50d6d24 holds"), "{words}: ewfexport counts the same");
    assert_eq!(told.reopen(&world, &image("ext2.Ex01")), told.items.iter().filter(|item| item.sha256.is_some()).count());
}

/// The two segments in a folder of their own.
fn parts() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["parts.Ex01", "parts.Ex02"] {
        fs::copy(image(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn segments_are_one_disk_and_a_missing_one_is_told() {
    let folder = parts();
    let told = World::new().take(&folder.path().join("parts.Ex01"));
    assert_eq!((told.sha256("$media").as_str(), told.item("parts.Ex01").status), (PARTS, ItemStatus::Parsed));
    let problems: Vec<_> = told.problems().map(|problem| problem.detail.as_str()).collect();
    assert_eq!(problems, [NOISE]);
    let told = World::new().take(folder.path());
    assert_eq!(told.sha256("parts.Ex01/$media"), PARTS);
    fs::remove_file(folder.path().join("parts.Ex02")).unwrap();
    let told = World::new().take(&folder.path().join("parts.Ex01"));
    assert!(told.codes(told.item("parts.Ex01")).contains(&Code::Missing));
    assert_eq!(told.item("$media").status, ItemStatus::Partial);
    fs::copy(image("parts.Ex02"), folder.path().join("alone.Ex02")).unwrap();
    let told = World::new().take(&folder.path().join("alone.Ex02"));
    assert_eq!(told.codes(told.item("alone.Ex02")), [Code::Missing]);
}

/// Nothing but the whole disk comes without a problem.
fn check(told: &Told, disk: &str, what: &str) {
    let whole = told.items.iter().any(|item| item.sha256.is_some_and(|digest| digest.to_string() == disk));
    assert!(whole || told.problems().any(|problem| problem.detail != NOISE), "{what}: something is lost without a word");
}

#[test]
fn cut_and_changed_images_lose_nothing_without_a_word() {
    let folder = parts();
    let first = folder.path().join("parts.Ex01");
    let whole = fs::read(&first).unwrap();
    let mut partial = 0;
    for cut in (1..20).map(|part| whole.len() * part / 20) {
        fs::write(&first, &whole[..cut]).unwrap();
        check(&World::new().take(&first), PARTS, &format!("cut at {cut}"));
    }
    let mut state = 3u64;
    for _ in 0..500 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The first eight bytes make it an image, the next two are its version.
        let at = 10 + (state >> 20) as usize % (whole.len() - 10);
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (state >> 60 & 7);
        fs::write(&first, &bytes).unwrap();
        let told = World::new().take(&first);
        check(&told, PARTS, &format!("byte {at} changed"));
        let media = told.items.iter().find(|item| item.path == "$media");
        partial += usize::from(media.is_some_and(|media| media.size_bytes == 74_752 && media.status == ItemStatus::Partial));
    }
    assert!(partial > 400, "a changed chunk costs that chunk: {partial}");
}

#[test]
fn an_encrypted_image_is_locked() {
    let mut bytes = fs::read(image("ext2.Ex01")).unwrap();
    // The last descriptor, of section "done": an encryption key section in its place.
    let at = bytes.len() - 64;
    bytes[at] = 0x0b;
    let sum = adler(&bytes[at..at + 60]);
    bytes[at + 60..].copy_from_slice(&sum.to_le_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.Ex01");
    fs::write(&path, &bytes).unwrap();
    let told = World::new().take(&path);
    assert_eq!(told.item("secret.Ex01").status, ItemStatus::Locked);
    assert!(told.codes(told.item("secret.Ex01")).contains(&Code::Encrypted));
}

/// Adler-32 as RFC 1950 defines it.
fn adler(bytes: &[u8]) -> u32 {
    let (low, high) = bytes.iter().fold((1u32, 0u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}
