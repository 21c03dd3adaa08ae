//! Which exhibits a `haul run` takes: the EVIDENCE arguments, or the list in a raid manifest.

use crate::cli;
use anyhow::{Context, Result, bail};
use ingest::Job;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A raid manifest.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The exhibits, in the order they are taken.
    exhibit: Vec<ManifestExhibit>,
}

/// One exhibit of a raid.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct ManifestExhibit {
    /// Where the evidence lies; relative to the manifest.
    path: PathBuf,
    /// Its exhibit number; the name of the evidence unless given.
    number: Option<String>,
    /// `phone`, `computer` or `unknown`.
    kind: Option<String>,
    /// Passwords to try.
    #[serde(default)]
    passwords: Vec<String>,
    /// Files that hold keys to try; relative to the manifest.
    #[serde(default)]
    keys: Vec<PathBuf>,
    /// Whose it is: written into the run record, not into the bundle.
    #[serde(default)]
    owner: String,
    /// Number of an exhibit with the same bytes: this one is left out.
    same_as: Option<String>,
    /// What `haul inventory` took it for; the content decides anew.
    #[serde(rename = "container")]
    _container: Option<String>,
    /// Its parts, as `haul inventory` saw them.
    #[serde(rename = "parts")]
    _parts: Option<Vec<String>>,
}

/// An exhibit of a run.
pub struct Exhibited {
    /// What ingest needs to know.
    pub job: Job,
    /// Whose it is.
    pub owner: String,
}

/// The jobs of a run, in order; two exhibits of one number are refused.
pub fn jobs(arguments: &cli::Run) -> Result<Vec<Exhibited>> {
    if arguments.exhibit.is_some() && arguments.evidence.len() > 1 {
        bail!("--exhibit names one exhibit, but {} were given", arguments.evidence.len());
    }
    let mut jobs = Vec::new();
    for evidence in &arguments.evidence {
        if evidence.extension().is_some_and(|extension| extension == "toml") {
            jobs.extend(read_manifest(evidence, arguments)?);
        } else {
            let entry = ManifestExhibit {
                path: evidence.clone(),
                number: arguments.exhibit.clone(),
                kind: None,
                passwords: Vec::new(),
                keys: Vec::new(),
                owner: String::new(),
                same_as: None,
                _container: None,
                _parts: None,
            };
            jobs.push(job(entry, arguments, false)?);
        }
    }
    let mut seen = BTreeMap::new();
    for Exhibited { job, .. } in &jobs {
        // Bundles are named by the number's file name, so that is what must differ.
        let name = export::file_stem(&job.number);
        if let Some(other) = seen.insert(name, &job.evidence) {
            let (number, evidence) = (&job.number, job.evidence.display());
            bail!("exhibit number {number} stands for both {} and {evidence}; give numbers in a manifest", other.display());
        }
    }
    Ok(jobs)
}

fn read_manifest(path: &Path, arguments: &cli::Run) -> Result<Vec<Exhibited>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: Manifest = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut exhibits = Vec::new();
    for entry in manifest.exhibit {
        match &entry.same_as {
            Some(other) => eprintln!("{}: left out, the same bytes as {}", entry.path.display(), model::text::escape(other)),
            None => {
                let keys = entry.keys.iter().map(|key| folder.join(key)).collect();
                exhibits.push(job(ManifestExhibit { path: folder.join(&entry.path), keys, ..entry }, arguments, true)?);
            }
        }
    }
    Ok(exhibits)
}

/// Largest file that is a key: a dump of a keychain has some megabytes.
const KEY_BYTES_MAX: u64 = 16 << 20;

/// The words that files given as keys stand for.
pub fn words_of(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for path in files {
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
        if size > KEY_BYTES_MAX {
            bail!("{} is larger than any key", path.display());
        }
        let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default();
        words.extend(ingest::words_of_file(std::os::unix::ffi::OsStrExt::as_bytes(name), &content));
    }
    Ok(words)
}

/// The job of an entry. One of a raid that cannot be opened fails when its turn comes, and holds up no other.
fn job(entry: ManifestExhibit, arguments: &cli::Run, of_raid: bool) -> Result<Exhibited> {
    let evidence = match std::fs::canonicalize(&entry.path) {
        Ok(path) => path,
        Err(_) if of_raid => std::path::absolute(&entry.path)?,
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", entry.path.display())),
    };
    let name = evidence.file_name().map(|name| name.to_string_lossy().into_owned());
    let Some(number) = entry.number.or(name).filter(|number| !number.is_empty()) else {
        bail!("{} has no name: give its number with --exhibit", evidence.display());
    };
    let kind = entry.kind.unwrap_or_else(|| arguments.kind.clone());
    if !["phone", "computer", "unknown"].contains(&kind.as_str()) {
        bail!("kind of exhibit {number} must be phone, computer or unknown");
    }
    let mut passwords = [entry.passwords, arguments.passwords.clone()].concat();
    passwords.extend(words_of(&[entry.keys, arguments.key_files.clone()].concat())?);
    let job = Job { evidence, case_label: arguments.case_label.clone(), number, kind, passwords };
    Ok(Exhibited { job, owner: entry.owner })
}
