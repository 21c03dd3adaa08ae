//! Messages, contacts and entries of calendars as Outlook's properties (MS-OXPROPS), wherever they were kept: in a `.msg` file or a store.

use super::message::APP;
use crate::emit::Emit;
use crate::parse::document::{charset, html};
use encoding_rs::Encoding;
use model::record::{Account, Attachment, Message, Participant, Record, Thread};
use model::{Code, Digest, Locator, Stamp, State};
use names::Names;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

mod contact;
pub mod names;

/// A text of two bytes a character.
pub const WIDE: u16 = 0x1f;
/// A text in the message's code page.
pub const NARROW: u16 = 0x1e;
/// Bytes.
pub const BINARY: u16 = 0x102;
/// Kinds of fixed length that numbers are read from.
pub const NUMBERS: &[u16] = &[0x02, 0x03, 0x05, 0x06, 0x07, 0x0a, 0x0b, 0x14, 0x40];
/// Microseconds between 1601-01-01 and 1970-01-01.
const FILETIME_EPOCH_US: i64 = 11_644_473_600 * 1_000_000;
/// The roles of people, by the number that a recipient has (MS-OXOMSG, 2.2.3.1.2).
const ROLES: &[(u64, &str)] = &[(1, "to"), (2, "cc"), (3, "bcc")];
/// Set in a message's flags where its owner sent it, or has not yet (`mfFromMe`, `mfUnsent`; MS-OXCMSG, 2.2.1.6).
const FROM_ME: u64 = 0x20;
const UNSENT: u64 = 0x8;

/// Properties by number and kind.
#[derive(Default)]
pub struct Bag<'s> {
    values: BTreeMap<(u16, u16), Cow<'s, [u8]>>,
    /// Code page of its narrow texts.
    page: Option<&'static Encoding>,
}

impl<'s> Bag<'s> {
    /// Adds a property.
    pub fn put(&mut self, id: u16, kind: u16, value: Cow<'s, [u8]>) {
        self.values.insert((id, kind), value);
    }

