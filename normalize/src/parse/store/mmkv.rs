//! MMKV (Tencent's mmap key-value store, <https://github.com/Tencent/MMKV>): a length, then keys and values as they were written; the last
//! value of a key counts, those before it are superseded, and an empty one removes it.
//!
//! Layout: four bytes of length (little endian; since version 3 of the format the file beside it has the one that counts, and this one may
//! be zero or old), a number that holds the place of the size of the map, then pairs; key and value have their length before them as a
//! varint, and a string or bytes inside of a value once more. Behind the last pair the file is filled with zeros up to whole pages.
//! Checksum and initialization vector stand in the file beside it (`NAME.crc`), which is an item of its own and not read: pairs that are
//! whole up to the zeros need none, and where the store is encrypted there are none.

use super::{Place, Sweep};
use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser};
use model::{Code, State};
use std::collections::HashMap;

/// Largest store that is read, bytes.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// A store is made of pages of this size or a multiple of it.
const PAGE: u64 = 4096;
/// Longest key.
const KEY_MAX: usize = 1024;

/// The parser.
pub struct Mmkv;

/// A pair, and where its value begins.
struct Pair<'c> {
    key: &'c str,
    value: &'c [u8],
    at: usize,
}

impl Parser for Mmkv {
    fn name(&self) -> &'static str {
        "mmkv"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let item = &input.unit.primary.item;
        let fits = length(input.head).is_some_and(|length| length as u64 <= item.size_bytes.saturating_sub(4));
        if !fits || item.size_bytes == 0 || !item.size_bytes.is_multiple_of(PAGE) {
            return false;
        }
        let body = input.head.get(4..).unwrap_or_default();
        let cut = item.size_bytes > input.head.len() as u64;
        let (pairs, end) = read(body, length(input.head).unwrap_or_default());
        // The number before the pairs is as long as the largest; no text has such bytes there.
        let number = matches!(body, [128..=255, 128..=255, 128..=255, 0..=127, ..]);
        (number && pairs.len() >= 2 && (end != End::Damage || cut)) || is_named(input)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(FILE_BYTES_MAX, "MMKV store", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let (read, end) = read(content.get(4..).unwrap_or_default(), length(&content).unwrap_or_default());
        let damaged = end == End::Damage;
        if damaged && read.len() < 2 {
            const KEY: &str = "needs the app's key of this MMKV store";
            emit.problem(Code::Encrypted, format!("an MMKV store whose pairs cannot be read: {KEY}"));
            return Outcome::locked(KEY);
        }
        let mut newest: HashMap<&str, (usize, bool)> = HashMap::new();
        for pair in &read {
            newest.insert(pair.key, (pair.at, pair.value.is_empty()));
        }
        let mut sweep = Sweep::new("MMKV", emit);
        // The newest first: an account that an older value repeats is told once.
        for pair in read.iter().rev() {
            let (last, removed) = newest.get(pair.key).copied().unwrap_or_default();
            sweep.state(match (last == pair.at, removed) {
                (true, _) => State::Live,
                (false, false) => State::Superseded,
                (false, true) => State::Recovered,
            });
            let (from, value) = string(pair.value);
            let range = ((4 + pair.at + from) as u64, value.len() as u64);
            sweep.bytes(Place { keys: &[pair.key], range, verbatim: true }, value);
        }
        sweep.finish();
        if damaged {
            emit.problem(Code::DocumentDamaged, format!("pairs behind the first {} cannot be read", read.len()));
            return Outcome::partial("see its problems");
        }
        Outcome::parsed()
    }
}

/// Whether the folder says that it is such a store.
fn is_named(input: &Input<'_>) -> bool {
    let item = &input.unit.primary.item;
    let in_folder = item.path.split('/').rev().skip(1).any(|step| step.eq_ignore_ascii_case("mmkv"));
    in_folder && !item.path.ends_with(".crc")
}

fn length(content: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*content.first_chunk()?)).ok()
}

/// How the pairs end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// With zeros, or where the length says so.
    Whole,
    /// With something that is no pair.
    Damage,
}

/// Every pair, up to zeros or to what is no pair.
fn read(body: &[u8], length: usize) -> (Vec<Pair<'_>>, End) {
    let mut read = Vec::new();
    let Some((_, mut rest)) = varint(body) else { return (read, End::Damage) };
    while !rest.is_empty() {
        let pair = prefixed(rest).and_then(|(key, after)| {
            let key = std::str::from_utf8(key).ok().filter(|key| !key.is_empty() && key.len() <= KEY_MAX)?;
            let (value, after) = prefixed(after)?;
            let clean = !key.chars().any(char::is_control);
            clean.then_some((key, value, after))
        });
        let Some((key, value, after)) = pair else {
            let at = body.len().saturating_sub(rest.len());
            let whole = rest.first() == Some(&0) || (length > 0 && at >= length);
            return (read, if whole { End::Whole } else { End::Damage });
        };
        read.push(Pair { key, value, at: body.len().saturating_sub(after.len()).saturating_sub(value.len()) });
        rest = after;
    }
    (read, End::Whole)
}

