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
        let searched = export::search::search(bundle, &query, index.as_ref(), &mut |hit: Hit| -> Result<()> {
            count += 1;
            match arguments.output.as_str() {
                "jsonl" => writeln!(out, "{}", json(bundle, &hit))?,
                "explain" => hits.push(hit.id),
                _ if arguments.bundles.len() > 1 => writeln!(out, "{}  {}", escape(&bundle.display().to_string()), line(&hit))?,
                _ => writeln!(out, "{}", line(&hit))?,
            }
            Ok(())
        });
        searched.map_err(usage)?;
        drop(out);
        for id in hits {
            let asked = cli::Explain { bundle: bundle.clone(), id, evidence: None, passwords: Vec::new(), key_files: Vec::new() };
            explain::explain(&asked)?;
        }
    }
    eprintln!("{count} rows");
    Ok(0)
}

/// Nothing was begun that could be gone on with: a usage error, whatever the cause.
fn usage(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<export::Error>() {
        Ok(error) => anyhow::anyhow!("{error}"),
        Err(error) => error,
    }
}

/// The lines of a watch list, as any editor writes it: UTF-8 or UTF-16 with its mark, `#` at the beginning or after a space begins a remark.
pub fn selectors(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = text_of(&bytes).with_context(|| format!("{} is no text in UTF-8 or UTF-16", path.display()))?;
    let selector = |line: &str| {
        let remark = line.match_indices('#').find(|(at, _)| line[..*at].ends_with([' ', '\t']) || *at == 0);
        remark.map_or(line, |(at, _)| &line[..at]).trim().to_owned()
    };
    Ok(text.lines().map(selector).filter(|line| !line.is_empty()).collect())
}

fn text_of(bytes: &[u8]) -> Option<String> {
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, odd) = rest.as_chunks::<2>();
        odd.is_empty().then(|| char::decode_utf16(units.iter().copied().map(unit)).collect::<Result<String, _>>().ok()).flatten()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

/// Words as they were typed; those that are one phone number together are one.
pub fn words(words: &[String]) -> Vec<String> {
    let words: Vec<String> = words.iter().filter(|word| !word.is_empty()).cloned().collect();
    let whole = words.join(" ");
    let folded = export::search::fold(&whole);
    match folded.starts_with(['+', '0', '(']) && export::search::number(&folded).is_some() {
        true => vec![whole],
        false => words,
    }
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
    let words = words(&arguments.words);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_list_is_read_as_any_editor_writes_it() {
        let text = "\u{feff}# wallets\r\n  TNDz \r\n+855 12 345-678\t# the boss\n\n#x\nC# lessons\n";
        let wanted = ["TNDz", "+855 12 345-678", "C# lessons"];
        let file = tempfile::NamedTempFile::new().unwrap();
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [text.as_bytes(), text.trim_start_matches('\u{feff}').as_bytes(), &little, &big] {
            std::fs::write(file.path(), bytes).unwrap();
            assert_eq!(selectors(file.path()).unwrap(), wanted);
        }
        for bytes in [&b"caf\xe9"[..], b"\xff\xfea", b"\xff\xfe\0\xd8"] {
            std::fs::write(file.path(), bytes).unwrap();
            assert!(selectors(file.path()).is_err());
        }
    }

    #[test]
    fn a_phone_number_is_one_word() {
        let typed = |text: &str| words(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).len();
        assert_eq!((typed("+855 12 345 678"), typed("012 345 678"), typed("12500 2024"), typed("pay 012 345")), (1, 1, 2, 3));
    }
}
