//! What no compiler holds: the shape of the house.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which crate may name which: the edges of DESIGN §3, drawn in ARCHITECTURE.md.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("stream", &["model", "config"]),
    ("ingest", &["model", "config", "stream"]),
    ("normalize", &["model", "config", "stream"]),
    ("export", &["model", "config", "stream"]),
    ("haul", &["model", "config", "stream", "ingest", "normalize", "export"]),
];

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 70;

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Production sources: every crate's `src`, without the tests crate.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (name, _) in EDGES {
        rust_files(&tests::root().join(name).join("src"), &mut found);
    }
    found.sort();
    found
}

/// The lines of a file without its inline tests.
fn without_tests(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = Vec::new();
    let mut skipping: Option<String> = None;
    for line in text.lines() {
        match &skipping {
            Some(end) if line == end => skipping = None,
            Some(_) => {}
            None if line.trim_start().starts_with("#[cfg(test)]") => {
                let indent = &line[..line.len() - line.trim_start().len()];
                skipping = Some(format!("{indent}}}"));
            }
            None => lines.push(line.to_owned()),
        }
    }
    lines
}

fn relative(path: &Path) -> String {
    path.strip_prefix(tests::root()).unwrap().display().to_string()
}

#[test]
fn crates_depend_one_way() {
    let names: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in EDGES {
        let manifest: toml::Table =
            toml::from_str(&fs::read_to_string(tests::root().join(name).join("Cargo.toml")).unwrap()).unwrap();
        let found: BTreeSet<&str> =
            manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).filter(|key| names.contains(key)).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(found.is_subset(&allowed), "{name} names {found:?}, may name {allowed:?}");
    }
}

#[test]
fn files_and_functions_are_short() {
    let mut long = Vec::new();
    for path in sources() {
        let lines = without_tests(&path);
        if lines.len() > LONGEST_FILE {
            long.push(format!("{}: {} lines", relative(&path), lines.len()));
        }
        for (number, line) in lines.iter().enumerate() {
            let words = line.trim_start();
            let start = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn "].iter().any(|prefix| words.starts_with(prefix));
            if !start || line.trim_end().ends_with(['}', ';']) {
                continue;
            }
            let end = format!("{}}}", &line[..line.len() - words.len()]);
            let length = lines[number..].iter().position(|line| *line == end).map_or(0, |lines| lines + 1);
            if length > LONGEST_FUNCTION {
                long.push(format!("{}: {} is {length} lines", relative(&path), words));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_folder_of_leftovers() {
    let banned = ["util", "utils", "common", "helpers", "helper", "manager", "misc", "mod"];
    let found: Vec<_> =
        sources().into_iter().filter(|path| banned.contains(&path.file_stem().unwrap().to_str().unwrap())).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn evidence_trouble_is_not_logged_away() {
    let mut found = Vec::new();
    for path in sources() {
        let name = relative(&path);
        let parsing = ["normalize/src/parse", "normalize/src/decode", "normalize/src/find", "model/src/recognize"];
        let quiet = parsing.iter().any(|folder| name.starts_with(folder));
        for line in without_tests(&path) {
            let swallowed = line.contains("filter_map(Result::ok)") || line.contains(".flatten().flatten()");
            let logged = quiet && (line.contains("warn!(") || line.contains("error!("));
            if swallowed || logged {
                found.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_definition_and_parser_has_a_fixture_and_every_fixture_an_owner() {
    let root = tests::root();
    let mut owners: BTreeSet<String> = normalize::parse::PARSERS.iter().map(|parser| parser.name().to_owned()).collect();
    for entry in fs::read_dir(root.join("normalize/artifacts")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            owners.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    // Made of the database's own schema.
    owners.insert(normalize::artifact::LAVA.to_owned());
    let fixtures: BTreeMap<String, usize> = fs::read_dir(root.join("tests/fixtures"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| (entry.file_name().to_str().unwrap().to_owned(), fs::read_dir(entry.path()).unwrap().count()))
        .collect();
    let without: Vec<_> = owners.iter().filter(|owner| fixtures.get(*owner).is_none_or(|cases| *cases == 0)).collect();
    let orphans: Vec<_> = fixtures.keys().filter(|name| !owners.contains(*name)).collect();
    assert!(without.is_empty() && orphans.is_empty(), "without fixture: {without:?}, without owner: {orphans:?}");
}

#[test]
fn architecture_names_a_test_for_every_invariant() {
    let text = fs::read_to_string(tests::root().join("ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() <= 150, "ARCHITECTURE.md is longer than 150 lines");
    let mut all = Vec::new();
    rust_files(&tests::root().join("tests"), &mut all);
    rust_files(&tests::root().join("normalize/tests"), &mut all);
    all.extend(sources());
    let code: String = all.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut rows = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && line.split('|').count() == 5) {
        let Some(number) = row.split('|').nth(1).map(str::trim).filter(|cell| cell.parse::<u32>().is_ok()) else { continue };
        rows += 1;
        let tests: Vec<&str> = row.split('|').nth(3).unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "invariant {number} names no test");
        for test in tests {
            let name = test.rsplit("::").next().unwrap();
            assert!(code.contains(&format!("fn {name}(")), "invariant {number} names {test}, which is not there");
        }
    }
    assert_eq!(rows, 9, "DESIGN has nine invariants");
}
