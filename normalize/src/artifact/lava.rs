//! Results of iLEAPP, ALEAPP and their kin: `_lava_artifacts.db`, a table for each of their artifacts with the columns of its report. A definition
//! is made of the schema itself: tables with a text and a time are messages, those with a number, a time and a duration calls, those with a name and
//! a number contacts. Tables of other kinds are told by name, and their cells are searched like those of any database.
//!
//! Format: `scripts/lavafuncs.py` of ALEAPP (MIT): names are small letters, digits and `_`; times are whole Unix seconds, where the reader of the
//! artifact gave one. What such a tool made of the evidence is hearsay: the definition's name in each record's provenance says so.

use super::schema::{Schema, quoted};
use super::{Artifact, Checked, parse};
use crate::scratch;
use model::text::escape;
use rusqlite::Connection;
use std::fmt::Write as _;

/// Name of the definitions.
pub const NAME: &str = "leapp_lava";
/// A table that every result has, and columns of it.
const SIGN: (&str, [&str; 2]) = ("_lava_media_items", ["source_path", "extraction_path"]);
/// Bytes of a detail.
const DETAIL_BYTES: usize = 4000;

/// Columns by what they hold, the likeliest first. Headers of the artifacts of iLEAPP and ALEAPP of 2024 to 2026.
const TEXT: &[&str] = &["message", "message_text", "text", "body", "message_body", "chat_message", "content", "message_content"];
const TIME: &[&str] = &[
    "message_timestamp",
    "timestamp",
    "sent_timestamp",
    "timestamp_sent",
    "message_time",
    "date_sent",
    "date",
    "call_timestamp",
    "call_date",
    "starting_timestamp",
    "start_timestamp",
    "start_time",
    "received_timestamp",
];
const SENDER: &[&str] =
    &["sender", "sender_number", "sender_id", "sender_name", "from", "sender_jid", "group_sender", "chat_contact_id", "address"];
const RECIPIENT: &[&str] = &["recipient", "recipients", "receiver", "to", "recipient_number"];
const THREAD: &[&str] = &[
    "thread_key",
    "thread_id",
    "chat_id",
    "conversation_id",
    "conversation_key",
    "chat_contact_id",
    "chat_name",
    "group_name",
    "other_party",
    "thread",
    "conversation",
];
const DIRECTION: &[&str] = &["direction", "message_direction", "call_direction", "type", "call_type", "from_me"];
const KEY: &[&str] = &["message_id", "message_guid", "message_row_id", "call_id"];
const REMOTE: &[&str] = &[
    "phone_number",
    "partner",
    "number",
    "remote",
    "participant",
    "remote_participant",
    "other_party",
    "phone_account_address",
    "address",
];
const DURATION: &[&str] = &["duration_in_secs", "duration_in_seconds", "call_duration_in_seconds", "duration", "call_duration"];
const DISPLAY: &[&str] = &["display_name", "contact_name", "name", "full_name", "partner_name"];

/// Words in a table's name and whose messages are in it.
const APPS: &[(&str, &str)] = &[
    ("whatsapp", "WhatsApp"),
    ("telegram", "Telegram"),
    ("signal", "Signal"),
    ("wechat", "WeChat"),
    ("viber", "Viber"),
    ("messenger", "Facebook Messenger"),
    ("fb_msys", "Facebook Messenger"),
    ("instagram", "Instagram"),
    ("snapchat", "Snapchat"),
    ("discord", "Discord"),
    ("tiktok", "TikTok"),
    ("line", "LINE"),
    ("zalo", "Zalo"),
    ("zangi", "Zangi"),
    ("imessage", "iMessage"),
    ("skype", "Skype"),
    ("teams", "Teams"),
    ("kik", "Kik"),
    ("threema", "Threema"),
    ("googlechat", "Google Chat"),
    ("sms", "SMS/MMS"),
    ("mms", "SMS/MMS"),
    ("call", "Phone"),
];

/// A table of a result.
struct Table<'s> {
    name: &'s str,
    columns: &'s [String],
}

