//! Records from models.

use super::{MODELS_MAX, Model, device};
use crate::emit::Emit;
use jiff::Timestamp;
use model::provenance::Provenance;
use model::recognize::phone;
use model::record::{Account, Attachment, Call, Contact, ContactPoint, DeviceFact, Message, Participant, Record, Thread};
use model::{Code, Locator, Stamp, State};
use std::collections::{BTreeMap, HashSet};

/// Source of what names none.
const APP: &str = "UFDR";
/// Fields that hold who takes part.
const PARTIES: [&str; 6] = ["Participants", "Parties", "From", "To", "Cc", "Bcc"];

/// What was told: models that are open, and counts for the ledger.
pub struct Told<'r, 'e> {
    pub emit: &'r mut Emit<'e>,
    /// Field name and model, the outermost first.
    pub stack: Vec<(Option<String>, Model)>,
    /// Seen and told, by kind of model and record.
    counts: BTreeMap<(String, &'static str), (u64, u64)>,
    /// Models that the outermost one holds.
    held: usize,
    overfull: bool,
    places: HashSet<(String, u64)>,
}

impl<'r, 'e> Told<'r, 'e> {
    pub fn new(emit: &'r mut Emit<'e>) -> Told<'r, 'e> {
        let (counts, places) = (BTreeMap::new(), HashSet::new());
        Told { emit, stack: Vec::new(), counts, held: 0, overfull: false, places }
    }

    pub fn begin(&mut self, model: Model, field: Option<String>) {
        self.stack.push((field, model));
    }

    /// Ends the innermost model; true if nothing is held any more.
    pub fn end(&mut self, position: u64) -> bool {
        let Some((field, mut model)) = self.stack.pop() else { return true };
        model.length = position.saturating_sub(model.offset);
        let in_chat = self.stack.len() == 1 && self.stack.first().is_some_and(|(_, outer)| outer.kind == "Chat");
        if in_chat && model.kind == "InstantMessage" {
            let Some((_, mut chat)) = self.stack.pop() else { return true };
            // A chat's own fields stand before its messages.
            if !chat.told {
                self.chat(&chat);
                chat.told = true;
                chat.models.clear();
            }
            self.message(&model, Some(&chat));
            self.stack.push((None, chat));
            self.held = 0;
            return true;
        }
        if let Some((_, outer)) = self.stack.last_mut() {
            self.held += 1;
            if self.held <= MODELS_MAX {
                outer.models.push((field.unwrap_or_default(), model));
            } else if !std::mem::replace(&mut self.overfull, true) {
                let at = model.offset;
                self.emit.problem(Code::CapValue, format!("a model holds more than {MODELS_MAX} others at byte {at}"));
            }
            return false;
        }
        self.top(&model);
        (self.held, self.overfull) = (0, false);
        true
    }

    /// A model that lies in no other.
    fn top(&mut self, model: &Model) {
        match model.kind.as_str() {
            "Chat" if model.told => {}
            "Chat" => self.chat(model),
            "InstantMessage" | "SMS" | "MMS" | "Email" | "ChatMessage" => self.message(model, None),
            "Call" => self.call(model),
            "Contact" => self.contact(model, None),
            "UserAccount" => self.account(model),
            _ if self.further(model) => {}
            _ => self.count(&model.kind, "none", false),
        }
    }

    pub(super) fn count(&mut self, kind: &str, record: &'static str, told: bool) {
        // Kinds come from the report: what is no word of the format does not become one of the ledger.
        let known = kind.len() <= 64 && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let kind = if known { kind } else { "other" };
        let (seen, count) = self.counts.entry((kind.to_owned(), record)).or_default();
        *seen += 1;
        *count += u64::from(told);
    }

    /// How many records were told of everything.
    pub(super) fn told_so_far(&self) -> u64 {
        self.counts.values().map(|(_, told)| told).sum()
    }

    pub(super) fn provenance(&self, model: &Model) -> Provenance {
        Provenance { state: model.state, ..self.emit.provenance(model.place()) }
    }

    /// The provenance of a model that is a part of another: what was held for deleted is so with all its parts.
    pub(super) fn provenance_within(&self, model: &Model, within: &Model) -> Provenance {
        let state = if within.state == State::Recovered { within.state } else { model.state };
        Provenance { state, ..self.provenance(model) }
    }

