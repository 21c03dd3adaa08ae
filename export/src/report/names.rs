//! Each chat of a bundle, how its accounts are called, and which contact has a number: looked up for every message, so put once into
//! temporary tables with keys beside the bundle's own.

use rusqlite::Connection;

/// How the key of a chat is made from a message.
pub const CHAT: &str = "coalesce(message.thread_id, message.app || ' ' || message.thread_key, message.app, '')";

/// The chat of a message; a part of a bundle may not say of which exhibit it is.
pub const OF_CHAT: &str = "tally.exhibit IS message.exhibit_id";

/// Name, definition, and the query that fills it.
const TABLES: [(&str, &str, &str); 3] = [
    (
        "tally",
        "(exhibit, chat, thread, app, thread_key, messages, first, last)",
        "SELECT exhibit_id, coalesce(thread_id, app || ' ' || thread_key, app, ''), min(thread_id), min(app), min(thread_key), count(*),
                min(sent_time), max(sent_time)
         FROM message GROUP BY 1, 2",
    ),
    (
        "account_name",
        "(exhibit, app, account_key, name, phone, PRIMARY KEY (exhibit, app, account_key)) WITHOUT ROWID",
        "SELECT exhibit_id, app, account_key, max(display_name), max(phone) FROM account
         WHERE exhibit_id IS NOT NULL AND app IS NOT NULL AND account_key IS NOT NULL GROUP BY 1, 2, 3",
    ),
    (
        "contact_name",
        "(exhibit, value, name, PRIMARY KEY (exhibit, value)) WITHOUT ROWID",
        "SELECT point.exhibit_id, point.value, min(display_name)
         FROM contact_point AS point JOIN contact ON contact.id = point.contact_id
         WHERE point.exhibit_id IS NOT NULL AND point.value IS NOT NULL AND display_name IS NOT NULL GROUP BY 1, 2",
    ),
];

/// Makes the tables. `with`: what stands in for tables that the bundle lacks, a whole `WITH` clause or nothing.
pub fn gather(connection: &Connection, with: &str) -> rusqlite::Result<()> {
    // The bundle itself is opened for reading; only what is temporary can be written.
    connection.pragma_update(None, "query_only", false)?;
    for (name, columns, sql) in TABLES {
        connection.execute_batch(&format!("CREATE TEMP TABLE {name} {columns}; INSERT INTO temp.{name} {with} {sql}"))?;
    }
    connection.execute_batch("CREATE INDEX temp.tally_key ON tally (exhibit, chat)")?;
    connection.pragma_update(None, "query_only", true)
}
