//! From an exhibit to hashed, scanned and staged items.
//!
//! **Reads** evidence, through [`evidence`] alone: read-only, and nothing is created beside it. **Writes** work units to topic
//! `items`, everything else to `records` and `problems`, and content that a parser could want to the stage.
//!
//! **Guarantees.** Every entry of an exhibit becomes an item, whatever its state; its SHA-256 is computed before anything parses it; what
//! it announces was sent before it. The end of an exhibit is sent last and counts them all. Order of listing, threads and clock
//! change nothing that is sent.
//!
//! **Limits.** Memory: the listing (some 200 bytes an entry) and a few buffers a thread; an archive inside an archive is held in
//! memory up to 8 MiB, else in a nameless temporary file. Archives: the caps of `[ingest]` in the settings.

mod budget;
mod error;
pub mod evidence;
mod hash;
mod media_type;
mod open;
mod read;
mod reopen;
mod spool;
mod survey;
mod tasks;
mod tell;
mod walk;
mod work;
mod worth;

pub use error::Error;
pub use reopen::{Step, reopen};
pub use survey::{Guess, Listed, container_of, survey};

use config::Settings;
use model::{Body, Code, Exhibit, ExhibitEnd, Id, Item, Problem};
use open::Entry;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use stream::{Publish, stage::Stage};
use tasks::{Place, Task, Tasks, cut, groups};
use tell::Teller;
use work::Worker;

/// One exhibit to take in.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the evidence lies: a folder, a file or an archive.
    pub evidence: PathBuf,
    /// Label of the case.
    pub case_label: String,
    /// Exhibit number.
    pub number: String,
    /// `phone`, `computer` or `unknown`.
    pub kind: String,
    /// Passwords to try on encrypted archives.
    pub passwords: Vec<String>,
}

/// Hears how far ingest has come, and says what the sink already holds.
pub trait Watch: Sync {
    /// Whether the sink holds the item in full: it is counted and not sent again.
    fn done(&self, item: Id) -> bool;
    /// More items and bytes are known of.
    fn listed(&self, items: u64, bytes: u64);
    /// An item is being read now.
    fn reading(&self, path: &str);
    /// Items and bytes were read.
    fn read(&self, items: u64, bytes: u64);
}

/// An exhibit in work: what its threads share.
pub(crate) struct Exhibited<'a> {
    exhibit: Id,
    settings: &'a Settings,
    stage: &'a Stage,
    out: &'a dyn Publish,
    watch: &'a dyn Watch,
    passwords: Vec<String>,
    /// The folder that the entries lie in.
    root: PathBuf,
    /// Whether the exhibit is one file.
    single: bool,
    entries: Vec<Entry>,
    /// Phone backups in the folder.
    backups: open::backup::Backups,
    /// Bytes of their blobs, which `entries` leaves out.
    blob_bytes: u64,
    directories_listed: Vec<Entry>,
    problems: Vec<Problem>,
    place: Place,
    tasks: Tasks,
    items: AtomicU64,
    directories: AtomicU64,
    /// Set where the exhibit's own container could not be read to its end.
    incomplete: AtomicBool,
    /// Of an exhibit that is one file: container name, SHA-256 and size.
    root_item: Mutex<Option<(String, Option<String>, u64)>>,
}

/// Opens an exhibit, lists it, reads every item once (hash, scan, stage) and says what it found; its end comes last.
pub fn run(job: &Job, settings: &Settings, stage: &Stage, out: &dyn Publish, watch: &dyn Watch) -> Result<ExhibitEnd, Error> {
    let exhibited = open_exhibit(job, settings, stage, out, watch)?;
    exhibited.tell_listing()?;
    exhibited.share_work();
    exhibited.read_items()?;
    exhibited.tell_end(job)
}

