//! What a verification found.

use model::Digest;
use model::text::escape;
use std::fmt;

/// Wrongs that are listed; more are counted.
const LISTED: usize = 20;

/// Who sealed a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Signer {
    /// Nobody: the bundle says so.
    #[default]
    Unsigned,
    /// The holder of a key. Whether that is a key to trust is for the reader to know.
    Key {
        /// `SHA256:…`.
        fingerprint: String,
        /// The public key as one line.
        line: String,
    },
}

impl Signer {
    /// From the fingerprint and the line of a key, if there is one.
    pub(super) fn of(fingerprint: Option<String>, line: &str) -> Signer {
        fingerprint.map_or(Signer::Unsigned, |fingerprint| Signer::Key { fingerprint, line: line.to_owned() })
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signer::Unsigned => write!(f, "unsigned"),
            Signer::Key { fingerprint, .. } => write!(f, "signed by {fingerprint}"),
        }
    }
}

/// One of the bundles that a merged one was joined from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartSeal {
    /// Label of its case.
    pub case_label: String,
    /// Its exhibit number.
    pub number: String,
    /// Who sealed it.
    pub signer: Signer,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// The check that failed: `form`, `seed`, `row`, `tile`, `count`, `seal`, `ledger`, `status`, `reference`,
    /// `sighting`, `part`.
    pub check: &'static str,
    /// The table.
    pub table: Option<String>,
    /// The key of the row: an id in hexadecimal, or another key as text.
    pub key: Option<String>,
    /// What is wrong with it.
    pub detail: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.check)?;
        if let Some(table) = &self.table {
            write!(f, ": table {}", escape(table))?;
        }
        if let Some(key) = &self.key {
            write!(f, " row {}", escape(key))?;
        }
        write!(f, ": {}", escape(&self.detail))
    }
}

/// What a verification found. Prints as one line (and one a part) if the bundle holds, else as one line a wrong.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// What is wrong, the first thing first; at most twenty.
    pub wrongs: Vec<Wrong>,
    /// How many more things are wrong.
    pub more: u64,
    /// Rows that were digested.
    pub rows: u64,
    /// Root of the salted tree over the rows as they are.
    pub root: Digest,
    /// Root of the unsalted tree over the rows as they are.
    pub content_root: Digest,
    /// The checkpoint as it stands in the bundle.
    pub checkpoint: String,
    /// Who sealed it.
    pub signer: Signer,
    /// The bundles that it was joined from; none if it is not merged.
    pub parts: Vec<PartSeal>,
}

impl Default for Report {
    fn default() -> Report {
        let (wrongs, more, rows, root, content_root, checkpoint, signer, parts) = Default::default();
        Report { wrongs, more, rows, root, content_root, checkpoint, signer, parts }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.wrongs.is_empty()
    }

    /// Notes a wrong.
    pub(super) fn wrong(&mut self, check: &'static str, table: Option<&str>, key: Option<String>, detail: impl Into<String>) {
        if self.wrongs.len() >= LISTED {
            self.more += 1;
            return;
        }
        self.wrongs.push(Wrong { check, table: table.map(str::to_owned), key, detail: detail.into() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((first, others)) = self.wrongs.split_first() {
            write!(f, "does not hold: {first}")?;
            others.iter().try_for_each(|wrong| write!(f, "\n  {wrong}"))?;
            return if self.more > 0 { write!(f, "\n  and {} things more", self.more) } else { Ok(()) };
        }
        write!(f, "holds, {} rows, {}, root {}, content root {}", self.rows, self.signer, self.root, self.content_root)?;
        self.parts.iter().try_for_each(|part| {
            write!(f, "\n  part: case {} exhibit {}, {}", escape(&part.case_label), escape(&part.number), part.signer)
        })
    }
}
