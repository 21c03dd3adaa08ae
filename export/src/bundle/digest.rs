//! Digests of rows: salted leaves for the seal, unsalted ones for the content root.
//!
//! A salt costs an HMAC for every field of every row, so its two padded key blocks are compressed once, and the hashes of many rows are
//! worked out side by side ([`super::lanes`]).

use crate::bundle::lanes::{BLOCK, INITIAL, Messages, State, compress};
use crate::bundle::schema::Table;
use crate::bundle::value::{Value, write_string};
use model::Id;
use std::ops::Range;

/// Rows that are digested together: enough to fill the lanes, few enough to stay in the nearest cache.
const GROUP_ROWS: usize = 32;

/// The digest of one message alone, which goes on from a state that has taken in `before` bytes.
fn finish(state: State, before: u64, data: &[u8]) -> [u8; 32] {
    let mut messages = Messages::default();
    messages.add(data);
    messages.end(state, before);
    messages.hash();
    messages.digests().next().unwrap_or_default()
}

fn sha256(data: &[u8]) -> [u8; 32] {
    finish(INITIAL, 0, data)
}

/// HMAC-SHA256 (RFC 2104) of the bundle seed, its key blocks taken in.
#[derive(Clone)]
struct Salter {
    inner: State,
    outer: State,
}

impl Salter {
    fn new(seed: &[u8; 32]) -> Salter {
        let padded = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(seed).for_each(|(byte, key)| *byte ^= key);
            let mut state = INITIAL;
            compress(&mut state, &block);
            state
        };
        Salter { inner: padded(0x36), outer: padded(0x5c) }
    }

    fn salt(&self, message: &[u8]) -> [u8; 32] {
        let inner = finish(self.inner, BLOCK as u64, message);
        finish(self.outer, BLOCK as u64, &inner)
    }
}

/// Bytes of nearly every key.
const ID: usize = size_of::<Id>();

/// What the inner hash of a salt takes in for a row with an id, but for the id: the column's name behind it, padded. `None` where one block
/// does not hold that.
pub fn salt_block(column: &str) -> Option<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let (message, length) = block.split_last_chunk_mut::<8>()?;
    let end = ID + column.len();
    message.get_mut(ID..end)?.copy_from_slice(column.as_bytes());
    *message.get_mut(end)? = 0x80;
    *length = ((BLOCK + end) as u64 * 8).to_be_bytes();
    Some(block)
}

/// What the outer hash of a salt takes in, but for the inner digest: its padding.
const OUTER: [u8; BLOCK] = {
    let mut block = [0; BLOCK];
    block[32] = 0x80;
    [_, _, _, _, _, _, block[62], block[63]] = (8 * (BLOCK as u64 + 32)).to_be_bytes();
    block
};

/// How the member begins that says of which table a row is.
const TABLE: &[u8] = b"\"table\":";

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
    /// `"table":` and the table's name in JSON, then of each row 0x00 and `["table",{…}]`.
    content: Vec<u8>,
    /// The key of the row that is written.
    key: Vec<u8>,
    /// As columns have it, for the member `table`.
    table_salt: Option<[u8; BLOCK]>,
    /// Where each field's name and value stand in `content`, and the colon between them.
    fields: Vec<(Range<usize>, usize)>,
    /// Where each row's form stands in `content`, and behind which of `fields` it ends.
    rows: Vec<(Range<usize>, usize)>,
    /// What is hashed together: both halves of the salts, the fields, and leaves beside contents.
    inner: Messages,
    outer: Messages,
    salted: Messages,
    whole: Messages,
    sorted: Vec<[u8; 32]>,
}

impl RowHasher {
    /// Begins with a bundle seed.
    pub fn new(seed: &[u8; 32]) -> RowHasher {
        let (content, key, fields, rows, sorted) = Default::default();
        let (inner, outer, salted, whole) = Default::default();
        let (salter, table_salt) = (Salter::new(seed), salt_block("table"));
        RowHasher { salter, content, key, table_salt, fields, rows, inner, outer, salted, whole, sorted }
    }

    /// The digests of a row: one value for each column of the table.
    ///
    /// The row counts as having one more member, `table`, with the table's name: a row moved to another table is another row.
    pub fn row(&mut self, table: &'static Table, values: &[Value]) -> RowDigests {
        let mut digests = Vec::with_capacity(1);
        self.rows(table, values, &mut digests);
        digests.pop().unwrap_or(RowDigests { leaf: [0; 32], content: [0; 32] })
    }

    /// The leaf of a row alone.
    pub fn leaf(&mut self, table: &'static Table, values: &[Value]) -> [u8; 32] {
        self.row(table, values).leaf
    }

