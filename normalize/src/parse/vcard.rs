//! vCard 2.1, 3.0 and 4.0: contacts with their numbers and addresses, one card at a time.
//!
//! A reader of its own: each property keeps its line and its value as written, which libraries that build a model do not give.
//! Pictures, sounds and keys are passed over with their size told; whatever else has no column is kept in `extra`.

use crate::emit::Emit;
use crate::parse::lines::{Line, Lines};
use crate::parse::{Input, Outcome, Parser};
use model::recognize::phone;
use model::record::{Contact, ContactPoint, Record};
use model::{Code, Locator};
use property::{Encoding, Property, components, unescape};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader};

mod property;

const APP: &str = "vCard";
/// Points of one card that wait for the labels of their groups, which come behind them.
const POINTS_WAITING: usize = 1000;
/// Bytes of other properties of one card that are kept.
const EXTRA_MOST: usize = 1 << 20;
/// Cards inside cards.
const NESTED_MOST: usize = 16;
/// Bytes of an encoded picture, sound or key that are kept before it is decided that it is one.
const BINARY_KEPT: usize = 4 << 10;

/// The parser.
pub struct Vcard;

impl Parser for Vcard {
    fn name(&self) -> &'static str {
        "vcard"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let (encoding, mark) = crate::parse::lines::encoding(input.head);
        let start = input.head.get(mark..).unwrap_or_default();
        let named = input.unit.primary.name.to_ascii_lowercase().ends_with(b".vcf");
        // Nearly every file is another: its first byte that is no space says so.
        let first = start.iter().find(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'));
        let other = first.is_some_and(|byte| byte.is_ascii() && !byte.eq_ignore_ascii_case(&b'b'));
        if !named && other && encoding == model::observable::Encoding::Utf8 {
            return false;
        }
        let text = crate::find::row::text(start.get(..start.len().min(4 << 10)).unwrap_or_default(), encoding);
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        // By its first line; a file of that name may have something before it.
        if named { lines.any(is_begin) } else { lines.next().is_some_and(is_begin) }
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let cap = usize::try_from(input.limits.cap_value_bytes).unwrap_or(usize::MAX);
        let open = || Lines::new(BufReader::with_capacity(256 << 10, File::open(input.folder.join("main"))?), cap);
        match open().and_then(count).and_then(|cards| read(open()?, cards, cap, emit)) {
            Ok(true) => Outcome::parsed(),
            Ok(false) => Outcome::partial("a card without its end"),
            Err(error) => {
                let detail = format!("reading failed: {}", error.kind());
                emit.problem(Code::Unreadable, detail.clone());
                Outcome::partial(detail)
            }
        }
    }
}

fn is_begin(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("BEGIN:VCARD")
}

/// The first reading: how many cards begin.
fn count(mut lines: Lines<BufReader<File>>) -> io::Result<u64> {
    let mut cards = 0;
    while let Some(line) = lines.next()? {
        // A folded line is part of a value.
        cards += u64::from(is_begin(&line.text) && !line.text.starts_with([' ', '\t']));
    }
    Ok(cards)
}

/// A content line while its folded parts come in.
struct Folded {
    line: u64,
    offset: u64,
    end: u64,
    bytes: Vec<u8>,
    /// Bytes of the value in all, also those not kept.
    length: u64,
    encoding: Encoding,
    cut: bool,
}

/// A number or address that waits for its label.
struct Point {
    place: Locator,
    group: Option<String>,
    kind: &'static str,
    value: Option<String>,
    raw: String,
    label: Option<String>,
}

/// A card that is read.
#[derive(Default)]
struct Card {
    line: u64,
    offset: u64,
    name: Option<String>,
    structured_name: Option<String>,
    organization: Option<String>,
    note: Option<String>,
    extra: Map<String, Value>,
    extra_bytes: usize,
    /// Properties that were too many to keep.
    dropped: u64,
    points: Vec<Point>,
    labels: HashMap<String, String>,
    /// Whether the last property was AGENT: a card may follow inside.
    agent: bool,
}

struct Reading<'r, 'e> {
    emit: &'r mut Emit<'e>,
    cap: usize,
    cards: Vec<Card>,
    contacts: u64,
    points_seen: u64,
    points: u64,
    whole: bool,
}

/// The second reading; false where a card has no end.
fn read(mut lines: Lines<BufReader<File>>, cards: u64, cap: usize, emit: &mut Emit<'_>) -> io::Result<bool> {
    let mut reading = Reading { emit, cap, cards: Vec::new(), contacts: 0, points_seen: 0, points: 0, whole: true };
    let mut folded: Option<Folded> = None;
    let mut end = 0;
    while let Some(line) = lines.next()? {
        end = line.offset + line.length;
        let bytes: Vec<u8> = match lines.is_wide() {
            true => line.text.clone().into_bytes(),
            false => {
                let raw = lines.raw();
                let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
                raw.strip_suffix(b"\r").unwrap_or(raw).to_vec()
            }
        };
        if let Some(open) = &mut folded
            && open.goes_on(&bytes)
        {
            open.take(&bytes, end, cap);
            continue;
        }
        if let Some(done) = folded.replace(Folded::of(&line, bytes)) {
            reading.content_line(done);
        }
    }
    if let Some(done) = folded {
        reading.content_line(done);
    }
    while let Some(card) = reading.cards.pop() {
        reading.no_end(card, end);
    }
    reading.emit.ledger("cards", "contact", None, cards, reading.contacts, None);
    if reading.points_seen > 0 {
        reading.emit.ledger("properties", "contact_point", None, reading.points_seen, reading.points, None);
    }
    Ok(reading.whole)
}

