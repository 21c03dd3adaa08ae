//! CASE 1.5 / UCO 1.5 (Cyber-investigation Analysis Standard Expression) as JSON-LD.
//!
//! UCO has no class for a wallet: an address is a `DigitalAccount` and, in an own namespace that `docs/exports.md` documents, a
//! `haul:WalletAddress` with `haul:chain` and `haul:validity`. Node ids are UUIDs of version 5 of the rows' ids, so that the same
//! bundle gives the same graph.

mod observables;
mod records;

use super::output::Sheet;
use super::read::{rfc3339, uuid};
use super::{Bundle, Carried, Format, Order, Output};
use crate::Error;
use serde_json::{Value, json};

/// `--to case`.
pub struct Case;

impl Format for Case {
    fn name(&self) -> &'static str {
        "case"
    }

    fn about(&self) -> &'static str {
        "CASE/UCO 1.5 JSON-LD: files with hashes, accounts, threads, messages, calls, contacts, observables, what contains what, and which accounts, contacts and devices have a number, an address or an id alike. Wallets as `DigitalAccount` with an extension of our own."
    }

    fn carries(&self, table: &str) -> Carried {
        match table {
            "exhibit" => Carried::Columns(&["id", "number", "case_label"]),
            "item" => Carried::Columns(&[
                "id",
                "exhibit_id",
                "parent_id",
                "path",
                "size_bytes",
                "sha256",
                "sha1",
                "md5",
                "media_type",
                "modified_time",
                "accessed_time",
                "changed_time",
                "created_time",
                "deleted",
            ]),
            "account" => Carried::Columns(&["app", "account_key", "display_name"]),
            "thread" => Carried::Columns(&["id", "item_id", "app", "thread_key", "name"]),
            "message" => Carried::Columns(&[
                "id",
                "item_id",
                "app",
                "thread_id",
                "sender",
                "recipient",
                "sent_time",
                "text",
                "message_type",
                "message_key",
                "state",
            ]),
            "call" => {
                Carried::Columns(&["id", "item_id", "app", "remote", "outgoing", "start_time", "duration_s", "outcome", "state"])
            }
            "contact" => Carried::Columns(&["id", "item_id", "display_name", "note", "state"]),
            "contact_point" => Carried::Columns(&["contact_id", "kind", "value", "raw"]),
            "link" => Carried::Columns(&["id", "exhibit_id", "account_id", "record_id", "record_kind", "reason", "value"]),
            "attachment" => Carried::Columns(&["message_id", "file_item_id"]),
            "observable" => Carried::Columns(&["id", "kind", "value", "chain", "validity"]),
            "sighting" => Carried::Columns(&["observable_id", "item_id", "byte_offset", "byte_length"]),
            _ => Carried::Nothing,
        }
    }

    fn write(&self, bundle: &Bundle, order: &Order, out: &mut Output) -> Result<(), Error> {
        let mut graph = Graph { sheet: out.single()?, separator: b"" };
        graph.begin()?;
        frame(&mut graph, bundle, order)?;
        records::write(&mut graph, bundle)?;
        observables::write(&mut graph, bundle)?;
        graph.sheet.put(b"\n]}\n")?;
        graph.sheet.end()
    }
}

/// Prefixes of the graph.
const CONTEXT: &[(&str, &str)] = &[
    ("case-investigation", "https://ontology.caseontology.org/case/investigation/"),
    ("haul", "urn:haul:vocabulary:"),
    ("kb", "urn:haul:kb:"),
    ("uco-action", "https://ontology.unifiedcyberontology.org/uco/action/"),
    ("uco-core", "https://ontology.unifiedcyberontology.org/uco/core/"),
    ("uco-observable", "https://ontology.unifiedcyberontology.org/uco/observable/"),
    ("uco-tool", "https://ontology.unifiedcyberontology.org/uco/tool/"),
    ("uco-types", "https://ontology.unifiedcyberontology.org/uco/types/"),
    ("xsd", "http://www.w3.org/2001/XMLSchema#"),
];

/// The graph on its way.
struct Graph {
    sheet: Sheet,
    separator: &'static [u8],
}

impl Graph {
    fn begin(&mut self) -> Result<(), Error> {
        let context: serde_json::Map<String, Value> =
            CONTEXT.iter().map(|(name, iri)| ((*name).to_owned(), json!(iri))).collect();
        self.sheet.put(b"{\"@context\":")?;
        self.sheet.json(&Value::Object(context))?;
        self.sheet.put(b",\"@graph\":[\n")
    }

