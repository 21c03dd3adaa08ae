//! Many bundles into one: the union of their rows by id.
//!
//! The parts keep their seals and all that is needed to check them again; what joins them is a seal of its own. The result depends on
//! the set of parts and the joining unit's key alone: bundles may be joined in any order, in any groups, and more than once.

mod inputs;

use crate::bundle::{checkpoint, schema, value::Value};
use crate::key::{UnitKey, unsigned_merged_seed};
use crate::seal::write::{self, Plan};
use crate::seal::{cut, put_in_place, sign};
use crate::verify::parts::{Part, set_digest};
use crate::verify::{self};
use crate::{Error, open_read_only, ordered};
use inputs::{Inputs, Job, Source};
use model::Digest;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// How bundles are joined.
#[derive(Clone, Debug)]
pub struct Joining<'a> {
    /// The bundles, merged or not.
    pub bundles: &'a [PathBuf],
    /// The new file; it must not exist.
    pub out: &'a Path,
    /// The joining unit's key; `None` leaves the result unsigned, and it says so.
    pub key: Option<&'a UnitKey>,
    /// Threads that read and digest.
    pub threads: usize,
}

/// Told how far a merge is.
pub trait MergeWatch: Sync {
    /// So many of all bundles were checked.
    fn checked(&self, _bundles: usize, _of: usize) {}

    /// So many rows more were written, of about so many.
    fn written(&self, _rows: u64, _of: u64) {}
}

/// A merged bundle.
#[derive(Clone, PartialEq, Debug)]
pub struct Merged {
    /// How many bundles it was joined from.
    pub parts: usize,
    /// Rows in the tree.
    pub rows: u64,
    /// Root of the salted tree.
    pub root: Digest,
    /// Root of the unsalted tree.
    pub content_root: Digest,
}

/// One bundle to be joined.
struct Bundle {
    path: PathBuf,
    parts: Vec<Part>,
    merged: bool,
}

/// Joins bundles. Each is checked first; the result appears whole or not at all.
pub fn merge(joining: &Joining<'_>, watch: &dyn MergeWatch) -> Result<Merged, Error> {
    if joining.out.exists() {
        let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::Io { path: joining.out.to_owned(), source });
    }
    allow_open_files(joining.bundles.len() * (joining.threads + 1));
    let mut bundles = Vec::new();
    for path in joining.bundles {
        bundles.push(read(path)?);
        watch.checked(bundles.len(), joining.bundles.len());
    }
    let parts: BTreeMap<&[u8], &Part> =
        bundles.iter().flat_map(|bundle| &bundle.parts).map(|part| (part.id.as_slice(), part)).collect();
    let exhibits: BTreeMap<&[u8], &Part> = parts.values().map(|part| (part.exhibit.as_slice(), *part)).collect();
    let counts = counts(&exhibits, &bundles, joining.threads)?;
    let set = set_digest(parts.keys().copied());
    let seed = joining.key.map_or_else(|| unsigned_merged_seed(set), |key| key.merged_seed(set));
    let jobs = jobs(&counts, meta(&parts, &counts, &seed, joining.key.is_some()), part_rows(&parts));
    let total = counts.values().sum();
    let name = joining.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unfinished = Unfinished(joining.out.with_file_name(format!(".{name}.merging-{}", std::process::id())));
    let plan = Plan { path: &unfinished.0, tables: schema::merged_tables(), jobs: &jobs, threads: joining.threads, seed: &seed };
    let written = write::write(
        &plan,
        || Inputs::open(&bundles, holders(&bundles)),
        |rows| watch.written(rows, total),
        |summary| {
            let fingerprint = joining.key.map(UnitKey::fingerprint);
            let origin = checkpoint::merged_origin(fingerprint.as_deref(), parts.len(), set);
            sign(joining.key, &origin, summary)
        },
    )?;
    put_in_place(&unfinished.0, joining.out)?;
    let write::Summary { rows, root, content_root } = written.summary;
    Ok(Merged { parts: parts.len(), rows, root, content_root })
}

/// The file that is being written; gone when this is.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Renamed when the merge succeeded. A drop has no way to tell of an error; what is left bears a name that says what it is.
        let _gone: std::io::Result<()> = std::fs::remove_file(&self.0);
    }
}

/// Checks a bundle and reads what it consists of.
fn read(path: &Path) -> Result<Bundle, Error> {
    if matches!(crate::share::is_partial(path), Ok(true)) {
        let reason = "is a part of a bundle, whose rows are proven under the whole one's seal alone: search, match or report it beside others";
        return Err(Error::NotABundle { path: path.to_owned(), reason: reason.to_owned() });
    }
    let (report, parts) = verify::check(path)?;
    if !report.holds() {
        return Err(Error::DoesNotHold { path: path.to_owned(), words: report.to_string() });
    }
    let connection = open_read_only(path)?;
    let error = |source| Error::Store { path: path.to_owned(), source };
    let custody: i64 = connection.query_row("SELECT count(*) FROM custody", [], |row| row.get(0)).map_err(error)?;
    if custody > 0 {
        let reason = "has custody entries inside its seal, which cannot be joined".to_owned();
        return Err(Error::NotABundle { path: path.to_owned(), reason });
    }
    let merged = parts.is_some();
    let parts = match parts {
        Some(parts) => parts,
        None => vec![only_part(&connection).map_err(error)?],
    };
    Ok(Bundle { path: path.to_owned(), parts, merged })
}

