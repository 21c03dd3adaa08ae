//! Documents of other programs: what they show was read with `pdftotext`.

use super::*;
use crate::evidence::{Scratch, problems};
use crate::parse::document::tests::sightings;
use model::{Body, ItemStatus};
use std::path::Path;

const TRON: &str = "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC";
const GENESIS: &str = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";
const SEGWIT: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
const ETHER: &str = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed";
const NESTED: &str = "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy";

fn fixture(case: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pdf");
    std::fs::read(folder.join(format!("{case}/input/{case}.pdf"))).expect("the fixture")
}

fn parsed(content: &[u8]) -> Vec<Body> {
    Scratch::new("a.pdf", content).parse(&PdfDocument)
}

/// Values with the names of their places.
fn found(bodies: &[Body]) -> Vec<(String, String)> {
    sightings(bodies).into_iter().map(|(value, field, _)| (value.to_string(), field)).collect()
}

fn has(found: &[(String, String)], value: &str, field: &str) -> bool {
    found.iter().any(|(found, place)| found.eq_ignore_ascii_case(value) && place == field)
}

fn status(bodies: &[Body]) -> ItemStatus {
    let item = bodies.iter().rev().find_map(|body| if let Body::Item(item) = body { Some(item.status) } else { None });
    item.expect("an item")
}

#[test]
fn words_and_letters_placed_by_themselves_are_joined() {
    for case in ["reportlab", "encrypted", "rc4"] {
        let bodies = parsed(&fixture(case));
        let found = found(&bodies);
        for address in [TRON, GENESIS, SEGWIT] {
            assert!(has(&found, address, "page 1"), "{case}: {address}: {found:?}");
        }
        assert!(has(&found, NESTED, "page 2"), "{case}: a turned line: {found:?}");
        let anywhere = |value: &str| found.iter().any(|(found, _)| found.eq_ignore_ascii_case(value));
        assert!(anywhere(ETHER), "{case}: a form field: {found:?}");
        assert!(anywhere("invoice@example.org"), "{case}: the title: {found:?}");
        assert!(found.iter().any(|(value, _)| value.contains("t.me/joinchat/")), "{case}: a link: {found:?}");
        assert_eq!((status(&bodies), problems(&bodies)), (ItemStatus::Parsed, vec![]), "{case}");
    }
}

#[test]
fn fonts_with_tables_of_their_own() {
    let bodies = parsed(&fixture("chromium"));
    let found = found(&bodies);
    for address in [TRON, GENESIS, SEGWIT, ETHER, "office@example.com"] {
        assert!(has(&found, address, "page 1"), "{address}: {found:?}");
    }
    assert!(found.iter().any(|(value, field)| value.contains("wa.me/85512345678") && field.ends_with("/A /URI")), "{found:?}");
}

#[test]
fn text_in_letters() {
    assert!(has(&found(&parsed(&fixture("ascii85"))), TRON, "page 1"));
}

#[test]
fn an_earlier_state_of_a_file_is_read() {
    let found = found(&parsed(&fixture("incremental")));
    assert!(has(&found, "TVj7RNVHy6thbM7BWdSe9G6gXwKhjhdNZS", "page 1"), "{found:?}");
    assert!(has(&found, NESTED, "state 1 page 1"), "{found:?}");
}

#[test]
fn files_and_notes_inside() {
    let found = found(&parsed(&fixture("attached")));
    assert!(found.iter().any(|(value, field)| value == TRON && field.ends_with("text 1")), "an HTML page: {found:?}");
    assert!(found.iter().any(|(value, field)| value == NESTED && field.ends_with("page 2")), "a document: {found:?}");
    assert!(found.iter().any(|(value, field)| value == GENESIS && field.ends_with("/Contents")), "a note: {found:?}");
    assert!(found.iter().any(|(value, _)| value == "someone@example.net"), "{found:?}");
}

#[test]
fn a_document_that_wants_a_password_says_so() {
    let bodies = parsed(&fixture("locked"));
    assert_eq!(status(&bodies), ItemStatus::Locked);
    assert_eq!(problems(&bodies), [("encrypted", "needs the document's password")]);
}

#[test]
fn a_cut_document_gives_what_is_there() {
    let whole = fixture("reportlab");
    let end = memchr::memmem::rfind(&whole, b"xref\n0").expect("a table of objects");
    let bodies = parsed(whole.get(..end).expect("a part"));
    assert_eq!((status(&bodies), problems(&bodies)), (ItemStatus::Partial, vec![("truncated", "ends without its end mark")]));
    assert!(has(&found(&bodies), TRON, "page 1"), "{:?}", found(&bodies));
}

#[test]
fn a_document_without_its_root_gives_its_streams() {
    let mut content = fixture("reportlab");
    for word in [b"/Catalog".as_slice(), b"/Root"] {
        while let Some(at) = memchr::memmem::find(&content, word) {
            *content.get_mut(at + 1).expect("a letter") = b'_';
        }
    }
    let bodies = parsed(&content);
    assert_eq!(
        (status(&bodies), problems(&bodies).first().map(|problem| problem.0)),
        (ItemStatus::Partial, Some("document_damaged"))
    );
    assert!(
        found(&bodies).iter().any(|(value, field)| value == TRON && field.starts_with("stream at byte")),
        "{:?}",
        found(&bodies)
    );
}

#[test]
fn a_bomb_is_cut_and_told() {
    use std::io::Write;
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(b"BT /F1 9 Tf (pay TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC) Tj ET ").expect("memory");
    for _ in 0..reading::STREAM_MOST / 65536 + 1 {
        packer.write_all(&[b' '; 65536]).expect("memory");
    }
    let packed = packer.finish().expect("memory");
    let mut file = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj \
                     3 0 obj<</Type/Page/Parent 2 0 R/Contents 4 0 R>>endobj "
        .to_vec();
    file.extend_from_slice(format!("4 0 obj<</Filter/FlateDecode/Length {}>>stream\n", packed.len()).as_bytes());
    file.extend_from_slice(&packed);
    file.extend_from_slice(b"\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF");
    let bodies = parsed(&file);
    assert!(has(&found(&bodies), TRON, "page 1"));
    assert!(problems(&bodies).iter().any(|(code, _)| *code == "cap_bytes"), "{:?}", problems(&bodies));
}

#[test]
fn what_begins_like_a_document() {
    assert!(is_pdf(b"%PDF-1.7\n") && is_pdf(b"\xef\xbb\xbf\r\n%PDF-1.2"));
    assert!(!is_pdf(b"see %PDF-1.7") && !is_pdf(b""));
}
