//! `haul run`: the three stages in one process, exhibit by exhibit.

use crate::journal::Journal;
use crate::progress::Progress;
use crate::{cli, raid, several, status, summary};
use anyhow::{Context, Result, bail};
use config::Settings;
use export::{Sealed, UnitKey};
use ingest::Job;
use model::{Exhibit, Id};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use stream::{embedded, stage::Stage};

/// Messages that the unit queue and the batch queue hold: with batches of up to 256 KiB this bounds the memory in flight.
const UNIT_QUEUE: usize = 64;
const BATCH_QUEUE: usize = 32;

/// Bytes of small contents on their way to a parser that are kept in memory; more go through the stage's folder.
const STAGE_MEMORY_BYTES: usize = 32 << 20;

/// What `haul run` needs for every exhibit.
struct Bench {
    settings: Settings,
    arguments: cli::Run,
    key: Option<UnitKey>,
    support: normalize::sandbox::Support,
    /// Whose exhibits they are, by number.
    owners: BTreeMap<String, String>,
    /// Whether several exhibits are in work at once.
    several: bool,
}

/// Makes one bundle and tells nobody: no progress, no summary, no custody entry.
pub fn quietly(arguments: cli::Run) -> Result<PathBuf> {
    let settings = settings(&arguments)?;
    let mut jobs = raid::jobs(&arguments)?;
    let Some(raid::Exhibited { job, .. }) = jobs.pop().filter(|_| jobs.is_empty()) else {
        bail!("one exhibit at a time");
    };
    let support = support(&arguments)?;
    let bench = Bench { settings, arguments, key: None, support, owners: BTreeMap::new(), several: false };
    let work = bench.arguments.out.join(".haul");
    fs::create_dir_all(&work)?;
    Ok(stages(&bench, &job, &work, &Progress::silent())?.path)
}

/// What confines the parsers here; an error where nothing does and that was not agreed to.
fn support(arguments: &cli::Run) -> Result<normalize::sandbox::Support> {
    let support = normalize::sandbox::support();
    if !support.full() && !arguments.weak_sandbox {
        bail!("this kernel cannot confine parsers ({support}); --weak-sandbox parses all the same and says so in the run record");
    }
    Ok(support)
}

/// Runs every exhibit; the exit code is 0 if all were sealed and read to their end, 1 if not.
pub fn run(arguments: cli::Run) -> Result<u8> {
    let mut settings = settings(&arguments)?;
    let exhibits = raid::jobs(&arguments)?;
    let owners = exhibits.iter().map(|exhibit| (exhibit.job.number.clone(), exhibit.owner.clone())).collect();
    let jobs: Vec<Job> = exhibits.into_iter().map(|exhibit| exhibit.job).collect();
    fs::create_dir_all(&arguments.out).with_context(|| format!("cannot create {}", arguments.out.display()))?;
    let out = fs::canonicalize(&arguments.out)?;
    if let Some(job) = jobs.iter().find(|job| out.starts_with(&job.evidence)) {
        bail!("--out {} lies inside the evidence {}", out.display(), job.evidence.display());
    }
    let support = support(&arguments)?;
    let key = if arguments.unsigned { None } else { Some(crate::keys::unit_key()?) };
    let (at_once, workers) = several::plan(&settings, jobs.len());
    settings.workers = workers;
    let bench = Bench { settings, arguments: cli::Run { out, ..arguments }, key, support, owners, several: at_once > 1 };
    if jobs.len() > 1 {
        status::remember(&bench.arguments.out, jobs.iter().map(|job| job.number.as_str()))?;
    }
    let work = |job: &Job| exhibit(&bench, job).with_context(|| format!("exhibit {}", model::text::escape(&job.number)));
    // An exhibit alone says itself what was wrong.
    if let [job] = jobs.as_slice() {
        return Ok(u8::from(!work(job)?));
    }
    let outcome = several::work(&jobs, at_once, &work);
    Ok(match outcome.failed.iter().any(|(_, error)| crate::resumable(error)) {
        true => crate::EXIT_STOPPED,
        false => u8::from(outcome.incomplete > 0 || !outcome.failed.is_empty()),
    })
}

