//! The recognizers against truths that others made: addresses by file, address lists, phone examples, the bench device set.

#![allow(clippy::unwrap_used)]

use model::observable::{ObservableKind, Validity};
use model::recognize::{Found, Mode, StreamScan, find_in_segment, find_in_text, phone};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The truths that lie beside the project; `None` where they are not mounted (never in CI).
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    let there = path.exists();
    assert!(there || std::env::var_os("CI").is_none(), "CI has {} beside the project", path.display());
    there.then_some(path)
}

/// Values with a verified checksum, and secrets.
fn checked(bytes: &[u8]) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    let mut scan = StreamScan::new(Mode::ChecksumOnly);
    let mut put = |find: model::recognize::Find| {
        match find.found {
            Found::Observable(found) => {
                assert_eq!(found.validity, Validity::Checksum);
                values.insert(found.value.trim_start_matches("bitcoincash:").to_owned())
            }
            Found::Secret { value, .. } => values.insert(value),
        };
    };
    for buffer in bytes.chunks(100_000) {
        scan.push(buffer, &mut put);
    }
    scan.finish(&mut put);
    values
}

/// Ends of listed values whose Base58 checksum holds but which their own standard calls invalid: BIP-32's test vector 5 (wrong version,
/// wrong key byte) and a witness of version 1 under the constant of version 0 (BIP-350).
const WRONG_INSIDE: &[&str] = &[
    "FktLHdHY4",
    "8uBf9",
    "rq3nesx8uBf9",
    "fEQ3Qen6J",
    "nBju6dwKvH",
    "bz5gPstX92JQ",
    "Y5fTtTQBm",
    "xvyYUA4q2Xe4",
    "wZdduYEvFn",
    "7v07qwwzcrf",
];

#[test]
fn files_without_addresses_give_none_and_the_others_give_theirs() {
    let Some(corpus) = shared("corpus") else { return };
    let truth = std::fs::read_to_string(corpus.join("truth/addresses.tsv")).unwrap();
    let mut expected: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for line in truth.lines().skip(1) {
        let [path, kind, address] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        expected.entry(path).or_default().insert(address, kind);
    }
    // Test networks, and versions that no chain of the list uses.
    let claimed = |kind: &str| !kind.starts_with('t') && !matches!(kind, "ETH-nochecksum" | "b58v99" | "BTC-segwit2" | "type");
    let (mut missed, mut surplus) = (Vec::new(), Vec::new());
    let manifest = std::fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    for line in manifest.lines().skip(1) {
        let path = line.split('\t').next().unwrap();
        let Ok(bytes) = std::fs::read(corpus.join(path)) else { continue };
        let found = checked(&bytes);
        let none = BTreeMap::new();
        let listed = expected.get(path).unwrap_or(&none);
        let found_there = |address: &str| found.contains(address) || found.contains(&address.to_lowercase());
        missed.extend(
            listed
                .iter()
                .filter(|(address, kind)| {
                    claimed(kind) && !WRONG_INSIDE.iter().any(|end| address.ends_with(end)) && !found_there(address)
                })
                .map(|(address, kind)| format!("{path}: {kind} {address}")),
        );
        // The reference scanner left out images and lists that are full of addresses.
        let is_list = ["images/", "truth/", "watchlists/", "wallets/vectors/multicoin", "wallets/vectors/chain-sample"]
            .iter()
            .any(|list| path.starts_with(list));
        if listed.is_empty() && !is_list {
            surplus.extend(found.into_iter().map(|value| format!("{path}: {value}")));
        }
    }
    assert!(missed.is_empty(), "{} missed: {missed:#?}", missed.len());
    assert!(surplus.is_empty(), "{} found where none are listed: {surplus:#?}", surplus.len());
}

