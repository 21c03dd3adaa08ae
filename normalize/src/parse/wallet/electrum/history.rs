//! Transactions of an Electrum wallet: `transactions` has them whole, `verified_tx3` their height and time, `txi` what of the wallet's own
//! they spend, `labels` the user's words, `addr_history` the ids of those that an address took part in (`wallet_db.py`).

use super::super::accounts::{Accounts, Transfer};
use super::super::bitcoin::{BITCOIN, Reader, TESTNET, transaction};
use crate::parse::node::Node;
use model::Code;
use model::time::{Stamp, TimeUnit};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

const APP: &str = "Electrum";

/// Tells the transactions.
pub fn tell(root: &Node<'_>, labels: &HashMap<String, String>, testnet: bool, accounts: &mut Accounts<'_, '_>) {
    let members = |name: &str| root.get(name).map(|node| node.members()).unwrap_or_default();
    let verified: HashMap<String, Node<'_>> = members("verified_tx3").into_iter().collect();
    let spends: HashMap<String, bool> = members("txi").into_iter().map(|(id, node)| (id, !node.members().is_empty())).collect();
    let chain = if testnet { &TESTNET } else { &BITCOIN };
    let mut told = HashSet::new();
    for (id, node) in members("transactions") {
        let bytes = node.string().as_deref().and_then(unhex);
        let read = bytes.as_deref().and_then(|bytes| transaction::read(&mut Reader(bytes), chain));
        // Parts of a transaction that waits for signatures are kept in other forms.
        let Some(read) = read.filter(|read| read.id == id) else {
            accounts.emit.problem(Code::ValueUndecodable, format!("{}: a transaction of no known form", node.pointer()));
            continue;
        };
        let outputs: Vec<Value> =
            read.outputs.iter().map(|(address, amount)| json!({ "address": address, "amount": amount.to_string() })).collect();
        let inputs: Vec<Value> = read.inputs.iter().map(|(id, number)| json!(format!("{id}:{number}"))).collect();
        let extra = Map::from_iter([("inputs".to_owned(), json!(inputs)), ("outputs".to_owned(), json!(outputs))]);
        told.insert(id.clone());
        let outgoing = spends.get(&id).copied();
        let place = node.place();
        accounts.transfer(transfer(id, chain.name, outgoing, &verified, labels, extra), place);
    }
    // Ids whose transactions the wallet does not keep (any more).
    for (address, history) in members("addr_history") {
        for entry in history.elements() {
            let Some(id) = entry.elements().first().and_then(Node::string).filter(|id| told.insert(id.clone())) else { continue };
            let extra = Map::from_iter([("address".to_owned(), json!(address))]);
            accounts.transfer(transfer(id, chain.name, None, &verified, labels, extra), entry.place());
        }
    }
}

fn transfer(
    id: String,
    chain: &str,
    outgoing: Option<bool>,
    verified: &HashMap<String, Node<'_>>,
    labels: &HashMap<String, String>,
    mut extra: Map<String, Value>,
) -> Transfer {
    let mined = verified.get(&id).map(Node::elements).unwrap_or_default();
    let number = |index: usize| mined.get(index).and_then(Node::scalar).and_then(|text| text.parse::<i64>().ok());
    let height = number(0);
    extra.extend(height.map(|height| ("height".to_owned(), json!(height))));
    Transfer {
        app: APP,
        chain: chain.to_owned(),
        outgoing,
        sent: number(1).map(|time| Stamp::integer(time, TimeUnit::UnixS)),
        note: labels.get(&id).cloned(),
        status: height.map(|_| "confirmed".to_owned()),
        id,
        extra,
        ..Transfer::default()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()).collect()
}
