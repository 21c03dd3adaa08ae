//! Mail against what other readers of the same files say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use super::*;
use crate::evidence::{Scratch, problems, records};
use crate::parse::document::tests::sightings;
use model::Record;
use model::record::Message;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn corpus(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/mail").join(path)
}

fn messages(bodies: &[model::Body]) -> Vec<&Message> {
    records(bodies)
        .into_iter()
        .filter_map(|record| if let Record::Message(message) = record { Some(message.as_ref()) } else { None })
        .collect()
}

#[test]
fn mail_is_known_by_its_headers() {
    let is = |text: &[u8], name: &[u8]| kind(text, name);
    assert_eq!(is(b"From: a\r\nTo: b\r\nMessage-ID: <c>\r\n\r\n", b"x"), Some(Kind::Single));
    assert_eq!(is(b"Subject: a\n\nb", b"x.EML"), Some(Kind::Single));
    assert_eq!(is(b"Subject: a\n\nb", b"x.txt"), None);
    assert_eq!(is(b"Note: a\nDate: b\nFrom here", b"x"), None);
    assert_eq!(is(b"120\nFrom: a\nTo: b\nDate: c\n", b"x"), Some(Kind::Emlx(4, 120)));
    assert_eq!(is(b"120 apples\nFrom: a\nTo: b\nDate: c\n", b"x"), None);
    assert_eq!(is(b"From - \nX-Mozilla-Status: 0001\nTo: b\n", b"Inbox"), Some(Kind::Mbox));
    assert_eq!(is(b"From the desk of\nA: b\n", b"x"), None);
    assert_eq!(is(b"\n\n--abcd\nContent-Type: text/plain\n\n", b"x.emlx"), Some(Kind::Headless));
    assert_eq!(is(b"", b"x.eml"), None);
}

#[test]
fn a_message_becomes_records() {
    let raw = b"From: \"Boss\" <boss@Example.org>\r\nTo: a@example.org, b@example.org\r\nCc: c@example.org\r\n\
        Subject: =?utf-8?b?0J/RgNC40LLQtdGC?=\r\nDate: Mon, 4 Mar 2024 10:11:12 +0700\r\nMessage-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\n\
        References: <0@x> <1@x>\r\nX-Originating-IP: [203.0.113.9]\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=koi8-r\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n8NLJ18XUIFRKUnlXd0ZzOXdURkdaZzNKYnJWcmlGYk5mQ3VnNXREZUM=\r\n--b\r\n\
        Content-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        c2VuZCB0byBoaWRkZW5AZXhhbXBsZS5uZXQgbm93\r\n--b--\r\n";
    let bodies = Scratch::new("a.eml", raw).parse(&Mail);
    let messages = messages(&bodies);
    let message = messages[0];
    assert_eq!(message.text.as_deref(), Some("\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442} TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC"));
    assert_eq!(message.subject.as_deref(), Some("\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}"));
    assert_eq!(
        (message.sender.as_deref(), message.recipient.as_deref()),
        (Some("boss@example.org"), Some("a@example.org, b@example.org"))
    );
    assert_eq!((message.thread_key.as_deref(), message.quoted_key.as_deref()), (Some("0@x"), Some("1@x")));
    // 2024-03-04T03:11:12Z, by `date -d`.
    assert_eq!(message.sent, Some(Stamp::text("Mon, 4 Mar 2024 10:11:12 +0700", Some(1_709_521_872_000_000))));
    assert!(message.extra.as_deref().unwrap().contains("[203.0.113.9]"));
    let attachment = records(&bodies)
        .into_iter()
        .find_map(|record| if let Record::Attachment(attachment) = record { Some(attachment) } else { None })
        .unwrap();
    // By sha256sum of the decoded text.
    assert_eq!(attachment.sha256.as_deref(), Some("3ce793ac9804a9ff2c8f1bffe6b3ce3d60ba100dd971586f6252a617a5e8279c"));
    assert_eq!((attachment.size_bytes, attachment.name.as_deref()), (Some(30), Some("a.bin")));
    let roles: Vec<_> = records(&bodies)
        .into_iter()
        .filter_map(|record| {
            if let Record::Participant(person) = record {
                Some((person.role.clone().unwrap(), person.account_key.clone()))
            } else {
                None
            }
        })
        .collect();
    let expected = [("from", "boss@example.org"), ("to", "a@example.org"), ("to", "b@example.org"), ("cc", "c@example.org")];
    assert_eq!(roles, expected.map(|(role, key)| (role.to_owned(), key.to_owned())));
    let offset = memchr::memmem::find(raw, b"c2VuZ").unwrap() as u64;
    assert!(sightings(&bodies).contains(&("hidden@example.net".to_owned(), "part 2 (a.bin)".to_owned(), offset)));
    assert!(problems(&bodies).is_empty());
}

