//! New Office documents (OOXML, ECMA-376) and OpenDocument (OASIS ODF 1.3): the XML parts of their packages, which are items of their
//! own because a package is a zip archive.
//!
//! A paragraph's text stands in as many runs as it has changes of style, spelling marks or saves, so the scan of raw bytes misses what
//! is split: here the runs of a paragraph, cell or shared string are joined. Deleted text of tracked changes counts. Elements are known
//! by their local names; nothing is built, so neither depth nor length costs memory.

use super::Pieces;
use model::Code;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::io::BufRead;

/// Namespaces of the parts, as they stand in the root element.
const NAMESPACES: &[&[u8]] = &[
    b"http://schemas.openxmlformats.org/wordprocessingml/",
    b"http://schemas.openxmlformats.org/spreadsheetml/",
    b"http://schemas.openxmlformats.org/presentationml/",
    b"http://schemas.openxmlformats.org/drawingml/",
    b"http://schemas.openxmlformats.org/package/2006/relationships",
    b"http://purl.oclc.org/ooxml/",
];
const OPEN_DOCUMENT: &[u8] = b"urn:oasis:names:tc:opendocument:xmlns:office:1.0";
/// Where the root element stands.
const ROOT_WITHIN: usize = 4 << 10;
/// Blocks inside blocks (a text box in a paragraph); text of deeper ones counts for the last.
const BLOCKS_MOST: usize = 64;
/// Bytes of text of one block.
const TEXT_MOST: usize = 16 << 20;
/// Attributes that hold addresses or text that is shown.
const ATTRIBUTES: &[&[u8]] =
    &[b"Target", b"href", b"descr", b"title", b"tooltip", b"display", b"instr", b"location", b"string-value", b"formula"];

/// Whether content is a part of such a document.
pub fn is_part(head: &[u8]) -> bool {
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = start.get(..start.len().min(ROOT_WITHIN)).unwrap_or_default();
    let has = |name: &[u8]| memchr::memmem::find(start, name).is_some();
    start.trim_ascii_start().starts_with(b"<") && (has(OPEN_DOCUMENT) || NAMESPACES.iter().any(|name| has(name)))
}

/// How a part tells text from the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// In `t`, `delText`, `v`, … only.
    Ooxml,
    /// Everywhere in a paragraph.
    OpenDocument,
}

/// A paragraph, cell or string that is open.
struct Open {
    name: String,
    offset: u64,
    text: String,
}

struct Flow<'f, 'e, 'u> {
    pieces: &'f mut Pieces<'e, 'u>,
    dialect: Dialect,
    open: Vec<Open>,
    /// Blocks that are open beyond those.
    over: usize,
    /// Whether text here is of the document, and whether it is a field's code, which is split like text but stands between it.
    text: Option<bool>,
    /// Phonetic guides repeat what stands beside them.
    phonetic: usize,
    code: String,
    paragraphs: u64,
    attributes: u64,
    cut: bool,
    foreign: bool,
}

/// Puts the text of a part. False: it ends early or is damaged.
pub fn read(head: &[u8], content: impl BufRead, pieces: &mut Pieces<'_, '_>) -> bool {
    let start = head.get(..head.len().min(ROOT_WITHIN)).unwrap_or_default();
    let dialect = if memchr::memmem::find(start, OPEN_DOCUMENT).is_some() { Dialect::OpenDocument } else { Dialect::Ooxml };
    let mut flow = Flow {
        pieces,
        dialect,
        open: Vec::new(),
        over: 0,
        text: None,
        phonetic: 0,
        code: String::new(),
        paragraphs: 0,
        attributes: 0,
        cut: false,
        foreign: false,
    };
    let (end, damage) = flow.read(&mut Reader::from_reader(content));
    while !flow.open.is_empty() {
        flow.close(end);
    }
    if let Some(damage) = &damage {
        flow.pieces.problem(Code::DocumentDamaged, damage);
    }
    if flow.cut {
        flow.pieces.problem(Code::CapValue, &format!("text past {TEXT_MOST} bytes of one paragraph"));
    }
    if flow.foreign {
        flow.pieces.problem(Code::DocumentDamaged, "entities of its own, which are not expanded");
    }
    damage.is_none() && !flow.cut && !flow.foreign
}

