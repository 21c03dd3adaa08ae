//! Property lists in which iOS and iTunes tell of the device: `Info.plist` and `Manifest.plist` of a backup,
//! `com.apple.commcenter*.plist`, `data_ark.plist`, and the preferences that hold time zone and region.

use super::{FILE_BYTES_MAX, Facts};
use crate::emit::Emit;
use crate::parse::node::pointer_step;
use crate::parse::{Input, Outcome, Parser};
use model::plist::{Plist, Value};
use model::{Code, Locator};

/// File names with the paths of values in them, and what kind of fact each is.
const FILES: &[(&str, &[(&[&str], &str)])] = &[
    (
        "Info.plist",
        &[
            (&["Device Name"], "name"),
            (&["Product Type"], "model"),
            (&["Product Name"], "product"),
            (&["Product Version"], "os_version"),
            (&["Build Version"], "os_build"),
            (&["Serial Number"], "serial"),
            (&["Unique Identifier"], "device_id"),
            (&["IMEI"], "imei"),
            (&["IMEI 2"], "imei"),
            (&["MEID"], "meid"),
            (&["ICCID"], "iccid"),
            (&["Phone Number"], "phone_number"),
            (&["Last Backup Date"], "last_backup"),
        ],
    ),
    (
        "Manifest.plist",
        &[
            (&["Lockdown", "DeviceName"], "name"),
            (&["Lockdown", "ProductType"], "model"),
            (&["Lockdown", "ProductVersion"], "os_version"),
            (&["Lockdown", "BuildVersion"], "os_build"),
            (&["Lockdown", "SerialNumber"], "serial"),
            (&["Lockdown", "UniqueDeviceID"], "device_id"),
        ],
    ),
    ("com.apple.commcenter.plist", &[(&["PhoneNumber"], "phone_number"), (&["LastKnownICCID"], "iccid"), (&["ICCID"], "iccid")]),
    (
        "com.apple.commcenter.device_specific_nobackup.plist",
        &[
            (&["ReportedPhoneNumber"], "phone_number"),
            (&["ReportedSubscriberIdentity"], "iccid"),
            (&["imeis", "0"], "imei"),
            (&["imeis", "1"], "imei"),
            (&["imei", "0"], "imei"),
            (&["meid"], "meid"),
        ],
    ),
    (
        "data_ark.plist",
        &[
            (&["-DeviceName"], "name"),
            (&["-TimeZone"], "time_zone"),
            (&["com.apple.international-Locale"], "locale"),
            (&["com.apple.iTunes.backup-LastBackupComputerName"], "backup_computer"),
        ],
    ),
    ("com.apple.preferences.datetime.plist", &[(&["timezone"], "time_zone")]),
    (".GlobalPreferences.plist", &[(&["AppleLocale"], "locale")]),
    (
        "SystemVersion.plist",
        &[(&["ProductName"], "os"), (&["ProductVersion"], "os_version"), (&["ProductBuildVersion"], "os_build")],
    ),
];

/// The parser.
pub struct IosDevice;

impl IosDevice {
    fn known(input: &Input<'_>) -> Option<&'static [(&'static [&'static str], &'static str)]> {
        let name = input.unit.primary.name.as_slice();
        FILES.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, values)| *values)
    }

    /// The whole list. Where it came through the pipe, or the head is all of it, there may be no file yet.
    fn content(input: &Input<'_>) -> Option<Vec<u8>> {
        let head = (input.unit.primary.item.size_bytes == input.head.len() as u64).then_some(input.head);
        if let Some(whole) = input.whole.or(head) {
            return (whole.len() as u64 <= FILE_BYTES_MAX).then(|| whole.to_vec());
        }
        let path = input.folder.join("main");
        let size = std::fs::metadata(&path).ok()?.len();
        (size <= FILE_BYTES_MAX).then(|| std::fs::read(path).ok()).flatten()
    }
}

