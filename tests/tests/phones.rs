//! The same phone in every container gives the same records; a raid of several goes on whatever one of them does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::command::{binary, expect_code, haul_run};

#[path = "../../ingest/tests/evidence/phone.rs"]
mod phone;

const PASSWORD: &str = "correct horse";

/// Files of a phone: databases made of the fixtures, and an export.
fn files() -> Vec<phone::PhoneFile> {
    let fixtures = tests::root().join("tests/fixtures");
    let database = |case: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = Connection::open_with_flags(&path, flags).unwrap();
        connection.execute_batch(&fs::read_to_string(fixtures.join(case).join("input.sql")).unwrap()).unwrap();
        connection.close().unwrap();
        fs::read(path).unwrap()
    };
    let export = fs::read_dir(fixtures.join("telegram_export/account/input")).unwrap().next().unwrap().unwrap().path();
    vec![
        phone::file("AppDomain-com.whatsapp", "Documents/msgstore.db", &database("whatsapp_android/groups_and_lids")),
        phone::file("AppDomain-com.whatsapp", "Documents/wa.db", &database("whatsapp_android_contacts/names")),
        phone::file("HomeDomain", "Library/calllog.db", &database("calls_android/outcomes")),
        phone::file("HomeDomain", "Library/result.json", &fs::read(export).unwrap()),
    ]
}

/// The same phone in every container that can be made here, by name.
fn containers(root: &Path) -> Vec<(&'static str, PathBuf)> {
    let files = files();
    let folder = root.join("folder");
    for file in &files {
        let path = folder.join(file.domain).join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &file.content).unwrap();
    }
    phone::itunes_backup(&root.join("backup"), &files, None);
    phone::itunes_backup(&root.join("secret"), &files, Some(PASSWORD));
    phone::old_backup(&root.join("old"), &files, None);
    phone::old_backup(&root.join("oldsecret"), &files, Some(PASSWORD));
    fs::write(root.join("plain.ab"), phone::android_backup(&files, true, None)).unwrap();
    fs::write(root.join("secret.ab"), phone::android_backup(&files, true, Some(PASSWORD))).unwrap();
    let pack = |program: &str, arguments: &[&str], from: &str| {
        let mut command = Command::new(program);
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        assert!(command.args(arguments).current_dir(root.join(from)).status().unwrap().success(), "{program}");
    };
    pack("tar", &["cf", "../phone.tar", "."], "folder");
    pack("tar", &["czf", "../phone.tar.gz", "."], "folder");
    pack("zip", &["-q", "-r", "../phone.zip", "."], "folder");
    pack("zip", &["-q", "-r", "../backup.zip", "."], "secret");
    pack("tar", &["czf", "../backup.tar.gz", "."], "secret");
    pack("tar", &["cf", "../old.tar", "."], "old");
    cellebrite_report(&root.join("ufdr"), &files);
    pack("zip", &["-q", "-r", "../phone.ufdr", "."], "ufdr");
    pack("mke2fs", &["-q", "-t", "ext4", "-d", "folder", "-F", "ext4.raw", "8M"], ".");
    pack("ewfacquire", &["-u", "-q", "-t", "phone", "ext4.raw"], ".");
    let names = ["folder", "backup", "secret", "plain.ab", "secret.ab", "phone.tar", "phone.tar.gz", "phone.zip", "phone.E01"];
    let names =
        names.into_iter().chain(["ext4.raw", "backup.zip", "backup.tar.gz", "old", "oldsecret", "old.tar", "phone.ufdr", "ufdr"]);
    names.map(|name| (name, root.join(name))).collect()
}

/// What becomes a UFDR: files by what they are, and a report that says where each lay on the phone.
fn cellebrite_report(folder: &Path, files: &[phone::PhoneFile]) {
    let mut report =
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<project xmlns=\"http://pa.cellebrite.com/report/2.0\">".to_owned();
    report.push_str("<taggedFiles>\n");
    for (number, file) in files.iter().enumerate() {
        let (kind, local) = (["Database", "Text"][number % 2], format!("{number}.bin"));
        fs::create_dir_all(folder.join("files").join(kind)).unwrap();
        fs::write(folder.join("files").join(kind).join(&local), &file.content).unwrap();
        let (domain, path, size) = (file.domain, &file.path, file.content.len());
        report.push_str(&format!("<file fs=\"Phone\" path=\"/{domain}/{path}\" size=\"{size}\" deleted=\"Intact\">"));
        report.push_str("<metadata section=\"File\"><item name=\"Local Path\">");
        report.push_str(&format!("<![CDATA[files\\{kind}\\{local}]]></item></metadata></file>\n"));
    }
    report.push_str("</taggedFiles></project>\n");
    fs::write(folder.join("report.xml"), report).unwrap();
}

