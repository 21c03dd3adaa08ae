//! Merged bundles: one content root for any order and grouping; every part keeps its seal and can be checked; what differs is named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(clippy::disallowed_methods, reason = "bundles of our own")]

use export::{Context, Error, Joining, MergeWatch, Merged, UnitKey, Watch};
use model::item::FileTimes;
use model::observable::{Encoding, Finder};
use model::record::{Message, Thread};
use model::wire::Batch;
use model::*;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::Command;
use stream::{Publish, embedded};
use tempfile::TempDir;
use tests::random::Random;

struct Quiet;
impl Watch for Quiet {}
impl MergeWatch for Quiet {}

/// One exhibit to be made: wallets are seen in it by number, with what they are worth there.
struct Made {
    case_label: &'static str,
    number: String,
    messages: u64,
    wallets: Vec<(u64, Validity)>,
}

impl Made {
    fn new(case_label: &'static str, number: u64) -> Made {
        // Wallet 0 is on every exhibit, weak on some; the others on two each.
        let validity = if number.is_multiple_of(3) { Validity::Checksum } else { Validity::Context };
        let wallets = vec![(0, validity), (number + 1, Validity::Checksum), (number + 2, Validity::Format)];
        Made { case_label, number: format!("A-{number}"), messages: 3 + number % 4, wallets }
    }

    fn exhibit(&self) -> Id {
        Exhibit::id_of(self.case_label, &self.number)
    }

    fn item(&self) -> Id {
        Item::id_of(self.exhibit(), None, b"db", 0, false)
    }

    fn at(&self, table: &str, row_id: u64) -> Provenance {
        let definition = Definition::new(self.exhibit(), "test", Digest::of(b"definition")).id;
        let locator = Locator::Row { table: table.to_owned(), row_id: row_id as i64 };
        Provenance { exhibit: self.exhibit(), item: self.item(), locator, state: State::Live, definition, part: None }
    }

    fn message(&self, row_id: u64) -> Body {
        let (recipient, edited, subject, message_key, quoted_key, quoted_text, quoted_sender) = Default::default();
        let (forwarded, status, extra, received) = Default::default();
        Body::Record(Record::Message(Box::new(Message {
            provenance: self.at("message", row_id),
            app: "Test".into(),
            thread_key: Some("room".into()),
            sender: Some("Dara".into()),
            recipient,
            outgoing: Some(false),
            sent: Some(Stamp::integer(1_714_521_600 + row_id as i64, TimeUnit::UnixS)),
            received,
            edited,
            text: Some(format!("message {row_id} of {} ខ្មែរ", self.number)),
            subject,
            message_type: Some("text".into()),
            message_key,
            quoted_key,
            quoted_text,
            quoted_sender,
            forwarded,
            status,
            extra,
        })))
    }

    fn sighting(&self, place: usize, (wallet, validity): (u64, Validity)) -> Body {
        let (record, field, field_offset, row, support) = Default::default();
        Body::Sighting(Box::new(Sighting {
            observable: Observable {
                kind: ObservableKind::WalletAddress,
                value: format!("wallet {wallet}"),
                chain: Some("test".into()),
                validity,
            },
            exhibit: self.exhibit(),
            item: self.item(),
            finder: Finder::Scan,
            record,
            field,
            field_offset,
            byte_offset: Some(100 * place as u64),
            byte_length: Some(9),
            encoding: Encoding::Utf8,
            row,
            support,
            context: "to".into(),
        }))
    }

    fn records(&self) -> Vec<Body> {
        let mut bodies = vec![Body::Record(Record::Thread(Thread {
            provenance: self.at("chat", 1),
            app: "Test".into(),
            thread_key: "room".into(),
            name: Some("Room".into()),
            thread_type: None,
            created: None,
            implied: false,
        }))];
        bodies.extend((0..self.messages).map(|row| self.message(row)));
        bodies.extend(self.wallets.iter().enumerate().map(|(place, wallet)| self.sighting(place, *wallet)));
        for (kind, table, records) in [("thread", "chat", 1), ("message", "message", self.messages)] {
            bodies.push(Body::Ledger(LedgerRow {
                exhibit: self.exhibit(),
                item: self.item(),
                source: format!("{table}→{kind}"),
                record_kind: kind.into(),
                row_table: Some(table.into()),
                rows_seen: records,
                records,
                rejected: 0,
                reason: None,
            }));
        }
        bodies
    }

