//! What apps encrypt as a whole: opened with the key that fits, whole, cut, flipped, and locked without.
//!
//! Samples were made by SQLCipher 4.12 and by wa-crypt-tools, of invented rows; whoever made them says what they hold.

use crate::pack::{Member, zip};
use crate::world::{Told, World};
use model::{Code, ItemStatus};
use std::fs;
use std::path::{Path, PathBuf};

const PHRASE: &str = "correct horse";
const RAW: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const RAW_AND_SALT: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// SHA-256 of the database in every backup, before it was encrypted.
const PLAIN: &str = "aa59ce802795f9edf6ce482bf0d8d1ddc1e019b951c0667678e519032f2b360b";

/// Every database, the key that opens it, and the rows that SQLCipher counted.
const DATABASES: [(&str, &str, i64); 9] = [
    ("v1.db", PHRASE, 40),
    ("v2.db", PHRASE, 40),
    ("v3.db", PHRASE, 40),
    ("v4.db", PHRASE, 40),
    ("log.db", PHRASE, 41),
    ("raw.db", RAW, 41),
    ("signal.sqlite", RAW_AND_SALT, 41),
    ("signal.db", RAW, 40),
    ("EnMicroMsg.db", "1234567890ABCDEF+-1500000001", 41),
];

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(name)
}

fn world(keys: &[&str]) -> World {
    let mut world = World::new();
    world.passwords = keys.iter().map(|key| (*key).to_owned()).collect();
    world
}

/// A folder with a database and its log.
fn database(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["", "-wal"] {
        let from = sample(&format!("sqlcipher/{name}{ending}"));
        if from.exists() {
            fs::copy(from, folder.path().join(format!("{name}{ending}"))).unwrap();
        }
    }
    folder
}

/// What ingest staged of a database and its log, in SQLite's hands.
#[allow(clippy::disallowed_methods, reason = "a database of ours, in a folder of its own")]
fn opened(told: &Told, world: &World, path: &str) -> (rusqlite::Connection, tempfile::TempDir) {
    let unit = told.units.iter().find(|unit| unit.primary.item.path == path).unwrap_or_else(|| panic!("{path} is not staged"));
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("main");
    world.stage().fetch(unit.primary.content, &to).unwrap();
    for log in &unit.companions {
        world.stage().fetch(log.content, &folder.path().join("main-wal")).unwrap();
    }
    (rusqlite::Connection::open(to).unwrap(), folder)
}

#[test]
fn databases_of_every_version_open_with_their_key_and_hold_what_sqlcipher_wrote() {
    for (name, key, rows) in DATABASES {
        let (folder, world) = (database(name), world(&["wrong", key]));
        let told = world.take(folder.path());
        assert_eq!(told.outcome(name), (ItemStatus::Parsed, Vec::new()), "{name}");
        assert_eq!(told.item(name).definition.as_deref(), Some("sqlcipher"));
        assert_eq!(told.problems().count(), 0, "{name}: {:?}", told.problems().collect::<Vec<_>>());
        let (connection, _kept) = opened(&told, &world, &format!("{name}/{name}"));
        let count: i64 = connection.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap();
        let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!((count, check.as_str()), (rows, "ok"), "{name}");
        let third: String = connection.query_row("SELECT body FROM message WHERE id = 3", [], |row| row.get(0)).unwrap();
        let expected = if rows == 41 { "changed in the log" } else { "invented message 3 " };
        assert!(third.starts_with(expected), "{name}: {third}");
        if rows == 41 {
            assert_eq!(told.outcome(&format!("{name}-wal")), (ItemStatus::Parsed, Vec::new()));
        }
        told.reopen(&world, folder.path());
        assert_eq!(world.take(folder.path()).digest(), told.digest(), "{name} twice");
    }
}

#[test]
fn without_the_right_key_a_database_is_locked_and_nothing_else() {
    for (name, _, _) in DATABASES {
        let folder = database(name);
        for keys in [&[][..], &["wrong", "11112222333344445555666677778888aaaabbbbccccddddeeeeffff00001111"]] {
            let told = world(keys).take(folder.path());
            assert_eq!(told.outcome(name), (ItemStatus::Locked, vec![Code::Encrypted]), "{name}");
            assert!(told.item(name).reason.as_deref().unwrap().starts_with("needs "), "{name}");
            assert!(told.items.iter().all(|item| item.parent.is_none() && item.sha256.is_some()));
            assert!(told.units.is_empty(), "{name}: noise is no database");
        }
    }
}

