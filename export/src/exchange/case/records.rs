//! Files, accounts, conversations, calls and contacts as nodes.

use super::{Graph, boolean, date_time, facet, integer, node, reference, text};
use crate::Error;
use crate::exchange::Bundle;
use crate::exchange::read::{Failure, hex};
use rusqlite::Row;
use serde_json::{Value, json};

/// Writes them all.
pub fn write(graph: &mut Graph, bundle: &Bundle) -> Result<(), Error> {
    applications(graph, bundle)?;
    bundle.each(ITEMS, &mut |row| file(graph, row))?;
    bundle.each(ACCOUNTS, &mut |row| account(graph, row))?;
    bundle.each("SELECT id, item_id, thread_key, name FROM thread ORDER BY id", &mut |row| thread(graph, row))?;
    bundle.each(MESSAGES, &mut |row| message(graph, row))?;
    bundle.each(CALLS, &mut |row| call(graph, row))?;
    contacts(graph, bundle)?;
    bundle.each(LINKS, &mut |row| link(graph, row))?;
    let attachments =
        "SELECT message_id, file_item_id FROM attachment WHERE message_id IS NOT NULL AND file_item_id IS NOT NULL ORDER BY id";
    bundle.each(attachments, &mut |row| {
        let relation = json!({
            "@id": node("relationship", &format!("attached {} {}", id(row, 0)?, id(row, 1)?)),
            "@type": "uco-observable:ObservableRelationship", "uco-core:source": reference(&node("file", &id(row, 1)?)),
            "uco-core:target": reference(&node("message", &id(row, 0)?)), "uco-core:kindOfRelationship": "Attached_To",
            "uco-core:isDirectional": boolean(true),
        });
        Ok(graph.put(&relation)?)
    })
}

const ITEMS: &str =
    "SELECT id, parent_id, path, size_bytes, sha256, sha1, md5, media_type, modified_time, accessed_time, changed_time,
       created_time, coalesce(deleted, 0) FROM item ORDER BY id";
/// Every account that a record names, known to the app's own table or not.
const ACCOUNTS: &str = "SELECT named.app, named.key, min(account.display_name)
FROM (SELECT app, account_key AS key FROM account UNION SELECT coalesce(app, ''), sender FROM message WHERE sender IS NOT NULL
      UNION SELECT coalesce(app, ''), recipient FROM message WHERE recipient IS NOT NULL UNION SELECT coalesce(app, ''), remote FROM call WHERE remote IS NOT NULL) AS named
LEFT JOIN account ON account.app = named.app AND account.account_key = named.key GROUP BY 1, 2 ORDER BY 1, 2";
const MESSAGES: &str =
    "SELECT id, item_id, coalesce(app, ''), thread_id, sender, recipient, sent_time, text, message_type, message_key, coalesce(state, 'live'),
       CASE WHEN companion IS NULL THEN byte_offset END, CASE WHEN companion IS NULL THEN byte_length END FROM message ORDER BY id";
const CALLS: &str = "SELECT id, item_id, coalesce(app, ''), remote, outgoing, start_time, duration_s, outcome, coalesce(state, 'live') FROM call ORDER BY id";

/// Accounts, and what has a number, an address or an id as they have: the account of the row, the contact of an entry, the device.
const LINKS: &str =
    "SELECT link.id, link.exhibit_id, account.app, account.account_key, other.app, other.account_key, point.contact_id,
       record_kind, reason, link.value
FROM link LEFT JOIN account ON account.id = link.account_id LEFT JOIN account AS other ON other.id = link.record_id
LEFT JOIN contact_point AS point ON point.id = link.record_id ORDER BY link.id";

/// An id of the row, hexadecimal.
fn id(row: &Row<'_>, place: usize) -> Result<String, Failure> {
    Ok(hex(&row.get::<_, Vec<u8>>(place)?))
}

