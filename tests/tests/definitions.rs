//! The page that teaches to write a definition, followed word for word: `haul artifacts check`, and databases nobody knows.

#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "databases of our own making")]

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::command::{binary, expect_code, haul_run};

/// The first block of a language in the page.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(tests::root().join("docs/definitions.md")).unwrap();
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// The page's database and definition in a folder.
fn page(folder: &Path) -> (PathBuf, PathBuf) {
    let (database, definition) = (folder.join("im.db"), folder.join("example_im.toml"));
    Connection::open(&database).unwrap().execute_batch(&block("sql")).unwrap();
    std::fs::write(&definition, block("toml")).unwrap();
    (database, definition)
}

fn check(definition: &Path, database: Option<&Path>, code: i32) -> String {
    let mut command = Command::new(binary("haul"));
    command.args(["artifacts", "check"]).arg(definition);
    if let Some(database) = database {
        command.arg("--against").arg(database);
    }
    let output = expect_code(&mut command, code);
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_definition_of_the_page_reads_its_database() {
    let folder = tempfile::tempdir().unwrap();
    let (database, definition) = page(folder.path());
    let before = std::fs::read(&database).unwrap();
    let told = check(&definition, Some(&database), 0);
    assert!(told.contains("im_log→message: 4 rows, 3 records, 1 rejected (1: a notice of the app, not a message)"), "{told}");
    assert!(told.contains("peers→account: 2 rows, 2 records, 0 rejected"), "{told}");
    assert!(told.contains("text come to the gate at six") && told.contains("sent_time 1700000000000000"), "{told}");
    assert!(told.contains("the peer of this one is not in the list"), "{told}");
    assert_eq!(std::fs::read(&database).unwrap(), before);
    let beside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 2, "{beside:?}");
}

#[test]
fn what_does_not_fit_or_is_unsound_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (database, definition) = page(folder.path());
    assert!(check(&definition, None, 0).contains("sound"));

    let text = block("toml").replace("\"send_time\", \"kind\"]", "\"send_time\", \"kind\", \"edited\"]");
    std::fs::write(&definition, text).unwrap();
    assert!(check(&definition, Some(&database), 1).contains("missing im_log.edited"));

    std::fs::write(&definition, block("toml").replace("im_log.mine AS outgoing", "im_log.mein AS outgoing")).unwrap();
    assert!(check(&definition, Some(&database), 2).contains("im_log.mein"));

    std::fs::write(&definition, block("toml")).unwrap();
    std::fs::write(&database, b"not a database").unwrap();
    assert!(check(&definition, Some(&database), 1).contains("does not fit"));
    check(&definition, Some(&folder.path().join("nowhere")), 2);
}

#[test]
fn an_unknown_messenger_is_reported_with_its_schema_until_a_definition_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let (evidence, own) = (folder.path().join("phone"), folder.path().join("own"));
    std::fs::create_dir(&evidence).unwrap();
    std::fs::create_dir(&own).unwrap();
    let (_, definition) = page(&evidence);
    std::fs::rename(definition, own.join("example_im.toml")).unwrap();
    let problems = |out: &Path| {
        let bundle = Connection::open(out.join("1.sqlite")).unwrap();
        let mut statement = bundle.prepare("SELECT detail FROM problem WHERE code = 'unrecognized'").unwrap();
        let details = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        details.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    expect_code(&mut haul_run(&evidence, &first, &folder.path().join("key")), 0);
    let told = problems(&first);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("table im_log (local_id, peer_uid, mine, msg_body, send_time, kind) with 4 rows"), "{told:?}");
    expect_code(haul_run(&evidence, &second, &folder.path().join("key")).arg("--artifacts").arg(&own), 0);
    assert!(problems(&second).is_empty());
}

#[test]
fn an_element_without_a_number_costs_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let (database, definition) = (folder.path().join("im.db"), folder.path().join("lists.toml"));
    let rows =
        "CREATE TABLE m (id INTEGER PRIMARY KEY, t TEXT, files TEXT); INSERT INTO m VALUES (1, 'a', '[\"x\",\"y\",\"z\"]')";
    Connection::open(&database).unwrap().execute_batch(rows).unwrap();
    let text = "app = \"IM\"\nplatform = \"android\"\nevidence = \"documentation\"\nwhy = \"w\"\n[[variant]]\nrequire = { m = [\"id\", \"t\", \"files\"] }\n\
        [[variant.query]]\nrecord = \"message\"\nrow_table = \"m\"\nsql = \"SELECT m.id AS row_id, m.t AS text FROM m\"\n\
        [[variant.query]]\nrecord = \"attachment\"\nrow_table = \"m\"\nmessage_table = \"m\"\nsql = \"SELECT m.id AS row_id, CASE file.key WHEN 1 THEN 'none' ELSE file.key END AS part, \
        m.id AS message_row, file.value AS name FROM m LEFT JOIN json_each(json_list(m.files, '')) AS file\"\n";
    std::fs::write(&definition, text).unwrap();
    let told = check(&definition, Some(&database), 1);
    assert!(told.contains("m→attachment: 3 rows, 2 records, 1 rejected"), "{told}");
    assert!(told.contains("table m row 1: the number of its element is none"), "{told}");
}
