//! The stop-payment packet: what an issuer or exchange needs to freeze, as JSON and as a page to print.
//!
//! Practice asks for chain, token, address, transaction and the police reference. Only addresses whose checksum was verified or
//! whose format has none are in `send`; those held up by their context alone are in `do_not_send_without_review`. Persons stay
//! out unless asked for: no text, no sender's name or number, no path; a message is named by its record id and its file's hash,
//! with which the unit that sent the packet finds the rest.

mod page;

use super::read::rfc3339;
use super::sighted::{self, Mention, Place, Sighted};
use super::{Bundle, Carried, Format, Order, Output};
use crate::Error;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// `--to stop-payment`.
pub struct StopPayment;

/// Words that name a token, in upper case; what is beside an address and not what it holds.
const TOKENS: &[&str] = &["USDT", "USDC", "TUSD", "BUSD", "DAI", "TRC20", "TRC-20", "ERC20", "ERC-20", "BEP20", "BEP-20", "SPL"];

impl Format for StopPayment {
    fn name(&self) -> &'static str {
        "stop-payment"
    }

    fn about(&self) -> &'static str {
        "A packet for issuers and exchanges: wallet addresses with chain, checksum verdict, first and last seen, transactions beside them, and the messages that name them (whether they had been deleted, too), as JSON and as a page to print. Persons stay out without `--include-persons`."
    }

    fn carries(&self, table: &str) -> Carried {
        match table {
            "exhibit" => Carried::Columns(&["id", "case_label", "number", "kind"]),
            "observable" => Carried::Columns(&["id", "value", "chain", "validity"]),
            "sighting" => Carried::Columns(&["id", "exhibit_id", "byte_offset", "row_table", "row_id"]),
            "message" => Carried::Columns(&["id", "app", "outgoing", "sent_time", "state"]),
            "item" => Carried::Columns(&["sha256", "deleted"]),
            _ => Carried::Nothing,
        }
    }

    fn write(&self, bundle: &Bundle, order: &Order, out: &mut Output) -> Result<(), Error> {
        let (mut send, mut review) = (Vec::new(), Vec::new());
        sighted::each(bundle, Some("wallet_address"), &mut |sighted| {
            let checked = matches!(sighted.validity.as_str(), "checksum" | "format");
            let list = if checked { &mut send } else { &mut review };
            list.push(wallet(sighted, order.identities));
            Ok(())
        })?;
        for list in [&mut send, &mut review] {
            list.sort_by_key(|wallet| (std::cmp::Reverse(wallet["exhibits"].as_u64()), wallet["address"].to_string()));
        }
        let packet = json!({
            "packet": "haul stop-payment", "version": 1, "origin": bundle.origin(order),
            "persons_included": order.identities, "send": send, "do_not_send_without_review": review,
        });
        let mut sheet = out.single()?;
        sheet.json(&packet)?;
        sheet.put(b"\n")?;
        sheet.end()?;
        let mut sheet = out.beside("html")?;
        sheet.put(page::page(&packet)?.as_bytes())?;
        sheet.end()
    }
}

fn wallet(sighted: &Sighted, identities: bool) -> Value {
    let mut tokens = BTreeSet::new();
    let mut transactions = BTreeSet::new();
    for place in &sighted.places {
        let text = place.message.as_ref().and_then(|mention| mention.text.as_deref()).unwrap_or(&place.context);
        tokens.extend(tokens_in(text));
        transactions.extend(transactions_in(text));
    }
    let (first, last) = sighted.seen().unzip();
    json!({
        "observable": sighted.id,
        "address": sighted.value,
        "chains": sighted.chains(),
        "verdict": verdict(sighted),
        "token": Value::Null,
        "tokens_named_beside_it": tokens,
        "transactions_named_beside_it": transactions,
        "first_seen": first.and_then(rfc3339),
        "last_seen": last.and_then(rfc3339),
        "exhibits": sighted.exhibits(),
        "record_states": sighted.states(),
        "places": sighted.places.iter().map(|place| place_json(place, identities)).collect::<Vec<_>>(),
    })
}

