//! The table of all other containers: entries and bytes of each against what another tool counts (Python's `zipfile`, `tarfile`, `zlib` and `sqlite3`,
//! 7-Zip, LVM2 and mke2fs through the sums that `tests/images/README.md` tells).

use crate::phone::{PhoneFile, file, itunes_backup, old_backup};
use crate::world::{Told, World};
use model::{FileKind, ItemStatus};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files and their bytes, by somebody else.
#[derive(Debug, PartialEq, Clone, Copy)]
struct Count {
    files: u64,
    bytes: u64,
}

/// Who counts.
#[derive(Clone, Copy)]
enum By {
    /// Python, by a script that prints both numbers.
    Python(&'static str),
    /// `7z l -slt`.
    SevenZip,
    /// Known beforehand, by whoever made the sample.
    Known(u64, u64),
    /// Nobody here: the file is named as not read.
    Unread,
}

const ZIP: By = By::Python(
    "import sys,zipfile\nfiles=[i for i in zipfile.ZipFile(sys.argv[1]).infolist() if not i.is_dir()]\nprint(len(files),sum(i.file_size for i in files))",
);
const TAR: By = By::Python(
    "import sys,tarfile\nfiles=[m for m in tarfile.open(sys.argv[1]) if not m.isdir()]\nprint(len(files),sum(m.size for m in files if m.isreg()))",
);
/// An Android backup is a header of four lines, zlib, and a tar.
const ANDROID: By = By::Python(
    "import sys,zlib,io,tarfile\nb=open(sys.argv[1],'rb').read().split(b'\\n',4)\ndata=zlib.decompress(b[4]) if b[2]==b'1' else b[4]\n\
     files=[m for m in tarfile.open(fileobj=io.BytesIO(data)) if not m.isdir()]\nprint(len(files),sum(m.size for m in files if m.isreg()))",
);
/// Files of a manifest whose blobs are there.
const MANIFEST: By = By::Python(
    "import sys,sqlite3,os\nf=sys.argv[1]\nrows=sqlite3.connect('file:'+f+'/Manifest.db?immutable=1',uri=True).execute('SELECT fileID FROM Files WHERE flags=1')\n\
     paths=[os.path.join(f,i[:2],i) for (i,) in rows]\nthere=[p for p in paths if os.path.exists(p)]\nprint(len(there),sum(os.path.getsize(p) for p in there))",
);
/// Files of a backup of before iOS 10: whatever has a name of 40 digits.
const BLOBS: By = By::Python(
    "import sys,os\nf=sys.argv[1]\nthere=[os.path.join(f,n) for n in os.listdir(f) if len(n)==40]\nprint(len(there),sum(os.path.getsize(p) for p in there))",
);

/// Samples that are counted otherwise, and why.
const OTHERWISE: &[(&str, &str)] = &[
    ("iTunes backup", "a link in the manifest, which has no blob"),
    ("iTunes backup, mbdb", "a link in the manifest, which has no blob"),
    ("hostile/libarchive/test_read_format_7zip_symbolic_name.7z", "7-Zip counts the target of a link as content"),
    ("android/mvt/backup.ab", "messages in it are packed once more: each is opened too"),
    ("android/mvt/backup3.ab", "messages in it are packed once more: each is opened too"),
];

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What another tool counts; `None` where it is not there or does not read the file.
fn counted(path: &Path, by: By) -> Option<Count> {
    match by {
        By::Known(files, bytes) => Some(Count { files, bytes }),
        By::Unread => None,
        By::Python(script) => {
            let said = output(Command::new("python3").args(["-c", script]).arg(path))?;
            let numbers: Vec<u64> = said.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
            let [files, bytes] = numbers[..] else { return None };
            Some(Count { files, bytes })
        }
        By::SevenZip => {
            let said = output(Command::new("7z").args(["l", "-slt", "-pnone"]).arg(path))?;
            let mut count = Count { files: 0, bytes: 0 };
            for entry in said.split("----------").nth(1)?.split("\n\n") {
                let value = |key: &str| entry.lines().find_map(|line| line.strip_prefix(key));
                if value("Path = ").is_some()
                    && !value("Attributes = ")
                        .is_some_and(|attributes| attributes.split(' ').next().unwrap_or_default().contains('D'))
                {
                    count.files += 1;
                    count.bytes += value("Size = ").and_then(|size| size.parse::<u64>().ok()).unwrap_or(0);
                }
            }
            Some(count)
        }
    }
}

/// Files that came out of a container itself, not out of those in it, and their bytes.
fn ours(told: &Told, root: &str) -> Count {
    let id = told.items.iter().find(|item| item.path == root).map(|item| item.id);
    // What is told as missing is none of them.
    let there = |item: &&model::Item| item.parent.is_some() && item.parent == id && item.status != ItemStatus::Failed;
    let inside: Vec<_> = told.items.iter().filter(there).collect();
    let bytes = inside.iter().filter(|item| item.file_kind == FileKind::File).map(|item| item.size_bytes).sum();
    Count { files: inside.len() as u64, bytes }
}

struct Row {
    name: String,
    path: PathBuf,
    by: By,
    /// The item that is the container.
    root: String,
}

impl Row {
    fn file(name: &str, path: PathBuf, by: By) -> Row {
        let root = path.file_name().unwrap().to_string_lossy().into_owned();
        Row { name: name.to_owned(), path, by, root }
    }
}

fn phone_files() -> Vec<PhoneFile> {
    let names = ["Documents/a.txt", "Documents/b.txt", "Library/c.bin"];
    names.iter().zip([5usize, 40_000, 70_000]).map(|(name, size)| file("AppDomain-org.app", name, &vec![7; size])).collect()
}

/// Samples of the repository and those that are made.
fn own(folder: &Path) -> Vec<Row> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let backup = |name: &str, make: &dyn Fn(&Path), by: By, manifest: &str| {
        make(&folder.join(name));
        Row { name: name.to_owned(), path: folder.join(name), by, root: manifest.to_owned() }
    };
    let plain = backup("iTunes backup", &|path| itunes_backup(path, &phone_files(), None), MANIFEST, "Manifest.db");
    let old = backup("iTunes backup, mbdb", &|path| old_backup(path, &phone_files(), None), BLOBS, "Manifest.mbdb");
    let mut rows = vec![plain, old];
    // By `tests/images/README.md` (volumes of seven extents of 64 KiB, of two, of none) and whoever made `tests/samples`.
    for (name, files, bytes) in [("lvm2.img.gz", 2, 9 * 65_536), ("super.img.gz", 2, 7 * 65_536)] {
        rows.push(Row::file(name, package.join("images").join(name), By::Known(files, bytes)));
    }
    for name in ["msgstore.db.crypt12", "msgstore.db.crypt14", "msgstore.db.crypt15"] {
        rows.push(Row::file(name, package.join("samples/whatsapp").join(name), By::Known(1, 8192)));
    }
    let report = folder.join("report.ufdr");
    let script = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1],'w')\n\
        z.writestr('report.xml','<?xml version=\"1.0\"?><project xmlns=\"http://pa.cellebrite.com/report/2.0\"><taggedFiles>'\n\
        '<file path=\"/data/a\" size=\"5\" deleted=\"Intact\"><metadata section=\"File\"><item name=\"Local Path\">files\\\\Text\\\\a</item></metadata></file>'\n\
        '</taggedFiles></project>')\nz.writestr('files/Text/a','hello')\nz.writestr('files/Text/b','other')";
    if output(Command::new("python3").args(["-c", script]).arg(&report)).is_some() {
        rows.push(Row::file("UFDR", report, ZIP));
    }
    rows
}

