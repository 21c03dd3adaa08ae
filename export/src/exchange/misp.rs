//! MISP: one event in the platform's JSON (MISP core format, `misp-objects` templates by their own UUIDs).
//!
//! Which attribute of `coin-address` an address belongs to depends on its chain: `address` is for Bitcoin's own forms, `address-xmr`
//! for Monero, `address-crypto` for every other; the schema accepts a TRON address in `address`, and it would be wrong.

use super::output::Sheet;
use super::read::{rfc3339, uuid};
use super::sighted::{self, Mention, Sighted};
use super::{Bundle, Carried, Format, Handling, Order, Output};
use crate::Error;
use serde_json::{Value, json};

/// `--to misp`.
pub struct Misp;

/// Template of an object: name, UUID, version, category.
struct Template(&'static str, &'static str, &'static str, &'static str);

const COIN_ADDRESS: Template = Template("coin-address", "d0e6997e-78da-4815-a6a1-cfc1c1cb8a46", "7", "financial");
const INSTANT_MESSAGE: Template = Template("instant-message", "5fa51a24-f40f-4696-a77e-d31e26bab5fc", "3", "misc");
const FORENSIC_EVIDENCE: Template = Template("forensic-evidence", "fe44c648-63ef-43fc-b3de-af71a2e023e4", "2", "misc");

impl Format for Misp {
    fn name(&self) -> &'static str {
        "misp"
    }

    fn about(&self) -> &'static str {
        "One MISP event: observables as attributes and `coin-address` objects, the messages that have them as `instant-message`, exhibits as `forensic-evidence`. Comments say where a message had been deleted. Other messages stay behind."
    }

    fn carries(&self, table: &str) -> Carried {
        match table {
            "exhibit" => Carried::Columns(&["id", "case_label", "number", "kind"]),
            "observable" => Carried::Columns(&["id", "kind", "value", "chain", "validity"]),
            "message" => Carried::Columns(&["id", "app", "sender", "sent_time", "state", "text"]),
            "item" => Carried::Columns(&["sha256", "deleted"]),
            _ => Carried::Nothing,
        }
    }

    fn write(&self, bundle: &Bundle, order: &Order, out: &mut Output) -> Result<(), Error> {
        let mut writer = Writer { sheet: out.single()?, separator: b"", told: std::collections::HashSet::new() };
        writer.head(bundle, order)?;
        sighted::each(bundle, None, &mut |sighted| writer.single(sighted))?;
        writer.objects(bundle)?;
        sighted::each(bundle, None, &mut |sighted| writer.object_of(sighted))?;
        writer.sheet.put(b"\n]}}\n")?;
        writer.sheet.end()
    }
}

struct Writer {
    sheet: Sheet,
    separator: &'static [u8],
    /// Messages that are in the event.
    told: std::collections::HashSet<uuid::Uuid>,
}

impl Writer {
    /// The event, open for attributes.
    fn head(&mut self, bundle: &Bundle, order: &Order) -> Result<(), Error> {
        let created = rfc3339(order.created_us).unwrap_or_default();
        let numbers: Vec<&str> = bundle.exhibits.iter().map(|exhibit| exhibit.number.as_str()).collect();
        let handling = match order.handling {
            Handling::Clear => "tlp:clear",
            Handling::Green => "tlp:green",
            Handling::Amber => "tlp:amber",
            Handling::Red => "tlp:red",
        };
        let event = json!({
            "uuid": uuid("misp-event", &bundle.checkpoint).to_string(), "info": format!("Haul: exhibits {}", numbers.join(", ")),
            "date": created.get(..10).unwrap_or("1970-01-01"), "threat_level_id": "4", "analysis": "0", "distribution": "0",
            "published": false, "Tag": [{ "name": handling }],
        });
        let event = event.to_string();
        self.sheet.put(b"{\"Event\":")?;
        self.sheet.put(event.strip_suffix('}').unwrap_or(&event).as_bytes())?;
        self.sheet.put(b",\"Attribute\":[\n")?;
        let origin = bundle.origin(order).to_string();
        self.put(&attribute("misp-origin", &bundle.checkpoint, None, ("text", "Other"), &origin))
    }

