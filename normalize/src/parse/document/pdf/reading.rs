//! What a document holds, object by object.

use super::super::Pieces;
use super::super::inside::{self, Budget};
use super::End;
use super::filter::{self, Decoded};
use super::text::{self, Known};
use crate::emit::Part;
use hayro_syntax::object::{Array, Dict, MaybeRef, Name, Object, ObjectIdentifier, Stream};
use hayro_syntax::page::Page;
use hayro_syntax::{Filter, Pdf};
use memchr::memmem;
use model::Code;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Largest unpacked stream.
pub const STREAM_MOST: usize = 64 << 20;
/// Operators of all content streams.
const OPERATORS_MOST: u64 = 50_000_000;
/// Text of one page.
const PAGE_MOST: usize = 16 << 20;
/// Earlier states of a file that are read.
const STATES_MOST: usize = 16;
/// Depth of values inside an object.
const VALUES_MOST: usize = 24;
/// The mark at the end of each state of a file (PDF 32000-1, 7.5.5).
const END_MARK: &[u8] = b"%%EOF";

/// Reads a document and its earlier states.
pub fn read(pdf: &Pdf, content: &Arc<Vec<u8>>, pieces: &mut Pieces<'_, '_>, budget: &mut Budget) -> End {
    let known = Known::new(text_budget());
    let mut reading =
        Reading { pieces, budget, prefix: String::new(), known, seen: HashSet::new(), names: HashSet::new(), whole: true };
    reading.document(pdf);
    if memmem::rfind(content, END_MARK).is_none() {
        reading.trouble(Code::Truncated, "ends without its end mark");
    }
    reading.earlier(content, &states(content));
    if reading.whole { End::Whole } else { End::Partial }
}

/// What may be read of content streams.
pub fn text_budget() -> text::Budget {
    text::Budget { operators: OPERATORS_MOST, text_bytes: PAGE_MOST, stream_bytes: STREAM_MOST }
}

/// The file as it was at the end of an earlier state.
struct State {
    content: Arc<Vec<u8>>,
    end: usize,
}

impl AsRef<[u8]> for State {
    fn as_ref(&self) -> &[u8] {
        self.content.get(..self.end).unwrap_or_default()
    }
}

struct Reading<'p, 'e, 'u> {
    pieces: &'p mut Pieces<'e, 'u>,
    budget: &'p mut Budget,
    /// Put before names: which earlier state is read.
    prefix: String,
    known: Known<'static>,
    /// Hashes of texts that were put: an earlier state repeats most of the later.
    seen: HashSet<u64>,
    /// Names that were given.
    names: HashSet<String>,
    whole: bool,
}

