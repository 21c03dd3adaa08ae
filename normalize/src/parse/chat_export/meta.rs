//! Messenger and Instagram: `message_1.json` of "Download your information" (2018 and later), and the one that Messenger itself writes
//! of end-to-end encrypted chats (2023 and later: `senderName`).
//!
//! Meta writes the bytes of UTF-8 as characters of their own (`\u00e2\u0080\u0099` for ’): texts are put right where that is what they
//! are. People are known by their names only, which are therefore the keys of accounts; whose account it was is not told.

use super::fields::{Fields, scalar};
use super::{At, Dialect, Opening, Reading};
use model::record::{Message, Record, Thread};
use model::{Stamp, TimeUnit};
use serde_json::Value;

/// Fields that list files, and the word for a message that has them.
const FILES: [(&str, &str); 6] = [
    ("photos", "image"),
    ("videos", "video"),
    ("audio_files", "audio"),
    ("gifs", "image"),
    ("files", "file"),
    ("media", "media"),
];

pub(super) struct Meta;

impl Dialect for Meta {
    fn name(&self) -> &'static str {
        "meta_export"
    }

    fn version(&self) -> u32 {
        1
    }

    fn marks(&self) -> &'static [&'static str] {
        &["\"sender_name\"", "\"senderName\"", "\"participants\""]
    }

    fn array(&self) -> Option<&'static str> {
        Some("messages")
    }

    fn knows(&self, opening: &Opening) -> bool {
        let old = opening.first_has(&["sender_name", "timestamp_ms"]) || opening.first_has(&["sender_name", "timestamp"]);
        let encrypted = opening.first_has(&["senderName", "timestamp"]);
        let empty = opening.first.is_none() && opening.has(&["participants", "messages", "thread_path"]);
        opening.has(&["messages"]) && (old || encrypted || empty)
    }

    fn begin(&self, reading: &mut Reading<'_, '_>) {
        mend_all(&mut Value::Object(std::mem::take(&mut reading.document.fields)), &mut reading.document.fields);
        reading.app = app(reading);
        let document = &reading.document;
        let key = document.text("thread_path").or_else(|| document.text("threadName"));
        let name = document.text("title").or_else(|| document.text("threadName"));
        // The newer form numbers its chats behind their names.
        let name = name.map(|name| if document.text("title").is_none() { unnumbered(&name).to_owned() } else { name });
        reading.thread.clone_from(&key);
        if let Some(key) = &key {
            let thread = Thread {
                provenance: reading.emit.provenance(super::locator(String::new(), reading.document.whole)),
                app: reading.app.to_owned(),
                thread_key: key.clone(),
                name,
                thread_type: reading.document.text("thread_type"),
                created: None,
                implied: false,
            };
            reading.put("document", Record::Thread(thread));
        }
        for (number, person) in reading.document.list("participants").iter().enumerate() {
            let Some(name) = person.get("name").and_then(scalar).or_else(|| scalar(person)) else { continue };
            let at = reading.field("participants", Some(number));
            reading.account("participants", &at, &name, |account| account.display_name = Some(name.clone()));
            if let Some(key) = &key {
                reading.participant("participants", &at, key, &name);
            }
        }
    }

    fn element(&self, fields: Fields, at: &At, reading: &mut Reading<'_, '_>) {
        let mut mended = serde_json::Map::new();
        mend_all(&mut Value::Object(fields.0), &mut mended);
        let mut fields = Fields(mended);
        let sender = fields.text("sender_name").or_else(|| fields.text("senderName"));
        if let Some(name) = &sender {
            let at = at.part(if fields.0.contains_key("timestamp_ms") { "sender_name" } else { "senderName" });
            reading.account("senders", &at, name, |account| account.display_name = Some(name.clone()));
        }
        let kind = fields.text("type");
        let (files, word) = attachments(&mut fields, at, reading);
        let link = fields.0.get("share").and_then(|share| share.get("link")).and_then(scalar);
        let called = fields.0.contains_key("call_duration");
        let unsent =
            [fields.0.get("is_unsent"), fields.0.get("isUnsent")].into_iter().flatten().any(|value| value == &Value::Bool(true));
        let text = fields.text("content").or_else(|| fields.text("text"));
        let message_type = match kind.as_deref() {
            _ if files > 0 => word.to_owned(),
            _ if called => "call".to_owned(),
            None | Some("Generic" | "text" | "Share" | "link") if link.is_some() => "link".to_owned(),
            None | Some("Generic" | "text") => "text".to_owned(),
            Some("Subscribe" | "Unsubscribe") => "system".to_owned(),
            Some(other) => other.to_lowercase(),
        };
        let message = Message {
            sender,
            sent: sent(&mut fields),
            text,
            message_type: Some(message_type),
            status: unsent.then(|| "unsent".to_owned()),
            extra: fields.rest(),
            ..reading.message(at)
        };
        reading.main(Record::Message(Box::new(message)));
    }
}

