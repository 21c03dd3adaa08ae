//! The scan over databases that SQLite itself wrote, with a recognizer that knows a fixed set of words and obeys borders.

use super::*;
use crate::evidence::{Scratch, problems};
use crate::parse::Outcome;
use model::observable::{Observable, ObservableKind, Validity};
use model::recognize::{Find, Found};
use model::{Body, Sighting};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::OnceLock;

/// Runs of letters and digits that begin with `ADDR` and have 34 characters, or stand in the list of the bench set.
fn known(run: &str) -> bool {
    (run.len() == 34 && run.starts_with("ADDR")) || planted().contains(run)
}

fn recognize(bytes: &[u8]) -> Vec<Find> {
    let mut finds = Vec::new();
    let mut add = |word: &str, offset: usize, length: usize, encoding| {
        if known(word) {
            let observable = Observable {
                kind: ObservableKind::WalletAddress,
                value: word.to_owned(),
                chain: None,
                validity: Validity::Checksum,
            };
            let (offset, length) = (offset as u64, length as u64);
            let found = Found::Observable(observable);
            finds.push(Find { found, offset, length, encoding, support: None, context: String::new() });
        }
    };
    let mut start = 0;
    for run in bytes.split(|byte| !byte.is_ascii_alphanumeric()) {
        add(&String::from_utf8_lossy(run), start, run.len(), Encoding::Utf8);
        start += run.len() + 1;
    }
    for parity in 0..2 {
        let units: Vec<char> = bytes[parity.min(bytes.len())..]
            .chunks_exact(2)
            .map(|pair| if pair[1] == 0 && pair[0].is_ascii_alphanumeric() { pair[0] as char } else { ' ' })
            .collect();
        let text: String = units.into_iter().collect();
        let mut start = 0;
        for run in text.split(' ') {
            add(run, parity + start * 2, run.len() * 2, Encoding::Utf16le);
            start += run.len() + 1;
        }
    }
    finds
}

fn bench() -> Option<PathBuf> {
    let folder = std::env::var_os("HAUL_BENCH_SET")?;
    Some(PathBuf::from(folder))
}

fn truth() -> &'static serde_json::Value {
    static TRUTH: OnceLock<serde_json::Value> = OnceLock::new();
    TRUTH.get_or_init(|| {
        let text = bench().and_then(|folder| std::fs::read(folder.join("truth.json")).ok());
        text.map_or(serde_json::Value::Null, |text| serde_json::from_slice(&text).unwrap())
    })
}

fn planted() -> &'static HashSet<String> {
    static PLANTED: OnceLock<HashSet<String>> = OnceLock::new();
    PLANTED.get_or_init(|| {
        let list = truth()["addresses"].as_array().into_iter().flatten();
        list.map(|entry| entry["addr"].as_str().unwrap().to_owned()).collect()
    })
}

fn sightings(scratch: &Scratch) -> (Vec<Sighting>, Vec<Body>) {
    let bodies = scratch.run(|input, emit| {
        scan_with(input, emit, recognize);
        Outcome::parsed()
    });
    // What is told to stand at a place stands there.
    let read = |name: &str| std::fs::read(scratch.folder.path().join(name)).unwrap_or_default();
    let mut files = vec![(scratch.unit.primary.item.id, read("main"))];
    for companion in &scratch.unit.companions {
        let suffix = if companion.name.ends_with(b"-wal") { "main-wal" } else { "main-journal" };
        files.push((companion.item.id, read(suffix)));
    }
    let mut all = Vec::new();
    for body in &bodies {
        if let Body::Sighting(sighting) = body {
            let (_, content) = files.iter().find(|(item, _)| *item == sighting.item).unwrap();
            let at = sighting.byte_offset.unwrap() as usize;
            if let Some(length) = sighting.byte_length {
                let bytes: Vec<u8> = content[at..at + length as usize].iter().copied().filter(|byte| *byte != 0).collect();
                assert_eq!(String::from_utf8_lossy(&bytes), sighting.observable.value);
            } else {
                assert_eq!(content[at], sighting.observable.value.as_bytes()[0]);
            }
            all.push((**sighting).clone());
        }
    }
    (all, bodies)
}

fn address(number: usize) -> String {
    format!("ADDR{number:029}Z")
}