impl Flow<'_, '_, '_> {
    /// Reads to the end; where that is, and what is damaged there.
    fn read(&mut self, reader: &mut Reader<impl BufRead>) -> (u64, Option<String>) {
        let (mut buffer, mut depth) = (Vec::new(), 0u64);
        loop {
            buffer.clear();
            let before = reader.buffer_position();
            match reader.read_event_into(&mut buffer) {
                Ok(Event::Start(element)) => {
                    depth = depth.saturating_add(1);
                    self.start(&element, before, false);
                }
                Ok(Event::Empty(element)) => {
                    self.start(&element, before, true);
                    self.end(element.local_name().as_ref(), reader.buffer_position());
                }
                Ok(Event::End(element)) => {
                    depth = depth.saturating_sub(1);
                    self.end(element.local_name().as_ref(), reader.buffer_position());
                }
                Ok(Event::Text(text)) => self.take(&String::from_utf8_lossy(&text)),
                Ok(Event::CData(text)) => self.take(&String::from_utf8_lossy(&text)),
                Ok(Event::GeneralRef(reference)) => {
                    let name = String::from_utf8_lossy(&reference).into_owned();
                    match (reference.resolve_char_ref(), quick_xml::escape::resolve_predefined_entity(&name)) {
                        (Ok(Some(character)), _) => self.take(character.encode_utf8(&mut [0; 4])),
                        (_, Some(text)) => self.take(text),
                        _ => self.foreign = true,
                    }
                }
                Ok(Event::Eof) if depth == 0 => return (before, None),
                Ok(Event::Eof) => return (before, Some(format!("ends inside an element at byte {before}"))),
                Ok(_) => {}
                Err(_) => return (before, Some(format!("no XML at byte {}", reader.error_position()))),
            }
        }
    }

    fn start(&mut self, element: &BytesStart<'_>, offset: u64, empty: bool) {
        self.attributes(element, offset);
        let name = element.local_name();
        match name.as_ref() {
            b"p" | b"h" | b"si" | b"c" | b"comment" => self.begin(name.as_ref(), element, offset),
            b"t" | b"delText" | b"v" | b"f" if self.dialect == Dialect::Ooxml => self.text = (!empty).then_some(false),
            b"instrText" | b"delInstrText" if self.dialect == Dialect::Ooxml => self.text = (!empty).then_some(true),
            b"rPh" => self.phonetic = self.phonetic.saturating_add(1),
            b"tab" => self.push("\t"),
            b"br" | b"cr" | b"line-break" => self.push("\n"),
            b"noBreakHyphen" => self.push("-"),
            b"s" if self.dialect == Dialect::OpenDocument => self.push(" "),
            _ => {}
        }
    }

    fn begin(&mut self, kind: &[u8], element: &BytesStart<'_>, offset: u64) {
        self.paragraphs = self.paragraphs.saturating_add(1);
        if self.open.len() >= BLOCKS_MOST {
            self.over = self.over.saturating_add(1);
            return;
        }
        let named = || {
            let found = element.try_get_attribute("r").ok().flatten()?;
            let short = found.value.len() <= 16 && found.value.iter().all(u8::is_ascii_alphanumeric);
            short.then(|| format!("cell {}", String::from_utf8_lossy(&found.value)))
        };
        let what = match kind {
            b"c" => "cell",
            b"si" => "string",
            _ => "paragraph",
        };
        let name = (kind == b"c").then(named).flatten().unwrap_or_else(|| format!("{what} {}", self.paragraphs));
        self.open.push(Open { name, offset, text: String::new() });
    }

    fn end(&mut self, name: &[u8], position: u64) {
        match name {
            b"p" | b"h" | b"si" | b"c" | b"comment" if self.over > 0 => self.over -= 1,
            b"p" | b"h" | b"si" | b"c" | b"comment" => self.close(position),
            b"t" | b"delText" | b"instrText" | b"delInstrText" => self.text = None,
            b"v" | b"f" => {
                self.text = None;
                // A cell's formula and its value stand side by side.
                self.push("\n");
            }
            b"rPh" => self.phonetic = self.phonetic.saturating_sub(1),
            _ => {}
        }
    }

    fn close(&mut self, position: u64) {
        let Some(open) = self.open.pop() else { return };
        let length = position.saturating_sub(open.offset);
        self.pieces.put(&open.name, open.offset, length, &open.text);
        let code = std::mem::take(&mut self.code);
        self.pieces.put(&format!("{} field", open.name), open.offset, length, &code);
    }

    fn take(&mut self, text: &str) {
        match (self.dialect, self.text) {
            _ if self.phonetic > 0 => {}
            (Dialect::OpenDocument, _) | (_, Some(false)) => self.push(text),
            (_, Some(true)) if self.code.len().saturating_add(text.len()) <= TEXT_MOST => self.code.push_str(text),
            (_, Some(true)) => self.cut = true,
            (Dialect::Ooxml, None) => {}
        }
    }

    fn push(&mut self, text: &str) {
        let Some(open) = self.open.last_mut() else { return };
        if open.text.len().saturating_add(text.len()) > TEXT_MOST {
            self.cut = true;
            return;
        }
        open.text.push_str(text);
    }

    fn attributes(&mut self, element: &BytesStart<'_>, offset: u64) {
        for attribute in element.attributes().with_checks(false) {
            let Ok(attribute) = attribute else { return };
            if ATTRIBUTES.contains(&attribute.key.local_name().as_ref())
                && let Ok(value) = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0)
            {
                self.attributes = self.attributes.saturating_add(1);
                let name = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
                self.pieces.put(&format!("{name} {}", self.attributes), offset, element.len() as u64, &value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::OfficeXml;
    use super::super::tests::sightings;
    use crate::evidence::{Scratch, problems};

    const WORD: &str = "<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body>";

    fn values(path: &str, content: &str) -> Vec<(String, String)> {
        let bodies = Scratch::new(path, content.as_bytes()).parse(&OfficeXml);
        assert_eq!(problems(&bodies), []);
        sightings(&bodies).into_iter().map(|(value, field, _)| (value, field)).collect()
    }

    #[test]
    fn runs_of_a_paragraph_are_joined() {
        let text = format!(
            "{WORD}<w:p><w:r><w:t>To TJRyWwFs9</w:t></w:r><w:proofErr/><w:r><w:t>wTFGZg3JbrVriFb</w:t></w:r><w:r><w:delText>NfCug5tDeC</w:delText></w:r></w:p>\
             <w:p><w:r><w:t>a@</w:t></w:r></w:p><w:p><w:r><w:instrText> HYPERLINK \"mailto:b@exam</w:instrText></w:r><w:r><w:instrText>ple.org\" </w:instrText></w:r>\
             <w:r><w:t>x</w:t></w:r></w:p></w:body></w:document>"
        );
        let found = values("word/document.xml", &text);
        assert_eq!(
            found,
            [
                ("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC".to_owned(), "paragraph 1".to_owned()),
                ("b@example.org".to_owned(), "paragraph 3 field".to_owned())
            ]
        );
    }

    #[test]
    fn cells_and_shared_strings_have_their_names() {
        let sheet = "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData><row><c r=\"B7\" t=\"inlineStr\">\
            <is><r><t>me&#64;</t></r><r><t>example.org</t></r></is></c><c r=\"C7\"><f>HYPERLINK(\"https://example.net/a\")</f><v>1</v></c></row></sheetData></worksheet>";
        let found = values("xl/worksheets/sheet1.xml", sheet);
        assert!(found.contains(&("me@example.org".to_owned(), "cell B7".to_owned())));
        assert!(found.contains(&("https://example.net/a".to_owned(), "cell C7".to_owned())));
        let strings = "<sst xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><si><t>x</t></si><si><r><t>you@ex</t></r>\
            <rPh><t>ZZ</t></rPh><r><t>ample.org</t></r></si></sst>";
        assert_eq!(values("xl/sharedStrings.xml", strings), [("you@example.org".to_owned(), "string 2".to_owned())]);
        let relations = "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
            <Relationship Target=\"https://example.net/?a=1&amp;b=2\"/></Relationships>";
        assert_eq!(values("a.rels", relations), [("https://example.net/?a=1&b=2".to_owned(), "Target 1".to_owned())]);
    }

    #[test]
    fn open_document_text_is_joined() {
        let text = "<office:document-content xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\"><text:p>to <text:span>one@exa</text:span>\
            <text:span>mple.org</text:span><text:s text:c=\"2\"/>or<text:line-break/>x</text:p><text:a xlink:href=\"https://example.net/b\"/></office:document-content>";
        let found = values("content.xml", text);
        assert!(found.contains(&("one@example.org".to_owned(), "paragraph 1".to_owned())));
        assert!(found.contains(&("https://example.net/b".to_owned(), "href 1".to_owned())));
    }

    #[test]
    fn hostile_parts_end_with_problems() {
        let bomb = format!(
            "<!DOCTYPE x [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>{WORD}<w:p><w:r><w:t>&b; me@example.org</w:t></w:r></w:p></w:body></w:document>"
        );
        let bodies = Scratch::new("word/document.xml", bomb.as_bytes()).parse(&OfficeXml);
        assert_eq!(problems(&bodies), [("document_damaged", "entities of its own, which are not expanded")]);
        assert_eq!(sightings(&bodies).len(), 1);
        let deep = format!("{WORD}{}", "<w:p>".repeat(300_000));
        let bodies = Scratch::new("word/document.xml", deep.as_bytes()).parse(&OfficeXml);
        assert_eq!(problems(&bodies)[0].0, "document_damaged");
        let wrong = format!("{WORD}<w:p><w:r><w:t>me@example.org</w:r></w:p>");
        let bodies = Scratch::new("word/document.xml", wrong.as_bytes()).parse(&OfficeXml);
        assert_eq!((problems(&bodies)[0].0, sightings(&bodies).len()), ("document_damaged", 1));
    }
}
