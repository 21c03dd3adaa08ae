//! Electrum wallets: JSON, JSON followed by patches (since 4.4), or the literal of a Python dictionary (before 2.0).
//!
//! Keys as in Electrum's `wallet_db.py`: `addresses` or, before 4.0, `addr_history` lists what the wallet watches, `keystore` (`x1/`, `x2/`, …
//! in wallets of several signers) holds its keys, `labels` the user's words for addresses and transactions.

mod history;

use super::Accounts;
use super::accounts::Entry;
use crate::emit::Emit;
use crate::parse::Outcome;
use crate::parse::node::Node;
use model::{Code, SecretKind};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;

const APP: &str = "Electrum";
/// Words of the format of which two must stand in the head.
const WORDS: &[&str] = &[
    "addr_history",
    "wallet_type",
    "seed_version",
    "stored_height",
    "accounts_expanded",
    "master_public_key",
    "pruned_txo",
    "verified_tx3",
    "winpos-qt",
    "keystore",
    "use_encryption",
];

/// Whether the head is that of a wallet in clear text.
pub fn is_wallet(head: &[u8]) -> bool {
    let quoted = |word: &&&str| {
        let has = |quote: char| memchr::memmem::find(head, format!("{quote}{word}{quote}:").as_bytes()).is_some();
        has('"') || has('\'')
    };
    head.starts_with(b"{") && WORDS.iter().filter(quoted).take(2).count() == 2
}

/// Reads a wallet.
pub fn read(text: &str, offset: u64, emit: &mut Emit<'_>) -> Outcome {
    let json = if text.trim_start().starts_with("{'") { Cow::Owned(from_python(text)) } else { Cow::Borrowed(text) };
    let mut stream = serde_json::Deserializer::from_str(&json).into_iter::<&serde_json::value::RawValue>();
    let first = match stream.next() {
        Some(Ok(first)) => first.get().len(),
        _ => {
            emit.problem(Code::DocumentDamaged, "not a whole JSON document");
            return Outcome::partial("not a whole JSON document");
        }
    };
    let lead = json.len() - json.trim_start().len();
    let (wallet, rest) = json.split_at_checked(lead.saturating_add(first)).unwrap_or((&json, ""));
    // What was rewritten has the place of the whole file.
    let root = match &json {
        Cow::Owned(_) => Node::inside(wallet, "", (offset, text.len() as u64)),
        Cow::Borrowed(_) => Node::root(wallet, offset),
    };
    let labels: HashMap<String, String> = root
        .get("labels")
        .map(|labels| labels.members())
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(key, label)| label.string().map(|label| (key, label)))
        .collect();
    let mut accounts = Accounts::new(emit);
    let holds = holds_keys(&root);
    addresses(&root, &labels, holds, &mut accounts);
    keys(&root, holds, &mut accounts);
    history::tell(&root, &labels, is_testnet(&root), &mut accounts);
    let whole = patches(rest, offset.saturating_add(wallet.len() as u64), holds, &mut accounts);
    accounts.finish("addresses");
    if whole {
        return Outcome::parsed();
    }
    emit.problem(Code::DocumentDamaged, "a patch that is not JSON");
    Outcome::partial("a patch that is not JSON")
}

/// Whether a wallet holds keys, and not only watches.
fn holds_keys(root: &Node<'_>) -> bool {
    let stores =
        root.members().into_iter().filter(|(name, _)| name == "keystore" || (name.starts_with('x') && name.ends_with('/')));
    let holds = |store: &Node<'_>| {
        ["seed", "xprv", "keypairs", "master_private_keys"].iter().any(|name| {
            store.get(name).is_some_and(|kept| kept.string().is_some_and(|text| !text.is_empty()) || !kept.members().is_empty())
        })
    };
    holds(root) || stores.into_iter().any(|(_, store)| holds(&store))
}

