//! The coding of Postbox objects: values one after the other, each a key (length in a byte), a type, and what the type says.

use serde_json::{Map, Value as Json, json};

/// Objects in each other.
const DEPTH_MOST: usize = 32;
/// Values of one blob.
const VALUES_MOST: usize = 100_000;
/// Seed of the hash of class names.
const SEED: u32 = 0xf7ca_7fd2;
/// Classes that are known by their names.
const CLASSES: &[&str] = &[
    "TelegramUser",
    "TelegramGroup",
    "TelegramChannel",
    "TelegramSecretChat",
    "TelegramMediaImage",
    "TelegramMediaImageRepresentation",
    "TelegramMediaFile",
    "TelegramMediaWebpage",
    "TelegramMediaAction",
    "TelegramMediaMap",
    "TelegramMediaContact",
    "TelegramMediaPoll",
    "TelegramMediaGame",
    "TelegramMediaInvoice",
    "TelegramMediaDice",
    "TelegramMediaExpiredContent",
    "TelegramMediaUnsupported",
    "TelegramMediaStory",
    "TelegramMediaTodo",
    "TelegramMediaPaidContent",
    "TelegramMediaGiveaway",
    "TelegramMediaGiveawayResults",
    "CloudPhotoSizeMediaResource",
    "CloudDocumentMediaResource",
    "CloudDocumentSizeMediaResource",
    "SecretFileMediaResource",
    "LocalFileMediaResource",
    "ReplyMessageAttribute",
    "EditedMessageAttribute",
    "TextEntitiesMessageAttribute",
    "AuthorSignatureMessageAttribute",
    "ViewCountMessageAttribute",
    "AutoremoveTimeoutMessageAttribute",
    "InlineBotMessageAttribute",
    "ReplyMarkupMessageAttribute",
    "SourceReferenceMessageAttribute",
    "ForwardSourceInfoAttribute",
];

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'b> {
    Integer(i64),
    Double(f64),
    Text(&'b [u8]),
    Bytes(&'b [u8]),
    Object(Object<'b>),
    List(Vec<Value<'b>>),
    Nil,
}

/// An object: its class and its values.
#[derive(Clone, Debug, Default)]
pub struct Object<'b> {
    /// Its class, where the name is known.
    pub class: Option<&'static str>,
    hash: i32,
    values: Vec<(&'b [u8], Value<'b>)>,
}

/// Reads little-endian numbers and what they count.
pub struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// The object that a blob holds under the key `_`.
///
/// # Errors
/// Why there is none.
pub fn root(blob: &[u8]) -> Result<Object<'_>, String> {
    let mut left = VALUES_MOST;
    let object = Reader::new(blob).values(0, 0, &mut left)?;
    match object.values.into_iter().next() {
        Some((b"_", Value::Object(object))) => Ok(object),
        _ => Err("no object at byte 0".to_owned()),
    }
}

impl<'b> Reader<'b> {
    /// At the beginning of some bytes.
    pub fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader { bytes, at: 0 }
    }

    pub fn take(&mut self, length: usize) -> Result<&'b [u8], String> {
        let end = self.at.checked_add(length);
        let bytes =
            end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| format!("ends inside a value at byte {}", self.at))?;
        self.at = self.at.saturating_add(length);
        Ok(bytes)
    }

    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    pub fn int(&mut self) -> Result<i32, String> {
        Ok(self.take(4)?.first_chunk().map_or(0, |bytes| i32::from_le_bytes(*bytes)))
    }

    pub fn long(&mut self) -> Result<i64, String> {
        Ok(self.take(8)?.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes)))
    }

    /// How many values follow; each takes `least` bytes.
    pub fn count(&mut self, least: usize) -> Result<usize, String> {
        let count = self.int()?;
        let left = self.bytes.len().saturating_sub(self.at) / least.max(1);
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= left)
            .ok_or_else(|| format!("a count of {count} before byte {}", self.at))
    }

    /// A length and as many bytes.
    pub fn counted(&mut self) -> Result<&'b [u8], String> {
        let length = self.count(1)?;
        self.take(length)
    }

    fn values(&mut self, hash: i32, depth: usize, left: &mut usize) -> Result<Object<'b>, String> {
        let class = CLASSES.iter().copied().find(|class| murmur3(class.as_bytes(), SEED).cast_signed() == hash);
        let mut object = Object { class: class.filter(|_| hash != 0), hash, values: Vec::new() };
        while self.at < self.bytes.len() {
            let length = self.byte()?;
            let key = self.take(usize::from(length))?;
            object.values.push((key, self.value(depth, left)?));
        }
        Ok(object)
    }

    fn object(&mut self, depth: usize, left: &mut usize) -> Result<Object<'b>, String> {
        if depth > DEPTH_MOST {
            return Err(format!("nested too deeply at byte {}", self.at));
        }
        let hash = self.int()?;
        Reader::new(self.counted()?).values(hash, depth + 1, left)
    }

    fn list(
        &mut self,
        least: usize,
        left: &mut usize,
        each: impl Fn(&mut Self, &mut usize) -> Result<Value<'b>, String>,
    ) -> Result<Value<'b>, String> {
        let count = self.count(least)?;
        let mut list = Vec::new();
        for _ in 0..count {
            *left = left.checked_sub(1).ok_or("more values than any message")?;
            list.push(each(self, left)?);
        }
        Ok(Value::List(list))
    }

    fn value(&mut self, depth: usize, left: &mut usize) -> Result<Value<'b>, String> {
        *left = left.checked_sub(1).ok_or("more values than any message")?;
        let at = self.at;
        Ok(match self.byte()? {
            0 => Value::Integer(i64::from(self.int()?)),
            1 => Value::Integer(self.long()?),
            2 => Value::Integer(i64::from(self.byte()? != 0)),
            3 => Value::Double(f64::from_bits(self.long()?.cast_unsigned())),
            4 => Value::Text(self.counted()?),
            5 => Value::Object(self.object(depth, left)?),
            6 => self.list(4, left, |reader, _| Ok(Value::Integer(i64::from(reader.int()?))))?,
            7 => self.list(8, left, |reader, _| Ok(Value::Integer(reader.long()?)))?,
            8 => self.list(8, left, |reader, left| Ok(Value::Object(reader.object(depth, left)?)))?,
            9 => self.list(16, left, |reader, left| {
                Ok(Value::List(vec![Value::Object(reader.object(depth, left)?), Value::Object(reader.object(depth, left)?)]))
            })?,
            10 => Value::Bytes(self.counted()?),
            11 => Value::Nil,
            12 => self.list(4, left, |reader, _| Ok(Value::Text(reader.counted()?)))?,
            13 => self.list(4, left, |reader, _| Ok(Value::Bytes(reader.counted()?)))?,
            other => return Err(format!("type {other} at byte {at} is not known")),
        })
    }
}

