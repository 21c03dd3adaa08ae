//! Ten thousand single bits flipped over a sealed bundle, over the custody beside it and over a keyring: each is found, or it stands
//! in one of the few places of a SQLite file that carry no content, which are listed here and looked up in the file format.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops"
)]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "bundles of our own; the table is for people")]

use export::chain::Heads;
use export::{UnitKey, custody, keyring};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tests::command::{binary, expect_code, haul_run};
use tests::evidence::{Size, make};
use tests::pages::kinds;
use tests::random::Random;

const FLIPS: usize = 10_000;

/// The kinds of bytes in which a flipped bit may stay unseen. A flip elsewhere must be found, and one here must leave every row as it was.
const NO_CONTENT: &[(&str, &str)] = &[
    ("header: write version", "who may write, which no reader does"),
    ("header: read version", "1 and 0 are read alike"),
    ("header: reserved bytes a page", "where no value reaches the end of its page"),
    ("header: change counter", "how often the file was written"),
    ("header: first free page", "there is none: their count is checked"),
    ("header: schema cookie", "tells caches of other processes"),
    ("header: schema format", "of how values could be written, not which"),
    ("header: cache size", "advice"),
    ("header: largest root", "for vacuum, which is writing"),
    ("header: encoding", "numbers that are none count as UTF-8"),
    ("header: incremental vacuum", "for vacuum, which is writing"),
    ("header: reserved for expansion", "nothing"),
    ("header: writer's version", "the change counter again, and which SQLite wrote"),
    ("cell: row number", "only the schema and the seal have them, and nothing is looked up by them there"),
    ("free space of a page", "zeros between pointers and cells"),
    ("page: first free block", "for writers"),
    ("page: start of cells", "for writers"),
    ("page: fragmented bytes", "for writers"),
    ("page that goes on: rest", "zeros after the last value"),
    ("page that goes on: no next", "of the last page, whose value ends there"),
];

/// A phone of a few files, sealed, handed over, and a keyring with three entries.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench { folder };
        make(&bench.path("evidence"), Size { sms: 20, telegram: 10, pictures: 1 }, 20_261_123);
        expect_code(&mut haul_run(&bench.path("evidence"), &bench.path("out"), &bench.path("key")), 0);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle(&self) -> PathBuf {
        self.path("out/1.sqlite")
    }

    fn haul(&self, arguments: &[&str]) {
        let mut command = Command::new(binary("haul"));
        command.args(arguments).env("HAUL_KEY", self.path("key")).env("HAUL_ACTOR", "Sergeant Chan").env_remove("HAUL_KEYRING");
        expect_code(&mut command, 0);
    }
}

/// Every row of every table and what the schema says, read without Haul.
fn content(path: &Path) -> rusqlite::Result<Vec<Vec<Value>>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{}?immutable=1", path.display()), flags)?;
    let mut all = Vec::new();
    for name in ["application_id", "user_version", "encoding", "freelist_count"] {
        all.push(vec![connection.pragma_query_value(None, name, |row| row.get(0))?]);
    }
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let names = connection.prepare(names)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name".to_owned();
    for sql in std::iter::once(schema).chain(names.iter().map(|name| format!("SELECT * FROM {name} ORDER BY 1"))) {
        let mut statement = connection.prepare(&sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            all.push((0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?);
        }
    }
    Ok(all)
}

/// A place and bit in so many bytes.
fn place(random: &mut Random, bytes: usize) -> (usize, u8) {
    (random.below(bytes as u64) as usize, 1 << random.below(8))
}

#[test]
fn bits_flipped_in_a_bundle_are_found_or_carry_no_content() {
    let bench = Bench::new();
    let whole = fs::read(bench.bundle()).unwrap();
    let (kinds, before) = (kinds(&whole), content(&bench.bundle()).unwrap());
    assert!(export::verify(&bench.bundle()).unwrap().holds());
    let target = bench.path("flipped.sqlite");
    // Written over, never cut: some file systems write a file that was cut to the disk when it is closed.
    let written = fs::File::options().write(true).create_new(true).open(&target).unwrap();
    let mut flipped = whole.clone();
    let mut random = Random(20_261_123);
    let (mut found, mut unseen) = (0, BTreeMap::<&str, u64>::new());
    for _ in 0..FLIPS {
        let (at, bit) = place(&mut random, whole.len());
        flipped[at] ^= bit;
        written.write_all_at(&flipped, 0).unwrap();
        if export::verify(&target).is_ok_and(|report| report.holds()) {
            *unseen.entry(kinds[at]).or_default() += 1;
            assert!(content(&target).unwrap() == before, "byte {at} bit {bit}: {} changes what is read, unseen", kinds[at]);
        } else {
            found += 1;
        }
        flipped[at] ^= bit;
    }
    println!("{} bytes, {found} of {FLIPS} found, unseen: {unseen:#?}", whole.len());
    let listed = |kind: &str| NO_CONTENT.iter().any(|(known, _)| *known == kind);
    let others: Vec<_> = unseen.keys().filter(|kind| !listed(kind)).collect();
    assert!(others.is_empty(), "unseen where content is: {others:?}");
}

#[test]
fn bits_flipped_in_custody_or_a_keyring_are_all_found() {
    let bench = Bench::new();
    let bundle = bench.bundle();
    let name = bundle.to_str().unwrap();
    bench.haul(&["custody", "hand-over", name, "--to", "Bangkok", "--reason", "request 7"]);
    bench.haul(&["keys", "add", "Own", bench.path("key.pub").to_str().unwrap(), "--reason", "self"]);
    bench.haul(&["keys", "revoke", "Own", "--reason", "test"]);
    let own = UnitKey::read(&bench.path("key")).unwrap().public_line();
    let heads = Heads::beside(&bench.path("key"));
    let keys = bench.path("keyring.jsonl");
    assert_eq!(keyring::list(&keys, &own, Some(&heads)).unwrap().len(), 1);
    assert_eq!(custody::check(&bundle, Some(&heads)).unwrap().wrong, None);
    let mut random = Random(7);
    let mut flips = |path: &Path, holds: &dyn Fn() -> bool| {
        let mut bytes = fs::read(path).unwrap();
        for _ in 0..FLIPS {
            let (at, bit) = place(&mut random, bytes.len());
            bytes[at] ^= bit;
            fs::write(path, &bytes).unwrap();
            assert!(!holds(), "{}: byte {at} bit {bit}", path.display());
            bytes[at] ^= bit;
        }
    };
    // No heads here: a stranger, who has none, must see it too.
    flips(&custody::beside(&bundle), &|| custody::check(&bundle, None).unwrap().wrong.is_none());
    flips(&keys, &|| keyring::list(&keys, &own, None).is_ok());
}
