//! Where exactly a record comes from.

use crate::id::{Digest, Id};
use serde::{Deserialize, Serialize};

/// Whether a row is what the app shows now, what it showed before, or what deletion left behind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum State {
    /// In force.
    #[default]
    Live,
    /// An older version of a row that still exists.
    Superseded,
    /// Deleted and carved back.
    Recovered,
}

impl State {
    /// The word in the `state` columns.
    pub fn name(self) -> &'static str {
        match self {
            State::Live => "live",
            State::Superseded => "superseded",
            State::Recovered => "recovered",
        }
    }
}

/// The place inside an item.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Locator {
    /// A row of a database table.
    Row {
        /// Table name.
        table: String,
        /// Its rowid.
        row_id: i64,
    },
    /// A value in a JSON (or plist) document.
    Pointer {
        /// RFC 6901 pointer.
        pointer: String,
        /// First byte of the value in the item.
        offset: u64,
        /// Bytes of the value.
        length: u64,
    },
    /// Lines of a text.
    Line {
        /// First line, counted from 1.
        line: u64,
        /// First byte of that line in the item.
        offset: u64,
        /// Bytes up to the end of the last line.
        length: u64,
    },
    /// A range of bytes.
    Bytes {
        /// First byte in the item.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// A row of a database that is not live.
    Carved(Box<Carved>),
}

/// Where a row stands that is not live: in bytes that its database has given up.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Carved {
    /// Table name.
    pub table: String,
    /// Its rowid, where that survived.
    pub row_id: Option<i64>,
    /// Suffix of the file beside the item that it lies in (`-wal`, `-journal`); `None` for the item itself.
    pub companion: Option<String>,
    /// Number of its page, from 1.
    pub page: u32,
    /// First byte of its cell in that file.
    pub offset: u64,
    /// Bytes of its cell there; overflow pages are not counted.
    pub length: u64,
    /// `high`, `medium` or `low`, and what was reconstructed.
    pub confidence: String,
    /// True for a further version of a thread or account that another row told of with the same key: its id then derives from the
    /// place.
    pub version: bool,
}

impl Locator {
    /// Feeds the identifying part of the locator, as bytes, for [`Id::derive`].
    pub fn key(&self) -> Vec<u8> {
        match self {
            Locator::Row { table, row_id } => [b"row\0", table.as_bytes(), b"\0", &row_id.to_le_bytes()].concat(),
            Locator::Pointer { pointer, offset, .. } => [b"pointer\0", pointer.as_bytes(), b"\0", &offset.to_le_bytes()].concat(),
            Locator::Line { offset, .. } => [b"line\0".as_slice(), &offset.to_le_bytes()].concat(),
            Locator::Bytes { offset, length } => [b"bytes\0".as_slice(), &offset.to_le_bytes(), &length.to_le_bytes()].concat(),
            Locator::Carved(carved) => {
                let companion = carved.companion.as_deref().unwrap_or_default().as_bytes();
                [b"carved\0", carved.table.as_bytes(), b"\0", companion, b"\0", &carved.offset.to_le_bytes()].concat()
            }
        }
    }

    /// The table, for rows.
    pub fn table(&self) -> Option<&str> {
        match self {
            Locator::Row { table, .. } => Some(table),
            Locator::Carved(carved) => Some(&carved.table),
            _ => None,
        }
    }

    /// The place of the live row that a row which is not live is, or was, a version of.
    pub fn live(&self) -> Option<Locator> {
        match self {
            Locator::Carved(carved) => Some(Locator::Row { table: carved.table.clone(), row_id: carved.row_id? }),
            _ => None,
        }
    }

    /// The table and rowid, for live rows.
    pub fn row(&self) -> Option<(&str, i64)> {
        match self {
            Locator::Row { table, row_id } => Some((table, *row_id)),
            _ => None,
        }
    }

    /// First byte and length in the item, where the locator has them.
    pub fn range(&self) -> Option<(u64, u64)> {
        match self {
            Locator::Row { .. } => None,
            Locator::Carved(carved) => carved.companion.is_none().then_some((carved.offset, carved.length)),
            Locator::Pointer { offset, length, .. }
            | Locator::Line { offset, length, .. }
            | Locator::Bytes { offset, length } => Some((*offset, *length)),
        }
    }
}

/// Where a record comes from and what read it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Provenance {
    /// The exhibit.
    pub exhibit: Id,
    /// The item.
    pub item: Id,
    /// The place in the item.
    pub locator: Locator,
    /// Live, superseded or recovered.
    pub state: State,
    /// The [`Definition`] that read it.
    pub definition: Id,
    /// Which element of a list in that place, counted from 0, where the place holds several.
    pub part: Option<u32>,
}

impl Provenance {
    /// The id of the record of that kind at this place (kind, exhibit, item, locator, state, and which element of a list).
    pub fn record_id(&self, kind: &str) -> Id {
        match self.part {
            None => self.record_id_at(kind, &self.locator),
            Some(part) => Id::derive("record.part", &[self.record_id_at(kind, &self.locator).bytes(), &part.to_le_bytes()]),
        }
    }

    /// The same place as if its row were of another state.
    #[must_use]
    pub fn of_state(&self, state: State) -> Provenance {
        Provenance { state, ..self.clone() }
    }

    /// The id of a record of that kind at another place of the same item, for references between records.
    pub fn record_id_at(&self, kind: &str, locator: &Locator) -> Id {
        Id::derive(
            "record",
            &[kind.as_bytes(), self.exhibit.bytes(), self.item.bytes(), &locator.key(), self.state.name().as_bytes()],
        )
    }
}

/// An artifact definition or parser that read something; one row of table `definition`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Definition {
    /// Derived from exhibit, name and digest (each bundle carries its own list).
    pub id: Id,
    /// The exhibit in whose bundle the row stands.
    pub exhibit: Id,
    /// `whatsapp_android`, `telegram_export`, …
    pub name: String,
    /// SHA-256 of the definition file; of `name` and version for a parser written in Rust.
    pub sha256: Digest,
}

impl Definition {
    /// The row for a definition in an exhibit.
    pub fn new(exhibit: Id, name: &str, sha256: Digest) -> Definition {
        let id = Id::derive("definition", &[exhibit.bytes(), name.as_bytes(), &sha256.0]);
        Definition { id, exhibit, name: name.to_owned(), sha256 }
    }
}
