//! What a device tells of itself, in files that are no databases: property lists of iOS and its backups, property files and
//! settings of Android. Each fact keeps its place; none is made of two.

use crate::emit::Emit;
use crate::parse::lines::Lines;
use crate::parse::{Input, Outcome};
use model::recognize::phone;
use model::record::{DeviceFact, Record};
use model::{Code, Locator};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader};

pub mod abx;
mod android;
mod dump;
mod ios;
mod persistent;
mod ufed;

pub use android::{AndroidProperties, AndroidSettings};
pub use dump::AndroidDump;
pub use ios::IosDevice;
pub use persistent::AndroidPersistent;
pub use ufed::Ufed;

/// Largest file of this kind that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Facts as they are found, and their count.
struct Facts<'e, 'u> {
    emit: &'e mut Emit<'u>,
    seen: u64,
    told: u64,
    /// Kind and place of every fact: one place tells a kind once.
    places: HashSet<(String, Vec<u8>)>,
}

impl<'e, 'u> Facts<'e, 'u> {
    fn new(emit: &'e mut Emit<'u>) -> Facts<'e, 'u> {
        Facts { emit, seen: 0, told: 0, places: HashSet::new() }
    }

    /// Tells a fact; an empty value is none.
    fn tell(&mut self, kind: &str, raw: &str, label: &str, place: Locator) {
        if raw.trim().is_empty() {
            return;
        }
        self.seen += 1;
        if !self.places.insert((kind.to_owned(), place.key())) {
            self.emit.problem(Code::DuplicateKey, format!("{kind} is told twice at one place"));
            return;
        }
        let value = if kind == "phone_number" { phone::normalize(raw.trim(), self.emit.region()) } else { None };
        let (raw, label) = (raw.to_owned(), Some(label.to_owned()));
        let provenance = self.emit.provenance(place);
        let fact = DeviceFact { provenance, kind: kind.to_owned(), value, raw, label };
        self.told += u64::from(self.emit.record(Record::Device(fact)));
    }

    /// Counts what was told.
    fn finish(self, source: &str) -> Outcome {
        let reason = (self.seen > self.told).then(|| "told twice at one place".to_owned());
        self.emit.ledger(source, "device", None, self.seen, self.told, reason);
        Outcome::parsed()
    }
}

/// Takes the facts of a line: kind, raw value, and what the evidence calls it.
type Tell<'t> = dyn FnMut(&str, &str, &str) + 't;

/// Reads a text line by line; `take` tells the facts of each.
fn by_lines(input: &Input<'_>, emit: &mut Emit<'_>, source: &str, take: &mut dyn FnMut(&str, &mut Tell<'_>)) -> Outcome {
    let cap = usize::try_from(input.limits.cap_value_bytes).unwrap_or(usize::MAX);
    let unreadable = |emit: &mut Emit<'_>, error: io::Error| {
        let detail = format!("reading failed: {}", error.kind());
        emit.problem(Code::Unreadable, detail.clone());
        Outcome::partial(detail)
    };
    let opened = File::open(input.folder.join("main")).and_then(|file| Lines::new(BufReader::new(file), cap));
    let mut lines = match opened {
        Ok(lines) => lines,
        Err(error) => return unreadable(emit, error),
    };
    let mut facts = Facts::new(emit);
    loop {
        match lines.next() {
            Ok(Some(line)) => take(&line.text, &mut |kind, raw, label| {
                let place = Locator::Line { line: line.number, offset: line.offset, length: line.length };
                facts.tell(kind, raw, label, place);
            }),
            Ok(None) => return facts.finish(source),
            Err(error) => {
                let failed = unreadable(facts.emit, error);
                facts.finish(source);
                return failed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Body, Record};

    /// Kind and raw value of every fact told.
    pub fn facts(bodies: &[Body]) -> Vec<(String, String)> {
        let facts =
            bodies.iter().filter_map(|body| if let Body::Record(Record::Device(fact)) = body { Some(fact) } else { None });
        facts.map(|fact| (fact.kind.clone(), fact.raw.clone())).collect()
    }
}
