//! What stands inside encoded parts of a document (a compressed stream, an attachment), and secrets that a parser knows by their place.

use super::{Emit, Spot};
use model::observable::Finder;
use model::recognize::{Mode, StreamScan, find_in_text};
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

/// A paragraph, cell, page, …: a stretch of a document's text, and where it comes from.
#[derive(Clone, Debug)]
pub struct Block {
    /// `paragraph 12`, `page 3`, `cell B7`, …: the field of its sightings.
    pub name: String,
    /// Where it begins in the text.
    pub start: usize,
    /// First byte in the item of what it was made from.
    pub offset: u64,
    /// Bytes of that.
    pub length: u64,
}

impl Emit<'_> {
    /// Finds observables and secrets in the text of a document, given together with its blocks in order: what stands in one holds up
    /// a weak value in the next. A find belongs to the block it begins in. Name and offset of a block together must be given once only.
    pub fn document(&mut self, text: &str, blocks: &[Block]) {
        for mut find in find_in_text(text) {
            let at = usize::try_from(find.offset).unwrap_or(usize::MAX);
            let block = blocks.partition_point(|block| block.start <= at).checked_sub(1).and_then(|index| blocks.get(index));
            let Some(block) = block else { continue };
            find.offset = find.offset.saturating_sub(block.start as u64);
            let (finder, range, encoding) = (Finder::Decoded, Some((block.offset, block.length)), find.encoding);
            let body = self.seen(Spot { finder, record: None, field: &block.name, range, encoding, row: None }, find);
            self.put(body);
        }
    }

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

    /// Finds observables and secrets in a value of a store, with its key before it: what the key says holds up a weak value. The range is
    /// that of the value in the item; where its bytes stand there as they are given (`verbatim`), a find has its own place. The same
    /// find at the same place is put once.
    pub fn value(&mut self, name: &str, key: &str, text: &str, range: (u64, u64), verbatim: bool) {
        let whole = format!("{key}: {text}");
        let start = (whole.len() - text.len()) as u64;
        for mut find in find_in_text(&whole) {
            let Some(at) = find.offset.checked_sub(start) else { continue };
            find.offset = at;
            let range = if verbatim { (range.0.saturating_add(at), find.length) } else { range };
            let (finder, encoding) = (Finder::Decoded, find.encoding);
            let body = self.seen(Spot { finder, record: None, field: name, range: Some(range), encoding, row: None }, find);
            if self.valued.insert(body.id()) {
                self.put(body);
            }
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
    fn a_value_has_its_own_place_and_is_held_up_by_its_key() {
        let bodies = Scratch::new("store", b"0123456789").run(|_, emit| {
            let weak = "0x66f9c09118b1c726bc24811a611baf60af42070a";
            emit.value("/wallet_address", "wallet_address", weak, (4, 42), true);
            emit.value("/wallet_address", "wallet_address", weak, (4, 42), true);
            emit.value("/n", "n", "pay TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC", (100, 60), false);
            Outcome::parsed()
        });
        let sighted: Vec<_> = bodies
            .iter()
            .filter_map(|body| if let Body::Sighting(sighting) = body { Some(sighting) } else { None })
            .map(|sighting| (sighting.field.as_deref(), sighting.field_offset, sighting.byte_offset, sighting.byte_length))
            .collect();
        assert_eq!(sighted, [(Some("/wallet_address"), Some(0), Some(4), Some(42)), (Some("/n"), Some(4), Some(100), Some(60))]);
    }

    #[test]
    fn a_find_in_a_document_belongs_to_its_block() {
        let text = "one\nsend to TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC\nlast";
        let block = |name: &str, start, offset| Block { name: name.to_owned(), start, offset, length: 9 };
        let bodies = Scratch::new("a.html", b"<p>").run(|_, emit| {
            emit.document(text, &[block("paragraph 1", 0, 0), block("paragraph 2", 4, 80), block("paragraph 3", 47, 200)]);
            Outcome::parsed()
        });
        let sighted: Vec<_> = bodies
            .iter()
            .filter_map(|body| if let Body::Sighting(sighting) = body { Some(sighting) } else { None })
            .map(|sighting| (sighting.field.as_deref(), sighting.field_offset, sighting.byte_offset))
            .collect();
        assert_eq!(sighted, [(Some("paragraph 2"), Some(8), Some(80))]);
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
