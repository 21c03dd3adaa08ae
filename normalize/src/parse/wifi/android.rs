//! `WifiConfigStore.xml` of Android 8 and later (AOSP `WifiConfigStore`, `XmlUtil`: one `Network` a network, its fields by name), also
//! inside the backup of settings. It tells no moment of joining; a shared key that stands in clear is a secret.

use super::{BYTES_MAX, Seen, put};
use crate::emit::Emit;
use crate::parse::xml::attribute_or_told;
use crate::parse::{Input, Outcome, Parser};
use model::observable::SecretKind;
use model::{Code, Locator};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde_json::Map;

const APP: &str = "Wi-Fi";
/// Longest text of one field that is kept.
const TEXT_MAX: usize = 4096;

/// Fields of a network that are kept, and under which name.
const FIELDS: [(&str, &str); 8] = [
    ("BSSID", "bssid"),
    ("ConfigKey", "config_key"),
    ("CreationTime", "created"),
    ("CreatorName", "creator"),
    ("HasEverConnected", "has_ever_connected"),
    ("HiddenSSID", "hidden"),
    ("LastConnectedTime", "last_connected"),
    ("RandomizedMacAddress", "own_address"),
];

/// The parser.
pub struct WifiAndroid;

impl Parser for WifiAndroid {
    fn name(&self) -> &'static str {
        "wifi_android"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        memchr::memmem::find(input.head, b"<WifiConfigStoreData").is_some()
            || memchr::memmem::find(input.head, b"<WifiBackupData").is_some()
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(BYTES_MAX, "list of networks", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let mut store = Store::default();
        let end = store.read(&content, emit);
        for (key, detail, place) in &store.keys {
            emit.secret(SecretKind::Password, key.clone(), detail, "PreSharedKey", place);
        }
        let outcome = put(APP, store.seen, emit);
        match end {
            Ok(()) => outcome,
            Err(at) => {
                let detail = format!("no XML from byte {at}");
                emit.problem(Code::DocumentDamaged, detail.clone());
                Outcome::partial(detail)
            }
        }
    }
}

/// What has been read.
#[derive(Default)]
struct Store {
    seen: Vec<Seen>,
    /// Keys in clear, which network each is of, and where it stands.
    keys: Vec<(String, String, Locator)>,
    network: Option<Network>,
    field: Option<Field>,
}

/// The field that is open.
#[derive(Default)]
struct Field {
    name: String,
    start: u64,
    text: String,
    /// Bytes of its text that were not kept.
    over: usize,
}

/// The network that is open.
struct Network {
    start: u64,
    /// Fields in their order, with their ranges.
    fields: Vec<(String, String, Locator)>,
}

impl Store {
    /// Reads to the end, or to the byte from which it is no XML.
    fn read(&mut self, content: &[u8], emit: &mut Emit<'_>) -> Result<(), u64> {
        let mut reader = Reader::from_reader(content);
        let mut depth = 0u64;
        loop {
            let before = reader.buffer_position();
            let event = reader.read_event().map_err(|_| reader.error_position())?;
            let after = reader.buffer_position();
            let mut attribute = |element: &_, name| attribute_or_told(element, name, before, emit);
            match event {
                Event::Start(element) => {
                    depth += 1;
                    if element.name().as_ref() == b"Network" {
                        self.network = Some(Network { start: before, fields: Vec::new() });
                    }
                    self.field = attribute(&element, "name").map(|name| Field { name, start: before, ..Field::default() });
                }
                Event::Empty(element) => {
                    let value = attribute(&element, "value").unwrap_or_default();
                    if let Some(name) = attribute(&element, "name") {
                        self.tell(name, value, before, after);
                    }
                }
                Event::Text(text) => self.text(&String::from_utf8_lossy(&text)),
                Event::CData(text) => self.text(&String::from_utf8_lossy(&text)),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => self.text(character.encode_utf8(&mut [0; 4])),
                    _ => {
                        self.text(std::str::from_utf8(&reference).ok().and_then(resolve_predefined_entity).unwrap_or("\u{fffd}"))
                    }
                },
                Event::End(element) => {
                    depth = depth.saturating_sub(1);
                    if let Some(Field { name, start, text, over }) = self.field.take() {
                        if over > 0 {
                            let detail = format!("field {name} at byte {start}: {over} bytes of text more than are kept");
                            emit.problem(Code::CapValue, detail);
                        }
                        self.tell(name, text, start, after);
                    }
                    if element.name().as_ref() == b"Network" {
                        self.close(after);
                    }
                }
                Event::Eof if depth > 0 => return Err(after),
                Event::Eof => return Ok(()),
                _ => {}
            }
        }
    }

    fn text(&mut self, text: &str) {
        match &mut self.field {
            Some(field) if field.text.len() + text.len() <= TEXT_MAX => field.text.push_str(text),
            Some(field) => field.over = field.over.saturating_add(text.len()),
            None => {}
        }
    }

    fn tell(&mut self, name: String, value: String, start: u64, end: u64) {
        if let Some(network) = &mut self.network {
            network.fields.push((name, value, Locator::Bytes { offset: start, length: end.saturating_sub(start) }));
        }
    }

    fn close(&mut self, end: u64) {
        let Some(Network { start, fields }) = self.network.take() else { return };
        let field = |wanted: &str| fields.iter().find(|(name, ..)| name == wanted);
        // Without its own, the name stands in the key: `"name"WPA_PSK`.
        let ssid = field("SSID").or_else(|| field("ConfigKey")).map(|(_, value, _)| unquoted(value)).unwrap_or_default();
        let mut extra = Map::new();
        for (name, word) in FIELDS {
            if let Some((_, value, _)) = field(name).filter(|(_, value, _)| !value.is_empty()) {
                extra.insert(word.to_owned(), unquoted(value).into());
            }
        }
        if let Some((_, key, place)) = field("PreSharedKey").filter(|(_, key, _)| key.starts_with('"')) {
            self.keys.push((unquoted(key), format!("Wi-Fi network {ssid}"), place.clone()));
        }
        let locator = Locator::Bytes { offset: start, length: end.saturating_sub(start) };
        self.seen.push(Seen { locator, ssid, event: None, time: None, place: None, extra });
    }
}

/// The text between quotes where it has some: names that are no text are written in hexadecimal digits without.
fn unquoted(value: &str) -> String {
    value.strip_prefix('"').and_then(|rest| rest.rsplit_once('"')).map_or(value, |(inner, _)| inner).to_owned()
}
