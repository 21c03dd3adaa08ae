//! `haul search` against what stock SQLite finds in the same bundle.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::command::{binary, expect_code, haul_run};

fn search(bundle: &Path, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new(binary("haul"));
    command.arg("search").arg(bundle).args(arguments).args(["--output", "jsonl"]);
    let output = expect_code(&mut command, 0);
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sqlite(bundle: &Path, sql: &str) -> Vec<String> {
    let output = expect_code(Command::new("sqlite3").arg("-readonly").arg(bundle).arg(sql), 0);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn ids(hits: &[Value], table: &str) -> Vec<String> {
    hits.iter().filter(|hit| hit["table"] == table).map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn words_selectors_kinds_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let samples = tests::root().join("tests/samples/phone");
    expect_code(&mut haul_run(&samples, &folder.path().join("out"), &folder.path().join("key")), 0);
    let bundle: PathBuf = folder.path().join("out/1.sqlite");

    // A word that is in the samples, whatever they are: the first word of four letters of some message.
    let words =
        "SELECT lower(substr(text, 1, 4)) FROM message WHERE text GLOB '[a-zA-Z][a-zA-Z][a-zA-Z][a-zA-Z]*' ORDER BY id LIMIT 1";
    let word = sqlite(&bundle, words).pop().unwrap();
    let expected = sqlite(
        &bundle,
        &format!(
            "SELECT lower(hex(id)) FROM message WHERE instr(lower(coalesce(text, '') || char(10) || coalesce(subject, '') || char(10) || coalesce(quoted_text, '') || char(10) || coalesce(sender, '') || char(10) || coalesce(recipient, '') || char(10) || coalesce(extra, '')), '{word}') ORDER BY id"
        ),
    );
    assert!(!expected.is_empty());
    assert_eq!(ids(&search(&bundle, &[&word.to_uppercase()]), "message"), expected);
    let only = search(&bundle, &["--for", &word, "--kind", "message"]);
    assert_eq!(ids(&only, "message").len(), only.len());

    let list = folder.path().join("watch.txt");
    std::fs::write(&list, format!("# a watch list\nno-such-selector\n{word}\n")).unwrap();
    let hits = search(&bundle, &["--selectors", list.to_str().unwrap(), "--kind", "message"]);
    assert_eq!(ids(&hits, "message"), expected);
    assert!(hits.iter().all(|hit| hit["selector"] == word.as_str()));

    let urls = search(&bundle, &["--for", "http", "--kind", "url"]);
    let counted = sqlite(&bundle, "SELECT count(*) FROM observable WHERE kind = 'url' AND instr(lower(value), 'http')");
    assert_eq!(urls.len().to_string(), counted[0]);

    let later = search(&bundle, &["--for", &word, "--kind", "message", "--since", "2100-01-01T00:00:00Z"]);
    assert!(later.is_empty());
    assert!(search(&bundle, &["--for", &word, "--exhibit", "no such"]).is_empty());
    let mut nothing = Command::new(binary("haul"));
    expect_code(nothing.arg("search").arg(&bundle), 2);
}

/// Everything that has words is searched: pages that were visited, and what a device tells of itself.
#[test]
fn visited_pages_and_devices_are_searched() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence");
    std::fs::create_dir(&evidence).unwrap();
    let fixtures = tests::root().join("tests/fixtures");
    std::fs::copy(fixtures.join("ios_device/backup/input/Info.plist"), evidence.join("Info.plist")).unwrap();
    let history = std::fs::read_dir(fixtures.join("firefox_places")).unwrap().next().unwrap().unwrap().path().join("input.sql");
    let sql = format!("SELECT 1; {}", std::fs::read_to_string(history).unwrap());
    expect_code(Command::new("sqlite3").arg(evidence.join("places.sqlite")).arg(sql), 0);
    expect_code(&mut haul_run(&evidence, &folder.path().join("out"), &folder.path().join("key")), 0);
    let bundle: PathBuf = folder.path().join("out/1.sqlite");
    for (table, column) in [("visit", "url"), ("device", "raw")] {
        let word = sqlite(&bundle, &format!("SELECT {column} FROM {table} WHERE length({column}) > 3 ORDER BY id LIMIT 1"))
            .pop()
            .unwrap();
        let expected = sqlite(&bundle, &format!("SELECT lower(hex(id)) FROM {table} WHERE {column} = '{word}' ORDER BY id"));
        let found = ids(&search(&bundle, &["--for", &word, "--kind", table]), table);
        assert!(!expected.is_empty() && expected.iter().all(|id| found.contains(id)), "{table}: {word}");
    }
}

/// The index lies in the user's cache, not with the bundle, and changes no hit.
#[test]
fn an_index_changes_no_hit_and_does_not_lie_with_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let samples = tests::root().join("tests/samples/phone");
    expect_code(&mut haul_run(&samples, &folder.path().join("out"), &folder.path().join("key")), 0);
    let bundle: PathBuf = folder.path().join("out/1.sqlite");
    let there = || std::fs::read_dir(folder.path().join("out")).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let (files, before) = (there(), std::fs::read(&bundle).unwrap());
    let cache = folder.path().join("cache");
    let asked = |words: &str, index: &str| {
        let mut command = Command::new(binary("haul"));
        command.arg("search").arg(&bundle).args(["--for", words, "--output", "jsonl", "--index", index]);
        let output = expect_code(command.env("XDG_CACHE_HOME", &cache), 0);
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let words = sqlite(&bundle, "SELECT substr(text, 2, 5) FROM message WHERE length(text) > 8");
    assert!(!words.is_empty());
    for word in words.iter().map(String::as_str).chain(["http", "a", "1", "no such word"]) {
        let (scanned, told) = asked(word, "none");
        assert!(!told.contains("index"), "{told}");
        let (found, told) = asked(word, "build");
        assert!(told.contains("making the search index"), "{told}");
        assert_eq!(found, scanned, "{word}");
    }
    assert_eq!(std::fs::read_dir(cache.join("haul/search")).unwrap().count(), 1);
    // A small bundle gets none unless asked.
    std::fs::remove_dir_all(&cache).unwrap();
    asked("http", "auto");
    assert!(!cache.exists());
    // Where no cache can be made, rows are read.
    std::fs::write(&cache, "a file").unwrap();
    let (found, told) = asked("http", "build");
    assert!(told.contains("searching without an index"), "{told}");
    assert_eq!(found, asked("http", "none").0);
    assert_eq!(there(), files);
    assert_eq!(std::fs::read(&bundle).unwrap(), before);
}
