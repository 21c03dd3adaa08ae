//! Where the unit's signing key lies, and the keyring of other units.

use crate::cli::{self, KeysCommand};
use crate::custody;
use anyhow::{Context, Result, bail};
use export::UnitKey;
use export::chain::Heads;
use export::keyring::{self, Known};
use model::text::escape;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The unit's key: `HAUL_KEY`, else `haul/unit_ed25519` in the user's configuration folder; made on first use, and said so.
pub fn unit_key() -> Result<UnitKey> {
    let path = path()?;
    if !path.exists() {
        generate(&path)?;
    }
    UnitKey::read(&path).with_context(|| format!("cannot use the key {}", path.display()))
}

/// `haul keygen`: makes a key; never overwrites one.
pub fn keygen(arguments: &cli::Keygen) -> Result<u8> {
    let path = match &arguments.path {
        Some(path) => path.clone(),
        None => path()?,
    };
    if path.exists() {
        bail!("{} exists; a unit's key is never overwritten", path.display());
    }
    generate(&path)?;
    Ok(0)
}

/// Where the unit's key lies, or would.
pub fn path() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = variable("HAUL_KEY") {
        return Ok(path);
    }
    let folder = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    let folder = folder.context("neither HAUL_KEY nor a home folder is set: where is the unit's key?")?;
    Ok(folder.join("haul").join("unit_ed25519"))
}

fn generate(path: &std::path::Path) -> Result<()> {
    let key = UnitKey::generate(path).with_context(|| format!("cannot make the key {}", path.display()))?;
    eprintln!("made the unit's signing key {} (public part: {})", path.display(), key.public_line());
    eprintln!("keep it: only its owner can make the same bundle again");
    Ok(())
}

/// The keyring lies beside the unit's key: `HAUL_KEYRING`, else `keyring.jsonl`.
fn keyring_path() -> Result<PathBuf> {
    match std::env::var_os("HAUL_KEYRING").filter(|value| !value.is_empty()) {
        Some(path) => Ok(path.into()),
        None => Ok(path()?.with_file_name("keyring.jsonl")),
    }
}

/// The key that is meant by a unit's name in the keyring, a public key's file or the line itself: what it is called, and its fingerprint.
/// A name must stand for one key that may be used for that now.
pub fn named(typed: &str, used: &str) -> Result<(String, String)> {
    let counts = |key: &&Known| key.unit == typed && vouch(std::slice::from_ref(key), &key.line, used).is_ok();
    let known = known()?;
    let found: Vec<&Known> = known.iter().filter(counts).collect();
    match &found[..] {
        [key] => Ok((key.unit.clone(), key.fingerprint.clone())),
        [] if typed.starts_with("ssh-") || Path::new(typed).is_file() => {
            let (line, fingerprint) = keyring::canonical(&key_line(typed)?).map_err(|error| anyhow::anyhow!("{error}"))?;
            // A key that the keyring has must not be used against what it says there.
            if let Some(fault) = known.iter().find(|key| key.line == line).and_then(|key| key.fault(&today())) {
                bail!("that key is {fault}");
            }
            Ok((fingerprint.clone(), fingerprint))
        }
        found => bail!("{} keys in the keyring are of {typed} and for {used}, not one", found.len()),
    }
}

/// The unit of a key line, if the keyring has it, it counts today and is for that; else why not.
pub fn vouch(known: &[Known], line: &str, used: &str) -> Result<String, String> {
    let Some(key) = known.iter().find(|key| key.line == line) else { return Err("a key that is not in your keyring".to_owned()) };
    if let Some(fault) = key.fault(&today()) {
        return Err(format!("the key of {} is {fault}", key.unit));
    }
    if !key.uses.split(',').any(|name| name == used) {
        return Err(format!("the key of {} is not for {used}", key.unit));
    }
    Ok(key.unit.clone())
}

/// Why the keyring says that a key does not count today; nothing if it does not have it.
pub fn fault(fingerprint: &str) -> Result<Option<String>> {
    Ok(known()?.into_iter().find(|key| key.fingerprint == fingerprint).and_then(|key| key.fault(&today())))
}

