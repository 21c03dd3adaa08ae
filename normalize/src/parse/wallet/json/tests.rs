use super::*;
use crate::evidence::{Scratch, records};
use crate::parse::Outcome;
use model::{Body, Record};

fn told(text: &str) -> Vec<Body> {
    Scratch::new("x", text.as_bytes()).run(|_, emit| {
        let mut accounts = Accounts::new(emit);
        walk(&Node::root(text, 0), "", true, "test", &mut accounts);
        accounts.finish_found("accounts");
        Outcome::parsed()
    })
}

/// Key, chain, label and owner of every account.
fn accounts(text: &str) -> Vec<(String, String, Option<String>, Option<bool>)> {
    records(&told(text))
        .into_iter()
        .filter_map(|record| match record {
            Record::Account(account) => Some((
                account.account_key.clone(),
                account.chain.clone().unwrap_or_default(),
                account.display_name.clone(),
                account.is_owner,
            )),
            _ => None,
        })
        .collect()
}

fn account(key: &str, chain: &str, label: Option<&str>, owner: Option<bool>) -> (String, String, Option<String>, Option<bool>) {
    (key.to_owned(), chain.to_owned(), label.map(str::to_owned), owner)
}

const TRON: &str = "TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC";
const EVM: &str = "0x66f9c09118b1c726bc24811a611baf60af42070a";
const SOLANA: &str = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q";

#[test]
fn accounts_of_several_layouts() {
    let tronlink = format!(r#"{{"accounts":{{"{TRON}":{{"type":2,"name":"till","address":"{TRON}","tokens":{{}}}}}}}}"#);
    assert_eq!(accounts(&tronlink), [account(TRON, "tron", Some("till"), Some(true))]);
    let phantom = format!(
        r#"{{"accounts":[{{"name":"Main","type":"seed","seedIdentifier":"s","chains":{{"solana":{{"publicKey":"{SOLANA}"}},"ethereum":{{"publicKey":"{EVM}"}}}}}}]}}"#
    );
    let wanted = [account(SOLANA, "solana", Some("Main"), Some(true)), account(EVM, "ethereum", Some("Main"), Some(true))];
    assert_eq!(accounts(&phantom), wanted);
    let trust = format!(
        r#"[1,{{}},{{"wallet":{{"accountsPerWallet":{{"w1":{{"0":{{"items":{{"195":{{"address":"{TRON}"}},"60":{{"address":"{EVM}"}}}}}}}}}}}}}}]"#
    );
    assert_eq!(accounts(&trust), [account(TRON, "tron", None, Some(true)), account(EVM, "ethereum", None, Some(true))]);
}

#[test]
fn tokens_and_contracts_are_no_accounts() {
    let tokens = format!(
        r#"{{"tokens":[{{"address":"{EVM}","symbol":"USDT","decimals":6,"name":"Tether"}}],"other":{{"address":"{EVM}"}},"accounts":[{{"address":"{EVM}","symbol":"X"}}]}}"#
    );
    assert_eq!(accounts(&tokens), []);
}

#[test]
fn other_peoples_accounts_are_not_the_owners() {
    let book = format!(r#"{{"addressBook":{{"1":{{"{EVM}":{{"address":"{EVM}","name":"boss"}}}}}},"selectedAddress":"{TRON}"}}"#);
    assert_eq!(accounts(&book), [account(EVM, "ethereum", Some("boss"), Some(false)), account(TRON, "tron", None, Some(true))]);
}

#[test]
fn vaults_of_all_forms() {
    for vault in [
        r#"{"data":"AAAAAAAA","iv":"BBBBBBBB","salt":"CCCCCCCC"}"#,
        r#"{"encrypted":"2LongBase58","nonce":"AbcdefghJ","salt":"AbcdefghJ","kdf":"pbkdf2","iterations":10000,"digest":"sha256"}"#,
        r#"{"cipher":"AAAAAAAA","iv":"BBBBBBBB","salt":"CCCCCCCC","lib":"original"}"#,
    ] {
        for text in [format!("{{\"vault\":{vault}}}"), serde_json::json!({ "keyringState": { "vault": vault } }).to_string()] {
            let secrets: Vec<_> = told(&text)
                .into_iter()
                .filter_map(|body| if let Body::Secret(secret) = body { Some(secret.value.clone()) } else { None })
                .collect();
            assert_eq!(secrets, [vault], "{text}");
        }
    }
}

#[test]
fn transactions_name_both_sides_and_which_is_the_owners() {
    let hash = format!("0x{}", "ab".repeat(32));
    let text = format!(
        r#"{{"transactions":[{{"id":"1","chainId":"0x38","hash":"{hash}","status":"confirmed","time":1700000000123,
            "txParams":{{"from":"{EVM}","to":"0x0000000000000000000000000000000000000001","value":"0x5"}}}}],
            "accounts":{{"{EVM}":{{"address":"{EVM}","walletId":"w"}}}}}}"#
    );
    let bodies = told(&text);
    let message = records(&bodies)
        .into_iter()
        .find_map(|record| if let Record::Message(message) = record { Some(message.clone()) } else { None })
        .unwrap();
    assert_eq!((message.message_key.as_deref(), message.outgoing), (Some(hash.as_str()), Some(true)));
    assert_eq!(message.sent.unwrap().utc_us, Some(1_700_000_000_123_000));
    assert_eq!(message.sender.as_deref(), Some(EVM));
    assert!(message.extra.unwrap().contains("bnb_smart_chain"));
}

#[test]
fn nesting_of_any_depth_ends() {
    told(&"[".repeat(100_000));
    told(&format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120)));
}
