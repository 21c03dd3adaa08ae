//! What the records of a wallet say together: accounts, secrets, transactions, and one account for the wallet itself.

use super::chain::{self, Chain};
use super::record::{self, KeyMeta, MasterKey, Record};
use super::serialized::Reader;
use super::{Entry, derive, descriptor, transaction};
use crate::decode::base64::hex;
use crate::emit::Emit;
use crate::parse::wallet::accounts::{self, Accounts, Transfer};
use model::time::{Stamp, TimeUnit};
use model::{Code, Locator, SecretKind, State};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Most addresses that are derived from one descriptor: more were never given out by any wallet met.
const DERIVED_MAX: u32 = 10_000;

/// A record and where it stands.
struct Told<'p> {
    record: Record<'p>,
    place: Locator,
    state: State,
}

/// What is known of keys and addresses, whichever record says it.
struct Book<'p> {
    chain: &'static Chain,
    records: Vec<Told<'p>>,
    labels: HashMap<String, String>,
    purposes: HashMap<String, String>,
    metas: HashMap<&'p [u8], KeyMeta>,
    pools: HashMap<&'p [u8], u64>,
    /// Keys by what their addresses stand for.
    keys: HashMap<Vec<u8>, &'p [u8]>,
    encrypted: HashSet<&'p [u8]>,
    caches: HashMap<(&'p [u8], u32), &'p [u8]>,
    texts: HashMap<&'p [u8], String>,
}

