//! Volumes of volumes: what LVM2 and Android's dynamic partitions put together is read as the volumes it is.

use crate::world::World;
use flate2::read::GzDecoder;
use model::{Code, ItemStatus};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// SHA-256 of the volume and of a file in it, by `sha256sum`.
const VOLUME: &str = "eab7a1887cdceebe7ee4a3245d1bf7cfa1d0a203398e2fca1df1646e42514280";
const NOTE: &str = "53fded658fc6ab15bc3c5768f4b702f8f85a8b4a5c4488675e38ddac63043100";
const LONG: &str = "be90d9e73b8528ce97ecbd9f52d87b2058fbdf850b7442422e1f41c525cfa3d2";

fn image(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name);
    let mut image = Vec::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut image).unwrap();
    image
}

#[test]
fn logical_volumes_and_dynamic_partitions_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    for (name, volume, other, kind) in
        [("lvm2.img", "home", "swap", "LVM"), ("super.img", "system_a", "system_b", "Android super")]
    {
        let path = folder.path().join(name);
        fs::write(&path, image(&format!("{name}.gz"))).unwrap();
        let world = World::new();
        let told = world.take(&path);
        assert_eq!(told.item(name).definition.as_deref(), Some(kind));
        assert_eq!(told.sha256(volume), VOLUME);
        assert_eq!(told.sha256(&format!("{volume}/dara/note.txt")), NOTE);
        assert_eq!(told.sha256(&format!("{volume}/dara/long.bin")), LONG);
        assert!(told.items.iter().any(|item| item.path == other), "{:?}", told.paths());
        assert_eq!(told.problems().count(), 0, "{:?}", told.problems().collect::<Vec<_>>());
        told.reopen(&world, &path);
    }
}