/// Currencies of the list whose addresses are claimed, and their chains.
const CURRENCIES: &[(&str, &str)] = &[
    ("bitcoin", "bitcoin"),
    ("btc", "bitcoin"),
    ("litecoin", "litecoin"),
    ("ltc", "litecoin"),
    ("dogecoin", "dogecoin"),
    ("doge", "dogecoin"),
    ("dash", "dash"),
    ("tron", "tron"),
    ("trx", "tron"),
    ("ethereum", "ethereum"),
    ("eth", "ethereum"),
    ("ripple", "xrp"),
    ("xrp", "xrp"),
    ("monero", "monero"),
    ("xmr", "monero"),
    ("stellar", "stellar"),
    ("xlm", "stellar"),
    ("polkadot", "polkadot"),
    ("dot", "polkadot"),
    ("algorand", "algorand"),
    ("algo", "algorand"),
    ("bch", "bitcoin_cash"),
];

#[test]
fn lists_of_valid_and_invalid_addresses_agree() {
    let Some(path) = shared("corpus/wallets/vectors/multicoin-valid-invalid.tsv") else { return };
    let list = std::fs::read_to_string(path).unwrap();
    let (mut valid, mut wrong) = (0, Vec::new());
    for line in list.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (verdict, address, currency, options) = (fields[0], fields[1], fields[2], fields.get(3).copied().unwrap_or(""));
        let Some((_, chain)) = CURRENCIES.iter().find(|(known, _)| *known == currency) else { continue };
        // Other networks; addresses of Bitcoin Cash in Bitcoin's form; hexadecimal of one case, which has no checksum.
        let other_network = ["test", "stagenet", "both", "prod: false"].iter().any(|word| options.contains(word));
        let one_case =
            *chain == "ethereum" && (address[2..] == address[2..].to_lowercase() || address[2..] == address[2..].to_uppercase());
        if other_network || one_case || (*chain == "bitcoin_cash" && address.starts_with(['1', '3'])) || address.ends_with('+') {
            continue;
        }
        let finds = find_in_text(address);
        let found = finds.iter().any(|find| {
            matches!(&find.found, Found::Observable(found)
            if found.kind == ObservableKind::WalletAddress && found.validity == Validity::Checksum
            && found.chain.as_ref().unwrap().split(',').any(|one| one == *chain || (one, *chain) == ("kusama", "polkadot")))
        });
        valid += usize::from(verdict == "valid");
        if found != (verdict == "valid") {
            wrong.push(line.to_owned());
        }
    }
    assert!(valid > 30, "{valid}");
    assert!(wrong.is_empty(), "{} disagree: {wrong:#?}", wrong.len());
}

