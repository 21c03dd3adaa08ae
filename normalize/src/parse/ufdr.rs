//! Cellebrite reports: `report.xml` of a UFDR. What Physical Analyzer decoded (chats, messages, contacts, calls, accounts, pages, places,
//! notes, applications, passwords) becomes records that say so: their definition is `ufdr`, and what it held for deleted is `recovered`.
//!
//! Format: namespace `http://pa.cellebrite.com/report/2.0`, as Physical Analyzer 7 to 10 writes it. Models hold fields, and models
//! in fields. They are read one at a time; a chat's messages are told as they come, so a report of any size fits.

use crate::emit::Emit;
use crate::parse::xml::attribute_or_told;
use crate::parse::{Input, Outcome, Parser};
use model::{Code, Locator, State};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use records::Told;
use std::fs::File;
use std::io::BufReader;

mod device;
mod models;
mod records;
#[cfg(test)]
mod tests;

/// Elements inside elements.
const DEPTH_MAX: usize = 64;
/// Models and bytes of text that one model of a report may hold.
const MODELS_MAX: usize = 10_000;
const TEXT_MAX: usize = 64 << 20;

/// The parser.
pub struct Ufdr;

impl Parser for Ufdr {
    fn name(&self) -> &'static str {
        "ufdr"
    }

    fn version(&self) -> u32 {
        2
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let start = input.head.get(..input.head.len().min(4 << 10)).unwrap_or_default();
        let has = |text: &[u8]| memchr::memmem::find(start, text).is_some();
        has(b"<project") && has(b"pa.cellebrite.com/report")
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let mut reading =
            Reading { told: Told::new(emit), open: Vec::new(), field: Vec::new(), held: 0, text: String::new(), item: None };
        let ended = match File::open(input.folder.join("main")) {
            Ok(file) => reading.read(&mut Reader::from_reader(BufReader::with_capacity(256 << 10, file))),
            Err(error) => Err((Code::Unreadable, format!("cannot be opened: {}", error.kind()))),
        };
        let told = reading.told;
        match ended {
            Ok(()) => {
                told.finish();
                Outcome::parsed()
            }
            Err((code, detail)) => {
                told.emit.problem(code, detail.clone());
                told.finish();
                Outcome::partial(detail)
            }
        }
    }
}

/// A decoded model.
#[derive(Default, Debug)]
pub struct Model {
    /// `Chat`, `InstantMessage`, `Party`, …
    pub kind: String,
    /// Its GUID.
    pub id: String,
    /// What the report says of deletion.
    pub state: State,
    /// Where it stands in the report.
    pub offset: u64,
    /// Bytes of it; 0 until its end was read.
    pub length: u64,
    /// Values by the name of their field, in order.
    pub fields: Vec<(String, String)>,
    /// Models by the name of their field, in order.
    pub models: Vec<(String, Model)>,
    /// Whether its own record was told.
    pub told: bool,
}

impl Model {
    /// The first value of a field; an empty one is none.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The models of a field.
    pub fn inner<'m>(&'m self, names: &'m [&str]) -> impl Iterator<Item = &'m Model> {
        self.models.iter().filter(|(field, _)| names.contains(&field.as_str())).map(|(_, model)| model)
    }

    /// Its place in the report.
    pub fn place(&self) -> Locator {
        Locator::Bytes { offset: self.offset, length: self.length }
    }
}

/// An element that is open.
#[derive(PartialEq)]
enum Open {
    Model,
    /// A field, with its name.
    Field,
    Value,
    /// A section of facts of the device or extraction.
    Section(bool),
    Item,
    Other,
}

struct Reading<'r, 'e> {
    told: Told<'r, 'e>,
    /// Elements that are open, and how far it is from the outermost.
    open: Vec<(Open, u64)>,
    /// Names of the fields that are open.
    field: Vec<String>,
    /// Bytes of text held.
    held: usize,
    text: String,
    /// Name and offset of the fact that is open.
    item: Option<(String, u64)>,
}

type Ended = Result<(), (Code, String)>;

