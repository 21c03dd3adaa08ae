//! The count that proves that nothing was dropped.

use crate::id::Id;
use serde::{Deserialize, Serialize};

/// Rows seen = records + rejected, for one source of one item.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The exhibit.
    pub exhibit: Id,
    /// The item.
    pub item: Id,
    /// What was counted: `message→message` (table and record kind of a query), `messages` of an export, `entries` of an archive, …
    pub source: String,
    /// The kind of record (a bundle's table) that the rows became; `item` for the entries of a container.
    pub record_kind: String,
    /// Table of the rows, as in the records' `row_table`; `None` where the records have no table.
    pub row_table: Option<String>,
    /// Rows, values or entries in the source, counted apart from the reading of them.
    pub rows_seen: u64,
    /// Records made of them.
    pub records: u64,
    /// Rows that gave no record; each has a problem, or `reason` covers them all.
    pub rejected: u64,
    /// Why rows were rejected, with counts.
    pub reason: Option<String>,
}

impl LedgerRow {
    /// Its id: item, source and record kind.
    pub fn id(&self) -> Id {
        Id::derive("ledger", &[self.exhibit.bytes(), self.item.bytes(), self.source.as_bytes(), self.record_kind.as_bytes()])
    }

    /// Whether the row adds up.
    pub fn adds_up(&self) -> bool {
        self.records.checked_add(self.rejected) == Some(self.rows_seen)
    }
}
