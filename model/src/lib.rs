//! The nouns of Haul: exhibit, item, record, observable, provenance, problem, ledger and their wire form.
//!
//! Reads and writes nothing: no file, no clock, no environment, no network. Every worker speaks in these types,
//! so a value means the same on a topic, in the working store and in a sealed bundle.
//!
//! Guarantees: ids derive from content only ([`id`]); every noun encodes to the same bytes on every machine
//! ([`wire`]); a time keeps the raw value it came from ([`time`]).

pub mod exhibit;
pub mod id;
pub mod item;
pub mod ledger;
pub mod observable;
pub mod plist;
pub mod problem;
pub mod provenance;
pub mod recognize;
pub mod record;
pub mod text;
pub mod time;
pub mod unit;
pub mod wire;

pub use exhibit::{Exhibit, ExhibitEnd};
pub use id::{Digest, Id};
pub use item::{Directory, FileKind, Item, ItemStatus};
pub use ledger::LedgerRow;
pub use observable::{Observable, ObservableKind, Secret, SecretKind, Sighting, Validity};
pub use problem::{Code, Problem, Stage};
pub use provenance::{Definition, Locator, Provenance, State};
pub use record::Record;
pub use time::{RawTime, Stamp, TimeUnit};
pub use unit::{StagedItem, WorkUnit};
pub use wire::{Body, Entry, Kind};
