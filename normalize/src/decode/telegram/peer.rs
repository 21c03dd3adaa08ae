//! What is known of a user, group or channel, and whom a dialog is with.

use super::tl::{Object, Reading, read};
use super::{Fields, put, undecodable};
use rusqlite::types::Value;
use serde_json::{Map, json};

/// Bit of the number of a secret chat's dialog, since 2021.
const SECRET: i64 = 1 << 62;

/// Key of a dialog: positive numbers are users, and keyed as those are; negative ones are groups and channels, which the number does not
/// tell apart; secret chats have a bit of their own, before 2021 the upper half of the number.
pub fn of_dialog(dialog: i64) -> Option<String> {
    match dialog {
        0 => None,
        user if user > 0 && user & SECRET != 0 => Some(format!("secret{}", user & 0xffff_ffff)),
        user if user > 0 && user >> 32 != 0 && user & 0xffff_ffff == 0 => Some(format!("secret{}", user >> 32)),
        user if user > 0 => Some(format!("user{user}")),
        secret if secret & 0xffff_ffff == 0 => Some(format!("secret{}", secret >> 32)),
        group => Some(group.to_string()),
    }
}

/// Says why an object is not read to its end, in place of a field.
fn finish(mut fields: Fields, reading: Reading<'_>, field: &'static str) -> Fields {
    if let Some(reason) = reading.stop {
        fields.insert(field, undecodable(reason));
    }
    fields
}

/// The user of an account's own configuration.
#[derive(Debug, Default)]
pub struct UserFields {
    /// Id.
    pub id: Option<i64>,
    /// First and last name.
    pub name: Option<String>,
    /// Username.
    pub username: Option<String>,
    /// International number without its plus.
    pub phone: Option<String>,
    /// Why it could not be read to its end.
    pub stop: Option<String>,
}

/// Reads a user.
pub fn user(blob: &[u8]) -> UserFields {
    let reading = read(blob, "User");
    let mut user = UserFields { stop: reading.stop, ..UserFields::default() };
    if let Some(object) = &reading.object {
        user.id = object.integer("id");
        user.name = full_name(object);
        user.username = object.text("username");
        user.phone = object.text("phone");
    }
    user
}

fn full_name(user: &Object<'_>) -> Option<String> {
    let parts: Vec<String> = ["first_name", "last_name"].iter().filter_map(|name| user.text(name)).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Decodes a user for a definition.
pub fn user_fields(blob: &[u8]) -> Fields {
    let reading = read(blob, "User");
    let mut fields = Fields::new();
    if let Some(user) = &reading.object {
        put(&mut fields, "name", full_name(user));
        put(&mut fields, "username", user.text("username"));
        put(
            &mut fields,
            "phone",
            user.text("phone").map(|phone| if phone.starts_with('+') { phone } else { format!("+{phone}") }),
        );
        put(&mut fields, "kind", Some(if user.has("bot") { "bot" } else { "user" }.to_owned()));
        if user.has("self") || user.form.name == "userSelf" {
            fields.insert("self", Value::Integer(1));
        }
        put(
            &mut fields,
            "extra",
            marks(user, &["bot", "deleted", "contact", "mutual_contact", "verified", "scam", "fake", "premium"]),
        );
    }
    finish(fields, reading, "extra")
}

/// Decodes a group or channel for a definition.
pub fn chat_fields(blob: &[u8]) -> Fields {
    let reading = read(blob, "Chat");
    let mut fields = Fields::new();
    if let Some(chat) = &reading.object {
        put(&mut fields, "name", chat.text("title"));
        put(&mut fields, "username", chat.text("username"));
        put(&mut fields, "created", chat.integer("date"));
        let kind = match chat.form.name {
            "channel" | "channelForbidden" if chat.has("megagroup") || chat.has("gigagroup") => "supergroup",
            "channel" | "channelForbidden" => "channel",
            "community" | "communityForbidden" => "community",
            _ => "group",
        };
        put(&mut fields, "kind", Some(kind.to_owned()));
    }
    finish(fields, reading, "kind")
}

/// Decodes what a user says of himself.
pub fn user_full_fields(blob: &[u8]) -> Fields {
    let reading = read(blob, "UserFull");
    let mut fields = Fields::new();
    if let Some(user) = &reading.object {
        put(&mut fields, "about", user.text("about"));
    }
    // What it says of itself stands at the beginning of every layer's.
    if fields.contains_key("about") { fields } else { finish(fields, reading, "about") }
}

/// Bits of an object that are set, and its further usernames, as a JSON object.
fn marks(object: &Object<'_>, names: &[&str]) -> Option<String> {
    let mut map = Map::new();
    for name in names.iter().filter(|name| object.has(name)) {
        map.insert((*name).to_owned(), json!(true));
    }
    let names: Vec<String> = object.objects("usernames").filter_map(|name| name.text("username")).collect();
    if !names.is_empty() {
        map.insert("usernames".to_owned(), json!(names));
    }
    if let Some(username) = object.text("username") {
        map.insert("username".to_owned(), json!(username));
    }
    (!map.is_empty()).then(|| serde_json::Value::Object(map).to_string())
}
