//! The tables of a bundle, read from `schema.sql`: the statements in it stand word for word in every bundle.

use super::digest::salt_block;
use super::lanes::BLOCK;
use super::value::Value;
use std::sync::OnceLock;

/// `application_id` of a bundle: `HAUL` in ASCII.
pub const APPLICATION_ID: i32 = 0x4841_554c;
/// `user_version` of a bundle: the version of its format.
pub const FORMAT_VERSION: i32 = 1;
/// Page size of a bundle, bytes.
pub const PAGE_SIZE: i32 = 4096;
/// Tables that are outside the tree: the seal cannot seal itself.
pub const UNSEALED: [&str; 2] = ["seal", "seal_tile"];

const SQL: &str = include_str!("schema.sql");
/// What a merged bundle has besides.
const MERGED_SQL: &str = include_str!("merged.sql");

/// The declared type of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// Bytes; hexadecimal in a row's JSON.
    Blob,
    /// UTF-8 text.
    Text,
    /// A signed 64-bit integer.
    Integer,
    /// An integer or a text: a raw value as the evidence has it.
    Any,
}

/// One column.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Whether it always has a value.
    pub required: bool,
    /// `"name":`: how its member of a row begins in JSON.
    pub field: Vec<u8>,
    /// What becomes the salts of its fields.
    pub salt: Option<[u8; BLOCK]>,
}

/// One table.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The statement that makes it, as SQLite keeps it.
    pub create: &'static str,
    /// Its columns; the first is the key.
    pub columns: Vec<Column>,
    /// Places of the columns in the order of their names.
    pub sorted: Vec<usize>,
}

impl Table {
    /// Whether its rows are leaves of the tree.
    pub fn sealed(&self) -> bool {
        !UNSEALED.contains(&self.name)
    }

    /// Its column of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// All columns, comma-separated.
    pub fn column_list(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }

    /// Whether its rows have numbers of their own besides their key.
    pub fn numbered(&self) -> bool {
        !self.create.ends_with("WITHOUT ROWID")
    }

    /// The first column whose value is none that the column may hold.
    pub fn misfit(&self, values: &[Value]) -> Option<&Column> {
        let fits = |(column, value): &(&Column, &Value)| match value {
            Value::Null => !column.required,
            Value::Integer(_) => matches!(column.kind, Type::Integer | Type::Any),
            Value::Text(_) | Value::Word(_) => matches!(column.kind, Type::Text | Type::Any),
            Value::Blob(_) | Value::Id(_) => column.kind == Type::Blob,
        };
        self.columns.iter().zip(values).find(|pair| !fits(pair)).map(|(column, _)| column)
    }

    /// The statement that inserts one row, all columns in order.
    pub fn insert(&self) -> String {
        let marks = vec!["?"; self.columns.len()].join(", ");
        format!("INSERT INTO {} VALUES ({marks})", self.name)
    }
}

/// Every table of a bundle in the order of their names, which is the order of their rows in the tree.
pub fn tables() -> &'static [Table] {
    static TABLES: OnceLock<Vec<Table>> = OnceLock::new();
    TABLES.get_or_init(|| SQL.split_terminator(";\n").map(read).collect())
}

/// Every table of a merged bundle in the order of their names: those of a bundle, and where its parts come from.
pub fn merged_tables() -> &'static [Table] {
    static TABLES: OnceLock<Vec<Table>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let statements = SQL.split_terminator(";\n").chain(MERGED_SQL.split_terminator(";\n"));
        let mut tables: Vec<Table> = statements.map(read).collect();
        tables.sort_by_key(|table| table.name);
        tables
    })
}

/// The table of that name in a bundle that is not merged.
pub fn table(name: &str) -> Option<&'static Table> {
    tables().iter().find(|table| table.name == name)
}

/// Reads one statement of `schema.sql`: one column a line.
fn read(create: &'static str) -> Table {
    let name = create.split_whitespace().nth(2).unwrap_or_default();
    let columns: Vec<Column> = create.lines().filter_map(|line| line.strip_prefix("  ")).map(column).collect();
    let mut sorted: Vec<usize> = (0..columns.len()).collect();
    sorted.sort_by_key(|place| columns[*place].name);
    Table { name, create, columns, sorted }
}

fn column(line: &'static str) -> Column {
    let mut words = line.trim_end_matches(',').split_whitespace();
    let name = words.next().unwrap_or_default();
    let kind = match words.next() {
        Some("BLOB") => Type::Blob,
        Some("INTEGER") => Type::Integer,
        Some("ANY") => Type::Any,
        _ => Type::Text,
    };
    let (field, salt) = (format!("\"{name}\":").into_bytes(), salt_block(name));
    Column { name, kind, required: line.contains(" NOT NULL"), field, salt }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns that DESIGN §6 fixes.
    const FIXED: &[(&str, &str)] = &[
        ("meta", "key, value"),
        ("exhibit", "id, case_label, number, kind, container, size_bytes, sha256"),
        (
            "item",
            "id, exhibit_id, parent_id, path, size_bytes, sha256, sha1, md5, media_type, modified_time, deleted, status, reason",
        ),
        ("thread", "id, exhibit_id, item_id, app, thread_key, name"),
        ("account", "id, exhibit_id, item_id, app, account_key, display_name, is_owner"),
        (
            "message",
            "id, exhibit_id, item_id, app, thread_id, sender, outgoing, sent_time, sent_time_raw, text, message_type, state, \
             row_table, row_id",
        ),
        ("contact", "id, exhibit_id, item_id, app, display_name, state, row_table, row_id"),
        ("contact_point", "contact_id, kind, value, raw"),
        ("call", "id, exhibit_id, item_id, app, remote, outgoing, start_time, duration_s, outcome, state, row_table, row_id"),
        ("attachment", "id, message_id, item_id, path, media_type, sha256"),
        ("visit", "id, exhibit_id, item_id, app, url, title, visit_time, transition, typed, referrer, state, row_table, row_id"),
        (
            "location",
            "id, exhibit_id, item_id, app, latitude, longitude, accuracy_m, located_time, source, label, state, row_table",
        ),
        ("observable", "id, kind, value, chain, validity"),
        ("sighting", "id, observable_id, exhibit_id, item_id, record_id, byte_offset, context"),
        ("problem", "id, exhibit_id, item_id, stage, code, detail"),
        ("custody", "seq, action, actor, time, detail, previous, signature"),
        ("seal", "checkpoint, signature, signer"),
    ];

    #[test]
    fn fixed_columns_are_there() {
        for (name, columns) in FIXED {
            let table = table(name).unwrap();
            for column in columns.split(", ") {
                assert!(table.column(column).is_some(), "{name}.{column}");
            }
        }
    }

    #[test]
    fn tables_are_strict_and_in_order() {
        let names: Vec<_> = tables().iter().map(|table| table.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(tables().iter().all(|table| table.create.contains(") STRICT")));
        assert!(merged_tables().is_sorted_by_key(|table| table.name));
        assert_eq!(merged_tables().len(), tables().len() + 2);
        // A row's own member "table" must not meet a column.
        assert!(merged_tables().iter().all(|entry| entry.column("table").is_none()));
    }
}