/// What a value holds if it is a string or bytes, which have their length before them; else the value itself.
fn string(value: &[u8]) -> (usize, &[u8]) {
    match prefixed(value) {
        Some((inner, [])) => (value.len() - inner.len(), inner),
        _ => (0, value),
    }
}

fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    rest.split_at_checked(length)
}

/// A number of seven bits a byte, the lowest first, of five bytes at most.
fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_usize;
    for (place, byte) in bytes.iter().enumerate().take(5) {
        number |= usize::from(byte & 0x7f).checked_shl(7 * u32::try_from(place).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Scratch, problems, records};
    use model::{Body, ItemStatus, Record};

    /// As MMKV writes it: the size of the map, pairs, and zeros up to a page.
    fn store(pairs: &[(&str, &[u8])]) -> Vec<u8> {
        let mut body = vec![0xff, 0xff, 0xff, 7];
        for (key, value) in pairs {
            body.push(key.len() as u8);
            body.extend_from_slice(key.as_bytes());
            if value.is_empty() {
                body.push(0);
            } else {
                body.push(value.len() as u8 + 1);
                body.push(value.len() as u8);
                body.extend_from_slice(value);
            }
        }
        let mut file = vec![0; 4];
        file.extend(body);
        file.resize(4096, 0);
        file
    }

    const OLD: &[u8] = b"TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC";
    const NEW: &[u8] = b"TJRabPrwbZy45sbavfcjinPJC18kjpRTv8";

    #[test]
    fn the_last_value_counts_and_those_before_it_are_told() {
        let file = store(&[("address", OLD), ("n", b"1"), ("address", NEW)]);
        let bodies = Scratch::new("data/data/org.example.coins/files/mmkv/main", &file).parse(&Mmkv);
        let accounts: Vec<_> = records(&bodies)
            .into_iter()
            .map(|record| match record {
                Record::Account(account) => (account.account_key.as_bytes().to_vec(), account.provenance.state),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(accounts, [(NEW.to_vec(), State::Live), (OLD.to_vec(), State::Superseded)]);
        let places: Vec<_> = bodies
            .iter()
            .filter_map(|body| if let Body::Sighting(sighting) = body { Some(sighting) } else { None })
            .filter_map(|sighting| Some((sighting.byte_offset?, sighting.observable.value.clone())))
            .collect();
        for (offset, value) in places {
            assert_eq!(&file[offset as usize..][..value.len()], value.as_bytes());
        }
    }

    #[test]
    fn what_was_removed_is_recovered() {
        let bodies = Scratch::new("main", &store(&[("address", OLD), ("address", b"")])).parse(&Mmkv);
        assert!(matches!(records(&bodies)[..], [Record::Account(account)] if account.provenance.state == State::Recovered));
    }

    #[test]
    fn an_encrypted_store_is_locked_and_other_files_are_none() {
        let mut file = store(&[("address", OLD), ("n", b"1")]);
        for (place, byte) in file.iter_mut().enumerate().skip(4).take(60) {
            *byte ^= (place * 37) as u8 | 0x80;
        }
        assert!(!Scratch::new("files/main", &file).identified(&Mmkv));
        let bodies = Scratch::new("files/mmkv/main", &file).parse(&Mmkv);
        assert_eq!(problems(&bodies)[0].0, "encrypted");
        assert!(bodies.iter().any(|body| matches!(body, Body::Item(item) if item.status == ItemStatus::Locked)));
        assert!(!Scratch::new("files/mmkv/main.crc", &file).identified(&Mmkv));
        assert!(!Scratch::new("zeros", &[0; 4096]).identified(&Mmkv));
    }

    #[test]
    fn flipped_anywhere_it_ends() {
        let whole = store(&[("address", OLD), ("n", b"1"), ("address", NEW)]);
        for at in 0..120 {
            for bits in [0xff, 0x80, 1] {
                let mut file = whole.clone();
                file[at] ^= bits;
                let scratch = Scratch::new("files/mmkv/main", &file);
                if scratch.identified(&Mmkv) {
                    scratch.parse(&Mmkv);
                }
            }
        }
    }
}
