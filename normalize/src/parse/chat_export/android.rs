//! Messages that Android's telephony provider puts into backups: `d_f/000000_sms_backup` and `…_mms_backup`, JSON packed with zlib
//! (AOSP `TelephonyBackupAgent`). Every value is a string. Of a message the date is when it came or went, of one that was received
//! `date_sent` is when it was sent (0: not said); those of an MMS are seconds.

use super::fields::{Fields, scalar};
use super::{At, Dialect, Opening, Reading};
use model::record::{Message, Record};
use model::{Stamp, TimeUnit};
use serde_json::Value;

const APP: &str = "SMS/MMS";
/// What stands for the owner among the addresses of an MMS.
const OWNER: &str = "insert-address-token";
/// Kinds of addresses of an MMS (OMA): from; to, cc, bcc.
const FROM: i64 = 137;
const TO: [i64; 3] = [151, 130, 129];

pub(super) struct Backup;

impl Dialect for Backup {
    fn name(&self) -> &'static str {
        "android_messages_backup"
    }

    fn version(&self) -> u32 {
        1
    }

    fn marks(&self) -> &'static [&'static str] {
        &["\"address\"", "\"mms_addresses\""]
    }

    fn array(&self) -> Option<&'static str> {
        None
    }

    fn knows(&self, opening: &Opening) -> bool {
        opening.first_has(&["address", "date", "type", "read"]) || opening.first_has(&["mms_addresses", "date", "msg_box"])
    }

    fn begin(&self, reading: &mut Reading<'_, '_>) {
        reading.app = APP;
    }

    fn element(&self, mut fields: Fields, at: &At, reading: &mut Reading<'_, '_>) {
        let mms = fields.0.contains_key("msg_box");
        let unit = if mms { TimeUnit::UnixS } else { TimeUnit::UnixMs };
        let folder = fields.text(if mms { "msg_box" } else { "type" });
        let outgoing = match folder.as_deref() {
            Some("1") => Some(false),
            Some("2" | "3" | "4" | "5" | "6") => Some(true),
            _ => None,
        };
        let (sender, recipient) = if mms { addresses(&mut fields) } else { one_address(&mut fields, outgoing) };
        let (date, date_sent) = (time(&mut fields, "date", unit), time(&mut fields, "date_sent", unit));
        let date_sent = date_sent.filter(|stamp| stamp.utc_us != Some(0));
        let (sent, received) = if outgoing == Some(true) { (date, None) } else { (date_sent, date) };
        let message = Message {
            thread_key: thread(&fields),
            sender,
            recipient,
            outgoing,
            sent,
            received,
            text: fields.text(if mms { "mms_body" } else { "body" }),
            subject: fields.text(if mms { "sub" } else { "subject" }),
            message_type: Some(if mms { "mms" } else { "sms" }.to_owned()),
            message_key: fields.text("tr_id"),
            status: folder.map(|folder| status(&folder, mms)),
            extra: fields.rest(),
            ..reading.message(at)
        };
        reading.main(Record::Message(Box::new(message)));
    }
}

/// Takes a time written in digits; one that is not stays.
fn time(fields: &mut Fields, key: &str, unit: TimeUnit) -> Option<Stamp> {
    let raw = fields.0.get(key).and_then(scalar)?.parse().ok()?;
    fields.0.shift_remove(key);
    Some(Stamp::integer(raw, unit))
}

/// The thread is its recipients: backups leave out the number that the provider gave it.
fn thread(fields: &Fields) -> Option<String> {
    let list = fields.0.get("recipients").and_then(Value::as_array)?;
    let names: Vec<_> = list.iter().filter_map(scalar).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn one_address(fields: &mut Fields, outgoing: Option<bool>) -> (Option<String>, Option<String>) {
    let address = fields.text("address");
    if outgoing == Some(true) { (None, address) } else { (address, None) }
}

fn addresses(fields: &mut Fields) -> (Option<String>, Option<String>) {
    let list = fields.0.get("mms_addresses").and_then(Value::as_array).cloned().unwrap_or_default();
    let of = |kinds: &[i64]| {
        let wanted = list.iter().filter(|entry| {
            let kind = entry.get("type").and_then(scalar).and_then(|text| text.parse().ok());
            kind.is_some_and(|kind| kinds.contains(&kind))
        });
        let names: Vec<_> = wanted.filter_map(|entry| scalar(entry.get("address")?)).filter(|name| name != OWNER).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    (of(&[FROM]), of(&TO))
}

fn status(folder: &str, mms: bool) -> String {
    match folder {
        "1" => "inbox".to_owned(),
        "2" => "sent".to_owned(),
        "3" => "draft".to_owned(),
        "4" => "outbox".to_owned(),
        "5" => "failed".to_owned(),
        "6" if !mms => "queued".to_owned(),
        other => format!("{}:{other}", if mms { "box" } else { "type" }),
    }
}
