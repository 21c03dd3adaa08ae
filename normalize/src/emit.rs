//! The one way out of a parser: records, problems and counts.

mod decoded;

pub use decoded::{Block, Part};

use crate::parse::Outcome;
use model::observable::{Encoding, Finder};
use model::provenance::Provenance;
use model::recognize::{Find, Found, find_in_text};
use model::record::{self, Record};
use model::{Body, Code, Definition, Digest, Id, Item, LedgerRow, Locator, Problem, Secret, Sighting, Stage, State, WorkUnit};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Where bodies go: the frame writer of the child process, or a vector in a test. False stops the parser (quota).
pub trait Outlet {
    /// Takes one body.
    fn put(&mut self, body: Body);
}

impl Outlet for Vec<Body> {
    fn put(&mut self, body: Body) {
        self.push(body);
    }
}

/// Collects what a parser says of one unit, finds observables in every text, and keeps ids distinct.
pub struct Emit<'a> {
    unit: &'a WorkUnit,
    /// What is reading now; the nil id before the first [`Emit::define`].
    definition: Id,
    /// Names of all that read the unit, in order.
    definitions: Vec<String>,
    outlet: &'a mut dyn Outlet,
    /// Threads told of, by id; true where a row of their own did.
    threads: HashMap<Id, bool>,
    implied: Vec<record::Thread>,
    /// App and key of the thread that was implied last: messages of one thread come in runs.
    last_thread: (String, String),
    accounts: HashSet<Id>,
    problems: HashSet<Id>,
    /// What was found in values of stores.
    valued: HashSet<Id>,
    flood: BTreeMap<Code, u64>,
    cap_problems: u64,
    /// How many bodies were put, by the item that announces them: the primary or a companion.
    announced: HashMap<Id, u64>,
}

/// Where something was found in the primary item.
struct Spot<'s> {
    finder: Finder,
    record: Option<Id>,
    field: &'s str,
    /// First byte and bytes in the item, where they are known.
    range: Option<(u64, u64)>,
    encoding: Encoding,
    row: Option<(String, i64)>,
}

