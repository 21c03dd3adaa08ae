//! `haul status`: how far exhibits are, and how far a fleet's workers lag.

use crate::cli;
use anyhow::{Context, Result, bail};
use config::Settings;
use model::text::escape;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Prints one line an exhibit: sealed bundles, then working stores, then the lag of the workers.
pub fn status(arguments: &cli::Status) -> Result<u8> {
    if arguments.out.is_none() && arguments.config.is_none() {
        bail!("say which output folder, or --config for a fleet");
    }
    let mut out = std::io::stdout().lock();
    if let Some(folder) = &arguments.out {
        bundles(&mut out, folder)?;
        for store in working_stores(&folder.join(".haul"))? {
            for line in export::progress(&store)? {
                writeln!(out, "{line}")?;
            }
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

fn bundles(out: &mut dyn Write, folder: &Path) -> Result<()> {
    for path in listed(folder)? {
        if path.extension().is_some_and(|extension| extension == "sqlite") {
            let connection = export::open_read_only(&path)?;
            let sql = "SELECT number, (SELECT count(*) FROM item), (SELECT count(*) FROM item WHERE status = 'failed'),
                       (SELECT count(*) FROM problem) FROM exhibit";
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (number, items, failed, problems): (String, i64, i64, i64) =
                    (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                writeln!(out, "{}: sealed, {items} items, {failed} failed, {problems} problems", escape(&number))?;
            }
        }
    }
    Ok(())
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
