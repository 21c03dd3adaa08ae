//! Records: one normalized observation each.

use crate::id::Id;
use crate::provenance::{Locator, Provenance};
use crate::time::Stamp;
use serde::{Deserialize, Serialize};

/// A normalized observation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// A conversation.
    Thread(Thread),
    /// An account of an app: the owner's or somebody else's.
    Account(Account),
    /// An account that takes part in a thread.
    Participant(Participant),
    /// A message.
    Message(Box<Message>),
    /// An address-book entry.
    Contact(Contact),
    /// A number, address or handle of a contact.
    ContactPoint(ContactPoint),
    /// A call.
    Call(Box<Call>),
    /// A file that belongs to a message.
    Attachment(Attachment),
    /// A fact that a device tells of itself.
    Device(DeviceFact),
    /// A page that a browser showed, or a file it fetched.
    Visit(Box<Visit>),
    /// A place where the device, or what it speaks of, was.
    Location(Box<Location>),
}

/// A conversation. Its id derives from exhibit, item, app and key, so that messages can name it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Thread {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The app.
    pub app: String,
    /// The app's own key of the conversation (a jid, a chat id, …).
    pub thread_key: String,
    /// Its name or subject.
    pub name: Option<String>,
    /// `direct`, `group`, `channel`, … where the app says so.
    pub thread_type: Option<String>,
    /// When it was created.
    pub created: Option<Stamp>,
    /// True where only its messages tell of it: no row of its own.
    pub implied: bool,
}

/// An account of an app.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The app.
    pub app: String,
    /// The app's own id of the account (a jid, a user id, …).
    pub account_key: String,
    /// The name the evidence gives it.
    pub display_name: Option<String>,
    /// Whether it belongs to the device's owner, where the evidence says so.
    pub is_owner: Option<bool>,
    /// A second id that the evidence itself maps to the same account (WhatsApp's `@lid` to its number).
    pub same_as: Option<String>,
    /// Its phone number in E.164, where the evidence gives it with its country.
    pub phone: Option<String>,
    /// Its phone number as the evidence has it.
    pub phone_raw: Option<String>,
    /// What it says of itself.
    pub about: Option<String>,
}

/// An account that takes part in a thread.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Participant {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The app.
    pub app: String,
    /// Key of the thread.
    pub thread_key: String,
    /// Key of the account.
    pub account_key: String,
    /// `admin`, `member`, … where the app says so.
    pub role: Option<String>,
}

/// A message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The app.
    pub app: String,
    /// Key of its thread; `None` where the evidence has lost it.
    pub thread_key: Option<String>,
    /// Key or name of who sent it; `None` for the owner where the app does not say.
    pub sender: Option<String>,
    /// Whom it was sent to, where the app says so apart from the thread.
    pub recipient: Option<String>,
    /// True if the owner sent it, false if not, `None` where it is not known.
    pub outgoing: Option<bool>,
    /// When it was sent.
    pub sent: Option<Stamp>,
    /// When it was received.
    pub received: Option<Stamp>,
    /// When it was edited last.
    pub edited: Option<Stamp>,
    /// Its text.
    pub text: Option<String>,
    /// Its subject.
    pub subject: Option<String>,
    /// `text`, `image`, `system`, …; the app's own number as `type:N` where Haul knows no word.
    pub message_type: Option<String>,
    /// The app's own key of the message.
    pub message_key: Option<String>,
    /// The app's own key of the message it quotes.
    pub quoted_key: Option<String>,
    /// The text it quotes.
    pub quoted_text: Option<String>,
    /// Who wrote the quoted text.
    pub quoted_sender: Option<String>,
    /// True if it was forwarded.
    pub forwarded: Option<bool>,
    /// Delivery state, folder, … as the app says.
    pub status: Option<String>,
    /// Anything else as one JSON object (candidates of an ambiguous date, an action's details, …).
    pub extra: Option<String>,
}

/// An address-book entry.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Contact {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The app.
    pub app: String,
    /// The name the owner or program gave it.
    pub display_name: Option<String>,
    /// Organisation.
    pub organization: Option<String>,
    /// Notes.
    pub note: Option<String>,
    /// Anything else as one JSON object.
    pub extra: Option<String>,
}

