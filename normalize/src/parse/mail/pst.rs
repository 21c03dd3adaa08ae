//! Mail stores of Outlook (PST and OST, MS-PST): messages, contacts, calendars and tasks by folder, with their attachments in any nesting,
//! and messages that no folder shows any more.
//!
//! Own code, because what there is gives up where a checksum or a page is wrong, and holds whole values without a bound. Here every
//! node is read by itself: what is damaged is told, and the rest goes on.

use super::mapi::names::Names;
use super::mapi::{self, Bag, Counts, Place};
use super::outlook::packed_rtf;
use crate::emit::{Emit, Part};
use crate::parse::document::inside::{self, Budget};
use crate::parse::document::{Pieces, html, rtf};
use crate::parse::{Input, Outcome, Parser};
use context::Values;
use file::{Node, Refused, Store};
use folders::Folders;
use model::text::escape;
use model::{Code, Locator, State};
use std::fs::File;

mod context;
mod crypt;
mod file;
mod folders;
mod heap;
mod lost;
pub mod shown;
mod sweep;
#[cfg(test)]
mod tests;
mod tree;

/// Kinds of nodes, the low five bits of their ids (2.2.2.1).
const KIND: u32 = 0x1f;
const FOLDER: u32 = 0x02;
const SEARCH_FOLDER: u32 = 0x03;
const MESSAGE: u32 = 0x04;
const ATTACHMENT: u32 = 0x05;
/// The table of who a message is for, and the kind of it.
const RECIPIENTS: u32 = 0x12;
/// The node of what numbers of properties stand for (2.4.7).
const NAMES: u32 = 0x61;
/// Messages inside messages that are followed.
const DEPTH_MOST: usize = 32;
/// Most people of a message.
const RECIPIENTS_MOST: usize = 100_000;
/// Attachments that are messages (`afEmbeddedMessage`; MS-OXCMSG, 2.2.2.9).
const EMBEDDED: u64 = 5;
/// The content of an attachment.
const CONTENT: u16 = 0x3701;
/// Texts and pages that are searched as what they are, or stand in the record.
const READ: &[u16] = &[0x1000, 0x1009, 0x1013, 0x0037, 0x007d];

/// The parser.
pub struct Pst;

/// A store that is read.
struct Reading<'r, 'e> {
    store: Store,
    names: Names,
    emit: &'r mut Emit<'e>,
    counts: Counts,
    budget: Budget,
    limits: &'r config::Normalize,
    /// Bytes of a value that are read.
    most: usize,
    whole: bool,
}

impl Parser for Pst {
    fn name(&self) -> &'static str {
        "pst"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        file::is_store(input.head)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let opened = File::open(input.folder.join("main")).map_err(Refused::Io).and_then(Store::open);
        let store = match opened {
            Ok(store) => store,
            Err(refused) => return refuse(refused, emit),
        };
        let most = usize::try_from(input.limits.cap_value_bytes).unwrap_or(usize::MAX);
        let budget = Budget::of(input.limits);
        let mut reading = Reading {
            store,
            names: Names::default(),
            emit,
            counts: Counts::default(),
            budget,
            limits: input.limits,
            most,
            whole: true,
        };
        reading.tell("store");
        reading.all();
        reading.counts.tell(reading.emit);
        if reading.whole { Outcome::parsed() } else { Outcome::partial("a store that could not be read whole") }
    }
}

fn refuse(refused: Refused, emit: &mut Emit<'_>) -> Outcome {
    match refused {
        Refused::Io(error) => {
            let detail = format!("reading failed: {}", error.kind());
            emit.problem(Code::Unreadable, detail.clone());
            Outcome::partial(detail)
        }
        Refused::Version(version) => {
            emit.problem(Code::Unsupported, format!("a store of version {version}"));
            Outcome::failed("a store of a version that is not known")
        }
        Refused::Encrypted(method) => {
            emit.problem(Code::Encrypted, format!("encryption method {method:#x}"));
            Outcome::locked("needs the key of Windows Information Protection")
        }
    }
}

impl Reading<'_, '_> {
    /// Reads all there is.
    fn all(&mut self) {
        let names = self.store.node(NAMES).and_then(|node| Values::open(&mut self.store, node.data, node.sub, self.most));
        if let Some(mut values) = names {
            let mut stream = |id| values.bytes(&mut self.store, id).unwrap_or_default();
            self.names = Names::read(&stream(2), &stream(3));
        }
        self.tell("names of properties");
        let stale = lost::find(&mut self.store);
        let folders = Folders::read(&mut self.store, self.most);
        self.tell("folders");
        let live: Vec<Node> = self.store.nodes.iter().filter(|node| node.nid & KIND == MESSAGE).copied().collect();
        for node in live {
            let state = if folders.shows(&self.store, node) { State::Live } else { State::Recovered };
            self.node(node, &folders, state);
        }
        for node in stale {
            self.node(node, &folders, State::Recovered);
        }
        sweep::rest(&mut self.store, self.emit);
        self.tell("rest");
    }

    /// Passes on what was damaged, with what was being read. Whether nothing was.
    fn tell(&mut self, what: &str) -> bool {
        let damage = self.store.damage();
        self.whole &= damage.is_empty();
        let sound = damage.is_empty();
        for (code, detail) in damage {
            self.emit.problem(code, format!("{what}: {detail}"));
        }
        sound
    }

