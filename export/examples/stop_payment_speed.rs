//! How long a stop-payment packet takes from a bundle of a million messages (issue 6: under 10 s):
//! `cargo run --release -p export --example stop_payment_speed [BUNDLE]` prints it. Without a bundle it makes the tables of one by SQL:
//! 1,000,000 messages, 1,000 addresses seen in 20,000 of them.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![allow(clippy::disallowed_methods, reason = "databases of our own")]

use export::bundle::schema;
use export::exchange::{self, Handling, Order};
use rusqlite::Connection;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Sixteen bytes in no order, as ids are.
const ID: &str = "CAST(printf('%08x%08x', i * 2654435761 % 4294967296, i) AS BLOB)";

fn main() {
    let folder = std::env::temp_dir().join(format!("haul-stop-payment-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let bundle = given.unwrap_or_else(|| make(&folder.join("bundle.sqlite")));
    let count = |sql: &str| -> i64 { export::open_read_only(&bundle).unwrap().query_row(sql, [], |row| row.get(0)).unwrap() };
    let order = Order {
        purpose: Some("measuring".into()),
        officer: None,
        recipient: Some("issuer".into()),
        handling: Handling::Amber,
        retain_until: None,
        created_us: 0,
        spreadsheet_safe: false,
        identities: false,
    };
    let begin = Instant::now();
    let format = exchange::format("stop-payment").unwrap();
    let written = exchange::export(&bundle, format, &order, &folder.join("packet.json")).unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    let bytes: u64 = written.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    let mut out = std::io::stdout().lock();
    let (messages, sightings) = (count("SELECT count(*) FROM message"), count("SELECT count(*) FROM sighting"));
    writeln!(out, "{messages} messages, {sightings} sightings: packet of {} KB in {seconds:.2} s", bytes >> 10).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

fn make(path: &Path) -> PathBuf {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    connection.pragma_update(None, "user_version", schema::FORMAT_VERSION).unwrap();
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN").unwrap();
    for table in schema::tables() {
        connection.execute_batch(table.create).unwrap();
    }
    let rows = |of: u32| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {of})");
    let (exhibit, item) = ("x'00000000000000000000000000000001'", "x'00000000000000000000000000000002'");
    connection
        .execute_batch(&format!(
            "INSERT INTO seal VALUES ('haul/unsigned/BENCH/1', NULL, 'unsigned');
             INSERT INTO exhibit VALUES ({exhibit}, 'BENCH', '1', 'phone', 'directory', 1, NULL, 1, 0, 1);
             INSERT INTO item (id, exhibit_id, path, file_kind, size_bytes, sha256, deleted, status)
               VALUES ({item}, {exhibit}, 'msgstore.db', 'file', 1, 'ab', 0, 'parsed');
             {} INSERT INTO message (id, exhibit_id, item_id, app, sender, outgoing, sent_time, text, state)
               SELECT {ID}, {exhibit}, {item}, 'WhatsApp', 'peer ' || i % 300, i % 2, 1714521600000000 + i,
                      'message ' || i || ' with the words that a chat has: send USDT to the address below', 'live' FROM n ORDER BY 1;
             {} INSERT INTO observable SELECT CAST(printf('wallet%010d', i) AS BLOB), 'wallet_address', 'T' || i, 'tron', 'checksum' FROM n;
             {} INSERT INTO sighting (id, observable_id, exhibit_id, item_id, record_id, field, encoding, finder, context)
               SELECT CAST(printf('sight%011d', i) AS BLOB), CAST(printf('wallet%010d', 1 + i % 1000) AS BLOB), {exhibit}, {item},
                      (SELECT {ID} FROM (SELECT n.i * 49 AS i)), 'text', 'utf-8', 'record', 'send USDT' FROM n;
             COMMIT;",
            rows(1_000_000),
            rows(1_000),
            rows(20_000),
        ))
        .unwrap();
    path.to_owned()
}