    /// All properties: number, kind, value.
    pub fn all(&self) -> impl Iterator<Item = (u16, u16, &[u8])> {
        self.values.iter().map(|((id, kind), value)| (*id, *kind, value.as_ref()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The code page that it names, else that of the message it belongs to.
    pub fn settle(&mut self, message: Option<&Bag<'_>>) {
        let page = [0x3fde, 0x3ffd].iter().find_map(|id| self.number(*id));
        let own = page.and_then(|page| charset::code_page(u32::try_from(page & 0xffff_ffff).ok()?));
        self.page = own.or_else(|| message.and_then(|message| message.page));
    }

    /// The bytes of a property of that kind.
    pub fn get(&self, id: u16, kind: u16) -> Option<&[u8]> {
        self.values.get(&(id, kind)).map(AsRef::as_ref)
    }

    /// A property of bytes.
    pub fn binary(&self, id: u16) -> Option<&[u8]> {
        self.get(id, BINARY)
    }

    /// A text: of two bytes a character, or in the message's code page.
    pub fn text(&self, id: u16) -> Option<String> {
        let text = match self.get(id, WIDE) {
            Some(bytes) => encoding_rs::UTF_16LE.decode_without_bom_handling(bytes).0.into_owned(),
            None => self.decoded(self.get(id, NARROW)?),
        };
        let text = text.trim_end_matches('\0').trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Bytes in the message's code page; where it names none, UTF-8 if they are that, else Windows' western one.
    pub fn decoded(&self, bytes: &[u8]) -> String {
        match (self.page, std::str::from_utf8(bytes)) {
            (None, Ok(text)) => text.to_owned(),
            (known, _) => known.unwrap_or(encoding_rs::WINDOWS_1252).decode_without_bom_handling(bytes).0.into_owned(),
        }
    }

    /// A number, or the raw value of a time.
    pub fn number(&self, id: u16) -> Option<u64> {
        let bytes = NUMBERS.iter().find_map(|kind| self.get(id, *kind))?;
        Some(bytes.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A time, with its raw value: tenths of microseconds since 1601 UTC.
    pub fn time(&self, id: u16) -> Option<Stamp> {
        let raw = self.number(id).filter(|raw| *raw > 0)?;
        let utc_us = i64::try_from(raw / 10).ok().and_then(|micros| micros.checked_sub(FILETIME_EPOCH_US));
        Some(Stamp::text(raw.to_string(), utc_us))
    }

    /// The subject: in stores it begins with a mark and the length of `RE:` and the like (MS-PST, 2.5.3.1.1.1).
    fn subject(&self) -> Option<String> {
        let text = self.text(0x37)?;
        match text.strip_prefix('\u{1}') {
            Some(rest) => Some(rest.chars().skip(1).collect::<String>().trim().to_owned()).filter(|text| !text.is_empty()),
            None => Some(text),
        }
    }

    /// What kind of thing it is (`IPM.Note`, …).
    pub fn class(&self) -> String {
        self.text(0x1a).unwrap_or_default()
    }

    /// Whether it is an entry of an address book.
    pub fn is_contact(&self) -> bool {
        ["ipm.contact", "ipm.distlist"].iter().any(|class| self.class().to_lowercase().starts_with(class))
    }
}

/// Counts of what was seen and what became a record.
#[derive(Default)]
pub struct Counts {
    messages: [u64; 2],
    threads: [u64; 2],
    accounts: [u64; 2],
    participants: [u64; 2],
    attachments: [u64; 2],
    contacts: [u64; 2],
    points: [u64; 2],
}

impl Counts {
    /// Tells them.
    pub fn tell(&self, emit: &mut Emit<'_>) {
        let rows = [
            ("messages", "message", self.messages),
            ("conversations", "thread", self.threads),
            ("addresses", "account", self.accounts),
            ("addresses", "participant", self.participants),
            ("attachments", "attachment", self.attachments),
        ];
        let more = [("contacts", "contact", self.contacts), ("contact points", "contact_point", self.points)];
        // A file of messages alone has no line for contacts.
        for (source, kind, [seen, records]) in rows.into_iter().chain(more.into_iter().filter(|(_, _, counts)| *counts != [0, 0]))
        {
            let reason = (seen > records).then(|| "duplicate_key".to_owned());
            emit.ledger(source, kind, None, seen, records, reason);
        }
    }
}

/// Where something stands, and what is known of it from there.
pub struct Place {
    /// The way to it.
    pub root: String,
    /// First byte and bytes in the item.
    pub range: (u64, u64),
    /// Whether it is in force.
    pub state: State,
    /// What else is known: its folder, …
    pub extra: Vec<(&'static str, Value)>,
    /// Delivery state, where the place tells it.
    pub status: Option<String>,
}

impl Place {
    /// A place at it.
    pub fn at(&self, rest: &str) -> Locator {
        let pointer = [self.root.as_str(), rest].iter().filter(|part| !part.is_empty()).map(|part| format!("/{part}")).collect();
        Locator::Pointer { pointer, offset: self.range.0, length: self.range.1 }
    }
}

/// Somebody that a message names.
struct Person {
    role: &'static str,
    key: String,
    name: Option<String>,
    path: String,
}

/// Puts what a message is a record of, and its people. Where its attachments name it is given back.
pub fn put(
    bag: &Bag<'_>,
    recipients: &[(String, Bag<'_>)],
    names: &Names,
    place: &Place,
    emit: &mut Emit<'_>,
    counts: &mut Counts,
) -> Locator {
    if bag.is_contact() {
        return contact::put(bag, names, place, emit, counts);
    }
    let locator = place.at("message");
    let provenance = emit.provenance(locator.clone()).of_state(place.state);
    let people = people(bag, recipients);
    let id = |text: Option<String>| text.and_then(|text| last_id(&text)).filter(|id| !id.is_empty());
    let (message_key, quoted_key) = (id(bag.text(0x1035)), id(bag.text(0x1042)));
    let first = bag.text(0x1039).and_then(|text| first_id(&text));
    let thread_key = first.or_else(|| quoted_key.clone()).or_else(|| message_key.clone());
    let subject = bag.subject();
    if let Some(key) = &thread_key {
        let thread = Thread {
            provenance: provenance.clone(),
            app: APP.to_owned(),
            thread_key: key.clone(),
            name: subject.clone(),
            thread_type: None,
            created: None,
            implied: false,
        };
        count(&mut counts.threads, emit.record(Record::Thread(thread)));
    }
    for person in &people {
        put_person(person, thread_key.as_deref(), place, emit, counts);
    }
    let keys = |role: &str| {
        let keys: Vec<&str> = people.iter().filter(|person| person.role == role).map(|person| person.key.as_str()).collect();
        (!keys.is_empty()).then(|| keys.join(", "))
    };
    let flags = bag.number(0x0e07).unwrap_or_default();
    let record = Message {
        provenance,
        app: APP.to_owned(),
        thread_key,
        sender: keys("from").or_else(|| keys("sender")),
        recipient: keys("to"),
        outgoing: (flags & FROM_ME != 0).then_some(true),
        sent: bag.time(0x0039),
        received: bag.time(0x0e06),
        edited: None,
        text: body(bag),
        subject,
        message_type: Some(kind(&bag.class()).to_owned()),
        message_key,
        quoted_key,
        quoted_text: None,
        quoted_sender: None,
        forwarded: None,
        status: place.status.clone().or_else(|| (flags & UNSENT != 0).then(|| "draft".to_owned())),
        extra: extra(bag, names, place, emit),
    };
    count(&mut counts.messages, emit.record(Record::Message(Box::new(record))));
    locator
}

/// What kind of message a class is (MS-OXCMSG; MS-OXOCAL, MS-OXOTASK, MS-OXONOTE, MS-OXOJRNL).
fn kind(class: &str) -> &'static str {
    let class = class.to_lowercase();
    let kinds = [
        ("ipm.appointment", "event"),
        ("ipm.schedule", "event"),
        ("ipm.task", "reminder"),
        ("ipm.stickynote", "note"),
        ("ipm.activity", "journal"),
    ];
    kinds.iter().find(|(start, _)| class.starts_with(start)).map_or("text", |(_, kind)| kind)
}

fn people(bag: &Bag<'_>, recipients: &[(String, Bag<'_>)]) -> Vec<Person> {
    let mut people = Vec::new();
    let mut add = |role, path: String, bag: &Bag<'_>, addresses: &[u16], name: u16| {
        let address = addresses.iter().find_map(|id| bag.text(*id).filter(|text| text.contains('@')));
        let name = bag.text(name);
        // An address inside an organisation has no @: it is all that is known.
        let other = addresses.iter().find_map(|id| bag.text(*id));
        if let Some(key) = address.map(|address| lower_domain(&address)).or(other).or_else(|| name.clone()) {
            people.push(Person { role, key, name, path });
        }
    };
    add("from", "from".to_owned(), bag, &[0x5d02, 0x0065], 0x0042);
    add("sender", "sender".to_owned(), bag, &[0x5d01, 0x0c1f], 0x0c1a);
    for (path, bag) in recipients {
        let number = bag.number(0x0c15).map(|number| number & 0xf);
        let role = ROLES.iter().find(|(known, _)| Some(*known) == number).map_or("to", |(_, role)| role);
        add(role, format!("{path}/{role}"), bag, &[0x39fe, 0x3003], 0x3001);
    }
    people
}

fn body(bag: &Bag<'_>) -> Option<String> {
    bag.text(0x1000).or_else(|| {
        let page = bag.binary(0x1013).map(|bytes| bag.decoded(bytes)).or_else(|| bag.text(0x1013))?;
        Some(html::text(&page)).filter(|text| !text.trim().is_empty())
    })
}

/// What has no column, as one object.
fn extra(bag: &Bag<'_>, names: &Names, place: &Place, emit: &mut Emit<'_>) -> Option<String> {
    let texts = [
        ("headers", 0x007d),
        ("conversation_topic", 0x0070),
        ("message_class", 0x001a),
        ("references", 0x1039),
        ("display_to", 0x0e04),
        ("display_cc", 0x0e03),
        ("display_bcc", 0x0e02),
    ];
    let mut extra: Map<String, Value> =
        texts.iter().filter_map(|(name, id)| Some(((*name).to_owned(), bag.text(*id)?.into()))).collect();
    for (name, id) in [("created", 0x3007), ("modified", 0x3008)] {
        if let Some(raw) = bag.number(id) {
            extra.insert(format!("{name}_filetime"), raw.to_string().into());
        }
    }
    event(bag, names, &mut extra, place, emit);
    extra.extend(place.extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    (!extra.is_empty()).then(|| Value::Object(extra).to_string())
}

/// When and where an entry of a calendar or list of tasks is (MS-OXOCAL, 2.2.1; MS-OXOTASK, 2.2.2).
fn event(bag: &Bag<'_>, names: &Names, extra: &mut Map<String, Value>, place: &Place, emit: &mut Emit<'_>) {
    for (name, set, id) in [
        ("start", names::APPOINTMENT, 0x820d),
        ("end", names::APPOINTMENT, 0x820e),
        ("start", names::TASK, 0x8104),
        ("due", names::TASK, 0x8105),
        ("reminder", names::COMMON, 0x8502),
    ] {
        let Some((number, raw)) = names.of(set, id).and_then(|number| Some((number, bag.number(number)?))) else { continue };
        extra.insert(format!("{name}_filetime"), raw.to_string().into());
        // A reminder that is not set stands at the end of times.
        if let Some(us) = bag.time(number).and_then(|stamp| stamp.utc_us) {
            match jiff::Timestamp::from_microsecond(us) {
                Ok(time) => {
                    extra.insert(name.to_owned(), time.to_string().into());
                }
                Err(_) => emit.problem(Code::ValueUndecodable, format!("{}: {name} {raw} is no date", place.root)),
            }
        }
    }
    for (name, set, id) in [("place", names::APPOINTMENT, 0x8208), ("attendees", names::APPOINTMENT, 0x8238)] {
        if let Some(text) = names.of(set, id).and_then(|number| bag.text(number)) {
            extra.insert(name.to_owned(), text.into());
        }
    }
    for (name, set, id) in
        [("all_day", names::APPOINTMENT, 0x8215), ("recurring", names::APPOINTMENT, 0x8223), ("complete", names::TASK, 0x811c)]
    {
        if names.of(set, id).and_then(|number| bag.number(number)).is_some_and(|flag| flag != 0) {
            extra.insert(name.to_owned(), true.into());
        }
    }
}

/// Puts an attachment. `content` are its bytes, where it has any.
pub fn put_attachment(
    bag: &Bag<'_>,
    content: Option<&[u8]>,
    place: &Place,
    at: &str,
    message: &Locator,
    emit: &mut Emit<'_>,
    counts: &mut Counts,
) {
    let record = Attachment {
        provenance: emit.provenance(place.at(at)).of_state(place.state),
        message: message.clone(),
        path: bag.text(0x3708).or_else(|| bag.text(0x370d)),
        media_type: bag.text(0x370e).map(|text| text.to_lowercase()),
        sha256: content.map(|content| Digest::of(content).to_string()),
        size_bytes: content.and_then(|content| i64::try_from(content.len()).ok()),
        name: bag.text(0x3707).or_else(|| bag.text(0x3704)).or_else(|| bag.text(0x3001)),
        url: None,
    };
    count(&mut counts.attachments, emit.record(Record::Attachment(record)));
}

fn put_person(person: &Person, thread_key: Option<&str>, place: &Place, emit: &mut Emit<'_>, counts: &mut Counts) {
    let provenance = emit.provenance(place.at(&person.path)).of_state(place.state);
    let account = Account {
        provenance: provenance.clone(),
        app: APP.to_owned(),
        account_key: person.key.clone(),
        display_name: person.name.clone().filter(|name| *name != person.key),
        is_owner: None,
        same_as: None,
        phone: None,
        phone_raw: None,
        about: None,
        chain: None,
        extra: None,
    };
    count(&mut counts.accounts, emit.record(Record::Account(account)));
    if let Some(key) = thread_key {
        let participant = Participant {
            provenance,
            app: APP.to_owned(),
            thread_key: key.to_owned(),
            account_key: person.key.clone(),
            role: Some(person.role.to_owned()),
        };
        count(&mut counts.participants, emit.record(Record::Participant(participant)));
    }
}

fn count(counts: &mut [u64; 2], taken: bool) {
    let [seen, records] = counts;
    *seen += 1;
    *records += u64::from(taken);
}

fn lower_domain(address: &str) -> String {
    address.rsplit_once('@').map_or_else(|| address.to_owned(), |(local, domain)| format!("{local}@{}", domain.to_lowercase()))
}

fn first_id(text: &str) -> Option<String> {
    text.split_whitespace().next().map(bare)
}

fn last_id(text: &str) -> Option<String> {
    text.split_whitespace().next_back().map(bare)
}

/// An id without the brackets around it.
fn bare(id: &str) -> String {
    id.trim_start_matches('<').trim_end_matches('>').to_owned()
}
