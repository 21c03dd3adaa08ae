//! `haul verify`: says of each bundle whether it holds, and what is wrong first.

use crate::cli;
use crate::{custody, keys, share};
use anyhow::Result;
use export::Report;
use export::verify::Signer;
use model::text::escape;
use std::io::Write;
use std::path::Path;

/// Checks every bundle; exit code 1 if any does not hold.
pub fn verify(arguments: &cli::Verify) -> Result<u8> {
    let mut code = 0;
    let mut out = std::io::stdout().lock();
    for bundle in &arguments.bundles {
        let name = escape(&bundle.display().to_string());
        if share::is_partial(bundle) {
            let report = export::share::check(bundle)?;
            writeln!(out, "{name}: {report}")?;
            drop(out);
            if report.wrong.is_some() || !share::told(&report)? {
                code = 1;
            }
            out = std::io::stdout().lock();
            continue;
        }
        match export::verify(bundle) {
            Ok(report) => {
                writeln!(out, "{name}: {report}")?;
                if !report.holds() || !surroundings(bundle, &report, &mut out)? {
                    code = 1;
                }
            }
            Err(error) => {
                writeln!(out, "{name}: cannot be read as a bundle: {}", escape(&error.to_string()))?;
                code = 1;
            }
        }
    }
    Ok(code)
}

/// Who the signer is and what became of a bundle that holds; false if either is wrong. The check itself becomes an entry of custody.
fn surroundings(bundle: &Path, report: &Report, out: &mut impl Write) -> Result<bool> {
    let mut holds = true;
    if let Signer::Key { fingerprint, line } = &report.signer {
        let (words, counts) = keys::who(fingerprint, line)?;
        writeln!(out, "  {words}")?;
        holds &= counts;
    }
    let (words, chained) = custody::verdict(bundle)?;
    writeln!(out, "  {words}")?;
    if chained {
        let found = if holds { "holds" } else { "holds; its signer's key does not count" };
        custody::note(bundle, "verify", &[("found", found.to_owned())]);
    }
    Ok(holds && chained)
}
