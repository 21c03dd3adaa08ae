//! Phone backups: restored paths, decryption, and what must be said of what is missing or damaged.

use crate::phone::{PhoneFile, blob_name, file, itunes_backup, old_backup};
use crate::world::{Told, World, sha256};
use model::{Code, FileKind, ItemStatus};
use std::fs;
use std::path::{Path, PathBuf};

const PASSWORD: &str = "correct horse";

/// Sizes around blocks and buffers, and a database with its log.
fn files() -> Vec<PhoneFile> {
    let bytes = |count: usize| (0..count).map(|at| (at * 7 % 251) as u8).collect::<Vec<u8>>();
    let mut files = vec![
        file("HomeDomain", "Library/SMS/sms.db", b"SQLite format 3\0 and more"),
        file("HomeDomain", "Library/SMS/sms.db-wal", b"\x37\x7f\x06\x82\x00\x2d\xe2\x18 frames"),
        file(
            "AppDomain-net.whatsapp.WhatsApp",
            "Documents/note.txt",
            b"send it to bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4 now",
        ),
    ];
    for size in [0, 1, 15, 16, 17, 65_520, 65_536, 65_537, 200_000] {
        files.push(file("CameraRollDomain", &format!("Media/{size}.bin"), &bytes(size)));
    }
    files
}

fn path_of(file: &PhoneFile) -> String {
    format!("{}/{}", file.domain, file.path)
}

/// Every file is there once under its own name, with its content.
fn restored(told: &Told, prefix: &str) {
    for file in files() {
        let path = format!("{prefix}{}", path_of(&file));
        let item = told.item(&path);
        assert_eq!(told.sha256(&path), sha256(&file.content), "{path}");
        assert_eq!((item.mode, item.owner, item.size_bytes), (Some(0o100_644), Some((501, 502)), file.content.len() as u64));
        assert_eq!(item.times.modified.unwrap().seconds, 1_700_000_000);
        assert_eq!(item.times.created.unwrap().seconds, 1_600_000_000);
        assert!(told.codes(item).is_empty(), "{path}");
    }
    let link = told.item(&format!("{prefix}HomeDomain/Library/link"));
    assert_eq!((link.file_kind, link.link_target.as_deref()), (FileKind::Symlink, Some("/var/mobile/there")));
}

#[test]
fn a_plain_backup_is_read_under_the_names_of_the_phone() {
    let folder = tempfile::tempdir().unwrap();
    itunes_backup(&folder.path().join("Backup/UDID"), &files(), None);
    let told = World::new().take(folder.path());
    restored(&told, "Backup/UDID/");
    // Four lists and manifests, the files, a link; no blob is an item of its own.
    assert_eq!(told.items.len(), 4 + files().len() + 1, "{:?}", told.paths());
    let manifest = told.item("Backup/UDID/Manifest.db");
    assert_eq!((manifest.status, manifest.definition.as_deref()), (ItemStatus::Parsed, Some("itunes_backup")));
    let row = told.ledger().find(|row| row.item == manifest.id).unwrap();
    assert_eq!((row.rows_seen, row.records), (files().len() as u64 + 4, files().len() as u64 + 1));
    let sms = told.units.iter().find(|unit| unit.primary.item.path.ends_with("sms.db")).unwrap();
    assert_eq!(sms.companions.len(), 1);
    assert!(told.end.unwrap().complete);
}

#[test]
fn an_encrypted_backup_gives_with_its_password_what_the_plain_one_gives() {
    let folder = tempfile::tempdir().unwrap();
    itunes_backup(folder.path(), &files(), Some(PASSWORD));
    let mut world = World::new();
    world.passwords = vec!["wrong".to_owned(), PASSWORD.to_owned()];
    let told = world.take(folder.path());
    restored(&told, "");
    // Before anybody else reads the blobs: that changes their access times.
    world.settings.workers = 1;
    assert_eq!(world.take(folder.path()).digest(), told.digest());
    for file in files() {
        let name = blob_name(&file);
        let content = fs::read(folder.path().join(&name[..2]).join(&name)).unwrap();
        assert_eq!(told.sha256(&format!("{}/{name}", &name[..2])), sha256(&content), "the blob is an item of its own");
    }
    assert_eq!(told.problems().count(), 0);
}

