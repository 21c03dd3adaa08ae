//! Entries of an address book (MS-OXOCNTC): persons, and lists of them.

use super::names::{ADDRESS, Names};
use super::{Bag, Counts, Place, count, lower_domain};
use crate::emit::Emit;
use crate::parse::mail::message::APP;
use model::recognize::phone;
use model::record::{Contact, ContactPoint, Record};
use model::{Code, Locator};
use serde_json::{Map, Value};

/// Telephone numbers (2.2.1.4).
const PHONES: &[(u16, &str)] = &[
    (0x3a1a, "primary"),
    (0x3a08, "business"),
    (0x3a1b, "business 2"),
    (0x3a09, "home"),
    (0x3a2f, "home 2"),
    (0x3a1c, "mobile"),
    (0x3a1d, "radio"),
    (0x3a1e, "car"),
    (0x3a1f, "other"),
    (0x3a21, "pager"),
    (0x3a02, "callback"),
    (0x3a2e, "assistant"),
    (0x3a57, "company"),
    (0x3a23, "fax"),
    (0x3a24, "business fax"),
    (0x3a25, "home fax"),
];
/// Properties of a store's own numbers (2.2.1.2): kind of point, number, label. Of addresses the first that has an `@` counts.
const NAMED: &[(&str, &[u32], &str)] = &[
    ("email", &[0x8083, 0x8084, 0x8080], "email 1"),
    ("email", &[0x8093, 0x8094, 0x8090], "email 2"),
    ("email", &[0x80a3, 0x80a4, 0x80a0], "email 3"),
    ("im", &[0x8062], ""),
    ("url", &[0x802b], ""),
];
/// Home pages.
const PAGES: &[(u16, &str)] = &[(0x3a50, "home"), (0x3a51, "business")];
/// Postal addresses, piece by piece: street, post box, place, state, code, country.
const POSTAL: &[(&str, [u16; 6])] = &[
    ("home", [0x3a5d, 0x3a5e, 0x3a59, 0x3a5c, 0x3a5b, 0x3a5a]),
    ("business", [0x3a29, 0x3a2b, 0x3a27, 0x3a28, 0x3a2a, 0x3a26]),
    ("other", [0x3a63, 0x3a64, 0x3a5f, 0x3a62, 0x3a61, 0x3a60]),
];
/// What is kept beside.
const KEPT: &[(&str, u16)] = &[
    ("given_name", 0x3a06),
    ("middle_name", 0x3a44),
    ("surname", 0x3a11),
    ("nickname", 0x3a4f),
    ("title", 0x3a17),
    ("department", 0x3a18),
    ("message_class", 0x001a),
];
/// Members of a list, each with its name and address in it (2.2.2.2.2).
const ONE_OFF_MEMBERS: u32 = 0x8054;
/// Kind of a property that is several runs of bytes.
const BINARIES: u16 = 0x1102;
/// The provider of an address that stands for itself (MS-OXCDATA, 2.2.5.1).
const ONE_OFF: &[u8] = &[0x81, 0x2b, 0x1f, 0xa4, 0xbe, 0xa3, 0x10, 0x19, 0x9d, 0x6e, 0, 0xdd, 1, 0x0f, 0x54, 2];

/// A point that is found.
struct Point {
    kind: &'static str,
    raw: String,
    value: Option<String>,
    label: Option<String>,
}