fn maybe_id(row: &Row<'_>, place: usize) -> Result<Option<String>, Failure> {
    Ok(row.get::<_, Option<Vec<u8>>>(place)?.map(|bytes| hex(&bytes)))
}

/// What lies in the file of column 1; a part of a bundle may not say in which.
fn within(graph: &mut Graph, node_id: &str, row: &Row<'_>) -> Result<(), Failure> {
    match maybe_id(row, 1)? {
        Some(item) => Ok(graph.contained(node_id, &node("file", &item))?),
        None => Ok(()),
    }
}

fn application(app: &str) -> Value {
    reference(&node("application", app))
}

fn account_reference(app: &str, key: Option<String>) -> Option<Value> {
    key.map(|key| reference(&node("account", &format!("{app}\n{key}"))))
}

fn applications(graph: &mut Graph, bundle: &Bundle) -> Result<(), Error> {
    let sql = "SELECT app FROM account UNION SELECT coalesce(app, '') FROM message UNION SELECT coalesce(app, '') FROM call UNION SELECT app FROM thread
UNION SELECT app FROM contact WHERE app IS NOT NULL ORDER BY 1";
    bundle.each(sql, &mut |row| {
        let app: String = row.get(0)?;
        let id = node("application", &app);
        let facets = [facet(&id, "ApplicationFacet", vec![("applicationIdentifier", text(Some(app.clone())))])];
        let application =
            json!({ "@id": id, "@type": "uco-observable:Application", "uco-core:name": app, "uco-core:hasFacet": facets });
        Ok(graph.put(&application)?)
    })
}

fn file(graph: &mut Graph, row: &Row<'_>) -> Result<(), Failure> {
    let (item, parent): (String, Option<String>) = (id(row, 0)?, maybe_id(row, 1)?);
    let node_id = node("file", &item);
    let path: String = row.get(2)?;
    let deleted: bool = row.get(12)?;
    let times = |place: usize| row.get::<_, Option<i64>>(place).map(date_time);
    let size = row.get::<_, Option<i64>>(3)?.map(integer);
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let file = facet(
        &node_id,
        "FileFacet",
        vec![
            ("fileName", text(Some(name))),
            ("filePath", text(Some(path))),
            ("sizeInBytes", size.clone()),
            ("modifiedTime", times(8)?),
            ("accessedTime", times(9)?),
            ("metadataChangeTime", times(10)?),
            ("observableCreatedTime", times(11)?),
            ("allocationStatus", deleted.then(|| json!("unallocated"))),
        ],
    );
    let mut hashes = Vec::new();
    for (method, place) in [("SHA256", 4), ("SHA1", 5), ("MD5", 6)] {
        if let Some(value) = row.get::<_, Option<String>>(place)? {
            hashes.push(json!({
                "@id": node("hash", &format!("{item} {method}")), "@type": "uco-types:Hash", "uco-types:hashMethod": method,
                "uco-types:hashValue": { "@type": "xsd:hexBinary", "@value": value.to_uppercase() },
            }));
        }
    }
    let media_type = row.get::<_, Option<String>>(7)?;
    let hashes = (!hashes.is_empty()).then_some(Value::Array(hashes));
    let content =
        facet(&node_id, "ContentDataFacet", vec![("hash", hashes), ("sizeInBytes", size), ("mimeType", text(media_type))]);
    let node_of_file = json!({ "@id": node_id, "@type": "uco-observable:File", "uco-core:hasFacet": [file, content] });
    graph.put(&node_of_file)?;
    match parent {
        Some(parent) => Ok(graph.contained(&node_id, &node("file", &parent))?),
        None => Ok(()),
    }
}

