//! One message: its headers as thread, accounts, participants and message, and its parts ([`super::parts`]).

use super::address::{self, Person};
use crate::emit::Emit;
use crate::parse::document::inside::Budget;
use mail_parser::{HeaderName, HeaderValue, Message, MessageParser};
use model::record::{self, Record};
use model::{Code, Locator, Stamp};
use serde_json::{Map, Value};

/// Bytes of headers without a column of their own that are kept of a message.
const EXTRA_MOST: usize = 1 << 20;
/// Messages inside a message, and digests: each level of them costs the library a level of its stack.
const NESTED_MOST: usize = 1000;
/// What every record is of.
pub const APP: &str = "Mail";

/// What the file says of a message beside the message itself.
#[derive(Default)]
pub struct Source {
    /// First byte of the message in the item.
    pub base: u64,
    /// When the program received it.
    pub received: Option<Stamp>,
    /// What else the program says.
    pub extra: Vec<(String, Value)>,
    /// The range that it stands in, where it is in pieces there.
    pub encoded: Option<(u64, u64)>,
    /// Whether its headers are gone: it begins with the boundary of its parts.
    pub headless: bool,
}

/// What is read of a file of messages.
pub struct Reading<'r, 'e> {
    /// Where it goes.
    pub emit: &'r mut Emit<'e>,
    /// False once something could not be read.
    pub whole: bool,
    /// What may still be unpacked of files inside.
    pub budget: Budget,
    messages: [u64; 2],
    threads: [u64; 2],
    accounts: [u64; 2],
    participants: [u64; 2],
    /// Attachments seen, and records of them.
    pub attachments: [u64; 2],
}

/// Where a message stands in the item.
#[derive(Clone, Debug)]
pub struct Place {
    /// Added to offsets in the message. Negative where a head was put before it.
    pub base: i128,
    /// The range of bytes that all of it is encoded in, where it is.
    pub encoded: Option<(u64, u64)>,
    /// Numbers of the parts that lead to it, `2.1`; empty for the outermost.
    pub path: String,
}

impl Place {
    /// The range in the item of a range in the message.
    pub fn range(&self, from: u32, to: u32) -> (u64, u64) {
        let start = u64::try_from(self.base.saturating_add(i128::from(from))).unwrap_or(0);
        self.encoded.unwrap_or((start, u64::from(to.saturating_sub(from))))
    }

    /// The way to it: `/part/2.1`, empty for the outermost.
    fn pointer(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!("/part/{}", self.path) }
    }

    /// The number of a part.
    pub fn part(&self, number: usize) -> String {
        if self.path.is_empty() { number.to_string() } else { format!("{}.{number}", self.path) }
    }
}

/// The boundary that a body without headers begins with.
pub fn boundary(content: &[u8]) -> Option<&str> {
    let mut lines = content.trim_ascii_start().split(|byte| *byte == b'\n');
    let line = lines.next()?.trim_ascii_end().strip_prefix(b"--")?;
    let header = super::mbox::header_name(lines.next()?)?;
    let fits = (4..=70).contains(&line.len()) && header.to_ascii_lowercase().starts_with(b"content-");
    std::str::from_utf8(line).ok().filter(|text| fits && !text.contains(['"', '\\']))
}

impl<'r, 'e> Reading<'r, 'e> {
    /// Begins.
    pub fn new(emit: &'r mut Emit<'e>, limits: &config::Normalize) -> Reading<'r, 'e> {
        let none = [0, 0];
        let budget = Budget::of(limits);
        Reading {
            emit,
            whole: true,
            budget,
            messages: none,
            threads: none,
            accounts: none,
            participants: none,
            attachments: none,
        }
    }

    /// Reads one message of the item.
    pub fn message(&mut self, bytes: &[u8], source: Source) {
        let within = source.encoded.unwrap_or((source.base, bytes.len() as u64));
        let bytes = self.bounded(bytes, source.base);
        let made;
        let (content, head) = match boundary(bytes).filter(|_| source.headless) {
            Some(boundary) => {
                let head = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n");
                made = [head.as_bytes(), bytes].concat();
                (made.as_slice(), head.len())
            }
            None => (bytes, 0),
        };
        let place = Place { base: i128::from(source.base) - head as i128, encoded: source.encoded, path: String::new() };
        let locator = Locator::Bytes { offset: within.0, length: within.1 };
        self.messages[0] += 1;
        match MessageParser::default().parse(content).filter(|message| !message.parts.is_empty()) {
            Some(message) => self.read(&message, &locator, &place, source, 0),
            None => {
                self.whole = false;
                self.emit.problem(Code::DocumentDamaged, format!("byte {}: not a message", within.0));
            }
        }
    }

