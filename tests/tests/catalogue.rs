//! `docs/artifacts.md` against the definitions and parsers themselves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use normalize::artifact::Set;
use std::fmt::Write as _;
use std::fs;

/// Where the made part begins.
const MARK: &str = "<!-- made from the definitions: UPDATE_EXPECT=1 cargo test -p tests --test catalogue -->\n";

/// The cases of a definition, by folder.
fn cases(name: &str) -> String {
    let entries = fs::read_dir(tests::root().join("tests/fixtures").join(name)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.join(", ")
}

fn catalogue() -> String {
    let mut page = String::from(
        "\n| definition | app | platform | records | generations | proven on | fixtures |\n|---|---|---|---|---|---|---|\n",
    );
    for artifact in Set::load(Some(&tests::root().join("normalize/artifacts"))).unwrap().artifacts() {
        let (name, text) = (&artifact.name, &artifact.text);
        let (kinds, count, evidence) = (artifact.kinds().join(", "), text.variant.len(), text.evidence.name());
        let (app, platform, cases) = (&text.app, &text.platform, cases(name));
        writeln!(
            page,
            "| [`{name}`](../normalize/artifacts/{name}.toml) | {app} | {platform} | {kinds} | {count} | {evidence} | [{cases}](../tests/fixtures/{name}) |"
        )
        .unwrap();
    }
    page.push_str("\n| parser | version |\n|---|---|\n");
    for parser in normalize::parse::PARSERS {
        writeln!(page, "| `{}` | {} |", parser.name(), parser.version()).unwrap();
    }
    page
}

#[test]
fn the_catalogue_is_what_the_definitions_say() {
    let path = tests::root().join("docs/artifacts.md");
    let mut page = fs::read_to_string(&path).unwrap();
    let head = page.split_once(MARK).unwrap().0.to_owned();
    let wanted = format!("{head}{MARK}{}", catalogue());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &wanted).unwrap();
        page.clone_from(&wanted);
    }
    assert_eq!(page, wanted, "docs/artifacts.md");
}
