//! One message of an export, decoded alone.

use super::{APP, Survey};
use crate::emit::Emit;
use crate::parse::json_stream::Span;
use crate::parse::json_stream::told::{locator, scalar};
use model::record::{Account, Attachment, Call, Message, Record};
use model::{Code, Stamp, TimeUnit};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Fields that name a file beside the export.
const FILES: [&str; 3] = ["photo", "file", "contact_vcard"];
/// How Telegram Desktop writes the path of a file that it did not save.
const NOT_SAVED: char = '(';

/// Records put so far.
#[derive(Default, Debug)]
pub(super) struct Counts {
    pub messages: u64,
    pub contacts: u64,
    pub points: u64,
    pub attachments: u64,
    pub calls: u64,
    pub accounts: u64,
}

/// The second walk: puts records.
pub(super) struct Reading<'r, 'e> {
    pub emit: &'r mut Emit<'e>,
    pub survey: Survey,
    /// Largest message.
    pub cap: usize,
    /// The message that is read.
    pub bytes: Vec<u8>,
    /// Key of the owner's account, where the export names it.
    pub owner: Option<String>,
    /// Accounts told of.
    pub accounts: HashSet<String>,
    pub counts: Counts,
}

/// The fields of a message that are still to be told.
struct Fields(Map<String, Value>);

impl Fields {
    /// Takes a string, number or boolean.
    fn text(&mut self, key: &str) -> Option<String> {
        let text = scalar(self.0.get(key)?);
        self.0.shift_remove(key);
        text
    }

