//! Custody and keyring from the command line: what is done is written, signed and chained; what is changed is found; and
//! `ssh-keygen` agrees.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use tests::command::{binary, expect_code};

struct Bench {
    folder: TempDir,
}

impl Bench {
    /// A folder with one text, run to a sealed bundle.
    fn sealed() -> Bench {
        Self::of("1")
    }

    /// The same as exhibit `number`.
    fn of(number: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let evidence = folder.path().join("evidence");
        fs::create_dir(&evidence).unwrap();
        fs::write(evidence.join("note.txt"), "call +855 12 345 678").unwrap();
        let bench = Bench { folder };
        let mut command = Command::new(binary("haul"));
        command.arg("run").arg(evidence).args(["--case", "TEST", "--exhibit", number, "--out"]).arg(bench.path("out"));
        expect_code(command.env("HAUL_KEY", bench.path("key")).stdin(Stdio::null()), 0);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle(&self) -> PathBuf {
        let mut found = fs::read_dir(self.path("out")).unwrap().map(|entry| entry.unwrap().path());
        found.find(|path| path.extension().is_some_and(|extension| extension == "sqlite")).unwrap()
    }

    fn custody(&self) -> PathBuf {
        export::custody::beside(&self.bundle())
    }

    fn haul(&self, arguments: &[&str], code: i32) -> String {
        let mut command = Command::new(binary("haul"));
        command.args(arguments).env("HAUL_KEY", self.path("key")).env("HAUL_ACTOR", "Sergeant Chan").env_remove("HAUL_KEYRING");
        let Output { stdout, stderr, .. } = expect_code(&mut command, code);
        String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_done_is_written_and_what_is_changed_is_found() {
    let bench = Bench::sealed();
    let bundle = bench.bundle();
    let before = fs::read(&bundle).unwrap();
    assert!(bench.haul(&["verify", text(&bundle)], 0).contains("signer: your own unit"));
    bench.haul(&["custody", "hand-over", text(&bundle), "--to", "Bangkok"], 2);
    bench.haul(&["custody", "hand-over", text(&bundle), "--to", "Bangkok", "--reason", "request 7/2026"], 0);
    let words = bench.haul(&["custody", "show", text(&bundle)], 0);
    let actions: Vec<_> = words.lines().map(|line| line.split(['\t', ' ']).nth(1).unwrap()).collect();
    assert_eq!(actions, ["seal", "verify", "hand-over"]);
    assert!(words.contains("by Sergeant Chan at ") && words.contains("request 7/2026\tto Bangkok"), "{words}");
    assert_eq!(fs::read(&bundle).unwrap(), before, "a sealed bundle never changes");

    let custody = fs::read_to_string(bench.custody()).unwrap();
    let lines: Vec<&str> = custody.split_inclusive('\n').collect();
    let changed = [
        custody.replace("Sergeant Chan", "Sergeant Chen"),
        custody.replace("Bangkok", "Vienna"),
        [lines[0], lines[2]].concat(),
        [lines[1], lines[0], lines[2]].concat(),
        // From the end: the chain holds, the unit that wrote it misses them.
        [lines[0], lines[1]].concat(),
        String::new(),
    ];
    for changed in changed {
        fs::write(bench.custody(), &changed).unwrap();
        for command in [&["verify", text(&bundle)][..], &["custody", "verify", text(&bundle)]] {
            assert!(bench.haul(command, 1).contains("custody does not hold"), "{changed}");
        }
        // Finding it wrote nothing.
        assert_eq!(fs::read_to_string(bench.custody()).unwrap(), changed);
    }
    fs::write(bench.custody(), &custody).unwrap();
    bench.haul(&["custody", "verify", text(&bundle)], 0);
}

/// What the stranger's script says of files.
fn stranger(files: &[PathBuf]) -> Vec<String> {
    let script = tests::root().join("tests/verify_custody.py");
    let output = Command::new("python3").arg("-B").arg(script).args(files).output().unwrap();
    let lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), files.len(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.success(), lines.iter().all(|line| line.contains(": holds, ")));
    lines
}

/// The same chains, checked from their description with Python's standard library: good ones hold with the head that Haul prints, and
/// what Haul refuses the stranger refuses.
#[test]
fn a_stranger_checks_custody_and_keyrings_without_haul() {
    let bench = Bench::sealed();
    let bundle = bench.bundle();
    bench.haul(&["custody", "hand-over", text(&bundle), "--to", "ភ្នំពេញ \"7\"\u{1}", "--reason", "request 7/2026"], 0);
    bench.haul(&["verify", text(&bundle)], 0);
    bench.haul(&["keys", "add", "Own", text(&bench.path("key.pub")), "--reason", "self"], 0);
    bench.haul(&["keys", "revoke", "Own", "--reason", "test"], 0);
    let keyring = bench.path("keyring.jsonl");
    let head = export::custody::check(&bundle, None).unwrap().chain.head().to_owned();
    let lines = stranger(&[bundle.clone(), keyring.clone()]);
    assert!(lines[0].ends_with(&format!(": holds, 3 entries, head {head}")), "{lines:?}");
    assert!(lines[1].contains(": holds, 2 entries"), "{lines:?}");

    let custody = fs::read_to_string(bench.custody()).unwrap();
    let parts: Vec<&str> = custody.split_inclusive('\n').collect();
    let changed = [
        custody.replace("Sergeant Chan", "Sergeant Chen"),
        custody.replace("7/2026", "8/2026"),
        [parts[0], parts[2]].concat(),
        [parts[1], parts[0], parts[2]].concat(),
        custody.replacen("{\"action\"", "{ \"action\"", 1),
        custody.trim_end().to_owned(),
        parts[0].replace("\"seal\"", "\"sell\""),
    ];
    for changed in changed {
        fs::write(bench.custody(), &changed).unwrap();
        assert!(export::custody::check(&bundle, None).unwrap().wrong.is_some(), "{changed}");
        assert!(stranger(std::slice::from_ref(&bundle))[0].contains("does not hold: "), "{changed}");
    }
    // Another exhibit's custody holds in itself, and not beside this bundle.
    let other = Bench::of("2");
    fs::copy(other.custody(), bench.custody()).unwrap();
    assert!(stranger(std::slice::from_ref(&bundle))[0].contains("another bundle"));

    // Bits flipped anywhere in a keyring.
    let bytes = fs::read(&keyring).unwrap();
    let flipped: Vec<PathBuf> = (0..120)
        .map(|number| {
            let path = bench.path(&format!("flipped-{number}.jsonl"));
            let mut bytes = bytes.clone();
            let at = number * bytes.len() / 120;
            bytes[at] ^= 1 << (number % 8);
            fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    assert!(stranger(&flipped).iter().all(|line| line.contains("does not hold: ")));
}

#[test]
fn ssh_keygen_agrees_with_every_entry() {
    let bench = Bench::sealed();
    bench.haul(&["verify", text(&bench.bundle())], 0);
    let public = fs::read_to_string(bench.path("key.pub")).unwrap();
    fs::write(bench.path("allowed"), format!("unit {public}")).unwrap();
    let custody = fs::read_to_string(bench.custody()).unwrap();
    assert_eq!(custody.lines().count(), 2);
    for line in custody.lines() {
        // Members are in order, so leaving one out leaves the signed text.
        let mut entry: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let signature = entry.shift_remove("signature").unwrap();
        fs::write(bench.path("entry.sig"), signature.as_str().unwrap()).unwrap();
        fs::write(bench.path("entry"), serde_json::to_string(&entry).unwrap()).unwrap();
        let verify = |file: &str| {
            Command::new("ssh-keygen")
                .args(["-Y", "verify", "-I", "unit", "-n", "haul-custody", "-f", text(&bench.path("allowed"))])
                .args(["-s", text(&bench.path("entry.sig"))])
                .stdin(fs::File::open(bench.path(file)).unwrap())
                .stdout(Stdio::null())
                .status()
                .unwrap()
                .success()
        };
        assert!(verify("entry"));
        assert!(!verify("allowed"));
    }
}

#[test]
fn a_signer_is_named_by_the_keyring_and_refused_once_revoked() {
    let (giver, receiver) = (Bench::sealed(), Bench::sealed());
    let bundle = giver.bundle();
    let public = giver.path("key.pub");
    let words = receiver.haul(&["keys", "fingerprint", text(&public)], 0);
    let words = words.lines().nth(2).unwrap();
    assert!(
        receiver
            .haul(&["verify", text(&bundle)], 0)
            .contains(&format!("not in your keyring; compare its words by another way: {words}"))
    );
    receiver.haul(&["keys", "add", "Phnom Penh", text(&public)], 2);
    receiver.haul(
        &["keys", "add", "Phnom Penh", text(&public), "--reason", "read out by telephone", "--valid-until", "2999-01-01"],
        0,
    );
    assert!(receiver.haul(&["keys", "list"], 0).contains(words));
    let found = receiver.haul(&["verify", text(&bundle)], 0);
    assert!(found.contains("signer: Phnom Penh, in your keyring since 2") && found.contains("(by Sergeant Chan)"), "{found}");
    receiver.haul(&["keys", "revoke", "Phnom Penh", "--reason", "laptop lost"], 0);
    assert!(receiver.haul(&["verify", text(&bundle)], 1).contains("its key is revoked: laptop lost"));
    // A keyring that was changed, or lacks the revocation, says nothing at all.
    let keyring = fs::read_to_string(receiver.path("keyring.jsonl")).unwrap();
    for changed in [keyring.replace("Phnom", "Phnum"), keyring.lines().next().unwrap().to_owned() + "\n"] {
        fs::write(receiver.path("keyring.jsonl"), changed).unwrap();
        receiver.haul(&["keys", "list"], 2);
        receiver.haul(&["verify", text(&bundle)], 2);
    }
}

/// The entries beside a bundle, checked.
fn entries(bundle: &Path) -> Vec<export::chain::Entry> {
    let custody = export::custody::check(bundle, None).unwrap();
    assert_eq!(custody.wrong, None);
    custody.chain.entries
}

#[test]
fn exports_and_receipts_are_entries_that_name_who_why_and_for_whom() {
    let (giver, receiver) = (Bench::sealed(), Bench::sealed());
    let bundle = giver.bundle();
    let export = ["export", "--to", "jsonl", text(&bundle), "-o", text(&giver.path("out.jsonl"))].map(str::to_owned);
    let words: Vec<&str> = export.iter().map(String::as_str).collect();
    giver.haul(&[&words[..], &["--purpose", "stop payment", "--recipient", "Bangkok", "--reason", "request 7"]].concat(), 0);
    let found = entries(&bundle);
    let entry = found.last().unwrap();
    assert_eq!((found.len(), entry.action.as_str(), entry.actor.as_str()), (2, "export", "Sergeant Chan"));
    assert_eq!(entry.reason, "request 7");
    let told: Vec<_> = entry.detail.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(told, [("form", "jsonl"), ("purpose", "stop payment"), ("recipient", "Bangkok")]);

    // The bundle and its custody travel together; the receiver goes on under a key of their own.
    let there = receiver.path("received.sqlite");
    fs::copy(&bundle, &there).unwrap();
    fs::copy(giver.custody(), export::custody::beside(&there)).unwrap();
    receiver.haul(&["custody", "receive", text(&there), "--from", "Phnom Penh"], 2);
    assert_eq!(entries(&there), found, "without a reason nothing is written");
    receiver.haul(&["custody", "receive", text(&there), "--from", "Phnom Penh", "--reason", "request 7"], 0);
    let both = entries(&there);
    let entry = both.last().unwrap();
    assert_eq!(both[..2], found);
    assert_eq!((both.len(), entry.action.as_str(), entry.detail["from"].as_str()), (3, "receive", "Phnom Penh"));
    let own = fs::read_to_string(receiver.path("key.pub")).unwrap();
    assert!(own.starts_with(&entry.signer) && entry.signer != found[1].signer, "{}", entry.signer);
    // A custody that does not hold is not gone on with.
    let custody = export::custody::beside(&there);
    fs::write(&custody, fs::read_to_string(&custody).unwrap().replace("Bangkok", "Vienna")).unwrap();
    receiver.haul(&["custody", "receive", text(&there), "--from", "Phnom Penh", "--reason", "again"], 2);
}

#[test]
fn a_merge_begins_a_custody_of_its_own() {
    let (one, two) = (Bench::sealed(), Bench::of("2"));
    let (first, second) = (one.bundle(), two.bundle());
    let before = [&first, &second].map(|bundle| fs::read(export::custody::beside(bundle)).unwrap());
    let out = one.path("all.sqlite");
    let merge = ["merge", "-o", text(&out), text(&first), text(&second)];
    one.haul(&[&merge[..], &["--reason", "joint investigation 12"]].concat(), 0);
    let [entry] = &entries(&out)[..] else { panic!("one entry") };
    assert_eq!(
        (entry.action.as_str(), entry.actor.as_str(), entry.reason.as_str()),
        ("merge", "Sergeant Chan", "joint investigation 12")
    );
    assert_eq!((entry.detail.len(), entry.detail["parts"].as_str()), (1, "2"));
    assert_eq!(entry.subject, export::custody::subject(&out).unwrap());
    assert!(fs::read_to_string(one.path("key.pub")).unwrap().starts_with(&entry.signer));
    assert!(one.haul(&["verify", text(&out)], 0).contains("custody holds, 1 entries, the last merge by Sergeant Chan"));
    // What was joined was only read.
    assert_eq!([&first, &second].map(|bundle| fs::read(export::custody::beside(bundle)).unwrap()), before);
    // Nobody signs for an unsigned bundle; one that is not made has no custody.
    let unsigned = one.path("unsigned.sqlite");
    one.haul(&["merge", "--unsigned", "-o", text(&unsigned), text(&first), text(&second)], 0);
    assert!(!export::custody::beside(&unsigned).exists());
    let none = one.path("none.sqlite");
    one.haul(&["merge", "-o", text(&none), text(&first), text(&one.path("missing"))], 2);
    assert!(!export::custody::beside(&none).exists());
}