#[test]
fn without_the_password_it_is_locked_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    itunes_backup(folder.path(), &files(), Some(PASSWORD));
    for (passwords, words) in [(vec![], ""), (vec!["wrong".to_owned()], "; none of those given fits")] {
        let mut world = World::new();
        world.passwords = passwords;
        let told = world.take(folder.path());
        let manifest = told.item("Manifest.db");
        assert_eq!(manifest.status, ItemStatus::Locked);
        assert_eq!(manifest.reason, Some(format!("needs the backup password{words}")));
        let problems: Vec<_> = told.problems().map(|problem| (problem.code, problem.item)).collect();
        assert_eq!(problems, [(Code::Encrypted, Some(manifest.id))]);
        assert!(told.items.iter().all(|item| item.parent.is_none()));
        assert_eq!(told.items.len(), 4 + files().len());
        assert!(!told.end.unwrap().complete);
    }
}

#[test]
fn a_backup_in_a_zip_is_restored_too() {
    let folder = tempfile::tempdir().unwrap();
    for (name, password) in [("plain", None), ("secret", Some(PASSWORD))] {
        itunes_backup(&folder.path().join(name), &files(), password);
        let archive = folder.path().join(format!("{name}.zip"));
        let zip =
            std::process::Command::new("zip").args(["-q", "-r"]).arg(&archive).arg(name).current_dir(folder.path()).status();
        assert!(zip.unwrap().success());
        let mut world = World::new();
        world.passwords = vec![PASSWORD.to_owned()];
        let told = world.take(&archive);
        restored(&told, &format!("{name}/"));
        assert_eq!(told.problems().count(), 0);
        world.passwords = Vec::new();
        let told = world.take(&archive);
        assert_eq!(told.problems().count(), usize::from(password.is_some()));
    }
}

#[test]
fn a_backup_of_before_ios_10_is_restored_too() {
    let folder = tempfile::tempdir().unwrap();
    for (name, password) in [("plain", None), ("secret", Some(PASSWORD))] {
        old_backup(&folder.path().join(name), &files(), password);
    }
    let mut world = World::new();
    world.passwords = vec![PASSWORD.to_owned()];
    let told = world.take(&folder.path().join("plain"));
    restored(&told, "");
    assert_eq!(told.problems().count(), 0);
    assert_eq!(told.items.len(), 4 + files().len() + 1, "no blob is an item of its own: {:?}", told.paths());
    assert_eq!(told.reopen(&world, &folder.path().join("plain")), told.items.len() - 1, "all but the link");
    let told = world.take(&folder.path().join("secret"));
    restored(&told, "");
    assert_eq!(told.problems().count(), 0);
    assert_eq!(told.items.len(), 4 + 2 * files().len() + 1, "a blob is an item of its own too");
    world.passwords = Vec::new();
    let told = world.take(&folder.path().join("secret"));
    assert_eq!(told.item("Manifest.mbdb").reason.as_deref(), Some("needs the backup password"));
}

