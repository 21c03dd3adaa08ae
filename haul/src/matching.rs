//! `haul match`: which observables two bundles of one unit have in common, or two units.

mod private;

use crate::cli;
use anyhow::Result;
use export::matching::{Common, Side};
use model::text::escape;
use std::io::Write;

/// Prints what is common, a line each, tab-separated or as JSON; exit code 0 whether or not there is any.
pub fn matching(arguments: &cli::Match) -> Result<u8> {
    if let Some(command) = &arguments.command {
        return private::step(command);
    }
    let (Some(first), Some(second)) = (&arguments.first, &arguments.second) else { anyhow::bail!("two bundles are needed") };
    let common = match export::matching(first, second) {
        Ok(common) => common,
        // Nothing was begun that could be gone on with: a usage error, whatever the cause.
        Err(error) => anyhow::bail!("{error}"),
    };
    let mut out = std::io::stdout().lock();
    if !arguments.jsonl {
        writeln!(out, "kind\tchain\tvalue\tvalidity\tsightings\texhibits\tvalidity\tsightings\texhibits")?;
    }
    for common in &common {
        writeln!(out, "{}", if arguments.jsonl { json(common) } else { line(common) })?;
    }
    eprintln!("{} observables in common", common.len());
    Ok(0)
}

fn line(common: &Common) -> String {
    let side = |side: &Side| {
        let exhibits: Vec<_> = side.exhibits.iter().map(|(case, number)| escape(&format!("{case}/{number}"))).collect();
        format!("{}\t{}\t{}", escape(&side.validity), side.sightings, exhibits.join(", "))
    };
    let [first, second] = common.sides.each_ref().map(side);
    let chain = escape(common.chain.as_deref().unwrap_or("-"));
    format!("{}\t{chain}\t{}\t{first}\t{second}", escape(&common.kind), escape(&common.value))
}

fn json(common: &Common) -> String {
    let side = |side: &Side| {
        let exhibits: Vec<_> =
            side.exhibits.iter().map(|(case, number)| serde_json::json!({ "case": case, "number": number })).collect();
        serde_json::json!({ "validity": side.validity, "sightings": side.sightings, "exhibits": exhibits })
    };
    let [first, second] = common.sides.each_ref().map(side);
    let Common { kind, chain, value, .. } = common;
    serde_json::json!({ "kind": kind, "chain": chain, "value": value, "first": first, "second": second }).to_string()
}
