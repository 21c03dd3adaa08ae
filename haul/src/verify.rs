//! `haul verify`: says of each bundle whether it holds, and what is wrong first.

use crate::cli;
use anyhow::Result;
use model::text::escape;
use std::io::Write;

/// Checks every bundle; exit code 1 if any does not hold.
pub fn verify(arguments: &cli::Verify) -> Result<u8> {
    let mut code = 0;
    let mut out = std::io::stdout().lock();
    for bundle in &arguments.bundles {
        let name = escape(&bundle.display().to_string());
        match export::verify(bundle) {
            Ok(report) => {
                writeln!(out, "{name}: {report}")?;
                if !report.holds() {
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