/// A bundle that is not merged is its own only part.
fn only_part(connection: &rusqlite::Connection) -> rusqlite::Result<Part> {
    let mut statement = connection.prepare("SELECT key, value FROM meta ORDER BY key")?;
    let meta = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let exhibit = connection.query_row("SELECT id FROM exhibit", [], |row| row.get(0))?;
    let seal = "SELECT checkpoint, signature, signer FROM seal";
    let (checkpoint, signature, signer): (String, Option<String>, String) =
        connection.query_row(seal, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let id = Part::id_of(&checkpoint, signature.as_deref(), &signer).0.to_vec();
    Ok(Part { id, exhibit, meta, checkpoint, signature, signer })
}

/// For every exhibit, the bundles that hold it: each of its rows must be in every one of them.
fn holders(bundles: &[Bundle]) -> HashMap<Vec<u8>, Vec<usize>> {
    let mut holders: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    for (place, bundle) in bundles.iter().enumerate() {
        for part in &bundle.parts {
            let held = holders.entry(part.exhibit.clone()).or_default();
            if held.last() != Some(&place) {
                held.push(place);
            }
        }
    }
    holders
}

/// How many rows each sealed table but `meta` will have. Of tables whose rows have an exhibit the checked parts tell; observables
/// are the same across exhibits, so they are counted.
fn counts(exhibits: &BTreeMap<&[u8], &Part>, bundles: &[Bundle], threads: usize) -> Result<BTreeMap<&'static str, u64>, Error> {
    let told = |part: &Part, table: &str| part.meta.get(&format!("rows_{table}")).and_then(|count| count.parse::<u64>().ok());
    let sum = |table: &str| exhibits.values().map(|part| told(part, table).unwrap_or(0)).sum::<u64>();
    let mut ids: Vec<&[u8]> = bundles.iter().flat_map(|bundle| &bundle.parts).map(|part| part.id.as_slice()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut counts = BTreeMap::new();
    for table in schema::merged_tables().iter().filter(|table| table.sealed() && table.name != "meta") {
        let count = match table.name {
            "part" => ids.len() as u64,
            "part_observable" => sum("observable"),
            "observable" => 0,
            name => sum(name),
        };
        counts.insert(table.name, count);
    }
    let jobs: Vec<Job> = schema::table("observable").into_iter().flat_map(|table| ranges(table, sum("observable"))).collect();
    let mut distinct = 0;
    let start = || Inputs::open(bundles, HashMap::new());
    ordered::ordered(threads, &jobs, start, Inputs::count, |_, rows| {
        distinct += rows;
        Ok(())
    })?;
    counts.insert("observable", distinct);
    Ok(counts)
}

/// The rows of table `meta`: nothing that depends on the order or the names of the inputs.
fn meta(parts: &BTreeMap<&[u8], &Part>, counts: &BTreeMap<&'static str, u64>, seed: &[u8; 32], signed: bool) -> Vec<Value> {
    let words = |value: bool| if value { "true" } else { "false" }.to_owned();
    let complete = parts.values().all(|part| part.meta.get("complete").is_none_or(|complete| complete == "true"));
    let mut rows: BTreeMap<String, String> = [
        ("bundle_seed", Digest(*seed).to_string()),
        ("complete", words(complete)),
        ("format_version", schema::FORMAT_VERSION.to_string()),
        ("haul_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("parts", parts.len().to_string()),
        ("signed", words(signed)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    rows.extend(counts.iter().map(|(table, count)| (format!("rows_{table}"), count.to_string())));
    // This row counts itself too.
    rows.insert("rows_meta".to_owned(), (rows.len() + 1).to_string());
    rows.into_iter().flat_map(|(key, value)| [Value::Text(key), Value::Text(value)]).collect()
}

fn part_rows(parts: &BTreeMap<&[u8], &Part>) -> Vec<Value> {
    let row = |part: &&Part| {
        [
            Value::Blob(part.id.clone()),
            Value::Blob(part.exhibit.clone()),
            Value::Text(part.meta_json()),
            Value::Text(part.checkpoint.clone()),
            part.signature.clone().into(),
            Value::Text(part.signer.clone()),
        ]
    };
    parts.values().flat_map(row).collect()
}

fn ranges(table: &'static schema::Table, rows: u64) -> impl Iterator<Item = Job> {
    cut(rows).map(move |range| Job { table, source: Source::Range(range) })
}

/// Every piece of work in the order of tables and keys.
fn jobs(counts: &BTreeMap<&'static str, u64>, meta: Vec<Value>, parts: Vec<Value>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for table in schema::merged_tables().iter().filter(|table| table.sealed()) {
        match table.name {
            "meta" => jobs.push(Job { table, source: Source::Rows(meta.clone()) }),
            "part" => jobs.push(Job { table, source: Source::Rows(parts.clone()) }),
            // Empty in every bundle that is joined.
            "custody" => {}
            name => jobs.extend(ranges(table, counts.get(name).copied().unwrap_or(0))),
        }
    }
    jobs
}

/// Every thread holds every bundle open: asks for as many files as the system allows, if that many are needed.
fn allow_open_files(files: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = files as u64 + 64;
    if limit.current.is_some_and(|current| current < wanted) {
        let current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        // If it is refused, opening the file that is one too many says so.
        let _refused: rustix::io::Result<()> = setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    }
}