fn settings(arguments: &cli::Run) -> Result<Settings> {
    let mut settings = match &arguments.config {
        Some(path) => Settings::read(path)?,
        None => Settings::default(),
    };
    if let Some(workers) = arguments.workers {
        settings.workers = workers;
    }
    settings.check()?;
    Ok(settings)
}

/// One exhibit from evidence to sealed bundle; false if part of it could not be read to its end.
fn exhibit(bench: &Bench, job: &Job) -> Result<bool> {
    let name = export::file_stem(&job.number);
    let bundle = bench.arguments.out.join(format!("{name}.sqlite"));
    let work = bench.arguments.out.join(".haul").join(&name);
    let journal = Journal::beside(&bundle);
    if bundle.exists() && !work.exists() {
        eprintln!("{}: already sealed in {} (remove it to run anew)", model::text::escape(&job.number), bundle.display());
        return summary::print(&bundle);
    }
    fs::create_dir_all(&work)?;
    let _lock = lock(&work)?;
    same_run(bench, job, &work)?;
    journal.append("started", started(bench, job))?;
    let sealed = match stages(bench, job, &work, &Progress::new(&job.number, bench.several)) {
        Ok(sealed) => sealed,
        Err(error) => {
            journal.append("failed", json!({"error": format!("{error:#}")}))?;
            return Err(error);
        }
    };
    journal.append("sealed", json!({"checkpoint": sealed.checkpoint, "content_root": sealed.content_root.to_string()}))?;
    if bench.key.is_some() {
        crate::custody::sealed(&bundle, &bench.arguments.case_label);
    }
    // The work folder goes last: while it is there, the exhibit counts as unfinished and running again ends it.
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    summary::print(&bundle)
}

/// Two runs must not share a work folder.
fn lock(work: &Path) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(work.join("lock"))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => bail!("another run works in {}", work.display()),
    }
}

/// A resumed run must be the same run: same evidence, settings, definitions and version.
fn same_run(bench: &Bench, job: &Job, work: &Path) -> Result<()> {
    let artifacts = normalize::artifact::Set::load(bench.arguments.artifacts.as_deref())?;
    let now = json!({
        "haul": env!("CARGO_PKG_VERSION"),
        "case": job.case_label,
        "number": job.number,
        "kind": job.kind,
        "evidence": job.evidence.to_string_lossy(),
        "settings": bench.settings.content_digest().to_string(),
        "artifacts": artifacts.digest().to_string(),
    });
    let path = work.join("run.json");
    if path.exists() {
        let before: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path)?).unwrap_or_default();
        if before != now {
            bail!(
                "{} holds an unfinished run with other evidence, settings, definitions or version; remove it to begin anew",
                work.display()
            );
        }
        return Ok(());
    }
    let fresh = work.join("run.json.new");
    fs::write(&fresh, now.to_string())?;
    fs::rename(&fresh, &path)?;
    Ok(())
}

fn started(bench: &Bench, job: &Job) -> serde_json::Value {
    json!({
        "case": job.case_label,
        "exhibit": job.number,
        "evidence": job.evidence.to_string_lossy(),
        "owner": bench.owners.get(&job.number),
        "workers": bench.settings.worker_count(),
        "sandbox": bench.support.to_string(),
        "weak_sandbox": bench.arguments.weak_sandbox && !bench.support.full(),
        "signed": bench.key.is_some(),
        "settings": toml::to_string(&bench.settings).unwrap_or_default(),
    })
}

