//! A workspace as Slack hands it out (<https://slack.com/help/articles/220556107>): a folder for each channel with a file for each day,
//! `users.json`, and `channels.json`, `groups.json`, `dms.json`, `mpims.json` that say who is where.
//!
//! The folder of a day is the channel's name, or its id where it has none: that is the key of the thread in every file.

use super::fields::{Fields, scalar};
use super::{At, Dialect, Opening, Reading};
use model::recognize::phone;
use model::record::{Message, Record, Thread};
use model::{Stamp, TimeUnit};
use serde_json::Value;

const APP: &str = "Slack";

pub(super) struct Slack;

impl Dialect for Slack {
    fn name(&self) -> &'static str {
        "slack_export"
    }

    fn version(&self) -> u32 {
        1
    }

    fn marks(&self) -> &'static [&'static str] {
        &["\"ts\"", "\"team_id\"", "\"members\""]
    }

    fn array(&self) -> Option<&'static str> {
        None
    }

    fn knows(&self, opening: &Opening) -> bool {
        let Some(first) = &opening.first else { return false };
        let text = |key: &str| first.get(key).and_then(Value::as_str);
        let message = text("type") == Some("message") && text("ts").is_some_and(|ts| time(ts).is_some());
        let user =
            opening.first_has(&["id", "profile", "name"]) && (first.contains_key("team_id") || first.contains_key("deleted"));
        let channel = opening.first_has(&["id", "created", "members"]);
        let id = text("id").is_some_and(|id| id.starts_with(['C', 'D', 'G', 'U', 'W']));
        message || id && (user || channel)
    }

    fn begin(&self, reading: &mut Reading<'_, '_>) {
        reading.app = APP;
        reading.thread = reading.path().rsplit('/').nth(1).filter(|name| !name.is_empty()).map(str::to_owned);
    }

    fn element(&self, fields: Fields, at: &At, reading: &mut Reading<'_, '_>) {
        if fields.0.contains_key("profile") && fields.0.contains_key("id") && !fields.0.contains_key("ts") {
            user(fields, at, reading);
        } else if fields.0.contains_key("members") && fields.0.contains_key("id") {
            channel(fields, at, reading);
        } else {
            message(fields, at, reading);
        }
    }
}

fn user(mut fields: Fields, at: &At, reading: &mut Reading<'_, '_>) {
    reading.kind = "account";
    let Some(key) = fields.text("id") else { return reading.without("a user without an id") };
    let mut profile = fields.object("profile").unwrap_or_else(|| Fields(serde_json::Map::new()));
    let names = [profile.text("real_name"), fields.text("real_name"), profile.text("display_name"), scalar_of(&fields, "name")];
    let phone_raw = profile.text("phone");
    let about = profile.text("title");
    fields.0.insert("profile".to_owned(), profile.0.into());
    let account = model::record::Account {
        provenance: reading.emit.provenance(at.place()),
        app: APP.to_owned(),
        account_key: key,
        display_name: names.into_iter().flatten().next(),
        is_owner: None,
        same_as: None,
        phone: phone_raw.as_deref().and_then(|raw| phone::normalize(raw, reading.emit.region())),
        phone_raw,
        about,
        chain: None,
        extra: fields.rest(),
    };
    reading.main(Record::Account(account));
}

fn channel(mut fields: Fields, at: &At, reading: &mut Reading<'_, '_>) {
    reading.kind = "thread";
    let id = fields.text("id");
    let name = fields.text("name");
    let Some(key) = name.clone().or(id) else { return reading.without("a channel without name and id") };
    let created = match fields.0.get("created") {
        Some(Value::String(text)) => text.parse().ok().map(|raw| Stamp::integer(raw, TimeUnit::UnixS)),
        _ => fields.time("created", TimeUnit::UnixS),
    };
    let thread = Thread {
        provenance: reading.emit.provenance(at.place()),
        app: APP.to_owned(),
        thread_key: key.clone(),
        name,
        thread_type: None,
        created,
        implied: false,
    };
    reading.main(Record::Thread(thread));
    let members = fields.0.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
    for (number, member) in members.iter().enumerate() {
        if let Some(account) = scalar(member) {
            reading.participant("members", &at.part(&format!("members/{number}")), &key, &account);
        }
    }
}

fn message(mut fields: Fields, at: &At, reading: &mut Reading<'_, '_>) {
    let sender = fields.text("user").or_else(|| scalar_of(&fields, "bot_id"));
    let name = fields
        .0
        .get("user_profile")
        .and_then(|profile| profile.get("real_name").or(profile.get("display_name")))
        .and_then(scalar);
    let name = name.or_else(|| scalar_of(&fields, "username"));
    if let (Some(key), Some(name)) = (&sender, name) {
        reading.account("senders", &at.part("user"), key, |account| account.display_name = Some(name));
    }
    let files = files(&mut fields, at, reading);
    let key = fields.text("ts");
    let parent = fields.text("thread_ts").filter(|parent| Some(parent) != key.as_ref());
    let edited = fields.0.get("edited").and_then(|edited| edited.get("ts")).and_then(scalar);
    let message_type = match fields.0.get("subtype").and_then(Value::as_str) {
        None | Some("file_share" | "thread_broadcast" | "bot_message" | "me_message") if files > 0 => "file",
        None | Some("thread_broadcast" | "bot_message" | "me_message" | "file_comment") => "text",
        Some("file_share") => "file",
        Some(_) => "system",
    };
    fields.0.shift_remove("type");
    let message = Message {
        sender,
        sent: key.clone().map(stamp),
        edited: edited.map(stamp),
        text: fields.text("text"),
        message_type: Some(message_type.to_owned()),
        message_key: key,
        quoted_key: parent,
        extra: fields.rest(),
        ..reading.message(at)
    };
    reading.main(Record::Message(Box::new(message)));
}

/// Puts the files of a message: how many. Older exports have one below `file`.
fn files(fields: &mut Fields, at: &At, reading: &mut Reading<'_, '_>) -> usize {
    let mut files: Vec<_> =
        fields.objects("files").into_iter().enumerate().map(|(number, file)| (format!("files/{number}"), file)).collect();
    files.extend(fields.object("file").map(|file| ("file".to_owned(), file)));
    let count = files.len();
    for (step, mut file) in files {
        reading.attachment("files", at, &step, |attachment| {
            attachment.name = file.text("name").or_else(|| file.text("title"));
            attachment.media_type = file.text("mimetype");
            attachment.size_bytes = file.integer("size");
            attachment.url =
                file.text("url_private_download").or_else(|| file.text("url_private")).or_else(|| file.text("permalink"));
        });
    }
    count
}

fn scalar_of(fields: &Fields, key: &str) -> Option<String> {
    fields.0.get(key).and_then(scalar)
}

/// A time as Slack writes it: seconds and six digits, which also tell messages apart.
fn stamp(raw: String) -> Stamp {
    let utc = time(&raw);
    Stamp::text(raw, utc)
}

/// Microseconds of `1454957471.000024`.
fn time(raw: &str) -> Option<i64> {
    let (seconds, micros) = raw.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(micros) || micros.len() != 6 {
        return None;
    }
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_and_six_digits() {
        assert_eq!(time("1454957471.000024"), Some(1_454_957_471_000_024));
        for raw in ["1454957471", "1454957471.24", "-1.000000", "99999999999999999999.000000", ".000000", "1. 0000"] {
            assert_eq!(time(raw), None, "{raw}");
        }
    }
}
