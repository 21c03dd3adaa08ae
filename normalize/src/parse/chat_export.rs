//! Chats as services and exporters hand them out in JSON: one document for each chat (or day of one), its messages in one array.
//!
//! Every dialect is walked the same way, twice: first the fields beside the messages are kept and messages counted, then each message is
//! decoded alone, so that memory does not grow with the file.

use crate::emit::Emit;
use crate::parse::json_stream::told::{locator, stopped};
use crate::parse::json_stream::{DEPTH_MAX, JsonStream, Span, Stop};
use crate::parse::node::pointer_step;
use crate::parse::{Input, Outcome, Parser};
use fields::Fields;
use model::record::{Account, Attachment, Message, Participant, Record};
use model::{Code, Locator};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read;

mod android;
mod discord;
mod fields;
mod meta;
mod slack;

/// Bytes of a key.
const KEY: usize = 4 << 10;
/// Bytes of a field beside the messages.
const FIELD: usize = 1 << 20;
/// Bytes of all of them together, and how many there may be.
const FIELDS: (usize, usize) = (8 << 20, 256);

/// Messenger and Instagram, as Meta hands them out.
pub const META: ChatExport = ChatExport(&meta::Meta);
/// Chats saved by DiscordChatExporter.
pub const DISCORD: ChatExport = ChatExport(&discord::Exporter);
/// What Discord hands out: the owner's own messages.
pub const DISCORD_PACKAGE: ChatExport = ChatExport(&discord::Package);
/// Messages in a backup of Android's telephony provider.
pub const ANDROID: ChatExport = ChatExport(&android::Backup);
/// A workspace as Slack hands it out.
pub const SLACK: ChatExport = ChatExport(&slack::Slack);

/// The parser of one dialect.
pub struct ChatExport(&'static dyn Dialect);

/// What tells a dialect from the others.
trait Dialect: Sync {
    fn name(&self) -> &'static str;
    fn version(&self) -> u32;
    /// Words of which one stands in the first bytes of every such document: looked for before anything is read.
    fn marks(&self) -> &'static [&'static str];
    /// Key of the array of messages; `None` where the document is that array.
    fn array(&self) -> Option<&'static str>;
    /// Whether a document that begins like this is of this dialect.
    fn knows(&self, opening: &Opening) -> bool;
    /// Puts what the document tells beside its messages.
    fn begin(&self, reading: &mut Reading<'_, '_>);
    /// Puts an element of the array, and what belongs to it.
    fn element(&self, fields: Fields, at: &At, reading: &mut Reading<'_, '_>);
}

impl Parser for ChatExport {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let marked = || self.0.marks().iter().any(|mark| memchr::memmem::find(input.head, mark.as_bytes()).is_some());
        let open = input.head.trim_ascii_start();
        let open = open.strip_prefix(b"\xef\xbb\xbf").unwrap_or(open).trim_ascii_start();
        let begins = open.starts_with(if self.0.array().is_some() { b"{" } else { b"[" });
        begins && marked() && Opening::read(input.head, self.0.array()).is_some_and(|opening| self.0.knows(&opening))
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let cap = usize::try_from(input.limits.cap_value_bytes).unwrap_or(usize::MAX);
        let open = || File::open(input.folder.join("main")).map_err(Stop::Unreadable).and_then(JsonStream::new);
        let mut document = Document::default();
        let mut stop = open().and_then(|mut stream| document.survey(&mut stream, self.0.array(), emit)).err();
        let mut reading = Reading::new(emit, document, cap);
        self.0.begin(&mut reading);
        if let Err(again) = open().and_then(|mut stream| reading.walk(&mut stream, self.0)) {
            stop = Some(again);
        }
        reading.ledger();
        stop.map_or_else(Outcome::parsed, |stop| stopped(stop, emit))
    }
}

