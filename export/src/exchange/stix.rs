//! STIX 2.1 (OASIS Standard, 10 June 2021): observables as cyber-observable objects with what observed them.
//!
//! Wallet addresses, phone numbers and bank accounts have no object of their own in STIX; they are new objects of an extension
//! (§7.3) that travels in the bundle. Ids of observables are UUIDs of version 5 in STIX's own namespace (§2.9), so that two
//! units' exports name one wallet alike.

use super::output::Sheet;
use super::read::{hex, rfc3339, uuid};
use super::sighted::{self, Sighted};
use super::{Bundle, Carried, Format, Handling, Order, Output};
use crate::Error;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `--to stix`.
pub struct Stix;

/// Namespace of deterministic observable ids, STIX 2.1 §2.9.
const OBSERVABLES: uuid::Uuid = uuid::uuid!("00abedb4-aa42-466c-9c01-fed23315a9b7");

impl Format for Stix {
    fn name(&self) -> &'static str {
        "stix"
    }

    fn about(&self) -> &'static str {
        "A STIX 2.1 bundle for threat-intelligence platforms: observables with the files they were seen in, the time of the messages that have them, whether those had been deleted (labels `seen-in-live`, `seen-in-superseded`, `seen-in-recovered`, `seen-in-deleted-file`), accounts, and which two accounts have a number, an address or an id alike (`related-to`). Conversations, and links to address books and devices, stay behind."
    }

    fn carries(&self, table: &str) -> Carried {
        match table {
            "observable" => Carried::Columns(&["kind", "value", "chain", "validity"]),
            "exhibit" => Carried::Columns(&["id", "number"]),
            "item" => Carried::Columns(&["sha256", "size_bytes", "deleted"]),
            "account" => Carried::Columns(&["app", "account_key", "display_name"]),
            "sighting" => Carried::Columns(&["observable_id", "item_id", "exhibit_id"]),
            "message" => Carried::Columns(&["sent_time", "state"]),
            "link" => Carried::Columns(&["id", "account_id", "record_id", "reason", "value"]),
            _ => Carried::Nothing,
        }
    }

    fn write(&self, bundle: &Bundle, order: &Order, out: &mut Output) -> Result<(), Error> {
        let sheet = out.single()?;
        let mut writer = Writer::new(bundle, order, sheet)?;
        writer.frame(bundle, order)?;
        bundle.each("SELECT app, account_key, display_name FROM account ORDER BY id", &mut |row| {
            let (app, key, name): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(writer.account(&app, &key, name.as_deref())?)
        })?;
        bundle.each(LINKS, &mut |row| {
            let text = |place: usize| row.get::<_, String>(place);
            let (reason, value) = (text(5)?, row.get::<_, Option<String>>(6)?);
            let link = Link {
                id: hex(&row.get::<_, Vec<u8>>(0)?),
                ends: [(text(1)?, text(2)?), (text(3)?, text(4)?)],
                why: value.map_or(reason.clone(), |value| format!("{reason}: {value}")),
            };
            Ok(writer.link(&link)?)
        })?;
        sighted::each(bundle, None, &mut |sighted| writer.observable(sighted))?;
        writer.end()
    }
}

/// Two accounts that are linked, and by what.
const LINKS: &str = "SELECT link.id, one.app, one.account_key, other.app, other.account_key, reason, link.value
FROM link JOIN account AS one ON one.id = link.account_id JOIN account AS other ON other.id = link.record_id ORDER BY link.id";

struct Link {
    id: String,
    /// App and key of each.
    ends: [(String, String); 2],
    why: String,
}

/// The new objects: STIX type, and the JSON schema of what it adds.
const NEW_OBJECTS: &[(&str, &str)] = &[
    ("wallet-address", "a cryptocurrency address: `value`, `chains` it validates on, `validity` (checksum, format, context)"),
    ("phone-number", "a telephone number: `value` in E.164"),
    ("bank-account", "an international bank account number: `value` without spaces"),
    ("payment-uri", "a payment URI: `value` as written, `chains`"),
    ("extended-public-key", "an extended public key: `value`, `chains`"),
];

