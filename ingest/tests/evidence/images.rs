//! Disk images of the corpus against the file lists that The Sleuth Kit, debugfs and the image's makers give.

use crate::world::{Told, World};
use model::{FileKind, Item};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/images");
    corpus.is_dir().then_some(corpus)
}

/// A row of a file list: where the volume begins, path, whether deleted, size, SHA-256.
#[derive(Clone, Debug)]
struct Row {
    path: String,
    deleted: bool,
    size: u64,
    sha256: String,
}

/// The regular files of a list: ours have five columns, those of The Sleuth Kit eight.
fn rows(list: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in list.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let row = |path: &str, state: &str, size: &str, sha256: &str| Row {
            path: plain(path),
            deleted: state.starts_with("deleted") || state.starts_with("unalloc"),
            size: size.parse().unwrap_or(0),
            sha256: sha256.to_owned(),
        };
        match fields[..] {
            [state, size, sha256, path, ..] if fields.len() == 5 => rows.push(row(path, state, size, sha256)),
            [_, _, _, kind, state, size, sha256, path] if kind.starts_with('r') => rows.push(row(path, state, size, sha256)),
            _ => {}
        }
    }
    rows
}

/// A path as the list writes it: `p1(exFAT@1048576):/a`, `a (non-UTF-8 name bytes)`, bytes as `\xff`.
fn plain(path: &str) -> String {
    let path = match (path.find('('), path.find("):/")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &path[..from], &path[to + 2..]),
        _ => path.to_owned(),
    };
    let path =
        [" (non-UTF-8 name bytes)", " (newline in name)", " (hole)"].iter().fold(path, |path, note| path.replace(note, ""));
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(1..3).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        (rest, _) = match (first, after.first(), escaped) {
            (b'\\', Some(b'x'), Some(byte)) => (&after[3..], bytes.push(byte)),
            (b'\\', Some(b'n'), _) => (&after[1..], bytes.push(b'\n')),
            _ => (after, bytes.push(*first)),
        };
    }
    String::from_utf8_lossy(&bytes).trim_start_matches('/').to_owned()
}

/// What a list has and we do not, or otherwise, and why: image, part of the path, reason.
const OTHERWISE: &[(&str, &str, &str)] = &[
    ("", "(Volume Label Entry)", "a label is no file"),
    ("dfir_ntfs/", "$ALLOC_BITMAP", "a table of exFAT: scanned in place"),
    ("dfir_ntfs/", "$UPCASE_TABLE", "a table of exFAT: scanned in place"),
    ("", "$ExtentsFile", "a table of HFS+: scanned in place"),
    ("", "$CatalogFile", "a table of HFS+: scanned in place"),
    ("", "$BadBlockFile", "a table of HFS+: scanned in place"),
    ("", "$AllocationFile", "a table of HFS+: scanned in place"),
    ("", "$AttributesFile", "a table of HFS+: scanned in place"),
    ("", "$StartupFile", "a table of HFS+: scanned in place"),
    ("bulk_extractor/1mb_fat32.dmg", "ownloaded from github.com/", "three deleted folders share one cluster: listed once"),
    ("dftt/6-undel-fat.zip", "frag3.dat", "two deleted folders share one cluster: listed once"),
    (
        "dfir_ntfs/exfat_encrypted.raw.gz",
        "0.bin.PFILE",
        "none of it was ever written: zeros by its valid length, which the other tool passes by",
    ),
    ("dfir_ntfs/fat_lfn_test.raw.gz", "long_name_test.txt", "the long name's checksum is that of another short name: SHORT.TXT"),
    ("ext4-view/test_disk1.bin.zst", "encrypted_dir/", "encrypted: locked; the other tool hashes what is stored"),
];

struct Compared {
    listed: usize,
    bytes: u64,
    rows: usize,
    same: usize,
    explained: usize,
    wrong: Vec<String>,
}

