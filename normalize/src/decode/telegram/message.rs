//! What is known of a message: who, when, what, and what hangs on it.

use super::tl::{Object, Value as Tl, read, text};
use super::{Fields, put, undecodable};
use rusqlite::types::Value;
use serde_json::{Map, json};

/// Fields of a message that definitions ask for, or that say nothing about it.
const TOLD: &[&str] =
    &["photo", "document", "video", "audio", "webpage", "cached_page", "thumbs", "thumb", "alt_documents", "video_cover"];

/// Decodes a message; `date` is what its row has beside it.
pub fn fields(blob: &[u8], date: Option<i64>) -> Fields {
    let reading = read(blob, "Message");
    let mut fields = Fields::new();
    match &reading.object {
        Some(message) => put_message(&mut fields, message),
        None => put(&mut fields, "text", date.and_then(|date| found(blob, date))),
    }
    if let Some(reason) = reading.stop {
        fields.insert("message_type", undecodable(reason));
    } else {
        put(&mut fields, "path", path(reading.rest));
    }
    fields
}

/// The text of a message whose constructor is not known: in every layer it stands right behind the date. Nothing but a text in strict UTF-8
/// without control characters counts.
pub fn found(blob: &[u8], date: i64) -> Option<String> {
    let date = u32::try_from(date).ok().filter(|date| *date > 0)?.to_le_bytes();
    for at in memchr::memmem::find_iter(blob, &date).take(16) {
        let Some((bytes, _)) = blob.get(at.saturating_add(4)..).and_then(text) else { continue };
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        if !text.is_empty() && !text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')) {
            return Some(text.to_owned());
        }
    }
    None
}

/// The path of the file that was sent, which the app writes behind the message; before it may stand parameters of an unsent one.
fn path(rest: &[u8]) -> Option<String> {
    let (bytes, _) = text(rest)?;
    let path = std::str::from_utf8(bytes).ok()?.rsplit("||").next()?.trim();
    (path.len() > 2).then(|| path.to_owned())
}

fn put_message(fields: &mut Fields, message: &Object<'_>) {
    put(fields, "message_key", message.integer("id"));
    put(fields, "date", message.integer("date"));
    put(fields, "sender", message.get("from_id").and_then(who));
    put(fields, "peer", message.get("peer_id").or_else(|| message.get("to_id")).and_then(who));
    // The first layers have their bits in a number.
    let outgoing = message.has("out") || message.integer("flags").is_some_and(|flags| flags & 2 != 0);
    fields.insert("outgoing", Value::Integer(i64::from(outgoing)));
    put(fields, "edited", message.integer("edit_date"));
    let reply = message.object("reply_to");
    let quoted = message.integer("reply_to_msg_id").or_else(|| reply?.integer("reply_to_msg_id"));
    put(fields, "quoted_key", quoted.or_else(|| message.integer("reply_to_random_id")));
    put(fields, "quoted_text", reply.and_then(|reply| reply.text("quote_text")));
    if message.get("fwd_from").is_some() || message.get("fwd_from_id").is_some() {
        fields.insert("forwarded", Value::Integer(1));
    }
    let media = message.object("media");
    // Until layer 73 what was written under a picture belongs to the picture.
    let text = message.get("message").and_then(bytes).or_else(|| media?.get("caption").and_then(bytes));
    put(fields, "text", text.or_else(|| video(media?)?.get("caption").and_then(bytes)));
    put(fields, "message_type", Some(message_type(message).to_owned()));
    if let Some(media) = media {
        put_file(fields, media);
        put_place(fields, media);
    }
    if let Some(action) = message.object("action") {
        put_call(fields, action);
    }
    put(fields, "extra", extra(message));
}

/// Bytes of a text, as text where they are UTF-8: others are told by whoever reads the field.
fn bytes(value: &Tl<'_>) -> Option<Value> {
    match value {
        Tl::Bytes([]) => None,
        Tl::Bytes(bytes) => Some(match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_vec()),
        }),
        _ => None,
    }
}

/// Key of a user, group or channel; the first layers give users by their number.
fn who(value: &Tl<'_>) -> Option<String> {
    match value {
        Tl::Integer(0) => None,
        Tl::Integer(user) => Some(format!("user{user}")),
        Tl::Object(peer) => ["user", "chat", "channel"].iter().find_map(|kind| {
            let id = peer.integer(&format!("{kind}_id"))?;
            (id != 0).then(|| format!("{kind}{id}"))
        }),
        _ => None,
    }
}

