//! MetaMask and wallets made from it: identities, imported and watched accounts, the address book, and the vault.
//!
//! Phones keep the state as JSON in the strings of a JSON object (redux-persist), browsers as one value, or one a controller, in LevelDB.

use super::Accounts;
use super::accounts::Entry;
use super::json;
use crate::parse::node::Node;
use model::{Code, SecretKind};
use serde_json::{Map, Value};

const APP: &str = "MetaMask";

/// Whether an object is a vault: cipher text, initialization vector and salt (MetaMask's browser-passworder).
pub fn is_vault(node: &Node<'_>) -> bool {
    let has = |name: &str| node.get(name).is_some_and(|value| value.string().is_some());
    (has("data") || has("cipher")) && has("iv") && has("salt")
}

/// Tells a file that is nothing but a vault.
pub fn read_vault(root: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    accounts.secret(SecretKind::Vault, root.raw().to_owned(), "metamask", root);
}

/// Reads what redux-persist wrote on a phone.
pub fn read_persisted(root: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    for (_, member) in root.members() {
        let text = member.string();
        let inner = match &text {
            Some(text) => Node::inside(text, member.pointer(), member.range()),
            None => member.clone(),
        };
        if inner.raw().starts_with('{') && !inner.is_valid() {
            accounts.emit.problem(Code::DocumentDamaged, format!("{}: not a whole JSON document", inner.pointer()));
        }
        match inner.get("backgroundState") {
            Some(state) => read_state(&state, accounts),
            None => read_state(&inner, accounts),
        }
        json::walk(&inner, "", false, APP, accounts);
    }
}

/// Whether a text names what a state or a controller of one has.
pub fn is_state(text: &str) -> bool {
    ["\"vault\"", "\"identities\"", "\"internalAccounts\"", "\"addressBook\"", "\"selectedAddress\""]
        .iter()
        .any(|word| text.contains(word))
}

/// Reads a state: an object of controllers, or one controller's. What has a name and an owner first: an address is told once.
pub fn read_state(state: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    let controllers: Vec<Node<'_>> = state.members().into_iter().map(|(_, node)| node).filter(Node::is_object).collect();
    for named in [true, false] {
        for controller in std::iter::once(state).chain(&controllers) {
            for (name, member) in controller.members() {
                if named { read_named(&name, &member, accounts) } else { read_followed(&name, &member, accounts) }
            }
        }
    }
}

fn read_named(name: &str, member: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    match name {
        "vault" => vault(member, accounts),
        "identities" => identities(member, accounts),
        "internalAccounts" => internal(member, accounts),
        "addressBook" => address_book(member, accounts),
        _ => {}
    }
}

/// Addresses that the wallet shows or follows, its own or not.
fn read_followed(name: &str, member: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    match name {
        // Balances by address.
        "accounts" => followed(member, accounts),
        "selectedAddress" => {
            if let Some(address) = member.string().filter(|address| is_address(address)) {
                accounts.tell(Entry { is_owner: None, ..own(address, None, Map::new()) }, member.place());
            }
        }
        _ => {}
    }
}

/// Twenty bytes in hexadecimal.
fn is_address(text: &str) -> bool {
    text.len() == 42 && text.starts_with("0x") && text.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit())
}

fn own(key: String, label: Option<String>, extra: Map<String, Value>) -> Entry {
    Entry { app: APP, key, chain: "ethereum".to_owned(), label, is_owner: Some(true), about: None, extra }
}

fn vault(node: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    let text = node.string();
    let inner = match &text {
        Some(text) => Node::inside(text, node.pointer(), node.range()),
        None => node.clone(),
    };
    if is_vault(&inner) {
        accounts.secret(SecretKind::Vault, inner.raw().to_owned(), "metamask", node);
    } else if !matches!(inner.raw(), "" | "null" | "{}") && accounts.app.as_deref().is_none_or(|app| app == APP) {
        // Other wallets call other things so.
        accounts.emit.problem(Code::ValueUndecodable, format!("{}: a vault of no known form", inner.pointer()));
    }
}

/// `{address: {name, importTime, lastSelected}}`.
fn identities(node: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    for (address, identity) in node.members().into_iter().filter(|(address, _)| is_address(address)) {
        let mut extra = Map::new();
        for (name, kept) in [("importTime", "created_ms"), ("lastSelected", "selected_ms")] {
            if let Some(time) = identity.get(name).and_then(|time| time.scalar()) {
                extra.insert(kept.to_owned(), Value::String(time));
            }
        }
        let label = identity.get("name").and_then(|name| name.string());
        accounts.tell(own(address, label, extra), identity.place());
    }
}

/// `{accounts: {uuid: {address, type, metadata: {name, importTime}}}}`.
fn internal(node: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    for (_, account) in node.get("accounts").map(|list| list.members()).unwrap_or_default() {
        let Some(address) = account.get("address").and_then(|address| address.string()) else { continue };
        let kind = account.get("type").and_then(|kind| kind.string()).unwrap_or_default();
        let chain = kind.split(':').next().filter(|_| !kind.starts_with("eip155")).unwrap_or("ethereum").to_owned();
        let label = account.at(&["metadata", "name"]).and_then(|name| name.string());
        let time = account.at(&["metadata", "importTime"]).and_then(|time| time.scalar());
        let extra = time.into_iter().map(|time| ("created_ms".to_owned(), Value::String(time))).collect();
        accounts.tell(Entry { chain, ..own(address, label, extra) }, account.place());
    }
}

/// `{address: {balance}}`.
fn followed(node: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    for (address, balance) in node.members().into_iter().filter(|(address, _)| is_address(address)) {
        let amount = balance.get("balance").and_then(|amount| amount.string());
        let extra = amount.into_iter().map(|amount| ("balance_wei".to_owned(), Value::String(amount))).collect();
        // An account that is followed need not be the wallet's own.
        accounts.tell(Entry { is_owner: None, ..own(address, None, extra) }, balance.place());
    }
}

/// `{chain id: {address: {name, memo}}}`: other people's.
fn address_book(node: &Node<'_>, accounts: &mut Accounts<'_, '_>) {
    for (_, book) in node.members() {
        for (address, entry) in book.members().into_iter().filter(|(address, _)| is_address(address)) {
            let label = entry.get("name").and_then(|name| name.string());
            let about = entry.get("memo").and_then(|memo| memo.string());
            let entry_of = Entry { is_owner: Some(false), about, ..own(address, label, Map::new()) };
            accounts.tell(entry_of, entry.place());
        }
    }
}