/// Whether an item stands for a row: its path is the row's, whatever images and partitions are before it.
fn is_at(item: &Item, path: &str) -> bool {
    let ends = |path: &str| item.path == path || item.path.strip_suffix(path).is_some_and(|before| before.ends_with('/'));
    // The first character of a deleted name of FAT is lost.
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (&path[..=folder.len()], name));
    ends(path) || item.deleted && ends(&format!("{folder}_{}", name.get(1..).unwrap_or_default()))
}

fn compare(name: &str, told: &Told, rows: &[Row]) -> Compared {
    let inner: Vec<&Item> = told.items.iter().filter(|item| item.parent.is_some()).collect();
    let mut compared = Compared {
        listed: inner.len(),
        bytes: inner.iter().filter(|item| item.sha256.is_some()).map(|item| item.size_bytes).sum(),
        rows: rows.len(),
        same: 0,
        explained: 0,
        wrong: Vec::new(),
    };
    for row in rows {
        let mut at = inner.iter().filter(|item| is_at(item, &row.path) && item.deleted == row.deleted).peekable();
        let near: Vec<String> = at
            .clone()
            .map(|item| format!("{} {} {:?} {:?}", item.path, item.size_bytes, item.sha256.map(|d| d.to_string()), item.reason))
            .collect();
        let same = at.any(|item| {
            let digest = item.sha256.map(|digest| digest.to_string());
            let same = if row.sha256.is_empty() {
                item.deleted || item.size_bytes == row.size
            } else {
                digest.as_ref() == Some(&row.sha256)
            };
            item.file_kind == FileKind::File && same
        });
        if same {
            compared.same += 1;
        } else if OTHERWISE.iter().any(|(image, path, _)| name.starts_with(image) && row.path.contains(path)) {
            compared.explained += 1;
        } else {
            compared.wrong.push(format!("{name}: {row:?}, found {near:?}"));
        }
    }
    compared
}

fn truth_of(corpus: &Path, folder: &str, name: &str) -> Option<String> {
    let stem = name.split('.').next().unwrap();
    let names = [format!("{folder}_{name}.files.tsv"), format!("{folder}_{stem}.files.tsv")];
    names.iter().find_map(|name| std::fs::read_to_string(corpus.join("truth").join(name)).ok())
}

#[test]
fn every_image_of_the_corpus_against_the_lists_of_other_tools() {
    let Some(corpus) = corpus() else { return };
    let mut images = BTreeMap::new();
    for folder in std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("truth")) {
        for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if ![".txt", ".json", ".mft", ".fls", ".E02", ".splitraw.001"].iter().any(|ending| name.ends_with(ending)) {
                images.insert((folder.file_name().unwrap().to_string_lossy().into_owned(), name), file);
            }
        }
    }
    let mut wrong = Vec::new();
    eprintln!(
        "{:<48} {:<10} {:<8} {:>6} {:>12} {:>5} {:>5} {:>5}",
        "image", "container", "status", "items", "bytes", "rows", "same", "expl."
    );
    for ((folder, name), file) in images {
        let told = World::new().take(&file);
        let root = told.items.iter().find(|item| item.parent.is_none()).unwrap();
        let rows = truth_of(&corpus, &folder, &name).map(|list| rows(&list)).unwrap_or_default();
        let name = format!("{folder}/{name}");
        let compared = compare(&name, &told, &rows);
        eprintln!(
            "{name:<48} {:<10} {:<8} {:>6} {:>12} {:>5} {:>5} {:>5}",
            root.definition.as_deref().unwrap_or("-"),
            root.status.name(),
            compared.listed,
            compared.bytes,
            compared.rows,
            compared.same,
            compared.explained
        );
        for problem in told.problems() {
            eprintln!("    {} {}", problem.code.name(), problem.detail);
        }
        for item in told.items.iter().filter(|item| item.path.ends_with("$media")) {
            eprintln!(
                "    $media {} {:?} {:?}",
                item.sha256.map(|d| d.to_string()).unwrap_or_default(),
                item.definition,
                item.reason
            );
        }
        wrong.extend(compared.wrong);
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}
