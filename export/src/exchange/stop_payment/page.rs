//! The packet as a page: no script, nothing fetched, every text from the packet escaped.

use crate::Error;
use crate::bundle::checkpoint::base64;
use askama::Template;
use serde_json::Value;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../../../templates/stop_payment/style.css");
/// Addresses whose places are printed, of each list; the JSON has them all.
const DETAILED: usize = 100;
/// Places printed of one address.
const PLACES_SHOWN: usize = 20;

#[derive(Template)]
#[template(path = "stop_payment/page.html")]
struct Page {
    style: &'static str,
    style_hash: String,
    handling: String,
    persons: &'static str,
    facts: Vec<(&'static str, String)>,
    lists: [List; 2],
    detailed: usize,
    checkpoint: String,
}

struct List {
    title: &'static str,
    note: &'static str,
    /// Before an address's number.
    mark: &'static str,
    wallets: Vec<Wallet>,
}

struct Wallet {
    address: String,
    chains: String,
    verdict: String,
    beside: String,
    first: String,
    last: String,
    exhibits: String,
    messages: String,
    places: Vec<Place>,
    more: usize,
}

struct Place {
    sent: String,
    app: String,
    from: String,
    exhibit: String,
    record: String,
    file: String,
    spot: String,
    text: String,
}

/// The whole page.
pub fn page(packet: &Value) -> Result<String, Error> {
    let origin = &packet["origin"];
    let persons = match packet["persons_included"].as_bool() {
        Some(true) => "It has names, numbers and texts of persons, some of whom may be victims: keep it accordingly.",
        _ => "It has no name, number or word of any person; whoever needs them asks the unit.",
    };
    let (send, review) = (&packet["send"], &packet["do_not_send_without_review"]);
    let page = Page {
        style: STYLE,
        style_hash: format!("sha256-{}", base64(&Sha256::digest(STYLE.as_bytes()))),
        handling: words(&origin["handling"]),
        persons,
        facts: facts(origin),
        lists: [
            List {
                title: "Addresses",
                note: "Their checksum was verified, or their kind has none. An address says where money can go, not whose it is.",
                mark: "A",
                wallets: wallets(send, origin),
            },
            List {
                title: "Not to be acted on without review",
                note: "Only what stands beside these says that they are addresses.",
                mark: "R",
                wallets: wallets(review, origin),
            },
        ],
        detailed: DETAILED,
        checkpoint: words(&origin["checkpoint"]),
    };
    page.render().map_err(Error::Template)
}

fn facts(origin: &Value) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    for (name, key) in [
        ("Requested by", "officer"),
        ("Unit (key)", "unit"),
        ("For", "recipient"),
        ("Purpose", "purpose"),
        ("Made", "created"),
        ("Keep until", "retain_until"),
    ] {
        facts.push((name, told(&origin[key])));
    }
    for exhibit in list(&origin["exhibits"]) {
        let of = format!("{}, exhibit {} ({})", words(&exhibit["case"]), words(&exhibit["number"]), words(&exhibit["kind"]));
        facts.push(("Case", of));
    }
    facts.push(("Nature", words(&origin["nature"])));
    facts
}

fn wallets(wallets: &Value, origin: &Value) -> Vec<Wallet> {
    list(wallets).iter().enumerate().map(|(number, one)| wallet(one, origin, number < DETAILED)).collect()
}

fn wallet(wallet: &Value, origin: &Value, detailed: bool) -> Wallet {
    let places = list(&wallet["places"]);
    let messages = places.iter().filter(|place| !place["message"].is_null());
    let deleted = messages.clone().filter(|place| place["record_state"] == "recovered").count();
    let messages = messages.count();
    let shown = if detailed { places.len().min(PLACES_SHOWN) } else { 0 };
    let beside = [list(&wallet["tokens_named_beside_it"]), list(&wallet["transactions_named_beside_it"])].concat();
    let joined = |values: &[Value], between: &str| values.iter().map(words).collect::<Vec<_>>().join(between);
    Wallet {
        address: words(&wallet["address"]),
        chains: joined(list(&wallet["chains"]), ", "),
        verdict: words(&wallet["verdict"]),
        beside: joined(&beside, " "),
        first: time(&wallet["first_seen"]),
        last: time(&wallet["last_seen"]),
        exhibits: words(&wallet["exhibits"]),
        messages: if deleted > 0 { format!("{messages}, {deleted} of them deleted") } else { messages.to_string() },
        places: places.iter().take(shown).map(|one| place(one, origin)).collect(),
        more: if detailed { places.len() - shown } else { 0 },
    }
}

