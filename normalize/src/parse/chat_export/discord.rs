//! Discord: chats saved by DiscordChatExporter (`guild`, `channel`, `messages`; its `JsonMessageWriter`), and the package that Discord
//! hands out (`messages/c<channel>/messages.json`: what the owner wrote, and nothing that others did).

use super::fields::{Fields, scalar, written};
use super::{At, Dialect, Opening, Reading};
use model::record::{Call, Message, Record, Thread};

const APP: &str = "Discord";

pub(super) struct Exporter;

impl Dialect for Exporter {
    fn name(&self) -> &'static str {
        "discord_export"
    }

    fn version(&self) -> u32 {
        1
    }

    fn marks(&self) -> &'static [&'static str] {
        &["\"guild\""]
    }

    fn array(&self) -> Option<&'static str> {
        Some("messages")
    }

    fn knows(&self, opening: &Opening) -> bool {
        opening.has(&["guild", "channel"]) && (opening.first_has(&["id", "timestamp", "author"]) || opening.has(&["messages"]))
    }

    fn begin(&self, reading: &mut Reading<'_, '_>) {
        reading.app = APP;
        let fields = &reading.document.fields;
        let of = |field: &str, key: &str| fields.get(field).and_then(|value| value.get(key)).and_then(scalar);
        let server = of("guild", "name").filter(|_| of("guild", "id").is_some_and(|id| id != "0"));
        let names: Vec<_> =
            [server.clone(), server.and(of("channel", "category")), of("channel", "name")].into_iter().flatten().collect();
        let thread_type = of("channel", "type");
        let Some(key) = of("channel", "id") else { return };
        let thread = Thread {
            provenance: reading.emit.provenance(reading.field("channel", None).place()),
            app: APP.to_owned(),
            thread_key: key.clone(),
            name: (!names.is_empty()).then(|| names.join(" / ")),
            thread_type,
            created: None,
            implied: false,
        };
        reading.thread = Some(key);
        reading.put("channel", Record::Thread(thread));
    }

    fn element(&self, mut fields: Fields, at: &At, reading: &mut Reading<'_, '_>) {
        let sender = fields.object("author").and_then(|author| person(author, &at.part("author"), reading));
        for (number, mention) in fields.objects("mentions").into_iter().enumerate() {
            let at = at.part(&format!("mentions/{number}"));
            if let Some(key) = person(mention, &at, reading) {
                let list = fields.0.entry("mentioned").or_insert_with(|| serde_json::Value::Array(Vec::new()));
                list.as_array_mut().into_iter().for_each(|list| list.push(key.clone().into()));
            }
        }
        let files = files(&mut fields, at, reading);
        let kind = fields.text("type");
        if kind.as_deref() == Some("Call") {
            call(&fields, at, reading);
        }
        let reference = fields.object("reference");
        let quoted_key = reference.as_ref().and_then(|reference| scalar(reference.0.get("messageId")?));
        if let Some(reference) = reference {
            fields.0.insert("reference".to_owned(), reference.0.into());
        }
        let message_type = match kind.as_deref() {
            None | Some("Default" | "Reply") if files > 0 => "file".to_owned(),
            None | Some("Default" | "Reply") => "text".to_owned(),
            Some("Call") => "call".to_owned(),
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => format!("type:{number}"),
            Some(action) => {
                fields.0.insert("action".to_owned(), action.into());
                "system".to_owned()
            }
        };
        let message = Message {
            sender,
            sent: fields.written("timestamp"),
            edited: fields.written("timestampEdited"),
            text: fields.text("content"),
            message_type: Some(message_type),
            message_key: fields.text("id"),
            quoted_key,
            extra: fields.rest(),
            ..reading.message(at)
        };
        reading.main(Record::Message(Box::new(message)));
    }
}

/// Puts somebody's account when first met: its key.
fn person(mut fields: Fields, at: &At, reading: &mut Reading<'_, '_>) -> Option<String> {
    let key = fields.text("id")?;
    reading.account("people", at, &key, |account| {
        let name = fields.0.get("name").and_then(scalar);
        account.display_name = fields.text("nickname").or(name);
        account.extra = fields.rest();
    });
    Some(key)
}

/// Puts the files of a message: how many.
fn files(fields: &mut Fields, at: &At, reading: &mut Reading<'_, '_>) -> usize {
    let files = fields.objects("attachments");
    let count = files.len();
    for (number, mut file) in files.into_iter().enumerate() {
        reading.attachment("files", at, &format!("attachments/{number}"), |attachment| {
            let url = file.text("url");
            // Saved media are named by their path.
            let remote = url.as_deref().is_some_and(|url| url.contains("://"));
            (attachment.url, attachment.path) = if remote { (url, None) } else { (None, url) };
            attachment.name = file.text("fileName");
            attachment.size_bytes = file.integer("fileSizeBytes");
        });
    }
    count
}

fn call(fields: &Fields, at: &At, reading: &mut Reading<'_, '_>) {
    let stamp = |key: &str| fields.0.get(key).and_then(scalar).map(written);
    let (start, end) = (stamp("timestamp"), stamp("callEndedTimestamp"));
    let lasted = start.as_ref().and_then(|start| start.utc_us).zip(end.and_then(|end| end.utc_us));
    let call = Call {
        provenance: reading.emit.provenance(at.place()),
        app: APP.to_owned(),
        remote: reading.thread.clone(),
        remote_phone: None,
        remote_name: reading.document.fields.get("channel").and_then(|channel| channel.get("name")).and_then(scalar),
        thread_key: None,
        outgoing: None,
        start,
        duration_s: lasted.map(|(start, end)| end.saturating_sub(start).div_euclid(1_000_000)),
        outcome: None,
        video: None,
        call_key: fields.0.get("id").and_then(scalar),
    };
    reading.put("calls", Record::Call(Box::new(call)));
}

pub(super) struct Package;

impl Dialect for Package {
    fn name(&self) -> &'static str {
        "discord_package"
    }

    fn version(&self) -> u32 {
        1
    }

    fn marks(&self) -> &'static [&'static str] {
        &["\"Contents\""]
    }

    fn array(&self) -> Option<&'static str> {
        None
    }

    fn knows(&self, opening: &Opening) -> bool {
        opening.first_has(&["ID", "Timestamp", "Contents"])
    }

    fn begin(&self, reading: &mut Reading<'_, '_>) {
        reading.app = APP;
        // The folder is `c` and the channel's number; older packages leave out the letter.
        let folder = reading.path().rsplit('/').nth(1).map(|name| name.trim_start_matches('c').to_owned());
        reading.thread = folder.filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()));
    }

    fn element(&self, mut fields: Fields, at: &At, reading: &mut Reading<'_, '_>) {
        let files = fields.text("Attachments");
        let links: Vec<_> = files.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned).collect();
        for (number, url) in links.iter().enumerate() {
            reading.attachment("files", at, &format!("Attachments/{number}"), |attachment| attachment.url = Some(url.clone()));
        }
        let message = Message {
            outgoing: Some(true),
            sent: fields.written("Timestamp"),
            text: fields.text("Contents"),
            message_type: Some(if links.is_empty() { "text" } else { "file" }.to_owned()),
            message_key: fields.text("ID"),
            extra: fields.rest(),
            ..reading.message(at)
        };
        reading.main(Record::Message(Box::new(message)));
    }
}