impl<'a> Emit<'a> {
    /// Begins a unit that the definition or parser of that name and digest reads.
    pub fn new(unit: &'a WorkUnit, name: &str, sha256: Digest, cap_problems: u64, outlet: &'a mut dyn Outlet) -> Emit<'a> {
        let mut emit = Emit::open(unit, cap_problems, outlet);
        emit.define(name, sha256);
        emit
    }

    /// Begins a unit that nothing reads yet: its bytes are scanned, and definitions may follow ([`Emit::define`]).
    pub fn open(unit: &'a WorkUnit, cap_problems: u64, outlet: &'a mut dyn Outlet) -> Emit<'a> {
        Emit {
            unit,
            definition: Id::default(),
            definitions: Vec::new(),
            outlet,
            threads: HashMap::new(),
            implied: Vec::new(),
            last_thread: (String::new(), String::new()),
            accounts: HashSet::new(),
            problems: HashSet::new(),
            valued: HashSet::new(),
            flood: BTreeMap::new(),
            cap_problems,
            announced: HashMap::new(),
        }
    }

    /// From here on the definition or parser of that name and digest reads the unit, for the first time or again: records name it.
    pub fn define(&mut self, name: &str, sha256: Digest) {
        let definition = Definition::new(self.unit.primary.item.exhibit, name, sha256);
        self.definition = definition.id;
        if !self.definitions.iter().any(|known| known == name) {
            self.definitions.push(name.to_owned());
        }
        self.outlet.put(Body::Definition(definition));
    }

    /// The unit.
    pub fn unit(&self) -> &'a WorkUnit {
        self.unit
    }

    /// The region that national phone numbers are read as of, if configured.
    pub fn region(&self) -> Option<&'a str> {
        self.unit.region.as_deref()
    }

    /// The provenance of a live record at a place of the primary item.
    pub fn provenance(&self, locator: Locator) -> Provenance {
        let item = &self.unit.primary.item;
        Provenance { exhibit: item.exhibit, item: item.id, locator, state: State::Live, definition: self.definition, part: None }
    }

    /// Puts a record and the observables in its texts. False: a thread or account with that key was already told of, and the
    /// record counts as rejected (`duplicate_key`); the caller writes it in its ledger row.
    #[must_use]
    pub fn record(&mut self, record: Record) -> bool {
        match &record {
            Record::Thread(_) if self.threads.insert(record.id(), true) == Some(true) => return false,
            Record::Account(_) if !self.accounts.insert(record.id()) => return false,
            Record::Message(message) => {
                if let Some(key) = &message.thread_key {
                    self.imply_thread(&message.provenance, &message.app, key);
                }
            }
            _ => {}
        }
        self.find(&record);
        self.put(Body::Record(record));
        true
    }

    /// Remembers that a message names a thread, in case no row of its own does.
    fn imply_thread(&mut self, provenance: &Provenance, app: &str, key: &str) {
        if self.last_thread.1 == key && self.last_thread.0 == app && provenance.state == State::Live {
            return;
        }
        let id = record::thread_id(provenance, app, key);
        if provenance.state == State::Live {
            self.last_thread = (app.to_owned(), key.to_owned());
        }
        if self.threads.contains_key(&id) {
            return;
        }
        self.threads.insert(id, false);
        self.implied.push(record::Thread {
            provenance: provenance.clone(),
            app: app.to_owned(),
            thread_key: key.to_owned(),
            name: None,
            thread_type: None,
            created: None,
            implied: true,
        });
    }

    /// Finds observables and secrets in every text of a record.
    fn find(&mut self, record: &Record) {
        // The id costs a SHA-256: it is derived only where there is something to name it.
        let mut id = None;
        for (field, text) in record.texts() {
            for find in find_in_text(text) {
                let id = *id.get_or_insert_with(|| record.id());
                let body = self.found(record.provenance(), id, field, find);
                self.put(body);
            }
        }
    }

    fn found(&self, provenance: &Provenance, record: Id, field: &str, find: Find) -> Body {
        let row = provenance.locator.row().map(|(table, row_id)| (table.to_owned(), row_id));
        let spot = Spot { finder: Finder::Record, record: Some(record), field, range: None, encoding: Encoding::Utf8, row };
        self.seen(spot, find)
    }

    /// The sighting or secret that a find is, at its spot.
    fn seen(&self, spot: Spot<'_>, find: Find) -> Body {
        let Item { exhibit, id: item, .. } = self.unit.primary.item;
        let Spot { finder, record, field, range, encoding, row } = spot;
        let (field, field_offset) = (Some(field.to_owned()), Some(find.offset));
        let (byte_offset, byte_length) = (range.map(|range| range.0), range.map(|range| range.1));
        match find.found {
            Found::Observable(observable) => Body::Sighting(Box::new(Sighting {
                observable,
                exhibit,
                item,
                finder,
                record,
                field,
                field_offset,
                byte_offset,
                byte_length,
                encoding,
                row,
                support: find.support,
                context: find.context,
            })),
            Found::Secret { kind, value, detail } => Body::Secret(Box::new(Secret {
                exhibit,
                item,
                finder,
                kind,
                value,
                detail,
                record,
                field,
                field_offset,
                byte_offset,
                byte_length,
                row,
            })),
        }
    }

    /// Puts a sighting or secret that was found outside records (the cell scan); offsets must be distinct. Its item is the
    /// primary or one of the companions: whichever it names announces it.
    pub fn sighting(&mut self, body: Body) {
        self.put(body);
    }

    /// Puts a problem on the primary item. The same problem twice is one; past the cap of one code they are only counted.
    pub fn problem(&mut self, code: Code, detail: impl Into<String>) {
        let item = &self.unit.primary.item;
        let problem =
            Problem { exhibit: item.exhibit, item: Some(item.id), stage: Stage::Normalize, code, detail: detail.into() };
        let count = self.flood.entry(code).or_default();
        if *count >= self.cap_problems {
            *count += 1;
        } else if self.problems.insert(problem.id()) {
            *count += 1;
            self.put(Body::Problem(problem));
        }
    }

    /// Puts a count; the item and exhibit are the primary's.
    pub fn ledger(
        &mut self,
        source: &str,
        record_kind: &str,
        row_table: Option<&str>,
        rows_seen: u64,
        records: u64,
        reason: Option<String>,
    ) {
        let item = &self.unit.primary.item;
        let row = LedgerRow {
            exhibit: item.exhibit,
            item: item.id,
            source: source.to_owned(),
            record_kind: record_kind.to_owned(),
            row_table: row_table.map(str::to_owned),
            rows_seen,
            records,
            rejected: rows_seen.saturating_sub(records),
            reason,
        };
        self.put(Body::Ledger(row));
    }

    fn put(&mut self, body: Body) {
        if let Some(item) = body.item() {
            *self.announced.entry(item).or_default() += 1;
        }
        self.outlet.put(body);
    }

    /// Ends the unit: implied threads, the count of flooded problems, and the primary item and its companions with their status.
    pub fn finish(mut self, outcome: Outcome) {
        for thread in std::mem::take(&mut self.implied) {
            let id = |provenance: &Provenance| record::thread_id(provenance, &thread.app, &thread.thread_key);
            // What is not live belongs to the live thread of that key, if there is one.
            let lives = thread.provenance.state != State::Live
                && self.threads.contains_key(&id(&thread.provenance.of_state(State::Live)));
            if self.threads.get(&id(&thread.provenance)) == Some(&false) && !lives {
                self.put(Body::Record(Record::Thread(thread)));
            }
        }
        let flood: Vec<_> =
            self.flood.iter().filter(|(_, count)| **count > self.cap_problems).map(|(code, count)| (*code, *count)).collect();
        for (code, count) in flood {
            let item = &self.unit.primary.item;
            let detail = format!("{} more problems of code {}", count - self.cap_problems, code.name());
            let (exhibit, item) = (item.exhibit, Some(item.id));
            self.put(Body::Problem(Problem { exhibit, item, stage: Stage::Normalize, code: Code::Flood, detail }));
        }
        // Companions are read together with the primary item and end as it does.
        for staged in std::iter::once(&self.unit.primary).chain(&self.unit.companions) {
            let mut item = staged.item.clone();
            item.status = outcome.status;
            item.reason.clone_from(&outcome.reason);
            item.definition = (!self.definitions.is_empty()).then(|| self.definitions.join(", "));
            item.announced += self.announced.get(&item.id).copied().unwrap_or(0);
            self.outlet.put(Body::Item(Box::new(item)));
        }
    }
}