/// How a document begins.
#[derive(Default)]
struct Opening {
    /// Keys of the outermost object, as far as the first bytes go; none where it is an array.
    keys: Vec<String>,
    /// The first element of the array, if it is an object that is there whole.
    first: Option<Map<String, Value>>,
}

impl Opening {
    fn read(head: &[u8], array: Option<&str>) -> Option<Opening> {
        let mut stream = JsonStream::new(head).ok()?;
        let mut opening = Opening::default();
        let Some(array) = array else {
            opening.first_of(&mut stream);
            return Some(opening);
        };
        if !stream.enter(b'{').ok()? {
            return None;
        }
        let mut first = true;
        while let Ok(true) = stream.next(b'}', &mut first) {
            let Ok(key) = stream.key(KEY) else { break };
            let messages = key == array;
            opening.keys.push(key);
            if messages && opening.first.is_none() {
                opening.first_of(&mut stream);
            }
            // The array is entered and not left: what follows it tells nothing that its elements do not.
            if opening.first.is_some() || opening.keys.len() > FIELDS.1 || !messages && stream.skip().is_err() {
                break;
            }
        }
        Some(opening)
    }

    fn first_of(&mut self, stream: &mut JsonStream<&[u8]>) {
        let (mut first, mut bytes) = (true, Vec::new());
        if matches!(stream.enter(b'['), Ok(true))
            && matches!(stream.next(b']', &mut first), Ok(true))
            && stream.capture(FIELD, &mut bytes).is_ok()
        {
            self.first = serde_json::from_slice(&bytes).ok();
        }
    }

    /// Whether the outermost object has these keys.
    fn has(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| self.keys.iter().any(|found| found == key))
    }

    /// Whether the first element has these keys.
    fn first_has(&self, keys: &[&str]) -> bool {
        self.first.as_ref().is_some_and(|first| keys.iter().all(|key| first.contains_key(*key)))
    }
}

/// What stands beside the messages.
#[derive(Default)]
struct Document {
    fields: Map<String, Value>,
    spans: BTreeMap<String, Span>,
    whole: Span,
}

impl Document {
    fn survey<R: Read>(&mut self, stream: &mut JsonStream<R>, array: Option<&str>, emit: &mut Emit<'_>) -> Result<(), Stop> {
        stream.peek()?;
        let offset = stream.offset();
        let result = match array {
            Some(array) => self.fields(stream, array, emit),
            None => stream.skip().map(|_| ()),
        };
        self.whole = Span { offset, length: stream.offset().saturating_sub(offset), ..Span::default() };
        result?;
        match stream.peek()? {
            None => Ok(()),
            Some(_) => Err(Stop::Syntax(stream.offset())),
        }
    }

    fn fields<R: Read>(&mut self, stream: &mut JsonStream<R>, array: &str, emit: &mut Emit<'_>) -> Result<(), Stop> {
        if !stream.enter(b'{')? {
            return Err(Stop::Syntax(stream.offset()));
        }
        let (mut first, mut bytes, mut held) = (true, Vec::new(), 0);
        while stream.next(b'}', &mut first)? {
            let key = stream.key(KEY)?;
            if key == array {
                stream.skip()?;
                continue;
            }
            let span = stream.capture(FIELD, &mut bytes)?;
            held += bytes.len();
            let fits = span.length == bytes.len() as u64 && held <= FIELDS.0 && self.fields.len() < FIELDS.1;
            let step = pointer_step(&key);
            match serde_json::from_slice(&bytes) {
                Ok(value) if fits => {
                    if self.fields.insert(key.clone(), value).is_some() {
                        emit.problem(Code::DuplicateKey, format!("/{step}: a field is there twice; the last one is read"));
                    }
                    self.spans.insert(key, span);
                }
                Err(error) if fits => emit.problem(Code::ValueUndecodable, format!("/{step}: {error}")),
                _ => emit.problem(Code::CapValue, format!("/{step}: a field larger than any chat's, or one of too many")),
            }
        }
        Ok(())
    }