/// Makes a database with SQLite, closed cleanly unless `keep` takes the connection.
fn database(setup: &[&str], fill: impl FnOnce(&rusqlite::Connection)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    #[allow(clippy::disallowed_methods, reason = "made here, no evidence yet")]
    let connection = rusqlite::Connection::open(&path).unwrap();
    for statement in setup {
        connection.execute_batch(statement).unwrap();
    }
    fill(&connection);
    // The files as a live application leaves them: companions and all.
    let copy = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal", "-journal"] {
        let from = folder.path().join(format!("a.db{suffix}"));
        if from.exists() {
            std::fs::copy(from, copy.path().join(format!("a.db{suffix}"))).unwrap();
        }
    }
    let path = copy.path().join("a.db");
    (copy, path)
}

fn rows(connection: &rusqlite::Connection, from: usize, to: usize, pad: usize) {
    connection.execute_batch("BEGIN").unwrap();
    for number in from..to {
        let pad = "x".repeat(pad * (number % 3));
        connection
            .execute(
                "INSERT INTO t VALUES (?1, ?2, ?3, ?4)",
                rusqlite::params![number as i64, format!("GLUED{pad}"), address(number), "NEXT"],
            )
            .unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, before TEXT, address TEXT, after TEXT)";

fn missing(found: &[Sighting], wanted: std::ops::Range<usize>) -> Vec<usize> {
    let values: BTreeSet<&str> = found.iter().map(|sighting| sighting.observable.value.as_str()).collect();
    wanted.filter(|number| !values.contains(address(*number).as_str())).collect()
}

#[test]
fn glued_columns_at_every_page_size_and_encoding() {
    for size in [512, 1024, 4096, 65_536] {
        for encoding in ["UTF-8", "UTF-16le"] {
            let (page, text) = (format!("PRAGMA page_size={size}"), format!("PRAGMA encoding='{encoding}'"));
            let (_folder, path) = database(&[&page, &text, TABLE], |connection| rows(connection, 0, 300, 10));
            let (found, bodies) = sightings(&Scratch::of(&path));
            assert_eq!(missing(&found, 0..300), [] as [usize; 0], "{size} {encoding}");
            assert_eq!(problems(&bodies), [], "{size} {encoding}");
            for sighting in found.iter().filter(|sighting| sighting.row.is_some()) {
                let (table, row) = sighting.row.clone().unwrap();
                assert_eq!((table.as_str(), address(row as usize)), ("t", sighting.observable.value.clone()));
            }
            let live = found.iter().filter(|sighting| sighting.row.is_some()).count();
            assert_eq!(live, 300, "{size} {encoding}");
        }
    }
}

#[test]
fn overflow_chains_and_pointer_maps() {
    for setup in ["PRAGMA auto_vacuum=0", "PRAGMA auto_vacuum=1"] {
        let (_folder, path) = database(&["PRAGMA page_size=512", setup, TABLE], |connection| {
            for number in 0..40usize {
                let text = format!("{} {} {}", "y".repeat(number * 97), address(number), "z".repeat(number * 31));
                connection
                    .execute("INSERT INTO t VALUES (?1, ?2, ?3, 'NEXT')", rusqlite::params![number as i64, "GLUED", text])
                    .unwrap();
            }
        });
        let (found, bodies) = sightings(&Scratch::of(&path));
        assert_eq!(missing(&found, 0..40), [] as [usize; 0]);
        assert_eq!(problems(&bodies), []);
        assert!(found.iter().any(|sighting| sighting.byte_length.is_none()), "one goes over a page border");
        assert!(found.iter().all(|sighting| sighting.row.is_some()), "each is seen once, in its row");
    }
}

#[test]
fn a_value_longer_than_the_window_is_searched_whole() {
    let (_folder, path) = database(&[TABLE], |connection| {
        let text: String = (0..60_000).map(|number| address(number) + if number % 7 == 0 { ", " } else { " " }).collect();
        connection.execute("INSERT INTO t VALUES (1, 'GLUED', ?1, 'NEXT')", [text]).unwrap();
    });
    let (found, bodies) = sightings(&Scratch::of(&path));
    assert_eq!(missing(&found, 0..60_000), [] as [usize; 0]);
    assert_eq!((found.len(), problems(&bodies).len()), (60_000, 0));
}

#[test]
fn deleted_rows_stay_in_sight() {
    for (what, statement) in [
        ("some", "DELETE FROM t WHERE id % 3 = 0"),
        ("one each page", "DELETE FROM t WHERE id % 40 = 0"),
        ("half", "DELETE FROM t WHERE id >= 200"),
        ("all", "DELETE FROM t"),
        ("table", "DROP TABLE t"),
    ] {
        let (_folder, path) = database(&["PRAGMA secure_delete=0", TABLE], |connection| {
            rows(connection, 0, 400, 5);
            connection.execute_batch(statement).unwrap();
        });
        let (found, bodies) = sightings(&Scratch::of(&path));
        // SQLite reuses some of the space while it balances the tree: what is wanted is all that is left.
        let content = std::fs::read(&path).unwrap();
        let left = |number: &usize| memchr::memmem::find(&content, address(*number).as_bytes()).is_some();
        let lost: Vec<_> = missing(&found, 0..400).into_iter().filter(left).collect();
        assert_eq!(lost, [] as [usize; 0], "{what}");
        assert!(found.len() > 300, "{what}");
        assert_eq!(problems(&bodies), [], "{what}");
    }
}

#[test]
fn deleted_rows_of_indexes_and_tables_without_rowid_stay_in_sight() {
    let table = "CREATE TABLE t (id INTEGER, before TEXT, address TEXT, after TEXT, PRIMARY KEY (before, address)) WITHOUT ROWID";
    let other = "CREATE TABLE t (id INTEGER, before TEXT, address TEXT PRIMARY KEY, after TEXT) WITHOUT ROWID";
    for (setup, index) in [(table, ""), (other, ""), (other, "CREATE INDEX i ON t (before, address)")] {
        for statement in ["DELETE FROM t WHERE id % 3 = 0", "DELETE FROM t WHERE id % 40 = 0", "DELETE FROM t WHERE id >= 200"] {
            let (_folder, path) = database(&["PRAGMA secure_delete=0", setup], |connection| {
                connection.execute_batch(index).unwrap();
                rows(connection, 0, 400, 5);
                connection.execute_batch(statement).unwrap();
            });
            let (found, bodies) = sightings(&Scratch::of(&path));
            let content = std::fs::read(&path).unwrap();
            let left = |number: &usize| memchr::memmem::find(&content, address(*number).as_bytes()).is_some();
            let lost: Vec<_> = missing(&found, 0..400).into_iter().filter(left).collect();
            // Of these some 1,500 deleted rows the address of one is not told apart from the text that it touches.
            let known: &[usize] = if index.is_empty() || !statement.contains(">=") { &[] } else { &[200] };
            assert_eq!(lost, known, "{setup} {index} {statement}");
            assert_eq!(problems(&bodies), [], "{statement}");
        }
    }
}

#[test]
fn a_write_ahead_log_is_searched_and_announces_its_own() {
    let (_folder, path) = database(&["PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", TABLE], |connection| {
        rows(connection, 0, 100, 5);
        let text = format!("{} {}", "y".repeat(9000), address(100));
        connection.execute("INSERT INTO t VALUES (100, 'GLUED', ?1, 'NEXT')", [text]).unwrap();
    });
    let scratch = Scratch::of(&path);
    assert_eq!(scratch.unit.companions.len(), 1);
    let (found, bodies) = sightings(&scratch);
    assert_eq!(missing(&found, 0..101), [] as [usize; 0]);
    assert!(found.iter().any(|sighting| sighting.item == scratch.unit.companions[0].item.id));
    assert_eq!(problems(&bodies), []);
}

#[test]
fn a_rollback_journal_holds_what_was_before() {
    let (_folder, path) = database(&["PRAGMA journal_mode=PERSIST", TABLE], |connection| {
        rows(connection, 0, 200, 5);
        connection.execute_batch("PRAGMA secure_delete=1; UPDATE t SET address = 'gone'; VACUUM").unwrap();
    });
    let scratch = Scratch::of(&path);
    let (found, _) = sightings(&scratch);
    let (main, journal): (Vec<_>, Vec<_>) = found.into_iter().partition(|sighting| sighting.item == scratch.unit.primary.item.id);
    assert_eq!(main.len(), 0);
    assert!(!journal.is_empty(), "the journal's page images are searched");
}

/// What is found in a companion alone, its database gone.
fn orphan_sightings(path: &Path, suffix: &str) -> Vec<Sighting> {
    let folder = tempfile::tempdir().unwrap();
    let orphan = folder.path().join(format!("gone.db{suffix}"));
    std::fs::rename(path.with_file_name(format!("a.db{suffix}")), &orphan).unwrap();
    let bodies = Scratch::of(&orphan).run(|input, emit| {
        scan_orphan_with(input, emit, recognize);
        Outcome::parsed()
    });
    bodies.into_iter().filter_map(|body| if let Body::Sighting(sighting) = body { Some(*sighting) } else { None }).collect()
}

#[test]
fn companions_without_their_database_are_searched_page_by_page() {
    for page_size in ["PRAGMA page_size=1024", "PRAGMA page_size=65536"] {
        let (_folder, path) =
            database(&[page_size, "PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", TABLE], |connection| {
                rows(connection, 0, 100, 5);
            });
        let found = orphan_sightings(&path, "-wal");
        assert_eq!(missing(&found, 0..100), [] as [usize; 0], "{page_size}");
        // A transaction that was not ended: its journal holds the pages as they were.
        let (_folder, path) = database(&[page_size, "PRAGMA synchronous=OFF", TABLE], |connection| {
            rows(connection, 0, 200, 5);
            connection.execute_batch("BEGIN; UPDATE t SET address = 'gone'").unwrap();
        });
        let found = orphan_sightings(&path, "-journal");
        assert_eq!(missing(&found, 0..200), [] as [usize; 0], "{page_size}");
    }
    // A header that lies about its page size costs the structure, no more.
    let (_folder, path) = database(&["PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", TABLE], |connection| {
        connection.execute("INSERT INTO t VALUES (1, 'free', ?1, ' standing')", [format!(" {} ", address(7))]).unwrap();
    });
    let wal = path.with_file_name("a.db-wal");
    let mut bytes = std::fs::read(&wal).unwrap();
    bytes[8..12].copy_from_slice(&[0xff; 4]);
    std::fs::write(&wal, bytes).unwrap();
    assert_eq!(missing(&orphan_sightings(&path, "-wal"), 7..8), [] as [usize; 0]);
}

#[test]
fn indexes_and_tables_without_rowid_have_no_row() {
    let table = "CREATE TABLE t (id INTEGER, before TEXT, address TEXT PRIMARY KEY, after TEXT) WITHOUT ROWID";
    let (_folder, path) = database(&[table, "CREATE INDEX i ON t (before, address)"], |connection| rows(connection, 0, 300, 5));
    let (found, bodies) = sightings(&Scratch::of(&path));
    assert_eq!(missing(&found, 0..300), [] as [usize; 0]);
    assert!(found.len() >= 600 && found.iter().all(|sighting| sighting.row.is_none()));
    assert_eq!(problems(&bodies), []);
}

/// A small generator, so that the fuzzing is the same each time.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn flipped_bytes_and_cut_files_do_no_harm() {
    let (_folder, path) =
        database(&["PRAGMA page_size=512", "PRAGMA journal_mode=WAL", TABLE, "CREATE INDEX i ON t (address)"], |connection| {
            rows(connection, 0, 60, 200);
            connection.execute_batch("PRAGMA wal_checkpoint; DELETE FROM t WHERE id % 5 = 0").unwrap();
            rows(connection, 100, 130, 200);
        });
    let main = std::fs::read(&path).unwrap();
    let wal = std::fs::read(path.with_file_name("a.db-wal")).unwrap();
    let mut state = 7;
    for round in 0..300 {
        let (mut main, mut wal) = (main.clone(), wal.clone());
        for _ in 0..=round % 40 {
            let (at, also) = (random(&mut state) % main.len(), random(&mut state) % wal.len());
            main[at] = random(&mut state) as u8;
            wal[also] = random(&mut state) as u8;
        }
        if round % 3 == 0 {
            main.truncate(random(&mut state) % main.len());
            wal.truncate(random(&mut state) % wal.len());
        }
        sightings(&Scratch::new("a.db", &main).with("-wal", &wal));
    }
}