/// Puts an entry and its points.
pub fn put(bag: &Bag<'_>, names: &Names, place: &Place, emit: &mut Emit<'_>, counts: &mut Counts) -> Locator {
    let locator = place.at("contact");
    let mut points = points(bag, names, emit.region());
    points.extend(members(bag, names, place, emit));
    let mut extra: Map<String, Value> =
        KEPT.iter().filter_map(|(name, id)| Some(((*name).to_owned(), bag.text(*id)?.into()))).collect();
    for (name, id) in [("created_filetime", 0x3007), ("modified_filetime", 0x3008), ("birthday_filetime", 0x3a42)] {
        if let Some(raw) = bag.number(id) {
            extra.insert(name.to_owned(), raw.to_string().into());
        }
    }
    extra.extend(place.extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let record = Contact {
        provenance: emit.provenance(locator.clone()).of_state(place.state),
        app: APP.to_owned(),
        display_name: bag.text(0x3001).or_else(|| bag.subject()),
        organization: bag.text(0x3a16),
        note: super::body(bag),
        extra: (!extra.is_empty()).then(|| Value::Object(extra).to_string()),
    };
    count(&mut counts.contacts, emit.record(Record::Contact(record)));
    for (number, point) in points.into_iter().enumerate() {
        let record = ContactPoint {
            provenance: emit.provenance(place.at(&format!("point/{number}"))).of_state(place.state),
            contact: locator.clone(),
            kind: point.kind.to_owned(),
            value: point.value,
            raw: point.raw,
            label: point.label.filter(|label| !label.is_empty()),
        };
        count(&mut counts.points, emit.record(Record::ContactPoint(record)));
    }
    locator
}

fn points(bag: &Bag<'_>, names: &Names, region: Option<&str>) -> Vec<Point> {
    let mut points = Vec::new();
    for (id, label) in PHONES {
        if let Some(raw) = bag.text(*id) {
            points.push(Point { kind: "phone", value: phone::normalize(&raw, region), raw, label: Some((*label).to_owned()) });
        }
    }
    for (kind, ids, label) in NAMED {
        let texts = || ids.iter().filter_map(|id| bag.text(names.of(ADDRESS, *id)?));
        let found =
            if *kind == "email" { texts().find(|text| text.contains('@')).or_else(|| texts().next()) } else { texts().next() };
        if let Some(raw) = found {
            let value = (*kind == "email" && raw.contains('@')).then(|| lower_domain(&raw));
            points.push(Point { kind, value, raw, label: Some((*label).to_owned()) });
        }
    }
    for (id, label) in PAGES {
        if let Some(raw) = bag.text(*id) {
            points.push(Point { kind: "url", value: None, raw, label: Some((*label).to_owned()) });
        }
    }
    for (label, ids) in POSTAL {
        let pieces: Vec<String> = ids.iter().filter_map(|id| bag.text(*id)).collect();
        if !pieces.is_empty() {
            let raw = pieces.join(", ");
            points.push(Point { kind: "address", value: Some(raw.clone()), raw, label: Some((*label).to_owned()) });
        }
    }
    points
}

/// The members of a list.
fn members(bag: &Bag<'_>, names: &Names, place: &Place, emit: &mut Emit<'_>) -> Vec<Point> {
    let Some(list) = names.of(ADDRESS, ONE_OFF_MEMBERS).and_then(|id| bag.get(id, BINARIES)) else { return Vec::new() };
    let word = |at: usize| list.get(at..at.checked_add(4)?).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let count = word(0).and_then(|count| usize::try_from(count).ok()).unwrap_or_default().min(list.len() / 4);
    let mut points = Vec::new();
    for number in 0..count {
        // Offsets of all, then the values; the last ends with the whole.
        let start = word(4 + number * 4).and_then(|at| usize::try_from(at).ok());
        let end =
            if number + 1 < count { word(8 + number * 4).and_then(|at| usize::try_from(at).ok()) } else { Some(list.len()) };
        let member = start.zip(end).and_then(|(start, end)| list.get(start..end)).and_then(|entry| member(bag, entry));
        match member {
            Some((name, raw)) => {
                let value = raw.contains('@').then(|| lower_domain(&raw));
                points.push(Point { kind: "email", value, raw, label: Some(name) });
            }
            None => emit.problem(Code::ValueUndecodable, format!("{}: member {number} of the list", place.root)),
        }
    }
    points
}

/// Name and address of somebody: flags, provider, version, flags, then three texts that end with a zero (MS-OXCDATA, 2.2.5.1).
fn member(bag: &Bag<'_>, entry: &[u8]) -> Option<(String, String)> {
    let flags = entry.get(22..24).filter(|_| entry.get(4..20) == Some(ONE_OFF))?;
    let texts = entry.get(24..)?;
    let wide = flags.get(1)? & 0x80 != 0;
    let texts: Vec<String> = match wide {
        true => {
            let (text, _) = encoding_rs::UTF_16LE.decode_without_bom_handling(texts);
            text.split('\0').map(str::to_owned).collect()
        }
        false => texts.split(|byte| *byte == 0).map(|text| bag.decoded(text)).collect(),
    };
    Some((texts.first()?.clone(), texts.get(2).filter(|text| !text.is_empty())?.clone()))
}
