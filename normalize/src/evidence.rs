//! Units made in tests: scratch folders as the sandbox has them.

use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use model::item::{FileKind, FileTimes};
use model::{Body, Digest, Id, Item, ItemStatus, Record, StagedItem, WorkUnit};
use std::path::Path;
use tempfile::TempDir;

/// A unit in its scratch folder.
pub struct Scratch {
    /// The folder, removed when dropped.
    pub folder: TempDir,
    /// The unit.
    pub unit: WorkUnit,
}

impl Scratch {
    /// A unit of one item with that path.
    pub fn new(path: &str, content: &[u8]) -> Scratch {
        let folder = tempfile::tempdir().expect("a scratch folder");
        std::fs::write(folder.path().join("main"), content).expect("scratch is writable");
        let unit = WorkUnit { primary: staged(path, content), companions: Vec::new(), region: None };
        Scratch { folder, unit }
    }

    /// Adds a companion: `-wal` or `-journal`.
    pub fn with(mut self, suffix: &str, content: &[u8]) -> Scratch {
        std::fs::write(self.folder.path().join(format!("main{suffix}")), content).expect("scratch is writable");
        let path = format!("{}{suffix}", self.unit.primary.item.path);
        self.unit.companions.push(staged(&path, content));
        self
    }

    /// A unit of a file of the disk and its companions.
    pub fn of(path: &Path) -> Scratch {
        let content = std::fs::read(path).expect("the sample");
        let mut scratch = Scratch::new(&path.to_string_lossy(), &content);
        for suffix in ["-wal", "-journal"] {
            let mut companion = path.as_os_str().to_owned();
            companion.push(suffix);
            if let Ok(content) = std::fs::read(companion) {
                scratch = scratch.with(suffix, &content);
            }
        }
        scratch
    }

    /// Runs something over the unit; what it put, the final items last.
    pub fn run(&self, read: impl FnOnce(&Input<'_>, &mut Emit<'_>) -> Outcome) -> Vec<Body> {
        let settings = config::Settings::default();
        let content = std::fs::read(self.folder.path().join("main")).expect("the scratch file");
        let head = &content[..content.len().min(64 << 10)];
        let input = Input { unit: &self.unit, folder: self.folder.path(), head, whole: None, limits: &settings.normalize };
        let mut bodies = Vec::new();
        let mut emit = Emit::new(&self.unit, "test", Digest::default(), settings.normalize.cap_problems, &mut bodies);
        let outcome = read(&input, &mut emit);
        emit.finish(outcome);
        agree(&bodies);
        bodies
    }

    /// Identifies and parses with a parser.
    pub fn parse(&self, parser: &dyn Parser) -> Vec<Body> {
        self.run(|input, emit| {
            assert!(parser.identify(input), "{} knows {}", parser.name(), self.unit.primary.item.path);
            parser.parse(input, emit)
        })
    }

    /// Whether a parser takes it.
    pub fn identified(&self, parser: &dyn Parser) -> bool {
        let mut known = false;
        self.run(|input, _| {
            known = parser.identify(input);
            Outcome::parsed()
        });
        known
    }
}

/// Every item announces as many distinct bodies as name it, and every ledger row adds up.
fn agree(bodies: &[Body]) {
    let mut ids = std::collections::HashSet::new();
    for body in bodies {
        assert!(ids.insert((body.kind(), body.id())), "twice: {body:?}");
        match body {
            Body::Item(item) => {
                let named = bodies.iter().filter(|body| body.item() == Some(item.id)).count();
                assert_eq!(item.announced, named as u64, "announced by {}", item.path);
            }
            Body::Ledger(row) => assert!(row.adds_up(), "{row:?}"),
            _ => {}
        }
    }
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

/// The records among bodies.
pub fn records(bodies: &[Body]) -> Vec<&Record> {
    bodies.iter().filter_map(|body| if let Body::Record(record) = body { Some(record) } else { None }).collect()
}

/// Codes and details of the problems among bodies.
pub fn problems(bodies: &[Body]) -> Vec<(&'static str, &str)> {
    bodies
        .iter()
        .filter_map(
            |body| if let Body::Problem(problem) = body { Some((problem.code.name(), problem.detail.as_str())) } else { None },
        )
        .collect()
}
