//! The bench device set with planted truths: every planted address of a carrier that Haul claims to read is found, no decoy is.

#![allow(clippy::unwrap_used)]

use rusqlite::Connection;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::command::{expect_code, haul_run};

/// Makes the bench set at a tenth of its size; `None` where the bench is not mounted.
fn bench(folder: &Path) -> Option<PathBuf> {
    let script = tests::root().parent()?.join("shared/bench/make-evidence.py");
    if !script.exists() {
        return None;
    }
    let set = folder.join("bench");
    let mut command = Command::new("python3");
    command.arg(script).arg(&set).args(["--scale", "0.1", "--no-img"]).env("PYTHONDONTWRITEBYTECODE", "1");
    expect_code(&mut command, 0);
    Some(set)
}

fn wallets(bundle: &Path) -> BTreeSet<String> {
    let connection = export::open_read_only(bundle).unwrap();
    let sql = "SELECT value FROM observable WHERE kind = 'wallet_address'
               AND EXISTS (SELECT 1 FROM sighting WHERE observable_id = observable.id)";
    let mut statement = connection.prepare(sql).unwrap();
    let values = statement.query_map([], |row| row.get(0)).unwrap();
    values.collect::<Result<_, _>>().unwrap()
}

fn addresses(truth: &Value, key: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = truth[key].as_array().unwrap();
    let places = |entry: &Value| entry["places"].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    list.iter()
        .flat_map(|entry| places(entry).into_iter().map(|place| (text(&entry["addr"]), text(&entry["carrier"]), place)))
        .collect()
}

fn count(bundle: &Path, sql: &str) -> i64 {
    let connection: Connection = export::open_read_only(bundle).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn planted_addresses_are_found_and_decoys_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let Some(set) = bench(folder.path()) else {
        assert!(std::env::var_os("CI").is_none(), "CI has the bench beside the project");
        return;
    };
    let truth: Value = serde_json::from_slice(&std::fs::read(set.join("truth.json")).unwrap()).unwrap();
    let key = folder.path().join("key");
    let decoys: BTreeSet<String> = addresses(&truth, "decoy_addresses").into_iter().map(|entry| entry.0).collect();
    let mut missed = Vec::new();
    let mut carriers: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (evidence, prefix) in [("phone", "phone/"), ("computer", "computer/"), ("phone.zip", "phone/")] {
        let out = folder.path().join(format!("out-{evidence}"));
        expect_code(&mut haul_run(&set.join(evidence), &out, &key), 0);
        let found = wallets(&out.join("1.sqlite"));
        for (address, carrier, place) in addresses(&truth, "addresses") {
            if !place.starts_with(prefix) {
                continue;
            }
            let tally = carriers.entry(format!("{evidence}: {carrier}")).or_default();
            tally.1 += 1;
            if found.contains(&address) {
                tally.0 += 1;
            } else {
                missed.push(format!("{evidence}: {address} in {carrier} at {place}"));
            }
        }
        let wrong: Vec<_> = found.intersection(&decoys).collect();
        assert!(wrong.is_empty(), "decoys found in {evidence}: {wrong:?}");
        if prefix == "phone/" {
            counts(&truth, &out.join("1.sqlite"));
        }
    }
    for (carrier, (found, planted)) in &carriers {
        eprintln!("{carrier:40} {found:5} of {planted:5}");
    }
    assert!(missed.is_empty(), "{} missed: {missed:#?}", missed.len());
}

/// Records of the phone equal what the generator says it wrote.
fn counts(truth: &Value, bundle: &Path) {
    let number = |value: &Value| value.as_i64().unwrap();
    let whatsapp = "SELECT count(*) FROM message WHERE row_table = 'message' AND state = 'live'";
    assert_eq!(count(bundle, whatsapp), number(&truth["whatsapp"]["messages"]));
    // What the generator deleted is all that is recovered.
    let deleted = "SELECT count(*) FROM message WHERE row_table = 'message' AND state <> 'live'";
    assert_eq!(count(bundle, deleted), number(&truth["whatsapp"]["deleted"]));
    assert_eq!(count(bundle, "SELECT count(*) FROM message WHERE row_table = 'sms'"), number(&truth["sms"]));
    assert_eq!(count(bundle, "SELECT count(*) FROM message WHERE row_table = 'pdu'"), number(&truth["mms"]));
    assert_eq!(count(bundle, "SELECT count(*) FROM call WHERE row_table = 'call_log'"), number(&truth["whatsapp"]["calls"]));
    assert_eq!(count(bundle, "SELECT count(*) FROM call WHERE row_table = 'calls'"), number(&truth["calls"]));
    let contacts = "SELECT count(*) FROM contact WHERE row_table = 'raw_contacts'";
    assert_eq!(count(bundle, contacts), number(&truth["contacts"]));
    let exports = truth["telegram_messages"].as_object().unwrap();
    let telegram: i64 = exports.iter().filter(|(path, _)| path.starts_with("phone/")).map(|(_, count)| number(count)).sum();
    let sql = "SELECT count(*) FROM message JOIN item ON item.id = message.item_id WHERE item.path LIKE '%/result.json'";
    assert_eq!(count(bundle, sql), telegram);
}
