//! Addresses in Bech32, Bech32m and CashAddr.

use bech32::Bech32;
use bech32::primitives::decode::{CheckedHrpstring, SegwitHrpstring};

/// Human-readable parts that name a chain whose addresses are plain Bech32 of 20 or 32 bytes (Cosmos SDK and kin), as SLIP-173 lists them.
const ACCOUNTS: &[(&str, &str)] = &[
    ("agoric", "agoric"),
    ("akash", "akash"),
    ("archway", "archway"),
    ("axelar", "axelar"),
    ("band", "band"),
    ("bnb", "bnb"),
    ("bluzelle", "bluzelle"),
    ("celestia", "celestia"),
    ("comdex", "comdex"),
    ("core", "coreum"),
    ("cosmos", "cosmos"),
    ("cosmosvaloper", "cosmos"),
    ("cro", "cronos"),
    ("dydx", "dydx"),
    ("evmos", "evmos"),
    ("fetch", "fetch"),
    ("gravity", "gravity_bridge"),
    ("inj", "injective"),
    ("iaa", "irisnet"),
    ("juno", "juno"),
    ("kava", "kava"),
    ("kujira", "kujira"),
    ("kyve", "kyve"),
    ("mars", "mars"),
    ("neutron", "neutron"),
    ("noble", "noble"),
    ("osmo", "osmosis"),
    ("persistence", "persistence"),
    ("regen", "regen"),
    ("secret", "secret"),
    ("sei", "sei"),
    ("sif", "sifchain"),
    ("somm", "sommelier"),
    ("stars", "stargaze"),
    ("stride", "stride"),
    ("terra", "terra"),
    ("thor", "thorchain"),
    ("umee", "umee"),
    ("dym", "dymension"),
];

/// The chain of an address with a separator, if its checksum holds; `text` is a whole run of letters and digits.
pub fn chain(text: &str) -> Option<&'static str> {
    if !has_one_case(text) {
        return None;
    }
    // The part before the separator is short in all of them; the first `1` ends it (none has a digit).
    let (prefix, data) = text.split_at_checked(text.find('1')?)?;
    let lower = prefix.to_ascii_lowercase();
    match lower.as_str() {
        "bc" => segwit(text).then_some("bitcoin"),
        "ltc" => segwit(text).then_some("litecoin"),
        "addr" | "stake" => cardano(text, &lower).then_some("cardano"),
        _ => {
            let (_, chain) = ACCOUNTS.iter().find(|(known, _)| *known == lower)?;
            (matches!(data.len(), 39 | 59) && account(text)).then_some(*chain)
        }
    }
}

fn has_one_case(text: &str) -> bool {
    !(text.bytes().any(|byte| byte.is_ascii_lowercase()) && text.bytes().any(|byte| byte.is_ascii_uppercase()))
}

/// BIP-173 for version 0, BIP-350 (the other constant) from version 1 on.
fn segwit(text: &str) -> bool {
    text.len() <= 90 && SegwitHrpstring::new(text).is_ok()
}

fn account(text: &str) -> bool {
    CheckedHrpstring::new::<Bech32>(text).is_ok_and(|checked| matches!(checked.byte_iter().len(), 20 | 32))
}

/// CIP-19 of the main network: header with the kind above and the network (1) below; 28 bytes a credential.
fn cardano(text: &str, prefix: &str) -> bool {
    let Ok(checked) = CheckedHrpstring::new::<Bech32>(text) else { return false };
    let length = checked.byte_iter().len();
    let Some(header) = checked.byte_iter().next() else { return false };
    let fits = match header >> 4 {
        0..=3 => prefix == "addr" && length == 57,
        4 | 5 => prefix == "addr" && (32..=58).contains(&length),
        6 | 7 => prefix == "addr" && length == 29,
        14 | 15 => prefix == "stake" && length == 29,
        _ => false,
    };
    fits && header & 0x0f == 1
}

/// A Bitcoin Cash address without its prefix: 42 characters of the same alphabet under a 40-bit code over the prefix `bitcoincash`.
/// Version byte: kind (0 or 1) above, size 0 (160 bits). CashAddr specification of bitcoincash.org.
pub fn is_cash(text: &str) -> bool {
    if text.len() != 42 || !has_one_case(text) {
        return false;
    }
    let Some(digits) = text.bytes().map(value).collect::<Option<Vec<u8>>>() else { return false };
    let prefix = b"bitcoincash".iter().map(|byte| byte & 0x1f).chain([0]);
    let kind = digits.first().copied().unwrap_or(31);
    // The first eight bits are the version: 0 or 8, so the first digit is 0 or 1 and the top of the second is 0.
    let version = digits.get(1).copied().unwrap_or(31) >> 2;
    kind <= 1 && version == 0 && cash_code(prefix.chain(digits)) == 0
}

fn cash_code(values: impl Iterator<Item = u8>) -> u64 {
    const GENERATORS: [u64; 5] = [0x98_f2bc_8e61, 0x79_b76d_99e2, 0xf3_3e5f_b3c4, 0xae_2eab_e2a8, 0x1e_4f43_e470];
    let code = values.fold(1u64, |code, value| {
        let top = code >> 35;
        let shifted = ((code & 0x07_ffff_ffff) << 5) ^ u64::from(value);
        let picked = GENERATORS.iter().enumerate().filter(|(bit, _)| top >> bit & 1 == 1);
        picked.fold(shifted, |code, (_, generator)| code ^ generator)
    });
    code ^ 1
}

fn value(byte: u8) -> Option<u8> {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let lower = byte.to_ascii_lowercase();
    ALPHABET.iter().position(|known| *known == lower).map(|index| index as u8)
}
