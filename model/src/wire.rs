//! The wire form: what travels on topics and rests in the working store.
//!
//! A [`Batch`] is one message: a version byte, then postcard (a stable, documented, compact serde format). An [`Entry`]
//! carries its body encoded, so that a sink can store it without decoding; [`Entry::open`] decodes and checks that the
//! header tells the truth about the body.

use crate::exhibit::{Exhibit, ExhibitEnd};
use crate::id::Id;
use crate::item::{Directory, Item};
use crate::ledger::LedgerRow;
use crate::observable::{Secret, Sighting};
use crate::problem::Problem;
use crate::provenance::Definition;
use crate::record::Record;
use crate::unit::WorkUnit;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// First byte of every encoded message.
pub const WIRE_VERSION: u8 = 1;

/// Anything a sink can hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Body {
    /// An exhibit.
    Exhibit(Exhibit),
    /// An item with its final status.
    Item(Box<Item>),
    /// A directory.
    Directory(Box<Directory>),
    /// A definition that was used.
    Definition(Definition),
    /// A record.
    Record(Record),
    /// A sighting with its observable.
    Sighting(Box<Sighting>),
    /// A secret.
    Secret(Box<Secret>),
    /// A problem.
    Problem(Problem),
    /// A count.
    Ledger(LedgerRow),
    /// The end of an exhibit.
    End(ExhibitEnd),
}

/// The kind of an entry: its place in the canonical order of a bundle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// An [`Exhibit`].
    Exhibit,
    /// An [`Item`].
    Item,
    /// A [`Directory`].
    Directory,
    /// A [`Definition`].
    Definition,
    /// A thread.
    Thread,
    /// An account.
    Account,
    /// A participant.
    Participant,
    /// A message.
    Message,
    /// A contact.
    Contact,
    /// A contact point.
    ContactPoint,
    /// A call.
    Call,
    /// An attachment.
    Attachment,
    /// A visit.
    Visit,
    /// A location.
    Location,
    /// A sighting.
    Sighting,
    /// A secret.
    Secret,
    /// A problem.
    Problem,
    /// A ledger row.
    Ledger,
    /// The end of an exhibit.
    End,
    /// A fact of a device.
    Device,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 20] = [
        Kind::Exhibit,
        Kind::Item,
        Kind::Directory,
        Kind::Definition,
        Kind::Thread,
        Kind::Account,
        Kind::Participant,
        Kind::Message,
        Kind::Contact,
        Kind::ContactPoint,
        Kind::Call,
        Kind::Attachment,
        Kind::Visit,
        Kind::Location,
        Kind::Sighting,
        Kind::Secret,
        Kind::Problem,
        Kind::Ledger,
        Kind::End,
        Kind::Device,
    ];
}

impl Body {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Body::Exhibit(_) => Kind::Exhibit,
            Body::Item(_) => Kind::Item,
            Body::Directory(_) => Kind::Directory,
            Body::Definition(_) => Kind::Definition,
            Body::Record(Record::Thread(_)) => Kind::Thread,
            Body::Record(Record::Account(_)) => Kind::Account,
            Body::Record(Record::Participant(_)) => Kind::Participant,
            Body::Record(Record::Message(_)) => Kind::Message,
            Body::Record(Record::Contact(_)) => Kind::Contact,
            Body::Record(Record::ContactPoint(_)) => Kind::ContactPoint,
            Body::Record(Record::Call(_)) => Kind::Call,
            Body::Record(Record::Attachment(_)) => Kind::Attachment,
            Body::Record(Record::Device(_)) => Kind::Device,
            Body::Record(Record::Visit(_)) => Kind::Visit,
            Body::Record(Record::Location(_)) => Kind::Location,
            Body::Sighting(_) => Kind::Sighting,
            Body::Secret(_) => Kind::Secret,
            Body::Problem(_) => Kind::Problem,
            Body::Ledger(_) => Kind::Ledger,
            Body::End(_) => Kind::End,
        }
    }

    /// Its id.
    pub fn id(&self) -> Id {
        match self {
            Body::Exhibit(exhibit) => exhibit.id,
            Body::Item(item) => item.id,
            Body::Directory(directory) => directory.id,
            Body::Definition(definition) => definition.id,
            Body::Record(record) => record.id(),
            Body::Sighting(sighting) => sighting.id(),
            Body::Secret(secret) => secret.id(),
            Body::Problem(problem) => problem.id(),
            Body::Ledger(row) => row.id(),
            Body::End(end) => end.exhibit,
        }
    }

    /// Its exhibit.
    pub fn exhibit(&self) -> Id {
        match self {
            Body::Exhibit(exhibit) => exhibit.id,
            Body::Item(item) => item.exhibit,
            Body::Directory(directory) => directory.exhibit,
            Body::Definition(definition) => definition.exhibit,
            Body::Record(record) => record.provenance().exhibit,
            Body::Sighting(sighting) => sighting.exhibit,
            Body::Secret(secret) => secret.exhibit,
            Body::Problem(problem) => problem.exhibit,
            Body::Ledger(row) => row.exhibit,
            Body::End(end) => end.exhibit,
        }
    }

    /// The item that announces it ([`Item::announced`]); `None` for what no item counts.
    pub fn item(&self) -> Option<Id> {
        match self {
            Body::Record(record) => Some(record.provenance().item),
            Body::Sighting(sighting) => Some(sighting.item),
            Body::Secret(secret) => Some(secret.item),
            Body::Problem(problem) => problem.item,
            Body::Ledger(row) => Some(row.item),
            Body::Exhibit(_) | Body::Item(_) | Body::Directory(_) | Body::Definition(_) | Body::End(_) => None,
        }
    }
}