#[test]
fn damage_is_told_and_what_is_left_is_found() {
    let (_folder, path) = database(&["PRAGMA page_size=4096", TABLE], |connection| rows(connection, 0, 300, 5));
    let mut main = std::fs::read(&path).unwrap();
    // The second leaf's header.
    main[2 * 4096..2 * 4096 + 8].fill(0xee);
    let (found, bodies) = sightings(&Scratch::new("a.db", &main));
    assert_eq!(problems(&bodies).first().map(|problem| problem.0), Some("database_damaged"));
    assert_eq!(missing(&found, 0..300), [] as [usize; 0]);
    let (found, bodies) = sightings(&Scratch::new("a.db", &main[100..]));
    assert!(!found.is_empty());
    assert_eq!(problems(&bodies)[0].1, "no database header: pages are searched without their structure");
}

#[test]
fn chains_that_turn_back_or_are_shared_end() {
    let (_folder, path) = database(&["PRAGMA page_size=512", TABLE], |connection| {
        for number in 0..3i64 {
            connection
                .execute("INSERT INTO t VALUES (?1, 'GLUED', ?2, 'NEXT')", rusqlite::params![number, "w".repeat(5000)])
                .unwrap();
        }
    });
    let mut main = std::fs::read(&path).unwrap();
    let count = (main.len() / 512) as u32;
    for page in 3..count {
        let at = page as usize * 512;
        main[at..at + 4].copy_from_slice(&(page - 1).to_be_bytes());
    }
    let (_, bodies) = sightings(&Scratch::new("a.db", &main));
    assert!(!problems(&bodies).is_empty());
}

