//! Telegram for Android: whose account it is. `shared_prefs/userconfing.xml` (its name is misspelt so), `userconfig1.xml`, … hold the user
//! of each account under the name `user`, as a TL object in base64.

use crate::decode::{base64, telegram};
use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use model::recognize::phone;
use model::record::{Account, Record};
use model::{Code, Locator};
use quick_xml::Reader;
use quick_xml::events::Event;

/// Bytes of such a file at most.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The parser.
pub struct TelegramConfig;

impl Parser for TelegramConfig {
    fn name(&self) -> &'static str {
        "telegram_config"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let name = input.unit.primary.name.to_ascii_lowercase();
        let named = name.starts_with(b"userconfing") || name.starts_with(b"userconfig");
        named && name.ends_with(b".xml") && memchr::memmem::find(input.head, b"<map").is_some()
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(FILE_BYTES_MAX, "configuration of Telegram", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let (user, damage) = find_user(&content);
        let mut outcome = Outcome::parsed();
        if let Some(detail) = damage {
            emit.problem(Code::DocumentDamaged, detail.clone());
            outcome = Outcome::partial(detail);
        }
        let (seen, put) = match user {
            Some((text, place)) => (1, u64::from(put_owner(&text, place, emit))),
            None => (0, 0),
        };
        let reason = (seen != put).then(|| "not decodable 1".to_owned());
        emit.ledger("user", "account", None, seen, put, reason);
        if seen == put { outcome } else { Outcome::partial("see its problems") }
    }
}

/// The text of the string named `user`, with its place, and why the document could not be read to its end.
fn find_user(content: &[u8]) -> (Option<(String, Locator)>, Option<String>) {
    let (mut reader, mut user, mut inside) = (Reader::from_reader(content), None, false);
    loop {
        let before = reader.buffer_position();
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                let Ok(name) = element.try_get_attribute("name") else {
                    return (user, Some(format!("an attribute that is none at byte {before}")));
                };
                inside = element.name().as_ref() == b"string" && name.is_some_and(|name| name.value.as_ref() == b"user");
            }
            Ok(Event::Text(text)) if inside && user.is_none() => {
                let length = reader.buffer_position().saturating_sub(before);
                user = Some((String::from_utf8_lossy(&text).into_owned(), Locator::Bytes { offset: before, length }));
            }
            Ok(Event::Text(more)) if inside => {
                if let Some((text, Locator::Bytes { offset, length })) = &mut user {
                    text.push_str(&String::from_utf8_lossy(&more));
                    *length = reader.buffer_position().saturating_sub(*offset);
                }
            }
            Ok(Event::End(_)) => inside = false,
            Ok(Event::Eof) => return (user, None),
            // Line ends in base64 are written as `&#10;`.
            Ok(_) => {}
            Err(_) => return (user, Some(format!("no XML from byte {}", reader.error_position()))),
        }
    }
}

/// Puts the owner. False, with a problem, where the object cannot be read.
fn put_owner(text: &str, place: Locator, emit: &mut Emit<'_>) -> bool {
    let digits: String = text.replace("&#10;", "").chars().filter(|letter| !letter.is_whitespace()).collect();
    let Some(bytes) = base64::decode(&digits) else {
        emit.problem(Code::ValueUndecodable, "user: not base64");
        return false;
    };
    let user = telegram::user(&bytes);
    if let Some(reason) = user.stop {
        emit.problem(Code::ValueUndecodable, format!("user: {reason}"));
    }
    let Some(id) = user.id else { return false };
    let phone_raw = user.phone.map(|phone| if phone.starts_with('+') { phone } else { format!("+{phone}") });
    emit.record(Record::Account(Account {
        provenance: emit.provenance(place),
        app: "Telegram".to_owned(),
        account_key: format!("user{id}"),
        display_name: user.name,
        is_owner: Some(true),
        same_as: None,
        phone: phone_raw.as_deref().and_then(|raw| phone::normalize(raw, None)),
        phone_raw,
        about: None,
        chain: None,
        extra: user.username.map(|username| serde_json::json!({ "username": username }).to_string()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Scratch, problems, records};

    #[test]
    fn a_user_that_cannot_be_read_is_told() {
        let file = |user: &str| {
            format!("<?xml version='1.0'?><map><string name=\"user\">{user}</string><int name=\"x\" value=\"1\" /></map>")
        };
        let bodies = Scratch::new("shared_prefs/userconfing.xml", file("3q2+7w==&#10;").as_bytes()).parse(&TelegramConfig);
        assert!(records(&bodies).is_empty());
        assert_eq!(problems(&bodies), [("value_undecodable", "user: constructor efbeadde at byte 0 is no known User")]);
        let bodies = Scratch::new("shared_prefs/userconfig2.xml", file("%%").as_bytes()).parse(&TelegramConfig);
        assert_eq!(problems(&bodies), [("value_undecodable", "user: not base64")]);
        let none = "<map><int name=\"lastSendMessageId\" value=\"-210000\" /></map>";
        assert!(problems(&Scratch::new("userconfing.xml", none.as_bytes()).parse(&TelegramConfig)).is_empty());
        assert!(!Scratch::new("other.xml", none.as_bytes()).identified(&TelegramConfig));
    }
}