/// The text of the volume group says that a piece lies on a disk that is not there.
/// Files of the volumes of EROFS, by `sha256sum` of the folder that mkfs.erofs packed.
const PACKED: &[(&str, &str)] = &[
    ("build.prop", "2460793a3284e9ae77882967adbc0f1a4d2014f04d3a6cf682ff737e70eadae3"),
    ("dir/noise.bin", "4039948e50cec879358566dcefdd78aacdff21a721cbdbc9c2ac4d581ac7d29b"),
    ("dir/sub/mixed.bin", "cf0b53d9e49e174fa386dba75b1b445cb2489932ccec3f6ccf577546d7c8b878"),
    ("dir/text.txt", "49ec7498a8390f01c2aca93acf15a8ad55b9f87326d0f6e07be4ac5daacb6415"),
    ("empty", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("small.txt", "c962fa1be311981f0f965857e89b000707f9cea07a069d073461308f3019200f"),
    ("zeros.bin", "9192c25b734fcbadbe32dadc28089c60db0e39f90cc20ce2e5733f57261acc0c"),
];

#[test]
fn erofs_in_every_layout_gives_the_files_back() {
    let folder = tempfile::tempdir().unwrap();
    for layout in ["plain", "chunk", "lz4", "big", "full"] {
        let path = folder.path().join(layout);
        fs::write(&path, image(&format!("erofs-{layout}.img.gz"))).unwrap();
        let world = World::new();
        let told = world.take(&path);
        let problems: Vec<_> = told.problems().map(|problem| problem.detail.as_str()).collect();
        // The old way of packing is told of each file that is packed so.
        let old = if layout == "full" { &["a file of EROFS with LZ4 of before 2020"; 3][..] } else { &[] };
        assert_eq!(problems, old, "{layout}");
        assert_eq!(told.item(layout).definition.as_deref(), Some("EROFS"));
        for (path, sum) in PACKED.iter().filter(|(path, _)| told.codes(told.item(path)).is_empty()) {
            assert_eq!(told.sha256(path), *sum, "{layout}: {path}");
        }
        let link = told.item("link");
        assert_eq!((link.file_kind, link.link_target.as_deref()), (model::FileKind::Symlink, Some("dir/text.txt")));
        assert_eq!(told.item("small.txt").times.modified.unwrap().seconds, 1_700_000_000);
        assert_eq!(told.items.iter().filter(|item| item.parent.is_some()).count(), 58, "57 files and a link");
        told.reopen(&world, &path);
    }
}

/// What `fls -S` and `icat -S` of The Sleuth Kit 4.11 give of the snapshots: the file of before and of after it was changed, gone from the live state.
const BEFORE: &str = "02a2a6af2f1ecf4720d7d49d640f0d0a269a7ec733e41973bdd34f09dad0e252";
const AFTER: &str = "191f9f37922e9cd5533799ea889b5a3e60f204a075e41aff595d18314f693568";

#[test]
fn snapshots_give_what_no_newer_state_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    std::fs::write(&path, image("apfs-snapshots.img.gz")).unwrap();
    let world = World::new();
    let told = world.take(&path);
    assert_eq!(told.problems().map(|problem| &problem.detail).collect::<Vec<_>>(), Vec::<&String>::new());
    let (live, snapshots): (Vec<_>, Vec<_>) = told
        .items
        .iter()
        .filter(|item| item.parent == Some(told.item("disk").id))
        .partition(|item| !item.path.contains("/$snapshot/"));
    let live: Vec<_> = live.iter().filter_map(|item| item.path.strip_prefix("apfs_test/")).collect();
    let fls = "a_link a_directory/a_resourcefork a_directory/another_fil2 a_directory/a_file .fseventsd/fseventsd-uuid \
        .fseventsd/000000001714941a .fseventsd/000000001714941b";
    let mut expected: Vec<_> = fls.split_whitespace().collect();
    expected.sort_unstable();
    assert_eq!(live, expected);
    // A file whose time of reading changed is not told again; one that was renamed is told and not read again.
    let newest = "apfs_test/$snapshot/com.apple.TimeMachine.2023-11-15-010000.local";
    let renamed = format!("{newest}/a_directory/another_file");
    let paths = [renamed.clone(), format!("{newest}/passwords.txt"), "apfs_test/$snapshot/first/passwords.txt".to_owned()];
    assert_eq!(snapshots.iter().map(|item| item.path.clone()).collect::<Vec<_>>(), paths);
    assert_eq!((told.sha256(&paths[2]), told.sha256(&paths[1])), (BEFORE.to_owned(), AFTER.to_owned()));
    let renamed = told.item(&renamed);
    assert_eq!(
        (renamed.file_kind, renamed.link_target.as_deref()),
        (model::FileKind::Hardlink, Some("apfs_test/a_directory/another_fil2"))
    );
    assert!(snapshots.iter().all(|item| !item.deleted));
    let taken = told.bodies.values().filter_map(|body| match body {
        model::Body::Directory(folder) if folder.path.rsplit_once('/').is_some_and(|(above, _)| above.ends_with("$snapshot")) => {
            Some((folder.path.as_str(), folder.times.created.unwrap().seconds))
        }
        _ => None,
    });
    let mut taken: Vec<_> = taken.collect();
    taken.sort_unstable();
    assert_eq!(taken, [(newest, 1_700_086_400), ("apfs_test/$snapshot/first", 1_700_000_000)]);
    assert_eq!(told.reopen(&world, &path), told.items.len() - 2, "all but two links");
}

#[test]
fn what_lies_on_another_disk_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut image = image("super.img.gz");
    // Of the second stretch of `system_a`: the number of the partition that it lies on.
    for copy in 0..4 {
        let slot = 12_288 + copy * 4096;
        image[slot + 128 + 104 + 24 + 20] = 1;
        let tables = u32::from_le_bytes(image[slot + 44..slot + 48].try_into().unwrap()) as usize;
        let sum = model::Digest::of(&image[slot + 128..slot + 128 + tables]);
        image[slot + 48..slot + 80].copy_from_slice(&digest(sum));
        image[slot + 12..slot + 44].fill(0);
        let sum = model::Digest::of(&image[slot..slot + 128]);
        image[slot + 12..slot + 44].copy_from_slice(&digest(sum));
    }
    let path = folder.path().join("super.img");
    fs::write(&path, image).unwrap();
    let told = World::new().take(&path);
    assert!(told.problems().any(|problem| problem.code == Code::Missing));
    assert_ne!(told.item("system_a").status, ItemStatus::Plain);
}

fn digest(digest: model::Digest) -> Vec<u8> {
    let hex = digest.to_string();
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect()
}
