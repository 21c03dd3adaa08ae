//! Logical evidence (L01, Lx01): files with their names, times and contents, as another implementation wrote them.

use crate::world::{Told, World, sha256};
use model::{Code, ItemStatus};
use std::fs;
use std::path::{Path, PathBuf};

fn image(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name)
}

/// What was put into each.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<u8> = (0..20_000u32).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    vec![
        ("Users/ដារ៉ា/note.txt", b"hello".to_vec()),
        ("Users/ដារ៉ា/empty", Vec::new()),
        ("Users/big.bin", lines[..100_000].to_vec()),
        ("gone.txt", b"gone".to_vec()),
    ]
}

#[test]
fn files_come_out_under_their_paths_with_their_times() {
    for name in ["files.L01", "files.Lx01"] {
        let world = World::new();
        let told = world.take(&image(name));
        let problems: Vec<_> = told.problems().collect();
        assert!(problems.is_empty(), "{name}: {problems:?}");
        for (path, content) in files() {
            let item = told.item(path);
            assert_eq!((told.sha256(path), item.status), (sha256(&content), ItemStatus::Plain), "{name}: {path}");
            assert_eq!(item.deleted, path == "gone.txt", "{name}: {path}");
            let seconds = |time: Option<model::item::FileTime>| time.map(|time| time.seconds);
            let times = (seconds(item.times.created), seconds(item.times.modified), seconds(item.times.accessed));
            assert_eq!(times, (Some(1_600_000_000), Some(1_700_000_000), Some(1_650_000_000)), "{name}: {path}");
        }
        assert_eq!(told.items.len(), files().len() + 2, "{name}: {:?}", told.paths());
        assert_eq!(told.end.as_ref().unwrap().directories, 2);
        assert_eq!(told.item("$media").size_bytes, 196 * 512, "{name}: filled up to sectors");
        assert_eq!(told.reopen(&world, &image(name)), told.items.len());
    }
}

/// Content that is not whole has a problem, or its image has one. Of an Lx01 this writer stores no checksum of the names.
fn check(told: &Told, names: bool, what: &str) {
    let complained = told.problems().count() > 0;
    for (path, content) in files() {
        let whole = |item: &&model::Item| item.sha256.is_some_and(|digest| digest.to_string() == sha256(&content));
        let found = told.items.iter().filter(whole).any(|item| item.path == path || !names);
        assert!(found || complained, "{what}: {path} is lost without a word");
    }
}

#[test]
fn cut_and_changed_evidence_loses_nothing_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["files.L01", "files.Lx01"] {
        let path = folder.path().join(name);
        let whole = fs::read(image(name)).unwrap();
        for cut in (1..20).map(|part| whole.len() * part / 20) {
            fs::write(&path, &whole[..cut]).unwrap();
            check(&World::new().take(&path), name == "files.L01", &format!("{name} cut at {cut}"));
        }
        let mut state = 5u64;
        for _ in 0..250 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = 10 + (state >> 20) as usize % (whole.len() - 10);
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (state >> 60 & 7);
            fs::write(&path, &bytes).unwrap();
            check(&World::new().take(&path), name == "files.L01", &format!("{name} with byte {at} changed"));
        }
    }
}

#[test]
fn the_second_segment_alone_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(image("files.L01")).unwrap();
    bytes[9] = 2;
    fs::write(folder.path().join("files.L02"), bytes).unwrap();
    let told = World::new().take(folder.path());
    assert_eq!(told.codes(told.item("files.L02")), [Code::Missing]);
}
