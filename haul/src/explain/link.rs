//! A link between two rows of one person: what it says, and the rows that are its evidence.

use anyhow::Result;
use model::Id;
use model::text::escape;
use rusqlite::{Connection, OptionalExtension};

/// A row of table `link`.
pub struct Link {
    /// What it says.
    pub words: String,
    /// The rows that are its evidence.
    pub ends: [Id; 2],
}

/// The link with that id.
pub fn find(connection: &Connection, id: Id) -> Result<Option<Link>> {
    let sql = "SELECT account_id, account_field, record_id, record_kind, record_field, reason, value FROM link WHERE id = ?1";
    let link = connection.query_row(sql, [id.bytes()], |row| {
        let text = |place: usize| row.get::<_, Option<String>>(place).map(|text| escape(&text.unwrap_or_default()));
        let value = row.get::<_, Option<String>>(6)?.map(|value| format!(" {}", escape(&value))).unwrap_or_default();
        let ends = [Id(row.get(0)?), Id(row.get(2)?)];
        let words = format!(
            "link {id}\n{}{value}: {} of account {}, and {} of {} {}",
            text(5)?,
            text(1)?,
            ends[0],
            text(4)?,
            text(3)?,
            ends[1]
        );
        Ok(Link { words, ends })
    });
    Ok(link.optional()?)
}
