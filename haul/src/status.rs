//! `haul status`: how far exhibits are, and how far a fleet's workers lag.

use crate::cli;
use crate::journal::Journal;
use anyhow::{Context, Result, bail};
use config::Settings;
use model::text::escape;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the numbers of a raid's exhibits are kept, below the output folder.
const RAID: &str = ".haul/raid.json";

/// Remembers which exhibits a run has, so that those that wait can be told of.
pub fn remember<'n>(out: &Path, numbers: impl Iterator<Item = &'n str>) -> Result<()> {
    let mut known = remembered(out)?;
    known.extend(numbers.map(str::to_owned));
    std::fs::create_dir_all(out.join(".haul"))?;
    std::fs::write(out.join(RAID), serde_json::to_string(&known)?)?;
    Ok(())
}

fn remembered(out: &Path) -> Result<BTreeSet<String>> {
    let path = out.join(RAID);
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    serde_json::from_str(&std::fs::read_to_string(&path)?).with_context(|| path.display().to_string())
}

/// Sums over the sealed exhibits of a raid.
#[derive(Default)]
struct Sums {
    sealed: u64,
    items: i64,
    failed: i64,
    locked: i64,
    problems: i64,
}

/// Prints one line an exhibit: sealed bundles, then working stores, then those of a raid that failed or wait, and the sums;
/// then the lag of the workers.
pub fn status(arguments: &cli::Status) -> Result<u8> {
    if arguments.out.is_none() && arguments.config.is_none() {
        bail!("say which output folder, or --config for a fleet");
    }
    let mut out = std::io::stdout().lock();
    if let Some(folder) = &arguments.out {
        let mut waiting = remembered(folder)?;
        let of_raid = waiting.len();
        let sums = bundles(&mut out, folder, &mut waiting)?;
        for store in working_stores(&folder.join(".haul"))? {
            for line in export::progress(&store)? {
                writeln!(out, "{line}")?;
            }
        }
        if of_raid > 0 {
            raid(&mut out, folder, of_raid, &waiting, &sums)?;
        }
    }
    if let Some(config) = &arguments.config {
        let settings = Settings::read(config)?;
        for lag in stream::kafka::lag(&settings.kafka)? {
            writeln!(out, "{lag}")?;
        }
    }
    Ok(0)
}

/// The exhibits of a raid that are not sealed, and the sums.
fn raid(out: &mut dyn Write, folder: &Path, of_raid: usize, open: &BTreeSet<String>, sums: &Sums) -> Result<()> {
    let (mut failed, mut working) = (0, 0);
    for number in open {
        let name = export::file_stem(number);
        let journal = Journal::beside(&folder.join(format!("{name}.sqlite")));
        let last = |event: &str| -> Result<Option<String>> {
            Ok(journal.last(event)?.and_then(|event| event["time"].as_str().map(str::to_owned)))
        };
        let (started, stopped) = (last("started")?, last("failed")?);
        // RFC 3339 in UTC: the later text is the later time.
        if stopped.is_some() && stopped >= started {
            failed += 1;
            let why = journal.last("failed")?.and_then(|event| event["error"].as_str().map(str::to_owned)).unwrap_or_default();
            writeln!(out, "{}: failed, {}", escape(number), escape(&why))?;
        } else if started.is_some() {
            working += 1;
        } else {
            writeln!(out, "{}: waiting", escape(number))?;
        }
    }
    let waiting = open.len() - failed - working;
    let Sums { sealed, items, failed: items_failed, locked, problems } = sums;
    writeln!(out, "raid of {of_raid}: {sealed} sealed, {working} in work, {failed} failed, {waiting} waiting")?;
    writeln!(out, "sealed so far: {items} items, {items_failed} failed, {locked} locked, {problems} problems")?;
    Ok(())
}

fn bundles(out: &mut dyn Write, folder: &Path, waiting: &mut BTreeSet<String>) -> Result<Sums> {
    let mut sums = Sums::default();
    for path in listed(folder)? {
        if path.extension().is_some_and(|extension| extension == "sqlite") {
            let connection = export::open_read_only(&path)?;
            let sql = "SELECT number, (SELECT count(*) FROM item), (SELECT count(*) FROM item WHERE status = 'failed'),
                       (SELECT count(*) FROM problem), (SELECT count(*) FROM item WHERE status = 'locked') FROM exhibit";
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (number, items, failed, problems, locked): (String, i64, i64, i64, i64) =
                    (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
                writeln!(out, "{}: sealed, {items} items, {failed} failed, {problems} problems", escape(&number))?;
                waiting.remove(&number);
                sums.sealed += 1;
                sums.items += items;
                sums.failed += failed;
                sums.locked += locked;
                sums.problems += problems;
            }
        }
    }
    Ok(sums)
}

/// Working stores of both transports: `<exhibit>/working.sqlite` and `partition-<n>.working.sqlite`.
fn working_stores(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut stores = Vec::new();
    if !folder.exists() {
        return Ok(stores);
    }
    for path in listed(folder)? {
        let inner = path.join("working.sqlite");
        if inner.exists() {
            stores.push(inner);
        } else if path.to_string_lossy().ends_with(".working.sqlite") {
            stores.push(path);
        }
    }
    Ok(stores)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
