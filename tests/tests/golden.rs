//! Every fixture folder against its `expected.jsonl`, and in every disguise: recovered, shuffled, twice, cut, flipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use model::{Body, Locator, Record, State};
use normalize::artifact::Set;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use tests::unit::Unit;

/// One case: where the evidence lies on its device, and its files by suffix.
struct Case {
    folder: PathBuf,
    path: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl Case {
    /// Every case there is.
    fn all() -> Vec<Case> {
        let mut cases = Vec::new();
        for artifact in folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")) {
            cases.extend(folders(&artifact).into_iter().map(Case::read));
        }
        assert!(cases.len() >= 7, "fixtures are found");
        cases
    }

    fn read(folder: PathBuf) -> Case {
        let sql = folder.join("input.sql");
        if sql.exists() {
            let sql = fs::read_to_string(sql).unwrap();
            let path = sql.lines().next().and_then(|line| line.strip_prefix("-- path: ")).unwrap_or("input.db").to_owned();
            let content = database(|connection| connection.execute_batch(&sql).unwrap());
            return Case { folder, path, files: BTreeMap::from([(String::new(), content)]) };
        }
        // Where the path matters, the file lies in folders.
        let (mut below, mut names) = (folder.join("input"), Vec::new());
        while names.is_empty() {
            names = fs::read_dir(&below).unwrap().map(|entry| entry.unwrap().path()).collect();
            if let [inner] = names.as_slice()
                && inner.is_dir()
            {
                below = names.remove(0);
            }
        }
        names.sort();
        let first = names.first().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let files = names.iter().map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            (name.strip_prefix(first.as_str()).unwrap().to_owned(), fs::read(path).unwrap())
        });
        let files = files.collect();
        let path = below.strip_prefix(folder.join("input")).unwrap().join(first).to_str().unwrap().to_owned();
        Case { folder, path, files }
    }

    fn name(&self) -> String {
        let parts: Vec<_> = self.folder.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
        format!("{}/{}", parts[1], parts[0])
    }

    fn unit(&self) -> Unit {
        self.unit_of(&self.files[""])
    }

    fn unit_of(&self, content: &[u8]) -> Unit {
        let mut unit = Unit::new(&self.path, content);
        for (suffix, content) in self.files.iter().filter(|(suffix, _)| !suffix.is_empty()) {
            unit = unit.with(suffix, content);
        }
        unit
    }

    fn is_database(&self) -> bool {
        self.files[""].starts_with(b"SQLite format 3\0")
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The bytes of a new database.
fn database(make: impl FnOnce(&Connection)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.db");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags(&path, flags).unwrap();
    make(&connection);
    connection.close().unwrap();
    fs::read(path).unwrap()
}

/// Records, problems, counts and the item's end as lines of JSON, in an order of their own.
fn lines(bodies: &[Body]) -> Vec<String> {
    let mut lines: Vec<String> = bodies.iter().filter_map(line).map(|value| value.to_string()).collect();
    lines.sort();
    lines
}

fn line(body: &Body) -> Option<Value> {
    Some(match body {
        Body::Record(record) => {
            let Value::Object(tagged) = serde_json::to_value(record).unwrap() else { unreachable!() };
            let mut fields = tagged.into_iter().next().unwrap().1;
            let fields = fields.as_object_mut().unwrap();
            fields.remove("provenance");
            fields.retain(|_, value| !value.is_null());
            let provenance = record.provenance();
            let at = match provenance.locator.row() {
                Some((table, row_id)) => json!(format!("{table}:{row_id}")),
                None => serde_json::to_value(&provenance.locator).unwrap(),
            };
            json!({ "kind": record.kind(), "at": at, "state": provenance.state.name(), "fields": fields })
        }
        Body::Ledger(row) => json!({ "kind": "ledger", "source": row.source, "rows_seen": row.rows_seen, "records": row.records,
                                     "rejected": row.rejected, "reason": row.reason }),
        Body::Problem(problem) => json!({ "kind": "problem", "code": problem.code.name(), "detail": problem.detail }),
        Body::Item(item) => json!({ "kind": "item", "status": item.status.name(), "reason": item.reason,
                                    "definition": item.definition }),
        _ => return None,
    })
}

/// What must hold of anything that was read, however damaged: ids are distinct, counts add up, announcements are kept.
fn agree(bodies: &[Body], what: &str) {
    let mut ids = HashSet::new();
    for body in bodies.iter().filter(|body| !matches!(body, Body::Definition(_))) {
        assert!(ids.insert((body.kind(), body.id())), "{what}: twice: {body:?}");
    }
    for body in bodies {
        match body {
            Body::Ledger(row) => assert!(row.adds_up(), "{what}: {row:?}"),
            Body::Item(item) => {
                let named = bodies.iter().filter(|body| body.item() == Some(item.id)).count();
                assert_eq!(item.announced, named as u64, "{what}: announced");
            }
            _ => {}
        }
    }
}

/// The definitions as they lie in the tree: what was embedded is older where a build is.
fn set() -> Set {
    Set::load(Some(&tests::root().join("normalize/artifacts"))).unwrap()
}

#[test]
fn fixtures_give_what_is_expected() {
    let (set, update) = (set(), std::env::var_os("UPDATE_EXPECT").is_some());
    for case in Case::all() {
        let unit = case.unit();
        let bodies = if case.is_database() { unit.read_database(&set) } else { unit.read(&set) };
        agree(&bodies, &case.name());
        agree(&unit.read(&set), &case.name());
        let text = lines(&bodies).join("\n") + "\n";
        let expected = case.folder.join("expected.jsonl");
        if update {
            fs::write(&expected, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(expected).unwrap(), "{}", case.name());
    }
}

#[test]
fn every_definition_has_a_fixture() {
    let cases: BTreeSet<String> = Case::all().iter().map(|case| case.name().split('/').next().unwrap().to_owned()).collect();
    for artifact in set().artifacts() {
        assert!(cases.contains(&artifact.name), "{}", artifact.name);
    }
}

#[test]
fn reading_twice_gives_the_same_bodies() {
    let set = set();
    for case in Case::all() {
        assert_eq!(case.unit().read(&set), case.unit().read(&set), "{}", case.name());
    }
}

#[test]
fn recovered_rows_read_like_live_ones() {
    let set = set();
    // What code reads of a database is no query that rows could be swapped into.
    let defined = |case: &Case| {
        let owner = case.folder.parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned();
        set.artifacts().iter().any(|artifact| artifact.name == owner)
    };
    for case in Case::all().iter().filter(|case| case.is_database() && defined(case)) {
        let live = case.unit().read_database(&set);
        let recovered = case.unit().read_as_recovered(&set);
        agree(&recovered, &case.name());
        let records = |bodies: &[Body], state: State| {
            let records: Vec<_> = bodies.iter().filter(|body| matches!(body, Body::Record(_))).cloned().collect();
            assert!(records.iter().all(|body| matches!(body, Body::Record(record) if record.provenance().state == state)));
            // Of live rows with one key the first counts; of others each version stays.
            let first = |body: &&Body| {
                !matches!(body, Body::Record(record) if matches!(&record.provenance().locator,
                Locator::Carved(carved) if carved.version))
            };
            let mut lines: Vec<String> =
                records.iter().filter(first).filter_map(line).map(|line| as_live(line).to_string()).collect();
            lines.sort();
            lines
        };
        assert_eq!(records(&live, State::Live), records(&recovered, State::Recovered), "{}", case.name());
        let ids = |bodies: &[Body]| bodies.iter().filter_map(record_id).collect::<HashSet<_>>();
        assert!(ids(&live).is_disjoint(&ids(&recovered)), "{}: live and recovered never share an id", case.name());
    }
}

/// The line of a record as if its row were live: every place of a row that is not becomes that of the live one.
fn as_live(line: Value) -> Value {
    match line {
        Value::Object(fields) if fields.contains_key("Carved") => {
            json!({ "Row": { "table": fields["Carved"]["table"], "row_id": fields["Carved"]["row_id"] } })
        }
        Value::Object(fields) => {
            let place = |at: &Value| json!(format!("{}:{}", at["table"].as_str().unwrap(), at["row_id"]));
            let field = |(name, value): (String, Value)| match name.as_str() {
                "at" if !value.is_string() => (name, place(&value["Carved"])),
                "state" => (name, json!("live")),
                _ => (name, as_live(value)),
            };
            fields.into_iter().map(field).collect()
        }
        other => other,
    }
}

fn record_id(body: &Body) -> Option<model::Id> {
    if let Body::Record(record) = body { Some(Record::id(record)) } else { None }
}

#[test]
fn the_order_of_rows_in_the_file_does_not_matter() {
    let set = set();
    for case in Case::all().iter().filter(|case| case.is_database()) {
        let shuffled = case.unit_of(&reordered(&case.files[""]));
        let ids = |bodies: &[Body]| {
            let mut ids: Vec<_> = bodies.iter().filter(|body| body.item().is_some()).map(Body::id).collect();
            ids.sort();
            ids
        };
        let (plain, shuffled) = (case.unit().read_database(&set), shuffled.read_database(&set));
        assert_eq!(lines(&plain), lines(&shuffled), "{}", case.name());
        assert_eq!(ids(&plain), ids(&shuffled), "{}", case.name());
    }
}

/// The same tables in reverse order, on small pages, with their rows put in from the last to the first under the numbers they had.
fn reordered(content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.db");
    fs::write(&old, content).unwrap();
    database(|connection| {
        connection.execute_batch("PRAGMA page_size = 512; VACUUM").unwrap();
        connection.execute("ATTACH ?1 AS old", [old.to_str().unwrap()]).unwrap();
        let mut statement = connection
            .prepare(
                "SELECT name, sql FROM old.sqlite_schema WHERE type = 'table' AND name <> 'sqlite_sequence' ORDER BY rowid DESC",
            )
            .unwrap();
        let tables = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        for (name, sql) in tables.map(Result::unwrap).collect::<Vec<_>>() {
            connection.execute_batch(&sql).unwrap();
            // Rows are moved, not renumbered: a table without a key of its own keeps its rowids as well.
            let mut columns = connection
                .prepare(&format!("SELECT '\"' || name || '\"' FROM pragma_table_xinfo('{name}') WHERE hidden = 0"))
                .unwrap();
            let columns: Vec<String> = columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            let columns = columns.join(", ");
            let copy =
                format!("INSERT INTO main.{name} (rowid, {columns}) SELECT rowid, {columns} FROM old.{name} ORDER BY rowid DESC");
            connection.execute_batch(&copy).unwrap();
        }
        drop(statement);
        connection.execute_batch("DETACH old").unwrap();
    })
}

#[test]
fn cut_files_do_no_harm() {
    let set = set();
    for case in Case::all() {
        let content = &case.files[""];
        for cut in [content.len() / 4, content.len() / 2, content.len() - 1] {
            agree(&case.unit_of(&content[..cut]).read(&set), &format!("{} cut at {cut}", case.name()));
        }
    }
}

#[test]
fn flipped_bytes_do_no_harm() {
    let set = set();
    for case in Case::all() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            // SplitMix64 by Steele, Lea and Flood.
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ (mixed >> 31)) % below as u64) as usize
        };
        for trial in 0..200 {
            let mut content = case.files[""].clone();
            for _ in 0..=next(8) {
                let place = next(content.len());
                content[place] ^= 1 << next(8);
            }
            agree(&case.unit_of(&content).read(&set), &format!("{} trial {trial}", case.name()));
        }
    }
}

#[test]
fn a_view_or_trap_named_like_a_table_is_not_read() {
    let set = set();
    let hostile = database(|connection| {
        connection
            .execute_batch(
                "CREATE TABLE jid (_id INTEGER PRIMARY KEY, user TEXT, server TEXT, raw_string TEXT);
                 CREATE TABLE chat (_id INTEGER PRIMARY KEY, jid_row_id INTEGER, subject TEXT);
                 CREATE VIEW message AS WITH RECURSIVE n(_id) AS (SELECT 1 UNION ALL SELECT _id + 1 FROM n)
                     SELECT _id, 1 AS chat_row_id, 1 AS from_me, 'k' AS key_id, 0 AS sender_jid_row_id, 0 AS status, 0 AS timestamp,
                            0 AS message_type, 'x' AS text_data FROM n",
            )
            .unwrap();
    });
    let bodies = Unit::new("data/data/com.whatsapp/databases/msgstore.db", &hostile).read(&set);
    assert!(bodies.iter().all(|body| !matches!(body, Body::Record(_))));
    let drift = bodies.iter().any(|body| matches!(body, Body::Problem(problem) if problem.detail.contains("missing message")));
    assert!(drift, "a view where a table should be is told");
}
