//! The text of documents: what a reader of the document sees, joined again where its format splits it, goes through the same scan as
//! everything else, and each find has its place in the document.

pub mod charset;
pub mod html;
pub mod inside;
pub mod office_xml;
pub mod ole;
pub mod pdf;
pub mod rtf;

use crate::emit::{Block, Emit};
use crate::parse::{Input, Outcome, Parser};
use model::Code;
use std::fs::File;
use std::io::BufReader;

/// Text that is gathered before it is searched. Pieces are never split, so a long one makes it longer.
const GATHERED: usize = 1 << 20;

/// Takes the pieces of a document in their order and has them searched together.
pub struct Pieces<'e, 'u> {
    emit: &'e mut Emit<'u>,
    /// Put before each piece's name: which part of a mail, say, the document stands in.
    within: String,
    /// Place of a document that stands encoded in the item: offsets inside of it would be of no use.
    place: Option<(u64, u64)>,
    text: String,
    blocks: Vec<Block>,
}

impl<'e, 'u> Pieces<'e, 'u> {
    /// The pieces of the item itself.
    pub fn new(emit: &'e mut Emit<'u>) -> Pieces<'e, 'u> {
        Pieces { emit, within: String::new(), place: None, text: String::new(), blocks: Vec::new() }
    }

    /// The pieces of a document that stands encoded in the item, at that first byte with that many.
    pub fn within(emit: &'e mut Emit<'u>, name: &str, place: (u64, u64)) -> Pieces<'e, 'u> {
        Pieces { within: format!("{name} "), place: Some(place), ..Pieces::new(emit) }
    }

    /// Adds a piece. Name and offset together must be given once only; for a document inside an item, the name alone.
    pub fn put(&mut self, name: &str, offset: u64, length: u64, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let (offset, length) = self.place.unwrap_or((offset, length));
        self.blocks.push(Block { name: format!("{}{name}", self.within), start: self.text.len(), offset, length });
        self.text.push_str(text);
        self.text.push('\n');
        if self.text.len() >= GATHERED {
            self.finish();
        }
    }

    /// The name of a piece in the item.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.within)
    }

    /// The place of a piece in the item.
    pub fn full_place(&self, place: (u64, u64)) -> (u64, u64) {
        self.place.unwrap_or(place)
    }

    /// Tells of damage.
    pub fn problem(&mut self, code: Code, detail: &str) {
        self.emit.problem(code, format!("{}{detail}", self.within));
    }

    /// Has what was gathered searched. To be called at the end.
    pub fn finish(&mut self) {
        self.emit.document(&self.text, &self.blocks);
        self.text.clear();
        self.blocks.clear();
    }
}

/// The parser of HTML pages.
pub struct Html;

impl Parser for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        html::is_html(input.head)
    }

    fn reads_whole(&self) -> bool {
        true
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(input.limits.cap_value_bytes, "page", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let mut pieces = Pieces::new(emit);
        html::read(&content, None, &mut pieces);
        pieces.finish();
        Outcome::parsed()
    }
}

/// The parser of Rich Text.
pub struct Rtf;

impl Parser for Rtf {
    fn name(&self) -> &'static str {
        "rtf"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        rtf::is_rtf(input.head)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(input.limits.cap_value_bytes, "text", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let mut pieces = Pieces::new(emit);
        let whole = rtf::read(&content, &mut pieces);
        pieces.finish();
        if whole { Outcome::parsed() } else { Outcome::partial("a text that is not whole") }
    }
}

/// The parser of the parts of new Office and OpenDocument packages.
pub struct OfficeXml;

impl Parser for OfficeXml {
    fn name(&self) -> &'static str {
        "office_xml"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        office_xml::is_part(input.head)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let mut pieces = Pieces::new(emit);
        let whole = match File::open(input.folder.join("main")) {
            Ok(file) => office_xml::read(input.head, BufReader::with_capacity(64 << 10, file), &mut pieces),
            Err(error) => {
                pieces.problem(Code::Unreadable, &format!("cannot be opened: {}", error.kind()));
                false
            }
        };
        pieces.finish();
        if whole { Outcome::parsed() } else { Outcome::partial("a document that could not be read whole") }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::evidence::Scratch;
    use model::Body;

    /// The texts of pieces with their names, as a reader puts them.
    pub fn sightings(bodies: &[Body]) -> Vec<(String, String, u64)> {
        let mut found: Vec<_> = bodies
            .iter()
            .filter_map(|body| if let Body::Sighting(sighting) = body { Some(sighting) } else { None })
            .map(|sighting| {
                let field = sighting.field.clone().unwrap_or_default();
                (sighting.observable.value.clone(), field, sighting.byte_offset.unwrap_or_default())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn pieces_past_what_is_gathered_keep_their_places() {
        let bodies = Scratch::new("a", b"x").run(|_, emit| {
            let mut pieces = Pieces::new(emit);
            for number in 0..3u64 {
                pieces.put(&format!("page {number}"), number, 1, &"x ".repeat(GATHERED / 3));
            }
            pieces.put("page 9", 9, 1, "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC");
            pieces.finish();
            let mut pieces = Pieces::within(pieces.emit, "part 2", (70, 7));
            pieces.put("page 1", 0, 1, "mail me@example.org");
            pieces.finish();
            Outcome::parsed()
        });
        let page = ("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC".to_owned(), "page 9".to_owned(), 9);
        assert_eq!(sightings(&bodies), [page, ("me@example.org".to_owned(), "part 2 page 1".to_owned(), 70)]);
    }
}
