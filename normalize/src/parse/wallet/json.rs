//! Wallet-shaped parts of any JSON document: accounts, keystores, vaults, transactions. How wallets lay their stores out differs and
//! changes; what an account, a vault or a transaction has in it does not.
//!
//! Layouts that this is made for, from public sources: TronLink (`{address, name, type, …}`, a MetaMask vault), Phantom
//! (`.phantom-labs.vault.accounts`: `{name, chains: {solana: {publicKey}}}`, `{encrypted, nonce, salt, kdf}`), Trust Wallet
//! (`trust:vault`, `trust:store`: `accountsPerWallet.ID.….items.COIN.address`), Rabby, OKX, Binance and Ronin (`{data, iv, salt}`),
//! Keplr (`crypto`, `meta`), TokenPocket and SafePal (`{address, name, blockchain…}`).

use super::accounts::{Accounts, Entry, Transfer, chain_of_coin};
use super::{keystore, shape};
use crate::parse::node::Node;
use model::SecretKind;
use model::time::{Stamp, TimeUnit};
use serde_json::{Map, Value};

/// Deepest nesting that is followed, texts inside of strings counted.
const DEPTH: u32 = 40;
/// Names of members.
const ADDRESS: &[&str] = &[
    "address",
    "addr",
    "walletaddress",
    "accountaddress",
    "publicaddress",
    "base58",
    "evmaddress",
    "selectedaddress",
    "receiveaddress",
    "wallet_address",
    "bech32address",
    "addressstr",
];
const LABEL: &[&str] = &["name", "label", "alias", "walletname", "accountname", "nickname", "remark", "title"];
const CREATED: &[&str] = &["importtime", "createtime", "createdat", "createdtime", "created", "create_time", "timestamp"];
const KEPT: &[(&str, &[&str])] = &[
    ("path", &["path", "hdpath", "derivationpath", "derivation_path", "bip44hdpath"]),
    ("xpub", &["xpub", "extendedpublickey", "extpubkey"]),
    ("public_key", &["publickey", "pubkey", "public_key"]),
    ("type", &["type", "accounttype", "wallettype", "keytype"]),
    ("wallet", &["walletid", "wallet_id", "keystoreid", "seedidentifier", "id"]),
    ("index", &["index", "accountindex", "derivationindex"]),
];
const CHAIN: &[&str] = &["chain", "chaintype", "network", "blockchain", "chainname", "networktype", "coin", "cointype", "coinid"];
/// What a token or contract has and an account has not.
const TOKEN: &[&str] = &["symbol", "decimals", "contract", "contractaddress", "tokenid", "logouri", "iserc20", "abi", "standard"];
/// What makes an object with an address an account.
const SIGNS: &[&str] = &[
    "path",
    "hdpath",
    "derivationpath",
    "publickey",
    "pubkey",
    "xpub",
    "extendedpublickey",
    "walletid",
    "importtime",
    "createtime",
    "createdat",
    "accounttype",
    "wallettype",
    "accountindex",
    "lastselected",
    "keystore",
    "ishardware",
    "iswatchonly",
    "watchonly",
    "mnemonic",
    "privatekey",
    "brandname",
    "byimport",
];
/// What only the wallet's own accounts have.
const STRONG: &[&str] = &[
    "path",
    "hdpath",
    "derivationpath",
    "walletid",
    "accountindex",
    "keystore",
    "mnemonic",
    "privatekey",
    "importtime",
    "byimport",
];
/// Names of members that hold the wallet's own accounts, and those that hold other people's.
const OWN: &[&str] = &[
    "accounts",
    "wallets",
    "identities",
    "walletlist",
    "accountlist",
    "internalaccounts",
    "accountsperwallet",
    "selectedaccount",
    "selectedwallet",
    "currentaccount",
    "currentwallet",
    "wallet",
    "account",
    "selectedaddress",
];
const OTHERS: &[&str] = &["addressbook", "contacts", "contactbook", "addressbooks", "recents", "recentrecipients", "contactlist"];
const FROM: &[&str] = &["from", "fromaddress", "from_address", "owneraddress", "owner_address", "sender"];
const TO: &[&str] = &["to", "toaddress", "to_address", "recipient", "receiver"];
const ID: &[&str] = &["hash", "txhash", "transactionhash", "txid", "tx_id", "transaction_id", "transactionid", "signature"];
const AMOUNT: &[&str] = &["value", "amount", "quant", "amountstr"];
const TIME: &[&str] = &["time", "timestamp", "blocktime", "block_timestamp", "createtime", "createdat", "submittedtime", "date"];

