//! What stands inside encoded parts of a document (a compressed stream, an attachment), and secrets that a parser knows by their place.

use super::{Emit, Spot};
use model::observable::Finder;
use model::recognize::{Mode, StreamScan};
use model::{Body, Locator, Secret, SecretKind};

/// A part of a document: what it is called, and the range of its encoded bytes in the item.
#[derive(Clone, Copy, Debug)]
pub struct Part<'p> {
    /// `stream 12`, `part 2.1 (offer.pdf)`, …: the field of its sightings.
    pub name: &'p str,
    /// First encoded byte in the item.
    pub offset: u64,
    /// Encoded bytes.
    pub length: u64,
}

impl Emit<'_> {
    /// Finds observables and secrets in the decoded bytes of a part. Name and offset together must be given once only.
    pub fn decoded(&mut self, part: Part<'_>, bytes: &[u8]) {
        let mut finds = Vec::new();
        let mut scan = StreamScan::new(Mode::All);
        scan.push(bytes, &mut |find| finds.push(find));
        scan.finish(&mut |find| finds.push(find));
        for find in finds {
            let (finder, range, encoding) = (Finder::Decoded, Some((part.offset, part.length)), find.encoding);
            let body = self.seen(Spot { finder, record: None, field: part.name, range, encoding, row: None }, find);
            self.put(body);
        }
    }

    /// Puts a secret that the format names as one; `field` is the way to it. The same secret at the same place twice is the caller's to
    /// leave out.
    pub fn secret(&mut self, kind: SecretKind, value: String, detail: &str, field: &str, place: &Locator) {
        let range = place.range();
        self.put(Body::Secret(Box::new(Secret {
            exhibit: self.unit.primary.item.exhibit,
            item: self.unit.primary.item.id,
            finder: Finder::Decoded,
            kind,
            value,
            detail: detail.to_owned(),
            record: None,
            field: Some(field.to_owned()),
            field_offset: Some(0),
            byte_offset: range.map(|(offset, _)| offset),
            byte_length: range.map(|(_, length)| length),
            row: place.row().map(|(table, row_id)| (table.to_owned(), row_id)),
        })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Scratch;
    use crate::parse::Outcome;

    #[test]
    fn an_address_inside_a_part_is_seen_at_the_part() {
        let bodies = Scratch::new("a.pdf", b"packed").run(|_, emit| {
            let text = b"pay to TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC today";
            emit.decoded(Part { name: "stream 4", offset: 1, length: 5 }, text);
            Outcome::parsed()
        });
        let sighted: Vec<_> = bodies
            .iter()
            .filter_map(|body| if let Body::Sighting(sighting) = body { Some(sighting) } else { None })
            .map(|sighting| {
                (sighting.observable.value.as_str(), sighting.field.as_deref(), sighting.field_offset, sighting.byte_offset)
            })
            .collect();
        assert_eq!(sighted, [("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC", Some("stream 4"), Some(7), Some(1))]);
    }

    #[test]
    fn a_secret_has_the_place_of_its_value() {
        let place = Locator::Pointer { pointer: "/crypto".to_owned(), offset: 3, length: 9 };
        let bodies = Scratch::new("k", b"x").run(|_, emit| {
            emit.secret(SecretKind::Vault, "{}".to_owned(), "keystore", "crypto", &place);
            Outcome::parsed()
        });
        assert!(
            bodies
                .iter()
                .any(|body| matches!(body, Body::Secret(secret) if secret.byte_offset == Some(3) && secret.row.is_none()))
        );
    }
}