/// A number, address or handle of a contact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ContactPoint {
    /// Where it comes from.
    pub provenance: Provenance,
    /// Place of the contact it belongs to, in the same item.
    pub contact: Locator,
    /// `phone`, `email`, `url`, `address`, `handle`, …
    pub kind: String,
    /// Normalized: E.164 for phone numbers whose country is known, else `None`.
    pub value: Option<String>,
    /// As the evidence has it.
    pub raw: String,
    /// `home`, `work`, …
    pub label: Option<String>,
}

/// A call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The app.
    pub app: String,
    /// The other side, as the evidence has it.
    pub remote: Option<String>,
    /// The other side's number in E.164, where its country is known.
    pub remote_phone: Option<String>,
    /// The name the evidence gives the other side.
    pub remote_name: Option<String>,
    /// Key of the group, for group calls.
    pub thread_key: Option<String>,
    /// True if the owner called.
    pub outgoing: Option<bool>,
    /// When it began.
    pub start: Option<Stamp>,
    /// How long it lasted, seconds.
    pub duration_s: Option<i64>,
    /// `answered`, `missed`, `refused`, `unavailable`, …; the app's own number as `result:N` else.
    pub outcome: Option<String>,
    /// True for a video call.
    pub video: Option<bool>,
    /// The app's own key of the call.
    pub call_key: Option<String>,
}

/// A file that belongs to a message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// Where it comes from.
    pub provenance: Provenance,
    /// Place of its message, in the same item.
    pub message: Locator,
    /// Path as the app wrote it.
    pub path: Option<String>,
    /// Media type as the app wrote it.
    pub media_type: Option<String>,
    /// SHA-256 the app claims, lower-case hex.
    pub sha256: Option<String>,
    /// Size the app claims, bytes.
    pub size_bytes: Option<i64>,
    /// Caption or original name.
    pub name: Option<String>,
    /// Where the app fetched it from.
    pub url: Option<String>,
}

/// A fact that a device tells of itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeviceFact {
    /// Where it comes from.
    pub provenance: Provenance,
    /// `manufacturer`, `model`, `product`, `name`, `imei`, `meid`, `serial`, `os`, `os_version`, `os_build`, `phone_number`,
    /// `iccid`, `imsi`, `time_zone`, `account`, `device_id`, `mac_address`, `last_backup`, …
    pub kind: String,
    /// Normalized, where the evidence leaves no doubt (E.164 of an international number); else `None`.
    pub value: Option<String>,
    /// As the evidence has it.
    pub raw: String,
    /// What the evidence calls it: `ro.product.model`, `Phone Number`, a SIM's name, an account's type, …
    pub label: Option<String>,
}

/// A page that a browser showed, or a file it fetched.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Visit {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The app.
    pub app: String,
    /// Address of the page or file.
    pub url: Option<String>,
    /// Title of the page.
    pub title: Option<String>,
    /// When.
    pub visited: Option<Stamp>,
    /// How the browser came there: `link`, `typed`, `reload`, `download`, …; the app's own number as `type:N` else.
    pub transition: Option<String>,
    /// True if the user typed the address.
    pub typed: Option<bool>,
    /// Address of the page that led there.
    pub referrer: Option<String>,
    /// Anything else as one JSON object (search terms, target path of a download, …).
    pub extra: Option<String>,
}

/// A place where the device, or what it speaks of, was.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Location {
    /// Where it comes from.
    pub provenance: Provenance,
    /// The app.
    pub app: String,
    /// Degrees north in WGS 84, as a decimal number in text: the shortest that gives back the evidence's own number.
    pub latitude: Option<String>,
    /// Degrees east in WGS 84, as a decimal number in text.
    pub longitude: Option<String>,
    /// Radius in which the place is, metres, as a decimal number in text.
    pub accuracy_m: Option<String>,
    /// When.
    pub located: Option<Stamp>,
    /// What told the place: `cell`, `wifi`, `gps`, `visit`, …
    pub source: Option<String>,
    /// What the evidence calls the place: a name, a network's hardware address, …
    pub label: Option<String>,
    /// Anything else as one JSON object.
    pub extra: Option<String>,
}