fn account(graph: &mut Graph, row: &Row<'_>) -> Result<(), Failure> {
    let (app, key): (String, String) = (row.get(0)?, row.get(1)?);
    let id = node("account", &format!("{app}\n{key}"));
    let facets = [
        facet(&id, "AccountFacet", vec![("accountIdentifier", text(Some(key)))]),
        facet(&id, "ApplicationAccountFacet", vec![("application", Some(application(&app)))]),
        facet(&id, "DigitalAccountFacet", vec![("displayName", text(row.get(2)?))]),
    ];
    Ok(graph.put(&json!({ "@id": id, "@type": "uco-observable:ApplicationAccount", "uco-core:hasFacet": facets }))?)
}

fn thread(graph: &mut Graph, row: &Row<'_>) -> Result<(), Failure> {
    let node_id = node("thread", &id(row, 0)?);
    let mut thread = json!({
        "@id": node_id, "@type": "uco-observable:MessageThread", "uco-core:description": text(row.get(2)?),
    });
    if let (Some(name), Some(thread)) = (text(row.get(3)?), thread.as_object_mut()) {
        thread.insert("uco-core:name".to_owned(), name);
    }
    graph.put(&thread)?;
    within(graph, &node_id, row)
}

fn message(graph: &mut Graph, row: &Row<'_>) -> Result<(), Failure> {
    let node_id = node("message", &id(row, 0)?);
    let app: String = row.get(2)?;
    let mut facets = vec![facet(
        &node_id,
        "MessageFacet",
        vec![
            ("application", Some(application(&app))),
            ("from", account_reference(&app, row.get(4)?)),
            ("to", account_reference(&app, row.get(5)?)),
            ("sentTime", date_time(row.get(6)?)),
            ("messageText", text(row.get(7)?)),
            ("messageType", text(row.get(8)?)),
            ("messageID", text(row.get(9)?)),
        ],
    )];
    let offset: Option<i64> = row.get(11)?;
    if offset.is_some() {
        let size = row.get::<_, Option<i64>>(12)?.map(integer);
        facets.push(facet(&node_id, "DataRangeFacet", vec![("rangeOffset", offset.map(integer)), ("rangeSize", size)]));
    }
    facets.extend(recovered(&node_id, &row.get::<_, String>(10)?));
    graph.put(&json!({ "@id": node_id, "@type": "uco-observable:Message", "uco-core:hasFacet": facets }))?;
    within(graph, &node_id, row)?;
    match maybe_id(row, 3)? {
        Some(thread) => Ok(graph.contained(&node_id, &node("thread", &thread))?),
        None => Ok(()),
    }
}

/// Two accounts under one name of one app are one node already.
fn link(graph: &mut Graph, row: &Row<'_>) -> Result<(), Failure> {
    let account = |place: usize| -> Result<Option<String>, Failure> {
        let (app, key): (Option<String>, Option<String>) = (row.get(place)?, row.get(place + 1)?);
        Ok(app.zip(key).map(|(app, key)| node("account", &format!("{app}\n{key}"))))
    };
    let (kind, reason, value): (String, String, Option<String>) = (row.get(7)?, row.get(8)?, row.get(9)?);
    let other = match kind.as_str() {
        "account" => account(4)?,
        "contact_point" => maybe_id(row, 6)?.map(|contact| node("contact", &contact)),
        _ => maybe_id(row, 1)?.map(|exhibit| node("device", &exhibit)),
    };
    let (Some(one), Some(other)) = (account(2)?, other) else { return Ok(()) };
    if one == other {
        return Ok(());
    }
    let why = value.map_or_else(|| reason.clone(), |value| format!("{reason}: {value}"));
    Ok(graph.put(&json!({
        "@id": node("relationship", &format!("link {}", id(row, 0)?)), "@type": "uco-observable:ObservableRelationship",
        "uco-core:source": reference(&one), "uco-core:target": reference(&other), "uco-core:kindOfRelationship": "Related_To",
        "uco-core:isDirectional": boolean(false), "uco-core:description": text(Some(why)),
    }))?)
}

