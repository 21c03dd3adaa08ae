//! Apple's disk images beside UDIF: sparse ones in one file or in a folder of bands, and encrypted ones.

use crate::formats::{DISK, PASSWORDS, raw};
use crate::world::{Told, World};
use model::{Code, ItemStatus};
use std::path::Path;

/// A sparse image of a disk as `hdiutil` lays it out: bands without content left out, those with content from the last to the first.
pub fn sparse_image(disk: &[u8], band: usize) -> Vec<u8> {
    let bands: Vec<(u32, &[u8])> =
        (1..).zip(disk.chunks(band)).filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).collect();
    let (mut image, mut left) = (Vec::new(), bands.into_iter().rev().peekable());
    let sectors = (disk.len() / 512) as u64;
    while image.is_empty() || left.peek().is_some() {
        let first = image.is_empty();
        let (list, held) = if first { (64, 1008) } else { (56, 1010) };
        let here: Vec<_> = left.by_ref().take(held).collect();
        let next = if left.peek().is_some() { (image.len() + 4096 + here.len() * band) as u64 } else { 0 };
        let mut node = b"sprs".to_vec();
        if first {
            node.extend([3, (band / 512) as u32, 1, sectors as u32].iter().flat_map(|number| number.to_be_bytes()));
            node.extend(next.to_be_bytes());
            node.extend(sectors.to_be_bytes());
        } else {
            node.extend([1u32, 1].iter().flat_map(|number| number.to_be_bytes()));
            node.extend(next.to_be_bytes());
        }
        node.resize(list, 0);
        node.extend(here.iter().flat_map(|(number, _)| number.to_be_bytes()));
        node.resize(4096, 0);
        image.extend(node);
        here.iter().for_each(|(_, bytes)| image.extend(*bytes));
    }
    image
}

/// A sparse bundle of a disk below a folder; `token` is what an encrypted one has.
fn sparse_bundle(folder: &Path, disk: &[u8], band: usize, token: &[u8]) {
    std::fs::create_dir_all(folder.join("bands")).unwrap();
    let list = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n\t<key>band-size</key>\n\t<integer>{band}</integer>\n\t\
         <key>diskimage-bundle-type</key>\n\t<string>com.apple.diskimage.sparsebundle</string>\n\t<key>size</key>\n\t<integer>{}</integer>\n\
         </dict>\n</plist>\n",
        disk.len()
    );
    for name in ["Info.plist", "Info.bckup"] {
        std::fs::write(folder.join(name), &list).unwrap();
    }
    std::fs::write(folder.join("token"), token).unwrap();
    for (number, bytes) in disk.chunks(band).enumerate().filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)) {
        // What is zero at a band's end is not stored.
        let stored = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        std::fs::write(folder.join(format!("bands/{number:x}")), &bytes[..stored]).unwrap();
    }
}

fn assert_disk(told: &Told, prefix: &str) {
    assert_eq!(told.problems().count(), 0, "{prefix}: {:?}", told.problems().collect::<Vec<_>>());
    assert_eq!(told.sha256(&format!("{prefix}$media")), DISK, "{prefix}");
    assert_eq!(told.sha256(&format!("{prefix}passwords.txt")), PASSWORDS, "{prefix}");
}

#[test]
fn sparse_images_of_one_file_and_of_many_index_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let disk = raw();
    for band in [512, 4096, 1 << 20] {
        let path = folder.path().join(format!("{band}.sparseimage"));
        std::fs::write(&path, sparse_image(&disk, band)).unwrap();
        let world = World::new();
        let told = world.take(&path);
        assert_disk(&told, "");
        assert!(told.reopen(&world, &path) > 4);
    }
}

#[test]
fn a_sparse_bundle_is_read_from_its_folder_and_from_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    sparse_bundle(&folder.path().join("disk.sparsebundle"), &raw(), 64 << 10, &[]);
    let world = World::new();
    let told = world.take(folder.path());
    assert_disk(&told, "disk.sparsebundle/Info.plist/");
    assert_eq!(told.item("disk.sparsebundle/Info.plist").definition.as_deref(), Some("sparse bundle"));
    assert_eq!(
        told.items.iter().filter(|item| item.path.ends_with("passwords.txt")).count(),
        1,
        "the list's copy is not read again"
    );
    assert!(told.reopen(&world, folder.path()) > 4);
    let archive = folder.path().join("bundle.zip");
    let packed =
        std::process::Command::new("zip").args(["-qr", "bundle.zip", "disk.sparsebundle"]).current_dir(folder.path()).status();
    assert!(packed.unwrap().success());
    assert_eq!(World::new().take(&archive).sha256("disk.sparsebundle/Info.plist/passwords.txt"), PASSWORDS);
}

/// A list without its bands is told, and no disk of zeros made of it.
#[test]
fn a_bundle_without_bands_is_told() {
    let folder = tempfile::tempdir().unwrap();
    sparse_bundle(&folder.path().join("a"), &raw(), 64 << 10, &[]);
    let list = folder.path().join("a/Info.plist");
    let alone = folder.path().join("b.plist");
    std::fs::copy(&list, &alone).unwrap();
    let told = World::new().take(&alone);
    assert_eq!(told.outcome("b.plist"), (ItemStatus::Partial, vec![Code::Missing]));
}