impl<'b> Object<'b> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value<'b>> {
        self.values.iter().find(|(known, _)| *known == key.as_bytes()).map(|(_, value)| value)
    }

    /// A number.
    pub fn integer(&self, key: &str) -> Option<i64> {
        if let Value::Integer(number) = self.get(key)? { Some(*number) } else { None }
    }

    /// A float.
    pub fn double(&self, key: &str) -> Option<f64> {
        if let Value::Double(number) = self.get(key)? { Some(*number) } else { None }
    }

    /// A text that is not empty; what is not UTF-8 in it is replaced.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::Text(text) if !text.is_empty() => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        }
    }

    /// An object.
    pub fn object(&self, key: &str) -> Option<&Object<'b>> {
        if let Value::Object(object) = self.get(key)? { Some(object) } else { None }
    }

    /// The objects of a list.
    pub fn objects(&self, key: &str) -> impl Iterator<Item = &Object<'b>> {
        let list = if let Some(Value::List(list)) = self.get(key) { list.as_slice() } else { &[] };
        list.iter().filter_map(|value| if let Value::Object(object) = value { Some(object) } else { None })
    }

    /// Everything in it: its class, or the hash of one that is not known, as `_`; bytes as hexadecimal digits.
    pub fn json(&self) -> Json {
        let mut map = Map::new();
        map.insert("_".to_owned(), self.class.map_or_else(|| json!(self.hash), |class| json!(class)));
        for (key, value) in &self.values {
            map.insert(String::from_utf8_lossy(key).into_owned(), value.json());
        }
        Json::Object(map)
    }
}

impl Value<'_> {
    fn json(&self) -> Json {
        match self {
            Value::Integer(number) => json!(number),
            Value::Double(number) => json!(number),
            Value::Text(text) => json!(String::from_utf8_lossy(text)),
            Value::Bytes(bytes) => json!(crate::decode::base64::hex(bytes)),
            Value::Object(object) => object.json(),
            Value::List(list) => list.iter().map(Value::json).collect(),
            Value::Nil => Json::Null,
        }
    }
}

/// MurmurHash3 of 32 bits by Austin Appleby (public domain), as Telegram hashes the names of its classes.
fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let mix = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = seed;
    for block in blocks {
        hash = (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let last = tail.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    hash ^= mix(last) ^ u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_class_names() {
        // As Python's mmh3 gives them.
        for (name, hash) in [("TelegramUser", -1_637_309_141), ("TelegramMediaImage", -1_951_522_668), ("", 377_927_480)] {
            assert_eq!(murmur3(name.as_bytes(), SEED).cast_signed(), hash, "{name}");
        }
    }

    #[test]
    fn what_is_cut_or_nested_is_an_error() {
        let object = |inner: &[u8]| {
            let length = u32::try_from(inner.len()).unwrap().to_le_bytes();
            [&[1, b'_', 5, 1, 0, 0, 0][..], &length, inner].concat()
        };
        let mut nested = vec![1, b'a', 4, 2, 0, 0, 0, b'h', b'i'];
        assert_eq!(root(&object(&nested)).unwrap().text("a").as_deref(), Some("hi"));
        for end in 1..object(&nested).len() {
            assert!(root(&object(&nested)[..end]).is_err(), "{end}");
        }
        for _ in 0..100 {
            nested = object(&nested);
        }
        assert!(root(&nested).unwrap_err().contains("nested"));
        assert!(root(&object(&[1, b'a', 8, 255, 255, 255, 127])).is_err());
    }
}
