//! A report as its parts are described, with invented people; and, where it is at hand, the chat that IPED's tests have.

use super::*;
use crate::evidence::Scratch;
use model::{Body, ItemStatus, Record};

/// A report around models, with facts of the device.
fn report(models: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<project id="1" name="Phone" reportVersion="5.2" xmlns="http://pa.cellebrite.com/report/2.0">
<metadata section="Device Info"><item id="1" name="IMEI" sourceExtraction="0"><![CDATA[353257100000006]]></item>
<item id="2" name="DeviceInfoDetectedPhoneModel" sourceExtraction="0"><![CDATA[SM-A525F]]></item>
<item id="3" name="MSISDN" sourceExtraction="0"><![CDATA[+1 202-555-0123]]></item><item name="Nothing"><![CDATA[x]]></item></metadata>
<decodedData><modelType type="X">{models}</modelType></decodedData></project>"#
    )
}

fn field(name: &str, value: &str) -> String {
    format!(r#"<field name="{name}" type="String"><value type="String"><![CDATA[{value}]]></value></field>"#)
}

fn model(kind: &str, id: &str, state: &str, inner: &str) -> String {
    format!(r#"<model type="{kind}" id="{id}" deleted_state="{state}" decoding_confidence="High">{inner}</model>"#)
}

fn party(id: &str, key: &str, owner: &str, role: &str) -> String {
    let fields = [("Identifier", key), ("Name", "Dara &amp; Co"), ("IsPhoneOwner", owner), ("Role", role)];
    model("Party", id, "Intact", &fields.map(|(name, value)| field(name, value)).concat())
}

fn everything() -> String {
    let message = |id: &str, state: &str, from: &str, owner: &str, text: &str| {
        let from =
            format!(r#"<modelField name="From" type="Party">{}</modelField>"#, party(&format!("f{id}"), from, owner, "From"));
        let file =
            model("Attachment", "file1", "Intact", &(field("Filename", "IMG-1.jpg") + &field("ContentType", "image/jpeg")));
        let files = format!(
            r#"<modelField name="Attachment" type="Attachment">{file}</modelField><multiModelField name="Attachments" type="Attachment">{file}</multiModelField>"#
        );
        let time = r#"<field name="TimeStamp" type="TimeStamp"><value type="TimeStamp" format="TimeStampKnown">2024-05-01T10:00:00.500+07:00</value></field>"#;
        model("InstantMessage", id, state, &(from + &field("Body", text) + time + &files))
    };
    let parties =
        party("p1", "12025550123@s.whatsapp.net", "True", "General") + &party("p2", "12025550124@s.whatsapp.net", "False", "");
    let messages =
        message("m1", "Intact", "12025550124@s.whatsapp.net", "False", "send it to bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
            + &message("m2", "Deleted", "12025550123@s.whatsapp.net", "True", "no");
    let chat = field("Source", "WhatsApp")
        + &field("Id", "12025550124@s.whatsapp.net")
        + &format!(r#"<multiModelField name="Participants" type="Party">{parties}</multiModelField>"#)
        + &format!(r#"<multiModelField name="Messages" type="InstantMessage">{messages}</multiModelField>"#);
    let number = model("PhoneNumber", "n1", "Intact", &(field("Value", "+1 202-555-0125") + &field("Category", "Mobile")));
    let contact =
        field("Name", "Sok") + &format!(r#"<multiModelField name="Entries" type="ContactEntry">{number}</multiModelField>"#);
    let call = field("Type", "Outgoing")
        + &field("Duration", "00:01:05")
        + &format!(
            r#"<multiModelField name="Parties" type="Party">{}</multiModelField>"#,
            party("p3", "+12025550126", "False", "To")
        );
    let account = field("Username", "dara@example.org") + &field("ServiceType", "Google");
    let sms = field("Folder", "Inbox")
        + &field("Body", "hello")
        + &format!(
            r#"<multiModelField name="Parties" type="Party">{}</multiModelField>"#,
            party("p4", "+12025550127", "", "From")
        );
    report(
        &[
            model("Chat", "c1", "Intact", &chat),
            model("Contact", "k1", "Intact", &contact),
            model("Call", "l1", "Intact", &call),
            model("UserAccount", "u1", "Intact", &account),
            model("SMS", "s1", "Intact", &sms),
            model("Cookie", "v1", "Intact", &field("Domain", "example.org")),
        ]
        .concat(),
    )
}

fn records(bodies: &[Body]) -> Vec<&Record> {
    bodies.iter().filter_map(|body| if let Body::Record(record) = body { Some(record) } else { None }).collect()
}

fn of_kind<'b>(bodies: &'b [Body], kind: &str) -> Vec<&'b Record> {
    records(bodies).into_iter().filter(|record| record.kind() == kind).collect()
}

#[test]
fn every_decoded_model_is_a_record_or_counted() {
    let text = everything();
    let bodies = Scratch::new("report.xml", text.as_bytes()).parse(&Ufdr);
    let kinds = |kind: &str| of_kind(&bodies, kind).len();
    let expected = [
        // The chat, which its deleted message belongs to as well, and the peer of the SMS.
        ("thread", 2),
        ("participant", 2),
        ("account", 3),
        ("message", 3),
        ("attachment", 2),
        ("contact", 1),
        ("contact_point", 1),
        ("call", 1),
        ("device", 3),
    ];
    assert_eq!(expected.map(|(kind, _)| (kind, kinds(kind))), expected);
    let messages = of_kind(&bodies, "message");
    let Record::Message(first) = messages[0] else { unreachable!() };
    assert_eq!(first.thread_key.as_deref(), Some("12025550124@s.whatsapp.net"));
    assert_eq!((first.outgoing, first.sent.as_ref().unwrap().utc_us), (Some(false), Some(1_714_532_400_500_000)));
    let (offset, length) = first.provenance.locator.range().unwrap();
    let place = &text[offset as usize..][..length as usize];
    assert!(place.starts_with("<model type=\"InstantMessage\" id=\"m1\"") && place.ends_with("</model>"));
    let Record::Message(second) = messages[1] else { unreachable!() };
    assert_eq!((second.provenance.state, second.outgoing), (State::Recovered, Some(true)));
    let Record::Message(sms) = messages[2] else { unreachable!() };
    assert_eq!((sms.app.as_str(), sms.sender.as_deref(), sms.outgoing), ("SMS", Some("+12025550127"), Some(false)));
    let Record::Call(call) = of_kind(&bodies, "call")[0] else { unreachable!() };
    assert_eq!((call.duration_s, call.outgoing, call.remote_phone.as_deref()), (Some(65), Some(true), Some("+12025550126")));
    let owners = records(&bodies)
        .into_iter()
        .filter(|record| matches!(record, Record::Account(account) if account.is_owner == Some(true)));
    assert_eq!(owners.count(), 2);
    let wallet = bodies.iter().any(|body| matches!(body, Body::Sighting(found) if found.observable.value.starts_with("bc1q")));
    assert!(wallet);
    let unread = bodies.iter().find_map(|body| match body {
        Body::Ledger(row) if row.source == "Cookie" => Some((row.rows_seen, row.rejected)),
        _ => None,
    });
    assert_eq!(unread, Some((1, 1)));
}

fn position(latitude: &str, longitude: &str) -> String {
    let coordinate = model(
        "Coordinate",
        "x",
        "Intact",
        &(field("Latitude", latitude) + &field("Longitude", longitude) + &field("Elevation", "12")),
    );
    format!(r#"<modelField name="Position" type="Coordinate">{coordinate}</modelField>"#)
}

fn time(name: &str, text: &str) -> String {
    format!(r#"<field name="{name}" type="TimeStamp"><value type="TimeStamp" format="TimeStampKnown">{text}</value></field>"#)
}

/// A report with one model of every further kind.
fn further() -> String {
    let named = |name: &str, value: &str| field("Source", "Chrome") + &field(name, value);
    let parties = |role: &str, keys: &[&str]| {
        let all: String = keys.iter().map(|key| party(key, key, "False", "")).collect();
        format!(r#"<multiModelField name="{role}" type="Party">{all}</multiModelField>"#)
    };
    let place =
        |latitude: &str| field("Name", "Camp 7") + &time("TimeStamp", "2024-05-01T03:00:00Z") + &position(latitude, "104.92");
    let point = model("Location", "w1", "Intact", &place("11.5"));
    let way = format!(r#"<multiModelField name="WayPoints" type="Location">{point}</multiModelField>"#);
    let card = model("Contact", "q", "Intact", &field("Name", "Vuthy"));
    let shared = format!(r#"<multiModelField name="SharedContacts" type="Contact">{card}</multiModelField>"#);
    report(
        &[
            model(
                "VisitedPage",
                "a",
                "Deleted",
                &(named("Url", "https://example.org/a")
                    + &field("VisitCount", "3")
                    + &time("LastVisited", "2024-05-01T03:00:00Z")),
            ),
            model("WebBookmark", "b", "Intact", &named("Url", "https://example.org/b")),
            model("SearchedItem", "c", "Intact", &named("Value", "usdt otc phnom penh")),
            model("Location", "d", "Intact", &place("11.55")),
            model("Location", "e", "Intact", &place("111.55")),
            model("Journey", "f", "Intact", &way),
            model("Note", "g", "Intact", &(named("Title", "seed") + &field("Body", "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC"))),
            model("CalendarEntry", "h", "Intact", &(named("Subject", "shift") + &time("StartDate", "2024-05-01T03:00:00Z"))),
            model(
                "InstalledApplication",
                "i",
                "Intact",
                &(field("Name", "imToken") + &field("Version", "2.9") + &field("Identifier", "im.token.app")),
            ),
            model(
                "WirelessNetwork",
                "j",
                "Intact",
                &(field("SSId", "Block B") + &field("Password", "p4ss w0rd") + &position("11.5", "104.9")),
            ),
            model("SIMData", "k", "Intact", &(field("Name", "ICCID") + &field("Value", "8985500000000000000"))),
            model(
                "Password",
                "l",
                "Intact",
                &(field("Service", "accounts.example.org") + &field("Account", "dara") + &field("Data", "hunter2")),
            ),
            model(
                "Email",
                "m",
                "Intact",
                &(parties("From", &["a@example.org"])
                    + &parties("To", &["b@example.org", "c@example.org"])
                    + &parties("Cc", &["d@example.org"])
                    + &field("Subject", "rent")),
            ),
            model("InstantMessage", "n", "Deleted", &(field("Body", "here") + &position("11.6", "104.8") + &shared)),
        ]
        .concat(),
    )
}

#[test]
fn pages_places_notes_applications_and_passwords_are_records() {
    let text = further();
    let bodies = Scratch::new("report.xml", text.as_bytes()).parse(&Ufdr);
    let kinds = |kind: &str| of_kind(&bodies, kind).len();
    let counts = [("visit", 3), ("location", 4), ("message", 4), ("device", 6)];
    assert_eq!(counts.map(|(kind, _)| (kind, kinds(kind))), counts);
    let Record::Visit(page) = of_kind(&bodies, "visit")[0] else { unreachable!() };
    assert_eq!((page.provenance.state, page.extra.as_deref()), (State::Recovered, Some(r#"{"VisitCount":"3"}"#)));
    assert_eq!(page.visited.as_ref().unwrap().utc_us, Some(1_714_532_400_000_000));
    let Record::Location(place) = of_kind(&bodies, "location")[0] else { unreachable!() };
    assert_eq!(
        (place.latitude.as_deref(), place.longitude.as_deref(), place.label.as_deref()),
        (Some("11.55"), Some("104.92"), Some("Camp 7"))
    );
    let secrets: Vec<_> = bodies
        .iter()
        .filter_map(
            |body| if let Body::Secret(secret) = body { Some((secret.value.as_str(), secret.detail.as_str())) } else { None },
        )
        .collect();
    assert_eq!(secrets, [("p4ss w0rd", "Block B"), ("hunter2", "accounts.example.org, dara")]);
    let Record::Message(mail) = of_kind(&bodies, "message")[2] else { unreachable!() };
    assert_eq!(
        (mail.recipient.as_deref(), mail.extra.as_deref()),
        (Some("b@example.org, c@example.org"), Some(r#"{"cc":"d@example.org"}"#))
    );
    assert!(bodies.iter().any(|body| matches!(body, Body::Sighting(found) if found.observable.value.starts_with("TJRy"))));
    assert!(
        bodies.iter().all(|body| !matches!(body, Body::Record(record) if format!("{record:?}").contains("p4ss"))),
        "a password stands nowhere else"
    );
    let Record::Location(sent) = of_kind(&bodies, "location")[3] else { unreachable!() };
    let Record::Contact(card) = of_kind(&bodies, "contact")[0] else { unreachable!() };
    assert_eq!((sent.provenance.state, card.provenance.state), (State::Recovered, State::Recovered), "as their message");
    assert_eq!(card.extra.as_deref(), Some(r#"{"shared_in_message":"n"}"#));
    let refused = bodies.iter().find_map(|body| match body {
        Body::Ledger(row) if row.source == "Location" => Some((row.rows_seen, row.records)),
        _ => None,
    });
    assert_eq!(refused, Some((3, 2)), "a latitude that is none is counted and not told");
}

#[test]
fn a_cut_report_gives_what_stands_before_the_cut() {
    let text = everything();
    let mut most = 0;
    for cut in (700..text.len()).step_by(97).filter(|cut| text.is_char_boundary(*cut)) {
        let bodies = Scratch::new("report.xml", &text.as_bytes()[..cut]).parse(&Ufdr);
        let messages = of_kind(&bodies, "message").len();
        assert!(messages >= most);
        most = messages;
        let item = bodies.iter().find_map(|body| if let Body::Item(item) = body { Some(item) } else { None }).unwrap();
        assert_eq!(item.status, ItemStatus::Partial, "{cut}");
    }
    assert_eq!(most, 3);
}

#[test]
fn hostile_reports_end_in_a_problem() {
    let head = "<project xmlns=\"http://pa.cellebrite.com/report/2.0\">";
    let laughs = format!(
        "<!DOCTYPE project [<!ENTITY a \"ha\">]>{head}<model type=\"Chat\"><field name=\"Id\"><value>&a;</value></field></model></project>"
    );
    for text in [head.to_owned() + &"<model>".repeat(100_000), laughs, format!("{head}</other>"), format!("{head}<a b=\"")] {
        let bodies = Scratch::new("report.xml", text.as_bytes()).parse(&Ufdr);
        assert!(bodies.iter().any(|body| matches!(body, Body::Problem(_))), "{}", &text[..80]);
    }
    let many = report(&model("Contact", "k", "Intact", &model("PhoneNumber", "", "Intact", "").repeat(MODELS_MAX + 5)));
    let bodies = Scratch::new("report.xml", many.as_bytes()).parse(&Ufdr);
    assert!(bodies.iter().any(|body| matches!(body, Body::Problem(problem) if problem.code == Code::CapValue)));
}

/// Counts as the peer's own test has them: one chat of two who take part.
#[test]
fn the_corpus_chat() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/case-uco/iped-ufed/ufed-model-chat.xml");
    let Ok(fragment) = std::fs::read_to_string(path) else { return };
    let bodies = Scratch::new("report.xml", report(&fragment).as_bytes()).parse(&Ufdr);
    assert_eq!((of_kind(&bodies, "participant").len(), of_kind(&bodies, "thread").len()), (2, 1));
    let Record::Thread(thread) = of_kind(&bodies, "thread")[0] else { unreachable!() };
    assert_eq!((thread.app.as_str(), thread.created.as_ref().unwrap().utc_us), ("WhatsApp", Some(1_727_535_575_230_000)));
    let owner = records(&bodies).into_iter().find_map(|record| match record {
        Record::Account(account) if account.is_owner == Some(true) => Some(account.account_key.as_str()),
        _ => None,
    });
    assert_eq!(owner, Some("5511999998888@s.whatsapp.net"));
    let names = records(&bodies)
        .into_iter()
        .filter_map(|record| if let Record::Attachment(file) = record { file.path.as_deref() } else { None });
    assert!(names.collect::<Vec<_>>().contains(&"PTT-20241103-WA0101.opus"));
}
