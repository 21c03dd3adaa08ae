//! A UFDR that was unpacked into a folder of the evidence: `report.xml` and the files that it names beside it. They are children of the report under the
//! phone's paths, and no items under their names in the folder; the report itself is read like any other.

use super::{Inner, Take, Ufdr, join, report};
use crate::evidence::{Folder, Source};
use crate::open::{Container, Entry, Trouble, guard};
use crate::tasks::List;
use crate::walk::Listing;
use config::Settings;
use model::{Code, FileKind, Id, Problem, Stage};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Reports in a folder of the evidence, by their path.
pub type Reports = HashMap<Vec<u8>, Arc<dyn Container>>;

/// The files of a folder, by position.
struct OnDisk {
    root: Folder,
    folder: Vec<u8>,
    entries: Vec<Entry>,
}

/// The folder of a path that ends with a report's name, empty or with a slash at the end.
pub fn folder_of(path: &[u8]) -> Option<&[u8]> {
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (folder, name) = path.split_at_checked(start)?;
    super::is_report(name).then_some(folder)
}

/// Finds the reports among the files of a folder and takes the files that they name out of the list.
pub fn take_out(root: &Folder, exhibit: Id, listing: &mut Listing, settings: &Settings) -> Reports {
    let paths = (0..listing.count()).filter(|at| listing.kind(*at) == Some(FileKind::File)).map(|at| listing.path(at));
    let paths: Vec<Vec<u8>> = paths.filter(|path| folder_of(path).is_some()).map(<[u8]>::to_vec).collect();
    let mut reports = Reports::new();
    for path in paths {
        match open(root, &path, listing, settings) {
            Ok(Some((container, named))) => {
                listing.retain(&mut |path| !named.contains(path));
                reports.insert(path, Arc::new(container));
            }
            Ok(None) => {}
            Err(Trouble { code, detail }) => {
                let shown = model::text::escape_bytes(&path);
                let detail = format!("{shown}: {detail}: the files that the report names stay under their names in the folder");
                listing.problems.push(Problem { exhibit, item: None, stage: Stage::Ingest, code, detail });
            }
        }
    }
    reports
}

/// The files of a report, for going back to one of them.
pub fn reopen(root: &Folder, path: &[u8], listing: &Listing, settings: &Settings) -> Option<Arc<dyn Container>> {
    let opened = open(root, path, listing, settings).unwrap_or_default();
    opened.map(|(container, _)| Arc::new(container) as Arc<dyn Container>)
}

/// A report, and the paths in the listing of its files that are there.
type Opened = (Ufdr, HashSet<Vec<u8>>);

/// A report's files; `None` for a file of that name that is none.
fn open(root: &Folder, path: &[u8], listing: &Listing, settings: &Settings) -> Result<Option<Opened>, Trouble> {
    let Some(folder) = folder_of(path) else { return Ok(None) };
    let source = open_file(root, path)?;
    let read = guard(|| report::read(&mut source.reader(), settings.ingest.cap_entries));
    let read = read.ok_or_else(|| Trouble::new(Code::ContainerDamaged, "reader of the report gave up"))?;
    let Some(report) = read.filter(|report| !report.files.is_empty()) else { return Ok(None) };
    let below = (0..listing.count()).filter(|at| listing.kind(*at) == Some(FileKind::File));
    let below = below.filter_map(|at| {
        let path = listing.path(at).strip_prefix(folder)?.to_vec();
        Some(Entry { path, ..listing.entry(at) })
    });
    let on_disk = OnDisk { root: root.clone(), folder: folder.to_vec(), entries: below.collect() };
    let (entries, places) = join(&on_disk.entries, report.files);
    let restored = entries.into_iter().zip(places).filter(|(_, place)| !matches!(place, Inner::Archive(_)));
    let (entries, places): (Vec<Entry>, Vec<Inner>) = restored.unzip();
    let named = places.iter().filter_map(|place| match place {
        Inner::Restored(at, _) => Some([folder, on_disk.entries.get(*at)?.path.as_slice()].concat()),
        _ => None,
    });
    let named = named.collect();
    let ufdr = Ufdr { inner: Box::new(on_disk), entries, places, troubles: report.troubles, beside: true };
    Ok(Some((ufdr, named)))
}

fn open_file(root: &Folder, path: &[u8]) -> Result<Source, Trouble> {
    let opened = root.open_file(path).and_then(Source::file);
    opened.map_err(|error| Trouble::new(Code::Unreadable, format!("cannot be opened: {}", error.kind())))
}

impl Container for OnDisk {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn list(&self) -> Option<&[Entry]> {
        Some(&self.entries)
    }

    fn source(&self, index: usize) -> Option<Source> {
        // Why there is none is told when the entry is read.
        self.open(index).ok()
    }

    fn read(&self, index: usize, take: &mut Take<'_>) -> Result<Option<Trouble>, crate::Error> {
        match self.open(index) {
            Ok(source) => take(&mut source.reader()).map(|()| None),
            Err(trouble) => Ok(Some(trouble)),
        }
    }
}

impl OnDisk {
    fn open(&self, index: usize) -> Result<Source, Trouble> {
        let none = || Trouble::new(Code::ContainerDamaged, "no such entry");
        let path = [&self.folder[..], &self.entries.get(index).ok_or_else(none)?.path].concat();
        open_file(&self.root, &path)
    }
}