/// Tells a wallet.
pub fn wallet(entries: &[Entry<'_>], path: &str, magic: Option<u32>, emit: &mut Emit<'_>) {
    let mut records = Vec::new();
    for entry in entries {
        match record::read(entry.key, entry.value) {
            Some(record) => records.push(Told { record, place: entry.place.clone(), state: entry.state }),
            // What deletion left and is not sound is nothing.
            None if entry.state != State::Live => {}
            None => {
                let kind = Reader(entry.key).text().unwrap_or_default();
                emit.problem(Code::ValueUndecodable, format!("{}: a record {kind:?} that cannot be read", spot(&entry.place)));
            }
        }
    }
    let (chain, basis) = chain_of(&records, path, magic);
    let book = Book::of(records, chain);
    let mut accounts = Accounts::new(emit);
    accounts.app = Some(chain.app.to_owned());
    accounts.of_table(entries.iter().find_map(|entry| match &entry.place {
        Locator::Row { table, .. } => Some(table.as_str()),
        Locator::Carved(carved) => Some(&carved.table),
        _ => None,
    }));
    book.summary(basis, &mut accounts);
    for told in &book.records {
        accounts.state = told.state;
        book.tell(told, &mut accounts);
    }
    accounts.finish("accounts");
}

/// The words for a place.
fn spot(place: &Locator) -> String {
    match place.row() {
        Some((table, row)) => format!("table {table} row {row}"),
        None => format!("byte {}", place.range().unwrap_or_default().0),
    }
}

fn chain_of(records: &[Told<'_>], path: &str, magic: Option<u32>) -> (&'static Chain, &'static str) {
    let genesis = records.iter().find_map(|told| match told.record {
        Record::BestBlock(_, Some(first)) => Some(transaction::id_text(first)),
        _ => None,
    });
    let addresses = records.iter().filter_map(|told| match &told.record {
        Record::Name(address, _) | Record::Purpose(address, _) => Some(address.as_str()),
        _ => None,
    });
    chain::told(genesis.as_deref(), magic, addresses, path)
}

impl<'p> Book<'p> {
    fn of(records: Vec<Told<'p>>, chain: &'static Chain) -> Book<'p> {
        let mut book = Book {
            chain,
            records: Vec::new(),
            labels: HashMap::new(),
            purposes: HashMap::new(),
            metas: HashMap::new(),
            pools: HashMap::new(),
            keys: HashMap::new(),
            encrypted: HashSet::new(),
            caches: HashMap::new(),
            texts: HashMap::new(),
        };
        // Live records come first: what an older one says does not replace it.
        for told in &records {
            match &told.record {
                // A label that was taken away is told where it was found only.
                Record::Name(..) | Record::Purpose(..) if told.state != State::Live => {}
                Record::Name(address, label) => drop(book.labels.entry(address.clone()).or_insert_with(|| label.clone())),
                Record::Purpose(address, purpose) => {
                    book.purposes.entry(address.clone()).or_insert_with(|| purpose.clone());
                }
                Record::KeyMeta(key, meta) => drop(book.metas.entry(key).or_insert_with(|| meta.clone())),
                Record::Pool(number, _, key) => drop(book.pools.entry(key).or_insert(*number)),
                Record::Key(key, secret) => book.add_key(key, secret.is_none()),
                Record::Cache(id, position, key) => drop(book.caches.entry((id, *position)).or_insert(key)),
                Record::Descriptor(id, text, ..) => drop(book.texts.entry(id).or_insert_with(|| text.clone())),
                _ => {}
            }
        }
        book.records = records;
        book
    }

    fn add_key(&mut self, key: &'p [u8], encrypted: bool) {
        if encrypted {
            self.encrypted.insert(key);
        }
        self.keys.entry(chain::hash160(key).to_vec()).or_insert(key);
        // What the nested address stands for is the hash of the script that holds the key's.
        if let Some(hash) = self.chain.nested_witness_key(key).and_then(|address| self.chain.hash_of(&address)) {
            self.keys.entry(hash).or_insert(key);
        }
    }

    fn tell(&self, told: &Told<'p>, accounts: &mut Accounts<'_, '_>) {
        let place = told.place.clone();
        match &told.record {
            // What stands over a deleted label can have taken the end of its address.
            Record::Name(address, _) | Record::Purpose(address, _) if told.state != State::Live && !self.chain.has(address) => {}
            Record::Name(address, label) => self.named(address, Some(label.clone()), place, accounts),
            Record::Purpose(address, _) if !self.labels.contains_key(address) => self.named(address, None, place, accounts),
            Record::Key(key, secret) => {
                self.key(key, place.clone(), accounts);
                if let Some(der) = secret {
                    self.private_key(key, der, &place, accounts);
                }
            }
            Record::Pool(_, _, key) if !self.keys.contains_key(chain::hash160(key).as_slice()) => {
                self.key(key, place, accounts);
            }
            Record::Watched(script) => {
                let extra = Map::from_iter([("script".to_owned(), json!(hex(script))), ("watched".to_owned(), json!(true))]);
                let address = self.chain.address_of_script(script).unwrap_or_default();
                self.put(address, None, None, extra, place, accounts);
            }
            Record::Script(script) => self.script(script, place, accounts),
            Record::MasterKey(master) => master_key(master, &place, accounts),
            Record::Descriptor(id, text, created, range) => self.descriptor((id, text, *created, *range), &place, accounts),
            Record::DescriptorKey(id, key, der) => self.descriptor_key((id, key, der), &place, accounts),
            Record::Transaction(id, value) => self.transaction(id, value, told, accounts),
            _ => {}
        }
    }

    fn put(
        &self,
        key: String,
        label: Option<String>,
        is_owner: Option<bool>,
        extra: Map<String, Value>,
        place: Locator,
        accounts: &mut Accounts<'_, '_>,
    ) {
        let chain = self.chain.name.to_owned();
        accounts.tell(accounts::Entry { app: self.chain.app, key, chain, label, is_owner, about: None, extra }, place);
    }

    /// An address of the address book; where the wallet has its key, with what is known of that.
    fn named(&self, address: &str, label: Option<String>, place: Locator, accounts: &mut Accounts<'_, '_>) {
        let key = self.chain.hash_of(address).and_then(|hash| self.keys.get(&hash));
        let mut extra = key.map(|key| self.key_facts(key)).unwrap_or_default();
        let purpose = self.purposes.get(address);
        if let Some(purpose) = purpose {
            extra.insert("purpose".to_owned(), json!(purpose));
        }
        let is_owner = match (purpose.map(String::as_str), key) {
            (Some("receive"), _) | (_, Some(_)) => Some(true),
            (Some("send"), None) => Some(false),
            _ => None,
        };
        self.put(address.to_owned(), label, is_owner, extra, place, accounts);
    }

    fn key_facts(&self, key: &[u8]) -> Map<String, Value> {
        let mut extra = Map::from_iter([("public_key".to_owned(), json!(hex(key)))]);
        if let Some(meta) = self.metas.get(key) {
            if meta.created > 0 {
                extra.insert("created_s".to_owned(), json!(meta.created));
            }
            if let Some(path) = &meta.path {
                extra.insert("path".to_owned(), json!(path));
            }
        }
        if let Some(number) = self.pools.get(key) {
            extra.insert("key_pool".to_owned(), json!(number));
        }
        if self.encrypted.contains(key) {
            extra.insert("encrypted".to_owned(), json!(true));
        }
        extra
    }

    /// A key of the wallet, by the address that pays to it in the oldest form; its others beside it. One that stands in the address book
    /// under any of them is told there.
    fn key(&self, key: &[u8], place: Locator, accounts: &mut Accounts<'_, '_>) {
        let (plain, nested, witness) =
            (self.chain.pay_to_key(key), self.chain.nested_witness_key(key), self.chain.witness_key(key));
        let named = |address: &String| self.labels.contains_key(address) || self.purposes.contains_key(address);
        if [Some(&plain), nested.as_ref(), witness.as_ref()].into_iter().flatten().any(named) {
            return;
        }
        let mut extra = self.key_facts(key);
        for (name, address) in [("p2sh_p2wpkh", nested), ("p2wpkh", witness)] {
            if let Some(address) = address {
                extra.insert(name.to_owned(), json!(address));
            }
        }
        self.put(plain, None, Some(true), extra, place, accounts);
    }

    /// A private key in clear, told if it belongs to its public key.
    fn private_key(&self, key: &[u8], der: &[u8], place: &Locator, accounts: &mut Accounts<'_, '_>) {
        let compressed = key.len() == 33;
        match derive::secret_of_der(der).filter(|secret| derive::public_of(secret, compressed).as_deref() == Some(key)) {
            Some(secret) => {
                let text = self.chain.private_key(secret, compressed);
                accounts.keep(SecretKind::PrivateKeyWif, text, self.chain.name, &format!("key of {}", hex(key)), place);
            }
            None if accounts.state == State::Live => {
                accounts.emit.problem(Code::ValueUndecodable, format!("{}: a private key of no known form", spot(place)));
            }
            None => {}
        }
    }

    /// A script that can be paid to. That of a key of the wallet is told with the key.
    fn script(&self, script: &[u8], place: Locator, accounts: &mut Accounts<'_, '_>) {
        if let [0, 20, hash @ ..] = script
            && self.keys.contains_key(hash)
        {
            return;
        }
        let extra = Map::from_iter([("redeem_script".to_owned(), json!(hex(script)))]);
        self.put(self.chain.pay_to_script(script), None, None, extra, place, accounts);
    }

    /// The key of a descriptor, and the addresses that it has given out.
    fn descriptor(
        &self,
        (id, text, created, [next, from, to]): (&'p [u8], &str, u64, [i32; 3]),
        place: &Locator,
        accounts: &mut Accounts<'_, '_>,
    ) {
        let parsed = descriptor::parse(text);
        let mut extra = Map::from_iter([("descriptor".to_owned(), json!(text))]);
        extra.extend([("created_s".to_owned(), json!(created)), ("next".to_owned(), json!(next))]);
        extra.insert("range".to_owned(), json!([from, to]));
        // Several descriptors share one key: each is told by its own text.
        self.put(text.to_owned(), None, Some(true), extra, place.clone(), accounts);
        let cached = self.caches.get(&(id, 0)).and_then(|bytes| derive::Extended::read(bytes));
        let Some((parent, parsed)) = parsed.and_then(|parsed| Some((parsed.parent(cached)?, parsed))) else { return };
        let given = u32::try_from(next).unwrap_or_default();
        if given > DERIVED_MAX {
            accounts.emit.problem(Code::CapEntries, format!("{}: {given} addresses given out", spot(place)));
        }
        for number in 0..given.min(DERIVED_MAX) {
            let Some(address) = parsed.address(&parent, number, self.chain) else { continue };
            let mut extra = Map::from_iter([("descriptor".to_owned(), json!(text)), ("number".to_owned(), json!(number))]);
            if let Some(purpose) = self.purposes.get(&address) {
                extra.insert("purpose".to_owned(), json!(purpose));
            }
            let label = self.labels.get(&address).cloned();
            self.put(address, label, Some(true), extra, place.clone(), accounts);
        }
    }

    /// A descriptor's private key in clear: extended, where the descriptor has the rest of it.
    fn descriptor_key(&self, (id, key, der): (&[u8], &[u8], &[u8]), place: &Locator, accounts: &mut Accounts<'_, '_>) {
        let compressed = key.len() == 33;
        let sound = |secret: &&[u8]| derive::public_of(secret, compressed).as_deref() == Some(key);
        let Some(secret) = derive::secret_of_der(der).filter(sound) else {
            // Encrypted keys are records of another name.
            return;
        };
        let text = self.texts.get(id).and_then(|text| descriptor::parse(text)).map(|parsed| parsed.key.to_owned());
        let extended = text.and_then(|text| derive::private_of(&text, key, secret));
        let field = format!("key of {}", hex(key));
        match extended {
            Some(extended) => accounts.keep(SecretKind::ExtendedPrivateKey, extended, self.chain.name, &field, place),
            None => {
                let text = self.chain.private_key(secret, compressed);
                accounts.keep(SecretKind::PrivateKeyWif, text, self.chain.name, &field, place);
            }
        }
    }

    fn transaction(&self, id: &[u8], value: &[u8], told: &Told<'_>, accounts: &mut Accounts<'_, '_>) {
        let mut reader = Reader(value);
        let read = transaction::read(&mut reader, self.chain).filter(|read| read.id == transaction::id_text(id));
        let Some((read, kept)) = read.and_then(|read| Some((read, record::kept(&mut reader)?))) else {
            if told.state == State::Live {
                let detail = format!("{}: transaction {} cannot be read", spot(&told.place), transaction::id_text(id));
                accounts.emit.problem(Code::ValueUndecodable, detail);
            }
            return;
        };
        let field = |name: &str| kept.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let time = |seconds: i64| Stamp::integer(seconds, TimeUnit::UnixS);
        let outputs: Vec<Value> =
            read.outputs.iter().map(|(address, amount)| json!({ "address": address, "amount": amount.to_string() })).collect();
        let inputs: Vec<Value> = read.inputs.iter().map(|(id, number)| json!(format!("{id}:{number}"))).collect();
        let mut extra = Map::from_iter([("inputs".to_owned(), json!(inputs)), ("outputs".to_owned(), json!(outputs))]);
        for (name, value) in &kept.fields {
            extra.insert(name.clone(), json!(value));
        }
        accounts.transfer(
            Transfer {
                app: self.chain.app,
                chain: self.chain.name.to_owned(),
                id: read.id,
                outgoing: Some(kept.from_me),
                sent: field("timesmart").and_then(|text| text.parse().ok()).map(time),
                received: (kept.received > 0).then(|| time(i64::from(kept.received))),
                note: field("comment").or_else(|| field("message")),
                status: kept.block.map(|block| format!("block:{block}")),
                extra,
                ..Transfer::default()
            },
            told.place.clone(),
        );
    }

    /// One account for the wallet itself: its versions, its newest block, how many keys it has.
    fn summary(&self, basis: &str, accounts: &mut Accounts<'_, '_>) {
        let mut extra = Map::from_iter([("chain_from".to_owned(), json!(basis))]);
        let (mut place, mut key) = (None, "wallet".to_owned());
        for told in self.records.iter().filter(|told| told.state == State::Live) {
            match &told.record {
                Record::Number(name, number) => drop(extra.insert((*name).to_owned(), json!(number))),
                Record::BestBlock(Some(best), _) => {
                    extra.insert("best_block".to_owned(), json!(transaction::id_text(best)));
                }
                Record::Chain(external, internal, seed) => {
                    key = format!("hd_seed:{}", hex(seed));
                    extra.insert("external_keys".to_owned(), json!(external));
                    extra.insert("internal_keys".to_owned(), json!(internal));
                }
                _ => continue,
            }
            place.get_or_insert_with(|| told.place.clone());
        }
        let oldest = self.metas.values().map(|meta| meta.created).filter(|created| *created > 0).min();
        if let Some(oldest) = oldest {
            extra.insert("oldest_key_s".to_owned(), json!(oldest));
        }
        let keys = self.records.iter().filter(|told| matches!(told.record, Record::Key(..)) && told.state == State::Live).count();
        extra.insert("keys".to_owned(), json!(keys));
        let encrypted = self.records.iter().any(|told| matches!(told.record, Record::MasterKey(_)));
        extra.insert("encrypted".to_owned(), json!(encrypted));
        if let Some(place) = place {
            self.put(key, None, Some(true), extra, place, accounts);
        }
    }
}

/// The encrypted master key, as whoever tries passwords wants it.
fn master_key(master: &MasterKey<'_>, place: &Locator, accounts: &mut Accounts<'_, '_>) {
    let value = json!({
        "number": master.number,
        "encrypted_key": hex(master.key),
        "salt": hex(master.salt),
        "method": master.method,
        "rounds": master.rounds,
    });
    accounts.keep(SecretKind::Vault, value.to_string(), "bitcoin_core:mkey", "mkey", place);
}
