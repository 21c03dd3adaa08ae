//! Property files of Android (`build.prop` and its kin, `persist.*` files, the output of `getprop`) and the settings that
//! `settings_global.xml` and `settings_secure.xml` hold, as text or (since Android 12) as binary XML.

use super::{FILE_BYTES_MAX, Facts, abx, by_lines};
use crate::emit::Emit;
use crate::parse::xml::attribute_or_told;
use crate::parse::{Input, Outcome, Parser};
use model::{Code, Locator};
use quick_xml::Reader;
use quick_xml::events::Event;
use std::fs::File;
use std::io::{BufReader, Read};

/// Names of property files; `getprop` is what adb and triage tools save.
const PROPERTY_FILES: [&str; 6] = ["build.prop", "default.prop", "prop.default", "getprop", "getprop.txt", "getprop.log"];
/// Parts of the system that have properties of their own: `ro.product.vendor.model`.
const PARTS: [&str; 6] = ["system", "vendor", "odm", "product", "system_ext", "bootimage"];
/// Properties and what kind of fact each is.
const PROPERTIES: &[(&str, &str)] = &[
    ("ro.product.manufacturer", "manufacturer"),
    ("ro.product.model", "model"),
    ("ro.product.name", "product"),
    ("ro.build.version.release", "os_version"),
    ("ro.build.version.security_patch", "security_patch"),
    ("ro.build.display.id", "os_build"),
    ("ro.build.fingerprint", "os_build"),
    ("ro.serialno", "serial"),
    ("ro.boot.serialno", "serial"),
    ("ro.ril.oem.imei", "imei"),
    ("persist.sys.timezone", "time_zone"),
    ("persist.sys.locale", "locale"),
    ("persist.sys.device_name", "name"),
    ("gsm.sim.operator.alpha", "carrier"),
];
/// Settings and what kind of fact each is.
pub(super) const SETTINGS: &[(&str, &str)] =
    &[("device_name", "name"), ("bluetooth_name", "name"), ("bluetooth_address", "mac_address"), ("android_id", "device_id")];

/// The kind of fact that a property is.
pub(super) fn kind_of(property: &str) -> Option<&'static str> {
    let plain: Vec<&str> = property.split('.').filter(|step| !PARTS.contains(step)).collect();
    let plain = plain.join(".");
    // `ro.product.name` itself has a part's name in it.
    PROPERTIES.iter().find(|(known, _)| *known == property || plain_of(known) == plain).map(|(_, kind)| *kind)
}

fn plain_of(property: &str) -> String {
    property.split('.').filter(|step| !PARTS.contains(step)).collect::<Vec<_>>().join(".")
}

/// Property files.
pub struct AndroidProperties;

impl Parser for AndroidProperties {
    fn name(&self) -> &'static str {
        "android_properties"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let name = input.unit.primary.name.as_slice();
        let known = PROPERTY_FILES.iter().any(|known| known.as_bytes() == name);
        known && [b"ro.".as_slice(), b"persist."].iter().any(|start| memchr::memmem::find(input.head, start).is_some())
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        by_lines(input, emit, "properties", &mut |line, tell| {
            let (key, value) = line.split_once('=').or_else(|| bracketed(line)).unwrap_or_default();
            if let Some(kind) = kind_of(key.trim()) {
                tell(kind, value.trim(), key.trim());
            }
        })
    }
}

/// A line of `getprop`: `[key]: [value]`.
pub(super) fn bracketed(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim().strip_prefix('[')?.split_once("]: [")?;
    Some((key, value.strip_suffix(']')?))
}

/// Settings as XML, in text or binary.
pub struct AndroidSettings;

