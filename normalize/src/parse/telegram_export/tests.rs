//! Exports as old and new versions of Telegram Desktop write them, and broken ones.

use super::*;
use crate::evidence::{Scratch, problems, records};
use model::Locator;
use model::record::Message;
use model::{Body, ItemStatus, RawTime, Stamp};

const PATH: &str = "Download/ChatExport/result.json";

fn messages(bodies: &[Body]) -> Vec<&Message> {
    records(bodies)
        .into_iter()
        .filter_map(|record| if let Record::Message(message) = record { Some(&**message) } else { None })
        .collect()
}

fn status(bodies: &[Body]) -> ItemStatus {
    bodies.iter().find_map(|body| if let Body::Item(item) = body { Some(item.status) } else { None }).unwrap()
}

fn ledger(bodies: &[Body], source: &str) -> (u64, u64) {
    let row = bodies.iter().find_map(|body| match body {
        Body::Ledger(row) if row.source == source => Some((row.rows_seen, row.records)),
        _ => None,
    });
    row.unwrap()
}

const ACCOUNT: &str = r#"{
 "about": "Here is the data you requested.",
 "personal_information": {"user_id": 7, "first_name": "Ann", "last_name": "Example", "phone_number": "+12015550123", "bio": "hi"},
 "contacts": {"about": "", "list": [{"user_id": 8, "first_name": "Bob", "phone_number": "+12015550199", "date": "2024-01-01T00:00:00"}]},
 "chats": {"about": "", "list": [
  {"name": "Bob", "type": "personal_chat", "id": 8, "messages": [
   {"id": 1, "type": "message", "date": "2024-01-01T10:00:00", "date_unixtime": "1704099600", "from": "Bob", "from_id": "user8",
    "text": ["see ", {"type": "text_link", "text": "this", "href": "https://a.example/"}, " now"],
    "text_entities": [{"type": "plain", "text": "see "}, {"type": "text_link", "text": "this", "href": "https://a.example/"}]},
   {"id": 2, "type": "message", "date": "2024-01-01T10:01:00", "date_unixtime": "1704099660", "edited": "2024-01-01T10:02:00",
    "edited_unixtime": "1704099720", "from": "Ann", "from_id": "user7", "reply_to_message_id": 1, "forwarded_from": null,
    "photo": "photos/photo_1.jpg", "width": 3, "height": 4, "text": "", "reactions": [{"type": "emoji", "count": 1, "emoji": "x"}]},
   {"id": 3, "type": "service", "date": "2024-01-01T10:05:00", "date_unixtime": "1704099900", "actor": "Bob", "actor_id": "user8",
    "action": "phone_call", "discard_reason": "hangup", "duration_seconds": 65, "text": ""}]}]},
 "left_chats": {"about": "", "list": [{"name": "Club", "type": "private_group", "id": 9, "messages": [
   {"id": 4, "type": "message", "date": "2018-01-01T00:00:00", "edited": "1970-01-01T01:00:00", "from": "Eve", "from_id": 44,
    "file": "(File not included. Change data exporting settings to download.)", "file_name": "a.pdf", "mime_type": "application/pdf",
    "text": "old style"}]}]}
}"#;

#[test]
fn a_whole_account_old_and_new() {
    let bodies = Scratch::new(PATH, ACCOUNT.as_bytes()).parse(&TelegramExport);
    assert_eq!((problems(&bodies), status(&bodies)), (vec![], ItemStatus::Parsed));
    let messages = messages(&bodies);
    assert_eq!(messages.len(), 4);
    let [link, photo, call, old] = messages[..] else { panic!() };
    assert_eq!((link.text.as_deref(), link.outgoing, link.thread_key.as_deref()), (Some("see this now"), Some(false), Some("8")));
    assert_eq!(link.sent.clone().unwrap().utc_us, Some(1_704_099_600_000_000));
    let extra: Value = serde_json::from_str(link.extra.as_ref().unwrap()).unwrap();
    assert_eq!((&extra["date"], &extra["text_parts"][0]["href"]), (&"2024-01-01T10:00:00".into(), &"https://a.example/".into()));
    assert_eq!(extra.get("text_entities"), None);
    assert_eq!((photo.outgoing, photo.forwarded, photo.quoted_key.as_deref()), (Some(true), Some(true), Some("1")));
    assert_eq!(
        (photo.message_type.as_deref(), photo.edited.clone().unwrap().raw),
        (Some("image"), RawTime::Integer(1_704_099_720))
    );
    assert_eq!(call.message_type.as_deref(), Some("system"));
    assert_eq!(
        (old.sender.as_deref(), old.edited.clone(), old.sent.clone()),
        (Some("44"), None, Some(Stamp::text("2018-01-01T00:00:00", None)))
    );
    let kinds = |kind: &str| records(&bodies).into_iter().filter(|record| record.kind() == kind).count();
    assert_eq!(["thread", "account", "contact", "contact_point", "attachment", "call"].map(kinds), [2, 3, 1, 1, 2, 1]);
    assert_eq!(ledger(&bodies, "messages"), (4, 4));
}

