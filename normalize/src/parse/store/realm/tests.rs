use super::*;
use crate::evidence::{Scratch, problems, records};
use model::{Body, ItemStatus, Record};

/// Packs a file: arrays one behind the other, each at a multiple of eight.
struct Pack(Vec<u8>);

impl Pack {
    fn put(&mut self, flags: u8, count: usize, body: &[u8]) -> i64 {
        let at = self.0.len();
        self.0.extend_from_slice(b"AAAA");
        self.0.extend([flags, (count >> 16) as u8, (count >> 8) as u8, count as u8]);
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().div_ceil(8) * 8, 0);
        at as i64
    }

    /// Numbers of eight bytes; with bit 6 of the flags places.
    fn numbers(&mut self, flags: u8, numbers: &[i64]) -> i64 {
        let body: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.put(flags | 7, numbers.len(), &body)
    }

    /// Short strings of 32 bytes.
    fn short(&mut self, texts: &[&str]) -> i64 {
        let mut body = Vec::new();
        for text in texts {
            let mut slot = text.as_bytes().to_vec();
            slot.resize(31, 0);
            slot.push(31 - text.len() as u8);
            body.extend(slot);
        }
        self.put(0x08 | 6, texts.len(), &body)
    }
}

const ADDRESS: &str = "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC";
const LONG: &str = "[{\"address\":\"TJRabPrwbZy45sbavfcjinPJC18kjpRTv8\",\"name\":\"till\",\"walletId\":\"w\",\"rest\":\"0123456789 0123456789\"}]";

/// A table `Wallet` of three columns: a number, strings of middle length, and long ones; two rows.
fn database() -> Vec<u8> {
    let mut pack = Pack(vec![0; 24]);
    let blob: Vec<u8> = [ADDRESS, "x"].iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect();
    let blob = pack.put(0x10, blob.len(), &blob);
    let ends = pack.numbers(0, &[ADDRESS.len() as i64 + 1, ADDRESS.len() as i64 + 3]);
    let middle = pack.numbers(0x40, &[ends, blob]);
    let long = [LONG.as_bytes(), &[0]].concat();
    let long = pack.put(0x10, long.len(), &long);
    let big = pack.numbers(0x40 | 0x20, &[long, 0]);
    let ids = pack.numbers(0, &[1, 2]);
    let cluster = pack.numbers(0x40, &[(2 << 1) | 1, ids, middle, big]);
    let types = pack.numbers(0, &[0, 2, 2]);
    let names = pack.short(&["id", "address", "state"]);
    let attributes = pack.numbers(0, &[0, 0, 0]);
    let keys = pack.numbers(0, &[0x1_0000, 0x1_0001, 0x1_0002]);
    let spec = pack.numbers(0x40, &[types, names, attributes, 0, 0, keys]);
    let table = pack.numbers(0x40, &[spec, 0, cluster]);
    let tables = pack.numbers(0x40, &[table]);
    let table_names = pack.short(&["class_Wallet"]);
    let top = pack.numbers(0x40, &[table_names, tables]);
    pack.0[8..16].copy_from_slice(&top.to_le_bytes());
    pack.0[16..24].copy_from_slice(b"T-DB\x00\x14\x00\x01");
    pack.0
}

#[test]
fn strings_have_table_row_and_column() {
    let file = database();
    let bodies = Scratch::new("data/data/org.example.coins/files/default.realm", &file).parse(&Realm);
    let accounts: Vec<_> = records(&bodies)
        .into_iter()
        .map(|record| match record {
            Record::Account(account) => (account.account_key.as_str(), account.provenance.locator.clone()),
            other => panic!("{other:?}"),
        })
        .map(|(key, place)| match place {
            model::Locator::Pointer { pointer, offset, .. } => (key, pointer, offset),
            other => panic!("{other:?}"),
        })
        .collect();
    let at = |text: &str| file.windows(text.len()).position(|window| window == text.as_bytes()).unwrap() as u64;
    assert_eq!(
        accounts,
        [
            (ADDRESS, "/Wallet/0/address".to_owned(), at(ADDRESS)),
            ("TJRabPrwbZy45sbavfcjinPJC18kjpRTv8", "/Wallet/0/state/0".to_owned(), at(LONG)),
        ]
    );
    assert!(problems(&bodies).is_empty());
}

#[test]
fn other_formats_and_encrypted_files_are_told() {
    let mut file = database();
    file[21] = 77;
    let bodies = Scratch::new("default.realm", &file).parse(&Realm);
    assert_eq!(problems(&bodies)[0].0, "unrecognized");
    let noise: Vec<u8> = (0..8192_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let bodies = Scratch::new("default.realm", &noise).parse(&Realm);
    assert!(bodies.iter().any(|body| matches!(body, Body::Item(item) if item.status == ItemStatus::Locked)));
}

#[test]
fn flipped_or_cut_anywhere_it_ends() {
    let whole = database();
    for at in 0..whole.len() {
        let mut file = whole.clone();
        file[at] ^= 0x55;
        for content in [&file[..], &whole[..at]] {
            let scratch = Scratch::new("default.realm", content);
            if scratch.identified(&Realm) {
                scratch.parse(&Realm);
            }
        }
    }
}
