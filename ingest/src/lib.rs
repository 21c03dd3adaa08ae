//! From an exhibit to hashed, scanned and staged items.
//!
//! **Reads** evidence, through [`evidence`] alone: read-only, and nothing is created beside it. **Writes** work units to topic
//! `items`, everything else to `records` and `problems`, and content that a parser could want to the stage.
//!
//! **Guarantees.** Every entry of an exhibit becomes an item, whatever its state; its SHA-256 is computed before anything parses it; what
//! it announces was sent before it. The end of an exhibit is sent last and counts them all. Order of listing, threads and clock
//! change nothing that is sent.
//!
//! **Limits.** Memory: the listing (some 100 bytes and the path of an entry) and a few buffers a thread; an archive inside an archive is held in
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
pub use open::words_of_file;
pub use reopen::{Step, Stretch, locate, reopen};
pub use survey::{Guess, Listed, container_of, survey};

use config::Settings;
use evidence::Folder;
use model::{Body, Code, Exhibit, ExhibitEnd, Id, Item};
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use stream::{Publish, stage::Stage};
use tasks::{List, Order, Place, Task, Tasks};
use tell::Teller;
use walk::Listing;
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
    root: Folder,
    /// Whether the exhibit is one file.
    single: bool,
    listing: Listing,
    order: Order,
    /// Phone backups in the folder.
    backups: open::backup::Backups,
    /// Reports of Cellebrite in the folder, with the files that they name.
    reports: open::ufdr::unpacked::Reports,
    /// Bytes of all that was listed; the list leaves out what a backup or a report names.
    listed_bytes: u64,
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
    let path = evidence::resolve(&job.evidence).map_err(failed)?;
    let facts = evidence::facts(&path).map_err(failed)?;
    let single = facts.kind.is_some();
    let (root, listing) = if single {
        let name = path.file_name().map_or(b"evidence".as_slice(), |name| name.as_bytes());
        let root = Folder::root(path.parent().unwrap_or(Path::new(""))).map_err(failed)?;
        (root, Listing::single(name, &facts))
    } else {
        let root = Folder::root(&path).map_err(failed)?;
        // A root that cannot be listed is an error, not a problem: nothing would be left of the exhibit.
        root.open_folder(b"").map_err(failed)?;
        let mut teller = Teller::new(exhibit, out);
        let mut tell = |folder: &_| teller.tell(&Body::Directory(Box::new(work::directory(exhibit, None, folder))));
        let listing = walk::walk(&root, exhibit, &mut tell)?;
        teller.flush()?;
        (root, listing)
    };
    let mut listing = listing;
    let listed_bytes = listing.bytes();
    let backups = if single { HashMap::new() } else { open::backup::take_out(&root, &mut listing, settings, &job.passwords) };
    let reports = if single { HashMap::new() } else { open::ufdr::unpacked::take_out(&root, exhibit, &mut listing, settings) };
    let order = Order::of(&listing);
    let keys = if single { Arc::from([]) } else { open::keys_on_disk(&root, &listing, &job.passwords).into() };
    Ok(Exhibited {
        exhibit,
        settings,
        stage,
        out,
        watch,
        passwords: job.passwords.clone(),
        root,
        single,
        directories: AtomicU64::new(listing.directories),
        listing,
        order,
        backups,
        reports,
        listed_bytes,
        place: Place { parent: None, prefix: Vec::new(), depth: 0, in_order: false, keys },
        tasks: Tasks::default(),
        items: AtomicU64::new(0),
        incomplete: AtomicBool::new(false),
        root_item: Mutex::new(None),
    })
}

impl Exhibited<'_> {
    fn tell_listing(&self) -> Result<(), Error> {
        self.watch.listed(self.listing.count() as u64, self.listing.bytes());
        let mut teller = Teller::new(self.exhibit, self.out);
        for problem in &self.listing.problems {
            teller.tell(&Body::Problem(problem.clone()))?;
        }
        teller.flush()
    }

    /// Cuts the listing into tasks, the worthiest first.
    fn share_work(&self) {
        self.tasks.add(self.order.cut(&self.listing).into_iter().map(Task::Disk));
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
        let backup = open::backup::MANIFESTS.into_iter().any(|manifest| self.backups.contains_key(manifest));
        let whole = if self.single { "file" } else { "directory" };
        let whole = if backup { open::backup::NAME } else { whole };
        let root = self.root_item.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (container, sha256, size_bytes) = root.unwrap_or_else(|| (whole.to_owned(), None, self.listed_bytes));
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
            problems: self.listing.problems.len() as u64,
            complete: !self.incomplete.load(Relaxed)
                && !self.listing.problems.iter().any(|problem| problem.code == Code::Unreadable),
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