    /// The digests of rows whose values lie one behind the other.
    pub fn rows(&mut self, table: &'static Table, values: &[Value], digests: &mut Vec<RowDigests>) {
        let columns = table.columns.len();
        for group in values.chunks(GROUP_ROWS * columns) {
            self.clear();
            self.content.extend_from_slice(TABLE);
            write_string(table.name, &mut self.content);
            let name = TABLE.len()..self.content.len();
            group.chunks(columns).for_each(|row| self.write(table, row, &name));
            self.hash(digests);
        }
    }

    fn clear(&mut self) {
        self.content.clear();
        self.fields.clear();
        self.rows.clear();
        [&mut self.inner, &mut self.outer, &mut self.salted, &mut self.whole].into_iter().for_each(Messages::clear);
    }

    /// Writes a row's form, and its fields' names into what becomes their salts.
    fn write(&mut self, table: &'static Table, values: &[Value], name: &Range<usize>) {
        let start = self.content.len();
        self.content.extend_from_slice(b"\0[");
        self.content.extend_from_within(name.clone());
        self.content.extend_from_slice(b",{");
        self.key.clear();
        if let Some(value) = values.first() {
            value.key_bytes(&mut self.key);
        }
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
            let begin = self.content.len();
            self.content.extend_from_slice(&column.field);
            let colon = self.content.len() - 1;
            value.write_json(&mut self.content);
            self.salt(column.name, &column.salt);
            self.fields.push((begin..self.content.len(), colon));
        }
        let table_salt = self.table_salt;
        self.salt("table", &table_salt);
        self.fields.push((0..name.end, name.start - 1));
        self.content.extend_from_slice(b"}]");
        self.rows.push((start..self.content.len(), self.fields.len()));
    }

    /// Writes what the inner hash of a field's salt takes in.
    fn salt(&mut self, column: &str, block: &Option<[u8; BLOCK]>) {
        match (block, self.key.as_array::<ID>()) {
            (Some(block), Some(key)) => {
                let mut block = *block;
                block[..ID].copy_from_slice(key);
                self.inner.block(self.salter.inner, &block);
            }
            _ => {
                self.inner.add(&self.key);
                self.inner.add(column.as_bytes());
                self.inner.end(self.salter.inner, BLOCK as u64);
            }
        }
    }

    /// Hashes what is written: salts, then fields, then leaves and contents.
    fn hash(&mut self, digests: &mut Vec<RowDigests>) {
        self.inner.hash();
        for inner in self.inner.digests() {
            let mut block = OUTER;
            block[..inner.len()].copy_from_slice(&inner);
            self.outer.block(self.salter.outer, &block);
        }
        self.outer.hash();
        for (salt, (field, colon)) in self.outer.digests().zip(&self.fields) {
            let mut begin = [2; 1 + 32 + 1];
            begin[1..=salt.len()].copy_from_slice(&salt);
            begin[1 + salt.len()] = b'[';
            self.salted.add(&begin);
            self.salted.add(&self.content[field.clone()]);
            // `["name",value]` is what is digested: a comma for the colon.
            self.salted.put(begin.len() + colon - field.start, b',');
            self.salted.add(b"]");
            self.salted.end(INITIAL, 0);
        }
        self.salted.hash();
        let mut fields = self.salted.digests();
        let mut done = 0;
        for (form, end) in &self.rows {
            self.sorted.clear();
            self.sorted.extend(fields.by_ref().take(end - done));
            sort(&mut self.sorted);
            done = *end;
            self.whole.add(&[0]);
            self.whole.add(self.sorted.as_flattened());
            self.whole.end(INITIAL, 0);
            self.whole.add(&self.content[form.clone()]);
            self.whole.end(INITIAL, 0);
        }
        self.whole.hash();
        let mut whole = self.whole.digests();
        while let (Some(leaf), Some(content)) = (whole.next(), whole.next()) {
            digests.push(RowDigests { leaf, content });
        }
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
}

/// Sorts digests: their first bytes tell nearly all of them apart, as one number.
fn sort(digests: &mut [[u8; 32]]) {
    let number = |digest: &[u8; 32]| digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    digests.sort_unstable_by(|one, other| number(one).cmp(&number(other)).then_with(|| one.cmp(other)));
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
    fn digests_are_sorted_byte_by_byte() {
        let mut digests: Vec<[u8; 32]> = (0..60u8).map(|number| Sha256::digest([number]).into()).collect();
        // The same beginning, another end.
        digests.extend((0..9u8).map(|number| {
            let mut digest = [7; 32];
            digest[31] = 9 - number;
            digest
        }));
        let mut expected = digests.clone();
        expected.sort_by_key(|digest| digest.to_vec());
        sort(&mut digests);
        assert_eq!(digests, expected);
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