    fn bodies(&self) -> Vec<Body> {
        let records = self.records();
        let (parent, path_raw, link_target, sha1, md5, media_type, mode, owner, reason) = Default::default();
        let item = Item {
            id: self.item(),
            exhibit: self.exhibit(),
            parent,
            path: "db".into(),
            path_raw,
            file_kind: FileKind::File,
            link_target,
            size_bytes: 1,
            sha256: Some(Digest([7; 32])),
            sha1,
            md5,
            media_type,
            mode,
            owner,
            times: FileTimes::default(),
            deleted: false,
            status: ItemStatus::Parsed,
            reason,
            definition: None,
            announced: records.len() as u64,
        };
        let mut bodies = vec![
            Body::Definition(Definition::new(self.exhibit(), "test", Digest::of(b"definition"))),
            Body::Item(Box::new(item)),
            Body::Exhibit(Exhibit {
                id: self.exhibit(),
                case_label: self.case_label.into(),
                number: self.number.clone(),
                kind: "phone".into(),
                container: "directory".into(),
                size_bytes: 1,
                sha256: None,
            }),
            Body::End(ExhibitEnd { exhibit: self.exhibit(), items: 1, directories: 0, problems: 0, complete: true }),
        ];
        bodies.extend(records);
        bodies
    }
}

/// A folder with the keys of two units.
struct Bench {
    folder: TempDir,
    keys: [UnitKey; 2],
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let keys = ["one", "two"].map(|name| UnitKey::generate(&folder.path().join(name)).unwrap());
        Bench { folder, keys }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Seals an exhibit in a folder of its own.
    fn seal(&self, name: &str, key: Option<&UnitKey>, made: &Made) -> PathBuf {
        let settings = config::Settings { workers: 1, ..config::Settings::default() };
        let out = self.path(name);
        let context = Context { settings, work: out.join(".haul"), out, key: key.cloned() };
        let bodies = made.bodies();
        let (queues, _units, mut queue) = embedded::queues(1, 8);
        queues.batch(made.exhibit(), Batch { entries: bodies.iter().map(Entry::new).collect() }).unwrap();
        drop(queues);
        export::run(&context, &mut queue, &Quiet).unwrap().remove(0).path
    }

    /// Bundles of two units and two cases, the last one unsigned.
    fn bundles(&self, count: u64) -> Vec<PathBuf> {
        let bundle = |number: u64| {
            let made = Made::new(if number.is_multiple_of(2) { "CASE 7/α" } else { "CASE 8" }, number);
            let key = if number + 1 == count { None } else { Some(&self.keys[number as usize % 2]) };
            self.seal(&format!("out{number}"), key, &made)
        };
        (0..count).map(bundle).collect()
    }

    fn merge(&self, bundles: &[PathBuf], name: &str) -> Result<(PathBuf, Merged), Error> {
        let out = self.path(name);
        let joining = Joining { bundles, out: &out, key: Some(&self.keys[0]), threads: 2 };
        export::merge(&joining, &Quiet).map(|merged| (out, merged))
    }

    /// The names of files in the folder that a merge left and should not have.
    fn left(&self, name: &str) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|found| found.into_string().unwrap()).filter(|found| found.contains(name)).collect()
    }
}

fn python(bundle: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/verify.py");
    let output = Command::new("python3").arg("-B").arg(script).arg(bundle).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split_once(": ").expect("a line").1.trim_end().to_owned();
    assert_eq!(output.status.success(), words.starts_with("holds"), "{words}");
    words
}