impl Reading<'_, '_> {
    fn read(&mut self, reader: &mut Reader<BufReader<File>>) -> Ended {
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let before = reader.buffer_position();
            let event = reader.read_event_into(&mut buffer);
            let damaged = |what: &str, at: u64| (Code::DocumentDamaged, format!("{what} at byte {at}"));
            match event {
                Ok(Event::Start(element)) => self.start(&element, before)?,
                Ok(Event::Empty(element)) => {
                    self.start(&element, before)?;
                    self.end(reader.buffer_position());
                }
                Ok(Event::End(_)) => self.end(reader.buffer_position()),
                Ok(Event::Text(text)) => self.take(&String::from_utf8_lossy(&text))?,
                Ok(Event::CData(text)) => self.take(&String::from_utf8_lossy(&text))?,
                Ok(Event::GeneralRef(reference)) => {
                    let name = String::from_utf8_lossy(&reference).into_owned();
                    match (reference.resolve_char_ref(), quick_xml::escape::resolve_predefined_entity(&name)) {
                        (Ok(Some(character)), _) => self.take(character.encode_utf8(&mut [0; 4]))?,
                        (_, Some(text)) => self.take(text)?,
                        _ => return Err(damaged("an entity of the report's own", before)),
                    }
                }
                Ok(Event::Eof) if self.open.is_empty() => return Ok(()),
                Ok(Event::Eof) => return Err((Code::Truncated, format!("the report ends inside an element at byte {before}"))),
                Ok(_) => {}
                Err(_) => return Err(damaged("no XML", reader.error_position())),
            }
        }
    }

    fn start(&mut self, element: &BytesStart<'_>, offset: u64) -> Ended {
        if self.open.len() >= DEPTH_MAX {
            return Err((Code::CapDepth, format!("elements nest deeper than {DEPTH_MAX} at byte {offset}")));
        }
        let emit = &mut self.told.emit;
        let mut attribute = |name| attribute_or_told(element, name, offset, emit).unwrap_or_default();
        let kind = match element.local_name().as_ref() {
            b"model" => {
                let state = if attribute("deleted_state") == "Deleted" { State::Recovered } else { State::Live };
                let model = Model { kind: attribute("type"), id: attribute("id"), state, offset, ..Model::default() };
                self.told.begin(model, self.field.last().cloned());
                Open::Model
            }
            b"field" | b"modelField" | b"multiModelField" | b"multiField" => {
                self.field.push(attribute("name"));
                Open::Field
            }
            b"value" => Open::Value,
            b"metadata" => Open::Section(true),
            b"item" if self.open.iter().any(|(open, _)| *open == Open::Section(true)) && self.told.stack.is_empty() => {
                self.item = Some((attribute("name"), offset));
                Open::Item
            }
            _ => Open::Other,
        };
        if kind == Open::Value || kind == Open::Item {
            self.text.clear();
        }
        self.open.push((kind, offset));
        Ok(())
    }

    fn take(&mut self, text: &str) -> Ended {
        if matches!(self.open.last(), Some((Open::Value | Open::Item, _))) {
            self.held = self.held.saturating_add(text.len());
            if self.held > TEXT_MAX {
                return Err((Code::CapValue, format!("a model holds more than {TEXT_MAX} bytes of text")));
            }
            self.text.push_str(text);
        }
        Ok(())
    }

    fn end(&mut self, position: u64) {
        let Some((kind, _)) = self.open.pop() else { return };
        match kind {
            Open::Model => {
                if self.told.end(position) {
                    self.held = 0;
                }
            }
            Open::Field => drop(self.field.pop()),
            Open::Value => {
                let text = std::mem::take(&mut self.text);
                if let (Some(name), Some(model)) = (self.field.last(), self.told.stack.last_mut())
                    && !text.is_empty()
                {
                    model.1.fields.push((name.clone(), text));
                }
            }
            Open::Item => {
                if let Some((name, offset)) = self.item.take() {
                    let text = std::mem::take(&mut self.text);
                    self.held = 0;
                    self.told.fact(&name, text.trim(), offset, position);
                }
            }
            Open::Section(_) | Open::Other => {}
        }
    }
}