#[test]
fn phone_examples_in_every_spelling_give_their_number() {
    let Some(path) = shared("corpus/contacts/phone-examples-libphonenumber.tsv") else { return };
    let list = std::fs::read_to_string(path).unwrap();
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in list.lines().skip(1) {
        let [region, _, e164, national, international, rfc3966] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        rows += 1;
        let expected = Some(e164.to_owned());
        for (spelling, region) in [(e164, None), (international, None), (rfc3966, None), (national, Some(region))] {
            if phone::normalize(spelling, region) != expected {
                wrong.push(format!("{spelling} in {region:?}: {:?}, not {e164}", phone::normalize(spelling, region)));
            }
        }
        if phone::normalize(national, None).is_some() {
            wrong.push(format!("{national} has no country"));
        }
    }
    assert_eq!(rows, 932);
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

#[test]
fn planted_addresses_are_found_and_decoys_are_not() {
    let Some(bench) = std::env::var_os("HAUL_BENCH_SET").map(PathBuf::from) else { return };
    let truth: serde_json::Value = serde_json::from_slice(&std::fs::read(bench.join("truth.json")).unwrap()).unwrap();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut tally: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (list, planted) in [("addresses", true), ("decoy_addresses", false)] {
        for entry in truth[list].as_array().unwrap() {
            let (address, carrier) = (entry["addr"].as_str().unwrap(), entry["carrier"].as_str().unwrap());
            for place in entry["places"].as_array().unwrap() {
                let place = place.as_str().unwrap();
                let values = found.entry(place.to_owned()).or_insert_with(|| checked(&std::fs::read(bench.join(place)).unwrap()));
                let there = values.contains(address);
                if planted {
                    let count = tally.entry(carrier.to_owned()).or_default();
                    count.0 += u32::from(there);
                    count.1 += 1;
                } else if there {
                    wrong.push(format!("{address} in {place}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "decoys: {wrong:#?}");
    for (carrier, (found, planted)) in &tally {
        // Cells of databases are glued in the raw bytes: they are scanned one by one elsewhere. The others are packed or encoded.
        let elsewhere = [
            "whatsapp",
            "whatsapp_deleted",
            "sms",
            "contact_note",
            "chrome_history",
            "docx",
            "pdf_flate",
            "gz_log",
            "zip_doc",
            "mbox_base64",
        ];
        assert!(elsewhere.contains(&carrier.as_str()) || found == planted, "{carrier}: {found} of {planted}");
    }
}

#[test]
fn a_segment_is_read_in_each_encoding() {
    let address = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";
    let little: Vec<u8> = address.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = address.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (bytes, length) in [(address.as_bytes().to_vec(), 34), (little, 68), (big, 68)] {
        let finds = find_in_segment(&bytes);
        assert_eq!(finds.len(), 1);
        assert_eq!((finds[0].offset, finds[0].length), (0, length));
        assert_eq!(finds[0].context, address);
    }
}

/// A stretch of everything: each kind, in each encoding, beside borders and traps.
fn mixture() -> Vec<u8> {
    let lines = [
        "pay 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa\\nbc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
        "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ is the key",
        "bitcoin:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa?amount=0.1&label=x http://example.com/a?b=c,",
        "anna.berg@example.com +49 170 1234567 DE89 3704 0044 0532 0130 00",
        "usdt wallet 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed, \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}",
    ];
    let text = lines.join("\n");
    let mut bytes = vec![0x80, 0, 0xff];
    bytes.extend(text.as_bytes());
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    bytes.extend([7, 9]);
    bytes.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
    bytes
}

#[test]
fn a_stream_gives_the_same_finds_wherever_it_is_cut() {
    // Room before and behind, so that no way of cutting fits into the first gathering.
    let mut bytes: Vec<u8> = (0..45_000u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let start = bytes.len();
    bytes.extend(mixture());
    let end = bytes.len();
    bytes.extend((0..60_000u32).map(|index| (index.wrapping_mul(2_246_822_519) >> 24) as u8));
    for mode in [Mode::All, Mode::ChecksumOnly] {
        let run = |cuts: &[usize]| {
            let (mut finds, mut from) = (Vec::new(), 0);
            let mut scan = StreamScan::new(mode);
            for cut in cuts.iter().copied().chain([bytes.len()]) {
                scan.push(&bytes[from..cut], &mut |find| finds.push(find));
                from = cut;
            }
            scan.finish(&mut |find| finds.push(find));
            finds
        };
        let whole = run(&[]);
        assert!(whole.len() >= if mode == Mode::All { 30 } else { 12 }, "{}", whole.len());
        let mut sorted = whole.clone();
        sorted.sort_by_key(|find| find.offset);
        assert_eq!(whole, sorted);
        // Every cut through the mixture and its margins, in steps that meet every byte of the mixture.
        for cut in (start - 300..end + 300).chain((0..bytes.len()).step_by(977)) {
            assert_eq!(run(&[cut]), whole, "cut at {cut}");
        }
        for size in [1, 100, 4096, 10_240, 10_241, 41_000] {
            let cuts: Vec<usize> = (size..bytes.len()).step_by(size).collect();
            assert_eq!(run(&cuts), whole, "buffers of {size}");
        }
    }
}
