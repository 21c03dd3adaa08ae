//! What a device tells of itself, in files that are no databases: property lists of iOS and its backups, property files and
//! settings of Android. Each fact keeps its place; none is made of two.

use crate::emit::Emit;
use crate::parse::Outcome;
use model::recognize::phone;
use model::record::{DeviceFact, Record};
use model::{Code, Locator};
use std::collections::HashSet;

pub mod abx;
mod android;
mod ios;
mod persistent;
mod ufed;

pub use android::{AndroidProperties, AndroidSettings};
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
