//! Android backups: plain, compressed, encrypted, damaged.

use crate::phone::{PhoneFile, android_backup, file};
use crate::world::{Told, World, sha256};
use model::{Code, ItemStatus};
use std::fs;
use std::path::Path;

const PASSWORD: &str = "пароль 1";

fn files() -> Vec<PhoneFile> {
    vec![
        file("apps/com.whatsapp", "_manifest", b"1\ncom.whatsapp\n"),
        file("apps/com.whatsapp", "db/msgstore.db", b"SQLite format 3\0 and more"),
        file("apps/com.whatsapp", "f/key", &[7; 70_000]),
        file("shared/0", "Download/note.txt", b"text"),
    ]
}

fn taken(content: &[u8], passwords: &[&str]) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup.ab");
    fs::write(&path, content).unwrap();
    let mut world = World::new();
    world.passwords = passwords.iter().map(|password| (*password).to_owned()).collect();
    world.take(&path)
}

#[test]
fn every_form_gives_the_same_files() {
    for (compressed, password) in [(false, None), (true, None), (false, Some(PASSWORD)), (true, Some(PASSWORD))] {
        let told = taken(&android_backup(&files(), compressed, password), &["other", PASSWORD]);
        assert_eq!(told.item("backup.ab").definition.as_deref(), Some("android_backup"));
        assert_eq!(told.items.len(), 1 + files().len());
        for file in files() {
            let path = format!("{}/{}", file.domain, file.path);
            assert_eq!(told.sha256(&path), sha256(&file.content), "{path}");
        }
        assert_eq!(told.problems().count(), 0);
    }
}

#[test]
fn without_the_password_it_is_locked_and_nothing_else() {
    let content = android_backup(&files(), true, Some(PASSWORD));
    for (passwords, reason) in
        [(&[][..], "needs the backup password"), (&["x", "y"][..], "needs the backup password; none of those given fits")]
    {
        let told = taken(&content, passwords);
        assert_eq!(told.items.len(), 1);
        assert_eq!((told.items[0].status, told.items[0].reason.as_deref()), (ItemStatus::Locked, Some(reason)));
        assert_eq!(told.problems().map(|problem| problem.code).collect::<Vec<_>>(), [Code::Encrypted]);
        assert!(!told.end.unwrap().complete);
    }
}

#[test]
fn damaged_ones_are_read_as_far_as_they_go() {
    for (compressed, password) in [(false, None), (true, None), (true, Some(PASSWORD))] {
        let whole = android_backup(&files(), compressed, password);
        for cut in 0..20 {
            let told = taken(&whole[..whole.len() * cut / 20], &[PASSWORD]);
            assert!(cut == 0 || told.problems().count() > 0, "{compressed} {cut}");
        }
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..170 {
            let mut content = whole.clone();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = usize::try_from(random % content.len() as u64).unwrap();
            content[at] ^= 1 << (random >> 40 & 7);
            taken(&content, &[PASSWORD]);
        }
    }
}

/// Entries and their digests as Python's zlib and tarfile read them.
#[test]
fn the_corpus_backups_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/android/mvt");
    if !folder.is_dir() {
        return;
    }
    let sms = "apps/com.android.providers.telephony/d_f/000000_sms_backup";
    for (name, entries, messages) in [("backup.ab", 2, 2), ("backup3.ab", 2, 1)] {
        let told = World::new().take(&folder.join(name));
        // Messages are packed once more with zlib: each such file has one of its own inside.
        let (packed, stored): (Vec<_>, Vec<_>) =
            told.items.iter().filter(|item| item.parent.is_some()).partition(|item| item.path.ends_with("_backup/data"));
        assert_eq!((stored.len(), packed.len()), (entries, messages), "{:?}", told.paths());
        assert_eq!(told.sha256(sms), "67f17b86ff5787169b799cd50283b65ffc06f8b6b0b1fc1b55e210a6e9dd247d");
        assert_eq!(told.problems().count(), 0);
    }
}
