//! Cards of three versions, and broken ones.

use super::*;
use crate::evidence::{Scratch, problems, records};
use model::Body;

fn parse(text: &[u8]) -> Vec<Body> {
    Scratch::new("contacts.vcf", text).parse(&Vcard)
}

fn contacts(bodies: &[Body]) -> Vec<&Contact> {
    records(bodies)
        .into_iter()
        .filter_map(|record| if let Record::Contact(contact) = record { Some(contact) } else { None })
        .collect()
}

fn points(bodies: &[Body]) -> Vec<&ContactPoint> {
    records(bodies)
        .into_iter()
        .filter_map(|record| if let Record::ContactPoint(point) = record { Some(point) } else { None })
        .collect()
}

#[test]
fn three_versions() {
    let text = "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:D=C3=B6e;J=\r\n=C3=A9;;;\r\n\
        TEL;CELL;PREF:0201 555\r\nEND:VCARD\r\n\
        BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann Exa\r\n mple\r\nORG:ACME\\, Inc;Sales\r\nitem1.URL:https\\://a.example\r\nitem1.X-ABLabel:_$!<HomePage>!$_\r\n\
        EMAIL;TYPE=INTERNET,HOME:Ann@EXAMPLE.org\r\nNOTE:a\\nb\r\nADR;TYPE=HOME:;;1 Road;Town;;1234;Land\r\nX-AIM:ann5\r\n\
        PHOTO;ENCODING=b;TYPE=JPEG:AAAA\r\n BBBB\r\nEND:VCARD\r\n\
        begin:vcard\r\nVERSION:4.0\r\nFN:B\r\nTEL;VALUE=uri;TYPE=\"voice,work\":tel:+1-201-555-0123\r\nend:vcard\r\n";
    let bodies = parse(text.as_bytes());
    assert_eq!(problems(&bodies), []);
    let names: Vec<_> = contacts(&bodies).iter().map(|contact| contact.display_name.as_deref()).collect();
    assert_eq!(names, [Some("Jé Döe"), Some("Ann Example"), Some("B")]);
    let ann = contacts(&bodies)[1];
    assert_eq!((ann.organization.as_deref(), ann.note.as_deref()), (Some("ACME, Inc; Sales"), Some("a\nb")));
    assert!(ann.extra.as_ref().unwrap().contains("base64"));
    let seen: Vec<_> =
        points(&bodies).iter().map(|point| (point.kind.as_str(), point.raw.as_str(), point.label.as_deref())).collect();
    assert_eq!(
        seen,
        [
            ("phone", "0201 555", Some("cell,pref")),
            ("url", "https://a.example", Some("homepage")),
            ("email", "Ann@EXAMPLE.org", Some("internet,home")),
            ("address", ";;1 Road;Town;;1234;Land", Some("home")),
            ("im", "ann5", Some("aim")),
            ("phone", "tel:+1-201-555-0123", Some("voice,work")),
        ]
    );
    assert_eq!(points(&bodies)[2].value.as_deref(), Some("Ann@example.org"));
    // Each place is the bytes of the card or property.
    for contact in contacts(&bodies) {
        let (offset, length) = contact.provenance.locator.range().unwrap();
        let card = &text[offset as usize..][..length as usize];
        assert!(is_begin(card.lines().next().unwrap()) && card.trim_end().to_uppercase().ends_with("END:VCARD"));
    }
    for point in points(&bodies) {
        let (offset, length) = point.provenance.locator.range().unwrap();
        assert!(text[offset as usize..][..length as usize].trim_end().ends_with(point.raw.trim_start_matches("https:")));
        assert!(contacts(&bodies).iter().any(|contact| contact.provenance.locator == point.contact));
    }
}

#[test]
fn a_card_in_a_card_and_a_card_without_end() {
    let text =
        b"BEGIN:VCARD\nFN:A\nAGENT:\nBEGIN:VCARD\nFN:B\nEND:VCARD\nTEL:1\nEND:VCARD\nBEGIN:VCARD\nFN:C\nBEGIN:VCARD\nFN:D\nTEL:2";
    let bodies = parse(text);
    let names: Vec<_> = contacts(&bodies).iter().map(|contact| contact.display_name.clone().unwrap()).collect();
    assert_eq!(names, ["B", "A", "C", "D"]);
    let details: Vec<_> = problems(&bodies).iter().map(|problem| problem.1).collect();
    assert_eq!(details, ["line 9: a card without its end", "line 11: a card without its end"]);
}

#[test]
fn a_million_properties_and_a_long_picture_are_bounded() {
    let mut text = b"BEGIN:VCARD\nFN:A\n".to_vec();
    text.extend(b"X-FOO:0123456789012345678901234567890123456789\n".repeat(100_000));
    text.extend(b"TEL:1\n".repeat(5_000));
    text.extend(b"PHOTO;BASE64:\n");
    text.extend(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n".repeat(100_000));
    text.extend(b"\nEND:VCARD\n");
    let bodies = parse(&text);
    assert_eq!(points(&bodies).len(), 5_000);
    assert!(contacts(&bodies)[0].extra.as_ref().unwrap().len() < 2 << 20);
    assert_eq!(problems(&bodies).iter().map(|problem| problem.0).collect::<Vec<_>>(), ["cap_value"]);
}

#[test]
fn bytes_that_are_no_text_are_told() {
    let bodies = parse(b"BEGIN:VCARD\nFN:caf\xe9\nnonsense\nEND:VCARD\nEND:VCARD\n");
    let codes: Vec<_> = problems(&bodies).iter().map(|problem| problem.0).collect();
    assert_eq!(codes, ["text_invalid", "document_damaged", "document_damaged"]);
    assert_eq!(contacts(&bodies)[0].display_name.as_deref(), Some("caf\u{fffd}"));
}

#[test]
fn utf_16_and_other_files() {
    let text: Vec<u8> = "\u{feff}BEGIN:VCARD\r\nFN:Ä\r\nEND:VCARD\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(contacts(&parse(&text))[0].display_name.as_deref(), Some("Ä"));
    for text in ["", "BEGIN:VCALENDAR\nEND:VCALENDAR\n", "hello BEGIN:VCARD"] {
        assert!(!Scratch::new("a.vcf", text.as_bytes()).identified(&Vcard));
    }
    assert!(!Scratch::new("a.txt", b"x\nBEGIN:VCARD\n").identified(&Vcard));
    assert!(Scratch::new("a", b"\n\nBegin:vCard\n").identified(&Vcard));
}

#[test]
fn cut_and_flipped_files_do_no_harm() {
    let text =
        b"BEGIN:VCARD\nN;ENCODING=QUOTED-PRINTABLE:=C3=\n=A9\nitem1.TEL;TYPE=\"a:b\":1\n 2\nitem1.X-ABLabel:x\nEND:VCARD\n"
            .repeat(2);
    for cut in 0..text.len() {
        let mut bytes = text[..cut].to_vec();
        if let Some(byte) = bytes.get_mut(cut / 3) {
            *byte ^= 0x55;
        }
        Scratch::new("a.vcf", &bytes).run(|input, emit| Vcard.parse(input, emit));
    }
}
