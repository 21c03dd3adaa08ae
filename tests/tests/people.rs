//! People, not rows: every link has its evidence in both its rows, every row that has a value alike is linked, and nothing else is.

#![allow(clippy::unwrap_used)]

use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tests::command::{binary, expect_code};

/// One exhibit that holds the database of every fixture, made once.
fn bundle() -> &'static Path {
    static BUNDLE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUNDLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let evidence = folder.path().join("evidence");
        for input in fixtures() {
            let sql = fs::read_to_string(&input).unwrap();
            let case = input.parent().unwrap();
            let name = case.strip_prefix(tests::root().join("tests/fixtures")).unwrap();
            let path = sql.lines().next().and_then(|line| line.strip_prefix("-- path: ")).unwrap_or("main.db");
            let path = evidence.join(name).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            Connection::open_with_flags(path, flags).unwrap().execute_batch(&sql).unwrap();
        }
        let bundle = run(folder.path(), &evidence, "A-1");
        (folder, bundle)
    });
    path
}

fn fixtures() -> Vec<PathBuf> {
    let folders = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let cases = folders(tests::root().join("tests/fixtures")).flat_map(folders);
    let mut inputs: Vec<PathBuf> = cases.map(|case| case.join("input.sql")).filter(|input| input.is_file()).collect();
    inputs.sort();
    inputs
}

fn run(folder: &Path, evidence: &Path, number: &str) -> PathBuf {
    let mut command = Command::new(binary("haul"));
    command.arg("run").arg(evidence).args(["--case", "TEST", "--exhibit", number, "--out"]).arg(folder.join("out"));
    expect_code(command.env("HAUL_KEY", folder.join("key")), 0);
    folder.join(format!("out/{number}.sqlite"))
}

fn open(bundle: &Path) -> Connection {
    export::open_read_only(bundle).unwrap()
}

fn count(bundle: &Path, sql: &str) -> i64 {
    open(bundle).query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn every_link_has_its_evidence_in_both_rows() {
    let connection = open(bundle());
    let mut statement = connection
        .prepare("SELECT account_id, account_field, record_id, record_kind, record_field, reason, value FROM link")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    while let Some(row) = rows.next().unwrap() {
        let text = |place: usize| row.get::<_, String>(place).unwrap();
        let field = |table: &str, column: &str, id: [u8; 16]| -> String {
            let sql = format!("SELECT CAST({column} AS TEXT) FROM {table} WHERE id = ?1");
            connection.query_row(&sql, [id], |row| row.get(0)).unwrap()
        };
        let (account, record) = (row.get(0).unwrap(), row.get(2).unwrap());
        assert_ne!(account, record);
        let ends = [field("account", &text(1), account), field(&text(3), &text(4), record)];
        *seen.entry(text(5)).or_default() += 1;
        if text(5) == "same_device_owner" {
            assert_eq!(ends, ["1", "1"]);
            continue;
        }
        let value = text(6);
        for end in ends {
            let bare = end.strip_prefix("user").unwrap_or(&end);
            let named = bare.split_once(':').map_or(bare, |(_, name)| name);
            assert!([&end[..], bare, named].iter().any(|end| end.eq_ignore_ascii_case(&value)), "{end} is not {value}");
        }
    }
    eprintln!("links of the fixtures by reason: {seen:?}");
    for reason in ["same_account", "same_as", "same_device_owner", "same_email", "same_phone"] {
        assert!(seen.contains_key(reason), "{reason}: {seen:?}");
    }
}

/// SQLite's own count: of the rows with a number alike, all but one are linked, where one of them is an account.
#[test]
fn every_number_that_rows_have_alike_links_them() {
    let expected = "WITH numbers AS (
        SELECT phone AS value, id, 1 AS account FROM account WHERE phone GLOB '+[0-9]*' AND chain IS NULL
        UNION SELECT account_key, id, 1 FROM account WHERE account_key GLOB '+[0-9]*' AND account_key NOT GLOB '+*[^0-9]*'
              AND length(account_key) BETWEEN 8 AND 16 AND chain IS NULL
        UNION SELECT same_as, id, 1 FROM account WHERE same_as GLOB '+[0-9]*' AND same_as NOT GLOB '+*[^0-9]*'
              AND length(same_as) BETWEEN 8 AND 16 AND chain IS NULL
        UNION SELECT coalesce(value, raw), id, 0 FROM contact_point WHERE kind = 'phone' AND coalesce(value, raw) GLOB '+[0-9]*'
              AND coalesce(value, raw) NOT GLOB '+*[^0-9]*' AND length(coalesce(value, raw)) BETWEEN 8 AND 16
        UNION SELECT coalesce(value, raw), id, 0 FROM device WHERE kind IN ('phone_number', 'account')
              AND coalesce(value, raw) GLOB '+[0-9]*' AND coalesce(value, raw) NOT GLOB '+*[^0-9]*'
              AND length(coalesce(value, raw)) BETWEEN 8 AND 16)
        SELECT sum(n - 1) FROM (SELECT count(DISTINCT id) AS n FROM numbers GROUP BY value HAVING max(account) = 1)";
    let (expected, found) = (count(bundle(), expected), count(bundle(), "SELECT count(*) FROM link WHERE reason = 'same_phone'"));
    eprintln!("numbers alike: {expected} expected, {found} linked");
    assert_eq!(expected, found);
    assert!(found > 10);
    // The number behind an opaque id, as WhatsApp's own table has it.
    let lid = "SELECT count(*) FROM link JOIN account AS number ON number.id = account_id JOIN account AS lid ON lid.id = record_id
        WHERE reason = 'same_as' AND lid.account_key = '77000000000001@lid' AND number.account_key = '85512000002@s.whatsapp.net'";
    assert_eq!(count(bundle(), lid), 1);
    // What says nothing of anybody links nobody: a wallet's address, a device's own word for an app or a card, an id of one file.
    let never = "SELECT count(*) FROM link JOIN account ON account.id IN (account_id, record_id)
        WHERE reason <> 'same_device_owner' AND chain IS NOT NULL OR reason IN ('same_account', 'same_as') AND (
            account.app IN ('Android accounts', 'Android telephony', 'iOS accounts', 'iOS cellular', 'Calendar', 'Notes')
            OR value GLOB 'person:*' OR value GLOB 'member:*' OR value GLOB 'row *')";
    assert_eq!(count(bundle(), never), 0);
}