fn one<T: rusqlite::types::FromSql>(bundle: &Path, sql: &str) -> T {
    export::open_read_only(bundle).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_merged_bundle_holds_for_us_and_for_a_stranger_and_names_its_parts() {
    let bench = Bench::new();
    let bundles = bench.bundles(5);
    let (out, merged) = bench.merge(&bundles, "all.sqlite").unwrap();
    let report = export::verify(&out).unwrap();
    assert!(report.holds(), "{report}");
    assert_eq!((merged.rows, merged.root, merged.content_root), (report.rows, report.root, report.content_root));
    let mut parts: Vec<_> = report.parts.iter().map(|part| (part.number.clone(), part.signer.to_string())).collect();
    parts.sort();
    let signer = |key: &UnitKey| format!("signed by {}", key.fingerprint());
    let mut expected: Vec<_> = (0..5).map(|number| (format!("A-{number}"), signer(&bench.keys[number as usize % 2]))).collect();
    expected[4].1 = "unsigned".to_owned();
    assert_eq!(parts, expected);
    assert_eq!(python(&out), format!("holds, {} rows, {}", report.rows, signer(&bench.keys[0])));
    // Every row of every part is there, and what parts have in common once.
    for table in ["message", "sighting", "thread", "item", "ledger", "definition", "exhibit"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let sum: i64 = bundles.iter().map(|bundle| one::<i64>(bundle, &sql)).sum();
        assert_eq!(one::<i64>(&out, &sql), sum, "{table}");
    }
    assert_eq!(one::<i64>(&out, "SELECT count(*) FROM observable"), 7);
    assert_eq!(one::<i64>(&out, "SELECT count(*) FROM part_observable"), 15);
    // Wallet 0 is checked by checksum on exhibit 0 alone: that counts, and what the others said is kept.
    assert_eq!(one::<String>(&out, "SELECT validity FROM observable WHERE value = 'wallet 0'"), "checksum");
    let weak = "SELECT count(*) FROM part_observable JOIN observable ON observable.id = observable_id
                WHERE value = 'wallet 0' AND part_observable.validity = 'context'";
    assert_eq!(one::<i64>(&out, weak), 3);
}

/// Issue 6: 500 random splits merged in random order give one content root; here also one file.
#[test]
fn random_splits_and_orders_give_one_content_root() {
    let bench = Bench::new();
    let bundles = bench.bundles(7);
    let (out, all) = bench.merge(&bundles, "all.sqlite").unwrap();
    let bytes = std::fs::read(&out).unwrap();
    let mut random = Random(20_261_123);
    for trial in 0..500 {
        // Every bundle goes into one group or two; groups are joined, then their results, by twos.
        let groups = 1 + random.below(4) as usize;
        let mut split: Vec<Vec<PathBuf>> = vec![Vec::new(); groups];
        for bundle in &bundles {
            for _ in 0..1 + random.below(2) {
                split[random.below(groups as u64) as usize].push(bundle.clone());
            }
        }
        let mut joined: Vec<PathBuf> = Vec::new();
        let mut made = 0;
        let mut join = |bundles: &[PathBuf]| {
            made += 1;
            bench.merge(bundles, &format!("trial{trial}-{made}")).unwrap()
        };
        for mut group in split.into_iter().filter(|group| !group.is_empty()) {
            for place in (1..group.len()).rev() {
                group.swap(place, random.below(place as u64 + 1) as usize);
            }
            joined.push(join(&group).0);
        }
        let mut last = None;
        while joined.len() > 1 || last.is_none() {
            let second = joined.swap_remove(random.below(joined.len() as u64) as usize);
            let first = joined.pop().unwrap_or_else(|| second.clone());
            let (path, merged) = join(&[first, second]);
            joined.push(path);
            last = Some(merged);
        }
        assert_eq!(last, Some(all.clone()), "trial {trial}");
        assert!(std::fs::read(&joined[0]).unwrap() == bytes, "trial {trial}");
        bench.left(&format!("trial{trial}-")).iter().for_each(|name| std::fs::remove_file(bench.path(name)).unwrap());
    }
}

#[test]
fn one_exhibit_sealed_by_two_units_keeps_both_seals() {
    let bench = Bench::new();
    let made = Made::new("CASE", 1);
    let bundles = [bench.seal("a", Some(&bench.keys[0]), &made), bench.seal("b", Some(&bench.keys[1]), &made)];
    let (out, merged) = bench.merge(&bundles, "both.sqlite").unwrap();
    let report = export::verify(&out).unwrap();
    assert!(report.holds(), "{report}");
    assert_eq!((merged.parts, report.parts.len()), (2, 2));
    assert_ne!(report.parts[0].signer, report.parts[1].signer);
    assert_eq!(one::<i64>(&out, "SELECT count(*) FROM exhibit"), 1);
    assert!(python(&out).starts_with("holds"));
}

#[test]
fn one_exhibit_with_different_content_is_a_conflict_that_names_both() {
    let bench = Bench::new();
    let first = bench.seal("a", Some(&bench.keys[0]), &Made::new("CASE", 1));
    let other = |change: &dyn Fn(&mut Made), name: &str| {
        let mut made = Made::new("CASE", 1);
        change(&mut made);
        bench.seal(name, Some(&bench.keys[1]), &made)
    };
    let more = other(&|made| made.messages += 1, "more");
    let stronger = other(&|made| made.wallets[0].1 = Validity::Checksum, "stronger");
    for second in [more, stronger] {
        for bundles in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
            let error = bench.merge(&bundles, "conflict.sqlite").unwrap_err();
            assert!(matches!(error, Error::Conflict { .. }), "{error}");
            let words = error.to_string();
            assert!(words.contains(first.to_str().unwrap()) && words.contains(second.to_str().unwrap()), "{words}");
            assert_eq!(bench.left("conflict"), Vec::<String>::new());
        }
    }
}

