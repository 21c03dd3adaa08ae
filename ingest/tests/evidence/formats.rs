//! One disk in every image format that qemu-img writes, in parts and whole: the same disk comes out of each.

use crate::world::{Told, World};
use model::{Code, ItemStatus};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// SHA-256 of the disk in `ext2.E01`, and of a file on it, as the corpus tells (ewfexport, icat).
pub const DISK: &str = "a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80";
pub const PASSWORDS: &str = "02a2a6af2f1ecf4720d7d49d640f0d0a269a7ec733e41973bdd34f09dad0e252";

fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/ext2.E01")
}

/// The disk as it is.
pub fn raw() -> Vec<u8> {
    let world = World::new();
    let told = world.take(&image());
    let chain: Vec<ingest::Step> = ["ext2.E01", "$media"]
        .iter()
        .map(|path| ingest::Step { item: told.item(path).id, path: path.as_bytes().to_vec(), size_bytes: None })
        .collect();
    let mut bytes = Vec::new();
    let mut content = ingest::reopen(&world.job(&image()), &world.settings, &chain).unwrap();
    content.read_to_end(&mut bytes).unwrap();
    assert_eq!(crate::world::sha256(&bytes), DISK);
    bytes
}

fn qemu_img(arguments: &[&str], folder: &Path) -> bool {
    let done = Command::new("qemu-img").args(arguments).current_dir(folder).output();
    done.is_ok_and(|output| output.status.success())
}

/// Format, options, name.
const FORMATS: &[(&str, &str, &str)] = &[
    ("qcow2", "compat=0.10", "two.qcow2"),
    ("qcow2", "compression_type=zstd", "three.qcow2"),
    ("vdi", "static=off", "dynamic.vdi"),
    ("vdi", "static=on", "static.vdi"),
    ("vmdk", "subformat=monolithicSparse", "sparse.vmdk"),
    ("vmdk", "subformat=streamOptimized", "stream.vmdk"),
    ("vmdk", "subformat=monolithicFlat", "flat.vmdk"),
    ("vmdk", "subformat=twoGbMaxExtentSparse", "parts.vmdk"),
    ("vpc", "subformat=dynamic,force_size=on", "dynamic.vhd"),
    ("vpc", "subformat=fixed,force_size=on", "fixed.vhd"),
    ("vhdx", "subformat=dynamic", "dynamic.vhdx"),
    ("vhdx", "subformat=fixed", "fixed.vhdx"),
];

/// The disk is read whole, whatever the container's path.
fn assert_disk(told: &Told, prefix: &str) {
    let problems: Vec<_> = told.problems().collect();
    assert!(problems.is_empty(), "{prefix}: {problems:?}");
    assert_eq!(told.sha256(&format!("{prefix}$media")), DISK, "{prefix}");
    assert_eq!(told.sha256(&format!("{prefix}passwords.txt")), PASSWORDS, "{prefix}");
}

#[test]
fn the_same_disk_comes_out_of_every_format() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw"), raw()).unwrap();
    let mut made = 0;
    for (format, options, name) in FORMATS {
        let packed = if *name == "three.qcow2" { &["-c"][..] } else { &[] };
        let plain = ["convert", "-f", "raw", "-O", format, "-o", options];
        if !qemu_img(&[&plain[..], packed, &["raw", name]].concat(), folder.path()) {
            eprintln!("{name}: qemu-img is not there, or does not write it");
            continue;
        }
        made += 1;
        assert_disk(&World::new().take(&folder.path().join(name)), "");
    }
    std::fs::remove_file(folder.path().join("raw")).unwrap();
    // All of them in one folder: files that belong to another are not opened for themselves.
    if made > 0 {
        let told = World::new().take(folder.path());
        let whole = told.items.iter().filter(|item| item.sha256.is_some_and(|digest| digest.to_string() == PASSWORDS)).count();
        assert_eq!(whole, made, "{:?}", told.paths());
    }
}

/// A folder with images of several files, packed as a zip and as a file system: they are put together there, too.
#[test]
fn images_of_several_files_are_joined_inside_other_containers() {
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("parts");
    std::fs::create_dir(&parts).unwrap();
    for (number, part) in (1..).zip(raw().chunks(1_500_000)) {
        std::fs::write(parts.join(format!("disk.{number:03}")), part).unwrap();
    }
    std::fs::write(folder.path().join("raw"), raw()).unwrap();
    let made = qemu_img(
        &["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", "raw", "parts/flat.vmdk"],
        folder.path(),
    );
    let run = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).current_dir(folder.path()).output();
        assert!(done.is_ok_and(|output| output.status.success()), "{program}");
    };
    run("zip", &["-qr", "parts.zip", "parts"]);
    run("mke2fs", &["-q", "-t", "ext4", "-d", "parts", "parts.ext4", "24M"]);
    for name in ["parts.zip", "parts.ext4"] {
        let path = folder.path().join(name);
        let world = World::new();
        let told = world.take(&path);
        assert_eq!(told.problems().count(), 0, "{name}: {:?}", told.problems().collect::<Vec<_>>());
        let whole = told.items.iter().filter(|item| item.sha256.is_some_and(|digest| digest.to_string() == PASSWORDS)).count();
        assert_eq!(whole, 1 + usize::from(made), "{name}: {:?}", told.paths());
        told.reopen(&world, &path);
    }
}