    fn put(&mut self, node: &Value) -> Result<(), Error> {
        self.sheet.put(self.separator)?;
        self.separator = b",\n";
        self.sheet.json(node)
    }

    /// What lies in what.
    fn contained(&mut self, source: &str, target: &str) -> Result<(), Error> {
        self.put(&json!({
            "@id": node("relationship", &format!("{source} {target}")), "@type": "uco-observable:ObservableRelationship",
            "uco-core:source": reference(source), "uco-core:target": reference(target),
            "uco-core:kindOfRelationship": "Contained_Within", "uco-core:isDirectional": boolean(true),
        }))
    }
}

/// The tool, the exhibits, and what was done.
fn frame(graph: &mut Graph, bundle: &Bundle, order: &Order) -> Result<(), Error> {
    let tool = node("tool", "haul");
    graph.put(
        &json!({ "@id": tool, "@type": "uco-tool:Tool", "uco-core:name": "Haul", "uco-tool:version": env!("CARGO_PKG_VERSION") }),
    )?;
    let mut results = Vec::new();
    for exhibit in &bundle.exhibits {
        let device = node("device", &exhibit.id);
        graph.put(&json!({ "@id": device, "@type": "uco-observable:Device", "uco-core:name": exhibit.number }))?;
        let record = node("exhibit", &exhibit.id);
        graph.put(&json!({
            "@id": record, "@type": "case-investigation:ProvenanceRecord", "uco-core:description": exhibit.case_label,
            "case-investigation:exhibitNumber": exhibit.number, "uco-core:object": [reference(&device)],
        }))?;
        results.push(reference(&record));
    }
    graph.put(&json!({
        "@id": node("action", &bundle.checkpoint), "@type": "case-investigation:InvestigativeAction",
        "uco-core:name": "export", "uco-core:description": bundle.origin(order).to_string(),
        "uco-action:instrument": [reference(&tool)], "uco-action:result": results,
    }))
}

/// Id of the node for something.
fn node(kind: &str, name: &str) -> String {
    format!("kb:{kind}-{}", uuid(&format!("case-{kind}"), name))
}

fn reference(id: &str) -> Value {
    json!({ "@id": id })
}

fn boolean(value: bool) -> Value {
    json!({ "@type": "xsd:boolean", "@value": value })
}

fn integer(value: i64) -> Value {
    json!({ "@type": "xsd:integer", "@value": value.to_string() })
}

/// A facet of a node with the properties that have a value.
fn facet(owner: &str, kind: &str, properties: Vec<(&str, Option<Value>)>) -> Value {
    let mut facet = serde_json::Map::new();
    facet.insert("@id".to_owned(), json!(node("facet", &format!("{owner} {kind}"))));
    facet.insert("@type".to_owned(), json!(format!("uco-observable:{kind}")));
    facet.extend(properties.into_iter().filter_map(|(name, value)| Some((format!("uco-observable:{name}"), value?))));
    Value::Object(facet)
}

fn date_time(micros: Option<i64>) -> Option<Value> {
    micros.and_then(rfc3339).map(|time| json!({ "@type": "xsd:dateTime", "@value": time }))
}

/// Text that RDF can carry: XML 1.0 has no other control characters than tab and line ends.
fn text(text: Option<String>) -> Option<Value> {
    let text = text?;
    let kept: String = text.chars().map(|character| if is_xml(character) { character } else { '\u{fffd}' }).collect();
    Some(json!(kept))
}

fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facets_leave_out_what_is_not_there() {
        let facet = facet("kb:x", "FileFacet", vec![("fileName", Some(json!("a"))), ("extension", None)]);
        assert_eq!(facet["uco-observable:fileName"], "a");
        assert!(facet.get("uco-observable:extension").is_none());
        assert_eq!(facet["@type"], "uco-observable:FileFacet");
    }

    #[test]
    fn nodes_of_two_kinds_never_meet() {
        assert_ne!(node("file", "1"), node("account", "1").replace("account", "file"));
        assert_eq!(text(Some("a\u{0}b\u{ffff}".into())), Some(json!("a\u{fffd}b\u{fffd}")));
    }
}
