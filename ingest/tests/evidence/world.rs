//! Takes an exhibit in and keeps all that ingest says; every run is held to the rules that hold for any evidence.

use config::Settings;
use ingest::{Job, Step, Watch};
use model::wire::Batch;
use model::{Body, Code, ExhibitEnd, Id, Item, ItemStatus, Kind, LedgerRow, Problem, WorkUnit};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use stream::stage::Stage;
use stream::{Invalid, Position, Publish};

/// What ingest said of one exhibit.
#[derive(Default)]
pub struct Told {
    pub bodies: BTreeMap<(Kind, Id), Body>,
    pub units: Vec<WorkUnit>,
    /// Every item, staged or not, by path and ordinal of arrival in path order.
    pub items: Vec<Item>,
    pub end: Option<ExhibitEnd>,
}

/// Something done to the evidence in the middle of a run.
pub type Hook<'a> = Box<dyn Fn(&str) + Sync + Send + 'a>;

#[derive(Default)]
struct Heard<'a> {
    told: Mutex<Told>,
    /// Called with each batch that comes while an item is being read.
    sent: Option<&'a Hook<'a>>,
}

impl Publish for Heard<'_> {
    fn unit(&self, unit: &WorkUnit) -> Result<(), stream::Error> {
        self.told.lock().unwrap().units.push(unit.clone());
        Ok(())
    }

    fn batch(&self, _exhibit: Id, batch: Batch) -> Result<(), stream::Error> {
        assert!(batch.entries.len() <= 500);
        if let Some(sent) = self.sent {
            sent("");
        }
        let mut told = self.told.lock().unwrap();
        for entry in batch.entries {
            let body = entry.open().unwrap();
            assert!(told.end.is_none(), "something after the end");
            if let Body::End(end) = &body {
                told.end = Some(end.clone());
            }
            if let Some(before) = told.bodies.insert((body.kind(), body.id()), body.clone()) {
                assert_eq!(before, body, "one id, two bodies");
            }
        }
        Ok(())
    }

    fn invalid(&self, _: Option<Id>, _: Position, _: &Invalid) -> Result<(), stream::Error> {
        unreachable!("ingest decodes nothing")
    }

    fn flush(&self) -> Result<(), stream::Error> {
        Ok(())
    }
}

/// Says which items are done already.
struct Known<'a> {
    done: &'a BTreeSet<Id>,
    /// Called with the path of an item right before it is opened.
    reading: Option<&'a Hook<'a>>,
}

impl Watch for Known<'_> {
    fn done(&self, item: Id) -> bool {
        self.done.contains(&item)
    }
    fn listed(&self, _: u64, _: u64) {}
    fn reading(&self, path: &str) {
        if let Some(reading) = self.reading {
            reading(path);
        }
    }
    fn read(&self, _: u64, _: u64) {}
}

/// How an exhibit is taken in.
pub struct World {
    pub settings: Settings,
    pub passwords: Vec<String>,
    pub done: BTreeSet<Id>,
    pub stage: tempfile::TempDir,
}

impl World {
    pub fn new() -> World {
        let settings = Settings { workers: 2, ..Settings::default() };
        World { settings, passwords: Vec::new(), done: BTreeSet::new(), stage: tempfile::tempdir().unwrap() }
    }

    pub fn job(&self, evidence: &Path) -> Job {
        Job {
            evidence: evidence.to_owned(),
            case_label: "case".to_owned(),
            number: "E1".to_owned(),
            kind: "unknown".to_owned(),
            passwords: self.passwords.clone(),
        }
    }

    pub fn stage(&self) -> Stage {
        Stage::open(self.stage.path().to_str().unwrap(), &BTreeMap::new()).unwrap()
    }

    /// Takes an exhibit in and checks what must always hold.
    pub fn take(&self, evidence: &Path) -> Told {
        self.take_while(evidence, None, None)
    }

    /// The same, with something done to the evidence when an item is about to be opened, or when something was sent.
    pub fn take_while<'a>(&'a self, evidence: &Path, reading: Option<&'a Hook<'a>>, sent: Option<&'a Hook<'a>>) -> Told {
        let heard = Heard { told: Mutex::default(), sent };
        let known = Known { done: &self.done, reading };
        let end = ingest::run(&self.job(evidence), &self.settings, &self.stage(), &heard, &known).unwrap();
        let mut told = heard.told.into_inner().unwrap();
        assert_eq!(told.end.as_ref(), Some(&end));
        told.items = told
            .bodies
            .values()
            .filter_map(|body| if let Body::Item(item) = body { Some(&**item) } else { None })
            .cloned()
            .collect();
        for unit in &told.units {
            told.items.extend([&unit.primary].into_iter().chain(&unit.companions).map(|staged| staged.item.clone()));
        }
        told.items.sort_by(|a, b| (&a.path, a.id).cmp(&(&b.path, b.id)));
        if self.done.is_empty() {
            told.check(&end, &self.stage());
        }
        told
    }
}