    /// Ends the attributes, begins the objects with the exhibits.
    fn objects(&mut self, bundle: &Bundle) -> Result<(), Error> {
        self.sheet.put(b"\n],\"Object\":[\n")?;
        self.separator = b"";
        for exhibit in &bundle.exhibits {
            let text = |relation, value: &str| attribute(relation, &exhibit.id, Some(relation), ("text", "Other"), value);
            let attributes = vec![
                text("case-number", &exhibit.case_label),
                text("evidence-number", &exhibit.number),
                text("additional-comments", &exhibit.kind),
            ];
            self.object(&FORENSIC_EVIDENCE, &exhibit.id, "", attributes)?;
        }
        Ok(())
    }

    fn put(&mut self, value: &Value) -> Result<(), Error> {
        self.sheet.put(self.separator)?;
        self.separator = b",\n";
        self.sheet.json(value)
    }

    fn object(&mut self, template: &Template, id: &str, comment: &str, attributes: Vec<Value>) -> Result<(), Error> {
        let object = json!({
            "name": template.0, "template_uuid": template.1, "template_version": template.2, "meta-category": template.3,
            "description": template.0, "uuid": uuid(template.0, id).to_string(), "distribution": "5", "comment": comment, "Attribute": attributes,
        });
        self.put(&object)
    }

    /// An observable that is an attribute of the event.
    fn single(&mut self, sighted: &Sighted) -> Result<(), Error> {
        let kind = match sighted.kind.as_str() {
            "wallet_address" => return Ok(()),
            "email_address" => ("email", "Social network"),
            "phone_number" => ("phone-number", "Person"),
            "url" => ("url", "Network activity"),
            "iban" => ("iban", "Financial fraud"),
            _ => ("text", "Financial fraud"),
        };
        let mut attribute = attribute("misp-value", &sighted.id, None, kind, &sighted.value);
        if let Some(attribute) = attribute.as_object_mut() {
            attribute.insert("comment".to_owned(), comment(sighted).into());
        }
        self.put(&attribute)
    }

    /// A wallet address, and the messages that have the observable.
    fn object_of(&mut self, sighted: &Sighted) -> Result<(), Error> {
        if sighted.kind == "wallet_address" {
            self.wallet(sighted)?;
        }
        for place in &sighted.places {
            if let Some(mention) = &place.message
                && self.told.insert(uuid(INSTANT_MESSAGE.0, &mention.id))
            {
                self.message(mention)?;
            }
        }
        Ok(())
    }

    fn wallet(&mut self, sighted: &Sighted) -> Result<(), Error> {
        let id = sighted.id.as_str();
        let (relation, kind) = coin_attribute(&sighted.chains());
        let other = |relation, kind, value: &str| attribute(relation, id, Some(relation), (kind, "Other"), value);
        let mut attributes = vec![attribute(relation, id, Some(relation), (kind, "Financial fraud"), &sighted.value)];
        attributes.extend(sighted.chains().first().map(|chain| other("symbol", "text", symbol(chain))));
        let (first, last) = sighted.seen().unzip();
        for (relation, time) in [("first-seen", first), ("last-seen", last)] {
            attributes.extend(time.and_then(rfc3339).map(|time| other(relation, "datetime", &time)));
        }
        let chains = sighted.chain.as_deref().unwrap_or("chain unknown");
        attributes.push(other("text", "text", &format!("{chains}; {}", sighted.validity)));
        self.object(&COIN_ADDRESS, id, &comment(sighted), attributes)
    }

