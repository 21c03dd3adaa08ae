//! Every container format, truncated at 20 points and with 500 seeded changes. The formats are found by their files: one without a sample
//! here fails. Disks are held to the same by `open::disk::hostile` on the image that stands for them here.

use crate::pack::{Member, Tar, gzip, zip};
use crate::phone::{PhoneFile, android_backup, file, itunes_backup};
use crate::world::{Told, World, sha256};
use model::{Item, ItemStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const FLIPS: usize = 500;
const PASSWORD: &str = "chanthou";
/// Resident memory of the whole test process, bytes: other tests in it make archives of a gigabyte and more. What has no bound takes all.
const MEMORY_BYTES_MAX: u64 = 3 << 30;
/// Largest image that the test of disks tries.
const IMAGE_BYTES_MAX: u64 = 12 << 20;

/// A file that a format is tried on: its name, its bytes.
struct Sample {
    name: &'static str,
    bytes: Vec<u8>,
}

fn sample(name: &'static str, bytes: Vec<u8>) -> Sample {
    Sample { name, bytes }
}

/// What stands for a format.
enum Stands {
    /// Files that are made here.
    Files(fn() -> Vec<Sample>),
    /// An image below `tests/images` or the corpus, and a word of what reads it.
    Image(&'static str, &'static str),
    /// No format of its own: it is part of another, or a list.
    Part,
}
use Stands::{Files, Image, Part};

/// Every file below `src/open` that has a format in it, and what stands for it.
const FORMATS: &[(&str, Stands)] = &[
    ("android_backup", Files(android_backups)),
    ("backup", Files(phone_backups)),
    ("compressed", Files(streams)),
    ("decrypted", Part),
    ("keyring", Part),
    ("sealed", Part),
    ("siblings", Part),
    ("seven_zip", Files(seven_zips)),
    ("sqlcipher", Files(databases)),
    ("tar", Files(|| vec![sample("a.tar", tar())])),
    // Its own test cuts it everywhere and changes every byte: here a key would be derived of each password five hundred times.
    ("telegram_desktop", Part),
    ("ufdr", Files(|| vec![sample("a.ufdr", ufdr())])),
    ("unread", Files(|| vec![sample("a.rar", [&b"Rar!\x1a\x07\x01\0\x33"[..], &noise(2000)].concat())])),
    ("whatsapp_backup", Files(whatsapp_backups)),
    ("zip", Files(zips)),
    ("disk", Part),
    ("disk/image/bands", Files(|| vec![sample("disk.sparseimage", crate::apple::sparse_image(&disk_of_fat(), 4096))])),
    ("disk/image/ewf", Image("ext2.E01", "ewf")),
    ("disk/image/ewf2", Image("ext2.Ex01", "ewf")),
    ("disk/image/qcow2", Image("own/windows_user.qcow2", "qcow2")),
    ("disk/image/sparse", Files(sparse_images)),
    ("disk/image/split", Image("dfvfs/ext2.splitraw.000", "split")),
    ("disk/image/udif", Image("plaso/spotlight.10.13.dmg", "udif")),
    ("disk/image/vdi", Files(vdis)),
    ("disk/image/vhd", Image("own/gpt_two_parts.vhd", "vhd")),
    ("disk/image/vhdx", Files(vhdxs)),
    ("disk/image/vmdk", Image("own/usb_stick.vmdk", "vmdk")),
    ("disk/volume/apfs", Image("apfs-snapshots.img.gz", "apfs")),
    ("disk/volume/apple_image", Image("apple-encrypted.dmg", "encrypted disk image")),
    ("disk/volume/bitlocker", Image("bitlocker-clear.img", "BitLocker")),
    ("disk/volume/erofs", Image("erofs-lz4.img.gz", "EROFS")),
    ("disk/volume/exfat", Image("dfir_ntfs/exfat_win.raw.gz", "exfat")),
    ("disk/volume/ext", Image("dfvfs/ímynd.dd", "ext")),
    ("disk/volume/fat", Image("fatfs/fat12.img", "fat")),
    ("disk/volume/hfs", Image("dfvfs/hfsplus.raw", "hfs")),
    ("disk/volume/iso", Image("own/evidence_cd.iso", "iso")),
    ("disk/volume/luks", Image("luks2-pbkdf2.img", "LUKS")),
    ("disk/volume/lvm", Image("lvm2.img.gz", "LVM")),
    ("disk/volume/ntfs", Image("own/windows_user.qcow2", "$MFT")),
    ("disk/volume/super_partition", Image("super.img.gz", "Android super")),
];

fn noise(count: usize) -> Vec<u8> {
    (0u32..).flat_map(|number| sha256(&number.to_le_bytes()).into_bytes()).take(count).collect()
}

fn text(lines: usize) -> Vec<u8> {
    (0..lines)
        .flat_map(|line| format!("{line} the quick brown fox jumps over the lazy dog {}\n", line * 7 % 13).into_bytes())
        .collect()
}

fn tar() -> Vec<u8> {
    Tar::default().file("a", b"aaaaaaaaaaaaaaaa").pax(&[("mtime", b"1.5")]).file("b", &text(40)).file("c", &text(3)).end()
}

fn zips() -> Vec<Sample> {
    let members = [Member::stored("a", b"aaaaaaaaaaaaaaaa"), Member::deflated("b", &text(60)), Member::deflated("c", &text(9))];
    let mut writer = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["a", "b"] {
        let options = ::zip::write::SimpleFileOptions::default().with_aes_encryption(::zip::AesMode::Aes256, PASSWORD);
        writer.start_file(name, options).unwrap();
        writer.write_all(&text(50)).unwrap();
    }
    vec![sample("a.zip", zip(&members)), sample("locked.zip", writer.finish().unwrap().into_inner())]
}

fn streams() -> Vec<Sample> {
    let content = text(200);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
    zlib.write_all(&content).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(1));
    bzip2.write_all(&content).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&content).unwrap();
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(&content).unwrap();
    vec![
        sample("a.txt.gz", gzip(&content)),
        sample("a.tar.gz", gzip(&tar())),
        sample("a.zlib", zlib.finish().unwrap()),
        sample("a.txt.bz2", bzip2.finish().unwrap()),
        sample("a.txt.xz", xz.finish().unwrap()),
        sample("a.txt.zst", zstd.finish().unwrap()),
    ]
}