#[test]
fn senders_and_recipients_are_accounts_where_the_exhibit_has_them() {
    for (table, text, id) in [
        ("message", "sender", "sender_account_id"),
        ("message", "recipient", "recipient_account_id"),
        ("call", "remote", "remote_account_id"),
    ] {
        let lost = format!(
            "SELECT count(*) FROM {table} AS t WHERE {id} IS NULL AND EXISTS (SELECT 1 FROM account WHERE account.item_id = t.item_id
             AND account.app = t.app AND account_key = {text} AND account.state = 'live')"
        );
        assert_eq!(count(bundle(), &lost), 0, "{text}");
        // Never another's: an account of that app with that key, in whichever file.
        let wrong = format!(
            "SELECT count(*) FROM {table} AS t JOIN account ON account.id = {id} WHERE account.app <> t.app OR account_key <> {text}"
        );
        assert_eq!(count(bundle(), &wrong), 0, "{text}");
    }
    let resolved = count(bundle(), "SELECT count(*) FROM message WHERE sender_account_id IS NOT NULL");
    let named = count(bundle(), "SELECT count(*) FROM message WHERE sender IS NOT NULL");
    eprintln!("senders: {named} named, {resolved} resolved");
    assert!(resolved > 20);
    let elsewhere =
        "SELECT count(*) FROM message JOIN account ON account.id = sender_account_id WHERE account.item_id <> message.item_id";
    assert!(count(bundle(), elsewhere) > 0, "an id of a whole app is found in whichever file tells of it");
    // What the device's user sent is the account that the app holds for its user's, where it is one.
    let owners = "SELECT count(*) FROM message JOIN account ON account.id = sender_account_id
        WHERE message.sender IS NULL AND (outgoing IS NOT 1 OR is_owner IS NOT 1 OR account.item_id <> message.item_id)";
    assert_eq!(count(bundle(), owners), 0);
}

