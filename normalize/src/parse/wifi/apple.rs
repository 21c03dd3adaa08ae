//! `com.apple.wifi.known-networks.plist` (since iOS 14 and macOS 11), `com.apple.wifi.plist`, `com.apple.wifi-private-mac-networks.plist`
//! and `com.apple.airport.preferences.plist`: their keys as they stand on devices of iOS 15 to 17 and in macOS 10.9 to 10.12.

use super::{BYTES_MAX, Seen, put};
use crate::decode::time;
use crate::emit::Emit;
use crate::parse::node::pointer_step;
use crate::parse::{Input, Outcome, Parser};
use model::plist::{Plist, Value};
use model::text::escape;
use model::{Code, Locator, Stamp, TimeUnit};
use serde_json::Map;

const APP: &str = "Wi-Fi";
/// Lists of networks in a file.
const LISTS: [&str; 4] =
    ["List of known networks", "List of scanned networks with private mac", "RememberedNetworks", "KnownNetworks"];
/// What the keys of a file begin with that is one list.
const PREFIXES: [&str; 2] = ["wifi.network.", "wifi.ssid."];
/// Most networks of a list, and most access points of one: more than Apple's own lists hold by far.
const NETWORKS_MAX: usize = 65_536;

/// Moments at which the device was near a network, and what happened then.
const MOMENTS: [(&[&str], &str); 10] = [
    (&["JoinedByUserAt"], "joined_by_user"),
    (&["JoinedBySystemAt"], "joined_by_system"),
    (&["lastJoined"], "joined"),
    (&["lastAutoJoined"], "joined_by_system"),
    (&["LastConnected"], "joined"),
    (&["__OSSpecific__", "prevJoined"], "joined_before"),
    (&["prevJoined"], "joined_before"),
    (&["FirstJoinWithNewMacTimestamp"], "first_joined_with_address"),
    (&["LinkDownTimestamp"], "left"),
    (&["LastDiscoveredAt"], "discovered"),
];

/// What else is kept of a network, and under which name.
const DETAILS: [(&[&str], &str); 9] = [
    (&["BSSID"], "bssid"),
    (&["__OSSpecific__", "BSSID"], "bssid"),
    (&["CachedScanRecord", "BSSID"], "bssid"),
    (&["AddedAt"], "added"),
    (&["addedAt"], "added"),
    (&["AddReason"], "add_reason"),
    (&["SupportedSecurityTypes"], "security"),
    (&["SecurityType"], "security"),
    (&["PRIVATE_MAC_ADDRESS", "PRIVATE_MAC_ADDRESS_IN_USE"], "own_address"),
];

/// What is kept of an access point.
const POINT_DETAILS: [(&[&str], &str); 3] =
    [(&["BSSID"], "bssid"), (&["Channel"], "channel"), (&["IPv4NetworkSignature"], "gateway")];

/// The parser.
pub struct WifiApple;

impl Parser for WifiApple {
    fn name(&self) -> &'static str {
        "wifi_apple"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        // A binary list keeps its keys' text anywhere: those of a large one may lie behind the head, its name then says enough.
        let is_list = input.head.starts_with(b"bplist0") || memchr::memmem::find(input.head, b"<plist").is_some();
        let has = |text: &str| memchr::memmem::find(input.head, text.as_bytes()).is_some();
        let named = || {
            let name = String::from_utf8_lossy(&input.unit.primary.name).to_ascii_lowercase();
            name.contains("wifi") || name.contains("airport")
        };
        is_list && (LISTS.iter().any(|list| has(list)) || PREFIXES.iter().any(|prefix| has(prefix))) && (has("SSID") || named())
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(BYTES_MAX, "list of networks", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let Some(list) = Plist::open(&content) else {
            emit.problem(Code::DocumentDamaged, "property list cannot be read");
            return Outcome::partial("property list cannot be read");
        };
        let whole = content.len() as u64;
        let (mut seen, mut troubles) = (Vec::new(), Vec::new());
        let (paths, is_whole) = networks(&list);
        for path in paths {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            Network { list: &list, path: &path, whole }.tell(&mut seen, &mut troubles);
        }
        let outcome = put(APP, seen, emit);
        troubles.into_iter().for_each(|(code, detail)| emit.problem(code, detail));
        if is_whole {
            return outcome;
        }
        emit.problem(Code::CapEntries, format!("only the first {NETWORKS_MAX} networks were read"));
        Outcome::partial("more networks than are read")
    }
}

/// Paths of the networks in a list, and whether these are all.
fn networks(list: &Plist<'_>) -> (Vec<Vec<String>>, bool) {
    let top = list.steps(&[], NETWORKS_MAX.saturating_add(1));
    let mut paths: Vec<Vec<String>> = Vec::new();
    for key in top {
        if LISTS.contains(&key.as_str()) {
            let inner = list.steps(&[&key], NETWORKS_MAX.saturating_add(1));
            paths.extend(inner.into_iter().map(|step| vec![key.clone(), step]));
        } else if PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            paths.push(vec![key]);
        }
    }
    let is_whole = paths.len() <= NETWORKS_MAX;
    paths.truncate(NETWORKS_MAX);
    (paths, is_whole)
}

/// What was met on the way.
type Troubles = Vec<(Code, String)>;

