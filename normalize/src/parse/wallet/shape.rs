//! What a single value looks like: an address, a key, an id of a transaction.

use model::observable::{ObservableKind, Validity};
use model::recognize::{Found, find_in_text};

/// Chains whose addresses are those of Ethereum.
const EVM: [&str; 9] =
    ["ethereum", "bnb_smart_chain", "polygon", "arbitrum", "optimism", "base", "avalanche", "ethereum_classic", "ronin"];

/// Twenty bytes in hexadecimal, behind `0x`.
pub fn is_evm(text: &str) -> bool {
    text.len() == 42 && text.starts_with("0x") && text.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit())
}

/// The chain of a text that is nothing but an address; `hint` is the chain that stands beside it.
pub fn address(text: &str, hint: Option<&str>) -> Option<String> {
    if !(26..=128).contains(&text.len()) {
        return None;
    }
    if is_evm(text) {
        return Some(hint.filter(|chain| EVM.contains(chain) || chain.starts_with("eip155:")).unwrap_or("ethereum").to_owned());
    }
    if let Some((ObservableKind::WalletAddress, chain)) = whole(text) {
        let chain = chain.unwrap_or_default();
        return Some(hint.filter(|hint| chain.split(',').any(|one| one == *hint)).map_or(chain, str::to_owned));
    }
    // Thirty-two bytes without a checksum: nothing but what stands beside them says what they are.
    let key = hint == Some("solana") && (32..=44).contains(&text.len());
    (key && bs58::decode(text).into_vec().is_ok_and(|bytes| bytes.len() == 32)).then(|| "solana".to_owned())
}

/// The chain of a text that is nothing but an extended public key.
pub fn extended_key(text: &str) -> Option<String> {
    if !(100..=120).contains(&text.len()) {
        return None;
    }
    whole(text).filter(|(kind, _)| *kind == ObservableKind::ExtendedPublicKey).map(|(_, chain)| chain.unwrap_or_default())
}

/// The one observable with a checksum that a text is, and its chain.
fn whole(text: &str) -> Option<(ObservableKind, Option<String>)> {
    let mut finds = find_in_text(text).into_iter().filter(|find| find.offset == 0 && find.length == text.len() as u64);
    finds.find_map(|find| match find.found {
        Found::Observable(observable) if observable.validity == Validity::Checksum => Some((observable.kind, observable.chain)),
        _ => None,
    })
}

/// Whether a text is the id of a transaction: 32 bytes in hexadecimal, or a signature of Solana.
pub fn is_transaction_id(text: &str) -> bool {
    let bare = text.strip_prefix("0x").unwrap_or(text);
    let hex = bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex || ((86..=88).contains(&text.len()) && bs58::decode(text).into_vec().is_ok_and(|bytes| bytes.len() == 64))
}

/// The chain that a word names, in the words of `observable.chain`.
pub fn chain_word(word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    Some(match lower.as_str() {
        "bitcoin" | "btc" | "bip122" => "bitcoin",
        "ethereum" | "eth" | "evm" | "eip155" => "ethereum",
        "tron" | "trx" => "tron",
        "solana" | "sol" => "solana",
        "bsc" | "bnb" | "binance" | "smartchain" => "bnb_smart_chain",
        "polygon" | "matic" | "pol" => "polygon",
        "arbitrum" => "arbitrum",
        "optimism" => "optimism",
        "base" => "base",
        "avalanche" | "avax" => "avalanche",
        "litecoin" | "ltc" => "litecoin",
        "dogecoin" | "doge" => "dogecoin",
        "dash" => "dash",
        "ripple" | "xrp" => "xrp",
        "ton" => "ton",
        "sui" => "sui",
        "aptos" | "apt" => "aptos",
        "cosmos" | "atom" | "cosmoshub" => "cosmos",
        "polkadot" | "dot" => "polkadot",
        "ronin" => "ronin",
        "bitcoincash" | "bch" => "bitcoin_cash",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_by_checksum_and_by_what_stands_beside_them() {
        let of = |text, hint| address(text, hint);
        assert_eq!(of("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC", None).as_deref(), Some("tron"));
        assert_eq!(of("TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeD", None), None);
        assert_eq!(of("0x66f9c09118b1c726bc24811a611baf60af42070a", Some("polygon")).as_deref(), Some("polygon"));
        assert_eq!(of("0x66f9c09118b1c726bc24811a611baf60af42070a", Some("tron")).as_deref(), Some("ethereum"));
        let solana = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q";
        assert_eq!((of(solana, None), of(solana, Some("solana")).as_deref()), (None, Some("solana")));
        assert_eq!(of("hello TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC", None), None);
    }
}
