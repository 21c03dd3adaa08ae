//! XML property lists (Apple's `PropertyList-1.0.dtd`), laid out flat. Entities that a document declares itself are not expanded,
//! and nothing it names is fetched.

use super::{DEPTH, Value};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// One element.
struct Node {
    /// Its name.
    tag: Vec<u8>,
    /// The key that stands before it, in a dictionary.
    key: Option<String>,
    /// Its text.
    text: String,
    /// The element around it.
    parent: usize,
    /// Where what it holds begins and ends.
    range: (u64, u64),
}

/// Every element, each behind the one that it lies in; the first is `plist`.
pub struct Document(Vec<Node>);

impl Document {
    /// Lays a document out; `None` if it is no property list, is cut off or nests too deep.
    pub fn read(content: &[u8]) -> Option<Document> {
        let mut reader = Reader::from_reader(content);
        let mut nodes: Vec<Node> = Vec::new();
        let (mut open, mut key) = (Vec::new(), None);
        loop {
            let before = reader.buffer_position();
            let event = reader.read_event().ok()?;
            let after = reader.buffer_position();
            match event {
                Event::Start(start) => {
                    let parent = open.last().copied().unwrap_or_default();
                    if open.is_empty() && (!nodes.is_empty() || start.name().as_ref() != b"plist") || open.len() > DEPTH {
                        return None;
                    }
                    open.push(nodes.len());
                    let tag = start.name().as_ref().to_vec();
                    let key = if tag == b"key" { None } else { key.take() };
                    nodes.push(Node { tag, key, text: String::new(), parent, range: (after, after) });
                }
                Event::Empty(empty) => {
                    let tag = empty.name().as_ref().to_vec();
                    let parent = *open.last()?;
                    nodes.push(Node { tag, key: key.take(), text: String::new(), parent, range: (before, after) });
                }
                Event::Text(text) => match open.last() {
                    Some(at) => nodes.get_mut(*at)?.text.push_str(&String::from_utf8_lossy(&text)),
                    None => continue,
                },
                Event::CData(text) => nodes.get_mut(*open.last()?)?.text.push_str(&String::from_utf8_lossy(&text)),
                Event::GeneralRef(reference) => {
                    let text = &mut nodes.get_mut(*open.last()?)?.text;
                    match reference.resolve_char_ref().ok()? {
                        Some(character) => text.push(character),
                        None => text.push_str(resolve_predefined_entity(std::str::from_utf8(&reference).ok()?)?),
                    }
                }
                Event::End(_) => {
                    let ended = nodes.get_mut(open.pop()?)?;
                    ended.range.1 = before;
                    if ended.tag == b"key" {
                        key = Some(ended.text.clone());
                    }
                }
                Event::Eof => return (open.is_empty() && !nodes.is_empty()).then_some(Document(nodes)),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => {}
            }
        }
    }

    /// The value at a path.
    pub fn get(&self, path: &[&str]) -> Option<Value> {
        self.scalar(self.find(path)?)
    }

    /// Where what an element at a path holds lies.
    pub fn place(&self, path: &[&str]) -> Option<(u64, u64)> {
        let (start, end) = self.find(path)?.range;
        Some((start, end.checked_sub(start)?))
    }

    /// What the container at a path holds, as steps.
    pub fn steps(&self, path: &[&str], most: usize) -> Vec<String> {
        let Some(at) = self.index(path) else { return Vec::new() };
        match self.0.get(at).map(|node| node.tag.as_slice()) {
            Some(b"dict") => {
                let keys = self.children(at).filter_map(|child| self.0.get(child)?.key.clone());
                keys.take(most).collect()
            }
            Some(b"array") => (0..self.children(at).take(most).count()).map(|index| index.to_string()).collect(),
            _ => Vec::new(),
        }
    }

    fn find(&self, path: &[&str]) -> Option<&Node> {
        self.0.get(self.index(path)?)
    }

    fn index(&self, path: &[&str]) -> Option<usize> {
        let mut at = self.children(0).next()?;
        for step in path.iter().take(DEPTH) {
            at = match self.0.get(at)?.tag.as_slice() {
                b"dict" => {
                    self.children(at).find(|child| self.0.get(*child).is_some_and(|node| node.key.as_deref() == Some(*step)))
                }
                b"array" => self.children(at).nth(step.parse().ok()?),
                _ => None,
            }?;
        }
        Some(at)
    }

    /// Visits every value in the order of the document.
    pub fn each(&self, visit: &mut dyn FnMut(&[String], Value, (u64, u64))) {
        // Of each element its step, and how many elements without a key stood in it before.
        let mut steps: Vec<String> = Vec::with_capacity(self.0.len());
        let mut counts = vec![0_usize; self.0.len()];
        for (at, node) in self.0.iter().enumerate() {
            let step = match (&node.key, counts.get_mut(node.parent)) {
                (Some(key), _) => key.clone(),
                (None, Some(count)) if node.tag != b"key" => {
                    *count = count.saturating_add(1);
                    count.saturating_sub(1).to_string()
                }
                _ => String::new(),
            };
            steps.push(step);
            let Some(value) = self.scalar(node) else { continue };
            let (mut keys, mut walked) = (Vec::new(), at);
            // The first element is the list itself, the second its only value.
            while walked > 1 && keys.len() <= DEPTH {
                let (Some(step), Some(inner)) = (steps.get(walked), self.0.get(walked)) else { break };
                keys.push(step.clone());
                walked = inner.parent;
            }
            keys.reverse();
            visit(&keys, value, (node.range.0, node.range.1.saturating_sub(node.range.0)));
        }
    }

    fn children(&self, parent: usize) -> impl Iterator<Item = usize> {
        let all = self.0.iter().enumerate().skip(parent.saturating_add(1));
        all.filter(move |(_, node)| node.parent == parent && node.tag != b"key").map(|(at, _)| at)
    }

    fn scalar(&self, node: &Node) -> Option<Value> {
        let text = node.text.trim();
        Some(match node.tag.as_slice() {
            b"string" => Value::Text(node.text.clone()),
            b"integer" => Value::Integer(text.parse().ok()?),
            b"real" => Value::Real(text.parse().ok()?),
            b"true" => Value::Bool(true),
            b"false" => Value::Bool(false),
            b"date" => Value::Iso(text.to_owned()),
            b"data" => Value::Data(base64(text)?),
            _ => return None,
        })
    }
}

/// RFC 4648 §4 with white space between; `None` for any other character.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for character in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let six = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 & 0xffff | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.extend((bits >> held).to_le_bytes().first());
        }
    }
    Some(bytes)
}