    /// The message up to where too many others stand inside of it.
    fn bounded<'b>(&mut self, bytes: &'b [u8], base: u64) -> &'b [u8] {
        // Case does not matter in media types, so the search is for what stands in the middle of them in any.
        let mut nested = memchr::memchr_iter(b'/', bytes).filter(|at| {
            let behind = bytes.get(at.saturating_add(1)..).unwrap_or_default();
            [b"rfc822".as_slice(), b"global", b"digest"]
                .iter()
                .any(|word| behind.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
        });
        match nested.nth(NESTED_MOST) {
            Some(at) => {
                self.whole = false;
                self.emit.problem(
                    Code::CapDepth,
                    format!("message at byte {base}: more than {NESTED_MOST} messages inside, read up to there"),
                );
                bytes.get(..at).unwrap_or_default()
            }
            None => bytes,
        }
    }

    /// Counts a message inside another.
    pub fn nested(&mut self, message: &Message<'_>, locator: &Locator, place: &Place, depth: usize) {
        self.messages[0] += 1;
        self.read(message, locator, place, Source::default(), depth);
    }

    /// Puts what a message tells. `locator` is where it stands, and what its attachments name it by.
    fn read(&mut self, message: &Message<'_>, locator: &Locator, place: &Place, source: Source, depth: usize) {
        let people = address::people(message);
        let thread_key = thread_key(message);
        let subject = message.subject().map(str::to_owned);
        if let Some(key) = &thread_key {
            self.thread(key, subject.clone(), locator);
            self.people(&people, key, place);
        }
        let text = super::parts::text(message);
        let keys = |role: &str| {
            let keys: Vec<&str> = people.iter().filter(|person| person.role == role).map(|person| person.key.as_str()).collect();
            (!keys.is_empty()).then(|| keys.join(", "))
        };
        let record = record::Message {
            provenance: self.emit.provenance(locator.clone()),
            app: APP.to_owned(),
            thread_key,
            sender: keys("from").or_else(|| keys("sender")),
            recipient: keys("to"),
            outgoing: None,
            sent: self.date(message, locator),
            received: source.received,
            edited: None,
            text,
            subject,
            message_type: Some("text".to_owned()),
            message_key: message.message_id().map(str::to_owned),
            quoted_key: last_id(message.in_reply_to()).or_else(|| last_id(message.references())),
            quoted_text: None,
            quoted_sender: None,
            forwarded: None,
            status: None,
            extra: self.extra(message, source.extra, locator),
        };
        self.messages[1] += u64::from(self.emit.record(Record::Message(Box::new(record))));
        super::parts::read(self, message, locator, place, depth);
    }

    fn thread(&mut self, key: &str, name: Option<String>, locator: &Locator) {
        let thread = record::Thread {
            provenance: self.emit.provenance(locator.clone()),
            app: APP.to_owned(),
            thread_key: key.to_owned(),
            name,
            thread_type: None,
            created: None,
            implied: false,
        };
        count(&mut self.threads, self.emit.record(Record::Thread(thread)));
    }

    fn people(&mut self, people: &[Person], thread_key: &str, place: &Place) {
        for person in people {
            let (from, to) = (person.place.0, person.place.0.saturating_add(person.place.1));
            let (offset, length) = place.range(from, to);
            // The path keeps people of messages apart that stand encoded in the same range.
            let pointer = format!("{}/{}/{}", place.pointer(), person.role, person.number);
            let provenance = self.emit.provenance(Locator::Pointer { pointer, offset, length });
            let account = record::Account {
                provenance: provenance.clone(),
                app: APP.to_owned(),
                account_key: person.key.clone(),
                display_name: person.name.clone(),
                is_owner: None,
                same_as: None,
                phone: None,
                phone_raw: None,
                about: None,
                chain: None,
                extra: None,
            };
            count(&mut self.accounts, self.emit.record(Record::Account(account)));
            let participant = record::Participant {
                provenance,
                app: APP.to_owned(),
                thread_key: thread_key.to_owned(),
                account_key: person.key.clone(),
                role: Some(person.role.to_owned()),
            };
            count(&mut self.participants, self.emit.record(Record::Participant(participant)));
        }
    }

    /// The date as it is written, and in UTC where it says its zone.
    fn date(&mut self, message: &Message<'_>, locator: &Locator) -> Option<Stamp> {
        let raw = raw_header(message, &HeaderName::Date)?;
        let strict = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
        let utc_us = strict.parse_timestamp(&raw).ok().map(|time| time.as_microsecond()).or_else(|| {
            // Dates that bend the standard (no seconds, names of months in full) still count where a numeric zone stands in them.
            let time = message.date().filter(|time| time.is_valid() && has_zone(&raw))?;
            time.to_timestamp().checked_mul(1_000_000)
        });
        if utc_us.is_none() {
            let start = locator.range().map_or(0, |range| range.0);
            self.emit.problem(Code::DateAmbiguous, format!("message at byte {start}: date {}", model::text::escape(&raw)));
        }
        Some(Stamp::text(raw, utc_us))
    }

    /// Headers that have no column, as one object; several of one name become a list.
    fn extra(&mut self, message: &Message<'_>, more: Vec<(String, Value)>, locator: &Locator) -> Option<String> {
        use HeaderName::{Date, From, MessageId, Subject, To};
        let mut extra: Map<String, Value> = more.into_iter().collect();
        let (mut kept, mut dropped) = (0usize, 0u64);
        let headers = message.parts.first().map(|part| part.headers.as_slice()).unwrap_or_default();
        for header in headers.iter().filter(|header| ![Date, From, MessageId, Subject, To].contains(&header.name)) {
            let value = match &header.value {
                HeaderValue::Text(text) => text.to_string(),
                _ => unfolded(message, header.offset_start, header.offset_end),
            };
            kept = kept.saturating_add(value.len()).saturating_add(header.name.as_str().len());
            if kept > EXTRA_MOST {
                dropped += 1;
                continue;
            }
            match extra.get_mut(header.name.as_str()) {
                None => {
                    extra.insert(header.name.as_str().to_owned(), value.into());
                }
                Some(Value::Array(values)) => values.push(value.into()),
                Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
            }
        }
        if dropped > 0 {
            let start = locator.range().map_or(0, |range| range.0);
            self.emit.problem(
                Code::CapValue,
                format!("message at byte {start}: {dropped} headers past {EXTRA_MOST} bytes are not kept"),
            );
        }
        (!extra.is_empty()).then(|| Value::Object(extra).to_string())
    }

    /// Tells the counts.
    pub fn finish(&mut self) {
        let mut row = |source: &str, kind: &str, [seen, records]: [u64; 2], reason: &str| {
            let reason = (seen > records).then(|| reason.to_owned());
            self.emit.ledger(source, kind, None, seen, records, reason);
        };
        row("messages", "message", self.messages, "not a message");
        row("conversations", "thread", self.threads, "duplicate_key");
        row("addresses", "account", self.accounts, "duplicate_key");
        row("addresses", "participant", self.participants, "duplicate_key");
        row("attachments", "attachment", self.attachments, "duplicate_key");
    }
}