impl Reading<'_, '_, '_> {
    fn trouble(&mut self, code: Code, detail: &str) {
        self.whole = false;
        self.pieces.problem(code, &format!("{}{detail}", self.prefix));
    }

    /// Whether that was not put before.
    fn is_new(&mut self, content: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        self.seen.insert(hasher.finish()) || self.prefix.is_empty()
    }

    fn put(&mut self, name: &str, place: (u64, u64), text: &str) {
        if !self.is_new(text.as_bytes()) {
            return;
        }
        // Keys may be made so that two ways look like one.
        let mut name = format!("{}{name}", self.prefix);
        while !self.names.insert(name.clone()) {
            name.push('\'');
        }
        self.pieces.put(&name, place.0, place.1, text);
    }

    fn document(&mut self, pdf: &Pdf) {
        for (number, page) in (1..).zip(pdf.pages().iter()) {
            self.page(pdf, number, page);
        }
        for (number, object) in (1..).zip(pdf.objects()) {
            match &object {
                Object::Stream(stream) => self.stream(pdf, stream),
                Object::Dict(dict) => {
                    let name = dict.obj_id().map_or_else(|| format!("value {number}"), object_name);
                    self.values(&name, place(pdf, dict.data()), &object, 0);
                }
                object => self.values(&format!("value {number}"), (0, pdf.data().as_ref().len() as u64), object, 0),
            }
        }
        if self.known.budget.operators == 0 {
            self.trouble(Code::CapValue, &format!("more than {OPERATORS_MOST} operators in its pages"));
        }
        for (id, trouble) in std::mem::take(&mut self.known.damaged) {
            self.trouble(Code::DocumentDamaged, &format!("{}: {trouble}", object_name(id)));
        }
    }

    /// What earlier states of the file hold that the last does not.
    fn earlier(&mut self, content: &Arc<Vec<u8>>, ends: &[usize]) {
        let linear = content.get(..1024).is_some_and(|head| memmem::find(head, b"/Linearized").is_some());
        // Of a file in the order of a web page the first mark ends no state, and the last ends the file.
        let ends = ends.split_last().map(|(_, rest)| rest).unwrap_or_default();
        let ends = if linear { ends.get(1..).unwrap_or_default() } else { ends };
        if ends.len() > STATES_MOST {
            let detail = format!("{} earlier states of the file, of which the last {STATES_MOST} are read", ends.len());
            self.trouble(Code::CapEntries, &detail);
        }
        for (number, end) in (1..).zip(ends).skip(ends.len().saturating_sub(STATES_MOST)) {
            let state = Arc::new(State { content: Arc::clone(content), end: *end });
            if let Ok(pdf) = Pdf::new(state) {
                self.prefix = format!("state {number} ");
                self.known = Known::new(text::Budget { operators: self.known.budget.operators, ..text_budget() });
                self.document(&pdf);
            }
        }
        self.prefix.clear();
    }

    fn page(&mut self, pdf: &Pdf, number: usize, page: &Page<'_>) {
        let raw = page.raw();
        let streams: Vec<Stream<'_>> = match raw.get::<Stream<'_>>("Contents") {
            Some(one) => vec![one],
            None => match raw.get::<Array<'_>>("Contents") {
                Some(list) => {
                    let streams: Vec<_> = list.iter::<Stream<'_>>().collect();
                    if streams.len() < list.raw_iter().count() {
                        self.trouble(Code::Missing, &format!("page {number}: part of its content is not there"));
                    }
                    streams
                }
                None if raw.contains_key("Contents") => {
                    self.trouble(Code::Missing, &format!("page {number}: its content is not there"));
                    Vec::new()
                }
                None => Vec::new(),
            },
        };
        let mut content = Vec::new();
        let (mut first, mut last) = (u64::MAX, 0);
        for stream in &streams {
            let decoded = self.decoded(stream);
            content.extend_from_slice(&decoded.bytes);
            content.push(b'\n');
            let (offset, length) = place(pdf, stream.dict().data());
            (first, last) = (first.min(offset), last.max(offset + length));
            self.known.shown.insert(stream.obj_id());
        }
        let resources = resources(page);
        let text = self.known.text(&content, &resources);
        if text.len() >= PAGE_MOST {
            self.trouble(Code::CapValue, &format!("page {number}: more than {PAGE_MOST} bytes of text"));
        }
        self.put(&format!("page {number}"), (first.min(last), last.saturating_sub(first)), &text);
    }

    /// Takes the filters off, and tells what went wrong.
    fn decoded<'s>(&mut self, stream: &Stream<'s>) -> Decoded<'s> {
        let decoded = filter::decoded(stream, STREAM_MOST.min(self.budget.left()));
        let name = object_name(stream.obj_id());
        if decoded.capped {
            self.trouble(Code::CapBytes, &format!("{name}: unpacks to more than is read of it"));
        }
        if let Some(trouble) = decoded.trouble {
            self.trouble(Code::DocumentDamaged, &format!("{name}: {trouble}"));
        }
        self.budget.spend(decoded.bytes.len());
        decoded
    }

    fn stream(&mut self, pdf: &Pdf, stream: &Stream<'_>) {
        let dict = stream.dict();
        let (name, place) = (object_name(stream.obj_id()), place(pdf, dict.data()));
        self.values(&name, place, &Object::Dict(dict.clone()), 0);
        let is = |key: &str, word: &[u8]| dict.get::<Name<'_>>(key).is_some_and(|name| &*name == word);
        // Tables of objects, and objects that come by themselves.
        let structure = is("Type", b"XRef") || is("Type", b"ObjStm");
        let bitmap = is("Subtype", b"Image") && !stream.filters().iter().any(|filter| matches!(filter, Filter::DctDecode));
        if structure || bitmap || self.known.shown.contains(&stream.obj_id()) {
            return;
        }
        let decoded = self.decoded(stream);
        if !self.is_new(&decoded.bytes) {
            return;
        }
        if is("Subtype", b"Form") || shows_text(&decoded.bytes) {
            let resources = dict.get::<Dict<'_>>("Resources").unwrap_or_else(Dict::empty);
            let text = self.known.text(&decoded.bytes, &resources);
            self.put(&name, place, &text);
        } else {
            self.inside(&name, place, &decoded.bytes);
        }
    }

    /// A file inside, or anything else that is no page.
    fn inside(&mut self, name: &str, place: (u64, u64), bytes: &[u8]) {
        let name = self.pieces.full_name(&format!("{}{name}", self.prefix));
        let place = self.pieces.full_place(place);
        if !inside::read(bytes, &name, place, self.pieces.emit, self.budget) {
            self.pieces.emit.decoded(Part { name: &name, offset: place.0, length: place.1 }, bytes);
        }
    }

    /// The strings of an object, each by the way to it.
    fn values(&mut self, name: &str, place: (u64, u64), value: &Object<'_>, depth: usize) {
        if depth > VALUES_MOST {
            self.trouble(Code::CapDepth, &format!("{name}: values inside are not read"));
            return;
        }
        match value {
            Object::String(bytes) => {
                if let Some(text) = string_text(bytes) {
                    self.put(name, place, &text);
                }
            }
            Object::Dict(dict) => {
                for (key, value) in dict.entries() {
                    if let MaybeRef::NotRef(value) = value {
                        self.values(&format!("{name} /{}", model::text::escape(key.as_str())), place, &value, depth + 1);
                    }
                }
            }
            Object::Array(list) => {
                for (number, value) in list.raw_iter().enumerate() {
                    if let MaybeRef::NotRef(value @ (Object::String(_) | Object::Dict(_) | Object::Array(_))) = value {
                        self.values(&format!("{name}/{number}"), place, &value, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Ends of the states of a file: marks whose table of objects stands where the words before them say. One of a file inside does not.
fn states(content: &[u8]) -> Vec<usize> {
    let is_state = |end: &usize| {
        let before = content.get(end.saturating_sub(1024)..*end).unwrap_or_default();
        let word = b"startxref";
        let behind = memmem::rfind(before, word).and_then(|at| before.get(at.saturating_add(word.len())..));
        let digits: Vec<u8> =
            behind.unwrap_or_default().trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit()).copied().collect();
        let offset = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse::<usize>().ok());
        let table = offset.and_then(|offset| content.get(offset..*end)).unwrap_or_default().trim_ascii_start();
        let head = table.get(..32).unwrap_or(table);
        head.starts_with(b"xref") || head.first().is_some_and(u8::is_ascii_digit) && memmem::find(head, b" obj").is_some()
    };
    memmem::find_iter(content, END_MARK).map(|at| at.saturating_add(END_MARK.len())).filter(is_state).collect()
}

/// The resources of a page, as one dictionary: its own, else what its parents give.
fn resources<'a>(page: &Page<'a>) -> Dict<'a> {
    let mut dict = page.raw().clone();
    // Parents may stand in a circle.
    for _ in 0..64 {
        if let Some(resources) = dict.get::<Dict<'_>>("Resources") {
            return resources;
        }
        match dict.get::<Dict<'_>>("Parent") {
            Some(parent) => dict = parent,
            None => break,
        }
    }
    Dict::empty()
}