/// What is known of a place in the document from what stands around it.
#[derive(Clone, Default)]
struct Around {
    depth: u32,
    label: Option<String>,
    chain: Option<String>,
    /// Whether accounts here are the wallet's own, or other people's.
    owner: Option<bool>,
    /// The name of the member that holds this value.
    name: String,
}

type Members<'a> = [(String, Node<'a>)];

/// Tells what a document holds. `accounts` says whether addresses become accounts, or only vaults and transactions are told (where
/// something else has read the accounts). `app` stands where nothing else names the wallet.
pub fn walk(root: &Node<'_>, name: &str, tell_accounts: bool, app: &'static str, accounts: &mut Accounts<'_, '_>) {
    let mut walk = Walk { accounts, tell_accounts, app };
    let name = lower(name);
    let owner = owner_of(&name, None);
    walk.value(root, &Around { name, owner, ..Around::default() });
}

/// Whose the accounts below a member of that name are.
fn owner_of(name: &str, around: Option<bool>) -> Option<bool> {
    match name {
        own if OWN.contains(&own) && around != Some(false) => Some(true),
        others if OTHERS.contains(&others) => Some(false),
        _ => around,
    }
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The first member, in the order of the names, that has one of them.
fn member<'m, 'a>(members: &'m Members<'a>, names: &[&str]) -> Option<&'m Node<'a>> {
    names.iter().find_map(|name| members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, node)| node))
}

fn text(members: &Members<'_>, names: &[&str]) -> Option<String> {
    member(members, names).and_then(Node::string).filter(|text| !text.is_empty())
}

fn scalar(members: &Members<'_>, names: &[&str]) -> Option<String> {
    member(members, names).and_then(Node::scalar).filter(|text| !text.is_empty())
}

struct Walk<'w, 'r, 'e> {
    accounts: &'w mut Accounts<'r, 'e>,
    tell_accounts: bool,
    app: &'static str,
}

