//! Compound files (MS-CFB): documents of old Office and messages of Outlook, stream by stream.
//!
//! Their streams lie in sectors all over the file, and their texts may be of two bytes a character: each stream is put together and
//! searched. The texts of Word, Excel and PowerPoint stand unpacked in theirs. Streams of messages are read by [`crate::parse::mail`].

use super::inside::{self, Budget};
use crate::emit::{Emit, Part};
use crate::parse::mail::outlook;
use crate::parse::{Input, Outcome, Parser};
use model::Code;
use model::text::escape;
use std::io::{Cursor, Read};

/// First bytes of a compound file (MS-CFB, 2.2).
const MAGIC: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
/// Largest file that is read.
const FILE_MOST: u64 = 192 << 20;
/// Most streams of a file.
const STREAMS_MOST: usize = 20_000;

/// The parser of compound files.
pub struct Ole;

/// One stream.
pub struct Stream {
    /// Its path from the root, without the first slash.
    pub path: String,
    /// What is in it.
    pub content: Vec<u8>,
}

impl Parser for Ole {
    fn name(&self) -> &'static str {
        "ole"
    }

    fn version(&self) -> u32 {
        2
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        is_ole(input.head)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(FILE_MOST, "document", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let place = (0, content.len() as u64);
        let mut budget = Budget::of(input.limits);
        if read(&content, "", place, emit, &mut budget) {
            Outcome::parsed()
        } else {
            Outcome::partial("a compound file that could not be read whole")
        }
    }
}

/// Whether content is a compound file.
pub fn is_ole(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Reads a compound file; whether all of it could be read. `name` is what it is called inside of the item, if it is inside.
pub fn read(content: &[u8], name: &str, place: (u64, u64), emit: &mut Emit<'_>, budget: &mut Budget) -> bool {
    let before = if name.is_empty() { String::new() } else { format!("{name} ") };
    let (streams, whole) = streams(content, &before, emit, budget);
    if streams.iter().any(|stream| stream.path == "EncryptedPackage") {
        emit.problem(Code::Encrypted, format!("{before}needs the document's password"));
    }
    outlook::read(&streams, name, place, emit);
    for stream in streams.iter().filter(|stream| !outlook::is_text(stream)) {
        let name = format!("{before}stream {}", escape(&stream.path));
        let content = outlook::unpacked(stream, &name, emit);
        if !inside::read(&content, &name, place, emit, budget) {
            emit.decoded(Part { name: &name, offset: place.0, length: place.1 }, &content);
        }
    }
    whole
}

/// The streams of a file in the order of its directory, as far as they can be read.
fn streams(content: &[u8], before: &str, emit: &mut Emit<'_>, budget: &mut Budget) -> (Vec<Stream>, bool) {
    let mut damaged = |detail: String| emit.problem(Code::ContainerDamaged, format!("{before}{detail}"));
    let mut file = match cfb::CompoundFile::open(Cursor::new(content)) {
        Ok(file) => file,
        Err(error) => {
            damaged(format!("not a whole compound file: {}", escape(&error.to_string())));
            return (Vec::new(), false);
        }
    };
    let paths: Vec<_> =
        file.walk().filter(|entry| entry.is_stream() && !entry.is_empty()).map(|entry| entry.path().to_owned()).collect();
    let (mut streams, mut whole) = (Vec::new(), true);
    if paths.len() > STREAMS_MOST {
        whole = false;
        damaged(format!("{} streams, of which {STREAMS_MOST} are read", paths.len()));
    }
    for path in paths.iter().take(STREAMS_MOST) {
        let shown = path.to_string_lossy().trim_start_matches('/').to_owned();
        let (mut content, room) = (Vec::new(), budget.room());
        let result = file.open_stream(path).and_then(|stream| stream.take(room as u64).read_to_end(&mut content));
        if let Err(error) = result {
            whole = false;
            damaged(format!("stream {}: {}", escape(&shown), escape(&error.to_string())));
        }
        budget.spend(content.len());
        streams.push(Stream { path: shown, content });
    }
    (streams, whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Scratch, records};
    use crate::parse::document::tests::sightings;
    use model::record::Record;
    use std::path::Path;

    fn fixture(path: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)).expect("the fixture")
    }

    #[test]
    fn strings_of_a_workbook_are_searched() {
        let bodies = Scratch::new("book.xls", &fixture("ole/xls/input/book.xls")).parse(&Ole);
        let found = sightings(&bodies);
        for address in ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"] {
            assert!(found.iter().any(|(value, field, _)| value == address && field == "stream Workbook"), "{address}: {found:?}");
        }
    }

    /// What is in the message was read with the `extract_msg` package of Python.
    #[test]
    fn a_message_of_outlook_becomes_records() {
        let bodies = Scratch::new("a.msg", &fixture("ole/outlook/input/message.msg")).parse(&Ole);
        let records = records(&bodies);
        let texts: Vec<_> = records
            .iter()
            .filter_map(|record| if let Record::Message(message) = record { message.text.as_deref() } else { None })
            .collect();
        assert_eq!(texts.len(), 1);
        assert!(texts.iter().all(|text| text.starts_with("InBody_Email@email.com")), "{texts:?}");
        let names: Vec<_> = records
            .iter()
            .filter_map(|record| {
                if let Record::Attachment(file) = record { Some((file.name.as_deref(), file.sha256.is_some())) } else { None }
            })
            .collect();
        assert_eq!(names, [(Some("DOC.docx"), true), (Some("Attached_JPEG.jpg"), true)]);
        let found = sightings(&bodies);
        assert!(
            found.iter().any(|(_, field, _)| field.contains("word/document.xml")),
            "the attached document is searched: {found:?}"
        );
    }
}
