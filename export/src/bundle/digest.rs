//! Digests of rows: salted leaves for the seal, unsalted ones for the content root.
//!
//! A salt costs an HMAC for every field of every row, so its two padded key blocks are compressed once and every hash here goes
//! straight to the compression function.

use crate::bundle::schema::Table;
use crate::bundle::value::{Value, write_string};
use sha2::compress256;
use sha2::digest::consts::U64;
use sha2::digest::generic_array::GenericArray;
use std::slice::from_ref;

/// Initial state of SHA-256 (FIPS 180-4 §5.3.3).
const INITIAL: [u32; 8] = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
const BLOCK: usize = 64;

/// Ends a SHA-256: `state` has taken in `before` bytes (whole blocks), `data` is the rest.
fn finish(mut state: [u32; 8], before: u64, data: &[u8]) -> [u8; 32] {
    let mut blocks = data.chunks_exact(BLOCK);
    for block in &mut blocks {
        compress256(&mut state, from_ref(GenericArray::<u8, U64>::from_slice(block)));
    }
    let rest = blocks.remainder();
    let mut tail = [0u8; 2 * BLOCK];
    tail[..rest.len()].copy_from_slice(rest);
    tail[rest.len()] = 0x80;
    let length = if rest.len() < BLOCK - 8 { BLOCK } else { 2 * BLOCK };
    let bits = (before + data.len() as u64) * 8;
    tail[length - 8..length].copy_from_slice(&bits.to_be_bytes());
    for block in tail[..length].chunks_exact(BLOCK) {
        compress256(&mut state, from_ref(GenericArray::<u8, U64>::from_slice(block)));
    }
    let mut digest = [0u8; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn sha256(data: &[u8]) -> [u8; 32] {
    finish(INITIAL, 0, data)
}

/// HMAC-SHA256 (RFC 2104) of the bundle seed, its key blocks taken in.
#[derive(Clone)]
struct Salter {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Salter {
    fn new(seed: &[u8; 32]) -> Salter {
        let padded = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(seed).for_each(|(byte, key)| *byte ^= key);
            let mut state = INITIAL;
            compress256(&mut state, from_ref(GenericArray::<u8, U64>::from_slice(&block)));
            state
        };
        Salter { inner: padded(0x36), outer: padded(0x5c) }
    }

    fn salt(&self, message: &[u8]) -> [u8; 32] {
        let inner = finish(self.inner, BLOCK as u64, message);
        finish(self.outer, BLOCK as u64, &inner)
    }
}

/// Both digests of one row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RowDigests {
    /// Leaf of the sealed tree.
    pub leaf: [u8; 32],
    /// Leaf of the content tree.
    pub content: [u8; 32],
}

/// Digests rows; keeps its buffers from row to row.
#[derive(Clone)]
pub struct RowHasher {
    salter: Salter,
    /// 0x00 and `["table",{…}]`.
    content: Vec<u8>,
    /// Key, then the name of a column.
    salted: Vec<u8>,
    /// 0x02, salt, `["column",value]`.
    field: Vec<u8>,
    fields: Vec<[u8; 32]>,
    leaf: Vec<u8>,
}

impl RowHasher {
    /// Begins with a bundle seed.
    pub fn new(seed: &[u8; 32]) -> RowHasher {
        let (content, salted, field, leaf) = Default::default();
        RowHasher { salter: Salter::new(seed), content, salted, field, fields: Vec::new(), leaf }
    }

    /// The digests of a row: one value for each column of the table.
    ///
    /// The row counts as having one more member, `table`, with the table's name: a row moved to another table is another row.
    pub fn row(&mut self, table: &Table, values: &[Value]) -> RowDigests {
        let leaf = self.leaf(table, values);
        self.content.extend_from_slice(b"}]");
        RowDigests { leaf, content: sha256(&self.content) }
    }

    /// The leaf of a row alone; leaves its unsalted form, but for the closing brackets, in `content`.
    pub fn leaf(&mut self, table: &Table, values: &[Value]) -> [u8; 32] {
        self.fields.clear();
        self.content.clear();
        self.content.push(0);
        self.content.push(b'[');
        write_string(table.name, &mut self.content);
        self.content.extend_from_slice(b",{");
        self.salted.clear();
        if let Some(key) = values.first() {
            key.key_bytes(&mut self.salted);
        }
        let key_length = self.salted.len();
        let mut first = true;
        for place in &table.sorted {
            let (Some(column), Some(value)) = (table.columns.get(*place), values.get(*place)) else { continue };
            if matches!(value, Value::Null) {
                continue;
            }
            if !first {
                self.content.push(b',');
            }
            first = false;
            self.content.push(b'"');
            self.content.extend_from_slice(column.name.as_bytes());
            self.content.extend_from_slice(b"\":");
            let begin = self.content.len();
            value.write_json(&mut self.content);
            self.salted.truncate(key_length);
            self.salted.extend_from_slice(column.name.as_bytes());
            self.digest_field(&column.field, begin);
        }
        self.salted.truncate(key_length);
        self.salted.extend_from_slice(b"table");
        let begin = self.content.len();
        write_string(table.name, &mut self.content);
        self.digest_field(b"[\"table\",", begin);
        self.content.truncate(begin);
        self.sorted_fields()
    }

    /// The fields that a row's leaf is made of, in the order of their names, `table` among them.
    pub fn fields(&mut self, table: &Table, values: &[Value]) -> Vec<Field> {
        let mut key = Vec::new();
        if let Some(value) = values.first() {
            value.key_bytes(&mut key);
        }
        let present = |place: &usize| Some((table.columns.get(*place)?, values.get(*place)?));
        let columns = table.sorted.iter().filter_map(present).filter(|(_, value)| !matches!(value, Value::Null));
        let mut fields: Vec<Field> = columns.map(|(column, value)| self.field_of(&key, column.name, value)).collect();
        fields.push(self.field_of(&key, "table", &Value::Word(table.name)));
        fields.sort_unstable_by_key(|field| field.name);
        fields
    }

    fn field_of(&self, key: &[u8], name: &'static str, value: &Value) -> Field {
        let salt = self.salter.salt(&[key, name.as_bytes()].concat());
        let mut json = Vec::new();
        value.write_json(&mut json);
        Field { name, salt, digest: field_digest(&salt, name, &json), json }
    }

    /// Digests the field whose value's JSON stands in `content` from `begin`, salted for `salted`.
    fn digest_field(&mut self, prefix: &[u8], begin: usize) {
        let salt = self.salter.salt(&self.salted);
        self.field.clear();
        self.field.push(2);
        self.field.extend_from_slice(&salt);
        self.field.extend_from_slice(prefix);
        self.field.extend_from_slice(&self.content[begin..]);
        self.field.push(b']');
        self.fields.push(sha256(&self.field));
    }

    fn sorted_fields(&mut self) -> [u8; 32] {
        self.fields.sort_unstable();
        self.leaf.clear();
        self.leaf.push(0);
        self.fields.iter().for_each(|digest| self.leaf.extend_from_slice(digest));
        sha256(&self.leaf)
    }
}

/// One field of a row, as it can be shown to someone who does not have the bundle.
pub struct Field {
    /// Its column, or `table`.
    pub name: &'static str,
    /// Its salt.
    pub salt: [u8; 32],
    /// Its value in JSON.
    pub json: Vec<u8>,
    /// What the leaf has of it.
    pub digest: [u8; 32],
}

/// The digest of a field: SHA-256 over 0x02, salt, `["name",value]`.
pub fn field_digest(salt: &[u8; 32], name: &str, json: &[u8]) -> [u8; 32] {
    let mut field = Vec::with_capacity(json.len() + name.len() + 40);
    field.push(2);
    field.extend_from_slice(salt);
    field.push(b'[');
    write_string(name, &mut field);
    field.push(b',');
    field.extend_from_slice(json);
    field.push(b']');
    sha256(&field)
}

/// The leaf of a row: SHA-256 over 0x00 and the digests of its fields in ascending order.
pub fn leaf_of(mut fields: Vec<[u8; 32]>) -> [u8; 32] {
    fields.sort_unstable();
    let mut leaf = vec![0];
    fields.iter().for_each(|digest| leaf.extend_from_slice(digest));
    sha256(&leaf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, Mac};
    use sha2::{Digest, Sha256};

    #[test]
    fn the_short_way_to_sha_256_is_sha_256() {
        for length in [0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 128, 1000] {
            let data: Vec<u8> = (0..length).map(|place| place as u8).collect();
            assert_eq!(sha256(&data), <[u8; 32]>::from(Sha256::digest(&data)), "{length}");
        }
    }

    #[test]
    fn salts_are_hmac_sha_256() {
        let seed = [7; 32];
        for length in [0, 20, 55, 56, 200] {
            let message = vec![9; length];
            let mut mac = Hmac::<Sha256>::new_from_slice(&seed).unwrap();
            mac.update(&message);
            assert_eq!(Salter::new(&seed).salt(&message), <[u8; 32]>::from(mac.finalize().into_bytes()), "{length}");
        }
    }

    #[test]
    fn a_row_digest_is_what_the_format_says() {
        let table = crate::bundle::schema::table("meta").unwrap();
        let seed = [3; 32];
        let values = [Value::Text("k".into()), Value::Text("v".into())];
        let field = |column: &str, json: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&seed).unwrap();
            mac.update(format!("k{column}").as_bytes());
            let salt = mac.finalize().into_bytes();
            Sha256::digest([&[2], salt.as_slice(), json.as_bytes()].concat())
        };
        let mut fields =
            [field("key", r#"["key","k"]"#), field("value", r#"["value","v"]"#), field("table", r#"["table","meta"]"#)];
        fields.sort();
        let leaf = Sha256::digest([&[0], fields.concat().as_slice()].concat());
        let digests = RowHasher::new(&seed).row(table, &values);
        assert_eq!(digests.leaf, <[u8; 32]>::from(leaf));
        let content = Sha256::digest(b"\0[\"meta\",{\"key\":\"k\",\"value\":\"v\"}]");
        assert_eq!(digests.content, <[u8; 32]>::from(content));
    }
}
