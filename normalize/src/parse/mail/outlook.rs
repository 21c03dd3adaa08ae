//! Messages of Outlook (`.msg`, MS-OXMSG): a compound file with a stream for each property, and a folder for each person, attachment
//! and message inside.

use super::message::APP;
use crate::emit::Emit;
use crate::parse::document::charset;
use crate::parse::document::html;
use crate::parse::document::ole::Stream;
use model::record::{Account, Attachment, Message, Participant, Record, Thread};
use model::{Code, Digest, Locator, Stamp};
use serde_json::Map;
use std::borrow::Cow;

mod packed_rtf;

/// The stream of properties of fixed length (2.4).
const PROPERTIES: &str = "__properties_version1.0";
/// Its 16 bytes for each property: tag, flags, value.
const ENTRY_BYTES: usize = 16;
/// Microseconds between 1601-01-01 and 1970-01-01.
const FILETIME_EPOCH_US: i64 = 11_644_473_600 * 1_000_000;

/// The roles of people, by the number that a recipient has (MS-OXOMSG, 2.2.3.1.2).
const ROLES: &[(u64, &str)] = &[(1, "to"), (2, "cc"), (3, "bcc")];

/// Somebody that a message names.
struct Person {
    role: &'static str,
    key: String,
    name: Option<String>,
    path: String,
}

/// Counts of what was seen and what became a record.
#[derive(Default)]
struct Counts {
    messages: [u64; 2],
    threads: [u64; 2],
    accounts: [u64; 2],
    participants: [u64; 2],
    attachments: [u64; 2],
}

/// The streams of one message: those whose paths begin so.
struct Properties<'s> {
    streams: &'s [Stream],
    prefix: String,
}

/// Puts the messages of a compound file, if it is one of messages. `name` is what it is called inside of the item, if it is inside.
pub fn read(streams: &[Stream], name: &str, place: (u64, u64), emit: &mut Emit<'_>) {
    let prefixes: Vec<String> = streams
        .iter()
        .filter_map(|stream| stream.path.strip_suffix(PROPERTIES))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with("__substg1.0_3701000D/"))
        .map(str::to_owned)
        .collect();
    if prefixes.is_empty() {
        return;
    }
    let mut counts = Counts::default();
    for prefix in prefixes {
        message(&Properties { streams, prefix }, name, place, emit, &mut counts);
    }
    if !name.is_empty() {
        // Counts are told once for an item: what stands inside of it is told by its problems.
        return;
    }
    let mut row = |source: &str, kind: &str, [seen, records]: [u64; 2]| {
        let reason = (seen > records).then(|| "duplicate_key".to_owned());
        emit.ledger(source, kind, None, seen, records, reason);
    };
    row("messages", "message", counts.messages);
    row("conversations", "thread", counts.threads);
    row("addresses", "account", counts.accounts);
    row("addresses", "participant", counts.participants);
    row("attachments", "attachment", counts.attachments);
}

/// Whether a stream is the text that the message's record has.
pub fn is_text(stream: &Stream) -> bool {
    ["__substg1.0_1000001F", "__substg1.0_1000001E"].iter().any(|name| stream.path.ends_with(name))
}

/// What is in a stream: a text that is packed as Outlook does is unpacked.
pub fn unpacked<'s>(stream: &'s Stream, name: &str, emit: &mut Emit<'_>) -> Cow<'s, [u8]> {
    // Names of properties stand in streams that are called like properties.
    if !stream.path.ends_with("__substg1.0_10090102") || stream.path.starts_with("__nameid_version1.0/") {
        return Cow::Borrowed(&stream.content);
    }
    let (content, whole) = packed_rtf::unpacked(&stream.content);
    if !whole {
        emit.problem(Code::DocumentDamaged, format!("{name}: its packed text is not whole"));
    }
    Cow::Owned(content)
}

