//! Cellebrite UFDR: a zip whose `report.xml` tells which file of the phone each of its files is. The archive has them sorted into
//! folders by what they are (`files/Image/x.jpg`); restored are path, times and whether they were deleted, so that what knows an
//! app's files by their path finds them. The archive's own names are not lost: `report.xml` has them, and so has the zip's directory.

mod report;
pub mod unpacked;

use super::{Container, Entry, Ranges, Special, Trouble, Visitor, give_ordinals};
use crate::evidence::Source;
use config::Settings;
use model::{Code, FileKind};
use report::Tagged;
use std::collections::HashMap;
use std::io::{self, Read};

/// The report's name in the archive.
const REPORT: &[u8] = b"report.xml";

/// Whether a path in the archive is the report's.
fn is_report(path: &[u8]) -> bool {
    path.eq_ignore_ascii_case(REPORT)
}

type Take<'a> = dyn FnMut(&mut dyn Read) -> Result<(), crate::Error> + 'a;

/// Where an entry comes from.
#[derive(Clone, Copy)]
enum Inner {
    /// An entry of the archive, by its index.
    Archive(usize),
    /// An entry of the archive, and the size that the report tells of it.
    Restored(usize, Option<u64>),
    /// Another name of what is restored under its first.
    Again,
    /// Nothing: the report names a file that the archive does not have.
    Missing,
}

/// An archive with the paths of its report.
struct Ufdr {
    inner: Box<dyn Container>,
    entries: Vec<Entry>,
    places: Vec<Inner>,
    troubles: Vec<Trouble>,
    /// Whether its files lie beside the report, not in an archive.
    beside: bool,
}

/// The container itself, or with the paths restored that its report tells.
pub fn restore(inner: Box<dyn Container>, settings: &Settings) -> Box<dyn Container> {
    let Some(entries) = inner.list() else { return inner };
    let report = entries.iter().position(|entry| is_report(&entry.path) && entry.kind == Some(FileKind::File));
    let Some(report) = report else { return inner };
    let mut read = None;
    // What cannot be read of the report is told of when the report itself is read.
    let opened = inner.read(report, &mut |stream| {
        read = super::guard(|| report::read(stream, settings.ingest.cap_entries));
        Ok(())
    });
    match (opened, read) {
        (Ok(None), Some(Some(report))) if !report.files.is_empty() => {
            let mut troubles = inner.troubles().to_vec();
            troubles.extend(report.troubles);
            let (entries, places) = join(entries, report.files);
            Box::new(Ufdr { entries, places, troubles, inner, beside: false })
        }
        _ => inner,
    }
}

/// A name as it is compared: the report writes it as Windows does.
fn plain(name: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = name.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
    name.iter().position(|byte| *byte != b'/').and_then(|start| name.get(start..)).unwrap_or_default().to_vec()
}

