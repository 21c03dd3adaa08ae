//! Telegram Desktop's JSON export (`result.json`): a whole account or one chat, as old and new versions write it.
//!
//! Fields: <https://core.telegram.org/import-export> and Telegram Desktop's `export_output_json.cpp`. `date` is wall time of the
//! exporting computer without a zone; `date_unixtime` (since 2021) is UTC. The file is walked twice: first chats are listed and
//! messages counted, then each message is decoded alone, so that memory does not grow with the file.

use crate::emit::Emit;
use crate::parse::json_stream::told::{locator, scalar, stopped};
use crate::parse::json_stream::{DEPTH_MAX, JsonStream, Span, Stop};
use crate::parse::{Input, Outcome, Parser};
use message::Reading;
use model::Code;
use model::recognize::phone;
use model::record::{Account, Contact, ContactPoint, Record, Thread};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

mod message;

const APP: &str = "Telegram";
/// Bytes of a key, a chat's name or another small field.
const SMALL: usize = 64 << 10;
/// Fields that could not be read and are told: more than get a row each.
const DAMAGE_MOST: usize = 10_000;
/// Types of chats, as an export of one chat names them.
const CHAT_TYPES: [&str; 9] = [
    "saved_messages",
    "replies",
    "personal_chat",
    "bot_chat",
    "private_group",
    "private_supergroup",
    "public_supergroup",
    "private_channel",
    "public_channel",
];

/// The parser.
pub struct TelegramExport;

impl Parser for TelegramExport {
    fn name(&self) -> &'static str {
        "telegram_export"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        looks_like_export(input.head)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let cap = usize::try_from(input.limits.cap_value_bytes).unwrap_or(usize::MAX);
        let open = || File::open(input.folder.join("main")).map_err(Stop::Unreadable).and_then(JsonStream::new);
        let mut survey = Survey::default();
        let mut stop = open().and_then(|mut stream| walk(&mut stream, &mut survey)).err();
        for detail in std::mem::take(&mut survey.damage) {
            emit.problem(Code::ValueUndecodable, detail);
        }
        let mut reading = Reading::new(emit, survey, cap);
        reading.threads();
        if let Err(again) = open().and_then(|mut stream| walk(&mut stream, &mut reading)) {
            stop = Some(again);
        }
        reading.ledger();
        match stop {
            None => Outcome::parsed(),
            Some(stop) => stopped(stop, emit),
        }
    }
}

/// Whether the first bytes are those of an export: by the keys of the outermost object as far as they go.
fn looks_like_export(head: &[u8]) -> bool {
    let open = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if !open.starts_with(b"{") {
        return false;
    }
    let Ok(mut stream) = JsonStream::new(head) else { return false };
    if !matches!(stream.enter(b'{'), Ok(true)) {
        return false;
    }
    let (mut keys, mut kind, mut first, mut bytes) = (Vec::new(), String::new(), true, Vec::new());
    while let Ok(true) = stream.next(b'}', &mut first) {
        let Ok(key) = stream.key(SMALL) else { break };
        keys.push(key);
        let passed = stream.capture(SMALL, &mut bytes);
        if keys.last().is_some_and(|key| key == "type") {
            kind = serde_json::from_slice(&bytes).unwrap_or_default();
        }
        if passed.is_err() || keys.len() > 64 {
            break;
        }
    }
    let has = |wanted: &str| keys.iter().any(|key| key == wanted);
    let says = |wanted: &[u8]| memchr::memmem::find(head, wanted).is_some();
    let account = (has("chats") || has("left_chats")) && says(b"\"list\"") || has("personal_information") && has("contacts");
    let chat = has("messages") && CHAT_TYPES.contains(&kind.as_str()) && has("id");
    // Cut-down exports keep the messages only: they have Telegram's own fields.
    let bare = has("messages") && says(b"\"type\": \"message\"") && (says(b"\"date_unixtime\"") || says(b"\"from_id\""));
    account || chat || bare
}

