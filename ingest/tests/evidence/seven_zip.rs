//! 7z archives: what 7-Zip packs comes out again, by every method, with every password, and as far as damage lets it.

use crate::world::{Told, World, sha256};
use model::{Code, FileKind, ItemStatus};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files by path: text that packs well, noise that does not, code for the branch filters, nothing.
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut state = 7u32;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    };
    let text = "the quick brown fox jumps over the lazy dog. ".repeat(3000).into_bytes();
    let code = fs::read("/bin/true").unwrap_or_else(|_| noise(30_000));
    let files = [("a/text.txt", text), ("a/noise.bin", noise(70_000)), ("b/program", code), ("b/empty", Vec::new())];
    files.into_iter().chain([("ភាសា.txt", b"khmer".to_vec())]).map(|(path, content)| (path.to_owned(), content)).collect()
}

fn lay_out(folder: &Path) {
    for (path, content) in files() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Packs `files` below a folder; false where there is no 7-Zip.
fn pack(root: &Path, name: &str, options: &[&str]) -> Option<PathBuf> {
    let path = root.join(name);
    let mut command = Command::new("7z");
    command.arg("a").args(options).args(["-bd", "-y"]).arg(&path).arg(".").current_dir(root.join("files"));
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
            Some(path)
        }
        Err(error) => {
            eprintln!("no 7z: {error}");
            None
        }
    }
}

fn world(password: Option<&str>) -> World {
    World { passwords: password.map(str::to_owned).into_iter().collect(), ..World::new() }
}

fn assert_whole(told: &Told, name: &str) {
    let problems: Vec<_> = told.problems().collect();
    assert!(problems.is_empty(), "{name}: {problems:?}");
    for (path, content) in files() {
        assert_eq!(told.sha256(&path), sha256(&content), "{name}: {path}");
    }
    assert_eq!(told.item(name).definition.as_deref(), Some("7z"));
}

#[test]
fn every_method_gives_the_files_back() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(&folder.path().join("files"));
    let options: &[&[&str]] = &[
        &["-m0=LZMA"],
        &["-m0=LZMA2", "-ms=off"],
        &["-m0=PPMd"],
        &["-m0=BZip2"],
        &["-m0=Copy"],
        &["-m0=Deflate"],
        &["-m0=BCJ2", "-m1=LZMA:d23", "-m2=LZMA:d19", "-m3=LZMA:d19", "-mb0:1", "-mb0s1:2", "-mb0s2:3"],
        &["-m0=Delta:4", "-m1=LZMA2"],
        &["-mx=9", "-mhc=off"],
    ];
    for (number, options) in options.iter().enumerate() {
        let name = format!("{number}.7z");
        let Some(path) = pack(folder.path(), &name, options) else { return };
        let world = World::new();
        let told = world.take(&path);
        assert_whole(&told, &name);
        assert_eq!(told.reopen(&world, &path), told.items.len());
        let written = fs::metadata(folder.path().join("files/a/text.txt")).unwrap().modified().unwrap();
        let seconds = written.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(told.item("a/text.txt").times.modified.unwrap().seconds as u64, seconds);
        assert_eq!(told.end.unwrap().directories, 2 + u64::from(told.bodies.values().any(dot)));
    }
}

/// Deflate64: read in zips, where Windows uses it; in a 7z every file of it is told as not read, and the others are.
#[test]
fn deflate64_is_read_in_zips_and_told_in_7z() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(&folder.path().join("files"));
    let Some(path) = pack(folder.path(), "windows.zip", &["-tzip", "-mm=Deflate64"]) else { return };
    let world = World::new();
    let told = world.take(&path);
    assert_eq!(told.problems().count(), 0, "{:?}", told.problems().collect::<Vec<_>>());
    for (path, content) in files() {
        assert_eq!(told.sha256(&path), sha256(&content), "{path}");
    }
    told.reopen(&world, &path);
    let path = pack(folder.path(), "a.7z", &["-m0=Deflate64"]).unwrap();
    let told = World::new().take(&path);
    for (path, content) in files() {
        let (status, codes) = told.outcome(&path);
        let expected =
            if content.is_empty() { (ItemStatus::Plain, vec![]) } else { (ItemStatus::Failed, vec![Code::Unsupported]) };
        assert_eq!((status, codes), expected, "{path}");
    }
}

/// Brotli, which 7-Zip itself does not pack: an archive by py7zr.
#[test]
fn brotli_is_unpacked() {
    const PACKED: &str = "377abcaf271c0004ac5b1e3888000000000000001400000000000000aaf64dd78b8303888c946ee622d083a5ba905e13148d807c430b830d387048\
        206f24bf41a715ce66c7e34485a560239c4aab3f4c0a6c000100500104060001093300070b0100012404f711020301000b0c870800080a01a4bb76fd0000050119010011\
        110066006f0078002e007400780074000000140a010080ace10d2281dd01150601002080808100000017063301095500070b010001212101180c510000";
    let hex: Vec<u8> = PACKED.bytes().filter(u8::is_ascii_hexdigit).collect();
    let bytes: Vec<u8> = hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.7z"), bytes).unwrap();
    let told = World::new().take(&folder.path().join("b.7z"));
    assert_eq!(told.sha256("fox.txt"), sha256("the quick brown fox jumps over the lazy dog. ".repeat(40).as_bytes()));
    assert_eq!(told.problems().count(), 0);
}