#[test]
fn a_split_image_is_one_disk_from_its_first_part_or_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let disk = raw();
    for (number, part) in (1..).zip(disk.chunks(1_500_000)) {
        std::fs::write(folder.path().join(format!("disk.{number:03}")), part).unwrap();
    }
    let told = World::new().take(&folder.path().join("disk.001"));
    assert_disk(&told, "");
    assert_eq!(told.item("$part/disk.002").size_bytes, 1_500_000);
    let told = World::new().take(folder.path());
    assert_disk(&told, "disk.001/");
    assert_eq!(told.item("disk.003").definition.as_deref(), Some("part of a split image"));
    // A part that is missing is told, and what is there is read.
    std::fs::remove_file(folder.path().join("disk.002")).unwrap();
    let told = World::new().take(&folder.path().join("disk.001"));
    assert_eq!(told.codes(told.item("disk.001"))[0], Code::Missing);
    assert_eq!(told.sha256("passwords.txt"), PASSWORDS);
}

#[test]
fn bad_bytes_of_an_e01_cost_what_they_hold() {
    let mut bytes = std::fs::read(image()).unwrap();
    // In the packed data of the fifth chunk: its table says that it lies at bytes 2605 to 2784.
    bytes[2700] ^= 0xff;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.E01");
    std::fs::write(&path, bytes).unwrap();
    let told = World::new().take(&path);
    let media = told.item("$media");
    assert_eq!((media.status, media.size_bytes), (ItemStatus::Partial, 4_194_304));
    let problem = told.problems().find(|problem| problem.item == Some(media.id)).unwrap();
    assert!(problem.detail.starts_with("bytes 131072 to 163840 cannot be read"), "{}", problem.detail);
}

#[test]
fn volumes_that_need_a_key_are_locked_hashed_and_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let address = b" 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa ";
    for (name, at, signature, needs) in [
        ("luks", 0, &b"LUKS\xba\xbe\0\x02"[..], "LUKS passphrase, and a header that is not damaged: both copies are"),
        ("bitlocker", 3, b"-FVE-FS-", "BitLocker recovery key or password, and metadata that is not damaged: no metadata block"),
        ("f2fs", 1024, b"\x10\x20\xf5\xf2", "a reader of F2FS"),
    ] {
        let mut volume = vec![0u8; 1 << 20];
        volume[at..at + signature.len()].copy_from_slice(signature);
        volume[500_000..500_000 + address.len()].copy_from_slice(address);
        let path = folder.path().join(name);
        std::fs::write(&path, &volume).unwrap();
        let told = World::new().take(&path);
        let item = told.item("$volume");
        assert_eq!((item.status, item.reason.as_deref()), (ItemStatus::Locked, Some(needs)));
        assert_eq!(item.sha256.unwrap().to_string(), crate::world::sha256(&volume));
        let sightings: Vec<_> = told.sightings().filter(|sighting| sighting.item == item.id).collect();
        assert_eq!(sightings.iter().map(|sighting| sighting.byte_offset).collect::<Vec<_>>(), [Some(500_001)], "{name}");
    }
}

#[test]
fn containers_that_nobody_reads_are_locked_hashed_and_searched() {
    let folder = tempfile::tempdir().unwrap();
    let content = [&b"ADSEGMENTEDFILE\0\x02\x01"[..], &[0; 9000], b" 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa "].concat();
    std::fs::write(folder.path().join("disk.ad1"), &content).unwrap();
    std::fs::write(folder.path().join("a.rar"), b"Rar!\x1a\x07\x01\0\x33").unwrap();
    let told = World::new().take(folder.path());
    let item = told.item("disk.ad1");
    assert_eq!((item.status, item.reason.as_deref()), (ItemStatus::Locked, Some("a reader of AD1 images")));
    assert_eq!(told.sha256("disk.ad1"), crate::world::sha256(&content));
    assert_eq!((told.sightings().count(), told.outcome("a.rar")), (1, (ItemStatus::Locked, vec![Code::Unsupported])));
}

/// The disk of [`raw`] as qemu encrypts it: cipher, mode, vector and hash.
const LUKS: &[&str] = &[
    "cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha256",
    "cipher-alg=aes-128,cipher-mode=xts,ivgen-alg=plain,hash-alg=sha1",
    "cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha512",
];

