//! Keystores: one JSON object with an encrypted key. Ethereum's Web3 Secret Storage version 3 (<https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage>),
//! wallet-core's StoredKey (Trust Wallet and forks) and imToken's, which add accounts of many chains in clear text.

use super::Accounts;
use super::accounts::{Entry, chain_of_coin};
use crate::parse::node::Node;
use model::SecretKind;
use serde_json::{Map, Value};

/// The encrypted part; old clients wrote it with a capital.
fn crypto<'a>(root: &Node<'a>) -> Option<Node<'a>> {
    root.members().into_iter().find(|(name, _)| name.eq_ignore_ascii_case("crypto")).map(|(_, node)| node)
}

/// Whether a document is a keystore: a cipher text with its key derivation, and a version, address or accounts.
pub fn is_keystore(root: &Node<'_>) -> bool {
    let named = ["version", "address", "activeAccounts", "imTokenMeta"].iter().any(|name| root.get(name).is_some());
    named && crypto(root).is_some_and(|crypto| crypto.get("ciphertext").is_some() && crypto.get("kdf").is_some())
}

/// Members of an object that are strings or numbers, under their names.
fn keep(extra: &mut Map<String, Value>, node: &Node<'_>, names: &[(&str, &str)]) {
    for (name, kept) in names {
        if let Some(text) = node.get(name).and_then(|value| value.scalar()).filter(|text| !text.is_empty()) {
            extra.insert((*kept).to_owned(), Value::String(text));
        }
    }
}

/// Tells the accounts and the vault.
pub fn read(root: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    let meta = root.get("imTokenMeta");
    let active = root.get("activeAccounts").map(|list| list.elements()).unwrap_or_default();
    let app = match (&meta, root.get("activeAccounts")) {
        (Some(_), _) => "imToken",
        (None, Some(_)) => "wallet-core",
        _ => "Ethereum keystore",
    };
    let name = meta.as_ref().unwrap_or(root).get("name").and_then(|name| name.string());
    let mut common = Map::new();
    keep(&mut common, root, &[("id", "keystore"), ("type", "type")]);
    if let Some(meta) = &meta {
        keep(&mut common, meta, &[("timestamp", "created"), ("source", "source"), ("network", "network")]);
    }
    for account in &active {
        let mut extra = common.clone();
        let names =
            [("derivationPath", "path"), ("extendedPublicKey", "xpub"), ("extPubKey", "xpub"), ("publicKey", "public_key")];
        keep(&mut extra, account, &names);
        let address = account.get("address").and_then(|address| address.string()).unwrap_or_default();
        let key =
            if address.is_empty() { extra.get("xpub").and_then(Value::as_str).unwrap_or_default().to_owned() } else { address };
        let coin = account.get("coin").and_then(|coin| coin.scalar()).and_then(|coin| coin.parse().ok()).map(chain_of_coin);
        let chain = coin.or_else(|| account.get("chainType").and_then(|chain| chain.string()).map(|chain| chain.to_lowercase()));
        let (chain, label) = (chain.unwrap_or_default(), name.clone());
        accounts.tell(Entry { app, key, chain, label, is_owner: Some(true), about: None, extra }, account.place());
    }
    if let Some(node) = root.get("address").filter(|_| active.is_empty()) {
        let address = node.string().unwrap_or_default();
        // Version 3 writes it without its prefix.
        let bare = address.len() == 40 && address.bytes().all(|byte| byte.is_ascii_hexdigit());
        let key = if bare { format!("0x{address}") } else { address };
        let chain = if key.starts_with("0x") { "ethereum" } else { "" }.to_owned();
        accounts.tell(Entry { app, key, chain, label: name, is_owner: Some(true), about: None, extra: common }, node.place());
    }
    // A hint at the password is as good as half of it.
    if let Some((hint, node)) =
        meta.as_ref().and_then(|meta| meta.get("passwordHint")).and_then(|node| Some((node.string()?, node)))
    {
        accounts.secret(SecretKind::Vault, hint, "imToken:password_hint", &node);
    }
    if let Some(crypto) = crypto(root) {
        let word = |name: &str| crypto.get(name).and_then(|value| value.string()).unwrap_or_default();
        accounts.secret(
            SecretKind::Vault,
            crypto.raw().to_owned(),
            &format!("{app}:{}:{}", word("kdf"), word("cipher")),
            &crypto,
        );
    }
}