#[test]
fn what_is_no_bundle_or_does_not_hold_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let good = bench.bundles(2);
    let path = |name: &str| bench.path(name);
    std::fs::write(path("text"), "no database").unwrap();
    Connection::open(path("other")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    std::fs::copy(&good[1], path("changed")).unwrap();
    Connection::open(path("changed")).unwrap().execute("UPDATE message SET text = 'no'", []).unwrap();
    std::fs::write(path("cut"), &std::fs::read(&good[1]).unwrap()[..9000]).unwrap();
    for bad in ["text", "other", "changed", "cut", "missing"] {
        let error = bench.merge(&[good[0].clone(), path(bad)], "refused.sqlite").unwrap_err();
        assert!(error.to_string().contains(path(bad).to_str().unwrap()), "{bad}: {error}");
        assert_eq!(bench.left("refused"), Vec::<String>::new(), "{bad}");
    }
    let (out, _) = bench.merge(&good, "there.sqlite").unwrap();
    let before = std::fs::read(&out).unwrap();
    assert!(bench.merge(&good, "there.sqlite").is_err());
    assert_eq!(std::fs::read(&out).unwrap(), before);
}

#[test]
fn any_change_of_any_row_of_a_merged_bundle_is_found() {
    let bench = Bench::new();
    let (out, _) = bench.merge(&bench.bundles(3), "all.sqlite").unwrap();
    let changes = [
        "UPDATE part SET meta = replace(meta, 'false', 'true')",
        "UPDATE part SET signature = NULL, signer = 'unsigned'",
        "DELETE FROM part WHERE id = (SELECT min(id) FROM part)",
        "DELETE FROM part",
        "UPDATE part_observable SET validity = 'checksum'",
        "DELETE FROM part_observable WHERE id = (SELECT max(id) FROM part_observable)",
        "UPDATE observable SET validity = 'format'",
        "UPDATE message SET text = 'no' WHERE id = (SELECT max(id) FROM message)",
        "DELETE FROM message WHERE id = (SELECT max(id) FROM message)",
        "UPDATE exhibit SET number = 'B'",
        "UPDATE seal SET signature = (SELECT signature FROM part WHERE signature IS NOT NULL)",
        "UPDATE seal_tile SET hashes = zeroblob(length(hashes))",
        "DROP TABLE part_observable",
        "DROP TABLE part",
    ];
    for change in changes {
        let changed = bench.path("changed.sqlite");
        std::fs::copy(&out, &changed).unwrap();
        let connection = Connection::open(&changed).unwrap();
        connection.execute_batch(change).unwrap();
        connection.execute_batch("VACUUM").unwrap();
        connection.close().unwrap();
        assert!(!export::verify(&changed).unwrap().holds(), "{change}");
        assert!(python(&changed).starts_with("does not hold"), "{change}");
    }
}