/// The library's authors keep beside each message what is to be read of it.
#[test]
fn published_messages_are_read_as_their_truth_says() {
    let mut read = 0;
    for folder in ["legacy", "malformed", "rfc", "thirdparty"] {
        let mut paths: Vec<_> =
            std::fs::read_dir(corpus("stalwart").join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|name| name == "eml")) {
            let scratch = Scratch::of(path);
            let bodies = scratch.run(|input, emit| Mail.parse(input, emit));
            let Ok(truth) = std::fs::read(path.with_extension("json")) else { continue };
            let truth: Value = serde_json::from_slice(&truth).unwrap();
            let messages = messages(&bodies);
            let Some(message) = messages.first() else { continue };
            let header = |name: &str| {
                let headers = truth["parts"][0]["headers"].as_array().unwrap();
                headers.iter().rev().find(|header| header["name"] == name).map(|header| header["value"].clone())
            };
            if let Some(Value::Object(subject)) = header("subject") {
                assert_eq!(message.subject.as_deref(), subject["Text"].as_str(), "{}", path.display());
            }
            let mut senders: Vec<String> = Vec::new();
            if let Some(Value::Object(from)) = header("from")
                && let Some(list) = from.get("Address").and_then(|address| address["List"].as_array())
            {
                senders.extend(list.iter().filter_map(|person| person["address"].as_str()).map(str::to_lowercase));
            }
            if !senders.is_empty() {
                assert_eq!(
                    message.sender.as_deref().unwrap_or_default().to_lowercase(),
                    senders.join(", "),
                    "{}",
                    path.display()
                );
            }
            read += 1;
        }
    }
    assert!(read > 50, "{read} messages");
}

#[test]
fn a_mailbox_has_as_many_messages_as_its_offsets() {
    let truth: Value =
        serde_json::from_slice(&std::fs::read(corpus("mimekit/content-length.unix-offsets.json")).unwrap()).unwrap();
    let mut begins: Vec<u64> = truth.as_array().unwrap().iter().map(|message| message["beginOffset"].as_u64().unwrap()).collect();
    let bodies = Scratch::of(&corpus("mimekit/content-length.mbox")).parse(&Mail);
    let mut found: Vec<u64> = messages(&bodies)
        .iter()
        .filter_map(
            |message| if let model::Locator::Bytes { offset, .. } = message.provenance.locator { Some(offset) } else { None },
        )
        .collect();
    begins.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, begins);
    let simple = Scratch::of(&corpus("mimekit/simple.mbox")).parse(&Mail);
    let outer =
        messages(&simple).iter().filter(|message| matches!(message.provenance.locator, model::Locator::Bytes { .. })).count();
    assert_eq!(outer, 3);
}

#[test]
fn other_readers_samples() {
    for name in ["test_rfc822", "test_rfc822Base64", "test_rfc822LimitedHeaders", "test_rfc822Multipart"] {
        let bodies = Scratch::of(&corpus("iped").join(name)).parse(&Mail);
        assert_eq!(messages(&bodies).len(), 1, "{name}");
    }
    // Its headers and the length before them are lost; the body is there.
    let bodies = Scratch::of(&corpus("bulk_extractor/base64.emlx")).parse(&Mail);
    assert!(sightings(&bodies).iter().any(|(value, field, _)| value == "plain_email@base64.com" && field.starts_with("part 1")));
}

#[test]
fn an_emlx_has_its_flags_and_end() {
    let message = b"From: a@example.org\nTo: b@example.org\nSubject: x\nDate: 1 Jan 2024 00:00\n\nhello\n";
    let list = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict><key>date-received</key><integer>1704067200</integer>\
        <key>flags</key><integer>8590195713</integer></dict></plist>\n";
    let whole = [format!("{}\n", message.len()).as_bytes(), message, list].concat();
    let bodies = Scratch::new("1.emlx", &whole).parse(&Mail);
    let messages = messages(&bodies);
    assert_eq!(messages[0].received, Some(Stamp::integer(1_704_067_200, TimeUnit::UnixS)));
    assert_eq!(
        (messages[0].text.as_deref(), messages[0].extra.as_deref()),
        (Some("hello\n"), Some("{\"emlx flags\":8590195713}"))
    );
    // The date has no zone.
    assert_eq!(messages[0].sent.as_ref().map(|stamp| stamp.utc_us), Some(None));
    assert_eq!(problems(&bodies)[0].0, "date_ambiguous");
    let cut = Scratch::new("1.emlx", &whole[..60]).parse(&Mail);
    assert!(problems(&cut).iter().any(|(code, _)| *code == "truncated"));
}