fn phone_files() -> Vec<PhoneFile> {
    let names = ["Documents/a.txt", "Documents/b.txt", "Library/c.bin"];
    names.iter().zip([3, 40, 90]).map(|(name, lines)| file("AppDomain-org.app", name, &text(lines))).collect()
}

fn android_backups() -> Vec<Sample> {
    let forms = [("plain.ab", false, None), ("packed.ab", true, None), ("locked.ab", true, Some(PASSWORD))];
    forms.map(|(name, packed, password)| sample(name, android_backup(&phone_files(), packed, password))).into()
}

/// A backup in one file, as tar has it: its parts are changed one as likely as another.
fn phone_backups() -> Vec<Sample> {
    let made = [("plain.tar", None), ("locked.tar", Some(PASSWORD))].map(|(name, password)| {
        let folder = tempfile::tempdir().unwrap();
        itunes_backup(folder.path(), &phone_files(), password);
        let mut archive = ::tar::Builder::new(Vec::new());
        archive.append_dir_all("backup", folder.path()).unwrap();
        sample(name, archive.into_inner().unwrap())
    });
    made.into()
}

fn ufdr() -> Vec<u8> {
    let tagged = |path: &str, local: &str| {
        let item = format!(r#"<metadata section="File"><item name="Local Path"><![CDATA[{local}]]></item></metadata>"#);
        format!(r#"<file fs="a.zip" path="{path}" size="16" deleted="Intact">{item}</file>"#)
    };
    let files = [tagged("/data/a", r"files\Text\a"), tagged("/data/b", r"files\Text\b")].concat();
    let head = r#"<?xml version="1.0" encoding="utf-8"?><project id="1" xmlns="http://pa.cellebrite.com/report/2.0">"#;
    let report = format!("{head}<taggedFiles>{files}</taggedFiles><decodedData/></project>");
    zip(&[
        Member::deflated("report.xml", report.as_bytes()),
        Member::stored("files/Text/a", b"aaaaaaaaaaaaaaaa"),
        Member::deflated("files/Text/b", &text(30)),
    ])
}

/// What 7-Zip packs; nothing where it is not there.
fn seven_zips() -> Vec<Sample> {
    let folder = tempfile::tempdir().unwrap();
    for (name, lines) in [("a", 3), ("b", 90), ("c", 20)] {
        fs::write(folder.path().join(name), text(lines)).unwrap();
    }
    let mut made = Vec::new();
    for (name, options) in [("solid.7z", &["-m0=LZMA2"][..]), ("locked.7z", &["-pchanthou", "-mhe=on"])] {
        let mut packed = std::process::Command::new("7z");
        packed.arg("a").args(options).args(["-bd", "-y", name, "a", "b", "c"]);
        match packed_in(&mut packed, folder.path()) {
            true => made.push(sample(name, fs::read(folder.path().join(name)).unwrap())),
            false => eprintln!("{name}: 7z is not there"),
        }
    }
    made
}

/// A file system with a few files on it, small enough to be read a thousand times.
fn disk_of_fat() -> Vec<u8> {
    let packed = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/files.fat.gz")).unwrap();
    let mut image = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut image).unwrap();
    image
}

/// A disk by the tool that packs it; nothing where that is not there.
fn disk(name: &'static str, tool: &str, arguments: &[&str]) -> Vec<Sample> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("raw"), disk_of_fat()).unwrap();
    match packed_in(std::process::Command::new(tool).args(arguments), folder.path()) {
        true => vec![sample(name, fs::read(folder.path().join(name)).unwrap())],
        false => {
            eprintln!("{name}: {tool} is not there");
            Vec::new()
        }
    }
}

fn vdis() -> Vec<Sample> {
    disk("disk.vdi", "qemu-img", &["convert", "-f", "raw", "-O", "vdi", "raw", "disk.vdi"])
}

fn vhdxs() -> Vec<Sample> {
    disk("disk.vhdx", "qemu-img", &["convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1M", "raw", "disk.vhdx"])
}

fn sparse_images() -> Vec<Sample> {
    disk("disk.simg", "img2simg", &["raw", "disk.simg"])
}

fn packed_in(command: &mut std::process::Command, folder: &Path) -> bool {
    command.current_dir(folder).output().is_ok_and(|output| output.status.success())
}

fn stored(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(name)).unwrap()
}

