//! `haul verify`: says of each bundle whether it holds, and what is wrong first.

use crate::cli;
use crate::{custody, keys, share};
use anyhow::{Context, Result};
use export::Report;
use export::verify::Signer;
use model::text::escape;
use std::io::Write;
use std::path::Path;

/// Checks every bundle; exit code 1 if any does not hold.
pub fn verify(arguments: &cli::Verify) -> Result<u8> {
    if let Some(folder) = &arguments.scripts {
        scripts(folder)?;
    }
    let mut code = 0;
    for bundle in &arguments.bundles {
        let name = escape(&bundle.display().to_string());
        if share::is_partial(bundle) {
            code |= u8::from(!partial(bundle, &name)?);
            continue;
        }
        let mut out = std::io::stdout().lock();
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

/// Whether a partial bundle holds, who sealed and who shared it count, and its custody holds.
fn partial(bundle: &Path, name: &str) -> Result<bool> {
    let report = export::share::check(bundle)?;
    writeln!(std::io::stdout().lock(), "{name}: {report}")?;
    if report.wrong.is_some() {
        return Ok(false);
    }
    let counts = share::told(&report)?;
    Ok(chained(bundle, counts, &mut std::io::stdout().lock())? && counts)
}

/// What checks a bundle without Haul: the same files as in the repository, and the tables word for word, which they compare.
const SCRIPTS: [(&str, &str); 7] = [
    ("verify.py", include_str!("../../tests/verify.py")),
    ("verify_custody.py", include_str!("../../tests/verify_custody.py")),
    ("verify_merged.py", include_str!("../../tests/verify_merged.py")),
    ("verify_partial.py", include_str!("../../tests/verify_partial.py")),
    ("schema.sql", include_str!("../../export/src/bundle/schema.sql")),
    ("merged.sql", include_str!("../../export/src/bundle/merged.sql")),
    ("partial.sql", include_str!("../../export/src/share/partial.sql")),
];

fn scripts(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in SCRIPTS {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("wrote {}", escape(&path.display().to_string()));
    }
    Ok(())
}

/// Who the signer is and what became of a bundle that holds; false if either is wrong. The check itself becomes an entry of custody.
fn surroundings(bundle: &Path, report: &Report, out: &mut impl Write) -> Result<bool> {
    let mut holds = true;
    if let Signer::Key { fingerprint, line } = &report.signer {
        let (words, counts) = keys::who(fingerprint, line)?;
        writeln!(out, "  {words}")?;
        holds &= counts;
    }
    Ok(chained(bundle, holds, out)? && holds)
}

/// Whether the custody beside a bundle that holds does so too; if it does, the check becomes an entry of it.
fn chained(bundle: &Path, counts: bool, out: &mut impl Write) -> Result<bool> {
    let (words, chained) = custody::verdict(bundle)?;
    writeln!(out, "  {words}")?;
    if chained {
        let found = if counts { "holds" } else { "holds; its signer's key does not count" };
        custody::note(bundle, "verify", &[("found", found.to_owned())]);
    }
    Ok(chained)
}
