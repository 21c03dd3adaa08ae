//! Where the unit's signing key lies.

use crate::cli;
use anyhow::{Context, Result, bail};
use export::UnitKey;
use std::path::PathBuf;

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

fn path() -> Result<PathBuf> {
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
