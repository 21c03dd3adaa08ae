//! Media types by content: the first bytes decide, and the name only of what shows nothing in them ([`stores::named`]).

pub mod stores;

/// First bytes of every SQLite database (<https://sqlite.org/fileformat2.html>).
const SQLITE: &[u8] = b"SQLite format 3\0";
/// First bytes of a rollback journal (same page).
const JOURNAL: &[u8] = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";

/// A SQLite database.
pub const SQLITE_DATABASE: &str = "application/vnd.sqlite3";
/// A write-ahead log.
pub const SQLITE_WAL: &str = "application/x-sqlite3-wal";
/// A rollback journal.
pub const SQLITE_JOURNAL: &str = "application/x-sqlite3-journal";
/// JSON, by its first character.
pub const JSON: &str = "application/json";
/// A vCard.
pub const VCARD: &str = "text/vcard";
/// A property list, binary or XML.
pub const PLIST: &str = "application/x-plist";
/// Android binary XML.
pub const BINARY_XML: &str = "application/x-android-binary-xml";
/// A mailbox: messages behind dividing lines.
pub const MBOX: &str = "application/mbox";
/// A mail message.
pub const MAIL: &str = "message/rfc822";
/// A mail store of Outlook (MS-PST, 2.2.2.6).
pub const PST: &str = "application/vnd.ms-outlook-pst";
/// A mail folder of Outlook Express.
pub const DBX: &str = "application/x-outlook-express-dbx";
/// Text without another type.
pub const TEXT: &str = "text/plain";

/// The media type of an item whose content begins with `head`.
pub fn of_item(head: &[u8], path: &str) -> Option<&'static str> {
    of(head).or_else(|| stores::named(path))
}

/// The media type of content that begins with `head`; `None` if its first bytes say nothing.
pub fn of(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(SQLITE) {
        return Some(SQLITE_DATABASE);
    }
    if matches!(head, [0x37, 0x7f, 0x06, 0x82 | 0x83, 0x00, 0x2d, 0xe2, 0x18, ..]) {
        return Some(SQLITE_WAL);
    }
    if head.starts_with(JOURNAL) {
        return Some(SQLITE_JOURNAL);
    }
    if head.starts_with(b"bplist0") {
        return Some(PLIST);
    }
    if head.starts_with(b"ABX\0") {
        return Some(BINARY_XML);
    }
    if head.starts_with(b"!BDN") {
        return Some(PST);
    }
    // The class of a folder with messages or of the list of folders.
    if matches!(head, [0xcf, 0xad, 0x12, 0xfe, 0xc5 | 0xc6, 0xfd, 0x74 | 0x75, 0x6f, ..]) {
        return Some(DBX);
    }
    if let Some(store) = stores::of(head) {
        return Some(store);
    }
    if let Some(kind) = infer::get(head)
        && kind.matcher_type() != infer::MatcherType::Text
    {
        return Some(kind.mime_type());
    }
    // Mail may hold anything behind its headers.
    mail_type(head).or_else(|| is_text(head).then(|| text_type(head))).or_else(|| stores::unknown(head))
}

/// Mail by its first lines: a mailbox's dividing line (RFC 4155) with a header behind it, or a header that only mail begins with.
fn mail_type(head: &[u8]) -> Option<&'static str> {
    const FIRST: &[&[u8]] = &[
        b"Received:",
        b"Return-Path:",
        b"Return-path:",
        b"Delivered-To:",
        b"Message-ID:",
        b"Message-Id:",
        b"MIME-Version:",
        b"X-Mozilla-Status:",
    ];
    if FIRST.iter().any(|name| head.starts_with(name)) {
        return Some(MAIL);
    }
    let mut lines = head.strip_prefix(b"From ")?.split(|byte| *byte == b'\n');
    let (divider, header) = (lines.next()?.trim_ascii(), lines.next()?);
    let time = divider.windows(5).any(|window| window[2] == b':' && window[3].is_ascii_digit() && window[4].is_ascii_digit());
    let name = header.iter().position(|byte| !(b'!'..=b'~').contains(byte) || *byte == b':');
    let is_header = name.is_some_and(|end| end > 0 && header[end] == b':') || header.starts_with(b">From ");
    ((divider == b"-" || time) && is_header).then_some(MBOX)
}