/// Who joins bundles can sign anything; what a part's own unit sealed it cannot change.
#[test]
fn the_joining_unit_cannot_change_a_part() {
    let bench = Bench::new();
    let (out, _) = bench.merge(&bench.bundles(3), "all.sqlite").unwrap();
    let connection = Connection::open(&out).unwrap();
    connection.execute("UPDATE message SET text = 'I did it' WHERE id = (SELECT max(id) FROM message)", []).unwrap();
    let report = export::verify(&out).unwrap();
    let origin = report.checkpoint.lines().next().unwrap();
    let text = export::bundle::checkpoint::text(origin, report.rows, report.root);
    let signature = bench.keys[0].sign(&text).unwrap();
    connection.execute("UPDATE seal SET checkpoint = ?1, signature = ?2", (text, signature)).unwrap();
    connection.close().unwrap();
    let report = export::verify(&out).unwrap();
    let wrong = report.wrongs.iter().find(|wrong| wrong.check == "part").expect("a part that is wrong");
    assert!(wrong.detail.contains("the checkpoint's root"), "{wrong}");
    assert!(python(&out).starts_with("does not hold"));
}

#[test]
fn what_two_bundles_have_in_common_is_listed_with_its_exhibits() {
    let bench = Bench::new();
    let bundles = bench.bundles(4);
    let (merged, _) = bench.merge(&bundles[..3], "three.sqlite").unwrap();
    let common = export::matching(&merged, &bundles[3]).unwrap();
    let found: Vec<_> = common
        .iter()
        .map(|common| {
            let [first, second] = common.sides.each_ref().map(|side| (side.validity.as_str(), side.sightings));
            let exhibits: Vec<&str> = common.sides[0].exhibits.iter().map(|(_, number)| number.as_str()).collect();
            (common.value.as_str(), first, second, exhibits)
        })
        .collect();
    // Exhibit n has wallets 0, n + 1 and n + 2: with exhibit 3 the others share 0 and 4.
    let expected = [
        ("wallet 0", ("checksum", 3), ("checksum", 1), vec!["A-0", "A-2", "A-1"]),
        ("wallet 4", ("format", 1), ("checksum", 1), vec!["A-2"]),
    ];
    assert_eq!(found, expected);
    assert!(export::matching(&bundles[0], &bench.path("one")).is_err());
}

/// The commands as they are typed: their exit codes, and data on stdout alone.
#[test]
fn the_commands_say_how_it_went() {
    let bench = Bench::new();
    let bundles = bench.bundles(3);
    let haul = |words: &[&str], paths: &[&PathBuf]| {
        let mut command = Command::new(tests::command::binary("haul"));
        command.args(words).args(paths).env("HAUL_KEY", bench.path("one"));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let out = bench.path("all.sqlite");
    let merge = ["merge", "-o", out.to_str().unwrap()];
    std::fs::copy(&bundles[0], bench.path("changed")).unwrap();
    Connection::open(bench.path("changed")).unwrap().execute("UPDATE message SET text = 'no'", []).unwrap();
    let (code, stdout, stderr) = haul(&merge, &[&bundles[1], &bench.path("changed")]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("changed does not hold: row: table message"), "{stderr}");
    assert_eq!(haul(&merge, &[&bundles[0], &bench.path("missing")]).0, Some(2));
    assert_eq!(bench.left("all"), Vec::<String>::new());
    let (code, stdout, stderr) = haul(&merge, &[&bundles[0], &bundles[1], &bundles[2]]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("3 bundles joined"), "{stdout}");
    let (code, stdout, _) = haul(&["verify"], &[&out]);
    assert_eq!((code, stdout.lines().filter(|line| line.starts_with("  part: case ")).count()), (Some(0), 3), "{stdout}");
    assert_eq!(haul(&merge, &[&bundles[0]]).0, Some(2));
    // Exhibits 1 and 2 share wallets 0 and 3.
    let (code, stdout, stderr) = haul(&["match"], &[&bundles[1], &bundles[2]]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 3), "{stdout}");
    assert!(stderr.contains("2 observables in common"), "{stderr}");
    let (_, stdout, _) = haul(&["match", "--jsonl"], &[&bundles[1], &bundles[2]]);
    assert!(stdout.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"] == "wallet_address"));
}
