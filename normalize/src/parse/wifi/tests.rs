use super::{WifiAndroid, WifiApple};
use crate::evidence::{Scratch, problems};
use crate::parse::Parser;
use model::record::{Location, Record};
use model::{Body, Code, ItemStatus};

fn places(bodies: &[Body]) -> Vec<&Location> {
    bodies
        .iter()
        .filter_map(|body| if let Body::Record(Record::Location(place)) = body { Some(&**place) } else { None })
        .collect()
}

/// Event, time in UTC microseconds and latitude of each.
fn told(bodies: &[Body]) -> Vec<(String, Option<i64>, Option<&str>)> {
    let event = |place: &Location| {
        let extra: serde_json::Value = serde_json::from_str(place.extra.as_deref().unwrap_or("{}")).unwrap();
        extra["event"].as_str().unwrap_or_default().to_owned()
    };
    let time = |place: &Location| place.located.as_ref().and_then(|stamp| stamp.utc_us);
    places(bodies).into_iter().map(|place| (event(place), time(place), place.latitude.as_deref())).collect()
}

const KNOWN: &str = r#"<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>
<key>wifi.network.ssid.Compound 3/B</key><dict><key>SSID</key><data>Q29tcG91bmQgMy9C</data>
<key>AddReason</key><string>Cloud Sync</string><key>JoinedByUserAt</key><date>2024-01-02T03:04:05Z</date>
<key>BSSList</key><array><dict><key>BSSID</key><string>2:1b:5f:aa:bf:8f</string><key>Channel</key><integer>11</integer>
<key>LastAssociatedAt</key><date>2024-01-03T00:00:00Z</date><key>LocationLatitude</key><real>10.609</real>
<key>LocationLongitude</key><real>103.523</real><key>LocationAccuracy</key><real>35</real>
<key>LocationTimestamp</key><date>2024-01-03T00:00:09Z</date></dict></array></dict>
<key>wifi.network.ssid.Only known</key><dict><key>Hidden</key><false/></dict></dict></plist>"#;

#[test]
fn every_moment_of_a_known_network_is_told() {
    let bodies = Scratch::new("com.apple.wifi.known-networks.plist", KNOWN.as_bytes()).parse(&WifiApple);
    let expected = [
        ("joined_by_user", Some(1_704_164_645_000_000), None),
        ("associated", Some(1_704_240_000_000_000), None),
        ("located", Some(1_704_240_009_000_000), Some("10.609")),
        ("", None, None),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(event, time, place)| (event.to_owned(), time, place)).collect();
    assert_eq!(told(&bodies), expected);
    let places = places(&bodies);
    assert_eq!(places[0].label.as_deref(), Some("Compound 3/B"));
    assert!(places[0].extra.as_deref().unwrap().contains("Cloud Sync"));
    assert!(places[1].extra.as_deref().unwrap().contains("2:1b:5f:aa:bf:8f"));
    assert_eq!((places[2].longitude.as_deref(), places[2].accuracy_m.as_deref()), (Some("103.523"), Some("35")));
    // A network that came from another device was perhaps never near: it has no time.
    assert_eq!(places[3].label.as_deref(), Some("ssid.Only known"));
    let (offset, length) = places[0].provenance.locator.range().unwrap();
    assert_eq!(&KNOWN[offset as usize..][..length as usize], "2024-01-02T03:04:05Z");
}

#[test]
fn older_lists_and_what_is_none() {
    let list = r#"<plist version="1.0"><dict><key>List of known networks</key><array><dict><key>SSID_STR</key><string>A</string>
<key>PRIVATE_MAC_ADDRESS</key><dict><key>PRIVATE_MAC_ADDRESS_IN_USE</key><data>GnvxxqqA</data></dict>
<key>lastAutoJoined</key><date>2020-01-01T00:00:00Z</date></dict></array></dict></plist>"#;
    let bodies = Scratch::new("com.apple.wifi.plist", list.as_bytes()).parse(&WifiApple);
    assert_eq!(told(&bodies), [("joined_by_system".to_owned(), Some(1_577_836_800_000_000), None)]);
    assert!(places(&bodies)[0].extra.as_deref().unwrap().contains("1a:7b:f1:c6:aa:80"));
    let other = "<plist><dict><key>SSID</key><string>A</string></dict></plist>";
    assert!(!Scratch::new("other.plist", other.as_bytes()).identified(&WifiApple));
    for cut in (0..KNOWN.len()).filter(|cut| KNOWN.is_char_boundary(*cut)) {
        let bodies = Scratch::new("x.plist", &KNOWN.as_bytes()[..cut]).run(|input, emit| WifiApple.parse(input, emit));
        assert!(bodies.iter().any(|body| matches!(body, Body::Item(item) if item.status == ItemStatus::Partial)), "{cut}");
    }
}