/// What a walk meets.
trait Visit {
    /// Field of a chat that is not its messages, captured.
    fn chat_field(&mut self, chat: &str, key: &str, value: &[u8]);
    /// A chat that was passed, with its place.
    fn chat(&mut self, chat: &str, span: Span);
    /// Called where a message begins; then passes it.
    fn message<R: Read>(&mut self, stream: &mut JsonStream<R>, chat: &str, index: u64) -> Result<(), Stop>;
    /// An entry of the contact list begins; passes it.
    fn contact<R: Read>(&mut self, stream: &mut JsonStream<R>, pointer: String) -> Result<(), Stop>;
    /// The owner's own data, captured.
    fn owner(&mut self, pointer: &str, span: Span, value: &[u8]);
}

/// Walks through an export.
fn walk<R: Read, V: Visit>(stream: &mut JsonStream<R>, visit: &mut V) -> Result<(), Stop> {
    if !stream.enter(b'{')? {
        return Err(Stop::Syntax(stream.offset()));
    }
    let (mut first, mut bytes) = (true, Vec::new());
    let begin = stream.offset();
    let mut single = false;
    while stream.next(b'}', &mut first)? {
        let key = stream.key(SMALL)?;
        match key.as_str() {
            "chats" | "left_chats" => list(stream, &format!("/{key}"), &mut |stream, pointer| chat(stream, &pointer, visit))?,
            "contacts" => list(stream, "/contacts", &mut |stream, pointer| visit.contact(stream, pointer))?,
            "personal_information" => {
                let span = stream.capture(SMALL, &mut bytes)?;
                visit.owner("/personal_information", span, &bytes);
            }
            "messages" => {
                single = true;
                messages(stream, "", visit)?;
            }
            _ => {
                stream.capture(SMALL, &mut bytes)?;
                visit.chat_field("", &key, &bytes);
            }
        }
    }
    if single {
        let offset = begin.saturating_sub(1);
        visit.chat("", Span { offset, length: stream.offset().saturating_sub(offset), ..Span::default() });
    }
    match stream.peek()? {
        None => Ok(()),
        Some(_) => Err(Stop::Syntax(stream.offset())),
    }
}

/// What is done with each element of a list: it is passed with its pointer.
type Each<'e, R> = dyn FnMut(&mut JsonStream<R>, String) -> Result<(), Stop> + 'e;

/// Walks through `{…, "list": […]}`; what is inside has its pointer.
fn list<R: Read>(stream: &mut JsonStream<R>, pointer: &str, each: &mut Each<'_, R>) -> Result<(), Stop> {
    if !stream.enter(b'{')? {
        stream.skip()?;
        return Ok(());
    }
    let mut first = true;
    while stream.next(b'}', &mut first)? {
        if stream.key(SMALL)? != "list" || !stream.enter(b'[')? {
            stream.skip()?;
            continue;
        }
        let (mut first, mut index) = (true, 0u64);
        while stream.next(b']', &mut first)? {
            each(stream, format!("{pointer}/list/{index}"))?;
            index += 1;
        }
    }
    Ok(())
}

/// Walks through one chat of a list.
fn chat<R: Read, V: Visit>(stream: &mut JsonStream<R>, pointer: &str, visit: &mut V) -> Result<(), Stop> {
    stream.peek()?;
    let offset = stream.offset();
    if !stream.enter(b'{')? {
        stream.skip()?;
        return Ok(());
    }
    let (mut first, mut bytes) = (true, Vec::new());
    while stream.next(b'}', &mut first)? {
        let key = stream.key(SMALL)?;
        if key == "messages" {
            messages(stream, pointer, visit)?;
        } else {
            stream.capture(SMALL, &mut bytes)?;
            visit.chat_field(pointer, &key, &bytes);
        }
    }
    visit.chat(pointer, Span { offset, length: stream.offset().saturating_sub(offset), ..Span::default() });
    Ok(())
}

/// Walks through the messages of a chat.
fn messages<R: Read, V: Visit>(stream: &mut JsonStream<R>, chat: &str, visit: &mut V) -> Result<(), Stop> {
    if !stream.enter(b'[')? {
        stream.skip()?;
        return Ok(());
    }
    let (mut first, mut index) = (true, 0);
    while stream.next(b']', &mut first)? {
        visit.message(stream, chat, index)?;
        index += 1;
    }
    Ok(())
}

