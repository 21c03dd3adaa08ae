//! WhatsApp: `whatsapp_id(jid)`, `whatsapp_phone(jid)`, and words for its numbers: `whatsapp_type(type)`,
//! `whatsapp_status(from_me, status)`.
//!
//! A jid is `user@server`; a user with several devices is `user:device@server` or `user.agent:device@server`. Servers:
//! `s.whatsapp.net` (the user is the international number), `lid` (an opaque id), `g.us` (group), `broadcast`, `newsletter`.

use super::{FLAGS, text};
use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

/// Registers the functions.
///
/// # Errors
/// What SQLite says.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_scalar_function("whatsapp_id", 1, FLAGS, |context| Ok(text(context, 0).and_then(id)))?;
    connection.create_scalar_function("whatsapp_phone", 1, FLAGS, |context| Ok(text(context, 0).and_then(phone)))?;
    connection.create_scalar_function("whatsapp_type", 1, FLAGS, |context| Ok(number(context, 0).map(type_word)))?;
    connection.create_scalar_function("whatsapp_status", 2, FLAGS, |context| {
        let outgoing = number(context, 0) == Some(1);
        Ok(number(context, 1).map(|status| status_word(outgoing, status)))
    })
}

/// A number, also where an old generation stores it as text.
fn number(context: &Context<'_>, argument: usize) -> Option<i64> {
    match context.get_raw(argument) {
        ValueRef::Integer(number) => Some(number),
        _ => text(context, argument).and_then(|text| text.parse().ok()),
    }
}

/// The word for a message type (`message_type`, `media_wa_type`): those that public readers agree on, else `type:N`.
fn type_word(number: i64) -> Word {
    Word::of(
        match number {
            0 => "text",
            1 => "image",
            2 => "audio",
            3 => "video",
            4 | 14 => "contact",
            5 => "location",
            7 => "system",
            8 => "call",
            9 => "document",
            10 => "missed_call",
            11 => "waiting",
            13 => "gif",
            15 | 64 => "deleted",
            16 => "live_location",
            20 => "sticker",
            _ => "",
        },
        "type",
        number,
    )
}

/// The word for the delivery of a sent message; what it means for a received one is not known, so that stays a number.
fn status_word(outgoing: bool, number: i64) -> Word {
    let word = match (outgoing, number) {
        (true, 0) => "unsent",
        (true, 4) => "sent",
        (true, 5) => "delivered",
        (true, 13) => "read",
        _ => "",
    };
    Word::of(word, "status", number)
}

/// A known word, or the number with what it numbers: no allocation for what stands in nearly every row.
enum Word {
    Known(&'static str),
    Number(String),
}

impl Word {
    fn of(word: &'static str, what: &str, number: i64) -> Word {
        if word.is_empty() { Word::Number(format!("{what}:{number}")) } else { Word::Known(word) }
    }
}

impl ToSql for Word {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Word::Known(word) => ToSqlOutput::from(*word),
            Word::Number(text) => ToSqlOutput::from(text.as_str()),
        })
    }
}

/// The jid of the account, without agent and device; `None` for an empty one. What is no jid stays as it is.
pub fn id(jid: &str) -> Option<String> {
    if jid.is_empty() {
        return None;
    }
    let account = jid.split_once('@').and_then(|(user, server)| {
        if !matches!(server, "s.whatsapp.net" | "lid" | "c.us") {
            return None;
        }
        let bare = user.split([':', '.']).next()?;
        (bare.len() < user.len()).then(|| format!("{bare}@{server}"))
    });
    Some(account.unwrap_or_else(|| jid.to_owned()))
}

/// The phone number of an account whose id is its international number, in E.164.
pub fn phone(jid: &str) -> Option<String> {
    let (user, server) = jid.split_once('@')?;
    let digits = user.split([':', '.']).next()?;
    let number = matches!(server, "s.whatsapp.net" | "c.us")
        // E.164: up to 15 digits, and no country code begins with 0. Ids below 7 digits are the company's own.
        && (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    number.then(|| format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_not_accounts() {
        assert_eq!(id("85512345678:3@s.whatsapp.net").as_deref(), Some("85512345678@s.whatsapp.net"));
        assert_eq!(id("85512345678.0:3@s.whatsapp.net").as_deref(), Some("85512345678@s.whatsapp.net"));
        assert_eq!(id("85512345678@s.whatsapp.net").as_deref(), Some("85512345678@s.whatsapp.net"));
        assert_eq!(id("85512345678-1400000000@g.us").as_deref(), Some("85512345678-1400000000@g.us"));
        assert_eq!(id("status@broadcast").as_deref(), Some("status@broadcast"));
        assert_eq!(id("no jid").as_deref(), Some("no jid"));
        assert_eq!(id(""), None);
    }

    #[test]
    fn numbers_without_a_word_stay_numbers() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<String>>(0)).unwrap();
        assert_eq!(one("SELECT whatsapp_type(0)").as_deref(), Some("text"));
        assert_eq!(one("SELECT whatsapp_type('3')").as_deref(), Some("video"));
        assert_eq!(one("SELECT whatsapp_type(-7)").as_deref(), Some("type:-7"));
        assert_eq!(one("SELECT whatsapp_type(NULL)"), None);
        assert_eq!(one("SELECT whatsapp_status(1, 13)").as_deref(), Some("read"));
        assert_eq!(one("SELECT whatsapp_status(0, 13)").as_deref(), Some("status:13"));
    }

    #[test]
    fn only_numbers_are_phones() {
        assert_eq!(phone("85512345678:3@s.whatsapp.net").as_deref(), Some("+85512345678"));
        for other in ["123456789012345@lid", "85512345678-1400000000@g.us", "0@s.whatsapp.net", "0123456789@s.whatsapp.net", ""] {
            assert_eq!(phone(other), None, "{other}");
        }
    }
}
