//! Who does what with bundles: entries beside them, and `haul custody`.

use crate::cli::{self, CustodyCommand};
use crate::keys;
use anyhow::{Result, bail};
use export::chain::{Entry, Hand};
use export::custody::{self, Custody};
use model::text::escape;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

/// What was typed once for all commands.
static BY: OnceLock<cli::By> = OnceLock::new();

/// Keeps who is at the keyboard and why, for every entry of this process; the first call counts.
pub fn by(typed: cli::By) {
    BY.get_or_init(|| typed);
}

/// Why it is done, as it was typed.
pub fn reason() -> Option<String> {
    BY.get().and_then(|by| by.reason.clone())
}

/// Who is at the keyboard, as they said.
pub fn actor() -> Option<String> {
    BY.get().and_then(|by| by.actor.clone())
}

/// Who writes entries; `None` if there is no unit key yet. Custody never makes one: whoever only looks needs none.
pub fn hand(reason: &str) -> Result<Option<Hand>> {
    let path = keys::path()?;
    if !path.exists() {
        return Ok(None);
    }
    let typed = BY.get();
    let actor = typed.and_then(|by| by.actor.clone());
    let reason = typed.and_then(|by| by.reason.clone()).unwrap_or_else(|| reason.to_owned());
    Ok(Some(Hand::at(export::UnitKey::read(&path)?, &path, actor, reason)))
}

/// Records what was done with a bundle. What was done stays done if that fails: it is said on stderr.
pub fn note(bundle: &Path, action: &'static str, details: &[(&str, String)]) {
    let detail: BTreeMap<String, String> = details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    say(bundle, hand("").and_then(|hand| hand.map(|hand| Ok(custody::record(&hand, bundle, action, detail)?)).transpose()));
}

/// Records that a bundle was sealed, once for a checkpoint.
pub fn sealed(bundle: &Path, case_label: &str) {
    let hand = hand(&format!("case {case_label}"));
    say(bundle, hand.and_then(|hand| hand.map(|hand| Ok(custody::sealed(&hand, bundle)?)).transpose()));
}

fn say(bundle: &Path, noted: Result<Option<()>>) {
    let name = escape(&bundle.display().to_string());
    match noted {
        Ok(Some(())) => {}
        Ok(None) => eprintln!("{name}: not written in its custody, because there is no unit key (haul keygen)"),
        Err(error) => eprintln!("{name}: not written in its custody: {}", escape(&format!("{error:#}"))),
    }
}

/// `haul custody`.
pub fn command(arguments: &cli::CustodyArguments) -> Result<u8> {
    match &arguments.command {
        CustodyCommand::Show { bundle } => show(bundle),
        CustodyCommand::Verify { bundles } => {
            let mut code = 0;
            for bundle in bundles {
                let (words, holds) = verdict(bundle)?;
                writeln!(std::io::stdout().lock(), "{}: {words}", escape(&bundle.display().to_string()))?;
                code |= u8::from(!holds);
            }
            Ok(code)
        }
        CustodyCommand::HandOver { bundle, to } => passed(bundle, "hand-over", "to", to),
        CustodyCommand::Receive { bundle, from } => passed(bundle, "receive", "from", from),
    }
}

/// A bundle changes hands: that needs a reason and must be written, or it is an error.
fn passed(bundle: &Path, action: &'static str, name: &str, whom: &str) -> Result<u8> {
    if BY.get().and_then(|by| by.reason.as_ref()).is_none() {
        bail!("a {action} needs --reason");
    }
    let Some(hand) = hand("")? else { bail!("there is no unit key to sign with: `haul keygen` makes one") };
    let (words, holds) = verdict(bundle)?;
    if !holds {
        bail!("nothing was written: {words}");
    }
    // Not a world that may be better next time, so not an error to be resumed.
    custody::record(&hand, bundle, action, [(name.to_owned(), whom.to_owned())].into())
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    eprintln!("{}: {action} {name} {} written", escape(&bundle.display().to_string()), escape(whom));
    Ok(0)
}

/// The custody of a bundle in words, and whether it holds.
pub fn verdict(bundle: &Path) -> Result<(String, bool)> {
    let heads = hand("")?.map(|hand| hand.heads);
    let Custody { chain, wrong } = custody::check(bundle, heads.as_ref()).map_err(|error| anyhow::anyhow!("{error}"))?;
    if let Some(words) = wrong {
        return Ok((format!("custody does not hold: {}", escape(&words)), false));
    }
    let Some(last) = chain.entries.last() else { return Ok(("no custody entries beside it".to_owned(), true)) };
    let words = format!("custody holds, {} entries, the last {}, head {}", chain.entries.len(), sentence(last), chain.head());
    Ok((words, true))
}

fn sentence(entry: &Entry) -> String {
    format!("{} by {} at {}", escape(&entry.action), escape(&entry.actor), time(entry.time))
}

/// Microseconds as RFC 3339 UTC; as they are where no calendar has them.
pub fn time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| format!("{micros} us"), |time| time.to_string())
}

fn show(bundle: &Path) -> Result<u8> {
    let heads = hand("")?.map(|hand| hand.heads);
    let custody = custody::check(bundle, heads.as_ref()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut out = std::io::stdout().lock();
    for entry in &custody.chain.entries {
        let details: Vec<_> = entry.detail.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let reason = if entry.reason.is_empty() { "no reason given" } else { &entry.reason };
        let signer = entry.fingerprint().unwrap_or_default();
        let words = format!("{reason}\t{}\t{signer}", details.join(", "));
        let fields: Vec<_> = words.split('\t').map(escape).collect();
        writeln!(out, "{}\t{}\t{}", entry.seq, sentence(entry), fields.join("\t"))?;
    }
    if let Some(words) = &custody.wrong {
        writeln!(out, "does not hold: {}", escape(words))?;
    }
    Ok(u8::from(custody.wrong.is_some()))
}