/// The entries of the archive that the report does not name, then the files of the report in the order of their paths.
fn join(entries: &[Entry], tagged: Vec<Tagged>) -> (Vec<Entry>, Vec<Inner>) {
    let files = entries.iter().enumerate().filter(|(_, entry)| entry.kind == Some(FileKind::File) && entry.ordinal == 0);
    let names: HashMap<Vec<u8>, usize> = files.map(|(at, entry)| (plain(&entry.path), at)).collect();
    // The archive's entry that is restored under a path already, and under which.
    let mut taken: HashMap<usize, Vec<u8>> = HashMap::new();
    let mut restored = Vec::new();
    for file in tagged {
        let local = file.local.as_ref().map(|local| plain(local.as_bytes()));
        let found = local.as_ref().and_then(|local| names.get(local)).and_then(|at| Some((*at, entries.get(*at)?)));
        let path = plain(file.path.as_bytes());
        // Some files have no path but the archive's.
        if path.is_empty() || local.as_ref().is_some_and(|local| *local == path) {
            continue;
        }
        let mut entry = Entry {
            path,
            ordinal: 0,
            kind: Some(FileKind::File),
            size: file.size.unwrap_or(0),
            packed: None,
            mode: None,
            owner: None,
            times: file.times,
            link_target: None,
            deleted: file.deleted,
        };
        let place = match found {
            None => Inner::Missing,
            Some((at, lies)) => {
                entry.size = lies.size;
                entry.packed = lies.packed;
                match taken.get(&at) {
                    None => {
                        taken.insert(at, entry.path.clone());
                        Inner::Restored(at, file.size)
                    }
                    Some(first) => {
                        (entry.kind, entry.link_target) = (Some(FileKind::Hardlink), Some(first.clone()));
                        Inner::Again
                    }
                }
            }
        };
        restored.push((entry, place));
    }
    restored.sort_by(|(a, _), (b, _)| (&a.path, a.deleted).cmp(&(&b.path, b.deleted)));
    let rest = entries.iter().enumerate().filter(|(at, _)| !taken.contains_key(at));
    let rest = rest.map(|(at, entry)| (entry.clone(), Inner::Archive(at)));
    let (mut list, places): (Vec<Entry>, Vec<Inner>) = rest.chain(restored).unzip();
    give_ordinals(&mut list);
    (list, places)
}

impl Ufdr {
    fn archived(&self, index: usize) -> Option<usize> {
        match self.places.get(index)? {
            Inner::Archive(at) | Inner::Restored(at, _) => Some(*at),
            Inner::Again | Inner::Missing => None,
        }
    }
}

impl Container for Ufdr {
    fn name(&self) -> &'static str {
        "ufdr"
    }

    fn list(&self) -> Option<&[Entry]> {
        Some(&self.entries)
    }

    fn beside(&self) -> bool {
        self.beside
    }

    fn told(&self) -> Option<u64> {
        let listed = self.inner.list().map_or(0, <[Entry]>::len) as u64;
        self.inner.told().map(|told| told.saturating_sub(listed).saturating_add(self.entries.len() as u64))
    }

    fn notes(&self, index: usize) -> Vec<Trouble> {
        let mut notes = self.archived(index).map(|at| self.inner.notes(at)).unwrap_or_default();
        if let (Some(Inner::Restored(_, Some(told))), Some(entry)) = (self.places.get(index), self.entries.get(index))
            && entry.size != *told
        {
            let lies = if self.beside { "its file has" } else { "the archive of" };
            let detail = format!("report tells of {told} bytes, {lies} {}", entry.size);
            notes.push(Trouble::new(Code::HeaderMismatch, detail));
        }
        notes
    }

    fn special(&self, index: usize) -> Option<Special> {
        self.inner.special(self.archived(index)?)
    }

    fn source(&self, index: usize) -> Option<Source> {
        self.inner.source(self.archived(index)?)
    }

    fn stored(&self, index: usize) -> Option<(u64, u64, bool)> {
        self.inner.stored(self.archived(index)?)
    }

    fn uncovered(&self) -> Option<Ranges> {
        self.inner.uncovered()
    }

    fn volume_bytes(&self) -> u64 {
        self.inner.volume_bytes()
    }

    fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    fn read(&self, index: usize, take: &mut Take<'_>) -> Result<Option<Trouble>, crate::Error> {
        match self.places.get(index) {
            Some(Inner::Archive(at) | Inner::Restored(at, _)) => self.inner.read(*at, take),
            Some(Inner::Again) => take(&mut io::empty()).map(|()| None),
            Some(Inner::Missing) => Ok(Some(Trouble::new(
                Code::Missing,
                if self.beside {
                    "the report names it, but it is not beside it"
                } else {
                    "the report names it, but it is not in the archive"
                },
            ))),
            None => Ok(Some(Trouble::new(Code::ContainerDamaged, "no such entry"))),
        }
    }

    fn visit(&self, visitor: &mut Visitor<'_>) -> Result<Option<Trouble>, crate::Error> {
        self.inner.visit(visitor)
    }
}
