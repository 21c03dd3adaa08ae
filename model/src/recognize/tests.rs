use super::*;

fn values(text: &str) -> Vec<(String, String, Validity)> {
    let observable = |find: Find| match find.found {
        Found::Observable(found) => {
            Some((found.chain.unwrap_or_else(|| found.kind.name().to_owned()), found.value, found.validity))
        }
        Found::Secret { .. } => None,
    };
    find_in_text(text).into_iter().filter_map(observable).collect()
}

fn secrets(text: &str) -> Vec<(SecretKind, String, String)> {
    let secret = |find: Find| match find.found {
        Found::Secret { kind, value, detail } => Some((kind, value, detail)),
        Found::Observable(_) => None,
    };
    find_in_text(text).into_iter().filter_map(secret).collect()
}

/// One address of each chain, from the chains' own documents.
const SAMPLES: &[(&str, &str)] = &[
    ("bitcoin", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("bitcoin,litecoin", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
    ("bitcoin", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
    ("bitcoin", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"),
    ("tron", "TNDzfERDpxLDS2w1q6yaFC7pzqaSQ3Bg3r"),
    ("ethereum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
    ("litecoin", "LVg2kJoFNg45Nbpy53h7Fe1wKyeXVRhMH9"),
    ("litecoin", "ltc1qg42tkwuuxefutzxezdkdel39gfstuap288mfea"),
    ("dogecoin", "DPpJVPpvPNP6i6tMj4rTycAGh8wReTqaSU"),
    ("dash", "XoAAqv3oUYZ6xRjX3brfbf9PotrGanS6Th"),
    ("xrp", "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh"),
    ("monero", "48bWuoDG75CXMDHbmPEvUF2hm1vLDic7ZJ7hqRkL65QR9p13AQAX4eEACXNk4YP115Q4KRVZnAvmMBHrcGfv9FvKPZnH6vH"),
    ("polkadot", "15uwigGExiNQxTNr1QSZYPXJMp9Px2YnVU"),
    ("stellar", "GBBM6BKZPEHWYO3E3YKREDPQXMS4VK35YLNU7NFBRI26RAN7GI5POFBB"),
    ("cosmos", "cosmos1gu6y2a0ffteesyeyeesk23082c6998xyzmt9mz"),
    ("algorand", "J4AEINCSSLDA7LNBNWM4ZXFCTLTOZT5LG3F5BLMFPJYGFWVCMU37EZI2AM"),
];

#[test]
fn an_address_of_each_chain_is_found_and_its_neighbour_is_not() {
    for (chain, address) in SAMPLES.iter().filter(|(chain, _)| *chain != "polkadot") {
        let text = format!("send to {address} asap");
        assert_eq!(values(&text), [((*chain).to_owned(), (*address).to_owned(), Validity::Checksum)], "{address}");
        let mut wrong = address.as_bytes().to_vec();
        let at = wrong.len() - 9;
        wrong.swap(at, at + 1);
        assert_eq!(values(std::str::from_utf8(&wrong).unwrap()), [], "{address}");
        assert_eq!(values(&format!("{address}7")), [], "{address}");
    }
}

#[test]
fn the_letter_of_an_escape_belongs_to_the_escape() {
    for before in ["\\n", "\\t", "\\r", "\\u0041", "%20", "%3A", "\\x0a", "=3D"] {
        let text = format!("wallet{before}1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa\\nok");
        let finds = find_in_text(&text);
        assert_eq!(finds.len(), 1, "{text}");
        assert_eq!(finds[0].offset as usize, 6 + before.len(), "{text}");
    }
}

#[test]
fn a_seed_phrase_is_a_secret_in_each_layout() {
    let phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    let words: Vec<&str> = phrase.split(' ').collect();
    let numbered: Vec<String> = words.iter().enumerate().map(|(index, word)| format!("{}. {word}", index + 1)).collect();
    let layouts = [
        phrase.to_owned(),
        words.join("\n"),
        words.join(", "),
        numbered.join("\n"),
        words.join("\\n"),
        words.join("\",\""),
        phrase.to_uppercase(),
    ];
    for layout in layouts {
        let expected = (SecretKind::SeedPhrase, phrase.to_owned(), "bip39:english".to_owned());
        assert_eq!(secrets(&format!("- {layout} -")), [expected], "{layout}");
    }
    assert_eq!(secrets(&phrase.replace("yellow", "winner")), []);
    assert_eq!(secrets(&format!("winner {phrase}")), []);
}

/// Phrases that another implementation makes (crate `bip39`), decomposed as the lists are and composed as people type them.
#[test]
fn seed_phrases_of_all_ten_languages_are_found_in_both_spellings() {
    use unicode_normalization::UnicodeNormalization;
    for (language, name) in bip39::Language::ALL.iter().zip(seed::NAMES) {
        for length in [16usize, 20, 24, 28, 32] {
            let entropy: Vec<u8> = (0..length).map(|place| (place * 37 + length * 11 + 5) as u8).collect();
            let made = bip39::Mnemonic::from_entropy_in(*language, &entropy).unwrap();
            let words: Vec<&str> = made.words().collect();
            let spaces: &[&str] = if name == "japanese" { &[" ", "\u{3000}"] } else { &[" ", "\n", ", "] };
            for space in spaces {
                let decomposed = words.join(space);
                for text in [decomposed.clone(), decomposed.nfc().collect::<String>()] {
                    let found = secrets(&format!("备忘: {text}. ok"));
                    assert_eq!(found.len(), 1, "{name} {length}: {text}");
                    assert_eq!((found[0].0, found[0].1.as_str()), (SecretKind::SeedPhrase, &*words.join(" ")), "{name}: {text}");
                    assert!(found[0].2.split(',').any(|detail| detail == format!("bip39:{name}")), "{name}: {}", found[0].2);
                }
            }
            // Another last word has another checksum: of 16 words or more that end so, all but one are refused.
            let list = language.word_list();
            let at = list.iter().position(|word| word == &words[words.len() - 1]).unwrap();
            let other = [&words[..words.len() - 1], &[list[at ^ 1]]].concat().join(" ");
            let wrong = secrets(&other).into_iter().filter(|found| found.2.contains(&format!("bip39:{name}"))).count();
            assert_eq!(wrong, 0, "{name} {length}: {other}");
        }
    }
}

/// Seeds of Electrum's own tests (`tests/test_wallet_vertical.py`, `tests/test_mnemonic.py`).
#[test]
fn seeds_of_electrum_are_found_with_their_kind() {
    for (seed, kind) in [
        ("cram swing cover prefer miss modify ritual silly deliver chunk behind inform able", "standard"),
        ("bitter grass shiver impose acquire brush forget axis eager alone wine silver", "segwit"),
        ("wild father tree among universe such mobile favorite target dynamic credit identify", "segwit"),
    ] {
        assert_eq!(secrets(&format!("seed: {seed}\n")), [(SecretKind::SeedPhrase, seed.to_owned(), format!("electrum:{kind}"))]);
    }
}

/// Examples of the SWIFT registry, in its print form and in others that people use.
#[test]
fn account_numbers_are_found_however_they_are_grouped() {
    for grouped in [
        "GB29 NWBK 6016 1331 9268 19",
        "DE89 3704 0044 0532 0130 00",
        "FR14 2004 1010 0505 0001 3M02 606",
        "AE07 0331 2345 6789 0123 456",
    ] {
        let plain = grouped.replace(' ', "");
        for text in [plain.clone(), grouped.to_owned(), grouped.replace(' ', "-"), grouped.replace(' ', "\u{a0}")] {
            let wanted = [("iban".to_owned(), plain.clone(), Validity::Checksum)];
            assert_eq!(values(&format!("konto {text}, danke")), wanted, "{text}");
        }
        let wrong = grouped.replacen(grouped.get(2..4).unwrap(), "98", 1);
        assert_eq!(values(&wrong), [], "{wrong}");
    }
}

/// One account in the forms of TON's documents (docs.ton.org, "Smart contract addresses").
#[test]
fn an_account_of_ton_is_found_in_each_form() {
    for address in [
        "EQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqB2N",
        "UQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqEBI",
        "kQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqKYH",
    ] {
        assert_eq!(values(&format!("ton: {address} now")), [("ton".to_owned(), address.to_owned(), Validity::Checksum)]);
        let mut wrong = address.to_owned();
        wrong.replace_range(47..48, "x");
        assert_eq!(values(&wrong), []);
    }
    let raw = "0:83dfd552e63729b472fcbcc8c45ebcc6691702558b68ec7527e1ba403a0f31a8";
    assert_eq!(values(&format!("ton wallet {raw}")), [("ton".to_owned(), raw.to_owned(), Validity::Format)]);
}