#[test]
fn a_link_is_explained_by_the_rows_that_are_its_evidence() {
    let id: String = open(bundle())
        .query_row("SELECT lower(hex(id)) FROM link WHERE reason = 'same_as' ORDER BY id LIMIT 1", [], |row| row.get(0))
        .unwrap();
    let output = expect_code(Command::new(binary("haul")).arg("explain").arg(bundle()).arg(&id), 0);
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.starts_with(&format!("link {id}\nsame_as ")) && words.matches("\naccount ").count() == 2, "{words}");
    assert_eq!(words.matches("sha256").count() % 2, 0, "{words}");
    expect_code(Command::new(binary("haul")).arg("verify").arg(bundle()), 0);
    let stranger = tests::root().join("tests/verify.py");
    expect_code(Command::new("python3").arg("-B").arg(stranger).arg(bundle()), 0);
}

/// A number of one exhibit's chats stands in another's address book.
#[test]
fn a_report_shows_who_is_on_several_exhibits_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence");
    fs::create_dir(&evidence).unwrap();
    let card = "BEGIN:VCARD\nVERSION:3.0\nFN:Team Leader\nTEL;TYPE=CELL:+85512000002\nEND:VCARD\n";
    fs::write(evidence.join("contacts.vcf"), card).unwrap();
    let other = run(folder.path(), &evidence, "B-7");
    let page = folder.path().join("report.html");
    let mut command = Command::new(binary("haul"));
    expect_code(command.arg("report").args([bundle(), &other]).arg("-o").arg(&page), 0);
    let text = fs::read_to_string(&page).unwrap();
    let persons = text.split("<section id=\"persons\"").nth(1).unwrap().split("</section>").next().unwrap();
    let first: Vec<&str> = persons.split("<tr>").filter(|row| row.contains("<td class=\"n\">1</td>")).collect();
    for part in
        ["<bdi>B-7</bdi>", "<bdi>A-1</bdi>", "Team Leader", "+85512000002", "WhatsApp id 85512000002@s.whatsapp.net", "@lid"]
    {
        assert!(first.iter().any(|row| row.contains(part)), "{part}: {first:?}");
    }
}

/// Every link that a format can carry is in it once, with both its ends; the ends of CASE's may be one node, which is no link.
#[test]
fn exports_carry_the_links() {
    let folder = tempfile::tempdir().unwrap();
    let exported = |format: &str| -> serde_json::Value {
        let out = folder.path().join(format);
        expect_code(Command::new(binary("haul")).args(["export", "--to", format]).arg(bundle()).arg("-o").arg(&out), 0);
        serde_json::from_slice(&fs::read(out).unwrap()).unwrap()
    };
    let between =
        "SELECT count(*) FROM link JOIN account AS one ON one.id = account_id JOIN account AS other ON other.id = record_id
        WHERE one.app <> other.app OR one.account_key <> other.account_key";
    let accounts = count(bundle(), between);
    let others = "SELECT count(*) FROM link LEFT JOIN contact_point AS point ON point.id = record_id
        WHERE record_kind = 'device' OR (record_kind = 'contact_point' AND point.contact_id IS NOT NULL)";
    let others = count(bundle(), others);
    assert!(accounts > 0 && others > 0);
    let ends_are_there = |objects: &[serde_json::Value], links: &[&serde_json::Value], id: &str, ends: [&str; 2]| {
        let ids: std::collections::BTreeSet<String> = objects.iter().map(|object| object[id].to_string()).collect();
        links.iter().all(|link| ends.iter().all(|end| ids.contains(&link.pointer(end).unwrap().to_string())))
    };
    let stix = exported("stix");
    let objects = stix["objects"].as_array().unwrap();
    let links: Vec<_> = objects.iter().filter(|object| object["type"] == "relationship").collect();
    assert_eq!(links.len() as i64, accounts);
    assert!(ends_are_there(objects, &links, "id", ["/source_ref", "/target_ref"]));
    let case = exported("case");
    let nodes = case["@graph"].as_array().unwrap();
    let links: Vec<_> = nodes.iter().filter(|node| node["uco-core:kindOfRelationship"] == "Related_To").collect();
    assert_eq!(links.len() as i64, accounts + others);
    assert!(ends_are_there(nodes, &links, "@id", ["/uco-core:source/@id", "/uco-core:target/@id"]));
}