impl Parser for IosDevice {
    fn name(&self) -> &'static str {
        "ios_device"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        // Every app has an `Info.plist` of its own: what tells of a device has values that those do not.
        IosDevice::known(input).is_some_and(|values| {
            let content = IosDevice::content(input).unwrap_or_default();
            Plist::open(&content).is_some_and(|list| values.iter().any(|(path, _)| list.get(path).is_some()))
        })
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = IosDevice::content(input).unwrap_or_default();
        let (Some(list), Some(values)) = (Plist::open(&content), IosDevice::known(input)) else {
            emit.problem(Code::DocumentDamaged, "property list cannot be read");
            return Outcome::partial("property list cannot be read");
        };
        let mut facts = Facts::new(emit);
        for (path, kind) in values {
            let (Some(value), Some((offset, length))) = (list.get(path), list.place(path)) else { continue };
            let pointer = path.iter().map(|step| format!("/{}", pointer_step(step))).collect();
            let place = Locator::Pointer { pointer, offset, length };
            facts.tell(kind, &text(value), &path.join("."), place);
        }
        facts.finish("values")
    }
}

/// A value as text; dates of binary lists as seconds since 2001.
fn text(value: Value) -> String {
    match value {
        Value::Text(text) | Value::Iso(text) => text,
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Cocoa(seconds) => format!("{seconds} s since 2001-01-01 UTC"),
        Value::Bool(truth) => truth.to_string(),
        Value::Data(data) => data.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Scratch;
    use model::{Body, ItemStatus, Record};

    const INFO: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict><key>Device Name</key><string>Dara's &lt;iPhone&gt;</string><key>IMEI</key><string>353257100000006</string>
<key>Phone Number</key><string>+1 202-555-0123</string><key>ICCID</key><string></string></dict></plist>"#;

    fn facts(bodies: &[Body]) -> Vec<(&str, &str, Option<&str>)> {
        let facts =
            bodies.iter().filter_map(|body| if let Body::Record(Record::Device(fact)) = body { Some(fact) } else { None });
        facts.map(|fact| (fact.kind.as_str(), fact.raw.as_str(), fact.value.as_deref())).collect()
    }

    #[test]
    fn a_backup_tells_of_its_phone() {
        let bodies = Scratch::new("Backup/Info.plist", INFO.as_bytes()).parse(&IosDevice);
        let expected = [
            ("name", "Dara's <iPhone>", None),
            ("imei", "353257100000006", None),
            ("phone_number", "+1 202-555-0123", Some("+12025550123")),
        ];
        assert_eq!(facts(&bodies), expected);
        let sighted = bodies.iter().any(|body| matches!(body, Body::Sighting(found) if found.observable.value == "+12025550123"));
        assert!(sighted);
        let place = bodies.iter().find_map(|body| match body {
            Body::Record(Record::Device(fact)) if fact.kind == "imei" => fact.provenance.locator.range(),
            _ => None,
        });
        let (offset, length) = place.unwrap();
        assert_eq!(&INFO[offset as usize..][..length as usize], "353257100000006");
    }

    #[test]
    fn an_app_tells_nothing_of_the_phone() {
        let list = "<plist><dict><key>CFBundleName</key><string>App</string></dict></plist>";
        assert!(!Scratch::new("App.app/Info.plist", list.as_bytes()).identified(&IosDevice));
        assert!(!Scratch::new("Other.plist", INFO.as_bytes()).identified(&IosDevice));
    }

    #[test]
    fn damage_is_never_more_than_damage() {
        for cut in (0..INFO.len()).filter(|cut| INFO.is_char_boundary(*cut)) {
            let scratch = Scratch::new("Info.plist", &INFO.as_bytes()[..cut]);
            assert!(!scratch.identified(&IosDevice), "a list without its end");
        }
        let bodies = Scratch::new("Info.plist", b"bplist00").run(|input, emit| IosDevice.parse(input, emit));
        assert!(bodies.iter().any(|body| matches!(body, Body::Item(item) if item.status == ItemStatus::Partial)));
    }
}
