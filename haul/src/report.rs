//! `haul report`: what bundles hold, as a page to read and print.

use crate::cli;
use anyhow::Result;
use export::report::Options;
use model::text::escape;

/// Writes the report; the page to open and what it leaves out, on stderr.
pub fn report(arguments: &cli::Report) -> Result<u8> {
    let options = Options { show_secrets: arguments.show_secrets };
    let written = match export::report::report(&arguments.bundles, options, &arguments.out) {
        Ok(written) => written,
        // Nothing was begun that could be gone on with: a usage error, whatever the cause.
        Err(error) => anyhow::bail!("{error}"),
    };
    let pages = written.files.len().saturating_sub(1);
    if let Some(index) = written.files.first() {
        eprintln!("wrote {}, {pages} pages beside it, {} rows", escape(&index.display().to_string()), written.rows);
    }
    if written.secrets_left_out > 0 {
        let count = written.secrets_left_out;
        eprintln!(
            "{count} secrets were too many to look for in every text; their values may stand in texts that are not messages"
        );
    }
    Ok(0)
}
