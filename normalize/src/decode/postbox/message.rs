//! What is known of a message of Postbox and of the media that hang on it.

use super::coding::{Object, Reader, root};
use super::peer_key;
use crate::decode::telegram::{Fields, put, undecodable};
use rusqlite::types::Value;
use serde_json::{Map, json};

/// Bit of the flags of a message that came in.
const INCOMING: i32 = 4;

/// What of a message says where it was forwarded from.
struct Origin {
    author: i64,
    date: i32,
    source: Option<i64>,
    signature: Option<String>,
}

/// Decodes the value of a message.
pub fn message_fields(blob: &[u8]) -> Fields {
    let (mut fields, mut extra) = (Fields::new(), Map::new());
    if let Err(reason) = read(blob, &mut fields, &mut extra) {
        fields.insert("message_type", undecodable(reason));
    }
    put(&mut fields, "extra", (!extra.is_empty()).then(|| serde_json::Value::Object(extra).to_string()));
    fields
}

/// Decodes a row of the table of media: a zero, then a counted object; others only name the message that has it.
pub fn stored_media_fields(blob: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let mut reader = Reader::new(blob);
    match reader.byte() {
        Ok(0) => match reader.counted().and_then(root) {
            Ok(media) => put_media(&mut fields, &mut Map::new(), &media),
            Err(reason) => put(&mut fields, "message_type", Some(undecodable(reason))),
        },
        Ok(_) => {}
        Err(reason) => put(&mut fields, "message_type", Some(undecodable(reason))),
    }
    fields
}

/// What was read before an error stays.
fn read(blob: &[u8], fields: &mut Fields, extra: &mut Map<String, serde_json::Value>) -> Result<(), String> {
    let mut reader = Reader::new(blob);
    let form = reader.byte()?;
    if form != 0 {
        return Err(format!("form {form} of a message is not known"));
    }
    reader.take(8)?;
    let data = reader.byte()?;
    for (bit, length) in [(1, 8), (2, 4), (4, 8), (8, 4), (16, 4), (32, 8)] {
        if data & bit != 0 {
            reader.take(length)?;
        }
    }
    let flags = reader.int()?;
    fields.insert("outgoing", Value::Integer(i64::from(flags & INCOMING == 0)));
    if flags & 3 != 0 {
        let status = if flags & 2 != 0 { "failed" } else { "unsent" };
        fields.insert("status", Value::Text(status.to_owned()));
    }
    reader.int()?;
    if let Some(origin) = origin(&mut reader)? {
        fields.insert("forwarded", Value::Integer(1));
        let from = json!({ "author": peer_key(origin.author), "date": origin.date, "source": origin.source.and_then(peer_key), "signature": origin.signature });
        extra.insert("forwarded_from".to_owned(), from);
    }
    if reader.byte()? == 1 {
        put(fields, "sender", peer_key(reader.long()?));
    }
    let text = reader.counted()?;
    if !text.is_empty() {
        let text = std::str::from_utf8(text).map_or_else(|_| Value::Blob(text.to_vec()), |text| Value::Text(text.to_owned()));
        fields.insert("text", text);
    }
    for _ in 0..reader.count(4)? {
        put_attribute(fields, extra, &root(reader.counted()?)?);
    }
    fields.insert("message_type", Value::Text("text".to_owned()));
    for _ in 0..reader.count(4)? {
        put_media(fields, extra, &root(reader.counted()?)?);
    }
    // Media that many messages share lie in a table of their own, by namespace and id in big endian.
    if reader.count(12)? > 0 {
        let (namespace, id) = (reader.int()?, reader.long()?);
        fields.insert("media_key", Value::Blob([&namespace.to_be_bytes()[..], &id.to_be_bytes()].concat()));
    }
    Ok(())
}

fn origin(reader: &mut Reader<'_>) -> Result<Option<Origin>, String> {
    let flags = reader.byte()?;
    if flags == 0 {
        return Ok(None);
    }
    let (author, date) = (reader.long()?, reader.int()?);
    let source = if flags & 2 != 0 { Some(reader.long()?) } else { None };
    if flags & 4 != 0 {
        reader.take(16)?;
    }
    let mut text = |bit: u8| -> Result<Option<String>, String> {
        if flags & bit == 0 {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(reader.counted()?).into_owned()))
    };
    let signature = text(8)?;
    text(16)?;
    if flags & 32 != 0 {
        reader.int()?;
    }
    Ok(Some(Origin { author, date, source, signature }))
}