impl Told {
    fn check(&self, end: &ExhibitEnd, stage: &Stage) {
        let ids: BTreeSet<Id> = self.items.iter().map(|item| item.id).collect();
        assert_eq!(ids.len(), self.items.len(), "an item was told twice");
        assert_eq!(ids.len() as u64, end.items);
        let mut counts: HashMap<Id, u64> = HashMap::new();
        for item in self.bodies.values().filter_map(Body::item) {
            *counts.entry(item).or_default() += 1;
        }
        for item in &self.items {
            assert_eq!(counts.get(&item.id).copied().unwrap_or(0), item.announced, "{} announces another number", item.path);
            let unread = [ItemStatus::Skipped, ItemStatus::Locked, ItemStatus::Failed].contains(&item.status);
            assert!(unread || item.sha256.is_some(), "{} has no hash", item.path);
            assert_eq!(item.reason.is_some(), !matches!(item.status, ItemStatus::Plain | ItemStatus::Parsed), "{}", item.path);
            assert!(item.parent.is_none_or(|parent| ids.contains(&parent)), "{} has no parent", item.path);
        }
        for unit in &self.units {
            for staged in [&unit.primary].into_iter().chain(&unit.companions) {
                assert_eq!(staged.item.sha256, Some(staged.content));
                assert!(stage.contains(staged.content).unwrap());
            }
        }
        assert!(self.ledger().all(LedgerRow::adds_up), "a ledger row does not add up");
        for row in self.ledger() {
            let inside = self.items.iter().filter(|item| item.parent == Some(row.item)).count();
            assert_eq!(inside as u64, row.records, "entries that are items: {:?}", row.reason);
            let folders =
                self.bodies.values().filter(|body| matches!(body, Body::Directory(row_) if row_.parent == Some(row.item)));
            assert!(folders.count() as u64 <= row.rejected);
        }
        let directories = self.bodies.values().filter(|body| matches!(body, Body::Directory(_))).count();
        assert_eq!(directories as u64, end.directories);
        assert_eq!(self.problems().filter(|problem| problem.item.is_none()).count() as u64, end.problems);
    }

    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.bodies.values().filter_map(|body| if let Body::Problem(problem) = body { Some(problem) } else { None })
    }

    pub fn sightings(&self) -> impl Iterator<Item = &model::Sighting> {
        self.bodies.values().filter_map(|body| if let Body::Sighting(sighting) = body { Some(&**sighting) } else { None })
    }

    pub fn ledger(&self) -> impl Iterator<Item = &LedgerRow> {
        self.bodies.values().filter_map(|body| if let Body::Ledger(row) = body { Some(row) } else { None })
    }

    /// The only item at a path.
    pub fn item(&self, path: &str) -> &Item {
        let mut found = self.items.iter().filter(|item| item.path == path);
        let item = found.next().unwrap_or_else(|| panic!("no {path:?} in {:?}", self.paths()));
        assert!(found.next().is_none(), "several {path:?}");
        item
    }

    pub fn paths(&self) -> Vec<&str> {
        self.items.iter().map(|item| item.path.as_str()).collect()
    }

    /// Status and problem codes of the only item at a path.
    pub fn outcome(&self, path: &str) -> (ItemStatus, Vec<Code>) {
        let item = self.item(path);
        (item.status, self.codes(item))
    }

    /// The steps from the exhibit to an item, as `haul explain` takes them from a bundle.
    pub fn chain(&self, item: &Item) -> Vec<Step> {
        let raw = item.path_raw.clone().unwrap_or_else(|| item.path.clone().into_bytes());
        let parent = self.items.iter().find(|outer| Some(outer.id) == item.parent);
        let mut chain = parent.map(|outer| self.chain(outer)).unwrap_or_default();
        chain.push(Step { item: item.id, path: raw, size_bytes: Some(item.size_bytes) });
        chain
    }

    /// Opens every hashed item again, through every container: the bytes must be those that were hashed.
    pub fn reopen(&self, world: &World, evidence: &Path) -> usize {
        let hashed = self.items.iter().filter(|item| item.sha256.is_some());
        for item in hashed.clone() {
            let opened = ingest::reopen(&world.job(evidence), &world.settings, &self.chain(item));
            let mut content = Vec::new();
            opened.unwrap_or_else(|error| panic!("{}: {error}", item.path)).read_to_end(&mut content).unwrap();
            assert_eq!(Some(model::Digest::of(&content)), item.sha256, "{} opened again", item.path);
        }
        hashed.count()
    }

    /// Codes of the problems of an item.
    pub fn codes(&self, item: &Item) -> Vec<Code> {
        let mut codes: Vec<Code> =
            self.problems().filter(|problem| problem.item == Some(item.id)).map(|problem| problem.code).collect();
        codes.sort();
        codes
    }

    /// SHA-256 of the item at a path.
    pub fn sha256(&self, path: &str) -> String {
        self.item(path).sha256.map(|digest| digest.to_string()).unwrap_or_default()
    }

    /// Everything that was said, in an order that does not depend on threads.
    pub fn digest(&self) -> model::Digest {
        let mut text: Vec<String> = self.bodies.values().map(|body| format!("{body:?}")).collect();
        let mut units = self.units.clone();
        units.sort_by_key(|unit| unit.primary.item.id);
        text.extend(units.iter().map(|unit| format!("{unit:?}")));
        model::Digest::of(text.join("\n").as_bytes())
    }
}

/// SHA-256 in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    model::Digest::of(bytes).to_string()
}