impl Walk<'_, '_, '_> {
    fn value(&mut self, node: &Node<'_>, around: &Around) {
        if around.depth >= DEPTH {
            return;
        }
        match node.raw().as_bytes().first() {
            Some(b'{') => self.object(node, around),
            Some(b'[') => {
                for element in node.elements() {
                    self.value(&element, &Around { depth: around.depth + 1, ..around.clone() });
                }
            }
            Some(b'"') => self.string(node, around),
            _ => {}
        }
    }

    /// A document in a string, an address where accounts are, or an extended key.
    fn string(&mut self, node: &Node<'_>, around: &Around) {
        let Some(text) = node.string() else { return };
        if text.trim_start().starts_with(['{', '[']) {
            let inner = Node::inside(&text, node.pointer(), node.range());
            if inner.is_valid() {
                self.value(&inner, &Around { depth: around.depth + 1, ..around.clone() });
            }
            return;
        }
        // What stands under such a name is an address if its checksum says so; one without checksum, only where accounts are.
        let named = ADDRESS.contains(&around.name.as_str()) && !shape::is_evm(&text);
        if (around.owner.is_some() || named)
            && let Some(chain) = shape::address(&text, around.chain.as_deref())
        {
            self.tell(text, chain, around.label.clone(), around.owner, Map::new(), node);
        } else if let Some(chain) = shape::extended_key(&text) {
            self.tell(text, chain, around.label.clone(), Some(true), Map::new(), node);
        }
    }

    fn object(&mut self, node: &Node<'_>, around: &Around) {
        if keystore::is_keystore(node) {
            keystore::read(node, self.accounts);
            return;
        }
        let members = node.members();
        if is_cipher(&members) {
            let detail = format!("{}:{}", self.accounts.app.as_deref().unwrap_or(self.app), around.name);
            self.accounts.secret(SecretKind::Vault, node.raw().to_owned(), &detail, node);
            return;
        }
        if self.transfer(node, &members, around) {
            return;
        }
        let label = text(&members, LABEL);
        let chain = chain(&members).or_else(|| around.chain.clone());
        let token = member(&members, TOKEN).is_some();
        let told = !token && self.account(node, &members, &label, chain.as_deref(), around);
        for (name, inner) in &members {
            let lower = lower(name);
            let owner = owner_of(&lower, around.owner);
            // A token's members are none of the wallet's accounts.
            let owner = owner.filter(|_| !token);
            let named = shape::chain_word(name).map(str::to_owned).or_else(|| coin(name, &around.name));
            // Only the accounts below take the name of what holds them, not what is told here already.
            let skip = !inner.is_object() && ADDRESS.contains(&lower.as_str()) && (told || token);
            if skip {
                continue;
            }
            let within = Around {
                depth: around.depth + 1,
                label: label.clone().or_else(|| around.label.clone()),
                chain: named.or_else(|| chain.clone()),
                owner,
                name: lower,
            };
            self.value(inner, &within);
            self.keyed(name, inner, owner, around);
        }
    }

    /// An object with an address in it; false if it is no account.
    fn account(
        &mut self,
        node: &Node<'_>,
        members: &Members<'_>,
        label: &Option<String>,
        chain: Option<&str>,
        around: &Around,
    ) -> bool {
        let address = text(members, ADDRESS).and_then(|text| Some((shape::address(&text, chain)?, text)));
        // Chains whose addresses are public keys name them so (Phantom).
        let key = || text(members, &["publickey"]).and_then(|text| Some((shape::address(&text, chain)?, text)));
        let Some((chain, address)) = address.or_else(key) else { return false };
        if around.owner.is_none() && member(members, SIGNS).is_none() {
            return false;
        }
        let mut extra = Map::new();
        for (kept, names) in KEPT {
            extra.extend(scalar(members, names).map(|value| ((*kept).to_owned(), Value::String(value))));
        }
        extra.extend(scalar(members, CREATED).map(|value| ("created".to_owned(), Value::String(value))));
        let watched = ["iswatchonly", "watchonly", "iswatch"]
            .iter()
            .any(|name| member(members, &[name]).is_some_and(|node| node.raw() == "true"))
            || text(members, &["type", "accounttype"]).is_some_and(|kind| kind.to_lowercase().contains("watch"));
        let strong = member(members, STRONG).is_some().then_some(true);
        let owner = if watched { None } else { around.owner.or(strong) };
        self.tell(address, chain, label.clone().or_else(|| around.label.clone()), owner, extra, node);
        true
    }

    /// A member that is named by an address: `{address: {name, …}}`.
    fn keyed(&mut self, name: &str, inner: &Node<'_>, owner: Option<bool>, around: &Around) {
        let Some(owner) = owner else { return };
        let Some(chain) = shape::address(name, around.chain.as_deref()) else { return };
        let members = inner.members();
        if member(&members, TOKEN).is_some() {
            return;
        }
        let label = text(&members, LABEL).or_else(|| inner.string());
        let created = scalar(&members, CREATED).map(|value| ("created".to_owned(), Value::String(value)));
        self.tell(name.to_owned(), chain, label, Some(owner), created.into_iter().collect(), inner);
    }

    fn tell(
        &mut self,
        key: String,
        chain: String,
        label: Option<String>,
        is_owner: Option<bool>,
        extra: Map<String, Value>,
        node: &Node<'_>,
    ) {
        if self.tell_accounts {
            let entry = Entry { app: self.app, key, chain, label, is_owner, about: None, extra };
            self.accounts.tell(entry, node.place());
        }
    }

    /// A transaction; false if the object is none.
    fn transfer(&mut self, node: &Node<'_>, members: &Members<'_>, around: &Around) -> bool {
        let Some(id) = text(members, ID).filter(|id| shape::is_transaction_id(id)) else { return false };
        // MetaMask keeps what was signed in a member of its own.
        let inner = member(members, &["txparams", "transaction", "txmeta"]).map(Node::members).unwrap_or_default();
        let of = |names: &[&str]| scalar(members, names).or_else(|| scalar(&inner, names));
        let chain = chain(members).or_else(|| around.chain.clone());
        let address = |names| of(names).and_then(|text| Some((shape::address(&text, chain.as_deref())?, text)));
        let (from, to) = (address(FROM), address(TO));
        let Some((own_chain, _)) = from.as_ref().or(to.as_ref()) else { return false };
        let mut extra = Map::new();
        for (kept, names) in [
            ("amount", AMOUNT),
            ("asset", &["symbol", "tokenname", "token", "tokensymbol", "asset"]),
            ("contract", &["contractaddress", "contract_address", "tokenaddress"]),
            ("fee", &["fee", "gasused", "cost"]),
            ("chain_id", &["chainid"]),
            ("nonce", &["nonce"]),
        ] {
            extra.extend(of(names).map(|value| (kept.to_owned(), Value::String(value))));
        }
        extra.extend(of(&["data", "input"]).as_deref().and_then(token_transfer).into_iter().flatten());
        self.accounts.transfer(
            Transfer {
                app: self.app,
                chain: own_chain.clone(),
                id,
                from: from.map(|(_, text)| text),
                to: to.map(|(_, text)| text),
                sent: of(TIME).map(|time| stamp(&time)),
                status: of(&["status", "state", "contractret"]),
                note: of(&["memo", "note"]),
                extra,
                ..Transfer::default()
            },
            node.place(),
        );
        true
    }
}

