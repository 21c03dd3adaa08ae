//! A report: what bundles hold, as a page that a person reads and prints.
//!
//! Reads bundles (whole, merged or partial), writes one HTML page or an index with a folder of pages ([`pages`] has the rule).
//! Guarantees: the same bundles give the same bytes; no script, no request, a policy that forbids both; every text of a bundle is
//! escaped and isolated; values of secrets are masked unless asked for. Time is that of sorting the rows; memory is that of one row,
//! the cache of a temporary file, the secrets' automaton and sixteen bytes for each account and address-book entry, whatever the bundles hold.

mod chats;
mod exhibits;
mod glance;
mod graph;
mod integrity;
mod markup;
mod mask;
mod names;
pub mod pages;
mod people;
mod persons;
mod scratch;
mod source;
mod timeline;
mod wallets;

use crate::Error;
use mask::Mask;
use pages::{Pages, ROWS_ON_ONE_PAGE};
use scratch::Scratch;
use source::Source;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is asked of a report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Values of secrets are written.
    pub show_secrets: bool,
}

/// What a report was made of.
#[derive(Debug)]
pub struct Written {
    /// The files, the index first.
    pub files: Vec<PathBuf>,
    /// Rows that count for paging.
    pub rows: u64,
    /// Secrets that are masked in the list and in the messages that hold them, but not wherever else their value may stand.
    pub secrets_left_out: u64,
}

/// What every section needs.
struct Report {
    sources: Vec<Source>,
    scratch: Scratch,
    mask: Mask,
    show_secrets: bool,
    /// Exhibits by id: how they are called in the report.
    names: BTreeMap<String, String>,
}

impl Report {
    fn exhibit(&self, id: Option<&str>) -> &str {
        id.and_then(|id| self.names.get(id)).map_or("?", String::as_str)
    }
}

/// Writes the report of bundles to `out`, and to the folder beside it if it is large.
pub fn report(bundles: &[PathBuf], options: Options, out: &Path) -> Result<Written, Error> {
    let sources: Vec<Source> = bundles.iter().map(|path| Source::open(path, bundles.len())).collect::<Result<_, _>>()?;
    let mask = if options.show_secrets { Mask::none() } else { Mask::of(&sources)? };
    let names = exhibits::names(&sources)?;
    let report = Report { sources, scratch: Scratch::new()?, mask, show_secrets: options.show_secrets, names };
    let rows = rows(&report)?;
    let title =
        if report.names.len() == 1 { "Haul report".to_owned() } else { format!("Haul report: {} exhibits", report.names.len()) };
    let mut pages = Pages::begin(out, &title, exhibits::subject(&report)?, rows > ROWS_ON_ONE_PAGE)?;
    pages.partial = report.sources.iter().any(|source| source.partial.is_some());
    glance::glance(&report, &mut pages)?;
    exhibits::overview(&report, &mut pages)?;
    timeline::timeline(&report, &mut pages)?;
    graph::graph(&report, &mut pages)?;
    persons::persons(&report, &mut pages)?;
    wallets::shared(&report, &mut pages)?;
    chats::gather(&report)?;
    if pages.is_paged() {
        // Links into conversations name a page, so those come first; the files are apart.
        chats::conversations(&report, &mut pages)?;
        wallets::wallets(&report, &mut pages)?;
        chats::list(&report, &mut pages)?;
    } else {
        wallets::wallets(&report, &mut pages)?;
        chats::list(&report, &mut pages)?;
        chats::conversations(&report, &mut pages)?;
    }
    people::calls(&report, &mut pages)?;
    people::contacts(&report, &mut pages)?;
    people::owners(&report, &mut pages)?;
    people::devices(&report, &mut pages)?;
    integrity::secrets(&report, &mut pages)?;
    exhibits::ledger(&report, &mut pages)?;
    integrity::problems(&report, &mut pages)?;
    integrity::custody(&report, &mut pages)?;
    integrity::verify(&report, &mut pages)?;
    Ok(Written { files: pages.finish()?, rows, secrets_left_out: report.mask.left_out })
}

/// The rows that count for paging.
fn rows(report: &Report) -> Result<u64, Error> {
    const OF_WALLETS: &str =
        "(SELECT 1 FROM sighting JOIN observable ON observable.id = observable_id WHERE kind = 'wallet_address')";
    const UNREAD: &str = "(SELECT 1 FROM item WHERE status NOT IN ('parsed', 'plain'))";
    let mut rows = 0;
    for source in &report.sources {
        for from in ["message", "call", "contact", "problem", "device", "secret", "custody", OF_WALLETS, UNREAD] {
            rows += source.count(from)?;
        }
    }
    Ok(rows)
}