#[test]
fn a_backup_in_a_tar_is_restored_too() {
    let folder = tempfile::tempdir().unwrap();
    type Make = fn(&Path, &[PhoneFile], Option<&str>);
    for (name, make, password) in [
        ("plain", itunes_backup as Make, None),
        ("secret", itunes_backup as Make, Some(PASSWORD)),
        ("old", old_backup as Make, None),
        ("oldsecret", old_backup as Make, Some(PASSWORD)),
    ] {
        make(&folder.path().join(name), &files(), password);
        for (packed, option) in [("tar", "-cf"), ("tar.gz", "-czf")] {
            let archive = folder.path().join(format!("{name}.{packed}"));
            let tar = std::process::Command::new("tar").arg(option).arg(&archive).arg(name).current_dir(folder.path()).status();
            assert!(tar.unwrap().success());
            let mut world = World::new();
            world.passwords = vec![PASSWORD.to_owned()];
            let told = world.take(&archive);
            restored(&told, &format!("{name}/"));
            assert_eq!(told.problems().count(), 0, "{name}.{packed}");
            let blobs = if password.is_some() { files().len() } else { 0 };
            let inside = told.items.iter().filter(|item| item.parent.is_some()).count();
            assert_eq!(inside, 4 + files().len() + 1 + blobs, "{name}.{packed}: {:?}", told.paths());
            assert_eq!(told.reopen(&world, &archive), told.items.len() - 1, "all but the link");
            world.passwords = Vec::new();
            assert_eq!(world.take(&archive).problems().count(), usize::from(password.is_some()));
        }
    }
}

#[test]
fn what_a_manifest_in_a_tar_names_and_is_not_there_is_a_problem_each() {
    let folder = tempfile::tempdir().unwrap();
    let (root, archive) = (folder.path().join("b"), folder.path().join("b.tar"));
    itunes_backup(&root, &files(), None);
    let blob = |at: usize| {
        let name = blob_name(&files()[at]);
        root.join(&name[..2]).join(&name)
    };
    fs::remove_file(blob(0)).unwrap();
    fs::write(blob(2), "short").unwrap();
    let tar = std::process::Command::new("tar").arg("-cf").arg(&archive).arg("b").current_dir(folder.path()).status();
    assert!(tar.unwrap().success());
    let told = World::new().take(&archive);
    let missing = told.item(&format!("b/{}", path_of(&files()[0])));
    assert_eq!(told.codes(missing), [Code::Missing]);
    let short = told.item(&format!("b/{}", path_of(&files()[2])));
    assert_eq!(told.codes(short), [Code::Truncated]);
    // Cut anywhere, every file is there, under its path or its blob's, or a problem says what is missing.
    let whole = fs::read(&archive).unwrap();
    for cut in 1..20 {
        fs::write(&archive, &whole[..whole.len() * cut / 20]).unwrap();
        assert!(World::new().take(&archive).problems().count() > 0, "{cut}");
    }
}

#[test]
fn damaged_lists_of_records_are_read_as_far_as_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let many: Vec<PhoneFile> = (0..8).map(|at| file("HomeDomain", &format!("Library/{at}"), b"content")).collect();
    for password in [None, Some(PASSWORD)] {
        let root = folder.path().join(if password.is_some() { "secret" } else { "plain" });
        old_backup(&root, &many, password);
        let whole = fs::read(root.join("Manifest.mbdb")).unwrap();
        for cut in 0..20 {
            fs::write(root.join("Manifest.mbdb"), &whole[..whole.len() * cut / 20]).unwrap();
            damaged(&root, many.len(), true);
        }
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..250 {
            let mut content = whole.clone();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = usize::try_from(random % content.len() as u64).unwrap();
            content[at] ^= 1 << (random >> 32 & 7);
            fs::write(root.join("Manifest.mbdb"), content).unwrap();
            damaged(&root, many.len(), false);
        }
    }
}

#[test]
fn what_the_manifest_names_and_is_not_there_is_a_problem_each() {
    let folder = tempfile::tempdir().unwrap();
    itunes_backup(folder.path(), &files(), None);
    let blob = |at: usize| {
        let name = blob_name(&files()[at]);
        folder.path().join(&name[..2]).join(&name)
    };
    fs::remove_file(blob(0)).unwrap();
    fs::write(blob(2), "short").unwrap();
    fs::write(folder.path().join("3d/ffffffffffffffffffffffffffffffffffffffff").parent().unwrap().with_file_name("stray"), "x")
        .unwrap();
    let told = World::new().take(folder.path());
    let missing = told.item(&path_of(&files()[0]));
    assert_eq!((missing.status, told.codes(missing)), (ItemStatus::Failed, vec![Code::Missing]));
    let short = told.item(&path_of(&files()[2]));
    assert_eq!((told.sha256(&short.path), told.codes(short)), (sha256(b"short"), vec![Code::Truncated]));
    assert_eq!(told.item("stray").status, ItemStatus::Plain);
}