#[test]
fn the_place_of_a_message_is_its_bytes() {
    let bodies = Scratch::new(PATH, ACCOUNT.as_bytes()).parse(&TelegramExport);
    for message in messages(&bodies) {
        let (offset, length) = message.provenance.locator.range().unwrap();
        let value: Value = serde_json::from_str(&ACCOUNT[offset as usize..][..length as usize]).unwrap();
        assert_eq!(scalar(&value["id"]), message.message_key);
        let Locator::Pointer { pointer, .. } = &message.provenance.locator else { panic!() };
        let whole: Value = serde_json::from_str(ACCOUNT).unwrap();
        assert_eq!(whole.pointer(pointer), Some(&value));
    }
}

#[test]
fn one_chat_alone_with_its_fields_behind_the_messages() {
    let text = r#"{"messages": [{"id": 1, "type": "message", "date": "2024-01-01T10:00:00", "from": "B", "from_id": "user5", "text": "x"}],
        "name": "B", "type": "personal_chat", "id": 5}"#;
    let bodies = Scratch::new(PATH, text.as_bytes()).parse(&TelegramExport);
    let messages = messages(&bodies);
    assert_eq!((messages[0].thread_key.as_deref(), messages[0].outgoing), (Some("5"), Some(false)));
}

#[test]
fn other_json_is_not_claimed() {
    for text in [
        r#"{"messages": [], "participants": [], "title": "x"}"#,
        r#"[{"id": 1}]"#,
        r#"{"name": "n", "type": "module", "id": 4, "messages": []}"#,
        r#"{"chats": []}"#,
        "not json",
        "",
    ] {
        assert!(!Scratch::new("a.json", text.as_bytes()).identified(&TelegramExport), "{text}");
    }
}

#[test]
fn one_broken_message_costs_itself() {
    let head = r#"{"name": "B", "type": "personal_chat", "id": 5, "messages": ["#;
    let good = r#"{"id": 1, "type": "message", "date": "d", "text": "x"}"#;
    for (bad, code) in [
        (r#"{"id": NaN, "text": "x"}"#, "row_rejected"),
        (r#"{"id": 2, "text": "\ud800"}"#, "row_rejected"),
        (r#"[1, 2]"#, "row_rejected"),
        (r#"{"id": 2, "text": "a", "text": "b"}"#, "duplicate_key"),
    ] {
        let bodies = Scratch::new(PATH, format!("{head}{good},{bad},{good}]}}").as_bytes()).parse(&TelegramExport);
        let rejected = u64::from(code == "row_rejected");
        assert_eq!(problems(&bodies).iter().map(|problem| problem.0).collect::<Vec<_>>(), [code], "{bad}");
        assert_eq!(ledger(&bodies, "messages"), (3, 3 - rejected), "{bad}");
        assert_eq!(status(&bodies), ItemStatus::Parsed);
    }
    let deep = format!("{{\"id\": 2, \"a\": {}{}}}", "[".repeat(200), "]".repeat(200));
    let bodies = Scratch::new(PATH, format!("{head}{deep},{good}]}}").as_bytes()).parse(&TelegramExport);
    assert_eq!(problems(&bodies), [("row_rejected", "/messages/0: nested 201 deep")]);
}

#[test]
fn cut_and_continued_files() {
    for cut in (0..ACCOUNT.len()).step_by(7) {
        let scratch = Scratch::new(PATH, &ACCOUNT.as_bytes()[..cut]);
        let bodies = scratch.run(|input, emit| TelegramExport.parse(input, emit));
        assert_ne!(status(&bodies), ItemStatus::Parsed, "{cut}");
        let (seen, read) = ledger(&bodies, "messages");
        assert!(seen - read <= 1, "{cut}");
    }
    let bodies = Scratch::new(PATH, format!("{ACCOUNT} x").as_bytes()).parse(&TelegramExport);
    assert_eq!((problems(&bodies)[0].0, messages(&bodies).len()), ("document_damaged", 4));
}

#[test]
fn a_value_over_the_cap_is_told_and_passed() {
    let long = "x".repeat(70 << 20);
    let text = format!(
        r#"{{"name": "B", "type": "personal_chat", "id": 5, "messages": [{{"id": 1, "text": "{long}"}}, {{"id": 2, "text": "y"}}]}}"#
    );
    let bodies = Scratch::new(PATH, text.as_bytes()).parse(&TelegramExport);
    assert_eq!((problems(&bodies)[0].0, ledger(&bodies, "messages")), ("cap_value", (2, 1)));
}

/// The exports of the bench set (`HAUL_BENCH_SET` is its folder) have as many messages as its truth says.
#[test]
fn counts_of_the_bench_set() {
    let Some(folder) = std::env::var_os("HAUL_BENCH_SET").map(std::path::PathBuf::from) else { return };
    let truth: Value = serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
    for (path, count) in truth["telegram_messages"].as_object().unwrap() {
        let bodies = Scratch::of(&folder.join(path)).parse(&TelegramExport);
        assert_eq!((messages(&bodies).len() as u64, problems(&bodies)), (count.as_u64().unwrap(), vec![]), "{path}");
    }
}