/// Whether a body is the folder `.` itself.
fn dot(body: &model::Body) -> bool {
    matches!(body, model::Body::Directory(row) if row.path == ".")
}

#[test]
fn links_are_links() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(&folder.path().join("files"));
    std::os::unix::fs::symlink("a/text.txt", folder.path().join("files/link")).unwrap();
    let Some(path) = pack(folder.path(), "links.7z", &["-snl"]) else { return };
    let told = World::new().take(&path);
    let link = told.item("link");
    assert_eq!((link.file_kind, link.link_target.as_deref()), (FileKind::Symlink, Some("a/text.txt")));
}

#[test]
fn passwords_open_contents_and_names() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(&folder.path().join("files"));
    for (name, options) in [
        ("contents.7z", &["-pសុខា", "-ms=off"][..]),
        ("solid.7z", &["-pសុខា"][..]),
        ("names.7z", &["-pសុខា", "-mhe=on"][..]),
        ("copied.7z", &["-pសុខា", "-m0=Copy"][..]),
    ] {
        let Some(path) = pack(folder.path(), name, options) else { return };
        let right = world(Some("សុខា"));
        assert_whole(&right.take(&path), name);
        for wrong in [world(None), world(Some("wrong"))] {
            let told = wrong.take(&path);
            let codes: Vec<Code> = told.problems().map(|problem| problem.code).collect();
            assert!(codes.iter().all(|code| *code == Code::Encrypted) && !codes.is_empty(), "{name}: {codes:?}");
            let locked = told.items.iter().filter(|item| item.status == ItemStatus::Locked).count();
            // What has no content needs no password.
            assert_eq!(locked, if name == "names.7z" { 1 } else { files().len() - 1 }, "{name}");
        }
    }
}

/// What of a damaged archive still comes out is what was packed, or a problem stands at it; what does not come out is told.
fn check_damaged(told: &Told, what: &str) {
    let complained = told.problems().count() > 0;
    for (path, content) in files() {
        let found: Vec<_> = told.items.iter().filter(|item| item.path == path).collect();
        let whole = found.iter().any(|item| item.sha256.is_some_and(|digest| digest.to_string() == sha256(&content)));
        assert!(whole || complained, "{what}: {path} is lost without a word");
        for item in found.iter().filter(|item| item.status == ItemStatus::Plain || item.status == ItemStatus::Parsed) {
            assert_eq!(item.sha256.unwrap().to_string(), sha256(&content), "{what}: {path}");
        }
    }
}

#[test]
fn cut_and_changed_archives_lose_nothing_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(&folder.path().join("files"));
    let damaged = folder.path().join("damaged.7z");
    let mut untouched = 0;
    for (name, options) in
        [("solid.7z", &["-m0=LZMA2"][..]), ("copied.7z", &["-m0=Copy"][..]), ("apart.7z", &["-ms=off", "-m0=PPMd"])]
    {
        let Some(path) = pack(folder.path(), name, options) else { return };
        let whole = fs::read(path).unwrap();
        for cut in (0..20).map(|part| whole.len() * part / 20) {
            fs::write(&damaged, &whole[..cut]).unwrap();
            let told = World::new().take(&damaged);
            if cut > 8 {
                check_damaged(&told, &format!("{name} cut at {cut}"));
            }
        }
        let mut state = 1u64;
        for _ in 0..170 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (at, bit) = ((state >> 20) as usize % whole.len(), 1 << (state >> 60 & 7));
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            fs::write(&damaged, &bytes).unwrap();
            let told = World::new().take(&damaged);
            // Signature: the file is no archive then. The version's minor number tells nothing.
            if at >= 8 {
                check_damaged(&told, &format!("{name} with bit {bit} of byte {at} changed"));
            }
            let plain = told.items.iter().filter(|item| item.parent.is_some() && item.status == ItemStatus::Plain).count();
            untouched += usize::from(plain == files().len() - 1);
        }
    }
    assert!(
        untouched > 100,
        "only the file that holds the changed byte is lost where blocks or methods let the others be read: {untouched}"
    );
}

#[test]
fn the_archives_of_the_corpus_give_what_7_zip_gives() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let Ok(manifest) = fs::read_to_string(corpus.join("MANIFEST.tsv")) else { return };
    let mut same = 0;
    for path in manifest.lines().filter_map(|line| line.split('\t').next()).filter(|path| path.ends_with(".7z")) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("7z");
        let done = command.args(["x", "-y", "-bd", "-pnone"]).arg(corpus.join(path)).current_dir(folder.path()).output();
        let Ok(done) = done else { return };
        let told = World::new().take(&corpus.join(path));
        let problems: Vec<_> = told.problems().map(|problem| format!("{} {}", problem.code.name(), problem.detail)).collect();
        eprintln!("{path}: 7z {:?}, {} items, {problems:?}", done.status.code(), told.items.len());
        if !done.status.success() {
            continue;
        }
        for item in told.items.iter().filter(|item| item.parent.is_some() && item.file_kind == FileKind::File) {
            let theirs = fs::read(folder.path().join(&item.path)).map(|content| sha256(&content));
            let Ok(theirs) = theirs else { continue };
            assert_eq!(item.sha256.map(|digest| digest.to_string()), Some(theirs), "{path}: {} {problems:?}", item.path);
            same += 1;
        }
    }
    eprintln!("{same} files as 7-Zip gives them");
    assert!(same > 20);
}
