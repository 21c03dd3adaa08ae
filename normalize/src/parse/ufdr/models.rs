//! Records from models that are no messages, people or calls: pages, places, notes, entries of calendars, applications, networks, passwords.
//!
//! Every value of such a model that has no field of its own in the record is kept in `extra` under the report's name for it.

use super::Model;
use super::device;
use super::records::{Told, source, stamp, text};
use model::SecretKind;
use model::record::{DeviceFact, Location, Message, Record, Visit};
use serde_json::{Map, Value};

/// Fields that say how the report was made, or have a place of their own: a password is a secret and stands nowhere else.
const LEFT_OUT: [&str; 4] = ["Source", "UserMapping", "DecodingStatus", "Password"];
/// Models inside models that are kept in `extra`.
const NESTED_MOST: usize = 4;
/// Fields of a journey that hold places.
const POINTS: [&str; 4] = ["FromPoint", "WayPoints", "Points", "ToPoint"];

impl Told<'_, '_> {
    /// Tells a model of one of these kinds; false if it is of another.
    pub(super) fn further(&mut self, model: &Model) -> bool {
        match model.kind.as_str() {
            "VisitedPage" => self.visit(model, "LastVisited", None),
            "WebBookmark" => self.visit(model, "TimeStamp", Some("bookmarked")),
            "SearchedItem" => self.visit(model, "TimeStamp", Some("search")),
            "Location" => self.location(model, model),
            "Journey" => self.journey(model),
            "Note" => self.note(model, "note", ("Title", "Body"), ("Creation", "Modification")),
            "CalendarEntry" => self.note(model, "event", ("Subject", "Details"), ("Creation", "Modification")),
            "InstalledApplication" => self.named(model, "application", "Identifier", &["Name", "Version"]),
            "WirelessNetwork" => self.network(model),
            "BluetoothDevice" => self.named(model, "bluetooth_device", "MACAddress", &["Name"]),
            "SIMData" => self.sim(model),
            "Password" => self.password(model),
            _ => return false,
        }
        true
    }

    fn visit(&mut self, model: &Model, time: &str, transition: Option<&str>) {
        let record = Visit {
            provenance: self.provenance(model),
            app: source(model),
            url: text(model, "Url"),
            title: text(model, "Title"),
            visited: stamp(model, time),
            transition: transition.map(str::to_owned),
            typed: None,
            referrer: None,
            extra: rest(model, &["Url", "Title", time]),
        };
        self.put(model, Record::Visit(Box::new(record)));
    }

    /// A place; `within` is the model that tells its time and app where the place is a part of it.
    pub(super) fn location(&mut self, model: &Model, within: &Model) {
        let position = model.inner(&["Position", "Coordinate"]).next().unwrap_or(model);
        let degrees = |name: &str, most: f64| {
            let number: f64 = text(position, name)?.trim().parse().ok()?;
            // The text of a number that is in range: `{}` writes the shortest that gives it back.
            (number.abs() <= most).then(|| number.to_string())
        };
        let (latitude, longitude) = (degrees("Latitude", 90.0), degrees("Longitude", 180.0));
        if latitude.is_none() || longitude.is_none() {
            return self.count(&model.kind, "location", false);
        }
        let accuracy = text(position, "GPSHorizontalAccuracy").or_else(|| text(model, "Precision"));
        let accuracy_m = accuracy.and_then(|metres| metres.trim().parse::<f64>().ok()).filter(|metres| metres.is_finite());
        let own = std::ptr::eq(model, within);
        let record = Location {
            provenance: self.provenance_within(model, within),
            app: source(within),
            latitude,
            longitude,
            accuracy_m: accuracy_m.map(|metres| metres.to_string()),
            located: stamp(model, "TimeStamp").or_else(|| stamp(within, "TimeStamp")),
            source: text(model, "Category").or_else(|| text(model, "Type")).or_else(|| (!own).then(|| within.kind.clone())),
            label: text(model, "Name").or_else(|| text(model, "PositionAddress")).or_else(|| text(position, "Comment")),
            extra: rest(model, &["TimeStamp", "Name", "Latitude", "Longitude"]),
        };
        self.put(model, Record::Location(Box::new(record)));
    }

    /// A way from place to place: each of them is told.
    fn journey(&mut self, model: &Model) {
        let before = self.told_so_far();
        for point in model.inner(&POINTS) {
            self.location(point, model);
        }
        self.count(&model.kind, "none", self.told_so_far() > before);
    }

