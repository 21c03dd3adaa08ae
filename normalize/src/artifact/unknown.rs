//! Databases that no definition reads, and that hold what looks like messages: told with their tables, so that a technician can write a
//! definition.

use super::schema::{Schema, quoted};
use crate::scratch;
use model::text::escape;
use rusqlite::Connection;

/// Bytes of a detail; what does not fit is counted.
const DETAIL_BYTES: usize = 4000;

/// Words in the names of columns that hold what was said, when, and by or to whom.
const TEXTS: &[&str] = &["text", "body", "message", "msg", "content", "payload"];
const TIMES: &[&str] = &["time", "date", "stamp", "sent", "received", "created"];
const PEOPLE: &[&str] = &[
    "from",
    "sender",
    "author",
    "recipient",
    "receiver",
    "peer",
    "jid",
    "user",
    "uid",
    "chat",
    "thread",
    "conversation",
    "contact",
    "address",
    "room",
    "channel",
    "dialog",
    "talker",
    "direction",
    "outgoing",
    "incoming",
    "is_me",
    "is_send",
];
/// Endings of columns that speak of a text and do not hold it.
const ABOUT: &[&str] =
    &["id", "type", "key", "count", "status", "state", "size", "length", "flag", "flags", "uri", "url", "path", "time", "date"];

/// The detail of the problem; `None` where no table with rows looks like messages.
pub fn message_like(connection: &Connection, schema: &Schema) -> Option<String> {
    let (mut like, mut other) = (Vec::new(), Vec::new());
    for (table, columns) in schema.tables() {
        let name = escape(table);
        if !looks_like_messages(columns) {
            other.push(name);
            continue;
        }
        let rows = match connection.query_row(&format!("SELECT count(*) FROM main.{}", quoted(table)), [], |row| row.get(0)) {
            Ok(0_i64) => {
                other.push(name);
                continue;
            }
            Ok(rows) => format!("{rows} rows"),
            Err(error) => format!("rows that cannot be counted: {}", scratch::reason(&error)),
        };
        let columns: Vec<_> = columns.iter().map(|column| escape(column)).collect();
        like.push(format!("table {name} ({}) with {rows}", columns.join(", ")));
    }
    if like.is_empty() {
        return None;
    }
    let mut detail = String::from("no definition reads this database: ");
    push(&mut detail, &like, "; ");
    if !other.is_empty() {
        detail.push_str("; other tables: ");
        push(&mut detail, &other, ", ");
    }
    Some(detail)
}

/// Whether a table's columns say what, when and who.
fn looks_like_messages(columns: &[String]) -> bool {
    let has = |words: &[&str]| columns.iter().any(|column| words.iter().any(|word| column.contains(word)));
    let speaks =
        |column: &String| TEXTS.iter().any(|word| column.contains(word)) && !ABOUT.iter().any(|ending| column.ends_with(ending));
    columns.iter().any(speaks) && has(TIMES) && has(PEOPLE)
}

/// Adds the parts that fit, and how many do not.
fn push(detail: &mut String, parts: &[String], border: &str) {
    for (number, part) in parts.iter().enumerate() {
        if detail.len() + part.len() > DETAIL_BYTES {
            detail.push_str(&format!("and {} more", parts.len() - number));
            return;
        }
        detail.push_str(part);
        if number + 1 < parts.len() {
            detail.push_str(border);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(sql: &str) -> Option<String> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        let schema = Schema::read(&connection).unwrap();
        message_like(&connection, &schema)
    }

    #[test]
    fn an_unknown_messenger_is_told_with_its_tables() {
        let sql = "CREATE TABLE im_log (LocalId INTEGER PRIMARY KEY, PeerUid TEXT, MsgBody TEXT, SendTime INTEGER);
                   INSERT INTO im_log VALUES (1, 'u7', 'hello', 1700000000); CREATE TABLE kv (k, v)";
        let wanted =
            "no definition reads this database: table im_log (localid, peeruid, msgbody, sendtime) with 1 rows; other tables: kv";
        assert_eq!(detail(sql).as_deref(), Some(wanted));
    }

    #[test]
    fn what_holds_no_messages_is_not_told() {
        for sql in [
            "CREATE TABLE im_log (uid, body, time)",
            "CREATE TABLE downloads (id, url, content_type, start_time, user_id); INSERT INTO downloads DEFAULT VALUES",
            "CREATE TABLE notes (id, text, created); INSERT INTO notes DEFAULT VALUES",
            "CREATE VIEW messages AS SELECT 1 AS sender, 2 AS text, 3 AS time",
        ] {
            assert_eq!(detail(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_thousand_tables_are_counted_where_they_do_not_fit() {
        let tables: Vec<String> = (0..1000)
            .map(|number| {
                format!("CREATE TABLE chat_{number:04} (sender, body, time); INSERT INTO chat_{number:04} VALUES (1, 2, 3);")
            })
            .collect();
        let detail = detail(&tables.concat()).unwrap();
        let told = detail.matches("table chat_").count();
        assert!(told > 10 && detail.len() < 5000 && detail.ends_with(&format!("and {} more", 1000 - told)), "{detail}");
    }
}