struct Writer {
    sheet: Sheet,
    separator: &'static [u8],
    unit: String,
    marking: &'static str,
    created: String,
    /// Objects that several may name, so that each is written once.
    written: std::collections::HashSet<uuid::Uuid>,
}

impl Writer {
    fn new(bundle: &Bundle, order: &Order, mut sheet: Sheet) -> Result<Writer, Error> {
        let id = uuid("stix-bundle", &format!("{}\n{}", bundle.checkpoint, order.created_us));
        sheet.put(format!("{{\"type\":\"bundle\",\"id\":\"bundle--{id}\",\"objects\":[\n").as_bytes())?;
        Ok(Writer {
            sheet,
            separator: b"",
            unit: format!("identity--{}", uuid("unit", &bundle.signer)),
            marking: marking(order.handling),
            created: rfc3339(order.created_us).unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned()),
            written: std::collections::HashSet::new(),
        })
    }

    fn put(&mut self, object: &Value) -> Result<(), Error> {
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
        if !self.written.insert(uuid("stix-written", id)) {
            return Ok(());
        }
        self.sheet.put(self.separator)?;
        self.separator = b",\n";
        self.sheet.json(object)
    }

    /// Who hands over, what the new objects are, what goes with the data.
    fn frame(&mut self, bundle: &Bundle, order: &Order) -> Result<(), Error> {
        let unit = json!({
            "type": "identity", "spec_version": "2.1", "id": self.unit, "created": self.created, "modified": self.created,
            "name": if bundle.signer.is_empty() { "unsigned" } else { &bundle.signer }, "identity_class": "organization",
            "object_marking_refs": [self.marking],
        });
        self.put(&unit)?;
        for (name, about) in NEW_OBJECTS {
            let definition = json!({
                "type": "extension-definition", "spec_version": "2.1", "id": extension(name), "created_by_ref": self.unit,
                "created": self.created, "modified": self.created, "name": format!("haul {name}"), "description": about,
                "schema": format!("{name}: {about}"), "version": "1.0.0", "extension_types": ["new-sco"],
            });
            self.put(&definition)?;
        }
        let exhibits: Vec<String> =
            bundle.exhibits.iter().map(|exhibit| format!("{} ({})", exhibit.number, exhibit.kind)).collect();
        let note = json!({
            "type": "note", "spec_version": "2.1", "id": format!("note--{}", uuid("stix-note", &bundle.checkpoint)),
            "created_by_ref": self.unit, "created": self.created, "modified": self.created,
            "abstract": format!("exhibits {}", exhibits.join(", ")), "content": bundle.origin(order).to_string(),
            "object_refs": [self.unit], "object_marking_refs": [self.marking],
        });
        self.put(&note)
    }

    fn account(&mut self, app: &str, key: &str, name: Option<&str>) -> Result<(), Error> {
        let mut account = json!({
            "type": "user-account", "spec_version": "2.1", "id": account_id(app, key),
            "user_id": key, "account_type": app, "object_marking_refs": [self.marking],
        });
        if let (Some(name), Some(account)) = (name.filter(|name| !name.is_empty()), account.as_object_mut()) {
            account.insert("display_name".to_owned(), name.into());
        }
        self.put(&account)
    }

    fn link(&mut self, link: &Link) -> Result<(), Error> {
        let [one, other] = link.ends.each_ref().map(|(app, key)| account_id(app, key));
        if one == other {
            return Ok(());
        }
        self.put(&json!({
            "type": "relationship", "spec_version": "2.1", "id": format!("relationship--{}", uuid("stix-link", &link.id)),
            "created_by_ref": self.unit, "created": self.created, "modified": self.created, "relationship_type": "related-to",
            "description": link.why, "source_ref": one, "target_ref": other, "object_marking_refs": [self.marking],
        }))
    }

    /// The observable, the files that have it, and how often it was seen when.
    fn observable(&mut self, sighted: &Sighted) -> Result<(), Error> {
        let object = self.object(sighted);
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.put(&object)?;
        let mut references = vec![id.clone()];
        for place in &sighted.places {
            let Some(sha256) = &place.item_sha256 else { continue };
            let file_id = observable_id("file", &json!({ "hashes": { "SHA-256": sha256 } }));
            let file = json!({
                "type": "file", "spec_version": "2.1", "id": file_id, "hashes": { "SHA-256": sha256 }, "size": place.size_bytes,
                "object_marking_refs": [self.marking],
            });
            self.put(&file)?;
            if !references.contains(&file_id) {
                references.push(file_id);
            }
        }
        // Observed-data must have times; where no message gives one, the time of the export is the only one there is.
        let seen = sighted.seen().and_then(|(first, last)| Some((rfc3339(first)?, rfc3339(last)?)));
        let (first, last) = seen.unwrap_or_else(|| (self.created.clone(), self.created.clone()));
        // Whether what has it had been deleted is said of the observation: the object is the same wherever it was seen.
        let labels: Vec<String> = sighted.states().keys().map(|state| format!("seen-in-{}", state.replace('_', "-"))).collect();
        let mut observed = json!({
            "type": "observed-data", "spec_version": "2.1", "id": format!("observed-data--{}", uuid("stix-observed", &id)),
            "created_by_ref": self.unit, "created": self.created, "modified": self.created,
            "first_observed": first, "last_observed": last,
            "number_observed": sighted.places.len().clamp(1, 999_999_999), "object_refs": references,
            "object_marking_refs": [self.marking],
        });
        if let (false, Some(observed)) = (labels.is_empty(), observed.as_object_mut()) {
            observed.insert("labels".to_owned(), json!(labels));
        }
        self.put(&observed)
    }

    fn object(&self, sighted: &Sighted) -> Value {
        let value = json!({ "value": sighted.value });
        let (name, plain) = match sighted.kind.as_str() {
            "email_address" => ("email-addr", true),
            "url" => ("url", true),
            "phone_number" => ("phone-number", false),
            "iban" => ("bank-account", false),
            "payment_uri" => ("payment-uri", false),
            "extended_public_key" => ("extended-public-key", false),
            _ => ("wallet-address", false),
        };
        let mut object = json!({
            "type": name, "spec_version": "2.1", "id": observable_id(name, &value), "value": sighted.value,
            "object_marking_refs": [self.marking],
        });
        if let (false, Some(object)) = (plain, object.as_object_mut()) {
            if sighted.chain.is_some() {
                object.insert("chains".to_owned(), json!(sighted.chains()));
            }
            object.insert("validity".to_owned(), json!(sighted.validity));
            object.insert("extensions".to_owned(), json!({ (extension(name)): { "extension_type": "new-sco" } }));
        }
        object
    }

    fn end(mut self) -> Result<(), Error> {
        self.sheet.put(b"\n]}\n")?;
        self.sheet.end()
    }
}

