//! Messages from a stream into a sealed bundle, against one prepared-statement transaction that inserts the same rows into the same
//! tables: `cargo run --release -p export --example records_speed [MESSAGES]` prints both rates and their ratio.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![allow(clippy::disallowed_methods, reason = "databases of our own")]

#[path = "records_speed/made.rs"]
mod made;

use export::bundle::schema;
use export::{Context, UnitKey};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

fn main() {
    let messages: u64 = std::env::args().nth(1).map_or(200_000, |word| word.parse().unwrap());
    let folder = std::env::temp_dir().join(format!("haul-records-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let batches = made::batches("1", messages);
    let key = UnitKey::open_or_make(&folder.join("key")).unwrap();
    let settings = config::Settings::default();
    let context = Context { settings, out: folder.join("out"), work: folder.join("work"), key: Some(key) };
    let (seconds, sink_seconds, path) = made::seal(&context, &batches);
    let rows = rows(&path);
    let arrival = insert(&folder.join("arrival.sqlite"), &rows, |row| match (&row[0], &row[30]) {
        (_, Value::Integer(row_id)) => row_id.to_be_bytes().to_vec(),
        _ => Vec::new(),
    });
    let in_order = insert(&folder.join("order.sqlite"), &rows, |row| match &row[0] {
        Value::Blob(id) => id.clone(),
        _ => Vec::new(),
    });
    let rate = |seconds: f64| messages as f64 / seconds;
    let mut out = std::io::stdout().lock();
    writeln!(out, "sink {sink_seconds:.2} s, sink and seal {seconds:.2} s: {:.0} messages/s", rate(seconds)).unwrap();
    writeln!(out, "one transaction as they came {arrival:.2} s: {:.0} messages/s, ratio {:.2}", rate(arrival), arrival / seconds)
        .unwrap();
    writeln!(
        out,
        "one transaction in id order {in_order:.2} s: {:.0} messages/s, ratio {:.2}",
        rate(in_order),
        in_order / seconds
    )
    .unwrap();
    let begin = Instant::now();
    let report = export::verify(&path).unwrap();
    writeln!(out, "verify {:.2} s: {report}", begin.elapsed().as_secs_f64()).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

fn rows(path: &Path) -> Vec<Vec<Value>> {
    let connection = export::open_read_only(path).unwrap();
    let table = schema::table("message").unwrap();
    let mut statement = connection.prepare(&format!("SELECT {} FROM message", table.column_list())).unwrap();
    let rows = statement.query_map([], |row| (0..table.columns.len()).map(|place| row.get(place)).collect());
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

fn insert(path: &Path, rows: &[Vec<Value>], order: impl Fn(&[Value]) -> Vec<u8>) -> f64 {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_cached_key(|row| order(row));
    let table = schema::table("message").unwrap();
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(table.create).unwrap();
    let begin = Instant::now();
    connection.execute_batch("BEGIN").unwrap();
    let mut statement = connection.prepare(&table.insert()).unwrap();
    for row in rows {
        statement.execute(rusqlite::params_from_iter(row)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    begin.elapsed().as_secs_f64()
}