/// A database with a raw key: a password's takes a quarter of a second to be derived, each of five hundred times (`sealed` changes those).
fn databases() -> Vec<Sample> {
    vec![sample("signal.db", stored("sqlcipher/signal.db"))]
}

fn whatsapp_backups() -> Vec<Sample> {
    let names = ["msgstore.db.crypt12", "msgstore.db.crypt14", "msgstore.db.crypt15", "wallpapers.backup.crypt15"];
    names.map(|name| sample(name, stored(&format!("whatsapp/{name}")))).into()
}

fn world() -> World {
    let mut world = World::new();
    world.settings.workers = 1;
    let keys =
        ["key", "encrypted_backup.key"].map(|name| ingest::words_of_file(name.as_bytes(), &stored(&format!("whatsapp/{name}"))));
    let raw = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    world.passwords = [raw, PASSWORD].map(str::to_owned).into();
    world.passwords.extend(keys.concat());
    world
}

/// An item as it is known again: its path, and whether it is deleted.
fn contents(told: &Told) -> BTreeMap<(&str, bool), &Item> {
    told.items.iter().filter(|item| item.parent.is_some()).map(|item| ((item.path.as_str(), item.deleted), item)).collect()
}

/// Codes and details of all problems.
fn said(told: &Told) -> BTreeSet<String> {
    told.problems().map(|problem| format!("{} {}", problem.code.name(), problem.detail)).collect()
}

/// What must hold of a damaged sample: nothing is lost without a word, and without a word no more than one file, the one that holds the
/// byte, has other bytes.
fn check(clean: &Told, damaged: &Told, is_container: bool, what: &str, silent: &mut Vec<String>) {
    let gave_up = said(damaged).into_iter().find(|problem| problem.contains("gave up"));
    assert!(gave_up.is_none(), "{what}: {gave_up:?}");
    // A file whose beginning is no format's any more is a file like any other: hashed and scanned.
    if !is_container || !said(damaged).is_subset(&said(clean)) {
        return;
    }
    let (before, now) = (contents(clean), contents(damaged));
    if now.len() < before.len() {
        silent.push(format!("{what}: {} of {} entries without a word", now.len(), before.len()));
    }
    // The whole disk, and the blob of a backup's file, hold bytes that are listed elsewhere too.
    let is_view = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        name == "$media" || name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let other = |key: &(&str, bool), item: &Item| now.get(key).is_some_and(|now| now.sha256 != item.sha256) && !is_view(key.0);
    let other: Vec<&str> = before.iter().filter(|(key, item)| other(key, item)).map(|(key, _)| key.0).collect();
    if other.len() > 1 {
        silent.push(format!("{what}: other bytes without a word: {other:?}"));
    }
}