/// Recall per carrier over the SQLite files of the bench set (`HAUL_BENCH_SET` is its folder); every miss is listed.
#[test]
fn planted_addresses_of_the_bench_set_are_found() {
    let Some(folder) = bench() else { return };
    let mut wanted: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for entry in truth()["addresses"].as_array().unwrap() {
        for place in entry["places"].as_array().unwrap() {
            let place = place.as_str().unwrap();
            let carrier = entry["carrier"].as_str().unwrap();
            wanted.entry((place, carrier)).or_default().insert(entry["addr"].as_str().unwrap());
        }
    }
    let mut misses = Vec::new();
    for ((place, carrier), addresses) in wanted {
        let path = folder.join(place);
        if head(&path, 16).ok().as_deref() != Some(super::super::pages::MAGIC) {
            continue;
        }
        let (found, bodies) = sightings(&Scratch::of(&path));
        assert_eq!(problems(&bodies), []);
        let values: BTreeSet<&str> = found.iter().map(|sighting| sighting.observable.value.as_str()).collect();
        misses.extend(addresses.difference(&values).map(|address| format!("{carrier} {address}")));
    }
    assert_eq!(misses, [] as [String; 0]);
}

/// The same with the recognizer that ships: recall 1.0 and no decoy, over every SQLite file of the bench set.
#[test]
fn planted_addresses_are_recognized_and_decoys_are_not() {
    let Some(folder) = bench() else { return };
    let places = |list: &str| -> BTreeMap<String, BTreeSet<(String, String)>> {
        let mut places: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        for entry in truth()[list].as_array().unwrap() {
            let word = |key: &str| entry[key].as_str().unwrap().to_owned();
            for place in entry["places"].as_array().unwrap() {
                places.entry(place.as_str().unwrap().to_owned()).or_default().insert((word("carrier"), word("addr")));
            }
        }
        places
    };
    let decoys: BTreeSet<String> = places("decoy_addresses").into_values().flatten().map(|(_, address)| address).collect();
    let mut carriers: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut misses = Vec::new();
    for (place, addresses) in places("addresses") {
        let path = folder.join(&place);
        if head(&path, 16).ok().as_deref() != Some(super::super::pages::MAGIC) {
            continue;
        }
        let scratch = Scratch::of(&path);
        let begun = std::time::Instant::now();
        let bodies = scratch.run(|input, emit| {
            scan(input, emit);
            Outcome::parsed()
        });
        eprintln!("{place}: {:?}, {} bodies", begun.elapsed(), bodies.len());
        let values: BTreeSet<&str> = bodies
            .iter()
            .filter_map(|body| if let Body::Sighting(sighting) = body { Some(sighting.observable.value.as_str()) } else { None })
            .collect();
        assert_eq!(values.iter().filter(|value| decoys.contains(**value)).collect::<Vec<_>>(), [] as [&&str; 0]);
        for (carrier, address) in addresses {
            let count = carriers.entry(carrier.clone()).or_default();
            count.1 += 1;
            if values.contains(address.as_str()) || values.contains(address.to_lowercase().as_str()) {
                count.0 += 1;
            } else {
                misses.push(format!("{carrier} {address}"));
            }
        }
    }
    eprintln!("recall by carrier (found, planted): {carriers:?}");
    assert_eq!(misses, [] as [String; 0]);
}
