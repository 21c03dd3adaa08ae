//! Records of real databases of apps against what `MANIFEST.tsv`, peers' own tests and stock `sqlite3` say is in them: sample × table →
//! record, rows seen, records, and spot values.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use model::{Body, ItemStatus, Record, State};
use normalize::artifact::Set;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tests::unit::Unit;

/// What a sample must give.
struct Sample {
    /// In the corpus; `ZIP!PATH ENDING` for a file in an archive.
    path: &'static str,
    /// `table→kind`, rows in the table, records of them.
    rows: &'static [(&'static str, u64, u64)],
    /// Texts that must stand in a record of that kind, as JSON has them.
    values: &'static [(&'static str, &'static [&'static str])],
}

include!("corpus_apps/samples.rs");

/// The content of a sample, with its `-wal`; `None` where the corpus is not there.
fn unit(sample: &str) -> Option<Unit> {
    let corpus = tests::corpus()?;
    let Some((archive, ending)) = sample.split_once('!') else {
        return Some(Unit::of(&corpus.join(sample)));
    };
    let files = unpacked(&corpus.join(archive));
    let (name, content) = files.iter().find(|(name, _)| name.ends_with(ending)).unwrap();
    let mut unit = Unit::new(name, content);
    if let Some(wal) = files.get(&format!("{name}-wal")) {
        unit = unit.with("-wal", wal);
    }
    Some(unit)
}

fn unpacked(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut files = BTreeMap::new();
    for number in 0..archive.len() {
        let mut file = archive.by_index(number).unwrap();
        let mut content = Vec::new();
        std::io::copy(&mut file, &mut content).unwrap();
        files.insert(file.name().unwrap().into_owned(), content);
    }
    files
}

fn definitions() -> PathBuf {
    tests::root().join("normalize/artifacts")
}

#[test]
fn real_databases_give_what_is_known_of_them() {
    let set = Set::load(Some(&definitions())).unwrap();
    let mut wrong = Vec::new();
    for sample in SAMPLES {
        let Some(unit) = unit(sample.path) else { return };
        let bodies = unit.read_database(&set);
        let mut records: Vec<(&str, String)> = Vec::new();
        let mut ledger = BTreeMap::new();
        for body in &bodies {
            match body {
                Body::Record(record) => records.push((record.kind(), json(record))),
                Body::Ledger(row) => {
                    assert!(row.adds_up());
                    ledger.insert(row.source.clone(), (row.rows_seen, row.records, row.reason.clone()));
                }
                Body::Problem(problem) => eprintln!("  {}: {}: {}", sample.path, problem.code.name(), problem.detail),
                Body::Item(item) => assert_ne!(item.status, ItemStatus::Plain, "{}: no definition reads it", sample.path),
                _ => {}
            }
        }
        for &(source, rows, expected) in sample.rows {
            let found = ledger.remove(source);
            let (seen, count, reason) = found.unwrap_or_default();
            eprintln!(
                "{:<72} {source:<44} {rows:>5} {expected:>5} {seen:>5} {count:>5} {}",
                sample.path,
                reason.unwrap_or_default()
            );
            if (seen, count) != (rows, expected) {
                wrong.push(format!(
                    "{} {source}: {rows} rows and {expected} records expected, {seen} and {count} found",
                    sample.path
                ));
            }
        }
        // Rows that are not live are beyond what any of these tools gives.
        let beyond = |source: &str| {
            [State::Recovered, State::Superseded].iter().any(|state| source.ends_with(&format!("({})", state.name())))
        };
        for (source, (seen, count, _)) in ledger.iter().filter(|(source, _)| beyond(source)) {
            eprintln!("{:<72} {source:<44} {:>5} {:>5} {seen:>5} {count:>5} beyond", sample.path, "-", "-");
        }
        for (source, (seen, count, _)) in ledger.iter().filter(|(source, counts)| counts.0 > 0 && !beyond(source)) {
            wrong.push(format!("{} {source}: nothing is known of its {seen} rows ({count} records)", sample.path));
        }
        for (kind, texts) in sample.values {
            if !records.iter().any(|(found, json)| found == kind && texts.iter().all(|text| json.contains(text))) {
                wrong.push(format!("{}: no {kind} with {texts:?}", sample.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The record's fields, without its provenance.
fn json(record: &Record) -> String {
    let mut value = serde_json::to_value(record).unwrap();
    for fields in value.as_object_mut().unwrap().values_mut() {
        fields.as_object_mut().unwrap().remove("provenance");
    }
    value.to_string()
}