impl Folded {
    fn of(line: &Line, bytes: Vec<u8>) -> Folded {
        let encoding = Property::of(&bytes).map_or(Encoding::Plain, |property| property.encoding);
        let (offset, end, length) = (line.offset, line.offset + line.length, bytes.len() as u64);
        Folded { line: line.number, offset, end, bytes, length, encoding, cut: line.cut }
    }

    /// Whether the next line goes on with this one: folded, behind a soft line break, or more base64 without folding.
    fn goes_on(&self, next: &[u8]) -> bool {
        match (self.encoding, next.first()) {
            (Encoding::QuotedPrintable, _) if self.bytes.last() == Some(&b'=') => true,
            (_, Some(b' ' | b'\t')) => true,
            (Encoding::Base64, Some(_)) => memchr::memchr(b':', next).is_none(),
            _ => false,
        }
    }

    fn take(&mut self, next: &[u8], end: u64, cap: usize) {
        let mut next = next;
        if self.encoding == Encoding::QuotedPrintable && self.bytes.last() == Some(&b'=') {
            self.bytes.pop();
        } else if let Some((b' ' | b'\t', rest)) = next.split_first() {
            next = rest;
        }
        let most = if self.encoding == Encoding::Base64 { BINARY_KEPT } else { cap };
        let room = most.saturating_sub(self.bytes.len()).min(next.len());
        self.bytes.extend_from_slice(next.get(..room).unwrap_or_default());
        self.cut |= room < next.len() && self.encoding != Encoding::Base64;
        self.length += next.len() as u64;
        self.end = end;
    }

    fn place(&self) -> Locator {
        Locator::Line { line: self.line, offset: self.offset, length: self.end - self.offset }
    }
}

impl Reading<'_, '_> {
    fn content_line(&mut self, folded: Folded) {
        if folded.cut {
            self.emit.problem(Code::CapValue, format!("line {}: value of {} bytes", folded.line, folded.length));
        }
        let blank = folded.bytes.iter().all(u8::is_ascii_whitespace);
        let Some(property) = Property::of(&folded.bytes) else {
            if !blank && !self.cards.is_empty() {
                self.emit.problem(Code::DocumentDamaged, format!("line {}: not a property", folded.line));
            }
            return;
        };
        let says_card = property.value.trim_ascii().eq_ignore_ascii_case(b"VCARD");
        match property.name.as_str() {
            "BEGIN" if says_card => self.begin(&folded),
            "END" if says_card => match self.cards.pop() {
                Some(card) => self.finish(card, folded.end),
                None => self.emit.problem(Code::DocumentDamaged, format!("line {}: an end without a beginning", folded.line)),
            },
            _ => self.property(&property, &folded),
        }
    }

    /// Begins a card: inside another only as its AGENT, else the one before has lost its end.
    fn begin(&mut self, folded: &Folded) {
        let nested = self.cards.last().is_some_and(|card| card.agent);
        if !nested || self.cards.len() >= NESTED_MOST {
            while let Some(card) = self.cards.pop() {
                self.no_end(card, folded.offset);
            }
        }
        self.cards.push(Card { line: folded.line, offset: folded.offset, ..Card::default() });
    }

    fn no_end(&mut self, card: Card, end: u64) {
        self.whole = false;
        self.emit.problem(Code::DocumentDamaged, format!("line {}: a card without its end", card.line));
        self.finish(card, end);
    }

    fn property(&mut self, property: &Property, folded: &Folded) {
        let Some(card) = self.cards.last_mut() else { return };
        card.agent = property.name == "AGENT";
        let (text, valid) = property.text();
        if !valid && property.encoding != Encoding::Base64 {
            let set = property.charset.as_deref().unwrap_or("UTF-8");
            let detail = format!("line {}: {} is not valid in {}", folded.line, property.name, model::text::escape(set));
            self.emit.problem(Code::TextInvalid, detail);
        }
        if property.encoding == Encoding::Base64 {
            card.keep(&property.name, format!("({} bytes of base64)", folded.length));
            return;
        }
        match property.name.as_str() {
            "VERSION" => card.keep("VERSION", text),
            "FN" if card.name.is_none() => card.name = Some(unescape(&text).trim().to_owned()).filter(|name| !name.is_empty()),
            "N" if card.structured_name.is_none() => {
                card.structured_name = full_name(&components(&text));
                card.keep("N", text);
            }
            "ORG" if card.organization.is_none() => {
                let parts: Vec<_> = components(&text).into_iter().filter(|part| !part.is_empty()).collect();
                card.organization = (!parts.is_empty()).then(|| parts.join("; "));
            }
            "NOTE" => {
                let text = unescape(&text);
                card.note = Some(card.note.take().map_or(text.clone(), |note| format!("{note}\n{text}")));
            }
            "X-ABLABEL" if property.group.is_some() => {
                let label = text.trim_start_matches("_$!<").trim_end_matches(">!$_").to_lowercase();
                card.labels.insert(property.group.clone().unwrap_or_default(), label);
            }
            name => match kind(name) {
                Some(kind) if !text.trim_matches([';', ' ']).is_empty() => {
                    self.points_seen += 1;
                    let point = self.point(kind, property, text, folded.place());
                    if let Some(card) = self.cards.last_mut() {
                        card.points.push(point);
                        if card.points.len() >= POINTS_WAITING {
                            let (points, contact) = (std::mem::take(&mut card.points), card.place(folded.end));
                            self.put_points(points, &contact, &HashMap::new());
                        }
                    }
                }
                _ => card.keep(name, unescape(&text)),
            },
        }
    }