    pub(super) fn put(&mut self, model: &Model, record: Record) {
        let kind = record.kind();
        let told = self.emit.record(record);
        self.count(&model.kind, kind, told);
    }

    fn chat(&mut self, chat: &Model) {
        let (app, thread_key) = (source(chat), key(chat));
        let thread = Thread {
            provenance: self.provenance(chat),
            app: app.clone(),
            thread_key: thread_key.clone(),
            name: text(chat, "Name"),
            thread_type: text(chat, "ChatType").map(|kind| kind.to_lowercase()),
            created: stamp(chat, "StartTime"),
            implied: false,
        };
        self.put(chat, Record::Thread(thread));
        for party in chat.inner(&PARTIES) {
            let Some(account_key) = text(party, "Identifier") else { continue };
            let (provenance, role) = (self.provenance(party), truth(party, "IsGroupAdmin") == Some(true));
            self.person(party, &app);
            let role = role.then(|| "admin".to_owned());
            let participant = Participant { provenance, app: app.clone(), thread_key: thread_key.clone(), account_key, role };
            self.put(party, Record::Participant(participant));
        }
    }

    /// An account of somebody who takes part; the first that tells of him counts.
    fn person(&mut self, party: &Model, app: &str) {
        let Some(account_key) = text(party, "Identifier") else { return };
        let account = Account {
            provenance: self.provenance(party),
            app: app.to_owned(),
            phone: international(&account_key),
            account_key,
            display_name: text(party, "Name"),
            is_owner: truth(party, "IsPhoneOwner"),
            same_as: None,
            phone_raw: None,
            about: None,
            chain: None,
            extra: None,
        };
        self.put(party, Record::Account(account));
    }

    fn message(&mut self, model: &Model, chat: Option<&Model>) {
        let own = text(model, "Source");
        // What stands in a chat belongs to it, whatever else the report calls it: that is kept beside.
        let app = chat.map(source).or_else(|| own.clone()).unwrap_or_else(|| model.kind.clone());
        let extra = beside(model, own.filter(|own| *own != app));
        let role = |wanted: &str| {
            let from = model.inner(&[wanted]).find_map(|party| text(party, "Identifier").or_else(|| text(party, "Name")));
            let parties = model.inner(&["Parties"]).filter(|party| party.value("Role").is_some_and(|role| role == wanted));
            from.or_else(|| parties.filter_map(|party| text(party, "Identifier").or_else(|| text(party, "Name"))).next())
        };
        let owner = model.inner(&["From"]).find_map(|party| truth(party, "IsPhoneOwner"));
        let folder = text(model, "Folder");
        let outgoing = owner.or(match folder.as_deref() {
            Some("Sent" | "Outbox") => Some(true),
            Some("Inbox") => Some(false),
            _ => None,
        });
        let (sender, recipient) = (role("From"), everybody(model, "To"));
        let other = if outgoing == Some(true) { recipient.clone() } else { sender.clone().or_else(|| recipient.clone()) };
        let quoted = model.inner(&["MessageExtraData"]).find(|extra| extra.kind == "QuotedMessageData");
        let forwarded = model.inner(&["MessageExtraData"]).any(|extra| extra.value("Label") == Some("Forwarded"));
        let record = Message {
            provenance: self.provenance(model),
            thread_key: chat.map(key).or(other),
            app,
            sender,
            recipient,
            outgoing,
            sent: stamp(model, "TimeStamp"),
            received: stamp(model, "DateDelivered"),
            edited: None,
            text: text(model, "Body"),
            subject: text(model, "Subject"),
            message_type: text(model, "Type"),
            message_key: text(model, "Identifier").or_else(|| Some(model.id.clone()).filter(|id| !id.is_empty())),
            quoted_key: quoted.and_then(|quoted| text(quoted, "OriginalMessageID").or_else(|| text(quoted, "ReferenceId"))),
            quoted_text: None,
            quoted_sender: None,
            forwarded: forwarded.then_some(true),
            status: text(model, "Status").or(folder),
            extra,
        };
        let place = model.place();
        self.put(model, Record::Message(Box::new(record)));
        for file in model.inner(&["Attachment", "Attachments"]) {
            self.attachment(file, &place, model);
        }
        for position in model.inner(&["Position"]) {
            self.location(position, model);
        }
        for contact in model.inner(&["SharedContacts"]) {
            self.contact(contact, Some(model));
        }
    }

