//! Parts of bundles: what leaves is proven, what is hidden is nowhere, and only those open it whom it was sent to.

#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "files of our own")]

use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use tests::command::{binary, expect_code, haul_run};
use tests::random::Random;

/// Messages, each with a secret of its own in its text, its sender's number and a name.
const SECRETS: usize = 1000;
const WALLET: &str = "TNDzfERDpxLDS2w1q6yaFC7pzqaSQ3Bg3r";

struct Bench {
    folder: TempDir,
    words: Vec<String>,
    numbers: Vec<String>,
}

impl Bench {
    fn sealed() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let evidence = folder.path().join("evidence");
        fs::create_dir(&evidence).unwrap();
        let mut random = Random(20_261_123);
        let words: Vec<String> = (0..SECRETS).map(|_| format!("secret{:012x}", random.next_u64() >> 16)).collect();
        let numbers: Vec<String> = (0..SECRETS).map(|_| format!("+85512{:06}", random.below(1_000_000))).collect();
        let message = |place: usize| {
            let (word, number) = (&words[place], &numbers[place]);
            json!({
                "id": place, "type": "message", "date": "2024-05-01T10:00:00", "date_unixtime": (1_714_557_600 + place).to_string(),
                "from": format!("Victim {word}"), "from_id": format!("user{place}"),
                "text": format!("gate {word} call {number} or pay {WALLET}"), "text_entities": [],
            })
        };
        let messages: Vec<Value> = (0..SECRETS).map(message).collect();
        let chat = json!({ "name": "Boss", "type": "personal_chat", "id": 77, "messages": messages });
        fs::write(evidence.join("result.json"), chat.to_string()).unwrap();
        let bench = Bench { folder, words, numbers };
        expect_code(&mut haul_run(&evidence, &bench.path("out"), &bench.path("key")), 0);
        // What leaves of messages: when, and no word.
        let profile =
            "why = \"times alone\"\n[show]\nmessage = [\"app\", \"message_type\", \"outgoing\", \"sent_time\", \"state\"]\n";
        fs::write(bench.path("times.toml"), profile).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn haul(&self, arguments: &[&str], code: i32) -> String {
        let mut command = Command::new(binary("haul"));
        command.args(arguments).env("HAUL_KEY", self.path("key")).env_remove("HAUL_KEYRING").current_dir(self.folder.path());
        let Output { stdout, stderr, .. } = expect_code(&mut command, code);
        String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap()
    }

    fn share(&self, arguments: &[&str], code: i32) -> String {
        let always =
            ["share", "out/1.sqlite", "--purpose", "find the sender", "--reason", "case 7", "--retain-until", "2027-01-31"];
        self.haul(&[&always, arguments].concat(), code)
    }

    /// Every message without its words, readable.
    fn times(&self) -> PathBuf {
        self.share(&["--profile", "times.toml", "--kinds", "message", "--unencrypted", "-o", "times.sqlite"], 0);
        self.path("times.sqlite")
    }
}