#[test]
fn a_luks_volume_opens_with_its_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw"), raw()).unwrap();
    for (number, options) in LUKS.iter().enumerate() {
        let name = format!("{number}.luks");
        let secret = ["convert", "--object", "secret,id=key,data=chanthou", "-f", "raw", "-O", "luks", "-o"];
        let options = format!("key-secret=key,iter-time=10,{options}");
        // It measures the processor first, which fails on a busy machine.
        if !(0..5).any(|_| qemu_img(&[&secret[..], &[&options, "raw", &name]].concat(), folder.path())) {
            eprintln!("{options}: qemu-img is not there, or does not write it");
            continue;
        }
        let path = folder.path().join(&name);
        let world = World { passwords: vec!["wrong".to_owned(), "chanthou".to_owned()], ..World::new() };
        let told = world.take(&path);
        let problems: Vec<_> = told.problems().collect();
        assert!(problems.is_empty(), "{options}: {problems:?}");
        assert_eq!((told.sha256("$decrypted"), told.sha256("$decrypted/passwords.txt")), (DISK.to_owned(), PASSWORDS.to_owned()));
        assert_eq!(told.item("$volume").definition.as_deref(), Some("LUKS"));
        assert!(told.reopen(&world, &path) > 4);
        for (passwords, reason) in [(vec![], "LUKS passphrase"), (vec!["x"], "LUKS passphrase; none of those given fits")] {
            let world = World { passwords: passwords.into_iter().map(str::to_owned).collect(), ..World::new() };
            let told = world.take(&path);
            let item = told.item("$volume");
            assert_eq!((item.status, item.reason.as_deref()), (ItemStatus::Locked, Some(reason)));
            assert_eq!(told.items.len(), 2, "nothing else");
        }
    }
}

/// An encrypted volume of `tests/images`: what opens it, what is said to be wanted, SHA-256 of what is inside.
struct Encrypted {
    file: &'static str,
    passwords: &'static [&'static str],
    wanted: &'static str,
    inside: &'static str,
}

/// By `sha256sum` of what dislocker 0.7.3 made of the BitLocker volumes, and of the disk that was encrypted into the others.
const ENCRYPTED: &[Encrypted] = &[
    Encrypted { file: "luks2-argon2id.img", passwords: &["chanthou"], wanted: "LUKS passphrase", inside: FAT },
    Encrypted {
        file: "apple-encrypted.dmg",
        passwords: &["chanthou"],
        wanted: "password of an encrypted disk image",
        inside: FAT,
    },
    Encrypted { file: "luks2-pbkdf2.img", passwords: &["chanthou"], wanted: "LUKS passphrase", inside: FAT },
    Encrypted {
        file: "bitlocker-xts.img",
        passwords: &["chanthou", RECOVERY_KEY],
        wanted: "BitLocker password, or recovery key 8764311D-4587-4029-924A-BBA299647998",
        inside: BITLOCKER,
    },
];

const FAT: &str = "854c3db1c4a07a241e2ed9fbd8892adf2adc662c7862a75deed26f3483f414c9";
const BITLOCKER: &str = "86ba0c3c4040bebe505f5426ff38f851a06f3bbc0d7483f4e8b666072d3334b8";
/// The disk has two deleted names whose inodes are gone, as `fls` lists them too.
const OVERWRITTEN: [Code; 2] = [Code::Overwritten; 2];
const RECOVERY_KEY: &str = "013574-597531-000077-720885-000000-440000-010989-353100";

#[test]
fn luks_2_bitlocker_and_apples_images_open_with_the_right_key_alone() {
    let images = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
    for Encrypted { file, passwords, wanted, inside } in ENCRYPTED {
        let path = images.join(file);
        for password in *passwords {
            let world = World { passwords: vec!["wrong".to_owned(), (*password).to_owned()], ..World::new() };
            let told = world.take(&path);
            let problems: Vec<_> = told.problems().map(|problem| problem.code).collect();
            assert_eq!(problems, OVERWRITTEN, "{file}");
            assert_eq!(
                (told.sha256("$decrypted").as_str(), told.sha256("$decrypted/passwords.txt").as_str()),
                (*inside, PASSWORDS)
            );
            assert!(told.reopen(&world, &path) > 2);
        }
        for (given, tried) in [(vec![], ""), (vec!["x".to_owned()], "; none of those given fits")] {
            let told = World { passwords: given, ..World::new() }.take(&path);
            let item = told.item("$volume");
            assert_eq!((item.status, item.reason.clone()), (ItemStatus::Locked, Some(format!("{wanted}{tried}"))));
            assert_eq!(told.items.len(), 2, "nothing else");
        }
    }
}

#[test]
fn bitlocker_that_is_suspended_needs_no_key() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/bitlocker-clear.img");
    let told = World::new().take(&path);
    assert_eq!(told.problems().map(|problem| problem.code).collect::<Vec<_>>(), OVERWRITTEN);
    assert_eq!((told.sha256("$decrypted").as_str(), told.sha256("$decrypted/passwords.txt").as_str()), (BITLOCKER, PASSWORDS));
}