#[test]
fn a_flipped_byte_costs_its_page_and_is_told() {
    for (name, key, _) in DATABASES.into_iter().filter(|(name, ..)| ["raw.db", "signal.sqlite", "signal.db"].contains(name)) {
        let good = {
            let (folder, world) = (database(name), world(&[key]));
            let told = world.take(folder.path());
            let unit = told.units.iter().find(|unit| unit.primary.item.path == format!("{name}/{name}")).unwrap();
            world.stage().read(unit.primary.content).unwrap().to_vec()
        };
        for at in (0..good.len()).step_by(509) {
            let (folder, world) = (database(name), world(&[key]));
            let path = folder.path().join(name);
            let mut content = fs::read(&path).unwrap();
            content[at] ^= 0x20;
            fs::write(&path, content).unwrap();
            let told = world.take(folder.path());
            let page = 4096;
            // Not under the check: a header in clear, and what fills the last block behind an HMAC of SHA-1.
            if name == "signal.sqlite" && at < 32 || name == "signal.db" && at % page >= 4084 {
                continue;
            }
            if at < page {
                assert_eq!(told.outcome(name), (ItemStatus::Locked, vec![Code::Encrypted]), "{name} {at}");
                continue;
            }
            assert_eq!(told.outcome(name), (ItemStatus::Partial, vec![Code::ChecksumMismatch]), "{name} {at}");
            let unit = told.units.iter().find(|unit| unit.primary.item.path == format!("{name}/{name}")).unwrap();
            let found = world.stage().read(unit.primary.content).unwrap();
            for (number, (before, after)) in good.chunks(page).zip(found.chunks(page)).enumerate() {
                let blank = number == at / page;
                assert!(if blank { after.iter().all(|byte| *byte == 0) } else { before == after }, "{name} {at} page {number}");
            }
        }
    }
}

#[test]
fn a_cut_database_gives_its_whole_pages() {
    for (name, key, _) in DATABASES.into_iter().filter(|(_, key, _)| *key != PHRASE) {
        let whole = fs::read(sample(&format!("sqlcipher/{name}"))).unwrap();
        for cut in (0..whole.len()).step_by(1021) {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), &whole[..cut]).unwrap();
            let told = world(&[key]).take(folder.path());
            let (status, codes) = told.outcome(name);
            match status {
                ItemStatus::Partial => assert!(codes.contains(&Code::Truncated), "{name} {cut}: {codes:?}"),
                ItemStatus::Locked => assert_eq!(codes, [Code::Encrypted], "{name} {cut}"),
                // Too short to be taken for a database.
                _ => assert!(cut < 1024 || name == "signal.sqlite" && cut < 4096, "{name} {cut}: {status:?}"),
            }
        }
    }
}

const BACKUPS: [&str; 3] = ["msgstore.db.crypt12", "msgstore.db.crypt14", "msgstore.db.crypt15"];

fn key_words() -> Vec<String> {
    let words = |name: &str| ingest::words_of_file(name.as_bytes(), &fs::read(sample(&format!("whatsapp/{name}"))).unwrap());
    [words("key"), words("encrypted_backup.key")].concat()
}

#[test]
fn backups_of_whatsapp_open_with_their_key_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    for name in BACKUPS.into_iter().chain(["wallpapers.backup.crypt15"]) {
        fs::copy(sample(&format!("whatsapp/{name}")), folder.path().join(name)).unwrap();
    }
    let mut with_keys = World::new();
    with_keys.passwords = key_words();
    let told = with_keys.take(folder.path());
    assert_eq!(told.problems().count(), 0);
    for name in BACKUPS {
        assert_eq!(told.sha256(&format!("{name}/msgstore.db")), PLAIN, "{name}");
    }
    assert_eq!(told.item("wallpapers.backup.crypt15/wallpapers.backup/wall/a.txt").size_bytes, 19);
    told.reopen(&with_keys, folder.path());
    // The digits that a user wrote down open the newest.
    let told = world(&[&"6b".repeat(32)]).take(folder.path());
    assert_eq!(told.sha256("msgstore.db.crypt15/msgstore.db"), PLAIN);
    for name in ["msgstore.db.crypt12", "msgstore.db.crypt14"] {
        assert_eq!(told.outcome(name), (ItemStatus::Locked, vec![Code::Encrypted]));
    }
    let told = world(&["wrong", &"00".repeat(32)]).take(folder.path());
    assert!(told.items.iter().all(|item| item.status == ItemStatus::Locked && told.codes(item) == [Code::Encrypted]));
}