/// What was verified, in words.
fn verdict(sighted: &Sighted) -> &'static str {
    match sighted.validity.as_str() {
        "checksum" => "checksum verified",
        "format" => "well formed; written without a checksum",
        "context" => "weak format; held up by what is around it only",
        _ => "not told",
    }
}

fn place_json(place: &Place, identities: bool) -> Value {
    let mut value = json!({
        "sighting": place.sighting, "exhibit": place.exhibit, "file_sha256": place.item_sha256,
        "byte_offset": place.byte_offset, "record_state": place.state, "file_deleted": place.file_deleted,
        "row": place.row.as_ref().map(|(table, row)| json!({ "table": table, "row_id": row })),
        "message": place.message.as_ref().map(|mention| mention_json(mention, identities)),
    });
    if let (true, Some(value)) = (identities, value.as_object_mut()) {
        value.insert("path".to_owned(), json!(place.path));
        value.insert("context".to_owned(), json!(place.context));
    }
    value
}

fn mention_json(mention: &Mention, identities: bool) -> Value {
    let from = match mention.outgoing {
        Some(true) => "the device's owner (role unknown, possibly a victim)",
        Some(false) => "another party (role unknown, possibly a victim)",
        None => "unknown",
    };
    let mut value = json!({
        "record": mention.id, "app": mention.app, "from": from, "sent_time": mention.sent_time.and_then(rfc3339),
    });
    if let (true, Some(value)) = (identities, value.as_object_mut()) {
        value.insert("sender".to_owned(), json!(mention.sender));
        value.insert("text".to_owned(), json!(mention.text));
    }
    value
}

fn tokens_in(text: &str) -> impl Iterator<Item = &'static str> {
    let upper = text.to_uppercase();
    TOKENS.iter().copied().filter(move |token| {
        upper.match_indices(token).any(|(at, _)| {
            let border = |character: Option<char>| character.is_none_or(|character| !character.is_alphanumeric());
            border(upper.get(..at).and_then(|before| before.chars().next_back()))
                && border(upper.get(at + token.len()..).and_then(|after| after.chars().next()))
        })
    })
}

/// Runs of exactly 64 hexadecimal digits, with or without `0x`: what a transaction's id looks like.
fn transactions_in(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|character: char| !character.is_ascii_alphanumeric()).filter_map(|word| {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| word.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        let message = Mention {
            id: "0a".into(),
            app: "WhatsApp".into(),
            sender: Some("66812345678@s.whatsapp.net".into()),
            outgoing: Some(false),
            sent_time: Some(0),
            text: Some(text.into()),
            state: "recovered".into(),
        };
        Place {
            sighting: "0b".into(),
            exhibit: "0c".into(),
            item: "0d".into(),
            path: "Mrs Victim/msgstore.db".into(),
            item_sha256: None,
            size_bytes: 1,
            byte_offset: Some(7),
            byte_length: Some(34),
            row: None,
            context: text.into(),
            message: Some(message),
            state: Some("recovered".into()),
            file_deleted: false,
        }
    }

    #[test]
    fn persons_stay_out_unless_asked_for() {
        let place = place("pay 0812345678 to TX");
        let shut = place_json(&place, false).to_string();
        for secret in ["66812345678", "0812345678", "Victim"] {
            assert!(!shut.contains(secret), "{shut}");
            assert!(place_json(&place, true).to_string().contains(secret));
        }
    }

    #[test]
    fn what_is_beside_an_address() {
        let hash = "a".repeat(64);
        assert_eq!(transactions_in(&format!("tx 0x{hash}, {hash}f")).collect::<Vec<_>>(), [format!("0x{hash}")]);
        assert_eq!(tokens_in("send usdt (TRC20)!").collect::<Vec<_>>(), ["USDT", "TRC20"]);
        assert_eq!(tokens_in("daily xusdt").count(), 0);
    }
}
