//! Pictures by other programs; what their codes say was read with `zbarimg`, their positions with ExifTool.

use super::*;
use crate::evidence::{Scratch, problems, records};
use model::{Body, ItemStatus};
use std::path::Path;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/picture");
    let (case, _) = name.split_once('.').expect("a name");
    std::fs::read(folder.join(format!("{case}/input/{name}"))).expect("the fixture")
}

fn texts(bodies: &[Body]) -> Vec<&str> {
    let messages = records(bodies).into_iter();
    messages.filter_map(|record| if let Record::Message(message) = record { message.text.as_deref() } else { None }).collect()
}

fn values(bodies: &[Body]) -> Vec<&str> {
    bodies
        .iter()
        .filter_map(|body| if let Body::Sighting(seen) = body { Some(seen.observable.value.as_str()) } else { None })
        .collect()
}

#[test]
fn codes_are_records_and_are_searched() {
    let bodies = Scratch::new("a.png", &fixture("screenshot.png")).parse(&Picture);
    assert_eq!(texts(&bodies), ["bitcoin:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa?amount=0.5"]);
    assert!(values(&bodies).contains(&"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"), "{:?}", values(&bodies));
    let mut two = texts(&Scratch::new("a.gif", &fixture("two.gif")).parse(&Picture)).join("\n");
    if two.starts_with("2@") {
        let (first, second) = two.split_once('\n').expect("two");
        two = format!("{second}\n{first}");
    }
    assert_eq!(two, "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC\n2@AbCdEfGhIjKlMnOpQrStUvWxYz,dGVzdA==,a2V5");
}

#[test]
fn light_on_dark_is_read() {
    let bodies = Scratch::new("a.webp", &fixture("dark.webp")).parse(&Picture);
    assert_eq!(texts(&bodies), ["https://t.me/joinchat/AAAAAEexampleinvite"]);
}

#[test]
fn positions_and_times_of_cameras() {
    let bodies = Scratch::new("a.jpg", &fixture("gps.jpg")).parse(&Picture);
    let records = records(&bodies);
    let [Record::Location(place)] = records.as_slice() else { panic!("one place: {records:?}") };
    let near = |text: &Option<String>, wanted: f64| {
        (text.as_ref().expect("degrees").parse::<f64>().expect("a number") - wanted).abs() < 1e-6
    };
    assert!(near(&place.latitude, 11.5564) && near(&place.longitude, 104.9282), "{place:?}");
    // 07:08:09 at +07:00 is 00:08:09 UTC: `date -u -d '2024-05-06 00:08:09' +%s`.
    assert_eq!(place.located.as_ref().and_then(|time| time.utc_us), Some(1_714_954_089_000_000));
    let extra = place.extra.as_deref().expect("raw values");
    for wanted in [
        "\"model\":\"Camera 7\"",
        "\"serial\":\"0012345\"",
        "\"altitude_m\":\"-12.5\"",
        "\"gps_time_utc\":\"2024:05:06 00:08:07\"",
    ] {
        assert!(extra.contains(wanted), "{wanted}: {extra}");
    }
    let bodies = Scratch::new("a.webp", &fixture("south.webp")).parse(&Picture);
    let records = crate::evidence::records(&bodies);
    let [Record::Location(place)] = records.as_slice() else { panic!("one place: {records:?}") };
    assert!(near(&place.latitude, -33.8568) && near(&place.longitude, -70.5) && place.located.is_none(), "{place:?}");
}

#[test]
fn a_large_picture_is_not_searched_and_says_so() {
    let scratch = Scratch::new("a.png", &fixture("screenshot.png"));
    let bodies = scratch.run(|input, emit| {
        let limits = config::Normalize { qr_pixels_most: 1000, ..input.limits.clone() };
        Picture.parse(&Input { limits: &limits, unit: input.unit, folder: input.folder, head: input.head, whole: None }, emit)
    });
    let item = bodies.iter().find_map(|body| if let Body::Item(item) = body { Some(item) } else { None }).expect("an item");
    assert_eq!((item.status, item.reason.as_deref()), (ItemStatus::Plain, Some("172800 pixels: not searched for QR codes")));
    assert!(problems(&bodies).is_empty() && texts(&bodies).is_empty());
}
