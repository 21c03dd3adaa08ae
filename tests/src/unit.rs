//! One unit of work in a scratch folder, as the parser child sees it, read in this process.

use model::item::{FileKind, FileTimes};
use model::{Body, Digest, Id, Item, ItemStatus, StagedItem, WorkUnit};
use normalize::artifact::{Set, database};
use normalize::emit::{Emit, Outlet};
use normalize::parse::Input;
use std::path::Path;
use tempfile::TempDir;

/// A unit and its scratch folder.
pub struct Unit {
    folder: TempDir,
    unit: WorkUnit,
}

impl Unit {
    /// A file of the disk with its `-wal` and `-journal`.
    pub fn of(path: &Path) -> Unit {
        let beside = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            std::fs::read(name).ok()
        };
        let mut unit = Unit::new(&path.to_string_lossy(), &std::fs::read(path).unwrap());
        for suffix in ["-wal", "-journal"] {
            if let Some(content) = beside(suffix) {
                unit = unit.with(suffix, &content);
            }
        }
        unit
    }

    /// A content that was found at a path of an exhibit.
    pub fn new(path: &str, content: &[u8]) -> Unit {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("main"), content).unwrap();
        Unit { folder, unit: WorkUnit { primary: staged(path, content), companions: Vec::new(), region: None } }
    }

    /// Adds a companion.
    pub fn with(mut self, suffix: &str, content: &[u8]) -> Unit {
        std::fs::write(self.folder.path().join(format!("main{suffix}")), content).unwrap();
        self.unit.companions.push(staged(&format!("{}{suffix}", self.unit.primary.item.path), content));
        self
    }

    /// Everything that normalize says of it.
    pub fn read(&self, set: &Set) -> Vec<Body> {
        let mut bodies = Vec::new();
        normalize::read::read_unit(&self.unit, self.folder.path(), set, &limits(), &mut bodies);
        bodies
    }

    /// What the definitions say of it, without the scan of its cells.
    pub fn read_database(&self, set: &Set) -> Vec<Body> {
        self.with_emit(|input, emit| database::read_database(input, set, emit))
    }

    /// How many bodies the definitions give, none of them kept.
    pub fn count(&self, set: &Set) -> u64 {
        let limits = limits();
        let input = Input { unit: &self.unit, folder: self.folder.path(), head: &[], whole: None, limits: &limits };
        let mut count = Count(0);
        let mut emit = Emit::open(&self.unit, limits.cap_problems, &mut count);
        let outcome = database::read_database(&input, set, &mut emit);
        emit.finish(outcome);
        count.0
    }

    /// The same with every row swapped into a TEMP table as if it had been recovered.
    pub fn read_as_recovered(&self, set: &Set) -> Vec<Body> {
        self.with_emit(|input, emit| database::read_as_recovered(input, set, emit))
    }

    fn with_emit(&self, read: impl FnOnce(&Input<'_>, &mut Emit<'_>) -> normalize::parse::Outcome) -> Vec<Body> {
        let limits = limits();
        let input = Input { unit: &self.unit, folder: self.folder.path(), head: &[], whole: None, limits: &limits };
        let mut bodies = Vec::new();
        let mut emit = Emit::open(&self.unit, limits.cap_problems, &mut bodies);
        let outcome = read(&input, &mut emit);
        emit.finish(outcome);
        bodies
    }
}

struct Count(u64);

impl Outlet for Count {
    fn put(&mut self, _body: Body) {
        self.0 += 1;
    }
}

fn limits() -> config::Normalize {
    config::Settings::default().normalize
}

fn staged(path: &str, content: &[u8]) -> StagedItem {
    let exhibit = Id::derive("exhibit", &[b"test"]);
    let digest = Digest::of(content);
    let item = Item {
        id: Item::id_of(exhibit, None, path.as_bytes(), 0, false),
        exhibit,
        parent: None,
        path: path.to_owned(),
        path_raw: None,
        file_kind: FileKind::File,
        link_target: None,
        size_bytes: content.len() as u64,
        sha256: Some(digest),
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
        announced: 0,
    };
    let name = path.rsplit('/').next().unwrap_or(path).as_bytes().to_vec();
    StagedItem { item, content: digest, name }
}
