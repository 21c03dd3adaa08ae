//! Very many deleted rows, and mutated databases: bounded memory, nothing lost at the bound, no panic.

use super::{corpus, databases};
use normalize::recover::{Recovered, Value};
use normalize::scratch::Evidence;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use tests::random::Random;

/// Rows that are deleted.
const ROWS: i64 = 1_000_000;
/// Resident bytes that reading them may take on top.
const BOUND_BYTES: u64 = 300 << 20;
/// Mutated databases that are read, unless `HAUL_MUTATIONS` says how many.
const MUTATIONS: u64 = 2_000;

fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)).map_or(0, |number| number.parse::<u64>().unwrap() << 10)
}

#[test]
fn a_million_deleted_rows_are_all_read_within_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags(folder.path().join("main"), flags).unwrap();
    let sql = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA secure_delete = OFF;
               CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, n INTEGER); BEGIN";
    connection.execute_batch(sql).unwrap();
    {
        let mut insert = connection.prepare("INSERT INTO t VALUES (?1, ?2, ?3)").unwrap();
        for number in 0..ROWS {
            insert.execute((number, format!("message {number} of the chat with the wallet"), number * 7919)).unwrap();
        }
    }
    connection.execute_batch("COMMIT; DELETE FROM t WHERE id >= 10").unwrap();
    connection.close().unwrap();
    let limits = config::Settings::default().normalize;
    let evidence = Evidence::open(folder.path(), &limits, None, true).unwrap();
    let before = peak();
    let mut found = vec![false; ROWS as usize];
    let mut recovered = Recovered::read(&evidence.connection, folder.path()).unwrap();
    let mut parts = 0;
    loop {
        parts += 1;
        assert_eq!(recovered.problems, []);
        for row in &recovered.rows {
            let Some(Some(Value::Integer(n))) = row.values.get(2) else { continue };
            let number = n / 7919;
            let body = Value::Text(format!("message {number} of the chat with the wallet").into_bytes());
            assert!(n % 7919 == 0 && row.values.get(1) == Some(&Some(body)), "{row:?}");
            found[number as usize] = true;
        }
        if !recovered.read_on(&evidence.connection) {
            break;
        }
    }
    let took = peak() - before;
    assert!(found[..10].iter().all(|found| !found), "live rows");
    let missing = found.iter().skip(10).filter(|found| !**found).count();
    println!("a million deleted rows: {missing} not found, {parts} parts, {} MB", took >> 20);
    // Trunk pages of the free list lose a few.
    assert!(missing < 10_000, "{missing}");
    assert!(parts > 1 && took < BOUND_BYTES, "{} MB", took >> 20);
}

/// Databases of the corpus with some bytes changed: reading goes on to its end.
#[test]
fn mutated_databases_do_no_harm() {
    let Some(corpus) = corpus() else { return };
    let all: Vec<_> = databases(&corpus).into_iter().map(|(name, path, _)| (name, fs::read(path).unwrap())).collect();
    let small: Vec<_> = all.iter().filter(|(_, bytes)| bytes.len() <= 32 << 10).collect();
    let limits = config::Settings::default().normalize;
    let mut random = Random(7);
    let folder = tempfile::tempdir().unwrap();
    let rounds = std::env::var("HAUL_MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap());
    for round in 0..rounds {
        let (name, bytes) = small[random.below(small.len() as u64) as usize];
        let mut bytes = bytes.clone();
        for _ in 0..=random.below(12) {
            // Structure stands at the start of pages; half of the changes go there.
            let at = random.below(bytes.len() as u64) as usize;
            let at = if random.below(2) == 0 { at / 4096 * 4096 + (at % 128) } else { at }.min(bytes.len() - 1);
            bytes[at] = if random.below(3) == 0 {
                [0, 1, 2, 5, 10, 13, 0x7f, 0x80, 0xff][random.below(9) as usize]
            } else {
                random.below(256) as u8
            };
        }
        fs::write(folder.path().join("main"), &bytes).unwrap();
        if round % 4 == 0 {
            // The same pages once more as a log and as a journal that claim to be its own.
            let mut log = [0x37, 0x7f, 0x06, 0x82, 0, 0x2d, 0xe2, 0x18, 0, 0, 0x10, 0].to_vec();
            log.resize(32, 0);
            for page in bytes.chunks(4096) {
                log.extend([0, 0, 0, (1 + random.below(6)) as u8]);
                log.resize(log.len() + 20, 0);
                log.extend(page);
            }
            fs::write(folder.path().join(if round % 8 == 0 { "main-wal" } else { "main-journal" }), &log).unwrap();
        }
        if let Ok(evidence) = Evidence::open(folder.path(), &limits, None, round % 4 == 0)
            && let Ok(mut recovered) = Recovered::read(&evidence.connection, folder.path())
        {
            let mut parts = 1;
            while recovered.read_on(&evidence.connection) {
                parts += 1;
                assert!(parts < 100, "{name}, round {round}");
            }
        }
        for suffix in ["-wal", "-journal"] {
            let _absent = fs::remove_file(folder.path().join(format!("main{suffix}")));
        }
    }
}
