//! What Cellebrite's UFED writes beside an extraction: `.ufd`, an INI file of one extraction (sections `DeviceInfo`, `General`, `Dumps`, hashes), and
//! `.ufdx`, an XML list of the extractions of one device. Layouts as tools that read and write them show (UFADE, dissect, CORE-FFX).
//! The password that a `.ufd` may hold for its backup is no fact of the device: it stays in the file.

use super::{FILE_BYTES_MAX, Facts};
use crate::emit::Emit;
use crate::parse::lines::Lines;
use crate::parse::xml::attribute_or_told;
use crate::parse::{Input, Outcome, Parser};
use model::{Code, Locator};
use quick_xml::Reader;
use quick_xml::events::Event;
use std::fs::File;
use std::io::{BufReader, Read};

/// Sections and keys of a `.ufd`, without regard to case, and what kind of fact each is.
const FACTS: &[(&str, &str, &str)] = &[
    ("deviceinfo", "vendor", "manufacturer"),
    ("deviceinfo", "model", "model"),
    ("deviceinfo", "fullname", "product"),
    ("deviceinfo", "os", "os_version"),
    ("deviceinfo", "imei", "imei"),
    ("deviceinfo", "imei1", "imei"),
    ("deviceinfo", "imei2", "imei"),
    ("deviceinfo", "meid", "meid"),
    ("deviceinfo", "imsi", "imsi"),
    ("deviceinfo", "iccid", "iccid"),
    ("deviceinfo", "msisdn", "phone_number"),
    ("deviceinfo", "serialnumber", "serial"),
    ("deviceinfo", "serial", "serial"),
    ("deviceinfo", "androidid", "device_id"),
    ("general", "vendor", "manufacturer"),
    ("general", "model", "model"),
    ("general", "fullname", "product"),
    ("general", "acquisitiontool", "extraction_tool"),
    ("general", "version", "extraction_tool_version"),
    ("general", "extractiontype", "extraction_type"),
    ("general", "date", "extraction_begin"),
    ("general", "endtime", "extraction_end"),
];
/// Attributes of the element `DeviceInfo` of a `.ufdx`.
const ATTRIBUTES: &[(&str, &str)] =
    &[("Vendor", "manufacturer"), ("Model", "model"), ("Guid", "device_id"), ("OS", "os_version")];

/// The parser.
pub struct Ufed;

fn has(head: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(head, text).is_some()
}

fn is_collection(head: &[u8]) -> bool {
    has(head, b"<EvidenceCollection")
}

impl Parser for Ufed {
    fn name(&self) -> &'static str {
        "ufed"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let ini = has(input.head, b"[DeviceInfo]") && (has(input.head, b"[Dumps]") || has(input.head, b"[General]"));
        ini || is_collection(input.head)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let file = match File::open(input.folder.join("main")) {
            Ok(file) => file,
            Err(error) => return unreadable(emit, &error),
        };
        if is_collection(input.head) { collection(file, emit) } else { extraction(file, input, emit) }
    }
}

fn unreadable(emit: &mut Emit<'_>, error: &std::io::Error) -> Outcome {
    let detail = format!("reading failed: {}", error.kind());
    emit.problem(Code::Unreadable, detail.clone());
    Outcome::partial(detail)
}

/// A `.ufd`.
fn extraction(file: File, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
    let cap = usize::try_from(input.limits.cap_value_bytes).unwrap_or(usize::MAX);
    let mut lines = match Lines::new(BufReader::new(file), cap) {
        Ok(lines) => lines,
        Err(error) => return unreadable(emit, &error),
    };
    let mut facts = Facts::new(emit);
    let mut section = String::new();
    loop {
        match lines.next() {
            Ok(Some(line)) => {
                let text = line.text.trim();
                if let Some(name) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
                    section = name.to_ascii_lowercase();
                    continue;
                }
                let Some((key, value)) = text.split_once('=') else { continue };
                let key = key.trim().to_ascii_lowercase();
                if let Some((_, _, kind)) = FACTS.iter().find(|(of, known, _)| *of == section && *known == key) {
                    let place = Locator::Line { line: line.number, offset: line.offset, length: line.length };
                    facts.tell(kind, value.trim(), &format!("{section}.{key}"), place);
                }
            }
            Ok(None) => return facts.finish("extraction"),
            Err(error) => {
                let failed = unreadable(facts.emit, &error);
                facts.finish("extraction");
                return failed;
            }
        }
    }
}

/// A `.ufdx`.
fn collection(file: File, emit: &mut Emit<'_>) -> Outcome {
    let mut reader = Reader::from_reader(BufReader::new(file.take(FILE_BYTES_MAX)));
    let (mut facts, mut buffer) = (Facts::new(emit), Vec::new());
    loop {
        let before = reader.buffer_position();
        buffer.clear();
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Empty(element) | Event::Start(element)) if element.local_name().as_ref() == b"DeviceInfo" => {
                let length = reader.buffer_position().saturating_sub(before);
                for (name, kind) in ATTRIBUTES {
                    let value = attribute_or_told(&element, name, before, facts.emit).unwrap_or_default();
                    facts.tell(kind, &value, name, Locator::Bytes { offset: before, length });
                }
            }
            Ok(Event::Eof) => return facts.finish("collection"),
            Ok(_) => {}
            Err(_) => {
                let detail = format!("no XML from byte {}", reader.error_position());
                facts.emit.problem(Code::DocumentDamaged, detail.clone());
                facts.finish("collection");
                return Outcome::partial(detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Scratch;
    use crate::parse::device::tests::facts;

    #[test]
    fn an_extraction_and_a_collection() {
        let ufd = "\u{feff}[DeviceInfo]\r\nIMEI1=353257100000006\r\nIMEI2=\r\nModel=SM-A515F\r\nVendor=Samsung\r\n\r\n[Dumps]\r\n\
                   FileDump=EXTRACTION_FFS.zip\r\n[General]\r\nBackupPassword=1234\r\nExtractionType=FileSystemDump\r\n[SHA256]\r\nx.zip=00\r\n";
        let told = facts(&Scratch::new("x/EXTRACTION_FFS.ufd", ufd.as_bytes()).parse(&Ufed));
        let expected = [
            ("imei", "353257100000006"),
            ("model", "SM-A515F"),
            ("manufacturer", "Samsung"),
            ("extraction_type", "FileSystemDump"),
        ];
        assert_eq!(told, expected.map(|(kind, raw)| (kind.to_owned(), raw.to_owned())));
        let ufdx = r#"<EvidenceCollection EvidenceID="1"><DeviceInfo Vendor="Apple" Model="iPhone &amp; co" Guid="" /></EvidenceCollection>"#;
        let told = facts(&Scratch::new("EvidenceCollection.ufdx", ufdx.as_bytes()).parse(&Ufed));
        let expected = [("manufacturer", "Apple"), ("model", "iPhone & co")];
        assert_eq!(told, expected.map(|(kind, raw)| (kind.to_owned(), raw.to_owned())));
        let cut = Scratch::new("EvidenceCollection.ufdx", &ufdx.as_bytes()[..60]).parse(&Ufed);
        assert!(facts(&cut).is_empty());
        assert!(!Scratch::new("a.ini", b"[General]\nVendor=x\n").identified(&Ufed));
    }
}