    /// A field's text.
    fn text(&self, key: &str) -> Option<String> {
        fields::scalar(self.fields.get(key)?)
    }

    /// The elements of a field that is an array.
    fn list(&self, key: &str) -> Vec<Value> {
        self.fields.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    }
}

/// Where an element stands.
struct At {
    pointer: String,
    span: Span,
}

impl At {
    fn place(&self) -> Locator {
        locator(self.pointer.clone(), self.span)
    }

    /// A part of it, which has the element's range.
    fn part(&self, step: &str) -> At {
        At { pointer: format!("{}/{step}", self.pointer), span: self.span }
    }
}

/// The second walk: puts records and counts them.
struct Reading<'r, 'e> {
    emit: &'r mut Emit<'e>,
    document: Document,
    /// Largest element, bytes.
    cap: usize,
    /// What the dialect calls the app.
    app: &'static str,
    /// Key of the thread, where the document tells it.
    thread: Option<String>,
    /// Accounts told of.
    accounts: HashSet<String>,
    /// Elements seen.
    elements: u64,
    /// Of each source and kind: seen and put.
    counts: BTreeMap<(&'static str, &'static str), (u64, u64)>,
    /// Whether the element that is read became a record, or why not.
    put_element: Result<(), &'static str>,
    read: u64,
    /// Kind of the records that the elements are.
    kind: &'static str,
}

impl<'r, 'e> Reading<'r, 'e> {
    fn new(emit: &'r mut Emit<'e>, document: Document, cap: usize) -> Reading<'r, 'e> {
        let (accounts, counts) = (HashSet::new(), BTreeMap::new());
        Reading {
            emit,
            document,
            cap,
            app: "",
            thread: None,
            accounts,
            elements: 0,
            counts,
            put_element: Ok(()),
            read: 0,
            kind: "message",
        }
    }

    fn path(&self) -> &str {
        &self.emit.unit().primary.item.path
    }

    /// The place of a field beside the messages, or of an element of it.
    fn field(&self, key: &str, element: Option<usize>) -> At {
        let span = self.document.spans.get(key).copied().unwrap_or(self.document.whole);
        let step = element.map(|number| format!("/{number}")).unwrap_or_default();
        At { pointer: format!("/{}{step}", pointer_step(key)), span }
    }

    /// Puts a record that an element of the array is.
    fn main(&mut self, record: Record) {
        self.put_element = if self.emit.record(record) { Ok(()) } else { Err("an element with this key was read before") };
    }

    /// Says why an element becomes no record.
    fn without(&mut self, why: &'static str) {
        self.put_element = Err(why);
    }

    /// The message at a place of which nothing is told yet.
    fn message(&self, at: &At) -> Message {
        Message {
            provenance: self.emit.provenance(at.place()),
            app: self.app.to_owned(),
            thread_key: self.thread.clone(),
            sender: None,
            recipient: None,
            outgoing: None,
            sent: None,
            received: None,
            edited: None,
            text: None,
            subject: None,
            message_type: None,
            message_key: None,
            quoted_key: None,
            quoted_text: None,
            quoted_sender: None,
            forwarded: None,
            status: None,
            extra: None,
        }
    }

    /// Puts a record that belongs to an element or the document.
    fn put(&mut self, source: &'static str, record: Record) {
        let count = self.counts.entry((source, record.kind())).or_default();
        count.0 += 1;
        count.1 += u64::from(self.emit.record(record));
    }

    /// Puts an account the first time it is met.
    fn account(&mut self, source: &'static str, at: &At, key: &str, fill: impl FnOnce(&mut Account)) {
        if !self.accounts.insert(key.to_owned()) {
            return;
        }
        let mut account = Account {
            provenance: self.emit.provenance(at.place()),
            app: self.app.to_owned(),
            account_key: key.to_owned(),
            display_name: None,
            is_owner: None,
            same_as: None,
            phone: None,
            phone_raw: None,
            about: None,
            chain: None,
            extra: None,
        };
        fill(&mut account);
        self.put(source, Record::Account(account));
    }