/// The keys of the keyring; none if there is no unit key that could have signed it.
pub fn known() -> Result<Vec<Known>> {
    let path = path()?;
    if !path.exists() {
        return Ok(Vec::new());
    }
    let own = UnitKey::read(&path)?.public_line();
    // It will be no better next time: not an error to be resumed.
    keyring::list(&keyring_path()?, &own, Some(&Heads::beside(&path))).map_err(|error| anyhow::anyhow!("{error}"))
}

/// Who that signer is by the keyring, in words, and whether its key counts; a signer that is not known is no fault of the bundle.
pub fn who(fingerprint: &str, line: &str) -> Result<(String, bool)> {
    let words = keyring::words(line).map_err(|error| anyhow::anyhow!("{error}"))?;
    let path = path()?;
    if path.exists() && UnitKey::read(&path)?.fingerprint() == fingerprint {
        return Ok(("signer: your own unit".to_owned(), true));
    }
    let Some(key) = known()?.into_iter().find(|key| key.fingerprint == fingerprint) else {
        return Ok((format!("signer: not in your keyring; compare its words by another way: {words}"), true));
    };
    let unit = escape(&key.unit);
    if let Some(fault) = key.fault(&today()) {
        return Ok((format!("signer: {unit}, but its key is {}", escape(&fault)), false));
    }
    if !key.uses.split(',').any(|name| name == "seal") {
        return Ok((format!("signer: {unit}, but its key is not for sealing"), false));
    }
    Ok((format!("signer: {unit}, in your keyring since {} (by {})", custody::time(key.added), escape(&key.added_by)), true))
}

fn today() -> String {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

/// A public key line: what is typed, or what the file of that name has.
fn key_line(typed: &str) -> Result<String> {
    if typed.starts_with("ssh-") {
        return Ok(typed.to_owned());
    }
    std::fs::read_to_string(Path::new(typed)).with_context(|| format!("cannot read the public key {typed}"))
}

/// `haul keys`.
pub fn keys(arguments: &cli::Keys) -> Result<u8> {
    match &arguments.command {
        KeysCommand::List => return list(),
        KeysCommand::Fingerprint { key } => return fingerprint(key.as_deref()),
        _ => {}
    }
    unit_key()?;
    let Some(hand) = custody::hand("")? else { bail!("there is no unit key to sign with") };
    if hand.reason.is_empty() {
        bail!("a change of the keyring needs --reason: how was the key compared, or why does it no longer count?");
    }
    let path = keyring_path()?;
    known()?;
    let changed = match &arguments.command {
        KeysCommand::Add { unit, key, uses, valid_from, valid_until } => {
            let day = |day: &Option<jiff::civil::Date>| day.map(|day| day.to_string());
            let (valid_from, valid_until) = (day(valid_from), day(valid_until));
            let new = keyring::New { unit: unit.clone(), line: key_line(key)?, uses: uses.clone(), valid_from, valid_until };
            keyring::add(&hand, &path, &new).map(|()| format!("added {unit}"))
        }
        KeysCommand::Revoke { which } => keyring::revoke(&hand, &path, which).map(|key| format!("revoked {}", key.fingerprint)),
        KeysCommand::List | KeysCommand::Fingerprint { .. } => return Ok(0),
    };
    eprintln!("{}", escape(&changed.map_err(|error| anyhow::anyhow!("{error}"))?));
    Ok(0)
}

fn list() -> Result<u8> {
    let mut out = std::io::stdout().lock();
    for key in known()? {
        let state = key.fault(&today()).unwrap_or_else(|| "valid".to_owned());
        let (from, until) = (key.valid_from.as_deref().unwrap_or("-"), key.valid_until.as_deref().unwrap_or("-"));
        let words = keyring::words(&key.line).map_err(|error| anyhow::anyhow!("{error}"))?;
        let (unit, state) = (escape(&key.unit), escape(&state));
        let added = custody::time(key.added);
        writeln!(out, "{unit}\t{}\t{}\t{from}\t{until}\t{state}\t{added}\t{words}", key.fingerprint, key.uses)?;
    }
    Ok(0)
}

fn fingerprint(key: Option<&str>) -> Result<u8> {
    let line = match key {
        Some(key) => key_line(key)?,
        None => unit_key()?.public_line(),
    };
    let (line, fingerprint) = keyring::canonical(&line)?;
    let words = keyring::words(&line)?;
    writeln!(std::io::stdout().lock(), "{line}\n{fingerprint}\n{words}")?;
    Ok(0)
}