/// One network of a list.
struct Network<'l> {
    list: &'l Plist<'l>,
    path: &'l [&'l str],
    /// Bytes of the list.
    whole: u64,
}

impl Network<'_> {
    fn get(&self, path: &[&str]) -> Option<Value> {
        self.list.get(&[self.path, path].concat())
    }

    fn locator(&self, path: &[&str]) -> Locator {
        let steps = [self.path, path].concat();
        let pointer = self.pointer(path);
        // A container has no bytes of its own.
        let (offset, length) = self.list.place(&steps).unwrap_or((0, self.whole));
        Locator::Pointer { pointer, offset, length }
    }

    /// Its name: as text, as bytes, or what its key says.
    fn ssid(&self) -> String {
        let text = ["SSID_STR", "SSIDString", "SSID"].into_iter().find_map(|key| match self.get(&[key])? {
            Value::Text(text) => Some(text),
            Value::Data(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            _ => None,
        });
        let key = || {
            let key = self.path.last().copied().unwrap_or_default();
            PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key).to_owned()
        };
        text.unwrap_or_else(key)
    }

    fn pointer(&self, path: &[&str]) -> String {
        [self.path, path].concat().into_iter().map(|step| format!("/{}", pointer_step(step))).collect()
    }

    /// A moment; one that is there and is no date is told.
    fn time(&self, path: &[&str], troubles: &mut Troubles) -> Option<Stamp> {
        match self.get(path)? {
            Value::Cocoa(seconds) => Some(time::real(seconds, TimeUnit::CocoaS)),
            Value::Iso(text) => {
                let utc_us = text.trim().parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
                if utc_us.is_none() {
                    troubles.push((Code::ValueUndecodable, format!("{}: no date", escape(&self.pointer(path)))));
                }
                Some(Stamp::text(text, utc_us))
            }
            _ => {
                troubles.push((Code::ValueUndecodable, format!("{}: no date", escape(&self.pointer(path)))));
                None
            }
        }
    }

    fn number(&self, path: &[&str]) -> Option<f64> {
        match self.get(path)? {
            Value::Real(number) => Some(number).filter(|number| number.is_finite()),
            Value::Integer(number) => Some(number as f64),
            _ => None,
        }
    }

    fn details(&self, below: &[&str], wanted: &[(&[&str], &str)]) -> Map<String, serde_json::Value> {
        let mut details = Map::new();
        for (path, name) in wanted {
            let value: serde_json::Value = match self.get(&[below, path].concat()) {
                Some(Value::Text(text) | Value::Iso(text)) => text.into(),
                Some(Value::Integer(number)) => number.into(),
                Some(Value::Data(address)) => {
                    address.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":").into()
                }
                Some(Value::Cocoa(seconds)) => format!("{seconds:?} s since 2001-01-01 UTC").into(),
                _ => continue,
            };
            details.entry(*name).or_insert(value);
        }
        details
    }

    /// Every moment that the list tells of this network.
    fn tell(&self, seen: &mut Vec<Seen>, troubles: &mut Troubles) {
        let before = seen.len();
        let ssid = self.ssid();
        let extra = self.details(&[], &DETAILS);
        for (path, event) in MOMENTS {
            let Some(time) = self.time(path, troubles) else { continue };
            let (locator, ssid, extra) = (self.locator(path), ssid.clone(), extra.clone());
            seen.push(Seen { locator, ssid, event: Some(event), time: Some(time), place: None, extra });
        }
        let points = self.list.steps(&[self.path, &["BSSList"]].concat(), NETWORKS_MAX.saturating_add(1));
        if points.len() > NETWORKS_MAX {
            let detail =
                format!("{}: only the first {NETWORKS_MAX} access points were read", escape(&self.pointer(&["BSSList"])));
            troubles.push((Code::CapEntries, detail));
        }
        for point in points.iter().take(NETWORKS_MAX) {
            self.tell_point(&ssid, point, seen, troubles);
        }
        if seen.len() == before {
            seen.push(Seen { locator: self.locator(&[]), ssid, event: None, time: None, place: None, extra });
        }
    }

    /// An access point of the network: when it was used last, and where the device was when it last knew.
    fn tell_point(&self, ssid: &str, point: &str, seen: &mut Vec<Seen>, troubles: &mut Troubles) {
        let below = ["BSSList", point];
        let at = |key: &'static str| ["BSSList", point, key];
        let mut tell = |key, event, time, place| {
            let (locator, ssid, extra) = (self.locator(&at(key)), ssid.to_owned(), self.details(&below, &POINT_DETAILS));
            seen.push(Seen { locator, ssid, event: Some(event), time, place, extra });
        };
        if let Some(time) = self.time(&at("LastAssociatedAt"), troubles) {
            tell("LastAssociatedAt", "associated", Some(time), None);
        }
        let (latitude, longitude) = (self.number(&at("LocationLatitude")), self.number(&at("LocationLongitude")));
        if let (Some(latitude), Some(longitude)) = (latitude, longitude) {
            let place = (latitude, longitude, self.number(&at("LocationAccuracy")));
            tell("LocationLatitude", "located", self.time(&at("LocationTimestamp"), troubles), Some(place));
        }
    }
}
