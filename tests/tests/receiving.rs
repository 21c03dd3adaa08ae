//! docs/receiving.md is gone through as a receiving unit would: its commands, word for word and in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::fs;
use std::process::Command;
use tests::command::{binary, expect_code, haul_run};
use tests::evidence::{Size, make};

/// The lines of the page's blocks of commands.
fn commands(page: &str) -> String {
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.map(|block| block.strip_prefix("sh\n").expect("a block of commands")).collect()
}

#[test]
fn the_receiving_units_page_works_as_it_is_written() {
    let page = fs::read_to_string(tests::root().join("docs/receiving.md")).unwrap();
    let commands = commands(&page);
    assert!(commands.lines().count() > 20, "{commands}");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    make(&path("evidence"), Size { sms: 20, telegram: 10, pictures: 1 }, 11);
    expect_code(&mut haul_run(&path("evidence"), &path("sent"), &path("sender/key")), 0);
    // The receiver's own exhibit of the same people.
    fs::create_dir(path("own")).unwrap();
    fs::write(path("own/note.txt"), format!("pay {}", tests::evidence::WALLET)).unwrap();
    let run = ["run", "own", "--case", "OWN", "--exhibit", "own", "--out", "here"];
    let mut haul = Command::new(binary("haul"));
    expect_code(haul.args(run).env("HAUL_KEY", path("receiver/key")).current_dir(folder.path()), 0);
    fs::remove_file(path("receiver/key")).unwrap();
    fs::remove_file(path("receiver/key.pub")).unwrap();
    for (from, to) in [
        ("sent/1.sqlite", "A.sqlite"),
        ("sent/1.sqlite.custody.jsonl", "A.sqlite.custody.jsonl"),
        ("sender/key.pub", "sender.pub"),
        ("here/own.sqlite", "own.sqlite"),
    ] {
        fs::copy(path(from), path(to)).unwrap();
    }
    let before = tests::command::sha256(&path("A.sqlite"));
    let programs = format!("{}:{}", binary("haul").parent().unwrap().display(), std::env::var("PATH").unwrap());
    let run = |commands: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-euxo", "pipefail", "-c", commands]).env("PATH", &programs).current_dir(folder.path());
        shell.env("HAUL_KEY", path("receiver/key")).env("HAUL_ACTOR", "Sergeant Chan").env("PYTHONDONTWRITEBYTECODE", "1");
        String::from_utf8(expect_code(shell.env_remove("HAUL_KEYRING"), 0).stdout).unwrap()
    };
    // Between the two the sender answers with a part, to the key that the receiver made.
    let (first, second) = commands.split_at(commands.find("haul open").unwrap());
    let mut words = run(first);
    let mut share = Command::new(binary("haul"));
    share.args(["share", "sent/1.sqlite", "--to", "receiver/key.pub", "-o", "letter.age", "--purpose", "request 7/2026"]);
    share.args(["--reason", "request 7/2026", "--retain-until", "2027-01-31"]).env("HAUL_KEY", path("sender/key"));
    expect_code(share.current_dir(folder.path()), 0);
    words += &run(second);
    assert!(words.contains("signer: Phnom Penh, in your keyring since 2"), "{words}");
    assert!(words.contains("Good \"haul-bundle\" signature") && words.contains(": holds, "), "{words}");
    assert!(words.contains(tests::evidence::WALLET), "{words}");
    assert_eq!(tests::command::sha256(&path("A.sqlite")), before, "it was only read");
    let entries = export::custody::check(&path("A.sqlite"), None).unwrap().chain.entries;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["seal", "verify", "receive", "export", "export", "export"]);
    let entries = export::custody::check(&path("part.sqlite"), None).unwrap().chain.entries;
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["open", "verify", "export"]);
    assert!(words.contains("shared: signer: Phnom Penh, in your keyring since 2"), "{words}");
    for file in ["report.html", "csv", "stix.json", "stop", "both.sqlite.custody.jsonl", "part.html", "part/observable.csv"] {
        assert!(path(file).exists(), "{file}");
    }
}