    fn point(&self, kind: &'static str, property: &Property, text: String, place: Locator) -> Point {
        let raw = if kind == "address" { text } else { unescape(&text).trim().to_owned() };
        let value = match kind {
            "phone" => {
                let number = raw.strip_prefix("tel:").or_else(|| raw.strip_prefix("TEL:")).unwrap_or(&raw);
                phone::normalize(number, self.emit.region())
            }
            "email" => raw.rsplit_once('@').map(|(local, domain)| format!("{local}@{}", domain.to_lowercase())),
            "address" => Some(components(&raw).into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")),
            _ => None,
        };
        let mut label: Vec<_> = property.types.iter().filter(|word| !word.is_empty()).cloned().collect();
        if kind == "im" && property.name.starts_with("X-") {
            label.insert(0, property.name.trim_start_matches("X-").to_lowercase());
        }
        let label = (!label.is_empty()).then(|| label.join(","));
        Point { place, group: property.group.clone(), kind, value, raw, label }
    }

    fn put_points(&mut self, points: Vec<Point>, contact: &Locator, labels: &HashMap<String, String>) {
        for point in points {
            let named = point.group.as_ref().and_then(|group| labels.get(group)).cloned();
            let record = ContactPoint {
                provenance: self.emit.provenance(point.place),
                contact: contact.clone(),
                kind: point.kind.to_owned(),
                value: point.value,
                raw: point.raw,
                label: named.or(point.label),
            };
            self.points += u64::from(self.emit.record(Record::ContactPoint(record)));
        }
    }

    fn finish(&mut self, mut card: Card, end: u64) {
        let place = card.place(end);
        if card.dropped > 0 {
            let detail = format!(
                "card at line {}: {} properties past {} bytes are not kept",
                card.line,
                card.dropped,
                self.cap.min(EXTRA_MOST)
            );
            self.emit.problem(Code::CapValue, detail);
        }
        self.put_points(std::mem::take(&mut card.points), &place, &card.labels);
        let contact = Contact {
            provenance: self.emit.provenance(place),
            app: APP.to_owned(),
            display_name: card.name.or(card.structured_name),
            organization: card.organization,
            note: card.note,
            extra: (!card.extra.is_empty()).then(|| Value::Object(card.extra).to_string()),
        };
        self.contacts += u64::from(self.emit.record(Record::Contact(contact)));
    }
}

impl Card {
    fn place(&self, end: u64) -> Locator {
        Locator::Line { line: self.line, offset: self.offset, length: end.saturating_sub(self.offset) }
    }

    /// Keeps a property that has no column of its own; several of one name become a list.
    fn keep(&mut self, name: &str, text: String) {
        self.extra_bytes += name.len() + text.len();
        if self.extra_bytes > EXTRA_MOST {
            self.dropped += 1;
            return;
        }
        match self.extra.get_mut(name) {
            None => {
                self.extra.insert(name.to_owned(), text.into());
            }
            Some(Value::Array(values)) => values.push(text.into()),
            Some(value) => *value = Value::Array(vec![value.take(), text.into()]),
        }
    }
}

/// Given and family name with all around them, in the order of speech.
fn full_name(parts: &[String]) -> Option<String> {
    let order = [3, 1, 2, 0, 4];
    let words: Vec<_> =
        order.iter().filter_map(|index| parts.get(*index)).filter(|part| !part.is_empty()).map(String::as_str).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The kind of contact point that a property is.
fn kind(name: &str) -> Option<&'static str> {
    Some(match name {
        "TEL" => "phone",
        "EMAIL" => "email",
        "URL" => "url",
        "ADR" | "LABEL" | "X-SAMSUNGADR" => "address",
        "IMPP" | "X-AIM" | "X-ICQ" | "X-JABBER" | "X-MSN" | "X-YAHOO" | "X-SKYPE" | "X-SKYPE-USERNAME" | "X-QQ" | "X-GTALK"
        | "X-GOOGLE-TALK" | "X-GADUGADU" | "X-GROUPWISE" | "X-SOCIALPROFILE" | "SOCIALPROFILE" | "X-WECHAT" | "X-LINE"
        | "X-TELEGRAM" | "X-WHATSAPP" => "im",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
