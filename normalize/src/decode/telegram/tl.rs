//! Telegram's TL serialization (<https://core.telegram.org/mtproto/serialize>): objects that begin with the number of their constructor,
//! then have their fields one after the other; nothing in the bytes says what a field is, so the schema has to know every constructor.
//! Where it does not, what was read before stays.

use super::schema::{Constructor, Kind, Word, constructor};
use serde_json::{Map, Value as Json, json};

/// Objects in each other.
const DEPTH_MOST: usize = 48;
/// Values of one blob.
const VALUES_MOST: usize = 200_000;
/// Number of a vector.
const VECTOR: u32 = 0x1cb5_c415;

/// A value of a field.
#[derive(Clone, Debug)]
pub enum Value<'b> {
    /// A number.
    Integer(i64),
    /// A float.
    Double(f64),
    /// Text or bytes, as they are.
    Bytes(&'b [u8]),
    /// A bit that is set.
    Bit,
    /// Several values.
    Vector(Vec<Value<'b>>),
    /// An object.
    Object(Object<'b>),
}

/// An object: its constructor and those of its fields that are there.
#[derive(Clone, Debug)]
pub struct Object<'b> {
    /// Its constructor.
    pub form: &'static Constructor,
    fields: Vec<(&'static str, Value<'b>)>,
}

/// What was read of a blob.
#[derive(Debug)]
pub struct Reading<'b> {
    /// The object, as far as it could be read; `None` where not even its constructor is known.
    pub object: Option<Object<'b>>,
    /// Why it could not be read to its end.
    pub stop: Option<String>,
    /// What follows it.
    pub rest: &'b [u8],
}

/// Reads one object of a type.
pub fn read<'b>(bytes: &'b [u8], of: &str) -> Reading<'b> {
    let mut reader = Reader { bytes, at: 0, values: 0, stop: None };
    let object = reader.object(of, 0);
    let rest = if reader.stop.is_none() { bytes.get(reader.at..).unwrap_or_default() } else { &[] };
    Reading { object, stop: reader.stop, rest }
}

/// Reads a text that stands alone: its bytes, and what follows.
pub fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader { bytes, at: 0, values: 0, stop: None };
    let text = reader.text()?;
    Some((text, bytes.get(reader.at..).unwrap_or_default()))
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    values: usize,
    stop: Option<String>,
}

impl<'b> Reader<'b> {
    /// Remembers the first reason to stop.
    fn stop<T>(&mut self, reason: impl FnOnce(usize) -> String) -> Option<T> {
        let at = self.at;
        self.stop.get_or_insert_with(|| reason(at));
        None
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let bytes = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end));
        match bytes {
            Some(bytes) => {
                self.at += length;
                Some(bytes)
            }
            None => self.stop(|at| format!("ends inside a value at byte {at}")),
        }
    }

    fn word(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn long(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// A length of one byte, or 254 and a length of three; the bytes; zeros up to a multiple of four.
    fn text(&mut self) -> Option<&'b [u8]> {
        let first = self.take(1)?.first().copied()?;
        let (length, head) = match first {
            254 => match self.take(3)? {
                [a, b, c] => (usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16, 4),
                _ => return None,
            },
            255 => return self.stop(|at| format!("no length at byte {}", at.saturating_sub(1))),
            short => (usize::from(short), 1),
        };
        let bytes = self.take(length)?;
        self.take((4 - (head + length) % 4) % 4)?;
        Some(bytes)
    }

    fn object(&mut self, of: &str, depth: usize) -> Option<Object<'b>> {
        let start = self.at;
        let number = self.word()?;
        let form = match constructor(number) {
            Some(form) if form.of == of => form,
            _ => {
                self.at = start;
                return self.stop(|at| format!("constructor {number:08x} at byte {at} is no known {of}"));
            }
        };
        if depth > DEPTH_MOST {
            return self.stop(|at| format!("nested too deeply at byte {at}"));
        }
        let (mut object, mut flags) = (Object { form, fields: Vec::new() }, [0_u32; 2]);
        for field in &form.fields {
            if let Some((word, bit)) = field.when {
                let set = match (word, flags) {
                    (Word::First, [first, _]) => first,
                    (Word::Second, [_, second]) => second,
                };
                if set.checked_shr(bit).unwrap_or(0) & 1 == 0 {
                    continue;
                }
            }
            if let Kind::Flags(word) = field.kind {
                let Some(read) = self.word() else { break };
                let [first, second] = &mut flags;
                *(if word == Word::First { first } else { second }) = read;
                continue;
            }
            if let Some(value) = self.value(&field.kind, depth) {
                object.fields.push((field.name, value));
            }
            if self.stop.is_some() {
                break;
            }
        }
        Some(object)
    }

    fn value(&mut self, kind: &Kind, depth: usize) -> Option<Value<'b>> {
        self.values += 1;
        if self.values > VALUES_MOST {
            return self.stop(|at| format!("more values than any message at byte {at}"));
        }
        match kind {
            Kind::Flags(_) | Kind::Int => self.word().map(|word| Value::Integer(i64::from(word.cast_signed()))),
            Kind::Long => self.long().map(|long| Value::Integer(long.cast_signed())),
            Kind::Double => self.long().map(|long| Value::Double(f64::from_bits(long))),
            Kind::Text | Kind::Bytes => self.text().map(Value::Bytes),
            Kind::Bit => Some(Value::Bit),
            Kind::Of(of) => self.object(of, depth + 1).map(Value::Object),
            Kind::Vector(inner, numbered) => self.vector(inner, *numbered, depth),
        }
    }

    /// What of a vector could be read stays.
    fn vector(&mut self, inner: &Kind, numbered: bool, depth: usize) -> Option<Value<'b>> {
        if numbered && self.word()? != VECTOR {
            return self.stop(|at| format!("no vector at byte {}", at.saturating_sub(4)));
        }
        let count = self.word()? as usize;
        // Each value takes four bytes at least.
        if count > self.bytes.len().saturating_sub(self.at) / 4 {
            return self.stop(|at| format!("a vector of {count} values at byte {at}"));
        }
        let mut values = Vec::new();
        for _ in 0..count {
            values.extend(self.value(inner, depth));
            if self.stop.is_some() {
                break;
            }
        }
        Some(Value::Vector(values))
    }
}