#[test]
fn hostile_mail_ends_with_problems() {
    let nested =
        [b"From: a@b.c\nTo: d\nMessage-ID: <1>\n".as_slice(), &b"Content-Type: message/rfc822\n\n".repeat(200_000)].concat();
    let bodies = Scratch::new("a.eml", &nested).parse(&Mail);
    assert!(problems(&bodies).iter().all(|(code, _)| *code == "cap_depth" || *code == "document_damaged"));
    assert!(problems(&bodies).iter().any(|(code, _)| *code == "cap_depth"));
    let mut boxes = b"From: a@b.c\nTo: d\nMessage-ID: <1>\n".to_vec();
    for number in 0..20_000 {
        boxes.extend_from_slice(format!("Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n").as_bytes());
    }
    Scratch::new("a.eml", &boxes).parse(&Mail);
    let wide = [b"From: a@b.c\nMessage-ID: <1>\nTo: d\n".as_slice(), b"X-A: ", &b"y".repeat(2 << 20), b"\n\nz"].concat();
    let bodies = Scratch::new("a.eml", &wide).parse(&Mail);
    assert_eq!(problems(&bodies)[0].0, "cap_value");
    let many = [b"From: a@b.c\nMessage-ID: <1>\nTo: ".as_slice(), &b"x@y.z, ".repeat(50_000), b"\n\nz"].concat();
    Scratch::new("a.eml", &many).parse(&Mail);
    // A character set that does not exist, one that does not fit, and an encoding that ends too early.
    for body in [
        "Content-Type: text/plain; charset=no-such\n\n\u{ff}",
        "Content-Type: text/plain; charset=utf-16\n\nodd",
        "Content-Transfer-Encoding: base64\n\n!!!!",
    ] {
        Scratch::new("a.eml", format!("From: a@b.c\nMessage-ID: <1>\n{body}").as_bytes()).parse(&Mail);
    }
}

/// A document in a zip in a packed tar, a PDF, a workbook and a picture: files of other programs, attached to one message.
#[test]
fn what_stands_in_attachments_is_found_however_deep() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/mail/papers/input/papers.eml");
    let bodies = Scratch::of(&path).parse(&Mail);
    let found = sightings(&bodies);
    let has = |value: &str, field: &str| found.iter().any(|(seen, place, _)| seen == value && place.contains(field));
    assert!(has("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC", "deep/inner.zip offer.docx word/document.xml"), "{found:?}");
    assert!(has("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "(invoice.pdf) page 1"), "{found:?}");
    assert!(has("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "(book.xls) stream Workbook"), "{found:?}");
    let codes: Vec<_> =
        messages(&bodies).into_iter().filter(|message| message.message_type.as_deref() == Some("qr_code")).collect();
    assert_eq!(codes.len(), 2);
    assert_eq!(problems(&bodies), vec![]);
}

/// The folder itself counts its messages, at byte 0xc4.
#[test]
fn a_folder_of_outlook_express_has_as_many_messages_as_it_lists() {
    let path = corpus("iped/test_OutlookDBX.dbx");
    if !path.exists() {
        return;
    }
    let content = std::fs::read(&path).unwrap();
    let bodies = Scratch::of(&path).parse(&Mail);
    // Messages inside of others have a way to them, not a range.
    let outer =
        messages(&bodies).into_iter().filter(|message| matches!(message.provenance.locator, model::Locator::Bytes { .. }));
    let listed = u32::from_le_bytes(content[0xc4..0xc8].try_into().unwrap());
    assert_eq!(
        (outer.count(), problems(&bodies).iter().filter(|problem| problem.0 != "date_ambiguous").count()),
        (listed as usize, 0)
    );
    // Two have an empty subject.
    assert!(messages(&bodies).iter().all(|message| message.sender.is_some()));
    // Cut, it gives what is there and says what is not.
    let cut = Scratch::new("a.dbx", &content[..content.len() / 2]).parse(&Mail);
    assert!(messages(&cut).len() < listed as usize && problems(&cut).iter().any(|problem| problem.0 == "missing"));
}
