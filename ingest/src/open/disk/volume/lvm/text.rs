//! LVM's text: names with values (numbers, texts, lists of them), and sections of such in braces.

use super::super::super::fields::damaged;
use std::io;

/// Sections inside sections, and values of a text.
const DEPTH_MAX: usize = 16;
const VALUES_MAX: usize = 1 << 20;

/// A section.
#[derive(Debug, Default)]
pub struct Node {
    values: Vec<(String, Vec<String>)>,
    nodes: Vec<(String, Node)>,
}

impl Node {
    /// The sections in it, in order.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(name, node)| (name.as_str(), node))
    }

    /// A section of a name; for a value, an empty one that says it is there.
    pub fn get(&self, name: &str) -> Option<&Node> {
        const VALUE: &Node = &Node { values: Vec::new(), nodes: Vec::new() };
        let node = self.nodes.iter().find(|(known, _)| known == name).map(|(_, node)| node);
        node.or_else(|| self.values.iter().any(|(known, _)| known == name).then_some(VALUE))
    }

    /// The values of a name.
    pub fn list(&self, name: &str) -> &[String] {
        self.values.iter().find(|(known, _)| known == name).map_or(&[], |(_, list)| list)
    }

    /// The first value of a name as text; empty if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.list(name).first().map_or("", String::as_str)
    }

    /// The first value of a name as a number; 0 if there is none.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }
}

#[derive(Debug, PartialEq)]
enum Word {
    Text(String),
    Sign(char),
}

/// Reads a text.
pub fn parse(text: &str) -> io::Result<Node> {
    let wrong = |what: &str| damaged(&format!("text of the metadata: {what}"));
    let mut open: Vec<(String, Node)> = vec![(String::new(), Node::default())];
    let (mut name, mut list, mut value, mut count) = (None::<String>, None::<Vec<String>>, false, 0);
    for word in words(text) {
        count += 1;
        if count > VALUES_MAX {
            return Err(wrong("more values than any has"));
        }
        match word {
            Word::Sign('{') => {
                let name = name.take().ok_or_else(|| wrong("a section without a name"))?;
                if open.len() >= DEPTH_MAX {
                    return Err(wrong("sections nest too deep"));
                }
                open.push((name, Node::default()));
            }
            Word::Sign('}') => {
                let (closed, inner) = (open.pop(), open.last_mut());
                let (Some((name, node)), Some((_, outer))) = (closed, inner) else { return Err(wrong("a brace too many")) };
                outer.nodes.push((name, node));
            }
            Word::Sign('=') => value = true,
            Word::Sign('[') if value => list = Some(Vec::new()),
            Word::Sign(']') => {
                if let (Some(name), Some(list), Some((_, node))) = (name.take(), list.take(), open.last_mut()) {
                    node.values.push((name, list));
                }
                value = false;
            }
            Word::Text(text) => match (&mut list, value) {
                (Some(list), _) => list.push(text),
                (None, true) => {
                    if let (Some(name), Some((_, node))) = (name.take(), open.last_mut()) {
                        node.values.push((name, vec![text]));
                    }
                    value = false;
                }
                (None, false) => name = Some(text),
            },
            Word::Sign(_) => {}
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some((_, root)), true) => Ok(root),
        _ => Err(wrong("it ends inside a section")),
    }
}

/// The words of a text, without its remarks.
fn words(text: &str) -> impl Iterator<Item = Word> {
    let mut left = text.trim_end_matches('\0').chars().peekable();
    std::iter::from_fn(move || {
        loop {
            let first = left.next()?;
            match first {
                '#' => while left.next_if(|character| *character != '\n').is_some() {},
                '{' | '}' | '[' | ']' | '=' | ',' => return Some(Word::Sign(first)),
                '"' => {
                    let mut word = String::new();
                    while let Some(character) = left.next().filter(|character| *character != '"') {
                        word.push(if character == '\\' { left.next()? } else { character });
                    }
                    return Some(Word::Text(word));
                }
                _ if first.is_whitespace() => {}
                _ => {
                    let mut word = String::from(first);
                    while let Some(character) =
                        left.next_if(|character| !character.is_whitespace() && !"{}[]=,#\"".contains(*character))
                    {
                        word.push(character);
                    }
                    return Some(Word::Text(word));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_values_lists_and_remarks() {
        let text = "vg {\n# a remark {\nid = \"a-\\\"b\"\nextent_size = 8192 # 4 MiB\nflags = []\nlv { segment1 { stripes = [\"pv0\", 5] } }\n}\ncontents = \"x\"\n\0";
        let root = parse(text).unwrap();
        let group = root.get("vg").unwrap();
        assert_eq!((group.text("id"), group.number("extent_size"), group.list("flags").len()), ("a-\"b", 8192, 0));
        let segment = group.get("lv").unwrap().get("segment1").unwrap();
        assert_eq!(segment.list("stripes"), ["pv0", "5"]);
        assert_eq!(root.text("contents"), "x");
        for wrong in ["a {", "}", "{", &"a {".repeat(50)] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