    pub(super) fn attachment(&mut self, file: &Model, message: &Locator, model: &Model) {
        // A message names its only attachment in two fields.
        if !self.places.insert((file.id.clone(), model.offset)) && !file.id.is_empty() {
            return;
        }
        let attachment = Attachment {
            provenance: Provenance { state: model.state, ..self.provenance(file) },
            message: message.clone(),
            path: text(file, "Filename"),
            media_type: text(file, "ContentType"),
            sha256: None,
            size_bytes: None,
            name: text(file, "Title"),
            url: text(file, "URL"),
        };
        self.put(file, Record::Attachment(attachment));
    }

    fn call(&mut self, call: &Model) {
        let direction = text(call, "Type").or_else(|| text(call, "Direction"));
        let party = call.inner(&["Parties", "From", "To"]).find(|party| truth(party, "IsPhoneOwner") != Some(true));
        let remote = party.and_then(|party| text(party, "Identifier"));
        let record = Call {
            provenance: self.provenance(call),
            app: text(call, "Source").unwrap_or_else(|| "Phone".to_owned()),
            remote_phone: remote.as_deref().and_then(|raw| phone::normalize(raw, self.emit.region())),
            remote,
            remote_name: party.and_then(|party| text(party, "Name")),
            thread_key: None,
            outgoing: match direction.as_deref() {
                Some("Outgoing") => Some(true),
                Some("Incoming" | "Missed" | "Rejected") => Some(false),
                _ => None,
            },
            start: stamp(call, "TimeStamp"),
            duration_s: call.value("Duration").and_then(seconds),
            outcome: text(call, "Status").or(direction).map(|word| word.to_lowercase()),
            video: truth(call, "VideoCall"),
            call_key: text(call, "Identifier"),
        };
        self.put(call, Record::Call(Box::new(record)));
    }

    /// A contact of the address book, or one that a message carries.
    fn contact(&mut self, contact: &Model, message: Option<&Model>) {
        let place = contact.place();
        let own = self.provenance_within(contact, message.unwrap_or(contact));
        let state = own.state;
        let organization = contact.inner(&["Organizations"]).find_map(|unit| text(unit, "Name"));
        let source = text(contact, "Source").or_else(|| message.and_then(|message| text(message, "Source")));
        let record = Contact {
            provenance: own,
            app: source.unwrap_or_else(|| "Phonebook".to_owned()),
            display_name: text(contact, "Name"),
            organization,
            note: text(contact, "Notes"),
            extra: message.map(|message| serde_json::json!({ "shared_in_message": message.id }).to_string()),
        };
        self.put(contact, Record::Contact(record));
        for entry in contact.inner(&["Entries"]) {
            let Some(raw) = text(entry, "Value") else { continue };
            let kind = match entry.kind.as_str() {
                "PhoneNumber" => "phone",
                "EmailAddress" => "email",
                "WebAddress" => "url",
                "StreetAddress" => "address",
                _ => "handle",
            };
            let value = if kind == "phone" { phone::normalize(&raw, self.emit.region()) } else { None };
            let point = ContactPoint {
                provenance: Provenance { state, ..self.provenance(entry) },
                contact: place.clone(),
                kind: kind.to_owned(),
                value,
                raw,
                label: text(entry, "Category"),
            };
            self.put(entry, Record::ContactPoint(point));
        }
    }

    /// An account that is signed in on the device.
    fn account(&mut self, model: &Model) {
        let app = text(model, "ServiceType").unwrap_or_else(|| source(model));
        if let Some(word) = text(model, "Password") {
            self.secret(model, word, &["ServiceType", "ServerAddress", "Username", "Name"]);
        }
        let entry = model.inner(&["Entries"]).find_map(|entry| text(entry, "Value"));
        let Some(account_key) = text(model, "Username").or(entry).or_else(|| text(model, "Name")) else {
            return self.count(&model.kind, "account", false);
        };
        let account = Account {
            provenance: self.provenance(model),
            app,
            phone: international(&account_key),
            account_key,
            display_name: text(model, "Name"),
            is_owner: Some(true),
            same_as: None,
            phone_raw: None,
            about: None,
            chain: None,
            extra: None,
        };
        self.put(model, Record::Account(account));
    }

