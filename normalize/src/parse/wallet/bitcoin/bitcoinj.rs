//! Wallets of bitcoinj (MultiBit, Bitcoin Wallet for Android, Dogecoin's and Litecoin's ports): one Protocol Buffers message, `Wallet` of
//! `wallet.proto`, that begins with the name of its network.

use super::chain::Chain;
use super::{derive, transaction};
use crate::decode::base64::hex;
use crate::decode::protobuf;
use crate::emit::Emit;
use crate::parse::wallet::accounts::{Accounts, Entry, Transfer};
use crate::parse::{Input, Outcome, Parser};
use model::time::{Stamp, TimeUnit};
use model::{Code, Locator, SecretKind};
use rusqlite::types::Value as Field;
use serde_json::{Map, Value, json};

/// Largest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// Encrypted keys that are kept with the parameters of their encryption: whoever tries passwords needs one.
const ENCRYPTED_KEPT: usize = 3;
const APP: &str = "bitcoinj";

/// The parser.
pub struct Bitcoinj;

impl Parser for Bitcoinj {
    fn name(&self) -> &'static str {
        "bitcoinj"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        let Some(([10, length], rest)) = input.head.split_first_chunk::<2>() else { return false };
        let name = rest.get(..usize::from(*length)).unwrap_or_default();
        name.starts_with(b"org.") && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.')
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(FILE_BYTES_MAX, "wallet", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let network = text(&content, "1").unwrap_or_default();
        let mut reading = Reading { chain: Chain::of_network(&network), accounts: Accounts::new(emit), encrypted: Vec::new() };
        let mut damage = None;
        for field in [3, 4] {
            let visited = protobuf::each(&content, field, &mut |value, at| {
                let place = Locator::Bytes { offset: at as u64, length: value.len() as u64 };
                if field == 3 { reading.key(value, place) } else { reading.transaction(value, place) }
            });
            damage = damage.or(visited.err());
        }
        reading.vault(&content);
        reading.accounts.finish("keys");
        match damage {
            None => Outcome::parsed(),
            Some(at) => {
                emit.problem(Code::DocumentDamaged, format!("no message from byte {at}"));
                Outcome::partial("see its problems")
            }
        }
    }
}

fn bytes(message: &[u8], path: &str) -> Option<Vec<u8>> {
    match protobuf::field(message, path)? {
        Field::Blob(bytes) => Some(bytes),
        Field::Text(text) => Some(text.into_bytes()),
        _ => None,
    }
}