    fn message(&mut self, mention: &Mention) -> Result<(), Error> {
        let id = mention.id.as_str();
        let other = |relation, kind, value: &str| attribute(relation, id, Some(relation), (kind, "Other"), value);
        let mut attributes = vec![other("app-used", "text", &mention.app)];
        attributes.extend(mention.sender.as_ref().map(|sender| other("from-user", "text", sender)));
        attributes.extend(mention.text.as_ref().filter(|text| !text.is_empty()).map(|text| other("body", "text", text)));
        attributes.extend(mention.sent_time.and_then(rfc3339).map(|time| other("sent-date", "datetime", &time)));
        // The template asks for one of sender and body; a message whose subject has the observable may have neither.
        if attributes.len() == 1 || (mention.sender.is_none() && mention.text.as_deref().is_none_or(str::is_empty)) {
            attributes.push(other("from-user", "text", "unknown"));
        }
        let comment = match mention.state.as_str() {
            "recovered" => "recovered: the message had been deleted",
            "superseded" => "superseded: an older version of a message",
            _ => "",
        };
        self.object(&INSTANT_MESSAGE, id, comment, attributes)
    }
}

/// How sure, whether what has it had been deleted, and the hashes of the files that have it.
fn comment(sighted: &Sighted) -> String {
    let mut hashes: Vec<&str> = sighted.places.iter().filter_map(|place| place.item_sha256.as_deref()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let states: Vec<String> = sighted.states().iter().map(|(state, places)| format!("{state} {places}")).collect();
    let seen = if states.is_empty() { String::new() } else { format!("; seen in records: {}", states.join(", ")) };
    format!("{}; validity: {}{seen}; in files {}", sighted.kind, sighted.validity, hashes.join(" "))
}

/// An attribute: type and category are a pair that MISP allows together.
fn attribute(purpose: &str, id: &str, relation: Option<&str>, kind: (&str, &str), value: &str) -> Value {
    let mut attribute = json!({
        "uuid": uuid(&format!("misp-{purpose}"), id).to_string(), "type": kind.0, "category": kind.1, "value": value, "to_ids": false,
        "disable_correlation": false, "distribution": "5",
    });
    if let (Some(relation), Some(attribute)) = (relation, attribute.as_object_mut()) {
        attribute.insert("object_relation".to_owned(), relation.into());
    }
    attribute
}

/// Relation and type of the attribute for an address that validates on these chains.
fn coin_attribute(chains: &[&str]) -> (&'static str, &'static str) {
    match chains {
        ["bitcoin", ..] => ("address", "btc"),
        ["monero"] => ("address-xmr", "xmr"),
        _ => ("address-crypto", "text"),
    }
}

/// The ticker symbol of a chain's own coin, as exchanges write it; the chain's name where there is no one symbol.
fn symbol(chain: &str) -> &str {
    match chain {
        "bitcoin" => "BTC",
        "bitcoin_cash" | "bitcoin-cash" => "BCH",
        "litecoin" => "LTC",
        "dogecoin" => "DOGE",
        "dash" => "DASH",
        "ethereum" => "ETH",
        "tron" => "TRX",
        "xrp" => "XRP",
        "monero" => "XMR",
        "solana" => "SOL",
        "ton" => "TON",
        "cardano" => "ADA",
        "cosmos" => "ATOM",
        "polkadot" => "DOT",
        "stellar" => "XLM",
        "algorand" => "ALGO",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chain_has_its_own_attribute() {
        assert_eq!(coin_attribute(&["bitcoin"]), ("address", "btc"));
        assert_eq!(coin_attribute(&["bitcoin", "litecoin"]), ("address", "btc"));
        assert_eq!(coin_attribute(&["monero"]), ("address-xmr", "xmr"));
        for chain in ["tron", "ethereum", "solana", "ton"] {
            assert_eq!(coin_attribute(&[chain]), ("address-crypto", "text"));
        }
        assert_eq!(coin_attribute(&[]), ("address-crypto", "text"));
        assert_eq!((symbol("tron"), symbol("kusama")), ("TRX", "kusama"));
    }
}
