//! The parts of a message: bodies, attachments, messages inside.

use super::message::{Place, Reading};
use crate::emit::Part;
use crate::parse::document::{self, Pieces};
use mail_parser::{Message, MessagePart, MimeHeaders, PartType};
use model::record::{Attachment, Record};
use model::{Code, Digest, Locator};

/// Messages inside messages that are followed.
const DEPTH_MOST: usize = 32;

/// The text of a message: its plain bodies, else what its HTML bodies show.
pub fn text(message: &Message<'_>) -> Option<String> {
    let bodies = |ids: &[u32], wanted: fn(&PartType<'_>) -> Option<String>| {
        let parts = ids.iter().filter_map(|id| message.parts.get(*id as usize));
        let texts: Vec<String> = parts.filter_map(|part| wanted(&part.body)).filter(|text| !text.trim().is_empty()).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    };
    let plain = |body: &PartType<'_>| if let PartType::Text(text) = body { Some(text.to_string()) } else { None };
    let shown = |body: &PartType<'_>| if let PartType::Html(page) = body { Some(document::html::text(page)) } else { None };
    bodies(&message.text_body, plain).or_else(|| bodies(&message.html_body, shown))
}

/// Puts what the parts of a message hold. `locator` is where the message stands.
pub fn read(reading: &mut Reading<'_, '_>, message: &Message<'_>, locator: &Locator, place: &Place, depth: usize) {
    let plain = message
        .text_body
        .iter()
        .any(|id| matches!(message.parts.get(*id as usize).map(|part| &part.body), Some(PartType::Text(_))));
    for (number, part) in message.parts.iter().enumerate() {
        let id = u32::try_from(number).unwrap_or(u32::MAX);
        let path = place.part(number);
        let range = place.range(part.offset_body, part.offset_end);
        let name = name(&path, part);
        if part.is_encoding_problem {
            reading.emit.problem(Code::ValueUndecodable, format!("{name} at byte {}: not encoded as it says", range.0));
        }
        // What is the message's text already was searched with its record.
        let is_text = plain && message.text_body.contains(&id);
        match &part.body {
            PartType::Multipart(_) => continue,
            PartType::Text(_) if is_text => {}
            PartType::Html(page) => {
                let mut pieces = Pieces::within(reading.emit, &name, range);
                document::html::read(page.as_bytes(), Some(b"utf-8"), &mut pieces);
                pieces.finish();
            }
            PartType::Message(inner) => inside(reading, inner, part, &path, place, depth),
            PartType::Text(_) | PartType::Binary(_) | PartType::InlineBinary(_) => {
                let bytes = part.contents();
                if !document::inside::read(bytes, &name, range, reading.emit, &mut reading.budget) {
                    reading.emit.decoded(Part { name: &name, offset: range.0, length: range.1 }, bytes);
                }
            }
        }
        let body = message.text_body.contains(&id) || message.html_body.contains(&id);
        if !body || part.attachment_name().is_some() {
            attachment(reading, part, &path, range, locator);
        }
    }
}

/// `part 2`, and the name of the file it is.
fn name(path: &str, part: &MessagePart<'_>) -> String {
    match part.attachment_name() {
        Some(file) => format!("part {path} ({})", model::text::escape(file)),
        None => format!("part {path}"),
    }
}

/// A message that is a part of another.
fn inside(reading: &mut Reading<'_, '_>, inner: &Message<'_>, part: &MessagePart<'_>, path: &str, place: &Place, depth: usize) {
    let (offset, length) = place.range(part.offset_body, part.offset_end);
    if depth >= DEPTH_MOST || inner.parts.is_empty() {
        reading.whole = false;
        let code = if inner.parts.is_empty() { Code::DocumentDamaged } else { Code::CapDepth };
        reading.emit.problem(code, format!("part {path} at byte {offset}: message inside is not read"));
        return;
    }
    // The library counts offsets of a message that is not encoded from the start of the outer one.
    let encoded = part.encoding != mail_parser::Encoding::None;
    let inner_place =
        Place { base: place.base, encoded: place.encoded.or_else(|| encoded.then_some((offset, length))), path: path.to_owned() };
    let locator = Locator::Pointer { pointer: format!("/part/{path}"), offset, length };
    reading.nested(inner, &locator, &inner_place, depth + 1);
}

fn attachment(reading: &mut Reading<'_, '_>, part: &MessagePart<'_>, path: &str, range: (u64, u64), message: &Locator) {
    let bytes = part.contents();
    let media_type = part.content_type().map(|kind| match kind.subtype() {
        Some(subtype) => format!("{}/{subtype}", kind.ctype()).to_lowercase(),
        None => kind.ctype().to_lowercase(),
    });
    let (offset, length) = range;
    let record = Attachment {
        provenance: reading.emit.provenance(Locator::Pointer { pointer: format!("/part/{path}"), offset, length }),
        message: message.clone(),
        path: None,
        media_type,
        sha256: Some(Digest::of(bytes).to_string()),
        size_bytes: i64::try_from(bytes.len()).ok(),
        name: part.attachment_name().map(str::to_owned),
        url: None,
    };
    reading.attachments[0] += 1;
    reading.attachments[1] += u64::from(reading.emit.record(Record::Attachment(record)));
}