fn account_id(app: &str, key: &str) -> String {
    let contributing = BTreeMap::from([("account_type", app), ("user_id", key)]);
    observable_id("user-account", &json!(contributing))
}

/// Deterministic id of an observable: the canonical JSON of its contributing properties, whose keys are in order here.
fn observable_id(kind: &str, contributing: &Value) -> String {
    format!("{kind}--{}", uuid::Uuid::new_v5(&OBSERVABLES, contributing.to_string().as_bytes()))
}

fn extension(name: &str) -> String {
    format!("extension-definition--{}", uuid("stix-extension", name))
}

/// The marking definitions that STIX 2.1 §7.2.1.4 fixes; it knows `white` for clear.
fn marking(handling: Handling) -> &'static str {
    match handling {
        Handling::Clear => "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
        Handling::Green => "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
        Handling::Amber => "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
        Handling::Red => "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids that the OASIS Python library `stix2` 3.0.1 gives the same objects.
    #[test]
    fn ids_are_those_of_the_standard() {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (kind, contributing, id) in [
            ("email-addr", json!({ "value": "user@example.com" }), "82659442-1023-58e0-8ba8-b51f86fb2949"),
            ("file", json!({ "hashes": { "SHA-256": sha256 } }), "095d55f5-5a46-5771-a0e1-7794ca4fd7a6"),
            ("user-account", json!({ "account_type": "whatsapp", "user_id": "1@s" }), "c55a999c-4346-5509-9c19-5cb0c43e7b03"),
        ] {
            assert_eq!(observable_id(kind, &contributing), format!("{kind}--{id}"));
        }
    }
}
