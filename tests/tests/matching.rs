//! Private matching as two units would do it: two bundles, two keys each, two files; against plain matching of the same bundles.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use tests::command::{binary, expect_code, haul_run};

/// What both units have: a phone number, an address, a wallet (the genesis block's), each written in another way.
const OURS: &str = "call +855 12 345 678 or +66 2 123 4567, Boss@Example.org, pay 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";
const THEIRS: &str = "tel:+85512345678\n+84 24 3825 0000 Boss@EXAMPLE.ORG bitcoin:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";

struct Unit {
    folder: TempDir,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Unit {
    /// A unit with a sealed bundle of one text, and a second key.
    fn new(note: &str) -> Unit {
        let unit = Unit { folder: tempfile::tempdir().unwrap() };
        let evidence = unit.path("evidence");
        fs::create_dir(&evidence).unwrap();
        fs::write(evidence.join("note.txt"), note).unwrap();
        expect_code(&mut haul_run(&evidence, &unit.path("out"), &unit.path("key")), 0);
        unit.haul(&["keygen", text(&unit.path("supervisor"))], 0);
        unit
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle(&self) -> String {
        text(&self.path("out/1.sqlite")).to_owned()
    }

    fn haul_as(&self, key: &str, arguments: &[&str], code: i32) -> (String, String) {
        let mut command = Command::new(binary("haul"));
        command.args(arguments).env("HAUL_KEY", self.path(key)).env("HAUL_ACTOR", "Sergeant Chan").env_remove("HAUL_KEYRING");
        let Output { stdout, stderr, .. } = expect_code(&mut command, code);
        (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    fn haul(&self, arguments: &[&str], code: i32) -> (String, String) {
        self.haul_as("key", arguments, code)
    }

    fn knows(&self, name: &str, other: &Unit, key: &str, used: &str) {
        let key = other.path(key);
        self.haul(&["keys", "add", name, text(&key), "--use", used, "--reason", "compared by telephone"], 0);
    }

    /// A request that the analyst made and the supervisor allowed.
    fn request(&self, name: &str, more: &[&str]) -> String {
        let (made, allowed) = (self.path(name), self.path(&format!("{name}.allowed")));
        let bundle = self.bundle();
        let words =
            ["match", "request", &bundle, "--to", "Bangkok", "--purpose", "case 7", "--basis", "agreement", "-o", text(&made)];
        let (_, told) = self.haul(&[&words[..], more].concat(), 0);
        assert!(told.contains("up to the cap") && told.contains("stays here"), "{told}");
        assert!(!told.contains("anonym"));
        let (_, shown) = self.haul_as("supervisor", &["match", "approve", text(&made), "-o", text(&allowed)], 0);
        assert!(shown.contains("purpose: case 7"), "{shown}");
        text(&allowed).to_owned()
    }
}

fn units() -> (Unit, Unit) {
    let (asking, answering) = (Unit::new(OURS), Unit::new(THEIRS));
    asking.knows("Bangkok", &answering, "key.pub", "match");
    answering.knows("Phnom Penh", &asking, "key.pub", "match");
    answering.knows("Phnom Penh", &asking, "supervisor.pub", "supervise");
    (asking, answering)
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn two_units_learn_what_they_share_and_it_is_on_record() {
    let (asking, answering) = units();
    let request = asking.request("request", &[]);
    let (answer, secret) = (answering.path("answer"), asking.path("request.secret"));
    let bundle = answering.bundle();
    let answer_words = ["match", "answer", &request, &bundle, "-o", text(&answer)];
    answering.haul(&answer_words, 2);
    let reason = ["--reason", "decision 12/2026"];
    let (_, told) = answering.haul(&[&answer_words[..], &reason].concat(), 0);
    assert!(told.contains("asked by Phnom Penh") && told.contains("the session's key is gone"), "{told}");
    // Neither file has a value, in any of the ways it could be written.
    for file in [Path::new(&request), &answer] {
        let bytes = fs::read(file).unwrap();
        for value in ["12345678", "1A1zP1", "xample", "EXAMPLE"] {
            assert!(!bytes.windows(value.len()).any(|window| window == value.as_bytes()), "{value}");
        }
    }
    let ours = asking.bundle();
    let finish_words = ["match", "finish", text(&secret), text(&answer), &ours];
    let (found, told) = asking.haul(&finish_words, 0);
    assert!(told.contains("3 of 4 values in common"), "{told}");

    // What `haul match A B` finds with both bundles at hand; kinds have longer names there.
    let (plain, _) = asking.haul(&["match", &ours, &bundle], 0);
    let short = |kind: &str| {
        [("wallet_address", "wallet"), ("phone_number", "phone"), ("email_address", "email")]
            .iter()
            .find(|(long, _)| *long == kind)
            .map(|(_, short)| *short)
    };
    let expected = plain.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        Some(format!("{}\t-\t{}", short(fields[0])?, fields[2]))
    });
    assert_eq!(lines(&found), expected.collect());
    assert_eq!(found.lines().count(), 3);

    // The secret is gone, so the answer opens nothing any more; the request is answered once.
    assert!(!secret.exists());
    asking.haul(&finish_words, 2);
    let again = answering.path("again");
    let words = ["match", "answer", &request, &bundle, "-o", text(&again), "--reason", "again"];
    assert!(answering.haul(&words, 2).1.contains("answered before"));
    for (unit, steps) in
        [(&asking, &["step request", "step finish", "found 3"][..]), (&answering, &["step answer", "from Phnom Penh"])]
    {
        unit.haul(&["custody", "verify", &unit.bundle()], 0);
        let (shown, _) = unit.haul(&["custody", "show", &unit.bundle()], 0);
        assert!(steps.iter().all(|step| shown.contains(step)) && shown.contains("purpose case 7"), "{shown}");
    }
}

#[test]
fn what_is_not_allowed_is_refused_and_leaves_nothing() {
    let (asking, answering) = units();
    let (request, bundle) = (asking.request("request", &[]), answering.bundle());
    let out = answering.path("answer");
    let answer = |request: &str, more: &[&str], why: &str| {
        let words = ["match", "answer", request, &bundle, "-o", text(&out), "--reason", "decision"];
        let (_, told) = answering.haul(&[&words[..], more].concat(), 1);
        assert!(told.contains(&format!("refused: {why}")), "{told}");
        assert!(!out.exists());
    };
    answer(text(&asking.path("request")), &[], "signature");
    answer(&request, &["--cap", "63"], "cap");
    answer(&request, &["--kinds", "wallet"], "kinds: email");
    // The purpose, in the text of the file.
    let changed = asking.path("changed");
    let mut bytes = fs::read(&request).unwrap();
    let place = bytes.windows(6).position(|window| window == b"case 7").unwrap();
    bytes[place + 5] = b'8';
    fs::write(&changed, &bytes).unwrap();
    answer(text(&changed), &[], "signature");
    fs::write(&changed, &fs::read(&request).unwrap()[..place]).unwrap();
    answer(text(&changed), &[], "form");
    // For another unit.
    let other = Unit::new(THEIRS);
    other.knows("Phnom Penh", &asking, "key.pub", "match");
    other.knows("Phnom Penh", &asking, "supervisor.pub", "supervise");
    let words = ["match", "answer", &request, &other.bundle(), "-o", text(&out), "--reason", "decision"];
    assert!(other.haul(&words, 1).1.contains("refused: recipient"));
    // A supervisor's key that no longer counts.
    let fingerprint = answering.haul(&["keys", "fingerprint", text(&asking.path("supervisor.pub"))], 0).0;
    let fingerprint = fingerprint.lines().nth(1).unwrap();
    answering.haul(&["keys", "revoke", fingerprint, "--reason", "left the unit"], 0);
    answer(&request, &[], "signer: the key of Phnom Penh is revoked");
    // An analyst cannot allow what they ask; a cap below the set is none.
    let made = asking.path("request");
    let refused = asking.path("refused");
    assert!(asking.haul(&["match", "approve", text(&made), "-o", text(&refused)], 1).1.contains("refused: signature"));
    let ours = asking.bundle();
    let words =
        ["match", "request", &ours, "--to", "Bangkok", "--purpose", "p", "--basis", "b", "--cap", "1", "-o", text(&refused)];
    assert!(asking.haul(&words, 1).1.contains("refused: cap"));
    assert!(!refused.exists());
}

#[test]
fn an_answer_opens_only_what_it_answers() {
    let (asking, answering) = units();
    let (first, second) = (asking.request("first", &[]), asking.request("second", &["--kinds", "phone"]));
    let bundle = answering.bundle();
    for (request, out) in [(&first, "one"), (&second, "two")] {
        let out = answering.path(out);
        answering.haul(&["match", "answer", request, &bundle, "-o", text(&out), "--reason", "decision"], 0);
    }
    let ours = asking.bundle();
    let finish = |secret: &str, answer: &str, bundle: &str, code: i32| {
        let (secret, answer) = (asking.path(secret), answering.path(answer));
        asking.haul(&["match", "finish", text(&secret), text(&answer), bundle, "--jsonl"], code)
    };
    let (found, told) = finish("first.secret", "two", &ours, 1);
    assert!(found.is_empty() && told.contains("refused: session"), "{told}");
    let (found, told) = finish("first.secret", "one", &bundle, 1);
    assert!(found.is_empty() && told.contains("refused: sources"), "{told}");
    // Refused, the secret stays: the right answer still opens.
    let (found, _) = finish("second.secret", "two", &ours, 0);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found, serde_json::json!({ "kind": "phone", "app": null, "value": "+85512345678" }));
    finish("first.secret", "one", &ours, 0);
}