fn put_attribute(fields: &mut Fields, extra: &mut Map<String, serde_json::Value>, attribute: &Object<'_>) {
    match attribute.class {
        // Namespace in the lower half, id in the upper.
        Some("ReplyMessageAttribute") => put(fields, "quoted_key", attribute.integer("i").map(|number| number >> 32)),
        Some("EditedMessageAttribute") => put(fields, "edited", attribute.integer("d")),
        Some("TextEntitiesMessageAttribute") => {
            let links: Vec<_> =
                attribute.objects("entities").filter(|entity| entity.text("url").is_some()).map(Object::json).collect();
            if !links.is_empty() {
                extra.insert("links".to_owned(), json!(links));
            }
        }
        Some(
            name @ ("AuthorSignatureMessageAttribute"
            | "AutoremoveTimeoutMessageAttribute"
            | "InlineBotMessageAttribute"
            | "ReplyMarkupMessageAttribute"
            | "ForwardSourceInfoAttribute"),
        ) => {
            extra.insert(name.trim_end_matches("Attribute").trim_end_matches("Message").to_owned(), attribute.json());
        }
        _ => {}
    }
}

/// What is known of a picture, file, place, …; the first file counts.
fn put_media(fields: &mut Fields, extra: &mut Map<String, serde_json::Value>, media: &Object<'_>) {
    let word = match media.class {
        Some("TelegramMediaImage") => "image",
        Some("TelegramMediaFile") => file_type(media),
        Some("TelegramMediaWebpage") => "text",
        Some("TelegramMediaAction") => "system",
        Some("TelegramMediaMap") => "location",
        Some("TelegramMediaContact") => "contact",
        Some("TelegramMediaPoll") => "poll",
        Some("TelegramMediaGame") => "game",
        Some("TelegramMediaInvoice") => "invoice",
        Some("TelegramMediaDice") => "dice",
        Some("TelegramMediaStory") => "story",
        Some("TelegramMediaExpiredContent") => "expired",
        _ => "unsupported",
    };
    fields.insert("message_type", Value::Text(word.to_owned()));
    match media.class {
        Some("TelegramMediaFile") => put_file(fields, media),
        Some("TelegramMediaImage") => {
            let area = |size: &&Object<'_>| size.integer("dx").unwrap_or(0).saturating_mul(size.integer("dy").unwrap_or(0));
            let largest = media.objects("r").max_by_key(area).and_then(|size| size.object("r"));
            put(fields, "file_name", largest.and_then(stored_name));
            put(fields, "size_bytes", largest.and_then(|resource| resource.integer("n")));
        }
        class => {
            if class == Some("TelegramMediaMap") {
                put(fields, "latitude", media.double("la"));
                put(fields, "longitude", media.double("lo"));
            }
            if class == Some("TelegramMediaAction") && media.integer("_rawValue") == Some(14) {
                put_call(fields, media);
            }
            extra.insert("media".to_owned(), media.json());
        }
    }
}

fn file_type(file: &Object<'_>) -> &'static str {
    let media_type = file.text("mt").unwrap_or_default();
    match media_type.split('/').next() {
        Some("audio") if media_type == "audio/ogg" => "voice_message",
        Some("audio") => "audio_file",
        Some("video") => "video_file",
        _ if media_type == "application/x-tgsticker" || media_type == "image/webp" => "sticker",
        _ => "file",
    }
}

fn put_file(fields: &mut Fields, file: &Object<'_>) {
    let resource = file.object("r");
    let named = file.objects("at").find_map(|attribute| attribute.text("fn")).or_else(|| resource?.text("fn"));
    put(fields, "path", resource.and_then(stored_name));
    put(fields, "file_name", named.or_else(|| resource.and_then(stored_name)));
    put(fields, "media_type", file.text("mt"));
    put(fields, "size_bytes", file.integer("s").or_else(|| file.integer("s64")).or_else(|| resource?.integer("n")));
}

/// The name that a file has in the app's folder of media.
fn stored_name(resource: &Object<'_>) -> Option<String> {
    let number = |key: &str| resource.integer(key);
    Some(match resource.class? {
        "CloudPhotoSizeMediaResource" => {
            format!("telegram-cloud-photo-size-{}-{}-{}", number("d")?, number("i")?, resource.text("s")?)
        }
        "CloudDocumentMediaResource" => format!("telegram-cloud-document-{}-{}", number("d")?, number("f")?),
        "SecretFileMediaResource" => format!("secret-file-{}-{}", number("i")?, number("d")?),
        "LocalFileMediaResource" => format!("telegram-local-file-{}", number("f")?),
        _ => return None,
    })
}

fn put_call(fields: &mut Fields, action: &Object<'_>) {
    // The key also tells queries that this is a call: one whose id is left out has 0, as Postbox reads it.
    fields.insert("call_key", Value::Text(action.integer("i").unwrap_or_default().to_string()));
    put(fields, "duration_s", action.integer("d"));
    put(fields, "video", action.integer("vc"));
    let outcome = action.integer("dr").map(|reason| match reason {
        0 => "missed".to_owned(),
        1 => "disconnect".to_owned(),
        2 => "hangup".to_owned(),
        3 => "busy".to_owned(),
        other => format!("result:{other}"),
    });
    put(fields, "outcome", outcome);
}
