//! Postbox, the store of Telegram for iOS and macOS: `postbox_index(key, part)` for the key of a message, `postbox_message(value, field)`,
//! `postbox_media(value, field)`, `postbox_peer(value, field)`, and `postbox_peer_key(number)` for whom a number means.
//!
//! Keys and values are bytes of Telegram's own. An object is a row of named values, each with its type, and says what it is by the
//! MurmurHash3 of its Swift class ([`coding`]). What cannot be read is told as in `telegram`.

mod coding;
mod message;

use super::telegram::{Fields, field, put, undecodable};
use super::{FLAGS, bytes, text};
use rusqlite::Connection;
use rusqlite::types::Value;

/// Registers the functions.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("postbox_index", 2, FLAGS, |context| {
        Ok(bytes(context, 0).zip(text(context, 1)).and_then(|(key, part)| index(key, part)))
    })?;
    connection.create_scalar_function("postbox_message", 2, FLAGS, |context| {
        Ok(field(context, 1, "postbox message", message::message_fields))
    })?;
    connection.create_scalar_function("postbox_media", 2, FLAGS, |context| {
        Ok(field(context, 1, "postbox media", message::stored_media_fields))
    })?;
    connection.create_scalar_function("postbox_peer", 2, FLAGS, |context| Ok(field(context, 1, "postbox peer", peer_fields)))?;
    connection.create_scalar_function("postbox_peer_key", 1, FLAGS, |context| Ok(context.get::<i64>(0).ok().and_then(peer_key)))
}

/// A part of the key of a message: peer (8 bytes), namespace, timestamp and id (4 each), big endian.
fn index(key: &[u8], part: &str) -> Option<Value> {
    if key.len() != 20 && part == "id" {
        return Some(undecodable(format!("a key of {} bytes", key.len())));
    }
    let (peer, rest) = key.split_first_chunk::<8>()?;
    let words: Option<Vec<i64>> =
        rest.chunks(4).map(|word| word.first_chunk().map(|word| i64::from(i32::from_be_bytes(*word)))).collect();
    match (part, words?.as_slice()) {
        ("peer", [_, _, _]) => Some(i64::from_be_bytes(*peer)),
        ("namespace", [namespace, _, _]) => Some(*namespace),
        ("timestamp", [_, timestamp, _]) => Some(*timestamp),
        ("id", [_, _, id]) => Some(*id),
        _ => None,
    }
    .map(Value::Integer)
}

/// Key of whom a number means: its kind in bits 32 to 34, its id below and above them.
pub(super) fn peer_key(number: i64) -> Option<String> {
    let bits = number.cast_unsigned();
    let id = bits & 0xffff_ffff | bits >> 35 << 32;
    let kind = match bits >> 32 & 7 {
        0 => "user",
        1 => "chat",
        2 => "channel",
        3 => "secret",
        _ => return None,
    };
    (id != 0).then(|| format!("{kind}{id}"))
}

/// Decodes a row of the table of peers.
fn peer_fields(blob: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let peer = match coding::root(blob) {
        Ok(peer) => peer,
        Err(reason) => {
            fields.insert("kind", undecodable(reason));
            return fields;
        }
    };
    let kind = match peer.class {
        Some("TelegramUser") if peer.object("bi").is_some() => "bot",
        Some("TelegramUser") => "user",
        Some("TelegramGroup") => "group",
        Some("TelegramChannel") => "channel",
        Some("TelegramSecretChat") => "secret",
        _ => "unknown",
    };
    fields.insert("kind", Value::Text(kind.to_owned()));
    let names: Vec<String> = ["fn", "ln"].iter().filter_map(|name| peer.text(name)).collect();
    put(&mut fields, "name", (!names.is_empty()).then(|| names.join(" ")).or_else(|| peer.text("t")));
    let username = peer.text("un");
    put(&mut fields, "phone", peer.text("p").map(|phone| if phone.starts_with('+') { phone } else { format!("+{phone}") }));
    put(&mut fields, "extra", username.map(|username| serde_json::json!({ "username": username }).to_string()));
    put(&mut fields, "secret_with", peer.integer("r"));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_peers_of_both_layouts() {
        assert_eq!(peer_key(7001).as_deref(), Some("user7001"));
        assert_eq!(peer_key(1 << 32 | 300).as_deref(), Some("chat300"));
        assert_eq!(peer_key(2 << 32 | 1500).as_deref(), Some("channel1500"));
        // An id beyond 32 bits, as users have them since 2021.
        assert_eq!(peer_key(1 << 35 | 5).as_deref(), Some("user4294967301"));
        assert_eq!(peer_key(0), None);
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        let key: Vec<u8> = [&7001_i64.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2]].concat();
        assert_eq!(
            (index(&key, "peer"), index(&key, "timestamp"), index(&key, "id")),
            (Some(Value::Integer(7001)), Some(Value::Integer(9)), Some(Value::Integer(2)))
        );
        assert_eq!(index(&key[..19], "id"), Some(undecodable("a key of 19 bytes".to_owned())));
        assert_eq!(index(&key[..19], "peer"), None);
        assert_eq!(index(&key, "what"), None);
    }
}
