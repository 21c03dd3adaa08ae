//! Units, a stage, queues: what the sandbox needs around it.

use config::Settings;
use model::item::{FileKind, FileTimes};
use model::{Body, Code, Digest, Id, Item, ItemStatus, StagedItem, WorkUnit};
use normalize::{Context, Error, Watch};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use stream::stage::Stage;
use stream::{Publish, embedded};
use tempfile::TempDir;

/// A folder with a stage and room for scratch.
pub struct World {
    pub folder: TempDir,
    pub settings: Settings,
}

/// What `run` gave: every body, in the order in which it was published.
pub struct Outcome {
    pub bodies: Vec<Body>,
    pub parsed: u64,
}

pub const EXHIBIT: Id = Id([7; 16]);

/// Counts parsed units and tells the test.
struct Count<'a>(AtomicU64, &'a (dyn Fn(u64) + Sync));

impl Watch for Count<'_> {
    fn parsed(&self, units: u64) {
        let before = self.0.fetch_add(units, Ordering::Relaxed);
        (self.1)(before + units);
    }
}

impl World {
    /// Two workers. Time is limited as by default: no honest unit comes near that, however busy the machine is.
    pub fn new() -> World {
        let mut settings = Settings { workers: 2, ..Settings::default() };
        settings.sandbox.memory_bytes = 256 << 20;
        World { folder: tempfile::tempdir().unwrap(), settings }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn stage(&self) -> Stage {
        let folder = self.path("stage");
        std::fs::create_dir_all(&folder).unwrap();
        Stage::open(folder.to_str().unwrap(), &Default::default()).unwrap()
    }

    /// A unit whose content is what the hostile parser is to do.
    pub fn unit(&self, path: &str, content: &[u8]) -> WorkUnit {
        let digest = Digest::of(content);
        self.put(digest, content);
        WorkUnit { primary: staged(path, digest, content.len() as u64), companions: Vec::new(), region: None }
    }

    fn put(&self, digest: Digest, content: &[u8]) {
        self.stage().put(digest, content).unwrap();
    }

    pub fn companion(&self, unit: &mut WorkUnit, path: &str, content: &[u8]) {
        let digest = Digest::of(content);
        self.put(digest, content);
        unit.companions.push(staged(path, digest, content.len() as u64));
    }

    pub fn context(&self) -> Context {
        Context {
            settings: self.settings.clone(),
            stage: self.stage(),
            scratch: self.path("scratch"),
            artifacts: None,
            weak_sandbox: false,
            child: std::env::current_exe().unwrap(),
        }
    }

    /// Runs the sandbox over units.
    pub fn run(&self, units: &[WorkUnit]) -> Outcome {
        self.try_run(&self.context(), units).unwrap()
    }

    pub fn try_run(&self, context: &Context, units: &[WorkUnit]) -> Result<Outcome, Error> {
        self.run_watched(context, units, &|_| {})
    }

    /// Runs the sandbox; `parsed` hears how many units are parsed, whenever there are more.
    pub fn run_watched(&self, context: &Context, units: &[WorkUnit], parsed: &(dyn Fn(u64) + Sync)) -> Result<Outcome, Error> {
        let (queues, mut incoming, mut batches) = embedded::queues(16, 4);
        let records = queues.without_units();
        let count = Count(AtomicU64::new(0), parsed);
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let records = records;
                normalize::run(context, &mut incoming, &records, &count)
            });
            let collect = scope.spawn(|| {
                let mut bodies = Vec::new();
                loop {
                    use stream::{Event, Receive};
                    match batches.next(std::time::Duration::from_secs(1)).unwrap() {
                        Event::Delivery(delivery) => {
                            let batch = delivery.payload.unwrap();
                            bodies.extend(batch.entries.iter().map(|entry| entry.open().expect("a header that tells the truth")));
                        }
                        Event::Closed => return bodies,
                        _ => {}
                    }
                }
            });
            for unit in units {
                if queues.unit(unit).is_err() {
                    break;
                }
            }
            drop(queues);
            work.join().unwrap()?;
            let bodies = collect.join().unwrap();
            Ok(Outcome { bodies, parsed: count.0.load(Ordering::Relaxed) })
        })
    }

    /// Runs one unit that does `what`, between two good ones, which must come out well.
    pub fn run_one(&self, what: &str) -> Outcome {
        self.run_between(self.unit("guilty", what.as_bytes()))
    }

    pub fn run_between(&self, guilty: WorkUnit) -> Outcome {
        let (before, after) = (self.unit("before", b"good 1"), self.unit("after", b"good 2"));
        let mut outcome = self.run(&[before, guilty.clone(), after]);
        assert_eq!(outcome.parsed, 3);
        for neighbour in ["before", "after"] {
            assert_eq!(outcome.item(neighbour).status, ItemStatus::Parsed, "{neighbour}");
        }
        outcome.check_counts();
        let ids: Vec<Id> = std::iter::once(&guilty.primary).chain(&guilty.companions).map(|staged| staged.item.id).collect();
        outcome.bodies.retain(|body| match body {
            Body::Item(item) => ids.contains(&item.id),
            other => other.item().is_some_and(|item| ids.contains(&item)),
        });
        outcome
    }
}

impl Outcome {
    pub fn item(&self, path: &str) -> &Item {
        let mut found = self.bodies.iter().filter_map(|body| match body {
            Body::Item(item) if item.path == path => Some(item.as_ref()),
            _ => None,
        });
        let item = found.next().unwrap_or_else(|| panic!("no item {path}"));
        assert!(found.next().is_none(), "item {path} twice");
        item
    }

    pub fn problems(&self) -> Vec<(Code, &str)> {
        let problems = self.bodies.iter().filter_map(|body| match body {
            Body::Problem(problem) => Some((problem.code, problem.detail.as_str())),
            _ => None,
        });
        problems.collect()
    }

    /// The rule of completeness: an item announces what is there of it.
    pub fn check_counts(&self) {
        for body in &self.bodies {
            if let Body::Item(item) = body {
                let there = self.bodies.iter().filter(|body| body.item() == Some(item.id)).count() as u64;
                assert_eq!(item.announced, INGESTED + there, "{}", item.path);
            }
        }
    }
}

/// What ingest had announced of every staged item.
pub const INGESTED: u64 = 3;

pub fn staged(path: &str, content: Digest, size_bytes: u64) -> StagedItem {
    let item = Item {
        id: Item::id_of(EXHIBIT, None, path.as_bytes(), 0, false),
        exhibit: EXHIBIT,
        parent: None,
        path: path.to_owned(),
        path_raw: None,
        file_kind: FileKind::File,
        link_target: None,
        size_bytes,
        sha256: Some(content),
        sha1: None,
        md5: None,
        media_type: None,
        mode: None,
        owner: None,
        times: FileTimes::default(),
        deleted: false,
        status: ItemStatus::Plain,
        reason: None,
        definition: None,
        announced: INGESTED,
    };
    StagedItem { item, content, name: path.as_bytes().to_vec() }
}