impl Properties<'_> {
    fn stream(&self, folder: &str, name: &str) -> Option<&[u8]> {
        let path = format!("{}{folder}{name}", self.prefix);
        self.streams.iter().find(|stream| stream.path == path).map(|stream| stream.content.as_slice())
    }

    fn binary(&self, folder: &str, id: &str) -> Option<&[u8]> {
        self.stream(folder, &format!("__substg1.0_{id}0102"))
    }

    /// A text: of two bytes a character, or in the message's code page.
    fn text(&self, folder: &str, id: &str) -> Option<String> {
        let wide = self.stream(folder, &format!("__substg1.0_{id}001F"));
        let text = match wide {
            Some(bytes) => encoding_rs::UTF_16LE.decode_without_bom_handling(bytes).0.into_owned(),
            None => {
                let bytes = self.stream(folder, &format!("__substg1.0_{id}001E"))?;
                self.decoded(bytes)
            }
        };
        let text = text.trim_end_matches('\0').trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Bytes in the message's code page; where it names none, UTF-8 if they are that, else Windows' western one.
    fn decoded(&self, bytes: &[u8]) -> String {
        let page = self.fixed("", 0x3fde).or_else(|| self.fixed("", 0x3ffd));
        let known = page.and_then(|page| charset::code_page(u32::try_from(page & 0xffff_ffff).ok()?));
        match (known, std::str::from_utf8(bytes)) {
            (None, Ok(text)) => text.to_owned(),
            (known, _) => known.unwrap_or(encoding_rs::WINDOWS_1252).decode_without_bom_handling(bytes).0.into_owned(),
        }
    }

    /// A value of fixed length, by the number of its property.
    fn fixed(&self, folder: &str, wanted: u16) -> Option<u64> {
        let bytes = self.stream(folder, PROPERTIES)?;
        let head = match (folder.is_empty(), self.prefix.is_empty()) {
            (false, _) => 8,
            (true, true) => 32,
            (true, false) => 24,
        };
        bytes.get(head..)?.chunks_exact(ENTRY_BYTES).find_map(|entry| {
            let (tag, value) = (entry.get(..4)?, entry.get(8..)?);
            let id = u16::from_le_bytes(tag.get(2..)?.try_into().ok()?);
            (id == wanted).then(|| Some(u64::from_le_bytes(value.try_into().ok()?))).flatten()
        })
    }

    /// A time, with its raw value: tenths of microseconds since 1601 UTC.
    fn time(&self, wanted: u16) -> Option<Stamp> {
        let raw = self.fixed("", wanted).filter(|raw| *raw > 0)?;
        let utc_us = i64::try_from(raw / 10).ok().and_then(|micros| micros.checked_sub(FILETIME_EPOCH_US));
        Some(Stamp::text(raw.to_string(), utc_us))
    }

    /// The folders of that kind in the message, in order.
    fn folders(&self, kind: &str) -> Vec<String> {
        let mut folders: Vec<String> = self
            .streams
            .iter()
            .filter_map(|stream| stream.path.strip_prefix(self.prefix.as_str()))
            .filter(|rest| rest.starts_with(kind))
            .filter_map(|rest| rest.split_once('/').map(|(folder, _)| format!("{folder}/")))
            .collect();
        folders.sort();
        folders.dedup();
        folders
    }

    fn people(&self) -> Vec<Person> {
        let mut people = Vec::new();
        let mut add = |role, folder: &str, addresses: &[&str], name: &str| {
            let address = addresses.iter().find_map(|id| self.text(folder, id).filter(|text| text.contains('@')));
            let name = self.text(folder, name);
            // An address inside an organisation has no @: it is all that is known.
            let other = addresses.iter().find_map(|id| self.text(folder, id));
            if let Some(key) = address.map(|address| lower_domain(&address)).or(other).or_else(|| name.clone()) {
                people.push(Person { role, key, name, path: format!("{folder}{role}") });
            }
        };
        add("from", "", &["5D02", "0065"], "0042");
        add("sender", "", &["5D01", "0C1F"], "0C1A");
        for folder in self.folders("__recip_version1.0_") {
            let number = self.fixed(&folder, 0x0c15).map(|number| number & 0xf);
            let role = ROLES.iter().find(|(known, _)| Some(*known) == number).map_or("to", |(_, role)| role);
            add(role, &folder, &["39FE", "3003"], "3001");
        }
        people
    }

    fn body(&self) -> Option<String> {
        self.text("", "1000").or_else(|| {
            let page = self.binary("", "1013").map(|bytes| self.decoded(bytes)).or_else(|| self.text("", "1013"))?;
            Some(html::text(&page)).filter(|text| !text.trim().is_empty())
        })
    }

    fn extra(&self) -> Option<String> {
        let texts = [
            ("headers", "007D"),
            ("conversation_topic", "0070"),
            ("message_class", "001A"),
            ("references", "1039"),
            ("display_to", "0E04"),
            ("display_cc", "0E03"),
            ("display_bcc", "0E02"),
        ];
        let mut extra: Map<String, serde_json::Value> =
            texts.iter().filter_map(|(name, id)| Some(((*name).to_owned(), self.text("", id)?.into()))).collect();
        for (name, id) in [("created", 0x3007), ("modified", 0x3008)] {
            if let Some(raw) = self.fixed("", id) {
                extra.insert(format!("{name}_filetime"), raw.to_string().into());
            }
        }
        (!extra.is_empty()).then(|| serde_json::Value::Object(extra).to_string())
    }
}

