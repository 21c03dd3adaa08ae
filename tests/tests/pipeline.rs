//! `haul` as a technician types it, on the real samples that the repository carries.

#![allow(clippy::unwrap_used)]

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::command::{binary, expect_code, haul_run, sha256};

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, evidence: &Path, out: &str, code: i32) -> PathBuf {
        expect_code(&mut haul_run(evidence, &self.path(out), &self.path("key")), code);
        self.path(out).join("1.sqlite")
    }
}

fn samples() -> PathBuf {
    tests::root().join("tests/samples/phone")
}

fn count(bundle: &Path, sql: &str) -> i64 {
    let connection: Connection = export::open_read_only(bundle).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn ids(bundle: &Path, sql: &str) -> Vec<String> {
    let connection = export::open_read_only(bundle).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.collect::<Result<_, _>>().unwrap()
}

fn haul(arguments: &[&str], code: i32) -> String {
    let output = expect_code(Command::new(binary("haul")).args(arguments), code);
    String::from_utf8(output.stdout).unwrap()
}

/// Truths: the four encrypted entries that `unzip -Z` lists in aes_archive.zip, plaso's own expectations for its SMS and call samples, chat-miner's target files, counted VCARDs (see the origins in
/// tests/samples/README.md).
#[test]
fn the_samples_give_what_their_authors_say() {
    let bench = Bench::new();
    let bundle = bench.run(&samples(), "out", 0);
    assert_eq!(count(&bundle, "SELECT count(*) FROM message WHERE row_table = 'sms'"), 9);
    assert_eq!(count(&bundle, "SELECT count(*) FROM call WHERE row_table = 'calls'"), 3);
    assert_eq!(count(&bundle, "SELECT sum(duration_s) FROM call WHERE row_table = 'calls'"), 126 + 639);
    let of = |name: &str| {
        format!(
            "SELECT count(*) FROM message WHERE item_id IN (SELECT id FROM item WHERE path LIKE '%{name}') AND sender IS NOT NULL"
        )
    };
    assert_eq!(count(&bundle, &of("result.json")), 2);
    assert_eq!(count(&bundle, &of("John Doe.txt")), 6);
    assert_eq!(
        count(&bundle, "SELECT count(*) FROM contact WHERE item_id IN (SELECT id FROM item WHERE path LIKE '%gmail-list.vcf')"),
        3
    );
    assert_eq!(count(&bundle, "SELECT count(*) FROM item WHERE status = 'locked'"), 4);
    haul(&["verify", bundle.to_str().unwrap()], 0);
}

#[test]
fn a_second_run_changes_nothing() {
    let bench = Bench::new();
    let bundle = bench.run(&samples(), "out", 0);
    let first = sha256(&bundle);
    bench.run(&samples(), "out", 0);
    assert_eq!(sha256(&bundle), first);
}

#[test]
fn every_kind_of_row_can_be_explained() {
    let bench = Bench::new();
    let bundle = bench.run(&samples(), "out", 0);
    let path = bundle.to_str().unwrap();
    for table in ["message", "thread", "contact", "contact_point", "call", "sighting", "item"] {
        let some = format!("SELECT lower(hex(id)) FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT 5)");
        let some = some.replace("FROM item WHERE", "FROM item WHERE sha256 IS NOT NULL AND");
        let found = ids(&bundle, &some);
        assert!(!found.is_empty(), "{table}");
        for id in found {
            let words = haul(&["explain", path, &id], 0);
            assert!(words.contains("sha256"), "{words}");
        }
    }
    // The body of an SMS as sqlite3 prints it from the evidence itself.
    let database = samples().join("data/data/com.android.providers.telephony/databases/mmssms.db");
    let output = expect_code(Command::new("sqlite3").arg("-readonly").arg(database).arg("SELECT body FROM sms WHERE _id = 1"), 0);
    let body = String::from_utf8(output.stdout).unwrap();
    let id = &ids(&bundle, "SELECT lower(hex(id)) FROM message WHERE row_table = 'sms' AND row_id = 1")[0];
    assert!(haul(&["explain", path, id], 0).contains(body.trim()));
}

#[test]
fn wrong_words_end_with_exit_code_2() {
    let bench = Bench::new();
    let out = bench.path("out");
    let missing = bench.path("nothing-here");
    expect_code(&mut haul_run(&missing, &out, &bench.path("key")), 2);
    let inside = bench.path("evidence");
    std::fs::create_dir(&inside).unwrap();
    expect_code(&mut haul_run(&inside, &inside.join("out"), &bench.path("key")), 2);
    haul(&["run"], 2);
}

#[test]
fn an_unsigned_bundle_says_so_and_verifies() {
    let bench = Bench::new();
    let mut command = haul_run(&samples(), &bench.path("out"), &bench.path("key"));
    expect_code(command.arg("--unsigned"), 0);
    let bundle = bench.path("out").join("1.sqlite");
    assert!(!bench.path("key").exists());
    let words = haul(&["verify", bundle.to_str().unwrap()], 0);
    assert!(words.contains("unsigned"), "{words}");
}

#[test]
fn a_raid_manifest_lists_several_exhibits() {
    let bench = Bench::new();
    let manifest = bench.path("raid.toml");
    let phone = samples();
    let zip = phone.join("sdcard/Download/aes_archive.zip");
    let text = format!(
        "[[exhibit]]\npath = {:?}\nnumber = \"A/1\"\nkind = \"phone\"\n[[exhibit]]\npath = {zip:?}\nnumber = \"A-2\"\n",
        phone
    );
    std::fs::write(&manifest, text).unwrap();
    let mut command = Command::new(binary("haul"));
    command.arg("run").arg(&manifest).args(["--case", "RAID", "--out"]).arg(bench.path("out"));
    expect_code(command.env("HAUL_KEY", bench.path("key")), 0);
    let bundles: Vec<_> = std::fs::read_dir(bench.path("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(bundles.iter().filter(|path| path.extension().is_some_and(|extension| extension == "sqlite")).count(), 2);
    let status = haul(&["status", bench.path("out").to_str().unwrap()], 0);
    assert!(status.contains("A/1: sealed") && status.contains("A-2: sealed"), "{status}");
}
