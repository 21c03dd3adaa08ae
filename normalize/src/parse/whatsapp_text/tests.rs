//! Chats as Android and iOS export them, and texts that are none.

use super::*;
use crate::evidence::{Scratch, problems, records};
use model::Body;

const PATH: &str = "Documents/WhatsApp Chat with Bob.txt";

fn messages(bodies: &[Body]) -> Vec<&Message> {
    records(bodies)
        .into_iter()
        .filter_map(|record| if let Record::Message(message) = record { Some(&**message) } else { None })
        .collect()
}

fn files(bodies: &[Body]) -> Vec<Option<&str>> {
    records(bodies)
        .into_iter()
        .filter_map(|record| if let Record::Attachment(attachment) = record { Some(attachment.path.as_deref()) } else { None })
        .collect()
}

fn extra(message: &Message) -> Value {
    message.extra.as_deref().map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

#[test]
fn android_with_every_sort_of_line() {
    let text = "13/1/24, 10:00 - Messages and calls are end-to-end encrypted.\n\
        13/1/24, 10:01 - Ann: first\nsecond: line\n\nthird\n\
        13/1/24, 10:02 - Bob: <Media omitted>\n\
        13/1/24, 10:03 - Bob: IMG-20240113-WA0001.jpg (file attached)\na caption\n\
        13/1/24, 10:04 - Ann: This message was deleted\n\
        13/1/24, 10:05 - Ann: oh <This message was edited>\n\
        13/1/24, 9:00 - Boss: forged";
    let bodies = Scratch::new(PATH, text.as_bytes()).parse(&WhatsappText);
    assert_eq!(problems(&bodies), []);
    let messages = messages(&bodies);
    let types: Vec<_> = messages.iter().map(|message| message.message_type.as_deref().unwrap()).collect();
    assert_eq!(types, ["system", "text", "media", "media", "text", "text", "text"]);
    assert_eq!(messages[1].text.as_deref(), Some("first\nsecond: line\n\nthird"));
    assert_eq!(messages[1].sent, Some(Stamp::text("13/1/24, 10:01", None)));
    assert_eq!(files(&bodies), [None, Some("IMG-20240113-WA0001.jpg")]);
    assert_eq!((messages[4].status.as_deref(), messages[5].status.as_deref()), (Some("deleted"), Some("edited")));
    assert_eq!(extra(messages[1])["local_time"], "2024-01-13T10:01:00");
    assert_eq!((extra(messages[5]).get("out_of_order"), &extra(messages[6])["out_of_order"]), (None, &true.into()));
    let Record::Thread(thread) = records(&bodies)[0] else { panic!() };
    assert_eq!((thread.thread_key.as_str(), thread.name.as_deref()), ("WhatsApp Chat with Bob", Some("Bob")));
}

#[test]
fn the_place_of_a_message_is_its_lines() {
    let text = "\u{feff}1/1/24, 10:00 - Ann: a\r\nb\r\n13/1/24, 10:01 - Bob: c\r\n";
    let bodies = Scratch::new(PATH, text.as_bytes()).parse(&WhatsappText);
    let places: Vec<_> = messages(&bodies).iter().map(|message| message.provenance.locator.clone()).collect();
    assert_eq!(places, [Locator::Line { line: 1, offset: 3, length: 27 }, Locator::Line { line: 3, offset: 30, length: 25 }]);
    assert_eq!(&text[3..30], "1/1/24, 10:00 - Ann: a\r\nb\r\n");
}

#[test]
fn ios_marks_and_attachments_in_utf_16() {
    let text = "\u{200e}[13/01/2024, 10:00:01] Ann: \u{200e}<attached: 00000001-PHOTO-2024.jpg>\r\n\
        [13/01/2024, 10:00:02] Bob: \u{200e}image omitted\r\n[13/01/2024, 10:00:03] ~ Eve: an image omitted";
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for bytes in [text.as_bytes(), &utf16] {
        let bodies = Scratch::new("x/WhatsApp Chat - Club.zip/_chat.txt", bytes).parse(&WhatsappText);
        assert_eq!(files(&bodies), [Some("00000001-PHOTO-2024.jpg"), None]);
        assert_eq!(messages(&bodies)[2].sender.as_deref(), Some("~ Eve"));
        let Record::Thread(thread) = records(&bodies)[0] else { panic!() };
        assert_eq!((thread.thread_key.as_str(), thread.name.as_deref()), ("WhatsApp Chat - Club", Some("Club")));
    }
}

#[test]
fn dates_stay_ambiguous_unless_one_decides() {
    let ambiguous = "2/3/24, 10:00 - Ann: a\n3/3/24, 10:00 - Bob: b\n";
    let bodies = Scratch::new(PATH, ambiguous.as_bytes()).parse(&WhatsappText);
    assert_eq!(problems(&bodies), [("date_ambiguous", "dates fit dmy, mdy")]);
    let first = messages(&bodies)[0].clone();
    assert_eq!(extra(&first)["date_candidates"], serde_json::json!(["2024-03-02T10:00:00", "2024-02-03T10:00:00"]));
    assert_eq!(first.sent.unwrap().utc_us, None);
    let decided = format!("{ambiguous}3/13/24, 10:00 - Ann: c\n");
    let bodies = Scratch::new(PATH, decided.as_bytes()).parse(&WhatsappText);
    assert_eq!(problems(&bodies), []);
    assert_eq!(extra(messages(&bodies)[0])["local_time"], "2024-02-03T10:00:00");
    let contradiction = format!("{decided}13/3/24, 10:00 - Ann: d\n");
    let bodies = Scratch::new(PATH, contradiction.as_bytes()).parse(&WhatsappText);
    assert_eq!(problems(&bodies), [("date_ambiguous", "no one order fits all dates")]);
    assert_eq!(messages(&bodies).len(), 4);
}

#[test]
fn lines_before_the_first_message_and_broken_bytes_are_told() {
    let bodies = Scratch::new(PATH, b"a title\n\n13/1/24, 10:00 - Ann: a\xff\n").parse(&WhatsappText);
    let codes: Vec<_> = problems(&bodies).iter().map(|problem| problem.0).collect();
    assert_eq!(codes, ["text_invalid", "row_rejected"]);
    assert_eq!(messages(&bodies)[0].text.as_deref(), Some("a\u{fffd}"));
}

#[test]
fn lines_of_a_log_pasted_into_a_message_are_its_text() {
    let text = "13/1/24, 10:00 - Ann: see\n2024-01-31 21:05:09 - root: started\n13/1/24, 10:02 - Bob: ok\n";
    let bodies = Scratch::new(PATH, text.as_bytes()).parse(&WhatsappText);
    let texts: Vec<_> = messages(&bodies).iter().map(|message| message.text.as_deref().unwrap()).collect();
    assert_eq!(texts, ["see\n2024-01-31 21:05:09 - root: started", "ok"]);
    let seconds = "13/1/24, 10:00:01 - Ann: a\n13/1/24, 10:00:02 - Bob: b\n";
    assert_eq!(messages(&Scratch::new(PATH, seconds.as_bytes()).parse(&WhatsappText)).len(), 2);
}

#[test]
fn the_name_of_a_chat_in_other_languages() {
    for (file, name) in [("与张三的 WhatsApp 聊天.txt", "张三"), ("Chat de WhatsApp con Ana.txt", "Ana")] {
        let bodies = Scratch::new(&format!("Download/{file}"), "13/1/24, 10:00 - Ann: a\n".as_bytes()).parse(&WhatsappText);
        let Record::Thread(thread) = records(&bodies)[0] else { panic!() };
        assert_eq!(thread.name.as_deref(), Some(name));
    }
}

#[test]
fn logs_tables_and_prose_are_not_claimed() {
    for text in [
        "[2024-01-31 21:05:09] local.ERROR: x\n".repeat(9),
        "[2024-01-31 21:05:09] INFO: x\n".repeat(9),
        "2024-01-31 21:05:09 - root: x\n".repeat(9),
        "1/2/24, 3, 4\n5/6/24, 7, 8\n".repeat(9),
        "dear all\n13/1/24, 10:00 - Ann: a\n".to_owned(),
        "13/1/24, 10:00 - Ann: a\nprose\nprose\nprose\n".to_owned(),
        String::new(),
    ] {
        assert!(!Scratch::new("notes.txt", text.as_bytes()).identified(&WhatsappText), "{text}");
    }
    let chat = "13/1/24, 10:00 - Ann: a\n".repeat(3);
    assert!(Scratch::new("notes.txt", chat.as_bytes()).identified(&WhatsappText));
    assert!(!Scratch::new("notes.csv", chat.as_bytes()).identified(&WhatsappText));
}

#[test]
fn cut_and_flipped_files_do_no_harm() {
    let text = "13/1/24, 10:00 - Ann: a\nmore\n[14/1/24, 10:00:01] Bob: \u{200e}<attached: x.jpg>\n".repeat(3);
    for cut in 0..text.len() {
        let mut bytes = text.as_bytes()[..cut].to_vec();
        if let Some(byte) = bytes.get_mut(cut / 2) {
            *byte ^= 0x91;
        }
        Scratch::new(PATH, &bytes).run(|input, emit| WhatsappText.parse(input, emit));
    }
}