fn text(message: &[u8], path: &str) -> Option<String> {
    bytes(message, path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn number(message: &[u8], path: &str) -> Option<i64> {
    match protobuf::field(message, path)? {
        Field::Integer(number) => Some(number),
        _ => None,
    }
}

struct Reading<'r, 'e> {
    chain: &'static Chain,
    accounts: Accounts<'r, 'e>,
    encrypted: Vec<Value>,
}

impl Reading<'_, '_> {
    /// `Key`: type 1, secret 2, public key 3, label 4, time of creation 5, encrypted secret 6, place in a tree of keys 7.
    fn key(&mut self, key: &[u8], place: Locator) {
        if let (Some(vector), Some(secret)) = (bytes(key, "6.1"), bytes(key, "6.2"))
            && self.encrypted.len() < ENCRYPTED_KEPT
        {
            self.encrypted.push(json!({ "iv": hex(&vector), "encrypted": hex(&secret) }));
        }
        let secret = bytes(key, "2").filter(|secret| !secret.is_empty());
        // Three: the words that all keys are made from.
        if number(key, "1") == Some(3) {
            if let Some(words) = secret.and_then(|words| String::from_utf8(words).ok()) {
                self.accounts.keep(SecretKind::SeedPhrase, words, "bitcoinj", "key", &place);
            }
            return;
        }
        let Some(public) = bytes(key, "3").filter(|public| derive::is_public_key(public)) else {
            self.accounts.emit.problem(
                Code::ValueUndecodable,
                format!("a key without public key at byte {}", place.range().unwrap_or_default().0),
            );
            return;
        };
        let compressed = public.len() == 33;
        if let Some(secret) = secret.filter(|secret| derive::public_of(secret, compressed).as_ref() == Some(&public)) {
            let wif = self.chain.private_key(&secret, compressed);
            self.accounts.keep(SecretKind::PrivateKeyWif, wif, self.chain.name, &format!("key of {}", hex(&public)), &place);
        }
        let mut extra = Map::from_iter([("public_key".to_owned(), json!(hex(&public)))]);
        extra.extend(number(key, "5").map(|created| ("created_ms".to_owned(), json!(created))));
        extra.extend(self.chain.witness_key(&public).map(|address| ("p2wpkh".to_owned(), json!(address))));
        let entry = Entry {
            app: APP,
            key: self.chain.pay_to_key(&public),
            chain: self.chain.name.to_owned(),
            label: text(key, "4"),
            is_owner: Some(true),
            about: None,
            extra,
        };
        self.accounts.tell(entry, place);
    }

    /// `Transaction`: hash 2, time of the last change 5, inputs 6, outputs 7, block 8, memo 13.
    fn transaction(&mut self, message: &[u8], place: Locator) {
        let Some(id) = bytes(message, "2").filter(|id| id.len() == 32) else {
            self.accounts.emit.problem(
                Code::ValueUndecodable,
                format!("a transaction without id at byte {}", place.range().unwrap_or_default().0),
            );
            return;
        };
        let (mut outputs, mut inputs) = (Vec::new(), Vec::new());
        let chain = self.chain;
        let whole = protobuf::each(message, 7, &mut |output, _| {
            let address = bytes(output, "2").and_then(|script| chain.address_of_script(&script));
            let amount = number(output, "1").unwrap_or_default();
            outputs.push(json!({ "address": address, "amount": amount.to_string() }));
        })
        .and_then(|()| {
            protobuf::each(message, 6, &mut |input, _| {
                let spent = bytes(input, "1").map(|id| hex(&id)).unwrap_or_default();
                inputs.push(json!(format!("{spent}:{}", number(input, "2").unwrap_or_default())));
            })
        });
        if whole.is_err() {
            self.accounts.emit.problem(Code::ValueUndecodable, format!("transaction {} is cut short", hex(&id)));
        }
        let extra = Map::from_iter([("inputs".to_owned(), json!(inputs)), ("outputs".to_owned(), json!(outputs))]);
        let block = bytes(message, "8")
            .map(|hash| format!("block:{}", transaction::id_text(&hash.into_iter().rev().collect::<Vec<_>>())));
        let transfer = Transfer {
            app: APP,
            chain: self.chain.name.to_owned(),
            id: hex(&id),
            received: number(message, "5").map(|time| Stamp::integer(time, TimeUnit::UnixMs)),
            note: text(message, "13"),
            status: block,
            extra,
            ..Transfer::default()
        };
        self.accounts.transfer(transfer, place);
    }

    /// The parameters of the encryption (field 6: salt, cost, block size, lanes) and the first encrypted keys.
    fn vault(&mut self, content: &[u8]) {
        let Some(salt) = bytes(content, "6.1").filter(|_| !self.encrypted.is_empty()) else { return };
        let of = |path: &str, default: i64| number(content, path).unwrap_or(default);
        // Defaults of `ScryptParameters`.
        let value = json!({
            "kdf": "scrypt", "salt": hex(&salt), "n": of("6.2", 16384), "r": of("6.3", 8), "p": of("6.4", 1),
            "keys": self.encrypted,
        });
        let place = Locator::Bytes { offset: 0, length: content.len() as u64 };
        self.accounts.keep(SecretKind::Vault, value.to_string(), "bitcoinj:scrypt", "encryption_parameters", &place);
    }
}