/// Takes when it was sent: milliseconds; the exports of 2018 have seconds below another name.
fn sent(fields: &mut Fields) -> Option<Stamp> {
    let encrypted = fields.0.contains_key("isUnsent") || fields.0.contains_key("media") || fields.0.contains_key("reactions");
    match fields.time("timestamp_ms", TimeUnit::UnixMs) {
        None if encrypted => fields.time("timestamp", TimeUnit::UnixMs),
        None => fields.time("timestamp", seconds_or_not(fields)),
        stamp => stamp,
    }
}

/// The unit of a bare `timestamp`: seconds of any year that a message can have are less than a tenth of its milliseconds.
fn seconds_or_not(fields: &Fields) -> TimeUnit {
    let raw = fields.0.get("timestamp").and_then(Value::as_i64).unwrap_or_default();
    if raw.unsigned_abs() < 100_000_000_000 { TimeUnit::UnixS } else { TimeUnit::UnixMs }
}

/// Puts the files of a message: how many, and the word for such a message.
fn attachments(fields: &mut Fields, at: &At, reading: &mut Reading<'_, '_>) -> (usize, &'static str) {
    let (mut count, mut word) = (0, "");
    let put = |step: &str, file: Fields, reading: &mut Reading<'_, '_>| {
        let mut file = file;
        let uri = file.text("uri");
        reading.attachment("files", at, step, |attachment| {
            // What was not saved beside the export is an address.
            let remote = uri.as_deref().is_some_and(|uri| uri.contains("://"));
            attachment.name = file.text("filename").or_else(|| file.text("title"));
            (attachment.url, attachment.path) = if remote { (uri, None) } else { (None, uri) };
        });
    };
    for (field, kind) in FILES {
        for (number, file) in fields.objects(field).into_iter().enumerate() {
            put(&format!("{field}/{number}"), file, reading);
            (count, word) = (count + 1, if count == 0 { kind } else { word });
        }
    }
    if let Some(sticker) = fields.object("sticker") {
        put("sticker", sticker, reading);
        (count, word) = (count + 1, if count == 0 { "sticker" } else { word });
    }
    (count, word)
}

/// The app, where the document or its path names it.
fn app(reading: &Reading<'_, '_>) -> &'static str {
    let path = reading.path().to_lowercase();
    let told = |key: &str| reading.document.fields.contains_key(key);
    if path.contains("instagram") {
        "Instagram"
    } else if path.contains("facebook") || path.contains("messenger") || told("thread_type") || told("threadName") {
        "Facebook Messenger"
    } else {
        "Messenger or Instagram"
    }
}

/// `Name_12` without its number.
fn unnumbered(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((name, number)) if !name.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    }
}

/// Puts every text of an object right, keys left as they are.
fn mend_all(value: &mut Value, into: &mut serde_json::Map<String, Value>) {
    mend(value);
    if let Value::Object(fields) = std::mem::take(value) {
        *into = fields;
    }
}

/// Puts texts right; as deep as serde_json reads (128).
fn mend(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(right) = mended(text) {
                *text = right;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mend),
        Value::Object(fields) => fields.values_mut().for_each(mend),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text whose bytes of UTF-8 stand as characters; `None` if these are none.
fn mended(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let bytes: Vec<u8> = text.chars().map(|char| u8::try_from(u32::from(char))).collect::<Result<_, _>>().ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_written_as_characters_are_put_right_and_texts_left() {
        assert_eq!(mended("It\u{e2}\u{80}\u{99}s").as_deref(), Some("It’s"));
        assert_eq!(mended("\u{e6}\u{82}\u{a8}\u{e5}\u{a5}\u{bd}").as_deref(), Some("您好"));
        for text in ["plain", "caf\u{e9}", "您好", "It’s \u{e2}"] {
            assert_eq!(mended(text), None, "{text}");
        }
        assert_eq!((unnumbered("Ann Example_12"), unnumbered("a_b"), unnumbered("_1")), ("Ann Example", "a_b", "_1"));
    }
}
