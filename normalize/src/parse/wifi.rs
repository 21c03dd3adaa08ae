//! Wireless networks that a device joined: where it was, and when. Property lists of iOS and macOS, and Android's list.
//!
//! One record for each moment that a list tells of, and one without a time for a network that it only knows: a network synchronized from
//! another device was perhaps never near this one.

mod android;
mod apple;
#[cfg(test)]
mod tests;

use crate::emit::Emit;
use crate::parse::Outcome;
use model::record::{Location, Record};
use model::{Locator, Stamp};
use serde_json::{Map, Value};

pub use android::WifiAndroid;
pub use apple::WifiApple;

/// Largest list that is read.
const BYTES_MAX: u64 = 64 << 20;
/// What told the place.
const SOURCE: &str = "wifi";

/// What a list says of a network at one moment.
struct Seen {
    locator: Locator,
    /// Its name.
    ssid: String,
    /// What happened then: `joined_by_user`, `associated`, `located`, …; nothing for a network that is only known.
    event: Option<&'static str>,
    time: Option<Stamp>,
    /// Degrees north and east, and the radius in metres.
    place: Option<(f64, f64, Option<f64>)>,
    extra: Map<String, Value>,
}

/// Puts what was seen, and counts it.
fn put(app: &str, seen: Vec<Seen>, emit: &mut Emit<'_>) -> Outcome {
    let (mut count, mut put) = (0, 0);
    for Seen { locator, ssid, event, time, place, mut extra } in seen {
        count += 1;
        if let Some(event) = event {
            extra.insert("event".to_owned(), event.into());
        }
        let location = Location {
            provenance: emit.provenance(locator),
            app: app.to_owned(),
            latitude: place.map(|place| place.0.to_string()),
            longitude: place.map(|place| place.1.to_string()),
            accuracy_m: place.and_then(|place| place.2).map(|metres| metres.to_string()),
            located: time,
            source: Some(SOURCE.to_owned()),
            label: Some(ssid),
            extra: (!extra.is_empty()).then(|| Value::Object(extra).to_string()),
        };
        put += u64::from(emit.record(Record::Location(Box::new(location))));
    }
    emit.ledger("networks", "location", None, count, put, None);
    Outcome::parsed()
}