    /// Reads a message of a folder.
    fn node(&mut self, node: Node, folders: &Folders, state: State) {
        let block = self.store.leaves(node.data).first().and_then(|bid| self.store.place(*bid));
        let range = block.map_or((0, 0), |block| (block.at, u64::from(block.size)));
        let root = format!("node/{}", node.nid);
        let (extra, status) = folders.of(node.parent);
        // One file inside of a message cannot use up what the next ones may unpack.
        self.budget = Budget::of(self.limits);
        let place = Place { root, range, state, extra, status };
        self.message(node.data, node.sub, place, 0);
    }

    fn message(&mut self, data: u64, sub: u64, place: Place, depth: usize) {
        let what = place.root.clone();
        let Some(mut values) = Values::open(&mut self.store, data, sub, self.most) else {
            self.tell(&what);
            // Of a message that is gone already nothing is missing.
            if place.state == State::Live {
                self.whole = false;
                self.emit.problem(Code::DocumentDamaged, format!("{what}: a message without properties"));
            }
            return;
        };
        let mut bag = values.bag(&mut self.store, &[]);
        bag.settle(None);
        let sound = self.tell(&what);
        if bag.is_empty() || (place.state == State::Recovered && !sound) {
            return;
        }
        let recipients = self.recipients(&mut values, &bag);
        let locator = mapi::put(&bag, &recipients, &self.names, &place, self.emit, &mut self.counts);
        self.texts(&bag, &place);
        drop(bag);
        let attachments: Vec<_> =
            values.subnodes.iter().filter(|(nid, _)| *nid & KIND == ATTACHMENT).map(|(nid, blocks)| (*nid, *blocks)).collect();
        for (nid, blocks) in attachments {
            self.attachment(nid, blocks, &place, &locator, depth);
        }
    }

    fn recipients(&mut self, values: &mut Values, message: &Bag<'_>) -> Vec<(String, Bag<'static>)> {
        let tables: Vec<_> =
            values.subnodes.iter().filter(|(nid, _)| *nid & KIND == RECIPIENTS).map(|(_, blocks)| *blocks).collect();
        let mut all = Vec::new();
        for (data, sub) in tables {
            let Some(mut table) = Values::open(&mut self.store, data, sub, self.most) else { continue };
            for (row, mut bag) in table.bags(&mut self.store, RECIPIENTS_MOST) {
                bag.settle(Some(message));
                all.push((format!("recipient/{row}"), bag));
            }
        }
        all
    }

    /// Has everything searched that the record does not hold.
    fn texts(&mut self, bag: &Bag<'_>, place: &Place) {
        let (from, length) = place.range;
        let name = |what: &str| format!("{} {what}", place.root);
        let page = bag.binary(0x1013).map(|bytes| bag.decoded(bytes)).or_else(|| bag.text(0x1013));
        if let Some(page) = page.filter(|_| bag.text(0x1000).is_some()) {
            let mut pieces = Pieces::within(self.emit, &name("page"), place.range);
            html::read(page.as_bytes(), Some(b"utf-8"), &mut pieces);
            pieces.finish();
        }
        if let Some(packed) = bag.binary(0x1009).filter(|packed| !packed.is_empty()) {
            let (text, whole) = packed_rtf::unpacked(packed);
            if !whole {
                self.emit.problem(Code::DocumentDamaged, format!("{}: its packed text is not whole", place.root));
            }
            let mut pieces = Pieces::within(self.emit, &name("text"), place.range);
            // What is not whole is told by the reader itself.
            let _whole = rtf::read(&text, &mut pieces);
            pieces.finish();
        }
        for (id, kind, value) in bag.all().filter(|(id, ..)| !READ.contains(id)) {
            if kind & 0xfff == mapi::WIDE || kind & 0xfff == mapi::NARROW || kind & 0xfff == mapi::BINARY {
                self.emit.decoded(Part { name: &name(&format!("property {id:04x}{kind:04x}")), offset: from, length }, value);
            }
        }
    }

    fn attachment(&mut self, nid: u32, (data, sub): (u64, u64), place: &Place, message: &Locator, depth: usize) {
        let at = format!("attachment/{nid}");
        let what = format!("{}/{at}", place.root);
        let Some(mut values) = Values::open(&mut self.store, data, sub, self.most) else {
            self.tell(&what);
            return;
        };
        let mut bag = values.bag(&mut self.store, &[CONTENT]);
        bag.settle(None);
        let embedded = bag.number(0x3705) == Some(EMBEDDED);
        let object = values.object(&mut self.store, CONTENT);
        let content = match object {
            _ if embedded => None,
            Some((data, _)) => Some(self.store.data(data, self.most).0),
            None => values.bytes(&mut self.store, CONTENT),
        };
        drop(values);
        self.tell(&what);
        mapi::put_attachment(&bag, content.as_deref(), place, &at, message, self.emit, &mut self.counts);
        self.texts(&bag, &Place { root: what.clone(), extra: Vec::new(), status: None, ..*place });
        if let Some(content) = content {
            let file =
                bag.text(0x3707).or_else(|| bag.text(0x3704)).map(|file| format!(" ({})", escape(&file))).unwrap_or_default();
            let name = format!("{what}{file}");
            if !inside::read(&content, &name, place.range, self.emit, &mut self.budget) {
                self.emit.decoded(Part { name: &name, offset: place.range.0, length: place.range.1 }, &content);
            }
        }
        match object.filter(|_| embedded) {
            Some((data, sub)) if depth < DEPTH_MOST => {
                let place = Place { root: what, extra: place.extra.clone(), status: place.status.clone(), ..*place };
                self.message(data, sub, place, depth + 1);
            }
            Some(_) => self.emit.problem(Code::CapDepth, format!("{what}: message inside is not read")),
            None if embedded => self.emit.problem(Code::Missing, format!("{what}: message inside is not there")),
            None => {}
        }
    }
}
