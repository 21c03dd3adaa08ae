//! `haul search`: which rows of which bundles have what is looked for.

use crate::{cli, explain};
use anyhow::{Context, Result, bail};
use export::search::{Hit, Index, Query};
use model::text::escape;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Longest text in a table's line, characters; the JSON form has it whole.
const SHOWN: usize = 120;

/// Bundles from this size on get an index: smaller ones are read as fast as it would be.
const INDEXED_FROM_BYTES: u64 = 16 << 20;

/// Prints every hit; how many, on stderr.
pub fn search(arguments: &cli::Search) -> Result<u8> {
    let query = query(arguments)?;
    let mut count = 0u64;
    for bundle in &arguments.bundles {
        let mut hits = Vec::new();
        let index = index(bundle, &arguments.index);
        let mut out = std::io::stdout().lock();
        export::search::search(bundle, &query, index.as_ref(), &mut |hit: Hit| -> Result<()> {
            count += 1;
            match arguments.output.as_str() {
                "jsonl" => writeln!(out, "{}", json(bundle, &hit))?,
                "explain" => hits.push(hit.id),
                _ => writeln!(out, "{}", line(&hit))?,
            }
            Ok(())
        })?;
        drop(out);
        for id in hits {
            let asked = cli::Explain { bundle: bundle.clone(), id, evidence: None, passwords: Vec::new(), key_files: Vec::new() };
            explain::explain(&asked)?;
        }
    }
    eprintln!("{count} rows");
    Ok(0)
}

/// The lines of a watch list.
pub fn selectors(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// The index of a bundle; what stands in its way is said, and the rows are read without.
fn index(bundle: &Path, wanted: &str) -> Option<Index> {
    if wanted == "none" {
        return None;
    }
    match made(bundle, wanted == "build") {
        Ok(index) => index,
        Err(error) => {
            eprintln!("searching without an index: {}", escape(&format!("{error:#}")));
            None
        }
    }
}

fn made(bundle: &Path, anew: bool) -> Result<Option<Index>> {
    let size = std::fs::metadata(bundle).with_context(|| bundle.display().to_string())?.len();
    if !anew && size < INDEXED_FROM_BYTES {
        return Ok(None);
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    let folder = folder.context("neither XDG_CACHE_HOME nor HOME is set: where is the cache?")?.join("haul").join("search");
    let path = folder.join(export::search::name(bundle)?);
    if !anew && let Some(index) = Index::open(&path, bundle)? {
        return Ok(Some(index));
    }
    eprintln!(
        "making the search index of {} in {}",
        escape(&bundle.display().to_string()),
        escape(&folder.display().to_string())
    );
    Index::build(&path, bundle)?;
    Ok(Index::open(&path, bundle)?)
}

fn query(arguments: &cli::Search) -> Result<Query> {
    let selectors = arguments.selectors.as_deref().map(selectors).transpose()?.unwrap_or_default();
    let words = arguments.words.clone();
    if words.is_empty() && selectors.is_empty() {
        bail!("nothing to look for: give --for WORDS or --selectors FILE with at least one line");
    }
    let micros = |time: Option<jiff::Timestamp>| time.map(jiff::Timestamp::as_microsecond);
    Ok(Query {
        words,
        selectors,
        kinds: arguments.kinds.clone(),
        since_us: micros(arguments.since),
        until_us: micros(arguments.until),
        exhibit: arguments.exhibit.clone(),
    })
}

fn time(hit: &Hit) -> Option<String> {
    hit.time_us
        .map(|micros| jiff::Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| time.to_string()))
}

fn line(hit: &Hit) -> String {
    let mut text: String = escape(&hit.text).chars().take(SHOWN).collect();
    if hit.text.chars().count() > SHOWN {
        text.push('…');
    }
    let selector = hit.selector.as_ref().map(|selector| format!("[{}] ", escape(selector))).unwrap_or_default();
    // What is not live must not be taken for what the device held openly.
    let state = hit.state.as_deref().filter(|state| *state != "live").map(|state| format!("({state}) ")).unwrap_or_default();
    let time = time(hit).unwrap_or_else(|| "-".to_owned());
    format!("{}  {:13} {time:20} {state}{selector}{}: {text}", hit.id, hit.table, hit.column)
}

fn json(bundle: &Path, hit: &Hit) -> serde_json::Value {
    serde_json::json!({
        "bundle": bundle.display().to_string(), "table": hit.table, "id": hit.id, "time": time(hit), "column": hit.column,
        "text": hit.text, "selector": hit.selector, "state": hit.state,
    })
}
