//! Accounts and secrets of one wallet file, each told once.

use crate::emit::Emit;
use crate::parse::node::Node;
use model::record::{Account, Message, Record};
use model::time::Stamp;
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

/// A transaction as a wallet has it. There is no table for transactions: each is a message of type `transaction`, whose key is its id.
#[derive(Default)]
pub struct Transfer {
    /// Name of the wallet app or format.
    pub app: &'static str,
    /// Chain in the words of `observable.chain`.
    pub chain: String,
    /// Its id (hash) on the chain.
    pub id: String,
    /// Address it came from, where there is one.
    pub from: Option<String>,
    /// Address it went to, where there is one.
    pub to: Option<String>,
    /// Whether the wallet sent it.
    pub outgoing: Option<bool>,
    /// When it was sent.
    pub sent: Option<Stamp>,
    /// When the wallet first saw it.
    pub received: Option<Stamp>,
    /// The user's words.
    pub note: Option<String>,
    /// `confirmed`, `failed`, … as the wallet says.
    pub status: Option<String>,
    /// Anything else.
    pub extra: Map<String, Value>,
}

/// What tells accounts, secrets and transactions, and counts them.
pub struct Accounts<'r, 'e> {
    /// The way out.
    pub emit: &'r mut Emit<'e>,
    /// Whether what follows is what the wallet shows now.
    pub state: State,
    /// The wallet, where something else than the content says it.
    pub app: Option<String>,
    /// The table whose rows are read, of a wallet that is a database.
    table: Option<String>,
    seen: u64,
    put: u64,
    told: HashSet<(String, String)>,
    /// Labels that were told, by app and address.
    labels: HashSet<(String, String, String)>,
    /// Addresses whose keys the wallet holds, in lower case.
    own: HashSet<String>,
    /// Transactions that wait for all accounts to be told.
    waiting: Vec<(Transfer, Locator, State)>,
    transfers: HashSet<String>,
    transfers_seen: u64,
    secrets: HashSet<(SecretKind, String)>,
}

impl<'r, 'e> Accounts<'r, 'e> {
    /// Begins.
    pub fn new(emit: &'r mut Emit<'e>) -> Accounts<'r, 'e> {
        Accounts {
            emit,
            state: State::Live,
            app: None,
            table: None,
            seen: 0,
            put: 0,
            told: HashSet::new(),
            labels: HashSet::new(),
            own: HashSet::new(),
            waiting: Vec::new(),
            transfers: HashSet::new(),
            transfers_seen: 0,
            secrets: HashSet::new(),
        }
    }

    /// Says that what is told are rows of that table.
    pub fn of_table(&mut self, table: Option<&str>) {
        self.table = table.map(str::to_owned);
    }

    /// Tells an account. One that was told already, by a newer state or another part of the file, is counted only, unless an older state
    /// had another label for it.
    pub fn tell(&mut self, entry: Entry, place: Locator) {
        self.seen = self.seen.saturating_add(1);
        let app = self.app.clone().unwrap_or_else(|| entry.app.to_owned());
        if entry.is_owner == Some(true) {
            self.own.insert(entry.key.to_lowercase());
        }
        let fresh = self.told.insert((app.clone(), entry.key.clone()));
        let label = entry.label.as_deref().unwrap_or_default().trim();
        let labelled = !label.is_empty() && self.labels.insert((app.clone(), entry.key.clone(), label.to_owned()));
        if entry.key.is_empty() || !(fresh || labelled && self.state != State::Live) {
            return;
        }
        let mut provenance = self.emit.provenance(place);
        provenance.state = self.state;
        let extra = (!entry.extra.is_empty()).then(|| Value::Object(entry.extra).to_string());
        let account = Record::Account(Account {
            provenance,
            app,
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

    /// Tells a transaction. One whose id was told already is counted only.
    pub fn transfer(&mut self, transfer: Transfer, place: Locator) {
        self.transfers_seen = self.transfers_seen.saturating_add(1);
        if !self.transfers.insert(transfer.id.clone()) {
            return;
        }
        self.waiting.push((transfer, place, self.state));
    }

    /// Puts a transaction. Which side is the wallet's own says whether it was sent, where the wallet does not.
    fn put_transfer(&mut self, transfer: Transfer, place: Locator, state: State) {
        let mut provenance = self.emit.provenance(place);
        provenance.state = state;
        let own = |side: &Option<String>| side.as_ref().is_some_and(|address| self.own.contains(&address.to_lowercase()));
        let told = match (own(&transfer.from), own(&transfer.to)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            _ => None,
        };
        let mut extra = Map::from_iter([("chain".to_owned(), Value::String(transfer.chain))]);
        for (name, value) in [("from", &transfer.from), ("to", &transfer.to)] {
            extra.extend(value.clone().map(|value| (name.to_owned(), Value::String(value))));
        }
        extra.extend(transfer.extra);
        let message = Message {
            provenance,
            app: self.app.clone().unwrap_or_else(|| transfer.app.to_owned()),
            thread_key: None,
            sender: transfer.from,
            recipient: transfer.to,
            outgoing: transfer.outgoing.or(told),
            sent: transfer.sent,
            received: transfer.received,
            edited: None,
            text: transfer.note.filter(|note| !note.is_empty()),
            subject: None,
            message_type: Some("transaction".to_owned()),
            message_key: Some(transfer.id),
            quoted_key: None,
            quoted_text: None,
            quoted_sender: None,
            forwarded: None,
            status: transfer.status,
            extra: Some(Value::Object(extra).to_string()),
        };
        // Only threads and accounts can have been told before.
        let _put = self.emit.record(Record::Message(Box::new(message)));
    }

    /// Tells a secret, once.
    pub fn secret(&mut self, kind: SecretKind, value: String, detail: &str, node: &Node<'_>) {
        self.keep(kind, value, detail, node.pointer(), &node.place());
    }

    /// Tells a secret that stands at a place, once; `field` is the way to it.
    pub fn keep(&mut self, kind: SecretKind, value: String, detail: &str, field: &str, place: &Locator) {
        if !value.is_empty() && self.secrets.insert((kind, value.clone())) {
            self.emit.secret(kind, value, detail, field, place);
        }
    }

    /// Ends as [`Accounts::finish`], without a count where nothing was met: the file need not be a wallet's.
    pub fn finish_found(self, source: &str) {
        if self.seen > 0 {
            self.finish(source);
        } else {
            self.finish_transfers();
        }
    }

    /// Ends: how many were met, and how many told.
    pub fn finish(self, source: &str) {
        let reason = (self.put < self.seen).then(|| format!("{} told already or empty", self.seen - self.put));
        self.emit.ledger(source, "account", self.table.as_deref(), self.seen, self.put, reason);
        self.finish_transfers();
    }

    fn finish_transfers(mut self) {
        for (transfer, place, state) in std::mem::take(&mut self.waiting) {
            self.put_transfer(transfer, place, state);
        }
        let told = self.transfers.len() as u64;
        let reason = (told < self.transfers_seen).then(|| format!("{} told already", self.transfers_seen - told));
        if self.transfers_seen > 0 {
            self.emit.ledger("transactions", "message", self.table.as_deref(), self.transfers_seen, told, reason);
        }
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