const STORE: &str = r#"<?xml version='1.0' encoding='utf-8' standalone='yes' ?>
<WifiConfigStoreData><int name="Version" value="3" /><NetworkList>
<Network><WifiConfiguration><string name="ConfigKey">&quot;Sok &amp; Co&quot;WPA_PSK</string><string name="SSID">&quot;Sok &amp; Co&quot;</string>
<null name="BSSID" /><string name="PreSharedKey">&quot;let&quot;me&quot;</string><boolean name="HasEverConnected" value="true" />
<string name="CreationTime">time=11-04 13:09:38.123</string></WifiConfiguration><NetworkStatus /></Network>
<Network><WifiConfiguration><string name="SSID">e383af</string><null name="PreSharedKey" /></WifiConfiguration></Network>
</NetworkList></WifiConfigStoreData>"#;

#[test]
fn networks_of_android_and_their_keys() {
    let bodies = Scratch::new("WifiConfigStore.xml", STORE.as_bytes()).parse(&WifiAndroid);
    let found = places(&bodies);
    assert_eq!(found.iter().map(|place| place.label.as_deref().unwrap()).collect::<Vec<_>>(), ["Sok & Co", "e383af"]);
    let extra: serde_json::Value = serde_json::from_str(found[0].extra.as_deref().unwrap()).unwrap();
    assert_eq!(
        (extra["created"].as_str(), extra["has_ever_connected"].as_str()),
        (Some("time=11-04 13:09:38.123"), Some("true"))
    );
    let secrets = bodies.iter().filter_map(|body| if let Body::Secret(secret) = body { Some(secret) } else { None });
    let secrets: Vec<_> = secrets.map(|secret| (secret.value.as_str(), secret.detail.as_str())).collect();
    assert_eq!(secrets, [("let\"me", "Wi-Fi network Sok & Co")]);
}

#[test]
fn a_store_that_is_cut_tells_what_came_before() {
    let cut = &STORE[..STORE.len() - 60];
    let bodies = Scratch::new("WifiConfigStore.xml", cut.as_bytes()).parse(&WifiAndroid);
    assert!(!places(&bodies).is_empty());
    assert!(bodies.iter().any(|body| matches!(body, Body::Problem(problem) if problem.code == Code::DocumentDamaged)));
    assert!(!Scratch::new("WifiConfigStore.xml", b"<Other/>").identified(&WifiAndroid));
}

#[test]
fn what_is_not_kept_is_told() {
    let list = KNOWN.replace("<date>2024-01-02T03:04:05Z</date>", "<string>yesterday</string>");
    let bodies = Scratch::new("com.apple.wifi.known-networks.plist", list.as_bytes()).parse(&WifiApple);
    assert_eq!(told(&bodies).len(), 3, "the other moments are there");
    let expected = ("value_undecodable", "/wifi.network.ssid.Compound 3~1B/JoinedByUserAt: no date");
    assert_eq!(problems(&bodies), [expected]);
    let store = STORE.replace("time=11-04 13:09:38.123", &"9".repeat(5000)).replace("value=\"true\"", "value=\"&nothing;\"");
    let bodies = Scratch::new("WifiConfigStore.xml", store.as_bytes()).parse(&WifiAndroid);
    assert_eq!(places(&bodies).len(), 2);
    let codes: Vec<_> = problems(&bodies).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["value_undecodable", "cap_value"]);
}
