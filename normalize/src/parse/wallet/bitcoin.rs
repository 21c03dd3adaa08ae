//! Wallets of Bitcoin Core and of the coins that keep its format: Berkeley DB files, and since 0.21 SQLite databases with one table of
//! keys and values ([`database`]). Both hold the same records.

mod bitcoinj;
mod chain;
mod database;
mod derive;
mod descriptor;
mod record;
mod serialized;
mod tell;
pub mod transaction;

pub use bitcoinj::Bitcoinj;
pub use chain::{BITCOIN, TESTNET};
pub use database::read_database;
pub use serialized::Reader;

use crate::emit::Emit;
use crate::parse::{Input, Outcome, Parser, berkeley};
use model::{Code, Locator, State};

/// Largest file that is read, bytes: a wallet grows with the transactions of its owner.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// A key and its value.
struct Entry<'p> {
    key: &'p [u8],
    value: &'p [u8],
    place: Locator,
    state: State,
}

/// The parser of Berkeley DB wallets.
pub struct BitcoinCore;

impl Parser for BitcoinCore {
    fn name(&self) -> &'static str {
        "bitcoin_core"
    }

    fn version(&self) -> u32 {
        1
    }

    fn identify(&self, input: &Input<'_>) -> bool {
        berkeley::is_btree(input.head)
    }

    fn parse(&self, input: &Input<'_>, emit: &mut Emit<'_>) -> Outcome {
        let content = match input.content(FILE_BYTES_MAX, "wallet", emit) {
            Ok(content) => content,
            Err(outcome) => return outcome,
        };
        let found = berkeley::read(&content, &record::is_known);
        let keys: Vec<_> = found.slack.iter().flat_map(|(place, bytes)| record::keys_in_slack(*place, bytes)).collect();
        let wallet = found.pairs.iter().any(|pair| record::is_known(&pair.key));
        let place = |range: (u64, u64)| Locator::Bytes { offset: range.0, length: range.1 };
        let entries: Vec<Entry<'_>> = found
            .pairs
            .iter()
            .map(|pair| Entry { key: &pair.key, value: &pair.value, place: place(pair.range), state: pair.state })
            .chain(keys.iter().map(|key| Entry {
                key: &key.key,
                value: &key.value,
                place: place(key.range),
                state: State::Recovered,
            }))
            .collect();
        for detail in &found.damage {
            emit.problem(Code::DocumentDamaged, detail.as_str());
        }
        if wallet {
            tell::wallet(&entries, &input.unit.primary.item.path, None, emit);
        } else if found.damage.is_empty() {
            // A database of something else: what the scans find is all.
            return Outcome::plain();
        }
        if found.damage.is_empty() { Outcome::parsed() } else { Outcome::partial("see its problems") }
    }
}