/// Whom a token's contract is told to pay, and how much: `transfer(address,uint256)` of ERC-20 and its kin.
fn token_transfer(data: &str) -> Option<[(String, Value); 2]> {
    let arguments = data.strip_prefix("0x").unwrap_or(data).strip_prefix("a9059cbb")?;
    let (to, amount) = (arguments.get(24..64)?, arguments.get(64..128)?);
    let to = format!("0x{to}");
    let amount = format!("0x{}", amount.trim_start_matches('0'));
    shape::is_evm(&to).then(|| [("token_to".to_owned(), Value::String(to)), ("token_amount".to_owned(), Value::String(amount))])
}

/// A time: seconds or milliseconds since 1970 by how many digits it has, which for any day since 2001 leaves no doubt; else as written.
fn stamp(text: &str) -> Stamp {
    match (text.len(), text.parse::<i64>()) {
        (10, Ok(seconds)) => Stamp::integer(seconds, TimeUnit::UnixS),
        (13, Ok(milliseconds)) => Stamp::integer(milliseconds, TimeUnit::UnixMs),
        _ => Stamp::text(text, None),
    }
}

/// The chain that an object names.
fn chain(members: &Members<'_>) -> Option<String> {
    if let Some(id) = scalar(members, &["chainid"]) {
        let number = id.strip_prefix("0x").map_or_else(|| id.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok());
        if let Some(number) = number {
            return Some(match number {
                1 => "ethereum".to_owned(),
                10 => "optimism".to_owned(),
                56 => "bnb_smart_chain".to_owned(),
                137 => "polygon".to_owned(),
                8453 => "base".to_owned(),
                42_161 => "arbitrum".to_owned(),
                43_114 => "avalanche".to_owned(),
                2020 => "ronin".to_owned(),
                other => format!("eip155:{other}"),
            });
        }
    }
    let named = scalar(members, CHAIN)?;
    if let Ok(number) = named.parse::<u64>() {
        return member(members, &["coin", "cointype", "coinid"]).map(|_| chain_of_coin(number));
    }
    shape::chain_word(&named).map(str::to_owned)
}

/// The chain that a member's name stands for as a number, where the member around it lists coins.
fn coin(name: &str, around: &str) -> Option<String> {
    if !["items", "coins", "accounts"].contains(&around) {
        return None;
    }
    name.parse().ok().map(chain_of_coin)
}

/// Whether an object is a cipher text with what its key is made from.
fn is_cipher(members: &Members<'_>) -> bool {
    let has = |names: &[&str]| member(members, names).is_some_and(|node| node.string().is_some_and(|text| text.len() >= 8));
    let derived = has(&["salt"]) || member(members, &["kdf", "kdfparams", "keymetadata"]).is_some();
    has(&["data", "cipher", "ciphertext", "encrypted", "encrypteddata", "cipher_text"])
        && derived
        && (has(&["iv", "nonce"]) || member(members, &["cipherparams"]).is_some())
}

#[cfg(test)]
mod tests;