/// Samples of the corpus beside the repository.
fn corpus() -> Vec<Row> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let Ok(manifest) = fs::read_to_string(corpus.join("MANIFEST.tsv")) else { return Vec::new() };
    let mut rows = Vec::new();
    for path in manifest.lines().skip(1).filter_map(|line| line.split('\t').next()) {
        let by = match path.rsplit('.').next().unwrap_or_default() {
            "ab" => ANDROID,
            "7z" => By::SevenZip,
            "rar" => By::Unread,
            "zip" if !path.starts_with("hostile/") && !path.starts_with("images/") => ZIP,
            "tar" | "tgz" if !path.starts_with("hostile/") => TAR,
            _ => continue,
        };
        rows.push(Row::file(path, corpus.join(path), by));
    }
    let backup = corpus.join("ios/mvt-ios_backup");
    rows.push(Row { name: "ios/mvt-ios_backup".to_owned(), path: backup, by: MANIFEST, root: "Manifest.db".to_owned() });
    rows
}

#[test]
fn every_container_beside_the_images_against_what_others_count() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wrong, mut compared, mut unread) = (Vec::new(), 0, 0);
    eprintln!(
        "{:<72} {:<16} {:<8} {:>6} {:>12} {:>6} {:>12}",
        "container", "read as", "status", "files", "bytes", "theirs", "bytes"
    );
    for Row { name, path, by, root } in own(folder.path()).into_iter().chain(corpus()) {
        let mut world = World::new();
        let keys = ["key", "encrypted_backup.key"].map(|key| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/whatsapp").join(key);
            ingest::words_of_file(key.as_bytes(), &fs::read(path).unwrap())
        });
        world.passwords = keys.concat();
        let told = world.take(&path);
        let item = told.items.iter().find(|item| item.path == root).unwrap_or_else(|| panic!("{name}: no {root}"));
        // A disk in a stream is a container in it.
        let disk = told.items.iter().find(|inner| inner.parent == Some(item.id) && item.definition.as_deref() == Some("gzip"));
        let (ours, theirs) = (ours(&told, disk.map_or(&root, |disk| &disk.path)), counted(&path, by));
        let shown =
            theirs.map_or(("-".to_owned(), "-".to_owned()), |theirs| (theirs.files.to_string(), theirs.bytes.to_string()));
        let definition = item.definition.as_deref().unwrap_or("-");
        eprintln!(
            "{name:<72} {definition:<16} {:<8} {:>6} {:>12} {:>6} {:>12}",
            item.status.name(),
            ours.files,
            ours.bytes,
            shown.0,
            shown.1
        );
        let problems: Vec<_> = told.problems().map(|problem| format!("{} {}", problem.code.name(), problem.detail)).collect();
        problems.iter().take(3).for_each(|problem| eprintln!("    {problem}"));
        if matches!(by, By::Unread) {
            assert_eq!((item.status, ours.files), (ItemStatus::Locked, 0), "{name} is named as unread: {problems:?}");
            unread += 1;
        }
        let Some(theirs) = theirs else { continue };
        compared += 1;
        let explained = OTHERWISE.iter().any(|(known, _)| *known == name) || !problems.is_empty();
        if ours != theirs && !explained {
            wrong.push(format!("{name}: {ours:?}, theirs {theirs:?}"));
        }
    }
    eprintln!("{compared} compared, {unread} named as unread");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 5);
}
