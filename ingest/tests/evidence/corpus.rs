//! The corpus beside the repository: every archive in it is read, or a problem says why not. Counts are those of its manifest, which
//! independent tools (bsdtar, Python's zipfile) made.

use crate::world::{Told, World};
use model::ItemStatus;
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    corpus.is_dir().then_some(corpus)
}

/// The number before a word in a truth: `bsdtar 3.6.2: 6 entries, rc 0`.
fn count(truth: &str, before: &str, after: &str) -> Option<u64> {
    let rest = truth.split(before).nth(1)?;
    rest.split(after).next()?.trim().parse().ok()
}

/// Rows of the ledger of the exhibit's own container, or of the tar in it.
fn entries(told: &Told) -> Option<u64> {
    let root = told.items.iter().find(|item| item.parent.is_none())?;
    told.ledger().find(|row| row.item == root.id).map(|row| row.rows_seen)
}

/// Archives that the named tool and we count differently, and why.
const OTHERWISE: &[(&str, &str)] = &[
    ("hostile/libarchive/test_compat_solaris_tar_acl.tar", "Solaris keeps access lists in entries of their own; they are items"),
    ("hostile/libarchive/test_compat_tar_directory_1.tar", "a directory with a size swallows the next header; a problem says so"),
];

#[test]
fn every_archive_of_the_corpus_is_read_or_a_problem_says_why() {
    let Some(corpus) = corpus() else { return };
    let manifest = std::fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let (mut read, mut compared, mut wrong) = (0, 0, Vec::new());
    for line in manifest.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (path, truth) = (fields[0], fields[8]);
        if !path.starts_with("hostile/") {
            continue;
        }
        let told = World::new().take(&corpus.join(path));
        read += 1;
        let root = told.items.iter().find(|item| item.parent.is_none()).unwrap();
        assert_eq!(told.items.iter().filter(|item| item.parent.is_none()).count(), 1);
        assert_eq!(root.sha256.unwrap().to_string(), fields[1], "{path}");
        let zip = root.definition.as_deref() == Some("zip");
        let expected = if zip { count(truth, "python zipfile:", "entries") } else { None };
        let tar = root.definition.as_deref().is_some_and(|name| name.starts_with("tar"));
        let bsdtar = if tar && truth.contains("rc 0") { count(truth, "bsdtar 3.6.2:", "entries") } else { None };
        let Some(expected) = expected.or(bsdtar) else { continue };
        compared += 1;
        if entries(&told) != Some(expected) && !OTHERWISE.iter().any(|(known, _)| *known == path) {
            let problems: Vec<_> = told.problems().map(|problem| format!("{:?} {}", problem.code, problem.detail)).collect();
            wrong.push(format!("{path}: expected {expected}, found {:?}; {problems:?}", entries(&told)));
        }
        assert!(root.status != ItemStatus::Failed, "{path}");
    }
    eprintln!("{read} files read, {compared} counts compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 100);
}
