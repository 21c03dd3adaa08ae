//! `haul export`: a bundle in a form that other tools load.

use crate::cli;
use anyhow::{Context, Result};
use export::exchange::{Handling, Order};
use model::text::escape;

/// Writes the export; its files are named on stderr.
pub fn export(arguments: &cli::Export) -> Result<u8> {
    let format = export::exchange::format(&arguments.format).context("no such format")?;
    let order = Order {
        purpose: arguments.purpose.clone(),
        recipient: arguments.recipient.clone(),
        officer: crate::custody::actor(),
        handling: Handling::parse(&arguments.handling).context("no such handling")?,
        retain_until: arguments.retain_until.map(|date| date.to_string()),
        created_us: jiff::Timestamp::now().as_microsecond(),
        spreadsheet_safe: arguments.profile == "spreadsheet",
        identities: arguments.include_persons,
    };
    for path in export::exchange::export(&arguments.bundle, format, &order, &arguments.out)? {
        eprintln!("wrote {}", escape(&path.display().to_string()));
    }
    let told = |words: &Option<String>| words.clone().unwrap_or_default();
    let (purpose, recipient) = (told(&order.purpose), told(&order.recipient));
    let details = [("form", arguments.format.clone()), ("purpose", purpose), ("recipient", recipient)];
    crate::custody::note(&arguments.bundle, "export", &details);
    Ok(0)
}