/// One chat, as the first walk saw it.
#[derive(Clone, Default, Debug)]
struct Chat {
    id: Option<String>,
    name: Option<String>,
    kind: Option<String>,
    span: Span,
    /// Whether it was passed whole or has messages.
    is_chat: bool,
}

/// Pointer, place and fields of the owner's own data.
type Owner = (String, Span, Map<String, Value>);

/// The first walk: which chats there are, who owns the account, how many messages there are.
#[derive(Default)]
struct Survey {
    /// Pointers in the order of the file.
    order: Vec<String>,
    chats: HashMap<String, Chat>,
    owner: Option<Owner>,
    messages: u64,
    contacts: u64,
    /// Fields that could not be read: what is wrong with them.
    damage: Vec<String>,
}

impl Survey {
    /// Remembers a field that could not be read.
    fn damaged(&mut self, pointer: &str, why: &dyn std::fmt::Display) {
        if self.damage.len() < DAMAGE_MOST {
            self.damage.push(format!("{pointer}: {why}"));
        }
    }

    fn entry(&mut self, pointer: &str) -> &mut Chat {
        if !self.chats.contains_key(pointer) {
            self.order.push(pointer.to_owned());
        }
        self.chats.entry(pointer.to_owned()).or_default()
    }
}

impl Visit for Survey {
    fn chat_field(&mut self, chat: &str, key: &str, value: &[u8]) {
        if !matches!(key, "id" | "name" | "type") {
            return;
        }
        let text = match serde_json::from_slice::<Value>(value) {
            Ok(value) => scalar(&value),
            Err(error) => {
                self.damaged(&format!("{chat}/{key}"), &error);
                None
            }
        };
        let entry = self.entry(chat);
        match key {
            "id" => entry.id = text,
            "name" => entry.name = text,
            _ => entry.kind = text,
        }
    }

    fn chat(&mut self, chat: &str, span: Span) {
        let entry = self.entry(chat);
        entry.span = span;
        entry.is_chat = true;
    }

    fn message<R: Read>(&mut self, stream: &mut JsonStream<R>, chat: &str, index: u64) -> Result<(), Stop> {
        self.messages += 1;
        if index == 0 {
            self.entry(chat).is_chat = true;
        }
        stream.skip().map(|_| ())
    }

    fn contact<R: Read>(&mut self, stream: &mut JsonStream<R>, _: String) -> Result<(), Stop> {
        self.contacts += 1;
        stream.skip().map(|_| ())
    }

    fn owner(&mut self, pointer: &str, span: Span, value: &[u8]) {
        match serde_json::from_slice(value) {
            Ok(Value::Object(fields)) => self.owner = Some((pointer.to_owned(), span, fields)),
            Ok(_) => self.damaged(pointer, &"not an object"),
            Err(error) => self.damaged(pointer, &error),
        }
    }
}