impl<'b> Object<'b> {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value<'b>> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// Whether a bit or `Bool` is set.
    pub fn has(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bit) => true,
            Some(Value::Object(object)) => object.form.name == "boolTrue",
            _ => false,
        }
    }

    /// A number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Integer(number) => Some(*number),
            Value::Double(number) if number.abs() < 9e15 => Some(*number as i64),
            _ => None,
        }
    }

    /// A float.
    pub fn double(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// Text or bytes that are not empty.
    pub fn bytes(&self, name: &str) -> Option<&'b [u8]> {
        match self.get(name)? {
            Value::Bytes(bytes) if !bytes.is_empty() => Some(bytes),
            _ => None,
        }
    }

    /// A text that is not empty; what is not UTF-8 in it is replaced.
    pub fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// An object.
    pub fn object(&self, name: &str) -> Option<&Object<'b>> {
        match self.get(name)? {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The objects of a vector.
    pub fn objects(&self, name: &str) -> impl Iterator<Item = &Object<'b>> {
        let values = match self.get(name) {
            Some(Value::Vector(values)) => values.as_slice(),
            _ => &[],
        };
        values.iter().filter_map(|value| if let Value::Object(object) = value { Some(object) } else { None })
    }

    /// Everything in it, but for the fields of those names: its constructor as `_`, bytes that are no text as hexadecimal digits.
    pub fn json(&self, without: &[&str]) -> Json {
        let mut map = Map::new();
        map.insert("_".to_owned(), json!(self.form.name));
        for (name, value) in self.fields.iter().filter(|(name, _)| !without.contains(name)) {
            map.insert((*name).to_owned(), value.json(without));
        }
        Json::Object(map)
    }
}

impl Value<'_> {
    fn json(&self, without: &[&str]) -> Json {
        match self {
            Value::Integer(number) => json!(number),
            Value::Double(number) => json!(number),
            Value::Bit => json!(true),
            Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => json!(text),
                Err(_) => json!(crate::decode::base64::hex(bytes)),
            },
            Value::Vector(values) => values.iter().map(|value| value.json(without)).collect(),
            Value::Object(object) if object.form.of == "Bool" => json!(object.form.name == "boolTrue"),
            Value::Object(object) => object.json(without),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `peerUser` of layer 133 with the id 7, and a text behind it.
    const PEER: &[u8] = &[0x22, 0x17, 0x51, 0x59, 7, 0, 0, 0, 0, 0, 0, 0, 2, b'h', b'i', 0];

    #[test]
    fn an_object_and_what_follows_it() {
        let reading = read(PEER, "Peer");
        assert_eq!(reading.object.unwrap().integer("user_id"), Some(7));
        assert_eq!(reading.stop, None);
        assert_eq!(text(reading.rest), Some((&b"hi"[..], &b""[..])));
        let wrong = read(PEER, "Message");
        assert!(wrong.object.is_none() && wrong.stop.unwrap().contains("59511722 at byte 0"));
    }

    #[test]
    fn what_is_cut_keeps_what_came_before() {
        for end in 0..12 {
            let reading = read(&PEER[..end], "Peer");
            assert!(reading.stop.is_some(), "{end}");
            assert_eq!(reading.object.is_some(), end >= 4, "{end}");
        }
    }

    #[test]
    fn a_length_of_three_bytes() {
        let mut long = vec![254, 0x2c, 1, 0];
        long.extend([b'x'; 300]);
        assert_eq!(text(&long).unwrap().0.len(), 300);
        assert_eq!(text(&long[..303]), None);
        assert_eq!(text(&[255, 0, 0, 0]), None);
    }
}