impl Record {
    /// The word that is the record's table and part of its id.
    pub fn kind(&self) -> &'static str {
        match self {
            Record::Thread(_) => "thread",
            Record::Account(_) => "account",
            Record::Participant(_) => "participant",
            Record::Message(_) => "message",
            Record::Contact(_) => "contact",
            Record::ContactPoint(_) => "contact_point",
            Record::Call(_) => "call",
            Record::Attachment(_) => "attachment",
            Record::Device(_) => "device",
            Record::Visit(_) => "visit",
            Record::Location(_) => "location",
        }
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Provenance {
        match self {
            Record::Thread(record) => &record.provenance,
            Record::Account(record) => &record.provenance,
            Record::Participant(record) => &record.provenance,
            Record::Message(record) => &record.provenance,
            Record::Contact(record) => &record.provenance,
            Record::ContactPoint(record) => &record.provenance,
            Record::Call(record) => &record.provenance,
            Record::Attachment(record) => &record.provenance,
            Record::Device(record) => &record.provenance,
            Record::Visit(record) => &record.provenance,
            Record::Location(record) => &record.provenance,
        }
    }

    /// Its id.
    pub fn id(&self) -> Id {
        match self {
            Record::Thread(record) => record.id(),
            Record::Account(record) => record.id(),
            Record::Device(record) => record.id(),
            _ => self.provenance().record_id(self.kind()),
        }
    }

    /// Every text in which observables are looked for: field name and text.
    pub fn texts(&self) -> Vec<(&'static str, &str)> {
        let fields: Vec<(&'static str, &Option<String>)> = match self {
            Record::Thread(record) => vec![("name", &record.name)],
            Record::Account(record) => {
                vec![("display_name", &record.display_name), ("phone", &record.phone), ("about", &record.about)]
            }
            Record::Participant(_) => vec![],
            Record::Message(record) => vec![
                ("text", &record.text),
                ("subject", &record.subject),
                ("quoted_text", &record.quoted_text),
                ("extra", &record.extra),
            ],
            Record::Contact(record) => vec![
                ("display_name", &record.display_name),
                ("organization", &record.organization),
                ("note", &record.note),
                ("extra", &record.extra),
            ],
            Record::ContactPoint(record) => vec![("value", &record.value)],
            Record::Call(record) => vec![("remote_phone", &record.remote_phone), ("remote_name", &record.remote_name)],
            Record::Device(record) => vec![("value", &record.value)],
            Record::Attachment(record) => vec![("path", &record.path), ("name", &record.name), ("url", &record.url)],
            Record::Visit(record) => {
                vec![("url", &record.url), ("title", &record.title), ("referrer", &record.referrer), ("extra", &record.extra)]
            }
            Record::Location(record) => vec![("label", &record.label), ("extra", &record.extra)],
        };
        let mut texts: Vec<_> = fields.into_iter().filter_map(|(name, text)| text.as_deref().map(|text| (name, text))).collect();
        if let Record::ContactPoint(point) = self
            && point.value.is_none()
        {
            texts.push(("raw", &point.raw));
        }
        // Serial numbers and the like look like anything: only what names a person is searched.
        if let Record::Device(fact) = self
            && fact.value.is_none()
            && ["account", "name", "phone_number"].contains(&fact.kind.as_str())
        {
            texts.push(("raw", &fact.raw));
        }
        texts
    }
}

impl Thread {
    /// Its id.
    pub fn id(&self) -> Id {
        version_id("thread", &self.provenance, thread_id(&self.provenance, &self.app, &self.thread_key))
    }
}

impl Account {
    /// Its id.
    pub fn id(&self) -> Id {
        version_id("account", &self.provenance, account_id(&self.provenance, &self.app, &self.account_key))
    }
}

/// The id of what is named by its key: that of the key, or that of the place for a further version.
fn version_id(kind: &str, provenance: &Provenance, keyed: Id) -> Id {
    match &provenance.locator {
        Locator::Carved(carved) if carved.version => Id::derive(kind, &[keyed.bytes(), &provenance.locator.key()]),
        _ => keyed,
    }
}

impl DeviceFact {
    /// Its id: one place of the evidence can tell several facts.
    pub fn id(&self) -> Id {
        self.provenance.record_id(&format!("device.{}", self.kind))
    }
}

/// The id of the thread with that key in the record's item.
pub fn thread_id(provenance: &Provenance, app: &str, thread_key: &str) -> Id {
    keyed_id("thread", provenance, app, thread_key)
}

/// The id of the account with that key in the record's item.
pub fn account_id(provenance: &Provenance, app: &str, account_key: &str) -> Id {
    keyed_id("account", provenance, app, account_key)
}

fn keyed_id(kind: &str, provenance: &Provenance, app: &str, key: &str) -> Id {
    let state = provenance.state.name().as_bytes();
    Id::derive(kind, &[provenance.exhibit.bytes(), provenance.item.bytes(), app.as_bytes(), key.as_bytes(), state])
}
