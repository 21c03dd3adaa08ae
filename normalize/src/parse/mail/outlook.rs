//! Messages of Outlook (`.msg`, MS-OXMSG): a compound file with a stream for each property, and a folder for each person, attachment
//! and message inside.

use super::mapi::names::Names;
use super::mapi::{self, Bag, Counts, NUMBERS, Place};
use crate::emit::Emit;
use crate::parse::document::ole::Stream;
use model::{Code, State};
use std::borrow::Cow;

pub mod packed_rtf;

/// The stream of properties of fixed length (2.4).
const PROPERTIES: &str = "__properties_version1.0";
/// Its 16 bytes for each property: tag, flags, value.
const ENTRY_BYTES: usize = 16;
/// How the name of a property's stream begins; number and kind follow.
const STREAM: &str = "__substg1.0_";
/// The folder of what numbers stand for (2.2.3).
const NAMES: &str = "__nameid_version1.0/";

/// The streams of one message: those whose paths begin so.
struct Properties<'s> {
    streams: &'s [Stream],
    prefix: String,
}

/// Puts the messages of a compound file, if it is one of messages. `name` is what it is called inside of the item, if it is inside.
pub fn read(streams: &[Stream], name: &str, place: (u64, u64), emit: &mut Emit<'_>) {
    let prefixes: Vec<String> = streams
        .iter()
        .filter_map(|stream| stream.path.strip_suffix(PROPERTIES))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with("__substg1.0_3701000D/"))
        .map(str::to_owned)
        .collect();
    if prefixes.is_empty() {
        return;
    }
    let map = Properties { streams, prefix: NAMES.to_owned() };
    let names = Names::read(map.binary("0002").unwrap_or_default(), map.binary("0003").unwrap_or_default());
    let mut counts = Counts::default();
    for prefix in prefixes {
        message(&Properties { streams, prefix }, &names, name, place, emit, &mut counts);
    }
    // Counts are told once for an item: what stands inside of it is told by its problems.
    if name.is_empty() {
        counts.tell(emit);
    }
}

/// Whether a stream is the text that the message's record has.
pub fn is_text(stream: &Stream) -> bool {
    ["__substg1.0_1000001F", "__substg1.0_1000001E"].iter().any(|name| stream.path.ends_with(name))
}

/// What is in a stream: a text that is packed as Outlook does is unpacked.
pub fn unpacked<'s>(stream: &'s Stream, name: &str, emit: &mut Emit<'_>) -> Cow<'s, [u8]> {
    // Names of properties stand in streams that are called like properties.
    if !stream.path.ends_with("__substg1.0_10090102") || stream.path.starts_with(NAMES) {
        return Cow::Borrowed(&stream.content);
    }
    let (content, whole) = packed_rtf::unpacked(&stream.content);
    if !whole {
        emit.problem(Code::DocumentDamaged, format!("{name}: its packed text is not whole"));
    }
    Cow::Owned(content)
}

impl<'s> Properties<'s> {
    fn binary(&self, id: &str) -> Option<&'s [u8]> {
        let path = format!("{}{STREAM}{id}0102", self.prefix);
        self.streams.iter().find(|stream| stream.path == path).map(|stream| stream.content.as_slice())
    }

    /// The properties of a folder of the message; of the message itself where it is empty.
    fn bag(&self, folder: &str, message: Option<&Bag<'_>>) -> Bag<'s> {
        let before = format!("{}{folder}", self.prefix);
        let mut bag = Bag::default();
        for stream in self.streams {
            let Some(rest) = stream.path.strip_prefix(&before) else { continue };
            if rest == PROPERTIES {
                let head = match (folder.is_empty(), self.prefix.is_empty()) {
                    (false, _) => 8,
                    (true, true) => 32,
                    (true, false) => 24,
                };
                fixed(stream.content.get(head..).unwrap_or_default(), &mut bag);
            } else if let Some((id, kind)) = rest.strip_prefix(STREAM).and_then(tag) {
                bag.put(id, kind, Cow::Borrowed(&stream.content));
            }
        }
        bag.settle(message);
        bag
    }

    /// The folders of that kind in the message, in order.
    fn folders(&self, kind: &str) -> Vec<String> {
        let mut folders: Vec<String> = self
            .streams
            .iter()
            .filter_map(|stream| stream.path.strip_prefix(self.prefix.as_str()))
            .filter(|rest| rest.starts_with(kind))
            .filter_map(|rest| rest.split_once('/').map(|(folder, _)| folder.to_owned()))
            .collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

/// Number and kind that the name of a stream ends with.
fn tag(name: &str) -> Option<(u16, u16)> {
    let (id, kind) = name.split_at_checked(4)?;
    u16::from_str_radix(id, 16).ok().zip(u16::from_str_radix(kind, 16).ok())
}

/// Takes the properties of fixed length.
fn fixed(entries: &'_ [u8], bag: &mut Bag<'_>) {
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        if let [a, b, c, d, _, _, _, _, value @ ..] = entry {
            let (kind, id) = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
            if NUMBERS.contains(&kind) {
                bag.put(id, kind, Cow::Owned(value.to_vec()));
            }
        }
    }
}

fn message(properties: &Properties<'_>, names: &Names, name: &str, range: (u64, u64), emit: &mut Emit<'_>, counts: &mut Counts) {
    let parts = [name, properties.prefix.trim_end_matches('/')];
    let root = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
    let place = Place { root, range, state: State::Live, extra: Vec::new(), status: None };
    let bag = properties.bag("", None);
    let recipients: Vec<_> = properties
        .folders("__recip_version1.0_")
        .into_iter()
        .map(|folder| {
            let bag = properties.bag(&format!("{folder}/"), Some(&bag));
            (folder, bag)
        })
        .collect();
    let locator = mapi::put(&bag, &recipients, names, &place, emit, counts);
    for folder in properties.folders("__attach_version1.0_") {
        let attachment = properties.bag(&format!("{folder}/"), Some(&bag));
        mapi::put_attachment(&attachment, attachment.binary(0x3701), &place, &folder, &locator, emit, counts);
    }
}
