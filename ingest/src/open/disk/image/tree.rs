//! The tree of files of logical evidence (L01, Lx01): text that names files and where their content lies on the image's disk.
//!
//! Format: J. Metz, "Expert Witness Compression Format specification", section ltree, and version 2, "Serialized file object data". The
//! category `entry` has a line of tags, then for each node a line with its kind and how many nodes are in it, and a line of
//! values; what is in a node follows it. Lines are read by position: a tree takes no memory, however large.

use super::super::fields::{damaged, length, some};
use super::super::sink::{Found, Sink};
use super::super::stream::{Content, Run};
use super::super::volume::FileSystem;
use super::{Stored, ewf2_text};
use crate::evidence::Source;
use crate::open::{Damage, Trouble};
use md5::Digest;
use model::item::{FileTime, FileTimes};
use model::{Code, FileKind};
use std::io;

/// Bytes of a line that are read, and how many at a time.
const LINE_BYTES_MAX: u64 = 4 << 20;
const STEP: u64 = 16 << 10;
/// Folders inside folders.
const DEPTH_MAX: usize = 4096;
/// Lines before the tags of entries: other categories have few.
const LINES_MAX: usize = 100_000;

/// A tree.
pub struct Tree {
    text: Text,
    /// Tags of the values of an entry.
    tags: Vec<String>,
    /// First byte behind the line of tags.
    entries: u64,
}

/// UTF-16 in a stretch of a source.
struct Text {
    source: Source,
    start: u64,
    end: u64,
    big: bool,
}

impl Text {
    /// The line at a place, without its end, and where the next one begins; `None` at the end.
    fn line(&self, at: u64) -> io::Result<Option<(String, u64)>> {
        let mut bytes: Vec<u8> = Vec::new();
        let feed = if self.big { [0, 10] } else { [10, 0] };
        loop {
            let from = at.saturating_add(bytes.len() as u64);
            let more = some(&self.source, from, length(STEP.min(self.end.saturating_sub(from))))?;
            let searched = bytes.len();
            bytes.extend_from_slice(&more);
            let found = bytes.get(searched..).unwrap_or_default().as_chunks::<2>().0.iter().position(|unit| *unit == feed);
            if let Some(found) = found {
                let end = searched + found * 2;
                let line = self.decode(bytes.get(..end).unwrap_or_default());
                return Ok(Some((line, at.saturating_add(end as u64 + 2))));
            }
            if more.len() < 2 {
                return Ok((!bytes.is_empty()).then(|| (self.decode(&bytes), self.end)));
            }
            if bytes.len() as u64 > LINE_BYTES_MAX || !bytes.len().is_multiple_of(2) {
                return Err(damaged(&format!("line of the tree at byte {at} has no end")));
            }
        }
    }

    fn decode(&self, bytes: &[u8]) -> String {
        let text = ewf2_text::decode_as(self.big, bytes);
        text.strip_suffix('\r').map(str::to_owned).unwrap_or(text)
    }
}

/// A node with the values that matter.
struct Node {
    name: String,
    folder: bool,
    size: u64,
    times: FileTimes,
    deleted: bool,
    runs: Vec<Run>,
    stored: Stored,
}

/// Holds a tree against the MD5 that is stored of its bytes; zeros are none.
pub fn check(source: &Source, start: u64, bytes: u64, stored: &[u8]) -> io::Result<()> {
    let (mut at, end, mut sum) = (start, start.saturating_add(bytes), md5::Md5::new());
    while at < end && stored.iter().any(|byte| *byte != 0) {
        let block = some(source, at, length(STEP.min(end - at)))?;
        if block.is_empty() {
            break;
        }
        sum.update(&block);
        at = at.saturating_add(block.len() as u64);
    }
    if at > start && sum.finalize().as_slice() != stored {
        return Err(Damage::error(Code::ChecksumMismatch, "stored MD5 of the tree of files"));
    }
    Ok(())
}

/// Reads the beginning of a tree, as far as its entries: `bytes` of a source from `start`.
pub fn open(source: &Source, start: u64, bytes: u64) -> io::Result<Tree> {
    let mark = some(source, start, 2)?;
    let big = mark == [0xfe, 0xff];
    let marked = if big || mark == [0xff, 0xfe] { 2 } else { 0 };
    let text = Text { source: source.clone(), start: start + marked, end: start.saturating_add(bytes), big };
    let mut at = text.start;
    for _ in 0..LINES_MAX {
        let Some((line, next)) = text.line(at)? else { break };
        at = next;
        if line == "entry" {
            // How many there are, and the tags.
            let Some((_, next)) = text.line(at)? else { break };
            let Some((tags, next)) = text.line(next)? else { break };
            let tags: Vec<String> = tags.split('\t').map(str::to_owned).collect();
            if let Some(lacks) = ["n", "ls", "be"].iter().find(|tag| tags.iter().all(|known| known != *tag)) {
                return Err(damaged(&format!("the tree tells no {lacks:?} of its entries")));
            }
            return Ok(Tree { text, tags, entries: next });
        }
    }
    Err(damaged("the tree has no entries"))
}