/// Joins the stages over bounded queues: ingest → items → normalize → records → export.
fn stages(bench: &Bench, job: &Job, work: &Path, progress: &Progress) -> Result<Sealed> {
    let stage = open_stage(&bench.settings, work)?;
    let exhibit = Exhibit::id_of(&job.case_label, &job.number);
    let context = export::Context {
        settings: bench.settings.clone(),
        out: bench.arguments.out.clone(),
        work: work.to_owned(),
        key: bench.key.clone(),
    };
    let done = export::done_items(&context, exhibit)?;
    let (queues, mut units, mut batches) = embedded::queues(UNIT_QUEUE, BATCH_QUEUE);
    let watch = Watch { progress, done };
    let normalizing = normalize::Context {
        settings: bench.settings.clone(),
        stage: stage.clone(),
        scratch: work.join("scratch"),
        artifacts: bench.arguments.artifacts.clone(),
        weak_sandbox: bench.arguments.weak_sandbox,
        child: std::env::current_exe()?,
    };
    let records = queues.without_units();
    let result = std::thread::scope(|scope| {
        let export = scope.spawn(|| export::run(&context, &mut batches, &watch));
        let normalize = scope.spawn(|| {
            let records = records;
            normalize::run(&normalizing, &mut units, &records, &watch)
        });
        let ingested = ingest::run(job, &bench.settings, &stage, &queues, &watch);
        // The queues end when their writers are gone: first ingest's, then normalize's.
        drop(queues);
        let normalized = join(normalize);
        let exported = join(export);
        first_cause(ingested.map(drop).map_err(Into::into), normalized, exported)
    });
    progress.finish();
    let mut sealed = result?;
    sealed.pop().context("the exhibit did not come to its end")
}

/// The result that explains the others: a stage that lost its peer only says that the stream is closed.
fn first_cause(ingested: Result<()>, normalized: Result<()>, exported: Result<Vec<Sealed>>) -> Result<Vec<Sealed>> {
    let closed = |error: &anyhow::Error| {
        error.chain().any(|cause| matches!(cause.downcast_ref::<stream::Error>(), Some(stream::Error::Closed)))
    };
    match (ingested, normalized, exported) {
        (Err(error), _, _) if !closed(&error) => Err(error),
        (_, Err(error), _) if !closed(&error) => Err(error),
        (_, _, Err(error)) => Err(error),
        (Err(error), _, _) | (_, Err(error), _) => Err(error),
        (Ok(()), Ok(()), Ok(sealed)) => Ok(sealed),
    }
}

fn join<T, E: Into<anyhow::Error>>(handle: std::thread::ScopedJoinHandle<'_, Result<T, E>>) -> Result<T> {
    match handle.join() {
        Ok(result) => result.map_err(Into::into),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn open_stage(settings: &Settings, work: &Path) -> Result<Stage> {
    let url = match settings.stage.url.as_str() {
        "" => path_text(&work.join("stage"))?,
        url => url.to_owned(),
    };
    Ok(Stage::open(&url, &settings.stage.options)?.with_memory(STAGE_MEMORY_BYTES))
}

fn path_text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", PathBuf::from(path).display()))
}

/// What the stages tell and ask while they run.
struct Watch<'a> {
    progress: &'a Progress,
    done: HashSet<Id>,
}

impl ingest::Watch for Watch<'_> {
    fn done(&self, item: Id) -> bool {
        self.done.contains(&item)
    }

    fn listed(&self, items: u64, bytes: u64) {
        self.progress.listed(items, bytes);
    }

    fn reading(&self, path: &str) {
        self.progress.reading(path);
    }

    fn read(&self, items: u64, bytes: u64) {
        self.progress.read(items, bytes);
    }
}

impl normalize::Watch for Watch<'_> {
    fn parsed(&self, units: u64) {
        self.progress.parsed(units);
    }
}

impl export::Watch for Watch<'_> {
    fn sunk(&self, entries: u64) {
        self.progress.sunk(entries);
    }

    fn sealing(&self, _exhibit: Id) {
        self.progress.phase("sealing");
    }
}