    /// A fact of the report's metadata.
    pub fn fact(&mut self, name: &str, raw: &str, offset: u64, end: u64) {
        let Some(kind) = device::kind_of(name).filter(|_| !raw.is_empty()) else { return };
        let provenance = self.emit.provenance(Locator::Bytes { offset, length: end.saturating_sub(offset) });
        let value = if kind == "phone_number" { phone::normalize(raw, self.emit.region()) } else { None };
        let (raw, label) = (raw.to_owned(), Some(name.to_owned()));
        let told = self.emit.record(Record::Device(DeviceFact { provenance, kind: kind.to_owned(), value, raw, label }));
        self.count("metadata", "device", told);
    }

    /// Writes the counts.
    pub fn finish(self) {
        for ((kind, record), (seen, told)) in self.counts {
            let reason = match record {
                _ if seen == told => None,
                "none" => Some("models of a kind that is not read".to_owned()),
                _ => Some("told before, without a key, or without what makes such a record".to_owned()),
            };
            self.emit.ledger(&kind, record, None, seen, told, reason);
        }
    }
}

pub(super) fn text(model: &Model, name: &str) -> Option<String> {
    model.value(name).filter(|value| !value.trim().is_empty()).map(str::to_owned)
}

pub(super) fn source(model: &Model) -> String {
    text(model, "Source").unwrap_or_else(|| APP.to_owned())
}

/// The key of a chat: the app's own, else the report's.
fn key(chat: &Model) -> String {
    text(chat, "Id").unwrap_or_else(|| chat.id.clone())
}

fn truth(model: &Model, name: &str) -> Option<bool> {
    match model.value(name)?.trim() {
        "True" | "true" => Some(true),
        "False" | "false" => Some(false),
        _ => None,
    }
}

/// Everybody with a role in a message, each once, in the report's order.
fn everybody(model: &Model, wanted: &str) -> Option<String> {
    let parties = model.inner(&["Parties"]).filter(|party| party.value("Role").is_some_and(|role| role == wanted));
    let names = [wanted];
    let all = model.inner(&names).chain(parties).filter_map(|party| text(party, "Identifier").or_else(|| text(party, "Name")));
    let mut keys: Vec<String> = Vec::new();
    for key in all {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    (!keys.is_empty()).then(|| keys.join(", "))
}

/// What a message tells beside: another source than its chat's, and who else got it.
fn beside(model: &Model, source: Option<String>) -> Option<String> {
    let more = [("source", source), ("cc", everybody(model, "Cc")), ("bcc", everybody(model, "Bcc"))];
    let object: serde_json::Map<String, serde_json::Value> =
        more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
    (!object.is_empty()).then(|| serde_json::Value::Object(object).to_string())
}

/// A time with its offset from UTC; one without keeps its raw text alone.
pub(super) fn stamp(model: &Model, name: &str) -> Option<Stamp> {
    let raw = text(model, name)?;
    let time: Option<Timestamp> = raw.trim().parse().ok();
    Some(Stamp::text(raw, time.map(Timestamp::as_microsecond)))
}

/// `hh:mm:ss`, with or without a fraction and days before it.
fn seconds(text: &str) -> Option<i64> {
    let (days, clock) = text.trim().split_once('.').filter(|(days, _)| !days.contains(':')).unwrap_or(("0", text.trim()));
    let clock = clock.split('.').next()?;
    let mut total: i64 = days.parse().ok()?;
    for (part, unit) in clock.split(':').zip([24, 60, 60]) {
        total = total.checked_mul(unit)?.checked_add(part.parse().ok()?)?;
    }
    (clock.split(':').count() == 3).then_some(total)
}

/// The number that is the account's own name: WhatsApp's, or one that is written internationally.
fn international(key: &str) -> Option<String> {
    let user = key.strip_suffix("@s.whatsapp.net").map(|user| format!("+{user}"));
    phone::normalize(user.as_deref().unwrap_or(key), None)
}