impl Tree {
    /// The node whose values are a line.
    fn node(&self, line: &str) -> Node {
        let mut node = Node {
            name: String::new(),
            folder: false,
            size: 0,
            times: FileTimes::default(),
            deleted: false,
            runs: Vec::new(),
            stored: Stored::default(),
        };
        let mut copy = None;
        for (tag, value) in self.tags.iter().zip(line.split('\t')) {
            let number = || value.trim().parse::<u64>().ok();
            let time = || value.trim().parse().ok().filter(|seconds| *seconds != 0).map(|seconds| FileTime { seconds, nanos: 0 });
            match tag.as_str() {
                "n" => node.name = unescaped(value),
                "p" => node.folder = value.trim() == "1",
                "ls" => node.size = number().unwrap_or(0),
                "ha" => node.stored.md5 = hash(value, 32),
                "sha" => node.stored.sha1 = hash(value, 40),
                "be" => node.runs = extents(value),
                "du" => copy = number(),
                "cr" => node.times.created = time(),
                "wr" => node.times.modified = time(),
                "ac" => node.times.accessed = time(),
                "mo" => node.times.changed = time(),
                "dl" => node.deleted = time().is_some(),
                _ => {}
            }
        }
        // The same content as that of another file, which lies there.
        if let Some(at) = copy.filter(|_| node.runs.is_empty() && node.size > 0) {
            node.runs = vec![Run { at: Some(at), bytes: node.size }];
        }
        node
    }

    /// The node whose values begin at a place.
    fn node_at(&self, key: u64) -> io::Result<Node> {
        let (line, _) = self.text.line(key)?.ok_or_else(|| damaged("no such entry"))?;
        Ok(self.node(&line))
    }

    fn walk(&self, sink: &mut Sink<'_>) -> io::Result<()> {
        // Of each folder that is open: its path, and how many nodes are still to come in it.
        let mut open: Vec<(Vec<u8>, u64)> = Vec::new();
        let (mut at, mut first) = (self.entries, true);
        while let Some((kind, values)) = self.text.line(at)? {
            if kind.is_empty() || sink.is_full() {
                return Ok(());
            }
            let Some(children) = kind.split('\t').nth(1).and_then(|count| count.trim().parse::<u64>().ok()) else {
                return Err(damaged(&format!("node of the tree at byte {at} says {kind:?}")));
            };
            let Some((line, next)) = self.text.line(values)? else {
                return Err(damaged(&format!("node of the tree at byte {at} has no values")));
            };
            while open.last().is_some_and(|(_, left)| *left == 0) {
                open.pop();
            }
            let node = self.node(&line);
            let values_of = line.split('\t').count();
            if values_of != self.tags.len() {
                let detail = format!("node of the tree at byte {at}: {values_of} values, {} tags", self.tags.len());
                sink.trouble(Trouble::new(Code::ContainerDamaged, detail));
            }
            let root = first;
            first = false;
            let folder = open.last().map(|(path, _)| path.clone()).unwrap_or_default();
            if let Some((_, left)) = open.last_mut() {
                *left -= 1;
            } else if !root {
                sink.trouble(Trouble::new(Code::ContainerDamaged, format!("node of the tree at byte {at} is in no folder")));
            }
            let path = if root { Some(Vec::new()) } else { sink.path(&folder, node.name.as_bytes()) };
            if let Some(path) = path.filter(|_| !root) {
                self.push(sink, path, &node, values);
            }
            if children > 0 {
                if open.len() >= DEPTH_MAX {
                    return Err(damaged(&format!("folders of the tree nest deeper than {DEPTH_MAX} at byte {at}")));
                }
                let path = if root { Vec::new() } else { sink.path(&folder, node.name.as_bytes()).unwrap_or(folder) };
                open.push((path, children));
            }
            at = next;
        }
        Err(damaged("the tree ends inside of it"))
    }

    fn push(&self, sink: &mut Sink<'_>, path: Vec<u8>, node: &Node, key: u64) {
        let kind = (!node.folder).then_some(FileKind::File);
        let content = kind.map(|_| content_of(node));
        let found = Found { path, kind, size: node.size, times: node.times, deleted: node.deleted, ..Found::default() };
        sink.push(found, key, content.as_ref());
    }
}

impl FileSystem for Tree {
    fn list(&self, sink: &mut Sink<'_>) {
        if let Err(error) = self.walk(sink) {
            sink.trouble(Trouble::of(&error));
        }
    }

    fn content(&self, key: u64) -> Result<Content, Trouble> {
        let node = self.node_at(key).map_err(|error| Trouble::of(&error))?;
        Ok(content_of(&node))
    }

    fn stored(&self, key: u64) -> Stored {
        self.node_at(key).map(|node| node.stored).unwrap_or_default()
    }
}