/// Whether a wallet's addresses are those of the test network.
fn is_testnet(root: &Node<'_>) -> bool {
    let listed = root.at(&["addresses", "receiving"]).and_then(|list| list.elements().first().and_then(Node::string));
    let address = listed.or_else(|| Some(root.get("addr_history")?.members().into_iter().next()?.0));
    address.is_some_and(|address| entry(address, None, Map::new(), false).chain == "bitcoin_testnet")
}

/// An address or key; whose keys the wallet does not hold, nobody says whose it is.
fn entry(key: String, label: Option<String>, extra: Map<String, Value>, holds: bool) -> Entry {
    let base58 = (26..=35).contains(&key.len()) && ["m", "n", "2"].iter().any(|start| key.starts_with(start));
    let test = base58 || ["tb1", "bcrt1", "tpub", "upub", "vpub"].iter().any(|start| key.starts_with(start));
    let chain = if test { "bitcoin_testnet" } else { "bitcoin" };
    Entry { app: APP, key, chain: chain.to_owned(), label, is_owner: holds.then_some(true), about: None, extra }
}

fn addresses(root: &Node<'_>, labels: &HashMap<String, String>, holds: bool, accounts: &mut Accounts<'_, '_>) {
    let label = |address: &str| labels.get(address).cloned();
    for (branch, list) in root.get("addresses").map(|branches| branches.members()).unwrap_or_default() {
        for (number, node) in list.elements().into_iter().enumerate() {
            if let Some(address) = node.string() {
                let extra = Map::from_iter([("path".to_owned(), Value::String(format!("{branch}/{number}")))]);
                accounts.tell(entry(address.clone(), label(&address), extra, holds), node.place());
            }
        }
        // Imported addresses stand as keys of an object.
        for (address, node) in list.members() {
            accounts.tell(entry(address.clone(), label(&address), Map::new(), holds), node.place());
        }
    }
    let imported = root.at(&["accounts", "/x", "imported"]).or_else(|| root.at(&["accounts", "-1", "imported"]));
    for node in [root.get("addr_history"), imported].into_iter().flatten() {
        for (address, history) in node.members() {
            accounts.tell(entry(address.clone(), label(&address), Map::new(), holds), history.place());
        }
    }
}

