//! Observables and the files they were seen in.

use super::{Graph, facet, integer, node, reference, text};
use crate::Error;
use crate::exchange::Bundle;
use crate::exchange::sighted::{self, Sighted};
use serde_json::{Value, json};

/// Writes them all.
pub fn write(graph: &mut Graph, bundle: &Bundle) -> Result<(), Error> {
    sighted::each(bundle, None, &mut |sighted| {
        let id = node("observable", &sighted.id);
        graph.put(&observable(&id, sighted))?;
        // A part of a bundle may not say in which file.
        for place in sighted.places.iter().filter(|place| !place.item.is_empty()) {
            let relation = node("relationship", &format!("sighting {}", place.sighting));
            let mut relationship = json!({
                "@id": relation, "@type": "uco-observable:ObservableRelationship", "uco-core:source": reference(&id),
                "uco-core:target": reference(&node("file", &place.item)), "uco-core:kindOfRelationship": "Contained_Within",
                "uco-core:isDirectional": super::boolean(true),
            });
            if let (Some(offset), Some(relationship)) = (place.byte_offset, relationship.as_object_mut()) {
                let range = facet(
                    &relation,
                    "DataRangeFacet",
                    vec![("rangeOffset", Some(integer(offset))), ("rangeSize", place.byte_length.map(integer))],
                );
                relationship.insert("uco-core:hasFacet".to_owned(), json!([range]));
            }
            graph.put(&relationship)?;
        }
        Ok(())
    })
}

fn observable(id: &str, sighted: &Sighted) -> Value {
    let value = text(Some(sighted.value.clone()));
    let (class, facet_class, property) = match sighted.kind.as_str() {
        "url" | "payment_uri" => ("URL", "URLFacet", "fullValue"),
        "email_address" => ("EmailAddress", "EmailAddressFacet", "addressValue"),
        "phone_number" => ("PhoneAccount", "PhoneAccountFacet", "phoneNumber"),
        _ => ("DigitalAccount", "AccountFacet", "accountIdentifier"),
    };
    let mut classes = vec![format!("uco-observable:{class}")];
    if class == "DigitalAccount" {
        classes.push(if sighted.kind == "wallet_address" {
            "haul:WalletAddress".to_owned()
        } else {
            format!("haul:{}", sighted.kind)
        });
    }
    let mut node = json!({
        "@id": id, "@type": classes, "uco-core:hasFacet": [facet(id, facet_class, vec![(property, value)])],
        "haul:validity": sighted.validity,
    });
    if let (false, Some(node)) = (sighted.chains().is_empty(), node.as_object_mut()) {
        node.insert("haul:chain".to_owned(), json!(sighted.chains()));
    }
    node
}