/// A hash of so many digits; zeros stand for none.
fn hash(value: &str, digits: usize) -> Option<String> {
    let value = value.trim().to_ascii_lowercase();
    let set = value.bytes().any(|digit| digit != b'0');
    (set && value.len() == digits && value.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(value)
}

/// Where a file's content lies; what no extent names of it is lost.
fn content_of(node: &Node) -> Content {
    let named = node.runs.iter().map(|run| run.bytes).fold(0u64, u64::saturating_add);
    let mut runs = node.runs.clone();
    if named < node.size {
        runs.push(Run::lost(node.size - named));
    }
    Content::plain(runs, node.size)
}

/// Extents: how many, then first byte and bytes of each, in hexadecimal.
fn extents(value: &str) -> Vec<Run> {
    let numbers: Vec<u64> = value.split_whitespace().skip(1).map_while(|number| u64::from_str_radix(number, 16).ok()).collect();
    numbers.as_chunks::<2>().0.iter().map(|[at, bytes]| Run { at: Some(*at), bytes: *bytes }).collect()
}

/// A name with the line feeds, returns and tabs that were written as other characters.
fn unescaped(value: &str) -> String {
    let plain = |character| match character {
        '\u{1}' => '\n',
        '\u{2}' => '\r',
        '\u{3}' => '\t',
        other => other,
    };
    value.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::sink::tests::Taken;
    use super::*;

    /// A tree as text, in either order of bytes.
    fn tree(entries: &str, big: bool) -> io::Result<Tree> {
        let text = format!("2\r\nrec\r\ntb\r\n9\r\n\r\nentry\r\n0\t1\r\nn\tp\tls\tbe\tdu\r\n{entries}");
        let units = [0xfeff].into_iter().chain(text.encode_utf16());
        let bytes: Vec<u8> = units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
        let length = bytes.len() as u64;
        open(&Source::Memory([&b"xyz"[..], &bytes].concat().into()), 3, length)
    }

    fn listed(tree: &Tree) -> (Vec<(String, Option<Content>)>, Vec<Trouble>) {
        let mut taken = Taken::default();
        let mut sink = taken.sink();
        sink.cap_entries = 10;
        tree.list(&mut sink);
        let troubles = std::mem::take(&mut sink.troubles);
        let content = |at: &crate::open::disk::sink::At| match at {
            crate::open::disk::sink::At::File(_, key) => tree.content(*key).ok(),
            _ => None,
        };
        let found = taken.entries.iter().zip(&taken.places);
        (found.map(|(entry, at)| (String::from_utf8(entry.path.clone()).unwrap(), content(at))).collect(), troubles)
    }

    const ENTRIES: &str = "26\t2\r\n\t1\t\t\t\r\n26\t1\r\nDocs\t1\t\t\t\r\n26\t0\r\na\u{3}b\t\t300\t2 10 c8 400 64\t\r\n26\t0\r\nsame\t\t7\t\t32\r\n\r\n";

    #[test]
    fn nodes_in_folders_with_extents() {
        for big in [false, true] {
            let (found, troubles) = listed(&tree(ENTRIES, big).unwrap());
            let run = |at, bytes| Run { at: Some(at), bytes };
            let expected = [
                ("p1/Docs".to_owned(), None),
                ("p1/Docs/a\tb".to_owned(), Some(Content::plain(vec![run(0x10, 0xc8), run(0x400, 0x64)], 300))),
                ("p1/same".to_owned(), Some(Content::plain(vec![run(32, 7)], 7))),
            ];
            assert_eq!((found.as_slice(), troubles.len()), (expected.as_slice(), 0));
        }
    }

    #[test]
    fn what_is_cut_or_contradicts_itself_is_told() {
        for cut in 1..ENTRIES.len() - 3 {
            let Some(entries) = ENTRIES.get(..cut) else { continue };
            let Ok(tree) = tree(entries, false) else { continue };
            let (found, troubles) = listed(&tree);
            let lost = |content: &Option<Content>| content.as_ref().is_some_and(|content| content.runs.contains(&Run::lost(300)));
            assert!(!troubles.is_empty() || found.iter().any(|(_, content)| lost(content)) || cut + 9 > ENTRIES.len(), "{cut}");
        }
        let (found, troubles) = listed(&tree("26\t0\r\n\t1\t\t\t\r\n26\t0\r\nlone\t\t5\t1 0 2\t\r\n\r\n", false).unwrap());
        let content = Content::plain(vec![Run { at: Some(0), bytes: 2 }, Run::lost(3)], 5);
        assert_eq!((found[0].1.as_ref(), troubles[0].code), (Some(&content), Code::ContainerDamaged));
        assert!(tree("", false).is_err() || listed(&tree("", false).unwrap()).1.len() == 1);
        assert!(open(&Source::Memory((*b"nothing at all").into()), 0, 14).is_err());
    }
}
