//! A value of a small JSON document with its place: members are found on demand, nothing is built.
//!
//! A JSON text inside a string (as redux-persist writes them) is decoded and walked in turn; its values have the place of that string.

use model::Locator;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A key as a step of a JSON pointer (RFC 6901).
pub fn pointer_step(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A value: its text, its pointer and its range in the item.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    text: &'a str,
    pointer: String,
    offset: u64,
    /// Range of the outer string, for what was decoded from one.
    fixed: Option<u64>,
}

impl<'a> Node<'a> {
    /// The root of a document whose first byte is at `offset` of the item.
    pub fn root(text: &'a str, offset: u64) -> Node<'a> {
        let start = text.len() - text.trim_start().len();
        Node { text: text.trim(), pointer: String::new(), offset: offset.saturating_add(start as u64), fixed: None }
    }

    /// The root of a document that was decoded from a string or block: every value has that place.
    pub fn inside(text: &'a str, pointer: &str, (offset, length): (u64, u64)) -> Node<'a> {
        Node { text: text.trim(), pointer: pointer.to_owned(), offset, fixed: Some(length) }
    }

    fn child(&self, name: &str, raw: &'a RawValue) -> Node<'a> {
        let text = raw.get();
        // The raw value is a slice of this text.
        let start = (text.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let offset = if self.fixed.is_some() { self.offset } else { self.offset.saturating_add(start as u64) };
        Node { text, pointer: format!("{}/{}", self.pointer, pointer_step(name)), offset, fixed: self.fixed }
    }

    /// The value as it is written.
    pub fn raw(&self) -> &'a str {
        self.text
    }

    /// Its place.
    pub fn place(&self) -> Locator {
        let (pointer, offset) = (self.pointer.clone(), self.offset);
        Locator::Pointer { pointer, offset, length: self.range().1 }
    }

    /// First byte and length in the item.
    pub fn range(&self) -> (u64, u64) {
        (self.offset, self.fixed.unwrap_or(self.text.len() as u64))
    }

    /// Its pointer.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Members of an object in their order, repeated names too; empty for anything else.
    pub fn members(&self) -> Vec<(String, Node<'a>)> {
        let Ok(Members(members)) = serde_json::from_str(self.text) else { return Vec::new() };
        members.into_iter().map(|(name, raw)| (name.clone(), self.child(&name, raw))).collect()
    }

    /// Elements of an array; empty for anything else.
    pub fn elements(&self) -> Vec<Node<'a>> {
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(self.text) else { return Vec::new() };
        elements.into_iter().enumerate().map(|(number, raw)| self.child(&number.to_string(), raw)).collect()
    }

    /// The member of that name (the last of several).
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        self.members().into_iter().rev().find(|(found, _)| found == name).map(|(_, node)| node)
    }

    /// The member at the end of a path.
    pub fn at(&self, path: &[&str]) -> Option<Node<'a>> {
        path.iter().try_fold(self.clone(), |node, name| node.get(name))
    }

    /// Its text, if it is a string.
    pub fn string(&self) -> Option<String> {
        serde_json::from_str(self.text).ok()
    }

    /// A string or number as text.
    pub fn scalar(&self) -> Option<String> {
        self.string().or_else(|| serde_json::from_str::<serde_json::Number>(self.text).ok().map(|number| number.to_string()))
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.text.starts_with('{')
    }

    /// Whether the whole text is JSON.
    pub fn is_valid(&self) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(self.text).is_ok()
    }
}

/// An object's members in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Members<'de>, A::Error> {
                Err(serde::de::Error::custom("an array"))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_place() {
        let text = "  {\"a\": {\"b/c\": [1, \"two\"]}, \"a\": {\"b/c\": [true]}}";
        let root = Node::root(text, 10);
        let list = &root.members()[0].1.get("b/c").unwrap();
        let two = &list.elements()[1];
        assert_eq!((two.string().as_deref(), two.pointer()), (Some("two"), "/a/b~1c/1"));
        let (offset, length) = two.range();
        assert_eq!(&text[offset as usize - 10..][..length as usize], "\"two\"");
        assert_eq!(root.get("a").unwrap().raw(), "{\"b/c\": [true]}", "the last of that name");
        assert!(root.is_valid() && root.is_object() && !list.is_object());
        assert_eq!(root.at(&["a", "b/c"]).unwrap().elements().len(), 1);
    }

    #[test]
    fn what_is_inside_a_string_has_its_place() {
        let inner = Node::inside("{\"x\": 7}", "/engine", (5, 40));
        let x = inner.get("x").unwrap();
        assert_eq!((x.scalar().as_deref(), x.range(), x.pointer()), (Some("7"), (5, 40), "/engine/x"));
    }

    #[test]
    fn damage_has_no_members() {
        for text in ["", "{", "{\"a\":", "[1,", "nul"] {
            let root = Node::root(text, 0);
            assert!(root.members().is_empty() && root.elements().is_empty() && !root.is_valid(), "{text}");
        }
    }
}