    /// Takes a whole number, also one that is written as a string.
    fn integer(&mut self, key: &str) -> Option<i64> {
        let number = match self.0.get(key)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }?;
        self.0.shift_remove(key);
        Some(number)
    }

    /// Takes a time: the Unix one where there is one, and then leaves the written one in what is kept as it was; else the
    /// written one, whose zone nobody knows.
    fn stamp(&mut self, key: &str) -> Option<Stamp> {
        if let Some(seconds) = self.integer(&format!("{key}_unixtime")) {
            return Some(Stamp::integer(seconds, TimeUnit::UnixS));
        }
        self.text(key).map(|text| Stamp::text(text, None))
    }

    /// Takes the text: a string, or parts some of which are objects. Parts stay where they tell more than their text.
    fn body(&mut self) -> Option<String> {
        let (text, more) = match self.0.shift_remove("text")? {
            Value::String(text) => (text, Vec::new()),
            Value::Array(parts) => {
                let text = parts.iter().map(|part| part.as_str().or_else(|| part.get("text")?.as_str()).unwrap_or("")).collect();
                (text, parts.into_iter().filter(tells_more).collect())
            }
            other => {
                self.0.insert("text".to_owned(), other);
                return None;
            }
        };
        // text_entities repeats the text since 2022; only links and mentions in it are news.
        if let Some(Value::Array(entities)) = self.0.get_mut("text_entities") {
            entities.retain(|entity| tells_more(entity) && !more.contains(entity));
            if entities.is_empty() {
                self.0.shift_remove("text_entities");
            }
        }
        if !more.is_empty() {
            self.0.insert("text_parts".to_owned(), Value::Array(more));
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Whether a part of a text has fields beside its type and text (`href`, `user_id`, `document_id`, …).
fn tells_more(part: &Value) -> bool {
    part.as_object().is_some_and(|fields| fields.keys().any(|key| key != "type" && key != "text"))
}

impl<'r, 'e> Reading<'r, 'e> {
    /// Begins the second walk.
    pub fn new(emit: &'r mut Emit<'e>, survey: Survey, cap: usize) -> Reading<'r, 'e> {
        let (bytes, accounts, counts) = (Vec::new(), HashSet::new(), Counts::default());
        Reading { emit, survey, cap, bytes, owner: None, accounts, counts }
    }

    /// Puts a message with what belongs to it.
    pub fn put_message(&mut self, chat: &str, pointer: String, span: Span, bytes: &[u8]) {
        let fields = match serde_json::from_slice::<Value>(bytes) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return self.reject(&pointer, "not an object"),
            Err(error) => return self.reject(&pointer, &error.to_string()),
        };
        if fields.len() as u64 != span.keys {
            self.emit.problem(Code::DuplicateKey, format!("{pointer}: a field is there twice; the last one is read"));
        }
        let mut fields = Fields(fields);
        let place = locator(pointer.clone(), span);
        let sender = self.sender(&mut fields, &pointer, span);
        let outgoing = self.outgoing(chat, sender.as_deref());
        let files = files(&mut fields);
        let message_type = message_type(&mut fields, &files);
        let sent = fields.stamp("date");
        if fields.0.get("action").and_then(Value::as_str) == Some("phone_call") {
            self.call(&fields.0, chat, &pointer, span, outgoing, sent.clone());
        }
        let message = Message {
            provenance: self.emit.provenance(place.clone()),
            app: APP.to_owned(),
            thread_key: self.survey.chats.get(chat).map(|found| found.id.clone().unwrap_or_else(|| chat.to_owned())),
            sender,
            recipient: None,
            outgoing,
            sent,
            received: None,
            edited: edited(&mut fields),
            text: fields.body(),
            subject: None,
            message_type: Some(message_type),
            message_key: fields.text("id"),
            quoted_key: fields.text("reply_to_message_id"),
            quoted_text: None,
            quoted_sender: None,
            // A hidden origin is written as null.
            forwarded: fields.0.contains_key("forwarded_from").then_some(true),
            status: None,
            extra: (!fields.0.is_empty()).then(|| Value::Object(fields.0).to_string()),
        };
        self.counts.messages += u64::from(self.emit.record(Record::Message(Box::new(message))));
        for file in files {
            let attachment = Attachment {
                provenance: self.emit.provenance(locator(format!("{pointer}/{}", file.field), span)),
                message: place.clone(),
                path: file.path,
                media_type: file.media_type,
                sha256: None,
                size_bytes: file.size_bytes,
                name: file.name,
                url: None,
            };
            self.counts.attachments += u64::from(self.emit.record(Record::Attachment(attachment)));
        }
    }

    /// Takes who wrote a message or did an action; their account is put when they are first met.
    fn sender(&mut self, fields: &mut Fields, pointer: &str, span: Span) -> Option<String> {
        let (name_key, id_key) = if fields.0.contains_key("actor") || fields.0.contains_key("actor_id") {
            ("actor", "actor_id")
        } else {
            ("from", "from_id")
        };
        let name = fields.text(name_key);
        let Some(id) = fields.text(id_key) else { return name };
        if self.accounts.insert(id.clone()) {
            let account = Account {
                provenance: self.emit.provenance(locator(format!("{pointer}/{id_key}"), span)),
                app: APP.to_owned(),
                account_key: id.clone(),
                display_name: name,
                is_owner: None,
                same_as: None,
                phone: None,
                phone_raw: None,
                about: None,
                chain: None,
                extra: None,
            };
            self.counts.accounts += u64::from(self.emit.record(Record::Account(account)));
        }
        Some(id)
    }

    /// Whether the owner sent it: known where the export says who the owner is, or that a message is from the other side.
    fn outgoing(&self, chat: &str, sender: Option<&str>) -> Option<bool> {
        let sender = sender?;
        if let Some(owner) = &self.owner {
            return Some(owner == sender);
        }
        let chat = self.survey.chats.get(chat)?;
        let peer = format!("user{}", chat.id.as_deref()?);
        (chat.kind.as_deref() == Some("personal_chat") && sender == peer).then_some(false)
    }

    fn call(
        &mut self,
        fields: &Map<String, Value>,
        chat: &str,
        pointer: &str,
        span: Span,
        outgoing: Option<bool>,
        start: Option<Stamp>,
    ) {
        let chat = self.survey.chats.get(chat);
        let call = Call {
            provenance: self.emit.provenance(locator(pointer.to_owned(), span)),
            app: APP.to_owned(),
            remote: chat.and_then(|chat| chat.id.clone()),
            remote_phone: None,
            remote_name: chat.and_then(|chat| chat.name.clone()),
            thread_key: None,
            outgoing,
            start,
            duration_s: fields.get("duration_seconds").and_then(Value::as_i64),
            outcome: fields.get("discard_reason").and_then(scalar),
            video: None,
            call_key: fields.get("id").and_then(scalar),
        };
        self.counts.calls += u64::from(self.emit.record(Record::Call(Box::new(call))));
    }

    /// Puts the counts.
    pub fn ledger(&mut self) {
        let Counts { messages, contacts, points, attachments, calls, accounts } = self.counts;
        let mut put = |source: &str, kind: &str, seen: u64, records: u64| {
            let rejected = seen.saturating_sub(records);
            let reason = (rejected > 0).then(|| format!("not decodable {rejected}"));
            self.emit.ledger(source, kind, None, seen, records, reason);
        };
        put("messages", "message", self.survey.messages, messages);
        if self.survey.contacts > 0 {
            put("contacts", "contact", self.survey.contacts, contacts);
            put("contacts.phone_number", "contact_point", points, points);
        }
        for (source, kind, count) in [
            ("messages.file", "attachment", attachments),
            ("messages.phone_call", "call", calls),
            ("messages.from_id", "account", accounts),
        ] {
            if count > 0 {
                put(source, kind, count, count);
            }
        }
    }
}

/// Takes the time of the last edit; early exports write 1970 for messages that were not edited.
fn edited(fields: &mut Fields) -> Option<Stamp> {
    let written = fields.0.get("edited").and_then(Value::as_str).is_some_and(|text| text.starts_with("1970-01-01"));
    fields.stamp("edited").filter(|stamp| !written && stamp.utc_us != Some(0))
}

/// A file that a message names.
struct File {
    field: &'static str,
    path: Option<String>,
    name: Option<String>,
    media_type: Option<String>,
    size_bytes: Option<i64>,
}

/// Takes the files of a message. Those that were not saved have no path; the words that Telegram put there stay as they are.
fn files(fields: &mut Fields) -> Vec<File> {
    let mut files = Vec::new();
    for field in FILES {
        let Some(written) = fields.0.get(field).and_then(Value::as_str).map(str::to_owned) else { continue };
        let saved = !written.starts_with(NOT_SAVED);
        if saved {
            fields.0.shift_remove(field);
        }
        let (name, media_type, size_bytes) = match field {
            "photo" => (None, None, fields.integer("photo_file_size")),
            "file" => (fields.text("file_name"), fields.text("mime_type"), fields.integer("file_size")),
            _ => (None, Some("text/vcard".to_owned()), None),
        };
        files.push(File { field, path: saved.then_some(written), name, media_type, size_bytes });
    }
    files
}

/// The word for the kind of a message.
fn message_type(fields: &mut Fields, files: &[File]) -> String {
    match fields.text("type").as_deref() {
        Some("message") | None => {}
        Some("service") => return "system".to_owned(),
        Some(other) => return other.to_owned(),
    }
    if let Some(media) = fields.text("media_type") {
        return media;
    }
    if let Some(file) = files.first() {
        return match file.field {
            "photo" => "image",
            "contact_vcard" => "contact",
            _ => "file",
        }
        .to_owned();
    }
    let told = |key: &str| fields.0.contains_key(key);
    let word = match () {
        () if told("contact_information") => "contact",
        () if told("location_information") => "location",
        () if told("poll") => "poll",
        () => "text",
    };
    word.to_owned()
}