fn count(counts: &mut [u64; 2], taken: bool) {
    let [seen, records] = counts;
    *seen += 1;
    *records += u64::from(taken);
}

/// What holds a conversation together: the first message it refers to, else the message itself (RFC 5322, 3.6.4).
fn thread_key(message: &Message<'_>) -> Option<String> {
    let first = |value: &HeaderValue<'_>| match value {
        HeaderValue::Text(text) => Some(text.to_string()),
        HeaderValue::TextList(list) => list.first().map(ToString::to_string),
        _ => None,
    };
    let key =
        first(message.references()).or_else(|| first(message.in_reply_to())).or_else(|| message.message_id().map(str::to_owned));
    key.filter(|key| !key.is_empty())
}

fn last_id(value: &HeaderValue<'_>) -> Option<String> {
    match value {
        HeaderValue::Text(text) => Some(text.to_string()),
        HeaderValue::TextList(list) => list.last().map(ToString::to_string),
        _ => None,
    }
}

fn raw_header(message: &Message<'_>, name: &HeaderName<'_>) -> Option<String> {
    let header = message.parts.first()?.headers.iter().find(|header| header.name == *name)?;
    Some(unfolded(message, header.offset_start, header.offset_end)).filter(|text| !text.is_empty())
}

/// A header's value as it is written, without the line breaks inside.
fn unfolded(message: &Message<'_>, from: u32, to: u32) -> String {
    let raw = message.raw_message.get(from as usize..to as usize).unwrap_or_default();
    let text = String::from_utf8_lossy(raw);
    text.trim().replace("\r\n", "").replace('\n', "")
}

/// Whether a written date has a numeric zone (`+0700`).
fn has_zone(date: &str) -> bool {
    let zone = |window: &[u8]| matches!(window, [b' ', b'+' | b'-', digits @ ..] if digits.iter().all(u8::is_ascii_digit));
    date.as_bytes().windows(6).any(zone)
}
