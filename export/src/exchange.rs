//! Bundles in the forms that other tools load: one file a format behind [`Format`], and one line in [`FORMATS`].
//!
//! Reads a bundle, writes files that appear under their names whole or not at all. What a format cannot carry it says
//! ([`Format::carries`]), and `docs/exports.md` is made from that. No format carries secrets.

mod case;
mod csv;
mod jsonl;
mod misp;
mod output;
mod read;
mod sighted;
mod stix;
mod stop_payment;

pub use output::{Output, Sheet};
pub use read::{Bundle, ExhibitFacts, hex};

use crate::Error;
use crate::bundle::schema::tables;
use std::fmt::Write as _;
use std::path::Path;

/// How far a handed-over file may travel (FIRST Traffic Light Protocol 2.0).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handling {
    /// No limit.
    Clear,
    /// The community.
    Green,
    /// The recipient's organisation and its clients, as far as they need it.
    Amber,
    /// The recipient alone.
    Red,
}

impl Handling {
    /// The word in a file.
    pub fn name(self) -> &'static str {
        match self {
            Handling::Clear => "clear",
            Handling::Green => "green",
            Handling::Amber => "amber",
            Handling::Red => "red",
        }
    }

    /// The handling of that word.
    pub fn parse(word: &str) -> Option<Handling> {
        [Handling::Clear, Handling::Green, Handling::Amber, Handling::Red].into_iter().find(|one| one.name() == word)
    }
}

/// What goes with the data: why they leave, for whom, and how they are to be treated.
#[derive(Clone, Debug)]
pub struct Order {
    /// Why the data leave the unit.
    pub purpose: Option<String>,
    /// Who gets them.
    pub recipient: Option<String>,
    /// Who makes the export, if they say.
    pub officer: Option<String>,
    /// How far they may travel.
    pub handling: Handling,
    /// Until when they may be kept, ISO 8601 date.
    pub retain_until: Option<String>,
    /// When the export is made, microseconds since 1970 UTC: the caller's clock.
    pub created_us: i64,
    /// Cells that a spreadsheet would run as formulas or round are quoted (CSV).
    pub spreadsheet_safe: bool,
    /// Names, numbers and texts of persons are written (stop-payment; the others carry records whole).
    pub identities: bool,
}

/// What of a table a format carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carried {
    /// Every column.
    All,
    /// These columns.
    Columns(&'static [&'static str]),
    /// Nothing.
    Nothing,
}

/// One form.
pub trait Format: Sync {
    /// Its word after `--to`.
    fn name(&self) -> &'static str;
    /// What it is and who loads it, one line.
    fn about(&self) -> &'static str;
    /// What of a table's columns survives.
    fn carries(&self, table: &str) -> Carried;
    /// Writes the bundle.
    fn write(&self, bundle: &Bundle, order: &Order, out: &mut Output) -> Result<(), Error>;
}

/// Every format.
pub const FORMATS: &[&dyn Format] =
    &[&csv::Csv, &jsonl::JsonLines, &case::Case, &stix::Stix, &misp::Misp, &stop_payment::StopPayment];

/// The format of that word.
pub fn format(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// Writes a bundle in a format to `out`: a file, or a folder for formats of several files. Returns the files written.
pub fn export(bundle: &Path, format: &dyn Format, order: &Order, out: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let bundle = Bundle::open(bundle)?;
    let mut output = Output::new(out);
    format.write(&bundle, order, &mut output)?;
    output.finish()
}

/// The loss table of every format, Markdown: what stays behind.
pub fn loss_table() -> String {
    let mut text = String::new();
    for format in FORMATS {
        let _infallible = writeln!(text, "\n## `--to {}`\n\n{}\n", format.name(), format.about());
        text.push_str("| table | does not survive |\n|---|---|\n");
        for table in tables().iter().filter(|table| table.sealed()) {
            let lost: Vec<&str> = match format.carries(table.name) {
                Carried::All => continue,
                Carried::Nothing => vec!["all of it"],
                Carried::Columns(kept) => {
                    table.columns.iter().map(|column| column.name).filter(|name| !kept.contains(name)).collect()
                }
            };
            if !lost.is_empty() {
                let _infallible = writeln!(text, "| `{}` | {} |", table.name, lost.join(", "));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_found() {
        for (place, one) in FORMATS.iter().enumerate() {
            assert!(FORMATS[..place].iter().all(|other| other.name() != one.name()));
            assert_eq!(format(one.name()).map(|found| found.name()), Some(one.name()));
        }
        assert!(format("xls").is_none());
    }

    #[test]
    fn no_format_carries_secrets_and_columns_are_real() {
        for format in FORMATS {
            assert_eq!(format.carries("secret"), Carried::Nothing, "{}", format.name());
            for table in tables() {
                if let Carried::Columns(kept) = format.carries(table.name) {
                    for column in kept {
                        assert!(table.column(column).is_some(), "{}: {}.{column}", format.name(), table.name);
                    }
                }
            }
        }
    }

    #[test]
    fn handling_words_come_back() {
        for word in ["clear", "green", "amber", "red"] {
            assert_eq!(Handling::parse(word).map(Handling::name), Some(word));
        }
        assert_eq!(Handling::parse("white"), None);
    }
}