#[test]
fn a_key_beside_the_backup_opens_it_wherever_both_lie() {
    let keys = ["key", "encrypted_backup.key"].map(|name| (format!("data/{name}"), sample(&format!("whatsapp/{name}"))));
    // In a tar the backups come before their keys.
    let files: Vec<(String, PathBuf)> =
        BACKUPS.map(|name| (name.to_owned(), sample(&format!("whatsapp/{name}")))).into_iter().chain(keys).collect();
    let folder = tempfile::tempdir().unwrap();
    let (mut members, mut tar) = (Vec::new(), tar::Builder::new(Vec::new()));
    for (path, from) in &files {
        let (to, content) = (folder.path().join("tree").join(path), fs::read(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, &content).unwrap();
        members.push(Member::stored(path.as_bytes(), &content));
        tar.append_path_with_name(from, path).unwrap();
    }
    fs::write(folder.path().join("a.zip"), zip(&members)).unwrap();
    fs::write(folder.path().join("a.tar"), tar.into_inner().unwrap()).unwrap();
    for name in ["tree", "a.zip", "a.tar"] {
        let (world, evidence) = (World::new(), folder.path().join(name));
        let told = world.take(&evidence);
        for backup in BACKUPS {
            assert_eq!(told.sha256(&format!("{backup}/msgstore.db")), PLAIN, "{name} {backup}");
        }
        told.reopen(&world, &evidence);
        assert_eq!(world.take(&evidence).digest(), told.digest(), "{name} twice");
    }
}

#[test]
fn the_uin_of_wechat_in_the_exhibit_opens_its_database_with_its_log_out_of_a_zip_too() {
    let prefs = br#"<map><int name="default_uin" value="-1500000001" /></map>"#;
    let folder = tempfile::tempdir().unwrap();
    let mut members = Vec::new();
    for ending in ["", "-wal"] {
        let content = fs::read(sample(&format!("sqlcipher/EnMicroMsg.db{ending}"))).unwrap();
        members.push(Member::stored(format!("com.tencent.mm/MicroMsg/ab/EnMicroMsg.db{ending}").as_bytes(), &content));
    }
    members.push(Member::stored(b"com.tencent.mm/shared_prefs/system_config_prefs.xml", prefs));
    let (world, path) = (World::new(), folder.path().join("a.zip"));
    fs::write(&path, zip(&members)).unwrap();
    let told = world.take(&path);
    let (connection, _kept) = opened(&told, &world, "com.tencent.mm/MicroMsg/ab/EnMicroMsg.db/EnMicroMsg.db");
    let count: i64 = connection.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 41);
    told.reopen(&world, &path);
}

#[test]
fn a_damaged_backup_is_never_told_as_whole() {
    for name in BACKUPS {
        let whole = fs::read(sample(&format!("whatsapp/{name}"))).unwrap();
        let mut variants: Vec<(String, Vec<u8>)> =
            (0..whole.len()).step_by(7).map(|cut| (format!("cut {cut}"), whole[..cut].to_vec())).collect();
        variants.extend((0..whole.len()).step_by(3).map(|at| {
            let mut content = whole.clone();
            content[at] ^= 0x10;
            (format!("flipped {at}"), content)
        }));
        for (variant, content) in variants {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), content).unwrap();
            let mut with_keys = World::new();
            with_keys.passwords = key_words();
            let told = with_keys.take(folder.path());
            let (status, codes) = told.outcome(name);
            if status == ItemStatus::Parsed {
                // The header's own words are not under the tag, only under the checksum; without that the tag alone vouches.
                assert_eq!(told.sha256(&format!("{name}/msgstore.db")), PLAIN, "{name} {variant}");
            } else {
                assert!(!codes.is_empty() || content_is_empty(&told, name), "{name} {variant}: {status:?}");
            }
        }
    }
}

fn content_is_empty(told: &Told, name: &str) -> bool {
    told.item(name).size_bytes == 0
}