    fn participant(&mut self, source: &'static str, at: &At, thread: &str, account: &str) {
        let participant = Participant {
            provenance: self.emit.provenance(at.place()),
            app: self.app.to_owned(),
            thread_key: thread.to_owned(),
            account_key: account.to_owned(),
            role: None,
        };
        self.put(source, Record::Participant(participant));
    }

    /// Puts a file that the message at a place names.
    fn attachment(&mut self, source: &'static str, message: &At, step: &str, fill: impl FnOnce(&mut Attachment)) {
        let mut attachment = Attachment {
            provenance: self.emit.provenance(message.part(step).place()),
            message: message.place(),
            path: None,
            media_type: None,
            sha256: None,
            size_bytes: None,
            name: None,
            url: None,
        };
        fill(&mut attachment);
        self.put(source, Record::Attachment(attachment));
    }

    fn walk<R: Read>(&mut self, stream: &mut JsonStream<R>, dialect: &dyn Dialect) -> Result<(), Stop> {
        let Some(array) = dialect.array() else { return self.array(stream, "", dialect) };
        if !stream.enter(b'{')? {
            return Err(Stop::Syntax(stream.offset()));
        }
        let mut first = true;
        while stream.next(b'}', &mut first)? {
            if stream.key(KEY)? == array {
                self.array(stream, &format!("/{array}"), dialect)?;
            } else {
                stream.skip()?;
            }
        }
        Ok(())
    }

    fn array<R: Read>(&mut self, stream: &mut JsonStream<R>, pointer: &str, dialect: &dyn Dialect) -> Result<(), Stop> {
        if !stream.enter(b'[')? {
            self.emit.problem(Code::DocumentDamaged, format!("{pointer}: not an array"));
            stream.skip()?;
            return Ok(());
        }
        let (mut first, mut bytes, mut index) = (true, Vec::new(), 0u64);
        while stream.next(b']', &mut first)? {
            self.elements += 1;
            let span = stream.capture(self.cap, &mut bytes)?;
            self.element(dialect, At { pointer: format!("{pointer}/{index}"), span }, &bytes);
            index += 1;
        }
        Ok(())
    }

    fn element(&mut self, dialect: &dyn Dialect, at: At, bytes: &[u8]) {
        if at.span.length > bytes.len() as u64 {
            return self.emit.problem(Code::CapValue, format!("{}: an element of {} bytes", at.pointer, at.span.length));
        }
        if at.span.depth > DEPTH_MAX {
            return self.reject(&at, &format!("nested {} deep", at.span.depth));
        }
        let fields = match serde_json::from_slice::<Value>(bytes) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return self.reject(&at, "not an object"),
            Err(error) => return self.reject(&at, &error.to_string()),
        };
        if fields.len() as u64 != at.span.keys {
            let detail = format!("{}: a field is there twice; the last one is read", at.pointer);
            self.emit.problem(Code::DuplicateKey, detail);
        }
        self.put_element = Err("it tells nothing that is read");
        dialect.element(Fields(fields), &at, self);
        match self.put_element {
            Ok(()) => self.read += 1,
            Err(why) => self.reject(&at, why),
        }
    }

    fn reject(&mut self, at: &At, why: &str) {
        self.emit.problem(Code::RowRejected, format!("{}: {why}", at.pointer));
    }

    fn ledger(&mut self) {
        let kind = self.kind;
        let mut put = |source: &str, kind: &str, seen: u64, records: u64| {
            let rejected = seen.saturating_sub(records);
            let reason = (rejected > 0).then(|| format!("not decodable, or told before: {rejected}"));
            self.emit.ledger(source, kind, None, seen, records, reason);
        };
        put("elements", kind, self.elements, self.read);
        for ((source, kind), (seen, records)) in &self.counts {
            put(source, kind, *seen, *records);
        }
    }
}

#[cfg(test)]
mod tests;