/// The rows of every record table without what names items and their places in containers.
fn records(bundle: &Path) -> Vec<String> {
    let connection = export::open_read_only(bundle).unwrap();
    let tables = [
        ("account", "app, account_key, display_name, is_owner, phone, about, state, row_table, row_id"),
        ("attachment", "path, media_type, sha256, size_bytes, name, state, row_table, row_id"),
        ("call", "app, remote, remote_phone, outgoing, start_time, duration_s, outcome, state, row_table, row_id"),
        ("contact", "app, display_name, note, state, row_table, row_id"),
        ("contact_point", "kind, value, raw, label, state, row_table, row_id"),
        ("message", "app, sender, outgoing, sent_time, sent_time_raw, text, message_type, state, row_table, row_id, byte_offset"),
        ("participant", "app, thread_key, account_key, role, state, row_table, row_id"),
        ("thread", "app, thread_key, name, state, row_table, row_id"),
    ];
    let mut rows = Vec::new();
    for (table, columns) in tables {
        let mut statement = connection.prepare(&format!("SELECT {columns} FROM {table}")).unwrap();
        let count = statement.column_count();
        let read = statement.query_map([], |row| (0..count).map(|at| row.get::<_, Value>(at)).collect::<Result<Vec<_>, _>>());
        rows.extend(read.unwrap().map(|row| format!("{table} {:?}", row.unwrap())));
    }
    rows.sort();
    rows
}

fn haul(arguments: &[&str], code: i32) -> String {
    let output = expect_code(Command::new(binary("haul")).args(arguments), code);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_same_phone_gives_the_same_records_in_every_container() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut expected = None;
    for (name, evidence) in containers(folder.path()) {
        let out = path(&format!("out-{name}"));
        let mut run = haul_run(&evidence, &out, &path("key"));
        expect_code(run.args(["--password", PASSWORD]), 0);
        let bundle = out.join("1.sqlite");
        let found = records(&bundle);
        assert!(found.len() > 30, "{name}");
        let expected = expected.get_or_insert_with(|| found.clone());
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected.iter()) {
            assert_eq!(found, expected, "{name}");
        }
        haul(&["verify", bundle.to_str().unwrap()], 0);
        // Back through the container, decrypted where it is encrypted.
        let connection = export::open_read_only(&bundle).unwrap();
        let sql = "SELECT lower(hex(id)) FROM message WHERE row_table = 'message' ORDER BY id LIMIT 1";
        let id: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        let words = haul(&["explain", bundle.to_str().unwrap(), &id, "--password", PASSWORD], 0);
        assert!(words.contains("table message row") && words.contains("text_data = "), "{name}: {words}");
    }
}

#[test]
fn a_wrong_password_gives_an_error_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("secret");
    phone::itunes_backup(&root, &files(), Some(PASSWORD));
    let out = folder.path().join("out");
    let mut run = haul_run(&root, &out, &folder.path().join("key"));
    let output = expect_code(run.args(["--password", "wrong"]), 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("encrypted 1"));
    let connection = export::open_read_only(&out.join("1.sqlite")).unwrap();
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM message"), 0);
    assert_eq!(count("SELECT count(*) FROM item WHERE parent_id IS NOT NULL"), 0);
    let reason: String = connection.query_row("SELECT reason FROM item WHERE status = 'locked'", [], |row| row.get(0)).unwrap();
    assert_eq!(reason, "needs the backup password; none of those given fits");
    assert_eq!(count("SELECT count(*) FROM device WHERE kind = 'imei' AND raw = '353257100000006'"), 1);
}

#[test]
fn a_raid_is_proposed_run_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let (raid, out, list) = (folder.path().join("raid"), folder.path().join("out"), folder.path().join("raid.toml"));
    phone::itunes_backup(&raid.join("A1"), &files(), None);
    fs::write(raid.join("A2.ab"), phone::android_backup(&files(), true, None)).unwrap();
    fs::write(raid.join("copy of A2.ab"), phone::android_backup(&files(), true, None)).unwrap();
    let words = haul(&["inventory", raid.to_str().unwrap(), "-o", list.to_str().unwrap()], 0);
    assert!(words.starts_with("2 exhibits, 1 duplicates"), "{words}");
    let mut text = fs::read_to_string(&list).unwrap();
    text.push_str("\n[[exhibit]]\nnumber = \"A0\"\npath = \"not/there\"\n");
    fs::write(&list, text).unwrap();
    let run = |code: i32| {
        let mut command = Command::new(binary("haul"));
        command.arg("run").arg(&list).args(["--case", "TEST"]).arg("--out").arg(&out);
        expect_code(command.env("HAUL_KEY", folder.path().join("key")), code)
    };
    let output = run(75);
    assert!(String::from_utf8_lossy(&output.stderr).contains("A0: failed"));
    assert_eq!(records(&out.join("A1.sqlite")), records(&out.join("A2.sqlite")));
    let words = haul(&["status", out.to_str().unwrap()], 0);
    assert!(words.contains("raid of 3: 2 sealed, 0 in work, 1 failed, 0 waiting"), "{words}");
    fs::create_dir_all(folder.path().join("not/there")).unwrap();
    fs::write(folder.path().join("not/there/note.txt"), "found after all").unwrap();
    run(0);
    let words = haul(&["status", out.to_str().unwrap()], 0);
    assert!(words.contains("raid of 3: 3 sealed, 0 in work, 0 failed, 0 waiting"), "{words}");
}