/// What is not live says so.
fn recovered(node_id: &str, state: &str) -> Option<Value> {
    (state != "live").then(|| facet(node_id, "RecoveredObjectFacet", vec![("contentRecoveredStatus", Some(json!("recovered")))]))
}

fn call(graph: &mut Graph, row: &Row<'_>) -> Result<(), Failure> {
    let node_id = node("call", &id(row, 0)?);
    let app: String = row.get(2)?;
    let remote = account_reference(&app, row.get(3)?);
    let (from, to) = match row.get::<_, Option<bool>>(4)? {
        Some(true) => (None, remote),
        Some(false) => (remote, None),
        None => (None, None),
    };
    let mut facets = vec![facet(
        &node_id,
        "CallFacet",
        vec![
            ("application", Some(application(&app))),
            ("from", from),
            ("to", to),
            ("startTime", date_time(row.get(5)?)),
            ("duration", row.get::<_, Option<i64>>(6)?.map(integer)),
            ("callType", text(row.get(7)?)),
        ],
    )];
    facets.extend(recovered(&node_id, &row.get::<_, String>(8)?));
    graph.put(&json!({ "@id": node_id, "@type": "uco-observable:Call", "uco-core:hasFacet": facets }))?;
    within(graph, &node_id, row)
}

fn contacts(graph: &mut Graph, bundle: &Bundle) -> Result<(), Error> {
    let sql = "SELECT contact_id, coalesce(kind, ''), coalesce(value, raw, ''), id FROM contact_point WHERE contact_id IS NOT NULL ORDER BY contact_id, id";
    let mut points: Vec<(String, Value)> = Vec::new();
    bundle.each(sql, &mut |row| {
        let (contact, kind, value): (String, String, String) = (id(row, 0)?, row.get(1)?, row.get(2)?);
        let point = id(row, 3)?;
        let (class, facet_class, property, holder, field) = match kind.as_str() {
            "phone" => ("PhoneAccount", "PhoneAccountFacet", "phoneNumber", "ContactPhone", "contactPhoneNumber"),
            "email" => ("EmailAddress", "EmailAddressFacet", "addressValue", "ContactEmail", "emailAddress"),
            // UCO has no class for the other kinds; they are in the loss table.
            _ => return Ok(()),
        };
        let node_id = node("point", &value);
        let facets = [facet(&node_id, facet_class, vec![(property, text(Some(value)))])];
        graph.put(&json!({ "@id": node_id, "@type": format!("uco-observable:{class}"), "uco-core:hasFacet": facets }))?;
        let held = json!({
            "@id": node("holder", &point), "@type": format!("uco-observable:{holder}"),
            (format!("uco-observable:{field}")): reference(&node_id),
        });
        points.push((contact, held));
        Ok(())
    })?;
    let mut points = points.into_iter().peekable();
    bundle.each("SELECT id, item_id, display_name, note, coalesce(state, 'live') FROM contact ORDER BY id", &mut |row| {
        let contact = id(row, 0)?;
        let node_id = node("contact", &contact);
        let (mut phones, mut emails) = (Vec::new(), Vec::new());
        while let Some((_, held)) = points.next_if(|(owner, _)| *owner <= contact) {
            if held["@type"] == "uco-observable:ContactPhone" { phones.push(held) } else { emails.push(held) }
        }
        let list = |values: Vec<Value>| (!values.is_empty()).then_some(Value::Array(values));
        let mut facets = vec![facet(
            &node_id,
            "ContactFacet",
            vec![
                ("displayName", text(row.get(2)?)),
                ("contactNote", text(row.get(3)?)),
                ("contactPhone", list(phones)),
                ("contactEmail", list(emails)),
            ],
        )];
        facets.extend(recovered(&node_id, &row.get::<_, String>(4)?));
        graph.put(&json!({ "@id": node_id, "@type": "uco-observable:Contact", "uco-core:hasFacet": facets }))?;
        within(graph, &node_id, row)
    })
}