fn place(place: &Value, origin: &Value) -> Place {
    let message = &place["message"];
    let exhibit = list(&origin["exhibits"]).iter().find(|exhibit| exhibit["id"] == place["exhibit"]);
    let deleted = match (place["record_state"].as_str(), place["file_deleted"].as_bool()) {
        (Some(state), _) if state != "live" => format!("; the record was {state}"),
        (_, Some(true)) => "; the file was deleted".to_owned(),
        _ => String::new(),
    };
    let spot = match (place["row"]["table"].as_str(), place["byte_offset"].as_i64()) {
        (Some(table), _) => format!("table {table}, row {}", words(&place["row"]["row_id"])),
        (None, Some(offset)) => format!("byte {offset}"),
        (None, None) => String::new(),
    };
    let from = if message.is_null() { "no message: in a file".to_owned() } else { words(&message["from"]) };
    let named = [message["sender"].as_str().map(visible), Some(from)];
    Place {
        sent: time(&message["sent_time"]),
        app: words(&message["app"]),
        from: named.into_iter().flatten().collect::<Vec<_>>().join(", "),
        exhibit: exhibit.map(|exhibit| words(&exhibit["number"])).unwrap_or_default(),
        record: words(if message.is_null() { &place["sighting"] } else { &message["record"] }),
        file: words(&place["file_sha256"]),
        spot: format!("{}{deleted}", visible(&spot)),
        text: message["text"].as_str().or(place["context"].as_str()).map(visible).unwrap_or_default(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => visible(text),
        other => other.to_string(),
    }
}

/// What whoever made the packet should have said.
fn told(value: &Value) -> String {
    if value.is_null() { "not told".to_owned() } else { words(value) }
}

/// A time to the second, as people read it.
fn time(value: &Value) -> String {
    let text = words(value);
    text.get(..19).map_or(text.clone(), |time| time.replace('T', " "))
}

/// What deceives the eye is written out as on a terminal; the template escapes the rest.
fn visible(text: &str) -> String {
    text.split('\n').map(model::text::escape).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_of_the_packet_becomes_markup() {
        let packet = json!({
            "origin": { "unit": "<script>alert(1)</script>", "exhibits": [{ "case": "\" onload=\"x", "number": "1" }] },
            "send": [{ "address": "<img src=x>", "chains": ["tron"], "places": [] }],
            "do_not_send_without_review": [],
        });
        let page = page(&packet).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("\" onload"));
        assert!(page.contains("&#60;img src=x&#62;") && page.contains("default-src 'none'"), "{page}");
    }

    #[test]
    fn a_place_says_when_from_whom_and_where() {
        let packet = json!({
            "origin": { "officer": "Sergeant Chan", "exhibits": [{ "id": "0c", "case": "R7", "number": "12", "kind": "phone" }] },
            "send": [{ "address": "T1", "chains": ["tron"], "exhibits": 1, "first_seen": "2024-05-01T10:00:00.000Z", "places": [
                { "sighting": "0b", "exhibit": "0c", "file_sha256": "abc", "byte_offset": 7, "record_state": "recovered", "row": null,
                  "message": { "record": "0a", "app": "WhatsApp", "from": "another party", "sent_time": "2024-05-01T10:00:00.000Z" } },
            ] }],
            "do_not_send_without_review": [],
        });
        let page = page(&packet).unwrap();
        for words in [
            "Sergeant Chan",
            "R7, exhibit 12 (phone)",
            "2024-05-01 10:00:00",
            "another party",
            "0a",
            "abc",
            "byte 7; the record was recovered",
            "1, 1 of them deleted",
            "not told",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
    }
}
