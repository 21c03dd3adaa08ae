//! `haul share` and `haul open`: a part of a bundle, from one unit to another.

use crate::{cli, custody, keys};
use anyhow::{Context, Result, bail};
use config::share::Profile;
use export::search::Query;
use export::share::{self, Request, decrypt};
use model::text::escape;
use std::io::Write;
use std::path::Path;

/// Shows what would leave, then writes it, encrypted to those who get it.
pub fn share(arguments: &cli::Share) -> Result<u8> {
    let Some(reason) = custody::reason() else { bail!("a share needs --reason") };
    let lines = recipients(&arguments.recipients)?;
    let profile = Profile::named(&arguments.profile)?;
    let query = query(arguments)?;
    let handling = format!("TLP:{}", arguments.handling.to_uppercase());
    let retain_until = arguments.retain_until.to_string();
    let request = Request {
        bundle: &arguments.bundle,
        profile: &profile,
        query: query.as_ref(),
        app: arguments.app.as_deref(),
        hide: &arguments.hide,
        purpose: &arguments.purpose,
        reason: &reason,
        handling: &handling,
        retain_until: &retain_until,
        recipients: &lines,
        owners: arguments.owners.as_deref(),
    };
    let path = keys::path()?;
    if !path.exists() {
        bail!("there is no unit key to sign with: `haul keygen` makes one");
    }
    let key = export::UnitKey::read(&path)?;
    let draft = share::draft(&request, &key)?;
    writeln!(std::io::stdout().lock(), "{}", draft.report)?;
    if arguments.dry_run {
        return Ok(0);
    }
    let Some(out) = &arguments.out else { bail!("where to? give -o FILE, or --dry-run") };
    if lines.is_empty() && !arguments.unencrypted {
        bail!("for whom? give --to KEY (or --unencrypted)");
    }
    if out.exists() {
        bail!("{} is there already", out.display());
    }
    if arguments.unencrypted {
        draft.write(out, &key)?;
    } else {
        sealed_letter(&draft, &lines, out, &key)?;
    }
    let details = [
        ("recipient", lines.join("\n")),
        ("purpose", arguments.purpose.clone()),
        ("profile", profile.name.clone()),
        ("rows", draft.rows().to_string()),
        ("handling", handling),
        ("retain_until", retain_until),
    ];
    custody::note(&arguments.bundle, "share", &details);
    eprintln!("{}: {} rows", escape(&out.display().to_string()), draft.rows());
    Ok(0)
}

/// Writes the part where nobody else reads it, and what leaves encrypted.
fn sealed_letter(draft: &share::Draft, lines: &[String], out: &Path, key: &export::UnitKey) -> Result<()> {
    let recipients = share::Recipients::of(lines.iter().map(String::as_str))?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Beside the file: a plain copy in a shared folder for temporary files would be one more place that it leaks from.
    let private = tempfile::Builder::new().prefix(".haul-share").tempdir_in(folder)?;
    let (plain, encrypted) = (private.path().join("plain"), private.path().join("encrypted"));
    draft.write(&plain, key)?;
    recipients.encrypt(&plain, &encrypted)?;
    std::fs::rename(&encrypted, out).with_context(|| format!("cannot write {}", out.display()))
}

/// Decrypts to a temporary file, checks it, and only then gives it its name.
pub fn open(arguments: &cli::Open) -> Result<u8> {
    let out = &arguments.out;
    if out.exists() {
        bail!("{} is there already", out.display());
    }
    let identity = match &arguments.identity {
        Some(path) => path.clone(),
        None => keys::path()?,
    };
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let private = tempfile::Builder::new().prefix(".haul-open").tempdir_in(folder)?;
    let plain = private.path().join("plain");
    decrypt(&arguments.file, &plain, &identity)?;
    let report = share::check(&plain)?;
    writeln!(std::io::stdout().lock(), "{}: {report}", escape(&out.display().to_string()))?;
    if report.wrong.is_some() {
        return Ok(1);
    }
    std::fs::rename(&plain, out).with_context(|| format!("cannot write {}", out.display()))?;
    let said = |name: &str| report.statement.get(name).cloned().unwrap_or_default();
    let details = ["handling", "profile", "purpose", "retain_until", "rows"].map(|name| (name, said(name)));
    custody::note(out, "open", &details);
    Ok(u8::from(!told(&report)?))
}

/// Says who sealed and who shared; false if one of the keys does not count.
pub fn told(report: &share::PartialReport) -> Result<bool> {
    let mut counts = true;
    for (what, key) in [("sealed", &report.sealer), ("shared", &report.sharer)] {
        if let Some((fingerprint, line)) = key {
            let (words, trusted) = keys::who(fingerprint, line)?;
            writeln!(std::io::stdout().lock(), "  {what}: {words}")?;
            counts &= trusted;
        }
    }
    Ok(counts)
}

/// Public keys, one a line: given as such or as files.
fn recipients(given: &[String]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for given in given {
        let text = match given.starts_with("ssh-") || given.starts_with("age1") {
            true => given.clone(),
            false => std::fs::read_to_string(given).with_context(|| format!("cannot read {given}"))?,
        };
        lines.extend(text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
    }
    Ok(lines)
}

fn query(arguments: &cli::Share) -> Result<Option<Query>> {
    let selectors = match &arguments.selectors {
        Some(path) => crate::search::selectors(path)?,
        None => Vec::new(),
    };
    let words: Vec<String> = arguments.only.iter().flat_map(|words| words.split_whitespace()).map(str::to_owned).collect();
    let words = crate::search::words(&words);
    if words.is_empty() && selectors.is_empty() && arguments.kinds.is_empty() {
        return Ok(None);
    }
    Ok(Some(Query { words, selectors, kinds: arguments.kinds.clone(), ..Query::default() }))
}

/// Whether the file is a partial bundle; what cannot be read is none.
pub fn is_partial(path: &Path) -> bool {
    share::is_partial(path).unwrap_or(false)
}