fn open_exhibit<'a>(
    job: &Job,
    settings: &'a Settings,
    stage: &'a Stage,
    out: &'a dyn Publish,
    watch: &'a dyn Watch,
) -> Result<Exhibited<'a>, Error> {
    let exhibit = Exhibit::id_of(&job.case_label, &job.number);
    let failed = |source| Error::Evidence { path: job.evidence.clone(), source };
    let facts = evidence::facts(&job.evidence).map_err(failed)?;
    let single = facts.kind.is_some();
    let (root, listing) = if single {
        let name = job.evidence.file_name().map(|name| name.as_bytes().to_vec());
        let entries = vec![walk::entry(name.unwrap_or_else(|| b"evidence".to_vec()), &facts, None)];
        let root = job.evidence.parent().map(PathBuf::from).unwrap_or_default();
        (root, walk::Listing { entries, directories: Vec::new(), problems: Vec::new() })
    } else {
        evidence::open_directory(&job.evidence, b"").map_err(failed)?;
        (job.evidence.clone(), walk::walk(&job.evidence, exhibit))
    };
    let mut entries = listing.entries;
    let before = bytes_of(&entries);
    let backups = if single { HashMap::new() } else { open::backup::take_out(&root, &mut entries, settings, &job.passwords) };
    let blob_bytes = before - bytes_of(&entries);
    Ok(Exhibited {
        exhibit,
        settings,
        stage,
        out,
        watch,
        passwords: job.passwords.clone(),
        root,
        single,
        entries,
        backups,
        blob_bytes,
        directories_listed: listing.directories,
        problems: listing.problems,
        place: Place { parent: None, prefix: Vec::new(), depth: 0 },
        tasks: Tasks::default(),
        items: AtomicU64::new(0),
        directories: AtomicU64::new(0),
        incomplete: AtomicBool::new(false),
        root_item: Mutex::new(None),
    })
}

fn bytes_of(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.size).fold(0u64, u64::saturating_add)
}

impl Exhibited<'_> {
    fn tell_listing(&self) -> Result<(), Error> {
        let bytes = bytes_of(&self.entries);
        self.watch.listed(self.entries.len() as u64, bytes);
        let mut teller = Teller::new(self.exhibit, self.out);
        for entry in &self.directories_listed {
            teller.tell(&Body::Directory(Box::new(work::directory(self.exhibit, None, &entry.path, entry))))?;
        }
        self.directories.fetch_add(self.directories_listed.len() as u64, Relaxed);
        for problem in &self.problems {
            teller.tell(&Body::Problem(problem.clone()))?;
        }
        teller.flush()
    }

    /// Cuts the listing into tasks, the worthiest first.
    fn share_work(&self) {
        self.tasks.add(cut(&self.entries, groups(&self.entries)).into_iter().map(Task::Disk));
    }

    /// Reads every item, with as many threads as configured.
    fn read_items(&self) -> Result<(), Error> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.settings.worker_count()).map(|_| scope.spawn(|| Worker::new(self).work())).collect();
            let results = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            results.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// Remembers what the exhibit row tells of an exhibit that is one file.
    fn root_read(&self, item: &Item, container: Option<&str>) {
        if self.single && item.parent.is_none() {
            let facts = (container.unwrap_or("file").to_owned(), item.sha256.map(|digest| digest.to_string()), item.size_bytes);
            *self.root_item.lock().unwrap_or_else(PoisonError::into_inner) = Some(facts);
        }
    }

    fn tell_end(&self, job: &Job) -> Result<ExhibitEnd, Error> {
        let listed = bytes_of(&self.entries).saturating_add(self.blob_bytes);
        let backup = self.backups.contains_key(open::backup::MANIFEST);
        let whole = if self.single { "file" } else { "directory" };
        let whole = if backup { open::backup::NAME } else { whole };
        let root = self.root_item.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (container, sha256, size_bytes) = root.unwrap_or_else(|| (whole.to_owned(), None, listed));
        let exhibit = Exhibit {
            id: self.exhibit,
            case_label: job.case_label.clone(),
            number: job.number.clone(),
            kind: job.kind.clone(),
            container,
            size_bytes,
            sha256,
        };
        let end = ExhibitEnd {
            exhibit: self.exhibit,
            items: self.items.load(Relaxed),
            directories: self.directories.load(Relaxed),
            problems: self.problems.len() as u64,
            complete: !self.incomplete.load(Relaxed) && !self.problems.iter().any(|problem| problem.code == Code::Unreadable),
        };
        let mut teller = Teller::new(self.exhibit, self.out);
        teller.tell(&Body::Exhibit(exhibit))?;
        teller.tell(&Body::End(end.clone()))?;
        teller.flush()?;
        self.out.flush()?;
        stream::crash::point("ingest.end.sent");
        Ok(end)
    }
}
