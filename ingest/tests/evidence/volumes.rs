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