/// First and last name, joined.
fn full_name(fields: &Map<String, Value>) -> Option<String> {
    let parts: Vec<_> = ["first_name", "last_name"].iter().filter_map(|key| scalar(fields.get(*key)?)).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

impl Reading<'_, '_> {
    /// Puts the owner's account and a thread for each chat.
    fn threads(&mut self) {
        if let Some((pointer, span, fields)) = self.survey.owner.take() {
            self.put_owner(pointer, span, &fields);
        }
        let (mut seen, mut put) = (0, 0);
        for pointer in std::mem::take(&mut self.survey.order) {
            let Some(chat) = self.survey.chats.get(&pointer).filter(|chat| chat.is_chat).cloned() else { continue };
            seen += 1;
            let thread = Thread {
                provenance: self.emit.provenance(locator(pointer.clone(), chat.span)),
                app: APP.to_owned(),
                thread_key: chat.id.clone().unwrap_or_else(|| pointer.clone()),
                name: chat.name.clone(),
                thread_type: chat.kind.clone(),
                created: None,
                implied: false,
            };
            if self.emit.record(Record::Thread(thread)) {
                put += 1;
            } else {
                self.emit.problem(Code::DuplicateKey, format!("{pointer}: a chat with this id was listed before"));
            }
        }
        let reason = (seen != put).then(|| format!("duplicate_key {}", seen - put));
        self.emit.ledger("chats", "thread", None, seen, put, reason);
    }

    fn put_owner(&mut self, pointer: String, span: Span, fields: &Map<String, Value>) {
        let Some(id) = fields.get("user_id").and_then(scalar) else { return };
        let key = format!("user{id}");
        let phone_raw = fields.get("phone_number").and_then(scalar);
        let account = Account {
            provenance: self.emit.provenance(locator(pointer, span)),
            app: APP.to_owned(),
            account_key: key.clone(),
            display_name: full_name(fields),
            is_owner: Some(true),
            same_as: None,
            phone: phone_raw.as_deref().and_then(|raw| phone::normalize(raw, self.emit.region())),
            phone_raw,
            about: fields.get("bio").and_then(scalar),
            chain: None,
            extra: None,
        };
        let put = self.emit.record(Record::Account(account));
        self.accounts.insert(key.clone());
        self.owner = Some(key);
        self.emit.ledger("personal_information", "account", None, 1, u64::from(put), None);
    }

    /// Puts an entry of the contact list and its number.
    fn put_contact(&mut self, pointer: String, span: Span, bytes: &[u8]) {
        let fields = match serde_json::from_slice::<Value>(bytes) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return self.reject(&pointer, "not an object"),
            Err(error) => return self.reject(&pointer, &error.to_string()),
        };
        let mut rest = fields.clone();
        for key in ["first_name", "last_name", "phone_number"] {
            rest.shift_remove(key);
        }
        let place = locator(pointer.clone(), span);
        let contact = Contact {
            provenance: self.emit.provenance(place.clone()),
            app: APP.to_owned(),
            display_name: full_name(&fields),
            organization: None,
            note: None,
            extra: (!rest.is_empty()).then(|| Value::Object(rest).to_string()),
        };
        self.counts.contacts += u64::from(self.emit.record(Record::Contact(contact)));
        if let Some(raw) = fields.get("phone_number").and_then(scalar) {
            let point = ContactPoint {
                provenance: self.emit.provenance(locator(format!("{pointer}/phone_number"), span)),
                contact: place,
                kind: "phone".to_owned(),
                value: phone::normalize(&raw, self.emit.region()),
                raw,
                label: None,
            };
            self.counts.points += u64::from(self.emit.record(Record::ContactPoint(point)));
        }
    }

    fn reject(&mut self, pointer: &str, why: &str) {
        self.emit.problem(Code::RowRejected, format!("{pointer}: {why}"));
    }
}

impl Visit for Reading<'_, '_> {
    fn chat_field(&mut self, _: &str, _: &str, _: &[u8]) {}

    fn chat(&mut self, _: &str, _: Span) {}

    fn owner(&mut self, _: &str, _: Span, _: &[u8]) {}

    fn message<R: Read>(&mut self, stream: &mut JsonStream<R>, chat: &str, index: u64) -> Result<(), Stop> {
        let pointer = format!("{chat}/messages/{index}");
        let mut bytes = std::mem::take(&mut self.bytes);
        let span = stream.capture(self.cap, &mut bytes);
        if let Ok(span) = &span {
            if span.length > bytes.len() as u64 {
                self.emit.problem(Code::CapValue, format!("{pointer}: message of {} bytes", span.length));
            } else if span.depth > DEPTH_MAX {
                self.reject(&pointer, &format!("nested {} deep", span.depth));
            } else {
                self.put_message(chat, pointer, *span, &bytes);
            }
        }
        self.bytes = bytes;
        span.map(|_| ())
    }

    fn contact<R: Read>(&mut self, stream: &mut JsonStream<R>, pointer: String) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        let span = stream.capture(self.cap, &mut bytes)?;
        if span.length > bytes.len() as u64 {
            self.emit.problem(Code::CapValue, format!("{pointer}: contact of {} bytes", span.length));
        } else {
            self.put_contact(pointer, span, &bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