/// Cuts and changes a sample; what was lost without a word.
fn torment(sample: &Sample) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (path, world) = (folder.path().join(sample.name), world());
    let take = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        world.take(&path)
    };
    let clean = take(&sample.bytes);
    let locked = clean.items.iter().filter(|item| item.status == ItemStatus::Locked).count();
    let reads = sample.name.ends_with(".rar") || clean.items.len() > 1 && locked == 0;
    assert!(reads, "{}: {:?} {:?}", sample.name, clean.paths(), said(&clean));
    let root = |told: &Told| told.items.iter().find(|item| item.parent.is_none()).and_then(|item| item.definition.clone());
    let (mut silent, mut told_of) = (Vec::new(), 0);
    let mut run = |bytes: &[u8], what: String| {
        let damaged = take(bytes);
        let own = damaged.items.iter().find(|item| item.parent.is_none()).and_then(|item| item.sha256);
        assert_eq!(own.map(|sum| sum.to_string()), Some(sha256(bytes)), "{what}");
        told_of += usize::from(!said(&damaged).is_subset(&said(&clean)));
        check(&clean, &damaged, root(&damaged).is_some(), &what, &mut silent);
    };
    for cut in (0..20).map(|part| sample.bytes.len() * part / 20) {
        run(&sample.bytes[..cut], format!("{} cut at {cut}", sample.name));
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ sample.bytes.len() as u64;
    for flip in 0..FLIPS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = usize::try_from(state >> 16).unwrap() % sample.bytes.len();
        let mut bytes = sample.bytes.clone();
        bytes[at] = if flip % 8 == 1 && bytes[at] != 0xff { 0xff } else { bytes[at] ^ (1 << (state & 7)) };
        let what = format!("{} byte {at} {:#04x} to {:#04x}", sample.name, sample.bytes[at], bytes[at]);
        run(&bytes, what);
    }
    eprintln!(
        "{:<28} {:>8} bytes {:>4} items, {told_of:>3} of {} losses told",
        sample.name,
        sample.bytes.len(),
        clean.items.len(),
        20 + FLIPS
    );
    silent
}

/// Files below `src/open` that hold a format, by their path without the ending: those of disks are named in their folder.
fn format_files() -> BTreeSet<String> {
    let open = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/open");
    let mut found = BTreeSet::new();
    for (folder, holds) in [("", ""), ("disk/image/", "const IMAGE: Image"), ("disk/volume/", "const KIND: Kind")] {
        for path in fs::read_dir(open.join(folder)).unwrap().map(|entry| entry.unwrap().path()) {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let code =
                if path.extension().is_some_and(|ending| ending == "rs") { fs::read_to_string(&path).unwrap() } else { continue };
            let unlocks = folder == "disk/volume/" && code.contains("pub fn unlock(volume") && stem != "luks2";
            if code.contains(holds) || unlocks {
                found.insert(format!("{folder}{stem}"));
            }
        }
    }
    found
}

#[test]
fn every_format_has_a_sample_that_is_cut_and_changed() {
    let named: BTreeSet<String> = FORMATS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(format_files(), named, "a format without a sample here, or a sample without its format");
    let samples: Vec<Sample> =
        FORMATS.iter().filter_map(|(_, stands)| if let Files(make) = stands { Some(make()) } else { None }).flatten().collect();
    let (next, silent) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(sample) = samples.get(next.fetch_add(1, Relaxed)) {
                    silent.lock().unwrap().extend(torment(sample));
                }
            });
        }
    });
    let silent = silent.into_inner().unwrap();
    assert!(silent.is_empty(), "{} losses that nothing tells of:\n{}", silent.len(), silent.join("\n"));
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    assert!(peak.parse::<u64>().unwrap() * 1024 < MEMORY_BYTES_MAX, "{peak} kB of memory");
}

/// The images that stand for the formats of disks are what they stand for, and are among those that the test of disks tries.
#[test]
fn images_that_stand_for_a_format_are_of_it() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (format, name, word) in FORMATS.iter().filter_map(|(format, stands)| match stands {
        Image(name, word) => Some((format, name, word)),
        _ => None,
    }) {
        let places: [PathBuf; 2] =
            [package.join("tests/images").join(name), package.join("../../shared/corpus/images").join(name)];
        let Some(path) = places.iter().find(|path| path.exists()) else {
            eprintln!("{format}: {name} is not there");
            continue;
        };
        let told = World::new().take(path);
        let of_it =
            |item: &&Item| item.definition.as_deref().is_some_and(|found| found.contains(word)) || item.path.ends_with(word);
        assert!(told.items.iter().any(|item| of_it(&item)), "{format}: {name} is {:?}", told.paths());
        // What is packed as a whole is tried unpacked.
        let root = told.items.iter().find(|item| item.parent.is_none()).unwrap();
        let packed = matches!(root.definition.as_deref(), Some("gzip" | "zip" | "zstd"));
        let image = told.items.iter().find(|item| packed && item.parent == Some(root.id)).unwrap_or(root);
        assert!(image.size_bytes <= IMAGE_BYTES_MAX, "{format}: {name} has {} bytes: too many to be tried", image.size_bytes);
    }
}