impl Parser for AndroidSettings {
    fn name(&self) -> &'static str {
        "android_settings"
    }

    fn version(&self) -> u32 {
        2
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let name = input.unit.primary.name.as_slice();
        let known = name == b"settings_global.xml" || name == b"settings_secure.xml";
        known && (input.head.starts_with(abx::MAGIC) || memchr::memmem::find(input.head, b"<settings").is_some())
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let damaged = |emit: &mut Emit<'_>, detail: &str| {
            emit.problem(Code::DocumentDamaged, detail);
            Outcome::partial(detail)
        };
        let Ok(file) = File::open(input.folder.join("main")) else { return damaged(emit, "cannot be opened") };
        if input.head.starts_with(abx::MAGIC) {
            return binary(file, emit);
        }
        let mut reader = Reader::from_reader(BufReader::new(file));
        let (mut facts, mut buffer) = (Facts::new(emit), Vec::new());
        loop {
            let before = reader.buffer_position();
            buffer.clear();
            match reader.read_event_into(&mut buffer) {
                Ok(Event::Empty(element) | Event::Start(element)) if element.name().as_ref() == b"setting" => {
                    let mut attribute = |name| attribute_or_told(&element, name, before, facts.emit).unwrap_or_default();
                    let (name, value) = (attribute("name"), attribute("value"));
                    if let Some((_, kind)) = SETTINGS.iter().find(|(known, _)| *known == name) {
                        let length = reader.buffer_position().saturating_sub(before);
                        facts.tell(kind, &value, &name, Locator::Bytes { offset: before, length });
                    }
                }
                Ok(Event::Eof) => return facts.finish("settings"),
                Ok(_) => {}
                Err(_) => {
                    let detail = format!("no XML from byte {}", reader.error_position());
                    let failed = damaged(facts.emit, &detail);
                    facts.finish("settings");
                    return failed;
                }
            }
        }
    }
}

/// Settings in binary XML.
fn binary(file: File, emit: &mut Emit<'_>) -> Outcome {
    let mut bytes = Vec::new();
    if let Err(error) = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes) {
        let detail = format!("reading failed: {}", error.kind());
        emit.problem(Code::Unreadable, detail.clone());
        return Outcome::partial(detail);
    }
    let mut facts = Facts::new(emit);
    let ended = abx::elements(&bytes, &mut |element| {
        let name = element.attribute("name").filter(|_| element.name == "setting").unwrap_or_default();
        if let Some((_, kind)) = SETTINGS.iter().find(|(known, _)| *known == name) {
            let (offset, length) = element.range;
            facts.tell(kind, element.attribute("value").unwrap_or_default(), name, Locator::Bytes { offset, length });
        }
    });
    match ended {
        Ok(()) => facts.finish("settings"),
        Err(at) => {
            let detail = format!("no binary XML from byte {at}");
            facts.emit.problem(Code::DocumentDamaged, detail.clone());
            facts.finish("settings");
            Outcome::partial(detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Scratch;
    use crate::parse::device::tests::facts;
    use model::Body;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(kind, raw)| ((*kind).to_owned(), (*raw).to_owned())).collect()
    }

    #[test]
    fn properties_in_both_forms() {
        let build = "# begin\nro.product.system.model=Pixel 7\nro.product.name=panther\r\nro.product.vendor.name=panther_v\nro.other=1\n\
                     ro.build.version.release=14\nro.serialno=\n";
        let expected = pairs(&[("model", "Pixel 7"), ("product", "panther"), ("product", "panther_v"), ("os_version", "14")]);
        assert_eq!(facts(&Scratch::new("system/build.prop", build.as_bytes()).parse(&AndroidProperties)), expected);
        let getprop = "[persist.sys.timezone]: [Asia/Phnom_Penh]\n[ro.boot.serialno]: [0123ABC]\n";
        let expected = pairs(&[("time_zone", "Asia/Phnom_Penh"), ("serial", "0123ABC")]);
        assert_eq!(facts(&Scratch::new("getprop.txt", getprop.as_bytes()).parse(&AndroidProperties)), expected);
        assert!(!Scratch::new("other.prop", build.as_bytes()).identified(&AndroidProperties));
    }

    #[test]
    fn settings_with_entities_and_their_damage() {
        let text = r#"<?xml version='1.0'?><settings version="1"><setting id="1" name="device_name" value="Dara &amp; Sok" />
<setting id="2" name="adb_enabled" value="1" /></settings>"#;
        assert_eq!(
            facts(&Scratch::new("settings_global.xml", text.as_bytes()).parse(&AndroidSettings)),
            pairs(&[("name", "Dara & Sok")])
        );
        let broken = text.replace("</settings>", "</other>");
        let bodies = Scratch::new("settings_global.xml", broken.as_bytes()).parse(&AndroidSettings);
        assert_eq!(facts(&bodies).len(), 1);
        assert!(bodies.iter().any(|body| matches!(body, Body::Problem(problem) if problem.code == Code::DocumentDamaged)));
    }
}