fn stranger(partial: &Path, code: i32) -> String {
    let output = expect_code(Command::new("python3").arg(tests::root().join("tests/verify.py")).arg(partial), code);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_part_is_proven_by_haul_and_by_the_stranger() {
    let bench = Bench::sealed();
    let told = bench.share(&["--unencrypted", "-o", "wallets.sqlite"], 0);
    assert!(told.contains("observable: 1 rows") && told.contains(&format!("sighting: {SECRETS} rows")), "{told}");
    assert!(!told.contains("message: "), "{told}");
    let partial = bench.path("wallets.sqlite");
    assert!(bench.haul(&["verify", "wallets.sqlite"], 0).contains("holds, "));
    assert!(stranger(&partial, 0).contains("TLP:AMBER, keep until 2027-01-31"));
    let connection = Connection::open(&partial).unwrap();
    let wallet: String = connection.query_row("SELECT value FROM observable", [], |row| row.get(0)).unwrap();
    assert_eq!(wallet, WALLET);
    let statement: String = connection.query_row("SELECT text FROM statement", [], |row| row.get(0)).unwrap();
    assert!(statement.contains("\"owners\":\"unknown, possible victim\""), "{statement}");
    let context: Option<String> = connection.query_row("SELECT context FROM sighting LIMIT 1", [], |row| row.get(0)).unwrap();
    assert_eq!(context, None);
    drop(connection);
    assert!(fs::read_to_string(bench.path("out/1.sqlite.custody.jsonl")).unwrap().contains("\"action\":\"share\""));
    // A query finds messages: this profile shows their text, and who wrote stays hidden.
    let told = bench
        .share(&["--only", &format!("gate {}", bench.words[17]), "--kinds", "message", "--unencrypted", "-o", "one.sqlite"], 0);
    assert!(told.contains("message: 1 rows") && told.contains("1 phone numbers of KH"), "{told}");
    let connection = Connection::open(bench.path("one.sqlite")).unwrap();
    let row = connection.query_row("SELECT text, sender FROM message", [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (text, sender): (String, Option<String>) = row.unwrap();
    assert!(text.contains(&bench.words[17]) && sender.is_none());
}

/// Who opens a part works with it as with a bundle: what was given is found, what was hidden is nowhere.
#[test]
fn a_part_is_read_searched_matched_and_exported() {
    let bench = Bench::sealed();
    let query = format!("gate {}", bench.words[17]);
    bench.share(&["--only", &query, "--unencrypted", "-o", "one.sqlite"], 0);
    bench.share(&["--unencrypted", "-o", "part.sqlite"], 0);
    bench.haul(&["report", "one.sqlite", "-o", "one.html"], 0);
    let page = fs::read_to_string(bench.path("one.html")).unwrap();
    for words in [&bench.words[17], "TLP:AMBER", "find the sender", "2027-01-31", "unknown, possible victim"] {
        assert!(page.contains(words), "{words}");
    }
    for hidden in ["Victim secret", "user17", &bench.words[18]] {
        assert!(!page.contains(hidden), "{hidden}");
    }
    let found = bench.haul(&["search", "one.sqlite", "--for", &bench.words[17], "--index", "build"], 0);
    assert!(found.contains("1 rows") && !found.contains("Victim"), "{found}");
    assert!(bench.haul(&["search", "part.sqlite", "--for", WALLET], 0).contains("1 rows"));
    let common = bench.haul(&["match", "part.sqlite", "out/1.sqlite"], 0);
    assert!(common.contains(WALLET) && common.contains("1 observables in common"), "{common}");
    for format in ["csv", "jsonl", "case", "stix", "misp", "stop-payment"] {
        for part in ["one", "part"] {
            let out = format!("{part}-{format}");
            bench.haul(&["export", "--to", format, &format!("{part}.sqlite"), "-o", &out, "--purpose", "p"], 0);
        }
    }
    let packet: Value = serde_json::from_slice(&fs::read(bench.path("part-stop-payment")).unwrap()).unwrap();
    assert_eq!(
        (&packet["send"][0]["address"], &packet["origin"]["shared_under"]["handling"]),
        (&json!(WALLET), &json!("TLP:AMBER"))
    );
    // One that was changed is not read as if it held.
    Connection::open(bench.path("part.sqlite")).unwrap().execute_batch("DELETE FROM row WHERE name = 'sighting'").unwrap();
    for command in [&["report", "part.sqlite", "-o", "bad.html"][..], &["search", "part.sqlite", "--for", "x"]] {
        assert!(bench.haul(command, 2).contains("does not hold"), "{command:?}");
    }
    assert!(!bench.path("bad.html").exists());
}

/// Each profile gives what it is for and no more, whatever is asked for.
#[test]
fn a_profile_gives_no_more_than_it_is_for() {
    let bench = Bench::sealed();
    let number = bench.numbers[3].clone();
    let told = bench.share(&["--profile", "stop-payment", "--only", &number, "--dry-run"], 2);
    assert!(told.contains("nothing in the bundle"), "{told}");
    let told = bench.share(&["--profile", "stop-payment", "--dry-run"], 0);
    assert!(told.contains("observable: 1 rows") && told.contains("nobody is named, and there is no phone number"), "{told}");
    let told = bench.share(&["--profile", "platform", "--app", "Telegram", "--dry-run"], 0);
    assert!(told.contains(&format!("account: {SECRETS} rows")) && !told.contains("message: "), "{told}");
    let told = bench.share(&["--profile", "ngo", "--only", &bench.words[5], "--dry-run"], 0);
    assert!(told.contains("message: 1 rows") && !told.contains("observable: "), "{told}");
}

#[test]
fn nothing_hidden_is_in_any_byte_and_no_list_of_numbers_opens_it() {
    let bench = Bench::sealed();
    let bytes = fs::read(bench.times()).unwrap();
    stranger(&bench.path("times.sqlite"), 0);
    let lower = bytes.to_ascii_lowercase();
    let has = |needle: &[u8]| lower.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle));
    // The last eleven characters of each, a number's digits: eight are found by chance among the millions of hexadecimal digits of salts and
    // digests, which differ with every key.
    let mut needles: HashSet<Vec<u8>> = HashSet::new();
    for secret in bench.words.iter().chain(&bench.numbers) {
        let tail = &secret.as_bytes()[secret.len() - 11..];
        needles.insert(tail.to_vec());
        needles.insert(tail.iter().flat_map(|byte| [*byte, 0]).collect());
        needles.insert(tail.iter().flat_map(|byte| [0, *byte]).collect());
        needles.insert(tail.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
    }
    assert!(!has(b"victim secret") && has(b"sent_time"));
    for length in [11, 22] {
        let of_length: HashSet<&[u8]> = needles.iter().filter(|needle| needle.len() == length).map(Vec::as_slice).collect();
        assert!(!lower.windows(length).any(|window| of_length.contains(window)), "a secret of {length} bytes");
    }
    let coded: HashSet<Vec<u8>> =
        bench.words.iter().chain(&bench.numbers).flat_map(|secret| base64_inside(secret.as_bytes())).collect();
    assert!(!bytes.windows(8).any(|window| coded.contains(window)), "a secret in base64");

    // Whoever knows the prefix knows a million numbers, every salt that is shown, and how ids and digests are made.
    let windows: HashSet<&[u8]> = bytes.windows(16).collect();
    let connection = Connection::open(bench.path("times.sqlite")).unwrap();
    let salt: String = connection.query_row("SELECT shown->>'$.state[0]' FROM row", [], |row| row.get(0)).unwrap();
    let hex: HashSet<String> = connection
        .prepare("SELECT shown FROM row")
        .unwrap()
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .flat_map(|shown| shown.unwrap().split('"').filter(|part| part.len() == 32).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut candidates: Vec<String> = (0..1_000_000).map(|number| format!("+85512{number:06}")).collect();
    candidates.extend(bench.numbers.clone());
    for number in candidates {
        let observable = model::Id::derive("observable", &[b"phone_number", number.as_bytes(), b""]);
        let plain: [u8; 32] = Sha256::digest(&number).into();
        let zero: [u8; 32] =
            Sha256::digest([&[2], [0; 32].as_slice(), format!("[\"value\",\"{number}\"]").as_bytes()].concat()).into();
        let salted: [u8; 32] = Sha256::digest(
            [&[2], model::Digest::parse(&salt).unwrap().0.as_slice(), format!("[\"value\",\"{number}\"]").as_bytes()].concat(),
        )
        .into();
        for guess in [&observable.0[..], &plain[..16], &zero[..16], &salted[..16]] {
            assert!(!windows.contains(guess), "{number}");
            let guess: String = guess.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!hex.contains(&guess), "{number}");
        }
    }
}

/// Eight characters of base64 from the inside of a text, in each of the three alignments: digests are not written in it.
fn base64_inside(secret: &[u8]) -> Vec<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |part: &[u8]| {
        let bits = u32::from(part[0]) << 16 | u32::from(part[1]) << 8 | u32::from(part[2]);
        [18, 12, 6, 0].map(|shift| LETTERS[(bits >> shift & 63) as usize])
    };
    let tail = secret.len() - 9;
    (0..3).map(|shift| secret[tail + shift..].chunks_exact(3).take(2).flat_map(group).collect()).collect()
}

#[test]
fn every_flipped_bit_is_found_or_carries_no_content() {
    let bench = Bench::sealed();
    bench.share(&["--only", "gate", "--selectors", &list(&bench), "--kinds", "message", "--unencrypted", "-o", "few.sqlite"], 0);
    let whole = fs::read(bench.path("few.sqlite")).unwrap();
    let content = dump(&bench.path("few.sqlite")).unwrap();
    let mut random = Random(7);
    let (mut silent, path) = (0, bench.path("flipped.sqlite"));
    for _ in 0..10_000 {
        let bit = random.below(whole.len() as u64 * 8) as usize;
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        if export::share::check(&path).is_ok_and(|report| report.wrong.is_none()) {
            // Free space of pages, counters of the header: whoever reads the file reads the same.
            assert!(dump(&path).as_ref() == Some(&content), "bit {bit} changes what is read and is not found");
            silent += 1;
        }
    }
    eprintln!("{silent} of 10000 flips are in bytes that carry no content, of {} bytes", whole.len());
}

/// A watch list of five of the secrets.
fn list(bench: &Bench) -> String {
    fs::write(bench.path("list.txt"), bench.words[..5].join("\n")).unwrap();
    bench.path("list.txt").to_str().unwrap().to_owned()
}

/// All that can be read of a file; `None` where SQLite cannot.
fn dump(path: &Path) -> Option<Vec<String>> {
    let connection = export::open_read_only(path).unwrap();
    let mut all = Vec::new();
    for sql in [
        "SELECT name, sql FROM sqlite_schema ORDER BY 1",
        "SELECT * FROM row",
        "SELECT * FROM node",
        "SELECT * FROM seal",
        "SELECT * FROM statement",
    ] {
        let mut statement = connection.prepare(sql).ok()?;
        let columns = statement.column_count();
        let mut rows = statement.query([]).ok()?;
        while let Some(row) = rows.next().ok()? {
            all.push((0..columns).map(|place| format!("{:?}", row.get_ref(place).unwrap())).collect());
        }
    }
    Some(all)
}

#[test]
fn what_is_changed_left_out_or_added_is_found_by_both() {
    let bench = Bench::sealed();
    bench.share(&["--unencrypted", "-o", "good.sqlite"], 0);
    let changes = [
        "UPDATE row SET shown = replace(shown, 'TNDz', 'TNDy')",
        "DELETE FROM row WHERE leaf = (SELECT max(leaf) FROM row)",
        "UPDATE row SET hidden = x'' WHERE name = 'sighting'",
        "UPDATE row SET leaf = leaf + 1 WHERE leaf = (SELECT max(leaf) FROM row)",
        "UPDATE row SET name = 'account' WHERE name = 'observable'",
        "DELETE FROM node WHERE first = (SELECT max(first) FROM node)",
        "UPDATE node SET hash = zeroblob(32) WHERE first = (SELECT min(first) FROM node)",
        "UPDATE statement SET text = replace(text, 'TLP:AMBER', 'TLP:CLEAR')",
        "UPDATE statement SET text = replace(text, 'find the sender', 'anything')",
        "UPDATE seal SET checkpoint = replace(checkpoint, 'TEST', 'REST')",
        "INSERT INTO seal SELECT * FROM seal",
        "CREATE TABLE more (a)",
        "DROP VIEW observable",
    ];
    for change in changes {
        let path = bench.path("bad.sqlite");
        fs::copy(bench.path("good.sqlite"), &path).unwrap();
        Connection::open(&path).unwrap().execute_batch(change).unwrap();
        assert!(bench.haul(&["verify", "bad.sqlite"], 1).contains("does not hold"), "{change}");
        assert!(stranger(&path, 1).contains("does not hold"), "{change}");
    }
}

#[test]
fn only_the_recipient_opens_it_and_a_damaged_letter_leaves_nothing() {
    let bench = Bench::sealed();
    for name in ["theirs", "others"] {
        expect_code(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(bench.path(name)), 0);
    }
    assert!(bench.share(&["--dry-run"], 0).contains("what would leave"));
    bench.share(&["--to", "theirs.pub", "-o", "letter.age"], 0);
    let letter = fs::read(bench.path("letter.age")).unwrap();
    assert!(letter.starts_with(b"age-encryption.org/v1\n-> ssh-ed25519 "));
    assert!(!letter.windows(8).any(|window| window == &WALLET.as_bytes()[..8]));
    bench.haul(&["open", "letter.age", "-o", "mine.sqlite", "--identity", "others"], 2);
    assert!(!bench.path("mine.sqlite").exists());
    for at in [letter.len() / 2, letter.len() - 1] {
        let mut bad = letter.clone();
        bad[at] ^= 1;
        fs::write(bench.path("bad.age"), bad).unwrap();
        bench.haul(&["open", "bad.age", "-o", "mine.sqlite", "--identity", "theirs"], 2);
        assert!(!bench.path("mine.sqlite").exists());
    }
    let told = bench.haul(&["open", "letter.age", "-o", "mine.sqlite", "--identity", "theirs"], 0);
    assert!(told.contains("purpose: find the sender"), "{told}");
    stranger(&bench.path("mine.sqlite"), 0);
    // The program that age is known by opens what Haul wrote, and Haul what that wrote.
    expect_code(
        Command::new("age").args(["-d", "-i", "theirs", "-o", "by-age.sqlite", "letter.age"]).current_dir(bench.folder.path()),
        0,
    );
    stranger(&bench.path("by-age.sqlite"), 0);
    expect_code(
        Command::new("age").args(["-R", "theirs.pub", "-o", "back.age", "by-age.sqlite"]).current_dir(bench.folder.path()),
        0,
    );
    bench.haul(&["open", "back.age", "-o", "back.sqlite", "--identity", "theirs"], 0);
    assert_eq!(fs::read(bench.path("back.sqlite")).unwrap(), fs::read(bench.path("mine.sqlite")).unwrap());
    let left: Vec<_> = fs::read_dir(bench.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".haul-")), "{left:?}");
}

