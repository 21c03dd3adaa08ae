//! Mail: single messages (`.eml`, RFC 5322 and MIME), Apple Mail's `.emlx`, and mailboxes (mbox) of any size, one message at a time.
//!
//! Messages are taken apart by the `mail-parser` library; what is read of each is [`message`]. An `.emlx` is a line with the length of
//! the message, the message, and a property list with flags (<https://www.loc.gov/preservation/digital/formats/fdd/fdd000615.shtml>).

use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use mbox::Messages;
use message::{Reading, Source};
use model::{Code, Stamp, TimeUnit};
use std::fs::File;
use std::io::BufReader;

mod address;
mod dbx;
mod mapi;
mod mbox;
mod message;
pub mod outlook;
mod parts;
pub mod pst;
#[cfg(test)]
mod tests;

/// Headers that nothing but mail begins with, in lower case.
const SURE: &[&[u8]] = &[
    b"received",
    b"return-path",
    b"message-id",
    b"mime-version",
    b"delivered-to",
    b"x-mailer",
    b"in-reply-to",
    b"reply-to",
    b"dkim-signature",
    b"content-transfer-encoding",
    b"x-mozilla-status",
    b"x-gmail-labels",
    b"x-originating-ip",
    b"x-apparently-to",
    b"arc-seal",
    b"authentication-results",
    b"x-received",
    b"bcc",
    b"list-id",
    b"list-unsubscribe",
    b"user-agent",
];
/// Headers that other texts may begin with, too.
const LIKELY: &[&[u8]] =
    &[b"from", b"to", b"cc", b"subject", b"date", b"sent", b"sender", b"content-type", b"status", b"x-status", b"references"];
/// First headers that are looked at.
const HEADERS_LOOKED_AT: usize = 100;

/// The parser.
pub struct Mail;

/// How a file holds its messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// One message and nothing else.
    Single,
    /// Length, message, property list: the first byte of the message and its length.
    Emlx(u64, u64),
    /// A mailbox.
    Mbox,
    /// A folder of Outlook Express.
    Dbx,
    /// A body whose headers are gone: it begins with a MIME boundary.
    Headless,
}

impl Parser for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn version(&self) -> u32 {
        3
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        kind(input.head, &input.unit.primary.name).is_some()
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let kind = kind(input.head, &input.unit.primary.name).unwrap_or(Kind::Single);
        let cap = usize::try_from(input.limits.cap_value_bytes).unwrap_or(usize::MAX);
        let mut reading = Reading::new(emit, input.limits);
        let read = match kind {
            Kind::Mbox => mailbox(input, cap, &mut reading),
            Kind::Dbx => File::open(input.folder.join("main")).and_then(|file| dbx::read(file, cap, &mut reading)),
            _ => {
                let content = match input.content(input.limits.cap_value_bytes, "message", reading.emit) {
                    Ok(content) => content,
                    Err(outcome) => return outcome,
                };
                single(kind, &content, &mut reading);
                Ok(())
            }
        };
        reading.finish();
        match (read, reading.whole) {
            (Ok(()), true) => Outcome::parsed(),
            (Ok(()), false) => Outcome::partial("not every message could be read whole"),
            (Err(error), _) => {
                let detail = format!("reading failed: {}", error.kind());
                reading.emit.problem(Code::Unreadable, detail.clone());
                Outcome::partial(detail)
            }
        }
    }
}

/// How content that begins so holds mail; `None` if it holds none.
fn kind(head: &[u8], name: &[u8]) -> Option<Kind> {
    if dbx::is_dbx(head) {
        return Some(Kind::Dbx);
    }
    let name = name.to_ascii_lowercase();
    let named = [b".eml".as_slice(), b".emlx", b".mht", b".mhtml", b".msg"].iter().any(|end| name.ends_with(end));
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    if let Some(rest) = text.strip_prefix(b"From ") {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let behind = rest.get(line.len().saturating_add(1)..).unwrap_or_default();
        return (mbox::is_divider(line) && is_headers(behind, true)).then_some(Kind::Mbox);
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if let (1..=18, Some(line)) = (digits, text.split(|byte| *byte == b'\n').next())
        && line.get(digits..).is_some_and(|rest| rest.iter().all(u8::is_ascii_whitespace))
    {
        let length = text.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|text| text.parse().ok());
        let start = line.len().saturating_add(1);
        if let (Some(length), true) = (length, is_headers(text.get(start..).unwrap_or_default(), named)) {
            return Some(Kind::Emlx(start as u64, length));
        }
    }
    if is_headers(text, named) {
        return Some(Kind::Single);
    }
    (named && message::boundary(head).is_some()).then_some(Kind::Headless)
}

/// Whether a text begins with the headers of a mail: one that only mail has, and three in all; a single one where the name says mail.
fn is_headers(text: &[u8], named: bool) -> bool {
    let (mut sure, mut likely) = (0usize, 0usize);
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate().take(HEADERS_LOOKED_AT) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if number > 0 && line.first().is_some_and(|byte| *byte == b' ' || *byte == b'\t') {
            continue;
        }
        let Some(name) = mbox::header_name(line) else {
            // Of a file that is called a mail, the first line may be damaged.
            if named && number == 0 {
                continue;
            }
            break;
        };
        let name = name.to_ascii_lowercase();
        sure += usize::from(SURE.contains(&name.as_slice()));
        likely += usize::from(LIKELY.contains(&name.as_slice()));
    }
    let all = sure.saturating_add(likely);
    if named { all > 0 } else { all > 2 || (sure > 0 && all > 1) }
}

/// A file with one message.
fn single(kind: Kind, content: &[u8], reading: &mut Reading<'_, '_>) {
    let (start, length) = match kind {
        Kind::Emlx(start, length) => (start, length),
        _ => (0, content.len() as u64),
    };
    let from = usize::try_from(start).unwrap_or(usize::MAX).min(content.len());
    let (message, tail) =
        content.get(from..).unwrap_or_default().split_at_checked(usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or_else(
            || {
                let rest = content.get(from..).unwrap_or_default();
                reading.emit.problem(Code::Truncated, format!("message of {length} bytes, of which {} are there", rest.len()));
                reading.whole = false;
                (rest, &[])
            },
        );
    let mut source = Source { base: start, received: None, extra: Vec::new(), encoded: None, headless: kind == Kind::Headless };
    if let (Kind::Emlx(..), Some(list)) = (kind, model::plist::Plist::open(tail.trim_ascii())) {
        source.received =
            list.get(&["date-received"]).and_then(model::plist::Value::integer).map(|time| Stamp::integer(time, TimeUnit::UnixS));
        for key in ["flags", "remote-id"] {
            let value = match list.get(&[key]) {
                Some(model::plist::Value::Integer(number)) => number.into(),
                Some(model::plist::Value::Text(text)) => text.into(),
                _ => continue,
            };
            source.extra.push((format!("emlx {key}"), value));
        }
    }
    reading.message(message, source);
}

/// A mailbox.
fn mailbox(input: &Input<'_>, cap: usize, reading: &mut Reading<'_, '_>) -> std::io::Result<()> {
    let file = File::open(input.folder.join("main"))?;
    let mut messages = Messages::new(BufReader::with_capacity(256 << 10, file), cap);
    while let Some(next) = messages.next()? {
        if next.dropped > 0 {
            let detail = format!(
                "message at byte {}: {} bytes past the first {} are not read",
                next.offset,
                next.dropped,
                next.bytes.len()
            );
            reading.emit.problem(Code::CapValue, detail);
            reading.whole = false;
        }
        reading.message(&next.bytes, Source { base: next.offset, ..Source::default() });
    }
    Ok(())
}