fn message(properties: &Properties<'_>, name: &str, (offset, length): (u64, u64), emit: &mut Emit<'_>, counts: &mut Counts) {
    let way = |rest: &str| {
        let parts = [name, properties.prefix.trim_end_matches('/'), rest];
        let pointer = parts.iter().filter(|part| !part.is_empty()).map(|part| format!("/{part}")).collect();
        Locator::Pointer { pointer, offset, length }
    };
    let locator = way("message");
    let people = properties.people();
    let id = |text: Option<String>| text.and_then(|text| last_id(&text)).filter(|id| !id.is_empty());
    let (message_key, quoted_key) = (id(properties.text("", "1035")), id(properties.text("", "1042")));
    let first = properties.text("", "1039").and_then(|text| first_id(&text));
    let thread_key = first.or_else(|| quoted_key.clone()).or_else(|| message_key.clone());
    let subject = properties.text("", "0037");
    if let Some(key) = &thread_key {
        let thread = Thread {
            provenance: emit.provenance(locator.clone()),
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
        put_person(person, thread_key.as_deref(), way(&person.path), emit, counts);
    }
    let keys = |role: &str| {
        let keys: Vec<&str> = people.iter().filter(|person| person.role == role).map(|person| person.key.as_str()).collect();
        (!keys.is_empty()).then(|| keys.join(", "))
    };
    let record = Message {
        provenance: emit.provenance(locator.clone()),
        app: APP.to_owned(),
        thread_key,
        sender: keys("from").or_else(|| keys("sender")),
        recipient: keys("to"),
        outgoing: None,
        sent: properties.time(0x0039),
        received: properties.time(0x0e06),
        edited: None,
        text: properties.body(),
        subject,
        message_type: Some("text".to_owned()),
        message_key,
        quoted_key,
        quoted_text: None,
        quoted_sender: None,
        forwarded: None,
        status: None,
        extra: properties.extra(),
    };
    count(&mut counts.messages, emit.record(Record::Message(Box::new(record))));
    for folder in properties.folders("__attach_version1.0_") {
        let place = way(folder.trim_end_matches('/'));
        put_attachment(properties, &folder, place, &locator, emit, counts);
    }
}

fn put_attachment(
    properties: &Properties<'_>,
    folder: &str,
    place: Locator,
    message: &Locator,
    emit: &mut Emit<'_>,
    counts: &mut Counts,
) {
    let content = properties.binary(folder, "3701");
    let record = Attachment {
        provenance: emit.provenance(place),
        message: message.clone(),
        path: properties.text(folder, "3708").or_else(|| properties.text(folder, "370D")),
        media_type: properties.text(folder, "370E").map(|text| text.to_lowercase()),
        sha256: content.map(|content| Digest::of(content).to_string()),
        size_bytes: content.and_then(|content| i64::try_from(content.len()).ok()),
        name: properties
            .text(folder, "3707")
            .or_else(|| properties.text(folder, "3704"))
            .or_else(|| properties.text(folder, "3001")),
        url: None,
    };
    count(&mut counts.attachments, emit.record(Record::Attachment(record)));
}

fn put_person(person: &Person, thread_key: Option<&str>, locator: Locator, emit: &mut Emit<'_>, counts: &mut Counts) {
    let provenance = emit.provenance(locator);
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
