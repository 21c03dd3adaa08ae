//! Accounts and secrets of one wallet file, each told once.

use crate::emit::Emit;
use crate::parse::node::Node;
use model::record::{Account, Record};
use model::{Locator, SecretKind, State};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// An account as a wallet has it.
#[derive(Default)]
pub struct Entry {
    /// Name of the wallet app or format.
    pub app: &'static str,
    /// Address, or extended public key where there is no address.
    pub key: String,
    /// Chain in the words of `observable.chain`.
    pub chain: String,
    /// Name that the user or the wallet gave it.
    pub label: Option<String>,
    /// Whether the wallet holds its key.
    pub is_owner: Option<bool>,
    /// A note.
    pub about: Option<String>,
    /// Anything else.
    pub extra: Map<String, Value>,
}

/// What tells accounts and secrets, and counts them.
pub struct Accounts<'r, 'e> {
    /// The way out.
    pub emit: &'r mut Emit<'e>,
    /// Whether what follows is what the wallet shows now.
    pub state: State,
    /// The wallet, where something else than the content says it.
    pub app: Option<&'static str>,
    seen: u64,
    put: u64,
    told: HashSet<(&'static str, String)>,
    secrets: HashSet<(SecretKind, String)>,
}

impl<'r, 'e> Accounts<'r, 'e> {
    /// Begins.
    pub fn new(emit: &'r mut Emit<'e>) -> Accounts<'r, 'e> {
        Accounts { emit, state: State::Live, app: None, seen: 0, put: 0, told: HashSet::new(), secrets: HashSet::new() }
    }

    /// Tells an account. One that was told already, by a newer state or another part of the file, is counted only.
    pub fn tell(&mut self, entry: Entry, place: Locator) {
        self.seen = self.seen.saturating_add(1);
        let app = self.app.unwrap_or(entry.app);
        if entry.key.is_empty() || !self.told.insert((app, entry.key.clone())) {
            return;
        }
        let mut provenance = self.emit.provenance(place);
        provenance.state = self.state;
        let extra = (!entry.extra.is_empty()).then(|| Value::Object(entry.extra).to_string());
        let account = Record::Account(Account {
            provenance,
            app: app.to_owned(),
            account_key: entry.key,
            display_name: entry.label.filter(|label| !label.trim().is_empty()),
            is_owner: entry.is_owner,
            same_as: None,
            phone: None,
            phone_raw: None,
            about: entry.about.filter(|about| !about.is_empty()),
            chain: Some(entry.chain).filter(|chain| !chain.is_empty()),
            extra,
        });
        let put = self.emit.record(account);
        self.put = self.put.saturating_add(u64::from(put));
    }

    /// Tells a secret, once.
    pub fn secret(&mut self, kind: SecretKind, value: String, detail: &str, node: &Node<'_>) {
        if !value.is_empty() && self.secrets.insert((kind, value.clone())) {
            self.emit.secret(kind, value, detail, node.pointer(), &node.place());
        }
    }

    /// Ends as [`Accounts::finish`], without a count where nothing was met: the file need not be a wallet's.
    pub fn finish_found(self, source: &str) {
        if self.seen > 0 {
            self.finish(source);
        }
    }

    /// Ends: how many were met, and how many told.
    pub fn finish(self, source: &str) {
        let reason = (self.put < self.seen).then(|| format!("{} told already or empty", self.seen - self.put));
        self.emit.ledger(source, "account", None, self.seen, self.put, reason);
    }
}

/// Chains by SLIP-44 coin type (<https://github.com/satoshilabs/slips/blob/master/slip-0044.md>), in the words of `observable.chain`.
pub fn chain_of_coin(coin: u64) -> String {
    let known = match coin {
        0 => "bitcoin",
        1 => "bitcoin_testnet",
        2 => "litecoin",
        3 => "dogecoin",
        5 => "dash",
        60 => "ethereum",
        61 => "ethereum_classic",
        118 => "cosmos",
        128 => "monero",
        133 => "zcash",
        144 => "xrp",
        145 => "bitcoin_cash",
        148 => "stellar",
        195 => "tron",
        283 => "algorand",
        354 => "polkadot",
        397 => "near",
        501 => "solana",
        607 => "ton",
        637 => "aptos",
        714 => "bnb",
        784 => "sui",
        966 => "polygon",
        1815 => "cardano",
        9_006 | 10_000_714 | 20_000_714 => "bnb_smart_chain",
        10_009_000 => "avalanche",
        10_042_161 | 10_042_221 => "arbitrum",
        10_000_070 => "optimism",
        8_453 => "base",
        other => return format!("slip44:{other}"),
    };
    known.to_owned()
}
