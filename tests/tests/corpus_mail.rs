//! All mail of the corpus against what `MANIFEST.tsv`, the truths beside the files and other readers say is in it; printed as a table.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use model::{Body, Locator, Record, State};
use normalize::artifact::Set;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tests::unit::Unit;

/// What was counted of one kind of file.
#[derive(Default)]
struct Row {
    files: usize,
    expected: usize,
    found: usize,
    differences: Vec<String>,
}

/// Messages that stand in the file itself, and those inside of others; entries of address books count as messages, as libpff counts them.
fn found(path: &Path) -> (usize, usize, usize) {
    let (mut outer, mut inner, mut attachments) = (0, 0, 0);
    for body in Unit::of(path).read(&Set::load(None).unwrap()) {
        let Body::Record(record) = body else { continue };
        if record.provenance().state != State::Live {
            continue;
        }
        match (&record, &record.provenance().locator) {
            (Record::Attachment(_), _) => attachments += 1,
            (Record::Message(_) | Record::Contact(_), Locator::Pointer { pointer, .. })
                if pointer.starts_with("/part/") || pointer.contains("/attachment/") || pointer.contains("__attach_") =>
            {
                inner += 1;
            }
            (Record::Message(_) | Record::Contact(_), _) => outer += 1,
            _ => {}
        }
    }
    (outer, inner, attachments)
}

/// Messages inside of the message whose parse this is.
fn nested(truth: &Value) -> usize {
    match truth {
        Value::Object(fields) => fields.iter().map(|(key, value)| usize::from(key == "Message") + nested(value)).sum(),
        Value::Array(values) => values.iter().map(nested).sum(),
        _ => 0,
    }
}

/// The number that follows or precedes a word of a manifest row.
fn number(truth: &str, behind: &str, before: &str) -> Option<usize> {
    let rest = truth.split_once(behind)?.1;
    rest.split_once(before)?.0.trim().rsplit(' ').next()?.parse().ok()
}

/// What the manifest says that a file holds: messages in it, messages inside of these, attachments where it counts them.
fn expected(path: &str, truth: &str, corpus: &Path) -> Option<(&'static str, usize, usize, Option<usize>)> {
    let kind = ["eml", "emlx", "msg", "mbox", "pst", "dbx"].into_iter().find(|end| path.ends_with(&format!(".{end}")));
    match kind {
        Some("eml") => {
            let parsed: Value =
                serde_json::from_slice(&std::fs::read(corpus.join(path).with_extension("json")).unwrap()).unwrap();
            Some(("eml", 1, nested(&parsed), None))
        }
        Some("mbox") => {
            let count = number(truth, "peer summary:", "messages").or_else(|| truth.strip_prefix("^From_ lines ")?.parse().ok());
            Some(("mbox", count?, 0, None))
        }
        Some("pst") => Some(("pst", number(truth, "folders,", "items")?, 0, number(truth, "),", "attachments"))),
        Some(kind) => truth.starts_with("1 message").then_some((kind, 1, 0, None)),
        None => (path.contains("rfc822") && truth.starts_with("1 message")).then_some(("rfc822 without a name", 1, 0, None)),
    }
}

#[test]
fn every_message_of_the_corpus_is_found() {
    let Some(corpus) = tests::corpus() else { return };
    let manifest = std::fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut uncounted = Vec::new();
    for line in manifest.lines().filter(|line| line.starts_with("mail/")) {
        let columns: Vec<_> = line.split('\t').collect();
        let (path, truth) = (columns[0], columns[columns.len() - 1]);
        let Some((kind, outer, inner, attachments)) = expected(path, truth, &corpus) else {
            uncounted.push(path);
            continue;
        };
        let (has, inside, files) = found(&corpus.join(path));
        let mut count = |what: &str, expected: usize, found: usize| {
            let row = rows.entry(format!("{kind}{what}")).or_default();
            row.files += 1;
            row.expected += expected;
            row.found += found;
            if expected != found {
                row.differences.push(format!("{path}: {expected}, found {found}"));
            }
        };
        count("", outer, has);
        if kind == "eml" {
            count(", messages inside", inner, inside);
        }
        if let Some(attachments) = attachments {
            count(", attachments", attachments, files);
        }
    }
    eprintln!("| kind | files | expected | found |\n|---|---|---|---|");
    for (kind, row) in &rows {
        eprintln!("| {kind} | {} | {} | {} |", row.files, row.expected, row.found);
    }
    eprintln!("without a count: {uncounted:?}");
    let differences: Vec<_> = rows.values().flat_map(|row| &row.differences).collect();
    assert_eq!(differences, [] as [&String; 0]);
    assert!(rows.values().map(|row| row.files).sum::<usize>() > 80, "{:?}", rows.keys());
}