/// Extended public keys, and what is encrypted or not beside them.
fn keys(root: &Node<'_>, holds: bool, accounts: &mut Accounts<'_, '_>) {
    let stores =
        root.members().into_iter().filter(|(name, _)| name == "keystore" || (name.starts_with('x') && name.ends_with('/')));
    let mut stores: Vec<_> = stores.collect();
    stores.push((String::new(), root.clone()));
    for (name, store) in stores {
        for (member, node) in store.members() {
            match (member.as_str(), node.string()) {
                ("xpub" | "master_public_key" | "mpk", Some(xpub)) => {
                    let mut extra = Map::from_iter([("cosigner".to_owned(), Value::String(name.clone()))]);
                    if let Some(path) = store.get("derivation").and_then(|path| path.string()) {
                        extra.insert("path".to_owned(), Value::String(path));
                    }
                    let label = store.get("label").and_then(|label| label.string());
                    accounts.tell(entry(xpub, label, extra, holds), node.place());
                }
                ("seed" | "passphrase" | "xprv", Some(secret)) if !secret.is_empty() => {
                    let (kind, detail) = secret_of(&member, &secret);
                    accounts.secret(kind, secret, detail, &node);
                }
                ("master_public_keys", None) => {
                    for (path, node) in node.members() {
                        let extra = Map::from_iter([("path".to_owned(), Value::String(path))]);
                        accounts.tell(entry(node.string().unwrap_or_default(), None, extra, holds), node.place());
                    }
                }
                ("keypairs" | "master_private_keys", None) => {
                    for (_, node) in node.members() {
                        let secret = node.string().unwrap_or_default();
                        let (kind, detail) = secret_of("xprv", &secret);
                        accounts.secret(kind, secret, detail, &node);
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a secret of a keystore is: words, an extended or other private key in clear text, or base64 of its cipher text.
fn secret_of(member: &str, secret: &str) -> (SecretKind, &'static str) {
    let words = secret.split_whitespace().count();
    match () {
        () if words >= 12 => (SecretKind::SeedPhrase, "electrum"),
        () if secret.get(1..4) == Some("prv") => (SecretKind::ExtendedPrivateKey, "bitcoin"),
        () if secret.contains(':') || (member != "seed" && (51..=52).contains(&secret.len())) => {
            (SecretKind::PrivateKeyWif, "bitcoin")
        }
        () if member == "seed" && secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            (SecretKind::SeedPhrase, "electrum:hex")
        }
        () if member == "passphrase" => (SecretKind::Vault, "electrum:passphrase"),
        () => (SecretKind::Vault, "electrum"),
    }
}

/// Reads the patches behind the document (RFC 6902, each after a comma): addresses they add. False where one is not JSON.
fn patches(rest: &str, mut offset: u64, holds: bool, accounts: &mut Accounts<'_, '_>) -> bool {
    let mut rest = rest;
    loop {
        let bare = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        offset = offset.saturating_add((rest.len() - bare.len()) as u64);
        if bare.is_empty() {
            return true;
        }
        let Some(Ok(raw)) = serde_json::Deserializer::from_str(bare).into_iter::<&serde_json::value::RawValue>().next() else {
            return false;
        };
        let length = raw.get().len();
        let patch = Node::root(raw.get(), offset);
        let path = patch.get("path").and_then(|path| path.string()).unwrap_or_default();
        let steps: Vec<&str> = path.split('/').skip(1).collect();
        // What is removed was told of where it was added.
        let removed = patch.get("op").and_then(|op| op.string()).is_some_and(|op| op == "remove");
        match steps.as_slice() {
            _ if removed => {}
            ["addr_history", address] => accounts.tell(entry((*address).to_owned(), None, Map::new(), holds), patch.place()),
            ["addresses", "receiving" | "change", _] => {
                let address = patch.get("value").and_then(|value| value.string()).unwrap_or_default();
                accounts.tell(entry(address, None, Map::new(), holds), patch.place());
            }
            _ => {}
        }
        offset = offset.saturating_add(length as u64);
        rest = bare.get(length..).unwrap_or_default();
    }
}

/// JSON from the literal of a Python dictionary: quotes, words, tuples, suffixes, and keys that are numbers.
fn from_python(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let (bytes, mut at, mut quote) = (text.as_bytes(), 0, None);
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let (taken, written): (usize, &[u8]) = match (quote, byte) {
            (Some(_), b'\\') => (2, rest.get(..2).unwrap_or(rest)),
            (Some(open), _) if byte == open => {
                quote = None;
                (1, b"\"")
            }
            // A quote of the other kind inside would end the string: written as an apostrophe that JSON lets be.
            (Some(_), b'"') => (1, b"'"),
            (Some(_), _) => (1, rest.get(..1).unwrap_or(rest)),
            (None, b'\'' | b'"') => {
                quote = Some(byte);
                (1, b"\"")
            }
            (None, b'u') if matches!(rest.get(1), Some(b'\'' | b'"')) => (1, b" "),
            (None, b'(') => (1, b"["),
            (None, b')') => (1, b"]"),
            (None, b'0'..=b'9') if out.trim_ascii_end().ends_with(b"{") || out.trim_ascii_end().ends_with(b",") => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (number, after) = rest.split_at_checked(digits).unwrap_or((rest, &[]));
                if after.trim_ascii_start().starts_with(b":") {
                    out.push(b'"');
                    out.extend_from_slice(number);
                    (digits, b"\"")
                } else {
                    (digits, number)
                }
            }
            (None, b'L') if before.is_some_and(u8::is_ascii_digit) => (1, b" "),
            (None, b'T') if rest.starts_with(b"True") => (4, b"true"),
            (None, b'F') if rest.starts_with(b"False") => (5, b"false"),
            (None, b'N') if rest.starts_with(b"None") => (4, b"null"),
            (None, _) => (1, rest.get(..1).unwrap_or(rest)),
        };
        out.extend_from_slice(written);
        at = at.saturating_add(taken);
    }
    String::from_utf8_lossy(&out).into_owned()
}