#[test]
fn what_cannot_be_shared_is_refused_with_its_reason() {
    let bench = Bench::sealed();
    for (arguments, words) in [
        (&["--hide", "observable.value", "--unencrypted", "-o", "x"][..], "cannot be hidden"),
        (&["--hide", "no_such_field", "--unencrypted", "-o", "x"], "there is no field"),
        (&["--profile", "ngo", "--unencrypted", "-o", "x"], "without a query"),
        (&["--profile", "platform", "--unencrypted", "-o", "x"], "--app"),
        (&["--profile", "nobody", "--unencrypted", "-o", "x"], "no profile nobody"),
        (&["--only", "no-such-word", "--unencrypted", "-o", "x"], "nothing in the bundle"),
        (&["-o", "x"], "for whom"),
    ] {
        assert!(bench.share(arguments, 2).contains(words), "{arguments:?}");
        assert!(!bench.path("x").exists());
    }
    let unsigned = bench.path("unsigned");
    let mut run = haul_run(&bench.path("evidence"), &unsigned, &bench.path("key"));
    expect_code(run.arg("--unsigned"), 0);
    let always = [
        "share",
        "unsigned/1.sqlite",
        "--purpose",
        "p",
        "--reason",
        "r",
        "--retain-until",
        "2027-01-31",
        "--unencrypted",
        "-o",
        "x",
    ];
    assert!(bench.haul(&always, 2).contains("unsigned"));
}