/// Whether SQLite takes a name as it is.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl Table<'_> {
    /// The likeliest of some columns, named with its table.
    fn column(&self, likely: &[&str]) -> Option<String> {
        let found = likely.iter().find(|known| self.columns.iter().any(|column| column == *known))?;
        Some(format!("{}.\"{found}\"", self.name))
    }

    /// The app whose rows these are.
    fn app(&self) -> &str {
        let words = |part: &str| self.name.split('_').any(|word| word == part) || part.len() > 4 && self.name.contains(part);
        APPS.iter().find(|(part, _)| words(part)).map_or(self.name, |(_, app)| app)
    }

    /// `AS` a field, where a column is there.
    fn field(&self, likely: &[&str], field: &str) -> String {
        self.column(likely).map(|column| format!(", nullif({column}, '') AS {field}")).unwrap_or_default()
    }

    /// Whether rows of it were sent.
    fn outgoing(&self) -> String {
        let Some(column) = self.column(DIRECTION) else { return String::new() };
        let word = format!("lower(CAST({column} AS TEXT))");
        format!(
            ", CASE WHEN {word} LIKE 'incoming%' OR {word} LIKE 'received%' OR {word} LIKE 'missed%' OR {word} IN ('in', '0', 'inbox') THEN 0 \
             WHEN {word} LIKE 'outgoing%' OR {word} LIKE 'sent%' OR {word} IN ('out', '1', 'outbox') THEN 1 END AS outgoing"
        )
    }

    /// The query of its rows, and the kind of record; `None` for a table of another kind.
    fn query(&self) -> Option<(&'static str, String)> {
        let time = self.column(TIME).map(|time| format!("unix_s(CASE WHEN typeof({time}) = 'integer' THEN {time} END)"));
        let (remote, duration) = (self.column(REMOTE), self.column(DURATION));
        let begin = format!("SELECT {0}.rowid AS row_id", self.name);
        // What no field takes is kept as the tool wrote it.
        let rest: String = self.columns.iter().filter(|column| is_plain(column)).fold(String::new(), |mut rest, column| {
            // Writing to a string does not fail.
            _ = write!(rest, ", '{column}', nullif({}.\"{column}\", '')", self.name);
            rest
        });
        let extra =
            if rest.is_empty() { String::new() } else { format!(", extra({}) AS extra", rest.get(2..).unwrap_or_default()) };
        let end = format!(" FROM {}", self.name);
        if let (Some(text), Some(time)) = (self.column(TEXT), &time) {
            let fields = [
                format!(", {text} AS text, {time} AS sent_time"),
                self.field(SENDER, "sender"),
                self.field(RECIPIENT, "recipient"),
                self.field(THREAD, "thread"),
                self.field(KEY, "message_key"),
                self.outgoing(),
            ];
            return Some(("message", [begin, fields.concat(), extra, end].concat()));
        }
        if let (Some(remote), Some(time), Some(duration)) = (&remote, &time, &duration) {
            let seconds = format!(
                "CASE WHEN CAST({duration} AS INTEGER) || '' = trim({duration} || '') THEN CAST({duration} AS INTEGER) END"
            );
            let fields = [
                format!(
                    ", nullif({remote}, '') AS remote, phone({remote}) AS remote_phone, {time} AS start_time, {seconds} AS duration_s"
                ),
                self.field(DISPLAY, "remote_name"),
                self.outgoing(),
            ];
            return Some(("call", [begin, fields.concat(), end].concat()));
        }
        let is_contacts = self.name.contains("contact") || self.name.contains("addressbook");
        match (self.column(DISPLAY), remote) {
            (Some(name), Some(_)) if is_contacts => {
                Some(("contact", [begin, format!(", nullif({name}, '') AS display_name"), extra, end].concat()))
            }
            _ => None,
        }
    }

    /// The definition of it.
    fn definition(&self) -> Option<String> {
        let (record, sql) = self.query()?;
        let (name, app) = (self.name, self.app());
        let columns: Vec<String> = self.columns.iter().map(|column| format!("{column:?}")).collect();
        let require = columns.join(", ");
        let mut text = format!(
            "app = {app:?}\nplatform = \"leapp\"\nevidence = \"documentation\"\nwhy = \"a table of a LEAPP's result, as its columns say\"\n\
             [[variant]]\nrequire = {{ {name} = [{require}] }}\n[[variant.query]]\nrecord = \"{record}\"\nrow_table = \"{name}\"\nsql = '''\n{sql}'''\n"
        );
        if let (Some(number), "contact") = (self.column(REMOTE), record) {
            let sql = format!(
                "SELECT {name}.rowid AS row_id, {name}.rowid AS contact_row, 'phone' AS kind, phone({number}) AS value, {number} AS raw FROM {name}"
            );
            let head = "[[variant.query]]\nrecord = \"contact_point\"";
            _ = write!(text, "{head}\nrow_table = \"{name}\"\ncontact_table = \"{name}\"\nsql = '''\n{sql}'''\n");
        }
        Some(text)
    }
}

/// The tables of artifacts in a result; none where the database is none.
fn tables(schema: &Schema) -> Vec<Table<'_>> {
    let (table, columns) = SIGN;
    if !schema.columns(table).is_some_and(|found| columns.iter().all(|column| found.iter().any(|name| name == column))) {
        return Vec::new();
    }
    schema.tables().filter(|(name, _)| !name.starts_with('_')).map(|(name, columns)| Table { name, columns }).collect()
}

/// Definitions for the tables of a result, in the order of their names, and what is wrong with those that are none: their tables give no
/// records.
pub fn artifacts(schema: &Schema) -> (Vec<Artifact>, Vec<String>) {
    let plain = |table: &Table<'_>| is_plain(table.name) && table.name.starts_with(|first: char| first.is_ascii_lowercase());
    let texts = tables(schema).into_iter().filter(|table| plain(table) && table.columns.iter().all(|column| is_plain(column)));
    let (mut artifacts, mut wrong) = (Vec::new(), Vec::new());
    for table in texts {
        match table.definition().map(|text| parse(NAME, &text, Checked::Before)) {
            Some(Ok(artifact)) => artifacts.push(artifact),
            Some(Err(error)) => wrong.push(format!("table {}: no definition: {}", table.name, escape(&error.to_string()))),
            None => {}
        }
    }
    (artifacts, wrong)
}

/// The detail of the problem that tells the tables of other kinds that have rows.
pub fn others(connection: &Connection, schema: &Schema, read: &[Artifact]) -> Option<String> {
    let is_read =
        |name: &str| read.iter().flat_map(|artifact| &artifact.text.variant).any(|variant| variant.require.contains_key(name));
    let (mut shown, mut more) = (Vec::new(), 0);
    for table in tables(schema).into_iter().filter(|table| !is_read(table.name)) {
        let name = escape(table.name);
        let rows = match connection.query_row(&format!("SELECT count(*) FROM main.{}", quoted(table.name)), [], |row| row.get(0))
        {
            Ok(0_i64) => continue,
            Ok(rows) => format!("{name} ({rows} rows)"),
            Err(error) => format!("{name} (rows that cannot be counted: {})", scratch::reason(&error)),
        };
        if shown.iter().map(String::len).sum::<usize>() + rows.len() < DETAIL_BYTES { shown.push(rows) } else { more += 1 }
    }
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| format!("tables of a LEAPP's result that give no records: {}{more}", shown.join(", ")))
}