/// One encoded body with what a sink must know of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: Id,
    /// Its exhibit.
    pub exhibit: Id,
    /// The item that announces it.
    pub item: Option<Id>,
    /// The encoded [`Body`].
    #[serde(with = "whole")]
    pub body: Vec<u8>,
}

impl Entry {
    /// Encodes a body.
    pub fn new(body: &Body) -> Entry {
        Entry { kind: body.kind(), id: body.id(), exhibit: body.exhibit(), item: body.item(), body: to_bytes(body) }
    }

    /// Decodes the body and checks the header against it.
    pub fn open(&self) -> Result<Body, WireError> {
        let body: Body = from_bytes(&self.body)?;
        let same = body.kind() == self.kind && body.id() == self.id && body.exhibit() == self.exhibit && body.item() == self.item;
        if same { Ok(body) } else { Err(WireError::Header) }
    }
}

/// Entries of one exhibit that travel as one message.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Batch {
    /// The entries, in the order they were made.
    pub entries: Vec<Entry>,
}

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No bytes, or an unknown version.
    #[error("unknown wire version {0:?}")]
    Version(Option<u8>),
    /// Not the encoding of the expected type.
    #[error("not decodable: {0}")]
    Postcard(#[from] postcard::Error),
    /// Bytes follow the value.
    #[error("{0} bytes after the value")]
    Trailing(usize),
    /// The header of an entry contradicts its body.
    #[error("entry header contradicts its body")]
    Header,
}

/// Encodes a [`Batch`] as a message.
pub fn encode_batch(batch: &Batch) -> Vec<u8> {
    with_version(to_bytes(batch))
}

/// Decodes a message into a [`Batch`]; every entry is opened once, so that what passes is valid.
pub fn decode_batch(bytes: &[u8]) -> Result<Batch, WireError> {
    let batch: Batch = from_bytes(strip_version(bytes)?)?;
    batch.entries.iter().try_for_each(|entry| entry.open().map(drop))?;
    Ok(batch)
}

/// Encodes a [`WorkUnit`] as a message.
pub fn encode_unit(unit: &WorkUnit) -> Vec<u8> {
    with_version(to_bytes(unit))
}

/// Decodes a message into a [`WorkUnit`].
pub fn decode_unit(bytes: &[u8]) -> Result<WorkUnit, WireError> {
    from_bytes(strip_version(bytes)?)
}

fn with_version(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.insert(0, WIRE_VERSION);
    bytes
}

fn strip_version(bytes: &[u8]) -> Result<&[u8], WireError> {
    match bytes.split_first() {
        Some((&WIRE_VERSION, rest)) => Ok(rest),
        other => Err(WireError::Version(other.map(|(version, _)| *version))),
    }
}

/// Bytes that hold most values: a vector that grows from nothing is copied again and again.
const ROOM: usize = 512;

/// Encodes a value without version byte.
pub fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    // Our types have no maps of unknown length and no failing serializers, and a Vec grows: this cannot fail.
    #[allow(clippy::expect_used)]
    postcard::to_extend(value, Vec::with_capacity(ROOM)).expect("plain data always encodes")
}

/// Decodes a value and refuses bytes that follow it.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(WireError::Trailing(rest.len())) }
}

/// Bytes as one string of them: serde takes a `Vec<u8>` for a list and would go through it byte by byte. Postcard writes both alike.
mod whole {
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;
    use std::fmt;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }

        deserializer.deserialize_bytes(Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Code, Stage};

    fn problem() -> Body {
        Body::Problem(Problem {
            exhibit: Id([1; 16]),
            item: None,
            stage: Stage::Ingest,
            code: Code::Unreadable,
            detail: "x".into(),
        })
    }

    #[test]
    fn batches_survive_the_wire() {
        let batch = Batch { entries: vec![Entry::new(&problem())] };
        let bytes = encode_batch(&batch);
        assert_eq!(decode_batch(&bytes).unwrap(), batch);
        assert!(decode_batch(&bytes[1..]).is_err());
        assert!(decode_batch(&[bytes.clone(), vec![0]].concat()).is_err());
    }

    #[test]
    fn a_body_is_written_as_a_list_of_bytes_would_be() {
        let entry = Entry::new(&problem());
        let Entry { kind, id, exhibit, item, body } = &entry;
        assert_eq!(to_bytes(&entry), to_bytes(&(kind, id, exhibit, item, body)));
        assert_eq!(from_bytes::<Entry>(&to_bytes(&entry)).unwrap(), entry);
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let mut entry = Entry::new(&problem());
        entry.id = Id([9; 16]);
        assert!(matches!(entry.open(), Err(WireError::Header)));
    }
}