/// Whether the type is a part of a SQLite database: normalize scans those cell by cell.
pub fn is_sqlite(media_type: Option<&str>) -> bool {
    media_type.is_some_and(|name| [SQLITE_DATABASE, SQLITE_WAL, SQLITE_JOURNAL].contains(&name))
}

/// Whether the type is a picture's.
pub fn is_picture(media_type: &str) -> bool {
    media_type.starts_with("image/")
}

/// Whether a file of that type with an archive behind it is that archive before it is anything else: what it shows is there to hide it.
pub fn hides_archives(media_type: &str) -> bool {
    is_picture(media_type) || media_type == "application/pdf"
}

/// Whether the type is one that stands beside a database.
pub fn is_companion(media_type: Option<&str>) -> bool {
    is_sqlite(media_type) && media_type != Some(SQLITE_DATABASE)
}

fn text_type(head: &[u8]) -> &'static str {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match text.first() {
        Some(b'{' | b'[') => JSON,
        Some(b'B' | b'b') if text.get(..11).is_some_and(|start| start.eq_ignore_ascii_case(b"BEGIN:VCARD")) => VCARD,
        // The document type or the root says so, within the first lines.
        Some(b'<') if text.get(..text.len().min(512)).is_some_and(|start| memchr::memmem::find(start, b"<plist").is_some()) => {
            PLIST
        }
        Some(b'<') => infer::get(head).map_or(TEXT, |kind| kind.mime_type()),
        _ => TEXT,
    }
}

/// Text: UTF-16 with a byte-order mark, or UTF-8 (the last character may be cut) without control characters but white space and
/// escape. Bytes above 0x7f that are not UTF-8 may be an old code page: a few of them are allowed.
fn is_text(head: &[u8]) -> bool {
    if head.is_empty() {
        return false;
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return true;
    }
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b) || *byte == 0x7f;
    if head.iter().any(control) {
        return false;
    }
    let invalid: usize = head.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    invalid * 8 <= head.len().max(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        assert_eq!(of(b"SQLite format 3\0rest"), Some(SQLITE_DATABASE));
        assert_eq!(of(b"\x37\x7f\x06\x82\x00\x2d\xe2\x18"), Some(SQLITE_WAL));
        assert_eq!(of(b"\xef\xbb\xbf {\"a\":1}"), Some(JSON));
        assert_eq!(of(b"begin:vcard\r\nVERSION:2.1"), Some(VCARD));
        assert_eq!(of(b"bplist00\xd1"), Some(PLIST));
        assert_eq!(of(b"<?xml version=\"1.0\"?>\n<plist version=\"1.0\"><dict/></plist>"), Some(PLIST));
        assert_eq!(of(b"<?xml version=\"1.0\"?><project/>"), Some("text/xml"));
        assert_eq!(of("สวัสดี".as_bytes()), Some(TEXT));
        assert_eq!(of(b"\xff\xd8\xff\xe0\0\0"), Some("image/jpeg"));
        assert_eq!(of(b"From a@b Mon Jun  3 12:50:27 1996\nSubject: x\n\n\x01"), Some(MBOX));
        assert_eq!(of(b"From - \nSubject: x\n"), Some(MBOX));
        assert_eq!(of(b"From 12:00 on\nwe are closed"), Some(TEXT));
        assert_eq!(of(b"Return-Path: <a@b>\r\n\x01"), Some(MAIL));
        assert_eq!(of(b"<!DOCTYPE html><p>"), Some("text/html"));
        assert_eq!(of(b"!BDN\0\0\0\0SM"), Some(PST));
        assert_eq!(of(b"\xcf\xad\x12\xfe\xc5\xfd\x74\x6f"), Some(DBX));
        assert_eq!(of(b"ABX\0\x10\x32"), Some(BINARY_XML));
        assert_eq!(of(b"\x01\x02\x03\x04"), None);
        assert_eq!(of(b""), None);
    }
}
