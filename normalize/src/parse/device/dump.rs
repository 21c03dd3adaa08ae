//! What `adb` tells of an Android phone, saved as text: `dumpsys` of one service or of all of them, a bug report's dump, `settings list`. Facts are
//! accounts (`dumpsys account`), SIM cards (`dumpsys isub`), the IMEI (`dumpsys iphonesubinfo`), properties and settings. Forms: AOSP, `Account.toString`,
//! `SubscriptionInfo.toString`, `PhoneSubInfoController.dump`; what a release blacks out (`898[****]`) is no fact.

use super::android::{SETTINGS, bracketed, kind_of};
use super::by_lines;
use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};

/// What the first 64 KiB of such a file have somewhere.
const SIGNS: [&[u8]; 4] = [b"DUMP OF SERVICE ", b"Account {name=", b" simSlotIndex=", b"Phone Subscriber Info:"];
/// Files of `settings list`: parts of their names, and lines that only those have.
const SETTINGS_FILES: [&[u8]; 3] = [b"settings_secure", b"settings_global", b"settings_system"];
const SETTINGS_SIGNS: [&[u8]; 3] = [b"android_id=", b"device_name=", b"bluetooth_name="];
/// Values of a SIM card and what kind of fact each is.
const SIM: [(&str, &str); 3] = [("iccId", "iccid"), ("number", "phone_number"), ("carrierName", "carrier")];

/// The parser.
pub struct AndroidDump;

fn has(bytes: &[u8], sign: &[u8]) -> bool {
    memchr::memmem::find(bytes, sign).is_some()
}

impl Parser for AndroidDump {
    fn name(&self) -> &'static str {
        "android_dump"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let name = input.unit.primary.name.as_slice();
        let listed = SETTINGS_FILES.iter().any(|part| has(name, part)) && SETTINGS_SIGNS.iter().any(|sign| has(input.head, sign));
        !has(input.head, b"\0") && (listed || SIGNS.iter().any(|sign| has(input.head, sign)))
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        by_lines(input, emit, "facts", &mut |line, tell| {
            let text = line.trim();
            facts_of(text, &mut |kind, value, label| {
                if !value.contains("[***") && value != "null" {
                    tell(kind, value, label);
                }
            });
        })
    }
}

/// The facts in a line.
fn facts_of(line: &str, tell: &mut dyn FnMut(&str, &str, &str)) {
    if let Some(account) = line.strip_prefix("Account {name=").and_then(|rest| rest.strip_suffix('}')) {
        // An account's name can hold anything: its type stands behind the last of these.
        if let Some((name, kind)) = account.rsplit_once(", type=") {
            tell("account", name, kind);
        }
    } else if line.contains("simSlotIndex=") {
        for (key, kind) in SIM {
            if let Some(value) = value_of(line, key) {
                tell(kind, value, key);
            }
        }
    } else if let Some(id) = line.strip_prefix("Device ID = ") {
        let digits = id.bytes().all(|byte| byte.is_ascii_digit()) && (14..=16).contains(&id.len());
        tell(if digits { "imei" } else { "device_id" }, id, "Device ID");
    } else if let Some((key, value)) = bracketed(line) {
        if let Some(kind) = kind_of(key) {
            tell(kind, value, key);
        }
    } else if let Some((key, value)) = line.split_once('=')
        && let Some((_, kind)) = SETTINGS.iter().find(|(known, _)| *known == key)
    {
        tell(kind, value, key);
    }
}

/// A value of a list like `{id=1 iccId=8985 carrierName=a b nameSource=0}`: it ends where the next key begins.
fn value_of<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let begins = [" ", "{", ","].iter().find_map(|before| {
        let start = format!("{before}{key}=");
        line.find(&start).map(|at| at + start.len())
    })?;
    let rest = line.get(begins..)?;
    let end = rest
        .find('=')
        .map_or(rest, |next| rest.get(..next).and_then(|part| part.rsplit_once(' ')).map_or("", |(value, _)| value));
    let end = end.trim_end_matches(['}', ',', ' ']);
    (!end.is_empty()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(line: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        facts_of(line, &mut |kind, value, _| found.push((kind.to_owned(), value.to_owned())));
        found
    }

    fn pairs(facts: &[(&str, &str)]) -> Vec<(String, String)> {
        facts.iter().map(|(kind, value)| ((*kind).to_owned(), (*value).to_owned())).collect()
    }

    /// The lines as a phone printed them (a published `dumpsys isub` of Android 8).
    #[test]
    fn sim_cards_of_real_lines() {
        let line = "{id=2, iccId=89860318740211132823 simSlotIndex=-1 displayName=中国电信 carrierName=CHN-CT nameSource=0 mcc 460 mnc 11}";
        assert_eq!(facts(line), pairs(&[("iccid", "89860318740211132823"), ("carrier", "CHN-CT")]));
        let line = "{id=1, iccId=898602 simSlotIndex=-1 displayName=树米eSIM carrierName=只能拨打紧急 呼救电话 nameSource=0 iconTint=-16746133}";
        assert_eq!(facts(line), pairs(&[("iccid", "898602"), ("carrier", "只能拨打紧急 呼救电话")]));
    }

    #[test]
    fn accounts_imei_properties_and_settings() {
        assert_eq!(
            facts("Account {name=a, type=b@example.org, type=com.google}"),
            pairs(&[("account", "a, type=b@example.org")])
        );
        assert_eq!(facts("Device ID = 353257100000006"), pairs(&[("imei", "353257100000006")]));
        assert_eq!(facts("Device ID = A00000"), pairs(&[("device_id", "A00000")]));
        assert_eq!(facts("[ro.product.model]: [SM-A515F]"), pairs(&[("model", "SM-A515F")]));
        assert_eq!(facts("android_id=0123456789abcdef"), pairs(&[("device_id", "0123456789abcdef")]));
        assert_eq!(facts("adb_enabled=1"), []);
    }
}
