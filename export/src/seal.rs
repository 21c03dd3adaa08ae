//! From a complete exhibit of a working store to its sealed bundle.
//!
//! Threads read the store by ranges of ids, decode, and digest rows; one writer inserts them in the order of table and key, so the file's
//! bytes depend on nothing but the content.

mod entries;
mod fold;
mod keys;
mod link;
mod people;
mod scratch;
mod source;
pub(crate) mod write;

use crate::bundle::{checkpoint, row, schema, value::Value};
use crate::key::{UnitKey, unsigned_seed};
use crate::sink::{Sink, store};
use crate::{Error, stages};
use model::wire::from_bytes;
use model::{Body, Digest, Exhibit, ExhibitEnd, Id, Kind};
use source::{Job, Reader, Source};
pub use write::TILE_LEAVES;
use write::{Plan, Summary};

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use stream::crash;

/// Tables of records.
pub(crate) const RECORD_TABLES: [&str; 11] = source::record_tables();

/// Rows that a thread reads and digests at a time.
const CHUNK_ROWS: u64 = 1024;

/// How a bundle is sealed.
#[derive(Clone, Debug)]
pub struct Manner<'a> {
    /// Folder of the bundle.
    pub out: &'a Path,
    /// The unit's key; `None` leaves it unsigned, and it says so.
    pub key: Option<&'a UnitKey>,
    /// Digest of the settings that the content depends on.
    pub settings: Digest,
    /// Threads that read and digest.
    pub threads: usize,
}

/// A sealed bundle.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Sealed {
    /// The exhibit.
    pub exhibit: Id,
    /// Its number.
    pub number: String,
    /// Where the bundle lies.
    pub path: PathBuf,
    /// The checkpoint that was signed.
    pub checkpoint: String,
    /// Root of the salted tree.
    pub root: Digest,
    /// Root of the unsalted tree: the owner's proof that two bundles have the same content. It is not in the bundle, because
    /// whoever has it can test guesses.
    pub content_root: Digest,
    /// Rows in the tree.
    pub rows: u64,
    /// False if part of the exhibit could not be listed or read.
    pub complete: bool,
}

/// Seals a complete exhibit. The bundle appears whole or not at all; sealing again replaces it by the same bytes.
pub fn seal(sink: &Sink, exhibit: Id, manner: &Manner<'_>) -> Result<Sealed, Error> {
    crash::point("seal.begun");
    let (described, end) = (exhibit_body(sink, exhibit)?, end_body(sink, exhibit)?);
    let seed = match manner.key {
        Some(key) => key.bundle_seed(&described.case_label, &described.number),
        None => unsigned_seed(&described.case_label, &described.number),
    };
    let scratch = scratch::Scratch::make(sink, exhibit)?;
    let counts = scratch.row_counts()?;
    let meta = meta(&described, &end, manner, &seed, &counts);
    let jobs = jobs(&counts, meta, exhibit_values(&described, &end));
    let name = format!("{}.sqlite", stages::file_stem(&described.number));
    let unfinished = sink.path().with_file_name(format!("{name}.sealing"));
    let plan = Plan { path: &unfinished, tables: schema::tables(), jobs: &jobs, threads: manner.threads, seed: &seed };
    let written = write::write(
        &plan,
        || Reader::open(&scratch),
        |_| {},
        |summary| {
            let fingerprint = manner.key.map(UnitKey::fingerprint);
            let origin = checkpoint::origin(fingerprint.as_deref(), &described.case_label, &described.number);
            sign(manner.key, &origin, summary)
        },
    )?;
    scratch.remove()?;
    crash::point("seal.written");
    let path = manner.out.join(name);
    put_in_place(&unfinished, &path)?;
    crash::point("seal.renamed");
    let sealed = Sealed {
        exhibit,
        number: described.number,
        path,
        checkpoint: written.checkpoint,
        root: written.summary.root,
        content_root: written.summary.content_root,
        rows: written.summary.rows,
        complete: end.complete,
    };
    sink.mark_sealed(&sealed)?;
    Ok(sealed)
}

/// The row of table `seal`.
pub(crate) fn sign(key: Option<&UnitKey>, origin: &str, summary: &Summary) -> Result<[Value; 3], Error> {
    let text = checkpoint::text(origin, summary.rows, summary.root);
    let signature = key.map(|key| key.sign(&text)).transpose()?;
    let signer = key.map_or_else(|| "unsigned".to_owned(), UnitKey::public_line);
    Ok([Value::Text(text), signature.into(), signer.into()])
}

