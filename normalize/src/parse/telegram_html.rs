//! Telegram Desktop's export as pages (`messages.html`, `messages2.html`, …): one chat a page or more, people by their names only.
//!
//! A message is a `div` of class `message`; what is in it has classes of its own ([`page`]). The attribute `title` of its date has the zone of the
//! exporting computer since 2021; without one the time stays as it is written. A `joined` message is by whom the one before it is. Pages of one
//! chat are items of their own, so a chat is keyed by its name.

use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use model::record::{Attachment, Message, Record, Thread};
use model::{Code, Locator, Stamp};
use page::{Found, Page};
use serde_json::{Map, json};

mod page;

const APP: &str = "Telegram";
/// Bytes of a page at most; Telegram begins a new one every thousand messages.
const PAGE_BYTES_MAX: u64 = 256 << 20;

/// The parser.
pub struct TelegramHtml;

impl Parser for TelegramHtml {
    fn name(&self) -> &'static str {
        "telegram_html"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let says = |what: &[u8]| memchr::memmem::find(input.head, what).is_some();
        says(b"<html") && says(b"class=\"page_wrap\"") && says(b"chat_page") && says(b"class=\"history\"")
    }

    fn reads_whole(&self) -> bool {
        true
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(PAGE_BYTES_MAX, "page of an export", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let text = String::from_utf8_lossy(&content);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            emit.problem(Code::TextInvalid, "page is not valid UTF-8; places are those of its repaired text");
        }
        let page = Page::read(&text);
        let (mut messages, mut files, mut last) = (0, 0, None);
        put_chat(&page, content.len(), emit);
        for found in &page.messages {
            let sender = if found.joined { last.clone() } else { found.name.clone() };
            last = if found.service { None } else { sender.clone() };
            messages += u64::from(put_message(&page, found, sender, emit));
            files += put_file(found, emit);
        }
        let seen = page.messages.len() as u64;
        emit.ledger("messages", "message", None, seen, messages, None);
        if files > 0 {
            emit.ledger("messages.media", "attachment", None, files, files, None);
        }
        if page.cut {
            emit.problem(Code::Truncated, "the page ends inside a message");
            return Outcome::partial("the page ends inside a message");
        }
        Outcome::parsed()
    }
}

fn place(found: &Found) -> Locator {
    Locator::Bytes { offset: found.offset as u64, length: found.length as u64 }
}

/// Key of the chat: its name, which is all that the page says of it.
fn key(page: &Page) -> String {
    page.chat.clone().unwrap_or_else(|| "chat".to_owned())
}

fn put_chat(page: &Page, length: usize, emit: &mut Emit<'_>) {
    let thread = Thread {
        provenance: emit.provenance(Locator::Bytes { offset: 0, length: length as u64 }),
        app: APP.to_owned(),
        thread_key: key(page),
        name: page.chat.clone(),
        thread_type: None,
        created: None,
        implied: false,
    };
    let put = emit.record(Record::Thread(thread));
    emit.ledger("page_header", "thread", None, 1, u64::from(put), None);
}

fn put_message(page: &Page, found: &Found, sender: Option<String>, emit: &mut Emit<'_>) -> bool {
    let mut extra = Map::new();
    for (name, value) in [
        ("forwarded_from", &found.origin),
        ("forwarded_date", &found.origin_date),
        ("media", &found.title),
        ("status", &found.status),
        ("signature", &found.signature),
    ] {
        if let Some(value) = value {
            extra.insert(name.to_owned(), json!(value));
        }
    }
    if !found.links.is_empty() {
        extra.insert("links".to_owned(), json!(found.links));
    }
    if found.joined {
        extra.insert("joined".to_owned(), json!(true));
    }
    let message = Message {
        provenance: emit.provenance(place(found)),
        app: APP.to_owned(),
        thread_key: Some(key(page)),
        sender: if found.service { None } else { sender },
        recipient: None,
        outgoing: None,
        sent: found.date.as_deref().map(|date| Stamp::text(date, utc(date))),
        received: None,
        edited: None,
        text: found.text.clone(),
        subject: None,
        message_type: Some(if found.service { "system" } else { found.kind() }.to_owned()),
        message_key: found.id.clone(),
        quoted_key: found.reply.clone(),
        quoted_text: None,
        quoted_sender: None,
        forwarded: found.forwarded.then_some(true),
        status: None,
        extra: (!extra.is_empty()).then(|| serde_json::Value::Object(extra).to_string()),
    };
    emit.record(Record::Message(Box::new(message)))
}

/// Puts the file of a message that was saved or is named.
fn put_file(found: &Found, emit: &mut Emit<'_>) -> u64 {
    if found.path.is_none() && !found.is_file() {
        return 0;
    }
    let attachment = Attachment {
        provenance: emit.provenance(place(found)),
        message: place(found),
        path: found.path.clone(),
        media_type: None,
        sha256: None,
        size_bytes: None,
        name: found.title.clone(),
        url: None,
    };
    u64::from(emit.record(Record::Attachment(attachment)))
}

/// `28.07.2026 14:56:06 UTC+09:00` in microseconds since 1970; `None` without a zone.
fn utc(date: &str) -> Option<i64> {
    let (local, zone) = date.trim().split_once(" UTC")?;
    let time = jiff::civil::DateTime::strptime("%d.%m.%Y %H:%M:%S", local).ok()?;
    let zone = zone.trim();
    let (sign, hours_minutes) = match zone.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, zone.strip_prefix('-')?),
    };
    let (hours, minutes) = hours_minutes.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_mul(sign)?;
    let offset = jiff::tz::Offset::from_seconds(seconds).ok()?;
    offset.to_timestamp(time).ok().map(|time| time.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Scratch, problems, records};

    #[test]
    fn zones_of_titles() {
        // As `date -d '2026-07-28 14:56:06 +09:00' +%s` says.
        assert_eq!(utc("28.07.2026 14:56:06 UTC+09:00"), Some(1_785_218_166_000_000));
        assert_eq!(utc("28.07.2026 05:56:06 UTC+00:00"), Some(1_785_218_166_000_000));
        for none in
            ["28.07.2026 14:56:06", "28.07.2026 14:56:06 UTC", "07/28/2026 14:56:06 UTC+09:00", "28.07.2026 14:56:06 UTC+99:00"]
        {
            assert_eq!(utc(none), None, "{none}");
        }
    }

    #[test]
    fn a_page_that_is_cut_or_deep_does_no_harm() {
        let page = "<!DOCTYPE html><html><div class=\"page_wrap\"><div class=\"page_body chat_page\"><div class=\"history\">\
            <div class=\"message default clearfix\" id=\"message1\"><div class=\"body\"><div class=\"from_name\">A</div><div class=\"text\">cut off";
        let bodies = Scratch::new("messages.html", page.as_bytes()).parse(&TelegramHtml);
        assert_eq!(problems(&bodies), [("truncated", "the page ends inside a message")]);
        assert!(
            records(&bodies)
                .iter()
                .any(|record| matches!(record, Record::Message(message) if message.text.as_deref() == Some("cut off")))
        );
        let deep = format!("{page}{}", "<div>".repeat(500_000));
        assert_eq!(records(&Scratch::new("messages.html", deep.as_bytes()).parse(&TelegramHtml)).len(), 2);
    }
}
