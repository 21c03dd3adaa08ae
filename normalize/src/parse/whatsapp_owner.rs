//! Whose account a device's WhatsApp is: preferences of Android (`registration_jid` in a map of `shared_prefs`) and of iOS and macOS
//! (`OwnJabberID` in a property list). The databases beside them say of a message that the owner sent it, and not who that is.

use crate::decode::whatsapp;
use crate::emit::Emit;
use crate::parse::xml::attribute;
use crate::parse::{Input, Outcome, Parser};
use model::plist::{Plist, Value};
use model::record::{Account, Record};
use model::{Code, Locator};
use quick_xml::Reader;
use quick_xml::events::Event;

/// Largest preferences that are read.
const BYTES_MAX: u64 = 16 << 20;
/// Longest text of one preference that is kept.
const TEXT_MAX: usize = 64 << 10;
const APP: &str = "WhatsApp";
/// The preference of Android's that holds the id.
const ANDROID_ID: &str = "registration_jid";
/// Those of iOS: the account, and the one that was signed in before.
const IOS_IDS: [&str; 2] = ["OwnJabberID", "LastOwnJabberID"];

/// The parser.
pub struct WhatsappOwner;

/// What preferences say of the owner.
#[derive(Default)]
struct Owner {
    /// The id as it stands there, its place, and the name of the preference.
    id: Option<(String, Locator, &'static str)>,
    name: Option<String>,
    about: Option<String>,
}

impl Parser for WhatsappOwner {
    fn name(&self) -> &'static str {
        "whatsapp_owner"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let has = |text: &str| memchr::memmem::find(input.head, text.as_bytes()).is_some();
        is_map(input.head) && has(ANDROID_ID) || is_list(input.head) && IOS_IDS.iter().any(|id| has(id)) && has("FullUserName")
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(BYTES_MAX, "file of preferences", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let (owners, outcome) = if is_map(&content) { android(&content, emit) } else { ios(&content, emit) };
        let (mut seen, mut put) = (0, 0);
        for owner in owners {
            let Some((raw, place, told_by)) = owner.id.filter(|(raw, ..)| !raw.trim().is_empty()) else { continue };
            seen += 1;
            let jid = if raw.contains('@') { raw.trim().to_owned() } else { format!("{}@s.whatsapp.net", raw.trim()) };
            let Some(account_key) = whatsapp::id(&jid) else { continue };
            let account = Account {
                provenance: emit.provenance(place),
                app: APP.to_owned(),
                phone: whatsapp::phone(&account_key),
                account_key,
                display_name: owner.name.filter(|name| !name.is_empty()),
                is_owner: Some(true),
                same_as: None,
                phone_raw: Some(raw),
                about: owner.about.filter(|about| !about.is_empty()),
                chain: None,
                extra: Some(serde_json::json!({ "told_by": told_by }).to_string()),
            };
            put += u64::from(emit.record(Record::Account(account)));
        }
        let reason = (seen > put).then(|| "duplicate_key".to_owned());
        emit.ledger("registration", "account", None, seen, put, reason);
        outcome
    }
}

/// A map of preferences as Android writes it.
fn is_map(content: &[u8]) -> bool {
    let head = content.get(..512).unwrap_or(content);
    content.trim_ascii_start().starts_with(b"<") && memchr::memmem::find(head, b"<map").is_some()
}

/// A property list.
fn is_list(content: &[u8]) -> bool {
    let head = content.get(..512).unwrap_or(content);
    content.starts_with(b"bplist0") || memchr::memmem::find(head, b"<plist").is_some()
}

fn android(content: &[u8], emit: &mut Emit<'_>) -> (Vec<Owner>, Outcome) {
    let mut reader = Reader::from_reader(content);
    let mut owner = Owner::default();
    // The preference that is open: its name, where it begins, its text.
    let mut open: Option<(String, u64, String)> = None;
    let ended = loop {
        let before = reader.buffer_position();
        let mut take = |text: &str| match &mut open {
            Some((_, _, held)) if held.len() + text.len() <= TEXT_MAX => held.push_str(text),
            Some((name, start, _)) if name == ANDROID_ID || name == "push_name" || name == "my_current_status" => {
                emit.problem(Code::CapValue, format!("preference {name} at byte {start}: text past {TEXT_MAX} bytes"));
            }
            _ => {}
        };
        match reader.read_event() {
            Ok(Event::Start(element)) if element.name().as_ref() == b"string" => {
                let Ok(name) = attribute(&element, "name") else { break Some(before) };
                open = name.map(|name| (name, before, String::new()));
            }
            Ok(Event::Text(text)) => take(&String::from_utf8_lossy(&text)),
            Ok(Event::CData(text)) => take(&String::from_utf8_lossy(&text)),
            Ok(Event::GeneralRef(reference)) => {
                let name = String::from_utf8_lossy(&reference).into_owned();
                match (reference.resolve_char_ref(), quick_xml::escape::resolve_predefined_entity(&name)) {
                    (Ok(Some(character)), _) => take(character.encode_utf8(&mut [0; 4])),
                    (_, Some(text)) => take(text),
                    _ => break Some(before),
                }
            }
            Ok(Event::End(_)) => {
                let Some((name, offset, text)) = open.take() else { continue };
                let length = reader.buffer_position().saturating_sub(offset);
                match name.as_str() {
                    ANDROID_ID => owner.id = Some((text, Locator::Bytes { offset, length }, ANDROID_ID)),
                    "push_name" => owner.name = Some(text),
                    "my_current_status" => owner.about = Some(text),
                    _ => {}
                }
            }
            Ok(Event::Eof) => break None,
            Ok(_) => {}
            Err(_) => break Some(reader.error_position()),
        }
    };
    let outcome = match ended {
        None => Outcome::parsed(),
        Some(at) => {
            let detail = format!("no XML from byte {at}");
            emit.problem(Code::DocumentDamaged, detail.clone());
            Outcome::partial(detail)
        }
    };
    (vec![owner], outcome)
}

fn ios(content: &[u8], emit: &mut Emit<'_>) -> (Vec<Owner>, Outcome) {
    let Some(list) = Plist::open(content) else {
        emit.problem(Code::DocumentDamaged, "property list cannot be read");
        return (Vec::new(), Outcome::partial("property list cannot be read"));
    };
    let text = |key: &str| match list.get(&[key]) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let mut owners: Vec<Owner> = Vec::new();
    for key in IOS_IDS {
        let (Some(raw), Some((offset, length))) = (text(key), list.place(&[key])) else { continue };
        // Who is signed in now has this name; whoever was before may have had another.
        let (name, about) = if owners.is_empty() { (text("FullUserName"), text("CurrentStatusText")) } else { (None, None) };
        let place = Locator::Pointer { pointer: format!("/{key}"), offset, length };
        if owners.iter().all(|owner| owner.id.as_ref().is_none_or(|(known, ..)| *known != raw)) {
            owners.push(Owner { id: Some((raw, place, key)), name, about });
        }
    }
    (owners, Outcome::parsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Scratch;
    use model::Body;

    fn accounts(bodies: &[Body]) -> Vec<(String, Option<String>, Option<String>)> {
        let account = |body: &Body| match body {
            Body::Record(Record::Account(account)) if account.is_owner == Some(true) => {
                Some((account.account_key.clone(), account.phone.clone(), account.display_name.clone()))
            }
            _ => None,
        };
        bodies.iter().filter_map(account).collect()
    }

    const PATH: &str = "data/data/com.whatsapp/shared_prefs/com.whatsapp_preferences_light.xml";

    #[test]
    fn the_owner_is_read_from_both_kinds_of_preferences() {
        let map = "<?xml version='1.0' encoding='utf-8' standalone='yes' ?>\n<map>\n    <string name=\"registration_jid\">85512000001</string>\n\
            <string name=\"push_name\">Dara &amp; &#x1F600;</string><int name=\"ph\" value=\"3\" /></map>";
        let owner =
            |name: &str| vec![("85512000001@s.whatsapp.net".to_owned(), Some("+85512000001".to_owned()), Some(name.to_owned()))];
        assert_eq!(accounts(&Scratch::new(PATH, map.as_bytes()).parse(&WhatsappOwner)), owner("Dara & 😀"));
        let list = "<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>FullUserName</key><string>Dara</string>\
            <key>OwnJabberID</key><string>85512000001@s.whatsapp.net</string><key>LastOwnJabberID</key><string>85512000001@s.whatsapp.net</string></dict></plist>";
        let path = "group.net.whatsapp.WhatsApp.shared.plist";
        assert_eq!(accounts(&Scratch::new(path, list.as_bytes()).parse(&WhatsappOwner)), owner("Dara"));
        let before =
            list.replacen("<key>LastOwnJabberID</key><string>85512000001", "<key>LastOwnJabberID</key><string>85512000009", 1);
        assert_eq!(accounts(&Scratch::new(path, before.as_bytes()).parse(&WhatsappOwner)).len(), 2);
    }

    #[test]
    fn other_preferences_are_not_taken_and_damage_is_told() {
        for text in ["<map><string name=\"push_name\">x</string></map>", "<html>registration_jid <map></html", "registration_jid"]
        {
            let taken = Scratch::new("a.xml", text.as_bytes()).identified(&WhatsappOwner);
            assert_eq!(taken, text.starts_with("<html"), "{text}");
        }
        let empty = "<map><string name=\"registration_jid\"></string></map>";
        assert_eq!(accounts(&Scratch::new(PATH, empty.as_bytes()).parse(&WhatsappOwner)), []);
        let cut = "<map><string name=\"registration_jid\">85512000001</string><string name=\"push_name\">D</strong></map>";
        let bodies = Scratch::new(PATH, cut.as_bytes()).parse(&WhatsappOwner);
        assert_eq!(accounts(&bodies).len(), 1);
        assert!(bodies.iter().any(|body| matches!(body, Body::Problem(problem) if problem.code == Code::DocumentDamaged)));
    }
}