/// Renames the finished file; whatever happens to the machine afterwards, the name stays with the whole file.
pub(crate) fn put_in_place(from: &Path, to: &Path) -> Result<(), Error> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io(folder))?;
    fs::rename(from, to).map_err(io(to))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

fn exhibit_body(sink: &Sink, exhibit: Id) -> Result<Exhibit, Error> {
    match single(sink, exhibit, Kind::Exhibit)? {
        Body::Exhibit(exhibit) => Ok(exhibit),
        _ => Err(Error::Incomplete(format!("exhibit {exhibit} is not described"))),
    }
}

fn end_body(sink: &Sink, exhibit: Id) -> Result<ExhibitEnd, Error> {
    match single(sink, exhibit, Kind::End)? {
        Body::End(end) => Ok(end),
        _ => Err(Error::Incomplete(format!("exhibit {exhibit} has no end"))),
    }
}

fn single(sink: &Sink, exhibit: Id, kind: Kind) -> Result<Body, Error> {
    let missing = || Error::Incomplete(format!("exhibit {exhibit} has no {kind:?} entry"));
    let number = sink.number_of(exhibit).ok_or_else(missing)?;
    let held = store::held(sink.connection(), number, kind, exhibit).map_err(|source| sink.error(source))?;
    let (_, _, body) = held.ok_or_else(missing)?;
    from_bytes(&body).map_err(|source| Error::Entry { id: exhibit, source })
}

/// The rows of table `meta`, keys in order: neither time nor host.
fn meta(exhibit: &Exhibit, end: &ExhibitEnd, manner: &Manner<'_>, seed: &[u8; 32], counts: &[(&'static str, u64)]) -> Vec<Value> {
    let words = |value: bool| if value { "true" } else { "false" }.to_owned();
    let mut rows: Vec<(String, String)> = [
        ("bundle_seed", Digest(*seed).to_string()),
        ("case_label", exhibit.case_label.clone()),
        ("complete", words(end.complete)),
        ("exhibit_number", exhibit.number.clone()),
        ("format_version", schema::FORMAT_VERSION.to_string()),
        ("haul_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("settings_digest", manner.settings.to_string()),
        ("signed", words(manner.key.is_some())),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec();
    rows.extend(counts.iter().map(|(table, count)| (format!("rows_{table}"), count.to_string())));
    // This row counts itself too.
    rows.push(("rows_meta".to_owned(), (rows.len() + 1).to_string()));
    rows.sort();
    rows.into_iter().flat_map(|(key, value)| [Value::Text(key), Value::Text(value)]).collect()
}

fn exhibit_values(exhibit: &Exhibit, end: &ExhibitEnd) -> Vec<Value> {
    let mut values = Vec::new();
    row::exhibit_row(exhibit.clone(), end, &mut values);
    values
}

/// Every piece of work in the order of tables and keys.
fn jobs(counts: &[(&'static str, u64)], meta: Vec<Value>, exhibit: Vec<Value>) -> Vec<Job> {
    let mut jobs = Vec::new();
    let (mut meta, mut exhibit) = (Some(meta), Some(exhibit));
    for table in schema::tables().iter().filter(|table| table.sealed()) {
        let source = match table.name {
            "meta" => Source::Rows(meta.take().unwrap_or_default()),
            "exhibit" => Source::Rows(exhibit.take().unwrap_or_default()),
            name => match Source::of(name) {
                Some(source) => source,
                None => continue,
            },
        };
        let rows = counts.iter().find(|(name, _)| *name == table.name).map_or(0, |(_, rows)| *rows);
        match source {
            Source::Rows(_) => jobs.push(Job { table, source, range: <(Vec<u8>, Vec<u8>)>::default() }),
            source => jobs.extend(cut(rows).map(|range| Job { table, source: source.clone(), range })),
        }
    }
    jobs
}

/// Cuts the ids of so many rows into ranges of about [`CHUNK_ROWS`]: the smallest id of each and what is larger than its last. Ids are digests,
/// so equal ranges hold about as many rows.
pub(crate) fn cut(rows: u64) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let ranges = (rows / CHUNK_ROWS + 1).min(1 << 16);
    (0..ranges).map(move |range| {
        let bound = |range: u64| match range {
            0 => Vec::new(),
            // Larger than every id, and than what a forger may put in an id's place.
            range if range == ranges => vec![0xff; 64],
            range => ((range * 65_536 / ranges) as u16).to_be_bytes().to_vec(),
        };
        (bound(range), bound(range + 1))
    })
}
