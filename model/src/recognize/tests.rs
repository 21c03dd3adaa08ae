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