/// `object 12`, with its generation where it has one.
fn object_name(id: ObjectIdentifier) -> String {
    match id.gen_number {
        0 => format!("object {}", id.obj_number),
        generation => format!("object {}.{generation}", id.obj_number),
    }
}

/// Where bytes of the file stand in it; the whole file for what was packed with other objects.
fn place(pdf: &Pdf, bytes: &[u8]) -> (u64, u64) {
    let data = pdf.data().as_ref();
    let start = (bytes.as_ptr() as usize).checked_sub(data.as_ptr() as usize);
    match start.filter(|start| start.saturating_add(bytes.len()) <= data.len()) {
        Some(start) => (start as u64, bytes.len() as u64),
        None => (0, data.len() as u64),
    }
}

/// Whether bytes are a content stream that shows text: of patterns, glyphs and forms whose dictionary does not say so.
pub fn shows_text(bytes: &[u8]) -> bool {
    let has = |word: &[u8]| memmem::find(bytes, word).is_some();
    has(b"BT") && has(b"ET") && (has(b"Tj") || has(b"TJ"))
}

/// The text of a string: UTF-16 or UTF-8 by its mark, else Latin letters (7.9.2.2). `None` for bytes that are no text.
fn string_text(bytes: &[u8]) -> Option<String> {
    let text = match bytes {
        [0xfe, 0xff, rest @ ..] => encoding_rs::UTF_16BE.decode_without_bom_handling(rest).0.into_owned(),
        [0xff, 0xfe, rest @ ..] => encoding_rs::UTF_16LE.decode_without_bom_handling(rest).0.into_owned(),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        bytes => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
        },
    };
    let odd = text.chars().filter(|letter| letter.is_control() && !letter.is_whitespace()).count();
    (text.trim().len() > 4 && odd * 4 < text.chars().count()).then_some(text)
}