/// Every way in which a backup's control files can be cut or changed; what can be restored is, what is lost is told.
#[test]
fn damaged_backups_are_read_as_far_as_they_go() {
    let folder = tempfile::tempdir().unwrap();
    for password in [None, Some(PASSWORD)] {
        let root = folder.path().join(if password.is_some() { "secret" } else { "plain" });
        let many: Vec<PhoneFile> = (0..8).map(|at| file("HomeDomain", &format!("Library/{at}"), b"content")).collect();
        itunes_backup(&root, &many, password);
        for name in ["Manifest.db", "Manifest.plist"] {
            let whole = fs::read(root.join(name)).unwrap();
            for cut in 0..20 {
                fs::write(root.join(name), &whole[..whole.len() * cut / 20]).unwrap();
                damaged(&root, many.len(), name == "Manifest.db");
            }
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            for _ in 0..125 {
                let mut content = whole.clone();
                for _ in 0..3 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let at = usize::try_from(random % content.len() as u64).unwrap();
                    content[at] ^= 1 << (random >> 32 & 7);
                }
                fs::write(root.join(name), content).unwrap();
                damaged(&root, many.len(), false);
            }
            fs::write(root.join(name), whole).unwrap();
        }
    }
}

/// Whatever is not restored is an item under its blob's name: nothing is lost. A cut manifest is told of.
fn damaged(root: &Path, files: usize, told_of: bool) {
    let mut world = World::new();
    world.passwords = vec![PASSWORD.to_owned()];
    let told = world.take(root);
    let content = sha256(b"content");
    let is_blob = |path: &str| path.len() >= 40 && path[path.len() - 40..].bytes().all(|byte| byte.is_ascii_hexdigit());
    let blobs = told.items.iter().filter(|item| item.parent.is_none() && is_blob(&item.path)).count();
    let whole =
        told.items.iter().filter(|item| item.parent.is_some() && item.sha256.is_some_and(|hash| hash.to_string() == content));
    assert!(whole.count() + blobs >= files);
    assert!(!told_of || told.problems().count() > 0);
}

/// The corpus's backup: 3,721 rows, of whose 1,089 files 10 are there (see its manifest).
#[test]
fn the_corpus_backup_is_told_to_the_last_file() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/ios/mvt-ios_backup");
    if !folder.is_dir() {
        return;
    }
    let told = World::new().take(&folder);
    let kinds = |kind: FileKind| told.items.iter().filter(|item| item.parent.is_some() && item.file_kind == kind).count();
    assert_eq!((kinds(FileKind::File), kinds(FileKind::Symlink)), (1_089, 14));
    let missing = told.problems().filter(|problem| problem.code == Code::Missing).count();
    assert_eq!(missing, 1_079);
    let row = told.ledger().find(|row| row.source == "entries").unwrap();
    assert_eq!((row.rows_seen, row.records, row.rejected), (3_721, 1_103, 2_618));
    assert_eq!(told.sha256("HomeDomain/Library/SMS/sms.db"), "2d7c6e9a504cd54ea8a389ebf27285d06d4a3043c35ec06e458c5a571eaf48d0");
    assert_eq!(
        told.sha256("AppDomainGroup-group.net.whatsapp.WhatsApp.shared/ChatStorage.sqlite"),
        "e30d9669074b3158b20f413735ea614da205ca11e66b8b0e366af1d2e17894f5"
    );
}