/// The word for the kind of a message, as Telegram's own export has them.
fn message_type(message: &Object<'_>) -> &'static str {
    match message.form.name {
        "messageEmpty" => return "empty",
        "messageService" => return "system",
        "messageForwarded" => return "text",
        _ => {}
    }
    let Some(media) = message.object("media") else { return "text" };
    match media.form.name {
        "messageMediaEmpty" | "messageMediaWebPage" => "text",
        "messageMediaPhoto" => "image",
        "messageMediaVideo" => "video_file",
        "messageMediaAudio" => "voice_message",
        "messageMediaDocument" => media.object("document").map_or("file", document_type),
        "messageMediaContact" => "contact",
        "messageMediaGeo" | "messageMediaVenue" => "location",
        "messageMediaGeoLive" => "live_location",
        "messageMediaPoll" => "poll",
        "messageMediaGame" => "game",
        "messageMediaInvoice" => "invoice",
        "messageMediaDice" => "dice",
        "messageMediaStory" => "story",
        "messageMediaToDo" => "todo_list",
        "messageMediaPaidMedia" => "paid_media",
        "messageMediaGiveaway" | "messageMediaGiveawayResults" => "giveaway",
        _ => "unsupported",
    }
}

fn document_type(document: &Object<'_>) -> &'static str {
    let mut word = "file";
    for attribute in document.objects("attributes") {
        match attribute.form.name {
            "documentAttributeSticker" => return "sticker",
            "documentAttributeAnimated" => return "animation",
            "documentAttributeVideo" if attribute.has("round_message") => return "video_message",
            "documentAttributeVideo" => word = "video_file",
            "documentAttributeAudio" if attribute.has("voice") => return "voice_message",
            "documentAttributeAudio" => word = "audio_file",
            _ => {}
        }
    }
    word
}

/// The video or sound of the first layers, which were not yet documents.
fn video<'o, 'b>(media: &'o Object<'b>) -> Option<&'o Object<'b>> {
    media.object("video").or_else(|| media.object("audio"))
}

/// The file of a message: a picture has neither name nor media type.
fn put_file(fields: &mut Fields, media: &Object<'_>) {
    let page = media.object("webpage");
    let document = media.object("document").or_else(|| video(media)).or_else(|| page?.object("document"));
    if let Some(document) = document.filter(|document| !document.form.name.ends_with("Empty")) {
        let name = document.objects("attributes").find_map(|attribute| attribute.text("file_name"));
        put(fields, "file_name", name.or_else(|| document.text("file_name")));
        put(fields, "media_type", document.text("mime_type"));
        put(fields, "size_bytes", document.integer("size"));
        put(fields, "file_id", document.integer("id"));
        return;
    }
    let photo = media.object("photo").or_else(|| page?.object("photo"));
    let Some(photo) = photo.filter(|photo| photo.form.name == "photo") else { return };
    put(fields, "file_id", photo.integer("id"));
    put(fields, "size_bytes", photo.objects("sizes").filter_map(|size| size.integer("size")).max());
}

/// Degrees of a place that was sent.
fn put_place(fields: &mut Fields, media: &Object<'_>) {
    let Some(point) = media.object("geo").filter(|point| point.form.name == "geoPoint") else { return };
    put(fields, "latitude", point.double("lat"));
    put(fields, "longitude", point.double("long"));
    put(fields, "accuracy_m", point.integer("accuracy_radius"));
    put(fields, "place", media.text("title"));
}

fn put_call(fields: &mut Fields, action: &Object<'_>) {
    if action.form.name != "messageActionPhoneCall" {
        return;
    }
    // The key also tells queries that this is a call; every layer's constructor has it.
    fields.insert("call_key", Value::Text(action.integer("call_id").unwrap_or_default().to_string()));
    put(fields, "duration_s", action.integer("duration"));
    fields.insert("video", Value::Integer(i64::from(action.has("video"))));
    let reason = action.object("reason").map(|reason| match reason.form.name {
        "phoneCallDiscardReasonMissed" => "missed",
        "phoneCallDiscardReasonBusy" => "busy",
        "phoneCallDiscardReasonHangup" => "hangup",
        "phoneCallDiscardReasonDisconnect" => "disconnect",
        other => other,
    });
    put(fields, "outcome", reason.map(str::to_owned));
}

/// What has no field of its own: origin of a forwarded message, what stands behind links, buttons, the page of a link, contact, poll,
/// what a service message tells, …
fn extra(message: &Object<'_>) -> Option<String> {
    let mut map = Map::new();
    if let Some(origin) = message.object("fwd_from") {
        map.insert("forwarded_from".to_owned(), origin.json(&[]));
    } else if let Some(origin) = message.get("fwd_from_id").and_then(who) {
        map.insert("forwarded_from".to_owned(), json!({ "from_id": origin, "date": message.integer("fwd_date") }));
    }
    for name in ["via_bot_id", "via_business_bot_id", "grouped_id", "views", "ttl", "ttl_period"] {
        if let Some(number) = message.integer(name) {
            map.insert(name.to_owned(), json!(number));
        }
    }
    for name in ["post_author", "via_bot_name", "from_rank"] {
        if let Some(text) = message.text(name) {
            map.insert(name.to_owned(), json!(text));
        }
    }
    let behind = |entity: &&Object<'_>| entity.get("url").is_some() || entity.get("user_id").is_some();
    let links: Vec<_> = message.objects("entities").filter(behind).map(|entity| entity.json(&[])).collect();
    if !links.is_empty() {
        map.insert("links".to_owned(), json!(links));
    }
    if let Some(markup) = message.object("reply_markup").filter(|markup| markup.get("rows").is_some()) {
        map.insert("buttons".to_owned(), markup.json(&[]));
    }
    if let Some(action) = message.object("action") {
        map.insert("action".to_owned(), action.json(TOLD));
    }
    if let Some(media) = message.object("media") {
        if let Some(page) = media.object("webpage").filter(|page| page.form.name == "webPage") {
            map.insert("webpage".to_owned(), page.json(&["photo", "document", "cached_page", "attributes"]));
        } else if !["messageMediaEmpty", "messageMediaPhoto", "messageMediaDocument"].contains(&media.form.name) {
            map.insert("media".to_owned(), media.json(TOLD));
        }
        if let Some(document) = media.object("document") {
            // The app calls its own copy of a file so, with the ending of its type.
            if let (Some(server), Some(id)) = (document.integer("dc_id"), document.integer("id")) {
                map.insert("cached_as".to_owned(), json!(format!("{server}_{id}")));
            }
            let told =
                |attribute: &&Object<'_>| ["duration", "title", "performer"].iter().any(|name| attribute.get(name).is_some());
            let attributes: Vec<_> = document
                .objects("attributes")
                .filter(told)
                .map(|attribute| attribute.json(&["waveform", "stickerset"]))
                .collect();
            if !attributes.is_empty() {
                map.insert("attributes".to_owned(), json!(attributes));
            }
        }
    }
    (!map.is_empty()).then(|| serde_json::Value::Object(map).to_string())
}