    /// A note or an entry of a calendar: a message of that type, as the apps' own databases give them.
    fn note(&mut self, model: &Model, kind: &str, (title, body): (&str, &str), (made, changed): (&str, &str)) {
        let own = text(model, "Identifier").or_else(|| Some(model.id.clone()).filter(|id| !id.is_empty()));
        let record = Message {
            provenance: self.provenance(model),
            app: source(model),
            thread_key: text(model, "Folder").or_else(|| text(model, "Category")),
            sender: None,
            recipient: None,
            outgoing: None,
            sent: stamp(model, made).or_else(|| stamp(model, "TimeStamp")),
            received: None,
            edited: stamp(model, changed),
            text: text(model, body).or_else(|| text(model, "Summary")),
            subject: text(model, title),
            message_type: Some(kind.to_owned()),
            message_key: own,
            quoted_key: None,
            quoted_text: None,
            quoted_sender: None,
            forwarded: None,
            status: text(model, "Status"),
            extra: rest(model, &[title, body, made, changed, "Folder", "Category", "Status", "Identifier", "TimeStamp"]),
        };
        let place = model.place();
        self.put(model, Record::Message(Box::new(record)));
        for file in model.inner(&["Attachment", "Attachments"]) {
            self.attachment(file, &place, model);
        }
    }

    /// What a device has or met, by its identifier, with the words that name it.
    fn named(&mut self, model: &Model, kind: &str, key: &str, words: &[&str]) {
        let label: Vec<String> = words.iter().filter_map(|word| text(model, word)).collect();
        let Some(raw) = text(model, key).or_else(|| label.first().cloned()) else {
            return self.count(&model.kind, "device", false);
        };
        let label = (!label.is_empty()).then(|| label.join(" "));
        let provenance = self.provenance(model);
        self.put(model, Record::Device(DeviceFact { provenance, kind: kind.to_owned(), value: None, raw, label }));
    }

    /// A wireless network that the device knew, where it met it, and the password it had for it.
    fn network(&mut self, model: &Model) {
        self.named(model, "wireless_network", "SSId", &["SSId", "BSSId", "LastConnection", "TimeStamp"]);
        if model.inner(&["Position"]).next().is_some() {
            self.location(model, model);
        }
        if let Some(word) = text(model, "Password") {
            self.secret(model, word, &["SSId", "BSSId"]);
        }
    }

    /// What a SIM card tells: a name and a value.
    fn sim(&mut self, model: &Model) {
        let told = text(model, "Name").zip(text(model, "Value"));
        let Some((kind, raw, name)) = told.and_then(|(name, raw)| Some((device::kind_of(&name)?, raw, name))) else {
            return self.count(&model.kind, "device", false);
        };
        let provenance = self.provenance(model);
        let fact = DeviceFact { provenance, kind: kind.to_owned(), value: None, raw, label: Some(name) };
        self.put(model, Record::Device(fact));
    }

    fn password(&mut self, model: &Model) {
        match text(model, "Data").or_else(|| text(model, "Value")) {
            Some(word) => self.secret(model, word, &["Service", "Server", "ServiceIdentifier", "Account", "Label", "Type"]),
            None => self.count(&model.kind, "secret", false),
        }
    }

    /// A secret, and what it opens: the values of these fields.
    pub(super) fn secret(&mut self, model: &Model, word: String, fields: &[&str]) {
        let mut opens: Vec<String> = fields.iter().filter_map(|name| text(model, name)).collect();
        opens.dedup();
        let detail = if opens.is_empty() { source(model) } else { opens.join(", ") };
        self.emit.secret(SecretKind::Password, word, &detail, &model.kind, &model.place());
        self.count(&model.kind, "secret", true);
    }
}

/// The values of a model that are not named here, as one JSON object.
pub(super) fn rest(model: &Model, known: &[&str]) -> Option<String> {
    let object = values(model, known, 0);
    (!object.is_empty()).then(|| Value::Object(object).to_string())
}

fn values(model: &Model, known: &[&str], depth: usize) -> Map<String, Value> {
    let mut object = Map::new();
    let own = model.fields.iter().filter(|(name, _)| !known.contains(&name.as_str()) && !LEFT_OUT.contains(&name.as_str()));
    for (name, value) in own {
        add(&mut object, name, Value::from(value.as_str()));
    }
    if depth < NESTED_MOST {
        for (name, inner) in model.models.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let inner = values(inner, &[], depth + 1);
            if !inner.is_empty() {
                add(&mut object, name, Value::Object(inner));
            }
        }
    }
    object
}

/// Adds a value; a second one of the same name makes a list of both.
fn add(object: &mut Map<String, Value>, name: &str, value: Value) {
    match object.get_mut(name) {
        None => drop(object.insert(name.to_owned(), value)),
        Some(Value::Array(list)) => list.push(value),
        Some(first) => {
            let before = std::mem::take(first);
            *first = Value::Array(vec![before, value]);
        }
    }
}
